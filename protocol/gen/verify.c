/* Resolves the names in schemas and refuses what contradicts itself. */
#include <stdlib.h>
#include <string.h>

#include "protocol/gen/model.h"

#define FAIL_FIELD(structure, field, ...) fail((structure)->file->path, (field)->line, __VA_ARGS__)

/* A tag ends a field's plain part: it takes over from its first version on. */
struct range field_plain(const struct field *field, struct range within)
{
    struct range present = range_meet(field->versions, within);
    if (field->tag < 0)
        return present;
    if (present.last >= field->tagged.first)
        present.last = field->tagged.first - 1;
    return present;
}

struct range field_tagged(const struct field *field, struct range within)
{
    if (field->tag < 0)
        return RANGE_NONE;
    return range_meet(range_meet(field->versions, field->tagged), within);
}

bool type_fixed(enum type type)
{
    return type <= TYPE_UUID;
}

int type_size(enum type type)
{
    static const int sizes[] = { 1, 1, 2, 4, 8, 2, 4, 8, 16 };
    return type_fixed(type) ? sizes[type] : 0;
}

static bool type_integer(enum type type)
{
    return type >= TYPE_INT8 && type <= TYPE_UINT32;
}

/* Uses */

static void resolve_uses(struct file *file, struct file *files)
{
    if (file->checked)
        return;
    file->visiting = true;
    for (struct use *use = file->uses; use; use = use->next) {
        for (struct file *other = files; other; other = other->next)
            if (strcmp(other->stem, use->stem) == 0)
                use->file = other;
        if (use->file == NULL)
            fail(file->path, use->line, "no schema file '%s.api' among those given", use->stem);
        if (use->file->visiting)
            fail(file->path, use->line, "'%s' uses this file in turn", use->stem);
        resolve_uses(use->file, files);
    }
    file->visiting = false;
    file->checked = true;
}

static struct structure *find_in(struct structure *list, const char *name)
{
    while (list && strcmp(list->name, name) != 0)
        list = list->next;
    return list;
}

static struct structure *find_structure(const struct structure *user, const char *name)
{
    struct structure *found = user->message ? find_in(user->message->nested, name) : NULL;
    if (found == NULL)
        found = find_in(user->file->shared, name);
    for (struct use *use = user->file->uses; use && found == NULL; use = use->next)
        found = find_in(use->file->shared, name);
    return found;
}

static void resolve_fields(struct structure *structure)
{
    for (struct field *field = structure->fields; field; field = field->next) {
        if (field->type != TYPE_STRUCT)
            continue;
        field->of = find_structure(structure, field->struct_name);
        if (field->of == NULL)
            FAIL_FIELD(structure, field, "no struct or type '%s'", field->struct_name);
    }
}

static void refuse_recursion(struct structure *structure)
{
    structure->visiting = true;
    for (struct field *field = structure->fields; field; field = field->next) {
        if (field->of == NULL)
            continue;
        if (field->of->visiting)
            FAIL_FIELD(structure, field, "struct '%s' would hold itself", field->of->name);
        refuse_recursion(field->of);
    }
    structure->visiting = false;
}

/* What a field says of itself, whoever uses it */

static void verify_default(const struct structure *structure, const struct field *field)
{
    static const struct {
        __int128 min, max;
    } limits[] = { [TYPE_INT8] = { INT8_MIN, INT8_MAX },    [TYPE_INT16] = { INT16_MIN, INT16_MAX },
                   [TYPE_INT32] = { INT32_MIN, INT32_MAX }, [TYPE_INT64] = { INT64_MIN, INT64_MAX },
                   [TYPE_UINT16] = { 0, UINT16_MAX },       [TYPE_UINT32] = { 0, UINT32_MAX } };
    bool fits = false;
    switch (field->default_kind) {
    case DEFAULT_ABSENT:
        return;
    case DEFAULT_NULL:
        if (range_empty(field->nullable))
            FAIL_FIELD(structure, field, "%s: its default is null, but it may not be null", field->name);
        return;
    case DEFAULT_BOOL:
        fits = field->type == TYPE_BOOL;
        break;
    case DEFAULT_FLOAT:
        fits = field->type == TYPE_FLOAT64;
        break;
    case DEFAULT_STRING:
        fits = field->type == TYPE_STRING;
        break;
    case DEFAULT_INT:
        fits = type_integer(field->type);
        if (fits && !field->array &&
            (field->default_int < limits[field->type].min || field->default_int > limits[field->type].max))
            FAIL_FIELD(structure, field, "%s: its default is out of the range of %s", field->name,
                       type_name(field->type));
        break;
    }
    if (!fits || field->array)
        FAIL_FIELD(structure, field, "%s: its default is no %s%s", field->name,
                   field->array ? "array of " : "", type_name(field->type));
}

static void verify_entity(const struct structure *structure, const struct field *field)
{
    static const struct {
        const char *kind;
        enum type type;
    } kinds[] = {
        { "topic", TYPE_STRING },  { "group", TYPE_STRING },     { "transactional_id", TYPE_STRING },
        { "broker", TYPE_INT32 },  { "producer", TYPE_INT64 },   { "member", TYPE_STRING },
        { "client", TYPE_STRING }, { "principal", TYPE_STRING }, { "host", TYPE_STRING },
        { "topic_id", TYPE_UUID }
    };
    if (field->entity == NULL)
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].kind, field->entity) != 0)
            continue;
        if (kinds[i].type != field->type)
            FAIL_FIELD(structure, field, "%s: a %s is a %s", field->name, field->entity,
                       type_name(kinds[i].type));
        return;
    }
    FAIL_FIELD(structure, field, "%s: no entity of kind '%s' is known", field->name, field->entity);
}

static void verify_field(const struct structure *structure, struct field *field)
{
    bool may_be_null = field->array || field->type >= TYPE_STRING;
    if (!range_empty(field->nullable) && !may_be_null)
        FAIL_FIELD(structure, field, "%s: a %s is never null", field->name, type_name(field->type));
    if (!range_empty(field->nullable) && range_empty(range_meet(field->nullable, field->versions)))
        FAIL_FIELD(structure, field, "%s: null in versions that do not have it", field->name);
    if (field->array && field->type == TYPE_RECORDS)
        FAIL_FIELD(structure, field, "%s: records come one by one, never in an array", field->name);
    if (field->tag >= 0 && range_empty(range_meet(field->tagged, field->versions)))
        FAIL_FIELD(structure, field, "%s: tagged in versions that do not have it", field->name);
    if (field->tag >= 0 && field->tagged.last < field->versions.last)
        FAIL_FIELD(structure, field, "%s: a field that is tagged once stays so until its last version",
                   field->name);
    if (field->type == TYPE_STRUCT && !field->array && !range_empty(field->nullable) &&
        field->default_kind != DEFAULT_NULL)
        FAIL_FIELD(structure, field, "%s: the default of a nullable struct is null: write '= null'",
                   field->name);
    verify_default(structure, field);
    verify_entity(structure, field);
}

/* What a message makes of its fields */

static void verify_in_message(const struct message *message, const struct instance *instance)
{
    const struct structure *structure = instance->of;
    for (const struct field *field = structure->fields; field; field = field->next) {
        struct range present = range_meet(field->versions, instance->versions);
        if (range_empty(present)) {
            if (!structure->shared)
                FAIL_FIELD(structure, field, "%s: in no version of %s", field->name, message->name);
            continue;
        }
        if (field->default_kind == DEFAULT_NULL && !range_within(present, field->nullable))
            FAIL_FIELD(structure, field,
                       "%s: its default is null, but it may not be null in every version of %s", field->name,
                       message->name);
        struct range tagged = field_tagged(field, instance->versions);
        if (range_empty(tagged))
            continue;
        if (!range_within(tagged, message->flexible))
            FAIL_FIELD(structure, field, "%s: tagged in version %d of %s, which is not flexible", field->name,
                       tagged.first, message->name);
        for (const struct field *other = structure->fields; other != field; other = other->next)
            if (other->tag == field->tag &&
                !range_empty(range_meet(tagged, field_tagged(other, instance->versions))))
                FAIL_FIELD(structure, field, "%s: tag %d is that of %s", field->name, field->tag,
                           other->name);
    }
}

static struct instance *find_instance(struct message *message, const struct structure *of)
{
    struct instance *instance = message->instances;
    while (instance && instance->of != of)
        instance = instance->next;
    return instance;
}

/* Children go in front of their parents; a struct that is used twice occurs in the versions of both. */
static void list_instance(struct message *message, struct structure *structure, struct range versions)
{
    struct instance *instance = find_instance(message, structure);
    if (instance && range_within(versions, instance->versions))
        return;
    if (instance) {
        instance->versions.first =
            versions.first < instance->versions.first ? versions.first : instance->versions.first;
        instance->versions.last =
            versions.last > instance->versions.last ? versions.last : instance->versions.last;
        versions = instance->versions;
    }
    for (struct field *field = structure->fields; field; field = field->next) {
        struct range present = range_meet(field->versions, versions);
        if (field->of && !range_empty(present))
            list_instance(message, field->of, present);
    }
    if (instance)
        return;
    instance = allocate(sizeof *instance);
    instance->of = structure;
    instance->versions = versions;
    instance->function =
        structure->shared ? text_format("%s__%s", message->name, structure->name) : structure->c_name;
    LIST_ADD(message->instances, instance);
}

static void mark_compared(struct message *message, const struct structure *structure)
{
    struct instance *instance = find_instance(message, structure);
    if (instance == NULL || instance->compared)
        return;
    instance->compared = true;
    for (const struct field *field = structure->fields; field; field = field->next)
        if (field->of && !field->array && range_empty(field->nullable))
            mark_compared(message, field->of);
}

/* Plain structs are compared with their default where they are tagged or could be set in vain. */
static void find_compared(struct message *message)
{
    for (struct instance *instance = message->instances; instance; instance = instance->next) {
        for (struct field *field = instance->of->fields; field; field = field->next) {
            if (field->of == NULL || field->array || !range_empty(field->nullable))
                continue;
            bool in_vain = !field->ignorable && !range_within(instance->versions, field->versions);
            if (in_vain || !range_empty(field_tagged(field, instance->versions)))
                mark_compared(message, field->of);
        }
    }
}

static void verify_message(struct message *message)
{
    list_instance(message, message->root, message->versions);
    for (struct instance *instance = message->instances; instance; instance = instance->next)
        verify_in_message(message, instance);
    for (struct structure *nested = message->nested; nested; nested = nested->next)
        if (find_instance(message, nested) == NULL)
            fail(message->file->path, nested->line, "struct '%s' is in no version of %s", nested->name,
                 message->name);
    find_compared(message);
}

/* APIs and records as a whole */

static void refuse_twin_api(const struct api *api, struct file *files)
{
    for (struct file *file = files; file; file = file->next) {
        for (struct api *other = file->apis; other; other = other->next) {
            if (other == api)
                return;
            if (other->key == api->key || strcmp(other->name, api->name) == 0)
                fail(api->file->path, api->line, "%s %d: key or name are those of %s %d (%s:%d)", api->name,
                     api->key, other->name, other->key, file->path, other->line);
        }
    }
}

static void verify_api(const struct api *api)
{
    const char *path = api->file->path;
    if (api->request == NULL || api->response == NULL)
        fail(path, api->line, "%s needs a request and a response", api->name);
    if (!range_empty(api->refused) && api->refused.last != api->versions.first - 1)
        fail(path, api->line, "%s: refused versions stand right below the known ones", api->name);
    if (!range_empty(api->unserved) &&
        (api->unserved.last < api->versions.last || api->unserved.first <= api->versions.first))
        fail(path, api->line, "%s: unserved versions are the last of the known ones", api->name);
}

static void verify_records(const struct file *file)
{
    for (const struct record *record = file->records; record; record = record->next) {
        if (file->frame == FRAME_COORDINATOR && (record->key == NULL || record->value == NULL))
            fail(file->path, record->line, "%s needs a key and a value", record->name);
        for (const struct record *other = file->records; other != record; other = other->next)
            if (other->number == record->number || strcmp(other->name, record->name) == 0)
                fail(file->path, record->line, "%s %d: type or name are those of line %d", record->name,
                     record->number, other->line);
    }
}

static void refuse_twin(const struct structure *structure, const struct structure *other)
{
    if (strcmp(structure->c_name, other->c_name) == 0)
        fail(structure->file->path, structure->line, "struct %s would be made twice, also by %s:%d",
             structure->c_name, other->file->path, other->line);
}

/* Every struct of every file. */
struct structures {
    struct structure **items;
    size_t count;
};

static void add_structures(struct structures *all, struct structure *list)
{
    for (; list; list = list->next) {
        all->items = realloc(all->items, (all->count + 1) * sizeof(struct structure *));
        if (all->items == NULL)
            fail("runnel-gen", 0, "out of memory");
        all->items[all->count++] = list;
    }
}

static struct structures list_structures(struct file *files)
{
    struct structures all = { NULL, 0 };
    for (struct file *file = files; file; file = file->next) {
        add_structures(&all, file->shared);
        for (struct message *message = file->messages; message; message = message->next) {
            add_structures(&all, message->nested);
            add_structures(&all, message->root);
        }
    }
    return all;
}

static void verify_structures(const struct structures *all)
{
    for (size_t i = 0; i < all->count; i++)
        for (size_t j = 0; j < i; j++)
            refuse_twin(all->items[i], all->items[j]);
    for (size_t i = 0; i < all->count; i++) {
        resolve_fields(all->items[i]);
        for (struct field *field = all->items[i]->fields; field; field = field->next)
            verify_field(all->items[i], field);
    }
    for (size_t i = 0; i < all->count; i++)
        refuse_recursion(all->items[i]);
}

void verify_files(struct file *files)
{
    for (struct file *file = files; file; file = file->next)
        resolve_uses(file, files);
    for (struct file *file = files; file; file = file->next)
        for (struct api *api = file->apis; api; api = api->next)
            refuse_twin_api(api, files);
    struct structures all = list_structures(files);
    verify_structures(&all);
    free(all.items);
    for (struct file *file = files; file; file = file->next) {
        for (struct message *message = file->messages; message; message = message->next)
            verify_message(message);
        for (struct api *api = file->apis; api; api = api->next)
            verify_api(api);
        verify_records(file);
    }
}
