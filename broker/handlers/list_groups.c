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
    struct list_groups_response *out;
    struct request *rq;
    bool sees_all;
    uint32_t states; /* that are wanted, as bits of their names below */
    uint32_t types;
    size_t capacity;
    bool ok;
};

enum { NAMES_MAX = 8 };

static const char *const state_names[NAMES_MAX] = { "Empty",  "PreparingRebalance", "CompletingRebalance",
                                                    "Stable", "Assigning",          "Reconciling" };
static const char *const type_names[NAMES_MAX] = { "classic", "consumer" };

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

/* The filter is read once, however long it is; empty is no filter. As Kafka does, blanks around a state are passed
 * over, around a type they are not. */
static uint32_t read_filter(const slice *filter, int32_t count, const char *const names[NAMES_MAX], bool is_trimmed)
{
    uint32_t wanted = count <= 0 ? UINT32_MAX : 0;
    for (int32_t i = 0; i < count; i++)
        for (int n = 0; n < NAMES_MAX && names[n]; n++)
            if (is_named(is_trimmed ? trim(filter[i]) : filter[i], names[n]))
                wanted |= 1u << n;
    return wanted;
}

static bool is_wanted(uint32_t wanted, const char *const names[NAMES_MAX], const char *name)
{
    for (int n = 0; n < NAMES_MAX && names[n]; n++)
        if (strcmp(names[n], name) == 0)
            return wanted & 1u << n;
    return wanted == UINT32_MAX;
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
    if (!state->ok || !is_wanted(state->states, state_names, name) ||
        !is_wanted(state->types, type_names, type) ||
        (!state->sees_all && rq_group(state->rq, group->id, OP_DESCRIBE) != ERR_NONE))
        return;
    struct list_groups_response_group *out = next_entry(state);
    state->ok = out != NULL;
    if (!out)
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
    struct shard *shard;
    void *groups;
    int16_t error_code = coordinator_shard_at(rq, rq->server->groups, index, &shard);
    if (error_code == ERR_NONE)
        error_code = shard_enter(shard, &groups);
    if (error_code == ERR_NONE) {
        groups_visit(groups, list, state);
        /* All of it, as a list tells of what is not there, too. */
        state->ok = state->ok && shard_reads_add(rq, &state->reads, shard, shard_end_offset(shard));
        shard_leave(shard);
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
    state->out = out;
    state->rq = rq;
    state->ok = true;
    state->states = read_filter(in->states_filter, in->states_filter_count, state_names, true);
    state->types = read_filter(in->types_filter, in->types_filter_count, type_names, false);
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
