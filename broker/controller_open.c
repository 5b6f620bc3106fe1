/* Brings the metadata log to memory at start, and takes it down at the end. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/controller_internal.h"
#include "broker/image_internal.h"
#include "broker/metadata_files.h"
#include "protocol/base/check.h"
#include "protocol/base/last_sentence.h"
#include "protocol/base/note.h"

/* Reading the directory: state of one controller_open(). */
struct opening {
    struct controller *controller;
    struct image *empty;
    struct image_change *change;
    struct metadata_replay replay;
    struct metadata_snapshot snapshot;
    int64_t last_epoch; /* of the records read */
    bool is_judging;    /* nothing may be written */
    size_t mended_count;
    char error[512];
};

__attribute__((format(printf, 3, 4))) static enum store_status
fail_with(struct opening *opening, enum store_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(opening->error, sizeof opening->error, format, arguments);
    va_end(arguments);
    return status;
}

static enum store_status fail(struct opening *opening, enum store_status status, const char *what,
                              const char *why)
{
    return fail_with(opening, status, "%s: %s: %s", opening->controller->log_directory, what, why);
}

static enum store_status store_status_of_file(enum file_status status)
{
    switch (status) {
    case FILE_OK:
        return STORE_OK;
    case FILE_FULL:
        return STORE_FULL;
    case FILE_LIMIT:
        return STORE_LIMIT;
    case FILE_DENIED:
        return STORE_DENIED;
    case FILE_LOCKED:
        return STORE_LOCKED;
    case FILE_NOT_FOUND:
    case FILE_EXISTS:
        return STORE_DAMAGED;
    case FILE_IO:
        return STORE_IO;
    }
    check_unreachable("file_status");
}

static enum store_status store_status_of_read(struct opening *opening, enum metadata_read_status status,
                                              const char *what)
{
    const struct metadata_replay *replay = &opening->replay;
    switch (status) {
    case METADATA_READ_OK:
        return STORE_OK;
    case METADATA_READ_STOPPED:
        return fail(opening, replay->is_out_of_memory ? STORE_LIMIT : STORE_FOREIGN, what, replay->error);
    case METADATA_READ_DAMAGED:
        return fail(opening, STORE_DAMAGED, what, "a batch is damaged; restore the file from a copy");
    case METADATA_READ_FAILED:
        return fail(opening, STORE_IO, what, "reading failed");
    }
    check_unreachable("metadata_read_status");
}

static bool replay_record(void *context, const struct metadata_record *record)
{
    struct opening *opening = context;
    if (record->epoch > opening->last_epoch)
        opening->last_epoch = record->epoch;
    opening->controller->tail_bytes += record->value.size;
    return metadata_replay_visit(&opening->replay, record);
}

/* The offsets inside a snapshot are running numbers, its epoch is in its name. */
static enum store_status replay_snapshot(struct opening *opening)
{
    const struct metadata_place *place = &opening->controller->place;
    enum file_status status = metadata_snapshot_load(place->files, place->log_directory, &opening->snapshot);
    if (status != FILE_OK)
        return fail(opening, store_status_of_file(status), "listing snapshots", file_status_name(status));
    if (opening->snapshot.end_offset < 0)
        return STORE_OK;
    opening->last_epoch = opening->snapshot.epoch;
    return store_status_of_read(
        opening, metadata_batches_read(opening->snapshot.bytes, 0, metadata_replay_visit, &opening->replay),
        "snapshot");
}

static enum store_status fail_damaged(struct opening *opening, const struct metadata_damage *damage)
{
    return fail_with(
        opening, STORE_DAMAGED,
        "%s/%020lld.log: the batch at position %u (offset %lld) is damaged, and no snapshot "
        "(*.checkpoint) that is whole covers it: without it topics and settings would be missing; "
        "restore this file, or a newer snapshot, from a copy",
        opening->controller->log_directory, (long long)damage->segment_base, damage->position,
        (long long)damage->offset);
}

static enum store_status replay_log(struct opening *opening)
{
    struct log_offsets offsets = log_offsets(opening->controller->log);
    int64_t from = opening->snapshot.end_offset < 0 ? 0 : opening->snapshot.end_offset;
    if (from < offsets.start)
        return fail(opening, STORE_DAMAGED, "metadata log",
                    "it begins behind the newest snapshot (*.checkpoint) that is whole; restore a newer one "
                    "from a copy");
    if (from > offsets.end)
        return fail(opening, STORE_DAMAGED, "metadata log",
                    "a snapshot is ahead of the log; start Apache Kafka once, which makes the log follow it");
    struct metadata_damage damage = { 0 };
    enum metadata_read_status read = metadata_log_read(opening->controller->log, from, replay_record, opening,
                                                       opening->is_judging ? NULL : &damage);
    opening->mended_count = damage.mended_count;
    if (read == METADATA_READ_DAMAGED)
        return fail_damaged(opening, &damage);
    enum store_status status = store_status_of_read(opening, read, "metadata log");
    if (status == STORE_OK && opening->replay.in_transaction) {
        note_warn("metadata.transaction_open", "offset=%lld next=aborted with the next change",
                  (long long)opening->replay.held_offset);
        opening->controller->has_open_transaction = true;
    }
    return status;
}

/* A log that says no metadata.version is one that never began. */
static enum store_status replay_bootstrap(struct opening *opening)
{
    struct controller *controller = opening->controller;
    if (log_offsets(controller->log).end == 0) {
        enum file_status status = metadata_bootstrap_write(&controller->place);
        if (status != FILE_OK)
            return fail(opening, store_status_of_file(status), "writing the bootstrap files",
                        file_status_name(status));
        metadata_snapshot_free(&opening->snapshot);
        enum store_status read = replay_snapshot(opening); /* who votes */
        if (read != STORE_OK)
            return read;
    }
    if (image_change_feature(opening->change, "metadata.version"))
        return STORE_OK;

    controller->needs_bootstrap = true;
    struct metadata_replay replay;
    struct arena arena;
    size_t count;
    arena_init(&arena, NULL);
    metadata_replay_init(&replay, opening->change, controller->host.config->node_id);
    slice *records = metadata_bootstrap_records(&controller->place, &arena, &count);
    bool ok = count > 0;
    for (size_t i = 0; ok && i < count; i++)
        ok = metadata_replay_record(&replay, records[i], 0);
    enum store_status status = STORE_OK;
    if (!ok)
        status = fail(opening, count ? STORE_FOREIGN : STORE_LIMIT, "bootstrap.checkpoint", replay.error);
    metadata_replay_destroy(&replay);
    arena_destroy(&arena);
    return status;
}

/* We serve one node: what is replicated elsewhere would be served stale. */
static enum store_status check_replicas(struct opening *opening, const struct topic *topic, int32_t index)
{
    const struct partition_metadata *partition = &topic->partitions[index];
    int32_t node_id = opening->controller->host.config->node_id;
    if (partition->replica_count == 1 && partition->replicas[0] == node_id)
        return STORE_OK;
    return fail_with(opening, STORE_FOREIGN,
                     "%s: the directory belongs to a replicated cluster: %s-%d has replicas on other nodes "
                     "(ours is node.id %d)",
                     opening->controller->place.directory, topic->name, index, node_id);
}

/* Kafka keeps the first hundred ids for what is no directory: unassigned, lost, migrating. */
static bool is_reserved(uuid id)
{
    enum { RESERVED_COUNT = 100 };
    uuid low = id;
    low.bytes[sizeof low.bytes - 1] = 0;
    return uuid_is_zero(low) && id.bytes[sizeof id.bytes - 1] < RESERVED_COUNT;
}

/* A partition whose log directory is not there would begin anew, empty, and its offsets be given out again.
 */
static enum store_status check_directory(struct opening *opening, const struct topic *topic, int32_t index)
{
    const struct store *store = opening->controller->host.store;
    uuid id = topic->partitions[index].directory;
    char text[UUID_TEXT_SIZE + 1];
    if (is_reserved(id))
        return STORE_OK;
    for (size_t i = 0; i < store_directory_count(store); i++) {
        if (uuid_equal(store_directory_id(store, i), id))
            return STORE_OK;
    }
    uuid_to_text(id, text);
    return fail_with(
        opening, STORE_FOREIGN,
        "%s: the partition %s-%d lies in the log directory with directory.id %s, which is not among "
        "log.dirs; mount it, or add it to log.dirs (or restore meta.properties, when its directory.id is "
        "wrong)",
        opening->controller->place.directory, topic->name, index, text);
}

/* Known before anything is changed; the start itself finds the same or less. */
static enum store_status check_lost(struct opening *opening, const struct topic *topic, int32_t index)
{
    const char *directory = opening->controller->place.directory;
    int64_t end_offset;
    const char *why = store_lost(opening->controller->host.store, topic->id, topic->name, index, &end_offset);
    if (!why)
        return STORE_OK;
    return fail_with(opening, STORE_FOREIGN,
                     "%s: the partition %s-%d had records up to offset %lld, but %s; put its directory back, "
                     "or give these records up: an empty directory %s-%d goes on behind them",
                     directory, topic->name, index, (long long)end_offset, why, topic->name, index);
}

static enum store_status check_image(struct opening *opening, const struct image *image)
{
    const char *directory = opening->controller->place.directory;
    if (opening->replay.is_migrating)
        return fail_with(opening, STORE_FOREIGN,
                         "%s: a migration from ZooKeeper is under way; finish it with Kafka first",
                         directory);
    for (size_t t = 0; t < image->topic_count; t++) {
        const struct topic *topic = image->topics[t];
        if (topic->config.remote_storage_enable)
            return fail_with(
                opening, STORE_FOREIGN,
                "%s: the topic %s has tiered storage (remote.storage.enable), which this program does "
                "not have: what is not on this disk would be missing",
                directory, topic->name);
        for (int32_t i = 0; i < topic->partition_count; i++) {
            enum store_status status = check_replicas(opening, topic, i);
            if (status == STORE_OK)
                status = check_directory(opening, topic, i);
            if (status == STORE_OK)
                status = check_lost(opening, topic, i);
            if (status != STORE_OK)
                return status;
        }
    }
    return STORE_OK;
}

static void tell_removed(void *store, uuid id, slice name, int32_t partition_count)
{
    store_topic_removed(store, id, name, partition_count);
}

static enum store_status build_image(struct opening *opening)
{
    struct controller *controller = opening->controller;
    struct image *image;
    enum change_status built =
        image_change_build(opening->change, log_offsets(controller->log).end, controller->epoch, &image);
    if (built != CHANGE_OK)
        return built == CHANGE_NO_MEMORY
                   ? fail(opening, STORE_LIMIT, "metadata", "out of memory")
                   : fail(opening, STORE_DAMAGED, "metadata", image_change_error(opening->change));
    enum store_status status = check_image(opening, image);
    if (status == STORE_OK) {
        image_change_visit_removed(opening->change, tell_removed, controller->host.store);
        controller__open_partitions(controller, opening->change);
        atomic_store(&controller->image, image);
    }
    return status;
}

static enum store_status load(struct opening *opening)
{
    struct controller *controller = opening->controller;
    enum store_status status = replay_snapshot(opening);
    if (status == STORE_OK)
        status = replay_log(opening);
    if (status == STORE_OK)
        status = replay_bootstrap(opening);
    if (status != STORE_OK)
        return status;
    metadata_replay_note(&opening->replay);
    int32_t quorum_epoch = metadata_quorum_epoch(controller->place.files, controller->place.log_directory);
    controller->epoch = opening->last_epoch > quorum_epoch ? (int32_t)opening->last_epoch : quorum_epoch;
    controller->is_log_epoch = controller->epoch == opening->last_epoch;
    atomic_store(&controller->covered, opening->snapshot.end_offset);
    controller->is_lonely = opening->snapshot.end_offset < log_offsets(controller->log).end &&
                            (opening->mended_count > 0 || !store_was_clean(controller->host.store));
    return build_image(opening);
}

static struct log_config metadata_log_config(const struct config *config)
{
    enum { INDEX_INTERVAL_BYTES = 4096, INDEX_BYTES = 10 << 20 };
    return (struct log_config){
        .segment_bytes = config->metadata_log_segment_bytes,
        .segment_ms = config->metadata_log_segment_ms,
        .index_interval_bytes = INDEX_INTERVAL_BYTES,
        .segment_index_bytes = INDEX_BYTES,
        .flush_messages = 1,
        .flush_ms = INT64_MAX,
        .max_message_bytes = METADATA_BATCH_SIZE_MAX,
        .rank = RANK_REMOVAL,
    };
}

static struct controller *controller_create(const struct controller_host *host)
{
    struct controller *controller = calloc(1, sizeof *controller);
    if (!controller)
        return NULL;
    controller->host = *host;
    controller->last = &controller->first;
    metadata_kept_init(&controller->kept);
    controller->snapshot_ms = clock_mono_ms(host->env->clock);
    pthread_mutex_init(&controller->mutex, NULL);
    pthread_cond_init(&controller->done, NULL);
    snprintf(controller->log_directory, sizeof controller->log_directory, "%s/__cluster_metadata-0",
             store_directory(host->store, 0));
    controller->place = (struct metadata_place){
        .files = host->env->files,
        .directory = store_directory(host->store, 0),
        .log_directory = controller->log_directory,
        .node_id = host->config->node_id,
        .directory_id = store_directory_id(host->store, 0),
        .now_ms = clock_wall_ms(host->env->clock),
    };
    return controller;
}

static bool opening_begin(struct opening *opening)
{
    struct controller *controller = opening->controller;
    const struct config *config = controller->host.config;
    uint64_t key[2] = { random_u64(controller->host.random), random_u64(controller->host.random) };
    opening->empty = image_create_empty(config->node_id, config->broker_rack, key);
    if (!opening->empty)
        return false;
    opening->change = image_change_begin(opening->empty, config);
    if (!opening->change) {
        image_destroy(opening->empty);
        return false;
    }
    metadata_replay_init(&opening->replay, opening->change, config->node_id);
    opening->replay.kept = &controller->kept;
    return true;
}

static void opening_end(struct opening *opening)
{
    metadata_snapshot_free(&opening->snapshot);
    metadata_replay_destroy(&opening->replay);
    if (atomic_load(&opening->controller->image))
        image_change_end(opening->change);
    else
        image_change_abandon(opening->change);
    image__free(opening->empty);
}

enum store_status controller_open(const struct controller_host *host, struct controller **out,
                                  const char **error)
{
    struct opening opening = { .snapshot = { .end_offset = -1 } };
    enum store_status status = STORE_LIMIT;
    *error = "out of memory";
    opening.controller = controller_create(host);
    if (!opening.controller)
        return STORE_LIMIT;

    struct log_config log_config = metadata_log_config(host->config);
    enum log_status opened = store_metadata_log(host->store, &log_config, &opening.controller->log);
    if (opened != LOG_OK) {
        status = opened == LOG_DISK_FULL ? STORE_FULL : opened == LOG_LIMIT ? STORE_LIMIT : STORE_IO;
        fail_with(&opening, status, "%s: opening the metadata log failed (status %d)",
                  opening.controller->log_directory, (int)opened);
    } else if (opening_begin(&opening)) {
        status = load(&opening);
        opening_end(&opening);
        if (status == STORE_OK && !controller__elect_leaders(opening.controller))
            status = fail(&opening, STORE_IO, "metadata log", "electing this node as leader failed");
    }
    if (status == STORE_OK) {
        *out = opening.controller;
        return STORE_OK;
    }
    if (opening.error[0])
        *error = last_sentence(check_memory(strdup(opening.error)));
    controller_close(opening.controller);
    return status;
}

/* What others wrote is judged as far as it can be read; the start itself judges what a repair brings. */
static enum store_status judge(struct opening *opening)
{
    struct image *image;
    enum store_status status = replay_snapshot(opening);
    if (status == STORE_OK)
        status = replay_log(opening);
    if (status != STORE_OK)
        return status == STORE_FOREIGN || status == STORE_LIMIT ? status : STORE_OK;
    enum change_status built =
        image_change_build(opening->change, log_offsets(opening->controller->log).end, 0, &image);
    return built == CHANGE_OK ? check_image(opening, image) : STORE_OK;
}

enum store_status controller_inspect(const struct controller_host *host, const char **error)
{
    struct opening opening = { .snapshot = { .end_offset = -1 }, .is_judging = true };
    enum store_status status = STORE_OK;
    *error = "out of memory";
    opening.controller = controller_create(host);
    if (!opening.controller)
        return STORE_LIMIT;
    struct log_config log_config = metadata_log_config(host->config);
    if (store_inspect_metadata(host->store, &log_config, &opening.controller->log) == LOG_OK) {
        if (opening_begin(&opening)) {
            status = judge(&opening);
            opening_end(&opening);
        } else {
            status = STORE_LIMIT;
        }
        store_end_inspection(host->store, opening.controller->log);
    }
    if (status != STORE_OK && opening.error[0])
        *error = last_sentence(check_memory(strdup(opening.error)));
    controller_close(opening.controller);
    return status;
}

void controller_close(struct controller *controller)
{
    check(controller->first == NULL && !controller->is_leading && !atomic_load(&controller->is_snapshotting));
    struct image *image = atomic_load(&controller->image);
    if (image) {
        controller__free_partitions(image);
        image_destroy(image);
    }
    metadata_kept_destroy(&controller->kept);
    pthread_mutex_destroy(&controller->mutex);
    pthread_cond_destroy(&controller->done);
    free(controller);
}
