/* The target assignment of a consumer group: who shall read what, worked out by an assignor. */
#include <stdlib.h>

#include "broker/group/assignor.h"
#include "broker/group/consumer_internal.h"
#include "broker/server.h"

/* A way to subscribe: names with a pattern; all members that subscribe so share it. */
struct way {
    struct way *next; /* of the same subscription */
    const struct consumer_regex *regex;
    struct assignor_subscription subscription;
};

/* The group in the assignor's numbers. */
struct targeting {
    struct arena *arena;
    const struct consumer_group *consumer;
    const struct consumer_change *change;
    const struct topic **topics; /* ascending by id */
    struct assignor_group group;
    struct assignor_member *members;
    const struct consumer_member **sources; /* by number: whose target it has so far; NULL: none */
    struct way **ways;                      /* by number of the subscription */
};

/* -- members ------------------------------------------------------------------------------------------- */

static bool is_gone(const struct consumer_change *change, const struct consumer_member *member)
{
    for (int i = 0; i < CHANGE_GONE_MAX; i++)
        if (change->gone[i] == member)
            return true;
    return false;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp((*(const struct topic *const *)a)->id.bytes, (*(const struct topic *const *)b)->id.bytes,
                  sizeof(uuid));
}

/* -1: not among those of the group. */
static int32_t number_of(const struct targeting *targeting, uuid id)
{
    int32_t low = 0, high = targeting->group.topic_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = memcmp(targeting->topics[middle]->id.bytes, id.bytes, sizeof id.bytes);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static int compare_int32(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The numbers of what the names and what the pattern matched come to. */
static bool subscribe(struct targeting *targeting, const struct image *image, const struct topic_names *names,
                      const struct topic_names *matched, struct assignor_subscription *out)
{
    size_t count_max = (size_t)names->count + (size_t)matched->count;
    int32_t *numbers = arena_alloc_array(targeting->arena, count_max, sizeof *numbers);
    int32_t count = 0, kept = 0;
    if (!numbers)
        return false;
    for (size_t i = 0; i < count_max; i++) {
        size_t of_names = (size_t)names->count;
        const struct topic *topic =
            image_topic_by_name(image, i < of_names ? names->names[i] : matched->names[i - of_names]);
        int32_t number = topic ? number_of(targeting, topic->id) : -1;
        if (number >= 0)
            numbers[count++] = number;
    }
    if (count > 1)
        qsort(numbers, (size_t)count, sizeof *numbers, compare_int32);
    for (int32_t i = 0; i < count; i++)
        if (kept == 0 || numbers[kept - 1] != numbers[i])
            numbers[kept++] = numbers[i];
    *out = (struct assignor_subscription){ numbers, kept };
    return true;
}

static const struct assignor_subscription *find_way(struct targeting *targeting, const struct image *image,
                                                    const struct consumer_member *member)
{
    struct way **ways = &targeting->ways[member->subscription ? member->subscription->number : 0];
    struct way *way = *ways;
    while (way && way->regex != member->regex)
        way = way->next;
    if (way)
        return &way->subscription;
    const struct topic_names matched =
        consumer__matched(targeting->consumer, targeting->change, member->facts.regex);
    way = arena_alloc(targeting->arena, sizeof *way);
    if (!way || !subscribe(targeting, image, &member->facts.names, &matched, &way->subscription))
        return NULL;
    way->regex = member->regex;
    way->next = *ways;
    *ways = way;
    return &way->subscription;
}

/* The subscriptions get numbers, so that a member finds the way of its own without a search. */
static bool number_subscriptions(struct targeting *targeting)
{
    int32_t number = 1; /* 0: members without a metadata record */
    for (struct consumer_subscription *names = targeting->consumer->subscriptions; names; names = names->next)
        names->number = number++;
    targeting->ways = arena_alloc_array(targeting->arena, (size_t)number, sizeof(struct way *));
    return targeting->ways != NULL;
}

static bool add_next(struct targeting *targeting, const struct image *image)
{
    const struct member_facts *next = targeting->change->next;
    const struct topic_names matched = consumer__matched(targeting->consumer, targeting->change, next->regex);
    struct assignor_subscription *subscription = arena_alloc(targeting->arena, sizeof *subscription);
    if (!subscription || !subscribe(targeting, image, &next->names, &matched, subscription))
        return false;
    targeting->sources[targeting->group.member_count] = targeting->change->gone[0];
    targeting->members[targeting->group.member_count++] =
        (struct assignor_member){ next->member_id, next->instance_id, subscription };
    return true;
}

/* Members in the order in which they joined; who changes keeps its place, who is new comes last. */
static bool add_members(struct targeting *targeting, const struct image *image)
{
    const struct consumer_group *consumer = targeting->consumer;
    const struct consumer_change *change = targeting->change;
    bool has_next = false;
    size_t count_max = (size_t)consumer->member_count + 1;
    targeting->members = arena_alloc_array(targeting->arena, count_max, sizeof *targeting->members);
    targeting->sources = arena_alloc_array(targeting->arena, count_max, sizeof(struct consumer_member *));
    if (!targeting->members || !targeting->sources || !number_subscriptions(targeting))
        return false;
    for (const struct consumer_member *member = consumer->first; member; member = member->next) {
        if (change->next && member == change->gone[0]) {
            if (!add_next(targeting, image))
                return false;
            has_next = true;
        }
        if (!member->is_member || is_gone(change, member))
            continue;
        const struct assignor_subscription *way = find_way(targeting, image, member);
        if (!way)
            return false;
        targeting->sources[targeting->group.member_count] = member;
        targeting->members[targeting->group.member_count++] =
            (struct assignor_member){ member->facts.member_id, member->facts.instance_id, way };
    }
    targeting->group.members = targeting->members;
    return has_next || !change->next || add_next(targeting, image);
}

/* -- topics -------------------------------------------------------------------------------------------- */

static bool add_topics(struct targeting *targeting, const struct consumer_topics *topics)
{
    struct assignor_group *group = &targeting->group;
    int32_t *counts = arena_alloc_array(targeting->arena, topics->count, sizeof *counts);
    group->owners = arena_alloc_array(targeting->arena, topics->count, sizeof(int32_t *));
    targeting->topics = arena_alloc_array(targeting->arena, topics->count, sizeof(struct topic *));
    if (!counts || !group->owners || !targeting->topics)
        return false;
    if (topics->count > 0)
        memcpy(targeting->topics, topics->topics, topics->count * sizeof(struct topic *));
    if (topics->count > 1)
        qsort(targeting->topics, topics->count, sizeof(struct topic *), compare_ids);
    for (size_t t = 0; t < topics->count; t++) {
        counts[t] = targeting->topics[t]->partition_count;
        group->owners[t] = arena_alloc(targeting->arena, (size_t)counts[t] * sizeof(int32_t));
        if (!group->owners[t])
            return false;
        memset(group->owners[t], 0xff, (size_t)counts[t] * sizeof(int32_t));
    }
    group->partition_counts = counts;
    group->topic_count = (int32_t)topics->count;
    return true;
}

/* The target so far. */
static void fill_owners(struct targeting *targeting)
{
    for (int32_t m = 0; m < targeting->group.member_count; m++) {
        const struct partition_set *target = targeting->sources[m] ? targeting->sources[m]->target : NULL;
        for (int32_t t = 0; target && t < target->topic_count; t++) {
            const struct set_topic *topic = &target->topics[t];
            int32_t number = number_of(targeting, topic->id);
            for (int32_t p = 0; number >= 0 && p < topic->count; p++)
                if (topic->partitions[p] < targeting->group.partition_counts[number])
                    targeting->group.owners[number][topic->partitions[p]] = m;
        }
    }
}

/* -- the result ---------------------------------------------------------------------------------------- */

/* The owners as a set for each member. NULL: no memory. */
static struct partition_set *make_sets(struct targeting *targeting)
{
    const struct assignor_group *group = &targeting->group;
    size_t member_count = (size_t)group->member_count;
    struct partition_set *sets = arena_alloc_array(targeting->arena, member_count, sizeof *sets);
    int32_t *topic_counts = arena_alloc_array(targeting->arena, member_count, sizeof *topic_counts);
    int32_t *sizes = arena_alloc_array(targeting->arena, member_count, sizeof *sizes);
    int32_t **nexts = arena_alloc_array(targeting->arena, member_count, sizeof(int32_t *));
    int32_t *last_topics = arena_alloc(targeting->arena, member_count * sizeof *last_topics);
    if (!sets || !topic_counts || !sizes || !nexts || !last_topics)
        return NULL;
    memset(last_topics, 0xff, member_count * sizeof *last_topics);
    for (int32_t t = 0; t < group->topic_count; t++)
        for (int32_t p = 0; p < group->partition_counts[t]; p++) {
            int32_t owner = group->owners[t][p];
            if (owner < 0)
                continue;
            sizes[owner]++;
            topic_counts[owner] += last_topics[owner] != t;
            last_topics[owner] = t;
        }
    for (size_t m = 0; m < member_count; m++) {
        sets[m].topics = arena_alloc(targeting->arena, (size_t)topic_counts[m] * sizeof *sets[m].topics);
        nexts[m] = arena_alloc(targeting->arena, (size_t)sizes[m] * sizeof(int32_t));
        if (!sets[m].topics || !nexts[m])
            return NULL;
    }
    for (int32_t t = 0; t < group->topic_count; t++)
        for (int32_t p = 0; p < group->partition_counts[t]; p++) {
            int32_t owner = group->owners[t][p];
            if (owner < 0)
                continue;
            struct partition_set *set = &sets[owner];
            if (set->topic_count == 0 ||
                !uuid_equal(set->topics[set->topic_count - 1].id, targeting->topics[t]->id))
                set->topics[set->topic_count++] =
                    (struct set_topic){ targeting->topics[t]->id, 0, nexts[owner] };
            *nexts[owner]++ = p;
            set->topics[set->topic_count - 1].count++;
        }
    return sets;
}

static void add_records(struct shard_op *op, const struct targeting *targeting,
                        const struct partition_set *sets)
{
    slice group_id = targeting->consumer->group->id;
    for (int32_t m = 0; m < targeting->group.member_count; m++) {
        const struct consumer_member *source = targeting->sources[m];
        slice member_id = targeting->members[m].member_id;
        bool is_same = source && source->has_target && slice_equal(source->facts.member_id, member_id) &&
                       partition_set_equal(source->target, &sets[m]);
        if (!is_same)
            consumer__add_target(op, group_id, member_id, &sets[m]);
    }
}

/* -- which assignor ------------------------------------------------------------------------------------ */

static void count_vote(const struct config_list *names, int32_t *votes, slice name)
{
    for (size_t i = 0; i < names->count && !slice_is_null(name); i++)
        votes[i] += slice_equal_string(name, names->items[i]);
}

slice consumer__assignor_name(const struct consumer_group *consumer, const struct consumer_change *change)
{
    enum { ASSIGNORS_MAX = 8 };
    struct config_list names = group_config(consumer->group)->group_consumer_assignors;
    int32_t votes[ASSIGNORS_MAX] = { 0 };
    size_t best = 0;
    names.count = names.count < ASSIGNORS_MAX ? names.count : ASSIGNORS_MAX;
    for (const struct consumer_member *member = consumer->first; member; member = member->next)
        if (member->is_member && !is_gone(change, member))
            count_vote(&names, votes, member->facts.assignor);
    if (change->next)
        count_vote(&names, votes, change->next->assignor);
    for (size_t i = 1; i < names.count; i++)
        if (votes[i] > votes[best])
            best = i;
    return slice_of_string(names.count > 0 ? names.items[best] : "uniform");
}

bool consumer__assign(struct shard_op *op, const struct consumer_group *consumer,
                      const struct consumer_change *change, const struct consumer_topics *topics,
                      int32_t epoch, const struct partition_set **out)
{
    struct targeting targeting = { .arena = op->arena, .consumer = consumer, .change = change };
    const struct image *image = controller_image(shard_server(op->shard)->controller);
    if (!add_topics(&targeting, topics) || !add_members(&targeting, image))
        return false;
    fill_owners(&targeting);
    assignor assign = assignor_of(consumer__assignor_name(consumer, change));
    if (!(assign ? assign : assign_uniform)(op->arena, &targeting.group))
        return false;
    const struct partition_set *sets = make_sets(&targeting);
    if (!sets)
        return false;
    add_records(op, &targeting, sets);
    consumer__add_assignment_epoch(op, consumer->group->id, epoch);
    for (int32_t m = 0; out && m < targeting.group.member_count; m++)
        if (change->next && slice_equal(targeting.members[m].member_id, change->next->member_id))
            *out = &sets[m];
    return true;
}
