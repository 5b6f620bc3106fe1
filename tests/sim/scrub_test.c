/* The scrubber through the whole broker, on a clock that the test moves: damage on the device is found within
 * a week, nobody else notices, and an idle broker stays idle. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/create_topics.h"
#include "protocol/base/note.h"
#include "protocol/errors.h"
#include "storage/scrub_file.h"
#include "storage/scrubber.h"
#include "tests/support/one_partition.h"
#include "tests/support/sim.h"

enum { KEY_CREATE_TOPICS = 19, DAY_MS = 86400000, BATCHES = 40, BY_NAME = 12 };

static const char data[] = "./runnel-data/t-0/00000000000000000000.log";
static const char progress[] = "./runnel-data/" SCRUB_FILE_NAME;

static struct sim sim;
static struct sim_client client;
static struct arena arena;

static void make_topic(void)
{
    struct create_topics_request request;
    struct create_topics_request_topic topic;
    struct create_topics_request_config config;
    struct create_topics_response told;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&topic);
    create_topics_request_config_init(&config);
    config.name = SLICE_LITERAL("internal.segment.bytes");
    config.value = SLICE_LITERAL("800");
    topic.name = SLICE_LITERAL("t");
    topic.num_partitions = 1;
    topic.replication_factor = 1;
    topic.configs = &config;
    topic.configs_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_CREATE_TOPICS, 7, &request, &told));
    ck_assert_int_eq(told.topics[0].error_code, ERR_NONE);
}

static void produce(int count)
{
    for (int i = 0; i < count; i++) {
        struct batch_builder_options options = { NO_PRODUCER };
        struct batch_builder *builder = batch_builder_open(&arena, &options);
        struct batch_view batch;
        ck_assert(batch_builder_add(builder, clock_wall_ms(&sim.clock.clock), SLICE_LITERAL("key"),
                                    SLICE_LITERAL("value"), NULL, 0));
        ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
        struct one_produce one;
        struct produce_response told;
        one_produce(&one, "t", 0, batch_bytes(&batch));
        ck_assert(sim_call(&client, ONE_PRODUCE, 9, &one.request, &told));
        ck_assert_int_eq(told.topics[0].partitions[0].error_code, ERR_NONE);
    }
    arena_reset(&arena);
}

static int16_t fetch(int64_t offset)
{
    struct one_fetch one;
    struct fetch_response told;
    one_fetch(&one, "t", 0, offset);
    ck_assert(sim_call(&client, ONE_FETCH, BY_NAME, &one.request, &told));
    return told.topics[0].partitions[0].error_code;
}

static void set_up(void)
{
    sim_open(&sim, 11, "auto.create.topics.enable=false\nconnections.max.idle.ms=-1\nlog.retention.hours=-1");
    sim_connect(&sim, &client);
    arena_init(&arena, NULL);
    make_topic();
    produce(BATCHES);
}

static void tear_down(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
    arena_destroy(&arena);
}

static bool read_progress(struct scrub_file *out)
{
    uint8_t *bytes;
    size_t size;
    if (file_read_all(file_double_system(sim.disk), progress, SCRUB_FILE_SIZE, &bytes, &size) != FILE_OK)
        return false;
    bool ok = scrub_file_decode(slice_of(bytes, size), out);
    free(bytes);
    return ok;
}

/* The value of the third record: its batch has a right header, so a reader meets it only by the checksum. */
static void damage(unsigned bit)
{
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(file_read_all(file_double_system(sim.disk), data, 1 << 20, &bytes, &size), FILE_OK);
    size_t batch_size = load_be32(bytes + BATCH_LENGTH) + BATCH_OVERHEAD;
    free(bytes);
    ck_assert(file_double_flip_bit(sim.disk, data, 3 * batch_size - 3, bit));
}

START_TEST(damage_is_found_and_answered)
{
    struct scrub_file file;
    damage(1);
    sim_advance(&sim, SCRUB_DELAY_MS - 1000);
    ck_assert(!read_progress(&file));
    ck_assert_int_eq(fetch(2), ERR_NONE); /* nobody knows yet */
    sim_advance(&sim, 2000);
    sim_advance(&sim, 60000);
    ck_assert(read_progress(&file));
    ck_assert(file.is_finished);
    ck_assert_uint_eq(file.quarantined_count, 1);
    ck_assert_int_eq(fetch(2), ERR_CORRUPT_MESSAGE);
    ck_assert_int_eq(fetch(1), ERR_NONE);
    ck_assert_int_eq(fetch(3), ERR_NONE);
    produce(1);
    sim_disconnect(&client);
    sim_restart(&sim);
    sim_connect(&sim, &client);
    ck_assert_int_eq(fetch(2), ERR_CORRUPT_MESSAGE);
    ck_assert_int_eq(fetch(3), ERR_NONE);
    damage(1); /* healed by hand */
    sim_disconnect(&client);
    sim_restart(&sim);
    sim_connect(&sim, &client);
    ck_assert_int_eq(fetch(2), ERR_NONE);
}
END_TEST

START_TEST(damage_of_a_later_day_is_found_within_a_week)
{
    struct scrub_file first, next;
    sim_advance(&sim, 2 * SCRUB_DELAY_MS);
    ck_assert(read_progress(&first));
    ck_assert_uint_eq(first.quarantined_count, 0);
    sim_advance(&sim, DAY_MS);
    damage(3);
    for (int day = 1; day < 6; day++)
        sim_advance(&sim, DAY_MS);
    ck_assert_int_eq(fetch(2), ERR_NONE);
    sim_advance(&sim, DAY_MS);
    ck_assert_int_eq(fetch(2), ERR_CORRUPT_MESSAGE);
    ck_assert(read_progress(&next));
    ck_assert_int_ge(next.started_ms, first.started_ms + SCRUB_PASS_MS);
    ck_assert_int_le(next.started_ms, first.started_ms + SCRUB_PASS_MS + SCRUB_IDLE_MS);
}
END_TEST

/* A machine that is off at night finds it as well. */
START_TEST(restarts_do_not_put_it_off)
{
    struct scrub_file file;
    sim_advance(&sim, 2 * SCRUB_DELAY_MS);
    damage(3);
    for (int day = 0; day < 8; day++) {
        sim_disconnect(&client);
        sim_restart(&sim);
        sim_connect(&sim, &client);
        sim_advance(&sim, DAY_MS);
    }
    ck_assert(read_progress(&file));
    ck_assert_int_eq(fetch(2), ERR_CORRUPT_MESSAGE);
}
END_TEST

int main(void)
{
    note_set_level((enum note_level) - 1);
    Suite *suite = suite_create("scrub");
    TCase *tests = tcase_create("scrub");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, damage_is_found_and_answered);
    tcase_add_test(tests, damage_of_a_later_day_is_found_within_a_week);
    tcase_add_test(tests, restarts_do_not_put_it_off);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
