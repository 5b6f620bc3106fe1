/* Every served API under a rule that denies all: each answers Kafka's authorisation error, and tells
 * nothing of what exists (facts: protocol, appendix C). A new API without a row here fails. */
#include <check.h>
#include <stdlib.h>

#include "broker/dispatch.h"
#include "codec/api_versions.h"
#include "codec/fetch.h"
#include "codec/find_coordinator.h"
#include "codec/heartbeat.h"
#include "codec/join_group.h"
#include "codec/leave_group.h"
#include "codec/list_offsets.h"
#include "codec/metadata.h"
#include "codec/produce.h"
#include "codec/sync_group.h"
#include "protocol/errors.h"
#include "tests/support/sim.h"

static struct sim sim;
static struct sim_client client;

static bool deny_all(void *context, const struct conn *conn, enum acl_operation op, int resource_type, slice name)
{
    (void)context;
    (void)conn;
    (void)op;
    (void)resource_type;
    (void)name;
    return false;
}

/* -- what each API answers for the topic "secret", which exists ----------------------------------- */

static int16_t ask_produce(int16_t version)
{
    struct produce_request request;
    struct produce_request_topic topic;
    struct produce_request_partition partition;
    struct produce_response response;
    produce_request_init(&request);
    produce_request_topic_init(&topic);
    produce_request_partition_init(&partition);
    partition.records.bytes = SLICE_LITERAL("not looked at");
    topic.name = SLICE_LITERAL("secret");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.acks = 1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, 0, version, &request, &response));
    return response.topics[0].partitions[0].error_code;
}

static int16_t ask_fetch(int16_t version)
{
    struct fetch_request request;
    struct fetch_request_topic topic;
    struct fetch_request_partition partition;
    struct fetch_response response;
    fetch_request_init(&request);
    fetch_request_topic_init(&topic);
    fetch_request_partition_init(&partition);
    partition.partition_max_bytes = 1000;
    topic.name = SLICE_LITERAL("secret");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.session_epoch = -1;
    request.max_wait_ms = 100000;
    request.min_bytes = 1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, 1, version, &request, &response));
    return response.topics[0].partitions[0].error_code;
}

static int16_t ask_list_offsets(int16_t version)
{
    struct list_offsets_request request;
    struct list_offsets_request_topic topic;
    struct list_offsets_request_partition partition;
    struct list_offsets_response response;
    list_offsets_request_init(&request);
    list_offsets_request_topic_init(&topic);
    list_offsets_request_partition_init(&partition);
    request.replica_id = -1;
    partition.timestamp = -1;
    topic.name = SLICE_LITERAL("secret");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, 2, version, &request, &response));
    return response.topics[0].partitions[0].error_code;
}

static int16_t ask_metadata(int16_t version)
{
    struct metadata_request request;
    struct metadata_request_topic topic;
    struct metadata_response response;
    metadata_request_init(&request);
    metadata_request_topic_init(&topic);
    topic.name = SLICE_LITERAL("secret");
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, 3, version, &request, &response));
    ck_assert_int_eq(response.topics[0].partitions_count, 0);
    int16_t named = response.topics[0].error_code;
    /* and in the list of all it is not there */
    metadata_request_init(&request);
    if (version > 0)
        request.topics_count = -1;
    ck_assert(sim_call(&client, 3, version, &request, &response));
    ck_assert_int_eq(response.topics_count, 0);
    return named;
}

static int16_t ask_find_coordinator(int16_t version)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice key = SLICE_LITERAL("group");
    find_coordinator_request_init(&request);
    if (version >= 4) {
        request.coordinator_keys = &key;
        request.coordinator_keys_count = 1;
    } else {
        request.key = key;
    }
    ck_assert(sim_call(&client, 10, version, &request, &response));
    return version >= 4 ? response.coordinators[0].error_code : response.error_code;
}

static int16_t ask_join_group(int16_t version)
{
    struct join_group_request request;
    struct join_group_response response;
    join_group_request_init(&request);
    request.group_id = SLICE_LITERAL("group");
    request.session_timeout_ms = 10000;
    request.member_id = SLICE_LITERAL("nobody");
    request.protocol_type = SLICE_LITERAL("consumer");
    ck_assert(sim_call(&client, 11, version, &request, &response));
    return response.error_code;
}

static int16_t ask_heartbeat(int16_t version)
{
    struct heartbeat_request request;
    struct heartbeat_response response;
    heartbeat_request_init(&request);
    request.group_id = SLICE_LITERAL("group");
    request.member_id = SLICE_LITERAL("nobody");
    ck_assert(sim_call(&client, 12, version, &request, &response));
    return response.error_code;
}

static int16_t ask_leave_group(int16_t version)
{
    struct leave_group_request request;
    struct leave_group_request_member member;
    struct leave_group_response response;
    leave_group_request_init(&request);
    leave_group_request_member_init(&member);
    request.group_id = SLICE_LITERAL("group");
    member.member_id = SLICE_LITERAL("nobody");
    if (version >= 3) {
        request.members = &member;
        request.members_count = 1;
    } else {
        request.member_id = member.member_id;
    }
    ck_assert(sim_call(&client, 13, version, &request, &response));
    return response.members_count > 0 ? response.members[0].error_code : response.error_code;
}

static int16_t ask_sync_group(int16_t version)
{
    struct sync_group_request request;
    struct sync_group_response response;
    sync_group_request_init(&request);
    request.group_id = SLICE_LITERAL("group");
    request.member_id = SLICE_LITERAL("nobody");
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocol_name = SLICE_LITERAL("range");
    ck_assert(sim_call(&client, 14, version, &request, &response));
    return response.error_code;
}

static int16_t ask_api_versions(int16_t version)
{
    struct api_versions_request request;
    struct api_versions_response response;
    api_versions_request_init(&request);
    if (version >= 3) {
        request.client_software_name = SLICE_LITERAL("test");
        request.client_software_version = SLICE_LITERAL("1");
    }
    ck_assert(sim_call(&client, 18, version, &request, &response));
    return response.error_code;
}

static const struct {
    int16_t key;
    int16_t (*ask)(int16_t version);
    int16_t denied;
    int16_t allowed; /* the control */
    int16_t by_id_from; /* versions that name topics by id: an unknown id is all they can tell */
    int16_t denied_by_id;
} rows[] = {
    { 0, ask_produce, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_INVALID_RECORD, 13, ERR_UNKNOWN_TOPIC_ID },
    { 1, ask_fetch, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, 13, ERR_UNKNOWN_TOPIC_ID },
    { 2, ask_list_offsets, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 3, ask_metadata, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 10, ask_find_coordinator, ERR_GROUP_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 11, ask_join_group, ERR_GROUP_AUTHORIZATION_FAILED, ERR_UNKNOWN_MEMBER_ID, INT16_MAX, 0 },
    { 12, ask_heartbeat, ERR_GROUP_AUTHORIZATION_FAILED, ERR_UNKNOWN_MEMBER_ID, INT16_MAX, 0 },
    { 13, ask_leave_group, ERR_GROUP_AUTHORIZATION_FAILED, ERR_UNKNOWN_MEMBER_ID, INT16_MAX, 0 },
    { 14, ask_sync_group, ERR_GROUP_AUTHORIZATION_FAILED, ERR_UNKNOWN_MEMBER_ID, INT16_MAX, 0 },
    { 18, ask_api_versions, ERR_NONE, ERR_NONE, INT16_MAX, 0 },
};

static void make_topic(void)
{
    struct metadata_request request;
    struct metadata_request_topic topic;
    struct metadata_response response;
    metadata_request_init(&request);
    metadata_request_topic_init(&topic);
    topic.name = SLICE_LITERAL("secret");
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, 3, 9, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

START_TEST(every_api_is_denied)
{
    size_t served_count;
    const struct api_row *served = api_rows(&served_count);
    ck_assert_msg(served_count == sizeof rows / sizeof *rows, "an API is served that has no row in this test");
    sim_open(&sim, 1, "");
    sim_connect(&sim, &client);
    make_topic();
    sim.server->authorize = deny_all;
    for (size_t i = 0; i < served_count; i++) {
        ck_assert_int_eq(served[i].key, rows[i].key);
        for (int16_t version = served[i].served_min; version <= served[i].served_max; version++) {
            int16_t expected = version >= rows[i].by_id_from ? rows[i].denied_by_id : rows[i].denied;
            int16_t got = rows[i].ask(version);
            ck_assert_msg(got == expected, "key %d v%d: %s, expected %s", rows[i].key, version, error_name(got),
                          error_name(expected));
        }
    }
    sim_disconnect(&client);
    sim_close(&sim);
}
END_TEST

START_TEST(the_same_is_allowed_without_the_rule)
{
    sim_open(&sim, 2, "");
    sim_connect(&sim, &client);
    make_topic();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].key == 1 || rows[i].key == 3)
            continue; /* Fetch would wait for records; make_topic() was Metadata's control */
        int16_t got = rows[i].ask(4);
        ck_assert_msg(got == rows[i].allowed, "key %d: %s", rows[i].key, error_name(got));
    }
    sim_disconnect(&client);
    sim_close(&sim);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deny all");
    TCase *tests = tcase_create("apis");
    tcase_add_test(tests, every_api_is_denied);
    tcase_add_test(tests, the_same_is_allowed_without_the_rule);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
