/* Replay: what each metadata record does to the image, and which ones are refused. */
#include <check.h>
#include <stdlib.h>

#include "broker/image_internal.h"
#include "broker/metadata_replay.h"

static const uint64_t key[2] = { 3, 4 };
static const uuid orders_id = { { 0x40, [15] = 9 } };
static struct config *config;
static struct image *base;
static struct image_change *change;
static struct metadata_replay replay;
static struct arena arena;
static int64_t offset;

static void set_up(void)
{
    struct config_report report = { 0 };
    struct config_sources sources = { .cpu_count = 1 };
    config = config_load(&sources, &report);
    ck_assert_ptr_nonnull(config);
    config_report_destroy(&report);
    base = image_create_empty(1, NULL, key);
    change = image_change_begin(base, config);
    metadata_replay_init(&replay, change, 1);
    arena_init(&arena, NULL);
    offset = 0;
}

static void tear_down(void)
{
    arena_destroy(&arena);
    metadata_replay_destroy(&replay);
    image_change_abandon(change);
    image_destroy(base);
    config_destroy(config);
}

static bool replayed(enum metadata_record_type type, int16_t version, const void *record)
{
    slice value = metadata_record_encode(&arena, type, version, record);
    ck_assert(!slice_is_null(value));
    return metadata_replay_record(&replay, value, offset++);
}

static void expect_refused(bool ok, const char *words)
{
    ck_assert(!ok);
    ck_assert_msg(strstr(replay.error, words) != NULL, "\"%s\" does not say \"%s\"", replay.error, words);
}

static bool topic(const char *name, uuid id)
{
    struct topic_record record = { slice_of_string(name), id };
    return replayed(METADATA_RECORD_TOPIC, 0, &record);
}

static bool partition(uuid id, int32_t index, int16_t version)
{
    int32_t nodes[] = { 1 };
    uuid directory = UUID_ONE;
    struct partition_record record;
    partition_record_init(&record);
    record.partition_id = index;
    record.topic_id = id;
    record.replicas = record.isr = nodes;
    record.replicas_count = record.isr_count = 1;
    record.leader = 1;
    record.leader_epoch = 5;
    record.partition_epoch = 7;
    if (version > 0) {
        record.directories = &directory;
        record.directories_count = 1;
    }
    return replayed(METADATA_RECORD_PARTITION, version, &record);
}

static bool config_of(int8_t type, const char *resource, const char *name, const char *value)
{
    struct config_record record = { type, slice_of_string(resource), slice_of_string(name),
                                    slice_of_string(value) };
    return replayed(METADATA_RECORD_CONFIG, 0, &record);
}

static bool feature(const char *name, int16_t level)
{
    struct feature_level_record record = { slice_of_string(name), level };
    return replayed(METADATA_RECORD_FEATURE_LEVEL, 0, &record);
}

static bool mark(enum metadata_record_type type)
{
    if (type == METADATA_RECORD_BEGIN_TRANSACTION) {
        struct begin_transaction_record record;
        begin_transaction_record_init(&record);
        record.name = SLICE_LITERAL("a test");
        return replayed(type, 0, &record);
    }
    if (type == METADATA_RECORD_ABORT_TRANSACTION) {
        struct abort_transaction_record record;
        abort_transaction_record_init(&record);
        return replayed(type, 0, &record);
    }
    struct end_transaction_record record;
    end_transaction_record_init(&record);
    return replayed(type, 0, &record);
}

static struct image *built(void)
{
    struct image *image;
    ck_assert_int_eq(image_change_build(change, offset, 1, &image), CHANGE_OK);
    return image;
}

START_TEST(a_topic_is_made_changed_and_removed)
{
    uuid other = orders_id;
    other.bytes[0] = 0x41;
    ck_assert(topic("orders", orders_id));
    ck_assert(config_of(2, "orders", "retention.ms", "60000"));
    ck_assert(config_of(2, "orders", "cleanup.policy", "compact"));
    ck_assert(config_of(2, "orders", "cleanup.policy", NULL));
    for (int16_t version = 0; version <= 2; version++)
        ck_assert(partition(orders_id, version, version));
    ck_assert(topic("short-lived", other));
    ck_assert(partition(other, 0, 2));
    struct remove_topic_record removal = { other };
    ck_assert(replayed(METADATA_RECORD_REMOVE_TOPIC, 0, &removal));

    struct image *image = built();
    ck_assert_uint_eq(image->topic_count, 1);
    const struct topic *orders = image->topics[0];
    ck_assert_int_eq(orders->partition_count, 3);
    ck_assert_int_eq(orders->config.retention_ms, 60000);
    ck_assert_uint_eq(orders->override_count, 1);
    ck_assert_int_eq(orders->partitions[2].leader, 1);
    ck_assert_int_eq(orders->partitions[2].leader_epoch, 5);
    ck_assert_int_eq(orders->partitions[2].partition_epoch, 7);
}
END_TEST

/* facts: disk-format 6.3: the leader epoch rises with the field, not with a new leader. */
START_TEST(a_partition_change_counts_epochs)
{
    int32_t isr[] = { 1 };
    ck_assert(topic("orders", orders_id));
    ck_assert(partition(orders_id, 0, 2));
    struct partition_change_record record;
    partition_change_record_init(&record);
    record.topic_id = orders_id;
    record.partition_id = 0;
    record.isr = isr;
    record.isr_count = 1;
    ck_assert(replayed(METADATA_RECORD_PARTITION_CHANGE, 0, &record));
    const struct partition_metadata *metadata = image_change_partition(change, orders_id, 0);
    ck_assert_int_eq(metadata->partition_epoch, 8);
    ck_assert_int_eq(metadata->leader_epoch, 5);
    record.leader = -1;
    ck_assert(replayed(METADATA_RECORD_PARTITION_CHANGE, 0, &record));
    record.leader = 1;
    ck_assert(replayed(METADATA_RECORD_PARTITION_CHANGE, 2, &record));
    ck_assert(replayed(METADATA_RECORD_PARTITION_CHANGE, 2, &record));
    metadata = image_change_partition(change, orders_id, 0);
    ck_assert_int_eq(metadata->partition_epoch, 11);
    ck_assert_int_eq(metadata->leader_epoch, 8);
    ck_assert_int_eq(metadata->leader, 1);
    record.partition_id = 1;
    expect_refused(replayed(METADATA_RECORD_PARTITION_CHANGE, 0, &record), "names no partition");
}
END_TEST

START_TEST(a_transaction_counts_when_it_ends)
{
    ck_assert(mark(METADATA_RECORD_BEGIN_TRANSACTION));
    ck_assert(topic("orders", orders_id));
    ck_assert(partition(orders_id, 0, 2));
    ck_assert(!image_change_has_topic(change, slice_of_string("orders")));
    ck_assert(mark(METADATA_RECORD_END_TRANSACTION));
    ck_assert(image_change_has_topic(change, slice_of_string("orders")));
    ck_assert(!replay.in_transaction);
}
END_TEST

START_TEST(an_aborted_transaction_never_was)
{
    ck_assert(mark(METADATA_RECORD_BEGIN_TRANSACTION));
    ck_assert(topic("orders", orders_id));
    ck_assert(mark(METADATA_RECORD_ABORT_TRANSACTION));
    ck_assert(!image_change_has_topic(change, slice_of_string("orders")));
    ck_assert(mark(METADATA_RECORD_BEGIN_TRANSACTION));
    ck_assert(feature("metadata.version", 25));
    ck_assert(mark(METADATA_RECORD_END_TRANSACTION));
    ck_assert_int_eq(image_change_feature(change, "metadata.version"), 25);
    ck_assert(!image_change_has_topic(change, slice_of_string("orders")));
}
END_TEST

START_TEST(transactions_do_not_nest)
{
    expect_refused(mark(METADATA_RECORD_END_TRANSACTION), "did not begin");
    ck_assert(mark(METADATA_RECORD_BEGIN_TRANSACTION));
    expect_refused(mark(METADATA_RECORD_BEGIN_TRANSACTION), "inside another");
}
END_TEST

static const struct {
    int16_t level;
    bool ok;
} levels[] = { { 1, false }, { 6, false }, { 7, true }, { 25, true }, { 33, true }, { 34, false } };

START_TEST(metadata_versions_that_we_do_not_know_are_refused)
{
    bool ok = feature("metadata.version", levels[_i].level);
    ck_assert_int_eq(ok, levels[_i].ok);
    if (!ok)
        expect_refused(ok, "7 to 33");
}
END_TEST

START_TEST(directories_of_clusters_are_refused)
{
    struct register_broker_record broker;
    register_broker_record_init(&broker);
    broker.broker_id = 1;
    ck_assert(replayed(METADATA_RECORD_REGISTER_BROKER, 3, &broker));
    broker.broker_id = 2;
    expect_refused(replayed(METADATA_RECORD_REGISTER_BROKER, 3, &broker), "node.id 2 (ours is 1)");
}
END_TEST

START_TEST(voters_are_this_node)
{
    struct voters_record_registered_voter voters[2];
    for (int i = 0; i < 2; i++) {
        voters_record_registered_voter_init(&voters[i]);
        voters[i].voter_id = i + 1;
    }
    struct voters_record record = { 0, voters, 1 };
    struct metadata_batches batches;
    struct metadata_replay *context = &replay;
    metadata_batches_init(&batches, &arena, 0, 0, 0);
    metadata_batches_add_control(&batches, CONTROL_RECORD_VOTERS, &record);
    ck_assert_int_eq(
        metadata_batches_read(metadata_batches_bytes(&batches), 0, metadata_replay_visit, context),
        METADATA_READ_OK);
    record.voters_count = 2;
    metadata_batches_init(&batches, &arena, 0, 0, 0);
    metadata_batches_add_control(&batches, CONTROL_RECORD_VOTERS, &record);
    ck_assert_int_eq(
        metadata_batches_read(metadata_batches_bytes(&batches), 0, metadata_replay_visit, context),
        METADATA_READ_STOPPED);
    expect_refused(false, "node.id 2 (ours is 1)");
}
END_TEST

static const struct {
    const char *what;
    const char *bytes;
    size_t size;
    bool ok;
} values[] = {
    { "a no-op", "\x01\x14\x00\x00", 4, true },
    { "an unregistered controller, of Kafka 4.4", "\x01\x1d\x00\x00\x00\x00\x02\x00", 8, true },
    { "a broker's registration change in a version we have no schema of", "\x01\x11\x03", 3, true },
    { "an unknown type", "\x01\x1e\x00\x00", 4, false },
    { "a type between known ones", "\x01\x06\x00\x00", 4, false },
    { "a type beyond 32 bits of table", "\x01\xff\x7f\x00\x00", 5, false },
    { "an unknown frame", "\x02\x14\x00\x00", 4, false },
    { "frame 0", "\x00\x14\x00\x00", 4, false },
    { "nothing", "", 0, false },
    { "a topic that is cut", "\x01\x02\x00\x02t", 5, false },
    { "a topic in an unknown version", "\x01\x02\x01\x02t\1\2\3\4\5\6\7\1\1\2\3\4\5\6\7\1\0", 22, false },
    { "a topic with an unknown tag, skipped", "\x01\x02\x00\x02t\1\2\3\4\5\6\7\1\1\2\3\4\5\6\7\1\1\x63\x01z",
      25, true },
    { "a topic with a byte behind it", "\x01\x02\x00\x02t\1\2\3\4\5\6\7\1\1\2\3\4\5\6\7\1\0\0", 23, false },
};

START_TEST(values_are_judged)
{
    bool ok = metadata_replay_record(&replay, slice_of(values[_i].bytes, values[_i].size), 3);
    ck_assert_msg(ok == values[_i].ok, "%s: %s", values[_i].what, replay.error);
    if (!ok)
        expect_refused(ok, "(offset 3 of __cluster_metadata-0)");
}
END_TEST

START_TEST(settings_of_groups_and_client_metrics_are_kept)
{
    ck_assert(config_of(32, "g", "consumer.session.timeout.ms", "50000"));
    ck_assert(config_of(32, "g", "consumer.heartbeat.interval.ms", "6000"));
    ck_assert(config_of(32, "g", "consumer.heartbeat.interval.ms", NULL));
    ck_assert(config_of(32, "g", "consumer.session.timeout.ms", "55000"));
    ck_assert(config_of(32, "gone", "consumer.session.timeout.ms", "50000"));
    ck_assert(config_of(32, "gone", "consumer.session.timeout.ms", NULL));
    ck_assert(config_of(32, "never", "consumer.session.timeout.ms", NULL));
    ck_assert(config_of(16, "g", "interval.ms", "1000"));

    struct image *image = built();
    ck_assert_uint_eq(image->resource_count, 2);
    ck_assert_uint_eq(image->resource_size, 1 + 27 + 5 + 1 + 11 + 4);
    ck_assert_int_eq(image->resources[0]->type, CONFIG_RESOURCE_CLIENT_METRICS);
    const struct resource_config *group = image_resource(image, CONFIG_RESOURCE_GROUP, SLICE_LITERAL("g"));
    ck_assert_ptr_nonnull(group);
    ck_assert_uint_eq(group->override_count, 1);
    ck_assert_int_eq(group->group.consumer_session_timeout_ms, 55000);
    ck_assert_int_eq(group->group.consumer_heartbeat_interval_ms, 5000);
    ck_assert_ptr_null(image_resource(image, CONFIG_RESOURCE_GROUP, SLICE_LITERAL("gone")));
    ck_assert_uint_eq(replay.ignored_count[METADATA_RECORD_CONFIG], 0);
}
END_TEST

START_TEST(what_has_no_meaning_yet_is_counted)
{
    ck_assert(config_of(4, "", "min.insync.replicas", "1"));
    ck_assert(config_of(4, "1", "log.cleaner.threads", "2"));
    ck_assert_uint_eq(replay.ignored_count[METADATA_RECORD_CONFIG], 2);
}
END_TEST

static const struct {
    const char *what;
    int64_t before, next; /* before -1: no record before */
    bool ok;
} blocks[] = {
    { "the first block", -1, 1000, true },
    { "a snapshot's 0", -1, 0, true },
    { "the next block", 1000, 2000, true },
    { "a block after a gap", 1000, 1001, true },
    { "the last number", 1000, INT64_MAX, true },
    { "the same block again", 2000, 2000, false },
    { "a step back", 2000, 1000, false },
    { "a negative number", -1, -2, false },
    { "no number", -1, -1, false },
};

START_TEST(producer_ids_only_rise)
{
    struct producer_ids_record ids = { 1, 5, blocks[_i].before };
    if (blocks[_i].before >= 0)
        ck_assert(replayed(METADATA_RECORD_PRODUCER_IDS, 0, &ids));
    ck_assert_int_eq(image_change_next_producer_id(change), blocks[_i].before);
    ids.next_producer_id = blocks[_i].next;
    bool ok = replayed(METADATA_RECORD_PRODUCER_IDS, 0, &ids);
    ck_assert_msg(ok == blocks[_i].ok, "%s", blocks[_i].what);
    if (!ok)
        expect_refused(ok, "goes back");
    ck_assert_int_eq(image_change_next_producer_id(change), ok ? blocks[_i].next : blocks[_i].before);
}
END_TEST

/* Bytes of any kind lead to an answer. */
START_TEST(random_records_do_no_harm)
{
    struct random random;
    random_seed(&random, 77);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[64];
        size_t size = 3 + random_below(&random, sizeof bytes - 3);
        random_bytes(&random, bytes, size);
        bytes[0] = 1;
        bytes[1] = (uint8_t)random_below(&random, 32);
        bytes[2] = (uint8_t)random_below(&random, 3);
        metadata_replay_record(&replay, slice_of(bytes, size), i);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metadata_replay");
    TCase *tests = tcase_create("metadata_replay");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_topic_is_made_changed_and_removed);
    tcase_add_test(tests, a_partition_change_counts_epochs);
    tcase_add_test(tests, a_transaction_counts_when_it_ends);
    tcase_add_test(tests, an_aborted_transaction_never_was);
    tcase_add_test(tests, transactions_do_not_nest);
    tcase_add_loop_test(tests, metadata_versions_that_we_do_not_know_are_refused, 0,
                        sizeof levels / sizeof levels[0]);
    tcase_add_test(tests, directories_of_clusters_are_refused);
    tcase_add_test(tests, voters_are_this_node);
    tcase_add_loop_test(tests, values_are_judged, 0, sizeof values / sizeof values[0]);
    tcase_add_test(tests, settings_of_groups_and_client_metrics_are_kept);
    tcase_add_test(tests, what_has_no_meaning_yet_is_counted);
    tcase_add_loop_test(tests, producer_ids_only_rise, 0, sizeof blocks / sizeof *blocks);
    tcase_add_test(tests, random_records_do_no_harm);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
