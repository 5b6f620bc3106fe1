/* Changes of settings, whichever API asks for them: what is wrong with each resource, and the controller's
 * word on the others. What cannot be changed while the broker runs is refused, never passed over. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/handlers/alter_configs_internal.h"
#include "broker/server.h"
#include "protocol/base/check.h"

enum { MESSAGE_SIZE = 256 };

typedef struct config_alteration alteration;

__attribute__((format(printf, 4, 5))) static bool refuse(struct request *rq, alteration *item,
                                                         int16_t error_code, const char *format, ...)
{
    char *text = arena_alloc(&rq->arena, MESSAGE_SIZE);
    item->error_code = error_code;
    if (!text)
        return false; /* without words then: encoding will fail for the same reason */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    item->error_message = slice_of_string(text);
    return false;
}

static bool refuse_plainly(alteration *item, int16_t error_code)
{
    item->error_code = error_code;
    item->error_message = slice_of_string(error_message(error_code));
    return false;
}

/* -- what is wrong with the request itself ------------------------------------------------------ */

static int compare_resources(const void *a, const void *b)
{
    const alteration *left = *(alteration *const *)a, *right = *(alteration *const *)b;
    int order = left->resource_type - right->resource_type;
    return order ? order : slice_compare(left->resource_name, right->resource_name);
}

/* Neither mention of a resource that is there twice counts. False: no memory. */
static bool refuse_duplicates(struct request *rq, struct config_alterations *all)
{
    static const char why[] = "Each resource must appear at most once.";
    alteration **sorted = arena_alloc_array(&rq->arena, all->count, sizeof(*sorted));
    if (!sorted)
        return false;
    for (size_t i = 0; i < all->count; i++)
        sorted[i] = &all->items[i];
    qsort(sorted, all->count, sizeof(*sorted), compare_resources);
    for (size_t i = 1; i < all->count; i++) {
        if (compare_resources(&sorted[i - 1], &sorted[i]) != 0)
            continue;
        sorted[i - 1]->error_code = sorted[i]->error_code = ERR_INVALID_REQUEST;
        sorted[i - 1]->error_message = sorted[i]->error_message = slice_of_string(why);
    }
    return true;
}

static int compare_keys(const void *a, const void *b)
{
    return slice_compare(*(const slice *)a, *(const slice *)b);
}

static bool check_keys(struct request *rq, alteration *item)
{
    slice *names = arena_alloc_array(&rq->arena, item->change_count, sizeof *names);
    if (!names)
        return refuse_plainly(item, ERR_UNKNOWN_SERVER_ERROR);
    for (size_t i = 0; i < item->change_count; i++)
        names[i] = item->changes[i].name;
    qsort(names, item->change_count, sizeof *names, compare_keys);
    for (size_t i = 1; i < item->change_count; i++)
        if (slice_equal(names[i - 1], names[i]))
            return refuse(rq, item, ERR_INVALID_REQUEST, "Error due to duplicate config keys");
    return true;
}

static bool check_values(struct request *rq, alteration *item)
{
    char names[MESSAGE_SIZE] = "", text[CONFIG_RESOURCE_TEXT_SIZE];
    size_t at = 0;
    for (size_t i = 0; i < item->change_count; i++) {
        const struct config_change *change = &item->changes[i];
        if (change->operation == CONFIG_DELETE || !slice_is_null(change->value) || at >= sizeof names)
            continue;
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at > 0 ? ", " : "",
                               config_resource_text(change->name, text));
    }
    return at == 0 || refuse(rq, item, ERR_INVALID_REQUEST, "Null value not supported for : %s", names);
}

static bool check_operations(struct request *rq, alteration *item)
{
    for (size_t i = 0; i < item->change_count; i++) {
        int operation = (int)item->changes[i].operation;
        if (operation < CONFIG_SET || operation > CONFIG_SUBTRACT)
            return refuse(rq, item, ERR_INVALID_REQUEST, "Unknown operations type %d", operation);
    }
    return true;
}

/* -- resources by type -------------------------------------------------------------------------- */

/* Whether it exists, the controller knows best. */
static bool check_topic(struct request *rq, alteration *item)
{
    const struct topic *topic;
    if (rq_topic(rq, item->resource_name, OP_ALTER_CONFIGS, &topic) == ERR_TOPIC_AUTHORIZATION_FAILED)
        return refuse_plainly(item, ERR_TOPIC_AUTHORIZATION_FAILED);
    return check_operations(rq, item);
}

static bool check_group(struct request *rq, alteration *item)
{
    int16_t error_code = rq_group(rq, item->resource_name, OP_ALTER_CONFIGS);
    return error_code != ERR_NONE ? refuse_plainly(item, error_code) : check_operations(rq, item);
}

static bool check_cluster(struct request *rq, alteration *item)
{
    return rq_cluster(rq, OP_ALTER_CONFIGS) == ERR_NONE ||
           refuse_plainly(item, ERR_CLUSTER_AUTHORIZATION_FAILED);
}

static void check_broker(struct request *rq, alteration *item)
{
    char text[CONFIG_RESOURCE_TEXT_SIZE];
    int32_t node_id = rq->server->config->node_id;
    if (!check_cluster(rq, item))
        return;
    config_resource_text(item->resource_name, text);
    enum config_resource_node node =
        item->resource_name.size == 0 ? NODE_OURS : config_resource_node(item->resource_name, node_id);
    if (node == NODE_NO_NUMBER)
        refuse(rq, item, ERR_INVALID_REQUEST, "Node id must be an integer, but it is: %s", text);
    else if (node == NODE_OTHER)
        refuse(rq, item, ERR_INVALID_REQUEST, "Unexpected broker id, expected %d, but received %s", node_id,
               text);
    else if (check_operations(rq, item) && item->change_count > 0)
        refuse(
            rq, item, ERR_INVALID_REQUEST,
            "Cannot update these configs dynamically: %s. This broker reads its settings when it starts: set "
            "them there and restart it.",
            config_resource_text(item->changes[0].name, text));
}

/* There are no loggers: Kafka's answer for one that does not exist is the true one. */
static bool refuse_logger(struct request *rq, const struct config_change *change, alteration *item)
{
    char text[CONFIG_RESOURCE_TEXT_SIZE];
    if (change->operation == CONFIG_APPEND || change->operation == CONFIG_SUBTRACT)
        return refuse(rq, item, ERR_INVALID_REQUEST,
                      "%s operation is not allowed for the BROKER_LOGGER resource",
                      change->operation == CONFIG_APPEND ? "APPEND" : "SUBTRACT");
    return refuse(rq, item, ERR_INVALID_CONFIG, "Logger %s does not exist!",
                  config_resource_text(change->name, text));
}

static void check_logger(struct request *rq, alteration *item)
{
    char text[CONFIG_RESOURCE_TEXT_SIZE];
    int32_t node_id = rq->server->config->node_id;
    if (!check_cluster(rq, item))
        return;
    config_resource_text(item->resource_name, text);
    enum config_resource_node node = config_resource_node(item->resource_name, node_id);
    if (node == NODE_NO_NUMBER)
        refuse(rq, item, ERR_INVALID_REQUEST, "Node id must be an integer, but it is: %s", text);
    else if (node == NODE_OTHER)
        refuse(rq, item, ERR_INVALID_REQUEST, "Unexpected node id. Expected %d, but received %s", node_id,
               text);
    else if (check_operations(rq, item) && item->change_count > 0)
        refuse_logger(rq, &item->changes[0], item);
}

/* Those that Kafka left in the directory are kept as they are: to replace them by nothing is a change as
 * well. */
static void check_client_metrics(struct request *rq, const struct config_alterations *all, alteration *item)
{
    if (!check_cluster(rq, item))
        return;
    bool is_there = image_resource(rq->image, CONFIG_RESOURCE_CLIENT_METRICS, item->resource_name) != NULL;
    if (item->resource_name.size == 0)
        refuse(rq, item, ERR_INVALID_REQUEST, "Subscription name can't be empty");
    else if (item->change_count > 0 || (all->is_replacement && is_there))
        refuse(rq, item, ERR_INVALID_REQUEST, "Client metrics are not collected by this broker.");
}

/* AlterConfigs never knew loggers. */
static bool is_known(const struct config_alterations *all, int8_t resource_type)
{
    switch ((enum config_resource_type)resource_type) {
    case CONFIG_RESOURCE_TOPIC:
    case CONFIG_RESOURCE_BROKER:
    case CONFIG_RESOURCE_CLIENT_METRICS:
    case CONFIG_RESOURCE_GROUP:
        return true;
    case CONFIG_RESOURCE_BROKER_LOGGER:
        return !all->is_replacement;
    }
    return false;
}

static void want(struct config_alterations *all, alteration *item)
{
    all->wanted[all->wanted_count] =
        (struct alter_config){ .type = (enum config_resource_type)item->resource_type,
                               .name = item->resource_name,
                               .changes = item->changes,
                               .change_count = item->change_count,
                               .is_replacement = all->is_replacement };
    all->wanted_items[all->wanted_count++] = item;
}

static void check_resource(struct request *rq, struct config_alterations *all, alteration *item)
{
    if (!check_keys(rq, item) || !check_values(rq, item))
        return;
    if (!is_known(all, item->resource_type)) {
        refuse(rq, item, ERR_INVALID_REQUEST, "Unknown resource type %d", item->resource_type);
        return;
    }
    switch ((enum config_resource_type)item->resource_type) {
    case CONFIG_RESOURCE_TOPIC:
        if (check_topic(rq, item))
            want(all, item);
        return;
    case CONFIG_RESOURCE_GROUP:
        if (check_group(rq, item))
            want(all, item);
        return;
    case CONFIG_RESOURCE_BROKER:
        check_broker(rq, item);
        return;
    case CONFIG_RESOURCE_BROKER_LOGGER:
        check_logger(rq, item);
        return;
    case CONFIG_RESOURCE_CLIENT_METRICS:
        check_client_metrics(rq, all, item);
        return;
    }
}

/* -- the effect --------------------------------------------------------------------------------- */

static void alter(struct request *rq)
{
    struct config_alterations *all = rq->state;
    controller_alter_configs(rq->server->controller, all->wanted, all->wanted_count, all->validate_only);
}

static enum handled resume_altered(struct request *rq, enum wake why)
{
    struct config_alterations *all = rq->state;
    check(why == WAKE_WORKED);
    for (size_t i = 0; i < all->wanted_count; i++) {
        all->wanted_items[i]->error_code = all->wanted[i].error_code;
        if (all->wanted[i].error_code != ERR_NONE)
            all->wanted_items[i]->error_message = slice_of_string(all->wanted[i].message);
    }
    return all->answer(rq, all);
}

struct config_alterations *alter_configs__make(struct request *rq, int32_t count)
{
    size_t all_count = (size_t)count;
    struct config_alterations *all = arena_alloc_array(&rq->arena, 1, sizeof *all);
    if (!all)
        return NULL;
    all->count = all_count;
    all->items = arena_alloc_array(&rq->arena, all_count, sizeof *all->items);
    all->wanted = arena_alloc_array(&rq->arena, all_count, sizeof *all->wanted);
    all->wanted_items = arena_alloc_array(&rq->arena, all_count, sizeof(*all->wanted_items));
    return all->items && all->wanted && all->wanted_items ? all : NULL;
}

bool alter_configs__take(struct request *rq, struct config_alteration *out, int8_t resource_type,
                         slice resource_name, int32_t change_count)
{
    *out = (struct config_alteration){
        .resource_type = resource_type,
        .resource_name = resource_name,
        .changes = arena_alloc_array(&rq->arena, (size_t)change_count, sizeof *out->changes),
        .change_count = (size_t)change_count,
        .error_message = SLICE_NULL,
    };
    return out->changes != NULL;
}

enum handled alter_configs__run(struct request *rq, struct config_alterations *all)
{
    if (!refuse_duplicates(rq, all))
        return HANDLED_CLOSE;
    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].error_code == ERR_NONE)
            check_resource(rq, all, &all->items[i]);
    if (all->wanted_count == 0)
        return all->answer(rq, all);
    rq->state = all;
    rq->resume = resume_altered;
    rq_work(rq, alter);
    return HANDLED_BUSY;
}
