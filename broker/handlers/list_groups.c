/* ListGroups v0-5: the groups of this coordinator that the client may see. v4 states (KIP-518); v5 types
 * (KIP-848). */
#include <strings.h>

#include "broker/coordinator/shard_reads.h"
#include "broker/group/classic.h"
#include "broker/group/group.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"

struct list_state {
    struct shard_reads reads; /* first */
    const struct list_groups_request *in;
    struct list_groups_response *out;
    struct request *rq;
    bool sees_all;
    size_t capacity;
    struct shard *shard; /* that the walk is in */
    bool ok;
};

static slice trim(slice text)
{
    while (text.size > 0 && text.data[0] <= ' ')
        text = slice_of(text.data + 1, text.size - 1);
    while (text.size > 0 && text.data[text.size - 1] <= ' ')
        text.size--;
    return text;
}

static bool is_named(slice text, const char *name)
{
    return text.size == strlen(name) && strncasecmp((const char *)text.data, name, text.size) == 0;
}

/* As Kafka does, blanks around a state are passed over, around a type they are not. */
static bool is_wanted(const struct list_groups_request *in, const char *state, const char *type)
{
    bool is_state = in->states_filter_count <= 0, is_type = in->types_filter_count <= 0;
    for (int32_t i = 0; i < in->states_filter_count && !is_state; i++)
        is_state = is_named(trim(in->states_filter[i]), state);
    for (int32_t i = 0; i < in->types_filter_count && !is_type; i++)
        is_type = is_named(in->types_filter[i], type);
    return is_state && is_type;
}

static struct list_groups_response_group *next_entry(struct list_state *state)
{
    struct list_groups_response *out = state->out;
    if ((size_t)out->groups_count == state->capacity) {
        size_t capacity = state->capacity ? 2 * state->capacity : 64;
        struct list_groups_response_group *groups =
            arena_alloc_array(&state->rq->arena, capacity, sizeof *groups);
        if (!groups)
            return NULL;
        if (out->groups_count > 0)
            memcpy(groups, out->groups, (size_t)out->groups_count * sizeof *groups);
        out->groups = groups;
        state->capacity = capacity;
    }
    return &out->groups[out->groups_count++];
}

static void list(void *context, struct group *group)
{
    struct list_state *state = context;
    const char *name = group_state_name(group);
    const char *type = group_type_name(group);
    if (!state->ok || !is_wanted(state->in, name, type) ||
        (!state->sees_all && rq_group(state->rq, group->id, OP_DESCRIBE) != ERR_NONE))
        return;
    struct list_groups_response_group *out = next_entry(state);
    state->ok = out && shard_reads_add(state->rq, &state->reads, state->shard, group->state_offset);
    if (!state->ok)
        return;
    list_groups_response_group_init(out);
    out->group_id = arena_copy(&state->rq->arena, group->id, &state->ok);
    slice protocol_type =
        group->type == GROUP_CLASSIC ? classic_protocol_type(group->classic) : SLICE_LITERAL("consumer");
    out->protocol_type = slice_is_null(protocol_type)
                             ? SLICE_LITERAL("")
                             : arena_copy(&state->rq->arena, protocol_type, &state->ok);
    out->group_state = slice_of_string(name);
    out->group_type = slice_of_string(type);
}

static bool list_shard(struct list_state *state, int32_t index)
{
    struct request *rq = state->rq;
    void *groups;
    int16_t error_code = coordinator_shard_at(rq, rq->server->groups, index, &state->shard);
    if (error_code == ERR_NONE)
        error_code = shard_enter(state->shard, &groups);
    if (error_code == ERR_NONE) {
        groups_visit(groups, list, state);
        shard_leave(state->shard);
    } else if (error_code == ERR_COORDINATOR_LOAD_IN_PROGRESS) {
        state->out->error_code = error_code;
    }
    return state->ok;
}

static enum handled fail(struct request *rq, int16_t error_code)
{
    struct list_state *state = rq->state;
    state->out->error_code = error_code;
    state->out->groups_count = 0;
    return HANDLED_DONE;
}

enum handled handle_list_groups(struct request *rq, const struct list_groups_request *in,
                                struct list_groups_response *out)
{
    struct list_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    if (!state)
        return HANDLED_CLOSE;
    state->reads.failed = fail;
    state->in = in;
    state->out = out;
    state->rq = rq;
    state->ok = true;
    state->sees_all = rq_cluster(rq, OP_DESCRIBE) == ERR_NONE;
    int32_t count = coordinator_shard_count(rq, rq->server->groups);
    for (int32_t i = 0; i < count; i++)
        if (!list_shard(state, i))
            return HANDLED_CLOSE;
    if (out->error_code != ERR_NONE) { /* part of a list would look like all of it */
        out->groups_count = 0;
        return HANDLED_DONE;
    }
    return shard_reads_answer(rq, &state->reads);
}
