/* Where a member is, as Java prints an address: Kafka keeps it with the member and shows it to tools. */
#include <arpa/inet.h>
#include <stdio.h>

#include "broker/conn.h"
#include "broker/group/group.h"
#include "protocol/base/bytes.h"

enum { HOST_SIZE = 64 };

/* Without the port, and without the brackets of IPv6. */
static bool cut_host(const char *peer, char out[HOST_SIZE])
{
    const char *colon = strrchr(peer, ':');
    size_t size = colon ? (size_t)(colon - peer) : strlen(peer);
    if (size >= 2 && peer[0] == '[' && peer[size - 1] == ']') {
        peer++;
        size -= 2;
    }
    if (size >= HOST_SIZE)
        return false;
    memcpy(out, peer, size);
    out[size] = '\0';
    return true;
}

slice group_client_host(struct request *rq)
{
    char host[HOST_SIZE];
    uint8_t six[16];
    char *out = arena_alloc(&rq->arena, HOST_SIZE);
    if (!out)
        return SLICE_NULL;
    if (!rq->conn || !cut_host(conn_peer(rq->conn), host))
        host[0] = '\0';
    int size;
    if (inet_pton(AF_INET6, host, six) == 1) /* Java writes all eight groups */
        size = snprintf(out, HOST_SIZE, "/%x:%x:%x:%x:%x:%x:%x:%x", load_be16(six), load_be16(six + 2),
                        load_be16(six + 4), load_be16(six + 6), load_be16(six + 8), load_be16(six + 10),
                        load_be16(six + 12), load_be16(six + 14));
    else
        size = snprintf(out, HOST_SIZE, "/%s", host);
    return slice_of((const uint8_t *)out, (size_t)size);
}
