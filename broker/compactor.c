/* The compactor: threads of low priority that clean compacted logs, and sleep while there is nothing to
 * clean. */
#include "broker/compactor.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "broker/server.h"
#include "broker/thread.h"
#include "protocol/base/check.h"

enum {
    NICE = 10,
    IO_PRIORITY_LOWEST = 2 << 13 | 7, /* best effort, level 7: ioprio_set(2) */
    IO_PRIORITY_OF_THREAD = 1,
    BUFFER_SIZE_MIN = 64 << 10,
};

#define NS_PER_SECOND INT64_C(1000000000)
/* So long, and with pauses of this length: a change of settings, the roll and the flush that it brings about,
 * the look. */
#define HURRY_NS       (5 * NS_PER_SECOND)
#define HURRY_PAUSE_NS (NS_PER_SECOND / 20)

/* What a thread sleeps for; the stop ends each. */
enum sleep { SLEEP_RATE, SLEEP_UNTIL_WANTED, SLEEP_PAUSE };

struct compactor {
    struct server *server;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    atomic_bool is_wanted; /* set by whoever seals a segment, taken before the logs are looked at */
    atomic_bool is_stopping;
    _Atomic int64_t hurry_until_ns; /* monotonic */
    double bytes_per_second;
    int64_t rate_free_ns; /* when the bytes so far fit the rate; monotonic clock; under the lock */
    unsigned thread_count;
    struct compactor_thread {
        struct compactor *compactor;
        pthread_t thread;
        unsigned member; /* of server->retire */
    } threads[];
};

struct cleaner_options compactor_options(const struct config *config, unsigned threads)
{
    int64_t buffer_size = config->log_cleaner_io_buffer_size / (int64_t)threads;
    return (struct cleaner_options){
        .map_size_max = (size_t)config->log_cleaner_dedupe_buffer_size / threads,
        .map_load = config->log_cleaner_io_buffer_load_factor,
        .buffer_size = (size_t)(buffer_size > BUFFER_SIZE_MIN ? buffer_size : BUFFER_SIZE_MIN),
    };
}

/* The kernel serves loops and flusher first. A kernel that refuses costs nothing but that. */
static void lower_priority(void)
{
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    (void)syscall(SYS_ioprio_set, IO_PRIORITY_OF_THREAD, 0, IO_PRIORITY_LOWEST);
}

static int64_t mono_ns(const struct compactor *compactor)
{
    return clock_mono_ns(compactor->server->clock);
}

/* Whether there is hurry now, so that a pause until then is too long. */
static bool is_hurried(const struct compactor *compactor, int64_t until_ns)
{
    int64_t now_ns = mono_ns(compactor);
    return now_ns < atomic_load(&compactor->hurry_until_ns) && until_ns > now_ns + HURRY_PAUSE_NS;
}

/* Sleeps until then at the latest, or until the stop; SLEEP_UNTIL_WANTED: also until something is wanted,
 * SLEEP_PAUSE: or until anything changed. INT64_MAX: for ever. */
static void sleep_until(struct compactor_thread *self, int64_t until_ns, enum sleep what)
{
    struct compactor *compactor = self->compactor;
    struct timespec until = { .tv_sec = until_ns / NS_PER_SECOND, .tv_nsec = until_ns % NS_PER_SECOND };
    int result = 0;
    retire_sleep(compactor->server->retire, self->member);
    pthread_mutex_lock(&compactor->lock);
    while (
        result == 0 && !atomic_load(&compactor->is_stopping) &&
        !(what == SLEEP_UNTIL_WANTED && atomic_load_explicit(&compactor->is_wanted, memory_order_acquire)) &&
        !(what == SLEEP_PAUSE && is_hurried(compactor, until_ns))) {
        if (until_ns == INT64_MAX)
            pthread_cond_wait(&compactor->changed, &compactor->lock);
        else
            result = pthread_cond_timedwait(&compactor->changed, &compactor->lock, &until);
    }
    pthread_mutex_unlock(&compactor->lock);
    retire_wake(compactor->server->retire, self->member);
}

/* Behind each buffer of work: keeps to log.cleaner.io.max.bytes.per.second, and lets go of what it read. */
static bool step(void *context, uint64_t size)
{
    struct compactor_thread *self = context;
    struct compactor *compactor = self->compactor;
    double cost_ns = (double)size * (double)NS_PER_SECOND / compactor->bytes_per_second;
    retire_quiescent(compactor->server->retire, self->member);
    if (cost_ns >= 1) {
        int64_t now_ns = mono_ns(compactor);
        pthread_mutex_lock(&compactor->lock);
        if (compactor->rate_free_ns < now_ns)
            compactor->rate_free_ns = now_ns;
        compactor->rate_free_ns += cost_ns < 3600e9 ? (int64_t)cost_ns : INT64_C(3600) * NS_PER_SECOND;
        int64_t free_ns = compactor->rate_free_ns;
        pthread_mutex_unlock(&compactor->lock);
        sleep_until(self, free_ns, SLEEP_RATE);
    }
    return !atomic_load(&compactor->is_stopping);
}

/* Monotonic time of when there is something to look at without being woken. */
static int64_t due_ns(const struct compactor *compactor)
{
    int64_t due_ms = store_clean_due_ms(compactor->server->store);
    if (due_ms == INT64_MAX)
        return INT64_MAX;
    int64_t wait_ms = due_ms - clock_wall_ms(compactor->server->clock);
    if (wait_ms > INT64_MAX / NS_PER_SECOND)
        return INT64_MAX;
    return mono_ns(compactor) + (wait_ms > 0 ? wait_ms * (NS_PER_SECOND / 1000) : 0);
}

static void *compactor_main(void *context)
{
    struct compactor_thread *self = context;
    struct compactor *compactor = self->compactor;
    struct server *server = compactor->server;
    struct cleaner_options options = compactor_options(server->config, compactor->thread_count);
    options.step = step;
    options.context = self;
    lower_priority();
    self->member = retire_join(server->retire);
    struct cleaner *cleaner = check_memory(cleaner_create(&options));
    while (!atomic_load(&compactor->is_stopping)) {
        /* Taken before the look: who finds it set has told the store before, so this look sees it. */
        atomic_exchange_explicit(&compactor->is_wanted, false, memory_order_acq_rel);
        if (store_clean(server->store, cleaner, clock_wall_ms(server->clock))) {
            retire_quiescent(server->retire, self->member);
            continue;
        }
        /* Nothing was worth it. However many segments roll, it is looked at again only after the pause. */
        int64_t pause_ns =
            mono_ns(compactor) + server->config->log_cleaner_backoff_ms * (NS_PER_SECOND / 1000);
        int64_t until_ns = due_ns(compactor);
        sleep_until(self, until_ns, SLEEP_UNTIL_WANTED);
        if (mono_ns(compactor) < pause_ns)
            sleep_until(self, pause_ns, SLEEP_PAUSE);
        if (is_hurried(compactor, pause_ns))
            sleep_until(self, mono_ns(compactor) + HURRY_PAUSE_NS, SLEEP_RATE);
    }
    cleaner_destroy(cleaner);
    retire_leave(server->retire, self->member);
    return NULL;
}

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    check(pthread_condattr_init(&attributes) == 0);
    check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    check(pthread_cond_init(condition, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

void compactor_start(struct server *server, struct compactor **out)
{
    const struct config *config = server->config;
    if (!config->log_cleaner_enable)
        return;
    unsigned count = (unsigned)config->log_cleaner_threads;
    struct compactor *compactor =
        check_memory(calloc(1, sizeof *compactor + count * sizeof compactor->threads[0]));
    compactor->server = server;
    compactor->thread_count = count;
    compactor->bytes_per_second = config->log_cleaner_io_max_bytes_per_second;
    check(pthread_mutex_init(&compactor->lock, NULL) == 0);
    init_condition(&compactor->changed);
    *out = compactor;
    for (unsigned i = 0; i < count; i++) {
        struct compactor_thread *thread = &compactor->threads[i];
        thread->compactor = compactor;
        thread_start(&thread->thread, compactor_main, thread);
    }
}

/* Only who sets the flag signals, under the lock: then a thread either waits and is woken, or has not looked
 * at the flag yet. */
void compactor_wake(struct compactor *compactor)
{
    if (atomic_exchange_explicit(&compactor->is_wanted, true, memory_order_acq_rel))
        return;
    pthread_mutex_lock(&compactor->lock);
    pthread_cond_broadcast(&compactor->changed);
    pthread_mutex_unlock(&compactor->lock);
}

/* Whoever is in a pause looks at the time under the lock. */
void compactor_hurry(struct compactor *compactor)
{
    atomic_store(&compactor->hurry_until_ns, mono_ns(compactor) + HURRY_NS);
    pthread_mutex_lock(&compactor->lock);
    pthread_cond_broadcast(&compactor->changed);
    pthread_mutex_unlock(&compactor->lock);
}

void compactor_stop(struct compactor *compactor)
{
    pthread_mutex_lock(&compactor->lock);
    atomic_store(&compactor->is_stopping, true);
    pthread_cond_broadcast(&compactor->changed);
    pthread_mutex_unlock(&compactor->lock);
    for (unsigned i = 0; i < compactor->thread_count; i++)
        check(pthread_join(compactor->threads[i].thread, NULL) == 0);
}

void compactor_destroy(struct compactor *compactor)
{
    pthread_cond_destroy(&compactor->changed);
    pthread_mutex_destroy(&compactor->lock);
    free(compactor);
}
