/* The places of a group: the newest committed offset per partition, and those of transactions under way. */
#ifndef RUNNEL_BROKER_GROUP_OFFSETS_H
#define RUNNEL_BROKER_GROUP_OFFSETS_H

#include "broker/group/group.h"

struct stored_offset {
    int64_t offset;
    int32_t leader_epoch; /* -1: none */
    slice metadata;       /* never null; owned */
    int64_t commit_ms;    /* ms since the epoch */
    int64_t expire_ms;    /* -1: by the group's retention */
    uuid topic_id;        /* zero: not known, as written by Kafka before 4.1 */
};

/* Which version of the record keeps all of it. */
enum { OFFSET_COMMIT_WITH_EXPIRY = 1, OFFSET_COMMIT_WITH_TOPIC_ID = 4 };

void group_offsets_destroy(struct group_offsets *offsets);
/* An offset commit record; value NULL: a tombstone. Those of transactions are pending until their marker. False: no
 * memory. */
bool group_offsets_replay(struct group *group, const struct offset_commit_key *key,
                          const struct offset_commit_value *value, const struct shard_record *record);
/* The end of a transaction: what it committed counts, or is forgotten. False: no memory. */
bool group_offsets_marker(struct group *group, int64_t producer_id, bool is_commit);

/* NULL: none. Until the lock is released. */
const struct stored_offset *group_offsets_find(const struct group *group, slice topic, int32_t partition);
/* Whether a transaction under way commits this partition: UNSTABLE_OFFSET_COMMIT (KIP-447). */
bool group_offsets_is_pending(const struct group *group, slice topic, int32_t partition);
bool group_offsets_has_pending(const struct group *group);
/* Stored ones and those of transactions. */
size_t group_offsets_count(const struct group *group);
/* Topic by topic in the order of their names, partitions ascending. */
typedef void (*offset_visit)(void *context, slice topic, int32_t partition, const struct stored_offset *stored);
void group_offsets_visit(const struct group *group, offset_visit visit, void *context);

/* In decide. */
void group_offsets_add_tombstone(struct shard_op *op, const struct group *group, slice topic, int32_t partition);
void group_offsets_add_tombstones(struct shard_op *op, const struct group *group);

/* offsets_expire.c: what goes by itself (KIP-211): offsets past their retention, and those of topics that are gone. */
struct offset_expiry {
    struct groups *groups;
    struct timer timer;
    bool is_running;
};
/* Looks every offsets.retention.check.interval.ms while there are groups. Under the lock. */
void offset_expiry_begin(struct offset_expiry *expiry);
void offset_expiry_stop(struct offset_expiry *expiry);

#endif
