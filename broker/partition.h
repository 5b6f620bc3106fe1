/* A partition at run time: its log, those who wait for it, and appends that queue for a worker. */
#ifndef RUNNEL_BROKER_PARTITION_H
#define RUNNEL_BROKER_PARTITION_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/log.h"

struct append_queue;

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
    /* Appends that wait for a worker, in order (append.h); while there are any, all go this way. */
    _Atomic(struct append_queue *) append_queue;
};

#endif
