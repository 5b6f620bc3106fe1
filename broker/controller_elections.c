/* Leadership at start: partitions that have no leader, and those whose leader epoch must rise. */
#include "broker/controller_internal.h"
#include "broker/partition.h"

typedef bool (*election_needed)(struct controller *controller, const struct partition_metadata *partition);

/* Kafka leaves partitions without leader when it stops. */
static bool has_other_leader(struct controller *controller, const struct partition_metadata *partition)
{
    return partition->leader != controller->host.config->node_id;
}

/* In page-cache mode consumers saw records before they were durable, and what a power cut takes may be gone without
 * a trace: a tail up to the last flush, or a whole directory. So it is believed of all (KIP-320). */
static bool may_have_lost_records(struct controller *controller, const struct partition_metadata *partition)
{
    (void)controller;
    return partition->partition && !log_is_durable_mode(partition->partition->log);
}

/* This node as leader, in sync, and no longer a mere candidate: Kafka takes a replica that is in sync and
 * eligible at once for a contradiction (KIP-966). */
static slice encode_election(struct arena *arena, uuid topic_id, int32_t index, int32_t node_id,
                             bool has_eligible)
{
    struct partition_change_record record;
    partition_change_record_init(&record);
    record.partition_id = index;
    record.topic_id = topic_id;
    record.leader = node_id; /* its presence raises the leader epoch, also when it is the same */
    record.isr = &node_id;
    record.isr_count = 1;
    if (has_eligible)
        record.eligible_leader_replicas_count = record.last_known_elr_count = 0; /* empty, not null */
    return metadata_record_encode(arena, METADATA_RECORD_PARTITION_CHANGE, has_eligible ? 2 : 0, &record);
}

static bool propose_all(struct controller *controller, slice *records, size_t count)
{
    while (count > 0) {
        size_t some = count < METADATA_BATCH_RECORDS_MAX ? count : METADATA_BATCH_RECORDS_MAX;
        int64_t end;
        if (controller_propose(controller, records, some, -1, &end) != PROPOSE_COMMITTED)
            return false;
        records += some;
        count -= some;
    }
    return true;
}

static bool elect(struct controller *controller, election_needed is_needed)
{
    const struct image *image = controller_image(controller);
    bool has_eligible = image_feature(image, "metadata.version") >= METADATA_VERSION_ELIGIBLE_REPLICAS;
    struct arena arena;
    size_t count = 0;
    arena_init(&arena, NULL);
    slice *records = arena_alloc_array(&arena, image->partition_count, sizeof *records);
    for (size_t t = 0; records && t < image->topic_count; t++) {
        const struct topic *topic = image->topics[t];
        for (int32_t i = 0; i < topic->partition_count; i++)
            if (is_needed(controller, &topic->partitions[i]))
                records[count++] =
                    encode_election(&arena, topic->id, i, controller->host.config->node_id, has_eligible);
    }
    bool ok = records && propose_all(controller, records, count);
    arena_destroy(&arena);
    return ok;
}

bool controller__elect_leaders(struct controller *controller)
{
    return elect(controller, has_other_leader);
}

bool controller_raise_epochs(struct controller *controller)
{
    return store_was_clean(controller->host.store) || elect(controller, may_have_lost_records);
}
