/* The life of a request: made, waiting, woken, answered, dropped. */
#include "broker/request.h"

#include <stdlib.h>

#include "broker/files_wait.h"
#include "broker/loop_internal.h"
#include "broker/server.h"
#include "protocol/base/check.h"

enum { SPARE_REQUESTS_MAX = 256 };

/* In the order in which they are told: results before mere movement, and the deadline last, so that
 * what has arrived in time counts. */
static const enum wake wake_order[] = { WAKE_WORKED, WAKE_APPENDED, WAKE_PROGRESS, WAKE_DEADLINE };

static struct request_slot *slot_of(struct request *rq)
{
    return (struct request_slot *)((char *)rq - offsetof(struct request_slot, request));
}

static struct request *request_of_link(struct request_link *link)
{
    return &((struct request_slot *)((char *)link - offsetof(struct request_slot, link)))->request;
}

static bool is_waiting(const struct request_link *link)
{
    return link->phase == REQUEST_WAIT || link->phase == REQUEST_BUSY;
}

/* -- made and dropped --------------------------------------------------------------------------- */

static void fire_deadline(struct timer *timer)
{
    struct request_link *link =
        (struct request_link *)((char *)timer - offsetof(struct request_link, deadline));
    rq_wake(request_of_link(link), WAKE_DEADLINE);
}

static struct request_slot *slot_create(struct loop *loop)
{
    struct request *spare = loop->spare_requests;
    struct request_slot *slot;
    if (spare) {
        slot = slot_of(spare);
        loop->spare_requests = slot->link.next;
        loop->spare_request_count--;
        struct arena arena = slot->request.arena;
        memset(slot, 0, sizeof *slot);
        slot->request.arena = arena;
        return slot;
    }
    slot = calloc(1, sizeof *slot);
    if (slot)
        arena_init(&slot->request.arena, &loop->budget);
    return slot;
}

static void slot_destroy(struct request_slot *slot)
{
    arena_destroy(&slot->request.arena);
    free(slot);
}

enum { SLOT_COST = sizeof(struct request_slot) + ARENA_FIRST_PAGE_SIZE };

static void slot_give_back(struct loop *loop, struct request_slot *slot)
{
    if (slot->link.is_counted)
        budget_give(&loop->budget, SLOT_COST);
    if (loop->spare_request_count >= SPARE_REQUESTS_MAX) {
        slot_destroy(slot);
        return;
    }
    arena_reset(&slot->request.arena);
    slot->link.next = loop->spare_requests;
    loop->spare_requests = &slot->request;
    loop->spare_request_count++;
}

void request_trim(struct loop *loop)
{
    while (loop->spare_requests) {
        struct request_slot *slot = slot_of(loop->spare_requests);
        loop->spare_requests = slot->link.next;
        slot_destroy(slot);
    }
    loop->spare_request_count = 0;
}

struct request *request_acquire(struct conn *conn)
{
    struct loop *loop = conn->loop;
    bool is_counted = conn->request_count >= CONN_REQUESTS_FREE;
    if (is_counted && !budget_take(&loop->budget, SLOT_COST))
        return NULL;
    struct request_slot *slot = slot_create(loop);
    if (!slot) {
        if (is_counted)
            budget_give(&loop->budget, SLOT_COST);
        return NULL;
    }
    slot->link.is_counted = is_counted;
    struct request *rq = &slot->request;
    struct request_link *link = &slot->link;
    rq->links = link;
    rq->server = loop->server;
    rq->loop = loop;
    rq->conn = conn;
    rq->now_ms = loop->wall_ms;
    link->deadline.fire = fire_deadline;
    link->phase = REQUEST_RUNNING;
    link->previous = conn->last;
    if (conn->last)
        conn->last->links->next = rq;
    else
        conn->first = rq;
    conn->last = rq;
    conn->request_count++;
    return rq;
}

static void free_unless_needed(struct request *rq)
{
    struct request_link *link = rq->links;
    if (link->phase == REQUEST_OVER && link->hold_count == 0 && !link->is_woken)
        slot_give_back(rq->loop, slot_of(rq));
}

bool request_is_blocking(const struct request *rq)
{
    switch (rq->links->phase) {
    case REQUEST_BUSY:
    case REQUEST_CLOSE:
        return true;
    case REQUEST_WAIT:
        return !(rq->links->api->flags & API_OVERLAP);
    case REQUEST_RUNNING:
    case REQUEST_DONE:
    case REQUEST_OVER:
        return false;
    }
    check_unreachable("request_phase");
}

static void set_phase(struct request *rq, enum request_phase phase)
{
    bool was_blocking = request_is_blocking(rq);
    rq->links->phase = phase;
    bool is_blocking = request_is_blocking(rq);
    if (is_blocking && !was_blocking)
        rq->conn->blocking_count++;
    if (was_blocking && !is_blocking)
        rq->conn->blocking_count--;
}

static void stop_waiting(struct request *rq)
{
    purgatory_unwatch(rq);
    timer_cancel(&rq->loop->timers, &rq->links->deadline);
}

void request_drop(struct request *rq)
{
    struct request_link *link = rq->links;
    struct conn *conn = rq->conn;
    stop_waiting(rq);
    set_phase(rq, REQUEST_OVER);
    if (link->previous)
        link->previous->links->next = link->next;
    else
        conn->first = link->next;
    if (link->next)
        link->next->links->previous = link->previous;
    else
        conn->last = link->previous;
    conn->request_count--;
    conn->append_count -= rq->appends_pending;
    conn->is_crowded = false;
    rq->conn = NULL;
    free_unless_needed(rq);
}

/* -- on a worker -------------------------------------------------------------------------------- */

static void submit(struct request *rq)
{
    struct request_link *link = rq->links;
    workers_submit(link->is_reading ? rq->server->read_workers : rq->server->workers, &link->work);
}

static void wake_parked(struct files_waiter *waiter)
{
    submit(waiter->context);
}

static void work_on_worker(struct work *work)
{
    struct request_link *link = (struct request_link *)((char *)work - offsetof(struct request_link, work));
    struct request *rq = request_of_link(link);
    link->work_fn(rq);
    struct files_waiter *waiter = link->waits;
    if (!waiter) {
        loop_post(rq->loop, &link->work_done);
        return;
    }
    link->waits = NULL;
    waiter->context = rq;
    waiter->wake = wake_parked;
    files_wait_park(rq->server->files_wait, waiter);
}

/* What the worker took from the budget now counts in the loop's share, where it will be given back. */
static void take_back_arena(struct request *rq)
{
    struct budget_share *share = &rq->links->work_share;
    rq->loop->budget.lent += share->lent;
    rq->loop->budget.used += share->used;
    *share = (struct budget_share){ 0 };
    rq->arena.share = &rq->loop->budget;
}

static void deliver_worked(struct loop_mail *mail, struct loop *loop)
{
    (void)loop;
    struct request_link *link =
        (struct request_link *)((char *)mail - offsetof(struct request_link, work_done));
    struct request *rq = request_of_link(link);
    take_back_arena(rq);
    link->work_fn = NULL;
    link->is_working = false;
    rq_wake(rq, WAKE_WORKED);
    rq_release(rq);
}

static void submit_work(struct request *rq)
{
    struct request_link *link = rq->links;
    /* The loop's share is the loop's alone, so the arena draws on its own meanwhile. */
    budget_share_init(&link->work_share, &rq->server->budget);
    rq->arena.share = &link->work_share;
    link->work.run = work_on_worker;
    link->work_done.deliver = deliver_worked;
    link->is_working = true;
    rq_hold(rq);
    submit(rq);
}

/* -- answers ------------------------------------------------------------------------------------ */

static void wait_on(struct request *rq, enum request_phase phase)
{
    set_phase(rq, phase);
    check(rq->resume);
    if (rq->links->work_fn && !rq->links->is_working)
        submit_work(rq);
    /* A stopping broker has long polls answer with what they have. */
    if (rq->loop->is_draining && phase == REQUEST_WAIT && request_is_blocking(rq))
        rq_wake(rq, WAKE_DEADLINE);
}

void request_handled(struct request *rq, enum handled handled)
{
    struct conn *conn = rq->conn;
    conn_touch(conn);
    switch (handled) {
    case HANDLED_DONE:
        stop_waiting(rq);
        if (dispatch_encode(rq)) {
            set_phase(rq, REQUEST_DONE);
            conn->output_size += rq->links->reply.size;
        } else {
            set_phase(rq, REQUEST_CLOSE);
        }
        return;
    case HANDLED_WAIT:
        wait_on(rq, REQUEST_WAIT);
        return;
    case HANDLED_BUSY:
        wait_on(rq, REQUEST_BUSY);
        return;
    case HANDLED_NONE:
        request_drop(rq);
        return;
    case HANDLED_CLOSE:
        stop_waiting(rq);
        set_phase(rq, REQUEST_CLOSE);
        return;
    }
    check_unreachable("handled");
}

/* -- waking ------------------------------------------------------------------------------------- */

void rq_hold(struct request *rq)
{
    rq->links->hold_count++;
}

void rq_release(struct request *rq)
{
    check(rq->links->hold_count > 0);
    rq->links->hold_count--;
    free_unless_needed(rq);
}

void rq_wake(struct request *rq, enum wake why)
{
    struct request_link *link = rq->links;
    if (link->phase == REQUEST_OVER)
        return;
    link->wakes |= 1u << why;
    if (link->is_woken)
        return;
    link->is_woken = true;
    link->woken_next = NULL;
    if (rq->loop->woken_last)
        rq->loop->woken_last->links->woken_next = rq;
    else
        rq->loop->woken_first = rq;
    rq->loop->woken_last = rq;
}

/* While a worker has the request, or appends are out, nothing else may resume it: they use its state. */
static bool may_resume(const struct request *rq, enum wake why)
{
    const struct request_link *link = rq->links;
    if (!is_waiting(link) || !(link->wakes & 1u << why))
        return false;
    return !link->work_fn && (rq->appends_pending == 0 || why == WAKE_APPENDED);
}

static void resume(struct request *rq)
{
    struct request_link *link = rq->links;
    for (size_t i = 0; i < sizeof wake_order / sizeof wake_order[0]; i++) {
        enum wake why = wake_order[i];
        if (!may_resume(rq, why))
            continue;
        link->wakes &= ~(1u << why);
        rq->now_ms = rq->loop->wall_ms;
        rq->image = controller_image(rq->server->controller);
        request_handled(rq, rq->resume(rq, why));
    }
}

void request_run_woken(struct loop *loop)
{
    while (loop->woken_first) {
        struct request *rq = loop->woken_first;
        struct request_link *link = rq->links;
        loop->woken_first = link->woken_next;
        if (!loop->woken_first)
            loop->woken_last = NULL;
        /* Held meanwhile, so that an answer that ends the request leaves its memory in place. */
        rq_hold(rq);
        link->is_woken = false;
        if (link->phase != REQUEST_OVER)
            resume(rq);
        rq_release(rq);
    }
}

/* -- waiting ------------------------------------------------------------------------------------ */

void rq_deadline(struct request *rq, int64_t mono_ms)
{
    if (!timer_arm(&rq->loop->timers, &rq->links->deadline, mono_ms))
        rq_wake(rq, WAKE_DEADLINE); /* better early than never */
}

void rq_work(struct request *rq, void (*fn)(struct request *rq))
{
    check(!rq->links->work_fn);
    rq->links->work_fn = fn;
    rq->links->is_reading = false;
}

void rq_read(struct request *rq, void (*fn)(struct request *rq))
{
    rq_work(rq, fn);
    rq->links->is_reading = true;
}

void rq_park(struct request *rq, struct files_waiter *waiter)
{
    check(rq->links->is_working);
    rq->links->waits = waiter;
}

slice rq_keep(struct request *rq, slice bytes, bool *ok)
{
    struct input_buffer *buffer = loop__input_of(rq->loop, rq->conn, bytes);
    if (!buffer || !buffer->is_mapped || bytes.size < buffer->capacity / 2)
        return arena_copy(&rq->arena, bytes, ok);
    if (!arena_pin(&rq->arena, &buffer->pin))
        *ok = false;
    else
        input_held(buffer);
    return bytes;
}

int64_t rq_mono_ms(const struct request *rq)
{
    return rq->loop->mono_ms;
}
