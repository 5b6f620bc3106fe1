/* Listening sockets: bound at start, accepting on loop 0, handing connections to the least busy loop. */
#ifndef RUNNEL_BROKER_LISTENER_H
#define RUNNEL_BROKER_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

struct listener;
struct listeners;
struct server;

/* Binds and listens on all addresses of the config. connections_max: no more are accepted at a time;
 * above it peers wait in the backlog, as with Kafka. NULL: *error tells the operator. */
struct listeners *listeners_open(struct server *server, unsigned connections_max, const char **error);
/* Begins to accept; before loop 0 runs. */
void listeners_start(struct listeners *listeners);
/* On loop 0's thread, or when it does not run. Peers in the backlog are refused. */
void listeners_stop(struct listeners *listeners);
void listeners_destroy(struct listeners *listeners);

size_t listeners_count(const struct listeners *listeners);
/* "HOST:PORT" as bound. */
const char *listeners_address(const struct listeners *listeners, size_t index);
/* "PLAINTEXT". */
const char *listener_name(const struct listener *listener);

#endif
