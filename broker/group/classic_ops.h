/* The steps of the classic protocol: what handlers fill in, and what comes back. */
#ifndef RUNNEL_BROKER_GROUP_CLASSIC_OPS_H
#define RUNNEL_BROKER_GROUP_CLASSIC_OPS_H

#include "broker/group/classic.h"
#include "codec/join_group.h"
#include "codec/sync_group.h"

struct classic_bytes;
struct consumer_join; /* consumer_classic.h */
struct classic_member;
struct classic_profile;
struct classic_roster;

/* Random in a client's id, so that nobody else has it; in the arena. Null: no memory. */
slice classic_new_member_id(struct request *rq, slice prefix);

/* -- JoinGroup --------------------------------------------------------------------------------- */

enum classic_join_plan {
    JOIN_REFUSE,  /* op.error_code says why */
    JOIN_PENDING, /* gets its id and comes again (KIP-394) */
    JOIN_ADD,     /* a new member, or a pending one that comes again */
    JOIN_REPLACE, /* the new owner of an instance id (KIP-345) */
    JOIN_UPDATE,  /* a known member that waits for the next generation */
    JOIN_CURRENT, /* is told of the current generation once more */
    JOIN_EXPEL,   /* a known member for which there is no room any more */
};

struct classic_join {
    struct shard_op op;
    slice group_id;
    slice member_id;     /* empty: none yet */
    slice instance_id;   /* null: dynamic */
    slice new_member_id; /* for one that has none */
    slice client_id;
    slice client_host;
    slice protocol_type;
    const struct join_group_request_protocol *protocols;
    int32_t protocol_count;
    int32_t session_timeout_ms;
    int32_t rebalance_timeout_ms;
    bool requires_member_id;  /* v4 */
    bool may_skip_assignment; /* v9 */
    /* The answer; the op holds what is pointed to, from take() on its arena. */
    slice answer_member_id;
    int32_t generation;
    struct classic_bytes *answer_type;
    struct classic_bytes *answer_protocol;
    struct classic_profile *leader;
    struct classic_roster *roster; /* for the leader; NULL: none */
    bool is_assignment_skipped;
    /* The steps' own. */
    enum classic_join_plan plan;
    struct group *group;
    struct classic_member *member;         /* found; and whose join this is while it waits */
    struct classic_member *fresh;          /* made by decide for apply */
    struct classic_profile *fresh_profile; /* the same */
    struct classic_bytes *fresh_type;      /* the same */
    struct consumer_join *modern;          /* the group is a consumer group; NULL: it is not */
    bool is_kept_stable;                   /* JOIN_REPLACE without a rebalance */
};

void classic_join_decide(struct shard_op *op, void *state);
void classic_join_apply(struct shard_op *op, void *state);
void classic_join_cancel(struct shard_op *op, void *state);
void classic_join_take(struct shard_op *op);
/* In answer: fills in everything but the error; what it points to lives as long as the op's arena. */
void classic_join_fill(const struct classic_join *join, struct join_group_response *out);

/* -- SyncGroup --------------------------------------------------------------------------------- */

struct classic_sync {
    struct shard_op op;
    const struct sync_group_request *in;
    /* The answer, as above. */
    struct classic_bytes *answer_type;
    struct classic_bytes *answer_protocol;
    struct classic_bytes *assignments; /* holds the assignment's bytes */
    slice assignment;
    /* The steps' own. */
    struct group *group;
    struct classic_member *member;
    struct classic_bytes *fresh; /* all assignments, made by decide for apply */
    bool is_modern;              /* the group is a consumer group; assignment is in the arena */
};

void classic_sync_decide(struct shard_op *op, void *state);
void classic_sync_apply(struct shard_op *op, void *state);
void classic_sync_fail(struct shard_op *op, void *state);
void classic_sync_cancel(struct shard_op *op, void *state);
void classic_sync_take(struct shard_op *op);
void classic_sync_fill(const struct classic_sync *sync, struct sync_group_response *out);

/* -- Heartbeat --------------------------------------------------------------------------------- */

struct classic_heartbeat {
    struct shard_op op; /* is_read */
    slice group_id;
    slice member_id;
    slice instance_id;
    int32_t generation;
    struct group *group;
    struct classic_member *member;
};

void classic_heartbeat_decide(struct shard_op *op, void *state);
void classic_heartbeat_apply(struct shard_op *op, void *state);

/* -- LeaveGroup -------------------------------------------------------------------------------- */

struct classic_leaver {
    slice member_id; /* empty: named by the instance id alone */
    slice instance_id;
    int16_t error_code;            /* out */
    struct classic_member *member; /* decide's: who goes; NULL: nobody */
};

struct classic_leave {
    struct shard_op op;
    slice group_id;
    struct classic_leaver *leavers;
    int32_t count;
    struct group *group;
    bool is_modern;       /* the group is a consumer group */
    int32_t member_count; /* of those who go: members, and pending ones */
    int32_t pending_count;
};

void classic_leave_decide(struct shard_op *op, void *state);
void classic_leave_apply(struct shard_op *op, void *state);

#endif
