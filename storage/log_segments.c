/* Segments that leave a log or take the place of others, while readers go on and a power cut may come at any
 * moment. */
#include "storage/log_segments.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/log_producers.h"
#include "storage/quarantine_file.h"
#include "storage/removed_segment.h"

/* Kafka's order of a segment's files. */
static const char *const suffixes[] = { ".log", ".index", ".timeindex", ".txnindex" };

enum { SUFFIX_COUNT = sizeof suffixes / sizeof suffixes[0] };

/* Segments on their way out, oldest first, and the list without them: all memory is had before anything is
 * done. */
struct leaving {
    struct removed_segment *first;
    struct segment_list *list; /* filled in when it is published */
    size_t at, count;          /* where they are in the log's list */
    struct segment *keep;      /* what takes their place; NULL: nothing */
    bool any_quarantine;
};

static void leaving_free(struct leaving *leaving)
{
    for (struct removed_segment *removed = leaving->first, *next; removed; removed = next) {
        next = removed->next;
        removed->segment = NULL; /* still the log's */
        removed_segment_destroy(removed);
    }
    free(leaving->list);
}

/* Under prepare_mutex, so that nobody but a roll changes the list meanwhile, and under the mutex. */
static enum log_status leaving_begin(struct leaving *leaving, struct log *log, size_t first, size_t count,
                                     struct segment *keep)
{
    struct segment_list *old = log__segments(log);
    struct removed_segment **last = &leaving->first;
    int64_t now_ms = clock_mono_ms(log->env->clock), delay_ms = log__config(log)->file_delete_delay_ms;
    int64_t due_ms = delay_ms < INT64_MAX - now_ms ? now_ms + delay_ms : INT64_MAX;
    /* As many rolls as there are spares may come before the list is filled in. */
    *leaving = (struct leaving){ .keep = keep,
                                 .at = first,
                                 .count = count,
                                 .list = segment_list_create(old->count - count + 1 + log->spare_count) };
    bool ok = leaving->list != NULL;
    for (size_t i = first; i < first + count && ok; i++) {
        struct segment *segment = old->items[i];
        /* The snapshot at the base offset of a segment that is replaced is still true. */
        bool has_snapshot = !keep || segment->base_offset != keep->base_offset;
        *last = removed_segment_create(&log->home, segment, due_ms, has_snapshot);
        ok = *last != NULL;
        if (ok)
            last = &(*last)->next;
        leaving->any_quarantine |= atomic_load(&segment->quarantine) != NULL;
    }
    if (!ok)
        leaving_free(leaving);
    return ok ? LOG_OK : LOG_LIMIT;
}

/* From here on nobody takes what a path of theirs opens for theirs. */
static void mark_gone(const struct leaving *leaving)
{
    for (struct removed_segment *removed = leaving->first; removed; removed = removed->next)
        atomic_store(&removed->segment->is_gone, true);
}

/* Publishes the list without them. Under the mutex. */
static void swap_list(struct log *log, const struct leaving *leaving)
{
    const struct segment_list *old = log__segments(log);
    struct segment_list *list = leaving->list;
    size_t after = leaving->at + leaving->count, used = 0;
    for (size_t i = 0; i < leaving->at; i++)
        list->items[used++] = old->items[i];
    if (leaving->keep)
        list->items[used++] = leaving->keep;
    check(old->count - after + used <= list->count);
    for (size_t i = after; i < old->count; i++)
        list->items[used++] = old->items[i];
    list->count = used;
    log->rewrite_count += leaving->keep != NULL;
    log__lock_readers(log);
    for (struct removed_segment *removed = leaving->first; removed; removed = removed->next)
        log__forget_ahead(log, removed->segment);
    for (struct removed_segment *removed = leaving->first; removed; removed = removed->next) {
        for (size_t i = 0; i < LOG_MAPPED_SEALED_MAX; i++) {
            if (log->mapped[i] == removed->segment)
                log->mapped[i] = NULL;
        }
    }
    log__set_segments(log, list);
    log__unlock_readers(log);
}

/* Hands them to the host, which unlinks their files in time. */
static void give_away(struct log *log, struct leaving *leaving)
{
    for (struct removed_segment *removed = leaving->first, *next; removed; removed = next) {
        next = removed->next;
        removed->next = NULL;
        log->host->removed(log->host, removed);
    }
}

/* The names are not what they should be, and only the next start can tell: the log takes no more appends. */
static enum log_status names_failed(struct log *log)
{
    log_fail(log);
    return LOG_IO;
}

static enum log_status flush_names(struct log *log)
{
    return log__status_of(file_flush_directory(log->env->files, log->path));
}

/* Whether the log's files may be changed now. */
static enum log_status begin(struct log *log)
{
    enum log_status status = log_health(log);
    if (status == LOG_OK && log__state(log) != LOG_OPEN)
        status = log__state(log) == LOG_ENDED ? LOG_CLOSED : LOG_BUSY;
    return status == LOG_OK ? log->host->before_change(log->host, log) : status;
}

enum log_status log__gone_status(const struct log *log, const struct segment_list *list)
{
    if (log__segments(log) != list)
        return LOG_BUSY;
    return log_health(log) == LOG_IO ? LOG_IO : LOG_COLD;
}

/* -- the oldest ------------------------------------------------------------------------------------ */

void log__raise_start(struct log *log, int64_t start)
{
    struct log_moment m = log__moment(log);
    check(start <= m.high_watermark);
    if (start <= m.start)
        return;
    m.start = start;
    if (m.stable < start)
        m.stable = start;
    log__publish(log, &m);
    log->host->start_rose(log->host, log);
    log__lock_readers(log);
    bool has_changed = leader_epochs_cut_start(&log->epochs, start);
    log__unlock_readers(log);
    if (has_changed) {
        log->epochs_dirty = true;
        log__submit_job(log);
    }
}

/* Names change oldest first, and no name before the one before it is on the device: whatever a power cut
 * leaves has no gap. */
static enum log_status rename_oldest(struct log *log, const struct leaving *leaving)
{
    for (struct removed_segment *removed = leaving->first; removed; removed = removed->next) {
        if (removed_segment_rename(removed) != FILE_OK || (removed->next && flush_names(log) != LOG_OK))
            return names_failed(log);
    }
    return LOG_OK;
}

enum log_status log__remove_oldest(struct log *log, size_t count)
{
    struct leaving leaving;
    enum log_status status = begin(log);
    if (status != LOG_OK || count == 0)
        return status;
    check(count < log__segments(log)->count); /* a roll adds to the list */
    int64_t start = log__segments(log)->items[count]->base_offset;
    status = log__keep_producers(log, start);
    if (status != LOG_OK)
        return status == LOG_IO ? names_failed(log) : status;
    pthread_mutex_lock(&log->mutex);
    status = start <= log__moment(log).high_watermark ? LOG_OK : LOG_OUT_OF_RANGE;
    if (status == LOG_OK)
        status = leaving_begin(&leaving, log, 0, count, NULL);
    if (status != LOG_OK) {
        pthread_mutex_unlock(&log->mutex);
        return status;
    }
    log__raise_start(log, start);
    swap_list(log, &leaving);
    mark_gone(&leaving);
    log->host->start_rose(log->host, log); /* or the files tell of it now */
    /* The place of the durable end, when it was that of a segment which is no more. */
    if (log->durable.segment_base < start && log->durable.offset == start)
        log->durable = (struct log_position){ start, start, 0 };
    pthread_mutex_unlock(&log->mutex);

    status = rename_oldest(log, &leaving);
    if (leaving.any_quarantine)
        quarantine_file_write(log, log__segments(log));
    give_away(log, &leaving);
    pthread_mutex_lock(&log->mutex);
    log->directory_dirty = true;
    log__note_names_dirty(log);
    pthread_mutex_unlock(&log->mutex);
    return status;
}

/* -- replacement ----------------------------------------------------------------------------------- */

static void suffixed_path(const struct log *log, int64_t base_offset, const char *suffix, const char *stage,
                          char out[SEGMENT_PATH_MAX])
{
    char name[32] = "";
    strncat(name, suffix, sizeof name - 1);
    strncat(name, stage, sizeof name - 1 - strlen(name));
    segment_path(&log->home, base_offset, name, out);
}

/* Renames files [first, end) of a segment, in Kafka's order, from one stage of a replacement to the next. */
static enum file_status change_stage(const struct log *log, int64_t base_offset, size_t first, size_t end,
                                     const char *from_stage, const char *to_stage)
{
    char from[SEGMENT_PATH_MAX], to[SEGMENT_PATH_MAX];
    for (size_t i = first; i < end; i++) {
        suffixed_path(log, base_offset, suffixes[i], from_stage, from);
        suffixed_path(log, base_offset, suffixes[i], to_stage, to);
        enum file_status status = file_rename(log->env->files, from, to);
        /* Only the .log must be there: the others are made anew. */
        if (status != FILE_OK && (status != FILE_NOT_FOUND || i == 0))
            return status;
    }
    return FILE_OK;
}

/* The replacement is not to be: nothing of it stays. */
static void drop_replacement(struct log *log, struct segment *replacement)
{
    static const char *const stages[] = { ".cleaned", ".swap" };
    char path[SEGMENT_PATH_MAX];
    for (size_t stage = 2; stage > 0; stage--) { /* a .swap without a .cleaned would be taken for whole */
        for (size_t i = 0; i < SUFFIX_COUNT; i++) {
            suffixed_path(log, replacement->base_offset, suffixes[i], stages[stage - 1], path);
            (void)file_unlink(log->env->files, path);
        }
    }
    segment_destroy(replacement); /* no reader ever had it */
}

/* Everything below end is on the device, and the store's durable position lies at or behind it: a recovery
 * that starts from there never meets the gaps of the replacement. */
static enum log_status make_durable(struct log *log, int64_t end)
{
    enum log_status status = LOG_OK;
    if (log__moment(log).durable < end)
        status = log_flush(log);
    if (status != LOG_OK)
        return status;
    pthread_mutex_lock(&log->mutex);
    if (log->durable.segment_base < end && log->durable.offset == end)
        log->durable = (struct log_position){ end, end, 0 };
    else if (log->durable.segment_base < end) /* set by offset alone */
        log->durable.segment_base = -1;
    pthread_mutex_unlock(&log->mutex);
    return log->host->before_rewrite(log->host, log);
}

/* `.cleaned` to `.swap`, as a whole: from here on a recovery completes the replacement. */
static enum log_status commit_replacement(struct log *log, const struct segment *replacement)
{
    enum file_status status =
        change_stage(log, replacement->base_offset, 0, SUFFIX_COUNT, ".cleaned", ".swap");
    if (status != FILE_OK)
        return log__status_of(status) == LOG_NOT_FOUND ? LOG_IO : log__status_of(status);
    return flush_names(log);
}

/* The old names go, then the new files get theirs; each step is on the device before the next, or files of
 * both could lie side by side. */
static enum log_status exchange_names(struct log *log, const struct leaving *leaving,
                                      const struct segment *replacement)
{
    for (struct removed_segment *removed = leaving->first; removed; removed = removed->next) {
        if (removed_segment_rename(removed) != FILE_OK)
            return LOG_IO;
    }
    /* As long as there is a .log.swap, recovery removes what has a final name: the .txnindex cannot be made
     * anew. */
    if (flush_names(log) != LOG_OK ||
        change_stage(log, replacement->base_offset, 0, 1, ".swap", "") != FILE_OK ||
        flush_names(log) != LOG_OK ||
        change_stage(log, replacement->base_offset, 1, SUFFIX_COUNT, ".swap", "") != FILE_OK)
        return LOG_IO;
    return flush_names(log);
}

static void publish_replacement(struct log *log, const struct leaving *leaving, struct segment *replacement)
{
    pthread_mutex_lock(&log->mutex);
    replacement->flushed = true;
    atomic_store(&replacement->sealed, true);
    atomic_store(&replacement->is_rewritten, true);
    swap_list(log, leaving);
    pthread_mutex_unlock(&log->mutex);
    if (leaving->any_quarantine)
        quarantine_file_write(log, log__segments(log));
}

static enum log_status begin_replacement(struct log *log, size_t first, size_t count,
                                         const struct segment *replacement)
{
    enum log_status status = begin(log);
    if (status != LOG_OK)
        return status;
    pthread_mutex_lock(&log->mutex);
    struct segment_list *list = log__segments(log);
    check(count > 0 && first + count < list->count);
    check(list->items[first]->base_offset == replacement->base_offset);
    int64_t end = list->items[first + count]->base_offset;
    pthread_mutex_unlock(&log->mutex);
    return make_durable(log, end);
}

enum log_status log__replace_segments(struct log *log, size_t first, size_t count,
                                      struct segment *replacement)
{
    struct leaving leaving;
    enum log_status status = begin_replacement(log, first, count, replacement);
    if (status == LOG_OK) {
        pthread_mutex_lock(&log->mutex);
        status = leaving_begin(&leaving, log, first, count, replacement);
        pthread_mutex_unlock(&log->mutex);
    }
    if (status != LOG_OK) {
        drop_replacement(log, replacement);
        return status;
    }
    status = commit_replacement(log, replacement);
    if (status != LOG_OK) {
        leaving_free(&leaving);
        drop_replacement(log, replacement);
        return status == LOG_IO ? names_failed(log) : status;
    }
    mark_gone(&leaving);
    status = exchange_names(log, &leaving, replacement);
    if (status != LOG_OK)
        (void)names_failed(log);
    publish_replacement(log, &leaving, replacement);
    give_away(log, &leaving);
    return status;
}
