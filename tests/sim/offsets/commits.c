/* Commits and fetches: who may, what is stored, what is told of it. */
#include <stdio.h>
#include <stdlib.h>

#include "codec/offset_commit.h"
#include "tests/sim/offsets/rig.h"

/* -- who may commit ---------------------------------------------------------------------------- */

enum situation { ABSENT, SIMPLE, EMPTY, COMPLETING, STABLE };

struct caller_row {
    const char *why;
    enum situation situation;
    bool is_member; /* names the member of the group */
    const char *member;
    const char *instance;
    int32_t generation; /* relative to that of the group when is_member; -1: none */
    int16_t version;
    int16_t error_code;
};

static const struct caller_row caller_rows[] = {
    { "a group that is not there begins as a simple one", ABSENT, false, "", NULL, -1, 9, ERR_NONE },
    { "a generation of a group that is not there", ABSENT, false, "m", NULL, 3, 9, ERR_GROUP_ID_NOT_FOUND },
    { "the same, in older versions", ABSENT, false, "m", NULL, 3, 8, ERR_ILLEGAL_GENERATION },
    { "a member without a generation, group not there", ABSENT, false, "m", NULL, -1, 9, ERR_NONE },
    { "a simple group commits again", SIMPLE, false, "", NULL, -1, 2, ERR_NONE },
    { "a generation in a simple group", SIMPLE, false, "", NULL, 0, 9, ERR_UNKNOWN_MEMBER_ID },
    { "an empty group, by an admin", EMPTY, false, "", NULL, -1, 9, ERR_NONE },
    { "an empty group, by a member that has left", EMPTY, true, NULL, NULL, 0, 9, ERR_UNKNOWN_MEMBER_ID },
    { "a stable group, by an admin", STABLE, false, "", NULL, -1, 9, ERR_UNKNOWN_MEMBER_ID },
    { "its member", STABLE, true, NULL, NULL, 0, 2, ERR_NONE },
    { "its member, newest version", STABLE, true, NULL, NULL, 0, 10, ERR_NONE },
    { "its member, of an older generation", STABLE, true, NULL, NULL, -1, 9, ERR_ILLEGAL_GENERATION },
    { "its member, of a generation to come", STABLE, true, NULL, NULL, 1, 9, ERR_ILLEGAL_GENERATION },
    { "somebody else", STABLE, false, "stranger", NULL, 1, 9, ERR_UNKNOWN_MEMBER_ID },
    { "an instance that is not known", STABLE, true, NULL, "i1", 0, 9, ERR_UNKNOWN_MEMBER_ID },
    { "its member, while the leader assigns", COMPLETING, true, NULL, NULL, 0, 9, ERR_REBALANCE_IN_PROGRESS },
};

static struct member prepare(enum situation situation, const char *group)
{
    struct member member = { .generation = 1 };
    if (situation == SIMPLE)
        commit(group, 0, 1);
    if (situation == COMPLETING)
        member = join_only(group, "consumer", "orders");
    if (situation == STABLE || situation == EMPTY)
        member = join(group, "consumer", "orders");
    if (situation == EMPTY)
        ck_assert_int_eq(leave(group, member.id), ERR_NONE);
    return member;
}

START_TEST(who_may_commit)
{
    rig_open("");
    for (size_t i = 0; i < sizeof caller_rows / sizeof *caller_rows; i++) {
        const struct caller_row *row = &caller_rows[i];
        char group[32];
        snprintf(group, sizeof group, "group-%zu", i);
        struct member member = prepare(row->situation, group);
        struct commit one = { .version = row->version,
                              .group = group,
                              .member = row->is_member ? member.id : row->member,
                              .instance = row->version >= 7 ? row->instance : NULL,
                              .has_generation = true,
                              .generation =
                                  row->is_member ? member.generation + row->generation : row->generation,
                              .offset = 77 };
        int16_t got = commit_as(&one);
        ck_assert_msg(got == row->error_code, "%s: %s instead of %s", row->why, error_name(got),
                      error_name(row->error_code));
        int64_t before = row->situation == SIMPLE ? 1 : -1;
        ck_assert_msg(fetch(group, 0) == (got == ERR_NONE ? 77 : before), "%s", row->why);
    }
    rig_close();
}
END_TEST

/* -- what is stored ---------------------------------------------------------------------------- */

START_TEST(what_is_committed_is_told)
{
    rig_open("");
    for (int16_t version = 2; version <= 10; version++) {
        struct commit one = { .version = version,
                              .group = "g",
                              .partition = version % 3,
                              .offset = INT64_C(1) << (4 * version),
                              .has_epoch = version >= 6,
                              .leader_epoch = version,
                              .metadata = version % 2 ? "stream time" : NULL };
        ck_assert_int_eq(commit_as(&one), ERR_NONE);
        struct place place = fetch_from("g", "orders", version % 3, version % 2);
        ck_assert_int_eq(place.error_code, ERR_NONE);
        ck_assert_int_eq(place.offset, one.offset);
        ck_assert_int_eq(place.leader_epoch, version >= 6 ? version : -1);
        ck_assert_str_eq(place.metadata, version % 2 ? "stream time" : "");
    }
    struct commit negative = { .group = "g", .offset = -7 };
    ck_assert_int_eq(commit_as(&negative), ERR_NONE); /* stored as given, as in Kafka */
    ck_assert_int_eq(fetch("g", 0), -7);
    rig_restart();
    ck_assert_int_eq(fetch("g", 0), -7);
    ck_assert_str_eq(fetch_from("g", "orders", 1, false).metadata, "");
    ck_assert_str_eq(fetch_from("g", "orders", 7 % 3, false).metadata, "");
    ck_assert_str_eq(fetch_from("g", "orders", 2, false).metadata, "");
    ck_assert_int_eq(fetch_from("g", "orders", 2, false).offset, INT64_C(1) << 32);
    rig_close();
}
END_TEST

START_TEST(metadata_has_a_length)
{
    static char text[4 * 4096 + 1];
    static const struct {
        const char *why;
        const char *piece;
        int count;
        int16_t error_code;
    } rows[] = {
        { "none", "", 0, ERR_NONE },
        { "as long as may be", "x", 4096, ERR_NONE },
        { "one more", "x", 4097, ERR_OFFSET_METADATA_TOO_LARGE },
        { "Java counts characters: two bytes each", "\xc3\xa9", 4096, ERR_NONE },
        { "one more of them", "\xc3\xa9", 4097, ERR_OFFSET_METADATA_TOO_LARGE },
        { "three bytes", "\xe2\x82\xac", 4096, ERR_NONE },
        { "outside of the basic plane a character counts twice", "\xf0\x9f\x98\x80", 2048, ERR_NONE },
        { "one more of those", "\xf0\x9f\x98\x80", 2049, ERR_OFFSET_METADATA_TOO_LARGE },
    };
    rig_open("");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        text[0] = '\0';
        for (int k = 0, at = 0; k < rows[i].count; k++)
            at += snprintf(text + at, sizeof text - (size_t)at, "%s", rows[i].piece);
        struct commit one = { .group = "g", .offset = (int64_t)i, .metadata = text };
        ck_assert_msg(commit_as(&one) == rows[i].error_code, "%s", rows[i].why);
        ck_assert_msg((fetch("g", 0) == (int64_t)i) == (rows[i].error_code == ERR_NONE), "%s", rows[i].why);
    }
    /* The group is asked first: its error stands in every partition. */
    struct commit stranger = { .group = "h", .has_generation = true, .generation = 5, .metadata = text };
    ck_assert_int_eq(commit_as(&stranger), ERR_GROUP_ID_NOT_FOUND);
    rig_close();
}
END_TEST

START_TEST(unknown_partitions_beside_known_ones)
{
    rig_open("");
    struct offset_commit_request request;
    struct offset_commit_request_topic topics[3];
    struct offset_commit_request_partition partitions[3];
    struct offset_commit_response response;
    for (int16_t version = 9; version <= 10; version++) {
        offset_commit_request_init(&request);
        for (int i = 0; i < 3; i++) {
            offset_commit_request_topic_init(&topics[i]);
            offset_commit_request_partition_init(&partitions[i]);
            topics[i].name = i == 1 ? SLICE_LITERAL("nowhere") : SLICE_LITERAL("orders");
            if (version >= 10)
                topics[i].topic_id = i == 1 ? (uuid){ { 9, 9 } } : topic_id_of("orders");
            topics[i].partitions = &partitions[i];
            topics[i].partitions_count = 1;
            partitions[i].partition = i == 0 ? 3 : 1;
            partitions[i].committed_offset = 40 + version;
            partitions[i].committed_metadata = SLICE_LITERAL("");
        }
        request.group_id = SLICE_LITERAL("g");
        request.topics = topics;
        request.topics_count = 3;
        ck_assert(sim_call(&client, KEY_OFFSET_COMMIT, version, &request, &response));
        ck_assert_int_eq(response.topics_count, 3);
        ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
        ck_assert_int_eq(response.topics[1].partitions[0].error_code,
                         version >= 10 ? ERR_UNKNOWN_TOPIC_ID : ERR_UNKNOWN_TOPIC_OR_PARTITION);
        ck_assert_int_eq(response.topics[2].partitions[0].error_code, ERR_NONE);
        ck_assert_int_eq(fetch("g", 1), 40 + version);
    }
    struct commit alone = { .group = "absent", .topic = "nowhere", .has_generation = true, .generation = 5 };
    ck_assert_int_eq(commit_as(&alone), ERR_UNKNOWN_TOPIC_OR_PARTITION); /* the group is not asked */
    rig_close();
}
END_TEST

/* Kafka puts a commit into one batch, and refuses one that the topic does not take. */
START_TEST(a_commit_larger_than_a_batch)
{
    enum { COUNT = 300 };
    static struct offset_commit_request_partition partitions[COUNT];
    static uint8_t metadata[4096];
    struct offset_commit_request request;
    struct offset_commit_request_topic topic;
    struct offset_commit_response response;
    rig_open("");
    memset(metadata, 'm', sizeof metadata);
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&topic);
    for (int i = 0; i < COUNT; i++) {
        offset_commit_request_partition_init(&partitions[i]);
        partitions[i].partition = i % 3;
        partitions[i].committed_offset = i;
        partitions[i].committed_metadata = slice_of(metadata, sizeof metadata);
    }
    topic.name = SLICE_LITERAL("orders");
    topic.partitions = partitions;
    request.group_id = SLICE_LITERAL("g");
    request.topics = &topic;
    request.topics_count = 1;
    for (int32_t count = 200; count <= COUNT; count += 100) {
        bool is_too_large = count == COUNT;
        topic.partitions_count = count;
        ck_assert(sim_call(&client, KEY_OFFSET_COMMIT, 9, &request, &response));
        ck_assert_int_eq(response.topics[0].partitions_count, count);
        for (int32_t i = 0; i < count; i++)
            ck_assert_int_eq(response.topics[0].partitions[i].error_code,
                             is_too_large ? ERR_UNKNOWN_SERVER_ERROR : ERR_NONE);
        ck_assert_int_eq(fetch("g", 199 % 3), 199); /* the last one of a partition counts */
    }
    rig_close();
}
END_TEST

/* -- limits ------------------------------------------------------------------------------------------------- */

/* The largest texts that may be committed, into more and more partitions. */
START_TEST(bytes_of_one_group)
{
    enum { PARTITIONS = 8000, AT_ONCE = 80, TEXT_SIZE = 3 * 4096 };
    static uint8_t text[TEXT_SIZE];
    static struct offset_commit_request_partition partitions[AT_ONCE];
    struct offset_commit_request request;
    struct offset_commit_request_topic topic;
    struct offset_commit_response response;
    rig_open("");
    make_topic_of("wide", PARTITIONS);
    for (int i = 0; i < TEXT_SIZE; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&topic);
    topic.name = SLICE_LITERAL("wide");
    topic.partitions = partitions;
    topic.partitions_count = AT_ONCE;
    request.group_id = SLICE_LITERAL("g");
    request.topics = &topic;
    request.topics_count = 1;
    int32_t first = 0;
    int16_t error_code = ERR_NONE;
    for (; error_code == ERR_NONE && first < PARTITIONS; first += AT_ONCE) {
        for (int32_t i = 0; i < AT_ONCE; i++) {
            offset_commit_request_partition_init(&partitions[i]);
            partitions[i].partition = first + i;
            partitions[i].committed_metadata = slice_of(text, sizeof text);
        }
        ck_assert(sim_call(&client, KEY_OFFSET_COMMIT, 9, &request, &response));
        error_code = response.topics[0].partitions[0].error_code;
    }
    ck_assert_int_eq(error_code, ERR_INVALID_COMMIT_OFFSET_SIZE);
    ck_assert_int_gt(first, 5000);
    commit("other", 0, 1); /* other groups go on, and so does what takes no more than before */
    struct commit again = { .group = "g", .topic = "wide", .partition = 7, .offset = 5, .metadata = "short" };
    ck_assert_int_eq(commit_as(&again), ERR_NONE);
    ck_assert_int_eq(fetch_from("g", "wide", 7, false).offset, 5);
    rig_restart(); /* nothing that is in the log is refused */
    ck_assert_int_eq(fetch_from("g", "wide", 7, false).offset, 5);
    rig_close();
}
END_TEST

START_TEST(number_of_groups)
{
    enum { MOST = 100000 }; /* GROUPS_MAX */
    char name[16];
    rig_open("");
    for (int i = 0; i < MOST; i++) {
        snprintf(name, sizeof name, "g%d", i);
        commit(name, 0, i);
    }
    struct commit one_more = { .group = "one more", .offset = 1 };
    ck_assert_int_eq(commit_as(&one_more), ERR_GROUP_MAX_SIZE_REACHED);
    commit("g7", 1, 8);
    ck_assert_int_eq(group_count(), MOST);
    ck_assert_int_eq(delete_group("g9"), ERR_NONE);
    ck_assert_int_eq(commit_as(&one_more), ERR_NONE);
    rig_restart();
    ck_assert_int_eq(group_count(), MOST);
    rig_close();
}
END_TEST

/* -- what is told ------------------------------------------------------------------------------ */

/* A fetch of all topics of some groups, with v8 and later, or of one with older ones. */
static struct offset_fetch_response fetch_all(int16_t version, const char *const *groups, int32_t count)
{
    struct offset_fetch_request request;
    static struct offset_fetch_request_group asked[4];
    struct offset_fetch_response response;
    offset_fetch_request_init(&request);
    request.group_id = version < 8 ? slice_of_string(groups[0]) : SLICE_LITERAL("");
    request.topics_count = version < 8 ? -1 : 0;
    for (int32_t i = 0; i < count && version >= 8; i++) {
        offset_fetch_request_group_init(&asked[i]);
        asked[i].group_id = slice_of_string(groups[i]);
        asked[i].topics_count = -1;
    }
    request.groups = asked;
    request.groups_count = version >= 8 ? count : 0;
    ck_assert(sim_call(&client, KEY_OFFSET_FETCH, version, &request, &response));
    return response;
}

START_TEST(all_topics_of_several_groups)
{
    static const char *const groups[] = { "one", "two", "absent", "one" };
    rig_open("");
    make_topic("zebras");
    uuid apples_id = make_topic("apples");
    commit("one", 2, 12);
    commit("one", 0, 10);
    struct commit zebras = {
        .group = "one", .topic = "zebras", .partition = 1, .offset = 31, .metadata = "z"
    };
    struct commit apples = { .group = "two", .topic = "apples", .partition = 1, .offset = 41 };
    ck_assert_int_eq(commit_as(&zebras), ERR_NONE);
    ck_assert_int_eq(commit_as(&apples), ERR_NONE);
    for (int16_t version = 2; version <= 7; version++) {
        struct offset_fetch_response response = fetch_all(version, groups, 1);
        ck_assert_int_eq(response.error_code, ERR_NONE);
        ck_assert_int_eq(response.topics_count, 2);
        ck_assert_int_eq(response.topics[0].partitions_count, 2);
        ck_assert_int_eq(response.topics[0].partitions[0].committed_offset, 10);
        ck_assert_int_eq(response.topics[0].partitions[1].committed_offset, 12);
        ck_assert_int_eq(response.topics[1].partitions[0].committed_offset, 31);
        ck_assert_int_eq(response.topics[1].partitions[0].metadata.size, 1);
    }
    for (int16_t version = 8; version <= 10; version++) {
        struct offset_fetch_response response = fetch_all(version, groups, 4);
        ck_assert_int_eq(response.groups_count, 4);
        ck_assert_int_eq(response.groups[0].topics_count, 2);
        ck_assert_int_eq(response.groups[1].topics_count, 1);
        ck_assert_int_eq(response.groups[1].topics[0].partitions[0].committed_offset, 41);
        ck_assert_int_eq(response.groups[2].topics_count, 0);
        ck_assert_int_eq(response.groups[2].error_code, ERR_NONE);
        ck_assert_int_eq(response.groups[3].topics_count, 2);
        if (version >= 10)
            ck_assert(uuid_equal(response.groups[1].topics[0].topic_id, apples_id));
    }
    rig_close();
}
END_TEST

START_TEST(what_nobody_committed)
{
    rig_open("");
    commit("g", 0, 5);
    static const struct {
        const char *why, *group, *topic;
        int32_t partition;
    } rows[] = {
        { "an unknown group", "absent", "orders", 0 },
        { "an unknown topic", "g", "nowhere", 0 },
        { "a partition without a commit", "g", "orders", 1 },
        { "a partition that is not there", "g", "orders", 99 },
        { "a partition below zero", "g", "orders", -1 },
        { "the group without a name", "", "orders", 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int stable = 0; stable <= 1; stable++) {
            struct place place = fetch_from(rows[i].group, rows[i].topic, rows[i].partition, stable);
            ck_assert_msg(place.error_code == ERR_NONE && place.offset == -1 && place.leader_epoch == -1 &&
                              place.metadata[0] == '\0',
                          "%s: %s, %lld", rows[i].why, error_name(place.error_code), (long long)place.offset);
        }
    commit("", 0, 9); /* old clients have such groups */
    ck_assert_int_eq(fetch("", 0), 9);
    rig_close();
}
END_TEST

START_TEST(a_topic_that_is_made_again)
{
    rig_open("");
    make_topic("fleeting");
    struct commit one = { .group = "g", .topic = "fleeting", .partition = 1, .offset = 50 };
    ck_assert_int_eq(commit_as(&one), ERR_NONE);
    uuid old = topic_id_of("fleeting");
    commit("g", 0, 5);
    delete_topic("fleeting");
    ck_assert_int_eq(fetch_from("g", "fleeting", 1, false).offset, -1);
    const char *const groups[] = { "g" };
    ck_assert_int_eq(fetch_all(9, groups, 1).groups[0].topics_count, 1);
    make_topic("fleeting");
    ck_assert_int_eq(fetch_from("g", "fleeting", 1, false).offset, -1);
    one.version = 10;
    one.topic_id = old;
    ck_assert_int_eq(commit_as(&one), ERR_UNKNOWN_TOPIC_ID);
    one.topic_id = topic_id_of("fleeting");
    one.offset = 3;
    ck_assert_int_eq(commit_as(&one), ERR_NONE);
    ck_assert_int_eq(fetch_from("g", "fleeting", 1, false).offset, 3);
    rig_restart();
    ck_assert_int_eq(fetch_from("g", "fleeting", 1, false).offset, 3);
    rig_close();
}
END_TEST

/* v1 tells of an error of the group in each partition, v2 to v7 above them. */
START_TEST(before_there_is_a_coordinator)
{
    struct offset_fetch_request request;
    struct offset_fetch_request_topic topic;
    struct offset_fetch_response response;
    int32_t partition = 1;
    sim_open(&sim, 1, "num.partitions=3\n");
    sim_connect(&sim, &client);
    make_topic("orders");
    offset_fetch_request_init(&request);
    offset_fetch_request_topic_init(&topic);
    topic.name = SLICE_LITERAL("orders");
    topic.partition_indexes = &partition;
    topic.partition_indexes_count = 1;
    request.group_id = SLICE_LITERAL("g");
    request.topics = &topic;
    request.topics_count = 1;
    for (int16_t version = 1; version <= 7; version++) {
        ck_assert(sim_call(&client, KEY_OFFSET_FETCH, version, &request, &response));
        ck_assert_int_eq(response.error_code, version >= 2 ? ERR_NOT_COORDINATOR : 0);
        ck_assert_int_eq(response.topics_count, version >= 2 ? 0 : 1);
        if (version < 2)
            ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NOT_COORDINATOR);
    }
    ck_assert_int_eq(fetch_from("g", "orders", 0, false).error_code, ERR_NOT_COORDINATOR);
    ck_assert_int_eq(group_count(), 0);
    rig_close();
}
END_TEST

TCase *commit_tests(void)
{
    TCase *tests = tcase_create("commits and fetches");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, who_may_commit);
    tcase_add_test(tests, what_is_committed_is_told);
    tcase_add_test(tests, metadata_has_a_length);
    tcase_add_test(tests, unknown_partitions_beside_known_ones);
    tcase_add_test(tests, a_commit_larger_than_a_batch);
    tcase_add_test(tests, bytes_of_one_group);
    tcase_add_test(tests, number_of_groups);
    tcase_add_test(tests, all_topics_of_several_groups);
    tcase_add_test(tests, what_nobody_committed);
    tcase_add_test(tests, a_topic_that_is_made_again);
    tcase_add_test(tests, before_there_is_a_coordinator);
    return tests;
}
