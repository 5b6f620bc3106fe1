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
    struct feature_level *features;
    size_t feature_count;
    size_t feature_capacity;
    int64_t next_producer_id;
    struct image *image; /* once built */
    char error[256];
};

#endif
