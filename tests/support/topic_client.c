/* CreateTopics, DeleteTopics, Produce and Metadata as a test needs them. */
#include "tests/support/topic_client.h"

#include "codec/create_topics.h"
#include "codec/delete_topics.h"
#include "codec/metadata.h"
#include "codec/produce.h"
#include "protocol/errors.h"
#include "protocol/record_batch.h"

enum { KEY_PRODUCE = 0, KEY_METADATA = 3, KEY_CREATE = 19, KEY_DELETE = 20 };

int16_t topic_client_create(struct wire_client *client, const char *const *names, size_t count,
                            int32_t partition_count)
{
    struct create_topics_request request;
    struct create_topics_response response;
    struct arena arena;
    arena_init(&arena, NULL);
    create_topics_request_init(&request);
    request.topics = arena_alloc_array(&arena, count, sizeof *request.topics);
    request.topics_count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        create_topics_request_topic_init(&request.topics[i]);
        request.topics[i].name = slice_of_string(names[i]);
        request.topics[i].num_partitions = partition_count;
        request.topics[i].replication_factor = -1;
    }
    int16_t error_code = wire_call(client, KEY_CREATE, 7, &request, &response) ? ERR_NONE : -1;
    for (int32_t i = 0; error_code == ERR_NONE && i < response.topics_count; i++)
        error_code = response.topics[i].error_code;
    arena_destroy(&arena);
    return error_code;
}

int16_t topic_client_delete(struct wire_client *client, const char *const *names, size_t count)
{
    struct delete_topics_request request;
    struct delete_topics_response response;
    struct arena arena;
    arena_init(&arena, NULL);
    delete_topics_request_init(&request);
    request.topics = arena_alloc_array(&arena, count, sizeof *request.topics);
    request.topics_count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        delete_topics_request_topic_init(&request.topics[i]);
        request.topics[i].name = slice_of_string(names[i]);
    }
    int16_t error_code = wire_call(client, KEY_DELETE, 6, &request, &response) ? ERR_NONE : -1;
    for (int32_t i = 0; error_code == ERR_NONE && i < response.topics_count; i++)
        error_code = response.topics[i].error_code;
    arena_destroy(&arena);
    return error_code;
}

int16_t topic_client_produce(struct wire_client *client, const char *name)
{
    static const struct batch_builder_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1
    };
    struct produce_request request;
    struct produce_request_topic topic;
    struct produce_request_partition partition;
    struct produce_response response;
    struct batch_view batch;
    struct arena arena;
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    bool ok = batch_builder_add(builder, 1700000000000, SLICE_NULL, SLICE_LITERAL("a value"), NULL, 0) &&
              batch_builder_finish(builder, &batch) == BATCH_OK;
    produce_request_init(&request);
    produce_request_topic_init(&topic);
    produce_request_partition_init(&partition);
    partition.records.bytes = ok ? slice_of(batch.data, batch.size) : SLICE_NULL;
    topic.name = slice_of_string(name);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.acks = -1;
    request.timeout_ms = 30000;
    request.topics = &topic;
    request.topics_count = 1;
    ok = wire_call(client, KEY_PRODUCE, 9, &request, &response);
    arena_destroy(&arena);
    return ok ? response.topics[0].partitions[0].error_code : -1;
}

int32_t topic_client_count(struct wire_client *client)
{
    struct metadata_request request;
    struct metadata_response response;
    metadata_request_init(&request);
    request.topics_count = -1;
    return wire_call(client, KEY_METADATA, 12, &request, &response) ? response.topics_count : -1;
}
