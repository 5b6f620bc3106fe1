/* Offsets that transactions commit, as Kafka writes them into the log: pending until their marker. */
#include "tests/sim/offsets/rig.h"

enum { NOBODY = -1, ANNA = 7001, BERT = 7002 };

enum happening { PLAIN, PENDING, COMMIT, ABORT, TOMBSTONE };

struct step {
    enum happening happening;
    int64_t producer;
    int64_t offset;
};

struct history {
    const char *why;
    struct step steps[8];
    size_t step_count;
    int64_t offset; /* that is told in the end */
    bool is_unstable;
};

static const struct history histories[] = {
    { "pending counts for nobody", { { PENDING, ANNA, 5 } }, 1, -1, true },
    { "pending beside a plain one", { { PLAIN, NOBODY, 3 }, { PENDING, ANNA, 5 } }, 2, 3, true },
    { "committed", { { PENDING, ANNA, 5 }, { COMMIT, ANNA, 0 } }, 2, 5, false },
    { "aborted", { { PLAIN, NOBODY, 3 }, { PENDING, ANNA, 5 }, { ABORT, ANNA, 0 } }, 3, 3, false },
    { "aborted, and there was nothing", { { PENDING, ANNA, 5 }, { ABORT, ANNA, 0 } }, 2, -1, false },
    { "the last of a transaction counts",
      { { PENDING, ANNA, 9 }, { PENDING, ANNA, 5 }, { COMMIT, ANNA, 0 } },
      3,
      5,
      false },
    { "another producer's marker", { { PENDING, ANNA, 5 }, { COMMIT, BERT, 0 } }, 2, -1, true },
    { "two transactions, one ends",
      { { PENDING, ANNA, 5 }, { PENDING, BERT, 6 }, { COMMIT, ANNA, 0 } },
      3,
      5,
      true },
    { "two transactions end, the earlier record last",
      { { PENDING, ANNA, 5 }, { PENDING, BERT, 6 }, { COMMIT, BERT, 0 }, { COMMIT, ANNA, 0 } },
      4,
      6,
      false },
    { "a plain commit between record and marker counts",
      { { PENDING, ANNA, 5 }, { PLAIN, NOBODY, 8 }, { COMMIT, ANNA, 0 } },
      3,
      8,
      false },
    { "a plain commit after the marker counts",
      { { PENDING, ANNA, 5 }, { COMMIT, ANNA, 0 }, { PLAIN, NOBODY, 8 } },
      3,
      8,
      false },
    { "a tombstone ends what is pending",
      { { PENDING, ANNA, 5 }, { TOMBSTONE, NOBODY, 0 }, { COMMIT, ANNA, 0 } },
      3,
      -1,
      false },
    { "and the transaction goes on after it",
      { { PENDING, ANNA, 5 }, { TOMBSTONE, NOBODY, 0 }, { PENDING, ANNA, 6 }, { COMMIT, ANNA, 0 } },
      4,
      6,
      false },
    { "a marker for nothing",
      { { COMMIT, ANNA, 0 }, { PLAIN, NOBODY, 8 }, { ABORT, ANNA, 0 } },
      3,
      8,
      false },
};

static void happen(const struct step *step)
{
    switch (step->happening) {
    case PLAIN:
    case PENDING:
        append_commit("g", step->producer, 0, step->offset);
        break;
    case COMMIT:
    case ABORT:
        append_marker("g", step->producer, step->happening == COMMIT);
        break;
    case TOMBSTONE:
        append_commit("g", NOBODY, 0, -1);
        break;
    }
}

START_TEST(what_histories_leave)
{
    for (size_t i = 0; i < sizeof histories / sizeof *histories; i++) {
        const struct history *history = &histories[i];
        rig_open("");
        for (size_t s = 0; s < history->step_count; s++)
            happen(&history->steps[s]);
        rig_restart();
        int64_t offset = fetch("g", 0);
        ck_assert_msg(offset == history->offset, "%s: %lld", history->why, (long long)offset);
        struct place place = fetch_from("g", "orders", 0, true);
        ck_assert_msg((place.error_code == ERR_UNSTABLE_OFFSET_COMMIT) == history->is_unstable, "%s: %s",
                      history->why, error_name(place.error_code));
        ck_assert_msg(place.offset == (history->is_unstable ? -1 : history->offset), "%s", history->why);
        ck_assert_int_eq(fetch_from("g", "orders", 1, true).error_code,
                         ERR_NONE); /* its neighbour is stable */
        ck_assert_msg(group_count() == (history->offset >= 0 || history->is_unstable), "%s", history->why);
        rig_close();
    }
}
END_TEST

START_TEST(deletion_takes_what_is_pending)
{
    rig_open("");
    append_commit("g", ANNA, 0, 5);
    append_commit("g", ANNA, 1, 6);
    append_commit("h", BERT, 1, 7);
    rig_restart();
    ck_assert_int_eq(delete_offset("g", "orders", 0), ERR_NONE);
    ck_assert_int_eq(fetch_from("g", "orders", 0, true).error_code, ERR_NONE);
    ck_assert_int_eq(fetch_from("g", "orders", 1, true).error_code, ERR_UNSTABLE_OFFSET_COMMIT);
    ck_assert_int_eq(delete_group("h"), ERR_NONE);
    ck_assert_int_eq(group_count(), 1);
    append_marker("g", ANNA, true);
    append_marker("h", BERT, true);
    rig_restart();
    ck_assert_int_eq(fetch("g", 0), -1);
    ck_assert_int_eq(fetch("g", 1), 6);
    ck_assert_int_eq(fetch("h", 1), -1);
    ck_assert_int_eq(group_count(), 1);
    rig_close();
}
END_TEST

START_TEST(pending_offsets_do_not_expire)
{
    rig_open("offsets.retention.minutes=1\n");
    append_commit("g", NOBODY, 0, 4);
    append_commit("g", ANNA, 0, 5);
    append_commit("h", ANNA, 1, 6);
    rig_restart();
    sim_advance(&sim, 60 * MINUTE_MS);
    ck_assert_int_eq(fetch("g", 0), 4);
    ck_assert_int_eq(group_count(), 2);
    append_marker("g", ANNA, true);
    append_marker("h", ANNA, false);
    rig_restart();
    ck_assert_int_eq(fetch("g", 0), 5);
    ck_assert_int_eq(group_count(), 1);
    sim_advance(&sim, 60 * MINUTE_MS);
    ck_assert_int_eq(fetch("g", 0), -1);
    ck_assert_int_eq(group_count(), 0);
    rig_close();
}
END_TEST

TCase *transaction_tests(void)
{
    TCase *tests = tcase_create("transactions");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_histories_leave);
    tcase_add_test(tests, deletion_takes_what_is_pending);
    tcase_add_test(tests, pending_offsets_do_not_expire);
    return tests;
}
