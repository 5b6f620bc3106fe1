/* Makes record batches: from records of our own, or from another batch with another codec. */
#include "protocol/record_batch_internal.h"

enum {
    FIRST_CAPACITY = 512,
    /* Attributes, and the varints of size, timestamp and offset deltas, key and value size, header count. */
    RECORD_OVERHEAD_MAX = 1 + VARINT_SIZE_MAX * 5 + VARLONG_SIZE_MAX,
    BATCH_SIZE_MAX = INT32_MAX,
};

struct batch_builder {
    struct arena *arena;
    struct batch_builder_options options;
    uint8_t *bytes; /* header, then the records */
    size_t size;
    size_t capacity;
    int32_t record_count;
    int64_t base_timestamp;
    int64_t max_timestamp;
};

struct batch_builder *batch_builder_open(struct arena *arena, const struct batch_builder_options *options)
{
    struct batch_builder *builder = arena_alloc(arena, sizeof *builder);
    uint8_t *bytes = arena_alloc(arena, FIRST_CAPACITY);
    if (builder == NULL || bytes == NULL)
        return NULL;
    *builder = (struct batch_builder){
        .arena = arena,
        .options = *options,
        .bytes = bytes,
        .size = BATCH_HEADER_SIZE,
        .capacity = FIRST_CAPACITY,
        .max_timestamp = -1,
    };
    return builder;
}

static bool reserve(struct batch_builder *builder, size_t more)
{
    if (more > BATCH_SIZE_MAX - builder->size)
        return false;
    if (more <= builder->capacity - builder->size)
        return true;
    size_t capacity = builder->capacity * 2;
    while (capacity < builder->size + more)
        capacity *= 2;
    uint8_t *bytes = arena_alloc(builder->arena, capacity);
    if (bytes == NULL)
        return false;
    memcpy(bytes, builder->bytes, builder->size);
    builder->bytes = bytes;
    builder->capacity = capacity;
    return true;
}

static size_t varint_size(int32_t value)
{
    uint8_t scratch[VARINT_SIZE_MAX];
    return varint_write(scratch, value);
}

static size_t sized_size(slice bytes)
{
    return varint_size(slice_is_null(bytes) ? -1 : (int32_t)bytes.size) + bytes.size;
}

static uint8_t *put_sized(uint8_t *to, slice bytes)
{
    to += varint_write(to, slice_is_null(bytes) ? -1 : (int32_t)bytes.size);
    if (bytes.size > 0)
        memcpy(to, bytes.data, bytes.size);
    return to + bytes.size;
}

/* Bytes of key, value and headers with their sizes; false when no batch holds so much. */
static bool variable_size(slice key, slice value, const struct record_header *headers, size_t header_count,
                          size_t *size)
{
    if (key.size > BATCH_SIZE_MAX || value.size > BATCH_SIZE_MAX || header_count > BATCH_SIZE_MAX)
        return false;
    size_t sum = sized_size(key) + sized_size(value) + varint_size((int32_t)header_count);
    for (size_t i = 0; i < header_count; i++) {
        if (headers[i].key.size > BATCH_SIZE_MAX || headers[i].value.size > BATCH_SIZE_MAX)
            return false;
        /* A header's key is never null on the wire. */
        sum += varint_size((int32_t)headers[i].key.size) + headers[i].key.size + sized_size(headers[i].value);
        if (sum > BATCH_SIZE_MAX)
            return false;
    }
    *size = sum;
    return sum <= BATCH_SIZE_MAX;
}

bool batch_builder_add(struct batch_builder *builder, int64_t timestamp_ms, slice key, slice value,
                       const struct record_header *headers, size_t header_count)
{
    size_t size;
    if (builder->record_count == INT32_MAX || !variable_size(key, value, headers, header_count, &size) ||
        !reserve(builder, RECORD_OVERHEAD_MAX + size))
        return false;
    if (builder->record_count == 0)
        builder->base_timestamp = timestamp_ms;
    if (timestamp_ms > builder->max_timestamp)
        builder->max_timestamp = timestamp_ms;

    uint8_t deltas[VARINT_SIZE_MAX + VARLONG_SIZE_MAX];
    int64_t timestamp_delta = (int64_t)((uint64_t)timestamp_ms - (uint64_t)builder->base_timestamp);
    size_t deltas_size = varlong_write(deltas, timestamp_delta);
    deltas_size += varint_write(deltas + deltas_size, builder->record_count);

    uint8_t *to = builder->bytes + builder->size;
    to += varint_write(to, (int32_t)(1 + deltas_size + size));
    *to++ = 0; /* attributes: none exist */
    memcpy(to, deltas, deltas_size);
    to += deltas_size;
    to = put_sized(to, key);
    to = put_sized(to, value);
    to += varint_write(to, (int32_t)header_count);
    for (size_t i = 0; i < header_count; i++) {
        to = put_sized(to, slice_of(headers[i].key.data ? headers[i].key.data : to, headers[i].key.size));
        to = put_sized(to, headers[i].value);
    }
    builder->size = (size_t)(to - builder->bytes);
    builder->record_count++;
    return true;
}

size_t batch_builder_size(const struct batch_builder *builder)
{
    return builder->size;
}

/* A batch with this header and the payload compressed by codec, in the arena. */
static enum batch_status compress_batch(const uint8_t *header, slice payload, enum codec codec, int level,
                                        struct arena *arena, slice *out)
{
    slice compressed;
    enum compress_status status = compress_bytes(codec, level, payload, arena, &compressed);
    if (status != COMPRESS_OK)
        return record_batch__status_of(status);
    if (compressed.size > BATCH_SIZE_MAX - BATCH_HEADER_SIZE)
        return BATCH_TOO_LARGE;
    uint8_t *bytes = arena_alloc(arena, BATCH_HEADER_SIZE + compressed.size);
    if (bytes == NULL)
        return BATCH_NO_MEMORY;
    memcpy(bytes, header, BATCH_HEADER_SIZE);
    if (compressed.size > 0)
        memcpy(bytes + BATCH_HEADER_SIZE, compressed.data, compressed.size);
    *out = slice_of(bytes, BATCH_HEADER_SIZE + compressed.size);
    return BATCH_OK;
}

static void write_header(struct batch_builder *builder)
{
    const struct batch_builder_options *options = &builder->options;
    uint8_t *header = builder->bytes;
    store_be64(header + BATCH_BASE_OFFSET, (uint64_t)options->base_offset);
    store_be32(header + BATCH_LEADER_EPOCH, (uint32_t)options->leader_epoch);
    store_be32(header + BATCH_LAST_OFFSET_DELTA, (uint32_t)(builder->record_count - 1));
    store_be64(header + BATCH_BASE_TIMESTAMP, (uint64_t)builder->base_timestamp);
    store_be64(header + BATCH_MAX_TIMESTAMP, (uint64_t)builder->max_timestamp);
    store_be64(header + BATCH_PRODUCER_ID, (uint64_t)options->producer_id);
    store_be16(header + BATCH_PRODUCER_EPOCH, (uint16_t)options->producer_epoch);
    store_be32(header + BATCH_BASE_SEQUENCE, (uint32_t)options->base_sequence);
    store_be32(header + BATCH_RECORD_COUNT, (uint32_t)builder->record_count);
}

enum batch_status batch_builder_finish(struct batch_builder *builder, struct batch_view *out)
{
    enum codec codec = (enum codec)(builder->options.attributes & BATCH_ATTRIBUTE_CODEC);
    *out = (struct batch_view){ 0 };
    if (builder->record_count == 0)
        return BATCH_INVALID;
    if (codec >= CODEC_COUNT)
        return BATCH_UNSUPPORTED_COMPRESSION;
    write_header(builder);
    slice whole = slice_of(builder->bytes, builder->size);
    if (codec != CODEC_NONE) {
        slice payload = slice_of(whole.data + BATCH_HEADER_SIZE, whole.size - BATCH_HEADER_SIZE);
        enum batch_status status =
            compress_batch(whole.data, payload, codec, builder->options.level, builder->arena, &whole);
        if (status != BATCH_OK)
            return status;
    }
    record_batch__seal((uint8_t *)(uintptr_t)whole.data, whole.size, builder->options.attributes);
    return batch_view(whole, out);
}

/* All of a batch's payload, decompressed into the arena if need be. */
static enum batch_status read_payload(const struct batch_view *batch, struct arena *arena, size_t output_max,
                                      slice *out)
{
    struct payload payload;
    enum batch_status status = record_batch__payload_open(&payload, batch, arena, output_max);
    if (status == BATCH_OK)
        status = record_batch__payload_fill(&payload, SIZE_MAX);
    record_batch__payload_close(&payload);
    *out = slice_of(payload.next, (size_t)(payload.end - payload.next));
    return status;
}

enum batch_status batch_recompress(const struct batch_view *batch, enum codec codec, int level,
                                   struct arena *arena, size_t output_max, struct batch_view *out)
{
    const struct batch_view from = *batch; /* out may be the same */
    *out = (struct batch_view){ 0 };
    slice payload, whole;
    enum batch_status status = read_payload(&from, arena, output_max, &payload);
    if (status == BATCH_OK)
        status = compress_batch(from.data, payload, codec, level, arena, &whole);
    if (status != BATCH_OK)
        return status;
    uint16_t attributes = (uint16_t)((from.attributes & ~BATCH_ATTRIBUTE_CODEC) | codec);
    record_batch__seal((uint8_t *)(uintptr_t)whole.data, whole.size, attributes);
    return batch_view(whole, out);
}
