/* The way of appends through a worker: a queue for each partition, which keeps the order of its log. */
#include <pthread.h>
#include <stdlib.h>

#include "broker/append_internal.h"
#include "broker/files_wait.h"
#include "broker/loop.h"
#include "broker/server.h"
#include "protocol/base/check.h"

/* Of what is held for some instructions a few mutexes serve all partitions; nobody takes it for two. */
enum { QUEUE_MUTEXES = 64 };
static struct queue_mutex {
    _Alignas(64) pthread_mutex_t mutex;
} queue_mutexes[QUEUE_MUTEXES] = { [0 ... QUEUE_MUTEXES - 1] = { PTHREAD_MUTEX_INITIALIZER } };

static pthread_mutex_t *queue_mutex_of(const struct append_queue *queue)
{
    return &queue_mutexes[(uintptr_t)queue / sizeof(struct partition) % QUEUE_MUTEXES].mutex;
}

static void queue_lock(const struct append_queue *queue)
{
    pthread_mutex_lock(queue_mutex_of(queue));
}

static void queue_unlock(const struct append_queue *queue)
{
    pthread_mutex_unlock(queue_mutex_of(queue));
}

/* Pops the whole queue, in which something is. */
static struct append *queue_take(struct append_queue *queue)
{
    queue_lock(queue);
    struct append *first = queue->first;
    queue->first = NULL;
    queue->last = NULL;
    queue_unlock(queue);
    check(first != NULL);
    return first;
}

/* Opening, the directory and a roll each need a turn, and somebody may close the files in between. Who is
 * busy still is not helped by more of it; a client may try again. */
enum { PREPARE_ROUNDS_MAX = 16 };

/* So many appends at most are one write of a worker, which keeps their views on its stack. */
enum { QUEUE_RUN_MAX = 64 };

/* From the first on: those of one leader epoch. */
static size_t queue_run_length(const struct append *first)
{
    size_t count = 0;
    for (const struct append *a = first; a && count < QUEUE_RUN_MAX && a->leader_epoch == first->leader_epoch;
         a = a->next)
        count++;
    return count;
}

static bool log_status_is_final(enum log_status status)
{
    return status != LOG_BUSY;
}

/* How many in front have their result. Who was refused for want of descriptors may yet wait for them. */
static size_t settled_count(const struct append *first, size_t count)
{
    size_t settled = 0;
    for (const struct append *a = first;
         settled < count && log_status_is_final(a->result.status) && a->result.status != LOG_LIMIT;
         a = a->next)
        settled++;
    return settled;
}

static enum log_status try_to_prepare(struct log *log)
{
    files_wait_try_begins();
    enum log_status status = log_prepare(log);
    files_wait_try_ends();
    return status;
}

/* Appends those in front in one write; what needs preparing (the next roll) is prepared. Returns how many
 * have their result, at least one. Who comes while others wait for descriptors, and may need some, does not
 * try before them (lines_up). */
static size_t append_blocking(struct server *server, struct log *log, struct append *first, bool lines_up)
{
    struct batch_view batches[QUEUE_RUN_MAX];
    struct log_append_result results[QUEUE_RUN_MAX];
    size_t count = queue_run_length(first), settled;
    unsigned rounds = 0;
    do {
        struct append_clock now = { clock_wall_ms(server->clock), clock_mono_ns(server->clock) };
        append__run(server, log, &now, first, count, batches, results);
        settled = settled_count(first, count);
        if (settled > 0 || log_status_is_final(first->result.status))
            break;
        bool gives_up =
            rounds++ == PREPARE_ROUNDS_MAX || (lines_up && files_wait_has_line(server->files_wait));
        enum log_status status = gives_up ? LOG_LIMIT : try_to_prepare(log);
        if (status != LOG_OK) {
            first->result.status = status;
            first->result.base_offset = -1;
        }
    } while (!log_status_is_final(first->result.status));
    return settled > 0 ? settled : 1;
}

/* Its place in the line of those who wait for descriptors. */
struct parked_queue {
    struct files_waiter waiter;
    struct append_queue *queue;
    struct workers *workers;
};

static void wake_queue(struct files_waiter *waiter)
{
    struct parked_queue *parked =
        (struct parked_queue *)((char *)waiter - offsetof(struct parked_queue, waiter));
    workers_submit(parked->workers, &parked->queue->work);
}

/* NULL: no memory. */
static struct parked_queue *enter_line(struct server *server, struct append_queue *queue, int64_t until_ms)
{
    struct parked_queue *parked = calloc(1, sizeof *parked);
    if (!parked)
        return NULL;
    parked->waiter.wake = wake_queue;
    parked->queue = queue;
    parked->workers = server->append_workers;
    queue->parked = parked;
    files_wait_enter(server->files_wait, &parked->waiter, until_ms);
    return parked;
}

static void leave_line(struct server *server, struct append_queue *queue)
{
    if (queue->parked)
        files_wait_leave(server->files_wait, &queue->parked->waiter);
    free(queue->parked);
    queue->parked = NULL;
}

/* The appends in front, and another try once the queue is in the line of those who wait for descriptors.
 * Returns how many have their result; 0: the queue has to be parked in that line. */
static size_t append_or_wait(struct server *server, struct partition *partition, struct append *first)
{
    struct append_queue *queue = &partition->append_queue;
    struct parked_queue *parked = queue->parked;
    bool was_in = parked != NULL;
    size_t settled = append_blocking(server, partition->log, first, !was_in);
    if (first->result.status == LOG_LIMIT && !was_in) {
        parked = enter_line(server, queue, first->files_until_ms);
        if (parked && !files_wait_has_line(server->files_wait))
            settled = append_blocking(server, partition->log, first, false);
    }
    if (first->result.status == LOG_LIMIT && parked &&
        !files_wait_is_over(server->files_wait, &parked->waiter))
        return 0;
    leave_line(server, queue);
    return settled;
}

/* Puts what was taken back in front. */
static void queue_return(struct append_queue *queue, struct append *first)
{
    struct append *last = first;
    while (last->next)
        last = last->next;
    queue_lock(queue);
    last->next = queue->first;
    queue->first = first;
    if (!queue->last)
        queue->last = last;
    queue_unlock(queue);
}

/* Once posted an append is its loop's: nothing of it is read afterwards. Returns the next one. */
static struct append *post_settled(struct append *append, size_t count)
{
    struct append *next = append;
    for (; count > 0; count--, append = next) {
        next = append->next;
        loop_post(append->rq->loop, &append->mail);
    }
    return next;
}

/* Ends the worker's turn when nothing came meanwhile. */
static bool queue_ends(struct append_queue *queue)
{
    queue_lock(queue);
    bool is_empty = queue->first == NULL;
    if (is_empty)
        atomic_store_explicit(&queue->is_active, false, memory_order_release);
    queue_unlock(queue);
    return is_empty;
}

/* One round of what is queued, then the other partitions have their turn. Who waits for descriptors parks the
 * whole queue, which keeps its order. */
static void run_queue(struct work *work)
{
    struct append_queue *queue = (struct append_queue *)((char *)work - offsetof(struct append_queue, work));
    struct partition *partition =
        (struct partition *)((char *)queue - offsetof(struct partition, append_queue));
    struct append *append = queue_take(queue);
    struct server *server = append->rq->server;
    while (append) {
        struct partition *moved = partition;
        size_t settled = append_or_wait(server, partition, append);
        if (settled == 0) {
            queue_return(queue, append);
            files_wait_park(server->files_wait, &queue->parked->waiter);
            return;
        }
        server_partition_progress(server, &moved, 1);
        append = post_settled(append, settled);
    }
    if (queue_ends(queue))
        partition_release(partition);
    else
        workers_submit(server->append_workers, &queue->work);
}

static void deliver_mail(struct loop_mail *mail, struct loop *loop)
{
    (void)loop;
    append__deliver((struct append *)((char *)mail - offsetof(struct append, mail)));
}

/* The bytes outlive the turn: they stay with the request. */
static bool keep_bytes(struct append *append)
{
    bool ok = true;
    if (append->is_kept)
        return true;
    append->batch.data =
        (uint8_t *)rq_keep(append->rq, slice_of(append->batch.data, append->batch.size), &ok).data;
    append->is_kept = ok;
    return ok;
}

/* A queue that is active holds its partition. */
void append__queue(struct append *append, struct workers *workers)
{
    struct append_queue *queue = &append->partition->append_queue;
    if (!keep_bytes(append)) {
        append->result.status = LOG_LIMIT;
        append__deliver(append);
        return;
    }
    int64_t wait_ms = append->timeout_ms < FILES_WAIT_MAX_MS ? append->timeout_ms : FILES_WAIT_MAX_MS;
    append->files_until_ms = rq_mono_ms(append->rq) + (wait_ms > 0 ? wait_ms : 0);
    append->next = NULL;
    append->mail.deliver = deliver_mail;
    queue_lock(queue);
    if (queue->last)
        queue->last->next = append;
    else
        queue->first = append;
    queue->last = append;
    bool was_active = atomic_exchange_explicit(&queue->is_active, true, memory_order_acq_rel);
    if (!was_active)
        partition_hold(append->partition);
    queue_unlock(queue);
    if (!was_active) {
        queue->work.run = run_queue;
        workers_submit(workers, &queue->work);
    }
}
