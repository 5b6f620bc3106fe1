/* The power goes at every single operation of a run of idempotent producers: what is left of their batches is
 * known, and what is lost may be sent again. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "tests/support/log_rig.h"

enum { BATCHES = 90, PRODUCERS = 3, WINDOW = 5, OPERATIONS_MAX = 4000 };

/* The whole run, and what was durable after each operation. */
struct run {
    struct file_double *disk;
    struct log_config config;
    struct log_position durable[OPERATIONS_MAX];
    uint64_t operation_count;
};

static int64_t producer_of(int batch)
{
    return 1 + batch % PRODUCERS;
}

static struct log_append_result send(struct log_rig *rig, int batch)
{
    struct log_append_result result;
    struct rig_batch spec = {
        .value_size = 60, .timestamp = batch, .producer_id = producer_of(batch), .sequence = batch / PRODUCERS
    };
    ck_assert_int_eq(rig_append(rig, &spec, &result), LOG_OK);
    return result;
}

/* Operations since the last call left this durable. */
static void note_durable(struct run *run, struct log_rig *rig, struct log_position *position)
{
    uint64_t count = file_double_operation_count(rig->disk);
    ck_assert_uint_lt(count, OPERATIONS_MAX);
    while (run->operation_count < count)
        run->durable[++run->operation_count] = *position;
    *position = log__durable_position(rig->log);
}

/* Appends with rolls, flushes, snapshots by the worker, clean stops, and closing by the LRU. */
static void script(struct run *run)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_position position = { 0, 0, 0 };
    struct log_row row;
    rig->config.segment_bytes = 2000;
    rig->config.flush_messages = 1;
    log_set_config(rig->log, &rig->config);
    for (int i = 0; i < BATCHES; i++) {
        ck_assert_int_eq(send(rig, i).base_offset, i);
        note_durable(run, rig, &position);
        if (i % 4 == 1)
            log_rig_run_jobs(rig);
        if (i % 3 == 2)
            while (log_rig_flush(rig))
                continue;
        note_durable(run, rig, &position);
        if (i % 30 == 20) {
            ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
            log_rig_new_log(rig);
            log__set_closed_row(rig->log, &row);
        }
        if (i % 30 == 11) {
            while (log_rig_flush(rig))
                continue;
            log_rig_run_jobs(rig);
            ck_assert(log__close_files(rig->log));
        }
        note_durable(run, rig, &position);
        log_rig_turn(rig);
    }
    run->config = rig->config;
    run->disk = log_rig_destroy(rig);
}

/* All that is left is known, five batches deep; all that is lost is not, and comes again. */
static void check_left(struct log_rig *rig, uint64_t operation)
{
    int end = (int)log_offsets(rig->log).end;
    for (int i = end - 1; i >= 0 && i >= end - WINDOW * PRODUCERS; i--) {
        struct log_append_result result = send(rig, i);
        ck_assert_msg(result.status == LOG_OK && result.is_duplicate && result.base_offset == i,
                      "operation %" PRIu64 ": batch %d of %d", operation, i, end);
    }
    for (int i = end + PRODUCERS; i < end + 2 * PRODUCERS && end >= PRODUCERS; i++)
        ck_assert_int_eq(send(rig, i).status, LOG_BAD_SEQUENCE); /* one that is lost lies before it */
    for (int i = end; i < BATCHES + PRODUCERS; i++) {
        struct log_append_result result = send(rig, i);
        ck_assert_msg(result.status == LOG_OK && !result.is_duplicate && result.base_offset == i,
                      "operation %" PRIu64 ": lost batch %d of %d", operation, i, end);
    }
}

START_TEST(power_goes_at_every_operation)
{
    static struct run run;
    enum file_double_cut cut = (enum file_double_cut)_i;
    struct random random;
    random_seed(&random, 77);
    script(&run);
    for (uint64_t operation = 0; operation <= run.operation_count; operation++) {
        struct log_rig *rig = log_rig_create(file_double_after_cut(run.disk, operation, cut, &random));
        rig->config = run.config;
        log_set_config(rig->log, &rig->config);
        enum log_status status = log__recover(rig->log, run.durable[operation], -1, NULL);
        ck_assert(status == LOG_OK || (status == LOG_NOT_FOUND && run.durable[operation].offset == 0));
        ck_assert_int_ge(log_offsets(rig->log).end, run.durable[operation].offset);
        check_left(rig, operation);
        log_rig_close(rig, operation % 2, NULL);
        log_rig_new_log(rig);
        ck_assert_int_eq(log__recover(rig->log, LOG_POSITION_OF_OFFSET(0), -1, NULL), LOG_OK);
        for (int i = BATCHES + PRODUCERS - WINDOW * PRODUCERS; i < BATCHES + PRODUCERS; i++)
            ck_assert(send(rig, i).is_duplicate);
        file_double_destroy(log_rig_destroy(rig));
    }
    printf("%" PRIu64 " operations\n", run.operation_count);
    file_double_destroy(run.disk);
}
END_TEST

int main(void)
{
    note_set_level((enum note_level) - 1); /* torn tails are what this test is about */
    Suite *suite = suite_create("producer_power");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 250);
    tcase_add_loop_test(tests, power_goes_at_every_operation, 0, 3);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
