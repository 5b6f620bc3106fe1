/* Applies metadata records to a change: the one place where records become state. */
#ifndef RUNNEL_BROKER_METADATA_REPLAY_H
#define RUNNEL_BROKER_METADATA_REPLAY_H

#include "broker/image_change.h"
#include "broker/metadata_kept.h"
#include "broker/metadata_log.h"

/* Levels of the feature metadata.version. */
enum {
    METADATA_VERSION_MIN = 7,                /* 3.3-IV3: the oldest whose records we understand, */
    METADATA_VERSION_MAX = 29,               /* 4.2-IV1: and the newest */
    METADATA_VERSION_NEW = 25,               /* 4.0-IV3, of new directories: every Kafka 4.x opens it */
    GROUP_VERSION_MAX = 1,                   /* consumer groups (KIP-848) */
    METADATA_VERSION_DIRECTORIES = 17,       /* partition records v1 */
    METADATA_VERSION_ELIGIBLE_REPLICAS = 23, /* partition and partition change records v2 */
};

/* Of partition records, where metadata.version is that level. */
int16_t metadata_partition_version(int16_t level);

struct metadata_replay {
    struct image_change *change;
    int32_t node_id;
    struct metadata_kept *kept; /* takes what is passed over; NULL: nobody does */
    struct arena arena;         /* the decoder's; reset after each record */
    bool in_transaction;
    bool is_migrating;       /* from ZooKeeper, not ended */
    struct arena held_arena; /* records between Begin and End, */
    slice *held;             /* copied */
    size_t held_count;
    size_t held_capacity;
    int64_t held_offset;        /* of the Begin record */
    unsigned ignored_count[32]; /* records of a type that has no meaning here yet */
    char error[320];            /* what the operator must know when a call said false */
    bool is_out_of_memory;
};

void metadata_replay_init(struct metadata_replay *replay, struct image_change *change, int32_t node_id);
void metadata_replay_destroy(struct metadata_replay *replay);

/* One framed record; what lies in a transaction is held back until its end. False: error says why. */
bool metadata_replay_record(struct metadata_replay *replay, slice value, int64_t offset);
/* KRaft's own records: other voters than this node are refused. */
bool metadata_replay_control(struct metadata_replay *replay, int type, slice value, int64_t offset);
/* Both, as a visit; context is the replay. */
bool metadata_replay_visit(void *context, const struct metadata_record *record);
/* Says which records had no effect, one line each. */
void metadata_replay_note(const struct metadata_replay *replay);

#endif
