/* Which operations a client may do, gathered one by one. */
#include "broker/authorized_operations.h"

static const enum acl_operation topic_operations[] = {
    OP_READ, OP_WRITE, OP_CREATE, OP_DELETE, OP_ALTER, OP_DESCRIBE, OP_DESCRIBE_CONFIGS, OP_ALTER_CONFIGS
};
static const enum acl_operation cluster_operations[] = {
    OP_CREATE,           OP_ALTER,         OP_DESCRIBE,         OP_CLUSTER_ACTION,
    OP_DESCRIBE_CONFIGS, OP_ALTER_CONFIGS, OP_IDEMPOTENT_WRITE,
};

int32_t rq_topic_operations(struct request *rq, slice name)
{
    uint32_t bits = 0;
    const struct topic *topic;
    for (size_t i = 0; i < sizeof topic_operations / sizeof topic_operations[0]; i++)
        if (rq_topic(rq, name, topic_operations[i], &topic) != ERR_TOPIC_AUTHORIZATION_FAILED)
            bits |= 1u << topic_operations[i];
    return (int32_t)bits;
}

int32_t rq_cluster_operations(struct request *rq)
{
    uint32_t bits = 0;
    if (rq_cluster(rq, OP_DESCRIBE) != ERR_NONE)
        return 0;
    for (size_t i = 0; i < sizeof cluster_operations / sizeof cluster_operations[0]; i++)
        if (rq_cluster(rq, cluster_operations[i]) == ERR_NONE)
            bits |= 1u << cluster_operations[i];
    return (int32_t)bits;
}

int32_t rq_group_operations(struct request *rq, slice group_id)
{
    static const enum acl_operation operations[] = { OP_READ, OP_DELETE, OP_DESCRIBE, OP_DESCRIBE_CONFIGS,
                                                     OP_ALTER_CONFIGS };
    uint32_t bits = 0;
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (rq_group(rq, group_id, operations[i]) == ERR_NONE)
            bits |= 1u << operations[i];
    return (int32_t)bits;
}
