/* Zstandard: frames follow one another, skippable ones are skipped, dictionaries are not known. */
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_decompressBound: the library is linked statically */
#include "protocol/compress_internal.h"

#include <zstd_errors.h>

/* 128 MiB, as all of Kafka's readers: Java's producer at the levels 20 to 22 declares windows of 32 MiB
 * and more, even for one small record. Such a window costs address space; the memory that is
 * touched is what was really decompressed, and that output_max bounds. */
enum { WINDOW_LOG_MAX = 27 };

static bool zstd_create(struct decompressor *decompressor)
{
    decompressor->zstd = ZSTD_createDCtx();
    if (decompressor->zstd == NULL)
        return false;
    if (!ZSTD_isError(ZSTD_DCtx_setParameter(decompressor->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
        return true;
    ZSTD_freeDCtx(decompressor->zstd);
    return false;
}

static void zstd_destroy(struct decompressor *decompressor)
{
    ZSTD_freeDCtx(decompressor->zstd);
}

static enum compress_status zstd_start(struct decompressor *decompressor)
{
    ZSTD_DCtx_reset(decompressor->zstd, ZSTD_reset_session_only);
    /* An empty input is no frame either. */
    decompressor->inside = true;
    return COMPRESS_OK;
}

static enum compress_status zstd_read(struct decompressor *decompressor, uint8_t *out, size_t capacity,
                                      size_t *size)
{
    ZSTD_outBuffer to = { out, capacity, 0 };
    ZSTD_inBuffer from = { decompressor->input.data, decompressor->input.size, decompressor->position };
    enum compress_status status = COMPRESS_OK;
    while (to.pos < to.size) {
        bool more_input = from.pos < from.size;
        if (!decompressor->inside && !more_input) {
            status = COMPRESS_END;
            break;
        }
        size_t before = to.pos;
        size_t hint = ZSTD_decompressStream(decompressor->zstd, &to, &from);
        if (ZSTD_isError(hint)) {
            status = ZSTD_getErrorCode(hint) == ZSTD_error_memory_allocation ? COMPRESS_NO_MEMORY
                                                                             : COMPRESS_CORRUPT;
            break;
        }
        decompressor->inside = hint != 0;
        if (decompressor->inside && to.pos == before && !more_input) {
            status = COMPRESS_CORRUPT; /* cut off */
            break;
        }
    }
    decompressor->position = from.pos;
    *size = to.pos;
    return status;
}

static bool zstd_worth_keeping(const struct decompressor *decompressor)
{
    return ZSTD_sizeof_DCtx(decompressor->zstd) <= COMPRESS__KEPT_SIZE_MAX;
}

static enum compress_status zstd_compress(int level, slice input, struct arena *arena, slice *out)
{
    struct compress__pool *pool = compress__pool();
    size_t bound = ZSTD_compressBound(input.size);
    uint8_t *bytes = arena_alloc(arena, bound);
    if (pool->zstd == NULL)
        pool->zstd = ZSTD_createCCtx();
    if (bytes == NULL || pool->zstd == NULL)
        return COMPRESS_NO_MEMORY;
    /* Level 0 is the library's default too. */
    ZSTD_CCtx_setParameter(pool->zstd, ZSTD_c_compressionLevel, level);
    size_t size = ZSTD_compress2(pool->zstd, bytes, bound, input.data, input.size);
    if (ZSTD_sizeof_CCtx(pool->zstd) > COMPRESS__KEPT_SIZE_MAX) {
        ZSTD_freeCCtx(pool->zstd);
        pool->zstd = NULL;
    }
    if (ZSTD_isError(size))
        return COMPRESS_NO_MEMORY;
    *out = slice_of(bytes, size);
    return COMPRESS_OK;
}

/* The content size where frames tell it, else full blocks: an upper bound. */
static size_t zstd_decoded_size_guess(slice input)
{
    unsigned long long bound = ZSTD_decompressBound(input.data, input.size);
    return bound == ZSTD_CONTENTSIZE_ERROR ? 0 : bound < SIZE_MAX ? (size_t)bound : SIZE_MAX;
}

const struct compress__codec compress__zstd = {
    .name = "zstd",
    .create = zstd_create,
    .destroy = zstd_destroy,
    .start = zstd_start,
    .read = zstd_read,
    .worth_keeping = zstd_worth_keeping,
    .compress = zstd_compress,
    .decoded_size_guess = zstd_decoded_size_guess,
};
