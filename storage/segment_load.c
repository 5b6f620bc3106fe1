/* Bringing one segment of a directory into memory: its indexes, its end, and damage inside. */
#include "storage/segment_load.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/load_notes.h"

/* Index files larger than this are not ours and not Kafka's. */
enum { INDEX_FILE_SIZE_MAX = 1 << 30 };

/* Reads an index file that may be absent, padded or damaged; *count whole entries. */
static enum log_status read_index(const struct segment_home *home, int64_t base_offset, const char *suffix,
                                  uint32_t entry_size, uint8_t **bytes, uint32_t *count)
{
    char path[SEGMENT_PATH_MAX];
    size_t size = 0;
    *bytes = NULL;
    *count = 0;
    segment_path(home, base_offset, suffix, path);
    enum file_status status = file_read_all(home->env->files, path, INDEX_FILE_SIZE_MAX, bytes, &size);
    if (status == FILE_OK)
        *count = (uint32_t)(size / entry_size);
    if (status == FILE_LIMIT)
        return LOG_LIMIT;
    return LOG_OK; /* an index that cannot be read is one that is missing */
}

/* The entry at the position of a batch names that batch's last offset, or (written by Kafka <= 4.0) that of a
 * later batch of the same append. */
static bool entry_is_true(struct file *file, uint64_t size, int64_t base_offset, struct offset_entry entry,
                          int64_t *first)
{
    uint8_t bytes[BATCH_HEADER_SIZE];
    size_t got;
    struct batch_head head;
    bool is_true = entry.position < size &&
                   file_pread(file, bytes, sizeof bytes, entry.position, &got) == FILE_OK &&
                   got == sizeof bytes && batch_head_read(bytes, size - entry.position, &head) &&
                   head.base_offset >= base_offset && head.base_offset <= base_offset + entry.relative;
    if (is_true)
        *first = head.base_offset;
    return is_true;
}

/* Takes over what can be believed of the index files; growth is then as it was when the last believed
 * entry was made, just before its batch was accounted. *first: the base offset of that batch. */
static enum log_status trust_indexes(struct segment_load *load, struct file *file, int64_t *first)
{
    const struct segment_home *home = &load->log->home;
    struct segment *segment = load->segment;
    struct segment_growth *growth = &segment->growth;
    struct retire *retire_list = load->log->env->retire;
    uint8_t *offsets = NULL, *times = NULL;
    uint32_t offset_count, time_count;
    enum log_status status =
        read_index(home, segment->base_offset, ".index", OFFSET_INDEX_ENTRY_SIZE, &offsets, &offset_count);
    if (status == LOG_OK)
        status =
            read_index(home, segment->base_offset, ".timeindex", TIME_INDEX_ENTRY_SIZE, &times, &time_count);
    if (status != LOG_OK)
        goto free_bytes;
    offset_count = offsets ? offset_index_valid_count(offsets, offset_count, load->trusted_size) : 0;
    struct offset_entry last = { 0, 0 };
    if (offset_count > 0) {
        const uint8_t *bytes = offsets + (size_t)(offset_count - 1) * OFFSET_INDEX_ENTRY_SIZE;
        last = (struct offset_entry){ load_be32(bytes), load_be32(bytes + 4) };
        if (!entry_is_true(file, load->trusted_size, segment->base_offset, last, first))
            offset_count = 0;
    }
    if (offset_count == 0)
        goto free_bytes;
    time_count = times ? time_index_valid_count(times, time_count, last.relative) : 0;
    if (!segment_index_assign(&segment->offsets, retire_list, offsets, offset_count) ||
        !segment_index_assign(&segment->times, retire_list, times, time_count)) {
        status = LOG_LIMIT;
        goto free_bytes;
    }
    segment->offsets.saved_count = offset_count;
    segment->times.saved_count = time_count;
    struct time_entry time = time_index_last(&segment->times);
    growth->size = last.position;
    growth->offset_count = offset_count;
    growth->time_count = time_count;
    growth->max_timestamp = growth->last_time_entry = time.timestamp;
    growth->max_relative = time.relative;
free_bytes:
    free(offsets);
    free(times);
    return status;
}

/* The first batch decides when the segment is old. */
static void read_first_timestamp(struct segment_load *load, struct file *file)
{
    uint8_t bytes[BATCH_HEADER_SIZE];
    size_t got;
    struct batch_head head;
    uint32_t size = atomic_load(&load->segment->size);
    if (file_pread(file, bytes, sizeof bytes, 0, &got) == FILE_OK && got == sizeof bytes &&
        batch_head_read(bytes, size, &head))
        load->segment->growth.first_timestamp = head.max_timestamp;
}

/* A batch whose successor has not been looked at yet: its base offset is under no checksum, and only the
 * next one shows that it was raised. */
struct pending {
    struct batch_head head;
    uint64_t position;
    int64_t expected; /* what its base offset should at least be */
    int32_t epoch_before;
    bool is_set;
};

static void accept_pending(struct segment_load *load, struct pending *pending)
{
    struct segment *segment = load->segment;
    struct segment_entries entries;
    if (!pending->is_set)
        return;
    pending->is_set = false;
    /* What lies in a damaged range counts as bytes of the file, not of a batch. */
    segment->growth.size = (uint32_t)pending->position;
    segment_growth_add(&segment->growth, &pending->head, log__config(load->log), &entries);
    segment_add_entries(segment, load->log->env->retire, &entries);
}

/* The scan's range [expected, next) up to end_position is damaged; it goes on behind. */
static enum log_status quarantine(struct segment_load *load, struct segment_scan *scan, int64_t next,
                                  uint64_t end_position)
{
    struct quarantine_range range = {
        .first = scan->expected,
        .next = next,
        .position = (uint32_t)scan->position,
        .end_position = (uint32_t)end_position,
    };
    note_error("log.quarantined", "log=%s first_offset=%lld next_offset=%lld position=%u segment=%lld",
               load->log->name, (long long)range.first, (long long)range.next, range.position,
               (long long)load->segment->base_offset);
    load->quarantined_count++;
    if (load->notes)
        load_notes_void(load->notes);
    if (!segment_add_quarantine(load->segment, load->log->env->retire, range))
        return LOG_LIMIT;
    scan->expected = next;
    scan->position = end_position;
    scan->buffer_size = 0;
    return LOG_OK;
}

/* Whether the odd one is not the batch at the scan's position, but the one before: it left a gap in front and
 * reaches over this one, which is whole and would fit. */
static bool is_predecessors_fault(struct segment_scan *scan, const struct pending *pending)
{
    struct segment_scan here = *scan;
    if (!pending->is_set || pending->head.base_offset == pending->expected)
        return false;
    scan->buffer_size = 0; /* the buffer is shared, and has other bytes from here on */
    here.expected = pending->expected + 1;
    here.check_crc = true;
    here.buffer_size = 0;
    return segment_scan_next(&here) == SCAN_BATCH && here.head.base_offset <= pending->head.last_offset;
}

/* Whether no batch reaches over the durable end: what was flushed was whole. A recovery point of Kafka's may
 * be older than what its cleaner left of a sealed segment: there a batch far beyond may be the next one. */
static bool ends_at_proven(const struct segment_load *load)
{
    bool may_be_cleaned = !load->contiguous && load->next_base != INT64_MAX;
    return load->proven < load->next_base && !may_be_cleaned;
}

/* Whether the file itself tells that the cleaner was here: batches with fewer records than offsets, which no
 * producer writes, or a gap between two batches whose own neighbours fit. Whatever is damaged proves nothing,
 * nor does what touches it. */
static bool shows_cleaner(const struct segment_load *load, const struct segment_scan *from)
{
    struct segment_scan scan = *from; /* shares the buffer */
    int run = 1;              /* batches since damage; what begins the segment needs no other in front */
    bool is_gap_open = false; /* and nothing is known yet of what follows the batch behind it */
    scan.position = scan.buffer_size = 0;
    scan.expected = load->segment->base_offset;
    scan.bound = load->next_base;
    scan.check_crc = true;
    for (;;) {
        int64_t expected = scan.expected;
        enum scan_result result = segment_scan_next(&scan);
        if (result == SCAN_BATCH) {
            int64_t offsets = scan.head.last_offset - scan.head.base_offset + 1;
            if (is_gap_open || scan.view.record_count < offsets)
                return true;
            is_gap_open = scan.head.base_offset > expected && run > 1;
            run++;
        } else if (result == SCAN_DAMAGED) {
            run = 0;
            is_gap_open = false;
            if (!segment_scan_resync(&scan))
                return false;
        } else {
            bool ends_early = load->next_base != INT64_MAX && scan.expected < load->next_base && run > 1;
            return result == SCAN_END && (is_gap_open || ends_early);
        }
    }
}

/* Whether the damaged batch at the scan's position says that offsets go on behind it with base_offset. */
static bool leads_to(const struct segment_scan *scan, int64_t base_offset)
{
    uint8_t bytes[BATCH_HEADER_SIZE];
    size_t got;
    if (file_pread(scan->file, bytes, sizeof bytes, scan->position, &got) != FILE_OK || got != sizeof bytes)
        return false;
    int64_t base = (int64_t)load_be64(bytes + BATCH_BASE_OFFSET);
    int32_t delta = (int32_t)load_be32(bytes + BATCH_LAST_OFFSET_DELTA);
    return base >= scan->expected && base < base_offset && delta >= 0 && base_offset - base - 1 == delta;
}

/* Whether what comes behind the batch that was found begins where it should: else its own base offset, which
 * is under no checksum, may be damaged as well. behind: the scan that found it. */
static bool fits_successor(const struct segment_load *load, struct segment_scan *behind)
{
    int64_t expected = behind->expected;
    enum scan_result result = segment_scan_next(behind);
    return result == SCAN_END ? load->next_base == INT64_MAX || expected == load->next_base
                              : result != SCAN_BATCH || behind->head.base_offset == expected;
}

/* Whether the batch that was found behind the damage at the scan's position has the base offset that it had:
 * its neighbours say so, or the cleaner left gaps here, and nobody can say otherwise. */
static bool is_believable(const struct segment_load *load, const struct segment_scan *scan,
                          const struct segment_scan *found)
{
    struct segment_scan behind = *found; /* shares the buffer */
    return atomic_load(&load->log->may_have_gaps) || leads_to(scan, found->head.base_offset) ||
           fits_successor(load, &behind) || shows_cleaner(load, found);
}

/* Finds the next batch behind the scan's position that can be believed: one below the durable end, or the one
 * that begins exactly there. Base offsets are under no checksum, so a higher one may be damage as well. */
static bool find_good_batch(const struct segment_load *load, const struct segment_scan *scan,
                            int64_t *base_offset, uint64_t *position)
{
    struct segment_scan ahead = *scan; /* shares the buffer */
    bool has_end = ends_at_proven(load);
    ahead.bound = has_end ? load->proven : load->next_base;
    bool found = segment_scan_resync(&ahead);
    if (!found && has_end) {
        ahead = *scan;
        ahead.buffer_size = 0;
        ahead.bound = load->next_base;
        ahead.expected = load->proven;
        found = segment_scan_resync(&ahead);
    }
    while (found) {
        *position = ahead.position;
        ahead.check_crc = true;
        ahead.buffer_size = 0;
        struct segment_scan here = ahead;
        if (segment_scan_next(&here) != SCAN_BATCH)
            return false;
        *base_offset = here.head.base_offset;
        if ((!has_end || *base_offset <= load->proven) && is_believable(load, scan, &here))
            return true;
        ahead.buffer_size = 0;
        found = segment_scan_resync(&ahead);
    }
    return false;
}

/* The scan stands before bytes that are no batch. Leaves it behind them, or at the end of what is kept. */
static enum log_status pass_damage(struct segment_load *load, struct segment_scan *scan)
{
    bool is_last = load->next_base == INT64_MAX;
    if (scan->expected < load->proven) {
        int64_t next;
        uint64_t position;
        bool found = find_good_batch(load, scan, &next, &position);
        scan->buffer_size = 0;
        if (found)
            return quarantine(load, scan, next, position);
        if (!is_last || load->proven != INT64_MAX) {
            next = load->proven < load->next_base ? load->proven : load->next_base;
            load->is_torn = !is_last && next < load->next_base;
            return quarantine(load, scan, next, scan->limit);
        }
    }
    load->is_torn = true;
    scan->limit = scan->position;
    return LOG_OK;
}

/* Damage at the scan's position, or shown there. */
static enum log_status meet_damage(struct segment_load *load, struct segment_scan *scan,
                                   struct pending *pending)
{
    if (pending->expected < load->proven && is_predecessors_fault(scan, pending)) {
        uint64_t end = scan->position;
        scan->position = pending->position;
        scan->expected = pending->expected;
        scan->buffer_size = 0;
        pending->is_set = false;
        struct segment_scan after = *scan;
        after.position = end;
        after.check_crc = true;
        if (segment_scan_next(&after) != SCAN_BATCH)
            return LOG_IO;
        return quarantine(load, scan, after.head.base_offset, end);
    }
    accept_pending(load, pending);
    return pass_damage(load, scan);
}

/* Leader epochs never fall, and are under no checksum: a batch that stands out between two that fit is
 * damaged. Where these contradict each other nobody knows. */
static bool has_odd_epoch(const struct segment_load *load, const struct pending *pending, int32_t epoch_after)
{
    int32_t epoch = pending->head.leader_epoch;
    return pending->is_set && pending->expected < load->proven && pending->epoch_before <= epoch_after &&
           (epoch < pending->epoch_before || epoch > epoch_after);
}

/* The pending batch is damaged, but ends where it says. */
static enum log_status quarantine_pending(struct segment_load *load, struct segment_scan *scan,
                                          struct pending *pending)
{
    scan->position = pending->position;
    scan->expected = pending->expected;
    pending->is_set = false;
    return quarantine(load, scan, pending->head.last_offset + 1, pending->position + pending->head.size);
}

/* Whether the damage at the scan's position may begin in what was not read with its CRC. A tail that is torn
 * just where the proven part ends does not. */
static bool was_believed(const struct segment_load *load, const struct segment_scan *scan,
                         const struct pending *pending)
{
    bool was_checked = !pending->is_set || pending->position >= load->checked_from;
    return scan->position < load->checked_from || (!was_checked && scan->position != load->checked_from);
}

/* From the end of what growth knows, where the batch with offset first begins.
 * LOG_CORRUPT: it met damage behind what it had believed without a look at it, or at its checksum: nobody
 * knows where that begins, so the whole segment has to be walked with all CRCs. */
static enum log_status walk(struct segment_load *load, struct file *file, int64_t first)
{
    struct segment *segment = load->segment;
    struct segment_scan scan;
    struct pending pending = { .is_set = false };
    enum log_status status = LOG_OK;
    int32_t epoch = -1; /* of the last batch that was accepted, or may be */
    uint64_t begin = segment->growth.size;
    if (!segment_scan_begin(&scan, file, segment->growth.size, atomic_load(&segment->size), first,
                            load->checked_from != UINT32_MAX))
        return LOG_LIMIT;
    while (status == LOG_OK) {
        int64_t expected = scan.expected;
        scan.bound = expected < load->proven && ends_at_proven(load) ? load->proven : load->next_base;
        scan.check_crc = scan.position >= load->checked_from;
        enum scan_result result = segment_scan_next(&scan);
        if (result == SCAN_END)
            break;
        bool is_odd = result == SCAN_BATCH && has_odd_epoch(load, &pending, scan.head.leader_epoch);
        if ((is_odd || result == SCAN_DAMAGED) && (begin > 0 || was_believed(load, &scan, &pending))) {
            status = LOG_CORRUPT;
            break;
        }
        if (is_odd) {
            epoch = pending.epoch_before;
            status = quarantine_pending(load, &scan, &pending);
            continue;
        }
        if (result == SCAN_BATCH && load->contiguous && expected >= load->proven &&
            scan.head.base_offset != expected) {
            scan.position =
                scan.batch_position; /* a gap in what was never flushed: a page is missing, or lies */
            scan.expected = expected;
            result = SCAN_DAMAGED;
        }
        if (result == SCAN_BATCH) {
            load->has_gaps |= scan.head.base_offset > expected;
            segment->has_markers |= (scan.view.attributes & BATCH_ATTRIBUTE_CONTROL) != 0;
            accept_pending(load, &pending);
            pending = (struct pending){ scan.head, scan.batch_position, expected, epoch, true };
            epoch = scan.head.leader_epoch;
            if (load->notes)
                load_notes_add(load->notes, segment->base_offset, &scan);
            load->scanned_size += scan.check_crc ? scan.head.size : 0;
        } else {
            status = result == SCAN_DAMAGED ? meet_damage(load, &scan, &pending) : LOG_IO;
        }
    }
    bool ends_odd = status == LOG_OK && has_odd_epoch(load, &pending, load->epoch_max);
    if (status == LOG_CORRUPT || (begin > 0 && ends_odd)) {
        segment_scan_end(&scan);
        return LOG_CORRUPT;
    }
    if (ends_odd)
        status = quarantine_pending(load, &scan, &pending);
    accept_pending(load, &pending);
    load->next_offset = scan.expected;
    load->kept_size = (uint32_t)scan.limit;
    segment->growth.size = load->kept_size;
    segment_scan_end(&scan);
    return status;
}

enum log_status segment_load(struct segment_load *load)
{
    enum file_status file_status;
    struct log *log = load->log;
    struct segment *segment = load->segment;
    uint32_t size = atomic_load(&segment->size);
    int64_t first = segment->base_offset;
    struct random random = log__random(log, segment->base_offset);
    segment->growth =
        segment_growth_begin(segment->base_offset, log__config(log), clock_wall_ms(log->env->clock), &random);
    struct open_file *data = segment_data(segment, &log->home, FILE_READ | FILE_WRITE, true, &file_status);
    if (!data)
        return log__status_of(file_status);
    if (load->checked_from < size)
        /* Of what may never have reached the device, what counts is what that has. */
        file_drop_cache(data->file, load->checked_from);
    enum log_status status = LOG_OK;
    if (load->trusted_size > size)
        load->trusted_size = size;
    if (load->trusted_size > 0)
        status = trust_indexes(load, data->file, &first);
    if (size > 0)
        read_first_timestamp(load, data->file);
    if (status == LOG_OK)
        status = walk(load, data->file, first);
    if (status != LOG_CORRUPT)
        return status;
    if (load->notes)
        load_notes_void(load->notes);
    int64_t first_timestamp = segment->growth.first_timestamp;
    segment->growth =
        segment_growth_begin(segment->base_offset, log__config(log), clock_wall_ms(log->env->clock), &random);
    segment->growth.first_timestamp = first_timestamp;
    if (!segment_index_assign(&segment->offsets, log->env->retire, NULL, 0) ||
        !segment_index_assign(&segment->times, log->env->retire, NULL, 0))
        return LOG_LIMIT;
    segment->offsets.saved_count = segment->times.saved_count = 0;
    load->checked_from = 0;
    return walk(load, data->file, segment->base_offset);
}
