/* DeleteTopics v1-6: removes topics, by name or by id.
 * v4 flexible; v5 messages; v6 by id (KIP-516). */
#include "broker/handlers/handlers.h"

#include <stdlib.h>

#include "broker/server.h"
#include "protocol/base/check.h"

/* Kafka's bound on the records of one operation. */
enum { DELETIONS_MAX = 10000 };

/* One topic of the request, and its place in the answer. */
struct wish {
    slice name; /* null: by id */
    uuid id;    /* of the topic, once that is known */
    bool is_by_id;
    bool is_settled; /* the answer stands, without the controller */
    bool is_hidden;  /* somebody else's answer speaks for it */
    int16_t error_code;
    const char *message; /* borrowed; NULL: none */
};

struct delete_topics_state {
    struct wish *wishes; /* in the request's order */
    size_t count;
    struct wish **sorted; /* scratch */
    struct delete_topic *topics;
    struct wish **asked; /* for each of topics */
    size_t topic_count;
};

/* As Kafka words them. */
static const char unknown_name[] = "This server does not host this topic-partition.";
static const char unknown_id[] = "This server does not host this topic ID.";
static const char denied[] = "Topic authorization failed.";

static void settle(struct wish *wish, int16_t error_code, const char *message)
{
    wish->is_settled = true;
    wish->error_code = error_code;
    wish->message = message;
}

/* -- what is asked for -------------------------------------------------------------------------- */

static int by_place(const struct wish *a, const struct wish *b)
{
    return (a > b) - (a < b);
}

static int by_name(const void *a, const void *b)
{
    const struct wish *const *left = a, *const *right = b;
    int order = slice_compare((*left)->name, (*right)->name);
    return order ? order : by_place(*left, *right);
}

/* Of one id, names come behind the ids themselves. */
static int by_id(const void *a, const void *b)
{
    const struct wish *const *left = a, *const *right = b;
    int order = memcmp(&(*left)->id, &(*right)->id, sizeof(uuid));
    if (order == 0)
        order = (*right)->is_by_id - (*left)->is_by_id;
    return order ? order : by_place(*left, *right);
}

static void take_topic(struct wish *wish, const struct delete_topics_request_topic *in)
{
    *wish = (struct wish){ .name = in->name, .id = in->topic_id, .is_by_id = slice_is_null(in->name) };
    bool has_id = !uuid_is_zero(in->topic_id);
    if (wish->is_by_id && !has_id)
        settle(wish, ERR_INVALID_REQUEST, "Neither topic name nor id were specified.");
    else if (!wish->is_by_id && has_id)
        settle(wish, ERR_INVALID_REQUEST, "You may not specify both topic name and topic id.");
}

static bool take_wishes(struct request *rq, const struct delete_topics_request *in,
                        struct delete_topics_state *state)
{
    bool has_topics = rq->api_version >= 6;
    state->count = (size_t)(has_topics ? in->topics_count : in->topic_names_count);
    state->wishes = arena_alloc_array(&rq->arena, state->count, sizeof *state->wishes);
    state->sorted = arena_alloc_array(&rq->arena, state->count, sizeof(struct wish *));
    state->asked = arena_alloc_array(&rq->arena, state->count, sizeof(struct wish *));
    state->topics = arena_alloc_array(&rq->arena, state->count, sizeof *state->topics);
    if (!state->wishes || !state->sorted || !state->asked || !state->topics)
        return false;
    for (size_t i = 0; i < state->count; i++) {
        if (has_topics)
            take_topic(&state->wishes[i], &in->topics[i]);
        else
            state->wishes[i].name = in->topic_names[i];
    }
    return true;
}

static size_t sort_unsettled(struct delete_topics_state *state, bool is_by_id,
                             int (*compare)(const void *, const void *))
{
    size_t count = 0;
    for (size_t i = 0; i < state->count; i++)
        if (!state->wishes[i].is_settled && state->wishes[i].is_by_id == is_by_id)
            state->sorted[count++] = &state->wishes[i];
    qsort(state->sorted, count, sizeof(struct wish *), compare);
    return count;
}

/* What the request has twice is deleted not even once, and answered once. */
static void settle_duplicates(struct delete_topics_state *state, bool is_by_id)
{
    size_t count = sort_unsettled(state, is_by_id, is_by_id ? by_id : by_name);
    for (size_t i = 1; i < count; i++) {
        struct wish *first = state->sorted[i - 1], *second = state->sorted[i];
        bool is_same = is_by_id ? uuid_equal(first->id, second->id) : slice_equal(first->name, second->name);
        if (!is_same)
            continue;
        const char *message = is_by_id ? "Duplicate topic id." : "Duplicate topic name.";
        settle(first, ERR_INVALID_REQUEST, message);
        settle(second, ERR_INVALID_REQUEST, message);
        second->is_hidden = true;
    }
}

/* -- which topics they are ---------------------------------------------------------------------- */

static bool may(struct request *rq, slice name, enum acl_operation op)
{
    const struct topic *topic;
    return rq_topic(rq, name, op, &topic) != ERR_TOPIC_AUTHORIZATION_FAILED;
}

static void settle_denied(struct wish *wish)
{
    settle(wish, ERR_TOPIC_AUTHORIZATION_FAILED, denied);
}

/* Whoever may not describe a topic does not learn the name that belongs to its id. */
static void resolve_id(struct request *rq, bool may_all, struct wish *wish)
{
    const struct topic *topic = image_topic_by_id(rq->image, wish->id);
    if (!topic) {
        settle(wish, ERR_UNKNOWN_TOPIC_ID, unknown_id);
        return;
    }
    bool is_denied = !may_all && !may(rq, topic->name_slice, OP_DELETE);
    if (!is_denied || may(rq, topic->name_slice, OP_DESCRIBE))
        wish->name = topic->name_slice;
    if (is_denied)
        settle_denied(wish);
}

static void resolve_name(struct request *rq, bool may_all, struct wish *wish)
{
    const struct topic *topic = image_topic_by_name(rq->image, wish->name);
    if (!may_all && !may(rq, wish->name, OP_DESCRIBE))
        settle_denied(wish);
    else if (!topic)
        settle(wish, ERR_UNKNOWN_TOPIC_OR_PARTITION, unknown_name);
    else if (!may_all && !may(rq, wish->name, OP_DELETE))
        settle_denied(wish);
    else
        wish->id = topic->id;
}

/* A name and the id that it stands for, in one request: neither is deleted, and the name's answer tells. */
static void settle_aliases(struct delete_topics_state *state)
{
    size_t count = 0;
    for (size_t i = 0; i < state->count; i++) {
        struct wish *wish = &state->wishes[i];
        bool is_duplicate_id = wish->is_by_id && wish->is_settled && !wish->is_hidden &&
                               wish->error_code == ERR_INVALID_REQUEST && !uuid_is_zero(wish->id);
        if (!wish->is_settled || is_duplicate_id)
            state->sorted[count++] = wish;
    }
    qsort(state->sorted, count, sizeof(struct wish *), by_id);
    for (size_t i = 1; i < count; i++) {
        struct wish *first = state->sorted[i - 1], *second = state->sorted[i];
        if (!uuid_equal(first->id, second->id) || second->is_by_id)
            continue;
        first->is_hidden = first->is_hidden || !first->is_settled;
        first->is_settled = true;
        settle(second, ERR_INVALID_REQUEST,
               "The provided topic name maps to an ID that was already supplied.");
    }
}

/* The names borrowed from the image are copied: the answer comes in another turn. */
static bool resolve(struct request *rq, struct delete_topics_state *state)
{
    bool may_all = rq_cluster(rq, OP_DELETE) == ERR_NONE, ok = true;
    settle_duplicates(state, false);
    settle_duplicates(state, true);
    for (size_t i = 0; i < state->count; i++) {
        struct wish *wish = &state->wishes[i];
        if (wish->is_settled)
            continue;
        if (wish->is_by_id)
            resolve_id(rq, may_all, wish);
        else
            resolve_name(rq, may_all, wish);
        if (wish->is_by_id)
            wish->name = arena_copy(&rq->arena, wish->name, &ok);
    }
    settle_aliases(state);
    return ok;
}

/* -- the deletion and the answer ---------------------------------------------------------------- */

static void delete (struct request *rq)
{
    struct delete_topics_state *state = rq->state;
    controller_delete_topics(rq->server->controller, state->topics, state->topic_count);
}

static void fill(const struct wish *wish, int16_t version, struct delete_topics_response_topic *out)
{
    delete_topics_response_topic_init(out);
    out->name = wish->name;
    out->error_code = wish->error_code;
    out->error_message = slice_of_string(wish->message);
    if (version >= 6)
        out->topic_id = wish->id;
}

/* In the request's order. Kafka shuffles, lest a place tell a missing topic from a hidden one; no place does
 * here. */
static enum handled answer(struct request *rq)
{
    const struct delete_topics_state *state = rq->state;
    struct delete_topics_response *out = rq->out;
    out->topics = arena_alloc_array(&rq->arena, state->count, sizeof *out->topics);
    if (!out->topics)
        return HANDLED_CLOSE;
    for (size_t i = 0; i < state->count; i++)
        if (!state->wishes[i].is_hidden)
            fill(&state->wishes[i], rq->api_version, &out->topics[out->topics_count++]);
    return HANDLED_DONE;
}

static enum handled answer_all(struct request *rq, int16_t error_code)
{
    struct delete_topics_state *state = rq->state;
    for (size_t i = 0; i < state->count; i++) {
        settle(&state->wishes[i], error_code, NULL);
        state->wishes[i].is_hidden = false;
    }
    return answer(rq);
}

static enum handled resume_deleted(struct request *rq, enum wake why)
{
    check(why == WAKE_WORKED);
    struct delete_topics_state *state = rq->state;
    for (size_t i = 0; i < state->topic_count; i++) {
        const struct delete_topic *topic = &state->topics[i];
        struct wish *wish = state->asked[i];
        wish->error_code = topic->error_code;
        wish->message = topic->message[0] ? topic->message : NULL;
        if (topic->error_code == ERR_UNKNOWN_TOPIC_ID && !wish->is_by_id)
            wish->error_code = ERR_UNKNOWN_TOPIC_OR_PARTITION; /* somebody else was faster */
    }
    return answer(rq);
}

/* The timeout is not looked at: the worker is done when the deletion is durable. */
enum handled handle_delete_topics(struct request *rq, const struct delete_topics_request *in,
                                  struct delete_topics_response *out)
{
    (void)out;
    struct delete_topics_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    rq->state = state;
    if (!state || !take_wishes(rq, in, state))
        return HANDLED_CLOSE;
    if (!rq->server->config->delete_topic_enable)
        return answer_all(rq, rq->api_version < 3 ? ERR_INVALID_REQUEST : ERR_TOPIC_DELETION_DISABLED);
    if (!resolve(rq, state))
        return HANDLED_CLOSE;
    for (size_t i = 0; i < state->count; i++) {
        if (state->wishes[i].is_settled)
            continue;
        state->topics[state->topic_count].id = state->wishes[i].id;
        state->asked[state->topic_count++] = &state->wishes[i];
    }
    if (state->topic_count > DELETIONS_MAX)
        return answer_all(rq, ERR_POLICY_VIOLATION);
    if (state->topic_count == 0)
        return answer(rq);
    rq->resume = resume_deleted;
    rq_work(rq, delete);
    return HANDLED_BUSY;
}
