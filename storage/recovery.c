/* Opening the directory of a log: what is trusted, what is scanned, what is cut or quarantined. */
#include "storage/recovery.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/load_notes.h"
#include "storage/log_directory.h"
#include "storage/log_history.h"
#include "storage/log_producers.h"
#include "storage/log_transactions.h"
#include "storage/quarantine_file.h"
#include "storage/segment_load.h"
#include "storage/segment_tail.h"

/* One opening. */
struct opening {
    struct log *log;
    const struct recovery_plan *plan;
    struct log_directory directory;
    struct segment_list *list;
    struct log_recovery result;
    int64_t end_offset;
    size_t first_loaded; /* index of the first segment that was walked */
    struct load_notes notes;
};

static void free_segments(struct segment_list *list)
{
    for (size_t i = 0; list && i < list->count; i++) {
        if (list->items[i])
            segment_destroy(list->items[i]);
    }
    free(list);
}

/* All segments of the directory with their sizes; indexes of all are taken to be on disk for now. */
static enum log_status make_segments(struct opening *opening)
{
    struct log *log = opening->log;
    size_t count = opening->directory.segment_count;
    opening->list = segment_list_create(count);
    if (!opening->list)
        return LOG_LIMIT;
    memset(opening->list->items, 0, count * sizeof opening->list->items[0]);
    for (size_t i = 0; i < count; i++) {
        const struct segment_files *files = &opening->directory.segments[i];
        struct segment *segment = segment_create(files->base_offset);
        char path[SEGMENT_PATH_MAX];
        struct file_info info;
        if (!segment)
            return LOG_LIMIT;
        opening->list->items[i] = segment;
        segment_path(&log->home, files->base_offset, ".log", path);
        enum file_status status = file_info(log->env->files, path, &info);
        if (status != FILE_OK)
            return log__status_of(status);
        if (!info.is_regular || info.size > INT32_MAX) {
            note_error("log.unusable", "log=%s file=%s reason=not_a_segment", log->name, path);
            return LOG_IO;
        }
        atomic_store(&segment->size, (uint32_t)info.size);
        atomic_store(&segment->written_from, (uint32_t)info.size);
        atomic_store(&segment->offsets.disk_count, UINT32_MAX); /* as many as the file holds */
        atomic_store(&segment->times.disk_count, UINT32_MAX);
        atomic_store(&segment->offsets.on_disk, true);
        atomic_store(&segment->times.on_disk, true);
        segment->flushed = true;
        atomic_store(&segment->sealed, true);
    }
    return LOG_OK;
}

/* Whether the files are those of the row; batches are looked at later. */
static bool is_as_row_says(const struct opening *opening)
{
    const struct log_row *row = opening->plan->row;
    const struct segment_list *list = opening->list;
    uint64_t size = 0;
    if (!row)
        return true;
    for (size_t i = 0; i < list->count; i++)
        size += atomic_load(&list->items[i]->size);
    return list->count == row->segment_count && size == row->size &&
           list->items[list->count - 1]->base_offset == row->active_base &&
           atomic_load(&list->items[list->count - 1]->size) == row->active_size;
}

/* Where walking begins: the last segment after a clean stop, else the one that was active at the durable
 * end: its indexes may never have been flushed, even when the next one begins at that very offset. */
static size_t first_to_load(const struct opening *opening)
{
    const struct log_position *durable = &opening->plan->durable;
    if (!opening->plan->unclean)
        return opening->list->count - 1;
    if (durable->segment_base >= 0)
        return segment_list_find(opening->list, durable->segment_base);
    size_t i = segment_list_find(opening->list, durable->offset);
    return i > 0 && opening->list->items[i]->base_offset == durable->offset ? i - 1 : i;
}

/* Whether the place of the durable end is known, and inside this segment as it is now. */
static bool place_is_known(const struct opening *opening, const struct segment *segment)
{
    const struct log_position *durable = &opening->plan->durable;
    return opening->plan->unclean && durable->segment_base == segment->base_offset &&
           durable->position <= atomic_load(&((struct segment *)segment)->size);
}

/* Removes the files of segments from index on, the last one first: should the power fail in between, what
 * is left is still torn at the same place. */
static enum log_status drop_segments_from(struct opening *opening, size_t index, const char *reason)
{
    static const char *const suffixes[] = { ".log", ".index", ".timeindex", ".txnindex" };
    struct log *log = opening->log;
    if (index >= opening->list->count)
        return LOG_OK;
    for (size_t i = opening->list->count; i > index; i--) {
        struct segment *segment = opening->list->items[i - 1];
        note_warn("log.segment_dropped", "log=%s base_offset=%lld size=%u reason=%s", log->name,
                  (long long)segment->base_offset, atomic_load(&segment->size), reason);
        opening->result.cut_size += atomic_load(&segment->size);
        for (size_t k = 0; k < sizeof suffixes / sizeof suffixes[0]; k++) {
            char path[SEGMENT_PATH_MAX];
            segment_path(&log->home, segment->base_offset, suffixes[k], path);
            enum file_status status = file_unlink(log->env->files, path);
            if (status != FILE_OK && status != FILE_NOT_FOUND)
                return log__status_of(status);
        }
        segment_destroy(segment);
        opening->list->items[i - 1] = NULL;
        opening->list->count = i - 1;
    }
    return log__status_of(file_flush_directory(log->env->files, log->path));
}

/* Offsets that were durable and are in no file any more must neither be given out again nor answered
 * as if they were empty. */
static enum log_status quarantine_hole(struct opening *opening, struct segment *segment, int64_t first,
                                       int64_t next)
{
    uint32_t size = atomic_load(&segment->size);
    load_notes_void(&opening->notes);
    note_error("log.quarantined", "log=%s first_offset=%lld next_offset=%lld reason=missing",
               opening->log->name, (long long)first, (long long)next);
    opening->result.quarantined_count++;
    return segment_add_quarantine(segment, opening->log->env->retire,
                                  (struct quarantine_range){ first, next, size, size })
               ? LOG_OK
               : LOG_LIMIT;
}

/* The newest leader epoch, where that is known. */
static int32_t epoch_max_of(const struct recovery_plan *plan)
{
    return plan->row ? plan->row->leader_epoch : INT32_MAX;
}

static enum log_status load_one(struct opening *opening, size_t i, struct segment_load *load)
{
    const struct recovery_plan *plan = opening->plan;
    struct segment *segment = opening->list->items[i];
    bool known = place_is_known(opening, segment);
    uint32_t size = atomic_load(&segment->size);
    *load = (struct segment_load){
        .log = opening->log,
        .segment = segment,
        /* Indexes of segments that grew are in no flush group: any sector of them may be old. */
        .trusted_size = plan->unclean ? 0 : size,
        .checked_from = plan->unclean ? (known ? plan->durable.position : 0) : UINT32_MAX,
        .next_base = i + 1 < opening->list->count ? opening->list->items[i + 1]->base_offset : INT64_MAX,
        .proven = plan->proven,
        .contiguous = plan->unclean && plan->durable.segment_base >= 0,
        .epoch_max = epoch_max_of(plan),
        .notes = &opening->notes,
    };
    atomic_store(&segment->offsets.on_disk, false);
    atomic_store(&segment->times.on_disk, false);
    enum log_status status = segment_load(load);
    opening->result.scanned_size += load->scanned_size;
    opening->result.quarantined_count += load->quarantined_count;
    return status;
}

/* Cuts what follows kept_size. After a clean stop no byte is changed: log_prepare() cuts before it appends.
 */
static enum log_status cut(struct opening *opening, struct segment *segment, uint32_t kept_size)
{
    uint32_t size = atomic_load(&segment->size);
    enum file_status status = FILE_OK;
    if (size == kept_size)
        return LOG_OK;
    note_warn("log.tail_cut", "log=%s segment=%lld position=%u size=%u reason=torn_batch", opening->log->name,
              (long long)segment->base_offset, kept_size, size - kept_size);
    opening->result.cut_size += size - kept_size;
    atomic_store(&segment->size, kept_size);
    if (opening->plan->unclean)
        status = segment_tail_cut(atomic_load(&segment->data)->file, kept_size);
    return log__status_of(status);
}

/* Only a recovery looks at all that it loads. */
static void begin_notes(struct opening *opening)
{
    const struct recovery_plan *plan = opening->plan;
    load_notes_end(&opening->notes);
    if (plan->unclean && !plan->row)
        load_notes_begin(&opening->notes, opening->log, &opening->directory,
                         opening->list->items[opening->first_loaded]->base_offset, plan->durable.offset);
}

/* Batches whose headers are not to be believed were noted like others. */
static void judge_notes(struct opening *opening)
{
    for (size_t i = opening->first_loaded; i < opening->list->count; i++) {
        if (atomic_load(&opening->list->items[i]->quarantine))
            load_notes_void(&opening->notes);
    }
}

/* Walks segments from first_loaded on and decides on what is torn. */
static enum log_status load_segments(struct opening *opening)
{
    const struct recovery_plan *plan = opening->plan;
    bool ours = plan->unclean && plan->durable.segment_base >= 0;
    enum log_status status = LOG_OK;
    opening->first_loaded = first_to_load(opening);
    begin_notes(opening);
    for (size_t i = opening->first_loaded; i < opening->list->count && status == LOG_OK; i++) {
        struct segment_load load;
        struct segment *segment = opening->list->items[i];
        status = load_one(opening, i, &load);
        if (status != LOG_OK)
            return status;
        /* Without the cleaner's gaps, a segment that ends early was cut by the power, at a batch. */
        bool gap = ours && load.next_base != INT64_MAX && load.next_offset < load.next_base;
        if (load.is_torn || (gap && load.next_offset >= plan->proven))
            status = drop_segments_from(opening, i + 1, "behind_torn_tail");
        if (status == LOG_OK)
            status = cut(opening, segment, load.kept_size);
        bool is_last = i + 1 == opening->list->count;
        int64_t next = is_last ? INT64_MAX : opening->list->items[i + 1]->base_offset;
        if (plan->proven != INT64_MAX && plan->proven < next)
            next = plan->proven;
        if (status == LOG_OK && (is_last || gap) && next != INT64_MAX && load.next_offset < next) {
            status = quarantine_hole(opening, segment, load.next_offset, next);
            load.next_offset = next;
        }
        opening->end_offset = load.next_offset;
    }
    return status;
}

/* A sealed segment whose index file is missing gets a new one, as Kafka makes one. */
static enum log_status load_missing_indexes(struct opening *opening)
{
    enum log_status status = LOG_OK;
    for (size_t i = 0; i < opening->first_loaded && status == LOG_OK; i++) {
        const struct segment_files *files = &opening->directory.segments[i];
        struct segment *segment = opening->list->items[i];
        struct segment_load load = {
            .log = opening->log,
            .segment = segment,
            .checked_from = UINT32_MAX,
            .next_base = opening->list->items[i + 1]->base_offset,
            .proven = INT64_MAX,
            .epoch_max = INT32_MAX,
        };
        if (files->has_offset_index && files->has_time_index)
            continue;
        note_warn("log.index_rebuilt", "log=%s base_offset=%lld reason=missing", opening->log->name,
                  (long long)segment->base_offset);
        atomic_store(&segment->offsets.on_disk, false);
        atomic_store(&segment->times.on_disk, false);
        status = segment_load(&load);
        segment_seal(segment, opening->log->env->retire);
        opening->log->changed = true; /* saved at the next flush or close */
    }
    return status;
}

/* Who was killed had no time to. */
static void give_ahead(const struct opening *opening)
{
    for (size_t i = opening->first_loaded; i < opening->list->count; i++) {
        struct open_file *data = atomic_load(&opening->list->items[i]->data);
        if (data)
            (void)file_give_ahead(data->file);
    }
}

/* Whether all that was found is known to be on the device already: then a stop by a kill costs no flush. */
static bool is_all_durable(const struct opening *opening)
{
    const struct log_position *durable = &opening->plan->durable;
    const struct segment *active = opening->list->items[opening->list->count - 1];
    return durable->offset > 0 && durable->offset == opening->end_offset &&
           durable->segment_base == active->base_offset && durable->position == active->growth.size &&
           opening->result.cut_size == 0;
}

/* What follows from the batches alone. */
static enum file_status save_derived(struct log *log, struct segment *segment)
{
    bool is_made;
    enum file_status status = segment_save_indexes(segment, &log->home, 0);
    if (status == FILE_OK)
        status = txn_index_save(&segment->aborted, &log->home, segment->base_offset, &is_made);
    if (status == FILE_OK)
        status = txn_index_flush(&segment->aborted, &log->home);
    return status;
}

/* The indexes of a segment that is not the active one are on the device, and need no memory any more. */
static enum file_status settle_sealed(struct log *log, struct segment *segment)
{
    enum file_status status = file_flush(segment->offsets.file->file);
    if (status == FILE_OK)
        status = file_flush(segment->times.file->file);
    segment_index_leave_to_disk(&segment->offsets, log->env->retire);
    segment_index_leave_to_disk(&segment->times, log->env->retire);
    segment->flushed = true;
    segment_close_files(segment, &log->home);
    return status;
}

/* Everything that was kept is on the device before anything relies on it. A full disk keeps nobody from
 * reading: what there is no room for stays in memory, with all that follows, until a later flush. */
static enum log_status flush_kept(struct opening *opening)
{
    struct log *log = opening->log;
    enum file_status status = FILE_OK;
    bool is_full = false;
    for (size_t i = opening->first_loaded; i < opening->list->count && status == FILE_OK; i++) {
        struct segment *segment = opening->list->items[i];
        bool is_active = i + 1 == opening->list->count;
        status = file_flush(atomic_load(&segment->data)->file);
        if (status == FILE_OK && !is_full)
            status = save_derived(log, segment);
        if (status == FILE_FULL)
            is_full = true;
        if (is_full && status != FILE_IO)
            status = FILE_OK;
        if (is_full) {
            segment->flushed = false;
            log__drop_index_files(log, segment);
        } else if (status == FILE_OK && !is_active) {
            status = settle_sealed(log, segment);
        }
    }
    if (status == FILE_OK)
        status = file_flush_directory(log->env->files, log->path);
    if (status == FILE_OK)
        status = file_flush_directory(log->env->files, log->parent);
    return log__status_of(status);
}

/* A directory without any .log: the first segment is made here, as Kafka does. */
static enum log_status make_first_segment(struct opening *opening)
{
    int64_t base = opening->plan->start_offset > 0 ? opening->plan->start_offset : 0;
    if (opening->plan->durable.offset > base)
        base = opening->plan->durable.offset; /* offsets that were given out are not given out again */
    char path[SEGMENT_PATH_MAX];
    struct file *file;
    segment_path(&opening->log->home, base, ".log", path);
    enum file_status status =
        file_open(opening->log->env->files, path, FILE_READ | FILE_WRITE | FILE_CREATE, &file);
    if (status != FILE_OK)
        return log__status_of(status);
    file_close(file);
    opening->directory.segments[0] = (struct segment_files){ .base_offset = base };
    opening->directory.segment_count = 1;
    return LOG_OK;
}

static void publish(struct opening *opening)
{
    struct log *log = opening->log;
    struct segment_list *list = opening->list;
    struct segment *active = list->items[list->count - 1];
    int64_t start = list->items[0]->base_offset;
    if (opening->plan->start_offset > start)
        start = opening->plan->start_offset;
    struct log_moment m = {
        .start = start,
        .high_watermark = opening->end_offset,
        .high_watermark_base = active->base_offset,
        .high_watermark_position = active->growth.size,
        .durable = opening->end_offset,
        .end = opening->end_offset,
        .end_base = active->base_offset,
        .end_position = active->growth.size,
        .leader_epoch =
            opening->end_offset > start ? leader_epochs_at(&log->epochs, opening->end_offset - 1) : -1,
    };
    log->durable = (struct log_position){ m.end, m.end_base, m.end_position };
    log__publish(log, &m);
}

/* Learns which transactions are open at the end. Under prepare_mutex; what is published has the list already.
 */
static enum log_status load_open_transactions(struct opening *opening)
{
    struct log *log = opening->log;
    int64_t first_open;
    bool has_none = uuid_equal(log->topic_id, UUID_ONE); /* nobody produces metadata */
    if (opening->plan->row || opening->plan->untouched || (has_none && !opening->plan->unclean))
        return LOG_OK; /* the row says it */
    enum log_status status = LOG_NOT_FOUND;
    if (!opening->plan->unclean)
        status = log__read_first_open(log, opening->end_offset, &first_open);
    if (status == LOG_NOT_FOUND)
        return log__load_noted_producers(log, &opening->directory, &opening->notes);
    if (status == LOG_OK) {
        pthread_mutex_lock(&log->mutex);
        log->first_open = first_open;
        struct log_moment m = log__moment(log);
        log__publish(log, &m);
        pthread_mutex_unlock(&log->mutex);
    }
    return status;
}

/* Until the producers can be read (log_prepare() asks for them again), nothing counts as committed. */
static void distrust_all(struct opening *opening)
{
    struct log *log = opening->log;
    note_error("log.transactions_unknown",
               "log=%s effect=\"nothing is committed to consumers of transactions\"", log->name);
    pthread_mutex_lock(&log->mutex);
    log->first_open = 0;
    struct log_moment m = log__moment(log);
    log__publish(log, &m);
    pthread_mutex_unlock(&log->mutex);
}

/* Everything that is there was deleted already, and what was not is lost: the log is empty and goes on at its
 * start offset, as in Kafka, in a segment that begins there. A gap inside a segment would be taken for damage
 * by the next recovery. */
static enum log_status restart_at_start(struct opening *opening)
{
    enum log_status status = drop_segments_from(opening, 0, "below_log_start");
    free(opening->list);
    opening->list = NULL;
    opening->directory.segment_count = 0;
    if (status == LOG_OK)
        status = make_first_segment(opening);
    if (status == LOG_OK)
        status = make_segments(opening);
    return status == LOG_OK ? load_segments(opening) : status;
}

static bool is_empty_file(struct log *log, int64_t base_offset, const char *suffix)
{
    struct file_info info;
    char path[SEGMENT_PATH_MAX];
    segment_path(&log->home, base_offset, suffix, path);
    return file_info(log->env->files, path, &info) == FILE_OK && info.is_regular && info.size == 0;
}

/* Most logs are so small that nothing is in their indexes: those files are neither opened nor held open. */
static bool has_empty_indexes(struct log *log, const struct segment *active)
{
    return segment_index_count(&active->offsets) == 0 && segment_index_count(&active->times) == 0 &&
           is_empty_file(log, active->base_offset, ".index") &&
           is_empty_file(log, active->base_offset, ".timeindex");
}

static enum log_status save_active_indexes(struct log *log, struct segment *active)
{
    if (has_empty_indexes(log, active))
        return LOG_OK;
    enum file_status status = segment_save_indexes(active, &log->home, 0);
    return status == FILE_FULL ? LOG_OK : log__status_of(status); /* saved with a later flush */
}

static enum log_status open_directory(struct opening *opening)
{
    struct log *log = opening->log;
    enum log_status status = LOG_OK;
    if (opening->directory.segment_count == 0 && opening->plan->row)
        return LOG_CORRUPT;
    if (opening->directory.segment_count == 0)
        status = opening->plan->untouched ? LOG_NOT_FOUND : make_first_segment(opening);
    if (status == LOG_OK)
        status = make_segments(opening);
    if (status == LOG_OK && !is_as_row_says(opening))
        status = LOG_CORRUPT;
    if (status == LOG_OK)
        status = load_segments(opening);
    if (status == LOG_OK)
        status = load_missing_indexes(opening);
    if (status == LOG_OK && opening->end_offset < opening->plan->start_offset)
        status = restart_at_start(opening);
    if (status != LOG_OK)
        return status;
    struct segment *active = opening->list->items[opening->list->count - 1];
    for (size_t i = opening->first_loaded; i + 1 < opening->list->count; i++)
        segment_seal(opening->list->items[i], log->env->retire);
    atomic_store(&active->sealed, false);
    active->flushed = false;
    if (opening->directory.has_quarantine)
        status = quarantine_file_read(log, opening->list, opening->plan->proven);
    judge_notes(opening);
    if (status == LOG_OK)
        status = log__load_aborted(log, opening->list, &opening->directory, opening->plan->unclean,
                                   opening->first_loaded);
    if (status != LOG_OK || !opening->plan->unclean)
        return status;
    if (opening->directory.has_quarantine || opening->result.quarantined_count > 0)
        quarantine_file_write(log, opening->list);
    give_ahead(opening);
    return is_all_durable(opening) ? save_active_indexes(log, active) : flush_kept(opening);
}

enum log_status log__load(struct log *log, const struct recovery_plan *plan, struct log_recovery *out)
{
    struct opening opening = { .log = log, .plan = plan };
    enum log_status status =
        log__status_of(log_directory_load(&log->home, plan->unclean || plan->tidy, &opening.directory));
    if (status != LOG_OK)
        return status;
    status = open_directory(&opening);
    if (status != LOG_OK)
        goto failed;
    pthread_mutex_lock(&log->mutex);
    atomic_store_explicit(&log->segments, opening.list, memory_order_release);
    int64_t start = plan->start_offset > opening.list->items[0]->base_offset
                        ? plan->start_offset
                        : opening.list->items[0]->base_offset;
    status = log__load_epochs(log, start, opening.end_offset, epoch_max_of(plan), &opening.notes);
    if (status == LOG_OK)
        publish(&opening);
    else
        atomic_store_explicit(&log->segments, NULL, memory_order_release);
    pthread_mutex_unlock(&log->mutex);
    if (status != LOG_OK)
        goto failed;
    if (load_open_transactions(&opening) != LOG_OK)
        distrust_all(&opening);
    log_directory_free(&opening.directory);
    load_notes_end(&opening.notes);
    log__set_open(log);
    if (out)
        *out = opening.result;
    return LOG_OK;
failed:
    free_segments(opening.list);
    log_directory_free(&opening.directory);
    load_notes_end(&opening.notes);
    return status;
}

/* Puts the index entries that a walk made into the segment, when it is sealed. The active one's are right. */
static enum log_status take_entries(struct log *log, struct segment *segment, struct segment *walked)
{
    bool ok = true;
    pthread_mutex_lock(&log->mutex);
    if (atomic_load(&segment->sealed)) {
        struct index_block *offsets = atomic_load(&walked->offsets.block),
                           *times = atomic_load(&walked->times.block);
        ok = segment_index_assign(&segment->offsets, log->env->retire, offsets ? offsets->bytes : NULL,
                                  segment_index_count(&walked->offsets)) &&
             segment_index_assign(&segment->times, log->env->retire, times ? times->bytes : NULL,
                                  segment_index_count(&walked->times));
    }
    pthread_mutex_unlock(&log->mutex);
    return ok ? LOG_OK : LOG_LIMIT;
}

/* Quarantines what a walk found to be damaged. */
static enum log_status take_damage(struct log *log, struct segment *segment, const struct segment *walked)
{
    const struct quarantine *damage = atomic_load(&((struct segment *)(uintptr_t)walked)->quarantine);
    for (uint32_t i = 0; damage && i < damage->count; i++) {
        if (!segment_add_quarantine(segment, log->env->retire, damage->ranges[i]))
            return LOG_LIMIT;
    }
    return LOG_OK;
}

enum log_status log__examine(struct log *log, struct segment *segment, int64_t next_base)
{
    struct log_moment m = log__moment(log);
    bool is_end = segment->base_offset == m.end_base;
    struct segment *walked = segment_create(segment->base_offset);
    if (!walked)
        return LOG_LIMIT;
    note_warn("log.examined", "log=%s base_offset=%lld reason=odd_read", log->name,
              (long long)segment->base_offset);
    atomic_store(&walked->size, is_end ? m.end_position : atomic_load(&segment->size));
    struct segment_load load = {
        .log = log,
        .segment = walked,
        .next_base = is_end ? m.end : next_base,
        .proven = INT64_MAX,
        .epoch_max = m.leader_epoch,
    };
    enum log_status status = segment_load(&load);
    segment_add_final_time_entry(walked, log->env->retire);
    /* All is right but for the gaps: whatever the log's policy is today, it was compacted once. */
    if (status == LOG_OK && load.has_gaps && load.quarantined_count == 0)
        log__note_gaps(log);
    if (status == LOG_OK)
        status = take_entries(log, segment, walked);
    if (status == LOG_OK)
        status = take_damage(log, segment, walked);
    if (status == LOG_OK)
        quarantine_file_write(log, log__segments(log));
    segment_destroy(walked);
    return status;
}

enum log_status log__open_clean(struct log *log, int64_t start_offset)
{
    struct recovery_plan plan = {
        .durable = LOG_POSITION_OF_OFFSET(0), .proven = INT64_MAX, .tidy = true, .start_offset = start_offset
    };
    pthread_mutex_lock(&log->prepare_mutex);
    enum log_status status = log__load(log, &plan, NULL);
    pthread_mutex_unlock(&log->prepare_mutex);
    return status;
}

enum log_status log__open_untouched(struct log *log)
{
    struct recovery_plan plan = {
        .durable = LOG_POSITION_OF_OFFSET(0), .proven = INT64_MAX, .start_offset = -1, .untouched = true
    };
    pthread_mutex_lock(&log->prepare_mutex);
    enum log_status status = log__load(log, &plan, NULL);
    pthread_mutex_unlock(&log->prepare_mutex);
    return status;
}

static bool is_as_stopped(const struct log *log, const struct log_row *row)
{
    struct log_directory directory;
    struct file_info info;
    char path[SEGMENT_PATH_MAX];
    if (log_directory_load(&log->home, false, &directory) != FILE_OK)
        return false;
    bool is_newest = directory.segment_count > 0 &&
                     directory.segments[directory.segment_count - 1].base_offset == row->active_base;
    log_directory_free(&directory);
    segment_path(&log->home, row->active_base, ".log", path);
    return is_newest && file_info(log->env->files, path, &info) == FILE_OK && info.size == row->active_size;
}

enum log_status log__open_unchanged(struct log *log, const struct log_row *row)
{
    struct recovery_plan plan = { .durable = LOG_POSITION_OF_OFFSET(0),
                                  .proven = row->end_offset,
                                  .start_offset = row->start_offset };
    pthread_mutex_lock(&log->prepare_mutex);
    enum log_status status = is_as_stopped(log, row) ? log__load(log, &plan, NULL) : LOG_NOT_FOUND;
    pthread_mutex_unlock(&log->prepare_mutex);
    return status;
}

enum log_status log__recover(struct log *log, struct log_position durable, int64_t start_offset,
                             struct log_recovery *out)
{
    struct recovery_plan plan = {
        .unclean = true, .durable = durable, .proven = durable.offset, .start_offset = start_offset
    };
    struct log_recovery unused;
    pthread_mutex_lock(&log->prepare_mutex);
    enum log_status status = log__load(log, &plan, out ? out : &unused);
    if (status == LOG_OK) {
        log->changed = true;
        if (log->epochs_dirty)
            status = log__save_epochs(log);
        /* They were read from the batches, and will be again; log_prepare() saves them before an append. So a
         * full disk keeps nobody from reading. */
        if (status == LOG_DISK_FULL)
            status = LOG_OK;
    }
    pthread_mutex_unlock(&log->prepare_mutex);
    return status;
}
