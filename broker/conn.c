/* The life of a connection: opened, looked at once a turn, closed. */
#include "broker/conn.h"

#include <stdlib.h>

#include "broker/files_wait.h"
#include "broker/loop_internal.h"
#include "broker/peers.h"
#include "broker/server.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum { REFUSALS_PER_SECOND = 10 };

static struct conn *conn_of_timer(struct timer *timer)
{
    return (struct conn *)((char *)timer - offsetof(struct conn, timer));
}

const char *conn_peer(struct conn *conn)
{
    return conn->transport ? conn->transport->ops->peer(conn->transport) : "gone";
}

bool conn_may_execute(const struct conn *conn)
{
    return !conn->is_closed && !conn->is_ending && !conn->is_crowded && conn->blocking_count == 0 &&
           conn->output_size < CONN_OUTPUT_MAX && conn->request_count < CONN_REQUESTS_MAX;
}

void conn_touch(struct conn *conn)
{
    if (conn->is_touched)
        return;
    conn->is_touched = true;
    conn->touched_next = conn->loop->touched;
    conn->loop->touched = conn;
}

/* -- deadlines ---------------------------------------------------------------------------------- */

/* An unfinished frame, a peer that takes no replies, or nothing to do for either side. While a
 * request waits here the connection is never idle. */
static int64_t deadline_ms(const struct conn *conn)
{
    int64_t due_ms = conn__frame_deadline_ms(conn);
    bool is_waiting = conn->first && conn->first->links->phase != REQUEST_DONE;
    if (!is_waiting && conn->loop->idle_max_ms != INT64_MAX &&
        conn->active_ms + conn->loop->idle_max_ms < due_ms)
        due_ms = conn->active_ms + conn->loop->idle_max_ms;
    return due_ms;
}

static void fire_deadline(struct timer *timer)
{
    struct conn *conn = conn_of_timer(timer);
    if (deadline_ms(conn) <= conn->loop->mono_ms) {
        conn__catch_up(conn);
        conn_touch(conn);
    }
    int64_t due_ms = deadline_ms(conn);
    if (due_ms > conn->loop->mono_ms) {
        if (due_ms != INT64_MAX)
            timer_arm(&conn->loop->timers, timer, due_ms);
        return;
    }
    if (conn__frame_deadline_ms(conn) <= conn->loop->mono_ms)
        conn_refuse(conn, "frame_too_slow", "the rest of a request did not arrive in time");
    conn_close(conn);
}

/* Deadlines mostly move away, so the timer is moved only towards now; when it fires too early it is
 * set anew. */
static void update_deadline(struct conn *conn)
{
    int64_t due_ms = deadline_ms(conn);
    if (due_ms == INT64_MAX || (conn->timer.slot > 0 && conn->timer.due_ms <= due_ms))
        return;
    if (!timer_arm(&conn->loop->timers, &conn->timer, due_ms))
        conn_end(conn);
}

/* -- opening and closing ------------------------------------------------------------------------ */

static void on_io(struct ev_loop *ev, struct ev_io *io, int events)
{
    (void)ev;
    struct conn *conn = io->data;
    if (events & EV_WRITE)
        conn->output_blocked = false;
    if (events & EV_READ)
        conn_readable(conn);
    conn_touch(conn);
}

static void on_memory_ready(void *context)
{
    struct conn *conn = context;
    conn->output_blocked = false;
    conn_touch(conn);
}

static struct conn *conn_create(struct loop *loop)
{
    struct conn *conn = loop->spare_conns;
    if (!conn)
        return calloc(1, sizeof *conn);
    loop->spare_conns = conn->next;
    loop->spare_conn_count--;
    memset(conn, 0, sizeof *conn);
    return conn;
}

struct conn *conn_open(struct loop *loop, struct transport *transport, const struct listener *listener)
{
    struct conn *conn = loop->is_draining ? NULL : conn_create(loop);
    if (!conn) {
        transport->ops->close(transport);
        return NULL;
    }
    conn->loop = loop;
    conn->transport = transport;
    conn->listener = listener;
    conn->active_ms = loop->mono_ms;
    conn->timer.fire = fire_deadline;
    transport->ready = on_memory_ready;
    transport->ready_context = conn;
    ev_init(&conn->io, on_io);
    conn->io.data = conn;

    conn->next = loop->conns;
    if (conn->next)
        conn->next->previous = conn;
    loop->conns = conn;
    atomic_fetch_add_explicit(&loop->conn_count, 1, memory_order_relaxed);
    conn_touch(conn);
    return conn;
}

static void unlink_starved(struct conn *conn)
{
    if (!conn->is_starved)
        return;
    struct conn **at = &conn->loop->starved;
    while (*at != conn)
        at = &(*at)->starved_next;
    *at = conn->starved_next;
    conn->is_starved = false;
}

void conn_close(struct conn *conn)
{
    struct loop *loop = conn->loop;
    if (conn->is_closed)
        return;
    conn->is_closed = true;
    if (loop->ev)
        ev_io_stop(loop->ev, &conn->io);
    timer_cancel(&loop->timers, &conn->timer);
    unlink_starved(conn);
    conn__forget_input(conn);
    while (conn->first)
        request_drop(conn->first);
    peers_give_back(loop->server->peers, conn->counted_peer);
    conn->transport->ready = NULL;
    conn->transport->ops->close(conn->transport);
    conn->transport = NULL;
    files_wait_freed(loop->server->files_wait);

    if (conn->previous)
        conn->previous->next = conn->next;
    else
        loop->conns = conn->next;
    if (conn->next)
        conn->next->previous = conn->previous;
    atomic_fetch_sub_explicit(&loop->conn_count, 1, memory_order_relaxed);
    conn->next = loop->closed;
    loop->closed = conn;
}

void conn_end(struct conn *conn)
{
    conn->is_ending = true;
    conn_touch(conn);
}

void conn_refuse(struct conn *conn, const char *reason, const char *detail)
{
    static struct note_limit limit;
    uint32_t suppressed;
    if (note_allow(&limit, REFUSALS_PER_SECOND, &suppressed))
        note_warn("connection.refused", "peer=%s reason=%s suppressed=%u detail=\"%s\"", conn_peer(conn),
                  reason, suppressed, detail);
    conn_end(conn);
}

/* -- once a turn -------------------------------------------------------------------------------- */

static void update_interest(struct conn *conn)
{
    struct ev_loop *ev = conn->loop->ev;
    int descriptor = conn->transport->ops->descriptor(conn->transport);
    if (descriptor < 0)
        return;
    int events = (conn__wants_input(conn) ? EV_READ : 0) | (conn->output_blocked ? EV_WRITE : 0);
    if (ev_is_active(&conn->io) && (conn->io.events & (EV_READ | EV_WRITE)) == events)
        return;
    ev_io_stop(ev, &conn->io);
    ev_io_set(&conn->io, descriptor, events);
    if (events != 0)
        ev_io_start(ev, &conn->io);
}

static bool is_finished(const struct conn *conn)
{
    if (conn->first && conn->first->links->phase == REQUEST_CLOSE)
        return true;
    if (conn->is_ending)
        return conn->first == NULL;
    /* The peer has closed. What had arrived whole is executed, as Kafka does: senders with acks=0
     * close when they are done. Answers that still wait have nobody to go to. */
    bool is_busy = conn->last && conn->last->links->phase == REQUEST_BUSY;
    return conn->input_ended && !conn__has_frame(conn) && conn->output_size == 0 && !is_busy;
}

/* A long poll of a peer that has closed has nobody to answer; what came behind it still has an effect
 * to make, and may not wait as long as the poll would. */
static bool waits_for_nobody(const struct conn *conn)
{
    return conn->input_ended && conn->last && conn->last->links->phase == REQUEST_WAIT &&
           request_is_blocking(conn->last);
}

void conn_turn(struct conn *conn)
{
    if (conn->is_closed)
        return;
    if (waits_for_nobody(conn))
        request_drop(conn->last);
    /* A memory transport does not say twice that it is readable. */
    if (conn->transport->ops->descriptor(conn->transport) < 0 && conn__wants_input(conn) &&
        conn_readable(conn))
        conn_touch(conn);
    conn__run_input(conn);
    if (!conn__flush(conn)) {
        conn_close(conn);
        return;
    }
    if (is_finished(conn)) {
        conn_close(conn);
        return;
    }
    if (conn__has_frame(conn) && (waits_for_nobody(conn) || conn__may_run_next(conn)))
        conn_touch(conn);
    update_interest(conn);
    update_deadline(conn);
}
