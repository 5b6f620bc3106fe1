/* A linked hash set of partitions, and of the topics that these share. */
#include "broker/fetch_set.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/siphash.h"

enum { CAPACITY_MAX = 1 << 29, GROWTH_MIN = 4, ALLOCATION_OVERHEAD = 16 };

/* -- hashes --------------------------------------------------------------------------------------- */

static uint64_t hash_topic(const struct fetch_set *set, slice name, uuid id)
{
    return siphash(set->key, set->by_id ? slice_of(id.bytes, sizeof id.bytes) : name);
}

/* The topic's hash is nobody's to know, so neither is where a partition comes to lie. */
static uint32_t bucket_of(const struct fetch_set *set, uint64_t topic_hash, int32_t partition)
{
    uint64_t hash = topic_hash + (uint32_t)partition;
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53u;
    return (uint32_t)(hash >> 32) & (set->bucket_count - 1);
}

static uint32_t bucket_of_partition(const struct fetch_set *set, const struct fetch_partition *partition)
{
    return bucket_of(set, set->topics[partition->topic].hash, partition->partition);
}

static uint32_t buckets_for(uint32_t capacity)
{
    uint32_t count = 1;
    while (count < capacity)
        count *= 2;
    return count;
}

static void link_bucket(struct fetch_set *set, uint32_t at)
{
    uint32_t *bucket = &set->buckets[bucket_of_partition(set, &set->partitions[at])];
    set->partitions[at].hash_next = *bucket;
    *bucket = at;
}

static void link_topic_bucket(struct fetch_set *set, uint32_t at)
{
    uint32_t *bucket = &set->topic_buckets[set->topics[at].hash & (set->topic_bucket_count - 1)];
    set->topics[at].hash_next = *bucket;
    *bucket = at;
}

/* -- memory --------------------------------------------------------------------------------------- */

static size_t size_of(uint32_t capacity, uint32_t topic_capacity, size_t names_size)
{
    return capacity * sizeof(struct fetch_partition) + topic_capacity * sizeof(struct fetch_topic) +
           (buckets_for(capacity) + (size_t)buckets_for(topic_capacity)) * sizeof(uint32_t) + names_size +
           4 * ALLOCATION_OVERHEAD;
}

size_t fetch_set_size(const struct fetch_set *set)
{
    return size_of(set->capacity, set->topic_capacity, set->names_size);
}

size_t fetch_set_copy_size(const struct fetch_set *from)
{
    return size_of(from->count, from->topic_count, from->names_size);
}

static void *allocate(struct arena *arena, size_t count, size_t size)
{
    return arena ? arena_alloc(arena, count * size) : malloc(count * size + 1);
}

static uint32_t *allocate_buckets(struct arena *arena, uint32_t count)
{
    uint32_t *buckets = allocate(arena, count, sizeof *buckets);
    if (buckets)
        memset(buckets, 0xff, count * sizeof *buckets); /* FETCH_NONE */
    return buckets;
}

bool fetch_set_init(struct fetch_set *set, const uint64_t key[2], bool by_id, struct arena *arena,
                    uint32_t capacity, uint32_t topic_capacity)
{
    *set = (struct fetch_set){ .key = { key[0], key[1] },
                               .by_id = by_id,
                               .arena = arena,
                               .capacity = capacity,
                               .topic_capacity = topic_capacity,
                               .bucket_count = buckets_for(capacity),
                               .topic_bucket_count = buckets_for(topic_capacity),
                               .free = FETCH_NONE,
                               .topic_free = FETCH_NONE,
                               .first = FETCH_NONE,
                               .last = FETCH_NONE };
    if (capacity > CAPACITY_MAX || topic_capacity > CAPACITY_MAX)
        return false;
    set->partitions = allocate(arena, capacity, sizeof *set->partitions);
    set->topics = allocate(arena, topic_capacity, sizeof *set->topics);
    set->buckets = allocate_buckets(arena, set->bucket_count);
    set->topic_buckets = allocate_buckets(arena, set->topic_bucket_count);
    if (set->partitions && set->topics && set->buckets && set->topic_buckets)
        return true;
    if (!arena)
        fetch_set_destroy(set);
    return false;
}

void fetch_set_destroy(struct fetch_set *set)
{
    check(!set->arena);
    for (uint32_t i = 0; i < set->topic_used; i++)
        free((void *)set->topics[i].name.data); /* NULL in free places */
    free(set->partitions);
    free(set->topics);
    free(set->buckets);
    free(set->topic_buckets);
}

static uint32_t grown(uint32_t capacity)
{
    return capacity + capacity / 2 + GROWTH_MIN;
}

static bool may_grow(const struct fetch_set *set, uint32_t capacity, uint32_t topic_capacity)
{
    return capacity <= CAPACITY_MAX && topic_capacity <= CAPACITY_MAX &&
           (set->size_max == 0 || size_of(capacity, topic_capacity, set->names_size) <= set->size_max);
}

static bool grow_partitions(struct fetch_set *set)
{
    uint32_t capacity = grown(set->capacity), bucket_count = buckets_for(capacity);
    check(!set->arena);
    if (!may_grow(set, capacity, set->topic_capacity))
        return false;
    uint32_t *buckets =
        bucket_count != set->bucket_count ? allocate_buckets(NULL, bucket_count) : set->buckets;
    struct fetch_partition *partitions = realloc(set->partitions, capacity * sizeof *partitions);
    if (partitions)
        set->partitions = partitions;
    if (!partitions || !buckets) {
        if (buckets != set->buckets)
            free(buckets);
        return false;
    }
    set->capacity = capacity;
    if (buckets == set->buckets)
        return true;
    free(set->buckets);
    set->buckets = buckets;
    set->bucket_count = bucket_count;
    for (uint32_t at = set->first; at != FETCH_NONE; at = set->partitions[at].next)
        link_bucket(set, at);
    return true;
}

static bool grow_topics(struct fetch_set *set)
{
    uint32_t capacity = grown(set->topic_capacity), bucket_count = buckets_for(capacity);
    check(!set->arena);
    if (!may_grow(set, set->capacity, capacity))
        return false;
    uint32_t *buckets =
        bucket_count != set->topic_bucket_count ? allocate_buckets(NULL, bucket_count) : set->topic_buckets;
    struct fetch_topic *topics = realloc(set->topics, capacity * sizeof *topics);
    if (topics)
        set->topics = topics;
    if (!topics || !buckets) {
        if (buckets != set->topic_buckets)
            free(buckets);
        return false;
    }
    set->topic_capacity = capacity;
    if (buckets == set->topic_buckets)
        return true;
    free(set->topic_buckets);
    set->topic_buckets = buckets;
    set->topic_bucket_count = bucket_count;
    for (uint32_t at = 0; at < set->topic_used; at++)
        if (set->topics[at].partition_count > 0)
            link_topic_bucket(set, at);
    return true;
}

/* -- topics --------------------------------------------------------------------------------------- */

static uint32_t find_hashed(const struct fetch_set *set, uint64_t hash, slice name, uuid id)
{
    uint32_t at = set->topic_buckets[hash & (set->topic_bucket_count - 1)];
    for (; at != FETCH_NONE; at = set->topics[at].hash_next) {
        const struct fetch_topic *topic = &set->topics[at];
        if (topic->hash == hash && (set->by_id ? uuid_equal(topic->id, id) : slice_equal(topic->name, name)))
            return at;
    }
    return FETCH_NONE;
}

uint32_t fetch_set_find_topic(const struct fetch_set *set, slice name, uuid id)
{
    return find_hashed(set, hash_topic(set, name, id), name, id);
}

/* Counted in an arena, too, where it costs nothing: a copy will have it. */
static size_t size_of_name(const struct fetch_topic *topic)
{
    return slice_is_null(topic->name) ? 0 : topic->name.size + ALLOCATION_OVERHEAD;
}

static bool keep_name(struct fetch_set *set, struct fetch_topic *topic, slice name)
{
    if (set->arena) {
        topic->name = name;
        set->names_size += size_of_name(topic);
        return true;
    }
    uint8_t *copy = malloc(name.size + 1);
    if (!copy)
        return false;
    if (name.size > 0)
        memcpy(copy, name.data, name.size);
    topic->name = slice_of(copy, name.size);
    set->names_size += size_of_name(topic);
    return true;
}

void fetch_set_name_topic(struct fetch_set *set, struct fetch_topic *topic, slice name)
{
    bool ok = true;
    if (set->arena)
        name = arena_copy(set->arena, name, &ok);
    if (ok)
        keep_name(set, topic, name);
}

/* It has no partition yet; who adds none gives it back. */
static uint32_t add_topic(struct fetch_set *set, uint64_t hash, slice name, uuid id)
{
    if (set->topic_free == FETCH_NONE && set->topic_used == set->topic_capacity && !grow_topics(set))
        return FETCH_NONE;
    uint32_t at = set->topic_free != FETCH_NONE ? set->topic_free : set->topic_used;
    struct fetch_topic fresh = { .hash = hash, .id = set->by_id ? id : UUID_ZERO };
    if (!set->by_id && !keep_name(set, &fresh, name))
        return FETCH_NONE;
    if (at == set->topic_used)
        set->topic_used++;
    else
        set->topic_free = set->topics[at].hash_next;
    set->topics[at] = fresh;
    link_topic_bucket(set, at);
    set->topic_count++;
    return at;
}

static void drop_topic(struct fetch_set *set, uint32_t at)
{
    struct fetch_topic *topic = &set->topics[at];
    uint32_t *link = &set->topic_buckets[topic->hash & (set->topic_bucket_count - 1)];
    while (*link != at)
        link = &set->topics[*link].hash_next;
    *link = topic->hash_next;
    set->names_size -= size_of_name(topic);
    if (!set->arena)
        free((void *)topic->name.data);
    *topic = (struct fetch_topic){ .hash_next = set->topic_free };
    set->topic_free = at;
    set->topic_count--;
}

/* -- partitions ----------------------------------------------------------------------------------- */

static void link_last(struct fetch_set *set, uint32_t at)
{
    struct fetch_partition *partition = &set->partitions[at];
    partition->previous = set->last;
    partition->next = FETCH_NONE;
    if (set->last != FETCH_NONE)
        set->partitions[set->last].next = at;
    else
        set->first = at;
    set->last = at;
}

static void unlink_from_order(struct fetch_set *set, uint32_t at)
{
    const struct fetch_partition *partition = &set->partitions[at];
    if (partition->previous != FETCH_NONE)
        set->partitions[partition->previous].next = partition->next;
    else
        set->first = partition->next;
    if (partition->next != FETCH_NONE)
        set->partitions[partition->next].previous = partition->previous;
    else
        set->last = partition->previous;
}

uint32_t fetch_set_find(const struct fetch_set *set, uint32_t topic, int32_t partition)
{
    uint32_t at = set->buckets[bucket_of(set, set->topics[topic].hash, partition)];
    while (at != FETCH_NONE &&
           (set->partitions[at].partition != partition || set->partitions[at].topic != topic))
        at = set->partitions[at].hash_next;
    return at;
}

static uint32_t add_partition(struct fetch_set *set, uint32_t topic, int32_t partition)
{
    if (set->free == FETCH_NONE && set->used == set->capacity && !grow_partitions(set))
        return FETCH_NONE;
    uint32_t at = set->free;
    if (at == FETCH_NONE)
        at = set->used++;
    else
        set->free = set->partitions[at].hash_next;
    set->partitions[at] = (struct fetch_partition){
        .high_watermark = -1, .log_start_offset = -1, .partition = partition, .topic = topic & 0x3fffffffu
    };
    set->topics[topic].partition_count++;
    link_bucket(set, at);
    link_last(set, at);
    set->count++;
    return at;
}

uint32_t fetch_set_put(struct fetch_set *set, uint32_t *topic, slice name, uuid id, int32_t partition)
{
    uint64_t hash = 0;
    if (*topic == FETCH_NONE) {
        hash = hash_topic(set, name, id);
        *topic = find_hashed(set, hash, name, id);
    }
    if (*topic != FETCH_NONE) {
        uint32_t at = fetch_set_find(set, *topic, partition);
        return at != FETCH_NONE ? at : add_partition(set, *topic, partition);
    }
    uint32_t fresh = add_topic(set, hash, name, id);
    if (fresh == FETCH_NONE)
        return FETCH_NONE;
    uint32_t at = add_partition(set, fresh, partition);
    if (at == FETCH_NONE)
        drop_topic(set, fresh);
    else
        *topic = fresh;
    return at;
}

void fetch_set_remove(struct fetch_set *set, uint32_t at)
{
    struct fetch_partition *partition = &set->partitions[at];
    uint32_t topic = partition->topic;
    uint32_t *link = &set->buckets[bucket_of_partition(set, partition)];
    while (*link != at)
        link = &set->partitions[*link].hash_next;
    *link = partition->hash_next;
    unlink_from_order(set, at);
    partition->hash_next = set->free;
    set->free = at;
    set->count--;
    if (--set->topics[topic].partition_count == 0)
        drop_topic(set, topic);
}

void fetch_set_move_last(struct fetch_set *set, uint32_t at)
{
    if (set->last == at)
        return;
    unlink_from_order(set, at);
    link_last(set, at);
}

/* -- copies --------------------------------------------------------------------------------------- */

static bool copy_topics(struct fetch_set *to, struct fetch_set *from)
{
    for (uint32_t i = 0; i < from->topic_used; i++) {
        struct fetch_topic *topic = &from->topics[i];
        if (topic->partition_count == 0)
            continue;
        uint32_t at = to->topic_used;
        to->topics[at] = (struct fetch_topic){ .hash = topic->hash, .id = topic->id };
        if (!slice_is_null(topic->name) && !keep_name(to, &to->topics[at], topic->name))
            return false;
        to->topic_used++;
        to->topic_count++;
        link_topic_bucket(to, at);
        topic->copied_to = at;
    }
    return true;
}

bool fetch_set_copy(struct fetch_set *to, struct fetch_set *from)
{
    if (!fetch_set_init(to, from->key, from->by_id, NULL, from->count, from->topic_count))
        return false;
    if (!copy_topics(to, from)) {
        fetch_set_destroy(to);
        return false;
    }
    to->size_max = from->size_max;
    for (uint32_t i = from->first; i != FETCH_NONE; i = from->partitions[i].next) {
        const struct fetch_partition *source = &from->partitions[i];
        uint32_t at = add_partition(to, from->topics[source->topic].copied_to, source->partition);
        struct fetch_partition *copy = &to->partitions[at];
        copy->fetch_offset = source->fetch_offset;
        copy->high_watermark = source->high_watermark;
        copy->log_start_offset = source->log_start_offset;
        copy->max_bytes = source->max_bytes;
        copy->leader_epoch = source->leader_epoch;
        copy->last_fetched_epoch = source->last_fetched_epoch;
        copy->is_named = source->is_named;
    }
    return true;
}
