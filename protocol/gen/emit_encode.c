/* Writes the encoders and the sizers, which walk a message in the same way. */
#include <string.h>

#include "protocol/gen/model.h"

/* The two walks differ in what they do with a value, not in which values there are. */
struct walk {
    struct place place;
    bool sizing;
};

static void walk_put(const struct walk *walk, const char *text)
{
    put(&walk->place, text);
}

static struct walk walk_deeper(const struct walk *walk, struct range within)
{
    return (struct walk){ deeper(&walk->place, within), walk->sizing };
}

/* A call that may fail: a writer's gives false, a sizer's its status. */
static void put_failing(const struct walk *walk, const char *call)
{
    walk_put(walk, walk->sizing ? text_format("if ((status = %s) != CODEC_OK)", call)
                                : text_format("if (!%s)", call));
    walk_put(walk, walk->sizing ? "    return status;" : "    return false;");
}

static const char *store(enum type type, const char *at)
{
    switch (type) {
    case TYPE_BOOL:
        return text_format("*p = %s ? 1 : 0;", at);
    case TYPE_INT8:
        return text_format("*p = (uint8_t)%s;", at);
    case TYPE_INT16:
    case TYPE_UINT16:
        return text_format("store_be16(p, (uint16_t)%s);", at);
    case TYPE_INT32:
    case TYPE_UINT32:
        return text_format("store_be32(p, (uint32_t)%s);", at);
    case TYPE_INT64:
        return text_format("store_be64(p, (uint64_t)%s);", at);
    case TYPE_FLOAT64:
        return text_format("store_double(p, %s);", at);
    default:
        return text_format("memcpy(p, %s.bytes, 16);", at);
    }
}

static void emit_run_stores(const struct place *place, const struct run *run)
{
    for (const struct field *field = run->first;; field = field->next) {
        struct range plain = field_plain(field, place->within);
        const char *when = condition(plain, place->within);
        const char *text = store(field->type, text_format("in->%s", field->name));
        const char *step = field == run->last ? NULL : text_format("p += %d;", type_size(field->type));
        if (!range_empty(plain))
            put_step(place, text_equal(when, run->condition) ? NULL : when, text, step);
        if (field == run->last)
            return;
    }
}

static void emit_run(const struct walk *walk, const struct run *run)
{
    bool block = run->condition == NULL;
    if (walk->sizing) {
        walk_put(walk, text_format("*size += %s;", run->size));
        return;
    }
    if (block)
        walk_put(walk, "{");
    struct walk inner = block ? walk_deeper(walk, walk->place.within) : *walk;
    walk_put(&inner, text_format("uint8_t *p = writer_take(writer, %s);", run->size));
    walk_put(&inner, "if (p == NULL)");
    walk_put(&inner, "    return false;");
    emit_run_stores(&inner.place, run);
    if (block)
        walk_put(walk, "}");
}

static void emit_struct_call(const struct walk *walk, const struct field *field, const char *address)
{
    const char *function = instance_of(walk->place.message, field->of)->function;
    put_failing(walk, walk->sizing ? text_format("size_%s(version, %s, size)", function, address)
                                   : text_format("write_%s(writer, version, %s)", function, address));
}

static void emit_value(const struct walk *walk, const struct field *field, const char *at,
                       const char *nullable)
{
    const char *flexible = flexible_value(walk->place.message, walk->place.within);
    if (!walk->sizing)
        put_failing(walk, text_format("writer_%s(writer, %s, %s, %s)", type_name(field->type), flexible,
                                      nullable, at));
    else
        put_failing(walk, text_format("size_add_%s(size, %s, %s, %s%s)",
                                      field->type == TYPE_STRING ? "string" : "bytes", flexible, nullable, at,
                                      field->type == TYPE_RECORDS ? ".bytes" : ""));
}

static void emit_array(const struct walk *walk, const struct field *field, const char *nullable)
{
    const char *name = field->name, *flexible = flexible_value(walk->place.message, walk->place.within);
    put_failing(walk,
                walk->sizing
                    ? text_format("size_add_array(size, %s, %s, in->%s_count)", flexible, nullable, name)
                    : text_format("writer_array(writer, %s, %s, in->%s_count)", flexible, nullable, name));
    if (type_fixed(field->type)) {
        int width = type_size(field->type);
        walk_put(walk, text_format("if (in->%s_count > 0) {", name));
        struct walk inner = walk_deeper(walk, walk->place.within);
        const char *total = text_format("(size_t)in->%s_count * %d", name, width);
        if (walk->sizing) {
            walk_put(&inner, text_format("*size += %s;", total));
        } else {
            walk_put(&inner, text_format("uint8_t *p = writer_take(writer, %s);", total));
            walk_put(&inner, "if (p == NULL)");
            walk_put(&inner, "    return false;");
            walk_put(&inner, text_format("for (int32_t i = 0; i < in->%s_count; i++, p += %d)", name, width));
            walk_put(&inner, text_format("    %s", store(field->type, text_format("in->%s[i]", name))));
        }
        walk_put(walk, "}");
        return;
    }
    walk_put(walk, text_format("for (int32_t i = 0; i < in->%s_count; i++) {", name));
    struct walk inner = walk_deeper(walk, walk->place.within);
    if (field->type == TYPE_STRUCT)
        emit_struct_call(&inner, field, text_format("&in->%s[i]", name));
    else
        emit_value(&inner, field, text_format("in->%s[i]", name), "false");
    walk_put(walk, "}");
}

static void emit_nullable_struct(const struct walk *walk, const struct field *field)
{
    const char *name = field->name;
    if (walk->sizing)
        walk_put(walk, "*size += 1;");
    else
        put_failing(walk, text_format("writer_present(writer, in->%s != NULL)", name));
    walk_put(walk, text_format("if (in->%s) {", name));
    struct walk inner = walk_deeper(walk, walk->place.within);
    emit_struct_call(&inner, field, text_format("in->%s", name));
    walk_put(walk, "}");
}

static void emit_field(const struct walk *walk, const struct field *field)
{
    const char *nullable = condition_value(field->nullable, walk->place.within);
    if (field->array)
        emit_array(walk, field, nullable);
    else if (field->type == TYPE_STRUCT && !range_empty(field->nullable))
        emit_nullable_struct(walk, field);
    else if (field->type == TYPE_STRUCT)
        emit_struct_call(walk, field, text_format("&in->%s", field->name));
    else
        emit_value(walk, field, text_format("in->%s", field->name), nullable);
}

/* A field that says something and is not ignorable must not get lost without a word. */
static void emit_lost_fields(const struct walk *walk, const struct instance *instance)
{
    for (const struct field *field = instance->of->fields; field; field = field->next) {
        struct range present = range_meet(field->versions, instance->versions);
        if (field->ignorable || range_empty(present) || range_within(instance->versions, field->versions))
            continue;
        const char *when = condition(field->versions, instance->versions);
        const char *said = not_default(field, walk->place.message);
        walk_put(walk, text_format("if (!(%s) && %s)", when, said));
        walk_put(walk, walk->sizing ? "    return CODEC_UNSUPPORTED;"
                                    : "    return writer_fail(writer, CODEC_UNSUPPORTED);");
    }
}

static void emit_plain_fields(const struct walk *walk, const struct instance *instance)
{
    for (const struct field *field = instance->of->fields; field; field = field->next) {
        struct range plain = field_plain(field, instance->versions);
        if (range_empty(plain))
            continue;
        struct run run;
        bool fixed = run_at(field, instance->versions, &run);
        const char *when = fixed ? run.condition : condition(plain, instance->versions);
        struct walk inner = *walk;
        if (when) {
            walk_put(walk, text_format("if (%s) {", when));
            inner = walk_deeper(walk, fixed ? walk->place.within : plain);
        }
        if (fixed) {
            emit_run(&inner, &run);
            while (field != run.last)
                field = field->next;
        } else {
            emit_field(&inner, field);
        }
        if (when)
            walk_put(walk, "}");
    }
}

static const char *tag_condition(const struct field *field, const struct message *message,
                                 struct range within)
{
    const char *when = condition(field_tagged(field, within), within);
    const char *said = not_default(field, message);
    return when ? text_format("(%s) && %s", when, said) : said;
}

static void emit_tag(const struct walk *walk, const struct instance *instance, const struct field *field)
{
    bool fixed = !field->array && type_fixed(field->type);
    walk_put(walk, text_format("if (%s) {", tag_condition(field, walk->place.message, walk->place.within)));
    struct walk inner = walk_deeper(walk, field_tagged(field, walk->place.within));
    if (fixed) {
        walk_put(&inner, text_format("const size_t tag_size = %d;", type_size(field->type)));
    } else {
        walk_put(&inner, "size_t tag_size = 0;");
        walk_put(&inner,
                 text_format("%sstatus = size_%s_tag_%s(version, in, &tag_size);",
                             walk->sizing ? "" : "enum codec_status ", instance->function, field->name));
        walk_put(&inner, "if (status != CODEC_OK)");
        walk_put(&inner, walk->sizing ? "    return status;" : "    return writer_fail(writer, status);");
    }
    if (walk->sizing) {
        walk_put(&inner,
                 text_format("*size += size_of_uvarint(%d) + size_of_uvarint((uint32_t)tag_size) + tag_size;",
                             field->tag));
    } else {
        put_failing(&inner, text_format("writer_tag(writer, %d, tag_size)", field->tag));
        if (fixed) {
            walk_put(&inner, "uint8_t *p = writer_take(writer, tag_size);");
            walk_put(&inner, "if (p == NULL)");
            walk_put(&inner, "    return false;");
            walk_put(&inner, store(field->type, text_format("in->%s", field->name)));
        } else {
            emit_field(&inner, field);
        }
    }
    walk_put(walk, "}");
}

static void emit_tags(const struct walk *walk, const struct instance *instance)
{
    int max = -1;
    walk_put(walk, "uint32_t tags = 0;");
    for (const struct field *field = instance->of->fields; field; field = field->next) {
        if (range_empty(field_tagged(field, walk->place.within)))
            continue;
        max = field->tag > max ? field->tag : max;
        walk_put(walk,
                 text_format("tags += %s;", tag_condition(field, walk->place.message, walk->place.within)));
    }
    if (walk->sizing)
        walk_put(walk, "*size += size_of_uvarint(tags);");
    else
        put_failing(walk, "writer_uvarint(writer, tags)");
    for (int tag = 0; tag <= max; tag++)
        for (const struct field *field = instance->of->fields; field; field = field->next)
            if (field->tag == tag && !range_empty(field_tagged(field, walk->place.within)))
                emit_tag(walk, instance, field);
}

/* The section at the end of a struct in flexible versions. */
static void emit_tag_section(const struct walk *walk, const struct instance *instance)
{
    const char *flexible = flexible_value(walk->place.message, walk->place.within);
    if (strcmp(flexible, "false") == 0)
        return;
    struct walk inner = *walk;
    if (strcmp(flexible, "flexible") == 0) {
        walk_put(walk, "if (flexible) {");
        inner = walk_deeper(walk, range_meet(walk->place.within, walk->place.message->flexible));
    }
    if (instance_has_tags(instance))
        emit_tags(&inner, instance);
    else if (walk->sizing)
        walk_put(&inner, "*size += 1;");
    else
        put_failing(&inner, "writer_uvarint(writer, 0)");
    if (strcmp(flexible, "flexible") == 0)
        walk_put(walk, "}");
}

static void emit_body(const struct walk *walk, const struct instance *instance)
{
    const char *flexible = flexible_value(walk->place.message, walk->place.within);
    if (strcmp(flexible, "flexible") == 0)
        walk_put(walk, text_format("const bool flexible = %s;",
                                   condition(walk->place.message->flexible, walk->place.within)));
    walk_put(walk, text_format("(void)%s, (void)version, (void)in;", walk->sizing ? "size" : "writer"));
    if (walk->sizing) {
        walk_put(walk, "enum codec_status status = CODEC_OK;");
        walk_put(walk, "(void)status;");
    }
    emit_lost_fields(walk, instance);
    emit_plain_fields(walk, instance);
    emit_tag_section(walk, instance);
    walk_put(walk, walk->sizing ? "return CODEC_OK;" : "return true;");
}

/* The sizes of tagged values, which stand in front of them. */
static void emit_tag_sizers(FILE *out, const struct message *message, const struct instance *instance)
{
    for (const struct field *field = instance->of->fields; field; field = field->next) {
        struct range tagged = field_tagged(field, instance->versions);
        if (range_empty(tagged) || (!field->array && type_fixed(field->type)))
            continue;
        fprintf(out,
                "\nstatic enum codec_status size_%s_tag_%s(int16_t version, const struct %s *in, size_t "
                "*size)\n{\n"
                "    enum codec_status status = CODEC_OK;\n    (void)status;\n    (void)version;\n",
                instance->function, field->name, instance->of->c_name);
        struct walk walk = { { out, message, tagged, 1 }, true };
        emit_field(&walk, field);
        fprintf(out, "    return CODEC_OK;\n}\n");
    }
}

static void emit_comparison(FILE *out, const struct message *message, const struct instance *instance)
{
    fprintf(out, "\nstatic bool is_default_%s(const struct %s *in)\n{\n    (void)in;\n", instance->function,
            instance->of->c_name);
    for (const struct field *field = instance->of->fields; field; field = field->next) {
        if (range_empty(range_meet(field->versions, instance->versions)))
            continue;
        fprintf(out, "    if (%s)\n        return false;\n", not_default(field, message));
    }
    fprintf(out, "    return true;\n}\n");
}

void emit_sizers(FILE *out, const struct message *message)
{
    for (const struct instance *instance = message->instances; instance; instance = instance->next) {
        if (instance->compared)
            emit_comparison(out, message, instance);
        emit_tag_sizers(out, message, instance);
        fprintf(out,
                "\nstatic enum codec_status size_%s(int16_t version, const struct %s *in, size_t *size)\n{\n",
                instance->function, instance->of->c_name);
        struct walk walk = { { out, message, instance->versions, 1 }, true };
        emit_body(&walk, instance);
        fprintf(out, "}\n");
    }
    fprintf(out,
            "\nbool %s_size(int16_t version, const struct %s *in, size_t *size)\n{\n    *size = 0;\n"
            "    if (version < %d || version > %d)\n        return false;\n"
            "    return size_%s(version, in, size) == CODEC_OK;\n}\n",
            message->name, message->name, message->versions.first, message->versions.last, message->name);
}

void emit_encoders(FILE *out, const struct message *message)
{
    for (const struct instance *instance = message->instances; instance; instance = instance->next) {
        fprintf(out,
                "\nstatic bool write_%s(struct writer *writer, int16_t version, const struct %s *in)\n{\n",
                instance->function, instance->of->c_name);
        struct walk walk = { { out, message, instance->versions, 1 }, false };
        emit_body(&walk, instance);
        fprintf(out, "}\n");
    }
    fprintf(out,
            "\nbool %s_encode(struct writer *writer, int16_t version, const struct %s *in)\n{\n"
            "    if (version < %d || version > %d)\n        return writer_fail(writer, CODEC_UNSUPPORTED);\n"
            "    return write_%s(writer, version, in);\n}\n",
            message->name, message->name, message->versions.first, message->versions.last, message->name);
}
