/* A device that is slow or fails below the real broker: a library that is loaded before libc's (LD_PRELOAD)
 * asks a piece of shared memory before each call on a file below the test's directory. */
#ifndef RUNNEL_TESTS_SUPPORT_FAULT_DISK_H
#define RUNNEL_TESTS_SUPPORT_FAULT_DISK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of calls, as bits. */
enum {
    FAULT_OPEN_READ = 1,
    FAULT_OPEN_WRITE = 2, /* open() for writing, with or without O_CREAT */
    FAULT_READ = 4,       /* pread */
    FAULT_WRITE = 8,      /* pwritev, fallocate */
    FAULT_TRUNCATE = 16,
    FAULT_FLUSH = 32, /* fdatasync, fsync, syncfs */
    FAULT_NAMES = 64, /* rename, unlink, mkdir, rmdir */
    FAULT_MAP = 128,
};
#define FAULT_CHANGES (FAULT_OPEN_WRITE | FAULT_WRITE | FAULT_TRUNCATE | FAULT_FLUSH | FAULT_NAMES)

enum { FAULT_PATH_SIZE = 256 };

/* What test and broker share. */
struct fault_disk_shared {
    char root[FAULT_PATH_SIZE]; /* only what lies below counts */
    _Atomic uint32_t delay_ms;  /* of each call of delayed_kinds, before it is made */
    _Atomic uint32_t delayed_kinds;
    _Atomic uint64_t delayed_count;
    char delayed_part[FAULT_PATH_SIZE]; /* of the path; "": any; set before there are delays */
    _Atomic uint32_t failing_kinds; /* stored last, as it puts the rest of the rule in force */
    _Atomic int32_t error;          /* errno */
    _Atomic uint32_t fails_left;    /* so many calls fail; UINT32_MAX: for ever */
    char part[FAULT_PATH_SIZE];     /* of the path; "": any */
    _Atomic uint64_t failed_count;
    _Atomic int64_t ahead_ms; /* how far the broker's clocks are ahead of the machine's */
};

/* The variable that names the file with it to the library. */
#define FAULT_DISK_VARIABLE "RUNNEL_TEST_FAULT_DISK"

struct fault_disk {
    struct fault_disk_shared *shared;
    char path[FAULT_PATH_SIZE + 32];
    const char *library;
};

/* Makes the shared file in `root`, a directory of the test. library: the path of the preloaded library,
 * borrowed. */
void fault_disk_create(struct fault_disk *disk, const char *library, const char *root);
void fault_disk_destroy(struct fault_disk *disk);
/* From here on children of this process begin with the library, until fault_disk_release(). Before there are
 * threads. */
void fault_disk_preload(const struct fault_disk *disk);
void fault_disk_release(void);

/* Each call of these kinds takes so much longer; 0: none. */
void fault_disk_delay(struct fault_disk *disk, uint32_t kinds, uint32_t delay_ms);
/* The next `times` calls of these kinds on paths that contain `part` fail with this errno. kinds 0: none
 * does. */
void fault_disk_fail(struct fault_disk *disk, uint32_t kinds, const char *part, int error, uint32_t times);
/* Calls that failed since the rule was made. */
uint64_t fault_disk_failed(const struct fault_disk *disk);

/* Is the broker that tests start (RUNNEL_BINARY, else `binary`) built with a sanitizer? Those do not bear a
 * library before their own. */
bool fault_disk_is_sanitized(const char *binary);

#endif
