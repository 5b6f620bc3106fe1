/* Snappy, raw as librdkafka writes it or in the xerial framing of Java and sarama. */
#include <snappy-c.h>
#include <stdlib.h>

#include "protocol/base/bytes.h"
#include "protocol/compress_internal.h"

/* The xerial framing: this magic, version and lowest compatible version (int32 each), then chunks of
 * an int32 size and a raw snappy block. */
static const uint8_t magic[] = { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0 };

enum {
    FRAME_HEADER_SIZE = 16,
    CHUNK_HEADER_SIZE = 4,
    FRAME_VERSION = 1,
    CHUNK_INPUT_SIZE = 32 * 1024, /* what Java's writer takes at a time */
    KEPT_BUFFER_SIZE_MAX = 256 * 1024,
    /* The densest element is a copy of 64 bytes in 3: what claims to grow more is a lie
     * (CVE-2023-34455 and its kind) and refused before memory is taken for it. */
    GROWTH_MAX = 22,
};

static bool snappy_create(struct decompressor *decompressor)
{
    decompressor->snappy = (struct compress__snappy){ 0 };
    return true;
}

static void snappy_destroy(struct decompressor *decompressor)
{
    free(decompressor->snappy.buffer);
}

static bool begins_with_magic(slice bytes)
{
    return bytes.size >= sizeof magic && memcmp(bytes.data, magic, sizeof magic) == 0;
}

static bool read_frame_header(struct decompressor *decompressor)
{
    slice rest = slice_of(decompressor->input.data + decompressor->position,
                          decompressor->input.size - decompressor->position);
    if (rest.size < FRAME_HEADER_SIZE || !begins_with_magic(rest))
        return false;
    /* As snappy-java: an older writer is not understood, a newer one is. */
    if ((int32_t)load_be32(rest.data + sizeof magic) < FRAME_VERSION)
        return false;
    decompressor->position += FRAME_HEADER_SIZE;
    return true;
}

static enum compress_status snappy_start(struct decompressor *decompressor)
{
    struct compress__snappy *state = &decompressor->snappy;
    state->size = state->position = 0;
    state->framed = begins_with_magic(decompressor->input);
    if (state->framed)
        return read_frame_header(decompressor) ? COMPRESS_OK : COMPRESS_CORRUPT;
    return decompressor->input.size > 0 ? COMPRESS_OK : COMPRESS_CORRUPT;
}

/* Finds the next raw block. False at the end, or with *status when the framing is damaged. */
static bool next_block(struct decompressor *decompressor, slice *block, enum compress_status *status)
{
    *status = COMPRESS_END;
    slice input = decompressor->input;
    if (decompressor->position == input.size)
        return false;
    if (!decompressor->snappy.framed) {
        *block = input;
        decompressor->position = input.size;
        return true;
    }
    *status = COMPRESS_CORRUPT;
    /* Streams may follow one another (snappy-java skips such headers too). */
    if (input.size - decompressor->position >= sizeof magic &&
        memcmp(input.data + decompressor->position, magic, sizeof magic) == 0) {
        if (!read_frame_header(decompressor))
            return false;
        if (decompressor->position == input.size) {
            *status = COMPRESS_END;
            return false;
        }
    }
    if (input.size - decompressor->position < CHUNK_HEADER_SIZE)
        return false;
    uint32_t size = load_be32(input.data + decompressor->position);
    decompressor->position += CHUNK_HEADER_SIZE;
    if (size > input.size - decompressor->position)
        return false;
    *block = slice_of(input.data + decompressor->position, size);
    decompressor->position += size;
    return true;
}

static bool reserve(struct compress__snappy *state, size_t size)
{
    if (size <= state->capacity)
        return true;
    free(state->buffer);
    state->buffer = malloc(size);
    state->capacity = state->buffer ? size : 0;
    return state->buffer != NULL;
}

static bool decoded_size(slice block, size_t *size)
{
    return snappy_uncompressed_length((const char *)block.data, block.size, size) == SNAPPY_OK &&
           *size <= block.size * GROWTH_MAX;
}

/* Decodes block straight into the reader's memory if it fits, else into the buffer. */
static enum compress_status decode_block(struct decompressor *decompressor, slice block, uint8_t *out,
                                         size_t capacity, size_t *written)
{
    struct compress__snappy *state = &decompressor->snappy;
    size_t size;
    *written = 0;
    if (!decoded_size(block, &size))
        return COMPRESS_CORRUPT;
    bool direct = size <= capacity;
    if (!direct && size > decompressor->output_left)
        return COMPRESS_TOO_LARGE;
    if (!direct && !reserve(state, size))
        return COMPRESS_NO_MEMORY;
    uint8_t *to = direct ? out : state->buffer;
    if (snappy_uncompress((const char *)block.data, block.size, (char *)to, &size) != SNAPPY_OK)
        return COMPRESS_CORRUPT;
    if (direct) {
        *written = size;
    } else {
        state->size = size;
        state->position = 0;
    }
    return COMPRESS_OK;
}

static enum compress_status snappy_read(struct decompressor *decompressor, uint8_t *out, size_t capacity,
                                        size_t *size)
{
    struct compress__snappy *state = &decompressor->snappy;
    while (*size < capacity) {
        size_t step = state->size - state->position;
        if (step == 0) {
            slice block;
            enum compress_status status;
            if (!next_block(decompressor, &block, &status))
                return status;
            status = decode_block(decompressor, block, out + *size, capacity - *size, &step);
            if (status != COMPRESS_OK)
                return status;
            *size += step;
            continue;
        }
        if (step > capacity - *size)
            step = capacity - *size;
        memcpy(out + *size, state->buffer + state->position, step);
        state->position += step;
        *size += step;
    }
    return COMPRESS_OK;
}

static bool snappy_worth_keeping(const struct decompressor *decompressor)
{
    return decompressor->snappy.capacity <= KEPT_BUFFER_SIZE_MAX;
}

static enum compress_status snappy_compress_framed(int level, slice input, struct arena *arena, slice *out)
{
    (void)level;
    size_t chunk_count = (input.size + CHUNK_INPUT_SIZE - 1) / CHUNK_INPUT_SIZE;
    size_t chunk_bound = CHUNK_HEADER_SIZE + snappy_max_compressed_length(CHUNK_INPUT_SIZE);
    uint8_t *bytes = arena_alloc(arena, FRAME_HEADER_SIZE + chunk_count * chunk_bound);
    if (bytes == NULL)
        return COMPRESS_NO_MEMORY;
    memcpy(bytes, magic, sizeof magic);
    store_be32(bytes + sizeof magic, FRAME_VERSION);
    store_be32(bytes + sizeof magic + 4, FRAME_VERSION);
    uint8_t *to = bytes + FRAME_HEADER_SIZE;
    for (size_t at = 0; at < input.size; at += CHUNK_INPUT_SIZE) {
        size_t taken = input.size - at < CHUNK_INPUT_SIZE ? input.size - at : CHUNK_INPUT_SIZE;
        size_t size = chunk_bound - CHUNK_HEADER_SIZE;
        if (snappy_compress((const char *)input.data + at, taken, (char *)to + CHUNK_HEADER_SIZE, &size) !=
            SNAPPY_OK)
            return COMPRESS_NO_MEMORY;
        store_be32(to, (uint32_t)size);
        to += CHUNK_HEADER_SIZE + size;
    }
    *out = slice_of(bytes, (size_t)(to - bytes));
    return COMPRESS_OK;
}

/* The sum of what the blocks claim, as far as they can be true. */
static size_t snappy_decoded_size_guess(slice input)
{
    struct decompressor walk = { .input = input };
    size_t sum = 0, size;
    slice block;
    enum compress_status status = snappy_start(&walk);
    while (status == COMPRESS_OK && next_block(&walk, &block, &status)) {
        if (!decoded_size(block, &size))
            break;
        sum += size;
        status = COMPRESS_OK;
    }
    return sum;
}

const struct compress__codec compress__snappy = {
    .name = "snappy",
    .create = snappy_create,
    .destroy = snappy_destroy,
    .start = snappy_start,
    .read = snappy_read,
    .worth_keeping = snappy_worth_keeping,
    .compress = snappy_compress_framed,
    .decoded_size_guess = snappy_decoded_size_guess,
};
