/* OffsetCommit v2-10: a group's places, one record per partition.
 * v2-4 retention of the client's own; v6 leader epoch; v7 static members; v9 member epochs (KIP-848); v10
 * topic ids. */
#include "broker/group/offsets.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"
#include "protocol/base/check.h"

enum { TOPIC_ID_SINCE = 10, GROUP_NOT_FOUND_SINCE = 9, RETENTION_OF_BROKER = -1 };

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
    bool has_any; /* some partition is there */
    size_t more;  /* bytes that the group's offsets grow by */
};

static struct group_caller caller_of(const struct commit_op *commit)
{
    const struct offset_commit_request *in = commit->in;
    return (struct group_caller){ .member_id = in->member_id,
                                  .instance_id = in->group_instance_id,
                                  .generation = in->generation_id_or_member_epoch,
                                  .api_version = commit->op.rq->api_version };
}

static int16_t check_group(const struct group *group, const struct commit_op *commit)
{
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
    int64_t retention_ms = commit->in->retention_time_ms;
    bool has_expiry = retention_ms != RETENTION_OF_BROKER;
    offset_commit_value_init(&value);
    value.offset = in->committed_offset;
    value.leader_epoch = in->committed_leader_epoch;
    value.metadata = slice_is_null(in->committed_metadata) ? SLICE_LITERAL("") : in->committed_metadata;
    value.commit_timestamp = now_ms;
    value.topic_id = topic->id;
    if (has_expiry)
        value.expire_timestamp = retention_ms < INT64_MAX - now_ms ? now_ms + retention_ms : INT64_MAX;
    shard_op_add(&commit->op, "group", GROUP_RECORD_OFFSET_COMMIT, &key,
                 has_expiry ? OFFSET_COMMIT_WITH_EXPIRY : OFFSET_COMMIT_WITH_TOPIC_ID, &value);
}

/* Java counts UTF-16 units, and so does Kafka's limit. */
static size_t java_length(slice text)
{
    size_t length = 0;
    for (size_t i = 0; i < text.size; i++)
        length += (text.data[i] & 0xc0) != 0x80 ? 1 + (text.data[i] >= 0xf0) : 0;
    return length;
}

static bool is_too_large(const struct commit_op *commit, slice metadata)
{
    int32_t max = commit->op.rq->server->config->offset_metadata_max_bytes;
    return java_length(metadata) > (size_t)(max > 0 ? max : 0);
}

static void decide_partition(struct commit_op *commit, const struct group *group, int32_t t, int32_t p,
                             int64_t now_ms)
{
    const struct commit_topic *topic = &commit->topics[t];
    const struct offset_commit_request_partition *in = &commit->in->topics[t].partitions[p];
    struct offset_commit_response_partition *out = &commit->out->topics[t].partitions[p];
    if (out->error_code == ERR_UNKNOWN_TOPIC_OR_PARTITION || topic->error_code != ERR_NONE)
        return;
    out->error_code = is_too_large(commit, in->committed_metadata) ? ERR_OFFSET_METADATA_TOO_LARGE : ERR_NONE;
    if (out->error_code != ERR_NONE)
        return;
    const struct stored_offset *old = group ? group_offsets_find(group, topic->name, in->partition) : NULL;
    if (!old)
        commit->more += offset_size(topic->name, in->committed_metadata.size);
    else if (old->metadata.size < in->committed_metadata.size)
        commit->more += in->committed_metadata.size - old->metadata.size;
    add_record(commit, topic, in, now_ms);
}

static int16_t check_limits(const struct group *group, const struct commit_op *commit)
{
    if (!group && commit->op.record_count > 0 && groups_are_full())
        return ERR_GROUP_MAX_SIZE_REACHED;
    return group_offsets_check_size(group, commit->more);
}

static void decide(struct shard_op *op, void *state)
{
    struct commit_op *commit = (struct commit_op *)op;
    const struct group *group = groups_find(state, commit->in->group_id);
    int64_t now_ms = shard_wall_ms(op->shard);
    op->error_code = check_group(group, commit);
    commit->more = 0;
    for (int32_t t = 0; op->error_code == ERR_NONE && t < commit->in->topics_count; t++)
        for (int32_t p = 0; p < commit->in->topics[t].partitions_count; p++)
            decide_partition(commit, group, t, p, now_ms);
    if (op->error_code == ERR_NONE)
        op->error_code = check_limits(group, commit);
}

static void apply(struct shard_op *op, void *state)
{
    const struct commit_op *commit = (struct commit_op *)op;
    struct group *group = groups_find(state, commit->in->group_id);
    if (group)
        group_touch(group, commit->in->member_id);
}

/* Errors of the group as a whole have no field: they are repeated in every partition that the group was asked
 * about. */
static enum handled answer(struct shard_op *op)
{
    struct offset_commit_response *out = ((struct commit_op *)op)->out;
    for (int32_t t = 0; op->error_code != ERR_NONE && t < out->topics_count; t++)
        for (int32_t p = 0; p < out->topics[t].partitions_count; p++) {
            int16_t *error_code = &out->topics[t].partitions[p].error_code;
            if (*error_code == ERR_NONE || *error_code == ERR_OFFSET_METADATA_TOO_LARGE)
                *error_code = op->error_code;
        }
    return HANDLED_DONE;
}

static const struct shard_step commit_step = { .decide = decide, .apply = apply, .answer = answer };

/* -- what is known before the group is asked --------------------------------------------------- */

static bool find_topic(struct request *rq, const struct offset_commit_request_topic *in,
                       struct commit_topic *out)
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

static int16_t check_partition(const struct commit_topic *topic,
                               const struct offset_commit_request_partition *in)
{
    if (topic->error_code != ERR_NONE)
        return topic->error_code;
    bool is_there = in->partition >= 0 && in->partition < topic->partition_count;
    return is_there ? ERR_NONE : ERR_UNKNOWN_TOPIC_OR_PARTITION;
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
        out->partitions[p].error_code = check_partition(&commit->topics[t], &in->partitions[p]);
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
        return HANDLED_DONE; /* the group is not asked, as in Kafka */
    return coordinator_run(rq->server->groups, in->group_id, &commit->op);
}
