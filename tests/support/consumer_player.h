/* A member of a consumer group (KIP-848), played as the clients do: it reports what it has, gives back what
 * it no longer shall have, and takes what it is given. */
#ifndef RUNNEL_TESTS_SUPPORT_CONSUMER_PLAYER_H
#define RUNNEL_TESTS_SUPPORT_CONSUMER_PLAYER_H

#include "codec/consumer_group_describe.h"
#include "codec/consumer_group_heartbeat.h"
#include "tests/support/sim.h"

enum { PLAYER_NAMES = 8, PLAYER_OWNED = 2048, PLAYER_TEXT = 64 };

struct player_partition {
    uuid topic;
    int32_t partition;
};

struct player_set {
    struct player_partition items[PLAYER_OWNED];
    int count;
};

struct consumer_player {
    struct sim_client client;
    bool is_connected;
    int16_t version;
    const char *group;
    const char *instance; /* NULL: dynamic */
    const char *assignor; /* NULL: the group's */
    const char *regex;    /* NULL: not told */
    const char *rack;
    const char *names[PLAYER_NAMES];
    int name_count; /* -1: not told */
    int32_t rebalance_timeout_ms;
    char id[PLAYER_TEXT];
    int32_t epoch;
    struct player_set owned;  /* it reads these */
    struct player_set target; /* it was told last that it shall have these */
    bool says_all;            /* the next heartbeat repeats everything: after an error, or a lost answer */
    bool has_news;            /* what it owns is not what it said last */
    /* The last answer. */
    int32_t interval_ms;
    char message[256];
    bool was_assigned;
};

/* Of group "group", topics none yet, rebalance 30 s, an id with its number; not connected. */
void player_init(struct consumer_player *player, int number);
void player_connect(struct sim *sim, struct consumer_player *player);
void player_disconnect(struct consumer_player *player);

/* Takes back what it shall not have, and takes what it is given; the next heartbeat says so. */
void player_obey(struct consumer_player *player);
/* Sends the next heartbeat: epoch 0 joins; later it says what is new, or all. */
bool player_send(struct consumer_player *player);
/* Receives the answer. -1: there is none. On FENCED_MEMBER_EPOCH and UNKNOWN_MEMBER_ID it has nothing any
 * more, and will join. */
int16_t player_receive(struct consumer_player *player);
/* Both. */
int16_t player_beat(struct consumer_player *player);
/* With epoch -1 or -2; it owns nothing after. */
int16_t player_leave(struct consumer_player *player, int32_t epoch);

bool player_has(const struct player_set *set, uuid topic, int32_t partition);
bool player_sets_equal(const struct player_set *a, const struct player_set *b);

/* Heartbeats of all, each obeying, until nobody is told anything new; the rounds that took. */
int players_settle(struct consumer_player *const *players, int count, int rounds_max);

/* Makes __consumer_offsets. */
void player_find_coordinator(struct consumer_player *player);
/* Of one group; what it points to is gone with the client's next answer. */
struct consumer_group_describe_response_group player_describe(struct sim_client *client, const char *group);

#endif
