/* Settings of the coordinators' topics (facts: protocol 4.1). */
#include "broker/internal_topics.h"

#include <stdio.h>

enum { OVERRIDES_MAX = 5, NUMBER_SIZE = 24 };

static const char *const names[] = {
    [INTERNAL_TOPIC_OFFSETS] = "__consumer_offsets",
    [INTERNAL_TOPIC_TRANSACTION] = "__transaction_state",
    [INTERNAL_TOPIC_SHARE] = "__share_group_state",
};

enum internal_topic internal_topic_find(slice name)
{
    for (int i = INTERNAL_TOPIC_OFFSETS; i <= INTERNAL_TOPIC_SHARE; i++)
        if (slice_equal_string(name, names[i]))
            return (enum internal_topic)i;
    return INTERNAL_TOPIC_NONE;
}

const char *internal_topic_name(enum internal_topic topic)
{
    return names[topic];
}

struct overrides {
    struct arena *arena;
    struct topic_config_override *items;
    size_t count;
    bool is_failed;
};

static void add_text(struct overrides *overrides, const char *name, const char *value)
{
    overrides->items[overrides->count++] =
        (struct topic_config_override){ slice_of_string(name), slice_of_string(value) };
}

static void add_number(struct overrides *overrides, const char *name, int32_t value)
{
    char *text = arena_alloc(overrides->arena, NUMBER_SIZE);
    if (!text) {
        overrides->is_failed = true;
        return;
    }
    snprintf(text, NUMBER_SIZE, "%d", value);
    add_text(overrides, name, text);
}

bool internal_topic_settings(const struct config *config, struct create_topic *topic, struct arena *arena)
{
    enum internal_topic which = internal_topic_find(topic->name);
    if (which == INTERNAL_TOPIC_NONE)
        return true;
    struct overrides overrides = { .arena = arena };
    overrides.items = arena_alloc_array(arena, OVERRIDES_MAX, sizeof *overrides.items);
    if (!overrides.items)
        return false;
    switch (which) {
    case INTERNAL_TOPIC_OFFSETS:
        topic->partition_count = config->offsets_topic_num_partitions;
        topic->replication_factor = config->offsets_topic_replication_factor;
        add_text(&overrides, "cleanup.policy", "compact");
        add_text(&overrides, "compression.type", "producer");
        add_number(&overrides, "segment.bytes", config->offsets_topic_segment_bytes);
        break;
    case INTERNAL_TOPIC_TRANSACTION:
        topic->partition_count = config->transaction_state_log_num_partitions;
        topic->replication_factor = config->transaction_state_log_replication_factor;
        add_text(&overrides, "cleanup.policy", "compact");
        add_text(&overrides, "compression.type", "uncompressed");
        add_number(&overrides, "segment.bytes", config->transaction_state_log_segment_bytes);
        add_number(&overrides, "min.insync.replicas", config->transaction_state_log_min_isr);
        add_text(&overrides, "unclean.leader.election.enable", "false");
        break;
    case INTERNAL_TOPIC_SHARE:
        topic->partition_count = config->share_coordinator_state_topic_num_partitions;
        topic->replication_factor = config->share_coordinator_state_topic_replication_factor;
        add_text(&overrides, "cleanup.policy", "delete");
        add_text(&overrides, "compression.type", "producer");
        add_number(&overrides, "segment.bytes", config->share_coordinator_state_topic_segment_bytes);
        add_text(&overrides, "retention.ms", "-1"); /* the coordinator deletes what it does not need */
        break;
    case INTERNAL_TOPIC_NONE:
        break;
    }
    topic->overrides = overrides.items;
    topic->override_count = overrides.count;
    return !overrides.is_failed;
}
