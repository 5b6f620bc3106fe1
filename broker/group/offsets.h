/* The places of a group: the newest committed offset per partition, and those of transactions under way. */
#ifndef RUNNEL_BROKER_GROUP_OFFSETS_H
#define RUNNEL_BROKER_GROUP_OFFSETS_H

#include "broker/group/group.h"
#include "broker/group/offset_table.h"

/* Which version of the record keeps all of it. */
enum { OFFSET_COMMIT_WITH_EXPIRY = 1, OFFSET_COMMIT_WITH_TOPIC_ID = 4 };

void group_offsets_destroy(struct group_offsets *offsets);
/* An offset commit record; value NULL: a tombstone, which ends what transactions have pending there as well.
 * Those of transactions are pending until their marker. False: no memory. */
bool group_offsets_replay(struct group *group, const struct offset_commit_key *key,
                          const struct offset_commit_value *value, const struct shard_record *record);
/* The end of a transaction: what it committed counts, or is forgotten. *is_touched: the group had part in it.
 * False: no memory. */
bool group_offsets_marker(struct group *group, int64_t producer_id, bool is_commit, bool *is_touched);

/* NULL: none. Until the lock is released. */
const struct stored_offset *group_offsets_find(const struct group *group, slice topic, int32_t partition);
/* Whether a transaction under way commits this partition: UNSTABLE_OFFSET_COMMIT (KIP-447). */
bool group_offsets_is_pending(const struct group *group, slice topic, int32_t partition);
bool group_offsets_has_pending(const struct group *group);
/* Stored ones and those of transactions. */
size_t group_offsets_count(const struct group *group);
/* Bytes that both take. */
size_t group_offsets_size(const struct group *group);
/* The stored ones. */
void group_offsets_visit(const struct group *group, offset_visit visit, void *context);
/* Whether so many bytes more are too many for one group, or for all: INVALID_COMMIT_OFFSET_SIZE, or ERR_NONE.
 * What is in the log already is never refused. */
int16_t group_offsets_check_size(const struct group *group, size_t more);

/* In decide. */
void group_offsets_add_tombstone(struct shard_op *op, const struct group *group, slice topic,
                                 int32_t partition);
/* Of all that is stored or pending, until the op is full (shard_op_is_full). True: that is all. */
bool group_offsets_add_tombstones(struct shard_op *op, const struct group *group);

/* offsets_expire.c: what goes by itself (KIP-211): offsets past their retention, and those of topics that are
 * gone. */
struct offset_expiry {
    struct groups *groups;
    struct timer timer;
    bool is_running;
};
struct offset_expiry *groups_expiry(struct groups *groups);
/* Looks every offsets.retention.check.interval.ms while there are groups. Under the lock. */
void offset_expiry_begin(struct offset_expiry *expiry);
void offset_expiry_stop(struct offset_expiry *expiry);

#endif
