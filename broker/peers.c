/* Counts connections by address, only for addresses that have a limit. */
#include "broker/peers.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "broker/config.h"
#include "protocol/base/check.h"

enum { BUCKETS = 256 };

/* An address with at least one connection. IPv4 stands in its mapped form. */
struct peer {
    struct peer *next; /* in its bucket */
    uint8_t address[16];
    int32_t count;
};

struct peers {
    const struct config *config;
    pthread_mutex_t mutex;
    struct peer *buckets[BUCKETS];
};

struct peers *peers_create(const struct config *config)
{
    struct peers *peers = check_memory(calloc(1, sizeof *peers));
    peers->config = config;
    check(pthread_mutex_init(&peers->mutex, NULL) == 0);
    return peers;
}

void peers_destroy(struct peers *peers)
{
    for (size_t i = 0; i < BUCKETS; i++)
        check(peers->buckets[i] == NULL);
    pthread_mutex_destroy(&peers->mutex);
    free(peers);
}

static bool read_address(const struct sockaddr_storage *from, uint8_t address[16])
{
    if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof in6);
        memcpy(address, &in6.sin6_addr, 16);
        return true;
    }
    if (from->ss_family != AF_INET)
        return false;
    struct sockaddr_in in;
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    memcpy(&in, from, sizeof in);
    memcpy(address, mapped, sizeof mapped);
    memcpy(address + sizeof mapped, &in.sin_addr, 4);
    return true;
}

static struct peer **find(struct peers *peers, const uint8_t address[16])
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < 16; i++)
        hash = (hash ^ address[i]) * 16777619u;
    struct peer **at = &peers->buckets[hash % BUCKETS];
    while (*at && memcmp((*at)->address, address, 16) != 0)
        at = &(*at)->next;
    return at;
}

static struct peer *find_or_add(struct peers *peers, const uint8_t address[16])
{
    struct peer **at = find(peers, address);
    if (!*at && (*at = calloc(1, sizeof **at)))
        memcpy((*at)->address, address, 16);
    return *at;
}

bool peers_take(struct peers *peers, int descriptor, struct peer **out)
{
    struct sockaddr_storage from = { 0 };
    socklen_t size = sizeof from;
    uint8_t address[16];
    *out = NULL;
    if (peers->config->max_connections_per_ip == INT32_MAX && peers->config->ip_limit_count == 0)
        return true;
    if (getpeername(descriptor, (struct sockaddr *)&from, &size) < 0 || !read_address(&from, address))
        return true; /* gone again, or local */
    int32_t limit = config_connections_per_ip(peers->config, (const struct sockaddr *)&from);
    if (limit == INT32_MAX)
        return true;
    if (limit == 0)
        return false;
    pthread_mutex_lock(&peers->mutex);
    struct peer *peer = find_or_add(peers, address);
    bool is_allowed = peer && peer->count < limit;
    if (is_allowed)
        peer->count++;
    pthread_mutex_unlock(&peers->mutex);
    *out = is_allowed ? peer : NULL;
    return is_allowed;
}

void peers_give_back(struct peers *peers, struct peer *peer)
{
    if (!peer)
        return;
    pthread_mutex_lock(&peers->mutex);
    if (--peer->count == 0) {
        *find(peers, peer->address) = peer->next;
        free(peer);
    }
    pthread_mutex_unlock(&peers->mutex);
}
