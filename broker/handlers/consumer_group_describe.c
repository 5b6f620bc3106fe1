/* ConsumerGroupDescribe v0-1: consumer groups with their members (KIP-848). v1 types of members (KIP-1099).
 */
#include <stdio.h>

#include "broker/authorized_operations.h"
#include "broker/coordinator/shard_reads.h"
#include "broker/group/consumer.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"

struct describe_state {
    struct shard_reads reads; /* first */
    struct consumer_group_describe_response *out;
};

static void fill_error(struct consumer_group_describe_response_group *out, int16_t error_code, slice message)
{
    slice group_id = out->group_id;
    consumer_group_describe_response_group_init(out);
    out->group_id = group_id;
    out->error_code = error_code;
    out->error_message = message;
    out->group_state = out->assignor_name = SLICE_LITERAL("");
}

static bool fill_missing(struct request *rq, struct consumer_group_describe_response_group *out,
                         bool is_there)
{
    slice id = out->group_id;
    size_t size_max = id.size + 64;
    char *text = arena_alloc(&rq->arena, size_max);
    if (!text)
        return false;
    int size =
        snprintf(text, size_max, is_there ? "Group %.*s is not a consumer group." : "Group %.*s not found.",
                 (int)id.size, (const char *)id.data);
    fill_error(out, ERR_GROUP_ID_NOT_FOUND, slice_of(text, (size_t)size));
    return true;
}

static bool is_hidden(struct request *rq,
                      const struct consumer_group_describe_response_assignment *assignment)
{
    const struct topic *topic;
    for (int32_t t = 0; t < assignment->topic_partitions_count; t++)
        if (rq_topic(rq, assignment->topic_partitions[t].topic_name, OP_DESCRIBE, &topic) ==
            ERR_TOPIC_AUTHORIZATION_FAILED)
            return true;
    return false;
}

static void hide_topics(struct request *rq, struct consumer_group_describe_response_group *out)
{
    for (int32_t m = 0; m < out->members_count; m++)
        if (is_hidden(rq, &out->members[m].assignment) || is_hidden(rq, &out->members[m].target_assignment)) {
            fill_error(out, ERR_TOPIC_AUTHORIZATION_FAILED,
                       SLICE_LITERAL("The group has described topic(s) that the client is not authorized to "
                                     "describe."));
            return;
        }
}

static bool describe(struct request *rq, struct describe_state *state, slice group_id,
                     struct consumer_group_describe_response_group *out)
{
    struct shard *shard;
    void *groups;
    int16_t error_code = group_check_id(rq, group_id, true, OP_DESCRIBE);
    if (error_code == ERR_NONE)
        error_code = coordinator_shard(rq, rq->server->groups, group_id, &shard);
    if (error_code == ERR_NONE)
        error_code = shard_enter(shard, &groups);
    if (error_code != ERR_NONE) {
        fill_error(out, error_code, SLICE_NULL);
        return true;
    }
    const struct group *group = groups_find(groups, group_id);
    bool ok = true;
    if (group && group->type == GROUP_CONSUMER)
        ok = consumer_describe(group, &rq->arena, out);
    else
        ok = fill_missing(rq, out, group != NULL);
    /* That there is none is told of the whole shard: it may have been deleted a moment ago. */
    ok = ok && shard_reads_add(rq, &state->reads, shard, group ? group->state_offset : shard_end_offset(shard));
    shard_leave(shard);
    if (ok)
        hide_topics(rq, out);
    return ok;
}

static enum handled fail(struct request *rq, int16_t error_code)
{
    struct describe_state *state = rq->state;
    for (int32_t g = 0; g < state->out->groups_count; g++)
        if (state->out->groups[g].error_code == ERR_NONE ||
            state->out->groups[g].error_code == ERR_GROUP_ID_NOT_FOUND)
            fill_error(&state->out->groups[g], error_code, SLICE_NULL);
    return HANDLED_DONE;
}

enum handled handle_consumer_group_describe(struct request *rq,
                                            const struct consumer_group_describe_request *in,
                                            struct consumer_group_describe_response *out)
{
    bool is_served = image_feature(rq->image, "group.version") >= 1;
    struct describe_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    out->groups = arena_alloc_array(&rq->arena, (size_t)in->group_ids_count, sizeof *out->groups);
    if (!state || !out->groups)
        return HANDLED_CLOSE;
    state->reads.failed = fail;
    state->out = out;
    for (int32_t g = 0; g < in->group_ids_count; g++) {
        consumer_group_describe_response_group_init(&out->groups[g]);
        out->groups[g].group_id = in->group_ids[g];
        if (!is_served)
            fill_error(&out->groups[g], ERR_UNSUPPORTED_VERSION, SLICE_NULL);
        else if (!describe(rq, state, in->group_ids[g], &out->groups[g]))
            return HANDLED_CLOSE;
        if (in->include_authorized_operations && out->groups[g].error_code == ERR_NONE)
            out->groups[g].authorized_operations = rq_group_operations(rq, in->group_ids[g]);
    }
    out->groups_count = in->group_ids_count;
    return shard_reads_answer(rq, &state->reads);
}
