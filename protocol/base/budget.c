/* Hands the broker's memory bound to threads in slices, so that the shared counter is rarely touched. */
#include "protocol/base/budget.h"

#include "protocol/base/check.h"

void budget_init(struct budget *budget, size_t limit)
{
    budget->limit = limit;
    atomic_init(&budget->handed_out, 0);
}

void budget_share_init(struct budget_share *share, struct budget *budget)
{
    *share = (struct budget_share){ .budget = budget };
}

static bool borrow(struct budget_share *share, size_t size)
{
    struct budget *budget = share->budget;
    size_t handed_out = atomic_load_explicit(&budget->handed_out, memory_order_relaxed);
    do {
        if (handed_out > budget->limit || size > budget->limit - handed_out)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&budget->handed_out, &handed_out, handed_out + size,
                                                    memory_order_relaxed, memory_order_relaxed));
    share->lent += size;
    return true;
}

static void repay(struct budget_share *share, size_t size)
{
    check(share->lent - share->used >= size);
    share->lent -= size;
    size_t before = atomic_fetch_sub_explicit(&share->budget->handed_out, size, memory_order_relaxed);
    check(before >= size);
}

bool budget_take(struct budget_share *share, size_t size)
{
    if (share == NULL)
        return true;
    size_t spare = share->lent - share->used;
    if (size > spare) {
        size_t missing = size - spare;
        if (missing > share->budget->limit)
            return false;
        size_t slices = (missing + BUDGET_SLICE_SIZE - 1) / BUDGET_SLICE_SIZE * BUDGET_SLICE_SIZE;
        /* Near the limit a whole slice may be too much where the bytes themselves still fit. */
        if (!borrow(share, slices) && !borrow(share, missing))
            return false;
    }
    share->used += size;
    return true;
}

void budget_give(struct budget_share *share, size_t size)
{
    if (share == NULL)
        return;
    check(share->used >= size);
    share->used -= size;
    /* One slice stays for what comes next; the rest is others' to use. */
    size_t spare = share->lent - share->used;
    if (spare >= 2 * (size_t)BUDGET_SLICE_SIZE)
        repay(share, spare - BUDGET_SLICE_SIZE);
}

void budget_share_trim(struct budget_share *share)
{
    if (share != NULL && share->lent > share->used)
        repay(share, share->lent - share->used);
}
