/* Memory for what arrives, see input_pool.h. */
#include "broker/input_pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "protocol/base/check.h"
#include "protocol/base/poison.h"

void input_pool_init(struct input_pool *pool, struct budget_share *budget, size_t budget_limit,
                     unsigned loop_count, void (*relaxed)(struct input_pool *pool))
{
    size_t share = 2 * loop_count > INPUT_POOL_SHARE ? 2 * loop_count : INPUT_POOL_SHARE;
    *pool = (struct input_pool){ .budget = budget, .spare_max = INPUT_POOL_MAX, .relaxed = relaxed };
    if (pool->spare_max > budget_limit / share)
        pool->spare_max = budget_limit / share;
}

static size_t mapped_size(size_t capacity)
{
    return (sizeof(struct input_buffer) + capacity + INPUT_STEP - 1) / INPUT_STEP * INPUT_STEP;
}

/* -- the budget --------------------------------------------------------------------------------- */

static bool pay(struct input_pool *pool, size_t cost)
{
    return budget_take(pool->budget, cost) || (input_pool_trim(pool) && budget_take(pool->budget, cost));
}

static void unmap(struct input_pool *pool, struct input_buffer *buffer)
{
    size_t cost = buffer->cost;
    unpoison(buffer->bytes, buffer->capacity);
    check(munmap(buffer, cost) == 0);
    budget_give(pool->budget, cost);
}

bool input_pool_trim(struct input_pool *pool)
{
    bool any = pool->spares != NULL;
    pool->idle_size = pool->spare_size;
    input_pool_shrink(pool);
    return any;
}

void input_pool_shrink(struct input_pool *pool)
{
    size_t kept = pool->spare_size - pool->idle_size;
    struct input_buffer **at = &pool->spares;
    while (*at && (*at)->cost <= kept) {
        kept -= (*at)->cost;
        at = &(*at)->next;
    }
    while (*at) {
        struct input_buffer *buffer = *at;
        *at = buffer->next;
        pool->spare_size -= buffer->cost;
        unmap(pool, buffer);
    }
    pool->idle_size = pool->spare_size;
}

/* -- making ------------------------------------------------------------------------------------- */

static struct input_buffer *paid(struct input_pool *pool, struct input_buffer *buffer, size_t cost,
                                 bool is_mapped)
{
    if (!buffer) {
        budget_give(pool->budget, cost);
        return NULL;
    }
    buffer->pool = pool;
    buffer->cost = cost;
    buffer->capacity = cost - sizeof *buffer;
    buffer->is_mapped = is_mapped;
    return buffer;
}

static struct input_buffer *map(struct input_pool *pool, size_t capacity)
{
    size_t cost = mapped_size(capacity);
    if (!pay(pool, cost))
        return NULL;
    void *memory = mmap(NULL, cost, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return paid(pool, memory == MAP_FAILED ? NULL : memory, cost, true);
}

static struct input_buffer *allocate(struct input_pool *pool, size_t capacity)
{
    size_t cost = sizeof(struct input_buffer) + capacity;
    return pay(pool, cost) ? paid(pool, malloc(cost), cost, false) : NULL;
}

/* The first spare that is large enough, and not so large that a peer who sends no more holds too much. */
static struct input_buffer *take_spare(struct input_pool *pool, size_t capacity, size_t arrived)
{
    for (struct input_buffer **at = &pool->spares; *at; at = &(*at)->next) {
        struct input_buffer *buffer = *at;
        if (buffer->capacity < capacity || buffer->capacity / 2 > arrived)
            continue;
        *at = buffer->next;
        pool->spare_size -= buffer->cost;
        if (pool->idle_size > pool->spare_size)
            pool->idle_size = pool->spare_size;
        unpoison(buffer->bytes, buffer->capacity);
        return buffer;
    }
    return NULL;
}

/* -- taking and giving -------------------------------------------------------------------------- */

static void end_hold(struct input_pool *pool, size_t cost)
{
    bool was_tight = input_is_tight(pool);
    pool->held_size -= cost;
    if (was_tight && !input_is_tight(pool))
        pool->relaxed(pool);
}

static void release(struct pin *pin)
{
    struct input_buffer *buffer = (struct input_buffer *)((char *)pin - offsetof(struct input_buffer, pin));
    struct input_pool *pool = buffer->pool;
    if (buffer->is_held)
        end_hold(pool, buffer->cost);
    if (buffer->is_mapped && buffer->cost <= pool->spare_max - pool->spare_size) {
        buffer->next = pool->spares;
        pool->spares = buffer;
        pool->spare_size += buffer->cost;
        poison(buffer->bytes, buffer->capacity); /* who still looks there would see the next frame */
    } else if (buffer->is_mapped) {
        unmap(pool, buffer);
    } else {
        budget_give(pool->budget, buffer->cost);
        free(buffer);
    }
}

static struct input_buffer *begin(struct input_buffer *buffer)
{
    if (!buffer)
        return NULL;
    pin_init(&buffer->pin, release);
    buffer->is_held = false;
    return buffer;
}

struct input_buffer *input_take_small(struct input_pool *pool, size_t capacity)
{
    return begin(allocate(pool, capacity));
}

struct input_buffer *input_take(struct input_pool *pool, size_t capacity, size_t arrived)
{
    struct input_buffer *spare = take_spare(pool, capacity, arrived);
    return begin(spare ? spare : map(pool, capacity));
}

/* Moves a mapping; NULL: refused. ThreadSanitizer does not see mremap(): it takes who has the old addresses
 * next, and whose memory came to the new ones, for a race with whoever was there before. */
static struct input_buffer *remap(struct input_buffer *buffer, size_t cost)
{
#ifdef __SANITIZE_THREAD__
    struct input_buffer *grown = mmap(NULL, cost, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (grown == MAP_FAILED)
        return NULL;
    memcpy(grown, buffer, buffer->cost);
    check(munmap(buffer, buffer->cost) == 0);
    return grown;
#else
    void *grown = mremap(buffer, buffer->cost, cost, MREMAP_MAYMOVE);
    return grown == MAP_FAILED ? NULL : grown;
#endif
}

struct input_buffer *input_grow(struct input_pool *pool, struct input_buffer *buffer, size_t capacity)
{
    check(buffer->is_mapped);
    size_t cost = mapped_size(capacity);
    if (cost <= buffer->cost)
        return buffer;
    size_t more = cost - buffer->cost;
    if (!pay(pool, more))
        return NULL;
    struct input_buffer *grown = remap(buffer, cost);
    if (!grown) {
        budget_give(pool->budget, more);
        return NULL;
    }
    grown->cost = cost;
    grown->capacity = cost - sizeof *grown;
    return grown;
}

void input_held(struct input_buffer *buffer)
{
    if (buffer->is_held)
        return;
    buffer->is_held = true;
    buffer->pool->held_size += buffer->cost;
}

void input_give(struct input_buffer *buffer)
{
    pin_drop(&buffer->pin);
}
