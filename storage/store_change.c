/* What must be on the device before the first change of a directory's logs. */
#include <stdio.h>
#include <stdlib.h>

#include "storage/store_internal.h"

void store__want_fence(struct store_directory *directory)
{
    struct storage_env *env = directory->store->env;

    if (!atomic_exchange(&directory->fence_wanted, true))
        env->flush_wanted(env);
}

static bool is_metadata(const struct log *log)
{
    return uuid_equal(log__topic_id(log), UUID_ONE);
}

static enum file_status unlink_child(const struct directory *directory, const char *name)
{
    char *path = directory_child(directory, name);

    if (!path)
        return FILE_LIMIT;
    enum file_status status = file_unlink(directory->files, path);
    free(path);
    return status == FILE_NOT_FOUND ? FILE_OK : status;
}

/* After Kafka was here our side files tell of the past. They must be gone before the sign of Kafka is. */
static enum file_status drop_side_files(const struct directory *directory)
{
    enum file_status status = unlink_child(directory, SIDE_TABLE_NAME);

    if (status == FILE_OK)
        status = unlink_child(directory, SIDE_POSITIONS_NAME);
    if (status == FILE_OK)
        status = file_flush_directory(directory->files, directory->path);
    return status;
}

static enum file_status begin_changes(struct store_directory *directory)
{
    enum file_status status = FILE_OK;

    pthread_mutex_lock(&directory->change_lock);
    if (store__is_failing(directory)) {
        status = FILE_IO;
    } else if (!atomic_load(&directory->has_changes)) {
        if (directory->directory.may_be_foreign)
            status = drop_side_files(&directory->directory);
        /* After an unclean stop the old positions are still needed; the recovery ends with new ones. */
        if (status == FILE_OK && directory->was_clean)
            status = store__open_positions(directory);
        if (status == FILE_OK)
            status = store__open_marks(directory);
        if (status == FILE_OK)
            status = directory_begin_changes(&directory->directory);
        if (status == FILE_OK) {
            atomic_store(&directory->is_durable, true);
            atomic_store_explicit(&directory->has_changes, true, memory_order_release);
        }
    }
    pthread_mutex_unlock(&directory->change_lock);
    return status;
}

enum file_status store__begin_changes(struct store_directory *directory)
{
    enum file_status status;
    unsigned seen;

    if (atomic_load_explicit(&directory->has_changes, memory_order_acquire))
        return FILE_OK;
    do {
        seen = store__shortage(directory);
        status = begin_changes(directory);
    } while (store__tries_again(directory, status, seen));
    if (status == FILE_OK && seen == SHORTAGE_NONE) /* else it is wanted already */
        store__want_reserve(directory);
    if (store__log_status(status) == LOG_IO)
        store__want_fence(directory);
    return status;
}

static enum file_status make_durable(struct store_directory *directory)
{
    enum file_status status = FILE_OK;

    pthread_mutex_lock(&directory->change_lock);
    if (store__is_failing(directory)) {
        status = FILE_IO;
    } else if (!atomic_load(&directory->is_durable)) {
        status = directory_make_durable(&directory->directory);
        if (status == FILE_OK)
            atomic_store_explicit(&directory->is_durable, true, memory_order_release);
    }
    pthread_mutex_unlock(&directory->change_lock);
    return status;
}

enum file_status store__make_durable(struct store_directory *directory)
{
    enum file_status status;
    unsigned seen;

    if (atomic_load_explicit(&directory->is_durable, memory_order_acquire))
        return FILE_OK;
    do {
        seen = store__shortage(directory);
        status = make_durable(directory);
    } while (store__tries_again(directory, status, seen));
    if (store__log_status(status) == LOG_IO)
        store__want_fence(directory);
    return status;
}

enum log_status store__before_shut(struct log_host *host, struct log *log)
{
    struct store_directory *directory = store__directory_of(host);

    if (store__is_failing(directory))
        return LOG_IO;
    /* The metadata log is no part of what a clean stop vouches for, in Kafka as here. */
    if (is_metadata(log))
        return LOG_OK;
    enum file_status begun = store__begin_changes(directory);
    if (begun == FILE_OK)
        begun = store__mark(directory, log);
    return store__log_status(begun);
}

enum log_status store__before_change(struct log_host *host, struct log *log)
{
    enum log_status status = store__before_shut(host, log);

    return status == LOG_OK && !is_metadata(log) ? store__forget_stale_starts(store__directory_of(host))
                                                 : status;
}

enum log_status store__before_flush(struct log_host *host, struct log *log)
{
    (void)log;
    if (store__is_failing(store__directory_of(host)))
        return LOG_IO;
    return store__log_status(store__make_durable(store__directory_of(host)));
}
