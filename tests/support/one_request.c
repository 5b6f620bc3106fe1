/* Requests about one topic, one partition or one setting. */
#include "tests/support/one_request.h"

#include "protocol/base/check.h"

enum { TIMEOUT_MS = 10000, RESOURCE_TOPIC = 2 };

void one_create(struct one_create *one, const char *topic, int32_t partitions,
                const struct one_setting *settings)
{
    create_topics_request_init(&one->request);
    create_topics_request_topic_init(&one->topic);
    for (; settings && settings->name; settings++) {
        check(one->topic.configs_count < ONE_SETTINGS_MAX);
        struct create_topics_request_config *config = &one->configs[one->topic.configs_count++];
        create_topics_request_config_init(config);
        config->name = slice_of_string(settings->name);
        config->value = slice_of_string(settings->value);
    }
    one->topic.configs = one->configs;
    one->topic.name = slice_of_string(topic);
    one->topic.num_partitions = partitions;
    one->topic.replication_factor = 1;
    one->request.topics = &one->topic;
    one->request.topics_count = 1;
    one->request.timeout_ms = TIMEOUT_MS;
}

void one_delete(struct one_delete *one, const char *topic)
{
    delete_topics_request_init(&one->request);
    delete_topics_request_topic_init(&one->topic);
    one->topic.name = slice_of_string(topic);
    one->request.topics = &one->topic;
    one->request.topics_count = 1;
    one->request.timeout_ms = TIMEOUT_MS;
}

void one_delete_records(struct one_delete_records *one, const char *topic, int32_t partition, int64_t offset)
{
    delete_records_request_init(&one->request);
    delete_records_request_topic_init(&one->topic);
    delete_records_request_partition_init(&one->partition);
    one->partition.partition_index = partition;
    one->partition.offset = offset;
    one->topic.name = slice_of_string(topic);
    one->topic.partitions = &one->partition;
    one->topic.partitions_count = 1;
    one->request.topics = &one->topic;
    one->request.topics_count = 1;
    one->request.timeout_ms = TIMEOUT_MS;
}

void one_alter(struct one_alter *one, const char *topic, struct one_setting setting)
{
    incremental_alter_configs_request_init(&one->request);
    incremental_alter_configs_request_resource_init(&one->resource);
    incremental_alter_configs_request_config_init(&one->config);
    one->config.name = slice_of_string(setting.name);
    one->config.value = slice_of_string(setting.value);
    one->resource.resource_type = RESOURCE_TOPIC;
    one->resource.resource_name = slice_of_string(topic);
    one->resource.configs = &one->config;
    one->resource.configs_count = 1;
    one->request.resources = &one->resource;
    one->request.resources_count = 1;
}

void one_commit(struct one_commit *one, const char *group, const char *topic, int32_t partition,
                int64_t offset)
{
    offset_commit_request_init(&one->request);
    offset_commit_request_topic_init(&one->topic);
    offset_commit_request_partition_init(&one->partition);
    one->partition.partition = partition;
    one->partition.committed_offset = offset;
    one->topic.name = slice_of_string(topic);
    one->topic.partitions = &one->partition;
    one->topic.partitions_count = 1;
    one->request.group_id = slice_of_string(group);
    one->request.topics = &one->topic;
    one->request.topics_count = 1;
}

void one_offsets(struct one_offsets *one, const char *group, const char *topic, int32_t partition)
{
    offset_fetch_request_init(&one->request);
    offset_fetch_request_group_init(&one->group);
    offset_fetch_request_topics_init(&one->topic);
    one->index = partition;
    one->topic.name = slice_of_string(topic);
    one->topic.partition_indexes = &one->index;
    one->topic.partition_indexes_count = 1;
    one->group.group_id = slice_of_string(group);
    one->group.topics = &one->topic;
    one->group.topics_count = 1;
    one->request.groups = &one->group;
    one->request.groups_count = 1;
}

void one_init_producer(struct init_producer_id_request *request)
{
    init_producer_id_request_init(request);
    request->transactional_id = SLICE_NULL;
    request->transaction_timeout_ms = TIMEOUT_MS;
}
