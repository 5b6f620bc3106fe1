/* The content of a metadata snapshot: what an image says, as records (KIP-630). */
#ifndef RUNNEL_BROKER_METADATA_SNAPSHOT_H
#define RUNNEL_BROKER_METADATA_SNAPSHOT_H

#include "broker/image.h"
#include "broker/metadata_kept.h"

/* What every snapshot begins and ends with; last_ms: timestamp of the last record that it covers. */
void metadata_snapshot_begin(struct metadata_batches *batches, int64_t last_ms);
void metadata_snapshot_end(struct metadata_batches *batches);

/* All bytes of a snapshot of the image, in the arena; epoch and now_ms stand in its batches. Null: no memory.
 */
slice metadata_snapshot_encode(const struct image *image, const struct metadata_kept *kept,
                               struct arena *arena, int64_t now_ms);
/* The timestamp that the header of a whole snapshot has; -1: none. */
int64_t metadata_snapshot_timestamp(slice bytes);

#endif
