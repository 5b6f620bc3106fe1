/* quarantine.runnel: what is known of damage in a log, kept over clean stops. */
#include "storage/quarantine_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/crc32c.h"
#include "protocol/base/note.h"

enum { LINE_SIZE_MAX = 128, FILE_SIZE_MAX = 1 << 20, SAMPLE_SIZE_MAX = 64 << 10, FIELD_COUNT = 6 };

/* One line: "<segment base> <first> <next> <position> <end position> <crc of the damaged bytes>". */
struct row {
    int64_t segment_base;
    struct quarantine_range range;
    uint32_t crc;
};

/* The checksum of the damaged bytes (of their beginning, when they are many); 0 for a hole without bytes. */
static bool sample(struct log *log, struct segment *segment, const struct quarantine_range *range,
                   uint32_t *crc)
{
    enum file_status status;
    size_t got, size = range->end_position - range->position;
    uint8_t *bytes;
    struct open_file *data;
    *crc = 0;
    if (size == 0)
        return true;
    if (size > SAMPLE_SIZE_MAX)
        size = SAMPLE_SIZE_MAX;
    data = segment_data(segment, &log->home, FILE_READ | FILE_WRITE, true, &status);
    bytes = data ? malloc(size) : NULL;
    bool ok = bytes && file_pread(data->file, bytes, size, range->position, &got) == FILE_OK && got == size;
    if (ok)
        *crc = crc32c(0, bytes, size);
    free(bytes);
    return ok;
}

static size_t range_count(const struct segment_list *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct quarantine *quarantine = atomic_load(&list->items[i]->quarantine);
        count += quarantine ? quarantine->count : 0;
    }
    return count;
}

static size_t write_segment(struct log *log, struct segment *segment, char *text, size_t capacity)
{
    const struct quarantine *quarantine = atomic_load(&segment->quarantine);
    size_t size = 0;
    for (uint32_t i = 0; quarantine && i < quarantine->count; i++) {
        const struct quarantine_range *range = &quarantine->ranges[i];
        uint32_t crc;
        if (!sample(log, segment, range, &crc))
            continue;
        size += (size_t)snprintf(text + size, capacity - size,
                                 "%" PRId64 " %" PRId64 " %" PRId64 " %" PRIu32 " %" PRIu32 " %" PRIu32 "\n",
                                 segment->base_offset, range->first, range->next, range->position,
                                 range->end_position, crc);
    }
    return size;
}

void quarantine_file_write(struct log *log, const struct segment_list *list)
{
    char path[SEGMENT_PATH_MAX];
    size_t count = range_count(list), capacity = count * LINE_SIZE_MAX, size = 0;
    segment_home_path(&log->home, QUARANTINE_NAME, path);
    if (count == 0 || capacity > FILE_SIZE_MAX) {
        (void)file_unlink(log->env->files, path);
        return;
    }
    char *text = malloc(capacity);
    for (size_t i = 0; text && i < list->count; i++)
        size += write_segment(log, list->items[i], text + size, capacity - size);
    if (text && file_replace(log->env->files, path, slice_of(text, size)) == FILE_IO)
        log_fail(log); /* what is not written costs a scan, but nothing is flushed behind a failed flush */
    free(text);
}

/* Reads one line of decimal numbers; false at the end or on anything else. */
static bool read_row(const char **text, struct row *row)
{
    int64_t fields[FIELD_COUNT];
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        char *end;
        fields[i] = strtoll(*text, &end, 10);
        if (end == *text || fields[i] < 0 || *end != (i + 1 < FIELD_COUNT ? ' ' : '\n') ||
            (i >= 3 && fields[i] > UINT32_MAX))
            return false;
        *text = end + 1;
    }
    *row = (struct row){
        .segment_base = fields[0],
        .range = { fields[1], fields[2], (uint32_t)fields[3], (uint32_t)fields[4] },
        .crc = (uint32_t)fields[5],
    };
    return true;
}

/* Whether no batch is where the offsets of a hole would be: what stands there begins behind them. */
static bool is_hole(struct log *log, struct segment *segment, const struct quarantine_range *range)
{
    uint8_t bytes[BATCH_HEADER_SIZE];
    struct batch_head head;
    enum file_status status;
    size_t got;
    uint32_t left = atomic_load(&segment->size) - range->position;
    if (left == 0)
        return true;
    struct open_file *data = segment_data(segment, &log->home, FILE_READ | FILE_WRITE, true, &status);
    return data && left >= sizeof bytes &&
           file_pread(data->file, bytes, sizeof bytes, range->position, &got) == FILE_OK &&
           got == sizeof bytes && batch_head_read(bytes, left, &head) && head.base_offset >= range->next;
}

/* Damaged bytes that are as they were speak for themselves. A hole has none: that records were there is only
 * known from us, so it counts below proven alone, which nothing is after somebody else used the directory. */
static bool is_true(struct log *log, const struct segment_list *list, size_t i, int64_t proven,
                    const struct row *row)
{
    struct segment *segment = list->items[i];
    int64_t next_base = i + 1 < list->count ? list->items[i + 1]->base_offset : INT64_MAX;
    uint32_t crc;
    bool no_bytes = row->range.end_position == row->range.position;
    if (no_bytes && (proven == INT64_MAX || row->range.next > proven))
        return false;
    return segment->base_offset == row->segment_base && row->range.first >= segment->base_offset &&
           row->range.next > row->range.first && row->range.next <= next_base &&
           row->range.end_position >= row->range.position &&
           row->range.end_position <= atomic_load(&segment->size) &&
           (!no_bytes || is_hole(log, segment, &row->range)) &&
           sample(log, segment, &row->range, &crc) && crc == row->crc;
}

enum log_status quarantine_file_read(struct log *log, const struct segment_list *list, int64_t proven)
{
    char path[SEGMENT_PATH_MAX];
    uint8_t *bytes;
    size_t size;
    struct row row;
    enum log_status status = LOG_OK;
    segment_home_path(&log->home, QUARANTINE_NAME, path);
    if (file_read_all(log->env->files, path, FILE_SIZE_MAX, &bytes, &size) != FILE_OK)
        return LOG_OK;
    const char *text = (const char *)bytes;
    while (status == LOG_OK && read_row(&text, &row)) {
        size_t i = segment_list_find(list, row.segment_base);
        if (!is_true(log, list, i, proven, &row))
            continue;
        note_warn("log.quarantine_kept", "log=%s first_offset=%" PRId64 " next_offset=%" PRId64, log->name,
                  row.range.first, row.range.next);
        if (!segment_add_quarantine(list->items[i], log->env->retire, row.range))
            status = LOG_LIMIT;
    }
    free(bytes);
    return status;
}
