/* Judging the batches of idempotent producers: Kafka's ProducerAppendInfo, for all batches of one call. */
#include <stdlib.h>

#include "storage/producer_state_internal.h"

bool producer_judge_begin(struct producer_judge *judge, const struct producer_state *state, size_t count,
                          int64_t now_ms, int64_t expiration_ms)
{
    size_t bucket_count = PRODUCER_BUCKETS_INLINE;
    judge->state = state;
    judge->now_ms = now_ms;
    judge->expiration_ms = expiration_ms;
    judge->producer_count = judge->older_count = judge->staged_count = 0;
    judge->staged = judge->staged_inline;
    judge->staged_max = count;
    judge->buckets = judge->buckets_inline;
    judge->bucket_mask = 0;
    if (count <= 1)
        return true; /* nobody comes after it */
    if (count > PRODUCER_STAGED_INLINE) {
        while (bucket_count < count)
            bucket_count *= 2;
        judge->staged = malloc(count * sizeof *judge->staged);
        judge->buckets = malloc(bucket_count * sizeof *judge->buckets);
        if (!judge->staged || !judge->buckets) {
            producer_judge_end(judge);
            return false;
        }
    }
    judge->bucket_mask = bucket_count - 1;
    memset(judge->buckets, 0, bucket_count * sizeof *judge->buckets);
    return true;
}

void producer_judge_end(struct producer_judge *judge)
{
    if (judge->staged != judge->staged_inline)
        free(judge->staged);
    if (judge->buckets != judge->buckets_inline)
        free(judge->buckets);
}

/* What the next batch of a producer follows. */
struct history {
    struct producer_batch batches[PRODUCER_BATCHES_MAX]; /* newest first */
    size_t count;
    int16_t epoch; /* -1: the producer is not known */
    bool is_known;
    bool has_older;
};

static uint32_t *bucket_of(struct producer_judge *judge, int64_t producer_id)
{
    uint64_t hash = (uint64_t)producer_id * UINT64_C(0x9e3779b97f4a7c15);
    return &judge->buckets[hash >> 32 & judge->bucket_mask];
}

/* Batches of this call that were accepted, newest first. */
static void add_staged(struct producer_judge *judge, int64_t producer_id, struct history *history)
{
    for (uint32_t i = *bucket_of(judge, producer_id); i != 0; i = judge->staged[i - 1].next) {
        const struct producer_staged *staged = &judge->staged[i - 1];
        if (staged->producer_id != producer_id)
            continue;
        if (!history->is_known) {
            history->epoch = staged->epoch;
            history->has_older = staged->has_older;
        }
        history->is_known = true;
        if (staged->epoch != history->epoch || history->count == PRODUCER_BATCHES_MAX)
            return;
        history->batches[history->count++] = staged->batch;
    }
}

/* Epochs rise, so what has another one than the newest batch lies before all that count. */
static void find_history(struct producer_judge *judge, int64_t producer_id, struct history *history)
{
    history->count = 0;
    history->epoch = -1;
    history->is_known = history->has_older = false;
    if (judge->staged_count > 0)
        add_staged(judge, producer_id, history);
    const struct producer *producer = producer__find(judge->state, producer_id);
    if (!producer || producer__is_expired(producer, judge->now_ms, judge->expiration_ms))
        return;
    if (!history->is_known) {
        history->epoch = producer->epoch;
        history->has_older = producer->older != NONE;
    }
    history->is_known = true;
    for (size_t i = producer->batch_count; i > 0 && producer->epoch == history->epoch; i--) {
        if (history->count == PRODUCER_BATCHES_MAX)
            return;
        history->batches[history->count++] = *producer__batch(judge->state, producer, i - 1);
    }
}

static bool find_duplicate(const struct history *history, const struct batch_view *batch,
                           struct producer_batch *original)
{
    struct producer_batch wanted = producer__batch_of(batch, 0);
    if (batch->producer_epoch != history->epoch || wanted.last_sequence < 0)
        return false;
    for (size_t i = 0; i < history->count; i++) {
        const struct producer_batch *known = &history->batches[i];
        if (known->last_sequence == wanted.last_sequence && known->offset_delta == wanted.offset_delta) {
            *original = *known;
            return true;
        }
    }
    return false;
}

static bool is_next(int32_t last, int32_t sequence)
{
    return last == INT32_MAX ? sequence == 0 : sequence == last + 1;
}

/* Where nothing is known any sequence may begin: what was known may have been forgotten. Who is known through
 * a marker alone begins its epoch, so with 0. */
static bool is_in_order(const struct history *history, const struct batch_view *batch)
{
    if (history->epoch == -1 || batch->base_sequence < 0)
        return true;
    if (batch->producer_epoch != history->epoch)
        return batch->base_sequence == 0;
    return is_next(history->count > 0 ? history->batches[0].last_sequence : -1, batch->base_sequence);
}

static void stage(struct producer_judge *judge, const struct batch_view *batch, int64_t base_offset,
                  const struct history *history)
{
    bool has_older = history->is_known;
    if (!history->is_known)
        judge->producer_count++;
    else if (!history->has_older)
        judge->older_count++;
    if (judge->staged_max <= 1)
        return;
    uint32_t *bucket = bucket_of(judge, batch->producer_id);
    judge->staged[judge->staged_count++] = (struct producer_staged){
        .producer_id = batch->producer_id,
        .batch = producer__batch_of(batch, base_offset),
        .next = *bucket,
        .epoch = batch->producer_epoch,
        .has_older = has_older,
    };
    *bucket = (uint32_t)judge->staged_count;
}

enum producer_verdict producer_judge_batch(struct producer_judge *judge, const struct batch_view *batch,
                                           int64_t base_offset, struct producer_batch *original)
{
    struct history history;
    find_history(judge, batch->producer_id, &history);
    if ((batch->attributes & BATCH_ATTRIBUTE_CONTROL) != 0) { /* its coordinator's to judge; comes alone */
        judge->producer_count++;
        return PRODUCER_ACCEPTED;
    }
    if (find_duplicate(&history, batch, original))
        return PRODUCER_DUPLICATE;
    if (batch->producer_epoch < history.epoch)
        return PRODUCER_BAD_EPOCH;
    if (!is_in_order(&history, batch))
        return PRODUCER_BAD_SEQUENCE;
    stage(judge, batch, base_offset, &history);
    return PRODUCER_ACCEPTED;
}
