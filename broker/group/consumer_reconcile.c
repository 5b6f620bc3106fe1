/* How a member gets from what it has to its target: what it gives back first, then what is free (KIP-848). */
#include "broker/group/consumer_internal.h"

/* -- what it subscribes to ----------------------------------------------------------------------------- */

static bool is_subscribed(const struct reconciliation *reconciliation, const struct member_facts *facts,
                          uuid id)
{
    const struct topic *topic = image_topic_by_id(reconciliation->image, id);
    const struct topic_names matched =
        consumer__matched(reconciliation->consumer, reconciliation->change, facts->regex);
    return topic && (topic_names_has(&facts->names, topic->name_slice) ||
                     topic_names_has(&matched, topic->name_slice));
}

struct subscribed {
    const struct reconciliation *reconciliation;
    const struct member_facts *facts;
    uuid last; /* asked for last, and the answer: partitions of a topic stand together */
    bool has_last;
    bool is_subscribed;
};

static bool keep_subscribed(void *context, uuid id, int32_t partition)
{
    struct subscribed *subscribed = context;
    (void)partition;
    if (!subscribed->has_last || !uuid_equal(subscribed->last, id)) {
        subscribed->last = id;
        subscribed->has_last = true;
        subscribed->is_subscribed = is_subscribed(subscribed->reconciliation, subscribed->facts, id);
    }
    return subscribed->is_subscribed;
}

static const struct partition_set *only_subscribed(const struct reconciliation *reconciliation,
                                                   const struct member_facts *facts,
                                                   const struct partition_set *set)
{
    struct subscribed subscribed = { .reconciliation = reconciliation, .facts = facts };
    return partition_set_filter(reconciliation->arena, set, keep_subscribed, &subscribed);
}

/* -- steps --------------------------------------------------------------------------------------------- */

/* Not to say what it owns is not to say that it gave something back. */
static bool owns_any(const struct reconciliation *reconciliation, const struct partition_set *set)
{
    return !reconciliation->owned || partition_set_intersects(reconciliation->owned, set);
}

/* Without a new target: what it does not subscribe to any more goes at once. */
static bool drop_unsubscribed(const struct reconciliation *reconciliation, struct member_facts *facts)
{
    struct arena *arena = reconciliation->arena;
    const struct partition_set *kept = only_subscribed(reconciliation, facts, facts->assigned);
    if (!kept || kept == facts->assigned)
        return kept != NULL;
    const struct partition_set *lost = partition_set_minus(arena, facts->assigned, kept);
    const struct partition_set *revoking = lost ? partition_set_union(arena, facts->revoking, lost) : NULL;
    if (!revoking)
        return false;
    facts->assigned = kept;
    if (owns_any(reconciliation, revoking)) {
        facts->state = MEMBER_UNREVOKED;
        facts->revoking = revoking;
    }
    return true;
}

struct freedom {
    const struct reconciliation *reconciliation;
    const struct partition_set *own; /* what it gives back, and may have again */
    bool has_held;
};

static bool is_free(void *context, uuid id, int32_t partition)
{
    struct freedom *freedom = context;
    const struct consumer_member *owner = consumer__owner(freedom->reconciliation->consumer, id, partition);
    bool is_held = owner && !partition_set_has(freedom->own, id, partition);
    freedom->has_held = freedom->has_held || is_held;
    return !is_held;
}

static void advance(struct member_facts *facts, int32_t epoch)
{
    facts->previous_epoch = facts->epoch;
    facts->epoch = epoch;
}

static bool move_to_target(const struct reconciliation *reconciliation, struct member_facts *facts)
{
    struct arena *arena = reconciliation->arena;
    const struct partition_set *target = only_subscribed(reconciliation, facts, reconciliation->target);
    const struct partition_set *kept =
        target ? partition_set_intersect(arena, facts->assigned, target) : NULL;
    const struct partition_set *revoking = kept ? partition_set_minus(arena, facts->assigned, kept) : NULL;
    const struct partition_set *wanted = revoking ? partition_set_minus(arena, target, kept) : NULL;
    struct freedom freedom = { .reconciliation = reconciliation, .own = facts->revoking };
    const struct partition_set *added =
        wanted ? partition_set_filter(arena, wanted, is_free, &freedom) : NULL;
    if (!added)
        return false;
    if (!partition_set_is_empty(revoking) && owns_any(reconciliation, revoking)) {
        advance(facts, facts->epoch);
        facts->state = MEMBER_UNREVOKED;
        facts->assigned = kept;
        facts->revoking = revoking;
        return true;
    }
    facts->assigned = partition_set_union(arena, kept, added);
    facts->revoking = &partition_set_empty;
    facts->state = freedom.has_held ? MEMBER_UNRELEASED : MEMBER_STABLE;
    advance(facts, reconciliation->target_epoch);
    return facts->assigned != NULL;
}

static bool step(const struct reconciliation *reconciliation, struct member_facts *facts)
{
    switch ((enum member_state)facts->state) {
    case MEMBER_STABLE:
        if (facts->epoch != reconciliation->target_epoch)
            return move_to_target(reconciliation, facts);
        return !reconciliation->has_new_subscription || drop_unsubscribed(reconciliation, facts);
    case MEMBER_UNREVOKED:
        if (!owns_any(reconciliation, facts->revoking))
            return move_to_target(reconciliation, facts);
        return !reconciliation->has_new_subscription || drop_unsubscribed(reconciliation, facts);
    case MEMBER_UNRELEASED:
        break;
    case MEMBER_UNKNOWN:
        facts->epoch = reconciliation->target_epoch;
        break;
    }
    return move_to_target(reconciliation, facts);
}

int16_t consumer__reconcile(const struct reconciliation *reconciliation, struct member_facts *facts)
{
    /* Of a newer Kafka's making: it drops what it has, and begins anew. */
    if (facts->state == MEMBER_UNKNOWN &&
        (!reconciliation->owned || !partition_set_is_empty(reconciliation->owned)))
        return ERR_FENCED_MEMBER_EPOCH;
    return step(reconciliation, facts) ? ERR_NONE : (int16_t)ERR_COORDINATOR_NOT_AVAILABLE;
}
