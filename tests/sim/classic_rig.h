/* Three members of a classic group, and the steps that many tests begin with. */
#ifndef RUNNEL_TESTS_SIM_CLASSIC_RIG_H
#define RUNNEL_TESTS_SIM_CLASSIC_RIG_H

#include <check.h>

#include "codec/describe_groups.h"
#include "protocol/errors.h"
#include "tests/support/group_member.h"

static struct sim sim;
static struct group_member one, two, three;
static struct group_member *const all[] = { &one, &two, &three };

/* Nobody waits for others but where the settings say so. */
static inline void open_with(const char *settings)
{
    char text[300];
    bool has_delay = strstr(settings, "group.initial.rebalance.delay.ms") != NULL;
    snprintf(text, sizeof text, "%s%s", has_delay ? "" : "group.initial.rebalance.delay.ms=0\n", settings);
    sim_open(&sim, 1, text);
    member_open(&sim, &one, 1, 9);
    member_open(&sim, &two, 2, 9);
    member_open(&sim, &three, 3, 9);
    member_find_coordinator(&one);
}

static inline void setup(void)
{
    open_with("");
}

static inline void teardown(void)
{
    member_close(&one);
    member_close(&two);
    member_close(&three);
    sim_close(&sim);
}

static inline int16_t joined(struct group_member *member)
{
    int16_t error_code = -2;
    ck_assert_msg(member_receive_join(member, &error_code), "the join waits");
    return error_code;
}

static inline bool waits_in_join(struct group_member *member)
{
    int16_t error_code;
    return !member_receive_join(member, &error_code);
}

static inline int16_t synced(struct group_member *member)
{
    int16_t error_code = -2;
    slice assignment;
    ck_assert_msg(member_receive_sync(member, &error_code, &assignment), "the sync waits");
    return error_code;
}

static inline bool waits_in_sync(struct group_member *member)
{
    int16_t error_code;
    slice assignment;
    return !member_receive_sync(member, &error_code, &assignment);
}

static inline int16_t join(struct group_member *member)
{
    ck_assert(member_send_join(member));
    return joined(member);
}

/* The members form a stable group; who is in it already joins again. */
static inline void form(int count)
{
    member_begin_join(all[0]);
    for (int i = 1; i < count; i++) {
        for (int k = 0; k < i; k++)
            ck_assert_int_eq(joined(all[k]), ERR_NONE);
        member_begin_join(all[i]);
        for (int k = 0; k < i; k++)
            ck_assert(member_send_join(all[k]));
    }
    members_settle(all, count);
}

/* Two members, told of generation 2 and not synced yet. */
static inline void begin_two(struct group_member **leader, struct group_member **follower)
{
    member_begin_join(&one);
    ck_assert_int_eq(joined(&one), ERR_NONE);
    member_begin_join(&two);
    ck_assert(member_send_join(&one));
    ck_assert_int_eq(joined(&two), ERR_NONE);
    ck_assert_int_eq(joined(&one), ERR_NONE);
    *leader = one.is_leader ? &one : &two;
    *follower = one.is_leader ? &two : &one;
}

static inline void describe(struct describe_groups_response_group *out)
{
    static struct describe_groups_response response;
    struct describe_groups_request request;
    slice name = SLICE_LITERAL("group");
    describe_groups_request_init(&request);
    request.groups = &name;
    request.groups_count = 1;
    ck_assert(sim_call(&three.client, 15, 5, &request, &response));
    *out = response.groups[0];
}

static inline bool is_state(const char *state)
{
    struct describe_groups_response_group group;
    describe(&group);
    return slice_equal_string(group.group_state, state);
}

/* Runs the suite of one case, and returns main()'s status. */
static inline int run_case(const char *name, TCase *tests, TCase *others)
{
    Suite *suite = suite_create(name);
    tcase_set_timeout(tests, 120);
    tcase_set_timeout(others, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, others);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#endif
