/* DescribeCluster v0-2: who the cluster is, and its brokers.
 * v1 endpoint type (KIP-919); v2 fenced brokers (KIP-1073), of which there is never one here. */
#include "broker/handlers/handlers.h"

#include <stdio.h>

#include "broker/authorized_operations.h"
#include "broker/server.h"

enum { ENDPOINT_BROKERS = 1, ENDPOINT_CONTROLLERS = 2, ENDPOINT_TYPE_SINCE = 1 };

/* Kafka's sentences; controllers are asked at their own listener. */
static enum handled refuse(struct request *rq, int8_t endpoint_type, struct describe_cluster_response *out)
{
    enum { TEXT_SIZE = 128 };
    char *text = arena_alloc(&rq->arena, TEXT_SIZE);
    if (!text)
        return HANDLED_CLOSE;
    bool is_known = endpoint_type == ENDPOINT_CONTROLLERS;
    if (is_known)
        snprintf(text, TEXT_SIZE,
                 "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type "
                 "CONTROLLER");
    else
        snprintf(text, TEXT_SIZE, "Unsupported endpoint type %d", endpoint_type);
    out->error_code = rq->api_version < ENDPOINT_TYPE_SINCE ? ERR_INVALID_REQUEST
                      : is_known                            ? ERR_MISMATCHED_ENDPOINT_TYPE
                                                            : ERR_UNSUPPORTED_ENDPOINT_TYPE;
    out->error_message = slice_of_string(text);
    return HANDLED_DONE;
}

enum handled handle_describe_cluster(struct request *rq, const struct describe_cluster_request *in,
                                     struct describe_cluster_response *out)
{
    const struct image *image = rq->image;
    if (in->endpoint_type != ENDPOINT_BROKERS)
        return refuse(rq, in->endpoint_type, out);
    out->brokers = arena_alloc_array(&rq->arena, image->node_count, sizeof *out->brokers);
    if (!out->brokers)
        return HANDLED_CLOSE;
    for (size_t i = 0; i < image->node_count; i++) {
        struct endpoint endpoint = rq_advertised_endpoint(rq, image->nodes[i].id);
        struct describe_cluster_response_broker *broker = &out->brokers[i];
        describe_cluster_response_broker_init(broker);
        broker->broker_id = image->nodes[i].id;
        broker->host = slice_of_string(endpoint.host);
        broker->port = endpoint.port;
        broker->rack = slice_of_string(image->nodes[i].rack);
    }
    out->brokers_count = (int32_t)image->node_count;
    out->cluster_id = slice_of_string(store_cluster_id(rq->server->store));
    out->controller_id = image->controller_id;
    if (in->include_cluster_authorized_operations)
        out->cluster_authorized_operations = rq_cluster_operations(rq);
    return HANDLED_DONE;
}
