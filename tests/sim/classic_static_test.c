/* Static members of classic groups (KIP-345), and what the log keeps of a group. */
#include <stdio.h>

#include "codec/leave_group.h"
#include "tests/sim/classic_rig.h"

/* -- static members (KIP-345) ------------------------------------------------------------------ */

static void form_static(void)
{
    one.instance = "first";
    two.instance = "second";
    form(2);
    ck_assert(one.is_leader);
}

/* The same instance, started anew. */
static void start_anew(struct group_member *member, const struct group_member *old, int16_t version)
{
    member_copy(member, old);
    member->id[0] = '\0';
    member->version = version;
}

START_TEST(static_members_need_no_id_first)
{
    form_static();
    ck_assert_int_eq(strncmp(one.id, "first-", 6), 0);
    struct describe_groups_response_group group;
    describe(&group);
    ck_assert(slice_equal_string(group.members[0].group_instance_id, "first"));
}
END_TEST

START_TEST(a_follower_comes_back_without_a_rebalance)
{
    struct group_member again;
    int16_t error_code;
    slice assignment;
    form_static();
    start_anew(&again, &two, 9);
    ck_assert_int_eq(join(&again), ERR_NONE);
    ck_assert_int_eq(again.generation, one.generation);
    ck_assert_str_ne(again.id, two.id);
    ck_assert(!again.joined.skip_assignment);
    ck_assert(slice_equal_string(again.joined.leader, one.id));
    ck_assert(member_send_sync(&again));
    ck_assert(member_receive_sync(&again, &error_code, &assignment));
    ck_assert_int_eq(error_code, ERR_NONE);
    char expected[MEMBER_TEXT_SIZE + 16];
    snprintf(expected, sizeof expected, "%s@%d", two.id, two.generation);
    ck_assert(slice_equal_string(assignment, expected)); /* what its old self had */
    ck_assert_int_eq(member_heartbeat(&one), ERR_NONE);
    ck_assert_int_eq(member_heartbeat(&again), ERR_NONE);
    ck_assert_int_eq(member_heartbeat(&two), ERR_FENCED_INSTANCE_ID);
    ck_assert_int_eq(member_leave(&two), ERR_FENCED_INSTANCE_ID);
    ck_assert(member_send_sync(&two));
    ck_assert_int_eq(synced(&two), ERR_FENCED_INSTANCE_ID);
    ck_assert_int_eq(join(&two), ERR_FENCED_INSTANCE_ID);
    member_close(&again);
}
END_TEST

START_TEST(a_leader_comes_back_and_does_not_assign)
{
    struct group_member again;
    form_static();
    start_anew(&again, &one, 9);
    ck_assert_int_eq(join(&again), ERR_NONE);
    ck_assert(again.joined.skip_assignment);
    ck_assert(again.is_leader);
    ck_assert_int_eq(again.joined.members_count, 2);
    member_close(&again);
    start_anew(&again, &one, 8); /* cannot skip: it is told that its old self leads */
    char leader[MEMBER_TEXT_SIZE];
    struct describe_groups_response_group group;
    describe(&group);
    snprintf(leader, sizeof leader, "%.*s", (int)group.members[0].member_id.size,
             (const char *)group.members[0].member_id.data);
    ck_assert_int_eq(join(&again), ERR_NONE);
    ck_assert(slice_equal_string(again.joined.leader, leader));
    ck_assert(!again.is_leader);
    ck_assert_int_eq(again.joined.members_count, 0);
    ck_assert_int_eq(member_heartbeat(&two), ERR_NONE);
    member_close(&again);
}
END_TEST

START_TEST(who_comes_back_with_another_protocol_begins_a_rebalance)
{
    struct group_member again;
    form_static();
    start_anew(&again, &two, 9);
    again.protocols[0] = again.protocols[1];
    again.protocol_count = 1;
    ck_assert(member_send_join(&again));
    ck_assert(waits_in_join(&again));
    ck_assert_int_eq(member_heartbeat(&one), ERR_REBALANCE_IN_PROGRESS);
    ck_assert(member_send_join(&one));
    ck_assert_int_eq(joined(&one), ERR_NONE);
    ck_assert(strcmp(one.protocol, "roundrobin") == 0);
    member_close(&again);
}
END_TEST

START_TEST(who_comes_back_while_the_leader_assigns_begins_a_rebalance)
{
    struct group_member again, *leader, *follower;
    one.instance = "first";
    two.instance = "second";
    begin_two(&leader, &follower);
    ck_assert(member_send_sync(&two));
    ck_assert(waits_in_sync(&two));
    start_anew(&again, &two, 9);
    ck_assert(member_send_join(&again));
    ck_assert_int_eq(synced(&two), ERR_FENCED_INSTANCE_ID);
    ck_assert(waits_in_join(&again));
    ck_assert(member_send_join(&one));
    ck_assert_int_eq(joined(&one), ERR_NONE);
    ck_assert_int_eq(joined(&again), ERR_NONE);
    member_close(&again);
}
END_TEST

START_TEST(a_join_that_waits_is_fenced_by_the_next_self)
{
    struct group_member again;
    form_static();
    ck_assert(member_send_join(&one));
    ck_assert(waits_in_join(&one));
    start_anew(&again, &one, 9);
    ck_assert(member_send_join(&again));
    ck_assert_int_eq(joined(&one), ERR_FENCED_INSTANCE_ID);
    ck_assert(waits_in_join(&again));
    ck_assert(member_send_join(&two));
    ck_assert_int_eq(joined(&two), ERR_NONE);
    ck_assert_int_eq(joined(&again), ERR_NONE);
    member_close(&again);
}
END_TEST

START_TEST(a_static_member_keeps_its_place_until_its_session_ends)
{
    one.session_timeout_ms = two.session_timeout_ms = 100000;
    form_static();
    ck_assert(member_send_join(&one));
    sim_advance(&sim, 30000); /* the rebalance timeout: the other one stays in the group */
    ck_assert_int_eq(joined(&one), ERR_NONE);
    ck_assert_int_eq(one.joined.members_count, 2);
}
END_TEST

START_TEST(an_administrator_removes_by_instance)
{
    struct leave_group_request request;
    struct leave_group_request_member members[5];
    struct leave_group_response response;
    form_static();
    leave_group_request_init(&request);
    for (int i = 0; i < 5; i++) {
        leave_group_request_member_init(&members[i]);
        members[i].member_id = SLICE_LITERAL("");
    }
    members[0].group_instance_id = SLICE_LITERAL("second");
    members[1].group_instance_id = SLICE_LITERAL("second"); /* twice */
    members[2].group_instance_id = SLICE_LITERAL("nobody's");
    members[3].member_id = SLICE_LITERAL("stranger"); /* not who the instance is */
    members[3].group_instance_id = SLICE_LITERAL("first");
    members[4].member_id = SLICE_LITERAL("stranger");
    request.group_id = SLICE_LITERAL("group");
    request.members = members;
    request.members_count = 5;
    ck_assert(sim_call(&three.client, 13, 5, &request, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
    ck_assert_int_eq(response.members[0].error_code, ERR_NONE);
    ck_assert_int_eq(response.members[1].error_code, ERR_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(response.members[2].error_code, ERR_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(response.members[3].error_code, ERR_FENCED_INSTANCE_ID);
    ck_assert_int_eq(response.members[4].error_code, ERR_UNKNOWN_MEMBER_ID);
    ck_assert(slice_equal_string(response.members[2].group_instance_id, "nobody's"));
    ck_assert_int_eq(member_heartbeat(&two), ERR_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(member_heartbeat(&one), ERR_REBALANCE_IN_PROGRESS);
}
END_TEST

/* -- what the log keeps ------------------------------------------------------------------------ */

static void restart(void)
{
    for (int i = 0; i < 3; i++)
        member_close(all[i]);
    sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
    for (int i = 0; i < 3; i++)
        sim_connect(&sim, &all[i]->client);
    sim_settle(&sim);
}

START_TEST(members_go_on_after_a_power_cut)
{
    int16_t error_code;
    slice assignment;
    two.instance = "second";
    form(2);
    restart();
    ck_assert(is_state("Stable"));
    for (int i = 0; i < 2; i++) {
        char expected[MEMBER_TEXT_SIZE + 16];
        ck_assert_int_eq(member_heartbeat(all[i]), ERR_NONE);
        strcpy(all[i]->protocol, "range");
        all[i]->is_leader = false;
        ck_assert(member_send_sync(all[i]));
        ck_assert(member_receive_sync(all[i], &error_code, &assignment));
        ck_assert_int_eq(error_code, ERR_NONE);
        snprintf(expected, sizeof expected, "%s@%d", all[i]->id, all[i]->generation);
        ck_assert(slice_equal_string(assignment, expected));
    }
    ck_assert(member_send_join(&one)); /* it leads still: a rebalance */
    ck_assert(waits_in_join(&one));
    ck_assert(member_send_join(&two));
    members_settle(all, 2);
    ck_assert_int_eq(one.generation, 3);
}
END_TEST

START_TEST(sessions_begin_anew_with_the_broker)
{
    form(2);
    sim_advance(&sim, 9000);
    restart();
    sim_advance(&sim, 9000);
    ck_assert_int_eq(member_heartbeat(&one), ERR_NONE);
    sim_advance(&sim, 1000);
    ck_assert_int_eq(member_heartbeat(&one), ERR_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(member_heartbeat(&two), ERR_UNKNOWN_MEMBER_ID);
}
END_TEST

START_TEST(an_empty_group_keeps_its_generation)
{
    form(2);
    int32_t generation = one.generation;
    ck_assert_int_eq(member_leave(&one), ERR_NONE);
    ck_assert_int_eq(member_heartbeat(&two), ERR_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(member_leave(&two), ERR_NONE);
    ck_assert(is_state("Empty"));
    restart();
    ck_assert(is_state("Empty"));
    one.id[0] = '\0';
    member_begin_join(&one);
    ck_assert_int_eq(joined(&one), ERR_NONE);
    ck_assert_int_eq(one.generation, generation + 2); /* one when it became empty, and this one */
}
END_TEST

START_TEST(a_group_that_expires_becomes_empty)
{
    form(1);
    sim_advance(&sim, 10000);
    ck_assert(is_state("Empty"));
    restart();
    ck_assert(is_state("Empty"));
    ck_assert_int_eq(member_heartbeat(&one), ERR_UNKNOWN_MEMBER_ID);
}
END_TEST

START_TEST(a_replaced_static_member_is_kept)
{
    struct group_member again;
    form_static();
    start_anew(&again, &two, 9);
    ck_assert_int_eq(join(&again), ERR_NONE);
    member_close(&again);
    restart();
    sim_connect(&sim, &again.client);
    ck_assert_int_eq(member_heartbeat(&again), ERR_NONE);
    ck_assert_int_eq(member_heartbeat(&two), ERR_FENCED_INSTANCE_ID);
    ck_assert_int_eq(member_heartbeat(&one), ERR_NONE);
    member_close(&again);
}
END_TEST

START_TEST(an_assignment_that_cannot_be_kept_is_not_handed_out)
{
    static uint8_t bytes[600000];
    one.protocols[0].metadata = two.protocols[0].metadata =
        slice_of(bytes, sizeof bytes); /* together more than 1 MB */
    struct group_member *leader, *follower;
    begin_two(&leader, &follower);
    ck_assert(member_send_sync(follower));
    ck_assert(waits_in_sync(follower));
    ck_assert(member_send_sync(leader));
    ck_assert_int_eq(synced(leader), ERR_UNKNOWN_SERVER_ERROR);
    ck_assert_int_eq(synced(follower), ERR_UNKNOWN_SERVER_ERROR);
    ck_assert_int_eq(member_heartbeat(leader), ERR_REBALANCE_IN_PROGRESS);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("protocol"), *others = tcase_create("with settings");
    tcase_add_test(tests, static_members_need_no_id_first);
    tcase_add_test(tests, a_follower_comes_back_without_a_rebalance);
    tcase_add_test(tests, a_leader_comes_back_and_does_not_assign);
    tcase_add_test(tests, who_comes_back_with_another_protocol_begins_a_rebalance);
    tcase_add_test(tests, who_comes_back_while_the_leader_assigns_begins_a_rebalance);
    tcase_add_test(tests, a_join_that_waits_is_fenced_by_the_next_self);
    tcase_add_test(tests, a_static_member_keeps_its_place_until_its_session_ends);
    tcase_add_test(tests, an_administrator_removes_by_instance);
    tcase_add_test(tests, members_go_on_after_a_power_cut);
    tcase_add_test(tests, sessions_begin_anew_with_the_broker);
    tcase_add_test(tests, an_empty_group_keeps_its_generation);
    tcase_add_test(tests, a_group_that_expires_becomes_empty);
    tcase_add_test(tests, a_replaced_static_member_is_kept);
    tcase_add_test(tests, an_assignment_that_cannot_be_kept_is_not_handed_out);
    return run_case("classic static", tests, others);
}
