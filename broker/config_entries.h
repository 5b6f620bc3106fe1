/* What DescribeConfigs tells of settings: an entry each, with source, type, synonyms, documentation. */
#ifndef RUNNEL_BROKER_CONFIG_ENTRIES_H
#define RUNNEL_BROKER_CONFIG_ENTRIES_H

#include "broker/config.h"
#include "broker/image.h"
#include "protocol/base/arena.h"

#include "codec/describe_configs.h"

/* How the entries are wanted. Borrowed until the answer has left. */
struct config_wish {
    struct arena *arena;
    const struct config *config;
    bool synonyms;
    bool documentation;
};

/* Ascending by name. Shared by results: only read once made. */
struct config_entries {
    struct describe_configs_response_config *items; /* NULL: not made yet */
    size_t count;
    size_t size; /* about the bytes on the wire */
};

/* Each false: no memory. */

/* All settings of the broker that are not internal, or set. */
bool config_entries_of_broker(const struct config_wish *wish, struct config_entries *out);
/* Of a topic without settings of its own. */
bool config_entries_of_topics(const struct config_wish *wish, struct config_entries *out);
/* Of this topic; shares what it can with those of topics in general. */
bool config_entries_of_topic(const struct config_wish *wish, const struct config_entries *general,
                             const struct topic *topic, struct config_entries *out);
/* Of a group, or a client metrics subscription, without settings of its own. */
bool config_entries_of_groups(const struct config_wish *wish, struct config_entries *out);
bool config_entries_of_client_metrics(const struct config_wish *wish, struct config_entries *out);
/* Of this one, over those of its kind in general; NULL: it has none of its own. */
bool config_entries_of_resource(const struct config_wish *wish, const struct config_entries *general,
                                const struct resource_config *resource, struct config_entries *out);

/* Those that are named; names that are no settings are passed over. No keys: all, shared. */
bool config_entries_pick(struct arena *arena, const struct config_entries *all, const slice *keys,
                         int32_t key_count, struct config_entries *out);

#endif
