/* Server-side assignors: who of a group reads which partition. Pure functions over plain arrays. */
#ifndef RUNNEL_BROKER_GROUP_ASSIGNOR_H
#define RUNNEL_BROKER_GROUP_ASSIGNOR_H

#include "protocol/base/arena.h"

/* What members subscribe to: numbers of topics, ascending. Members with the same share it. */
struct assignor_subscription {
    const int32_t *topics;
    int32_t topic_count;
};

struct assignor_member {
    slice member_id;
    slice instance_id; /* null: a dynamic member */
    const struct assignor_subscription *subscription;
};

/* A group. owners[topic][partition] is the number of a member, or -1. */
struct assignor_group {
    const struct assignor_member *members;
    int32_t member_count;
    const int32_t *partition_counts; /* by topic */
    int32_t topic_count;
    int32_t **owners; /* in: the target so far; out: the new one */
};

/* The same input gives the same output; what was assigned and may stay does not move without a gain. False:
 * no memory. */
typedef bool (*assignor)(struct arena *arena, const struct assignor_group *group);

/* Every member as many partitions as every other, or one more; where they subscribe to different topics, as
 * even as these allow. */
bool assign_uniform(struct arena *arena, const struct assignor_group *group);
/* Of each topic a range for each subscriber, static members first; so topics with equal counts and
 * subscribers are assigned alike. */
bool assign_range(struct arena *arena, const struct assignor_group *group);

/* "uniform", "range"; NULL: no such assignor. */
assignor assignor_of(slice name);

#endif
