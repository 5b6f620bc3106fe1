/* Collects the parts of an answer in their order. */
#include "protocol/base/chain.h"

enum { FIRST_CAPACITY = 8 };

void chain_init(struct chain *chain, struct arena *arena)
{
    *chain = (struct chain){ .arena = arena };
}

static bool reserve_part(struct chain *chain)
{
    if (chain->count < chain->capacity)
        return true;
    size_t capacity = chain->capacity ? chain->capacity * 2 : FIRST_CAPACITY;
    struct chain_part *parts = arena_alloc(chain->arena, capacity * sizeof *parts);
    if (parts == NULL)
        return false;
    if (chain->count > 0)
        memcpy(parts, chain->parts, chain->count * sizeof *parts);
    chain->parts = parts;
    chain->capacity = capacity;
    return true;
}

/* Bytes that follow the last part in memory, under the same pin, make that part longer. */
static bool extend_last(struct chain *chain, slice bytes, const struct pin *pin)
{
    if (chain->count == 0)
        return false;
    struct chain_part *last = &chain->parts[chain->count - 1];
    if (last->pin != pin || last->bytes.data + last->bytes.size != bytes.data)
        return false;
    last->bytes.size += bytes.size;
    chain->size += bytes.size;
    return true;
}

static void add_part(struct chain *chain, slice bytes, struct pin *pin)
{
    chain->parts[chain->count++] = (struct chain_part){ bytes, pin };
    chain->size += bytes.size;
}

bool chain_add(struct chain *chain, slice bytes)
{
    if (bytes.size == 0 || extend_last(chain, bytes, NULL))
        return true;
    if (!reserve_part(chain))
        return false;
    add_part(chain, bytes, NULL);
    return true;
}

bool chain_add_pinned(struct chain *chain, slice bytes, struct pin *pin)
{
    if (bytes.size == 0 || extend_last(chain, bytes, pin))
        return true;
    if (!reserve_part(chain) || !arena_pin(chain->arena, pin))
        return false;
    add_part(chain, bytes, pin);
    return true;
}
