/* What file_posix.c and file_posix_flush.c share; nobody else includes it. */
#ifndef RUNNEL_STORAGE_FILE_POSIX_H
#define RUNNEL_STORAGE_FILE_POSIX_H

#include <pthread.h>
#include <sys/types.h>

#include "storage/file.h"
#include "storage/flush_choice.h"

enum { POSIX_NO_DEVICE = -1, POSIX_DEVICES_MAX = 16, POSIX_POOL_MAX = 8 };
/* Groups of 2 and 3 files, below 16, below 64 and so on are judged apart; the last class has all larger ones.
 */
enum { POSIX_GROUP_CLASSES = 5 };

struct posix_file {
    struct file file; /* first: a posix_file is a file */
    int fd;
    int device; /* index into posix_system.devices, or POSIX_NO_DEVICE */
};

/* A file system that we write to, and what flushing it cost lately. */
struct posix_device {
    dev_t id;
    int fd; /* older than every file of ours on it, so that syncfs() tells all errors since; -1: no syncfs */
    bool takes_ahead; /* blocks behind a file's end pay here, and are given back by a truncation to its size */
    pthread_mutex_t syncfs_lock; /* over syncfs(fd): an error is told once, to whoever asks first */
    bool has_failed;             /* it was told. Whose it was, fdatasync() alone says; under syncfs_lock */
    struct flush_choice choices[POSIX_GROUP_CLASSES];
};

struct posix_group;

struct posix_system {
    struct file_system system; /* first: a posix_system is a file_system */
    pthread_mutex_t lock;      /* guards all that follows */
    pthread_cond_t work;
    struct posix_group *groups; /* with items that nobody took yet */
    bool stopping;
    unsigned pool_size;
    unsigned thread_count; /* started at the first group that needs them */
    pthread_t threads[POSIX_POOL_MAX];
    struct posix_device devices[POSIX_DEVICES_MAX];
    int device_count;
    pthread_mutex_t spare_lock; /* guards spare_fd */
    int spare_fd;               /* given up for the moment when a directory must be opened */
};

static inline struct posix_file *file_posix__of(const struct file *file)
{
    return (struct posix_file *)(uintptr_t)file;
}

static inline struct posix_system *file_posix__system(struct file_system *system)
{
    return (struct posix_system *)system;
}

enum file_status file_posix__status(int error);

/* The device's place in the table, entered when new; path is a file on it. */
int file_posix__device(struct posix_system *posix, dev_t id, const char *path);
void file_posix__pool_init(struct posix_system *posix, unsigned pool_size);
void file_posix__pool_destroy(struct posix_system *posix);

enum file_status file_posix__flush(struct file *file);
enum file_status file_posix__flush_directory(struct file_system *system, const char *path);
void file_posix__flush_group(struct file_system *system, struct file *const *files, size_t file_count,
                             const char *const *directories, size_t directory_count,
                             enum file_status *statuses);
enum file_status file_posix__flush_all(struct file_system *system, const char *path);

#endif
