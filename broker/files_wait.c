/* The line of those who wait for descriptors.
 *
 * No wake-up is lost: who enters raises in_line and then tries; who frees a descriptor frees it and then
 * reads in_line. Both are sequentially consistent, so either the try finds the descriptor or the free finds
 * him in the line. From then on every free raises `freed`, and nobody parks who was woken before the last
 * one. */
#include "broker/files_wait.h"

#include <stdlib.h>

#include "broker/loop_internal.h"
#include "broker/server.h"
#include "protocol/base/check.h"

/* How often the first of the line tries though nothing was told. */
enum { TRY_AGAIN_MS = 200 };

struct files_wait {
    struct server *server;
    _Atomic uint64_t in_line; /* entered, and not left */
    _Atomic uint64_t parked;
    atomic_bool is_closed;

    pthread_mutex_t lock;       /* innermost but for the queues of workers and loops; the rest */
    struct files_waiter *first; /* parked, by ticket */
    struct files_waiter *last;
    uint64_t next_ticket;
    uint64_t freed;
    uint64_t trying;
    int64_t due_ms; /* what the timer is to be armed for; INT64_MAX: nothing */
    bool is_posted;

    struct loop_mail mail; /* to the first loop, which has the timer */
    struct timer timer;
};

static _Thread_local bool is_trying_here;

static void fire(struct timer *timer);
static void deliver(struct loop_mail *mail, struct loop *loop);

struct files_wait *files_wait_create(struct server *server)
{
    struct files_wait *wait = check_memory(calloc(1, sizeof *wait));
    wait->server = server;
    check(pthread_mutex_init(&wait->lock, NULL) == 0);
    wait->next_ticket = 1;
    wait->due_ms = INT64_MAX;
    wait->mail.deliver = deliver;
    wait->timer.fire = fire;
    return wait;
}

void files_wait_destroy(struct files_wait *wait)
{
    check(atomic_load(&wait->in_line) == 0);
    pthread_mutex_destroy(&wait->lock);
    free(wait);
}

/* -- the line, under the lock --------------------------------------------------------------------- */

static void insert(struct files_wait *wait, struct files_waiter *waiter)
{
    struct files_waiter *before = wait->last;
    while (before && before->ticket > waiter->ticket)
        before = before->previous;
    waiter->previous = before;
    waiter->next = before ? before->next : wait->first;
    *(waiter->next ? &waiter->next->previous : &wait->last) = waiter;
    *(before ? &before->next : &wait->first) = waiter;
    atomic_fetch_add(&wait->parked, 1);
}

/* To be woken by the caller, without the lock. */
static struct files_waiter *take(struct files_wait *wait, struct files_waiter *waiter)
{
    if (!waiter)
        return NULL;
    *(waiter->next ? &waiter->next->previous : &wait->last) = waiter->previous;
    *(waiter->previous ? &waiter->previous->next : &wait->first) = waiter->next;
    waiter->previous = waiter->next = NULL;
    waiter->seen = wait->freed;
    waiter->is_trying = true;
    wait->trying++;
    atomic_fetch_sub(&wait->parked, 1);
    return waiter;
}

static void stop_trying(struct files_wait *wait, struct files_waiter *waiter)
{
    if (waiter->is_trying)
        wait->trying--;
    waiter->is_trying = false;
}

/* True: the mail is to be posted. */
static bool want_alarm(struct files_wait *wait, int64_t due_ms)
{
    if (due_ms >= wait->due_ms)
        return false;
    wait->due_ms = due_ms;
    bool posts = !wait->is_posted;
    wait->is_posted = true;
    return posts;
}

static void wake(struct files_waiter *waiter)
{
    if (waiter)
        waiter->wake(waiter);
}

/* -- waiting -------------------------------------------------------------------------------------- */

bool files_wait_has_line(const struct files_wait *wait)
{
    return atomic_load_explicit(&wait->parked, memory_order_relaxed) > 0;
}

void files_wait_enter(struct files_wait *wait, struct files_waiter *waiter, int64_t limit_ms)
{
    check(waiter->ticket == 0);
    atomic_fetch_add(&wait->in_line, 1);
    pthread_mutex_lock(&wait->lock);
    waiter->ticket = wait->next_ticket++;
    waiter->seen = wait->freed;
    waiter->limit_ms = limit_ms;
    pthread_mutex_unlock(&wait->lock);
}

bool files_wait_is_over(const struct files_wait *wait, const struct files_waiter *waiter)
{
    return atomic_load(&wait->is_closed) || clock_mono_ms(wait->server->clock) >= waiter->limit_ms;
}

/* The next one has his turn when it was not the store that refused: what this one lacks, another need not. */
static struct files_waiter *choose_after(struct files_wait *wait, struct files_waiter *waiter)
{
    if (wait->freed != waiter->seen)
        return wait->first;
    return store_is_short_of_files(wait->server->store) ? NULL : waiter->next;
}

void files_wait_park(struct files_wait *wait, struct files_waiter *waiter)
{
    int64_t again_ms = clock_mono_ms(wait->server->clock) + TRY_AGAIN_MS;
    pthread_mutex_lock(&wait->lock);
    stop_trying(wait, waiter);
    insert(wait, waiter);
    bool is_closed = atomic_load(&wait->is_closed);
    struct files_waiter *next = NULL;
    if (is_closed)
        next = take(wait, waiter);
    else if (wait->trying == 0)
        next = take(wait, choose_after(wait, waiter));
    bool posts = !is_closed && wait->first &&
                 want_alarm(wait, waiter->limit_ms < again_ms ? waiter->limit_ms : again_ms);
    /* Under the lock, as the loops go once the line is closed. */
    if (posts)
        loop_post(wait->server->loops[0], &wait->mail);
    pthread_mutex_unlock(&wait->lock);
    wake(next);
}

void files_wait_leave(struct files_wait *wait, struct files_waiter *waiter)
{
    if (waiter->ticket == 0)
        return;
    pthread_mutex_lock(&wait->lock);
    stop_trying(wait, waiter);
    waiter->ticket = 0;
    struct files_waiter *next = wait->trying == 0 ? take(wait, wait->first) : NULL;
    pthread_mutex_unlock(&wait->lock);
    atomic_fetch_sub(&wait->in_line, 1);
    wake(next);
}

/* -- waking --------------------------------------------------------------------------------------- */

void files_wait_try_begins(void)
{
    check(!is_trying_here);
    is_trying_here = true;
}

void files_wait_try_ends(void)
{
    check(is_trying_here);
    is_trying_here = false;
}

void files_wait_freed(struct files_wait *wait)
{
    if (is_trying_here || atomic_load(&wait->in_line) == 0)
        return;
    pthread_mutex_lock(&wait->lock);
    wait->freed++;
    struct files_waiter *next = wait->trying == 0 ? take(wait, wait->first) : NULL;
    pthread_mutex_unlock(&wait->lock);
    wake(next);
}

/* Those whose limit has passed, and the first of the line in any case; chained by next. */
static struct files_waiter *take_due(struct files_wait *wait, int64_t now_ms, bool all)
{
    struct files_waiter *list = NULL, **end = &list, *next;
    wait->due_ms = INT64_MAX;
    for (struct files_waiter *waiter = wait->first; waiter; waiter = next) {
        next = waiter->next;
        if (all || waiter->limit_ms <= now_ms || (waiter == wait->first && wait->trying == 0)) {
            *end = take(wait, waiter);
            end = &waiter->next;
        } else if (waiter->limit_ms < wait->due_ms) {
            wait->due_ms = waiter->limit_ms;
        }
    }
    if (wait->first && now_ms + TRY_AGAIN_MS < wait->due_ms)
        wait->due_ms = now_ms + TRY_AGAIN_MS;
    return list;
}

static void wake_list(struct files_waiter *list)
{
    for (struct files_waiter *next; list; list = next) {
        next = list->next;
        list->next = NULL;
        wake(list);
    }
}

/* Without memory for the heap the limits pass unnoticed, and descriptors wake as ever. */
static void arm(struct files_wait *wait, int64_t due_ms)
{
    if (due_ms != INT64_MAX)
        (void)timer_arm(&wait->server->loops[0]->timers, &wait->timer, due_ms);
}

static void fire(struct timer *timer)
{
    struct files_wait *wait = (struct files_wait *)((char *)timer - offsetof(struct files_wait, timer));
    pthread_mutex_lock(&wait->lock);
    struct files_waiter *list = take_due(wait, clock_mono_ms(wait->server->clock), false);
    int64_t due_ms = wait->due_ms;
    pthread_mutex_unlock(&wait->lock);
    arm(wait, due_ms);
    wake_list(list);
}

static void deliver(struct loop_mail *mail, struct loop *loop)
{
    struct files_wait *wait = (struct files_wait *)((char *)mail - offsetof(struct files_wait, mail));
    (void)loop;
    pthread_mutex_lock(&wait->lock);
    wait->is_posted = false;
    int64_t due_ms = wait->due_ms;
    pthread_mutex_unlock(&wait->lock);
    arm(wait, due_ms);
}

void files_wait_close(struct files_wait *wait)
{
    pthread_mutex_lock(&wait->lock);
    atomic_store(&wait->is_closed, true);
    struct files_waiter *list = take_due(wait, INT64_MAX / 2, true);
    pthread_mutex_unlock(&wait->lock);
    wake_list(list);
}
