/* The uniform assignor: balance first, then as few moves as that takes. */
#include <stdlib.h>

#include "broker/group/assignor.h"

/* Rounds of balancing where subscriptions differ. Each about halves what is uneven; where the subscribers of
 * a topic subscribe to the same, one is enough. */
enum { BALANCE_ROUNDS_MAX = 16 };

/* What is given out, while it is. */
struct uniform {
    const struct assignor_group *group;
    int32_t *loads; /* by member: its partitions */
};

/* -- what stays ---------------------------------------------------------------------------------------- */

static int compare_int32(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static bool subscribes(const struct assignor_member *member, int32_t topic)
{
    const struct assignor_subscription *subscription = member->subscription;
    return subscription->topic_count > 0 &&
           bsearch(&topic, subscription->topics, (size_t)subscription->topic_count, sizeof topic,
                   compare_int32);
}

/* Takes from members what they do not subscribe to any more, and counts the rest. */
static void keep_subscribed(struct uniform *uniform)
{
    const struct assignor_group *group = uniform->group;
    for (int32_t t = 0; t < group->topic_count; t++) {
        int32_t last = -1;
        for (int32_t p = 0; p < group->partition_counts[t]; p++) {
            int32_t *owner = &group->owners[t][p];
            if (*owner < 0)
                continue;
            if (*owner != last && !subscribes(&group->members[*owner], t)) {
                *owner = -1;
                continue;
            }
            last = *owner;
            uniform->loads[last]++;
        }
    }
}

/* -- all subscribe to the same ------------------------------------------------------------------------- */

static bool is_homogeneous(const struct assignor_group *group)
{
    const struct assignor_subscription *first = group->members[0].subscription;
    for (int32_t m = 1; m < group->member_count; m++) {
        const struct assignor_subscription *other = group->members[m].subscription;
        if (other != first &&
            (other->topic_count != first->topic_count ||
             (first->topic_count > 0 &&
              memcmp(other->topics, first->topics, (size_t)first->topic_count * sizeof(int32_t)) != 0)))
            return false;
    }
    return true;
}

/* How many each member gets: those that have more already get what is left over when all have the same. */
static void set_quotas(const struct uniform *uniform, int32_t *quotas, int64_t partition_count)
{
    const struct assignor_group *group = uniform->group;
    int32_t quota = (int32_t)(partition_count / group->member_count);
    int32_t extra_count = (int32_t)(partition_count % group->member_count);
    for (int32_t m = 0; m < group->member_count; m++) {
        bool has_extra = extra_count > 0 && uniform->loads[m] > quota;
        quotas[m] = quota + has_extra;
        extra_count -= has_extra;
    }
    for (int32_t m = 0; m < group->member_count && extra_count > 0; m++)
        if (quotas[m] == quota) {
            quotas[m]++;
            extra_count--;
        }
}

/* Takes what is above the quotas, and gives what nobody has to those below, in turns: so each topic spreads.
 */
static void assign_by_quotas(struct uniform *uniform, const int32_t *quotas)
{
    const struct assignor_group *group = uniform->group;
    int32_t next = 0;
    for (int32_t t = group->topic_count - 1; t >= 0; t--)
        for (int32_t p = group->partition_counts[t] - 1; p >= 0; p--) {
            int32_t *owner = &group->owners[t][p];
            if (*owner >= 0 && uniform->loads[*owner] > quotas[*owner]) {
                uniform->loads[*owner]--;
                *owner = -1;
            }
        }
    const struct assignor_subscription *subscription = group->members[0].subscription;
    for (int32_t i = 0; i < subscription->topic_count; i++) {
        int32_t t = subscription->topics[i];
        for (int32_t p = 0; p < group->partition_counts[t]; p++) {
            if (group->owners[t][p] >= 0)
                continue;
            while (uniform->loads[next] >= quotas[next])
                next = next + 1 < group->member_count ? next + 1 : 0;
            group->owners[t][p] = next;
            uniform->loads[next]++;
            next = next + 1 < group->member_count ? next + 1 : 0;
        }
    }
}

static bool assign_homogeneous(struct arena *arena, struct uniform *uniform)
{
    const struct assignor_group *group = uniform->group;
    const struct assignor_subscription *subscription = group->members[0].subscription;
    int32_t *quotas = arena_alloc_array(arena, (size_t)group->member_count, sizeof *quotas);
    int64_t partition_count = 0;
    if (!quotas)
        return false;
    for (int32_t i = 0; i < subscription->topic_count; i++)
        partition_count += group->partition_counts[subscription->topics[i]];
    set_quotas(uniform, quotas, partition_count);
    assign_by_quotas(uniform, quotas);
    return true;
}

/* -- they subscribe to different topics ---------------------------------------------------------------- */

struct uniform_topic {
    int32_t topic;
    int32_t partition_count;
    int32_t subscriber_count;
    int32_t *subscribers; /* numbers of members, ascending */
};

/* Those with the most for each subscriber first, as they leave the least choice; then those with fewer
 * subscribers. */
static int compare_topics(const void *a, const void *b)
{
    const struct uniform_topic *x = a, *y = b;
    int64_t left = (int64_t)x->partition_count * y->subscriber_count;
    int64_t right = (int64_t)y->partition_count * x->subscriber_count;
    if (left != right)
        return left > right ? -1 : 1;
    if (x->subscriber_count != y->subscriber_count)
        return x->subscriber_count < y->subscriber_count ? -1 : 1;
    return (x->topic > y->topic) - (x->topic < y->topic);
}

static struct uniform_topic *find_subscribers(struct arena *arena, const struct assignor_group *group)
{
    struct uniform_topic *topics = arena_alloc_array(arena, (size_t)group->topic_count, sizeof *topics);
    if (!topics)
        return NULL;
    for (int32_t m = 0; m < group->member_count; m++)
        for (int32_t i = 0; i < group->members[m].subscription->topic_count; i++)
            topics[group->members[m].subscription->topics[i]].subscriber_count++;
    for (int32_t t = 0; t < group->topic_count; t++) {
        topics[t].topic = t;
        topics[t].partition_count = group->partition_counts[t];
        topics[t].subscribers = arena_alloc_array(arena, (size_t)topics[t].subscriber_count, sizeof(int32_t));
        if (!topics[t].subscribers)
            return NULL;
        topics[t].subscriber_count = 0;
    }
    for (int32_t m = 0; m < group->member_count; m++)
        for (int32_t i = 0; i < group->members[m].subscription->topic_count; i++) {
            struct uniform_topic *topic = &topics[group->members[m].subscription->topics[i]];
            topic->subscribers[topic->subscriber_count++] = m;
        }
    qsort(topics, (size_t)group->topic_count, sizeof *topics, compare_topics);
    return topics;
}

/* A heap of subscribers, the one with the least load on top. */
struct load_heap {
    int32_t *members;
    int32_t *places; /* by member */
    int32_t count;
};

static bool is_lighter(const struct uniform *uniform, int32_t a, int32_t b)
{
    return uniform->loads[a] != uniform->loads[b] ? uniform->loads[a] < uniform->loads[b] : a < b;
}

static void exchange(struct load_heap *heap, int32_t i, int32_t j)
{
    int32_t a = heap->members[i], b = heap->members[j];
    heap->members[i] = b;
    heap->members[j] = a;
    heap->places[b] = i;
    heap->places[a] = j;
}

static void sift_down(const struct uniform *uniform, struct load_heap *heap, int32_t at)
{
    for (;;) {
        int32_t least = at;
        for (int32_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap->count; child++)
            if (is_lighter(uniform, heap->members[child], heap->members[least]))
                least = child;
        if (least == at)
            return;
        exchange(heap, at, least);
        at = least;
    }
}

static void sift_up(const struct uniform *uniform, struct load_heap *heap, int32_t at)
{
    while (at > 0 && is_lighter(uniform, heap->members[at], heap->members[(at - 1) / 2])) {
        exchange(heap, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void fill_heap(const struct uniform *uniform, struct load_heap *heap,
                      const struct uniform_topic *topic)
{
    heap->count = topic->subscriber_count;
    for (int32_t i = 0; i < heap->count; i++) {
        heap->members[i] = topic->subscribers[i];
        heap->places[topic->subscribers[i]] = i;
    }
    for (int32_t i = heap->count / 2; i-- > 0;)
        sift_down(uniform, heap, i);
}

/* What nobody has goes to the subscriber with the least. */
static void assign_free(struct uniform *uniform, const struct uniform_topic *topic, struct load_heap *heap)
{
    int32_t *owners = uniform->group->owners[topic->topic];
    bool has_heap = false;
    for (int32_t p = 0; p < topic->partition_count && topic->subscriber_count > 0; p++) {
        if (owners[p] >= 0)
            continue;
        if (!has_heap)
            fill_heap(uniform, heap, topic);
        has_heap = true;
        owners[p] = heap->members[0];
        uniform->loads[owners[p]]++;
        sift_down(uniform, heap, 0);
    }
}

/* Whether a subscriber has two more than another: only then is there something to gain. */
static bool is_uneven(const struct uniform *uniform, const struct uniform_topic *topic)
{
    int32_t least = INT32_MAX, most = 0;
    for (int32_t i = 0; i < topic->subscriber_count; i++) {
        int32_t load = uniform->loads[topic->subscribers[i]];
        least = load < least ? load : least;
        most = load > most ? load : most;
    }
    return topic->subscriber_count > 1 && most > least + 1;
}

/* Moves partitions of the topic from members above the floor to those with the least. */
static bool move_above(struct uniform *uniform, const struct uniform_topic *topic, struct load_heap *heap,
                       int64_t floor)
{
    int32_t *owners = uniform->group->owners[topic->topic];
    bool has_moved = false;
    for (int32_t p = topic->partition_count - 1; p >= 0; p--) {
        int32_t owner = owners[p], least = heap->members[0];
        if (uniform->loads[owner] <= floor || uniform->loads[owner] <= uniform->loads[least] + 1)
            continue;
        owners[p] = least;
        uniform->loads[owner]--;
        sift_up(uniform, heap, heap->places[owner]);
        uniform->loads[least]++;
        sift_down(uniform, heap, heap->places[least]);
        has_moved = true;
    }
    return has_moved;
}

/* Those above the average give first: so nobody gives what it gets back. */
static bool balance_topic(struct uniform *uniform, const struct uniform_topic *topic, struct load_heap *heap)
{
    int64_t sum = 0;
    if (!is_uneven(uniform, topic))
        return false;
    for (int32_t i = 0; i < topic->subscriber_count; i++)
        sum += uniform->loads[topic->subscribers[i]];
    int64_t average = (sum + topic->subscriber_count - 1) / topic->subscriber_count;
    fill_heap(uniform, heap, topic);
    bool has_moved = move_above(uniform, topic, heap, average);
    return move_above(uniform, topic, heap, 0) || has_moved;
}

static bool assign_heterogeneous(struct arena *arena, struct uniform *uniform)
{
    const struct assignor_group *group = uniform->group;
    struct uniform_topic *topics = find_subscribers(arena, group);
    struct load_heap heap = { arena_alloc_array(arena, (size_t)group->member_count, sizeof(int32_t)),
                              arena_alloc_array(arena, (size_t)group->member_count, sizeof(int32_t)), 0 };
    if (!topics || !heap.members || !heap.places)
        return false;
    for (int32_t t = 0; t < group->topic_count; t++)
        assign_free(uniform, &topics[t], &heap);
    bool has_moved = true;
    for (int round = 0; round < BALANCE_ROUNDS_MAX && has_moved; round++) {
        has_moved = false;
        for (int32_t t = 0; t < group->topic_count; t++)
            has_moved = balance_topic(uniform, &topics[t], &heap) || has_moved;
    }
    return true;
}

bool assign_uniform(struct arena *arena, const struct assignor_group *group)
{
    struct uniform uniform = { group,
                               arena_alloc_array(arena, (size_t)group->member_count, sizeof(int32_t)) };
    if (!uniform.loads)
        return false;
    if (group->member_count == 0)
        return true;
    keep_subscribed(&uniform);
    return is_homogeneous(group) ? assign_homogeneous(arena, &uniform)
                                 : assign_heterogeneous(arena, &uniform);
}
