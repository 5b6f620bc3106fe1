/* Deadlines of a classic group: sessions of members and pending ids, and the ends of its phases. */
#include <stdlib.h>

#include "broker/group/classic_internal.h"
#include "protocol/base/check.h"

/* -- who waits --------------------------------------------------------------------------------- */

void classic__finish(struct shard_op *op, int16_t error_code)
{
    if (op->phase == OP_WAITING) {
        shard_complete(op, error_code);
        return;
    }
    op->is_waiting = false; /* in its own apply */
    op->error_code = error_code;
}

void classic__finish_join(struct classic_member *member, int16_t error_code)
{
    struct shard_op *op = member->join;
    if (!op)
        return;
    member->join = NULL;
    member->group->classic->join_count--;
    op->answer_offset = member->group->state_offset;
    classic__finish(op, error_code);
}

void classic__finish_sync(struct classic_member *member, int16_t error_code)
{
    struct shard_op *op = member->sync;
    if (!op)
        return;
    member->sync = NULL;
    op->answer_offset = member->group->state_offset;
    classic__finish(op, error_code);
}

void classic__remove(struct classic_group *classic, struct classic_member *member)
{
    classic__finish_join(member, ERR_UNKNOWN_MEMBER_ID);
    classic__finish_sync(member, ERR_UNKNOWN_MEMBER_ID);
    classic__take_out(classic, member);
}

/* -- an op of the coordinator itself ----------------------------------------------------------- */

/* A deadline has come. The group and the member are looked up when its turn comes: they may be gone. */
struct classic_tick {
    struct shard_op op;
    struct arena arena;
    uint32_t phase_serial;
    slice group_id;
    slice member_id; /* null: it is about the group's phase */
    /* decide's */
    struct group *group; /* NULL: nothing is to be done */
    struct classic_member *member;
    bool is_extended; /* the initial delay goes on */
};

static struct classic_tick *tick_of(struct shard_op *op)
{
    return (struct classic_tick *)((char *)op - offsetof(struct classic_tick, op));
}

static bool is_satisfied(const struct classic_member *member, int64_t now_ms)
{
    if (!member->is_pending && !member->is_new && (member->join || member->sync))
        return true; /* who waits for us is alive */
    return member->session_due_ms > now_ms;
}

/* What a member's end would leave; true: nobody, and the group becomes empty at once. */
static bool leaves_nobody(const struct classic_group *classic, const struct classic_member *gone)
{
    int32_t members = classic->member_count - (gone->is_pending ? 0 : 1);
    int32_t pending = classic->pending_count - (gone->is_pending ? 1 : 0);
    bool is_phase_ended = classic->state == CLASSIC_PREPARING || !gone->is_pending;
    return classic->state != CLASSIC_EMPTY && is_phase_ended && members == 0 && pending == 0;
}

static void decide_session(struct classic_tick *tick, struct group *group)
{
    struct classic_group *classic = group->classic;
    struct classic_member *member = classic__find(classic, tick->member_id);
    if (!member)
        member = classic__find_pending(classic, tick->member_id);
    if (!member)
        return;
    tick->group = group;
    tick->member = member;
    if (!is_satisfied(member, shard_mono_ms(tick->op.shard)) && leaves_nobody(classic, member))
        classic__record_empty(&tick->op, group);
}

/* Those who stay when the join phase ends now. */
static int32_t count_staying(const struct classic_group *classic)
{
    int32_t count = 0;
    for (const struct classic_member *member = classic->first; member; member = member->next)
        count += member->join || !slice_is_null(member->profile->instance_id);
    return count;
}

/* The first generation begins when nobody has come for the delay. (Kafka waits for whole delays, until nobody
 * came during one: up to twice as long.) */
static int64_t delay_left_ms(const struct classic_group *classic)
{
    int64_t quiet_ms = classic->newcomer_ms + group_config(classic->group)->group_initial_rebalance_delay_ms;
    int64_t end_ms = quiet_ms < classic->initial_end_ms ? quiet_ms : classic->initial_end_ms;
    return end_ms - shard_mono_ms(group_shard(classic->group));
}

static void decide_phase(struct classic_tick *tick, struct group *group)
{
    struct classic_group *classic = group->classic;
    if (tick->phase_serial != classic->phase_serial || classic->state == CLASSIC_EMPTY)
        return;
    bool becomes_empty = false;
    if (classic->state == CLASSIC_PREPARING) {
        tick->is_extended = classic->is_initial && delay_left_ms(classic) > 0;
        becomes_empty = !tick->is_extended && count_staying(classic) == 0;
    } else {
        if (classic->sync_pending_count == 0)
            return;
        becomes_empty = classic->sync_pending_count == classic->member_count && classic->pending_count == 0;
    }
    tick->group = group;
    if (becomes_empty)
        classic__record_empty(&tick->op, group);
}

static void decide(struct shard_op *op, void *state)
{
    struct classic_tick *tick = tick_of(op);
    struct group *group = groups_find(state, tick->group_id);
    tick->group = NULL;
    tick->member = NULL;
    tick->is_extended = false;
    if (!group || group->type != GROUP_CLASSIC || !group->classic->is_live)
        return;
    if (slice_is_null(tick->member_id))
        decide_phase(tick, group);
    else
        decide_session(tick, group);
}

/* It may have been heard of while this waited behind an append. */
static void apply_session(struct classic_group *classic, struct classic_member *member)
{
    struct shard *shard = group_shard(classic->group);
    int64_t now_ms = shard_mono_ms(shard);
    if (is_satisfied(member, now_ms)) {
        int64_t due_ms =
            member->session_due_ms > now_ms ? member->session_due_ms : now_ms + member->session_timeout_ms;
        shard_timer_arm(shard, &member->session, due_ms);
        return;
    }
    bool was_pending = member->is_pending;
    classic__remove(classic, member);
    if (classic->state == CLASSIC_PREPARING) {
        if (classic__all_joined(classic))
            classic__complete_join(classic);
    } else if (!was_pending && classic->state != CLASSIC_EMPTY) {
        classic__prepare_rebalance(classic);
    }
}

static void expire_syncs(struct classic_group *classic)
{
    for (struct classic_member *next, *member = classic->first; member; member = next) {
        next = member->next;
        if (member->is_sync_pending)
            classic__remove(classic, member);
    }
    classic__prepare_rebalance(classic);
}

/* The log may have taken its time. */
static void extend(struct classic_group *classic)
{
    int64_t left_ms = delay_left_ms(classic);
    classic__arm_phase(classic, left_ms > 0 ? left_ms : 0);
}

static void apply(struct shard_op *op, void *state)
{
    struct classic_tick *tick = tick_of(op);
    (void)state;
    if (!tick->group)
        return;
    struct group *group = tick->group;
    struct classic_group *classic = group->classic;
    if (tick->member)
        apply_session(classic, tick->member);
    else if (tick->is_extended)
        extend(classic);
    else if (classic->state == CLASSIC_PREPARING)
        classic__complete_join(classic);
    else
        expire_syncs(classic);
    groups_drop_if_void(group);
}

/* The log refused: everything stays, and is tried again. */
static void fail(struct shard_op *op, void *state)
{
    struct classic_tick *tick = tick_of(op);
    (void)state;
    if (!tick->group)
        return;
    if (!tick->member)
        classic__arm_phase(tick->group->classic, RETRY_MS);
    else
        shard_timer_arm(op->shard, &tick->member->session, shard_mono_ms(op->shard) + RETRY_MS);
}

static void finish(struct shard_op *op)
{
    struct classic_tick *tick = tick_of(op);
    arena_destroy(&tick->arena);
    free(tick);
}

static const struct shard_step tick_step = {
    .decide = decide, .apply = apply, .fail = fail, .finish = finish
};

bool classic__start_tick(struct group *group, const struct classic_member *member)
{
    slice member_id = member ? member->profile->member_id : SLICE_NULL;
    struct classic_tick *tick = calloc(1, sizeof *tick + group->id.size + member_id.size);
    if (!tick)
        return false;
    uint8_t *bytes = (uint8_t *)(tick + 1);
    memcpy(bytes, group->id.data, group->id.size);
    tick->group_id = slice_of(bytes, group->id.size);
    if (member) {
        memcpy(bytes + group->id.size, member_id.data, member_id.size);
        tick->member_id = slice_of(bytes + group->id.size, member_id.size);
    }
    tick->phase_serial = group->classic->phase_serial;
    arena_init(&tick->arena, NULL);
    tick->op = (struct shard_op){ .step = &tick_step, .arena = &tick->arena, .answer_offset = -1 };
    shard_start(group_shard(group), &tick->op);
    return true;
}

/* -- sessions ---------------------------------------------------------------------------------- */

static void fire_session(struct timer *timer)
{
    struct classic_member *member =
        (struct classic_member *)((char *)timer - offsetof(struct classic_member, session));
    struct shard *shard = group_shard(member->group);
    int64_t now_ms = shard_mono_ms(shard);
    if (is_satisfied(member, now_ms)) {
        int64_t due_ms =
            member->session_due_ms > now_ms ? member->session_due_ms : now_ms + member->session_timeout_ms;
        shard_timer_arm(shard, timer, due_ms); /* there is room: it was in the heap just now */
        return;
    }
    if (!classic__start_tick(member->group, member))
        shard_timer_arm(shard, timer, now_ms + RETRY_MS);
}

bool classic__begin_session(struct classic_member *member, int64_t timeout_ms)
{
    struct shard *shard = group_shard(member->group);
    member->session.fire = fire_session;
    member->session_due_ms = shard_mono_ms(shard) + timeout_ms;
    if (member->session.slot > 0 && member->session.due_ms <= member->session_due_ms)
        return true; /* it will look, and go on */
    return shard_timer_arm(shard, &member->session, member->session_due_ms);
}

void classic__touch(struct classic_member *member)
{
    classic__begin_session(member, member->session_timeout_ms);
}

void classic_touch(struct group *group, slice member_id)
{
    struct classic_member *member = classic__find(group->classic, member_id);
    if (member)
        classic__touch(member);
}

/* -- beginning and end ------------------------------------------------------------------------- */

void classic_loaded(struct group *group)
{
    struct classic_group *classic = group->classic;
    const struct config *config = group_config(group);
    classic->is_live = true;
    for (struct classic_member *member = classic->first; member; member = member->next)
        classic__touch(member); /* without memory for its timer it ends with the next rebalance */
    if (classic->member_count > config->group_max_size)
        classic__prepare_rebalance(classic); /* the setting is another one now: everybody may commit first */
}

void classic_rebalance(struct group *group)
{
    if (group->classic->first)
        classic__prepare_rebalance(group->classic);
}

static void stop_member(struct classic_member *member, int16_t error_code)
{
    classic__finish_join(member, error_code);
    classic__finish_sync(member, error_code);
    shard_timer_cancel(group_shard(member->group), &member->session);
}

void classic_stop(struct group *group, int16_t error_code)
{
    struct classic_group *classic = group->classic;
    shard_timer_cancel(group_shard(group), &classic->phase);
    classic__visit_all(classic, stop_member, error_code);
}
