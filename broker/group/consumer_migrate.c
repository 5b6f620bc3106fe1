/* Groups that change their protocol while they live: classic to consumer, and back (KIP-848). */
#include "broker/group/classic.h"
#include "broker/group/consumer_internal.h"
#include "broker/server.h"

int16_t consumer__upgrade(struct shard_op *op, struct group *group, struct consumer_group *draft,
                          const char **why)
{
    (void)op;
    (void)group;
    (void)draft;
    *why = "online upgrade is disabled";
    return ERR_GROUP_ID_NOT_FOUND;
}

bool consumer__may_downgrade(const struct consumer_group *consumer, const struct consumer_member *gone)
{
    (void)consumer;
    (void)gone;
    return false;
}

bool consumer__downgrade(struct shard_op *op, const struct consumer_group *consumer,
                         const struct consumer_member *gone)
{
    (void)op;
    (void)consumer;
    (void)gone;
    return false;
}

void consumer__finish_downgrade(struct group *group)
{
    (void)group;
}
