/* The machine's files behind file.h, in a directory of their own. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/file.h"
#include "tests/support/load.h"

static char root[] = "/tmp/file_posix_test.XXXXXX";
static struct file_system *files;

static const char *at(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void set_up(void)
{
    strcpy(root, "/tmp/file_posix_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    files = file_posix_create(4);
    file_guard_install();
}

static bool remove_one(void *context, const char *name)
{
    (void)context;
    if (unlink(at(name)) != 0)
        rmdir(at(name));
    return true;
}

static void tear_down(void)
{
    ck_assert_int_eq(file_list(files, root, remove_one, NULL), FILE_OK);
    ck_assert_int_eq(rmdir(root), 0);
    file_posix_destroy(files);
}

static struct file *opened(const char *name, int flags)
{
    struct file *file;

    ck_assert_int_eq(file_open(files, at(name), flags, &file), FILE_OK);
    return file;
}

START_TEST(writes_and_reads_back)
{
    uint8_t bytes[32];
    size_t size;
    uint64_t total;
    char letter[] = "a";
    struct iovec iov[200];
    struct file *file = opened("f", FILE_READ | FILE_WRITE | FILE_CREATE);

    for (int i = 0; i < 200; i++)
        iov[i] = (struct iovec){ .iov_base = letter, .iov_len = (size_t)(i % 3 != 0) };
    ck_assert_int_eq(file_pwritev(file, iov, 200, 3, &size), FILE_OK);
    ck_assert_uint_eq(size, 133);
    ck_assert_int_eq(file_size(file, &total), FILE_OK);
    ck_assert_uint_eq(total, 136);
    ck_assert_int_eq(file_pread(file, bytes, sizeof bytes, 120, &size), FILE_OK);
    ck_assert_uint_eq(size, 16);
    ck_assert_int_eq(file_truncate(file, 10), FILE_OK);
    ck_assert_int_eq(file_pread(file, bytes, sizeof bytes, 0, &size), FILE_OK);
    ck_assert_uint_eq(size, 10);
    ck_assert_int_eq(bytes[0], 0);
    ck_assert_int_eq(bytes[3], 'a');
    ck_assert_int_eq(file_flush(file), FILE_OK);
    file_close(file);
}
END_TEST

/* More than one write takes, with pieces that lie across the ends. */
START_TEST(long_writes_are_whole)
{
    enum { LENGTH = 1300000 };
    static const size_t pieces[] = { 300000, 1, 262144, 0, 700000, LENGTH - 300000 - 1 - 262144 - 700000 };
    uint8_t *bytes = malloc(LENGTH), *back = malloc(LENGTH);
    struct iovec iov[sizeof pieces / sizeof *pieces];
    struct file *file = opened("long", FILE_READ | FILE_WRITE | FILE_CREATE);
    size_t size, at_byte = 0;

    for (size_t i = 0; i < LENGTH; i++)
        bytes[i] = (uint8_t)((i * UINT64_C(0x9E3779B97F4A7C15)) >> 40); /* no period that a piece could have */
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; at_byte += pieces[i++])
        iov[i] = (struct iovec){ .iov_base = bytes + at_byte, .iov_len = pieces[i] };
    ck_assert_int_eq(file_pwritev(file, iov, sizeof pieces / sizeof *pieces, 5, &size), FILE_OK);
    ck_assert_uint_eq(size, LENGTH);
    ck_assert_int_eq(file_pread(file, back, LENGTH, 5, &size), FILE_OK);
    ck_assert_uint_eq(size, LENGTH);
    ck_assert_mem_eq(back, bytes, LENGTH);
    file_close(file);
    free(bytes);
    free(back);
}
END_TEST

START_TEST(statuses_say_what_happened)
{
    struct file *file;

    ck_assert_int_eq(file_open(files, at("no"), FILE_READ, &file), FILE_NOT_FOUND);
    ck_assert_int_eq(file_open(files, at("no/no"), FILE_READ | FILE_CREATE, &file), FILE_NOT_FOUND);
    file_close(opened("f", FILE_WRITE | FILE_CREATE));
    ck_assert_int_eq(file_open(files, at("f"), FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file),
                     FILE_EXISTS);
    ck_assert_int_eq(file_make_directory(files, at("d")), FILE_OK);
    ck_assert_int_eq(file_make_directory(files, at("d")), FILE_EXISTS);
    ck_assert_int_eq(file_open(files, at("d"), FILE_READ, &file), FILE_IO);
    ck_assert_int_eq(mkfifo(at("pipe"), 0600), 0);
    ck_assert_int_eq(file_open(files, at("pipe"), FILE_READ, &file), FILE_IO);
    file_close(opened("d/f", FILE_WRITE | FILE_CREATE));
    ck_assert_int_eq(file_remove_directory(files, at("d")), FILE_EXISTS);
    ck_assert_int_eq(file_unlink(files, at("d/f")), FILE_OK);
    ck_assert_int_eq(file_remove_directory(files, at("d")), FILE_OK);
}
END_TEST

static bool note_type(void *context, const char *name, enum file_type type)
{
    char *types = context; /* by the first letter of the name */

    types[name[0] - 'a'] = (char)('0' + type);
    return true;
}

START_TEST(links_are_seen_and_not_followed)
{
    char types[8] = "-------";
    struct file *file;

    file_close(opened("a file", FILE_WRITE | FILE_CREATE));
    ck_assert_int_eq(mkdir(at("b directory"), 0700), 0);
    ck_assert_int_eq(symlink("a file", at("c link to a file")), 0);
    ck_assert_int_eq(symlink("b directory", at("d link to a directory")), 0);
    ck_assert_int_eq(symlink("nowhere", at("e link to nothing")), 0);
    ck_assert_int_eq(mkfifo(at("f pipe"), 0600), 0);
    ck_assert_int_eq(file_list_types(files, root, note_type, types), FILE_OK);
    ck_assert_str_eq(types, "012222-");
    ck_assert_int_eq(file_open(files, at("c link to a file"), FILE_READ, &file), FILE_IO);
    ck_assert_int_eq(file_open(files, at("c link to a file"), FILE_WRITE | FILE_TRUNCATE, &file), FILE_IO);
    ck_assert_int_eq(file_open(files, at("e link to nothing"), FILE_WRITE | FILE_CREATE, &file), FILE_IO);
    ck_assert_int_ne(access(at("nowhere"), F_OK), 0);
}
END_TEST

START_TEST(replaces_small_files)
{
    uint8_t *bytes;
    size_t size;
    struct file_info info;

    ck_assert_int_eq(file_replace(files, at("f"), SLICE_LITERAL("old")), FILE_OK);
    ck_assert_int_eq(file_replace(files, at("f"), SLICE_LITERAL("newer")), FILE_OK);
    ck_assert_int_eq(file_read_all(files, at("f"), 5, &bytes, &size), FILE_OK);
    ck_assert_uint_eq(size, 5);
    ck_assert_str_eq((char *)bytes, "newer");
    free(bytes);
    ck_assert_int_eq(file_read_all(files, at("f"), 4, &bytes, &size), FILE_IO);
    ck_assert_int_eq(file_info(files, at("f.tmp"), &info), FILE_NOT_FOUND);
    ck_assert_int_eq(file_info(files, at("f"), &info), FILE_OK);
    ck_assert(info.is_regular && !info.is_directory && info.size == 5 && info.mtime_ms > 0);
}
END_TEST

START_TEST(a_lock_keeps_others_out)
{
    struct file *first = opened(".lock", FILE_WRITE | FILE_CREATE);
    struct file *second = opened(".lock", FILE_WRITE);

    ck_assert_int_eq(file_lock(first), FILE_OK);
    ck_assert_int_eq(file_lock(first), FILE_OK);
    ck_assert_int_eq(file_lock(second), FILE_LOCKED);
    file_close(second);
    pid_t child = fork();
    if (child == 0) { /* the kind of lock that a JVM takes */
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _exit(fcntl(open(at(".lock"), O_RDWR), F_SETLK, &lock) == 0 ? 0 : 7);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(WEXITSTATUS(status), 7);
    file_close(first);
}
END_TEST

static void touch(void *context)
{
    const struct file_map *map = context;

    (void)*(const volatile uint8_t *)(map->address + map->size - 1);
}

START_TEST(a_page_that_is_gone_is_an_answer)
{
    struct file_map map;
    struct file *file = opened("f", FILE_READ | FILE_WRITE | FILE_CREATE);

    ck_assert_int_eq(file_truncate(file, 1 << 20), FILE_OK);
    ck_assert_int_eq(file_map(file, 4097, (1 << 20) - 4097, &map), FILE_OK);
    ck_assert_uint_eq(map.size, (1 << 20) - 4097);
    ck_assert(file_guarded(touch, &map));
    ck_assert_int_eq(file_populate(files, map.address, map.size), FILE_OK);
    ck_assert(file_is_resident(files, map.address, map.size));
    ck_assert_int_eq(file_truncate(file, 4096), FILE_OK);
    for (int i = 0; i < 3; i++)
        ck_assert(!file_guarded(touch, &map));
    ck_assert_int_eq(file_populate(files, map.address, map.size), FILE_IO);
    ck_assert_int_eq(file_truncate(file, 1 << 20), FILE_OK);
    ck_assert(file_guarded(touch, &map));
    file_unmap(files, &map);
    file_close(file);
}
END_TEST

START_TEST(released_memory_is_given_back_and_read_again)
{
    enum { SIZE = 8 << 20 };
    struct file_map map;
    struct file *file = opened("f", FILE_READ | FILE_WRITE | FILE_CREATE);

    ck_assert_int_eq(file_truncate(file, SIZE), FILE_OK);
    ck_assert_int_eq(file_pwrite(file, "end", 3, SIZE - 3), FILE_OK);
    ck_assert_int_eq(file_map(file, 4097, SIZE - 4097, &map), FILE_OK);
    ck_assert_int_eq(file_populate(files, map.address, map.size), FILE_OK);
    uint64_t before = process_rss_file(getpid());
    file_release(files, map.address, map.size);
    ck_assert_uint_le(process_rss_file(getpid()) + SIZE / 2, before);
    ck_assert(file_is_resident(files, map.address, map.size)); /* the cache keeps it */
    ck_assert_mem_eq(map.address + map.size - 3, "end", 3);
    file_release(files, NULL, 0);
    file_unmap(files, &map);
    file_close(file);
}
END_TEST

static unsigned resident_pages(const struct file_map *map)
{
    unsigned count = 0;
    for (size_t at = 0; at < map->size; at += 4096)
        count += file_is_resident(files, map->address + at, 4096);
    return count;
}

/* The scrubber's reads leave the cache as it was. */
START_TEST(a_read_aside_brings_nothing_into_the_cache)
{
    enum { SIZE = 4 << 20, PIECE = 200000 };
    static uint8_t bytes[SIZE], back[SIZE];
    struct file_map map;
    struct file *file = opened("f", FILE_READ | FILE_WRITE | FILE_CREATE);
    struct file *aside = opened("f", FILE_READ);
    size_t got;

    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    ck_assert_int_eq(file_pwrite(file, bytes, SIZE, 0), FILE_OK);
    ck_assert_int_eq(file_flush(file), FILE_OK);
    ck_assert_int_eq(file_map(file, 0, SIZE, &map), FILE_OK);
    for (int from_device = 0; from_device < 2; from_device++) {
        file_drop_cache(file, 0);
        bool has_cache = resident_pages(&map) == 0; /* else it lives in memory alone */
        memset(back, 0, SIZE);
        for (size_t at = 0; at < SIZE; at += PIECE) {
            size_t size = SIZE - at < PIECE ? SIZE - at : PIECE;
            ck_assert_int_eq(file_pread_aside(aside, back + at, size, at, from_device, &got), FILE_OK);
            ck_assert_uint_eq(got, size);
        }
        ck_assert_mem_eq(bytes, back, SIZE);
        if (has_cache)
            ck_assert_uint_lt(resident_pages(&map), 32);
    }
    /* What was there stays. */
    ck_assert_int_eq(file_populate(files, map.address, SIZE / 2), FILE_OK);
    for (size_t at = 0; at < SIZE; at += PIECE)
        ck_assert_int_eq(file_pread_aside(aside, back, PIECE, at, false, &got), FILE_OK);
    ck_assert_uint_eq(got, SIZE % PIECE); /* the end of the file */
    ck_assert_int_eq(file_pread_aside(aside, back, PIECE, SIZE, false, &got), FILE_OK);
    ck_assert_uint_eq(got, 0);
    ck_assert(file_is_resident(files, map.address, SIZE / 2));
    file_unmap(files, &map);
    file_close(aside);
    file_close(file);
}
END_TEST

START_TEST(allocated_bytes_have_blocks)
{
    enum { SIZE = 1 << 20 };
    struct file *file = opened("f", FILE_READ | FILE_WRITE | FILE_CREATE);
    uint8_t bytes[4];
    struct stat stat_of;
    uint64_t size;
    size_t got;

    ck_assert_int_eq(file_pwrite(file, "abc", 3, 0), FILE_OK);
    ck_assert_int_eq(file_truncate(file, SIZE / 2), FILE_OK); /* a hole */
    ck_assert_int_eq(file_allocate(file, SIZE), FILE_OK);
    ck_assert_int_eq(file_size(file, &size), FILE_OK);
    ck_assert_uint_eq(size, SIZE);
    ck_assert_int_eq(file_pread(file, bytes, 4, 0, &got), FILE_OK);
    ck_assert_mem_eq(bytes, "abc", 4);
    ck_assert_int_eq(file_pread(file, bytes, 4, SIZE - 4, &got), FILE_OK);
    ck_assert_mem_eq(bytes, "\0\0\0", 4);
    ck_assert_int_eq(stat(at("f"), &stat_of), 0);
    ck_assert_int_ge(stat_of.st_blocks * 512, SIZE);
    /* More than there is: as it was. */
    ck_assert_int_eq(file_allocate(file, (uint64_t)1 << 56), FILE_FULL);
    ck_assert_int_eq(file_size(file, &size), FILE_OK);
    ck_assert_uint_eq(size, SIZE);
    ck_assert_int_eq(file_allocate(file, 10), FILE_OK);
    ck_assert_int_eq(file_size(file, &size), FILE_OK);
    ck_assert_uint_eq(size, SIZE);
    file_close(file);
}
END_TEST

static off_t blocks_of(const char *name)
{
    struct stat stat_of;

    ck_assert_int_eq(stat(at(name), &stat_of), 0);
    return stat_of.st_blocks * 512;
}

START_TEST(blocks_ahead_lengthen_nothing_and_go_back)
{
    enum { SIZE = 4 << 20 };
    struct file *file = opened("f", FILE_READ | FILE_WRITE | FILE_CREATE);
    struct file *reader = opened("f", FILE_READ);
    uint8_t bytes[4];
    uint64_t size;
    size_t got;

    ck_assert_int_eq(file_pwrite(file, "abc", 3, 0), FILE_OK);
    ck_assert_int_eq(file_flush(file), FILE_OK);
    off_t before = blocks_of("f");
    enum file_status status = file_allocate_ahead(file, 3, SIZE);
    ck_assert(status == FILE_OK || status == FILE_DENIED); /* not on every file system */
    if (status == FILE_OK)
        ck_assert_int_ge(blocks_of("f"), SIZE);
    else
        ck_assert_int_eq(blocks_of("f"), before);
    ck_assert_int_eq(file_size(file, &size), FILE_OK);
    ck_assert_uint_eq(size, 3);
    ck_assert_int_eq(file_pwrite(file, "de", 2, 3), FILE_OK);
    ck_assert_int_eq(file_give_ahead(file), FILE_OK);
    ck_assert_int_eq(blocks_of("f"), before);
    ck_assert_int_eq(file_size(file, &size), FILE_OK);
    ck_assert_uint_eq(size, 5);
    ck_assert_int_eq(file_pread(file, bytes, 4, 1, &got), FILE_OK);
    ck_assert_mem_eq(bytes, "bcde", 4);
    ck_assert_int_eq(file_allocate_ahead(file, 5, (uint64_t)1 << 56),
                     status == FILE_OK ? FILE_FULL : FILE_DENIED);
    ck_assert_int_eq(file_give_ahead(file), FILE_OK);
    ck_assert_int_eq(blocks_of("f"), before);
    ck_assert_int_eq(file_allocate_ahead(reader, 5, SIZE), FILE_DENIED);
    ck_assert_int_eq(file_give_ahead(reader), FILE_OK); /* it has none of it */
    file_close(reader);
    file_close(file);
}
END_TEST

START_TEST(a_fault_outside_the_guard_still_kills)
{
    struct file_map map;
    int status;
    struct file *file = opened("f", FILE_READ | FILE_WRITE | FILE_CREATE);

    ck_assert_int_eq(file_map(file, 0, 4096, &map), FILE_OK);
    pid_t child = fork();
    if (child == 0) {
        touch(&map);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    file_unmap(files, &map);
    file_close(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_posix");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, writes_and_reads_back);
    tcase_add_test(tcase, long_writes_are_whole);
    tcase_add_test(tcase, statuses_say_what_happened);
    tcase_add_test(tcase, replaces_small_files);
    tcase_add_test(tcase, a_lock_keeps_others_out);
    tcase_add_test(tcase, links_are_seen_and_not_followed);
    tcase_add_test(tcase, a_page_that_is_gone_is_an_answer);
    tcase_add_test(tcase, released_memory_is_given_back_and_read_again);
    tcase_add_test(tcase, a_read_aside_brings_nothing_into_the_cache);
    tcase_add_test(tcase, allocated_bytes_have_blocks);
    tcase_add_test(tcase, blocks_ahead_lengthen_nothing_and_go_back);
    tcase_add_test(tcase, a_fault_outside_the_guard_still_kills);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
