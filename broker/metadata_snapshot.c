/* Writes an image as records. */
#include "broker/metadata_snapshot.h"

#include "broker/metadata_replay.h"

enum {
    BATCH_RECORDS = 1024, /* as Kafka's RecordsSnapshotWriter is told */
    BROKER_EPOCH_NONE = -1,
};

void metadata_snapshot_begin(struct metadata_batches *batches, int64_t last_ms)
{
    struct snapshot_header_record header;
    snapshot_header_record_init(&header);
    header.last_contained_log_timestamp = last_ms;
    metadata_batches_add_control(batches, CONTROL_RECORD_SNAPSHOT_HEADER, &header);
}

void metadata_snapshot_end(struct metadata_batches *batches)
{
    struct snapshot_footer_record footer;
    snapshot_footer_record_init(&footer);
    metadata_batches_cut(batches);
    metadata_batches_add_control(batches, CONTROL_RECORD_SNAPSHOT_FOOTER, &footer);
}

static void add(struct metadata_batches *batches, slice record)
{
    if (batches->open_count >= BATCH_RECORDS)
        metadata_batches_cut(batches);
    metadata_batches_add(batches, record);
}

static void add_feature(struct metadata_batches *batches, const struct feature_level *level)
{
    struct feature_level_record record;
    feature_level_record_init(&record);
    record.name = slice_of_string(level->name);
    record.feature_level = level->level;
    add(batches, metadata_record_encode(batches->arena, METADATA_RECORD_FEATURE_LEVEL, 0, &record));
}

/* The version first: it says how the rest is to be read. */
static void add_features(struct metadata_batches *batches, const struct image *image)
{
    for (int others = 0; others < 2; others++)
        for (size_t i = 0; i < image->feature_count; i++)
            if ((strcmp(image->features[i].name, "metadata.version") != 0) == others)
                add_feature(batches, &image->features[i]);
}

static void add_partition(struct metadata_batches *batches, const struct topic *topic, int32_t index,
                          int16_t version)
{
    const struct partition_metadata *partition = &topic->partitions[index];
    uuid directory = partition->directory;
    struct partition_record record;
    partition_record_init(&record);
    record.partition_id = index;
    record.topic_id = topic->id;
    record.replicas = (int32_t *)partition->replicas; /* only read from here on, all three */
    record.replicas_count = partition->replica_count;
    record.isr = (int32_t *)partition->isr;
    record.isr_count = partition->isr_count;
    record.leader = partition->leader;
    record.leader_epoch = partition->leader_epoch;
    record.partition_epoch = partition->partition_epoch;
    if (version >= 1) {
        record.directories = &directory;
        record.directories_count = 1; /* every image has one replica of a partition: ours */
    }
    add(batches, metadata_record_encode(batches->arena, METADATA_RECORD_PARTITION, version, &record));
}

static void add_topics(struct metadata_batches *batches, const struct image *image)
{
    int16_t version = metadata_partition_version(image_feature(image, "metadata.version"));
    for (size_t t = 0; t < image->topic_count; t++) {
        const struct topic *topic = image->topics[t];
        struct topic_record record = { topic->name_slice, topic->id };
        add(batches, metadata_record_encode(batches->arena, METADATA_RECORD_TOPIC, 0, &record));
        for (int32_t i = 0; i < topic->partition_count; i++)
            add_partition(batches, topic, i, version);
    }
}

static void add_configs(struct metadata_batches *batches, enum config_resource_type type, slice resource,
                        const struct topic_config_override *overrides, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct config_record record;
        config_record_init(&record);
        record.resource_type = (int8_t)type;
        record.resource_name = resource;
        record.name = overrides[i].name;
        record.value = overrides[i].value;
        add(batches, metadata_record_encode(batches->arena, METADATA_RECORD_CONFIG, 0, &record));
    }
}

static void add_all_configs(struct metadata_batches *batches, const struct image *image)
{
    for (size_t i = 0; i < image->topic_count; i++) {
        const struct topic *topic = image->topics[i];
        add_configs(batches, CONFIG_RESOURCE_TOPIC, topic->name_slice, topic->overrides,
                    topic->override_count);
    }
    for (size_t i = 0; i < image->resource_count; i++) {
        const struct resource_config *resource = image->resources[i];
        add_configs(batches, resource->type, resource->name, resource->overrides, resource->override_count);
    }
}

static void add_producer_ids(struct metadata_batches *batches, const struct image *image)
{
    struct producer_ids_record record;
    producer_ids_record_init(&record);
    record.broker_id = image->nodes[0].id;
    record.broker_epoch = BROKER_EPOCH_NONE;
    record.next_producer_id = image->next_producer_id;
    add(batches, metadata_record_encode(batches->arena, METADATA_RECORD_PRODUCER_IDS, 0, &record));
}

slice metadata_snapshot_encode(const struct image *image, const struct metadata_kept *kept,
                               struct arena *arena, int64_t now_ms)
{
    struct metadata_batches batches;
    metadata_batches_init(&batches, arena, 0, image->epoch, now_ms);
    metadata_snapshot_begin(&batches, now_ms);
    if (!slice_is_null(kept->kraft_version))
        metadata_batches_add_control_value(&batches, CONTROL_RECORD_KRAFT_VERSION, kept->kraft_version);
    if (!slice_is_null(kept->voters))
        metadata_batches_add_control_value(&batches, CONTROL_RECORD_VOTERS, kept->voters);
    metadata_batches_cut(&batches);

    add_features(&batches, image);
    add_topics(&batches, image);
    add_all_configs(&batches, image);
    if (image->next_producer_id >= 0)
        add_producer_ids(&batches, image);
    for (size_t i = 0; i < kept->count; i++)
        add(&batches, kept->records[i]);
    metadata_snapshot_end(&batches);
    return metadata_batches_bytes(&batches);
}

static bool see_header(void *context, const struct metadata_record *record)
{
    struct reader reader;
    struct arena arena;
    struct snapshot_header_record header;
    if (record->control_type != CONTROL_RECORD_SNAPSHOT_HEADER)
        return false;
    arena_init(&arena, NULL);
    reader_init(&reader, record->value, &arena);
    if (snapshot_header_record_decode(&reader, 0, &header))
        *(int64_t *)context = header.last_contained_log_timestamp;
    arena_destroy(&arena);
    return false; /* the first record alone */
}

int64_t metadata_snapshot_timestamp(slice bytes)
{
    int64_t timestamp_ms = -1;
    (void)metadata_batches_read(bytes, 0, see_header, &timestamp_ms);
    return timestamp_ms;
}
