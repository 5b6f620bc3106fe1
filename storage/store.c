/* The store: opens the log directories, hands out logs. */
#include "storage/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/last_sentence.h"
#include "protocol/base/note.h"
#include "storage/store_internal.h"

enum { LOG_BUCKETS_MIN = 64 };

/* --- statuses ---------------------------------------------------------------------------------- */

enum store_status store__status(enum file_status status)
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
    case FILE_IO:
        return STORE_IO;
    }
    check_unreachable("file_status");
}

enum log_status store__log_status(enum file_status status)
{
    switch (status) {
    case FILE_OK:
        return LOG_OK;
    case FILE_FULL:
        return LOG_DISK_FULL;
    case FILE_LIMIT:
        return LOG_LIMIT;
    case FILE_DENIED:
    case FILE_LOCKED:
    case FILE_NOT_FOUND:
    case FILE_EXISTS:
    case FILE_IO:
        return LOG_IO;
    }
    check_unreachable("file_status");
}

enum store_status store__fail(enum store_status status, char *text, const char **error)
{
    if (error)
        *error = text ? last_sentence(text) : "out of memory while opening the log directories";
    else
        free(text);
    return status;
}

/* --- the table of logs ------------------------------------------------------------------------- */

uint64_t store__hash(const void *bytes, size_t size, uint64_t seed)
{
    const uint8_t *p = bytes;
    uint64_t hash = 14695981039346656037u ^ seed; /* FNV-1a */

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ p[i]) * 1099511628211u;
    return hash ^ hash >> 29;
}

static struct log **bucket_of(const struct store *store, const char *name)
{
    return &store->buckets[store__hash(name, strlen(name), 0) & (store->bucket_count - 1)];
}

/* Without memory the buckets only get longer. */
static void grow_buckets(struct store *store)
{
    size_t count = store->bucket_count * 2;
    struct log **buckets = calloc(count, sizeof(struct log *));

    if (!buckets)
        return;
    free(store->buckets);
    store->buckets = buckets;
    store->bucket_count = count;
    for (struct log *log = store->logs; log; log = log__node(log)->all_next) {
        struct log **bucket = bucket_of(store, log_name(log));
        log__node(log)->hash_next = *bucket;
        *bucket = log;
    }
}

void store__add_log(struct store *store, struct log *log, uint32_t directory)
{
    struct log_host_node *node = log__node(log);

    node->directory = directory;
    if (store->log_count >= store->bucket_count)
        grow_buckets(store);
    struct log **bucket = bucket_of(store, log_name(log));
    node->hash_next = *bucket;
    *bucket = log;
    node->all_previous = NULL;
    node->all_next = store->logs;
    if (store->logs)
        log__node(store->logs)->all_previous = log;
    store->logs = log;
    store->log_count++;
    store->directories[directory].log_count++;
}

void store__remove_log(struct store *store, struct log *log)
{
    struct log_host_node *node = log__node(log);
    struct log **link = bucket_of(store, log_name(log));

    while (*link != log)
        link = &log__node(*link)->hash_next;
    *link = node->hash_next;
    if (node->all_previous)
        log__node(node->all_previous)->all_next = node->all_next;
    else
        store->logs = node->all_next;
    if (node->all_next)
        log__node(node->all_next)->all_previous = node->all_previous;
    if (store->sweep_next == log)
        store->sweep_next = node->all_next;
    if (store->sweep_hand == log)
        store->sweep_hand = node->all_next;
    store->log_count--;
    store->directories[node->directory].log_count--;
}

struct log *store__log_named(const struct store *store, const char *name)
{
    for (struct log *log = *bucket_of(store, name); log; log = log__node(log)->hash_next) {
        if (!log__node(log)->is_deleted && strcmp(log_name(log), name) == 0)
            return log;
    }
    return NULL;
}

/* --- opening ----------------------------------------------------------------------------------- */

static void init_directory(struct store *store, size_t index)
{
    struct store_directory *directory = &store->directories[index];

    directory->host = (struct log_host){
        .before_change = store__before_change,
        .before_shut = store__before_shut,
        .before_flush = store__before_flush,
        .failed = store__failed,
        .became_dirty = store__became_dirty,
        .wrote = store__wrote,
        .wrote_behind = store__wrote_behind,
        .flushed = store__flushed,
        .grew = store__grew,
        .went_ahead = store__went_ahead,
        .files_changed = store__files_changed,
        .may_open = store__may_open,
        .used = store__used,
        .start_rose = store__start_rose,
        .removed = store__removed,
        .before_rewrite = store__before_rewrite,
        .cleanable = store__cleanable,
        .make_room = store__make_room,
        .can_make_room = store__can_make_room,
    };
    directory->store = store;
    directory->index = (uint32_t)index;
    atomic_init(&directory->reserve_due_ms, INT64_MAX);
    check(pthread_mutex_init(&directory->change_lock, NULL) == 0);
    check(pthread_mutex_init(&directory->starts_lock, NULL) == 0);
    store__init_marks(directory);
}

static struct store *create(struct storage_env *env, const struct store_options *options)
{
    struct store *store = check_memory(calloc(1, sizeof *store));

    store->env = env;
    store->directory_count = options->directory_count;
    store->directories = check_memory(calloc(options->directory_count, sizeof *store->directories));
    store->bucket_count = LOG_BUCKETS_MIN;
    store->buckets = check_memory(calloc(LOG_BUCKETS_MIN, sizeof(struct log *)));
    store->later_due_ms = INT64_MAX;
    store->behind_last = &store->behind_first;
    store->ahead_due_ms = INT64_MAX;
    store->metadata_written = -1;
    store__pressure_init(store, options);
    atomic_init(&store->holds, 1);
    check(pthread_mutex_init(&store->lock, NULL) == 0);
    check(pthread_mutex_init(&store->dirty_lock, NULL) == 0);
    check(pthread_mutex_init(&store->clean_lock, NULL) == 0);
    check(pthread_mutex_init(&store->checkpoint_lock, NULL) == 0);
    check(pthread_mutex_init(&store->group_lock, NULL) == 0);
    check(pthread_mutex_init(&store->sweep_lock, NULL) == 0);
    check(pthread_mutex_init(&store->delete_lock, NULL) == 0);
    check(pthread_mutex_init(&store->unlink_lock, NULL) == 0);
    check(pthread_mutex_init(&store->segments_lock, NULL) == 0);
    store->segments_due_ms = INT64_MAX;
    store->unlink_last = &store->unlink_first;
    store__limits_init(store, options);
    for (size_t i = 0; i < options->directory_count; i++)
        init_directory(store, i);
    return store;
}

/* The cluster that the directories belong to: as asked for, as found, or a new one. */
static const char *choose_cluster_id(const struct store *store, const struct store_options *options,
                                     char room[UUID_TEXT_SIZE + 1])
{
    struct random random;

    if (options->cluster_id)
        return options->cluster_id;
    for (size_t i = 0; i < store->directory_count; i++) {
        const struct directory *directory = &store->directories[i].directory;
        if (!directory->is_new && directory->meta.cluster_id[0])
            return directory->meta.cluster_id;
    }
    random_seed_secure(&random);
    uuid_to_text(uuid_random(&random), room);
    return room;
}

static enum store_status check_against_others(const struct store *store, size_t index, char **error)
{
    const struct directory *directory = &store->directories[index].directory;

    for (size_t i = 0; i < index; i++) {
        const struct directory *other = &store->directories[i].directory;
        if (!uuid_is_zero(directory->meta.directory_id) &&
            uuid_equal(directory->meta.directory_id, other->meta.directory_id)) {
            if (asprintf(error, "%s and %s have the same directory.id: one is a copy of the other",
                         other->path, directory->path) < 0)
                *error = NULL;
            return STORE_FOREIGN;
        }
    }
    for (size_t i = 0; index > 0 && i < directory->name_count; i++) {
        if (strcmp(directory->names[i].name, METADATA_TOPIC_NAME "-0") == 0) {
            if (asprintf(error,
                         "%s holds " METADATA_TOPIC_NAME
                         "-0, but only the first of log.dirs may; put it first",
                         directory->path) < 0)
                *error = NULL;
            return STORE_FOREIGN;
        }
    }
    return STORE_OK;
}

static enum store_status open_directories(struct store *store, const struct store_options *options,
                                          const char **error)
{
    enum store_status status = STORE_OK;
    char *text = NULL;
    char room[UUID_TEXT_SIZE + 1];

    for (size_t i = 0; i < store->directory_count && status == STORE_OK; i++)
        status = directory_open(&store->directories[i].directory, store->env->files, options->directories[i],
                                &text);
    if (status != STORE_OK)
        return store__fail(status, text, error);
    const char *cluster_id = choose_cluster_id(store, options, room);
    for (size_t i = 0; i < store->directory_count && status == STORE_OK; i++) {
        status =
            directory_check_identity(&store->directories[i].directory, options->node_id, cluster_id, &text);
        if (status == STORE_OK)
            status = check_against_others(store, i, &text);
    }
    return status == STORE_OK ? STORE_OK : store__fail(status, text, error);
}

/* What the last process had given up of it is taken back at once, if there is room. */
static enum store_status open_reserves(struct store *store)
{
    enum file_status status = FILE_OK;

    for (size_t i = 0; i < store->directory_count && status == FILE_OK; i++) {
        struct store_directory *directory = &store->directories[i];
        status = reserve_open(&directory->reserve, store->env->files, directory->directory.path,
                              &directory->host.shortage);
        if (store__shortage(directory) != SHORTAGE_NONE)
            atomic_store(&directory->reserve_due_ms, clock_mono_ms(store->env->clock));
    }
    return store__status(status);
}

/* The first change: what has no identity gets one. */
static enum store_status format_directories(struct store *store, const struct store_options *options,
                                            const char **error)
{
    enum store_status status = STORE_OK;
    char *text = NULL;
    char room[UUID_TEXT_SIZE + 1];
    const char *cluster_id = choose_cluster_id(store, options, room);

    for (size_t i = 0; i < store->directory_count && status == STORE_OK; i++) {
        struct directory *directory = &store->directories[i].directory;
        if (directory->is_new || uuid_is_zero(directory->meta.directory_id))
            status = directory_format(directory, options->node_id, cluster_id, &text);
        atomic_init(&store->directories[i].is_durable, directory->is_durable);
    }
    return status == STORE_OK ? STORE_OK : store__fail(status, text, error);
}

static enum store_status inspect(struct store *store, const struct store_options *options, const char **error)
{
    const struct store_directory *first = &store->directories[0];
    bool has_new = false;

    for (size_t i = 1; i < store->directory_count; i++)
        has_new = has_new || store->directories[i].directory.is_new;
    /* What we wrote alone is read but once, unless something may be missing of it. */
    bool is_known = first->has_facts && store->position_count == 0 && !has_new;
    if (!options->inspect || first->directory.is_new || is_known)
        return STORE_OK;
    return options->inspect(options->context, store, error);
}

static void refuse_directories(struct store *store, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (store->directories[i].directory.path)
            directory_refuse(&store->directories[i].directory);
    }
}

enum store_status store_open(struct storage_env *env, const struct store_options *options, struct store **out,
                             const char **error)
{
    check(options->directory_count > 0);
    check(!options->cluster_id || strlen(options->cluster_id) <= META_CLUSTER_ID_SIZE_MAX);
    *out = NULL;
    struct store *store = create(env, options);
    enum store_status status = open_directories(store, options, error);
    if (status == STORE_OK)
        status = store__read_found(store, error);
    if (status == STORE_OK)
        status = store__look(store, error);
    if (status == STORE_OK)
        status = inspect(store, options, error);
    if (status == STORE_OK)
        status = format_directories(store, options, error);
    if (status == STORE_OK && (status = open_reserves(store)) != STORE_OK)
        (void)store__fail(status, NULL, error);
    if (status != STORE_OK) {
        refuse_directories(store, store->directory_count);
        store__forget_found(store);
        store__drop_hold(store, 1);
        return status;
    }
    store->was_clean = true;
    for (size_t i = 0; i < store->directory_count; i++)
        store->was_clean = store->was_clean && store->directories[i].was_clean;
    *out = store;
    return STORE_OK;
}

/* --- what the store knows ---------------------------------------------------------------------- */

const char *store_cluster_id(const struct store *store)
{
    return store->directories[0].directory.meta.cluster_id;
}

uuid store_directory_id(const struct store *store, size_t directory)
{
    check(directory < store->directory_count);
    return store->directories[directory].directory.meta.directory_id;
}

size_t store_directory_count(const struct store *store)
{
    return store->directory_count;
}

size_t store_directory_of(const struct log *log)
{
    return log__node((struct log *)log)->directory;
}

const char *store_directory(const struct store *store, size_t directory)
{
    check(directory < store->directory_count);
    return store->directories[directory].directory.path;
}

bool store_was_clean(const struct store *store)
{
    return store->was_clean;
}

/* --- logs -------------------------------------------------------------------------------------- */

/* 2: it failed, 1: its disk is full, 0: it takes partitions. */
static int unfitness(const struct store_directory *directory)
{
    return atomic_load(&directory->is_fenced) ? 2 : store__shortage(directory) != SHORTAGE_NONE;
}

/* Where a new partition goes: the directory with the fewest, as Kafka does; never a failed one, nor one whose disk is
 * full while another's is not. */
static uint32_t choose_directory(const struct store *store)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < store->directory_count; i++) {
        const struct store_directory *directory = &store->directories[i], *other = &store->directories[best];
        int fewer = unfitness(directory) - unfitness(other);
        if (fewer < 0 || (fewer == 0 && directory->log_count + directory->placed_count <
                                            other->log_count + other->placed_count))
            best = i;
    }
    return best;
}

uuid store_place(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    uint32_t index = choose_directory(store);
    store->directories[index].placed_count++;
    pthread_mutex_unlock(&store->lock);
    return store_directory_id(store, index);
}

/* Where a log is to be made: as it was placed, else wherever it suits. */
static uint32_t directory_for(struct store *store, uuid directory_id)
{
    for (uint32_t i = 0; i < store->directory_count; i++) {
        struct store_directory *directory = &store->directories[i];
        if (!uuid_equal(directory->directory.meta.directory_id, directory_id))
            continue;
        if (directory->placed_count > 0)
            directory->placed_count--;
        return i;
    }
    return choose_directory(store);
}

static struct log *new_log(struct store *store, uint32_t index, uuid topic_id, const char *topic,
                           int32_t partition, const struct log_config *config, void *owner)
{
    struct store_directory *directory = &store->directories[index];
    struct log *log = log__create(store->env, &directory->host, directory->directory.path, topic_id, topic,
                                  partition, config, owner);

    if (!log)
        return NULL;
    store__add_log(store, log, index);
    if (atomic_load(&directory->is_fenced))
        log__fail(log, LOG_IO);
    return log;
}

/* Gives the log the directory that was found under its name. */
static void claim(struct store_found *found, struct log *log)
{
    found->is_claimed = true;
    log__node(log)->clean_offset = found->clean_offset;
    if (found->clean_offset > 0)
        log__note_gaps(log);
    if (found->has_row)
        log__set_closed_row(log, &found->row);
    else
        log__node(log)->needs_recovery = true;
}

static bool is_other_topic(const struct store *store, const struct store_found *found, uuid topic_id)
{
    if (found->has_row)
        return !uuid_equal(found->topic_id, topic_id);
    return store->is_recovered; /* else store_recover() reads its partition.metadata */
}

/* The log that has the name, when it is another topic's: the topic was made anew before its predecessor was
 * deleted here. */
static struct log *name_holder(struct store *store, uuid topic_id, const char *name)
{
    struct log *log = store__log_named(store, name);

    return log && !uuid_equal(log__topic_id(log), topic_id) ? log : NULL;
}

static void take_name_back(struct store *store, uuid topic_id, const char *name)
{
    pthread_mutex_lock(&store->delete_lock);
    pthread_mutex_lock(&store->lock);
    struct log *holder = name_holder(store, topic_id, name);
    if (holder)
        log__node(holder)->is_deleted = true;
    pthread_mutex_unlock(&store->lock);
    if (holder)
        (void)store__detach_log(store, holder);
    pthread_mutex_unlock(&store->delete_lock);
}

static struct log *find_or_create(struct store *store, uuid directory_id, uuid topic_id, const char *topic,
                                  int32_t partition, const struct log_config *config, void *owner,
                                  const char *name)
{
    struct log *log = store__log_named(store, name);

    if (log)
        return log;
    struct store_found *found = store__find_found(store, name);
    bool has_row = found && found->has_row;
    if (found && found->is_claimed)
        found = NULL;
    if (found && is_other_topic(store, found, topic_id)) {
        found->is_claimed = true;
        (void)store__set_aside_other(&store->directories[found->directory], name,
                                     found->has_row && store__is_removed(store, found->topic_id));
        found = NULL;
    }
    uint32_t directory = found ? found->directory : directory_for(store, directory_id);
    log = new_log(store, directory, topic_id, topic, partition, config, owner);
    if (log)
        atomic_store(&log__node(log)->has_row, has_row || store->directories[directory].has_orphan_rows);
    if (log && found)
        claim(found, log);
    /* One that was compacted once stays in the checkpoint, as in Kafka. */
    if (log && found && ((config->cleanup & LOG_CLEANUP_COMPACT) || found->clean_offset > 0))
        store__cleanable(&store->directories[directory].host, log);
    return log;
}

struct log *store_log(struct store *store, uuid topic_id, const char *topic, int32_t partition,
                      const struct log_config *config, void *owner)
{
    return store_log_in(store, UUID_ZERO, topic_id, topic, partition, config, owner);
}

struct log *store_log_in(struct store *store, uuid directory_id, uuid topic_id, const char *topic,
                         int32_t partition, const struct log_config *config, void *owner)
{
    char name[DIRECTORY_NAME_SIZE + 16];

    snprintf(name, sizeof name, "%s-%d", topic, (int)partition);
    pthread_mutex_lock(&store->lock);
    while (name_holder(store, topic_id, name)) {
        pthread_mutex_unlock(&store->lock);
        take_name_back(store, topic_id, name);
        pthread_mutex_lock(&store->lock);
    }
    struct log *log = find_or_create(store, directory_id, topic_id, topic, partition, config, owner, name);
    pthread_mutex_unlock(&store->lock);
    return log;
}
