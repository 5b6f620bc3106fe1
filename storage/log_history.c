/* What a log knows of its past besides the batches: leader epochs, read and repaired. */
#include "storage/log_history.h"

#include <stdlib.h>

#include "protocol/base/note.h"
#include "protocol/batch_mend.h"
#include "storage/checkpoint.h"
#include "storage/segment_scan.h"

/* The leader epoch of the first batch in the segment, or -1: empty or unreadable. */
static int32_t first_epoch(struct log *log, struct segment *segment)
{
    enum file_status status;
    uint8_t bytes[BATCH_HEADER_SIZE];
    size_t got;
    struct batch_head head;
    uint32_t size = atomic_load(&segment->size);
    struct open_file *own, *data = segment_look(segment, &log->home, &own, &status);
    int32_t epoch = -1;
    if (data && size >= sizeof bytes && file_pread(data->file, bytes, sizeof bytes, 0, &got) == FILE_OK &&
        got == sizeof bytes && batch_head_read(bytes, size, &head))
        epoch = head.leader_epoch;
    if (own)
        pin_drop(&own->pin);
    return epoch;
}

/* A batch in memory, for a scan. */
struct kept_batch {
    uint8_t bytes[BATCH_MEND_SIZE_MAX];
    uint64_t position;
};

static enum file_status read_kept(struct segment_scan *scan, void *out, size_t size, uint64_t position,
                                  size_t *got)
{
    const struct kept_batch *kept = scan->context;
    memcpy(out, kept->bytes + (position - kept->position), size);
    *got = size;
    return FILE_OK;
}

/* Visits the range's batch as it was before a bit of it was flipped; *is_visited false: more of it is wrong.
 */
static enum log_status visit_mended(struct log_walk *walk, const struct segment_scan *scan,
                                    const struct quarantine_range *range, struct kept_batch *kept,
                                    bool *is_visited)
{
    struct segment_scan here;
    size_t got, size = range->end_position - range->position;
    *is_visited = false;
    if (size > sizeof kept->bytes ||
        file_pread(scan->file, kept->bytes, size, range->position, &got) != FILE_OK || got != size ||
        !batch_mend(kept->bytes, size, range->first, range->next))
        return LOG_OK;
    kept->position = range->position;
    if (!segment_scan_begin(&here, scan->file, range->position, range->end_position, range->first, true))
        return LOG_LIMIT;
    here.read = read_kept;
    here.context = kept;
    enum log_status status = LOG_OK;
    *is_visited = segment_scan_next(&here) == SCAN_BATCH;
    if (*is_visited)
        status = walk->visit(walk, &here);
    segment_scan_end(&here);
    return status;
}

/* Whether the header of a damaged batch fits its place, and more than one field of it says that it has
 * records: so it is the end of no transaction. */
static bool has_records(const struct segment_scan *scan, const struct quarantine_range *range)
{
    uint8_t bytes[BATCH_HEADER_SIZE];
    size_t got;
    struct batch_head head;
    uint64_t size = range->end_position - range->position;
    if (size < sizeof bytes ||
        file_pread(scan->file, bytes, sizeof bytes, range->position, &got) != FILE_OK ||
        got != sizeof bytes || !batch_head_read(bytes, size, &head) || head.size != size ||
        head.base_offset != range->first || head.last_offset + 1 != range->next)
        return false;
    uint16_t attributes = load_be16(bytes + BATCH_ATTRIBUTES);
    bool is_transactional = (attributes & BATCH_ATTRIBUTE_TRANSACTIONAL) != 0;
    bool has_sequence = (int32_t)load_be32(bytes + BATCH_BASE_SEQUENCE) >= 0;
    return !(attributes & BATCH_ATTRIBUTE_CONTROL) && (!is_transactional || has_sequence);
}

/* The scan stands before a range that is quarantined: visits what can be, and goes on behind it. */
static enum log_status pass_range(struct log_walk *walk, struct segment_scan *scan,
                                  const struct quarantine_range *range)
{
    enum log_status status = LOG_OK;
    if (walk->damaged && range->next > walk->from) {
        bool is_visited = false;
        struct kept_batch *kept = malloc(sizeof *kept);
        if (!kept)
            return LOG_LIMIT;
        status = visit_mended(walk, scan, range, kept, &is_visited);
        free(kept);
        if (status == LOG_OK && !is_visited && !has_records(scan, range))
            status = walk->damaged(walk, range);
    }
    scan->position = range->end_position;
    scan->expected = range->next;
    return status;
}

/* The range with bytes that begins where the scan stands; NULL: none does. */
static const struct quarantine_range *range_at(const struct quarantine *quarantine,
                                               const struct segment_scan *scan)
{
    for (uint32_t i = 0; quarantine && i < quarantine->count; i++) {
        const struct quarantine_range *range = &quarantine->ranges[i];
        if (range->position == scan->position && range->end_position > range->position)
            return range;
    }
    return NULL;
}

static enum log_status walk_data(struct log_walk *walk, struct segment *segment, struct open_file *data)
{
    struct log *log = walk->log;
    char path[SEGMENT_PATH_MAX];
    struct index_view view;
    struct offset_entry entry = { 0, 0 };
    struct segment_scan scan;
    /* An index in memory is believed; one on disk may be older than a repair. */
    segment_path(&log->home, segment->base_offset, ".index", path);
    if (!atomic_load(&segment->offsets.on_disk) &&
        segment_index_view(&segment->offsets, &log->home, path, true, &view) == INDEX_OK) {
        (void)offset_index_find(&view, walk->from - segment->base_offset, &entry);
        index_view_close(&view);
    }
    if (!segment_scan_begin(&scan, data->file, entry.position, atomic_load(&segment->size),
                            segment->base_offset, false))
        return LOG_LIMIT;
    enum log_status status = LOG_OK;
    const struct quarantine *quarantine = atomic_load(&segment->quarantine);
    while (status == LOG_OK) {
        const struct quarantine_range *range = range_at(quarantine, &scan);
        if (range && range->first >= walk->until)
            break;
        if (range) {
            status = pass_range(walk, &scan, range);
            continue;
        }
        enum scan_result result = segment_scan_next(&scan);
        if (result == SCAN_BATCH && scan.head.base_offset >= walk->until)
            break;
        if (result == SCAN_BATCH && quarantine_find(quarantine, scan.head.base_offset))
            continue; /* its header is not to be believed either */
        if (result == SCAN_BATCH && scan.head.last_offset >= walk->from)
            status = walk->visit(walk, &scan);
        else if (result == SCAN_IO && walk->io_fails)
            status = LOG_IO;
        else if (result == SCAN_DAMAGED && !segment_scan_resync(&scan))
            break;
        else if (result == SCAN_END || result == SCAN_IO)
            break;
    }
    segment_scan_end(&scan);
    return status;
}

enum log_status log__walk_segment(struct log_walk *walk, struct segment *segment)
{
    enum file_status file_status;
    struct open_file *own, *data = segment_look(segment, &walk->log->home, &own, &file_status);
    if (!data)
        return log__status_of(file_status);
    enum log_status status = walk_data(walk, segment, data);
    if (own)
        pin_drop(&own->pin);
    return status;
}

static enum log_status note_epoch(struct log_walk *walk, const struct segment_scan *scan)
{
    struct log *log = walk->log;
    if (scan->head.leader_epoch <= leader_epochs_latest(&log->epochs) ||
        scan->head.leader_epoch > walk->epoch_max)
        return LOG_OK;
    if (!leader_epochs_reserve(&log->epochs))
        return LOG_LIMIT;
    leader_epochs_assign(&log->epochs, scan->head.leader_epoch, scan->head.base_offset);
    log->epochs_dirty = true;
    return LOG_OK;
}

enum log_status log__load_epochs(struct log *log, int64_t start_offset, int64_t end_offset, int32_t epoch_max,
                                 const struct load_notes *notes)
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
        bool has_memory;
        if (load_notes_put_epochs(notes, list->items[i], known, epoch_max, &has_memory)) {
            status = has_memory ? LOG_OK : LOG_LIMIT;
            continue;
        }
        /* The end of the active segment is what an unwritten file does not know. */
        struct log_walk walk = {
            .log = log, .from = known, .until = INT64_MAX, .visit = note_epoch, .epoch_max = epoch_max
        };
        status = log__walk_segment(&walk, list->items[i]);
    }
    if (status == LOG_OK)
        log->epochs_dirty |= leader_epochs_cut_start(&log->epochs, start_offset);
    return status;
}
