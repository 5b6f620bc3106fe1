/* The worker threads and their queue. */
#include "broker/work.h"

#include <pthread.h>
#include <stdlib.h>

#include "broker/thread.h"
#include "protocol/base/check.h"

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t submitted;
    struct work *first; /* in order of submission */
    struct work *last;
    size_t queued_count;
    unsigned idle_count;    /* threads that wait */
    unsigned running_count; /* jobs that run */
    pthread_cond_t drained;
    bool is_stopping;
    struct retire *retire;
    struct random *random; /* only without threads */
    unsigned thread_count;
    pthread_t threads[];
};

static struct work *take_first(struct workers *workers)
{
    struct work *work = workers->first;
    workers->first = work->next;
    if (!workers->first)
        workers->last = NULL;
    workers->queued_count--;
    return work;
}

/* Under the lock, which is given back meanwhile: what is freed may close files, which takes its time, and may ask for
 * work itself. */
static void sleep_until_submitted(struct workers *workers, unsigned member)
{
    pthread_mutex_unlock(&workers->lock);
    retire_sleep(workers->retire, member);
    pthread_mutex_lock(&workers->lock);
    while (!workers->first && !workers->is_stopping) {
        workers->idle_count++;
        pthread_cond_wait(&workers->submitted, &workers->lock);
        workers->idle_count--;
    }
    retire_wake(workers->retire, member);
}

static void *worker_main(void *context)
{
    struct workers *workers = context;
    unsigned member = retire_join(workers->retire);
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        if (!workers->first && !workers->is_stopping)
            sleep_until_submitted(workers, member);
        if (!workers->first)
            break;
        struct work *work = take_first(workers);
        workers->running_count++;
        pthread_mutex_unlock(&workers->lock);
        work->run(work);
        retire_quiescent(workers->retire, member);
        pthread_mutex_lock(&workers->lock);
        workers->running_count--;
        if (!workers->first && workers->running_count == 0)
            pthread_cond_broadcast(&workers->drained);
    }
    pthread_mutex_unlock(&workers->lock);
    retire_leave(workers->retire, member);
    return NULL;
}

struct workers *workers_create(unsigned count, struct retire *retire, struct random *random)
{
    struct workers *workers = check_memory(calloc(1, sizeof *workers + count * sizeof(pthread_t)));
    check(pthread_mutex_init(&workers->lock, NULL) == 0);
    check(pthread_cond_init(&workers->submitted, NULL) == 0);
    check(pthread_cond_init(&workers->drained, NULL) == 0);
    workers->retire = retire;
    workers->random = random;
    for (unsigned i = 0; i < count; i++)
        thread_start(&workers->threads[workers->thread_count++], worker_main, workers);
    return workers;
}

void workers_destroy(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->is_stopping = true;
    pthread_cond_broadcast(&workers->submitted);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->thread_count; i++)
        check(pthread_join(workers->threads[i], NULL) == 0);
    while (workers->first) {
        struct work *work = take_first(workers);
        work->run(work);
    }
    pthread_cond_destroy(&workers->submitted);
    pthread_cond_destroy(&workers->drained);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}

void workers_drain(struct workers *workers)
{
    while (workers->thread_count == 0 && workers_step(workers))
        ;
    pthread_mutex_lock(&workers->lock);
    while (workers->first || workers->running_count > 0)
        pthread_cond_wait(&workers->drained, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
}

void workers_submit(struct workers *workers, struct work *work)
{
    work->next = NULL;
    pthread_mutex_lock(&workers->lock);
    if (workers->last)
        workers->last->next = work;
    else
        workers->first = work;
    workers->last = work;
    workers->queued_count++;
    bool wake = workers->idle_count > 0;
    pthread_mutex_unlock(&workers->lock);
    if (wake)
        pthread_cond_signal(&workers->submitted);
}

/* Any job may come first on a real machine, so a simulation draws which one it is. */
static struct work *take_any(struct workers *workers)
{
    size_t before = workers->random ? (size_t)random_below(workers->random, workers->queued_count) : 0;
    if (before == 0)
        return take_first(workers);
    struct work *previous = workers->first;
    while (--before > 0)
        previous = previous->next;
    struct work *work = previous->next;
    previous->next = work->next;
    if (!work->next)
        workers->last = previous;
    workers->queued_count--;
    return work;
}

bool workers_step(struct workers *workers)
{
    check(workers->thread_count == 0);
    if (!workers->first)
        return false;
    struct work *work = take_any(workers);
    work->run(work);
    return true;
}
