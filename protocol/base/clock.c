/* Reads the machine's clocks, or a test's. */
#include "protocol/base/clock.h"

#include <stdatomic.h>
#include <time.h>

#include "protocol/base/check.h"

static int64_t real_wall_ms(const struct clock *clock)
{
    (void)clock;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t real_mono_ns(const struct clock *clock)
{
    (void)clock;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

const struct clock *clock_real(void)
{
    static const struct clock real = { real_wall_ms, real_mono_ns };
    return &real;
}

static int64_t virtual_wall_ms(const struct clock *clock)
{
    return atomic_load(&((const struct clock_virtual *)(const void *)clock)->wall_ms);
}

static int64_t virtual_mono_ns(const struct clock *clock)
{
    return atomic_load(&((const struct clock_virtual *)(const void *)clock)->mono_ns);
}

void clock_virtual_init(struct clock_virtual *clock, int64_t wall_ms)
{
    clock->clock = (struct clock){ virtual_wall_ms, virtual_mono_ns };
    atomic_init(&clock->wall_ms, wall_ms);
    /* Not 0: no real machine shows that either, so it may stand for "never". */
    atomic_init(&clock->mono_ns, 1000000000);
}

void clock_virtual_advance(struct clock_virtual *clock, int64_t ms)
{
    check(ms >= 0);
    atomic_fetch_add(&clock->wall_ms, ms);
    atomic_fetch_add(&clock->mono_ns, ms * 1000000);
}
