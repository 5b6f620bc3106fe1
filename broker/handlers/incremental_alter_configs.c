/* IncrementalAlterConfigs v0-1: changes single settings of topics and groups (KIP-339); v1 flexible. */
#include "broker/handlers/alter_configs_internal.h"
#include "broker/handlers/handlers.h"

static enum handled answer(struct request *rq, const struct config_alterations *all)
{
    struct incremental_alter_configs_response *out = rq->out;
    out->responses = arena_alloc_array(&rq->arena, all->count, sizeof *out->responses);
    if (!out->responses)
        return HANDLED_CLOSE;
    out->responses_count = (int32_t)all->count;
    for (size_t i = 0; i < all->count; i++) {
        incremental_alter_configs_response_resource_init(&out->responses[i]);
        out->responses[i].error_code = all->items[i].error_code;
        out->responses[i].error_message = all->items[i].error_message;
        out->responses[i].resource_type = all->items[i].resource_type;
        out->responses[i].resource_name = all->items[i].resource_name;
    }
    return HANDLED_DONE;
}

static bool take(struct request *rq, const struct incremental_alter_configs_request_resource *in,
                 struct config_alteration *out)
{
    if (!alter_configs__take(rq, out, in->resource_type, in->resource_name, in->configs_count))
        return false;
    for (int32_t i = 0; i < in->configs_count; i++)
        out->changes[i] = (struct config_change){ in->configs[i].name, in->configs[i].value,
                                                  (enum config_operation)in->configs[i].config_operation };
    return true;
}

enum handled handle_incremental_alter_configs(struct request *rq,
                                              const struct incremental_alter_configs_request *in,
                                              struct incremental_alter_configs_response *out)
{
    (void)out;
    struct config_alterations *all = alter_configs__make(rq, in->resources_count);
    if (!all)
        return HANDLED_CLOSE;
    for (int32_t i = 0; i < in->resources_count; i++)
        if (!take(rq, &in->resources[i], &all->items[i]))
            return HANDLED_CLOSE;
    all->validate_only = in->validate_only;
    all->answer = answer;
    return alter_configs__run(rq, all);
}
