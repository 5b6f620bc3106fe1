/* The four codecs of Kafka behind one interface; every output is capped. */
#ifndef RUNNEL_PROTOCOL_COMPRESS_H
#define RUNNEL_PROTOCOL_COMPRESS_H

#include "protocol/base/arena.h"

/* The numbers are the codec bits of a batch's attributes. */
enum codec { CODEC_NONE = 0, CODEC_GZIP = 1, CODEC_SNAPPY = 2, CODEC_LZ4 = 3, CODEC_ZSTD = 4, CODEC_COUNT = 5 };

enum compress_status {
    COMPRESS_OK,
    COMPRESS_END,       /* the stream is over, checksums agreed, nothing is left over */
    COMPRESS_CORRUPT,
    COMPRESS_TOO_LARGE, /* the output would pass the cap */
    COMPRESS_NO_MEMORY,
};

/* A stream of decompressed bytes. Codec states come from a per-thread pool, so that steady traffic
 * does not reach malloc. snappy: raw or xerial framing, told apart by its magic; lz4: frames,
 * with the checksums checked; zstd: window at most 128 MiB (what Java's levels 20-22 declare; memory
 * is touched only as output comes), no dictionaries; gzip: members follow one another, trailing
 * garbage is corrupt. */
struct decompressor;

/* input is borrowed until close; output_max bounds the sum of all reads. NULL: no memory. */
struct decompressor *decompressor_open(enum codec codec, slice input, size_t output_max);
/* Fills out as far as it can; *size is what was written. COMPRESS_OK: out is full, more may
 * follow. COMPRESS_END: *size bytes (may be 0) were the last. */
enum compress_status decompressor_read(struct decompressor *decompressor, void *out, size_t capacity,
                                       size_t *size);
void decompressor_close(struct decompressor *decompressor);

/* Compresses all of input into memory of the arena. level 0: the codec's default; snappy has
 * none. Snappy is written in xerial framing (what Java and sarama write). (compress is zlib's name.) */
enum compress_status compress_bytes(enum codec codec, int level, slice input, struct arena *arena,
                                    slice *out);

/* Bytes that input claims to decompress to, as far as that is known cheaply; at least its own size.
 * For decisions where to work; never trusted for memory. */
size_t compress_decoded_size_guess(enum codec codec, slice input);

/* "none", "gzip", "snappy", "lz4", "zstd". */
const char *codec_name(enum codec codec);

#endif
