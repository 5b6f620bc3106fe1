/* Log start offsets made durable: log-start-offset-checkpoint, as Kafka has it. */
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/checkpoint.h"
#include "storage/store_internal.h"

void store__start_rose(struct log_host *host, struct log *log)
{
    (void)log;
    atomic_store(&store__directory_of(host)->starts_changed, true);
}

/* Those that the files do not tell of by themselves. The metadata log is in no checkpoint. */
static void collect_starts(struct store_directory *directory, struct checkpoint_writer *writer)
{
    struct store *store = directory->store;

    pthread_mutex_lock(&store->lock);
    for (struct log *log = store->logs; log; log = log__node(log)->all_next) {
        int64_t start;
        if (log__node(log)->directory != directory->index || log__node(log)->is_deleted ||
            log == store->metadata || !log__start_to_save(log, &start))
            continue;
        const char *dash = strrchr(log_name(log), '-');
        checkpoint_add_offset(writer, slice_of(log_name(log), (size_t)(dash - log_name(log))),
                              (int32_t)strtol(dash + 1, NULL, 10), start);
    }
    pthread_mutex_unlock(&store->lock);
}

static enum file_status write_starts(struct store_directory *directory)
{
    struct checkpoint_writer writer;
    char *path = directory_child(&directory->directory, CHECKPOINT_LOG_START_OFFSET);
    enum file_status status = FILE_LIMIT;

    checkpoint_writer_init(&writer);
    collect_starts(directory, &writer);
    if (path)
        status = checkpoint_write(&writer, directory->directory.files, path);
    checkpoint_writer_destroy(&writer);
    free(path);
    return status;
}

/* Whoever comes while another writes has its starts written by the next one, for all that wait: it then finds
 * nothing left to do. */
static enum file_status save_once(struct store_directory *directory)
{
    enum file_status status = FILE_OK;

    pthread_mutex_lock(&directory->starts_lock);
    if (store__is_failing(directory)) {
        status = FILE_IO;
    } else if (atomic_exchange(&directory->starts_changed, false) || atomic_load(&directory->starts_stale)) {
        bool was_stale = atomic_exchange(&directory->starts_stale, false);
        status = store__begin_changes(directory);
        if (status == FILE_OK)
            status = store__note_starts(directory);
        if (status == FILE_OK)
            status = write_starts(directory);
        if (status != FILE_OK) {
            atomic_store(&directory->starts_changed, true);
            if (was_stale)
                atomic_store(&directory->starts_stale, true);
        }
    }
    pthread_mutex_unlock(&directory->starts_lock);
    return status;
}

/* Also on a full disk: what lies below the new starts gives room back. */
static enum file_status save_starts(struct store_directory *directory)
{
    enum file_status status;
    unsigned seen;

    do {
        seen = store__shortage(directory);
        status = save_once(directory);
    } while (store__tries_again(directory, status, seen));
    if (store__log_status(status) == LOG_IO)
        store__want_fence(directory);
    return status;
}

enum log_status store__forget_stale_starts(struct store_directory *directory)
{
    /* During a recovery what the checkpoint says is still being asked for. */
    if (!atomic_load(&directory->starts_stale) || !directory->store->is_recovered)
        return LOG_OK;
    return store__log_status(save_starts(directory));
}

enum store_status store_save_starts(struct store *store)
{
    enum store_status status = STORE_OK;

    for (size_t i = 0; i < store->directory_count; i++) {
        struct store_directory *directory = &store->directories[i];
        if (!atomic_load(&directory->starts_changed) && !store__is_failing(directory)) {
            /* Nothing, or somebody else is at it: his write has what rose before this call. */
            pthread_mutex_lock(&directory->starts_lock);
            bool failed = atomic_load(&directory->starts_changed);
            pthread_mutex_unlock(&directory->starts_lock);
            if (!failed)
                continue;
        }
        enum store_status one = store__status(save_starts(directory));
        if (one != STORE_OK) {
            note_warn("checkpoint.unwritten", "directory=%s name=" CHECKPOINT_LOG_START_OFFSET,
                      directory->directory.path);
            status = one;
        }
    }
    return status;
}

bool store_starts_changed(struct store *store)
{
    bool any = false;

    for (size_t i = 0; i < store->directory_count; i++)
        any = any || atomic_load(&store->directories[i].starts_changed);
    return any;
}
