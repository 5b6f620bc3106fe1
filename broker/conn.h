/* A connection: frames in, replies out in order, and the limits on both. */
#ifndef RUNNEL_BROKER_CONN_H
#define RUNNEL_BROKER_CONN_H

#include <ev.h>

#include "broker/input_pool.h"
#include "broker/request.h"
#include "broker/timer.h"
#include "broker/transport.h"

struct listener;

enum {
    /* Unfinished requests of a connection; later frames wait unread. Those beyond the free ones
     * count in the budget. */
    CONN_REQUESTS_MAX = 128,
    CONN_REQUESTS_FREE = 8,
    /* Reply bytes that wait for the peer; above it nothing more is executed or read. */
    CONN_OUTPUT_MAX = 1024 * 1024,
    /* Bytes that are read ahead of what may be executed. */
    CONN_READ_AHEAD = 64 * 1024,
    /* Memory for a frame that has not arrived yet starts here and doubles with what arrives. */
    CONN_INPUT_MIN = 4096,
    /* A frame has this long, and then longer only as long as it keeps arriving at this rate. */
    CONN_FRAME_MS = 60 * 1000,
    CONN_FRAME_BYTES_PER_MS = 16,
    CONN_READS_PER_TURN = 4,
    /* So much of a large frame's rest is there before it is read, or all of it. */
    CONN_AWAIT_MAX = 1024 * 1024,
    CONN_WRITE_PER_TURN = 1024 * 1024,
};

struct conn {
    struct loop *loop;
    struct transport *transport;     /* owned; NULL once closed */
    const struct listener *listener; /* NULL: a memory pair */
    struct peer *counted_peer;       /* max.connections.per.ip; given back at the close */
    struct conn *previous;           /* the loop's list */
    struct conn *next;
    struct conn *touched_next;
    struct conn *starved_next;

    struct request *first; /* in order of arrival; replies leave in it */
    struct request *last;
    unsigned request_count;
    unsigned blocking_count; /* requests that nothing may overtake */
    unsigned append_count;   /* appends of its requests that are not made yet */
    size_t output_size;      /* bytes of ready replies that have not left */

    struct input_buffer *input; /* NULL: nothing kept */
    size_t input_start;
    size_t input_end;

    struct timer timer;
    int64_t active_ms;        /* last byte in or out */
    int64_t frame_started_ms; /* of a frame that is not complete; 0: none */
    size_t frame_arrived;     /* bytes of it */

    bool is_touched : 1;
    bool is_starved : 1;
    bool is_crowded : 1;     /* no budget for another request until one of its own ends */
    bool is_ending : 1;      /* closes once the requests under way are answered */
    bool expects_large : 1;  /* its last frame was large */
    bool was_tight : 1;      /* it has waited already until requests hold less memory */
    bool input_ended : 1;    /* the peer has closed: what arrived is executed, then it closes */
    bool output_blocked : 1; /* wait until the socket takes more */
    bool is_closed : 1;
    struct ev_io io;
};

_Static_assert(sizeof(struct conn) <= 384, "an idle connection is small");

/* Takes the transport. NULL: no memory, then it is closed. On the loop's thread. */
struct conn *conn_open(struct loop *loop, struct transport *transport, const struct listener *listener);
/* At once: requests under way are forgotten. Freed when the turn ends. */
void conn_close(struct conn *conn);
/* No more input; closes when the requests under way are answered. */
void conn_end(struct conn *conn);
/* The same, and a line for the operator with the peer; at most a few a second. */
void conn_refuse(struct conn *conn, const char *reason, const char *detail);

/* Has the connection looked at before the turn ends. */
void conn_touch(struct conn *conn);
/* The look: executes what may run, sends what is ready, sets what to wait for, closes. */
void conn_turn(struct conn *conn);
/* Reads and executes what is there; for sockets that are readable. Whether more may be there. */
bool conn_readable(struct conn *conn);
/* The memory that starving connections wait for may be there. */
void conn_fed(struct conn *conn);

/* Whether another frame may be executed now; of some kind, while appends are under way. */
bool conn_may_execute(const struct conn *conn);
/* "127.0.0.1:54321". */
const char *conn_peer(struct conn *conn);

/* conn_input.c */
bool conn__wants_input(const struct conn *conn);
void conn__run_input(struct conn *conn);
bool conn__has_frame(const struct conn *conn);
/* Whether the next frame, which need not be there yet, may be executed now. */
bool conn__may_run_next(const struct conn *conn);
void conn__forget_input(struct conn *conn);
/* Reads what has come of a large frame that is not whole, so that its deadline is judged by all of it. */
void conn__catch_up(struct conn *conn);
int64_t conn__frame_deadline_ms(const struct conn *conn);

/* conn_output.c: sends ready replies; false when the connection cannot go on. */
bool conn__flush(struct conn *conn);

#endif
