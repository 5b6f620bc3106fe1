/* What a log knows of its past besides the batches: leader epochs and producers, read and repaired. */
#include "storage/log_history.h"

#include <stdlib.h>

#include "protocol/base/note.h"
#include "storage/checkpoint.h"
#include "storage/producer_state.h"
#include "storage/segment_scan.h"

/* The leader epoch of the first batch in the segment, or -1: empty or unreadable. */
static int32_t first_epoch(struct log *log, struct segment *segment)
{
    enum file_status status;
    uint8_t bytes[BATCH_HEADER_SIZE];
    size_t got;
    struct batch_head head;
    uint32_t size = atomic_load(&segment->size);
    struct open_file *data = segment_data(segment, &log->home, FILE_READ | FILE_WRITE, true, &status);
    if (data && size >= sizeof bytes && file_pread(data->file, bytes, sizeof bytes, 0, &got) == FILE_OK &&
        got == sizeof bytes && batch_head_read(bytes, size, &head))
        return head.leader_epoch;
    return -1;
}

/* Calls visit for every readable batch of the segment from offset on; damage is stepped over. */
static enum log_status walk_segment(struct log *log, struct segment *segment, int64_t from,
                                    enum log_status (*visit)(struct log *, const struct segment_scan *))
{
    enum file_status file_status;
    char path[SEGMENT_PATH_MAX];
    struct index_view view;
    struct offset_entry entry = { 0, 0 };
    struct segment_scan scan;
    struct open_file *data = segment_data(segment, &log->home, FILE_READ | FILE_WRITE, true, &file_status);
    if (!data)
        return log__status_of(file_status);
    /* An index in memory is believed; one on disk may be older than a repair. */
    segment_path(&log->home, segment->base_offset, ".index", path);
    if (!atomic_load(&segment->offsets.on_disk) &&
        segment_index_view(&segment->offsets, &log->home, path, true, &view) == INDEX_OK) {
        (void)offset_index_find(&view, from - segment->base_offset, &entry);
        index_view_close(&view);
    }
    if (!segment_scan_begin(&scan, data->file, entry.position, atomic_load(&segment->size),
                            segment->base_offset, false))
        return LOG_LIMIT;
    enum log_status status = LOG_OK;
    while (status == LOG_OK) {
        enum scan_result result = segment_scan_next(&scan);
        if (result == SCAN_BATCH && scan.head.last_offset >= from)
            status = visit(log, &scan);
        else if (result == SCAN_DAMAGED && !segment_scan_resync(&scan))
            break;
        else if (result == SCAN_END || result == SCAN_IO)
            break;
    }
    segment_scan_end(&scan);
    return status;
}

static enum log_status note_epoch(struct log *log, const struct segment_scan *scan)
{
    if (scan->head.leader_epoch <= leader_epochs_latest(&log->epochs))
        return LOG_OK;
    if (!leader_epochs_reserve(&log->epochs))
        return LOG_LIMIT;
    leader_epochs_assign(&log->epochs, scan->head.leader_epoch, scan->head.base_offset);
    log->epochs_dirty = true;
    return LOG_OK;
}

enum log_status log__load_epochs(struct log *log, int64_t start_offset, int64_t end_offset)
{
    char path[SEGMENT_PATH_MAX];
    struct segment_list *list = log__segments(log);
    segment_home_path(&log->home, CHECKPOINT_LEADER_EPOCH, path);
    enum file_status file_status = leader_epochs_read(&log->epochs, log->env->files, path);
    if (file_status == FILE_LIMIT)
        return LOG_LIMIT;
    if (file_status != FILE_OK)
        log->epochs_dirty = true;
    if (file_status == FILE_IO)
        note_warn("log.epochs_rebuilt", "log=%s reason=damaged_file", log->name);
    log->epochs_dirty |= leader_epochs_cut_end(&log->epochs, end_offset);
    /* Epochs never fall along the log, so a segment needs a walk only when the next one, or its own
     * end, may have another epoch than the newest that is known. */
    int64_t known = log->epochs.count ? log->epochs.entries[log->epochs.count - 1].start_offset : 0;
    enum log_status status = LOG_OK;
    for (size_t i = segment_list_find(list, known); i < list->count && status == LOG_OK; i++) {
        bool is_last = i + 1 == list->count;
        int32_t next = is_last ? -1 : first_epoch(log, list->items[i + 1]);
        int32_t latest = leader_epochs_latest(&log->epochs);
        if (!is_last && next >= 0 && next <= latest)
            continue;
        /* The end of the active segment is what an unwritten file does not know. */
        status = walk_segment(log, list->items[i], known, note_epoch);
    }
    if (status == LOG_OK)
        log->epochs_dirty |= leader_epochs_cut_start(&log->epochs, start_offset);
    return status;
}

static enum log_status note_producer(struct log *log, const struct segment_scan *scan)
{
    producer_state_note(&log->producers, &scan->view);
    return LOG_OK;
}

/* Loads the newest snapshot at or below end_offset that can be read; returns its offset, or 0. */
static int64_t read_snapshot(struct log *log, const int64_t *snapshots, size_t count, int64_t end_offset)
{
    for (size_t i = count; i > 0; i--) {
        struct producer_snapshot_entry *entries;
        size_t entry_count;
        if (snapshots[i - 1] > end_offset)
            continue;
        if (producer_snapshot_read(log->env->files, log->path, snapshots[i - 1], &entries, &entry_count) !=
            FILE_OK) {
            note_warn("log.snapshot_ignored", "log=%s offset=%lld reason=damaged", log->name,
                      (long long)snapshots[i - 1]);
            continue;
        }
        for (size_t k = 0; k < entry_count; k++)
            producer_state_put(&log->producers, &entries[k]);
        free(entries);
        return snapshots[i - 1];
    }
    return 0;
}

enum log_status log__load_producers(struct log *log, const int64_t *snapshots, size_t snapshot_count,
                                    int64_t end_offset)
{
    struct segment_list *list = log__segments(log);
    int64_t from = read_snapshot(log, snapshots, snapshot_count, end_offset);
    enum log_status status = LOG_OK;
    if (from >= end_offset)
        return LOG_OK;
    for (size_t i = segment_list_find(list, from); i < list->count && status == LOG_OK; i++)
        status = walk_segment(log, list->items[i], from, note_producer);
    return status;
}

struct pending_snapshot *log__take_snapshot(struct log *log, int64_t offset)
{
    struct pending_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot || !producer_state_is_complete(log->producers))
        goto failed;
    snapshot->offset = offset;
    snapshot->count = producer_state_count(log->producers);
    snapshot->entries = producer_state_entries(log->producers);
    if (snapshot->count > 0 && !snapshot->entries)
        goto failed;
    return snapshot;
failed:
    free(snapshot);
    return NULL;
}

void log__free_snapshot(struct pending_snapshot *snapshot)
{
    if (snapshot)
        free(snapshot->entries);
    free(snapshot);
}

enum log_status log__write_snapshot(struct log *log, struct pending_snapshot *snapshot)
{
    if (!snapshot)
        return LOG_OK;
    enum file_status status = producer_snapshot_write(log->env->files, log->path, snapshot->offset,
                                                      snapshot->entries, snapshot->count);
    log__free_snapshot(snapshot);
    return log__status_of(status);
}
