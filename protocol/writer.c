/* The writer's primitives, and how its memory grows. */
#include "protocol/writer.h"

void writer_init(struct writer *writer, struct chain *chain)
{
    *writer = (struct writer){ .chain = chain, .piece_size = WRITER_PIECE_SIZE_MIN, .status = CODEC_OK };
}

bool writer_fail(struct writer *writer, enum codec_status status)
{
    if (writer->status == CODEC_OK)
        writer->status = status;
    return false;
}

/* Gives the chain what is written; the rest of the piece stays in use. */
static bool writer_flush(struct writer *writer)
{
    if (writer->next == writer->start)
        return true;
    if (!chain_add(writer->chain, slice_of(writer->start, (size_t)(writer->next - writer->start))))
        return writer_fail(writer, CODEC_NO_MEMORY);
    writer->start = writer->next;
    return true;
}

static bool writer_new_piece(struct writer *writer, size_t size)
{
    if (!writer_flush(writer))
        return false;
    uint8_t *piece = arena_alloc(writer->chain->arena, size);
    if (piece == NULL)
        return writer_fail(writer, CODEC_NO_MEMORY);
    writer->start = writer->next = piece;
    writer->end = piece + size;
    return true;
}

uint8_t *writer__take_piece(struct writer *writer, size_t size)
{
    if (!writer_new_piece(writer, size > writer->piece_size ? size : writer->piece_size))
        return NULL;
    if (writer->piece_size < WRITER_PIECE_SIZE_MAX)
        writer->piece_size *= 2;
    uint8_t *taken = writer->next;
    writer->next += size;
    return taken;
}

bool writer_reserve(struct writer *writer, size_t size)
{
    return size <= (size_t)(writer->end - writer->next) || writer_new_piece(writer, size);
}

bool writer_finish(struct writer *writer)
{
    return writer->status == CODEC_OK && writer_flush(writer);
}

bool writer_begin_frame(struct writer *writer)
{
    writer->frame_start = writer->chain->size + (size_t)(writer->next - writer->start);
    writer->frame = writer_take(writer, 4);
    return writer->frame != NULL;
}

bool writer_end_frame(struct writer *writer)
{
    if (!writer_finish(writer))
        return false;
    size_t size = writer->chain->size - writer->frame_start - 4;
    if (size > INT32_MAX)
        return writer_fail(writer, CODEC_INVALID);
    store_be32(writer->frame, (uint32_t)size);
    writer->frame = NULL;
    return true;
}

bool writer_int8(struct writer *writer, int8_t value)
{
    uint8_t *p = writer_take(writer, 1);
    if (p == NULL)
        return false;
    *p = (uint8_t)value;
    return true;
}

bool writer_uint16(struct writer *writer, uint16_t value)
{
    uint8_t *p = writer_take(writer, 2);
    if (p == NULL)
        return false;
    store_be16(p, value);
    return true;
}

bool writer_int16(struct writer *writer, int16_t value)
{
    return writer_uint16(writer, (uint16_t)value);
}

bool writer_uint32(struct writer *writer, uint32_t value)
{
    uint8_t *p = writer_take(writer, 4);
    if (p == NULL)
        return false;
    store_be32(p, value);
    return true;
}

bool writer_int32(struct writer *writer, int32_t value)
{
    return writer_uint32(writer, (uint32_t)value);
}

bool writer_int64(struct writer *writer, int64_t value)
{
    uint8_t *p = writer_take(writer, 8);
    if (p == NULL)
        return false;
    store_be64(p, (uint64_t)value);
    return true;
}

/* Puts value at p in groups of seven bits; returns the byte behind it. */
static uint8_t *put_groups(uint8_t *p, uint64_t value)
{
    while (value >= 0x80) {
        *p++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *p++ = (uint8_t)value;
    return p;
}

bool writer_uvarlong(struct writer *writer, uint64_t value)
{
    uint8_t *p = writer_take(writer, size_of_uvarlong(value));
    if (p == NULL)
        return false;
    put_groups(p, value);
    return true;
}

bool writer__uvarint(struct writer *writer, uint32_t value)
{
    uint8_t *p = writer_take(writer, size_of_uvarint(value));
    if (p == NULL)
        return false;
    put_groups(p, value);
    return true;
}

bool writer_varint(struct writer *writer, int32_t value)
{
    return writer_uvarint(writer, zigzag32(value));
}

bool writer_varlong(struct writer *writer, int64_t value)
{
    return writer_uvarlong(writer, zigzag64(value));
}

size_t size_of_uvarlong(uint64_t value)
{
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

bool writer_raw(struct writer *writer, slice bytes)
{
    uint8_t *p = writer_take(writer, bytes.size);
    if (p == NULL)
        return false;
    if (bytes.size)
        memcpy(p, bytes.data, bytes.size);
    return true;
}

/* A length with its bytes, which have room together. */
static bool put_sized(struct writer *writer, size_t length_size, bool flexible, slice value)
{
    uint8_t *p = writer_take(writer, length_size + value.size);
    if (p == NULL)
        return false;
    if (flexible)
        put_groups(p, (uint32_t)value.size + 1);
    else if (length_size == 2)
        store_be16(p, (uint16_t)value.size);
    else
        store_be32(p, (uint32_t)value.size);
    if (value.size)
        memcpy(p + length_size, value.data, value.size);
    return true;
}

bool writer_string(struct writer *writer, bool flexible, bool nullable, slice value)
{
    if (value.data == NULL) {
        if (!nullable)
            return writer_fail(writer, CODEC_INVALID);
        return flexible ? writer_uvarint(writer, 0) : writer_int16(writer, -1);
    }
    if (value.size > CODEC_STRING_SIZE_MAX)
        return writer_fail(writer, CODEC_INVALID);
    return put_sized(writer, flexible ? size_of_uvarint((uint32_t)value.size + 1) : 2, flexible, value);
}

/* -1 for null, which must be allowed. */
static bool put_length(struct writer *writer, bool flexible, bool nullable, int32_t length)
{
    if (length < -1 || (length < 0 && !nullable))
        return writer_fail(writer, CODEC_INVALID);
    return flexible ? writer_uvarint(writer, (uint32_t)length + 1) : writer_int32(writer, length);
}

bool writer_bytes(struct writer *writer, bool flexible, bool nullable, slice value)
{
    if (value.data == NULL)
        return put_length(writer, flexible, nullable, -1);
    if (value.size > INT32_MAX)
        return writer_fail(writer, CODEC_INVALID);
    return put_sized(writer, flexible ? size_of_uvarint((uint32_t)value.size + 1) : 4, flexible, value);
}

bool writer_records(struct writer *writer, bool flexible, bool nullable, struct records value)
{
    if (value.pin == NULL || value.bytes.data == NULL || value.bytes.size == 0)
        return writer_bytes(writer, flexible, nullable, value.bytes);
    if (value.bytes.size > INT32_MAX)
        return writer_fail(writer, CODEC_INVALID);
    if (!put_length(writer, flexible, nullable, (int32_t)value.bytes.size) || !writer_flush(writer))
        return false;
    if (!chain_add_pinned(writer->chain, value.bytes, value.pin))
        return writer_fail(writer, CODEC_NO_MEMORY);
    return true;
}

bool writer_array(struct writer *writer, bool flexible, bool nullable, int32_t count)
{
    return put_length(writer, flexible, nullable, count);
}

bool writer_present(struct writer *writer, bool present)
{
    return writer_int8(writer, present ? 1 : -1);
}

bool writer_tag(struct writer *writer, uint32_t tag, size_t size)
{
    if (size > INT32_MAX)
        return writer_fail(writer, CODEC_INVALID);
    return writer_uvarint(writer, tag) && writer_uvarint(writer, (uint32_t)size);
}

enum codec_status size_add_string(size_t *size, bool flexible, bool nullable, slice value)
{
    if ((value.data == NULL && !nullable) || value.size > CODEC_STRING_SIZE_MAX)
        return CODEC_INVALID;
    if (value.data == NULL)
        *size += flexible ? 1 : 2;
    else
        *size += (flexible ? size_of_uvarint((uint32_t)value.size + 1) : 2) + value.size;
    return CODEC_OK;
}

enum codec_status size_add_bytes(size_t *size, bool flexible, bool nullable, slice value)
{
    if ((value.data == NULL && !nullable) || value.size > INT32_MAX)
        return CODEC_INVALID;
    if (value.data == NULL)
        *size += flexible ? 1 : 4;
    else
        *size += (flexible ? size_of_uvarint((uint32_t)value.size + 1) : 4) + value.size;
    return CODEC_OK;
}

enum codec_status size_add_array(size_t *size, bool flexible, bool nullable, int32_t count)
{
    if (count < -1 || (count < 0 && !nullable))
        return CODEC_INVALID;
    *size += flexible ? size_of_uvarint((uint32_t)count + 1) : 4;
    return CODEC_OK;
}
