/* A counted hold on something that must outlive a loop turn: a mapping, an open file, a log. */
#ifndef RUNNEL_PROTOCOL_BASE_PIN_H
#define RUNNEL_PROTOCOL_BASE_PIN_H

#include <stdatomic.h>

/* Embedded in the object it holds. Starts at one: the owner's own hold. */
struct pin {
    atomic_uint count;
    void (*release)(struct pin *); /* called once, by whoever drops the last hold, on any thread */
};

static inline void pin_init(struct pin *pin, void (*release)(struct pin *))
{
    atomic_init(&pin->count, 1);
    pin->release = release;
}

/* Only from a pointer that is valid in this turn (DESIGN 4, reclamation). */
static inline void pin_take(struct pin *pin)
{
    atomic_fetch_add_explicit(&pin->count, 1, memory_order_relaxed);
}

static inline void pin_drop(struct pin *pin)
{
    if (atomic_fetch_sub_explicit(&pin->count, 1, memory_order_acq_rel) == 1)
        pin->release(pin);
}

#endif
