/* Appends of one loop turn, grouped by log: one pwritev per log and turn. */
#ifndef RUNNEL_BROKER_APPEND_H
#define RUNNEL_BROKER_APPEND_H

#include "broker/mail.h"
#include "broker/request.h"

/* One validated batch on its way into a log; in its request's arena. */
struct append {
    struct partition *partition; /* borrowed: the request holds it */
    struct batch_view batch;     /* bytes borrowed until the end of this turn */
    bool is_kept;                /* they stay as long as the request (rq_keep) */
    int32_t leader_epoch;
    struct log_append_result result; /* out, before WAKE_APPENDED */
    struct request *rq;
    int32_t timeout_ms;  /* of the request: the limit of a wait for descriptors, within FILES_WAIT_MAX_MS */
    struct append *next; /* the appender's, as are the next two */
    struct loop_mail mail;
    int64_t files_until_ms; /* of the monotonic clock */
};

/* Per loop; made and destroyed by the loop. */
struct appender;
struct appender *appender_create(struct loop *loop);
void appender_destroy(struct appender *appender);

/* Queues one append behind all earlier ones of the same partition, from any connection. Once every
 * append of its request has a result, the request is resumed with WAKE_APPENDED. */
void appender_add(struct appender *appender, struct append *append);
/* Runs what was queued: called by the loop when its turn ends, or before the bytes in the receive
 * buffer are reused. Logs that say BUSY (no directory, no spare segment, slow device) get their
 * bytes kept and a worker, which keeps the order of the log. */
void appender_run(struct appender *appender);
/* Whether anything is queued that still points into the receive buffer. */
bool appender_holds_bytes(const struct appender *appender);

#endif
