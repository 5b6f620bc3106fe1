/* The groups of a shard: found by id, made and dropped; records and questions go to the type they concern. */
#include "broker/group/group.h"

#include <stdlib.h>

#include "broker/conn.h"
#include "broker/group/classic.h"
#include "broker/group/consumer.h"
#include "broker/group/offsets.h"
#include "broker/server.h"
#include "codec/apis.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum { BUCKETS_MIN = 16 };

struct groups {
    struct shard *shard;
    struct group **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    struct arena arena; /* of the record that is replayed */
    struct group *open_first; /* with transactions under way */
    struct offset_expiry expiry;
    bool is_loaded; /* no timer before that: the loader has no lock */
};

static atomic_uint group_count; /* of all shards of the process */

/* -- the table -------------------------------------------------------------------------------------------- */

static size_t hash_of(slice id)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < id.size; i++)
        hash = (hash ^ id.data[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 32);
}

static struct group **chain_of(const struct groups *groups, slice id)
{
    return &groups->buckets[hash_of(id) & (groups->bucket_count - 1)];
}

struct group *groups_find(struct groups *groups, slice id)
{
    if (groups->bucket_count == 0)
        return NULL;
    struct group *group = *chain_of(groups, id);
    while (group && !slice_equal(group->id, id))
        group = group->next;
    return group;
}

static bool grow(struct groups *groups)
{
    size_t bucket_count = groups->bucket_count ? 2 * groups->bucket_count : BUCKETS_MIN;
    struct group **old = groups->buckets;
    size_t old_count = groups->bucket_count;
    struct group **buckets = calloc(bucket_count, sizeof(struct group *));
    if (!buckets)
        return old != NULL;
    groups->buckets = buckets;
    groups->bucket_count = bucket_count;
    for (size_t i = 0; i < old_count; i++) {
        struct group *next;
        for (struct group *group = old[i]; group; group = next) {
            next = group->next;
            struct group **chain = chain_of(groups, group->id);
            group->next = *chain;
            *chain = group;
        }
    }
    free(old);
    return true;
}

/* Listed while a transaction is under way in it, so that a marker need not ask every group. */
static void list_open(struct group *group)
{
    struct groups *groups = group->all;
    bool is_open = group_offsets_has_pending(group);
    if (is_open == (group->open_link != NULL))
        return;
    if (is_open) {
        group->next_open = groups->open_first;
        group->open_link = &groups->open_first;
        if (group->next_open)
            group->next_open->open_link = &group->next_open;
        groups->open_first = group;
    } else {
        *group->open_link = group->next_open;
        if (group->next_open)
            group->next_open->open_link = group->open_link;
        group->open_link = NULL;
    }
}

static void group_free(struct group *group)
{
    if (group->classic)
        classic_destroy(group->classic);
    if (group->consumer)
        consumer_destroy(group->consumer);
    if (group->offsets) {
        group_offsets_destroy(group->offsets);
        group->offsets = NULL;
        list_open(group);
    }
    free(group);
    atomic_fetch_sub_explicit(&group_count, 1, memory_order_relaxed);
}

bool groups_are_full(void)
{
    return atomic_load_explicit(&group_count, memory_order_relaxed) >= GROUPS_MAX;
}

struct group *groups_make(struct groups *groups, slice id)
{
    struct group *group = groups_find(groups, id);
    if (group)
        return group;
    if (groups->count >= groups->bucket_count && !grow(groups))
        return NULL;
    group = calloc(1, sizeof *group + id.size);
    if (!group)
        return NULL;
    atomic_fetch_add_explicit(&group_count, 1, memory_order_relaxed);
    memcpy(group + 1, id.data, id.size);
    group->id = slice_of((const uint8_t *)(group + 1), id.size);
    group->all = groups;
    group->type = GROUP_CLASSIC;
    group->state_offset = -1;
    group->classic = classic_create(group);
    if (!group->classic) {
        group_free(group);
        return NULL;
    }
    struct group **chain = chain_of(groups, id);
    group->next = *chain;
    *chain = group;
    if (groups->count++ == 0 && groups->is_loaded)
        offset_expiry_begin(&groups->expiry);
    return group;
}

static bool is_void(const struct group *group)
{
    if (group_offsets_count(group) > 0)
        return false;
    return group->type == GROUP_CLASSIC ? classic_is_void(group->classic) : consumer_is_void(group->consumer);
}

void groups_drop_if_void(struct group *group)
{
    struct groups *groups = group->all;
    if (!is_void(group))
        return;
    struct group **link = chain_of(groups, group->id);
    while (*link != group)
        link = &(*link)->next;
    *link = group->next;
    groups->count--;
    group_free(group);
}

bool group_set_type(struct group *group, enum group_type type)
{
    if (group->type == type)
        return true;
    struct classic_group *classic = type == GROUP_CLASSIC ? classic_create(group) : NULL;
    struct consumer_group *consumer = type == GROUP_CONSUMER ? consumer_create(group) : NULL;
    if (!classic && !consumer)
        return false;
    if (group->classic)
        classic_destroy(group->classic);
    if (group->consumer)
        consumer_destroy(group->consumer);
    group->type = type;
    group->classic = classic;
    group->consumer = consumer;
    return true;
}

void groups_visit(struct groups *groups, void (*visit)(void *context, struct group *group), void *context)
{
    for (size_t i = 0; i < groups->bucket_count; i++) {
        struct group *next;
        for (struct group *group = groups->buckets[i]; group; group = next) {
            next = group->next;
            visit(context, group);
        }
    }
}

size_t groups_count(const struct groups *groups)
{
    return groups->count;
}

struct offset_expiry *groups_expiry(struct groups *groups)
{
    return &groups->expiry;
}

struct shard *groups_shard(struct groups *groups)
{
    return groups->shard;
}

struct shard *group_shard(const struct group *group)
{
    return group->all->shard;
}

const struct config *group_config(const struct group *group)
{
    return shard_server(group->all->shard)->config;
}

/* -- the shard's state --------------------------------------------------------------------------------------- */

static void *create(struct shard *shard)
{
    struct groups *groups = calloc(1, sizeof *groups);
    if (!groups)
        return NULL;
    groups->shard = shard;
    groups->expiry.groups = groups;
    arena_init(&groups->arena, NULL);
    return groups;
}

static void free_group(void *context, struct group *group)
{
    (void)context;
    group_free(group);
}

static void destroy(void *state)
{
    struct groups *groups = state;
    groups_visit(groups, free_group, NULL);
    free(groups->buckets);
    arena_destroy(&groups->arena);
    free(groups);
}

static void loaded_group(void *context, struct group *group)
{
    (void)context;
    if (group->type == GROUP_CLASSIC)
        classic_loaded(group);
    else
        consumer_loaded(group);
}

static void loaded(void *state)
{
    struct groups *groups = state;
    groups_visit(groups, loaded_group, NULL);
    groups->is_loaded = true;
    offset_expiry_begin(&groups->expiry);
}

static void stop_group(void *context, struct group *group)
{
    int16_t error_code = *(const int16_t *)context;
    if (group->type == GROUP_CLASSIC)
        classic_stop(group, error_code);
    else
        consumer_stop(group, error_code);
}

static void stop(void *state, int16_t error_code)
{
    struct groups *groups = state;
    offset_expiry_stop(&groups->expiry);
    groups_visit(groups, stop_group, &error_code);
}

/* -- replay -------------------------------------------------------------------------------------------------- */

/* A record in decoded form; key and value in the groups' arena. */
struct decoded {
    int16_t type;
    const void *key;
    const void *value; /* NULL: a tombstone */
    slice group_id;
};

static const struct message_schema *find_message(int16_t type, const char *suffix, int16_t version)
{
    for (size_t i = 0; i < record_schema_count; i++) {
        const struct record_schema *schema = &record_schemas[i];
        if (schema->type != type || strcmp(schema->set, "group") != 0) /* numbers first: this runs for every record */
            continue;
        if (strcmp(schema->message.name + strlen(schema->message.name) - strlen(suffix), suffix) == 0)
            return version >= schema->min_version && version <= schema->max_version ? &schema->message : NULL;
    }
    return NULL;
}

enum decode_result { DECODED, NOT_OURS, NOT_READABLE, NO_MEMORY };

static enum decode_result decode_message(struct arena *arena, struct reader *reader,
                                         const struct message_schema *message, int16_t version, const void **out)
{
    void *decoded = arena_alloc(arena, message->struct_size);
    if (!decoded)
        return NO_MEMORY;
    *out = decoded;
    if (message->decode(reader, version, decoded))
        return DECODED;
    return reader->status == CODEC_NO_MEMORY ? NO_MEMORY : NOT_READABLE;
}

static enum decode_result decode(struct arena *arena, const struct shard_record *record, struct decoded *out)
{
    struct reader reader;
    int16_t version;
    reader_init(&reader, record->key, arena);
    if (!group_record_key_frame_decode(&reader, &out->type))
        return NOT_READABLE;
    const struct message_schema *message = find_message(out->type, "_key", 0);
    if (!message)
        return NOT_OURS; /* a type of share or streams groups, or newer than we are (KIP-915) */
    enum decode_result result = decode_message(arena, &reader, message, 0, &out->key);
    if (result != DECODED)
        return result;
    memcpy(&out->group_id, out->key, sizeof out->group_id); /* each key begins with the group's id */
    out->value = NULL;
    if (slice_is_null(record->value))
        return DECODED;
    reader_init(&reader, record->value, arena);
    if (!group_record_value_frame_decode(&reader, &version))
        return NOT_READABLE;
    message = find_message(out->type, "_value", version);
    return message ? decode_message(arena, &reader, message, version, &out->value) : NOT_READABLE;
}

/* Written before Kafka 0.9; the same but for what it lacks. */
static bool replay_legacy_commit(struct group *group, const struct decoded *decoded, const struct shard_record *record)
{
    const struct legacy_offset_commit_key *old_key = decoded->key;
    const struct legacy_offset_commit_value *old_value = decoded->value;
    const struct offset_commit_key key = { old_key->group, old_key->topic, old_key->partition };
    struct offset_commit_value value;
    offset_commit_value_init(&value);
    if (old_value) {
        value.offset = old_value->offset;
        value.metadata = old_value->metadata;
        value.commit_timestamp = old_value->commit_timestamp;
    }
    return group_offsets_replay(group, &key, old_value ? &value : NULL, record);
}

static bool replay_decoded(struct groups *groups, const struct decoded *decoded, const struct shard_record *record)
{
    struct group *group = groups_find(groups, decoded->group_id);
    if (!group && !decoded->value)
        return true; /* of what is gone already */
    if (!group)
        group = groups_make(groups, decoded->group_id);
    if (!group)
        return false;
    bool ok = true;
    switch ((enum group_record_type)decoded->type) {
    case GROUP_RECORD_LEGACY_OFFSET_COMMIT:
        ok = replay_legacy_commit(group, decoded, record);
        break;
    case GROUP_RECORD_OFFSET_COMMIT:
        ok = group_offsets_replay(group, decoded->key, decoded->value, record);
        break;
    case GROUP_RECORD_GROUP_METADATA:
        /* The tombstone of a classic group stands in front of the records of the consumer group that it became. */
        if (!decoded->value && group->type == GROUP_CONSUMER)
            break;
        ok = group_set_type(group, GROUP_CLASSIC) && classic_replay(group, decoded->value);
        break;
    case GROUP_RECORD_CONSUMER_GROUP_METADATA:
    case GROUP_RECORD_CONSUMER_GROUP_PARTITION_METADATA:
    case GROUP_RECORD_CONSUMER_GROUP_MEMBER_METADATA:
    case GROUP_RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA:
    case GROUP_RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER:
    case GROUP_RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT:
    case GROUP_RECORD_CONSUMER_GROUP_REGULAR_EXPRESSION:
        ok = consumer_replay(group, (enum group_record_type)decoded->type, decoded->key, decoded->value);
        break;
    }
    group->state_offset = record->offset + 1;
    list_open(group);
    groups_drop_if_void(group);
    return ok;
}

/* The groups that the transaction touched are among those that have one under way. */
static bool replay_marker(struct groups *groups, const struct shard_record *record)
{
    enum { MARKER_ABORT = 0, MARKER_COMMIT = 1 };
    bool is_commit = record->control_type == MARKER_COMMIT;
    bool ok = true;
    struct group *next;
    if (!is_commit && record->control_type != MARKER_ABORT)
        return true;
    for (struct group *group = groups->open_first; group; group = next) {
        bool is_touched;
        next = group->next_open;
        ok = group_offsets_marker(group, record->producer_id, is_commit, &is_touched) && ok;
        if (is_touched)
            group->state_offset = record->offset + 1;
        list_open(group);
        groups_drop_if_void(group);
    }
    return ok;
}

static bool replay(void *state, const struct shard_record *record)
{
    struct groups *groups = state;
    struct decoded decoded;
    if (record->control_type >= 0)
        return replay_marker(groups, record);
    enum decode_result result = decode(&groups->arena, record, &decoded);
    if (result == NOT_READABLE)
        note_warn("group.record_skipped", "partition=%d offset=%lld reason=unreadable",
                  shard_index(groups->shard), (long long)record->offset);
    bool ok = result == DECODED ? replay_decoded(groups, &decoded, record) : result != NO_MEMORY;
    arena_reset(&groups->arena);
    return ok;
}

const struct shard_kind group_shard_kind = { .name = "group",
                                             .topic = INTERNAL_TOPIC_OFFSETS,
                                             .create = create,
                                             .destroy = destroy,
                                             .replay = replay,
                                             .loaded = loaded,
                                             .stop = stop };

/* -- what both types answer ------------------------------------------------------------------------------------ */

const char *group_state_name(const struct group *group)
{
    return group->type == GROUP_CLASSIC ? classic_state_name(group->classic) : consumer_state_name(group->consumer);
}

const char *group_type_name(const struct group *group)
{
    return group->type == GROUP_CLASSIC ? "classic" : "consumer";
}

bool group_is_empty(const struct group *group)
{
    return group->type == GROUP_CLASSIC ? classic_is_empty(group->classic) : consumer_is_empty(group->consumer);
}

int16_t group_check_delete(const struct group *group)
{
    return group->type == GROUP_CLASSIC ? classic_check_delete(group->classic)
                                        : consumer_check_delete(group->consumer);
}

/* What members of another protocol read, nobody here knows. */
int16_t group_check_offset_delete(const struct group *group)
{
    if (group_is_empty(group) || group->type == GROUP_CONSUMER)
        return ERR_NONE;
    return slice_equal_string(classic_protocol_type(group->classic), "consumer") ? ERR_NONE : ERR_NON_EMPTY_GROUP;
}

void group_add_tombstones(struct shard_op *op, const struct group *group)
{
    if (group->type == GROUP_CLASSIC)
        classic_add_tombstones(op, group);
    else
        consumer_add_tombstones(op, group);
}

bool group_is_subscribed(const struct group *group, slice topic)
{
    return group->type == GROUP_CLASSIC ? classic_is_subscribed(group->classic, topic)
                                        : consumer_is_subscribed(group->consumer, topic);
}

int16_t group_check_commit(const struct group *group, const struct group_caller *caller, bool is_transactional)
{
    return group->type == GROUP_CLASSIC ? classic_check_commit(group->classic, caller, is_transactional)
                                        : consumer_check_commit(group->consumer, caller, is_transactional);
}

int16_t group_check_fetch(const struct group *group, const struct group_caller *caller)
{
    return group->type == GROUP_CLASSIC ? ERR_NONE : consumer_check_fetch(group->consumer, caller);
}

void group_touch(struct group *group, slice member_id)
{
    if (group->type == GROUP_CLASSIC)
        classic_touch(group, member_id);
    else
        consumer_touch(group, member_id);
}

int16_t group_check_id(struct request *rq, slice group_id, bool may_be_empty, enum acl_operation op)
{
    if (slice_is_null(group_id) || (group_id.size == 0 && !may_be_empty))
        return ERR_INVALID_GROUP_ID;
    return rq_group(rq, group_id, op);
}
