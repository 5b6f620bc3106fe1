/* Flushes of the machine's files, by the pool's threads. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
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
    const char *directories[1] = { dir.path };
    enum file_status statuses[COUNT + 1];

    for (int i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        open_files[i] = opened(name);
    }
    for (size_t count = 0; count <= COUNT; count++) {
        for (size_t i = 0; i < count; i++)
            ck_assert_int_eq(file_pwrite(open_files[i], "x", 1, count), FILE_OK);
        memset(statuses, 0xff, sizeof statuses);
        file_flush_group(files, open_files, count, directories, count % 2, statuses);
        for (size_t i = 0; i < count + count % 2; i++)
            ck_assert_int_eq(statuses[i], FILE_OK);
    }
    const char *absent[2] = { dir.path, "/absent" };
    file_flush_group(files, open_files, 1, absent, 2, statuses);
    ck_assert_int_eq(statuses[0], FILE_OK);
    ck_assert_int_eq(statuses[1], FILE_OK);
    ck_assert_int_eq(statuses[2], FILE_NOT_FOUND);
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

/* A flush that fails is final, so it may not fail because others were quicker to take the spare descriptor. */
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

int main(void)
{
    Suite *suite = suite_create("file_flush");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, flushes_groups_of_all_sizes);
    tcase_add_test(tests, a_directory_is_flushed_without_descriptors);
    suite_add_tcase(suite, tests);
    return suite_run(suite) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
