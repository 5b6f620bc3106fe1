/* Offsets that go by themselves: past their retention while nobody uses them (KIP-211), or of topics that are
 * gone. */
#include <stdlib.h>

#include "broker/group/classic.h"
#include "broker/group/offsets.h"
#include "broker/server.h"

enum { MS_PER_MINUTE = 60000 };

/* A sweep over the groups of a shard. One append takes some tombstones; what is left goes with the next. */
struct sweep {
    struct shard_op op; /* first */
    struct arena arena;
    bool has_more;
};

/* What holds for one group. */
struct retention {
    struct sweep *sweep;
    const struct group *group;
    const struct image *image;
    int64_t now_ms;
    int64_t retention_ms;
    int64_t since_ms; /* the group's own clock; -1: each offset's commit */
    bool keeps_all;   /* it has members, and no word of what they read */
    bool keeps_subscribed;
    size_t left_count;
    /* The topic that the walk is in, looked up once: a sweep holds the lock. */
    const uint8_t *topic_name; /* NULL: none yet */
    const struct topic *topic; /* NULL: it is gone */
    bool is_kept;              /* the group reads it, or may do so */
};

/* Kafka: an empty group counts from when it became so; a simple one, and a living one for what it does not
 * read any more, from the commit. */
static void set_rule(struct retention *retention)
{
    const struct group *group = retention->group;
    retention->since_ms = -1;
    retention->keeps_all = retention->keeps_subscribed = false;
    if (group->type == GROUP_CONSUMER) {
        retention->keeps_subscribed = true;
        return;
    }
    slice type = classic_protocol_type(group->classic);
    if (classic_is_empty(group->classic)) {
        if (type.size > 0)
            retention->since_ms = classic_state_since_ms(group->classic);
        return;
    }
    retention->keeps_subscribed = true;
    retention->keeps_all =
        !slice_equal_string(type, "consumer") || strcmp(classic_state_name(group->classic), "Stable") != 0;
}

static void look_at_topic(struct retention *retention, slice name)
{
    retention->topic_name = name.data;
    retention->topic = image_topic_by_name(retention->image, name);
    retention->is_kept =
        retention->keeps_all || (retention->keeps_subscribed && group_is_subscribed(retention->group, name));
}

static bool is_of_lost_topic(const struct retention *retention, const struct stored_offset *stored)
{
    const struct topic *topic = retention->topic;
    return !topic || (!uuid_is_zero(stored->topic_id) && !uuid_equal(topic->id, stored->topic_id));
}

static bool has_expired(const struct retention *retention, const struct stored_offset *stored)
{
    if (is_of_lost_topic(retention, stored))
        return true;
    if (retention->is_kept)
        return false;
    if (stored->expire_ms != -1)
        return retention->now_ms >= stored->expire_ms;
    int64_t since_ms = retention->since_ms >= 0 ? retention->since_ms : stored->commit_ms;
    return since_ms <= retention->now_ms - retention->retention_ms;
}

static void look_at_offset(void *context, slice topic, const struct stored_offset *stored)
{
    struct retention *retention = context;
    struct shard_op *op = &retention->sweep->op;
    if (retention->topic_name != topic.data)
        look_at_topic(retention, topic);
    if (!has_expired(retention, stored) ||
        group_offsets_is_pending(retention->group, topic, stored->partition)) {
        retention->left_count++;
    } else if (shard_op_is_full(op)) {
        retention->left_count++;
        retention->sweep->has_more = true;
    } else {
        group_offsets_add_tombstone(op, retention->group, topic, stored->partition);
    }
}

static void look_at_group(void *context, struct group *group)
{
    struct retention *retention = context;
    retention->group = group;
    retention->left_count = 0;
    retention->topic_name = NULL;
    set_rule(retention);
    group_offsets_visit(group, look_at_offset, retention);
    if (retention->left_count > 0 || group_offsets_has_pending(group) || !group_is_empty(group))
        return;
    if (shard_op_is_full(&retention->sweep->op))
        retention->sweep->has_more = true;
    else
        group_add_tombstones(&retention->sweep->op, group);
}

static void decide(struct shard_op *op, void *state)
{
    struct sweep *sweep = (struct sweep *)op;
    const struct server *server = shard_server(op->shard);
    struct retention retention = { .sweep = sweep,
                                   .image = controller_image(server->controller),
                                   .now_ms = shard_wall_ms(op->shard),
                                   .retention_ms =
                                       (int64_t)server->config->offsets_retention_minutes * MS_PER_MINUTE };
    sweep->has_more = false;
    groups_visit(state, look_at_group, &retention);
}

static void begin(struct offset_expiry *expiry, int64_t after_ms);

static void apply(struct shard_op *op, void *state)
{
    struct offset_expiry *expiry =
        groups_expiry(state); /* not the one that began it, if the shard was loaded anew */
    if (((struct sweep *)op)->has_more) {
        offset_expiry_stop(expiry);
        begin(expiry, 0);
    }
}

/* Without the lock. */
static void finish(struct shard_op *op)
{
    struct sweep *sweep = (struct sweep *)op;
    arena_destroy(&sweep->arena);
    free(sweep);
}

static const struct shard_step sweep_step = { .decide = decide, .apply = apply, .finish = finish };

static void fire(struct timer *timer)
{
    struct offset_expiry *expiry =
        (struct offset_expiry *)((char *)timer - offsetof(struct offset_expiry, timer));
    struct sweep *sweep = calloc(1, sizeof *sweep);
    expiry->is_running = false;
    offset_expiry_begin(expiry);
    if (!sweep)
        return;
    arena_init(&sweep->arena, NULL);
    sweep->op = (struct shard_op){ .step = &sweep_step, .arena = &sweep->arena, .answer_offset = -1 };
    shard_start(groups_shard(expiry->groups), &sweep->op);
}

static void begin(struct offset_expiry *expiry, int64_t after_ms)
{
    struct shard *shard = groups_shard(expiry->groups);
    if (expiry->is_running || groups_count(expiry->groups) == 0)
        return;
    expiry->timer.fire = fire;
    expiry->is_running = shard_timer_arm(shard, &expiry->timer, shard_mono_ms(shard) + after_ms);
}

void offset_expiry_begin(struct offset_expiry *expiry)
{
    const struct server *server = shard_server(groups_shard(expiry->groups));
    begin(expiry, server->config->offsets_retention_check_interval_ms);
}

void offset_expiry_stop(struct offset_expiry *expiry)
{
    if (expiry->is_running)
        shard_timer_cancel(groups_shard(expiry->groups), &expiry->timer);
    expiry->is_running = false;
}
