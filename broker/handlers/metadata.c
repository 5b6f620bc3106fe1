/* Metadata v0-13: brokers, topics, leaders; makes topics that do not exist yet.
 * v0 an empty list means all topics; v1 null does, empty means none; v4 the client may forbid auto-creation;
 * v8 authorized operations (those of the cluster until v10); v9 flexible; v10 topic ids told; v12 topics
 * asked for by id (KIP-516); v13 top-level error (KIP-1102). */
#include "broker/handlers/handlers.h"

#include <stdlib.h>

#include "broker/authorized_operations.h"
#include "broker/internal_topics.h"
#include "broker/server.h"
#include "protocol/base/check.h"
#include "storage/directory.h"

enum {
    AUTHORIZED_OPERATIONS_SINCE = 8,
    CLUSTER_OPERATIONS_LAST = 10,
    BY_ID_SINCE = 12,
    AUTO_CREATE_MAX = 100
};

/* What one request asks for, without repetitions. */
struct metadata_state {
    bool is_all;
    bool is_by_id;
    slice *names; /* ascending */
    uuid *ids;    /* ascending */
    size_t count;
    struct create_topic *created; /* ascending by name; filled by the worker */
    size_t created_count;
};

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(uuid));
}

static int compare_created(const void *name, const void *topic)
{
    return slice_compare(*(const slice *)name, ((const struct create_topic *)topic)->name);
}

/* -- what is asked for -------------------------------------------------------------------------- */

static bool is_invalid(const struct request *rq, const struct metadata_request *in)
{
    for (int32_t i = 0; i < in->topics_count && rq->api_version < BY_ID_SINCE; i++)
        if (slice_is_null(in->topics[i].name) || !uuid_is_zero(in->topics[i].topic_id))
            return true;
    return false;
}

/* Kafka refuses the request as a whole, in the only place there is: at each topic. */
static enum handled refuse(struct request *rq, const struct metadata_request *in,
                           struct metadata_response *out)
{
    out->topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *out->topics);
    if (!out->topics)
        return HANDLED_CLOSE;
    out->topics_count = in->topics_count;
    for (int32_t i = 0; i < in->topics_count; i++) {
        struct metadata_response_topic *topic = &out->topics[i];
        metadata_response_topic_init(topic);
        topic->error_code = ERR_INVALID_REQUEST;
        topic->name = slice_is_null(in->topics[i].name) ? SLICE_LITERAL("") : in->topics[i].name;
        topic->topic_id = in->topics[i].topic_id;
    }
    return HANDLED_DONE;
}

static bool collect_ids(struct request *rq, const struct metadata_request *in, struct metadata_state *state)
{
    state->ids = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *state->ids);
    if (!state->ids)
        return false;
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count; i++)
        if (!uuid_is_zero(in->topics[i].topic_id))
            state->ids[count++] = in->topics[i].topic_id;
    qsort(state->ids, count, sizeof *state->ids, compare_ids);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || !uuid_equal(state->ids[i], state->ids[state->count - 1]))
            state->ids[state->count++] = state->ids[i];
    return true;
}

static bool collect_names(struct request *rq, const struct metadata_request *in, struct metadata_state *state)
{
    state->names = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *state->names);
    if (!state->names)
        return false;
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count; i++)
        if (!slice_is_null(in->topics[i].name))
            state->names[count++] = in->topics[i].name;
    qsort(state->names, count, sizeof *state->names, slice_compare_items);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || !slice_equal(state->names[i], state->names[state->count - 1]))
            state->names[state->count++] = state->names[i];
    return true;
}

static bool collect(struct request *rq, const struct metadata_request *in, struct metadata_state *state)
{
    state->is_all = in->topics_count < 0 || (rq->api_version == 0 && in->topics_count == 0);
    for (int32_t i = 0; i < in->topics_count && !state->is_by_id; i++)
        state->is_by_id =
            !uuid_is_zero(in->topics[i].topic_id); /* one is enough: names are then passed over */
    if (state->is_all)
        return true;
    return state->is_by_id ? collect_ids(rq, in, state) : collect_names(rq, in, state);
}

/* -- topics that are to be made ----------------------------------------------------------------- */

static bool is_auto_create(struct request *rq, const struct metadata_request *in)
{
    return in->allow_auto_topic_creation && rq->server->config->auto_create_topics_enable;
}

static bool may_create(struct request *rq, slice name)
{
    const struct topic *topic;
    return rq_cluster(rq, OP_CREATE) == ERR_NONE ||
           rq_topic(rq, name, OP_CREATE, &topic) != ERR_TOPIC_AUTHORIZATION_FAILED;
}

/* At most so many in one request: the names that are left over are unknown for now, and clients ask
 * again for what they really need. */
static bool collect_missing(struct request *rq, struct metadata_state *state)
{
    for (size_t i = 0; i < state->count && state->created_count < AUTO_CREATE_MAX; i++) {
        const struct topic *topic;
        const char *why;
        slice name = state->names[i];
        if (rq_topic(rq, name, OP_DESCRIBE, &topic) != ERR_UNKNOWN_TOPIC_OR_PARTITION ||
            !topic_name_valid(name, &why) || slice_equal_string(name, METADATA_TOPIC_NAME) ||
            !may_create(rq, name))
            continue;
        if (!state->created &&
            !(state->created = arena_alloc_array(&rq->arena, AUTO_CREATE_MAX, sizeof *state->created)))
            return false;
        struct create_topic *create = &state->created[state->created_count++];
        *create = (struct create_topic){ .name = name, .partition_count = -1, .replication_factor = -1 };
        if (!internal_topic_settings(rq->server->config, create, &rq->arena))
            return false;
    }
    return true;
}

static void create_missing(struct request *rq)
{
    struct metadata_state *state = rq->state;
    controller_create_topics(rq->server->controller, state->created, state->created_count, false);
}

static int16_t error_of_missing(struct request *rq, const struct metadata_request *in,
                                const struct metadata_state *state, slice name)
{
    const char *why;
    if (!topic_name_valid(name, &why))
        return ERR_INVALID_TOPIC_EXCEPTION;
    if (!is_auto_create(rq, in))
        return ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (!may_create(rq, name))
        return ERR_TOPIC_AUTHORIZATION_FAILED;
    const struct create_topic *created = state->created ? bsearch(&name, state->created, state->created_count,
                                                                  sizeof *created, compare_created)
                                                        : NULL;
    bool is_refused =
        created && created->error_code != ERR_NONE && created->error_code != ERR_TOPIC_ALREADY_EXISTS;
    return is_refused ? created->error_code : ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

/* -- the answer --------------------------------------------------------------------------------- */

static void fill_partition(const struct partition_metadata *from, int32_t index,
                           struct metadata_response_partition *out)
{
    metadata_response_partition_init(out);
    out->error_code = from->leader < 0 ? ERR_LEADER_NOT_AVAILABLE : ERR_NONE;
    out->partition = index;
    out->leader_id = from->leader;
    out->leader_epoch = from->leader_epoch;
    out->replica_nodes = (int32_t *)from->replicas; /* only read from here on */
    out->replica_nodes_count = from->replica_count;
    out->isr_nodes = (int32_t *)from->isr;
    out->isr_nodes_count = from->isr_count;
}

/* partitions: room for them all. */
static void fill_topic(const struct topic *topic, struct metadata_response_partition *partitions,
                       struct metadata_response_topic *out)
{
    metadata_response_topic_init(out);
    out->name = topic->name_slice;
    out->topic_id = topic->id;
    out->is_internal = topic->is_internal;
    out->partitions = partitions;
    out->partitions_count = topic->partition_count;
    for (int32_t i = 0; i < topic->partition_count; i++)
        fill_partition(&topic->partitions[i], i, &partitions[i]);
}

static void fill_error(struct metadata_response_topic *out, int16_t error_code, slice name, uuid id)
{
    metadata_response_topic_init(out);
    out->error_code = error_code;
    out->name = name;
    out->topic_id = id;
}

static bool fill_all(struct request *rq, struct metadata_response *out)
{
    const struct image *image = rq->image;
    out->topics = arena_alloc_array(&rq->arena, image->topic_count, sizeof *out->topics);
    struct metadata_response_partition *partitions =
        arena_alloc_array(&rq->arena, image->partition_count, sizeof *partitions);
    if (!out->topics || !partitions)
        return false;
    for (size_t i = 0; i < image->topic_count; i++) {
        const struct topic *topic;
        if (rq_topic(rq, image->topics[i]->name_slice, OP_DESCRIBE, &topic) != ERR_NONE)
            continue; /* hidden, not refused */
        fill_topic(topic, partitions, &out->topics[out->topics_count++]);
        partitions += topic->partition_count;
    }
    return true;
}

static bool fill_found(struct request *rq, const struct topic *topic, struct metadata_response_topic *out)
{
    struct metadata_response_partition *partitions =
        arena_alloc_array(&rq->arena, (size_t)topic->partition_count, sizeof *partitions);
    if (partitions)
        fill_topic(topic, partitions, out);
    return partitions != NULL;
}

static bool fill_by_id(struct request *rq, const struct metadata_state *state, struct metadata_response *out)
{
    for (size_t i = 0; i < state->count; i++) {
        struct metadata_response_topic *to = &out->topics[out->topics_count++];
        const struct topic *topic = image_topic_by_id(rq->image, state->ids[i]);
        int16_t error_code =
            topic ? rq_topic(rq, topic->name_slice, OP_DESCRIBE, &topic) : (int16_t)ERR_UNKNOWN_TOPIC_ID;
        if (error_code != ERR_NONE)
            fill_error(to, error_code, SLICE_NULL, state->ids[i]); /* ids are no secret, names are */
        else if (!fill_found(rq, topic, to))
            return false;
    }
    return true;
}

static bool fill_by_name(struct request *rq, const struct metadata_request *in,
                         const struct metadata_state *state, struct metadata_response *out)
{
    for (size_t i = 0; i < state->count; i++) {
        struct metadata_response_topic *to = &out->topics[out->topics_count++];
        const struct topic *topic;
        int16_t error_code = rq_topic(rq, state->names[i], OP_DESCRIBE, &topic);
        bool is_denied = error_code == ERR_TOPIC_AUTHORIZATION_FAILED;
        if (error_code == ERR_NONE) {
            if (!fill_found(rq, topic, to))
                return false;
            continue;
        }
        fill_error(to, is_denied ? error_code : error_of_missing(rq, in, state, state->names[i]),
                   state->names[i], UUID_ZERO);
        to->is_internal = !is_denied && internal_topic_find(state->names[i]) != INTERNAL_TOPIC_NONE;
    }
    return true;
}

static bool fill_topics(struct request *rq, const struct metadata_request *in,
                        const struct metadata_state *state, struct metadata_response *out)
{
    if (state->is_all)
        return fill_all(rq, out);
    out->topics = arena_alloc_array(&rq->arena, state->count, sizeof *out->topics);
    if (!out->topics)
        return false;
    return state->is_by_id ? fill_by_id(rq, state, out) : fill_by_name(rq, in, state, out);
}

static bool fill_brokers(struct request *rq, struct metadata_response *out)
{
    const struct image *image = rq->image;
    out->brokers = arena_alloc_array(&rq->arena, image->node_count, sizeof *out->brokers);
    if (!out->brokers)
        return false;
    for (size_t i = 0; i < image->node_count; i++) {
        struct endpoint endpoint = rq_advertised_endpoint(rq, image->nodes[i].id);
        struct metadata_response_broker *broker = &out->brokers[i];
        metadata_response_broker_init(broker);
        broker->node_id = image->nodes[i].id;
        broker->host = slice_of_string(endpoint.host);
        broker->port = endpoint.port;
        broker->rack = slice_of_string(image->nodes[i].rack);
    }
    out->brokers_count = (int32_t)image->node_count;
    return true;
}

static void fill_operations(struct request *rq, const struct metadata_request *in,
                            struct metadata_response *out)
{
    if (rq->api_version < AUTHORIZED_OPERATIONS_SINCE)
        return;
    if (in->include_cluster_authorized_operations && rq->api_version <= CLUSTER_OPERATIONS_LAST)
        out->cluster_authorized_operations = rq_cluster_operations(rq);
    for (int32_t i = 0; in->include_topic_authorized_operations && i < out->topics_count; i++) {
        struct metadata_response_topic *topic = &out->topics[i];
        if (topic->error_code != ERR_TOPIC_AUTHORIZATION_FAILED && topic->error_code != ERR_UNKNOWN_TOPIC_ID)
            topic->topic_authorized_operations = rq_topic_operations(rq, topic->name);
    }
}

static enum handled answer(struct request *rq, const struct metadata_request *in,
                           struct metadata_state *state, struct metadata_response *out)
{
    if (!fill_brokers(rq, out) || !fill_topics(rq, in, state, out))
        return HANDLED_CLOSE;
    out->cluster_id = slice_of_string(store_cluster_id(rq->server->store));
    out->controller_id = rq->image->controller_id;
    fill_operations(rq, in, out);
    return HANDLED_DONE;
}

/* Unlike Kafka, which answers before the topics exist, the answer already has them. */
static enum handled resume_created(struct request *rq, enum wake why)
{
    check(why == WAKE_WORKED);
    return rq->conn ? answer(rq, rq->in, rq->state, rq->out) : HANDLED_DONE;
}

enum handled handle_metadata(struct request *rq, const struct metadata_request *in,
                             struct metadata_response *out)
{
    if (is_invalid(rq, in))
        return refuse(rq, in, out);
    struct metadata_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    if (!state || !collect(rq, in, state))
        return HANDLED_CLOSE;
    if (!state->is_all && !state->is_by_id && is_auto_create(rq, in)) {
        if (!collect_missing(rq, state))
            return HANDLED_CLOSE;
        if (state->created_count > 0) {
            rq->state = state;
            rq->resume = resume_created;
            rq_work(rq, create_missing);
            return HANDLED_BUSY;
        }
    }
    return answer(rq, in, state, out);
}
