/* The flusher's thread: sleeps until the store is dirty or flush.ms is over. */
#include "broker/flusher.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "broker/server.h"
#include "broker/thread.h"
#include "protocol/base/check.h"

struct flusher {
    struct server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    atomic_bool is_wanted; /* set by whoever appends, taken before the group is */
    bool is_stopping;
};

/* With the lock held: until somebody wants a flush, or one is due. */
static void wait_for_work(struct flusher *flusher)
{
    while (!atomic_load_explicit(&flusher->is_wanted, memory_order_acquire) && !flusher->is_stopping) {
        int64_t due_ms = store_flush_due_ms(flusher->server->store);
        if (due_ms == INT64_MAX) {
            pthread_cond_wait(&flusher->wanted, &flusher->lock);
            continue;
        }
        if (due_ms <= clock_mono_ms(flusher->server->clock))
            return;
        struct timespec until = { .tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000 };
        pthread_cond_timedwait(&flusher->wanted, &flusher->lock, &until);
    }
}

static void *flusher_main(void *context)
{
    struct flusher *flusher = context;
    struct retire *retire = flusher->server->retire;
    unsigned member = retire_join(retire);
    bool is_stopping = false;
    while (!is_stopping) {
        retire_sleep(retire, member);
        pthread_mutex_lock(&flusher->lock);
        wait_for_work(flusher);
        is_stopping = flusher->is_stopping;
        pthread_mutex_unlock(&flusher->lock);
        retire_wake(retire, member);
        /* Taken before the group: who finds it set has dirtied his log before, so this group has it. */
        atomic_exchange_explicit(&flusher->is_wanted, false, memory_order_acq_rel);
        while (store_flush(flusher->server->store))
            retire_quiescent(retire, member);
    }
    retire_leave(retire, member);
    return NULL;
}

struct flusher *flusher_start(struct server *server)
{
    struct flusher *flusher = check_memory(calloc(1, sizeof *flusher));
    pthread_condattr_t attributes;
    flusher->server = server;
    check(pthread_mutex_init(&flusher->lock, NULL) == 0);
    check(pthread_condattr_init(&attributes) == 0);
    check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    check(pthread_cond_init(&flusher->wanted, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    thread_start(&flusher->thread, flusher_main, flusher);
    return flusher;
}

/* Only who sets the flag signals, under the lock: then the flusher either waits and is woken, or has
 * not looked at the flag yet. */
void flusher_wake(struct flusher *flusher)
{
    if (atomic_exchange_explicit(&flusher->is_wanted, true, memory_order_acq_rel))
        return;
    pthread_mutex_lock(&flusher->lock);
    pthread_cond_signal(&flusher->wanted);
    pthread_mutex_unlock(&flusher->lock);
}

void flusher_stop(struct flusher *flusher)
{
    pthread_mutex_lock(&flusher->lock);
    flusher->is_stopping = true;
    pthread_cond_signal(&flusher->wanted);
    pthread_mutex_unlock(&flusher->lock);
    check(pthread_join(flusher->thread, NULL) == 0);
}

void flusher_destroy(struct flusher *flusher)
{
    pthread_cond_destroy(&flusher->wanted);
    pthread_mutex_destroy(&flusher->lock);
    free(flusher);
}
