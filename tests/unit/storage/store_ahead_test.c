/* Blocks ahead of the tail: for which logs, how far, and that they are given back. */
#include <check.h>
#include <stdlib.h>

#include "storage/file_double.h"
#include "storage/log_internal.h"
#include "storage/store_internal.h"
#include "tests/support/storage_host.h"
#include "tests/support/suite.h"

enum { MIB = 1 << 20, RECORD = 64 << 10, RECORDS = 4, BATCHES_PER_MIB = MIB / (RECORD * RECORDS) };
#define ROOM (UINT64_C(4) << 30)

static struct file_double *disk;
static struct file_system *files;
static struct file_system_ops watched;
static const struct file_system_ops *real_ops;
static struct storage_host host;
static struct store *store;
static struct arena arena;
static const char *directories[] = { "/data" };
static const uuid TOPIC = { { 1, 2, 3 } };

static uint64_t appended, settled; /* bytes of batches; of the disk, before the first of them that counts */
static enum file_status answer;    /* to who asks for blocks */
static unsigned asked, given;      /* how often */
static uint64_t asked_end;         /* of the last time */

static void (*meanwhile)(void); /* while blocks are looked for the first time */
static struct log *meant;       /* by it */

static enum file_status watch_allocate(struct file *file, uint64_t position, uint64_t size)
{
    asked++;
    asked_end = position + size;
    if (asked == 1 && meanwhile)
        meanwhile();
    return answer == FILE_OK ? real_ops->allocate_ahead(file, position, size) : answer;
}

static enum file_status watch_give(struct file *file)
{
    given++;
    return real_ops->give_ahead(file);
}

static void open_store(void)
{
    struct store_options options = { .directories = directories, .directory_count = 1, .node_id = 1 };
    const char *error = "";

    ck_assert_msg(store_open(&host.env, &options, &store, &error) == STORE_OK, "%s", error);
}

static void set_up(void)
{
    disk = file_double_create();
    files = file_double_system(disk);
    real_ops = files->ops;
    watched = *files->ops;
    watched.allocate_ahead = watch_allocate;
    watched.give_ahead = watch_give;
    files->ops = &watched;
    answer = FILE_OK;
    asked = given = 0;
    meanwhile = NULL;
    file_double_set_free_space(disk, ROOM);
    storage_host_init(&host, files);
    arena_init(&arena, NULL);
    open_store();
}

static void tear_down(void)
{
    if (store)
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

static enum log_status append(struct log *log)
{
    struct batch_view batch = storage_host_batch(&arena, 1, RECORDS, RECORD);
    struct log_append_result result;
    enum log_status status = storage_host_append(&host, log, &batch, &result);

    appended += status == LOG_OK ? batch.size : 0;
    arena_reset(&arena);
    return status;
}

static void pass(int64_t ms)
{
    clock_virtual_advance(&host.clock, ms);
    storage_host_run(&host);
    if (store_flush_due_ms(store) <= clock_mono_ms(host.env.clock))
        host.flush_wanted = true;
    storage_host_flush(&host, store);
}

static uint64_t used(void)
{
    return ROOM - files->ops->free_space(files, "/data");
}

/* Bytes of the disk that are in no file. What else was written is small. */
static uint64_t ahead(void)
{
    return (used() - settled - appended) / (MIB / 4) * (MIB / 4);
}

/* The first append makes files, and the reserve. */
static void settle(struct log *log)
{
    ck_assert_int_eq(append(log), LOG_OK);
    for (int i = 0; i < 4; i++)
        pass(10);
    appended = 0;
    settled = used();
}

/* So many MiB, and the time that it takes at a rate. */
static void grow(struct log *log, int mib, int mib_per_s)
{
    for (int i = 0; i < mib; i++) {
        for (int j = 0; j < BATCHES_PER_MIB; j++)
            ck_assert_int_eq(append(log), LOG_OK);
        pass(1000 / mib_per_s);
    }
}

START_TEST(a_fast_log_has_blocks_ahead_until_it_is_quiet)
{
    struct log *log = log_of(0, INT64_MAX, 64 * MIB);
    settle(log);
    grow(log, 12, 16);
    ck_assert_uint_gt(asked, 0);
    ck_assert_uint_ge(ahead(), 4 * MIB);
    ck_assert_uint_le(ahead(), 16 * MIB);
    ck_assert_uint_eq(given, 0);
    ck_assert(store_flush_due_ms(store) < INT64_MAX);
    pass(2100);
    pass(1000);
    ck_assert_uint_eq(ahead(), 0);
    ck_assert_uint_eq(given, 1);
    uint64_t before = asked;
    grow(log, 12, 16);
    ck_assert_uint_gt(asked, before);
}
END_TEST

START_TEST(it_is_asked_for_in_steps_not_with_each_append)
{
    struct log *log = log_of(0, INT64_MAX, 128 * MIB);
    settle(log);
    grow(log, 40, 16);
    ck_assert_uint_ge(asked, 2);
    ck_assert_uint_le(asked, 12);
}
END_TEST

START_TEST(slow_logs_and_durable_ones_get_none)
{
    struct log *log = log_of(0, _i ? 1 : INT64_MAX, 64 * MIB);
    settle(log);
    for (int i = 0; i < 12 * BATCHES_PER_MIB; i++) {
        ck_assert_int_eq(append(log), LOG_OK);
        pass(_i ? 10 : 500);
    }
    ck_assert_uint_eq(asked, 0);
    ck_assert_uint_eq(ahead(), 0);
}
END_TEST

enum { FLUSH_MESSAGES = 400 };

static void append_meanwhile(void)
{
    for (int i = 0; i < FLUSH_MESSAGES / RECORDS; i++)
        ck_assert_int_eq(append(meant), LOG_OK);
}

/* Who reaches flush.messages while a step of the same log is under way is flushed now, not when the log is quiet. */
START_TEST(a_flush_asked_for_meanwhile_is_not_put_off)
{
    struct log *log = log_of(0, FLUSH_MESSAGES, 256 * MIB);
    settle(log);
    meant = log;
    meanwhile = _i ? append_meanwhile : NULL;
    grow(log, 12, 16);
    ck_assert_uint_gt(asked, 0);
    if (_i)
        ck_assert_int_ge(log_offsets(log).durable, FLUSH_MESSAGES);
    else
        ck_assert_int_le(log_offsets(log).durable, RECORDS);
}
END_TEST

static bool is_closed;

static void close_meanwhile(void)
{
    ck_assert_int_eq(log_flush(meant), LOG_OK);
    is_closed = log__close_files(meant);
}

/* Opened again it would have another tail than the one behind which blocks are given back. */
START_TEST(a_log_whose_blocks_are_looked_for_is_not_closed)
{
    struct log *log = log_of(0, INT64_MAX, 64 * MIB);
    settle(log);
    meant = log;
    meanwhile = close_meanwhile;
    grow(log, 12, 16);
    ck_assert_uint_gt(asked, 0);
    ck_assert(!is_closed);
    pass(2100);
    pass(1000);
    ck_assert_int_eq(log_flush(log), LOG_OK);
    ck_assert(log__close_files(log));
}
END_TEST

START_TEST(no_segment_gets_more_than_its_bytes_and_a_sealed_one_keeps_none)
{
    struct log *log = log_of(0, INT64_MAX, 8 * MIB + 12345);
    settle(log);
    for (int i = 0; i < 30; i++) {
        grow(log, 1, 16);
        ck_assert_uint_le(asked_end, 8 * MIB + 12345);
        ck_assert_uint_le(ahead(), 8 * MIB);
    }
    ck_assert_uint_ge(asked, 3);
    ck_assert_uint_ge(given, 3);
    pass(2100);
    pass(1000);
    ck_assert_uint_eq(ahead(), 0);
}
END_TEST

START_TEST(who_is_refused_appends_as_ever_and_asks_later)
{
    static const enum file_status refusals[] = { FILE_FULL, FILE_LIMIT, FILE_IO, FILE_DENIED };
    struct log *log = log_of(0, INT64_MAX, 64 * MIB);
    settle(log);
    answer = refusals[_i];
    grow(log, 16, 16);
    ck_assert_uint_eq(asked, 1);
    ck_assert(!store_is_short_of_room(store));
    ck_assert_uint_eq(host.failed_count, 0);
    answer = FILE_OK;
    pass(61000);
    grow(log, 16, 16);
    if (refusals[_i] == FILE_DENIED)
        ck_assert_uint_eq(asked, 1);
    else
        ck_assert_uint_gt(asked, 1);
}
END_TEST

START_TEST(an_append_gets_the_blocks_of_others_before_anything_is_refused)
{
    struct log *fast = log_of(0, INT64_MAX, 64 * MIB), *other = log_of(1, INT64_MAX, 64 * MIB);
    settle(other);
    settle(fast);
    grow(fast, 12, 16);
    ck_assert_uint_ge(ahead(), 4 * MIB);
    file_double_set_free_space(disk, 0);
    ck_assert_int_eq(append(other), LOG_OK);
    ck_assert(!store_is_short_of_room(store));
    ck_assert_uint_eq(given, 1);
    ck_assert_int_eq(append(fast), LOG_OK);
    ck_assert(!store_is_short_of_room(store));
    unsigned before = asked;
    grow(fast, 2, 16);
    ck_assert_uint_eq(asked, before); /* there is no room for it */
}
END_TEST

START_TEST(a_disk_that_becomes_full_gets_them_back)
{
    struct log *log = log_of(0, INT64_MAX, 64 * MIB);
    settle(log);
    grow(log, 12, 16);
    uint64_t had = ahead();
    file_double_set_free_space(disk, LOG_AHEAD_ROOM_MIN / 4);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(append(log), LOG_OK);
        pass(500); /* not quiet */
    }
    ck_assert_uint_ge(given, 1);
    ck_assert_uint_ge(files->ops->free_space(files, "/data") + 2 * MIB, LOG_AHEAD_ROOM_MIN / 4 + had);
    unsigned before = asked;
    grow(log, 12, 16);
    ck_assert_uint_eq(asked, before);
}
END_TEST

/* 0: a clean stop; 1: a kill, and a recovery. */
START_TEST(no_stop_leaves_any)
{
    const char *error = "";
    struct log *log = log_of(0, INT64_MAX, 64 * MIB);
    settle(log);
    grow(log, 12, 16);
    ck_assert_uint_ge(ahead(), 4 * MIB);
    store_close(store, _i == 0);
    store = NULL;
    if (_i == 0) {
        ck_assert_uint_eq(ahead(), 0);
        return;
    }
    ck_assert_uint_ge(ahead(), 4 * MIB);
    storage_host_run(&host);
    open_store();
    log = log_of(0, INT64_MAX, 64 * MIB);
    retire_sleep(host.env.retire, host.member);
    ck_assert_msg(store_recover(store, 1, &error) == STORE_OK, "%s", error);
    retire_wake(host.env.retire, host.member);
    ck_assert_uint_eq(ahead(), 0);
    ck_assert_int_eq(append(log), LOG_OK);
}
END_TEST

START_TEST(a_deleted_log_gives_back_and_the_others_keep_theirs)
{
    struct log *logs[] = { log_of(0, INT64_MAX, 64 * MIB), log_of(1, INT64_MAX, 64 * MIB) };
    settle(logs[0]);
    settle(logs[1]);
    for (int i = 0; i < 12; i++) {
        grow(logs[0], 1, 32);
        grow(logs[1], 1, 32);
    }
    uint64_t had = ahead();
    ck_assert_int_eq(store_delete_logs(store, &logs[_i], 1), LOG_OK);
    store_free_log(logs[_i]);
    ck_assert_uint_eq(given, 1);
    ck_assert_uint_lt(ahead(), had);
    pass(2100);
    pass(1000);
    ck_assert_uint_eq(given, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_ahead");
    TCase *tcase = tcase_create("store_ahead");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_fast_log_has_blocks_ahead_until_it_is_quiet);
    tcase_add_test(tcase, it_is_asked_for_in_steps_not_with_each_append);
    tcase_add_loop_test(tcase, slow_logs_and_durable_ones_get_none, 0, 2);
    tcase_add_loop_test(tcase, a_flush_asked_for_meanwhile_is_not_put_off, 0, 2);
    tcase_add_test(tcase, a_log_whose_blocks_are_looked_for_is_not_closed);
    tcase_add_test(tcase, no_segment_gets_more_than_its_bytes_and_a_sealed_one_keeps_none);
    tcase_add_loop_test(tcase, who_is_refused_appends_as_ever_and_asks_later, 0, 4);
    tcase_add_test(tcase, an_append_gets_the_blocks_of_others_before_anything_is_refused);
    tcase_add_test(tcase, a_disk_that_becomes_full_gets_them_back);
    tcase_add_loop_test(tcase, no_stop_leaves_any, 0, 2);
    tcase_add_loop_test(tcase, a_deleted_log_gives_back_and_the_others_keep_theirs, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite_run(suite) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
