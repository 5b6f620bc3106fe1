/* Groups that change their protocol while they live: classic to consumer, and back (KIP-848). */
#include <strings.h>

#include "broker/group/classic.h"
#include "broker/group/consumer_internal.h"
#include "broker/group/embedded.h"
#include "broker/server.h"

enum { CLASSIC_VALUE_VERSION = 3 };

static bool policy_allows(const struct consumer_group *consumer, const char *direction)
{
    const char *policy = group_config(consumer->group)->group_consumer_migration_policy;
    return strcasecmp(policy, "bidirectional") == 0 || strcasecmp(policy, direction) == 0;
}

/* -- classic to consumer ----------------------------------------------------------------------- */

struct upgrade {
    struct shard_op *op;
    struct consumer_group *draft;
    const struct image *image;
    int32_t generation;
    const char *why; /* NULL: it goes */
    bool has_memory;
};

/* What its subscription and its share of the last assignment come to; false: not this one. */
static bool read_member(struct upgrade *upgrade, const struct classic_member_view *view,
                        struct member_facts *facts, struct classic_facts *classic)
{
    struct arena *arena = upgrade->op->arena;
    struct embedded_subscription subscription;
    bool has_user_data;
    /* In its first join phase a group has no protocol yet. */
    slice metadata =
        view->metadata.size == 0 && view->protocol_count > 0 ? view->protocols[0].metadata : view->metadata;
    struct consumer_group_member_metadata_value_protocol *protocols =
        arena_alloc_array(arena, (size_t)view->protocol_count, sizeof *protocols);
    enum embedded_status status = EMBEDDED_NO_MEMORY;
    if (protocols)
        status = embedded_read_subscription(arena, upgrade->image, metadata, &subscription);
    if (status == EMBEDDED_OK)
        status = embedded_read_assignment(arena, upgrade->image, view->assignment, &facts->assigned,
                                          &has_user_data);
    if (status == EMBEDDED_MALFORMED)
        upgrade->why = "the embedded consumer protocol is malformed";
    else if (status == EMBEDDED_OK && has_user_data)
        upgrade->why =
            "an unsupported custom assignor is in use. Please refer to the documentation or switch to a "
            "default assignor before re-attempting the upgrade";
    upgrade->has_memory = status != EMBEDDED_NO_MEMORY;
    if (upgrade->why || !upgrade->has_memory)
        return false;
    for (int32_t i = 0; i < view->protocol_count; i++) {
        protocols[i].name = view->protocols[i].name;
        protocols[i].metadata = view->protocols[i].metadata;
    }
    *classic = (struct classic_facts){ view->session_timeout_ms, view->protocol_count, protocols };
    facts->rack_id = subscription.rack_id.size > 0 ? subscription.rack_id : SLICE_NULL;
    facts->names = topic_names_of(subscription.topics, subscription.topic_count);
    return true;
}

static void add_member(void *context, const struct classic_member_view *view)
{
    struct upgrade *upgrade = context;
    struct classic_facts classic;
    struct member_facts facts = { .member_id = view->member_id,
                                  .instance_id = view->instance_id,
                                  .client_id = view->client_id,
                                  .client_host = view->client_host,
                                  .regex = SLICE_LITERAL(""),
                                  .rebalance_timeout_ms = view->rebalance_timeout_ms,
                                  .classic = &classic,
                                  .epoch = upgrade->generation,
                                  .previous_epoch = upgrade->generation,
                                  .state = MEMBER_STABLE,
                                  .revoking = &partition_set_empty };
    if (upgrade->why || !upgrade->has_memory || !read_member(upgrade, view, &facts, &classic))
        return;
    struct consumer_member *member = consumer__know(upgrade->draft, view->member_id);
    upgrade->has_memory = member && consumer__set_profile(upgrade->draft, member, &facts) &&
                          consumer__set_current(upgrade->draft, member, &facts) &&
                          consumer__set_target(member, facts.assigned);
}

static void add_records(struct shard_op *op, const struct consumer_group *draft)
{
    slice group_id = draft->group->id;
    for (const struct consumer_member *member = draft->first; member; member = member->next)
        consumer__add_profile(op, group_id, &member->facts);
    consumer__add_epoch(op, group_id, draft->epoch, draft->metadata_hash);
    for (const struct consumer_member *member = draft->first; member; member = member->next)
        consumer__add_target(op, group_id, member->facts.member_id, member->target);
    consumer__add_assignment_epoch(op, group_id, draft->assignment_epoch);
    for (const struct consumer_member *member = draft->first; member; member = member->next)
        consumer__add_current(op, group_id, &member->facts);
}

static const char *find_obstacle(const struct group *group, const struct consumer_group *draft)
{
    if (!policy_allows(draft, "upgrade"))
        return "online upgrade is disabled";
    if (!slice_equal_string(classic_protocol_type(group->classic), "consumer"))
        return "the group does not use the consumer embedded protocol";
    if (classic_member_count(group->classic) > group_config(group)->group_consumer_max_size)
        return "the group size exceeds the consumer group maximum size";
    return NULL;
}

int16_t consumer__upgrade(struct shard_op *op, struct group *group, struct consumer_group *draft,
                          const char **why)
{
    const struct consumer_change no_change = { .next = NULL };
    struct consumer_topics topics;
    struct upgrade upgrade = { .op = op,
                               .draft = draft,
                               .image = controller_image(shard_server(op->shard)->controller),
                               .generation = classic_generation(group->classic),
                               .why = find_obstacle(group, draft),
                               .has_memory = true };
    if (!upgrade.why)
        classic_visit_members(group, add_member, &upgrade);
    *why = upgrade.why;
    if (upgrade.why)
        return ERR_GROUP_ID_NOT_FOUND;
    if (!upgrade.has_memory || !consumer__topics(draft, &no_change, upgrade.image, op->arena, &topics))
        return ERR_COORDINATOR_NOT_AVAILABLE;
    draft->epoch = draft->assignment_epoch = upgrade.generation;
    draft->metadata_hash = topics.hash;
    classic_add_tombstones(op, group);
    add_records(op, draft);
    return ERR_NONE;
}

/* -- consumer to classic ----------------------------------------------------------------------- */

static bool is_among(const struct consumer_member *const *members, int32_t count,
                     const struct consumer_member *member)
{
    for (int32_t i = 0; i < count; i++)
        if (members[i] == member)
            return true;
    return false;
}

bool consumer__may_downgrade(const struct consumer_group *consumer,
                             const struct consumer_member *const *leavers, int32_t count)
{
    int32_t classic_leavers = 0, staying = consumer->member_count - count;
    for (int32_t i = 0; i < count; i++)
        classic_leavers += leavers[i]->facts.classic != NULL;
    return staying > 0 && consumer->classic_count - classic_leavers == staying &&
           policy_allows(consumer, "downgrade") && staying <= group_config(consumer->group)->group_max_size;
}

/* Whom all have who stay, and most have first. Null: there is none. */
static slice select_protocol(const struct consumer_member *const *staying, int32_t count)
{
    const struct classic_facts *first = staying[0]->facts.classic;
    slice best = SLICE_NULL;
    int32_t best_votes = -1;
    for (int32_t p = 0; p < first->protocol_count; p++) {
        slice name = first->protocols[p].name;
        int32_t votes = 0, supporters = 0;
        for (int32_t m = 0; m < count; m++) {
            const struct classic_facts *classic = staying[m]->facts.classic;
            bool is_supported = false;
            for (int32_t i = 0; i < classic->protocol_count && !is_supported; i++)
                is_supported = slice_equal(classic->protocols[i].name, name);
            supporters += is_supported;
            votes += classic->protocol_count > 0 && slice_equal(classic->protocols[0].name, name);
        }
        if (supporters == count && votes > best_votes) {
            best = name;
            best_votes = votes;
        }
    }
    return best;
}

static slice metadata_of(const struct classic_facts *classic, slice protocol)
{
    for (int32_t i = 0; i < classic->protocol_count; i++)
        if (slice_equal(classic->protocols[i].name, protocol))
            return classic->protocols[i].metadata;
    return SLICE_LITERAL("");
}

/* The version of the consumer protocol that it speaks is how its subscription begins. */
static bool fill_member(struct shard_op *op, const struct image *image, const struct consumer_member *member,
                        slice protocol, struct group_metadata_value_member *out)
{
    enum { VERSION_SIZE = 2 };
    const struct classic_facts *classic = member->facts.classic;
    slice subscription = metadata_of(classic, protocol);
    int16_t version =
        subscription.size >= VERSION_SIZE ? (int16_t)(subscription.data[0] << 8 | subscription.data[1]) : 0;
    group_metadata_value_member_init(out);
    out->member_id = member->facts.member_id;
    out->group_instance_id = member->facts.instance_id;
    out->client_id = member->facts.client_id;
    out->client_host = member->facts.client_host;
    out->rebalance_timeout = member->facts.rebalance_timeout_ms;
    out->session_timeout = classic->session_timeout_ms;
    out->subscription = subscription;
    out->assignment = embedded_write_assignment(op->arena, image, member->target, version);
    return !slice_is_null(out->assignment);
}

bool consumer__downgrade(struct shard_op *op, const struct consumer_group *consumer,
                         const struct consumer_member *const *leavers, int32_t count)
{
    const struct image *image = controller_image(shard_server(op->shard)->controller);
    size_t staying_max = (size_t)consumer->member_count;
    const struct consumer_member **staying = arena_alloc_array(op->arena, staying_max, sizeof *staying);
    struct group_metadata_key key;
    struct group_metadata_value value;
    group_metadata_key_init(&key);
    group_metadata_value_init(&value);
    value.members = arena_alloc_array(op->arena, staying_max, sizeof *value.members);
    if (!staying || !value.members)
        return false;
    int32_t staying_count = 0;
    for (const struct consumer_member *member = consumer->first; member; member = member->next)
        if (member->is_member && !is_among(leavers, count, member))
            staying[staying_count++] = member;
    key.group = consumer->group->id;
    value.protocol_type = SLICE_LITERAL("consumer");
    value.generation = consumer->epoch;
    value.protocol = select_protocol(staying, staying_count);
    value.leader = staying[0]->facts.member_id;
    value.current_state_timestamp = shard_wall_ms(op->shard);
    for (; value.members_count < staying_count; value.members_count++)
        if (!fill_member(op, image, staying[value.members_count], value.protocol,
                         &value.members[value.members_count]))
            return false;
    consumer_add_tombstones(op, consumer->group);
    shard_op_add(op, "group", GROUP_RECORD_GROUP_METADATA, &key, CLASSIC_VALUE_VERSION, &value);
    return true;
}

/* The assignment has to be made anew, by one of them. */
void consumer__finish_downgrade(struct group *group)
{
    classic_loaded(group);
    classic_rebalance(group);
}
