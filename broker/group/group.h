/* A group: its type's state, and its offsets; kept by the shard of its id. */
#ifndef RUNNEL_BROKER_GROUP_GROUP_H
#define RUNNEL_BROKER_GROUP_GROUP_H

#include "broker/coordinator/coordinator.h"
#include "codec/group_records.h"

struct classic_group;  /* classic.h */
struct consumer_group; /* consumer.h */
struct group_offsets;  /* offsets.h */
struct groups;         /* of one shard: all its groups */

extern const struct shard_kind group_shard_kind;

/* A group that has neither members nor a past with members, only offsets, is a classic one (Kafka: simple). */
enum group_type { GROUP_CLASSIC, GROUP_CONSUMER };

struct group {
    struct group *next; /* hash chain */
    struct groups *all;
    slice id;
    enum group_type type;
    /* The end offset of its newest record: whoever tells of the group waits until that is durable. */
    int64_t state_offset;
    struct classic_group *classic;   /* GROUP_CLASSIC; never NULL then */
    struct consumer_group *consumer; /* GROUP_CONSUMER; never NULL then */
    struct group_offsets *offsets;   /* NULL: none */
    struct group *next_open;         /* group.c: the groups with transactions under way */
    struct group **open_link;        /* NULL: it is not among them */
};

/* -- finding; all under the shard's lock ------------------------------------------------------------------ */

/* NULL: there is none. */
struct group *groups_find(struct groups *groups, slice id);
/* GROUPS_MAX: whoever would make another one refuses. In decide; what is in the log already is never refused. */
bool groups_are_full(void);
/* Found or made, empty and classic. NULL: no memory. */
struct group *groups_make(struct groups *groups, slice id);
/* Frees the group when nothing of it is left: no member, no offset, no record. After each step that takes something. */
void groups_drop_if_void(struct group *group);
/* Ends the state of one type and begins that of the other, empty (migration; in replay). False: no memory. */
bool group_set_type(struct group *group, enum group_type type);
/* Calls visit for each; visit may drop the one that it is given, and no other. */
void groups_visit(struct groups *groups, void (*visit)(void *context, struct group *group), void *context);
size_t groups_count(const struct groups *groups);
struct shard *groups_shard(struct groups *groups);
struct shard *group_shard(const struct group *group);
const struct config *group_config(const struct group *group);
/* Bounds that hold over all shards of the broker, against memory that clients cause: groups, members, bytes. */
enum {
    GROUPS_MAX = 100000,
    GROUP_MEMBERS_MAX = 10000,              /* of one group, beside group.max.size */
    GROUP_MEMBER_SIZE_MAX = 1 << 20,        /* bytes that one member brings: protocols, subscription */
    GROUP_SIZE_MAX = 64 << 20,              /* the same, of one group */
    GROUP_PATTERNS_MAX = 100,               /* different ones of one group: each may match all topics */
    GROUP_PENDING_JOINS_MAX = 10000,        /* of one group: ids given out, not joined (KIP-394) */
    GROUP_OFFSETS_SIZE_MAX = 64 << 20,      /* of one group: bytes of its committed offsets, with their metadata */
    OFFSETS_SIZE_MAX = 1 << 30,             /* the same, of all groups */
};

/* -- what both types answer (group.c asks the type) --------------------------------------------------------- */

/* "Empty", "Stable", ...: as Kafka names them. */
const char *group_state_name(const struct group *group);
/* "classic", "consumer". */
const char *group_type_name(const struct group *group);
/* No member, neither pending. */
bool group_is_empty(const struct group *group);
/* ERR_NONE, or NON_EMPTY_GROUP: whether DeleteGroups may take it. */
int16_t group_check_delete(const struct group *group);
/* ERR_NONE, or NON_EMPTY_GROUP: whether single offsets may be deleted (those of topics that nobody reads). */
int16_t group_check_offset_delete(const struct group *group);
/* The tombstones of everything but its offsets. In decide. */
void group_add_tombstones(struct shard_op *op, const struct group *group);
/* Whether a member subscribes to the topic: its offsets neither expire nor may be deleted (KIP-211, KIP-496). */
bool group_is_subscribed(const struct group *group, slice topic);

/* Who commits or fetches offsets. */
struct group_caller {
    slice member_id;
    slice instance_id; /* null: none */
    int32_t generation; /* or member epoch; -1: none */
    int16_t api_version; /* of OffsetCommit */
};
/* UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, STALE_MEMBER_EPOCH, FENCED_INSTANCE_ID, REBALANCE_IN_PROGRESS,
 * UNSUPPORTED_VERSION (a consumer group below OffsetCommit v9). Changes nothing. */
int16_t group_check_commit(const struct group *group, const struct group_caller *caller, bool is_transactional);
/* OffsetFetch v9+: member epochs (KIP-848). */
int16_t group_check_fetch(const struct group *group, const struct group_caller *caller);
/* A valid commit is a sign of life. In apply. */
void group_touch(struct group *group, slice member_id);

/* The checks that all requests about groups begin with: INVALID_GROUP_ID for a null or (unless may_be_empty) empty id,
 * then authorisation. */
int16_t group_check_id(struct request *rq, slice group_id, bool may_be_empty, enum acl_operation op);

/* "/1.2.3.4": where the member is, as Kafka shows it; in the request's arena. Null: no memory. */
slice group_client_host(struct request *rq);

#endif
