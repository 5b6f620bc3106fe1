/* Fills structs by their descriptions, so that a new schema is tested without a line of test. */
#include "tests/support/random_message.h"

#include "protocol/base/check.h"

/* What all of one message has in common. */
struct filling {
    struct random *random;
    struct arena *arena;
    message_chooser *choose; /* NULL: all is random */
    int16_t version;
};

static void fill_field(const struct filling *filling, const struct field_schema *field, uint8_t *struct_at);

static void fill_struct(const struct filling *filling, const struct struct_schema *schema, void *out)
{
    schema->init(out);
    for (size_t i = 0; i < schema->count; i++) {
        const struct field_schema *field = &schema->fields[i];
        /* Now and then a default, which a tagged field leaves out. */
        if (filling->version >= field->first && filling->version <= field->last &&
            random_below(filling->random, 8) > 0)
            fill_field(filling, field, out);
    }
}

void chosen_message(struct random *random, struct arena *arena, const struct struct_schema *schema,
                    int16_t version, message_chooser *choose, void *out)
{
    const struct filling filling = { random, arena, choose, version };
    fill_struct(&filling, schema, out);
}

void random_message(struct random *random, struct arena *arena, const struct struct_schema *schema,
                    int16_t version, void *out)
{
    chosen_message(random, arena, schema, version, NULL, out);
}

static slice random_slice(struct random *random, struct arena *arena)
{
    size_t size = random_below(random, 16) == 0 ? random_below(random, 400) : random_below(random, 12);
    uint8_t *bytes = arena_alloc(arena, size);
    check(bytes != NULL);
    random_bytes(random, bytes, size);
    return slice_of(bytes, size);
}

static void fill_value(const struct filling *filling, const struct field_schema *field, bool nullable,
                       void *at)
{
    struct random *random = filling->random;
    struct arena *arena = filling->arena;
    if (filling->choose && filling->choose(random, arena, field, at))
        return;
    uint64_t bits = random_u64(random);
    bool null = nullable && random_below(random, 4) == 0;
    switch (field->type) {
    case FIELD_BOOL:
        *(bool *)at = bits & 1;
        return;
    case FIELD_FLOAT64:
        *(double *)at = (double)bits / 3.0;
        return;
    case FIELD_STRING:
    case FIELD_BYTES:
        *(slice *)at = null ? SLICE_NULL : random_slice(random, arena);
        return;
    case FIELD_RECORDS:
        *(struct records *)at = (struct records){ null ? SLICE_NULL : random_slice(random, arena), NULL };
        return;
    case FIELD_STRUCT:
        fill_struct(filling, field->of, at);
        return;
    case FIELD_UUID:
        random_bytes(random, at, sizeof(uuid));
        return;
    case FIELD_INT8:
    case FIELD_INT16:
    case FIELD_INT32:
    case FIELD_INT64:
    case FIELD_UINT16:
    case FIELD_UINT32:
        memcpy(at, &bits, field_element_size(field));
        return;
    }
}

static void fill_array(const struct filling *filling, const struct field_schema *field, bool nullable,
                       uint8_t *struct_at)
{
    struct random *random = filling->random;
    int32_t count = (int32_t)random_below(random, 4);
    if (nullable && random_below(random, 4) == 0)
        count = -1;
    uint8_t *elements = NULL;
    if (count > 0) {
        size_t size = field_element_size(field);
        elements = arena_alloc_array(filling->arena, (size_t)count, size);
        check(elements != NULL);
        for (int32_t i = 0; i < count; i++)
            fill_value(filling, field, false, elements + (size_t)i * size);
    }
    memcpy(struct_at + field->offset, &elements, sizeof elements);
    memcpy(struct_at + field->count_offset, &count, sizeof count);
}

static void fill_field(const struct filling *filling, const struct field_schema *field, uint8_t *struct_at)
{
    bool nullable = filling->version >= field->null_first && filling->version <= field->null_last;
    if (field->array) {
        fill_array(filling, field, nullable, struct_at);
        return;
    }
    bool by_pointer = field->type == FIELD_STRUCT && field->null_first <= field->null_last;
    if (!by_pointer) {
        fill_value(filling, field, nullable, struct_at + field->offset);
        return;
    }
    void *pointer = NULL;
    if (!nullable || random_below(filling->random, 4) > 0) {
        pointer = arena_alloc_array(filling->arena, 1, field->of->size);
        check(pointer != NULL);
        fill_struct(filling, field->of, pointer);
    }
    memcpy(struct_at + field->offset, &pointer, sizeof pointer);
}

slice chain_bytes(const struct chain *chain, struct arena *arena)
{
    uint8_t *bytes = arena_alloc(arena, chain->size), *at = bytes;
    check(bytes != NULL);
    for (size_t i = 0; i < chain->count; i++) {
        memcpy(at, chain->parts[i].bytes.data, chain->parts[i].bytes.size);
        at += chain->parts[i].bytes.size;
    }
    check((size_t)(at - bytes) == chain->size);
    return slice_of(bytes, chain->size);
}
