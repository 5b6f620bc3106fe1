/* DescribeGroups v0-6: classic groups with their members.
 * v3 authorised operations (KIP-430); v4 static members (KIP-345); v6 GROUP_ID_NOT_FOUND (KIP-1043). */
#include "broker/authorized_operations.h"
#include "broker/coordinator/shard_reads.h"
#include "broker/group/classic.h"
#include "broker/group/group.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"

enum { NOT_FOUND_SINCE = 6 };

struct describe_state {
    struct shard_reads reads; /* first */
    struct describe_groups_response *out;
};

static void fill_error(struct describe_groups_response_group *out, int16_t error_code)
{
    out->error_code = error_code;
    out->group_state = out->protocol_type = out->protocol_data = SLICE_LITERAL("");
    out->members_count = 0;
}

/* To older clients a group that is not there is dead. */
static bool fill_missing(struct request *rq, struct describe_groups_response_group *out, const char *why)
{
    fill_error(out, rq->api_version >= NOT_FOUND_SINCE ? ERR_GROUP_ID_NOT_FOUND : ERR_NONE);
    out->group_state = SLICE_LITERAL("Dead");
    if (rq->api_version < NOT_FOUND_SINCE)
        return true;
    size_t size = out->group_id.size + strlen("Group ") + strlen(why);
    uint8_t *text = arena_alloc(&rq->arena, size);
    if (!text)
        return false;
    memcpy(text, "Group ", strlen("Group "));
    if (out->group_id.size > 0)
        memcpy(text + strlen("Group "), out->group_id.data, out->group_id.size);
    memcpy(text + strlen("Group ") + out->group_id.size, why, strlen(why));
    out->error_message = slice_of(text, size);
    return true;
}

static bool describe(struct request *rq, struct describe_state *state, slice group_id,
                     struct describe_groups_response_group *out)
{
    struct shard *shard;
    void *groups;
    int16_t error_code = group_check_id(rq, group_id, true, OP_DESCRIBE);
    if (error_code == ERR_NONE)
        error_code = coordinator_shard(rq, rq->server->groups, group_id, &shard);
    if (error_code == ERR_NONE)
        error_code = shard_enter(shard, &groups);
    if (error_code != ERR_NONE) {
        fill_error(out, error_code);
        return true;
    }
    const struct group *group = groups_find(groups, group_id);
    bool ok = true;
    if (!group)
        ok = fill_missing(rq, out, " not found.");
    else if (group->type != GROUP_CLASSIC)
        ok = fill_missing(rq, out, " is not a classic group.");
    else
        ok = classic_describe(group, &rq->arena, out);
    /* That there is none is told of the whole shard: it may have been deleted a moment ago. */
    ok = ok && shard_reads_add(rq, &state->reads, shard, group ? group->state_offset : shard_end_offset(shard));
    shard_leave(shard);
    return ok;
}

static enum handled fail(struct request *rq, int16_t error_code)
{
    struct describe_state *state = rq->state;
    for (int32_t g = 0; g < state->out->groups_count; g++)
        if (state->out->groups[g].error_code == ERR_NONE ||
            state->out->groups[g].error_code == ERR_GROUP_ID_NOT_FOUND)
            fill_error(&state->out->groups[g], error_code);
    return HANDLED_DONE;
}

enum handled handle_describe_groups(struct request *rq, const struct describe_groups_request *in,
                                    struct describe_groups_response *out)
{
    struct describe_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    out->groups = arena_alloc_array(&rq->arena, (size_t)in->groups_count, sizeof *out->groups);
    if (!state || !out->groups)
        return HANDLED_CLOSE;
    state->reads.failed = fail;
    state->out = out;
    for (int32_t g = 0; g < in->groups_count; g++) {
        describe_groups_response_group_init(&out->groups[g]);
        out->groups[g].group_id = in->groups[g];
        if (!describe(rq, state, in->groups[g], &out->groups[g]))
            return HANDLED_CLOSE;
        if (in->include_authorized_operations && out->groups[g].error_code == ERR_NONE)
            out->groups[g].authorized_operations = rq_group_operations(rq, in->groups[g]);
    }
    out->groups_count = in->groups_count;
    return shard_reads_answer(rq, &state->reads);
}
