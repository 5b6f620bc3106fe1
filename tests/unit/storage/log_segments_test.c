/* storage/log_segments.h: segments leave and are replaced, under readers and power cuts. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "storage/log_segments.h"
#include "storage/removed_segment.h"
#include "tests/support/log_rig.h"

enum { RECORDS = 120, VALUE_SIZE = 100 };

static void flush_all(struct log_rig *rig)
{
    while (log_rig_flush(rig))
        continue;
}

static struct log_rig *filled(void)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.segment_bytes = 1500;
    rig->config.file_delete_delay_ms = 60000;
    log_set_config(rig->log, &rig->config);
    for (int i = 0; i < RECORDS; i += 4) {
        rig_fill(rig, 4, VALUE_SIZE);
        log_rig_run_jobs(rig); /* writes a snapshot after each roll */
    }
    flush_all(rig);
    ck_assert_uint_gt(log_stats(rig->log).segment_count, 8);
    return rig;
}

static int64_t base_of(struct log_rig *rig, size_t index)
{
    return log__segments(rig->log)->items[index]->base_offset;
}

static int64_t file_size_of(struct log_rig *rig, int64_t base, const char *suffix)
{
    char name[64];
    snprintf(name, sizeof name, "%020" PRId64 "%s", base, suffix);
    return rig_file_size(rig, name);
}

static enum log_status remove_oldest(struct log_rig *rig, size_t count)
{
    pthread_mutex_lock(&rig->log->prepare_mutex);
    enum log_status status = log__remove_oldest(rig->log, count);
    pthread_mutex_unlock(&rig->log->prepare_mutex);
    return status;
}

START_TEST(the_oldest_go_and_their_names_before_their_bytes)
{
    struct log_rig *rig = filled();
    int64_t start = base_of(rig, 3), second = base_of(rig, 1);
    struct log_range range;
    ck_assert_int_ge(file_size_of(rig, second, ".snapshot"), 0);
    ck_assert_int_eq(remove_oldest(rig, 3), LOG_OK);
    ck_assert_int_eq(log_offsets(rig->log).start, start);
    ck_assert_int_eq(base_of(rig, 0), start);
    ck_assert_int_eq(rig_read_all(rig, 700), RECORDS - start);
    ck_assert_int_eq(log_read(rig->log, start - 1, INT64_MAX, 100, true, false, NULL, &range),
                     LOG_OUT_OF_RANGE);
    static const char *const suffixes[] = { ".log", ".index", ".timeindex", ".snapshot" };
    for (size_t i = 0; i < 4; i++) {
        char deleted[32];
        snprintf(deleted, sizeof deleted, "%s.deleted", suffixes[i]);
        ck_assert_int_eq(file_size_of(rig, second, suffixes[i]), -1);
        ck_assert_int_ge(file_size_of(rig, second, deleted), 0);
    }
    ck_assert_uint_eq(rig->removed_count, 3);
    log_rig_turn(rig);
    ck_assert_uint_eq(log_rig_unlink_removed(rig, false), 3); /* not due yet */
    clock_virtual_advance(&rig->clock, 60000);
    ck_assert_uint_eq(log_rig_unlink_removed(rig, false), 0);
    ck_assert_int_eq(file_size_of(rig, second, ".log.deleted"), -1);
    ck_assert_int_eq(file_size_of(rig, second, ".snapshot.deleted"), -1);
    rig_fill(rig, 20, VALUE_SIZE);
    ck_assert_int_eq(rig_read_all(rig, 700), RECORDS + 20 - start);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_reader_keeps_what_it_holds)
{
    struct log_rig *rig = filled();
    struct log_range range;
    ck_assert_int_eq(log_read(rig->log, 0, INT64_MAX, 400, true, false, NULL, &range), LOG_OK);
    ck_assert_ptr_nonnull(range.pin);
    uint8_t *before = malloc(range.bytes.size);
    memcpy(before, range.bytes.data, range.bytes.size);
    pin_take(range.pin);
    ck_assert_int_eq(remove_oldest(rig, 2), LOG_OK);
    clock_virtual_advance(&rig->clock, 60000);
    for (int i = 0; i < 3; i++)
        log_rig_turn(rig);
    ck_assert_uint_eq(log_rig_unlink_removed(rig, false), 1); /* the other one was not held */
    ck_assert_int_ge(file_size_of(rig, 0, ".log.deleted"), 1);
    ck_assert_mem_eq(before, range.bytes.data, range.bytes.size);
    pin_drop(range.pin);
    ck_assert_uint_eq(log_rig_unlink_removed(rig, false), 0);
    ck_assert_int_eq(file_size_of(rig, 0, ".log.deleted"), -1);
    free(before);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(what_is_left_opens_again)
{
    struct log_rig *rig = filled();
    int64_t start = base_of(rig, 4);
    struct log_row row;
    ck_assert_int_eq(remove_oldest(rig, 4), LOG_OK);
    flush_all(rig);
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    ck_assert_int_eq(row.start_offset, start);
    log_rig_new_log(rig);
    log__set_closed_row(rig->log, &row);
    ck_assert_int_eq(rig_read_all(rig, 700), RECORDS - start);
    ck_assert_int_eq(rig_epoch_at(rig, start), 0);
    ck_assert_int_eq(rig_epoch_at(rig, start - 1), -1);
    /* A kill leaves the names; the next start unlinks them. */
    ck_assert_int_eq(remove_oldest(rig, 1), LOG_OK);
    struct log_position durable = log__durable_position(rig->log);
    ck_assert_int_eq(log_rig_close(rig, false, NULL), LOG_OK);
    ck_assert_int_ge(file_size_of(rig, start, ".log.deleted"), 0);
    log_rig_new_log(rig);
    ck_assert_int_eq(log__recover(rig->log, durable, -1, NULL), LOG_OK);
    ck_assert_int_eq(file_size_of(rig, start, ".log.deleted"), -1);
    ck_assert_int_gt(log_offsets(rig->log).start, start);
    ck_assert_int_eq(rig_read_all(rig, 700), RECORDS - log_offsets(rig->log).start);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A log of more segments than files may be open opens all the same, also where its epochs and producers have
 * to be looked up in all of them; and what it looked at once is not left open. */
START_TEST(more_segments_than_descriptors)
{
    enum { FILES = 6 };
    struct log_rig *rig = filled();
    struct log_row row;
    ck_assert_uint_gt(log_stats(rig->log).segment_count, FILES);
    flush_all(rig);
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    log_rig_new_log(rig);
    file_double_set_open_limit(rig->disk, FILES);
    log__set_closed_row(rig->log, &row);
    ck_assert_int_eq(log_open(rig->log), LOG_OK);
    ck_assert_int_le(rig->open_files, FILES);
    struct rig_batch spec = { .producer_id = 1 };
    struct log_append_result result;
    ck_assert_int_eq(rig_append(rig, &spec, &result), LOG_OK);
    ck_assert_int_le(rig->open_files, FILES);
    file_double_set_open_limit(rig->disk, 0);
    ck_assert_int_eq(rig_read_all(rig, 700), RECORDS + 1);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(nothing_beyond_the_high_watermark_goes)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.segment_bytes = 1500;
    rig->config.flush_messages = 1;
    log_set_config(rig->log, &rig->config);
    rig_fill(rig, 30, VALUE_SIZE);
    flush_all(rig);
    rig_fill(rig, 30, VALUE_SIZE);
    size_t count = log_stats(rig->log).segment_count;
    ck_assert_int_eq(remove_oldest(rig, count - 1), LOG_OUT_OF_RANGE);
    ck_assert_int_eq(remove_oldest(rig, 1), LOG_OK);
    ck_assert_uint_eq(log_stats(rig->log).segment_count, count - 1);
    flush_all(rig);
    ck_assert_int_eq(remove_oldest(rig, count - 2), LOG_OK);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_failing_rename_ends_the_appends)
{
    struct log_rig *rig = filled();
    file_double_fail_rename(rig->disk, 2, FILE_IO);
    ck_assert_int_eq(remove_oldest(rig, 2), LOG_IO);
    ck_assert_int_eq(log_health(rig->log), LOG_IO);
    ck_assert_uint_eq(rig->failed_count, 1);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* -- replacement: every second batch stays ----------------------------------------------------------- */

static struct segment *make_replacement(struct log_rig *rig, size_t first, size_t count)
{
    static const char *const suffixes[] = { ".log", ".index", ".timeindex" };
    struct segment_list *list = log__segments(rig->log);
    struct segment *segment = segment_create(list->items[first]->base_offset);
    char path[SEGMENT_PATH_MAX];
    struct file *files[3];
    uint64_t size = 0;
    ck_assert_ptr_nonnull(segment);
    for (size_t i = 0; i < 3; i++) {
        char suffix[32];
        snprintf(suffix, sizeof suffix, "%s.cleaned", suffixes[i]);
        segment_path(&rig->log->home, segment->base_offset, suffix, path);
        ck_assert_int_eq(
            file_open(rig->env.files, path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &files[i]),
            FILE_OK);
    }
    for (size_t i = first; i < first + count; i++) {
        uint8_t *bytes;
        size_t left;
        segment_path(&rig->log->home, list->items[i]->base_offset, ".log", path);
        ck_assert_int_eq(file_read_all(rig->env.files, path, 1 << 20, &bytes, &left), FILE_OK);
        for (uint8_t *at = bytes; left > 0;) {
            struct batch_view batch;
            ck_assert_int_eq(batch_view(slice_of(at, left), &batch), BATCH_OK);
            if (batch.base_offset % 2 == 0) {
                ck_assert_int_eq(file_pwrite(files[0], at, batch.size, size), FILE_OK);
                size += batch.size;
            }
            at += batch.size;
            left -= batch.size;
        }
        free(bytes);
    }
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(file_flush(files[i]), FILE_OK);
        file_close(files[i]);
    }
    atomic_store(&segment->size, (uint32_t)size);
    atomic_store(&segment->offsets.on_disk, true);
    atomic_store(&segment->times.on_disk, true);
    return segment;
}

static enum log_status replace(struct log_rig *rig, size_t first, size_t count)
{
    pthread_mutex_lock(&rig->log->prepare_mutex);
    struct segment *segment = make_replacement(rig, first, count);
    enum log_status status = log__replace_segments(rig->log, first, count, segment);
    pthread_mutex_unlock(&rig->log->prepare_mutex);
    return status;
}

/* Reads as a consumer does: a gap leads to what is behind it. Notes which offsets were seen. */
static void read_with_gaps(struct log_rig *rig, bool seen[RECORDS + 16])
{
    struct log_offsets offsets = log_offsets(rig->log);
    struct arena arena;
    int64_t next = offsets.start, last = -1;
    memset(seen, 0, RECORDS + 16);
    arena_init(&arena, NULL);
    while (next < offsets.end) {
        struct log_range range;
        enum log_status status = log_read(rig->log, next, offsets.end, 700, true, false, &arena, &range);
        ck_assert_msg(status == LOG_OK, "read at %" PRId64 ": status %d", next, status);
        if (range.bytes.size == 0)
            break; /* the end was compacted away */
        for (slice bytes = range.bytes; bytes.size > 0;) {
            struct batch_view batch;
            ck_assert_int_eq(batch_view(bytes, &batch), BATCH_OK);
            ck_assert(batch_crc_ok(&batch));
            ck_assert_int_gt(batch.base_offset, last);
            last = batch.base_offset;
            if (last < RECORDS + 16)
                seen[last] = true;
            bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
        }
        ck_assert_int_gt(range.next_offset, next);
        next = range.next_offset;
        log_rig_turn(rig);
    }
    arena_destroy(&arena);
}

START_TEST(one_segment_takes_the_place_of_many)
{
    struct log_rig *rig = filled();
    bool seen[RECORDS + 16];
    struct log_range held;
    int64_t from = base_of(rig, 1), until = base_of(rig, 4);
    size_t count = log_stats(rig->log).segment_count;
    ck_assert_int_eq(log_read(rig->log, from, INT64_MAX, 4000, true, false, NULL, &held), LOG_OK);
    uint8_t *before = malloc(held.bytes.size);
    memcpy(before, held.bytes.data, held.bytes.size);
    pin_take(held.pin);
    ck_assert_int_eq(replace(rig, 1, 3), LOG_OK);
    ck_assert_uint_eq(rig->rewrite_count, 1);
    ck_assert_uint_eq(log_stats(rig->log).segment_count, count - 2);
    ck_assert_int_eq(base_of(rig, 1), from);
    ck_assert_int_eq(base_of(rig, 2), until);
    ck_assert_int_ge(file_size_of(rig, from, ".snapshot"), 0); /* still true */
    ck_assert_int_eq(file_size_of(rig, base_of(rig, 1), ".log.swap"), -1);
    read_with_gaps(rig, seen);
    for (int64_t i = 0; i < RECORDS; i++)
        ck_assert_int_eq(seen[i], i < from || i >= until || i % 2 == 0);
    ck_assert_mem_eq(before, held.bytes.data, held.bytes.size);
    pin_drop(held.pin);
    clock_virtual_advance(&rig->clock, 60000);
    log_rig_turn(rig);
    log_rig_turn(rig);
    ck_assert_uint_eq(log_rig_unlink_removed(rig, false), 0);
    ck_assert_int_gt(file_size_of(rig, from, ".log"), 0);
    free(before);
    /* As it opens after a clean stop, and after a kill. */
    struct log_row row;
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    log_rig_new_log(rig);
    log__set_closed_row(rig->log, &row);
    read_with_gaps(rig, seen);
    ck_assert(!seen[from % 2 == 0 ? from + 1 : from]);
    struct log_position durable = log__durable_position(rig->log);
    log_rig_close(rig, false, NULL);
    log_rig_new_log(rig);
    ck_assert_int_eq(log__recover(rig->log, durable, -1, NULL), LOG_OK);
    ck_assert_uint_eq(log_stats(rig->log).quarantined_count, 0);
    read_with_gaps(rig, seen);
    ck_assert(!seen[from % 2 == 0 ? from + 1 : from]);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_replacement_that_cannot_be_leaves_no_trace)
{
    struct log_rig *rig = filled();
    int64_t base = base_of(rig, 1);
    pthread_mutex_lock(&rig->log->prepare_mutex);
    struct segment *segment = make_replacement(rig, 1, 2);
    file_double_fail_rename(rig->disk, 2, FILE_FULL); /* of the .index */
    enum log_status status = log__replace_segments(rig->log, 1, 2, segment);
    pthread_mutex_unlock(&rig->log->prepare_mutex);
    ck_assert_int_eq(status, LOG_DISK_FULL);
    ck_assert_int_eq(file_size_of(rig, base, ".log.cleaned"), -1);
    ck_assert_int_eq(file_size_of(rig, base, ".log.swap"), -1);
    ck_assert_int_eq(log_health(rig->log), LOG_OK);
    ck_assert_int_eq(rig_read_all(rig, 700), RECORDS);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* -- the power goes --------------------------------------------------------------------------------- */

static const enum file_double_cut cuts[] = { FILE_DOUBLE_LOSE_ALL, FILE_DOUBLE_KEEP_ALL,
                                             FILE_DOUBLE_REORDER };

/* What a cut must leave of a removal: one piece from some old or new start to the end. */
static bool is_in_one_piece(struct log_rig *rig)
{
    struct log_offsets offsets = log_offsets(rig->log);
    struct segment_list *list = log__segments(rig->log);
    for (size_t i = 0; i < list->count; i++) {
        if (atomic_load(&list->items[i]->quarantine))
            return false;
    }
    return offsets.end == RECORDS && rig_read_all(rig, 700) == RECORDS - offsets.start;
}

START_TEST(a_power_cut_during_a_removal_leaves_one_piece)
{
    struct random random;
    random_seed(&random, 11);
    struct log_rig *rig = filled();
    uint64_t from = file_double_operation_count(rig->disk);
    int64_t start = base_of(rig, 4);
    ck_assert_int_eq(remove_oldest(rig, 4), LOG_OK);
    flush_all(rig);
    log_rig_run_jobs(rig);
    clock_virtual_advance(&rig->clock, 60000);
    log_rig_turn(rig);
    log_rig_turn(rig);
    uint64_t done = file_double_operation_count(rig->disk);
    ck_assert_uint_eq(log_rig_unlink_removed(rig, false), 0);
    struct log_position durable = log__durable_position(rig->log);
    uint64_t until = file_double_operation_count(rig->disk);
    struct file_double *disk = log_rig_destroy(rig);
    for (uint64_t operation = from; operation <= until; operation++) {
        for (size_t cut = 0; cut < 12; cut++) {
            struct file_double *after =
                file_double_after_cut(disk, operation, cuts[cut < 2 ? cut : 2], &random);
            rig = log_rig_create(after);
            ck_assert_int_eq(log__recover(rig->log, durable, -1, NULL), LOG_OK);
            ck_assert_int_le(log_offsets(rig->log).start, start);
            if (operation >= done)
                ck_assert_int_eq(log_offsets(rig->log).start, start);
            ck_assert_msg(is_in_one_piece(rig), "cut %zu after operation %" PRIu64, cut, operation);
            rig_fill(rig, 2, VALUE_SIZE);
            ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
            ck_assert(rig_check_indexes(rig, true));
            log_rig_destroy(rig);
            file_double_destroy(after);
        }
    }
    file_double_destroy(disk);
}
END_TEST

/* Old or new as a whole, for each record that both have: once. */
static bool is_old_or_new(struct log_rig *rig, int64_t from, int64_t until, bool *is_new)
{
    bool seen[RECORDS + 16];
    read_with_gaps(rig, seen);
    *is_new = !seen[from % 2 == 0 ? from + 1 : from];
    for (int64_t i = 0; i < RECORDS; i++) {
        bool wanted = !*is_new || i < from || i >= until || i % 2 == 0;
        if (seen[i] != wanted)
            return false;
    }
    return log_offsets(rig->log).end == RECORDS;
}

static void cut_replacement(bool flushes_lie, unsigned *wrong)
{
    struct random random;
    random_seed(&random, 12);
    struct log_rig *rig = filled();
    uint64_t first = file_double_operation_count(rig->disk);
    int64_t from = base_of(rig, 1), until = base_of(rig, 5);
    file_double_ignore_flushes(rig->disk, flushes_lie);
    ck_assert_int_eq(replace(rig, 1, 4), LOG_OK);
    uint64_t done = file_double_operation_count(rig->disk);
    clock_virtual_advance(&rig->clock, 60000);
    log_rig_turn(rig);
    log_rig_turn(rig);
    (void)log_rig_unlink_removed(rig, false);
    struct log_position durable = log__durable_position(rig->log);
    uint64_t last = file_double_operation_count(rig->disk);
    struct file_double *disk = log_rig_destroy(rig);
    for (uint64_t operation = first; operation <= last; operation++) {
        for (size_t cut = 0; cut < 12; cut++) {
            struct file_double *after =
                file_double_after_cut(disk, operation, cuts[cut < 2 ? cut : 2], &random);
            bool is_new = false;
            rig = log_rig_create(after);
            /* The power may go again while the swap is completed. */
            uint64_t begin = file_double_operation_count(after);
            enum log_status status = log__recover(rig->log, durable, -1, NULL);
            bool ok = status == LOG_OK && log_stats(rig->log).quarantined_count == 0 &&
                      (flushes_lie ? log_offsets(rig->log).end == RECORDS && rig_read_all(rig, 700) >= 0
                                   : is_old_or_new(rig, from, until, &is_new));
            if (operation >= done && !flushes_lie)
                ck_assert(is_new);
            if (!ok)
                ++*wrong;
            uint64_t end = file_double_operation_count(after);
            log_rig_destroy(rig);
            for (uint64_t again = begin; again < end && again < begin + 40 && !flushes_lie; again++) {
                struct file_double *twice = file_double_after_cut(after, again, FILE_DOUBLE_REORDER, &random);
                rig = log_rig_create(twice);
                ck_assert_int_eq(log__recover(rig->log, durable, -1, NULL), LOG_OK);
                ck_assert(is_old_or_new(rig, from, until, &is_new));
                log_rig_destroy(rig);
                file_double_destroy(twice);
            }
            file_double_destroy(after);
        }
    }
    file_double_destroy(disk);
}

START_TEST(a_power_cut_during_a_replacement_leaves_the_old_or_the_new)
{
    unsigned wrong = 0;
    cut_replacement(false, &wrong);
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(when_flushes_lie_a_replacement_is_not_safe)
{
    unsigned wrong = 0;
    cut_replacement(true, &wrong);
    ck_assert_uint_gt(wrong, 0);
}
END_TEST

int main(void)
{
    note_set_level(NOTE_ERROR - 1);
    Suite *suite = suite_create("log_segments");
    TCase *tests = tcase_create("log_segments");
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, the_oldest_go_and_their_names_before_their_bytes);
    tcase_add_test(tests, a_reader_keeps_what_it_holds);
    tcase_add_test(tests, what_is_left_opens_again);
    tcase_add_test(tests, more_segments_than_descriptors);
    tcase_add_test(tests, nothing_beyond_the_high_watermark_goes);
    tcase_add_test(tests, a_failing_rename_ends_the_appends);
    tcase_add_test(tests, one_segment_takes_the_place_of_many);
    tcase_add_test(tests, a_replacement_that_cannot_be_leaves_no_trace);
    tcase_add_test(tests, a_power_cut_during_a_removal_leaves_one_piece);
    tcase_add_test(tests, a_power_cut_during_a_replacement_leaves_the_old_or_the_new);
    tcase_add_test(tests, when_flushes_lie_a_replacement_is_not_safe);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
