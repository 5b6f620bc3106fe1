/* One broker, one client, and requests filled in from few words. */
#include "tests/sim/offsets/rig.h"

#include <stdio.h>

#include "broker/coordinator/coordinator.h"
#include "broker/partition.h"
#include "codec/apis.h"
#include "codec/create_topics.h"
#include "codec/delete_groups.h"
#include "codec/delete_topics.h"
#include "codec/find_coordinator.h"
#include "codec/group_records.h"
#include "codec/join_group.h"
#include "codec/leave_group.h"
#include "codec/metadata.h"
#include "codec/offset_commit.h"
#include "codec/offset_delete.h"
#include "codec/sync_group.h"
#include "protocol/base/bytes.h"
#include "protocol/reader.h"
#include "protocol/writer.h"

enum {
    KEY_METADATA = 3,
    KEY_FIND_COORDINATOR = 10,
    KEY_JOIN_GROUP = 11,
    KEY_LEAVE_GROUP = 13,
    KEY_SYNC_GROUP = 14,
    KEY_CREATE_TOPICS = 19,
    KEY_DELETE_TOPICS = 20,
    COMMIT_VERSION = 9,
};

struct sim sim;
struct sim_client client;

static slice text_of(const char *text)
{
    return text ? slice_of_string(text) : SLICE_NULL;
}

/* -- life ------------------------------------------------------------------------------------------------ */

void find_coordinator(void)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice key = SLICE_LITERAL("any");
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    ck_assert(sim_call(&client, KEY_FIND_COORDINATOR, 4, &request, &response));
    ck_assert_int_eq(response.coordinators[0].error_code, ERR_NONE);
}

void rig_open(const char *settings)
{
    char all[1024];
    snprintf(all, sizeof all,
             "num.partitions=3\noffsets.topic.num.partitions=5\nconnections.max.idle.ms=100000000\n%s",
             settings);
    sim_open(&sim, 1, all);
    sim_connect(&sim, &client);
    make_topic("orders");
    find_coordinator();
}

void rig_close(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
}

void rig_restart(void)
{
    sim_disconnect(&client);
    sim_restart(&sim);
    sim_settle(&sim);
    sim_connect(&sim, &client);
}

void rig_power_cycle(enum file_double_cut cut)
{
    sim_disconnect(&client);
    sim_power_cycle(&sim, cut);
    sim_settle(&sim);
    sim_connect(&sim, &client);
}

/* -- topics ---------------------------------------------------------------------------------------------- */

static uuid ask_topic(const char *name, bool may_make)
{
    struct metadata_request request;
    struct metadata_request_topic topic;
    struct metadata_response response;
    metadata_request_init(&request);
    metadata_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    request.topics = &topic;
    request.topics_count = 1;
    request.allow_auto_topic_creation = may_make;
    ck_assert(sim_call(&client, KEY_METADATA, 12, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
    return response.topics[0].topic_id;
}

uuid make_topic(const char *name)
{
    return ask_topic(name, true);
}

void make_topic_of(const char *name, int32_t partition_count)
{
    struct create_topics_request request;
    struct create_topics_request_topic topic;
    struct create_topics_response response;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    topic.num_partitions = partition_count;
    topic.replication_factor = 1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_CREATE_TOPICS, 7, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

uuid topic_id_of(const char *name)
{
    return ask_topic(name, false);
}

void delete_topic(const char *name)
{
    struct delete_topics_request request;
    struct delete_topics_response response;
    struct delete_topics_request_topic topic;
    delete_topics_request_init(&request);
    delete_topics_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_DELETE_TOPICS, 6, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

/* -- commits --------------------------------------------------------------------------------------------- */

int16_t commit_as(const struct commit *in)
{
    struct offset_commit_request request;
    struct offset_commit_request_topic topic;
    struct offset_commit_request_partition partition;
    struct offset_commit_response response;
    int16_t version = in->version ? in->version : COMMIT_VERSION;
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&topic);
    offset_commit_request_partition_init(&partition);
    request.group_id = slice_of_string(in->group);
    request.member_id = slice_of_string(in->member ? in->member : "");
    request.group_instance_id = text_of(in->instance);
    request.generation_id_or_member_epoch = in->has_generation ? in->generation : -1;
    request.retention_time_ms = in->retention_ms ? in->retention_ms : -1;
    topic.name = slice_of_string(in->topic ? in->topic : "orders");
    if (version >= 10)
        topic.topic_id =
            uuid_is_zero(in->topic_id) ? topic_id_of(in->topic ? in->topic : "orders") : in->topic_id;
    partition.partition = in->partition;
    partition.committed_offset = in->offset;
    partition.committed_leader_epoch = in->has_epoch ? in->leader_epoch : -1;
    partition.committed_metadata = text_of(in->metadata);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_OFFSET_COMMIT, version, &request, &response));
    ck_assert_int_eq(response.topics_count, 1);
    ck_assert_int_eq(response.topics[0].partitions_count, 1);
    ck_assert_int_eq(response.topics[0].partitions[0].partition, in->partition);
    return response.topics[0].partitions[0].error_code;
}

void commit(const char *group, int32_t partition, int64_t offset)
{
    struct commit one = { .group = group, .partition = partition, .offset = offset };
    ck_assert_int_eq(commit_as(&one), ERR_NONE);
}

struct place fetch_from(const char *group, const char *topic_name, int32_t partition, bool require_stable)
{
    struct offset_fetch_request request;
    struct offset_fetch_request_group asked;
    struct offset_fetch_request_topics topic;
    struct offset_fetch_response response;
    struct place place = { .offset = -1, .leader_epoch = -1 };
    offset_fetch_request_init(&request);
    offset_fetch_request_group_init(&asked);
    offset_fetch_request_topics_init(&topic);
    topic.name = slice_of_string(topic_name);
    topic.partition_indexes = &partition;
    topic.partition_indexes_count = 1;
    asked.group_id = slice_of_string(group);
    asked.topics = &topic;
    asked.topics_count = 1;
    request.groups = &asked;
    request.groups_count = 1;
    request.require_stable = require_stable;
    ck_assert(sim_call(&client, KEY_OFFSET_FETCH, 9, &request, &response));
    ck_assert_int_eq(response.groups_count, 1);
    place.error_code = response.groups[0].error_code;
    if (place.error_code != ERR_NONE) {
        ck_assert_int_eq(response.groups[0].topics_count, 0);
        return place;
    }
    const struct offset_fetch_response_partitions *found = &response.groups[0].topics[0].partitions[0];
    ck_assert_int_eq(found->partition, partition);
    ck_assert(!slice_is_null(found->metadata));
    place.error_code = found->error_code;
    place.offset = found->committed_offset;
    place.leader_epoch = found->committed_leader_epoch;
    snprintf(place.metadata, sizeof place.metadata, "%.*s", (int)found->metadata.size,
             (const char *)found->metadata.data);
    return place;
}

int64_t fetch(const char *group, int32_t partition)
{
    struct place place = fetch_from(group, "orders", partition, false);
    ck_assert_int_eq(place.error_code, ERR_NONE);
    return place.offset;
}

/* -- administration -------------------------------------------------------------------------------------- */

int16_t delete_offset(const char *group, const char *topic_name, int32_t p)
{
    struct offset_delete_request request;
    struct offset_delete_request_topic topic;
    struct offset_delete_request_partition partition = { p };
    struct offset_delete_response response;
    offset_delete_request_init(&request);
    offset_delete_request_topic_init(&topic);
    topic.name = slice_of_string(topic_name);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.group_id = slice_of_string(group);
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_OFFSET_DELETE, 0, &request, &response));
    if (response.error_code != ERR_NONE) {
        ck_assert_int_eq(response.topics_count, 0);
        return response.error_code;
    }
    return response.topics[0].partitions[0].error_code;
}

int16_t delete_group(const char *group)
{
    struct delete_groups_request request;
    struct delete_groups_response response;
    slice name = slice_of_string(group);
    delete_groups_request_init(&request);
    request.groups_names = &name;
    request.groups_names_count = 1;
    ck_assert(sim_call(&client, KEY_DELETE_GROUPS, 2, &request, &response));
    ck_assert_int_eq(response.results_count, 1);
    return response.results[0].error_code;
}

const char *state_of(const char *group)
{
    static char state[32];
    struct describe_groups_request request;
    struct describe_groups_response response;
    slice name = slice_of_string(group);
    describe_groups_request_init(&request);
    request.groups = &name;
    request.groups_count = 1;
    ck_assert(sim_call(&client, KEY_DESCRIBE_GROUPS, 5, &request, &response));
    ck_assert_int_eq(response.groups[0].error_code, ERR_NONE);
    snprintf(state, sizeof state, "%.*s", (int)response.groups[0].group_state.size,
             (const char *)response.groups[0].group_state.data);
    return state;
}

int32_t group_count(void)
{
    struct list_groups_request request;
    struct list_groups_response response;
    list_groups_request_init(&request);
    ck_assert(sim_call(&client, KEY_LIST_GROUPS, 5, &request, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
    return response.groups_count;
}

/* -- members --------------------------------------------------------------------------------------------- */

static slice subscription(uint8_t *bytes, const char *topic)
{
    size_t size = topic ? strlen(topic) : 0;
    if (!topic)
        return SLICE_LITERAL("\xff");
    store_be16(bytes, 0);
    store_be32(bytes + 2, 1);
    store_be16(bytes + 6, (uint16_t)size);
    memcpy(bytes + 8, topic, size);
    store_be32(bytes + 8 + size, 0xffffffffu);
    return slice_of(bytes, 12 + size);
}

struct member join_only(const char *group, const char *protocol_type, const char *topic)
{
    struct join_group_request request;
    struct join_group_request_protocol protocol;
    struct join_group_response response;
    struct member member;
    uint8_t bytes[300];
    join_group_request_init(&request);
    join_group_request_protocol_init(&protocol);
    protocol.name = SLICE_LITERAL("range");
    protocol.metadata = subscription(bytes, topic);
    request.group_id = slice_of_string(group);
    request.session_timeout_ms = 10000;
    request.rebalance_timeout_ms = 60000;
    request.protocol_type = slice_of_string(protocol_type);
    request.protocols = &protocol;
    request.protocols_count = 1;
    ck_assert(sim_send(&client, KEY_JOIN_GROUP, 3, &request));
    for (int i = 0; i < 40; i++) /* group.initial.rebalance.delay.ms */
        sim_advance(&sim, 100);
    ck_assert(sim_receive(&client, KEY_JOIN_GROUP, 3, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
    snprintf(member.id, sizeof member.id, "%.*s", (int)response.member_id.size,
             (const char *)response.member_id.data);
    member.generation = response.generation_id;
    return member;
}

struct member join(const char *group, const char *protocol_type, const char *topic)
{
    struct member member = join_only(group, protocol_type, topic);
    struct sync_group_request request;
    struct sync_group_request_assignment assignment;
    struct sync_group_response response;
    sync_group_request_init(&request);
    sync_group_request_assignment_init(&assignment);
    assignment.member_id = slice_of_string(member.id);
    assignment.assignment = SLICE_LITERAL("all of it");
    request.group_id = slice_of_string(group);
    request.generation_id = member.generation;
    request.member_id = slice_of_string(member.id);
    request.assignments = &assignment;
    request.assignments_count = 1;
    ck_assert(sim_call(&client, KEY_SYNC_GROUP, 3, &request, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
    return member;
}

int16_t leave(const char *group, const char *member)
{
    struct leave_group_request request;
    struct leave_group_response response;
    leave_group_request_init(&request);
    request.group_id = slice_of_string(group);
    request.member_id = slice_of_string(member);
    ck_assert(sim_call(&client, KEY_LEAVE_GROUP, 2, &request, &response));
    return response.error_code;
}

/* -- behind the coordinator's back ------------------------------------------------------------- */

static struct log *log_of(const char *group)
{
    const struct topic *topic =
        image_topic_by_name(controller_image(sim.server->controller), SLICE_LITERAL("__consumer_offsets"));
    ck_assert(topic);
    int32_t at = coordinator_partition_of(slice_of_string(group), topic->partition_count);
    return topic->partitions[at].partition->log;
}

void append_raw(const char *group, const struct batch_builder_options *options, slice key, slice value)
{
    struct arena arena;
    struct batch_view batch;
    struct log_append_result result = { .status = LOG_OK };
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, options);
    int64_t now_ms = clock_wall_ms(&sim.clock.clock);
    ck_assert(batch_builder_add(builder, now_ms, key, value, NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    enum log_status status;
    while ((status = log_append(log_of(group), &batch, 1, 0, now_ms, &result)) == LOG_BUSY)
        ck_assert_int_eq(log_prepare(log_of(group)), LOG_OK);
    ck_assert_int_eq(status, LOG_OK);
    ck_assert_int_eq(result.status, LOG_OK);
    arena_destroy(&arena);
}

static slice framed(struct arena *arena, int16_t frame, const struct message_schema *message, int16_t version,
                    const void *record)
{
    struct chain chain;
    struct writer writer;
    size_t size;
    chain_init(&chain, arena);
    writer_init(&writer, &chain);
    ck_assert(message->size(version, record, &size));
    ck_assert(writer_reserve(&writer, 2 + size));
    ck_assert(writer_int16(&writer, frame));
    ck_assert(message->encode(&writer, version, record));
    ck_assert(writer_finish(&writer));
    return chain.parts[0].bytes;
}

static const struct message_schema *schema_of(const char *name)
{
    for (size_t i = 0; i < record_schema_count; i++)
        if (strcmp(record_schemas[i].message.name, name) == 0)
            return &record_schemas[i].message;
    ck_abort_msg("no record %s", name);
}

static struct batch_builder_options of_producer(int64_t producer_id, bool is_control)
{
    return (struct batch_builder_options){
        .producer_id = producer_id,
        .producer_epoch = producer_id < 0 ? -1 : 0,
        .base_sequence = -1,
        .attributes =
            producer_id < 0 ? 0 : BATCH_ATTRIBUTE_TRANSACTIONAL | (is_control ? BATCH_ATTRIBUTE_CONTROL : 0),
    };
}

void append_commit(const char *group, int64_t producer_id, int32_t partition, int64_t offset)
{
    struct arena arena;
    struct batch_builder_options options = of_producer(producer_id, false);
    const struct offset_commit_key key = { slice_of_string(group), SLICE_LITERAL("orders"), partition };
    struct offset_commit_value value;
    arena_init(&arena, NULL);
    offset_commit_value_init(&value);
    value.offset = offset;
    value.metadata = SLICE_LITERAL("");
    value.commit_timestamp = clock_wall_ms(&sim.clock.clock);
    append_raw(group, &options, framed(&arena, 1, schema_of("offset_commit_key"), 0, &key),
               offset < 0 ? SLICE_NULL : framed(&arena, 3, schema_of("offset_commit_value"), 3, &value));
    arena_destroy(&arena);
}

void append_marker(const char *group, int64_t producer_id, bool is_commit)
{
    struct batch_builder_options options = of_producer(producer_id, true);
    append_raw(group, &options, is_commit ? SLICE_LITERAL("\0\0\0\1") : SLICE_LITERAL("\0\0\0\0"),
               SLICE_LITERAL("\0\0\0\0\0\0"));
}
