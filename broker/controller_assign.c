/* Which brokers hold a partition: checks assignments that clients made, encodes the record that says so. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/controller_internal.h"
#include "protocol/errors.h"

bool controller__refuse(int16_t *error_code, char *message, int16_t code, const char *format, ...)
{
    *error_code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, CONTROLLER_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

static int compare_ids(const void *a, const void *b)
{
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return (left > right) - (left < right);
}

static bool is_registered(const struct image *image, int32_t broker_id)
{
    for (size_t i = 0; i < image->node_count; i++)
        if (image->nodes[i].id == broker_id)
            return true;
    return false;
}

/* Kafka's order: the brokers ascending, each first known, then not the one before. */
static bool check_brokers(struct commit *commit, const struct replica_assignment *assignment,
                          int16_t *error_code, char *message)
{
    const struct image *image = controller_image(commit->controller);
    int32_t *sorted = arena_alloc_array(&commit->arena, assignment->broker_count, sizeof *sorted);
    if (!sorted) {
        commit->is_broken = true;
        return false;
    }
    memcpy(sorted, assignment->broker_ids, assignment->broker_count * sizeof *sorted);
    qsort(sorted, assignment->broker_count, sizeof *sorted, compare_ids);
    for (size_t i = 0; i < assignment->broker_count; i++) {
        if (!is_registered(image, sorted[i]))
            return controller__refuse(
                error_code, message, ERR_INVALID_REPLICA_ASSIGNMENT,
                "The manual partition assignment includes broker %d, but no such broker is registered.",
                sorted[i]);
        if (i > 0 && sorted[i] == sorted[i - 1])
            return controller__refuse(
                error_code, message, ERR_INVALID_REPLICA_ASSIGNMENT,
                "The manual partition assignment includes the broker %d more than once.", sorted[i]);
    }
    return true;
}

bool controller__check_assignment(struct commit *commit, const struct replica_assignment *assignment,
                                  int32_t replication_factor, int16_t *error_code, char *message)
{
    if (assignment->broker_count == 0)
        return controller__refuse(error_code, message, ERR_INVALID_REPLICA_ASSIGNMENT,
                                  "The manual partition assignment includes an empty replica list.");
    if (!check_brokers(commit, assignment, error_code, message))
        return false;
    if (replication_factor >= 0 && assignment->broker_count != (size_t)replication_factor)
        return controller__refuse(
            error_code, message, ERR_INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes a partition with %zu replica(s), but this is not "
            "consistent with previous partitions, which have %d replica(s).",
            assignment->broker_count, replication_factor);
    return true;
}

/* Which of several directories it will be is the store's choice, later: UNASSIGNED. */
static uuid directory_of(const struct controller *controller, int32_t broker_id)
{
    const struct store *store = controller->host.store;
    bool is_known = broker_id == controller->host.config->node_id && store_directory_count(store) == 1;
    return is_known ? store_directory_id(store, 0) : UUID_ONE;
}

slice controller__encode_partition(struct commit *commit, uuid topic_id, int32_t index,
                                   const struct replica_assignment *assignment)
{
    const struct controller *controller = commit->controller;
    int16_t version = metadata_partition_version(image_change_feature(commit->change, "metadata.version"));
    const int32_t *brokers = assignment ? assignment->broker_ids : &controller->host.config->node_id;
    size_t count = assignment ? assignment->broker_count : 1;
    struct partition_record record;
    partition_record_init(&record);
    record.partition_id = index;
    record.topic_id = topic_id;
    record.replicas = record.isr = (int32_t *)brokers; /* only read from here on */
    record.replicas_count = record.isr_count = (int32_t)count;
    record.leader = brokers[0];
    record.leader_epoch = 0;
    record.partition_epoch = 0;
    if (version >= 1) {
        uuid *directories = arena_alloc_array(&commit->arena, count, sizeof *directories);
        if (!directories)
            return SLICE_NULL;
        for (size_t i = 0; i < count; i++)
            directories[i] = directory_of(controller, brokers[i]);
        record.directories = directories;
        record.directories_count = (int32_t)count;
    }
    return metadata_record_encode(&commit->arena, METADATA_RECORD_PARTITION, version, &record);
}
