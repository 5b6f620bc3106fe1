/* Pieces of C that several emitters need: names, conditions on the version, runs of fixed fields. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/gen/model.h"

void put(const struct place *place, const char *text)
{
    fprintf(place->out, "%*s%s\n", place->indent * 4, "", text);
}

void put_step(const struct place *place, const char *when, const char *text, const char *step)
{
    const char *indent = when ? "    " : "";
    if (when)
        put(place, text_format("if (%s) {", when));
    put(place, text_format("%s%s", indent, text));
    if (step)
        put(place, text_format("%s%s", indent, step));
    if (when)
        put(place, "}");
}

struct place deeper(const struct place *place, struct range within)
{
    struct place inner = *place;
    inner.indent++;
    inner.within = within;
    return inner;
}

bool instance_has_tags(const struct instance *instance)
{
    for (const struct field *field = instance->of->fields; field; field = field->next)
        if (!range_empty(field_tagged(field, instance->versions)))
            return true;
    return false;
}

const char *condition(struct range range, struct range within)
{
    struct range meet = range_meet(range, within);
    if (range_empty(meet))
        return "false";
    if (range_within(within, range))
        return NULL;
    if (meet.first == meet.last)
        return text_format("version == %d", meet.first);
    if (meet.last == within.last)
        return text_format("version >= %d", meet.first);
    if (meet.first == within.first)
        return text_format("version <= %d", meet.last);
    return text_format("version >= %d && version <= %d", meet.first, meet.last);
}

const char *condition_value(struct range range, struct range within)
{
    const char *text = condition(range, within);
    return text ? text : "true";
}

const char *flexible_value(const struct message *message, struct range within)
{
    const char *text = condition(message->flexible, within);
    if (text == NULL)
        return "true";
    return strcmp(text, "false") == 0 ? "false" : "flexible";
}

bool instance_flexible_varies(const struct message *message, const struct instance *instance)
{
    return strcmp(flexible_value(message, instance->versions), "flexible") == 0;
}

const char *c_type(const struct field *field)
{
    static const char *const names[] = { "bool",    "int8_t",   "int16_t",  "int32_t",
                                         "int64_t", "uint16_t", "uint32_t", "double",
                                         "uuid",    "slice",    "slice",    "struct records" };
    return field->type == TYPE_STRUCT ? text_format("struct %s", field->of->c_name) : names[field->type];
}

const char *upper(const char *name)
{
    char *text = allocate(strlen(name) + 1);
    for (size_t i = 0; name[i]; i++)
        text[i] = (char)toupper((unsigned char)name[i]);
    return text;
}

const char *camel(const char *name)
{
    char *text = allocate(strlen(name) + 1), *out = text;
    for (size_t i = 0; name[i]; i++)
        if (name[i] != '_')
            *out++ = i == 0 || name[i - 1] == '_' ? (char)toupper((unsigned char)name[i]) : name[i];
    return text;
}

struct instance *instance_of(const struct message *message, const struct structure *of)
{
    struct instance *instance = message->instances;
    while (instance->of != of)
        instance = instance->next;
    return instance;
}

static const char *not_default_slice(const struct field *field)
{
    const char *at = text_format("in->%s%s", field->name, field->type == TYPE_RECORDS ? ".bytes" : "");
    if (field->default_kind == DEFAULT_NULL)
        return text_format("%s.data != NULL", at);
    if (field->default_kind == DEFAULT_STRING && strcmp(field->default_string, "\"\"") != 0)
        return text_format("!slice_equal(%s, SLICE_LITERAL(%s))", at, field->default_string);
    return text_format("(%s.data == NULL || %s.size != 0)", at, at);
}

const char *not_default(const struct field *field, const struct message *message)
{
    if (field->array)
        return field->default_kind == DEFAULT_NULL ? text_format("in->%s_count >= 0", field->name)
                                                   : text_format("in->%s_count != 0", field->name);
    switch (field->type) {
    case TYPE_BOOL:
        return text_format(field->default_int ? "!in->%s" : "in->%s", field->name);
    case TYPE_INT8:
    case TYPE_INT16:
    case TYPE_INT32:
    case TYPE_UINT16:
        return text_format("in->%s != %lld", field->name, (long long)field->default_int);
    case TYPE_UINT32:
        return text_format("in->%s != %lluu", field->name, (unsigned long long)field->default_int);
    case TYPE_INT64:
        if (field->default_int == INT64_MIN)
            return text_format("in->%s != INT64_MIN", field->name);
        return text_format("in->%s != %lld", field->name, (long long)field->default_int);
    case TYPE_FLOAT64:
        return text_format("in->%s != %.17g", field->name,
                           field->default_kind == DEFAULT_FLOAT ? field->default_float : 0.0);
    case TYPE_UUID:
        return text_format("!uuid_is_zero(in->%s)", field->name);
    case TYPE_STRING:
    case TYPE_BYTES:
    case TYPE_RECORDS:
        return not_default_slice(field);
    case TYPE_STRUCT:
        break;
    }
    if (!range_empty(field->nullable))
        return text_format("in->%s != NULL", field->name);
    return text_format("!is_default_%s(&in->%s)", instance_of(message, field->of)->function, field->name);
}

const char *smallest(const struct field *field, const struct message *message, struct range within)
{
    const char *flexible = flexible_value(message, within);
    bool wide = field->array || field->type == TYPE_BYTES || field->type == TYPE_RECORDS;
    if (!field->array && type_fixed(field->type))
        return text_format("%d", type_size(field->type));
    if (!field->array && field->type == TYPE_STRUCT) {
        if (!range_empty(range_meet(field->nullable, within)))
            return "1"; /* null; a struct that is there is no smaller, it ends with a tag section or has
                           fields */
        return text_format("smallest_%s(version)", instance_of(message, field->of)->function);
    }
    if (strcmp(flexible, "true") == 0)
        return "1";
    if (strcmp(flexible, "false") == 0)
        return wide ? "4" : "2";
    return wide ? "(flexible ? 1 : 4)" : "(flexible ? 1 : 2)";
}

static bool in_run(const struct field *field, struct range within)
{
    return field && !field->array && type_fixed(field->type) && !range_empty(field_plain(field, within));
}

/* Fields that are not there in any version of `within` neither belong to a run nor end it. */
static bool absent(const struct field *field, struct range within)
{
    return field && range_empty(field_plain(field, within));
}

static const char *run_size(const struct run *run, struct range within)
{
    int fixed = 0;
    const char *text = "";
    for (const struct field *field = run->first;; field = field->next) {
        if (!absent(field, within)) {
            const char *when = condition(field_plain(field, within), within);
            if (text_equal(when, run->condition))
                fixed += type_size(field->type);
            else
                text = text_format("%s + (%s ? %d : 0)", text, when, type_size(field->type));
        }
        if (field == run->last)
            break;
    }
    return text_format("%d%s", fixed, text);
}

bool run_at(const struct field *field, struct range within, struct run *run)
{
    if (!in_run(field, within))
        return false;
    /* Merge over differing conditions only when some field is always there: the run is then never empty. */
    bool always = false;
    for (const struct field *f = field; in_run(f, within) || absent(f, within); f = f->next)
        always |= !absent(f, within) && condition(field_plain(f, within), within) == NULL;
    *run = (struct run){ .first = field, .last = field };
    run->condition = always ? NULL : condition(field_plain(field, within), within);
    for (const struct field *f = field; in_run(f, within) || absent(f, within); f = f->next) {
        if (absent(f, within))
            continue;
        if (!always && !text_equal(condition(field_plain(f, within), within), run->condition))
            break;
        run->last = f;
        run->count++;
    }
    run->size = run_size(run, within);
    return true;
}
