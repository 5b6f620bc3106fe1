/* Reads and patches the headers of record batches. */
#include "protocol/record_batch_internal.h"

#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"

/* The smallest length that any message format ever had (magic 0: CRC, magic, attributes, key, value);
 * below it the magic byte means nothing. */
enum { LENGTH_MIN_ANY_MAGIC = 14, MAGIC = 2 };

enum batch_status batch_view(slice bytes, struct batch_view *out)
{
    *out = (struct batch_view){ 0 };
    if (bytes.size < BATCH_OVERHEAD)
        return BATCH_SHORT;
    int32_t length = (int32_t)load_be32(bytes.data + BATCH_LENGTH);
    if (length < LENGTH_MIN_ANY_MAGIC)
        return BATCH_CORRUPT;
    size_t size = BATCH_OVERHEAD + (size_t)length;
    if (bytes.size > BATCH_MAGIC && bytes.data[BATCH_MAGIC] != MAGIC)
        return BATCH_BAD_MAGIC;
    if (size < BATCH_HEADER_SIZE)
        return BATCH_CORRUPT;
    out->size = size;
    if (bytes.size < size)
        return BATCH_SHORT;
    uint8_t *data = (uint8_t *)(uintptr_t)bytes.data; /* the owner knows whether it may be written */
    *out = (struct batch_view){
        .data = data,
        .size = size,
        .base_offset = (int64_t)load_be64(data + BATCH_BASE_OFFSET),
        .leader_epoch = (int32_t)load_be32(data + BATCH_LEADER_EPOCH),
        .last_offset_delta = (int32_t)load_be32(data + BATCH_LAST_OFFSET_DELTA),
        .base_timestamp = (int64_t)load_be64(data + BATCH_BASE_TIMESTAMP),
        .max_timestamp = (int64_t)load_be64(data + BATCH_MAX_TIMESTAMP),
        .producer_id = (int64_t)load_be64(data + BATCH_PRODUCER_ID),
        .base_sequence = (int32_t)load_be32(data + BATCH_BASE_SEQUENCE),
        .record_count = (int32_t)load_be32(data + BATCH_RECORD_COUNT),
        .producer_epoch = (int16_t)load_be16(data + BATCH_PRODUCER_EPOCH),
        .attributes = load_be16(data + BATCH_ATTRIBUTES),
    };
    return BATCH_OK;
}

static uint32_t compute_crc(const uint8_t *data, size_t size)
{
    return crc32c(0, data + BATCH_ATTRIBUTES, size - BATCH_ATTRIBUTES);
}

bool batch_crc_ok(const struct batch_view *batch)
{
    return load_be32(batch->data + BATCH_CRC) == compute_crc(batch->data, batch->size);
}

void batch_assign(struct batch_view *batch, int64_t base_offset, int32_t leader_epoch)
{
    check(base_offset >= 0);
    batch->base_offset = base_offset;
    batch->leader_epoch = leader_epoch;
    store_be64(batch->data + BATCH_BASE_OFFSET, (uint64_t)base_offset);
    store_be32(batch->data + BATCH_LEADER_EPOCH, (uint32_t)leader_epoch);
}

void record_batch__seal(uint8_t *data, size_t size, uint16_t attributes)
{
    store_be32(data + BATCH_LENGTH, (uint32_t)(size - BATCH_OVERHEAD));
    data[BATCH_MAGIC] = MAGIC;
    store_be16(data + BATCH_ATTRIBUTES, attributes);
    store_be32(data + BATCH_CRC, compute_crc(data, size));
}

bool batch_set_timestamps(struct batch_view *batch, const struct batch_rules *rules,
                          const struct batch_verdict *verdict)
{
    uint16_t attributes = batch->attributes & (uint16_t)~BATCH_ATTRIBUTE_LOG_APPEND_TIME;
    if (rules->log_append_time)
        attributes |= BATCH_ATTRIBUTE_LOG_APPEND_TIME;
    if (attributes == batch->attributes && verdict->max_timestamp == batch->max_timestamp)
        return false;
    batch->attributes = attributes;
    batch->max_timestamp = verdict->max_timestamp;
    store_be64(batch->data + BATCH_MAX_TIMESTAMP, (uint64_t)verdict->max_timestamp);
    record_batch__seal(batch->data, batch->size, attributes);
    return true;
}

size_t batch_decoded_size_guess(const struct batch_view *batch)
{
    slice payload = batch_payload(batch);
    enum codec codec = batch_codec(batch);
    return codec < CODEC_COUNT ? compress_decoded_size_guess(codec, payload) : payload.size;
}

size_t varint_read(slice bytes, int32_t *out)
{
    const uint8_t *after = read_varint(bytes.data, bytes.data + bytes.size, out);
    return after ? (size_t)(after - bytes.data) : 0;
}

size_t varlong_read(slice bytes, int64_t *out)
{
    const uint8_t *after = read_varlong(bytes.data, bytes.data + bytes.size, out);
    return after ? (size_t)(after - bytes.data) : 0;
}

static size_t write_uvarlong(uint8_t *out, uint64_t value)
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        out[size++] = (uint8_t)(value | 0x80);
    out[size++] = (uint8_t)value;
    return size;
}

size_t varint_write(uint8_t *out, int32_t value)
{
    return write_uvarlong(out, (uint32_t)value << 1 ^ (uint32_t)(value >> 31));
}

size_t varlong_write(uint8_t *out, int64_t value)
{
    return write_uvarlong(out, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}
