/* Flushes: one file, one directory, or a group in the way that measured fastest. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "storage/file_posix.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#ifndef F2FS_SUPER_MAGIC
#define F2FS_SUPER_MAGIC 0xF2F52010
#endif

/* With fewer files it gains nothing that their write-back is begun together. */
enum { BEGIN_FILES_MIN = 4 };

/* One call's files and directories; the caller waits on its stack until all are done. */
struct posix_group {
    struct posix_group *next;
    struct posix_system *posix;
    struct file *const *files;
    size_t file_count;
    const char *const *directories;
    size_t count; /* files and directories */
    size_t taken;
    size_t done;
    enum file_status *statuses;
    pthread_cond_t finished;
};

enum file_status file_posix__flush(struct file *file)
{
    /* No loop on EINTR either: after any error the kernel may count the pages as clean. */
    return fdatasync(file_posix__of(file)->fd) == 0 ? FILE_OK : FILE_IO;
}

static enum file_status open_and_flush(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return file_posix__status(errno);
    int rc = fsync(fd);
    close(fd);
    return rc == 0 ? FILE_OK : FILE_IO;
}

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* syncfs() reports errors of the data from Linux 5.8 on and those of the file system's own commit from 5.17 on, and
 * only where the file system itself owns the pages: on overlays the errors of the layer below stay hidden. */
static bool syncfs_tells_errors(int fd)
{
    struct utsname name;
    struct statfs stat;
    unsigned major, minor;

    if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
        return false;
    if (major < 5 || (major == 5 && minor < 17) || fstatfs(fd, &stat) != 0 ||
        stat.f_flags & ST_RDONLY) /* of this mount, not of the files': takes_writes() */
        return false;
    switch ((unsigned long)stat.f_type) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
        return true;
    default:
        return false;
    }
}

/* ext4 finds blocks when it writes back, under a lock that appends take. XFS allocates ahead by itself, others copy
 * on write, and tmpfs would take the memory at once. */
static bool takes_ahead(int fd)
{
    struct statfs stat;

    return fstatfs(fd, &stat) == 0 && (unsigned long)stat.f_type == EXT4_SUPER_MAGIC;
}

static int open_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = !slash ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));

    if (!parent)
        return -1;
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(parent);
    return fd;
}

/* A file may lie on another device than its directory: it is mounted there. */
static bool is_on(int fd, dev_t id)
{
    struct stat stat;

    return fstat(fd, &stat) == 0 && stat.st_dev == id;
}

static int device_index(const struct posix_system *posix, dev_t id)
{
    for (int i = 0; i < posix->device_count; i++) {
        if (posix->devices[i].id == id)
            return i;
    }
    return POSIX_NO_DEVICE;
}

int file_posix__device(struct posix_system *posix, dev_t id, const char *path)
{
    pthread_mutex_lock(&posix->lock);
    int index = device_index(posix, id);
    if (index == POSIX_NO_DEVICE && posix->device_count < POSIX_DEVICES_MAX) {
        index = posix->device_count++;
        struct posix_device *device = &posix->devices[index];
        *device = (struct posix_device){ .id = id, .fd = open_parent(path) };
        device->takes_ahead = device->fd >= 0 && is_on(device->fd, id) && takes_ahead(device->fd);
        check(pthread_mutex_init(&device->syncfs_lock, NULL) == 0);
        if (device->fd >= 0 && !(is_on(device->fd, id) && syncfs_tells_errors(device->fd))) {
            close(device->fd);
            device->fd = -1;
        }
    }
    pthread_mutex_unlock(&posix->lock);
    return index;
}

/* syncfs() answers 0 without a word where the file system has turned to read-only by itself, and some kernels' do so
 * where it was shut down. Neither ends by itself, so it is enough to ask afterwards. A write of nothing is refused
 * then, and costs no I/O. */
static bool takes_writes(const struct posix_device *device, const struct posix_file *file)
{
    struct statfs stat;

    if (fstatfs(device->fd, &stat) != 0 || stat.f_flags & ST_RDONLY)
        return false;
    return !file || pwrite(file->fd, "", 0, 0) == 0 || errno == EBADF;
}

/* All of the file system, for its fd's errors; a file on it, or NULL. Under the device's syncfs_lock. */
static enum file_status flush_device(struct posix_device *device, const struct posix_file *file)
{
    if (!device->has_failed)
        device->has_failed = syncfs(device->fd) != 0 || !takes_writes(device, file);
    return device->has_failed ? FILE_IO : FILE_OK;
}

/* FILE_LIMIT: it cannot be told whether all is well there. */
static enum file_status flush_file_system(struct posix_system *posix, const char *path)
{
    struct stat place;

    if (stat(path, &place) != 0)
        return file_posix__status(errno);
    pthread_mutex_lock(&posix->lock);
    /* Open since the first file there was: it tells of all errors since. */
    int index = device_index(posix, place.st_dev);
    pthread_mutex_unlock(&posix->lock);
    if (index == POSIX_NO_DEVICE || posix->devices[index].fd < 0)
        return FILE_LIMIT;
    struct posix_device *device = &posix->devices[index];
    pthread_mutex_lock(&device->syncfs_lock);
    enum file_status status = flush_device(device, NULL);
    pthread_mutex_unlock(&device->syncfs_lock);
    return status;
}

/* With the spare descriptor; somebody else may be quicker to take it. */
static enum file_status flush_with_spare(struct posix_system *posix, const char *path)
{
    pthread_mutex_lock(&posix->spare_lock);
    if (posix->spare_fd >= 0)
        close(posix->spare_fd);
    enum file_status status = open_and_flush(path);
    posix->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pthread_mutex_unlock(&posix->spare_lock);
    return status;
}

/* Clients that use up all descriptors must not be able to fail a flush, which is final: without one, all of
 * the file system is flushed, and where that does not tell of errors it waits until one comes free. */
enum file_status file_posix__flush_directory(struct file_system *system, const char *path)
{
    static const struct timespec pause = { .tv_nsec = 2000000 };
    enum file_status status = open_and_flush(path);
    while (status == FILE_LIMIT &&
           (status = flush_with_spare(file_posix__system(system), path)) == FILE_LIMIT) {
        status = flush_file_system(file_posix__system(system), path);
        if (status != FILE_LIMIT)
            break;
        nanosleep(&pause, NULL);
        status = open_and_flush(path);
    }
    return status;
}

static enum file_status flush_item(struct posix_group *group, size_t index)
{
    if (index < group->file_count)
        return file_posix__flush(group->files[index]);
    return file_posix__flush_directory(&group->posix->system, group->directories[index - group->file_count]);
}

/* Does one item of the group with the lock dropped meanwhile. */
static void do_one(struct posix_group *group)
{
    struct posix_system *posix = group->posix;
    size_t index = group->taken++;

    if (group->taken == group->count) {
        struct posix_group **link = &posix->groups;
        while (*link != group)
            link = &(*link)->next;
        *link = group->next;
    }
    pthread_mutex_unlock(&posix->lock);
    enum file_status status = flush_item(group, index);
    pthread_mutex_lock(&posix->lock);
    group->statuses[index] = status;
    if (++group->done == group->count)
        pthread_cond_signal(&group->finished);
}

static void *pool_main(void *argument)
{
    struct posix_system *posix = argument;

    pthread_mutex_lock(&posix->lock);
    while (!posix->stopping) {
        if (posix->groups)
            do_one(posix->groups);
        else
            pthread_cond_wait(&posix->work, &posix->lock);
    }
    pthread_mutex_unlock(&posix->lock);
    return NULL;
}

/* Fewer threads than wished are no failure: the caller works too. */
static void start_threads(struct posix_system *posix, size_t wished)
{
    pthread_attr_t attributes;

    if (wished > posix->pool_size)
        wished = posix->pool_size;
    if (posix->thread_count >= wished)
        return;
    check(pthread_attr_init(&attributes) == 0);
    (void)pthread_attr_setstacksize(&attributes, 128 << 10);
    while (posix->thread_count < wished &&
           pthread_create(&posix->threads[posix->thread_count], &attributes, pool_main, posix) == 0)
        posix->thread_count++;
    pthread_attr_destroy(&attributes);
}

/* Wakes as many as there is work for, as each wake-up costs more than some flushes, and without the lock,
 * which they would wait for at once. */
static void wake_threads(struct posix_system *posix, size_t wished)
{
    size_t count = wished < posix->thread_count ? wished : posix->thread_count;

    pthread_mutex_unlock(&posix->lock);
    for (size_t i = 0; i < count; i++)
        pthread_cond_signal(&posix->work);
    pthread_mutex_lock(&posix->lock);
}

/* Has all of them written before anybody waits: their blocks come into one commit of the journal then, not
 * into as many as there are threads. What fails here is told by fdatasync. */
static void begin_writing(const struct posix_group *group)
{
    for (size_t i = 0; i < group->file_count && group->file_count >= BEGIN_FILES_MIN; i++)
        (void)sync_file_range(file_posix__of(group->files[i])->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static void flush_by_pool(struct posix_group *group)
{
    struct posix_system *posix = group->posix;

    begin_writing(group);
    check(pthread_cond_init(&group->finished, NULL) == 0);
    pthread_mutex_lock(&posix->lock);
    start_threads(posix, group->count - 1);
    struct posix_group **link = &posix->groups;
    while (*link)
        link = &(*link)->next;
    *link = group;
    wake_threads(posix, group->count - 1);
    while (group->taken < group->count)
        do_one(group);
    while (group->done < group->count)
        pthread_cond_wait(&group->finished, &posix->lock);
    pthread_mutex_unlock(&posix->lock);
    pthread_cond_destroy(&group->finished);
}

/* The device that holds all of the group, or POSIX_NO_DEVICE. */
static int common_device(const struct posix_group *group)
{
    int device = group->file_count ? file_posix__of(group->files[0])->device : POSIX_NO_DEVICE;

    for (size_t i = 1; i < group->file_count; i++) {
        if (file_posix__of(group->files[i])->device != device)
            return POSIX_NO_DEVICE;
    }
    for (size_t i = 0; i < group->count - group->file_count && device != POSIX_NO_DEVICE; i++) {
        struct stat place;
        if (stat(group->directories[i], &place) != 0 || place.st_dev != group->posix->devices[device].id)
            return POSIX_NO_DEVICE;
    }
    return device;
}

/* Of groups of so many files on that device. */
static struct flush_choice *choice_of(struct posix_device *device, size_t count)
{
    size_t at = 0;

    while (at + 1 < POSIX_GROUP_CLASSES && count >= (size_t)4 << 2 * at)
        at++;
    return &device->choices[at];
}

/* False: an error that others were told, or are about to be, may be of this group's files. */
static bool flush_by_syncfs(const struct posix_group *group, struct posix_device *device)
{
    if (pthread_mutex_trylock(&device->syncfs_lock) != 0)
        return false;
    bool is_ours = !device->has_failed;
    const struct posix_file *file = group->file_count ? file_posix__of(group->files[0]) : NULL;
    enum file_status status = flush_device(device, file);
    pthread_mutex_unlock(&device->syncfs_lock);
    for (size_t i = 0; i < group->count && is_ours; i++)
        group->statuses[i] = status;
    return is_ours;
}

/* In the way that was cheaper lately on a file system where there are two. */
static void flush_measured(struct posix_group *group, struct posix_device *device)
{
    struct posix_system *posix = group->posix;
    struct flush_choice *choice = choice_of(device, group->count);

    pthread_mutex_lock(&posix->lock);
    enum flush_way way = flush_choice_take(choice);
    pthread_mutex_unlock(&posix->lock);
    double begin = now_ns();
    if (way == FLUSH_SYNCFS && !flush_by_syncfs(group, device))
        way = FLUSH_POOL;
    if (way == FLUSH_POOL)
        flush_by_pool(group);
    double took_ns = now_ns() - begin;
    pthread_mutex_lock(&posix->lock);
    flush_choice_note(choice, way, took_ns);
    pthread_mutex_unlock(&posix->lock);
}

void file_posix__flush_group(struct file_system *system, struct file *const *files, size_t file_count,
                             const char *const *directories, size_t directory_count,
                             enum file_status *statuses)
{
    struct posix_system *posix = file_posix__system(system);
    struct posix_group group = {
        .posix = posix,
        .files = files,
        .file_count = file_count,
        .directories = directories,
        .count = file_count + directory_count,
        .statuses = statuses,
    };

    if (group.count == 0)
        return;
    if (group.count == 1) {
        statuses[0] = flush_item(&group, 0);
        return;
    }
    int index = common_device(&group);
    if (index != POSIX_NO_DEVICE && posix->devices[index].fd >= 0)
        flush_measured(&group, &posix->devices[index]);
    else
        flush_by_pool(&group);
}

/* Whether a line of mountinfo names a place below path. Odd characters are octal there, so such a path counts
 * as having mounts below. */
static bool is_mount_below(const char *line, const char *path, size_t size)
{
    char place[4096];

    if (sscanf(line, "%*s %*s %*s %*s %4095s", place) != 1)
        return true;
    return strncmp(place, path, size) == 0 && place[size] == '/';
}

static bool has_mounts_below(const char *path)
{
    char *real = realpath(path, NULL), *line = NULL;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    size_t capacity = 0;
    bool has = !real || !file || strpbrk(real, " \t\n\\") != NULL;

    while (!has && getline(&line, &capacity, file) > 0)
        has = is_mount_below(line, real, strlen(real));
    if (file)
        fclose(file);
    free(line);
    free(real);
    return has;
}

enum file_status file_posix__flush_all(struct file_system *system, const char *path)
{
    enum file_status status =
        has_mounts_below(path) ? FILE_LIMIT : flush_file_system(file_posix__system(system), path);
    return status == FILE_OK || status == FILE_IO ? status : FILE_NOT_FOUND;
}

void file_posix__pool_init(struct posix_system *posix, unsigned pool_size)
{
    posix->pool_size = pool_size < POSIX_POOL_MAX ? pool_size : POSIX_POOL_MAX;
    check(pthread_mutex_init(&posix->lock, NULL) == 0);
    check(pthread_cond_init(&posix->work, NULL) == 0);
    check(pthread_mutex_init(&posix->spare_lock, NULL) == 0);
    posix->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void file_posix__pool_destroy(struct posix_system *posix)
{
    pthread_mutex_lock(&posix->lock);
    check(!posix->groups);
    posix->stopping = true;
    pthread_cond_broadcast(&posix->work);
    pthread_mutex_unlock(&posix->lock);
    for (unsigned i = 0; i < posix->thread_count; i++)
        pthread_join(posix->threads[i], NULL);
    for (int i = 0; i < posix->device_count; i++) {
        if (posix->devices[i].fd >= 0)
            close(posix->devices[i].fd);
        pthread_mutex_destroy(&posix->devices[i].syncfs_lock);
    }
    if (posix->spare_fd >= 0)
        close(posix->spare_fd);
    pthread_mutex_destroy(&posix->spare_lock);
    pthread_cond_destroy(&posix->work);
    pthread_mutex_destroy(&posix->lock);
}
