/* What the log keeps of a classic group: one record with all its members (GroupMetadataValue v3, as Kafka
 * writes it). */
#include "broker/group/classic_internal.h"

enum { VALUE_VERSION = 3 };

static void add(struct shard_op *op, slice group_id, struct group_metadata_value *value)
{
    struct group_metadata_key key;
    group_metadata_key_init(&key);
    key.group = group_id;
    value->current_state_timestamp = shard_wall_ms(op->shard);
    shard_op_add(op, "group", GROUP_RECORD_GROUP_METADATA, &key, VALUE_VERSION, value);
}

static void init_value(struct group_metadata_value *value, const struct classic_group *classic)
{
    slice type = classic ? classic__bytes_slice(classic->protocol_type) : SLICE_NULL;
    group_metadata_value_init(value);
    value->protocol_type = slice_is_null(type) ? SLICE_LITERAL("") : type;
    value->protocol = SLICE_NULL;
    value->leader = SLICE_NULL;
}

void classic__record_new(struct shard_op *op, slice group_id)
{
    struct group_metadata_value value;
    init_value(&value, NULL);
    value.generation = 0;
    add(op, group_id, &value);
}

int32_t classic__next_generation(const struct classic_group *classic)
{
    return classic->generation == INT32_MAX ? 1 : classic->generation + 1;
}

void classic__record_empty(struct shard_op *op, const struct group *group)
{
    struct group_metadata_value value;
    init_value(&value, group->classic);
    value.generation = classic__next_generation(group->classic);
    add(op, group->id, &value);
}

static void fill(struct group_metadata_value_member *out, const struct classic_group *classic,
                 const struct classic_member *member, const struct classic_profile *profile)
{
    group_metadata_value_member_init(out);
    out->member_id = profile->member_id;
    out->group_instance_id = profile->instance_id;
    out->client_id = profile->client_id;
    out->client_host = profile->client_host;
    out->rebalance_timeout = member->rebalance_timeout_ms;
    out->session_timeout = member->session_timeout_ms;
    out->subscription = classic__profile_metadata(profile, classic__bytes_slice(classic->protocol));
    out->assignment = member->assignment;
}

void classic__record_full(struct shard_op *op, const struct group *group, bool in_draft,
                          const struct classic_member *replaced, const struct classic_join *join)
{
    const struct classic_group *classic = group->classic;
    struct group_metadata_value value;
    init_value(&value, classic);
    value.generation = classic->generation;
    value.protocol = classic__bytes_slice(classic->protocol);
    value.members = arena_alloc_array(op->arena, (size_t)classic->member_count, sizeof *value.members);
    if (!value.members) {
        op->is_broken = true;
        return;
    }
    for (const struct classic_member *member = classic->first; member; member = member->next) {
        struct group_metadata_value_member *out = &value.members[value.members_count++];
        const struct classic_profile *profile = member == replaced ? join->fresh_profile : member->profile;
        fill(out, classic, member, profile);
        if (member == replaced) {
            out->rebalance_timeout = join->rebalance_timeout_ms;
            out->session_timeout = join->session_timeout_ms;
        }
        if (in_draft)
            out->assignment = member->round == classic->round ? member->draft : SLICE_LITERAL("");
        if (member == classic->leader)
            value.leader = profile->member_id;
    }
    add(op, group->id, &value);
}
