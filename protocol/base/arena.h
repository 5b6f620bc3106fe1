/* An arena is the memory of one request: allocated piece by piece, released as a whole. */
#ifndef RUNNEL_PROTOCOL_BASE_ARENA_H
#define RUNNEL_PROTOCOL_BASE_ARENA_H

#include "protocol/base/budget.h"
#include "protocol/base/pin.h"
#include "protocol/base/poison.h"
#include "protocol/base/slice.h"

struct arena_page;
struct arena_pin_node;

/* Used by one thread at a time. The first page is kept over resets; what is beyond counts in the
 * share's budget and goes back at the reset. */
struct arena {
    struct arena_page *pages; /* newest first */
    struct arena_pin_node *pins;
    struct budget_share *share; /* borrowed; NULL: unbounded (tests, start-up) */
    uint8_t *next;              /* what is left of the newest page, aligned, and how much */
    size_t room;
    size_t used; /* bytes handed out since the last reset */
};

enum { ARENA_FIRST_PAGE_SIZE = 4096, ARENA_ALIGNMENT = 16 };

void arena_init(struct arena *arena, struct budget_share *share);
/* Drops the pins, frees every page. */
void arena_destroy(struct arena *arena);
/* Drops the pins, keeps the first page. */
void arena_reset(struct arena *arena);

/* size bytes aligned to 16, not zeroed; size 0 gives a valid pointer. NULL when the budget or the
 * machine refuses: the request then fails as a whole. */
static inline void *arena_alloc(struct arena *arena, size_t size);
/* The same, zeroed, and safe against count x size overflow. */
void *arena_alloc_array(struct arena *arena, size_t count, size_t size);
/* A copy of the bytes; null stays null. On refusal *ok (may be NULL) becomes false. */
slice arena_copy(struct arena *arena, slice bytes, bool *ok);
/* A NUL-ended copy, or NULL on refusal. */
char *arena_string(struct arena *arena, slice bytes);

/* Takes a hold on pin until the reset. False on refusal: nothing was taken. */
bool arena_pin(struct arena *arena, struct pin *pin);

/* arena_alloc() where the newest page has no room, and wherever something is to be watched. */
void *arena__alloc(struct arena *arena, size_t size);

/* A request allocates ten to forty times, nearly always some bytes of the page that is at hand. */
static inline void *arena_alloc(struct arena *arena, size_t size)
{
#ifndef POISONS /* where the bytes of a page that were not handed out are poisoned */
    if (__builtin_expect(size - 1 < arena->room, true)) { /* not 0, and no more than is left */
        size_t rounded = (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
        void *p = arena->next;
        arena->next += rounded;
        arena->room -= rounded;
        arena->used += rounded;
        return p;
    }
#endif
    return arena__alloc(arena, size);
}

#endif
