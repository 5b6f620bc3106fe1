/* A coordinator: the shards of its internal topic, found by the key of what they keep. */
#ifndef RUNNEL_BROKER_COORDINATOR_COORDINATOR_H
#define RUNNEL_BROKER_COORDINATOR_COORDINATOR_H

#include "broker/coordinator/shard.h"

struct coordinator;

/* server and kind are borrowed. */
struct coordinator *coordinator_create(struct server *server, const struct shard_kind *kind);
/* Has workers load every partition that holds records, so that what was going on before the start goes on: sessions,
 * expiries. Once the loops are there. */
void coordinator_start(struct coordinator *coordinator);
/* Gives every shard up; what waits is answered. No loop runs, no worker has a job; loops still take mail. */
void coordinator_stop(struct coordinator *coordinator);
void coordinator_destroy(struct coordinator *coordinator);

/* Which partition of count keeps a key: abs(String.hashCode()) % count, as Java counts (facts: disk-format 7.1). */
int32_t coordinator_partition_of(slice key, int32_t count);

/* The shard that keeps the key. NOT_COORDINATOR: the topic does not exist, or its partition is not ours; clients
 * look for the coordinator, which makes the topic. Loading begins if need be. The shard lives until
 * coordinator_destroy(). */
int16_t coordinator_shard(struct request *rq, struct coordinator *coordinator, slice key, struct shard **out);
/* For listings; 0 while the topic does not exist. */
int32_t coordinator_shard_count(struct request *rq, struct coordinator *coordinator);
int16_t coordinator_shard_at(struct request *rq, struct coordinator *coordinator, int32_t index, struct shard **out);

/* coordinator_shard() and shard_run(); an error is the op's error_code and answered at once. */
enum handled coordinator_run(struct coordinator *coordinator, slice key, struct shard_op *op);

#endif
