/* Classic groups: members join, a leader assigns, all sync (KIP-62, 345, 394, 559, 814). */
#ifndef RUNNEL_BROKER_GROUP_CLASSIC_H
#define RUNNEL_BROKER_GROUP_CLASSIC_H

#include "broker/group/group.h"
#include "codec/describe_groups.h"
#include "codec/join_group.h"

/* The state, empty. NULL: no memory. */
struct classic_group *classic_create(struct group *group);
/* No member waits, no timer is armed. */
void classic_destroy(struct classic_group *classic);

/* A group metadata record; value NULL: a tombstone. False: no memory. */
bool classic_replay(struct group *group, const struct group_metadata_value *value);
/* After loading, and when a group of the other type has become a classic one by replay: sessions begin anew,
 * as Kafka lets them. */
void classic_loaded(struct group *group);
/* Has all members join again; after classic_loaded(), with members. In apply. */
void classic_rebalance(struct group *group);
/* Answers all who wait with this error, cancels all timers. */
void classic_stop(struct group *group, int16_t error_code);
/* Nothing is left: no member, neither pending, and no record of it in the log. */
bool classic_is_void(const struct classic_group *classic);

const char *classic_state_name(const struct classic_group *classic);
bool classic_is_empty(const struct classic_group *classic);
slice classic_protocol_type(const struct classic_group *classic); /* null: a simple group */
/* ms since the epoch of the last change of state; -1: not known. For the expiry of offsets (KIP-211). */
int64_t classic_state_since_ms(const struct classic_group *classic);
int16_t classic_check_delete(const struct classic_group *classic);
void classic_add_tombstones(struct shard_op *op, const struct group *group);
bool classic_is_subscribed(struct classic_group *classic, slice topic);
int16_t classic_check_commit(const struct classic_group *classic, const struct group_caller *caller,
                             bool is_transactional);
void classic_touch(struct group *group, slice member_id);

/* A member as others see it; all borrowed. */
struct classic_member_view {
    slice member_id;
    slice instance_id; /* null: dynamic */
    slice client_id;
    slice client_host;
    int32_t rebalance_timeout_ms;
    int32_t session_timeout_ms;
    const struct join_group_request_protocol *protocols;
    int32_t protocol_count;
    slice metadata;   /* of the selected protocol; empty: there is none, or it does not know it */
    slice assignment; /* empty: none */
    bool is_leader;
};
/* Members in order of joining, without the pending ones. */
void classic_visit_members(const struct group *group,
                           void (*visit)(void *context, const struct classic_member_view *member),
                           void *context);
int32_t classic_member_count(const struct classic_group *classic);
int32_t classic_generation(const struct classic_group *classic);
slice classic_protocol(const struct classic_group *classic); /* selected; null: none */

/* DescribeGroups: state, protocol, members; what it points to is copied to the arena. False: no memory. */
bool classic_describe(const struct group *group, struct arena *arena,
                      struct describe_groups_response_group *out);

#endif
