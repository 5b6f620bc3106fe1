/* Which address a client is told: the one function behind Metadata, FindCoordinator and their like. */
#include "broker/conn.h"
#include "broker/listener.h"
#include "broker/server.h"

/* The listener's own entry, else the address that this client has dialled, as we see it: a wildcard
 * or a name of ours would be right for some clients only (DESIGN 9). */
struct endpoint rq_advertised_endpoint(struct request *rq, int32_t node_id)
{
    (void)node_id; /* one node: all ids in the image are ours */
    struct transport *transport = rq->conn->transport;
    struct endpoint endpoint = { .host = transport->ops->local_host(transport),
                                 .port = transport->ops->local_port(transport) };
    if (!rq->conn->listener)
        return endpoint;
    const struct config_listener *advertised =
        config_advertised(rq->server->config, listener_name(rq->conn->listener));
    if (advertised && advertised->host[0] != '\0')
        endpoint.host = advertised->host;
    if (advertised && advertised->port != 0)
        endpoint.port = advertised->port;
    return endpoint;
}
