/* SyncGroup and Heartbeat: the leader's assignment reaches the members, and they tell that they are alive. */
#include <stdlib.h>

#include "broker/group/classic_internal.h"
#include "broker/group/consumer_classic.h"

/* -- heartbeat --------------------------------------------------------------------------------- */

static struct classic_heartbeat *heartbeat_of(struct shard_op *op)
{
    return (struct classic_heartbeat *)((char *)op - offsetof(struct classic_heartbeat, op));
}

void classic_heartbeat_decide(struct shard_op *op, void *state)
{
    struct classic_heartbeat *heartbeat = heartbeat_of(op);
    struct group *group = groups_find(state, heartbeat->group_id);
    op->error_code = ERR_UNKNOWN_MEMBER_ID;
    heartbeat->group = group;
    if (!group)
        return;
    if (group->type == GROUP_CONSUMER) {
        consumer_alive_decide(heartbeat, group);
        return;
    }
    const struct classic_group *classic = group->classic;
    op->error_code =
        classic__check_member(classic, heartbeat->member_id, heartbeat->instance_id, &heartbeat->member);
    if (op->error_code == ERR_NONE && heartbeat->generation != classic->generation)
        op->error_code = ERR_ILLEGAL_GENERATION;
}

void classic_heartbeat_apply(struct shard_op *op, void *state)
{
    struct classic_heartbeat *heartbeat = heartbeat_of(op);
    (void)state;
    if (heartbeat->group->type == GROUP_CONSUMER) {
        consumer_alive_apply(heartbeat, heartbeat->group);
        return;
    }
    classic__touch(heartbeat->member);
    if (heartbeat->group->classic->state == CLASSIC_PREPARING)
        op->error_code = ERR_REBALANCE_IN_PROGRESS;
}

/* -- sync -------------------------------------------------------------------------------------- */

static struct classic_sync *sync_of(struct shard_op *op)
{
    return (struct classic_sync *)((char *)op - offsetof(struct classic_sync, op));
}

static bool differs(slice asked, const struct classic_bytes *ours)
{
    return !slice_is_null(asked) && ours && !slice_equal(asked, classic__bytes_slice(ours));
}

static int16_t check_sync(struct classic_sync *sync, const struct classic_group *classic)
{
    const struct sync_group_request *in = sync->in;
    int16_t error_code = classic__check_member(classic, in->member_id, in->group_instance_id, &sync->member);
    if (error_code != ERR_NONE)
        return error_code;
    if (in->generation_id != classic->generation)
        return ERR_ILLEGAL_GENERATION;
    if (differs(in->protocol_type, classic->protocol_type) || differs(in->protocol_name, classic->protocol))
        return ERR_INCONSISTENT_GROUP_PROTOCOL;
    return classic->state == CLASSIC_PREPARING ? ERR_REBALANCE_IN_PROGRESS : ERR_NONE;
}

/* Each member's share of what the leader says, in one block of memory; what it says of strangers is left out,
 * and the last word counts. False: no memory. */
static bool draft(struct classic_sync *sync, struct classic_group *classic)
{
    const struct sync_group_request *in = sync->in;
    size_t size = 0;
    classic->round++;
    for (int32_t i = 0; i < in->assignments_count; i++) {
        struct classic_member *member = classic__find(classic, in->assignments[i].member_id);
        if (!member)
            continue;
        member->round = classic->round;
        member->draft = in->assignments[i].assignment;
    }
    for (const struct classic_member *member = classic->first; member; member = member->next)
        size += member->round == classic->round ? member->draft.size : 0;
    sync->fresh = classic__bytes_make(size);
    if (!sync->fresh)
        return false;
    uint8_t *next = sync->fresh->data;
    for (struct classic_member *member = classic->first; member; member = member->next) {
        if (member->round != classic->round)
            continue;
        if (member->draft.size > 0)
            memcpy(next, member->draft.data, member->draft.size);
        member->draft = slice_of(next, member->draft.size);
        next += member->draft.size;
    }
    return true;
}

void classic_sync_decide(struct shard_op *op, void *state)
{
    struct classic_sync *sync = sync_of(op);
    struct group *group = groups_find(state, sync->in->group_id);
    classic__bytes_drop(&sync->fresh);
    sync->group = group;
    sync->is_modern = false;
    if (!group) {
        op->error_code = ERR_UNKNOWN_MEMBER_ID;
        return;
    }
    if (group->type == GROUP_CONSUMER) {
        consumer_sync_decide(sync, group);
        return;
    }
    struct classic_group *classic = group->classic;
    op->error_code = check_sync(sync, classic);
    if (op->error_code != ERR_NONE || classic->state != CLASSIC_COMPLETING || sync->member != classic->leader)
        return;
    if (!draft(sync, classic))
        op->error_code = ERR_COORDINATOR_NOT_AVAILABLE;
    else
        classic__record_full(op, group, true, NULL, NULL);
}

static void received(struct classic_group *classic, struct classic_member *member)
{
    classic->sync_pending_count -= member->is_sync_pending;
    member->is_sync_pending = false;
    if (classic->sync_pending_count == 0)
        classic__arm_phase(classic, -1);
}

static struct classic_bytes *hold(struct classic_bytes *bytes)
{
    if (bytes)
        pin_take(&bytes->pin);
    return bytes;
}

static void tell_assignment(const struct classic_group *classic, const struct classic_member *member,
                            struct classic_sync *sync)
{
    sync->answer_type = hold(classic->protocol_type);
    sync->answer_protocol = hold(classic->protocol);
    sync->assignments = hold(classic->assignments);
    sync->assignment = member->assignment;
    sync->op.answer_offset = classic->group->state_offset;
}

/* The leader's word is in the log. */
static void become_stable(struct classic_group *classic)
{
    classic__change_state(classic, CLASSIC_STABLE);
    for (struct classic_member *member = classic->first; member; member = member->next) {
        if (!member->sync)
            continue;
        tell_assignment(classic, member, sync_of(member->sync));
        classic__finish_sync(member, ERR_NONE);
        classic__touch(member);
    }
}

static void set_assignments(struct classic_group *classic, struct classic_sync *sync)
{
    for (struct classic_member *member = classic->first; member; member = member->next)
        member->assignment = member->round == classic->round ? member->draft : SLICE_LITERAL("");
    classic__bytes_drop(&classic->assignments);
    classic->assignments = sync->fresh;
    sync->fresh = NULL;
}

void classic_sync_apply(struct shard_op *op, void *state)
{
    struct classic_sync *sync = sync_of(op);
    if (sync->is_modern) {
        consumer_sync_apply(sync, sync->group);
        return;
    }
    struct classic_group *classic = sync->group->classic;
    struct classic_member *member = sync->member;
    (void)state;
    received(classic, member);
    classic__touch(member);
    if (classic->state == CLASSIC_STABLE) {
        tell_assignment(classic, member, sync);
        return;
    }
    classic__finish_sync(member, ERR_REBALANCE_IN_PROGRESS); /* of a connection that it has given up */
    member->sync = op;
    op->is_waiting = true;
    if (sync->fresh) {
        set_assignments(classic, sync);
        become_stable(classic);
    }
}

/* What cannot be kept is not handed out: all join again. */
void classic_sync_fail(struct shard_op *op, void *state)
{
    struct classic_group *classic = sync_of(op)->group->classic;
    int16_t error_code = op->error_code;
    (void)state;
    for (struct classic_member *member = classic->first; member; member = member->next)
        classic__finish_sync(member, error_code);
    classic__prepare_rebalance(classic);
}

void classic_sync_cancel(struct shard_op *op, void *state)
{
    (void)state;
    sync_of(op)->member->sync = NULL;
}

void classic_sync_take(struct shard_op *op)
{
    struct classic_sync *sync = sync_of(op);
    classic__bytes_drop(&sync->fresh);
    classic__keep(op, sync->answer_type ? &sync->answer_type->pin : NULL);
    classic__keep(op, sync->answer_protocol ? &sync->answer_protocol->pin : NULL);
    classic__keep(op, sync->assignments ? &sync->assignments->pin : NULL);
}

void classic_sync_fill(const struct classic_sync *sync, struct sync_group_response *out)
{
    if (sync->is_modern) {
        out->protocol_type = sync->in->protocol_type;
        out->protocol_name = sync->in->protocol_name;
        out->assignment = sync->assignment;
        return;
    }
    out->protocol_type = classic__bytes_slice(sync->answer_type);
    out->protocol_name = classic__bytes_slice(sync->answer_protocol);
    out->assignment = slice_is_null(sync->assignment) ? SLICE_LITERAL("") : sync->assignment;
}
