/* log_retain(), log_delete_records(): which segments go, for open and for shut logs. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "storage/log_struct.h"
#include "tests/support/log_rig.h"

/* Segments of ten records each of 152 bytes or so; the timestamps are the offsets. */
enum { RECORDS = 95, VALUE_SIZE = 80, PER_SEGMENT = 10, SEGMENT_SIZE = 1500, WHENEVER = 1 << 30 };

static void flush_all(struct log_rig *rig)
{
    while (log_rig_flush(rig))
        continue;
}

static struct log_rig *begin(void)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.segment_bytes = SEGMENT_SIZE;
    rig->config.retention_ms = rig->config.retention_bytes = -1;
    log_set_config(rig->log, &rig->config);
    return rig;
}

static struct log_rig *filled(void)
{
    struct log_rig *rig = begin();
    rig_fill(rig, RECORDS, VALUE_SIZE);
    flush_all(rig);
    log_rig_run_jobs(rig);
    return rig;
}

static int64_t base_of(struct log_rig *rig, size_t index)
{
    return log__segments(rig->log)->items[index]->base_offset;
}

static uint64_t size_of(struct log_rig *rig, size_t index)
{
    return atomic_load(&log__segments(rig->log)->items[index]->size);
}

static void configure(struct log_rig *rig, unsigned cleanup, int64_t retention_ms, int64_t retention_bytes)
{
    rig->config.cleanup = cleanup;
    rig->config.retention_ms = retention_ms;
    rig->config.retention_bytes = retention_bytes;
    log_set_config(rig->log, &rig->config);
}

/* Closes the log as a clean stop does, and has it be shut. */
static void shut(struct log_rig *rig)
{
    struct log_row row;
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    log_rig_new_log(rig);
    log__set_closed_row(rig->log, &row);
}

static uint32_t retain(struct log_rig *rig, int64_t now_ms)
{
    struct log_retained gone;
    ck_assert_int_eq(log_retain(rig->log, now_ms, &gone), LOG_OK);
    ck_assert((gone.size > 0) == (gone.segment_count > 0));
    log_rig_run_jobs(rig);
    flush_all(rig);
    return gone.segment_count;
}

enum { ALL = -1 }; /* every segment, and the active one too */

static const struct {
    const char *says;
    unsigned cleanup;
    int64_t retention_ms, now_ms;
    int64_t start;     /* deleted up to here; 0: nothing */
    int segments_kept; /* as bytes in retention.bytes; -1: no limit, -2: one byte less than all of them */
    int gone;
} rows[] = {
    { "nothing is limited", LOG_CLEANUP_DELETE, -1, WHENEVER, 0, -1, 0 },
    { "nothing is to be deleted, whatever the limits", 0, 1, WHENEVER, 0, 0, 0 },
    { "what is compacted only has no age and no size", LOG_CLEANUP_COMPACT, 1, WHENEVER, 0, 0, 0 },
    { "what is compacted and deleted has", LOG_CLEANUP_COMPACT | LOG_CLEANUP_DELETE, 1, WHENEVER, 0, -1,
      ALL },
    { "everything is over age", LOG_CLEANUP_DELETE, 1, WHENEVER, 0, -1, ALL },
    { "the newest record of the second segment is just not over age", LOG_CLEANUP_DELETE, 100, 119, 0, -1,
      1 },
    { "and now it is", LOG_CLEANUP_DELETE, 100, 120, 0, -1, 2 },
    { "the records are of the future", LOG_CLEANUP_DELETE, 0, 0, 0, -1, 0 },
    { "the size of three segments is kept", LOG_CLEANUP_DELETE, -1, 0, 0, 3, -3 },
    { "nothing is kept", LOG_CLEANUP_DELETE, -1, 0, 0, 0, ALL },
    { "one byte too many is no reason to lose a segment", LOG_CLEANUP_DELETE, -1, 0, 0, -2, 0 },
    { "a start inside the third segment", 0, -1, 0, 25, -1, 2 },
    { "a start at the third segment", 0, -1, 0, 20, -1, 2 },
    { "a start one before it", LOG_CLEANUP_COMPACT, -1, 0, 19, -1, 1 },
    { "a start at the end: the active segment stays", 0, -1, 0, RECORDS, -1, 9 },
    { "start, then age", LOG_CLEANUP_DELETE, 100, 140, 15, -1, 4 },
};

START_TEST(what_goes)
{
    for (int is_shut = 0; is_shut < 2; is_shut++) {
        struct log_rig *rig = filled();
        size_t count = log_stats(rig->log).segment_count;
        ck_assert_uint_eq(count, 10);
        ck_assert_int_eq(base_of(rig, 1), PER_SEGMENT);
        int64_t bytes = -1, start;
        if (rows[_i].segments_kept >= 0)
            bytes = 0;
        for (int k = 0; k < rows[_i].segments_kept; k++)
            bytes += (int64_t)size_of(rig, count - 1 - (size_t)k);
        if (rows[_i].segments_kept == -2)
            bytes = (int64_t)log_stats(rig->log).size - 1;
        ck_assert_int_eq(log_delete_records(rig->log, rows[_i].start, &start), LOG_OK);
        if (is_shut)
            shut(rig);
        configure(rig, rows[_i].cleanup, rows[_i].retention_ms, bytes);
        size_t expected = rows[_i].gone == ALL  ? count
                          : rows[_i].gone == -3 ? count - 3
                                                : (size_t)rows[_i].gone;
        uint32_t gone = retain(rig, rows[_i].now_ms);
        ck_assert_msg(gone == expected, "%s, %s: %u segments went", rows[_i].says, is_shut ? "shut" : "open",
                      gone);
        bool opened = log_stats(rig->log).is_open;
        ck_assert_msg(!is_shut || opened == (expected > 0), "%s: opened %d", rows[_i].says, opened);
        ck_assert_uint_eq(retain(rig, rows[_i].now_ms), 0); /* what is left stays */
        struct log_offsets offsets = log_offsets(rig->log);
        int64_t base = rows[_i].gone == ALL ? RECORDS : (int64_t)expected * PER_SEGMENT;
        if (base < rows[_i].start)
            base = rows[_i].start;
        ck_assert_msg(offsets.start == base, "%s: start %" PRId64, rows[_i].says, offsets.start);
        ck_assert_int_eq(offsets.end, RECORDS);
        ck_assert_int_ge(rig_read_all(rig, 700), RECORDS - offsets.start);
        /* Offsets go on where they were. */
        rig_fill(rig, 3, VALUE_SIZE);
        ck_assert_int_eq(log_offsets(rig->log).end, RECORDS + 3);
        ck_assert_int_ge(rig_read_all(rig, 700), RECORDS + 3 - offsets.start);
        log_rig_run_jobs(rig);
        flush_all(rig);
        ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
        ck_assert(rig_check_indexes(rig, true));
        file_double_destroy(log_rig_destroy(rig));
    }
}
END_TEST

START_TEST(an_empty_log_has_nothing_to_lose)
{
    struct log_rig *rig = begin();
    configure(rig, LOG_CLEANUP_DELETE, 0, 0);
    ck_assert_uint_eq(retain(rig, WHENEVER), 0); /* no directory */
    ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    ck_assert_uint_eq(retain(rig, WHENEVER), 0); /* an empty segment */
    shut(rig);
    ck_assert_uint_eq(retain(rig, WHENEVER), 0);
    ck_assert(!log_stats(rig->log).is_open);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(what_is_not_durable_stays)
{
    struct log_rig *rig = begin();
    rig->config.flush_messages = 1;
    configure(rig, LOG_CLEANUP_DELETE, 1, -1);
    rig_fill(rig, 35, VALUE_SIZE);
    flush_all(rig);
    rig_fill(rig, 10, VALUE_SIZE);
    struct log_retained gone;
    ck_assert_int_eq(log_retain(rig->log, WHENEVER, &gone), LOG_OK);
    ck_assert_uint_eq(gone.segment_count, 3); /* the fourth has records beyond the high watermark */
    flush_all(rig);
    ck_assert_uint_eq(retain(rig, WHENEVER), 2);
    ck_assert_int_eq(log_offsets(rig->log).start, 45);
    ck_assert_uint_eq(log_stats(rig->log).segment_count, 1);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(delete_records_moves_the_start)
{
    struct log_rig *rig = filled();
    struct log_range range;
    int64_t start;
    ck_assert_int_eq(log_delete_records(rig->log, 42, &start), LOG_OK);
    ck_assert_int_eq(start, 42);
    ck_assert_uint_eq(rig->start_count, 1);
    ck_assert_int_eq(log_delete_records(rig->log, 17, &start), LOG_OK); /* it never falls */
    ck_assert_int_eq(start, 42);
    ck_assert_uint_eq(rig->start_count, 1);
    ck_assert_int_eq(log_delete_records(rig->log, -1, &start), LOG_OUT_OF_RANGE);
    ck_assert_int_eq(log_delete_records(rig->log, RECORDS + 1, &start), LOG_OUT_OF_RANGE);
    ck_assert_int_eq(log_offsets(rig->log).start, 42);
    ck_assert_int_eq(log_read(rig->log, 41, INT64_MAX, 100, true, false, NULL, &range), LOG_OUT_OF_RANGE);
    ck_assert_int_eq(log_read(rig->log, 42, INT64_MAX, 100, true, false, NULL, &range), LOG_OK);
    ck_assert_int_eq(rig_epoch_at(rig, 41), -1);
    ck_assert_int_eq(rig_epoch_at(rig, 42), 0);
    struct log_found found;
    ck_assert_int_eq(log_find_timestamp(rig->log, 10, INT64_MAX, &found), LOG_OK);
    ck_assert_int_eq(found.offset, 42);
    ck_assert(log__start_to_save(rig->log, &start));
    ck_assert_uint_eq(retain(rig, 0), 4);
    ck_assert(log__start_to_save(rig->log, &start)); /* inside the first segment */
    ck_assert_int_eq(start, 42);
    /* A shut log says what it knows, and is opened for more. */
    shut(rig);
    ck_assert(log__start_to_save(rig->log, &start));
    ck_assert_int_eq(log_delete_records(rig->log, 40, &start), LOG_OK);
    ck_assert_int_eq(start, 42);
    ck_assert_int_eq(log_delete_records(rig->log, RECORDS + 1, &start), LOG_OUT_OF_RANGE);
    ck_assert_int_eq(log_delete_records(rig->log, RECORDS, &start), LOG_BUSY);
    ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    ck_assert_int_eq(log_delete_records(rig->log, RECORDS, &start), LOG_OK);
    ck_assert_int_eq(start, RECORDS);
    ck_assert_int_eq(rig_read_all(rig, 700), 0);
    rig_fill(rig, 5, VALUE_SIZE);
    ck_assert_int_eq(rig_read_all(rig, 700), 5);
    ck_assert_int_eq(log_rig_close(rig, false, NULL), LOG_OK);
    ck_assert_int_eq(log_delete_records(log_rig_new_log(rig), 0, &start), LOG_OK);
    ck_assert_int_eq(log_delete_records(rig->log, 1, &start), LOG_OUT_OF_RANGE);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_deleted_log_says_so)
{
    struct log_rig *rig = filled();
    struct log_retained gone;
    int64_t start;
    log__delete(rig->log);
    ck_assert_int_eq(log_retain(rig->log, WHENEVER, &gone), LOG_CLOSED);
    ck_assert_int_eq(log_delete_records(rig->log, 1, &start), LOG_CLOSED);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* The last entry of a time index that cannot be true is not believed. */
START_TEST(a_damaged_time_index_deletes_nothing)
{
    struct log_rig *rig = filled();
    static const uint8_t zeros[24];
    struct file *file;
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    ck_assert_int_eq(file_open(rig->env.files, rig_path(rig, "00000000000000000000.timeindex"),
                               FILE_READ | FILE_WRITE, &file),
                     FILE_OK);
    uint64_t size;
    ck_assert_int_eq(file_size(file, &size), FILE_OK);
    ck_assert_int_eq(file_pwrite(file, zeros, sizeof zeros, size), FILE_OK); /* as Kafka's pre-sized ones */
    file_close(file);
    log_rig_new_log(rig);
    ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK);
    configure(rig, LOG_CLEANUP_DELETE, 100, -1);
    ck_assert_uint_eq(retain(rig, 105), 0);
    ck_assert_uint_eq(retain(rig, 110), 1);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

int main(void)
{
    note_set_level(NOTE_ERROR - 1);
    Suite *suite = suite_create("log_retention");
    TCase *tests = tcase_create("log_retention");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, what_goes, 0, (int)(sizeof rows / sizeof rows[0]));
    tcase_add_test(tests, an_empty_log_has_nothing_to_lose);
    tcase_add_test(tests, what_is_not_durable_stays);
    tcase_add_test(tests, delete_records_moves_the_start);
    tcase_add_test(tests, a_deleted_log_says_so);
    tcase_add_test(tests, a_damaged_time_index_deletes_nothing);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
