/* What AlterConfigs and IncrementalAlterConfigs share: the changes of resources, checked, decided and told of. */
#ifndef RUNNEL_BROKER_HANDLERS_ALTER_CONFIGS_INTERNAL_H
#define RUNNEL_BROKER_HANDLERS_ALTER_CONFIGS_INTERNAL_H

#include "broker/controller.h"
#include "broker/request.h"

/* One resource of a request, and what it is answered. */
struct config_alteration {
    int8_t resource_type;
    slice resource_name;
    struct config_change *changes; /* operations as they were sent: any number */
    size_t change_count;
    int16_t error_code;
    slice error_message; /* null: none */
};

struct config_alterations {
    struct config_alteration *items; /* in the order of the request */
    size_t count;
    bool is_replacement; /* AlterConfigs: what is not set anew goes */
    bool validate_only;
    /* Fills in the response from the items. */
    enum handled (*answer)(struct request *rq, const struct config_alterations *alterations);
    /* the topics and groups among them, for the controller */
    struct alter_config *wanted;
    struct config_alteration **wanted_items; /* by place in wanted */
    size_t wanted_count;
};

/* In the request's arena, without answers yet; NULL: no memory. */
struct config_alterations *alter_configs__make(struct request *rq, int32_t count);
/* Room for the changes of one; false: no memory. */
bool alter_configs__take(struct request *rq, struct config_alteration *out, int8_t resource_type, slice resource_name,
                         int32_t change_count);
/* The handler's result; the answer comes by answer(). */
enum handled alter_configs__run(struct request *rq, struct config_alterations *alterations);

#endif
