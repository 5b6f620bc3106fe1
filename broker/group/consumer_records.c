/* The records of a consumer group: made in decide, and read again in replay. */
#include <stdlib.h>

#include "broker/group/consumer_internal.h"
#include "protocol/base/note.h"

/* Above what a topic may have: a record that says so is not ours. */
enum { PARTITION_MAX = 1 << 24 };

/* -- making -------------------------------------------------------------------------------------------- */

static void add(struct shard_op *op, enum group_record_type type, const void *key, const void *value)
{
    shard_op_add(op, "group", (int)type, key, 0, value);
}

void consumer__add_epoch(struct shard_op *op, slice group_id, int32_t epoch, int64_t metadata_hash)
{
    const struct consumer_group_metadata_key key = { group_id };
    struct consumer_group_metadata_value value;
    consumer_group_metadata_value_init(&value);
    value.epoch = epoch;
    value.metadata_hash = metadata_hash;
    add(op, GROUP_RECORD_CONSUMER_GROUP_METADATA, &key, &value);
}

void consumer__add_partition_metadata_tombstone(struct shard_op *op, slice group_id)
{
    const struct consumer_group_partition_metadata_key key = { group_id };
    add(op, GROUP_RECORD_CONSUMER_GROUP_PARTITION_METADATA, &key, NULL);
}

void consumer__add_profile(struct shard_op *op, slice group_id, const struct member_facts *facts)
{
    const struct consumer_group_member_metadata_key key = { group_id, facts->member_id };
    struct consumer_group_member_metadata_value_classic_member_metadata classic;
    struct consumer_group_member_metadata_value value;
    consumer_group_member_metadata_value_init(&value);
    value.instance_id = facts->instance_id;
    value.rack_id = facts->rack_id;
    value.client_id = facts->client_id;
    value.client_host = facts->client_host;
    value.subscribed_topic_names = (slice *)facts->names.names;
    value.subscribed_topic_names_count = facts->names.count;
    value.subscribed_topic_regex = facts->regex;
    value.rebalance_timeout_ms = facts->rebalance_timeout_ms;
    value.server_assignor = facts->assignor;
    if (facts->classic) {
        consumer_group_member_metadata_value_classic_member_metadata_init(&classic);
        classic.session_timeout_ms = facts->classic->session_timeout_ms;
        classic.supported_protocols =
            (struct consumer_group_member_metadata_value_protocol *)facts->classic->protocols;
        classic.supported_protocols_count = facts->classic->protocol_count;
        value.classic_member_metadata = &classic;
    }
    add(op, GROUP_RECORD_CONSUMER_GROUP_MEMBER_METADATA, &key, &value);
}

void consumer__add_assignment_epoch(struct shard_op *op, slice group_id, int32_t epoch)
{
    const struct consumer_group_target_assignment_metadata_key key = { group_id };
    const struct consumer_group_target_assignment_metadata_value value = { .assignment_epoch = epoch };
    add(op, GROUP_RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA, &key, &value);
}

void consumer__add_target(struct shard_op *op, slice group_id, slice member_id,
                          const struct partition_set *target)
{
    const struct consumer_group_target_assignment_member_key key = { group_id, member_id };
    struct consumer_group_target_assignment_member_value value;
    consumer_group_target_assignment_member_value_init(&value);
    value.topic_partitions =
        arena_alloc_array(op->arena, (size_t)target->topic_count, sizeof *value.topic_partitions);
    if (!value.topic_partitions) {
        op->is_broken = true;
        return;
    }
    for (int32_t t = 0; t < target->topic_count; t++) {
        value.topic_partitions[t].topic_id = target->topics[t].id;
        value.topic_partitions[t].partitions = (int32_t *)target->topics[t].partitions;
        value.topic_partitions[t].partitions_count = target->topics[t].count;
    }
    value.topic_partitions_count = target->topic_count;
    add(op, GROUP_RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER, &key, &value);
}

static bool fill(struct arena *arena, const struct partition_set *set,
                 struct consumer_group_current_member_assignment_value_topic_partition **out, int32_t *count)
{
    *out = arena_alloc_array(arena, (size_t)set->topic_count, sizeof **out);
    if (!*out)
        return false;
    for (int32_t t = 0; t < set->topic_count; t++) {
        (*out)[t].topic_id = set->topics[t].id;
        (*out)[t].partitions = (int32_t *)set->topics[t].partitions;
        (*out)[t].partitions_count = set->topics[t].count;
    }
    *count = set->topic_count;
    return true;
}

void consumer__add_current(struct shard_op *op, slice group_id, const struct member_facts *facts)
{
    const struct consumer_group_current_member_assignment_key key = { group_id, facts->member_id };
    struct consumer_group_current_member_assignment_value value;
    consumer_group_current_member_assignment_value_init(&value);
    value.member_epoch = facts->epoch;
    value.previous_member_epoch = facts->previous_epoch;
    value.state = facts->state;
    if (!fill(op->arena, facts->assigned, &value.assigned_partitions, &value.assigned_partitions_count) ||
        !fill(op->arena, facts->revoking, &value.partitions_pending_revocation,
              &value.partitions_pending_revocation_count)) {
        op->is_broken = true;
        return;
    }
    add(op, GROUP_RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT, &key, &value);
}

static void add_member_tombstone(struct shard_op *op, enum group_record_type type, slice group_id,
                                 slice member_id)
{
    /* The keys of all three types are the same two fields. */
    const struct consumer_group_member_metadata_key key = { group_id, member_id };
    add(op, type, &key, NULL);
}

void consumer__add_member_tombstones(struct shard_op *op, slice group_id, slice member_id)
{
    add_member_tombstone(op, GROUP_RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT, group_id, member_id);
    add_member_tombstone(op, GROUP_RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER, group_id, member_id);
    add_member_tombstone(op, GROUP_RECORD_CONSUMER_GROUP_MEMBER_METADATA, group_id, member_id);
}

void consumer__add_regex(struct shard_op *op, slice group_id, slice pattern, const struct topic_names *topics,
                         int64_t version, int64_t timestamp)
{
    const struct consumer_group_regular_expression_key key = { group_id, pattern };
    struct consumer_group_regular_expression_value value;
    consumer_group_regular_expression_value_init(&value);
    value.topics = (slice *)topics->names;
    value.topics_count = topics->count;
    value.version = version;
    value.timestamp = timestamp;
    add(op, GROUP_RECORD_CONSUMER_GROUP_REGULAR_EXPRESSION, &key, &value);
}

void consumer__add_regex_tombstone(struct shard_op *op, slice group_id, slice pattern)
{
    const struct consumer_group_regular_expression_key key = { group_id, pattern };
    add(op, GROUP_RECORD_CONSUMER_GROUP_REGULAR_EXPRESSION, &key, NULL);
}

/* In Kafka's order: whoever replays a part of it finds no group without its members. */
void consumer_add_tombstones(struct shard_op *op, const struct group *group)
{
    static const enum group_record_type of_members[] = {
        GROUP_RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT,
        GROUP_RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER, GROUP_RECORD_CONSUMER_GROUP_MEMBER_METADATA
    };
    const struct consumer_group *consumer = group->consumer;
    const struct consumer_group_metadata_key key = { group->id };
    for (int i = 0; i < 3; i++) {
        for (const struct consumer_member *member = consumer->first; member; member = member->next)
            add_member_tombstone(op, of_members[i], group->id, member->facts.member_id);
        if (of_members[i] == GROUP_RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER)
            add(op, GROUP_RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA, &key, NULL);
    }
    for (const struct consumer_regex *regex = consumer->regexes; regex; regex = regex->next)
        if (regex->is_resolved)
            consumer__add_regex_tombstone(op, group->id, regex->pattern);
    consumer__add_partition_metadata_tombstone(op, group->id);
    add(op, GROUP_RECORD_CONSUMER_GROUP_METADATA, &key, NULL);
}

/* -- replay -------------------------------------------------------------------------------------------- */

static void replay_epoch(struct consumer_group *consumer, const struct consumer_group_metadata_value *value)
{
    consumer->has_epoch_record = value != NULL;
    consumer->epoch = value ? value->epoch : 0;
    consumer->metadata_hash = value ? value->metadata_hash : 0;
}

static void replay_assignment_epoch(struct consumer_group *consumer,
                                    const struct consumer_group_target_assignment_metadata_value *value)
{
    consumer->has_target_record = value != NULL;
    consumer->assignment_epoch = value ? value->assignment_epoch : -1;
}

static bool replay_profile(struct group *group, const struct consumer_group_member_metadata_key *key,
                           const struct consumer_group_member_metadata_value *value)
{
    struct consumer_group *consumer = group->consumer;
    struct consumer_member *member;
    if (!value) {
        member = consumer__known(consumer, key->member_id);
        if (member)
            consumer__forget(consumer, member);
        return true;
    }
    member = consumer__know(consumer, key->member_id);
    if (!member)
        return false;
    struct classic_facts classic;
    struct member_facts told = { .instance_id = value->instance_id,
                                 .rack_id = value->rack_id,
                                 .client_id = value->client_id,
                                 .client_host = value->client_host,
                                 .assignor = value->server_assignor,
                                 .regex = value->subscribed_topic_regex,
                                 .rebalance_timeout_ms = value->rebalance_timeout_ms };
    told.names = topic_names_of(value->subscribed_topic_names, value->subscribed_topic_names_count);
    if (value->classic_member_metadata) {
        classic = (struct classic_facts){ value->classic_member_metadata->session_timeout_ms,
                                          value->classic_member_metadata->supported_protocols_count,
                                          value->classic_member_metadata->supported_protocols };
        told.classic = &classic;
    }
    return consumer__set_profile(consumer, member, &told);
}

/* False: there is one that no topic has. */
static bool are_partitions(const int32_t *partitions, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (partitions[i] < 0 || partitions[i] >= PARTITION_MAX)
            return false;
    return true;
}

static bool replay_target(struct group *group, struct arena *arena,
                          const struct consumer_group_target_assignment_member_key *key,
                          const struct consumer_group_target_assignment_member_value *value)
{
    struct consumer_group *consumer = group->consumer;
    struct consumer_member *member = consumer__known(consumer, key->member_id);
    if (!value) {
        if (member) {
            consumer__set_target(member, &partition_set_empty);
            member->has_target = false;
            consumer__forget_if_void(consumer, member);
        }
        return true;
    }
    int32_t count = value->topic_partitions_count;
    struct raw_topic *raw = arena_alloc_array(arena, (size_t)count, sizeof *raw);
    if (!raw)
        return false;
    for (int32_t t = 0; t < count; t++) {
        raw[t] =
            (struct raw_topic){ value->topic_partitions[t].topic_id, value->topic_partitions[t].partitions,
                                value->topic_partitions[t].partitions_count };
        if (!are_partitions(raw[t].partitions, raw[t].count))
            raw[t].count = 0;
    }
    const struct partition_set *target = partition_set_make(arena, raw, count);
    member = target ? consumer__know(consumer, key->member_id) : NULL;
    return member && consumer__set_target(member, target);
}

static const struct partition_set *
read_set(struct arena *arena,
         const struct consumer_group_current_member_assignment_value_topic_partition *from, int32_t count)
{
    struct raw_topic *raw = arena_alloc_array(arena, (size_t)count, sizeof *raw);
    if (!raw)
        return NULL;
    for (int32_t t = 0; t < count; t++) {
        raw[t] = (struct raw_topic){ from[t].topic_id, from[t].partitions, from[t].partitions_count };
        if (!are_partitions(raw[t].partitions, raw[t].count))
            raw[t].count = 0;
    }
    return partition_set_make(arena, raw, count);
}

static bool replay_current(struct group *group, struct arena *arena,
                           const struct consumer_group_current_member_assignment_key *key,
                           const struct consumer_group_current_member_assignment_value *value)
{
    struct consumer_group *consumer = group->consumer;
    struct member_facts told = { .epoch = EPOCH_LEAVE,
                                 .previous_epoch = EPOCH_LEAVE,
                                 .assigned = &partition_set_empty,
                                 .revoking = &partition_set_empty };
    struct consumer_member *member = consumer__find(consumer, key->member_id);
    if (!value) /* its other tombstones follow */
        return !member || consumer__set_current(consumer, member, &told);
    told.epoch = value->member_epoch;
    told.previous_epoch = value->previous_member_epoch;
    told.state =
        value->state >= MEMBER_STABLE && value->state <= MEMBER_UNRELEASED ? value->state : MEMBER_UNKNOWN;
    told.assigned = read_set(arena, value->assigned_partitions, value->assigned_partitions_count);
    told.revoking =
        read_set(arena, value->partitions_pending_revocation, value->partitions_pending_revocation_count);
    if (!told.assigned || !told.revoking)
        return false;
    member = consumer__know(consumer, key->member_id);
    return member && consumer__set_current(consumer, member, &told);
}

static bool replay_record(struct group *group, struct arena *arena, enum group_record_type type,
                          const void *key, const void *value)
{
    struct consumer_group *consumer = group->consumer;
    switch (type) {
    case GROUP_RECORD_CONSUMER_GROUP_METADATA:
        replay_epoch(consumer, value);
        return true;
    case GROUP_RECORD_CONSUMER_GROUP_PARTITION_METADATA:
        consumer->has_partition_metadata = value != NULL;
        return true;
    case GROUP_RECORD_CONSUMER_GROUP_MEMBER_METADATA:
        return replay_profile(group, key, value);
    case GROUP_RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA:
        replay_assignment_epoch(consumer, value);
        return true;
    case GROUP_RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER:
        return replay_target(group, arena, key, value);
    case GROUP_RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT:
        return replay_current(group, arena, key, value);
    case GROUP_RECORD_CONSUMER_GROUP_REGULAR_EXPRESSION: {
        const struct consumer_group_regular_expression_key *pattern = key;
        return consumer__resolve(consumer, pattern->regular_expression, value);
    }
    default:
        return true;
    }
}

bool consumer_replay(struct group *group, enum group_record_type type, const void *key, const void *value)
{
    struct arena arena;
    if (!value && group->type != GROUP_CONSUMER)
        return true; /* a tombstone of what it was before it became a classic group */
    if (!group_set_type(group, GROUP_CONSUMER))
        return false;
    arena_init(&arena, NULL);
    bool ok = replay_record(group, &arena, type, key, value);
    arena_destroy(&arena);
    return ok;
}
