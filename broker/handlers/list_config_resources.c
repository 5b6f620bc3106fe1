/* ListConfigResources v0-1: the names of what may have settings. v0 client metrics subscriptions alone
 * (KIP-1000); v1 topics, brokers, loggers and groups as well, by type (KIP-1142). */
#include <stdio.h>

#include "broker/handlers/handlers.h"
#include "broker/image.h"
#include "broker/server.h"

enum { KIP_1142 = 1, NODE_TEXT_SIZE = 12 };

static const enum config_resource_type all_types[] = {
    CONFIG_RESOURCE_GROUP,  CONFIG_RESOURCE_CLIENT_METRICS, CONFIG_RESOURCE_BROKER_LOGGER,
    CONFIG_RESOURCE_BROKER, CONFIG_RESOURCE_TOPIC,
};
enum { TYPE_COUNT = sizeof all_types / sizeof *all_types };

static bool is_served(int16_t version, int8_t type)
{
    if (version < KIP_1142)
        return type == CONFIG_RESOURCE_CLIENT_METRICS;
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (type == (int8_t)all_types[i])
            return true;
    return false;
}

/* No type: all that the version knows. */
static bool is_wanted(const struct request *rq, const struct list_config_resources_request *in,
                      enum config_resource_type type)
{
    for (int32_t i = 0; i < in->resource_types_count; i++)
        if (in->resource_types[i] == (int8_t)type)
            return true;
    return in->resource_types_count == 0 && is_served(rq->api_version, (int8_t)type);
}

static void add(struct list_config_resources_response *out, enum config_resource_type type, slice name)
{
    struct list_config_resources_response_resource *added =
        &out->config_resources[out->config_resources_count++];
    list_config_resources_response_resource_init(added);
    added->resource_type = (int8_t)type;
    added->resource_name = name;
}

/* False: no memory. */
static bool add_nodes(struct request *rq, struct list_config_resources_response *out,
                      enum config_resource_type type)
{
    for (size_t i = 0; i < rq->image->node_count; i++) {
        char *text = arena_alloc(&rq->arena, NODE_TEXT_SIZE);
        if (!text)
            return false;
        snprintf(text, NODE_TEXT_SIZE, "%d", rq->image->nodes[i].id);
        add(out, type, slice_of_string(text));
    }
    return true;
}

/* Those that have settings of their own. */
static void add_resources(const struct image *image, struct list_config_resources_response *out,
                          enum config_resource_type type)
{
    for (size_t i = 0; i < image->resource_count; i++)
        if (image->resources[i]->type == type)
            add(out, type, image->resources[i]->name);
}

static bool add_type(struct request *rq, struct list_config_resources_response *out,
                     enum config_resource_type type)
{
    switch (type) {
    case CONFIG_RESOURCE_GROUP:
    case CONFIG_RESOURCE_CLIENT_METRICS:
        add_resources(rq->image, out, type);
        return true;
    case CONFIG_RESOURCE_BROKER_LOGGER:
    case CONFIG_RESOURCE_BROKER:
        return add_nodes(rq, out, type);
    case CONFIG_RESOURCE_TOPIC:
        for (size_t i = 0; i < rq->image->topic_count; i++)
            add(out, type, rq->image->topics[i]->name_slice);
        return true;
    }
    return true;
}

enum handled handle_list_config_resources(struct request *rq, const struct list_config_resources_request *in,
                                          struct list_config_resources_response *out)
{
    const struct image *image = rq->image;
    out->error_code = rq_cluster(rq, OP_DESCRIBE_CONFIGS);
    for (int32_t i = 0; i < in->resource_types_count && out->error_code == ERR_NONE; i++)
        if (!is_served(rq->api_version, in->resource_types[i]))
            out->error_code = ERR_UNSUPPORTED_VERSION;
    if (out->error_code != ERR_NONE)
        return HANDLED_DONE;
    size_t count = image->topic_count + image->resource_count + 2 * image->node_count;
    out->config_resources = arena_alloc_array(&rq->arena, count, sizeof *out->config_resources);
    if (!out->config_resources)
        return HANDLED_CLOSE;
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (is_wanted(rq, in, all_types[i]) && !add_type(rq, out, all_types[i]))
            return HANDLED_CLOSE;
    return HANDLED_DONE;
}
