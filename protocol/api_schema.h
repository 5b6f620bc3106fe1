/* What the schemas say about APIs as a whole, and the headers of requests and responses. The table itself is
 * generated: codec/apis.h. */
#ifndef RUNNEL_PROTOCOL_API_SCHEMA_H
#define RUNNEL_PROTOCOL_API_SCHEMA_H

#include "protocol/printer.h"
#include "protocol/reader.h"
#include "protocol/writer.h"

/* One side of an API: the generated functions behind void pointers. */
struct message_schema {
    size_t struct_size;
    void (*init)(void *out);
    bool (*decode)(struct reader *reader, int16_t version, void *out);
    bool (*encode)(struct writer *writer, int16_t version, const void *in);
    bool (*size)(int16_t version, const void *in, size_t *size);
    void (*print)(struct printer *printer, int16_t version, const void *in);
};

struct api_schema {
    int16_t key;
    const char *name;             /* "Produce" */
    int16_t min_version;          /* known: the codec has them */
    int16_t max_version;
    int16_t advertised_min;       /* below served_min: named in ApiVersions, refused when used */
    int16_t served_min;           /* what the broker answers when it has a handler */
    int16_t served_max;           /* below max_version: known, not served */
    int16_t flexible_from;        /* compact types, tagged fields, request header v2; INT16_MAX: never */
    int16_t response_header_from; /* response header v1 from this version on; INT16_MAX: never */
    struct message_schema request;
    struct message_schema response;
};

/* client_id: NULL data is null. */
struct request_header {
    int16_t api_key;
    int16_t api_version;
    int32_t correlation_id;
    slice client_id;
};

/* False with CODEC_SHORT or CODEC_INVALID: not a header. False with CODEC_UNKNOWN_KEY or
 * CODEC_UNKNOWN_VERSION: key, version and correlation id are there, client_id is null and the body is not to
 * be read; only for ApiVersions of an unknown version, which is answered, client_id is there as well. */
bool request_header_decode(struct reader *reader, struct request_header *out);
/* Key and version must be known: CODEC_UNKNOWN_KEY, CODEC_UNKNOWN_VERSION. */
bool request_header_encode(struct writer *writer, const struct request_header *in);
bool response_header_encode(struct writer *writer, int16_t api_key, int16_t api_version,
                            int32_t correlation_id);
bool response_header_decode(struct reader *reader, int16_t api_key, int16_t api_version,
                            int32_t *correlation_id);

#endif
