/* Builds batches once; patches their heads. */
#include "tests/bench/load/batches.h"

#include <stdio.h>

#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"

enum { STAMP_SIZE = 8, CRC_POLYNOMIAL = (int)0x82f63b78 };

/* Ahead of a stamp, so that no other value is taken for one. */
static const uint8_t stamp_mark[4] = { 0xf7, 's', 't', 'p' };

/* --- CRCs ---------------------------------------------------------------------------------------- */

static uint32_t times(const uint32_t matrix[32], uint32_t vector)
{
    uint32_t sum = 0;
    for (int i = 0; vector != 0; i++, vector >>= 1)
        if (vector & 1)
            sum ^= matrix[i];
    return sum;
}

static void square(uint32_t matrix[32])
{
    uint32_t from[32];
    memcpy(from, matrix, sizeof from);
    for (int i = 0; i < 32; i++)
        matrix[i] = times(from, from[i]);
}

void crc_shift_init(struct crc_shift *shift, size_t size)
{
    uint32_t power[32], sum[32]; /* power: 2^n zero bits; sum: all of them so far */
    power[0] = (uint32_t)CRC_POLYNOMIAL;
    for (int i = 1; i < 32; i++)
        power[i] = 1u << (i - 1);
    for (int i = 0; i < 32; i++)
        sum[i] = 1u << i;
    for (uint64_t bits = (uint64_t)size * 8; bits != 0; bits >>= 1) {
        if (bits & 1)
            for (int i = 0; i < 32; i++)
                sum[i] = times(power, sum[i]);
        square(power);
    }
    for (int byte = 0; byte < 4; byte++)
        for (uint32_t value = 0; value < 256; value++)
            shift->table[byte][value] = times(sum, value << (8 * byte));
}

uint32_t crc_shift(const struct crc_shift *shift, uint32_t crc)
{
    return shift->table[0][crc & 255] ^ shift->table[1][crc >> 8 & 255] ^ shift->table[2][crc >> 16 & 255] ^
           shift->table[3][crc >> 24];
}

/* --- contents ------------------------------------------------------------------------------------ */

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

void fill_with_text(uint8_t *out, size_t size, uint32_t seed)
{
    static const char *const words[] = { "{\"user\":\"",
                                         "\",\"action\":\"view\"",
                                         ",\"page\":\"/products/",
                                         "\",\"status\":",
                                         "200",
                                         "404",
                                         ",\"ms\":",
                                         ",\"session\":\"",
                                         "\",\"agent\":\"Mozilla/5.0\"",
                                         ",\"country\":\"de\"}",
                                         "\n",
                                         "checkout" };
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < size;) {
        uint32_t draw = next_random(&state);
        char piece[48];
        int length = draw % 5 < 2 ? snprintf(piece, sizeof piece, "%x", next_random(&state))
                                  : snprintf(piece, sizeof piece, "%s",
                                             words[(draw >> 8) % (sizeof words / sizeof *words)]);
        size_t part = (size_t)length < size - i ? (size_t)length : size - i;
        memcpy(out + i, piece, part);
        i += part;
    }
}

static slice key_of(char out[16], const struct batch_shape *shape, uint32_t *state)
{
    if (shape->keys == 0)
        return SLICE_NULL;
    int size = snprintf(out, 16, "key-%08u", next_random(state) % (uint32_t)shape->keys);
    return slice_of(out, (size_t)size);
}

static struct batch_view build(const struct batch_shape *shape, uint32_t number, struct arena *arena)
{
    const struct batch_builder_options options = { .leader_epoch = -1,
                                                   .producer_id = -1,
                                                   .producer_epoch = -1,
                                                   .base_sequence = -1,
                                                   .attributes = (uint16_t)shape->codec };
    struct batch_builder *builder = check_memory(batch_builder_open(arena, &options));
    uint8_t *value = check_memory(arena_alloc(arena, shape->record_size));
    uint32_t state = number * 2246822519u + 7, seed = number << 16;
    struct batch_view batch;
    char key[16];
    do {
        fill_with_text(value, shape->record_size, ++seed);
        check(batch_builder_add(builder, 0, key_of(key, shape, &state), slice_of(value, shape->record_size),
                                NULL, 0));
    } while (batch_builder_size(builder) + shape->record_size + 32 <= shape->batch_size);
    check(batch_builder_finish(builder, &batch) == BATCH_OK);
    return batch;
}

/* Where the first value of an uncompressed batch has room for a stamp; 0: nowhere. */
static size_t find_stamp(const struct batch_view *batch)
{
    slice rest = slice_of(batch->data + BATCH_HEADER_SIZE, batch->size - BATCH_HEADER_SIZE);
    int32_t numbers[5]; /* size, attributes and timestamp delta, offset delta, key size, value size */
    if (batch_codec(batch) != CODEC_NONE)
        return 0;
    for (int i = 0; i < 5; i++) {
        size_t attributes = i == 1 ? 1 : 0;
        if (rest.size <= attributes)
            return 0;
        rest = slice_of(rest.data + attributes, rest.size - attributes);
        size_t used = varint_read(rest, &numbers[i]);
        size_t key = i == 3 && numbers[i] > 0 ? (size_t)numbers[i] : 0;
        if (used == 0 || used + key > rest.size)
            return 0;
        rest = slice_of(rest.data + used + key, rest.size - used - key);
    }
    size_t wanted = sizeof stamp_mark + STAMP_SIZE;
    if (numbers[4] < (int32_t)wanted || rest.size < wanted)
        return 0;
    return (size_t)(rest.data - batch->data);
}

void ready_batch_make(struct ready_batch *out, const struct batch_shape *shape, uint32_t number,
                      struct arena *arena)
{
    struct batch_view batch = build(shape, number, arena);
    size_t mark = find_stamp(&batch);
    out->data = batch.data;
    out->size = batch.size;
    out->records = batch.record_count;
    out->stamp_position = 0;
    out->head_size = BATCH_HEADER_SIZE;
    if (mark > 0) {
        memcpy(batch.data + mark, stamp_mark, sizeof stamp_mark);
        out->stamp_position = mark + sizeof stamp_mark;
        out->head_size = out->stamp_position + STAMP_SIZE;
    }
    out->rest_crc = crc32c(0, batch.data + out->head_size, batch.size - out->head_size);
    crc_shift_init(&out->shift, batch.size - out->head_size);
}

void ready_batch_patch(const struct ready_batch *batch, const struct batch_patch *patch, uint8_t *head)
{
    store_be64(head + BATCH_BASE_TIMESTAMP, (uint64_t)patch->timestamp_ms);
    store_be64(head + BATCH_MAX_TIMESTAMP, (uint64_t)patch->timestamp_ms);
    store_be64(head + BATCH_PRODUCER_ID, (uint64_t)patch->producer_id);
    store_be16(head + BATCH_PRODUCER_EPOCH, (uint16_t)patch->producer_epoch);
    store_be32(head + BATCH_BASE_SEQUENCE, (uint32_t)patch->base_sequence);
    if (batch->stamp_position > 0)
        store_be64(head + batch->stamp_position, patch->stamp_ns);
    uint32_t crc = crc32c(0, head + BATCH_ATTRIBUTES, batch->head_size - BATCH_ATTRIBUTES);
    store_be32(head + BATCH_CRC, crc_shift(&batch->shift, crc) ^ batch->rest_crc);
}

uint64_t batch_stamp_ns(const struct batch_view *batch, int64_t wall_to_monotonic_ns)
{
    if (batch_codec(batch) != CODEC_NONE)
        return (uint64_t)(batch->base_timestamp * 1000000 + wall_to_monotonic_ns);
    size_t mark = find_stamp(batch);
    if (mark == 0 || memcmp(batch->data + mark, stamp_mark, sizeof stamp_mark) != 0)
        return 0;
    return load_be64(batch->data + mark + sizeof stamp_mark);
}
