/* What compaction leaves of a record batch: the records that stay, under the offsets that they have. */
#ifndef RUNNEL_PROTOCOL_BATCH_FILTER_H
#define RUNNEL_PROTOCOL_BATCH_FILTER_H

#include "protocol/record_batch.h"

/* How a batch is filtered. */
struct batch_filter {
    /* Whether the record stays; asked once of each, in order. Borrowed bytes are valid until return. */
    bool (*keeps)(void *context, const struct record *record);
    void *context;
    /* None stays, and keeps() is not asked: of an aborted transaction, or a marker whose time is over. */
    bool drops_all;
    /* A marker of a transaction without data: it gets a delete horizon like a tombstone. */
    bool is_empty_marker;
    /* When nothing stays, a header without records does: for its sequence or its last offset. */
    bool stays_empty;
    /* What a batch gets that has tombstones, or is such a marker, and no delete horizon yet (KIP-534): ms. */
    int64_t delete_horizon_ms;
    size_t output_max; /* most bytes that a payload may decompress to */
};

struct batch_filtered {
    slice bytes;       /* what stays; empty: nothing. The batch's own, or from the arena */
    bool is_unchanged; /* bytes are the batch's own */
    int32_t record_count;
    int64_t max_timestamp; /* of what stays */
};

/* Filters a batch whose CRC was checked, and which is not modified. Base offset, last offset, leader epoch,
 * producer fields, sequences, kind of timestamps and codec stay as they are, also where records go (facts:
 * disk-format 5.4); offsets in it may then have gaps. Anything but BATCH_OK: what is wrong with the batch. */
enum batch_status batch_filter(const struct batch_view *batch, const struct batch_filter *filter,
                               struct arena *arena, struct batch_filtered *out);

#endif
