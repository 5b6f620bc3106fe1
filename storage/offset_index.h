/* The offset index of a segment (<base>.index): from offsets to positions of batches. */
#ifndef RUNNEL_STORAGE_OFFSET_INDEX_H
#define RUNNEL_STORAGE_OFFSET_INDEX_H

#include "storage/segment_index.h"

/* On disk: relative offset 4, position 4. The offset is the *last* of the batch that begins at the
 * position; both ascend strictly (facts: disk-format 2.2). */
enum { OFFSET_INDEX_ENTRY_SIZE = 8 };

struct offset_entry {
    uint32_t relative; /* offset - base offset of the segment, <= INT32_MAX */
    uint32_t position;
};

bool offset_index_append(struct segment_index *index, struct retire *retire, struct offset_entry entry);

/* The greatest entry with relative <= target, or {0, 0}. False: the index could not be read. */
bool offset_index_find(const struct index_view *view, int64_t target, struct offset_entry *out);
/* The greatest entry with position <= limit, or {0, 0}. */
bool offset_index_find_position(const struct index_view *view, uint32_t limit, struct offset_entry *out);

/* How many leading entries can be true for a segment of this size: they ascend and lie inside. */
uint32_t offset_index_valid_count(const uint8_t *entries, uint32_t count, uint32_t segment_size);

#endif
