/* Time as an argument: nothing asks the machine for it but the real clock here. */
#ifndef RUNNEL_PROTOCOL_BASE_CLOCK_H
#define RUNNEL_PROTOCOL_BASE_CLOCK_H

#include <stdint.h>

/* Any thread may read a clock. */
struct clock {
    int64_t (*wall_ms)(const struct clock *); /* ms since the Unix epoch; may jump */
    int64_t (*mono_ns)(const struct clock *); /* ns, never backwards; deadlines use this one */
};

static inline int64_t clock_wall_ms(const struct clock *clock)
{
    return clock->wall_ms(clock);
}

static inline int64_t clock_mono_ns(const struct clock *clock)
{
    return clock->mono_ns(clock);
}

static inline int64_t clock_mono_ms(const struct clock *clock)
{
    return clock->mono_ns(clock) / 1000000;
}

/* The machine's clocks; static, never destroyed. */
const struct clock *clock_real(void);

/* A clock that a test owns: stands still until advanced. */
struct clock_virtual {
    struct clock clock; /* first: a clock_virtual is a clock */
    _Atomic int64_t wall_ms;
    _Atomic int64_t mono_ns;
};

void clock_virtual_init(struct clock_virtual *clock, int64_t wall_ms);
/* Moves both readings forward by ms >= 0. */
void clock_virtual_advance(struct clock_virtual *clock, int64_t ms);

#endif
