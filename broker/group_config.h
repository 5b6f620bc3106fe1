/* Group settings: Kafka's group-level configs (KIP-848), resolved over the broker's own defaults. */
#ifndef RUNNEL_BROKER_GROUP_CONFIG_H
#define RUNNEL_BROKER_GROUP_CONFIG_H

#include "broker/topic_config.h"

/* What is acted on of one group's settings; plain data, times in ms. */
struct group_config {
    int32_t consumer_heartbeat_interval_ms;
    int32_t consumer_session_timeout_ms;
};

/* Whether a group may have these settings: known names, values of their type, within the bounds that the broker has
 * for them (group.consumer.min.session.timeout.ms ...), together with its defaults for the others. Else error says
 * what is wrong, in Kafka's words, for INVALID_CONFIG (TOPIC_CONFIG_ERROR_SIZE bytes; what clients sent is
 * escaped). */
bool group_config_check(const struct config *config, const struct topic_config_override *overrides, size_t count,
                        char *error);
/* For what the metadata log holds: names that are none and values that are wrong in themselves are ignored; the
 * broker's bounds, which may have changed since, are not looked at, as in Kafka. Returns how many were ignored. */
size_t group_config_load(const struct config *config, const struct topic_config_override *overrides, size_t count,
                         struct group_config *out);

/* For DescribeConfigs and docs: all settings in the order of their names. */
size_t group_config_count(void);
const struct config_row *group_config_row(size_t index);
/* SIZE_MAX: no such setting. */
size_t group_config_find(slice name);
/* The value that holds for groups without one of their own; borrowed from config. */
const char *group_config_default(const struct config *config, size_t index);

#endif
