/* Reading: ranges of whole batches out of mapped segments, without a lock and without a copy. */
#include "storage/log_struct.h"

#include <stddef.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "storage/recovery.h"

/* What this process wrote last is taken to be in memory without asking the kernel. */
#define RECENT_SIZE_MAX (64u << 20)

/* One segment as a reader sees it. */
struct reader {
    struct log *log;
    const struct segment_list *list;
    struct segment *segment;
    const struct log_moment *moment;
    const struct quarantine *quarantine;
    struct segment_access data;
    struct index_view index;
    uint32_t limit;    /* bytes that may be touched */
    bool has_failed;   /* the device could not read them; says nothing about what they are */
    int64_t next_base; /* base offset of the next segment, or the log end offset */
};

/* A question to one segment and its answer; what a guard runs. */
struct lookup {
    struct reader *reader;
    int64_t offset;
    int64_t bound;
    size_t size_max; /* <= UINT32_MAX */
    bool at_least_one;
    bool is_doubted;        /* headers are checked against their neighbours */
    bool may_have_gaps;     /* the cleaner may have been here */
    int32_t epoch_first;    /* what the history has at offset, ... */
    int32_t epoch_last;     /* ... and at the end */
    int64_t epoch_next;     /* where the first of them ends */
    enum log_status status; /* LOG_OK, LOG_NOT_FOUND: beyond the last batch, LOG_CORRUPT */
    uint32_t scan_from;     /* where the index says that the batch is at or behind */
    uint32_t start;         /* position of the batch that holds offset */
    uint32_t end;           /* behind the last batch */
    int64_t base_offset;
    int64_t next_offset;
};

/* A sealed segment was mapped: the one that was mapped longest ago lets go of its mappings. */
static void note_mapped(struct log *log, struct segment *segment)
{
    log__lock_readers(log);
    struct segment_list *list = log__segments(log);
    /* It may have been shut and opened again since this reader's turn began. */
    bool known = !list || log__state(log) != LOG_OPEN ||
                 list->items[segment_list_find(list, segment->base_offset)] != segment;
    for (size_t i = 0; i < LOG_MAPPED_SEALED_MAX; i++)
        known |= log->mapped[i] == segment;
    if (!known) {
        struct segment **slot = &log->mapped[log->mapped_next++ % LOG_MAPPED_SEALED_MAX];
        if (*slot) {
            mapping_retire(&log->home, atomic_exchange(&(*slot)->mapping, NULL));
            mapping_retire(&log->home, atomic_exchange(&(*slot)->offsets.mapping, NULL));
            mapping_retire(&log->home, atomic_exchange(&(*slot)->times.mapping, NULL));
        }
        *slot = segment;
    }
    log__unlock_readers(log);
}

/* Where the device failed below a mapping, pread says so instead of a signal, for the bytes that are asked
 * for. */
static enum log_status leave_distrusted(struct reader *reader, bool may_block)
{
    enum file_status status;
    if (!atomic_load_explicit(&reader->data.mapping->is_distrusted, memory_order_relaxed))
        return LOG_OK;
    reader->data.mapping = NULL;
    reader->data.file =
        segment_data(reader->segment, &reader->log->home, FILE_READ | FILE_WRITE, may_block, &status);
    if (reader->data.file)
        return LOG_OK;
    return status == FILE_OK ? LOG_COLD : status == FILE_LIMIT ? LOG_LIMIT : LOG_IO;
}

void log_range_failed(struct pin *pin)
{
    struct mapping *mapping = (struct mapping *)((char *)pin - offsetof(struct mapping, pin));
    atomic_store_explicit(&mapping->is_distrusted, true, memory_order_relaxed);
}

/* The segment that holds offset, opened for reading; what was opened may not be its own. */
static enum log_status open_reader(struct reader *reader, struct log *log, const struct log_moment *moment,
                                   int64_t offset, bool may_block)
{
    char path[SEGMENT_PATH_MAX];
    struct segment_list *list = log__segments(log);
    if (!list)
        return LOG_COLD; /* shut in this moment */
    size_t i = segment_list_find(list, offset);
    struct segment *segment = list->items[i];
    if (offset < segment->base_offset)
        return LOG_BUSY; /* the oldest went in this moment */
    /* The moment may be older than the list: then what it says of the end was said of a predecessor. */
    bool is_end = segment->base_offset == moment->end_base && !atomic_load(&segment->is_rewritten);
    *reader = (struct reader){
        .log = log,
        .list = list,
        .segment = segment,
        .moment = moment,
        .quarantine = atomic_load_explicit(&segment->quarantine, memory_order_acquire),
        .limit = is_end ? moment->end_position : atomic_load_explicit(&segment->size, memory_order_acquire),
        .next_base = is_end || i + 1 == list->count ? moment->end : list->items[i + 1]->base_offset,
    };
    bool had_mapping = atomic_load_explicit(&segment->mapping, memory_order_relaxed) != NULL;
    enum log_status status = LOG_OK;
    if (reader->limit > 0)
        status = segment_access(segment, &log->home, reader->limit,
                                atomic_load_explicit(&log->map_size_max, memory_order_relaxed), may_block,
                                &reader->data);
    if (status == LOG_OK && reader->data.mapping)
        status = leave_distrusted(reader, may_block);
    if (status != LOG_OK)
        return status;
    if (!had_mapping && reader->data.mapping && atomic_load_explicit(&segment->sealed, memory_order_acquire))
        note_mapped(log, segment);
    segment_path(&log->home, segment->base_offset, ".index", path);
    switch (segment_index_view(&segment->offsets, &log->home, path, may_block, &reader->index)) {
    case INDEX_OK:
        return LOG_OK;
    case INDEX_COLD:
        return LOG_COLD;
    case INDEX_FAILED:
        reader->index =
            (struct index_view){ .bytes = (const uint8_t *)"", .entry_size = OFFSET_INDEX_ENTRY_SIZE };
        return LOG_OK; /* only slower */
    }
    check_unreachable("index_access");
}

static void reader_close(struct reader *reader)
{
    index_view_close(&reader->index);
}

/* The segment that holds offset, opened for reading. LOG_BUSY: look again. */
static enum log_status reader_open(struct reader *reader, struct log *log, const struct log_moment *moment,
                                   int64_t offset, bool may_block)
{
    *reader = (struct reader){ .segment = NULL };
    enum log_status status = open_reader(reader, log, moment, offset, may_block);
    /* Looked at last: when it is still there, all that was opened by name was its own. */
    if (!reader->segment || !atomic_load(&reader->segment->is_gone))
        return status;
    if (status == LOG_OK)
        reader_close(reader);
    return log__gone_status(log, reader->list);
}

/* The header of the batch at position; false: none that could lie there. */
static bool read_head(struct reader *reader, uint32_t position, struct batch_head *out)
{
    uint8_t bytes[BATCH_HEADER_SIZE];
    size_t got;
    if (position > reader->limit || reader->limit - position < BATCH_HEADER_SIZE)
        return false;
    uint32_t size_max = reader->limit - position;
    bool ok;
    if (reader->data.mapping) {
        ok = batch_head_read(reader->data.mapping->map.address + position, size_max, out);
    } else {
        reader->has_failed |=
            file_pread(reader->data.file->file, bytes, sizeof bytes, position, &got) != FILE_OK;
        ok = !reader->has_failed && got == sizeof bytes && batch_head_read(bytes, size_max, out);
    }
    return ok && out->base_offset >= reader->segment->base_offset && out->last_offset < reader->next_base;
}

/* Finds where the search begins, by the index alone. */
static void seek(void *context)
{
    struct lookup *lookup = context;
    struct reader *reader = lookup->reader;
    struct offset_entry entry;
    if (!offset_index_find(&reader->index, lookup->offset - reader->segment->base_offset, &entry) ||
        entry.position >= reader->limit)
        entry.position = 0;
    lookup->scan_from = quarantine_skip(reader->quarantine, lookup->offset, entry.position);
}

/* Whether a batch whose header no checksum covers (base offset, size, leader epoch) fits behind one that
 * ended before `expected`; -1: nobody knows where. */
static bool is_plausible(const struct lookup *lookup, const struct batch_head *head, int64_t expected,
                         int32_t epoch)
{
    bool fits = expected < 0 || head->base_offset == expected ||
                (lookup->may_have_gaps && head->base_offset > expected);
    return fits && head->leader_epoch >= epoch && head->leader_epoch <= lookup->epoch_last;
}

/* The base offset that a batch at this position should have, where that is known; else -1. */
static int64_t expected_at(const struct reader *reader, uint32_t position)
{
    for (uint32_t i = 0; reader->quarantine && i < reader->quarantine->count; i++) {
        if (reader->quarantine->ranges[i].end_position == position)
            return reader->quarantine->ranges[i].next;
    }
    return position == 0 ? reader->segment->base_offset : -1;
}

/* What follows the range: the next batch, damage that is known, or the end of the segment. */
static bool ends_plausibly(const struct lookup *lookup, int64_t expected)
{
    struct reader *reader = lookup->reader;
    struct batch_head head;
    if (lookup->may_have_gaps || quarantine_find(reader->quarantine, expected))
        return true;
    if (lookup->end < reader->limit)
        return read_head(reader, lookup->end, &head) && head.base_offset == expected;
    return expected == reader->next_base;
}

/* Before bytes that this process did not write are handed out for the first time. What looks odd is examined
 * as a whole, and then the walk with all CRCs has the last word. */
static bool is_range_plausible(const struct lookup *lookup)
{
    struct reader *reader = lookup->reader;
    uint64_t believed = atomic_load_explicit(&reader->segment->believed, memory_order_relaxed);
    uint32_t from = (uint32_t)(believed >> 32), to = (uint32_t)believed, position = lookup->start;
    int64_t expected = expected_at(reader, position);
    int32_t epoch = lookup->epoch_first;
    struct batch_head head;
    if ((lookup->start >= from && lookup->end <= to) || lookup->start == lookup->end)
        return true;
    while (position < lookup->end) {
        if (!read_head(reader, position, &head) || !is_plausible(lookup, &head, expected, epoch) ||
            (head.base_offset >= lookup->epoch_next && head.leader_epoch == lookup->epoch_first))
            return false;
        expected = head.last_offset + 1;
        epoch = head.leader_epoch;
        position += head.size;
    }
    if (!ends_plausibly(lookup, expected))
        return false;
    bool joins = to > from && lookup->start <= to && lookup->end >= from;
    from = joins && from < lookup->start ? from : lookup->start;
    to = joins && to > lookup->end ? to : lookup->end;
    atomic_store_explicit(&reader->segment->believed, (uint64_t)from << 32 | to, memory_order_relaxed);
    return true;
}

/* Finds the batch that holds lookup->offset, or the first one behind it. */
static void find_start(struct lookup *lookup, struct batch_head *head)
{
    struct reader *reader = lookup->reader;
    uint32_t position = lookup->scan_from;
    int64_t expected = reader->segment->base_offset;
    lookup->status = LOG_NOT_FOUND;
    for (; position < reader->limit; position += head->size) {
        lookup->status = LOG_CORRUPT;
        if (!read_head(reader, position, head) || head->base_offset < expected)
            return;
        if (lookup->is_doubted && position != lookup->scan_from &&
            !is_plausible(lookup, head, expected, INT32_MIN))
            return;
        /* The index names batches at or before the offset: this one is not, so the index is wrong. */
        if (position == lookup->scan_from && position > 0 && head->base_offset > lookup->offset &&
            quarantine_skip(reader->quarantine, lookup->offset, 0) != position)
            return;
        if (head->last_offset >= lookup->offset) {
            lookup->status = LOG_OK;
            lookup->start = position;
            lookup->base_offset = head->base_offset;
            return;
        }
        expected = head->last_offset + 1;
        lookup->status = LOG_NOT_FOUND;
    }
}

/* Walks batches from position while they end at or before stop and below bound. False: the index led to a
 * place where no batch begins. */
static bool walk_to(struct lookup *lookup, uint32_t position, uint32_t stop)
{
    struct reader *reader = lookup->reader;
    struct batch_head head;
    int64_t next = lookup->base_offset;
    bool first = true;
    while (position < reader->limit && read_head(reader, position, &head)) {
        if (first && position > lookup->start && head.base_offset <= lookup->base_offset)
            return false;
        if (first)
            next = head.base_offset;
        if (head.base_offset < next || (uint64_t)position + head.size > stop ||
            head.last_offset >= lookup->bound)
            break;
        next = head.last_offset + 1;
        position += head.size;
        first = false;
    }
    lookup->end = position;
    lookup->next_offset = next;
    return !first || position >= reader->limit || next > lookup->base_offset || position == lookup->start;
}

/* The end of what may be returned when only the bound and damage count; *next is the offset there. False: not
 * known without a walk. */
static bool known_end(const struct lookup *lookup, uint32_t *end, int64_t *next)
{
    const struct reader *reader = lookup->reader;
    const struct log_moment *m = reader->moment;
    const struct quarantine_range *damage = quarantine_after(reader->quarantine, lookup->offset);
    if (damage && damage->first < lookup->bound) {
        *end = damage->position;
        *next = damage->first;
        return true;
    }
    *end = reader->limit;
    *next = reader->next_base;
    if (lookup->bound >= reader->next_base)
        return true;
    *end = m->high_watermark_position;
    *next = m->high_watermark;
    return lookup->bound == m->high_watermark && m->high_watermark_base == reader->segment->base_offset &&
           !atomic_load(&reader->segment->is_rewritten);
}

/* Finds the start and the end of the answer. */
static void find_extent(struct lookup *lookup)
{
    struct reader *reader = lookup->reader;
    struct batch_head head;
    struct offset_entry entry;
    uint32_t end;
    int64_t next;
    find_start(lookup, &head);
    if (lookup->status != LOG_OK)
        return;
    lookup->end = lookup->start;
    lookup->next_offset = lookup->offset;
    if (head.last_offset >= lookup->bound)
        return;
    uint64_t stop = (uint64_t)lookup->start + lookup->size_max;
    bool known = known_end(lookup, &end, &next);
    if (known && end >= lookup->start && stop >= end) {
        lookup->end = end;
        lookup->next_offset = next;
        return;
    }
    if (stop < (uint64_t)lookup->start + head.size) {
        if (lookup->at_least_one) {
            lookup->end = lookup->start + head.size;
            lookup->next_offset = head.last_offset + 1;
        }
        return;
    }
    if (stop > reader->limit)
        stop = reader->limit;
    if (known && stop > end)
        stop = end;
    /* Jump over what surely belongs to the answer; the rest is less than an index interval. */
    uint32_t from = lookup->start;
    if (offset_index_find_position(&reader->index, (uint32_t)stop, &entry) && entry.position > from)
        from = entry.position;
    if (!known &&
        offset_index_find(&reader->index, lookup->bound - 1 - reader->segment->base_offset, &entry) &&
        entry.position < from)
        from = entry.position > lookup->start ? entry.position : lookup->start;
    if (!walk_to(lookup, from, (uint32_t)stop))
        (void)walk_to(lookup, lookup->start, (uint32_t)stop);
}

static void find_range(void *context)
{
    struct lookup *lookup = context;
    find_extent(lookup);
    if (lookup->status == LOG_OK && lookup->is_doubted && !is_range_plausible(lookup))
        lookup->status = LOG_CORRUPT;
}

static bool is_mapped(const struct reader *reader)
{
    return reader->data.mapping || reader->index.mapping;
}

static bool run(const struct reader *reader, void (*fn)(void *), struct lookup *lookup)
{
    if (is_mapped(reader))
        return file_guarded(fn, lookup);
    fn(lookup);
    return true;
}

/* What a look-up may touch behind the place that the index names. */
static uint32_t window_size(const struct lookup *lookup)
{
    const struct reader *reader = lookup->reader;
    uint64_t size = atomic_load_explicit(&reader->log->index_interval, memory_order_relaxed) + (uint64_t)4096;
    size += lookup->size_max;
    uint32_t left = reader->limit - (lookup->scan_from < reader->limit ? lookup->scan_from : reader->limit);
    return size < left ? (uint32_t)size : left;
}

static bool is_resident(const struct lookup *lookup)
{
    const struct reader *reader = lookup->reader;
    struct mapping *mapping = reader->data.mapping;
    if (!mapping)
        return false; /* pread may wait */
    if (lookup->scan_from >= atomic_load_explicit(&reader->segment->written_from, memory_order_relaxed) &&
        reader->limit - lookup->scan_from <= RECENT_SIZE_MAX &&
        reader->segment->base_offset == reader->moment->end_base)
        return true;
    return file_is_resident(mapping->files, mapping->map.address + lookup->scan_from, window_size(lookup));
}

static bool index_is_resident(const struct reader *reader)
{
    if (!reader->index.bytes)
        return false;
    return !reader->index.mapping || file_is_resident(reader->index.mapping->files, reader->index.bytes,
                                                      (size_t)reader->index.count * reader->index.entry_size);
}

/* What this process wrote is as it was written, and what was examined has its damage quarantined. */
static void begin_doubt(struct lookup *lookup)
{
    const struct reader *reader = lookup->reader;
    struct log *log = reader->log;
    struct segment *segment = reader->segment;
    uint64_t believed = atomic_load_explicit(&segment->believed, memory_order_relaxed);
    bool is_believed = lookup->scan_from >= believed >> 32 && reader->limit <= (uint32_t)believed;
    lookup->is_doubted =
        !is_believed && !atomic_load_explicit(&segment->examined, memory_order_acquire) &&
        lookup->scan_from < atomic_load_explicit(&segment->written_from, memory_order_relaxed);
    if (!lookup->is_doubted)
        return;
    lookup->may_have_gaps = atomic_load_explicit(&log->may_have_gaps, memory_order_relaxed);
    lookup->epoch_last = -1;
    log__lock_readers(log);
    if (log__state(log) ==
        LOG_OPEN) { /* else it was shut since this reader's turn began, and is read in anew */
        lookup->epoch_first = leader_epochs_at(&log->epochs, lookup->offset);
        lookup->epoch_last = leader_epochs_at(&log->epochs, reader->moment->end);
        lookup->epoch_next = leader_epochs_next(&log->epochs, lookup->offset);
    }
    log__unlock_readers(log);
    if (lookup->epoch_last < 0) { /* no history */
        lookup->epoch_first = INT32_MIN;
        lookup->epoch_next = INT64_MAX;
        lookup->epoch_last = INT32_MAX;
    }
}

/* Answers the look-up in one segment. LOG_COLD only when resident_only. */
static enum log_status look_up(struct lookup *lookup, bool resident_only)
{
    struct reader *reader = lookup->reader;
    if (resident_only && !index_is_resident(reader))
        return LOG_COLD;
    if (!run(reader, seek, lookup))
        return LOG_IO;
    if (lookup->scan_from >= reader->limit)
        return LOG_NOT_FOUND;
    if (resident_only && !is_resident(lookup))
        return LOG_COLD;
    begin_doubt(lookup);
    if (!run(reader, find_range, lookup) || reader->has_failed)
        return LOG_IO;
    return lookup->status;
}

/* Has the segment walked once by whoever may block; afterwards damage is quarantined and the index right. */
static enum log_status examine(struct reader *reader)
{
    struct log *log = reader->log;
    enum log_status status = LOG_CORRUPT;
    pthread_mutex_lock(&log->prepare_mutex);
    if (log__state(log) == LOG_OPEN && atomic_load(&reader->segment->is_gone))
        status = LOG_OK; /* look again */
    else if (log__state(log) == LOG_OPEN && !atomic_exchange(&reader->segment->examined, true))
        status = log__examine(log, reader->segment, reader->next_base);
    pthread_mutex_unlock(&log->prepare_mutex);
    return status;
}

enum log_status log_open(struct log *log)
{
    enum log_status status = LOG_OK;
    pthread_mutex_lock(&log->prepare_mutex);
    if (log__state(log) == LOG_SHUT)
        status = log__open_shut(log);
    else if (log__state(log) == LOG_ENDED)
        status = LOG_CLOSED;
    pthread_mutex_unlock(&log->prepare_mutex);
    return status == LOG_NOT_FOUND ? LOG_IO : status;
}

/* Brings index and data of the window into memory. */
static enum log_status populate(struct lookup *lookup)
{
    struct reader *reader = lookup->reader;
    if (reader->index.mapping && reader->index.count > 0 &&
        file_populate(reader->index.mapping->files, reader->index.bytes,
                      (size_t)reader->index.count * reader->index.entry_size) != FILE_OK)
        return LOG_IO;
    if (!run(reader, seek, lookup))
        return LOG_IO;
    struct mapping *mapping = reader->data.mapping;
    if (mapping && lookup->scan_from < reader->limit &&
        file_populate(mapping->files, mapping->map.address + lookup->scan_from, window_size(lookup)) !=
            FILE_OK)
        return LOG_IO;
    return LOG_OK;
}

/* Fills out from a look-up that found something; bytes that are not mapped are read into the arena. */
static enum log_status fill_range(const struct lookup *lookup, struct arena *arena, struct log_range *out)
{
    const struct reader *reader = lookup->reader;
    uint32_t size = lookup->end - lookup->start;
    size_t got;
    out->base_offset = lookup->base_offset;
    out->next_offset = lookup->next_offset;
    if (size == 0)
        return LOG_OK;
    if (reader->data.mapping) {
        out->bytes = slice_of(reader->data.mapping->map.address + lookup->start, size);
        out->pin = &reader->data.mapping->pin;
        return LOG_OK;
    }
    uint8_t *bytes = arena ? arena_alloc(arena, size) : NULL;
    if (!bytes)
        return LOG_LIMIT;
    if (file_pread(reader->data.file->file, bytes, size, lookup->start, &got) != FILE_OK || got != size)
        return LOG_IO;
    out->bytes = slice_of(bytes, size);
    return LOG_OK;
}

/* Reads what is found and not mapped once, so that the device's word on it is known before anybody waits for
 * it. */
static enum log_status read_once(const struct lookup *lookup)
{
    enum { PIECE_SIZE = 64 << 10 };
    const struct reader *reader = lookup->reader;
    enum log_status status = LOG_OK;
    size_t got;
    if (reader->data.mapping || lookup->end == lookup->start)
        return LOG_OK;
    uint8_t *bytes = malloc(PIECE_SIZE);
    if (!bytes)
        return LOG_LIMIT;
    for (uint32_t at = lookup->start, size; at < lookup->end && status == LOG_OK; at += size) {
        size = lookup->end - at < PIECE_SIZE ? lookup->end - at : PIECE_SIZE;
        if (file_pread(reader->data.file->file, bytes, size, at, &got) != FILE_OK || got != size)
            status = LOG_IO;
    }
    free(bytes);
    return status;
}

/* Hands out what was found. When that cannot be read as a whole, the first batch is tried alone: a reader
 * gets as far as the damage. */
static enum log_status hand_out(struct lookup *lookup, bool resident_only, bool warm, struct arena *arena,
                                struct log_range *out)
{
    enum log_status status = warm ? read_once(lookup) : fill_range(lookup, arena, out);
    if (status != LOG_IO || !lookup->at_least_one || lookup->size_max <= 1)
        return status;
    lookup->size_max = 1;
    status = look_up(lookup, resident_only);
    if (status == LOG_OK)
        status = warm ? read_once(lookup) : fill_range(lookup, arena, out);
    return status == LOG_CORRUPT || status == LOG_NOT_FOUND ? LOG_IO : status;
}

/* One try. LOG_NOT_FOUND: offset lies behind the last batch of its segment; *next_base is where the next one
 * begins. warm: the bytes are brought into memory instead of returned. */
static enum log_status try_read(struct log *log, const struct log_moment *m, struct lookup *lookup,
                                bool resident_only, bool warm, struct arena *arena, struct log_range *out,
                                int64_t *next_base)
{
    struct reader reader;
    enum log_status status = reader_open(&reader, log, m, lookup->offset, !resident_only);
    if (status != LOG_OK)
        return status;
    lookup->reader = &reader;
    *next_base = reader.next_base;
    const struct quarantine_range *damage = quarantine_find(reader.quarantine, lookup->offset);
    if (damage) {
        out->next_offset = damage->next < lookup->bound ? damage->next : lookup->bound;
        status = LOG_CORRUPT;
        goto close;
    }
    if (warm)
        status = populate(lookup);
    if (status == LOG_OK)
        status = look_up(lookup, resident_only);
    if (status == LOG_CORRUPT) {
        bool known = atomic_load(&reader.segment->examined);
        if (resident_only)
            status = known ? LOG_CORRUPT : LOG_COLD;
        else if (!known && examine(&reader) == LOG_OK)
            status = LOG_BUSY; /* look again */
        out->next_offset = reader.next_base < lookup->bound ? reader.next_base : lookup->bound;
    }
    if (status == LOG_OK)
        status = hand_out(lookup, resident_only, warm, arena, out);
    if (status == LOG_IO && reader.data.mapping) {
        log_range_failed(&reader.data.mapping->pin);
        status = resident_only ? LOG_COLD : LOG_BUSY; /* look again, by pread */
    }
close:
    reader_close(&reader);
    return status;
}

static enum log_status read_or_warm(struct log *log, struct lookup *lookup, bool resident_only, bool warm,
                                    struct arena *arena, struct log_range *out)
{
    int64_t asked = lookup->offset, bound = lookup->bound;
    *out = (struct log_range){ .bytes = slice_of("", 0), .base_offset = asked, .next_offset = asked };
    for (;;) {
        struct log_moment m = log__moment(log);
        int64_t next_base = -1;
        if (log__state(log) == LOG_ENDED)
            return LOG_CLOSED;
        if (asked < m.start || asked > m.end)
            return LOG_OUT_OF_RANGE;
        lookup->bound = bound < m.end ? bound : m.end;
        if (lookup->offset >= lookup->bound || log__state(log) == LOG_ABSENT)
            return LOG_OK;
        enum log_status status = LOG_COLD;
        if (log__state(log) == LOG_OPEN)
            status = try_read(log, &m, lookup, resident_only, warm, arena, out, &next_base);
        if (status == LOG_NOT_FOUND && next_base < lookup->bound && next_base > lookup->offset)
            lookup->offset = next_base; /* a gap of the cleaner ends the segment */
        else if (status == LOG_NOT_FOUND)
            return LOG_OK;
        else if (status == LOG_COLD && !resident_only) {
            status = log_open(log);
            if (status != LOG_OK)
                return status;
        } else if (status != LOG_BUSY)
            return status;
    }
}

enum log_status log_read(struct log *log, int64_t offset, int64_t bound, size_t size_max, bool at_least_one,
                         bool resident_only, struct arena *arena, struct log_range *out)
{
    struct lookup lookup = {
        .offset = offset,
        .bound = bound,
        .size_max = size_max < UINT32_MAX ? size_max : UINT32_MAX,
        .at_least_one = at_least_one,
    };
    log->host->used(log->host, log);
    return log__outcome(log, read_or_warm(log, &lookup, resident_only, false, arena, out));
}

enum log_status log_warm(struct log *log, int64_t offset, int64_t bound, size_t size_max)
{
    struct lookup lookup = { .offset = offset,
                             .bound = bound,
                             .size_max = size_max < UINT32_MAX ? size_max : UINT32_MAX,
                             .at_least_one = true };
    struct log_range unused;
    log->host->used(log->host, log);
    return log__outcome(log, read_or_warm(log, &lookup, false, true, NULL, &unused));
}

size_t log_size_between(struct log *log, int64_t from, int64_t bound)
{
    struct log_moment m = log__moment(log);
    struct reader reader;
    size_t size = SIZE_MAX;
    if (bound > m.end)
        bound = m.end;
    if (from >= bound)
        return 0;
    if (log__state(log) != LOG_OPEN || reader_open(&reader, log, &m, from, false) != LOG_OK)
        return SIZE_MAX; /* the read that follows finds out */
    struct lookup lookup = { .reader = &reader, .offset = from, .bound = bound, .size_max = UINT32_MAX };
    if (bound <= reader.next_base && look_up(&lookup, true) == LOG_OK)
        size = lookup.end - lookup.start;
    reader_close(&reader);
    return size;
}

void log__release_memory(struct log *log)
{
    struct segment_list *list = log__segments(log);
    for (size_t i = 0; list && i < list->count; i++)
        segment_release_memory(list->items[i]);
}
