/* Decides on topics to delete: one record each, all of a command in as few batches as Kafka allows. */
#include <stdio.h>

#include "broker/controller_internal.h"
#include "protocol/errors.h"

struct delete_command {
    struct command command; /* first */
    struct delete_topic *topics;
    size_t count;
};

/* The topic's settings go with it: replaying the record takes both away, in Kafka as here. */
static void decide_topic(struct commit *commit, struct delete_topic *topic)
{
    topic->error_code = ERR_NONE;
    topic->message[0] = '\0';
    if (!image_change_has_topic_id(commit->change, topic->id)) {
        topic->error_code = ERR_UNKNOWN_TOPIC_ID;
        return;
    }
    struct remove_topic_record record;
    remove_topic_record_init(&record);
    record.topic_id = topic->id;
    controller__commit_record(
        commit, metadata_record_encode(&commit->arena, METADATA_RECORD_REMOVE_TOPIC, 0, &record));
}

static void decide_topics(struct commit *commit, struct command *command)
{
    struct delete_command *delete = (struct delete_command *)command;
    metadata_batches_cut(&commit->batches);
    for (size_t i = 0; i < delete->count && !commit->is_broken; i++) {
        if (commit->batches.open_count == METADATA_BATCH_RECORDS_MAX)
            metadata_batches_cut(&commit->batches);
        decide_topic(commit, &delete->topics[i]);
    }
    metadata_batches_cut(&commit->batches);
}

static void fail_topics(struct command *command, int16_t error_code)
{
    struct delete_command *delete = (struct delete_command *)command;
    for (size_t i = 0; i < delete->count; i++) {
        struct delete_topic *topic = &delete->topics[i];
        if (topic->error_code == ERR_NONE)
            controller__refuse(&topic->error_code, topic->message, error_code, "%s",
                               error_message(error_code));
    }
}

void controller_delete_topics(struct controller *controller, struct delete_topic *topics, size_t count)
{
    struct delete_command delete = { .command = { .decide = decide_topics, .fail = fail_topics },
                                     .topics = topics,
                                     .count = count };
    for (size_t i = 0; i < count; i++)
        topics[i].error_code = ERR_NONE;
    controller__run(controller, &delete.command);
}
