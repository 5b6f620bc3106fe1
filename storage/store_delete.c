/* Logs that go away: the name first, then the files, on a worker. */
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/store_internal.h"

enum file_status store__set_aside(struct store_directory *directory, const char *name, const char *suffix,
                                  char **path_out)
{
    struct random random;
    slice topic;
    int32_t partition;
    char aside[DIRECTORY_NAME_SIZE];

    check(directory_parse_name(name, &topic, &partition) == DIRECTORY_PARTITION);
    random_seed_secure(&random);
    directory_unique_name(topic, partition, uuid_random(&random), suffix, aside);
    char *from = directory_child(&directory->directory, name);
    *path_out = directory_child(&directory->directory, aside);
    enum file_status status = FILE_LIMIT;
    if (from && *path_out)
        status = file_rename(directory->directory.files, from, *path_out);
    free(from);
    if (status == FILE_OK) {
        store__names_changed(directory);
        return FILE_OK;
    }
    free(*path_out);
    *path_out = NULL;
    return status;
}

/* --- unlinking --------------------------------------------------------------------------------- */

/* Directories go one after another, each as a job of its own: whoever deletes ten thousand topics must not
 * keep the workers from everybody else's. */
struct unlink_path {
    struct unlink_path *next;
    struct store *store;
    char *path;
};

struct unlink_visit {
    struct file_system *files;
    const char *path;
    enum file_status status;
};

static bool unlink_one(void *context, const char *name)
{
    struct unlink_visit *visit = context;
    char *path;

    if (asprintf(&path, "%s/%s", visit->path, name) < 0)
        return false;
    enum file_status status = file_unlink(visit->files, path);
    free(path);
    if (status != FILE_OK && status != FILE_NOT_FOUND)
        visit->status = status;
    return true;
}

static void unlink_directory(struct file_system *files, const char *path)
{
    struct unlink_visit visit = { .files = files, .path = path };
    enum file_status status = file_list(files, path, unlink_one, &visit);

    if (status == FILE_OK)
        status = visit.status;
    if (status == FILE_OK)
        status = file_remove_directory(files, path);
    /* What is left is tried again at the next start: the name says that it may go. */
    if (status != FILE_OK && status != FILE_NOT_FOUND)
        note_warn("partition.unlink_failed", "path=%s status=\"%s\"", path, file_status_name(status));
}

static void run_unlink(struct storage_job *job)
{
    struct store *store = (void *)((char *)job - offsetof(struct store, unlink_job));

    pthread_mutex_lock(&store->unlink_lock);
    struct unlink_path *first = store->unlink_first;
    store->unlink_first = first->next;
    if (!store->unlink_first)
        store->unlink_last = &store->unlink_first;
    pthread_mutex_unlock(&store->unlink_lock);
    unlink_directory(store->env->files, first->path);
    free(first->path);
    free(first);

    pthread_mutex_lock(&store->unlink_lock);
    bool has_more = store->unlink_first != NULL;
    store->is_unlinking = has_more;
    pthread_mutex_unlock(&store->unlink_lock);
    if (has_more)
        store->env->submit(store->env, &store->unlink_job);
    else
        store__drop_hold(store, 1);
}

/* Takes path. NULL: no memory; the next start unlinks it. */
static struct unlink_path *unlink_path_create(struct store *store, char *path)
{
    struct unlink_path *item = malloc(sizeof *item);

    if (item)
        *item = (struct unlink_path){ .store = store, .path = path };
    else
        free(path);
    return item;
}

static void queue_unlink(struct store *store, struct unlink_path *item)
{
    pthread_mutex_lock(&store->unlink_lock);
    *store->unlink_last = item;
    store->unlink_last = &item->next;
    bool must_submit = !store->is_unlinking;
    store->is_unlinking = true;
    pthread_mutex_unlock(&store->unlink_lock);
    if (!must_submit)
        return;
    atomic_fetch_add(&store->holds, 1);
    store->unlink_job.run = run_unlink;
    store->env->submit(store->env, &store->unlink_job);
}

void store__unlink_later(struct store *store, char *path)
{
    struct unlink_path *item = unlink_path_create(store, path);

    if (item)
        queue_unlink(store, item);
}

/* At the stop there are no workers, and nobody is kept waiting. */
static void unlink_retired(void *object)
{
    struct unlink_path *item = object;
    struct store *store = item->store;

    if (atomic_load(&store->is_closing)) {
        unlink_directory(store->env->files, item->path);
        free(item->path);
        free(item);
    } else {
        queue_unlink(store, item);
    }
    store__drop_hold(store, 1);
}

/* Behind what the log retired: whoever closes an unlinked file last frees its blocks, a third of a second for
 * each GiB, and that would be a loop. */
static void unlink_when_closed(struct store *store, char *path)
{
    struct unlink_path *item = unlink_path_create(store, path);

    if (!item)
        return;
    atomic_fetch_add(&store->holds, 1);
    retire(store->env->retire, item, unlink_retired);
}

/* --- logs -------------------------------------------------------------------------------------- */

/* Where it cannot be said that the row of the name is no longer true, whoever gets a name says it of his. */
static void mark_name_given_up(struct store_directory *directory, struct log *log)
{
    if (!atomic_load(&log__node(log)->has_row) ||
        (store__begin_changes(directory) == FILE_OK && store__mark(directory, log) == FILE_OK))
        return;
    pthread_mutex_lock(&directory->store->lock);
    directory->has_orphan_rows = true;
    pthread_mutex_unlock(&directory->store->lock);
}

enum file_status store__detach_log(struct store *store, struct log *log)
{
    struct store_directory *directory = &store->directories[log__node(log)->directory];
    char *path;

    int64_t start;
    if (log__start_to_save(log, &start) || atomic_load(&directory->starts_changed))
        atomic_store(&directory->starts_stale, true);
    log__delete(log);
    mark_name_given_up(directory, log);
    /* Tried even when the log had no directory a moment ago: a job may just have made it. */
    enum file_status status;
    unsigned seen;
    do {
        seen = store__shortage(directory);
        status = store__set_aside(directory, log_name(log), "delete", &path);
    } while (store__tries_again(directory, status, seen)); /* the new name may be longer */
    if (status == FILE_OK)
        unlink_when_closed(store, path);
    else if (store__log_status(status) == LOG_IO && status != FILE_NOT_FOUND)
        store__want_fence(directory);
    return status == FILE_NOT_FOUND ? FILE_OK : status;
}

static enum file_status detach(struct store *store, struct log *log)
{
    enum file_status status = FILE_OK;

    pthread_mutex_lock(&store->delete_lock);
    pthread_mutex_lock(&store->lock);
    bool is_detached = log__node(log)->is_deleted;
    log__node(log)->is_deleted = true;
    pthread_mutex_unlock(&store->lock);
    if (!is_detached)
        status = store__detach_log(store, log);
    pthread_mutex_unlock(&store->delete_lock);
    return status;
}

static bool any_has_row(const struct store_directory *directory, struct log *const *logs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct log_host_node *node = log__node(logs[i]);
        if (node->directory == directory->index && atomic_load(&node->has_row))
            return true;
    }
    return false;
}

/* In one flush for all: else each of them has its own. */
static void mark_all(struct store *store, struct log *const *logs, size_t count)
{
    for (size_t i = 0; i < store->directory_count && count > 1; i++) {
        struct store_directory *directory = &store->directories[i];
        if (any_has_row(directory, logs, count) && store__begin_changes(directory) == FILE_OK)
            (void)store__mark_all(directory, logs, count);
    }
}

enum log_status store_delete_logs(struct store *store, struct log *const *logs, size_t count)
{
    enum log_status status = LOG_OK;

    mark_all(store, logs, count);
    for (size_t i = 0; i < count; i++) {
        enum log_status one = store__log_status(detach(store, logs[i]));
        if (one != LOG_OK)
            status = one;
    }
    /* A running group or sweep may still look at them. */
    pthread_mutex_lock(&store->group_lock);
    pthread_mutex_lock(&store->sweep_lock);
    pthread_mutex_lock(&store->lock);
    store__drop_deleted(store);
    for (size_t i = 0; i < count; i++)
        store__remove_log(store, logs[i]);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->sweep_lock);
    pthread_mutex_unlock(&store->group_lock);
    store__forget_cleaning(store, logs, count);
    return status;
}

void store_free_log(void *log)
{
    log__free(log);
}
