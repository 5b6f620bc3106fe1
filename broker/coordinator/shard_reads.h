/* An answer that tells of the state of several shards: it leaves when all of it is durable. */
#ifndef RUNNEL_BROKER_COORDINATOR_SHARD_READS_H
#define RUNNEL_BROKER_COORDINATOR_SHARD_READS_H

#include "broker/coordinator/shard.h"

struct shard_read {
    struct shard *shard;
    int64_t offset; /* what was told of reaches to here */
};

/* First in the handler's state, which rq->state points to. */
struct shard_reads {
    struct shard_read *items; /* in the arena */
    size_t count;
    size_t capacity;
    /* What was told never became durable (COORDINATOR_NOT_AVAILABLE: in time; NOT_COORDINATOR: it cannot any more):
     * the response is made anew. */
    enum handled (*failed)(struct request *rq, int16_t error_code);
};

/* offset: the state_offset of what is told; below 0: nothing. False: no memory. */
bool shard_reads_add(struct request *rq, struct shard_reads *reads, struct shard *shard, int64_t offset);
/* The response is filled in: DONE now or later. Sets rq->resume. */
enum handled shard_reads_answer(struct request *rq, struct shard_reads *reads);

#endif
