/* A member of a classic group, played by hand: each step of the protocol is sent and received by itself. */
#ifndef RUNNEL_TESTS_SUPPORT_GROUP_MEMBER_H
#define RUNNEL_TESTS_SUPPORT_GROUP_MEMBER_H

#include "codec/join_group.h"
#include "codec/sync_group.h"
#include "tests/support/sim.h"

enum { MEMBER_PROTOCOLS = 4, MEMBER_TEXT_SIZE = 160 };

struct group_member {
    struct sim_client client;
    int16_t version; /* of JoinGroup; that of the others follows as in clients of that time */
    const char *group;
    const char *type;
    const char *instance; /* NULL: dynamic */
    struct join_group_request_protocol protocols[MEMBER_PROTOCOLS];
    int32_t protocol_count;
    int32_t session_timeout_ms;
    int32_t rebalance_timeout_ms;
    /* What it knows; the id is "" at first. */
    char id[MEMBER_TEXT_SIZE];
    int32_t generation;
    char protocol[MEMBER_TEXT_SIZE];
    /* The last answer to its join; what it points to is gone with the next answer. */
    struct join_group_response joined;
    bool is_leader;
    /* Whom it was told of, for its sync. */
    char (*roster)[MEMBER_TEXT_SIZE];
    int32_t roster_count;
};

/* Of group "group", type "consumer", protocols "range" and "roundrobin" with metadata that names the member's
 * number; session 10 s, rebalance 30 s. */
void member_open(struct sim *sim, struct group_member *member, int number, int16_t version);
void member_close(struct group_member *member);

/* The same member with a connection of its own. */
void member_copy(struct group_member *copy, const struct group_member *member);

bool member_send_join(struct group_member *member);
/* False: it waits still, or the connection was closed. On success id and generation are noted. */
bool member_receive_join(struct group_member *member, int16_t *error_code);
/* Sends a join, and where an id is required, another with it; the answer to that is left to come. */
void member_begin_join(struct group_member *member);
/* The leader's share for each member it was told of is "<member id>@<generation>". */
bool member_send_sync(struct group_member *member);
/* *assignment lives until the next answer. */
bool member_receive_sync(struct group_member *member, int16_t *error_code, slice *assignment);
int16_t member_heartbeat(struct group_member *member);
int16_t member_leave(struct group_member *member);

/* Of all of them, who wait in join already: receives their answers, syncs, checks each assignment. */
void members_settle(struct group_member *const *members, int count);
/* Makes __consumer_offsets. */
void member_find_coordinator(struct group_member *member);

#endif
