/* The topics that belong to coordinators, and the settings with which they are made. */
#ifndef RUNNEL_BROKER_INTERNAL_TOPICS_H
#define RUNNEL_BROKER_INTERNAL_TOPICS_H

#include "broker/controller.h"
#include "protocol/base/arena.h"

enum internal_topic {
    INTERNAL_TOPIC_NONE,
    INTERNAL_TOPIC_OFFSETS,     /* __consumer_offsets */
    INTERNAL_TOPIC_TRANSACTION, /* __transaction_state */
    INTERNAL_TOPIC_SHARE,       /* __share_group_state */
};

enum internal_topic internal_topic_find(slice name);
const char *internal_topic_name(enum internal_topic topic);
/* Fills in partitions, replicas and overrides when the topic's name is one of them; overrides live
 * in the arena. False: no memory. */
bool internal_topic_settings(const struct config *config, struct create_topic *topic, struct arena *arena);

#endif
