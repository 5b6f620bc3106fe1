/* The range assignor: topic by topic, a contiguous range for each subscriber. */
#include <stdlib.h>

#include "broker/group/assignor.h"

/* Static members first: their names stay when they come back, and so do their ranges. Names as Java compares
 * strings of ASCII; what is outside of it has an order, too. */
static int compare_members(const void *a, const void *b, void *context)
{
    const struct assignor_group *group = context;
    const struct assignor_member *x = &group->members[*(const int32_t *)a];
    const struct assignor_member *y = &group->members[*(const int32_t *)b];
    bool is_x_static = !slice_is_null(x->instance_id), is_y_static = !slice_is_null(y->instance_id);
    if (is_x_static != is_y_static)
        return is_x_static ? -1 : 1;
    return is_x_static ? slice_compare(x->instance_id, y->instance_id)
                       : slice_compare(x->member_id, y->member_id);
}

struct range_topic {
    int32_t subscriber_count;
    int32_t served_count;
    int32_t next; /* partition */
};

static void give_range(const struct assignor_group *group, struct range_topic *state, int32_t topic,
                       int32_t member)
{
    int32_t count = group->partition_counts[topic] / state->subscriber_count;
    if (state->served_count++ < group->partition_counts[topic] % state->subscriber_count)
        count++;
    for (int32_t i = 0; i < count; i++)
        group->owners[topic][state->next++] = member;
}

bool assign_range(struct arena *arena, const struct assignor_group *group)
{
    int32_t *order = arena_alloc_array(arena, (size_t)group->member_count, sizeof *order);
    struct range_topic *topics = arena_alloc_array(arena, (size_t)group->topic_count, sizeof *topics);
    if (!order || !topics)
        return false;
    for (int32_t m = 0; m < group->member_count; m++) {
        const struct assignor_subscription *subscription = group->members[m].subscription;
        order[m] = m;
        for (int32_t i = 0; i < subscription->topic_count; i++)
            topics[subscription->topics[i]].subscriber_count++;
    }
    if (group->member_count > 1)
        qsort_r(order, (size_t)group->member_count, sizeof *order, compare_members, (void *)group);
    for (int32_t t = 0; t < group->topic_count; t++)
        for (int32_t p = 0; p < group->partition_counts[t]; p++)
            group->owners[t][p] = -1;
    for (int32_t m = 0; m < group->member_count; m++) {
        const struct assignor_subscription *subscription = group->members[order[m]].subscription;
        for (int32_t i = 0; i < subscription->topic_count; i++)
            give_range(group, &topics[subscription->topics[i]], subscription->topics[i], order[m]);
    }
    return true;
}

assignor assignor_of(slice name)
{
    if (slice_equal_string(name, "uniform"))
        return assign_uniform;
    return slice_equal_string(name, "range") ? assign_range : NULL;
}
