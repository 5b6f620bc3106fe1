/* storage/segment.h: when segments roll, which index entries batches are due, damaged ranges, 32-bit edges.
 */
#include <check.h>
#include <stdlib.h>

#include "storage/segment.h"

static const struct log_config plain = {
    .segment_bytes = 1000,
    .segment_ms = 500,
    .index_interval_bytes = 100,
    .segment_index_bytes = 1000,
};

static struct batch_head head(int64_t base, int64_t last, uint32_t size, int64_t timestamp)
{
    return (struct batch_head){
        .base_offset = base, .last_offset = last, .size = size, .max_timestamp = timestamp
    };
}

static struct segment_growth begin(int64_t base, const struct log_config *config, int64_t now_ms)
{
    struct random random;
    random_seed(&random, 1);
    return segment_growth_begin(base, config, now_ms, &random);
}

START_TEST(rolls)
{
    static const struct {
        const char *what;
        struct segment_growth growth; /* base offset 0, created at 100 */
        struct batch_head batch;
        int64_t now_ms;
        bool rolls;
    } rows[] = {
        { "an empty segment never rolls",
          { .size = 0, .first_timestamp = -1 },
          { .size = 5000 },
          99999,
          false },
        { "fits exactly", { .size = 600, .first_timestamp = 0 }, { .size = 400 }, 100, false },
        { "a byte too many", { .size = 600, .first_timestamp = 0 }, { .size = 401 }, 100, true },
        { "old by record time, to the ms",
          { .size = 1, .first_timestamp = 1000 },
          { .max_timestamp = 1500 },
          0,
          false },
        { "older by record time",
          { .size = 1, .first_timestamp = 1000 },
          { .max_timestamp = 1501 },
          0,
          true },
        { "record time counts, not the clock",
          { .size = 1, .first_timestamp = 1000 },
          { .max_timestamp = 1000 },
          99999,
          false },
        { "time that runs backwards",
          { .size = 1, .first_timestamp = 1000 },
          { .max_timestamp = INT64_MIN },
          0,
          false },
        { "no record time: the clock counts",
          { .size = 1, .first_timestamp = -1, .created_ms = 100 },
          { .max_timestamp = -1 },
          600,
          false },
        { "no record time: the clock counts, older",
          { .size = 1, .first_timestamp = -1, .created_ms = 100 },
          { .max_timestamp = -1 },
          601,
          true },
        { "jitter makes it earlier",
          { .size = 1, .first_timestamp = 1000, .jitter_ms = 100 },
          { .max_timestamp = 1401 },
          0,
          true },
        { "offset index full", { .size = 1, .offset_count = 125 }, { .size = 1 }, 0, true },
        { "offset index with room", { .size = 1, .offset_count = 124 }, { .size = 1 }, 0, false },
        { "time index keeps a slot for the final entry",
          { .size = 1, .time_count = 82 },
          { .size = 1 },
          0,
          true },
        { "time index with room", { .size = 1, .time_count = 81 }, { .size = 1 }, 0, false },
        { "largest relative offset", { .size = 1 }, { .last_offset = INT32_MAX, .size = 1 }, 0, false },
        { "relative offset beyond 2^31-1",
          { .size = 1 },
          { .last_offset = INT32_MAX + (int64_t)1, .size = 1 },
          0,
          true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(segment_growth_must_roll(&rows[i].growth, &rows[i].batch, &plain, rows[i].now_ms) ==
                          rows[i].rolls,
                      "%s", rows[i].what);
}
END_TEST

START_TEST(a_file_never_grows_beyond_31_bits)
{
    struct log_config config = plain;
    config.segment_bytes = INT32_MAX;
    config.segment_ms = INT64_MAX;
    struct segment_growth growth = { .size = INT32_MAX - 100 };
    struct batch_head batch = head(1, 1, 100, 0);
    ck_assert(!segment_growth_must_roll(&growth, &batch, &config, 0));
    batch.size = 101;
    ck_assert(segment_growth_must_roll(&growth, &batch, &config, 0));
}
END_TEST

START_TEST(tiny_index_limits_still_make_progress)
{
    struct log_config config = plain;
    config.segment_index_bytes = 4;
    struct segment_growth growth = { .size = 1, .first_timestamp = -1 };
    struct batch_head batch = head(1, 1, 10, -1);
    ck_assert(!segment_growth_must_roll(&growth, &batch, &config, 0));
    growth.offset_count = 1;
    ck_assert(segment_growth_must_roll(&growth, &batch, &config, 0));
}
END_TEST

/* Kafka's per-batch rule: the entry comes when more than the interval was written since the last one, and
 * names the batch that is being added. */
START_TEST(index_entries)
{
    struct segment_growth growth = begin(1000, &plain, 0);
    static const struct {
        const char *what;
        uint32_t size;
        int64_t timestamp;
        bool offset_due, time_due;
        uint32_t position;
        int64_t time;
        uint32_t time_relative;
    } rows[] = {
        { "the first batch never", 500, 50, false, false, 0, 0, 0 },
        { "behind more than the interval", 100, 40, true, true, 500, 50, 1 },
        { "exactly the interval is not more", 1, 45, false, false, 0, 0, 0 },
        { "one byte more is; no later time, no time entry", 10, 50, true, false, 601, 0, 0 },
        { "not yet", 100, 60, false, false, 0, 0, 0 },
        { "a later one, of this batch", 100, 70, true, true, 711, 70, 11 },
    };
    int64_t offset = 1000;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++, offset += 2) {
        struct segment_entries entries;
        struct batch_head batch = head(offset, offset + 1, rows[i].size, rows[i].timestamp);
        segment_growth_add(&growth, &batch, &plain, &entries);
        ck_assert_msg(entries.offset_due == rows[i].offset_due, "%s", rows[i].what);
        ck_assert_msg(entries.time_due == rows[i].time_due, "%s", rows[i].what);
        if (entries.offset_due) {
            ck_assert_uint_eq(entries.offset.position, rows[i].position);
            ck_assert_uint_eq(entries.offset.relative, (uint32_t)(offset + 1 - 1000));
        }
        if (entries.time_due) {
            ck_assert_int_eq(entries.time.timestamp, rows[i].time);
            ck_assert_uint_eq(entries.time.relative, rows[i].time_relative);
        }
    }
    ck_assert_int_eq(growth.first_timestamp, 50);
    ck_assert_int_eq(growth.max_timestamp, 70);
}
END_TEST

START_TEST(jitter_stays_below_its_bound)
{
    struct log_config config = plain;
    struct random random;
    random_seed(&random, 2);
    config.segment_jitter_ms = 10;
    for (int i = 0; i < 1000; i++) {
        struct segment_growth growth = segment_growth_begin(0, &config, 0, &random);
        ck_assert(growth.jitter_ms >= 0 && growth.jitter_ms < 10);
    }
}
END_TEST

START_TEST(headers)
{
    uint8_t bytes[BATCH_HEADER_SIZE] = { 0 };
    struct batch_head out;
    store_be32(bytes + BATCH_LENGTH, 88);
    store_be32(bytes + BATCH_LAST_OFFSET_DELTA, 4);
    store_be64(bytes, 10);
    bytes[BATCH_MAGIC] = 2;
    ck_assert(batch_head_read(bytes, 100, &out));
    ck_assert_int_eq(out.last_offset, 14);
    ck_assert_uint_eq(out.size, 100);
    ck_assert(!batch_head_read(bytes, 99, &out));
    bytes[BATCH_MAGIC] = 1;
    ck_assert(!batch_head_read(bytes, 100, &out));
    bytes[BATCH_MAGIC] = 2;
    store_be32(bytes + BATCH_LENGTH, 48); /* shorter than a header */
    ck_assert(!batch_head_read(bytes, 100, &out));
    store_be32(bytes + BATCH_LENGTH, 0xffffffff);
    ck_assert(!batch_head_read(bytes, UINT64_MAX, &out));
    store_be32(bytes + BATCH_LENGTH, INT32_MAX); /* 12 more than fit 31 bits */
    ck_assert(batch_head_read(bytes, UINT64_MAX, &out));
    ck_assert_uint_eq(out.size, (uint32_t)INT32_MAX + 12);
    store_be32(bytes + BATCH_LAST_OFFSET_DELTA, 0x80000000u);
    ck_assert(!batch_head_read(bytes, UINT64_MAX, &out));
    store_be32(bytes + BATCH_LAST_OFFSET_DELTA, 4);
    store_be64(bytes, INT64_MAX - 4); /* the next offset would not be a number */
    ck_assert(!batch_head_read(bytes, UINT64_MAX, &out));
    store_be64(bytes, UINT64_MAX);
    ck_assert(!batch_head_read(bytes, UINT64_MAX, &out));
}
END_TEST

START_TEST(quarantined_ranges)
{
    struct retire *list = retire_create();
    struct segment *segment = segment_create(0);
    ck_assert(segment_add_quarantine(segment, list, (struct quarantine_range){ 50, 60, 500, 600 }));
    ck_assert(segment_add_quarantine(segment, list, (struct quarantine_range){ 10, 20, 100, 200 }));
    ck_assert(segment_add_quarantine(segment, list, (struct quarantine_range){ 20, 25, 200, 250 }));
    ck_assert(segment_add_quarantine(segment, list, (struct quarantine_range){ 80, 90, 800, 900 }));
    struct quarantine *quarantine = atomic_load(&segment->quarantine);
    ck_assert_uint_eq(quarantine->count, 3);
    ck_assert_int_eq(quarantine_find(quarantine, 24)->first, 10);
    ck_assert_ptr_null(quarantine_find(quarantine, 25));
    ck_assert_ptr_null(quarantine_find(quarantine, 9));
    ck_assert_int_eq(quarantine_after(quarantine, 25)->first, 50);
    ck_assert_ptr_null(quarantine_after(quarantine, 90));
    ck_assert_uint_eq(quarantine_skip(quarantine, 70, 120), 600);
    ck_assert_uint_eq(quarantine_skip(quarantine, 70, 650), 650);
    ck_assert_ptr_null(quarantine_find(NULL, 0));
    segment_destroy(segment);
    retire_destroy(list);
}
END_TEST

START_TEST(the_right_segment)
{
    static const int64_t bases[] = { 10, 20, 50 };
    struct segment_list *list = segment_list_create(3);
    for (size_t i = 0; i < 3; i++)
        list->items[i] = segment_create(bases[i]);
    ck_assert_uint_eq(segment_list_find(list, 5), 0);
    ck_assert_uint_eq(segment_list_find(list, 10), 0);
    ck_assert_uint_eq(segment_list_find(list, 19), 0);
    ck_assert_uint_eq(segment_list_find(list, 20), 1);
    ck_assert_uint_eq(segment_list_find(list, INT64_MAX), 2);
    for (size_t i = 0; i < 3; i++)
        segment_destroy(list->items[i]);
    free(list);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segment");
    TCase *tests = tcase_create("segment");
    tcase_add_test(tests, rolls);
    tcase_add_test(tests, a_file_never_grows_beyond_31_bits);
    tcase_add_test(tests, tiny_index_limits_still_make_progress);
    tcase_add_test(tests, index_entries);
    tcase_add_test(tests, jitter_stays_below_its_bound);
    tcase_add_test(tests, headers);
    tcase_add_test(tests, quarantined_ranges);
    tcase_add_test(tests, the_right_segment);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
