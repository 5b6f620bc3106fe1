/* The hash by which a group sees that topics changed: Kafka's, as it stands in the group's record (KIP-1101).
 */
#ifndef RUNNEL_BROKER_GROUP_TOPIC_HASH_H
#define RUNNEL_BROKER_GROUP_TOPIC_HASH_H

#include "broker/image.h"

/* Id, name, partitions, and the racks of their replicas. */
int64_t topic_hash(const struct image *image, const struct topic *topic);
/* Of topics ascending by name; none: 0. */
int64_t topic_hash_all(const struct image *image, const struct topic *const *topics, size_t count);

#endif
