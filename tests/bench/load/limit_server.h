/* A bare libev server on one thread: sockets, a buffer each, and a function that takes what came. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_LIMIT_SERVER_H
#define RUNNEL_TESTS_BENCH_LOAD_LIMIT_SERVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Takes the bytes that came over a connection, answers, and returns how many of them it is done with. *wanted
 * may be set to the size that must be there before it can go on. */
typedef size_t limit_take(void *context, int descriptor, const uint8_t *bytes, size_t size, size_t *wanted);

/* Listens on HOST:PORT, calls listening() with the port that it is, and serves until SIGTERM. */
void limit_serve(const char *address, limit_take *take, void (*listening)(void *context, int port),
                 void *context);

/* Waits where the socket is full. */
void limit_send(int descriptor, struct iovec *pieces, size_t count);

#endif
