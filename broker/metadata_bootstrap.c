/* Makes the files that a formatted directory has before its first start. */
#include "broker/metadata_bootstrap.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/metadata_files.h"
#include "broker/metadata_replay.h"
#include "broker/metadata_snapshot.h"

enum { BOOTSTRAP_SIZE_MAX = 16 << 20, CONTROLLER_PORT = 9093 };

static const char *const file_names[2] = { "00000000000000000000-0000000000.checkpoint",
                                           "bootstrap.checkpoint" };

static void path_of(const struct metadata_place *place, int which, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s", which == 0 ? place->log_directory : place->directory, file_names[which]);
}

/* kraft.version 1: the voters are what the log says. Kafka asks that its own controller listener
 * has this name, and corrects host and port when it starts. */
static slice voters_snapshot(const struct metadata_place *place, struct arena *arena)
{
    struct metadata_batches batches;
    metadata_batches_init(&batches, arena, 0, 0, place->now_ms);
    metadata_snapshot_begin(&batches, 0);

    struct kraft_version_record version;
    kraft_version_record_init(&version);
    version.kraft_version = 1;
    metadata_batches_add_control(&batches, CONTROL_RECORD_KRAFT_VERSION, &version);

    struct voters_record_endpoint endpoint;
    voters_record_endpoint_init(&endpoint);
    endpoint.name = SLICE_LITERAL("CONTROLLER");
    endpoint.host = SLICE_LITERAL("localhost");
    endpoint.port = CONTROLLER_PORT;
    struct voters_record_registered_voter voter;
    voters_record_registered_voter_init(&voter);
    voter.voter_id = place->node_id;
    voter.voter_directory_id = place->directory_id;
    voter.endpoints = &endpoint;
    voter.endpoints_count = 1;
    voter.kraft_version_feature.max_supported_version = 1;
    struct voters_record voters;
    voters_record_init(&voters);
    voters.voters = &voter;
    voters.voters_count = 1;
    metadata_batches_add_control(&batches, CONTROL_RECORD_VOTERS, &voters);

    metadata_snapshot_end(&batches);
    return metadata_batches_bytes(&batches);
}

/* What a new directory begins with: the version first, then the features that are served (kafka-storage
 * format). */
static const struct feature_level new_features[] = { { "metadata.version", METADATA_VERSION_NEW },
                                                     { "group.version", GROUP_VERSION_MAX } };
enum { NEW_FEATURE_COUNT = sizeof new_features / sizeof *new_features };

static slice feature_record(struct arena *arena, const struct feature_level *level)
{
    struct feature_level_record feature;
    feature_level_record_init(&feature);
    feature.name = slice_of_string(level->name);
    feature.feature_level = level->level;
    return metadata_record_encode(arena, METADATA_RECORD_FEATURE_LEVEL, 0, &feature);
}

static slice bootstrap_snapshot(const struct metadata_place *place, struct arena *arena)
{
    struct metadata_batches batches;
    metadata_batches_init(&batches, arena, 0, 0, place->now_ms);
    metadata_snapshot_begin(&batches, 0);
    metadata_batches_cut(&batches);
    for (int i = 0; i < NEW_FEATURE_COUNT; i++)
        metadata_batches_add(&batches, feature_record(arena, &new_features[i]));
    metadata_snapshot_end(&batches);
    return metadata_batches_bytes(&batches);
}

static bool is_whole_file(const struct metadata_place *place, const char *path)
{
    uint8_t *bytes;
    size_t size;
    if (file_read_all(place->files, path, BOOTSTRAP_SIZE_MAX, &bytes, &size) != FILE_OK)
        return false;
    bool is_whole = metadata_snapshot_is_whole(slice_of(bytes, size));
    free(bytes);
    return is_whole;
}

static enum file_status write_file(const struct metadata_place *place, const char *path, slice bytes)
{
    struct file *file;
    if (slice_is_null(bytes))
        return FILE_LIMIT;
    enum file_status status = file_open(place->files, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
    if (status != FILE_OK)
        return status;
    status = file_pwrite(file, bytes.data, bytes.size, 0);
    file_close(file);
    return status;
}

enum file_status metadata_bootstrap_write(const struct metadata_place *place)
{
    struct arena arena;
    arena_init(&arena, NULL);
    enum file_status status = file_make_directory(place->files, place->log_directory);
    if (status == FILE_EXISTS)
        status = FILE_OK;
    for (int i = 0; i < 2 && status == FILE_OK; i++) {
        char path[PATH_MAX];
        path_of(place, i, path);
        if (!is_whole_file(place, path))
            status = write_file(place, path,
                                i == 0 ? voters_snapshot(place, &arena) : bootstrap_snapshot(place, &arena));
    }
    arena_destroy(&arena);
    return status;
}

enum file_status metadata_bootstrap_flush(const struct metadata_place *place)
{
    struct file *files[2];
    enum file_status statuses[4];
    int open_count = 0;
    enum file_status status = FILE_OK;
    for (; open_count < 2 && status == FILE_OK; open_count++) {
        char path[PATH_MAX];
        path_of(place, open_count, path);
        status = file_open(place->files, path, FILE_READ | FILE_WRITE, &files[open_count]);
        if (status != FILE_OK)
            break;
    }
    if (status == FILE_OK) {
        const char *directories[2] = { place->directory, place->log_directory };
        file_flush_group(place->files, files, 2, directories, 2, statuses);
        for (int i = 0; i < 4 && status == FILE_OK; i++)
            status = statuses[i];
    }
    while (open_count > 0)
        file_close(files[--open_count]);
    return status;
}

/* Gathers the data records of bootstrap.checkpoint. */
struct gathering {
    struct arena *arena;
    slice *records;
    size_t count;
    size_t capacity;
    bool is_failed;
};

static bool gather(void *context, const struct metadata_record *record)
{
    struct gathering *gathering = context;
    if (record->control_type >= 0)
        return true;
    if (gathering->count == gathering->capacity) {
        size_t capacity = gathering->capacity ? 2 * gathering->capacity : 8;
        slice *records = arena_alloc_array(gathering->arena, capacity, sizeof *records);
        if (!records) {
            gathering->is_failed = true;
            return false;
        }
        if (gathering->count)
            memcpy(records, gathering->records, gathering->count * sizeof *records);
        gathering->records = records;
        gathering->capacity = capacity;
    }
    bool ok = true;
    gathering->records[gathering->count++] = arena_copy(gathering->arena, record->value, &ok);
    gathering->is_failed = !ok;
    return ok;
}

slice *metadata_bootstrap_records(const struct metadata_place *place, struct arena *arena, size_t *count)
{
    struct gathering gathering = { .arena = arena };
    char path[PATH_MAX];
    uint8_t *bytes;
    size_t size;
    path_of(place, 1, path);
    if (file_read_all(place->files, path, BOOTSTRAP_SIZE_MAX, &bytes, &size) == FILE_OK) {
        metadata_batches_read(slice_of(bytes, size), 0, gather, &gathering);
        free(bytes);
    }
    bool is_empty = gathering.count == 0;
    for (int i = 0; i < NEW_FEATURE_COUNT && is_empty && !gathering.is_failed; i++) {
        slice feature = feature_record(arena, &new_features[i]);
        struct metadata_record record = { .control_type = -1, .value = feature };
        if (slice_is_null(feature) || !gather(&gathering, &record))
            gathering.is_failed = true;
    }
    *count = gathering.is_failed ? 0 : gathering.count;
    return gathering.records;
}
