/* What a log remembers of its idempotent producers: a hash table, and a list by who wrote longest ago. */
#include "storage/producer_state.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "storage/producer_state_internal.h"

static uint64_t mix(uint64_t value)
{
    value *= UINT64_C(0x9e3779b97f4a7c15);
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    return value ^ value >> 32;
}

/* Producer ids are what clients send: where the table lies keeps them from choosing those of one bucket. */
static uint32_t *bucket_of(const struct producer_state *state, int64_t producer_id)
{
    uint64_t seed = (uint64_t)(uintptr_t)state;
    return &state->buckets[mix((uint64_t)producer_id ^ seed) & (state->capacity - 1)];
}

struct producer *producer__find(const struct producer_state *state, int64_t producer_id)
{
    if (!state || state->capacity == 0)
        return NULL;
    for (uint32_t i = *bucket_of(state, producer_id); i != NONE; i = state->producers[i].bucket_next) {
        if (state->producers[i].producer_id == producer_id)
            return &state->producers[i];
    }
    return NULL;
}

bool producer__is_expired(const struct producer *producer, int64_t now_ms, int64_t expiration_ms)
{
    return expiration_ms > 0 && producer->current_txn_first_offset < 0 &&
           now_ms - producer->written_ms >= expiration_ms;
}

void producer_state_destroy(struct producer_state *state)
{
    if (!state)
        return;
    free(state->producers);
    free(state->buckets);
    free(state->older);
    free(state);
}

size_t producer_state_count(const struct producer_state *state)
{
    return state ? state->count : 0;
}

size_t producer_state_size(const struct producer_state *state)
{
    return state ? sizeof *state + state->capacity * (sizeof *state->producers + sizeof *state->buckets) +
                       state->older_capacity * sizeof *state->older
                 : 0;
}

/* -- room ---------------------------------------------------------------------------------------- */

static size_t grown(size_t capacity, size_t wanted)
{
    size_t size = capacity ? capacity : 1;
    while (size < wanted)
        size *= 2;
    return size;
}

static bool grow_producers(struct producer_state *state, size_t wanted)
{
    size_t capacity = grown(state->capacity, wanted);
    if (capacity == state->capacity)
        return true;
    if (capacity >= NONE)
        return false;
    uint32_t *buckets = malloc(capacity * sizeof *buckets);
    struct producer *producers = buckets ? realloc(state->producers, capacity * sizeof *producers) : NULL;
    if (!producers) {
        free(buckets);
        return false;
    }
    free(state->buckets);
    state->buckets = buckets;
    state->producers = producers;
    for (size_t i = state->capacity; i < capacity; i++) {
        producers[i].producer_id = -1;
        producers[i].bucket_next = state->free_producer;
        state->free_producer = (uint32_t)i;
    }
    state->capacity = (uint32_t)capacity;
    for (size_t i = 0; i < capacity; i++)
        buckets[i] = NONE;
    for (size_t i = 0; i < capacity; i++) {
        if (producers[i].producer_id < 0)
            continue;
        uint32_t *bucket = bucket_of(state, producers[i].producer_id);
        producers[i].bucket_next = *bucket;
        *bucket = (uint32_t)i;
    }
    return true;
}

static bool grow_older(struct producer_state *state, size_t wanted)
{
    size_t capacity = grown(state->older_capacity, wanted);
    if (capacity == state->older_capacity)
        return true;
    if (capacity >= NONE)
        return false;
    struct older_batches *older = realloc(state->older, capacity * sizeof *older);
    if (!older)
        return false;
    state->older = older;
    for (size_t i = state->older_capacity; i < capacity; i++) {
        older[i].free_next = state->free_older;
        state->free_older = (uint32_t)i;
    }
    state->older_capacity = (uint32_t)capacity;
    return true;
}

bool producer_state_reserve(struct producer_state **state, size_t producer_count, size_t older_count)
{
    if (!*state) {
        struct producer_state *made = malloc(sizeof *made);
        if (!made)
            return false;
        *made = (struct producer_state){
            .free_producer = NONE, .free_older = NONE, .oldest = NONE, .newest = NONE, .first_in_txn = NONE
        };
        *state = made;
    }
    return (producer_count == 0 || grow_producers(*state, (*state)->count + producer_count)) &&
           (older_count == 0 || grow_older(*state, (*state)->older_count + older_count));
}

/* -- the lists ------------------------------------------------------------------------------------ */

/* Who has an open transaction is in a list of its own: it is not to be forgotten. */
static void unlink_producer(struct producer_state *state, uint32_t index)
{
    struct producer *producer = &state->producers[index];
    uint32_t before = producer->written_before, after = producer->written_after;
    if (before != NONE)
        state->producers[before].written_after = after;
    else if (producer->current_txn_first_offset >= 0)
        state->first_in_txn = after;
    else
        state->oldest = after;
    if (after != NONE)
        state->producers[after].written_before = before;
    else if (producer->current_txn_first_offset < 0)
        state->newest = before;
}

static void link_producer(struct producer_state *state, uint32_t index)
{
    struct producer *producer = &state->producers[index];
    bool in_txn = producer->current_txn_first_offset >= 0;
    producer->written_before = in_txn ? NONE : state->newest;
    producer->written_after = in_txn ? state->first_in_txn : NONE;
    if (in_txn) {
        if (state->first_in_txn != NONE)
            state->producers[state->first_in_txn].written_before = index;
        state->first_in_txn = index;
        return;
    }
    if (state->newest != NONE)
        state->producers[state->newest].written_after = index;
    else
        state->oldest = index;
    state->newest = index;
}

static uint32_t insert(struct producer_state *state, int64_t producer_id)
{
    uint32_t index = state->free_producer;
    check(index != NONE); /* producer_state_reserve() came before */
    struct producer *producer = &state->producers[index];
    uint32_t *bucket = bucket_of(state, producer_id);
    state->free_producer = producer->bucket_next;
    *producer = (struct producer){ .producer_id = producer_id,
                                   .timestamp = -1,
                                   .current_txn_first_offset = -1,
                                   .coordinator_epoch = -1,
                                   .epoch = -1,
                                   .older = NONE,
                                   .bucket_next = *bucket };
    *bucket = index;
    state->count++;
    return index;
}

static void drop_older(struct producer_state *state, struct producer *producer)
{
    if (producer->older == NONE)
        return;
    state->older[producer->older].free_next = state->free_older;
    state->free_older = producer->older;
    state->older_count--;
    producer->older = NONE;
}

static void forget(struct producer_state *state, uint32_t index)
{
    struct producer *producer = &state->producers[index];
    uint32_t *link = bucket_of(state, producer->producer_id);
    unlink_producer(state, index);
    while (*link != index)
        link = &state->producers[*link].bucket_next;
    *link = producer->bucket_next;
    drop_older(state, producer);
    producer->producer_id = -1;
    producer->bucket_next = state->free_producer;
    state->free_producer = index;
    state->count--;
}

void producer_state_trim(struct producer_state *state, size_t count_max, int64_t now_ms,
                         int64_t expiration_ms, size_t expired_max)
{
    while (state && count_max > 0 && state->count > count_max && state->oldest != NONE)
        forget(state, state->oldest);
    while (state && expired_max-- > 0 && state->oldest != NONE &&
           producer__is_expired(&state->producers[state->oldest], now_ms, expiration_ms))
        forget(state, state->oldest);
}

/* -- what happens --------------------------------------------------------------------------------- */

static void set_epoch(struct producer *producer, int16_t epoch)
{
    if (producer->epoch != epoch)
        producer->batch_count = 0;
    producer->epoch = epoch;
}

static void add_batch(struct producer_state *state, struct producer *producer,
                      const struct producer_batch *batch)
{
    if (producer->batch_count > 0) {
        if (producer->older == NONE) {
            check(state->free_older != NONE); /* producer_state_reserve() came before */
            producer->older = state->free_older;
            state->free_older = state->older[producer->older].free_next;
            state->older_count++;
        }
        struct older_batches *older = &state->older[producer->older];
        if (producer->batch_count == PRODUCER_BATCHES_MAX) {
            memmove(&older->batches[0], &older->batches[1],
                    (OLDER_BATCHES_MAX - 1) * sizeof older->batches[0]);
            producer->batch_count--;
        }
        older->batches[producer->batch_count - 1] = producer->newest;
    }
    producer->newest = *batch;
    producer->batch_count++;
}

/* The producer, taken out of its list and back to nothing when it is expired. */
static uint32_t take_out(struct producer_state *state, int64_t producer_id, int64_t now_ms,
                         int64_t expiration_ms)
{
    struct producer *known = producer__find(state, producer_id);
    if (known && producer__is_expired(known, now_ms, expiration_ms)) {
        forget(state, (uint32_t)(known - state->producers));
        known = NULL;
    }
    if (!known)
        return insert(state, producer_id);
    unlink_producer(state, (uint32_t)(known - state->producers));
    return (uint32_t)(known - state->producers);
}

struct producer_batch producer__batch_of(const struct batch_view *batch, int64_t base_offset)
{
    uint32_t last = (uint32_t)batch->base_sequence + (uint32_t)batch->last_offset_delta;
    return (struct producer_batch){
        .last_offset = base_offset + batch->last_offset_delta,
        .timestamp = batch->max_timestamp,
        /* Sequences wrap from 2^31-1 to 0. */
        .last_sequence = batch->base_sequence < 0 ? -1 : (int32_t)(last & INT32_MAX),
        .offset_delta = batch->last_offset_delta,
    };
}

void producer_state_note(struct producer_state *state, const struct batch_view *batch, int64_t now_ms,
                         int64_t expiration_ms)
{
    struct producer_batch added = producer__batch_of(batch, batch->base_offset);
    uint32_t index = take_out(state, batch->producer_id, now_ms, expiration_ms);
    struct producer *producer = &state->producers[index];
    set_epoch(producer, batch->producer_epoch);
    add_batch(state, producer, &added);
    producer->timestamp = batch->max_timestamp;
    producer->written_ms = now_ms;
    if (producer->current_txn_first_offset < 0 && (batch->attributes & BATCH_ATTRIBUTE_TRANSACTIONAL) != 0)
        producer->current_txn_first_offset = batch->base_offset;
    link_producer(state, index);
}

void producer_state_mark(struct producer_state *state, const struct producer_marker *marker, int64_t now_ms)
{
    uint32_t index = take_out(state, marker->producer_id, now_ms, 0);
    struct producer *producer = &state->producers[index];
    set_epoch(producer, marker->producer_epoch);
    producer->timestamp = marker->timestamp;
    producer->written_ms = now_ms;
    producer->coordinator_epoch = marker->coordinator_epoch;
    producer->current_txn_first_offset = -1;
    link_producer(state, index);
}

void producer_state_put(struct producer_state *state, const struct producer_entry *entry)
{
    uint32_t index = take_out(state, entry->producer_id, 0, 0);
    struct producer *producer = &state->producers[index];
    producer->batch_count = 0;
    producer->epoch = entry->epoch;
    for (size_t i = 0; i < entry->batch_count; i++)
        add_batch(state, producer, &entry->batches[i]);
    producer->timestamp = entry->timestamp;
    producer->written_ms = entry->written_ms;
    producer->coordinator_epoch = entry->coordinator_epoch;
    producer->current_txn_first_offset = entry->current_txn_first_offset;
    link_producer(state, index);
}

/* -- looking at it -------------------------------------------------------------------------------- */

const struct producer_batch *producer__batch(const struct producer_state *state,
                                             const struct producer *producer, size_t i)
{
    return i + 1 == producer->batch_count ? &producer->newest : &state->older[producer->older].batches[i];
}

static void describe(const struct producer_state *state, const struct producer *producer,
                     struct producer_entry *out)
{
    *out = (struct producer_entry){
        .producer_id = producer->producer_id,
        .timestamp = producer->timestamp,
        .written_ms = producer->written_ms,
        .current_txn_first_offset = producer->current_txn_first_offset,
        .coordinator_epoch = producer->coordinator_epoch,
        .epoch = producer->epoch,
        .batch_count = producer->batch_count,
    };
    for (size_t i = 0; i < producer->batch_count; i++)
        out->batches[i] = *producer__batch(state, producer, i);
}

bool producer_state_find(const struct producer_state *state, int64_t producer_id, struct producer_entry *out)
{
    const struct producer *producer = producer__find(state, producer_id);
    if (producer)
        describe(state, producer, out);
    return producer != NULL;
}

int64_t producer_state_open_transaction(const struct producer_state *state, int64_t producer_id)
{
    const struct producer *producer = producer__find(state, producer_id);
    return producer ? producer->current_txn_first_offset : -1;
}

int64_t producer_state_first_open(const struct producer_state *state)
{
    int64_t first = -1;
    for (uint32_t i = state ? state->first_in_txn : NONE; i != NONE; i = state->producers[i].written_after) {
        int64_t offset = state->producers[i].current_txn_first_offset;
        if (first < 0 || offset < first)
            first = offset;
    }
    return first;
}

struct producer_state *producer_state_copy(const struct producer_state *state)
{
    struct producer_state *copy = malloc(sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *state;
    copy->buckets = NULL;
    copy->producers = malloc(state->capacity * sizeof *copy->producers + 1);
    copy->older = malloc(state->older_capacity * sizeof *copy->older + 1);
    if (!copy->producers || !copy->older) {
        producer_state_destroy(copy);
        return NULL;
    }
    if (state->capacity > 0)
        memcpy(copy->producers, state->producers, state->capacity * sizeof *copy->producers);
    if (state->older_capacity > 0)
        memcpy(copy->older, state->older, state->older_capacity * sizeof *copy->older);
    return copy;
}

bool producer_state_next(const struct producer_state *state, uint64_t *cursor, struct producer_entry *out)
{
    enum { AT_START = 0, IN_LIST = 1, IN_TXN = 2 };
    uint64_t stage = *cursor >> 32;
    uint32_t index = (uint32_t)*cursor;
    if (!state)
        return false;
    if (stage == AT_START) {
        stage = IN_LIST;
        index = state->oldest;
    }
    if (stage == IN_LIST && index == NONE) {
        stage = IN_TXN;
        index = state->first_in_txn;
    }
    if (index == NONE) {
        *cursor = stage << 32 | NONE;
        return false;
    }
    describe(state, &state->producers[index], out);
    *cursor = stage << 32 | state->producers[index].written_after;
    return true;
}
