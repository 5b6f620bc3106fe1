/* The next image in the making: what records change, on top of an image. */
#ifndef RUNNEL_BROKER_IMAGE_CHANGE_H
#define RUNNEL_BROKER_IMAGE_CHANGE_H

#include "broker/config.h"
#include "broker/image.h"

/* One thread at a time. */
struct image_change;

enum change_status {
    CHANGE_OK,
    CHANGE_NO_MEMORY,
    CHANGE_REFUSED, /* contradicts what was before; image_change_error() says how */
};

/* An image without topics, of which node is the only one; NULL: no memory. key: for hash tables. */
struct image *image_create_empty(int32_t node_id, const char *rack, const uint64_t key[2]);
/* Frees an image with all its topics. What their partitions point to must be gone before. */
void image_destroy(struct image *image);

/* base and config are borrowed until the change ends. NULL: no memory. */
struct image_change *image_change_begin(const struct image *base, const struct config *config);

/* What records do; everything handed in is copied. */
enum change_status image_change_add_topic(struct image_change *change, slice name, uuid id);
enum change_status image_change_remove_topic(struct image_change *change, uuid id);
/* Adds the partition, or replaces it; of the metadata, `partition` is kept from before. */
enum change_status image_change_set_partition(struct image_change *change, uuid topic_id, int32_t index,
                                              const struct partition_metadata *metadata);
/* The partition as it would be now, to be given changed to image_change_set_partition(); NULL:
 * there is none. */
const struct partition_metadata *image_change_partition(struct image_change *change, uuid topic_id,
                                                        int32_t index);
/* A null value removes. Settings of a topic that is not there are passed over, as in Kafka. */
enum change_status image_change_set_config(struct image_change *change, slice topic, slice name, slice value);
/* The same of a group or of a client metrics subscription; those need not exist. */
enum change_status image_change_set_resource_config(struct image_change *change, enum config_resource_type type,
                                                    slice resource, slice name, slice value);
/* level 0 removes. */
enum change_status image_change_set_feature(struct image_change *change, slice name, int16_t level);
/* The first id of the block to come; it only rises. */
enum change_status image_change_set_next_producer_id(struct image_change *change, int64_t next_producer_id);
const char *image_change_error(const struct image_change *change);

/* The state as it would be now. */
bool image_change_has_topic(struct image_change *change, slice name);
bool image_change_has_topic_id(struct image_change *change, uuid id);
bool image_change_find_topic(struct image_change *change, slice name, uuid *id, int32_t *partition_count);
/* The name of the topic that collides with this one, or null. */
slice image_change_colliding(struct image_change *change, slice name);
/* The topic's own settings; NULL: no such topic. Borrowed until the next record. */
const struct topic_config_override *image_change_configs(struct image_change *change, slice topic,
                                                         size_t *count);
/* Of a group or of a client metrics subscription: never NULL. Borrowed until the next record. */
const struct topic_config_override *image_change_resource_configs(struct image_change *change,
                                                                  enum config_resource_type type, slice resource,
                                                                  size_t *count);
/* How many such resources have settings, and their bytes. */
size_t image_change_resource_count(const struct image_change *change);
size_t image_change_resource_size(const struct image_change *change);
size_t image_change_partition_count(const struct image_change *change);
/* 0: not finalized. */
int16_t image_change_feature(const struct image_change *change, const char *name);
/* -1: no block was claimed yet. */
int64_t image_change_next_producer_id(const struct image_change *change);

/* Builds the image; the change lives on, but takes no more records. CHANGE_REFUSED for a topic
 * whose partitions are not 0 to n - 1. */
enum change_status image_change_build(struct image_change *change, int64_t end_offset, int32_t epoch,
                                      struct image **out);
/* After the build: every topic that differs. before NULL: new; after NULL: removed. */
void image_change_visit(struct image_change *change,
                        void (*visit)(void *context, const struct topic *before, struct topic *after),
                        void *context);
/* After the build: the settings of every resource that the new image does not have any more, or has anew. */
void image_change_visit_resources(struct image_change *change,
                                  void (*visit)(void *context, struct resource_config *before), void *context);
/* Every topic that was removed by the change, also one that it had made itself. */
void image_change_visit_removed(const struct image_change *change,
                                void (*visit)(void *context, uuid id, slice name, int32_t partition_count),
                                void *context);
/* Ends a change whose image is in use: the base, and topics of it that are no more, are the
 * caller's to retire. */
void image_change_end(struct image_change *change);
/* Ends a change that did not happen: what it built is freed, the base is as it was. */
void image_change_abandon(struct image_change *change);

#endif
