/* CreateTopics v2-7: makes topics, and tells what they became.
 * v4 defaults for counts (KIP-464); v5 flexible, settings in the answer (KIP-525); v7 topic ids. */
#include "broker/handlers/handlers.h"
#include "broker/handlers/repeated_names.h"

#include "broker/server.h"
#include "protocol/base/check.h"
#include "storage/directory.h"

/* What DescribeConfigs calls the places that values come from. */
enum { FROM_TOPIC = 1, FROM_BROKER_FILE = 4, FROM_DEFAULT = 5, DEFAULT_VALUE_SIZE = 1024 };

enum fate { FATE_MADE, FATE_DUPLICATE, FATE_REPEATED, FATE_PROHIBITED, FATE_DENIED };

/* One topic of the request. */
struct wish {
    const struct create_topics_request_topic *in;
    enum fate fate;
    struct create_topic *made; /* with FATE_MADE */
};

struct create_topics_state {
    struct wish *wishes; /* in the request's order */
    size_t count;
    struct create_topic *topics;
    size_t topic_count;
    bool validate_only;
    const struct create_topics_response_config *defaults; /* of topics without settings of their own */
    size_t default_count;
};

/* -- what is asked for -------------------------------------------------------------------------- */

/* A name that the request has twice is made not even once, and answered once. */
static bool mark_duplicates(struct request *rq, struct create_topics_state *state)
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

static bool may_create(struct request *rq, slice name)
{
    const struct topic *topic;
    return rq_topic(rq, name, OP_CREATE, &topic) != ERR_TOPIC_AUTHORIZATION_FAILED;
}

static bool take_assignments(struct request *rq, const struct create_topics_request_topic *in,
                             struct create_topic *topic)
{
    size_t count = (size_t)in->assignments_count;
    struct replica_assignment *assignments = arena_alloc_array(&rq->arena, count, sizeof *assignments);
    if (!assignments)
        return false;
    for (size_t i = 0; i < count; i++)
        assignments[i] =
            (struct replica_assignment){ .partition = in->assignments[i].partition,
                                         .broker_ids = in->assignments[i].broker_ids,
                                         .broker_count = (size_t)in->assignments[i].broker_ids_count };
    topic->assignments = assignments;
    topic->assignment_count = count;
    return true;
}

/* Of a setting that comes twice the last counts, as in the map that Kafka puts them into. */
static bool take_configs(struct request *rq, const struct create_topics_request_topic *in,
                         struct create_topic *topic)
{
    size_t count = (size_t)in->configs_count;
    struct topic_config_override *overrides = arena_alloc_array(&rq->arena, count, sizeof *overrides);
    if (!overrides)
        return false;
    for (size_t i = 0; i < count; i++)
        overrides[i] = (struct topic_config_override){ in->configs[i].name, in->configs[i].value };
    topic->overrides = overrides;
    topic->override_count = count;
    return true;
}

static bool take_wish(struct request *rq, struct create_topics_state *state, struct wish *wish)
{
    const struct create_topics_request_topic *in = wish->in;
    struct create_topic *topic = &state->topics[state->topic_count++];
    *topic = (struct create_topic){ .name = in->name,
                                    .partition_count = in->num_partitions,
                                    .replication_factor = in->replication_factor };
    wish->made = topic;
    return take_assignments(rq, in, topic) && take_configs(rq, in, topic);
}

static bool take_wishes(struct request *rq, const struct create_topics_request *in,
                        struct create_topics_state *state)
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
    bool may_create_all = rq_cluster(rq, OP_CREATE) == ERR_NONE;
    for (size_t i = 0; i < state->count; i++) {
        struct wish *wish = &state->wishes[i];
        if (wish->fate != FATE_MADE)
            continue;
        if (slice_equal_string(wish->in->name, METADATA_TOPIC_NAME))
            wish->fate = FATE_PROHIBITED;
        else if (!may_create_all && !may_create(rq, wish->in->name))
            wish->fate = FATE_DENIED;
        else if (!take_wish(rq, state, wish))
            return false;
    }
    return true;
}

static void create(struct request *rq)
{
    struct create_topics_state *state = rq->state;
    controller_create_topics(rq->server->controller, state->topics, state->topic_count, state->validate_only);
}

/* -- the settings of what was made -------------------------------------------------------------- */

static int8_t source_of_default(const struct config *config, size_t index)
{
    size_t synonyms[TOPIC_CONFIG_SYNONYMS_MAX];
    size_t count = topic_config_synonyms(index, synonyms);
    for (size_t i = 0; i < count; i++) {
        struct config_setting setting;
        config_setting_at(config, synonyms[i], &setting);
        if (setting.source != CONFIG_FROM_DEFAULT)
            return FROM_BROKER_FILE;
    }
    return FROM_DEFAULT;
}

static bool fill_default(struct request *rq, size_t index, struct create_topics_response_config *out)
{
    char text[DEFAULT_VALUE_SIZE];
    bool ok = true;
    size_t size = topic_config_default(rq->server->config, index, text, sizeof text);
    create_topics_response_config_init(out);
    out->name = slice_of_string(topic_config_row(index)->name);
    out->value = arena_copy(&rq->arena, slice_of(text, size), &ok);
    out->config_source = source_of_default(rq->server->config, index);
    return ok;
}

/* Without a default it is internal: shown when it is set. */
static bool has_default(size_t index)
{
    return topic_config_row(index)->value_default != NULL;
}

static bool fill_defaults(struct request *rq, struct create_topics_state *state)
{
    struct create_topics_response_config *configs =
        arena_alloc_array(&rq->arena, topic_config_count(), sizeof *configs);
    if (!configs)
        return false;
    for (size_t i = 0; i < topic_config_count(); i++)
        if (has_default(i) && !fill_default(rq, i, &configs[state->default_count++]))
            return false;
    state->defaults = configs;
    return true;
}

static const struct topic_config_override *override_of(const struct create_topic *topic, const char *name)
{
    for (size_t i = topic->override_count; i > 0; i--)
        if (slice_equal_string(topic->overrides[i - 1].name, name))
            return &topic->overrides[i - 1];
    return NULL;
}

/* In the order of their names. Topics without settings of their own share one list. */
static bool fill_configs(struct request *rq, struct create_topics_state *state,
                         const struct create_topic *topic, struct create_topics_response_topic *out)
{
    if (!state->defaults && !fill_defaults(rq, state))
        return false;
    out->configs = (struct create_topics_response_config *)state->defaults; /* only read from here on */
    out->configs_count = (int32_t)state->default_count;
    if (topic->override_count == 0)
        return true;
    struct create_topics_response_config *configs =
        arena_alloc_array(&rq->arena, topic_config_count(), sizeof *configs);
    if (!configs)
        return false;
    size_t at = 0, count = 0;
    for (size_t i = 0; i < topic_config_count(); i++) {
        const char *name = topic_config_row(i)->name;
        const struct topic_config_override *override = override_of(topic, name);
        if (has_default(i))
            configs[count] = state->defaults[at++];
        else if (override)
            create_topics_response_config_init(&configs[count]);
        else
            continue;
        if (override) {
            configs[count].name = slice_of_string(name);
            configs[count].value = override->value;
            configs[count].config_source = FROM_TOPIC;
        }
        count++;
    }
    out->configs = configs;
    out->configs_count = (int32_t)count;
    return true;
}

/* -- the answer --------------------------------------------------------------------------------- */

static void fill_error(struct create_topics_response_topic *out, slice name, int16_t error_code,
                       const char *message)
{
    create_topics_response_topic_init(out);
    out->name = name;
    out->error_code = error_code;
    out->error_message = message && message[0] ? slice_of_string(message) : SLICE_NULL;
}

static bool fill_made(struct request *rq, struct create_topics_state *state, const struct create_topic *topic,
                      struct create_topics_response_topic *out)
{
    const struct topic *found;
    fill_error(out, topic->name, topic->error_code, topic->message);
    if (topic->error_code != ERR_NONE)
        return true;
    out->topic_id = topic->id;
    if (rq_topic(rq, topic->name, OP_DESCRIBE_CONFIGS, &found) == ERR_TOPIC_AUTHORIZATION_FAILED) {
        out->topic_config_error_code = ERR_TOPIC_AUTHORIZATION_FAILED;
        return true;
    }
    out->num_partitions = topic->created_partition_count;
    out->replication_factor = topic->created_replication_factor;
    return rq->api_version < 5 || fill_configs(rq, state, topic, out);
}

/* Kafka's order: what the controller judged, then names that came twice, then what it never saw. */
static enum handled answer(struct request *rq)
{
    struct create_topics_state *state = rq->state;
    struct create_topics_response *out = rq->out;
    out->topics = arena_alloc_array(&rq->arena, state->count, sizeof *out->topics);
    if (!out->topics)
        return HANDLED_CLOSE;
    for (size_t i = 0; i < state->count; i++)
        if (state->wishes[i].fate == FATE_MADE &&
            !fill_made(rq, state, state->wishes[i].made, &out->topics[out->topics_count++]))
            return HANDLED_CLOSE;
    for (size_t i = 0; i < state->count; i++)
        if (state->wishes[i].fate == FATE_DUPLICATE)
            fill_error(&out->topics[out->topics_count++], state->wishes[i].in->name, ERR_INVALID_REQUEST,
                       "Duplicate topic name.");
    for (size_t i = 0; i < state->count; i++) {
        const struct wish *wish = &state->wishes[i];
        if (wish->fate == FATE_PROHIBITED)
            fill_error(&out->topics[out->topics_count++], wish->in->name, ERR_INVALID_REQUEST,
                       "Creation of internal topic " METADATA_TOPIC_NAME " is prohibited.");
        else if (wish->fate == FATE_DENIED)
            fill_error(&out->topics[out->topics_count++], wish->in->name, ERR_TOPIC_AUTHORIZATION_FAILED,
                       "Authorization failed.");
    }
    return HANDLED_DONE;
}

static enum handled resume_created(struct request *rq, enum wake why)
{
    check(why == WAKE_WORKED);
    return answer(rq);
}

/* The timeout is not looked at: the worker is done when the topics are there and durable. */
enum handled handle_create_topics(struct request *rq, const struct create_topics_request *in,
                                  struct create_topics_response *out)
{
    (void)out;
    struct create_topics_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    rq->state = state;
    if (!state || !take_wishes(rq, in, state))
        return HANDLED_CLOSE;
    state->validate_only = in->validate_only;
    if (state->topic_count == 0)
        return answer(rq);
    rq->resume = resume_created;
    rq_work(rq, create);
    return HANDLED_BUSY;
}
