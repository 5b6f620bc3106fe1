/* The cleaner on one log: what stays of keys, tombstones, transactions and producers, pass after pass. */
#include "storage/cleaner_internal.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/log_segments.h"
#include "tests/support/compacted_log.h"

enum { NOW = 1000000, RETENTION = 500 };

static struct log_rig *rig;

static void setup(void)
{
    rig = log_rig_create(NULL);
    rig->config.segment_bytes = 1 << 20;
    rig->config.cleanup = LOG_CLEANUP_COMPACT;
    rig->config.delete_retention_ms = RETENTION;
    log_set_config(rig->log, &rig->config);
}

static void teardown(void)
{
    file_double_destroy(log_rig_destroy(rig));
}

/* Reads the log as it is, and as the next start finds it. */
static void expect_log(const char *what, const char *wanted)
{
    char *text = compacted_read(rig);
    if (strcmp(text, wanted) != 0)
        ck_abort_msg("%s:\n is %s\nnot %s", what, text, wanted);
    ck_assert_msg(rig_check_indexes(rig, false), "%s: indexes", what);
    free(text);
}

struct row {
    const char *what;
    const char *log;
    int64_t first_dirty;
    const char *after;  /* the first pass */
    const char *second; /* one that comes RETENTION later over all; NULL: as the first */
};

/* The first pass comes at 1000000, horizons are 1000500; the last segment is active. */
static const struct row rows[] = {
    { "the last value of a key stays", "a=1 a=2 a=3 | b=1", -1, "[2:a=3]|[3:b=1]", NULL },
    { "keys of one batch", "a=1,b=1,a=2,c=1 | d=1", -1, "[0-3 1:b=1 2:a=2 3:c=1]|[4:d=1]", NULL },
    { "segments become one", "a=1 b=1 | a=2 c=1 | b=2 | x=1", -1, "[2:a=2][3:c=1][4:b=2]|[5:x=1]", NULL },
    { "the active segment counts for nothing", "a=1 b=1 | a=2", -1, "[0:a=1][1:b=1]|[2:a=2]", NULL },
    { "only what is dirty is looked up", "a=1 b=1 a=2 | b=2 | x=1", 3, "[0:a=1][2:a=2][3:b=2]|[4:x=1]",
      "[2:a=2][3:b=2]|[4:x=1]" },
    { "records without a key go", "=1 a=1 =2 | x=1", -1, "[1:a=1][2-2]|[3:x=1]", NULL },
    { "a tombstone takes the value and waits", "a=1 b=1 a- | x=1", -1, "[1:b=1][h1000500 2:a-]|[3:x=1]",
      "[1:b=1][2-2]|[3:x=1]" },
    { "a tombstone among values: the bit is the batch's", "a=1 | a-,b=1 | x=1", -1,
      "[h1000500 1:a- 2:b=1]|[3:x=1]", "[1-2 h1000500 2:b=1]|[3:x=1]" },
    { "a horizon that is set stays", "h1000100:a- b=1 | x=1", -1, "[h1000100 0:a-][1:b=1]|[2:x=1]",
      "[1:b=1]|[2:x=1]" },
    { "a horizon that is over", "b=1 h1000000:a- c=1 | x=1", -1, "[0:b=1][2:c=1]|[3:x=1]", NULL },
    { "a tombstone in the active segment", "a=1 | a-", -1, "[0:a=1]|[1:a-]", NULL },
    { "a value behind its tombstone", "a=1 a- a=2 | x=1", -1, "[2:a=2]|[3:x=1]", NULL },
    { "an empty segment stays where all went", "a=1 b=1 | a=2,b=2 | x=1", 0, "[2:a=2 3:b=2]|[4:x=1]", NULL },
    { "the last batch of the round tells the end", "a=1 a- | x=1", -1, "[h1000500 1:a-]|[2:x=1]",
      "[1-1]|[2:x=1]" },
    { "offsets with gaps stay", "@5:a=1 @9:b=1 @20:a=2 | @30:x=1", -1, "[9:b=1][20:a=2]|[30:x=1]", NULL },

    { "a producer's last batch stays, empty", "p1:a=1 p2:b=1 p1:a=2 a=3 b=2 | x=1", -1,
      "[1-1 p2][2-2 p1][3:a=3][4:b=2]|[5:x=1]", NULL },
    { "a producer that wrote on later needs none", "p1:a=1 a=2 | p1:x=1", -1, "[1:a=2]|[p1 2:x=1]", NULL },

    { "a committed transaction", "t1:a=1 t1:a=2 C1 | x=1", -1, "[t1 1:a=2][t1 2:commit]|[3:x=1]", NULL },
    { "an aborted one goes at once, its marker stays", "a=1 t1:a=2 A1 b=1 | x=1", -1,
      "[0:a=1][1-1 t1][t1 2:abort][3:b=1]|[4:x=1]", NULL },
    { "another producer's batches between", "t1:a=1 t2:a=2 t2:b=2 A1 C2 c=1 | x=1", -1,
      "[0-0 t1][t2 1:a=2][t2 2:b=2][t1 3:abort][t2 4:commit][5:c=1]|[6:x=1]", NULL },
    { "a marker without data gets a horizon", "C1 a=1 | x=1", -1, "[t1 h1000500 0:commit][1:a=1]|[2:x=1]",
      "[0-0 t1][1:a=1]|[2:x=1]" },
    { "a marker whose transaction was cleaned away", "t1:a=1 C1 t1:a=2 C1 a=3 | t1:x=1", -1,
      "[t1 1:commit][t1 3:commit][4:a=3]|[t1 5:x=1]",
      "[t1 h1001000 1:commit][t1 h1001000 3:commit][4:a=3]|[t1 5:x=1]" },
    { "a transaction that spans segments", "t1:a=1 | b=1 | A1 c=1 | x=1", -1,
      "[0-0 t1][1:b=1][t1 2:abort][3:c=1]|[4:x=1]", NULL },
};

static enum codec codec_of(int i)
{
    return (enum codec)i;
}

START_TEST(passes)
{
    const struct row *row = &rows[_i / CODEC_COUNT];
    compacted_write(rig, row->log, codec_of(_i % CODEC_COUNT));
    ck_assert_int_eq(compacted_clean(rig, row->first_dirty, NULL), LOG_OK);
    expect_log(row->what, row->after);
    clock_virtual_advance(&rig->clock, RETENTION);
    ck_assert_int_eq(compacted_clean(rig, -1, NULL), LOG_OK);
    expect_log(row->what, row->second ? row->second : row->after);
}
END_TEST

/* --- limits and failures -------------------------------------------------------------------------- */

static const char some_log[] = "a=1 b=1 c=1 | a=2 b- t1:d=1 | A1 c=2 p2:e=1 | b=2 e=2 | x=1";
static const char some_after[] = "[3:a=2][5-5 t1][t1 6:abort][7:c=2][8-8 p2][9:b=2][10:e=2]|[11:x=1]";

static bool is_temporary(const char *name)
{
    size_t size = strlen(name);
    return size > 8 && (strcmp(name + size - 8, ".cleaned") == 0 || strcmp(name + size - 5, ".swap") == 0);
}

static bool count_temporary(void *context, const char *name)
{
    *(int *)context += is_temporary(name);
    return true;
}

static int temporaries(void)
{
    int count = 0;
    ck_assert_int_eq(file_list(rig->env.files, RIG_DIRECTORY "/topic-3", count_temporary, &count), FILE_OK);
    return count;
}

START_TEST(unchanged_segments_are_not_written)
{
    struct cleaner_result result;
    rig->config.segment_bytes = 1;
    log_set_config(rig->log, &rig->config);
    compacted_write(rig, "a=1 b=1 | c=1 d=1 | c=2 e=1 | x=1", CODEC_NONE);
    uint64_t before = file_double_operation_count(rig->disk);
    ck_assert_int_eq(compacted_clean(rig, -1, &result), LOG_OK);
    ck_assert_uint_eq(result.made_count, 1);
    expect_log("one of three changed", "[0:a=1][1:b=1]|[3:d=1]|[4:c=2][5:e=1]|[6:x=1]");
    ck_assert_uint_gt(file_double_operation_count(rig->disk), before);
    before = file_double_operation_count(rig->disk);
    ck_assert_int_eq(compacted_clean(rig, -1, &result), LOG_OK);
    ck_assert_uint_eq(result.made_count, 0);
    ck_assert_uint_eq(result.written_size, 0);
    ck_assert_uint_eq(file_double_operation_count(rig->disk), before);
    ck_assert_int_eq(result.next_dirty, 6);
}
END_TEST

START_TEST(a_segment_of_which_all_went)
{
    struct log_found found;
    rig->config.segment_bytes = 1;
    log_set_config(rig->log, &rig->config);
    compacted_write(rig, "z=1 | a=1 b=1 | a=2,b=2 | x=1", CODEC_NONE);
    ck_assert_int_eq(compacted_clean(rig, -1, NULL), LOG_OK);
    expect_log("an empty segment", "[0:z=1]||[3:a=2 4:b=2]|[5:x=1]");
    ck_assert_int_eq(log_find_timestamp(rig->log, 5, INT64_MAX, &found), LOG_OK);
    ck_assert_int_eq(found.offset, 3);
    ck_assert_int_eq(log_find_max_timestamp(rig->log, 5, &found), LOG_OK);
    ck_assert_int_eq(found.offset, 4);
    ck_assert_uint_eq(log_size_between(rig->log, 1, 1), 0);
    /* Whoever asks for what is gone gets what follows. */
    struct log_range range;
    ck_assert_int_eq(log_read(rig->log, 1, 6, SIZE_MAX, true, false, NULL, &range), LOG_OK);
    ck_assert_int_eq(range.base_offset, 3);
    struct log_row row;
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    log_rig_new_log(rig);
    log__set_closed_row(rig->log, &row);
    expect_log("after a clean stop", "[0:z=1]||[3:a=2 4:b=2]|[5:x=1]");
    ck_assert_int_eq(log_rig_close(rig, false, NULL), LOG_OK);
    log_rig_new_log(rig);
    ck_assert_int_eq(log__recover(rig->log, LOG_POSITION_OF_OFFSET(0), -1, NULL), LOG_OK);
    expect_log("after a kill", "[0:z=1]||[3:a=2 4:b=2]|[5:x=1]");
    ck_assert_uint_eq(log_stats(rig->log).quarantined_count, 0);
}
END_TEST

START_TEST(groups_keep_to_segment_bytes)
{
    compacted_write(rig, "a=1 b=1 | c=1 d=1 | e=1 f=1 | g=1 h=1 | x=1", CODEC_NONE);
    int64_t size = rig_file_size(rig, "00000000000000000000.log");
    rig->config.segment_bytes = (int32_t)(size * 2 + size / 2);
    log_set_config(rig->log, &rig->config);
    ck_assert_int_eq(compacted_clean(rig, -1, NULL), LOG_OK);
    expect_log("by twos", "[0:a=1][1:b=1][2:c=1][3:d=1]|[4:e=1][5:f=1][6:g=1][7:h=1]|[8:x=1]");
}
END_TEST

START_TEST(groups_keep_to_index_bytes)
{
    rig->config.index_interval_bytes = 1;
    rig->config.segment_index_bytes = 2 * OFFSET_INDEX_ENTRY_SIZE;
    log_set_config(rig->log, &rig->config);
    compacted_write(rig, "a=1 b=1 | c=1 d=1 | e=1 f=1 | x=1", CODEC_NONE);
    ck_assert_int_eq(compacted_clean(rig, -1, NULL), LOG_OK);
    expect_log("one entry each, and a final one of time",
               "[0:a=1][1:b=1]|[2:c=1][3:d=1]|[4:e=1][5:f=1]|[6:x=1]");
}
END_TEST

/* A map that never holds more than some keys still comes to the end, round by round. */
START_TEST(a_small_map)
{
    struct cleaner_options options = { .map_size_max = 96, .map_load = 0.9, .buffer_size = 16384 };
    struct cleaner *cleaner = cleaner_create(&options);
    int64_t first_dirty = -1, rounds = 0;
    compacted_write(rig, "a=1,b=1,c=1,d=1,e=1 a=2,b=2,c=2 | d=2,e=2,f=1 f- a=3 | x=1", CODEC_NONE);
    for (;;) {
        struct cleaner_look look;
        struct cleaner_result result;
        ck_assert_int_eq(cleaner_look(rig->log, first_dirty, NOW, &look), LOG_OK);
        if (look.cleanable_size == 0 || first_dirty == look.first_uncleanable) {
            cleaner_look_end(&look);
            break;
        }
        ck_assert_int_eq(cleaner_clean(cleaner, rig->log, &look, NOW, &result), LOG_OK);
        ck_assert_int_gt(result.next_dirty, first_dirty);
        ck_assert_uint_le(result.key_count, 3);
        first_dirty = result.next_dirty;
        rounds++;
        cleaner_look_end(&look);
    }
    ck_assert_int_gt(rounds, 3);
    ck_assert_int_eq(first_dirty, 13);
    expect_log("in the end", "[5-7 6:b=2 7:c=2][8-10 8:d=2 9:e=2][h1000500 11:f-][12:a=3]|[13:x=1]");
    cleaner_destroy(cleaner);
}
END_TEST

START_TEST(damage_is_left_alone)
{
    compacted_write(rig, some_log, CODEC_NONE);
    char *before = compacted_read(rig);
    ck_assert(file_double_flip_bit(rig->disk, rig_path(rig, "00000000000000000003.log"), 65, 3));
    ck_assert_int_eq(compacted_clean(rig, -1, NULL), LOG_CORRUPT);
    ck_assert(file_double_flip_bit(rig->disk, rig_path(rig, "00000000000000000003.log"), 65, 3));
    expect_log("damage", before);
    ck_assert_int_eq(temporaries(), 0);
    ck_assert_uint_eq(rig->failed_count, 0);
    free(before);
}
END_TEST

/* An abort marker of which the index does not know: its data would come back as committed. */
START_TEST(a_contradicting_index_is_left_alone)
{
    compacted_write(rig, some_log, CODEC_NONE);
    char *before = compacted_read(rig);
    txn_index_reset(&log__segments(rig->log)->items[2]->aborted);
    ck_assert_int_eq(compacted_clean(rig, -1, NULL), LOG_CORRUPT);
    expect_log("contradiction", before);
    ck_assert_int_eq(temporaries(), 0);
    free(before);
}
END_TEST

/* However little space there is: nothing changes, or all does. */
START_TEST(a_full_disk)
{
    uint64_t space = 0;
    compacted_write(rig, some_log, CODEC_NONE);
    char *before = compacted_read(rig);
    for (;; space += 7) {
        file_double_set_free_space(rig->disk, space);
        enum log_status status = compacted_clean(rig, -1, NULL);
        file_double_set_free_space(rig->disk, UINT64_MAX);
        if (status == LOG_OK)
            break;
        ck_assert_int_eq(status, LOG_DISK_FULL);
        ck_assert_int_eq(temporaries(), 0);
        expect_log("full", before);
    }
    ck_assert_uint_gt(space, 100);
    ck_assert_uint_eq(rig->failed_count, 0);
    expect_log("with space", some_after);
    free(before);
}
END_TEST

START_TEST(no_descriptors)
{
    compacted_write(rig, some_log, CODEC_NONE);
    char *before = compacted_read(rig);
    unsigned count = 1;
    for (;; count++) {
        file_double_set_open_limit(rig->disk, count + (unsigned)rig->open_files);
        enum log_status status = compacted_clean(rig, -1, NULL);
        file_double_set_open_limit(rig->disk, 0);
        if (status == LOG_OK)
            break;
        ck_assert_int_eq(status, LOG_LIMIT);
        ck_assert_int_eq(temporaries(), 0);
        expect_log("no descriptors", before);
    }
    ck_assert_uint_gt(count, 2);
    expect_log("with descriptors", some_after);
    free(before);
}
END_TEST

/* The device fails at the nth write or flush: the log takes no more appends, and what it has can be read. */
static void fail_everywhere(void (*inject)(struct file_double *, uint64_t))
{
    bool was_ok = false;
    uint64_t nth = 1;
    for (; !was_ok; nth++) {
        if (nth > 1) {
            teardown();
            setup();
        }
        compacted_write(rig, some_log, CODEC_NONE);
        char *before = compacted_read(rig);
        struct log_position durable = log__durable_position(rig->log);
        inject(rig->disk, nth);
        enum log_status status = compacted_clean(rig, -1, NULL);
        inject(rig->disk, 0);
        was_ok = status == LOG_OK;
        if (!was_ok) {
            ck_assert_int_eq(status, LOG_IO);
            ck_assert_uint_gt(rig->failed_count, 0);
            ck_assert_int_eq(log_health(rig->log), LOG_IO);
        }
        /* What a start finds: names may be between the old ones and the new. */
        ck_assert_int_eq(log_rig_close(rig, false, NULL), LOG_OK);
        log_rig_new_log(rig);
        ck_assert_int_eq(log__recover(rig->log, durable, -1, NULL), LOG_OK);
        ck_assert_uint_eq(log_stats(rig->log).quarantined_count, 0);
        char *after = compacted_read(rig);
        ck_assert_msg(strcmp(after, before) == 0 || strcmp(after, some_after) == 0, "%s", after);
        free(before);
        free(after);
    }
    ck_assert_uint_gt(nth, 4);
}

static void fail_write(struct file_double *disk, uint64_t nth)
{
    file_double_fail_write(disk, nth, FILE_IO);
}

START_TEST(a_failing_device)
{
    fail_everywhere(fail_write);
}
END_TEST

START_TEST(failing_flushes)
{
    fail_everywhere(file_double_fail_flush);
}
END_TEST

struct once {
    void (*act)(void);
    uint64_t calls, at;
};

static bool act_once(void *context, uint64_t size)
{
    struct once *once = context;
    (void)size;
    if (once->calls++ == once->at)
        once->act();
    return true;
}

static void delete_log(void)
{
    log__delete(rig->log);
}

static void remove_oldest(void)
{
    log_rig_turn(rig);
    pthread_mutex_lock(&rig->log->prepare_mutex);
    ck_assert_int_eq(log__remove_oldest(rig->log, 1), LOG_OK);
    pthread_mutex_unlock(&rig->log->prepare_mutex);
}

/* What another thread does while the log is cleaned, at every moment. */
static enum log_status clean_while(void (*act)(void), uint64_t at, bool *was_called)
{
    struct once once = { .act = act, .at = at };
    struct cleaner_options options = {
        .map_size_max = 1 << 20, .map_load = 0.9, .buffer_size = 1, .step = act_once, .context = &once
    };
    struct cleaner *cleaner = cleaner_create(&options);
    struct cleaner_look look;
    struct cleaner_result result;
    ck_assert_int_eq(cleaner_look(rig->log, -1, NOW, &look), LOG_OK);
    enum log_status status = cleaner_clean(cleaner, rig->log, &look, NOW, &result);
    cleaner_look_end(&look);
    cleaner_destroy(cleaner);
    *was_called = once.calls > at;
    return status;
}

START_TEST(a_log_that_is_deleted_meanwhile)
{
    bool was_called = true;
    for (uint64_t at = 0; was_called; at++) {
        if (at > 0) {
            teardown();
            setup();
        }
        compacted_write(rig, some_log, CODEC_NONE);
        enum log_status status = clean_while(delete_log, at, &was_called);
        ck_assert_int_eq(status, was_called ? LOG_CLOSED : LOG_OK);
    }
}
END_TEST

START_TEST(retention_meanwhile)
{
    bool was_called = true;
    for (uint64_t at = 0; was_called; at++) {
        if (at > 0) {
            teardown();
            setup();
        }
        rig->config.segment_bytes = 1; /* each segment for itself */
        log_set_config(rig->log, &rig->config);
        compacted_write(rig, some_log, CODEC_NONE);
        enum log_status status = clean_while(remove_oldest, at, &was_called);
        ck_assert(status == LOG_OK || (was_called && status == LOG_BUSY));
        if (was_called)
            ck_assert_int_eq(log_offsets(rig->log).start, 3);
        char *text = compacted_read(rig);
        ck_assert(strstr(text, "a=2") && strstr(text, "c=2") && strstr(text, "b=2") && strstr(text, "e=2"));
        free(text);
    }
}
END_TEST

/* --- the choice ----------------------------------------------------------------------------------- */

/* Timestamps are 10 * offset. */
struct choice {
    const char *what;
    const char *log;
    int64_t checkpoint, now_ms;
    int64_t min_lag_ms, max_lag_ms;
    double ratio;
    int64_t first_dirty, first_uncleanable;
    bool is_eligible;
    int64_t look_again_ms;
};

static const struct choice choices[] = {
    { "all but the active segment", "a=1 b=1 | c=1 | x=1", -1, NOW, 0, INT64_MAX, 0.5, 0, 3, true,
      INT64_MAX },
    { "one segment is the active one", "a=1 b=1", -1, NOW, 0, INT64_MAX, 0.5, 0, 0, false, INT64_MAX },
    { "what is clean counts against", "a=1 a=1 a=1 | c=1 | x=1", 3, NOW, 0, INT64_MAX, 0.5, 3, 4, false,
      INT64_MAX },
    { "a lower ratio", "a=1 a=1 a=1 | c=1 | x=1", 3, NOW, 0, INT64_MAX, 0.2, 3, 4, true, INT64_MAX },
    { "all is clean", "a=1 | c=1 | x=1", 2, NOW, 0, INT64_MAX, 0, 2, 2, false, INT64_MAX },
    { "a checkpoint beyond the end", "a=1 | c=1 | x=1", 77, NOW, 0, INT64_MAX, 0.5, 0, 2, true, INT64_MAX },
    { "a checkpoint below the start", "@5:a=1 | c=1 | x=1", 3, NOW, 0, INT64_MAX, 0.5, 5, 7, true,
      INT64_MAX },
    { "too young from the second segment on", "a=1 b=1 | c=1 d=1 | e=1 | x=1", -1, 50, 25, INT64_MAX, 0.5, 0,
      2, true, 56 },
    { "all is too young", "a=1 b=1 | c=1 | x=1", -1, 30, 25, INT64_MAX, 0.5, 0, 0, false, 36 },
    { "old enough to the millisecond", "a=1 b=1 | x=1", -1, 35, 25, INT64_MAX, 0.5, 0, 2, true, INT64_MAX },
    /* The active one does so, too: it rolled, and is looked at when its end is on the device. */
    { "waits too long, whatever the ratio", "a=1 a=1 a=1 | c=1 | x=1", 3, 100, 0, 50, 0.9, 3, 4, true, 1100 },
    { "does not wait too long yet", "a=1 a=1 a=1 | c=1 | x=1", 3, 60, 0, 50, 0.9, 3, 4, false, 81 },
};

START_TEST(choosing)
{
    const struct choice *choice = &choices[_i];
    struct cleaner_look look;
    rig->config.min_compaction_lag_ms = choice->min_lag_ms;
    rig->config.max_compaction_lag_ms = choice->max_lag_ms;
    rig->config.min_cleanable_ratio = choice->ratio;
    log_set_config(rig->log, &rig->config);
    compacted_write(rig, choice->log, CODEC_NONE);
    ck_assert_int_eq(cleaner_look(rig->log, choice->checkpoint, choice->now_ms, &look), LOG_OK);
    ck_assert_msg(look.first_dirty == choice->first_dirty, "%s: first dirty %lld", choice->what,
                  (long long)look.first_dirty);
    ck_assert_msg(look.first_uncleanable == choice->first_uncleanable, "%s: first uncleanable %lld",
                  choice->what, (long long)look.first_uncleanable);
    ck_assert_msg(look.is_eligible == choice->is_eligible, "%s: ratio %f", choice->what, look.ratio);
    ck_assert_msg(look.look_again_ms == choice->look_again_ms, "%s: again %lld", choice->what,
                  (long long)look.look_again_ms);
    cleaner_look_end(&look);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cleaner");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_loop_test(all, passes, 0, (int)(sizeof rows / sizeof rows[0]) * CODEC_COUNT);
    tcase_add_test(all, unchanged_segments_are_not_written);
    tcase_add_test(all, a_segment_of_which_all_went);
    tcase_add_test(all, groups_keep_to_segment_bytes);
    tcase_add_test(all, groups_keep_to_index_bytes);
    tcase_add_test(all, a_small_map);
    tcase_add_test(all, damage_is_left_alone);
    tcase_add_test(all, a_contradicting_index_is_left_alone);
    tcase_add_test(all, a_full_disk);
    tcase_add_test(all, no_descriptors);
    tcase_add_test(all, a_failing_device);
    tcase_add_test(all, failing_flushes);
    tcase_add_test(all, a_log_that_is_deleted_meanwhile);
    tcase_add_test(all, retention_meanwhile);
    tcase_add_loop_test(all, choosing, 0, (int)(sizeof choices / sizeof choices[0]));
    tcase_set_timeout(all, 120);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
