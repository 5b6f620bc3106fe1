/* The table of logs and the durable positions: encoders and decoders. */
#include "storage/side_file.h"

#include <stdlib.h>

#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"

static const char TABLE_MAGIC[] = "RunnelT2";
static const char POSITIONS_MAGIC[] = "RunnelD1";
static const char MARKS_MAGIC[] = "RunnelW1";

/* Positions in the table's header; in a row; the checksum stands at the end of the file. */
enum { MAGIC_SIZE = 8, TABLE_NONCE = 8, TABLE_COUNT = 24, TABLE_HEADER_SIZE = 28, CRC_SIZE = 4 };
enum {
    ROW_TOPIC_ID = 0,
    ROW_PARTITION = 16,
    ROW_START = 20,
    ROW_END = 28,
    ROW_ACTIVE_BASE = 36,
    ROW_SIZE = 44,
    ROW_ACTIVE_SIZE = 52,
    ROW_LEADER_EPOCH = 56,
    ROW_SEGMENT_COUNT = 60,
    ROW_OLDEST_SIZE = 64,
    ROW_OLDEST_TIMESTAMP = 68,
    ROW_FIRST_BASE = 76,
    ROW_SECOND_BASE = 84,
    ROW_STABLE = 92,
    ROW_NAME_SIZE = 100,
    ROW_HEADER_SIZE = 102,
};

static uint8_t *reserve(struct side_table_writer *writer, size_t size)
{
    if (writer->failed)
        return NULL;
    if (writer->size + size > writer->capacity) {
        size_t capacity = (writer->size + size) * 2 + 4096;
        uint8_t *bytes = realloc(writer->bytes, capacity);
        if (!bytes) {
            writer->failed = true;
            return NULL;
        }
        writer->bytes = bytes;
        writer->capacity = capacity;
    }
    uint8_t *at = writer->bytes + writer->size;
    writer->size += size;
    return at;
}

void side_table_begin(struct side_table_writer *writer, uuid nonce)
{
    *writer = (struct side_table_writer){ .bytes = NULL };
    uint8_t *at = reserve(writer, TABLE_HEADER_SIZE);
    if (!at)
        return;
    memcpy(at, TABLE_MAGIC, MAGIC_SIZE);
    memcpy(at + TABLE_NONCE, nonce.bytes, sizeof nonce.bytes);
}

void side_table_add(struct side_table_writer *writer, const struct side_row *row)
{
    check(row->topic.size <= UINT16_MAX);
    uint8_t *at = reserve(writer, ROW_HEADER_SIZE + row->topic.size);
    if (!at)
        return;
    memcpy(at + ROW_TOPIC_ID, row->topic_id.bytes, sizeof row->topic_id.bytes);
    store_be32(at + ROW_PARTITION, (uint32_t)row->partition);
    store_be64(at + ROW_START, (uint64_t)row->row.start_offset);
    store_be64(at + ROW_END, (uint64_t)row->row.end_offset);
    store_be64(at + ROW_STABLE, (uint64_t)row->row.stable_offset);
    store_be64(at + ROW_ACTIVE_BASE, (uint64_t)row->row.active_base);
    store_be64(at + ROW_SIZE, row->row.size);
    store_be32(at + ROW_ACTIVE_SIZE, row->row.active_size);
    store_be32(at + ROW_LEADER_EPOCH, (uint32_t)row->row.leader_epoch);
    store_be32(at + ROW_SEGMENT_COUNT, row->row.segment_count);
    store_be32(at + ROW_OLDEST_SIZE, row->row.oldest_size);
    store_be64(at + ROW_OLDEST_TIMESTAMP, (uint64_t)row->row.oldest_timestamp);
    store_be64(at + ROW_FIRST_BASE, (uint64_t)row->row.first_base);
    store_be64(at + ROW_SECOND_BASE, (uint64_t)row->row.second_base);
    store_be16(at + ROW_NAME_SIZE, (uint16_t)row->topic.size);
    if (row->topic.size)
        memcpy(at + ROW_HEADER_SIZE, row->topic.data, row->topic.size);
    writer->count++;
}

slice side_table_end(struct side_table_writer *writer)
{
    uint8_t *at = reserve(writer, CRC_SIZE);

    if (!at)
        return SLICE_NULL;
    store_be32(writer->bytes + TABLE_COUNT, writer->count);
    store_be32(at, crc32c(0, writer->bytes, writer->size - CRC_SIZE));
    return slice_of(writer->bytes, writer->size);
}

void side_table_free(struct side_table_writer *writer)
{
    free(writer->bytes);
    *writer = (struct side_table_writer){ .bytes = NULL };
}

bool side_table_open(slice bytes, struct side_table_reader *out)
{
    *out = (struct side_table_reader){ .left = 0 };
    if (bytes.size < TABLE_HEADER_SIZE + CRC_SIZE || memcmp(bytes.data, TABLE_MAGIC, MAGIC_SIZE) != 0 ||
        load_be32(bytes.data + bytes.size - CRC_SIZE) != crc32c(0, bytes.data, bytes.size - CRC_SIZE))
        return false;
    memcpy(out->nonce.bytes, bytes.data + TABLE_NONCE, sizeof out->nonce.bytes);
    out->left = load_be32(bytes.data + TABLE_COUNT);
    out->rest = slice_of(bytes.data + TABLE_HEADER_SIZE, bytes.size - TABLE_HEADER_SIZE - CRC_SIZE);
    return true;
}

/* A row that nobody wrote by mistake: what the laws of a log say of it. */
static bool row_is_sane(const struct log_row *row)
{
    return row->start_offset >= 0 && row->stable_offset >= row->start_offset &&
           row->end_offset >= row->stable_offset && row->active_base >= 0 &&
           row->active_base <= row->end_offset && row->leader_epoch >= -1 && row->active_size <= row->size &&
           row->segment_count > 0;
}

bool side_table_next(struct side_table_reader *reader, struct side_row *row)
{
    const uint8_t *at = reader->rest.data;

    if (reader->left == 0 || reader->rest.size < ROW_HEADER_SIZE)
        return false;
    size_t name_size = load_be16(at + ROW_NAME_SIZE);
    if (reader->rest.size - ROW_HEADER_SIZE < name_size)
        return false;
    memcpy(row->topic_id.bytes, at + ROW_TOPIC_ID, sizeof row->topic_id.bytes);
    row->partition = (int32_t)load_be32(at + ROW_PARTITION);
    row->topic = slice_of(at + ROW_HEADER_SIZE, name_size);
    row->row = (struct log_row){
        .start_offset = (int64_t)load_be64(at + ROW_START),
        .end_offset = (int64_t)load_be64(at + ROW_END),
        .stable_offset = (int64_t)load_be64(at + ROW_STABLE),
        .active_base = (int64_t)load_be64(at + ROW_ACTIVE_BASE),
        .active_size = load_be32(at + ROW_ACTIVE_SIZE),
        .leader_epoch = (int32_t)load_be32(at + ROW_LEADER_EPOCH),
        .size = load_be64(at + ROW_SIZE),
        .segment_count = load_be32(at + ROW_SEGMENT_COUNT),
        .oldest_size = load_be32(at + ROW_OLDEST_SIZE),
        .oldest_timestamp = (int64_t)load_be64(at + ROW_OLDEST_TIMESTAMP),
        .first_base = (int64_t)load_be64(at + ROW_FIRST_BASE),
        .second_base = (int64_t)load_be64(at + ROW_SECOND_BASE),
    };
    if (!row_is_sane(&row->row))
        return false;
    reader->rest =
        slice_of(at + ROW_HEADER_SIZE + name_size, reader->rest.size - ROW_HEADER_SIZE - name_size);
    reader->left--;
    return true;
}

enum { POSITIONS_DIRECTORY = 8, POSITIONS_CRC = 24 };
enum {
    POSITION_TOPIC_ID = 0,
    POSITION_PARTITION = 16,
    POSITION_OFFSET = 20,
    POSITION_SEGMENT_BASE = 28,
    POSITION_POSITION = 36,
    POSITION_START = 40,
    POSITION_CRC = 48,
};

void side_positions_encode_header(uuid directory_id, uint8_t out[SIDE_POSITIONS_HEADER_SIZE])
{
    memcpy(out, POSITIONS_MAGIC, MAGIC_SIZE);
    memcpy(out + POSITIONS_DIRECTORY, directory_id.bytes, sizeof directory_id.bytes);
    store_be32(out + POSITIONS_CRC, crc32c(0, out, POSITIONS_CRC));
}

void side_position_encode(const struct side_position *position, uint8_t out[SIDE_POSITION_SIZE])
{
    memcpy(out + POSITION_TOPIC_ID, position->topic_id.bytes, sizeof position->topic_id.bytes);
    store_be32(out + POSITION_PARTITION, (uint32_t)position->partition);
    store_be64(out + POSITION_OFFSET, (uint64_t)position->durable.offset);
    store_be64(out + POSITION_SEGMENT_BASE, (uint64_t)position->durable.segment_base);
    store_be32(out + POSITION_POSITION, position->durable.position);
    store_be64(out + POSITION_START, (uint64_t)position->start_offset);
    store_be32(out + POSITION_CRC, crc32c(0, out, POSITION_CRC));
}

bool side_positions_parse(slice bytes, uuid directory_id,
                          void (*visit)(void *context, const struct side_position *position), void *context)
{
    struct side_position position;

    if (bytes.size < SIDE_POSITIONS_HEADER_SIZE || memcmp(bytes.data, POSITIONS_MAGIC, MAGIC_SIZE) != 0 ||
        memcmp(bytes.data + POSITIONS_DIRECTORY, directory_id.bytes, sizeof directory_id.bytes) != 0 ||
        load_be32(bytes.data + POSITIONS_CRC) != crc32c(0, bytes.data, POSITIONS_CRC))
        return false;
    for (size_t at = SIDE_POSITIONS_HEADER_SIZE; bytes.size - at >= SIDE_POSITION_SIZE;
         at += SIDE_POSITION_SIZE) {
        const uint8_t *record = bytes.data + at;
        if (load_be32(record + POSITION_CRC) != crc32c(0, record, POSITION_CRC))
            continue; /* never flushed for its own sake, so a power cut may leave holes */
        memcpy(position.topic_id.bytes, record + POSITION_TOPIC_ID, sizeof position.topic_id.bytes);
        position.partition = (int32_t)load_be32(record + POSITION_PARTITION);
        position.durable = (struct log_position){
            .offset = (int64_t)load_be64(record + POSITION_OFFSET),
            .segment_base = (int64_t)load_be64(record + POSITION_SEGMENT_BASE),
            .position = load_be32(record + POSITION_POSITION),
        };
        position.start_offset = (int64_t)load_be64(record + POSITION_START);
        if (position.durable.offset >= 0 && position.durable.segment_base >= -1)
            visit(context, &position);
    }
    return true;
}

enum { MARKS_DIRECTORY = 8, MARKS_NONCE = 24, MARKS_CRC = 40, MARK_NAME = 2 };

void side_marks_encode_header(uuid directory_id, uuid nonce, uint8_t out[SIDE_MARKS_HEADER_SIZE])
{
    memcpy(out, MARKS_MAGIC, MAGIC_SIZE);
    memcpy(out + MARKS_DIRECTORY, directory_id.bytes, sizeof directory_id.bytes);
    memcpy(out + MARKS_NONCE, nonce.bytes, sizeof nonce.bytes);
    store_be32(out + MARKS_CRC, crc32c(0, out, MARKS_CRC));
}

size_t side_mark_encode(slice name, uint8_t out[SIDE_MARK_SIZE_MAX])
{
    check(name.size > 0 && name.size <= SIDE_MARK_NAME_MAX);
    store_be16(out, (uint16_t)name.size);
    memcpy(out + MARK_NAME, name.data, name.size);
    store_be32(out + MARK_NAME + name.size, crc32c(0, out, MARK_NAME + name.size));
    return MARK_NAME + name.size + CRC_SIZE;
}

/* The name at the begin of bytes; null: there is no record. */
static slice read_mark(slice bytes)
{
    if (bytes.size < MARK_NAME + CRC_SIZE)
        return SLICE_NULL;
    size_t size = load_be16(bytes.data);
    if (size == 0 || size > SIDE_MARK_NAME_MAX || bytes.size < MARK_NAME + size + CRC_SIZE ||
        load_be32(bytes.data + MARK_NAME + size) != crc32c(0, bytes.data, MARK_NAME + size))
        return SLICE_NULL;
    return slice_of(bytes.data + MARK_NAME, size);
}

bool side_marks_parse(slice bytes, uuid directory_id, uuid nonce, void (*visit)(void *context, slice name),
                      void *context)
{
    uint8_t header[SIDE_MARKS_HEADER_SIZE];

    side_marks_encode_header(directory_id, nonce, header);
    if (bytes.size < sizeof header || memcmp(bytes.data, header, sizeof header) != 0)
        return false;
    for (size_t at = sizeof header; at < bytes.size;) {
        slice name = read_mark(slice_of(bytes.data + at, bytes.size - at));
        if (slice_is_null(name))
            return false;
        visit(context, name);
        at += MARK_NAME + name.size + CRC_SIZE;
    }
    return true;
}
