/* Members of the classic protocol in a consumer group: JoinGroup, SyncGroup, Heartbeat and LeaveGroup mean
 * the same as the heartbeats of the others; the member epoch is their generation (KIP-848). Called by the
 * steps of the classic protocol when the group is a consumer group with members. */
#ifndef RUNNEL_BROKER_GROUP_CONSUMER_CLASSIC_H
#define RUNNEL_BROKER_GROUP_CONSUMER_CLASSIC_H

#include "broker/group/classic_ops.h"

void consumer_join_decide(struct classic_join *join, struct group *group);
void consumer_join_apply(struct classic_join *join, struct groups *groups);
void consumer_join_fill(const struct classic_join *join, struct join_group_response *out);

void consumer_sync_decide(struct classic_sync *sync, const struct group *group);
void consumer_sync_apply(struct classic_sync *sync, struct group *group);

void consumer_alive_decide(struct classic_heartbeat *heartbeat, struct group *group);
void consumer_alive_apply(struct classic_heartbeat *heartbeat, struct group *group);

void consumer_leave_decide(struct classic_leave *leave, const struct group *group);
/* group may be NULL. */
void consumer_leave_apply(struct group *group);

#endif
