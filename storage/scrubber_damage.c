/* What seems damaged is looked at a second time, and quarantined when it still is. */
#include "protocol/base/note.h"
#include "storage/quarantine_file.h"
#include "storage/scrubber_internal.h"

/* The second look: from the pending batch on, or from the cursor when there is none. */
struct second_look {
    struct scrub_walk *walk;
    struct segment_scan scan;
    struct scrub_reader reader;
};

/* What is wrong with what the scan stands before. */
static const char *reason_of(const struct second_look *look)
{
    const struct scrub_reader *reader = &look->reader;
    struct segment_scan here = look->scan; /* shares the buffer */
    uint8_t bytes[BATCH_HEADER_SIZE];
    size_t got;
    uint64_t position = here.position, left = here.limit - position, size = sizeof bytes;
    if (left < size)
        return "incomplete";
    if (here.read(&here, bytes, sizeof bytes, position, &got) != FILE_OK)
        return "unreadable";
    int64_t base = (int64_t)load_be64(bytes + BATCH_BASE_OFFSET);
    int32_t length = (int32_t)load_be32(bytes + BATCH_LENGTH);
    int32_t delta = (int32_t)load_be32(bytes + BATCH_LAST_OFFSET_DELTA);
    bool is_length_good =
        length >= BATCH_HEADER_SIZE - BATCH_OVERHEAD && (uint64_t)length + BATCH_OVERHEAD <= left;
    if (is_length_good)
        size = (uint64_t)length + BATCH_OVERHEAD;
    if (reader->refused_from < position + size && reader->refused_to > position)
        return "unreadable";
    if (bytes[BATCH_MAGIC] != 2)
        return "magic";
    if (!is_length_good)
        return "length";
    bool is_base_bad = base < here.expected || (delta >= 0 && base > here.bound - 1 - delta);
    here.expected = INT64_MIN; /* whatever the offset: is the rest right? */
    here.bound = INT64_MAX;
    here.buffer_size = 0;
    bool is_rest_good = segment_scan_next(&here) == SCAN_BATCH;
    if (is_base_bad)
        return is_rest_good || base < 0 ? "base_offset" : "checksum";
    return is_rest_good ? "record_count" : "checksum";
}

/* Publishes the range and goes on behind it. Under prepare_mutex. */
static enum log_status condemn(struct scrub_walk *walk, struct quarantine_range range, const char *reason)
{
    struct log *log = walk->log;
    struct scrub_cursor *cursor = walk->cursor;
    note_error(
        "log.quarantined",
        "log=%s segment=%lld first_offset=%lld next_offset=%lld position=%u size=%u reason=%s found_by=scrub "
        "effect=\"these offsets answer CORRUPT_MESSAGE, all others are served\" next_step=\"check the "
        "device\"",
        log->name, (long long)walk->segment->base_offset, (long long)range.first, (long long)range.next,
        range.position, range.end_position - range.position, reason);
    if (range.first < range.next && !segment_add_quarantine(walk->segment, log->env->retire, range))
        return LOG_LIMIT;
    walk->counts->quarantined_count++;
    walk->quarantine = atomic_load_explicit(&walk->segment->quarantine, memory_order_acquire);
    /* A device that takes no more writes is not asked: the range holds until the next start, which finds it
     * again. */
    if (log_health(log) == LOG_OK)
        quarantine_file_write(log, log__segments(log));
    scrub__pass_range(walk, &range); /* index entries into it are not to blame */
    cursor->pending.is_set = false;
    cursor->is_before_known = false;
    cursor->has_damage = true;
    cursor->position = range.end_position;
    cursor->expected = range.next;
    return LOG_OK;
}

/* It was right after all: what was met first did not come from the device. The walk goes on behind it. */
static enum log_status acquit(struct second_look *look, const struct scrub_batch *pending, bool has_batch)
{
    struct scrub_walk *walk = look->walk;
    struct scrub_cursor *cursor = walk->cursor;
    const struct segment_scan *scan = &look->scan;
    enum log_status status = pending->is_set ? scrub__meet(walk, pending) : LOG_OK;
    note_warn("scrub.read_differed",
              "log=%s segment=%lld position=%llu effect=\"none: a second read was right\" next_step=\"check "
              "the memory "
              "and the device\"",
              walk->log->name, (long long)walk->segment->base_offset, (unsigned long long)cursor->position);
    cursor->pending = (struct scrub_batch){ .is_set = false };
    if (has_batch)
        cursor->pending =
            (struct scrub_batch){ scan->head, scan->batch_position, cursor->expected, true, false };
    cursor->position = scan->position;
    cursor->expected = scan->expected;
    cursor->is_before_known = false;
    cursor->has_damage = true; /* not all of it was compared with the indexes */
    return status;
}

/* Whether the odd one is not the batch that the scan stands before, but pending: it left a gap in front and
 * reaches over this one, which is whole and would fit. *range: what is damaged then. */
static bool is_predecessors_fault(const struct second_look *look, const struct scrub_batch *pending,
                                  struct quarantine_range *range)
{
    struct segment_scan after = look->scan; /* shares the buffer */
    if (!pending->is_set || pending->head.base_offset == pending->expected)
        return false;
    after.expected = pending->expected + 1;
    after.buffer_size = 0;
    if (scrub__next(&after) != SCAN_BATCH || after.head.base_offset > pending->head.last_offset)
        return false;
    *range = (struct quarantine_range){ pending->expected, after.head.base_offset,
                                        (uint32_t)pending->position, (uint32_t)after.batch_position };
    int64_t end = pending->expected + (pending->head.last_offset - pending->head.base_offset) + 1;
    if (end == after.head.base_offset)
        return true; /* without the gap it ends where this one begins */
    /* Compaction was here: either of the two may lie about its offset, unless a third one tells. */
    enum scan_result third = scrub__next(&after);
    if (third == SCAN_BATCH && after.head.base_offset > pending->head.last_offset) {
        range->next = after.head.base_offset;
        range->end_position = (uint32_t)after.batch_position;
    } else if (third == SCAN_END) {
        range->next = after.bound;
        range->end_position = (uint32_t)after.position;
    }
    return true;
}

/* The scan stands before what is no batch: up to the next one that is, or to the end of the piece. */
static struct quarantine_range range_ahead(struct second_look *look)
{
    struct segment_scan *scan = &look->scan;
    struct quarantine_range range = { scan->expected, scan->bound, (uint32_t)scan->position,
                                      (uint32_t)scan->limit };
    struct segment_scan ahead = *scan; /* shares the buffer */
    bool found = segment_scan_resync(&ahead);
    scan->buffer_size = 0;
    ahead.buffer_size = 0;
    if (found && scrub__next(&ahead) == SCAN_BATCH) {
        range.end_position = (uint32_t)ahead.batch_position;
        range.next = ahead.head.base_offset;
    }
    scan->buffer_size = 0;
    return range;
}

static enum log_status judge_damage(struct second_look *look, const struct scrub_batch *pending)
{
    struct quarantine_range range;
    bool is_predecessor = is_predecessors_fault(look, pending, &range);
    look->scan.buffer_size = 0;
    if (is_predecessor)
        return condemn(look->walk, range, "base_offset");
    const char *reason = reason_of(look);
    look->scan.buffer_size = 0;
    range = range_ahead(look);
    enum log_status status = pending->is_set ? scrub__meet(look->walk, pending) : LOG_OK;
    return status == LOG_OK ? condemn(look->walk, range, reason) : status;
}

/* Reads the pending batch and what follows from the device. Under prepare_mutex. */
static enum log_status look_again(struct second_look *look)
{
    const struct scrub_batch *seen = &look->walk->cursor->pending;
    struct scrub_batch pending = { .is_set = false };
    struct segment_scan *scan = &look->scan;
    int64_t expected = scan->expected;
    enum scan_result result = scrub__next(scan);
    if (seen->is_set && result == SCAN_BATCH) {
        pending = (struct scrub_batch){ scan->head, scan->batch_position, expected, true, false };
        result = scrub__next(scan);
    }
    switch (result) {
    case SCAN_BATCH:
    case SCAN_END:
        return acquit(look, &pending, result == SCAN_BATCH);
    case SCAN_DAMAGED:
        return judge_damage(look, &pending);
    case SCAN_IO:
        return LOG_LIMIT;
    }
    return LOG_LIMIT;
}

static enum log_status begin(struct second_look *look)
{
    struct scrub_walk *walk = look->walk;
    const struct scrub_cursor *cursor = walk->cursor;
    bool has_pending = cursor->pending.is_set;
    uint64_t position = has_pending ? cursor->pending.position : cursor->position;
    int64_t expected = has_pending ? cursor->pending.expected : cursor->expected;
    look->reader.from_device = true;
    if (!scrub__is_same(walk))
        return LOG_BUSY;
    /* Others quarantine too: whoever read something odd. */
    walk->quarantine = atomic_load_explicit(&walk->segment->quarantine, memory_order_acquire);
    if (!scrub__scan_begin(walk, &look->scan, &look->reader, position, expected))
        return LOG_LIMIT;
    const struct quarantine_range *range =
        scrub__piece(walk, position, expected, &look->scan.limit, &look->scan.bound);
    if (!range || range->position > position)
        return LOG_OK;
    walk->cursor->pending.is_set = false;
    return LOG_BUSY;
}

enum log_status scrub__judge(struct scrub_walk *walk)
{
    struct second_look look = { .walk = walk };
    pthread_mutex_lock(&walk->log->prepare_mutex);
    enum log_status status = begin(&look);
    if (status == LOG_OK)
        status = look_again(&look);
    pthread_mutex_unlock(&walk->log->prepare_mutex);
    segment_scan_end(&look.scan);
    return status;
}

enum log_status scrub__judge_epoch(struct scrub_walk *walk, int64_t next)
{
    struct second_look look = { .walk = walk };
    struct scrub_batch batch = walk->cursor->pending;
    pthread_mutex_lock(&walk->log->prepare_mutex);
    enum log_status status = begin(&look);
    if (status == LOG_OK && scrub__next(&look.scan) != SCAN_BATCH) {
        /* Now more of it is wrong: the walk comes here again and finds that. */
        walk->cursor->pending.is_set = false;
        walk->cursor->position = batch.position;
        walk->cursor->expected = batch.expected;
        status = LOG_BUSY;
    } else if (status == LOG_OK) {
        walk->epoch_from = INT64_MAX; /* asked anew */
        if (scrub__is_epoch_odd(walk, &look.scan.head)) {
            status = condemn(walk,
                             (struct quarantine_range){ batch.expected, next, (uint32_t)batch.position,
                                                        (uint32_t)look.scan.position },
                             "leader_epoch");
        } else {
            walk->cursor->pending.is_epoch_odd = false;
            status = LOG_BUSY; /* a second read was right */
        }
    }
    pthread_mutex_unlock(&walk->log->prepare_mutex);
    segment_scan_end(&look.scan);
    return status;
}
