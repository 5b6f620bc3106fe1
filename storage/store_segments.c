/* Segments that left their logs: their `.deleted` files are unlinked once they are due and nobody reads them.
 */
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/removed_segment.h"
#include "storage/store_internal.h"

/* Between looks at a segment that is due and still being read. */
enum { HELD_RETRY_MS = 1000 };

static void drop(struct store *store, struct removed_segment *removed)
{
    removed_segment_destroy(removed);
    store__drop_hold(store, 1);
}

/* No thread can reach the segment any more; only a response that is under way may still have its bytes. */
static void released(void *object)
{
    struct removed_segment *removed = object;
    struct store *store = store__directory_of(removed->host)->store;

    if (!removed_segment_is_held(removed)) {
        segment_destroy(removed->segment);
        removed->segment = NULL;
    }
    pthread_mutex_lock(&store->segments_lock);
    bool is_orphan = removed->due_ms < 0; /* the store is closed: nobody else knows of it */
    atomic_store(&removed->is_released, true);
    pthread_mutex_unlock(&store->segments_lock);
    if (is_orphan)
        drop(store, removed);
}

void store__removed(struct log_host *host, struct removed_segment *removed)
{
    struct store *store = store__directory_of(host)->store;

    atomic_fetch_add(&store->holds, 1);
    pthread_mutex_lock(&store->segments_lock);
    removed->next = store->segments;
    store->segments = removed;
    bool is_news = removed->due_ms < store->segments_due_ms;
    if (is_news)
        store->segments_due_ms = removed->due_ms;
    pthread_mutex_unlock(&store->segments_lock);
    retire(store->env->retire, removed, released);
    if (is_news)
        store->env->flush_wanted(store->env);
}

/* Takes those that may be unlinked out of the list and says when to look again. */
static struct removed_segment *take_due(struct store *store, int64_t now_ms)
{
    struct removed_segment *due = NULL;
    struct removed_segment **link = &store->segments;

    pthread_mutex_lock(&store->segments_lock);
    store->segments_due_ms = INT64_MAX;
    while (*link) {
        struct removed_segment *removed = *link;
        if (removed->due_ms <= now_ms && atomic_load(&removed->is_released) &&
            !removed_segment_is_held(removed)) {
            *link = removed->next;
            removed->next = due;
            due = removed;
            continue;
        }
        if (removed->due_ms <= now_ms)
            removed->due_ms = now_ms + HELD_RETRY_MS;
        if (removed->due_ms < store->segments_due_ms)
            store->segments_due_ms = removed->due_ms;
        link = &removed->next;
    }
    pthread_mutex_unlock(&store->segments_lock);
    return due;
}

static void run_unlink(struct storage_job *job)
{
    struct store *store = (void *)((char *)job - offsetof(struct store, segments_job));
    struct removed_segment *due = take_due(store, clock_mono_ms(store->env->clock));

    while (due) {
        struct removed_segment *next = due->next;
        removed_segment_unlink(due);
        drop(store, due);
        due = next;
    }
    atomic_store(&store->segments_queued, false);
    if (store__segments_due_ms(store) != INT64_MAX)
        store->env->flush_wanted(store->env); /* who waits until they are due asks again */
    store__drop_hold(store, 1);
}

int64_t store__segments_due_ms(struct store *store)
{
    pthread_mutex_lock(&store->segments_lock);
    int64_t due_ms = atomic_load(&store->segments_queued) ? INT64_MAX : store->segments_due_ms;
    pthread_mutex_unlock(&store->segments_lock);
    return due_ms;
}

void store__hasten_segments(struct store *store)
{
    pthread_mutex_lock(&store->segments_lock);
    int64_t now_ms = clock_mono_ms(store->env->clock);
    for (struct removed_segment *removed = store->segments; removed; removed = removed->next) {
        if (removed->due_ms > now_ms + HELD_RETRY_MS)
            store->segments_due_ms = removed->due_ms = now_ms;
    }
    pthread_mutex_unlock(&store->segments_lock);
}

void store__submit_segments(struct store *store)
{
    if (store__segments_due_ms(store) > clock_mono_ms(store->env->clock) || atomic_load(&store->is_closing) ||
        atomic_exchange(&store->segments_queued, true))
        return;
    atomic_fetch_add(&store->holds, 1);
    store->segments_job.run = run_unlink;
    store->env->submit(store->env, &store->segments_job);
}

void store__close_segments(struct store *store, bool clean)
{
    pthread_mutex_lock(&store->segments_lock);
    struct removed_segment *all = store->segments;
    store->segments = NULL;
    store->segments_due_ms = INT64_MAX;
    while (all) {
        struct removed_segment *next = all->next;
        if (clean)
            removed_segment_unlink(all);
        bool is_released = atomic_load(&all->is_released);
        all->due_ms = -1; /* else released() frees it */
        if (is_released) {
            pthread_mutex_unlock(&store->segments_lock);
            drop(store, all);
            pthread_mutex_lock(&store->segments_lock);
        }
        all = next;
    }
    pthread_mutex_unlock(&store->segments_lock);
}
