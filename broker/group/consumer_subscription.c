/* What the members of a consumer group subscribe to: sets of names, which are shared, and patterns. */
#include <stdlib.h>

#include "broker/group/consumer_internal.h"

/* -- names --------------------------------------------------------------------------------------------- */

struct topic_names topic_names_of(slice *names, int32_t count)
{
    int32_t kept = 0;
    bool is_sorted = true;
    for (int32_t i = 1; i < count && is_sorted; i++)
        is_sorted = slice_compare(names[i - 1], names[i]) < 0;
    if (is_sorted)
        return (struct topic_names){ count, names };
    qsort(names, (size_t)count, sizeof *names, slice_compare_items);
    for (int32_t i = 0; i < count; i++)
        if (kept == 0 || !slice_equal(names[i], names[kept - 1]))
            names[kept++] = names[i];
    return (struct topic_names){ kept, names };
}

bool topic_names_equal(const struct topic_names *a, const struct topic_names *b)
{
    if (a->names == b->names && a->count == b->count)
        return true;
    if (a->count != b->count)
        return false;
    for (int32_t i = 0; i < a->count; i++)
        if (!slice_equal(a->names[i], b->names[i]))
            return false;
    return true;
}

bool topic_names_has(const struct topic_names *names, slice name)
{
    return names->count > 0 &&
           bsearch(&name, names->names, (size_t)names->count, sizeof name, slice_compare_items);
}

static uint64_t hash_of(const struct topic_names *names)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) + (uint64_t)names->count;
    for (int32_t i = 0; i < names->count; i++) {
        for (size_t b = 0; b < names->names[i].size; b++)
            hash = (hash ^ names->names[i].data[b]) * UINT64_C(0x100000001b3);
        hash = (hash ^ 0xff) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static size_t size_of(const struct topic_names *names)
{
    size_t size = (size_t)names->count * sizeof(slice);
    for (int32_t i = 0; i < names->count; i++)
        size += names->names[i].size;
    return size;
}

/* To place, which has room for them. */
static struct topic_names copy(const struct topic_names *from, void *place)
{
    slice *names = place;
    uint8_t *next = (uint8_t *)(names + from->count);
    for (int32_t i = 0; i < from->count; i++) {
        if (from->names[i].size > 0)
            memcpy(next, from->names[i].data, from->names[i].size);
        names[i] = slice_of(next, from->names[i].size);
        next += from->names[i].size;
    }
    return (struct topic_names){ from->count, names };
}

/* -- sets of names ------------------------------------------------------------------------------------- */

struct consumer_subscription *consumer__subscribe(struct consumer_group *consumer,
                                                  const struct topic_names *names)
{
    uint64_t hash = hash_of(names);
    struct consumer_subscription *found = consumer->subscriptions;
    while (found && (found->hash != hash || !topic_names_equal(&found->names, names)))
        found = found->next;
    if (!found) {
        found = malloc(sizeof *found + size_of(names));
        if (!found)
            return NULL;
        *found = (struct consumer_subscription){ .next = consumer->subscriptions, .hash = hash };
        found->names = copy(names, found + 1);
        consumer->subscriptions = found;
        consumer->subscription_count++;
    }
    found->member_count++;
    return found;
}

void consumer__unsubscribe(struct consumer_group *consumer, struct consumer_subscription *subscription)
{
    if (--subscription->member_count > 0)
        return;
    struct consumer_subscription **link = &consumer->subscriptions;
    while (*link != subscription)
        link = &(*link)->next;
    *link = subscription->next;
    consumer->subscription_count--;
    free(subscription);
}

/* -- patterns ------------------------------------------------------------------------------------------ */

struct consumer_regex *consumer__find_regex(const struct consumer_group *consumer, slice pattern)
{
    struct consumer_regex *regex = consumer->regexes;
    while (regex && !slice_equal(regex->pattern, pattern))
        regex = regex->next;
    return regex;
}

static struct consumer_regex *make_regex(struct consumer_group *consumer, slice pattern)
{
    struct consumer_regex *regex = consumer__find_regex(consumer, pattern);
    if (regex)
        return regex;
    regex = calloc(1, sizeof *regex + pattern.size);
    if (!regex)
        return NULL;
    if (pattern.size > 0)
        memcpy(regex + 1, pattern.data, pattern.size);
    regex->pattern = slice_of(regex + 1, pattern.size);
    regex->next = consumer->regexes;
    consumer->regexes = regex;
    return regex;
}

static void forget_if_void(struct consumer_group *consumer, struct consumer_regex *regex)
{
    if (regex->member_count > 0 || regex->is_resolved)
        return;
    struct consumer_regex **link = &consumer->regexes;
    while (*link != regex)
        link = &(*link)->next;
    *link = regex->next;
    free(regex);
}

struct consumer_regex *consumer__subscribe_regex(struct consumer_group *consumer, slice pattern)
{
    struct consumer_regex *regex = make_regex(consumer, pattern);
    if (regex && regex->member_count++ == 0)
        consumer->regex_count++;
    return regex;
}

void consumer__unsubscribe_regex(struct consumer_group *consumer, struct consumer_regex *regex)
{
    if (--regex->member_count == 0)
        consumer->regex_count--;
    forget_if_void(consumer, regex);
}

static void forget_topics(struct consumer_group *consumer, struct consumer_regex *regex)
{
    if (regex->is_resolved)
        consumer->resolved_count--;
    regex->is_resolved = false;
    free((void *)regex->topics.names);
    regex->topics = (struct topic_names){ 0, NULL };
}

bool consumer__resolve(struct consumer_group *consumer, slice pattern,
                       const struct consumer_group_regular_expression_value *value)
{
    if (!value) {
        struct consumer_regex *regex = consumer__find_regex(consumer, pattern);
        if (regex) {
            forget_topics(consumer, regex);
            forget_if_void(consumer, regex);
        }
        return true;
    }
    struct consumer_regex *regex = make_regex(consumer, pattern);
    if (!regex)
        return false;
    struct topic_names names = topic_names_of(value->topics, value->topics_count);
    void *place = malloc(size_of(&names) + 1);
    if (!place) {
        forget_if_void(consumer, regex);
        return false;
    }
    forget_topics(consumer, regex);
    regex->topics = copy(&names, place);
    regex->is_resolved = true;
    regex->is_too_large = false;
    regex->version = value->version;
    regex->timestamp = value->timestamp;
    consumer->resolved_count++;
    return true;
}

void consumer__forget_subscriptions(struct consumer_group *consumer)
{
    struct consumer_regex *next;
    for (struct consumer_regex *regex = consumer->regexes; regex; regex = next) {
        next = regex->next;
        forget_topics(consumer, regex);
        forget_if_void(consumer, regex);
    }
}

/* -- of members of the classic protocol ---------------------------------------------------------------- */

size_t consumer__classic_size(const struct classic_facts *classic)
{
    size_t size = sizeof *classic + (size_t)classic->protocol_count * sizeof *classic->protocols;
    for (int32_t i = 0; i < classic->protocol_count; i++)
        size += classic->protocols[i].name.size + classic->protocols[i].metadata.size;
    return size;
}

static slice keep(uint8_t **next, slice from)
{
    slice kept = slice_of(*next, from.size);
    if (from.size > 0)
        memcpy(*next, from.data, from.size);
    *next += from.size;
    return kept;
}

const struct classic_facts *consumer__classic_copy(const struct classic_facts *from, void *place)
{
    struct classic_facts *out = place;
    struct consumer_group_member_metadata_value_protocol *protocols = (void *)(out + 1);
    uint8_t *next = (uint8_t *)(protocols + from->protocol_count);
    *out = (struct classic_facts){ from->session_timeout_ms, from->protocol_count, protocols };
    for (int32_t i = 0; i < from->protocol_count; i++) {
        protocols[i].name = keep(&next, from->protocols[i].name);
        protocols[i].metadata = keep(&next, from->protocols[i].metadata);
    }
    return out;
}

bool consumer__classic_equal(const struct classic_facts *a, const struct classic_facts *b)
{
    if (!a || !b)
        return a == b;
    if (a->session_timeout_ms != b->session_timeout_ms || a->protocol_count != b->protocol_count)
        return false;
    for (int32_t i = 0; i < a->protocol_count; i++)
        if (!slice_equal(a->protocols[i].name, b->protocols[i].name) ||
            !slice_equal(a->protocols[i].metadata, b->protocols[i].metadata))
            return false;
    return true;
}
