/* Compaction of the store's logs: which one is next, and what the checkpoint says of each. */
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/checkpoint.h"
#include "storage/cleaner_internal.h"
#include "storage/store_internal.h"

/* Between two tries when descriptors, memory or space are short. */
enum { RETRY_MS = 10000 };

/* A compacted log, from the first time that it may have had something to compact. Of the cleaner's threads
 * and whoever deletes logs; under the clean lock, but for what is_busy says. */
struct clean_entry {
    struct clean_entry *next;
    struct log *log;     /* held */
    int64_t first_dirty; /* it is clean up to here; -1: nothing is known */
    int64_t look_ms;     /* wall clock; INT64_MAX: when it says so itself */
    bool is_busy;        /* some thread looks at it or cleans it: it is that one's */
    bool is_damaged;     /* left alone until the next start */
    bool is_gone;        /* deleted: whoever has it frees it */
};

/* --- the queue ----------------------------------------------------------------------------------- */

void store__cleanable(struct log_host *host, struct log *log)
{
    struct store *store = store__directory_of(host)->store;
    struct log_host_node *node = log__node(log);

    pthread_mutex_lock(&store->dirty_lock);
    bool is_news = !node->is_clean_queued;
    if (is_news) {
        node->is_clean_queued = true;
        node->clean_next = store->clean_queue;
        store->clean_queue = log;
    }
    pthread_mutex_unlock(&store->dirty_lock);
    if (is_news && store->env->clean_wanted)
        store->env->clean_wanted(store->env);
}

/* Under the clean lock. */
static void free_entry(struct store *store, struct clean_entry *entry)
{
    struct clean_entry **link = &store->cleanings;

    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    log__drop(entry->log);
    free(entry);
}

/* Gives the queued logs entries that are due. Without memory they come again with their next change. Under
 * the clean lock; a log that is in the queue is not freed before store__forget_cleaning() has passed. */
static void take_queue(struct store *store)
{
    pthread_mutex_lock(&store->dirty_lock);
    while (store->clean_queue) {
        struct log *log = store->clean_queue;
        struct log_host_node *node = log__node(log);
        store->clean_queue = node->clean_next;
        node->is_clean_queued = false;
        struct clean_entry *entry = node->clean_entry;
        if (!entry) {
            entry = calloc(1, sizeof *entry);
            if (!entry)
                continue;
            *entry = (struct clean_entry){ .log = log, .first_dirty = node->clean_offset };
            entry->next = store->cleanings;
            store->cleanings = node->clean_entry = entry;
            log__hold(log);
        }
        entry->look_ms = 0;
    }
    pthread_mutex_unlock(&store->dirty_lock);
}

int64_t store_clean_due_ms(struct store *store)
{
    int64_t due_ms = INT64_MAX;

    pthread_mutex_lock(&store->clean_lock);
    take_queue(store);
    for (const struct clean_entry *entry = store->cleanings; entry; entry = entry->next) {
        if (!entry->is_busy && !entry->is_damaged && !entry->is_gone && entry->look_ms < due_ms)
            due_ms = entry->look_ms;
    }
    pthread_mutex_unlock(&store->clean_lock);
    return due_ms;
}

/* --- the checkpoint ------------------------------------------------------------------------------ */

static void add_to_checkpoint(struct checkpoint_writer *writer, const struct clean_entry *entry)
{
    const char *name = log_name(entry->log);
    const char *dash = strrchr(name, '-');

    /* One that was deleted may have a successor of the same name. */
    if (entry->first_dirty > 0 && !entry->is_gone && log_health(entry->log) != LOG_CLOSED)
        checkpoint_add_offset(writer, slice_of(name, (size_t)(dash - name)),
                              (int32_t)strtol(dash + 1, NULL, 10), entry->first_dirty);
}

/* Writes what is known of the directory's logs. What cannot be written now is with the next one: an older
 * checkpoint only has more cleaned anew. */
static void write_checkpoint(struct store *store, uint32_t index)
{
    struct store_directory *directory = &store->directories[index];
    struct checkpoint_writer writer;

    if (store__is_failing(directory))
        return;
    checkpoint_writer_init(&writer);
    pthread_mutex_lock(&store->checkpoint_lock); /* what was gathered first is written first */
    pthread_mutex_lock(&store->clean_lock);
    for (const struct clean_entry *entry = store->cleanings; entry; entry = entry->next) {
        if (log__node(entry->log)->directory == index)
            add_to_checkpoint(&writer, entry);
    }
    pthread_mutex_unlock(&store->clean_lock);
    char *path = directory_child(&directory->directory, CHECKPOINT_CLEANER);
    enum file_status status = path ? checkpoint_write(&writer, store->env->files, path) : FILE_LIMIT;
    pthread_mutex_unlock(&store->checkpoint_lock);
    free(path);
    checkpoint_writer_destroy(&writer);
    if (store__log_status(status) == LOG_IO)
        store__want_fence(directory);
}

/* --- the choice ---------------------------------------------------------------------------------- */

/* A log that one thread looks at or cleans. */
struct clean_choice {
    struct clean_entry *entry; /* NULL: none */
    struct cleaner_look look;
};

/* The entry is for everybody again; look_ms: when. Under the clean lock. */
static void let_go(struct store *store, struct clean_entry *entry, int64_t look_ms)
{
    entry->is_busy = false;
    if (look_ms < entry->look_ms) /* it may be due again already */
        entry->look_ms = look_ms;
    if (entry->is_gone)
        free_entry(store, entry);
}

static void mark_damaged(struct clean_entry *entry, const char *reason)
{
    entry->is_damaged = true;
    note_error("cleaner.gave_up",
               "log=%s reason=%s effect=\"it is not compacted any more, nothing is lost\" "
               "next_step=\"see the notes on it; a restart tries again\"",
               log_name(entry->log), reason);
}

static int64_t later(int64_t now_ms)
{
    return now_ms > INT64_MAX - RETRY_MS ? INT64_MAX : now_ms + RETRY_MS;
}

/* Looks at one log, without the lock. Returns when to look again; INT64_MIN: it is to be cleaned. */
static int64_t look_at(struct clean_entry *entry, int64_t now_ms, bool is_forced, struct cleaner_look *look)
{
    enum log_status status = cleaner_look(entry->log, entry->first_dirty, now_ms, look);
    if (status == LOG_LIMIT || status == LOG_DISK_FULL || status == LOG_BUSY)
        return later(now_ms);
    if (status != LOG_OK)
        return INT64_MAX; /* nothing to do, or deleted, or failed */
    bool is_wanted = look->is_eligible || (is_forced && look->cleanable_size > 0);
    if (is_wanted && look->is_damaged) {
        mark_damaged(entry, "quarantined_batches");
        return INT64_MAX;
    }
    return is_wanted ? INT64_MIN : look->look_again_ms;
}

static bool is_due(const struct clean_entry *entry, int64_t now_ms)
{
    return !entry->is_busy && !entry->is_damaged && !entry->is_gone && entry->look_ms <= now_ms;
}

/* Looks at all logs that are due and takes the filthiest of those that are worth it. */
static void choose(struct store *store, int64_t now_ms, struct clean_choice *best)
{
    best->entry = NULL;
    pthread_mutex_lock(&store->clean_lock);
    take_queue(store);
    for (struct clean_entry *entry = store->cleanings, *next; entry; entry = next) {
        struct clean_choice other = { .entry = entry };
        if (!is_due(entry, now_ms)) {
            next = entry->next;
            continue;
        }
        entry->is_busy = true;
        entry->look_ms = INT64_MAX; /* a change from now on makes it due again */
        pthread_mutex_unlock(&store->clean_lock);
        int64_t look_ms = look_at(entry, now_ms, false, &other.look);
        pthread_mutex_lock(&store->clean_lock);
        next = entry->next;
        if (other.look.count > 0)
            entry->first_dirty = other.look.first_dirty;
        struct clean_choice loser = other;
        if (look_ms == INT64_MIN && (!best->entry || other.look.ratio > best->look.ratio)) {
            loser = *best;
            *best = other;
            look_ms = 0; /* it is worth it, too */
        } else if (look_ms == INT64_MIN) {
            look_ms = 0;
        }
        if (loser.entry) {
            cleaner_look_end(&loser.look);
            let_go(store, loser.entry, look_ms);
        }
    }
    pthread_mutex_unlock(&store->clean_lock);
}

/* --- cleaning ------------------------------------------------------------------------------------ */

static void note_cleaned(const struct log *log, const struct cleaner_look *look,
                         const struct cleaner_result *result)
{
    note_info(
        "log.compacted",
        "log=%s from=%lld to=%lld keys=%zu records=%llu kept=%llu read=%llu written=%llu segments=%u->%u",
        log_name(log), (long long)look->first_dirty, (long long)result->next_dirty, result->key_count,
        (unsigned long long)result->record_count, (unsigned long long)result->kept_count,
        (unsigned long long)result->read_size, (unsigned long long)result->written_size,
        result->replaced_count, result->made_count);
    if (result->keyless_count > 0)
        note_warn("log.compacted_keyless",
                  "log=%s records=%llu effect=\"records without a key were dropped, as Kafka does\"",
                  log_name(log), (unsigned long long)result->keyless_count);
}

/* Cleans the chosen log, which is this thread's. Returns when it is to be looked at again. */
static int64_t clean(struct store *store, struct cleaner *cleaner, struct clean_choice *choice,
                     int64_t now_ms, enum log_status *status)
{
    struct clean_entry *entry = choice->entry;
    struct store_directory *directory = &store->directories[log__node(entry->log)->directory];
    struct cleaner_result result = { .next_dirty = entry->first_dirty };

    /* On a full disk the room is for others: what is written anew comes before what goes. */
    *status = log__config(entry->log)->rank >= store__shortage(directory)
                  ? store__before_change(&directory->host, entry->log)
                  : LOG_DISK_FULL;
    if (*status == LOG_OK)
        *status = cleaner_clean(cleaner, entry->log, &choice->look, now_ms, &result);
    switch (*status) {
    case LOG_OK:
        note_cleaned(entry->log, &choice->look, &result);
        pthread_mutex_lock(&store->clean_lock);
        entry->first_dirty = result.next_dirty;
        pthread_mutex_unlock(&store->clean_lock);
        write_checkpoint(store, directory->index);
        return 0;
    case LOG_BUSY: /* stopped, or retention was faster */
        return 0;
    case LOG_DISK_FULL:
    case LOG_LIMIT:
        note_warn("cleaner.postponed", "log=%s reason=%s", log_name(entry->log),
                  *status == LOG_DISK_FULL ? "disk_full" : "no_memory_or_descriptors");
        return later(now_ms);
    case LOG_CORRUPT:
    case LOG_TOO_LARGE:
        mark_damaged(entry, "damaged_batch");
        return INT64_MAX;
    case LOG_IO:
        if (log_health(entry->log) == LOG_OK)
            mark_damaged(entry, "unreadable");
        return INT64_MAX;
    case LOG_NOT_FOUND:
    case LOG_CLOSED:
    case LOG_COLD:
    case LOG_OUT_OF_RANGE:
    case LOG_BAD_SEQUENCE:
    case LOG_BAD_EPOCH:
        return INT64_MAX;
    }
    check_unreachable("log_status");
}

bool store_clean(struct store *store, struct cleaner *cleaner, int64_t now_ms)
{
    struct clean_choice choice;
    enum log_status status;

    choose(store, now_ms, &choice);
    if (!choice.entry)
        return false;
    int64_t look_ms = clean(store, cleaner, &choice, now_ms, &status);
    cleaner_look_end(&choice.look);
    pthread_mutex_lock(&store->clean_lock);
    let_go(store, choice.entry, look_ms);
    pthread_mutex_unlock(&store->clean_lock);
    return status == LOG_OK;
}

/* The log's entry for this thread; NULL: another one has it, or it is damaged or gone. */
static struct clean_entry *take_entry(struct store *store, struct log *log)
{
    store__cleanable(&store->directories[log__node(log)->directory].host, log);
    pthread_mutex_lock(&store->clean_lock);
    take_queue(store);
    struct clean_entry *entry = log__node(log)->clean_entry;
    if (entry && is_due(entry, INT64_MAX)) {
        entry->is_busy = true;
        entry->look_ms = INT64_MAX;
    } else {
        entry = NULL;
    }
    pthread_mutex_unlock(&store->clean_lock);
    return entry;
}

enum log_status store_clean_log(struct store *store, struct cleaner *cleaner, struct log *log, int64_t now_ms)
{
    struct clean_choice choice = { .entry = take_entry(store, log) };
    enum log_status status = LOG_OK;

    if (!choice.entry)
        return LOG_BUSY;
    int64_t look_ms = look_at(choice.entry, now_ms, true, &choice.look);
    if (look_ms == INT64_MIN)
        look_ms = clean(store, cleaner, &choice, now_ms, &status);
    else
        status = LOG_NOT_FOUND;
    cleaner_look_end(&choice.look);
    pthread_mutex_lock(&store->clean_lock);
    if (status == LOG_NOT_FOUND && choice.entry->is_damaged)
        status = LOG_CORRUPT;
    let_go(store, choice.entry, look_ms);
    pthread_mutex_unlock(&store->clean_lock);
    return status;
}

/* --- logs that go -------------------------------------------------------------------------------- */

/* Takes a log out of the queue. */
static void unqueue(struct store *store, struct log *log)
{
    pthread_mutex_lock(&store->dirty_lock);
    struct log **link = &store->clean_queue;
    while (*link && *link != log)
        link = &log__node(*link)->clean_next;
    if (*link)
        *link = log__node(log)->clean_next;
    pthread_mutex_unlock(&store->dirty_lock);
}

void store__forget_cleaning(struct store *store, struct log *const *logs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t directory = log__node(logs[i])->directory;
        bool was_in_checkpoint = false;
        unqueue(store, logs[i]);
        pthread_mutex_lock(&store->clean_lock);
        struct clean_entry *entry = log__node(logs[i])->clean_entry;
        log__node(logs[i])->clean_entry = NULL;
        if (entry) {
            was_in_checkpoint = entry->first_dirty > 0;
            entry->is_gone = true;
            if (!entry->is_busy)
                free_entry(store, entry);
        }
        pthread_mutex_unlock(&store->clean_lock);
        /* A topic of the same name is another log. */
        if (was_in_checkpoint)
            write_checkpoint(store, directory);
    }
}

void store__close_cleaning(struct store *store)
{
    pthread_mutex_lock(&store->clean_lock);
    while (store->cleanings) {
        log__node(store->cleanings->log)->clean_entry = NULL;
        check(!store->cleanings->is_busy);
        free_entry(store, store->cleanings);
    }
    store->clean_queue = NULL;
    pthread_mutex_unlock(&store->clean_lock);
}
