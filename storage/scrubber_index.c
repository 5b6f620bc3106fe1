/* The indexes of a segment, compared with its batches; a wrong one is written anew. */
#include <stdlib.h>

#include "protocol/base/note.h"
#include "storage/log_producers.h"
#include "storage/log_transactions.h"
#include "storage/scrubber_internal.h"

enum { TXN_FILE_SIZE_MAX = 1 << 30 };

/* --- entries of a file ---------------------------------------------------------------------------- */

static void path_of(const struct scrub_walk *walk, const char *suffix, char path[SEGMENT_PATH_MAX])
{
    segment_path(&walk->log->home, walk->segment->base_offset, suffix, path);
}

/* Opens an index that is read from its file; *fault when it cannot be what it should. */
static enum log_status open_entries(struct scrub_walk *walk, struct segment_index *index, const char *suffix,
                                    struct scrub_entries *entries, struct scrub_index *state)
{
    char path[SEGMENT_PATH_MAX];
    uint64_t size = 0;
    entries->entry_size = index->entry_size;
    /* What is in memory is written by the log itself, once whoever read something odd took it there. */
    walk->cursor->has_indexes = walk->cursor->has_indexes && atomic_load(&index->on_disk);
    if (!walk->cursor->has_indexes || state->fault)
        return LOG_OK;
    path_of(walk, suffix, path);
    enum file_status status = open_file_open(&walk->log->home, path, FILE_READ, &entries->file);
    if (status == FILE_OK)
        status = file_size(entries->file->file, &size);
    if (status == FILE_LIMIT)
        return LOG_LIMIT;
    if (status != FILE_OK)
        state->fault = status == FILE_NOT_FOUND ? "missing" : "unreadable";
    else if (size % index->entry_size != 0 || size > INT32_MAX)
        state->fault = "odd_size";
    else
        entries->count = (uint32_t)(size / index->entry_size);
    return LOG_OK;
}

static void close_entries(struct scrub_entries *entries)
{
    if (entries->file)
        pin_drop(&entries->file->pin);
    entries->file = NULL;
}

enum log_status scrub__open_indexes(struct scrub_walk *walk)
{
    struct segment *segment = walk->segment;
    struct scrub_cursor *cursor = walk->cursor;
    enum log_status status =
        open_entries(walk, &segment->offsets, ".index", &walk->offsets, &cursor->offsets);
    if (status == LOG_OK)
        status = open_entries(walk, &segment->times, ".timeindex", &walk->times, &cursor->times);
    return status;
}

void scrub__close_indexes(struct scrub_walk *walk)
{
    close_entries(&walk->offsets);
    close_entries(&walk->times);
}

/* The entry that comes next; NULL: none is left, or the rest cannot be read (a fault then). */
static const uint8_t *next_entry(struct scrub_entries *entries, struct scrub_index *state)
{
    size_t got;
    uint32_t capacity = (uint32_t)(sizeof entries->buffer / entries->entry_size);
    if (!entries->file || state->fault || state->next >= entries->count)
        return NULL;
    if (state->next < entries->buffer_first || state->next >= entries->buffer_first + entries->buffer_count) {
        uint32_t count = entries->count - state->next < capacity ? entries->count - state->next : capacity;
        size_t size = (size_t)count * entries->entry_size;
        if (file_pread_aside(entries->file->file, entries->buffer, size,
                             (uint64_t)state->next * entries->entry_size, false, &got) != FILE_OK ||
            got != size) {
            state->fault = "unreadable";
            return NULL;
        }
        entries->buffer_first = state->next;
        entries->buffer_count = count;
    }
    return entries->buffer + (size_t)(state->next - entries->buffer_first) * entries->entry_size;
}

/* --- batch by batch ------------------------------------------------------------------------------- */

/* An entry names the begin of a batch, and an offset in or behind it, in front of the next entry's (Kafka
 * before 4.1 wrote the last offset of an append of several batches; its cleaner that of the last record). */
static void meet_offsets(struct scrub_walk *walk, const struct scrub_batch *batch)
{
    struct scrub_index *state = &walk->cursor->offsets;
    int64_t base = walk->segment->base_offset;
    const uint8_t *bytes;
    while ((bytes = next_entry(&walk->offsets, state)) != NULL) {
        int64_t relative = load_be32(bytes);
        uint64_t position = load_be32(bytes + 4);
        if (position > batch->position)
            return;
        if (position < batch->position)
            state->fault = "no_batch_at_position";
        else if (relative < batch->head.base_offset - base || relative >= walk->bound - base)
            state->fault = "wrong_offset";
        else if (state->last >= batch->head.base_offset - base || relative <= state->last)
            state->fault = "out_of_order";
        state->last = relative;
        state->next++;
    }
}

/* An entry says: up to the batch with this offset, no timestamp is later than that. */
static void meet_times(struct scrub_walk *walk, const struct scrub_batch *batch)
{
    struct scrub_cursor *cursor = walk->cursor;
    struct scrub_index *state = &cursor->times;
    int64_t base = walk->segment->base_offset, before = cursor->max_timestamp;
    const uint8_t *bytes;
    if (batch->head.max_timestamp > cursor->max_timestamp)
        cursor->max_timestamp = batch->head.max_timestamp;
    while ((bytes = next_entry(&walk->times, state)) != NULL) {
        int64_t timestamp = (int64_t)load_be64(bytes), relative = load_be32(bytes + 8);
        if (base + relative > batch->head.last_offset)
            return;
        if (timestamp <= state->last || relative < state->last_relative)
            state->fault = "out_of_order";
        else if (timestamp < before || timestamp > cursor->max_timestamp)
            state->fault = "wrong_timestamp";
        state->last = timestamp;
        state->last_relative = relative;
        state->next++;
    }
}

enum log_status scrub__meet(struct scrub_walk *walk, const struct scrub_batch *batch)
{
    struct segment *walked = walk->cursor->walked;
    struct log_config config = { .index_interval_bytes = (int32_t)atomic_load(&walk->log->index_interval) };
    struct segment_entries entries;
    meet_offsets(walk, batch);
    meet_times(walk, batch);
    if (!walked)
        return LOG_OK;
    walked->growth.size = (uint32_t)batch->position;
    segment_growth_add(&walked->growth, &batch->head, &config, &entries);
    segment_add_entries(walked, walk->log->env->retire, &entries);
    return LOG_OK;
}

void scrub__pass_range(struct scrub_walk *walk, const struct quarantine_range *range)
{
    struct scrub_cursor *cursor = walk->cursor;
    int64_t base = walk->segment->base_offset;
    const uint8_t *bytes;
    while ((bytes = next_entry(&walk->offsets, &cursor->offsets)) != NULL &&
           load_be32(bytes + 4) < range->end_position) {
        cursor->offsets.last = load_be32(bytes);
        cursor->offsets.next++;
    }
    while ((bytes = next_entry(&walk->times, &cursor->times)) != NULL &&
           base + load_be32(bytes + 8) < range->next) {
        cursor->times.last = (int64_t)load_be64(bytes);
        cursor->times.last_relative = load_be32(bytes + 8);
        if (cursor->times.last > cursor->max_timestamp)
            cursor->max_timestamp = cursor->times.last;
        cursor->times.next++;
    }
}

/* An entry of the transaction index has its abort marker, where it says. */
enum log_status scrub__meet_control(struct scrub_walk *walk)
{
    const struct segment_scan *scan = &walk->scan;
    struct scrub_cursor *cursor = walk->cursor;
    const struct txn_block *block = atomic_load_explicit(&walk->segment->aborted.block, memory_order_acquire);
    struct producer_marker marker;
    bool is_marker;
    uint32_t i = txn_index_find(&walk->segment->aborted, scan->head.last_offset);
    if (!block || i >= atomic_load_explicit(&block->count, memory_order_acquire) ||
        block->entries[i].last_offset != scan->head.last_offset)
        return LOG_OK;
    if (!log__read_marker(scan, NULL, &marker, &is_marker))
        return LOG_LIMIT;
    if (!is_marker || !marker.is_abort || marker.producer_id != block->entries[i].producer_id)
        cursor->aborted_fault = "no_marker_at_offset";
    cursor->aborted_count++;
    return LOG_OK;
}

/* --- the end of the segment ----------------------------------------------------------------------- */

static void judge_ends(struct scrub_walk *walk)
{
    struct scrub_cursor *cursor = walk->cursor;
    if (cursor->has_damage)
        return;
    if (next_entry(&walk->offsets, &cursor->offsets))
        cursor->offsets.fault = "beyond_the_end";
    if (next_entry(&walk->times, &cursor->times))
        cursor->times.fault = "beyond_the_end";
    /* The last one decides how long the segment is kept. */
    else if (walk->times.file && !cursor->times.fault && cursor->times.last != cursor->max_timestamp)
        cursor->times.fault = "last_timestamp_wrong";
    if (!cursor->aborted_fault && cursor->aborted_count != txn_index_count(&walk->segment->aborted))
        cursor->aborted_fault = "no_marker_at_offset";
}

static void note_rebuilt(const struct scrub_walk *walk, const char *suffix, const char *reason)
{
    note_warn("log.index_rebuilt", "log=%s base_offset=%lld file=%s reason=%s found_by=scrub",
              walk->log->name, (long long)walk->segment->base_offset, suffix, reason);
    walk->counts->index_count++;
}

/* Replaces the file as a whole; what cannot be written is kept in memory. Under prepare_mutex. */
static enum log_status replace_index(struct scrub_walk *walk, struct segment_index *index,
                                     const struct segment_index *walked, const char *suffix,
                                     const char *reason, bool may_write)
{
    struct log *log = walk->log;
    struct index_block *block = atomic_load(&walked->block);
    uint32_t count = segment_index_count(walked);
    slice bytes = block ? slice_of(block->bytes, (size_t)count * index->entry_size) : slice_of("", 0);
    char path[SEGMENT_PATH_MAX];
    bool ok = true;
    if (!reason ||
        !atomic_load(
            &index->on_disk)) /* it is right, or was taken into memory meanwhile: who read something odd */
        return LOG_OK;
    path_of(walk, suffix, path);
    bool is_written = may_write && file_replace(log->env->files, path, bytes) == FILE_OK;
    pthread_mutex_lock(&log->mutex);
    if (is_written) {
        atomic_store_explicit(&index->disk_count, count, memory_order_relaxed);
        mapping_retire(&log->home, atomic_exchange(&index->mapping, NULL));
    } else {
        ok = segment_index_assign(index, log->env->retire, block ? block->bytes : NULL, count);
        log->changed = true; /* it is written at the close */
    }
    pthread_mutex_unlock(&log->mutex);
    if (ok)
        note_rebuilt(walk, suffix, reason);
    return ok ? LOG_OK : LOG_LIMIT;
}

/* Whether the file still says what is in memory. */
static bool is_file_as_memory(struct scrub_walk *walk)
{
    const struct txn_index *index = &walk->segment->aborted;
    const struct txn_block *block =
        atomic_load_explicit(&((struct txn_index *)index)->block, memory_order_acquire);
    uint32_t count = txn_index_count(index);
    char path[SEGMENT_PATH_MAX];
    uint8_t *bytes, expected[ABORTED_TRANSACTION_SIZE];
    size_t size;
    path_of(walk, ".txnindex", path);
    enum file_status status = file_read_all(walk->log->env->files, path, TXN_FILE_SIZE_MAX, &bytes, &size);
    if (status == FILE_NOT_FOUND)
        return count == 0;
    if (status != FILE_OK)
        return status == FILE_LIMIT;
    bool same = size == (size_t)count * ABORTED_TRANSACTION_SIZE;
    for (uint32_t i = 0; i < count && same; i++) {
        aborted_transaction_encode(&block->entries[i], expected);
        same = memcmp(bytes + (size_t)i * ABORTED_TRANSACTION_SIZE, expected, sizeof expected) == 0;
    }
    free(bytes);
    return same;
}

/* The transaction index is in memory while the log is open, and its file is written from there. */
static enum log_status finish_aborted(struct scrub_walk *walk, bool may_write)
{
    struct log *log = walk->log;
    struct txn_index *index = &walk->segment->aborted;
    const char *reason = walk->cursor->aborted_fault;
    bool is_made;
    if (!txn_index_is_saved(index))
        return LOG_OK; /* the log itself writes it */
    if (reason) {
        bool is_other;
        enum log_status status = log__rebuild_aborted(log, walk->segment, &is_other);
        if (status != LOG_OK || !is_other)
            return status;
    } else if (!is_file_as_memory(walk)) {
        reason = "file_differs";
    } else {
        return LOG_OK;
    }
    note_rebuilt(walk, ".txnindex", reason);
    pthread_mutex_lock(&log->mutex);
    index->saved_count = 0;
    index->is_rewritten = true;
    log->changed = true; /* what is not written now is at the close */
    pthread_mutex_unlock(&log->mutex);
    /* Nobody but who has prepare_mutex touches what is flushed. */
    if (may_write && txn_index_save(index, &log->home, walk->segment->base_offset, &is_made) == FILE_OK)
        (void)txn_index_flush(index, &log->home);
    return LOG_OK;
}

/* Under prepare_mutex. */
static enum log_status write_anew(struct scrub_walk *walk, bool may_write)
{
    struct scrub_cursor *cursor = walk->cursor;
    struct segment *walked = cursor->walked;
    enum log_status status = LOG_OK;
    if (!scrub__is_same(walk))
        return LOG_BUSY;
    may_write = may_write && log_health(walk->log) == LOG_OK;
    if (walked) {
        segment_add_final_time_entry(walked, walk->log->env->retire);
        status = replace_index(walk, &walk->segment->offsets, &walked->offsets, ".index",
                               cursor->offsets.fault, may_write);
        if (status == LOG_OK)
            status = replace_index(walk, &walk->segment->times, &walked->times, ".timeindex",
                                   cursor->times.fault, may_write);
        if (status != LOG_OK)
            return status;
        if (cursor->times.fault && walked->growth.max_timestamp >= 0)
            atomic_store(&walk->segment->largest_timestamp, walked->growth.max_timestamp);
        atomic_store(&walk->segment->examined, false);
    }
    return finish_aborted(walk, may_write);
}

/* The same segment once more, for its entries. */
static enum log_status walk_again(struct scrub_walk *walk)
{
    struct scrub_cursor *cursor = walk->cursor;
    struct scrub_cursor again = {
        .base_offset = cursor->base_offset,
        .is_inside = true,
        .has_indexes = true,
        .was_shut = cursor->was_shut,
        .rewrites = cursor->rewrites,
        .expected = cursor->base_offset,
        .max_timestamp = -1,
        .aborted_fault = cursor->aborted_fault,
        .offsets = { .last = -1, .last_relative = -1, .fault = cursor->offsets.fault },
        .times = { .last = -1, .last_relative = -1, .fault = cursor->times.fault },
        .walked = segment_create(cursor->base_offset),
    };
    if (!again.walked)
        return LOG_LIMIT;
    *cursor = again;
    return LOG_BUSY;
}

enum log_status scrub__finish_indexes(struct scrub_walk *walk)
{
    struct scrub_cursor *cursor = walk->cursor;
    struct log *log = walk->log;
    judge_ends(walk);
    bool is_wrong = cursor->offsets.fault || cursor->times.fault;
    if (is_wrong && !cursor->walked)
        return walk_again(walk);
    bool has_aborted = txn_index_count(&walk->segment->aborted) > 0;
    if (!is_wrong && !cursor->aborted_fault && !has_aborted)
        return LOG_OK;
    if (!is_wrong && !cursor->aborted_fault && is_file_as_memory(walk))
        return LOG_OK;
    bool may_write = log_health(log) == LOG_OK && log->host->before_change(log->host, log) == LOG_OK;
    pthread_mutex_lock(&log->prepare_mutex);
    enum log_status status = write_anew(walk, may_write);
    pthread_mutex_unlock(&log->prepare_mutex);
    return status;
}
