/* The machine's files behind file.h; group flushes are in file_posix_flush.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "storage/file_posix.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x80
#endif

enum file_status file_posix__status(int error)
{
    switch (error) {
    case 0:
        return FILE_OK;
    case ENOENT:
    case ENOTDIR:
        return FILE_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return FILE_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return FILE_FULL;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return FILE_LIMIT;
    case EACCES:
    case EPERM:
    case EROFS:
        return FILE_DENIED;
    default:
        return FILE_IO;
    }
}

static int fd_of(const struct file *file)
{
    return file_posix__of(file)->fd;
}

static enum file_status posix_open(struct file_system *system, const char *path, int flags, struct file **out)
{
    /* NONBLOCK: a pipe that somebody left in the directory must not hang us; regular files do not
     * care. NOFOLLOW: a link would have us write, or truncate, what is none of ours. */
    int mode = O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW;
    struct stat stat;

    *out = NULL;
    mode |= !(flags & FILE_WRITE) ? O_RDONLY : (flags & FILE_READ) ? O_RDWR : O_WRONLY;
    mode |= (flags & FILE_CREATE ? O_CREAT : 0) | (flags & FILE_EXCLUSIVE ? O_EXCL : 0);
    mode |= flags & FILE_TRUNCATE ? O_TRUNC : 0;

    struct posix_file *file = malloc(sizeof *file);
    if (!file)
        return FILE_LIMIT;
    file->file.system = system;
    file->device = POSIX_NO_DEVICE;
    do {
        file->fd = open(path, mode, 0666);
    } while (file->fd < 0 && errno == EINTR);
    enum file_status status = file->fd < 0 ? file_posix__status(errno) : FILE_OK;
    if (status != FILE_OK)
        goto release;
    if (fstat(file->fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        status = FILE_IO;
        goto close;
    }
    if (flags & FILE_WRITE)
        file->device = file_posix__device(file_posix__system(system), stat.st_dev, path);
    *out = &file->file;
    return FILE_OK;
close:
    close(file->fd);
release:
    free(file);
    return status;
}

static void posix_close(struct file *file)
{
    close(fd_of(file));
    free(file_posix__of(file));
}

static enum file_status posix_info(struct file_system *system, const char *path, struct file_info *out)
{
    struct stat stat;

    (void)system;
    if (lstat(path, &stat) != 0)
        return file_posix__status(errno);
    *out = (struct file_info){
        .size = (uint64_t)stat.st_size,
        .mtime_ms = (int64_t)stat.st_mtim.tv_sec * 1000 + stat.st_mtim.tv_nsec / 1000000,
        .is_directory = S_ISDIR(stat.st_mode),
        .is_regular = S_ISREG(stat.st_mode),
    };
    return FILE_OK;
}

static enum file_status posix_size(struct file *file, uint64_t *out)
{
    struct stat stat;

    if (fstat(fd_of(file), &stat) != 0)
        return file_posix__status(errno);
    *out = (uint64_t)stat.st_size;
    return FILE_OK;
}

static enum file_status posix_pread(struct file *file, void *out, size_t size, uint64_t position, size_t *got)
{
    *got = 0;
    while (*got < size) {
        ssize_t n = pread(fd_of(file), (uint8_t *)out + *got, size - *got, (off_t)(position + *got));
        if (n == 0)
            break;
        if (n > 0)
            *got += (size_t)n;
        else if (errno != EINTR)
            return file_posix__status(errno);
    }
    return FILE_OK;
}

static size_t page_size(void)
{
    static _Atomic size_t size;

    if (!size)
        size = (size_t)sysconf(_SC_PAGESIZE);
    return size;
}

/* What of the range is cached already, from its begin on; none when nobody can tell. */
static size_t read_cached(struct file *file, void *out, size_t size, uint64_t position)
{
    struct iovec iov = { out, size };
    ssize_t n = preadv2(fd_of(file), &iov, 1, (off_t)position, RWF_NOWAIT);
    return n > 0 ? (size_t)n : 0;
}

/* Page by page, so that what two ranges share does not stay. */
static void forget_range(struct file *file, uint64_t position, uint64_t size)
{
    uint64_t page = page_size(), begin = position & ~(page - 1),
             end = (position + size + page - 1) & ~(page - 1);
    (void)posix_fadvise(fd_of(file), (off_t)begin, (off_t)(end - begin), POSIX_FADV_DONTNEED);
}

static enum file_status posix_pread_aside(struct file *file, void *out, size_t size, uint64_t position,
                                          bool from_device, size_t *got)
{
    struct iovec iov = { out, size };
    ssize_t n;

    if (from_device)
        forget_range(file, position, size);
    do {
        n = preadv2(fd_of(file), &iov, 1, (off_t)position, RWF_DONTCACHE);
    } while (n < 0 && errno == EINTR);
    *got = n > 0 ? (size_t)n : 0;
    if (n >= 0 && ((size_t)n == size || n == 0))
        return FILE_OK;
    if (n < 0 && errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS)
        return file_posix__status(errno);
    /* A kernel before 6.14, a file system that does not know it, or the end of the file is near. */
    size_t before = *got, rest;
    (void)posix_fadvise(fd_of(file), 0, 0, POSIX_FADV_RANDOM);
    before += read_cached(file, (uint8_t *)out + before, size - before, position + before);
    enum file_status status =
        posix_pread(file, (uint8_t *)out + before, size - before, position + before, &rest);
    *got = before + rest;
    if (rest > 0)
        forget_range(file, position + before, rest);
    return status;
}

enum {
    WINDOW_COUNT = 256,
    /* A longer write has the page cache take folios that are as long. Such memory is the last that a guest's kernel
     * turns to, so the host has yet to find it: writes of 1 MiB cost twice the CPU of those of this size. */
    WRITE_SIZE_MAX = 256 << 10,
};

/* The iovecs from byte `skip` on, as many as fit and no more than one write takes. */
static int iov_window(const struct iovec *iov, int count, size_t skip, struct iovec window[WINDOW_COUNT])
{
    size_t room = WRITE_SIZE_MAX;
    int used = 0;

    for (int i = 0; i < count && used < WINDOW_COUNT && room > 0; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        window[used].iov_base = (uint8_t *)iov[i].iov_base + skip;
        window[used].iov_len = iov[i].iov_len - skip < room ? iov[i].iov_len - skip : room;
        room -= window[used++].iov_len;
        skip = 0;
    }
    return used;
}

static enum file_status posix_pwritev(struct file *file, const struct iovec *iov, int count,
                                      uint64_t position, size_t *written)
{
    size_t size = 0;
    struct iovec window[WINDOW_COUNT];

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    *written = 0;
    while (*written < size) {
        const struct iovec *from = iov;
        int from_count = count;
        if (*written || size > WRITE_SIZE_MAX) {
            from_count = iov_window(iov, count, *written, window);
            from = window;
        }
        ssize_t n = pwritev(fd_of(file), from, from_count, (off_t)(position + *written));
        if (n > 0)
            *written += (size_t)n;
        else if (n == 0)
            return FILE_IO;
        else if (errno != EINTR)
            return file_posix__status(errno);
    }
    return FILE_OK;
}

static enum file_status posix_truncate(struct file *file, uint64_t size)
{
    int rc;

    do {
        rc = ftruncate(fd_of(file), (off_t)size);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? FILE_OK : file_posix__status(errno);
}

/* For a file system without fallocate(2): what is there is written again, so that holes get blocks, and zeros
 * behind it. */
static enum file_status write_through(struct file *file, uint64_t size)
{
    enum { CHUNK_SIZE = 65536 };
    uint8_t *chunk = malloc(CHUNK_SIZE);
    enum file_status status = chunk ? FILE_OK : FILE_LIMIT;

    for (uint64_t position = 0; position < size && status == FILE_OK; position += CHUNK_SIZE) {
        size_t part = size - position < CHUNK_SIZE ? (size_t)(size - position) : CHUNK_SIZE, got = 0;
        status = posix_pread(file, chunk, part, position, &got);
        memset(chunk + got, 0, part - got);
        if (status == FILE_OK)
            status = file_pwrite(file, chunk, part, position);
    }
    free(chunk);
    return status;
}

static enum file_status posix_allocate(struct file *file, uint64_t size)
{
    uint64_t had;
    int rc;
    enum file_status status = posix_size(file, &had);

    if (status != FILE_OK)
        return status;
    do {
        rc = fallocate(fd_of(file), 0, 0, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0)
        status = errno == EOPNOTSUPP || errno == ENOSYS ? write_through(file, size)
                                                        : file_posix__status(errno);
    /* Some file systems keep what they found before they ran out of it, behind the end as well. */
    if (status != FILE_OK && posix_truncate(file, had) != FILE_OK)
        return FILE_IO;
    return status;
}

static enum file_status posix_allocate_ahead(struct file *file, uint64_t position, uint64_t size)
{
    int device = file_posix__of(file)->device, rc;

    if (device == POSIX_NO_DEVICE || !file_posix__system(file->system)->devices[device].takes_ahead)
        return FILE_DENIED;
    do {
        rc = fallocate(fd_of(file), FALLOC_FL_KEEP_SIZE, (off_t)position, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        return FILE_DENIED;
    return rc == 0 ? FILE_OK : file_posix__status(errno);
}

static enum file_status posix_give_ahead(struct file *file)
{
    int device = file_posix__of(file)->device;
    struct stat stat;

    if (device == POSIX_NO_DEVICE || !file_posix__system(file->system)->devices[device].takes_ahead)
        return FILE_OK;
    if (fstat(fd_of(file), &stat) != 0)
        return file_posix__status(errno);
    uint64_t size = (uint64_t)stat.st_size, block = (uint64_t)stat.st_blksize;
    /* Blocks of the extents count too: then it is for nothing. */
    if ((uint64_t)stat.st_blocks * 512 <= (size + block - 1) / block * block)
        return FILE_OK;
    return posix_truncate(file, size);
}

static uint8_t *page_of(const uint8_t *address)
{
    return (uint8_t *)((uintptr_t)address & ~(uintptr_t)(page_size() - 1));
}

static enum file_status posix_map(struct file *file, uint64_t position, size_t size, struct file_map *out)
{
    size_t lead = (size_t)(position & (page_size() - 1));

    *out = (struct file_map){ NULL, 0 };
    if (size == 0)
        return FILE_OK;
    uint8_t *base = mmap(NULL, size + lead, PROT_READ, MAP_SHARED, fd_of(file), (off_t)(position - lead));
    if (base == MAP_FAILED)
        return file_posix__status(errno);
    *out = (struct file_map){ base + lead, size };
    return FILE_OK;
}

static void posix_unmap(struct file_system *system, struct file_map *map)
{
    (void)system;
    if (map->address) {
        uint8_t *base = page_of(map->address);
        check(munmap(base, map->size + (size_t)(map->address - base)) == 0);
    }
    *map = (struct file_map){ NULL, 0 };
}

static bool posix_is_resident(struct file_system *system, const uint8_t *address, size_t size)
{
    unsigned char pages[256];
    size_t page = page_size();
    uint8_t *base = page_of(address);
    size_t left = size + (size_t)(address - base);

    (void)system;
    if (size == 0)
        return true;
    while (left) {
        size_t chunk = left < sizeof pages * page ? left : sizeof pages * page;
        if (mincore(base, chunk, pages) != 0)
            return true; /* cannot tell: the reader's guard has the last word */
        for (size_t i = 0; i < (chunk + page - 1) / page; i++) {
            if (!(pages[i] & 1))
                return false;
        }
        base += chunk;
        left -= chunk;
    }
    return true;
}

static void touch_pages(void *context)
{
    const struct file_map *map = context;
    const uint8_t *end = map->address + map->size;

    for (const volatile uint8_t *p = map->address; p < end;
         p = page_of((const uint8_t *)(uintptr_t)p) + page_size())
        (void)*p;
}

static enum file_status posix_populate(struct file_system *system, const uint8_t *address, size_t size)
{
    struct file_map range = { address, size };
    uint8_t *base = page_of(address);

    (void)system;
    if (size == 0)
        return FILE_OK;
    if (madvise(base, size + (size_t)(address - base), MADV_POPULATE_READ) == 0)
        return FILE_OK;
    if (errno == EFAULT || errno == EHWPOISON)
        return FILE_IO;
    return file_guarded(touch_pages, &range) ? FILE_OK : FILE_IO; /* a kernel before 5.14 */
}

/* Drops the page table's entries alone: the pages are the file's, and the next touch finds them again. */
static void posix_release(struct file_system *system, const uint8_t *address, size_t size)
{
    uint8_t *base = page_of(address);

    (void)system;
    if (size > 0)
        (void)madvise(base, size + (size_t)(address - base), MADV_DONTNEED);
}

/* The kernel leaves pages, and folios of many, that begin before the range: those of this size at most. */
enum { FOLIO_SIZE_MAX = 4 << 20 };

static void posix_drop_cache(struct file *file, uint64_t from)
{
    (void)posix_fadvise(fd_of(file), (off_t)(from / FOLIO_SIZE_MAX * FOLIO_SIZE_MAX), 0, POSIX_FADV_DONTNEED);
}

static void posix_write_behind(struct file *file, uint64_t position, uint64_t size)
{
    (void)sync_file_range(fd_of(file), (off64_t)position, (off64_t)size, SYNC_FILE_RANGE_WRITE);
}

static void posix_read_ahead(struct file *file, uint64_t position, uint64_t size)
{
    (void)posix_fadvise(fd_of(file), (off_t)position, (off_t)size, POSIX_FADV_WILLNEED);
}

static enum file_status posix_rename(struct file_system *system, const char *from, const char *to)
{
    (void)system;
    return rename(from, to) == 0 ? FILE_OK : file_posix__status(errno);
}

static enum file_status posix_unlink(struct file_system *system, const char *path)
{
    (void)system;
    return unlink(path) == 0 ? FILE_OK : file_posix__status(errno);
}

static enum file_status posix_make_directory(struct file_system *system, const char *path)
{
    (void)system;
    return mkdir(path, 0777) == 0 ? FILE_OK : file_posix__status(errno);
}

static enum file_status posix_remove_directory(struct file_system *system, const char *path)
{
    (void)system;
    return rmdir(path) == 0 ? FILE_OK : file_posix__status(errno);
}

/* File systems that do not say it with the name are asked. */
static enum file_type type_of(DIR *directory, const struct dirent *entry)
{
    struct stat stat;

    if (entry->d_type == DT_REG)
        return FILE_TYPE_REGULAR;
    if (entry->d_type == DT_DIR)
        return FILE_TYPE_DIRECTORY;
    /* What is gone meanwhile, or cannot be asked, whoever opens it will see. */
    if (entry->d_type == DT_UNKNOWN &&
        (fstatat(dirfd(directory), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) != 0 || S_ISREG(stat.st_mode)))
        return FILE_TYPE_REGULAR;
    return entry->d_type == DT_UNKNOWN && S_ISDIR(stat.st_mode) ? FILE_TYPE_DIRECTORY : FILE_TYPE_ODD;
}

static enum file_status posix_list(struct file_system *system, const char *path,
                                   bool (*visit)(void *context, const char *name, enum file_type type),
                                   void *context)
{
    enum file_status status = FILE_OK;

    (void)system;
    DIR *directory = opendir(path);
    if (!directory)
        return file_posix__status(errno);
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry) {
            status = file_posix__status(errno);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!visit(context, entry->d_name, type_of(directory, entry)))
            break;
    }
    closedir(directory);
    return status;
}

static enum file_status posix_lock(struct file *file)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    /* A lock of the open file conflicts with the JVM's record locks as well, but does not vanish
     * when some other descriptor of the same file is closed in this process. */
    int rc = fcntl(fd_of(file), F_OFD_SETLK, &lock);
    if (rc == 0)
        return FILE_OK;
    return errno == EAGAIN || errno == EACCES ? FILE_LOCKED : file_posix__status(errno);
}

static uint64_t posix_free_space(struct file_system *system, const char *path)
{
    struct statvfs stat;

    (void)system;
    if (statvfs(path, &stat) != 0)
        return UINT64_MAX;
    return (uint64_t)stat.f_bavail * stat.f_frsize;
}

static const struct file_system_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .info = posix_info,
    .size = posix_size,
    .pread = posix_pread,
    .pread_aside = posix_pread_aside,
    .pwritev = posix_pwritev,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .allocate_ahead = posix_allocate_ahead,
    .give_ahead = posix_give_ahead,
    .flush = file_posix__flush,
    .flush_directory = file_posix__flush_directory,
    .flush_group = file_posix__flush_group,
    .flush_all = file_posix__flush_all,
    .map = posix_map,
    .unmap = posix_unmap,
    .is_resident = posix_is_resident,
    .populate = posix_populate,
    .release = posix_release,
    .drop_cache = posix_drop_cache,
    .write_behind = posix_write_behind,
    .read_ahead = posix_read_ahead,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .make_directory = posix_make_directory,
    .remove_directory = posix_remove_directory,
    .list = posix_list,
    .lock = posix_lock,
    .free_space = posix_free_space,
};

struct file_system *file_posix_create(unsigned pool_size)
{
    struct posix_system *posix = check_memory(calloc(1, sizeof *posix));

    posix->system.ops = &posix_ops;
    file_posix__pool_init(posix, pool_size);
    return &posix->system;
}

void file_posix_destroy(struct file_system *system)
{
    struct posix_system *posix = file_posix__system(system);

    file_posix__pool_destroy(posix);
    free(posix);
}
