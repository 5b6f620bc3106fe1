/* A round of retention over all logs. */
#include <inttypes.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/store_internal.h"

/* Logs that are held at a time. */
enum { BATCH = 64 };

/* Holds the next logs that this round has not had, from `after` on while that is in the list, else from its
 * begin; returns how many. */
static size_t next_batch(struct store *store, uint32_t round, struct log *after, struct log *batch[BATCH])
{
    size_t count = 0;

    pthread_mutex_lock(&store->lock);
    struct log *log = after && !log__node(after)->is_deleted ? after : store->logs;
    for (; log && count < BATCH; log = log__node(log)->all_next) {
        if (log__node(log)->is_deleted || log__node(log)->retained == round)
            continue;
        log__node(log)->retained = round;
        log__hold(log);
        batch[count++] = log;
    }
    pthread_mutex_unlock(&store->lock);
    return count;
}

static void retain_one(struct store *store, struct log *log, int64_t now_ms, struct log_retained *total)
{
    struct log_retained one;

    if (log == store->metadata)
        return;
    enum log_status status = log_retain(log, now_ms, &one);
    if (status != LOG_OK && status != LOG_CLOSED && status != LOG_LIMIT)
        note_warn("log.retention_failed", "log=%s status=%d next_step=\"tried again in the next round\"",
                  log_name(log), status);
    total->segment_count += one.segment_count;
    total->size += one.size;
}

bool store_retain(struct store *store, int64_t now_ms, bool (*stop)(void *context), void *context)
{
    struct log *batch[BATCH];
    struct log *last = NULL;
    struct log_retained total = { 0 };
    bool stopped = false;
    uint32_t round;

    pthread_mutex_lock(&store->lock);
    if (!store->is_retaining)
        store->retention_round++;
    store->is_retaining = true;
    round = store->retention_round;
    pthread_mutex_unlock(&store->lock);
    for (size_t count = BATCH; count == BATCH && !stopped;) {
        count = next_batch(store, round, last, batch);
        if (last)
            log__drop(last);
        last = NULL;
        for (size_t i = 0; i < count; i++) {
            stopped = stopped || (stop && stop(context));
            if (!stopped)
                retain_one(store, batch[i], now_ms, &total);
            else
                log__node(batch[i])->retained = round - 1; /* its turn is still to come */
            if (i + 1 == BATCH)
                last = batch[i]; /* where the next batch begins */
            else
                log__drop(batch[i]);
        }
    }
    if (last)
        log__drop(last);
    pthread_mutex_lock(&store->lock);
    store->is_retaining = stopped;
    pthread_mutex_unlock(&store->lock);
    if (total.segment_count > 0)
        note_info("store.retained", "segments=%" PRIu32 " size=%" PRIu64, total.segment_count, total.size);
    return !stopped;
}
