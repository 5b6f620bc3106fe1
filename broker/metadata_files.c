/* Finds and checks snapshots of the metadata log, and reads Kafka's quorum state. */
#include "broker/metadata_files.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/note.h"

enum {
    SNAPSHOT_SIZE_MAX = 1 << 30,
    QUORUM_STATE_SIZE_MAX = 1 << 16,
    END_OFFSET_DIGITS = 20,
    EPOCH_DIGITS = 10
};

void metadata_snapshot_name(int64_t end_offset, int32_t epoch, char out[METADATA_SNAPSHOT_NAME_SIZE])
{
    snprintf(out, METADATA_SNAPSHOT_NAME_SIZE, "%020lld-%010d.checkpoint", (long long)end_offset, epoch);
}

static bool parse_digits(const char *text, int digits, uint64_t max, uint64_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9' || *out > (max - (uint64_t)(text[i] - '0')) / 10)
            return false;
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    }
    return true;
}

static bool parse_name(const char *name, int64_t *end_offset, int32_t *epoch)
{
    uint64_t offset_digits, epoch_digits;
    if (strlen(name) != METADATA_SNAPSHOT_NAME_SIZE - 1 || name[END_OFFSET_DIGITS] != '-' ||
        strcmp(name + END_OFFSET_DIGITS + 1 + EPOCH_DIGITS, ".checkpoint") != 0)
        return false;
    if (!parse_digits(name, END_OFFSET_DIGITS, INT64_MAX, &offset_digits) ||
        !parse_digits(name + END_OFFSET_DIGITS + 1, EPOCH_DIGITS, INT32_MAX, &epoch_digits))
        return false;
    *end_offset = (int64_t)offset_digits;
    *epoch = (int32_t)epoch_digits;
    return true;
}

/* Looking for the newest one that is older than a bound. */
struct search {
    int64_t below_offset;
    int32_t below_epoch;
    int64_t end_offset; /* -1: none so far */
    int32_t epoch;
};

static bool is_newer(int64_t offset_a, int32_t epoch_a, int64_t offset_b, int32_t epoch_b)
{
    return offset_a != offset_b ? offset_a > offset_b : epoch_a > epoch_b;
}

static bool search_visit(void *context, const char *name)
{
    struct search *search = context;
    int64_t end_offset;
    int32_t epoch;
    if (parse_name(name, &end_offset, &epoch) &&
        is_newer(search->below_offset, search->below_epoch, end_offset, epoch) &&
        is_newer(end_offset, epoch, search->end_offset, search->epoch)) {
        search->end_offset = end_offset;
        search->epoch = epoch;
    }
    return true;
}

struct frame_check {
    size_t record_count;
    bool begins_with_header;
    bool ends_with_footer;
};

static bool frame_visit(void *context, const struct metadata_record *record)
{
    struct frame_check *frame = context;
    if (frame->record_count++ == 0)
        frame->begins_with_header = record->control_type == CONTROL_RECORD_SNAPSHOT_HEADER;
    frame->ends_with_footer = record->control_type == CONTROL_RECORD_SNAPSHOT_FOOTER;
    return true;
}

bool metadata_snapshot_is_whole(slice bytes)
{
    struct frame_check frame = { 0 };
    return metadata_batches_read(bytes, 0, frame_visit, &frame) == METADATA_READ_OK &&
           frame.begins_with_header && frame.ends_with_footer;
}

enum file_status metadata_snapshot_load(struct file_system *files, const char *directory,
                                        struct metadata_snapshot *out)
{
    struct search search = { .below_offset = INT64_MAX, .below_epoch = INT32_MAX };
    *out = (struct metadata_snapshot){ .end_offset = -1 };
    for (;;) {
        search.end_offset = search.epoch = -1;
        enum file_status status = file_list(files, directory, search_visit, &search);
        if (status == FILE_NOT_FOUND)
            return FILE_OK; /* a new directory */
        if (status != FILE_OK || search.end_offset < 0)
            return status;

        char name[METADATA_SNAPSHOT_NAME_SIZE], path[PATH_MAX];
        metadata_snapshot_name(search.end_offset, search.epoch, name);
        snprintf(path, sizeof path, "%s/%s", directory, name);
        uint8_t *bytes;
        size_t size;
        status = file_read_all(files, path, SNAPSHOT_SIZE_MAX, &bytes, &size);
        if (status == FILE_OK && metadata_snapshot_is_whole(slice_of(bytes, size))) {
            *out = (struct metadata_snapshot){ search.end_offset, search.epoch, slice_of(bytes, size) };
            return FILE_OK;
        }
        if (status == FILE_OK)
            free(bytes);
        /* One without records is made anew by the bootstrap. */
        if (search.end_offset > 0)
            note_warn("metadata.snapshot_skipped", "path=%s reason=%s", path,
                      status == FILE_OK ? "not_whole" : file_status_name(status));
        search.below_offset = search.end_offset;
        search.below_epoch = search.epoch;
    }
}

struct listing {
    struct metadata_snapshot_file *found;
    size_t count;
    size_t capacity;
    bool is_short; /* of memory */
};

static bool list_visit(void *context, const char *name)
{
    struct listing *listing = context;
    struct metadata_snapshot_file file;
    if (!parse_name(name, &file.end_offset, &file.epoch))
        return true;
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? 2 * listing->capacity : 8;
        struct metadata_snapshot_file *grown = realloc(listing->found, capacity * sizeof *grown);
        listing->is_short = !grown;
        if (!grown)
            return false;
        listing->found = grown;
        listing->capacity = capacity;
    }
    listing->found[listing->count++] = file;
    return true;
}

static int compare_snapshots(const void *a, const void *b)
{
    const struct metadata_snapshot_file *x = a, *y = b;
    return is_newer(x->end_offset, x->epoch, y->end_offset, y->epoch) -
           is_newer(y->end_offset, y->epoch, x->end_offset, x->epoch);
}

bool metadata_snapshots_list(struct file_system *files, const char *directory,
                             struct metadata_snapshot_file **out, size_t *count)
{
    struct listing listing = { 0 };
    if (file_list(files, directory, list_visit, &listing) != FILE_OK || listing.is_short) {
        free(listing.found);
        return false;
    }
    if (listing.count > 1)
        qsort(listing.found, listing.count, sizeof *listing.found, compare_snapshots);
    *out = listing.found;
    *count = listing.count;
    return true;
}

void metadata_snapshot_free(struct metadata_snapshot *snapshot)
{
    free((void *)snapshot->bytes.data);
    snapshot->bytes = SLICE_NULL;
}

int32_t metadata_quorum_epoch(struct file_system *files, const char *directory)
{
    static const char field[] = "\"leaderEpoch\":";
    char path[PATH_MAX];
    uint8_t *bytes;
    size_t size;
    snprintf(path, sizeof path, "%s/quorum-state", directory);
    if (file_read_all(files, path, QUORUM_STATE_SIZE_MAX, &bytes, &size) != FILE_OK)
        return 0;
    const char *found = strstr((const char *)bytes, field); /* a NUL stands behind the bytes */
    long epoch = found ? strtol(found + sizeof field - 1, NULL, 10) : 0;
    free(bytes);
    return epoch > 0 && epoch < INT32_MAX ? (int32_t)epoch : 0;
}
