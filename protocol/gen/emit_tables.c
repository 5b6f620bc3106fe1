/* Writes what is data: defaults, descriptions of structs for printers and tests, the table of all APIs. */
#include <string.h>

#include "protocol/gen/model.h"

static const char *default_value(const struct field *field)
{
    if (field->array)
        return "NULL";
    switch (field->type) {
    case TYPE_BOOL:
        return field->default_int ? "true" : "false";
    case TYPE_INT64:
        if (field->default_int == INT64_MIN)
            return "INT64_MIN";
        return text_format("%lld", (long long)field->default_int);
    case TYPE_UINT32:
        return text_format("%lluu", (unsigned long long)field->default_int);
    case TYPE_FLOAT64:
        return text_format("%.17g", field->default_kind == DEFAULT_FLOAT ? field->default_float : 0.0);
    case TYPE_UUID:
        return "UUID_ZERO";
    case TYPE_STRING:
    case TYPE_BYTES:
        if (field->default_kind == DEFAULT_NULL)
            return "SLICE_NULL";
        return text_format("SLICE_LITERAL(%s)",
                           field->default_kind == DEFAULT_STRING ? field->default_string : "\"\"");
    case TYPE_RECORDS:
        if (field->default_kind == DEFAULT_NULL)
            return "RECORDS_NULL";
        return "(struct records){ SLICE_LITERAL(\"\"), NULL }";
    case TYPE_STRUCT:
        return "NULL";
    default:
        return text_format("%lld", (long long)field->default_int);
    }
}

static bool by_value(const struct field *field)
{
    return field->type == TYPE_STRUCT && !field->array && range_empty(field->nullable);
}

static void emit_struct_init(FILE *out, const struct structure *structure)
{
    fprintf(out, "\nvoid %s_init(struct %s *out)\n{\n", structure->c_name, structure->c_name);
    for (const struct field *field = structure->fields; field; field = field->next) {
        if (by_value(field)) {
            fprintf(out, "    %s_init(&out->%s);\n", field->of->c_name, field->name);
            continue;
        }
        fprintf(out, "    out->%s = %s;\n", field->name, default_value(field));
        if (field->array)
            fprintf(out, "    out->%s_count = %d;\n", field->name,
                    field->default_kind == DEFAULT_NULL ? -1 : 0);
    }
    if (structure->fields == NULL)
        fprintf(out, "    out->unused = 0;\n");
    fprintf(out, "}\n");
}

static void emit_field_schema(FILE *out, const struct structure *structure, const struct field *field)
{
    const char *s = structure->c_name;
    fprintf(out, "    { .name = \"%s\", .type = FIELD_%s, .offset = offsetof(struct %s, %s),\n", field->name,
            upper(type_name(field->type)), s, field->name);
    fprintf(out, "      .first = %d, .last = %d, .null_first = %d, .null_last = %d, .tag = %d",
            field->versions.first, field->versions.last, field->nullable.first, field->nullable.last,
            field->tag);
    if (field->array)
        fprintf(out, ",\n      .array = true, .count_offset = offsetof(struct %s, %s_count)", s, field->name);
    if (field->of)
        fprintf(out, ",\n      .of = &%s_fields", field->of->c_name);
    if (field->entity)
        fprintf(out, ", .entity = \"%s\"", field->entity);
    if (field->secret)
        fprintf(out, ", .secret = true");
    if (field->ignorable)
        fprintf(out, ", .ignorable = true");
    fprintf(out, " },\n");
}

static void emit_struct_schema(FILE *out, const struct structure *structure)
{
    const char *s = structure->c_name;
    fprintf(out, "\nstatic void %s_init_any(void *out)\n{\n    %s_init(out);\n}\n\n", s, s);
    int count = 0;
    for (const struct field *field = structure->fields; field; field = field->next)
        count++;
    if (count > 0) {
        fprintf(out, "static const struct field_schema %s_field_list[] = {\n", s);
        for (const struct field *field = structure->fields; field; field = field->next)
            emit_field_schema(out, structure, field);
        fprintf(out, "};\n\n");
    }
    fprintf(out,
            "const struct struct_schema %s_fields = { \"%s\", sizeof(struct %s), %s, %d, %s_init_any };\n", s,
            s, s, count ? text_format("%s_field_list", s) : "NULL", count, s);
}

static void emit_print(FILE *out, const struct message *message)
{
    fprintf(out,
            "\nvoid %s_print(struct printer *printer, int16_t version, const struct %s *in)\n{\n"
            "    message_print(printer, &%s_fields, version, in);\n}\n",
            message->name, message->name, message->name);
}

static void emit_frames(FILE *out, const struct file *file)
{
    const char *set = file->record_set;
    if (set && file->frame == FRAME_KRAFT) {
        fprintf(out,
                "\nbool %s_record_frame_decode(struct reader *reader, uint32_t *type, uint32_t *version)\n{\n"
                "    return kraft_frame_decode(reader, type, version);\n}\n",
                set);
        fprintf(out,
                "\nbool %s_record_frame_encode(struct writer *writer, uint32_t type, uint32_t version)\n{\n"
                "    return kraft_frame_encode(writer, type, version);\n}\n",
                set);
    }
    if (set && file->frame == FRAME_COORDINATOR) {
        static const char *const parts[][2] = { { "key", "type" }, { "value", "version" } };
        for (int i = 0; i < 2; i++) {
            fprintf(out,
                    "\nbool %s_record_%s_frame_decode(struct reader *reader, int16_t *%s)\n{\n"
                    "    return reader_int16(reader, %s);\n}\n",
                    set, parts[i][0], parts[i][1], parts[i][1]);
            fprintf(out,
                    "\nbool %s_record_%s_frame_encode(struct writer *writer, int16_t %s)\n{\n"
                    "    return writer_int16(writer, %s);\n}\n",
                    set, parts[i][0], parts[i][1], parts[i][1]);
        }
    }
}

static void emit_structure(FILE *out, const struct structure *structure)
{
    emit_struct_init(out, structure);
    emit_struct_schema(out, structure);
}

void emit_source(FILE *out, const struct file *file)
{
    fprintf(out, "/* Generated from %s.api by runnel-gen. */\n#include <stddef.h>\n\n#include \"%s.h\"\n",
            file->stem, file->stem);
    for (const struct structure *shared = file->shared; shared; shared = shared->next)
        emit_structure(out, shared);
    for (const struct message *message = file->messages; message; message = message->next) {
        for (const struct instance *instance = message->instances; instance; instance = instance->next)
            if (!instance->of->shared)
                emit_structure(out, instance->of);
        emit_decoders(out, message);
        emit_sizers(out, message);
        emit_encoders(out, message);
        emit_print(out, message);
    }
    emit_frames(out, file);
}

/* The table of all APIs */

/* The API with the smallest key above `above`. */
static const struct api *next_api(const struct file *files, int above)
{
    const struct api *next = NULL;
    for (const struct file *file = files; file; file = file->next)
        for (const struct api *api = file->apis; api; api = api->next)
            if (api->key > above && (next == NULL || api->key < next->key))
                next = api;
    return next;
}

static void emit_includes(FILE *out, const struct file *files)
{
    for (const struct file *file = files; file; file = file->next)
        fprintf(out, "#include \"%s.h\"\n", file->stem);
}

void emit_apis_header(FILE *out, const struct file *files)
{
    fprintf(
        out,
        "/* Generated by runnel-gen: every API and every kind of record that has a schema. */\n"
        "#ifndef RUNNEL_CODEC_APIS_H\n#define RUNNEL_CODEC_APIS_H\n\n#include \"protocol/api_schema.h\"\n\n"
        "enum api_key {\n");
    for (const struct api *api = next_api(files, -1); api; api = next_api(files, api->key))
        fprintf(out, "    API_KEY_%s = %d,\n", upper(api->name), api->key);
    fprintf(
        out,
        "};\n\n/* Ascending by key. */\nextern const struct api_schema api_schemas[];\n"
        "extern const size_t api_schema_count;\n\n/* NULL: no such API. */\n"
        "const struct api_schema *api_schema_find(int16_t key);\n\n"
        "extern const struct record_schema record_schemas[];\nextern const size_t record_schema_count;\n\n"
        "#endif\n");
}

static int effective_flexible(struct range flexible)
{
    return range_empty(flexible) ? VERSION_LAST : flexible.first;
}

/* The typed functions behind void pointers. */
static void emit_wrappers(FILE *out, const struct message *message)
{
    const char *m = message->name;
    fprintf(out, "\nstatic void any_%s_init(void *out)\n{\n    %s_init(out);\n}\n", m, m);
    fprintf(out,
            "\nstatic bool any_%s_decode(struct reader *reader, int16_t version, void *out)\n{\n"
            "    return %s_decode(reader, version, out);\n}\n",
            m, m);
    fprintf(out,
            "\nstatic bool any_%s_encode(struct writer *writer, int16_t version, const void *in)\n{\n"
            "    return %s_encode(writer, version, in);\n}\n",
            m, m);
    fprintf(out,
            "\nstatic bool any_%s_size(int16_t version, const void *in, size_t *size)\n{\n"
            "    return %s_size(version, in, size);\n}\n",
            m, m);
    fprintf(out,
            "\nstatic void any_%s_print(struct printer *printer, int16_t version, const void *in)\n{\n"
            "    %s_print(printer, version, in);\n}\n",
            m, m);
}

static void emit_message_schema(FILE *out, const struct message *message)
{
    const char *m = message->name;
    fprintf(out,
            "{ \"%s\", sizeof(struct %s), &%s_fields, any_%s_init,\n"
            "                   any_%s_decode, any_%s_encode, any_%s_size, any_%s_print }",
            m, m, m, m, m, m, m, m);
}

static void emit_api(FILE *out, const struct api *api)
{
    int flexible = effective_flexible(api->flexible);
    fprintf(out, "    { .key = %d, .name = \"%s\", .min_version = %d, .max_version = %d,\n", api->key,
            camel(api->name), api->versions.first, api->versions.last);
    fprintf(out, "      .advertised_min = %d, .served_min = %d, .served_max = %d,\n",
            range_empty(api->refused) ? api->versions.first : api->refused.first, api->versions.first,
            range_empty(api->unserved) ? api->versions.last : api->unserved.first - 1);
    fprintf(out, "      .flexible_from = %d, .response_header_from = %d,\n", flexible,
            api->response_header_plain ? VERSION_LAST : flexible);
    fprintf(out, "      .request = ");
    emit_message_schema(out, api->request);
    fprintf(out, ",\n      .response = ");
    emit_message_schema(out, api->response);
    fprintf(out, " },\n");
}

static void emit_record(FILE *out, const struct file *file, const struct record *record,
                        const struct message *message)
{
    fprintf(out, "    { .set = \"%s\", .type = %d, .min_version = %d, .max_version = %d,\n      .message = ",
            file->record_set, record->number, message->versions.first, message->versions.last);
    emit_message_schema(out, message);
    fprintf(out, " },\n");
}

static void emit_records(FILE *out, const struct file *files)
{
    int count = 0;
    fprintf(out, "\nconst struct record_schema record_schemas[] = {\n");
    for (const struct file *file = files; file; file = file->next) {
        for (const struct record *record = file->records; record; record = record->next) {
            if (record->key)
                emit_record(out, file, record, record->key), count++;
            emit_record(out, file, record, record->value), count++;
        }
    }
    fprintf(out, "    { .set = NULL },\n};\n\nconst size_t record_schema_count = %d;\n", count);
}

void emit_apis_source(FILE *out, const struct file *files)
{
    int count = 0, max = -1;
    fprintf(out, "/* Generated by runnel-gen. */\n#include <stddef.h>\n\n#include \"apis.h\"\n");
    emit_includes(out, files);
    for (const struct file *file = files; file; file = file->next)
        for (const struct message *message = file->messages; message; message = message->next)
            emit_wrappers(out, message);
    fprintf(out, "\nconst struct api_schema api_schemas[] = {\n");
    for (const struct api *api = next_api(files, -1); api; api = next_api(files, api->key)) {
        emit_api(out, api);
        max = api->key;
        count++;
    }
    fprintf(out, "    { .key = -1 },\n};\n\nconst size_t api_schema_count = %d;\n", count);
    fprintf(out, "\n/* By key: the place in api_schemas. */\nstatic const int16_t places[%d] = {\n", max + 2);
    int place = 0;
    for (int key = 0; key <= max + 1; key++) {
        bool here = false;
        for (const struct api *api = next_api(files, key - 1); api && api->key == key; api = NULL)
            here = true;
        fprintf(out, "    %d,\n", here ? place++ : -1);
    }
    fprintf(out,
            "};\n\nconst struct api_schema *api_schema_find(int16_t key)\n{\n"
            "    if (key < 0 || key > %d || places[key] < 0)\n        return NULL;\n"
            "    return &api_schemas[places[key]];\n}\n",
            max);
    emit_records(out, files);
}
