/* The transactions of a log: the last stable offset, and what was aborted. */
#include "storage/log_transactions.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/log_directory.h"
#include "storage/log_history.h"
#include "storage/log_producers.h"
#include "storage/producer_snapshot.h"

/* -- the last stable offset ------------------------------------------------------------------------ */

int64_t log__stable_of(const struct log *log, const struct log_moment *moment)
{
    int64_t stable = moment->high_watermark;
    if (log->first_open >= 0 && log->first_open < stable)
        stable = log->first_open;
    /* Consumers see an end only below the high watermark; until then its records are undecided to them. */
    for (uint32_t i = 0; i < log->ended_count; i++) {
        if (log->ended[i].last_offset >= moment->high_watermark && log->ended[i].first_offset < stable)
            stable = log->ended[i].first_offset;
    }
    return stable > moment->start ? stable : moment->start;
}

void log__forget_ended(struct log *log, int64_t high_watermark)
{
    uint32_t gone = 0;
    while (gone < log->ended_count && log->ended[gone].last_offset < high_watermark)
        gone++;
    log->ended_count -= gone;
    if (gone > 0 && log->ended_count > 0)
        memmove(log->ended, log->ended + gone, log->ended_count * sizeof *log->ended);
}

bool log__reserve_transactions(struct log *log, const struct batch_view *batches, size_t count)
{
    uint32_t markers = 0;
    for (size_t i = 0; i < count; i++)
        markers += (batches[i].attributes & BATCH_ATTRIBUTE_CONTROL) != 0;
    if (markers == 0)
        return true;
    if (log->ended_capacity - log->ended_count < markers) {
        uint32_t capacity = 2 * (log->ended_count + markers);
        struct ended_transaction *ended = realloc(log->ended, capacity * sizeof *ended);
        if (!ended)
            return false;
        log->ended = ended;
        log->ended_capacity = capacity;
    }
    /* The entries go to the segment that the markers do, which a roll may bring. */
    struct txn_index *active = &log__active(log)->aborted;
    bool ok = txn_index_reserve(active, log->env->retire, markers);
    for (struct segment_spare *spare = log->spares; spare && ok; spare = spare->next)
        ok = txn_index_reserve(&spare->segment->aborted, NULL, markers);
    return ok;
}

void log__note_begun(struct log *log, int64_t first_offset)
{
    if (log->first_open < 0)
        log->first_open = first_offset; /* later ones begin behind it */
}

void log__note_ended(struct log *log, const struct producer_marker *marker, int64_t first_offset,
                     int64_t marker_offset)
{
    if (first_offset < 0)
        return; /* the end of a transaction that wrote nothing here */
    if (first_offset == log->first_open)
        log->first_open = producer_state_first_open(log->producers);
    check(log->ended_count < log->ended_capacity);
    log->ended[log->ended_count++] = (struct ended_transaction){ first_offset, marker_offset };
    if (!marker->is_abort)
        return;
    struct aborted_transaction aborted = {
        .producer_id = marker->producer_id,
        .first_offset = first_offset,
        .last_offset = marker_offset,
        .last_stable_offset = log->first_open >= 0 ? log->first_open : marker_offset + 1,
    };
    txn_index_append(&log__active(log)->aborted, &aborted);
    atomic_store_explicit(&log->has_aborted, true, memory_order_release);
    log->changed = true;
}

/* -- reading --------------------------------------------------------------------------------------- */

/* What one question gathers. */
struct gathering {
    struct arena *arena;
    struct log_aborted *items;
    size_t count, capacity;
};

static bool gather(struct gathering *gathering, const struct aborted_transaction *entry)
{
    if (gathering->count == gathering->capacity) {
        size_t capacity = gathering->capacity ? 2 * gathering->capacity : 8;
        struct log_aborted *items = arena_alloc_array(gathering->arena, capacity, sizeof *items);
        if (!items)
            return false;
        if (gathering->count > 0)
            memcpy(items, gathering->items, gathering->count * sizeof *items);
        gathering->items = items;
        gathering->capacity = capacity;
    }
    gathering->items[gathering->count++] = (struct log_aborted){ entry->producer_id, entry->first_offset };
    return true;
}

/* Gathers those of one segment; *is_last: later entries are of transactions that begin at or beyond upper. */
static bool gather_segment(struct gathering *gathering, const struct txn_index *index, int64_t from,
                           int64_t upper, bool *is_last)
{
    const struct txn_block *block =
        atomic_load_explicit(&((struct txn_index *)index)->block, memory_order_acquire);
    uint32_t count = block ? atomic_load_explicit(&block->count, memory_order_acquire) : 0;
    for (uint32_t i = txn_index_find(index, from); i < count && !*is_last; i++) {
        const struct aborted_transaction *entry = &block->entries[i];
        if (entry->first_offset < upper && !gather(gathering, entry))
            return false;
        *is_last = entry->last_stable_offset >= upper;
    }
    return true;
}

enum log_status log_aborted(struct log *log, int64_t from, int64_t upper, struct arena *arena,
                            struct log_aborted **items, size_t *count)
{
    struct gathering gathering = { .arena = arena };
    struct segment_list *list = log__segments(log);
    bool is_last = false;
    *items = NULL;
    *count = 0;
    if (!list)
        return log__state(log) == LOG_SHUT ? LOG_COLD : log__outcome(log, LOG_OK);
    if (from >= upper || !atomic_load_explicit(&log->has_aborted, memory_order_acquire))
        return LOG_OK;
    for (size_t i = segment_list_find(list, from); i < list->count && !is_last; i++) {
        if (!gather_segment(&gathering, &list->items[i]->aborted, from, upper, &is_last))
            return LOG_LIMIT;
    }
    *items = gathering.items;
    *count = gathering.count;
    return LOG_OK;
}

/* -- opening --------------------------------------------------------------------------------------- */

/* Takes the entries of some segments from their batches. */
struct rebuild {
    struct log_walk walk;             /* first */
    struct producer_state *producers; /* of the transactional batches only */
    struct txn_index *index;          /* of the segment that is walked; NULL: it is not asked for */
    const struct txn_index *known;    /* what is known of that segment already; NULL: nothing */
};

static enum log_status rebuild_end(struct rebuild *rebuild, const struct producer_marker *marker,
                                   int64_t offset)
{
    int64_t first = producer_state_open_transaction(rebuild->producers, marker->producer_id);
    producer_state_mark(rebuild->producers, marker, 0);
    if (first < 0 || !marker->is_abort || !rebuild->index)
        return LOG_OK;
    int64_t open = producer_state_first_open(rebuild->producers);
    struct aborted_transaction aborted = {
        .producer_id = marker->producer_id,
        .first_offset = first,
        .last_offset = offset,
        .last_stable_offset = open >= 0 ? open : offset + 1,
    };
    if (!txn_index_reserve(rebuild->index, NULL, 1))
        return LOG_LIMIT;
    txn_index_append(rebuild->index, &aborted);
    return LOG_OK;
}

/* The end of a transaction is in the record of a control batch. */
static enum log_status rebuild_marker(struct rebuild *rebuild, const struct segment_scan *scan)
{
    struct producer_marker marker;
    bool is_marker;
    if (!log__read_marker(scan, rebuild->producers, &marker, &is_marker))
        return LOG_LIMIT;
    return is_marker ? rebuild_end(rebuild, &marker, scan->head.last_offset) : LOG_OK;
}

static bool ends_at(const struct txn_index *index, int64_t offset)
{
    const struct txn_block *block = atomic_load(&((struct txn_index *)(uintptr_t)index)->block);
    uint32_t count = txn_index_count(index);
    for (uint32_t i = 0; i < count; i++) {
        if (block->entries[i].last_offset == offset)
            return true;
    }
    return false;
}

static enum log_status rebuild_damaged(struct log_walk *walk, const struct quarantine_range *range)
{
    struct rebuild *rebuild = (struct rebuild *)walk;
    struct producer_marker marker;
    bool is_lost = log__lost_marker(rebuild->producers, range->first, range->next,
                                    range->end_position - range->position, &marker);
    if (is_lost && rebuild->known)
        marker.is_abort = ends_at(rebuild->known, range->first);
    return is_lost ? rebuild_end(rebuild, &marker, range->first) : LOG_OK;
}

static enum log_status rebuild_visit(struct log_walk *walk, const struct segment_scan *scan)
{
    struct rebuild *rebuild = (struct rebuild *)walk;
    bool is_control = (scan->view.attributes & BATCH_ATTRIBUTE_CONTROL) != 0;
    if (scan->view.producer_id < 0 ||
        (!is_control && (scan->view.attributes & BATCH_ATTRIBUTE_TRANSACTIONAL) == 0))
        return LOG_OK;
    if (!producer_state_reserve(&rebuild->producers, 1, 1))
        return LOG_LIMIT;
    if (is_control)
        return rebuild_marker(rebuild, scan);
    producer_state_note(rebuild->producers, &scan->view, 0, 0);
    return LOG_OK;
}

/* The transactions that are open at the newest snapshot at or below offset; *from is that snapshot's offset,
 * or 0. */
static enum log_status open_before(struct rebuild *rebuild, int64_t offset, int64_t *from)
{
    struct log *log = rebuild->walk.log;
    struct log_directory directory;
    enum log_status status = log__status_of(log_directory_load(&log->home, false, &directory));
    *from = 0;
    for (size_t i = status == LOG_OK ? directory.snapshot_count : 0; i > 0 && status == LOG_OK; i--) {
        struct producer_entry *entries;
        size_t count;
        bool is_complete;
        if (directory.snapshots[i - 1] > offset)
            continue;
        enum file_status read = producer_files_read(log->env->files, log->path, directory.snapshots[i - 1],
                                                    &entries, &count, &is_complete);
        if (read == FILE_LIMIT)
            status = LOG_LIMIT;
        if (read != FILE_OK)
            continue;
        if (count > 0 && !producer_state_reserve(&rebuild->producers, count, count))
            status = LOG_LIMIT;
        for (size_t k = 0; k < count && status == LOG_OK; k++) {
            if (entries[k].current_txn_first_offset >= 0)
                producer_state_put(rebuild->producers, &entries[k]);
        }
        free(entries);
        *from = directory.snapshots[i - 1];
        break;
    }
    log_directory_free(&directory);
    return status;
}

/* Rebuilds the entries of the segments whose index is_rewritten, from first on. */
static enum log_status rebuild_aborted(struct log *log, struct segment_list *list, size_t first)
{
    struct rebuild rebuild = { .walk = { .log = log,
                                         .until = INT64_MAX,
                                         .visit = rebuild_visit,
                                         .damaged = rebuild_damaged,
                                         .io_fails = true } };
    int64_t from;
    enum log_status status = open_before(&rebuild, list->items[first]->base_offset, &from);
    rebuild.walk.from = from;
    for (size_t i = segment_list_find(list, from); i < list->count && status == LOG_OK; i++) {
        struct txn_index *index = &list->items[i]->aborted;
        rebuild.index = i >= first && index->is_rewritten ? index : NULL;
        rebuild.known = index->is_rewritten ? NULL : index;
        status = log__walk_segment(&rebuild.walk, list->items[i]);
    }
    producer_state_destroy(rebuild.producers);
    return status;
}

static bool has_same_entries(const struct txn_index *a, const struct txn_index *b)
{
    const struct txn_block *blocks[] = { atomic_load(&((struct txn_index *)a)->block),
                                         atomic_load(&((struct txn_index *)b)->block) };
    uint32_t count = txn_index_count(a);
    if (count != txn_index_count(b))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct aborted_transaction *x = &blocks[0]->entries[i], *y = &blocks[1]->entries[i];
        if (x->producer_id != y->producer_id || x->first_offset != y->first_offset ||
            x->last_offset != y->last_offset || x->last_stable_offset != y->last_stable_offset)
            return false;
    }
    return true;
}

enum log_status log__rebuild_aborted(struct log *log, struct segment *segment, bool *is_other)
{
    struct txn_index fresh = { .file = NULL };
    struct rebuild rebuild = { .walk = { .log = log,
                                         .until = INT64_MAX,
                                         .visit = rebuild_visit,
                                         .damaged = rebuild_damaged,
                                         .io_fails = true } };
    struct segment_list *list = log__segments(log);
    int64_t from;
    enum log_status status = open_before(&rebuild, segment->base_offset, &from);
    rebuild.walk.from = from;
    for (size_t i = segment_list_find(list, from); i < list->count && status == LOG_OK; i++) {
        rebuild.index = list->items[i] == segment ? &fresh : NULL;
        rebuild.known = &list->items[i]->aborted;
        status = log__walk_segment(&rebuild.walk, list->items[i]);
        if (list->items[i] == segment)
            break;
    }
    producer_state_destroy(rebuild.producers);
    *is_other = status == LOG_OK && !has_same_entries(&fresh, &segment->aborted);
    if (*is_other) {
        pthread_mutex_lock(&log->mutex);
        struct txn_block *old = atomic_exchange(&segment->aborted.block, atomic_exchange(&fresh.block, NULL));
        if (txn_index_count(&segment->aborted) > 0)
            atomic_store_explicit(&log->has_aborted, true, memory_order_release);
        pthread_mutex_unlock(&log->mutex);
        if (old)
            retire(log->env->retire, old, free);
    }
    txn_index_destroy(&fresh);
    return status;
}

/* What the file says of one segment; false: it has to be rebuilt. */
static enum log_status load_segment(struct log *log, struct segment *segment, int64_t next_base,
                                    const struct segment_files *files, bool is_believed, bool *is_good)
{
    *is_good = true;
    if (files->has_txn_index) {
        enum file_status status = txn_index_load(&segment->aborted, &log->home, segment->base_offset,
                                                 next_base, atomic_load(&segment->size), is_good);
        if (status == FILE_LIMIT)
            return LOG_LIMIT;
        *is_good = *is_good && status == FILE_OK;
        if (!*is_good)
            note_warn("log.index_rebuilt", "log=%s base_offset=%lld reason=txnindex_damaged", log->name,
                      (long long)segment->base_offset);
    }
    bool may_have_markers = segment->has_markers || atomic_load(&segment->quarantine); /* or what was one */
    if (!is_believed && (txn_index_count(&segment->aborted) > 0 || may_have_markers))
        *is_good = false;
    return LOG_OK;
}

enum log_status log__load_aborted(struct log *log, struct segment_list *list,
                                  const struct log_directory *directory, bool unclean, size_t first_walked)
{
    size_t first_bad = SIZE_MAX;
    bool has_some = false;
    for (size_t i = 0; i < list->count; i++) {
        struct segment *segment = list->items[i];
        bool is_good;
        int64_t next = i + 1 < list->count ? list->items[i + 1]->base_offset : INT64_MAX;
        /* Who made the .index anew, as after a full disk, does not believe its neighbour (as Kafka). */
        bool is_believed = directory->segments[i].has_offset_index && !(unclean && i >= first_walked);
        enum log_status loaded =
            load_segment(log, segment, next, &directory->segments[i], is_believed, &is_good);
        if (loaded != LOG_OK)
            return loaded;
        if (!is_good) {
            txn_index_reset(&segment->aborted);
            first_bad = i < first_bad ? i : first_bad;
        }
    }
    enum log_status status = first_bad == SIZE_MAX ? LOG_OK : rebuild_aborted(log, list, first_bad);
    for (size_t i = 0; i < list->count; i++)
        has_some |= txn_index_count(&list->items[i]->aborted) > 0;
    atomic_store_explicit(&log->has_aborted, has_some, memory_order_release);
    log->changed |= first_bad != SIZE_MAX;
    return status;
}

enum log_status log__read_first_open(struct log *log, int64_t end_offset, int64_t *first_open)
{
    struct producer_entry *entries;
    size_t count;
    bool is_complete;
    enum file_status status =
        producer_files_read(log->env->files, log->path, end_offset, &entries, &count, &is_complete);
    if (status == FILE_LIMIT)
        return LOG_LIMIT;
    if (status != FILE_OK)
        return LOG_NOT_FOUND;
    *first_open = -1;
    for (size_t i = 0; i < count; i++) {
        int64_t offset = entries[i].current_txn_first_offset;
        if (offset >= 0 && (*first_open < 0 || offset < *first_open))
            *first_open = offset;
    }
    free(entries);
    return LOG_OK;
}
