/* Decides on topics to create: checks in Kafka's order, and the records of those that pass. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/controller_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "protocol/errors.h"
#include "storage/directory.h"

enum { FROM_DEFAULT = -1 };

struct create_command {
    struct command command; /* first */
    struct create_topic *topics;
    size_t count;
    bool validate_only;
};

#define REFUSE(topic, code, ...) controller__refuse(&(topic)->error_code, (topic)->message, code, __VA_ARGS__)

static int compare_names(const void *a, const void *b)
{
    const struct create_topic *const *left = a, *const *right = b;
    return slice_compare((*left)->name, (*right)->name);
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
            REFUSE(sorted[i - 1], ERR_INVALID_REQUEST, "Duplicate topic name.");
            REFUSE(sorted[i], ERR_INVALID_REQUEST, "Duplicate topic name.");
        }
    }
    return true;
}

static bool check_name(struct image_change *change, struct create_topic *topic)
{
    const char *why;
    if (!topic_name_valid(topic->name, &why))
        return REFUSE(topic, ERR_INVALID_TOPIC_EXCEPTION, "%s", why);
    if (slice_equal_string(topic->name, METADATA_TOPIC_NAME)) /* its directory is our own log's */
        return REFUSE(topic, ERR_INVALID_REQUEST, "Creation of internal topic %s is prohibited.",
                      METADATA_TOPIC_NAME);
    int name_size = (int)topic->name.size; /* at most 249, of harmless characters */
    const char *name = (const char *)topic->name.data;
    if (image_change_has_topic(change, topic->name))
        return REFUSE(topic, ERR_TOPIC_ALREADY_EXISTS, "Topic '%.*s' already exists.", name_size, name);
    slice other = image_change_colliding(change, topic->name);
    if (!slice_is_null(other))
        return REFUSE(topic, ERR_INVALID_TOPIC_EXCEPTION, "Topic '%.*s' collides with existing topic: %.*s",
                      name_size, name, (int)other.size, (const char *)other.data);
    return true;
}

static bool check_configs(const struct config *config, struct create_topic *topic)
{
    for (size_t i = 0; i < topic->override_count; i++)
        if (slice_is_null(topic->overrides[i].value))
            return REFUSE(topic, ERR_INVALID_CONFIG, "Null value not supported for topic configs: %s",
                          note_escape(topic->overrides[i].name));
    struct topic_config resolved;
    char error[TOPIC_CONFIG_ERROR_SIZE];
    if (!topic_config_resolve(config, topic->overrides, topic->override_count, &resolved, error))
        return REFUSE(topic, ERR_INVALID_CONFIG, "%s", error);
    return true;
}

/* -- which brokers ------------------------------------------------------------------------------ */

/* What a topic will be: by counts, or by a manual assignment of each partition. */
struct plan {
    int32_t partition_count;
    int32_t replication_factor;
    const struct replica_assignment **assignments; /* by partition; NULL: automatic */
};

static bool plan_manual(struct commit *commit, struct create_topic *topic, struct plan *plan)
{
    size_t count = topic->assignment_count;
    bool is_contiguous = true;
    plan->assignments = arena_alloc_array(&commit->arena, count, sizeof(struct replica_assignment *));
    if (!plan->assignments) {
        commit->is_broken = true;
        return false;
    }
    plan->partition_count = (int32_t)count;
    plan->replication_factor = -1;
    for (size_t i = 0; i < count; i++) {
        const struct replica_assignment *assignment = &topic->assignments[i];
        bool is_inside = assignment->partition >= 0 && (size_t)assignment->partition < count;
        if (is_inside && plan->assignments[assignment->partition])
            return REFUSE(topic, ERR_INVALID_REPLICA_ASSIGNMENT,
                          "Found multiple manual partition assignments for partition %d",
                          assignment->partition);
        if (!controller__check_assignment(commit, assignment, plan->replication_factor, &topic->error_code,
                                          topic->message))
            return false;
        plan->replication_factor = (int32_t)assignment->broker_count;
        if (is_inside)
            plan->assignments[assignment->partition] = assignment;
        is_contiguous = is_contiguous && is_inside;
    }
    return is_contiguous || REFUSE(topic, ERR_INVALID_REPLICA_ASSIGNMENT,
                                   "partitions should be a consecutive 0-based integer sequence");
}

static bool plan_automatic(struct commit *commit, struct create_topic *topic, struct plan *plan)
{
    const struct config *config = commit->controller->host.config;
    size_t broker_count = controller_image(commit->controller)->node_count;
    if (topic->replication_factor != FROM_DEFAULT && topic->replication_factor < 1)
        return REFUSE(topic, ERR_INVALID_REPLICATION_FACTOR,
                      "Replication factor must be larger than 0, or -1 to use the default value.");
    if (topic->partition_count != FROM_DEFAULT && topic->partition_count < 1)
        return REFUSE(topic, ERR_INVALID_PARTITIONS,
                      "Number of partitions was set to an invalid non-positive value.");
    plan->partition_count =
        topic->partition_count == FROM_DEFAULT ? config->num_partitions : topic->partition_count;
    plan->replication_factor = topic->replication_factor == FROM_DEFAULT ? config->default_replication_factor
                                                                         : topic->replication_factor;
    if (plan->replication_factor < 1 || (size_t)plan->replication_factor > broker_count)
        return REFUSE(topic, ERR_INVALID_REPLICATION_FACTOR,
                      "Unable to replicate the partition %d time(s): The target replication factor of %d "
                      "cannot be reached because only %zu broker(s) are registered.",
                      plan->replication_factor, plan->replication_factor, broker_count);
    return true;
}

static bool make_plan(struct commit *commit, struct create_topic *topic, struct plan *plan)
{
    *plan = (struct plan){ 0 };
    if (topic->assignment_count == 0)
        return plan_automatic(commit, topic, plan);
    if (topic->replication_factor != FROM_DEFAULT)
        return REFUSE(topic, ERR_INVALID_REQUEST,
                      "A manual partition assignment was specified, but replication factor was not set to "
                      "-1.");
    if (topic->partition_count != FROM_DEFAULT)
        return REFUSE(topic, ERR_INVALID_REQUEST,
                      "A manual partition assignment was specified, but numPartitions was not set to -1.");
    return plan_manual(commit, topic, plan);
}

static bool check_bounds(struct commit *commit, struct create_topic *topic, const struct plan *plan)
{
    size_t count = (size_t)plan->partition_count;
    if (count + topic->override_count + 1 > METADATA_BATCH_RECORDS_MAX)
        return REFUSE(topic, ERR_POLICY_VIOLATION, "Unable to perform excessively large batch operation.");
    if (image_change_partition_count(commit->change) + count > PARTITIONS_MAX)
        return REFUSE(topic, ERR_POLICY_VIOLATION,
                      "Unable to create the topic: this broker takes at most %d partitions.", PARTITIONS_MAX);
    return true;
}

/* Kafka's bound on what one request may ask for; it is judged before anything else. */
static bool check_total(const struct create_command *create, const struct config *config)
{
    uint64_t total = 0;
    for (size_t i = 0; i < create->count; i++) {
        const struct create_topic *topic = &create->topics[i];
        if (topic->assignment_count > 0)
            total += topic->assignment_count;
        else if (topic->partition_count == FROM_DEFAULT)
            total += (uint64_t)config->num_partitions;
        else if (topic->partition_count > 0)
            total += (uint64_t)topic->partition_count;
    }
    return total <= PARTITIONS_PER_CALL_MAX;
}

/* -- records ------------------------------------------------------------------------------------ */

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

/* Topic, Config, Partition records, in Kafka's order. NULL: no memory. */
static slice *topic_records(struct commit *commit, struct create_topic *topic, const struct plan *plan,
                            size_t *count)
{
    slice *records = arena_alloc_array(
        &commit->arena, 1 + topic->override_count + (size_t)plan->partition_count, sizeof *records);
    if (!records)
        return NULL;
    size_t n = 0;
    records[n++] = encode_topic(commit, topic);
    for (size_t i = 0; i < topic->override_count; i++)
        records[n++] = controller__encode_config(commit, CONFIG_RESOURCE_TOPIC, topic->name,
                                                 topic->overrides[i].name, topic->overrides[i].value);
    for (int32_t i = 0; i < plan->partition_count; i++)
        records[n++] = controller__encode_partition(commit, topic->id, i,
                                                    plan->assignments ? plan->assignments[i] : NULL);
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
           REFUSE(topic, ERR_POLICY_VIOLATION, "The topic's settings are too large.");
}

static void decide_topic(struct commit *commit, struct create_topic *topic, bool validate_only)
{
    struct plan plan;
    if (topic->error_code != ERR_NONE || !check_name(commit->change, topic) ||
        !check_configs(commit->controller->host.config, topic) || !make_plan(commit, topic, &plan) ||
        !check_bounds(commit, topic, &plan))
        return;
    topic->created_partition_count = plan.partition_count;
    topic->created_replication_factor = (int16_t)plan.replication_factor;
    if (validate_only || !controller__check_room(commit, &topic->error_code, topic->message))
        return;
    topic->id = new_id(commit);
    size_t count;
    slice *records = topic_records(commit, topic, &plan, &count);
    if (!records)
        commit->is_broken = true;
    else if (fits_batch(topic, records, count))
        controller__commit_records(commit, records, count);
}

static void reset(struct create_topic *topic)
{
    topic->error_code = ERR_NONE;
    topic->message[0] = '\0';
    topic->id = UUID_ZERO;
    topic->created_partition_count = -1;
    topic->created_replication_factor = -1;
}

static void decide_topics(struct commit *commit, struct command *command)
{
    struct create_command *create = (struct create_command *)command;
    bool is_small = check_total(create, commit->controller->host.config);
    for (size_t i = 0; i < create->count && !is_small; i++)
        REFUSE(&create->topics[i], ERR_POLICY_VIOLATION,
               "Excessively large number of partitions per request.");
    if (!is_small)
        return;
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
            REFUSE(topic, error_code, "%s", error_message(error_code));
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
    for (size_t i = 0; i < count; i++)
        reset(&topics[i]);
    controller__run(controller, &create.command);
}
