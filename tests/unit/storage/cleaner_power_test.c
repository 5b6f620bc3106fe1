/* A power cut after every operation of a round of cleaning: the last value of every key is there, or the
 * tombstone. */
#include "storage/cleaner_internal.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/log_struct.h"
#include "tests/support/compacted_log.h"

enum { KEYS = 8, CUTS_PER_OPERATION = 6, RETENTION = 500 };

/* Values, tombstones whose time is over, a tombstone that is new, aborted and committed transactions, a
 * producer, over segments of which several become one. */
static const char log_text[] = "a=1 b=1 c=1 | h900:a- t1:b=2 | A1 c=2 d=1 | t2:e=1 t2:e=2 C2 | p3:f=1 f=2 | "
                               "h900:d- g=1 | g- h=1 | b=3 h=2 | x=1";

/* What a reader must find last of a to h; '-' is a tombstone or nothing. */
static const char *const wanted[KEYS] = { "-", "b=3", "c=2", "-", "e=2", "f=2", "-", "h=2" };

static struct log_rig *open_rig(struct file_double *disk)
{
    struct log_rig *rig = log_rig_create(disk);
    /* Three or four of the segments become one. */
    rig->config.segment_bytes = 700;
    rig->config.cleanup = LOG_CLEANUP_COMPACT;
    rig->config.delete_retention_ms = RETENTION;
    log_set_config(rig->log, &rig->config);
    return rig;
}

/* Keys whose last value is wrong, missing or back; all of them when the log cannot be read. Aborted records
 * do not count: whoever reads committed data skips them by the index, which lies beside them until they are
 * gone. */
static int count_lost(struct log_rig *rig)
{
    char last[KEYS][8] = { { 0 } };
    struct log_offsets offsets = log_offsets(rig->log);
    struct arena arena;
    int lost = 0;
    arena_init(&arena, NULL);
    for (int64_t next = offsets.start; next < offsets.end;) {
        struct log_range range;
        if (log_read(rig->log, next, offsets.end, SIZE_MAX, true, false, &arena, &range) != LOG_OK ||
            range.next_offset <= next) {
            lost = KEYS;
            break;
        }
        next = range.next_offset;
        for (slice bytes = range.bytes; bytes.size > 0;) {
            struct batch_view batch;
            struct record record;
            if (batch_view(bytes, &batch) != BATCH_OK || !batch_crc_ok(&batch)) {
                lost = KEYS;
                break;
            }
            bool is_aborted = (batch.attributes & BATCH_ATTRIBUTE_TRANSACTIONAL) && batch.producer_id == 1;
            struct record_iterator *iterator = record_iterator_open(&batch, &arena, 1 << 20);
            while (!is_aborted && record_iterator_next(iterator, &record) == BATCH_OK) {
                if (record.key.size != 1 || record.key.data[0] > 'h')
                    continue;
                snprintf(last[record.key.data[0] - 'a'], 8, "%c=%.*s", record.key.data[0],
                         (int)record.value.size, (const char *)record.value.data);
                if (slice_is_null(record.value))
                    last[record.key.data[0] - 'a'][0] = 0;
            }
            record_iterator_close(iterator);
            bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
        }
    }
    arena_destroy(&arena);
    for (size_t i = 0; i < KEYS && lost < KEYS; i++)
        lost += strcmp(last[i], wanted[i][0] == '-' ? "" : wanted[i]) != 0;
    return lost;
}

/* The directory as it stands after the round was cut at operation `at`: opened, read, cleaned, read. */
static int lost_after(struct file_double *disk, struct log_position durable)
{
    struct log_rig *rig = open_rig(disk);
    int lost = KEYS;
    if (log__recover(rig->log, durable, -1, NULL) == LOG_OK && log_stats(rig->log).quarantined_count == 0) {
        lost = count_lost(rig);
        (void)log_flush(rig->log); /* indexes that were made anew */
        enum log_status status = compacted_clean(rig, -1, NULL);
        if (lost == 0 && status != LOG_OK)
            lost = KEYS;
        if (lost == 0)
            lost = count_lost(rig);
    }
    file_double_destroy(log_rig_destroy(rig));
    return lost;
}

struct totals {
    uint64_t states, lost;
};

static struct totals cut_everywhere(bool lies, enum file_double_cut cut)
{
    struct totals totals = { 0, 0 };
    struct log_rig *rig = open_rig(NULL);
    struct random random;
    random_seed(&random, 7);
    compacted_write(rig, log_text, CODEC_NONE);
    ck_assert_int_eq(log_flush(rig->log), LOG_OK);
    ck_assert_int_eq(file_flush_directory(rig->env.files, rig_path(rig, ".")), FILE_OK);
    ck_assert_int_eq(file_flush_directory(rig->env.files, RIG_DIRECTORY), FILE_OK);
    struct log_position durable = log__durable_position(rig->log);
    uint64_t first = file_double_operation_count(rig->disk);
    file_double_ignore_flushes(rig->disk, lies);
    struct cleaner_result result;
    ck_assert_int_eq(compacted_clean(rig, -1, &result), LOG_OK);
    ck_assert_uint_gt(result.made_count, 1);
    ck_assert_uint_gt(result.replaced_count, result.made_count);
    uint64_t last = file_double_operation_count(rig->disk);
    for (uint64_t at = first; at <= last; at++) {
        for (int i = 0; i < (cut == FILE_DOUBLE_REORDER ? CUTS_PER_OPERATION : 1); i++) {
            totals.states++;
            totals.lost += lost_after(file_double_after_cut(rig->disk, at, cut, &random), durable) > 0;
        }
    }
    file_double_destroy(log_rig_destroy(rig));
    return totals;
}

static void expect(const char *what, bool lies, enum file_double_cut cut)
{
    struct totals totals = cut_everywhere(lies, cut);
    printf("%s: states=%" PRIu64 " lost=%" PRIu64 "\n", what, totals.states, totals.lost);
    ck_assert_uint_gt(totals.states, 20);
    if (lies)
        ck_assert_uint_gt(totals.lost, 0);
    else
        ck_assert_uint_eq(totals.lost, 0);
}

START_TEST(what_was_flushed_alone)
{
    expect("power cut", false, FILE_DOUBLE_LOSE_ALL);
}
END_TEST

START_TEST(kill)
{
    expect("kill", false, FILE_DOUBLE_KEEP_ALL);
}
END_TEST

START_TEST(reordered)
{
    expect("reordered and torn", false, FILE_DOUBLE_REORDER);
}
END_TEST

START_TEST(control)
{
    expect("control, flushes lie", true, FILE_DOUBLE_REORDER);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cleaner power");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 280);
    tcase_add_test(all, what_was_flushed_alone);
    tcase_add_test(all, kill);
    tcase_add_test(all, reordered);
    tcase_add_test(all, control);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
