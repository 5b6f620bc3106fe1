/* The places of a group: the newest committed offset per partition. */
#ifndef RUNNEL_BROKER_GROUP_OFFSETS_H
#define RUNNEL_BROKER_GROUP_OFFSETS_H

#include "broker/group/group.h"

struct stored_offset {
    int64_t offset;
    int32_t leader_epoch; /* -1: none */
    slice metadata;       /* never null */
    int64_t commit_ms;    /* ms since the epoch */
    int64_t expire_ms;    /* -1: by the group's retention */
    uuid topic_id;        /* zero: committed by name alone */
    int64_t record_offset; /* of the record that says so */
};

void group_offsets_destroy(struct group_offsets *offsets);
/* An offset commit record; value NULL: a tombstone. Records of transactions are pending until their marker. False: no
 * memory. */
bool group_offsets_replay(struct group *group, const struct offset_commit_key *key,
                          const struct offset_commit_value *value, const struct shard_record *record);
/* NULL: none. */
const struct stored_offset *group_offsets_find(const struct group *group, slice topic, int32_t partition);
size_t group_offsets_count(const struct group *group);
/* The tombstones of all. In decide. */
void group_offsets_add_tombstones(struct shard_op *op, const struct group *group);
/* After loading, and whenever the group became empty: when the next offset expires (KIP-211). */
void group_offsets_loaded(struct group *group);
void group_offsets_stop(struct group *group);

#endif
