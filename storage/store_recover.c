/* After an unclean stop, or one that only Kafka vouches for: every log is opened before it serves. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/log_directory.h"
#include "storage/partition_metadata.h"
#include "storage/store_internal.h"

enum { RECOVER_THREADS_MAX = 16, UNKNOWN_NOTES_MAX = 10 };
/* Ten seconds. */
enum { FILES_WAITS_MAX = 10000, FILES_PAUSE_NS = 1000 * 1000 };

/* Shared by the threads of one store_recover(). */
struct recover_run {
    struct store *store;
    struct log **logs;
    size_t count;
    size_t believed_count; /* of which the table's row is still true */
    atomic_size_t next;
    atomic_bool is_out_of_files; /* waiting did not help */
    pthread_mutex_t lock;        /* guards the rest */
    enum store_status status;
    char *error;
    struct log_recovery total;
};

static void failed(struct recover_run *run, enum store_status status, const struct log *log, const char *what)
{
    pthread_mutex_lock(&run->lock);
    if (run->status == STORE_OK) {
        run->status = status;
        if (asprintf(&run->error, "cannot open the partition %s: %s", log__path(log), what) < 0)
            run->error = NULL;
    }
    pthread_mutex_unlock(&run->lock);
}

static void failed_file(struct recover_run *run, enum file_status status, const struct log *log)
{
    failed(run, store__status(status), log, file_status_name(status));
}

/* A log does not tell what it may not from what it cannot. */
static void failed_io(struct recover_run *run, const struct log *log)
{
    const struct segment_home home = { run->store->env, NULL, log__path(log) };
    char name[LOG_DIRECTORY_NAME_SIZE], text[LOG_DIRECTORY_NAME_SIZE + 64];

    if (!log_directory_denied_name(&home, false, name)) {
        failed(run, STORE_IO, log, "input/output error");
        return;
    }
    snprintf(text, sizeof text, "%s: permission denied", name);
    failed(run, STORE_DENIED, log, text);
}

static enum file_status write_identity(struct store_directory *directory, const struct log *log)
{
    struct file *file = NULL;
    struct file_system *files = directory->directory.files;
    enum file_status status = partition_metadata_write(files, log__path(log), log__topic_id(log), &file);

    if (status == FILE_OK)
        status = file_flush(file);
    file_close(file);
    if (status == FILE_OK)
        status = file_flush_directory(files, log__path(log));
    return status;
}

/* what: a word for a missing or a damaged identity. A full disk keeps nobody from starting: without the id
 * the directory is this topic's by its name, as it was now. */
static enum file_status adopt(struct store_directory *directory, const struct log *log, const char *what)
{
    enum file_status status;
    unsigned seen;

    do {
        seen = store__shortage(directory);
        status = write_identity(directory, log);
    } while (store__tries_again(directory, status, seen));
    note_warn(what, "path=%s effect=%s", log__path(log),
              status == FILE_FULL
                  ? "\"adopted; on a full disk its id is not written before the next recovery\""
                  : "adopted");
    return status == FILE_FULL ? FILE_OK : status;
}

struct data_search {
    struct file_system *files;
    const char *directory;
    bool is_found;
};

static bool search_data(void *context, const char *name)
{
    struct data_search *search = context;
    size_t size = strlen(name);
    struct file_info info;
    char *path;

    if (size < 4 || strcmp(name + size - 4, ".log") != 0)
        return true;
    search->is_found = asprintf(&path, "%s/%s", search->directory, name) < 0;
    if (!search->is_found) {
        search->is_found = file_info(search->files, path, &info) != FILE_OK || info.size > 0;
        free(path);
    }
    return !search->is_found;
}

static bool may_hold_data(const struct store *store, const struct log *log)
{
    struct data_search search = { .files = store->env->files, .directory = log__path(log) };

    return file_list(search.files, search.directory, search_data, &search) != FILE_OK || search.is_found;
}

/* Whether a directory without an id may hold records of a removed topic that had the same name. */
static bool may_be_predecessors(const struct store *store, const struct store_found *found,
                                const struct log *log)
{
    slice topic = slice_of(log_name(log), (size_t)(strrchr(log_name(log), '-') - log_name(log)));

    return store__is_removed_name(store, topic, found->partition) &&
           !store__find_position(store, log__topic_id(log), found->partition) && may_hold_data(store, log);
}

/* Whether the directory is this topic's. One without a readable id got nothing that was acknowledged: its id
 * is flushed with the first append. The image knows the name, so it is this topic's, or its predecessor's. */
static enum file_status check_topic(struct store_directory *directory, const struct store_found *found,
                                    struct log *log, bool *is_ours)
{
    uuid topic_id = UUID_ZERO;
    struct file_info info;
    enum file_status status = partition_metadata_read(directory->directory.files, log__path(log), &topic_id);

    *is_ours = true;
    if (status == FILE_OK && uuid_equal(topic_id, log__topic_id(log)))
        return FILE_OK;
    if (status == FILE_OK && partition_metadata_is_damage(topic_id, log__topic_id(log)))
        return adopt(directory, log, "partition.id_damaged");
    if (status == FILE_NOT_FOUND || status == FILE_IO) {
        status = file_info(directory->directory.files, log__path(log), &info);
        if (status != FILE_OK || !info.is_directory)
            return status == FILE_NOT_FOUND ? FILE_OK : status;
        if (!may_be_predecessors(directory->store, found, log))
            return adopt(directory, log, "partition.id_missing");
    }
    if (status != FILE_OK)
        return status;
    *is_ours = false;
    return store__set_aside_other(directory, log_name(log), store__is_removed(directory->store, topic_id));
}

/* Whether our files name all that is durable: the table what was at the clean stop, the positions what came
 * since. Then a recovery point, which has a name and no id, tells of a topic that had the name before.
 * Without a table it may be all that tells of what was durable before the positions began: at a stop of
 * Kafka's, or at one of ours whose table is damaged. */
static bool knows_all_durable(const struct store_directory *directory)
{
    return directory->has_positions && !uuid_is_zero(directory->table_nonce);
}

static struct log_position durable_of(const struct store *store, const struct store_found *found,
                                      const struct log *log, int64_t *start_offset)
{
    const struct side_position *position = store__find_position(store, log__topic_id(log), found->partition);
    const struct store_directory *directory = &store->directories[found->directory];

    /* The positions have checksums, and are written before the checkpoint, which has none. */
    *start_offset = found->start_offset;
    if (position && position->start_offset >= 0 &&
        (directory->has_all_positions || position->start_offset > *start_offset))
        *start_offset = position->start_offset;
    if (position)
        return position->durable;
    /* Made by us and never flushed: nothing is durable, and no gap in it can stem from a compaction. */
    if (knows_all_durable(directory) || (directory->has_positions && found->recovery_point <= 0))
        return (struct log_position){ .offset = 0, .segment_base = 0, .position = 0 };
    return LOG_POSITION_OF_OFFSET(found->recovery_point > 0 ? found->recovery_point : 0);
}

static void judge(struct recover_run *run, struct log *log, enum log_status status)
{
    switch (status) {
    case LOG_OK:
    case LOG_NOT_FOUND:
    case LOG_CORRUPT: /* quarantined: the rest is served */
        return;
    case LOG_DISK_FULL:
        failed(run, STORE_FULL, log, "no space");
        return;
    case LOG_LIMIT:
        failed(run, STORE_LIMIT, log,
               "out of descriptors or memory; give the broker more of them (ulimit -n, LimitNOFILE)");
        return;
    case LOG_IO:
        failed_io(run, log);
        return;
    case LOG_BUSY:
    case LOG_COLD:
    case LOG_OUT_OF_RANGE:
    case LOG_TOO_LARGE:
    case LOG_BAD_SEQUENCE:
    case LOG_BAD_EPOCH:
    case LOG_CLOSED:
        failed(run, STORE_DAMAGED, log, "its files contradict each other");
        return;
    }
    check_unreachable("log_status");
}

static void open_one(struct recover_run *run, struct log *log)
{
    struct store *store = run->store;
    struct store_directory *directory = &store->directories[log__node(log)->directory];
    struct store_found *found = store__find_found(store, log_name(log));
    struct log_recovery recovery = { 0 };
    int64_t start_offset;
    bool is_ours;

    enum file_status status = check_topic(directory, found, log, &is_ours);
    if (status != FILE_OK)
        failed_file(run, status, log);
    if (status != FILE_OK || !is_ours)
        return;
    struct log_position durable = durable_of(store, found, log, &start_offset);
    /* An empty directory in the place of one that had records goes on behind them. */
    bool is_believed =
        directory->was_clean_kafka && (found->recovery_point <= 0 || may_hold_data(store, log));
    if (is_believed)
        judge(run, log, log__open_clean(log, start_offset));
    else
        judge(run, log, log__recover(log, durable, start_offset, &recovery));
    log__node(log)->needs_recovery = false;
    pthread_mutex_lock(&run->lock);
    run->total.scanned_size += recovery.scanned_size;
    run->total.cut_size += recovery.cut_size;
    run->total.quarantined_count += recovery.quarantined_count;
    pthread_mutex_unlock(&run->lock);
}

/* There may be more logs than descriptors, and what was closed is free only once every thread has passed a
 * quiescent state: one that has lost its core for a while must not make the others run out of them. */
static void wait_for_files(struct recover_run *run, unsigned member)
{
    struct retire *retired = run->store->env->retire;

    for (int i = 0; i < FILES_WAITS_MAX && !atomic_load(&run->is_out_of_files); i++) {
        if (!store_is_short_of_files(run->store))
            return;
        nanosleep(&(struct timespec){ .tv_nsec = FILES_PAUSE_NS }, NULL);
        retire_quiescent(retired, member);
    }
    atomic_store(&run->is_out_of_files, true); /* it would not help the next one either */
}

static void *recover_main(void *argument)
{
    struct recover_run *run = argument;
    struct retire *retired = run->store->env->retire;
    unsigned member = retire_join(retired);

    for (;;) {
        size_t index = atomic_fetch_add(&run->next, 1);
        if (index >= run->count)
            break;
        wait_for_files(run, member);
        open_one(run, run->logs[index]);
        if (store__is_crowded(run->store))
            (void)log__close_files(run->logs[index]);
        retire_quiescent(retired, member);
    }
    retire_leave(retired, member);
    return NULL;
}

/* The caller works too, so fewer threads than wished are no failure. */
static void run_threads(struct recover_run *run, unsigned threads)
{
    pthread_t started[RECOVER_THREADS_MAX];
    unsigned count = 0;

    if (threads > RECOVER_THREADS_MAX)
        threads = RECOVER_THREADS_MAX;
    if (threads > run->count)
        threads = (unsigned)run->count;
    while (count + 1 < threads && pthread_create(&started[count], NULL, recover_main, run) == 0)
        count++;
    recover_main(run);
    for (unsigned i = 0; i < count; i++)
        pthread_join(started[i], NULL);
}

static enum store_status collect(struct recover_run *run, bool *involved)
{
    struct store *store = run->store;

    pthread_mutex_lock(&store->lock);
    run->logs = malloc((store->log_count + 1) * sizeof(struct log *));
    for (struct log *log = store->logs; log && run->logs; log = log__node(log)->all_next) {
        if (!log__node(log)->needs_recovery || log__node(log)->is_deleted)
            continue;
        run->logs[run->count++] = log;
        involved[log__node(log)->directory] = true;
    }
    pthread_mutex_unlock(&store->lock);
    /* Logs that are believed need their positions as well: those of the run before are not gone on with. */
    for (size_t i = 0; i < store->found_count; i++) {
        const struct store_found *found = &store->found[i];
        if (store->directories[found->directory].was_clean || !found->is_claimed)
            continue;
        involved[found->directory] = true;
        run->believed_count += found->has_row;
    }
    return run->logs ? STORE_OK : STORE_LIMIT;
}

static enum store_status begin_changes(struct store *store, const bool *involved, const char **error)
{
    for (size_t i = 0; i < store->directory_count; i++) {
        struct store_directory *directory = &store->directories[i];
        enum file_status status = involved[i] ? store__begin_changes(directory) : FILE_OK;
        if (status != FILE_OK) {
            char *text;
            if (asprintf(&text, "cannot change %s: %s", directory->directory.path, file_status_name(status)) <
                0)
                text = NULL;
            return store__fail(store__status(status), text, error);
        }
    }
    return STORE_OK;
}

/* What is there and nobody asked for: reported, and deleted when its name says so. */
static void tend_leftovers(struct store *store)
{
    size_t unknown = 0;

    for (size_t i = 0; i < store->directory_count; i++) {
        const struct directory *directory = &store->directories[i].directory;
        for (size_t j = 0; j < directory->name_count; j++) {
            char *path = directory->names[j].kind == DIRECTORY_DELETE
                             ? directory_child(directory, directory->names[j].name)
                             : NULL;
            if (path)
                store__unlink_later(store, path);
        }
    }
    for (size_t i = 0; i < store->found_count; i++) {
        struct store_found *found = &store->found[i];
        if (found->is_claimed || store__drop_removed(store, found))
            continue;
        if (unknown++ < UNKNOWN_NOTES_MAX)
            note_warn("partition.unknown", "directory=%s/%s reason=not_in_metadata effect=left_alone",
                      store->directories[found->directory].directory.path, found->name);
    }
    if (unknown > UNKNOWN_NOTES_MAX)
        note_warn("partition.unknown", "more=%zu", unknown - UNKNOWN_NOTES_MAX);
    if (unknown > 0) {
        store__forget_removed(store);
        return; /* their names stay known, for topics that will be called alike */
    }
    store__forget_found(store);
    for (size_t i = 0; i < store->directory_count; i++)
        directory_forget_names(&store->directories[i].directory);
}

static void rewrite_positions(struct store *store, const bool *involved)
{
    for (size_t i = 0; i < store->directory_count; i++) {
        if (!involved[i])
            continue;
        /* Without it the next recovery takes longer. */
        enum file_status status = store__rewrite_positions(&store->directories[i]);
        if (status != FILE_OK)
            note_warn("side_file.unwritten", "directory=%s status=\"%s\"",
                      store->directories[i].directory.path, file_status_name(status));
    }
}

enum store_status store_recover(struct store *store, unsigned threads, const char **error)
{
    struct recover_run run = { .store = store };
    bool *involved = calloc(store->directory_count, sizeof *involved);
    int64_t begin_ms = clock_mono_ms(store->env->clock);
    enum store_status status = involved ? collect(&run, involved) : STORE_LIMIT;

    check(pthread_mutex_init(&run.lock, NULL) == 0);
    if (status != STORE_OK)
        store__fail(status, NULL, error);
    else
        status = begin_changes(store, involved, error);
    if (status == STORE_OK) {
        run_threads(&run, threads);
        status = run.status == STORE_OK ? STORE_OK : store__fail(run.status, run.error, error);
    }
    if (status == STORE_OK) {
        rewrite_positions(store, involved);
        if (run.count + run.believed_count)
            note_info("store.recovered",
                      "logs=%zu untouched=%zu scanned=%" PRIu64 " cut=%" PRIu64 " quarantined=%" PRIu32
                      " ms=%" PRId64,
                      run.count, run.believed_count, run.total.scanned_size, run.total.cut_size,
                      run.total.quarantined_count, clock_mono_ms(store->env->clock) - begin_ms);
        tend_leftovers(store);
        store->is_recovered = true;
    }
    pthread_mutex_destroy(&run.lock);
    free(run.logs);
    free(involved);
    return status;
}

/* --- the metadata log -------------------------------------------------------------------------- */

/* A clean stop vouches for the metadata log as for the others, but its changes do not end that: it is taken
 * as it was left only when nothing came behind. Nothing is flushed then (DESIGN 9). */
static enum log_status open_metadata(struct store *store, struct log *log)
{
    const struct side_position *position = store__find_position(store, UUID_ONE, 0);
    const struct log_row *row = &store->metadata_row;
    enum log_status status = LOG_NOT_FOUND;

    if (row->segment_count > 0 && (!position || position->durable.offset <= row->end_offset))
        status = log__open_unchanged(log, row);
    if (status == LOG_NOT_FOUND)
        status = log__recover(log, position ? position->durable : LOG_POSITION_OF_OFFSET(0), -1, NULL);
    return status;
}

enum log_status store_metadata_log(struct store *store, const struct log_config *config, struct log **out)
{
    struct store_directory *directory = &store->directories[0];

    *out = NULL;
    struct log *log = log__create(store->env, &directory->host, directory->directory.path, UUID_ONE,
                                  METADATA_TOPIC_NAME, 0, config, NULL);
    if (!log)
        return LOG_LIMIT;
    enum log_status status = open_metadata(store, log);
    if (status != LOG_OK && status != LOG_NOT_FOUND && status != LOG_CORRUPT) {
        struct log_row row;
        (void)log__close(log, false, &row);
        retire(store->env->retire, log, log__free);
        return status;
    }
    pthread_mutex_lock(&store->lock);
    store__add_log(store, log, 0);
    store->metadata = log;
    pthread_mutex_unlock(&store->lock);
    *out = log;
    return LOG_OK;
}

enum log_status store_inspect_metadata(struct store *store, const struct log_config *config, struct log **out)
{
    struct store_directory *directory = &store->directories[0];

    *out = NULL;
    struct log *log = log__create(store->env, &directory->host, directory->directory.path, UUID_ONE,
                                  METADATA_TOPIC_NAME, 0, config, NULL);
    if (!log)
        return LOG_LIMIT;
    enum log_status status = log__open_untouched(log);
    if (status == LOG_OK)
        *out = log;
    else
        store_end_inspection(store, log);
    return status;
}

void store_end_inspection(struct store *store, struct log *log)
{
    struct log_row row;

    (void)log__close(log, false, &row);
    retire(store->env->retire, log, log__free);
}
