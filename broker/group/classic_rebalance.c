/* From one generation of a classic group to the next: all join, a leader and a protocol are chosen, all are
 * told. */
#include <stdlib.h>

#include "broker/group/classic_internal.h"
#include "protocol/base/check.h"

/* -- phases ------------------------------------------------------------------------------------ */

void classic__change_state(struct classic_group *classic, enum classic_state state)
{
    classic->state = state;
    classic->state_since_ms = shard_wall_ms(group_shard(classic->group));
}

void classic__fire_phase(struct timer *timer)
{
    struct classic_group *classic =
        (struct classic_group *)((char *)timer - offsetof(struct classic_group, phase));
    struct shard *shard = group_shard(classic->group);
    if (!classic__start_tick(classic->group, NULL))
        shard_timer_arm(shard, timer, shard_mono_ms(shard) + RETRY_MS);
}

/* Without memory for the timer the sessions of those who are silent end the phase. */
void classic__arm_phase(struct classic_group *classic, int64_t in_ms)
{
    struct shard *shard = group_shard(classic->group);
    classic->phase_serial++;
    if (in_ms < 0)
        shard_timer_cancel(shard, &classic->phase);
    else
        shard_timer_arm(shard, &classic->phase, shard_mono_ms(shard) + in_ms);
}

int32_t classic__rebalance_timeout_ms(const struct classic_group *classic)
{
    int32_t longest_ms = 0;
    for (const struct classic_member *member = classic->first; member; member = member->next)
        if (member->rebalance_timeout_ms > longest_ms)
            longest_ms = member->rebalance_timeout_ms;
    return longest_ms;
}

/* -- what the leader is told ------------------------------------------------------------------- */

static void release_roster(struct pin *pin)
{
    struct classic_roster *roster =
        (struct classic_roster *)((char *)pin - offsetof(struct classic_roster, pin));
    for (size_t i = 0; i < roster->count; i++)
        classic__profile_drop(roster->profiles[i]);
    free(roster->profiles);
    free(roster);
}

struct classic_roster *classic__roster_make(const struct classic_group *classic)
{
    size_t count = (size_t)classic->member_count;
    struct classic_roster *roster = malloc(sizeof *roster + count * sizeof roster->members[0]);
    struct classic_profile **profiles = malloc((count + 1) * sizeof(struct classic_profile *));
    if (!roster || !profiles) {
        free(roster);
        free(profiles);
        return NULL;
    }
    slice protocol = classic__bytes_slice(classic->protocol);
    pin_init(&roster->pin, release_roster);
    roster->count = 0;
    roster->profiles = profiles;
    for (const struct classic_member *member = classic->first; member; member = member->next) {
        struct join_group_response_member *out = &roster->members[roster->count];
        struct classic_profile *profile = member->profile;
        join_group_response_member_init(out);
        out->member_id = profile->member_id;
        out->group_instance_id = profile->instance_id;
        out->metadata = classic__profile_metadata(profile, protocol);
        pin_take(&profile->pin);
        profiles[roster->count++] = profile;
    }
    return roster;
}

static struct classic_bytes *hold_bytes(struct classic_bytes *bytes)
{
    if (bytes)
        pin_take(&bytes->pin);
    return bytes;
}

void classic__tell_generation(const struct classic_group *classic, struct classic_join *join,
                              struct classic_profile *leader, struct classic_roster *roster)
{
    join->generation = classic->generation;
    join->answer_type = hold_bytes(classic->protocol_type);
    join->answer_protocol = hold_bytes(classic->protocol);
    join->leader = leader;
    if (leader)
        pin_take(&leader->pin);
    join->roster = roster;
    join->op.answer_offset = classic->group->state_offset;
}

/* -- the sync phase ---------------------------------------------------------------------------- */

void classic__clear_syncs(struct classic_group *classic)
{
    for (struct classic_member *member = classic->first; member && classic->sync_pending_count > 0;
         member = member->next) {
        classic->sync_pending_count -= member->is_sync_pending;
        member->is_sync_pending = false;
    }
}

static void tell_member(struct classic_group *classic, struct classic_member *member)
{
    if (!member->join)
        return;
    struct classic_join *join =
        (struct classic_join *)((char *)member->join - offsetof(struct classic_join, op));
    bool is_leader = member == classic->leader;
    struct classic_roster *roster = is_leader ? classic__roster_make(classic) : NULL;
    if (is_leader && !roster) {
        classic__finish_join(member, ERR_COORDINATOR_NOT_AVAILABLE); /* it asks again */
        return;
    }
    join->answer_member_id = SLICE_NULL; /* its own */
    classic__tell_generation(classic, join, classic->leader->profile, roster);
    classic__finish_join(member, ERR_NONE);
}

static void begin_sync(struct classic_group *classic, struct classic_bytes *protocol)
{
    classic__bytes_drop(&classic->protocol);
    classic->protocol = protocol;
    classic->generation = classic__next_generation(classic);
    classic__forget_topics(classic);
    classic__change_state(classic, CLASSIC_COMPLETING);
    for (struct classic_member *member = classic->first; member; member = member->next) {
        tell_member(classic, member);
        member->is_new = false;
        member->is_sync_pending = true;
        classic__touch(member);
    }
    classic->sync_pending_count = classic->member_count;
    classic__arm_phase(classic, classic__rebalance_timeout_ms(classic));
}

/* -- the end of the join phase ----------------------------------------------------------------- */

bool classic__all_joined(const struct classic_group *classic)
{
    return classic->member_count == classic->join_count && classic->pending_count == 0;
}

/* Static members keep their place until their session ends. */
static void remove_absent(struct classic_group *classic)
{
    for (struct classic_member *next, *member = classic->first; member; member = next) {
        next = member->next;
        if (!member->join && slice_is_null(member->profile->instance_id))
            classic__remove(classic, member);
    }
}

/* False: nobody has joined. */
static bool elect(struct classic_group *classic)
{
    if (classic->leader && classic->leader->join)
        return true;
    for (struct classic_member *member = classic->first; member; member = member->next)
        if (member->join) {
            classic->leader = member;
            return true;
        }
    return false;
}

static void become_empty(struct classic_group *classic)
{
    check(classic->is_emptied); /* the record came first, and with it the generation */
    classic->is_emptied = false;
    classic->leader = NULL;
    classic__bytes_drop(&classic->protocol);
    classic__bytes_drop(&classic->assignments);
    classic__change_state(classic, CLASSIC_EMPTY);
}

void classic__complete_join(struct classic_group *classic)
{
    classic__arm_phase(classic, -1);
    remove_absent(classic);
    if (!classic->first) {
        become_empty(classic);
        return;
    }
    if (!elect(classic)) {
        classic__arm_phase(classic, classic__rebalance_timeout_ms(classic)); /* until their sessions end */
        return;
    }
    struct classic_bytes *protocol = classic__bytes_copy(classic__select_protocol(classic, NULL, NULL));
    if (!protocol)
        classic__arm_phase(classic, RETRY_MS);
    else
        begin_sync(classic, protocol);
}

/* -- its beginning ----------------------------------------------------------------------------- */

/* All sync anew, and have nothing until then. */
static void reset_assignments(struct classic_group *classic)
{
    for (struct classic_member *member = classic->first; member; member = member->next) {
        member->assignment = SLICE_LITERAL("");
        if (member->sync) {
            classic__finish_sync(member, ERR_REBALANCE_IN_PROGRESS);
            classic__touch(member);
        }
    }
    classic__bytes_drop(&classic->assignments);
}

static void begin_initial(struct classic_group *classic)
{
    int32_t delay_ms = group_config(classic->group)->group_initial_rebalance_delay_ms;
    int32_t timeout_ms = classic__rebalance_timeout_ms(classic);
    int64_t now_ms = shard_mono_ms(group_shard(classic->group));
    classic->is_initial = true;
    classic->newcomer_ms = now_ms;
    classic->initial_end_ms = now_ms + (timeout_ms > delay_ms ? timeout_ms : delay_ms);
    if (delay_ms > 0)
        classic__arm_phase(classic, delay_ms);
    else
        classic__complete_join(classic);
}

void classic__prepare_rebalance(struct classic_group *classic)
{
    bool is_initial = classic->state == CLASSIC_EMPTY;
    if (classic->state == CLASSIC_COMPLETING)
        reset_assignments(classic);
    classic__clear_syncs(classic);
    classic__change_state(classic, CLASSIC_PREPARING);
    if (is_initial) {
        begin_initial(classic);
        return;
    }
    classic->is_initial = false;
    if (classic__all_joined(classic))
        classic__complete_join(classic);
    else
        classic__arm_phase(classic, classic__rebalance_timeout_ms(classic));
}

void classic__complete_if_joined(struct classic_group *classic)
{
    if (classic->state == CLASSIC_PREPARING && !classic->is_initial && classic__all_joined(classic))
        classic__complete_join(classic);
}

void classic__advance(struct classic_group *classic)
{
    if (classic->state == CLASSIC_PREPARING)
        classic__complete_if_joined(classic);
    else
        classic__prepare_rebalance(classic);
}
