/* How members leave a consumer group: by a word, or by silence. */
#include "broker/group/consumer_internal.h"
#include "broker/group/consumer_ops.h"
#include "broker/server.h"

static void add_regex_tombstones(struct shard_op *op, const struct consumer_group *consumer,
                                 const struct consumer_member *const *leavers, int32_t count)
{
    for (const struct consumer_regex *regex = consumer->regexes; regex; regex = regex->next) {
        size_t gone = 0;
        for (int32_t i = 0; i < count; i++)
            gone += leavers[i]->regex == regex;
        if (gone > 0 && gone == regex->member_count)
            consumer__add_regex_tombstone(op, consumer->group->id, regex->pattern);
    }
}

bool consumer__add_departures(struct shard_op *op, const struct consumer_group *consumer,
                              const struct consumer_member *const *leavers, int32_t count)
{
    const struct consumer_change change = { .leavers = leavers, .leaver_count = count };
    const struct image *image = controller_image(shard_server(op->shard)->controller);
    slice group_id = consumer->group->id;
    struct consumer_topics topics;
    if (count == 0)
        return true;
    if (consumer__may_downgrade(consumer, leavers, count))
        return consumer__downgrade(op, consumer, leavers, count);
    if (!consumer__topics(consumer, &change, image, op->arena, &topics))
        return false;
    for (int32_t i = 0; i < count; i++)
        consumer__add_member_tombstones(op, group_id, leavers[i]->facts.member_id);
    add_regex_tombstones(op, consumer, leavers, count);
    consumer__add_epoch(op, group_id, consumer__next_epoch(consumer->epoch), topics.hash);
    return true;
}

void consumer__apply_departure(struct group *group)
{
    if (group && group->type == GROUP_CLASSIC)
        consumer__finish_downgrade(group);
}

/* It comes back within the session's time, and finds what it had. */
static void leave_for_a_while(struct shard_op *op, slice group_id, const struct consumer_member *member)
{
    struct member_facts facts = member->facts;
    facts.epoch = EPOCH_LEAVE_STATIC;
    facts.revoking = &partition_set_empty;
    consumer__add_current(op, group_id, &facts);
}

static void refuse(struct consumer_heartbeat *heartbeat, int16_t error_code, slice message)
{
    heartbeat->op.error_code = error_code;
    heartbeat->error_message = message;
}

void consumer__decide_leave(struct consumer_heartbeat *heartbeat, struct groups *groups)
{
    const struct consumer_group_heartbeat_request *in = heartbeat->in;
    const struct group *group = groups_find(groups, in->group_id);
    heartbeat->error_message = SLICE_NULL;
    if (!group || group->type != GROUP_CONSUMER) {
        consumer__refuse_group(heartbeat, group != NULL);
        return;
    }
    const struct consumer_group *consumer = group->consumer;
    const struct consumer_member *member;
    heartbeat->op.answer_offset = group->state_offset;
    if (slice_is_null(in->instance_id)) {
        member = consumer__find(consumer, heartbeat->member_id);
        if (!member) {
            consumer__refuse_member(heartbeat);
            return;
        }
    } else {
        member = consumer__find_static(consumer, in->instance_id);
        if (!consumer__check_static(heartbeat, member))
            return;
    }
    if (in->member_epoch == EPOCH_LEAVE_STATIC)
        leave_for_a_while(&heartbeat->op, group->id, member);
    else if (!consumer__add_departures(&heartbeat->op, consumer, &member, 1))
        refuse(heartbeat, ERR_COORDINATOR_NOT_AVAILABLE, SLICE_NULL);
}
