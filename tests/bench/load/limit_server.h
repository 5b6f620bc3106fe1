/* A bare libev server: sockets, a buffer each, and a function that takes what came; one thread or several that share
 * nothing. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_LIMIT_SERVER_H
#define RUNNEL_TESTS_BENCH_LOAD_LIMIT_SERVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Takes the bytes that came over a connection, answers, and returns how many of them it is done with. *wanted
 * may be set to the size that must be there before it can go on. */
typedef size_t limit_take(void *context, int descriptor, const uint8_t *bytes, size_t size, size_t *wanted);

/* Listens on HOST:PORT, calls listening() with the port that it is once for each context, and serves until
 * SIGTERM. Each context has a thread with a loop of its own; connections go to them in turns. */
void limit_serve(const char *address, limit_take *take, void (*listening)(void *context, int port),
                 void *const *contexts, size_t count);

/* Waits where the socket is full. */
void limit_send(int descriptor, struct iovec *pieces, size_t count);

#endif
