/* ConsumerGroupHeartbeat v0-1: members join, confirm and leave (KIP-848).
 * v1 regular expressions, and member ids of the client's making (KIP-1082). */
#include <stdio.h>

#include "broker/group/consumer_ops.h"
#include "broker/handlers/handlers.h"
#include "broker/server.h"
#include "protocol/base/uuid.h"

enum { CLIENT_ID_SINCE = 1, EPOCH_JOIN = 0, EPOCH_LEAVE = -1, EPOCH_LEAVE_STATIC = -2, NAME_SIZE_MAX = 1024 };

static enum handled refuse(struct consumer_group_heartbeat_response *out, int16_t error_code, slice message)
{
    out->error_code = error_code;
    out->error_message = message;
    return HANDLED_DONE;
}

static enum handled answer(struct shard_op *op)
{
    const struct consumer_heartbeat *heartbeat = (struct consumer_heartbeat *)op;
    if (op->error_code == ERR_NONE)
        return HANDLED_DONE;
    consumer_group_heartbeat_response_init(heartbeat->out);
    return refuse(heartbeat->out, op->error_code, heartbeat->error_message);
}

static const struct shard_step step = { .decide = consumer_heartbeat_decide,
                                        .apply = consumer_heartbeat_apply,
                                        .answer = answer };

/* -- what is not valid ------------------------------------------------------------------------- */

/* Java's trim(): blanks alone are nothing. */
static bool is_blank(slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] > ' ')
            return false;
    return !slice_is_null(text);
}

static bool is_too_long(const struct consumer_group_heartbeat_request *in)
{
    return in->member_id.size > NAME_SIZE_MAX || in->instance_id.size > NAME_SIZE_MAX ||
           in->rack_id.size > NAME_SIZE_MAX;
}

/* Kafka's sentence, or NULL. */
static const char *find_fault(const struct request *rq, const struct consumer_group_heartbeat_request *in)
{
    bool needs_member =
        rq->api_version >= CLIENT_ID_SINCE || in->member_epoch > 0 || in->member_epoch == EPOCH_LEAVE;
    if (needs_member && is_blank(in->member_id))
        return "MemberId can't be empty.";
    if (is_blank(in->group_id))
        return "GroupId can't be empty.";
    if (is_blank(in->instance_id))
        return "InstanceId can't be empty.";
    if (is_blank(in->rack_id))
        return "RackId can't be empty.";
    if (is_too_long(in))
        return "MemberId, InstanceId and RackId can't be longer than 1024 bytes.";
    if (in->member_epoch < EPOCH_LEAVE_STATIC)
        return "MemberEpoch is invalid.";
    if (in->member_epoch == EPOCH_LEAVE_STATIC && slice_is_null(in->instance_id))
        return "InstanceId can't be null.";
    if (in->member_epoch != EPOCH_JOIN)
        return NULL;
    if (in->rebalance_timeout_ms == -1)
        return "RebalanceTimeoutMs must be provided in first request.";
    if (in->topic_partitions_count != 0)
        return "TopicPartitions must be empty when (re-)joining.";
    if (in->subscribed_topic_names_count < 0 && slice_is_null(in->subscribed_topic_regex))
        return "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
    return NULL;
}

static bool knows_assignor(const struct config_list *names, slice name)
{
    for (size_t i = 0; i < names->count; i++)
        if (slice_equal_string(name, names->items[i]))
            return true;
    return slice_is_null(name);
}

static slice assignor_message(struct request *rq, slice name)
{
    const struct config_list *names = &rq->server->config->group_consumer_assignors;
    enum { SHOWN_MAX = 64, MESSAGE_SIZE = 512 };
    char text[MESSAGE_SIZE];
    size_t size =
        (size_t)snprintf(text, sizeof text, "ServerAssignor %.*s is not supported. Supported assignors: ",
                         (int)(name.size < SHOWN_MAX ? name.size : SHOWN_MAX), (const char *)name.data);
    for (size_t i = 0; i < names->count && size < sizeof text; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s", i ? ", " : "", names->items[i]);
    if (size < sizeof text)
        size += (size_t)snprintf(text + size, sizeof text - size, ".");
    return arena_copy(&rq->arena, slice_of_string(text), NULL);
}

/* Nobody learns by a subscription which topics exist. */
static int16_t check_topics(struct request *rq, const struct consumer_group_heartbeat_request *in)
{
    const struct topic *topic;
    for (int32_t i = 0; i < in->subscribed_topic_names_count; i++)
        if (rq_topic(rq, in->subscribed_topic_names[i], OP_DESCRIBE, &topic) ==
            ERR_TOPIC_AUTHORIZATION_FAILED)
            return ERR_TOPIC_AUTHORIZATION_FAILED;
    return ERR_NONE;
}

/* A UUID as Kafka writes it. */
static slice make_member_id(struct request *rq)
{
    uuid id;
    char *text = arena_alloc(&rq->arena, UUID_TEXT_SIZE + 1);
    if (!text)
        return SLICE_NULL;
    server_random(rq->server, id.bytes, sizeof id.bytes);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40); /* version 4 */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    uuid_to_text(id, text);
    return slice_of(text, UUID_TEXT_SIZE);
}

enum handled handle_consumer_group_heartbeat(struct request *rq,
                                             const struct consumer_group_heartbeat_request *in,
                                             struct consumer_group_heartbeat_response *out)
{
    if (image_feature(rq->image, "group.version") < 1)
        return refuse(out, ERR_UNSUPPORTED_VERSION, SLICE_NULL);
    int16_t error_code = rq_group(rq, in->group_id, OP_READ);
    if (error_code == ERR_NONE)
        error_code = check_topics(rq, in);
    if (error_code != ERR_NONE)
        return refuse(out, error_code, SLICE_NULL);
    const char *fault = find_fault(rq, in);
    if (fault)
        return refuse(out, ERR_INVALID_REQUEST, slice_of_string(fault));
    if (!knows_assignor(&rq->server->config->group_consumer_assignors, in->server_assignor))
        return refuse(out, ERR_UNSUPPORTED_ASSIGNOR, assignor_message(rq, in->server_assignor));

    struct consumer_heartbeat *heartbeat = arena_alloc_array(&rq->arena, 1, sizeof *heartbeat);
    if (!heartbeat)
        return HANDLED_CLOSE;
    heartbeat->op = shard_op_of(rq, &step);
    heartbeat->in = in;
    heartbeat->out = out;
    heartbeat->client_id = rq->client_id;
    heartbeat->client_host = group_client_host(rq);
    heartbeat->member_id = in->member_id.size > 0 ? in->member_id : make_member_id(rq);
    if (slice_is_null(heartbeat->member_id) || slice_is_null(heartbeat->client_host))
        return HANDLED_CLOSE;
    return coordinator_run(rq->server->groups, in->group_id, &heartbeat->op);
}
