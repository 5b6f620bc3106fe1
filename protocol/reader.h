/* A reader is the one cursor over foreign bytes: every bounds check of the decoders is made here. */
#ifndef RUNNEL_PROTOCOL_READER_H
#define RUNNEL_PROTOCOL_READER_H

#include "protocol/base/arena.h"
#include "protocol/base/bytes.h"
#include "protocol/codec.h"

/* Copied by value to try something and come back. After a failure status says why and stays; the position
 * is then anywhere, and what was being decoded must not be used. */
struct reader {
    const uint8_t *next;
    const uint8_t *end;
    struct arena *arena; /* borrowed; arrays are made here. NULL where no array is read */
    enum codec_status status;
    uint32_t elements_left; /* array elements that the message may still have */
};

enum { READER_ELEMENTS_MAX = 1000000 };

/* bytes are borrowed: decoded slices point into them. */
static inline void reader_init(struct reader *reader, slice bytes, struct arena *arena)
{
    *reader = (struct reader){ .next = bytes.data,
                               .end = bytes.data ? bytes.data + bytes.size : bytes.data,
                               .arena = arena,
                               .status = CODEC_OK,
                               .elements_left = READER_ELEMENTS_MAX };
}

static inline size_t reader_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->next);
}

/* Notes the first failure; always false, so that callers can return it. */
bool reader_fail(struct reader *reader, enum codec_status status);

/* size bytes, or NULL and CODEC_SHORT. */
static inline const uint8_t *reader_take(struct reader *reader, size_t size)
{
    if (size > reader_left(reader)) {
        reader_fail(reader, CODEC_SHORT);
        return NULL;
    }
    const uint8_t *taken = reader->next;
    reader->next += size;
    return taken;
}

static inline double load_double(const uint8_t *p)
{
    uint64_t bits = load_be64(p);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool reader_int8(struct reader *reader, int8_t *out);
bool reader_int16(struct reader *reader, int16_t *out);
bool reader_int32(struct reader *reader, int32_t *out);
bool reader_int64(struct reader *reader, int64_t *out);
bool reader_uint16(struct reader *reader, uint16_t *out);
bool reader_uint32(struct reader *reader, uint32_t *out);
/* Any byte but 0 is true. */
bool reader_bool(struct reader *reader, bool *out);
bool reader_uuid(struct reader *reader, uuid *out);

/* At most 5 (10) bytes; longer forms than needed are accepted, bits beyond the type are dropped (as Kafka).
 */
bool reader_uvarint(struct reader *reader, uint32_t *out);
bool reader_uvarlong(struct reader *reader, uint64_t *out);
/* Zig-zag, as inside records. */
bool reader_varint(struct reader *reader, int32_t *out);
bool reader_varlong(struct reader *reader, int64_t *out);

/* flexible: compact lengths (uvarint of size + 1) instead of int16, int32. Null, which decodes to a NULL data
 * pointer, is CODEC_INVALID unless nullable. */
bool reader_string(struct reader *reader, bool flexible, bool nullable, slice *out);
bool reader_bytes(struct reader *reader, bool flexible, bool nullable, slice *out);
bool reader_records(struct reader *reader, bool flexible, bool nullable, struct records *out);

/* The count of an array, -1 for null. Refused when count x element_size_min, the smallest encoding of one
 * element, exceeds the bytes that are left (CODEC_SHORT), or count the elements (CODEC_TOO_MANY). So memory
 * for the elements is asked for only after the bytes for them have come. */
bool reader_array(struct reader *reader, bool flexible, bool nullable, size_t element_size_min,
                  int32_t *count);
/* Uninitialised memory for count elements from the arena; NULL and CODEC_NO_MEMORY when it refuses. */
void *reader_array_memory(struct reader *reader, int32_t count, size_t element_size);

/* Is a nullable struct there? One int8: below 0 it is null. */
bool reader_present(struct reader *reader, bool *present);

/* The number of tagged fields, bounded by the bytes that are left. */
bool reader_tag_count(struct reader *reader, uint32_t *count);
/* Enters a tagged field: the reader ends with it until reader_tag_leave. *outer_end is the end to go back to.
 */
bool reader_tag_enter(struct reader *reader, uint32_t *tag, const uint8_t **outer_end);
/* Leaves a field that was decoded: CODEC_INVALID unless all of it was consumed. */
bool reader_tag_leave(struct reader *reader, const uint8_t *outer_end);
/* Leaves a field that nobody knows, passing over its bytes. */
static inline void reader_tag_skip(struct reader *reader, const uint8_t *outer_end)
{
    reader->next = reader->end;
    reader->end = outer_end;
}
/* Passes over a whole section of tagged fields. */
bool reader_skip_tags(struct reader *reader);

#endif
