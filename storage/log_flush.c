/* Flushing a log, and closing it so that nothing is left to do: group commit's part, LRU, clean stop. */
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/log_producers.h"
#include "storage/producer_snapshot.h"
#include "storage/producer_state.h"

static void hold(struct log_flush *flush, struct open_file *file)
{
    check(flush->file_count < LOG_FLUSH_FILES_MAX);
    pin_take(&file->pin);
    flush->held[flush->file_count] = file;
    flush->files[flush->file_count++] = file->file;
}

/* The index of the oldest segment that waits for a flush. */
static size_t first_unflushed(const struct segment_list *list)
{
    size_t i = list->count - 1;
    while (i > 0 && !list->items[i - 1]->flushed)
        i--;
    return i;
}

/* Index files that could not be completed, for lack of space or descriptors, go: a missing one is rebuilt at
 * the next start, a short one would be believed. */
void log__drop_index_files(struct log *log, struct segment *segment)
{
    char path[SEGMENT_PATH_MAX];
    segment_index_close_files(&segment->offsets, &log->home);
    segment_index_close_files(&segment->times, &log->home);
    segment->offsets.saved_count = segment->times.saved_count = 0;
    txn_index_close_file(&segment->aborted, &log->home);
    segment->aborted.saved_count = 0; /* whoever misses the others does not believe this one */
    segment->aborted.is_rewritten = txn_index_count(&segment->aborted) > 0;
    segment_path(&log->home, segment->base_offset, ".index", path);
    (void)file_unlink(log->env->files, path);
    segment_path(&log->home, segment->base_offset, ".timeindex", path);
    (void)file_unlink(log->env->files, path);
    log->directory_dirty = true;
}

/* Files of sealed segments, then of the active one, as many as there is room for. */
static void collect_segments(struct log *log, struct log_flush *out)
{
    struct segment_list *list = log__segments(log);
    size_t i = first_unflushed(list);
    for (; i + 1 < list->count && out->file_count + 4 < LOG_FLUSH_FILES_MAX; i++) {
        struct segment *segment = list->items[i];
        struct open_file *data = atomic_load(&segment->data);
        enum file_status status;
        if (!data)
            data = segment_data(segment, &log->home, FILE_READ | FILE_WRITE, true, &status);
        if (!data)
            break;
        if (segment->ahead_size > 0)
            out->ahead_mask |= UINT32_C(1) << out->file_count;
        log__forget_ahead(log, segment);
        hold(out, data);
        bool is_made = false;
        if (segment_save_indexes(segment, &log->home, 0) != FILE_OK ||
            txn_index_save(&segment->aborted, &log->home, segment->base_offset, &is_made) != FILE_OK) {
            log__drop_index_files(log, segment); /* tried again with the next flush */
        } else if (segment->offsets.file) {
            hold(out, segment->offsets.file);
            hold(out, segment->times.file);
        }
        if (segment->aborted.file)
            hold(out, segment->aborted.file);
        log->directory_dirty |= is_made;
    }
    struct segment *next = list->items[i];
    struct segment *previous = i > 0 ? list->items[i - 1] : NULL;
    out->sealed_below = next->base_offset;
    out->with_active = i + 1 == list->count;
    if (out->with_active) {
        struct log_moment m = log__moment(log);
        out->end = (struct log_position){ m.end, m.end_base, m.end_position };
        if (m.end > log->durable.offset && next->growth.size > 0)
            hold(out, atomic_load(&next->data));
    } else {
        out->end = (struct log_position){ next->base_offset, previous ? previous->base_offset : -1,
                                          previous ? atomic_load(&previous->size) : 0 };
    }
}

/* Nothing is written to them any more. Without the mutex: no append waits for it. */
static void give_sealed_ahead(const struct log_flush *flush)
{
    for (size_t i = 0; i < flush->file_count; i++) {
        if (flush->ahead_mask >> i & 1)
            (void)file_give_ahead(flush->files[i]);
    }
}

bool log__flush_begin(struct log *log, struct log_flush *out)
{
    *out = (struct log_flush){ .log = log };
    pthread_mutex_lock(&log->flush_mutex);
    pthread_mutex_lock(&log->mutex);
    log->is_data_dirty = log->is_names_dirty = false;
    log->flush_due_ms = INT64_MAX;
    if (log__state(log) != LOG_OPEN || log_health(log) != LOG_OK)
        goto nothing;
    for (size_t i = 0; i < 2; i++) {
        if (log->new_files[i]) {
            hold(out, log->new_files[i]);
            pin_drop(&log->new_files[i]->pin);
            log->new_files[i] = NULL;
        }
    }
    collect_segments(log, out);
    out->size = log->unflushed_size;
    out->with_directory = log->directory_dirty;
    out->with_parent = log->parent_dirty;
    log->directory_dirty = log->parent_dirty = false;
    if (out->with_directory)
        out->directories[out->directory_count++] = log->path;
    if (out->with_parent)
        out->directories[out->directory_count++] = log->parent;
    if (out->file_count == 0 && out->directory_count == 0)
        goto nothing;
    pthread_mutex_unlock(&log->mutex);
    give_sealed_ahead(out);
    return true;
nothing:
    pthread_mutex_unlock(&log->mutex);
    pthread_mutex_unlock(&log->flush_mutex);
    return false;
}

/* Sealed segments whose files are all on the device need no descriptor and no index in memory. */
static void release_sealed(struct log *log, const struct log_flush *flush)
{
    struct segment_list *list = log__segments(log);
    size_t first = first_unflushed(list);
    for (size_t i = first; i + 1 < list->count; i++) {
        struct segment *segment = list->items[i];
        bool saved = segment->offsets.saved_count == segment_index_count(&segment->offsets) &&
                     segment->times.saved_count == segment_index_count(&segment->times) &&
                     txn_index_is_saved(&segment->aborted);
        if (segment->base_offset >= flush->sealed_below || !saved)
            break;
        segment->flushed = true;
        segment_index_leave_to_disk(&segment->offsets, log->env->retire);
        segment_index_leave_to_disk(&segment->times, log->env->retire);
        segment_index_close_files(&segment->offsets, &log->home);
        segment_index_close_files(&segment->times, &log->home);
        txn_index_close_file(&segment->aborted, &log->home);
        open_file_retire(&log->home, atomic_exchange(&segment->data, NULL));
    }
    if (first + 1 < list->count && list->items[first]->flushed)
        log__note_cleanable(log);
}

/* So many of the unflushed bytes are no more. Under the mutex. */
static void note_flushed(struct log *log, uint64_t size)
{
    uint64_t behind = log->behind_size < size ? log->behind_size : size;

    log->unflushed_size -= size;
    log->behind_size -= behind;
    if (size > 0)
        log->host->flushed(log->host, size, behind, log_is_durable_mode(log));
}

void log__flush_end(struct log *log, struct log_flush *flush, bool ok)
{
    for (size_t i = 0; i < flush->file_count; i++)
        pin_drop(&flush->held[i]->pin);
    if (ok)
        log__raise_durable(log, flush->end);
    else
        log__fail(log, LOG_IO);
    pthread_mutex_lock(&log->mutex);
    if (ok) {
        if (log__state(log) == LOG_OPEN)
            release_sealed(log, flush);
        if (flush->with_active)
            note_flushed(log, flush->size);
        else
            log__note_names_dirty(log); /* there was not room for all files */
    }
    pthread_mutex_unlock(&log->mutex);
    pthread_mutex_unlock(&log->flush_mutex);
}

/* The write-back of a step was begun, with so much of the segment after it. A flush may have been in the midst of the
 * step; what waits may lie in sealed segments, too. Under the mutex. */
static void note_behind(struct log *log, uint32_t step, uint32_t rest)
{
    uint64_t waiting = log->unflushed_size - log->behind_size;

    if (waiting <= rest)
        return;
    uint64_t told = waiting - rest < step ? waiting - rest : step;
    log->behind_size += told;
    log->host->wrote_behind(log->host, told);
}

/* A step at the end of which no folio of the cache lies across: what is being written to is left alone, as a
 * device with checksums would have the append wait for it. False: there is none. Under the mutex. */
static bool next_behind(struct log *log, struct segment *active, struct log_behind *out)
{
    uint32_t size = active->growth.size;
    uint32_t unflushed = log->unflushed_size < size ? (uint32_t)log->unflushed_size : size;
    uint32_t first = (size - unflushed) / LOG_BEHIND_SIZE * LOG_BEHIND_SIZE;

    out->position = active->behind > first ? active->behind : first;
    out->size = size - out->position >= LOG_BEHIND_SIZE ? LOG_BEHIND_SIZE : 0;
    active->behind = out->position + out->size;
    out->has_more = size - active->behind >= LOG_BEHIND_SIZE;
    out->unflushed_size = log->unflushed_size;
    out->is_due_in_time = log->flush_due_ms != INT64_MAX;
    if (!log_is_durable_mode(log))
        note_behind(log, out->size, size - active->behind);
    return out->size > 0;
}

void log__behind_begin(struct log *log, struct log_behind *out)
{
    *out = (struct log_behind){ .data = NULL };
    pthread_mutex_lock(&log->mutex);
    if (log__state(log) == LOG_OPEN && log_health(log) == LOG_OK) {
        struct segment *active = log__active(log);
        struct open_file *data = atomic_load(&active->data);
        if (data && next_behind(log, active, out)) {
            pin_take(&data->pin);
            out->data = data;
        }
    }
    log->is_growth_told = out->has_more;
    pthread_mutex_unlock(&log->mutex);
}

void log__behind_write(struct log_behind *behind)
{
    if (!behind->data)
        return;
    file_write_behind(behind->data->file, behind->position, behind->size);
    pin_drop(&behind->data->pin);
}

/* Flushes until what is appended now is durable, or the log has failed. */
static enum log_status flush_all(struct log *log)
{
    struct log_flush flush;
    while (log__flush_begin(log, &flush)) {
        enum file_status statuses[LOG_FLUSH_FILES_MAX + LOG_FLUSH_DIRECTORIES_MAX];
        bool ok = true;
        file_flush_group(log->env->files, flush.files, flush.file_count, flush.directories,
                         flush.directory_count, statuses);
        for (size_t i = 0; i < flush.file_count + flush.directory_count; i++)
            ok &= statuses[i] == FILE_OK;
        bool complete = flush.with_active;
        log__flush_end(log, &flush, ok);
        if (!ok)
            return LOG_IO;
        if (complete)
            break;
    }
    return log_health(log);
}

enum log_status log_flush(struct log *log)
{
    enum log_status status = log->host->before_flush(log->host, log);
    if (status != LOG_OK)
        return status;
    status = flush_all(log);
    if (status == LOG_IO)
        log->host->failed(log->host, log);
    return status;
}

static void fill_row(struct log *log, struct log_row *row)
{
    struct log_moment m = log__moment(log);
    struct segment_list *list = log__segments(log);
    *row = (struct log_row){
        .start_offset = m.start,
        .end_offset = m.end,
        .stable_offset = m.stable,
        .active_base = log__active(log)->base_offset,
        .active_size = atomic_load(&log__active(log)->size),
        .leader_epoch = m.leader_epoch,
        .segment_count = (uint32_t)list->count,
        .oldest_size = atomic_load(&list->items[0]->size),
        .oldest_timestamp = atomic_load(&list->items[0]->largest_timestamp),
        .first_base = list->items[0]->base_offset,
        .second_base = list->count > 1 ? list->items[1]->base_offset : -1,
    };
    if (list->count == 1 && list->items[0]->growth.max_timestamp >= 0)
        row->oldest_timestamp = list->items[0]->growth.max_timestamp;
    for (size_t i = 0; i < list->count; i++)
        row->size += atomic_load(&list->items[i]->size);
}

/* Indexes with their final entries, saved and flushed after the last change (disk-format 4.6, 10). */
static enum log_status finish_indexes(struct log *log, bool flush)
{
    struct segment_list *list = log__segments(log);
    enum file_status status = FILE_OK;
    for (size_t i = 0; i < list->count && status == FILE_OK; i++) {
        struct segment *segment = list->items[i];
        bool is_made;
        status = txn_index_save(&segment->aborted, &log->home, segment->base_offset, &is_made);
        if (status == FILE_OK && flush)
            status = txn_index_flush(&segment->aborted, &log->home);
        if (status != FILE_OK || atomic_load(&segment->offsets.on_disk))
            continue;
        segment_add_final_time_entry(segment, log->env->retire);
        status = segment_save_indexes(segment, &log->home, 0);
        if (status == FILE_OK && flush && segment->offsets.file)
            status = file_flush(segment->offsets.file->file);
        if (status == FILE_OK && flush && segment->times.file)
            status = file_flush(segment->times.file->file);
    }
    return log__status_of(status);
}

/* Brings the files to what Kafka expects of a clean stop. Without flush what is derived from the batches is
 * written, and flushed by flush_left() when that stop comes: a log that is only shut for a while need not
 * wait for the device four times. Under prepare_mutex; nothing appends. */
static enum log_status finish_files(struct log *log, bool flush)
{
    (void)log__rest_ahead(log, true);
    enum log_status status = flush_all(log);
    log__drop_spares(log);
    log__free_snapshot(log->snapshot);
    log->snapshot = NULL;
    if (status == LOG_OK)
        status = finish_indexes(log, flush);
    if (status == LOG_OK)
        status = log__finish_snapshot(log, flush);
    if (status == LOG_OK && log->epochs_dirty)
        status = log__save_epochs(log);
    if (status == LOG_OK && flush)
        status = log__status_of(file_flush_directory(log->env->files, log->path));
    if (status == LOG_OK) {
        log->changed = false;
        log->has_unflushed_files = log->has_unflushed_files || !flush;
    }
    return status;
}

static enum file_status flush_by_name(const struct log *log, const char *path)
{
    struct file *file;
    enum file_status status = file_open(log->env->files, path, FILE_READ, &file);
    if (status == FILE_NOT_FOUND)
        return FILE_OK; /* this log has none */
    if (status == FILE_OK) {
        status = file_flush(file);
        file_close(file);
    }
    return status;
}

/* What finish_files() left. Sealed segments were flushed with the groups. */
static enum log_status flush_left(struct log *log, const struct log_row *row)
{
    static const char *const suffixes[] = { ".index", ".timeindex", ".txnindex" };
    static void (*const names[])(int64_t, char[PRODUCER_SNAPSHOT_NAME_SIZE]) = { producer_history_name,
                                                                                 producer_snapshot_name };
    char path[SEGMENT_PATH_MAX], name[PRODUCER_SNAPSHOT_NAME_SIZE];
    enum file_status status = FILE_OK;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0] && status == FILE_OK; i++) {
        segment_path(&log->home, row->active_base, suffixes[i], path);
        status = flush_by_name(log, path);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0] && status == FILE_OK; i++) {
        names[i](row->end_offset, name);
        segment_home_path(&log->home, name, path);
        status = flush_by_name(log, path);
    }
    if (status == FILE_OK)
        status = file_flush_directory(log->env->files, log->path);
    log->has_unflushed_files = log->has_unflushed_files && status != FILE_OK;
    return log__status_of(status);
}

/* Takes the segments away from new readers and lets go of them once no reader can have them. row: as which
 * the log is shut; NULL: it has ended. */
static void let_go(struct log *log, const struct log_row *row)
{
    struct segment_list *list = log__segments(log);
    log__lock_readers(log);
    atomic_store_explicit(&log->state, row ? LOG_SHUT : LOG_ENDED, memory_order_release);
    atomic_store_explicit(&log->segments, NULL, memory_order_release);
    if (row)
        log->row = *row;
    log__unlock_readers(log);
    for (size_t i = 0; list && i < list->count; i++)
        log__forget_ahead(log, list->items[i]);
    for (size_t i = 0; list && i < list->count; i++)
        retire(log->env->retire, list->items[i], segment_destroy);
    if (list)
        retire(log->env->retire, list, free);
    producer_state_destroy(log->producers);
    log->producers = NULL;
    log->producers_loaded = false;
    log->snapshot_offset = -1;
    note_flushed(log, log->unflushed_size);
}

static enum log_status close_log(struct log *log, bool clean, bool flush, struct log_row *row)
{
    enum log_status status = LOG_OK;
    *row = (struct log_row){ .leader_epoch = -1 };
    pthread_mutex_lock(&log->prepare_mutex);
    if (clean && log__state(log) == LOG_OPEN) {
        status = log_health(log);
        if (status == LOG_OK && log->changed && !atomic_load(&log->may_change))
            status = log->host->before_change(log->host, log); /* an index was made anew */
        if (status == LOG_OK && log->changed)
            status = finish_files(log, flush);
        log__note_oldest(log);
    }
    pthread_mutex_lock(&log->mutex);
    if (log__state(log) == LOG_OPEN)
        fill_row(log, row);
    else if (log__state(log) == LOG_SHUT)
        *row = log->row;
    atomic_store_explicit(&log->health, LOG_CLOSED, memory_order_release);
    let_go(log, NULL);
    pthread_mutex_unlock(&log->mutex);
    if (clean && flush && status == LOG_OK && log->has_unflushed_files)
        status = flush_left(log, row);
    pthread_mutex_unlock(&log->prepare_mutex);
    return status;
}

enum log_status log__close(struct log *log, bool clean, struct log_row *row)
{
    return close_log(log, clean, true, row);
}

enum log_status log__close_unflushed(struct log *log, struct log_row *row)
{
    return close_log(log, true, false, row);
}

/* Whether the LRU may have the files: nothing waits, nobody reads from them. Under the mutex. */
static bool is_idle(struct log *log)
{
    struct segment_list *list = log__segments(log);
    struct log_moment m = log__moment(log);
    if (log__state(log) != LOG_OPEN || log_health(log) != LOG_OK || m.durable < m.end ||
        log->is_names_dirty || log->directory_dirty || log->parent_dirty || log->new_files[0] ||
        log->new_files[1] || log->job_pending || log->is_going_ahead || first_unflushed(list) + 1 != list->count)
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if (segment_is_pinned(list->items[i]))
            return false;
    }
    return true;
}

/* What the segments hold open, which let_go() gives back. Under the mutex, when open. */
static struct log_open_count count_open(const struct log *log)
{
    const struct segment_list *list = log__segments(log);
    struct log_open_count count = { 0, 0 };
    for (size_t i = 0; i < list->count; i++) {
        struct segment *segment = list->items[i];
        count.files += (atomic_load(&segment->data) != NULL) + (segment->offsets.file != NULL) +
                       (segment->times.file != NULL) + (segment->aborted.file != NULL);
        count.maps += (atomic_load(&segment->mapping) != NULL) +
                      (atomic_load(&segment->offsets.mapping) != NULL) +
                      (atomic_load(&segment->times.mapping) != NULL);
    }
    return count;
}

bool log__close_files(struct log *log)
{
    struct log_open_count unused;
    return log__close_counted(log, &unused);
}

bool log__close_counted(struct log *log, struct log_open_count *count)
{
    bool closed = false;
    if (log__state(log) != LOG_OPEN)
        return false;
    if (pthread_mutex_trylock(&log->prepare_mutex) != 0)
        return false;
    pthread_mutex_lock(&log->mutex);
    bool idle = is_idle(log);
    bool changed = log->changed;
    bool could_change = atomic_exchange(&log->may_change, false); /* appends now say BUSY */
    pthread_mutex_unlock(&log->mutex);
    if (idle && changed && !could_change)
        idle = log->host->before_shut(log->host, log) == LOG_OK;
    if (idle && (!changed || finish_files(log, false) == LOG_OK)) {
        log__note_oldest(log);
        pthread_mutex_lock(&log->mutex);
        if (is_idle(log)) {
            struct log_row row;
            fill_row(log, &row);
            *count = count_open(log);
            let_go(log, &row);
            closed = true;
        }
        pthread_mutex_unlock(&log->mutex);
    }
    if (!closed)
        atomic_store(&log->may_change, could_change);
    pthread_mutex_unlock(&log->prepare_mutex);
    return closed;
}

void log__delete(struct log *log)
{
    pthread_mutex_lock(&log->prepare_mutex);
    pthread_mutex_lock(&log->flush_mutex); /* a flush in progress ends first */
    pthread_mutex_lock(&log->mutex);
    log__give_ahead(log); /* its files may stay for a while */
    atomic_store_explicit(&log->health, LOG_CLOSED, memory_order_release);
    let_go(log, NULL);
    pthread_mutex_unlock(&log->mutex);
    pthread_mutex_unlock(&log->flush_mutex);
    log__drop_spares(log);
    pthread_mutex_unlock(&log->prepare_mutex);
}
