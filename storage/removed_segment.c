/* A segment that left its log: its files under Kafka's `.deleted` names, until they may be unlinked. */
#include "storage/removed_segment.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/note.h"

static const char *const suffixes[] = { ".log", ".index", ".timeindex", ".txnindex", ".snapshot" };

enum { SUFFIX_COUNT = sizeof suffixes / sizeof suffixes[0], DELETED_SUFFIX_MAX = 32 };

static size_t suffix_count(const struct removed_segment *removed)
{
    return removed->has_snapshot ? SUFFIX_COUNT : SUFFIX_COUNT - 1;
}

static void deleted_path(const struct removed_segment *removed, const char *suffix,
                         char out[SEGMENT_PATH_MAX])
{
    struct segment_home home = { .path = removed->path };
    char deleted[DELETED_SUFFIX_MAX] = "";
    strncat(deleted, suffix, sizeof deleted - 1);
    strncat(deleted, ".deleted", sizeof deleted - 1 - strlen(deleted));
    segment_path(&home, removed->base_offset, deleted, out);
}

struct removed_segment *removed_segment_create(const struct segment_home *home, struct segment *segment,
                                               int64_t due_ms, bool has_snapshot)
{
    size_t path_size = strlen(home->path) + 1;
    struct removed_segment *removed = malloc(sizeof *removed + path_size);
    if (!removed)
        return NULL;
    *removed = (struct removed_segment){
        .host = home->host,
        .files = home->env->files,
        .segment = segment,
        .base_offset = segment->base_offset,
        .due_ms = due_ms,
        .size = atomic_load(&segment->size),
        .has_snapshot = has_snapshot,
    };
    memcpy(removed->path, home->path, path_size);
    return removed;
}

enum file_status removed_segment_rename(const struct removed_segment *removed)
{
    struct segment_home home = { .path = removed->path };
    char from[SEGMENT_PATH_MAX], to[SEGMENT_PATH_MAX];
    for (size_t i = 0; i < suffix_count(removed); i++) {
        segment_path(&home, removed->base_offset, suffixes[i], from);
        deleted_path(removed, suffixes[i], to);
        enum file_status status = file_rename(removed->files, from, to);
        if (status == FILE_FULL) /* for the longer name; who has the file open reads on */
            status = file_unlink(removed->files, from);
        if (status != FILE_OK && status != FILE_NOT_FOUND) {
            note_error("log.rename_failed", "file=%s status=\"%s\"", from, file_status_name(status));
            return status;
        }
    }
    if (removed->has_snapshot) { /* worth nothing without the snapshot */
        segment_path(&home, removed->base_offset, ".producers.runnel", from);
        (void)file_unlink(removed->files, from);
    }
    return FILE_OK;
}

bool removed_segment_is_held(const struct removed_segment *removed)
{
    return removed->segment && segment_is_pinned(removed->segment);
}

void removed_segment_unlink(const struct removed_segment *removed)
{
    char path[SEGMENT_PATH_MAX];
    for (size_t i = 0; i < suffix_count(removed); i++) {
        deleted_path(removed, suffixes[i], path);
        enum file_status status = file_unlink(removed->files, path);
        /* What is left is unlinked when the log recovers: the name says that it may go. */
        if (status != FILE_OK && status != FILE_NOT_FOUND)
            note_warn("log.unlink_failed", "file=%s status=\"%s\"", path, file_status_name(status));
    }
}

void removed_segment_destroy(struct removed_segment *removed)
{
    if (removed->segment)
        segment_destroy(removed->segment);
    free(removed);
}
