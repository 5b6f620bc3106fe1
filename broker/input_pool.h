/* Memory for what arrives: small pieces from the heap, large frames in mappings that a loop uses again. */
#ifndef RUNNEL_BROKER_INPUT_POOL_H
#define RUNNEL_BROKER_INPUT_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/budget.h"
#include "protocol/base/pin.h"

enum {
    /* From this size on a frame is large: it has a mapping of its own. */
    INPUT_LARGE_SIZE = 192 * 1024,
    /* Mappings are multiples of it, so that frames of about one size share them. */
    INPUT_STEP = 64 * 1024,
    /* Spare mappings of a loop, in bytes; all of them count in the budget as long as they are here. */
    INPUT_POOL_MAX = 8 * 1024 * 1024,
    /* And of the budget this part at most, half of it in all loops, as what lies idle in one is refused to
     * the others. */
    INPUT_POOL_SHARE = 32,
    /* When requests hold so much, no more large frames are read for a moment: those who append do not keep
     * up, and what waits for them here would only be more memory, and cold. */
    INPUT_HELD_MAX = 4 * 1024 * 1024,
};

struct input_pool;

/* Bytes that arrived and are not executed; begins at a frame's length. Its first hold is the connection's,
 * then that of the turn in which it was spent; a request may hold it on (rq_keep). */
struct input_buffer {
    struct pin pin;
    struct input_pool *pool;
    struct input_buffer *next; /* in the pool, or the loop's list of spent ones */
    size_t capacity;
    size_t cost; /* what the budget was asked for */
    bool is_mapped;
    bool is_held; /* by a request beyond the turn */
    _Alignas(16) uint8_t bytes[];
};

/* Of one loop, used by its thread alone. Sizes are costs. */
struct input_pool {
    struct budget_share *budget; /* borrowed */
    struct input_buffer
        *spares; /* mapped ones, the last used in front: the processor's cache may have it still */
    size_t spare_size;
    size_t spare_max;
    size_t idle_size;                         /* the least that lay here since input_pool_shrink() */
    size_t held_size;                         /* what requests hold */
    void (*relaxed)(struct input_pool *pool); /* held_size is below INPUT_HELD_MAX again */
};

/* Of one loop of loop_count, all of which draw on the budget of that limit. */
void input_pool_init(struct input_pool *pool, struct budget_share *budget, size_t budget_limit,
                     unsigned loop_count, void (*relaxed)(struct input_pool *pool));
/* Gives all spares back to the machine; true when there were any. */
bool input_pool_trim(struct input_pool *pool);
/* Gives those back that nobody needed since the last call. */
void input_pool_shrink(struct input_pool *pool);

static inline bool input_is_tight(const struct input_pool *pool)
{
    return pool->held_size >= INPUT_HELD_MAX;
}

/* A buffer of the heap. NULL: the budget or the machine refuses. */
struct input_buffer *input_take_small(struct input_pool *pool, size_t capacity);
/* A mapped buffer of capacity bytes at least. Of these, arrived have come or can be read at once: a spare
 * that has more than twice of that is not given away for it. NULL as above. */
struct input_buffer *input_take(struct input_pool *pool, size_t capacity, size_t arrived);
/* The same mapped buffer with that capacity at least, moved perhaps; the bytes come along without being
 * copied. NULL: refused, and the buffer is as it was. */
struct input_buffer *input_grow(struct input_pool *pool, struct input_buffer *buffer, size_t capacity);
/* A request has a hold on it until it goes; from now on it counts as held. */
void input_held(struct input_buffer *buffer);
/* Ends a hold; with the last one it goes to the spares, or is freed. On the loop's thread. */
void input_give(struct input_buffer *buffer);

#endif
