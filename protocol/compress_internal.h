/* What the codecs of compress.h share: the stream's state and the table of their functions. */
#ifndef RUNNEL_PROTOCOL_COMPRESS_INTERNAL_H
#define RUNNEL_PROTOCOL_COMPRESS_INTERNAL_H

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

#include "protocol/compress.h"

/* Between uses a pooled state may hold this much; larger ones are freed at the close. It is what a
 * zstd stream of the default level takes (window 2 MiB), of which only touched pages are real. */
enum { COMPRESS__KEPT_SIZE_MAX = 4 << 20 };

struct compress__snappy {
    uint8_t *buffer; /* the decoded chunk that did not fit the reader's memory */
    size_t capacity;
    size_t size;
    size_t position;
    bool framed; /* xerial chunks; else one raw block */
};

struct decompressor {
    enum codec codec;
    enum compress_status status; /* once not OK, for ever */
    slice input;
    size_t position;    /* in the input */
    size_t output_left; /* of output_max */
    bool inside;        /* gzip, zstd, lz4: a member or frame has begun and not ended */
    union {
        z_stream gzip;
        struct compress__snappy snappy;
        LZ4F_dctx *lz4;
        ZSTD_DCtx *zstd;
    };
};

struct compress__codec {
    const char *name;
    /* A fresh state; false: no memory. */
    bool (*create)(struct decompressor *decompressor);
    void (*destroy)(struct decompressor *decompressor);
    /* Begins input. COMPRESS_CORRUPT when its first bytes are wrong already. */
    enum compress_status (*start)(struct decompressor *decompressor);
    /* As decompressor_read(), without the cap; capacity > 0. */
    enum compress_status (*read)(struct decompressor *decompressor, uint8_t *out, size_t capacity,
                                 size_t *size);
    /* Whether the state is small enough to wait in the pool. */
    bool (*worth_keeping)(const struct decompressor *decompressor);
    enum compress_status (*compress)(int level, slice input, struct arena *arena, slice *out);
    size_t (*decoded_size_guess)(slice input);
};

extern const struct compress__codec compress__gzip, compress__snappy, compress__lz4, compress__zstd;

/* This thread's compressing states, made at first use and freed at the thread's end. */
struct compress__pool {
    struct decompressor *idle[CODEC_COUNT];
    z_stream *gzip;
    int gzip_level;
    LZ4F_cctx *lz4;
    ZSTD_CCtx *zstd;
    bool registered;
    bool closed;
};

struct compress__pool *compress__pool(void);

#endif
