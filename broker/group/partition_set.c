/* Sets of partitions by topic id, as sorted arrays. */
#include "broker/group/partition_set.h"

#include <stdlib.h>

const struct partition_set partition_set_empty = { 0, NULL };

/* -- making -------------------------------------------------------------------------------------------- */

static int compare_raw(const void *a, const void *b)
{
    return memcmp(((const struct raw_topic *)a)->id.bytes, ((const struct raw_topic *)b)->id.bytes,
                  sizeof(uuid));
}

static int compare_int32(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int32_t sort_unique(int32_t *values, int32_t count)
{
    bool is_sorted = true;
    for (int32_t i = 1; i < count && is_sorted; i++)
        is_sorted = values[i - 1] < values[i];
    if (is_sorted)
        return count;
    qsort(values, (size_t)count, sizeof *values, compare_int32);
    int32_t kept = 1;
    for (int32_t i = 1; i < count; i++)
        if (values[i] != values[kept - 1])
            values[kept++] = values[i];
    return kept;
}

/* A set to be filled: its topics, and room for its partitions. */
static struct partition_set *open_set(struct arena *arena, int32_t topics_max, size_t partitions_max,
                                      int32_t **partitions)
{
    struct partition_set *set = arena_alloc(arena, sizeof *set);
    struct set_topic *topics = arena_alloc_array(arena, (size_t)topics_max, sizeof *topics);
    *partitions = arena_alloc_array(arena, partitions_max, sizeof **partitions);
    if (!set || !topics || !*partitions)
        return NULL;
    *set = (struct partition_set){ 0, topics };
    return set;
}

const struct partition_set *partition_set_make(struct arena *arena, struct raw_topic *raw, int32_t count)
{
    size_t size = 0;
    int32_t *next;
    for (int32_t i = 0; i < count; i++)
        size += (size_t)raw[i].count;
    if (size == 0)
        return &partition_set_empty;
    qsort(raw, (size_t)count, sizeof *raw, compare_raw);
    struct partition_set *set = open_set(arena, count, size, &next);
    if (!set)
        return NULL;
    for (int32_t i = 0; i < count;) {
        uuid id = raw[i].id;
        int32_t *first = next;
        for (; i < count && uuid_equal(raw[i].id, id); i++) {
            if (raw[i].count > 0)
                memcpy(next, raw[i].partitions, (size_t)raw[i].count * sizeof *next);
            next += raw[i].count;
        }
        next = first + sort_unique(first, (int32_t)(next - first));
        if (next > first)
            set->topics[set->topic_count++] = (struct set_topic){ id, (int32_t)(next - first), first };
    }
    return set;
}

const struct partition_set *partition_set_copy(const struct partition_set *from)
{
    if (partition_set_is_empty(from))
        return &partition_set_empty;
    size_t topics_size = (size_t)from->topic_count * sizeof(struct set_topic);
    struct partition_set *set =
        malloc(sizeof *set + topics_size + partition_set_size(from) * sizeof(int32_t));
    if (!set)
        return NULL;
    set->topics = (struct set_topic *)(set + 1);
    set->topic_count = from->topic_count;
    int32_t *next = (int32_t *)(set->topics + from->topic_count);
    for (int32_t t = 0; t < from->topic_count; t++) {
        size_t count = (size_t)from->topics[t].count;
        memcpy(next, from->topics[t].partitions, count * sizeof *next);
        set->topics[t] = (struct set_topic){ from->topics[t].id, from->topics[t].count, next };
        next += count;
    }
    return set;
}

void partition_set_free(const struct partition_set *copy)
{
    if (copy != &partition_set_empty)
        free((void *)copy);
}

/* -- questions ----------------------------------------------------------------------------------------- */

bool partition_set_is_empty(const struct partition_set *set)
{
    return set->topic_count == 0;
}

size_t partition_set_size(const struct partition_set *set)
{
    size_t size = 0;
    for (int32_t t = 0; t < set->topic_count; t++)
        size += (size_t)set->topics[t].count;
    return size;
}

bool partition_set_equal(const struct partition_set *a, const struct partition_set *b)
{
    if (a == b)
        return true;
    if (a->topic_count != b->topic_count)
        return false;
    for (int32_t t = 0; t < a->topic_count; t++) {
        const struct set_topic *x = &a->topics[t], *y = &b->topics[t];
        if (!uuid_equal(x->id, y->id) || x->count != y->count ||
            memcmp(x->partitions, y->partitions, (size_t)x->count * sizeof(int32_t)) != 0)
            return false;
    }
    return true;
}

uint64_t partition_set_hash(const struct partition_set *set)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int32_t t = 0; t < set->topic_count; t++) {
        const struct set_topic *topic = &set->topics[t];
        for (size_t i = 0; i < sizeof topic->id.bytes; i++)
            hash = (hash ^ topic->id.bytes[i]) * UINT64_C(0x100000001b3);
        for (int32_t p = 0; p < topic->count; p++)
            hash = (hash ^ (uint32_t)topic->partitions[p]) * UINT64_C(0x100000001b3);
        hash = (hash ^ 0xffffffffu) * UINT64_C(0x100000001b3);
    }
    return hash;
}

const struct set_topic *partition_set_find(const struct partition_set *set, uuid id)
{
    int32_t low = 0, high = set->topic_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = memcmp(set->topics[middle].id.bytes, id.bytes, sizeof id.bytes);
        if (order == 0)
            return &set->topics[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool topic_has(const struct set_topic *topic, int32_t partition)
{
    return topic &&
           bsearch(&partition, topic->partitions, (size_t)topic->count, sizeof partition, compare_int32);
}

bool partition_set_has(const struct partition_set *set, uuid id, int32_t partition)
{
    return topic_has(partition_set_find(set, id), partition);
}

bool partition_set_is_subset(const struct partition_set *small, const struct partition_set *big)
{
    for (int32_t t = 0; t < small->topic_count; t++) {
        const struct set_topic *topic = &small->topics[t];
        const struct set_topic *other = partition_set_find(big, topic->id);
        for (int32_t p = 0; p < topic->count; p++)
            if (!topic_has(other, topic->partitions[p]))
                return false;
    }
    return true;
}

bool partition_set_intersects(const struct partition_set *a, const struct partition_set *b)
{
    for (int32_t t = 0; t < a->topic_count; t++) {
        const struct set_topic *topic = &a->topics[t];
        const struct set_topic *other = partition_set_find(b, topic->id);
        for (int32_t p = 0; other && p < topic->count; p++)
            if (topic_has(other, topic->partitions[p]))
                return true;
    }
    return false;
}

/* -- sets of sets -------------------------------------------------------------------------------------- */

const struct partition_set *partition_set_filter(struct arena *arena, const struct partition_set *a,
                                                 bool (*keep)(void *context, uuid id, int32_t partition),
                                                 void *context)
{
    int32_t *next;
    size_t size = partition_set_size(a), kept = 0;
    struct partition_set *set = size == 0 ? NULL : open_set(arena, a->topic_count, size, &next);
    if (!set)
        return size == 0 ? &partition_set_empty : NULL;
    for (int32_t t = 0; t < a->topic_count; t++) {
        const struct set_topic *topic = &a->topics[t];
        int32_t *first = next;
        for (int32_t p = 0; p < topic->count; p++)
            if (keep(context, topic->id, topic->partitions[p]))
                *next++ = topic->partitions[p];
        if (next > first)
            set->topics[set->topic_count++] = (struct set_topic){ topic->id, (int32_t)(next - first), first };
        kept += (size_t)(next - first);
    }
    return kept == size ? a : set;
}

static bool is_in(void *context, uuid id, int32_t partition)
{
    return partition_set_has(context, id, partition);
}

static bool is_not_in(void *context, uuid id, int32_t partition)
{
    return !partition_set_has(context, id, partition);
}

const struct partition_set *partition_set_intersect(struct arena *arena, const struct partition_set *a,
                                                    const struct partition_set *b)
{
    return partition_set_filter(arena, a, is_in, (void *)b);
}

const struct partition_set *partition_set_minus(struct arena *arena, const struct partition_set *a,
                                                const struct partition_set *b)
{
    return partition_set_filter(arena, a, is_not_in, (void *)b);
}

const struct partition_set *partition_set_union(struct arena *arena, const struct partition_set *a,
                                                const struct partition_set *b)
{
    if (partition_set_is_empty(a) || partition_set_is_empty(b))
        return partition_set_is_empty(a) ? b : a;
    size_t count = (size_t)a->topic_count + (size_t)b->topic_count, filled = 0;
    struct raw_topic *raw = arena_alloc_array(arena, count, sizeof *raw);
    if (!raw)
        return NULL;
    for (int32_t t = 0; t < a->topic_count; t++)
        raw[filled++] = (struct raw_topic){ a->topics[t].id, a->topics[t].partitions, a->topics[t].count };
    for (int32_t t = 0; t < b->topic_count; t++)
        raw[filled++] = (struct raw_topic){ b->topics[t].id, b->topics[t].partitions, b->topics[t].count };
    return partition_set_make(arena, raw, (int32_t)count);
}
