/* Verifying what a log has on the device: finding the place, walking the batches. */
#include "storage/scrubber.h"

#include <stdlib.h>

#include "protocol/base/note.h"
#include "storage/scrubber_internal.h"

enum { BLOCK_SIZE = 4096, STOP_INTERVAL = 64 << 10, LOOKS_MAX = 3 };

/* --- reading -------------------------------------------------------------------------------------- */

/* Block by block, so that one bad sector costs the batches in it and no others. */
static void read_blocks(struct segment_scan *scan, uint8_t *out, size_t size, uint64_t position)
{
    struct scrub_reader *reader = scan->context;
    for (size_t at = 0, piece; at < size; at += piece) {
        size_t got;
        piece = BLOCK_SIZE - (position + at) % BLOCK_SIZE;
        if (piece > size - at)
            piece = size - at;
        enum file_status status =
            file_pread_aside(scan->file, out + at, piece, position + at, reader->from_device, &got);
        if (status == FILE_OK && got == piece)
            continue;
        memset(out + at, 0, piece);
        if (reader->refused_to == 0)
            reader->refused_from = position + at;
        reader->refused_to = position + at + piece;
    }
}

static enum file_status read_aside(struct segment_scan *scan, void *out, size_t size, uint64_t position,
                                   size_t *got)
{
    struct scrub_reader *reader = scan->context;
    enum file_status status = file_pread_aside(scan->file, out, size, position, reader->from_device, got);
    if (status == FILE_LIMIT)
        return status;
    if (status != FILE_OK || *got < size)
        read_blocks(scan, out, size, position);
    *got = size;
    return FILE_OK;
}

bool scrub__scan_begin(struct scrub_walk *walk, struct segment_scan *scan, struct scrub_reader *reader,
                       uint64_t position, int64_t expected)
{
    if (!segment_scan_begin(scan, walk->file->file, position, walk->limit, expected, true))
        return false;
    scan->bound = walk->bound;
    scan->read = read_aside;
    scan->context = reader;
    return true;
}

/* --- what a batch must be ------------------------------------------------------------------------- */

enum scan_result scrub__next(struct segment_scan *scan)
{
    uint64_t position = scan->position;
    int64_t expected = scan->expected;
    enum scan_result result = segment_scan_next(scan);
    /* Compaction leaves fewer records than offsets, even none; more there never are. */
    if (result == SCAN_BATCH &&
        (scan->view.record_count < 0 ||
         (int64_t)scan->view.record_count > scan->head.last_offset - scan->head.base_offset + 1)) {
        scan->position = position;
        scan->expected = expected;
        return SCAN_DAMAGED;
    }
    return result;
}

static void look_up_epoch(struct scrub_walk *walk, int64_t offset)
{
    struct log *log = walk->log;
    pthread_mutex_lock(&log->mutex);
    const struct leader_epochs *epochs = &log->epochs;
    walk->epoch = -1;
    walk->epoch_latest = leader_epochs_latest(epochs);
    walk->epoch_from = INT64_MIN;
    walk->epoch_to = INT64_MAX;
    for (uint32_t i = 0; i < epochs->count; i++) {
        if (epochs->entries[i].start_offset > offset) {
            walk->epoch_to = epochs->entries[i].start_offset;
            break;
        }
        walk->epoch = epochs->entries[i].epoch;
        walk->epoch_from = epochs->entries[i].start_offset;
    }
    pthread_mutex_unlock(&log->mutex);
}

bool scrub__is_epoch_odd(struct scrub_walk *walk, const struct batch_head *head)
{
    if (head->base_offset < walk->epoch_from || head->base_offset >= walk->epoch_to)
        look_up_epoch(walk, head->base_offset);
    if (head->leader_epoch == -1) /* of a log that is older than epochs */
        return false;
    return walk->epoch >= 0 ? head->leader_epoch != walk->epoch : head->leader_epoch > walk->epoch_latest;
}

/* --- the place ------------------------------------------------------------------------------------ */

const struct quarantine_range *scrub__piece(const struct scrub_walk *walk, uint64_t position,
                                            int64_t expected, uint64_t *limit, int64_t *bound)
{
    *limit = walk->limit;
    *bound = walk->bound;
    for (uint32_t i = 0; walk->quarantine && i < walk->quarantine->count; i++) {
        const struct quarantine_range *range = &walk->quarantine->ranges[i];
        if (range->end_position <= position && range->next <= expected)
            continue;
        if (range->position >= walk->limit && range->next > walk->bound)
            break;
        *limit = range->position > position ? range->position : position;
        *bound = range->first;
        return range;
    }
    return NULL;
}

bool scrub__is_same(const struct scrub_walk *walk)
{
    struct log *log = walk->log;
    bool same = false;
    pthread_mutex_lock(&log->mutex);
    if (log__state(log) == LOG_OPEN && log->rewrite_count == walk->cursor->rewrites &&
        !atomic_load(&walk->segment->is_gone)) {
        struct segment_list *list = log__segments(log);
        same = list->items[segment_list_find(list, walk->segment->base_offset)] == walk->segment;
    }
    pthread_mutex_unlock(&log->mutex);
    return same;
}

void scrub_cursor_reset(struct scrub_cursor *cursor)
{
    if (cursor->walked)
        segment_destroy(cursor->walked);
    *cursor = (struct scrub_cursor){ .base_offset = 0 };
}

/* At the begin of the segment. walked stays. */
static void begin_segment(struct scrub_cursor *cursor, const struct log *log, int64_t base_offset)
{
    *cursor = (struct scrub_cursor){
        .base_offset = base_offset,
        .is_inside = true,
        .was_shut = cursor->was_shut,
        .rewrites = log->rewrite_count,
        .expected = base_offset,
        .max_timestamp = -1,
        .offsets = { .last = -1, .last_relative = -1 },
        .times = { .last = -1, .last_relative = -1 },
        .walked = cursor->walked,
    };
}

static void leave_segment(struct scrub_cursor *cursor)
{
    bool was_shut = cursor->was_shut;
    int64_t next = cursor->base_offset + 1;
    scrub_cursor_reset(cursor);
    cursor->base_offset = next;
    cursor->was_shut = was_shut;
}

/* What of the segment is on the device, and the offset behind it. Under the mutex. */
static void find_limit(struct scrub_walk *walk, const struct segment_list *list, size_t i)
{
    const struct log *log = walk->log;
    struct log_moment m = log__moment(log);
    const struct log_position *durable = &log->durable;
    int64_t base = walk->segment->base_offset;
    int64_t next_base = i + 1 < list->count ? list->items[i + 1]->base_offset : INT64_MAX;
    walk->limit = 0;
    walk->bound = base;
    if (next_base <= durable->offset) {
        walk->limit = atomic_load(&walk->segment->size);
        walk->bound = next_base;
        walk->is_whole = walk->segment->flushed;
    } else if (durable->segment_base == base) {
        walk->limit = durable->position;
        walk->bound = durable->offset;
    } else if (durable->segment_base < 0 && m.end_base == base && m.durable == m.end) {
        walk->limit = m.end_position;
        walk->bound = m.end;
    }
}

/* The segment that the cursor asks for. LOG_COLD: the log is shut. LOG_OK without one: the log is through. */
static enum log_status find_segment(struct scrub_walk *walk)
{
    struct log *log = walk->log;
    struct scrub_cursor *cursor = walk->cursor;
    enum log_status status = LOG_OK;
    pthread_mutex_lock(&log->mutex);
    enum log_state state = log__state(log);
    if (state != LOG_OPEN) {
        status = state == LOG_SHUT ? LOG_COLD : state == LOG_ENDED ? LOG_CLOSED : LOG_OK;
    } else {
        struct segment_list *list = log__segments(log);
        size_t i = segment_list_find(list, cursor->base_offset);
        int64_t start = log__moment(log).start;
        /* What lies below the start goes by itself. */
        while (i < list->count && (list->items[i]->base_offset < cursor->base_offset ||
                                   (i + 1 < list->count && list->items[i + 1]->base_offset <= start)))
            i++;
        walk->segment = i < list->count ? list->items[i] : NULL;
        if (walk->segment) {
            bool goes_on = cursor->is_inside && cursor->base_offset == walk->segment->base_offset &&
                           cursor->rewrites == log->rewrite_count;
            if (!goes_on && cursor->walked) {
                segment_destroy(cursor->walked);
                cursor->walked = NULL;
            }
            find_limit(walk, list, i);
            if (!goes_on)
                begin_segment(cursor, log, walk->segment->base_offset);
            if (!goes_on)
                cursor->has_indexes = walk->is_whole;
        }
    }
    pthread_mutex_unlock(&log->mutex);
    return status;
}

/* Its files, opened for this alone. */
static enum log_status open_files(struct scrub_walk *walk)
{
    struct log *log = walk->log;
    char path[SEGMENT_PATH_MAX];
    if (!log->host->may_open(log->host, 3, 0))
        return LOG_LIMIT;
    segment_path(&log->home, walk->segment->base_offset, ".log", path);
    enum file_status opened = open_file_open(&log->home, path, FILE_READ, &walk->file);
    enum log_status status = opened == FILE_OK || opened == FILE_LIMIT ? log__status_of(opened) : LOG_IO;
    if (status == LOG_OK)
        status = scrub__open_indexes(walk);
    /* Looked at last: when it is still there, all that was opened by name was its own. */
    if (atomic_load(&walk->segment->is_gone))
        status = log_health(log) == LOG_OK ? LOG_BUSY : LOG_IO;
    walk->quarantine = atomic_load_explicit(&walk->segment->quarantine, memory_order_acquire);
    return status;
}

static void close_files(struct scrub_walk *walk)
{
    scrub__close_indexes(walk);
    if (walk->file)
        pin_drop(&walk->file->pin);
    walk->file = NULL;
    segment_scan_end(&walk->scan);
}

static enum log_status open_walk(struct scrub_walk *walk)
{
    enum log_status status = find_segment(walk);
    for (int i = 0; i < LOOKS_MAX && status == LOG_COLD; i++) {
        walk->cursor->was_shut = true;
        status = log_open(walk->log);
        if (status == LOG_OK)
            status = find_segment(walk);
    }
    if (status == LOG_COLD)
        return LOG_BUSY; /* shut at once, again and again */
    if (status == LOG_OK && walk->segment)
        status = open_files(walk);
    if (status == LOG_OK && walk->segment &&
        !scrub__scan_begin(walk, &walk->scan, &walk->reader, walk->cursor->position, walk->cursor->expected))
        status = LOG_LIMIT;
    return status;
}

/* --- the walk ------------------------------------------------------------------------------------- */

static void note_odd_epochs(struct scrub_walk *walk, const struct scrub_batch *batch)
{
    if (walk->cursor->has_odd_epochs)
        return;
    walk->cursor->has_odd_epochs = true;
    note_warn("scrub.epochs_differ",
              "log=%s segment=%lld offset=%lld leader_epoch=%d effect=\"batches have another leader "
              "epoch than "
              "the log's history says; they are served\"",
              walk->log->name, (long long)walk->segment->base_offset, (long long)batch->head.base_offset,
              batch->head.leader_epoch);
}

/* The pending batch is as it should be, now that its successor is known; next: where that begins, or the
 * bound. LOG_BUSY: the cursor is elsewhere. */
static enum log_status accept(struct scrub_walk *walk, int64_t next, bool has_successor,
                              bool is_successor_odd)
{
    struct scrub_cursor *cursor = walk->cursor;
    struct scrub_batch batch = cursor->pending;
    enum log_status status = LOG_OK;
    if (!batch.is_set)
        return LOG_OK;
    if (batch.is_epoch_odd) {
        bool is_lonely = !cursor->is_before_known && !has_successor;
        bool is_sure = is_lonely ? batch.head.leader_epoch > walk->epoch_latest || batch.head.leader_epoch < 0
                                 : !(cursor->is_before_known && cursor->is_before_odd) &&
                                       !(has_successor && is_successor_odd);
        /* The metadata are replayed whatever their epochs are; without a batch of them there is no next
         * start. */
        if (is_sure && !uuid_equal(walk->log->topic_id, UUID_ONE))
            return scrub__judge_epoch(walk, next);
        note_odd_epochs(walk, &batch);
    }
    cursor->pending.is_set = false;
    cursor->is_before_known = true;
    cursor->is_before_odd = batch.is_epoch_odd;
    status = scrub__meet(walk, &batch);
    return status;
}

/* A batch that is right by itself. */
static enum log_status push(struct scrub_walk *walk, int64_t expected)
{
    struct scrub_cursor *cursor = walk->cursor;
    const struct segment_scan *scan = &walk->scan;
    struct scrub_batch batch = { scan->head, scan->batch_position, expected, true, false };
    batch.is_epoch_odd = scrub__is_epoch_odd(walk, &batch.head);
    enum log_status status = accept(walk, batch.head.base_offset, true, batch.is_epoch_odd);
    if (status != LOG_OK)
        return status;
    cursor->pending = batch;
    cursor->position = scan->position;
    cursor->expected = scan->expected;
    if (scan->view.attributes & BATCH_ATTRIBUTE_CONTROL)
        status = scrub__meet_control(walk);
    return status;
}

static enum log_status pass_range(struct scrub_walk *walk, const struct quarantine_range *range)
{
    struct scrub_cursor *cursor = walk->cursor;
    enum log_status status = accept(walk, range->first, false, false);
    if (status != LOG_OK)
        return status;
    scrub__pass_range(walk, range);
    cursor->has_damage = true;
    cursor->is_before_known = false;
    if (range->end_position > cursor->position)
        cursor->position = range->end_position;
    if (range->next > cursor->expected)
        cursor->expected = range->next;
    return LOG_OK;
}

/* Has the scan where the cursor is. */
static void take_place(struct scrub_walk *walk)
{
    struct segment_scan *scan = &walk->scan;
    if (scan->position != walk->cursor->position)
        scan->buffer_size = 0;
    scan->position = walk->cursor->position;
    scan->expected = walk->cursor->expected;
}

/* One batch, or one quarantined range, or the end: then *is_end. */
static enum log_status step(struct scrub_walk *walk, bool *is_end)
{
    struct scrub_cursor *cursor = walk->cursor;
    struct segment_scan *scan = &walk->scan;
    take_place(walk);
    const struct quarantine_range *range =
        scrub__piece(walk, cursor->position, cursor->expected, &scan->limit, &scan->bound);
    int64_t expected = cursor->expected, bound = scan->bound;
    if (range && range->position <= cursor->position)
        return pass_range(walk, range);
    switch (scrub__next(scan)) {
    case SCAN_BATCH:
        walk->counts->size += scan->head.size;
        return push(walk, expected);
    case SCAN_END:
        *is_end = !range;
        return accept(walk, bound, false, false);
    case SCAN_DAMAGED:
        return scrub__judge(walk);
    case SCAN_IO:
        return LOG_LIMIT;
    }
    return LOG_LIMIT;
}

/* One segment, or what the slice has left. LOG_OK: it is through. */
static enum log_status walk_segment(struct scrub_walk *walk, uint64_t size_end, bool (*stop)(void *),
                                    void *context)
{
    uint64_t next_stop = walk->counts->size + STOP_INTERVAL;
    bool is_end = false;
    while (!is_end) {
        enum log_status status = step(walk, &is_end);
        if (status != LOG_OK)
            return status;
        if (is_end)
            break;
        if (walk->counts->size >= size_end)
            return LOG_BUSY;
        if (stop && walk->counts->size >= next_stop) {
            if (stop(context))
                return LOG_BUSY;
            next_stop = walk->counts->size + STOP_INTERVAL;
        }
    }
    return walk->cursor->has_indexes ? scrub__finish_indexes(walk) : LOG_OK;
}

enum log_status scrubber_run(struct log *log, struct scrub_cursor *cursor, uint64_t size_max,
                             bool (*stop)(void *context), void *context, struct scrub_counts *counts)
{
    uint64_t size_end = counts->size + size_max;
    for (;;) {
        struct scrub_walk walk = {
            .log = log, .cursor = cursor, .counts = counts, .epoch_from = INT64_MAX, .epoch_latest = -1
        };
        enum log_status status = open_walk(&walk);
        bool is_log_through = status == LOG_OK && !walk.segment;
        if (status == LOG_OK && walk.segment)
            status = walk_segment(&walk, size_end, stop, context);
        close_files(&walk);
        if (is_log_through || status != LOG_OK)
            return log__outcome(log, status == LOG_COLD ? LOG_BUSY : status);
        leave_segment(cursor);
        if (counts->size >= size_end || (stop && stop(context)))
            return LOG_BUSY;
    }
}
