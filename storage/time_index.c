/* The time index of a segment (<base>.timeindex): from timestamps to offsets. */
#include "storage/time_index.h"

#include "protocol/base/bytes.h"

static struct time_entry decode(const uint8_t *bytes)
{
    return (struct time_entry){ (int64_t)load_be64(bytes), load_be32(bytes + 8) };
}

struct time_entry time_index_last(const struct segment_index *index)
{
    const uint8_t *bytes = segment_index_last(index);
    return bytes ? decode(bytes) : (struct time_entry){ -1, 0 };
}

bool time_index_append(struct segment_index *index, struct retire *retire_list, struct time_entry entry)
{
    if (entry.timestamp <= time_index_last(index).timestamp)
        return true;
    uint8_t bytes[TIME_INDEX_ENTRY_SIZE];
    store_be64(bytes, (uint64_t)entry.timestamp);
    store_be32(bytes + 8, entry.relative);
    return segment_index_append(index, retire_list, bytes);
}

/* Binary search for the last entry whose key (timestamp or relative) is <= limit. */
static bool find(const struct index_view *view, int64_t limit, bool by_offset, struct time_entry *out)
{
    *out = (struct time_entry){ -1, 0 };
    uint32_t low = 0, high = view->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint8_t bytes[TIME_INDEX_ENTRY_SIZE];
        if (!index_view_entry(view, middle, bytes))
            return false;
        struct time_entry entry = decode(bytes);
        if ((by_offset ? (int64_t)entry.relative : entry.timestamp) <= limit) {
            *out = entry;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return true;
}

bool time_index_find(const struct index_view *view, int64_t target, struct time_entry *out)
{
    return find(view, target, false, out);
}

bool time_index_find_below(const struct index_view *view, int64_t relative_bound, struct time_entry *out)
{
    return find(view, relative_bound - 1, true, out);
}

uint32_t time_index_valid_count(const uint8_t *entries, uint32_t count, int64_t relative_max)
{
    struct time_entry last = { -1, 0 };
    for (uint32_t i = 0; i < count; i++) {
        struct time_entry entry = decode(entries + (size_t)i * TIME_INDEX_ENTRY_SIZE);
        if (entry.timestamp <= last.timestamp || entry.relative < last.relative ||
            (int64_t)entry.relative > relative_max)
            return i;
        last = entry;
    }
    return count;
}

bool time_index_end(const struct index_view *view, int64_t unused, struct time_entry *out)
{
    uint8_t bytes[TIME_INDEX_ENTRY_SIZE];
    struct time_entry before = { -1, 0 };
    (void)unused;
    *out = (struct time_entry){ -1, 0 };
    if (view->count == 0)
        return true;
    if (view->count > 1) {
        if (!index_view_entry(view, view->count - 2, bytes))
            return false;
        before = decode(bytes);
    }
    if (!index_view_entry(view, view->count - 1, bytes))
        return false;
    struct time_entry last = decode(bytes);
    if (last.timestamp > before.timestamp && last.relative >= before.relative)
        *out = last;
    return true;
}
