/* Snapshots of the metadata (KIP-630): so that a start reads what there is, not all that ever was. */
#include <stdio.h>
#include <stdlib.h>

#include "broker/controller_internal.h"
#include "broker/metadata_files.h"
#include "broker/metadata_snapshot.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum {
    SNAPSHOT_SIZE_MAX = 1 << 30,
    BUSY_ROUNDS_MAX = 16,
    SNAPSHOTS_MIN = 2,
    PATH_SIZE = PATH_MAX + METADATA_SNAPSHOT_NAME_SIZE,
};

/* -- what the snapshot is of -------------------------------------------------------------------- */

/* In turn with the changes, so that the directories of the topics that the image does not have any more have
 * lost their names: without the records that removed them nobody would know whose they were. */
struct pin_command {
    struct command command; /* first */
    const struct image *image;
};

static void decide_pin(struct commit *commit, struct command *command)
{
    struct controller *controller = commit->controller;
    struct pin_command *pin = (struct pin_command *)command;
    if (!controller->owns_epoch || controller->has_leftovers)
        return;
    pin->image = controller_image(controller);
    controller->tail_bytes = 0;
    controller->is_lonely = false;
    controller->snapshot_ms = clock_mono_ms(controller->host.env->clock);
}

static void fail_pin(struct command *command, int16_t error_code)
{
    (void)error_code;
    ((struct pin_command *)command)->image = NULL;
}

static void path_of(const struct controller *controller, const struct metadata_snapshot_file *file,
                    char out[PATH_SIZE])
{
    char name[METADATA_SNAPSHOT_NAME_SIZE];
    metadata_snapshot_name(file->end_offset, file->epoch, name);
    snprintf(out, PATH_SIZE, "%s/%s", controller->log_directory, name);
}

/* -- old ones ----------------------------------------------------------------------------------- */

/* All snapshots, oldest first, and what they weigh. */
struct shelf {
    struct controller *controller;
    struct metadata_snapshot_file *files;
    uint64_t *sizes;
    size_t count;
    size_t oldest; /* that stays */
    int64_t now_ms;
};

static bool is_too_large(const struct shelf *shelf)
{
    int64_t most = shelf->controller->host.config->metadata_max_retention_bytes;
    uint64_t size = log_stats(shelf->controller->log).size;
    for (size_t i = shelf->oldest; i < shelf->count; i++)
        size += shelf->sizes[i];
    return most >= 0 && size > (uint64_t)most;
}

static bool is_too_old(const struct shelf *shelf)
{
    int64_t most_ms = shelf->controller->host.config->metadata_max_retention_ms;
    char path[PATH_SIZE];
    uint8_t *bytes;
    size_t size;
    if (most_ms < 0)
        return false;
    path_of(shelf->controller, &shelf->files[shelf->oldest], path);
    if (file_read_all(shelf->controller->place.files, path, SNAPSHOT_SIZE_MAX, &bytes, &size) != FILE_OK)
        return false;
    int64_t timestamp_ms = metadata_snapshot_timestamp(slice_of(bytes, size));
    free(bytes);
    return timestamp_ms >= 0 && shelf->now_ms - timestamp_ms > most_ms;
}

/* Segments that lie wholly below the offset go. */
static bool cut_log(struct controller *controller, int64_t offset, int64_t now_ms)
{
    int64_t start;
    struct log_retained gone;
    enum log_status status = LOG_BUSY;
    for (int i = 0; i < BUSY_ROUNDS_MAX && status == LOG_BUSY; i++) {
        status = log_delete_records(controller->log, offset, &start);
        if (status == LOG_BUSY && log_prepare(controller->log) != LOG_OK)
            break;
    }
    if (status == LOG_OK)
        status = log_retain(controller->log, now_ms, &gone);
    return status == LOG_OK;
}

/* The log begins where the oldest snapshot that stays ends, or before: each of them can be started from. Two
 * stay (Kafka: one), so that all is there twice: when the newest is damaged, the one before and the log tell
 * the same. */
static void remove_old(struct shelf *shelf)
{
    struct controller *controller = shelf->controller;
    while (shelf->oldest + SNAPSHOTS_MIN < shelf->count && (is_too_large(shelf) || is_too_old(shelf))) {
        if (!cut_log(controller, shelf->files[shelf->oldest + 1].end_offset, shelf->now_ms))
            break;
        shelf->oldest++;
    }
    for (size_t i = 0; i < shelf->oldest; i++) {
        char path[PATH_SIZE];
        path_of(controller, &shelf->files[i], path);
        enum file_status status = file_unlink(controller->place.files, path);
        if (status != FILE_OK && status != FILE_NOT_FOUND)
            note_warn("metadata.unlink_failed", "path=%s status=\"%s\"", path, file_status_name(status));
    }
}

static void tidy(struct controller *controller)
{
    struct shelf shelf = { .controller = controller, .now_ms = clock_wall_ms(controller->host.env->clock) };
    struct file_system *files = controller->place.files;
    if (!metadata_snapshots_list(files, controller->log_directory, &shelf.files, &shelf.count))
        return;
    shelf.sizes = calloc(shelf.count + 1, sizeof *shelf.sizes);
    for (size_t i = 0; shelf.sizes && i < shelf.count; i++) {
        char path[PATH_SIZE];
        struct file_info info;
        path_of(controller, &shelf.files[i], path);
        if (file_info(files, path, &info) == FILE_OK)
            shelf.sizes[i] = info.size;
    }
    if (shelf.sizes)
        remove_old(&shelf);
    free(shelf.sizes);
    free(shelf.files);
}

/* -- a new one ---------------------------------------------------------------------------------- */

static enum file_status write_snapshot(struct controller *controller, const struct image *image, size_t *size)
{
    struct arena arena;
    char path[PATH_SIZE];
    struct metadata_snapshot_file file = { image->end_offset, image->epoch };
    enum file_status status = FILE_LIMIT;
    arena_init(&arena, NULL);
    path_of(controller, &file, path);
    slice bytes = metadata_snapshot_encode(image, &controller->kept, &arena,
                                           clock_wall_ms(controller->host.env->clock));
    if (!slice_is_null(bytes))
        status = file_replace(controller->place.files, path, bytes);
    *size = bytes.size;
    arena_destroy(&arena);
    return status;
}

/* After a log_flush(), which refuses where another log's failed: nothing is flushed behind that. */
static void save(struct controller *controller, const struct image *image)
{
    size_t size;
    int64_t end_offset = image->end_offset;
    enum file_status status = write_snapshot(controller, image, &size);
    if (status == FILE_OK) {
        note_info("metadata.snapshot", "end_offset=%lld bytes=%zu", (long long)end_offset, size);
        atomic_store(&controller->covered, end_offset);
        tidy(controller);
        return;
    }
    note_warn("metadata.snapshot_failed", "directory=%s status=\"%s\" next=\"the log stays whole\"",
              controller->log_directory, file_status_name(status));
    if (status == FILE_IO)
        log_fail(controller->log); /* nothing is flushed behind a failed flush */
}

static void run_snapshot(struct storage_job *job)
{
    struct controller *controller =
        (struct controller *)((char *)job - offsetof(struct controller, snapshot_job));
    struct pin_command pin = { .command = { .decide = decide_pin, .fail = fail_pin } };
    controller__run(controller, &pin.command);
    if (pin.image && log_flush(controller->log) == LOG_OK)
        save(controller, pin.image);
    atomic_store_explicit(&controller->is_snapshotting, false, memory_order_release);
}

void controller_stop(struct controller *controller)
{
    const struct image *image = controller_image(controller);
    bool has_written = controller->owns_epoch || controller->is_lonely;
    bool has_name = controller->owns_epoch || controller->is_log_epoch;
    /* On a full disk the room is for what the store writes: without that the stop is not clean. */
    if (has_written && has_name && !controller->has_leftovers && !controller->is_failed &&
        !store_is_short_of_room(controller->host.store) &&
        atomic_load(&controller->covered) < image->end_offset && log_flush(controller->log) == LOG_OK)
        save(controller, image);
}

/* As Kafka: by what was written since, or by time when there was anything at all. And what a crash left is in
 * the log alone, where one damaged batch keeps the next start from knowing all. */
static bool is_due(const struct controller *controller)
{
    const struct config *config = controller->host.config;
    int64_t age_ms = clock_mono_ms(controller->host.env->clock) - controller->snapshot_ms;
    return controller->is_lonely ||
           controller->tail_bytes >= (uint64_t)config->metadata_log_max_record_bytes_between_snapshots ||
           (config->metadata_log_max_snapshot_interval_ms > 0 &&
            age_ms >= config->metadata_log_max_snapshot_interval_ms);
}

void controller__commit_grew(struct controller *controller, const struct metadata_batches *batches)
{
    for (size_t i = 0; i < batches->count; i++)
        controller->tail_bytes += batches->batches[i].size;
    /* On a full disk the room is for deletions: the log is as good as a snapshot for the next start. */
    if (!is_due(controller) || controller->has_leftovers || store_is_short_of_room(controller->host.store) ||
        atomic_exchange_explicit(&controller->is_snapshotting, true, memory_order_acq_rel))
        return;
    controller->snapshot_job.run = run_snapshot;
    controller->host.env->submit(controller->host.env, &controller->snapshot_job);
}
