/* The members of a classic group: found by id and by instance id, kept in the order in which they came. */
#include <stdlib.h>

#include "broker/group/classic_internal.h"

/* -- tables ------------------------------------------------------------------------------------ */

static size_t hash_of(slice key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ key.data[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 32);
}

static slice key_of(const struct classic_member *member, enum classic_key key)
{
    return key == BY_MEMBER_ID ? member->profile->member_id : member->profile->instance_id;
}

static struct classic_member *const *chain_of(const struct member_table *table, slice key)
{
    if (table->bucket_count == 0)
        return &table->fixed[hash_of(key) & (TABLE_BUCKETS_MIN - 1)];
    return &table->buckets[hash_of(key) & (table->bucket_count - 1)];
}

static struct classic_member *find(const struct classic_group *classic, enum classic_key key, slice value)
{
    struct classic_member *member = *chain_of(&classic->tables[key], value);
    while (member && !slice_equal(key_of(member, key), value))
        member = member->chain[key];
    return member;
}

static void link_member(struct member_table *table, enum classic_key key, struct classic_member *member)
{
    struct classic_member **chain = (struct classic_member **)chain_of(table, key_of(member, key));
    member->chain[key] = *chain;
    *chain = member;
}

/* No memory: the chains get longer, nothing else. */
static void grow(struct member_table *table, enum classic_key key)
{
    size_t old_count = table->bucket_count ? table->bucket_count : TABLE_BUCKETS_MIN;
    struct classic_member **old = table->bucket_count ? table->buckets : table->fixed;
    struct classic_member **buckets = calloc(2 * old_count, sizeof(struct classic_member *));
    if (!buckets)
        return;
    bool was_fixed = table->bucket_count == 0;
    table->buckets = buckets;
    table->bucket_count = 2 * old_count;
    for (size_t i = 0; i < old_count; i++) {
        struct classic_member *next;
        for (struct classic_member *member = old[i]; member; member = next) {
            next = member->chain[key];
            link_member(table, key, member);
        }
    }
    if (!was_fixed)
        free(old);
}

static void table_add(struct classic_group *classic, enum classic_key key, struct classic_member *member)
{
    struct member_table *table = &classic->tables[key];
    size_t bucket_count = table->bucket_count ? table->bucket_count : TABLE_BUCKETS_MIN;
    if (table->count >= bucket_count)
        grow(table, key);
    link_member(table, key, member);
    table->count++;
}

static void table_remove(struct classic_group *classic, enum classic_key key,
                         const struct classic_member *member)
{
    struct member_table *table = &classic->tables[key];
    struct classic_member **link = (struct classic_member **)chain_of(table, key_of(member, key));
    while (*link != member)
        link = &(*link)->chain[key];
    *link = member->chain[key];
    table->count--;
}

/* -- finding ----------------------------------------------------------------------------------- */

struct classic_member *classic__find(const struct classic_group *classic, slice member_id)
{
    struct classic_member *member = find(classic, BY_MEMBER_ID, member_id);
    return member && !member->is_pending ? member : NULL;
}

struct classic_member *classic__find_pending(const struct classic_group *classic, slice member_id)
{
    struct classic_member *member = find(classic, BY_MEMBER_ID, member_id);
    return member && member->is_pending ? member : NULL;
}

struct classic_member *classic__find_static(const struct classic_group *classic, slice instance_id)
{
    return find(classic, BY_INSTANCE_ID, instance_id);
}

int16_t classic__check_member(const struct classic_group *classic, slice member_id, slice instance_id,
                              struct classic_member **out)
{
    if (!slice_is_null(instance_id)) {
        const struct classic_member *owner = classic__find_static(classic, instance_id);
        if (!owner)
            return ERR_UNKNOWN_MEMBER_ID;
        if (!slice_equal(owner->profile->member_id, member_id))
            return ERR_FENCED_INSTANCE_ID;
    }
    *out = classic__find(classic, member_id);
    return *out ? ERR_NONE : ERR_UNKNOWN_MEMBER_ID;
}

/* -- coming and going -------------------------------------------------------------------------- */

struct classic_member *classic__member_make(struct group *group, struct classic_profile *profile)
{
    struct classic_member *member = calloc(1, sizeof *member);
    if (!member) {
        classic__profile_drop(profile);
        return NULL;
    }
    member->group = group;
    member->profile = profile;
    member->assignment = SLICE_LITERAL("");
    return member;
}

void classic__member_free(struct classic_member *member)
{
    classic__profile_drop(member->profile);
    free(member);
}

void classic__add(struct classic_group *classic, struct classic_member *member)
{
    table_add(classic, BY_MEMBER_ID, member);
    if (!slice_is_null(member->profile->instance_id))
        table_add(classic, BY_INSTANCE_ID, member);
    member->previous = classic->last;
    member->next = NULL;
    *(classic->last ? &classic->last->next : &classic->first) = member;
    classic->last = member;
    classic->member_count++;
    classic->size += member->profile->size;
    if (!classic->leader)
        classic->leader = member;
    classic__narrow_protocols(classic, member->profile);
    classic__forget_topics(classic);
}

void classic__add_pending(struct classic_group *classic, struct classic_member *member)
{
    member->is_pending = true;
    table_add(classic, BY_MEMBER_ID, member);
    classic->pending_count++;
    classic->size += member->profile->size;
}

static void unlink_member(struct classic_group *classic, struct classic_member *member)
{
    if (!slice_is_null(member->profile->instance_id))
        table_remove(classic, BY_INSTANCE_ID, member);
    *(member->previous ? &member->previous->next : &classic->first) = member->next;
    *(member->next ? &member->next->previous : &classic->last) = member->previous;
    classic->member_count--;
    if (member->is_sync_pending)
        classic->sync_pending_count--;
    if (classic->leader == member)
        classic->leader = classic->first;
    classic__forget_protocols(classic);
    classic__forget_topics(classic);
}

void classic__take_out(struct classic_group *classic, struct classic_member *member)
{
    shard_timer_cancel(group_shard(classic->group), &member->session);
    table_remove(classic, BY_MEMBER_ID, member);
    classic->size -= member->profile->size;
    if (member->is_pending)
        classic->pending_count--;
    else
        unlink_member(classic, member);
    classic__member_free(member);
}

void classic__set_profile(struct classic_group *classic, struct classic_member *member,
                          struct classic_profile *profile)
{
    classic->size = classic->size - member->profile->size + profile->size;
    if (!classic__same_names(member->profile, profile))
        classic__forget_protocols(classic);
    classic__profile_drop(member->profile);
    member->profile = profile;
    classic__forget_topics(classic);
}

void classic__rename(struct classic_group *classic, struct classic_member *member,
                     struct classic_profile *profile)
{
    table_remove(classic, BY_MEMBER_ID, member); /* the instance id is the same text */
    classic__set_profile(classic, member, profile);
    table_add(classic, BY_MEMBER_ID, member);
}

void classic__visit_all(struct classic_group *classic,
                        void (*visit)(struct classic_member *member, int16_t argument), int16_t argument)
{
    struct member_table *table = &classic->tables[BY_MEMBER_ID];
    size_t bucket_count = table->bucket_count ? table->bucket_count : TABLE_BUCKETS_MIN;
    struct classic_member **buckets = table->bucket_count ? table->buckets : table->fixed;
    for (size_t i = 0; i < bucket_count; i++)
        for (struct classic_member *next, *member = buckets[i]; member; member = next) {
            next = member->chain[BY_MEMBER_ID];
            visit(member, argument);
        }
}

static void take_out(struct classic_member *member, int16_t argument)
{
    (void)argument;
    classic__take_out(member->group->classic, member);
}

void classic__free_members(struct classic_group *classic)
{
    classic__visit_all(classic, take_out, 0);
    for (int key = BY_MEMBER_ID; key < CLASSIC_KEYS; key++) {
        free(classic->tables[key].buckets);
        classic->tables[key] = (struct member_table){ 0 };
    }
}
