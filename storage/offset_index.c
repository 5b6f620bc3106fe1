/* The offset index of a segment (<base>.index): from offsets to positions of batches. */
#include "storage/offset_index.h"

#include "protocol/base/bytes.h"

static struct offset_entry decode(const uint8_t *bytes)
{
    return (struct offset_entry){ load_be32(bytes), load_be32(bytes + 4) };
}

bool offset_index_append(struct segment_index *index, struct retire *retire_list, struct offset_entry entry)
{
    uint8_t bytes[OFFSET_INDEX_ENTRY_SIZE];
    store_be32(bytes, entry.relative);
    store_be32(bytes + 4, entry.position);
    return segment_index_append(index, retire_list, bytes);
}

/* Binary search for the last entry whose key (relative or position) is <= limit. */
static bool find(const struct index_view *view, int64_t limit, bool by_position, struct offset_entry *out)
{
    *out = (struct offset_entry){ 0, 0 };
    uint32_t low = 0, high = view->count; /* entries below low are <= limit, from high on > limit */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint8_t bytes[OFFSET_INDEX_ENTRY_SIZE];
        if (!index_view_entry(view, middle, bytes))
            return false;
        struct offset_entry entry = decode(bytes);
        if ((by_position ? entry.position : entry.relative) <= limit) {
            *out = entry;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return true;
}

bool offset_index_find(const struct index_view *view, int64_t target, struct offset_entry *out)
{
    return find(view, target, false, out);
}

bool offset_index_find_position(const struct index_view *view, uint32_t limit, struct offset_entry *out)
{
    return find(view, limit, true, out);
}

uint32_t offset_index_valid_count(const uint8_t *entries, uint32_t count, uint32_t segment_size)
{
    struct offset_entry last = { 0, 0 };
    for (uint32_t i = 0; i < count; i++) {
        struct offset_entry entry = decode(entries + (size_t)i * OFFSET_INDEX_ENTRY_SIZE);
        if (entry.relative > INT32_MAX || entry.position >= segment_size)
            return i;
        if (i > 0 ? entry.relative <= last.relative || entry.position <= last.position
                  : entry.position == 0 && entry.relative == 0)
            return i;
        last = entry;
    }
    return count;
}
