/* Every served API under a rule that denies all: each answers Kafka's authorisation error, and tells
 * nothing of what exists (facts: protocol, appendix C). A new API without a row here fails. */
#include <check.h>
#include <stdlib.h>

#include "broker/dispatch.h"
#include "codec/alter_configs.h"
#include "codec/api_versions.h"
#include "codec/consumer_group_describe.h"
#include "codec/consumer_group_heartbeat.h"
#include "codec/create_partitions.h"
#include "codec/create_topics.h"
#include "codec/delete_groups.h"
#include "codec/delete_records.h"
#include "codec/delete_topics.h"
#include "codec/describe_cluster.h"
#include "codec/describe_configs.h"
#include "codec/describe_groups.h"
#include "codec/describe_topic_partitions.h"
#include "codec/fetch.h"
#include "codec/find_coordinator.h"
#include "codec/heartbeat.h"
#include "codec/incremental_alter_configs.h"
#include "codec/init_producer_id.h"
#include "codec/join_group.h"
#include "codec/leave_group.h"
#include "codec/list_config_resources.h"
#include "codec/list_groups.h"
#include "codec/list_offsets.h"
#include "codec/metadata.h"
#include "codec/offset_commit.h"
#include "codec/offset_delete.h"
#include "codec/offset_fetch.h"
#include "codec/offset_for_leader_epoch.h"
#include "codec/produce.h"
#include "codec/sync_group.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/sim.h"

static struct sim sim;
static struct sim_client client;

static bool deny_all(void *context, const struct conn *conn, enum acl_operation op, int resource_type,
                     slice name)
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
    struct one_produce one;
    struct produce_response response;
    one_produce(&one, "secret", 0, SLICE_LITERAL("not looked at"));
    ck_assert(sim_call(&client, 0, version, &one.request, &response));
    return response.topics[0].partitions[0].error_code;
}

static int16_t ask_fetch(int16_t version)
{
    struct one_fetch one;
    struct fetch_response response;
    one_fetch(&one, "secret", 0, 0);
    one.request.max_wait_ms = 100000;
    ck_assert(sim_call(&client, 1, version, &one.request, &response));
    return response.topics[0].partitions[0].error_code;
}

static int16_t ask_list_offsets(int16_t version)
{
    struct one_list_offsets one;
    struct list_offsets_response response;
    one_list_offsets(&one, "secret", 0, -1);
    ck_assert(sim_call(&client, 2, version, &one.request, &response));
    return response.topics[0].partitions[0].error_code;
}

static int16_t ask_metadata(int16_t version)
{
    struct one_metadata one;
    struct metadata_response response;
    one_metadata(&one, SLICE_LITERAL("secret"));
    ck_assert(sim_call(&client, 3, version, &one.request, &response));
    ck_assert_int_eq(response.topics[0].partitions_count, 0);
    int16_t named = response.topics[0].error_code;
    /* and in the list of all it is not there */
    one.request.topics_count = version > 0 ? -1 : 0;
    ck_assert(sim_call(&client, 3, version, &one.request, &response));
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

static int16_t ask_create_topics(int16_t version)
{
    struct create_topics_request request;
    struct create_topics_request_topic topics[2];
    struct create_topics_response response;
    create_topics_request_init(&request);
    for (int i = 0; i < 2; i++) {
        create_topics_request_topic_init(&topics[i]);
        topics[i].num_partitions = 1;
        topics[i].replication_factor = 1;
    }
    topics[0].name = SLICE_LITERAL("secret");
    topics[1].name = SLICE_LITERAL("not-there");
    request.topics = topics;
    request.topics_count = 2;
    request.validate_only = true;
    ck_assert(sim_call(&client, 19, version, &request, &response));
    ck_assert_int_eq(response.topics_count, 2);
    if (response.topics[1].error_code != ERR_NONE) /* the answers tell them apart in nothing */
        ck_assert_int_eq(response.topics[1].error_code, response.topics[0].error_code);
    return response.topics[0].error_code;
}

static uuid id_of_secret(void)
{
    return image_topic_by_name(controller_image(sim.server->controller), SLICE_LITERAL("secret"))->id;
}

/* A name that is there and one that is not look alike; an id tells no name. */
static int16_t ask_delete_topics(int16_t version)
{
    struct delete_topics_request request;
    slice names[] = { SLICE_LITERAL("secret"), SLICE_LITERAL("not-there") };
    struct delete_topics_request_topic topics[3];
    struct delete_topics_response response;
    delete_topics_request_init(&request);
    for (int i = 0; i < 3; i++)
        delete_topics_request_topic_init(&topics[i]);
    topics[0].name = names[0];
    topics[1].name = names[1];
    topics[2].topic_id = id_of_secret();
    bool is_allowed = sim.server->authorize != deny_all;
    if (version >= 6) {
        request.topics = topics;
        request.topics_count = 3;
    } else {
        request.topic_names = is_allowed ? names + 1 : names;
        request.topic_names_count = is_allowed ? 1 : 2;
    }
    ck_assert(sim_call(&client, 20, version, &request, &response));
    for (int32_t i = 1; !is_allowed && i < response.topics_count; i++)
        ck_assert_int_eq(response.topics[i].error_code, response.topics[0].error_code);
    if (version >= 6) {
        ck_assert(slice_is_null(response.topics[2].name));
        ck_assert(uuid_is_zero(response.topics[0].topic_id));
    }
    return response.topics[0].error_code;
}

static int16_t ask_create_partitions(int16_t version)
{
    struct create_partitions_request request;
    struct create_partitions_request_topic topics[2];
    struct create_partitions_response response;
    create_partitions_request_init(&request);
    for (int i = 0; i < 2; i++) {
        create_partitions_request_topic_init(&topics[i]);
        topics[i].count = 1;
        topics[i].assignments_count = -1;
    }
    topics[0].name = SLICE_LITERAL("secret");
    topics[1].name = SLICE_LITERAL("not-there");
    request.topics = topics;
    request.topics_count = 2;
    ck_assert(sim_call(&client, 37, version, &request, &response));
    if (sim.server->authorize == deny_all)
        ck_assert_int_eq(response.results[1].error_code, response.results[0].error_code);
    return response.results[0].error_code;
}

static int16_t ask_init_producer_id(int16_t version)
{
    struct init_producer_id_request request;
    struct init_producer_id_response response;
    init_producer_id_request_init(&request);
    request.transactional_id = SLICE_LITERAL("secret");
    ck_assert(sim_call(&client, 22, version, &request, &response));
    ck_assert_int_eq(response.error_code, ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    request.transactional_id = SLICE_NULL;
    ck_assert(sim_call(&client, 22, version, &request, &response));
    return response.error_code;
}

static int16_t ask_offset_for_leader_epoch(int16_t version)
{
    struct offset_for_leader_epoch_request request;
    struct offset_for_leader_epoch_request_topic topic;
    struct offset_for_leader_epoch_request_partition partition;
    struct offset_for_leader_epoch_response response;
    offset_for_leader_epoch_request_init(&request);
    offset_for_leader_epoch_request_topic_init(&topic);
    offset_for_leader_epoch_request_partition_init(&partition);
    topic.name = SLICE_LITERAL("secret");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, 23, version, &request, &response));
    return response.topics[0].partitions[0].error_code;
}

/* The code of one kind of resource; none of its settings may be there beside an error. */
static int16_t describe_configs(int16_t version, int8_t type, const char *name)
{
    struct describe_configs_request request;
    struct describe_configs_request_resource resource;
    struct describe_configs_response response;
    describe_configs_request_init(&request);
    describe_configs_request_resource_init(&resource);
    resource.resource_type = type;
    resource.resource_name = slice_of_string(name);
    resource.configuration_keys_count = -1;
    request.resources = &resource;
    request.resources_count = 1;
    ck_assert(sim_call(&client, 32, version, &request, &response));
    ck_assert_int_eq(response.results_count, 1);
    if (response.results[0].error_code != ERR_NONE)
        ck_assert_int_eq(response.results[0].configs_count, 0);
    return response.results[0].error_code;
}

static int16_t ask_describe_configs(int16_t version)
{
    bool is_denied = describe_configs(version, 2, "missing") == ERR_TOPIC_AUTHORIZATION_FAILED;
    int16_t cluster = is_denied ? ERR_CLUSTER_AUTHORIZATION_FAILED : ERR_NONE;
    ck_assert_int_eq(describe_configs(version, 4, "1"), cluster);
    ck_assert_int_eq(describe_configs(version, 8, "1"), cluster);
    ck_assert_int_eq(describe_configs(version, 16, "any"), cluster);
    ck_assert_int_eq(describe_configs(version, 32, "any"),
                     is_denied ? ERR_GROUP_AUTHORIZATION_FAILED : ERR_NONE);
    return describe_configs(version, 2, "secret");
}

static int16_t incremental_alter_configs(int16_t version, int8_t type, const char *name)
{
    struct incremental_alter_configs_request request;
    struct incremental_alter_configs_request_resource resource;
    struct incremental_alter_configs_request_config config;
    struct incremental_alter_configs_response response;
    incremental_alter_configs_request_init(&request);
    incremental_alter_configs_request_resource_init(&resource);
    incremental_alter_configs_request_config_init(&config);
    config.name = SLICE_LITERAL("retention.ms");
    config.value = SLICE_LITERAL("1");
    resource.resource_type = type;
    resource.resource_name = slice_of_string(name);
    resource.configs = &config;
    resource.configs_count = 1;
    request.resources = &resource;
    request.resources_count = 1;
    ck_assert(sim_call(&client, 44, version, &request, &response));
    return response.responses[0].error_code;
}

static int16_t ask_incremental_alter_configs(int16_t version)
{
    bool is_denied = incremental_alter_configs(version, 2, "missing") == ERR_TOPIC_AUTHORIZATION_FAILED;
    int16_t cluster = is_denied ? ERR_CLUSTER_AUTHORIZATION_FAILED : ERR_INVALID_REQUEST;
    ck_assert_int_eq(incremental_alter_configs(version, 4, "1"), cluster);
    ck_assert_int_eq(incremental_alter_configs(version, 16, "any"), cluster);
    ck_assert_int_eq(incremental_alter_configs(version, 8, "1"),
                     is_denied ? ERR_CLUSTER_AUTHORIZATION_FAILED : ERR_INVALID_CONFIG);
    ck_assert_int_eq(incremental_alter_configs(version, 32, "any"),
                     is_denied ? ERR_GROUP_AUTHORIZATION_FAILED : ERR_INVALID_CONFIG);
    return incremental_alter_configs(version, 2, "secret");
}

static int16_t alter_configs(int16_t version, int8_t type, const char *name)
{
    struct alter_configs_request request;
    struct alter_configs_request_resource resource;
    struct alter_configs_request_config config;
    struct alter_configs_response response;
    alter_configs_request_init(&request);
    alter_configs_request_resource_init(&resource);
    alter_configs_request_config_init(&config);
    config.name = SLICE_LITERAL("retention.ms");
    config.value = SLICE_LITERAL("1");
    resource.resource_type = type;
    resource.resource_name = slice_of_string(name);
    resource.configs = &config;
    resource.configs_count = 1;
    request.resources = &resource;
    request.resources_count = 1;
    ck_assert(sim_call(&client, 33, version, &request, &response));
    return response.responses[0].error_code;
}

static int16_t ask_alter_configs(int16_t version)
{
    bool is_denied = alter_configs(version, 2, "missing") == ERR_TOPIC_AUTHORIZATION_FAILED;
    int16_t cluster = is_denied ? ERR_CLUSTER_AUTHORIZATION_FAILED : ERR_INVALID_REQUEST;
    ck_assert_int_eq(alter_configs(version, 4, "1"), cluster);
    ck_assert_int_eq(alter_configs(version, 16, "any"), cluster);
    ck_assert_int_eq(alter_configs(version, 32, "any"),
                     is_denied ? ERR_GROUP_AUTHORIZATION_FAILED : ERR_INVALID_CONFIG);
    return alter_configs(version, 2, "secret");
}

static int16_t ask_list_config_resources(int16_t version)
{
    struct list_config_resources_request request;
    struct list_config_resources_response response;
    list_config_resources_request_init(&request);
    ck_assert(sim_call(&client, 74, version, &request, &response));
    ck_assert_int_eq(response.config_resources_count > 0, version > 0 && response.error_code == ERR_NONE);
    return response.error_code;
}

/* The addresses are for everybody, the operations are not. */
static int16_t ask_describe_cluster(int16_t version)
{
    struct describe_cluster_request request;
    struct describe_cluster_response response;
    describe_cluster_request_init(&request);
    request.include_cluster_authorized_operations = true;
    ck_assert(sim_call(&client, 60, version, &request, &response));
    ck_assert_int_eq(response.brokers_count, 1);
    ck_assert_int_eq(response.cluster_authorized_operations == 0, sim.server->authorize == deny_all);
    return response.error_code;
}

static int16_t ask_describe_topic_partitions(int16_t version)
{
    struct describe_topic_partitions_request request;
    struct describe_topic_partitions_request_topic topic;
    struct describe_topic_partitions_response response;
    describe_topic_partitions_request_init(&request);
    describe_topic_partitions_request_topic_init(&topic);
    ck_assert(sim_call(&client, 75, version, &request, &response));
    ck_assert_int_eq(response.topics_count == 0, sim.server->authorize == deny_all);
    topic.name = SLICE_LITERAL("secret");
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, 75, version, &request, &response));
    ck_assert_int_eq(uuid_is_zero(response.topics[0].topic_id), sim.server->authorize == deny_all);
    return response.topics[0].error_code;
}

/* Denied, the group's error stands in the partitions, those of topics that are not there too. */
static int16_t ask_offset_commit(int16_t version)
{
    struct offset_commit_request request;
    struct offset_commit_request_topic topics[2];
    struct offset_commit_request_partition partition;
    struct offset_commit_response response;
    offset_commit_request_init(&request);
    offset_commit_request_partition_init(&partition);
    for (int i = 0; i < 2; i++) {
        offset_commit_request_topic_init(&topics[i]);
        topics[i].name = i == 0 ? SLICE_LITERAL("secret") : SLICE_LITERAL("nowhere");
        topics[i].partitions = &partition;
        topics[i].partitions_count = 1;
    }
    if (version >= 10)
        topics[0].topic_id =
            image_topic_by_name(controller_image(sim.server->controller), SLICE_LITERAL("secret"))->id;
    request.group_id = SLICE_LITERAL("committed");
    request.topics = topics;
    request.topics_count = 2;
    ck_assert(sim_call(&client, 8, version, &request, &response));
    if (sim.server->authorize == deny_all)
        ck_assert_int_eq(response.topics[1].partitions[0].error_code, ERR_GROUP_AUTHORIZATION_FAILED);
    return response.topics[0].partitions[0].error_code;
}

static int16_t ask_offset_fetch(int16_t version)
{
    struct offset_fetch_request request;
    struct offset_fetch_request_group group;
    struct offset_fetch_request_topic topic;
    struct offset_fetch_response response;
    int32_t partition = 0;
    offset_fetch_request_init(&request);
    offset_fetch_request_group_init(&group);
    offset_fetch_request_topic_init(&topic);
    topic.name = SLICE_LITERAL("secret");
    topic.partition_indexes = &partition;
    topic.partition_indexes_count = 1;
    group.group_id = SLICE_LITERAL("committed");
    group.topics_count = -1;
    request.group_id = version < 8 ? group.group_id : SLICE_LITERAL("");
    request.topics = &topic;
    request.topics_count = version < 8 ? 1 : 0;
    request.groups = &group;
    request.groups_count = version < 8 ? 0 : 1;
    ck_assert(sim_call(&client, 9, version, &request, &response));
    if (version >= 8) {
        ck_assert_int_eq(response.groups[0].topics_count, sim.server->authorize == deny_all ? 0 : 1);
        return response.groups[0].error_code;
    }
    return version >= 2 ? response.error_code : response.topics[0].partitions[0].error_code;
}

static int16_t ask_describe_groups(int16_t version)
{
    struct describe_groups_request request;
    struct describe_groups_response response;
    slice group = SLICE_LITERAL("committed");
    bool is_denied = sim.server->authorize == deny_all;
    describe_groups_request_init(&request);
    request.groups = &group;
    request.groups_count = 1;
    request.include_authorized_operations = version >= 3;
    ck_assert(sim_call(&client, 15, version, &request, &response));
    ck_assert_int_eq(response.groups[0].group_state.size == 0, is_denied);
    ck_assert_int_eq(response.groups[0].authorized_operations == INT32_MIN, is_denied || version < 3);
    return response.groups[0].error_code;
}

/* No error, but what may not be seen is not there. */
static int16_t ask_list_groups(int16_t version)
{
    struct list_groups_request request;
    struct list_groups_response response;
    list_groups_request_init(&request);
    ck_assert(sim_call(&client, 16, version, &request, &response));
    ck_assert_int_eq(response.groups_count > 0, sim.server->authorize != deny_all);
    return response.error_code;
}

static int16_t ask_delete_groups(int16_t version)
{
    struct delete_groups_request request;
    struct delete_groups_response response;
    slice group = SLICE_LITERAL("absent");
    delete_groups_request_init(&request);
    request.groups_names = &group;
    request.groups_names_count = 1;
    ck_assert(sim_call(&client, 42, version, &request, &response));
    return response.results[0].error_code;
}

/* A topic that may not be seen and one that is not there answer alike. */
static int16_t ask_delete_records(int16_t version)
{
    struct delete_records_request request;
    struct delete_records_request_topic topics[2];
    struct delete_records_request_partition partition = { 0, 0 };
    struct delete_records_response response;
    delete_records_request_init(&request);
    for (int i = 0; i < 2; i++) {
        delete_records_request_topic_init(&topics[i]);
        topics[i].name = i == 0 ? SLICE_LITERAL("secret") : SLICE_LITERAL("not-there");
        topics[i].partitions = &partition;
        topics[i].partitions_count = 1;
    }
    request.topics = topics;
    request.topics_count = 2;
    ck_assert(sim_call(&client, 21, version, &request, &response));
    if (sim.server->authorize == deny_all)
        ck_assert_int_eq(response.topics[1].partitions[0].error_code,
                         response.topics[0].partitions[0].error_code);
    return response.topics[0].partitions[0].error_code;
}

static int16_t ask_offset_delete(int16_t version)
{
    struct offset_delete_request request;
    struct offset_delete_response response;
    offset_delete_request_init(&request);
    request.group_id = SLICE_LITERAL("absent");
    ck_assert(sim_call(&client, 47, version, &request, &response));
    return response.error_code;
}

/* Allowed is refused: it does not join. */
static int16_t ask_consumer_group_heartbeat(int16_t version)
{
    struct consumer_group_heartbeat_request request;
    struct consumer_group_heartbeat_response response;
    consumer_group_heartbeat_request_init(&request);
    request.group_id = SLICE_LITERAL("absent");
    request.member_id = SLICE_LITERAL("nobody");
    request.member_epoch = 1;
    ck_assert(sim_call(&client, 68, version, &request, &response));
    return response.error_code;
}

static int16_t ask_consumer_group_describe(int16_t version)
{
    struct consumer_group_describe_request request;
    struct consumer_group_describe_response response;
    slice group = SLICE_LITERAL("absent");
    consumer_group_describe_request_init(&request);
    request.group_ids = &group;
    request.group_ids_count = 1;
    ck_assert(sim_call(&client, 69, version, &request, &response));
    return response.groups[0].error_code;
}

static const struct {
    int16_t key;
    int16_t (*ask)(int16_t version);
    int16_t denied;
    int16_t allowed;    /* the control */
    int16_t by_id_from; /* versions that name topics by id: an unknown id is all they can tell */
    int16_t denied_by_id;
} rows[] = {
    { 0, ask_produce, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_INVALID_RECORD, 13, ERR_UNKNOWN_TOPIC_ID },
    { 1, ask_fetch, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, 13, ERR_UNKNOWN_TOPIC_ID },
    { 2, ask_list_offsets, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 3, ask_metadata, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 8, ask_offset_commit, ERR_GROUP_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 9, ask_offset_fetch, ERR_GROUP_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 10, ask_find_coordinator, ERR_GROUP_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 11, ask_join_group, ERR_GROUP_AUTHORIZATION_FAILED, ERR_UNKNOWN_MEMBER_ID, INT16_MAX, 0 },
    { 12, ask_heartbeat, ERR_GROUP_AUTHORIZATION_FAILED, ERR_UNKNOWN_MEMBER_ID, INT16_MAX, 0 },
    { 13, ask_leave_group, ERR_GROUP_AUTHORIZATION_FAILED, ERR_UNKNOWN_MEMBER_ID, INT16_MAX, 0 },
    { 14, ask_sync_group, ERR_GROUP_AUTHORIZATION_FAILED, ERR_UNKNOWN_MEMBER_ID, INT16_MAX, 0 },
    { 15, ask_describe_groups, ERR_GROUP_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 16, ask_list_groups, ERR_NONE, ERR_NONE, INT16_MAX, 0 },
    { 18, ask_api_versions, ERR_NONE, ERR_NONE, INT16_MAX, 0 },
    { 19, ask_create_topics, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_TOPIC_ALREADY_EXISTS, INT16_MAX, 0 },
    { 20, ask_delete_topics, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_UNKNOWN_TOPIC_OR_PARTITION, INT16_MAX, 0 },
    { 21, ask_delete_records, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 22, ask_init_producer_id, ERR_CLUSTER_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 23, ask_offset_for_leader_epoch, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 32, ask_describe_configs, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 33, ask_alter_configs, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 37, ask_create_partitions, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_INVALID_PARTITIONS, INT16_MAX, 0 },
    { 42, ask_delete_groups, ERR_GROUP_AUTHORIZATION_FAILED, ERR_GROUP_ID_NOT_FOUND, INT16_MAX, 0 },
    { 44, ask_incremental_alter_configs, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 47, ask_offset_delete, ERR_GROUP_AUTHORIZATION_FAILED, ERR_GROUP_ID_NOT_FOUND, INT16_MAX, 0 },
    { 60, ask_describe_cluster, ERR_NONE, ERR_NONE, INT16_MAX, 0 },
    { 68, ask_consumer_group_heartbeat, ERR_GROUP_AUTHORIZATION_FAILED, ERR_GROUP_ID_NOT_FOUND, INT16_MAX,
      0 },
    { 69, ask_consumer_group_describe, ERR_GROUP_AUTHORIZATION_FAILED, ERR_GROUP_ID_NOT_FOUND, INT16_MAX, 0 },
    { 74, ask_list_config_resources, ERR_CLUSTER_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
    { 75, ask_describe_topic_partitions, ERR_TOPIC_AUTHORIZATION_FAILED, ERR_NONE, INT16_MAX, 0 },
};

static void make_topic(void)
{
    struct one_metadata one;
    struct metadata_response response;
    one_metadata(&one, SLICE_LITERAL("secret"));
    ck_assert(sim_call(&client, 3, 9, &one.request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

START_TEST(every_api_is_denied)
{
    size_t served_count;
    const struct api_row *served = api_rows(&served_count);
    ck_assert_msg(served_count == sizeof rows / sizeof *rows,
                  "an API is served that has no row in this test");
    sim_open(&sim, 1, "");
    sim_connect(&sim, &client);
    make_topic();
    sim.server->authorize = deny_all;
    for (size_t i = 0; i < served_count; i++) {
        ck_assert_int_eq(served[i].key, rows[i].key);
        for (int16_t version = served[i].served_min; version <= served[i].served_max; version++) {
            int16_t expected = version >= rows[i].by_id_from ? rows[i].denied_by_id : rows[i].denied;
            int16_t got = rows[i].ask(version);
            ck_assert_msg(got == expected, "key %d v%d: %s, expected %s", rows[i].key, version,
                          error_name(got), error_name(expected));
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
    ck_assert_int_eq(ask_find_coordinator(4), ERR_NONE); /* makes what the groups are kept in */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].key == 1 || rows[i].key == 3)
            continue; /* Fetch would wait for records; make_topic() was Metadata's control */
        const struct api_row *served = api_row_find(rows[i].key);
        int16_t got = rows[i].ask(served->served_max < 4 ? served->served_max : 4);
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
