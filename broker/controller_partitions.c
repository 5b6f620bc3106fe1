/* Partitions at run time: made when an image first has them, retired when none has them any more. */
#include "broker/controller_internal.h"
#include "broker/image_internal.h"
#include "broker/partition.h"
#include "protocol/base/note.h"

static bool is_replica(const struct partition_metadata *metadata, int32_t node_id)
{
    for (int32_t i = 0; i < metadata->replica_count; i++)
        if (metadata->replicas[i] == node_id)
            return true;
    return false;
}

static void open_partition(struct controller *controller, const struct topic *topic, int32_t index,
                           const struct log_config *config)
{
    struct partition *partition = partition_create(controller->host.env->retire, topic->id, index);
    if (partition) {
        partition->log = store_log(controller->host.store, topic->id, topic->name, index, config, partition);
    }
    if (!partition || !partition->log) {
        note_error("partition.not_opened", "topic=%s partition=%d reason=out_of_memory next=restart",
                   topic->name, index);
        if (partition)
            partition_destroy(partition);
        return;
    }
    topic->partitions[index].partition = partition;
}

static void open_topic(void *context, const struct topic *before, struct topic *after)
{
    struct controller *controller = context;
    (void)before;
    if (!after)
        return;
    struct log_config config;
    topic_config_log(&after->config, &config);
    for (int32_t i = 0; i < after->partition_count; i++) {
        struct partition_metadata *metadata = &after->partitions[i];
        if (metadata->partition)
            log_set_config(metadata->partition->log, &config);
        else if (is_replica(metadata, controller->host.config->node_id))
            open_partition(controller, after, i, &config);
    }
}

void controller__open_partitions(struct controller *controller, struct image_change *change)
{
    image_change_visit(change, open_topic, controller);
}

static void retire_topic(void *context, const struct topic *before, struct topic *after)
{
    struct controller *controller = context;
    if (!before)
        return;
    for (int32_t i = 0; !after && i < before->partition_count; i++) {
        struct partition *partition = before->partitions[i].partition;
        if (!partition)
            continue;
        atomic_store(&partition->is_deleted, true);
        store_delete_log(controller->host.store, partition->log);
        partition_release(partition);
    }
    retire(controller->host.env->retire, (void *)before, image__topic_free);
}

void controller__retire_replaced(struct controller *controller, struct image_change *change)
{
    image_change_visit(change, retire_topic, controller);
}

void controller__free_partitions(struct image *image)
{
    for (size_t t = 0; t < image->topic_count; t++)
        for (int32_t i = 0; i < image->topics[t]->partition_count; i++)
            if (image->topics[t]->partitions[i].partition)
                partition_destroy(image->topics[t]->partitions[i].partition);
}
