/* Stands before libc in a broker that a test started: delays and fails calls on files as fault_disk.h has it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/fault_disk.h"

static struct fault_disk_shared *shared;

#define REAL(name) static __typeof__(name) *real_##name
REAL(open);
REAL(pread);
REAL(pwritev);
REAL(ftruncate);
REAL(fallocate);
REAL(fdatasync);
REAL(fsync);
REAL(syncfs);
REAL(rename);
REAL(unlink);
REAL(mkdir);
REAL(rmdir);
REAL(mmap);
REAL(sync_file_range);

#define FIND(name) real_##name = (__typeof__(real_##name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    FIND(open);
    FIND(pread);
    FIND(pwritev);
    FIND(ftruncate);
    FIND(fallocate);
    FIND(fdatasync);
    FIND(fsync);
    FIND(syncfs);
    FIND(rename);
    FIND(unlink);
    FIND(mkdir);
    FIND(rmdir);
    FIND(mmap);
    FIND(sync_file_range);
    const char *path = getenv(FAULT_DISK_VARIABLE);
    int fd = path ? real_open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    struct fault_disk_shared *memory =
        real_mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED)
        shared = memory;
    close(fd);
}

/* Signals do not make a device faster. */
static void wait_ms(uint32_t ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t left = ms, end = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + ms;
    while (left > 0) {
        poll(NULL, 0, (int)left);
        clock_gettime(CLOCK_MONOTONIC, &now);
        left = end - ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    }
}

static bool take_one(_Atomic uint32_t *left)
{
    uint32_t now = atomic_load(left);
    while (now != 0) {
        if (now == UINT32_MAX || atomic_compare_exchange_weak(left, &now, now - 1))
            return true;
    }
    return false;
}

/* Whether this call shall fail; errno is set then. Waits where it shall be slow. */
static bool meets_fault(uint32_t kind, const char *path)
{
    if (!shared || strncmp(path, shared->root, strlen(shared->root)) != 0)
        return false;
    if ((atomic_load(&shared->delayed_kinds) & kind) && strstr(path, shared->delayed_part)) {
        atomic_fetch_add(&shared->delayed_count, 1);
        wait_ms(atomic_load(&shared->delay_ms));
    }
    if (!(atomic_load(&shared->failing_kinds) & kind) || !strstr(path, shared->part) ||
        !take_one(&shared->fails_left))
        return false;
    atomic_fetch_add(&shared->failed_count, 1);
    errno = atomic_load(&shared->error);
    return true;
}

static bool file_meets_fault(uint32_t kind, int fd)
{
    char name[64], path[4096];
    if (!shared || !((atomic_load(&shared->delayed_kinds) | atomic_load(&shared->failing_kinds)) & kind))
        return false;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof path - 1);
    if (size <= 0)
        return false;
    path[size] = '\0';
    return meets_fault(kind, path);
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list list;
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    bool is_write = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    /* The broker opens all its files for writing as well: that alone makes no device wait. */
    if (meets_fault(is_write ? FAULT_OPEN_WRITE : FAULT_OPEN_READ, path))
        return -1;
    return real_open(path, flags, mode);
}

/* May be asked before begin() has run. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    enum { MS_PER_SECOND = 1000, NS_PER_MS = 1000000, NS_PER_SECOND = 1000000000 };
    REAL(clock_gettime);
    if (!real_clock_gettime)
        FIND(clock_gettime);
    int status = real_clock_gettime(clock, out);
    int64_t ahead_ms = shared ? atomic_load(&shared->ahead_ms) : 0;
    if (status == 0 && ahead_ms > 0) {
        out->tv_sec += ahead_ms / MS_PER_SECOND;
        out->tv_nsec += ahead_ms % MS_PER_SECOND * NS_PER_MS;
        out->tv_sec += out->tv_nsec / NS_PER_SECOND;
        out->tv_nsec %= NS_PER_SECOND;
    }
    return status;
}

ssize_t pread(int fd, void *out, size_t size, off_t position)
{
    return file_meets_fault(FAULT_READ, fd) ? -1 : real_pread(fd, out, size, position);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t position)
{
    return file_meets_fault(FAULT_WRITE, fd) ? -1 : real_pwritev(fd, iov, count, position);
}

int ftruncate(int fd, off_t size)
{
    return file_meets_fault(FAULT_TRUNCATE, fd) ? -1 : real_ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t position, off_t size)
{
    return file_meets_fault(FAULT_WRITE, fd) ? -1 : real_fallocate(fd, mode, position, size);
}

int fdatasync(int fd)
{
    return file_meets_fault(FAULT_FLUSH, fd) ? -1 : real_fdatasync(fd);
}

int fsync(int fd)
{
    return file_meets_fault(FAULT_FLUSH, fd) ? -1 : real_fsync(fd);
}

int syncfs(int fd)
{
    return file_meets_fault(FAULT_FLUSH, fd) ? -1 : real_syncfs(fd);
}

int sync_file_range(int fd, off64_t position, off64_t size, unsigned flags)
{
    return file_meets_fault(FAULT_FLUSH, fd) ? -1 : real_sync_file_range(fd, position, size, flags);
}

int rename(const char *from, const char *to)
{
    return meets_fault(FAULT_NAMES, to) ? -1 : real_rename(from, to);
}

int unlink(const char *path)
{
    return meets_fault(FAULT_NAMES, path) ? -1 : real_unlink(path);
}

int mkdir(const char *path, mode_t mode)
{
    return meets_fault(FAULT_NAMES, path) ? -1 : real_mkdir(path, mode);
}

int rmdir(const char *path)
{
    return meets_fault(FAULT_NAMES, path) ? -1 : real_rmdir(path);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t position)
{
    if (fd >= 0 && file_meets_fault(FAULT_MAP, fd))
        return MAP_FAILED;
    return real_mmap(address, size, protection, flags, fd, position);
}
