/* What a log remembers of its idempotent producers: the last batch of each (KIP-98). */
#include "storage/producer_state.h"

#include <stdlib.h>

enum { PRODUCER_FIRST_CAPACITY = 8, CONTROL_SEQUENCE = -1 };

/* Open addressing; producer_id -1 marks a free slot. At most three quarters are in use. */
struct producer_state {
    size_t count;
    size_t capacity; /* a power of two; 0: no memory since the start */
    bool incomplete;
    struct producer_snapshot_entry slots[];
};

void producer_state_destroy(struct producer_state *state)
{
    free(state);
}

static struct producer_state *create(size_t capacity)
{
    struct producer_state *state = malloc(sizeof *state + capacity * sizeof state->slots[0]);
    if (!state)
        return NULL;
    *state = (struct producer_state){ .capacity = capacity };
    for (size_t i = 0; i < capacity; i++)
        state->slots[i].producer_id = -1;
    return state;
}

static struct producer_snapshot_entry *slot_of(struct producer_state *state, int64_t producer_id)
{
    size_t i = (size_t)((uint64_t)producer_id * 0x9e3779b97f4a7c15u >> 32) & (state->capacity - 1);
    while (state->slots[i].producer_id != -1 && state->slots[i].producer_id != producer_id)
        i = (i + 1) & (state->capacity - 1);
    return &state->slots[i];
}

/* Makes sure that one more fits. */
static bool reserve(struct producer_state **state)
{
    struct producer_state *old = *state;
    if (old && (old->count + 1) * 4 <= old->capacity * 3)
        return true;
    struct producer_state *larger = create(old ? old->capacity * 2 : PRODUCER_FIRST_CAPACITY);
    if (!larger)
        return false;
    for (size_t i = 0; old && i < old->capacity; i++) {
        if (old->slots[i].producer_id != -1)
            *slot_of(larger, old->slots[i].producer_id) = old->slots[i];
    }
    if (old) {
        larger->count = old->count;
        larger->incomplete = old->incomplete;
    }
    free(old);
    *state = larger;
    return true;
}

void producer_state_put(struct producer_state **state, const struct producer_snapshot_entry *entry)
{
    if (entry->producer_id < 0)
        return;
    if (!reserve(state)) {
        if (*state)
            (*state)->incomplete = true;
        return;
    }
    struct producer_snapshot_entry *slot = slot_of(*state, entry->producer_id);
    if (slot->producer_id == -1)
        (*state)->count++;
    *slot = *entry;
}

void producer_state_note(struct producer_state **state, const struct batch_view *batch)
{
    if (batch->producer_id < 0 || batch->base_sequence == CONTROL_SEQUENCE)
        return;
    uint32_t last = (uint32_t)batch->base_sequence + (uint32_t)batch->last_offset_delta;
    struct producer_snapshot_entry entry = {
        .producer_id = batch->producer_id,
        .producer_epoch = batch->producer_epoch,
        .last_sequence = (int32_t)(last & INT32_MAX), /* sequences wrap from 2^31-1 to 0 */
        .last_offset = batch_last_offset(batch),
        .offset_delta = batch->last_offset_delta,
        .timestamp = batch->max_timestamp,
        .current_txn_first_offset = -1,
    };
    if (*state) {
        const struct producer_snapshot_entry *known = slot_of(*state, batch->producer_id);
        if (known->producer_id != -1) {
            entry.coordinator_epoch = known->coordinator_epoch;
            entry.current_txn_first_offset = known->current_txn_first_offset;
        }
    }
    producer_state_put(state, &entry);
}

size_t producer_state_count(const struct producer_state *state)
{
    return state ? state->count : 0;
}

bool producer_state_is_complete(const struct producer_state *state)
{
    return !state || !state->incomplete;
}

struct producer_snapshot_entry *producer_state_entries(const struct producer_state *state)
{
    size_t count = 0;
    struct producer_snapshot_entry *entries = state ? malloc((state->count + 1) * sizeof *entries) : NULL;
    for (size_t i = 0; entries && i < state->capacity; i++) {
        if (state->slots[i].producer_id != -1)
            entries[count++] = state->slots[i];
    }
    return entries;
}
