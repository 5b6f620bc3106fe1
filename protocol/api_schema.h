/* What the schemas say about APIs as a whole, and the headers of requests and responses. The table itself is
 * generated: codec/apis.h. */
#ifndef RUNNEL_PROTOCOL_API_SCHEMA_H
#define RUNNEL_PROTOCOL_API_SCHEMA_H

#include "protocol/printer.h"
#include "protocol/reader.h"
#include "protocol/writer.h"

/* How the generated code describes a struct to those who walk any of them: the printer, tests, tools. */
enum field_type {
    FIELD_BOOL,
    FIELD_INT8,
    FIELD_INT16,
    FIELD_INT32,
    FIELD_INT64,
    FIELD_UINT16,
    FIELD_UINT32,
    FIELD_FLOAT64,
    FIELD_UUID,
    FIELD_STRING,
    FIELD_BYTES,
    FIELD_RECORDS,
    FIELD_STRUCT, /* by pointer where it is nullable, else by value */
};

struct struct_schema;

/* Versions are first..last; first > last: none. */
struct field_schema {
    const char *name;
    const char *entity; /* kind of thing that the value names, or NULL */
    const struct struct_schema *of;
    uint32_t offset;
    uint32_t count_offset; /* of an array's count */
    int16_t first, last;
    int16_t null_first, null_last;
    int16_t tag; /* -1: none */
    enum field_type type;
    bool array, secret, ignorable;
};

struct struct_schema {
    const char *name;
    size_t size;
    const struct field_schema *fields;
    size_t count;
    void (*init)(void *out);
};

/* One side of an API, or a record: the generated functions behind void pointers. */
struct message_schema {
    const char *name; /* "produce_request" */
    size_t struct_size;
    const struct struct_schema *fields;
    void (*init)(void *out);
    bool (*decode)(struct reader *reader, int16_t version, void *out);
    bool (*encode)(struct writer *writer, int16_t version, const void *in);
    bool (*size)(int16_t version, const void *in, size_t *size);
    void (*print)(struct printer *printer, int16_t version, const void *in);
};

/* Of one element or value in memory. */
size_t field_element_size(const struct field_schema *field);

/* Prints any message whose version is known. */
void message_print(struct printer *printer, const struct struct_schema *schema, int16_t version,
                   const void *in);

struct api_schema {
    int16_t key;
    const char *name;    /* "Produce" */
    int16_t min_version; /* known: the codec has them */
    int16_t max_version;
    int16_t advertised_min;       /* below served_min: named in ApiVersions, refused when used */
    int16_t served_min;           /* what the broker answers when it has a handler */
    int16_t served_max;           /* below max_version: known, not served */
    int16_t flexible_from;        /* compact types, tagged fields, request header v2; INT16_MAX: never */
    int16_t response_header_from; /* response header v1 from this version on; INT16_MAX: never */
    struct message_schema request;
    struct message_schema response;
};

struct record_schema {
    const char *set; /* "metadata" */
    int type;
    int16_t min_version;
    int16_t max_version;
    struct message_schema message;
};

/* In front of KRaft's records: frame version 1, type, version, as uvarints. Another frame version is
 * CODEC_UNSUPPORTED. */
bool kraft_frame_decode(struct reader *reader, uint32_t *type, uint32_t *version);
bool kraft_frame_encode(struct writer *writer, uint32_t type, uint32_t version);

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
