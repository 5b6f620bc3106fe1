/* The test double of file.h: a disk in memory that can lose power, reorder, run full and fail. */
#ifndef RUNNEL_STORAGE_FILE_DOUBLE_H
#define RUNNEL_STORAGE_FILE_DOUBLE_H

#include "protocol/base/random.h"
#include "storage/file.h"

/* What the running program sees (the cache) and what a power cut leaves (the device) are kept
 * apart: writes, truncations and directory changes reach the device when flushed, or by chance at a
 * cut. Every operation that changes something has a number, from 1. Mappings are real. */
struct file_double;

struct file_double *file_double_create(void);
void file_double_destroy(struct file_double *);
struct file_system *file_double_system(struct file_double *);

/* Changing operations so far. */
uint64_t file_double_operation_count(const struct file_double *);
/* Flush calls so far (flush, flush_directory, and each member of flush_group). */
uint64_t file_double_flush_count(const struct file_double *);
/* Those of them that began after another had failed (file_double_fail_flush): fsyncgate forbids any. */
uint64_t file_double_late_flush_count(const struct file_double *);

/* How unflushed operations fare at a power cut. */
enum file_double_cut {
    FILE_DOUBLE_LOSE_ALL, /* only what was flushed */
    FILE_DOUBLE_KEEP_ALL, /* everything, in order: a kill, not a cut */
    FILE_DOUBLE_REORDER,  /* any subset per file and directory, torn at 512-byte sectors */
};

/* A new double whose cache and device are what `disk` would hold had the power gone after its
 * operation number `operation` (0: before the first). Needs the recording, on from the start. */
struct file_double *file_double_after_cut(const struct file_double *disk, uint64_t operation,
                                          enum file_double_cut cut, struct random *random);

/* Faults. Operation numbers count from now; 0 switches off. */
void file_double_fail_write(struct file_double *, uint64_t nth, enum file_status status);
void file_double_fail_rename(struct file_double *, uint64_t nth, enum file_status status);
void file_double_fail_unlink(struct file_double *, uint64_t nth, enum file_status status);
/* The write stops after `size` bytes, then fails with FILE_FULL. */
void file_double_short_write(struct file_double *, uint64_t nth, size_t size);
/* Fails with FILE_IO; as on Linux the pages count as clean after: a second flush says FILE_OK, and
 * what was not on the device is lost at the next cut or drop_cache (fsyncgate). */
void file_double_fail_flush(struct file_double *, uint64_t nth);
/* Bytes that the device can still take; writes beyond fail with FILE_FULL. UINT64_MAX: unlimited. */
void file_double_set_free_space(struct file_double *, uint64_t size);
/* Open files allowed at a time; opens beyond fail with FILE_LIMIT. 0: unlimited. */
void file_double_set_open_limit(struct file_double *, unsigned count);
/* Flushes lie: they report FILE_OK and keep nothing (the control of every durability test). */
void file_double_ignore_flushes(struct file_double *, bool ignore);
/* Flips one bit of a file, in cache and on the device. False when it has no such byte. */
bool file_double_flip_bit(struct file_double *, const char *path, uint64_t position, unsigned bit);
/* The same in the cache of a file that was opened before: file_pread_aside(from_device) of the file,
 * wherever, brings back what the device has. One at a time. */
bool file_double_flip_cached_bit(struct file_double *, const char *path, uint64_t position, unsigned bit);
/* Reads (not mappings) of the file fail with FILE_IO from now on where they touch [position, position +
 * size), a bad sector; size 0: they no longer do. One such range at a time. False: there is no such file. */
bool file_double_fail_read(struct file_double *, const char *path, uint64_t position, uint64_t size);

#endif
