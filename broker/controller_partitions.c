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
        partition->log = store_log_in(controller->host.store, topic->partitions[index].directory, topic->id,
                                      topic->name, index, config, partition);
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

static void settings_of(const struct topic *topic, const struct topic_config *config, struct log_config *out)
{
    topic_config_log(config, out);
    if (topic->is_internal)
        out->rank = RANK_COMMITS;
}

static void open_topic(void *context, const struct topic *before, struct topic *after)
{
    struct controller *controller = context;
    (void)before;
    if (!after)
        return;
    struct log_config config;
    settings_of(after, &after->config, &config);
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

bool controller__make_durable(const struct topic *topic, const struct topic_config *config)
{
    struct log_config log_config;
    settings_of(topic, config, &log_config);
    for (int32_t i = 0; i < topic->partition_count; i++) {
        const struct partition *partition = topic->partitions[i].partition;
        if (!partition)
            continue;
        log_set_config(partition->log, &log_config);
        struct log_offsets offsets = log_offsets(partition->log);
        if (offsets.durable >= offsets.end)
            continue;
        enum log_status status = log_flush(partition->log);
        if (status != LOG_OK && status != LOG_CLOSED)
            return false;
    }
    return true;
}

/* Partitions on their way out. */
struct removal {
    struct controller *controller;
    struct log *logs[256]; /* of them, not yet deleted */
    size_t log_count;
    struct partition *first;
    struct partition **last;
};

static void delete_logs(struct removal *removal)
{
    enum log_status status =
        store_delete_logs(removal->controller->host.store, removal->logs, removal->log_count);
    removal->controller->has_leftovers |= status != LOG_OK;
    if (status != LOG_OK)
        note_warn("partition.delete_failed", "status=%d next=\"the next start removes what is left\"",
                  status);
    removal->log_count = 0;
}

static void remove_partition(struct removal *removal, struct partition *partition)
{
    *removal->last = partition;
    removal->last = &partition->next_deleted;
    removal->logs[removal->log_count++] = partition->log;
    if (removal->log_count == sizeof removal->logs / sizeof *removal->logs)
        delete_logs(removal);
}

static void retire_topic(void *context, const struct topic *before, struct topic *after)
{
    struct removal *removal = context;
    if (!before)
        return;
    for (int32_t i = 0; !after && i < before->partition_count; i++)
        if (before->partitions[i].partition)
            remove_partition(removal, before->partitions[i].partition);
    retire(removal->controller->host.env->retire, (void *)before, image__topic_free);
}

static void retire_resource(void *context, struct resource_config *before)
{
    const struct controller *controller = context;
    retire(controller->host.env->retire, before, image__resource_free);
}

void controller__retire_replaced(struct controller *controller, struct image_change *change)
{
    struct removal removal = { .controller = controller, .last = &removal.first };
    image_change_visit_resources(change, retire_resource, controller);
    image_change_visit(change, retire_topic, &removal);
    if (!removal.first)
        return;
    delete_logs(&removal);
    /* Not before: whoever sees it looks at the log once more, and never again (purgatory.h). */
    for (struct partition *it = removal.first; it; it = it->next_deleted)
        atomic_store_explicit(&it->is_deleted, true, memory_order_release);
    if (controller->host.partitions_deleted) {
        controller->host.partitions_deleted(controller->host.context, removal.first);
        return;
    }
    for (struct partition *it = removal.first, *next; it; it = next) {
        next = it->next_deleted;
        partition_release(it);
    }
}

void controller__free_partitions(struct image *image)
{
    for (size_t t = 0; t < image->topic_count; t++)
        for (int32_t i = 0; i < image->topics[t]->partition_count; i++)
            if (image->topics[t]->partitions[i].partition)
                partition_destroy(image->topics[t]->partitions[i].partition);
}
