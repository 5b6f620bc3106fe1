/* The broker-wide bound on memory that clients can make us hold (DESIGN 10). */
#ifndef RUNNEL_PROTOCOL_BASE_BUDGET_H
#define RUNNEL_PROTOCOL_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* One per broker; any thread. */
struct budget {
    size_t limit;             /* bytes */
    _Atomic size_t handed_out; /* bytes lent to shares */
};

/* One per loop or worker, used by its thread alone; borrows from the budget in slices of 1 MiB. */
struct budget_share {
    struct budget *budget;
    size_t lent; /* bytes taken from the budget */
    size_t used; /* bytes of these in use */
};

enum { BUDGET_SLICE_SIZE = 1 << 20 };

void budget_init(struct budget *budget, size_t limit);
void budget_share_init(struct budget_share *share, struct budget *budget);

/* False when the broker's limit would be passed; then nothing was taken. A NULL share never refuses. */
bool budget_take(struct budget_share *share, size_t size);
/* size as taken before, on the same share. */
void budget_give(struct budget_share *share, size_t size);
/* Returns all that is lent and not used, for a share that falls idle or ends. */
void budget_share_trim(struct budget_share *share);

#endif
