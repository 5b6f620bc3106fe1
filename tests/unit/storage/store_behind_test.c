/* Write-back behind the tail: which bytes of which logs, when, and that nothing is believed of it. */
#include <check.h>
#include <stdlib.h>

#include "storage/file_double.h"
#include "tests/support/storage_host.h"
#include "tests/support/suite.h"

enum { STEP = 1 << 20, RECORD = 64 << 10, RECORDS = 4, BATCHES_PER_STEP = STEP / (RECORD * RECORDS) };

static struct file_double *disk;
static struct file_system *files;
static struct file_system_ops watched;
static void (*plain_flush_group)(struct file_system *, struct file *const *, size_t, const char *const *, size_t,
                                 enum file_status *);
static struct storage_host host;
static struct store *store;
static struct arena arena;
static const char *directories[] = { "/data", "/more" };
static size_t directory_count;
static const uuid TOPIC = { { 1, 2, 3 } };

/* What was asked of the device, in order. */
static struct range {
    uint64_t position, size, file_size;
} ranges[32];
static size_t range_count;

static void note_range(struct file *file, uint64_t position, uint64_t size)
{
    uint64_t file_bytes = 0;

    ck_assert_uint_lt(range_count, sizeof ranges / sizeof ranges[0]);
    ck_assert_int_eq(file_size(file, &file_bytes), FILE_OK);
    ranges[range_count++] = (struct range){ position, size, file_bytes };
}

static void open_store(uint64_t dirty_bytes_max, uint64_t unflushed_bytes_max)
{
    struct store_options options = { .directories = directories,
                                     .directory_count = directory_count,
                                     .node_id = 1,
                                     .dirty_bytes_max = dirty_bytes_max,
                                     .unflushed_bytes_max = unflushed_bytes_max };
    const char *error = "";

    ck_assert_msg(store_open(&host.env, &options, &store, &error) == STORE_OK, "%s", error);
}

static void set_up(void)
{
    directory_count = 1;
    disk = file_double_create();
    files = file_double_system(disk);
    watched = *files->ops;
    watched.write_behind = note_range;
    files->ops = &watched;
    range_count = 0;
    storage_host_init(&host, files);
    arena_init(&arena, NULL);
    open_store(0, 0);
}

static void tear_down(void)
{
    store_close(store, false);
    storage_host_destroy(&host);
    arena_destroy(&arena);
    file_double_destroy(disk);
}

static struct log *log_of(int32_t partition, int64_t flush_messages, int32_t segment_bytes)
{
    struct log_config config = storage_host_config(segment_bytes);
    struct log *log;

    config.flush_messages = flush_messages;
    log = store_log(store, TOPIC, "t", partition, &config, NULL);
    ck_assert_ptr_nonnull(log);
    return log;
}

/* Little more than a quarter of a step each. */
static enum log_status append(struct log *log)
{
    struct batch_view batch = storage_host_batch(&arena, 1, RECORDS, RECORD);
    struct log_append_result result;

    return storage_host_append(&host, log, &batch, &result);
}

static void append_steps(struct log *log, int count)
{
    for (int i = 0; i < count * BATCHES_PER_STEP; i++)
        ck_assert_int_eq(append(log), LOG_OK);
}

/* What the first append does once: directories, the positions' file. */
static void settle(struct log *log)
{
    ck_assert_int_eq(append(log), LOG_OK);
    storage_host_run(&host);
    storage_host_flush(&host, store);
    range_count = 0;
}

START_TEST(whole_steps_behind_the_tail_are_written_back_and_nothing_more)
{
    struct log *log = log_of(0, INT64_MAX, 64 << 20);
    settle(log);
    uint64_t flushes = file_double_flush_count(disk);
    int64_t durable = log_offsets(log).durable;
    append_steps(log, 3);
    ck_assert(host.flush_wanted);
    storage_host_flush(&host, store);
    ck_assert_uint_eq(range_count, 3);
    for (size_t i = 0; i < range_count; i++) {
        ck_assert_uint_eq(ranges[i].position, i * STEP);
        ck_assert_uint_eq(ranges[i].size, STEP);
        ck_assert_uint_le(ranges[i].position + ranges[i].size, ranges[i].file_size);
    }
    ck_assert_uint_eq(file_double_flush_count(disk), flushes);
    ck_assert_int_eq(log_offsets(log).durable, durable); /* that it was started says nothing */
    ck_assert(!host.flush_wanted);
    append_steps(log, 1);
    storage_host_flush(&host, store);
    ck_assert_uint_eq(range_count, 4);
    ck_assert_uint_eq(ranges[3].position, 3 * STEP);
}
END_TEST

START_TEST(logs_take_turns)
{
    struct log *logs[] = { log_of(0, INT64_MAX, 64 << 20), log_of(1, INT64_MAX, 64 << 20) };
    settle(logs[0]);
    settle(logs[1]);
    for (int i = 0; i < 2; i++)
        append_steps(logs[i], 2);
    storage_host_flush(&host, store);
    static const uint64_t wanted[] = { 0, 0, STEP, STEP };
    ck_assert_uint_eq(range_count, 4);
    for (size_t i = 0; i < range_count; i++)
        ck_assert_uint_eq(ranges[i].position, wanted[i]);
}
END_TEST

START_TEST(durable_logs_are_flushed_as_ever)
{
    struct log *log = log_of(0, 1, 64 << 20);
    settle(log);
    append_steps(log, 3);
    storage_host_flush(&host, store);
    ck_assert_uint_eq(range_count, 0);
    ck_assert_int_eq(log_offsets(log).durable, log_offsets(log).end);
}
END_TEST

START_TEST(what_was_flushed_is_not_asked_for_again)
{
    struct log *log = log_of(0, INT64_MAX, 64 << 20);
    settle(log);
    append_steps(log, 4);
    ck_assert_int_eq(log_flush(log), LOG_OK);
    storage_host_flush(&host, store);
    for (size_t i = 0; i < range_count; i++)
        ck_assert_uint_ge(ranges[i].position, 4 * STEP);
    append_steps(log, 2);
    storage_host_flush(&host, store);
    ck_assert_uint_ge(range_count, 1);
    ck_assert_uint_eq(ranges[0].position, 4 * STEP);
}
END_TEST

START_TEST(a_new_segment_begins_anew)
{
    struct log *log = log_of(0, INT64_MAX, 4 << 20);
    settle(log);
    append_steps(log, 3);
    storage_host_run(&host);
    storage_host_flush(&host, store);
    ck_assert_uint_eq(range_count, 3);
    append_steps(log, 1);
    storage_host_run(&host);
    storage_host_flush(&host, store);
    ck_assert_int_gt(log_offsets(log).durable, RECORDS); /* the sealed one was flushed, and all with it */
    ck_assert_uint_eq(range_count, 3);
    append_steps(log, 1);
    storage_host_flush(&host, store);
    ck_assert_uint_eq(range_count, 4);
    ck_assert_uint_eq(ranges[3].position, 0);
    ck_assert_uint_lt(ranges[3].file_size, 2 * STEP);
}
END_TEST

START_TEST(behind_a_failed_flush_nothing_is_written_back)
{
    struct log *log = log_of(0, INT64_MAX, 64 << 20);
    settle(log);
    append_steps(log, 2);
    file_double_fail_flush(disk, 1);
    ck_assert_int_eq(log_flush(log), LOG_IO);
    storage_host_flush(&host, store);
    ck_assert_uint_eq(range_count, 0);
    ck_assert_uint_eq(host.failed_count, 1);
    ck_assert_uint_eq(file_double_late_flush_count(disk), 0);
}
END_TEST

START_TEST(a_deleted_log_is_left_out_and_the_others_come)
{
    struct log *logs[] = { log_of(0, INT64_MAX, 64 << 20), log_of(1, INT64_MAX, 64 << 20),
                           log_of(2, INT64_MAX, 64 << 20) };
    struct log *gone = logs[_i];
    for (int i = 0; i < 3; i++)
        settle(logs[i]);
    for (int i = 0; i < 3; i++)
        append_steps(logs[i], 1);
    ck_assert_int_eq(store_delete_logs(store, &gone, 1), LOG_OK);
    store_free_log(gone);
    storage_host_run(&host);
    storage_host_flush(&host, store);
    ck_assert_uint_eq(range_count, 2);
    for (int i = 0; i < 3; i++) {
        if (logs[i] != gone)
            append_steps(logs[i], 1);
    }
    storage_host_flush(&host, store);
    ck_assert_uint_eq(range_count, 4);
}
END_TEST

/* The bound is on what is not written back: what steps were started for is out of it, and a flush does not count
 * it once more. */
START_TEST(steps_make_room_below_the_bound)
{
    store_close(store, false);
    open_store(4 * STEP, 0);
    struct log *log = log_of(0, INT64_MAX, 64 << 20);
    settle(log);
    int64_t durable = log_offsets(log).durable;
    append_steps(log, 5);
    ck_assert(store_is_saturated(store));
    storage_host_flush(&host, store);
    ck_assert(!store_is_saturated(store));
    for (int i = 0; i < 6; i++) {
        append_steps(log, 3);
        ck_assert(!store_is_saturated(store));
        storage_host_flush(&host, store);
    }
    ck_assert_int_eq(log_offsets(log).durable, durable);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(log_flush(log), LOG_OK);
        append_steps(log, 3);
        ck_assert(!store_is_saturated(store));
        range_count = 0;
        storage_host_flush(&host, store);
    }
    append_steps(log, 5);
    ck_assert(store_is_saturated(store));
    ck_assert_int_eq(log_flush(log), LOG_OK);
    ck_assert(!store_is_saturated(store));
}
END_TEST

/* Where there is no whole step to do, a flush it is. */
START_TEST(pressure_of_many_small_tails_is_flushed)
{
    struct log *logs[6];
    store_close(store, false);
    open_store(4 * STEP, 0);
    for (int i = 0; i < 6; i++) {
        logs[i] = log_of(i, INT64_MAX, 64 << 20);
        settle(logs[i]);
        ck_assert_int_eq(append(logs[i]), LOG_OK);
        ck_assert_int_eq(append(logs[i]), LOG_OK);
    }
    storage_host_flush(&host, store);
    ck_assert_uint_eq(range_count, 0);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(log_offsets(logs[i]).durable, log_offsets(logs[i]).end);
}
END_TEST

/* A recovery reads what was never flushed, so that has a bound as well. */
START_TEST(much_that_was_never_flushed_is)
{
    store_close(store, false);
    open_store(0, 5 * STEP);
    struct log *logs[] = { log_of(0, INT64_MAX, 64 << 20), log_of(1, INT64_MAX, 64 << 20) };
    settle(logs[0]);
    settle(logs[1]);
    int64_t durable = log_offsets(logs[0]).durable;
    for (int i = 0; i < 2; i++) {
        append_steps(logs[i], 4);
        storage_host_flush(&host, store);
        ck_assert_int_eq(log_offsets(logs[i]).durable, durable);
    }
    append_steps(logs[1], 1);
    storage_host_flush(&host, store);
    ck_assert_int_eq(log_offsets(logs[1]).durable, log_offsets(logs[1]).end);
    ck_assert_int_eq(log_offsets(logs[0]).durable, durable);
}
END_TEST

/* ... and who is quiet is flushed in time; who is not is not, and without steps nothing is due. */
START_TEST(quiet_logs_are_flushed)
{
    struct log *logs[] = { log_of(0, INT64_MAX, 64 << 20), log_of(1, INT64_MAX, 64 << 20),
                           log_of(2, INT64_MAX, 64 << 20) };
    for (int i = 0; i < 3; i++)
        settle(logs[i]);
    int64_t durable = log_offsets(logs[0]).durable;
    ck_assert_int_eq(append(logs[2]), LOG_OK);
    ck_assert_int_eq(store_flush_due_ms(store), INT64_MAX);
    append_steps(logs[0], 2);
    append_steps(logs[1], 2);
    storage_host_flush(&host, store);
    for (int i = 0; i < 3; i++) {
        clock_virtual_advance(&host.clock, 2000);
        append_steps(logs[1], 1);
        (void)store_flush(store);
        storage_host_flush(&host, store);
    }
    ck_assert_int_eq(log_offsets(logs[0]).durable, log_offsets(logs[0]).end);
    ck_assert_int_eq(log_offsets(logs[1]).durable, durable);
    clock_virtual_advance(&host.clock, 6000);
    (void)store_flush(store);
    ck_assert_int_eq(log_offsets(logs[1]).durable, log_offsets(logs[1]).end);
    ck_assert_int_eq(log_offsets(logs[2]).durable, durable);
    ck_assert_int_eq(store_flush_due_ms(store), INT64_MAX);
}
END_TEST

static void count_down(struct log *log, int64_t *left)
{
    if (log_offsets(log).durable == log_offsets(log).end)
        (*left)--;
}

/* One directory has steps to do, and its device takes its time; the tails in the other are flushed meanwhile. */
START_TEST(pressure_of_one_directory_is_no_matter_of_anothers_steps)
{
    struct log *logs[12];
    int64_t left = 6;
    store_close(store, false);
    directory_count = 2;
    open_store(4 * STEP, 0);
    for (int i = 0; i < 12; i++) {
        logs[i] = log_of(i, INT64_MAX, 64 << 20);
        settle(logs[i]);
    }
    append_steps(logs[0], 8);
    for (int i = 1; i < 12; i += 2) { /* logs take turns in directories */
        ck_assert_int_eq(append(logs[i]), LOG_OK);
        ck_assert_int_eq(append(logs[i]), LOG_OK);
    }
    ck_assert(store_is_saturated(store));
    (void)store_flush(store);
    (void)store_flush(store);
    ck_assert(log_offsets(logs[0]).durable < log_offsets(logs[0]).end);
    for (int i = 1; i < 12; i += 2)
        count_down(logs[i], &left);
    ck_assert_int_eq(left, 0);
    storage_host_flush(&host, store);
    ck_assert(!store_is_saturated(store));
}
END_TEST

enum { SWITCHED = 20 };

static struct log *switched[SWITCHED];
static int64_t switched_to;

/* Other settings come, and the next append, while the group that has the appends before them is flushed. */
static void switch_meanwhile(struct file_system *system, struct file *const *flushed, size_t file_count,
                             const char *const *paths, size_t path_count, enum file_status *statuses)
{
    struct log_config config = storage_host_config(64 << 20);

    config.flush_messages = switched_to;
    watched.flush_group = NULL;
    for (int i = 0; i < SWITCHED; i++) {
        log_set_config(switched[i], &config);
        ck_assert_int_eq(append(switched[i]), LOG_OK);
    }
    watched.flush_group = plain_flush_group;
    plain_flush_group(system, flushed, file_count, paths, path_count, statuses);
}

/* What is unflushed at the moment counts as the log is from then on: what waits for nobody would count among what
 * is flushed at once, and nobody would flush it. */
START_TEST(another_mode_is_that_of_what_is_unflushed_too)
{
    static const int64_t modes[][2] = { { 1, INT64_MAX }, { INT64_MAX, 1 } };
    store_close(store, false);
    open_store(4 * STEP, 0);
    for (int i = 0; i < SWITCHED; i++) {
        switched[i] = log_of(i, modes[_i][0], 64 << 20);
        settle(switched[i]);
    }
    for (int i = 0; i < SWITCHED; i++)
        ck_assert_int_eq(append(switched[i]), LOG_OK);
    switched_to = modes[_i][1];
    plain_flush_group = watched.flush_group;
    watched.flush_group = switch_meanwhile;
    (void)store_flush(store);
    ck_assert(store_is_saturated(store));
    storage_host_flush(&host, store);
    ck_assert(!store_is_saturated(store));
    for (int i = 0; i < SWITCHED; i++)
        ck_assert_int_eq(log_flush(switched[i]), LOG_OK);
    /* Nothing is left in either count. */
    for (int i = 0; i < SWITCHED; i++) {
        struct log_config config = storage_host_config(64 << 20);
        config.flush_messages = modes[_i][0];
        log_set_config(switched[i], &config);
    }
    for (int i = 0; i < 15; i++)
        ck_assert_int_eq(append(switched[i]), LOG_OK);
    ck_assert(!store_is_saturated(store));
}
END_TEST

/* Nobody will ever flush what a failed directory holds, so nobody waits for it. */
START_TEST(a_failed_directory_is_not_waited_for)
{
    store_close(store, false);
    directory_count = 2;
    open_store(4 * STEP, 0);
    struct log *log = log_of(0, INT64_MAX, 64 << 20);
    settle(log);
    append_steps(log, 5);
    ck_assert(store_is_saturated(store));
    file_double_fail_flush(disk, 1);
    ck_assert_int_eq(log_flush(log), LOG_IO);
    storage_host_flush(&host, store);
    ck_assert(!store_is_saturated(store));
}
END_TEST

static struct log *unwanted;

static void delete_it(struct file *file, uint64_t position, uint64_t size)
{
    note_range(file, position, size);
    ck_assert_int_eq(store_delete_logs(store, &unwanted, 1), LOG_OK);
    store_free_log(unwanted);
}

/* The device takes its time for a step, and one follows the other: others have their turn in between, be it
 * that the log itself is deleted. */
START_TEST(nobody_waits_for_a_step)
{
    unwanted = log_of(0, INT64_MAX, 64 << 20);
    settle(unwanted);
    append_steps(unwanted, 3);
    watched.write_behind = delete_it;
    storage_host_flush(&host, store);
    ck_assert_uint_eq(range_count, 1);
    storage_host_run(&host);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_behind");
    TCase *tcase = tcase_create("store_behind");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, whole_steps_behind_the_tail_are_written_back_and_nothing_more);
    tcase_add_test(tcase, logs_take_turns);
    tcase_add_test(tcase, durable_logs_are_flushed_as_ever);
    tcase_add_test(tcase, what_was_flushed_is_not_asked_for_again);
    tcase_add_test(tcase, a_new_segment_begins_anew);
    tcase_add_test(tcase, behind_a_failed_flush_nothing_is_written_back);
    tcase_add_loop_test(tcase, a_deleted_log_is_left_out_and_the_others_come, 0, 3);
    tcase_add_test(tcase, steps_make_room_below_the_bound);
    tcase_add_test(tcase, pressure_of_many_small_tails_is_flushed);
    tcase_add_test(tcase, much_that_was_never_flushed_is);
    tcase_add_test(tcase, quiet_logs_are_flushed);
    tcase_add_test(tcase, pressure_of_one_directory_is_no_matter_of_anothers_steps);
    tcase_add_loop_test(tcase, another_mode_is_that_of_what_is_unflushed_too, 0, 2);
    tcase_add_test(tcase, a_failed_directory_is_not_waited_for);
    tcase_add_test(tcase, nobody_waits_for_a_step);
    suite_add_tcase(suite, tcase);
    return suite_run(suite) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
