/* The inside of a log's producer state, for producer_state.c and producer_judge.c alone. */
#ifndef RUNNEL_STORAGE_PRODUCER_STATE_INTERNAL_H
#define RUNNEL_STORAGE_PRODUCER_STATE_INTERNAL_H

#include "storage/producer_state.h"

#define NONE UINT32_MAX

enum { OLDER_BATCHES_MAX = PRODUCER_BATCHES_MAX - 1 };

/* What came before the newest batch, oldest first. Most producers write one batch and go, and need none. */
struct older_batches {
    union {
        struct producer_batch batches[OLDER_BATCHES_MAX];
        uint32_t free_next;
    };
};

struct producer {
    int64_t producer_id; /* -1: free */
    int64_t timestamp;
    int64_t written_ms;
    int64_t current_txn_first_offset;
    struct producer_batch newest;
    uint32_t bucket_next; /* of the free ones: the next free one */
    uint32_t written_before, written_after;
    uint32_t older;
    int32_t coordinator_epoch;
    int16_t epoch;
    uint8_t batch_count;
};

_Static_assert(sizeof(struct producer) <= 80 && sizeof(struct older_batches) <= 96,
               "100,000 of them are cheap");

struct producer_state {
    struct producer *producers;
    uint32_t *buckets; /* as many as producers: a power of two */
    struct older_batches *older;
    uint32_t count, capacity;
    uint32_t older_count, older_capacity;
    uint32_t free_producer, free_older;
    uint32_t oldest, newest; /* without an open transaction, by when they wrote */
    uint32_t first_in_txn;
};

struct producer *producer__find(const struct producer_state *state, int64_t producer_id);
bool producer__is_expired(const struct producer *producer, int64_t now_ms, int64_t expiration_ms);
/* The i-th of its batches, oldest first. */
const struct producer_batch *producer__batch(const struct producer_state *state,
                                             const struct producer *producer, size_t i);
/* What is remembered of a batch that begins at base_offset. */
struct producer_batch producer__batch_of(const struct batch_view *batch, int64_t base_offset);

#endif
