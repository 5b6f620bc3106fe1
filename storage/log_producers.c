/* The producers of a log: judged at an append, kept in snapshots, found again when the log is opened. */
#include "storage/log_producers.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "protocol/batch_mend.h"
#include "storage/log_directory.h"
#include "storage/log_history.h"
#include "storage/log_transactions.h"
#include "storage/producer_snapshot.h"
#include "storage/producer_state.h"
#include "storage/recovery.h"

/* What a new producer's append takes away of those that are expired: so they go as fast as others come, and
 * no append pays for many. */
enum { EXPIRED_PER_APPEND = 2 };
/* While a log is read, who was forgotten may still be in the table: its bound is looked at this late. */
enum { LOAD_SLACK = 4096 };
/* Bytes of .log files that are read again for batches which a snapshot of Kafka's does not tell of. */
enum { SCAN_BACK_SIZE_MAX = 64 << 20 };

/* -- appending ------------------------------------------------------------------------------------- */

static struct log_append_result duplicate_of(const struct producer_batch *original,
                                             const struct batch_view *batch)
{
    /* Snapshots do not say what kind of time the original has: what the topic has now decides, as the client
     * reads the answer now. */
    bool append_time = (batch->attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME) != 0;
    return (struct log_append_result){
        .status = LOG_OK,
        .base_offset = original->last_offset - original->offset_delta,
        .last_offset = original->last_offset,
        .end_offset = original->last_offset + 1,
        .append_time_ms = append_time ? original->timestamp : -1,
        .is_duplicate = true,
    };
}

/* Settles the result of a batch that is not to be appended. */
static void settle(enum producer_verdict verdict, const struct producer_batch *original,
                   const struct batch_view *batch, struct log_append_result *result)
{
    switch (verdict) {
    case PRODUCER_ACCEPTED:
        return;
    case PRODUCER_DUPLICATE:
        *result = duplicate_of(original, batch);
        return;
    case PRODUCER_BAD_SEQUENCE:
        result->status = LOG_BAD_SEQUENCE;
        return;
    case PRODUCER_BAD_EPOCH:
        result->status = LOG_BAD_EPOCH;
        return;
    }
    check_unreachable("producer_verdict");
}

enum log_status log__judge_producers(struct log *log, const struct batch_view *batches, size_t count,
                                     int64_t now_ms, struct log_append_result *results)
{
    struct producer_judge judge;
    struct producer_batch original;
    size_t from_producers = 0;
    int64_t next = log__moment(log).end;
    for (size_t i = 0; i < count; i++)
        from_producers += batches[i].producer_id >= 0;
    if (from_producers == 0)
        return LOG_OK;
    if (!producer_judge_begin(&judge, log->producers, from_producers, now_ms,
                              log__config(log)->producer_id_expiration_ms))
        return LOG_LIMIT;
    for (size_t i = 0; i < count; i++) {
        if (results[i].status != LOG_BUSY)
            continue;
        if (batches[i].producer_id >= 0)
            settle(producer_judge_batch(&judge, &batches[i], next, &original), &original, &batches[i],
                   &results[i]);
        if (results[i].status == LOG_BUSY)
            next += (int64_t)batches[i].last_offset_delta + 1;
    }
    bool ok = producer_state_reserve(&log->producers, judge.producer_count, judge.older_count);
    producer_judge_end(&judge);
    return ok ? LOG_OK : LOG_LIMIT;
}

void log__note_producer(struct log *log, const struct batch_view *batch, int64_t now_ms)
{
    struct producer_marker marker;
    if ((batch->attributes & BATCH_ATTRIBUTE_CONTROL) == 0) {
        producer_state_note(log->producers, batch, now_ms, log__config(log)->producer_id_expiration_ms);
        if ((batch->attributes & BATCH_ATTRIBUTE_TRANSACTIONAL) != 0)
            log__note_begun(log, batch->base_offset);
    } else if (producer_marker_read(slice_of(batch->data, batch->size), &marker)) {
        int64_t first = producer_state_open_transaction(log->producers, marker.producer_id);
        producer_state_mark(log->producers, &marker, now_ms);
        log__note_ended(log, &marker, first, batch->base_offset);
    }
}

void log__trim_producers(struct log *log, int64_t now_ms)
{
    producer_state_trim(log->producers, log__config(log)->producer_ids_max, now_ms,
                        log__config(log)->producer_id_expiration_ms, EXPIRED_PER_APPEND);
}

/* -- loading --------------------------------------------------------------------------------------- */

/* One load. */
struct load {
    struct log_walk walk; /* first */
    struct producer_state *producers;
    int64_t now_ms;
};

bool log__lost_marker(const struct producer_state *producers, int64_t first, int64_t next, uint64_t size,
                      struct producer_marker *marker)
{
    enum { MARKER_BATCH_SIZE = 78 }; /* as Kafka's EndTransactionMarker always is */
    struct producer_entry entry;
    uint64_t cursor = 0;
    unsigned open_count = 0;
    if (size != MARKER_BATCH_SIZE || next - first != 1)
        return false;
    while (producers && producer_state_next(producers, &cursor, &entry)) {
        if (entry.current_txn_first_offset < 0 || entry.current_txn_first_offset >= first)
            continue;
        open_count++;
        *marker = (struct producer_marker){ .producer_id = entry.producer_id,
                                            .timestamp = entry.timestamp,
                                            .coordinator_epoch = entry.coordinator_epoch,
                                            .producer_epoch = entry.epoch,
                                            .is_abort = true };
    }
    return open_count == 1;
}

bool log__read_marker(const struct segment_scan *scan, const struct producer_state *producers,
                      struct producer_marker *marker, bool *is_marker)
{
    enum { CONTROL_BATCH_SIZE_MAX = 64 << 10 };
    struct segment_scan at = *scan; /* shares the buffer */
    const struct batch_head *head = &scan->head;
    *is_marker = false;
    if (head->size > CONTROL_BATCH_SIZE_MAX)
        return true;
    uint8_t *bytes = malloc(head->size);
    if (!bytes)
        return false;
    /* One flipped bit makes a commit of an abort, and recovery checks no CRC below the durable end. */
    struct batch_view view;
    slice batch = slice_of(bytes, head->size);
    bool is_read = segment_scan_copy(&at, bytes);
    bool is_whole = is_read && batch_view(batch, &view) == BATCH_OK && batch_crc_ok(&view);
    if (is_read && !is_whole)
        is_whole = batch_mend(bytes, head->size, head->base_offset, head->last_offset + 1);
    *is_marker =
        is_whole ? producer_marker_read(batch, marker)
                 : log__lost_marker(producers, head->base_offset, head->last_offset + 1, head->size, marker);
    free(bytes);
    return true;
}

/* What lies in the log was judged when it was appended: it is taken as it is. */
enum log_status log__note_scanned(struct log *log, struct producer_state **producers,
                                  const struct segment_scan *scan, int64_t now_ms)
{
    struct producer_marker marker;
    bool is_marker;
    if (scan->view.producer_id < 0)
        return LOG_OK;
    if (!producer_state_reserve(producers, 1, 1))
        return LOG_LIMIT;
    if ((scan->view.attributes & BATCH_ATTRIBUTE_CONTROL) == 0) {
        producer_state_note(*producers, &scan->view, now_ms, 0);
    } else {
        if (!log__read_marker(scan, *producers, &marker, &is_marker))
            return LOG_LIMIT;
        if (is_marker)
            producer_state_mark(*producers, &marker, now_ms);
    }
    size_t count_max = log__config(log)->producer_ids_max;
    if (count_max > 0 && producer_state_count(*producers) > count_max + LOAD_SLACK)
        producer_state_trim(*producers, count_max, 0, 0, 0);
    return LOG_OK;
}

static enum log_status note_scanned(struct log_walk *walk, const struct segment_scan *scan)
{
    struct load *load = (struct load *)walk;
    return log__note_scanned(walk->log, &load->producers, scan, load->now_ms);
}

/* Damage may have been the end of a transaction. */
static enum log_status note_damaged(struct log_walk *walk, const struct quarantine_range *range)
{
    struct load *load = (struct load *)walk;
    struct producer_marker marker;
    int64_t open = producer_state_first_open(load->producers);
    if (open < 0 || open >= range->first)
        return LOG_OK;
    if (log__lost_marker(load->producers, range->first, range->next, range->end_position - range->position,
                         &marker)) {
        producer_state_mark(load->producers, &marker, load->now_ms);
        note_error("log.transaction_end_lost",
                   "log=%s producer_id=%lld first_offset=%lld marker_offset=%lld effect=\"unless .txnindex "
                   "says how it ended it counts as "
                   "aborted: readers of committed records do not get it, all others do\"",
                   walk->log->name, (long long)marker.producer_id, (long long)open, (long long)range->first);
    } else {
        note_warn(
            "log.transaction_end_unknown",
            "log=%s first_offset=%lld damaged_offset=%lld effect=\"a transaction is open that may have ended "
            "in what is damaged; readers of committed records wait before it\"",
            walk->log->name, (long long)open, (long long)range->first);
    }
    return LOG_OK;
}

/* Notes the batches of [from, until). */
static enum log_status scan(struct load *load, int64_t from, int64_t until)
{
    struct segment_list *list = log__segments(load->walk.log);
    enum log_status status = LOG_OK;
    load->walk.from = from;
    load->walk.until = until;
    for (size_t i = segment_list_find(list, from); i < list->count && status == LOG_OK; i++) {
        if (list->items[i]->base_offset < until)
            status = log__walk_segment(&load->walk, list->items[i]);
    }
    return status;
}

static bool is_same_batch(const struct producer_batch *a, const struct producer_batch *b)
{
    return a->last_offset == b->last_offset && a->last_sequence == b->last_sequence &&
           a->offset_delta == b->offset_delta;
}

/* The base offset of the oldest segment from which it is not too much to read up to offset. */
static int64_t scan_back_begin(struct log *log, int64_t offset)
{
    struct segment_list *list = log__segments(log);
    size_t i = segment_list_find(list, offset);
    uint64_t size = atomic_load(&list->items[i]->size);
    while (i > 0 && size + atomic_load(&list->items[i - 1]->size) <= SCAN_BACK_SIZE_MAX)
        size += atomic_load(&list->items[--i]->size);
    return size <= SCAN_BACK_SIZE_MAX ? list->items[i]->base_offset : offset;
}

/* A snapshot of Kafka's tells one batch of each producer: those before are looked for in the log. */
static enum log_status complete_entries(struct load *load, int64_t offset, struct producer_entry *entries,
                                        size_t count)
{
    struct load back = { .walk = load->walk, .now_ms = load->now_ms };
    back.walk.damaged = NULL; /* asked for batches, not for transactions */
    struct producer_entry found;
    int64_t begin = scan_back_begin(load->walk.log, offset);
    enum log_status status = begin < offset ? scan(&back, begin, offset) : LOG_OK;
    for (size_t i = 0; i < count && status == LOG_OK; i++) {
        struct producer_entry *entry = &entries[i];
        entry->written_ms = load->now_ms; /* not known, and too late is harmless */
        if (entry->batch_count == 1 && producer_state_find(back.producers, entry->producer_id, &found) &&
            found.epoch == entry->epoch && found.batch_count > 0 &&
            is_same_batch(&found.batches[found.batch_count - 1], &entry->batches[0])) {
            memcpy(entry->batches, found.batches, sizeof found.batches);
            entry->batch_count = found.batch_count;
        }
    }
    producer_state_destroy(back.producers);
    return status;
}

static int compare_entries(const void *a, const void *b)
{
    const struct producer_entry *x = a, *y = b;
    int64_t x_offset = x->batch_count ? x->batches[x->batch_count - 1].last_offset : -1;
    int64_t y_offset = y->batch_count ? y->batches[y->batch_count - 1].last_offset : -1;
    return (x_offset > y_offset) - (x_offset < y_offset);
}

/* Puts them in by when they wrote: Kafka's order says nothing. */
static enum log_status put_entries(struct producer_state **producers, struct producer_entry *entries,
                                   size_t count)
{
    if (count > 0)
        qsort(entries, count, sizeof *entries, compare_entries);
    if (!producer_state_reserve(producers, count, 0))
        return LOG_LIMIT;
    for (size_t i = 0; i < count; i++) {
        if (!producer_state_reserve(producers, 1, entries[i].batch_count > 1))
            return LOG_LIMIT;
        producer_state_put(*producers, &entries[i]);
    }
    return LOG_OK;
}

bool log__read_whole_snapshot(struct log *log, int64_t offset, struct producer_state **producers)
{
    struct producer_entry *entries;
    size_t count;
    bool is_complete;
    if (producer_files_read(log->env->files, log->path, offset, &entries, &count, &is_complete) != FILE_OK)
        return false;
    bool ok = is_complete && put_entries(producers, entries, count) == LOG_OK;
    free(entries);
    return ok;
}

/* Loads the newest snapshot that can be read; *from is where the batches go on. */
static enum log_status read_snapshot(struct load *load, const struct log_directory *directory, int64_t *from)
{
    struct log *log = load->walk.log;
    *from = 0;
    for (size_t i = directory->snapshot_count; i > 0; i--) {
        struct producer_entry *entries;
        size_t count;
        bool is_complete;
        int64_t offset = directory->snapshots[i - 1];
        enum file_status read =
            producer_files_read(log->env->files, log->path, offset, &entries, &count, &is_complete);
        if (read == FILE_LIMIT)
            return LOG_LIMIT;
        if (read != FILE_OK) {
            note_warn("log.snapshot_ignored", "log=%s offset=%lld reason=damaged", log->name,
                      (long long)offset);
            continue;
        }
        enum log_status status = is_complete ? LOG_OK : complete_entries(load, offset, entries, count);
        if (status == LOG_OK)
            status = put_entries(&load->producers, entries, count);
        free(entries);
        *from = offset;
        return status;
    }
    return LOG_OK;
}

/* Removes snapshots that are not to be believed, as they lie beyond the end: of batches that a power cut
 * took, whose offsets others get; and those at no segment's base but the newest, which a clean stop left (as
 * Kafka does). */
static enum log_status drop_snapshots(struct log *log, struct log_directory *directory, int64_t end)
{
    struct segment_list *list = log__segments(log);
    enum file_status status = FILE_OK;
    bool any_beyond = false;
    size_t kept = 0;
    int64_t stray = -1;
    for (size_t i = directory->snapshot_count; i > 0 && status == FILE_OK; i--) {
        int64_t offset = directory->snapshots[i - 1];
        bool is_stray = list->items[segment_list_find(list, offset)]->base_offset != offset;
        bool is_beyond = offset > end;
        if (is_beyond || (is_stray && stray >= 0)) {
            directory->snapshots[i - 1] = -1;
            any_beyond |= is_beyond;
            status = producer_files_unlink(log->env->files, log->path, offset);
        } else if (is_stray) {
            stray = offset;
        }
    }
    for (size_t i = 0; i < directory->snapshot_count; i++) {
        if (directory->snapshots[i] >= 0)
            directory->snapshots[kept++] = directory->snapshots[i];
    }
    directory->snapshot_count = kept;
    log->stray_snapshot = stray;
    if (any_beyond && status == FILE_OK)
        status = file_flush_directory(log->env->files, log->path);
    return log__status_of(status);
}

static int64_t newest_snapshot(const struct log_directory *directory)
{
    return directory->snapshot_count > 0 ? directory->snapshots[directory->snapshot_count - 1] : -1;
}

/* notes: NULL: there are none. */
static enum log_status load_state(struct load *load, const struct log_directory *directory, int64_t end,
                                  struct load_notes *notes)
{
    const struct log_config *config = log__config(load->walk.log);
    int64_t from = end;
    bool is_known = false;
    if (notes)
        load->producers = load_notes_take_producers(notes, newest_snapshot(directory), &is_known);
    enum log_status status = is_known ? LOG_OK : read_snapshot(load, directory, &from);
    if (status == LOG_OK && from < end)
        status = scan(load, from, end);
    if (status == LOG_OK)
        producer_state_trim(load->producers, config->producer_ids_max, load->now_ms,
                            config->producer_id_expiration_ms, SIZE_MAX);
    return status;
}

/* A look at the checksum of one batch. */
struct crc_look {
    struct log_walk walk; /* first */
    bool is_damaged;
};

static enum log_status look_at_crc(struct log_walk *walk, const struct segment_scan *scan)
{
    struct crc_look *look = (struct crc_look *)walk;
    struct segment_scan at = *scan; /* shares the buffer */
    struct batch_view view;
    uint8_t *bytes = malloc(scan->head.size);
    if (!bytes)
        return LOG_LIMIT;
    look->is_damaged = segment_scan_copy(&at, bytes) &&
                       batch_view(slice_of(bytes, scan->head.size), &view) == BATCH_OK &&
                       !batch_crc_ok(&view);
    free(bytes);
    return LOG_OK;
}

/* A transaction that is still open begins with a batch that recovery may have believed by its header: one
 * flipped bit makes one that never ends. *is_redone: such a batch is quarantined now, and what was loaded is
 * to be loaded anew. */
static enum log_status verify_open(struct load *load, bool *is_redone)
{
    struct log *log = load->walk.log;
    struct segment_list *list = log__segments(log);
    struct producer_entry entry;
    uint64_t cursor = 0;
    enum log_status status = LOG_OK;
    while (load->producers && status == LOG_OK && producer_state_next(load->producers, &cursor, &entry)) {
        int64_t first = entry.current_txn_first_offset;
        struct crc_look look = { .walk = {
                                     .log = log, .from = first, .until = first + 1, .visit = look_at_crc } };
        size_t i = segment_list_find(list, first);
        if (first < list->items[0]->base_offset)
            continue;
        status = log__walk_segment(&look.walk, list->items[i]);
        if (status != LOG_OK || !look.is_damaged || atomic_exchange(&list->items[i]->examined, true))
            continue;
        status = log__examine(log, list->items[i],
                              i + 1 < list->count ? list->items[i + 1]->base_offset : log__moment(log).end);
        *is_redone = true;
    }
    return status;
}

enum log_status log__load_noted_producers(struct log *log, struct log_directory *directory,
                                          struct load_notes *notes)
{
    struct load load = {
        .walk = { .log = log, .visit = note_scanned, .damaged = note_damaged, .io_fails = true },
        .now_ms = clock_wall_ms(log->env->clock)
    };
    int64_t end = log__moment(log).end;
    if (log->producers_loaded)
        return LOG_OK;
    enum log_status status = drop_snapshots(log, directory, end);
    bool is_redone = false;
    if (status == LOG_OK)
        status = load_state(&load, directory, end, notes);
    if (status == LOG_OK)
        status = verify_open(&load, &is_redone);
    if (status == LOG_OK && is_redone) {
        producer_state_destroy(load.producers);
        load.producers = NULL;
        status = load_state(&load, directory, end, NULL);
    }
    if (status != LOG_OK) {
        producer_state_destroy(load.producers);
        return status;
    }
    pthread_mutex_lock(&log->mutex);
    producer_state_destroy(log->producers);
    log->producers = load.producers;
    log->first_open = producer_state_first_open(log->producers);
    struct log_moment m = log__moment(log);
    log__publish(log, &m);
    pthread_mutex_unlock(&log->mutex);
    log->producers_loaded = true;
    return LOG_OK;
}

enum log_status log__load_producers(struct log *log)
{
    struct log_directory directory;
    if (log->producers_loaded)
        return LOG_OK;
    enum log_status status = log__status_of(log_directory_load(&log->home, false, &directory));
    if (status != LOG_OK)
        return status;
    status = log__load_noted_producers(log, &directory, NULL);
    log_directory_free(&directory);
    return status;
}

/* -- snapshots ------------------------------------------------------------------------------------- */

struct pending_snapshot *log__take_snapshot(struct log *log, int64_t offset, int64_t now_ms)
{
    struct pending_snapshot *snapshot = malloc(sizeof *snapshot);
    if (!snapshot)
        return NULL;
    /* What is expired need not be written, nor kept. */
    producer_state_trim(log->producers, 0, now_ms, log__config(log)->producer_id_expiration_ms, SIZE_MAX);
    *snapshot = (struct pending_snapshot){ .offset = offset };
    if (producer_state_count(log->producers) > 0) {
        snapshot->producers = producer_state_copy(log->producers);
        if (!snapshot->producers) {
            free(snapshot);
            return NULL;
        }
    }
    return snapshot;
}

void log__free_snapshot(struct pending_snapshot *snapshot)
{
    if (snapshot)
        producer_state_destroy(snapshot->producers);
    free(snapshot);
}

enum log_status log__write_snapshot(struct log *log, struct pending_snapshot *snapshot, bool flush)
{
    if (!snapshot)
        return LOG_OK;
    enum file_status status =
        producer_files_write(log->env->files, log->path, snapshot->offset, snapshot->producers, flush);
    if (status == FILE_OK && flush && snapshot->offset > log->snapshot_offset)
        log->snapshot_offset = snapshot->offset;
    log__free_snapshot(snapshot);
    return log__status_of(status);
}

enum log_status log__finish_snapshot(struct log *log, bool flush)
{
    enum log_status status = log__load_producers(log); /* else what is known would be replaced by nothing */
    if (status != LOG_OK)
        return status;
    pthread_mutex_lock(&log->mutex);
    int64_t end = log__moment(log).end;
    struct pending_snapshot *snapshot = log__take_snapshot(log, end, clock_wall_ms(log->env->clock));
    pthread_mutex_unlock(&log->mutex);
    if (!snapshot)
        return LOG_LIMIT;
    status = log__write_snapshot(log, snapshot, flush);
    if (status == LOG_OK && log->stray_snapshot >= 0 && log->stray_snapshot != end)
        (void)producer_files_unlink(log->env->files, log->path, log->stray_snapshot);
    log->stray_snapshot = end == log__active(log)->base_offset ? -1 : end;
    return status;
}

enum log_status log__keep_producers(struct log *log, int64_t start)
{
    struct pending_snapshot *snapshot = NULL;
    enum log_status status = log__load_producers(log);
    if (status != LOG_OK)
        return status;
    pthread_mutex_lock(&log->mutex);
    bool is_any = producer_state_count(log->producers) > 0;
    if (is_any) {
        snapshot = log->snapshot; /* as of the last roll, so behind all that go */
        log->snapshot = NULL;
    }
    pthread_mutex_unlock(&log->mutex);
    if (!is_any)
        return LOG_OK;
    if (snapshot)
        status = log__write_snapshot(log, snapshot, true);
    else if (log->snapshot_offset < start)
        status = log__finish_snapshot(log, true);
    return status == LOG_OK ? log__status_of(file_flush_directory(log->env->files, log->path)) : status;
}
