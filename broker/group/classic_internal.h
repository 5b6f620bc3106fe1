/* What the files of the classic protocol share. All under the shard's lock, but for what is pinned. */
#ifndef RUNNEL_BROKER_GROUP_CLASSIC_INTERNAL_H
#define RUNNEL_BROKER_GROUP_CLASSIC_INTERNAL_H

#include "broker/group/classic_ops.h"
#include "codec/join_group.h"
#include "protocol/base/pin.h"

enum {
    CLASSIC_SIZE_MAX = 512 << 20, /* bytes that the members of all classic groups may bring */
    MEMBER_COST = 512,            /* what each member needs besides, about */
    MEMBER_PROTOCOLS_MAX = 64,    /* so that a set of one member's protocols fits a word */
    TABLE_BUCKETS_MIN = 8,
    RETRY_MS = 1000, /* after a deadline that could not be acted on */
    NEW_MEMBER_TIMEOUT_MS =
        5 * 60 * 1000, /* of one who waits for its first generation and cannot heartbeat */
};

/* -- bytes that answers may still read when the group has moved on ----------------------------- */

/* Immutable; held by the group and by every answer that tells of it. */
struct classic_bytes {
    struct pin pin;
    size_t size;
    uint8_t data[];
};

/* NULL: no memory. */
struct classic_bytes *classic__bytes_make(size_t size);
struct classic_bytes *classic__bytes_copy(slice bytes);
/* Null for NULL. */
slice classic__bytes_slice(const struct classic_bytes *bytes);
/* *place is NULL after it; drops what was there. */
void classic__bytes_drop(struct classic_bytes **place);

/* Who a member is and what it brought: immutable, made anew when it comes with something else. */
struct classic_profile {
    struct pin pin;
    size_t size; /* what it counts against the limits */
    slice member_id;
    slice instance_id; /* null: a dynamic member */
    slice client_id;
    slice client_host;
    int32_t protocol_count;
    struct join_group_request_protocol protocols[]; /* followed by all the bytes */
};

/* What the profile of this would count. */
size_t classic__profile_size(slice member_id, slice instance_id, slice client_id, slice client_host,
                             const struct join_group_request_protocol *protocols, int32_t protocol_count);
/* Whether the broker may hold so much more for all its classic groups. */
bool classic__may_hold(size_t size);
/* Everything is copied. NULL: no memory. */
struct classic_profile *classic__profile_make(slice member_id, slice instance_id, slice client_id,
                                              slice client_host,
                                              const struct join_group_request_protocol *protocols,
                                              int32_t protocol_count);
void classic__profile_drop(struct classic_profile *profile);
/* The same protocols with the same metadata in the same order. */
bool classic__profile_matches(const struct classic_profile *profile,
                              const struct join_group_request_protocol *protocols, int32_t count);
/* What it brought for a protocol; empty, not null, when it does not know it. */
slice classic__profile_metadata(const struct classic_profile *profile, slice protocol);

/* -- members ----------------------------------------------------------------------------------- */

enum classic_key { BY_MEMBER_ID, BY_INSTANCE_ID, CLASSIC_KEYS };

/* A member, or an id that was given out and not used yet (pending, KIP-394). */
struct classic_member {
    struct classic_member *chain[CLASSIC_KEYS];
    struct classic_member *previous; /* in order of joining; not of pending ones */
    struct classic_member *next;
    struct group *group;
    struct classic_profile *profile; /* never NULL */
    int32_t rebalance_timeout_ms;
    int32_t session_timeout_ms;
    bool is_pending;
    bool is_new;           /* waits for its first generation: cannot heartbeat yet */
    bool is_sync_pending;  /* was told of the generation and has not synced yet */
    slice assignment;      /* in the group's assignments; empty: none */
    struct shard_op *join; /* waits for the end of the join phase; NULL: none */
    struct shard_op *sync; /* waits for the leader's assignment */
    struct timer session;
    int64_t session_due_ms; /* the deadline; the timer may be earlier, then it looks and goes on */
    slice draft;            /* scratch of decide, as is the round in which it was written */
    uint32_t round;
};

struct member_table {
    struct classic_member **buckets;
    size_t bucket_count; /* a power of two; 0: fixed is used */
    size_t count;
    struct classic_member *fixed[TABLE_BUCKETS_MIN];
};

enum classic_state { CLASSIC_EMPTY, CLASSIC_PREPARING, CLASSIC_COMPLETING, CLASSIC_STABLE };

struct classic_group {
    struct group *group;
    enum classic_state state;
    bool is_live;    /* changes by ops, not by replay alone; false while it is loaded */
    bool has_record; /* the log knows it */
    int32_t generation;
    struct classic_bytes *protocol_type; /* NULL: never had one */
    struct classic_bytes *protocol;      /* selected; NULL: none */
    struct classic_member *leader;
    int64_t state_since_ms;
    bool is_emptied; /* a record says that nobody is left: what apply does follows */

    struct member_table tables[CLASSIC_KEYS];
    struct classic_member *first;
    struct classic_member *last;
    int32_t member_count;
    int32_t pending_count;
    int32_t join_count;         /* members whose join waits */
    int32_t sync_pending_count; /* members that are told of and have not synced */
    size_t size;                /* bytes that members and pending ones brought */
    uint32_t round;             /* scratch: counts the drafts */

    struct classic_bytes *assignments; /* what the members' assignments point into */

    /* The protocols that all members support, as bits of the protocols of one member's profile. */
    struct classic_profile *reference; /* held; NULL: counted anew when it is asked for */
    uint64_t common;

    struct timer phase;     /* the end of the join phase, or of the sync phase */
    uint32_t phase_serial;  /* counts what the timer was armed for */
    bool is_initial;        /* PREPARING that began from EMPTY: ends by time alone */
    int64_t newcomer_ms;    /* then: when somebody came last, */
    int64_t initial_end_ms; /* and when it ends, whoever comes */

    struct classic_topics *topics; /* cache: what members subscribe to; NULL: not asked for yet */
};

/* -- classic_member.c -------------------------------------------------------------------------- */

/* NULL: no such member; pending ones are found by the other. */
struct classic_member *classic__find(const struct classic_group *classic, slice member_id);
struct classic_member *classic__find_pending(const struct classic_group *classic, slice member_id);
struct classic_member *classic__find_static(const struct classic_group *classic, slice instance_id);
/* UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID; *out on ERR_NONE. */
int16_t classic__check_member(const struct classic_group *classic, slice member_id, slice instance_id,
                              struct classic_member **out);
/* Not in the group yet; owns the profile, also on failure. NULL: no memory. */
struct classic_member *classic__member_make(struct group *group, struct classic_profile *profile);
/* Neither in a group nor waiting, its timer is not armed. */
void classic__member_free(struct classic_member *member);
/* As a member, last in order; the first one leads. */
void classic__add(struct classic_group *classic, struct classic_member *member);
void classic__add_pending(struct classic_group *classic, struct classic_member *member);
/* Takes it out, member or pending: cancels its timer; another one leads if it did. The caller has completed
 * its ops. */
void classic__take_out(struct classic_group *classic, struct classic_member *member);
/* The member brings something else from now on; takes the profile over. */
void classic__set_profile(struct classic_group *classic, struct classic_member *member,
                          struct classic_profile *profile);
/* A static member has a new id and what came with it; takes the profile over. */
void classic__rename(struct classic_group *classic, struct classic_member *member,
                     struct classic_profile *profile);
/* Members and pending ones, in no order; visit may take out the one it is given. */
void classic__visit_all(struct classic_group *classic,
                        void (*visit)(struct classic_member *member, int16_t argument), int16_t argument);
/* Frees all, without a look at what waits. */
void classic__free_members(struct classic_group *classic);

/* -- classic_protocols.c ----------------------------------------------------------------------- */

/* Whether one of these is supported by all members, or there are none. */
bool classic__supports(struct classic_group *classic, const struct join_group_request_protocol *protocols,
                       int32_t count);
/* The protocol with the most votes among those that all members support. replaced (may be NULL) votes with
 * the profile instead of its own. Null: there is none. */
slice classic__select_protocol(struct classic_group *classic, const struct classic_member *replaced,
                               const struct classic_profile *profile);
void classic__forget_protocols(struct classic_group *classic);
/* Somebody came: only what it has, too, is still common. */
void classic__narrow_protocols(struct classic_group *classic, const struct classic_profile *profile);
bool classic__same_names(const struct classic_profile *a, const struct classic_profile *b);

/* -- classic_records.c ------------------------------------------------------------------------- */

int32_t classic__next_generation(const struct classic_group *classic);
/* In decide. The group as it is created, with generation 0. */
void classic__record_new(struct shard_op *op, slice group_id);
/* The group when its last member has gone, one generation later. */
void classic__record_empty(struct shard_op *op, const struct group *group);
/* The group with its members. Their assignments are their drafts of this round, if in_draft; else what they
 * have. replaced (may be NULL) is written with the profile and the timeouts of the join. */
void classic__record_full(struct shard_op *op, const struct group *group, bool in_draft,
                          const struct classic_member *replaced, const struct classic_join *join);

/* -- classic_rebalance.c ----------------------------------------------------------------------- */

/* Members that are told to the leader; pinned. */
struct classic_roster {
    struct pin pin;
    size_t count;
    struct classic_profile **profiles; /* held */
    struct join_group_response_member members[];
};

/* NULL: no memory. */
struct classic_roster *classic__roster_make(const struct classic_group *classic);
/* All members have joined and nobody is pending: the join phase may end. */
bool classic__all_joined(const struct classic_group *classic);
/* Begins a rebalance where there is none; else ends the join phase if all are there. When nobody is left the
 * group becomes empty, and decide must have recorded that. */
void classic__advance(struct classic_group *classic);
void classic__prepare_rebalance(struct classic_group *classic);
void classic__complete_if_joined(struct classic_group *classic);
void classic__complete_join(struct classic_group *classic);
/* Nobody's sync is awaited any more. */
void classic__clear_syncs(struct classic_group *classic);
void classic__change_state(struct classic_group *classic, enum classic_state state);
/* At a deadline from now; -1: not at all. */
void classic__arm_phase(struct classic_group *classic, int64_t in_ms);
void classic__fire_phase(struct timer *timer);
int32_t classic__rebalance_timeout_ms(const struct classic_group *classic);
/* Tells the join of the current generation. */
void classic__tell_generation(const struct classic_group *classic, struct classic_join *join,
                              struct classic_profile *leader, struct classic_roster *roster);

/* -- classic_session.c ------------------------------------------------------------------------- */

/* Answers an op that waits, or whose apply this is. */
void classic__finish(struct shard_op *op, int16_t error_code);
void classic__finish_join(struct classic_member *member, int16_t error_code);
void classic__finish_sync(struct classic_member *member, int16_t error_code);
/* Answers what waits with UNKNOWN_MEMBER_ID, and takes the member or pending one out. */
void classic__remove(struct classic_group *classic, struct classic_member *member);
/* The session lasts from now. False: no memory for the timer. */
bool classic__begin_session(struct classic_member *member, int64_t timeout_ms);
void classic__touch(struct classic_member *member);
/* Has the shard look at a deadline, as an op of its own, so that an append under way sees nothing change. */
bool classic__start_tick(struct group *group, const struct classic_member *member);

/* -- classic_join.c ---------------------------------------------------------------------------- */

/* In take: hands the op's hold (NULL: none) over to its arena. */
void classic__keep(struct shard_op *op, struct pin *pin);

/* -- classic_topics.c -------------------------------------------------------------------------- */

void classic__forget_topics(struct classic_group *classic);

#endif
