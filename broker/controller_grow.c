/* Decides on topics that are to have more partitions (KIP-195): checks in Kafka's order, and the new records.
 */
#include <stdio.h>

#include "broker/controller_internal.h"
#include "protocol/errors.h"

struct grow_command {
    struct command command; /* first */
    struct grow_topic *topics;
    size_t count;
    bool validate_only;
};

#define REFUSE(topic, code, ...) controller__refuse(&(topic)->error_code, (topic)->message, code, __VA_ARGS__)

static bool check_count(struct commit *commit, struct grow_topic *topic, int32_t present)
{
    int64_t additional = (int64_t)topic->partition_count - present;
    if (additional == 0)
        return REFUSE(topic, ERR_INVALID_PARTITIONS, "Topic already has %d partition(s).", present);
    if (additional < 0)
        return REFUSE(topic, ERR_INVALID_PARTITIONS,
                      "The topic %.*s currently has %d partition(s); %d would not be an increase.",
                      (int)topic->name.size, (const char *)topic->name.data, present, topic->partition_count);
    if (topic->assignments && topic->assignment_count != (size_t)additional)
        return REFUSE(topic, ERR_INVALID_REPLICA_ASSIGNMENT,
                      "Attempted to add %lld additional partition(s), but only %zu assignment(s) were "
                      "specified.",
                      (long long)additional, topic->assignment_count);
    if (additional > METADATA_BATCH_RECORDS_MAX)
        return REFUSE(topic, ERR_POLICY_VIOLATION, "Unable to perform excessively large batch operation.");
    if (image_change_partition_count(commit->change) + (size_t)additional > PARTITIONS_MAX)
        return REFUSE(topic, ERR_POLICY_VIOLATION,
                      "Unable to add the partitions: this broker takes at most %d.", PARTITIONS_MAX);
    return true;
}

/* New partitions have as many replicas as the topic's first one. */
static bool check_replicas(struct commit *commit, struct grow_topic *topic, int32_t replication_factor)
{
    size_t broker_count = controller_image(commit->controller)->node_count;
    for (size_t i = 0; topic->assignments && i < topic->assignment_count; i++)
        if (!controller__check_assignment(commit, &topic->assignments[i], replication_factor,
                                          &topic->error_code, topic->message))
            return false;
    if (!topic->assignments && (size_t)replication_factor > broker_count)
        return REFUSE(topic, ERR_INVALID_REPLICATION_FACTOR,
                      "The target replication factor of %d cannot be reached because only %zu broker(s) are "
                      "registered.",
                      replication_factor, broker_count);
    return true;
}

static void commit_partitions(struct commit *commit, const struct grow_topic *topic, uuid id, int32_t present)
{
    size_t count = (size_t)(topic->partition_count - present);
    slice *records = arena_alloc_array(&commit->arena, count, sizeof *records);
    if (!records) {
        commit->is_broken = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        records[i] = controller__encode_partition(commit, id, present + (int32_t)i,
                                                  topic->assignments ? &topic->assignments[i] : NULL);
    controller__commit_records(commit, records, count);
}

static void decide_topic(struct commit *commit, struct grow_topic *topic, bool validate_only)
{
    uuid id;
    int32_t present;
    topic->error_code = ERR_NONE;
    topic->message[0] = '\0';
    if (!image_change_find_topic(commit->change, topic->name, &id, &present)) {
        topic->error_code = ERR_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    if (check_count(commit, topic, present) &&
        check_replicas(commit, topic, image_change_partition(commit->change, id, 0)->replica_count) &&
        !validate_only && controller__check_room(commit, &topic->error_code, topic->message))
        commit_partitions(commit, topic, id, present);
}

static void decide_topics(struct commit *commit, struct command *command)
{
    struct grow_command *grow = (struct grow_command *)command;
    for (size_t i = 0; i < grow->count && !commit->is_broken; i++)
        decide_topic(commit, &grow->topics[i], grow->validate_only);
}

static void fail_topics(struct command *command, int16_t error_code)
{
    struct grow_command *grow = (struct grow_command *)command;
    for (size_t i = 0; i < grow->count; i++)
        if (grow->topics[i].error_code == ERR_NONE)
            REFUSE(&grow->topics[i], error_code, "%s", error_message(error_code));
}

void controller_grow_topics(struct controller *controller, struct grow_topic *topics, size_t count,
                            bool validate_only)
{
    struct grow_command grow = { .command = { .decide = decide_topics, .fail = fail_topics },
                                 .topics = topics,
                                 .count = count,
                                 .validate_only = validate_only };
    for (size_t i = 0; i < count; i++)
        topics[i].error_code = ERR_NONE;
    controller__run(controller, &grow.command);
}
