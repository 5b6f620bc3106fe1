/* A request while it is served: what handlers see, and how they wait. */
#ifndef RUNNEL_BROKER_REQUEST_H
#define RUNNEL_BROKER_REQUEST_H

#include "broker/image.h"
#include "broker/partition.h"
#include "protocol/base/arena.h"
#include "protocol/codec.h"
#include "protocol/errors.h"

struct files_waiter;
struct conn;
struct loop;
struct request;
struct server;

enum handled {
    HANDLED_DONE,  /* the response is filled in */
    HANDLED_WAIT,  /* the effect is made; only the answer waits: later requests may run if the API
                      overlaps (apis.def) */
    HANDLED_BUSY,  /* the effect is still to come: nothing later of this connection runs */
    HANDLED_NONE,  /* done, and no answer leaves (acks=0) */
    HANDLED_CLOSE, /* Kafka closes the connection here */
};

enum wake {
    WAKE_PROGRESS, /* a watched partition moved, or failed, or was deleted */
    WAKE_APPENDED, /* all appends of this request have their result */
    WAKE_WORKED,   /* the worker's job is done */
    WAKE_DEADLINE,
};

/* Resumes on the request's loop, in a later turn or the same; answers as a handler does. Everything
 * borrowed from the turn (image, topics, the receive buffer after WAIT) is gone: look it up again. */
typedef enum handled (*request_resume)(struct request *rq, enum wake why);

struct request {
    struct server *server; /* borrowed, outlives the request */
    struct loop *loop;
    struct conn *conn; /* NULL once the connection is gone */
    struct arena arena;
    const struct image *image; /* this turn's; set anew before each resume */
    int64_t now_ms;            /* wall clock of this turn */
    int16_t api_key;
    int16_t api_version;
    int32_t correlation_id;
    slice client_id; /* copied; never null */
    void *in;        /* the decoded request, in the arena, as are the bytes behind its slices; those of
                        an API marked IN_PLACE (apis.def) are in the receive buffer */
    void *out;       /* the response, in the arena */
    void *state;     /* the handler's own, in the arena */
    request_resume resume;
    uint32_t appends_pending;   /* the appender's */
    struct request_link *links; /* core only, request.c */
};

/* Operations as ACLs number them (facts: protocol, appendix C). */
enum acl_operation {
    OP_READ = 3,
    OP_WRITE = 4,
    OP_CREATE = 5,
    OP_DELETE = 6,
    OP_ALTER = 7,
    OP_DESCRIBE = 8,
    OP_CLUSTER_ACTION = 9,
    OP_DESCRIBE_CONFIGS = 10,
    OP_ALTER_CONFIGS = 11,
    OP_IDEMPOTENT_WRITE = 12,
};

/* Resources are seen only through these: they authorise and resolve in one step and return Kafka's
 * error. Denied comes before unknown, so that names do not leak. */
int16_t rq_topic(struct request *rq, slice name, enum acl_operation op, const struct topic **out);
/* UNKNOWN_TOPIC_ID for an id that is not in the image or may not be described. */
int16_t rq_topic_by_id(struct request *rq, uuid id, enum acl_operation op, const struct topic **out);
int16_t rq_group(struct request *rq, slice group_id, enum acl_operation op);
int16_t rq_txn(struct request *rq, slice transactional_id, enum acl_operation op);
int16_t rq_cluster(struct request *rq, enum acl_operation op);
/* Whether the operation is allowed on any topic at all, be it there or not; else TOPIC_AUTHORIZATION_FAILED.
 */
int16_t rq_any_topic(struct request *rq, enum acl_operation op);
/* ERR_NONE, UNKNOWN_TOPIC_OR_PARTITION, or NOT_LEADER_OR_FOLLOWER; *out is valid in this turn. */
int16_t rq_partition(struct request *rq, const struct topic *topic, int32_t partition,
                     const struct partition_metadata **out);
/* FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH when the client's epoch is not ours; -1: not checked. */
int16_t rq_leader_epoch(const struct partition_metadata *partition, int32_t client_epoch);

/* The authoriser behind them: allows all until ACLs exist; tests set one that denies. A null name asks for
 * any resource of the type. */
typedef bool (*authorizer)(void *context, const struct conn *conn, enum acl_operation op, int resource_type,
                           slice name);

/* Waiting. A handler sets rq->resume, calls what it waits for, and returns WAIT or BUSY. A request
 * whose connection is gone is never resumed.
 * rq_watch        WAKE_PROGRESS whenever the partition's high watermark, or state, changed since;
 *                 watch first, then look, so that nothing is missed. Holds until the request ends, or the
 *                 partition is deleted: that wakes too, as does watching one that is deleted already. The
 *                 watch does not keep the partition: look it up again when woken, or arena_pin() it.
 * rq_deadline     WAKE_DEADLINE at this monotonic ms; a second call moves it.
 * rq_work         runs fn(rq) on a worker, then WAKE_WORKED. fn may block; it touches the request's
 *                 arena, state, in and out only, never rq->conn or rq->image. Return BUSY. It starts
 *                 when the handler has returned; meanwhile nothing else resumes the request.
 * rq_read         the same for an fn that changes no file: while a device is slow, it does not wait for
 *                 those who write.
 * rq_park         in such an fn, as the last it does: it runs again once waiter, who has entered the line
 *                 (files_wait.h), is woken; the request still counts as with the worker.
 * Slices of `in` stay valid as long as the request, but for an API that is IN_PLACE (apis.def): its
 * slices die with this turn, so what is needed later is kept first.
 * rq_keep         bytes of this turn, or a copy, that stay as long as the request. Those that fill most of
 * the memory of a large frame stay where they are. On refusal *ok becomes false. */
bool rq_watch(struct request *rq, struct partition *partition);
void rq_deadline(struct request *rq, int64_t mono_ms);
void rq_work(struct request *rq, void (*fn)(struct request *rq));
void rq_read(struct request *rq, void (*fn)(struct request *rq));
void rq_park(struct request *rq, struct files_waiter *waiter);
slice rq_keep(struct request *rq, slice bytes, bool *ok);
/* For whoever keeps a pointer to a request beyond the turn (the appender, the workers): a held
 * request stays in memory even when its connection is gone. All three on the request's loop. rq_wake
 * resumes it, unless its connection is gone. */
void rq_hold(struct request *rq);
void rq_release(struct request *rq);
void rq_wake(struct request *rq, enum wake why);

/* Monotonic ms of this turn. */
int64_t rq_mono_ms(const struct request *rq);

/* Where this client should connect for a node (DESIGN 9, addresses); host is borrowed, this turn. */
struct endpoint {
    const char *host;
    int32_t port;
};
struct endpoint rq_advertised_endpoint(struct request *rq, int32_t node_id);

#endif
