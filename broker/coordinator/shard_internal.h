/* What the files of a shard share. */
#ifndef RUNNEL_BROKER_COORDINATOR_SHARD_INTERNAL_H
#define RUNNEL_BROKER_COORDINATOR_SHARD_INTERNAL_H

#include <pthread.h>

#include "broker/coordinator/shard.h"
#include "broker/loop.h"
#include "broker/server.h"
#include "broker/work.h"

enum shard_phase {
    SHARD_IDLE,    /* nothing is loaded */
    SHARD_LOADING, /* the loader's; nobody else touches the state */
    SHARD_ACTIVE,
    SHARD_STOPPED, /* for ever */
};

struct shard {
    struct server *server; /* borrowed */
    const struct shard_kind *kind;
    struct partition *partition; /* held */
    struct loop *owner;          /* its timers run there */
    int32_t index;
    _Atomic int32_t leader_epoch;
    _Atomic int32_t batch_size_max; /* max.message.bytes of the topic */

    pthread_mutex_t mutex; /* guards the rest; a log's lock may be taken inside */
    enum shard_phase phase;
    void *state;
    int64_t end_offset; /* of what was replayed */
    struct arena replay_arena; /* of the batch that is replayed */
    bool is_unwanted;          /* the partition is another one now: whoever loads it stops it */

    struct shard_op *appending; /* its records are on their way, on a worker; nothing else is appended */
    struct shard_op *parked_first;
    struct shard_op **parked_last;
    struct work append_work;
    struct work load_work;

    struct timer_heap timers;
    struct timer alarm; /* in the owner's heap: the earliest of timers */
    int64_t alarm_ms;   /* what the alarm is, or is about to be, set to; INT64_MAX: nothing */
    struct loop_mail arm_mail;
    bool is_arm_posted;
};

/* NULL: no memory. */
struct shard *shard__create(struct server *server, const struct shard_kind *kind, struct partition *partition,
                            int32_t index);
/* Nothing refers to it any more. */
void shard__destroy(struct shard *shard);

void shard__lock(struct shard *shard);
/* Sets the alarm to the earliest deadline, wherever that has to be done. */
void shard__unlock(struct shard *shard);

/* Under the lock: completes what waits, frees the state; next is SHARD_IDLE or SHARD_STOPPED. */
void shard__give_up(struct shard *shard, int16_t error_code, enum shard_phase next);

/* shard_load.c. Under the lock, with SHARD_IDLE: has a worker load, or does it at once when nothing is there. */
void shard__begin_load(struct shard *shard);

/* shard_append.c. Under the lock: what comes of an op whose decide added records. True: decided, with the op's
 * error_code; false: a worker has it. */
bool shard__append(struct shard *shard, struct shard_op *op);
/* Under the lock: decides, appends, applies; false when the op is not through yet. */
bool shard__execute(struct shard *shard, struct shard_op *op);
/* Under the lock: its records are not in the log. */
void shard__fail(struct shard *shard, struct shard_op *op);
/* On the op's loop: a request's op has its result. */
void shard__take(struct shard_op *op);
/* Under the lock: has the ops that stood back try again, each on its loop. */
void shard__unpark(struct shard *shard);

#endif
