/* Walks the records of a batch, decompressing piece by piece. */
#include "protocol/record_batch_internal.h"

enum {
    /* Fits a page of 64 KiB of the arena, and takes whole blocks of snappy (32 KiB). */
    BUFFER_SIZE_FIRST = 64 * 1024 - 256,
};

enum batch_status record_batch__status_of(enum compress_status status)
{
    switch (status) {
    case COMPRESS_OK:
    case COMPRESS_END:
        return BATCH_OK;
    case COMPRESS_CORRUPT:
        return BATCH_CORRUPT;
    case COMPRESS_TOO_LARGE:
        return BATCH_TOO_LARGE;
    case COMPRESS_NO_MEMORY:
        return BATCH_NO_MEMORY;
    }
    return BATCH_CORRUPT;
}

enum batch_status record_batch__payload_open(struct payload *payload, const struct batch_view *batch,
                                             struct arena *arena, size_t output_max)
{
    slice bytes = batch_payload(batch);
    enum codec codec = batch_codec(batch);
    *payload = (struct payload){ .arena = arena };
    if (codec >= CODEC_COUNT)
        return BATCH_UNSUPPORTED_COMPRESSION;
    /* A batch that compaction emptied has no payload at all, whatever its codec. */
    if (codec == CODEC_NONE || (bytes.size == 0 && batch->record_count == 0)) {
        payload->next = bytes.data;
        payload->end = bytes.data + bytes.size;
        return BATCH_OK;
    }
    payload->buffer = arena_alloc(arena, BUFFER_SIZE_FIRST);
    if (payload->buffer == NULL)
        return BATCH_NO_MEMORY;
    payload->capacity = BUFFER_SIZE_FIRST;
    payload->next = payload->end = payload->buffer;
    payload->decompressor = decompressor_open(codec, bytes, output_max);
    return payload->decompressor ? BATCH_OK : BATCH_NO_MEMORY;
}

void record_batch__payload_close(struct payload *payload)
{
    decompressor_close(payload->decompressor);
    payload->decompressor = NULL;
}

/* Moves the bytes not yet walked to the front of the buffer, into a larger one if it is full. */
static bool make_room(struct payload *payload, size_t size)
{
    uint8_t *to = payload->buffer;
    if (size == payload->capacity) {
        to = arena_alloc(payload->arena, payload->capacity * 2);
        if (to == NULL)
            return false;
        payload->capacity *= 2;
    }
    memmove(to, payload->next, size);
    payload->buffer = to;
    payload->next = to;
    payload->end = to + size;
    return true;
}

enum batch_status record_batch__payload_fill(struct payload *payload, size_t wanted)
{
    size_t size = (size_t)(payload->end - payload->next);
    while (size < wanted && payload->decompressor != NULL) {
        if (!make_room(payload, size))
            return BATCH_NO_MEMORY;
        size_t step;
        enum compress_status status =
            decompressor_read(payload->decompressor, payload->buffer + size, payload->capacity - size, &step);
        size += step;
        payload->end += step;
        if (status == COMPRESS_END)
            record_batch__payload_close(payload);
        else if (status != COMPRESS_OK)
            return record_batch__status_of(status);
    }
    return BATCH_OK;
}

enum batch_status record_batch__payload_next_slow(struct payload *payload, slice *body)
{
    enum batch_status status = record_batch__payload_fill(payload, VARINT_SIZE_MAX);
    if (status != BATCH_OK)
        return status;
    int32_t size;
    const uint8_t *p = read_varint(payload->next, payload->end, &size);
    if (p == NULL || size < 0)
        return BATCH_INVALID;
    size_t whole = (size_t)(p - payload->next) + (size_t)size;
    status = record_batch__payload_fill(payload, whole);
    if (status != BATCH_OK)
        return status;
    if ((size_t)(payload->end - payload->next) < whole)
        return BATCH_INVALID;
    payload->next += whole;
    *body = slice_of(payload->next - size, (size_t)size);
    return BATCH_OK;
}

enum batch_status record_batch__payload_end(struct payload *payload)
{
    enum batch_status status = record_batch__payload_fill(payload, 1);
    if (status != BATCH_OK)
        return status;
    return payload->next == payload->end ? BATCH_OK : BATCH_INVALID;
}

static const uint8_t *read_header(const uint8_t *p, const uint8_t *end, struct record_header *out)
{
    p = read_sized(p, end, false, &out->key);
    return p ? read_sized(p, end, true, &out->value) : NULL;
}

bool record_batch__headers_ok(slice bytes, int32_t count)
{
    /* Two bytes are the smallest header, so that a lying count costs nothing. */
    if (count < 0 || (size_t)count > bytes.size / 2)
        return false;
    const uint8_t *p = bytes.data, *end = p + bytes.size;
    struct record_header header;
    for (int32_t i = 0; i < count; i++) {
        p = read_header(p, end, &header);
        if (p == NULL)
            return false;
    }
    return p == end;
}

bool record_header_next(slice *headers, struct record_header *out)
{
    const uint8_t *end = headers->data + headers->size;
    const uint8_t *p = headers->size > 0 ? read_header(headers->data, end, out) : NULL;
    if (p == NULL)
        return false;
    *headers = slice_of(p, (size_t)(end - p));
    return true;
}

struct record_iterator {
    struct payload payload;
    enum batch_status status; /* once not OK, for ever */
    int32_t left;             /* records that the header promises still */
    bool log_append_time;
    int64_t base_offset;
    int64_t base_timestamp;
    int64_t max_timestamp;
};

struct record_iterator *record_iterator_open(const struct batch_view *batch, struct arena *arena,
                                             size_t output_max)
{
    struct record_iterator *iterator = arena_alloc(arena, sizeof *iterator);
    if (iterator == NULL)
        return NULL;
    *iterator = (struct record_iterator){
        .left = batch->record_count,
        .log_append_time = batch->attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME,
        .base_offset = batch->base_offset,
        .base_timestamp = batch->base_timestamp,
        .max_timestamp = batch->max_timestamp,
    };
    iterator->status = record_batch__payload_open(&iterator->payload, batch, arena, output_max);
    if (iterator->status == BATCH_NO_MEMORY)
        return NULL;
    if (iterator->status == BATCH_OK && batch->record_count < 0)
        iterator->status = BATCH_INVALID;
    return iterator;
}

static enum batch_status next_record(struct record_iterator *iterator, struct record *out)
{
    if (iterator->left == 0) {
        enum batch_status status = record_batch__payload_end(&iterator->payload);
        return status == BATCH_OK ? BATCH_SHORT : status;
    }
    slice body;
    enum batch_status status = payload_next(&iterator->payload, &body);
    if (status != BATCH_OK)
        return status;
    struct raw_record raw;
    if (!parse_record(body, &raw))
        return BATCH_INVALID;
    iterator->left--;
    *out = (struct record){
        .offset = add_wrapping(iterator->base_offset, raw.offset_delta),
        .timestamp = iterator->log_append_time ? iterator->max_timestamp
                                               : add_wrapping(iterator->base_timestamp, raw.timestamp_delta),
        .key = raw.key,
        .value = raw.value,
        .headers = raw.headers,
        .header_count = raw.header_count,
        .attributes = raw.attributes,
    };
    return BATCH_OK;
}

enum batch_status record_iterator_next(struct record_iterator *iterator, struct record *out)
{
    if (iterator->status == BATCH_OK)
        iterator->status = next_record(iterator, out);
    return iterator->status;
}

void record_iterator_close(struct record_iterator *iterator)
{
    if (iterator != NULL)
        record_batch__payload_close(&iterator->payload);
}
