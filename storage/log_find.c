/* Looking records up by time: the time index narrows, a scan of batches finds, their records decide. */
#include "storage/log_struct.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "storage/recovery.h"
#include "storage/segment_scan.h"

/* One segment of a search, opened. */
struct place {
    struct log *log;
    struct segment *segment;
    struct open_file *data;
    uint32_t limit;    /* bytes that are published */
    int64_t next_base; /* the next segment's, or the log end offset */
    bool is_active;
};

static enum log_status place_open(struct place *place, struct log *log, const struct segment_list *list,
                                  size_t i, const struct log_moment *m)
{
    enum file_status status;
    struct segment *segment = list->items[i];
    /* The moment may be older than the list: then it tells of a predecessor. */
    bool is_end = segment->base_offset == m->end_base && !atomic_load(&segment->is_rewritten);
    *place = (struct place){
        .log = log,
        .segment = segment,
        .limit = is_end ? m->end_position : atomic_load_explicit(&segment->size, memory_order_acquire),
        .next_base = is_end || i + 1 == list->count ? m->end : list->items[i + 1]->base_offset,
        .is_active = is_end,
    };
    place->data = segment_data(segment, &log->home, FILE_READ | FILE_WRITE, true, &status);
    return place->data ? LOG_OK : log__status_of(status) == LOG_LIMIT ? LOG_LIMIT : LOG_IO;
}

/* What the time index knows: a call of `question` on its entries. */
struct time_question {
    const struct index_view *view;
    int64_t key;
    bool (*find)(const struct index_view *view, int64_t key, struct time_entry *out);
    struct time_entry entry;
    bool ok;
};

static void ask(void *context)
{
    struct time_question *question = context;
    question->ok = question->find(question->view, question->key, &question->entry);
}

static struct time_entry ask_time_index(const struct place *place, int64_t key,
                                        bool (*find)(const struct index_view *, int64_t, struct time_entry *))
{
    char path[SEGMENT_PATH_MAX];
    struct index_view view;
    struct time_question question = { .view = &view, .key = key, .find = find, .entry = { -1, 0 } };
    segment_path(&place->log->home, place->segment->base_offset, ".timeindex", path);
    if (segment_index_view(&place->segment->times, &place->log->home, path, true, &view) != INDEX_OK)
        return question.entry;
    if (!view.mapping)
        ask(&question);
    else if (!file_guarded(ask, &question))
        question.ok = false;
    index_view_close(&view);
    return question.ok ? question.entry : (struct time_entry){ -1, 0 };
}

struct offset_question {
    const struct index_view *view;
    int64_t relative;
    struct offset_entry entry;
    bool ok;
};

static void ask_offset(void *context)
{
    struct offset_question *question = context;
    question->ok = offset_index_find(question->view, question->relative, &question->entry);
}

/* A position at or before the batch that holds offset; 0 when in doubt. */
static uint32_t position_before(const struct place *place, int64_t offset)
{
    char path[SEGMENT_PATH_MAX];
    struct index_view view;
    struct offset_question question = { .view = &view, .relative = offset - place->segment->base_offset };
    segment_path(&place->log->home, place->segment->base_offset, ".index", path);
    if (segment_index_view(&place->segment->offsets, &place->log->home, path, true, &view) != INDEX_OK)
        return 0;
    if (!view.mapping)
        ask_offset(&question);
    else if (!file_guarded(ask_offset, &question))
        question.ok = false;
    index_view_close(&view);
    return question.ok && question.entry.position < place->limit ? question.entry.position : 0;
}

/* Begins a scan at or before offset. An index that leads astray costs a scan from the start. */
static bool scan_from(const struct place *place, int64_t offset, struct segment_scan *scan)
{
    uint32_t position = position_before(place, offset);
    if (!segment_scan_begin(scan, place->data->file, position, place->limit, place->segment->base_offset,
                            false))
        return false;
    scan->bound = place->next_base;
    if (position > 0 && (segment_scan_next(scan) != SCAN_BATCH || scan->head.base_offset > offset)) {
        scan->buffer_size = 0;
        position = 0;
    }
    scan->position = position;
    scan->expected = place->segment->base_offset;
    return true;
}

/* Steps to the next readable batch; damage is stepped over. False: the end, or *failed. */
static bool scan_step(const struct place *place, struct segment_scan *scan, bool *failed)
{
    const struct quarantine *quarantine =
        atomic_load_explicit(&place->segment->quarantine, memory_order_acquire);
    for (;;) {
        switch (segment_scan_next(scan)) {
        case SCAN_BATCH:
            if (quarantine_find(quarantine, scan->head.base_offset))
                continue;
            return true;
        case SCAN_DAMAGED:
            if (segment_scan_resync(scan))
                continue;
            return false;
        case SCAN_IO:
            *failed = true;
            return false;
        case SCAN_END:
            return false;
        }
        check_unreachable("scan_result");
    }
}

/* Finds the first record of the scan's batch with timestamp >= target and offset >= from. */
static enum log_status find_record(struct segment_scan *scan, int64_t target, int64_t from,
                                   struct log_found *out)
{
    struct arena arena;
    struct batch_view batch;
    struct record record;
    enum log_status status = LOG_NOT_FOUND;
    uint8_t *bytes = malloc(scan->head.size);
    if (!bytes)
        return LOG_LIMIT;
    arena_init(&arena, NULL);
    if (!segment_scan_copy(scan, bytes) || batch_view(slice_of(bytes, scan->head.size), &batch) != BATCH_OK ||
        !batch_crc_ok(&batch)) {
        status = LOG_CORRUPT;
        goto free_bytes;
    }
    struct record_iterator *iterator = record_iterator_open(&batch, &arena, INT32_MAX);
    if (!iterator) {
        status = LOG_LIMIT;
        goto free_bytes;
    }
    while (record_iterator_next(iterator, &record) == BATCH_OK) {
        if (record.timestamp < target || record.offset < from)
            continue;
        *out = (struct log_found){ record.offset, record.timestamp, batch.leader_epoch };
        status = LOG_OK;
        break;
    }
    record_iterator_close(iterator);
free_bytes:
    arena_destroy(&arena);
    free(bytes);
    return status;
}

/* Whether the segment may hold a record that late; the answer may be a cautious yes. */
static bool may_hold(const struct place *place, int64_t timestamp)
{
    if (place->is_active)
        return true;
    struct time_entry last = ask_time_index(place, INT64_MAX, time_index_find);
    return last.timestamp >= timestamp || last.timestamp < 0;
}

static enum log_status find_in_segment(const struct place *place, int64_t timestamp, int64_t from,
                                       int64_t bound, struct log_found *out)
{
    struct segment_scan scan;
    bool failed = false;
    enum log_status status = LOG_NOT_FOUND;
    /* Every batch before the one that this entry names is earlier than its timestamp. */
    struct time_entry entry = ask_time_index(place, timestamp, time_index_find);
    int64_t begin = place->segment->base_offset + entry.relative;
    if (begin < from)
        begin = from;
    if (!scan_from(place, begin, &scan))
        return LOG_LIMIT;
    while (status == LOG_NOT_FOUND && scan_step(place, &scan, &failed) && scan.head.base_offset < bound) {
        if (scan.head.max_timestamp >= timestamp && scan.head.last_offset >= from)
            status = find_record(&scan, timestamp, from, out);
    }
    segment_scan_end(&scan);
    return failed ? LOG_IO : status;
}

/* Makes sure that the log is open; an empty one without a directory has nothing to find. */
static enum log_status open_for_search(struct log *log)
{
    enum log_status status = LOG_OK;
    pthread_mutex_lock(&log->prepare_mutex);
    switch (log__state(log)) {
    case LOG_ABSENT:
        status = LOG_NOT_FOUND;
        break;
    case LOG_SHUT:
        status = log__open_shut(log);
        status = status == LOG_NOT_FOUND ? LOG_IO : status;
        break;
    case LOG_OPEN:
        break;
    case LOG_ENDED:
        status = LOG_CLOSED;
        break;
    }
    pthread_mutex_unlock(&log->prepare_mutex);
    log->host->used(log->host, log);
    return status;
}

struct time_entry log__last_time_entry(struct log *log, struct segment *segment)
{
    struct place place = { .log = log, .segment = segment };
    bool had_mapping = atomic_load(&segment->times.mapping) != NULL;
    struct time_entry last = ask_time_index(&place, 0, time_index_end);
    if (!had_mapping)
        mapping_retire(&log->home, atomic_exchange(&segment->times.mapping, NULL));
    return last;
}

/* What was found in a segment, unless that went meanwhile. LOG_BUSY: search anew. */
static enum log_status unless_gone(const struct place *place, const struct segment_list *list,
                                   enum log_status status)
{
    if (!atomic_load(&place->segment->is_gone))
        return status;
    status = log__gone_status(place->log, list);
    return status == LOG_COLD ? LOG_BUSY : status; /* to open the log is to wait for the names */
}

static enum log_status search_timestamp(struct log *log, int64_t timestamp_ms, int64_t bound,
                                        struct log_found *out)
{
    enum log_status status = open_for_search(log);
    if (status != LOG_OK)
        return status;
    struct log_moment m = log__moment(log);
    struct segment_list *list = log__segments(log);
    if (bound > m.end)
        bound = m.end;
    status = list ? LOG_NOT_FOUND : LOG_LIMIT; /* closed again this very moment */
    for (size_t i = list ? segment_list_find(list, m.start) : 0;
         status == LOG_NOT_FOUND && i < list->count && list->items[i]->base_offset < bound; i++) {
        struct place place;
        status = place_open(&place, log, list, i, &m);
        if (status == LOG_OK)
            status = may_hold(&place, timestamp_ms)
                         ? find_in_segment(&place, timestamp_ms, m.start, bound, out)
                         : LOG_NOT_FOUND;
        status = unless_gone(&place, list, status);
    }
    return status == LOG_OK && out->offset >= bound ? LOG_NOT_FOUND : status;
}

enum log_status log_find_timestamp(struct log *log, int64_t timestamp_ms, int64_t bound,
                                   struct log_found *out)
{
    enum log_status status;
    do
        status = search_timestamp(log, timestamp_ms, bound, out);
    while (status == LOG_BUSY);
    return log__outcome(log, status);
}

/* The batch with the largest timestamp of a segment below bound, the first of equals. */
struct latest {
    int64_t timestamp; /* -1: none */
    int64_t last_offset;
    size_t segment;
};

/* Beats *latest by what the segment holds below bound: the index up to its last entry, a scan behind it. */
static enum log_status latest_in_segment(const struct place *place, size_t i, int64_t from, int64_t bound,
                                         struct latest *latest)
{
    struct segment_scan scan;
    bool failed = false;
    int64_t base = place->segment->base_offset;
    struct time_entry entry = ask_time_index(place, bound - base, time_index_find_below);
    bool whole = !place->is_active && bound >= place->next_base && entry.timestamp >= 0;
    bool usable = entry.timestamp >= 0 && base + entry.relative >= from;
    if (usable && entry.timestamp > latest->timestamp)
        *latest = (struct latest){ entry.timestamp, base + entry.relative, i };
    if (whole && usable)
        return LOG_OK; /* the final entry of a sealed segment says it all */
    int64_t begin = usable ? base + entry.relative : base;
    if (!scan_from(place, begin > from ? begin : from, &scan))
        return LOG_LIMIT;
    while (scan_step(place, &scan, &failed) && scan.head.last_offset < bound) {
        if (scan.head.max_timestamp > latest->timestamp && scan.head.last_offset >= from)
            *latest = (struct latest){ scan.head.max_timestamp, scan.head.last_offset, i };
    }
    segment_scan_end(&scan);
    return failed ? LOG_IO : LOG_OK;
}

static enum log_status search_max_timestamp(struct log *log, int64_t bound, struct log_found *out)
{
    enum log_status status = open_for_search(log);
    if (status != LOG_OK)
        return status;
    struct log_moment m = log__moment(log);
    struct segment_list *list = log__segments(log);
    struct latest latest = { .timestamp = -1 };
    struct place place;
    if (!list)
        return LOG_LIMIT;
    if (bound > m.end)
        bound = m.end;
    for (size_t i = segment_list_find(list, m.start);
         status == LOG_OK && i < list->count && list->items[i]->base_offset < bound; i++) {
        status = place_open(&place, log, list, i, &m);
        if (status == LOG_OK)
            status = latest_in_segment(&place, i, m.start, bound, &latest);
        status = unless_gone(&place, list, status);
    }
    if (status != LOG_OK || latest.timestamp < 0)
        return status != LOG_OK ? status : LOG_NOT_FOUND;
    status = place_open(&place, log, list, latest.segment, &m);
    if (status == LOG_OK)
        status = find_in_segment(&place, latest.timestamp, m.start, bound, out);
    return unless_gone(&place, list, status);
}

enum log_status log_find_max_timestamp(struct log *log, int64_t bound, struct log_found *out)
{
    enum log_status status;
    do
        status = search_max_timestamp(log, bound, out);
    while (status == LOG_BUSY);
    return log__outcome(log, status);
}
