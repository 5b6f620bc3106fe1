/* A partition at run time: its log, those who wait for it, and appends that queue for a worker. */
#ifndef RUNNEL_BROKER_PARTITION_H
#define RUNNEL_BROKER_PARTITION_H

#include <pthread.h>
#include <stdatomic.h>

#include "broker/work.h"
#include "storage/log.h"

struct append;

/* Appends that a worker makes, in the order of queueing (append.c). */
struct append_queue {
    pthread_mutex_t mutex;
    struct append *first;
    struct append *last;
    struct work work;
    atomic_bool is_active; /* while true, every append of the partition goes this way */
};

/* Made with the topic, freed through retire() after the topic's deletion. storage_env.progress
 * hands its address back as the log's owner. */
struct partition {
    struct log *log;
    uuid topic_id;
    int32_t index;
    atomic_bool is_deleted;
    /* One bit per loop that has waiters here (loop.h: at most 64 loops); set by the loop before it
     * looks at the offsets, taken by whoever raises them. */
    _Atomic uint64_t watching_loops;
    struct append_queue append_queue;
};

/* partition.c: makes the queue ready and the rest zero; log is set by the caller. */
void partition_init(struct partition *partition, uuid topic_id, int32_t index);
/* No append may be queued. */
void partition_destroy(struct partition *partition);

#endif
