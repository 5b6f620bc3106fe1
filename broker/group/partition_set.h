/* Sets of partitions by topic id: what a member has, gives back, or is to get. */
#ifndef RUNNEL_BROKER_GROUP_PARTITION_SET_H
#define RUNNEL_BROKER_GROUP_PARTITION_SET_H

#include "protocol/base/arena.h"
#include "protocol/base/uuid.h"

struct set_topic {
    uuid id;
    int32_t count;             /* above 0 */
    const int32_t *partitions; /* ascending */
};

/* Immutable: topics ascending by id, none of them empty, no partition twice. */
struct partition_set {
    int32_t topic_count;
    struct set_topic *topics;
};

extern const struct partition_set partition_set_empty;

/* Partitions of one topic as messages have them: in any order, with doubles. */
struct raw_topic {
    uuid id;
    const int32_t *partitions;
    int32_t count;
};

/* All in the arena; NULL: no memory. raw is sorted. */
const struct partition_set *partition_set_make(struct arena *arena, struct raw_topic *raw, int32_t count);
const struct partition_set *partition_set_union(struct arena *arena, const struct partition_set *a,
                                                const struct partition_set *b);
const struct partition_set *partition_set_intersect(struct arena *arena, const struct partition_set *a,
                                                    const struct partition_set *b);
const struct partition_set *partition_set_minus(struct arena *arena, const struct partition_set *a,
                                                const struct partition_set *b);
/* Those that keep says yes to; a is returned when these are all. */
const struct partition_set *partition_set_filter(struct arena *arena, const struct partition_set *a,
                                                 bool (*keep)(void *context, uuid id, int32_t partition),
                                                 void *context);

/* On the heap, in one piece; the empty set is never copied. NULL: no memory. */
const struct partition_set *partition_set_copy(const struct partition_set *set);
void partition_set_free(const struct partition_set *copy);

bool partition_set_equal(const struct partition_set *a, const struct partition_set *b);
bool partition_set_is_subset(const struct partition_set *small, const struct partition_set *big);
bool partition_set_intersects(const struct partition_set *a, const struct partition_set *b);
bool partition_set_is_empty(const struct partition_set *set);
/* Equal sets have equal hashes. */
uint64_t partition_set_hash(const struct partition_set *set);
/* NULL: none of this topic. */
const struct set_topic *partition_set_find(const struct partition_set *set, uuid id);
bool partition_set_has(const struct partition_set *set, uuid id, int32_t partition);
/* Partitions in all. */
size_t partition_set_size(const struct partition_set *set);

#endif
