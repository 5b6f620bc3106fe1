/* Decides on topics to create: checks in Kafka's order, and the records of those that pass. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/controller_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "protocol/errors.h"
#include "storage/directory.h"

enum { CONFIG_RESOURCE_TOPIC = 2, FROM_DEFAULT = -1 };

struct create_command {
    struct command command; /* first */
    struct create_topic *topics;
    size_t count;
    bool validate_only;
};

__attribute__((format(printf, 3, 4))) static bool refuse(struct create_topic *topic, int16_t error_code,
                                                         const char *format, ...)
{
    topic->error_code = error_code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(topic->message, sizeof topic->message, format, arguments);
    va_end(arguments);
    return false;
}

static int compare_names(const void *a, const void *b)
{
    const struct create_topic *const *left = a, *const *right = b;
    slice x = (*left)->name, y = (*right)->name;
    int order = memcmp(x.data, y.data, x.size < y.size ? x.size : y.size);
    return order ? order : (x.size > y.size) - (x.size < y.size);
}

/* A name that one call has twice is created not even once. */
static bool refuse_duplicates(struct commit *commit, struct create_topic *topics, size_t count)
{
    struct create_topic **sorted = arena_alloc_array(&commit->arena, count, sizeof(struct create_topic *));
    if (!sorted)
        return false;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &topics[i];
    qsort(sorted, count, sizeof(struct create_topic *), compare_names);
    for (size_t i = 1; i < count; i++) {
        if (compare_names(&sorted[i - 1], &sorted[i]) == 0) {
            refuse(sorted[i - 1], ERR_INVALID_REQUEST, "Duplicate topic name.");
            refuse(sorted[i], ERR_INVALID_REQUEST, "Duplicate topic name.");
        }
    }
    return true;
}

static bool check_name(struct image_change *change, struct create_topic *topic)
{
    const char *why;
    if (!topic_name_valid(topic->name, &why))
        return refuse(topic, ERR_INVALID_TOPIC_EXCEPTION, "%s", why);
    if (slice_equal_string(topic->name, METADATA_TOPIC_NAME)) /* its directory is our own log's */
        return refuse(topic, ERR_INVALID_REQUEST, "Creation of internal topic %s is prohibited.",
                      METADATA_TOPIC_NAME);
    int name_size = (int)topic->name.size; /* at most 249, of harmless characters */
    const char *name = (const char *)topic->name.data;
    if (image_change_has_topic(change, topic->name))
        return refuse(topic, ERR_TOPIC_ALREADY_EXISTS, "Topic '%.*s' already exists.", name_size, name);
    slice other = image_change_colliding(change, topic->name);
    if (!slice_is_null(other))
        return refuse(topic, ERR_INVALID_TOPIC_EXCEPTION, "Topic '%.*s' collides with existing topic: %.*s",
                      name_size, name, (int)other.size, (const char *)other.data);
    return true;
}

static bool check_configs(const struct config *config, struct create_topic *topic)
{
    for (size_t i = 0; i < topic->override_count; i++)
        if (slice_is_null(topic->overrides[i].value))
            return refuse(topic, ERR_INVALID_CONFIG, "Null value not supported for topic configs: %s",
                          note_escape(topic->overrides[i].name));
    struct topic_config resolved;
    char error[TOPIC_CONFIG_ERROR_SIZE];
    if (!topic_config_resolve(config, topic->overrides, topic->override_count, &resolved, error))
        return refuse(topic, ERR_INVALID_CONFIG, "%s", error);
    return true;
}

static int32_t partition_count(const struct config *config, const struct create_topic *topic)
{
    return topic->partition_count == FROM_DEFAULT ? config->num_partitions : topic->partition_count;
}

static bool check_counts(struct commit *commit, struct create_topic *topic)
{
    const struct config *config = commit->controller->host.config;
    int32_t count = partition_count(config, topic);
    int32_t replication_factor = topic->replication_factor == FROM_DEFAULT
                                     ? config->default_replication_factor
                                     : topic->replication_factor;
    size_t broker_count = controller_image(commit->controller)->node_count;
    if (topic->replication_factor != FROM_DEFAULT && topic->replication_factor < 1)
        return refuse(topic, ERR_INVALID_REPLICATION_FACTOR,
                      "Replication factor must be larger than 0, or -1 to use the default value.");
    if (count < 1)
        return refuse(topic, ERR_INVALID_PARTITIONS,
                      "Number of partitions must be larger than 0, or -1 to use the default value.");
    if (replication_factor < 1 || (size_t)replication_factor > broker_count)
        return refuse(
            topic, ERR_INVALID_REPLICATION_FACTOR,
            "Unable to replicate the partition %d time(s): The target replication factor of %d cannot "
            "be reached because only %zu broker(s) are registered.",
            replication_factor, replication_factor, broker_count);
    if ((size_t)count + topic->override_count + 1 > METADATA_BATCH_RECORDS_MAX)
        return refuse(
            topic, ERR_POLICY_VIOLATION,
            "Excessively large number of partitions per request: a topic is created with at most %d.",
            METADATA_BATCH_RECORDS_MAX - 1);
    if (image_change_partition_count(commit->change) + (size_t)count > PARTITIONS_MAX)
        return refuse(topic, ERR_POLICY_VIOLATION,
                      "Unable to create the topic: this broker takes at most %d partitions.", PARTITIONS_MAX);
    return true;
}

static uuid new_id(struct commit *commit)
{
    uuid id;
    do
        id = uuid_random(commit->controller->host.random);
    while (image_change_has_topic_id(commit->change, id));
    return id;
}

static slice encode_topic(struct commit *commit, const struct create_topic *topic)
{
    struct topic_record record;
    topic_record_init(&record);
    record.name = topic->name;
    record.topic_id = topic->id;
    return metadata_record_encode(&commit->arena, METADATA_RECORD_TOPIC, 0, &record);
}

static slice encode_config(struct commit *commit, const struct create_topic *topic,
                           const struct topic_config_override *override)
{
    struct config_record record;
    config_record_init(&record);
    record.resource_type = CONFIG_RESOURCE_TOPIC;
    record.resource_name = topic->name;
    record.name = override->name;
    record.value = override->value;
    return metadata_record_encode(&commit->arena, METADATA_RECORD_CONFIG, 0, &record);
}

static slice encode_partition(struct commit *commit, const struct create_topic *topic, int32_t index)
{
    const struct store *store = commit->controller->host.store;
    int16_t level = image_change_feature(commit->change, "metadata.version");
    int16_t version = level >= METADATA_VERSION_ELIGIBLE_REPLICAS ? 2
                      : level >= METADATA_VERSION_DIRECTORIES     ? 1
                                                                  : 0;
    int32_t node_id = commit->controller->host.config->node_id;
    /* Which of several directories it will be is the store's choice, later: UNASSIGNED. */
    uuid directory = store_directory_count(store) == 1 ? store_directory_id(store, 0) : UUID_ONE;
    struct partition_record record;
    partition_record_init(&record);
    record.partition_id = index;
    record.topic_id = topic->id;
    record.replicas = record.isr = &node_id;
    record.replicas_count = record.isr_count = 1;
    record.leader = node_id;
    record.leader_epoch = 0;
    record.partition_epoch = 0;
    if (version >= 1) {
        record.directories = &directory;
        record.directories_count = 1;
    }
    return metadata_record_encode(&commit->arena, METADATA_RECORD_PARTITION, version, &record);
}

/* Topic, Config, Partition records, in Kafka's order. NULL: no memory. */
static slice *topic_records(struct commit *commit, struct create_topic *topic, size_t *count)
{
    int32_t partitions = partition_count(commit->controller->host.config, topic);
    slice *records =
        arena_alloc_array(&commit->arena, 1 + topic->override_count + (size_t)partitions, sizeof *records);
    if (!records)
        return NULL;
    size_t n = 0;
    records[n++] = encode_topic(commit, topic);
    for (size_t i = 0; i < topic->override_count; i++)
        records[n++] = encode_config(commit, topic, &topic->overrides[i]);
    for (int32_t i = 0; i < partitions; i++)
        records[n++] = encode_partition(commit, topic, i);
    *count = n;
    return records;
}

static bool fits_batch(struct create_topic *topic, const slice *records, size_t count)
{
    enum { RECORD_OVERHEAD_MAX = 32 };
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += records[i].size + RECORD_OVERHEAD_MAX;
    return size <= METADATA_BATCH_SIZE_MAX - BATCH_HEADER_SIZE ||
           refuse(topic, ERR_POLICY_VIOLATION, "The topic's settings are too large.");
}

static void decide_topic(struct commit *commit, struct create_topic *topic, bool validate_only)
{
    if (topic->error_code != ERR_NONE || !check_name(commit->change, topic) ||
        !check_configs(commit->controller->host.config, topic) || !check_counts(commit, topic))
        return;
    if (validate_only)
        return;
    topic->id = new_id(commit);
    size_t count;
    slice *records = topic_records(commit, topic, &count);
    if (!records)
        commit->is_broken = true;
    else if (fits_batch(topic, records, count))
        controller__commit_records(commit, records, count);
}

static void decide_topics(struct commit *commit, struct command *command)
{
    struct create_command *create = (struct create_command *)command;
    for (size_t i = 0; i < create->count; i++) {
        create->topics[i].error_code = ERR_NONE;
        create->topics[i].message[0] = '\0';
        create->topics[i].id = UUID_ZERO;
    }
    if (!refuse_duplicates(commit, create->topics, create->count))
        commit->is_broken = true;
    for (size_t i = 0; i < create->count && !commit->is_broken; i++)
        decide_topic(commit, &create->topics[i], create->validate_only);
}

static void fail_topics(struct command *command, int16_t error_code)
{
    struct create_command *create = (struct create_command *)command;
    for (size_t i = 0; i < create->count; i++) {
        struct create_topic *topic = &create->topics[i];
        if (topic->error_code == ERR_NONE) {
            refuse(topic, error_code, "%s", error_message(error_code));
            topic->id = UUID_ZERO;
        }
    }
}

void controller_create_topics(struct controller *controller, struct create_topic *topics, size_t count,
                              bool validate_only)
{
    struct create_command create = { .command = { .decide = decide_topics, .fail = fail_topics },
                                     .topics = topics,
                                     .count = count,
                                     .validate_only = validate_only };
    controller__run(controller, &create.command);
}
