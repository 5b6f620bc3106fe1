/* All disk access of storage: a table of operations, with a real one and a test double behind it. */
#ifndef RUNNEL_STORAGE_FILE_H
#define RUNNEL_STORAGE_FILE_H

#include <sys/uio.h>

#include "protocol/base/slice.h"

enum file_status {
    FILE_OK,
    FILE_NOT_FOUND, /* ENOENT */
    FILE_EXISTS,    /* EEXIST, ENOTEMPTY */
    FILE_FULL,      /* ENOSPC, EDQUOT, EFBIG: nothing is wrong with the device */
    FILE_LIMIT,     /* EMFILE, ENFILE, ENOMEM, a full map table: try again later */
    FILE_DENIED,    /* EACCES, EPERM, EROFS */
    FILE_LOCKED,    /* another process holds the lock */
    FILE_IO,        /* EIO and all else: the device or the file is not to be trusted */
};

/* Short English name of a status, for notes. */
const char *file_status_name(enum file_status status);

enum {
    FILE_READ = 1,
    FILE_WRITE = 2,
    FILE_CREATE = 4,    /* when absent */
    FILE_EXCLUSIVE = 8, /* with CREATE: fail when present */
    FILE_TRUNCATE = 16,
};

struct file; /* an open file; its operations are those of the system that opened it */
struct file_system;

struct file_info {
    uint64_t size; /* bytes */
    int64_t mtime_ms;
    bool is_directory;
    bool is_regular; /* neither link, pipe nor device; links are not followed */
};

/* What a name in a directory stands for; a link is not followed. */
enum file_type {
    FILE_TYPE_REGULAR,
    FILE_TYPE_DIRECTORY,
    FILE_TYPE_ODD, /* a link, pipe, socket or device: nothing that a broker leaves behind */
};

/* One read-only mapping. address stays valid until unmapped, whatever happens to the name. Bytes at
 * and beyond the file's end must not be touched; the file may grow into the mapped range. */
struct file_map {
    const uint8_t *address;
    size_t size;
};

struct file_system_ops {
    enum file_status (*open)(struct file_system *, const char *path, int flags, struct file **out);
    void (*close)(struct file *);
    enum file_status (*info)(struct file_system *, const char *path, struct file_info *out);
    enum file_status (*size)(struct file *, uint64_t *out);
    /* *got < size only at the end of the file. */
    enum file_status (*pread)(struct file *, void *out, size_t size, uint64_t position, size_t *got);
    /* pread for who reads everything once and leaves the cache to others: what was not cached before is not
     * afterwards either. from_device: what is cached and can be dropped is, and read again. For a file that
     * the caller opened for this alone: it gets no read-ahead any more. */
    enum file_status (*pread_aside)(struct file *, void *out, size_t size, uint64_t position,
                                    bool from_device, size_t *got);
    /* Writes all of it or says how much in *written; short writes are continued, EINTR too. The
     * iovecs are not modified. At most IOV_MAX of them. */
    enum file_status (*pwritev)(struct file *, const struct iovec *iov, int count, uint64_t position,
                                size_t *written);
    enum file_status (*truncate)(struct file *, uint64_t size);
    /* The file is at least `size` bytes long and has real blocks behind every one of them: writes there never
     * meet FILE_FULL. What was there stays, new bytes are zero. Anything but FILE_OK: as it was. For a file
     * that nobody else writes meanwhile; not flushed. */
    enum file_status (*allocate)(struct file *, uint64_t size);
    /* Blocks for bytes that are soon written behind the end, whose place does not change: nothing is longer
     * by it. Not for a file whose end somebody moves meanwhile in another way than by writing. FILE_DENIED:
     * this file system does not, or is better left alone. FILE_FULL: perhaps some of them; give_ahead() takes
     * them back. */
    enum file_status (*allocate_ahead)(struct file *, uint64_t position, uint64_t size);
    /* Blocks behind the end are free for others again. For a file that nobody writes to meanwhile. */
    enum file_status (*give_ahead)(struct file *);
    /* Data and size are on the device when this returns FILE_OK. Never retried after FILE_IO. */
    enum file_status (*flush)(struct file *);
    /* Names in the directory are on the device. */
    enum file_status (*flush_directory)(struct file_system *, const char *path);
    /* Flushes all of them, in the way that measured fastest (one fdatasync, a pool of threads, or
     * syncfs of their file system); statuses has one entry per file, then one per directory. */
    void (*flush_group)(struct file_system *, struct file *const *files, size_t file_count,
                        const char *const *directories, size_t directory_count, enum file_status *statuses);
    /* Everything that was written and named so far on the file system of this directory is on the device. FILE_IO: not
     * all of it, and as with flush nobody may try again. FILE_NOT_FOUND: nothing was done, as this kernel or file
     * system would not tell of errors, or others are mounted below. */
    enum file_status (*flush_all)(struct file_system *, const char *path);
    enum file_status (*map)(struct file *, uint64_t position, size_t size, struct file_map *out);
    void (*unmap)(struct file_system *, struct file_map *);
    /* Whether the mapped range is in memory, so that touching it does not wait for the device. */
    bool (*is_resident)(struct file_system *, const uint8_t *address, size_t size);
    /* Brings the mapped range into memory; blocks. FILE_IO when it cannot be read. */
    enum file_status (*populate)(struct file_system *, const uint8_t *address, size_t size);
    /* The range is not touched for a while: this process holds no memory for it, the bytes stay cached
     * and readable. */
    void (*release)(struct file_system *, const uint8_t *address, size_t size);
    /* Forgets cached clean pages from that position on, and perhaps some before it, so that the next read asks the
     * device (after an unclean stop). */
    void (*drop_cache)(struct file *, uint64_t from);
    /* Starts write-back of the range without waiting. */
    void (*write_behind)(struct file *, uint64_t position, uint64_t size);
    /* Starts to read the range into the cache without waiting; the kernel may take less of it than asked. */
    void (*read_ahead)(struct file *, uint64_t position, uint64_t size);
    enum file_status (*rename)(struct file_system *, const char *from, const char *to);
    enum file_status (*unlink)(struct file_system *, const char *path);
    enum file_status (*make_directory)(struct file_system *, const char *path);
    enum file_status (*remove_directory)(struct file_system *, const char *path);
    /* Calls visit for every entry but "." and "..", in any order; stops when it returns false. */
    enum file_status (*list)(struct file_system *, const char *path,
                             bool (*visit)(void *context, const char *name, enum file_type type),
                             void *context);
    /* A whole-file POSIX record lock (what the JVM's FileChannel.lock takes), held until close. */
    enum file_status (*lock)(struct file *);
    /* Bytes that an unprivileged process may still write; UINT64_MAX when unknown. */
    uint64_t (*free_space)(struct file_system *, const char *path);
};

struct file_system {
    const struct file_system_ops *ops;
};

struct file {
    struct file_system *system;
};

/* Plain calls for the table's entries, so that call sites read file_flush(file). */
enum file_status file_open(struct file_system *, const char *path, int flags, struct file **out);
void file_close(struct file *);
enum file_status file_info(struct file_system *, const char *path, struct file_info *out);
enum file_status file_size(struct file *, uint64_t *out);
enum file_status file_pread(struct file *, void *out, size_t size, uint64_t position, size_t *got);
enum file_status file_pread_aside(struct file *, void *out, size_t size, uint64_t position, bool from_device,
                                  size_t *got);
enum file_status file_pwritev(struct file *, const struct iovec *iov, int count, uint64_t position,
                              size_t *written);
enum file_status file_pwrite(struct file *, const void *bytes, size_t size, uint64_t position);
enum file_status file_truncate(struct file *, uint64_t size);
enum file_status file_allocate(struct file *, uint64_t size);
enum file_status file_allocate_ahead(struct file *, uint64_t position, uint64_t size);
enum file_status file_give_ahead(struct file *);
enum file_status file_flush(struct file *);
enum file_status file_flush_directory(struct file_system *, const char *path);
void file_flush_group(struct file_system *, struct file *const *files, size_t file_count,
                      const char *const *directories, size_t directory_count, enum file_status *statuses);
enum file_status file_flush_all(struct file_system *, const char *path);
enum file_status file_map(struct file *, uint64_t position, size_t size, struct file_map *out);
void file_unmap(struct file_system *, struct file_map *);
bool file_is_resident(struct file_system *, const uint8_t *address, size_t size);
enum file_status file_populate(struct file_system *, const uint8_t *address, size_t size);
void file_release(struct file_system *, const uint8_t *address, size_t size);
void file_drop_cache(struct file *, uint64_t from);
void file_write_behind(struct file *, uint64_t position, uint64_t size);
void file_read_ahead(struct file *, uint64_t position, uint64_t size);
enum file_status file_rename(struct file_system *, const char *from, const char *to);
enum file_status file_unlink(struct file_system *, const char *path);
enum file_status file_make_directory(struct file_system *, const char *path);
enum file_status file_remove_directory(struct file_system *, const char *path);
enum file_status file_list(struct file_system *, const char *path,
                           bool (*visit)(void *context, const char *name), void *context);
enum file_status file_list_types(struct file_system *, const char *path,
                                 bool (*visit)(void *context, const char *name, enum file_type type),
                                 void *context);
enum file_status file_lock(struct file *);
uint64_t file_free_space(struct file_system *, const char *path);

/* Reads a whole file of at most size_max bytes into malloc'ed memory (returned owned, NUL added
 * behind). FILE_IO when larger. */
enum file_status file_read_all(struct file_system *, const char *path, size_t size_max, uint8_t **out,
                               size_t *size);
/* Kafka's way to replace a small file: <path>.tmp, write, flush, rename, flush the directory. */
enum file_status file_replace(struct file_system *, const char *path, slice bytes);

/* The machine's files. pool_size threads for flush_group (4 to 8); freed by file_posix_destroy. */
struct file_system *file_posix_create(unsigned pool_size);
void file_posix_destroy(struct file_system *);

/* Runs fn; false when it touched a mapped page that the device could not deliver (SIGBUS). fn must
 * not take locks, allocate, or nest guards. file_guard_install() once per process, before. */
void file_guard_install(void);
bool file_guarded(void (*fn)(void *context), void *context);

#endif
