/* Walking the batches of a .log file by pread, for recovery, repair and look-ups by time. */
#include "storage/segment_scan.h"

#include <stdlib.h>

#include "protocol/base/crc32c.h"

enum { SCAN_BUFFER_HEADERS = 64 << 10, SCAN_BUFFER_CRC = 256 << 10, SCAN_BLOCK = 4096 };
/* Batches from this size on are passed over: a call for each header costs less than to copy them. */
enum { SKIM_SIZE_MIN = 8 << 10 };
/* Headers alone are no stream to the kernel. Up to this size of batches the device is asked for all of the
 * file ahead, in pieces that it reads as a whole: then nobody waits for each header. */
enum { AHEAD_SIZE_MAX = 64 << 10, AHEAD_PIECE = 128 << 10, AHEAD_DISTANCE = 1 << 20 };

bool segment_scan_begin(struct segment_scan *scan, struct file *file, uint64_t position, uint64_t limit,
                        int64_t expected, bool check_crc)
{
    *scan = (struct segment_scan){
        .file = file,
        .position = position,
        .limit = limit,
        .expected = expected,
        .bound = INT64_MAX,
        .check_crc = check_crc,
        .buffer_capacity = check_crc ? SCAN_BUFFER_CRC : SCAN_BUFFER_HEADERS,
    };
    scan->buffer = malloc(scan->buffer_capacity);
    return scan->buffer != NULL;
}

void segment_scan_end(struct segment_scan *scan)
{
    free(scan->buffer);
    scan->buffer = NULL;
}

static enum file_status read_bytes(struct segment_scan *scan, void *out, size_t size, uint64_t position,
                                   size_t *got)
{
    return scan->read ? scan->read(scan, out, size, position, got)
                      : file_pread(scan->file, out, size, position, got);
}

/* Whether bodies can be passed over: only headers are looked at, and the batch before was a large one. */
static bool skims(const struct segment_scan *scan)
{
    return !scan->check_crc && !scan->read && scan->head.size >= SKIM_SIZE_MIN;
}

static void read_ahead(struct segment_scan *scan, uint64_t position)
{
    if (scan->head.size > AHEAD_SIZE_MAX)
        return;
    if (scan->ahead < position)
        scan->ahead = position;
    for (; scan->ahead < scan->limit && scan->ahead < position + AHEAD_DISTANCE; scan->ahead += AHEAD_PIECE)
        file_read_ahead(scan->file, scan->ahead, AHEAD_PIECE);
}

/* size bytes at position, in the buffer; NULL: they cannot be read. size <= the capacity. */
static const uint8_t *bytes_at(struct segment_scan *scan, uint64_t position, size_t size)
{
    if (position >= scan->buffer_position && position + size <= scan->buffer_position + scan->buffer_size)
        return scan->buffer + (position - scan->buffer_position);
    uint64_t want = scan->limit - position;
    size_t most = scan->check_crc || size > SCAN_BUFFER_HEADERS ? scan->buffer_capacity : SCAN_BUFFER_HEADERS;
    if (skims(scan)) {
        read_ahead(scan, position);
        most = size;
    }
    if (want > most)
        want = most;
    /* Up to the end of a block, so that the next read begins with one. */
    if (want == most && want > size && want - (position + want) % SCAN_BLOCK >= size)
        want -= (position + want) % SCAN_BLOCK;
    scan->buffer_size = 0;
    if (want < size || read_bytes(scan, scan->buffer, (size_t)want, position, &scan->buffer_size) != FILE_OK)
        return NULL;
    scan->buffer_position = position;
    return scan->buffer_size >= size ? scan->buffer : NULL;
}

static void view_of_header(const uint8_t *bytes, const struct batch_head *head, struct batch_view *out)
{
    *out = (struct batch_view){
        .size = head->size,
        .base_offset = head->base_offset,
        .leader_epoch = head->leader_epoch,
        .last_offset_delta = (int32_t)(head->last_offset - head->base_offset),
        .base_timestamp = (int64_t)load_be64(bytes + BATCH_BASE_TIMESTAMP),
        .max_timestamp = head->max_timestamp,
        .producer_id = head->producer_id,
        .base_sequence = (int32_t)load_be32(bytes + BATCH_BASE_SEQUENCE),
        .record_count = (int32_t)load_be32(bytes + BATCH_RECORD_COUNT),
        .producer_epoch = (int16_t)load_be16(bytes + BATCH_PRODUCER_EPOCH),
        .attributes = load_be16(bytes + BATCH_ATTRIBUTES),
    };
}

/* CRC of the batch at position piece by piece, so that no batch is too large for the buffer. */
static enum scan_result check_crc(struct segment_scan *scan, uint64_t position, uint32_t size,
                                  uint32_t stored)
{
    uint32_t crc = 0;
    for (uint64_t at = position + BATCH_ATTRIBUTES, end = position + size; at < end;) {
        uint64_t buffer_end = scan->buffer_position + scan->buffer_size;
        size_t piece = end - at < scan->buffer_capacity ? (size_t)(end - at) : scan->buffer_capacity;
        if (at >= scan->buffer_position && at < buffer_end && piece > buffer_end - at)
            piece = (size_t)(buffer_end - at);
        const uint8_t *bytes = bytes_at(scan, at, piece);
        if (!bytes)
            return SCAN_IO;
        crc = crc32c(crc, bytes, piece);
        at += piece;
    }
    return crc == stored ? SCAN_BATCH : SCAN_DAMAGED;
}

enum scan_result segment_scan_next(struct segment_scan *scan)
{
    if (scan->position == scan->limit)
        return SCAN_END;
    if (scan->position > scan->limit || scan->limit - scan->position < BATCH_HEADER_SIZE)
        return SCAN_DAMAGED;
    const uint8_t *bytes = bytes_at(scan, scan->position, BATCH_HEADER_SIZE);
    struct batch_head head;
    if (!bytes)
        return SCAN_IO;
    if (!batch_head_read(bytes, scan->limit - scan->position, &head) || head.base_offset < scan->expected ||
        head.last_offset >= scan->bound)
        return SCAN_DAMAGED;
    uint32_t stored = load_be32(bytes + BATCH_CRC);
    view_of_header(bytes, &head, &scan->view);
    if (scan->check_crc) {
        enum scan_result result = check_crc(scan, scan->position, head.size, stored);
        if (result != SCAN_BATCH)
            return result;
    }
    scan->head = head;
    scan->batch_position = scan->position;
    scan->position += head.size;
    scan->expected = head.last_offset + 1;
    return SCAN_BATCH;
}

bool segment_scan_resync(struct segment_scan *scan)
{
    bool checked = scan->check_crc;
    uint64_t start = scan->position, at;
    bool found = false;
    scan->check_crc = true;
    for (at = start + 1; !found && at + BATCH_HEADER_SIZE <= scan->limit; at++) {
        int64_t expected = scan->expected;
        const uint8_t *bytes = bytes_at(scan, at, BATCH_HEADER_SIZE);
        if (!bytes)
            break;
        if (bytes[BATCH_MAGIC] != 2)
            continue;
        scan->position = at;
        found = segment_scan_next(scan) == SCAN_BATCH;
        scan->expected = expected;
        if (found)
            break;
    }
    scan->check_crc = checked;
    scan->position = found ? at : start;
    return found;
}

bool segment_scan_copy(struct segment_scan *scan, uint8_t *out)
{
    size_t got;
    return read_bytes(scan, out, scan->head.size, scan->batch_position, &got) == FILE_OK &&
           got == scan->head.size;
}
