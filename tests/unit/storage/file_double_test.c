/* The disk double proves itself: what it loses, keeps, tears and fails is what it says. */
#include <check.h>
#include <stdlib.h>

#include "storage/file_double.h"

static struct file_double *disk;
static struct file_system *files;

static void set_up(void)
{
    disk = file_double_create();
    files = file_double_system(disk);
    ck_assert_int_eq(file_make_directory(files, "/d"), FILE_OK);
    ck_assert_int_eq(file_flush_directory(files, "/"), FILE_OK);
}

static void tear_down(void)
{
    file_double_destroy(disk);
}

static struct file *opened(struct file_system *system, const char *path, int flags)
{
    struct file *file;

    ck_assert_int_eq(file_open(system, path, flags, &file), FILE_OK);
    return file;
}

static void put(const char *path, const char *text, bool flush)
{
    struct file *file = opened(files, path, FILE_WRITE | FILE_CREATE);

    ck_assert_int_eq(file_pwrite(file, text, strlen(text), 0), FILE_OK);
    if (flush)
        ck_assert_int_eq(file_flush(file), FILE_OK);
    file_close(file);
}

/* The text of a file on that disk; "absent" when there is none. */
static void expect(struct file_double *on, const char *path, const char *text)
{
    uint8_t *bytes;
    size_t size;

    if (file_read_all(file_double_system(on), path, 1 << 20, &bytes, &size) != FILE_OK) {
        ck_assert_str_eq(text, "absent");
        return;
    }
    ck_assert_str_eq((char *)bytes, text);
    free(bytes);
}

static void expect_after_cut(uint64_t operation, enum file_double_cut cut, const char *path, const char *text)
{
    struct file_double *after = file_double_after_cut(disk, operation, cut, NULL);

    expect(after, path, text);
    file_double_destroy(after);
}

START_TEST(unflushed_writes_are_lost)
{
    put("/d/f", "old", true);
    ck_assert_int_eq(file_flush_directory(files, "/d"), FILE_OK);
    uint64_t flushed = file_double_operation_count(disk);
    put("/d/f", "new", false);
    uint64_t now = file_double_operation_count(disk);
    ck_assert_uint_eq(now, flushed + 1);
    expect(disk, "/d/f", "new");
    expect_after_cut(now, FILE_DOUBLE_LOSE_ALL, "/d/f", "old");
    expect_after_cut(now, FILE_DOUBLE_KEEP_ALL, "/d/f", "new");
    expect_after_cut(flushed, FILE_DOUBLE_KEEP_ALL, "/d/f", "old");
    expect_after_cut(flushed - 1, FILE_DOUBLE_LOSE_ALL, "/d/f", "absent"); /* its name was not flushed */
    expect_after_cut(0, FILE_DOUBLE_KEEP_ALL, "/d/f", "absent");
}
END_TEST

START_TEST(a_rename_without_a_directory_flush_is_lost)
{
    put("/d/f", "old", true);
    put("/d/f.tmp", "new", true);
    ck_assert_int_eq(file_flush_directory(files, "/d"), FILE_OK);
    ck_assert_int_eq(file_rename(files, "/d/f.tmp", "/d/f"), FILE_OK);
    uint64_t renamed = file_double_operation_count(disk);
    expect(disk, "/d/f", "new");
    expect(disk, "/d/f.tmp", "absent");
    expect_after_cut(renamed, FILE_DOUBLE_LOSE_ALL, "/d/f", "old");
    expect_after_cut(renamed, FILE_DOUBLE_LOSE_ALL, "/d/f.tmp", "new");
    ck_assert_int_eq(file_flush_directory(files, "/d"), FILE_OK);
    expect_after_cut(renamed + 1, FILE_DOUBLE_LOSE_ALL, "/d/f", "new");
    expect_after_cut(renamed + 1, FILE_DOUBLE_LOSE_ALL, "/d/f.tmp", "absent");
}
END_TEST

START_TEST(an_unlink_without_a_directory_flush_comes_back)
{
    put("/d/f", "old", true);
    ck_assert_int_eq(file_flush_directory(files, "/d"), FILE_OK);
    ck_assert_int_eq(file_unlink(files, "/d/f"), FILE_OK);
    expect(disk, "/d/f", "absent");
    expect_after_cut(file_double_operation_count(disk), FILE_DOUBLE_LOSE_ALL, "/d/f", "old");
    expect_after_cut(file_double_operation_count(disk), FILE_DOUBLE_KEEP_ALL, "/d/f", "absent");
}
END_TEST

START_TEST(file_replace_survives_a_cut_after_each_operation)
{
    uint64_t seed = 0;

    ck_assert_int_eq(file_replace(files, "/d/f", SLICE_LITERAL("old")), FILE_OK);
    uint64_t begin = file_double_operation_count(disk);
    ck_assert_int_eq(file_replace(files, "/d/f", SLICE_LITERAL("new")), FILE_OK);
    uint64_t end = file_double_operation_count(disk);
    expect_after_cut(end, FILE_DOUBLE_LOSE_ALL, "/d/f", "new");
    for (uint64_t at = begin; at <= end; at++) {
        for (int i = 0; i < 20; i++) {
            struct random random;
            uint8_t *bytes;
            size_t size;
            random_seed(&random, ++seed);
            struct file_double *after = file_double_after_cut(disk, at, FILE_DOUBLE_REORDER, &random);
            ck_assert_int_eq(file_read_all(file_double_system(after), "/d/f", 10, &bytes, &size), FILE_OK);
            ck_assert(strcmp((char *)bytes, "old") == 0 || strcmp((char *)bytes, "new") == 0);
            free(bytes);
            file_double_destroy(after);
        }
    }
}
END_TEST

START_TEST(a_reordered_cut_tears_at_sectors)
{
    static uint8_t ones[4096];
    unsigned torn = 0;
    unsigned shorter = 0;

    memset(ones, 1, sizeof ones);
    put("/d/f", "", true);
    ck_assert_int_eq(file_flush_directory(files, "/d"), FILE_OK);
    struct file *file = opened(files, "/d/f", FILE_WRITE);
    ck_assert_int_eq(file_pwrite(file, ones, sizeof ones, 0), FILE_OK);
    file_close(file);
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct random random;
        uint8_t *bytes;
        size_t size;
        random_seed(&random, seed);
        struct file_double *after =
            file_double_after_cut(disk, file_double_operation_count(disk), FILE_DOUBLE_REORDER, &random);
        ck_assert_int_eq(file_read_all(file_double_system(after), "/d/f", 1 << 20, &bytes, &size), FILE_OK);
        size_t kept = 0;
        for (size_t i = 0; i < size; i++) {
            kept += bytes[i];
            ck_assert_uint_eq(bytes[i], bytes[i / 512 * 512]);
        }
        shorter += size == 0;
        torn += size == sizeof ones && kept < sizeof ones;
        free(bytes);
        file_double_destroy(after);
    }
    ck_assert_uint_gt(torn, 5);
    ck_assert_uint_gt(shorter, 5);
}
END_TEST

START_TEST(a_failed_flush_is_never_made_good)
{
    put("/d/f", "old", true);
    ck_assert_int_eq(file_flush_directory(files, "/d"), FILE_OK);
    struct file *file = opened(files, "/d/f", FILE_WRITE | FILE_READ);
    ck_assert_int_eq(file_pwrite(file, "new", 3, 0), FILE_OK);
    file_double_fail_flush(disk, 1);
    ck_assert_int_eq(file_flush(file), FILE_IO);
    ck_assert_uint_eq(file_double_late_flush_count(disk), 0);
    ck_assert_int_eq(file_flush(file), FILE_OK); /* the pages count as clean: fsyncgate */
    ck_assert_int_eq(file_flush_directory(files, "/d"), FILE_OK);
    ck_assert_uint_eq(file_double_late_flush_count(disk), 2);
    expect(disk, "/d/f", "new");
    expect_after_cut(file_double_operation_count(disk), FILE_DOUBLE_LOSE_ALL, "/d/f", "old");
    file_drop_cache(file, 0);
    expect(disk, "/d/f", "old");
    file_close(file);
}
END_TEST

START_TEST(flushes_that_lie_keep_nothing)
{
    file_double_ignore_flushes(disk, true);
    put("/d/f", "new", true);
    ck_assert_int_eq(file_flush_directory(files, "/d"), FILE_OK);
    expect_after_cut(file_double_operation_count(disk), FILE_DOUBLE_LOSE_ALL, "/d/f", "absent");
}
END_TEST

START_TEST(a_full_disk_takes_what_fits)
{
    size_t written;
    struct iovec iov = { .iov_base = (char[]){ "abcdef" }, .iov_len = 6 };
    struct file *file = opened(files, "/d/f", FILE_WRITE | FILE_CREATE);

    file_double_set_free_space(disk, 4);
    ck_assert_int_eq(file_pwritev(file, &iov, 1, 0, &written), FILE_FULL);
    ck_assert_uint_eq(written, 4);
    ck_assert_int_eq(file_pwritev(file, &iov, 1, 4, &written), FILE_FULL);
    ck_assert_uint_eq(written, 0);
    ck_assert_int_eq(file_truncate(file, 0), FILE_OK);
    file_double_set_free_space(disk, 100);
    ck_assert_int_eq(file_pwritev(file, &iov, 1, 0, &written), FILE_OK);
    file_double_short_write(disk, 2, 1);
    ck_assert_int_eq(file_pwritev(file, &iov, 1, 0, &written), FILE_OK);
    ck_assert_int_eq(file_pwritev(file, &iov, 1, 6, &written), FILE_FULL);
    ck_assert_uint_eq(written, 1);
    ck_assert_int_eq(file_pwritev(file, &iov, 1, 6, &written), FILE_OK);
    file_close(file);
}
END_TEST

START_TEST(allocated_room_is_taken_at_once_and_given_back)
{
    struct file *file = opened(files, "/d/f", FILE_READ | FILE_WRITE | FILE_CREATE);
    struct file *other = opened(files, "/d/o", FILE_WRITE | FILE_CREATE);
    char bytes[6];
    size_t got;
    uint64_t size;

    ck_assert_int_eq(file_pwrite(file, "ab", 2, 0), FILE_OK);
    file_double_set_free_space(disk, 100);
    ck_assert_int_eq(file_allocate(file, 103), FILE_FULL);
    ck_assert_int_eq(file_size(file, &size), FILE_OK);
    ck_assert_uint_eq(size, 2);
    ck_assert_uint_eq(file_free_space(files, "/d"), 100);
    ck_assert_int_eq(file_allocate(file, 102), FILE_OK);
    ck_assert_int_eq(file_allocate(file, 50), FILE_OK); /* it is that large */
    ck_assert_int_eq(file_size(file, &size), FILE_OK);
    ck_assert_uint_eq(size, 102);
    ck_assert_int_eq(file_pread(file, bytes, 4, 0, &got), FILE_OK);
    ck_assert_mem_eq(bytes, "ab\0\0", 4);
    ck_assert_int_eq(file_pwrite(other, "x", 1, 0), FILE_FULL);
    ck_assert_int_eq(file_pwrite(file, "cdef", 4, 98), FILE_OK); /* has its room */
    ck_assert_int_eq(file_truncate(file, 50), FILE_OK);
    ck_assert_int_eq(file_pwrite(other, "x", 1, 0), FILE_OK);
    ck_assert_uint_eq(file_free_space(files, "/d"), 51);
    file_close(other);
    file_close(file);
}
END_TEST

/* Zeros that nobody wrote are on the device as others are. */
START_TEST(zeros_behind_what_was_written_are_cut_and_flipped_like_others)
{
    struct file *file = opened(files, "/d/f", FILE_READ | FILE_WRITE | FILE_CREATE);
    char bytes[8];
    size_t got;

    ck_assert_int_eq(file_pwrite(file, "abcdef", 6, 0), FILE_OK);
    ck_assert_int_eq(file_truncate(file, 2), FILE_OK);
    ck_assert_int_eq(file_allocate(file, 5), FILE_OK);
    ck_assert_int_eq(file_flush(file), FILE_OK);
    ck_assert_int_eq(file_flush_directory(files, "/d"), FILE_OK);
    ck_assert(file_double_flip_bit(disk, "/d/f", 4, 0));
    file_double_set_free_space(disk, 100);
    ck_assert_int_eq(file_pwrite(file, "g", 1, 7), FILE_OK);
    struct file_double *after =
        file_double_after_cut(disk, file_double_operation_count(disk), FILE_DOUBLE_KEEP_ALL, NULL);
    struct file *there = opened(file_double_system(after), "/d/f", FILE_READ);
    ck_assert_int_eq(file_pread(there, bytes, 8, 0, &got), FILE_OK);
    ck_assert_uint_eq(got, 8);
    ck_assert_mem_eq(bytes, "ab\0\0\1\0\0g", 8);
    file_close(there);
    file_double_destroy(after);
    after = file_double_after_cut(disk, file_double_operation_count(disk), FILE_DOUBLE_LOSE_ALL, NULL);
    there = opened(file_double_system(after), "/d/f", FILE_READ);
    ck_assert_int_eq(file_pread(there, bytes, 8, 0, &got), FILE_OK);
    ck_assert_uint_eq(got, 5);
    ck_assert_mem_eq(bytes, "ab\0\0\1", 5);
    file_close(there);
    file_double_destroy(after);
    file_drop_cache(file, 0);
    ck_assert_int_eq(file_pread(file, bytes, 8, 0, &got), FILE_OK);
    ck_assert_mem_eq(bytes, "ab\0\0\1\0\0g", 8);
    file_close(file);
}
END_TEST

START_TEST(limits_locks_and_flipped_bits)
{
    struct file *second;

    put("/d/f", "abc", true);
    file_double_set_open_limit(disk, 2);
    struct file *first = opened(files, "/d/f", FILE_READ);
    ck_assert_int_eq(file_lock(first), FILE_OK);
    ck_assert_int_eq(file_open(files, "/d/f", FILE_READ, &second), FILE_OK);
    ck_assert_int_eq(file_lock(second), FILE_LOCKED);
    struct file *third;
    ck_assert_int_eq(file_open(files, "/d/f", FILE_READ, &third), FILE_LIMIT);
    file_close(first);
    ck_assert_int_eq(file_lock(second), FILE_OK);
    file_close(second);
    ck_assert(file_double_flip_bit(disk, "/d/f", 1, 0));
    ck_assert(!file_double_flip_bit(disk, "/d/f", 3, 0));
    expect(disk, "/d/f", "acc");
    ck_assert_int_eq(file_flush_directory(files, "/d"), FILE_OK);
    expect_after_cut(file_double_operation_count(disk), FILE_DOUBLE_LOSE_ALL, "/d/f", "acc");
}
END_TEST

START_TEST(mappings_are_real_and_grow)
{
    struct file_map map;
    struct file *file = opened(files, "/d/f", FILE_WRITE | FILE_CREATE);

    ck_assert_int_eq(file_pwrite(file, "abc", 3, 0), FILE_OK);
    ck_assert_int_eq(file_map(file, 0, 8192, &map), FILE_OK);
    ck_assert_int_eq(memcmp(map.address, "abc", 3), 0);
    ck_assert_int_eq(file_pwrite(file, "def", 3, 5000), FILE_OK);
    ck_assert_int_eq(memcmp(map.address + 5000, "def", 3), 0);
    file_close(file);
    ck_assert_int_eq(file_unlink(files, "/d/f"), FILE_OK);
    ck_assert_int_eq(memcmp(map.address + 5000, "def", 3), 0); /* whatever happens to the name */
    file_unmap(files, &map);
}
END_TEST

START_TEST(directories_and_a_cut_of_a_cut)
{
    ck_assert_int_eq(file_make_directory(files, "/d/t-0"), FILE_OK);
    ck_assert_int_eq(file_make_directory(files, "/d/t-0"), FILE_EXISTS);
    put("/d/t-0/f", "abc", true);
    ck_assert_int_eq(file_remove_directory(files, "/d/t-0"), FILE_EXISTS);
    ck_assert_int_eq(file_rename(files, "/d/t-0", "/d/t-0-delete"), FILE_OK);
    ck_assert_int_eq(file_flush_directory(files, "/d/t-0-delete"), FILE_OK);
    ck_assert_int_eq(file_flush_directory(files, "/d"), FILE_OK);
    struct file_double *once =
        file_double_after_cut(disk, file_double_operation_count(disk), FILE_DOUBLE_LOSE_ALL, NULL);
    expect(once, "/d/t-0-delete/f", "abc");
    ck_assert_uint_eq(file_double_operation_count(once), 0);
    ck_assert_int_eq(file_unlink(file_double_system(once), "/d/t-0-delete/f"), FILE_OK);
    struct file_double *twice = file_double_after_cut(once, 1, FILE_DOUBLE_LOSE_ALL, NULL);
    expect(twice, "/d/t-0-delete/f", "abc");
    file_double_destroy(twice);
    twice = file_double_after_cut(once, 1, FILE_DOUBLE_KEEP_ALL, NULL);
    expect(twice, "/d/t-0-delete/f", "absent");
    file_double_destroy(twice);
    file_double_destroy(once);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_double");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, unflushed_writes_are_lost);
    tcase_add_test(tcase, a_rename_without_a_directory_flush_is_lost);
    tcase_add_test(tcase, an_unlink_without_a_directory_flush_comes_back);
    tcase_add_test(tcase, file_replace_survives_a_cut_after_each_operation);
    tcase_add_test(tcase, a_reordered_cut_tears_at_sectors);
    tcase_add_test(tcase, a_failed_flush_is_never_made_good);
    tcase_add_test(tcase, flushes_that_lie_keep_nothing);
    tcase_add_test(tcase, a_full_disk_takes_what_fits);
    tcase_add_test(tcase, allocated_room_is_taken_at_once_and_given_back);
    tcase_add_test(tcase, zeros_behind_what_was_written_are_cut_and_flipped_like_others);
    tcase_add_test(tcase, limits_locks_and_flipped_bits);
    tcase_add_test(tcase, mappings_are_real_and_grow);
    tcase_add_test(tcase, directories_and_a_cut_of_a_cut);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
