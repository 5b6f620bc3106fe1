/* One partition of a coordinator's topic: the state that its records make, behind one lock (DESIGN 7). */
#ifndef RUNNEL_BROKER_COORDINATOR_SHARD_H
#define RUNNEL_BROKER_COORDINATOR_SHARD_H

#include "broker/internal_topics.h"
#include "broker/mail.h"
#include "broker/request.h"
#include "broker/timer.h"
#include "protocol/api_schema.h"

struct shard;

/* A record of the topic, as it was loaded, or as it was appended. Borrowed. */
struct shard_record {
    int64_t offset;
    int64_t timestamp; /* ms */
    slice key;         /* framed (codec/..._records.h); null only in control batches */
    slice value;       /* framed; null: a tombstone */
    int64_t producer_id; /* -1: none */
    int16_t producer_epoch;
    bool is_transactional;
    int control_type; /* enum control_record_type, or -1: data */
};

/* What a coordinator is made of. All functions are called with the shard's lock held; they never block. */
struct shard_kind {
    const char *name; /* for notes */
    enum internal_topic topic;
    /* The state of an empty partition; NULL: no memory. */
    void *(*create)(struct shard *shard);
    /* Nobody waits any more, no timer is armed. */
    void (*destroy)(void *state);
    /* The only way in which records become state: at loading, and after each append. False: no memory, the shard is
     * given up and loaded anew later. Records that are not understood are passed over, with a note. */
    bool (*replay)(void *state, const struct shard_record *record);
    /* Loading is over: time begins to count for what was loaded. */
    void (*loaded)(void *state);
    /* The shard is given up: completes every op that waits with this error, cancels every timer. */
    void (*stop)(void *state, int16_t error_code);
};

struct shard_op;

/* What an op does, once per kind of op. */
struct shard_step {
    /* Under the lock, on the op's loop: looks at the state and changes nothing but the op: sets error_code, or adds
     * records. May run again from the start: when an append was under way, or could not be made without blocking. */
    void (*decide)(struct shard_op *op, void *state);
    /* Under the lock, on the op's loop, unless decide set an error: the records are in the log and were replayed, or
     * there were none. Changes what no record keeps. May set is_waiting: then somebody completes it by
     * shard_complete(), or cancel is called. NULL: nothing to do. */
    void (*apply)(struct shard_op *op, void *state);
    /* Under the lock, on the op's loop: its records could not be appended, error_code says why; the state is as it was.
     * Not called when the shard was given up over it. NULL: nothing to do. */
    void (*fail)(struct shard_op *op, void *state);
    /* Under the lock: the op that waits will be answered at once (the broker stops); the state forgets it. NULL: it
     * never waits. */
    void (*cancel)(struct shard_op *op, void *state);
    /* Of a request, on its loop, without the lock: once, when it has its result, even when its connection is gone and
     * nobody will answer. What the op holds outside of its arena goes to the arena (arena_pin) or back. May set
     * error_code. NULL: it holds nothing. */
    void (*take)(struct shard_op *op);
    /* Of a request, on its loop, without the lock: fills in rq->out, from error_code and what the op keeps. */
    enum handled (*answer)(struct shard_op *op);
    /* Of the coordinator itself (rq NULL), on its loop, without the lock: frees the op. */
    void (*finish)(struct shard_op *op);
};

enum shard_op_phase { OP_NEW, OP_PARKED, OP_APPENDING, OP_WAITING, OP_COMPLETED };

/* A step on its way. Embedded in the handler's state, in the request's arena; or in memory of the coordinator. */
struct shard_op {
    const struct shard_step *step;
    struct request *rq; /* NULL: the coordinator's own */
    struct arena *arena; /* of the records; rq's, or the op's own. Only on the op's loop, never by others */
    bool is_read;       /* never adds records, and may look while somebody's append is under way */
    bool is_waiting;    /* set by apply */
    int16_t error_code;
    /* The answer tells of state up to here: it leaves when that is durable. Raised by shard_append's end, and by
     * decide or apply (group state_offset) where the answer tells of what others did. */
    int64_t answer_offset;
    /* the shard's */
    struct shard *shard;
    enum shard_op_phase phase;
    struct shard_op *next;
    struct loop_mail mail;
    struct batch_builder *records;
    size_t record_count;
    bool is_broken; /* a record could not be made: no memory, or a field that it cannot carry */
    struct batch_view batch;
    struct log_append_result result;
    enum log_status append_status;
};

/* A request's op; arena is the request's. */
static inline struct shard_op shard_op_of(struct request *rq, const struct shard_step *step)
{
    return (struct shard_op){ .step = step, .rq = rq, .arena = &rq->arena, .answer_offset = -1 };
}

/* In decide: a record of this schema (codec: <set>_records.h, type) with a key of version 0 and a value; value NULL: a
 * tombstone. Both are encoded before the return. */
void shard_op_add(struct shard_op *op, const char *set, int type, const void *key, int16_t value_version,
                  const void *value);

/* In decide: bytes of records until half of what one batch of the topic may take is used up; the other half is for what
 * cannot be put off. */
size_t shard_op_room(const struct shard_op *op);
/* The same of an op without records: what is larger never gets room. */
size_t shard_op_room_max(const struct shard_op *op);
/* No room. What could be more goes with another op. */
bool shard_op_is_full(const struct shard_op *op);

/* Runs a request's op on the request's loop; what it returns is the handler's answer. */
enum handled shard_run(struct shard *shard, struct shard_op *op);
/* Runs an op of the coordinator itself. In a timer's fire or in apply, so with the lock held, on any loop. */
void shard_start(struct shard *shard, struct shard_op *op);
/* Under the lock: an op that waits has its result, error_code or what it keeps; it is answered on its loop. */
void shard_complete(struct shard_op *op, int16_t error_code);

/* For looking at many shards, or at several entities: takes the lock. ERR_NONE: *state until shard_leave().
 * COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR: nothing was taken. */
int16_t shard_enter(struct shard *shard, void **state);
void shard_leave(struct shard *shard);

/* Deadlines of the state, under the lock; fire runs under the lock, on a loop, in order of time. False: no memory. */
bool shard_timer_arm(struct shard *shard, struct timer *timer, int64_t mono_ms);
void shard_timer_cancel(struct shard *shard, struct timer *timer);

int64_t shard_mono_ms(const struct shard *shard);
int64_t shard_wall_ms(const struct shard *shard);
struct server *shard_server(const struct shard *shard);
int32_t shard_index(const struct shard *shard);
/* Of the newest record that was replayed: offset + 1. What a state_offset is set to in replay comes from the record. */
int64_t shard_end_offset(const struct shard *shard);
struct partition *shard_partition(const struct shard *shard);

#endif
