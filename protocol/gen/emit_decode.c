/* Writes the decoders: one static function per struct of a message, children first. */
#include <string.h>

#include "protocol/gen/model.h"

/* `at` is where the value goes, p the bytes of a fixed type. */
static const char *load(enum type type, const char *at)
{
    switch (type) {
    case TYPE_BOOL:
        return text_format("%s = *p != 0;", at);
    case TYPE_INT8:
        return text_format("%s = (int8_t)*p;", at);
    case TYPE_INT16:
        return text_format("%s = (int16_t)load_be16(p);", at);
    case TYPE_INT32:
        return text_format("%s = (int32_t)load_be32(p);", at);
    case TYPE_INT64:
        return text_format("%s = (int64_t)load_be64(p);", at);
    case TYPE_UINT16:
        return text_format("%s = load_be16(p);", at);
    case TYPE_UINT32:
        return text_format("%s = load_be32(p);", at);
    case TYPE_FLOAT64:
        return text_format("%s = load_double(p);", at);
    default:
        return text_format("memcpy(%s.bytes, p, 16);", at);
    }
}

/* One bounds check, then plain loads. Stands in a block of its own, which a condition brings along. */
static void emit_run(const struct place *place, const struct run *run)
{
    bool block = run->condition == NULL;
    if (block)
        put(place, "{");
    struct place inner = block ? deeper(place, place->within) : *place;
    put(&inner, text_format("const uint8_t *p = reader_take(reader, %s);", run->size));
    put(&inner, "if (p == NULL)");
    put(&inner, "    return false;");
    for (const struct field *field = run->first;; field = field->next) {
        struct range plain = field_plain(field, place->within);
        const char *when = condition(plain, place->within);
        const char *text = load(field->type, text_format("out->%s", field->name));
        const char *step = field == run->last ? NULL : text_format("p += %d;", type_size(field->type));
        if (!range_empty(plain))
            put_step(&inner, text_equal(when, run->condition) ? NULL : when, text, step);
        if (field == run->last)
            break;
    }
    if (block)
        put(place, "}");
}

/* One element or value that is neither fixed nor an array. */
static void emit_value(const struct place *place, const struct field *field, const char *at,
                       const char *nullable)
{
    const char *flexible = flexible_value(place->message, place->within);
    if (field->type == TYPE_STRUCT)
        put(place, text_format("if (!read_%s(reader, version, %s))",
                               instance_of(place->message, field->of)->function,
                               at[0] == '*' ? at + 1 : text_format("&%s", at)));
    else
        put(place, text_format("if (!reader_%s(reader, %s, %s, &%s))", type_name(field->type), flexible,
                               nullable, at));
    put(place, "    return false;");
}

static void emit_array(const struct place *place, const struct field *field, const char *nullable)
{
    const char *name = field->name, *flexible = flexible_value(place->message, place->within);
    struct field element = *field;
    element.array = false;
    element.nullable = RANGE_NONE;
    put(place, text_format("if (!reader_array(reader, %s, %s, %s, &out->%s_count))", flexible, nullable,
                           smallest(&element, place->message, place->within), name));
    put(place, "    return false;");
    put(place, text_format("out->%s = NULL;", name));
    put(place, text_format("if (out->%s_count > 0) {", name));
    struct place inner = deeper(place, place->within);
    put(&inner, text_format("out->%s = reader_array_memory(reader, out->%s_count, sizeof *out->%s);", name,
                            name, name));
    put(&inner, text_format("if (out->%s == NULL)", name));
    put(&inner, "    return false;");
    if (type_fixed(field->type)) {
        int size = type_size(field->type);
        put(&inner,
            text_format("const uint8_t *p = reader_take(reader, (size_t)out->%s_count * %d);", name, size));
        put(&inner, "if (p == NULL)");
        put(&inner, "    return false;");
        put(&inner, text_format("for (int32_t i = 0; i < out->%s_count; i++, p += %d)", name, size));
        put(&inner, text_format("    %s", load(field->type, text_format("out->%s[i]", name))));
    } else {
        put(&inner, text_format("for (int32_t i = 0; i < out->%s_count; i++) {", name));
        struct place loop = deeper(&inner, place->within);
        emit_value(&loop, field, text_format("out->%s[i]", name), "false");
        put(&inner, "}");
    }
    put(place, "}");
}

static void emit_nullable_struct(const struct place *place, const struct field *field)
{
    put(place, "{");
    struct place inner = deeper(place, place->within);
    put(&inner, "bool present;");
    put(&inner, "if (!reader_present(reader, &present))");
    put(&inner, "    return false;");
    put(&inner, text_format("out->%s = NULL;", field->name));
    put(&inner, "if (present) {");
    struct place present = deeper(&inner, place->within);
    put(&present,
        text_format("out->%s = reader_array_memory(reader, 1, sizeof *out->%s);", field->name, field->name));
    put(&present, text_format("if (out->%s == NULL)", field->name));
    put(&present, "    return false;");
    emit_value(&present, field, text_format("*out->%s", field->name), "false");
    put(&inner, "}");
    put(place, "}");
}

/* A field of any type but the fixed ones, in versions in which it is there. */
static void emit_field(const struct place *place, const struct field *field)
{
    const char *nullable = condition_value(field->nullable, place->within);
    if (field->array)
        emit_array(place, field, nullable);
    else if (field->type == TYPE_STRUCT && !range_empty(field->nullable))
        emit_nullable_struct(place, field);
    else
        emit_value(place, field, text_format("out->%s", field->name), nullable);
}

static void emit_tag(const struct place *place, const struct field *field, bool first)
{
    struct range tagged = field_tagged(field, place->within);
    const char *when = condition(tagged, range_meet(place->within, place->message->flexible));
    put(place, text_format("%sif (tag == %d%s%s) {", first ? "" : "} else ", field->tag, when ? " && " : "",
                           when ? when : ""));
    struct place inner = deeper(place, tagged);
    if (!field->array && type_fixed(field->type)) {
        put(&inner, text_format("const uint8_t *p = reader_take(reader, %d);", type_size(field->type)));
        put(&inner, "if (p == NULL)");
        put(&inner, "    return false;");
        put(&inner, load(field->type, text_format("out->%s", field->name)));
    } else {
        emit_field(&inner, field);
    }
    put(&inner, "if (!reader_tag_leave(reader, outer_end))");
    put(&inner, "    return false;");
}

static void emit_tags(FILE *out, const struct message *message, const struct instance *instance)
{
    struct place place = { out, message, range_meet(instance->versions, message->flexible), 2 };
    fprintf(out, "\nstatic bool read_%s_tags(struct reader *reader, int16_t version, struct %s *out)\n{\n",
            instance->function, instance->of->c_name);
    fprintf(out, "    uint32_t count, tag;\n    const uint8_t *outer_end;\n    (void)version;\n");
    fprintf(out, "    if (!reader_tag_count(reader, &count))\n        return false;\n");
    fprintf(out, "    for (; count > 0; count--) {\n");
    put(&place, "if (!reader_tag_enter(reader, &tag, &outer_end))");
    put(&place, "    return false;");
    bool first = true;
    for (const struct field *field = instance->of->fields; field; field = field->next) {
        if (range_empty(field_tagged(field, instance->versions)))
            continue;
        emit_tag(&place, field, first);
        first = false;
    }
    put(&place, "} else {");
    put(&place, "    reader_tag_skip(reader, outer_end);");
    put(&place, "}");
    fprintf(out, "    }\n    return true;\n}\n");
}

/* The lower bound that reader_array multiplies with. Fields of a fixed size stand as one sum. */
static void emit_smallest(FILE *out, const struct message *message, const struct instance *instance)
{
    fprintf(out, "\nstatic size_t smallest_%s(int16_t version)\n{\n    (void)version;\n", instance->function);
    if (instance_flexible_varies(message, instance))
        fprintf(out, "    const bool flexible = %s;\n    (void)flexible;\n",
                condition(message->flexible, instance->versions));
    fprintf(out, "    return 0u");
    for (const struct field *field = instance->of->fields; field; field = field->next) {
        struct range plain = field_plain(field, instance->versions);
        if (range_empty(plain))
            continue;
        const char *when = condition(plain, instance->versions);
        const char *size = smallest(field, message, instance->versions);
        if (when)
            fprintf(out, " +\n           (%s ? %s : 0)", when, size);
        else
            fprintf(out, " + %s", size);
    }
    const char *flexible = flexible_value(message, instance->versions);
    if (strcmp(flexible, "false") != 0)
        fprintf(out, " + %s", strcmp(flexible, "true") == 0 ? "1" : "flexible");
    fprintf(out, ";\n}\n");
}

/* Does an array, directly or through a struct that it holds, ask for the smallest size? */
static bool is_measured(const struct message *message, const struct instance *instance)
{
    for (const struct instance *user = message->instances; user; user = user->next) {
        for (const struct field *field = user->of->fields; field; field = field->next) {
            if (field->of != instance->of || range_empty(range_meet(field->versions, user->versions)))
                continue;
            bool inside = range_empty(field->nullable) && !range_empty(field_plain(field, user->versions));
            if (field->array || (inside && is_measured(message, user)))
                return true;
        }
    }
    return false;
}

static bool always_there(const struct instance *instance)
{
    for (const struct field *field = instance->of->fields; field; field = field->next)
        if (!range_within(instance->versions, field_plain(field, RANGE_ALL)))
            return false;
    return true;
}

static void emit_fields(const struct place *place, const struct instance *instance)
{
    for (const struct field *field = instance->of->fields; field; field = field->next) {
        struct range plain = field_plain(field, instance->versions);
        if (range_empty(plain))
            continue;
        struct run run;
        bool fixed = run_at(field, instance->versions, &run);
        const char *when = fixed ? run.condition : condition(plain, instance->versions);
        struct place inner = *place;
        if (when) {
            put(place, text_format("if (%s) {", when));
            inner = deeper(place, fixed ? place->within : plain);
        }
        if (fixed) {
            emit_run(&inner, &run);
            for (; field != run.last; field = field->next)
                ;
        } else {
            emit_field(&inner, field);
        }
        if (when)
            put(place, "}");
    }
}

static void emit_decoder(FILE *out, const struct message *message, const struct instance *instance)
{
    bool tags = instance_has_tags(instance);
    const char *flexible = flexible_value(message, instance->versions);
    if (is_measured(message, instance))
        emit_smallest(out, message, instance);
    if (tags)
        emit_tags(out, message, instance);
    fprintf(out, "\nstatic bool read_%s(struct reader *reader, int16_t version, struct %s *out)\n{\n",
            instance->function, instance->of->c_name);
    struct place place = { out, message, instance->versions, 1 };
    if (strcmp(flexible, "flexible") == 0)
        put(&place,
            text_format("const bool flexible = %s;", condition(message->flexible, instance->versions)));
    put(&place, "(void)reader, (void)version;");
    if (!always_there(instance) || instance->of->fields == NULL)
        put(&place, text_format("%s_init(out);", instance->of->c_name));
    emit_fields(&place, instance);
    const char *call = tags ? text_format("read_%s_tags(reader, version, out)", instance->function)
                            : "reader_skip_tags(reader)";
    if (strcmp(flexible, "false") == 0)
        put(&place, "return true;");
    else if (strcmp(flexible, "true") == 0)
        put(&place, text_format("return %s;", call));
    else
        put(&place, text_format("return !flexible || %s;", call));
    fprintf(out, "}\n");
}

void emit_decoders(FILE *out, const struct message *message)
{
    for (const struct instance *instance = message->instances; instance; instance = instance->next)
        emit_decoder(out, message, instance);
    fprintf(out,
            "\nbool %s_decode(struct reader *reader, int16_t version, struct %s *out)\n{\n"
            "    if (version < %d || version > %d)\n        return reader_fail(reader, CODEC_UNSUPPORTED);\n"
            "    return read_%s(reader, version, out);\n}\n",
            message->name, message->name, message->versions.first, message->versions.last, message->name);
}
