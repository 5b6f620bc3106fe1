/* Puts the codecs behind one interface: caps their output and keeps their states per thread. */
#include "protocol/compress_internal.h"

#include <pthread.h>
#include <stdlib.h>

#include "protocol/base/check.h"

static bool none_create(struct decompressor *decompressor)
{
    (void)decompressor;
    return true;
}

static void none_destroy(struct decompressor *decompressor)
{
    (void)decompressor;
}

static enum compress_status none_start(struct decompressor *decompressor)
{
    (void)decompressor;
    return COMPRESS_OK;
}

static enum compress_status none_read(struct decompressor *decompressor, uint8_t *out, size_t capacity,
                                      size_t *size)
{
    size_t left = decompressor->input.size - decompressor->position;
    *size = left < capacity ? left : capacity;
    if (*size > 0)
        memcpy(out, decompressor->input.data + decompressor->position, *size);
    decompressor->position += *size;
    return *size == capacity ? COMPRESS_OK : COMPRESS_END;
}

static bool none_worth_keeping(const struct decompressor *decompressor)
{
    (void)decompressor;
    return true;
}

static enum compress_status none_compress(int level, slice input, struct arena *arena, slice *out)
{
    (void)level;
    uint8_t *copy = arena_alloc(arena, input.size);
    if (copy == NULL)
        return COMPRESS_NO_MEMORY;
    if (input.size > 0)
        memcpy(copy, input.data, input.size);
    *out = slice_of(copy, input.size);
    return COMPRESS_OK;
}

static size_t none_decoded_size_guess(slice input)
{
    return input.size;
}

static const struct compress__codec none = {
    .name = "none",
    .create = none_create,
    .destroy = none_destroy,
    .start = none_start,
    .read = none_read,
    .worth_keeping = none_worth_keeping,
    .compress = none_compress,
    .decoded_size_guess = none_decoded_size_guess,
};

static const struct compress__codec *codec_of(enum codec codec)
{
    static const struct compress__codec *const codecs[CODEC_COUNT] = {
        [CODEC_NONE] = &none,         [CODEC_GZIP] = &compress__gzip, [CODEC_SNAPPY] = &compress__snappy,
        [CODEC_LZ4] = &compress__lz4, [CODEC_ZSTD] = &compress__zstd,
    };
    check(codec < CODEC_COUNT);
    return codecs[codec];
}

const char *codec_name(enum codec codec)
{
    return codec_of(codec)->name;
}

/* One state of each kind waits here per thread: a thread works on one batch at a time, and what is
 * nested beyond that is made and freed. */
static _Thread_local struct compress__pool pool;
static pthread_key_t pool_key;
static pthread_once_t pool_key_once = PTHREAD_ONCE_INIT;

static void decompressor_free(struct decompressor *decompressor)
{
    codec_of(decompressor->codec)->destroy(decompressor);
    free(decompressor);
}

static void free_pool(void *value)
{
    struct compress__pool *dying = value;
    dying->closed = true;
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        if (dying->idle[codec] != NULL)
            decompressor_free(dying->idle[codec]);
        dying->idle[codec] = NULL;
    }
    if (dying->gzip != NULL)
        deflateEnd(dying->gzip);
    free(dying->gzip);
    LZ4F_freeCompressionContext(dying->lz4);
    ZSTD_freeCCtx(dying->zstd);
    dying->gzip = NULL;
    dying->lz4 = NULL;
    dying->zstd = NULL;
}

/* Keys' destructors do not run for the thread that ends the process. */
static void free_pool_at_exit(void)
{
    free_pool(&pool);
}

static void make_pool_key(void)
{
    check(pthread_key_create(&pool_key, free_pool) == 0);
    check(atexit(free_pool_at_exit) == 0);
}

struct compress__pool *compress__pool(void)
{
    if (!pool.registered) {
        pthread_once(&pool_key_once, make_pool_key);
        check(pthread_setspecific(pool_key, &pool) == 0);
        pool.registered = true;
    }
    return &pool;
}

static struct decompressor *decompressor_create(enum codec codec)
{
    struct decompressor *decompressor = calloc(1, sizeof *decompressor);
    if (decompressor == NULL)
        return NULL;
    decompressor->codec = codec;
    if (codec_of(codec)->create(decompressor))
        return decompressor;
    free(decompressor);
    return NULL;
}

struct decompressor *decompressor_open(enum codec codec, slice input, size_t output_max)
{
    const struct compress__codec *functions = codec_of(codec);
    struct decompressor **idle = &compress__pool()->idle[codec];
    struct decompressor *decompressor = *idle;
    *idle = NULL;
    if (decompressor == NULL)
        decompressor = decompressor_create(codec);
    if (decompressor == NULL)
        return NULL;
    decompressor->input = input;
    decompressor->position = 0;
    decompressor->output_left = output_max;
    decompressor->inside = false;
    decompressor->status = functions->start(decompressor);
    return decompressor;
}

void decompressor_close(struct decompressor *decompressor)
{
    if (decompressor == NULL)
        return;
    struct compress__pool *mine = compress__pool();
    enum codec codec = decompressor->codec;
    if (mine->closed || mine->idle[codec] != NULL || !codec_of(codec)->worth_keeping(decompressor)) {
        decompressor_free(decompressor);
        return;
    }
    decompressor->input = SLICE_NULL;
    mine->idle[codec] = decompressor;
}

/* All that the cap allows was read: is there one byte more? */
static enum compress_status probe_end(struct decompressor *decompressor)
{
    uint8_t byte;
    size_t size = 0;
    enum compress_status status = codec_of(decompressor->codec)->read(decompressor, &byte, 1, &size);
    return size > 0 ? COMPRESS_TOO_LARGE : status;
}

enum compress_status decompressor_read(struct decompressor *decompressor, void *out, size_t capacity,
                                       size_t *size)
{
    *size = 0;
    if (decompressor->status != COMPRESS_OK || capacity == 0)
        return decompressor->status;
    size_t allowed = capacity < decompressor->output_left ? capacity : decompressor->output_left;
    if (allowed > 0)
        decompressor->status = codec_of(decompressor->codec)->read(decompressor, out, allowed, size);
    decompressor->output_left -= *size;
    if (decompressor->status == COMPRESS_OK && allowed < capacity)
        decompressor->status = probe_end(decompressor);
    return decompressor->status;
}

enum compress_status compress_bytes(enum codec codec, int level, slice input, struct arena *arena, slice *out)
{
    *out = SLICE_NULL;
    return codec_of(codec)->compress(level, input, arena, out);
}

size_t compress_decoded_size_guess(enum codec codec, slice input)
{
    size_t guess = codec_of(codec)->decoded_size_guess(input);
    return guess > input.size ? guess : input.size;
}
