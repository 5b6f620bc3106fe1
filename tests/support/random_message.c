/* Fills structs by their descriptions, so that a new schema is tested without a line of test. */
#include "tests/support/random_message.h"

#include "protocol/base/check.h"

static void fill_field(struct random *random, struct arena *arena, const struct field_schema *field,
                       int16_t version, uint8_t *struct_at);

void random_message(struct random *random, struct arena *arena, const struct struct_schema *schema,
                    int16_t version, void *out)
{
    schema->init(out);
    for (size_t i = 0; i < schema->count; i++) {
        const struct field_schema *field = &schema->fields[i];
        /* Now and then a default, which a tagged field leaves out. */
        if (version >= field->first && version <= field->last && random_below(random, 8) > 0)
            fill_field(random, arena, field, version, out);
    }
}

static slice random_slice(struct random *random, struct arena *arena)
{
    size_t size = random_below(random, 16) == 0 ? random_below(random, 400) : random_below(random, 12);
    uint8_t *bytes = arena_alloc(arena, size);
    check(bytes != NULL);
    random_bytes(random, bytes, size);
    return slice_of(bytes, size);
}

static void fill_value(struct random *random, struct arena *arena, const struct field_schema *field,
                       int16_t version, bool nullable, void *at)
{
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
        random_message(random, arena, field->of, version, at);
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

static void fill_array(struct random *random, struct arena *arena, const struct field_schema *field,
                       int16_t version, bool nullable, uint8_t *struct_at)
{
    int32_t count = (int32_t)random_below(random, 4);
    if (nullable && random_below(random, 4) == 0)
        count = -1;
    uint8_t *elements = NULL;
    if (count > 0) {
        size_t size = field_element_size(field);
        elements = arena_alloc_array(arena, (size_t)count, size);
        check(elements != NULL);
        for (int32_t i = 0; i < count; i++)
            fill_value(random, arena, field, version, false, elements + (size_t)i * size);
    }
    memcpy(struct_at + field->offset, &elements, sizeof elements);
    memcpy(struct_at + field->count_offset, &count, sizeof count);
}

static void fill_field(struct random *random, struct arena *arena, const struct field_schema *field,
                       int16_t version, uint8_t *struct_at)
{
    bool nullable = version >= field->null_first && version <= field->null_last;
    if (field->array) {
        fill_array(random, arena, field, version, nullable, struct_at);
        return;
    }
    bool by_pointer = field->type == FIELD_STRUCT && field->null_first <= field->null_last;
    if (!by_pointer) {
        fill_value(random, arena, field, version, nullable, struct_at + field->offset);
        return;
    }
    void *pointer = NULL;
    if (!nullable || random_below(random, 4) > 0) {
        pointer = arena_alloc_array(arena, 1, field->of->size);
        check(pointer != NULL);
        random_message(random, arena, field->of, version, pointer);
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
