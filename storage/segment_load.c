/* Bringing one segment of a directory into memory: its indexes, its end, and damage inside. */
#include "storage/segment_load.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"

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
static bool entry_is_true(struct file *file, uint64_t size, int64_t base_offset, struct offset_entry entry)
{
    uint8_t bytes[BATCH_HEADER_SIZE];
    size_t got;
    struct batch_head head;
    return entry.position < size &&
           file_pread(file, bytes, sizeof bytes, entry.position, &got) == FILE_OK && got == sizeof bytes &&
           batch_head_read(bytes, size - entry.position, &head) && head.base_offset >= base_offset &&
           head.base_offset <= base_offset + entry.relative;
}

/* Takes over what can be believed of the index files; growth is then as it was when the last believed
 * entry was made, just before its batch was accounted. */
static enum log_status trust_indexes(struct segment_load *load, struct file *file)
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
        if (!entry_is_true(file, load->trusted_size, segment->base_offset, last))
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

static void add_batch(struct segment_load *load, struct segment_scan *scan)
{
    struct segment *segment = load->segment;
    struct segment_entries entries;
    /* What lies in a damaged range counts as bytes of the file, not of a batch. */
    segment->growth.size = (uint32_t)scan->batch_position;
    segment_growth_add(&segment->growth, &scan->head, &load->log->config, &entries);
    segment_add_entries(segment, load->log->env->retire, &entries);
    if (scan->check_crc)
        load->scanned_size += scan->head.size;
}

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
    if (!segment_add_quarantine(load->segment, load->log->env->retire, range))
        return LOG_LIMIT;
    scan->expected = next;
    scan->position = end_position;
    return LOG_OK;
}

/* The scan stands before bytes that are no batch. Leaves it behind them, or at the end of what is kept. */
static enum log_status pass_damage(struct segment_load *load, struct segment_scan *scan)
{
    bool is_last = load->next_base == INT64_MAX;
    if (scan->expected < load->proven) {
        struct segment_scan ahead = *scan; /* shares the buffer */
        bool found = segment_scan_resync(&ahead);
        scan->buffer_size = 0;
        if (found) {
            int64_t next;
            uint64_t position = ahead.position;
            ahead.check_crc = true;
            if (segment_scan_next(&ahead) != SCAN_BATCH)
                return LOG_IO;
            next = ahead.head.base_offset;
            scan->buffer_size = 0;
            return quarantine(load, scan, next, position);
        }
        if (!is_last || load->proven != INT64_MAX) {
            int64_t next = load->proven < load->next_base ? load->proven : load->next_base;
            load->is_torn = !is_last && next < load->next_base;
            return quarantine(load, scan, next, scan->limit);
        }
    }
    load->is_torn = true;
    scan->limit = scan->position;
    return LOG_OK;
}

static enum log_status walk(struct segment_load *load, struct file *file)
{
    struct segment *segment = load->segment;
    uint32_t size = atomic_load(&segment->size);
    struct segment_scan scan;
    int64_t expected = segment->base_offset;
    bool checked = segment->growth.size >= load->checked_from;
    enum log_status status = LOG_OK;
    if (!segment_scan_begin(&scan, file, segment->growth.size, size, expected, checked))
        return LOG_LIMIT;
    scan.bound = load->next_base;
    while (status == LOG_OK) {
        scan.check_crc = scan.position >= load->checked_from;
        enum scan_result result = segment_scan_next(&scan);
        if (result == SCAN_END)
            break;
        if (result == SCAN_BATCH)
            add_batch(load, &scan);
        else if (result == SCAN_DAMAGED)
            status = pass_damage(load, &scan);
        else
            status = LOG_IO;
    }
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
    struct random random = log__random(log, segment->base_offset);
    segment->growth = segment_growth_begin(segment->base_offset, &log->config, clock_wall_ms(log->env->clock), &random);
    struct open_file *data = segment_data(segment, &log->home, FILE_READ | FILE_WRITE, true, &file_status);
    if (!data)
        return log__status_of(file_status);
    if (load->checked_from != UINT32_MAX)
        file_drop_cache(data->file);
    enum log_status status = LOG_OK;
    if (load->trusted_size > size)
        load->trusted_size = size;
    if (load->trusted_size > 0)
        status = trust_indexes(load, data->file);
    if (size > 0)
        read_first_timestamp(load, data->file);
    return status == LOG_OK ? walk(load, data->file) : status;
}
