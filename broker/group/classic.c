/* Classic groups: what the log says of them, and what others ask about them. */
#include "broker/group/classic.h"

#include <stdlib.h>

#include "broker/group/classic_internal.h"

/* -- life -------------------------------------------------------------------------------------- */

struct classic_group *classic_create(struct group *group)
{
    struct classic_group *classic = calloc(1, sizeof *classic);
    if (!classic)
        return NULL;
    classic->group = group;
    classic->phase.fire = classic__fire_phase;
    classic->state_since_ms = shard_wall_ms(group_shard(group));
    return classic;
}

static void clear(struct classic_group *classic)
{
    shard_timer_cancel(group_shard(classic->group), &classic->phase);
    classic__free_members(classic);
    classic__forget_protocols(classic);
    classic__forget_topics(classic);
    classic__bytes_drop(&classic->protocol_type);
    classic__bytes_drop(&classic->protocol);
    classic__bytes_drop(&classic->assignments);
    classic->leader = NULL;
    classic->state = CLASSIC_EMPTY;
    classic->generation = 0;
    classic->is_initial = false;
}

void classic_destroy(struct classic_group *classic)
{
    clear(classic);
    free(classic);
}

bool classic_is_void(const struct classic_group *classic)
{
    return !classic->has_record && classic->member_count == 0 && classic->pending_count == 0;
}

/* -- replay ------------------------------------------------------------------------------------ */

static bool load_member(struct group *group, const struct group_metadata_value *value,
                        const struct group_metadata_value_member *from, uint8_t **next)
{
    struct classic_group *classic = group->classic;
    struct join_group_request_protocol protocol;
    join_group_request_protocol_init(&protocol);
    protocol.name = slice_is_null(value->protocol) ? SLICE_LITERAL("") : value->protocol;
    protocol.metadata = from->subscription;
    if (classic__find(classic, from->member_id) ||
        (!slice_is_null(from->group_instance_id) && classic__find_static(classic, from->group_instance_id)))
        return true; /* twice in one record: not ours */
    struct classic_profile *profile = classic__profile_make(from->member_id, from->group_instance_id,
                                                            from->client_id, from->client_host, &protocol, 1);
    struct classic_member *member = profile ? classic__member_make(group, profile) : NULL;
    if (!member)
        return false;
    member->session_timeout_ms = from->session_timeout;
    member->rebalance_timeout_ms =
        from->rebalance_timeout < 0 ? from->session_timeout : from->rebalance_timeout;
    member->assignment = slice_of(*next, from->assignment.size);
    if (from->assignment.size > 0)
        memcpy(*next, from->assignment.data, from->assignment.size);
    *next += from->assignment.size;
    classic__add(classic, member);
    return true;
}

static bool load_members(struct group *group, const struct group_metadata_value *value)
{
    struct classic_group *classic = group->classic;
    size_t size = 0;
    for (int32_t i = 0; i < value->members_count; i++)
        size += value->members[i].assignment.size;
    classic->assignments = classic__bytes_make(size);
    if (!classic->assignments)
        return false;
    uint8_t *next = classic->assignments->data;
    for (int32_t i = 0; i < value->members_count; i++)
        if (!load_member(group, value, &value->members[i], &next))
            return false;
    classic->leader = slice_is_null(value->leader) ? NULL : classic__find(classic, value->leader);
    return true;
}

static bool load(struct group *group, const struct group_metadata_value *value)
{
    struct classic_group *classic = group->classic;
    clear(classic);
    if (value->protocol_type.size > 0 &&
        !(classic->protocol_type = classic__bytes_copy(value->protocol_type)))
        return false;
    if (!slice_is_null(value->protocol) && !(classic->protocol = classic__bytes_copy(value->protocol)))
        return false;
    if (!load_members(group, value))
        return false;
    classic->state = classic->member_count > 0 ? CLASSIC_STABLE : CLASSIC_EMPTY;
    return true;
}

bool classic_replay(struct group *group, const struct group_metadata_value *value)
{
    struct classic_group *classic = group->classic;
    classic->has_record = value != NULL;
    if (!value) {
        if (classic->is_live)
            classic_stop(group, ERR_REBALANCE_IN_PROGRESS); /* it becomes a group of the other type */
        clear(classic);
        return true;
    }
    /* A live group has its members already, or gets them when the op that wrote this is applied. */
    if (!classic->is_live && !load(group, value))
        return false;
    classic->generation = value->generation;
    classic->state_since_ms = value->current_state_timestamp;
    classic->is_emptied = classic->is_live && value->members_count == 0;
    return true;
}

/* -- questions --------------------------------------------------------------------------------- */

const char *classic_state_name(const struct classic_group *classic)
{
    static const char *const names[] = { [CLASSIC_EMPTY] = "Empty",
                                         [CLASSIC_PREPARING] = "PreparingRebalance",
                                         [CLASSIC_COMPLETING] = "CompletingRebalance",
                                         [CLASSIC_STABLE] = "Stable" };
    return names[classic->state];
}

bool classic_is_empty(const struct classic_group *classic)
{
    return classic->state == CLASSIC_EMPTY;
}

slice classic_protocol_type(const struct classic_group *classic)
{
    return classic__bytes_slice(classic->protocol_type);
}

int64_t classic_state_since_ms(const struct classic_group *classic)
{
    return classic->state_since_ms;
}

int16_t classic_check_delete(const struct classic_group *classic)
{
    return classic->state == CLASSIC_EMPTY ? ERR_NONE : ERR_NON_EMPTY_GROUP;
}

void classic_add_tombstones(struct shard_op *op, const struct group *group)
{
    struct group_metadata_key key;
    group_metadata_key_init(&key);
    key.group = group->id;
    shard_op_add(op, "group", GROUP_RECORD_GROUP_METADATA, &key, 0, NULL);
}

int16_t classic_check_commit(const struct classic_group *classic, const struct group_caller *caller,
                             bool is_transactional)
{
    bool is_empty = classic->state == CLASSIC_EMPTY;
    if (caller->generation < 0 && is_empty)
        return ERR_NONE; /* of an admin client, or of a consumer without group management */
    if (caller->generation >= 0 || caller->member_id.size > 0 || !slice_is_null(caller->instance_id)) {
        struct classic_member *member;
        int16_t error_code = classic__check_member(classic, caller->member_id, caller->instance_id, &member);
        if (error_code != ERR_NONE)
            return error_code;
        if (caller->generation != classic->generation)
            return ERR_ILLEGAL_GENERATION;
    } else if (!is_transactional && !is_empty) {
        return ERR_UNKNOWN_MEMBER_ID;
    }
    return !is_transactional && classic->state == CLASSIC_COMPLETING ? ERR_REBALANCE_IN_PROGRESS : ERR_NONE;
}

int32_t classic_member_count(const struct classic_group *classic)
{
    return classic->member_count;
}

int32_t classic_generation(const struct classic_group *classic)
{
    return classic->generation;
}

slice classic_protocol(const struct classic_group *classic)
{
    return classic__bytes_slice(classic->protocol);
}

void classic_visit_members(const struct group *group,
                           void (*visit)(void *context, const struct classic_member_view *member),
                           void *context)
{
    const struct classic_group *classic = group->classic;
    for (const struct classic_member *member = classic->first; member; member = member->next) {
        const struct classic_profile *profile = member->profile;
        const struct classic_member_view view = {
            .member_id = profile->member_id,
            .instance_id = profile->instance_id,
            .client_id = profile->client_id,
            .client_host = profile->client_host,
            .rebalance_timeout_ms = member->rebalance_timeout_ms,
            .session_timeout_ms = member->session_timeout_ms,
            .protocols = profile->protocols,
            .protocol_count = profile->protocol_count,
            .metadata = classic__profile_metadata(profile, classic__bytes_slice(classic->protocol)),
            .assignment = member->assignment,
            .is_leader = member == classic->leader,
        };
        visit(context, &view);
    }
}

/* -- description ------------------------------------------------------------------------------- */

static void describe_member(const struct classic_group *classic, const struct classic_member *member,
                            struct arena *arena, struct describe_groups_response_member *out, bool *ok)
{
    const struct classic_profile *profile = member->profile;
    slice metadata = SLICE_LITERAL("");
    if (classic->state == CLASSIC_STABLE)
        metadata = classic__profile_metadata(profile, classic__bytes_slice(classic->protocol));
    describe_groups_response_member_init(out);
    out->member_id = arena_copy(arena, profile->member_id, ok);
    out->group_instance_id = arena_copy(arena, profile->instance_id, ok);
    out->client_id = arena_copy(arena, profile->client_id, ok);
    out->client_host = arena_copy(arena, profile->client_host, ok);
    out->member_metadata = arena_copy(arena, metadata, ok);
    out->member_assignment = arena_copy(arena, member->assignment, ok);
}

bool classic_describe(const struct group *group, struct arena *arena,
                      struct describe_groups_response_group *out)
{
    const struct classic_group *classic = group->classic;
    bool ok = true;
    slice protocol = classic->state == CLASSIC_STABLE ? classic__bytes_slice(classic->protocol) : SLICE_NULL;
    slice type = classic__bytes_slice(classic->protocol_type);
    out->group_state = slice_of_string(classic_state_name(classic));
    out->protocol_type = slice_is_null(type) ? SLICE_LITERAL("") : arena_copy(arena, type, &ok);
    out->protocol_data = slice_is_null(protocol) ? SLICE_LITERAL("") : arena_copy(arena, protocol, &ok);
    out->members = arena_alloc_array(arena, (size_t)classic->member_count, sizeof *out->members);
    if (!out->members)
        return false;
    out->members_count = 0;
    for (const struct classic_member *member = classic->first; member && ok; member = member->next)
        describe_member(classic, member, arena, &out->members[out->members_count++], &ok);
    return ok;
}
