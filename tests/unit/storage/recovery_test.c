/* Opening a directory after an unclean stop: torn tails, damage, missing and foreign files. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "tests/support/log_rig.h"

/* Writes bytes over a file of the partition, bypassing the log. */
static void write_file(struct log_rig *rig, const char *name, const void *bytes, size_t size,
                       uint64_t position)
{
    struct file *file;
    ck_assert_int_eq(
        file_open(rig->env.files, rig_path(rig, name), FILE_READ | FILE_WRITE | FILE_CREATE, &file), FILE_OK);
    if (size > 0)
        ck_assert_int_eq(file_pwrite(file, bytes, size, position), FILE_OK);
    ck_assert_int_eq(file_flush(file), FILE_OK);
    file_close(file);
}

static void cut_file(struct log_rig *rig, const char *name, uint64_t size)
{
    struct file *file;
    ck_assert_int_eq(file_open(rig->env.files, rig_path(rig, name), FILE_READ | FILE_WRITE, &file), FILE_OK);
    ck_assert_int_eq(file_truncate(file, size), FILE_OK);
    ck_assert_int_eq(file_flush(file), FILE_OK);
    file_close(file);
}

/* Kills the log and opens it again with this durable position. */
static struct log_recovery restart(struct log_rig *rig, struct log_position durable)
{
    struct log_recovery recovery;
    if (rig->log)
        log_rig_close(rig, false, NULL);
    log_rig_new_log(rig);
    ck_assert_int_eq(log__recover(rig->log, durable, -1, &recovery), LOG_OK);
    return recovery;
}

static void flush_all(struct log_rig *rig)
{
    while (log_rig_flush(rig)) {
    }
}

#define NOTHING_DURABLE LOG_POSITION_OF_OFFSET(0)

START_TEST(a_kill_keeps_everything)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig_fill(rig, 200, 100);
    for (int round = 0; round < 3; round++) {
        struct log_recovery recovery = restart(rig, NOTHING_DURABLE);
        ck_assert_uint_eq(recovery.cut_size, 0);
        ck_assert_int_eq(log_offsets(rig->log).end, 200);
        ck_assert_int_eq(log_offsets(rig->log).high_watermark, 200);
        ck_assert_int_eq(rig_read_all(rig, 1000), 200);
        ck_assert(rig_check_indexes(rig, false));
        ck_assert_int_eq(rig_epoch_at(rig, 100), 0);
    }
    rig_fill(rig, 100, 100);
    ck_assert_int_eq(rig_read_all(rig, 1000), 300);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    ck_assert(rig_check_indexes(rig, true));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* The tail is cut to every length; what is whole stays. */
START_TEST(a_torn_tail_is_cut_to_the_last_whole_batch)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.segment_bytes = 1 << 20;
    log_set_config(rig->log, &rig->config);
    rig_fill(rig, 10, 100);
    int64_t size = rig_file_size(rig, "00000000000000000000.log"), batch = size / 10;
    ck_assert_int_eq(size % 10, 0);
    for (int64_t keep = size - 1; keep >= 0; keep -= 7) {
        log_rig_close(rig, false, NULL);
        cut_file(rig, "00000000000000000000.log", (uint64_t)keep);
        restart(rig, NOTHING_DURABLE);
        ck_assert_int_eq(log_offsets(rig->log).end, keep / batch);
        ck_assert_int_eq(rig_file_size(rig, "00000000000000000000.log"), keep / batch * batch);
        ck_assert_int_eq(rig_read_all(rig, 1000), keep / batch);
    }
    rig_fill(rig, 10, 100);
    ck_assert_int_eq(rig_read_all(rig, 1000), 10);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A clean stop's files are walked from the last index entry on: what is damaged there does not cost what lies
 * in front of it. */
START_TEST(damage_at_the_last_index_entry_costs_its_batch_alone)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_row row;
    rig_fill(rig, 20 + _i, 100);
    flush_all(rig);
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    uint64_t batch = row.active_size / (20 + (uint32_t)_i);
    ck_assert(file_double_flip_bit(rig->disk, rig_path(rig, "00000000000000000000.log"),
                                   (19 + (uint64_t)_i) * batch + BATCH_LAST_OFFSET_DELTA, 3));
    log_rig_new_log(rig);
    log__set_closed_row(rig->log, &row);
    ck_assert_int_eq(log_open(rig->log), LOG_OK);
    ck_assert_int_eq(log_offsets(rig->log).end, 20 + _i);
    ck_assert_int_eq(rig_read_all(rig, 1000), 19 + _i);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(garbage_behind_the_end_is_cut)
{
    static const struct {
        const char *what;
        size_t size;
        int fill;
    } rows[] = {
        { "zeros of a preallocated file", 5000, 0 },
        { "less than a header", 16, 0x22 },
        { "noise with the magic in it", 3000, 2 },
        { "ones", 100, 0xff },
    };
    uint8_t bytes[5000];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct log_rig *rig = log_rig_create(NULL);
        rig_fill(rig, 10, 100);
        flush_all(rig);
        struct log_position durable = log__durable_position(rig->log);
        ck_assert_int_eq(durable.offset, 10);
        log_rig_close(rig, false, NULL);
        memset(bytes, rows[i].fill, rows[i].size);
        write_file(rig, "00000000000000000000.log", bytes, rows[i].size, durable.position);
        struct log_recovery recovery = restart(rig, durable);
        ck_assert_msg(recovery.cut_size == rows[i].size, "%s", rows[i].what);
        ck_assert_uint_eq(recovery.scanned_size, 0);
        ck_assert_int_eq(log_offsets(rig->log).end, 10);
        ck_assert_int_eq(rig_read_all(rig, 1000), 10);
        file_double_destroy(log_rig_destroy(rig));
    }
}
END_TEST

START_TEST(only_the_unflushed_tail_is_scanned)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.segment_bytes = 1 << 20;
    log_set_config(rig->log, &rig->config);
    rig_fill(rig, 1000, 100);
    flush_all(rig);
    struct log_position durable = log__durable_position(rig->log);
    rig_fill(rig, 10, 100);
    struct log_recovery recovery = restart(rig, durable);
    ck_assert_uint_eq(recovery.scanned_size, (uint64_t)durable.position / 100);
    ck_assert_int_eq(rig_read_all(rig, 1000), 1010);
    ck_assert(rig_check_indexes(rig, true) || rig_check_indexes(rig, false));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* Kafka would cut here and delete all later segments. */
START_TEST(damage_before_the_durable_end_is_quarantined)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_range range;
    rig->config.segment_bytes = 1 << 20;
    log_set_config(rig->log, &rig->config);
    rig_fill(rig, 100, 100);
    flush_all(rig);
    int64_t batch = rig_file_size(rig, "00000000000000000000.log") / 100;
    log_rig_close(rig, false, NULL);
    ck_assert(file_double_flip_bit(rig->disk, rig_path(rig, "00000000000000000000.log"),
                                   (uint64_t)batch * 40 + 90, 3));
    ck_assert(file_double_flip_bit(rig->disk, rig_path(rig, "00000000000000000000.log"),
                                   (uint64_t)batch * 70 + 10, 3));
    struct log_recovery recovery = restart(rig, LOG_POSITION_OF_OFFSET(100));
    ck_assert_uint_eq(recovery.quarantined_count, 2);
    ck_assert_uint_eq(recovery.cut_size, 0);
    ck_assert_int_eq(log_offsets(rig->log).end, 100);
    ck_assert_int_eq(log_read(rig->log, 40, 100, 1000, true, true, NULL, &range), LOG_CORRUPT);
    ck_assert_int_eq(range.next_offset, 41);
    ck_assert_int_eq(log_read(rig->log, 70, 100, 1000, true, true, NULL, &range), LOG_CORRUPT);
    ck_assert_int_eq(range.next_offset, 71);
    ck_assert_int_eq(log_read(rig->log, 38, 100, 1000, true, true, NULL, &range), LOG_OK);
    ck_assert_int_eq(range.next_offset, 40);
    ck_assert_int_eq(log_read(rig->log, 41, 100, 100000, true, true, NULL, &range), LOG_OK);
    ck_assert_int_eq(range.next_offset, 70);
    ck_assert_int_eq(rig_read_all(rig, 1000), 98);
    rig_fill(rig, 10, 100);
    ck_assert_int_eq(rig_read_all(rig, 1000), 108);
    ck_assert_uint_eq(log_stats(rig->log).quarantined_count, 2);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(damage_stays_quarantined_over_clean_stops)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_range range;
    struct log_row row;
    rig_fill(rig, 100, 100);
    flush_all(rig);
    struct log_position durable = log__durable_position(rig->log);
    log_rig_close(rig, false, NULL);
    const char *path = rig_path(rig, "00000000000000000000.log");
    ck_assert(file_double_flip_bit(rig->disk, path, 600, 3));
    struct log_recovery recovery = restart(rig, LOG_POSITION_OF_OFFSET(durable.offset));
    ck_assert_uint_eq(recovery.quarantined_count, 0); /* the durable end is far away */
    log_rig_close(rig, false, NULL);
    log_rig_new_log(rig);
    /* Damage in the header shows when it is read. */
    ck_assert(file_double_flip_bit(rig->disk, path, 600, 3));
    ck_assert(file_double_flip_bit(rig->disk, path, 170 * 3 + 16, 0));
    ck_assert_int_eq(log__recover(rig->log, durable, -1, NULL), LOG_OK);
    ck_assert_int_eq(log_read(rig->log, 3, 100, 1000, true, true, NULL, &range), LOG_COLD);
    ck_assert_int_eq(log_warm(rig->log, 3, 100, 1000), LOG_CORRUPT);
    ck_assert_int_eq(log_read(rig->log, 3, 100, 1000, true, true, NULL, &range), LOG_CORRUPT);
    ck_assert_int_eq(range.next_offset, 4);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
        log_rig_new_log(rig);
        log__set_closed_row(rig->log, &row);
        ck_assert_int_eq(log_read(rig->log, 3, 100, 1000, true, false, NULL, &range), LOG_CORRUPT);
        ck_assert_int_eq(range.next_offset, 4);
        ck_assert_int_eq(rig_read_all(rig, 1000), 99);
    }
    /* Somebody who mends it has the last word. */
    log_rig_close(rig, true, &row);
    ck_assert(file_double_flip_bit(rig->disk, path, 170 * 3 + 16, 0));
    log_rig_new_log(rig);
    log__set_closed_row(rig->log, &row);
    ck_assert_int_eq(rig_read_all(rig, 1000), 100);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* Every bit of the file once, before the durable end: no offset is lost, none is answered wrong. */
START_TEST(any_flipped_bit_costs_one_batch_at_most)
{
    struct file_double *disk = NULL;
    struct random random;
    random_seed(&random, 1);
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.segment_bytes = 1 << 20;
    log_set_config(rig->log, &rig->config);
    rig_fill(rig, 10, 20);
    flush_all(rig);
    int64_t size = rig_file_size(rig, "00000000000000000000.log");
    disk = log_rig_destroy(rig);
    for (int64_t position = 0; position < size; position++) {
        rig = log_rig_create(disk);
        rig->config.segment_bytes = 1 << 20;
        log_rig_close(rig, false, NULL);
        unsigned bit = (unsigned)random_below(&random, 8);
        const char *path = rig_path(rig, "00000000000000000000.log");
        int64_t batch = size / 10, in_batch = position % batch;
        ck_assert(file_double_flip_bit(disk, path, (uint64_t)position, bit));
        restart(rig, LOG_POSITION_OF_OFFSET(10));
        int64_t count = rig_read_all(rig, 1000);
        ck_assert_int_eq(log_offsets(rig->log).end, 10);
        /* Base offset and leader epoch are under no checksum: they show with their neighbours, and a raised
         * epoch of the last batch not at all. */
        if (in_batch >= 12 && in_batch < 16 && position / batch == 9)
            ck_assert(count == 9 || count == 10);
        else
            ck_assert_msg(count == 9 || count == 8, "position %" PRId64 " bit %u: %" PRId64, position, bit,
                          count);
        ck_assert(file_double_flip_bit(disk, path, (uint64_t)position, bit));
        disk = log_rig_destroy(rig);
    }
    file_double_destroy(disk);
}
END_TEST

START_TEST(what_was_durable_and_is_gone_is_not_given_out_again)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_range range;
    rig->config.segment_bytes = 1 << 20;
    log_set_config(rig->log, &rig->config);
    rig_fill(rig, 10, 100);
    flush_all(rig);
    struct log_position durable = log__durable_position(rig->log);
    log_rig_close(rig, false, NULL);
    cut_file(rig, "00000000000000000000.log", durable.position / 2 + 3);
    struct log_recovery recovery = restart(rig, durable);
    ck_assert_uint_eq(recovery.quarantined_count, 1);
    ck_assert_int_eq(log_offsets(rig->log).end, 10);
    ck_assert_int_eq(log_read(rig->log, 5, 10, 1000, true, true, NULL, &range), LOG_CORRUPT);
    ck_assert_int_eq(range.next_offset, 10);
    ck_assert_int_eq(rig_read_all(rig, 1000), 5);
    rig_fill(rig, 5, 100);
    ck_assert_int_eq(log_offsets(rig->log).end, 15);
    ck_assert_int_eq(rig_read_all(rig, 1000), 10);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A hole is known from quarantine.runnel alone, and whoever used the directory since knew nothing of it. */
START_TEST(a_hole_does_not_hide_what_another_broker_wrote)
{
    static const bool filled[] = { true, false }; /* records at these offsets: written there; not yet */
    for (size_t i = 0; i < 2; i++) {
        struct log_rig *rig = log_rig_create(NULL);
        struct log_range range;
        struct log_row row;
        const char *name = "00000000000000000000.log";
        uint8_t *bytes;
        size_t size;
        rig->config.segment_bytes = 1 << 20;
        log_set_config(rig->log, &rig->config);
        rig_fill(rig, 10, 100);
        flush_all(rig);
        struct log_position durable = log__durable_position(rig->log);
        log_rig_close(rig, false, NULL);
        ck_assert_int_eq(file_read_all(rig->env.files, rig_path(rig, name), 1 << 20, &bytes, &size), FILE_OK);
        cut_file(rig, name, durable.position / 2);
        ck_assert_uint_eq(restart(rig, durable).quarantined_count, 1);
        ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
        log_rig_new_log(rig);
        log__set_closed_row(rig->log, &row);
        ck_assert_int_eq(log_read(rig->log, 5, 10, 1000, true, false, NULL, &range), LOG_CORRUPT);
        ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
        if (filled[i])
            write_file(rig, name, bytes, size, 0);
        log_rig_new_log(rig);
        ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK);
        ck_assert_int_eq(log_offsets(rig->log).end, filled[i] ? 10 : 5);
        rig_fill(rig, 5, 100);
        ck_assert_int_eq(rig_read_all(rig, 1000), filled[i] ? 15 : 10);
        free(bytes);
        file_double_destroy(log_rig_destroy(rig));
    }
}
END_TEST

/* The device fails under a mapping while a response is sent: whoever comes again is told, and gets what is
 * left. */
/* Kafka's cleaner leaves the newest records of old segments; the checkpoint of its recovery points is up to a
 * minute older than that. */
START_TEST(a_cleaned_segment_reaches_beyond_kafkas_recovery_point)
{
    struct log_rig *rig = log_rig_create(NULL);
    uint8_t *bytes;
    size_t size;
    rig_fill(rig, 100, 100);
    int64_t end = log_offsets(rig->log).end;
    log_rig_close(rig, false, NULL);
    rig->log = NULL;
    ck_assert_int_eq(
        file_read_all(rig->env.files, "/data/topic-3/00000000000000000000.log", 1 << 20, &bytes, &size),
        FILE_OK);
    size_t one = (size_t)load_be32(bytes + BATCH_LENGTH) + BATCH_OVERHEAD;
    int64_t kept = (int64_t)load_be64(bytes + size - one + BATCH_BASE_OFFSET);
    write_file(rig, "00000000000000000000.log", bytes + size - one, one, 0);
    cut_file(rig, "00000000000000000000.log", one);
    for (int64_t recovery_point = 0; recovery_point <= end; recovery_point++) {
        struct log_recovery recovery = restart(rig, LOG_POSITION_OF_OFFSET(recovery_point));
        ck_assert_uint_eq(recovery.cut_size, 0);
        ck_assert_uint_eq(recovery.quarantined_count, 0);
        ck_assert_int_eq(log_offsets(rig->log).end, end);
        struct log_range range;
        ck_assert_int_eq(log_read(rig->log, 0, end, 100, true, false, NULL, &range), LOG_OK);
        ck_assert_int_eq(range.base_offset, kept);
    }
    free(bytes);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_range_that_failed_is_read_with_care)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_range range;
    struct arena arena;
    const char *name = "00000000000000000000.log";
    arena_init(&arena, NULL);
    rig->config.segment_bytes = 1 << 20;
    log_set_config(rig->log, &rig->config);
    rig_fill(rig, 10, 100);
    flush_all(rig);
    ck_assert_int_eq(log_read(rig->log, 0, 10, 1 << 20, true, true, NULL, &range), LOG_OK);
    ck_assert_ptr_nonnull(range.pin);
    log_range_failed(range.pin);
    ck_assert_int_eq(log_read(rig->log, 0, 10, 1 << 20, true, true, &arena, &range), LOG_COLD);
    ck_assert_int_eq(log_warm(rig->log, 0, 10, 1 << 20), LOG_OK);
    ck_assert_int_eq(log_read(rig->log, 0, 10, 1 << 20, true, false, &arena, &range), LOG_OK);
    ck_assert_ptr_null(range.pin);
    ck_assert_int_eq(range.next_offset, 10);
    ck_assert_int_eq(rig_read_all(rig, 1000), 10);
    cut_file(rig, name, (uint64_t)rig_file_size(rig, name) - 10); /* the last batch cannot be read */
    int64_t offset = 0;
    while (offset < 9) {
        ck_assert_int_eq(log_warm(rig->log, offset, 10, 1 << 20), LOG_OK);
        ck_assert_int_eq(log_read(rig->log, offset, 10, 1 << 20, true, false, &arena, &range), LOG_OK);
        ck_assert_int_gt(range.next_offset, offset);
        offset = range.next_offset;
    }
    ck_assert_int_eq(offset, 9);
    ck_assert_int_eq(log_warm(rig->log, 9, 10, 1 << 20), LOG_IO);
    ck_assert_int_eq(log_read(rig->log, 9, 10, 1 << 20, true, false, &arena, &range), LOG_IO);
    arena_destroy(&arena);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_tear_takes_the_later_unflushed_segments)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig_fill(rig, 100, 100);
    size_t segments = log_stats(rig->log).segment_count;
    ck_assert_uint_gt(segments, 3);
    log_rig_close(rig, false, NULL);
    ck_assert(file_double_flip_bit(rig->disk, rig_path(rig, "00000000000000000000.log"), 300, 1));
    struct log_recovery recovery = restart(rig, NOTHING_DURABLE);
    ck_assert_uint_gt(recovery.cut_size, 4096);
    ck_assert_uint_eq(log_stats(rig->log).segment_count, 1);
    ck_assert_int_eq(log_offsets(rig->log).end, 1);
    ck_assert_int_eq(rig_read_all(rig, 1000), 1);
    rig_fill(rig, 100, 100);
    ck_assert_int_eq(rig_read_all(rig, 1000), 101);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(leftovers_are_tidied_as_kafka_does)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig_fill(rig, 100, 100);
    log_rig_close(rig, false, NULL);
    static const struct {
        const char *name;
        bool stays;
    } rows[] = {
        { "00000000000000000000.log.deleted", false },
        { "00000000000000000005.log.cleaned", false },
        { "00000000000000000005.index.swap", false },
        { "spare-7.log.runnel", false },
        { "00000000000000000777.index", false },
        { "00000000000000000777.timeindex", false },
        { "unknown", true },
        { "00000000000000000000.log.bak", true },
        { "123.log", true },
        { "side.runnel", true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        write_file(rig, rows[i].name, "abc", 3, 0);
    restart(rig, NOTHING_DURABLE);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg((rig_file_size(rig, rows[i].name) >= 0) == rows[i].stays, "%s", rows[i].name);
    ck_assert_int_eq(rig_read_all(rig, 1000), 100);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* What the cleaner had swapped half: the .swap replaces what it covers. */
START_TEST(a_swap_in_progress_is_completed)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig_fill(rig, 100, 100);
    flush_all(rig);
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(
        file_read_all(rig->env.files, rig_path(rig, "00000000000000000000.log"), 1 << 20, &bytes, &size),
        FILE_OK);
    log_rig_close(rig, false, NULL);
    write_file(rig, "00000000000000000000.log.swap", bytes, size, 0);
    write_file(rig, "00000000000000000000.index.swap", bytes, 0, 0);
    cut_file(rig, "00000000000000000000.log", 0);
    free(bytes);
    restart(rig, LOG_POSITION_OF_OFFSET(100));
    ck_assert_int_eq(rig_file_size(rig, "00000000000000000000.log"), (int64_t)size);
    ck_assert_int_eq(rig_read_all(rig, 1000), 100);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_directory_of_kafka_opens_right)
{
    struct log_rig *rig = log_rig_create(NULL);
    static const uint8_t zeros[10000];
    rig_fill(rig, 100, 100);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    /* After a crash of Kafka: pre-sized indexes of the active segment, one index lost. */
    char name[64];
    struct log_row row;
    log_rig_new_log(rig);
    ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK);
    ck_assert_int_eq(rig_read_all(rig, 1000), 100);
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    snprintf(name, sizeof name, "%020" PRId64 ".index", row.active_base);
    write_file(rig, name, zeros, sizeof zeros, (uint64_t)rig_file_size(rig, name));
    snprintf(name, sizeof name, "%020" PRId64 ".timeindex", row.active_base);
    write_file(rig, name, zeros, sizeof zeros, (uint64_t)rig_file_size(rig, name));
    ck_assert_int_eq(file_unlink(rig->env.files, rig_path(rig, "00000000000000000000.index")), FILE_OK);
    log_rig_new_log(rig);
    ck_assert_int_eq(log__open_clean(rig->log, 7), LOG_OK);
    ck_assert_int_eq(log_offsets(rig->log).start, 7);
    ck_assert_int_eq(log_offsets(rig->log).end, 100);
    ck_assert_int_eq(rig_read_all(rig, 1000), 93);
    rig_fill(rig, 10, 100);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    ck_assert(rig_check_indexes(rig, true));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(damaged_indexes_never_lead_astray)
{
    struct random random;
    random_seed(&random, 7);
    struct log_rig *rig = log_rig_create(NULL);
    struct log_row row;
    rig_fill(rig, 100, 100);
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    for (int i = 0; i < 300; i++) {
        const char *name = i % 2 ? "00000000000000000000.index" : "00000000000000000000.timeindex";
        uint64_t position = random_below(&random, (uint64_t)rig_file_size(rig, name));
        unsigned bit = (unsigned)random_below(&random, 8);
        ck_assert(file_double_flip_bit(rig->disk, rig_path(rig, name), position, bit));
        log_rig_new_log(rig);
        log__set_closed_row(rig->log, &row);
        for (int64_t offset = 0; offset < 30; offset++) {
            struct log_range range;
            ck_assert_int_eq(log_read(rig->log, offset, 100, 500, true, false, NULL, &range), LOG_OK);
            ck_assert_int_eq(range.base_offset, offset);
        }
        ck_assert_int_eq(rig_read_all(rig, 1000), 100);
        struct log_found found;
        ck_assert_int_eq(log_find_timestamp(rig->log, 25, 100, &found), LOG_OK);
        log_rig_close(rig, false, NULL);
        ck_assert(file_double_flip_bit(rig->disk, rig_path(rig, name), position, bit));
    }
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* Bytes that vanish from a sealed segment while nobody runs are missed, not stepped over. */
START_TEST(a_row_that_does_not_fit_the_files_is_not_believed)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_range range;
    struct log_row row;
    rig_fill(rig, 100, 100);
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    ck_assert_uint_gt(row.segment_count, 3);
    uint64_t batch = 170;
    cut_file(rig, "00000000000000000000.log", batch * 10);
    log_rig_new_log(rig);
    log__set_closed_row(rig->log, &row);
    ck_assert_int_eq(log_read(rig->log, 12, 100, 1000, true, false, NULL, &range), LOG_CORRUPT);
    ck_assert_int_gt(range.next_offset, 12);
    int64_t next = range.next_offset;
    ck_assert_int_eq(log_read(rig->log, next, 100, 1000, true, false, NULL, &range), LOG_OK);
    ck_assert_int_eq(range.base_offset, next);
    ck_assert_int_eq(log_offsets(rig->log).end, 100);
    ck_assert_int_eq(rig_read_all(rig, 1000), 100 - (next - 10));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* After a clean stop the log is opened by its row, whatever partition.metadata says: Kafka would not open it.
 */
START_TEST(a_damaged_id_is_mended_when_it_is_met)
{
    static const char name[] = "partition.metadata";
    struct log_row row;
    struct log_rig *rig = log_rig_create(NULL);
    rig_fill(rig, 20, 100);
    flush_all(rig);
    int64_t size = rig_file_size(rig, name);
    for (int64_t byte = 0; byte <= size; byte++) {
        uint8_t *before, *after;
        size_t before_size, after_size;
        const char *path = rig_path(rig, name);
        ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
        ck_assert_int_eq(file_read_all(rig->env.files, path, 100, &before, &before_size), FILE_OK);
        if (byte < size)
            ck_assert(file_double_flip_bit(rig->disk, path, (uint64_t)byte, 1));
        else
            ck_assert_int_eq(file_unlink(rig->env.files, path), FILE_OK);
        log_rig_new_log(rig);
        log__set_closed_row(rig->log, &row);
        ck_assert_int_eq(log_open(rig->log), LOG_OK);
        ck_assert_int_eq(file_read_all(rig->env.files, path, 100, &after, &after_size), FILE_OK);
        bool is_same = after_size == before_size && memcmp(after, before, after_size) == 0;
        if (byte == 9 || byte == 42) /* a larger version, and bits of the last letter that say nothing */
            ck_assert(is_same || file_double_flip_bit(rig->disk, path, (uint64_t)byte, 1));
        else
            ck_assert_msg(is_same, "byte %" PRId64, byte);
        ck_assert_int_eq(rig_read_all(rig, 1000), 20);
        free(before);
        free(after);
    }
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(producers_survive)
{
    struct log_rig *rig = log_rig_create(NULL);
    for (int i = 0; i < 100; i++) {
        struct rig_batch spec = {
            .value_size = 100, .producer_id = 1 + i % 3, .sequence = i / 3, .timestamp = i
        };
        ck_assert_int_eq(rig_append(rig, &spec, NULL), LOG_OK);
        log_rig_run_jobs(rig);
    }
    restart(rig, NOTHING_DURABLE);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    ck_assert_int_eq(rig_file_size(rig, "00000000000000000100.snapshot"), 10 + 3 * 46);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A lost leader-epoch-checkpoint comes back from the batches. */
START_TEST(leader_epochs_are_rebuilt)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct batch_view batch;
    struct log_append_result result;
    struct rig_batch spec = { .value_size = 100 };
    rig_fill(rig, 1, 10);
    rig_make_batch(&spec, &batch);
    for (int i = 1; i < 200; i++) {
        while (log_append(rig->log, &batch, 1, i / 30, 0, &result) == LOG_BUSY)
            ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    }
    free(batch.data);
    flush_all(rig);
    struct log_position durable = log__durable_position(rig->log);
    for (int round = 0; round < 3; round++) {
        log_rig_close(rig, false, NULL);
        if (round == 1)
            write_file(rig, "leader-epoch-checkpoint", "rubbish", 7, 0);
        else if (round == 2)
            ck_assert_int_eq(file_unlink(rig->env.files, rig_path(rig, "leader-epoch-checkpoint")), FILE_OK);
        restart(rig, durable);
        for (int i = 0; i < 200; i++)
            ck_assert_int_eq(rig_epoch_at(rig, i), i / 30);
    }
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A full disk keeps nobody from opening a log whose leader-epoch-checkpoint is behind: it is saved before the
 * next append. */
START_TEST(a_full_disk_does_not_keep_a_log_shut)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct batch_view batch;
    struct log_append_result result;
    struct rig_batch spec = { .value_size = 100 };
    rig_fill(rig, 1, 10);
    flush_all(rig);
    rig_make_batch(&spec, &batch);
    while (log_append(rig->log, &batch, 1, 7, 0, &result) == LOG_BUSY)
        ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    flush_all(rig);
    struct log_position durable = log__durable_position(rig->log);
    log_rig_close(rig, false, NULL);
    ck_assert_int_eq(file_unlink(rig->env.files, rig_path(rig, "leader-epoch-checkpoint")), FILE_OK);

    file_double_set_free_space(rig->disk, 0);
    restart(rig, durable);
    ck_assert_int_eq(rig_read_all(rig, 4096), 2);
    ck_assert_int_eq(rig_epoch_at(rig, 0), 0);
    ck_assert_int_eq(rig_epoch_at(rig, 1), 7);
    ck_assert_int_eq(log_append(rig->log, &batch, 1, 7, 0, &result), LOG_BUSY);
    ck_assert_int_eq(log_prepare(rig->log), LOG_DISK_FULL);

    file_double_set_free_space(rig->disk, UINT64_MAX);
    ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    ck_assert_int_gt(rig_file_size(rig, "leader-epoch-checkpoint"), 0);
    ck_assert_int_eq(log_append(rig->log, &batch, 1, 7, 0, &result), LOG_OK);
    ck_assert_int_eq(result.base_offset, 2);
    free(batch.data);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* The power goes at every operation of a scripted run, and again at every operation of the recovery. */
static void append_some(struct log_rig *rig, struct log_position *acknowledged, uint64_t *operations)
{
    for (int i = 0; i < 30; i++) {
        rig_fill(rig, 1 + i % 3, 150);
        log_rig_run_jobs(rig);
        if (i % 2)
            flush_all(rig);
        acknowledged[i] = log__durable_position(rig->log);
        operations[i] = file_double_operation_count(rig->disk);
    }
}

static void check_after_cut(struct file_double *disk, struct log_position acknowledged)
{
    struct log_rig *rig = log_rig_create(disk);
    struct log_recovery recovery = { .cut_size = 0 };
    enum log_status status = log__recover(rig->log, acknowledged, -1, &recovery);
    ck_assert_msg(status == LOG_OK || (status == LOG_NOT_FOUND && acknowledged.offset == 0), "status %d",
                  status);
    struct log_offsets offsets = log_offsets(rig->log);
    ck_assert_int_ge(offsets.end, acknowledged.offset);
    ck_assert_uint_eq(recovery.quarantined_count, 0);
    ck_assert_int_eq(rig_read_all(rig, 1000), offsets.end);
    rig_fill(rig, 3, 150);
    ck_assert_int_eq(rig_read_all(rig, 1000), offsets.end + 3);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    ck_assert(rig_check_indexes(rig, true));
    log_rig_destroy(rig);
}

START_TEST(a_power_cut_at_any_operation_loses_nothing_flushed)
{
    static const enum file_double_cut cuts[] = { FILE_DOUBLE_LOSE_ALL, FILE_DOUBLE_KEEP_ALL,
                                                 FILE_DOUBLE_REORDER };
    struct log_position acknowledged[30];
    uint64_t operations[30];
    struct random random;
    random_seed(&random, 3);
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.segment_bytes = 1500;
    log_set_config(rig->log, &rig->config);
    append_some(rig, acknowledged, operations);
    uint64_t count = file_double_operation_count(rig->disk);
    struct file_double *disk = log_rig_destroy(rig);
    for (uint64_t operation = 1; operation <= count; operation++) {
        struct log_position sure = NOTHING_DURABLE;
        for (int i = 0; i < 30 && operations[i] <= operation; i++)
            sure = acknowledged[i];
        for (size_t cut = 0; cut < 3; cut++) {
            struct file_double *after = file_double_after_cut(disk, operation, cuts[cut], &random);
            check_after_cut(after, sure);
            file_double_destroy(after);
        }
    }
    file_double_destroy(disk);
}
END_TEST

START_TEST(a_power_cut_during_recovery_changes_nothing)
{
    struct random random;
    random_seed(&random, 5);
    struct log_rig *rig = log_rig_create(NULL);
    rig_fill(rig, 60, 150);
    flush_all(rig);
    struct log_position durable = log__durable_position(rig->log);
    rig_fill(rig, 60, 150);
    struct file_double *disk = log_rig_destroy(rig), *torn;
    torn = file_double_after_cut(disk, file_double_operation_count(disk), FILE_DOUBLE_KEEP_ALL, &random);
    rig = log_rig_create(torn);
    char name[64];
    snprintf(name, sizeof name, "%020" PRId64 ".log", durable.segment_base);
    ck_assert(file_double_flip_bit(torn, rig_path(rig, name), durable.position + 200, 2));
    uint64_t before = file_double_operation_count(torn);
    restart(rig, durable);
    int64_t end = log_offsets(rig->log).end;
    ck_assert_int_ge(end, durable.offset);
    uint64_t after = file_double_operation_count(torn);
    ck_assert_uint_gt(after, before + 3);
    log_rig_destroy(rig);
    for (uint64_t operation = before; operation <= after; operation++) {
        struct file_double *again = file_double_after_cut(torn, operation, FILE_DOUBLE_REORDER, &random);
        rig = log_rig_create(again);
        restart(rig, durable);
        ck_assert_int_eq(log_offsets(rig->log).end, end);
        ck_assert_int_eq(rig_read_all(rig, 1000), end);
        file_double_destroy(log_rig_destroy(rig));
    }
    file_double_destroy(torn);
    file_double_destroy(disk);
}
END_TEST

int main(void)
{
    note_set_level(NOTE_ERROR - 1); /* damage is what these tests are about */
    Suite *suite = suite_create("recovery");
    TCase *tests = tcase_create("recovery");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_kill_keeps_everything);
    tcase_add_test(tests, a_torn_tail_is_cut_to_the_last_whole_batch);
    tcase_add_loop_test(tests, damage_at_the_last_index_entry_costs_its_batch_alone, 0, 2);
    tcase_add_test(tests, garbage_behind_the_end_is_cut);
    tcase_add_test(tests, only_the_unflushed_tail_is_scanned);
    tcase_add_test(tests, damage_before_the_durable_end_is_quarantined);
    tcase_add_test(tests, damage_stays_quarantined_over_clean_stops);
    tcase_add_test(tests, any_flipped_bit_costs_one_batch_at_most);
    tcase_add_test(tests, what_was_durable_and_is_gone_is_not_given_out_again);
    tcase_add_test(tests, a_hole_does_not_hide_what_another_broker_wrote);
    tcase_add_test(tests, a_cleaned_segment_reaches_beyond_kafkas_recovery_point);
    tcase_add_test(tests, a_range_that_failed_is_read_with_care);
    tcase_add_test(tests, a_tear_takes_the_later_unflushed_segments);
    tcase_add_test(tests, leftovers_are_tidied_as_kafka_does);
    tcase_add_test(tests, a_swap_in_progress_is_completed);
    tcase_add_test(tests, a_directory_of_kafka_opens_right);
    tcase_add_test(tests, damaged_indexes_never_lead_astray);
    tcase_add_test(tests, a_row_that_does_not_fit_the_files_is_not_believed);
    tcase_add_test(tests, a_damaged_id_is_mended_when_it_is_met);
    tcase_add_test(tests, producers_survive);
    tcase_add_test(tests, leader_epochs_are_rebuilt);
    tcase_add_test(tests, a_full_disk_does_not_keep_a_log_shut);
    tcase_add_test(tests, a_power_cut_at_any_operation_loses_nothing_flushed);
    tcase_add_test(tests, a_power_cut_during_recovery_changes_nothing);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
