/* Consumer groups: the broker assigns, members reconcile by heartbeats (KIP-848). */
#ifndef RUNNEL_BROKER_GROUP_CONSUMER_H
#define RUNNEL_BROKER_GROUP_CONSUMER_H

#include "broker/group/group.h"
#include "codec/consumer_group_describe.h"

struct consumer_group *consumer_create(struct group *group);
void consumer_destroy(struct consumer_group *consumer);

/* One record of types 3 to 8 and 16; key and value are the decoded structs of its type, value NULL: a
 * tombstone. Converts the group's type where the record says so (group_set_type). False: no memory. */
bool consumer_replay(struct group *group, enum group_record_type type, const void *key, const void *value);
void consumer_loaded(struct group *group);
void consumer_stop(struct group *group, int16_t error_code);
bool consumer_is_void(const struct consumer_group *consumer);

const char *consumer_state_name(const struct consumer_group *consumer);
bool consumer_is_empty(const struct consumer_group *consumer);
int16_t consumer_check_delete(const struct consumer_group *consumer);
void consumer_add_tombstones(struct shard_op *op, const struct group *group);
bool consumer_is_subscribed(const struct consumer_group *consumer, slice topic);
int16_t consumer_check_commit(const struct consumer_group *consumer, const struct group_caller *caller,
                              bool is_transactional);
int16_t consumer_check_fetch(const struct consumer_group *consumer, const struct group_caller *caller);
void consumer_touch(struct group *group, slice member_id);
bool consumer_describe(const struct group *group, struct arena *arena,
                       struct consumer_group_describe_response_group *out);

#endif
