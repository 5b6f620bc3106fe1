/* The leader epochs of a log and where each began (KIP-101): cache and leader-epoch-checkpoint file. */
#include "storage/leader_epochs.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "storage/checkpoint.h"

enum { LEADER_EPOCHS_FILE_SIZE_MAX = 16 << 20 };

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

int64_t leader_epochs_next(const struct leader_epochs *epochs, int64_t offset)
{
    for (uint32_t i = 0; i < epochs->count; i++) {
        if (epochs->entries[i].start_offset > offset)
            return epochs->entries[i].start_offset;
    }
    return INT64_MAX;
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

enum file_status leader_epochs_read(struct leader_epochs *epochs, struct file_system *files, const char *path)
{
    uint8_t *bytes;
    size_t size, count;
    struct checkpoint_epoch *entries;
    epochs->count = 0;
    enum file_status status = file_read_all(files, path, LEADER_EPOCHS_FILE_SIZE_MAX, &bytes, &size);
    if (status != FILE_OK)
        return status;
    bool ok = checkpoint_parse_epochs(slice_of(bytes, size), &entries, &count);
    free(bytes);
    if (!ok)
        return FILE_IO;
    for (size_t i = 0; i < count && ok; i++) {
        ok = entries[i].epoch >= 0 && entries[i].start_offset >= 0 && leader_epochs_reserve(epochs);
        if (ok)
            leader_epochs_assign(epochs, entries[i].epoch, entries[i].start_offset);
    }
    free(entries);
    if (!ok)
        epochs->count = 0;
    return ok ? FILE_OK : FILE_IO;
}

slice leader_epochs_text(const struct leader_epochs *epochs)
{
    struct checkpoint_writer writer;
    checkpoint_writer_init(&writer);
    for (uint32_t i = 0; i < epochs->count; i++)
        checkpoint_add_epoch(&writer, epochs->entries[i].epoch, epochs->entries[i].start_offset);
    slice text = checkpoint_text(&writer);
    uint8_t *copy = slice_is_null(text) ? NULL : malloc(text.size);
    if (copy)
        memcpy(copy, text.data, text.size);
    checkpoint_writer_destroy(&writer);
    return copy ? slice_of(copy, text.size) : SLICE_NULL;
}
