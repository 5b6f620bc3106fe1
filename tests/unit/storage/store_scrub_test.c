/* Passes of the scrubber over a store: order, rate, restarts, and logs that come and go meanwhile. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/file_double.h"
#include "storage/scrub_file.h"
#include "storage/scrubber.h"
#include "storage/store_internal.h"
#include "tests/support/storage_host.h"

enum { LOGS_MAX = 600, SEGMENT_SIZE = 4000, DAY_MS = 86400000 };

static struct file_double *disk;
static struct storage_host host;
static struct store *store;
static struct arena arena;
static struct log *logs[LOGS_MAX];
static const char *directories[] = { "/data" };
static const struct store_options options = { .directories = directories,
                                              .directory_count = 1,
                                              .node_id = 1 };

static void open_store(int count)
{
    struct log_config config = storage_host_config(SEGMENT_SIZE);
    const char *error = "";
    char name[16];
    storage_host_init(&host, file_double_system(disk));
    ck_assert_msg(store_open(&host.env, &options, &store, &error) == STORE_OK, "%s", error);
    for (int i = 0; i < count; i++) {
        /* Neither the order of their making nor of their names is that of their ids. */
        uuid id = { { (uint8_t)(i * 37), (uint8_t)(i >> 8), 1 } };
        snprintf(name, sizeof name, "t%d", i);
        logs[i] = check_memory(store_log(store, id, name, 0, &config, NULL));
    }
    retire_sleep(host.env.retire, host.member);
    ck_assert_msg(store_recover(store, 1, &error) == STORE_OK, "%s", error);
    retire_wake(host.env.retire, host.member);
    storage_host_run(&host);
}

static void close_store(bool clean)
{
    storage_host_run(&host);
    ck_assert_int_eq(store_close(store, clean), STORE_OK);
    storage_host_destroy(&host);
}

static void set_up(void)
{
    disk = file_double_create();
    arena_init(&arena, NULL);
}

static void tear_down(void)
{
    file_double_destroy(disk);
    arena_destroy(&arena);
}

static void append(int i, int batches)
{
    struct log_append_result result;
    for (int k = 0; k < batches; k++) {
        struct batch_view batch = storage_host_batch(&arena, (uint64_t)k, 3, 100);
        ck_assert_int_eq(storage_host_append(&host, logs[i], &batch, &result), LOG_OK);
        storage_host_run(&host);
    }
    storage_host_flush(&host, store);
    storage_host_run(&host);
    arena_reset(&arena);
}

static int64_t slice_once(void)
{
    int64_t wait_ms = store_scrub(store, clock_wall_ms(host.env.clock), NULL, NULL);
    storage_host_run(&host);
    return wait_ms;
}

/* Slices, with the waits between them, until nothing is due; how long that took. */
static int64_t finish_pass(void)
{
    int64_t took_ms = 0;
    for (;;) {
        int64_t wait_ms = slice_once();
        if (wait_ms >= SCRUB_IDLE_MS)
            return took_ms;
        clock_virtual_advance(&host.clock, wait_ms);
        took_ms += wait_ms;
    }
}

static void flip(int i, int64_t base, uint64_t position)
{
    char path[64];
    snprintf(path, sizeof path, "/data/t%d-0/%020" PRId64 ".log", i, base);
    ck_assert_msg(file_double_flip_bit(disk, path, position, 2), "%s", path);
}

static unsigned quarantined(int i)
{
    return log_stats(logs[i]).quarantined_count;
}

static uint64_t total_size(int count)
{
    uint64_t size = 0;
    for (int i = 0; i < count; i++)
        size += log_stats(logs[i]).size;
    return size;
}

static bool read_file(struct scrub_file *out)
{
    uint8_t *bytes;
    size_t size;
    if (file_read_all(host.env.files, "/data/" SCRUB_FILE_NAME, SCRUB_FILE_SIZE, &bytes, &size) != FILE_OK)
        return false;
    bool ok = scrub_file_decode(slice_of(bytes, size), out);
    free(bytes);
    return ok;
}

/* --- passes --------------------------------------------------------------------------------------- */

START_TEST(a_pass_a_week)
{
    enum { COUNT = 20 };
    struct scrub_file file;
    open_store(COUNT);
    for (int i = 0; i < COUNT; i++)
        append(i, i);
    int64_t began_ms = clock_wall_ms(host.env.clock);
    finish_pass();
    ck_assert(read_file(&file));
    ck_assert(file.is_finished);
    ck_assert_int_eq(file.started_ms, began_ms);
    ck_assert_uint_eq(file.size, total_size(COUNT));
    flip(7, 0, 100);
    flip(19, 0, 200);
    for (int hours = 1; hours < 7 * 24; hours++) { /* an hour's sleep at a time, for nothing */
        ck_assert_int_gt(slice_once(), 0);
        clock_virtual_advance(&host.clock, SCRUB_IDLE_MS);
    }
    ck_assert_uint_eq(quarantined(7), 0);
    clock_virtual_advance(&host.clock, SCRUB_IDLE_MS);
    finish_pass();
    ck_assert_uint_eq(quarantined(7), 1);
    ck_assert_uint_eq(quarantined(19), 1);
    ck_assert(read_file(&file));
    ck_assert_uint_eq(file.quarantined_count, 2);
    clock_virtual_advance(&host.clock, 8 * (int64_t)DAY_MS);
    finish_pass();
    ck_assert(read_file(&file));
    ck_assert_uint_eq(file.quarantined_count, 0); /* what is known is not told anew */
    close_store(true);
}
END_TEST

/* More logs than are held at a time; each is verified once. */
START_TEST(many_logs)
{
    struct scrub_file file;
    open_store(LOGS_MAX);
    for (int i = 0; i < LOGS_MAX; i++)
        append(i, 1);
    finish_pass();
    ck_assert(read_file(&file));
    ck_assert_uint_eq(file.size, total_size(LOGS_MAX));
    close_store(true);
}
END_TEST

START_TEST(at_least_a_mebibyte_a_second)
{
    open_store(1);
    append(0, 9000);
    double size = (double)total_size(1) + SCRUB_LOG_COST;
    double rate = size * 1000 / (double)finish_pass();
    ck_assert_double_ge(rate, (double)SCRUB_RATE_MIN * 0.95);
    ck_assert_double_le(rate, (double)SCRUB_RATE_MIN * 1.8); /* nobody waits behind the last slice */
    close_store(true);
}
END_TEST

/* --- restarts ------------------------------------------------------------------------------------- */

static const bool stops[] = { true, false };

START_TEST(a_pass_goes_on_after_a_restart)
{
    enum { COUNT = 3, BATCHES = 5000 };
    struct scrub_file file;
    int restarts = 0;
    open_store(COUNT);
    for (int i = 0; i < COUNT; i++)
        append(i, BATCHES);
    uint64_t size = total_size(COUNT);
    int64_t began_ms = clock_wall_ms(host.env.clock);
    flip(0, 0, 100);
    flip(2, 0, 100);
    while (slice_once() < SCRUB_IDLE_MS) {
        ck_assert_int_lt(++restarts, 20);
        clock_virtual_advance(&host.clock, SCRUB_SAVE_MS); /* so that a kill finds it written */
        slice_once();
        int64_t now_ms = clock_wall_ms(host.env.clock);
        close_store(stops[_i]);
        open_store(COUNT);
        clock_virtual_advance(&host.clock, now_ms + DAY_MS / 4 - clock_wall_ms(host.env.clock));
    }
    ck_assert(read_file(&file));
    ck_assert(file.is_finished);
    ck_assert_int_eq(file.started_ms, began_ms);
    ck_assert_int_ge(restarts, 3);
    /* Each restart begins its segment anew, no more. */
    ck_assert_uint_ge(file.size, size - COUNT * SEGMENT_SIZE);
    ck_assert_uint_le(file.size,
                      size + (uint64_t)restarts * (SCRUB_SLICE_SIZE + SEGMENT_SIZE) * (stops[_i] ? 0 : 1) +
                          (uint64_t)restarts * SEGMENT_SIZE);
    ck_assert_uint_eq(file.quarantined_count, 2);
    close_store(true);
}
END_TEST

START_TEST(the_file_may_be_missing_or_damaged)
{
    static const char path[] = "/data/" SCRUB_FILE_NAME;
    struct scrub_file file;
    for (uint64_t position = 0; position <= SCRUB_FILE_SIZE; position++) {
        open_store(2);
        if (position == 0) {
            append(0, 10);
            append(1, 10);
        }
        finish_pass();
        int64_t now_ms = clock_wall_ms(host.env.clock);
        ck_assert(read_file(&file));
        close_store(true);
        if (position == SCRUB_FILE_SIZE)
            ck_assert_int_eq(file_unlink(file_double_system(disk), path), FILE_OK);
        else
            ck_assert(file_double_flip_bit(disk, path, position, 5));
        open_store(2);
        clock_virtual_advance(&host.clock, now_ms + 1000 - clock_wall_ms(host.env.clock));
        finish_pass(); /* anew, at once */
        ck_assert(read_file(&file));
        ck_assert_int_gt(file.started_ms, now_ms);
        close_store(true);
    }
}
END_TEST

START_TEST(a_clock_that_is_set_back)
{
    struct scrub_file file;
    open_store(1);
    append(0, 3);
    clock_virtual_advance(&host.clock, 100 * (int64_t)DAY_MS);
    finish_pass();
    close_store(true);
    open_store(1); /* the clock of the host begins anew, 100 days earlier */
    ck_assert_int_eq(slice_once(), SCRUB_IDLE_MS);
    clock_virtual_advance(&host.clock, 7 * (int64_t)DAY_MS);
    finish_pass();
    ck_assert(read_file(&file));
    ck_assert_int_le(file.started_ms, clock_wall_ms(host.env.clock));
    close_store(true);
}
END_TEST

/* Nobody asked for it, nothing was changed: the directory is as it was. */
START_TEST(nothing_is_written_before_the_first_slice)
{
    struct scrub_file file;
    open_store(2);
    append(0, 3);
    close_store(true);
    open_store(2);
    ck_assert(!read_file(&file));
    close_store(true);
}
END_TEST

/* --- logs that come and go ------------------------------------------------------------------------ */

START_TEST(logs_are_deleted_and_made_during_a_pass)
{
    enum { COUNT = 8 };
    struct log_config config = storage_host_config(SEGMENT_SIZE);
    open_store(COUNT);
    for (int i = 0; i < COUNT; i++)
        append(i, 800);
    for (int i = 0; i < 2 * COUNT; i++) {
        int64_t wait_ms = slice_once();
        ck_assert_int_le(wait_ms, SCRUB_IDLE_MS);
        if (i >= COUNT)
            continue;
        ck_assert_int_eq(store_delete_logs(store, &logs[i], 1), LOG_OK);
        retire(host.env.retire, logs[i], store_free_log);
        storage_host_run(&host);
        char name[16];
        uuid id = { { (uint8_t)(i * 31 + 5), 0, 2 } };
        snprintf(name, sizeof name, "t%d", i);
        logs[i] = check_memory(store_log(store, id, name, 0, &config, NULL));
        append(i, 100);
    }
    finish_pass();
    for (int i = 0; i < COUNT; i++)
        ck_assert_uint_eq(quarantined(i), 0);
    close_store(true);
}
END_TEST

/* Logs that were shut are shut again: a pass costs no memory that stays. */
START_TEST(shut_logs_are_shut_again)
{
    enum { COUNT = 50 };
    open_store(COUNT);
    for (int i = 0; i < COUNT; i++)
        append(i, 20);
    close_store(true);
    open_store(COUNT);
    finish_pass();
    storage_host_run(&host);
    for (int i = 0; i < COUNT; i++)
        ck_assert(!log_stats(logs[i]).is_open);
    ck_assert_int_eq(atomic_load(&store->open_files), 0);
    close_store(true);
}
END_TEST

/* Without descriptors it waits, and goes on where it was. */
START_TEST(want_of_descriptors_is_waited_for)
{
    struct scrub_file file;
    open_store(2);
    append(0, 100);
    append(1, 100);
    file_double_set_open_limit(disk, 1);
    ck_assert_int_eq(slice_once(), SCRUB_RETRY_MS);
    ck_assert_int_eq(slice_once(), SCRUB_RETRY_MS);
    file_double_set_open_limit(disk, 0);
    finish_pass();
    ck_assert(read_file(&file));
    ck_assert_uint_eq(file.size, total_size(2));
    close_store(true);
}
END_TEST

int main(void)
{
    note_set_level((enum note_level) - 1);
    Suite *suite = suite_create("store_scrub");
    TCase *tests = tcase_create("store_scrub");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_pass_a_week);
    tcase_add_test(tests, many_logs);
    tcase_add_test(tests, at_least_a_mebibyte_a_second);
    tcase_add_loop_test(tests, a_pass_goes_on_after_a_restart, 0, 2);
    tcase_add_test(tests, the_file_may_be_missing_or_damaged);
    tcase_add_test(tests, a_clock_that_is_set_back);
    tcase_add_test(tests, nothing_is_written_before_the_first_slice);
    tcase_add_test(tests, logs_are_deleted_and_made_during_a_pass);
    tcase_add_test(tests, shut_logs_are_shut_again);
    tcase_add_test(tests, want_of_descriptors_is_waited_for);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
