/* What a schema file says, as the parser understood it: the ground that checks and emitters stand on. */
#ifndef RUNNEL_PROTOCOL_GEN_MODEL_H
#define RUNNEL_PROTOCOL_GEN_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Versions, both ends in it. first > last: none. An open end (3+) is VERSION_LAST. */
struct range {
    int first;
    int last;
};

enum { VERSION_LAST = 32767 };

#define RANGE_ALL  ((struct range){ 0, VERSION_LAST })
#define RANGE_NONE ((struct range){ 1, 0 })

static inline bool range_empty(struct range r)
{
    return r.first > r.last;
}

static inline struct range range_meet(struct range a, struct range b)
{
    return (struct range){ a.first > b.first ? a.first : b.first, a.last < b.last ? a.last : b.last };
}

static inline bool range_within(struct range inner, struct range outer)
{
    return range_empty(inner) || (inner.first >= outer.first && inner.last <= outer.last);
}

enum type {
    TYPE_BOOL,
    TYPE_INT8,
    TYPE_INT16,
    TYPE_INT32,
    TYPE_INT64,
    TYPE_UINT16,
    TYPE_UINT32,
    TYPE_FLOAT64,
    TYPE_UUID,
    TYPE_STRING,
    TYPE_BYTES,
    TYPE_RECORDS,
    TYPE_STRUCT,
};

enum default_kind { DEFAULT_ABSENT, DEFAULT_NULL, DEFAULT_BOOL, DEFAULT_INT, DEFAULT_FLOAT, DEFAULT_STRING };

struct structure;

/* Lists are linked in the order of the file and live as long as the program. */
struct field {
    struct field *next;
    const char *name;
    int line;
    enum type type;
    const char *struct_name; /* as written, for TYPE_STRUCT */
    struct structure *of;    /* resolved */
    bool array;
    struct range versions; /* of presence */
    struct range nullable;
    enum default_kind default_kind;
    __int128 default_int; /* also the bool */
    double default_float;
    const char *default_string; /* C-escaped, as written */
    int tag;                    /* -1: never tagged */
    struct range tagged;
    bool ignorable;
    bool secret;
    const char *entity;
};

struct structure {
    struct structure *next;
    const char *name;   /* in the schema */
    const char *c_name; /* "produce_request_topic" */
    int line;
    bool shared;
    struct file *file;
    struct message *message; /* NULL when shared */
    struct field *fields;
    bool visiting; /* the walk that looks for structs inside themselves is here */
    bool laid_out;
};

/* A struct as one message uses it. */
struct instance {
    struct instance *next;
    struct structure *of;
    struct range versions; /* in which it may occur */
    const char *function;  /* last part of the names of its static functions */
    bool compared;         /* somebody asks whether it equals its default */
};

struct message {
    struct message *next;
    const char *name; /* "produce_request" */
    int line;
    struct file *file;
    struct range versions;
    struct range flexible;
    struct structure *root;
    struct structure *nested;   /* in the order of the file */
    struct instance *instances; /* children before parents */
};

struct api {
    struct api *next;
    int key;
    const char *name; /* "list_offsets" */
    int line;
    struct file *file;
    struct range versions;
    struct range flexible;
    struct range refused;
    struct range unserved;
    bool response_header_plain; /* response header v0 in every version */
    struct message *request;
    struct message *response;
};

enum frame { FRAME_KRAFT, FRAME_COORDINATOR, FRAME_RAW };

struct record {
    struct record *next;
    int number;
    const char *name;
    int line;
    struct message *value;
    struct message *key; /* coordinator frame only */
};

struct use {
    struct use *next;
    const char *stem;
    int line;
    struct file *file;
};

struct file {
    struct file *next;
    const char *path;
    const char *stem;
    struct use *uses;
    struct structure *shared;
    struct api *apis;
    struct message *messages; /* of apis and records, in order */
    const char *record_set;   /* NULL: no records */
    enum frame frame;
    struct record *records;
    bool visiting;
    bool checked;
};

/* Appends to a linked list. */
#define LIST_ADD(head, item)                                                                                 \
    do {                                                                                                     \
        __typeof__(item) *list_at = &(head);                                                                 \
        while (*list_at)                                                                                     \
            list_at = &(*list_at)->next;                                                                     \
        *list_at = (item);                                                                                   \
    } while (0)

/* Prints `path:line: message` and ends the program with status 1. */
_Noreturn void fail(const char *path, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *allocate(size_t size); /* zeroed */
const char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool text_equal(const char *a, const char *b);

/* parse.c */
struct file *parse_file(const char *path);

/* verify.c: resolves names, refuses what contradicts itself, lists each message's instances. */
void verify_files(struct file *files);
/* The versions in which a field is written in its place, within those of its struct. */
struct range field_plain(const struct field *field, struct range within);
/* The same for its tag. */
struct range field_tagged(const struct field *field, struct range within);
bool type_fixed(enum type type);
int type_size(enum type type); /* of fixed ones, on the wire */
const char *type_name(enum type type);

/* emit_*.c */
void emit_header(FILE *out, const struct file *file);
void emit_source(FILE *out, const struct file *file);
void emit_decoders(FILE *out, const struct message *message);
void emit_encoders(FILE *out, const struct message *message);
void emit_sizers(FILE *out, const struct message *message);
void emit_apis_header(FILE *out, const struct file *files);
void emit_apis_source(FILE *out, const struct file *files);

/* emit.c: C expressions on `version`. */
/* NULL: true in all of within; "false": in none. */
const char *condition(struct range range, struct range within);
/* The same as a bool argument. */
const char *condition_value(struct range range, struct range within);
const char *c_type(const struct field *field);
const char *upper(const char *name);
const char *camel(const char *name);
/* The expression for "is not its default", given "in->". */
const char *not_default(const struct field *field, const struct message *message);
struct instance *instance_of(const struct message *message, const struct structure *of);
/* The smallest encoding of one value of a field that is there, as an expression. */
const char *smallest(const struct field *field, const struct message *message, struct range within);
bool instance_flexible_varies(const struct message *message, const struct instance *instance);
const char *flexible_value(const struct message *message, struct range within);

/* Where a piece of a function's body goes, and what is known there. */
struct place {
    FILE *out;
    const struct message *message;
    struct range within; /* versions that can come here */
    int indent;
};
void put(const struct place *place, const char *text);
/* A load or store of a run, and the step to the next one (NULL: none), both only `when`. */
void put_step(const struct place *place, const char *when, const char *text, const char *step);
struct place deeper(const struct place *place, struct range within);
bool instance_has_tags(const struct instance *instance);

/* A run of neighbouring fixed-size fields that are read and written with one bounds check. */
struct run {
    const struct field *first;
    const struct field *last; /* in it */
    const char *condition;    /* of all of it, NULL: always */
    const char *size;         /* expression */
    int count;
};
/* The run that begins at field, or false when field is not of a fixed size or not plain. */
bool run_at(const struct field *field, struct range within, struct run *run);

#endif
