/* JoinGroup: a member comes into its group, or comes back. */
#include <stdio.h>

#include "broker/group/classic_internal.h"
#include "broker/group/consumer_classic.h"
#include "broker/server.h"
#include "protocol/base/bytes.h"

static struct classic_join *join_of(struct shard_op *op)
{
    return (struct classic_join *)((char *)op - offsetof(struct classic_join, op));
}

slice classic_new_member_id(struct request *rq, slice prefix)
{
    enum { TAIL_SIZE = 37 };
    uint8_t random[16];
    char *out = arena_alloc(&rq->arena, prefix.size + TAIL_SIZE + 1);
    if (!out)
        return SLICE_NULL;
    server_random(rq->server, random, sizeof random);
    random[6] = (uint8_t)((random[6] & 0x0f) | 0x40); /* version 4 */
    random[8] = (uint8_t)((random[8] & 0x3f) | 0x80);
    if (prefix.size > 0)
        memcpy(out, prefix.data, prefix.size);
    snprintf(out + prefix.size, TAIL_SIZE + 1, "-%08x-%04x-%04x-%04x-%04x%08x", load_be32(random),
             load_be16(random + 4), load_be16(random + 6), load_be16(random + 8), load_be16(random + 10),
             load_be32(random + 12));
    return slice_of((const uint8_t *)out, prefix.size + TAIL_SIZE);
}

/* -- what may come of it ----------------------------------------------------------------------- */

static enum classic_join_plan refuse(struct classic_join *join, int16_t error_code)
{
    join->op.error_code = error_code;
    return JOIN_REFUSE;
}

static bool is_member_id_given(const struct classic_join *join)
{
    return join->member_id.size > 0;
}

static slice id_of(const struct classic_join *join)
{
    return is_member_id_given(join) ? join->member_id : join->new_member_id;
}

/* What the member that joins counts against the limits. */
static size_t size_of(const struct classic_join *join)
{
    return classic__profile_size(id_of(join), join->instance_id, join->client_id, join->client_host,
                                 join->protocols, join->protocol_count);
}

/* Against memory that clients cause, whatever group.max.size says. */
static bool is_within_limits(const struct classic_join *join, const struct classic_group *classic,
                             const struct classic_member *known)
{
    size_t size = size_of(join), known_size = known ? known->profile->size : 0;
    return size <= GROUP_MEMBER_SIZE_MAX &&
           (!classic || classic->size - known_size + size <= GROUP_SIZE_MAX) && classic__may_hold(size);
}

/* group.max.size, as Kafka counts: in the join phase those who have come, after it the members. */
static bool is_accepted(const struct classic_join *join, const struct classic_group *classic,
                        const struct classic_member *known)
{
    int32_t size_max = group_config(classic->group)->group_max_size;
    if (size_max > GROUP_MEMBERS_MAX)
        size_max = GROUP_MEMBERS_MAX;
    (void)join;
    switch (classic->state) {
    case CLASSIC_EMPTY:
        return true;
    case CLASSIC_PREPARING:
        return (known && known->join) || classic->join_count < size_max;
    case CLASSIC_COMPLETING:
    case CLASSIC_STABLE:
        return known || classic->member_count < size_max;
    }
    return false;
}

static bool is_consistent(const struct classic_join *join, struct classic_group *classic)
{
    if (!classic || classic->state == CLASSIC_EMPTY)
        return join->protocol_type.size > 0 && join->protocol_count > 0;
    return slice_equal(classic__bytes_slice(classic->protocol_type), join->protocol_type) &&
           classic__supports(classic, join->protocols, join->protocol_count);
}

/* -- what apply will need ---------------------------------------------------------------------- */

static void free_fresh(struct classic_join *join)
{
    if (join->fresh)
        classic__member_free(join->fresh);
    classic__profile_drop(join->fresh_profile);
    classic__bytes_drop(&join->fresh_type);
    join->fresh = NULL;
    join->fresh_profile = NULL;
}

static bool make_profile(struct classic_join *join, slice member_id, int32_t protocol_count)
{
    join->fresh_profile = classic__profile_make(member_id, join->instance_id, join->client_id,
                                                join->client_host, join->protocols, protocol_count);
    return join->fresh_profile != NULL;
}

/* A member stays who it is, whoever now says what it brings. */
static bool make_update(struct classic_join *join, const struct classic_profile *old)
{
    if (classic__profile_matches(old, join->protocols, join->protocol_count))
        return true;
    join->fresh_profile = classic__profile_make(old->member_id, old->instance_id, old->client_id,
                                                old->client_host, join->protocols, join->protocol_count);
    return join->fresh_profile != NULL;
}

/* The group may not be there yet; apply sets it. */
static bool make_member(struct classic_join *join, int32_t protocol_count)
{
    if (!make_profile(join, id_of(join), protocol_count))
        return false;
    join->fresh = classic__member_make(NULL, join->fresh_profile);
    join->fresh_profile = NULL; /* the member's, or freed */
    if (!join->fresh)
        return false;
    join->fresh->session_timeout_ms = join->session_timeout_ms;
    join->fresh->rebalance_timeout_ms = join->rebalance_timeout_ms;
    return true;
}

/* -- decide ------------------------------------------------------------------------------------ */

static enum classic_join_plan plan_new_member(struct classic_join *join, struct classic_group *classic)
{
    if (!is_consistent(join, classic))
        return refuse(join, ERR_INCONSISTENT_GROUP_PROTOCOL);
    if (!slice_is_null(join->instance_id)) {
        join->member = classic ? classic__find_static(classic, join->instance_id) : NULL;
        return join->member ? JOIN_REPLACE : JOIN_ADD;
    }
    if (!join->requires_member_id)
        return JOIN_ADD;
    if (classic && classic->pending_count >= GROUP_PENDING_JOINS_MAX)
        return refuse(join, ERR_GROUP_MAX_SIZE_REACHED);
    return JOIN_PENDING;
}

static enum classic_join_plan plan_known_member(struct classic_join *join,
                                                const struct classic_group *classic,
                                                const struct classic_member *member)
{
    bool is_unchanged = classic__profile_matches(member->profile, join->protocols, join->protocol_count);
    switch (classic->state) {
    case CLASSIC_PREPARING:
        return JOIN_UPDATE;
    case CLASSIC_COMPLETING: /* unchanged: the answer to its join may have been lost */
        return is_unchanged ? JOIN_CURRENT : JOIN_UPDATE;
    case CLASSIC_STABLE: /* by joining again a leader asks for a new assignment */
        return is_unchanged && classic->leader != member ? JOIN_CURRENT : JOIN_UPDATE;
    case CLASSIC_EMPTY:
        break;
    }
    return refuse(join, ERR_UNKNOWN_MEMBER_ID);
}

static enum classic_join_plan plan_old_member(struct classic_join *join, struct classic_group *classic)
{
    if (!is_consistent(join, classic))
        return refuse(join, ERR_INCONSISTENT_GROUP_PROTOCOL);
    join->member = classic__find_pending(classic, join->member_id);
    if (join->member) /* no static member was ever pending */
        return slice_is_null(join->instance_id) ? JOIN_ADD : refuse(join, ERR_UNKNOWN_SERVER_ERROR);
    int16_t error_code = classic__check_member(classic, join->member_id, join->instance_id, &join->member);
    return error_code == ERR_NONE ? plan_known_member(join, classic, join->member) : refuse(join, error_code);
}

static enum classic_join_plan plan(struct classic_join *join, struct classic_group *classic)
{
    struct classic_member *known = classic ? classic__find(classic, join->member_id) : NULL;
    if (classic && !is_accepted(join, classic, known)) {
        join->member = known;
        return known ? JOIN_EXPEL : refuse(join, ERR_GROUP_MAX_SIZE_REACHED);
    }
    enum classic_join_plan plan =
        is_member_id_given(join) ? plan_old_member(join, classic) : plan_new_member(join, classic);
    if (plan != JOIN_REFUSE && plan != JOIN_CURRENT && !is_within_limits(join, classic, join->member))
        return refuse(join, ERR_GROUP_MAX_SIZE_REACHED);
    return plan;
}

/* Whatever may fail for want of memory is done before anything is written. */
static bool prepare(struct classic_join *join, const struct classic_group *classic)
{
    bool is_first = !classic || classic->member_count == 0;
    switch (join->plan) {
    case JOIN_ADD:
        if (is_first && !(join->fresh_type = classic__bytes_copy(join->protocol_type)))
            return false;
        return make_member(join, join->protocol_count);
    case JOIN_PENDING:
        return make_member(join, 0);
    case JOIN_REPLACE:
        return make_profile(join, join->new_member_id, join->protocol_count);
    case JOIN_UPDATE:
        return make_update(join, join->member->profile);
    case JOIN_REFUSE:
    case JOIN_CURRENT:
    case JOIN_EXPEL:
        break;
    }
    return true;
}

/* A static member that comes back finds the assignment it had, unless the protocol would be another one now.
 */
static void decide_replace(struct classic_join *join, struct group *group)
{
    struct classic_group *classic = group->classic;
    if (classic->state != CLASSIC_STABLE)
        return;
    slice selected = classic__select_protocol(classic, join->member, join->fresh_profile);
    join->is_kept_stable = slice_equal(selected, classic__bytes_slice(classic->protocol));
    if (join->is_kept_stable)
        classic__record_full(&join->op, group, false, join->member, join);
}

static void decide_create(struct classic_join *join, struct groups *groups)
{
    const struct group *old = groups_find(groups, join->group_id);
    if (join->plan == JOIN_REFUSE)
        return;
    if (!old && groups_are_full()) {
        join->plan = refuse(join, ERR_GROUP_MAX_SIZE_REACHED);
        return;
    }
    if (old)
        group_add_tombstones(&join->op, old); /* an empty group of the other type */
    classic__record_new(&join->op, join->group_id);
}

void classic_join_decide(struct shard_op *op, void *state)
{
    struct classic_join *join = join_of(op);
    free_fresh(join);
    join->member = NULL;
    join->is_kept_stable = false;
    join->plan = JOIN_REFUSE;
    join->modern = NULL;
    if (join->protocol_count >
        MEMBER_PROTOCOLS_MAX) { /* before they are compared with those of all members */
        op->error_code = ERR_GROUP_MAX_SIZE_REACHED;
        return;
    }
    struct group *group = groups_find(state, join->group_id);
    if (group && group->type == GROUP_CONSUMER && !group_is_empty(group)) {
        consumer_join_decide(join, group);
        return;
    }
    if (group && group->type != GROUP_CLASSIC)
        group = NULL; /* it is going to be made anew */
    if (!group && is_member_id_given(join)) {
        op->error_code = ERR_UNKNOWN_MEMBER_ID;
        return;
    }
    struct classic_group *classic = group ? group->classic : NULL;
    join->plan = plan(join, classic);
    if (!group)
        decide_create(join, state);
    if (!prepare(join, classic)) {
        op->error_code = ERR_COORDINATOR_NOT_AVAILABLE; /* no memory */
        return;
    }
    if (join->plan == JOIN_REPLACE)
        decide_replace(join, group);
}

/* -- apply ------------------------------------------------------------------------------------- */

static void wait_for_join(struct classic_join *join, struct classic_member *member)
{
    classic__finish_join(member, ERR_REBALANCE_IN_PROGRESS); /* of a connection that it has given up */
    member->join = &join->op;
    member->group->classic->join_count++;
    join->member = member;
    join->op.is_waiting = true;
}

static void add_pending(struct classic_join *join, struct classic_group *classic)
{
    struct classic_member *member = join->fresh;
    if (!classic__begin_session(member, join->session_timeout_ms)) {
        join->op.error_code = ERR_COORDINATOR_NOT_AVAILABLE;
        return;
    }
    join->fresh = NULL;
    classic__add_pending(classic, member);
    join->answer_member_id = join->new_member_id;
    join->op.error_code = ERR_MEMBER_ID_REQUIRED;
}

static void add(struct classic_join *join, struct classic_group *classic)
{
    struct classic_member *member = join->fresh;
    /* It cannot heartbeat before it has its id, and its connection may be gone without our knowing. */
    if (!classic__begin_session(member, NEW_MEMBER_TIMEOUT_MS)) {
        join->op.error_code = ERR_COORDINATOR_NOT_AVAILABLE;
        return;
    }
    join->fresh = NULL;
    member->is_new = true;
    if (join->member)
        classic__take_out(classic, join->member); /* it was pending */
    if (join->fresh_type) {
        classic__bytes_drop(&classic->protocol_type);
        classic->protocol_type = join->fresh_type;
        join->fresh_type = NULL;
    }
    if (classic->state == CLASSIC_PREPARING && classic->is_initial)
        classic->newcomer_ms = shard_mono_ms(group_shard(classic->group));
    classic__add(classic, member);
    wait_for_join(join, member);
    classic__advance(classic);
}

static void update_timeouts(const struct classic_join *join, struct classic_member *member)
{
    member->session_timeout_ms = join->session_timeout_ms;
    member->rebalance_timeout_ms = join->rebalance_timeout_ms;
}

static void update(struct classic_join *join, struct classic_group *classic)
{
    struct classic_member *member = join->member;
    if (join->fresh_profile)
        classic__set_profile(classic, member, join->fresh_profile);
    join->fresh_profile = NULL;
    update_timeouts(join, member);
    wait_for_join(join, member);
    classic__advance(classic);
}

static void tell_current(struct classic_join *join, struct classic_group *classic,
                         struct classic_profile *leader, bool has_roster)
{
    struct classic_roster *roster = has_roster ? classic__roster_make(classic) : NULL;
    if (has_roster && !roster)
        join->op.error_code = ERR_COORDINATOR_NOT_AVAILABLE;
    else
        classic__tell_generation(classic, join, leader, roster);
}

static struct classic_profile *leader_profile(const struct classic_group *classic)
{
    return classic->leader ? classic->leader->profile : NULL;
}

/* Below v9 the leader would assign when it reads that it leads: it is told that its old self does. */
static void tell_kept(struct classic_join *join, struct classic_group *classic,
                      struct classic_profile *old_leader)
{
    bool is_leader = join->may_skip_assignment && classic->leader == join->member;
    tell_current(join, classic, join->may_skip_assignment ? leader_profile(classic) : old_leader, is_leader);
    join->is_assignment_skipped = is_leader;
}

static void replace(struct classic_join *join, struct classic_group *classic)
{
    struct classic_member *member = join->member;
    struct classic_profile *old_leader = leader_profile(classic);
    if (old_leader)
        pin_take(&old_leader->pin);
    classic__finish_join(member, ERR_FENCED_INSTANCE_ID);
    classic__finish_sync(member, ERR_FENCED_INSTANCE_ID);
    classic__rename(classic, member, join->fresh_profile);
    join->fresh_profile = NULL;
    update_timeouts(join, member);
    member->is_new = false;
    classic__touch(member);
    if (join->is_kept_stable) {
        tell_kept(join, classic, old_leader);
    } else {
        wait_for_join(join, member);
        classic__advance(classic);
    }
    classic__profile_drop(old_leader);
}

void classic_join_apply(struct shard_op *op, void *state)
{
    struct classic_join *join = join_of(op);
    if (join->modern) {
        consumer_join_apply(join, state);
        return;
    }
    struct group *group = groups_find(state, join->group_id);
    struct classic_group *classic = group->classic;
    classic->is_live = true;
    join->group = group;
    join->answer_member_id = SLICE_NULL;
    if (join->fresh)
        join->fresh->group = group;
    switch (join->plan) {
    case JOIN_PENDING:
        add_pending(join, classic);
        break;
    case JOIN_ADD:
        add(join, classic);
        break;
    case JOIN_REPLACE:
        replace(join, classic);
        break;
    case JOIN_UPDATE:
        update(join, classic);
        break;
    case JOIN_CURRENT:
        classic__touch(join->member);
        tell_current(join, classic, leader_profile(classic),
                     classic->leader == join->member && classic->state == CLASSIC_COMPLETING);
        break;
    case JOIN_EXPEL:
        classic__remove(classic, join->member);
        op->error_code = ERR_GROUP_MAX_SIZE_REACHED;
        classic__complete_if_joined(classic);
        break;
    case JOIN_REFUSE:
        break;
    }
}

/* -- afterwards -------------------------------------------------------------------------------- */

void classic_join_cancel(struct shard_op *op, void *state)
{
    struct classic_member *member = join_of(op)->member;
    (void)state;
    member->join = NULL;
    member->group->classic->join_count--;
}

void classic__keep(struct shard_op *op, struct pin *pin)
{
    if (!pin)
        return;
    if (!arena_pin(op->arena, pin))
        op->error_code = ERR_COORDINATOR_NOT_AVAILABLE; /* no memory */
    pin_drop(pin);
}

void classic_join_take(struct shard_op *op)
{
    struct classic_join *join = join_of(op);
    free_fresh(join);
    classic__keep(op, join->answer_type ? &join->answer_type->pin : NULL);
    classic__keep(op, join->answer_protocol ? &join->answer_protocol->pin : NULL);
    classic__keep(op, join->leader ? &join->leader->pin : NULL);
    classic__keep(op, join->roster ? &join->roster->pin : NULL);
}

void classic_join_fill(const struct classic_join *join, struct join_group_response *out)
{
    if (join->modern) {
        consumer_join_fill(join, out);
        return;
    }
    out->member_id = slice_is_null(join->answer_member_id) ? id_of(join) : join->answer_member_id;
    out->generation_id = join->generation;
    out->protocol_type = classic__bytes_slice(join->answer_type);
    out->protocol_name = classic__bytes_slice(join->answer_protocol);
    out->leader = join->leader ? join->leader->member_id : SLICE_LITERAL("");
    out->skip_assignment = join->is_assignment_skipped;
    if (join->roster) {
        out->members = join->roster->members;
        out->members_count = (int32_t)join->roster->count;
    }
}
