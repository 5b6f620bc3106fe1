/* Calls with one thing to ask and one error to hear. */
#include "tests/support/small_calls.h"

#include <poll.h>

#include "codec/delete_records.h"
#include "codec/find_coordinator.h"
#include "codec/init_producer_id.h"
#include "codec/offset_commit.h"
#include "protocol/base/check.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"

enum {
    KEY_PRODUCE = 0,
    KEY_OFFSET_COMMIT = 8,
    KEY_FIND_COORDINATOR = 10,
    KEY_DELETE_RECORDS = 21,
    KEY_INIT_PRODUCER_ID = 22,
    PAUSE_MS = 5,
};

int16_t call_commit(struct wire_client *client, const struct committer *committer, const char *topic_name,
                    int64_t offset)
{
    struct offset_commit_request request;
    struct offset_commit_request_topic topic;
    struct offset_commit_request_partition partition;
    struct offset_commit_response response;
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&topic);
    offset_commit_request_partition_init(&partition);
    partition.committed_offset = offset;
    partition.committed_metadata = SLICE_LITERAL("");
    topic.name = slice_of_string(topic_name);
    topic.partitions = &partition;
    request.group_id = slice_of_string(committer->group);
    request.generation_id_or_member_epoch = committer->generation;
    request.member_id = slice_of_string(committer->member);
    request.topics = &topic;
    topic.partitions_count = request.topics_count = 1;
    return wire_call(client, KEY_OFFSET_COMMIT, 5, &request, &response)
               ? response.topics[0].partitions[0].error_code
               : NO_ANSWER;
}

int16_t call_delete_records(struct wire_client *client, const char *topic_name, int64_t offset)
{
    struct delete_records_request request;
    struct delete_records_request_topic topic;
    struct delete_records_request_partition partition;
    struct delete_records_response response;
    delete_records_request_init(&request);
    delete_records_request_topic_init(&topic);
    delete_records_request_partition_init(&partition);
    partition.offset = offset;
    topic.name = slice_of_string(topic_name);
    topic.partitions = &partition;
    request.topics = &topic;
    topic.partitions_count = request.topics_count = 1;
    return wire_call(client, KEY_DELETE_RECORDS, 1, &request, &response)
               ? response.topics[0].partitions[0].error_code
               : NO_ANSWER;
}

int16_t call_produce(struct wire_client *client, const char *topic, int32_t partition, size_t value_size)
{
    return call_produce_within(client, topic, partition, value_size, 10000);
}

int16_t call_produce_within(struct wire_client *client, const char *topic, int32_t partition,
                            size_t value_size, int32_t timeout_ms)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct one_produce one;
    struct produce_response response;
    struct batch_view batch;
    struct arena arena;
    arena_init(&arena, NULL);
    uint8_t *value = check_memory(arena_alloc(&arena, value_size + 1));
    memset(value, 0, value_size);
    struct batch_builder *builder = check_memory(batch_builder_open(&arena, &options));
    check(batch_builder_add(builder, 1700000000000, SLICE_LITERAL("key"), slice_of(value, value_size), NULL,
                            0));
    check(batch_builder_finish(builder, &batch) == BATCH_OK);
    one_produce(&one, topic, partition, batch_bytes(&batch));
    one.request.timeout_ms = timeout_ms;
    bool ok = wire_call(client, KEY_PRODUCE, 9, &one.request, &response);
    arena_destroy(&arena);
    return ok ? response.topics[0].partitions[0].error_code : NO_ANSWER;
}

int16_t call_producer_id(struct wire_client *client, int64_t *id)
{
    struct init_producer_id_request request;
    struct init_producer_id_response response;
    init_producer_id_request_init(&request);
    request.transactional_id = SLICE_NULL;
    if (!wire_call(client, KEY_INIT_PRODUCER_ID, 1, &request, &response))
        return NO_ANSWER;
    if (response.error_code == ERR_NONE)
        *id = response.producer_id;
    return response.error_code;
}

int16_t call_find_coordinator(struct wire_client *client, const char *group)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    slice key = slice_of_string(group);
    find_coordinator_request_init(&request);
    request.coordinator_keys = &key;
    request.coordinator_keys_count = 1;
    return wire_call(client, KEY_FIND_COORDINATOR, 4, &request, &response)
               ? response.coordinators[0].error_code
               : NO_ANSWER;
}

bool call_until_committed(struct wire_client *client, const char *group, const char *topic)
{
    int16_t error_code;
    while ((error_code = call_commit(client, COMMITTER_OF(group), topic, 0)) != ERR_NONE) {
        if (error_code == NO_ANSWER || call_find_coordinator(client, group) == NO_ANSWER)
            return false;
        poll(NULL, 0, PAUSE_MS);
    }
    return true;
}
