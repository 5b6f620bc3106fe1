/* A partition log as a whole: its making and end, what it publishes, its settings and its law. */
#include "storage/log_struct.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/log_producers.h"
#include "storage/log_transactions.h"
#include "storage/producer_state.h"
#include "storage/shared_config.h"

static void release(struct pin *pin)
{
    struct log *log = (struct log *)((char *)pin - offsetof(struct log, pin));
    struct segment_list *list = log__segments(log);
    for (size_t i = 0; list && i < list->count; i++)
        segment_destroy(list->items[i]);
    free(list);
    for (struct segment_spare *spare = log->spares, *next; spare; spare = next) {
        next = spare->next;
        segment_destroy(spare->segment);
        free(spare);
    }
    for (size_t i = 0; i < 2; i++) {
        if (log->new_files[i])
            pin_drop(&log->new_files[i]->pin);
    }
    leader_epochs_destroy(&log->epochs);
    producer_state_destroy(log->producers);
    log__free_snapshot(log->snapshot);
    free(log->ended);
    pthread_mutex_destroy(&log->mutex);
    pthread_mutex_destroy(&log->prepare_mutex);
    pthread_mutex_destroy(&log->flush_mutex);
    shared_config_drop((void *)(uintptr_t)log__config(log));
    free(log);
}

void log__free(void *object)
{
    pin_drop(&((struct log *)object)->pin);
}

void log__hold(struct log *log)
{
    pin_take(&log->pin);
}

void log__drop(struct log *log)
{
    pin_drop(&log->pin);
}

struct log *log__create(struct storage_env *env, struct log_host *host, const char *directory, uuid topic_id,
                        const char *topic, int32_t partition, const struct log_config *config, void *owner)
{
    int path_size = snprintf(NULL, 0, "%s/%s-%" PRId32, directory, topic, partition) + 1;
    struct log *log = calloc(1, sizeof *log + (size_t)path_size);
    if (!log)
        return NULL;
    if (!log__use_config(log, config)) {
        free(log);
        return NULL;
    }
    snprintf(log->path_room, (size_t)path_size, "%s/%s-%" PRId32, directory, topic, partition);
    log->parent = directory;
    log->home = (struct segment_home){ env, host, log->path_room };
    log->name = log->path + strlen(directory) + 1;
    log->owner = owner;
    log->topic_id = topic_id;
    log->flush_due_ms = INT64_MAX;
    log->epoch_wanted = -1;
    log->snapshot_offset = log->stray_snapshot = -1;
    log->node.clean_offset = -1;
    log->first_open = -1;
    pin_init(&log->pin, release);
    pthread_mutex_init(&log->mutex, NULL);
    pthread_mutex_init(&log->prepare_mutex, NULL);
    pthread_mutex_init(&log->flush_mutex, NULL);
    atomic_init(&log->health, LOG_OK);
    atomic_init(&log->published.leader_epoch, -1);
    atomic_init(&log->published.high_watermark_base, -1);
    return log;
}

/* Of what is so rarely held that logs can share it; each in a line of its own. */
enum { READERS_MUTEXES = 64 };
static struct readers_mutex {
    _Alignas(64) pthread_mutex_t mutex;
} readers_mutexes[READERS_MUTEXES] = { [0 ... READERS_MUTEXES - 1] = { PTHREAD_MUTEX_INITIALIZER } };

static pthread_mutex_t *readers_mutex_of(const struct log *log)
{
    return &readers_mutexes[(uintptr_t)log / sizeof *log % READERS_MUTEXES].mutex;
}

void log__lock_readers(const struct log *log)
{
    pthread_mutex_lock(readers_mutex_of(log));
}

void log__unlock_readers(const struct log *log)
{
    pthread_mutex_unlock(readers_mutex_of(log));
}

void log__set_open(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    log__lock_readers(log);
    memset(log->mapped, 0, sizeof log->mapped);
    log->mapped_next = 0;
    atomic_store_explicit(&log->state, LOG_OPEN, memory_order_release);
    log__unlock_readers(log);
    pthread_mutex_unlock(&log->mutex);
}

enum log_state log__state(const struct log *log)
{
    return (enum log_state)atomic_load_explicit(&log->state, memory_order_acquire);
}

enum log_status log__outcome(const struct log *log, enum log_status status)
{
    return status != LOG_OK && log__state(log) == LOG_ENDED ? LOG_CLOSED : status;
}

void log_check(const struct log_moment *moment)
{
    check(moment->start >= 0);
    check(moment->start <= moment->stable);
    check(moment->stable <= moment->high_watermark);
    check(moment->high_watermark <= moment->end);
    check(moment->durable <= moment->end);
    check(moment->end_base <= moment->end);
}

struct log_moment log__moment(const struct log *log)
{
    struct log_published *p = (struct log_published *)&log->published;
    struct log_moment m;
    uint32_t before, after;
    do {
        before = atomic_load_explicit(&p->sequence, memory_order_acquire);
        m.start = atomic_load_explicit(&p->start, memory_order_acquire);
        m.stable = atomic_load_explicit(&p->stable, memory_order_acquire);
        m.high_watermark = atomic_load_explicit(&p->high_watermark, memory_order_acquire);
        m.high_watermark_base = atomic_load_explicit(&p->high_watermark_base, memory_order_acquire);
        m.high_watermark_position = atomic_load_explicit(&p->high_watermark_position, memory_order_acquire);
        m.durable = atomic_load_explicit(&p->durable, memory_order_acquire);
        m.end = atomic_load_explicit(&p->end, memory_order_acquire);
        m.end_base = atomic_load_explicit(&p->end_base, memory_order_acquire);
        m.end_position = atomic_load_explicit(&p->end_position, memory_order_acquire);
        m.leader_epoch = atomic_load_explicit(&p->leader_epoch, memory_order_acquire);
        after = atomic_load_explicit(&p->sequence, memory_order_relaxed);
    } while (before != after || (before & 1) != 0);
    return m;
}

void log__publish(struct log *log, const struct log_moment *moment)
{
    struct log_published *p = &log->published;
    struct log_moment with_stable = *moment;
    log__forget_ended(log, moment->high_watermark);
    with_stable.stable = log__stable_of(log, moment);
    moment = &with_stable;
    log_check(moment);
    uint32_t sequence = atomic_load_explicit(&p->sequence, memory_order_relaxed);
    atomic_store_explicit(&p->sequence, sequence + 1, memory_order_relaxed);
    atomic_store_explicit(&p->start, moment->start, memory_order_release);
    atomic_store_explicit(&p->stable, moment->stable, memory_order_release);
    atomic_store_explicit(&p->high_watermark, moment->high_watermark, memory_order_release);
    atomic_store_explicit(&p->high_watermark_base, moment->high_watermark_base, memory_order_release);
    atomic_store_explicit(&p->high_watermark_position, moment->high_watermark_position, memory_order_release);
    atomic_store_explicit(&p->durable, moment->durable, memory_order_release);
    atomic_store_explicit(&p->end, moment->end, memory_order_release);
    atomic_store_explicit(&p->end_base, moment->end_base, memory_order_release);
    atomic_store_explicit(&p->end_position, moment->end_position, memory_order_release);
    atomic_store_explicit(&p->leader_epoch, moment->leader_epoch, memory_order_release);
    atomic_store_explicit(&p->sequence, sequence + 2, memory_order_release);
}

struct segment_list *log__segments(const struct log *log)
{
    return atomic_load_explicit(&((struct log *)log)->segments, memory_order_acquire);
}

struct segment *log__active(struct log *log)
{
    struct segment_list *list = log__segments(log);
    return list->items[list->count - 1];
}

void log__set_segments(struct log *log, struct segment_list *list)
{
    struct segment_list *old = log__segments(log);
    atomic_store_explicit(&log->segments, list, memory_order_release);
    if (old)
        retire(log->env->retire, old, free);
}

void log__note_gaps(struct log *log)
{
    atomic_store(&log->may_have_gaps, true);
}

/* What is unflushed waits for the device as all of the log does from now on: among what is flushed at once, bytes of a
 * log that nobody flushes would have all producers wait for ever. Under the mutex. */
static void change_mode(struct log *log, bool is_durable)
{
    uint64_t size = log->unflushed_size, behind = log->behind_size;
    bool was_durable = atomic_exchange(&log->durable_mode, is_durable);

    if (size == 0 || was_durable == is_durable)
        return;
    log->behind_size = 0;
    log->host->flushed(log->host, size, behind, was_durable);
    log->host->wrote(log->host, size, is_durable);
}

bool log__use_config(struct log *log, const struct log_config *config)
{
    const struct log_config *shared = shared_config_take(config);
    if (!shared)
        return false;
    const struct log_config *old = log__config(log);
    atomic_store_explicit(&log->config, shared, memory_order_release);
    if (old)
        retire(log->env->retire, (void *)(uintptr_t)old, shared_config_drop);
    change_mode(log, config->flush_messages == 1);
    if ((config->cleanup & LOG_CLEANUP_COMPACT) != 0)
        log__note_gaps(log); /* they stay when the policy changes */
    atomic_store(&log->map_size_max, (uint32_t)config->segment_bytes);
    atomic_store(&log->index_interval, (uint32_t)config->index_interval_bytes);
    return true;
}

enum log_status log__status_of(enum file_status status)
{
    switch (status) {
    case FILE_OK:
        return LOG_OK;
    case FILE_NOT_FOUND:
        return LOG_NOT_FOUND;
    case FILE_FULL:
        return LOG_DISK_FULL;
    case FILE_LIMIT:
        return LOG_LIMIT;
    case FILE_EXISTS:
    case FILE_DENIED:
    case FILE_LOCKED:
    case FILE_IO:
        return LOG_IO;
    }
    check_unreachable("file_status");
}

/* As log__moment(), without what only storage asks for: a fetch looks at these of each of its partitions. */
struct log_offsets log_offsets(const struct log *log)
{
    struct log_published *p = (struct log_published *)&log->published;
    struct log_offsets offsets;
    uint32_t before, after;
    do {
        before = atomic_load_explicit(&p->sequence, memory_order_acquire);
        offsets.start = atomic_load_explicit(&p->start, memory_order_acquire);
        offsets.stable = atomic_load_explicit(&p->stable, memory_order_acquire);
        offsets.high_watermark = atomic_load_explicit(&p->high_watermark, memory_order_acquire);
        offsets.durable = atomic_load_explicit(&p->durable, memory_order_acquire);
        offsets.end = atomic_load_explicit(&p->end, memory_order_acquire);
        offsets.leader_epoch = atomic_load_explicit(&p->leader_epoch, memory_order_acquire);
        after = atomic_load_explicit(&p->sequence, memory_order_relaxed);
    } while (before != after || (before & 1) != 0);
    return offsets;
}

enum log_status log_health(const struct log *log)
{
    return (enum log_status)atomic_load_explicit(&((struct log *)log)->health, memory_order_acquire);
}

void log__fail(struct log *log, enum log_status status)
{
    int healthy = LOG_OK;
    if (atomic_compare_exchange_strong(&log->health, &healthy, status))
        note_error("log.failed", "log=%s next_step=\"see why the device failed, then start again\"",
                   log->name);
}

void log_fail(struct log *log)
{
    log__fail(log, LOG_IO);
    log->host->failed(log->host, log);
}

void log__set_closed_row(struct log *log, const struct log_row *row)
{
    pthread_mutex_lock(&log->mutex);
    check(log__state(log) == LOG_ABSENT);
    log__lock_readers(log);
    log->row = *row;
    log__unlock_readers(log);
    log->first_open = row->stable_offset < row->end_offset ? row->stable_offset : -1;
    log->durable = (struct log_position){ row->end_offset, row->active_base, row->active_size };
    log__publish(log, &(struct log_moment){
                          .start = row->start_offset,
                          .high_watermark = row->end_offset,
                          .high_watermark_base = row->active_base,
                          .high_watermark_position = row->active_size,
                          .durable = row->end_offset,
                          .end = row->end_offset,
                          .end_base = row->active_base,
                          .end_position = row->active_size,
                          .leader_epoch = row->leader_epoch,
                      });
    atomic_store_explicit(&log->state, LOG_SHUT, memory_order_release);
    pthread_mutex_unlock(&log->mutex);
}

void log__raise_durable(struct log *log, struct log_position durable)
{
    pthread_mutex_lock(&log->mutex);
    struct log_moment m = log__moment(log);
    check(durable.offset <= m.end);
    bool rose = durable.offset > m.durable;
    /* A roll without an append: the end is the same, and lies in the new segment from its flush on. */
    if (durable.offset == m.durable && durable.segment_base > log->durable.segment_base)
        log->durable = durable;
    if (rose) {
        m.durable = durable.offset;
        log->durable = durable;
        if (log_is_durable_mode(log) && durable.offset > m.high_watermark) {
            m.high_watermark = durable.offset;
            m.high_watermark_base = durable.segment_base;
            m.high_watermark_position = durable.position;
        }
        log__publish(log, &m);
    }
    pthread_mutex_unlock(&log->mutex);
    if (rose)
        log->env->progress(log->env, log->owner);
}

void log_set_durable(struct log *log, int64_t end)
{
    struct log_moment m = log__moment(log);
    bool at_end = end == m.end; /* the usual case; else readers look the place up */
    log__raise_durable(log, at_end ? (struct log_position){ end, m.end_base, m.end_position }
                                   : LOG_POSITION_OF_OFFSET(end));
}

void log_set_config(struct log *log, const struct log_config *config)
{
    pthread_mutex_lock(&log->mutex);
    if (!log__use_config(log, config)) { /* perhaps it is durable still: nothing follows from the new ones */
        pthread_mutex_unlock(&log->mutex);
        note_error("log.settings_kept", "log=%s reason=no_memory next_step=\"set them again\"", log->name);
        return;
    }
    struct log_moment m = log__moment(log);
    bool rose = config->flush_messages != 1 && m.high_watermark < m.end;
    if (rose) { /* in page-cache mode consumers may read all that is appended */
        m.high_watermark = m.end;
        m.high_watermark_base = m.end_base;
        m.high_watermark_position = m.end_position;
        log__publish(log, &m);
    }
    if (m.durable < m.end)
        log__note_dirty(log);
    log__note_cleanable(log);
    if ((config->cleanup & LOG_CLEANUP_COMPACT) && log->env->clean_asked)
        log->env->clean_asked(log->env);
    pthread_mutex_unlock(&log->mutex);
    if (rose)
        log->env->progress(log->env, log->owner);
}

void log__note_cleanable(struct log *log)
{
    if ((log__config(log)->cleanup & LOG_CLEANUP_COMPACT) && log->host->cleanable && log__has_directory(log))
        log->host->cleanable(log->host, log);
}

bool log_is_durable_mode(const struct log *log)
{
    return atomic_load_explicit(&((struct log *)log)->durable_mode, memory_order_relaxed);
}

void *log_owner(const struct log *log)
{
    return log->owner;
}

const char *log_name(const struct log *log)
{
    return log->name;
}

const char *log__path(const struct log *log)
{
    return log->path;
}

uuid log__topic_id(const struct log *log)
{
    return log->topic_id;
}

struct log_host_node *log__node(struct log *log)
{
    return &log->node;
}

struct log_position log__durable_position(const struct log *log)
{
    struct log *l = (struct log *)log;
    pthread_mutex_lock(&l->mutex);
    struct log_position position = l->durable;
    pthread_mutex_unlock(&l->mutex);
    return position;
}

bool log__has_directory(const struct log *log)
{
    enum log_state state = log__state(log);
    return state == LOG_OPEN || state == LOG_SHUT;
}

/* A shut log knows its newest epoch alone: enough for a question about that one or a later one. */
static bool is_history_known(const struct log *log, int32_t requested)
{
    return log__state(log) != LOG_SHUT || (log->row.leader_epoch >= 0 && requested >= log->row.leader_epoch);
}

enum log_status log_epoch_at(struct log *log, int64_t offset, int32_t *epoch)
{
    enum log_status status = LOG_OK;
    log__lock_readers(log);
    if (log__state(log) != LOG_SHUT)
        *epoch = leader_epochs_at(&log->epochs, offset);
    else if (log->row.leader_epoch == 0 && offset >= log->row.start_offset)
        *epoch = 0; /* epochs never fall: all are the newest one */
    else
        status = LOG_BUSY;
    log__unlock_readers(log);
    return status;
}

enum log_status log_epoch_end(struct log *log, int32_t requested, int32_t *epoch, int64_t *end_offset)
{
    enum log_status status = LOG_OK;
    log__lock_readers(log);
    if (!is_history_known(log, requested)) {
        status = LOG_BUSY;
    } else if (log__state(log) == LOG_SHUT) {
        bool is_newest = requested == log->row.leader_epoch;
        *epoch = is_newest ? requested : -1;
        *end_offset = is_newest ? log->row.end_offset : -1;
    } else {
        leader_epochs_end(&log->epochs, requested, log__moment(log).end, epoch, end_offset);
    }
    log__unlock_readers(log);
    return status;
}

struct log_stats log_stats(struct log *log)
{
    struct log_stats stats = { .size = 0 };
    pthread_mutex_lock(&log->mutex);
    enum log_state state = log__state(log);
    stats.has_directory = state == LOG_OPEN || state == LOG_SHUT;
    stats.is_open = state == LOG_OPEN;
    if (state == LOG_SHUT) {
        stats.size = log->row.size;
        stats.segment_count = log->row.segment_count;
    } else if (state == LOG_OPEN) {
        struct segment_list *list = log__segments(log);
        stats.segment_count = (uint32_t)list->count;
        for (size_t i = 0; i < list->count; i++) {
            struct quarantine *quarantine = atomic_load(&list->items[i]->quarantine);
            stats.size += atomic_load(&list->items[i]->size);
            stats.quarantined_count += quarantine ? quarantine->count : 0;
        }
    }
    pthread_mutex_unlock(&log->mutex);
    return stats;
}
