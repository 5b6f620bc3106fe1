/* What the two halves of a change share: image_change.c collects, image_build.c builds. */
#ifndef RUNNEL_BROKER_IMAGE_CHANGE_INTERNAL_H
#define RUNNEL_BROKER_IMAGE_CHANGE_INTERNAL_H

#include "broker/image_change.h"
#include "broker/image_internal.h"
#include "protocol/base/arena.h"

/* A topic that the change touches, as it will be. */
struct topic_draft {
    struct topic_draft *next; /* in the order of their making */
    struct topic_draft *next_by_name;
    struct topic_draft *next_by_id;
    slice name;
    uuid id;
    bool is_removed;
    const struct topic *before; /* the base's; NULL: new */
    struct partition_metadata *partitions;
    int32_t partition_count;
    int32_t partition_capacity;
    struct topic_config_override *overrides;
    size_t override_count;
    size_t override_capacity;
    struct topic *built;
};

/* A resource whose settings the change touches, as they will be. */
struct resource_draft {
    struct resource_draft *next; /* in the order of their making */
    struct resource_draft *next_in_slot;
    enum config_resource_type type;
    slice name;
    struct resource_config *before; /* the base's; NULL: it had none */
    struct topic_config_override *overrides;
    size_t override_count;
    size_t override_capacity;
    struct resource_config *built;
};

/* All of a change, and a table to find them; NULL slots until there is one. */
struct resource_drafts {
    struct resource_draft *first;
    struct resource_draft **last;
    size_t count;
    struct resource_draft **slots;
    size_t slot_mask;
    size_t live_count; /* resources with settings, of the image to come, */
    size_t live_size;  /* and their bytes */
};

struct draft_slot {
    struct topic_draft *by_name;
    struct topic_draft *by_id;
};

struct image_change {
    const struct image *base;
    const struct config *config;
    struct arena arena;
    struct topic_draft *first;
    struct topic_draft **last;
    size_t draft_count;
    struct draft_slot *slots;
    size_t slot_mask;
    size_t partition_count;
    struct resource_drafts resources;
    struct feature_level *features;
    size_t feature_count;
    size_t feature_capacity;
    int64_t next_producer_id;
    struct image *image; /* once built */
    char error[256];
};

/* image_resources.c */
void image__resources_begin(struct image_change *change);
/* Builds those that are drafted, and the image's list of all. False: no memory. */
bool image__resources_build(struct image_change *change, struct image *image);
/* Frees what was built. */
void image__resources_abandon(struct image_change *change);
void image__resources_end(struct image_change *change);

#endif
