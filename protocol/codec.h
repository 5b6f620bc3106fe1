/* The words that readers, writers and the generated codec share: how coding ends, and what records are. */
#ifndef RUNNEL_PROTOCOL_CODEC_H
#define RUNNEL_PROTOCOL_CODEC_H

#include "protocol/base/pin.h"
#include "protocol/base/slice.h"
#include "protocol/base/uuid.h"

enum codec_status {
    CODEC_OK,
    CODEC_SHORT,           /* the bytes end before the message does */
    CODEC_INVALID,         /* a value that the type forbids: null, a length below -1, a varint too long */
    CODEC_NO_MEMORY,       /* the arena refused */
    CODEC_UNSUPPORTED,     /* no such version, or a field is set that the version cannot carry */
    CODEC_TOO_MANY,        /* more array elements than a message may have */
    CODEC_UNKNOWN_KEY,     /* headers: no such API */
    CODEC_UNKNOWN_VERSION, /* headers: the API is known, the version is not */
};

/* Lower-case words for logs. */
const char *codec_status_text(enum codec_status status);

/* A string longer than this is neither read nor written, also where the wire could carry it (as Kafka). */
enum { CODEC_STRING_SIZE_MAX = 32767 };

/* Record batches, opaque to the codec. bytes.data == NULL is null.
 * Encoding: pin == NULL copies the bytes; else they are a range of a mapping that pin holds, and join the
 * chain as they are. Decoding: a slice of the frame, pin NULL. */
struct records {
    slice bytes;
    struct pin *pin;
};

#define RECORDS_NULL ((struct records){ SLICE_NULL, NULL })

#endif
