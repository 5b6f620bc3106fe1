/* The members of a consumer group: found by id or instance, with what the records say of each. */
#include <stdatomic.h>
#include <stdlib.h>

#include "broker/group/consumer_internal.h"

static atomic_size_t held_size; /* by the members of all consumer groups of the process */

static uint64_t hash_of(slice key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ key.data[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

/* -- tables -------------------------------------------------------------------------------------------- */

static slice key_of(const struct consumer_member *member, enum consumer_key key)
{
    return key == BY_ID ? member->facts.member_id : member->facts.instance_id;
}

static struct consumer_member **chain_of(const struct consumer_table *table, slice key)
{
    return &table->buckets[hash_of(key) & (table->bucket_count - 1)];
}

static bool grow(struct consumer_table *table, enum consumer_key key)
{
    size_t bucket_count = table->bucket_count ? 2 * table->bucket_count : BUCKETS_MIN;
    struct consumer_table bigger = { calloc(bucket_count, sizeof(struct consumer_member *)), bucket_count,
                                     table->count };
    if (!bigger.buckets)
        return table->bucket_count > 0;
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct consumer_member *next;
        for (struct consumer_member *member = table->buckets[i]; member; member = next) {
            next = member->chain[key];
            struct consumer_member **chain = chain_of(&bigger, key_of(member, key));
            member->chain[key] = *chain;
            *chain = member;
        }
    }
    free(table->buckets);
    *table = bigger;
    return true;
}

static bool put(struct consumer_group *consumer, struct consumer_member *member, enum consumer_key key)
{
    struct consumer_table *table = &consumer->tables[key];
    if (table->count >= table->bucket_count && !grow(table, key))
        return false;
    struct consumer_member **chain = chain_of(table, key_of(member, key));
    member->chain[key] = *chain;
    *chain = member;
    table->count++;
    return true;
}

static struct consumer_member *get(const struct consumer_group *consumer, enum consumer_key key, slice value)
{
    const struct consumer_table *table = &consumer->tables[key];
    if (table->bucket_count == 0 || slice_is_null(value))
        return NULL;
    struct consumer_member *member = *chain_of(table, value);
    while (member && !slice_equal(key_of(member, key), value))
        member = member->chain[key];
    return member;
}

static void take(struct consumer_group *consumer, struct consumer_member *member, enum consumer_key key)
{
    struct consumer_table *table = &consumer->tables[key];
    struct consumer_member **link = chain_of(table, key_of(member, key));
    while (*link != member)
        link = &(*link)->chain[key];
    *link = member->chain[key];
    table->count--;
}

struct consumer_member *consumer__known(const struct consumer_group *consumer, slice member_id)
{
    return get(consumer, BY_ID, member_id);
}

struct consumer_member *consumer__find(const struct consumer_group *consumer, slice member_id)
{
    struct consumer_member *member = consumer__known(consumer, member_id);
    return member && member->is_member ? member : NULL;
}

struct consumer_member *consumer__find_static(const struct consumer_group *consumer, slice instance_id)
{
    return get(consumer, BY_INSTANCE, instance_id);
}

/* -- coming and going ---------------------------------------------------------------------------------- */

static void link_last(struct consumer_group *consumer, struct consumer_member *member)
{
    member->previous = consumer->last;
    if (consumer->last)
        consumer->last->next = member;
    else
        consumer->first = member;
    consumer->last = member;
    consumer->known_count++;
}

static void unlink_member(struct consumer_group *consumer, struct consumer_member *member)
{
    if (member->previous)
        member->previous->next = member->next;
    else
        consumer->first = member->next;
    if (member->next)
        member->next->previous = member->previous;
    else
        consumer->last = member->previous;
    consumer->known_count--;
}

struct consumer_member *consumer__know(struct consumer_group *consumer, slice member_id)
{
    struct consumer_member *member = consumer__known(consumer, member_id);
    if (member)
        return member;
    member = calloc(1, sizeof *member + member_id.size);
    if (!member)
        return NULL;
    if (member_id.size > 0)
        memcpy(member + 1, member_id.data, member_id.size);
    member->group = consumer->group;
    member->facts = (struct member_facts){ .member_id = slice_of(member + 1, member_id.size),
                                           .client_id = SLICE_LITERAL(""),
                                           .client_host = SLICE_LITERAL(""),
                                           .rebalance_timeout_ms = -1,
                                           .previous_epoch = EPOCH_LEAVE,
                                           .assigned = &partition_set_empty,
                                           .revoking = &partition_set_empty };
    member->target = &partition_set_empty;
    if (!put(consumer, member, BY_ID)) {
        free(member);
        return NULL;
    }
    link_last(consumer, member);
    return member;
}

static void become_member(struct consumer_group *consumer, struct consumer_member *member)
{
    if (!member->is_member)
        consumer->member_count++;
    member->is_member = true;
}

/* What the metadata record said. */
static void drop_profile(struct consumer_group *consumer, struct consumer_member *member)
{
    if (member->is_in_instances)
        take(consumer, member, BY_INSTANCE);
    member->is_in_instances = false;
    if (member->facts.classic)
        consumer->classic_count--;
    if (member->subscription)
        consumer__unsubscribe(consumer, member->subscription);
    if (member->regex)
        consumer__unsubscribe_regex(consumer, member->regex);
    member->subscription = NULL;
    member->regex = NULL;
    consumer->size -= member->profile_size;
    atomic_fetch_sub_explicit(&held_size, member->profile_size, memory_order_relaxed);
    free(member->profile_bytes);
    member->profile_bytes = NULL;
    member->profile_size = 0;
}

void consumer__forget(struct consumer_group *consumer, struct consumer_member *member)
{
    consumer__cancel_timers(member);
    consumer__count_settled(consumer, member, true);
    consumer__release(consumer, member);
    drop_profile(consumer, member);
    if (member->is_member)
        consumer->member_count--;
    take(consumer, member, BY_ID);
    unlink_member(consumer, member);
    partition_set_free(member->facts.assigned);
    partition_set_free(member->facts.revoking);
    partition_set_free(member->target);
    free(member);
}

void consumer__forget_if_void(struct consumer_group *consumer, struct consumer_member *member)
{
    if (!member->is_member && !member->has_target)
        consumer__forget(consumer, member);
}

/* -- what records say ---------------------------------------------------------------------------------- */

static slice keep(uint8_t **next, slice from)
{
    if (slice_is_null(from))
        return from;
    slice kept = slice_of(*next, from.size);
    if (from.size > 0)
        memcpy(*next, from.data, from.size);
    *next += from.size;
    return kept;
}

size_t consumer__size_of(const struct member_facts *facts)
{
    size_t size = CONSUMER_COST + facts->instance_id.size + facts->rack_id.size + facts->client_id.size +
                  facts->client_host.size + facts->assignor.size + facts->regex.size;
    for (int32_t i = 0; i < facts->names.count; i++)
        size += sizeof(slice) + facts->names.names[i].size;
    return size + (facts->classic ? consumer__classic_size(facts->classic) : 0);
}

bool consumer__may_hold(size_t size)
{
    return atomic_load_explicit(&held_size, memory_order_relaxed) + size <= CONSUMER_SIZE_MAX;
}

bool consumer__set_profile(struct consumer_group *consumer, struct consumer_member *member,
                           const struct member_facts *told)
{
    struct member_facts *facts = &member->facts;
    size_t text_size = told->instance_id.size + told->rack_id.size + told->client_id.size +
                       told->client_host.size + told->assignor.size;
    size_t classic_size = told->classic ? consumer__classic_size(told->classic) : 0;
    uint8_t *bytes = malloc(classic_size + text_size + 1);
    struct consumer_subscription *subscription = bytes ? consumer__subscribe(consumer, &told->names) : NULL;
    struct consumer_regex *regex = NULL;
    bool has_regex = told->regex.size > 0;
    if (subscription && has_regex)
        regex = consumer__subscribe_regex(consumer, told->regex);
    if (!subscription || (has_regex && !regex)) {
        if (subscription)
            consumer__unsubscribe(consumer, subscription);
        free(bytes);
        return false;
    }
    drop_profile(consumer, member);
    become_member(consumer, member);
    consumer__count_settled(consumer, member, false);
    member->subscription = subscription;
    member->regex = regex;
    member->profile_bytes = bytes;
    member->profile_size = consumer__size_of(told);
    consumer->size += member->profile_size;
    atomic_fetch_add_explicit(&held_size, member->profile_size, memory_order_relaxed);
    uint8_t *next = bytes + classic_size;
    facts->instance_id = keep(&next, told->instance_id);
    facts->rack_id = keep(&next, told->rack_id);
    facts->client_id = keep(&next, told->client_id);
    facts->client_host = keep(&next, told->client_host);
    facts->assignor = keep(&next, told->assignor);
    facts->regex = regex ? regex->pattern : slice_is_null(told->regex) ? SLICE_NULL : SLICE_LITERAL("");
    facts->rebalance_timeout_ms = told->rebalance_timeout_ms;
    facts->names = subscription->names;
    facts->classic = told->classic ? consumer__classic_copy(told->classic, bytes) : NULL;
    if (facts->classic)
        consumer->classic_count++;
    if (slice_is_null(facts->instance_id))
        return true;
    struct consumer_member *other = consumer__find_static(consumer, facts->instance_id);
    if (other) {
        take(consumer, other, BY_INSTANCE); /* whoever came last has the name */
        other->is_in_instances = false;
    }
    member->is_in_instances = put(consumer, member, BY_INSTANCE);
    return member->is_in_instances;
}

bool consumer__set_current(struct consumer_group *consumer, struct consumer_member *member,
                           const struct member_facts *told)
{
    struct member_facts *facts = &member->facts;
    const struct partition_set *assigned = partition_set_copy(told->assigned);
    const struct partition_set *revoking = partition_set_copy(told->revoking);
    if (!assigned || !revoking) {
        partition_set_free(assigned ? assigned : &partition_set_empty);
        partition_set_free(revoking ? revoking : &partition_set_empty);
        return false;
    }
    consumer__release(consumer, member);
    partition_set_free(facts->assigned);
    partition_set_free(facts->revoking);
    facts->assigned = assigned;
    facts->revoking = revoking;
    facts->epoch = told->epoch;
    facts->previous_epoch = told->previous_epoch;
    facts->state = told->state;
    consumer->step_count++;
    become_member(consumer, member);
    consumer__count_settled(consumer, member, false);
    return consumer__hold(consumer, member);
}

bool consumer__set_target(struct consumer_member *member, const struct partition_set *target)
{
    const struct partition_set *copy = partition_set_copy(target);
    if (!copy)
        return false;
    partition_set_free(member->target);
    member->target = copy;
    member->has_target = true;
    return true;
}
