/* Record batches, magic 2: the bytes that producers send, disks keep and consumers get. */
#ifndef RUNNEL_PROTOCOL_RECORD_BATCH_H
#define RUNNEL_PROTOCOL_RECORD_BATCH_H

#include "protocol/base/arena.h"
#include "protocol/base/bytes.h"
#include "protocol/compress.h"

/* Positions in the header (facts: protocol 3.1). The CRC covers BATCH_ATTRIBUTES to the end. */
enum {
    BATCH_BASE_OFFSET = 0,
    BATCH_LENGTH = 8, /* size of the batch - BATCH_OVERHEAD */
    BATCH_LEADER_EPOCH = 12,
    BATCH_MAGIC = 16,
    BATCH_CRC = 17,
    BATCH_ATTRIBUTES = 21,
    BATCH_LAST_OFFSET_DELTA = 23,
    BATCH_BASE_TIMESTAMP = 27,
    BATCH_MAX_TIMESTAMP = 35,
    BATCH_PRODUCER_ID = 43,
    BATCH_PRODUCER_EPOCH = 51,
    BATCH_BASE_SEQUENCE = 53,
    BATCH_RECORD_COUNT = 57,
    BATCH_HEADER_SIZE = 61,
    BATCH_OVERHEAD = 12, /* base offset and length themselves */
};

enum {
    BATCH_ATTRIBUTE_CODEC = 0x07,
    BATCH_ATTRIBUTE_LOG_APPEND_TIME = 0x08,
    BATCH_ATTRIBUTE_TRANSACTIONAL = 0x10,
    BATCH_ATTRIBUTE_CONTROL = 0x20,
    BATCH_ATTRIBUTE_DELETE_HORIZON = 0x40,
    BATCH_ATTRIBUTE_UNUSED = 0xff80,
};

enum batch_status {
    BATCH_OK,
    BATCH_SHORT,                   /* fewer bytes than a header, or than the length says */
    BATCH_CORRUPT,                 /* wrong CRC, impossible length, payload that does not decompress */
    BATCH_INVALID,                 /* a rule of Kafka's LogValidator is broken: INVALID_RECORD */
    BATCH_BAD_MAGIC,               /* not magic 2 */
    BATCH_UNSUPPORTED_COMPRESSION, /* codec 5-7 */
    BATCH_INVALID_TIMESTAMP,       /* outside the topic's before/after bounds (KIP-937) */
    BATCH_TOO_LARGE,               /* decompresses beyond the caller's cap */
    BATCH_NO_MEMORY,
};

/* The header of one batch and its bytes, borrowed. Fields are as on the wire. */
struct batch_view {
    uint8_t *data; /* the first byte; writable where the owner of the bytes allows it */
    size_t size;   /* of the whole batch: BATCH_OVERHEAD + length */
    int64_t base_offset;
    int32_t leader_epoch;
    int32_t last_offset_delta;
    int64_t base_timestamp; /* ms; the delete horizon when that attribute is set */
    int64_t max_timestamp;  /* ms */
    int64_t producer_id;    /* -1: none */
    int32_t base_sequence;  /* -1: none */
    int32_t record_count;   /* below last_offset_delta + 1 only after compaction */
    int16_t producer_epoch;
    uint16_t attributes;
};

static inline int64_t batch_last_offset(const struct batch_view *batch)
{
    return batch->base_offset + batch->last_offset_delta;
}

static inline enum codec batch_codec(const struct batch_view *batch)
{
    return (enum codec)(batch->attributes & BATCH_ATTRIBUTE_CODEC);
}

/* Reads the header of the batch that bytes begin with; no CRC. BATCH_SHORT when bytes do not hold
 * the whole batch (out->size is then what is needed, or 0 when not even that is known),
 * BATCH_CORRUPT for a length below the header's or above INT32_MAX, BATCH_BAD_MAGIC. */
enum batch_status batch_view(slice bytes, struct batch_view *out);
/* Recomputes the CRC and compares. */
bool batch_crc_ok(const struct batch_view *batch);
/* Writes base offset and leader epoch into batch and its bytes; both lie outside the CRC. */
void batch_assign(struct batch_view *batch, int64_t base_offset, int32_t leader_epoch);

/* One record, borrowed from the batch or from the scratch it was decompressed to. */
struct record {
    int64_t offset;
    int64_t timestamp; /* ms; the batch's max timestamp under LogAppendTime */
    slice key;         /* may be null */
    slice value;       /* may be null: a tombstone */
    slice headers;     /* raw: header_count headers back to back */
    int32_t header_count;
    uint8_t attributes;
};

struct record_header {
    slice key;   /* never null */
    slice value; /* may be null */
};

/* Walks the records of a batch whose CRC was checked. The payload is decompressed piece by piece
 * into one buffer from arena, so memory is bound by the largest record, output by output_max. */
struct record_iterator;

/* NULL on refusal of memory. Bytes behind batch must stay until record_iterator_close(). */
struct record_iterator *record_iterator_open(const struct batch_view *batch, struct arena *arena,
                                             size_t output_max);
/* BATCH_OK: *out is the next record, valid until the next call. BATCH_SHORT: the end, exactly
 * record_count records were read and nothing is left over. Else what is wrong. */
enum batch_status record_iterator_next(struct record_iterator *iterator, struct record *out);
/* Releases what the codec holds outside the arena. */
void record_iterator_close(struct record_iterator *iterator);
/* The next header of *headers, which is advanced. False at the end (or on damage). */
bool record_header_next(slice *headers, struct record_header *out);

/* What a topic asks of a batch that a client produces (facts: protocol 3.5). */
struct batch_rules {
    int64_t now_ms;
    int64_t timestamp_before_max_ms; /* INT64_MAX: unlimited */
    int64_t timestamp_after_max_ms;
    bool log_append_time;  /* message.timestamp.type=LogAppendTime */
    bool key_required;     /* cleanup.policy includes compact */
    size_t output_max;     /* most bytes that a payload may decompress to */
};

enum { BATCH_RECORD_ERRORS_MAX = 100 };

/* One offending record, by its index in the batch. */
struct batch_record_error {
    int32_t index;
    const char *message; /* static text */
};

struct batch_verdict {
    const char *message; /* static text, or NULL: the batch's error message for the client */
    struct batch_record_error *record_errors; /* from the arena */
    int32_t record_error_count;               /* at most BATCH_RECORD_ERRORS_MAX */
    int64_t max_timestamp;                    /* the true maximum of the records, or now_ms */
};

/* Validates a client's batch as Kafka's LogValidator does: base offset 0, CRC, magic, count and
 * deltas, every record also inside compressed payloads, keys, timestamps, no control bit, producer
 * fields. Reads only. Records are walked, never built. */
enum batch_status batch_validate(const struct batch_view *batch, const struct batch_rules *rules,
                                 struct arena *arena, struct batch_verdict *out);
/* After BATCH_OK: writes the true max timestamp, or the append time with its attribute bit, into
 * the header, with a new CRC, if anything of that differs. Returns whether it did. */
bool batch_set_timestamps(struct batch_view *batch, const struct batch_rules *rules,
                          const struct batch_verdict *verdict);
/* Bytes that the payload claims to decompress to, as far as that can be known cheaply; at least
 * its compressed size. To decide between loop and worker; never trusted for memory. */
size_t batch_decoded_size_guess(const struct batch_view *batch);
/* Rebuilds the batch with another codec (compression.type); out bytes come from the arena. out may be
 * the batch itself; after an error it is empty. */
enum batch_status batch_recompress(const struct batch_view *batch, enum codec codec, int level,
                                   struct arena *arena, size_t output_max, struct batch_view *out);

/* Builds one batch, for our own records (metadata, offsets) and for tests. */
struct batch_builder;

struct batch_builder_options {
    int64_t base_offset;
    int32_t leader_epoch;
    int64_t producer_id; /* -1: none */
    int16_t producer_epoch;
    int32_t base_sequence;
    uint16_t attributes; /* codec, transactional, control */
    int level;           /* of the codec; 0: the codec's default */
};

/* All memory comes from arena; NULL on refusal. */
struct batch_builder *batch_builder_open(struct arena *arena, const struct batch_builder_options *options);
/* Records get ascending offset deltas. headers: borrowed until return. False on refusal. */
bool batch_builder_add(struct batch_builder *builder, int64_t timestamp_ms, slice key, slice value,
                       const struct record_header *headers, size_t header_count);
/* Size that the batch would have now, uncompressed. */
size_t batch_builder_size(const struct batch_builder *builder);
/* The finished batch with its CRC, in the arena. */
enum batch_status batch_builder_finish(struct batch_builder *builder, struct batch_view *out);

/* Zig-zag varints as in records: bytes read or written (at most 5 and 10), 0 when cut or too long. */
size_t varint_read(slice bytes, int32_t *out);
size_t varlong_read(slice bytes, int64_t *out);
size_t varint_write(uint8_t *out, int32_t value);
size_t varlong_write(uint8_t *out, int64_t value);

#endif
