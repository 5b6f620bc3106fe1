/* LeaveGroup: members go, by themselves or sent away by an administrator. */
#include "broker/group/classic_internal.h"
#include "broker/group/consumer_classic.h"

static struct classic_leave *leave_of(struct shard_op *op)
{
    return (struct classic_leave *)((char *)op - offsetof(struct classic_leave, op));
}

/* Who is named twice is gone the second time. */
static struct classic_member *unless_gone(const struct classic_group *classic, struct classic_member *member)
{
    return member && member->round != classic->round ? member : NULL;
}

static int16_t find_leaver(const struct classic_group *classic, const struct classic_leaver *leaver,
                           struct classic_member **out)
{
    bool has_instance = !slice_is_null(leaver->instance_id);
    struct classic_member *owner =
        has_instance ? unless_gone(classic, classic__find_static(classic, leaver->instance_id)) : NULL;
    if (leaver->member_id.size == 0) {
        *out = owner;
        return owner ? ERR_NONE : ERR_UNKNOWN_MEMBER_ID;
    }
    *out = unless_gone(classic, classic__find_pending(classic, leaver->member_id));
    if (*out)
        return ERR_NONE;
    if (owner && !slice_equal(owner->profile->member_id, leaver->member_id))
        return ERR_FENCED_INSTANCE_ID;
    *out = unless_gone(classic, classic__find(classic, leaver->member_id));
    return *out && (owner || !has_instance) ? ERR_NONE : ERR_UNKNOWN_MEMBER_ID;
}

static void decide_leaver(struct classic_leave *leave, struct classic_group *classic,
                          struct classic_leaver *leaver)
{
    struct classic_member *member;
    leaver->member = NULL;
    leaver->error_code = find_leaver(classic, leaver, &member);
    if (leaver->error_code != ERR_NONE)
        return;
    member->round = classic->round;
    leaver->member = member;
    *(member->is_pending ? &leave->pending_count : &leave->member_count) += 1;
}

static bool leaves_nobody(const struct classic_leave *leave, const struct classic_group *classic)
{
    if (classic->member_count > leave->member_count || classic->pending_count > leave->pending_count)
        return false;
    if (classic->state == CLASSIC_PREPARING)
        return !classic->is_initial && leave->member_count + leave->pending_count > 0;
    return classic->state != CLASSIC_EMPTY && leave->member_count > 0;
}

void classic_leave_decide(struct shard_op *op, void *state)
{
    struct classic_leave *leave = leave_of(op);
    leave->group = groups_find(state, leave->group_id);
    leave->member_count = leave->pending_count = 0;
    leave->is_modern = false;
    if (!leave->group) {
        op->error_code = ERR_UNKNOWN_MEMBER_ID;
        return;
    }
    if (leave->group->type == GROUP_CONSUMER) {
        consumer_leave_decide(leave, leave->group);
        return;
    }
    struct classic_group *classic = leave->group->classic;
    classic->round++;
    for (int32_t i = 0; i < leave->count; i++)
        decide_leaver(leave, classic, &leave->leavers[i]);
    if (leaves_nobody(leave, classic))
        classic__record_empty(op, leave->group);
}

void classic_leave_apply(struct shard_op *op, void *state)
{
    struct classic_leave *leave = leave_of(op);
    if (leave->is_modern) {
        consumer_leave_apply(groups_find(state, leave->group_id));
        return;
    }
    struct classic_group *classic = leave->group->classic;
    for (int32_t i = 0; i < leave->count; i++)
        if (leave->leavers[i].member)
            classic__remove(classic, leave->leavers[i].member);
    if (classic->state == CLASSIC_PREPARING)
        classic__complete_if_joined(classic);
    else if (leave->member_count > 0)
        classic__prepare_rebalance(classic);
    groups_drop_if_void(leave->group);
}
