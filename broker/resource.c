/* Resources as handlers see them: authorised and resolved in one step. */
#include "broker/loop_internal.h"
#include "broker/server.h"

/* Resource types as ACLs number them (facts: protocol, appendix C). */
enum { RESOURCE_TOPIC = 2, RESOURCE_GROUP = 3, RESOURCE_CLUSTER = 4, RESOURCE_TRANSACTIONAL_ID = 5 };

static bool is_allowed(const struct request *rq, enum acl_operation op, int resource_type, slice name)
{
    const struct server *server = rq->server;
    return server->authorize(server->authorize_context, rq->conn, op, resource_type, name);
}

int16_t rq_topic(struct request *rq, slice name, enum acl_operation op, const struct topic **out)
{
    *out = NULL;
    if (!is_allowed(rq, op, RESOURCE_TOPIC, name))
        return ERR_TOPIC_AUTHORIZATION_FAILED;
    *out = image_topic_by_name(rq->image, name);
    return *out ? ERR_NONE : ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

int16_t rq_topic_by_id(struct request *rq, uuid id, enum acl_operation op, const struct topic **out)
{
    *out = NULL;
    const struct topic *topic = image_topic_by_id(rq->image, id);
    if (!topic)
        return ERR_UNKNOWN_TOPIC_ID;
    if (!is_allowed(rq, op, RESOURCE_TOPIC, topic->name_slice))
        return is_allowed(rq, OP_DESCRIBE, RESOURCE_TOPIC, topic->name_slice) ? ERR_TOPIC_AUTHORIZATION_FAILED
                                                                              : ERR_UNKNOWN_TOPIC_ID;
    *out = topic;
    return ERR_NONE;
}

int16_t rq_group(struct request *rq, slice group_id, enum acl_operation op)
{
    return is_allowed(rq, op, RESOURCE_GROUP, group_id) ? ERR_NONE : ERR_GROUP_AUTHORIZATION_FAILED;
}

int16_t rq_txn(struct request *rq, slice transactional_id, enum acl_operation op)
{
    return is_allowed(rq, op, RESOURCE_TRANSACTIONAL_ID, transactional_id)
               ? ERR_NONE
               : ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
}

int16_t rq_cluster(struct request *rq, enum acl_operation op)
{
    return is_allowed(rq, op, RESOURCE_CLUSTER, SLICE_LITERAL("kafka-cluster"))
               ? ERR_NONE
               : ERR_CLUSTER_AUTHORIZATION_FAILED;
}

int16_t rq_any_topic(struct request *rq, enum acl_operation op)
{
    return is_allowed(rq, op, RESOURCE_TOPIC, SLICE_NULL) ? ERR_NONE : ERR_TOPIC_AUTHORIZATION_FAILED;
}

int16_t rq_partition(struct request *rq, const struct topic *topic, int32_t partition,
                     const struct partition_metadata **out)
{
    (void)rq;
    *out = NULL;
    if (partition < 0 || partition >= topic->partition_count)
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    const struct partition_metadata *found = &topic->partitions[partition];
    if (!found->partition)
        return ERR_NOT_LEADER_OR_FOLLOWER;
    if (atomic_load_explicit(&found->partition->is_deleted, memory_order_acquire))
        return ERR_UNKNOWN_TOPIC_OR_PARTITION; /* the next image does not have it */
    *out = found;
    return ERR_NONE;
}

int16_t rq_leader_epoch(const struct partition_metadata *partition, int32_t client_epoch)
{
    if (client_epoch < 0 || client_epoch == partition->leader_epoch)
        return ERR_NONE;
    return client_epoch < partition->leader_epoch ? ERR_FENCED_LEADER_EPOCH : ERR_UNKNOWN_LEADER_EPOCH;
}
