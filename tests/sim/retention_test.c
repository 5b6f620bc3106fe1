/* Retention and DeleteRecords through the whole broker, on a clock that the test moves: segments go when they
 * are due, consumers are told, and what was acknowledged survives a power cut. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/partition.h"
#include "codec/create_topics.h"
#include "codec/delete_records.h"
#include "codec/incremental_alter_configs.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/sim.h"

enum {
    KEY_CREATE_TOPICS = 19,
    KEY_DELETE_RECORDS = 21,
    KEY_ALTER_CONFIGS = 44,
    HIGH_WATERMARK = -1,
    EARLIEST = -2,
    INTERVAL_MS = 300000,
    DAY_MS = 86400000,
    BATCHES_PER_SEGMENT = 10,
    CONFIGS_MAX = 4,
    BY_NAME = 12,
};

static struct sim sim;
static struct sim_client client;
static struct arena arena;

static void begin(const char *settings)
{
    sim_open(&sim, 5, settings);
    sim_connect(&sim, &client);
    arena_init(&arena, NULL);
}

static void set_up(void)
{
    begin("auto.create.topics.enable=false\nlog.segment.delete.delay.ms=1000\nconnections.max.idle.ms=-1");
}

static void tear_down(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
    arena_destroy(&arena);
}

struct setting {
    const char *name, *value;
};

/* A batch of one record takes 78 bytes. */
static const struct setting small_segments = { "internal.segment.bytes", "800" };

static void make(const char *name, const struct setting *settings, int count)
{
    struct create_topics_request request;
    struct create_topics_request_topic topic;
    struct create_topics_request_config configs[CONFIGS_MAX];
    struct create_topics_response told;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&topic);
    for (int i = 0; i < count; i++) {
        create_topics_request_config_init(&configs[i]);
        configs[i].name = slice_of_string(settings[i].name);
        configs[i].value = slice_of_string(settings[i].value);
    }
    topic.name = slice_of_string(name);
    topic.num_partitions = 2;
    topic.replication_factor = 1;
    topic.configs = configs;
    topic.configs_count = count;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_CREATE_TOPICS, 7, &request, &told));
    ck_assert_int_eq(told.topics[0].error_code, ERR_NONE);
}

static void produce(const char *topic, int count)
{
    struct batch_builder_options options = { NO_PRODUCER };
    for (int i = 0; i < count; i++) {
        struct batch_builder *builder = batch_builder_open(&arena, &options);
        struct batch_view batch;
        ck_assert_ptr_nonnull(builder);
        ck_assert(batch_builder_add(builder, clock_wall_ms(&sim.clock.clock), SLICE_LITERAL("key"),
                                    SLICE_LITERAL("value"), NULL, 0));
        ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
        struct one_produce one;
        struct produce_response told;
        one_produce(&one, topic, 0, batch_bytes(&batch));
        ck_assert(sim_call(&client, ONE_PRODUCE, 9, &one.request, &told));
        ck_assert_int_eq(told.topics[0].partitions[0].error_code, ERR_NONE);
    }
    arena_reset(&arena);
}

static int64_t earliest(const char *topic)
{
    struct one_list_offsets one;
    struct list_offsets_response told;
    one_list_offsets(&one, topic, 0, EARLIEST);
    ck_assert(sim_call(&client, ONE_LIST_OFFSETS, 7, &one.request, &told));
    ck_assert_int_eq(told.topics[0].partitions[0].error_code, ERR_NONE);
    return told.topics[0].partitions[0].offset;
}

/* The error, and in *size how much came. */
static int16_t fetch(const char *topic, int64_t offset, size_t *size)
{
    struct one_fetch one;
    struct fetch_response told;
    one_fetch(&one, topic, 0, offset);
    ck_assert(sim_call(&client, ONE_FETCH, BY_NAME, &one.request, &told));
    const struct fetch_response_partition *partition = &told.topics[0].partitions[0];
    if (size)
        *size = partition->records.bytes.size;
    return partition->error_code;
}

static struct delete_records_response deleted;

static const struct delete_records_response_partition *delete_records(int16_t version, const char *name,
                                                                      int32_t index, int64_t offset)
{
    struct delete_records_request request;
    struct delete_records_request_topic topic;
    struct delete_records_request_partition partition;
    delete_records_request_init(&request);
    delete_records_request_topic_init(&topic);
    delete_records_request_partition_init(&partition);
    partition.partition_index = index;
    partition.offset = offset;
    topic.name = slice_of_string(name);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = 0;
    ck_assert(sim_call(&client, KEY_DELETE_RECORDS, version, &request, &deleted));
    ck_assert_int_eq(deleted.topics_count, 1);
    ck_assert(slice_equal_string(deleted.topics[0].name, name));
    ck_assert_int_eq(deleted.topics[0].partitions_count, 1);
    ck_assert_int_eq(deleted.topics[0].partitions[0].partition_index, index);
    return &deleted.topics[0].partitions[0];
}

static void expect_refusal(const char *topic, int32_t partition, int64_t offset, int16_t error_code)
{
    const struct delete_records_response_partition *told = delete_records(2, topic, partition, offset);
    ck_assert_int_eq(told->error_code, error_code);
    ck_assert_int_eq(told->low_watermark, -1);
}

static void alter(const char *topic, const char *name, const char *value)
{
    struct incremental_alter_configs_request request;
    struct incremental_alter_configs_request_resource resource;
    struct incremental_alter_configs_request_config config;
    struct incremental_alter_configs_response told;
    incremental_alter_configs_request_init(&request);
    incremental_alter_configs_request_resource_init(&resource);
    incremental_alter_configs_request_config_init(&config);
    config.name = slice_of_string(name);
    config.value = slice_of_string(value);
    resource.resource_type = 2;
    resource.resource_name = slice_of_string(topic);
    resource.configs = &config;
    resource.configs_count = 1;
    request.resources = &resource;
    request.resources_count = 1;
    ck_assert(sim_call(&client, KEY_ALTER_CONFIGS, 1, &request, &told));
    ck_assert_int_eq(told.responses[0].error_code, ERR_NONE);
}

static bool exists(const char *path)
{
    struct file_info info;
    return file_info(file_double_system(sim.disk), path, &info) == FILE_OK;
}

/* -- retention ------------------------------------------------------------------------------------ */

START_TEST(segments_go_when_their_time_has_come)
{
    const struct setting settings[] = { small_segments, { "retention.ms", "86400000" } };
    size_t size;
    make("t", settings, 2);
    produce("t", 3 * BATCHES_PER_SEGMENT);
    sim_advance(&sim, DAY_MS / 2);
    produce("t", 2 * BATCHES_PER_SEGMENT);
    ck_assert_int_eq(earliest("t"), 0);
    ck_assert(exists("./runnel-data/t-0/00000000000000000000.log"));
    sim_advance(&sim, DAY_MS / 2 + INTERVAL_MS + 1);
    ck_assert_int_eq(earliest("t"), 3 * BATCHES_PER_SEGMENT);
    ck_assert_int_eq(fetch("t", 0, NULL), ERR_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(fetch("t", 3 * BATCHES_PER_SEGMENT, &size), ERR_NONE);
    ck_assert_uint_gt(size, BATCHES_PER_SEGMENT * 70); /* of one segment */
    ck_assert(!exists("./runnel-data/t-0/00000000000000000000.log"));
    ck_assert(exists("./runnel-data/t-0/00000000000000000000.log.deleted"));
    sim_advance(&sim, 1000);
    ck_assert(!exists("./runnel-data/t-0/00000000000000000000.log.deleted"));
    /* The last ones go too, the active one among them; offsets go on. */
    sim_advance(&sim, DAY_MS);
    ck_assert_int_eq(earliest("t"), 5 * BATCHES_PER_SEGMENT);
    ck_assert_int_eq(fetch("t", 5 * BATCHES_PER_SEGMENT, &size), ERR_NONE);
    ck_assert_uint_eq(size, 0);
    produce("t", 1);
    ck_assert_int_eq(fetch("t", 5 * BATCHES_PER_SEGMENT, &size), ERR_NONE);
    ck_assert_uint_gt(size, 0);
}
END_TEST

START_TEST(the_first_round_comes_half_a_minute_after_the_start)
{
    const struct setting settings[] = { small_segments, { "retention.bytes", "800" } };
    make("t", settings, 2);
    produce("t", 4 * BATCHES_PER_SEGMENT);
    sim_advance(&sim, 29999);
    ck_assert_int_eq(earliest("t"), 0);
    sim_advance(&sim, 1);
    ck_assert_int_gt(earliest("t"), 0);
    int64_t before = earliest("t");
    produce("t", 2 * BATCHES_PER_SEGMENT);
    sim_advance(&sim, INTERVAL_MS - 1);
    ck_assert_int_eq(earliest("t"), before);
    sim_advance(&sim, 1);
    ck_assert_int_gt(earliest("t"), before);
}
END_TEST

START_TEST(a_new_setting_holds_from_the_next_round_on)
{
    make("t", &small_segments, 1);
    produce("t", 4 * BATCHES_PER_SEGMENT);
    sim_advance(&sim, 2 * INTERVAL_MS);
    ck_assert_int_eq(earliest("t"), 0);
    alter("t", "retention.bytes", "0");
    ck_assert_int_eq(earliest("t"), 0);
    sim_advance(&sim, INTERVAL_MS);
    ck_assert_int_eq(earliest("t"), 4 * BATCHES_PER_SEGMENT);
    alter("t", "retention.bytes", "-1");
    produce("t", 4 * BATCHES_PER_SEGMENT);
    alter("t", "cleanup.policy", "compact");
    alter("t", "retention.ms", "1");
    sim_advance(&sim, INTERVAL_MS);
    ck_assert_int_eq(earliest("t"), 4 * BATCHES_PER_SEGMENT); /* compacted topics have no age */
    alter("t", "cleanup.policy", "compact,delete");
    sim_advance(&sim, INTERVAL_MS);
    ck_assert_int_eq(earliest("t"), 8 * BATCHES_PER_SEGMENT);
}
END_TEST

START_TEST(idle_logs_are_retained_after_a_restart_too)
{
    const struct setting settings[] = { small_segments, { "retention.ms", "86400000" } };
    make("t", settings, 2);
    produce("t", 3 * BATCHES_PER_SEGMENT);
    sim_disconnect(&client);
    sim_restart(&sim);
    sim_connect(&sim, &client);
    sim_advance(&sim, INTERVAL_MS);
    ck_assert_int_eq(earliest("t"), 0);
    sim_advance(&sim, DAY_MS + INTERVAL_MS);
    ck_assert_int_eq(earliest("t"), 3 * BATCHES_PER_SEGMENT);
}
END_TEST

/* -- DeleteRecords -------------------------------------------------------------------------------- */

START_TEST(delete_records_raises_the_start)
{
    size_t size;
    make("t", &small_segments, 1);
    produce("t", 4 * BATCHES_PER_SEGMENT);
    for (int16_t version = 0; version <= 2; version++) {
        const struct delete_records_response_partition *told = delete_records(version, "t", 0, 15 + version);
        ck_assert_int_eq(told->error_code, ERR_NONE);
        ck_assert_int_eq(told->low_watermark, 15 + version);
        ck_assert_int_eq(earliest("t"), 15 + version);
        ck_assert_int_eq(fetch("t", 14 + version, NULL), ERR_OFFSET_OUT_OF_RANGE);
        ck_assert_int_eq(fetch("t", 15 + version, &size), ERR_NONE);
        ck_assert_uint_gt(size, 0);
    }
    const struct delete_records_response_partition *told = delete_records(2, "t", 0, 3);
    ck_assert_int_eq(told->error_code, ERR_NONE); /* it never falls */
    ck_assert_int_eq(told->low_watermark, 17);
    expect_refusal("t", 0, 4 * BATCHES_PER_SEGMENT + 1, ERR_OFFSET_OUT_OF_RANGE);
    expect_refusal("t", 0, -2, ERR_OFFSET_OUT_OF_RANGE);
    told = delete_records(2, "t", 0, HIGH_WATERMARK);
    ck_assert_int_eq(told->error_code, ERR_NONE);
    ck_assert_int_eq(told->low_watermark, 4 * BATCHES_PER_SEGMENT);
    ck_assert_int_eq(earliest("t"), 4 * BATCHES_PER_SEGMENT);
    told = delete_records(2, "t", 1, HIGH_WATERMARK); /* never written to */
    ck_assert_int_eq(told->error_code, ERR_NONE);
    ck_assert_int_eq(told->low_watermark, 0);
    sim_advance(&sim, INTERVAL_MS);
    ck_assert(!exists("./runnel-data/t-0/00000000000000000000.log"));
}
END_TEST

START_TEST(delete_records_has_its_rules)
{
    const struct setting compact = { "cleanup.policy", "compact" },
                         both = { "cleanup.policy", "compact,delete" }, neither = { "cleanup.policy", "" };
    make("t", NULL, 0);
    make("compacted", &compact, 1);
    make("both", &both, 1);
    make("neither", &neither, 1);
    make("__consumer_offsets", NULL, 0);
    expect_refusal("absent", 0, 0, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    expect_refusal("t", 2, 0, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    expect_refusal("t", -1, 0, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    expect_refusal("compacted", 0, 0, ERR_POLICY_VIOLATION);
    expect_refusal("__consumer_offsets", 0, 0, ERR_INVALID_TOPIC_EXCEPTION);
    ck_assert_int_eq(delete_records(2, "both", 0, 0)->error_code, ERR_NONE);
    ck_assert_int_eq(delete_records(2, "neither", 0, 0)->error_code, ERR_NONE);
}
END_TEST

START_TEST(an_acknowledged_start_survives_a_power_cut)
{
    make("t", &small_segments, 1);
    produce("t", 4 * BATCHES_PER_SEGMENT);
    ck_assert_int_eq(delete_records(2, "t", 0, 33)->error_code, ERR_NONE);
    sim_disconnect(&client);
    sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
    sim_connect(&sim, &client);
    ck_assert_int_eq(earliest("t"), 33);
    ck_assert_int_eq(fetch("t", 32, NULL), ERR_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(fetch("t", 33, NULL), ERR_NONE);
    sim_advance(&sim, INTERVAL_MS);
    ck_assert(!exists("./runnel-data/t-0/00000000000000000000.log"));
    sim_disconnect(&client);
    sim_restart(&sim);
    sim_connect(&sim, &client);
    ck_assert_int_eq(earliest("t"), 33);
    produce("t", 1);
    ck_assert_int_eq(fetch("t", 40, NULL), ERR_NONE);
}
END_TEST

/* A consumer that waits for more than there is hears at once when its place is gone. */
START_TEST(a_long_poll_below_the_start_is_answered)
{
    struct sim_client consumer;
    struct one_fetch one;
    struct fetch_response told;
    make("t", &small_segments, 1);
    produce("t", 4 * BATCHES_PER_SEGMENT);
    sim_connect(&sim, &consumer);
    one_fetch(&one, "t", 0, 5);
    one.request.max_wait_ms = 60000;
    one.request.min_bytes = 1 << 20;
    ck_assert(sim_send(&consumer, ONE_FETCH, BY_NAME, &one.request));
    sim_settle(&sim);
    one_fetch(&one, "t", 0, 4 * BATCHES_PER_SEGMENT); /* another one waits at the end: it is not concerned */
    ck_assert_int_eq(delete_records(2, "t", 0, 20)->error_code, ERR_NONE);
    int64_t before = clock_mono_ms(&sim.clock.clock);
    ck_assert(sim_receive(&consumer, ONE_FETCH, BY_NAME, &told));
    ck_assert_int_eq(clock_mono_ms(&sim.clock.clock), before);
    sim_disconnect(&consumer);
}
END_TEST

/* An incremental session tells a new start, though no record came. */
START_TEST(a_session_tells_of_a_new_start)
{
    struct one_fetch one;
    struct fetch_response told;
    make("t", &small_segments, 1);
    produce("t", 2 * BATCHES_PER_SEGMENT);
    one_fetch(&one, "t", 0, 2 * BATCHES_PER_SEGMENT);
    one.request.session_id = 0;
    one.request.session_epoch = 0;
    ck_assert(sim_call(&client, ONE_FETCH, BY_NAME, &one.request, &told));
    int32_t session = told.session_id;
    ck_assert_int_ne(session, 0);
    one.request.topics_count = 0;
    one.request.session_id = session;
    one.request.session_epoch = 1;
    ck_assert(sim_call(&client, ONE_FETCH, BY_NAME, &one.request, &told));
    ck_assert_int_eq(told.topics_count, 0);
    ck_assert_int_eq(delete_records(2, "t", 0, 20)->error_code, ERR_NONE);
    one.request.session_epoch = 2;
    ck_assert(sim_call(&client, ONE_FETCH, BY_NAME, &one.request, &told));
    ck_assert_int_eq(told.topics_count, 1);
    ck_assert_int_eq(told.topics[0].partitions[0].error_code, ERR_NONE);
    ck_assert_int_eq(told.topics[0].partitions[0].log_start_offset, 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("retention");
    TCase *tests = tcase_create("retention");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, segments_go_when_their_time_has_come);
    tcase_add_test(tests, the_first_round_comes_half_a_minute_after_the_start);
    tcase_add_test(tests, a_new_setting_holds_from_the_next_round_on);
    tcase_add_test(tests, idle_logs_are_retained_after_a_restart_too);
    tcase_add_test(tests, delete_records_raises_the_start);
    tcase_add_test(tests, delete_records_has_its_rules);
    tcase_add_test(tests, an_acknowledged_start_survives_a_power_cut);
    tcase_add_test(tests, a_long_poll_below_the_start_is_answered);
    tcase_add_test(tests, a_session_tells_of_a_new_start);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
