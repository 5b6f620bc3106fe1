/* Deadlines on our clock: a heap per loop; libev only ever knows the earliest. */
#ifndef RUNNEL_BROKER_TIMER_H
#define RUNNEL_BROKER_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    int64_t due_ms; /* monotonic */
    void (*fire)(struct timer *timer);
    size_t slot; /* the heap's: place + 1, 0 when not armed */
};

/* A binary heap of borrowed timers; grows, and shrinks when it is mostly empty. */
struct timer_heap {
    struct timer **timers;
    size_t count;
    size_t capacity;
};

/* Arms or moves. False: no memory, the timer is not armed. */
bool timer_arm(struct timer_heap *heap, struct timer *timer, int64_t due_ms);
/* Does nothing when not armed. */
void timer_cancel(struct timer_heap *heap, struct timer *timer);
/* Fires all that are due at now_ms, earliest first; those armed meanwhile for now or earlier too. */
void timer_run(struct timer_heap *heap, int64_t now_ms);
/* INT64_MAX when none is armed. */
int64_t timer_next_ms(const struct timer_heap *heap);
void timer_heap_destroy(struct timer_heap *heap);

#endif
