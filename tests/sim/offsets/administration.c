/* OffsetDelete, DeleteGroups, ListGroups, DescribeGroups. */
#include <stdio.h>

#include "codec/delete_groups.h"
#include "tests/sim/offsets/rig.h"

START_TEST(single_offsets)
{
    rig_open("");
    make_topic("others");
    commit("simple", 0, 5);
    commit("simple", 1, 6);
    commit("busy", 0, 7);
    struct commit others = { .group = "busy", .topic = "others", .offset = 8 };
    ck_assert_int_eq(commit_as(&others), ERR_NONE);
    join("busy", "consumer", "orders");
    commit("foreign", 0, 9);
    join("foreign", "connect", "orders");
    commit("riddle", 0, 9);
    join("riddle", "consumer", NULL);
    static const struct {
        const char *why, *group, *topic;
        int32_t partition;
        int16_t error_code;
    } rows[] = {
        { "a group that is not there", "absent", "orders", 0, ERR_GROUP_ID_NOT_FOUND },
        { "no name", "", "orders", 0, ERR_INVALID_GROUP_ID },
        { "a simple group", "simple", "orders", 0, ERR_NONE },
        { "again", "simple", "orders", 0, ERR_NONE },
        { "nothing was committed there", "simple", "orders", 2, ERR_NONE },
        { "no such partition", "simple", "orders", 3, ERR_UNKNOWN_TOPIC_OR_PARTITION },
        { "no such topic", "simple", "nowhere", 0, ERR_UNKNOWN_TOPIC_OR_PARTITION },
        { "a topic that a member reads", "busy", "orders", 0, ERR_GROUP_SUBSCRIBED_TO_TOPIC },
        { "a topic that none reads", "busy", "others", 0, ERR_NONE },
        { "members of another protocol", "foreign", "orders", 0, ERR_NON_EMPTY_GROUP },
        { "a subscription that cannot be read", "riddle", "orders", 0, ERR_GROUP_SUBSCRIBED_TO_TOPIC },
    };
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            int16_t got = delete_offset(rows[i].group, rows[i].topic, rows[i].partition);
            ck_assert_msg(got == rows[i].error_code, "%s: %s", rows[i].why, error_name(got));
        }
        ck_assert_int_eq(fetch("simple", 0), -1);
        ck_assert_int_eq(fetch("simple", 1), 6);
        ck_assert_int_eq(fetch("busy", 0), 7);
        ck_assert_int_eq(fetch_from("busy", "others", 0, false).offset, -1);
        rig_restart(); /* members and what was deleted are as they were */
    }
    ck_assert_int_eq(delete_offset("simple", "orders", 1), ERR_NONE);
    ck_assert_str_eq(state_of("simple"), "Dead"); /* nothing of it is left */
    rig_close();
}
END_TEST

static struct delete_groups_response delete_all(const char *const *names, int32_t count)
{
    static slice slices[64];
    struct delete_groups_request request;
    struct delete_groups_response response;
    delete_groups_request_init(&request);
    for (int32_t i = 0; i < count; i++)
        slices[i] = slice_of_string(names[i]);
    request.groups_names = slices;
    request.groups_names_count = count;
    ck_assert(sim_call(&client, KEY_DELETE_GROUPS, 2, &request, &response));
    return response;
}

static int16_t result_of(const struct delete_groups_response *response, const char *name)
{
    for (int32_t i = 0; i < response->results_count; i++)
        if (slice_equal_string(response->results[i].group_id, name))
            return response->results[i].error_code;
    ck_abort_msg("no result for %s", name);
}

START_TEST(groups_on_many_shards)
{
    static const char *const names[] = {
        "a", "b", "c", "d", "e", "f", "g", "busy", "absent", "a", "left", ""
    };
    rig_open("");
    for (int i = 0; i < 7; i++)
        commit(names[i], i % 3, i);
    struct member member = join("left", "consumer", "orders");
    ck_assert_int_eq(leave("left", member.id), ERR_NONE);
    join("busy", "consumer", "orders");
    commit("other", 0, 1);
    ck_assert_int_eq(group_count(), 10);
    struct delete_groups_response response = delete_all(names, 12);
    ck_assert_int_eq(response.results_count, 11); /* "a" is answered once */
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(result_of(&response, names[i]), ERR_NONE);
    ck_assert_int_eq(result_of(&response, "busy"), ERR_NON_EMPTY_GROUP);
    ck_assert_int_eq(result_of(&response, "absent"), ERR_GROUP_ID_NOT_FOUND);
    ck_assert_int_eq(result_of(&response, "left"), ERR_NONE);
    ck_assert_int_eq(result_of(&response, ""), ERR_GROUP_ID_NOT_FOUND);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(group_count(), 2);
        for (int i = 0; i < 7; i++)
            ck_assert_int_eq(fetch(names[i], i % 3), -1);
        rig_power_cycle(FILE_DOUBLE_LOSE_ALL);
    }
    ck_assert_int_eq(delete_all(names, 0).results_count, 0);
    rig_close();
}
END_TEST

/* More tombstones than a batch takes: in rounds, where Kafka gives up. */
START_TEST(a_group_with_many_offsets)
{
    enum { TOPICS = 200 };
    char name[249], settings[64];
    rig_open("message.max.bytes=20000\n");
    (void)settings;
    for (int i = 0; i < TOPICS; i++) {
        memset(name, 't', sizeof name);
        snprintf(name + 200, sizeof name - 200, "%d", i);
        make_topic(name);
        struct commit one = { .group = "g", .topic = name, .partition = i % 3, .offset = i };
        ck_assert_int_eq(commit_as(&one), ERR_NONE);
    }
    ck_assert_int_eq(delete_group("g"), ERR_NONE);
    ck_assert_str_eq(state_of("g"), "Dead");
    rig_restart();
    ck_assert_str_eq(state_of("g"), "Dead");
    ck_assert_int_eq(group_count(), 0);
    rig_close();
}
END_TEST

/* -- lists ------------------------------------------------------------------------------------- */

static int32_t count_of(int16_t version, const char *state, const char *type)
{
    struct list_groups_request request;
    struct list_groups_response response;
    slice states = slice_of_string(state ? state : ""), types = slice_of_string(type ? type : "");
    list_groups_request_init(&request);
    request.states_filter = &states;
    request.states_filter_count = state ? 1 : 0;
    request.types_filter = &types;
    request.types_filter_count = type ? 1 : 0;
    ck_assert(sim_call(&client, KEY_LIST_GROUPS, version, &request, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
    return response.groups_count;
}

START_TEST(lists_and_filters)
{
    rig_open("");
    commit("simple", 0, 1);
    join("stable", "consumer", "orders");
    join_only("completing", "connect", "orders");
    struct member member = join("empty", "consumer", "orders");
    ck_assert_int_eq(leave("empty", member.id), ERR_NONE);
    static const struct {
        const char *state, *type;
        int32_t count;
    } rows[] = {
        { NULL, NULL, 4 },          { "Empty", NULL, 2 },        { "eMPTY", NULL, 2 },
        { " Stable ", NULL, 1 },    { "Dead", NULL, 0 },         { "", NULL, 0 },
        { "Nonsense", NULL, 0 },    { NULL, "classic", 4 },      { NULL, "Classic", 4 },
        { NULL, "consumer", 0 },    { NULL, "share", 0 },        { NULL, "nonsense", 0 },
        { "Stable", "classic", 1 }, { "Stable", "consumer", 0 }, { "CompletingRebalance", NULL, 1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(count_of(5, rows[i].state, rows[i].type) == rows[i].count, "%s, %s", rows[i].state,
                      rows[i].type);
    for (int16_t version = 0; version <= 5; version++)
        ck_assert_int_eq(count_of(version, NULL, NULL), 4);
    rig_close();
}
END_TEST

START_TEST(descriptions)
{
    rig_open("");
    commit("simple", 0, 1);
    struct member stable = join("stable", "consumer", "orders");
    join_only("completing", "consumer", "orders");
    static const char *const names[] = { "simple", "stable", "completing", "absent", "" };
    static const char *const states[] = { "Empty", "Stable", "CompletingRebalance", "Dead", "Dead" };
    slice groups[5];
    struct describe_groups_request request;
    struct describe_groups_response response;
    for (int16_t version = 0; version <= 6; version++) {
        describe_groups_request_init(&request);
        for (int i = 0; i < 5; i++)
            groups[i] = slice_of_string(names[i]);
        request.groups = groups;
        request.groups_count = 5;
        request.include_authorized_operations = version >= 3;
        ck_assert(sim_call(&client, KEY_DESCRIBE_GROUPS, version, &request, &response));
        ck_assert_int_eq(response.groups_count, 5);
        for (int i = 0; i < 5; i++) {
            const struct describe_groups_response_group *group = &response.groups[i];
            bool is_missing = version >= 6 && i >= 3;
            ck_assert(slice_equal_string(group->group_id, names[i]));
            ck_assert(slice_equal_string(group->group_state, states[i]));
            ck_assert_int_eq(group->error_code, is_missing ? ERR_GROUP_ID_NOT_FOUND : ERR_NONE);
            ck_assert_int_eq(group->members_count, i == 1 || i == 2 ? 1 : 0);
            ck_assert(slice_equal_string(group->protocol_data, i == 1 ? "range" : ""));
            ck_assert(slice_equal_string(group->protocol_type, i == 1 || i == 2 ? "consumer" : ""));
            ck_assert_int_eq(group->authorized_operations != INT32_MIN, version >= 3 && !is_missing);
        }
        if (version >= 6)
            ck_assert(slice_equal_string(response.groups[3].error_message, "Group absent not found."));
        const struct describe_groups_response_member *member = &response.groups[1].members[0];
        ck_assert(slice_equal_string(member->member_id, stable.id));
        ck_assert(slice_equal_string(member->member_assignment, "all of it"));
        ck_assert_int_gt(member->member_metadata.size, 0);
        ck_assert_int_eq(response.groups[2].members[0].member_metadata.size, 0);
    }
    rig_close();
}
END_TEST

TCase *administration_tests(void)
{
    TCase *tests = tcase_create("administration");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, single_offsets);
    tcase_add_test(tests, groups_on_many_shards);
    tcase_add_test(tests, a_group_with_many_offsets);
    tcase_add_test(tests, lists_and_filters);
    tcase_add_test(tests, descriptions);
    return tests;
}
