/* Flushes of the machine's files, by the pool's threads. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "storage/file.h"
#include "tests/support/suite.h"
#include "tests/support/temp_dir.h"

static struct temp_dir dir;
static struct file_system *files;

static void set_up(void)
{
    temp_dir_create(&dir);
    files = file_posix_create(4);
}

static void tear_down(void)
{
    file_posix_destroy(files);
    temp_dir_destroy(&dir);
}

static struct file *opened(const char *name)
{
    char path[TEMP_DIR_PATH_SIZE + 16];
    struct file *file;

    snprintf(path, sizeof path, "%s/%s", dir.path, name);
    ck_assert_int_eq(file_open(files, path, FILE_WRITE | FILE_CREATE, &file), FILE_OK);
    return file;
}

START_TEST(flushes_groups_of_all_sizes)
{
    enum { COUNT = 40 };
    struct file *open_files[COUNT];
    const char *directories[2] = { dir.path, "/absent" };
    enum file_status statuses[COUNT + 2];

    for (int i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        open_files[i] = opened(name);
    }
    /* What is not there is on no device: such a group is always the pool's. */
    for (size_t count = 0; count <= COUNT; count++) {
        for (size_t absent_count = 0; absent_count < 2; absent_count++) {
            size_t there = count + count % 2;
            for (size_t i = 0; i < count; i++)
                ck_assert_int_eq(file_pwrite(open_files[i], "x", 1, 2 * count + absent_count), FILE_OK);
            memset(statuses, 0xff, sizeof statuses);
            file_flush_group(files, open_files, count, directories + 1 - count % 2, count % 2 + absent_count,
                             statuses);
            for (size_t i = 0; i < there; i++)
                ck_assert_int_eq(statuses[i], FILE_OK);
            if (absent_count > 0)
                ck_assert_int_eq(statuses[there], FILE_NOT_FOUND);
        }
    }
    for (int i = 0; i < COUNT; i++)
        file_close(open_files[i]);
}
END_TEST

/* Takes each descriptor that comes free, and keeps it for some time. */
static void *grab(void *is_over)
{
    while (!atomic_load((atomic_bool *)is_over)) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        poll(NULL, 0, 3);
        close(fd);
    }
    return NULL;
}

/* A flush that fails is final, so it may not fail because others were quicker to take the spare descriptor.
 */
START_TEST(a_directory_is_flushed_without_descriptors)
{
    enum { ROUNDS = 100, DESCRIPTORS = 64, GREEDY = 3 };
    static atomic_bool is_over;
    struct rlimit before, few;
    pthread_t greedy[GREEDY];
    int fds[DESCRIPTORS];
    size_t count = 0;

    struct file *file = opened("f"); /* tells of the device */
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){ .rlim_cur = DESCRIPTORS, .rlim_max = before.rlim_max };
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (count < DESCRIPTORS && (fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    ck_assert_int_eq(errno, EMFILE);
    for (int i = 0; i < GREEDY; i++)
        ck_assert_int_eq(pthread_create(&greedy[i], NULL, grab, &is_over), 0);
    for (int i = 0; i < ROUNDS; i++)
        ck_assert_int_eq(file_flush_directory(files, dir.path), FILE_OK);
    atomic_store(&is_over, true);
    for (int i = 0; i < GREEDY; i++)
        pthread_join(greedy[i], NULL);
    while (count > 0)
        close(fds[--count]);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    file_close(file);
}
END_TEST

/* -- errors ------------------------------------------------------------------------------------- */

/* What the kernel is asked, by this program's own calls in front of libc's. */
static atomic_size_t syncfs_count, fdatasync_count;
static atomic_bool syncfs_fails, syncfs_waits; /* the next one does */
static sem_t entered, may_leave;

int syncfs(int fd)
{
    atomic_fetch_add(&syncfs_count, 1);
    bool fails = atomic_exchange(&syncfs_fails, false);
    if (atomic_exchange(&syncfs_waits, false)) {
        sem_post(&entered);
        sem_wait(&may_leave);
    }
    if (fails)
        errno = EIO;
    return fails ? -1 : (int)syscall(SYS_syncfs, fd);
}

int fdatasync(int fd)
{
    atomic_fetch_add(&fdatasync_count, 1);
    return (int)syscall(SYS_fdatasync, fd);
}

static atomic_bool is_read_only, refuses_writes;

int fstatfs(int fd, struct statfs *stat)
{
    int status = (int)syscall(SYS_fstatfs, fd, stat);
    if (status == 0 && atomic_load(&is_read_only))
        stat->f_flags |= ST_RDONLY;
    return status;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t position)
{
    if (size > 0 || !atomic_load(&refuses_writes))
        return syscall(SYS_pwrite64, fd, data, size, position);
    errno = EIO;
    return -1;
}

enum { PAIR = 2 };

static enum file_status flush_pair(struct file *const *pair)
{
    enum file_status statuses[PAIR];
    for (size_t i = 0; i < PAIR; i++)
        ck_assert_int_eq(file_pwrite(pair[i], "x", 1, 0), FILE_OK);
    file_flush_group(files, pair, PAIR, NULL, 0, statuses);
    ck_assert_int_eq(statuses[0], statuses[1]);
    return statuses[0];
}

/* False where syncfs tells no errors, so that nobody uses it. */
static bool is_flushed_by_syncfs(struct file *const *pair)
{
    size_t before = atomic_load(&syncfs_count);
    ck_assert_int_eq(flush_pair(pair), FILE_OK);
    return atomic_load(&syncfs_count) > before;
}

/* The kernel tells an error of a file system once for each descriptor, and ours is the same for all: it may
 * have been for files of the next group. */
START_TEST(an_error_of_the_file_system_is_not_forgotten)
{
    enum { ROUNDS = 20 };
    struct file *pair[PAIR] = { opened("a"), opened("b") };

    if (is_flushed_by_syncfs(pair)) {
        atomic_store(&syncfs_fails, true);
        ck_assert_int_eq(file_flush_all(files, dir.path), FILE_IO);
        ck_assert_int_eq(file_flush_all(files, dir.path), FILE_IO);
        size_t before = atomic_load(&syncfs_count);
        for (int i = 0; i < ROUNDS; i++) {
            size_t asked = atomic_load(&fdatasync_count);
            ck_assert_int_eq(flush_pair(pair), FILE_OK);
            ck_assert_uint_eq(atomic_load(&fdatasync_count), asked + PAIR);
        }
        ck_assert_uint_eq(atomic_load(&syncfs_count), before);
    }
    for (size_t i = 0; i < PAIR; i++)
        file_close(pair[i]);
}
END_TEST

/* A file system that gave up answers some kernels' syncfs as if all were well. It is believed no more: each file
 * is asked, and those tell. */
static void an_idle_syncfs_is_not_believed(atomic_bool *symptom)
{
    struct file *pair[PAIR] = { opened("a"), opened("b") };

    if (is_flushed_by_syncfs(pair)) {
        atomic_store(symptom, true);
        size_t before = atomic_load(&syncfs_count);
        while (flush_pair(pair) == FILE_OK)
            ck_assert_uint_eq(atomic_load(&syncfs_count), before); /* so far the files were asked */
        size_t asked = atomic_load(&fdatasync_count);
        ck_assert_int_eq(flush_pair(pair), FILE_OK);
        ck_assert_uint_eq(atomic_load(&fdatasync_count), asked + PAIR);
        atomic_store(symptom, false);
    }
    for (size_t i = 0; i < PAIR; i++)
        file_close(pair[i]);
}

START_TEST(a_file_system_that_turned_read_only_is_told)
{
    an_idle_syncfs_is_not_believed(&is_read_only);
}
END_TEST

START_TEST(a_file_system_that_was_shut_down_is_told)
{
    an_idle_syncfs_is_not_believed(&refuses_writes);
}
END_TEST

static void *flush_until_told(void *pair)
{
    while (flush_pair(pair) == FILE_OK)
        continue;
    return NULL;
}

/* So who is flushed meanwhile asks for its own files. */
START_TEST(two_groups_do_not_share_an_error)
{
    struct file *pair[PAIR] = { opened("a"), opened("b") }, *others[PAIR] = { opened("c"), opened("d") };
    pthread_t thread;

    if (is_flushed_by_syncfs(pair)) {
        ck_assert_int_eq(sem_init(&entered, 0, 0), 0);
        ck_assert_int_eq(sem_init(&may_leave, 0, 0), 0);
        atomic_store(&syncfs_waits, true);
        atomic_store(&syncfs_fails, true);
        ck_assert_int_eq(pthread_create(&thread, NULL, flush_until_told, pair), 0);
        sem_wait(&entered);
        size_t before = atomic_load(&syncfs_count), asked = atomic_load(&fdatasync_count);
        ck_assert_int_eq(flush_pair(others), FILE_OK);
        ck_assert_uint_eq(atomic_load(&syncfs_count), before);
        ck_assert_uint_eq(atomic_load(&fdatasync_count), asked + PAIR);
        sem_post(&may_leave);
        pthread_join(thread, NULL);
    }
    for (size_t i = 0; i < PAIR; i++) {
        file_close(pair[i]);
        file_close(others[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_flush");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, flushes_groups_of_all_sizes);
    tcase_add_test(tests, a_directory_is_flushed_without_descriptors);
    tcase_add_test(tests, an_error_of_the_file_system_is_not_forgotten);
    tcase_add_test(tests, a_file_system_that_turned_read_only_is_told);
    tcase_add_test(tests, a_file_system_that_was_shut_down_is_told);
    tcase_add_test(tests, two_groups_do_not_share_an_error);
    suite_add_tcase(suite, tests);
    return suite_run(suite) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
