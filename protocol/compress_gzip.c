/* gzip (RFC 1952) through zlib. */
#include <stdlib.h>

#include "protocol/compress_internal.h"

enum {
    WINDOW_BITS = 15,
    WITH_GZIP_HEADER = 16, /* added to the window bits: neither zlib's header nor none */
    MEMORY_LEVEL = 8,      /* zlib's default */
    MEMBER_SIZE_MIN = 18,
};

static bool gzip_create(struct decompressor *decompressor)
{
    decompressor->gzip = (z_stream){ 0 };
    return inflateInit2(&decompressor->gzip, WINDOW_BITS + WITH_GZIP_HEADER) == Z_OK;
}

static void gzip_destroy(struct decompressor *decompressor)
{
    inflateEnd(&decompressor->gzip);
}

static enum compress_status gzip_start(struct decompressor *decompressor)
{
    inflateReset(&decompressor->gzip);
    /* An empty input is no member either. */
    decompressor->inside = true;
    return COMPRESS_OK;
}

static uInt clamp(size_t size)
{
    return size < UINT32_MAX ? (uInt)size : UINT32_MAX;
}

/* One call of inflate(): moves position, returns what it wrote. */
static size_t inflate_step(struct decompressor *decompressor, uint8_t *out, size_t capacity, int *result)
{
    z_stream *stream = &decompressor->gzip;
    uInt given = clamp(decompressor->input.size - decompressor->position);
    uInt room = clamp(capacity);
    stream->next_in = (Bytef *)(uintptr_t)(decompressor->input.data + decompressor->position);
    stream->avail_in = given;
    stream->next_out = out;
    stream->avail_out = room;
    *result = inflate(stream, Z_NO_FLUSH);
    decompressor->position += given - stream->avail_in;
    return room - stream->avail_out;
}

static enum compress_status gzip_read(struct decompressor *decompressor, uint8_t *out, size_t capacity,
                                      size_t *size)
{
    while (*size < capacity) {
        bool more_input = decompressor->position < decompressor->input.size;
        if (!decompressor->inside) {
            /* Members follow one another; what is no member makes inflate() fail below. (Java ignores
             * such garbage; a batch with it is damaged.) */
            if (!more_input)
                return COMPRESS_END;
            inflateReset(&decompressor->gzip);
            decompressor->inside = true;
        }
        int result;
        size_t step = inflate_step(decompressor, out + *size, capacity - *size, &result);
        *size += step;
        if (result == Z_STREAM_END)
            decompressor->inside = false;
        else if (result == Z_MEM_ERROR)
            return COMPRESS_NO_MEMORY;
        else if (result != Z_OK || (step == 0 && !more_input))
            return COMPRESS_CORRUPT; /* Z_BUF_ERROR: cut off */
    }
    return COMPRESS_OK;
}

static bool gzip_worth_keeping(const struct decompressor *decompressor)
{
    (void)decompressor; /* about 40 KiB, always */
    return true;
}

static z_stream *deflate_stream(int level)
{
    struct compress__pool *pool = compress__pool();
    if (pool->gzip != NULL && pool->gzip_level == level && deflateReset(pool->gzip) == Z_OK)
        return pool->gzip;
    if (pool->gzip != NULL)
        deflateEnd(pool->gzip);
    else
        pool->gzip = malloc(sizeof *pool->gzip);
    if (pool->gzip == NULL)
        return NULL;
    *pool->gzip = (z_stream){ 0 };
    pool->gzip_level = level;
    if (deflateInit2(pool->gzip, level, Z_DEFLATED, WINDOW_BITS + WITH_GZIP_HEADER, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) == Z_OK)
        return pool->gzip;
    free(pool->gzip);
    pool->gzip = NULL;
    return NULL;
}

static enum compress_status gzip_compress(int level, slice input, struct arena *arena, slice *out)
{
    if (input.size > INT32_MAX)
        return COMPRESS_TOO_LARGE;
    z_stream *stream = deflate_stream(level == 0 ? Z_DEFAULT_COMPRESSION : level);
    if (stream == NULL)
        return COMPRESS_NO_MEMORY;
    size_t bound = deflateBound(stream, (uLong)input.size);
    uint8_t *bytes = arena_alloc(arena, bound);
    if (bytes == NULL)
        return COMPRESS_NO_MEMORY;
    stream->next_in = (Bytef *)(uintptr_t)input.data;
    stream->avail_in = (uInt)input.size;
    stream->next_out = bytes;
    stream->avail_out = (uInt)bound;
    if (deflate(stream, Z_FINISH) != Z_STREAM_END)
        return COMPRESS_NO_MEMORY;
    *out = slice_of(bytes, bound - stream->avail_out);
    return COMPRESS_OK;
}

/* The last member's size field; a stream that lies about it fails at its end. */
static size_t gzip_decoded_size_guess(slice input)
{
    if (input.size < MEMBER_SIZE_MIN)
        return input.size;
    const uint8_t *p = input.data + input.size - 4;
    return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

const struct compress__codec compress__gzip = {
    .name = "gzip",
    .create = gzip_create,
    .destroy = gzip_destroy,
    .start = gzip_start,
    .read = gzip_read,
    .worth_keeping = gzip_worth_keeping,
    .compress = gzip_compress,
    .decoded_size_guess = gzip_decoded_size_guess,
};
