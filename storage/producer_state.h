/* What a log remembers of its idempotent producers: the last batch of each (KIP-98). */
#ifndef RUNNEL_STORAGE_PRODUCER_STATE_H
#define RUNNEL_STORAGE_PRODUCER_STATE_H

#include "protocol/record_batch.h"
#include "storage/producer_snapshot.h"

/* A hash table by producer id; guarded by its owner, NULL: empty. Forgetting is harmless: what is not in it
 * is found again by a scan of the log. */
struct producer_state;

void producer_state_destroy(struct producer_state *state);
/* Takes a batch of the log into account; batches without a producer id change nothing. Without memory
 * the state becomes incomplete. */
void producer_state_note(struct producer_state **state, const struct batch_view *batch);
/* Puts an entry of a snapshot in. */
void producer_state_put(struct producer_state **state, const struct producer_snapshot_entry *entry);
size_t producer_state_count(const struct producer_state *state);
/* Whether every producer that was noted is in it; else no snapshot may be written. */
bool producer_state_is_complete(const struct producer_state *state);
/* Copies all entries, in no order; malloc'ed and returned owned. NULL: none, or no memory. */
struct producer_snapshot_entry *producer_state_entries(const struct producer_state *state);

#endif
