/* DescribeConfigs v1-4: the settings of topics, brokers and groups, with where each value comes from
 * (KIP-133, KIP-226). v1 synonyms; v3 types and documentation (KIP-569); v4 flexible. */
#include "broker/handlers/handlers.h"

#include <stdarg.h>
#include <stdio.h>

#include "broker/config_entries.h"
#include "broker/config_resource.h"
#include "broker/server.h"

typedef struct describe_configs_request_resource request_resource;
typedef struct describe_configs_response_result result;

/* An answer is as large as the question is short, so it has a bound of its own; ten thousand topics with all
 * their settings take 15 MB, with synonyms and documentation 60. */
enum { ANSWER_SIZE_MAX = 64 << 20, MESSAGE_SIZE = 256 };

struct description {
    struct request *rq;
    struct config_wish wish;
    struct config_entries topics, broker, groups, client_metrics; /* made when first asked for */
    size_t size;                                                  /* of the answer so far */
    bool is_full; /* nothing is put together any more, only to find that it does not fit */
};

__attribute__((format(printf, 4, 5))) static bool refuse(struct description *description, result *out,
                                                         int16_t error_code, const char *format, ...)
{
    char *text = arena_alloc(&description->rq->arena, MESSAGE_SIZE);
    out->error_code = error_code;
    if (!text)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    out->error_message = slice_of_string(text);
    return true;
}

static bool refuse_plainly(result *out, int16_t error_code)
{
    out->error_code = error_code;
    out->error_message = slice_of_string(error_message(error_code));
    return true;
}

/* -- one resource; false: no memory ------------------------------------------------------------- */

static bool refuse_size(struct description *description, result *out)
{
    description->is_full = true;
    return refuse(description, out, ERR_POLICY_VIOLATION,
                  "The answer would be larger than %d MiB: ask for fewer resources at a time.",
                  ANSWER_SIZE_MAX >> 20);
}

static bool tell(struct description *description, const request_resource *in,
                 const struct config_entries *entries, result *out)
{
    struct config_entries picked;
    if (!config_entries_pick(&description->rq->arena, entries, in->configuration_keys,
                             in->configuration_keys_count, &picked))
        return false;
    if (description->size + picked.size > ANSWER_SIZE_MAX)
        return refuse_size(description, out);
    description->size += picked.size;
    out->configs = picked.items;
    out->configs_count = (int32_t)picked.count;
    return true;
}

static bool tell_nothing(struct description *description, const request_resource *in, result *out)
{
    static const struct config_entries nothing;
    return tell(description, in, &nothing, out);
}

static bool describe_topic(struct description *description, const request_resource *in, result *out)
{
    const char *why;
    const struct topic *topic;
    struct config_entries entries;
    int16_t error_code = rq_topic(description->rq, in->resource_name, OP_DESCRIBE_CONFIGS, &topic);
    if (!topic_name_valid(in->resource_name, &why))
        return refuse(description, out, ERR_INVALID_TOPIC_EXCEPTION, "%s", why);
    if (error_code != ERR_NONE)
        return refuse_plainly(out, error_code);
    if (!description->topics.items && !config_entries_of_topics(&description->wish, &description->topics))
        return false;
    return config_entries_of_topic(&description->wish, &description->topics, topic, &entries) &&
           tell(description, in, &entries, out);
}

/* An empty name asks for what all brokers have by default, and was set so while they ran: nothing. */
static bool describe_broker(struct description *description, const request_resource *in, result *out)
{
    char text[CONFIG_RESOURCE_TEXT_SIZE];
    int32_t node_id = description->wish.config->node_id;
    if (in->resource_name.size == 0)
        return tell_nothing(description, in, out);
    config_resource_text(in->resource_name, text);
    switch (config_resource_node(in->resource_name, node_id)) {
    case NODE_NO_NUMBER:
        return refuse(description, out, ERR_INVALID_REQUEST, "Broker id must be an integer, but it is: %s",
                      text);
    case NODE_OTHER:
        return refuse(description, out, ERR_INVALID_REQUEST,
                      "Unexpected broker id, expected %d or empty string, but received %s", node_id, text);
    case NODE_OURS:
        break;
    }
    return (description->broker.items ||
            config_entries_of_broker(&description->wish, &description->broker)) &&
           tell(description, in, &description->broker, out);
}

/* What is written to the log is not set by logger. */
static bool describe_logger(struct description *description, const request_resource *in, result *out)
{
    char text[CONFIG_RESOURCE_TEXT_SIZE];
    int32_t node_id = description->wish.config->node_id;
    if (in->resource_name.size == 0)
        return refuse(description, out, ERR_INVALID_REQUEST, "Broker id must not be empty");
    config_resource_text(in->resource_name, text);
    switch (config_resource_node(in->resource_name, node_id)) {
    case NODE_NO_NUMBER:
        return refuse(description, out, ERR_INVALID_REQUEST, "Broker id must be an integer, but it is: %s",
                      text);
    case NODE_OTHER:
        return refuse(description, out, ERR_INVALID_REQUEST,
                      "Unexpected broker id, expected %d but received %s", node_id, text);
    case NODE_OURS:
        break;
    }
    return tell_nothing(description, in, out);
}

/* Of a group or of a client metrics subscription. */
static bool tell_resource(struct description *description, const request_resource *in,
                          const struct config_entries *general, result *out)
{
    struct config_entries entries;
    const struct resource_config *resource = image_resource(
        description->rq->image, (enum config_resource_type)in->resource_type, in->resource_name);
    return config_entries_of_resource(&description->wish, general, resource, &entries) &&
           tell(description, in, &entries, out);
}

static bool describe_client_metrics(struct description *description, const request_resource *in, result *out)
{
    if (in->resource_name.size == 0)
        return refuse(description, out, ERR_INVALID_REQUEST,
                      "Client metrics subscription name must not be empty");
    if (!description->client_metrics.items &&
        !config_entries_of_client_metrics(&description->wish, &description->client_metrics))
        return false;
    return tell_resource(description, in, &description->client_metrics, out);
}

static bool describe_group(struct description *description, const request_resource *in, result *out)
{
    if (in->resource_name.size == 0)
        return refuse(description, out, ERR_INVALID_REQUEST, "Group name must not be empty");
    if (!description->groups.items && !config_entries_of_groups(&description->wish, &description->groups))
        return false;
    return tell_resource(description, in, &description->groups, out);
}

static bool describe(struct description *description, const request_resource *in, result *out)
{
    if (description->is_full)
        return refuse_size(description, out);
    switch ((enum config_resource_type)in->resource_type) {
    case CONFIG_RESOURCE_TOPIC:
        return describe_topic(description, in, out);
    case CONFIG_RESOURCE_BROKER:
        return describe_broker(description, in, out);
    case CONFIG_RESOURCE_BROKER_LOGGER:
        return describe_logger(description, in, out);
    case CONFIG_RESOURCE_CLIENT_METRICS:
        return describe_client_metrics(description, in, out);
    case CONFIG_RESOURCE_GROUP:
        return describe_group(description, in, out);
    }
    return refuse_plainly(out, ERR_INVALID_REQUEST); /* is_known() let it not come here */
}

/* -- the request -------------------------------------------------------------------------------- */

static bool is_known(int8_t resource_type)
{
    switch ((enum config_resource_type)resource_type) {
    case CONFIG_RESOURCE_TOPIC:
    case CONFIG_RESOURCE_BROKER:
    case CONFIG_RESOURCE_BROKER_LOGGER:
    case CONFIG_RESOURCE_CLIENT_METRICS:
    case CONFIG_RESOURCE_GROUP:
        return true;
    }
    return false;
}

static int16_t authorize(struct request *rq, const request_resource *in)
{
    const struct topic *topic;
    if (in->resource_type == CONFIG_RESOURCE_TOPIC) {
        int16_t error_code = rq_topic(rq, in->resource_name, OP_DESCRIBE_CONFIGS, &topic);
        return error_code == ERR_TOPIC_AUTHORIZATION_FAILED ? error_code : (int16_t)ERR_NONE;
    }
    return in->resource_type == CONFIG_RESOURCE_GROUP ? rq_group(rq, in->resource_name, OP_DESCRIBE_CONFIGS)
                                                      : rq_cluster(rq, OP_DESCRIBE_CONFIGS);
}

static result *add_result(struct describe_configs_response *out, const request_resource *in)
{
    result *added = &out->results[out->results_count++];
    describe_configs_response_result_init(added);
    added->resource_type = in->resource_type;
    added->resource_name = in->resource_name;
    return added;
}

/* Kafka refuses the request as a whole when it does not know one of the types. */
static enum handled refuse_all(const struct describe_configs_request *in,
                               struct describe_configs_response *out)
{
    for (int32_t i = 0; i < in->resources_count; i++)
        refuse_plainly(add_result(out, &in->resources[i]), ERR_INVALID_REQUEST);
    return HANDLED_DONE;
}

/* What was denied comes behind what was allowed, as in Kafka. */
enum handled handle_describe_configs(struct request *rq, const struct describe_configs_request *in,
                                     struct describe_configs_response *out)
{
    struct description description = {
        .rq = rq,
        .wish = { &rq->arena, rq->server->config, in->include_synonyms, in->include_documentation },
    };
    out->results = arena_alloc_array(&rq->arena, (size_t)in->resources_count, sizeof *out->results);
    if (!out->results)
        return HANDLED_CLOSE;
    for (int32_t i = 0; i < in->resources_count; i++)
        if (!is_known(in->resources[i].resource_type))
            return refuse_all(in, out);
    for (int32_t i = 0; i < in->resources_count; i++)
        if (authorize(rq, &in->resources[i]) == ERR_NONE &&
            !describe(&description, &in->resources[i], add_result(out, &in->resources[i])))
            return HANDLED_CLOSE;
    for (int32_t i = 0; i < in->resources_count; i++) {
        int16_t error_code = authorize(rq, &in->resources[i]);
        if (error_code != ERR_NONE)
            refuse_plainly(add_result(out, &in->resources[i]), error_code);
    }
    return HANDLED_DONE;
}
