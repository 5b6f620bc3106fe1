/* An unclean stop costs the recovery of what was written since the last clean one: the table's rows and the
 * marks. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/file_double.h"
#include "storage/side_file.h"
#include "storage/store_internal.h"
#include "tests/support/storage_host.h"
#include "tests/support/suite.h"

enum { LOGS = 4, CUTS_PER_OPERATION = 3 };

static struct file_double *disk;
static struct storage_host host;
static struct store *store;
static struct arena arena;
static const uuid TOPIC = { { 1, 2, 3 } };
static const uuid OTHER = { { 9, 9, 9 } };

static void use_disk(struct file_double *used)
{
    disk = used;
    storage_host_init(&host, file_double_system(disk));
    arena_init(&arena, NULL);
    store = NULL;
}

static void leave_disk(void)
{
    if (store)
        store_close(store, false);
    storage_host_destroy(&host);
    arena_destroy(&arena);
}

static void set_up(void)
{
    use_disk(file_double_create());
}

static void tear_down(void)
{
    leave_disk();
    file_double_destroy(disk);
}

static void open_store(void)
{
    static const char *directories[] = { "/data" };
    const struct store_options options = { .directories = directories, .directory_count = 1, .node_id = 1 };
    const char *error = "";

    ck_assert_msg(store_open(&host.env, &options, &store, &error) == STORE_OK, "%s", error);
}

static void recover(void)
{
    const char *error = "";

    retire_sleep(host.env.retire, host.member);
    ck_assert_msg(store_recover(store, 1, &error) == STORE_OK, "%s", error);
    retire_wake(host.env.retire, host.member);
    storage_host_run(&host);
}

static void stop(bool clean)
{
    storage_host_run(&host);
    ck_assert_int_eq(store_close(store, clean), STORE_OK);
    store = NULL;
    host.flush_wanted = false;
    storage_host_run(&host);
}

static struct log *log_of(uuid id, int32_t partition)
{
    struct log_config config = storage_host_config(4096);
    struct log *log = store_log(store, id, "t", partition, &config, NULL);

    ck_assert_ptr_nonnull(log);
    return log;
}

static enum log_status append(struct log *log)
{
    struct batch_view batch = storage_host_batch(&arena, 7, 3, 100);
    struct log_append_result result;

    return storage_host_append(&host, log, &batch, &result);
}

static void append_ok(struct log *log, int count)
{
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(append(log), LOG_OK);
    storage_host_flush(&host, store);
}

/* Four logs of 15 records and a clean stop; then a start. */
static void begin(void)
{
    open_store();
    recover();
    for (int i = 0; i < LOGS; i++)
        append_ok(log_of(TOPIC, i), 5);
    stop(true);
    open_store();
    for (int i = 0; i < LOGS; i++)
        log_of(TOPIC, i);
    recover();
}

/* As a kill leaves it, and a start. */
static void kill_and_start(void)
{
    stop(false);
    open_store();
    for (int i = 0; i < LOGS; i++)
        log_of(TOPIC, i);
    recover();
}

static int open_count(void)
{
    int count = 0;

    for (int i = 0; i < LOGS; i++)
        count += log_stats(log_of(TOPIC, i)).is_open;
    return count;
}

START_TEST(what_was_not_written_is_not_opened)
{
    begin();
    append_ok(log_of(TOPIC, 1), 2);
    kill_and_start();
    ck_assert(!store_was_clean(store));
    ck_assert_int_eq(open_count(), 1);
    for (int i = 0; i < LOGS; i++)
        ck_assert_int_eq(log_offsets(log_of(TOPIC, i)).end, i == 1 ? 21 : 15);
    append_ok(log_of(TOPIC, 2), 1); /* goes on with the same marks */
    kill_and_start();
    ck_assert_int_eq(open_count(), 2);
    ck_assert_int_eq(log_offsets(log_of(TOPIC, 2)).end, 18);
    append_ok(log_of(TOPIC, 3), 1);
    stop(true);
    open_store();
    ck_assert(store_was_clean(store));
    ck_assert_int_eq(log_offsets(log_of(TOPIC, 3)).end, 18);
}
END_TEST

static void flip(const char *path, uint64_t position)
{
    ck_assert(file_double_flip_bit(disk, path, position, 3));
}

START_TEST(marks_that_are_not_whole_mark_all)
{
    begin();
    append_ok(log_of(TOPIC, 1), 1);
    stop(false);
    flip("/data/written.runnel", (uint64_t)_i);
    open_store();
    for (int i = 0; i < LOGS; i++)
        log_of(TOPIC, i);
    recover();
    ck_assert_int_eq(open_count(), LOGS);
    ck_assert_int_eq(log_offsets(log_of(TOPIC, 1)).end, 18);
    append_ok(log_of(TOPIC, 0), 1); /* without a mark, so none may be believed from now on */
    kill_and_start();
    ck_assert_int_eq(open_count(), LOGS);
    ck_assert_int_eq(log_offsets(log_of(TOPIC, 0)).end, 18);
}
END_TEST

START_TEST(lost_marks_mark_all)
{
    begin();
    append_ok(log_of(TOPIC, 1), 1);
    stop(false);
    ck_assert_int_eq(file_unlink(host.env.files, "/data/written.runnel"), FILE_OK);
    open_store();
    for (int i = 0; i < LOGS; i++)
        log_of(TOPIC, i);
    recover();
    ck_assert_int_eq(open_count(), LOGS);
    ck_assert_int_eq(log_offsets(log_of(TOPIC, 1)).end, 18);
}
END_TEST

/* The control of them all: without its mark a log would be taken for what it was. */
START_TEST(a_mark_that_was_never_written_would_hide_records)
{
    uint8_t *bytes;
    size_t size;

    begin();
    append_ok(log_of(TOPIC, 1), 1);
    stop(false);
    ck_assert_int_eq(file_read_all(host.env.files, "/data/written.runnel", 1 << 20, &bytes, &size), FILE_OK);
    ck_assert_uint_gt(size, SIDE_MARKS_HEADER_SIZE);
    ck_assert_int_eq(
        file_replace(host.env.files, "/data/written.runnel", slice_of(bytes, SIDE_MARKS_HEADER_SIZE)),
        FILE_OK);
    free(bytes);
    open_store();
    for (int i = 0; i < LOGS; i++)
        log_of(TOPIC, i);
    recover();
    ck_assert_int_eq(log_offsets(log_of(TOPIC, 1)).end, 15);
    ck_assert_int_eq(log_open(log_of(TOPIC, 1)), LOG_OK); /* then it shows */
    ck_assert_int_eq(log_offsets(log_of(TOPIC, 1)).end, 18);
}
END_TEST

START_TEST(a_name_that_another_topic_got_is_not_taken_for_the_first)
{
    begin();
    struct log *old = log_of(TOPIC, 0);
    ck_assert_int_eq(store_delete_logs(store, &old, 1), LOG_OK);
    store_free_log(old);
    storage_host_run(&host);
    append_ok(log_of(OTHER, 0), 2);
    stop(false);
    open_store();
    struct log *new = log_of(OTHER, 0);
    for (int i = 1; i < LOGS; i++)
        log_of(TOPIC, i);
    recover();
    ck_assert_int_eq(log_offsets(new).end, 6);
    ck_assert_int_eq(log_stats(log_of(TOPIC, 1)).is_open, false);
}
END_TEST

/* Kafka's recovery points have names alone: after our clean stop they say 15 of the one that had the name. */
START_TEST(what_was_durable_of_a_predecessor_is_not_missed_of_its_successor)
{
    struct log_range range;

    begin();
    struct log *old = log_of(TOPIC, 0);
    ck_assert_int_eq(store_delete_logs(store, &old, 1), LOG_OK);
    store_free_log(old);
    storage_host_run(&host);
    for (int i = 0; i < _i; i++) /* never flushed: a kill loses nothing of it */
        ck_assert_int_eq(append(log_of(OTHER, 0)), LOG_OK);
    stop(false);
    open_store();
    struct log *new = log_of(OTHER, 0);
    for (int i = 1; i < LOGS; i++)
        log_of(TOPIC, i);
    recover();
    ck_assert_int_eq(log_offsets(new).end, 3 * _i);
    for (int64_t offset = 0; offset < 3 * _i; offset = range.next_offset)
        ck_assert_int_eq(log_read(new, offset, 3 * _i, 1 << 20, true, false, &arena, &range), LOG_OK);
}
END_TEST

/* The first change of all is a deletion, and fails half way: the next topic of that name makes up for it. */
START_TEST(a_name_that_could_not_be_marked_is_by_its_next_topic)
{
    begin();
    file_double_fail_unlink(disk, 1, FILE_LIMIT); /* the clean-stop marker */
    struct log *old = log_of(TOPIC, 0);
    ck_assert_int_eq(store_delete_logs(store, &old, 1), LOG_OK);
    ck_assert(!atomic_load(&store->directories[0].has_changes));
    store_free_log(old);
    storage_host_run(&host);
    append_ok(log_of(OTHER, 0), 2);
    stop(false);
    open_store();
    struct log *new = log_of(OTHER, 0);
    for (int i = 1; i < LOGS; i++)
        log_of(TOPIC, i);
    recover();
    ck_assert_int_eq(log_offsets(new).end, 6);
}
END_TEST

/* Its directory stays until the next start: nobody gets the records of a topic that is no more. */
START_TEST(a_name_that_could_not_be_taken_away)
{
    open_store();
    recover();
    struct log *old = log_of(TOPIC, 0);
    append_ok(old, 5);
    file_double_fail_rename(disk, 1, FILE_LIMIT);
    ck_assert_int_eq(store_delete_logs(store, &old, 1), LOG_LIMIT);
    store_free_log(old);
    storage_host_run(&host);
    ck_assert_int_eq(append(log_of(OTHER, 0)), LOG_IO);
    ck_assert_int_eq(log_offsets(log_of(OTHER, 0)).end, 0);
    ck_assert_uint_eq(host.failed_count, 0);
    stop(false);
    open_store();
    struct log *new = log_of(OTHER, 0);
    recover();
    append_ok(new, 1);
    ck_assert_int_eq(log_offsets(new).end, 3);
}
END_TEST

START_TEST(a_name_whose_directory_was_taken_away_is_marked_as_well)
{
    begin();
    stop(true);
    for (int i = 0; i < 2; i++) { /* an operator's hand: the directory of the third log is gone */
        open_store();
        stop(true);
    }
    ck_assert_int_eq(
        file_rename(host.env.files, "/data/t-3", "/data/t-3.0123456789abcdef0123456789abcdef-stray"),
        FILE_OK);
    open_store();
    for (int i = 0; i < 3; i++)
        log_of(TOPIC, i);
    struct log *new = log_of(OTHER, 3);
    recover();
    append_ok(new, 1);
    stop(false);
    open_store();
    for (int i = 0; i < 3; i++)
        log_of(TOPIC, i);
    new = log_of(OTHER, 3);
    recover();
    ck_assert_int_eq(log_offsets(new).end, 3);
    ck_assert(!log_stats(log_of(TOPIC, 0)).is_open);
}
END_TEST

START_TEST(a_full_disk_gives_the_table_up)
{
    begin();
    append_ok(log_of(TOPIC, 1), 1); /* the first change of all needs more than a mark */
    file_double_set_free_space(disk, 0);
    ck_assert_int_eq(append(log_of(TOPIC, 0)), LOG_DISK_FULL);
    file_double_set_free_space(disk, UINT64_MAX);
    append_ok(log_of(TOPIC, 0), 1);
    kill_and_start();
    ck_assert_int_eq(open_count(), LOGS);
    ck_assert_int_eq(log_offsets(log_of(TOPIC, 0)).end, 18);
}
END_TEST

START_TEST(a_table_that_cannot_be_given_up_at_once_is_later)
{
    begin();
    append_ok(log_of(TOPIC, 1), 1);
    file_double_set_free_space(disk, 0);
    file_double_fail_unlink(disk, 1, FILE_FULL); /* as where names are copied on write */
    ck_assert_int_eq(append(log_of(TOPIC, 0)), LOG_DISK_FULL);
    file_double_set_free_space(disk, UINT64_MAX);
    append_ok(log_of(TOPIC, 0), 1);
    kill_and_start();
    ck_assert_int_eq(log_offsets(log_of(TOPIC, 0)).end, 18);
}
END_TEST

static bool is_there(const char *path)
{
    struct file_info info;

    return file_info(host.env.files, path, &info) == FILE_OK;
}

/* Who deletes logs has the group lock when he waits for a sweep to end. */
START_TEST(a_sweep_waits_for_no_group)
{
    begin();
    append_ok(log_of(TOPIC, 1), 2);
    kill_and_start();
    struct log *log = log_of(TOPIC, 1);
    ck_assert(log_stats(log).is_open);
    atomic_store(&store->directories[0].starts_stale, true); /* a topic was deleted a moment ago */
    pthread_mutex_lock(&store->group_lock);
    ck_assert(log__close_files(log));
    pthread_mutex_unlock(&store->group_lock);
    ck_assert(atomic_load(&store->directories[0].has_changes)); /* and it wrote */
    ck_assert(!is_there("/data/.kafka_cleanshutdown"));
}
END_TEST

/* Appends with rolls, DeleteRecords and retention, a deletion and its name anew. */
static void run_script(int64_t acknowledged[LOGS + 1], uint64_t after[LOGS + 1], uint64_t *deleted)
{
    int64_t start;

    for (int i = 0; i < 2; i++) {
        append_ok(log_of(TOPIC, i), 30);
        acknowledged[i] = log_offsets(log_of(TOPIC, i)).end;
        after[i] = file_double_operation_count(disk);
    }
    ck_assert_int_eq(log_delete_records(log_of(TOPIC, 0), 80, &start), LOG_OK);
    ck_assert_int_eq(store_save_starts(store), STORE_OK);
    store_retain(store, 1, NULL, NULL);
    storage_host_run(&host);
    *deleted = file_double_operation_count(disk);
    struct log *old = log_of(TOPIC, 2);
    ck_assert_int_eq(store_delete_logs(store, &old, 1), LOG_OK);
    store_free_log(old);
    storage_host_run(&host);
    append_ok(log_of(OTHER, 2), 2);
    acknowledged[LOGS] = 6;
    after[LOGS] = file_double_operation_count(disk);
}

/* Reads all of a log: its end is what its files have, opened or not. */
static void check_log(struct log *log, int64_t least, const char *what, uint64_t at)
{
    int64_t end = log_offsets(log).end;
    struct log_range range;

    ck_assert_msg(end >= least, "%s, cut after %llu: end %lld, acknowledged %lld", what,
                  (unsigned long long)at, (long long)end, (long long)least);
    ck_assert_int_eq(log_open(log), LOG_OK);
    ck_assert_msg(log_offsets(log).end >= end, "%s, cut after %llu: end %lld, opened %lld", what,
                  (unsigned long long)at, (long long)end, (long long)log_offsets(log).end);
    for (int64_t offset = log_offsets(log).start; offset < least; offset = range.next_offset)
        ck_assert_int_eq(log_read(log, offset, least, 1 << 20, true, false, &arena, &range), LOG_OK);
}

START_TEST(no_acknowledged_record_is_hidden_by_a_row)
{
    int64_t acknowledged[LOGS + 1] = { 15, 15, 15, 15, 0 };
    uint64_t after[LOGS + 1], deleted;
    struct random random;
    int believed = 0;

    begin();
    struct file_double *recorded = disk;
    uint64_t first = file_double_operation_count(disk);
    run_script(acknowledged, after, &deleted);
    uint64_t last = file_double_operation_count(disk);
    stop(false);
    leave_disk();
    for (uint64_t at = first; at <= last; at++) {
        for (int i = 0; i < CUTS_PER_OPERATION; i++) {
            random_seed(&random, at * CUTS_PER_OPERATION + (uint64_t)i);
            use_disk(file_double_after_cut(recorded, at, (enum file_double_cut)i, &random));
            open_store();
            for (int k = 0; k < LOGS; k++)
                log_of(k == 2 && at >= after[LOGS] ? OTHER : TOPIC, k);
            recover();
            believed += !store_was_clean(store) && !log_stats(log_of(TOPIC, 3)).is_open;
            for (int k = 0; k < 2; k++)
                check_log(log_of(TOPIC, k), at >= after[k] ? acknowledged[k] : 15, "written", at);
            check_log(log_of(TOPIC, 3), 15, "untouched", at);
            if (at <= deleted)
                check_log(log_of(TOPIC, 2), 15, "to be deleted", at);
            else if (at >= after[LOGS])
                check_log(log_of(OTHER, 2), acknowledged[LOGS], "of the second of that name", at);
            struct file_double *cut = disk;
            leave_disk();
            file_double_destroy(cut);
        }
    }
    ck_assert_int_gt(believed, (int)(last - first));
    use_disk(recorded);
}
END_TEST

enum { MANY = 20 }; /* enough for one flush of all at the stop */

static void write_many(void)
{
    open_store();
    recover();
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(append(log_of(TOPIC, i)), LOG_OK);
        ck_assert_int_eq(append(log_of(TOPIC, i)), LOG_OK);
    }
    storage_host_flush(&host, store);
}

START_TEST(a_power_cut_in_a_stop_of_many_logs)
{
    struct random random;
    int clean = 0;

    write_many();
    struct file_double *recorded = disk;
    uint64_t first = file_double_operation_count(disk);
    stop(true);
    uint64_t last = file_double_operation_count(disk);
    leave_disk();
    for (uint64_t at = first; at <= last; at++) {
        for (int i = 0; i < CUTS_PER_OPERATION; i += 2) { /* KEEP_ALL is no cut */
            random_seed(&random, at);
            use_disk(file_double_after_cut(recorded, at, (enum file_double_cut)i, &random));
            open_store();
            for (int k = 0; k < MANY; k++)
                log_of(TOPIC, k);
            recover();
            clean += store_was_clean(store);
            for (int k = 0; k < MANY; k++)
                check_log(log_of(TOPIC, k), 6, store_was_clean(store) ? "stopped" : "cut", at);
            if (store_was_clean(store)) { /* what Kafka needs of a clean stop is on the device */
                struct file_info info;
                for (int k = 0; k < MANY; k++) {
                    char path[64];
                    snprintf(path, sizeof path, "/data/t-%d/00000000000000000006.snapshot", k);
                    ck_assert_int_eq(file_info(host.env.files, path, &info), FILE_OK);
                    ck_assert_uint_gt(info.size, 0);
                    snprintf(path, sizeof path, "/data/t-%d/00000000000000000000.timeindex", k);
                    ck_assert_int_eq(file_info(host.env.files, path, &info), FILE_OK);
                    ck_assert_uint_eq(info.size, 12);
                }
            }
            struct file_double *cut = disk;
            leave_disk();
            file_double_destroy(cut);
        }
    }
    ck_assert_int_gt(clean, 0);
    use_disk(recorded);
}
END_TEST

START_TEST(a_stop_whose_flush_fails_is_not_clean)
{
    for (uint64_t nth = 1;; nth++) {
        write_many();
        file_double_fail_flush(disk, nth);
        storage_host_run(&host);
        enum store_status status = store_close(store, true);
        store = NULL;
        file_double_fail_flush(disk, 0);
        storage_host_run(&host);
        bool is_over = status == STORE_OK;
        ck_assert_int_eq(file_double_late_flush_count(disk), 0);
        open_store();
        ck_assert(store_was_clean(store) ||
                  !is_over); /* the name of the marker may be the last one to fail */
        for (int k = 0; k < MANY; k++)
            log_of(TOPIC, k);
        recover();
        for (int k = 0; k < MANY; k++)
            ck_assert_int_eq(log_offsets(log_of(TOPIC, k)).end, 6);
        leave_disk();
        file_double_destroy(disk);
        use_disk(file_double_create());
        if (is_over)
            break;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_marks");
    TCase *test_case = tcase_create("store_marks");

    tcase_add_checked_fixture(test_case, set_up, tear_down);
    tcase_set_timeout(test_case, 120);
    tcase_add_test(test_case, what_was_not_written_is_not_opened);
    tcase_add_loop_test(test_case, marks_that_are_not_whole_mark_all, 0, SIDE_MARKS_HEADER_SIZE + 9);
    tcase_add_test(test_case, lost_marks_mark_all);
    tcase_add_test(test_case, a_mark_that_was_never_written_would_hide_records);
    tcase_add_test(test_case, a_name_that_another_topic_got_is_not_taken_for_the_first);
    tcase_add_loop_test(test_case, what_was_durable_of_a_predecessor_is_not_missed_of_its_successor, 1, 8);
    tcase_add_test(test_case, a_name_that_could_not_be_marked_is_by_its_next_topic);
    tcase_add_test(test_case, a_name_that_could_not_be_taken_away);
    tcase_add_test(test_case, a_table_that_cannot_be_given_up_at_once_is_later);
    tcase_add_test(test_case, a_sweep_waits_for_no_group);
    tcase_add_test(test_case, a_name_whose_directory_was_taken_away_is_marked_as_well);
    tcase_add_test(test_case, a_full_disk_gives_the_table_up);
    tcase_add_test(test_case, no_acknowledged_record_is_hidden_by_a_row);
    tcase_add_test(test_case, a_power_cut_in_a_stop_of_many_logs);
    tcase_add_test(test_case, a_stop_whose_flush_fails_is_not_clean);
    suite_add_tcase(suite, test_case);
    return suite_run(suite) == 0 ? 0 : 1;
}
