/* The rules of the classic group protocol once more, as plainly as they can be said: lists and loops, one
 * group, every answer told beforehand. */
#ifndef RUNNEL_TESTS_SIM_GROUP_MODEL_MODEL_H
#define RUNNEL_TESTS_SIM_GROUP_MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SLOTS = 10,       /* connections that play members */
    MEMBERS_MAX = 64, /* with those that are forgotten but not expired yet */
    PROTOCOLS_MAX = 3,
    TEXT_MAX = 128,
    NOBODY = -1, /* nobody waits */
    GONE = -2,   /* somebody waits whose connection is closed */
};

enum state { EMPTY, PREPARING, COMPLETING, STABLE };

/* Rules that can be broken on purpose: the test must notice each. */
enum broken_rule {
    ALL_RULES_HOLD,
    PENDING_DO_NOT_HOLD_UP,
    WAITING_IS_NO_SIGN_OF_LIFE,
    SYNCS_HAVE_NO_DEADLINE,
    STATIC_MEMBERS_REBALANCE,
    FOLLOWERS_REBALANCE,
    EMPTY_GROUPS_FORGET,
    BROKEN_RULES_END
};

struct member {
    char id[TEXT_MAX];       /* "": given out, and not told to us yet */
    char instance[TEXT_MAX]; /* "": dynamic */
    char metadata[TEXT_MAX]; /* unique: by it a member is known in the leader's list */
    int protocols[PROTOCOLS_MAX];
    int protocol_count;
    int64_t session_ms, rebalance_ms;
    int64_t due_ms; /* the end of its session */
    int join, sync; /* the slot that waits, NOBODY, GONE */
    bool is_new, is_sync_pending, is_pending;
    char assignment[TEXT_MAX];
};

/* What one slot is to be told. */
struct answer {
    bool is_due;
    int16_t error_code;
    bool is_told_generation; /* join: generation, protocol, leader */
    int32_t generation;
    int protocol;
    int member; /* whose answer it is: index, valid until the model moves on; -1: nobody's */
    char leader[TEXT_MAX];
    bool has_leader; /* the leader's id is known */
    bool has_members, is_skipped;
    char assignment[TEXT_MAX];
};

struct model {
    bool exists;
    enum state state;
    int32_t generation;
    int protocol;
    struct member members[MEMBERS_MAX]; /* in order of joining; pending ones among them */
    int count;
    int leader;           /* index; -1: none */
    int64_t phase_due_ms; /* -1: none */
    bool is_initial;
    int64_t newcomer_ms, initial_end_ms;
    int64_t now_ms;
    struct answer answers[SLOTS];
    /* settings */
    int64_t initial_delay_ms;
    int size_max;
    enum broken_rule broken;
    /* What the log keeps. */
    uint64_t writes;
    bool is_written;
    int32_t written_generation;
    int written_protocol, written_leader;
    struct member written[MEMBERS_MAX];
    int written_count;
};

struct join {
    int slot;
    int version;
    const char *id, *instance, *metadata; /* "": none */
    const int *protocols;
    int protocol_count;
    int64_t session_ms, rebalance_ms;
};

void model_open(struct model *model, int64_t now_ms, int64_t initial_delay_ms, int size_max,
                enum broken_rule broken);
void model_join(struct model *model, const struct join *join);
/* assignments[i] is for ids[i]. */
void model_sync(struct model *model, int slot, const char *id, const char *instance, int32_t generation,
                int count, const char *const *ids, const char *const *assignments);
int16_t model_heartbeat(struct model *model, const char *id, const char *instance, int32_t generation);
int16_t model_commit(struct model *model, const char *id, const char *instance, int32_t generation);
/* Of one leaver; the same group of steps ends with model_left(). */
int16_t model_leave(struct model *model, const char *id, const char *instance, bool *was_member);
void model_left(struct model *model, bool was_member);
void model_disconnect(struct model *model, int slot);
/* Everything that the log does not keep is gone. */
void model_restart(struct model *model);
/* The next deadline, or INT64_MAX; *is_tied when two are the same. */
int64_t model_next_ms(const struct model *model, bool *is_tied);
/* The clock is at the next deadline: what is due happens. */
void model_tick(struct model *model, int64_t now_ms);
/* By metadata, which is unique; -1: nobody. */
int model_find_metadata(const struct model *model, const char *metadata);

#endif
