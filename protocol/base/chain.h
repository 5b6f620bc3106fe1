/* A chain is bytes on their way out: pieces of memory and ranges of pinned mappings, in order. */
#ifndef RUNNEL_PROTOCOL_BASE_CHAIN_H
#define RUNNEL_PROTOCOL_BASE_CHAIN_H

#include "protocol/base/arena.h"

/* pin == NULL: memory of ours, borrowed from the chain's arena. pin != NULL: a range of a mapped
 * file which the arena holds by that pin; a send from it may fail with EFAULT (DESIGN 6). */
struct chain_part {
    slice bytes;
    struct pin *pin;
};

struct chain {
    struct arena *arena; /* borrowed; all parts live as long as it is not reset */
    struct chain_part *parts;
    size_t count;
    size_t capacity;
    size_t size; /* bytes of all parts */
};

void chain_init(struct chain *chain, struct arena *arena);
/* Adds bytes that outlive the chain; empty ones add nothing. False on refusal of the arena. */
bool chain_add(struct chain *chain, slice bytes);
/* Adds a range of a mapping; the arena takes a hold on pin. */
bool chain_add_pinned(struct chain *chain, slice bytes, struct pin *pin);

#endif
