/* CreatePartitions v0-3: gives topics more partitions (KIP-195).
 * v2 flexible; v3 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599), which nothing here does. */
#include "broker/handlers/handlers.h"
#include "broker/handlers/repeated_names.h"

#include "broker/server.h"
#include "protocol/base/check.h"

enum fate { FATE_GROWN, FATE_DUPLICATE, FATE_REPEATED, FATE_DENIED };

/* One topic of the request. */
struct wish {
    const struct create_partitions_request_topic *in;
    enum fate fate;
};

struct create_partitions_state {
    struct wish *wishes; /* in the request's order */
    size_t count;
    struct grow_topic *topics;
    size_t topic_count;
    bool validate_only;
};

/* A name that the request has twice does not grow, and is answered once. */
static bool mark_duplicates(struct request *rq, struct create_partitions_state *state)
{
    slice *names = arena_alloc_array(&rq->arena, state->count, sizeof *names);
    for (size_t i = 0; names && i < state->count; i++)
        names[i] = state->wishes[i].in->name;
    const enum name_mark *marks = names ? repeated_names(&rq->arena, names, state->count) : NULL;
    for (size_t i = 0; marks && i < state->count; i++)
        if (marks[i] != NAME_ONCE)
            state->wishes[i].fate = marks[i] == NAME_DUPLICATE ? FATE_DUPLICATE : FATE_REPEATED;
    return marks != NULL;
}

static bool take_wish(struct request *rq, struct create_partitions_state *state,
                      const struct create_partitions_request_topic *in)
{
    struct grow_topic *topic = &state->topics[state->topic_count++];
    *topic = (struct grow_topic){ .name = in->name, .partition_count = in->count };
    if (in->assignments_count < 0)
        return true; /* null: automatic; an empty list is a wrong one */
    size_t count = (size_t)in->assignments_count;
    struct replica_assignment *assignments = arena_alloc_array(&rq->arena, count, sizeof *assignments);
    if (!assignments)
        return false;
    for (size_t i = 0; i < count; i++) {
        assignments[i].broker_ids = in->assignments[i].broker_ids;
        assignments[i].broker_count = (size_t)in->assignments[i].broker_ids_count;
    }
    topic->assignments = assignments;
    topic->assignment_count = count;
    return true;
}

static bool take_wishes(struct request *rq, const struct create_partitions_request *in,
                        struct create_partitions_state *state)
{
    state->count = (size_t)in->topics_count;
    state->wishes = arena_alloc_array(&rq->arena, state->count, sizeof *state->wishes);
    state->topics = arena_alloc_array(&rq->arena, state->count, sizeof *state->topics);
    if (!state->wishes || !state->topics)
        return false;
    for (size_t i = 0; i < state->count; i++)
        state->wishes[i].in = &in->topics[i];
    if (!mark_duplicates(rq, state))
        return false;
    for (size_t i = 0; i < state->count; i++) {
        struct wish *wish = &state->wishes[i];
        const struct topic *topic;
        if (wish->fate != FATE_GROWN)
            continue;
        if (rq_topic(rq, wish->in->name, OP_ALTER, &topic) == ERR_TOPIC_AUTHORIZATION_FAILED)
            wish->fate = FATE_DENIED;
        else if (!take_wish(rq, state, wish->in))
            return false;
    }
    return true;
}

static void grow(struct request *rq)
{
    struct create_partitions_state *state = rq->state;
    controller_grow_topics(rq->server->controller, state->topics, state->topic_count, state->validate_only);
}

static void fill(struct create_partitions_response_topic *out, slice name, int16_t error_code,
                 const char *message)
{
    create_partitions_response_topic_init(out);
    out->name = name;
    out->error_code = error_code;
    out->error_message = message && message[0] ? slice_of_string(message) : SLICE_NULL;
}

/* Kafka's order: names that came twice, what is denied, what the controller judged. */
static enum handled answer(struct request *rq)
{
    const struct create_partitions_state *state = rq->state;
    struct create_partitions_response *out = rq->out;
    out->results = arena_alloc_array(&rq->arena, state->count, sizeof *out->results);
    if (!out->results)
        return HANDLED_CLOSE;
    for (size_t i = 0; i < state->count; i++)
        if (state->wishes[i].fate == FATE_DUPLICATE)
            fill(&out->results[out->results_count++], state->wishes[i].in->name, ERR_INVALID_REQUEST,
                 "Duplicate topic name.");
    for (size_t i = 0; i < state->count; i++)
        if (state->wishes[i].fate == FATE_DENIED)
            fill(&out->results[out->results_count++], state->wishes[i].in->name,
                 ERR_TOPIC_AUTHORIZATION_FAILED, NULL);
    for (size_t i = 0; i < state->topic_count; i++)
        fill(&out->results[out->results_count++], state->topics[i].name, state->topics[i].error_code,
             state->topics[i].message);
    return HANDLED_DONE;
}

static enum handled resume_grown(struct request *rq, enum wake why)
{
    check(why == WAKE_WORKED);
    return answer(rq);
}

enum handled handle_create_partitions(struct request *rq, const struct create_partitions_request *in,
                                      struct create_partitions_response *out)
{
    (void)out;
    struct create_partitions_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    rq->state = state;
    if (!state || !take_wishes(rq, in, state))
        return HANDLED_CLOSE;
    state->validate_only = in->validate_only;
    if (state->topic_count == 0)
        return answer(rq);
    rq->resume = resume_grown;
    rq_work(rq, grow);
    return HANDLED_BUSY;
}
