/* What has settings that clients may ask for or change: topics, brokers and the others of KIP-133. */
#ifndef RUNNEL_BROKER_CONFIG_RESOURCE_H
#define RUNNEL_BROKER_CONFIG_RESOURCE_H

#include "protocol/base/slice.h"

/* Numbers as on the wire. */
enum config_resource_type {
    CONFIG_RESOURCE_TOPIC = 2,
    CONFIG_RESOURCE_BROKER = 4,
    CONFIG_RESOURCE_BROKER_LOGGER = 8,
    CONFIG_RESOURCE_CLIENT_METRICS = 16,
    CONFIG_RESOURCE_GROUP = 32,
};

/* Whose node id a resource name is. */
enum config_resource_node { NODE_OURS, NODE_OTHER, NODE_NO_NUMBER };
enum config_resource_node config_resource_node(slice name, int32_t node_id);

/* What a client sent, for a message to it: escaped, cut after 128 bytes, without quotes. Returns out. */
enum { CONFIG_RESOURCE_TEXT_SIZE = 528 };
const char *config_resource_text(slice name, char out[CONFIG_RESOURCE_TEXT_SIZE]);

#endif
