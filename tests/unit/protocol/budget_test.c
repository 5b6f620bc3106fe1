/* The broker-wide memory bound and its shares. */
#include "protocol/base/budget.h"

#include <check.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { SLICE = BUDGET_SLICE_SIZE };

START_TEST(takes_and_gives)
{
    enum action { TAKE, GIVE, TRIM };
    static const struct {
        const char *what;
        enum action action;
        size_t size;
        bool ok;
        size_t used, lent; /* afterwards */
    } rows[] = {
        { "nothing costs nothing", TAKE, 0, true, 0, 0 },
        { "the first byte borrows a slice", TAKE, 1, true, 1, SLICE },
        { "the rest of the slice borrows nothing", TAKE, SLICE - 1, true, SLICE, SLICE },
        { "more than a slice at once", TAKE, SLICE + 1, true, 2 * SLICE + 1, 3 * SLICE },
        { "more than is left", TAKE, 3 * SLICE, false, 2 * SLICE + 1, 3 * SLICE },
        { "more than any budget", TAKE, SIZE_MAX, false, 2 * SLICE + 1, 3 * SLICE },
        { "near the limit the bytes themselves", TAKE, 2 * SLICE - 1, true, 4 * SLICE, 4 * SLICE },
        { "the last half slice", TAKE, SLICE / 2, true, 4 * SLICE + SLICE / 2, 4 * SLICE + SLICE / 2 },
        { "one byte too many", TAKE, 1, false, 4 * SLICE + SLICE / 2, 4 * SLICE + SLICE / 2 },
        { "less than two spare slices stay", GIVE, SLICE, true, 3 * SLICE + SLICE / 2,
          4 * SLICE + SLICE / 2 },
        { "of more, one stays", GIVE, 3 * SLICE, true, SLICE / 2, SLICE / 2 + SLICE },
        { "a trim returns all that is spare", TRIM, 0, true, SLICE / 2, SLICE / 2 },
        { "the last", GIVE, SLICE / 2, true, 0, SLICE / 2 },
        { "nothing is left", TRIM, 0, true, 0, 0 },
    };
    struct budget budget;
    struct budget_share share;
    budget_init(&budget, 4 * SLICE + SLICE / 2);
    budget_share_init(&share, &budget);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool ok = true;
        if (rows[i].action == TAKE)
            ok = budget_take(&share, rows[i].size);
        else if (rows[i].action == GIVE)
            budget_give(&share, rows[i].size);
        else
            budget_share_trim(&share);
        ck_assert_msg(ok == rows[i].ok, "%s", rows[i].what);
        ck_assert_msg(share.used == rows[i].used, "%s: used %zu", rows[i].what, share.used);
        ck_assert_msg(share.lent == rows[i].lent, "%s: lent %zu", rows[i].what, share.lent);
        ck_assert_msg(budget.handed_out == share.lent, "%s: handed out %zu", rows[i].what, budget.handed_out);
    }
}
END_TEST

START_TEST(no_share_never_refuses)
{
    ck_assert(budget_take(NULL, SIZE_MAX));
    budget_give(NULL, SIZE_MAX);
    budget_share_trim(NULL);
}
END_TEST

static void *churn(void *argument)
{
    struct budget *budget = argument;
    struct budget_share share;
    budget_share_init(&share, budget);
    size_t held = 0;
    for (size_t i = 0; i < 100000; i++) {
        size_t size = (i * 7919) % (SLICE / 2);
        if (i % 3 != 2 && budget_take(&share, size)) {
            held += size;
        } else {
            size_t back = size < held ? size : held;
            budget_give(&share, back);
            held -= back;
        }
    }
    budget_give(&share, held);
    budget_share_trim(&share);
    return (void *)(uintptr_t)(share.used + share.lent);
}

START_TEST(threads_share_it)
{
    struct budget budget;
    pthread_t threads[4];
    budget_init(&budget, 8 * (size_t)SLICE);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, &budget), 0);
    for (int i = 0; i < 4; i++) {
        void *left;
        ck_assert_int_eq(pthread_join(threads[i], &left), 0);
        ck_assert_ptr_null(left);
    }
    ck_assert_uint_eq(budget.handed_out, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("budget");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, takes_and_gives);
    tcase_add_test(cases, no_share_never_refuses);
    tcase_add_test(cases, threads_share_it);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
