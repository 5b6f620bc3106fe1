/* Group commit: the whole dirty set at once, and the fence that a failed flush puts up. */
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/store_internal.h"

/* Logs in one group; what is left forms the next. */
enum { GROUP_COUNT_MIN = 16, GROUP_COUNT_MAX = 1024 };
/* The positions are flushed for their own sake only so often: they are a lower bound at any age. */
enum { POSITIONS_FLUSH_MS = 1000 };
/* Without a step for so long a page-cache log is flushed: a recovery need not read it. */
enum { QUIET_MS = 5000 };
/* Between tries when descriptors or space are short. */
enum { RETRY_MS = 1000 };

/* --- the dirty set ----------------------------------------------------------------------------- */

static int64_t now_ms(const struct store *store)
{
    return clock_mono_ms(store->env->clock);
}

static void push_now(struct store *store, struct log *log)
{
    log__node(log)->dirty_next = store->dirty_now;
    store->dirty_now = log;
    store->dirty_now_count++;
}

void store__became_dirty(struct log_host *host, struct log *log, int64_t due_ms)
{
    struct store *store = store__directory_of(host)->store;
    struct log_host_node *node = log__node(log);
    bool is_news = false;

    pthread_mutex_lock(&store->dirty_lock);
    if (!node->is_dirty && due_ms == 0) {
        is_news = !store->dirty_now;
        push_now(store, log);
    } else if (!node->is_dirty || due_ms < node->due_ms) {
        if (!node->is_dirty) {
            node->dirty_next = store->dirty_later;
            store->dirty_later = log;
        }
        is_news = due_ms < store->later_due_ms;
        if (is_news)
            store->later_due_ms = due_ms;
        /* The flush that the bound asked for may have passed before this log was in the list. */
        is_news = is_news || store__is_pressed(&store->directories[node->directory]);
    }
    if (!node->is_dirty || due_ms < node->due_ms)
        node->due_ms = due_ms;
    node->is_dirty = true;
    pthread_mutex_unlock(&store->dirty_lock);
    if (is_news)
        store->env->flush_wanted(store->env);
}

static size_t unlink_deleted(struct log **list)
{
    size_t count = 0;

    while (*list) {
        struct log_host_node *node = log__node(*list);
        if (node->is_deleted) {
            *list = node->dirty_next;
            node->is_dirty = false;
            count++;
        } else {
            list = &node->dirty_next;
        }
    }
    return count;
}

void store__drop_deleted(struct store *store)
{
    pthread_mutex_lock(&store->dirty_lock);
    store->dirty_now_count -= unlink_deleted(&store->dirty_now);
    (void)unlink_deleted(&store->dirty_later);
    struct log **link = &store->behind_first;
    while (*link) {
        struct log_host_node *node = log__node(*link);
        if (node->is_deleted) {
            *link = node->behind_next;
            store->directories[node->directory].behind_count--;
        } else {
            link = &node->behind_next;
        }
    }
    store->behind_last = link;
    store__drop_deleted_ahead(store);
    pthread_mutex_unlock(&store->dirty_lock);
}

/* Moves what is due, what lies where there is pressure, or all, from the later list to the other. */
static void hasten(struct store *store, bool all)
{
    int64_t now = now_ms(store);
    struct log *log = store->dirty_later;

    if (!all && store->later_due_ms > now && !store__is_any_pressed(store))
        return;
    store->dirty_later = NULL;
    store->later_due_ms = INT64_MAX;
    while (log) {
        struct log_host_node *node = log__node(log);
        struct log *next = node->dirty_next;
        if (all || node->due_ms <= now || store__is_pressed(&store->directories[node->directory])) {
            push_now(store, log);
        } else {
            node->dirty_next = store->dirty_later;
            store->dirty_later = log;
            if (node->due_ms < store->later_due_ms)
                store->later_due_ms = node->due_ms;
        }
        log = next;
    }
}

static void push_behind(struct store *store, struct log *log)
{
    log__node(log)->behind_next = NULL;
    log__node(log)->is_behind = true;
    store->directories[log__node(log)->directory].behind_count++;
    *store->behind_last = log;
    store->behind_last = &log__node(log)->behind_next;
}

void store__grew(struct log_host *host, struct log *log)
{
    struct store *store = store__directory_of(host)->store;

    pthread_mutex_lock(&store->dirty_lock);
    bool is_news = !store->behind_first;
    if (!log__node(log)->is_behind)
        push_behind(store, log);
    pthread_mutex_unlock(&store->dirty_lock);
    if (is_news)
        store->env->flush_wanted(store->env);
}

void store__failed(struct log_host *host, struct log *log)
{
    (void)log;
    store__want_fence(store__directory_of(host));
}

void store__names_changed(struct store_directory *directory)
{
    struct store *store = directory->store;

    pthread_mutex_lock(&store->dirty_lock);
    directory->names_changed = true;
    pthread_mutex_unlock(&store->dirty_lock);
    store->env->flush_wanted(store->env);
}

/* --- the fence --------------------------------------------------------------------------------- */

/* Fails the logs of the directory and gathers who must hear of it, into malloc'ed memory. */
static void **fail_logs(struct store *store, uint32_t index, size_t *count)
{
    *count = 0;
    pthread_mutex_lock(&store->lock);
    void **owners = malloc((store->log_count + 1) * sizeof(void *));
    for (struct log *log = store->logs; log; log = log__node(log)->all_next) {
        if (log__node(log)->directory != index || log__node(log)->is_deleted)
            continue;
        log__fail(log, LOG_IO);
        if (owners)
            owners[(*count)++] = log_owner(log);
    }
    pthread_mutex_unlock(&store->lock);
    return owners;
}

/* The device failed: what it holds is as of the last good flush, and nobody can tell more before the
 * directory was read anew. So no log of it takes another write, and nothing is flushed again. */
static void fence(struct store_directory *directory)
{
    struct store *store = directory->store;
    size_t count;

    atomic_store(&directory->is_fenced, true);
    note_error("directory.failed",
               "directory=%s next=\"check the device and its kernel messages, then restart\"",
               directory->directory.path);
    void **owners = fail_logs(store, directory->index, &count);
    for (size_t i = 0; i < count; i++)
        store->env->progress(store->env, owners[i]);
    free(owners);
    store->env->directory_failed(store->env, directory->directory.path);
}

static void fence_failed(struct store *store)
{
    for (size_t i = 0; i < store->directory_count; i++) {
        struct store_directory *directory = &store->directories[i];
        if (atomic_load(&directory->fence_wanted) && !atomic_load(&directory->is_fenced))
            fence(directory);
    }
}

/* --- one group --------------------------------------------------------------------------------- */

/* Room for so many logs, before any of them is begun. Without memory the groups stay as large as they are. */
static void grow_group(struct store *store, size_t count)
{
    size_t capacity = store->group_capacity ? store->group_capacity : GROUP_COUNT_MIN;

    while (capacity < count && capacity < GROUP_COUNT_MAX)
        capacity *= 2;
    if (capacity == store->group_capacity)
        return;
    size_t files = capacity * LOG_FLUSH_FILES_MAX + 1;
    size_t directories = capacity * LOG_FLUSH_DIRECTORIES_MAX + 1;
    struct log_flush *flushes = malloc(capacity * sizeof *flushes);
    struct log **group = malloc(capacity * sizeof(struct log *));
    struct file **flush_files = malloc(files * sizeof(struct file *));
    const char **flush_directories = malloc(directories * sizeof(char *));
    enum file_status *statuses = malloc((files + directories) * sizeof *statuses);
    if (flushes && group && flush_files && flush_directories && statuses) {
        store__free_group(store);
        store->flushes = flushes;
        store->group = group;
        store->flush_files = flush_files;
        store->flush_directories = flush_directories;
        store->flush_statuses = statuses;
        store->group_capacity = capacity;
        return;
    }
    free(flushes);
    free(group);
    free(flush_files);
    free(flush_directories);
    free(statuses);
}

void store__free_group(struct store *store)
{
    free(store->flushes);
    free(store->group);
    free(store->flush_files);
    free(store->flush_directories);
    free(store->flush_statuses);
    store->flushes = NULL;
    store->group = NULL;
    store->flush_files = NULL;
    store->flush_directories = NULL;
    store->flush_statuses = NULL;
    store->group_capacity = 0;
}

static int by_address(const void *a, const void *b)
{
    uintptr_t first = (uintptr_t) * (struct log *const *)a;
    uintptr_t second = (uintptr_t) * (struct log *const *)b;

    return (first > second) - (first < second);
}

static size_t take_dirty(struct store *store)
{
    size_t count = 0;
    /* What is not durable cannot be closed, and its descriptors are not free for others. */
    bool is_short = store_is_short_of_files(store);

    pthread_mutex_lock(&store->dirty_lock);
    hasten(store, is_short);
    grow_group(store, store->dirty_now_count);
    while (store->dirty_now && count < store->group_capacity) {
        struct log *log = store->dirty_now;
        store->dirty_now = log__node(log)->dirty_next;
        store->dirty_now_count--;
        log__node(log)->is_dirty = false;
        store->group[count++] = log;
    }
    pthread_mutex_unlock(&store->dirty_lock);
    /* The flush locks of a group are held together, so they have one order. */
    qsort(store->group, count, sizeof(struct log *), by_address);
    return count;
}

struct group_part {
    size_t log_count; /* begun */
    size_t file_count;
    size_t directory_count;
    uint64_t size; /* bytes */
    bool with_positions;
};

static void add_directory(struct store_directory *directory, struct group_part *part, const char *path,
                          bool *with_root)
{
    /* Many logs ask for the log directory itself; once is enough. */
    if (strcmp(path, directory->directory.path) == 0)
        *with_root = true;
    else
        directory->store->flush_directories[part->directory_count++] = path;
}

static bool positions_are_due(const struct store_directory *directory, const struct group_part *part)
{
    if (!atomic_load(&directory->has_changes) || !directory->positions || !directory->positions_dirty ||
        part->file_count == 0)
        return false;
    return now_ms(directory->store) - directory->positions_flushed_ms >= POSITIONS_FLUSH_MS;
}

static bool take_names_changed(struct store_directory *directory)
{
    pthread_mutex_lock(&directory->store->dirty_lock);
    bool changed = directory->names_changed;
    directory->names_changed = false;
    pthread_mutex_unlock(&directory->store->dirty_lock);
    return changed;
}

/* Begins the flush of the directory's logs among the group and lists what is to be flushed. */
static void begin_part(struct store_directory *directory, size_t count, struct group_part *part)
{
    struct store *store = directory->store;
    bool with_root = take_names_changed(directory);

    *part = (struct group_part){ .log_count = 0 };
    for (size_t i = 0; i < count; i++) {
        struct log_flush *flush = &store->flushes[part->log_count];
        if (log__node(store->group[i])->directory != directory->index ||
            !log__flush_begin(store->group[i], flush))
            continue;
        part->log_count++;
        part->size += flush->size;
        for (size_t j = 0; j < flush->file_count; j++)
            store->flush_files[part->file_count++] = flush->files[j];
        for (size_t j = 0; j < flush->directory_count; j++)
            add_directory(directory, part, flush->directories[j], &with_root);
    }
    part->with_positions = positions_are_due(directory, part);
    if (part->with_positions)
        store->flush_files[part->file_count++] = directory->positions;
    if (with_root)
        store->flush_directories[part->directory_count++] = directory->directory.path;
}

static bool flush_part(struct store_directory *directory, const struct group_part *part)
{
    struct store *store = directory->store;
    /* A flush of the file system takes what waits along. */
    uint64_t size = part->size + atomic_load_explicit(&directory->waiting_bytes, memory_order_relaxed);
    bool ok = true;

    if (store->env->flushing)
        store->env->flushing(store->env, directory->index, true, size);
    file_flush_group(store->env->files, store->flush_files, part->file_count, store->flush_directories,
                     part->directory_count, store->flush_statuses);
    if (store->env->flushing)
        store->env->flushing(store->env, directory->index, false, size);
    for (size_t i = 0; i < part->file_count + part->directory_count; i++)
        ok = ok && store->flush_statuses[i] == FILE_OK;
    return ok;
}

/* The identity of the directory is durable before any log in it is. When descriptors or space are short,
 * nothing was begun, so the logs wait for another try; only a device that failed is fenced. */
static bool make_durable_first(struct store_directory *directory, size_t count)
{
    struct store *store = directory->store;
    bool any = false;

    if (atomic_load(&directory->is_durable))
        return true;
    for (size_t i = 0; i < count && !any; i++)
        any = log__node(store->group[i])->directory == directory->index;
    enum log_status status = any ? store__log_status(store__make_durable(directory)) : LOG_OK;
    if (status == LOG_OK)
        return true;
    if (status != LOG_LIMIT && status != LOG_DISK_FULL) {
        store__want_fence(directory);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (log__node(store->group[i])->directory == directory->index)
            store__became_dirty(&directory->host, store->group[i], now_ms(store) + RETRY_MS);
    }
    return false;
}

static void flush_directory(struct store_directory *directory, size_t count)
{
    struct store *store = directory->store;
    struct group_part part;

    if (store__is_failing(directory) || !make_durable_first(directory, count))
        return;
    begin_part(directory, count, &part);
    if (part.file_count + part.directory_count == 0 && part.log_count == 0)
        return;
    bool ok = flush_part(directory, &part);
    for (size_t i = 0; i < part.log_count; i++)
        log__flush_end(store->flushes[i].log, &store->flushes[i], ok);
    if (!ok) {
        store__want_fence(directory);
        return;
    }
    if (part.with_positions) {
        directory->positions_dirty = false;
        directory->positions_flushed_ms = now_ms(store);
    }
    store__note_positions(directory, store->flushes, part.log_count);
}

/* A page-cache log took a step: it is flushed once it is quiet, or with the next group when that is long in coming. */
static void note_pace(struct store *store, struct log_host_node *node, const struct log_behind *step)
{
    bool is_much = step->unflushed_size > store->unflushed_max;

    /* It is being flushed, or will be; or somebody asked, since the step was begun, that it be flushed now. */
    if (!node->is_dirty || node->due_ms == 0 || (step->is_due_in_time && !is_much))
        return;
    node->due_ms = is_much ? 0 : now_ms(store) + QUIET_MS;
    if (node->due_ms < store->later_due_ms)
        store->later_due_ms = node->due_ms;
}

/* A step of the log whose turn it is; the group's lock keeps the log. */
static void take_behind(struct store *store, struct log_behind *out)
{
    *out = (struct log_behind){ .data = NULL };
    pthread_mutex_lock(&store->dirty_lock);
    struct log *log = store->behind_first;
    if (log) {
        store->behind_first = log__node(log)->behind_next;
        if (!store->behind_first)
            store->behind_last = &store->behind_first;
        log__node(log)->is_behind = false;
        store->directories[log__node(log)->directory].behind_count--;
    }
    pthread_mutex_unlock(&store->dirty_lock);
    if (log && !store__is_failing(&store->directories[log__node(log)->directory]))
        log__behind_begin(log, out);
    if (out->data)
        log__go_ahead(log); /* once in many steps */
    if (!log)
        return;
    pthread_mutex_lock(&store->dirty_lock);
    if (out->has_more && !log__node(log)->is_behind)
        push_behind(store, log);
    if (out->data)
        note_pace(store, log__node(log), out);
    pthread_mutex_unlock(&store->dirty_lock);
}

/* Is one in the later list of a directory that is pressed? Under dirty_lock. */
static bool has_pressed(const struct store *store)
{
    if (!store__is_any_pressed(store))
        return false;
    for (struct log *log = store->dirty_later; log; log = log__node(log)->dirty_next) {
        if (store__is_pressed(&store->directories[log__node(log)->directory]))
            return true;
    }
    return false;
}

bool store_flush(struct store *store)
{
    struct log_behind behind;

    pthread_mutex_lock(&store->group_lock);
    fence_failed(store);
    size_t count = take_dirty(store);
    for (size_t i = 0; i < store->directory_count; i++)
        flush_directory(&store->directories[i], count);
    fence_failed(store);
    take_behind(store, &behind); /* groups go first, as somebody waits for most of them */
    store__look_ahead(store);
    pthread_mutex_lock(&store->dirty_lock);
    /* Appends went on meanwhile: nobody crosses the half again when it was not left. */
    bool has_more = store->dirty_now || store->behind_first || store->later_due_ms == 0 || has_pressed(store);
    pthread_mutex_unlock(&store->dirty_lock);
    pthread_mutex_unlock(&store->group_lock);
    /* Without it: a device that does not keep up makes one step follow the other for as long as there is
     * load, and who deletes a log meanwhile would hardly get the lock. */
    log__behind_write(&behind);
    store__submit_sweep(store);
    store__submit_segments(store);
    if (store->env->files_freed)
        store->env->files_freed(store->env); /* what was flushed can be closed for others */
    store__submit_reserve(store);
    return has_more;
}

int64_t store_flush_due_ms(struct store *store)
{
    pthread_mutex_lock(&store->dirty_lock);
    int64_t due = store->dirty_now ? now_ms(store) : store->later_due_ms;
    pthread_mutex_unlock(&store->dirty_lock);
    int64_t segments_due = store__segments_due_ms(store);
    int64_t reserve_due = store__reserve_due_ms(store);
    int64_t ahead_due = store__ahead_due_ms(store);
    due = segments_due < due ? segments_due : due;
    due = ahead_due < due ? ahead_due : due;
    return reserve_due < due ? reserve_due : due;
}

void store__hasten_all(struct store *store)
{
    pthread_mutex_lock(&store->dirty_lock);
    hasten(store, true);
    pthread_mutex_unlock(&store->dirty_lock);
}
