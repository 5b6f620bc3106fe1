/* CreateTopics, DeleteTopics and CreatePartitions against the whole broker: what each version asks and tells
 * (facts: protocol 4.12; Kafka 4.2's ControllerApis and ReplicationControlManager). */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/partition.h"
#include "codec/create_partitions.h"
#include "codec/create_topics.h"
#include "codec/delete_topics.h"
#include "protocol/errors.h"
#include "tests/support/sim.h"

enum { KEY_CREATE = 19, KEY_DELETE = 20, KEY_GROW = 37, TOPICS_MAX = 16 };

static struct sim sim;
static struct sim_client client;

static void begin(const char *settings)
{
    sim_open(&sim, 11, settings);
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
}

static slice text(const char *of)
{
    return slice_of_string(of);
}

static const struct topic *topic_of(const char *name)
{
    return image_topic_by_name(controller_image(sim.server->controller), text(name));
}

/* -- what the authoriser of a test denies --------------------------------------------------------- */

static struct {
    enum acl_operation op;
    const char *name; /* "" : the cluster */
} denials[8];
static size_t denial_count;

static bool deny_some(void *context, const struct conn *conn, enum acl_operation op, int resource_type,
                      slice name)
{
    enum { CLUSTER = 4 };
    (void)context;
    (void)conn;
    for (size_t i = 0; i < denial_count; i++) {
        bool is_cluster = !denials[i].name[0];
        if (denials[i].op == op &&
            (is_cluster ? resource_type == CLUSTER : slice_equal_string(name, denials[i].name)))
            return false;
    }
    return true;
}

static void deny(enum acl_operation op, const char *name)
{
    denials[denial_count].op = op;
    denials[denial_count++].name = name;
    sim.server->authorize = deny_some;
}

/* -- CreateTopics --------------------------------------------------------------------------------- */

static struct create_topics_request create_request;
static struct create_topics_request_topic create_topics[TOPICS_MAX];
static struct create_topics_response created;

static struct create_topics_request_topic *want(const char *name, int32_t partitions, int16_t replicas)
{
    struct create_topics_request_topic *topic = &create_topics[create_request.topics_count++];
    create_topics_request_topic_init(topic);
    topic->name = text(name);
    topic->num_partitions = partitions;
    topic->replication_factor = replicas;
    return topic;
}

static void begin_create(void)
{
    create_topics_request_init(&create_request);
    create_request.topics = create_topics;
    create_request.timeout_ms = 1000;
}

static void create(int16_t version)
{
    ck_assert(sim_call(&client, KEY_CREATE, version, &create_request, &created));
}

static void make(const char *name, int32_t partitions)
{
    begin_create();
    want(name, partitions, 1);
    create(7);
    ck_assert_int_eq(created.topics[0].error_code, ERR_NONE);
}

START_TEST(every_version_creates)
{
    for (int16_t version = 2; version <= 7; version++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", version);
        begin_create();
        want(name, version < 4 ? 2 : -1, version < 4 ? 1 : -1);
        create(version);
        ck_assert_int_eq(created.topics_count, 1);
        const struct create_topics_response_topic *topic = &created.topics[0];
        ck_assert_int_eq(topic->error_code, ERR_NONE);
        ck_assert(slice_is_null(topic->error_message));
        ck_assert(slice_equal_string(topic->name, name));
        ck_assert_int_eq(topic_of(name)->partition_count, version < 4 ? 2 : 1);
        if (version >= 5) {
            ck_assert_int_eq(topic->num_partitions, 1);
            ck_assert_int_eq(topic->replication_factor, 1);
            ck_assert_int_gt(topic->configs_count, 30);
        }
        if (version >= 7)
            ck_assert(uuid_equal(topic->topic_id, topic_of(name)->id));
    }
}
END_TEST

static const struct create_topics_response_config *config_of(const struct create_topics_response_topic *topic,
                                                             const char *name)
{
    for (int32_t i = 0; i < topic->configs_count; i++)
        if (slice_equal_string(topic->configs[i].name, name))
            return &topic->configs[i];
    return NULL;
}

static void expect_config(const struct create_topics_response_topic *topic, const char *name,
                          const char *value, int8_t source)
{
    const struct create_topics_response_config *config = config_of(topic, name);
    ck_assert_ptr_nonnull(config);
    ck_assert_msg(slice_equal_string(config->value, value), "%s=%.*s", name, (int)config->value.size,
                  (const char *)config->value.data);
    ck_assert_int_eq(config->config_source, source);
    ck_assert(!config->read_only);
    ck_assert(!config->is_sensitive);
}

START_TEST(the_answer_tells_the_settings)
{
    struct create_topics_request_config configs[] = {
        { SLICE_LITERAL("retention.ms"), SLICE_LITERAL("5000") },
        { SLICE_LITERAL("internal.segment.bytes"), SLICE_LITERAL("1000") },
    };
    tear_down();
    begin("log.retention.hours=3\nnum.partitions=4\n");
    begin_create();
    struct create_topics_request_topic *own = want("own", -1, -1);
    own->configs = configs;
    own->configs_count = 2;
    want("plain", -1, -1);
    create(7);
    expect_config(&created.topics[0], "retention.ms", "5000", 1);
    expect_config(&created.topics[0], "internal.segment.bytes", "1000", 1);
    expect_config(&created.topics[0], "cleanup.policy", "delete", 5);
    expect_config(&created.topics[1], "retention.ms", "10800000", 4);
    expect_config(&created.topics[1], "segment.bytes", "1073741824", 5);
    ck_assert_ptr_null(config_of(&created.topics[1], "internal.segment.bytes"));
    for (int t = 0; t < 2; t++) {
        ck_assert_int_eq(created.topics[t].num_partitions, 4);
        for (int32_t i = 1; i < created.topics[t].configs_count; i++) {
            slice before = created.topics[t].configs[i - 1].name, after = created.topics[t].configs[i].name;
            size_t size = before.size < after.size ? before.size : after.size;
            ck_assert_int_le(memcmp(before.data, after.data, size), 0);
        }
    }
}
END_TEST

static void expect_made(int32_t at, int16_t error_code, const char *message)
{
    const struct create_topics_response_topic *topic = &created.topics[at];
    ck_assert_msg(topic->error_code == error_code, "%.*s: %s", (int)topic->name.size,
                  (const char *)topic->name.data, error_name(topic->error_code));
    if (message)
        ck_assert_msg(slice_equal_string(topic->error_message, message), "%.*s",
                      (int)topic->error_message.size, (const char *)topic->error_message.data);
    if (error_code == ERR_NONE)
        return;
    ck_assert_int_eq(topic->num_partitions, -1);
    ck_assert_int_eq(topic->replication_factor, -1);
    ck_assert_int_eq(topic->configs_count, 0);
    ck_assert(uuid_is_zero(topic->topic_id));
}

START_TEST(one_bad_topic_does_not_stop_the_others)
{
    make("there", 1);
    begin_create();
    want("twice", 1, 1);
    want("there", 1, 1);
    want("good", 1, 1);
    want("twice", 2, 1);
    want("__cluster_metadata", 1, 1);
    want("twice", 2, 1);
    want("bad name", 1, 1);
    want("__consumer_offsets", 3, 1);
    create(7);
    ck_assert_int_eq(created.topics_count, 6);
    expect_made(0, ERR_TOPIC_ALREADY_EXISTS, "Topic 'there' already exists.");
    expect_made(1, ERR_NONE, NULL);
    expect_made(2, ERR_INVALID_TOPIC_EXCEPTION, NULL);
    expect_made(3, ERR_NONE, NULL); /* Kafka lets clients make the coordinators' topics */
    expect_made(4, ERR_INVALID_REQUEST, "Duplicate topic name.");
    ck_assert(slice_equal_string(created.topics[4].name, "twice"));
    expect_made(5, ERR_INVALID_REQUEST, "Creation of internal topic __cluster_metadata is prohibited.");
    ck_assert_ptr_null(topic_of("twice"));
    ck_assert_int_eq(topic_of("__consumer_offsets")->partition_count, 3);
    ck_assert(topic_of("__consumer_offsets")->is_internal);
}
END_TEST

static int32_t this_node[] = { 1 }, nobody[] = { 7 }, twice[] = { 1, 1 };

static const struct {
    const char *what;
    int32_t partitions;
    int16_t replicas;
    struct create_topics_request_assignment assignments[3];
    int32_t assignment_count;
    int16_t error_code;
    const char *message;
    int32_t made_count;
} assignment_rows[] = {
    { "two partitions", -1, -1, { { 0, this_node, 1 }, { 1, this_node, 1 } }, 2, ERR_NONE, NULL, 2 },
    { "in any order",
      -1,
      -1,
      { { 2, this_node, 1 }, { 0, this_node, 1 }, { 1, this_node, 1 } },
      3,
      ERR_NONE,
      NULL,
      3 },
    { "a count as well",
      2,
      -1,
      { { 0, this_node, 1 }, { 1, this_node, 1 } },
      2,
      ERR_INVALID_REQUEST,
      "A manual partition assignment was specified, but numPartitions was not set to -1.",
      0 },
    { "a factor as well",
      -1,
      1,
      { { 0, this_node, 1 } },
      1,
      ERR_INVALID_REQUEST,
      "A manual partition assignment was specified, but replication factor was not set to -1.",
      0 },
    { "a partition twice",
      -1,
      -1,
      { { 0, this_node, 1 }, { 0, this_node, 1 } },
      2,
      ERR_INVALID_REPLICA_ASSIGNMENT,
      "Found multiple manual partition assignments for partition 0",
      0 },
    { "a gap",
      -1,
      -1,
      { { 0, this_node, 1 }, { 2, this_node, 1 } },
      2,
      ERR_INVALID_REPLICA_ASSIGNMENT,
      "partitions should be a consecutive 0-based integer sequence",
      0 },
    { "a negative partition",
      -1,
      -1,
      { { -1, this_node, 1 } },
      1,
      ERR_INVALID_REPLICA_ASSIGNMENT,
      "partitions should be a consecutive 0-based integer sequence",
      0 },
    { "the largest partition",
      -1,
      -1,
      { { INT32_MAX, this_node, 1 } },
      1,
      ERR_INVALID_REPLICA_ASSIGNMENT,
      "partitions should be a consecutive 0-based integer sequence",
      0 },
    { "nobody",
      -1,
      -1,
      { { 0, NULL, 0 } },
      1,
      ERR_INVALID_REPLICA_ASSIGNMENT,
      "The manual partition assignment includes an empty replica list.",
      0 },
    { "an unknown broker",
      -1,
      -1,
      { { 0, nobody, 1 } },
      1,
      ERR_INVALID_REPLICA_ASSIGNMENT,
      "The manual partition assignment includes broker 7, but no such broker is registered.",
      0 },
    { "a broker twice",
      -1,
      -1,
      { { 0, twice, 2 } },
      1,
      ERR_INVALID_REPLICA_ASSIGNMENT,
      "The manual partition assignment includes the broker 1 more than once.",
      0 },
};

START_TEST(manual_assignments)
{
    for (int validate_only = 1; validate_only >= 0; validate_only--) {
        begin_create();
        struct create_topics_request_topic *topic =
            want("t", assignment_rows[_i].partitions, assignment_rows[_i].replicas);
        topic->assignments = (struct create_topics_request_assignment *)assignment_rows[_i].assignments;
        topic->assignments_count = assignment_rows[_i].assignment_count;
        create_request.validate_only = validate_only;
        create(7);
        ck_assert_msg(created.topics[0].error_code == assignment_rows[_i].error_code, "%s",
                      assignment_rows[_i].what);
        expect_made(0, assignment_rows[_i].error_code, assignment_rows[_i].message);
        if (assignment_rows[_i].error_code == ERR_NONE)
            ck_assert_int_eq(created.topics[0].num_partitions, assignment_rows[_i].made_count);
        ck_assert((topic_of("t") != NULL) == (!validate_only && assignment_rows[_i].error_code == ERR_NONE));
    }
}
END_TEST

START_TEST(creation_is_authorised)
{
    deny(OP_CREATE, "");
    deny(OP_CREATE, "denied");
    deny(OP_DESCRIBE_CONFIGS, "veiled");
    begin_create();
    want("denied", 1, 1);
    want("veiled", 1, 1);
    want("shown", 1, 1);
    create(7);
    ck_assert_int_eq(created.topics[0].error_code, ERR_NONE);
    ck_assert_int_eq(created.topics[0].topic_config_error_code, ERR_TOPIC_AUTHORIZATION_FAILED);
    ck_assert_int_eq(created.topics[0].num_partitions, -1);
    ck_assert_int_eq(created.topics[0].replication_factor, -1);
    ck_assert_int_eq(created.topics[0].configs_count, 0);
    ck_assert(!uuid_is_zero(created.topics[0].topic_id));
    ck_assert_int_eq(created.topics[1].topic_config_error_code, ERR_NONE);
    ck_assert_int_gt(created.topics[1].configs_count, 0);
    expect_made(2, ERR_TOPIC_AUTHORIZATION_FAILED, "Authorization failed.");
    ck_assert_ptr_null(topic_of("denied"));
}
END_TEST

START_TEST(whoever_may_create_in_the_cluster_may_create_any)
{
    deny(OP_CREATE, "denied");
    begin_create();
    want("denied", 1, 1);
    create(7);
    expect_made(0, ERR_NONE, NULL);
}
END_TEST

START_TEST(ten_thousand_topics_in_one_request)
{
    enum { COUNT = 10001 };
    struct create_topics_request_topic *topics = calloc(COUNT, sizeof *topics);
    char(*names)[24] = calloc(COUNT, sizeof *names);
    begin_create();
    create_request.topics = topics;
    for (int i = 0; i < COUNT; i++) {
        create_topics_request_topic_init(&topics[i]);
        snprintf(names[i], sizeof names[i], "topic-%d", i);
        topics[i].name = text(names[i]);
        topics[i].num_partitions = -1;
        topics[i].replication_factor = -1;
    }
    create_request.topics_count = COUNT;
    create(7);
    ck_assert_int_eq(created.topics_count, COUNT);
    expect_made(0, ERR_POLICY_VIOLATION, "Excessively large number of partitions per request.");
    expect_made(COUNT - 1, ERR_POLICY_VIOLATION, NULL);
    create_request.topics_count = COUNT - 1;
    create(7);
    for (int i = 0; i < COUNT - 1; i++)
        expect_made(i, ERR_NONE, NULL);
    ck_assert_uint_eq(controller_image(sim.server->controller)->topic_count, COUNT - 1);

    struct delete_topics_request request;
    struct delete_topics_response response;
    slice *all = calloc(COUNT, sizeof *all);
    for (int i = 0; i < COUNT - 1; i++)
        all[i] = text(names[i]);
    delete_topics_request_init(&request);
    request.topic_names = all;
    request.topic_names_count = COUNT - 1;
    ck_assert(sim_call(&client, KEY_DELETE, 5, &request, &response));
    for (int i = 0; i < COUNT - 1; i++)
        ck_assert_int_eq(response.topics[i].error_code, ERR_NONE);
    ck_assert_uint_eq(controller_image(sim.server->controller)->topic_count, 0);
    free(all);
    free(topics);
    free(names);
}
END_TEST

/* -- DeleteTopics --------------------------------------------------------------------------------- */

static struct delete_topics_request delete_request;
static struct delete_topics_request_topic delete_topics[TOPICS_MAX];
static slice delete_names[TOPICS_MAX];
static struct delete_topics_response deleted;

static void begin_delete(void)
{
    delete_topics_request_init(&delete_request);
    delete_request.topics = delete_topics;
    delete_request.topic_names = delete_names;
}

static void unwant(const char *name, uuid id)
{
    struct delete_topics_request_topic *topic = &delete_topics[delete_request.topics_count++];
    delete_topics_request_topic_init(topic);
    topic->name = text(name);
    topic->topic_id = id;
}

static void unwant_name(const char *name)
{
    delete_names[delete_request.topic_names_count++] = text(name);
}

static void delete (int16_t version)
{
    ck_assert(sim_call(&client, KEY_DELETE, version, &delete_request, &deleted));
}

static void expect_deleted(int32_t at, const char *name, uuid id, int16_t error_code, const char *message)
{
    const struct delete_topics_response_topic *topic = &deleted.topics[at];
    ck_assert_msg(topic->error_code == error_code, "%d: %s", at, error_name(topic->error_code));
    ck_assert_msg(name ? slice_equal_string(topic->name, name) : slice_is_null(topic->name), "%d: %.*s", at,
                  (int)topic->name.size, (const char *)topic->name.data);
    ck_assert_msg(uuid_equal(topic->topic_id, id), "%d: id", at);
    ck_assert_msg(message ? slice_equal_string(topic->error_message, message)
                          : slice_is_null(topic->error_message),
                  "%d: %.*s", at, (int)topic->error_message.size, (const char *)topic->error_message.data);
}

START_TEST(every_version_deletes)
{
    for (int16_t version = 1; version <= 5; version++) {
        make("t", 2);
        begin_delete();
        unwant_name("t");
        unwant_name("missing");
        unwant_name("double");
        unwant_name("double");
        delete (version);
        ck_assert_int_eq(deleted.topics_count, 3);
        ck_assert_int_eq(deleted.topics[0].error_code, ERR_NONE);
        ck_assert_int_eq(deleted.topics[1].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
        ck_assert_int_eq(deleted.topics[2].error_code, ERR_INVALID_REQUEST);
        ck_assert_ptr_null(topic_of("t"));
    }
}
END_TEST

START_TEST(by_name_and_by_id)
{
    uuid unknown = { { 1, 2, 3 } };
    make("a", 1);
    make("b", 1);
    make("c", 1);
    make("d", 1);
    make("e", 1);
    make("__consumer_offsets", 1);
    uuid a = topic_of("a")->id, b = topic_of("b")->id, c = topic_of("c")->id, d = topic_of("d")->id;
    uuid offsets = topic_of("__consumer_offsets")->id;
    begin_delete();
    unwant("a", UUID_ZERO);
    unwant(NULL, b);
    unwant(NULL, UUID_ZERO);
    unwant("c", c);
    unwant(NULL, unknown);
    unwant("missing", UUID_ZERO);
    unwant(NULL, d);
    unwant(NULL, d);
    unwant("d", UUID_ZERO);
    unwant("c", UUID_ZERO);
    unwant(NULL, c);
    unwant("__consumer_offsets", UUID_ZERO);
    unwant("e", UUID_ZERO);
    unwant("e", UUID_ZERO);
    delete (6);
    ck_assert_int_eq(deleted.topics_count, 11);
    expect_deleted(0, "a", a, ERR_NONE, NULL);
    expect_deleted(1, "b", b, ERR_NONE, NULL);
    expect_deleted(2, NULL, UUID_ZERO, ERR_INVALID_REQUEST, "Neither topic name nor id were specified.");
    expect_deleted(3, "c", c, ERR_INVALID_REQUEST, "You may not specify both topic name and topic id.");
    expect_deleted(4, NULL, unknown, ERR_UNKNOWN_TOPIC_ID, "This server does not host this topic ID.");
    expect_deleted(5, "missing", UUID_ZERO, ERR_UNKNOWN_TOPIC_OR_PARTITION,
                   "This server does not host this topic-partition.");
    expect_deleted(6, NULL, d, ERR_INVALID_REQUEST, "Duplicate topic id.");
    expect_deleted(7, "d", d, ERR_INVALID_REQUEST,
                   "The provided topic name maps to an ID that was already supplied.");
    expect_deleted(8, "c", c, ERR_INVALID_REQUEST,
                   "The provided topic name maps to an ID that was already supplied.");
    expect_deleted(9, "__consumer_offsets", offsets, ERR_NONE, NULL);
    expect_deleted(10, "e", UUID_ZERO, ERR_INVALID_REQUEST, "Duplicate topic name.");
    ck_assert_ptr_null(topic_of("a"));
    ck_assert_ptr_null(topic_of("b"));
    ck_assert_ptr_nonnull(topic_of("c"));
    ck_assert_ptr_nonnull(topic_of("d"));
    ck_assert_ptr_nonnull(topic_of("e"));
    ck_assert_ptr_null(topic_of("__consumer_offsets"));
}
END_TEST

START_TEST(deletion_is_authorised)
{
    static const char denied[] = "Topic authorization failed.";
    make("hidden", 1);
    make("seen", 1);
    make("free", 1);
    uuid hidden = topic_of("hidden")->id, seen = topic_of("seen")->id;
    deny(OP_DELETE, "");
    deny(OP_DELETE, "seen");
    deny(OP_DELETE, "hidden");
    deny(OP_DESCRIBE, "hidden");
    deny(OP_DESCRIBE, "hidden-and-missing");
    deny(OP_DELETE, "seen-and-missing");
    begin_delete();
    unwant("seen", UUID_ZERO);
    unwant("hidden", UUID_ZERO);
    unwant("hidden-and-missing", UUID_ZERO);
    unwant("seen-and-missing", UUID_ZERO);
    unwant("free", UUID_ZERO);
    delete (6);
    expect_deleted(0, "seen", UUID_ZERO, ERR_TOPIC_AUTHORIZATION_FAILED, denied);
    expect_deleted(1, "hidden", UUID_ZERO, ERR_TOPIC_AUTHORIZATION_FAILED, denied);
    expect_deleted(2, "hidden-and-missing", UUID_ZERO, ERR_TOPIC_AUTHORIZATION_FAILED, denied);
    expect_deleted(3, "seen-and-missing", UUID_ZERO, ERR_UNKNOWN_TOPIC_OR_PARTITION,
                   "This server does not host this topic-partition.");
    ck_assert_int_eq(deleted.topics[4].error_code, ERR_NONE);
    begin_delete();
    unwant(NULL, seen);
    unwant(NULL, hidden);
    delete (6);
    expect_deleted(0, "seen", seen, ERR_TOPIC_AUTHORIZATION_FAILED, denied);
    expect_deleted(1, NULL, hidden, ERR_TOPIC_AUTHORIZATION_FAILED, denied);
}
END_TEST

START_TEST(deletion_may_be_switched_off)
{
    tear_down();
    begin("delete.topic.enable=false\n");
    make("t", 1);
    for (int16_t version = 1; version <= 6; version++) {
        begin_delete();
        if (version < 6) {
            unwant_name("t");
            unwant_name("missing");
        } else {
            unwant("t", UUID_ZERO);
            unwant("missing", UUID_ZERO);
        }
        delete (version);
        for (int i = 0; i < 2; i++)
            ck_assert_int_eq(deleted.topics[i].error_code,
                             version < 3 ? ERR_INVALID_REQUEST : ERR_TOPIC_DELETION_DISABLED);
    }
    ck_assert_ptr_nonnull(topic_of("t"));
}
END_TEST

START_TEST(settings_go_with_the_topic)
{
    struct create_topics_request_config config = { SLICE_LITERAL("retention.ms"), SLICE_LITERAL("77") };
    begin_create();
    struct create_topics_request_topic *topic = want("t", 1, 1);
    topic->configs = &config;
    topic->configs_count = 1;
    create(7);
    uuid before = topic_of("t")->id;
    begin_delete();
    unwant("t", UUID_ZERO);
    delete (6);
    make("t", 3);
    for (int round = 0; round < 2; round++) {
        ck_assert_uint_eq(topic_of("t")->override_count, 0);
        ck_assert_int_eq(topic_of("t")->partition_count, 3);
        ck_assert(!uuid_equal(topic_of("t")->id, before));
        ck_assert_ptr_null(image_topic_by_id(controller_image(sim.server->controller), before));
        sim_disconnect(&client);
        sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
        sim_connect(&sim, &client);
    }
}
END_TEST

/* -- CreatePartitions ----------------------------------------------------------------------------- */

static struct create_partitions_request grow_request;
static struct create_partitions_request_topic grow_topics[TOPICS_MAX];
static struct create_partitions_response grown;

static struct create_partitions_request_topic *enlarge(const char *name, int32_t count)
{
    struct create_partitions_request_topic *topic = &grow_topics[grow_request.topics_count++];
    create_partitions_request_topic_init(topic);
    topic->name = text(name);
    topic->count = count;
    topic->assignments_count = -1;
    return topic;
}

static void begin_grow(void)
{
    create_partitions_request_init(&grow_request);
    grow_request.topics = grow_topics;
}

static void grow(int16_t version)
{
    ck_assert(sim_call(&client, KEY_GROW, version, &grow_request, &grown));
}

static void expect_grown(int32_t at, int16_t error_code, const char *message)
{
    const struct create_partitions_response_topic *topic = &grown.results[at];
    ck_assert_msg(topic->error_code == error_code, "%d: %s", at, error_name(topic->error_code));
    ck_assert_msg(message ? slice_equal_string(topic->error_message, message)
                          : slice_is_null(topic->error_message),
                  "%d: %.*s", at, (int)topic->error_message.size, (const char *)topic->error_message.data);
}

START_TEST(every_version_grows)
{
    make("t", 1);
    for (int16_t version = 0; version <= 3; version++) {
        const struct partition *first = topic_of("t")->partitions[0].partition;
        begin_grow();
        enlarge("t", 3 + version);
        grow_request.validate_only = true;
        int32_t before = topic_of("t")->partition_count;
        grow(version);
        ck_assert_int_eq(grown.results_count, 1);
        expect_grown(0, ERR_NONE, NULL);
        ck_assert_int_eq(topic_of("t")->partition_count, before);
        grow_request.validate_only = false;
        grow(version);
        expect_grown(0, ERR_NONE, NULL);
        ck_assert(slice_equal_string(grown.results[0].name, "t"));
        ck_assert_int_eq(topic_of("t")->partition_count, 3 + version);
        ck_assert_ptr_eq(topic_of("t")->partitions[0].partition, first);
        const struct partition_metadata *last = &topic_of("t")->partitions[2 + version];
        ck_assert_int_eq(last->leader, 1);
        ck_assert_int_eq(last->leader_epoch, 0);
        ck_assert_int_eq(last->partition_epoch, 0);
        ck_assert_ptr_nonnull(last->partition);
    }
    sim_disconnect(&client);
    sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
    sim_connect(&sim, &client);
    ck_assert_int_eq(topic_of("t")->partition_count, 6);
}
END_TEST

START_TEST(what_does_not_grow)
{
    struct create_partitions_request_assignment ours[] = { { this_node, 1 }, { this_node, 1 } };
    struct create_partitions_request_assignment unknown = { nobody, 1 }, empty = { NULL, 0 },
                                                repeated = { twice, 2 };
    make("t", 3);
    make("u", 1);
    make("v", 1);
    make("w", 1);
    make("x", 1);
    make("y", 1);
    make("denied", 1);
    make("double", 1);
    deny(OP_ALTER, "denied");
    begin_grow();
    enlarge("double", 2);
    enlarge("denied", 2);
    enlarge("double", 3);
    enlarge("missing", 3);
    enlarge("t", 3);
    grow(3);
    ck_assert_int_eq(grown.results_count, 4);
    expect_grown(0, ERR_INVALID_REQUEST, "Duplicate topic name.");
    expect_grown(1, ERR_TOPIC_AUTHORIZATION_FAILED, NULL);
    expect_grown(2, ERR_UNKNOWN_TOPIC_OR_PARTITION, NULL);
    expect_grown(3, ERR_INVALID_PARTITIONS, "Topic already has 3 partition(s).");
    begin_grow();
    enlarge("t", 2);
    enlarge("u", -1);
    struct create_partitions_request_topic *topic = enlarge("v", 2);
    topic->assignments = ours;
    topic->assignments_count = 2;
    topic = enlarge("w", 2);
    topic->assignments = &unknown;
    topic->assignments_count = 1;
    topic = enlarge("x", 2);
    topic->assignments = &empty;
    topic->assignments_count = 1;
    topic = enlarge("y", 2);
    topic->assignments = &repeated;
    topic->assignments_count = 1;
    enlarge("double", INT32_MAX);
    grow(3);
    expect_grown(0, ERR_INVALID_PARTITIONS,
                 "The topic t currently has 3 partition(s); 2 would not be an increase.");
    expect_grown(1, ERR_INVALID_PARTITIONS,
                 "The topic u currently has 1 partition(s); -1 would not be an increase.");
    expect_grown(2, ERR_INVALID_REPLICA_ASSIGNMENT,
                 "Attempted to add 1 additional partition(s), but only 2 assignment(s) were specified.");
    expect_grown(3, ERR_INVALID_REPLICA_ASSIGNMENT,
                 "The manual partition assignment includes broker 7, but no such broker is registered.");
    expect_grown(4, ERR_INVALID_REPLICA_ASSIGNMENT,
                 "The manual partition assignment includes an empty replica list.");
    expect_grown(5, ERR_INVALID_REPLICA_ASSIGNMENT,
                 "The manual partition assignment includes the broker 1 more than once.");
    expect_grown(6, ERR_POLICY_VIOLATION, "Unable to perform excessively large batch operation.");
    begin_grow();
    topic = enlarge("t", 5);
    topic->assignments = ours;
    topic->assignments_count = 2;
    enlarge("u", 2);
    grow(3);
    expect_grown(0, ERR_NONE, NULL);
    expect_grown(1, ERR_NONE, NULL);
    ck_assert_int_eq(topic_of("t")->partition_count, 5);
    ck_assert_int_eq(topic_of("v")->partition_count, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topics");
    TCase *tests = tcase_create("create, delete, grow");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, every_version_creates);
    tcase_add_test(tests, the_answer_tells_the_settings);
    tcase_add_test(tests, one_bad_topic_does_not_stop_the_others);
    tcase_add_loop_test(tests, manual_assignments, 0, sizeof assignment_rows / sizeof *assignment_rows);
    tcase_add_test(tests, creation_is_authorised);
    tcase_add_test(tests, whoever_may_create_in_the_cluster_may_create_any);
    tcase_add_test(tests, ten_thousand_topics_in_one_request);
    tcase_add_test(tests, every_version_deletes);
    tcase_add_test(tests, by_name_and_by_id);
    tcase_add_test(tests, deletion_is_authorised);
    tcase_add_test(tests, deletion_may_be_switched_off);
    tcase_add_test(tests, settings_go_with_the_topic);
    tcase_add_test(tests, every_version_grows);
    tcase_add_test(tests, what_does_not_grow);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
