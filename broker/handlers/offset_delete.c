/* OffsetDelete v0: forgets places of a group in partitions that nobody of it reads (KIP-496). */
#include "broker/group/offsets.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"

struct delete_op {
    struct shard_op op; /* first */
    const struct offset_delete_request *in;
    struct offset_delete_response *out;
    const int16_t *topic_errors; /* by topic: what was known before the group was asked */
};

static void decide_topic(struct delete_op *delete, const struct group *group, int32_t t)
{
    const struct offset_delete_request_topic *in = &delete->in->topics[t];
    struct offset_delete_response_topic *out = &delete->out->topics[t];
    bool is_subscribed = group_is_subscribed(group, in->name);
    for (int32_t p = 0; p < out->partitions_count; p++) {
        int32_t partition = in->partitions[p].partition;
        if (delete->topic_errors[t] != ERR_NONE)
            continue;
        if (out->partitions[p].error_code == ERR_UNKNOWN_TOPIC_OR_PARTITION)
            continue;
        out->partitions[p].error_code = is_subscribed ? ERR_GROUP_SUBSCRIBED_TO_TOPIC : ERR_NONE;
        if (!is_subscribed && (group_offsets_find(group, in->name, partition) ||
                               group_offsets_is_pending(group, in->name, partition)))
            group_offsets_add_tombstone(&delete->op, group, in->name, partition);
    }
}

static void decide(struct shard_op *op, void *state)
{
    struct delete_op *delete = (struct delete_op *)op;
    const struct group *group = groups_find(state, delete->in->group_id);
    op->error_code = group ? group_check_offset_delete(group) : (int16_t)ERR_GROUP_ID_NOT_FOUND;
    for (int32_t t = 0; op->error_code == ERR_NONE && t < delete->in->topics_count; t++)
        decide_topic(delete, group, t);
    if (group && op->error_code == ERR_NONE)
        op->answer_offset = group->state_offset;
}

/* With an error of the group nothing else is told. */
static enum handled answer(struct shard_op *op)
{
    struct offset_delete_response *out = ((struct delete_op *)op)->out;
    out->error_code = op->error_code;
    if (op->error_code != ERR_NONE)
        out->topics_count = 0;
    return HANDLED_DONE;
}

static const struct shard_step delete_step = { .decide = decide, .answer = answer };

static bool prepare_topic(struct request *rq, const struct offset_delete_request_topic *in,
                          int16_t *topic_error, struct offset_delete_response_topic *out)
{
    const struct topic *topic;
    *topic_error = rq_topic(rq, in->name, OP_READ, &topic);
    offset_delete_response_topic_init(out);
    out->name = in->name;
    out->partitions = arena_alloc_array(&rq->arena, (size_t)in->partitions_count, sizeof *out->partitions);
    if (!out->partitions)
        return false;
    out->partitions_count = in->partitions_count;
    for (int32_t p = 0; p < in->partitions_count; p++) {
        int32_t partition = in->partitions[p].partition;
        offset_delete_response_partition_init(&out->partitions[p]);
        out->partitions[p].partition = partition;
        out->partitions[p].error_code = *topic_error;
        if (*topic_error == ERR_NONE && (partition < 0 || partition >= topic->partition_count))
            out->partitions[p].error_code = ERR_UNKNOWN_TOPIC_OR_PARTITION;
    }
    return true;
}

enum handled handle_offset_delete(struct request *rq, const struct offset_delete_request *in,
                                  struct offset_delete_response *out)
{
    struct delete_op *delete = arena_alloc_array(&rq->arena, 1, sizeof *delete);
    int16_t *topic_errors = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *topic_errors);
    out->topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *out->topics);
    if (!delete || !topic_errors || !out->topics)
        return HANDLED_CLOSE;
    delete->op = shard_op_of(rq, &delete_step);
    delete->in = in;
    delete->out = out;
    delete->topic_errors = topic_errors;
    delete->op.error_code = group_check_id(rq, in->group_id, false, OP_DELETE);
    if (delete->op.error_code != ERR_NONE)
        return answer(&delete->op);
    for (int32_t t = 0; t < in->topics_count; t++)
        if (!prepare_topic(rq, &in->topics[t], &topic_errors[t], &out->topics[t]))
            return HANDLED_CLOSE;
    out->topics_count = in->topics_count;
    return coordinator_run(rq->server->groups, in->group_id, &delete->op);
}
