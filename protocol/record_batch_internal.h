/* What the files of record_batch.h share: one record's layout, and a cursor over a batch's payload. */
#ifndef RUNNEL_PROTOCOL_RECORD_BATCH_INTERNAL_H
#define RUNNEL_PROTOCOL_RECORD_BATCH_INTERNAL_H

#include "protocol/record_batch.h"

enum { VARINT_SIZE_MAX = 5, VARLONG_SIZE_MAX = 10 };

/* The unsigned number at p, of at most size_max bytes; NULL when it is cut or too long. Bits beyond
 * the type are dropped, as Java's reader does. */
static inline const uint8_t *read_uvarlong(const uint8_t *p, const uint8_t *end, int size_max, uint64_t *out)
{
    if (__builtin_expect(p < end && *p < 0x80, true)) {
        *out = *p;
        return p + 1;
    }
    if (__builtin_expect(end - p >= 2 && p[1] < 0x80, true)) { /* sizes and deltas from 64 on */
        *out = (uint64_t)(p[0] & 0x7f) | (uint64_t)p[1] << 7;
        return p + 2;
    }
    uint64_t value = 0;
    for (int i = 0; i < size_max && p + i < end; i++) {
        value |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] < 0x80) {
            *out = value;
            return p + i + 1;
        }
    }
    return NULL;
}

static inline const uint8_t *read_varlong(const uint8_t *p, const uint8_t *end, int64_t *out)
{
    uint64_t value = 0;
    p = read_uvarlong(p, end, VARLONG_SIZE_MAX, &value);
    *out = (int64_t)(value >> 1 ^ -(value & 1));
    return p;
}

static inline const uint8_t *read_varint(const uint8_t *p, const uint8_t *end, int32_t *out)
{
    uint64_t wide = 0;
    p = read_uvarlong(p, end, VARINT_SIZE_MAX, &wide);
    uint32_t value = (uint32_t)wide;
    *out = (int32_t)(value >> 1 ^ -(value & 1));
    return p;
}

/* A size and so many bytes; -1 is null where nullable. */
static inline const uint8_t *read_sized(const uint8_t *p, const uint8_t *end, bool nullable, slice *out)
{
    int32_t size;
    p = read_varint(p, end, &size);
    if (p == NULL || size < (nullable ? -1 : 0) || size > end - p)
        return NULL;
    if (size < 0) {
        *out = SLICE_NULL;
        return p;
    }
    *out = slice_of(p, (size_t)size);
    return p + size;
}

/* A record as it lies in the payload, its deltas not yet added to the batch's bases. */
struct raw_record {
    int64_t timestamp_delta;
    int32_t offset_delta;
    int32_t header_count;
    slice key;
    slice value;
    slice headers;
    uint8_t attributes;
};

/* Whether bytes are count headers and nothing else. */
bool record_batch__headers_ok(slice bytes, int32_t count);

/* Reads a record's body, which is all that follows its size. False when it is malformed. */
static inline bool parse_record(slice body, struct raw_record *out)
{
    const uint8_t *p = body.data, *end = p + body.size;
    if (p == end)
        return false;
    out->attributes = *p++;
    if ((p = read_varlong(p, end, &out->timestamp_delta)) == NULL ||
        (p = read_varint(p, end, &out->offset_delta)) == NULL ||
        (p = read_sized(p, end, true, &out->key)) == NULL ||
        (p = read_sized(p, end, true, &out->value)) == NULL ||
        (p = read_varint(p, end, &out->header_count)) == NULL)
        return false;
    out->headers = slice_of(p, (size_t)(end - p));
    if (__builtin_expect(out->header_count == 0, true))
        return p == end;
    return record_batch__headers_ok(out->headers, out->header_count);
}

/* base + delta, around the end of the type rather than undefined: both come from the client. */
static inline int64_t add_wrapping(int64_t base, int64_t delta)
{
    return (int64_t)((uint64_t)base + (uint64_t)delta);
}

/* Walks the records' bodies. A compressed payload goes through one buffer from the arena, which
 * grows only as bytes really come out of the stream. */
struct payload {
    const uint8_t *next; /* bytes not yet walked: in the batch, or in buffer */
    const uint8_t *end;
    struct decompressor *decompressor; /* NULL: all bytes are there */
    struct arena *arena;
    uint8_t *buffer;
    size_t capacity;
};

enum batch_status record_batch__payload_open(struct payload *payload, const struct batch_view *batch,
                                             struct arena *arena, size_t output_max);
/* Gets at least wanted bytes between next and end, fewer only at the end of the stream. */
enum batch_status record_batch__payload_fill(struct payload *payload, size_t wanted);
void record_batch__payload_close(struct payload *payload);
/* BATCH_OK when everything was walked, and the stream ended as it should. */
enum batch_status record_batch__payload_end(struct payload *payload);
/* The case that the next record is not in the buffer as a whole. */
enum batch_status record_batch__payload_next_slow(struct payload *payload, slice *body);

/* The next record's body, valid until the next call; BATCH_INVALID when the payload is cut. */
static inline enum batch_status payload_next(struct payload *payload, slice *body)
{
    int32_t size;
    const uint8_t *p = read_varint(payload->next, payload->end, &size);
    if (__builtin_expect(p != NULL && size >= 0 && size <= payload->end - p, true)) {
        *body = slice_of(p, (size_t)size);
        payload->next = p + size;
        return BATCH_OK;
    }
    return record_batch__payload_next_slow(payload, body);
}

enum batch_status record_batch__status_of(enum compress_status status);

static inline slice batch_payload(const struct batch_view *batch)
{
    return slice_of(batch->data + BATCH_HEADER_SIZE, batch->size - BATCH_HEADER_SIZE);
}

/* Writes attributes, size and CRC into a header whose other fields stand. */
void record_batch__seal(uint8_t *data, size_t size, uint16_t attributes);

#endif
