/* The inside of a loop: for loop.c, connections, requests and the purgatory. */
#ifndef RUNNEL_BROKER_LOOP_INTERNAL_H
#define RUNNEL_BROKER_LOOP_INTERNAL_H

#include <ev.h>

#include "broker/conn.h"
#include "broker/loop.h"
#include "broker/purgatory.h"
#include "broker/request_link.h"
#include "broker/timer.h"

enum {
    /* Below this much room in the receive buffer the appends of the turn run early. */
    RECEIVE_ROOM_MIN = 64 * 1024,
    /* From so much memory of large frames on too: written while they are in the processor's cache, and the
     * next frame has the same memory. */
    SPENT_SIZE_MAX = 256 * 1024,
    /* Rounds of settling in one turn; what is left then waits for the other connections. */
    TURN_ROUNDS_MAX = 16,
    /* How long memory of a busy time is kept when it has become quiet. */
    TRIM_AFTER_MS = 1000,
    /* Busy seconds after which the memory of mapped segments is let go of all the same. */
    TRIM_BUSY_COUNT = 10,
    /* How long a stopping loop waits for answers under way. */
    DRAIN_MS = 700,
    STARVED_RETRY_MS = 50,
};

struct loop {
    struct server *server; /* borrowed */
    unsigned index;
    unsigned member; /* of the retire domain, while the loop runs */

    /* libev's side; ev == NULL in a simulation, where loop_turn() is called by hand. */
    struct ev_loop *ev;
    struct ev_prepare prepare;
    struct ev_check check;
    struct ev_async wake;
    struct ev_timer alarm;
    int64_t alarm_ms; /* deadline that the alarm is set to; INT64_MAX: none */

    _Atomic(struct loop_mail *) mail; /* newest first */
    struct timer_heap timers;
    struct budget_share budget;
    struct appender *appender;
    struct purgatory purgatory;

    int64_t mono_ms; /* of this turn */
    int64_t wall_ms;

    size_t frame_size_max; /* socket.request.max.bytes */
    int64_t idle_max_ms;   /* connections.max.idle.ms; INT64_MAX: never */

    uint8_t *receive;    /* RECEIVE_BUFFER_SIZE */
    size_t receive_used; /* bytes in front that appends of this turn still need */
    struct input_pool input_pool;
    struct input_buffer *spent; /* freed once the appends of this turn have run */
    size_t spent_size;          /* cost of the mapped ones */

    struct conn *conns;   /* all */
    struct conn *touched; /* to be looked at before the turn ends */
    struct conn *starved; /* wait for the budget before they read on */
    struct conn *closed;  /* freed when the turn ends */
    struct conn *spare_conns;
    unsigned spare_conn_count;
    _Atomic unsigned conn_count;

    struct request *woken_first; /* to be resumed, in order */
    struct request *woken_last;
    struct request *spare_requests;
    unsigned spare_request_count;

    struct timer trim;   /* armed while there is something to give back */
    struct timer starve; /* armed while a connection starves */
    struct timer drain;  /* armed while stopping */
    uint64_t turn_count; /* of turns that did something */
    uint64_t trim_turn;  /* turn_count when trim was armed */
    unsigned trim_count; /* of trims put off because the loop was busy */
    atomic_bool stop_wanted;
    bool is_draining;
    bool flush_wanted;                       /* the flusher is to be woken after the appends */
    void (*drain_begins)(struct loop *loop); /* the server's; NULL: nothing to do */
};

/* Place and room for the next bytes from a socket. */
void loop__receive_space(struct loop *loop, uint8_t **at, size_t *room);
/* The bytes up to end were executed in place: they stay until the appends of this turn have run. */
void loop__receive_done(struct loop *loop, const uint8_t *end);
/* Takes a buffer whose bytes appends of this turn may still need. */
void loop__spend(struct loop *loop, struct input_buffer *buffer);
/* The buffer in which bytes lie that conn received in this turn; NULL: another place. */
struct input_buffer *loop__input_of(struct loop *loop, const struct conn *conn, slice bytes);
/* Runs the appends of the turn; the second when they hold much memory. */
void loop__append_now(struct loop *loop);
void loop__append_early(struct loop *loop);
/* Tries again soon whether the budget feeds the connection. */
void loop__starve(struct loop *loop, struct conn *conn);

/* Whether a turn would do something now. */
bool loop__has_work(struct loop *loop);
/* Connections that the loop has or is about to get, for the choice of the least busy; any thread. */
unsigned loop__conn_count(const struct loop *loop);
/* Whether the caller runs on the loop's thread. */
bool loop__is_current(const struct loop *loop);

#endif
