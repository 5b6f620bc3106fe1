/* The leader epochs of a log and where each began (KIP-101): cache and leader-epoch-checkpoint file. */
#include "storage/leader_epochs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"

enum { LINE_SIZE_MAX = 40 };

void leader_epochs_destroy(struct leader_epochs *epochs)
{
    free(epochs->entries);
    *epochs = (struct leader_epochs){ .entries = NULL };
}

int32_t leader_epochs_latest(const struct leader_epochs *epochs)
{
    return epochs->count ? epochs->entries[epochs->count - 1].epoch : -1;
}

bool leader_epochs_reserve(struct leader_epochs *epochs)
{
    if (epochs->count < epochs->capacity)
        return true;
    uint32_t capacity = epochs->capacity ? epochs->capacity * 2 : 2;
    struct leader_epoch *entries = realloc(epochs->entries, capacity * sizeof *entries);
    if (!entries)
        return false;
    epochs->entries = entries;
    epochs->capacity = capacity;
    return true;
}

bool leader_epochs_assign(struct leader_epochs *epochs, int32_t epoch, int64_t start_offset)
{
    check(epoch >= 0 && start_offset >= 0);
    uint32_t keep = epochs->count;
    while (keep > 0 && (epochs->entries[keep - 1].epoch >= epoch ||
                        epochs->entries[keep - 1].start_offset >= start_offset))
        keep--;
    if (keep + 1 == epochs->count && epochs->entries[keep].epoch == epoch &&
        epochs->entries[keep].start_offset == start_offset)
        return false;
    check(keep < epochs->capacity);
    epochs->entries[keep] = (struct leader_epoch){ epoch, start_offset };
    epochs->count = keep + 1;
    return true;
}

bool leader_epochs_cut_end(struct leader_epochs *epochs, int64_t end_offset)
{
    uint32_t count = epochs->count;
    while (epochs->count > 0 && epochs->entries[epochs->count - 1].start_offset >= end_offset)
        epochs->count--;
    return epochs->count != count;
}

bool leader_epochs_cut_start(struct leader_epochs *epochs, int64_t start_offset)
{
    uint32_t below = 0; /* entries that start at or below start_offset */
    while (below < epochs->count && epochs->entries[below].start_offset <= start_offset)
        below++;
    if (below == 0 || (below == 1 && epochs->entries[0].start_offset == start_offset))
        return false;
    epochs->entries[below - 1].start_offset = start_offset;
    memmove(epochs->entries, epochs->entries + below - 1,
            (epochs->count - below + 1) * sizeof *epochs->entries);
    epochs->count -= below - 1;
    return true;
}

int32_t leader_epochs_at(const struct leader_epochs *epochs, int64_t offset)
{
    int32_t epoch = -1;
    for (uint32_t i = 0; i < epochs->count && epochs->entries[i].start_offset <= offset; i++)
        epoch = epochs->entries[i].epoch;
    return epoch;
}

void leader_epochs_end(const struct leader_epochs *epochs, int32_t requested, int64_t log_end, int32_t *epoch,
                       int64_t *end_offset)
{
    *epoch = -1;
    *end_offset = -1;
    if (requested < 0 || epochs->count == 0 || requested > leader_epochs_latest(epochs))
        return;
    if (requested == leader_epochs_latest(epochs)) {
        *epoch = requested;
        *end_offset = log_end;
        return;
    }
    uint32_t above = 0; /* the first entry with a higher epoch */
    while (epochs->entries[above].epoch <= requested)
        above++;
    *epoch = above == 0 ? requested : epochs->entries[above - 1].epoch;
    *end_offset = epochs->entries[above].start_offset;
}

slice leader_epochs_encode(const struct leader_epochs *epochs)
{
    size_t capacity = ((size_t)epochs->count + 1) * LINE_SIZE_MAX, size;
    char *text = malloc(capacity);
    if (!text)
        return SLICE_NULL;
    size = (size_t)snprintf(text, capacity, "0\n%" PRIu32 "\n", epochs->count);
    for (uint32_t i = 0; i < epochs->count; i++)
        size += (size_t)snprintf(text + size, capacity - size, "%" PRId32 " %" PRId64 "\n",
                                 epochs->entries[i].epoch, epochs->entries[i].start_offset);
    return slice_of(text, size);
}

/* Reads a decimal number that white space may precede; false when there is none or it is too large. */
static bool read_number(slice *text, int64_t max, int64_t *out)
{
    size_t i = 0;
    int64_t value = 0;
    while (i < text->size && (text->data[i] == ' ' || text->data[i] == '\n' || text->data[i] == '\r' ||
                              text->data[i] == '\t'))
        i++;
    size_t first = i;
    for (; i < text->size && text->data[i] >= '0' && text->data[i] <= '9'; i++) {
        if (value > (max - (text->data[i] - '0')) / 10)
            return false;
        value = value * 10 + (text->data[i] - '0');
    }
    *out = value;
    *text = slice_of(text->data + i, text->size - i);
    return i > first;
}

bool leader_epochs_decode(struct leader_epochs *epochs, slice text)
{
    int64_t version, count, epoch, start;
    epochs->count = 0;
    if (text.size == 0)
        return true;
    if (!read_number(&text, 0, &version) || !read_number(&text, INT32_MAX, &count))
        return false;
    for (int64_t i = 0; i < count; i++) {
        if (!read_number(&text, INT32_MAX, &epoch) || !read_number(&text, INT64_MAX, &start) ||
            !leader_epochs_reserve(epochs)) {
            epochs->count = 0;
            return false;
        }
        leader_epochs_assign(epochs, (int32_t)epoch, start);
    }
    return true;
}
