/* Applies metadata records to a change, with the rules of Kafka's replay. */
#include "broker/metadata_replay.h"

#include <stdarg.h>
#include <stdio.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum { LEADER_UNCHANGED = -2 };
/* A migration from ZooKeeper that was begun and not ended. */
enum { ZK_PRE_MIGRATION = 1, ZK_MIGRATION = 2 };

int16_t metadata_partition_version(int16_t level)
{
    return level >= METADATA_VERSION_ELIGIBLE_REPLICAS ? 2 : level >= METADATA_VERSION_DIRECTORIES ? 1 : 0;
}

void metadata_replay_init(struct metadata_replay *replay, struct image_change *change, int32_t node_id)
{
    *replay = (struct metadata_replay){ .change = change, .node_id = node_id };
    arena_init(&replay->arena, NULL);
    arena_init(&replay->held_arena, NULL);
}

void metadata_replay_destroy(struct metadata_replay *replay)
{
    arena_destroy(&replay->arena);
    arena_destroy(&replay->held_arena);
}

__attribute__((format(printf, 2, 3))) static bool fail(struct metadata_replay *replay, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(replay->error, sizeof replay->error, format, arguments);
    va_end(arguments);
    return false;
}

static bool fail_memory(struct metadata_replay *replay)
{
    replay->is_out_of_memory = true;
    return fail(replay, "no memory for the metadata");
}

static bool applied(struct metadata_replay *replay, enum change_status status)
{
    switch (status) {
    case CHANGE_OK:
        return true;
    case CHANGE_NO_MEMORY:
        return fail_memory(replay);
    case CHANGE_REFUSED:
        return fail(replay, "%s", image_change_error(replay->change));
    }
    check_unreachable("change_status");
}

static bool decoded(struct metadata_replay *replay, const struct reader *reader, bool ok, const char *what)
{
    if (ok && reader_left(reader) == 0)
        return true;
    if (reader->status == CODEC_NO_MEMORY)
        return fail_memory(replay);
    return fail(replay, "a %s record does not decode: %s", what,
                ok ? "bytes follow it" : codec_status_text(reader->status));
}

static bool replay_topic(struct metadata_replay *replay, struct reader *reader, int16_t version)
{
    struct topic_record in;
    return decoded(replay, reader, topic_record_decode(reader, version, &in), "topic") &&
           applied(replay, image_change_add_topic(replay->change, in.name, in.topic_id));
}

static bool replay_remove_topic(struct metadata_replay *replay, struct reader *reader, int16_t version)
{
    struct remove_topic_record in;
    return decoded(replay, reader, remove_topic_record_decode(reader, version, &in), "remove topic") &&
           applied(replay, image_change_remove_topic(replay->change, in.topic_id));
}

static bool replay_partition(struct metadata_replay *replay, struct reader *reader, int16_t version)
{
    struct partition_record in;
    if (!decoded(replay, reader, partition_record_decode(reader, version, &in), "partition"))
        return false;
    struct partition_metadata metadata = {
        .leader = in.leader,
        .leader_epoch = in.leader_epoch,
        .partition_epoch = in.partition_epoch,
        .replica_count = in.replicas_count,
        .isr_count = in.isr_count,
        .directory = in.directories_count > 0 ? in.directories[0] : UUID_ZERO,
        .replicas = in.replicas,
        .isr = in.isr,
    };
    return applied(replay,
                   image_change_set_partition(replay->change, in.topic_id, in.partition_id, &metadata));
}

static bool replay_partition_change(struct metadata_replay *replay, struct reader *reader, int16_t version)
{
    struct partition_change_record in;
    if (!decoded(replay, reader, partition_change_record_decode(reader, version, &in), "partition change"))
        return false;
    const struct partition_metadata *before =
        image_change_partition(replay->change, in.topic_id, in.partition_id);
    if (!before)
        return fail(replay, "a partition change record names no partition");
    struct partition_metadata after = *before;
    after.partition_epoch++;
    if (in.leader != LEADER_UNCHANGED) {
        after.leader = in.leader;
        after.leader_epoch++; /* also when the leader stays the same */
    }
    if (in.isr) {
        after.isr = in.isr;
        after.isr_count = in.isr_count;
    }
    if (in.replicas) {
        after.replicas = in.replicas;
        after.replica_count = in.replicas_count;
    }
    if (in.directories)
        after.directory = in.directories_count > 0 ? in.directories[0] : UUID_ZERO;
    return applied(replay, image_change_set_partition(replay->change, in.topic_id, in.partition_id, &after));
}

/* What has no meaning here. */
static bool keep(struct metadata_replay *replay, enum metadata_record_type type, slice value)
{
    replay->ignored_count[type]++;
    return !replay->kept || metadata_kept_add(replay->kept, value) || fail_memory(replay);
}

static bool replay_config(struct metadata_replay *replay, struct reader *reader, int16_t version, slice value)
{
    struct config_record in;
    if (!decoded(replay, reader, config_record_decode(reader, version, &in), "config"))
        return false;
    switch ((enum config_resource_type)in.resource_type) {
    case CONFIG_RESOURCE_TOPIC:
        return applied(replay, image_change_set_config(replay->change, in.resource_name, in.name, in.value));
    case CONFIG_RESOURCE_CLIENT_METRICS:
    case CONFIG_RESOURCE_GROUP:
        return applied(replay, image_change_set_resource_config(replay->change,
                                                                (enum config_resource_type)in.resource_type,
                                                                in.resource_name, in.name, in.value));
    case CONFIG_RESOURCE_BROKER:
    case CONFIG_RESOURCE_BROKER_LOGGER:
        break;
    }
    /* A broker's settings are read at its start; what a newer Kafka may have is unknown. */
    return keep(replay, METADATA_RECORD_CONFIG, value);
}

static bool replay_feature(struct metadata_replay *replay, struct reader *reader, int16_t version)
{
    struct feature_level_record in;
    if (!decoded(replay, reader, feature_level_record_decode(reader, version, &in), "feature level"))
        return false;
    if (slice_equal_string(in.name, "metadata.version") &&
        (in.feature_level < METADATA_VERSION_MIN || in.feature_level > METADATA_VERSION_MAX))
        return fail(replay,
                    "the directory has metadata.version %d; this program understands %d to %d: use a Kafka "
                    "that knows it",
                    in.feature_level, METADATA_VERSION_MIN, METADATA_VERSION_MAX);
    return applied(replay, image_change_set_feature(replay->change, in.name, in.feature_level));
}

/* Whose block it was tells nothing: of one node all are ours. */
static bool replay_producer_ids(struct metadata_replay *replay, struct reader *reader, int16_t version)
{
    struct producer_ids_record in;
    return decoded(replay, reader, producer_ids_record_decode(reader, version, &in), "producer ids") &&
           applied(replay, image_change_set_next_producer_id(replay->change, in.next_producer_id));
}

static bool replay_register_broker(struct metadata_replay *replay, struct reader *reader)
{
    /* The id is the first field of every version; the rest has no meaning for a single broker. */
    int32_t broker_id;
    if (!reader_int32(reader, &broker_id))
        return fail(replay, "a register broker record is cut");
    if (broker_id != replay->node_id)
        return fail(replay,
                    "the directory belongs to a cluster with another broker, node.id %d (ours is %d): this "
                    "program serves directories of one node",
                    broker_id, replay->node_id);
    return true;
}

static bool replay_migration(struct metadata_replay *replay, struct reader *reader, slice value)
{
    int8_t state;
    if (!reader_int8(reader, &state))
        return fail(replay, "a ZooKeeper migration record is cut");
    replay->is_migrating = state == ZK_PRE_MIGRATION || state == ZK_MIGRATION;
    return keep(replay, METADATA_RECORD_ZK_MIGRATION_STATE, value);
}

static bool replay_register_controller(struct metadata_replay *replay, struct reader *reader)
{
    int32_t controller_id;
    if (!reader_int32(reader, &controller_id))
        return fail(replay, "a register controller record is cut");
    if (controller_id != replay->node_id)
        return fail(
            replay,
            "the directory belongs to a cluster with another controller, node.id %d (ours is %d): this "
            "program serves directories of one node",
            controller_id, replay->node_id);
    return true;
}

static bool replay_begin(struct metadata_replay *replay, int64_t offset)
{
    if (replay->in_transaction)
        return fail(replay, "a metadata transaction begins inside another one");
    replay->in_transaction = true;
    replay->held_offset = offset;
    return true;
}

static bool apply(struct metadata_replay *replay, slice value);

static bool replay_end(struct metadata_replay *replay, bool commit)
{
    if (!replay->in_transaction)
        return fail(replay, "a metadata transaction ends that did not begin");
    replay->in_transaction = false;
    bool ok = true;
    for (size_t i = 0; commit && ok && i < replay->held_count; i++)
        ok = apply(replay, replay->held[i]);
    replay->held = NULL;
    replay->held_count = replay->held_capacity = 0;
    arena_reset(&replay->held_arena);
    return ok;
}

static bool hold(struct metadata_replay *replay, slice value)
{
    if (replay->held_count == replay->held_capacity) {
        size_t capacity = replay->held_capacity ? 2 * replay->held_capacity : 64;
        slice *held = arena_alloc_array(&replay->held_arena, capacity, sizeof *held);
        if (!held)
            return fail_memory(replay);
        if (replay->held_count)
            memcpy(held, replay->held, replay->held_count * sizeof *held);
        replay->held = held;
        replay->held_capacity = capacity;
    }
    bool ok = true;
    replay->held[replay->held_count++] = arena_copy(&replay->held_arena, value, &ok);
    return ok || fail_memory(replay);
}

static bool open_frame(struct metadata_replay *replay, slice value, struct reader *reader, uint32_t *type,
                       int16_t *version)
{
    uint32_t wide_version;
    reader_init(reader, value, &replay->arena);
    if (!metadata_record_frame_decode(reader, type, &wide_version) || wide_version > INT16_MAX)
        return fail(replay, "a record has an unknown frame");
    *version = (int16_t)wide_version;
    return true;
}

/* A record outside of transactions, or from one that was committed. Types that no API uses yet are
 * counted and passed over; a type that Kafka 4.2 does not have may mean anything, so it is refused. */
static bool apply(struct metadata_replay *replay, slice value)
{
    struct reader reader;
    uint32_t type = 0;
    int16_t version = 0;
    if (!open_frame(replay, value, &reader, &type, &version))
        return false;
    switch ((enum metadata_record_type)type) {
    case METADATA_RECORD_TOPIC:
        return replay_topic(replay, &reader, version);
    case METADATA_RECORD_REMOVE_TOPIC:
        return replay_remove_topic(replay, &reader, version);
    case METADATA_RECORD_PARTITION:
        return replay_partition(replay, &reader, version);
    case METADATA_RECORD_PARTITION_CHANGE:
        return replay_partition_change(replay, &reader, version);
    case METADATA_RECORD_CONFIG:
        return replay_config(replay, &reader, version, value);
    case METADATA_RECORD_FEATURE_LEVEL:
        return replay_feature(replay, &reader, version);
    case METADATA_RECORD_PRODUCER_IDS:
        return replay_producer_ids(replay, &reader, version);
    case METADATA_RECORD_REGISTER_BROKER:
        return replay_register_broker(replay, &reader);
    case METADATA_RECORD_REGISTER_CONTROLLER:
        return replay_register_controller(replay, &reader);
    case METADATA_RECORD_ZK_MIGRATION_STATE:
        return replay_migration(replay, &reader, value);
    case METADATA_RECORD_BEGIN_TRANSACTION:
    case METADATA_RECORD_END_TRANSACTION:
    case METADATA_RECORD_ABORT_TRANSACTION:
        return fail(replay, "a metadata transaction lies inside another one");
    case METADATA_RECORD_UNREGISTER_BROKER:
    case METADATA_RECORD_FENCE_BROKER:
    case METADATA_RECORD_UNFENCE_BROKER:
    case METADATA_RECORD_BROKER_REGISTRATION_CHANGE:
    case METADATA_RECORD_UNREGISTER_CONTROLLER:
    case METADATA_RECORD_NO_OP:
    case METADATA_RECORD_CLEAR_ELR:
        return true; /* of one node, this one, they tell nothing */
    case METADATA_RECORD_DELEGATION_TOKEN:
    case METADATA_RECORD_REMOVE_DELEGATION_TOKEN:
    case METADATA_RECORD_USER_SCRAM_CREDENTIAL:
    case METADATA_RECORD_REMOVE_USER_SCRAM_CREDENTIAL:
    case METADATA_RECORD_CLIENT_QUOTA:
    case METADATA_RECORD_ACCESS_CONTROL_ENTRY:
    case METADATA_RECORD_REMOVE_ACCESS_CONTROL_ENTRY:
        return keep(replay, (enum metadata_record_type)type, value);
    }
    return fail(replay, "a record of the unknown type %u, written by a newer Kafka", type);
}

static bool replay_in_order(struct metadata_replay *replay, slice value, int64_t offset)
{
    struct reader reader;
    uint32_t type = 0;
    int16_t version = 0;
    if (!open_frame(replay, value, &reader, &type, &version))
        return false;
    if (type == METADATA_RECORD_BEGIN_TRANSACTION)
        return replay_begin(replay, offset);
    if (type == METADATA_RECORD_END_TRANSACTION || type == METADATA_RECORD_ABORT_TRANSACTION)
        return replay_end(replay, type == METADATA_RECORD_END_TRANSACTION);
    return replay->in_transaction ? hold(replay, value) : apply(replay, value);
}

static bool with_offset(struct metadata_replay *replay, bool ok, int64_t offset)
{
    arena_reset(&replay->arena);
    if (!ok) {
        size_t size = strlen(replay->error);
        snprintf(replay->error + size, sizeof replay->error - size, " (offset %lld of __cluster_metadata-0)",
                 (long long)offset);
    }
    return ok;
}

bool metadata_replay_record(struct metadata_replay *replay, slice value, int64_t offset)
{
    return with_offset(replay, replay_in_order(replay, value, offset), offset);
}

static bool replay_voters(struct metadata_replay *replay, slice value)
{
    struct reader reader;
    struct voters_record in;
    reader_init(&reader, value, &replay->arena);
    if (!decoded(replay, &reader, voters_record_decode(&reader, 0, &in), "voters"))
        return false;
    for (int32_t i = 0; i < in.voters_count; i++)
        if (in.voters[i].voter_id != replay->node_id)
            return fail(replay,
                        "the directory belongs to a cluster with another controller, node.id %d (ours is "
                        "%d): this program serves directories of one node",
                        in.voters[i].voter_id, replay->node_id);
    return true;
}

bool metadata_replay_control(struct metadata_replay *replay, int type, slice value, int64_t offset)
{
    bool ok = type != CONTROL_RECORD_VOTERS || replay_voters(replay, value);
    if (ok && replay->kept && !metadata_kept_control(replay->kept, type, value))
        ok = fail_memory(replay);
    return with_offset(replay, ok, offset);
}

bool metadata_replay_visit(void *context, const struct metadata_record *record)
{
    struct metadata_replay *replay = context;
    return record->control_type < 0
               ? metadata_replay_record(replay, record->value, record->offset)
               : metadata_replay_control(replay, record->control_type, record->value, record->offset);
}

void metadata_replay_note(const struct metadata_replay *replay)
{
    static const struct {
        enum metadata_record_type type;
        const char *what;
    } kinds[] = {
        { METADATA_RECORD_CONFIG, "broker_configs" },
        { METADATA_RECORD_DELEGATION_TOKEN, "delegation_tokens" },
        { METADATA_RECORD_USER_SCRAM_CREDENTIAL, "scram_credentials" },
        { METADATA_RECORD_CLIENT_QUOTA, "client_quotas" },
        { METADATA_RECORD_ACCESS_CONTROL_ENTRY, "acls" },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (replay->ignored_count[kinds[i].type])
            note_warn("metadata.ignored", "kind=%s count=%u reason=not_served_yet", kinds[i].what,
                      replay->ignored_count[kinds[i].type]);
}
