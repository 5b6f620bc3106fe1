/* Deadlines of classic groups, on a clock that the test owns: pending members, sessions, phases, delays; and
 * many members. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/classic_rig.h"

/* -- pending members (KIP-394) ----------------------------------------------------------------- */

START_TEST(a_pending_member_holds_up_the_join_phase_until_it_comes)
{
    form(2);
    ck_assert_int_eq(join(&three), ERR_MEMBER_ID_REQUIRED);
    struct describe_groups_response_group group;
    describe(&group);
    ck_assert_int_eq(group.members_count, 2); /* it is no member */
    ck_assert(member_send_join(&one));
    ck_assert(member_send_join(&two));
    ck_assert(waits_in_join(&one));
    ck_assert(member_send_join(&three));
    members_settle(all, 3);
}
END_TEST

START_TEST(a_pending_member_is_forgotten_after_its_session)
{
    form(2);
    three.session_timeout_ms = 6000;
    ck_assert_int_eq(join(&three), ERR_MEMBER_ID_REQUIRED);
    ck_assert(member_send_join(&one));
    ck_assert(member_send_join(&two));
    sim_advance(&sim, 5999);
    ck_assert(waits_in_join(&one));
    sim_advance(&sim, 1);
    members_settle(all, 2);
    ck_assert_int_eq(join(&three), ERR_UNKNOWN_MEMBER_ID);
}
END_TEST

START_TEST(a_pending_member_may_leave)
{
    form(2);
    ck_assert_int_eq(join(&three), ERR_MEMBER_ID_REQUIRED);
    ck_assert(member_send_join(&one));
    ck_assert(member_send_join(&two));
    ck_assert(waits_in_join(&one));
    ck_assert_int_eq(member_leave(&three), ERR_NONE);
    members_settle(all, 2);
}
END_TEST

START_TEST(pending_members_are_limited)
{
    struct group_member member;
    member_open(&sim, &member, 1, 4);
    int16_t error_code = ERR_MEMBER_ID_REQUIRED;
    int count = 0;
    for (; error_code == ERR_MEMBER_ID_REQUIRED && count <= 10000; count++) {
        member.id[0] = '\0';
        error_code = join(&member);
    }
    ck_assert_int_eq(error_code, ERR_GROUP_MAX_SIZE_REACHED);
    ck_assert_int_eq(count, 10001);
    sim_advance(&sim, 10000);
    member.id[0] = '\0';
    ck_assert_int_eq(join(&member), ERR_MEMBER_ID_REQUIRED); /* the others are forgotten */
    member_close(&member);
}
END_TEST

/* -- time -------------------------------------------------------------------------------------- */

START_TEST(silent_members_go_and_those_who_speak_stay)
{
    form(2);
    for (int i = 0; i < 9; i++) {
        sim_advance(&sim, 1000);
        ck_assert_int_eq(member_heartbeat(&one), ERR_NONE);
    }
    sim_advance(&sim, 1000);
    ck_assert_int_eq(member_heartbeat(&one), ERR_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(member_heartbeat(&two), ERR_UNKNOWN_MEMBER_ID);
    ck_assert(member_send_join(&one));
    members_settle(all, 1);
}
END_TEST

START_TEST(who_waits_is_alive)
{
    form(2);
    one.rebalance_timeout_ms = two.rebalance_timeout_ms = 120000;
    two.session_timeout_ms = 100000;
    ck_assert(member_send_join(&one)); /* a leader: a rebalance */
    ck_assert(waits_in_join(&one));
    for (int i = 0; i < 30; i++) {
        sim_advance(&sim, 3000); /* nine sessions of the one in all */
        ck_assert_int_eq(member_heartbeat(&two), ERR_REBALANCE_IN_PROGRESS);
    }
    ck_assert(waits_in_join(&one));
    ck_assert(member_send_join(&two));
    members_settle(all, 2);
    sim_advance(&sim, 9999);
    ck_assert_int_eq(member_heartbeat(&one), ERR_NONE);
}
END_TEST

START_TEST(who_does_not_join_in_time_is_removed)
{
    form(3);
    ck_assert(member_send_join(&one));
    ck_assert(member_send_join(&two));
    for (int i = 0; i < 29; i++) {
        sim_advance(&sim, 1000);
        ck_assert_int_eq(member_heartbeat(&three), ERR_REBALANCE_IN_PROGRESS);
    }
    ck_assert(waits_in_join(&one));
    sim_advance(&sim, 1000);
    ck_assert_int_eq(member_heartbeat(&three), ERR_UNKNOWN_MEMBER_ID);
    members_settle(all, 2);
}
END_TEST

START_TEST(another_leads_when_the_leader_does_not_come)
{
    form(3);
    three.protocols[0].metadata = SLICE_LITERAL("other topics");
    ck_assert(member_send_join(&two));
    ck_assert_int_eq(joined(&two), ERR_NONE); /* nothing new: no rebalance */
    ck_assert(member_send_join(&three));
    ck_assert(member_send_join(&two));
    for (int i = 0; i < 30; i++) {
        ck_assert_int_eq(member_heartbeat(&one), ERR_REBALANCE_IN_PROGRESS);
        sim_advance(&sim, 1000);
    }
    members_settle(all + 1, 2);
    ck_assert_int_eq(member_heartbeat(&one), ERR_UNKNOWN_MEMBER_ID);
}
END_TEST

START_TEST(who_does_not_sync_in_time_is_removed)
{
    struct group_member *leader, *follower;
    begin_two(&leader, &follower);
    ck_assert(member_send_sync(leader));
    ck_assert_int_eq(synced(leader), ERR_NONE);
    for (int i = 0; i < 29; i++) {
        sim_advance(&sim, 1000);
        ck_assert_int_eq(member_heartbeat(leader), ERR_NONE);
        ck_assert_int_eq(member_heartbeat(follower), ERR_NONE); /* it lives, and does not sync */
    }
    sim_advance(&sim, 1000);
    ck_assert_int_eq(member_heartbeat(leader), ERR_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(member_heartbeat(follower), ERR_UNKNOWN_MEMBER_ID);
}
END_TEST

START_TEST(a_leader_that_does_not_sync_is_removed)
{
    struct group_member *leader, *follower;
    begin_two(&leader, &follower);
    ck_assert(member_send_sync(follower));
    for (int i = 0; i < 29; i++) {
        sim_advance(&sim, 1000);
        ck_assert_int_eq(member_heartbeat(leader), ERR_NONE);
    }
    ck_assert(waits_in_sync(follower));
    sim_advance(&sim, 1000);
    ck_assert_int_eq(synced(follower), ERR_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(join(follower), ERR_NONE);
    ck_assert(follower->is_leader);
}
END_TEST

START_TEST(new_members_whose_connection_is_gone_are_forgotten)
{
    form(2);
    one.rebalance_timeout_ms = two.rebalance_timeout_ms = 1000000;
    ck_assert(member_send_join(&one));
    ck_assert(member_send_join(&two));
    members_settle(all, 2);
    three.version = 3; /* joins at once, without an id of its own */
    ck_assert(member_send_join(&three));
    ck_assert(waits_in_join(&three));
    for (int i = 0; i < 299; i++) {
        sim_advance(&sim, 1000);
        ck_assert_int_eq(member_heartbeat(&one), ERR_REBALANCE_IN_PROGRESS);
        ck_assert_int_eq(member_heartbeat(&two), ERR_REBALANCE_IN_PROGRESS);
    }
    ck_assert(waits_in_join(&three));
    sim_advance(&sim, 1000);
    ck_assert_int_eq(joined(&three), ERR_UNKNOWN_MEMBER_ID);
}
END_TEST

START_TEST(connections_that_go_while_they_wait_hold_nothing_up)
{
    form(2);
    ck_assert(member_send_join(&one));
    ck_assert(waits_in_join(&one));
    member_close(&one);
    ck_assert(member_send_join(&two));
    ck_assert_int_eq(joined(&two), ERR_NONE); /* both have joined */
    ck_assert(member_send_sync(&two));
    ck_assert(waits_in_sync(&two)); /* the leader is the other one */
    for (int i = 0; i < 3; i++)
        sim_advance(&sim, 3400);
    ck_assert_int_eq(synced(&two), ERR_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(join(&two), ERR_NONE);
    ck_assert(two.is_leader);
    sim_connect(&sim, &one.client);
}
END_TEST

/* -- settings ---------------------------------------------------------------------------------- */

START_TEST(the_first_generation_waits_for_others)
{
    open_with("group.initial.rebalance.delay.ms=3000\n");
    member_begin_join(&one);
    ck_assert(waits_in_join(&one));
    sim_advance(&sim, 2999);
    member_begin_join(&two);
    sim_advance(&sim, 1);
    ck_assert(waits_in_join(&one)); /* a newcomer: once more */
    sim_advance(&sim, 2998);
    member_begin_join(&three);
    sim_advance(&sim, 1);
    ck_assert(waits_in_join(&one));
    sim_advance(&sim, 2998);
    ck_assert(waits_in_join(&one));
    sim_advance(&sim, 1); /* nobody has come for three seconds */
    members_settle(all, 3);
    ck_assert_int_eq(one.generation, 1);
    teardown();
}
END_TEST

START_TEST(the_wait_for_others_ends_with_the_rebalance_timeout)
{
    open_with("group.initial.rebalance.delay.ms=3000\n");
    one.rebalance_timeout_ms = two.rebalance_timeout_ms = three.rebalance_timeout_ms = 4000;
    member_begin_join(&one);
    sim_advance(&sim, 2000);
    member_begin_join(&two);
    sim_advance(&sim, 1000);
    member_begin_join(&three);
    sim_advance(&sim, 999);
    ck_assert(waits_in_join(&one));
    sim_advance(&sim, 1);
    members_settle(all, 3);
    teardown();
}
END_TEST

START_TEST(group_max_size_holds)
{
    open_with("group.max.size=2\n");
    form(2);
    three.version = 3;
    ck_assert_int_eq(join(&three), ERR_GROUP_MAX_SIZE_REACHED);
    ck_assert_int_eq(member_heartbeat(&one), ERR_NONE);
    ck_assert(member_send_join(&one)); /* in the join phase those count who have come */
    ck_assert(member_send_join(&three));
    ck_assert(waits_in_join(&three));
    ck_assert_int_eq(join(&two), ERR_GROUP_MAX_SIZE_REACHED);
    ck_assert_int_eq(joined(&one), ERR_NONE);
    ck_assert_int_eq(joined(&three), ERR_NONE);
    teardown();
}
END_TEST

/* -- many -------------------------------------------------------------------------------------- */

START_TEST(a_thousand_members_settle)
{
    enum { COUNT = 1000 };
    struct group_member *members = calloc(COUNT, sizeof *members);
    struct group_member **list = calloc(COUNT, sizeof(struct group_member *));
    open_with("group.initial.rebalance.delay.ms=3000\n");
    for (int i = 0; i < COUNT; i++) {
        list[i] = &members[i];
        member_open(&sim, &members[i], i, 9);
        member_begin_join(&members[i]);
    }
    int64_t begin_ns = clock_mono_ns(clock_real());
    sim_advance(&sim, 3000);
    sim_advance(&sim, 3000);
    members_settle(list, COUNT);
    printf("1,000 members: %.1f ms from the end of the wait to the last assignment\n",
           (double)(clock_mono_ns(clock_real()) - begin_ns) / 1e6);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(member_heartbeat(list[i]), ERR_NONE);
    for (int i = 0; i < COUNT; i++)
        member_close(list[i]);
    sim_advance(&sim, 10000); /* all are silent now */
    sim_advance(&sim, 30000);
    ck_assert(is_state("Empty"));
    free(members);
    free(list);
    teardown();
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("protocol"), *others = tcase_create("with settings");
    tcase_add_test(tests, a_pending_member_holds_up_the_join_phase_until_it_comes);
    tcase_add_test(tests, a_pending_member_is_forgotten_after_its_session);
    tcase_add_test(tests, a_pending_member_may_leave);
    tcase_add_test(tests, pending_members_are_limited);
    tcase_add_test(tests, silent_members_go_and_those_who_speak_stay);
    tcase_add_test(tests, who_waits_is_alive);
    tcase_add_test(tests, who_does_not_join_in_time_is_removed);
    tcase_add_test(tests, another_leads_when_the_leader_does_not_come);
    tcase_add_test(tests, who_does_not_sync_in_time_is_removed);
    tcase_add_test(tests, a_leader_that_does_not_sync_is_removed);
    tcase_add_test(tests, new_members_whose_connection_is_gone_are_forgotten);
    tcase_add_test(tests, connections_that_go_while_they_wait_hold_nothing_up);
    tcase_add_test(others, the_first_generation_waits_for_others);
    tcase_add_test(others, the_wait_for_others_ends_with_the_rebalance_timeout);
    tcase_add_test(others, group_max_size_holds);
    tcase_add_test(others, a_thousand_members_settle);
    return run_case("classic time", tests, others);
}
