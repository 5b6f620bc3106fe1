/* reserve.runnel: room of a log directory that is kept for the day on which its disk is full. */
#ifndef RUNNEL_STORAGE_RESERVE_H
#define RUNNEL_STORAGE_RESERVE_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/file.h"
#include "storage/log.h"

#define RESERVE_NAME "reserve.runnel"

enum {
    /* A commit of a group takes about 150 bytes and a deleted topic 100 in the metadata, so each half is
     * worth some ten thousand of them, or the side files of some hundred logs at a clean stop. */
    RESERVE_HALF_SIZE = 2 << 20,
    RESERVE_SIZE = 2 * RESERVE_HALF_SIZE,
    /* Of a file of which all was given up: one of no bytes is one that was just being made. */
    RESERVE_GIVEN_SIZE = 4096,
    /* It is made, and made again, when so much is free: else a disk that is nearly full would give it up and
     * take it back by turns. */
    RESERVE_ROOM_MIN = 2 * RESERVE_SIZE,
};

/* What may still grow. A rank (log.h) below the shortage does not; one above it may give another half up; the
 * two are compared as numbers. */
enum reserve_shortage {
    SHORTAGE_NONE,       /* everybody */
    SHORTAGE_OF_RECORDS, /* half of the reserve was given up: commits, metadata and what removes */
    SHORTAGE_OF_COMMITS, /* all of it was: metadata and what removes */
};

/* A plain file of real blocks. Its size tells a start what the last process had given up. */
struct reserve {
    struct file_system *files;
    char *path;                /* owned */
    pthread_mutex_t lock;      /* guards the file */
    _Atomic uint8_t *shortage; /* where appends look; the owner's */
    _Atomic bool is_held;      /* there is something to give up */
};

/* Looks at the file, which changes nothing; *shortage is what it tells. FILE_LIMIT: no memory. */
enum file_status reserve_open(struct reserve *reserve, struct file_system *files, const char *directory,
                              _Atomic uint8_t *shortage);
void reserve_destroy(struct reserve *reserve);

/* Makes it, or makes it whole again, if room_min bytes are free (RESERVE_ROOM_MIN); then there is no shortage
 * any more. FILE_FULL: they are not. May block; a worker. */
enum file_status reserve_take(struct reserve *reserve, uint64_t room_min);

/* Whether a write of that rank that met a full disk makes sense again after reserve_give(). No lock. */
static inline bool reserve_can_give(const struct reserve *reserve, enum log_rank rank)
{
    return atomic_load(&reserve->is_held) && (unsigned)rank > atomic_load(reserve->shortage);
}
/* Gives a half up; no more than that when several meet the full disk at once: seen is the shortage that the
 * caller saw before his write. FILE_OK: there is room that was not there then. FILE_FULL: nothing is left for
 * that rank. FILE_IO: the device failed; nothing may be flushed any more. May block; a worker. */
enum file_status reserve_give(struct reserve *reserve, enum log_rank rank, unsigned seen);

#endif
