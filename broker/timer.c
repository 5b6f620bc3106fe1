/* The heap of deadlines that a loop works off. */
#include "broker/timer.h"

#include <stdlib.h>

#include "protocol/base/check.h"

enum { CAPACITY_MIN = 16 };

static void place(struct timer_heap *heap, size_t at, struct timer *timer)
{
    heap->timers[at] = timer;
    timer->slot = at + 1;
}

static void sift_up(struct timer_heap *heap, size_t at, struct timer *timer)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (heap->timers[parent]->due_ms <= timer->due_ms)
            break;
        place(heap, at, heap->timers[parent]);
        at = parent;
    }
    place(heap, at, timer);
}

static void sift_down(struct timer_heap *heap, size_t at, struct timer *timer)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->timers[child + 1]->due_ms < heap->timers[child]->due_ms)
            child++;
        if (timer->due_ms <= heap->timers[child]->due_ms)
            break;
        place(heap, at, heap->timers[child]);
        at = child;
    }
    place(heap, at, timer);
}

static bool resize(struct timer_heap *heap, size_t capacity)
{
    struct timer **timers = realloc(heap->timers, capacity * sizeof(struct timer *));
    if (!timers)
        return false;
    heap->timers = timers;
    heap->capacity = capacity;
    return true;
}

bool timer_arm(struct timer_heap *heap, struct timer *timer, int64_t due_ms)
{
    if (timer->slot > 0) {
        check(heap->timers[timer->slot - 1] == timer);
        bool is_later = due_ms > timer->due_ms;
        timer->due_ms = due_ms;
        if (is_later)
            sift_down(heap, timer->slot - 1, timer);
        else
            sift_up(heap, timer->slot - 1, timer);
        return true;
    }
    if (heap->count == heap->capacity && !resize(heap, heap->capacity ? 2 * heap->capacity : CAPACITY_MIN))
        return false;
    timer->due_ms = due_ms;
    sift_up(heap, heap->count++, timer);
    return true;
}

void timer_cancel(struct timer_heap *heap, struct timer *timer)
{
    if (timer->slot == 0)
        return;
    size_t at = timer->slot - 1;
    check(at < heap->count && heap->timers[at] == timer);
    timer->slot = 0;
    struct timer *last = heap->timers[--heap->count];
    if (last != timer) {
        if (at > 0 && last->due_ms < heap->timers[(at - 1) / 2]->due_ms)
            sift_up(heap, at, last);
        else
            sift_down(heap, at, last);
    }
    /* A quarter full: half of it is enough, and room is left to grow without another move. */
    if (heap->capacity > CAPACITY_MIN && heap->count < heap->capacity / 4)
        resize(heap, heap->capacity / 2);
}

void timer_run(struct timer_heap *heap, int64_t now_ms)
{
    while (heap->count > 0 && heap->timers[0]->due_ms <= now_ms) {
        struct timer *timer = heap->timers[0];
        timer_cancel(heap, timer);
        timer->fire(timer);
    }
}

int64_t timer_next_ms(const struct timer_heap *heap)
{
    return heap->count > 0 ? heap->timers[0]->due_ms : INT64_MAX;
}

void timer_heap_destroy(struct timer_heap *heap)
{
    free(heap->timers);
    *heap = (struct timer_heap){ 0 };
}
