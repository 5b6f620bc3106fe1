/* What a log does with its producers over time: expiry, bounds, failed writes, restarts, Kafka's directories.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/producer_snapshot.h"
#include "tests/support/log_rig.h"

static void make(struct batch_view *out, int64_t producer_id, int16_t epoch, int32_t sequence, int count)
{
    rig_make_batch(&(struct rig_batch){ .count = count,
                                        .value_size = 30,
                                        .timestamp = 5000 + sequence,
                                        .producer_id = producer_id,
                                        .epoch = epoch,
                                        .sequence = sequence },
                   out);
}

static enum log_status append(struct log_rig *rig, struct batch_view *batches, size_t count,
                              struct log_append_result *results)
{
    enum log_status status;
    while ((status = log_append(rig->log, batches, count, 0, clock_wall_ms(rig->env.clock), results)) ==
           LOG_BUSY)
        ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    return status;
}

static struct log_append_result write_one(struct log_rig *rig, int64_t producer_id, int16_t epoch,
                                          int32_t sequence)
{
    struct batch_view batch;
    struct log_append_result result;
    make(&batch, producer_id, epoch, sequence, 1);
    ck_assert_int_eq(append(rig, &batch, 1, &result), LOG_OK);
    free(batch.data);
    return result;
}

static bool is_new(struct log_append_result result)
{
    return result.status == LOG_OK && !result.is_duplicate;
}

static bool is_repeated(struct log_append_result result, int64_t base_offset)
{
    return result.status == LOG_OK && result.is_duplicate && result.base_offset == base_offset;
}

enum start { STAYS, CLEAN, CLEAN_UNKNOWN, KILL, LRU };

static void start_again(struct log_rig *rig, enum start how)
{
    struct log_row row;
    if (how == LRU) {
        while (log_rig_flush(rig)) {
        }
        log_rig_run_jobs(rig);
        ck_assert(log__close_files(rig->log) || !log_stats(rig->log).is_open);
    }
    if (how == STAYS || how == LRU)
        return;
    ck_assert_int_eq(log_rig_close(rig, how != KILL, &row), LOG_OK);
    log_rig_new_log(rig);
    if (how == CLEAN)
        log__set_closed_row(rig->log, &row);
    else if (how == CLEAN_UNKNOWN)
        ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK);
    else
        ck_assert_int_eq(log__recover(rig->log, LOG_POSITION_OF_OFFSET(0), -1, NULL), LOG_OK);
}

static void configure(struct log_rig *rig, int64_t expiration_ms, uint32_t ids_max)
{
    rig->config.producer_id_expiration_ms = expiration_ms;
    rig->config.producer_ids_max = ids_max;
    log_set_config(rig->log, &rig->config);
}

static const char *snapshot_name(int64_t offset, void (*name_it)(int64_t, char *))
{
    static char name[PRODUCER_SNAPSHOT_NAME_SIZE];
    name_it(offset, name);
    return name;
}

static bool has_snapshot(struct log_rig *rig, int64_t offset)
{
    return rig_file_size(rig, snapshot_name(offset, producer_snapshot_name)) >= 0;
}

static bool has_history(struct log_rig *rig, int64_t offset)
{
    return rig_file_size(rig, snapshot_name(offset, producer_history_name)) >= 0;
}

/* The entry of a producer in a snapshot. */
static struct producer_entry entry_of(struct log_rig *rig, int64_t offset, int64_t producer_id)
{
    struct producer_entry *entries, found = { .producer_id = -1 };
    size_t count;
    bool is_complete;
    ck_assert_int_eq(
        producer_files_read(rig->env.files, log__path(rig->log), offset, &entries, &count, &is_complete),
        FILE_OK);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].producer_id == producer_id)
            found = entries[i];
    }
    free(entries);
    return found;
}

/* --- time and number ----------------------------------------------------------------------------- */

static const struct {
    const char *what;
    int64_t expiration_ms;
    int64_t before_ms, after_ms; /* waits before and behind the restart */
    enum start restart;
    bool is_known;
} silences[] = {
    { "one ms less than the expiry", 1000, 0, 999, STAYS, true },
    { "as long as the expiry", 1000, 0, 1000, STAYS, false },
    { "no expiry", 0, 0, INT64_C(1) << 40, STAYS, true },
    { "a restart does not begin the time anew", 1000, 600, 400, CLEAN, false },
    { "nor is it over sooner", 1000, 600, 399, CLEAN, true },
    { "nor with a directory without our table", 1000, 600, 400, CLEAN_UNKNOWN, false },
    { "nor when the LRU closed the log", 1000, 600, 400, LRU, false },
    { "expired while the broker was down", 1000, 1500, 0, CLEAN, false },
    { "after a kill nobody knows, and the time begins anew", 1000, 600, 999, KILL, true },
    { "after a kill it ends as well", 1000, 600, 1000, KILL, false },
};

START_TEST(silence_makes_forgotten)
{
    struct log_rig *rig = log_rig_create(NULL);
    configure(rig, silences[_i].expiration_ms, 0);
    ck_assert(is_new(write_one(rig, 7, 0, 0)));
    clock_virtual_advance(&rig->clock, silences[_i].before_ms);
    start_again(rig, silences[_i].restart);
    clock_virtual_advance(&rig->clock, silences[_i].after_ms);
    struct log_append_result result = write_one(rig, 7, 0, 0);
    ck_assert_msg(silences[_i].is_known ? is_repeated(result, 0) : is_new(result), "%s", silences[_i].what);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* Record timestamps are what clients say: old ones must not make a producer forgotten. */
START_TEST(only_our_clock_counts)
{
    struct log_rig *rig = log_rig_create(NULL);
    configure(rig, 1000, 0);
    ck_assert_int_gt(clock_wall_ms(rig->env.clock), 5000 + 1000); /* the batch's timestamp is long ago */
    ck_assert(is_new(write_one(rig, 7, 0, 0)));
    clock_virtual_advance(&rig->clock, 900);
    ck_assert(is_repeated(write_one(rig, 7, 0, 0), 0));
    clock_virtual_advance(&rig->clock, 99);
    ck_assert(is_new(write_one(rig, 7, 0, 1)));
    clock_virtual_advance(&rig->clock, 999);
    ck_assert(is_repeated(write_one(rig, 7, 0, 0), 0)); /* it wrote since; a repetition is no writing */
    clock_virtual_advance(&rig->clock, 1);
    ck_assert(is_new(write_one(rig, 7, 0, 0)));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* The clock goes back: nobody is forgotten for it. */
START_TEST(a_clock_that_jumps_back)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct batch_view batch;
    struct log_append_result result;
    configure(rig, 1000, 0);
    ck_assert(is_new(write_one(rig, 7, 0, 0)));
    make(&batch, 7, 0, 0, 1);
    ck_assert_int_eq(log_append(rig->log, &batch, 1, 0, 5, &result), LOG_OK);
    ck_assert(is_repeated(result, 0));
    free(batch.data);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* Expired producers go as others write, without anybody looking for them; at a stop the rest. */
START_TEST(expired_producers_leave_the_table)
{
    struct log_rig *rig = log_rig_create(NULL);
    configure(rig, 1000, 0);
    for (int i = 1; i <= 40; i++)
        ck_assert(is_new(write_one(rig, i, 0, 0)));
    clock_virtual_advance(&rig->clock, 1000);
    for (int i = 41; i <= 45; i++)
        ck_assert(is_new(write_one(rig, i, 0, 0)));
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    ck_assert_int_eq(rig_file_size(rig, "00000000000000000045.snapshot"), 10 + 5 * 46);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

static const enum start starts[] = { STAYS, CLEAN, CLEAN_UNKNOWN, KILL, LRU };
enum { START_COUNT = sizeof starts / sizeof starts[0] };

START_TEST(who_wrote_longest_ago_is_forgotten)
{
    struct log_rig *rig = log_rig_create(NULL);
    configure(rig, 0, 3);
    ck_assert(is_new(write_one(rig, 1, 0, 0)));         /* 0 */
    ck_assert(is_new(write_one(rig, 2, 0, 0)));         /* 1 */
    ck_assert(is_new(write_one(rig, 3, 0, 0)));         /* 2 */
    ck_assert(is_new(write_one(rig, 1, 0, 1)));         /* 3 */
    ck_assert(is_repeated(write_one(rig, 2, 0, 0), 1)); /* no writing */
    start_again(rig, starts[_i]);
    ck_assert(is_new(write_one(rig, 4, 0, 0))); /* 4: instead of 2 */
    start_again(rig, starts[_i]);
    ck_assert(is_repeated(write_one(rig, 1, 0, 0), 0));
    ck_assert(is_repeated(write_one(rig, 1, 0, 1), 3));
    ck_assert(is_repeated(write_one(rig, 3, 0, 0), 2));
    ck_assert(is_repeated(write_one(rig, 4, 0, 0), 4));
    ck_assert(is_new(write_one(rig, 2, 0, 77)));
    ck_assert(is_new(write_one(rig, 3, 0, 55))); /* which 2 took the place of */
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A call may bring more producers than there is room for: all of it is judged, then the bound is kept. */
START_TEST(more_producers_in_a_call_than_the_bound)
{
    enum { COUNT = 300, BOUND = 5 };
    static struct batch_view batches[COUNT];
    static struct log_append_result results[COUNT];
    struct log_rig *rig = log_rig_create(NULL);
    configure(rig, 0, BOUND);
    for (int i = 0; i < COUNT; i++)
        make(&batches[i], 1 + i / 2, 0, i % 2 * 9, 1); /* the second one of each leaves a gap */
    ck_assert_int_eq(append(rig, batches, COUNT, results), LOG_OK);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(results[i].status, i % 2 ? LOG_BAD_SEQUENCE : LOG_OK);
    for (int i = 0; i < BOUND; i++)
        ck_assert(is_repeated(write_one(rig, COUNT / 2 - i, 0, 0), COUNT / 2 - 1 - i));
    ck_assert(is_new(write_one(rig, 1, 0, 0)));
    for (int i = 0; i < COUNT; i++)
        free(batches[i].data);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* Memory is bounded, and what one producer takes is small. */
START_TEST(a_hundred_thousand_producers)
{
    enum { MAX = 100000 };
    struct producer_state *state = NULL;
    struct producer_entry entry;
    struct batch_view batch = { .last_offset_delta = 0, .max_timestamp = 1 };
    size_t refused = 0, wrong = 0; /* an assertion for each would take most of the time */
    for (int i = 0; i < 3 * MAX; i++) {
        refused += !producer_state_reserve(&state, 1, 0);
        batch.producer_id = i;
        batch.base_offset = i;
        producer_state_note(state, &batch, 0, 0);
        producer_state_trim(state, MAX, 0, 0, 2);
    }
    ck_assert_uint_eq(producer_state_count(state), MAX);
    printf("%zu bytes for each of %d producers with one batch\n", producer_state_size(state) / MAX, MAX);
    ck_assert_uint_le(producer_state_size(state), (size_t)MAX * 120);
    for (int i = 0; i < MAX; i++) {
        wrong += producer_state_find(state, 2 * MAX - 1 - i, &entry);
        wrong += !producer_state_find(state, 2 * MAX + i, &entry);
    }
    for (int i = 0; i < MAX; i++) {
        refused += !producer_state_reserve(&state, 0, 1);
        batch.producer_id = 2 * MAX + i;
        batch.base_offset = batch.base_sequence = 3 * MAX + i;
        producer_state_note(state, &batch, 0, 0);
    }
    ck_assert(refused == 0 && wrong == 0);
    printf("%zu bytes with five\n", producer_state_size(state) / MAX);
    ck_assert_uint_le(producer_state_size(state), (size_t)MAX * 250);
    producer_state_destroy(state);
}
END_TEST

/* --- calls --------------------------------------------------------------------------------------- */

START_TEST(neighbours_are_not_touched)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct batch_view batches[7];
    struct log_append_result results[7];
    static const enum log_status expected[] = { LOG_OK,        LOG_BAD_SEQUENCE, LOG_OK, LOG_TOO_LARGE,
                                                LOG_BAD_EPOCH, LOG_OK,           LOG_OK };
    static const int64_t base[] = { 0, -1, 1, -1, -1, 0, 3 };
    make(&batches[0], 7, 4, 0, 1);
    make(&batches[1], 7, 4, 2, 1);
    make(&batches[2], 0, 0, 0, 2);
    rig_make_batch(&(struct rig_batch){ .value_size = 5000, .producer_id = 7, .epoch = 4, .sequence = 1 },
                   &batches[3]);
    make(&batches[4], 7, 3, 0, 1);
    make(&batches[5], 7, 4, 0, 1);
    make(&batches[6], 7, 4, 1, 1);
    ck_assert_int_eq(append(rig, batches, 7, results), LOG_OK);
    for (size_t i = 0; i < 7; i++) {
        ck_assert_int_eq(results[i].status, expected[i]);
        ck_assert_int_eq(results[i].base_offset, base[i]);
        ck_assert_int_eq(results[i].is_duplicate, i == 5);
        free(batches[i].data);
    }
    ck_assert_int_eq(rig_read_all(rig, 10000), 4);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A call of which nothing is appended writes nothing, and is answered batch by batch. */
START_TEST(nothing_is_written_for_what_is_not_appended)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct batch_view batches[3];
    struct log_append_result results[3];
    ck_assert(is_new(write_one(rig, 7, 1, 0)));
    while (log_rig_flush(rig)) {
    }
    uint64_t operations = file_double_operation_count(rig->disk);
    unsigned dirty_count = rig->dirty_count;
    make(&batches[0], 7, 1, 0, 1);
    make(&batches[1], 7, 0, 0, 1);
    make(&batches[2], 7, 1, 5, 1);
    ck_assert_int_eq(append(rig, batches, 3, results), LOG_OK);
    ck_assert(is_repeated(results[0], 0));
    ck_assert_int_eq(results[1].status, LOG_BAD_EPOCH);
    ck_assert_int_eq(results[2].status, LOG_BAD_SEQUENCE);
    ck_assert_uint_eq(file_double_operation_count(rig->disk), operations);
    ck_assert_uint_eq(rig->dirty_count, dirty_count);
    for (size_t i = 0; i < 3; i++)
        free(batches[i].data);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_repetition_has_the_time_of_the_original)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct batch_view batch;
    struct log_append_result result;
    for (int round = 0; round < 3; round++) {
        rig_make_batch(&(struct rig_batch){ .timestamp = 9000 + round,
                                            .attributes = BATCH_ATTRIBUTE_LOG_APPEND_TIME,
                                            .producer_id = 7 },
                       &batch);
        ck_assert_int_eq(append(rig, &batch, 1, &result), LOG_OK);
        ck_assert_int_eq(result.is_duplicate, round > 0);
        ck_assert_int_eq(result.append_time_ms, 9000);
        free(batch.data);
        start_again(rig, round == 0 ? STAYS : KILL);
    }
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* The disk is full in the middle of a call: what got in is remembered, and nothing else; what was judged by
 * what did not get in is judged anew. */
START_TEST(what_was_not_written_is_not_remembered)
{
    struct log_rig *rig = log_rig_create(NULL);
    enum { COUNT = 60 };
    struct batch_view batches[COUNT];
    struct log_append_result results[COUNT];
    size_t written = 0;
    ck_assert(is_new(write_one(rig, 7, 0, 0)));
    for (int i = 0; i < COUNT;
         i++) /* some rolls; the last one would be refused, were all before it appended */
        make(&batches[i], 7, i + 1 < COUNT ? 1 : 0, i, 1);
    enum log_status status;
    while ((status = log_append(rig->log, batches, COUNT, 0, 0, results)) == LOG_BUSY) {
        ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
        file_double_short_write(rig->disk, (uint64_t)_i, 10);
    }
    if (_i == 0) {
        ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    }
    while (written < COUNT && results[written].status == LOG_OK)
        written++;
    for (size_t i = written; i < COUNT; i++) {
        ck_assert_int_eq(results[i].status, written + 1 == COUNT ? LOG_BAD_EPOCH : LOG_DISK_FULL);
        ck_assert_int_eq(results[i].base_offset, -1);
    }
    ck_assert_int_eq(status, written > 0 ? LOG_OK : LOG_DISK_FULL);
    file_double_short_write(rig->disk, 0, 0);
    if (written == 0)
        ck_assert(is_new(write_one(rig, 7, 0, 1))); /* the old epoch is still the newest one */
    else
        ck_assert_int_eq(write_one(rig, 7, 0, 1).status, LOG_BAD_EPOCH);
    ck_assert_int_eq(append(rig, batches, COUNT, results), LOG_OK);
    for (size_t i = 0; i + 1 < COUNT; i++) {
        if (i + 5 < written)
            ck_assert_int_eq(results[i].status, LOG_BAD_SEQUENCE);
        else
            ck_assert_int_eq(results[i].is_duplicate, i < written);
        free(batches[i].data);
    }
    free(batches[COUNT - 1].data);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A snapshot at a roll in the middle of a call knows what came before the roll, and nothing behind it. */
START_TEST(a_snapshot_at_a_roll)
{
    enum { COUNT = 60 };
    struct log_rig *rig = log_rig_create(NULL);
    struct batch_view batches[COUNT];
    struct log_append_result results[COUNT];
    for (int i = 0; i < COUNT; i++)
        make(&batches[i], 7, 0, i, 1);
    ck_assert_int_eq(append(rig, batches, COUNT, results), LOG_OK);
    log_rig_run_jobs(rig);
    struct log_stats stats = log_stats(rig->log);
    ck_assert_uint_gt(stats.segment_count, 1);
    int64_t base = COUNT;
    while (base > 0 && !has_snapshot(rig, base))
        base--;
    ck_assert(base > 0 && base < COUNT && has_history(rig, base));
    struct producer_entry entry = entry_of(rig, base, 7);
    ck_assert_int_eq(entry.batch_count, 5);
    ck_assert_int_eq(entry.batches[4].last_offset, base - 1);
    ck_assert_int_eq(entry.batches[0].last_offset, base - 5);
    for (size_t i = 0; i < COUNT; i++)
        free(batches[i].data);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* --- restarts ------------------------------------------------------------------------------------- */

/* Five batches are known however the log was closed and opened, again and again; also of one that wrote long
 * ago. */
START_TEST(five_batches_over_restarts)
{
    struct log_rig *rig = log_rig_create(NULL);
    for (int i = 0; i < 8; i++)
        ck_assert(is_new(write_one(rig, 7, 2, i)));
    for (int i = 0; i < 100; i++) {
        ck_assert(is_new(write_one(rig, 1000 + i % 9, 0, i / 9)));
        log_rig_run_jobs(rig);
    }
    for (int round = 0; round < 3; round++) {
        start_again(rig, starts[_i]);
        for (int i = 3; i < 8; i++)
            ck_assert(is_repeated(write_one(rig, 7, 2, i), i));
        ck_assert_int_eq(write_one(rig, 7, 2, 2).status, LOG_BAD_SEQUENCE);
        ck_assert_int_eq(write_one(rig, 7, 1, 8).status, LOG_BAD_EPOCH);
    }
    ck_assert(is_new(write_one(rig, 7, 2, 8)));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

enum loss { NO_LOSS, NO_HISTORY, WRONG_HISTORY, NO_SNAPSHOT, DAMAGED_SNAPSHOT, LOSS_COUNT };

static void lose(struct log_rig *rig, int64_t offset, enum loss loss)
{
    const char *snapshot = rig_path(rig, snapshot_name(offset, producer_snapshot_name));
    const char *history = rig_path(rig, snapshot_name(offset, producer_history_name));
    if (loss == NO_HISTORY || loss == NO_SNAPSHOT)
        ck_assert_int_eq(file_unlink(rig->env.files, history), FILE_OK);
    if (loss == WRONG_HISTORY)
        ck_assert(file_double_flip_bit(rig->disk, history, 40, 1));
    if (loss == NO_SNAPSHOT)
        ck_assert_int_eq(file_unlink(rig->env.files, snapshot), FILE_OK);
    if (loss == DAMAGED_SNAPSHOT)
        ck_assert(file_double_flip_bit(rig->disk, snapshot, 30, 1));
}

/* What lies beside the log may be lost or damaged: its batches tell the same. */
START_TEST(the_log_itself_tells)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_row row;
    for (int i = 0; i < 300; i++) {
        ck_assert(is_new(write_one(rig, 1 + i % 3, 0, i / 3)));
        log_rig_run_jobs(rig);
    }
    ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
    log_rig_new_log(rig);
    ck_assert(has_snapshot(rig, 300) && has_history(rig, 300));
    lose(rig, 300, (enum loss)(_i % LOSS_COUNT));
    if (_i / LOSS_COUNT)
        log__set_closed_row(rig->log, &row);
    else
        ck_assert_int_eq(log__recover(rig->log, LOG_POSITION_OF_OFFSET(0), -1, NULL), LOG_OK);
    for (int i = 285; i < 300; i++)
        ck_assert(is_repeated(write_one(rig, 1 + i % 3, 0, i / 3), i));
    ck_assert_int_eq(write_one(rig, 1, 0, 94).status, LOG_BAD_SEQUENCE);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A power cut takes batches that a snapshot tells of already. Their offsets are given to others: then the
 * snapshot must be gone, lest a later start believe it. */
START_TEST(a_snapshot_of_lost_batches_goes)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct random random;
    random_seed(&random, 1);
    struct log_config config = rig->config;
    ck_assert(is_new(write_one(rig, 7, 0, 0)));
    while (log_rig_flush(rig)) {
    }
    struct log_position durable = log__durable_position(rig->log);
    int64_t roll = 0;
    for (int i = 1; roll == 0; i++) { /* none of these is flushed, but for the snapshot and its name */
        ck_assert(is_new(write_one(rig, 7, 0, i)));
        log_rig_run_jobs(rig);
        roll = log_stats(rig->log).segment_count > 1 ? i : 0;
    }
    ck_assert(has_snapshot(rig, roll));
    ck_assert_int_eq(file_flush_directory(rig->env.files, log__path(rig->log)), FILE_OK);
    struct file_double *disk = log_rig_destroy(rig);
    struct file_double *left =
        file_double_after_cut(disk, file_double_operation_count(disk), FILE_DOUBLE_LOSE_ALL, &random);
    file_double_destroy(disk);
    rig = log_rig_create(left);
    rig->config = config;
    log_set_config(rig->log, &config);
    ck_assert(has_snapshot(rig, roll) && has_history(rig, roll));
    ck_assert_int_eq(log__recover(rig->log, durable, -1, NULL), LOG_OK);
    ck_assert_int_eq(log_offsets(rig->log).end, 1);
    ck_assert(!has_snapshot(rig, roll) && !has_history(rig, roll));
    ck_assert(is_repeated(write_one(rig, 7, 0, 0), 0));
    ck_assert_int_eq(write_one(rig, 7, 0, 2).status, LOG_BAD_SEQUENCE);
    for (int i = 1; i < 200; i++)
        ck_assert(is_new(write_one(rig, 8, 0, i)));
    start_again(rig, KILL);
    ck_assert(is_repeated(write_one(rig, 7, 0, 0), 0));
    ck_assert(is_new(write_one(rig, 7, 0, 1)));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* A stop writes a snapshot only of what it knows: a log that was opened and not written to keeps the old one.
 */
START_TEST(a_stop_without_an_append_loses_nothing)
{
    struct log_rig *rig = log_rig_create(NULL);
    for (int i = 0; i < 100; i++)
        ck_assert(is_new(write_one(rig, 7, 0, i)));
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    ck_assert_int_eq(file_unlink(rig->env.files, rig_path(rig, "00000000000000000000.index")), FILE_OK);
    log_rig_new_log(rig);
    ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK); /* makes the index anew */
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    ck_assert_int_eq(rig_file_size(rig, "00000000000000000100.snapshot"), 10 + 46);
    log_rig_new_log(rig);
    ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK);
    ck_assert(is_repeated(write_one(rig, 7, 0, 95), 95));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* Each stop leaves its own snapshot and those of the rolls; a kill in between leaves nothing more behind. */
START_TEST(snapshots_do_not_pile_up)
{
    struct log_rig *rig = log_rig_create(NULL);
    rig->config.segment_bytes = 1 << 20;
    log_set_config(rig->log, &rig->config);
    for (int i = 0; i < 6; i++) {
        ck_assert(is_new(write_one(rig, 7, 0, i)));
        start_again(rig, i % 3 == 2 ? KILL : i % 3 == 1 ? CLEAN : LRU);
    }
    ck_assert(is_new(write_one(rig, 7, 0, 6)));
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    for (int i = 0; i < 7; i++)
        ck_assert_msg(!has_snapshot(rig, i) && !has_history(rig, i), "snapshot of %d", i);
    ck_assert(has_snapshot(rig, 7) && has_history(rig, 7));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* --- Kafka's directories -------------------------------------------------------------------------- */

/* Kafka writes the producers of a snapshot in no order: the offsets say who wrote longest ago. */
START_TEST(the_order_of_kafkas_snapshots_says_nothing)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct producer_state *state = NULL;
    for (int i = 0; i < 8; i++)
        ck_assert(is_new(write_one(rig, 1 + i % 4, 0, i / 4)));
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    log_rig_new_log(rig);
    for (int id = 4; id > 0; id--) {
        struct producer_entry entry = entry_of(rig, 8, id);
        ck_assert(producer_state_reserve(&state, 1, 1));
        producer_state_put(state, &entry);
    }
    ck_assert_int_eq(producer_files_write(rig->env.files, log__path(rig->log), 8, state, true), FILE_OK);
    producer_state_destroy(state);
    if (_i)
        lose(rig, 8, NO_HISTORY);
    configure(rig, 0, 2);
    ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK);
    ck_assert(is_repeated(write_one(rig, 4, 0, 0), 3));
    ck_assert(is_repeated(write_one(rig, 3, 0, 0), 2));
    ck_assert(is_new(write_one(rig, 2, 0, 9)));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

static void append_raw(struct log_rig *rig, struct batch_view batch)
{
    struct log_append_result result;
    ck_assert_int_eq(append(rig, &batch, 1, &result), LOG_OK);
    ck_assert(is_new(result));
    free(batch.data);
}

static void append_data(struct log_rig *rig, int64_t producer_id, int16_t epoch, int32_t sequence,
                        uint16_t attributes)
{
    struct batch_view batch;
    rig_make_batch(&(struct rig_batch){ .timestamp = 500,
                                        .producer_id = producer_id,
                                        .epoch = epoch,
                                        .sequence = sequence,
                                        .attributes = attributes },
                   &batch);
    append_raw(rig, batch);
}

static void append_marker(struct log_rig *rig, int64_t producer_id, int16_t epoch, int32_t coordinator_epoch)
{
    struct batch_view batch;
    rig_make_marker(&batch, producer_id, epoch, 1, coordinator_epoch);
    append_raw(rig, batch);
}

/* Transactions in the log: read back from it, and written to the next snapshot as Kafka would. */
START_TEST(transactions_are_read)
{
    enum { TRANSACTIONAL = BATCH_ATTRIBUTE_TRANSACTIONAL };
    struct log_rig *rig = log_rig_create(NULL);
    configure(rig, 1000, 3);
    append_data(rig, 1, 0, 0, TRANSACTIONAL); /* 0: open */
    append_data(rig, 1, 0, 1, TRANSACTIONAL);
    append_data(rig, 2, 5, 0, TRANSACTIONAL); /* 2: committed in its own epoch */
    append_marker(rig, 2, 5, 9);
    append_data(rig, 3, 5, 0, TRANSACTIONAL); /* 4: ended with the next epoch */
    append_marker(rig, 3, 6, 10);
    append_data(rig, 2, 5, 1, TRANSACTIONAL); /* 6: the next one */
    append_marker(rig, 4, 7, 11);             /* known by a marker alone; 3 is forgotten for it */
    start_again(rig, starts[_i]);
    clock_virtual_advance(&rig->clock, 500);
    start_again(rig, starts[_i]);
    ck_assert_int_eq(log_rig_close(rig, true, NULL), LOG_OK);
    log_rig_new_log(rig);
    struct producer_entry entry = entry_of(rig, 8, 1);
    ck_assert_int_eq(entry.current_txn_first_offset, 0);
    ck_assert_int_eq(entry.batch_count, 2);
    entry = entry_of(rig, 8, 2);
    ck_assert_int_eq(entry.current_txn_first_offset, 6);
    ck_assert_int_eq(entry.coordinator_epoch, 9);
    ck_assert_int_eq(entry.batch_count, 2);
    entry = entry_of(rig, 8, 4);
    ck_assert_int_eq(entry.epoch, 7);
    ck_assert_int_eq(entry.coordinator_epoch, 11);
    ck_assert_int_eq(entry.timestamp, 777);
    ck_assert_int_eq(entry.batch_count, 0);
    ck_assert_int_eq(entry_of(rig, 8, 3).producer_id,
                     -1); /* 1 and 2 stay while their transactions are open */
    /* Nor are they expired, while 4 is. */
    clock_virtual_advance(&rig->clock, 1000);
    ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK);
    ck_assert(is_repeated(write_one(rig, 1, 0, 0), 0));
    ck_assert(is_new(write_one(rig, 4, 0, 5)));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* Who is known by a marker alone begins its epoch, as in Kafka (its test
 * testOutOfSequenceAfterControlRecordEpochBump). */
START_TEST(after_a_marker)
{
    struct log_rig *rig = log_rig_create(NULL);
    append_data(rig, 1, 0, 0, 0);
    append_data(rig, 1, 0, 1, 0);
    append_marker(rig, 1, 1, 0);
    append_data(rig, 2, 3, 8, 0);
    append_marker(rig, 2, 3, 0);
    start_again(rig, starts[_i]);
    ck_assert_int_eq(write_one(rig, 1, 0, 1).status, LOG_BAD_EPOCH);
    ck_assert_int_eq(write_one(rig, 1, 1, 2).status, LOG_BAD_SEQUENCE);
    ck_assert(is_new(write_one(rig, 1, 1, 0)));
    ck_assert(is_repeated(write_one(rig, 2, 3, 8), 3)); /* a marker of the same epoch leaves the batches */
    ck_assert(is_new(write_one(rig, 2, 3, 9)));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

/* What else may stand in a control batch says nothing of a transaction. */
START_TEST(other_control_batches)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct batch_view batch;
    append_data(rig, 1, 4, 0, BATCH_ATTRIBUTE_TRANSACTIONAL);
    rig_make_marker(&batch, 1, 5, 2, 3);
    append_raw(rig, batch);
    start_again(rig, starts[_i]);
    ck_assert(is_new(write_one(rig, 1, 4, 1)));
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("producer_log");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 100);
    tcase_add_loop_test(tests, silence_makes_forgotten, 0, sizeof silences / sizeof silences[0]);
    tcase_add_test(tests, only_our_clock_counts);
    tcase_add_test(tests, a_clock_that_jumps_back);
    tcase_add_test(tests, expired_producers_leave_the_table);
    tcase_add_loop_test(tests, who_wrote_longest_ago_is_forgotten, 0, START_COUNT);
    tcase_add_test(tests, more_producers_in_a_call_than_the_bound);
    tcase_add_test(tests, a_hundred_thousand_producers);
    tcase_add_test(tests, neighbours_are_not_touched);
    tcase_add_test(tests, nothing_is_written_for_what_is_not_appended);
    tcase_add_test(tests, a_repetition_has_the_time_of_the_original);
    tcase_add_loop_test(tests, what_was_not_written_is_not_remembered, 0, 5);
    tcase_add_test(tests, a_snapshot_at_a_roll);
    tcase_add_loop_test(tests, five_batches_over_restarts, 0, START_COUNT);
    tcase_add_loop_test(tests, the_log_itself_tells, 0, 2 * LOSS_COUNT);
    tcase_add_test(tests, a_snapshot_of_lost_batches_goes);
    tcase_add_test(tests, a_stop_without_an_append_loses_nothing);
    tcase_add_test(tests, snapshots_do_not_pile_up);
    tcase_add_loop_test(tests, the_order_of_kafkas_snapshots_says_nothing, 0, 2);
    tcase_add_loop_test(tests, transactions_are_read, 0, START_COUNT);
    tcase_add_loop_test(tests, after_a_marker, 0, START_COUNT);
    tcase_add_loop_test(tests, other_control_batches, 0, START_COUNT);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
