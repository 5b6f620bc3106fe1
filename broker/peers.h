/* How many connections each address has: max.connections.per.ip and its overrides. */
#ifndef RUNNEL_BROKER_PEERS_H
#define RUNNEL_BROKER_PEERS_H

#include <stdbool.h>

struct config;
struct peer;
struct peers;

/* One per server; the functions may be called on any thread. */
struct peers *peers_create(const struct config *config);
/* No connection may be left. */
void peers_destroy(struct peers *peers);

/* Counts the peer of a connected socket. False: its address has all the connections it may have, nothing
 * was counted. *out is for peers_give_back(), or NULL where no limit is set for that address. */
bool peers_take(struct peers *peers, int descriptor, struct peer **out);
/* NULL does nothing. */
void peers_give_back(struct peers *peers, struct peer *peer);

#endif
