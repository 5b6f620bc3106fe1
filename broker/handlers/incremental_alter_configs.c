/* IncrementalAlterConfigs v0-1: changes single settings of topics (KIP-339); v1 flexible.
 * What other resources have cannot be changed while the broker runs, and is refused, never passed over. */
#include "broker/handlers/handlers.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config_resource.h"
#include "broker/server.h"
#include "protocol/base/check.h"

typedef struct incremental_alter_configs_request_resource request_resource;
typedef struct incremental_alter_configs_request_config request_config;
typedef struct incremental_alter_configs_response_resource response_resource;

/* The topics among the resources, for the controller. */
struct alter_state {
    struct alter_topic_config *topics;
    response_resource **answers; /* by topic */
    size_t count;
};

enum { MESSAGE_SIZE = 256 };

__attribute__((format(printf, 4, 5))) static bool refuse(struct request *rq, response_resource *out,
                                                         int16_t error_code, const char *format, ...)
{
    char *text = arena_alloc(&rq->arena, MESSAGE_SIZE);
    out->error_code = error_code;
    if (!text)
        return false; /* without words then: encoding will fail for the same reason */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    out->error_message = slice_of_string(text);
    return false;
}

static bool refuse_plainly(response_resource *out, int16_t error_code)
{
    out->error_code = error_code;
    out->error_message = slice_of_string(error_message(error_code));
    return false;
}

/* -- what is wrong with the request itself ------------------------------------------------------ */

static int compare_resources(const void *a, const void *b)
{
    const response_resource *left = *(response_resource *const *)a, *right = *(response_resource *const *)b;
    int order = left->resource_type - right->resource_type;
    return order ? order : slice_compare(left->resource_name, right->resource_name);
}

/* Neither mention of a resource that is there twice counts. False: no memory. */
static bool refuse_duplicates(struct request *rq, struct incremental_alter_configs_response *out)
{
    static const char why[] = "Each resource must appear at most once.";
    size_t count = (size_t)out->responses_count;
    response_resource **sorted = arena_alloc_array(&rq->arena, count, sizeof *sorted);
    if (!sorted)
        return false;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &out->responses[i];
    qsort(sorted, count, sizeof *sorted, compare_resources);
    for (size_t i = 1; i < count; i++) {
        if (compare_resources(&sorted[i - 1], &sorted[i]) != 0)
            continue;
        sorted[i - 1]->error_code = sorted[i]->error_code = ERR_INVALID_REQUEST;
        sorted[i - 1]->error_message = sorted[i]->error_message = slice_of_string(why);
    }
    return true;
}

static bool check_keys(struct request *rq, const request_resource *in, response_resource *out)
{
    size_t count = (size_t)in->configs_count;
    slice *names = arena_alloc_array(&rq->arena, count, sizeof *names);
    if (!names)
        return refuse_plainly(out, ERR_UNKNOWN_SERVER_ERROR);
    for (size_t i = 0; i < count; i++)
        names[i] = in->configs[i].name;
    qsort(names, count, sizeof *names, slice_compare_items);
    for (size_t i = 1; i < count; i++)
        if (slice_equal(names[i - 1], names[i]))
            return refuse(rq, out, ERR_INVALID_REQUEST, "Error due to duplicate config keys");
    return true;
}

static bool check_values(struct request *rq, const request_resource *in, response_resource *out)
{
    char names[MESSAGE_SIZE] = "", text[CONFIG_RESOURCE_TEXT_SIZE];
    size_t at = 0;
    for (int32_t i = 0; i < in->configs_count; i++) {
        const request_config *config = &in->configs[i];
        if (config->config_operation == CONFIG_DELETE || !slice_is_null(config->value) || at >= sizeof names)
            continue;
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at > 0 ? ", " : "",
                               config_resource_text(config->name, text));
    }
    return at == 0 || refuse(rq, out, ERR_INVALID_REQUEST, "Null value not supported for : %s", names);
}

static bool check_operations(struct request *rq, const request_resource *in, response_resource *out)
{
    for (int32_t i = 0; i < in->configs_count; i++)
        if (in->configs[i].config_operation < CONFIG_SET || in->configs[i].config_operation > CONFIG_SUBTRACT)
            return refuse(rq, out, ERR_INVALID_REQUEST, "Unknown operations type %d",
                          in->configs[i].config_operation);
    return true;
}

/* -- resources by type -------------------------------------------------------------------------- */

static bool check_topic(struct request *rq, const request_resource *in, response_resource *out)
{
    const struct topic *topic;
    if (rq_topic(rq, in->resource_name, OP_ALTER_CONFIGS, &topic) == ERR_TOPIC_AUTHORIZATION_FAILED)
        return refuse_plainly(out, ERR_TOPIC_AUTHORIZATION_FAILED);
    return check_operations(rq, in, out); /* whether it exists, the controller knows best */
}

static bool check_cluster(struct request *rq, response_resource *out)
{
    return rq_cluster(rq, OP_ALTER_CONFIGS) == ERR_NONE ||
           refuse_plainly(out, ERR_CLUSTER_AUTHORIZATION_FAILED);
}

static void check_broker(struct request *rq, const request_resource *in, response_resource *out)
{
    char text[CONFIG_RESOURCE_TEXT_SIZE];
    int32_t node_id = rq->server->config->node_id;
    if (!check_cluster(rq, out))
        return;
    config_resource_text(in->resource_name, text);
    enum config_resource_node node =
        in->resource_name.size == 0 ? NODE_OURS : config_resource_node(in->resource_name, node_id);
    if (node == NODE_NO_NUMBER)
        refuse(rq, out, ERR_INVALID_REQUEST, "Node id must be an integer, but it is: %s", text);
    else if (node == NODE_OTHER)
        refuse(rq, out, ERR_INVALID_REQUEST, "Unexpected broker id, expected %d, but received %s", node_id,
               text);
    else if (check_operations(rq, in, out) && in->configs_count > 0)
        refuse(
            rq, out, ERR_INVALID_REQUEST,
            "Cannot update these configs dynamically: %s. This broker reads its settings when it starts: set "
            "them there and restart it.",
            config_resource_text(in->configs[0].name, text));
}

/* There are no loggers: Kafka's answer for one that does not exist is the true one. */
static bool refuse_logger(struct request *rq, const request_config *config, response_resource *out)
{
    char text[CONFIG_RESOURCE_TEXT_SIZE];
    if (config->config_operation == CONFIG_APPEND || config->config_operation == CONFIG_SUBTRACT)
        return refuse(rq, out, ERR_INVALID_REQUEST,
                      "%s operation is not allowed for the BROKER_LOGGER resource",
                      config->config_operation == CONFIG_APPEND ? "APPEND" : "SUBTRACT");
    return refuse(rq, out, ERR_INVALID_CONFIG, "Logger %s does not exist!",
                  config_resource_text(config->name, text));
}

static void check_logger(struct request *rq, const request_resource *in, response_resource *out)
{
    char text[CONFIG_RESOURCE_TEXT_SIZE];
    int32_t node_id = rq->server->config->node_id;
    if (!check_cluster(rq, out))
        return;
    config_resource_text(in->resource_name, text);
    enum config_resource_node node = config_resource_node(in->resource_name, node_id);
    if (node == NODE_NO_NUMBER)
        refuse(rq, out, ERR_INVALID_REQUEST, "Node id must be an integer, but it is: %s", text);
    else if (node == NODE_OTHER)
        refuse(rq, out, ERR_INVALID_REQUEST, "Unexpected node id. Expected %d, but received %s", node_id,
               text);
    else if (check_operations(rq, in, out) && in->configs_count > 0)
        refuse_logger(rq, &in->configs[0], out);
}

static void check_client_metrics(struct request *rq, const request_resource *in, response_resource *out)
{
    if (!check_cluster(rq, out))
        return;
    if (in->resource_name.size == 0)
        refuse(rq, out, ERR_INVALID_REQUEST, "Subscription name can't be empty");
    else if (in->configs_count > 0)
        refuse(rq, out, ERR_INVALID_REQUEST, "Client metrics are not collected by this broker.");
}

static void check_group(struct request *rq, const request_resource *in, response_resource *out)
{
    if (rq_group(rq, in->resource_name, OP_ALTER_CONFIGS) != ERR_NONE)
        refuse_plainly(out, ERR_GROUP_AUTHORIZATION_FAILED);
    else if (in->resource_name.size == 0)
        refuse(rq, out, ERR_INVALID_REQUEST, "Default group resources are not allowed.");
    else if (in->configs_count > 0)
        refuse(rq, out, ERR_INVALID_REQUEST, "Groups have no settings of their own in this broker.");
}

static bool add_topic(struct request *rq, struct alter_state *state, const request_resource *in,
                      response_resource *out)
{
    struct alter_topic_config *topic = &state->topics[state->count];
    struct config_change *changes = arena_alloc_array(&rq->arena, (size_t)in->configs_count, sizeof *changes);
    if (!changes)
        return false;
    for (int32_t i = 0; i < in->configs_count; i++)
        changes[i] = (struct config_change){ in->configs[i].name, in->configs[i].value,
                                             (enum config_operation)in->configs[i].config_operation };
    *topic = (struct alter_topic_config){ .name = in->resource_name,
                                          .changes = changes,
                                          .change_count = (size_t)in->configs_count };
    state->answers[state->count++] = out;
    return true;
}

/* False: no memory. */
static bool check_resource(struct request *rq, struct alter_state *state, const request_resource *in,
                           response_resource *out)
{
    if (!check_keys(rq, in, out) || !check_values(rq, in, out))
        return true;
    switch ((enum config_resource_type)in->resource_type) {
    case CONFIG_RESOURCE_TOPIC:
        return !check_topic(rq, in, out) || add_topic(rq, state, in, out);
    case CONFIG_RESOURCE_BROKER:
        check_broker(rq, in, out);
        return true;
    case CONFIG_RESOURCE_BROKER_LOGGER:
        check_logger(rq, in, out);
        return true;
    case CONFIG_RESOURCE_CLIENT_METRICS:
        check_client_metrics(rq, in, out);
        return true;
    case CONFIG_RESOURCE_GROUP:
        check_group(rq, in, out);
        return true;
    }
    refuse(rq, out, ERR_INVALID_REQUEST, "Unknown resource type %d", in->resource_type);
    return true;
}

/* -- the effect --------------------------------------------------------------------------------- */

static void alter_topics(struct request *rq)
{
    const struct incremental_alter_configs_request *in = rq->in;
    struct alter_state *state = rq->state;
    controller_alter_topic_configs(rq->server->controller, state->topics, state->count, in->validate_only);
}

static enum handled resume_altered(struct request *rq, enum wake why)
{
    struct alter_state *state = rq->state;
    check(why == WAKE_WORKED);
    for (size_t i = 0; i < state->count; i++) {
        state->answers[i]->error_code = state->topics[i].error_code;
        if (state->topics[i].error_code != ERR_NONE)
            state->answers[i]->error_message = slice_of_string(state->topics[i].message);
    }
    return HANDLED_DONE;
}

enum handled handle_incremental_alter_configs(struct request *rq,
                                              const struct incremental_alter_configs_request *in,
                                              struct incremental_alter_configs_response *out)
{
    size_t count = (size_t)in->resources_count;
    struct alter_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    out->responses = arena_alloc_array(&rq->arena, count, sizeof *out->responses);
    if (!state || !out->responses)
        return HANDLED_CLOSE;
    state->topics = arena_alloc_array(&rq->arena, count, sizeof *state->topics);
    state->answers = arena_alloc_array(&rq->arena, count, sizeof *state->answers);
    if (!state->topics || !state->answers)
        return HANDLED_CLOSE;
    out->responses_count = in->resources_count;
    for (size_t i = 0; i < count; i++) {
        incremental_alter_configs_response_resource_init(&out->responses[i]);
        out->responses[i].error_message = SLICE_NULL;
        out->responses[i].resource_type = in->resources[i].resource_type;
        out->responses[i].resource_name = in->resources[i].resource_name;
    }
    if (!refuse_duplicates(rq, out))
        return HANDLED_CLOSE;
    for (size_t i = 0; i < count; i++)
        if (out->responses[i].error_code == ERR_NONE &&
            !check_resource(rq, state, &in->resources[i], &out->responses[i]))
            return HANDLED_CLOSE;
    if (state->count == 0)
        return HANDLED_DONE;
    rq->state = state;
    rq->resume = resume_altered;
    rq_work(rq, alter_topics);
    return HANDLED_BUSY;
}
