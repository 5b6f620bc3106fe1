/* What goes by itself: by retention, by the client's own retention, with its topic. */
#include "tests/sim/offsets/rig.h"

enum { CHECK_MS = 10 * MINUTE_MS, RETENTION_MS = 30 * MINUTE_MS };

#define RETENTION "offsets.retention.minutes=30\n"

static void advance(int64_t ms)
{
    for (; ms > 0; ms -= MINUTE_MS)
        sim_advance(&sim, ms < MINUTE_MS ? ms : MINUTE_MS);
}

START_TEST(a_simple_group)
{
    for (int with_restart = 0; with_restart <= 1; with_restart++) {
        rig_open(RETENTION);
        commit("g", 0, 5);
        advance(20 * MINUTE_MS);
        commit("g", 1, 6); /* each counts from its own commit */
        advance(5 * MINUTE_MS);
        ck_assert_int_eq(fetch("g", 0), 5);
        if (with_restart)
            rig_restart();
        advance(20 * MINUTE_MS);
        ck_assert_int_eq(fetch("g", 0), -1);
        ck_assert_int_eq(fetch("g", 1), 6);
        advance(RETENTION_MS);
        ck_assert_int_eq(fetch("g", 1), -1);
        ck_assert_str_eq(state_of("g"), "Dead");
        ck_assert_int_eq(group_count(), 0);
        rig_restart();
        ck_assert_int_eq(group_count(), 0);
        rig_close();
    }
}
END_TEST

/* Until the session ends the member is there: 10 s without heartbeats. */
START_TEST(a_group_that_was_left)
{
    rig_open(RETENTION);
    struct member member = join("g", "consumer", "orders");
    struct commit one = { .group = "g",
                          .member = member.id,
                          .has_generation = true,
                          .generation = member.generation,
                          .offset = 5 };
    ck_assert_int_eq(commit_as(&one), ERR_NONE);
    rig_restart();
    for (int i = 0; i < 100; i++) { /* commits keep the session alive */
        one.offset = i;
        ck_assert_int_eq(commit_as(&one), ERR_NONE);
        sim_advance(&sim, 9000);
    }
    ck_assert_str_eq(state_of("g"), "Stable");
    one.partition = 1; /* the last commit is younger than the group's emptiness below */
    ck_assert_int_eq(leave("g", member.id), ERR_NONE);
    ck_assert_str_eq(state_of("g"), "Empty");
    advance(25 * MINUTE_MS);
    commit("g", 2, 7); /* an admin's: goes with the others, as the group has been empty for long */
    ck_assert_int_eq(fetch("g", 0), 99);
    advance(16 * MINUTE_MS);
    ck_assert_int_eq(fetch("g", 0), -1);
    ck_assert_int_eq(fetch("g", 2), -1);
    ck_assert_int_eq(group_count(), 0);
    rig_close();
}
END_TEST

static void keep_alive(const struct member *member, const char *group, int64_t ms)
{
    struct commit one = { .group = group,
                          .member = member->id,
                          .has_generation = true,
                          .generation = member->generation,
                          .partition = 2,
                          .offset = 1 };
    for (; ms > 0; ms -= 9000) {
        ck_assert_int_eq(commit_as(&one), ERR_NONE);
        sim_advance(&sim, 9000);
    }
}

START_TEST(a_living_group)
{
    static const struct {
        const char *why, *protocol_type, *reads;
        bool keeps_others;
    } rows[] = {
        { "reads another topic", "consumer", "orders", false },
        { "reads nobody knows what", "consumer", NULL, true },
        { "is no consumer", "connect", "orders", true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig_open(RETENTION);
        make_topic("others");
        struct commit others = { .group = "g", .topic = "others", .offset = 8 };
        ck_assert_int_eq(commit_as(&others), ERR_NONE);
        commit("g", 0, 5);
        struct member member = join("g", rows[i].protocol_type, rows[i].reads);
        keep_alive(&member, "g", RETENTION_MS + CHECK_MS + MINUTE_MS);
        ck_assert_int_eq(fetch("g", 0), 5);
        ck_assert_msg((fetch_from("g", "others", 0, false).offset == 8) == rows[i].keeps_others, "%s",
                      rows[i].why);
        ck_assert_str_eq(state_of("g"), "Stable");
        rig_close();
    }
}
END_TEST

START_TEST(a_retention_of_its_own)
{
    rig_open(RETENTION);
    struct commit brief = {
        .version = 3, .group = "g", .partition = 0, .offset = 1, .retention_ms = MINUTE_MS
    };
    struct commit lasting = {
        .version = 2, .group = "g", .partition = 1, .offset = 2, .retention_ms = 3 * RETENTION_MS
    };
    struct commit endless = {
        .version = 4, .group = "g", .partition = 2, .offset = 3, .retention_ms = INT64_MAX
    };
    ck_assert_int_eq(commit_as(&brief), ERR_NONE);
    ck_assert_int_eq(commit_as(&lasting), ERR_NONE);
    ck_assert_int_eq(commit_as(&endless), ERR_NONE);
    rig_restart();
    ck_assert_int_eq(fetch("g", 0), 1);
    advance(CHECK_MS + MINUTE_MS);
    ck_assert_int_eq(fetch("g", 0), -1);
    advance(2 * RETENTION_MS);
    ck_assert_int_eq(fetch("g", 1), 2);
    advance(2 * RETENTION_MS);
    ck_assert_int_eq(fetch("g", 1), -1);
    ck_assert_int_eq(fetch("g", 2), 3);
    struct commit past = {
        .version = 4, .group = "g", .partition = 2, .offset = 4, .retention_ms = -5 * MINUTE_MS
    };
    ck_assert_int_eq(commit_as(&past), ERR_NONE);
    advance(CHECK_MS + MINUTE_MS);
    ck_assert_int_eq(fetch("g", 2), -1);
    rig_close();
}
END_TEST

START_TEST(a_deleted_topic)
{
    rig_open("");
    make_topic("others");
    struct commit others = { .group = "g", .topic = "others", .offset = 8 };
    ck_assert_int_eq(commit_as(&others), ERR_NONE);
    ck_assert_int_eq(group_count(), 1);
    delete_topic("others");
    advance(CHECK_MS + MINUTE_MS);
    ck_assert_int_eq(group_count(), 0);
    make_topic("others");
    ck_assert_int_eq(fetch_from("g", "others", 0, false).offset, -1);
    ck_assert_int_eq(commit_as(&others), ERR_NONE);
    delete_topic("others");
    make_topic("others"); /* between two looks: the id tells */
    advance(CHECK_MS + MINUTE_MS);
    ck_assert_int_eq(group_count(), 0);
    rig_close();
}
END_TEST

START_TEST(more_than_a_batch_at_once)
{
    enum { COUNT = 400 };
    char name[200];
    rig_open(RETENTION "message.max.bytes=10000\n");
    memset(name, 'g', sizeof name);
    for (int i = 0; i < COUNT; i++) {
        name[150] = (char)('a' + i / 20);
        name[151] = (char)('a' + i % 20);
        name[152] = '\0';
        commit(name, i % 3, i);
    }
    ck_assert_int_eq(group_count(), COUNT);
    advance(RETENTION_MS + CHECK_MS + MINUTE_MS);
    ck_assert_int_eq(group_count(), 0);
    rig_restart();
    ck_assert_int_eq(group_count(), 0);
    rig_close();
}
END_TEST

/* Times from a damaged record, or from a clock that was wrong. */
START_TEST(absurd_times)
{
    rig_open(RETENTION);
    struct commit one = { .version = 2, .group = "g", .offset = 1, .retention_ms = INT64_MIN };
    ck_assert_int_eq(commit_as(&one), ERR_NONE);
    advance(CHECK_MS + MINUTE_MS);
    ck_assert_int_eq(fetch("g", 0), -1);
    rig_close();
}
END_TEST

TCase *expiry_tests(void)
{
    TCase *tests = tcase_create("expiry");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_simple_group);
    tcase_add_test(tests, a_group_that_was_left);
    tcase_add_test(tests, a_living_group);
    tcase_add_test(tests, a_retention_of_its_own);
    tcase_add_test(tests, a_deleted_topic);
    tcase_add_test(tests, more_than_a_batch_at_once);
    tcase_add_test(tests, absurd_times);
    return tests;
}
