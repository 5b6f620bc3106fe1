/* The cheaper way to flush a group is found, kept, and found anew when it is another one; and what that
 * costs. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

#include "protocol/base/random.h"
#include "storage/flush_choice.h"
#include "tests/support/suite.h"

enum { GROUPS = 4000 };

/* What a flush takes in us, give or take a third; each so many-th so many times as long. */
struct regime {
    const char *says;
    double us[FLUSH_WAYS];
    unsigned outlier_every; /* 0: never */
    double outlier_times;
    double lost_max; /* of the time that the best way alone would take */
};

static const struct regime regimes[] = {
    { "8 files on a quiet disk", { 600, 900 }, 0, 0, 0.02 },
    { "2 files", { 300, 400 }, 0, 0, 0.02 },
    { "2 files that cost the same: syncfs, for its CPU", { 300, 300 }, 0, 0, 0.02 },
    { "1,000 files", { 5000, 50000 }, 0, 0, 0.05 },
    { "now and then the device is slow", { 600, 900 }, 100, 20, 0.05 },
    { "someone else writes a lot", { 40000, 900 }, 0, 0, 0.12 },
    { "someone else writes all the time", { 1000000, 900 }, 0, 0, 0.60 },
};

static double took_ns(struct random *random, const struct regime *regime, enum flush_way way, unsigned group)
{
    double ns = regime->us[way] * 1000 * (0.67 + 0.66 * (double)random_below(random, 1000) / 1000);
    bool is_outlier = regime->outlier_every && group % regime->outlier_every == regime->outlier_every - 1;
    return is_outlier ? ns * regime->outlier_times : ns;
}

/* Returns how much more time it took than the best way. */
static double play(struct flush_choice *choice, struct random *random, const struct regime *regime)
{
    double took = 0, best = 0;
    for (unsigned group = 0; group < GROUPS; group++) {
        double ns[FLUSH_WAYS];
        enum flush_way way = flush_choice_take(choice);
        for (int i = 0; i < FLUSH_WAYS; i++)
            ns[i] = took_ns(random, regime, (enum flush_way)i, group);
        flush_choice_note(choice, way, ns[way]);
        took += ns[way];
        best += ns[regime->us[FLUSH_SYNCFS] <= regime->us[FLUSH_POOL] ? FLUSH_SYNCFS : FLUSH_POOL];
    }
    return took / best - 1;
}

START_TEST(finds_the_cheaper_way)
{
    const struct regime *regime = &regimes[_i];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct random random;
        struct flush_choice choice = { 0 };
        random_seed(&random, seed);
        double lost = play(&choice, &random, regime);
        ck_assert_msg(lost < regime->lost_max, "%s: lost %.3f with seed %d", regime->says, lost, (int)seed);
    }
}
END_TEST

/* From any regime to any other: a minute later nothing is lost to the lessons of the one before, even if a
 * try took a second then. */
START_TEST(learns_anew)
{
    enum { COUNT = sizeof regimes / sizeof regimes[0], MINUTE = 45 };
    struct random random;
    random_seed(&random, 1);
    for (int from = 0; from < COUNT; from++) {
        struct flush_choice choice = { 0 };
        (void)play(&choice, &random, &regimes[from]);
        for (int round = 0; round < MINUTE; round++)
            (void)play(&choice, &random, &regimes[_i]);
        double lost = play(&choice, &random, &regimes[_i]);
        ck_assert_msg(lost < regimes[_i].lost_max, "%s, then %s: lost %.3f", regimes[from].says,
                      regimes[_i].says, lost);
    }
}
END_TEST

/* A flush of two minutes is not tried again for the sake of a try. */
START_TEST(fears_what_was_bad)
{
    struct flush_choice choice = { 0 };
    flush_choice_note(&choice, FLUSH_SYNCFS, 120e9);
    flush_choice_note(&choice, FLUSH_POOL, 1e6);
    for (int i = 0; i < 1000000; i++) {
        ck_assert_int_eq(flush_choice_take(&choice), FLUSH_POOL);
        flush_choice_note(&choice, FLUSH_POOL, 1e6);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("flush_choice");
    TCase *tcase = tcase_create("choice");
    tcase_add_loop_test(tcase, finds_the_cheaper_way, 0, sizeof regimes / sizeof regimes[0]);
    tcase_add_loop_test(tcase, learns_anew, 0, sizeof regimes / sizeof regimes[0]);
    tcase_add_test(tcase, fears_what_was_bad);
    suite_add_tcase(suite, tcase);
    return suite_run(suite) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
