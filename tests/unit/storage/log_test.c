/* storage/log.h: append, roll, read, flush, close and open again, over the disk double. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/crc32c.h"
#include "tests/support/log_rig.h"

START_TEST(an_empty_log_has_no_directory_until_its_first_append)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_range range;
    ck_assert(!log_stats(rig->log).has_directory);
    ck_assert_int_eq(log_read(rig->log, 0, INT64_MAX, 100, true, true, NULL, &range), LOG_OK);
    ck_assert_uint_eq(range.bytes.size, 0);
    ck_assert(!slice_is_null(range.bytes));
    ck_assert_int_eq(log_read(rig->log, 1, INT64_MAX, 100, true, true, NULL, &range), LOG_OUT_OF_RANGE);
    struct rig_batch spec = { .value_size = 10 };
    struct batch_view batch;
    struct log_append_result result;
    rig_make_batch(&spec, &batch);
    ck_assert_int_eq(log_append(rig->log, &batch, 1, 0, 0, &result), LOG_BUSY);
    ck_assert_int_eq(rig->change_count, 0);
    ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    ck_assert_int_eq(rig->change_count, 1);
    ck_assert_int_eq(log_append(rig->log, &batch, 1, 7, 0, &result), LOG_OK);
    ck_assert_int_eq(result.status, LOG_OK);
    ck_assert_int_eq(result.base_offset, 0);
    ck_assert_int_eq(result.end_offset, 1);
    ck_assert_int_eq(result.append_time_ms, -1);
    ck_assert_int_eq(log_offsets(rig->log).leader_epoch, 7);
    ck_assert_int_eq(rig_epoch_at(rig, 0), 7);
    ck_assert(log_stats(rig->log).has_directory);
    ck_assert_int_ge(rig_file_size(rig, "partition.metadata"), 10);
    ck_assert_int_ge(rig_file_size(rig, "leader-epoch-checkpoint"), 1);
    ck_assert_int_eq(rig_file_size(rig, "00000000000000000000.log"), (int64_t)batch.size);
    free(batch.data);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(records_come_back_over_many_segments)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig_fill(rig, 300, 100);
    ck_assert_uint_gt(log_stats(rig->log).segment_count, 5);
    static const size_t sizes[] = { 1, 200, 1000, 5000, 1 << 20 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        ck_assert_int_eq(rig_read_all(rig, sizes[i]), 300);
    ck_assert(rig_check_indexes(rig, false));
    while (log_rig_flush(rig)) {
    } /* a group takes so many files at a time */
    ck_assert_int_eq(log_offsets(rig->log).durable, 300);
    ck_assert_int_eq(rig_read_all(rig, 1000), 300);
    struct log_row row;
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    ck_assert_int_eq(row.end_offset, 300);
    ck_assert(rig_check_indexes(rig, true));
    ck_assert_int_ge(rig_file_size(rig, "00000000000000000300.snapshot"), 10);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_clean_stop_is_opened_lazily_by_its_row)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_row row;
    rig_fill(rig, 100, 100);
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    uint64_t operations = file_double_operation_count(rig->disk);
    log_rig_new_log(rig);
    log__set_closed_row(rig->log, &row);
    ck_assert_int_eq(log_offsets(rig->log).end, 100);
    ck_assert(!log_stats(rig->log).is_open);
    struct log_range range;
    ck_assert_int_eq(log_read(rig->log, 50, INT64_MAX, 100, true, true, NULL, &range), LOG_COLD);
    ck_assert_int_eq(log_warm(rig->log, 50, INT64_MAX, 100), LOG_OK);
    ck_assert_int_eq(log_read(rig->log, 50, INT64_MAX, 100, true, true, NULL, &range), LOG_OK);
    ck_assert_int_eq(range.base_offset, 50);
    ck_assert_int_eq(rig_read_all(rig, 500), 100);
    ck_assert_uint_eq(file_double_operation_count(rig->disk), operations); /* reading changes no file */
    rig_fill(rig, 100, 100);
    ck_assert_int_eq(rig->change_count, 2);
    ck_assert_int_eq(rig_read_all(rig, 500), 200);
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    ck_assert(rig_check_indexes(rig, true));
    ck_assert_int_eq(rig_file_size(rig, "00000000000000000100.snapshot"), -1);
    ck_assert_int_ge(rig_file_size(rig, "00000000000000000200.snapshot"), 10);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(durable_mode_shows_only_what_is_flushed)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.flush_messages = 1;
    log_set_config(rig->log, &rig->config);
    rig_fill(rig, 10, 100);
    ck_assert_int_eq(log_offsets(rig->log).end, 10);
    ck_assert_int_eq(log_offsets(rig->log).high_watermark, 0);
    ck_assert_uint_eq(rig->dirty_count, 1);
    ck_assert_int_eq(rig->dirty_due_ms, 0);
    struct log_range range;
    ck_assert_int_eq(
        log_read(rig->log, 0, log_offsets(rig->log).high_watermark, 100, true, true, NULL, &range), LOG_OK);
    ck_assert_uint_eq(range.bytes.size, 0);
    ck_assert(log_rig_flush(rig));
    ck_assert_int_eq(log_offsets(rig->log).high_watermark, 10);
    ck_assert_uint_eq(rig->progress_count, 1);
    ck_assert(!log_rig_flush(rig));
    rig_fill(rig, 5, 100);
    ck_assert_uint_eq(rig->dirty_count, 2);
    log_set_durable(rig->log, 12);
    ck_assert_int_eq(log_offsets(rig->log).high_watermark, 12);
    ck_assert_int_eq(log_read(rig->log, 10, 12, 10000, true, true, NULL, &range), LOG_OK);
    ck_assert_int_eq(range.next_offset, 12);
    ck_assert_int_eq(log_flush(rig->log), LOG_OK);
    ck_assert_int_eq(log_offsets(rig->log).high_watermark, 15);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(flush_settings_say_when_the_log_is_due)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.flush_messages = 3;
    rig->config.flush_ms = 500;
    log_set_config(rig->log, &rig->config);
    rig_fill(rig, 1, 10);
    ck_assert_int_eq(rig->dirty_due_ms, clock_mono_ms(rig->env.clock) + 500);
    clock_virtual_advance(&rig->clock, 100);
    rig_fill(rig, 1, 10);
    ck_assert_uint_eq(rig->dirty_count, 1);
    rig_fill(rig, 1, 10);
    ck_assert_uint_eq(rig->dirty_count, 2);
    ck_assert_int_eq(rig->dirty_due_ms, 0);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_full_disk_leaves_the_log_as_it_was)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct rig_batch spec = { .value_size = 100 };
    struct log_append_result result;
    rig_fill(rig, 5, 100);
    int64_t size = rig_file_size(rig, "00000000000000000000.log");
    file_double_short_write(rig->disk, 1, 30);
    ck_assert_int_eq(rig_append(rig, &spec, &result), LOG_DISK_FULL);
    ck_assert_int_eq(result.status, LOG_DISK_FULL);
    ck_assert_int_eq(result.base_offset, -1);
    ck_assert_int_eq(log_offsets(rig->log).end, 5);
    ck_assert_int_eq(rig_file_size(rig, "00000000000000000000.log"), size);
    ck_assert_int_eq(log_health(rig->log), LOG_OK);
    rig_fill(rig, 5, 100);
    ck_assert_int_eq(rig_read_all(rig, 1000), 10);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(an_io_error_ends_appends_but_not_reads)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct rig_batch spec = { .value_size = 100 };
    rig_fill(rig, 5, 100);
    file_double_fail_write(rig->disk, 1, FILE_IO);
    ck_assert_int_eq(rig_append(rig, &spec, NULL), LOG_IO);
    ck_assert_uint_eq(rig->failed_count, 1);
    ck_assert_int_eq(log_health(rig->log), LOG_IO);
    ck_assert_int_eq(rig_append(rig, &spec, NULL), LOG_IO);
    ck_assert_int_eq(log_prepare(rig->log), LOG_IO);
    ck_assert_int_eq(rig_read_all(rig, 1000), 5);
    struct log_row row;
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_IO);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_failed_flush_fails_the_log)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig_fill(rig, 5, 100);
    ck_assert_int_eq(log_flush(rig->log), LOG_OK);
    rig_fill(rig, 5, 100);
    file_double_fail_flush(rig->disk, 1);
    ck_assert_int_eq(log_flush(rig->log), LOG_IO);
    ck_assert_int_eq(log_offsets(rig->log).durable, 5);
    ck_assert_int_eq(log_flush(rig->log), LOG_IO);
    ck_assert_int_eq(log_offsets(rig->log).durable, 5);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(one_call_may_need_several_segments)
{
    struct log_rig *rig = log_rig_create(NULL);
    enum { COUNT = 20 };
    struct batch_view batches[COUNT];
    struct log_append_result results[COUNT];
    rig_fill(rig, 1, 10);
    for (int i = 0; i < COUNT; i++) {
        struct rig_batch spec = { .value_size = i == 7 ? 5000 : 1000, .count = 2, .timestamp = i };
        rig_make_batch(&spec, &batches[i]);
    }
    ck_assert_int_eq(log_append(rig->log, batches, COUNT, 1, 0, results), LOG_BUSY);
    ck_assert_int_eq(log_offsets(rig->log).end, 1);
    ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    ck_assert_int_eq(log_append(rig->log, batches, COUNT, 1, 0, results), LOG_OK);
    ck_assert_int_eq(results[7].status, LOG_TOO_LARGE);
    int64_t next = 1;
    for (int i = 0; i < COUNT; i++) {
        free(batches[i].data);
        if (i == 7)
            continue;
        ck_assert_int_eq(results[i].status, LOG_OK);
        ck_assert_int_eq(results[i].base_offset, next);
        next += 2;
    }
    ck_assert_uint_gt(log_stats(rig->log).segment_count, 10);
    ck_assert_int_eq(rig_read_all(rig, 100000), 39);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_spare_is_made_in_time)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct batch_view batch;
    struct log_append_result result;
    struct rig_batch spec = { .value_size = 500 };
    rig_fill(rig, 1, 10);
    rig_make_batch(&spec, &batch);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(log_append(rig->log, &batch, 1, 0, 0, &result), LOG_OK);
        log_rig_run_jobs(rig); /* a worker with time */
    }
    free(batch.data);
    ck_assert_uint_gt(log_stats(rig->log).segment_count, 10);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A half-full segment with its spare made. */
static void fill_with_spare(struct log_rig *rig)
{
    while (log_stats(rig->log).size < 2500) {
        rig_fill(rig, 1, 100);
        log_rig_run_jobs(rig);
    }
    ck_assert_int_eq(rig_file_size(rig, "spare-1.log.runnel"), 0);
}

START_TEST(a_spare_that_somebody_took_away_is_made_anew)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct rig_batch spec = { .value_size = 2000 };
    struct batch_view batch;
    struct log_append_result result;
    fill_with_spare(rig);
    int64_t end = log_offsets(rig->log).end;
    ck_assert_int_eq(file_unlink(rig->env.files, rig_path(rig, "spare-1.log.runnel")), FILE_OK);
    rig_make_batch(&spec, &batch);
    ck_assert_int_eq(log_append(rig->log, &batch, 1, 0, 0, &result), LOG_BUSY);
    ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    ck_assert_int_eq(log_append(rig->log, &batch, 1, 0, 0, &result), LOG_OK);
    ck_assert_int_eq(result.base_offset, end);
    free(batch.data);
    ck_assert_uint_eq(log_stats(rig->log).segment_count, 2);
    ck_assert_int_eq(rig_read_all(rig, 1000), end + 1);
    ck_assert_uint_eq(rig->failed_count, 0);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_spare_that_cannot_be_renamed_ends_appends)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct rig_batch spec = { .value_size = 2000 };
    struct batch_view batch;
    struct log_append_result result;
    char name[32];
    fill_with_spare(rig);
    /* A directory stands where the next segment belongs. */
    snprintf(name, sizeof name, "%020lld.log", (long long)log_offsets(rig->log).end);
    ck_assert_int_eq(file_make_directory(rig->env.files, rig_path(rig, name)), FILE_OK);
    rig_make_batch(&spec, &batch);
    ck_assert_int_eq(log_append(rig->log, &batch, 1, 0, 0, &result), LOG_IO);
    ck_assert_int_eq(result.status, LOG_IO);
    free(batch.data);
    ck_assert_uint_eq(rig->failed_count, 1);
    ck_assert_int_eq(log_health(rig->log), LOG_IO);
    ck_assert_int_eq(log_prepare(rig->log), LOG_IO);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A loop appends, and a loop opens no file: what appends write was opened by log_prepare(). */
START_TEST(appends_save_indexes_without_opening_a_file)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_row row;
    const char *name = "00000000000000000000.index";
    int64_t size = 0;
    rig->config.segment_bytes = 1 << 20;
    log_set_config(rig->log, &rig->config);
    for (int round = 0; round < 2; round++) { /* a new log; one that a clean stop left */
        rig_fill(rig, 1, 100);
        file_double_set_open_limit(rig->disk, 1);
        rig_fill(rig, 100, 100);
        ck_assert_int_gt(rig_file_size(rig, name), size);
        file_double_set_open_limit(rig->disk, 0);
        ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
        size = rig_file_size(rig, name);
        log_rig_new_log(rig);
        log__set_closed_row(rig->log, &row);
    }
    ck_assert_int_eq(rig_read_all(rig, 1000), 202);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_rolled_segment_saves_its_indexes_without_opening_a_file)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct rig_batch spec = { .value_size = 100 };
    struct batch_view batch;
    struct log_append_result result;
    char name[32];
    rig->config.segment_bytes = 1 << 14;
    log_set_config(rig->log, &rig->config);
    while (log_stats(rig->log).size < 1 << 13)
        rig_fill(rig, 1, 100);
    log_rig_run_jobs(rig); /* the spare */
    file_double_set_open_limit(rig->disk, 1);
    rig_make_batch(&spec, &batch);
    while (log_stats(rig->log).segment_count == 1)
        ck_assert_int_eq(log_append(rig->log, &batch, 1, 0, 0, &result), LOG_OK);
    snprintf(name, sizeof name, "%020lld.index", (long long)result.base_offset);
    ck_assert_int_eq(rig_file_size(rig, name), 0);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(log_append(rig->log, &batch, 1, 0, 0, &result), LOG_OK);
    ck_assert_int_gt(rig_file_size(rig, name), 0);
    free(batch.data);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* Roll conditions that tables of segment_test.c show on values, here on a log. */
START_TEST(a_segment_rolls_by_record_time)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.segment_ms = 1000;
    log_set_config(rig->log, &rig->config);
    static const int64_t timestamps[] = { 5000, 5500, 6000, 6001, 6500 };
    for (size_t i = 0; i < 5; i++) {
        struct rig_batch spec = { .value_size = 10, .timestamp = timestamps[i] };
        ck_assert_int_eq(rig_append(rig, &spec, NULL), LOG_OK);
        ck_assert_uint_eq(log_stats(rig->log).segment_count, i < 3 ? 1 : 2);
    }
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(reads_keep_to_the_bound_and_the_size)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_range range;
    for (int i = 0; i < 20; i++) { /* batches of 3 records */
        struct rig_batch spec = { .count = 3, .value_size = 50, .timestamp = i };
        ck_assert_int_eq(rig_append(rig, &spec, NULL), LOG_OK);
    }
    for (int64_t offset = 0; offset <= 60; offset++) {
        for (int64_t bound = 0; bound <= 62; bound++) {
            ck_assert_int_eq(log_read(rig->log, offset, bound, 1000, true, true, NULL, &range), LOG_OK);
            int64_t base = offset - offset % 3, end = (bound < 60 ? bound : 60) / 3 * 3;
            if (offset >= bound || offset == 60 || end <= base) {
                ck_assert_uint_eq(range.bytes.size, 0);
                ck_assert_int_eq(range.next_offset, offset);
                continue;
            }
            ck_assert_int_eq(range.base_offset, base);
            ck_assert_int_le(range.next_offset, end);
            ck_assert(range.bytes.size <= 1000);
            if (range.next_offset < end && range.next_offset != 0)
                ck_assert(range.bytes.size > 700 || log_stats(rig->log).segment_count > 1);
        }
    }
    ck_assert_int_eq(log_read(rig->log, 0, 60, 10, false, true, NULL, &range), LOG_OK);
    ck_assert_uint_eq(range.bytes.size, 0);
    ck_assert_int_eq(log_read(rig->log, 0, 60, 10, true, true, NULL, &range), LOG_OK);
    ck_assert_int_eq(range.next_offset, 3);
    ck_assert_int_eq(log_read(rig->log, 61, 70, 10, true, true, NULL, &range), LOG_OUT_OF_RANGE);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(sizes_between_offsets)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig_fill(rig, 60, 100);
    struct log_range range;
    ck_assert_int_eq(log_read(rig->log, 3, 9, 100000, true, true, NULL, &range), LOG_OK);
    ck_assert_uint_eq(log_size_between(rig->log, 3, 9), range.bytes.size);
    ck_assert_uint_eq(log_size_between(rig->log, 3, 3), 0);
    ck_assert_uint_eq(log_size_between(rig->log, 60, 60), 0);
    ck_assert(log_size_between(rig->log, 3, 60) == SIZE_MAX);
    ck_assert_uint_gt(log_size_between(rig->log, 58, 60), 0);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(without_mappings_bytes_come_through_the_arena)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig->maps_max = 0;
    rig_fill(rig, 100, 100);
    log_rig_flush(rig);
    ck_assert_int_eq(rig_read_all(rig, 1000), 100);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* Who is closed only for want of descriptors does not wait for the device; the clean stop makes up for it. */
START_TEST(what_was_closed_for_others_is_flushed_by_the_clean_stop)
{
    static const char *const names[] = { "00000000000000000000.log", "00000000000000000000.index",
                                         "00000000000000000000.timeindex", "00000000000000000020.snapshot" };
    struct log_rig *rig = log_rig_create(NULL);
    struct log_row row;
    rig_fill(rig, 20, 100);
    log_rig_run_jobs(rig);
    while (log_rig_flush(rig)) {
    }
    uint64_t flushes = file_double_flush_count(rig->disk);
    ck_assert(log__close_files(rig->log));
    ck_assert_uint_eq(file_double_flush_count(rig->disk), flushes);
    log_rig_turn(rig);
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    struct file_double *after =
        file_double_after_cut(rig->disk, file_double_operation_count(rig->disk), FILE_DOUBLE_LOSE_ALL, NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct file_info info;
        ck_assert_int_gt(rig_file_size(rig, names[i]), 0);
        ck_assert_int_eq(file_info(file_double_system(after), rig_path(rig, names[i]), &info), FILE_OK);
        ck_assert_int_eq((int64_t)info.size, rig_file_size(rig, names[i]));
    }
    file_double_destroy(after);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(idle_files_are_closed_and_opened_again)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig_fill(rig, 100, 100);
    ck_assert(!log__close_files(rig->log)); /* dirty */
    log_rig_run_jobs(rig);
    while (log_rig_flush(rig)) {
    }
    struct log_range range;
    ck_assert_int_eq(log_read(rig->log, 99, 100, 1000, true, true, NULL, &range), LOG_OK);
    pin_take(range.pin);
    ck_assert(!log__close_files(rig->log)); /* pinned */
    pin_drop(range.pin);
    ck_assert(log__close_files(rig->log));
    log_rig_turn(rig);
    ck_assert_int_eq(rig->open_files, 0);
    ck_assert_int_eq(rig->maps, 0);
    ck_assert(rig_check_indexes(rig, true));
    ck_assert_int_eq(log_offsets(rig->log).end, 100);
    ck_assert_int_eq(rig_read_all(rig, 1000), 100);
    rig_fill(rig, 100, 100);
    ck_assert_int_eq(rig_read_all(rig, 1000), 200);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    ck_assert(rig_check_indexes(rig, true));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(reading_a_long_log_keeps_few_segments_mapped)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig_fill(rig, 600, 100);
    while (log_rig_flush(rig)) {
    }
    ck_assert_uint_gt(log_stats(rig->log).segment_count, 20);
    ck_assert_int_eq(rig_read_all(rig, 1000), 600);
    log_rig_turn(rig);
    ck_assert_int_le(rig->maps, 2 * 8 + 1);
    ck_assert_int_le(rig->open_files, 8);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* 2^31-1 is the largest relative offset that an index can name. */
START_TEST(a_segment_rolls_before_relative_offsets_pass_31_bits)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct batch_view batch;
    struct log_append_result result;
    struct log_range range;
    struct log_row row;
    struct rig_batch spec = { .value_size = 100 };
    rig_make_batch(&spec, &batch);
    static const struct {
        int32_t delta;
        unsigned segments;
    } rows[] = { { INT32_MAX - 10, 1 }, { 8, 1 },         { 0, 2 }, { 0, 2 },
                 { INT32_MAX - 2, 2 },  { INT32_MAX, 3 }, { 0, 4 } };
    rig_fill(rig, 1, 10);
    int64_t next = 1;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        store_be32(batch.data + BATCH_LAST_OFFSET_DELTA, (uint32_t)rows[i].delta);
        store_be32(batch.data + BATCH_CRC,
                   crc32c(0, batch.data + BATCH_ATTRIBUTES, batch.size - BATCH_ATTRIBUTES));
        ck_assert_int_eq(batch_view(slice_of(batch.data, batch.size), &batch), BATCH_OK);
        while (log_append(rig->log, &batch, 1, 0, 0, &result) == LOG_BUSY)
            ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
        ck_assert_int_eq(result.base_offset, next);
        next += (int64_t)rows[i].delta + 1;
        ck_assert_int_eq(result.end_offset, next);
        ck_assert_uint_eq(log_stats(rig->log).segment_count, rows[i].segments);
    }
    free(batch.data);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(log_read(rig->log, INT32_MAX, next, 100000, true, false, NULL, &range), LOG_OK);
        ck_assert_int_le(range.base_offset, INT32_MAX);
        ck_assert_int_eq(log_read(rig->log, next - 1, next, 100000, true, false, NULL, &range), LOG_OK);
        ck_assert_int_eq(range.base_offset, next - 1);
        ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
        ck_assert(rig_check_indexes(rig, true));
        log_rig_new_log(rig);
        if (round == 0)
            log__set_closed_row(rig->log, &row);
    }
    ck_assert_int_eq(log__recover(rig->log, LOG_POSITION_OF_OFFSET(0), -1, NULL), LOG_OK);
    ck_assert_int_eq(log_offsets(rig->log).end, next);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(leader_epochs_are_kept_over_a_stop)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_row row;
    struct batch_view batch;
    struct log_append_result result;
    struct rig_batch spec = { .value_size = 10 };
    rig_fill(rig, 3, 10);
    rig_make_batch(&spec, &batch);
    ck_assert_int_eq(log_append(rig->log, &batch, 1, 4, 0, &result), LOG_OK);
    ck_assert_int_eq(log_append(rig->log, &batch, 1, 9, 0, &result), LOG_OK);
    free(batch.data);
    for (int round = 0; round < 2; round++) {
        int32_t epoch;
        int64_t end;
        ck_assert_int_eq(rig_epoch_at(rig, 2), 0);
        ck_assert_int_eq(rig_epoch_at(rig, 3), 4);
        ck_assert_int_eq(rig_epoch_at(rig, 4), 9);
        log_epoch_end(rig->log, 5, &epoch, &end);
        ck_assert_int_eq(epoch, 4);
        ck_assert_int_eq(end, 4);
        log_epoch_end(rig->log, 9, &epoch, &end);
        ck_assert_int_eq(end, 5);
        log_epoch_end(rig->log, 10, &epoch, &end);
        ck_assert_int_eq(epoch, -1);
        ck_assert_int_eq(end, -1);
        ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
        ck_assert_int_eq(row.leader_epoch, 9);
        log_rig_new_log(rig);
        log__set_closed_row(rig->log, &row);
        /* Closed, it answers what it knows and opens nothing. */
        ck_assert_int_eq(log_epoch_at(rig->log, 0, &epoch), LOG_BUSY);
        ck_assert_int_eq(log_epoch_end(rig->log, 5, &epoch, &end), LOG_BUSY);
        ck_assert_int_eq(log_epoch_end(rig->log, 9, &epoch, &end), LOG_OK);
        ck_assert_int_eq(epoch, 9);
        ck_assert_int_eq(end, 5);
        ck_assert_int_eq(log_epoch_end(rig->log, 10, &epoch, &end), LOG_OK);
        ck_assert_int_eq(epoch, -1);
        ck_assert(!log_stats(rig->log).is_open);
        uint64_t operations = file_double_operation_count(rig->disk);
        ck_assert_int_eq(log_open(rig->log), LOG_OK);
        ck_assert(log_stats(rig->log).is_open);
        ck_assert_uint_eq(file_double_operation_count(rig->disk), operations);
    }
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tests = tcase_create("log");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, an_empty_log_has_no_directory_until_its_first_append);
    tcase_add_test(tests, records_come_back_over_many_segments);
    tcase_add_test(tests, a_clean_stop_is_opened_lazily_by_its_row);
    tcase_add_test(tests, durable_mode_shows_only_what_is_flushed);
    tcase_add_test(tests, flush_settings_say_when_the_log_is_due);
    tcase_add_test(tests, a_full_disk_leaves_the_log_as_it_was);
    tcase_add_test(tests, an_io_error_ends_appends_but_not_reads);
    tcase_add_test(tests, a_failed_flush_fails_the_log);
    tcase_add_test(tests, one_call_may_need_several_segments);
    tcase_add_test(tests, a_spare_is_made_in_time);
    tcase_add_test(tests, appends_save_indexes_without_opening_a_file);
    tcase_add_test(tests, a_rolled_segment_saves_its_indexes_without_opening_a_file);
    tcase_add_test(tests, a_spare_that_somebody_took_away_is_made_anew);
    tcase_add_test(tests, a_spare_that_cannot_be_renamed_ends_appends);
    tcase_add_test(tests, a_segment_rolls_by_record_time);
    tcase_add_test(tests, reads_keep_to_the_bound_and_the_size);
    tcase_add_test(tests, sizes_between_offsets);
    tcase_add_test(tests, without_mappings_bytes_come_through_the_arena);
    tcase_add_test(tests, idle_files_are_closed_and_opened_again);
    tcase_add_test(tests, what_was_closed_for_others_is_flushed_by_the_clean_stop);
    tcase_add_test(tests, reading_a_long_log_keeps_few_segments_mapped);
    tcase_add_test(tests, a_segment_rolls_before_relative_offsets_pass_31_bits);
    tcase_add_test(tests, leader_epochs_are_kept_over_a_stop);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
