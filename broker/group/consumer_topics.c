/* The topics that a consumer group reads: what its members' names and patterns come to in the image. */
#include <stdlib.h>

#include "broker/group/consumer_internal.h"
#include "broker/group/topic_hash.h"

/* Topics found so far, with doubles. */
struct gathering {
    struct arena *arena;
    const struct image *image;
    const struct topic **topics;
    size_t count;
    size_t capacity;
};

static bool gather(struct gathering *gathering, const struct topic_names *names)
{
    for (int32_t i = 0; i < names->count; i++) {
        const struct topic *topic = image_topic_by_name(gathering->image, names->names[i]);
        if (!topic)
            continue;
        if (gathering->count == gathering->capacity) {
            size_t capacity = gathering->capacity ? 2 * gathering->capacity : 16;
            const struct topic **topics = arena_alloc_array(gathering->arena, capacity, sizeof *topics);
            if (!topics)
                return false;
            if (gathering->count)
                memcpy(topics, gathering->topics, gathering->count * sizeof *topics);
            gathering->topics = topics;
            gathering->capacity = capacity;
        }
        gathering->topics[gathering->count++] = topic;
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct topic *const *)a)->name, (*(const struct topic *const *)b)->name);
}

/* How many members of those that go subscribe to this. */
static size_t count_gone(const struct consumer_change *change,
                         const struct consumer_subscription *subscription)
{
    size_t count = 0;
    for (int i = 0; i < CHANGE_GONE_MAX; i++)
        count += change->gone[i] && change->gone[i]->subscription == subscription;
    for (int32_t i = 0; i < change->leaver_count; i++)
        count += change->leavers[i]->subscription == subscription;
    return count;
}

static size_t count_gone_regex(const struct consumer_change *change, const struct consumer_regex *regex)
{
    size_t count = 0;
    for (int i = 0; i < CHANGE_GONE_MAX; i++)
        count += change->gone[i] && change->gone[i]->regex == regex;
    for (int32_t i = 0; i < change->leaver_count; i++)
        count += change->leavers[i]->regex == regex;
    return count;
}

struct topic_names consumer__matched(const struct consumer_group *consumer,
                                     const struct consumer_change *change, slice pattern)
{
    if (pattern.size == 0)
        return (struct topic_names){ 0, NULL };
    for (int32_t i = 0; change->resolved && i < change->resolved->count; i++)
        if (slice_equal(change->resolved->regexes[i].pattern, pattern))
            return change->resolved->regexes[i].topics;
    const struct consumer_regex *regex = consumer__find_regex(consumer, pattern);
    return regex && regex->is_resolved ? regex->topics : (struct topic_names){ 0, NULL };
}

static bool gather_all(const struct consumer_group *consumer, const struct consumer_change *change,
                       struct gathering *gathering)
{
    for (const struct consumer_subscription *names = consumer->subscriptions; names; names = names->next)
        if (names->member_count > count_gone(change, names) && !gather(gathering, &names->names))
            return false;
    for (const struct consumer_regex *regex = consumer->regexes; regex; regex = regex->next) {
        const struct topic_names matched = consumer__matched(consumer, change, regex->pattern);
        if (regex->member_count > count_gone_regex(change, regex) && !gather(gathering, &matched))
            return false;
    }
    if (!change->next)
        return true;
    const struct topic_names matched = consumer__matched(consumer, change, change->next->regex);
    return gather(gathering, &change->next->names) && gather(gathering, &matched);
}

bool consumer__topics(const struct consumer_group *consumer, const struct consumer_change *change,
                      const struct image *image, struct arena *arena, struct consumer_topics *out)
{
    struct gathering gathering = { .arena = arena, .image = image };
    size_t kept = 0;
    if (!gather_all(consumer, change, &gathering))
        return false;
    if (gathering.count > 1)
        qsort(gathering.topics, gathering.count, sizeof *gathering.topics, compare_names);
    for (size_t i = 0; i < gathering.count; i++)
        if (kept == 0 || gathering.topics[kept - 1] != gathering.topics[i])
            gathering.topics[kept++] = gathering.topics[i];
    *out = (struct consumer_topics){ gathering.topics, kept, topic_hash_all(image, gathering.topics, kept) };
    return true;
}
