/* Requests about one partition. */
#include "tests/support/one_partition.h"

#include "protocol/base/check.h"

enum { TIMEOUT_MS = 10000, PARTITION_MAX_BYTES = 1 << 20 };

void one_produce(struct one_produce *one, const char *topic, int32_t partition, slice records)
{
    produce_request_init(&one->request);
    produce_request_topic_init(&one->topic);
    produce_request_partition_init(&one->partition);
    one->partition.partition = partition;
    one->partition.records.bytes = records;
    one->topic.name = slice_of_string(topic);
    one->topic.partitions = &one->partition;
    one->topic.partitions_count = 1;
    one->request.acks = -1;
    one->request.timeout_ms = TIMEOUT_MS;
    one->request.topics = &one->topic;
    one->request.topics_count = 1;
}

void one_fetch(struct one_fetch *one, const char *topic, int32_t partition, int64_t offset)
{
    fetch_request_init(&one->request);
    fetch_request_topic_init(&one->topic);
    fetch_request_partition_init(&one->partition);
    one->partition.partition = partition;
    one->partition.fetch_offset = offset;
    one->partition.partition_max_bytes = PARTITION_MAX_BYTES;
    one->topic.name = slice_of_string(topic);
    one->topic.partitions = &one->partition;
    one->topic.partitions_count = 1;
    one->request.min_bytes = 1;
    one->request.max_bytes = PARTITION_MAX_BYTES;
    one->request.topics = &one->topic;
    one->request.topics_count = 1;
}

void one_list_offsets(struct one_list_offsets *one, const char *topic, int32_t partition, int64_t timestamp)
{
    list_offsets_request_init(&one->request);
    list_offsets_request_topic_init(&one->topic);
    list_offsets_request_partition_init(&one->partition);
    one->partition.partition = partition;
    one->partition.timestamp = timestamp;
    one->topic.name = slice_of_string(topic);
    one->topic.partitions = &one->partition;
    one->topic.partitions_count = 1;
    one->request.replica_id = -1;
    one->request.topics = &one->topic;
    one->request.topics_count = 1;
}

void one_metadata(struct one_metadata *one, slice topic)
{
    metadata_request_init(&one->request);
    metadata_request_topic_init(&one->topic);
    one->topic.name = topic;
    one->request.topics = &one->topic;
    one->request.topics_count = 1;
}

struct batch_view small_batch(struct arena *arena, const struct batch_builder_options *options, int count)
{
    struct batch_builder *builder = batch_builder_open(arena, options);
    struct batch_view batch;
    check(builder != NULL);
    for (int i = 0; i < count; i++)
        check(batch_builder_add(builder, 1700000000000 + i, SLICE_LITERAL("key"), SLICE_LITERAL("value"),
                                NULL, 0));
    check(batch_builder_finish(builder, &batch) == BATCH_OK);
    return batch;
}

slice batch_bytes(const struct batch_view *batch)
{
    return slice_of(batch->data, batch->size);
}
