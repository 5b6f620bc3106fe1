/* The steps of the consumer protocol: what handlers fill in, and what comes back. */
#ifndef RUNNEL_BROKER_GROUP_CONSUMER_OPS_H
#define RUNNEL_BROKER_GROUP_CONSUMER_OPS_H

#include "broker/group/consumer.h"
#include "codec/consumer_group_heartbeat.h"

struct classic_facts;

struct consumer_heartbeat {
    struct shard_op op;  /* first */
    struct shard_op *on; /* the op whose step it is: op, or that of a JoinGroup */
    const struct consumer_group_heartbeat_request *in;
    struct consumer_group_heartbeat_response *out; /* filled in, when there is no error */
    slice client_id;
    slice client_host;
    slice member_id;                     /* the request's, or one of our making */
    const struct classic_facts *classic; /* of a JoinGroup; NULL: it speaks the consumer protocol */
    bool knows_id;                       /* of a JoinGroup: the request has a member id */
    slice error_message;                 /* null: none; of the arena or of the program */
    /* The steps' own. */
    bool has_assignment;
    bool has_to_act;   /* the assignment is not what it says it owns */
    bool has_moved;    /* its current assignment has a new record */
    bool has_taken;    /* the resolution that waited is in the records */
    bool has_upgraded; /* the group was a classic one */
    int64_t image;     /* end offset of what the group was compared with; -1: it was not */
};

void consumer_heartbeat_decide(struct shard_op *op, void *state);
void consumer_heartbeat_apply(struct shard_op *op, void *state);

#endif
