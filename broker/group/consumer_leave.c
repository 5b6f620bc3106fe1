/* How members leave a consumer group: by a word, or by silence. */
#include "broker/group/consumer_internal.h"
#include "broker/group/consumer_ops.h"
#include "broker/server.h"

bool consumer__add_departure(struct shard_op *op, const struct consumer_group *consumer,
                             const struct consumer_member *member)
{
    const struct consumer_change change = { .gone = { member } };
    const struct image *image = controller_image(shard_server(op->shard)->controller);
    slice group_id = consumer->group->id;
    struct consumer_topics topics;
    if (consumer__may_downgrade(consumer, member))
        return consumer__downgrade(op, consumer, member);
    if (!consumer__topics(consumer, &change, image, op->arena, &topics))
        return false;
    consumer__add_member_tombstones(op, group_id, member->facts.member_id);
    if (member->regex && member->regex->member_count == 1)
        consumer__add_regex_tombstone(op, group_id, member->regex->pattern);
    consumer__add_epoch(op, group_id, consumer->epoch + 1, topics.hash);
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
    else if (!consumer__add_departure(&heartbeat->op, consumer, member))
        refuse(heartbeat, ERR_COORDINATOR_NOT_AVAILABLE, SLICE_NULL);
}
