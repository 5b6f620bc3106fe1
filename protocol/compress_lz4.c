/* LZ4 frames, as far as Java's reader takes them: one frame, independent blocks, no dictionary. */
#include "protocol/compress_internal.h"

enum {
    HEADER_SIZE_MIN = 7, /* magic, FLG, BD, header checksum */
    FLAGS_POSITION = 4,
    BLOCK_SIZE_POSITION = 5,
    FLAG_VERSION_MASK = 0xc0,
    FLAG_VERSION_1 = 0x40,
    FLAG_BLOCKS_INDEPENDENT = 0x20,
    FLAG_BLOCK_CHECKSUM = 0x10,
    FLAG_CONTENT_SIZE = 0x08,
    FLAG_RESERVED = 0x03, /* one of them is the dictionary id of later versions */
    BLOCK_UNCOMPRESSED = (int)0x80000000,
    KEPT_BLOCK_SIZE_CODE = 5, /* 256 KiB; frames of larger blocks leave buffers of megabytes */
};

static uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool lz4_create(struct decompressor *decompressor)
{
    return !LZ4F_isError(LZ4F_createDecompressionContext(&decompressor->lz4, LZ4F_VERSION));
}

static void lz4_destroy(struct decompressor *decompressor)
{
    LZ4F_freeDecompressionContext(decompressor->lz4);
}

/* Java refuses dependent blocks, dictionaries and skippable frames: its consumers could not read
 * what we would let in. The library checks the rest of the header, with its checksum. */
static bool header_is_acceptable(slice input)
{
    static const uint8_t magic[] = { 0x04, 0x22, 0x4d, 0x18 };
    if (input.size < HEADER_SIZE_MIN || memcmp(input.data, magic, sizeof magic) != 0)
        return false;
    uint8_t flags = input.data[FLAGS_POSITION];
    return (flags & FLAG_VERSION_MASK) == FLAG_VERSION_1 && (flags & FLAG_BLOCKS_INDEPENDENT) &&
           !(flags & FLAG_RESERVED);
}

static int block_size_code(slice input)
{
    return input.data[BLOCK_SIZE_POSITION] >> 4 & 7;
}

static enum compress_status lz4_start(struct decompressor *decompressor)
{
    LZ4F_resetDecompressionContext(decompressor->lz4);
    if (!header_is_acceptable(decompressor->input))
        return COMPRESS_CORRUPT;
    decompressor->inside = true;
    return COMPRESS_OK;
}

static enum compress_status lz4_read(struct decompressor *decompressor, uint8_t *out, size_t capacity,
                                     size_t *size)
{
    while (*size < capacity) {
        size_t taken = decompressor->input.size - decompressor->position;
        /* Java reads one frame and never looks at what follows it; a second frame's records would be
         * there for some readers only, so anything after the frame is damage. */
        if (!decompressor->inside)
            return taken == 0 ? COMPRESS_END : COMPRESS_CORRUPT;
        bool more_input = taken > 0;
        size_t step = capacity - *size;
        size_t hint = LZ4F_decompress(decompressor->lz4, out + *size, &step,
                                      decompressor->input.data + decompressor->position, &taken, NULL);
        if (LZ4F_isError(hint))
            return COMPRESS_CORRUPT;
        decompressor->position += taken;
        *size += step;
        if (hint == 0)
            decompressor->inside = false;
        else if (step == 0 && !more_input)
            return COMPRESS_CORRUPT; /* no end mark */
    }
    return COMPRESS_OK;
}

static bool lz4_worth_keeping(const struct decompressor *decompressor)
{
    return decompressor->input.size < HEADER_SIZE_MIN ||
           block_size_code(decompressor->input) <= KEPT_BLOCK_SIZE_CODE;
}

static LZ4F_cctx *compressing_context(void)
{
    struct compress__pool *pool = compress__pool();
    if (pool->lz4 == NULL && LZ4F_isError(LZ4F_createCompressionContext(&pool->lz4, LZ4F_VERSION)))
        pool->lz4 = NULL;
    return pool->lz4;
}

static enum compress_status lz4_compress(int level, slice input, struct arena *arena, slice *out)
{
    const LZ4F_preferences_t preferences = {
        .frameInfo = { .blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent },
        .compressionLevel = level,
        .autoFlush = 1,
    };
    const LZ4F_compressOptions_t options = { .stableSrc = 1 };
    LZ4F_cctx *context = compressing_context();
    size_t bound = LZ4F_HEADER_SIZE_MAX + LZ4F_compressBound(input.size, &preferences);
    uint8_t *bytes = arena_alloc(arena, bound);
    if (context == NULL || bytes == NULL)
        return COMPRESS_NO_MEMORY;
    size_t size = LZ4F_compressBegin(context, bytes, bound, &preferences);
    if (LZ4F_isError(size))
        return COMPRESS_NO_MEMORY;
    size_t step = LZ4F_compressUpdate(context, bytes + size, bound - size, input.data, input.size, &options);
    if (LZ4F_isError(step))
        return COMPRESS_NO_MEMORY;
    size += step;
    step = LZ4F_compressEnd(context, bytes + size, bound - size, &options);
    if (LZ4F_isError(step))
        return COMPRESS_NO_MEMORY;
    *out = slice_of(bytes, size + step);
    return COMPRESS_OK;
}

/* Full blocks: an upper bound from the blocks' headers alone. */
static size_t lz4_decoded_size_guess(slice input)
{
    if (!header_is_acceptable(input) || block_size_code(input) < 4)
        return 0;
    uint8_t flags = input.data[FLAGS_POSITION];
    size_t block_size = (size_t)1 << (8 + 2 * block_size_code(input));
    size_t checksum_size = flags & FLAG_BLOCK_CHECKSUM ? 4 : 0;
    size_t at = HEADER_SIZE_MIN + (flags & FLAG_CONTENT_SIZE ? 8 : 0), sum = 0;
    while (at + 4 <= input.size) {
        uint32_t field = load_le32(input.data + at);
        uint32_t size = field & ~(uint32_t)BLOCK_UNCOMPRESSED;
        if (size == 0)
            break;
        sum += field & (uint32_t)BLOCK_UNCOMPRESSED ? size : block_size;
        at += 4 + size + checksum_size;
    }
    return sum;
}

const struct compress__codec compress__lz4 = {
    .name = "lz4",
    .create = lz4_create,
    .destroy = lz4_destroy,
    .start = lz4_start,
    .read = lz4_read,
    .worth_keeping = lz4_worth_keeping,
    .compress = lz4_compress,
    .decoded_size_guess = lz4_decoded_size_guess,
};
