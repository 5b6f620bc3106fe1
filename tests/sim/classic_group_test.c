/* The classic group protocol as its clients see it (facts: protocol 4.7): joining, syncing, joining again. */
#include <stdio.h>

#include "tests/sim/classic_rig.h"

/* -- one member, in every version -------------------------------------------------------------- */

START_TEST(every_version_has_its_whole_life)
{
    int16_t version = (int16_t)_i;
    struct group_member member;
    open_with("");
    member_open(&sim, &member, 1, version);
    member_begin_join(&member);
    ck_assert_int_eq(joined(&member), ERR_NONE);
    ck_assert_int_eq(member.generation, 1);
    ck_assert(member.is_leader);
    ck_assert_int_eq(member.joined.members_count, 1);
    ck_assert(slice_equal_string(member.joined.members[0].metadata, "member 1"));
    ck_assert(slice_equal_string(member.joined.protocol_name, "range"));
    if (version >= 7)
        ck_assert(slice_equal_string(member.joined.protocol_type, "consumer"));
    ck_assert_int_eq(strncmp(member.id, "sim-", 4), 0);
    ck_assert_uint_eq(strlen(member.id), 4 + 36);
    ck_assert(member_send_sync(&member));
    int16_t error_code;
    slice assignment;
    char expected[MEMBER_TEXT_SIZE + 16];
    ck_assert(member_receive_sync(&member, &error_code, &assignment));
    snprintf(expected, sizeof expected, "%s@1", member.id);
    ck_assert_int_eq(error_code, ERR_NONE);
    ck_assert(slice_equal_string(assignment, expected));
    ck_assert_int_eq(member_heartbeat(&member), ERR_NONE);
    ck_assert(is_state("Stable"));
    ck_assert_int_eq(member_leave(&member), ERR_NONE);
    ck_assert(is_state("Empty"));
    ck_assert_int_eq(member_heartbeat(&member), ERR_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(member_leave(&member), ERR_UNKNOWN_MEMBER_ID);
    member_close(&member);
    teardown();
}
END_TEST

START_TEST(version_0_has_the_session_timeout_for_rebalances)
{
    one.version = two.version = 0;
    one.rebalance_timeout_ms = 600000; /* is not sent */
    one.session_timeout_ms = 20000;
    two.session_timeout_ms = 6000;
    member_begin_join(&one);
    ck_assert_int_eq(joined(&one), ERR_NONE);
    ck_assert(member_send_sync(&one));
    ck_assert_int_eq(synced(&one), ERR_NONE);
    member_begin_join(&two);
    ck_assert(waits_in_join(&two));
    for (int i = 0; i < 19; i++) {
        sim_advance(&sim, 1000);
        ck_assert_int_eq(member_heartbeat(&one), ERR_REBALANCE_IN_PROGRESS);
    }
    ck_assert(waits_in_join(&two));
    sim_advance(&sim, 1000);
    ck_assert_int_eq(joined(&two), ERR_NONE);
    ck_assert_int_eq(two.generation, 2);
    ck_assert_int_eq(member_heartbeat(&one), ERR_UNKNOWN_MEMBER_ID);
}
END_TEST

/* -- refused ----------------------------------------------------------------------------------- */

static void change_session_below(struct group_member *member)
{
    member->session_timeout_ms = 5999;
}

static void change_session_above(struct group_member *member)
{
    member->session_timeout_ms = 1800001;
}

static void change_session_zero(struct group_member *member)
{
    member->session_timeout_ms = 0;
}

static void change_group(struct group_member *member)
{
    member->group = "";
}

static void change_id(struct group_member *member)
{
    strcpy(member->id, "stranger");
}

static void change_no_type(struct group_member *member)
{
    member->type = "";
}

static void change_no_protocols(struct group_member *member)
{
    member->protocol_count = 0;
}

static void change_other_type(struct group_member *member)
{
    member->type = "connect";
}

static void change_other_protocol(struct group_member *member)
{
    member->protocols[0].name = SLICE_LITERAL("sticky");
    member->protocol_count = 1;
}

static void change_unknown_instance(struct group_member *member)
{
    strcpy(member->id, one.id);
    member->instance = "nobody's";
}

static void change_stranger_with_instance(struct group_member *member)
{
    strcpy(member->id, "stranger");
    member->instance = "nobody's";
}

static void change_large(struct group_member *member)
{
    static uint8_t bytes[(1 << 20) + 1];
    member->protocols[1].metadata = slice_of(bytes, sizeof bytes);
}

static void change_long_instance(struct group_member *member)
{
    static char name[2000];
    memset(name, 'i', sizeof name - 1);
    member->instance = name;
}

static const struct {
    const char *what;
    void (*change)(struct group_member *member);
    int16_t error_code;
} refusals[] = {
    { "a session shorter than group.min.session.timeout.ms", change_session_below,
      ERR_INVALID_SESSION_TIMEOUT },
    { "a session longer than group.max.session.timeout.ms", change_session_above,
      ERR_INVALID_SESSION_TIMEOUT },
    { "a session of nothing", change_session_zero, ERR_INVALID_SESSION_TIMEOUT },
    { "a group without a name", change_group, ERR_INVALID_GROUP_ID },
    { "a member that the group does not know", change_id, ERR_UNKNOWN_MEMBER_ID },
    { "no protocol type", change_no_type, ERR_INCONSISTENT_GROUP_PROTOCOL },
    { "no protocol", change_no_protocols, ERR_INCONSISTENT_GROUP_PROTOCOL },
    { "another type than the group's", change_other_type, ERR_INCONSISTENT_GROUP_PROTOCOL },
    { "a protocol that nobody else has", change_other_protocol, ERR_INCONSISTENT_GROUP_PROTOCOL },
    { "a member's id with an instance that is unknown", change_unknown_instance, ERR_UNKNOWN_MEMBER_ID },
    { "a stranger with an instance that is unknown", change_stranger_with_instance, ERR_UNKNOWN_MEMBER_ID },
    { "more than a member may bring", change_large, ERR_GROUP_MAX_SIZE_REACHED },
    { "an instance id without bounds", change_long_instance, ERR_INVALID_REQUEST },
};

START_TEST(joins_are_refused)
{
    form(1);
    refusals[_i].change(&two);
    int16_t got = join(&two);
    ck_assert_msg(got == refusals[_i].error_code, "%s: %s", refusals[_i].what, error_name(got));
    ck_assert_int_eq(two.joined.generation_id, -1);
    ck_assert_int_eq(two.joined.members_count, 0);
    ck_assert_int_eq(member_heartbeat(&one), ERR_NONE); /* nothing has come of it */
}
END_TEST

START_TEST(unknown_groups_have_no_members)
{
    strcpy(one.id, "stranger");
    ck_assert_int_eq(join(&one), ERR_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(member_heartbeat(&one), ERR_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(member_leave(&one), ERR_UNKNOWN_MEMBER_ID);
    strcpy(one.protocol, "range");
    ck_assert(member_send_sync(&one));
    ck_assert_int_eq(synced(&one), ERR_UNKNOWN_MEMBER_ID);
    ck_assert(is_state("Dead"));
}
END_TEST

/* Kafka has no coordinator either before somebody looks for one. */
START_TEST(there_is_no_coordinator_before_somebody_looks_for_one)
{
    sim_open(&sim, 1, "");
    member_open(&sim, &one, 1, 4);
    ck_assert_int_eq(join(&one), ERR_NOT_COORDINATOR);
    ck_assert_int_eq(member_heartbeat(&one), ERR_NOT_COORDINATOR);
    member_close(&one);
    sim_close(&sim);
}
END_TEST

START_TEST(wrong_generations_and_strangers_are_told)
{
    form(2);
    struct group_member wrong;
    member_copy(&wrong, &one);
    wrong.generation++;
    ck_assert_int_eq(member_heartbeat(&wrong), ERR_ILLEGAL_GENERATION);
    ck_assert(member_send_sync(&wrong));
    ck_assert_int_eq(synced(&wrong), ERR_ILLEGAL_GENERATION);
    wrong.generation--;
    wrong.instance = "nobody's";
    ck_assert_int_eq(member_heartbeat(&wrong), ERR_UNKNOWN_MEMBER_ID);
    wrong.instance = NULL;
    wrong.type = "connect";
    strcpy(wrong.protocol, "range");
    ck_assert(member_send_sync(&wrong));
    ck_assert_int_eq(synced(&wrong), ERR_INCONSISTENT_GROUP_PROTOCOL);
    wrong.type = "consumer";
    strcpy(wrong.protocol, "roundrobin");
    ck_assert(member_send_sync(&wrong));
    ck_assert_int_eq(synced(&wrong), ERR_INCONSISTENT_GROUP_PROTOCOL);
    wrong.type = NULL; /* which v5 does not allow */
    ck_assert(member_send_sync(&wrong));
    ck_assert_int_eq(synced(&wrong), ERR_INCONSISTENT_GROUP_PROTOCOL);
    wrong.type = "consumer";
    strcpy(wrong.protocol, "range");
    wrong.is_leader = false;
    ck_assert(member_send_sync(&wrong)); /* the control */
    ck_assert_int_eq(synced(&wrong), ERR_NONE);
    member_close(&wrong);
}
END_TEST

/* -- several members --------------------------------------------------------------------------- */

START_TEST(three_members_settle)
{
    form(3);
    ck_assert(is_state("Stable"));
    ck_assert(one.is_leader);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(member_heartbeat(all[i]), ERR_NONE);
    struct describe_groups_response_group group;
    describe(&group);
    ck_assert_int_eq(group.members_count, 3);
    ck_assert(slice_equal_string(group.protocol_data, "range"));
    ck_assert(slice_equal_string(group.members[0].client_id, "sim"));
    ck_assert(slice_equal_string(group.members[2].member_metadata, "member 3"));
    ck_assert_uint_gt(group.members[2].member_assignment.size, 0);
    ck_assert_int_eq(group.members[2].client_host.data[0], '/');
}
END_TEST

START_TEST(a_newcomer_has_all_join_again)
{
    form(2);
    member_begin_join(&three);
    ck_assert(waits_in_join(&three));
    ck_assert_int_eq(member_heartbeat(&one), ERR_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(member_heartbeat(&two), ERR_REBALANCE_IN_PROGRESS);
    ck_assert(member_send_join(&one));
    ck_assert(waits_in_join(&one));
    ck_assert(member_send_join(&two));
    members_settle(all, 3);
    ck_assert_int_eq(three.generation, 3);
}
END_TEST

START_TEST(members_that_the_leader_forgets_have_empty_assignments)
{
    member_begin_join(&one);
    ck_assert_int_eq(joined(&one), ERR_NONE);
    one.roster_count = 0;
    ck_assert(member_send_sync(&one));
    int16_t error_code;
    slice assignment;
    ck_assert(member_receive_sync(&one, &error_code, &assignment));
    ck_assert_int_eq(error_code, ERR_NONE);
    ck_assert(!slice_is_null(assignment));
    ck_assert_uint_eq(assignment.size, 0);
}
END_TEST

START_TEST(followers_wait_for_the_leader)
{
    struct group_member *leader, *follower;
    begin_two(&leader, &follower);
    ck_assert(member_send_sync(follower));
    ck_assert(waits_in_sync(follower));
    ck_assert_int_eq(member_heartbeat(leader), ERR_NONE);
    ck_assert(member_send_sync(leader));
    ck_assert_int_eq(synced(leader), ERR_NONE);
    ck_assert_int_eq(synced(follower), ERR_NONE);
}
END_TEST

START_TEST(a_sync_that_waits_learns_of_the_next_rebalance)
{
    struct group_member *leader, *follower;
    begin_two(&leader, &follower);
    ck_assert(member_send_sync(follower));
    ck_assert(waits_in_sync(follower));
    member_begin_join(&three);
    ck_assert_int_eq(synced(follower), ERR_REBALANCE_IN_PROGRESS);
    ck_assert(waits_in_join(&three));
}
END_TEST

START_TEST(the_most_wanted_protocol_is_chosen)
{
    for (int i = 1; i < 3; i++) { /* two of three prefer roundrobin; range, which all have, comes second */
        struct join_group_request_protocol first = all[i]->protocols[0];
        all[i]->protocols[0] = all[i]->protocols[1];
        all[i]->protocols[1] = first;
    }
    two.protocols[2] = two.protocols[1];
    two.protocols[2].name = SLICE_LITERAL("sticky"); /* what the others do not have counts nothing */
    two.protocol_count = 3;
    form(3);
    ck_assert(strcmp(one.protocol, "roundrobin") == 0);
}
END_TEST

/* -- joining again ----------------------------------------------------------------------------- */

START_TEST(a_follower_without_news_is_told_of_the_generation_it_is_in)
{
    form(2);
    ck_assert_int_eq(join(&two), ERR_NONE);
    ck_assert_int_eq(two.generation, one.generation);
    ck_assert_int_eq(two.joined.members_count, 0);
    ck_assert(slice_equal_string(two.joined.leader, one.id));
    ck_assert_int_eq(member_heartbeat(&one), ERR_NONE);
    ck_assert(member_send_sync(&two));
    ck_assert_int_eq(synced(&two), ERR_NONE);
}
END_TEST

START_TEST(a_follower_with_news_begins_a_rebalance)
{
    form(2);
    two.protocols[0].metadata = SLICE_LITERAL("other topics");
    ck_assert(member_send_join(&two));
    ck_assert(waits_in_join(&two));
    ck_assert(member_send_join(&one));
    members_settle(all, 2);
    ck_assert_int_eq(one.generation, 3);
}
END_TEST

START_TEST(a_leader_that_joins_again_begins_a_rebalance)
{
    form(2);
    ck_assert(member_send_join(&one));
    ck_assert(waits_in_join(&one));
    ck_assert_int_eq(member_heartbeat(&two), ERR_REBALANCE_IN_PROGRESS);
}
END_TEST

START_TEST(a_lost_answer_is_given_again)
{
    member_begin_join(&one);
    ck_assert_int_eq(joined(&one), ERR_NONE);
    ck_assert_int_eq(join(&one), ERR_NONE); /* before it synced */
    ck_assert_int_eq(one.generation, 1);
    ck_assert_int_eq(one.joined.members_count, 1);
    one.protocols[0].metadata = SLICE_LITERAL("other topics");
    ck_assert_int_eq(join(&one), ERR_NONE);
    ck_assert_int_eq(one.generation, 2);
}
END_TEST

START_TEST(a_join_from_a_new_connection_takes_the_place_of_the_old_one)
{
    form(2);
    ck_assert(member_send_join(&one));
    ck_assert(waits_in_join(&one));
    struct group_member again;
    member_copy(&again, &one);
    ck_assert(member_send_join(&again));
    ck_assert_int_eq(joined(&one), ERR_REBALANCE_IN_PROGRESS);
    ck_assert(member_send_join(&two));
    ck_assert_int_eq(joined(&again), ERR_NONE);
    ck_assert_int_eq(joined(&two), ERR_NONE);
    member_close(&again);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("protocol"), *others = tcase_create("with settings");
    tcase_add_loop_test(others, every_version_has_its_whole_life, 0, 10);
    tcase_add_test(others, there_is_no_coordinator_before_somebody_looks_for_one);
    tcase_add_test(tests, version_0_has_the_session_timeout_for_rebalances);
    tcase_add_loop_test(tests, joins_are_refused, 0, sizeof refusals / sizeof *refusals);
    tcase_add_test(tests, unknown_groups_have_no_members);
    tcase_add_test(tests, wrong_generations_and_strangers_are_told);
    tcase_add_test(tests, three_members_settle);
    tcase_add_test(tests, a_newcomer_has_all_join_again);
    tcase_add_test(tests, members_that_the_leader_forgets_have_empty_assignments);
    tcase_add_test(tests, followers_wait_for_the_leader);
    tcase_add_test(tests, a_sync_that_waits_learns_of_the_next_rebalance);
    tcase_add_test(tests, the_most_wanted_protocol_is_chosen);
    tcase_add_test(tests, a_follower_without_news_is_told_of_the_generation_it_is_in);
    tcase_add_test(tests, a_follower_with_news_begins_a_rebalance);
    tcase_add_test(tests, a_leader_that_joins_again_begins_a_rebalance);
    tcase_add_test(tests, a_lost_answer_is_given_again);
    tcase_add_test(tests, a_join_from_a_new_connection_takes_the_place_of_the_old_one);
    return run_case("classic group", tests, others);
}
