/* Groups that change their protocol while they live: a classic member next to one of the consumer protocol,
 * upgrade and downgrade, and what a restart makes of it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/describe_groups.h"
#include "codec/metadata.h"
#include "protocol/errors.h"
#include "tests/support/consumer_player.h"
#include "tests/support/group_member.h"

enum { KEY_METADATA = 3, KEY_DESCRIBE_GROUPS = 15, PARTITIONS = 4 };

static struct sim sim;
static struct sim_client admin;
static struct group_member old, other;
static struct consumer_player fresh;

/* Subscription of version 1: topic "orders", no user data, nothing owned. */
static slice subscription(void)
{
    return SLICE_LITERAL("\0\1\0\0\0\1\0\6orders\xff\xff\xff\xff\0\0\0\0");
}

static uuid make_topic(void)
{
    struct metadata_request request;
    struct metadata_response response;
    struct metadata_request_topic topic;
    metadata_request_init(&request);
    metadata_request_topic_init(&topic);
    topic.name = SLICE_LITERAL("orders");
    request.topics = &topic;
    request.topics_count = 1;
    request.allow_auto_topic_creation = true;
    ck_assert(sim_call(&admin, KEY_METADATA, 12, &request, &response));
    sim_settle(&sim);
    ck_assert(sim_call(&admin, KEY_METADATA, 12, &request, &response));
    return response.topics[0].topic_id;
}

static void open_member(struct group_member *member, int number)
{
    member_open(&sim, member, number, 9);
    member->protocols[0].metadata = member->protocols[1].metadata = subscription();
}

static void open_with(const char *policy)
{
    char settings[200];
    snprintf(settings, sizeof settings, "num.partitions=%d\n%sgroup.consumer.migration.policy=%s\n",
             PARTITIONS, strstr(policy, "delay") ? "" : "group.initial.rebalance.delay.ms=0\n", policy);
    sim_open(&sim, 1, settings);
    sim_connect(&sim, &admin);
    make_topic();
    open_member(&old, 1);
    open_member(&other, 2);
    player_init(&fresh, 1);
    player_connect(&sim, &fresh);
    fresh.names[0] = "orders";
    fresh.name_count = 1;
    member_find_coordinator(&old);
}

static void setup(void)
{
    open_with("bidirectional");
}

static void teardown(void)
{
    member_close(&old);
    member_close(&other);
    player_disconnect(&fresh);
    sim_disconnect(&admin);
    sim_close(&sim);
}

/* Kafka's assignment of version 1: all partitions of orders. */
static slice whole_assignment(void)
{
    return SLICE_LITERAL("\0\1\0\0\0\1\0\6orders\0\0\0\4\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0\3\xff\xff\xff\xff");
}

/* One classic member that leads, and reads all. */
static void make_classic_group(slice assignment)
{
    int16_t error_code;
    struct sync_group_request request;
    struct sync_group_request_assignment share;
    struct sync_group_response response;
    member_begin_join(&old);
    ck_assert(member_receive_join(&old, &error_code));
    ck_assert_int_eq(error_code, ERR_NONE);
    sync_group_request_init(&request);
    sync_group_request_assignment_init(&share);
    request.group_id = SLICE_LITERAL("group");
    request.generation_id = old.generation;
    request.member_id = share.member_id = slice_of_string(old.id);
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocol_name = slice_of_string(old.protocol);
    share.assignment = assignment;
    request.assignments = &share;
    request.assignments_count = 1;
    ck_assert(sim_call(&old.client, 14, 5, &request, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
    ck_assert_int_eq(member_heartbeat(&old), ERR_NONE);
}

static int16_t join(struct group_member *member)
{
    int16_t error_code;
    member_begin_join(member);
    ck_assert_msg(member_receive_join(member, &error_code), "the join waits");
    return error_code;
}

static int16_t refused_join(struct group_member *member)
{
    int16_t error_code = -2;
    ck_assert(member_send_join(member));
    ck_assert(member_receive_join(member, &error_code));
    return error_code;
}

/* How many partitions a SyncGroup gives it. */
static int partitions_of(struct group_member *member)
{
    int16_t error_code;
    slice assignment;
    ck_assert(member_send_sync(member));
    ck_assert(member_receive_sync(member, &error_code, &assignment));
    ck_assert_int_eq(error_code, ERR_NONE);
    if (assignment.size < 6 || assignment.data[5] == 0)
        return 0;
    return assignment.data[17]; /* version 2, topics 4, name 2 + 6, partitions 4 */
}

static const char *group_state(void)
{
    static char text[32];
    struct consumer_group_describe_response_group group = player_describe(&admin, "group");
    snprintf(text, sizeof text, "%.*s", (int)group.group_state.size, (const char *)group.group_state.data);
    return group.error_code == ERR_NONE ? text : "classic";
}

START_TEST(a_classic_group_is_upgraded_and_comes_back)
{
    make_classic_group(whole_assignment());
    int32_t generation = old.generation;
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);
    ck_assert_int_eq(fresh.epoch, generation + 1);
    ck_assert_int_eq(fresh.target.count, 0);
    ck_assert_str_eq(group_state(), "Reconciling");
    struct consumer_group_describe_response_group group = player_describe(&admin, "group");
    ck_assert_int_eq(group.members_count, 2);
    ck_assert_int_eq(group.members[0].member_type + group.members[1].member_type, 1);

    /* The classic member hears of a rebalance, and gives back in two rounds. */
    ck_assert_int_eq(member_heartbeat(&old), ERR_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(join(&old), ERR_NONE);
    ck_assert_int_eq(partitions_of(&old), 2);
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);
    ck_assert_int_eq(fresh.target.count, 2);
    player_obey(&fresh);
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);
    ck_assert_int_eq(member_heartbeat(&old), ERR_NONE);
    ck_assert_str_eq(group_state(), "Stable");

    /* A restart knows it all. */
    member_close(&old);
    member_close(&other);
    player_disconnect(&fresh);
    sim_disconnect(&admin);
    sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
    sim_connect(&sim, &admin);
    sim_connect(&sim, &old.client);
    sim_connect(&sim, &other.client);
    player_connect(&sim, &fresh);
    sim_settle(&sim);
    ck_assert_str_eq(group_state(), "Stable");
    ck_assert_int_eq(member_heartbeat(&old), ERR_NONE);
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);

    /* The last of the consumer protocol goes: it is a classic group again. */
    ck_assert_int_eq(player_leave(&fresh, -1), ERR_NONE);
    ck_assert_str_eq(group_state(), "classic");
    ck_assert_int_eq(member_heartbeat(&old), ERR_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(join(&old), ERR_NONE);
    ck_assert_msg(old.is_leader, "it assigns again");
}
END_TEST

START_TEST(classic_members_join_sync_and_leave_a_consumer_group)
{
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);
    player_obey(&fresh);
    ck_assert_int_eq(fresh.owned.count, PARTITIONS);
    ck_assert_int_eq(join(&old), ERR_NONE);
    ck_assert_int_eq(old.generation, 2);
    ck_assert_msg(!old.is_leader, "the broker assigns");
    ck_assert_int_eq(partitions_of(&old), 0);
    ck_assert_int_eq(member_heartbeat(&old), ERR_NONE); /* waits for the other */
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);
    player_obey(&fresh);
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);
    ck_assert_int_eq(fresh.epoch, 2);
    ck_assert_msg(member_heartbeat(&old) == ERR_REBALANCE_IN_PROGRESS, "what it waited for is free");
    ck_assert_int_eq(join(&old), ERR_NONE);
    ck_assert_int_eq(partitions_of(&old), 2);
    old.generation--;
    ck_assert_int_eq(member_heartbeat(&old), ERR_ILLEGAL_GENERATION);
    old.generation++;
    ck_assert_int_eq(member_heartbeat(&old), ERR_NONE);
    ck_assert_int_eq(member_leave(&old), ERR_NONE);
    ck_assert_int_eq(member_heartbeat(&old), ERR_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);
    ck_assert_int_eq(fresh.target.count, PARTITIONS);
}
END_TEST

START_TEST(other_protocols_are_refused)
{
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);
    old.type = "connect";
    ck_assert_int_eq(refused_join(&old), ERR_INCONSISTENT_GROUP_PROTOCOL);
    old.type = "consumer";
    ck_assert_int_eq(join(&old), ERR_NONE);
    other.protocols[0].name = other.protocols[1].name = SLICE_LITERAL("mine");
    ck_assert_int_eq(refused_join(&other), ERR_INCONSISTENT_GROUP_PROTOCOL);
    other.protocols[0].metadata = other.protocols[1].metadata = SLICE_LITERAL("?");
    other.protocols[0].name = SLICE_LITERAL("range");
    other.instance = "i1"; /* or it would get an id first */
    ck_assert_int_eq(refused_join(&other), ERR_UNKNOWN_SERVER_ERROR);
}
END_TEST

START_TEST(silence_ends_the_session_of_a_classic_member)
{
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);
    ck_assert_int_eq(join(&old), ERR_NONE);
    partitions_of(&old);
    sim_advance(&sim, old.session_timeout_ms + 1);
    ck_assert_int_eq(member_heartbeat(&old), ERR_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(join(&old), ERR_NONE);
    for (int i = 0; i < 7; i++) { /* alive, but it does not sync */
        sim_advance(&sim, 5000);
        if (member_heartbeat(&old) == ERR_UNKNOWN_MEMBER_ID)
            return;
    }
    ck_abort_msg("it may take as long as it likes to sync");
}
END_TEST

/* A JoinGroup with more protocols than any client has: what each costs is paid by all members. */
static int16_t join_with_protocols(int32_t count)
{
    struct join_group_request request;
    struct join_group_response response;
    struct join_group_request_protocol *protocols = calloc((size_t)count, sizeof *protocols);
    static char names[100][32];
    join_group_request_init(&request);
    request.group_id = SLICE_LITERAL("group");
    request.session_timeout_ms = 10000;
    request.rebalance_timeout_ms = 10000;
    request.member_id = SLICE_LITERAL("");
    request.group_instance_id = SLICE_LITERAL("many");
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocols = protocols;
    request.protocols_count = count;
    for (int32_t i = 0; i < count; i++) {
        join_group_request_protocol_init(&protocols[i]);
        snprintf(names[i], sizeof names[i], "protocol-%d", i);
        protocols[i].name = slice_of_string(names[i]);
        protocols[i].metadata = subscription();
    }
    ck_assert(sim_call(&admin, 11, 9, &request, &response));
    free(protocols);
    return response.error_code;
}

START_TEST(nobody_brings_protocols_without_number)
{
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);
    ck_assert_int_eq(join_with_protocols(65), ERR_GROUP_MAX_SIZE_REACHED);
    ck_assert_int_eq(join_with_protocols(64), ERR_NONE);
}
END_TEST

/* It has members, but no protocol yet, and no assignment. */
START_TEST(a_group_in_its_first_join_phase_is_upgraded)
{
    int16_t error_code;
    teardown();
    open_with("bidirectional\ngroup.initial.rebalance.delay.ms=3000");
    member_begin_join(&old);
    ck_assert_msg(!member_receive_join(&old, &error_code), "the others are waited for");
    ck_assert_msg(player_beat(&fresh) == ERR_NONE, "%s", fresh.message);
    ck_assert(member_receive_join(&old, &error_code));
    ck_assert_int_eq(error_code, ERR_REBALANCE_IN_PROGRESS);
    ck_assert_int_eq(join(&old), ERR_NONE);
    ck_assert(!old.is_leader);
    ck_assert_int_eq(player_describe(&admin, "group").members_count, 2);
}
END_TEST

static const struct {
    const char *policy;
    const char *assignment; /* NULL: as it should be */
    const char *message;
} refusals[] = {
    { "disabled", NULL,
      "Cannot upgrade classic group group to consumer group because online upgrade is disabled." },
    { "downgrade", NULL,
      "Cannot upgrade classic group group to consumer group because online upgrade is disabled." },
    { "upgrade", "?",
      "Cannot upgrade classic group group to consumer group because the embedded consumer protocol is "
      "malformed." },
};

START_TEST(an_upgrade_is_refused)
{
    teardown();
    open_with(refusals[_i].policy);
    make_classic_group(refusals[_i].assignment ? slice_of_string(refusals[_i].assignment)
                                               : whole_assignment());
    ck_assert_int_eq(player_beat(&fresh), ERR_GROUP_ID_NOT_FOUND);
    ck_assert_str_eq(fresh.message, refusals[_i].message);
    ck_assert_msg(member_heartbeat(&old) == ERR_NONE, "nothing happened");
}
END_TEST

START_TEST(an_empty_group_is_whatever_comes_next)
{
    make_classic_group(whole_assignment());
    ck_assert_int_eq(member_leave(&old), ERR_NONE);
    ck_assert_int_eq(player_beat(&fresh), ERR_NONE);
    ck_assert_int_eq(fresh.target.count, PARTITIONS);
    ck_assert_str_eq(group_state(), "Stable");
    ck_assert_int_eq(player_leave(&fresh, -1), ERR_NONE);
    ck_assert_str_eq(group_state(), "Empty");
    old.id[0] = '\0';
    ck_assert_int_eq(join(&old), ERR_NONE);
    ck_assert(old.is_leader);
    ck_assert_str_eq(group_state(), "classic");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("consumer_migration");
    TCase *cases = tcase_create("migration");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, a_classic_group_is_upgraded_and_comes_back);
    tcase_add_test(cases, classic_members_join_sync_and_leave_a_consumer_group);
    tcase_add_test(cases, other_protocols_are_refused);
    tcase_add_test(cases, nobody_brings_protocols_without_number);
    tcase_add_test(cases, a_group_in_its_first_join_phase_is_upgraded);
    tcase_add_test(cases, silence_ends_the_session_of_a_classic_member);
    tcase_add_loop_test(cases, an_upgrade_is_refused, 0, sizeof refusals / sizeof *refusals);
    tcase_add_test(cases, an_empty_group_is_whatever_comes_next);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
