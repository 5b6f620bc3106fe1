/* Retention takes the segments in which a producer wrote last, and the power goes at every operation of it: the
 * producer is known all the same. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "tests/support/log_rig.h"

enum { BATCHES = 30, PRODUCERS = 3 };

static struct log_append_result send(struct log_rig *rig, int batch)
{
    struct log_append_result result;
    struct rig_batch spec = { .value_size = 200,
                              .timestamp = batch,
                              .producer_id = 1 + batch % PRODUCERS,
                              .sequence = batch / PRODUCERS };
    ck_assert_int_eq(rig_append(rig, &spec, &result), LOG_OK);
    return result;
}

static void flush_all(struct log_rig *rig)
{
    while (log_rig_flush(rig))
        continue;
}

static void expect_known(struct file_double *whole, uint64_t operation, enum file_double_cut cut,
                         const struct log_config *config, struct log_position durable)
{
    struct random random;
    random_seed(&random, operation);
    struct log_rig *rig = log_rig_create(file_double_after_cut(whole, operation, cut, &random));
    rig->config = *config;
    log_set_config(rig->log, &rig->config);
    ck_assert_int_eq(log__recover(rig->log, durable, -1, NULL), LOG_OK);
    ck_assert_int_eq(log_offsets(rig->log).end, BATCHES);
    for (int i = BATCHES - PRODUCERS; i < BATCHES; i++) {
        struct log_append_result result = send(rig, i);
        ck_assert_msg(result.status == LOG_OK && result.is_duplicate && result.base_offset == i,
                      "operation %" PRIu64 ", cut %d: batch %d is taken once more", operation, (int)cut, i);
    }
    file_double_destroy(log_rig_destroy(rig));
}

/* _i & 1: the worker that writes snapshots has had its turn before; _i & 2: the log was closed and opened anew, so that
 * the snapshot is another life's. */
START_TEST(the_last_word_of_a_producer_outlives_its_records)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_retained gone;
    struct log_row row;
    rig->config.segment_bytes = 1500;
    rig->config.flush_messages = 1;
    rig->config.cleanup = LOG_CLEANUP_DELETE;
    rig->config.retention_bytes = 0;
    log_set_config(rig->log, &rig->config);
    for (int i = 0; i < BATCHES; i++) {
        ck_assert_int_eq(send(rig, i).base_offset, i);
        if (_i & 1)
            log_rig_run_jobs(rig);
        flush_all(rig);
    }
    if (_i & 2) {
        ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
        log_rig_new_log(rig);
        log__set_closed_row(rig->log, &row);
        log_set_config(rig->log, &rig->config);
    }
    struct log_position durable = log__durable_position(rig->log);
    struct log_config config = rig->config;
    uint64_t before = file_double_operation_count(rig->disk);
    ck_assert_int_eq(log_retain(rig->log, 1000, &gone), LOG_OK);
    ck_assert_uint_gt(gone.segment_count, 3);
    uint64_t after = file_double_operation_count(rig->disk);
    struct file_double *whole = log_rig_destroy(rig);
    for (uint64_t operation = before; operation <= after; operation++)
        for (int cut = FILE_DOUBLE_LOSE_ALL; cut <= FILE_DOUBLE_REORDER; cut++)
            expect_known(whole, operation, (enum file_double_cut)cut, &config, durable);
    file_double_destroy(whole);
}
END_TEST

int main(void)
{
    note_set_level((enum note_level) - 1); /* torn tails are what this is about */
    Suite *suite = suite_create("producer retention");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, the_last_word_of_a_producer_outlives_its_records, 0, 4);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
