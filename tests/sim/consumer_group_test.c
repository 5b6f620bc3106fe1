/* Consumer groups (KIP-848) on the virtual clock: what is refused and with which words, epochs and fencing,
 * static members, deadlines, patterns, topics that come, grow and go, limits, restarts. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/create_partitions.h"
#include "codec/delete_topics.h"
#include "codec/metadata.h"
#include "codec/offset_commit.h"
#include "protocol/errors.h"
#include "tests/support/consumer_player.h"

enum {
    KEY_METADATA = 3,
    KEY_OFFSET_COMMIT = 8,
    KEY_DELETE_TOPICS = 20,
    KEY_CREATE_PARTITIONS = 37,
    KEY_HEARTBEAT = 68,
    SESSION_MS = 45000,
    REBALANCE_MS = 30000,
};

static struct sim sim;
static struct sim_client admin;
static struct consumer_player one, two, three;
static struct consumer_player *const all[] = { &one, &two, &three };

static uuid make_topic(const char *name)
{
    struct metadata_request request;
    struct metadata_response response;
    struct metadata_request_topic topic;
    metadata_request_init(&request);
    metadata_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    request.topics = &topic;
    request.topics_count = 1;
    request.allow_auto_topic_creation = true;
    ck_assert(sim_call(&admin, KEY_METADATA, 12, &request, &response));
    sim_settle(&sim);
    ck_assert(sim_call(&admin, KEY_METADATA, 12, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
    return response.topics[0].topic_id;
}

static void grow_topic(const char *name, int32_t count)
{
    struct create_partitions_request request;
    struct create_partitions_response response;
    struct create_partitions_request_topic topic;
    create_partitions_request_init(&request);
    create_partitions_request_topic_init(&topic);
    topic.assignments_count = -1;
    topic.name = slice_of_string(name);
    topic.count = count;
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = 1000;
    ck_assert(sim_call(&admin, KEY_CREATE_PARTITIONS, 3, &request, &response));
    ck_assert_int_eq(response.results[0].error_code, ERR_NONE);
    sim_settle(&sim);
}

static void delete_topic(const char *name)
{
    struct delete_topics_request request;
    struct delete_topics_response response;
    struct delete_topics_request_topic topic;
    delete_topics_request_init(&request);
    delete_topics_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = 1000;
    ck_assert(sim_call(&admin, KEY_DELETE_TOPICS, 6, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
    sim_settle(&sim);
}

static void open_with(const char *settings)
{
    char text[300];
    snprintf(text, sizeof text, "num.partitions=6\nconnections.max.idle.ms=100000000\n%s", settings);
    sim_open(&sim, 1, text);
    sim_connect(&sim, &admin);
    for (int i = 0; i < 3; i++) {
        player_init(all[i], i + 1);
        player_connect(&sim, all[i]);
        all[i]->names[0] = "orders";
        all[i]->name_count = 1;
        all[i]->rebalance_timeout_ms = REBALANCE_MS;
    }
    player_find_coordinator(&one);
    make_topic("orders");
}

static void setup(void)
{
    open_with("");
}

static void teardown(void)
{
    for (int i = 0; i < 3; i++)
        player_disconnect(all[i]);
    sim_disconnect(&admin);
    sim_close(&sim);
}

static void reopen(const char *settings)
{
    teardown();
    open_with(settings);
}

static void settle(int count)
{
    ck_assert_int_lt(players_settle(all, count, 20), 20);
}

static const char *group_state(void)
{
    static char text[32];
    struct consumer_group_describe_response_group group = player_describe(&admin, "group");
    snprintf(text, sizeof text, "%.*s", (int)group.group_state.size, (const char *)group.group_state.data);
    return group.error_code == ERR_NONE ? text : error_name(group.error_code);
}

static void power_cycle(void)
{
    for (int i = 0; i < 3; i++)
        player_disconnect(all[i]);
    sim_disconnect(&admin);
    sim.seed++;
    sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
    sim_connect(&sim, &admin);
    for (int i = 0; i < 3; i++)
        player_connect(&sim, all[i]);
    sim_settle(&sim);
}

/* -- what is not valid ------------------------------------------------------------------------- */

static const struct fault {
    int16_t version;
    const char *group, *member, *instance, *rack, *assignor;
    int32_t epoch, rebalance_ms;
    int32_t owned_count; /* -1: null */
    int names;           /* -1: null */
    const char *regex;
    int16_t error_code;
    const char *message;
} faults[] = {
    { 1, "", "m", NULL, NULL, NULL, 0, 1000, 0, 1, NULL, ERR_INVALID_REQUEST, "GroupId can't be empty." },
    { 1, " \t", "m", NULL, NULL, NULL, 0, 1000, 0, 1, NULL, ERR_INVALID_REQUEST, "GroupId can't be empty." },
    { 1, "g", "", NULL, NULL, NULL, 0, 1000, 0, 1, NULL, ERR_INVALID_REQUEST, "MemberId can't be empty." },
    { 0, "g", "", NULL, NULL, NULL, 0, 1000, 0, 1, NULL, ERR_NONE, NULL },
    { 0, "g", "", NULL, NULL, NULL, 1, 1000, 0, 1, NULL, ERR_INVALID_REQUEST, "MemberId can't be empty." },
    { 0, "g", "", NULL, NULL, NULL, -1, 1000, 0, 1, NULL, ERR_INVALID_REQUEST, "MemberId can't be empty." },
    { 1, "g", "m", "", NULL, NULL, 0, 1000, 0, 1, NULL, ERR_INVALID_REQUEST, "InstanceId can't be empty." },
    { 1, "g", "m", NULL, " ", NULL, 0, 1000, 0, 1, NULL, ERR_INVALID_REQUEST, "RackId can't be empty." },
    { 1, "g", "m", NULL, NULL, NULL, 0, -1, 0, 1, NULL, ERR_INVALID_REQUEST,
      "RebalanceTimeoutMs must be provided in first request." },
    { 1, "g", "m", NULL, NULL, NULL, 0, 1000, -1, 1, NULL, ERR_INVALID_REQUEST,
      "TopicPartitions must be empty when (re-)joining." },
    { 1, "g", "m", NULL, NULL, NULL, 0, 1000, 1, 1, NULL, ERR_INVALID_REQUEST,
      "TopicPartitions must be empty when (re-)joining." },
    { 1, "g", "m", NULL, NULL, NULL, 0, 1000, 0, -1, NULL, ERR_INVALID_REQUEST,
      "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining." },
    { 1, "g", "m", NULL, NULL, NULL, 0, 1000, 0, 0, NULL, ERR_NONE, NULL },
    { 1, "g", "m", NULL, NULL, NULL, 0, 1000, 0, -1, "", ERR_NONE, NULL },
    { 1, "g", "m", NULL, NULL, NULL, -2, 1000, 0, 1, NULL, ERR_INVALID_REQUEST, "InstanceId can't be null." },
    { 1, "g", "m", NULL, NULL, NULL, -3, 1000, 0, 1, NULL, ERR_INVALID_REQUEST, "MemberEpoch is invalid." },
    { 1, "g", "m", NULL, NULL, "mine", 0, 1000, 0, 1, NULL, ERR_UNSUPPORTED_ASSIGNOR,
      "ServerAssignor mine is not supported. Supported assignors: uniform, range." },
    { 1, "g", "m", NULL, NULL, NULL, 0, 1000, 0, -1, "(", ERR_INVALID_REGULAR_EXPRESSION,
      "SubscribedTopicRegex `(` is not a valid regular expression: missing ): (." },
    { 1, "g", "m", NULL, NULL, NULL, 1, 1000, 0, 1, NULL, ERR_GROUP_ID_NOT_FOUND,
      "Consumer group g not found." },
    { 1, "g", "m", NULL, NULL, NULL, -1, 1000, 0, 1, NULL, ERR_GROUP_ID_NOT_FOUND, "Group g not found." },
};

START_TEST(what_is_not_valid)
{
    const struct fault *fault = &faults[_i];
    struct consumer_group_heartbeat_request request;
    struct consumer_group_heartbeat_response response;
    struct consumer_group_heartbeat_request_topic_partition owned;
    slice orders = SLICE_LITERAL("orders");
    consumer_group_heartbeat_request_init(&request);
    consumer_group_heartbeat_request_topic_partition_init(&owned);
    request.group_id = slice_of_string(fault->group);
    request.member_id = slice_of_string(fault->member);
    request.instance_id = slice_of_string(fault->instance);
    request.rack_id = slice_of_string(fault->rack);
    request.server_assignor = slice_of_string(fault->assignor);
    request.member_epoch = fault->epoch;
    request.rebalance_timeout_ms = fault->rebalance_ms;
    request.topic_partitions = &owned;
    request.topic_partitions_count = fault->owned_count;
    request.subscribed_topic_names = &orders;
    request.subscribed_topic_names_count = fault->names;
    request.subscribed_topic_regex = slice_of_string(fault->regex);
    ck_assert(sim_call(&admin, KEY_HEARTBEAT, fault->version, &request, &response));
    ck_assert_int_eq(response.error_code, fault->error_code);
    if (fault->message)
        ck_assert_msg(slice_equal_string(response.error_message, fault->message), "%.*s",
                      (int)response.error_message.size, (const char *)response.error_message.data);
    else
        ck_assert(slice_is_null(response.error_message) && response.member_id.size > 0);
}
END_TEST

/* -- epochs ------------------------------------------------------------------------------------ */

START_TEST(a_member_gets_all_and_gives_half)
{
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_eq(one.epoch, 1);
    ck_assert_int_eq(one.target.count, 6);
    player_obey(&one);
    ck_assert_str_eq(group_state(), "Stable");
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_int_eq(two.epoch, 2);
    ck_assert_msg(two.was_assigned && two.target.count == 0, "all is held still");
    ck_assert_str_eq(group_state(), "Reconciling");
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_eq(one.epoch, 1);
    ck_assert_int_eq(one.target.count, 3);
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_msg(!two.was_assigned, "it was not given back");
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_msg(one.epoch == 1 && !one.was_assigned, "a heartbeat without partitions says nothing of them");
    player_obey(&one);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_eq(one.epoch, 2);
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_int_eq(two.target.count, 3);
    ck_assert_str_eq(group_state(), "Stable");
    ck_assert_int_eq(player_leave(&one, -1), ERR_NONE);
    ck_assert_str_eq(group_state(), "Assigning");
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_int_eq(two.epoch, 3);
    ck_assert_int_eq(two.target.count, 6);
}
END_TEST

START_TEST(the_epoch_before_is_accepted_with_its_own_partitions_alone)
{
    settle(2);
    int32_t epoch = one.epoch;
    player_beat(&three);
    one.epoch = epoch;
    one.says_all = true;
    ck_assert_int_eq(player_beat(&one), ERR_NONE); /* gives back two */
    player_obey(&one);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_eq(one.epoch, epoch + 1);
    one.epoch = epoch; /* the answer was lost */
    one.says_all = true;
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_eq(one.epoch, epoch + 1);
    one.epoch = epoch;
    one.owned.items[one.owned.count++].partition = 77;
    one.says_all = true;
    ck_assert_int_eq(player_beat(&one), ERR_FENCED_MEMBER_EPOCH);
    ck_assert(strstr(one.message, "smaller member epoch"));
    two.epoch += 5;
    ck_assert_int_eq(player_beat(&two), ERR_FENCED_MEMBER_EPOCH);
    ck_assert(strstr(two.message, "greater member epoch"));
    ck_assert_msg(player_beat(&two) == ERR_NONE && two.epoch > 0, "it joins again");
}
END_TEST

START_TEST(a_settled_group_writes_nothing)
{
    settle(3);
    int32_t epoch = one.epoch;
    uint64_t flushes = file_double_flush_count(sim.disk);
    for (int i = 0; i < 30; i++) {
        sim_advance(&sim, 5000);
        for (int m = 0; m < 3; m++)
            ck_assert_int_eq(player_beat(all[m]), ERR_NONE);
    }
    ck_assert_int_eq(one.epoch, epoch);
    ck_assert_uint_eq(file_double_flush_count(sim.disk), flushes);
}
END_TEST

START_TEST(the_interval_is_short_while_the_group_moves)
{
    settle(3);
    ck_assert_int_lt(one.interval_ms, 100);
    sim_advance(&sim, 4000);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_eq(one.interval_ms, 5000);
    ck_assert_int_eq(player_leave(&three, -1), ERR_NONE);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    player_obey(&one);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_lt(one.interval_ms, 100);
}
END_TEST

/* Asked again before it has it, it would say that it owns nothing, and another would get what it begins to read. */
START_TEST(who_has_a_new_assignment_to_act_on_is_not_asked_before_it_has)
{
    player_connect(&sim, &one);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert(one.was_assigned && one.target.count > 0);
    ck_assert_int_eq(one.interval_ms, 5000);
    one.says_all = true; /* and when it asks all the same */
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_eq(one.interval_ms, 5000);
    player_obey(&one);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_lt(one.interval_ms, 100);
}
END_TEST

/* Five minutes is Java's rebalance timeout: the others do not ask fifty times a second for so long. */
START_TEST(who_waits_for_a_member_that_gives_nothing_back_asks_less_and_less_often)
{
    settle(1);
    player_connect(&sim, &two);
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_int_eq(player_beat(&one), ERR_NONE); /* is told, and never obeys */
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_int_lt(two.interval_ms, 100);
    sim_advance(&sim, 10000);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_int_ge(two.interval_ms, 500);
    ck_assert_int_le(two.interval_ms, 1000);
    player_obey(&one);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_lt(one.interval_ms, 100);
}
END_TEST

START_TEST(commits_need_the_epoch)
{
    struct offset_commit_request request;
    struct offset_commit_response response;
    struct offset_commit_request_topic topic;
    struct offset_commit_request_partition partition;
    settle(1);
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&topic);
    offset_commit_request_partition_init(&partition);
    topic.name = SLICE_LITERAL("orders");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    request.group_id = SLICE_LITERAL("group");
    request.member_id = slice_of_string(one.id);
    request.generation_id_or_member_epoch = one.epoch;
    ck_assert(sim_call(&admin, KEY_OFFSET_COMMIT, 9, &request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
    ck_assert(sim_call(&admin, KEY_OFFSET_COMMIT, 8, &request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_UNSUPPORTED_VERSION);
    request.generation_id_or_member_epoch = one.epoch - 1;
    ck_assert(sim_call(&admin, KEY_OFFSET_COMMIT, 9, &request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_STALE_MEMBER_EPOCH);
    request.member_id = SLICE_LITERAL("nobody");
    ck_assert(sim_call(&admin, KEY_OFFSET_COMMIT, 9, &request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_UNKNOWN_MEMBER_ID);
}
END_TEST

/* -- static members ---------------------------------------------------------------------------- */

START_TEST(a_static_member_comes_back_to_what_it_had)
{
    one.instance = "i1";
    two.instance = "i2";
    settle(2);
    struct player_set before = one.owned;
    int32_t epoch = one.epoch;
    three.instance = "i1";
    ck_assert_int_eq(player_beat(&three), ERR_UNRELEASED_INSTANCE_ID);
    ck_assert(strstr(three.message, "owned by member-001 member"));
    ck_assert_int_eq(player_leave(&one, -2), ERR_NONE);
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_msg(!two.was_assigned, "its partitions are kept for it");
    ck_assert_int_eq(player_beat(&three), ERR_NONE);
    ck_assert(player_sets_equal(&three.target, &before));
    ck_assert_msg(three.epoch == epoch, "nothing is assigned anew");
    one.epoch = epoch;
    ck_assert_int_eq(player_beat(&one), ERR_FENCED_INSTANCE_ID);
    ck_assert(strstr(one.message, "was fenced by member member-003"));
    ck_assert_int_eq(player_leave(&one, -1), ERR_FENCED_INSTANCE_ID);
    one.instance = "i9";
    one.epoch = epoch;
    ck_assert_int_eq(player_beat(&one), ERR_UNKNOWN_MEMBER_ID);
    ck_assert_str_eq(one.message, "Instance id i9 is unknown.");
    power_cycle();
    three.says_all = true;
    ck_assert_int_eq(player_beat(&three), ERR_NONE);
    ck_assert(player_sets_equal(&three.target, &before));
}
END_TEST

START_TEST(a_static_member_that_stays_away_is_given_up)
{
    one.instance = "i1";
    settle(2);
    ck_assert_int_eq(player_leave(&one, -2), ERR_NONE);
    for (int i = 0; i < 10; i++) {
        sim_advance(&sim, SESSION_MS / 9);
        ck_assert_int_eq(player_beat(&two), ERR_NONE);
    }
    ck_assert_int_eq(two.target.count, 6);
}
END_TEST

/* -- deadlines --------------------------------------------------------------------------------- */

START_TEST(silence_ends_a_session)
{
    settle(2);
    for (int i = 0; i < 9; i++) {
        sim_advance(&sim, SESSION_MS / 9);
        ck_assert_int_eq(player_beat(&two), ERR_NONE);
    }
    ck_assert_int_eq(two.target.count, 6);
    ck_assert_int_eq(player_beat(&one), ERR_UNKNOWN_MEMBER_ID);
    ck_assert_str_eq(one.message, "Member member-001 is not a member of group group.");
}
END_TEST

START_TEST(who_keeps_too_long_is_fenced)
{
    settle(1);
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_int_eq(player_beat(&one), ERR_NONE); /* shall give back, and does not */
    ck_assert_int_eq(one.target.count, 3);
    for (int i = 0; i < 5; i++) {
        sim_advance(&sim, REBALANCE_MS / 6);
        ck_assert_int_eq(player_beat(&one), ERR_NONE);
        ck_assert_int_eq(player_beat(&two), ERR_NONE);
    }
    sim_advance(&sim, REBALANCE_MS / 6 + 1);
    ck_assert_int_eq(player_beat(&one), ERR_UNKNOWN_MEMBER_ID);
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_int_eq(two.target.count, 6);
}
END_TEST

START_TEST(deadlines_go_on_after_a_power_cut)
{
    settle(1);
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    power_cycle();
    ck_assert_str_eq(group_state(), "Reconciling");
    for (int i = 0; i < 6; i++) {
        sim_advance(&sim, REBALANCE_MS / 6 + 1);
        ck_assert_int_eq(player_beat(&two), ERR_NONE);
    }
    ck_assert_int_eq(two.target.count, 6); /* one kept too long */
    sim_advance(&sim, SESSION_MS + 1);
    ck_assert_str_eq(group_state(), "Empty");
}
END_TEST

/* -- topics ------------------------------------------------------------------------------------ */

START_TEST(topics_that_come_grow_and_go)
{
    one.names[1] = "later";
    one.name_count = 2;
    settle(1);
    ck_assert_int_eq(one.owned.count, 6);
    make_topic("later");
    settle(1);
    ck_assert_int_eq(one.owned.count, 12);
    grow_topic("orders", 8);
    settle(1);
    ck_assert_int_eq(one.owned.count, 14);
    delete_topic("orders");
    settle(1);
    ck_assert_int_eq(one.owned.count, 6);
    make_topic("orders");
    settle(1);
    ck_assert_int_eq(one.owned.count, 12);
    one.name_count = 1;
    one.says_all = true;
    settle(1);
    ck_assert_int_eq(one.owned.count, 6);
}
END_TEST

START_TEST(a_subscription_that_shrinks_gives_back)
{
    make_topic("later");
    one.names[1] = two.names[1] = "later";
    one.name_count = two.name_count = 2;
    settle(2);
    ck_assert_int_eq(one.owned.count, 6);
    one.name_count = 1;
    one.says_all = true;
    settle(2);
    ck_assert_int_eq(one.owned.count, 6);
    ck_assert_int_eq(two.owned.count, 6);
    uuid orders = one.owned.items[0].topic;
    for (int i = 0; i < 6; i++)
        ck_assert(uuid_equal(one.owned.items[i].topic, orders));
}
END_TEST

START_TEST(patterns)
{
    make_topic("orders-2");
    make_topic("payments");
    one.name_count = 0;
    one.regex = "orders.*";
    settle(1);
    sim_advance(&sim, 1000);
    settle(1);
    ck_assert_int_eq(one.owned.count, 12);
    make_topic("orders-3");
    settle(1);
    ck_assert_msg(one.owned.count == 12, "patterns are matched so often only");
    sim_advance(&sim, 10000);
    settle(1);
    ck_assert_int_eq(one.owned.count, 18);
    power_cycle();
    one.says_all = true;
    settle(1);
    ck_assert_int_eq(one.owned.count, 18);
    delete_topic("orders-2");
    settle(1);
    ck_assert_int_eq(one.owned.count, 12);
    one.names[0] = "payments"; /* both count */
    one.name_count = 1;
    one.says_all = true;
    settle(1);
    ck_assert_int_eq(one.owned.count, 18);
    one.regex = "";
    one.says_all = true;
    settle(1);
    ck_assert_int_eq(one.owned.count, 6);
    two.name_count = 0;
    two.regex = "no.*";
    settle(2);
    sim_advance(&sim, 1000);
    settle(2);
    ck_assert_int_eq(two.owned.count, 0);
    ck_assert_str_eq(group_state(), "Stable");
}
END_TEST

/* What matches more topics than a record takes is as if it matched none: the group lives on. Several that fit
 * one by one come one by one. */
START_TEST(patterns_that_match_too_much)
{
    char name[64];
    teardown();
    open_with("message.max.bytes=3000\n");
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "a-topic-with-a-rather-long-name-%d-%02d", i / 20, i);
        make_topic(name);
    }
    one.name_count = two.name_count = three.name_count = 0;
    one.regex = "a-topic.*";
    two.regex = "a-topic.*-0-.*";
    three.regex = "a-topic.*-1-.*";
    settle(3);
    for (int i = 0; i < 6; i++) {
        sim_advance(&sim, 1000);
        settle(3);
    }
    ck_assert_int_eq(one.owned.count, 0);
    ck_assert_int_eq(two.owned.count, 20 * 6);
    ck_assert_int_eq(three.owned.count, 20 * 6);
    ck_assert_str_eq(group_state(), "Stable");
}
END_TEST

START_TEST(patterns_are_counted)
{
    char id[16], pattern[16];
    struct consumer_group_heartbeat_request request;
    struct consumer_group_heartbeat_response response;
    for (int i = 0; i <= 101; i++) {
        consumer_group_heartbeat_request_init(&request);
        snprintf(id, sizeof id, "m%d", i);
        snprintf(pattern, sizeof pattern, "p%d", i < 101 ? i : 0);
        request.group_id = SLICE_LITERAL("group");
        request.member_id = slice_of_string(id);
        request.rebalance_timeout_ms = 1000;
        request.subscribed_topic_regex = slice_of_string(pattern);
        request.subscribed_topic_names_count = request.topic_partitions_count = 0;
        ck_assert(sim_call(&admin, KEY_HEARTBEAT, 1, &request, &response));
        ck_assert_int_eq(response.error_code, i == 100 ? ERR_GROUP_MAX_SIZE_REACHED : ERR_NONE);
    }
}
END_TEST

static bool deny_orders_2(void *context, const struct conn *conn, enum acl_operation op, int resource_type,
                          slice name)
{
    (void)context;
    (void)conn;
    (void)resource_type;
    return op != OP_DESCRIBE || !slice_equal_string(name, "orders-2");
}

START_TEST(what_may_not_be_described_is_not_told)
{
    make_topic("orders-2");
    authorizer allow_all = sim.server->authorize;
    sim.server->authorize = deny_orders_2;
    one.regex = "orders.*";
    settle(1);
    sim_advance(&sim, 1000);
    settle(1);
    ck_assert_int_eq(one.owned.count, 6);
    two.names[1] = "orders-2";
    two.name_count = 2;
    ck_assert_int_eq(player_beat(&two), ERR_TOPIC_AUTHORIZATION_FAILED);
    sim.server->authorize = allow_all;
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    sim.server->authorize = deny_orders_2;
    ck_assert_str_eq(group_state(), "TOPIC_AUTHORIZATION_FAILED");
    sim.server->authorize = allow_all;
}
END_TEST

/* -- assignors, limits ------------------------------------------------------------------------- */

START_TEST(the_assignor_with_most_votes)
{
    one.assignor = "range";
    settle(1);
    struct consumer_group_describe_response_group group = player_describe(&admin, "group");
    ck_assert(slice_equal_string(group.assignor_name, "range"));
    two.assignor = three.assignor = "uniform";
    settle(3);
    group = player_describe(&admin, "group");
    ck_assert(slice_equal_string(group.assignor_name, "uniform"));
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(all[i]->owned.count, 2);
}
END_TEST

START_TEST(a_full_group)
{
    reopen("group.consumer.max.size=2\n");
    settle(2);
    ck_assert_int_eq(player_beat(&three), ERR_GROUP_MAX_SIZE_REACHED);
    ck_assert_str_eq(three.message, "The consumer group has reached its maximum capacity of 2 members.");
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
}
END_TEST

START_TEST(groups_end)
{
    settle(2);
    power_cycle();
    one.says_all = two.says_all = true;
    settle(2);
    ck_assert_int_eq(one.owned.count, 3);
    ck_assert_int_eq(player_leave(&one, -1), ERR_NONE);
    ck_assert_int_eq(player_leave(&two, -1), ERR_NONE);
    ck_assert_str_eq(group_state(), "Empty");
    power_cycle();
    ck_assert_str_eq(group_state(), "Empty");
    sim_advance(&sim, 1000000); /* no offsets: it goes with the next look */
    ck_assert_str_eq(group_state(), "GROUP_ID_NOT_FOUND");
    power_cycle();
    ck_assert_str_eq(group_state(), "GROUP_ID_NOT_FOUND");
}
END_TEST

START_TEST(a_thousand_members_settle)
{
    enum { MANY = 1000, ROUNDS_MAX = 20 };
    static struct consumer_player many[MANY];
    static struct consumer_player *players[MANY];
    reopen("max.connections=2000\nmax.connections.per.ip=2000\n");
    grow_topic("orders", 2 * MANY);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < MANY; i++) {
        players[i] = &many[i];
        player_init(&many[i], 1000 + i); /* every join makes a new assignment for all who came before */
        player_connect(&sim, &many[i]);
        many[i].names[0] = "orders";
        many[i].name_count = 1;
        ck_assert_int_eq(player_beat(&many[i]), ERR_NONE);
    }
    int rounds = players_settle(players, MANY, ROUNDS_MAX);
    clock_gettime(CLOCK_MONOTONIC, &end);
    ck_assert_int_lt(rounds, ROUNDS_MAX);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(many[i].owned.count, 2);
    ck_assert_str_eq(group_state(), "Stable");
    printf("1,000 members: %.1f ms for their joins and %d rounds of heartbeats, 2,000 partitions\n",
           (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6, rounds);
    for (int i = 0; i < MANY; i++)
        player_disconnect(&many[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("consumer_group");
    TCase *cases = tcase_create("consumer_group");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, what_is_not_valid, 0, sizeof faults / sizeof *faults);
    tcase_add_test(cases, a_member_gets_all_and_gives_half);
    tcase_add_test(cases, the_epoch_before_is_accepted_with_its_own_partitions_alone);
    tcase_add_test(cases, a_settled_group_writes_nothing);
    tcase_add_test(cases, the_interval_is_short_while_the_group_moves);
    tcase_add_test(cases, who_has_a_new_assignment_to_act_on_is_not_asked_before_it_has);
    tcase_add_test(cases, who_waits_for_a_member_that_gives_nothing_back_asks_less_and_less_often);
    tcase_add_test(cases, commits_need_the_epoch);
    tcase_add_test(cases, a_static_member_comes_back_to_what_it_had);
    tcase_add_test(cases, a_static_member_that_stays_away_is_given_up);
    tcase_add_test(cases, silence_ends_a_session);
    tcase_add_test(cases, who_keeps_too_long_is_fenced);
    tcase_add_test(cases, deadlines_go_on_after_a_power_cut);
    tcase_add_test(cases, topics_that_come_grow_and_go);
    tcase_add_test(cases, a_subscription_that_shrinks_gives_back);
    tcase_add_test(cases, patterns);
    tcase_add_test(cases, patterns_that_match_too_much);
    tcase_add_test(cases, patterns_are_counted);
    tcase_add_test(cases, what_may_not_be_described_is_not_told);
    tcase_add_test(cases, the_assignor_with_most_votes);
    tcase_add_test(cases, a_full_group);
    tcase_add_test(cases, groups_end);
    tcase_add_test(cases, a_thousand_members_settle);
    tcase_set_timeout(cases, 60);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
