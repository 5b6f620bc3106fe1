/* The clean stop, in Kafka's order: logs, checkpoints, our table, and last the marker. */
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/checkpoint.h"
#include "storage/store_internal.h"

/* Closing flushes each log's files for itself; several threads share the device's commits. */
enum { CLOSE_THREADS = 8, LOGS_PER_THREAD = 16 };

struct closed_log {
    struct log *log;
    struct log_row row;
    enum log_status status;
};

struct close_run {
    struct store *store;
    struct closed_log *logs;
    size_t count;
    atomic_size_t next;
    bool clean;
    bool *flushes_all; /* by directory: nothing is flushed by itself, but everything at once in the end */
};

/* Whether the stop of this directory can be vouched for. */
static bool closes_clean(const struct store_directory *directory, bool clean)
{
    return clean && !store__is_failing(directory) && (directory->was_clean || directory->store->is_recovered);
}

/* A directory in which nothing changed still has the files of its last clean stop. */
bool store__is_unchanged(const struct store_directory *directory)
{
    return directory->directory.marker.is_present && directory->was_clean &&
           !atomic_load(&directory->has_changes);
}

static void *close_main(void *argument)
{
    struct close_run *run = argument;

    for (;;) {
        size_t index = atomic_fetch_add(&run->next, 1);
        if (index >= run->count)
            return NULL;
        struct closed_log *closed = &run->logs[index];
        struct store_directory *directory = &run->store->directories[log__node(closed->log)->directory];
        bool clean = closes_clean(directory, run->clean) && !log__node(closed->log)->is_deleted;
        closed->status = clean && run->flushes_all[directory->index]
                             ? log__close_unflushed(closed->log, &closed->row)
                             : log__close(closed->log, clean, &closed->row);
        if (clean && closed->status == LOG_IO) /* the others are not flushed behind a failed flush */
            atomic_store(&directory->fence_wanted, true);
    }
}

static void close_logs(struct close_run *run)
{
    pthread_t started[CLOSE_THREADS];
    size_t wished = run->clean ? run->count / LOGS_PER_THREAD : 0;
    size_t count = 0;

    if (wished > CLOSE_THREADS)
        wished = CLOSE_THREADS;
    while (count < wished && pthread_create(&started[count], NULL, close_main, run) == 0)
        count++;
    close_main(run);
    for (size_t i = 0; i < count; i++)
        pthread_join(started[i], NULL);
}

/* --- what a directory is left with ------------------------------------------------------------- */

struct summary {
    struct checkpoint_writer recovery_points;
    struct checkpoint_writer start_offsets;
    struct checkpoint_writer high_watermarks;
    struct side_table_writer table;
    enum log_status status;
};

static void add_log(struct summary *summary, const struct closed_log *closed)
{
    const char *name = log_name(closed->log);
    const char *dash = strrchr(name, '-');
    const struct log_row *row = &closed->row;
    struct side_row side_row = {
        .topic_id = log__topic_id(closed->log),
        .partition = (int32_t)strtol(dash + 1, NULL, 10),
        .topic = slice_of(name, (size_t)(dash - name)),
        .row = *row,
    };

    if (closed->status != LOG_OK) {
        summary->status = closed->status;
        return;
    }
    if (row->segment_count == 0)
        return; /* it never had a directory */
    side_table_add(&summary->table, &side_row);
    if (uuid_equal(side_row.topic_id, UUID_ONE))
        return;
    checkpoint_add_offset(&summary->recovery_points, side_row.topic, side_row.partition, row->end_offset);
    checkpoint_add_offset(&summary->high_watermarks, side_row.topic, side_row.partition, row->end_offset);
    if (row->start_offset > row->first_base)
        checkpoint_add_offset(&summary->start_offsets, side_row.topic, side_row.partition, row->start_offset);
}

static enum file_status write_checkpoint(const struct directory *directory, const char *name,
                                         struct checkpoint_writer *writer)
{
    char *path = directory_child(directory, name);
    enum file_status status = path ? checkpoint_write(writer, directory->files, path) : FILE_LIMIT;

    free(path);
    return status;
}

static enum file_status write_table(const struct directory *directory, struct side_table_writer *writer)
{
    char *path = directory_child(directory, SIDE_TABLE_NAME);
    slice table = side_table_end(writer);
    enum file_status status = FILE_LIMIT;

    if (path && !slice_is_null(table))
        status = file_replace(directory->files, path, table);
    free(path);
    return status;
}

static enum file_status drop_positions(struct store_directory *directory)
{
    char *path = directory_child(&directory->directory, SIDE_POSITIONS_NAME);

    if (!path)
        return FILE_LIMIT;
    enum file_status status = file_unlink(directory->directory.files, path);
    free(path);
    return status == FILE_NOT_FOUND ? FILE_OK : status;
}

static enum file_status write_summary(struct store_directory *directory, struct summary *summary, uuid nonce)
{
    const struct directory *place = &directory->directory;
    enum file_status status = store__make_durable(directory);

    if (status == FILE_OK)
        status = write_checkpoint(place, CHECKPOINT_RECOVERY_POINT, &summary->recovery_points);
    if (status == FILE_OK)
        status = write_checkpoint(place, CHECKPOINT_LOG_START_OFFSET, &summary->start_offsets);
    if (status == FILE_OK)
        status = write_table(place, &summary->table);
    if (status == FILE_OK)
        status = drop_positions(directory);
    if (status == FILE_OK)
        status = store__drop_marks(directory);
    if (status == FILE_OK)
        status = write_checkpoint(place, CHECKPOINT_HIGH_WATERMARK, &summary->high_watermarks);
    if (status == FILE_OK)
        status = clean_marker_write(place->files, place->path, nonce);
    return status;
}

static uuid random_nonce(void)
{
    struct random random;

    random_seed_secure(&random);
    return uuid_random(&random);
}

/* Writes what vouches for the directory. */
static enum store_status vouch(struct store_directory *directory, const struct close_run *run)
{
    struct summary summary = { .status = LOG_OK };
    uuid nonce = random_nonce();
    enum store_status status = STORE_IO;

    checkpoint_writer_init(&summary.recovery_points);
    checkpoint_writer_init(&summary.start_offsets);
    checkpoint_writer_init(&summary.high_watermarks);
    side_table_begin(&summary.table, nonce);
    for (size_t i = 0; i < run->count; i++) {
        const struct log_host_node *node = log__node(run->logs[i].log);
        if (node->directory == directory->index && !node->is_deleted)
            add_log(&summary, &run->logs[i]);
    }
    if (summary.status == LOG_OK)
        status = store__status(write_summary(directory, &summary, nonce));
    if (status != STORE_OK)
        note_warn("store.unclean_stop", "directory=%s effect=\"the next start recovers its logs\"",
                  directory->directory.path);
    checkpoint_writer_destroy(&summary.recovery_points);
    checkpoint_writer_destroy(&summary.start_offsets);
    checkpoint_writer_destroy(&summary.high_watermarks);
    side_table_free(&summary.table);
    return status;
}

/* --- flushing ---------------------------------------------------------------------------------- */

static enum file_status flush_all(const struct store_directory *directory)
{
    return file_flush_all(directory->directory.files, directory->directory.path);
}

/* Where that can be, all logs of a directory share one flush. The first one says whether, and has the device
 * do most of the work before the logs wait for each other. */
static void begin_flushes(struct close_run *run)
{
    struct store *store = run->store;

    for (size_t i = 0; i < store->directory_count; i++) {
        struct store_directory *directory = &store->directories[i];
        if (!closes_clean(directory, run->clean) || store__is_unchanged(directory) ||
            directory->log_count < LOGS_PER_THREAD)
            continue;
        enum file_status status = flush_all(directory);
        run->flushes_all[i] = status == FILE_OK;
        if (store__log_status(status) == LOG_IO && status != FILE_NOT_FOUND)
            atomic_store(&directory->fence_wanted, true);
    }
}

static void end_flushes(struct close_run *run)
{
    struct store *store = run->store;

    for (size_t i = 0; i < store->directory_count; i++) {
        struct store_directory *directory = &store->directories[i];
        if (run->flushes_all[i] && closes_clean(directory, run->clean) && flush_all(directory) != FILE_OK)
            atomic_store(&directory->fence_wanted, true);
    }
}

/* --- the stop ---------------------------------------------------------------------------------- */

/* Freed together, behind whatever the logs retired when they were closed. */
static void free_logs(void *object)
{
    struct store *store = object;

    for (struct log *log = store->logs; log;) {
        struct log *next = log__node(log)->all_next;
        log__free(log);
        log = next;
    }
    store->logs = NULL;
    store__drop_hold(store, 1);
}

static void flush_everything(struct store *store)
{
    store__hasten_all(store);
    while (store_flush(store))
        continue;
}

static void list_logs(struct close_run *run)
{
    struct store *store = run->store;

    run->logs = check_memory(calloc(store->log_count + 1, sizeof *run->logs));
    run->flushes_all = check_memory(calloc(store->directory_count, sizeof *run->flushes_all));
    for (struct log *log = store->logs; log; log = log__node(log)->all_next)
        run->logs[run->count++].log = log;
}

static enum store_status close_directory(struct store_directory *directory, const struct close_run *run)
{
    bool clean = closes_clean(directory, run->clean);
    enum store_status status = STORE_OK;

    if (clean && !store__is_unchanged(directory))
        status = vouch(directory, run);
    else if (run->clean && !clean)
        status = STORE_IO;
    if (clean)
        store__close_reserve(directory);
    file_close(directory->positions);
    directory->positions = NULL;
    store__close_marks(directory);
    /* A start that was refused late leaves nothing either. */
    bool is_untouched = directory->directory.made_lock && !atomic_load(&directory->has_changes) &&
                        !atomic_load(&directory->is_fenced);
    directory_close(&directory->directory, (clean && status == STORE_OK) || is_untouched);
    return status;
}

enum store_status store_close(struct store *store, bool clean)
{
    struct close_run run = { .store = store, .clean = clean };
    enum store_status status = STORE_OK;

    atomic_store(&store->is_closing, true);
    if (clean)
        flush_everything(store);
    store__close_cleaning(store);
    store__close_scrubbing(store, clean);
    for (size_t i = 0; clean && i < store->directory_count; i++)
        store__give_for_stop(&store->directories[i]);
    list_logs(&run);
    begin_flushes(&run);
    close_logs(&run);
    end_flushes(&run);
    store__close_segments(store, clean);
    for (size_t i = 0; i < store->directory_count; i++) {
        enum store_status closed = close_directory(&store->directories[i], &run);
        if (status == STORE_OK)
            status = closed;
    }
    store__check_pressure(store);
    free(run.flushes_all);
    free(run.logs);
    store__forget_found(store);
    retire(store->env->retire, store, free_logs);
    return status;
}
