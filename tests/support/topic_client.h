/* Topics made, filled and deleted by a wire client: for tests and benchmarks. */
#ifndef RUNNEL_TESTS_SUPPORT_TOPIC_CLIENT_H
#define RUNNEL_TESTS_SUPPORT_TOPIC_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "tests/support/wire_client.h"

/* All in one request; partition_count -1: the broker's default. The first error of any, or NONE; -1 without
 * an answer. */
int16_t topic_client_create(struct wire_client *client, const char *const *names, size_t count,
                            int32_t partition_count);
int16_t topic_client_delete(struct wire_client *client, const char *const *names, size_t count);
/* A record into partition 0, acks=-1. */
int16_t topic_client_produce(struct wire_client *client, const char *name);
/* How many topics Metadata lists; -1 without an answer. */
int32_t topic_client_count(struct wire_client *client);

#endif
