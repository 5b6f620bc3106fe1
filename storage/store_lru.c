/* Descriptors and mappings of all logs: counted, bounded, and closed where they were used the least. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/store_internal.h"

/* A sweep begins above 7/8 of a limit and ends below 6/8; it looks at so many logs at a time. */
enum { SWEEP_BEGIN = 7, SWEEP_END = 6, SWEEP_PARTS = 8, SWEEP_BATCH = 64 };
/* A log's use is told before its pages are touched, so a release in between must not be the last one. */
enum { WARM = 2 };
/* Descriptors kept for connections, listeners, side files and what else the process opens. */
enum { DESCRIPTOR_RESERVE_MAX = 4096, DESCRIPTOR_COUNT_MAX = 1 << 20 };

/* --- limits ------------------------------------------------------------------------------------ */

static int64_t descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            limit.rlim_cur = before;
    }
    return limit.rlim_cur > DESCRIPTOR_COUNT_MAX ? DESCRIPTOR_COUNT_MAX : (int64_t)limit.rlim_cur;
}

/* Half of vm.max_map_count; the rest is for malloc, stacks and libraries. */
static int64_t map_limit(void)
{
    long long count = 65530;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");

    if (file) {
        if (fscanf(file, "%lld", &count) != 1)
            count = 65530;
        fclose(file);
    }
    return count / 2;
}

void store__limits_init(struct store *store, const struct store_options *options)
{
    int64_t limit = descriptor_limit();
    int64_t reserve = limit / 2 < DESCRIPTOR_RESERVE_MAX ? limit / 2 : DESCRIPTOR_RESERVE_MAX;

    store->open_files_max = options->open_files_max ? (int64_t)options->open_files_max : limit - reserve;
    store->maps_max = options->maps_max ? (int64_t)options->maps_max : map_limit();
    atomic_init(&store->sweep_round, 1);
}

/* --- counting ---------------------------------------------------------------------------------- */

static void free_store(struct store *store)
{
    for (size_t i = 0; i < store->directory_count; i++) {
        pthread_mutex_destroy(&store->directories[i].change_lock);
        pthread_mutex_destroy(&store->directories[i].starts_lock);
        store__free_marks(&store->directories[i]);
        reserve_destroy(&store->directories[i].reserve);
    }
    store__free_group(store);
    free(store->directories);
    free(store->buckets);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->dirty_lock);
    pthread_mutex_destroy(&store->clean_lock);
    pthread_mutex_destroy(&store->checkpoint_lock);
    pthread_mutex_destroy(&store->group_lock);
    pthread_mutex_destroy(&store->sweep_lock);
    pthread_mutex_destroy(&store->delete_lock);
    pthread_mutex_destroy(&store->unlink_lock);
    pthread_mutex_destroy(&store->segments_lock);
    free(store);
}

void store__drop_hold(struct store *store, int64_t count)
{
    int64_t before = atomic_fetch_sub(&store->holds, count);

    check(before >= count);
    if (before == count)
        free_store(store);
}

static bool is_above(const struct store *store, int parts)
{
    return atomic_load(&store->open_files) > store->open_files_max / SWEEP_PARTS * parts ||
           atomic_load(&store->maps) > store->maps_max / SWEEP_PARTS * parts;
}

/* The same once what was closed already is free: else every sweep before that would close as much again. */
static bool stays_above(const struct store *store, int parts)
{
    return atomic_load(&store->open_files) - atomic_load(&store->closing_files) >
               store->open_files_max / SWEEP_PARTS * parts ||
           atomic_load(&store->maps) - atomic_load(&store->closing_maps) >
               store->maps_max / SWEEP_PARTS * parts;
}

/* Some are freed that no sweep closed: then the next one closes a few more than it had to. */
static void lower(_Atomic int64_t *counter, int64_t count)
{
    int64_t before = atomic_load(counter);

    while (before > 0 && !atomic_compare_exchange_weak(counter, &before, before > count ? before - count : 0))
        continue;
}

/* Logs tell of their files under their own lock, so the job is submitted later, from store_flush(). */
static void want_sweep(struct store *store)
{
    if (!atomic_exchange(&store->sweep_wanted, true))
        store->env->flush_wanted(store->env);
}

static void tell_freed(struct store *store)
{
    if (store->env->files_freed)
        store->env->files_freed(store->env);
}

void store__files_changed(struct log_host *host, int open_files, int maps)
{
    struct store *store = store__directory_of(host)->store;
    int64_t delta = (int64_t)open_files + maps;

    atomic_fetch_add(&store->open_files, open_files);
    atomic_fetch_add(&store->maps, maps);
    if (open_files < 0) {
        lower(&store->closing_files, -open_files);
        tell_freed(store);
    }
    if (maps < 0)
        lower(&store->closing_maps, -maps);
    if (delta > 0) {
        atomic_fetch_add(&store->holds, delta);
        if (is_above(store, SWEEP_BEGIN))
            want_sweep(store);
    } else if (delta < 0) {
        store__drop_hold(store, -delta);
    }
}

void store__used(struct log_host *host, struct log *log)
{
    struct store *store = store__directory_of(host)->store;
    int64_t round = atomic_load_explicit(&store->sweep_round, memory_order_relaxed);
    struct log_host_node *node = log__node(log);

    /* Read first: a busy log's line stays clean. */
    if (atomic_load_explicit(&node->used_ms, memory_order_relaxed) != round)
        atomic_store_explicit(&node->used_ms, round, memory_order_relaxed);
    if (atomic_load_explicit(&node->warmth, memory_order_relaxed) != WARM) {
        atomic_store_explicit(&node->warmth, WARM, memory_order_relaxed);
        atomic_store_explicit(&store->is_warm, true, memory_order_release);
    }
}

/* --- sweeping ---------------------------------------------------------------------------------- */

/* The next logs that were not used since the last round; false when the round is over. The metadata log stays
 * open: a change of it must not fail for want of descriptors that partitions took. */
static bool next_idle(struct store *store, struct log *batch[SWEEP_BATCH], size_t *count)
{
    int64_t round = atomic_load(&store->sweep_round);

    *count = 0;
    pthread_mutex_lock(&store->lock);
    struct log *log = store->sweep_hand ? store->sweep_hand : store->logs;
    for (; log && *count < SWEEP_BATCH; log = log__node(log)->all_next) {
        if (atomic_load(&log__node(log)->used_ms) != round && !log__node(log)->is_deleted &&
            log != store->metadata)
            batch[(*count)++] = log;
    }
    store->sweep_hand = log;
    pthread_mutex_unlock(&store->lock);
    return log != NULL;
}

static void close_counted(struct store *store, struct log *log)
{
    struct log_open_count count;

    if (!log__close_counted(log, &count))
        return;
    atomic_fetch_add(&store->closing_files, count.files);
    atomic_fetch_add(&store->closing_maps, count.maps);
}

/* From where the last one stopped to the last log, or until enough is closed. Under the sweep lock. */
static void sweep_round(struct store *store)
{
    struct log *batch[SWEEP_BATCH];
    size_t count;
    bool goes_on = true;

    while (goes_on && stays_above(store, SWEEP_END)) {
        goes_on = next_idle(store, batch, &count);
        for (size_t i = 0; i < count && stays_above(store, SWEEP_END); i++)
            close_counted(store, batch[i]);
    }
    if (!goes_on)
        atomic_fetch_add(&store->sweep_round, 1); /* what is used from now on survives the next one */
}

/* The rest of a round and two whole ones: in the second one nothing counts as used but what is used
 * meanwhile. */
static void sweep(struct store *store)
{
    for (int i = 0; i < 3 && stays_above(store, SWEEP_END); i++)
        sweep_round(store);
}

static void run_sweep(struct storage_job *job)
{
    struct store *store = (void *)((char *)job - offsetof(struct store, sweep_job));

    pthread_mutex_lock(&store->sweep_lock);
    sweep(store);
    pthread_mutex_unlock(&store->sweep_lock);
    atomic_store(&store->sweep_wanted, false);
    atomic_store(&store->sweep_queued, false);
    store__drop_hold(store, 1);
}

void store__submit_sweep(struct store *store)
{
    if (!atomic_load(&store->sweep_wanted) || atomic_load(&store->is_closing) ||
        atomic_exchange(&store->sweep_queued, true))
        return;
    atomic_fetch_add(&store->holds, 1);
    store->sweep_job.run = run_sweep;
    store->env->submit(store->env, &store->sweep_job);
}

bool store__is_crowded(const struct store *store)
{
    return is_above(store, SWEEP_PARTS / 2);
}

bool store_is_short_of_files(const struct store *store)
{
    return is_above(store, SWEEP_BEGIN);
}

static bool fits(const struct store *store, int open_files, int maps)
{
    return atomic_load(&store->open_files) + open_files <= store->open_files_max &&
           atomic_load(&store->maps) + maps <= store->maps_max;
}

bool store__may_open(struct log_host *host, int open_files, int maps)
{
    struct store *store = store__directory_of(host)->store;

    if (fits(store, open_files, maps))
        return true;
    want_sweep(store);
    if (open_files == 0)
        return false; /* perhaps a loop, which must not wait; reads do without a mapping */
    /* Descriptors are asked for on workers. What is closed here is free once every thread has passed a
     * quiescent state: perhaps for the next one to ask. */
    pthread_mutex_lock(&store->sweep_lock);
    if (!fits(store, open_files, maps))
        sweep(store);
    pthread_mutex_unlock(&store->sweep_lock);
    return fits(store, open_files, maps);
}

/* --- memory ------------------------------------------------------------------------------------ */

/* The next logs whose memory is to be let go of; false when there are no more. */
static bool next_warm(struct store *store, struct log *batch[SWEEP_BATCH], size_t *count)
{
    *count = 0;
    pthread_mutex_lock(&store->lock);
    struct log *log = store->sweep_next;
    for (; log && *count < SWEEP_BATCH; log = log__node(log)->all_next) {
        uint8_t warmth = atomic_load_explicit(&log__node(log)->warmth, memory_order_relaxed);
        if (warmth == 0)
            continue;
        atomic_store_explicit(&log__node(log)->warmth, (uint8_t)(warmth - 1), memory_order_relaxed);
        if (warmth > 1)
            atomic_store_explicit(&store->is_warm, true, memory_order_relaxed);
        batch[(*count)++] = log;
    }
    store->sweep_next = log;
    pthread_mutex_unlock(&store->lock);
    return log != NULL;
}

static void run_release(struct storage_job *job)
{
    struct store *store = (void *)((char *)job - offsetof(struct store, release_job));
    struct log *batch[SWEEP_BATCH];
    size_t count;
    bool goes_on = true;

    atomic_store(&store->release_queued, false);
    pthread_mutex_lock(&store->sweep_lock); /* no log goes away */
    pthread_mutex_lock(&store->lock);
    store->sweep_next = store->logs;
    pthread_mutex_unlock(&store->lock);
    while (goes_on) {
        goes_on = next_warm(store, batch, &count);
        for (size_t i = 0; i < count; i++)
            log__release_memory(batch[i]);
    }
    pthread_mutex_unlock(&store->sweep_lock);
    store__drop_hold(store, 1);
}

void store_release_memory(struct store *store)
{
    if (!atomic_exchange(&store->is_warm, false) || atomic_exchange(&store->release_queued, true))
        return;
    atomic_fetch_add(&store->holds, 1);
    store->release_job.run = run_release;
    store->env->submit(store->env, &store->release_job);
}
