/* OffsetCommit v2-10: a group's places, one record per partition.
 * v2-4 retention of the client's own; v6 leader epoch; v7 static members; v9 member epochs (KIP-848); v10 topic ids. */
#include "broker/group/offsets.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"
#include "protocol/base/check.h"

enum { TOPIC_ID_SINCE = 10, GROUP_NOT_FOUND_SINCE = 9 };

/* A topic of the request as the image had it when the request came. */
struct commit_topic {
    slice name; /* in the arena */
    uuid id;
    int32_t partition_count;
    int16_t error_code;
};

struct commit_op {
    struct shard_op op; /* first */
    const struct offset_commit_request *in;
    struct offset_commit_response *out;
    struct commit_topic *topics;
    bool has_any; /* something is left to be committed */
};

/* Null is an empty group's caller too: v2 and later say -1 and "". */
static struct group_caller caller_of(const struct commit_op *commit)
{
    const struct offset_commit_request *in = commit->in;
    return (struct group_caller){ .member_id = in->member_id,
                                  .instance_id = in->group_instance_id,
                                  .generation = in->generation_id_or_member_epoch,
                                  .api_version = commit->op.rq->api_version };
}

static int16_t check_group(struct groups *groups, const struct commit_op *commit)
{
    const struct group *group = groups_find(groups, commit->in->group_id);
    struct group_caller caller = caller_of(commit);
    if (group)
        return group_check_commit(group, &caller, false);
    if (caller.generation < 0)
        return ERR_NONE; /* who has no members may begin with an offset: Kafka's simple group */
    return caller.api_version >= GROUP_NOT_FOUND_SINCE ? ERR_GROUP_ID_NOT_FOUND : ERR_ILLEGAL_GENERATION;
}

static void add_record(struct commit_op *commit, const struct commit_topic *topic,
                       const struct offset_commit_request_partition *in, int64_t now_ms)
{
    const struct offset_commit_key key = { commit->in->group_id, topic->name, in->partition };
    struct offset_commit_value value;
    bool has_expiry = commit->in->retention_time_ms >= 0;
    offset_commit_value_init(&value);
    value.offset = in->committed_offset;
    value.leader_epoch = in->committed_leader_epoch;
    value.metadata = slice_is_null(in->committed_metadata) ? SLICE_LITERAL("") : in->committed_metadata;
    value.commit_timestamp = now_ms;
    value.topic_id = topic->id;
    if (has_expiry)
        value.expire_timestamp = commit->in->retention_time_ms < INT64_MAX - now_ms
                                     ? now_ms + commit->in->retention_time_ms
                                     : INT64_MAX;
    shard_op_add(&commit->op, "group", GROUP_RECORD_OFFSET_COMMIT, &key,
                 has_expiry ? OFFSET_COMMIT_WITH_EXPIRY : OFFSET_COMMIT_WITH_TOPIC_ID, &value);
}

static void decide(struct shard_op *op, void *state)
{
    struct commit_op *commit = (struct commit_op *)op;
    int64_t now_ms = shard_wall_ms(op->shard);
    op->error_code = check_group(state, commit);
    for (int32_t t = 0; op->error_code == ERR_NONE && t < commit->in->topics_count; t++) {
        const struct offset_commit_request_topic *topic = &commit->in->topics[t];
        for (int32_t p = 0; p < topic->partitions_count; p++)
            if (commit->out->topics[t].partitions[p].error_code == ERR_NONE)
                add_record(commit, &commit->topics[t], &topic->partitions[p], now_ms);
    }
}

static void apply(struct shard_op *op, void *state)
{
    const struct commit_op *commit = (struct commit_op *)op;
    struct group *group = groups_find(state, commit->in->group_id);
    if (group)
        group_touch(group, commit->in->member_id);
}

/* Errors of the group as a whole have no field: they are repeated in every partition that had none. */
static enum handled answer(struct shard_op *op)
{
    struct offset_commit_response *out = ((struct commit_op *)op)->out;
    for (int32_t t = 0; op->error_code != ERR_NONE && t < out->topics_count; t++)
        for (int32_t p = 0; p < out->topics[t].partitions_count; p++)
            if (out->topics[t].partitions[p].error_code == ERR_NONE)
                out->topics[t].partitions[p].error_code = op->error_code;
    return HANDLED_DONE;
}

static const struct shard_step commit_step = { .decide = decide, .apply = apply, .answer = answer };

/* -- what is known before the group is asked ------------------------------------------------------------------ */

static bool find_topic(struct request *rq, const struct offset_commit_request_topic *in, struct commit_topic *out)
{
    const struct topic *topic;
    bool ok = true;
    out->error_code = rq->api_version >= TOPIC_ID_SINCE ? rq_topic_by_id(rq, in->topic_id, OP_READ, &topic)
                                                        : rq_topic(rq, in->name, OP_READ, &topic);
    if (out->error_code != ERR_NONE)
        return true;
    out->name = arena_copy(&rq->arena, topic->name_slice, &ok);
    out->id = topic->id;
    out->partition_count = topic->partition_count;
    return ok;
}

static int16_t check_partition(const struct request *rq, const struct commit_topic *topic,
                               const struct offset_commit_request_partition *in)
{
    if (topic->error_code != ERR_NONE)
        return topic->error_code;
    if (in->partition < 0 || in->partition >= topic->partition_count)
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    size_t size_max = (size_t)(rq->server->config->offset_metadata_max_bytes > 0
                                   ? rq->server->config->offset_metadata_max_bytes
                                   : 0);
    return in->committed_metadata.size > size_max ? ERR_OFFSET_METADATA_TOO_LARGE : ERR_NONE;
}

static bool prepare_topic(struct request *rq, struct commit_op *commit, int32_t t)
{
    const struct offset_commit_request_topic *in = &commit->in->topics[t];
    struct offset_commit_response_topic *out = &commit->out->topics[t];
    offset_commit_response_topic_init(out);
    out->name = in->name;
    out->topic_id = in->topic_id;
    out->partitions = arena_alloc_array(&rq->arena, (size_t)in->partitions_count, sizeof *out->partitions);
    if (!out->partitions || !find_topic(rq, in, &commit->topics[t]))
        return false;
    out->partitions_count = in->partitions_count;
    for (int32_t p = 0; p < in->partitions_count; p++) {
        offset_commit_response_partition_init(&out->partitions[p]);
        out->partitions[p].partition = in->partitions[p].partition;
        out->partitions[p].error_code = check_partition(rq, &commit->topics[t], &in->partitions[p]);
        commit->has_any = commit->has_any || out->partitions[p].error_code == ERR_NONE;
    }
    return true;
}

enum handled handle_offset_commit(struct request *rq, const struct offset_commit_request *in,
                                  struct offset_commit_response *out)
{
    struct commit_op *commit = arena_alloc_array(&rq->arena, 1, sizeof *commit);
    out->topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *out->topics);
    if (!commit || !out->topics)
        return HANDLED_CLOSE;
    commit->op = shard_op_of(rq, &commit_step);
    commit->in = in;
    commit->out = out;
    commit->topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *commit->topics);
    if (!commit->topics)
        return HANDLED_CLOSE;
    for (int32_t t = 0; t < in->topics_count; t++)
        if (!prepare_topic(rq, commit, t))
            return HANDLED_CLOSE;
    out->topics_count = in->topics_count;
    commit->op.error_code = group_check_id(rq, in->group_id, true, OP_READ);
    if (commit->op.error_code != ERR_NONE) {
        for (int32_t t = 0; t < out->topics_count; t++) /* denied comes first, so that nothing leaks */
            for (int32_t p = 0; p < out->topics[t].partitions_count; p++)
                out->topics[t].partitions[p].error_code = ERR_NONE;
        return answer(&commit->op);
    }
    if (!commit->has_any)
        return HANDLED_DONE;
    return coordinator_run(rq->server->groups, in->group_id, &commit->op);
}
