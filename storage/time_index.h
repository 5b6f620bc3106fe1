/* The time index of a segment (<base>.timeindex): from timestamps to offsets. */
#ifndef RUNNEL_STORAGE_TIME_INDEX_H
#define RUNNEL_STORAGE_TIME_INDEX_H

#include "storage/segment_index.h"

/* On disk: timestamp 8, relative offset 4. The timestamp is the largest of the segment so far, the
 * offset the last one of the batch that holds it; timestamps ascend strictly, offsets do not descend
 * (facts: disk-format 2.3). */
enum { TIME_INDEX_ENTRY_SIZE = 12 };

struct time_entry {
    int64_t timestamp; /* ms */
    uint32_t relative; /* offset - base offset of the segment, <= INT32_MAX */
};

/* Adds the entry unless its timestamp is not beyond the last one's (-1 at first). */
bool time_index_append(struct segment_index *index, struct retire *retire, struct time_entry entry);
/* The newest entry, for the writer; {-1, 0} when there is none. */
struct time_entry time_index_last(const struct segment_index *index);

/* The greatest entry with timestamp <= target, or {-1, 0}. False: the index could not be read. */
bool time_index_find(const struct index_view *view, int64_t target, struct time_entry *out);
/* The greatest entry whose offset lies below the exclusive bound, or {-1, 0}. */
bool time_index_find_below(const struct index_view *view, int64_t relative_bound, struct time_entry *out);

/* How many leading entries can be true: they ascend, and no offset is beyond relative_max. */
uint32_t time_index_valid_count(const uint8_t *entries, uint32_t count, int64_t relative_max);

/* The last entry; timestamp -1 when there is none, or none that can be true behind the one before it (an
 * index that was made with its full size ends in zeros). False: it could not be read. */
bool time_index_end(const struct index_view *view, int64_t unused, struct time_entry *out);

#endif
