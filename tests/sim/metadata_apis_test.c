/* Metadata, ListOffsets, FindCoordinator and ApiVersions, against the whole broker: what each version asks
 * and tells (facts: protocol 2.4, 4.1, 4.4, 4.6). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/api_versions.h"
#include "codec/find_coordinator.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/sim.h"

enum {
    KEY_PRODUCE = 0,
    KEY_LIST_OFFSETS = 2,
    KEY_METADATA = 3,
    KEY_FIND_COORDINATOR = 10,
    KEY_API_VERSIONS = 18
};

static struct sim sim;
static struct sim_client client;
static struct arena arena;

static void begin(const char *settings)
{
    arena_init(&arena, NULL);
    sim_open(&sim, 5, settings);
    sim_connect(&sim, &client);
}

static void set_up(void)
{
    begin("");
}

static void tear_down(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
    arena_destroy(&arena);
}

static slice text(const char *of)
{
    return slice_of_string(of);
}

/* -- what the authoriser of a test denies --------------------------------------------------------- */

struct denial {
    enum acl_operation op;
    const char *name;
};

static struct denial denials[4];
static size_t denial_count;

static bool deny_some(void *context, const struct conn *conn, enum acl_operation op, int resource_type,
                      slice name)
{
    (void)context;
    (void)conn;
    (void)resource_type;
    for (size_t i = 0; i < denial_count; i++)
        if (denials[i].op == op && slice_equal_string(name, denials[i].name))
            return false;
    return true;
}

static void deny(enum acl_operation op, const char *name)
{
    denials[denial_count++] = (struct denial){ op, name };
    sim.server->authorize = deny_some;
}

/* -- Metadata --------------------------------------------------------------------------------------- */

static struct metadata_request asked;
static struct metadata_request_topic asked_topics[1200];
static struct metadata_response told;

static void ask_for(const char *const *names, size_t count)
{
    metadata_request_init(&asked);
    asked.topics = asked_topics;
    asked.topics_count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        metadata_request_topic_init(&asked_topics[i]);
        asked_topics[i].name = text(names[i]);
    }
}

static void metadata(int16_t version)
{
    ck_assert(sim_call(&client, KEY_METADATA, version, &asked, &told));
}

static void metadata_of(int16_t version, const char *name)
{
    ask_for(&name, 1);
    metadata(version);
    ck_assert_int_eq(told.topics_count, 1);
}

static const struct metadata_response_topic *told_topic(const char *name)
{
    for (int32_t i = 0; i < told.topics_count; i++)
        if (slice_equal_string(told.topics[i].name, name))
            return &told.topics[i];
    return NULL;
}

static uuid id_of(const char *name)
{
    metadata_of(12, name);
    ck_assert_int_eq(told.topics[0].error_code, ERR_NONE);
    return told.topics[0].topic_id;
}

START_TEST(every_version_tells_brokers_and_makes_topics)
{
    for (int16_t version = 0; version <= 13; version++) {
        char name[16];
        snprintf(name, sizeof name, "made-by-v%d", version);
        metadata_of(version, name);
        const struct metadata_response_topic *topic = &told.topics[0];
        ck_assert_int_eq(topic->error_code, ERR_NONE);
        ck_assert(slice_equal_string(topic->name, name));
        ck_assert_int_eq(topic->partitions_count, 1);
        ck_assert_int_eq(topic->partitions[0].leader_id, 1);
        ck_assert_int_eq(topic->partitions[0].leader_epoch, version >= 7 ? 0 : -1);
        ck_assert_int_eq(topic->partitions[0].replica_nodes_count, 1);
        ck_assert_int_eq(topic->partitions[0].isr_nodes[0], 1);
        ck_assert_int_eq(topic->partitions[0].offline_replicas_count, 0);
        ck_assert(uuid_is_zero(topic->topic_id) == (version < 10));
        ck_assert_int_eq(topic->topic_authorized_operations, INT32_MIN);
        ck_assert_int_eq(told.brokers_count, 1);
        ck_assert_int_eq(told.brokers[0].node_id, 1);
        ck_assert_uint_gt(told.brokers[0].host.size, 0);
        ck_assert_int_eq(told.controller_id, version >= 1 ? 1 : -1);
        ck_assert_uint_eq(told.cluster_id.size, version >= 2 ? UUID_TEXT_SIZE : 0);
        ck_assert_int_eq(told.error_code, ERR_NONE);
    }
}
END_TEST

START_TEST(all_none_and_some)
{
    static const char *const names[] = { "a", "b", "a", "b", "a" };
    ask_for(names, 5);
    metadata(4);
    ck_assert_msg(told.topics_count == 2, "a name twice is one entry");
    asked.topics_count = 0;
    metadata(0);
    ck_assert_msg(told.topics_count == 2, "v0: an empty list means all");
    metadata(1);
    ck_assert_msg(told.topics_count == 0, "v1: an empty list means none");
    ck_assert_int_eq(told.brokers_count, 1);
    asked.topics_count = -1;
    for (int16_t version = 1; version <= 13; version++) {
        metadata(version);
        ck_assert_int_eq(told.topics_count, 2);
        ck_assert_int_eq(told_topic("a")->partitions_count, 1);
    }
}
END_TEST

static const struct {
    const char *what;
    const char *settings;
    int16_t version;
    bool allow;
    const char *name;
    int16_t error_code;
} creations[] = {
    { "v3 implies that it may be made", "", 3, true, "a", ERR_NONE },
    { "allowed from v4", "", 4, true, "a", ERR_NONE },
    { "not allowed by the client", "", 4, false, "a", ERR_UNKNOWN_TOPIC_OR_PARTITION },
    { "not allowed by the client, no name", "", 4, false, "a b", ERR_INVALID_TOPIC_EXCEPTION },
    { "not allowed by the broker", "auto.create.topics.enable=false", 13, true, "a",
      ERR_UNKNOWN_TOPIC_OR_PARTITION },
    { "no name", "", 13, true, "a/b", ERR_INVALID_TOPIC_EXCEPTION },
    { "an empty name", "", 13, true, "", ERR_INVALID_TOPIC_EXCEPTION },
    { "defaults that this cluster cannot keep", "default.replication.factor=3", 9, true, "a",
      ERR_INVALID_REPLICATION_FACTOR },
};

START_TEST(topics_are_made_when_all_agree)
{
    tear_down();
    begin(creations[_i].settings);
    ask_for(&creations[_i].name, 1);
    asked.allow_auto_topic_creation = creations[_i].allow;
    metadata(creations[_i].version);
    ck_assert_int_eq(told.topics_count, 1);
    ck_assert_msg(told.topics[0].error_code == creations[_i].error_code, "%s: %s", creations[_i].what,
                  error_name(told.topics[0].error_code));
    ck_assert(slice_equal_string(told.topics[0].name, creations[_i].name));
    ck_assert_int_eq(told.topics[0].partitions_count, creations[_i].error_code == ERR_NONE);
}
END_TEST

START_TEST(the_settings_of_the_broker_hold)
{
    tear_down();
    begin("num.partitions=7");
    metadata_of(9, "a");
    ck_assert_int_eq(told.topics[0].partitions_count, 7);
    for (int32_t i = 0; i < 7; i++)
        ck_assert_int_eq(told.topics[0].partitions[i].partition, i);
    metadata_of(9, "__consumer_offsets");
    ck_assert_int_eq(told.topics[0].error_code, ERR_NONE);
    ck_assert_int_eq(told.topics[0].partitions_count, 50);
    ck_assert(told.topics[0].is_internal);
    const struct topic *topic =
        image_topic_by_name(controller_image(sim.server->controller), text("__consumer_offsets"));
    ck_assert_uint_eq(topic->config.cleanup_policy, CLEANUP_COMPACT);
    ck_assert_int_eq(topic->config.segment_bytes, 104857600);
    metadata_of(9, "__transaction_state");
    ck_assert_int_eq(told.topics[0].error_code, ERR_NONE);
    metadata_of(9, "__share_group_state");
    ck_assert_int_eq(told.topics[0].error_code, ERR_NONE);
}
END_TEST

/* facts: reliability, row 84 */
START_TEST(one_request_makes_a_hundred_at_most)
{
    static char names[1000][16];
    const char *pointers[1000];
    for (int i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof names[i], "t%03d", i);
        pointers[i] = names[i];
    }
    for (int round = 1; round <= 3; round++) {
        int made = 0;
        ask_for(pointers, 1000);
        metadata(8);
        ck_assert_int_eq(told.topics_count, 1000);
        for (int i = 0; i < 1000; i++) {
            made += told.topics[i].error_code == ERR_NONE;
            ck_assert(told.topics[i].error_code == ERR_NONE ||
                      told.topics[i].error_code == ERR_UNKNOWN_TOPIC_OR_PARTITION);
        }
        ck_assert_int_eq(made, 100 * round);
    }
}
END_TEST

START_TEST(topics_are_found_by_id)
{
    uuid id = id_of("a");
    metadata_request_init(&asked);
    asked.topics = asked_topics;
    asked.topics_count = 4;
    for (int i = 0; i < 4; i++)
        metadata_request_topic_init(&asked_topics[i]);
    asked_topics[0].topic_id = id;
    asked_topics[0].name = SLICE_NULL;
    asked_topics[1].topic_id = UUID_ONE;
    asked_topics[1].name = SLICE_NULL;
    asked_topics[2].name = SLICE_LITERAL("passed-over"); /* as soon as one id is there */
    asked_topics[3].topic_id = id;
    asked_topics[3].name = SLICE_NULL;
    for (int16_t version = 12; version <= 13; version++) {
        metadata(version);
        ck_assert_int_eq(told.topics_count, 2);
        const struct metadata_response_topic *found = told_topic("a");
        ck_assert(uuid_equal(found->topic_id, id));
        ck_assert_int_eq(found->error_code, ERR_NONE);
        const struct metadata_response_topic *unknown = &told.topics[found == &told.topics[0]];
        ck_assert_int_eq(unknown->error_code, ERR_UNKNOWN_TOPIC_ID);
        ck_assert(slice_is_null(unknown->name));
        ck_assert(uuid_equal(unknown->topic_id, UUID_ONE));
    }
}
END_TEST

/* v10 and v11 have the fields, and may not use them. */
START_TEST(ids_before_version_12_are_refused)
{
    uuid id = id_of("a");
    for (int16_t version = 10; version <= 11; version++) {
        for (int use_id = 0; use_id <= 1; use_id++) {
            metadata_request_init(&asked);
            asked.topics = asked_topics;
            asked.topics_count = 2;
            metadata_request_topic_init(&asked_topics[0]);
            metadata_request_topic_init(&asked_topics[1]);
            asked_topics[0].name = use_id ? SLICE_LITERAL("a") : SLICE_NULL;
            asked_topics[0].topic_id = use_id ? id : UUID_ZERO;
            asked_topics[1].name = SLICE_LITERAL("b");
            metadata(version);
            ck_assert_int_eq(told.topics_count, 2);
            ck_assert_int_eq(told.topics[0].error_code, ERR_INVALID_REQUEST);
            ck_assert_int_eq(told.topics[1].error_code, ERR_INVALID_REQUEST);
            ck_assert_int_eq(told.brokers_count, 0);
        }
    }
    asked.topics_count = -1;
    metadata(13);
    ck_assert_msg(told_topic("b") == NULL, "nothing was made");
}
END_TEST

START_TEST(operations_are_told_when_asked_for)
{
    enum { TOPIC_BITS = 0x0df8, CLUSTER_BITS = 0x1fa0 }; /* 3-8, 10, 11; 5, 7-12 */
    metadata_of(8, "a");
    for (int16_t version = 8; version <= 13; version++) {
        ask_for((const char *const[]){ "a", "no name" }, 2);
        asked.include_topic_authorized_operations = true;
        asked.include_cluster_authorized_operations = version <= 10;
        metadata(version);
        ck_assert_int_eq(told_topic("a")->topic_authorized_operations, TOPIC_BITS);
        ck_assert_int_eq(told.cluster_authorized_operations, version <= 10 ? CLUSTER_BITS : INT32_MIN);
    }
    deny(OP_WRITE, "a");
    deny(OP_DESCRIBE, "kafka-cluster");
    ask_for((const char *const[]){ "a" }, 1);
    asked.include_topic_authorized_operations = asked.include_cluster_authorized_operations = true;
    metadata(10);
    ck_assert_int_eq(told.topics[0].topic_authorized_operations, TOPIC_BITS & ~(1 << OP_WRITE));
    ck_assert_int_eq(told.cluster_authorized_operations, 0);
}
END_TEST

START_TEST(what_may_not_be_described_stays_hidden)
{
    uuid id = id_of("a");
    id_of("b");
    deny(OP_DESCRIBE, "a");
    deny(OP_DESCRIBE, "not-there");
    ask_for((const char *const[]){ "a", "b", "not-there" }, 3);
    metadata(12);
    ck_assert_int_eq(told_topic("a")->error_code, ERR_TOPIC_AUTHORIZATION_FAILED);
    ck_assert(uuid_is_zero(told_topic("a")->topic_id));
    ck_assert_int_eq(told_topic("not-there")->error_code, ERR_TOPIC_AUTHORIZATION_FAILED);
    ck_assert_int_eq(told_topic("b")->error_code, ERR_NONE);
    asked.topics_count = -1;
    metadata(12);
    ck_assert_int_eq(told.topics_count, 1);
    asked.topics_count = 1;
    asked_topics[0].name = SLICE_NULL;
    asked_topics[0].topic_id = id;
    metadata(12);
    ck_assert_int_eq(told.topics[0].error_code, ERR_TOPIC_AUTHORIZATION_FAILED);
    ck_assert(slice_is_null(told.topics[0].name));
    ck_assert(uuid_equal(told.topics[0].topic_id, id));
}
END_TEST

START_TEST(creating_needs_the_right_to_it)
{
    deny(OP_CREATE, "kafka-cluster");
    metadata_of(9, "allowed-by-topic");
    ck_assert_int_eq(told.topics[0].error_code, ERR_NONE);
    deny(OP_CREATE, "denied");
    ask_for((const char *const[]){ "denied", "allowed" }, 2);
    metadata(9);
    ck_assert_int_eq(told_topic("denied")->error_code, ERR_TOPIC_AUTHORIZATION_FAILED);
    ck_assert_int_eq(told_topic("allowed")->error_code, ERR_NONE);
}
END_TEST

/* Two connections that want the same topic at once both get it. */
START_TEST(two_clients_make_one_topic)
{
    struct sim_client other;
    struct metadata_response second;
    sim_connect(&sim, &other);
    ask_for((const char *const[]){ "wanted" }, 1);
    ck_assert(sim_send(&client, KEY_METADATA, 12, &asked));
    ck_assert(sim_send(&other, KEY_METADATA, 12, &asked));
    ck_assert(sim_receive(&client, KEY_METADATA, 12, &told));
    ck_assert(sim_receive(&other, KEY_METADATA, 12, &second));
    ck_assert_int_eq(told.topics[0].error_code, ERR_NONE);
    ck_assert_int_eq(second.topics[0].error_code, ERR_NONE);
    ck_assert(uuid_equal(told.topics[0].topic_id, second.topics[0].topic_id));
    sim_disconnect(&other);
}
END_TEST

START_TEST(a_client_that_leaves_does_no_harm)
{
    struct sim_client other;
    sim_connect(&sim, &other);
    ask_for((const char *const[]){ "left-behind" }, 1);
    ck_assert(sim_send(&other, KEY_METADATA, 12, &asked));
    sim_disconnect(&other);
    sim_settle(&sim);
    metadata_of(12, "left-behind");
    ck_assert_int_eq(told.topics[0].error_code, ERR_NONE);
}
END_TEST

/* -- ListOffsets -------------------------------------------------------------------------------------- */

/* Three batches; timestamps 100 300 200 | 250 | 400 350. */
static void produce_six(const char *topic_name)
{
    static const int64_t timestamps[3][3] = { { 100, 300, 200 }, { 250 }, { 400, 350 } };
    static const int counts[3] = { 3, 1, 2 };
    for (int b = 0; b < 3; b++) {
        struct batch_builder_options options = { NO_PRODUCER, .attributes = b == 1 ? CODEC_ZSTD : CODEC_NONE };
        struct batch_builder *builder = batch_builder_open(&arena, &options);
        struct batch_view batch;
        for (int i = 0; i < counts[b]; i++)
            ck_assert(batch_builder_add(builder, timestamps[b][i], SLICE_NULL, text("value"), NULL, 0));
        ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
        struct one_produce one;
        struct produce_response response;
        one_produce(&one, topic_name, 0, batch_bytes(&batch));
        ck_assert(sim_call(&client, KEY_PRODUCE, 9, &one.request, &response));
        ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
    }
}

static struct list_offsets_request where;
static struct list_offsets_request_topic where_topics[8];
static struct list_offsets_request_partition where_partitions[8];
static struct list_offsets_response at;

static const struct list_offsets_response_partition *list(int16_t version, const char *topic,
                                                          int32_t partition, int64_t timestamp)
{
    list_offsets_request_init(&where);
    list_offsets_request_topic_init(&where_topics[0]);
    list_offsets_request_partition_init(&where_partitions[0]);
    where.replica_id = -1;
    where.topics = where_topics;
    where.topics_count = 1;
    where_topics[0].name = text(topic);
    where_topics[0].partitions = where_partitions;
    where_topics[0].partitions_count = 1;
    where_partitions[0].partition = partition;
    where_partitions[0].timestamp = timestamp;
    ck_assert(sim_call(&client, KEY_LIST_OFFSETS, version, &where, &at));
    ck_assert_int_eq(at.topics_count, 1);
    ck_assert_int_eq(at.topics[0].partitions_count, 1);
    return &at.topics[0].partitions[0];
}

static const struct {
    const char *what;
    int64_t timestamp;
    int16_t since;
    int64_t offset;
    int64_t found_timestamp;
    int32_t leader_epoch;
} positions[] = {
    { "latest", -1, 1, 6, -1, 0 },
    { "earliest", -2, 1, 0, -1, 0 },
    { "largest timestamp", -3, 7, 4, 400, 0 },
    { "earliest local", -4, 8, 0, -1, 0 },
    { "latest tiered", -5, 9, -1, -1, -1 },
    { "earliest pending upload", -6, 11, -1, -1, -1 },
    { "time 0", 0, 1, 0, 100, 0 },
    { "the first record's time", 100, 1, 0, 100, 0 },
    { "in between: the record, not its batch", 101, 1, 1, 300, 0 },
    { "the first in offset order, not in time", 250, 1, 1, 300, 0 },
    { "a time that only a later batch has", 301, 1, 4, 400, 0 },
    { "the newest", 400, 1, 4, 400, 0 },
    { "later than all", 401, 1, -1, -1, -1 },
    { "the end of time", INT64_MAX, 1, -1, -1, -1 },
};

START_TEST(every_position_in_every_version)
{
    id_of("a");
    produce_six("a");
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        for (int16_t version = 1; version <= 11; version++) {
            const struct list_offsets_response_partition *found =
                list(version, "a", 0, positions[i].timestamp);
            if (version < positions[i].since) {
                ck_assert_msg(found->error_code == ERR_UNSUPPORTED_VERSION, "%s v%d: %s", positions[i].what,
                              version, error_name(found->error_code));
                ck_assert_int_eq(found->offset, -1);
                continue;
            }
            ck_assert_int_eq(found->error_code, ERR_NONE);
            ck_assert_msg(found->offset == positions[i].offset, "%s v%d: offset %lld", positions[i].what,
                          version, (long long)found->offset);
            ck_assert_int_eq(found->timestamp, positions[i].found_timestamp);
            ck_assert_int_eq(found->leader_epoch, version >= 4 ? positions[i].leader_epoch : -1);
        }
    }
    for (int16_t version = 1; version <= 11; version++) {
        ck_assert_int_eq(list(version, "a", 0, -7)->error_code, ERR_UNSUPPORTED_VERSION);
        ck_assert_int_eq(list(version, "a", 0, INT64_MIN)->error_code, ERR_UNSUPPORTED_VERSION);
    }
}
END_TEST

START_TEST(an_empty_log_has_its_positions)
{
    id_of("empty");
    for (int64_t timestamp = -6; timestamp <= 1; timestamp++) {
        const struct list_offsets_response_partition *found = list(11, "empty", 0, timestamp);
        bool is_end = timestamp == -1 || timestamp == -2 || timestamp == -4;
        ck_assert_int_eq(found->error_code, ERR_NONE);
        ck_assert_int_eq(found->offset, is_end ? 0 : -1);
        ck_assert_int_eq(found->timestamp, -1);
        ck_assert_int_eq(found->leader_epoch, is_end ? 0 : -1);
    }
}
END_TEST

START_TEST(partitions_that_cannot_be_listed)
{
    id_of("a");
    produce_six("a");
    ck_assert_int_eq(list(5, "a", 1, -1)->error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(list(5, "a", -1, -1)->error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(list(5, "b", 0, -1)->error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(list(5, "b", 0, -9)->error_code, ERR_UNSUPPORTED_VERSION);
    where_partitions[0].partition = 0;
    where_partitions[0].timestamp = -1;
    where_topics[0].name = SLICE_LITERAL("a");
    where_partitions[0].current_leader_epoch = 1;
    ck_assert(sim_call(&client, KEY_LIST_OFFSETS, 4, &where, &at));
    ck_assert_int_eq(at.topics[0].partitions[0].error_code, ERR_UNKNOWN_LEADER_EPOCH);
    where_partitions[0].current_leader_epoch = 0;
    ck_assert(sim_call(&client, KEY_LIST_OFFSETS, 4, &where, &at));
    ck_assert_int_eq(at.topics[0].partitions[0].error_code, ERR_NONE);
    where.isolation_level = 1;
    ck_assert(sim_call(&client, KEY_LIST_OFFSETS, 4, &where, &at));
    ck_assert_int_eq(at.topics[0].partitions[0].offset, 6);
}
END_TEST

static const struct {
    const char *what;
    int topic_count;
    const char *names[3];
    int counts[3];
    int32_t partitions[8];
    bool duplicates[8];
} mentions[] = {
    { "no partition twice", 1, { "a" }, { 3 }, { 0, 1, 2 }, { 0 } },
    { "not in order", 1, { "a" }, { 3 }, { 2, 0, 1 }, { 0 } },
    { "twice in a row", 1, { "a" }, { 3 }, { 0, 0, 1 }, { true, true, false } },
    { "twice, apart", 1, { "a" }, { 3 }, { 1, 0, 1 }, { true, false, true } },
    { "thrice", 1, { "a" }, { 4 }, { 1, 1, 0, 1 }, { true, true, false, true } },
    { "the topic twice, other partitions", 2, { "a", "a" }, { 1, 1 }, { 0, 1 }, { 0 } },
    { "the topic twice, same partition", 2, { "a", "a" }, { 1, 1 }, { 1, 1 }, { true, true } },
    { "same partition of different topics", 2, { "b", "a" }, { 1, 1 }, { 1, 1 }, { 0 } },
    { "a topic between", 3, { "a", "b", "a" }, { 1, 1, 2 }, { 0, 0, 2, 0 }, { true, false, false, true } },
    { "an unknown topic's partition twice", 1, { "unknown" }, { 2 }, { 0, 0 }, { true, true } },
    { "a negative partition twice", 1, { "a" }, { 2 }, { -1, -1 }, { true, true } },
};

START_TEST(a_partition_twice_is_refused)
{
    tear_down();
    begin("num.partitions=3");
    id_of("a");
    id_of("b");
    list_offsets_request_init(&where);
    where.replica_id = -1;
    where.topics = where_topics;
    where.topics_count = mentions[_i].topic_count;
    int next = 0;
    for (int t = 0; t < mentions[_i].topic_count; t++) {
        where_topics[t].name = text(mentions[_i].names[t]);
        where_topics[t].partitions = &where_partitions[next];
        where_topics[t].partitions_count = mentions[_i].counts[t];
        for (int p = 0; p < mentions[_i].counts[t]; p++, next++) {
            list_offsets_request_partition_init(&where_partitions[next]);
            where_partitions[next].partition = mentions[_i].partitions[next];
            where_partitions[next].timestamp = -1;
        }
    }
    ck_assert(sim_call(&client, KEY_LIST_OFFSETS, 6, &where, &at));
    next = 0;
    for (int t = 0; t < mentions[_i].topic_count; t++) {
        ck_assert(slice_equal_string(at.topics[t].name, mentions[_i].names[t]));
        for (int p = 0; p < mentions[_i].counts[t]; p++, next++) {
            bool is_duplicate = at.topics[t].partitions[p].error_code == ERR_INVALID_REQUEST;
            ck_assert_msg(is_duplicate == mentions[_i].duplicates[next], "%s: place %d", mentions[_i].what,
                          next);
        }
    }
}
END_TEST

/* -- FindCoordinator ---------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    int8_t type;
    const char *key;
    int16_t version;
    int16_t error_code;
} searches[] = {
    { "a group", 0, "group", 0, ERR_NONE },
    { "a group", 0, "group", 6, ERR_NONE },
    { "an empty group", 0, "", 3, ERR_NONE },
    { "a transactional id, for those who take nothing else as final", 1, "txn", 1,
      ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED },
    { "a transactional id", 1, "txn", 4, ERR_UNSUPPORTED_VERSION },
    { "an unknown type", 3, "x", 2, ERR_INVALID_REQUEST },
    { "an unknown type", 3, "x", 5, ERR_INVALID_REQUEST },
    { "a negative type", -1, "x", 5, ERR_INVALID_REQUEST },
    { "a share partition", 2, "group:AAECAwQFBgcICQoLDA0ODw:17", 6, ERR_NONE },
    { "a share group's id with colons", 2, "a:b:AAECAwQFBgcICQoLDA0ODw:0", 6, ERR_NONE },
    { "a share partition too early", 2, "group:AAECAwQFBgcICQoLDA0ODw:17", 5, ERR_INVALID_REQUEST },
    { "a share group alone", 2, "group", 6, ERR_INVALID_REQUEST },
    { "a share key without group", 2, ":AAECAwQFBgcICQoLDA0ODw:1", 6, ERR_INVALID_REQUEST },
    { "a share key without partition", 2, "group:AAECAwQFBgcICQoLDA0ODw:", 6, ERR_INVALID_REQUEST },
    { "a share key with a word as partition", 2, "group:AAECAwQFBgcICQoLDA0ODw:x", 6, ERR_INVALID_REQUEST },
    { "a share key without id", 2, "group:short:1", 6, ERR_INVALID_REQUEST },
    { "a share key without anything", 2, "::", 6, ERR_INVALID_REQUEST },
};

START_TEST(coordinators_are_found)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice keys[2] = { text(searches[_i].key), text(searches[_i].key) };
    find_coordinator_request_init(&request);
    if (searches[_i].version >= 1)
        request.key_type = searches[_i].type;
    if (searches[_i].version >= 4) {
        request.coordinator_keys = keys;
        request.coordinator_keys_count = 2;
    } else {
        request.key = keys[0];
    }
    ck_assert(sim_call(&client, KEY_FIND_COORDINATOR, searches[_i].version, &request, &response));
    bool found = searches[_i].error_code == ERR_NONE;
    if (searches[_i].version < 4) {
        ck_assert_msg(response.error_code == searches[_i].error_code, "%s", searches[_i].what);
        ck_assert_int_eq(response.node_id, found ? 1 : -1);
        ck_assert_int_eq(response.host.size > 0, found);
        return;
    }
    ck_assert_int_eq(response.coordinators_count, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(response.coordinators[i].error_code == searches[_i].error_code, "%s",
                      searches[_i].what);
        ck_assert(slice_equal(response.coordinators[i].key, keys[i]));
        ck_assert_int_eq(response.coordinators[i].node_id, found ? 1 : -1);
        ck_assert_int_eq(response.coordinators[i].host.size > 0, found);
        ck_assert_int_eq(response.coordinators[i].error_message.size > 0, !found);
    }
}
END_TEST

START_TEST(each_coordinator_key_has_its_own_error)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice keys[3] = { text("mine"), text("theirs"), text("mine") };
    deny(OP_DESCRIBE, "theirs");
    find_coordinator_request_init(&request);
    request.coordinator_keys = keys;
    request.coordinator_keys_count = 3;
    for (int8_t type = 0; type <= 1; type++) {
        request.key_type = type;
        ck_assert(sim_call(&client, KEY_FIND_COORDINATOR, 4, &request, &response));
        int16_t allowed = type == 0 ? ERR_NONE : ERR_UNSUPPORTED_VERSION;
        ck_assert_int_eq(response.coordinators[0].error_code, allowed);
        ck_assert_int_eq(response.coordinators[1].error_code,
                         type == 0 ? ERR_GROUP_AUTHORIZATION_FAILED
                                   : ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
        ck_assert_int_eq(response.coordinators[2].error_code, allowed);
    }
    deny(OP_CLUSTER_ACTION, "kafka-cluster");
    request.key_type = 2;
    ck_assert(sim_call(&client, KEY_FIND_COORDINATOR, 6, &request, &response));
    ck_assert_int_eq(response.coordinators[0].error_code, ERR_CLUSTER_AUTHORIZATION_FAILED);
}
END_TEST

/* -- ApiVersions -------------------------------------------------------------------------------------- */

static struct api_versions_response versions;

static void ask_versions(int16_t version, const char *name, const char *software_version)
{
    struct api_versions_request request;
    api_versions_request_init(&request);
    if (version >= 3) {
        request.client_software_name = text(name);
        request.client_software_version = text(software_version);
    }
    ck_assert(sim_call(&client, KEY_API_VERSIONS, version, &request, &versions));
}

START_TEST(what_is_served_is_told)
{
    for (int16_t version = 0; version <= 4; version++) {
        ask_versions(version, "test", "1.0");
        ck_assert_int_eq(versions.error_code, ERR_NONE);
        ck_assert_int_ge(versions.api_keys_count, 6);
        for (int32_t i = 0; i < versions.api_keys_count; i++) {
            const struct api_versions_response_api_key *key = &versions.api_keys[i];
            ck_assert(i == 0 || key->api_key > versions.api_keys[i - 1].api_key);
            ck_assert_int_le(key->min_version, key->max_version);
            if (key->api_key == KEY_PRODUCE)
                ck_assert_msg(key->min_version == 0, "old librdkafka looks for it (facts: protocol, trap 5)");
        }
        if (version < 3)
            continue;
        ck_assert_int_eq(versions.supported_features_count, version >= 4 ? 2 : 1);
        ck_assert_int_eq(versions.supported_features[0].min_version, 7);
        ck_assert_int_eq(versions.finalized_features_count, 2);
        ck_assert_int_eq(versions.finalized_features[0].max_version_level, 25);
        ck_assert_int_eq(versions.finalized_features[0].min_version_level, 25);
    }
}
END_TEST

/* Clients keep the features with the highest epoch that they ever saw. */
START_TEST(the_features_epoch_never_falls)
{
    int64_t epoch = -1;
    for (int round = 0; round < 4; round++) {
        char name[16];
        snprintf(name, sizeof name, "topic-%d", round);
        ask_versions(3, "test", "1");
        ck_assert_int_ge(versions.finalized_features_epoch, 0);
        ck_assert_int_ge(versions.finalized_features_epoch, epoch);
        epoch = versions.finalized_features_epoch;
        if (round == 2) {
            sim_disconnect(&client);
            sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
            sim_connect(&sim, &client);
        } else {
            id_of(name);
        }
    }
    ck_assert_int_gt(epoch, 0);
}
END_TEST

static const struct {
    const char *name;
    const char *version;
    bool ok;
} softwares[] = {
    { "apache-kafka-java", "4.2.0", true },
    { "a", "1", true },
    { "librdkafka", "2.0.2-RC1.x", true },
    { "", "1", false },
    { "x", "", false },
    { "-x", "1", false },
    { "x-", "1", false },
    { "x", "1.", false },
    { "x y", "1", false },
    { "x_y", "1", false },
    { "\xc3\xa9", "1", false },
    { ".", "1", false },
};

START_TEST(software_names_are_checked)
{
    for (int16_t version = 3; version <= 4; version++) {
        ask_versions(version, softwares[_i].name, softwares[_i].version);
        ck_assert_msg(versions.error_code == (softwares[_i].ok ? ERR_NONE : ERR_INVALID_REQUEST),
                      "\"%s\" \"%s\"", softwares[_i].name, softwares[_i].version);
        ck_assert((versions.api_keys_count > 0) == softwares[_i].ok);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metadata_apis");
    TCase *tests = tcase_create("metadata_apis");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, every_version_tells_brokers_and_makes_topics);
    tcase_add_test(tests, all_none_and_some);
    tcase_add_loop_test(tests, topics_are_made_when_all_agree, 0, sizeof creations / sizeof creations[0]);
    tcase_add_test(tests, the_settings_of_the_broker_hold);
    tcase_add_test(tests, one_request_makes_a_hundred_at_most);
    tcase_add_test(tests, topics_are_found_by_id);
    tcase_add_test(tests, ids_before_version_12_are_refused);
    tcase_add_test(tests, operations_are_told_when_asked_for);
    tcase_add_test(tests, what_may_not_be_described_stays_hidden);
    tcase_add_test(tests, creating_needs_the_right_to_it);
    tcase_add_test(tests, two_clients_make_one_topic);
    tcase_add_test(tests, a_client_that_leaves_does_no_harm);
    tcase_add_test(tests, every_position_in_every_version);
    tcase_add_test(tests, an_empty_log_has_its_positions);
    tcase_add_test(tests, partitions_that_cannot_be_listed);
    tcase_add_loop_test(tests, a_partition_twice_is_refused, 0, sizeof mentions / sizeof mentions[0]);
    tcase_add_loop_test(tests, coordinators_are_found, 0, sizeof searches / sizeof searches[0]);
    tcase_add_test(tests, each_coordinator_key_has_its_own_error);
    tcase_add_test(tests, what_is_served_is_told);
    tcase_add_test(tests, the_features_epoch_never_falls);
    tcase_add_loop_test(tests, software_names_are_checked, 0, sizeof softwares / sizeof softwares[0]);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
