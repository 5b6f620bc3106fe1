/* The scrubber: every flipped bit is found and costs its batch alone, wrong indexes are written anew, and
 * what is right is left alone. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "storage/cleaner_internal.h"
#include "storage/scrubber.h"
#include "tests/support/compacted_log.h"
#include "tests/support/log_rig.h"

enum { RECORDS = 3, BATCHES = 60, VALUE_SIZE = 60 };

static const char first_log[] = "00000000000000000000.log";

/* A whole pass over the log, in slices of that size; what it counted. */
static struct scrub_counts scrub_in_slices(struct log_rig *rig, uint64_t size)
{
    struct scrub_cursor cursor = { .base_offset = 0 };
    struct scrub_counts counts = { 0 };
    enum log_status status;
    int slices = 0;
    do {
        status = scrubber_run(rig->log, &cursor, size, NULL, NULL, &counts);
        log_rig_turn(rig);
        ck_assert_int_lt(slices++, 10000);
    } while (status == LOG_BUSY);
    ck_assert_int_eq(status, LOG_OK);
    scrub_cursor_reset(&cursor);
    return counts;
}

static struct scrub_counts scrub(struct log_rig *rig)
{
    return scrub_in_slices(rig, 1 << 20);
}

static void flush_all(struct log_rig *rig)
{
    while (log_rig_flush(rig))
        continue;
}

static void fill(struct log_rig *rig, int count)
{
    for (int i = 0; i < count; i++) {
        struct rig_batch spec = { .count = RECORDS,
                                  .value_size = VALUE_SIZE,
                                  .timestamp = 1000 + log_offsets(rig->log).end };
        ck_assert_int_eq(rig_append(rig, &spec, NULL), LOG_OK);
        log_rig_run_jobs(rig);
    }
    flush_all(rig);
    log_rig_turn(rig);
}

/* Opens what the last clean stop, or a copy of it, left. */
static void open_again(struct log_rig *rig)
{
    if (rig->log)
        log_rig_close(rig, false, NULL);
    log_rig_new_log(rig);
    ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK);
}

/* The same after a clean stop of ours, which left the row. */
static void open_by_row(struct log_rig *rig, const struct log_row *row)
{
    if (rig->log)
        log_rig_close(rig, false, NULL);
    log_rig_new_log(rig);
    log__set_closed_row(rig->log, row);
    ck_assert_int_eq(log_open(rig->log), LOG_OK);
}

static struct log_rig *filled(int batches)
{
    struct log_rig *rig = log_rig_create(NULL);
    fill(rig, batches);
    return rig;
}

static void flip(struct log_rig *rig, const char *name, uint64_t position, unsigned bit)
{
    ck_assert_msg(file_double_flip_bit(rig->disk, rig_path(rig, name), position, bit), "%s", name);
}

/* The base offset of the n-th segment, and its file's name. */
static int64_t segment_name(struct log_rig *rig, size_t n, const char *suffix, char name[64])
{
    struct segment_list *list = log__segments(rig->log);
    int64_t base = list->items[n]->base_offset;
    ck_assert_uint_lt(n, list->count);
    snprintf(name, 64, "%020" PRId64 "%s", base, suffix);
    return base;
}

/* All are of one size, and begin a segment. */
static uint64_t batch_size_of(struct log_rig *rig)
{
    uint64_t size = (uint64_t)rig_file_size(rig, first_log);
    uint64_t batches = (uint64_t)log__segments(rig->log)->items[1]->base_offset / RECORDS;
    ck_assert_uint_eq(size % batches, 0);
    return size / batches;
}

static void expect(struct log_rig *rig, struct scrub_counts counts, unsigned quarantined, int64_t lost,
                   const char *what, uint64_t position)
{
    int64_t records = rig_read_all(rig, 1000);
    ck_assert_msg(counts.index_count == 0, "%s at %" PRIu64 ": an index was written anew", what, position);
    ck_assert_msg(counts.quarantined_count == quarantined && records == BATCHES * RECORDS - lost,
                  "%s at %" PRIu64 ": %u quarantined, %" PRId64 " records are left", what, position,
                  counts.quarantined_count, records);
}

/* --- the batches ---------------------------------------------------------------------------------- */

START_TEST(what_is_right_is_left_alone)
{
    struct log_rig *rig = filled(BATCHES);
    unsigned changes = rig->change_count; /* the appends' own */
    for (uint64_t step = 1; step < 1 << 20; step *= 7) {
        struct scrub_counts counts = scrub_in_slices(rig, step);
        expect(rig, counts, 0, 0, "nothing", step);
        ck_assert_uint_eq(counts.index_count, 0);
        ck_assert_uint_eq(counts.size, log_stats(rig->log).size);
    }
    ck_assert_uint_eq(rig->change_count, changes);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* In a sealed segment, the first one of all, and in the active one. */
static const struct {
    const char *what;
    int from_end;
} places[] = { { "first segment", -1 }, { "a sealed segment", 1 }, { "the active segment", 0 } };

START_TEST(every_flipped_bit_costs_its_batch_alone)
{
    struct log_rig *rig = filled(BATCHES);
    char name[64];
    struct log_row row;
    size_t count = log_stats(rig->log).segment_count;
    size_t n = places[_i].from_end < 0 ? 0 : count - 1 - (size_t)places[_i].from_end;
    ck_assert_uint_ge(count, 4);
    segment_name(rig, n, ".log", name);
    uint64_t size = (uint64_t)rig_file_size(rig, name);
    uint64_t batch_size = batch_size_of(rig);
    ck_assert_uint_eq(size % batch_size, 0);
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    for (uint64_t position = 0; position < size; position++) {
        bool is_header = position % batch_size < BATCH_HEADER_SIZE;
        for (unsigned bit = 0; bit < 8; bit++) {
            /* Of the payload one bit of a few bytes is enough: one checksum is over all of it. */
            if (!is_header && (position % 23 != 0 || bit != position % 8))
                continue;
            open_by_row(rig, &row);
            flip(rig, name, position, bit);
            expect(rig, scrub(rig), 1, RECORDS, places[_i].what, position * 8 + bit);
            expect(rig, scrub(rig), 0, RECORDS, "once more", position * 8 + bit); /* not reported anew */
            if (bit == 3) {
                open_by_row(rig,
                            &row); /* it is known still, or found once more where the end looks different */
                ck_assert_uint_le(scrub(rig).quarantined_count, 1);
                expect(rig, scrub(rig), 0, RECORDS, "opened again", position * 8 + bit);
            }
            flip(rig, name, position, bit);
        }
    }
    open_by_row(rig, &row);
    expect(rig, scrub(rig), 0, 0, "flipped back", 0);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* While it is open and appended to. */
START_TEST(an_open_log_is_verified_up_to_what_is_on_the_device)
{
    struct log_rig *rig = filled(BATCHES);
    char name[64];
    uint64_t batch_size = batch_size_of(rig);
    struct rig_batch spec = { .count = RECORDS, .value_size = VALUE_SIZE };
    ck_assert_int_eq(rig_append(rig, &spec, NULL), LOG_OK);
    segment_name(rig, log_stats(rig->log).segment_count - 1, ".log", name);
    uint64_t position = (uint64_t)rig_file_size(rig, name) - batch_size + 80;
    flip(rig, name, position, 1); /* not flushed yet: nobody's business */
    ck_assert_uint_eq(scrub(rig).quarantined_count, 0);
    flip(rig, name, position, 1);
    flush_all(rig);
    expect(rig, scrub(rig), 0, -RECORDS, "flushed", 0);
    flip(rig, name, position, 1);
    expect(rig, scrub(rig), 1, 0, "damaged", 0);
    ck_assert_int_eq(rig_append(rig, &spec, NULL), LOG_OK); /* and appends go on behind it */
    flush_all(rig);
    expect(rig, scrub(rig), 0, -RECORDS, "behind the damage", 0);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    open_again(rig);
    expect(rig, scrub(rig), 0, -RECORDS, "opened again", 0);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(several_damages_in_a_log)
{
    struct log_rig *rig = filled(BATCHES);
    char name[64];
    uint64_t batch_size = batch_size_of(rig);
    flip(rig, first_log, batch_size + 100, 0);
    flip(rig, first_log, 2 * batch_size + 100, 0); /* a neighbour: one range of two batches */
    flip(rig, first_log, 5 * batch_size + BATCH_MAGIC, 6);
    segment_name(rig, 2, ".log", name);
    flip(rig, name, 70, 3);
    flip(rig, name, (uint64_t)rig_file_size(rig, name) - 1, 3);
    struct scrub_counts counts = scrub_in_slices(rig, 100);
    expect(rig, counts, 4, 5 * RECORDS, "five batches", 0);
    ck_assert_uint_eq(log_stats(rig->log).quarantined_count, 4);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A sector that the device refuses: the batches that it touches, no others; nothing is fenced. */
START_TEST(a_bad_sector_costs_the_batches_in_it)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.segment_bytes = 40000;
    log_set_config(rig->log, &rig->config);
    fill(rig, BATCHES * 10);
    uint64_t batch_size = batch_size_of(rig);
    ck_assert(file_double_fail_read(rig->disk, rig_path(rig, first_log), 8192, 4096));
    uint64_t first = 8192 / batch_size, last = (8192 + 4095) / batch_size;
    struct scrub_counts counts = scrub(rig);
    ck_assert_uint_eq(counts.quarantined_count, 1);
    /* Mapped reads of the double do not fail: what is answered is up to the quarantine alone. */
    ck_assert_int_eq(rig_read_all(rig, 1000), BATCHES * 10 * RECORDS - (int64_t)(last - first + 1) * RECORDS);
    ck_assert_uint_eq(rig->failed_count, 0);
    ck_assert_int_eq(log_health(rig->log), LOG_OK);
    ck_assert_uint_eq(scrub(rig).quarantined_count, 0);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_wrong_byte_of_the_cache_condemns_nothing)
{
    struct log_rig *rig = filled(BATCHES);
    ck_assert(file_double_flip_cached_bit(rig->disk, rig_path(rig, first_log), 300, 2));
    expect(rig, scrub(rig), 0, 0, "only in the cache", 300);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A file that became shorter than the log knows it to be. */
START_TEST(bytes_that_are_gone)
{
    struct log_rig *rig = filled(BATCHES);
    struct file *file;
    uint64_t batch_size = batch_size_of(rig);
    ck_assert_int_eq(file_open(rig->env.files, rig_path(rig, first_log), FILE_READ | FILE_WRITE, &file),
                     FILE_OK);
    ck_assert_int_eq(file_truncate(file, 2 * batch_size + 10), FILE_OK);
    file_close(file);
    int64_t records = log__segments(rig->log)->items[1]->base_offset;
    struct scrub_counts counts = scrub(rig);
    ck_assert_uint_eq(counts.quarantined_count, 1);
    struct arena arena;
    struct log_range range;
    arena_init(&arena, NULL);
    ck_assert_int_eq(log_read(rig->log, 2 * RECORDS, INT64_MAX, 1, true, false, &arena, &range), LOG_CORRUPT);
    ck_assert_int_eq(range.next_offset, records);
    arena_destroy(&arena);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* --- leader epochs -------------------------------------------------------------------------------- */

START_TEST(epochs_that_all_differ_are_the_historys_fault)
{
    struct log_rig *rig = filled(BATCHES);
    struct file *file;
    static const char text[] = "0\n1\n7 0\n"; /* everything is of epoch 7, it says */
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    ck_assert_int_eq(file_open(rig->env.files, rig_path(rig, "leader-epoch-checkpoint"),
                               FILE_WRITE | FILE_TRUNCATE, &file),
                     FILE_OK);
    ck_assert_int_eq(file_pwrite(file, text, sizeof text - 1, 0), FILE_OK);
    file_close(file);
    open_again(rig);
    expect(rig, scrub(rig), 0, 0, "another history", 0);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* --- indexes -------------------------------------------------------------------------------------- */

static const struct {
    const char *suffix;
    uint64_t entry; /* bytes */
} indexes[] = { { ".index", 8 }, { ".timeindex", 12 } };

/* The scrubber finds each flip that may make a look-up wrong, and afterwards the files are what they should
 * be. A bit that only makes a look-up slower may stay. */
START_TEST(a_wrong_index_is_written_anew)
{
    struct log_rig *rig = filled(BATCHES);
    char name[64];
    unsigned found = 0, flips = 0;
    segment_name(rig, 1, indexes[_i].suffix, name);
    int64_t size = rig_file_size(rig, name);
    ck_assert_int_ge(size, 4 * (int64_t)indexes[_i].entry);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    for (uint64_t position = 0; position < (uint64_t)size; position++) {
        for (unsigned bit = 0; bit < 8; bit++, flips++) {
            open_again(rig);
            flip(rig, name, position, bit);
            struct scrub_counts counts = scrub_in_slices(rig, bit == 0 ? 100 : 1 << 20);
            found += counts.index_count;
            ck_assert_uint_eq(counts.quarantined_count, 0);
            ck_assert_int_eq(rig_read_all(rig, 200), BATCHES * RECORDS);
            if (counts.index_count > 0) {
                ck_assert_msg(rig_check_indexes(rig, false), "%s at %" PRIu64, name, position);
                ck_assert_int_eq(rig_file_size(rig, name), size);
            } else {
                flip(rig, name, position, bit);
            }
            ck_assert_uint_eq(scrub(rig).index_count, 0);
        }
    }
    printf("%s: %u of %u flips were found and mended\n", indexes[_i].suffix, found, flips);
    ck_assert_uint_gt(found * 100, flips * 70);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

static const struct {
    const char *what;
    int64_t change; /* of the size; 0: the file goes */
} sizes[] = {
    { "missing", 0 }, { "half an entry more", 5 }, { "zeros behind", 24 }, { "last entry torn", -3 }
};

START_TEST(an_index_of_another_size_is_written_anew)
{
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++) {
        struct log_rig *rig = filled(BATCHES);
        char name[64];
        struct file *file;
        segment_name(rig, 1, indexes[i].suffix, name);
        int64_t size = rig_file_size(rig, name);
        ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
        open_again(rig);
        if (sizes[_i].change == 0) {
            ck_assert_int_eq(file_unlink(rig->env.files, rig_path(rig, name)), FILE_OK);
        } else {
            ck_assert_int_eq(file_open(rig->env.files, rig_path(rig, name), FILE_WRITE, &file), FILE_OK);
            ck_assert_int_eq(file_truncate(file, (uint64_t)(size + sizes[_i].change)), FILE_OK);
            file_close(file);
        }
        ck_assert_msg(scrub(rig).index_count == 1, "%s", sizes[_i].what);
        ck_assert_int_eq(rig_file_size(rig, name), size);
        ck_assert(rig_check_indexes(rig, false));
        ck_assert_uint_eq(scrub(rig).index_count, 0);
        file_double_destroy(log_rig_destroy(rig));
    }
}
END_TEST

/* A disk that takes nothing: the index is right in memory, and written at the close. */
START_TEST(an_index_that_cannot_be_written_is_kept_in_memory)
{
    struct log_rig *rig = filled(BATCHES);
    char name[64];
    segment_name(rig, 1, ".index", name);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    open_again(rig);
    flip(rig, name, 7, 0);
    file_double_set_free_space(rig->disk, 0);
    ck_assert_uint_eq(scrub(rig).index_count, 1);
    ck_assert_int_eq(rig_read_all(rig, 200), BATCHES * RECORDS);
    ck_assert_uint_eq(scrub(rig).index_count, 0);
    file_double_set_free_space(rig->disk, UINT64_MAX);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    ck_assert(rig_check_indexes(rig, false));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

static const char transactions[] = "t7:a=1 t7:b=1 A7 t8:c=1 | t8:d=1 A8 t7:e=1 C7 t7:f=1 | a=2 A7 b=2 | c=2";

/* What the index says is what was written. */
static bool has_aborted(struct log_rig *rig)
{
    struct txn_index *index = &log__segments(rig->log)->items[1]->aborted;
    if (txn_index_count(index) != 1)
        return false;
    const struct aborted_transaction *entry = &atomic_load(&index->block)->entries[0];
    return entry->producer_id == 8 && entry->first_offset == 3 && entry->last_offset == 5 &&
           entry->last_stable_offset == 6;
}

START_TEST(the_index_of_aborted_transactions_is_compared_too)
{
    struct log_rig *rig = log_rig_create(NULL);
    compacted_write(rig, transactions, CODEC_NONE);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    unsigned found = 0, flips = 0;
    char name[64];
    open_again(rig);
    ck_assert_uint_eq(scrub(rig).index_count, 0);
    segment_name(rig, 1, ".txnindex", name);
    ck_assert_int_eq(rig_file_size(rig, name), ABORTED_TRANSACTION_SIZE);
    for (uint64_t position = 0; position < ABORTED_TRANSACTION_SIZE; position++) {
        for (unsigned bit = 0; bit < 8; bit++, flips += 2) {
            open_again(rig); /* memory has it right, the file has not */
            flip(rig, name, position, bit);
            unsigned count = scrub(rig).index_count;
            ck_assert_uint_eq(count, 1);
            ck_assert_uint_eq(scrub(rig).index_count, 0);
            found += count;
            ck_assert_int_eq(log_rig_close(rig, false, NULL), LOG_OK);
            flip(rig, name, position, bit);
            log_rig_new_log(rig); /* it was wrong when it was loaded; some of it the opening sees itself */
            ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK);
            ck_assert_uint_eq(scrub(rig).quarantined_count, 0);
            found += has_aborted(rig);
            ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
            log_rig_new_log(rig);
            ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK);
            ck_assert_uint_eq(scrub(rig).index_count, 0);
            file_double_destroy(log_rig_destroy(rig));
            rig = log_rig_create(NULL);
            compacted_write(rig, transactions, CODEC_NONE);
            ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
        }
    }
    printf(".txnindex: %u of %u flips were found and mended\n", found, flips);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* --- what must never be condemned ----------------------------------------------------------------- */

static const struct {
    const char *what, *text;
} kinds[] = {
    { "plain", "a=1,b=1 c=1 | a=2 b=2 | c=3" },
    { "gaps between batches", "a=1 @20:b=1 @21:c=1 | @1000:a=2 @5000:b=2 | @70000:c=3" },
    { "producers", "p7:a=1 p8:b=1 p7:a=2 | p8:b=2 | p7:c=3" },
    { "transactions", "t7:a=1 t8:b=1 C7 A8 | t7:c=1 A7 | d=1" },
    { "a delete horizon", "h500:a-,b=1 | h900:c- d=1 | a=3" },
    { "keyless", "=1,=2 =3 | =4 | =5" },
};
static const enum codec codecs[] = { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD };

START_TEST(all_kinds_of_batches_are_right)
{
    for (size_t c = 0; c < sizeof codecs / sizeof codecs[0]; c++) {
        for (int cleaned = 0; cleaned < 2; cleaned++) {
            struct log_rig *rig = log_rig_create(NULL);
            struct cleaner_result result;
            compacted_write(rig, kinds[_i].text, codecs[c]);
            if (cleaned) {
                rig->config.cleanup = LOG_CLEANUP_COMPACT;
                log_set_config(rig->log, &rig->config);
                enum log_status status = compacted_clean(rig, -1, &result);
                ck_assert(status == LOG_OK || status == LOG_NOT_FOUND);
            }
            for (uint64_t step = 1; step < 100000; step *= 100) {
                struct scrub_counts counts = scrub_in_slices(rig, step);
                ck_assert_msg(counts.quarantined_count == 0 && counts.index_count == 0,
                              "%s, codec %d, cleaned %d: %u ranges, %u indexes", kinds[_i].what, codecs[c],
                              cleaned, counts.quarantined_count, counts.index_count);
            }
            file_double_destroy(log_rig_destroy(rig));
        }
    }
}
END_TEST

/* Records that are served, in order, and taken by a client, who has the checksum; scrubbed: all that are
 * served are whole. */
static int64_t read_with_gaps(struct log_rig *rig, bool scrubbed)
{
    struct log_offsets offsets = log_offsets(rig->log);
    int64_t records = 0;
    struct arena arena;
    arena_init(&arena, NULL);
    for (int64_t next = offsets.start; next < offsets.end;) {
        struct log_range range;
        enum log_status status = log_read(rig->log, next, offsets.end, 1, true, false, &arena, &range);
        if (status == LOG_CORRUPT) {
            ck_assert_int_gt(range.next_offset, next);
            next = range.next_offset;
            continue;
        }
        ck_assert_int_eq(status, LOG_OK);
        struct batch_view batch;
        if (range.bytes.size == 0)
            break;
        ck_assert_int_eq(batch_view(range.bytes, &batch), BATCH_OK);
        ck_assert(scrubbed ? batch_crc_ok(&batch) : true);
        ck_assert_int_ge(batch_last_offset(&batch), next);
        records += batch_crc_ok(&batch) ? batch.record_count : 0;
        next = batch_last_offset(&batch) + 1;
        log_rig_turn(rig);
    }
    arena_destroy(&arena);
    return records;
}

/* In a compacted log a raised base offset may fall into a gap; only what is in order is served. */
START_TEST(flips_in_a_compacted_log)
{
    static const char text[] = "a=1 @20:b=1 @40:c=1,d=1 @60:e=1 | @1000:a=2 @2000:b=2 | @3000:z=1";
    struct log_rig *rig = log_rig_create(NULL);
    unsigned found = 0, missed = 0;
    rig->config.cleanup = LOG_CLEANUP_COMPACT;
    compacted_write(rig, text, CODEC_NONE);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    uint64_t size = (uint64_t)rig_file_size(rig, first_log);
    for (uint64_t position = 0; position < size; position++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            open_again(rig);
            flip(rig, first_log, position, bit);
            unsigned count = scrub(rig).quarantined_count;
            ck_assert_uint_le(count, 1);
            found += count;
            missed += count == 0;
            ck_assert_uint_eq(scrub(rig).quarantined_count, 0);
            /* Of eight records at most the two batches that might lie about their offsets are lost. */
            ck_assert_int_ge(read_with_gaps(rig, true), 5);
            flip(rig, first_log, position, bit);
        }
    }
    printf("compacted: %u flips found, %u hidden in gaps between offsets\n", found, missed);
    ck_assert_uint_gt(found, 20 * missed);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* The policy is "delete" today, and nothing but the batches tells that it was another one once: a damaged
 * batch is refused when it is read, and nothing else. */
START_TEST(reads_of_a_log_that_was_compacted_once)
{
    static const char *const texts[] = {
        "a=1 @20:b=1 @40:c=1,d=1 @60:e=1 @70:f=1 @90:g=1 @91:h=1 | @1000:a=2 @2000:b=2 | @3000:z=1",
        "a=1 @20:b=1 @40:c=1 @60:e=1 @80:f=1 @90:g=1 @99:h=1 @120:i=1 | @3000:z=1",
        "a=1 b=1 c=1 d=1 @60:e=1 f=1 g=1 h=1 i=1 | @3000:z=1",
    };
    struct log_rig *rig = log_rig_create(NULL);
    compacted_write(rig, texts[_i], CODEC_NONE);
    int64_t whole = read_with_gaps(rig, true);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(file_read_all(rig->env.files, rig_path(rig, first_log), 1 << 20, &bytes, &size),
                     FILE_OK);
    for (size_t begin = 0, end; begin < size; begin = end) {
        int32_t records = (int32_t)load_be32(bytes + begin + BATCH_RECORD_COUNT);
        end = begin + BATCH_OVERHEAD + load_be32(bytes + begin + BATCH_LENGTH);
        for (size_t position = begin + 8; position < end; position++) {
            if (position >= begin + 12 && position < begin + 16)
                continue; /* the leader epoch */
            open_again(rig);
            flip(rig, first_log, position, (unsigned)(position % 8));
            int64_t left = read_with_gaps(rig, false);
            ck_assert_msg(left >= whole - records, "byte %zu: %" PRId64 " of %" PRId64 " records", position,
                          left, whole);
            flip(rig, first_log, position, (unsigned)(position % 8));
        }
    }
    free(bytes);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* --- changes between two slices ------------------------------------------------------------------- */

START_TEST(a_segment_that_is_removed_or_replaced_meanwhile)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct scrub_cursor cursor = { .base_offset = 0 };
    struct scrub_counts counts = { 0 };
    struct cleaner_result result;
    compacted_write(rig, "a=1 b=1 c=1 | a=2 b=2 | a=3 c=2 | z=1", CODEC_NONE);
    rig->config.cleanup = LOG_CLEANUP_COMPACT;
    log_set_config(rig->log, &rig->config);
    ck_assert_int_eq(scrubber_run(rig->log, &cursor, 100, NULL, NULL, &counts),
                     LOG_BUSY); /* inside the first one */
    log_rig_turn(rig);
    ck_assert_int_eq(compacted_clean(rig, -1, &result), LOG_OK);
    ck_assert_uint_gt(result.replaced_count, 0);
    while (scrubber_run(rig->log, &cursor, 1, NULL, NULL, &counts) == LOG_BUSY)
        log_rig_turn(rig);
    ck_assert_uint_eq(counts.quarantined_count, 0);
    ck_assert_uint_eq(counts.index_count, 0);
    scrub_cursor_reset(&cursor);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_log_that_is_shut_is_opened_and_one_that_is_deleted_is_let_go)
{
    struct log_rig *rig = filled(BATCHES);
    struct scrub_cursor cursor = { .base_offset = 0 };
    struct scrub_counts counts = { 0 };
    log_rig_run_jobs(rig);
    ck_assert(log__close_files(rig->log));
    while (scrubber_run(rig->log, &cursor, 500, NULL, NULL, &counts) == LOG_BUSY) {
        log_rig_turn(rig);
        log_rig_run_jobs(rig);
        (void)log__close_files(rig->log); /* in the middle of a segment */
        log_rig_turn(rig);
    }
    ck_assert(cursor.was_shut);
    ck_assert_uint_eq(counts.size, log_stats(rig->log).size);
    ck_assert_uint_eq(counts.quarantined_count, 0);
    scrub_cursor_reset(&cursor);
    ck_assert_int_eq(scrubber_run(rig->log, &cursor, 500, NULL, NULL, &counts), LOG_BUSY);
    log_rig_turn(rig);
    log__delete(rig->log);
    ck_assert_int_eq(scrubber_run(rig->log, &cursor, 500, NULL, NULL, &counts), LOG_CLOSED);
    scrub_cursor_reset(&cursor);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* After a failed flush nothing is flushed any more: what is found is known until the next start. */
START_TEST(a_failed_log_is_not_written_to)
{
    struct log_rig *rig = filled(BATCHES);
    flip(rig, first_log, 100, 0);
    log__fail(rig->log, LOG_IO);
    uint64_t flushes = file_double_flush_count(rig->disk),
             operations = file_double_operation_count(rig->disk);
    expect(rig, scrub(rig), 1, RECORDS, "failed", 0);
    ck_assert_uint_eq(file_double_flush_count(rig->disk), flushes);
    ck_assert_uint_eq(file_double_operation_count(rig->disk), operations);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

int main(void)
{
    if (!getenv("RUNNEL_TEST_NOTES"))
        note_set_level((enum note_level) - 1); /* damage is what this test is about */
    Suite *suite = suite_create("scrubber");
    TCase *tests = tcase_create("scrubber");
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, what_is_right_is_left_alone);
    tcase_add_loop_test(tests, every_flipped_bit_costs_its_batch_alone, 0, sizeof places / sizeof places[0]);
    tcase_add_test(tests, an_open_log_is_verified_up_to_what_is_on_the_device);
    tcase_add_test(tests, several_damages_in_a_log);
    tcase_add_test(tests, a_bad_sector_costs_the_batches_in_it);
    tcase_add_test(tests, a_wrong_byte_of_the_cache_condemns_nothing);
    tcase_add_test(tests, bytes_that_are_gone);
    tcase_add_test(tests, epochs_that_all_differ_are_the_historys_fault);
    tcase_add_loop_test(tests, a_wrong_index_is_written_anew, 0, sizeof indexes / sizeof indexes[0]);
    tcase_add_loop_test(tests, an_index_of_another_size_is_written_anew, 0, sizeof sizes / sizeof sizes[0]);
    tcase_add_test(tests, an_index_that_cannot_be_written_is_kept_in_memory);
    tcase_add_test(tests, the_index_of_aborted_transactions_is_compared_too);
    tcase_add_loop_test(tests, all_kinds_of_batches_are_right, 0, sizeof kinds / sizeof kinds[0]);
    tcase_add_test(tests, flips_in_a_compacted_log);
    tcase_add_loop_test(tests, reads_of_a_log_that_was_compacted_once, 0, 3);
    tcase_add_test(tests, a_segment_that_is_removed_or_replaced_meanwhile);
    tcase_add_test(tests, a_log_that_is_shut_is_opened_and_one_that_is_deleted_is_let_go);
    tcase_add_test(tests, a_failed_log_is_not_written_to);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
