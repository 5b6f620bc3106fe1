/* A partition at run time: its log, those who wait for it, and appends that queue for a worker. */
#ifndef RUNNEL_BROKER_PARTITION_H
#define RUNNEL_BROKER_PARTITION_H

#include <stdatomic.h>

#include "broker/work.h"
#include "protocol/base/pin.h"
#include "storage/log.h"

struct append;
struct parked_queue;

/* Appends that a worker makes, in the order of queueing (append_queue.c). */
struct append_queue {
    struct append *first; /* this and the next under append_queue.c's lock */
    struct append *last;
    struct work work;
    struct parked_queue *parked; /* while the front append waits for descriptors, which is rare: owned */
    atomic_bool is_active;       /* while true, every append of the partition goes this way */
};

/* Made with the topic; storage_env.progress hands its address back as the log's owner. After the topic's
 * deletion it lives until nobody holds it. */
struct partition {
    struct log *log;       /* lives as long as the partition; a deleted one's answers LOG_CLOSED */
    struct retire *retire; /* borrowed */
    struct pin pin;        /* the controller's own hold, and those of partition_hold() and arena_pin() */
    uuid topic_id;
    int32_t index;
    atomic_bool is_deleted;         /* then the log answers LOG_CLOSED */
    struct partition *next_deleted; /* the controller's, while the loops are told */
    /* One bit per loop that has waiters here (loop.h: at most 64 loops); set by the loop before it
     * looks at the offsets, taken by whoever raises them. */
    _Atomic uint64_t watching_loops;
    struct append_queue append_queue;
};

/* partition.c: an own hold for the caller; log is set by the caller. NULL: no memory. */
struct partition *partition_create(struct retire *retire, uuid topic_id, int32_t index);
/* For whoever keeps the pointer beyond a turn: a worker's job, a queued append; a request holds it for as
 * long as it lives by arena_pin(). Only from a pointer that is valid in this turn. Any thread. */
void partition_hold(struct partition *partition);
/* The last one hands the partition, and its log, to retire(): readers of this turn may go on. */
void partition_release(struct partition *partition);
/* At the end, when no thread is left: frees at once; the log is its store's. No append may be queued. */
void partition_destroy(struct partition *partition);

#endif
