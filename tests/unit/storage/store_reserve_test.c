/* A store whose disk is full: records are refused, commits and whatever gives room back go on, and service
 * returns by itself. */
#include <check.h>
#include <stdlib.h>

#include "storage/directory.h"
#include "storage/file_double.h"
#include "storage/store_internal.h"
#include "tests/support/storage_host.h"

enum {
    SEGMENT_BYTES = 256 << 10,
    VALUE_SIZE = 60000,
    FILLER_BATCHES = 200,
    SECOND_MS = 1000,
    MEGABYTE = 1 << 20
};

static struct file_double *disk;
static struct file_system *files;
static struct storage_host host;
static struct store *store;
static struct arena arena;
static struct log *metadata, *offsets, *records, *filler;
static const char *directories[] = { "/data" };
static const uuid TOPICS[] = { { { 1 } }, { { 2 } }, { { 3 } }, { { 4 } } };

static struct log *log_of(int number, const char *topic, enum log_rank rank)
{
    struct log_config config = storage_host_config(SEGMENT_BYTES);

    config.file_delete_delay_ms = 60000;
    config.rank = rank;
    struct log *log = store_log(store, TOPICS[number], topic, 0, &config, NULL);
    ck_assert_ptr_nonnull(log);
    return log;
}

static void open_store(void)
{
    const struct store_options options = { .directories = directories, .directory_count = 1, .node_id = 1 };
    struct log_config config = storage_host_config(SEGMENT_BYTES);
    const char *error = "";

    config.rank = RANK_REMOVAL;
    ck_assert_msg(store_open(&host.env, &options, &store, &error) == STORE_OK, "%s", error);
    enum log_status status = store_metadata_log(store, &config, &metadata);
    ck_assert(status == LOG_OK || status == LOG_NOT_FOUND);
    offsets = log_of(0, "offsets", RANK_COMMITS);
    records = log_of(1, "t", RANK_RECORDS);
    filler = log_of(2, "filler", RANK_RECORDS);
    retire_sleep(host.env.retire, host.member);
    ck_assert_msg(store_recover(store, 1, &error) == STORE_OK, "%s", error);
    retire_wake(host.env.retire, host.member);
}

/* Lets everybody have his turn: the flusher, the workers. */
static void settle(void)
{
    for (int i = 0; i < 8; i++) {
        (void)store_flush(store);
        storage_host_run(&host);
    }
}

static enum log_status append_sized(struct log *log, size_t size)
{
    static uint64_t seed;
    struct batch_view batch = storage_host_batch(&arena, seed++, 1, size);
    struct log_append_result result;
    enum log_status status = storage_host_append(&host, log, &batch, &result);

    arena_reset(&arena);
    return status;
}

static enum log_status append(struct log *log)
{
    return append_sized(log, 500);
}

static void fill_log(void)
{
    for (int i = 0; i < FILLER_BATCHES; i++)
        ck_assert_int_eq(append_sized(filler, VALUE_SIZE), LOG_OK);
}

/* Everything is there, and the disk has plenty of room. */
static void set_up(void)
{
    disk = file_double_create();
    files = file_double_system(disk);
    storage_host_init(&host, files);
    arena_init(&arena, NULL);
    file_double_set_free_space(disk, 64 << 20);
    open_store();
    ck_assert_int_eq(append(metadata), LOG_OK);
    ck_assert_int_eq(append(offsets), LOG_OK);
    ck_assert_int_eq(append(records), LOG_OK);
    fill_log();
    settle();
}

static void tear_down(void)
{
    if (store)
        store_close(store, false);
    storage_host_destroy(&host);
    arena_destroy(&arena);
    file_double_destroy(disk);
}

static unsigned shortage(void)
{
    return store__shortage(&store->directories[0]);
}

static int64_t reserve_size(void)
{
    struct file_info info;

    return file_info(files, "/data/" RESERVE_NAME, &info) == FILE_OK ? (int64_t)info.size : -1;
}

static void fill_disk(void)
{
    file_double_set_free_space(disk, 0);
}

/* The clock goes on, and everybody has his turn. */
static void advance(int64_t ms)
{
    clock_virtual_advance(&host.clock, ms);
    settle();
}

static void expect_service(void)
{
    ck_assert_int_eq(shortage(), SHORTAGE_NONE);
    ck_assert_int_eq(reserve_size(), RESERVE_SIZE);
    ck_assert_int_eq(append(records), LOG_OK);
    ck_assert(!store_is_short_of_room(store));
    settle();
    ck_assert_uint_eq(host.failed_count, 0);
}

/* Half of it is in use: what every test of a full disk begins with. */
static void become_short(void)
{
    fill_disk();
    ck_assert_int_eq(append(records), LOG_DISK_FULL);
    ck_assert_int_eq(shortage(), SHORTAGE_NONE); /* records give nothing up */
    ck_assert_int_eq(append(offsets), LOG_OK);
    ck_assert_int_eq(shortage(), SHORTAGE_OF_RECORDS);
    ck_assert(store_is_short_of_room(store));
}

START_TEST(it_is_made_with_the_first_change_on_a_worker)
{
    ck_assert_int_eq(reserve_size(), RESERVE_SIZE);
    ck_assert_int_eq(store_flush_due_ms(store), INT64_MAX); /* nobody is woken for it */
}
END_TEST

START_TEST(an_unused_directory_has_none)
{
    ck_assert_int_eq(store_close(store, true), STORE_OK);
    directories[0] = "/other";
    open_store();
    settle();
    struct file_info info;
    ck_assert_int_eq(file_info(files, "/other/" RESERVE_NAME, &info), FILE_NOT_FOUND);
    ck_assert_int_eq(store_flush_due_ms(store), INT64_MAX);
}
END_TEST

START_TEST(records_are_refused_without_a_write)
{
    become_short();
    file_double_set_free_space(disk, RESERVE_SIZE); /* somebody gave up a little */
    uint64_t operations = file_double_operation_count(disk);
    ck_assert_int_eq(append(records), LOG_DISK_FULL);
    ck_assert_int_eq(append(log_of(3, "new", RANK_RECORDS)), LOG_DISK_FULL);
    ck_assert_uint_eq(file_double_operation_count(disk), operations);
    ck_assert_int_eq(append(offsets), LOG_OK);
    ck_assert_int_eq(append(metadata), LOG_OK);
}
END_TEST

/* Commits have a half, metadata and deletions the rest: the disk of someone who commits a lot can still be
 * cleared. */
START_TEST(commits_leave_room_for_deletions)
{
    enum log_status status = LOG_OK;
    int count = 0;
    become_short();
    while ((status = append_sized(offsets, VALUE_SIZE)) == LOG_OK)
        count++;
    ck_assert_int_eq(status, LOG_DISK_FULL);
    ck_assert_int_ge(count, RESERVE_HALF_SIZE / VALUE_SIZE - 3);
    ck_assert_int_eq(shortage(), SHORTAGE_OF_RECORDS);
    while ((status = append_sized(metadata, VALUE_SIZE)) == LOG_OK)
        count++;
    ck_assert_int_eq(status, LOG_DISK_FULL);
    ck_assert_int_eq(shortage(), SHORTAGE_OF_COMMITS);
    ck_assert_int_ge(count, RESERVE_SIZE / VALUE_SIZE - 6);
    ck_assert_int_eq(append(offsets), LOG_DISK_FULL);
    ck_assert_int_eq(log_health(metadata), LOG_OK); /* nothing is fenced */
    ck_assert_uint_eq(host.failed_count, 0);
    file_double_set_free_space(disk, RESERVE_ROOM_MIN + MEGABYTE);
    advance(SECOND_MS);
    expect_service();
}
END_TEST

START_TEST(a_deleted_topic_gives_the_room_back)
{
    become_short();
    ck_assert_int_eq(append(metadata), LOG_OK); /* the record that says so */
    ck_assert_int_eq(store_delete_logs(store, &filler, 1), LOG_OK);
    struct log *gone = filler;
    filler = NULL;
    settle();
    store_free_log(gone);
    ck_assert_uint_ge(file_free_space(files, "/data"), RESERVE_ROOM_MIN);
    advance(SECOND_MS);
    expect_service();
}
END_TEST

START_TEST(deleted_records_give_the_room_back_at_once)
{
    int64_t start;
    struct log_retained gone;
    become_short();
    ck_assert_int_eq(log_delete_records(filler, log_offsets(filler).end, &start), LOG_OK);
    ck_assert_int_eq(store_save_starts(store), STORE_OK);
    ck_assert_int_eq(log_retain(filler, clock_wall_ms(host.env.clock), &gone), LOG_OK);
    ck_assert_uint_gt(gone.segment_count, 30);
    settle();
    advance(SECOND_MS); /* not the minute of file.delete.delay.ms */
    advance(SECOND_MS);
    advance(SECOND_MS);
    expect_service();
    ck_assert_int_eq(log_offsets(filler).start, start);
}
END_TEST

/* The control of the one before: with room there is, the delay holds. */
START_TEST(the_delay_of_unlinking_holds_otherwise)
{
    int64_t start;
    struct log_retained gone;
    uint64_t before = file_free_space(files, "/data");
    ck_assert_int_eq(log_delete_records(filler, log_offsets(filler).end, &start), LOG_OK);
    ck_assert_int_eq(log_retain(filler, clock_wall_ms(host.env.clock), &gone), LOG_OK);
    for (int i = 0; i < 5; i++)
        advance(SECOND_MS);
    ck_assert_uint_lt(file_free_space(files, "/data"), before + gone.size);
    advance(60 * SECOND_MS);
    ck_assert_uint_ge(file_free_space(files, "/data"), before + gone.size / 2);
}
END_TEST

START_TEST(retention_gives_the_room_back)
{
    struct log_config config = storage_host_config(SEGMENT_BYTES);
    become_short();
    config.cleanup = LOG_CLEANUP_DELETE;
    config.retention_bytes = 1 << 20;
    config.retention_ms = -1;
    log_set_config(filler, &config);
    ck_assert(store_retain(store, clock_wall_ms(host.env.clock), NULL, NULL));
    for (int i = 0; i < 3; i++)
        advance(SECOND_MS);
    expect_service();
}
END_TEST

/* What is over age is rolled first, which takes a new segment's files. */
START_TEST(retention_of_all_there_is_rolls_on_a_full_disk)
{
    struct log_config config = storage_host_config(SEGMENT_BYTES);
    become_short();
    config.cleanup = LOG_CLEANUP_DELETE;
    config.retention_bytes = -1;
    config.retention_ms = 1;
    log_set_config(filler, &config);
    clock_virtual_advance(&host.clock, 1000000);
    ck_assert(store_retain(store, clock_wall_ms(host.env.clock), NULL, NULL));
    ck_assert_int_eq(log_offsets(filler).start, log_offsets(filler).end);
}
END_TEST

START_TEST(service_returns_with_hysteresis)
{
    become_short();
    file_double_set_free_space(disk, RESERVE_ROOM_MIN - 1);
    for (int i = 0; i < 5; i++) {
        advance(SECOND_MS);
        ck_assert_int_eq(append(records), LOG_DISK_FULL);
        ck_assert_int_lt(store_flush_due_ms(store), INT64_MAX); /* looked at once a second */
    }
    file_double_set_free_space(disk, RESERVE_ROOM_MIN);
    advance(SECOND_MS / 2);
    ck_assert_int_eq(append(records), LOG_DISK_FULL);
    advance(SECOND_MS);
    expect_service();
}
END_TEST

START_TEST(a_clean_stop_on_a_full_disk_is_clean)
{
    fill_disk();
    ck_assert_int_eq(append(records), LOG_DISK_FULL);
    settle();
    host.flush_wanted = false;
    ck_assert_int_eq(store_close(store, true), STORE_OK);
    open_store();
    ck_assert(store_was_clean(store));
    ck_assert_int_eq(shortage(), SHORTAGE_OF_COMMITS);
    ck_assert_int_eq(log_offsets(records).end, 1);
    ck_assert_int_eq(log_offsets(filler).end, FILLER_BATCHES);
    settle();
    ck_assert_int_eq(append(records), LOG_DISK_FULL);
    ck_assert_int_eq(append(metadata), LOG_OK);
    file_double_set_free_space(disk, RESERVE_ROOM_MIN + RESERVE_SIZE);
    advance(SECOND_MS);
    expect_service();
}
END_TEST

/* The control: without what is kept the same stop is not clean. */
START_TEST(without_a_reserve_it_is_not)
{
    ck_assert_int_eq(file_unlink(files, "/data/" RESERVE_NAME), FILE_OK);
    fill_disk();
    ck_assert_int_eq(append(records), LOG_DISK_FULL);
    ck_assert_int_ne(store_close(store, true), STORE_OK);
    store = NULL;
}
END_TEST

START_TEST(it_is_whole_again_after_the_stop_when_there_is_room)
{
    fill_disk();
    ck_assert_int_eq(append(records), LOG_DISK_FULL);
    file_double_set_free_space(disk, 64 << 20);
    ck_assert_int_eq(store_close(store, true), STORE_OK);
    ck_assert_int_eq(reserve_size(), RESERVE_SIZE);
    open_store();
    ck_assert_int_eq(shortage(), SHORTAGE_NONE);
}
END_TEST

/* Or else a disk with a little room would serve until the next stop, and no more. */
START_TEST(a_stop_on_a_disk_that_is_nearly_full_takes_nothing_from_the_next_start)
{
    file_double_set_free_space(disk, RESERVE_SIZE / 2);
    ck_assert_int_eq(append(records), LOG_OK);
    settle();
    for (int i = 0; i < 2; i++) { /* the second time nothing has changed */
        ck_assert_int_eq(store_close(store, true), STORE_OK);
        ck_assert_int_eq(reserve_size(), RESERVE_SIZE);
        open_store();
        ck_assert_int_eq(shortage(), SHORTAGE_NONE);
    }
    ck_assert_int_eq(append(records), LOG_OK);
}
END_TEST

START_TEST(a_kill_while_it_is_given_up)
{
    become_short();
    settle();
    int64_t committed = log_offsets(offsets).durable;
    ck_assert_int_eq(store_close(store, false), STORE_OK);
    open_store();
    ck_assert_int_eq(shortage(), SHORTAGE_OF_RECORDS);
    ck_assert_int_ge(log_offsets(offsets).end, committed);
    settle();
    ck_assert_int_eq(append(records), LOG_DISK_FULL);
    ck_assert_int_eq(append(offsets), LOG_OK);
    ck_assert_int_eq(store_delete_logs(store, &filler, 1), LOG_OK);
    struct log *gone = filler;
    filler = NULL;
    settle();
    store_free_log(gone);
    advance(SECOND_MS);
    expect_service();
}
END_TEST

static bool has_identity(void)
{
    struct file_info info;

    return file_info(files, "/data/t-0/partition.metadata", &info) == FILE_OK && info.size > 0;
}

/* A kill between a partition's directory and its id, which the next start writes: with room of the reserve,
 * and without any. */
START_TEST(a_start_finds_no_room_for_an_id)
{
    ck_assert_int_eq(store_close(store, false), STORE_OK);
    ck_assert_int_eq(file_unlink(files, "/data/t-0/partition.metadata"), FILE_OK);
    if (_i == 1)
        ck_assert_int_eq(file_unlink(files, "/data/" RESERVE_NAME), FILE_OK);
    fill_disk();
    open_store();
    ck_assert_int_eq(log_offsets(records).end, 1);
    ck_assert_int_eq(has_identity(), _i == 0);
    file_double_set_free_space(disk, 64 << 20);
    settle();
    advance(SECOND_MS);
    ck_assert_int_eq(append(records), LOG_OK);
    settle();
    ck_assert_int_eq(store_close(store, false), STORE_OK);
    open_store();
    ck_assert_int_eq(log_offsets(records).end, 2);
    ck_assert(has_identity());
}
END_TEST

START_TEST(a_disk_that_never_had_room_for_it)
{
    ck_assert_int_eq(store_close(store, false), STORE_OK);
    ck_assert_int_eq(file_unlink(files, "/data/" RESERVE_NAME), FILE_OK);
    file_double_set_free_space(disk, MEGABYTE);
    open_store();
    ck_assert_int_eq(append(records), LOG_OK);
    advance(SECOND_MS);
    ck_assert_int_eq(reserve_size(), -1);
    ck_assert_int_eq(append(records), LOG_OK);
    fill_disk();
    ck_assert_int_eq(append(offsets), LOG_DISK_FULL); /* as without it */
    ck_assert_int_eq(shortage(), SHORTAGE_NONE);
    file_double_set_free_space(disk, RESERVE_ROOM_MIN + MEGABYTE);
    ck_assert_int_eq(append(records), LOG_OK); /* at once */
    settle();
    advance(60 * SECOND_MS); /* it is looked at once a minute */
    expect_service();
}
END_TEST

/* The device fails while it is given up: that is no full disk any more. */
START_TEST(a_device_that_fails_is_fenced)
{
    settle();
    fill_disk();
    file_double_fail_flush(disk, 1);
    ck_assert_int_ne(append(metadata), LOG_OK);
    (void)store_flush(store);
    ck_assert_uint_eq(host.failed_count, 1);
    ck_assert_int_eq(append(records), LOG_IO);
    advance(SECOND_MS);
    ck_assert_uint_eq(file_double_late_flush_count(disk), 0);
    ck_assert_int_eq(store_flush_due_ms(store), INT64_MAX); /* nobody looks for room any more */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_reserve");
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, it_is_made_with_the_first_change_on_a_worker);
    tcase_add_test(tests, an_unused_directory_has_none);
    tcase_add_test(tests, records_are_refused_without_a_write);
    tcase_add_test(tests, commits_leave_room_for_deletions);
    tcase_add_test(tests, a_deleted_topic_gives_the_room_back);
    tcase_add_test(tests, deleted_records_give_the_room_back_at_once);
    tcase_add_test(tests, the_delay_of_unlinking_holds_otherwise);
    tcase_add_test(tests, retention_gives_the_room_back);
    tcase_add_test(tests, retention_of_all_there_is_rolls_on_a_full_disk);
    tcase_add_test(tests, service_returns_with_hysteresis);
    tcase_add_test(tests, a_clean_stop_on_a_full_disk_is_clean);
    tcase_add_test(tests, without_a_reserve_it_is_not);
    tcase_add_test(tests, it_is_whole_again_after_the_stop_when_there_is_room);
    tcase_add_test(tests, a_stop_on_a_disk_that_is_nearly_full_takes_nothing_from_the_next_start);
    tcase_add_test(tests, a_kill_while_it_is_given_up);
    tcase_add_loop_test(tests, a_start_finds_no_room_for_an_id, 0, 2);
    tcase_add_test(tests, a_disk_that_never_had_room_for_it);
    tcase_add_test(tests, a_device_that_fails_is_fenced);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
