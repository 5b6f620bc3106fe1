/* Of the ways to flush a group of files, the one that was cheapest lately. */
#include "storage/flush_choice.h"

#include <stdbool.h>

/* Tries of the other way take at most one part in so many of the time of flushes. What the pool costs is up
 * to our own files, syncfs may be cheap again a moment later. */
static const double try_parts[FLUSH_WAYS] = { [FLUSH_SYNCFS] = 16, [FLUSH_POOL] = 64 };
/* A flush of an average's multiple counts as so much: one of them may be chance. */
enum { OUTLIER = 4 };
/* The pool costs several times the CPU: it has to be faster by more than chance. */
static const double pool_gain = 0.67;

static enum flush_way preferred(const struct flush_choice *choice)
{
    double pool_ns = choice->ns[FLUSH_POOL];
    return pool_ns > 0 && pool_ns < pool_gain * choice->ns[FLUSH_SYNCFS] ? FLUSH_POOL : FLUSH_SYNCFS;
}

enum flush_way flush_choice_take(const struct flush_choice *choice)
{
    enum flush_way best = preferred(choice), other = best == FLUSH_POOL ? FLUSH_SYNCFS : FLUSH_POOL;

    /* What was never measured costs nothing here, so the second group tries it. */
    return choice->spent_ns > try_parts[other] * choice->ns[other] ? other : best;
}

void flush_choice_note(struct flush_choice *choice, enum flush_way way, double ns)
{
    double *average = &choice->ns[way];
    bool was_try = way != preferred(choice);

    choice->spent_ns = was_try ? 0 : choice->spent_ns + ns;
    /* What is tried rarely was measured long ago, and how bad it is says when it is tried again. */
    if (was_try || *average == 0)
        *average = ns;
    if (ns > OUTLIER * *average)
        ns = OUTLIER * *average;
    *average += (ns - *average) / 4;
}
