/* The codecs: round trips, framing bytes, caps, and streams that are damaged in every place. */
#include "protocol/compress.h"

#include <check.h>
#include <lz4frame.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "protocol/base/bytes.h"
#include "protocol/base/random.h"

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, NULL);
}

static void teardown(void)
{
    arena_destroy(&arena);
}

/* Half noise, half repetition. */
static slice sample(size_t size, uint64_t seed)
{
    struct random random;
    random_seed(&random, seed);
    uint8_t *bytes = arena_alloc(&arena, size);
    for (size_t at = 0; at < size;) {
        size_t run = 1 + random_below(&random, 300);
        bool noise = random_below(&random, 2);
        for (; run > 0 && at < size; run--, at++)
            bytes[at] = noise ? (uint8_t)random_u64(&random) : (uint8_t)('a' + at % 7);
    }
    return slice_of(bytes, size);
}

static slice compressed(enum codec codec, int level, slice input)
{
    slice out;
    ck_assert_int_eq(compress_bytes(codec, level, input, &arena, &out), COMPRESS_OK);
    return out;
}

/* All of the stream by reads of step bytes; its size in *size. */
static enum compress_status read_all(enum codec codec, slice input, size_t output_max, size_t step,
                                     uint8_t *out, size_t out_size, size_t *size)
{
    struct decompressor *decompressor = decompressor_open(codec, input, output_max);
    enum compress_status status;
    *size = 0;
    do {
        size_t got;
        status = decompressor_read(decompressor, out + *size,
                                   step < out_size - *size ? step : out_size - *size, &got);
        *size += got;
        ck_assert(status != COMPRESS_OK || *size < out_size || step == 0);
    } while (status == COMPRESS_OK);
    size_t got;
    ck_assert_int_eq(decompressor_read(decompressor, out, 1, &got), status);
    ck_assert_uint_eq(got, 0);
    decompressor_close(decompressor);
    return status;
}

static enum compress_status status_of(enum codec codec, slice input)
{
    static uint8_t out[4 << 20];
    size_t size;
    return read_all(codec, input, sizeof out - 1, 65536, out, sizeof out, &size);
}

static void assert_decompresses(enum codec codec, slice input, slice expected)
{
    static const size_t steps[] = { 1, 7, 4096, 65280, 1 << 22 };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (expected.size / steps[i] > 100000)
            continue;
        uint8_t *out = malloc(expected.size + 1);
        size_t size;
        enum compress_status status =
            read_all(codec, input, expected.size, steps[i], out, expected.size + 1, &size);
        ck_assert_msg(status == COMPRESS_END, "%s by %zu: %d", codec_name(codec), steps[i], status);
        ck_assert(slice_equal(slice_of(out, size), expected));
        if (expected.size > 0)
            ck_assert_int_eq(
                read_all(codec, input, expected.size - 1, steps[i], out, expected.size + 1, &size),
                COMPRESS_TOO_LARGE);
        free(out);
    }
}

START_TEST(round_trips)
{
    enum codec codec = (enum codec)_i;
    static const size_t sizes[] = { 0, 1, 100, 32767, 32768, 32769, 65536, 200000, 3000000 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        slice input = sample(sizes[i], i);
        slice packed = compressed(codec, 0, input);
        assert_decompresses(codec, packed, input);
        size_t guess = compress_decoded_size_guess(codec, packed);
        ck_assert_uint_ge(guess, packed.size);
        ck_assert_uint_ge(guess, input.size);
        arena_reset(&arena);
    }
}
END_TEST

START_TEST(levels)
{
    static const struct {
        enum codec codec;
        int levels[5];
    } rows[] = {
        { CODEC_GZIP, { 1, 6, 9, 0, 1 } },
        { CODEC_LZ4, { 1, 9, 12, 17, 0 } },
        { CODEC_ZSTD, { -5, 1, 9, 3, 15 } },
        { CODEC_SNAPPY, { 0, 1, 2, 3, 4 } },
    };
    slice input = sample(100000, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int level = 0; level < 5; level++)
            assert_decompresses(rows[i].codec, compressed(rows[i].codec, rows[i].levels[level], input),
                                input);
    }
}
END_TEST

/* A stream cut anywhere is corrupt, never an end. */
START_TEST(cut_streams)
{
    enum codec codec = (enum codec)_i;
    slice input = sample(70000, 5);
    slice packed = compressed(codec, 0, input);
    for (size_t size = 0; size < packed.size; size += size < 300 || size + 300 > packed.size ? 1 : 97) {
        uint8_t *exact = malloc(size + 1);
        memcpy(exact, packed.data, size);
        enum compress_status status = status_of(codec, slice_of(exact, size));
        /* Nothing tells a snappy reader that a chunk is missing behind the last. */
        bool whole_chunks = codec == CODEC_SNAPPY && size >= 16 && status == COMPRESS_END;
        ck_assert_msg(status == COMPRESS_CORRUPT || whole_chunks, "%s cut at %zu of %zu: %d",
                      codec_name(codec), size, packed.size, status);
        free(exact);
    }
}
END_TEST

START_TEST(garbage_behind_the_stream)
{
    enum codec codec = (enum codec)_i;
    slice packed = compressed(codec, 0, sample(5000, 5));
    static const size_t sizes[] = { 1, 3, 4, 5, 40 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *bytes = arena_alloc(&arena, packed.size + sizes[i]);
        memcpy(bytes, packed.data, packed.size);
        memset(bytes + packed.size, 0x5a, sizes[i]);
        ck_assert_int_eq(status_of(codec, slice_of(bytes, packed.size + sizes[i])), COMPRESS_CORRUPT);
    }
}
END_TEST

/* Flips each bit of the beginning and the end: an error or other bytes, never a crash or a hang. */
START_TEST(flipped_bits)
{
    enum codec codec = (enum codec)_i;
    slice packed = compressed(codec, 0, sample(3000, 6));
    uint8_t *bytes = (uint8_t *)(uintptr_t)packed.data;
    size_t refused = 0;
    for (size_t bit = 0; bit < packed.size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        refused += status_of(codec, packed) == COMPRESS_CORRUPT;
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_uint_gt(refused, 0);
    ck_assert_int_eq(status_of(codec, packed), COMPRESS_END);
}
END_TEST

static slice concatenate(slice a, slice b)
{
    uint8_t *bytes = arena_alloc(&arena, a.size + b.size);
    if (a.size > 0)
        memcpy(bytes, a.data, a.size);
    if (b.size > 0)
        memcpy(bytes + a.size, b.data, b.size);
    return slice_of(bytes, a.size + b.size);
}

START_TEST(streams_behind_one_another)
{
    slice a = sample(50000, 1), b = sample(70, 2), both = concatenate(a, b);
    static const enum codec joined[] = { CODEC_GZIP, CODEC_SNAPPY, CODEC_ZSTD };
    for (size_t i = 0; i < sizeof joined / sizeof joined[0]; i++)
        assert_decompresses(joined[i], concatenate(compressed(joined[i], 0, a), compressed(joined[i], 0, b)),
                            both);
    /* Java's reader of lz4 never looks behind the first frame. */
    ck_assert_int_eq(
        status_of(CODEC_LZ4, concatenate(compressed(CODEC_LZ4, 0, a), compressed(CODEC_LZ4, 0, b))),
        COMPRESS_CORRUPT);
}
END_TEST

/* --- snappy --- */

static slice raw_snappy(slice input)
{
    size_t size = snappy_max_compressed_length(input.size);
    char *bytes = arena_alloc(&arena, size);
    ck_assert_int_eq(snappy_compress((const char *)input.data, input.size, bytes, &size), SNAPPY_OK);
    return slice_of(bytes, size);
}

START_TEST(snappy_framing)
{
    static const uint8_t header[] = { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1 };
    slice input = sample(40000, 3);
    slice packed = compressed(CODEC_SNAPPY, 0, input);
    ck_assert_mem_eq(packed.data, header, sizeof header);
    /* Two chunks: 32 KiB and the rest, each behind its size. */
    uint32_t first = load_be32(packed.data + 16);
    size_t decoded;
    ck_assert_int_eq(snappy_uncompressed_length((const char *)packed.data + 20, first, &decoded), SNAPPY_OK);
    ck_assert_uint_eq(decoded, 32768);
    uint32_t second = load_be32(packed.data + 20 + first);
    ck_assert_uint_eq(20 + first + 4 + second, packed.size);
    /* librdkafka writes the block alone. */
    assert_decompresses(CODEC_SNAPPY, raw_snappy(input), input);
    assert_decompresses(CODEC_SNAPPY, raw_snappy(slice_of("", 0)), slice_of("", 0));
    /* No chunk is no damage. */
    assert_decompresses(CODEC_SNAPPY, slice_of(header, sizeof header), slice_of("", 0));
    /* A chunk larger than any reader's memory. */
    slice large = sample(3000000, 9), raw = raw_snappy(large);
    uint8_t size[4];
    store_be32(size, (uint32_t)raw.size);
    assert_decompresses(CODEC_SNAPPY, concatenate(concatenate(slice_of(header, 16), slice_of(size, 4)), raw),
                        large);
}
END_TEST

START_TEST(snappy_lies)
{
    static const struct {
        const char *what;
        uint8_t bytes[40];
        size_t size;
    } rows[] = {
        { "nothing", { 0 }, 0 },
        { "raw, claims 4 GiB", { 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00 }, 6 },
        { "raw, claims 1 MiB of six bytes", { 0x80, 0x80, 0x40, 0x00, 0x61, 0x61 }, 6 },
        { "raw, size too long", { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 6 },
        { "magic alone", { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0 }, 8 },
        { "header cut", { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0 }, 15 },
        { "version 0", { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 0, 0, 0, 0, 1 }, 16 },
        { "chunk size cut", { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0 }, 19 },
        { "chunk of size 0",
          { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0 },
          20 },
        { "chunk size -1",
          { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0 },
          21 },
        { "chunk size 2^31-1",
          { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0 },
          21 },
        { "chunk that claims 4 GiB",
          { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,    0,    0,    0,    1,   0,
            0,    0,   1,   0,   0,   0,   5,   0xff, 0xff, 0xff, 0xff, 0x0f },
          25 },
        { "chunk that claims more than it holds",
          { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 0x05, 0x00, 0x61 },
          23 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(status_of(CODEC_SNAPPY, slice_of(rows[i].bytes, rows[i].size)) == COMPRESS_CORRUPT,
                      "%s", rows[i].what);
}
END_TEST

/* --- lz4 --- */

static slice lz4_frame(slice input, LZ4F_frameInfo_t info)
{
    LZ4F_preferences_t preferences = { .frameInfo = info };
    size_t bound = LZ4F_compressFrameBound(input.size, &preferences);
    uint8_t *bytes = arena_alloc(&arena, bound);
    size_t size = LZ4F_compressFrame(bytes, bound, input.data, input.size, &preferences);
    ck_assert(!LZ4F_isError(size));
    return slice_of(bytes, size);
}

START_TEST(lz4_frames)
{
    slice input = sample(300000, 4);
    LZ4F_frameInfo_t independent = { .blockMode = LZ4F_blockIndependent, .blockSizeID = LZ4F_max64KB };
    static const LZ4F_blockSizeID_t sizes[] = { LZ4F_max64KB, LZ4F_max256KB, LZ4F_max1MB, LZ4F_max4MB };
    for (size_t i = 0; i < 4; i++) {
        LZ4F_frameInfo_t info = independent;
        info.blockSizeID = sizes[i];
        assert_decompresses(CODEC_LZ4, lz4_frame(input, info), input);
        info.contentChecksumFlag = LZ4F_contentChecksumEnabled;
        info.blockChecksumFlag = LZ4F_blockChecksumEnabled;
        info.contentSize = input.size;
        slice packed = lz4_frame(input, info);
        assert_decompresses(CODEC_LZ4, packed, input);
        ck_assert_uint_ge(compress_decoded_size_guess(CODEC_LZ4, packed), input.size);
        /* The content's checksum is the last field. */
        ((uint8_t *)(uintptr_t)packed.data)[packed.size - 1] ^= 1;
        ck_assert_int_eq(status_of(CODEC_LZ4, packed), COMPRESS_CORRUPT);
    }
    LZ4F_frameInfo_t linked = independent;
    linked.blockMode = LZ4F_blockLinked;
    ck_assert_int_eq(status_of(CODEC_LZ4, lz4_frame(input, linked)), COMPRESS_CORRUPT);

    slice packed = lz4_frame(input, independent);
    uint8_t *bytes = (uint8_t *)(uintptr_t)packed.data;
    bytes[6] ^= 1;
    ck_assert_msg(status_of(CODEC_LZ4, packed) == COMPRESS_CORRUPT, "wrong checksum of the header");
    bytes[6] ^= 1;
    ck_assert_msg(status_of(CODEC_LZ4, slice_of(bytes, packed.size - 4)) == COMPRESS_CORRUPT, "no end mark");
    bytes[0] = 0x03;
    ck_assert_msg(status_of(CODEC_LZ4, packed) == COMPRESS_CORRUPT, "wrong magic");
    static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 0 };
    ck_assert_msg(status_of(CODEC_LZ4, slice_of(skippable, sizeof skippable)) == COMPRESS_CORRUPT,
                  "skippable");
}
END_TEST

/* --- gzip --- */

START_TEST(gzip_trailers)
{
    slice packed = compressed(CODEC_GZIP, 0, sample(1000, 4));
    uint8_t *bytes = (uint8_t *)(uintptr_t)packed.data;
    for (size_t i = 1; i <= 8; i++) {
        bytes[packed.size - i] ^= 1;
        ck_assert_msg(status_of(CODEC_GZIP, packed) == COMPRESS_CORRUPT, "CRC or size, byte %zu from the end",
                      i);
        bytes[packed.size - i] ^= 1;
    }
    /* zlib's own framing is not gzip. */
    uint8_t zlib[2000];
    uLongf size = sizeof zlib;
    ck_assert_int_eq(compress2(zlib, &size, packed.data, packed.size, 6), Z_OK);
    ck_assert_int_eq(status_of(CODEC_GZIP, slice_of(zlib, size)), COMPRESS_CORRUPT);
}
END_TEST

/* --- zstd --- */

/* A frame as a streaming writer makes it: no content size in its header. */
static slice zstd_stream(slice input, int window_log, const char *dictionary)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    if (dictionary != NULL)
        ck_assert(!ZSTD_isError(ZSTD_CCtx_loadDictionary(context, dictionary, strlen(dictionary))));
    size_t bound = ZSTD_compressBound(input.size) + 100;
    ZSTD_outBuffer to = { arena_alloc(&arena, bound), bound, 0 };
    ZSTD_inBuffer from = { input.data, input.size / 2, 0 };
    ck_assert(!ZSTD_isError(ZSTD_compressStream2(context, &to, &from, ZSTD_e_continue)));
    from.size = input.size;
    ck_assert_uint_eq(ZSTD_compressStream2(context, &to, &from, ZSTD_e_end), 0);
    ZSTD_freeCCtx(context);
    return slice_of(to.dst, to.pos);
}

START_TEST(zstd_frames)
{
    slice input = sample(300000, 4);
    slice packed = zstd_stream(input, 21, NULL);
    assert_decompresses(CODEC_ZSTD, packed, input);
    ck_assert_uint_ge(compress_decoded_size_guess(CODEC_ZSTD, packed), input.size);
    assert_decompresses(CODEC_ZSTD, zstd_stream(input, 27, NULL), input);
    ck_assert_msg(status_of(CODEC_ZSTD, zstd_stream(input, 28, NULL)) == COMPRESS_CORRUPT,
                  "window of 256 MiB");
    /* Raw content serves as dictionary and leaves no id: its matches point before the frame. */
    slice text = SLICE_LITERAL("a dictionary that nobody has told us, a dictionary that nobody has");
    ck_assert_msg(status_of(CODEC_ZSTD, zstd_stream(text, 20, "a dictionary that nobody has told us")) ==
                      COMPRESS_CORRUPT,
                  "dictionary");
    static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3 };
    assert_decompresses(CODEC_ZSTD, concatenate(slice_of(skippable, sizeof skippable), packed), input);
    assert_decompresses(CODEC_ZSTD, concatenate(packed, slice_of(skippable, sizeof skippable)), input);
    ck_assert_int_eq(status_of(CODEC_ZSTD, slice_of("", 0)), COMPRESS_CORRUPT);
}
END_TEST

/* States that are open at the same time do not disturb one another. */
START_TEST(nested_streams)
{
    enum codec codec = (enum codec)_i;
    slice a = sample(100000, 1), b = sample(100000, 2);
    slice packed_a = compressed(codec, 0, a), packed_b = compressed(codec, 0, b);
    struct decompressor *one = decompressor_open(codec, packed_a, 1 << 20);
    struct decompressor *two = decompressor_open(codec, packed_b, 1 << 20);
    uint8_t out[1000];
    size_t size;
    for (size_t at = 0; at + sizeof out <= a.size; at += sizeof out) {
        ck_assert_int_eq(decompressor_read(one, out, sizeof out, &size), COMPRESS_OK);
        ck_assert_mem_eq(out, a.data + at, sizeof out);
        ck_assert_int_eq(decompressor_read(two, out, sizeof out, &size), COMPRESS_OK);
        ck_assert_mem_eq(out, b.data + at, sizeof out);
    }
    decompressor_close(one);
    decompressor_close(two);
    decompressor_close(NULL);
}
END_TEST

static void *work(void *argument)
{
    (void)argument;
    struct arena mine;
    arena_init(&mine, NULL);
    for (int round = 0; round < 20; round++) {
        for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
            slice packed;
            uint8_t out[1000] = { 0 };
            size_t size;
            ck_assert_int_eq(compress_bytes((enum codec)codec, 0, slice_of(out, sizeof out), &mine, &packed),
                             COMPRESS_OK);
            struct decompressor *decompressor = decompressor_open((enum codec)codec, packed, sizeof out);
            ck_assert_int_eq(decompressor_read(decompressor, out, sizeof out, &size), COMPRESS_OK);
            ck_assert_uint_eq(size, sizeof out);
            decompressor_close(decompressor);
        }
        arena_reset(&mine);
    }
    arena_destroy(&mine);
    return NULL;
}

/* With LeakSanitizer: nothing of a thread's pools outlives it. */
START_TEST(threads_end_without_leaks)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, NULL), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compress");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 120);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, round_trips, CODEC_NONE, CODEC_COUNT);
    tcase_add_test(cases, levels);
    tcase_add_loop_test(cases, cut_streams, CODEC_GZIP, CODEC_COUNT);
    tcase_add_loop_test(cases, garbage_behind_the_stream, CODEC_GZIP, CODEC_COUNT);
    tcase_add_loop_test(cases, flipped_bits, CODEC_GZIP, CODEC_COUNT);
    tcase_add_test(cases, streams_behind_one_another);
    tcase_add_test(cases, snappy_framing);
    tcase_add_test(cases, snappy_lies);
    tcase_add_test(cases, lz4_frames);
    tcase_add_test(cases, gzip_trailers);
    tcase_add_test(cases, zstd_frames);
    tcase_add_loop_test(cases, nested_streams, CODEC_NONE, CODEC_COUNT);
    tcase_add_test(cases, threads_end_without_leaks);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
