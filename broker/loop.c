/* The event loop: its turns, its mail, its clock, its memory. */
#include "broker/loop.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "broker/loop_internal.h"
#include "broker/server.h"
#include "protocol/base/check.h"

static _Thread_local struct loop *current_loop;

/* -- the receive buffer ------------------------------------------------------------------------- */

static void free_spent(struct loop *loop)
{
    struct input_buffer *next;
    for (struct input_buffer *buffer = loop->spent; buffer; buffer = next) {
        next = buffer->next;
        input_give(buffer);
    }
    loop->spent = NULL;
    loop->spent_size = 0;
}

void loop__spend(struct loop *loop, struct input_buffer *buffer)
{
    buffer->next = loop->spent;
    loop->spent = buffer;
    loop->spent_size += buffer->is_mapped ? buffer->cost : 0;
    if (!appender_holds_bytes(loop->appender))
        free_spent(loop);
}

static bool lies_in(const struct input_buffer *buffer, slice bytes)
{
    return bytes.data >= buffer->bytes && bytes.data < buffer->bytes + buffer->capacity;
}

struct input_buffer *loop__input_of(struct loop *loop, const struct conn *conn, slice bytes)
{
    if (conn && conn->input && lies_in(conn->input, bytes))
        return conn->input;
    struct input_buffer *buffer = loop->spent;
    while (buffer && !lies_in(buffer, bytes))
        buffer = buffer->next;
    return buffer;
}

bool loop_wants_flush(const struct server *server)
{
    if (!current_loop || current_loop->server != server)
        return false;
    current_loop->flush_wanted = true;
    return true;
}

static void wake_flusher(struct loop *loop)
{
    if (!loop->flush_wanted)
        return;
    loop->flush_wanted = false;
    server_wake_flusher(loop->server);
}

static void run_appends(struct loop *loop)
{
    appender_run(loop->appender);
    wake_flusher(loop);
    loop->receive_used = 0;
    free_spent(loop);
}

/* The flusher is woken at the end of the turn all the same: one group has all of it. */
void loop__append_now(struct loop *loop)
{
    appender_run(loop->appender);
    loop->receive_used = 0;
    free_spent(loop);
}

void loop__append_early(struct loop *loop)
{
    if (loop->spent_size >= SPENT_SIZE_MAX)
        loop__append_now(loop);
}

void loop__receive_space(struct loop *loop, uint8_t **at, size_t *room)
{
    if (!appender_holds_bytes(loop->appender))
        loop->receive_used = 0;
    else if (RECEIVE_BUFFER_SIZE - loop->receive_used < RECEIVE_ROOM_MIN)
        run_appends(loop);
    *at = loop->receive + loop->receive_used;
    *room = RECEIVE_BUFFER_SIZE - loop->receive_used;
}

void loop__receive_done(struct loop *loop, const uint8_t *end)
{
    loop->receive_used = (size_t)(end - loop->receive);
}

/* -- starving connections ----------------------------------------------------------------------- */

static void fire_starve(struct timer *timer)
{
    struct loop *loop = (struct loop *)((char *)timer - offsetof(struct loop, starve));
    struct conn *conn = loop->starved;
    loop->starved = NULL;
    struct conn *next;
    for (; conn; conn = next) {
        next = conn->starved_next;
        conn_fed(conn);
    }
}

/* Those who waited for it go on in the next turn. */
static void on_relaxed(struct input_pool *pool)
{
    struct loop *loop = (struct loop *)((char *)pool - offsetof(struct loop, input_pool));
    if (loop->starved)
        timer_arm(&loop->timers, &loop->starve, loop->mono_ms);
}

void loop__starve(struct loop *loop, struct conn *conn)
{
    conn->is_starved = true;
    conn->starved_next = loop->starved;
    loop->starved = conn;
    if (loop->starve.slot == 0)
        timer_arm(&loop->timers, &loop->starve, loop->mono_ms + STARVED_RETRY_MS);
}

/* -- giving memory back ------------------------------------------------------------------------- */

/* A while after the last busy turn: what was kept for speed goes back to the machine. */
static void fire_trim(struct timer *timer)
{
    struct loop *loop = (struct loop *)((char *)timer - offsetof(struct loop, trim));
    if (loop->turn_count != loop->trim_turn) {
        loop->trim_turn = loop->turn_count;
        timer_arm(&loop->timers, &loop->trim, loop->mono_ms + TRIM_AFTER_MS);
        input_pool_shrink(&loop->input_pool);
        if (++loop->trim_count % TRIM_BUSY_COUNT == 0)
            store_release_memory(loop->server->store);
        return;
    }
    store_release_memory(loop->server->store);
    request_trim(loop);
    purgatory_trim(&loop->purgatory);
    while (loop->spare_conns) {
        struct conn *conn = loop->spare_conns;
        loop->spare_conns = conn->next;
        free(conn);
    }
    loop->spare_conn_count = 0;
    input_pool_trim(&loop->input_pool);
    budget_share_trim(&loop->budget);
    if (!appender_holds_bytes(loop->appender))
        madvise(loop->receive, RECEIVE_BUFFER_SIZE, MADV_DONTNEED);
    malloc_trim(0);
}

/* -- mail --------------------------------------------------------------------------------------- */

/* The newest is in front. Who finds the stack empty wakes the loop; others know that somebody does.
 * The loop itself need not: it looks at its mail before it sleeps. */
void loop_post(struct loop *loop, struct loop_mail *mail)
{
    struct loop_mail *newest = atomic_load_explicit(&loop->mail, memory_order_relaxed);
    do {
        mail->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&loop->mail, &newest, mail, memory_order_release,
                                                    memory_order_relaxed));
    if (!newest && loop->ev && !loop__is_current(loop))
        ev_async_send(loop->ev, &loop->wake);
}

static bool deliver_mail(struct loop *loop)
{
    struct loop_mail *newest = atomic_exchange_explicit(&loop->mail, NULL, memory_order_acquire);
    struct loop_mail *oldest = NULL, *next;
    for (; newest; newest = next) {
        next = newest->next;
        newest->next = oldest;
        oldest = newest;
    }
    bool any = oldest != NULL;
    for (; oldest; oldest = next) {
        next = oldest->next;
        oldest->deliver(oldest, loop);
    }
    return any;
}

/* -- turns -------------------------------------------------------------------------------------- */

bool loop__is_current(const struct loop *loop)
{
    return current_loop == loop;
}

unsigned loop__conn_count(const struct loop *loop)
{
    return atomic_load_explicit(&loop->conn_count, memory_order_relaxed);
}

bool loop__has_work(struct loop *loop)
{
    return atomic_load_explicit(&loop->mail, memory_order_relaxed) || loop->woken_first || loop->touched ||
           loop->closed || appender_holds_bytes(loop->appender) ||
           (!loop->is_draining && atomic_load_explicit(&loop->stop_wanted, memory_order_relaxed));
}

static void begin_turn(struct loop *loop)
{
    loop->mono_ms = clock_mono_ms(loop->server->clock);
    loop->wall_ms = clock_wall_ms(loop->server->clock);
}

static void look_at_touched(struct loop *loop)
{
    struct conn *conn = loop->touched;
    loop->touched = NULL;
    struct conn *next;
    for (; conn; conn = next) {
        next = conn->touched_next;
        conn->is_touched = false;
        conn_turn(conn);
    }
}

enum { SPARE_CONNS_MAX = 64 };

static void free_closed(struct loop *loop)
{
    struct conn *conn = loop->closed, *next;
    loop->closed = NULL;
    for (; conn; conn = next) {
        next = conn->next;
        if (conn->is_touched) { /* still in that list */
            conn->next = loop->closed;
            loop->closed = conn;
        } else if (loop->spare_conn_count < SPARE_CONNS_MAX) {
            conn->next = loop->spare_conns;
            loop->spare_conns = conn;
            loop->spare_conn_count++;
        } else {
            free(conn);
        }
    }
}

static void fire_drain(struct timer *timer)
{
    struct loop *loop = (struct loop *)((char *)timer - offsetof(struct loop, drain));
    while (loop->conns)
        conn_close(loop->conns);
}

/* No connection reads on; long polls answer with what they have; what waits for the disk is given
 * time to answer. */
static void begin_drain(struct loop *loop)
{
    loop->is_draining = true;
    if (loop->drain_begins)
        loop->drain_begins(loop);
    for (struct conn *conn = loop->conns; conn; conn = conn->next) {
        conn_end(conn);
        for (struct request *rq = conn->first; rq; rq = rq->links->next)
            if (rq->links->phase == REQUEST_WAIT && request_is_blocking(rq))
                rq_wake(rq, WAKE_DEADLINE);
    }
    if (!timer_arm(&loop->timers, &loop->drain, loop->mono_ms + DRAIN_MS))
        fire_drain(&loop->drain);
}

/* Appends come before the answers that need them, answers before sending, so that what the turn
 * brought leaves in one call per connection. Sending may let more frames run: then once more. */
static void settle(struct loop *loop)
{
    timer_run(&loop->timers, loop->mono_ms);
    if (!loop->is_draining && atomic_load_explicit(&loop->stop_wanted, memory_order_acquire))
        begin_drain(loop);
    for (unsigned round = 0; round < TURN_ROUNDS_MAX && loop__has_work(loop); round++) {
        loop->turn_count++;
        deliver_mail(loop);
        run_appends(loop);
        request_run_woken(loop);
        if (appender_holds_bytes(loop->appender) || loop->woken_first)
            continue;
        look_at_touched(loop);
        free_closed(loop);
    }
    wake_flusher(loop);
    if (loop->turn_count != loop->trim_turn && loop->trim.slot == 0) {
        loop->trim_turn = loop->turn_count;
        timer_arm(&loop->timers, &loop->trim, loop->mono_ms + TRIM_AFTER_MS);
    }
}

void loop_turn(struct loop *loop)
{
    struct loop *outer = current_loop;
    current_loop = loop;
    begin_turn(loop);
    settle(loop);
    retire_quiescent(loop->server->retire, loop->member);
    current_loop = outer;
}

/* -- libev's side ------------------------------------------------------------------------------- */

/* One alarm, set to the earliest deadline; none when there is no deadline. */
static void set_alarm(struct loop *loop)
{
    int64_t next_ms = timer_next_ms(&loop->timers);
    if (next_ms == loop->alarm_ms && (next_ms == INT64_MAX || ev_is_active(&loop->alarm)))
        return;
    loop->alarm_ms = next_ms;
    ev_timer_stop(loop->ev, &loop->alarm);
    if (next_ms == INT64_MAX)
        return;
    int64_t after_ms = next_ms > loop->mono_ms ? next_ms - loop->mono_ms : 0;
    ev_timer_set(&loop->alarm, (double)after_ms / 1000.0, 0.0);
    ev_timer_start(loop->ev, &loop->alarm);
}

static void on_prepare(struct ev_loop *ev, struct ev_prepare *prepare, int events)
{
    (void)events;
    struct loop *loop = prepare->data;
    settle(loop);
    retire_quiescent(loop->server->retire, loop->member);
    if (loop->is_draining && !loop->conns) {
        ev_break(ev, EVBREAK_ALL);
        return;
    }
    set_alarm(loop);
    if (loop__has_work(loop))
        ev_async_send(ev, &loop->wake); /* the others first, then on at once */
}

static void on_check(struct ev_loop *ev, struct ev_check *check_watcher, int events)
{
    (void)ev;
    (void)events;
    begin_turn(check_watcher->data);
}

/* Both only end the wait: mail and deadlines are looked at in every turn. */
static void on_wake(struct ev_loop *ev, struct ev_async *wake, int events)
{
    (void)ev;
    (void)wake;
    (void)events;
}

static void on_alarm(struct ev_loop *ev, struct ev_timer *alarm, int events)
{
    (void)ev;
    (void)events;
    ((struct loop *)alarm->data)->alarm_ms = INT64_MAX;
}

static void on_release(struct ev_loop *ev) EV_NOEXCEPT
{
    struct loop *loop = ev_userdata(ev);
    retire_sleep(loop->server->retire, loop->member);
}

static void on_acquire(struct ev_loop *ev) EV_NOEXCEPT
{
    struct loop *loop = ev_userdata(ev);
    retire_wake(loop->server->retire, loop->member);
}

static void create_watchers(struct loop *loop)
{
    loop->ev = check_memory(ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV));
    ev_set_userdata(loop->ev, loop);
    ev_prepare_init(&loop->prepare, on_prepare);
    ev_check_init(&loop->check, on_check);
    ev_async_init(&loop->wake, on_wake);
    ev_timer_init(&loop->alarm, on_alarm, 0.0, 0.0);
    loop->prepare.data = loop;
    loop->check.data = loop;
    loop->alarm.data = loop;
    ev_set_priority(&loop->check, EV_MAXPRI); /* the clock is read before anything else runs */
    ev_prepare_start(loop->ev, &loop->prepare);
    ev_check_start(loop->ev, &loop->check);
    ev_async_start(loop->ev, &loop->wake);
}

void loop_run(struct loop *loop)
{
    check(loop->ev);
    current_loop = loop;
    loop->member = retire_join(loop->server->retire);
    ev_set_loop_release_cb(loop->ev, on_release, on_acquire);
    begin_turn(loop);
    ev_run(loop->ev, 0);
    ev_set_loop_release_cb(loop->ev, NULL, NULL);
    retire_leave(loop->server->retire, loop->member);
    current_loop = NULL;
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->stop_wanted, true, memory_order_release);
    if (loop->ev)
        ev_async_send(loop->ev, &loop->wake);
}

/* -- making and unmaking ------------------------------------------------------------------------ */

struct loop *loop_create(struct server *server, unsigned index, unsigned count)
{
    check(index < count && count <= LOOPS_MAX);
    struct loop *loop = check_memory(calloc(1, sizeof *loop));
    loop->server = server;
    loop->index = index;
    loop->alarm_ms = INT64_MAX;
    loop->frame_size_max = (size_t)server->config->socket_request_max_bytes;
    loop->idle_max_ms = server->config->connections_max_idle_ms;
    if (loop->idle_max_ms < 0)
        loop->idle_max_ms = INT64_MAX;
    loop->trim.fire = fire_trim;
    loop->starve.fire = fire_starve;
    loop->drain.fire = fire_drain;
    budget_share_init(&loop->budget, &server->budget);
    input_pool_init(&loop->input_pool, &loop->budget, server->budget.limit, count, on_relaxed);
    purgatory_init(&loop->purgatory, loop);
    loop->appender = appender_create(loop);
    loop->receive =
        mmap(NULL, RECEIVE_BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check_memory(loop->receive == MAP_FAILED ? NULL : loop->receive);
    if (server->threaded)
        create_watchers(loop);
    else
        loop->member = retire_join(server->retire);
    begin_turn(loop);
    return loop;
}

/* After its thread has ended and the workers have: the last mail returns what they held. */
void loop_destroy(struct loop *loop)
{
    current_loop = loop;
    loop->is_draining = true;
    while (loop->conns)
        conn_close(loop->conns);
    while (deliver_mail(loop) || appender_holds_bytes(loop->appender) || loop->woken_first) {
        run_appends(loop);
        request_run_woken(loop);
    }
    look_at_touched(loop);
    free_closed(loop);
    wake_flusher(loop);
    request_trim(loop);
    while (loop->spare_conns) {
        struct conn *conn = loop->spare_conns;
        loop->spare_conns = conn->next;
        free(conn);
    }
    if (!loop->server->threaded)
        retire_leave(loop->server->retire, loop->member);
    free_spent(loop);
    input_pool_trim(&loop->input_pool);
    appender_destroy(loop->appender);
    purgatory_destroy(&loop->purgatory);
    budget_share_trim(&loop->budget);
    timer_heap_destroy(&loop->timers);
    munmap(loop->receive, RECEIVE_BUFFER_SIZE);
    if (loop->ev)
        ev_loop_destroy(loop->ev);
    current_loop = NULL;
    free(loop);
}

void loop_partition_progress(struct loop *loop, struct partition *const *partitions, size_t count)
{
    purgatory_report(&loop->purgatory, partitions, count);
}

struct appender *loop_appender(struct loop *loop)
{
    return loop->appender;
}

struct budget_share *loop_budget(struct loop *loop)
{
    return &loop->budget;
}

unsigned loop_index(const struct loop *loop)
{
    return loop->index;
}

struct server *loop_server(const struct loop *loop)
{
    return loop->server;
}
