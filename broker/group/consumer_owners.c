/* Which member of a consumer group holds a partition: derived from their sets, kept right as these change. */
#include <stdlib.h>

#include "broker/group/consumer_internal.h"

enum { OWNERS_MIN = 16 };

static size_t hash_of(uuid id)
{
    uint64_t words[2];
    memcpy(words, id.bytes, sizeof words);
    uint64_t hash = (words[0] ^ words[1]) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(hash ^ hash >> 32);
}

static struct owned_topic *find(const struct consumer_group *consumer, uuid id)
{
    if (consumer->owner_buckets == 0)
        return NULL;
    struct owned_topic *topic = consumer->owners[hash_of(id) & (consumer->owner_buckets - 1)];
    while (topic && !uuid_equal(topic->id, id))
        topic = topic->next;
    return topic;
}

static bool grow(struct consumer_group *consumer)
{
    size_t bucket_count = consumer->owner_buckets ? 2 * consumer->owner_buckets : BUCKETS_MIN;
    struct owned_topic **buckets = calloc(bucket_count, sizeof(struct owned_topic *));
    if (!buckets)
        return consumer->owner_buckets > 0;
    for (size_t i = 0; i < consumer->owner_buckets; i++) {
        struct owned_topic *next;
        for (struct owned_topic *topic = consumer->owners[i]; topic; topic = next) {
            next = topic->next;
            struct owned_topic **chain = &buckets[hash_of(topic->id) & (bucket_count - 1)];
            topic->next = *chain;
            *chain = topic;
        }
    }
    free(consumer->owners);
    consumer->owners = buckets;
    consumer->owner_buckets = bucket_count;
    return true;
}

static struct owned_topic *make(struct consumer_group *consumer, uuid id)
{
    struct owned_topic *topic = find(consumer, id);
    if (topic)
        return topic;
    if (consumer->owner_count >= consumer->owner_buckets && !grow(consumer))
        return NULL;
    topic = calloc(1, sizeof *topic);
    if (!topic)
        return NULL;
    topic->id = id;
    struct owned_topic **chain = &consumer->owners[hash_of(id) & (consumer->owner_buckets - 1)];
    topic->next = *chain;
    *chain = topic;
    consumer->owner_count++;
    return topic;
}

static bool reserve(struct owned_topic *topic, int32_t partition)
{
    if (partition < topic->capacity)
        return true;
    int32_t capacity = topic->capacity > 0 ? topic->capacity : OWNERS_MIN;
    while (capacity <= partition)
        capacity = capacity > INT32_MAX / 2 ? INT32_MAX : 2 * capacity;
    struct consumer_member **owners =
        realloc(topic->owners, (size_t)capacity * sizeof(struct consumer_member *));
    if (!owners)
        return false;
    memset(owners + topic->capacity, 0,
           (size_t)(capacity - topic->capacity) * sizeof(struct consumer_member *));
    topic->owners = owners;
    topic->capacity = capacity;
    return true;
}

static bool hold_set(struct consumer_group *consumer, struct consumer_member *member,
                     const struct partition_set *set)
{
    for (int32_t t = 0; t < set->topic_count; t++) {
        const struct set_topic *from = &set->topics[t];
        struct owned_topic *topic = make(consumer, from->id);
        if (!topic || !reserve(topic, from->partitions[from->count - 1]))
            return false;
        for (int32_t p = 0; p < from->count; p++) {
            struct consumer_member **owner = &topic->owners[from->partitions[p]];
            topic->held_count += *owner == NULL;
            *owner = member;
        }
    }
    return true;
}

static void drop(struct consumer_group *consumer, struct owned_topic *topic)
{
    struct owned_topic **link = &consumer->owners[hash_of(topic->id) & (consumer->owner_buckets - 1)];
    while (*link != topic)
        link = &(*link)->next;
    *link = topic->next;
    consumer->owner_count--;
    free(topic->owners);
    free(topic);
}

static void release_set(struct consumer_group *consumer, const struct consumer_member *member,
                        const struct partition_set *set)
{
    for (int32_t t = 0; t < set->topic_count; t++) {
        const struct set_topic *from = &set->topics[t];
        struct owned_topic *topic = find(consumer, from->id);
        for (int32_t p = 0; topic && p < from->count; p++)
            if (from->partitions[p] < topic->capacity && topic->owners[from->partitions[p]] == member) {
                topic->owners[from->partitions[p]] = NULL;
                topic->held_count--;
            }
        if (topic && topic->held_count == 0)
            drop(consumer, topic);
    }
}

bool consumer__hold(struct consumer_group *consumer, struct consumer_member *member)
{
    return !consumer->knows_owners || (hold_set(consumer, member, member->facts.assigned) &&
                                       hold_set(consumer, member, member->facts.revoking));
}

void consumer__release(struct consumer_group *consumer, const struct consumer_member *member)
{
    if (!consumer->knows_owners)
        return;
    release_set(consumer, member, member->facts.assigned);
    release_set(consumer, member, member->facts.revoking);
}

bool consumer__know_owners(struct consumer_group *consumer)
{
    if (consumer->knows_owners)
        return true;
    consumer->knows_owners = true;
    for (struct consumer_member *member = consumer->first; member; member = member->next)
        if (!consumer__hold(consumer, member)) {
            consumer__forget_owners(consumer);
            return false;
        }
    return true;
}

const struct consumer_member *consumer__owner(const struct consumer_group *consumer, uuid id,
                                              int32_t partition)
{
    const struct owned_topic *topic = find(consumer, id);
    return topic && partition < topic->capacity ? topic->owners[partition] : NULL;
}

void consumer__forget_owners(struct consumer_group *consumer)
{
    for (size_t i = 0; i < consumer->owner_buckets; i++) {
        struct owned_topic *next;
        for (struct owned_topic *topic = consumer->owners[i]; topic; topic = next) {
            next = topic->next;
            free(topic->owners);
            free(topic);
        }
    }
    free(consumer->owners);
    consumer->owners = NULL;
    consumer->owner_buckets = consumer->owner_count = 0;
    consumer->knows_owners = false;
}
