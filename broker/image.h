/* The metadata image: what the metadata log says, immutable, swapped as a whole. */
#ifndef RUNNEL_BROKER_IMAGE_H
#define RUNNEL_BROKER_IMAGE_H

#include "broker/config_resource.h"
#include "broker/group_config.h"
#include "protocol/base/slice.h"
#include "protocol/base/uuid.h"

struct partition; /* partition.h: what changes while the image does not */

/* What PartitionRecord and PartitionChangeRecord say of one partition. */
struct partition_metadata {
    int32_t leader; /* node id; -1: none */
    int32_t leader_epoch;
    int32_t partition_epoch;
    int32_t replica_count;
    int32_t isr_count;
    uuid directory; /* log directory of the first replica, as the record says; reserved ids: not known */
    const int32_t *replicas;
    const int32_t *isr;
    struct partition *partition; /* its log and waiters here; NULL when no replica is ours */
};

/* One topic, shared by all images since its last change. */
struct topic {
    const char *name;
    slice name_slice; /* the same bytes */
    uuid id;
    bool is_internal; /* __consumer_offsets, __transaction_state, __share_group_state */
    int32_t partition_count;
    struct partition_metadata *partitions;         /* by partition index */
    struct topic_config config;                    /* broker defaults with the topic's own values on top */
    const struct topic_config_override *overrides; /* the topic's own, as ConfigRecords say */
    size_t override_count;
};

/* The settings of a group or of a client metrics subscription that has some; shared by all images since its last
 * change. */
struct resource_config {
    enum config_resource_type type;
    slice name;
    struct group_config group; /* of a group: broker defaults with its own values on top */
    const struct topic_config_override *overrides; /* as ConfigRecords say; at least one */
    size_t override_count;
};

struct node {
    int32_t id;
    const char *rack; /* or NULL */
};

struct feature_level {
    const char *name;
    int16_t level;
};

/* Valid until the end of the turn in which it was read (retire.h); look it up anew after a wait. */
struct image {
    int64_t end_offset; /* of the metadata log: offsets below are in here; rises with every image */
    int32_t epoch;      /* raft epoch */
    const struct node *nodes;
    size_t node_count;
    int32_t controller_id;
    const struct feature_level *features;
    size_t feature_count;
    int64_t next_producer_id; /* the first id that no block has; -1: no block was claimed yet */
    size_t topic_count;
    size_t partition_count;
    struct topic *const *topics; /* ascending by name */
    size_t resource_count;
    size_t resource_size; /* bytes of their names and values */
    struct resource_config *const *resources; /* ascending by type and name */
    struct image_index *by_name; /* hash tables, image.c */
    struct image_index *by_id;
};

const struct topic *image_topic_by_name(const struct image *image, slice name);
const struct topic *image_topic_by_id(const struct image *image, uuid id);
/* The topic whose name differs from this one at most in '.' and '_' (Kafka's metric collision), or
 * NULL. */
const struct topic *image_topic_colliding(const struct image *image, slice name);
/* The settings of a resource that is no topic; NULL: it has none of its own. */
const struct resource_config *image_resource(const struct image *image, enum config_resource_type type, slice name);
/* A keyed hash: for tables of what clients choose. */
uint64_t image_hash(const struct image *image, slice bytes);
/* The finalized level of a feature; 0: it is not finalized. */
int16_t image_feature(const struct image *image, const char *name);
/* 1 to 249 of [a-zA-Z0-9._-], not "." or ".."; else *why is Kafka's sentence. */
bool topic_name_valid(slice name, const char **why);

#endif
