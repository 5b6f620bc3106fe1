/* Topics with thousands of partitions, filled and read many partitions a request: for tests and benchmarks.
 */
#ifndef RUNNEL_TESTS_SUPPORT_MANY_PARTITIONS_H
#define RUNNEL_TESTS_SUPPORT_MANY_PARTITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/wire_client.h"

/* The topics NAME-0, NAME-1, ... of partition_count partitions each; partitions are numbered through all of
 * them, from 0 to topic_count * partition_count - 1. A call is one request about `numbers`, ascending. */
struct many_partitions {
    const char *name; /* at most 32 bytes */
    size_t topic_count;
    int32_t partition_count; /* at most 9,999: Kafka takes no more for one request */
};

size_t many_partitions_count(const struct many_partitions *many);
/* The name of that topic, in room. */
const char *many_partitions_topic(const struct many_partitions *many, size_t topic, char room[48]);

/* One topic a request. */
bool many_partitions_create(struct wire_client *client, const struct many_partitions *many);
/* All topics in one request. */
bool many_partitions_delete(struct wire_client *client, const struct many_partitions *many);

/* Appends one batch of one record to each, acks=-1; the record tells its partition and `sequence`. Returns
 * how many were acknowledged. */
size_t many_partitions_produce(struct wire_client *client, const struct many_partitions *many,
                               const uint32_t *numbers, size_t count, uint32_t sequence);
/* Reads each from offset 0 and returns how many hold exactly the records of the sequences 0 to sequences - 1,
 * in order, at the offsets 0 to sequences - 1. What is wrong is told on stderr, a few times. */
size_t many_partitions_verify(struct wire_client *client, const struct many_partitions *many,
                              const uint32_t *numbers, size_t count, uint32_t sequences);

#endif
