/* Ready-made record batches, and what must change in them per request: times, producer, sequence, the stamp.
 *
 * All of that lies in the head of a batch; its CRC is put together from that of the head and that of the
 * rest, which was computed once (CRCs are linear). So a request costs the same for batches of any size. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_BATCHES_H
#define RUNNEL_TESTS_BENCH_LOAD_BATCHES_H

#include "protocol/record_batch.h"

/* Adds zeros: turns the CRC of some bytes into what they contribute in front of `size` others. */
struct crc_shift {
    uint32_t table[4][256];
};

void crc_shift_init(struct crc_shift *shift, size_t size);
uint32_t crc_shift(const struct crc_shift *shift, uint32_t crc);

struct ready_batch {
    const uint8_t *data;
    size_t size;
    size_t head_size;      /* what is copied and patched for each request; the rest is sent as it is */
    size_t stamp_position; /* 8 bytes of the first value, for a stamp; 0: it has none */
    int32_t records;
    uint32_t rest_crc;
    struct crc_shift shift;
};

struct batch_shape {
    size_t record_size; /* of a value */
    size_t batch_size;  /* before compression, about; at least one record */
    enum codec codec;
    int keys; /* how many different keys there are; 0: none */
};

/* Batch number `number` of a shape; same number, same bytes. All memory is the arena's. */
void ready_batch_make(struct ready_batch *out, const struct batch_shape *shape, uint32_t number,
                      struct arena *arena);

/* What is different in each request. */
struct batch_patch {
    uint64_t stamp_ns; /* CLOCK_MONOTONIC */
    int64_t timestamp_ms;
    int64_t producer_id; /* -1: none; the two below as well */
    int16_t producer_epoch;
    int32_t base_sequence;
};

/* head: a copy of the first head_size bytes. */
void ready_batch_patch(const struct ready_batch *batch, const struct batch_patch *patch, uint8_t *head);

/* The stamp of a batch that came back; 0: it has none. Compressed batches have their timestamp's, to the ms,
 * translated by the caller's offset from the wall clock to the monotonic one. */
uint64_t batch_stamp_ns(const struct batch_view *batch, int64_t wall_to_monotonic_ns);

/* size bytes of text that compresses about as logs and JSON do: to a half by lz4, to a third by zstd. */
void fill_with_text(uint8_t *out, size_t size, uint32_t seed);

#endif
