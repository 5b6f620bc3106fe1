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

struct unlink_job {
    struct storage_job job; /* first */
    struct file_system *files;
    char *path;
};

struct unlink_visit {
    const struct unlink_job *job;
    enum file_status status;
};

static bool unlink_one(void *context, const char *name)
{
    struct unlink_visit *visit = context;
    char *path;

    if (asprintf(&path, "%s/%s", visit->job->path, name) < 0)
        return false;
    enum file_status status = file_unlink(visit->job->files, path);
    free(path);
    if (status != FILE_OK && status != FILE_NOT_FOUND)
        visit->status = status;
    return true;
}

static void run_unlink(struct storage_job *storage_job)
{
    struct unlink_job *job = (struct unlink_job *)storage_job;
    struct unlink_visit visit = { .job = job };
    enum file_status status = file_list(job->files, job->path, unlink_one, &visit);

    if (status == FILE_OK)
        status = visit.status;
    if (status == FILE_OK)
        status = file_remove_directory(job->files, job->path);
    /* What is left is tried again at the next start: the name says that it may go. */
    if (status != FILE_OK && status != FILE_NOT_FOUND)
        note_warn("partition.unlink_failed", "path=%s status=\"%s\"", job->path, file_status_name(status));
    free(job->path);
    free(job);
}

void store__unlink_later(struct store *store, char *path)
{
    struct unlink_job *job = malloc(sizeof *job);

    if (!job) {
        free(path);
        return;
    }
    *job = (struct unlink_job){ .job = { .run = run_unlink }, .files = store->env->files, .path = path };
    store->env->submit(store->env, &job->job);
}

/* --- logs -------------------------------------------------------------------------------------- */

enum file_status store__detach_log(struct store *store, struct log *log)
{
    struct store_directory *directory = &store->directories[log__node(log)->directory];
    char *path;

    log__delete(log);
    /* Tried even when the log had no directory a moment ago: a job may just have made it. */
    enum file_status status = store__set_aside(directory, log_name(log), "delete", &path);
    if (status == FILE_OK)
        store__unlink_later(store, path);
    else if (store__log_status(status) == LOG_IO && status != FILE_NOT_FOUND)
        store__want_fence(directory);
    return status == FILE_NOT_FOUND ? FILE_OK : status;
}

enum log_status store_delete_log(struct store *store, struct log *log)
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

    /* A running group or sweep may still look at it. */
    pthread_mutex_lock(&store->group_lock);
    pthread_mutex_lock(&store->sweep_lock);
    pthread_mutex_lock(&store->lock);
    store__not_dirty(store, log);
    store__remove_log(store, log);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->sweep_lock);
    pthread_mutex_unlock(&store->group_lock);
    retire(store->env->retire, log, log__free);
    return store__log_status(status);
}
