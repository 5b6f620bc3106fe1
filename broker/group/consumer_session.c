/* How long a member of a consumer group may be silent, and how long it may keep what it is to give back. */
#include <stdlib.h>

#include "broker/group/consumer_internal.h"
#include "broker/server.h"

static struct shard *shard_of(const struct consumer_member *member)
{
    return group_shard(member->group);
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
    (void)group;
}

void consumer_touch(struct group *group, slice member_id)
{
    (void)group;
    (void)member_id;
}

void consumer_stop(struct group *group, int16_t error_code)
{
    (void)error_code;
    for (struct consumer_member *member = group->consumer->first; member; member = member->next)
        consumer__cancel_timers(member);
}
