/* The flusher's thread: sleeps until the store is dirty or flush.ms is over. */
#include "broker/flusher.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "broker/server.h"
#include "broker/thread.h"
#include "protocol/base/check.h"

/* A semaphore, as a condition variable costs one call of futex more each time: glibc's hands its lock over as
 * if others waited for it. */
struct flusher {
    struct server *server;
    pthread_t thread;
    sem_t wakes;
    atomic_bool is_wanted; /* set by whoever appends, taken before the group is */
    atomic_bool is_stopping;
};

/* Until somebody wants a flush, or one is due. */
static void wait_for_work(struct flusher *flusher)
{
    while (!atomic_load_explicit(&flusher->is_wanted, memory_order_acquire) &&
           !atomic_load_explicit(&flusher->is_stopping, memory_order_acquire)) {
        int64_t due_ms = store_flush_due_ms(flusher->server->store);
        if (due_ms == INT64_MAX) {
            sem_wait(&flusher->wakes);
            continue;
        }
        if (due_ms <= clock_mono_ms(flusher->server->clock))
            return;
        struct timespec until = { .tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000 };
        sem_clockwait(&flusher->wakes, CLOCK_MONOTONIC, &until);
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
        wait_for_work(flusher);
        is_stopping = atomic_load_explicit(&flusher->is_stopping, memory_order_acquire);
        retire_wake(retire, member);
        while (sem_trywait(&flusher->wakes) == 0)
            ; /* of those who came while it was awake */
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
    flusher->server = server;
    check(sem_init(&flusher->wakes, 0, 0) == 0);
    thread_start(&flusher->thread, flusher_main, flusher);
    return flusher;
}

/* Only who sets the flag posts: the flusher waits and is woken, or will not wait, as it looks at the flag
 * before. */
void flusher_wake(struct flusher *flusher)
{
    if (!atomic_exchange_explicit(&flusher->is_wanted, true, memory_order_acq_rel))
        sem_post(&flusher->wakes);
}

void flusher_stop(struct flusher *flusher)
{
    atomic_store_explicit(&flusher->is_stopping, true, memory_order_release);
    sem_post(&flusher->wakes);
    check(pthread_join(flusher->thread, NULL) == 0);
}

void flusher_destroy(struct flusher *flusher)
{
    sem_destroy(&flusher->wakes);
    free(flusher);
}
