/* The rows of the versions matrix about groups: members and offsets. */
#include "tests/sim/versions/rig.h"

#include <stdio.h>

#include "codec/consumer_group_describe.h"
#include "codec/consumer_group_heartbeat.h"
#include "codec/delete_groups.h"
#include "codec/describe_groups.h"
#include "codec/find_coordinator.h"
#include "codec/heartbeat.h"
#include "codec/join_group.h"
#include "codec/leave_group.h"
#include "codec/list_groups.h"
#include "codec/offset_commit.h"
#include "codec/offset_delete.h"
#include "codec/offset_fetch.h"
#include "codec/sync_group.h"

enum {
    KEY_OFFSET_COMMIT = 8,
    KEY_OFFSET_FETCH = 9,
    KEY_FIND_COORDINATOR = 10,
    KEY_JOIN_GROUP = 11,
    KEY_HEARTBEAT = 12,
    KEY_LEAVE_GROUP = 13,
    KEY_SYNC_GROUP = 14,
    KEY_DESCRIBE_GROUPS = 15,
    KEY_LIST_GROUPS = 16,
    KEY_DELETE_GROUPS = 42,
    KEY_OFFSET_DELETE = 47,
    KEY_CONSUMER_GROUP_HEARTBEAT = 68,
    KEY_CONSUMER_GROUP_DESCRIBE = 69,
    GROUP_BITS = 0x168, /* operations 3, 5, 6, 8 */
};

static const struct exemption throttle_untold[] = { { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
                                                    { 0 } };

static void open_groups(void)
{
    struct find_coordinator_request request;
    struct find_coordinator_response told;
    slice key = SLICE_LITERAL("any");
    rig_open("group.initial.rebalance.delay.ms=0\n");
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    ask_other(KEY_FIND_COORDINATOR, 4, &request, &told);
    expect(told.coordinators[0].error_code, ERR_NONE);
}

/* -- members ----------------------------------------------------------------------------------- */

struct known {
    char id[128];
    int32_t generation;
};

static struct join_group_request_protocol range;

static void fill_join(struct join_group_request *request, const char *instance)
{
    join_group_request_init(request);
    join_group_request_protocol_init(&range);
    range.name = SLICE_LITERAL("range");
    range.metadata = SLICE_LITERAL("\0\0\0\0\0\1\0\6orders\xff\xff\xff\xff");
    request->group_id = SLICE_LITERAL("group");
    request->session_timeout_ms = 10000;
    request->rebalance_timeout_ms = 20000;
    request->protocol_type = SLICE_LITERAL("consumer");
    request->protocols = &range;
    request->protocols_count = 1;
    request->group_instance_id = instance ? slice_of_string(instance) : SLICE_NULL;
}

static void note_member(struct known *known, const struct join_group_response *told)
{
    snprintf(known->id, sizeof known->id, "%.*s", (int)told->member_id.size,
             (const char *)told->member_id.data);
    known->generation = told->generation_id;
}

/* A stable group of one, a static member from the version on that has them. */
static struct known make_member(bool is_static, bool with_sync)
{
    struct join_group_request request;
    struct join_group_response told;
    struct known known;
    fill_join(&request, is_static ? "i1" : NULL);
    ask_other(KEY_JOIN_GROUP, is_static ? 5 : 3, &request, &told);
    expect(told.error_code, ERR_NONE);
    note_member(&known, &told);
    if (with_sync) {
        struct sync_group_request sync;
        struct sync_group_request_assignment assignment;
        struct sync_group_response synced;
        sync_group_request_init(&sync);
        sync_group_request_assignment_init(&assignment);
        sync.group_id = request.group_id;
        sync.generation_id = known.generation;
        sync.member_id = assignment.member_id = slice_of_string(known.id);
        assignment.assignment = SLICE_LITERAL("share");
        sync.assignments = &assignment;
        sync.assignments_count = 1;
        ask_other(KEY_SYNC_GROUP, 1, &sync, &synced);
        expect(synced.error_code, ERR_NONE);
    }
    return known;
}

static void check_join_group(int16_t version)
{
    struct join_group_request request;
    struct join_group_response told;
    struct known known;
    open_groups();
    fill_join(&request, NULL);
    request.member_id = SLICE_LITERAL("stranger");
    request.reason = SLICE_LITERAL("why not");
    ask(&request, &told);
    expect(told.error_code, ERR_UNKNOWN_MEMBER_ID);
    expect(told.generation_id, -1);
    expect(told.members_count, 0);
    expect_text(told.member_id, "stranger");
    fill_join(&request, NULL);
    ask(&request, &told);
    expect(told.error_code, version >= 4 ? ERR_MEMBER_ID_REQUIRED : ERR_NONE);
    note_member(&known, &told);
    if (version >= 4) {
        request.member_id = slice_of_string(known.id);
        ask(&request, &told);
        expect(told.error_code, ERR_NONE);
    }
    expect(told.generation_id, 1);
    expect(told.members_count, 1);
    expect_text(told.leader, known.id);
    expect_text(told.member_id, known.id);
    expect_text(told.members[0].member_id, known.id);
    expect(told.members[0].metadata.size, range.metadata.size);
    expect_text(told.protocol_name, "range");
    if (version >= 7)
        expect_text(told.protocol_type, "consumer");
    rig_close();
    open_groups(); /* a static leader comes back */
    if (version >= 5) {
        make_member(true, true);
        fill_join(&request, "i1");
        ask(&request, &told);
        expect(told.error_code, ERR_NONE);
        expect(told.skip_assignment, version >= 9);
        expect(told.members_count, version >= 9 ? 1 : 0);
        if (version >= 9)
            expect_text(told.members[0].group_instance_id, "i1");
        /* Leader of a generation that has to be assigned. */
        fill_join(&request, "i2");
        request.group_id = SLICE_LITERAL("another");
        ask(&request, &told);
        expect_text(told.members[0].group_instance_id, "i2");
    }
    rig_close();
}

static void check_sync_group(int16_t version)
{
    struct sync_group_request request;
    struct sync_group_request_assignment assignment;
    struct sync_group_response told;
    open_groups();
    struct known known = make_member(version >= 3, false);
    sync_group_request_init(&request);
    sync_group_request_assignment_init(&assignment);
    assignment.member_id = slice_of_string(known.id);
    assignment.assignment = SLICE_LITERAL("share");
    request.group_id = SLICE_LITERAL("group");
    request.generation_id = known.generation + 1;
    request.member_id = slice_of_string(known.id);
    request.group_instance_id = version >= 3 ? SLICE_LITERAL("i1") : SLICE_NULL;
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocol_name = SLICE_LITERAL("range");
    request.assignments = &assignment;
    request.assignments_count = 1;
    ask(&request, &told);
    expect(told.error_code, ERR_ILLEGAL_GENERATION);
    expect(told.assignment.size, 0);
    request.generation_id = known.generation;
    ask(&request, &told);
    expect(told.error_code, ERR_NONE);
    expect_text(told.assignment, "share");
    if (version >= 5) {
        expect_text(told.protocol_type, "consumer");
        expect_text(told.protocol_name, "range");
        request.protocol_name = SLICE_LITERAL("roundrobin");
        ask(&request, &told);
        expect(told.error_code, ERR_INCONSISTENT_GROUP_PROTOCOL);
    }
    rig_close();
}

static void check_heartbeat(int16_t version)
{
    struct heartbeat_request request;
    struct heartbeat_response told;
    open_groups();
    struct known known = make_member(version >= 3, true);
    heartbeat_request_init(&request);
    request.group_id = SLICE_LITERAL("group");
    request.generation_id = known.generation;
    request.member_id = slice_of_string(known.id);
    request.group_instance_id = version >= 3 ? SLICE_LITERAL("i1") : SLICE_NULL;
    ask(&request, &told);
    expect(told.error_code, ERR_NONE);
    request.generation_id++;
    ask(&request, &told);
    expect(told.error_code, ERR_ILLEGAL_GENERATION);
    request.group_id = SLICE_LITERAL("absent");
    ask(&request, &told);
    expect(told.error_code, ERR_UNKNOWN_MEMBER_ID);
    rig_close();
}

static void check_leave_group(int16_t version)
{
    struct leave_group_request request;
    struct leave_group_request_member members[2];
    struct leave_group_response told;
    open_groups();
    struct known known = make_member(version >= 3, true);
    leave_group_request_init(&request);
    request.group_id = SLICE_LITERAL("group");
    if (version < 3) {
        request.member_id = SLICE_LITERAL("stranger");
        ask(&request, &told);
        expect(told.error_code, ERR_UNKNOWN_MEMBER_ID);
        request.member_id = slice_of_string(known.id);
    }
    for (int i = 0; i < 2; i++)
        leave_group_request_member_init(&members[i]);
    members[0].member_id = SLICE_LITERAL("stranger");
    members[1].member_id = slice_of_string(known.id);
    members[1].group_instance_id = SLICE_LITERAL("i1");
    members[1].reason = SLICE_LITERAL("enough");
    request.members = members;
    request.members_count = version >= 3 ? 2 : 0;
    ask(&request, &told);
    expect(told.error_code, ERR_NONE);
    expect(told.members_count, version >= 3 ? 2 : 0);
    if (version >= 3) {
        expect(told.members[0].error_code, ERR_UNKNOWN_MEMBER_ID);
        expect(told.members[1].error_code, ERR_NONE);
        expect_text(told.members[1].group_instance_id, "i1");
        deny(OP_READ, "group");
        ask(&request, &told);
        expect(told.error_code, ERR_GROUP_AUTHORIZATION_FAILED);
    }
    rig_close();
}

/* -- offsets ----------------------------------------------------------------------------------- */

static struct offset_commit_response commit(int16_t version, const struct known *known, uuid topic_id,
                                            int64_t offset, const char *metadata)
{
    static struct offset_commit_request_topic topic;
    static struct offset_commit_request_partition partition;
    struct offset_commit_request request;
    struct offset_commit_response told;
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&topic);
    offset_commit_request_partition_init(&partition);
    request.group_id = SLICE_LITERAL("group");
    request.member_id = known ? slice_of_string(known->id) : SLICE_LITERAL("");
    request.generation_id_or_member_epoch = known ? known->generation : -1;
    request.group_instance_id = known && version >= 7 ? SLICE_LITERAL("i1") : SLICE_NULL;
    request.retention_time_ms = version <= 4 ? 100000 : -1;
    topic.name = SLICE_LITERAL("orders");
    topic.topic_id = topic_id;
    topic.partitions = &partition;
    topic.partitions_count = 1;
    partition.partition = 2;
    partition.committed_offset = offset;
    partition.committed_leader_epoch = 4;
    partition.committed_metadata = metadata ? slice_of_string(metadata) : SLICE_NULL;
    request.topics = &topic;
    request.topics_count = 1;
    if (version == subject.version && subject.key == KEY_OFFSET_COMMIT)
        ask(&request, &told);
    else
        ask_other(KEY_OFFSET_COMMIT, version, &request, &told);
    return told;
}

static void check_offset_commit(int16_t version)
{
    open_groups();
    uuid orders = make_topic("orders");
    struct known known = make_member(version >= 7, true);
    struct offset_commit_response told = commit(version, &known, orders, 12, "beside it");
    expect(told.topics_count, 1);
    expect(told.topics[0].partitions[0].partition, 2);
    expect(told.topics[0].partitions[0].error_code, ERR_NONE);
    if (version < 10)
        expect_text(told.topics[0].name, "orders");
    else
        expect_that(uuid_equal(told.topics[0].topic_id, orders));
    told = commit(version, NULL, orders, 13, NULL);
    expect(told.topics[0].partitions[0].error_code, ERR_UNKNOWN_MEMBER_ID);
    rig_close();
}

static void expect_place(int64_t offset, int32_t epoch, slice metadata, int16_t error_code)
{
    expect(offset, 12);
    expect(epoch, subject.version >= 5 ? 4 : -1);
    expect_text(metadata, "beside it");
    expect(error_code, ERR_NONE);
}

static void check_old_offset_fetch(int16_t version)
{
    struct offset_fetch_request request;
    struct offset_fetch_request_topic topic;
    struct offset_fetch_response told;
    int32_t partitions[] = { 2, 1 };
    offset_fetch_request_init(&request);
    offset_fetch_request_topic_init(&topic);
    topic.name = SLICE_LITERAL("orders");
    topic.partition_indexes = partitions;
    topic.partition_indexes_count = 2;
    request.group_id = SLICE_LITERAL("group");
    request.topics = &topic;
    request.topics_count = 1;
    request.require_stable = version >= 7;
    ask(&request, &told);
    expect(told.error_code, ERR_NONE);
    expect(told.topics_count, 1);
    expect_text(told.topics[0].name, "orders");
    const struct offset_fetch_response_partition *first = told.topics[0].partitions;
    expect(first[0].partition, 2);
    expect_place(first[0].committed_offset, first[0].committed_leader_epoch, first[0].metadata,
                 first[0].error_code);
    expect(first[1].committed_offset, -1);
    expect_text(first[1].metadata, "");
    if (version >= 2) {
        request.topics_count = -1;
        ask(&request, &told);
        expect(told.topics_count, 1);
        expect(told.topics[0].partitions_count, 1);
    }
    request.topics_count = 1;
    deny(OP_DESCRIBE, "orders");
    ask(&request, &told);
    expect(told.topics[0].partitions[0].error_code, ERR_TOPIC_AUTHORIZATION_FAILED);
    deny(OP_DESCRIBE, "group");
    ask(&request, &told);
    expect(told.error_code, version >= 2 ? ERR_GROUP_AUTHORIZATION_FAILED : 0);
}

static void check_offset_fetch(int16_t version)
{
    struct offset_fetch_request request;
    struct offset_fetch_request_group groups[2];
    struct offset_fetch_request_topics topic;
    struct offset_fetch_response told;
    int32_t partitions[] = { 2, 1 };
    open_groups();
    uuid orders = make_topic("orders");
    expect(commit(9, NULL, orders, 12, "beside it").topics[0].partitions[0].error_code, ERR_NONE);
    if (version < 8) {
        check_old_offset_fetch(version);
        rig_close();
        return;
    }
    offset_fetch_request_init(&request);
    offset_fetch_request_topics_init(&topic);
    for (int i = 0; i < 2; i++)
        offset_fetch_request_group_init(&groups[i]);
    topic.name = SLICE_LITERAL("orders");
    topic.topic_id = orders;
    topic.partition_indexes = partitions;
    topic.partition_indexes_count = 2;
    groups[0].group_id = SLICE_LITERAL("group");
    groups[0].topics = &topic;
    groups[0].topics_count = 1;
    groups[1].group_id = SLICE_LITERAL("other");
    groups[1].topics_count = -1;
    groups[1].member_id = SLICE_LITERAL("nobody");
    groups[1].member_epoch = 3;
    request.groups = groups;
    request.groups_count = 2;
    request.require_stable = true;
    ask(&request, &told);
    expect(told.groups_count, 2);
    const struct offset_fetch_response_partitions *first = told.groups[0].topics[0].partitions;
    expect(told.groups[0].error_code, ERR_NONE);
    expect_place(first[0].committed_offset, first[0].committed_leader_epoch, first[0].metadata,
                 first[0].error_code);
    expect(first[1].committed_offset, -1);
    expect(told.groups[1].error_code, ERR_NONE);
    expect(told.groups[1].topics_count, 0);
    if (version >= 10) {
        expect_that(uuid_equal(told.groups[0].topics[0].topic_id, orders));
        topic.topic_id = (uuid){ { 1, 2, 3 } };
        ask(&request, &told);
        expect(told.groups[0].topics[0].partitions[0].error_code, ERR_UNKNOWN_TOPIC_ID);
        topic.topic_id = orders;
    } else {
        expect_text(told.groups[0].topics[0].name, "orders");
        deny(OP_DESCRIBE, "orders");
        ask(&request, &told);
        expect(told.groups[0].topics[0].partitions[0].error_code, ERR_TOPIC_AUTHORIZATION_FAILED);
    }
    deny(OP_DESCRIBE, "other");
    ask(&request, &told);
    expect(told.groups[1].error_code, ERR_GROUP_AUTHORIZATION_FAILED);
    rig_close();
}

static void check_offset_delete(int16_t version)
{
    struct offset_delete_request request;
    struct offset_delete_request_topic topic;
    struct offset_delete_request_partition partitions[] = { { 2 }, { 9 } };
    struct offset_delete_response told;
    (void)version;
    open_groups();
    commit(9, NULL, make_topic("orders"), 12, NULL);
    offset_delete_request_init(&request);
    offset_delete_request_topic_init(&topic);
    topic.name = SLICE_LITERAL("orders");
    topic.partitions = partitions;
    topic.partitions_count = 2;
    request.group_id = SLICE_LITERAL("group");
    request.topics = &topic;
    request.topics_count = 1;
    ask(&request, &told);
    expect(told.error_code, ERR_NONE);
    expect_text(told.topics[0].name, "orders");
    expect(told.topics[0].partitions[0].partition, 2);
    expect(told.topics[0].partitions[0].error_code, ERR_NONE);
    expect(told.topics[0].partitions[1].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ask(&request, &told);
    expect(told.error_code, ERR_GROUP_ID_NOT_FOUND); /* the last offset was the group */
    expect(told.topics_count, 0);
    rig_close();
}

/* -- administration ---------------------------------------------------------------------------- */

static void check_list_groups(int16_t version)
{
    struct list_groups_request request;
    struct list_groups_response told;
    slice state = SLICE_LITERAL("Stable"), type = SLICE_LITERAL("classic");
    open_groups();
    make_member(false, true);
    list_groups_request_init(&request);
    request.states_filter = &state;
    request.states_filter_count = version >= 4 ? 1 : 0;
    request.types_filter = &type;
    request.types_filter_count = version >= 5 ? 1 : 0;
    ask(&request, &told);
    expect(told.error_code, ERR_NONE);
    expect(told.groups_count, 1);
    expect_text(told.groups[0].group_id, "group");
    expect_text(told.groups[0].protocol_type, "consumer");
    if (version >= 4)
        expect_text(told.groups[0].group_state, "Stable");
    if (version >= 5)
        expect_text(told.groups[0].group_type, "classic");
    rig_close();
}

static const struct exemption list_groups_untold[] = {
    { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
    { "error_code", 0, NEVER_LAST, "only while groups are loaded" },
    { 0 },
};

static void check_describe_groups(int16_t version)
{
    struct describe_groups_request request;
    struct describe_groups_response told;
    slice groups[] = { SLICE_LITERAL("group"), SLICE_LITERAL("absent"), SLICE_LITERAL("secret") };
    open_groups();
    struct known known = make_member(version >= 4, true);
    deny(OP_DESCRIBE, "secret");
    describe_groups_request_init(&request);
    request.groups = groups;
    request.groups_count = 3;
    request.include_authorized_operations = version >= 3;
    ask(&request, &told);
    expect(told.groups_count, 3);
    const struct describe_groups_response_group *group = &told.groups[0];
    expect(group->error_code, ERR_NONE);
    expect_text(group->group_id, "group");
    expect_text(group->group_state, "Stable");
    expect_text(group->protocol_type, "consumer");
    expect_text(group->protocol_data, "range");
    expect(group->members_count, 1);
    expect_text(group->members[0].member_id, known.id);
    expect_that(group->members[0].client_id.size > 0);
    expect_that(group->members[0].client_host.size > 0 && group->members[0].client_host.data[0] == '/');
    expect(group->members[0].member_metadata.size, range.metadata.size);
    expect_text(group->members[0].member_assignment, "share");
    if (version >= 4)
        expect_text(group->members[0].group_instance_id, "i1");
    if (version >= 3)
        expect_that(group->authorized_operations > 0);
    expect_text(told.groups[1].group_state, "Dead");
    expect(told.groups[1].error_code, version >= 6 ? ERR_GROUP_ID_NOT_FOUND : ERR_NONE);
    expect_that((told.groups[1].error_message.size > 0) == (version >= 6));
    expect(told.groups[2].error_code, ERR_GROUP_AUTHORIZATION_FAILED);
    rig_close();
}

static void check_delete_groups(int16_t version)
{
    struct delete_groups_request request;
    struct delete_groups_response told;
    slice groups[] = { SLICE_LITERAL("group"), SLICE_LITERAL("absent") };
    (void)version;
    open_groups();
    make_member(false, true);
    delete_groups_request_init(&request);
    request.groups_names = groups;
    request.groups_names_count = 2;
    ask(&request, &told);
    expect(told.results_count, 2);
    for (int32_t i = 0; i < 2; i++)
        expect(told.results[i].error_code, slice_equal_string(told.results[i].group_id, "group")
                                               ? ERR_NON_EMPTY_GROUP
                                               : ERR_GROUP_ID_NOT_FOUND);
    rig_close();
}

/* -- consumer groups (KIP-848) ------------------------------------------------------------------------------ */

static slice orders_name[] = { { (const uint8_t *)"orders", 6 } };

static void fill_beat(struct consumer_group_heartbeat_request *request, int32_t epoch)
{
    consumer_group_heartbeat_request_init(request);
    request->group_id = SLICE_LITERAL("new");
    request->member_id = SLICE_LITERAL("m1");
    request->member_epoch = epoch;
    request->instance_id = SLICE_LITERAL("i1");
    request->rack_id = SLICE_LITERAL("r1");
    request->rebalance_timeout_ms = 30000;
    request->subscribed_topic_names = orders_name;
    request->subscribed_topic_names_count = 1;
    request->server_assignor = SLICE_LITERAL("uniform");
    request->topic_partitions_count = 0;
}

static void check_consumer_group_heartbeat(int16_t version)
{
    struct consumer_group_heartbeat_request request;
    struct consumer_group_heartbeat_request_topic_partition owned;
    struct consumer_group_heartbeat_response told;
    int32_t partitions[] = { 0, 1, 2 };
    open_groups();
    uuid id = make_topic("orders");
    fill_beat(&request, 0);
    if (version >= 1)
        request.subscribed_topic_regex = SLICE_LITERAL("or.*");
    ask(&request, &told);
    expect(told.error_code, ERR_NONE);
    expect_that(slice_is_null(told.error_message));
    expect_text(told.member_id, "m1");
    expect(told.member_epoch, 1);
    expect_that(told.heartbeat_interval_ms > 0);
    expect(told.assignment->topic_partitions_count, 1);
    expect_that(uuid_equal(told.assignment->topic_partitions[0].topic_id, id));
    expect(told.assignment->topic_partitions[0].partitions_count, 3);
    expect(told.assignment->topic_partitions[0].partitions[2], 2);
    fill_beat(&request, told.member_epoch);
    consumer_group_heartbeat_request_topic_partition_init(&owned);
    owned.topic_id = id;
    owned.partitions = partitions;
    owned.partitions_count = 3;
    request.topic_partitions = &owned;
    request.topic_partitions_count = 1;
    ask(&request, &told);
    expect(told.error_code, ERR_NONE);
    fill_beat(&request, 7);
    ask(&request, &told);
    expect(told.error_code, ERR_FENCED_MEMBER_EPOCH);
    expect_that(told.error_message.size > 0);
    request.member_epoch = 0;
    request.member_id = SLICE_LITERAL("");
    request.instance_id = SLICE_LITERAL("i2");
    ask(&request, &told); /* ids are the client's business from v1 on */
    expect(told.error_code, version >= 1 ? ERR_INVALID_REQUEST : ERR_NONE);
    rig_close();
}

static void check_consumer_group_describe(int16_t version)
{
    struct consumer_group_heartbeat_request beat;
    struct consumer_group_heartbeat_response beaten;
    struct consumer_group_describe_request request;
    struct consumer_group_describe_response told;
    slice groups[] = { SLICE_LITERAL("new"), SLICE_LITERAL("absent"), SLICE_LITERAL("secret") };
    open_groups();
    uuid id = make_topic("orders");
    fill_beat(&beat, 0);
    beat.subscribed_topic_regex = SLICE_LITERAL("or.*");
    ask_other(KEY_CONSUMER_GROUP_HEARTBEAT, 1, &beat, &beaten);
    expect(beaten.error_code, ERR_NONE);
    deny(OP_DESCRIBE, "secret");
    consumer_group_describe_request_init(&request);
    request.group_ids = groups;
    request.group_ids_count = 3;
    request.include_authorized_operations = true;
    ask(&request, &told);
    expect(told.groups_count, 3);
    const struct consumer_group_describe_response_group *group = &told.groups[0];
    expect(group->error_code, ERR_NONE);
    expect_text(group->group_id, "new");
    expect_text(group->group_state, "Stable");
    expect(group->group_epoch, 1);
    expect(group->assignment_epoch, 1);
    expect_text(group->assignor_name, "uniform");
    expect_that(group->authorized_operations > 0);
    expect(group->members_count, 1);
    const struct consumer_group_describe_response_member *member = &group->members[0];
    expect_text(member->member_id, "m1");
    expect_text(member->instance_id, "i1");
    expect_text(member->rack_id, "r1");
    expect(member->member_epoch, 1);
    expect_that(member->client_id.size > 0);
    expect_that(member->client_host.size > 0 && member->client_host.data[0] == '/');
    expect(member->subscribed_topic_names_count, 1);
    expect_text(member->subscribed_topic_names[0], "orders");
    expect_text(member->subscribed_topic_regex, "or.*");
    expect(member->assignment.topic_partitions_count, 1);
    expect_text(member->assignment.topic_partitions[0].topic_name, "orders");
    expect_that(uuid_equal(member->assignment.topic_partitions[0].topic_id, id));
    expect(member->assignment.topic_partitions[0].partitions_count, 3);
    expect(member->target_assignment.topic_partitions_count, 1);
    expect(member->target_assignment.topic_partitions[0].partitions[2], 2);
    expect(member->member_type, version >= 1 ? 1 : -1);
    expect(told.groups[1].error_code, ERR_GROUP_ID_NOT_FOUND);
    expect_text(told.groups[1].error_message, "Group absent not found.");
    expect(told.groups[2].error_code, ERR_GROUP_AUTHORIZATION_FAILED);
    rig_close();
}

/* ----------------------------------------------------------------------------------------------------- */

const struct check_row group_rows[] = {
    { KEY_OFFSET_COMMIT, check_offset_commit, NULL, throttle_untold },
    { KEY_OFFSET_FETCH, check_offset_fetch, NULL, throttle_untold },
    { KEY_JOIN_GROUP, check_join_group, NULL, throttle_untold },
    { KEY_HEARTBEAT, check_heartbeat, NULL, throttle_untold },
    { KEY_LEAVE_GROUP, check_leave_group, NULL, throttle_untold },
    { KEY_SYNC_GROUP, check_sync_group, NULL, throttle_untold },
    { KEY_DESCRIBE_GROUPS, check_describe_groups, NULL, throttle_untold },
    { KEY_LIST_GROUPS, check_list_groups, NULL, list_groups_untold },
    { KEY_DELETE_GROUPS, check_delete_groups, NULL, throttle_untold },
    { KEY_OFFSET_DELETE, check_offset_delete, NULL, throttle_untold },
    { KEY_CONSUMER_GROUP_HEARTBEAT, check_consumer_group_heartbeat, NULL, throttle_untold },
    { KEY_CONSUMER_GROUP_DESCRIBE, check_consumer_group_describe, NULL, throttle_untold },
};
const size_t group_row_count = sizeof group_rows / sizeof *group_rows;
