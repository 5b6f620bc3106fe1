/* Streams of foreign bytes through every codec: nothing may crash, leak or pass the cap, the way of
 * reading may not change what is read, and what we compress comes back. */
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/compress.h"

enum { OUTPUT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum compress_status read_all(enum codec codec, slice input, size_t step, uint8_t *out,
                                     size_t *out_size)
{
    struct decompressor *decompressor = decompressor_open(codec, input, OUTPUT_MAX);
    check(decompressor != NULL);
    enum compress_status status;
    *out_size = 0;
    do {
        size_t room = OUTPUT_MAX + 1 - *out_size, got;
        status = decompressor_read(decompressor, out + *out_size, step < room ? step : room, &got);
        check(status != COMPRESS_OK || got == step);
        *out_size += got;
        check(*out_size <= OUTPUT_MAX);
    } while (status == COMPRESS_OK);
    decompressor_close(decompressor);
    return status;
}

static void round_trip(enum codec codec, slice input)
{
    struct arena arena;
    slice packed;
    arena_init(&arena, NULL);
    check(compress_bytes(codec, 0, input, &arena, &packed) == COMPRESS_OK);
    uint8_t *out = malloc(OUTPUT_MAX + 1);
    size_t size;
    check(read_all(codec, packed, 10000, out, &size) == COMPRESS_END);
    check(slice_equal(slice_of(out, size), input));
    free(out);
    arena_destroy(&arena);
}

/* The first byte chooses the codec and the step. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    enum codec codec = (enum codec)(data[0] % CODEC_COUNT);
    size_t step = 1 + (size_t)(data[0] / CODEC_COUNT) * 37;
    slice input = slice_of(data + 1, size - 1);
    uint8_t *whole = malloc(OUTPUT_MAX + 1), *pieces = malloc(OUTPUT_MAX + 1);
    size_t whole_size, pieces_size;
    enum compress_status status = read_all(codec, input, OUTPUT_MAX, whole, &whole_size);
    check(read_all(codec, input, step, pieces, &pieces_size) == status);
    if (status == COMPRESS_END)
        check(slice_equal(slice_of(whole, whole_size), slice_of(pieces, pieces_size)));
    check(compress_decoded_size_guess(codec, input) >= input.size);
    free(whole);
    free(pieces);
    round_trip(codec, input);
    return 0;
}
