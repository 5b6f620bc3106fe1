/* Members of the classic protocol in a consumer group. */
#include "broker/group/consumer_classic.h"

#include "broker/group/consumer_internal.h"
#include "broker/group/consumer_ops.h"
#include "broker/group/embedded.h"
#include "broker/server.h"
#include "protocol/base/check.h"

static slice group_protocol_type(void)
{
    return SLICE_LITERAL("consumer");
}

/* The one that a join was answered with. */
static slice protocol_of(const struct member_facts *facts)
{
    return facts->classic->protocol_count > 0 ? facts->classic->protocols[0].name : SLICE_LITERAL("");
}

/* -- joining ----------------------------------------------------------------------------------- */

/* A JoinGroup, as a heartbeat. In the arena. */
struct consumer_join {
    struct consumer_heartbeat heartbeat;
    struct consumer_group_heartbeat_request request;
    struct classic_facts classic;
    /* The answer. */
    int32_t generation;
    slice protocol;
};

/* Every member of the classic protocol has one of these. */
static bool is_supported(const struct consumer_group *consumer, const struct classic_join *join)
{
    if (!slice_equal(join->protocol_type, group_protocol_type()))
        return false;
    for (int32_t p = 0; p < join->protocol_count; p++) {
        int32_t supporters = 0;
        for (const struct consumer_member *member = consumer->first; member; member = member->next) {
            const struct classic_facts *classic = member->facts.classic;
            bool has_it = false;
            for (int32_t i = 0; classic && i < classic->protocol_count && !has_it; i++)
                has_it = slice_equal(classic->protocols[i].name, join->protocols[p].name);
            supporters += has_it;
        }
        if (supporters == consumer->classic_count)
            return true;
    }
    return false;
}

static bool fill_owned(struct arena *arena, const struct partition_set *owned,
                       struct consumer_group_heartbeat_request *out)
{
    out->topic_partitions =
        arena_alloc_array(arena, (size_t)owned->topic_count, sizeof *out->topic_partitions);
    if (!out->topic_partitions)
        return false;
    for (int32_t t = 0; t < owned->topic_count; t++) {
        out->topic_partitions[t].topic_id = owned->topics[t].id;
        out->topic_partitions[t].partitions = (int32_t *)owned->topics[t].partitions;
        out->topic_partitions[t].partitions_count = owned->topics[t].count;
    }
    out->topic_partitions_count = owned->topic_count;
    return true;
}

static bool fill_classic(const struct classic_join *join, struct consumer_join *out)
{
    struct consumer_group_member_metadata_value_protocol *protocols =
        arena_alloc_array(join->op.arena, (size_t)join->protocol_count, sizeof *protocols);
    if (!protocols)
        return false;
    for (int32_t p = 0; p < join->protocol_count; p++) {
        protocols[p].name = join->protocols[p].name;
        protocols[p].metadata = join->protocols[p].metadata;
    }
    out->classic = (struct classic_facts){ join->session_timeout_ms, join->protocol_count, protocols };
    return true;
}

/* ERR_NONE, or why it cannot be one. */
static int16_t make_request(const struct classic_join *join, struct consumer_join *out)
{
    struct arena *arena = join->op.arena;
    struct consumer_group_heartbeat_request *request = &out->request;
    struct embedded_subscription subscription;
    bool knows_id = join->member_id.size > 0;
    enum embedded_status status =
        embedded_read_subscription(arena, controller_image(shard_server(join->op.shard)->controller),
                                   join->protocols[0].metadata, &subscription);
    if (status == EMBEDDED_MALFORMED)
        return ERR_UNKNOWN_SERVER_ERROR; /* Kafka: an illegal state */
    consumer_group_heartbeat_request_init(request);
    if (status != EMBEDDED_OK || !fill_owned(arena, subscription.owned, request) || !fill_classic(join, out))
        return ERR_COORDINATOR_NOT_AVAILABLE;
    request->group_id = join->group_id;
    request->member_id = knows_id ? join->member_id : join->new_member_id;
    request->instance_id = join->instance_id;
    request->rack_id = subscription.rack_id.size > 0 ? subscription.rack_id : SLICE_NULL;
    request->rebalance_timeout_ms = join->rebalance_timeout_ms;
    request->subscribed_topic_names = subscription.topics;
    request->subscribed_topic_names_count = subscription.topic_count;
    out->heartbeat = (struct consumer_heartbeat){ .in = request,
                                                  .client_id = join->client_id,
                                                  .client_host = join->client_host,
                                                  .member_id = request->member_id,
                                                  .classic = &out->classic,
                                                  .knows_id = knows_id };
    return ERR_NONE;
}

void consumer_join_decide(struct classic_join *join, struct group *group)
{
    struct shard_op *op = &join->op;
    join->modern = NULL;
    if (join->protocol_count == 0 || !is_supported(group->consumer, join)) {
        op->error_code = ERR_INCONSISTENT_GROUP_PROTOCOL;
        return;
    }
    if (join->requires_member_id && join->member_id.size == 0 && slice_is_null(join->instance_id)) {
        join->answer_member_id = join->new_member_id;
        op->error_code = ERR_MEMBER_ID_REQUIRED;
        return;
    }
    struct consumer_join *modern = arena_alloc_array(op->arena, 1, sizeof *modern);
    op->error_code = modern ? make_request(join, modern) : (int16_t)ERR_COORDINATOR_NOT_AVAILABLE;
    if (op->error_code != ERR_NONE)
        return;
    modern->heartbeat.on = op;
    join->modern = modern;
    consumer__decide_beat(&modern->heartbeat, group->all);
}

void consumer_join_apply(struct classic_join *join, struct groups *groups)
{
    struct consumer_join *modern = join->modern;
    struct group *group = groups_find(groups, join->group_id);
    check(group && group->type == GROUP_CONSUMER);
    struct consumer_member *member = consumer__apply_beat(&modern->heartbeat, group);
    consumer__begin_step(member); /* to sync */
    modern->generation = member->facts.epoch;
    modern->protocol = join->protocols[0].name;
}

void consumer_join_fill(const struct classic_join *join, struct join_group_response *out)
{
    const struct consumer_join *modern = join->modern;
    out->member_id = modern->heartbeat.member_id;
    out->generation_id = modern->generation;
    out->protocol_type = group_protocol_type();
    out->protocol_name = modern->protocol;
    out->leader = SLICE_LITERAL("");
}

/* -- who it is --------------------------------------------------------------------------------- */

static int16_t find_member(const struct consumer_group *consumer, slice member_id, slice instance_id,
                           struct consumer_member **out)
{
    if (slice_is_null(instance_id)) {
        *out = consumer__find(consumer, member_id);
        return *out ? ERR_NONE : ERR_UNKNOWN_MEMBER_ID;
    }
    *out = consumer__find_static(consumer, instance_id);
    if (!*out)
        return ERR_UNKNOWN_MEMBER_ID;
    return slice_equal((*out)->facts.member_id, member_id) ? ERR_NONE : ERR_FENCED_INSTANCE_ID;
}

static int16_t find_classic(const struct consumer_group *consumer, slice member_id, slice instance_id,
                            int32_t generation, struct consumer_member **out)
{
    int16_t error_code = find_member(consumer, member_id, instance_id, out);
    if (error_code != ERR_NONE)
        return error_code;
    if (!(*out)->facts.classic)
        return ERR_UNKNOWN_MEMBER_ID;
    return (*out)->facts.epoch == generation ? ERR_NONE : ERR_ILLEGAL_GENERATION;
}

/* -- syncing ----------------------------------------------------------------------------------- */

void consumer_sync_decide(struct classic_sync *sync, const struct group *group)
{
    const struct sync_group_request *in = sync->in;
    struct consumer_member *member;
    struct shard_op *op = &sync->op;
    sync->is_modern = true;
    op->answer_offset = group->state_offset;
    op->error_code =
        find_classic(group->consumer, in->member_id, in->group_instance_id, in->generation_id, &member);
    if (op->error_code != ERR_NONE)
        return;
    if ((!slice_is_null(in->protocol_type) && !slice_equal(in->protocol_type, group_protocol_type())) ||
        (!slice_is_null(in->protocol_name) && !slice_equal(in->protocol_name, protocol_of(&member->facts))))
        op->error_code = ERR_INCONSISTENT_GROUP_PROTOCOL;
    else if (group->consumer->epoch != member->facts.epoch && member->facts.state != MEMBER_UNREVOKED)
        op->error_code = ERR_REBALANCE_IN_PROGRESS;
}

/* In the bytes of the consumer protocol's version that its subscription has. */
void consumer_sync_apply(struct classic_sync *sync, struct group *group)
{
    enum { VERSION_SIZE = 2 };
    struct shard_op *op = &sync->op;
    struct consumer_member *member;
    check(find_member(group->consumer, sync->in->member_id, sync->in->group_instance_id, &member) ==
          ERR_NONE);
    slice subscription = member->facts.classic->protocols[0].metadata;
    int16_t version =
        subscription.size >= VERSION_SIZE ? (int16_t)(subscription.data[0] << 8 | subscription.data[1]) : 0;
    consumer__begin_session(member);
    consumer__end_step(member);
    sync->assignment = embedded_write_assignment(
        op->arena, controller_image(shard_server(op->shard)->controller), member->facts.assigned, version);
    if (slice_is_null(sync->assignment))
        op->error_code = ERR_COORDINATOR_NOT_AVAILABLE;
}

/* -- being alive ------------------------------------------------------------------------------- */

/* Somebody else has still what it shall have. */
static bool waits_for_others(const struct consumer_group *consumer, const struct consumer_member *member)
{
    const struct partition_set *target = member->target;
    for (int32_t t = 0; t < target->topic_count; t++)
        for (int32_t p = 0; p < target->topics[t].count; p++) {
            uuid id = target->topics[t].id;
            int32_t partition = target->topics[t].partitions[p];
            if (!partition_set_has(member->facts.assigned, id, partition) &&
                consumer__owner(consumer, id, partition))
                return true;
        }
    return false;
}

void consumer_alive_decide(struct classic_heartbeat *heartbeat, struct group *group)
{
    struct consumer_member *member;
    heartbeat->group = group;
    heartbeat->op.error_code = consumer__know_owners(group->consumer)
                                   ? find_classic(group->consumer, heartbeat->member_id,
                                                  heartbeat->instance_id, heartbeat->generation, &member)
                                   : (int16_t)ERR_COORDINATOR_NOT_AVAILABLE;
}

void consumer_alive_apply(struct classic_heartbeat *heartbeat, struct group *group)
{
    struct consumer_group *consumer = group->consumer;
    struct consumer_member *member;
    check(find_member(consumer, heartbeat->member_id, heartbeat->instance_id, &member) == ERR_NONE);
    consumer__begin_session(member);
    bool must_join = member->facts.epoch != consumer->epoch || member->facts.state == MEMBER_UNREVOKED ||
                     (member->facts.state == MEMBER_UNRELEASED && !waits_for_others(consumer, member));
    if (!must_join)
        return;
    heartbeat->op.error_code = ERR_REBALANCE_IN_PROGRESS;
    if (!consumer__is_in_step(member))
        consumer__begin_step(member);
}

/* -- leaving ----------------------------------------------------------------------------------- */

static int16_t find_leaver(const struct consumer_group *consumer, const struct classic_leaver *leaver,
                           struct consumer_member **out)
{
    if (leaver->member_id.size > 0 || slice_is_null(leaver->instance_id))
        return find_member(consumer, leaver->member_id, leaver->instance_id, out);
    *out = consumer__find_static(consumer, leaver->instance_id); /* an administrator sends it away */
    return *out ? ERR_NONE : ERR_UNKNOWN_MEMBER_ID;
}

static bool is_among(const struct consumer_member *const *members, int32_t count,
                     const struct consumer_member *member)
{
    for (int32_t i = 0; i < count; i++)
        if (members[i] == member)
            return true;
    return false;
}

void consumer_leave_decide(struct classic_leave *leave, const struct group *group)
{
    struct shard_op *op = &leave->op;
    const struct consumer_member **leavers =
        arena_alloc_array(op->arena, (size_t)leave->count, sizeof *leavers);
    int32_t count = 0;
    leave->is_modern = true;
    op->answer_offset = group->state_offset;
    for (int32_t i = 0; leavers && i < leave->count; i++) {
        struct consumer_member *member;
        leave->leavers[i].member = NULL;
        leave->leavers[i].error_code = find_leaver(group->consumer, &leave->leavers[i], &member);
        if (leave->leavers[i].error_code == ERR_NONE && !is_among(leavers, count, member))
            leavers[count++] = member;
    }
    if (!leavers || !consumer__add_departures(op, group->consumer, leavers, count))
        op->error_code = ERR_COORDINATOR_NOT_AVAILABLE;
}

void consumer_leave_apply(struct group *group)
{
    consumer__apply_departure(group);
}
