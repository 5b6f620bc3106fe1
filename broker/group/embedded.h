/* What consumers say to each other inside the classic protocol: subscriptions, and assignments (protocol type
 * "consumer", versions 0 to 3). */
#ifndef RUNNEL_BROKER_GROUP_EMBEDDED_H
#define RUNNEL_BROKER_GROUP_EMBEDDED_H

#include "broker/group/partition_set.h"
#include "broker/image.h"

struct embedded_subscription {
    int16_t version;
    slice *topics; /* in the arena */
    int32_t topic_count;
    const struct partition_set *owned; /* of topics that exist */
    slice rack_id;                     /* null: none */
};

enum embedded_status { EMBEDDED_OK, EMBEDDED_MALFORMED, EMBEDDED_NO_MEMORY };

/* The slices point into the bytes. */
enum embedded_status embedded_read_subscription(struct arena *arena, const struct image *image, slice bytes,
                                                struct embedded_subscription *out);
/* Empty bytes: nothing is assigned. has_user_data: an assignor keeps something of its own in it. */
enum embedded_status embedded_read_assignment(struct arena *arena, const struct image *image, slice bytes,
                                              const struct partition_set **out, bool *has_user_data);
/* As the subscription's version wants it; without topics that do not exist any more. Null: no memory. */
slice embedded_write_assignment(struct arena *arena, const struct image *image,
                                const struct partition_set *set, int16_t version);

#endif
