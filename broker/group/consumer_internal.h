/* What the files of consumer groups share. All under the shard's lock. */
#ifndef RUNNEL_BROKER_GROUP_CONSUMER_INTERNAL_H
#define RUNNEL_BROKER_GROUP_CONSUMER_INTERNAL_H

#include "broker/group/consumer.h"
#include "broker/group/partition_set.h"
#include "codec/consumer_group_heartbeat.h"

enum { EPOCH_JOIN = 0, EPOCH_LEAVE = -1, EPOCH_LEAVE_STATIC = -2, BUCKETS_MIN = 8 };

enum {
    CONSUMER_SIZE_MAX = 512 << 20, /* bytes that the members of all consumer groups may bring */
    CONSUMER_COST = 512,           /* what each member needs besides, about */
};

/* As in the records. */
enum member_state { MEMBER_STABLE = 0, MEMBER_UNREVOKED = 1, MEMBER_UNRELEASED = 2, MEMBER_UNKNOWN = 127 };

/* Names of topics: ascending, none twice. */
struct topic_names {
    int32_t count;
    const slice *names;
};

/* What a member of the classic protocol brought (migration). */
struct classic_facts {
    int32_t session_timeout_ms;
    int32_t protocol_count;
    const struct consumer_group_member_metadata_value_protocol *protocols;
};

/* What the records say of a member, which is all that is known of it. Of a member of the group: owned by it.
 * As the next state that decide works out: borrowed from the member, the request and the op's arena. */
struct member_facts {
    slice member_id;
    slice instance_id; /* null: a dynamic member */
    slice rack_id;     /* null */
    slice client_id;
    slice client_host;
    slice assignor; /* null: the group's default */
    slice regex;    /* null or empty: none */
    int32_t rebalance_timeout_ms;
    struct topic_names names;
    const struct classic_facts *classic; /* NULL: it speaks the consumer protocol */
    /* The current assignment record. */
    int32_t epoch;
    int32_t previous_epoch;
    int8_t state; /* enum member_state */
    const struct partition_set *assigned;
    const struct partition_set *revoking; /* given up by us, not yet by the member */
};

/* -- the group ----------------------------------------------------------------------------------------- */

enum consumer_key { BY_ID, BY_INSTANCE, CONSUMER_KEYS };

struct consumer_member {
    struct consumer_member *chain[CONSUMER_KEYS];
    struct consumer_member *previous; /* in order of joining */
    struct consumer_member *next;
    struct group *group;
    bool is_member; /* else there is only a target of it: its other records are still to come */
    bool is_in_instances;
    struct member_facts facts;
    void *profile_bytes;                        /* what facts of the metadata record points into */
    size_t profile_size;                        /* against the limits */
    struct consumer_subscription *subscription; /* the names, shared; NULL before the metadata record */
    struct consumer_regex *regex;               /* NULL: none */
    const struct partition_set *target;
    bool has_target; /* a record of it is there, be it empty */
    struct timer session;
    int64_t session_due_ms; /* the deadline; the timer may be earlier, then it looks and goes on */
    /* The end of the time to give partitions back; of the classic protocol: to join, or to sync. */
    struct timer rebalance;
    int32_t rebalance_epoch;
    int64_t rebalance_due_ms; /* INT64_MAX: none */
    bool is_settled;          /* counted in settled_count */
};

struct consumer_table {
    struct consumer_member **buckets;
    size_t bucket_count; /* a power of two; 0: none */
    size_t count;
};

/* A set of names that members subscribe to; members with the same share it. */
struct consumer_subscription {
    struct consumer_subscription *next;
    uint64_t hash;
    size_t member_count;
    int32_t number;           /* scratch of the assignment */
    struct topic_names names; /* in one piece with it */
};

/* A pattern that members subscribe to, or that was resolved. */
struct consumer_regex {
    struct consumer_regex *next;
    slice pattern; /* in one piece with it */
    size_t member_count;
    bool is_resolved;
    bool is_too_large; /* what it matches fits into no record; as if it matched nothing */
    struct topic_names topics; /* owned; what it resolved to */
    int64_t version;           /* of the metadata that it was resolved with */
    int64_t timestamp;         /* ms, when */
};

struct owned_topic {
    struct owned_topic *next;
    uuid id;
    int32_t capacity;
    int32_t held_count;
    struct consumer_member **owners; /* by partition; NULL: free */
};

struct consumer_group {
    struct group *group;
    bool has_epoch_record;
    bool has_target_record;      /* the assignment epoch's */
    bool has_partition_metadata; /* a record of type 4, as Kafka wrote before 4.1 */
    int32_t epoch;
    int32_t assignment_epoch;
    int64_t metadata_hash;

    struct consumer_table tables[CONSUMER_KEYS];
    struct consumer_member *first;
    struct consumer_member *last;
    int32_t member_count;  /* of those that are members */
    int32_t classic_count; /* of them, those of the classic protocol */
    int32_t known_count;   /* with those that are only targets */
    size_t size;           /* of what members brought */
    struct consumer_subscription *subscriptions;
    int32_t subscription_count;
    struct consumer_regex *regexes;
    int32_t regex_count; /* that members subscribe to */
    int32_t resolved_count;

    /* Which member holds a partition, assigned or being given back; made when it is asked for first. */
    struct owned_topic **owners;
    size_t owner_buckets;
    size_t owner_count;
    bool knows_owners;

    /* What no record keeps. */
    int64_t seen_image; /* end offset of the image whose topics the metadata hash was compared with */
    struct consumer_resolution
        *resolution;           /* what patterns match, not in the records yet; NULL: nothing new */
    int64_t refresh_until_ms;  /* until then a worker is thought to match patterns */
    int64_t refreshed_ms;      /* when they were matched last, monotonic */
    int64_t refreshed_version; /* and with which metadata */
    uint32_t step_count;       /* members that got on: a record of what one has now */
    int32_t seen_epoch;        /* the epoch, */
    uint32_t seen_step_count;  /* and the steps that changed_ms is about */
    int64_t changed_ms;        /* monotonic */
    int32_t settled_epoch;     /* the assignment epoch that settled_count is about; -1: count anew */
    int32_t settled_count;     /* members that are reconciled */
};

/* -- consumer.c ---------------------------------------------------------------------------------------- */

/* Begins anew after the last one, as generations do. */
int32_t consumer__next_epoch(int32_t epoch);

/* It has all that it is to have. */
bool consumer__is_reconciled(const struct member_facts *facts, int32_t assignment_epoch);
/* All members are, and there is no newer epoch. */
bool consumer__is_settled(struct consumer_group *consumer);
/* Keeps the count right when the facts of a member changed, or it goes. */
void consumer__count_settled(struct consumer_group *consumer, struct consumer_member *member, bool is_going);

/* -- consumer_records.c -------------------------------------------------------------------------------- */

/* In decide. */
void consumer__add_epoch(struct shard_op *op, slice group_id, int32_t epoch, int64_t metadata_hash);
void consumer__add_partition_metadata_tombstone(struct shard_op *op, slice group_id);
void consumer__add_profile(struct shard_op *op, slice group_id, const struct member_facts *facts);
void consumer__add_assignment_epoch(struct shard_op *op, slice group_id, int32_t epoch);
void consumer__add_target(struct shard_op *op, slice group_id, slice member_id,
                          const struct partition_set *target);
void consumer__add_current(struct shard_op *op, slice group_id, const struct member_facts *facts);
void consumer__add_member_tombstones(struct shard_op *op, slice group_id, slice member_id);
void consumer__add_regex(struct shard_op *op, slice group_id, slice pattern, const struct topic_names *topics,
                         int64_t version, int64_t timestamp);
void consumer__add_regex_tombstone(struct shard_op *op, slice group_id, slice pattern);

/* -- consumer_member.c --------------------------------------------------------------------------------- */

/* Members alone. */
struct consumer_member *consumer__find(const struct consumer_group *consumer, slice member_id);
struct consumer_member *consumer__find_static(const struct consumer_group *consumer, slice instance_id);
/* Also what is only a target, or made so. NULL: no memory. */
struct consumer_member *consumer__know(struct consumer_group *consumer, slice member_id);
struct consumer_member *consumer__known(const struct consumer_group *consumer, slice member_id);
/* Takes it out, cancels its timers and frees it. */
void consumer__forget(struct consumer_group *consumer, struct consumer_member *member);
/* Frees it when it is neither a member nor a target. */
void consumer__forget_if_void(struct consumer_group *consumer, struct consumer_member *member);
/* What a metadata record says; copied. False: no memory. */
bool consumer__set_profile(struct consumer_group *consumer, struct consumer_member *member,
                           const struct member_facts *told);
/* What a current assignment record says; copied. False: no memory. */
bool consumer__set_current(struct consumer_group *consumer, struct consumer_member *member,
                           const struct member_facts *told);
bool consumer__set_target(struct consumer_member *member, const struct partition_set *target);
/* Bytes that a member with these facts counts against the limits. */
size_t consumer__size_of(const struct member_facts *facts);
/* Whether the broker may hold so much more for all its consumer groups. */
bool consumer__may_hold(size_t size);
/* A copy takes so many bytes, and goes to place, which is aligned. */
size_t consumer__classic_size(const struct classic_facts *classic);
const struct classic_facts *consumer__classic_copy(const struct classic_facts *from, void *place);
bool consumer__classic_equal(const struct classic_facts *a, const struct classic_facts *b);

/* -- consumer_subscription.c --------------------------------------------------------------------------- */

/* Sorts and removes doubles, in place. */
struct topic_names topic_names_of(slice *names, int32_t count);
bool topic_names_equal(const struct topic_names *a, const struct topic_names *b);
bool topic_names_has(const struct topic_names *names, slice name);

/* Found or made; counts a member. NULL: no memory. */
struct consumer_subscription *consumer__subscribe(struct consumer_group *consumer,
                                                  const struct topic_names *names);
void consumer__unsubscribe(struct consumer_group *consumer, struct consumer_subscription *subscription);
/* NULL: nobody's, and not resolved. */
struct consumer_regex *consumer__find_regex(const struct consumer_group *consumer, slice pattern);
struct consumer_regex *consumer__subscribe_regex(struct consumer_group *consumer, slice pattern);
void consumer__unsubscribe_regex(struct consumer_group *consumer, struct consumer_regex *regex);
/* What a record says it resolved to; value NULL: it is not resolved any more. False: no memory. */
bool consumer__resolve(struct consumer_group *consumer, slice pattern,
                       const struct consumer_group_regular_expression_value *value);
void consumer__forget_subscriptions(struct consumer_group *consumer);

/* -- consumer_owners.c --------------------------------------------------------------------------------- */

/* Has the owners known from now on. False: no memory. */
bool consumer__know_owners(struct consumer_group *consumer);
/* Known they must be. NULL: free. */
const struct consumer_member *consumer__owner(const struct consumer_group *consumer, uuid id,
                                              int32_t partition);
/* Keep them right, if they are known. */
void consumer__release(struct consumer_group *consumer, const struct consumer_member *member);
bool consumer__hold(struct consumer_group *consumer, struct consumer_member *member);
void consumer__forget_owners(struct consumer_group *consumer);

/* -- consumer_regex.c ---------------------------------------------------------------------------------- */

/* What the patterns of a group match in an image. Worked out by a worker. */
struct consumer_resolution {
    int64_t version; /* of the metadata */
    int64_t timestamp;
    int32_t count;
    struct matched_regex {
        slice pattern;
        struct topic_names topics;
    } * regexes; /* in the arena */
    struct arena arena;
};

/* Has a worker match the patterns, when it is time to. In apply. */
void consumer__refresh_regexes(struct consumer_group *consumer);
/* In decide of a request: what came of it, without the topics that the client may not describe, in the arena
 * of the op; NULL: there is nothing new. False: no memory. */
bool consumer__take_resolution(struct shard_op *op, const struct consumer_group *consumer,
                               struct consumer_resolution **out);
/* Bytes that the record takes, at most. */
size_t consumer__matched_size(const struct matched_regex *matched);
/* In apply: all of the resolution is in the records, but for what takes more than size_max. */
void consumer__end_resolution(struct consumer_group *consumer, size_t size_max);
/* It is of no use. */
void consumer__drop_resolution(struct consumer_group *consumer);
/* Nobody can say yet what a pattern matches. */
bool consumer__has_unresolved(const struct consumer_group *consumer);

/* -- consumer_topics.c --------------------------------------------------------------------------------- */

enum { CHANGE_GONE_MAX = 2 };

/* What an op is about to do to the members. */
struct consumer_change {
    const struct consumer_member *gone[CHANGE_GONE_MAX]; /* as they are now; NULL: none */
    const struct member_facts *next;              /* who comes, or comes in their place; NULL: nobody */
    const struct consumer_resolution *resolved;   /* what patterns match from now on; NULL: as before */
    const struct consumer_member *const *leavers; /* further ones who go */
    int32_t leaver_count;
};

/* What is subscribed to and exists, ascending by name. */
struct consumer_topics {
    const struct topic *const *topics;
    size_t count;
    int64_t hash;
};

/* The topics of the group once the change is made. False: no memory. */
bool consumer__topics(const struct consumer_group *consumer, const struct consumer_change *change,
                      const struct image *image, struct arena *arena, struct consumer_topics *out);
/* What a pattern resolves to; none while it does not. */
struct topic_names consumer__matched(const struct consumer_group *consumer,
                                     const struct consumer_change *change, slice pattern);

/* -- consumer_target.c --------------------------------------------------------------------------------- */

/* Works out the target of the group once the change is made, and adds the records: of the members whose
 * target changed, and of the assignment epoch. *out (may be NULL): that of change->next. False: no memory. */
bool consumer__assign(struct shard_op *op, const struct consumer_group *consumer,
                      const struct consumer_change *change, const struct consumer_topics *topics,
                      int32_t epoch, const struct partition_set **out);
/* The assignor that most members ask for; the first of the configuration when none does. */
slice consumer__assignor_name(const struct consumer_group *consumer, const struct consumer_change *change);

/* -- consumer_reconcile.c ------------------------------------------------------------------------------ */

/* What a member's next step depends on. */
struct reconciliation {
    struct arena *arena;
    const struct image *image;
    const struct consumer_group *consumer;
    const struct consumer_change *change;
    int32_t target_epoch;
    const struct partition_set *target;
    const struct partition_set *owned; /* what it says that it has; NULL: it does not say */
    bool has_new_subscription;
};

/* Moves the facts one step towards the target. ERR_NONE, FENCED_MEMBER_EPOCH; COORDINATOR_NOT_AVAILABLE: no
 * memory. */
int16_t consumer__reconcile(const struct reconciliation *reconciliation, struct member_facts *facts);

/* -- consumer_heartbeat.c ------------------------------------------------------------------------------- */

struct consumer_heartbeat; /* consumer_ops.h */

/* The same step for ConsumerGroupHeartbeat, and for what members of the classic protocol say by JoinGroup; on
 * heartbeat->on. */
void consumer__decide_beat(struct consumer_heartbeat *heartbeat, struct groups *groups);
/* The member, as it is now. */
struct consumer_member *consumer__apply_beat(struct consumer_heartbeat *heartbeat, struct group *group);

/* Refuse with Kafka's sentences; false from here on. */
void consumer__refuse_group(struct consumer_heartbeat *heartbeat, bool is_there);
void consumer__refuse_member(struct consumer_heartbeat *heartbeat);
/* Whether the request's instance id is this member's, and the member is who asks; NULL: nobody has it. */
bool consumer__check_static(struct consumer_heartbeat *heartbeat, const struct consumer_member *member);

/* -- consumer_migrate.c --------------------------------------------------------------------------------- */

/* In decide: what a classic group with members becomes: fills the draft, adds the records. *why: Kafka's
 * reason against it; NULL with an error: no memory. */
int16_t consumer__upgrade(struct shard_op *op, struct group *group, struct consumer_group *draft,
                          const char **why);
/* Whether the group becomes a classic one when these members go. */
bool consumer__may_downgrade(const struct consumer_group *consumer,
                             const struct consumer_member *const *leavers, int32_t count);
/* In decide. False: no memory. */
bool consumer__downgrade(struct shard_op *op, const struct consumer_group *consumer,
                         const struct consumer_member *const *leavers, int32_t count);
/* In apply: the group is a classic one now. */
void consumer__finish_downgrade(struct group *group);

/* -- consumer_leave.c ----------------------------------------------------------------------------------- */

/* In decide: these members go: their tombstones, the next epoch. The group becomes a classic one when only
 * members of that protocol stay. False: no memory. */
bool consumer__add_departures(struct shard_op *op, const struct consumer_group *consumer,
                              const struct consumer_member *const *leavers, int32_t count);
/* In apply, after a departure; group may be NULL. */
void consumer__apply_departure(struct group *group);
void consumer__decide_leave(struct consumer_heartbeat *heartbeat, struct groups *groups);

/* -- consumer_session.c -------------------------------------------------------------------------------- */

/* A sign of life: in memory alone, the timer follows when it fires. */
void consumer__begin_session(struct consumer_member *member);
/* What members are told: short while the group moves, so that it settles soon; but not to a member that has
 * to act on a new assignment. It says by itself when it has. librdkafka 2.16, asked before, says that it owns
 * what it owned before that assignment, and who owns nothing has nothing to give back: another member would
 * get what it just begins to read. */
int32_t consumer__heartbeat_interval_ms(struct consumer_group *consumer, bool has_to_act);
/* By the state that it has now. */
void consumer__set_rebalance_timer(struct consumer_member *member);
/* It has to do its next step in its rebalance timeout. */
void consumer__begin_step(struct consumer_member *member);
bool consumer__is_in_step(const struct consumer_member *member);
void consumer__end_step(struct consumer_member *member);
void consumer__cancel_timers(struct consumer_member *member);

#endif
