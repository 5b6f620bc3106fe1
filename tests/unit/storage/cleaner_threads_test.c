/* A compacted log that is written, read, looked up by time, deleted records from, compacted and scrubbed at
 * once, on real files; for ThreadSanitizer as much as for its own assertions. */
#include <check.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/cleaner_internal.h"
#include "storage/log_struct.h"
#include "storage/scrubber.h"
#include "tests/support/log_rig.h"
#include "tests/support/temp_dir.h"

enum { KEYS = 50, RECORDS = 12000, READERS = 2 };

static struct log_rig *rig;
static _Atomic bool is_written;
static _Atomic uint64_t reads, rounds, replaced, scrubs;

/* The value says the offset, so any reader can check any record. */
static void *write_all(void *context)
{
    unsigned member = retire_join(rig->retire);
    (void)context;
    for (int64_t offset = 0; offset < RECORDS; offset++) {
        struct batch_builder_options options = { .producer_id = -1,
                                                 .producer_epoch = -1,
                                                 .base_sequence = -1,
                                                 .attributes = (uint16_t)(offset % CODEC_COUNT) };
        struct log_append_result result;
        struct batch_view batch;
        struct arena arena;
        uint8_t key = (uint8_t)(offset * 7 % KEYS), value[32] = { 0 };
        arena_init(&arena, NULL);
        store_be64(value, (uint64_t)offset);
        struct batch_builder *builder = batch_builder_open(&arena, &options);
        ck_assert(
            batch_builder_add(builder, offset, slice_of(&key, 1), slice_of(value, sizeof value), NULL, 0));
        ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
        enum log_status status;
        while ((status = log_append(rig->log, &batch, 1, 0, 1000000, &result)) == LOG_BUSY) {
            log_rig_run_jobs(rig);
            ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
        }
        ck_assert_int_eq(status, LOG_OK);
        arena_destroy(&arena);
        if (offset % 16 == 0) {
            log_rig_run_jobs(rig);
            while (log_rig_flush(rig))
                continue;
        }
        retire_quiescent(rig->retire, member);
    }
    retire_leave(rig->retire, member);
    atomic_store(&is_written, true);
    return NULL;
}

/* Reads from the start to the end that it finds, in order. Keys that are older than what was cleaned before
 * it began are there once at most. */
static int64_t read_once(unsigned member)
{
    struct log_offsets offsets = log_offsets(rig->log);
    int64_t last[KEYS], next = offsets.start;
    struct arena arena;
    for (size_t i = 0; i < KEYS; i++)
        last[i] = -1;
    arena_init(&arena, NULL);
    while (next < offsets.end) {
        struct log_range range;
        enum log_status status = log_read(rig->log, next, offsets.end, 700, true, false, &arena, &range);
        ck_assert_msg(status == LOG_OK, "status %d at %" PRId64, status, next);
        if (range.bytes.size == 0)
            break; /* all up to that end is cleaned away: its successors lie behind */
        ck_assert_int_gt(range.next_offset, next);
        for (slice bytes = range.bytes; bytes.size > 0;) {
            struct batch_view batch;
            struct record record;
            ck_assert_int_eq(batch_view(bytes, &batch), BATCH_OK);
            ck_assert(batch_crc_ok(&batch));
            struct record_iterator *iterator = record_iterator_open(&batch, &arena, 1 << 20);
            while (record_iterator_next(iterator, &record) == BATCH_OK) {
                int64_t *before = &last[record.key.data[0]];
                ck_assert_int_eq((int64_t)load_be64(record.value.data), record.offset);
                ck_assert_int_gt(record.offset, *before);
                *before = record.offset;
            }
            record_iterator_close(iterator);
            bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
        }
        next = range.next_offset;
        arena_reset(&arena);
        retire_quiescent(rig->retire, member);
    }
    arena_destroy(&arena);
    /* The last value of every key up to that end, unless a newer one behind it took its place meanwhile. */
    for (int64_t key = 0; key < KEYS && offsets.end > KEYS; key++) {
        int64_t offset = offsets.end - 1;
        while (offset * 7 % KEYS != key)
            offset--;
        bool is_replaced = last[key] < offset && log_offsets(rig->log).end > offset + KEYS;
        ck_assert_msg(last[key] == offset || is_replaced, "key %" PRId64 ": %" PRId64 " is not %" PRId64, key,
                      last[key], offset);
    }
    return offsets.end;
}

static void *read_all(void *context)
{
    unsigned member = retire_join(rig->retire);
    struct log_found found;
    (void)context;
    while (!atomic_load(&is_written)) {
        int64_t end = read_once(member);
        atomic_fetch_add(&reads, 1);
        enum log_status status = end > 0 ? log_find_timestamp(rig->log, end / 2, end, &found) : LOG_NOT_FOUND;
        ck_assert_msg(status == LOG_OK || status == LOG_NOT_FOUND, "status %d", status);
        if (status == LOG_OK)
            ck_assert_int_ge(found.timestamp, end / 2);
        retire_quiescent(rig->retire, member);
    }
    retire_leave(rig->retire, member);
    return NULL;
}

struct cleaning_thread {
    unsigned member;
};

static bool step(void *context, uint64_t size)
{
    struct cleaning_thread *self = context;
    (void)size;
    retire_quiescent(rig->retire, self->member);
    return true;
}

static void *clean_all(void *context)
{
    struct cleaning_thread self = { .member = retire_join(rig->retire) };
    struct cleaner_options options = {
        .map_size_max = 1 << 20, .map_load = 0.9, .buffer_size = 8192, .step = step, .context = &self
    };
    struct cleaner *cleaner = cleaner_create(&options);
    int64_t first_dirty = -1;
    (void)context;
    while (!atomic_load(&is_written)) {
        struct cleaner_look look;
        struct cleaner_result result;
        enum log_status status = cleaner_look(rig->log, first_dirty, 1000000, &look);
        if (status == LOG_OK && look.cleanable_size > 0) {
            status = cleaner_clean(cleaner, rig->log, &look, 1000000, &result);
            ck_assert_msg(status == LOG_OK, "status %d", status);
            first_dirty = result.next_dirty;
            atomic_fetch_add(&rounds, 1);
            atomic_fetch_add(&replaced, result.replaced_count);
        }
        cleaner_look_end(&look);
        (void)log_rig_unlink_removed(rig, false);
        retire_quiescent(rig->retire, self.member);
    }
    cleaner_destroy(cleaner);
    retire_leave(rig->retire, self.member);
    return NULL;
}

/* Nothing is damaged, whatever takes the place of what while it is verified. */
static void *scrub_all(void *context)
{
    unsigned member = retire_join(rig->retire);
    struct scrub_cursor cursor = { .base_offset = 0 };
    struct scrub_counts counts = { 0 };
    (void)context;
    while (!atomic_load(&is_written)) {
        enum log_status status = scrubber_run(rig->log, &cursor, 700, NULL, NULL, &counts);
        ck_assert_msg(status == LOG_OK || status == LOG_BUSY, "status %d", status);
        if (status == LOG_OK) {
            scrub_cursor_reset(&cursor);
            atomic_fetch_add(&scrubs, 1);
        }
        retire_quiescent(rig->retire, member);
    }
    scrub_cursor_reset(&cursor);
    ck_assert_uint_eq(counts.quarantined_count, 0);
    ck_assert_uint_eq(counts.index_count, 0);
    retire_leave(rig->retire, member);
    return NULL;
}

START_TEST(all_at_once)
{
    struct temp_dir root;
    pthread_t threads[READERS + 3];
    temp_dir_create(&root);
    struct file_system *files = file_posix_create(2);
    rig = log_rig_create_on(files, root.path);
    rig->config.segment_bytes = 4096;
    rig->config.cleanup = LOG_CLEANUP_COMPACT;
    rig->config.delete_retention_ms = 1000;
    log_set_config(rig->log, &rig->config);
    retire_sleep(rig->retire, rig->member);
    ck_assert_int_eq(pthread_create(&threads[0], NULL, write_all, NULL), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, clean_all, NULL), 0);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[2 + i], NULL, read_all, NULL), 0);
    ck_assert_int_eq(pthread_create(&threads[READERS + 2], NULL, scrub_all, NULL), 0);
    for (int i = 0; i < READERS + 3; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    retire_wake(rig->retire, rig->member);
    ck_assert_int_eq(read_once(rig->member), RECORDS);
    printf("%" PRIu64 " reads of all, %" PRIu64 " rounds, %" PRIu64 " segments replaced, %" PRIu64
           " scrubs\n",
           reads, rounds, replaced, scrubs);
    ck_assert_uint_gt(rounds, 3);
    ck_assert_uint_gt(scrubs, 0);
    log_rig_destroy(rig);
    file_posix_destroy(files);
    temp_dir_destroy(&root);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cleaner threads");
    TCase *all = tcase_create("all");
    tcase_add_test(all, all_at_once);
    tcase_set_timeout(all, 280);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
