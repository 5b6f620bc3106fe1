/* Memory runs out at every single allocation of appends, stops and starts: no answer is ever wrong for it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "storage/log_producers.h"
#include "tests/support/log_rig.h"

static long allocations_left = -1; /* -1: as many as asked for */

static bool is_refused(void)
{
    if (allocations_left > 0)
        allocations_left--;
    else
        return allocations_left == 0;
    return false;
}

static void *test_malloc(size_t size)
{
    return is_refused() ? NULL : malloc(size);
}

static void *test_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : calloc(count, size);
}

static void *test_realloc(void *memory, size_t size)
{
    return is_refused() ? NULL : realloc(memory, size);
}

/* The code under test with this malloc; what it uses besides has its own. */
#define malloc  test_malloc
#define calloc  test_calloc
#define realloc test_realloc
#include "storage/producer_state.c"
#define bucket_of judge_bucket_of
#include "storage/log_producers.c"
#include "storage/producer_judge.c"
#include "storage/producer_snapshot.c"
#undef malloc
#undef calloc
#undef realloc

enum { PRODUCERS = 40, CALLS = 12, PER_CALL = 60 };

static struct batch_view batches[CALLS][PER_CALL];

/* Each producer writes in order, with a repetition in between. */
static void make_all(void)
{
    int32_t next[PRODUCERS] = { 0 };
    for (int call = 0; call < CALLS; call++) {
        for (int i = 0; i < PER_CALL; i++) {
            int producer = (call * 7 + i / 2) % PRODUCERS;
            rig_make_batch(&(struct rig_batch){ .producer_id = 1 + producer, .sequence = next[producer] },
                           &batches[call][i]);
            next[producer] += i % 2; /* the first of two is followed by itself */
        }
    }
}

/* One call, with memory that runs out after so many allocations; as often as it takes. */
static int append(struct log_rig *rig, int call, long allocations, struct log_append_result *results)
{
    int refusals = 0;
    for (;;) {
        allocations_left = refusals ? -1 : allocations;
        enum log_status status = log_append(rig->log, batches[call], PER_CALL, 0, 1000, results);
        allocations_left = -1;
        if (status == LOG_OK)
            return refusals;
        ck_assert(status == LOG_LIMIT || status == LOG_BUSY);
        refusals++;
        if (status == LOG_LIMIT)
            continue;
        allocations_left = refusals > 1 ? -1 : allocations;
        status = log_prepare(rig->log);
        allocations_left = -1;
        ck_assert(status == LOG_OK || status == LOG_LIMIT);
    }
}

static void start_again(struct log_rig *rig, bool clean, long allocations)
{
    struct log_row row;
    allocations_left = clean ? allocations : -1;
    enum log_status status = log__close(rig->log, clean, &row);
    allocations_left = -1;
    ck_assert(status == LOG_OK || status == LOG_LIMIT);
    log__free(rig->log);
    log_rig_run_jobs(rig);
    log_rig_turn(rig);
    do {
        log_rig_new_log(rig);
        if (clean && status == LOG_OK) {
            log__set_closed_row(rig->log, &row);
            return;
        }
        allocations_left = allocations;
        status = log__recover(rig->log, LOG_POSITION_OF_OFFSET(0), -1, NULL);
        allocations_left = -1;
        ck_assert(status == LOG_OK || status == LOG_LIMIT || status == LOG_NOT_FOUND);
        if (status == LOG_LIMIT) {
            log_rig_close(rig, false, NULL);
            allocations = -1;
        }
    } while (status == LOG_LIMIT);
}

/* Returns how often memory was refused. */
static int run(long allocations, int restart)
{
    struct log_rig *rig = log_rig_create(NULL);
    static struct log_append_result results[PER_CALL];
    int64_t end = 0;
    int refusals = 0;
    for (int call = 0; call < CALLS; call++) {
        refusals += append(rig, call, allocations, results);
        for (int i = 0; i < PER_CALL; i++) {
            ck_assert_int_eq(results[i].status, LOG_OK);
            bool is_repeated = i % 2;
            ck_assert_int_eq(results[i].is_duplicate, is_repeated);
            ck_assert_int_eq(results[i].base_offset, is_repeated ? end - 1 : end);
            end += !is_repeated;
        }
        if (restart > 0)
            start_again(rig, restart > 1, allocations);
        log_rig_run_jobs(rig);
    }
    ck_assert_int_eq(log_offsets(rig->log).end, end);
    file_double_destroy(log_rig_destroy(rig));
    return refusals;
}

START_TEST(memory_runs_out_everywhere)
{
    int refusals = 0;
    for (long allocations = 0; allocations < 40; allocations++)
        refusals += run(allocations, _i);
    ck_assert_int_gt(refusals, 20);
}
END_TEST

int main(void)
{
    file_guard_install();
    make_all();
    Suite *suite = suite_create("producer_memory");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 100);
    tcase_add_loop_test(tests, memory_runs_out_everywhere, 0, 3);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
