/* How long a member of a consumer group may be silent, and how long it may keep what it is to give back. */
#include <stdlib.h>

#include "broker/group/consumer_internal.h"
#include "broker/server.h"
#include "protocol/base/note.h"

enum {
    RETRY_MS = 5000,        /* when a member could not be removed: no memory, a full disk */
    BUSY_INTERVAL_MS = 20,  /* of members of a group that moves, */
    BUSY_PER_MEMBER_MS = 1, /* and more for more of them: the group as a whole asks about so often */
    RECENT_MS = 3000,       /* a change is seldom alone: so long the group counts as moving after it */
    PATIENCE = 16,          /* while nothing moves: this part of the time for which nothing has */
};

static struct shard *shard_of(const struct consumer_member *member)
{
    return group_shard(member->group);
}

/* The group's own settings as they are now; NULL: it has none. Good until the end of the turn. */
static const struct group_config *own_config(const struct group *group)
{
    const struct image *image = controller_image(shard_server(group_shard(group))->controller);
    const struct resource_config *own = image_resource(image, CONFIG_RESOURCE_GROUP, group->id);
    return own ? &own->group : NULL;
}

/* A member may take its whole rebalance timeout to give something back: the others ask less often. */
static int32_t busy_interval_ms(const struct consumer_group *consumer, int64_t still_ms)
{
    int64_t busy_ms = BUSY_INTERVAL_MS + BUSY_PER_MEMBER_MS * (int64_t)consumer->member_count;
    int64_t patient_ms = still_ms < RECENT_MS ? 0 : still_ms / PATIENCE;
    int64_t interval_ms = patient_ms > busy_ms ? patient_ms : busy_ms;
    return interval_ms < INT32_MAX ? (int32_t)interval_ms : INT32_MAX;
}

int32_t consumer__heartbeat_interval_ms(struct consumer_group *consumer, bool has_to_act)
{
    const struct group_config *own = own_config(consumer->group);
    int32_t normal_ms = own ? own->consumer_heartbeat_interval_ms
                            : group_config(consumer->group)->group_consumer_heartbeat_interval_ms;
    int64_t now_ms = shard_mono_ms(group_shard(consumer->group));
    if (consumer->seen_epoch != consumer->epoch || consumer->seen_step_count != consumer->step_count) {
        consumer->seen_epoch = consumer->epoch;
        consumer->seen_step_count = consumer->step_count;
        consumer->changed_ms = now_ms;
    }
    int64_t still_ms = now_ms - consumer->changed_ms;
    bool is_unresolved = consumer__has_unresolved(consumer); /* for a second at most */
    bool is_moving = !consumer__is_settled(consumer) || still_ms < RECENT_MS || is_unresolved;
    int32_t busy_ms = busy_interval_ms(consumer, is_unresolved ? 0 : still_ms);
    return is_moving && !has_to_act && busy_ms < normal_ms ? busy_ms : normal_ms;
}

/* -- removing a member ------------------------------------------------------------------------- */

/* A deadline of a member has come; it is looked up when the op's turn comes. */
struct expiry {
    struct shard_op op; /* first */
    struct arena arena;
    bool is_session; /* else it kept partitions for too long */
    slice group_id;
    slice member_id;
};

static bool is_late(const struct consumer_member *member, bool is_session)
{
    int64_t now_ms = shard_mono_ms(shard_of(member));
    if (is_session)
        return member->session_due_ms <= now_ms;
    bool is_behind = member->facts.classic || (member->facts.state == MEMBER_UNREVOKED &&
                                               member->facts.epoch == member->rebalance_epoch);
    return is_behind && member->rebalance_due_ms <= now_ms;
}

static const struct consumer_member *find_late(const struct expiry *expiry, struct groups *groups)
{
    const struct group *group = groups_find(groups, expiry->group_id);
    if (!group || group->type != GROUP_CONSUMER)
        return NULL;
    const struct consumer_member *member = consumer__find(group->consumer, expiry->member_id);
    return member && is_late(member, expiry->is_session) ? member : NULL;
}

static void decide(struct shard_op *op, void *state)
{
    struct expiry *expiry = (struct expiry *)op;
    const struct consumer_member *member = find_late(expiry, state);
    if (!member)
        return;
    note_info("group.member_removed", "partition=%d reason=%s", shard_index(op->shard),
              expiry->is_session ? "session_timeout" : "rebalance_timeout");
    if (!consumer__add_departures(op, member->group->consumer, &member, 1))
        op->error_code = ERR_COORDINATOR_NOT_AVAILABLE;
}

static void apply(struct shard_op *op, void *state)
{
    struct expiry *expiry = (struct expiry *)op;
    consumer__apply_departure(groups_find(state, expiry->group_id));
}

/* Without the lock. */
static void finish(struct shard_op *op)
{
    struct expiry *expiry = (struct expiry *)op;
    arena_destroy(&expiry->arena);
    free(expiry);
}

static const struct shard_step expiry_step = { .decide = decide, .apply = apply, .finish = finish };

static void expire(struct consumer_member *member, bool is_session)
{
    struct expiry *expiry = calloc(1, sizeof *expiry);
    bool ok = expiry != NULL;
    if (!ok)
        return;
    arena_init(&expiry->arena, NULL);
    expiry->op = (struct shard_op){ .step = &expiry_step, .arena = &expiry->arena, .answer_offset = -1 };
    expiry->is_session = is_session;
    expiry->group_id = arena_copy(&expiry->arena, member->group->id, &ok);
    expiry->member_id = arena_copy(&expiry->arena, member->facts.member_id, &ok);
    if (ok)
        shard_start(shard_of(member), &expiry->op); /* may free the member */
    else
        finish(&expiry->op);
}

/* Armed again first: whatever keeps the member from going, it is tried again. */
static void fire_session(struct timer *timer)
{
    struct consumer_member *member =
        (struct consumer_member *)((char *)timer - offsetof(struct consumer_member, session));
    int64_t now_ms = shard_mono_ms(shard_of(member));
    if (member->session_due_ms > now_ms) {
        shard_timer_arm(shard_of(member), timer, member->session_due_ms);
        return;
    }
    shard_timer_arm(shard_of(member), timer, now_ms + RETRY_MS);
    expire(member, true);
}

static void fire_rebalance(struct timer *timer)
{
    struct consumer_member *member =
        (struct consumer_member *)((char *)timer - offsetof(struct consumer_member, rebalance));
    if (!is_late(member, false))
        return; /* it is in time; whatever begins next arms it anew */
    shard_timer_arm(shard_of(member), timer, shard_mono_ms(shard_of(member)) + RETRY_MS);
    expire(member, false);
}

/* -- deadlines --------------------------------------------------------------------------------- */

static int32_t session_timeout_ms(const struct consumer_member *member)
{
    if (member->facts.classic)
        return member->facts.classic->session_timeout_ms;
    const struct group_config *own = own_config(member->group);
    return own ? own->consumer_session_timeout_ms
               : group_config(member->group)->group_consumer_session_timeout_ms;
}

void consumer__begin_session(struct consumer_member *member)
{
    int64_t due_ms = shard_mono_ms(shard_of(member)) + session_timeout_ms(member);
    bool is_earlier = due_ms < member->session_due_ms;
    member->session_due_ms = due_ms;
    member->session.fire = fire_session;
    if (!member->session.slot || is_earlier)
        shard_timer_arm(shard_of(member), &member->session, due_ms);
}

void consumer__begin_step(struct consumer_member *member)
{
    member->rebalance.fire = fire_rebalance;
    member->rebalance_epoch = member->facts.epoch;
    member->rebalance_due_ms = shard_mono_ms(shard_of(member)) + member->facts.rebalance_timeout_ms;
    shard_timer_arm(shard_of(member), &member->rebalance, member->rebalance_due_ms);
}

bool consumer__is_in_step(const struct consumer_member *member)
{
    return member->rebalance.slot != 0;
}

void consumer__end_step(struct consumer_member *member)
{
    member->rebalance_due_ms = INT64_MAX;
    shard_timer_cancel(shard_of(member), &member->rebalance);
}

/* Members of the classic protocol begin and end their steps by what they say. */
void consumer__set_rebalance_timer(struct consumer_member *member)
{
    if (member->facts.classic)
        return;
    if (member->facts.state == MEMBER_UNREVOKED && member->facts.epoch >= 0)
        consumer__begin_step(member);
    else
        consumer__end_step(member);
}

void consumer__cancel_timers(struct consumer_member *member)
{
    if (member->session.slot)
        shard_timer_cancel(shard_of(member), &member->session);
    if (member->rebalance.slot)
        shard_timer_cancel(shard_of(member), &member->rebalance);
}

void consumer_loaded(struct group *group)
{
    for (struct consumer_member *member = group->consumer->first; member; member = member->next)
        if (member->is_member) {
            consumer__begin_session(member);
            consumer__set_rebalance_timer(member);
        }
}

void consumer_touch(struct group *group, slice member_id)
{
    (void)group;
    (void)member_id; /* only heartbeats count (Kafka) */
}

void consumer_stop(struct group *group, int16_t error_code)
{
    (void)error_code; /* nobody waits */
    for (struct consumer_member *member = group->consumer->first; member; member = member->next)
        consumer__cancel_timers(member);
}
