/* The processor alone: checksums and codecs. */
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"
#include "tests/bench/load/batches.h"
#include "tests/bench/load/limits.h"

enum { CHECK_EVERY = 64 }; /* pieces between two looks at the clock */

void limit_crc(const struct limit_options *options, struct result *out)
{
    uint8_t *bytes = check_memory(malloc(options->write_size));
    uint32_t sum = 0;
    fill_with_text(bytes, options->write_size, 1);
    double begin = monotonic_seconds(), cpu = thread_cpu_seconds();
    do {
        for (int i = 0; i < CHECK_EVERY; i++)
            sum ^= crc32c(sum, bytes, options->write_size);
        out->total.requests += CHECK_EVERY;
        out->total.size += CHECK_EVERY * options->write_size;
        out->seconds = monotonic_seconds() - begin;
    } while (out->seconds < options->seconds);
    out->server_cpu_seconds = thread_cpu_seconds() - cpu;
    out->total.records = sum == 1; /* so that it is computed */
    free(bytes);
}

static void decompress_all(enum codec codec, slice packed, uint8_t *plain, size_t size)
{
    struct decompressor *stream = check_memory(decompressor_open(codec, packed, size));
    size_t got = 0;
    enum compress_status status;
    do {
        size_t part;
        status = decompressor_read(stream, plain + got, size - got, &part);
        got += part;
    } while (status == COMPRESS_OK && got < size);
    check(got == size);
    decompressor_close(stream);
}

void limit_codec(const struct limit_options *options, bool decompress, struct result *out, double *ratio)
{
    const struct batch_shape shape = { .record_size = options->record_size,
                                       .batch_size = options->batch_size };
    struct arena arena, scratch;
    struct ready_batch batch;
    slice packed;
    arena_init(&arena, NULL);
    arena_init(&scratch, NULL);
    ready_batch_make(&batch, &shape, 1, &arena);
    slice plain = slice_of(batch.data + BATCH_HEADER_SIZE, batch.size - BATCH_HEADER_SIZE);
    uint8_t *room = check_memory(malloc(plain.size));
    check(compress_bytes(options->codec, 0, plain, &arena, &packed) == COMPRESS_OK);
    *ratio = (double)plain.size / (double)packed.size;
    double begin = monotonic_seconds(), cpu = thread_cpu_seconds();
    do {
        if (decompress) {
            decompress_all(options->codec, packed, room, plain.size);
        } else {
            slice again;
            arena_reset(&scratch);
            check(compress_bytes(options->codec, 0, plain, &scratch, &again) == COMPRESS_OK);
        }
        out->total.requests++;
        out->total.records += (uint64_t)batch.records;
        out->total.size += plain.size;
        out->seconds = monotonic_seconds() - begin;
    } while (out->seconds < options->seconds);
    out->server_cpu_seconds = thread_cpu_seconds() - cpu;
    free(room);
    arena_destroy(&arena);
    arena_destroy(&scratch);
}
