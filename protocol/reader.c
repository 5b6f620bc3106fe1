/* The reader's primitives: Kafka's lengths, counts and varints, each bounded by what is left. */
#include "protocol/reader.h"

const char *codec_status_text(enum codec_status status)
{
    switch (status) {
    case CODEC_OK:
        return "ok";
    case CODEC_SHORT:
        return "message ends early";
    case CODEC_INVALID:
        return "invalid value";
    case CODEC_NO_MEMORY:
        return "out of memory";
    case CODEC_UNSUPPORTED:
        return "not supported by this version";
    case CODEC_TOO_MANY:
        return "too many elements";
    case CODEC_UNKNOWN_KEY:
        return "unknown api key";
    case CODEC_UNKNOWN_VERSION:
        return "unknown api version";
    }
    return "unknown status";
}

bool reader_fail(struct reader *reader, enum codec_status status)
{
    if (reader->status == CODEC_OK)
        reader->status = status;
    return false;
}

bool reader_int8(struct reader *reader, int8_t *out)
{
    const uint8_t *p = reader_take(reader, 1);
    if (p == NULL)
        return false;
    *out = (int8_t)*p;
    return true;
}

bool reader_int16(struct reader *reader, int16_t *out)
{
    const uint8_t *p = reader_take(reader, 2);
    if (p == NULL)
        return false;
    *out = (int16_t)load_be16(p);
    return true;
}

bool reader_int32(struct reader *reader, int32_t *out)
{
    const uint8_t *p = reader_take(reader, 4);
    if (p == NULL)
        return false;
    *out = (int32_t)load_be32(p);
    return true;
}

bool reader_int64(struct reader *reader, int64_t *out)
{
    const uint8_t *p = reader_take(reader, 8);
    if (p == NULL)
        return false;
    *out = (int64_t)load_be64(p);
    return true;
}

bool reader_uint16(struct reader *reader, uint16_t *out)
{
    const uint8_t *p = reader_take(reader, 2);
    if (p == NULL)
        return false;
    *out = load_be16(p);
    return true;
}

bool reader_uint32(struct reader *reader, uint32_t *out)
{
    const uint8_t *p = reader_take(reader, 4);
    if (p == NULL)
        return false;
    *out = load_be32(p);
    return true;
}

bool reader_bool(struct reader *reader, bool *out)
{
    const uint8_t *p = reader_take(reader, 1);
    if (p == NULL)
        return false;
    *out = *p != 0;
    return true;
}

bool reader_uuid(struct reader *reader, uuid *out)
{
    const uint8_t *p = reader_take(reader, sizeof out->bytes);
    if (p == NULL)
        return false;
    memcpy(out->bytes, p, sizeof out->bytes);
    return true;
}

static bool read_groups(struct reader *reader, int groups_max, uint64_t *out)
{
    uint64_t value = 0;
    for (int i = 0; i < groups_max; i++) {
        if (reader->next == reader->end)
            return reader_fail(reader, CODEC_SHORT);
        uint8_t byte = *reader->next++;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return reader_fail(reader, CODEC_INVALID);
}

bool reader_uvarint(struct reader *reader, uint32_t *out)
{
    if (reader->next < reader->end && *reader->next < 0x80) {
        *out = *reader->next++;
        return true;
    }
    uint64_t value = 0;
    if (!read_groups(reader, 5, &value))
        return false;
    *out = (uint32_t)value;
    return true;
}

bool reader_uvarlong(struct reader *reader, uint64_t *out)
{
    return read_groups(reader, 10, out);
}

bool reader_varint(struct reader *reader, int32_t *out)
{
    uint32_t raw;
    if (!reader_uvarint(reader, &raw))
        return false;
    *out = (int32_t)((raw >> 1) ^ (0 - (raw & 1)));
    return true;
}

bool reader_varlong(struct reader *reader, int64_t *out)
{
    uint64_t raw;
    if (!reader_uvarlong(reader, &raw))
        return false;
    *out = (int64_t)((raw >> 1) ^ (0 - (raw & 1)));
    return true;
}

/* A compact length or count: size + 1, 0 for null, which becomes -1. */
static bool read_compact(struct reader *reader, int64_t *out)
{
    uint32_t raw;
    if (!reader_uvarint(reader, &raw))
        return false;
    *out = (int64_t)raw - 1;
    return true;
}

/* Takes the bytes of a length that has been read. */
static bool take_sized(struct reader *reader, int64_t size, bool nullable, slice *out)
{
    if (size < 0) {
        *out = SLICE_NULL;
        return size == -1 && nullable ? true : reader_fail(reader, CODEC_INVALID);
    }
    const uint8_t *data = reader_take(reader, (size_t)size);
    if (data == NULL)
        return false;
    *out = slice_of(data, (size_t)size);
    return true;
}

bool reader_string(struct reader *reader, bool flexible, bool nullable, slice *out)
{
    int64_t size;
    if (flexible) {
        if (!read_compact(reader, &size))
            return false;
    } else {
        int16_t size16;
        if (!reader_int16(reader, &size16))
            return false;
        size = size16;
    }
    if (size > CODEC_STRING_SIZE_MAX)
        return reader_fail(reader, CODEC_INVALID);
    return take_sized(reader, size, nullable, out);
}

/* The int32 or compact length of bytes, the count of an array. */
static bool read_length(struct reader *reader, bool flexible, int64_t *out)
{
    if (flexible)
        return read_compact(reader, out);
    int32_t length;
    if (!reader_int32(reader, &length))
        return false;
    *out = length;
    return true;
}

bool reader_bytes(struct reader *reader, bool flexible, bool nullable, slice *out)
{
    int64_t size;
    return read_length(reader, flexible, &size) && take_sized(reader, size, nullable, out);
}

bool reader_records(struct reader *reader, bool flexible, bool nullable, struct records *out)
{
    out->pin = NULL;
    return reader_bytes(reader, flexible, nullable, &out->bytes);
}

bool reader_array(struct reader *reader, bool flexible, bool nullable, size_t element_size_min,
                  int32_t *count)
{
    int64_t wanted;
    if (!read_length(reader, flexible, &wanted))
        return false;
    if (wanted < 0) {
        *count = -1;
        return wanted == -1 && nullable ? true : reader_fail(reader, CODEC_INVALID);
    }
    /* Both factors are below 2^32 here, so the product does not wrap. */
    if ((uint64_t)wanted * element_size_min > reader_left(reader))
        return reader_fail(reader, CODEC_SHORT);
    if ((uint64_t)wanted > reader->elements_left || wanted > INT32_MAX)
        return reader_fail(reader, CODEC_TOO_MANY);
    reader->elements_left -= (uint32_t)wanted;
    *count = (int32_t)wanted;
    return true;
}

void *reader_array_memory(struct reader *reader, int32_t count, size_t element_size)
{
    void *memory = arena_alloc(reader->arena, (size_t)count * element_size);
    if (memory == NULL)
        reader_fail(reader, CODEC_NO_MEMORY);
    return memory;
}

bool reader_present(struct reader *reader, bool *present)
{
    int8_t mark;
    if (!reader_int8(reader, &mark))
        return false;
    *present = mark >= 0;
    return true;
}

bool reader_tag_count(struct reader *reader, uint32_t *count)
{
    if (!reader_uvarint(reader, count))
        return false;
    /* Each field takes two bytes at least. */
    return *count <= reader_left(reader) / 2 ? true : reader_fail(reader, CODEC_SHORT);
}

bool reader_tag_enter(struct reader *reader, uint32_t *tag, const uint8_t **outer_end)
{
    uint32_t size;
    if (!reader_uvarint(reader, tag) || !reader_uvarint(reader, &size))
        return false;
    if (size > reader_left(reader))
        return reader_fail(reader, CODEC_SHORT);
    *outer_end = reader->end;
    reader->end = reader->next + size;
    return true;
}

bool reader_tag_leave(struct reader *reader, const uint8_t *outer_end)
{
    if (reader->next != reader->end)
        return reader_fail(reader, CODEC_INVALID);
    reader->end = outer_end;
    return true;
}

bool reader_skip_tags(struct reader *reader)
{
    /* Nearly always there are none. */
    if (reader->next < reader->end && *reader->next == 0) {
        reader->next++;
        return true;
    }
    uint32_t count, tag;
    const uint8_t *outer_end;
    if (!reader_tag_count(reader, &count))
        return false;
    for (; count > 0; count--) {
        if (!reader_tag_enter(reader, &tag, &outer_end))
            return false;
        reader_tag_skip(reader, outer_end);
    }
    return true;
}
