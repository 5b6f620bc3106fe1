/* Bounded, escaped text from values and, by their schema, from whole messages. */
#include "protocol/printer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "protocol/api_schema.h"

enum { PRINTED_STRING_MAX = 256, PRINTED_BYTES_MAX = 16 };

void printer_init(struct printer *printer, char *text, size_t capacity)
{
    *printer = (struct printer){ .text = text, .capacity = capacity };
    text[0] = '\0';
}

static void put_text(struct printer *printer, const char *text, size_t size)
{
    size_t room = printer->capacity - printer->size - 1;
    if (size > room) {
        printer->cut = true;
        size = room;
    }
    memcpy(printer->text + printer->size, text, size);
    printer->size += size;
    printer->text[printer->size] = '\0';
}

__attribute__((format(printf, 2, 3))) static void put_format(struct printer *printer, const char *format, ...)
{
    char text[96];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size > 0)
        put_text(printer, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

void printer_text(struct printer *printer, const char *text)
{
    put_text(printer, text, strlen(text));
}

/* FNV-1a: the same name gives the same mark within a trace; no secret depends on it. */
static uint32_t entity_mark(slice value)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < value.size; i++)
        hash = (hash ^ value.data[i]) * 16777619u;
    return hash;
}

static bool put_hidden(struct printer *printer, const char *entity, slice value)
{
    if (entity == NULL || !printer->hide_entities)
        return false;
    put_format(printer, "%s#%08" PRIx32, entity, entity_mark(value));
    return true;
}

void printer_int(struct printer *printer, int64_t value)
{
    put_format(printer, "%" PRId64, value);
}

void printer_double(struct printer *printer, double value)
{
    put_format(printer, "%.17g", value);
}

void printer_bool(struct printer *printer, bool value)
{
    printer_text(printer, value ? "true" : "false");
}

void printer_uuid(struct printer *printer, uuid value, const char *entity)
{
    char text[UUID_TEXT_SIZE + 1];
    if (put_hidden(printer, entity, slice_of(value.bytes, sizeof value.bytes)))
        return;
    uuid_to_text(value, text);
    printer_text(printer, text);
}

static void put_escaped(struct printer *printer, uint8_t byte)
{
    if (byte == '"' || byte == '\\')
        put_format(printer, "\\%c", byte);
    else if (byte >= 0x20 && byte < 0x7f)
        put_text(printer, (const char *)&byte, 1);
    else
        put_format(printer, "\\x%02x", byte);
}

void printer_string(struct printer *printer, slice value, const char *entity)
{
    if (slice_is_null(value)) {
        printer_text(printer, "null");
        return;
    }
    if (put_hidden(printer, entity, value))
        return;
    printer_text(printer, "\"");
    for (size_t i = 0; i < value.size && i < PRINTED_STRING_MAX && !printer->cut; i++)
        put_escaped(printer, value.data[i]);
    printer_text(printer, value.size > PRINTED_STRING_MAX ? "\"..." : "\"");
}

void printer_bytes(struct printer *printer, slice value)
{
    if (slice_is_null(value)) {
        printer_text(printer, "null");
        return;
    }
    put_format(printer, "<%zu bytes", value.size);
    for (size_t i = 0; i < value.size && i < PRINTED_BYTES_MAX; i++)
        put_format(printer, "%s%02x", i == 0 ? ": " : "", value.data[i]);
    printer_text(printer, value.size > PRINTED_BYTES_MAX ? "...>" : ">");
}

/* Messages */

static bool covers(int16_t first, int16_t last, int16_t version)
{
    return version >= first && version <= last;
}

/* A value of a scalar type at an address. */
static void print_scalar(struct printer *printer, const struct field_schema *field, const void *at)
{
    switch (field->type) {
    case FIELD_BOOL:
        printer_bool(printer, *(const bool *)at);
        return;
    case FIELD_INT8:
        printer_int(printer, *(const int8_t *)at);
        return;
    case FIELD_INT16:
        printer_int(printer, *(const int16_t *)at);
        return;
    case FIELD_INT32:
        printer_int(printer, *(const int32_t *)at);
        return;
    case FIELD_INT64:
        printer_int(printer, *(const int64_t *)at);
        return;
    case FIELD_UINT16:
        printer_int(printer, *(const uint16_t *)at);
        return;
    case FIELD_UINT32:
        printer_int(printer, *(const uint32_t *)at);
        return;
    case FIELD_FLOAT64:
        printer_double(printer, *(const double *)at);
        return;
    case FIELD_UUID:
        printer_uuid(printer, *(const uuid *)at, field->entity);
        return;
    case FIELD_STRING:
        printer_string(printer, *(const slice *)at, field->entity);
        return;
    case FIELD_BYTES:
        printer_bytes(printer, *(const slice *)at);
        return;
    case FIELD_RECORDS:
        printer_bytes(printer, ((const struct records *)at)->bytes);
        return;
    case FIELD_STRUCT:
        return;
    }
}

size_t field_element_size(const struct field_schema *field)
{
    static const size_t sizes[] = { sizeof(bool),     sizeof(int8_t),  sizeof(int16_t),
                                    sizeof(int32_t),  sizeof(int64_t), sizeof(uint16_t),
                                    sizeof(uint32_t), sizeof(double),  sizeof(uuid),
                                    sizeof(slice),    sizeof(slice),   sizeof(struct records) };
    return field->type == FIELD_STRUCT ? field->of->size : sizes[field->type];
}

/* Recursion is as deep as the schema, which never holds a struct inside itself. */
static void print_struct(struct printer *printer, const struct struct_schema *schema, int16_t version,
                         const void *in);

static void print_value(struct printer *printer, const struct field_schema *field, int16_t version,
                        const void *at)
{
    if (field->type == FIELD_STRUCT)
        print_struct(printer, field->of, version, at);
    else
        print_scalar(printer, field, at);
}

static void print_array(struct printer *printer, const struct field_schema *field, int16_t version,
                        const uint8_t *in)
{
    const uint8_t *elements;
    int32_t count;
    memcpy(&elements, in + field->offset, sizeof elements);
    memcpy(&count, in + field->count_offset, sizeof count);
    if (count < 0) {
        printer_text(printer, "null");
        return;
    }
    printer_text(printer, "[");
    for (int32_t i = 0; i < count && !printer->cut; i++) {
        if (i > 0)
            printer_text(printer, ", ");
        print_value(printer, field, version, elements + (size_t)i * field_element_size(field));
    }
    printer_text(printer, "]");
}

static void print_field(struct printer *printer, const struct field_schema *field, int16_t version,
                        const uint8_t *in)
{
    printer_text(printer, field->name);
    printer_text(printer, "=");
    if (field->secret) {
        printer_text(printer, "***");
    } else if (field->array) {
        print_array(printer, field, version, in);
    } else if (field->type == FIELD_STRUCT && field->null_first <= field->null_last) {
        const uint8_t *pointer;
        memcpy(&pointer, in + field->offset, sizeof pointer);
        if (pointer)
            print_struct(printer, field->of, version, pointer);
        else
            printer_text(printer, "null");
    } else {
        print_value(printer, field, version, in + field->offset);
    }
}

static void print_struct(struct printer *printer, const struct struct_schema *schema, int16_t version,
                         const void *in)
{
    bool first = true;
    printer_text(printer, "{");
    for (size_t i = 0; i < schema->count && !printer->cut; i++) {
        const struct field_schema *field = &schema->fields[i];
        if (!covers(field->first, field->last, version))
            continue;
        if (!first)
            printer_text(printer, ", ");
        print_field(printer, field, version, in);
        first = false;
    }
    printer_text(printer, "}");
}

void message_print(struct printer *printer, const struct struct_schema *schema, int16_t version,
                   const void *in)
{
    put_format(printer, "%s v%d ", schema->name, version);
    print_struct(printer, schema, version, in);
}
