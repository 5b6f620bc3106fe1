/* FindCoordinator v0-6: who keeps a group, a transactional id, a share partition.
 * v1 key type; v3 flexible; v4 several keys, each with its own error; v6 share groups (KIP-932). */
#include "broker/coordinator/coordinator.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum coordinator_type { COORDINATOR_GROUP = 0, COORDINATOR_TRANSACTION = 1, COORDINATOR_SHARE = 2 };

enum { BATCH_SINCE = 4, SHARE_SINCE = 6, NO_NODE = -1 };

/* The leader of the key's partition of the internal topic. While that topic does not exist the only node will
 * be its leader; but that of groups was made before this. */
static int32_t coordinator_node(struct request *rq, enum coordinator_type type, slice key)
{
    static const enum internal_topic topics[] = { INTERNAL_TOPIC_OFFSETS, INTERNAL_TOPIC_TRANSACTION,
                                                  INTERNAL_TOPIC_SHARE };
    const struct topic *topic =
        image_topic_by_name(rq->image, slice_of_string(internal_topic_name(topics[type])));
    if (!topic)
        return type == COORDINATOR_GROUP ? NO_NODE : rq->image->nodes[0].id;
    return topic->partitions[coordinator_partition_of(key, topic->partition_count)].leader;
}

/* groupId:topicId:partition; the group's id may hold colons itself. */
static bool is_share_key(slice key)
{
    size_t last = key.size, middle = 0;
    while (last > 0 && key.data[last - 1] != ':')
        last--;
    if (last < 2 || last == key.size || key.size - last > 10)
        return false;
    for (size_t i = last; i < key.size; i++)
        if (key.data[i] < '0' || key.data[i] > '9')
            return false;
    for (middle = last - 1; middle > 0 && key.data[middle - 1] != ':';)
        middle--;
    uuid topic_id;
    return middle >= 2 && uuid_from_text(slice_of(key.data + middle, last - 1 - middle), &topic_id);
}

static int16_t authorize(struct request *rq, int8_t type, slice key)
{
    switch ((enum coordinator_type)type) {
    case COORDINATOR_GROUP:
        return rq_group(rq, key, OP_DESCRIBE);
    case COORDINATOR_TRANSACTION:
        return rq_txn(rq, key, OP_DESCRIBE);
    case COORDINATOR_SHARE:
        if (rq->api_version < SHARE_SINCE)
            return ERR_INVALID_REQUEST;
        int16_t error_code = rq_cluster(rq, OP_CLUSTER_ACTION);
        return error_code == ERR_NONE && !is_share_key(key) ? ERR_INVALID_REQUEST : error_code;
    }
    return ERR_INVALID_REQUEST;
}

/* Transactions are not served, and a client that looks for their coordinator is told here, at once: the text
 * reaches its user. librdkafka, which asks in the versions for one key, gives up for nothing but a refused
 * authorisation; everything else it tries again until its time is over. */
static void refuse_transactions(const struct request *rq, struct find_coordinator_response_coordinator *out)
{
    out->error_code =
        rq->api_version < BATCH_SINCE ? ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED : ERR_UNSUPPORTED_VERSION;
    out->error_message = SLICE_LITERAL("This broker does not serve transactions.");
}

/* The answer for one key, in the shape of v4; all slices live in this turn. */
static void find(struct request *rq, int8_t type, slice key,
                 struct find_coordinator_response_coordinator *out)
{
    find_coordinator_response_coordinator_init(out);
    out->key = key;
    out->node_id = NO_NODE;
    out->host = SLICE_LITERAL("");
    out->port = -1;
    out->error_code = authorize(rq, type, key);
    if (out->error_code == ERR_NONE && type == COORDINATOR_TRANSACTION) {
        refuse_transactions(rq, out);
        return;
    }
    if (out->error_code == ERR_NONE) {
        int32_t node_id = coordinator_node(rq, (enum coordinator_type)type, key);
        if (node_id == NO_NODE) {
            out->error_code = ERR_COORDINATOR_NOT_AVAILABLE;
        } else {
            struct endpoint endpoint = rq_advertised_endpoint(rq, node_id);
            out->node_id = node_id;
            out->host = slice_of_string(endpoint.host);
            out->port = endpoint.port;
        }
    }
    if (out->error_code != ERR_NONE)
        out->error_message = slice_of_string(error_message(out->error_code));
}

static enum handled find_one(struct request *rq, const struct find_coordinator_request *in,
                             struct find_coordinator_response *out)
{
    struct find_coordinator_response_coordinator found;
    find(rq, in->key_type, in->key, &found);
    out->error_code = found.error_code;
    out->error_message = found.error_code == ERR_NONE ? SLICE_LITERAL("NONE") : found.error_message;
    out->node_id = found.node_id;
    out->host = found.host;
    out->port = found.port;
    return HANDLED_DONE;
}

static enum handled answer(struct request *rq, const struct find_coordinator_request *in,
                           struct find_coordinator_response *out)
{
    if (rq->api_version < BATCH_SINCE)
        return find_one(rq, in, out);
    out->coordinators =
        arena_alloc_array(&rq->arena, (size_t)in->coordinator_keys_count, sizeof *out->coordinators);
    if (!out->coordinators)
        return HANDLED_CLOSE;
    for (int32_t i = 0; i < in->coordinator_keys_count; i++)
        find(rq, in->key_type, in->coordinator_keys[i], &out->coordinators[i]);
    out->coordinators_count = in->coordinator_keys_count;
    return HANDLED_DONE;
}

/* -- the topic, when it is asked for the first time -------------------------------------------- */

/* Nobody makes the topic who may not ask for at least one of the groups. */
static bool is_topic_wanted(struct request *rq, const struct find_coordinator_request *in)
{
    bool is_missing =
        !image_topic_by_name(rq->image, slice_of_string(internal_topic_name(INTERNAL_TOPIC_OFFSETS)));
    if (in->key_type != COORDINATOR_GROUP || !is_missing)
        return false;
    if (rq->api_version < BATCH_SINCE)
        return rq_group(rq, in->key, OP_DESCRIBE) == ERR_NONE;
    for (int32_t i = 0; i < in->coordinator_keys_count; i++)
        if (rq_group(rq, in->coordinator_keys[i], OP_DESCRIBE) == ERR_NONE)
            return true;
    return false;
}

static void create_topic(struct request *rq)
{
    controller_create_topics(rq->server->controller, rq->state, 1, false);
}

/* It is there, by us or by somebody else; else the answer is what a leaderless partition gets. Unlike Kafka,
 * which answers before the topic exists and has the client ask again. */
static enum handled resume_created(struct request *rq, enum wake why)
{
    const struct create_topic *created = rq->state;
    check(why == WAKE_WORKED);
    if (created->error_code == ERR_NONE || created->error_code == ERR_TOPIC_ALREADY_EXISTS)
        return answer(rq, rq->in, rq->out);
    static struct note_limit limit; /* clients ask again at once */
    uint32_t suppressed;
    if (note_allow(&limit, 1, &suppressed))
        note_warn("group.topic_not_created", "topic=%s error=%d reason=\"%s\" suppressed=%u",
                  internal_topic_name(INTERNAL_TOPIC_OFFSETS), created->error_code, created->message,
                  suppressed);
    return answer(rq, rq->in, rq->out);
}

enum handled handle_find_coordinator(struct request *rq, const struct find_coordinator_request *in,
                                     struct find_coordinator_response *out)
{
    if (!is_topic_wanted(rq, in))
        return answer(rq, in, out);
    struct create_topic *create = arena_alloc_array(&rq->arena, 1, sizeof *create);
    if (!create)
        return HANDLED_CLOSE;
    create->name = slice_of_string(internal_topic_name(INTERNAL_TOPIC_OFFSETS));
    if (!internal_topic_settings(rq->server->config, create, &rq->arena))
        return HANDLED_CLOSE;
    rq->state = create;
    rq->resume = resume_created;
    rq_work(rq, create_topic);
    return HANDLED_BUSY;
}
