/* A damaged segment that leaves its log just while the scrubber judges it, appends going on; for
 * ThreadSanitizer as much as for its own assertions. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "storage/log_struct.h"
#include "storage/scrubber.h"
#include "tests/support/log_rig.h"

enum { BATCHES = 200, ROUNDS = 40, SLICE = 3000 };

static struct log_rig *rig;
static enum log_status ending;
static unsigned delay; /* of who takes the segment away: turns of a loop */
static struct scrub_counts counts;

static void *scrub(void *context)
{
    unsigned member = retire_join(rig->retire);
    struct scrub_cursor cursor = { .base_offset = 0 };
    (void)context;
    do {
        ending = scrubber_run(rig->log, &cursor, SLICE, NULL, NULL, &counts);
        retire_quiescent(rig->retire, member);
    } while (ending == LOG_BUSY);
    scrub_cursor_reset(&cursor);
    retire_leave(rig->retire, member);
    return NULL;
}

static void wait_turns(void)
{
    static _Atomic unsigned turns;
    for (unsigned i = 0; i < delay; i++)
        atomic_fetch_add(&turns, 1);
}

static void *retain(void *context)
{
    unsigned member = retire_join(rig->retire);
    struct log_retained gone;
    (void)context;
    wait_turns();
    ck_assert_int_eq(log_retain(rig->log, 0, &gone), LOG_OK);
    ck_assert_uint_gt(gone.segment_count, 0);
    rig_fill(rig, 20, 100);
    while (log_rig_flush(rig))
        continue;
    retire_leave(rig->retire, member);
    return NULL;
}

static void *delete (void *context)
{
    unsigned member = retire_join(rig->retire);
    (void)context;
    wait_turns();
    log__delete(rig->log);
    retire_leave(rig->retire, member);
    return NULL;
}

static void run_round(void *(*other)(void *), unsigned round)
{
    pthread_t threads[2];
    rig = log_rig_create(NULL);
    rig->config.cleanup = LOG_CLEANUP_DELETE;
    rig->config.retention_ms = -1;
    rig->config.retention_bytes = 12000;
    log_set_config(rig->log, &rig->config);
    rig_fill(rig, BATCHES, 100);
    while (log_rig_flush(rig))
        continue;
    ck_assert(file_double_flip_bit(rig->disk, rig_path(rig, "00000000000000000000.log"), 2000, 1));
    counts = (struct scrub_counts){ 0 };
    delay = round * round * 10;
    retire_sleep(rig->retire, rig->member);
    ck_assert_int_eq(pthread_create(&threads[0], NULL, scrub, NULL), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, other, NULL), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    retire_wake(rig->retire, rig->member);
}

START_TEST(retention_takes_the_damaged_segment)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        run_round(retain, round);
        ck_assert_int_eq(ending, LOG_OK);
        ck_assert_uint_le(counts.quarantined_count, 1); /* it came first, or not */
        ck_assert_uint_eq(log_stats(rig->log).quarantined_count, 0);
        ck_assert_int_eq(rig_read_all(rig, 1000), log_offsets(rig->log).end - log_offsets(rig->log).start);
        file_double_destroy(log_rig_destroy(rig));
    }
}
END_TEST

START_TEST(the_log_is_deleted)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        run_round(delete, round);
        ck_assert(ending == LOG_OK || ending == LOG_CLOSED);
        file_double_destroy(log_rig_destroy(rig));
    }
}
END_TEST

int main(void)
{
    note_set_level((enum note_level) - 1);
    Suite *suite = suite_create("scrubber threads");
    TCase *tests = tcase_create("scrubber threads");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, retention_takes_the_damaged_segment);
    tcase_add_test(tests, the_log_is_deleted);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
