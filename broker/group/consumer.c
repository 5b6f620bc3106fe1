/* Consumer groups: their life, and what others ask about them. */
#include "broker/group/consumer.h"

#include <stdlib.h>

#include "broker/group/consumer_internal.h"

enum { COMMIT_OF_EPOCH_SINCE = 9 };

/* -- life ---------------------------------------------------------------------------------------------- */

struct consumer_group *consumer_create(struct group *group)
{
    struct consumer_group *consumer = calloc(1, sizeof *consumer);
    if (!consumer)
        return NULL;
    consumer->group = group;
    consumer->seen_image = consumer->refreshed_version = -1;
    consumer->settled_epoch = consumer->seen_epoch = -1;
    consumer->refreshed_ms = INT64_MIN / 2;
    return consumer;
}

void consumer_destroy(struct consumer_group *consumer)
{
    consumer__forget_owners(consumer);
    while (consumer->first)
        consumer__forget(consumer, consumer->first);
    consumer__forget_subscriptions(consumer);
    consumer__drop_resolution(consumer);
    free(consumer->tables[BY_ID].buckets);
    free(consumer->tables[BY_INSTANCE].buckets);
    free(consumer);
}

bool consumer_is_void(const struct consumer_group *consumer)
{
    return !consumer->has_epoch_record && !consumer->has_target_record && !consumer->has_partition_metadata &&
           consumer->known_count == 0 && !consumer->regexes;
}

/* -- states -------------------------------------------------------------------------------------------- */

int32_t consumer__next_epoch(int32_t epoch)
{
    return epoch < 0 || epoch == INT32_MAX ? 1 : epoch + 1;
}

bool consumer__is_reconciled(const struct member_facts *facts, int32_t assignment_epoch)
{
    return facts->state == MEMBER_STABLE && facts->epoch == assignment_epoch;
}

void consumer__count_settled(struct consumer_group *consumer, struct consumer_member *member, bool is_going)
{
    bool is_settled =
        !is_going && member->is_member && consumer__is_reconciled(&member->facts, consumer->assignment_epoch);
    if (consumer->settled_epoch != consumer->assignment_epoch)
        return; /* counted anew when it is asked for */
    consumer->settled_count += is_settled - member->is_settled;
    member->is_settled = is_settled;
}

bool consumer__is_settled(struct consumer_group *consumer)
{
    if (consumer->settled_epoch != consumer->assignment_epoch) {
        consumer->settled_epoch = consumer->assignment_epoch;
        consumer->settled_count = 0;
        for (struct consumer_member *member = consumer->first; member; member = member->next) {
            member->is_settled = false;
            consumer__count_settled(consumer, member, false);
        }
    }
    return consumer->epoch == consumer->assignment_epoch && consumer->settled_count == consumer->member_count;
}

const char *consumer_state_name(const struct consumer_group *consumer)
{
    if (consumer->member_count == 0)
        return "Empty";
    if (consumer->epoch != consumer->assignment_epoch)
        return "Assigning";
    for (const struct consumer_member *member = consumer->first; member; member = member->next)
        if (member->is_member && !consumer__is_reconciled(&member->facts, consumer->assignment_epoch))
            return "Reconciling";
    return "Stable";
}

bool consumer_is_empty(const struct consumer_group *consumer)
{
    return consumer->member_count == 0;
}

int16_t consumer_check_delete(const struct consumer_group *consumer)
{
    return consumer->member_count == 0 ? ERR_NONE : ERR_NON_EMPTY_GROUP;
}

bool consumer_is_subscribed(const struct consumer_group *consumer, slice topic)
{
    for (const struct consumer_subscription *names = consumer->subscriptions; names; names = names->next)
        if (topic_names_has(&names->names, topic))
            return true;
    for (const struct consumer_regex *regex = consumer->regexes; regex; regex = regex->next)
        if (topic_names_has(&regex->topics, topic))
            return true;
    return false;
}

/* -- offsets ------------------------------------------------------------------------------------------- */

static int16_t check_epoch(const struct consumer_member *member, int32_t epoch)
{
    if (member->facts.epoch == epoch)
        return ERR_NONE;
    return member->facts.classic ? ERR_ILLEGAL_GENERATION : ERR_STALE_MEMBER_EPOCH;
}

int16_t consumer_check_commit(const struct consumer_group *consumer, const struct group_caller *caller,
                              bool is_transactional)
{
    if (caller->generation < 0 && consumer->member_count == 0)
        return ERR_NONE; /* of an admin client, or of a consumer without group management */
    if (is_transactional && caller->generation == -1 && caller->member_id.size == 0 &&
        slice_is_null(caller->instance_id))
        return ERR_NONE; /* TxnOffsetCommit need not say who it is */
    const struct consumer_member *member = consumer__find(consumer, caller->member_id);
    if (!member)
        return ERR_UNKNOWN_MEMBER_ID;
    if (!is_transactional && !member->facts.classic && caller->api_version < COMMIT_OF_EPOCH_SINCE)
        return ERR_UNSUPPORTED_VERSION;
    return check_epoch(member, caller->generation);
}

int16_t consumer_check_fetch(const struct consumer_group *consumer, const struct group_caller *caller)
{
    if (slice_is_null(caller->member_id) && caller->generation < 0)
        return ERR_NONE; /* of an admin client */
    const struct consumer_member *member = consumer__find(consumer, caller->member_id);
    return member ? check_epoch(member, caller->generation) : (int16_t)ERR_UNKNOWN_MEMBER_ID;
}
