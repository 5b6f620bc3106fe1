/* The last word of every active producer of a log: a batch that says it stays, empty if need be. */
#include "storage/cleaner_producers.h"

#include <stdlib.h>

#include "storage/log_producers.h"
#include "storage/producer_state.h"

struct cleaner_producer {
    int64_t producer_id;
    int64_t last_data_offset; /* -1: known through a marker alone */
    int16_t epoch;
};

static int by_id(const void *a, const void *b)
{
    const struct cleaner_producer *x = a, *y = b;
    return (x->producer_id > y->producer_id) - (x->producer_id < y->producer_id);
}

static bool is_expired(const struct log_config *config, const struct producer_entry *entry, int64_t now_ms)
{
    return config->producer_id_expiration_ms > 0 && entry->current_txn_first_offset < 0 &&
           entry->written_ms < now_ms - config->producer_id_expiration_ms;
}

static void fill(struct cleaner_producers *producers, const struct producer_state *state,
                 const struct log_config *config, int64_t now_ms)
{
    struct producer_entry entry;
    uint64_t cursor = 0;
    while (producer_state_next(state, &cursor, &entry)) {
        if (is_expired(config, &entry, now_ms))
            continue;
        producers->items[producers->count++] = (struct cleaner_producer){
            .producer_id = entry.producer_id,
            .last_data_offset = entry.batch_count > 0 ? entry.batches[entry.batch_count - 1].last_offset : -1,
            .epoch = entry.epoch,
        };
    }
    qsort(producers->items, producers->count, sizeof *producers->items, by_id);
}

enum log_status cleaner_producers_take(struct cleaner_producers *producers, struct log *log, int64_t now_ms)
{
    *producers = (struct cleaner_producers){ .items = NULL };
    pthread_mutex_lock(&log->prepare_mutex);
    /* When they were not loaded nobody appends, and begins to under this lock alone. */
    enum log_status status = LOG_CLOSED;
    if (log__state(log) == LOG_OPEN)
        status = log__load_producers(log);
    if (status == LOG_OK) {
        pthread_mutex_lock(&log->mutex);
        size_t count = log->producers ? producer_state_count(log->producers) : 0;
        struct producer_state *copy = count > 0 ? producer_state_copy(log->producers) : NULL;
        struct log_config config = *log__config(log);
        pthread_mutex_unlock(&log->mutex);
        producers->items = malloc((count + 1) * sizeof *producers->items);
        if (!producers->items || (count > 0 && !copy))
            status = LOG_LIMIT;
        else if (count > 0)
            fill(producers, copy, &config, now_ms);
        producer_state_destroy(copy);
    }
    pthread_mutex_unlock(&log->prepare_mutex);
    return status;
}

void cleaner_producers_end(struct cleaner_producers *producers)
{
    free(producers->items);
    *producers = (struct cleaner_producers){ .items = NULL };
}

bool cleaner_producers_needs(const struct cleaner_producers *producers, const struct batch_view *batch)
{
    struct cleaner_producer key = { .producer_id = batch->producer_id };
    if (batch->producer_id < 0 || producers->count == 0)
        return false;
    const struct cleaner_producer *found =
        bsearch(&key, producers->items, producers->count, sizeof key, by_id);
    if (!found)
        return false;
    if (found->last_data_offset >= 0)
        return batch_last_offset(batch) == found->last_data_offset;
    return (batch->attributes & BATCH_ATTRIBUTE_CONTROL) && batch->producer_epoch == found->epoch;
}
