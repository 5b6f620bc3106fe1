/* A writer puts encoded bytes into a chain: memory in large pieces, pinned ranges between them. */
#ifndef RUNNEL_PROTOCOL_WRITER_H
#define RUNNEL_PROTOCOL_WRITER_H

#include "protocol/base/bytes.h"
#include "protocol/base/chain.h"
#include "protocol/codec.h"

/* The chain has the bytes only after writer_finish or writer_end_frame. After a failure status says why and
 * stays; what the chain has got until then is of no use. */
struct writer {
    uint8_t *next; /* free memory of the piece: next..end */
    uint8_t *end;
    uint8_t *start; /* written and not yet in the chain: start..next */
    struct chain *chain;
    size_t piece_size; /* of the next piece; grows */
    uint8_t *frame;    /* the open frame's length field, NULL: none */
    size_t frame_start;
    enum codec_status status;
};

enum { WRITER_PIECE_SIZE_MIN = 1024, WRITER_PIECE_SIZE_MAX = 65536 };

/* chain is borrowed, memory comes from its arena; what is in it stays in front. */
void writer_init(struct writer *writer, struct chain *chain);
/* The next size bytes will be one piece: for a message whose size is known. Not needed, only fewer parts. */
bool writer_reserve(struct writer *writer, size_t size);
/* Gives the chain what is written. */
bool writer_finish(struct writer *writer);

/* Leaves room for a frame's int32 length; writer_end_frame puts in how much followed, and finishes. */
bool writer_begin_frame(struct writer *writer);
bool writer_end_frame(struct writer *writer);

/* Notes the first failure; always false, so that callers can return it. */
bool writer_fail(struct writer *writer, enum codec_status status);

/* The slow half of writer_take. */
uint8_t *writer__take_piece(struct writer *writer, size_t size);

/* Room for size bytes, all of which the caller fills; NULL when the arena refuses. */
static inline uint8_t *writer_take(struct writer *writer, size_t size)
{
    if (size > (size_t)(writer->end - writer->next))
        return writer__take_piece(writer, size);
    uint8_t *taken = writer->next;
    writer->next += size;
    return taken;
}

/* The slow half of writer_uvarint. */
bool writer__uvarint(struct writer *writer, uint32_t value);

/* Nearly all are lengths and counts of one byte. */
static inline bool writer_uvarint(struct writer *writer, uint32_t value)
{
    if (value >= 0x80 || writer->next == writer->end)
        return writer__uvarint(writer, value);
    *writer->next++ = (uint8_t)value;
    return true;
}

bool writer_int8(struct writer *writer, int8_t value);
bool writer_int16(struct writer *writer, int16_t value);
bool writer_int32(struct writer *writer, int32_t value);
bool writer_int64(struct writer *writer, int64_t value);
bool writer_uint16(struct writer *writer, uint16_t value);
bool writer_uint32(struct writer *writer, uint32_t value);
bool writer_uvarlong(struct writer *writer, uint64_t value);
bool writer_varint(struct writer *writer, int32_t value);
bool writer_varlong(struct writer *writer, int64_t value);

/* flexible: compact lengths. A NULL data pointer is null, CODEC_INVALID unless nullable. */
bool writer_string(struct writer *writer, bool flexible, bool nullable, slice value);
bool writer_bytes(struct writer *writer, bool flexible, bool nullable, slice value);
/* Pinned records join the chain as a range, others are copied. */
bool writer_records(struct writer *writer, bool flexible, bool nullable, struct records value);
/* count -1 is null. */
bool writer_array(struct writer *writer, bool flexible, bool nullable, int32_t count);
/* A nullable struct's int8: 1, or -1 for null. */
bool writer_present(struct writer *writer, bool present);
bool writer_tag(struct writer *writer, uint32_t tag, size_t size);

/* Bytes that are there as they are. */
bool writer_raw(struct writer *writer, slice bytes);

/* Add what the functions above write, in bytes; else the status that they fail with. */
enum codec_status size_add_string(size_t *size, bool flexible, bool nullable, slice value);
enum codec_status size_add_bytes(size_t *size, bool flexible, bool nullable, slice value);
enum codec_status size_add_array(size_t *size, bool flexible, bool nullable, int32_t count);

static inline size_t size_of_uvarint(uint32_t value)
{
    return 1u + (value >= 1u << 7) + (value >= 1u << 14) + (value >= 1u << 21) + (value >= 1u << 28);
}
size_t size_of_uvarlong(uint64_t value);

static inline void store_double(uint8_t *p, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    store_be64(p, bits);
}

/* Zig-zag: small numbers of either sign become small unsigned ones. */
static inline uint32_t zigzag32(int32_t value)
{
    return ((uint32_t)value << 1) ^ (value < 0 ? UINT32_MAX : 0);
}

static inline uint64_t zigzag64(int64_t value)
{
    return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

#endif
