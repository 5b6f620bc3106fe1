/* What of a compacted log may be cleaned, whether that is worth it, and in which portions. */
#include "storage/cleaner_choice.h"

#include <stdlib.h>

#include "protocol/base/note.h"

/* A look that found segments waiting for their flush comes again after this long. */
enum { UNSETTLED_AGAIN_MS = 1000 };

static void again_at(struct cleaner_look *look, int64_t when_ms)
{
    if (when_ms < look->look_again_ms)
        look->look_again_ms = when_ms;
}

static int64_t add_ms(int64_t time_ms, int64_t more)
{
    return time_ms > INT64_MAX - more ? INT64_MAX : time_ms + more;
}

/* --- what lies there ------------------------------------------------------------------------------ */

/* Bytes of an index; UINT32_MAX: its file knows. */
static uint32_t index_size(struct segment_index *index)
{
    return atomic_load(&index->on_disk) ? UINT32_MAX : segment_index_count(index) * index->entry_size;
}

static struct cleaner_source describe(struct segment *segment)
{
    return (struct cleaner_source){
        .base_offset = segment->base_offset,
        .size = atomic_load(&segment->size),
        .offsets_size = index_size(&segment->offsets),
        .times_size = index_size(&segment->times),
        .last_timestamp = time_index_last(&segment->times).timestamp,
        .is_damaged = atomic_load(&segment->quarantine) != NULL,
    };
}

static void ask_file(const struct log *log, int64_t base_offset, const char *suffix, uint32_t *size)
{
    char path[SEGMENT_PATH_MAX];
    struct file_info info;
    if (*size != UINT32_MAX)
        return;
    segment_path(&log->home, base_offset, suffix, path);
    bool is_known = file_info(log->env->files, path, &info) == FILE_OK && info.size <= INT32_MAX;
    *size = is_known ? (uint32_t)info.size : 0;
}

static bool has_max_lag(const struct log *log)
{
    return log__config(log)->max_compaction_lag_ms > 0 && log__config(log)->max_compaction_lag_ms < INT64_MAX;
}

/* Whether there are segments besides the active one that first_dirty leaves to clean, or the active one may
 * have to roll; a shut log's row says so. */
static bool may_have_work(struct log *log, int64_t first_dirty)
{
    pthread_mutex_lock(&log->mutex);
    enum log_state state = log__state(log);
    bool may = state == LOG_OPEN;
    if (state == LOG_SHUT)
        may = (log->row.segment_count > 1 && first_dirty < log->row.active_base) ||
              (has_max_lag(log) && log->row.active_size > 0);
    may = may && (log__config(log)->cleanup & LOG_CLEANUP_COMPACT);
    pthread_mutex_unlock(&log->mutex);
    return may;
}

/* When the active segment, which is not compacted, has held its first batch for max.compaction.lag.ms;
 * INT64_MAX: never. Under the mutex. */
static int64_t overdue_ms(struct log *log)
{
    if (log__state(log) != LOG_OPEN || !has_max_lag(log))
        return INT64_MAX;
    const struct segment_growth *growth = &log__active(log)->growth;
    int64_t from = growth->first_timestamp >= 0 ? growth->first_timestamp : growth->created_ms;
    int64_t lag = log__config(log)->max_compaction_lag_ms;
    if (growth->size == 0 || from > INT64_MAX - lag - 1)
        return INT64_MAX;
    return from + lag + 1;
}

/* A new active segment when the old one is overdue: Kafka waits for the next append, which may never come.
 * What fails is met again by an append, or by the next look. */
static void roll_overdue(struct log *log, int64_t now_ms, struct cleaner_look *look)
{
    pthread_mutex_lock(&log->prepare_mutex);
    if (log__state(log) == LOG_SHUT && has_max_lag(log))
        (void)log__open_shut(log);
    pthread_mutex_lock(&log->mutex);
    int64_t due_ms = overdue_ms(log);
    pthread_mutex_unlock(&log->mutex);
    /* On a full disk what log__prepare_roll() may take is kept for those who remove something. */
    bool is_ready = due_ms <= now_ms && log_health(log) == LOG_OK && log__may_grow(log) &&
                    log__prepare_roll(log) == LOG_OK;
    pthread_mutex_lock(&log->mutex);
    if (is_ready && overdue_ms(log) <= now_ms && log_health(log) == LOG_OK)
        (void)log__roll(log, log__moment(log).end, now_ms);
    due_ms = overdue_ms(log);
    pthread_mutex_unlock(&log->mutex);
    pthread_mutex_unlock(&log->prepare_mutex);
    if (due_ms < INT64_MAX)
        again_at(look, due_ms > now_ms ? due_ms : add_ms(now_ms, UNSETTLED_AGAIN_MS));
}

/* All segments of the log as they are now. */
static enum log_status list_sources(struct log *log, struct cleaner_look *look, struct log_moment *moment,
                                    int64_t *durable_base)
{
    enum log_status status = LOG_OK;
    pthread_mutex_lock(&log->prepare_mutex); /* nobody opens, shuts or replaces meanwhile */
    if (log__state(log) == LOG_SHUT)
        status = log__open_shut(log);
    pthread_mutex_lock(&log->mutex);
    struct segment_list *list = log__segments(log);
    if (status == LOG_OK && (log__state(log) != LOG_OPEN || !list))
        status = log__state(log) == LOG_ENDED ? LOG_CLOSED : LOG_NOT_FOUND;
    if (status == LOG_OK) {
        look->sources = malloc(list->count * sizeof *look->sources);
        status = look->sources ? LOG_OK : LOG_LIMIT;
    }
    if (status == LOG_OK) {
        *moment = log__moment(log);
        *durable_base = log->durable.segment_base;
        look->config = *log__config(log);
        look->count = list->count;
        for (size_t i = 0; i < list->count; i++) {
            look->sources[i] = describe(list->items[i]);
            look->sources[i].next_base = i + 1 < list->count ? list->items[i + 1]->base_offset : moment->end;
            look->sources[i].is_settled =
                i + 1 < list->count && look->sources[i].next_base <= moment->durable;
        }
    }
    pthread_mutex_unlock(&log->mutex);
    pthread_mutex_unlock(&log->prepare_mutex);
    for (size_t i = 0; i < look->count; i++) {
        struct cleaner_source *source = &look->sources[i];
        ask_file(log, source->base_offset, ".index", &source->offsets_size);
        ask_file(log, source->base_offset, ".timeindex", &source->times_size);
    }
    return status;
}

/* --- times of segments ---------------------------------------------------------------------------- */

/* Reads size bytes at position of a file of the segment; a negative position counts from the end. */
static bool read_piece(struct log *log, int64_t base_offset, const char *suffix, int64_t position, void *out,
                       size_t size)
{
    char path[SEGMENT_PATH_MAX];
    struct open_file *file;
    uint64_t file_bytes;
    size_t got = 0;
    if (!log->host->may_open(log->host, 1, 0))
        return false;
    segment_path(&log->home, base_offset, suffix, path);
    if (open_file_open(&log->home, path, FILE_READ, &file) != FILE_OK)
        return false;
    bool ok = file_size(file->file, &file_bytes) == FILE_OK;
    if (ok && position < 0) {
        ok = file_bytes >= (uint64_t)-position;
        position += (int64_t)file_bytes;
    }
    ok = ok && file_pread(file->file, out, size, (uint64_t)position, &got) == FILE_OK && got == size;
    pin_drop(&file->pin);
    return ok;
}

/* The largest timestamp of a settled segment; without any, when its file was last written (as Kafka). */
static int64_t largest_timestamp(struct log *log, const struct cleaner_source *source)
{
    uint8_t entry[TIME_INDEX_ENTRY_SIZE];
    char path[SEGMENT_PATH_MAX];
    struct file_info info;
    if (source->last_timestamp >= 0)
        return source->last_timestamp;
    if (read_piece(log, source->base_offset, ".timeindex", -(int64_t)sizeof entry, entry, sizeof entry) &&
        (int64_t)load_be64(entry) >= 0)
        return (int64_t)load_be64(entry);
    segment_path(&log->home, source->base_offset, ".log", path);
    return file_info(log->env->files, path, &info) == FILE_OK ? info.mtime_ms : INT64_MAX;
}

/* The timestamp of the first batch; -1: none. */
static int64_t first_timestamp(struct log *log, const struct cleaner_source *source)
{
    uint8_t bytes[BATCH_HEADER_SIZE];
    struct batch_head head;
    if (source->size < sizeof bytes ||
        !read_piece(log, source->base_offset, ".log", 0, bytes, sizeof bytes) ||
        !batch_head_read(bytes, source->size, &head))
        return -1;
    return head.max_timestamp;
}

/* --- how far ------------------------------------------------------------------------------------- */

size_t cleaner_source_find(const struct cleaner_look *look, int64_t offset)
{
    size_t i = 0;
    while (i + 1 < look->count && look->sources[i + 1].base_offset <= offset)
        i++;
    return i;
}

/* A checkpoint below the start is behind retention; one beyond the end tells of a log that was cut. */
static void choose_first_dirty(struct log *log, struct cleaner_look *look, const struct log_moment *m,
                               int64_t first_dirty)
{
    look->first_dirty = first_dirty < 0 ? m->start : first_dirty;
    if (look->first_dirty > m->end)
        note_warn("cleaner.checkpoint_reset",
                  "log=%s first_dirty_offset=%lld log_end_offset=%lld effect=\"all of it is cleaned anew\"",
                  log->name, (long long)first_dirty, (long long)m->end);
    if (look->first_dirty < m->start || look->first_dirty > m->end)
        look->first_dirty = m->start;
    look->is_reset = look->first_dirty != first_dirty;
}

/* The first source that must stay as it is: that holds an offset which is not stable yet, is not on the
 * device, or too young. What recovery takes for the durable end lies in none that is cleaned: gaps behind it
 * would be damage.
 */
static size_t first_uncleanable(struct log *log, struct cleaner_look *look, const struct log_moment *m,
                                int64_t durable_base, int64_t now_ms)
{
    size_t active = look->count - 1;
    size_t bound = cleaner_source_find(look, m->stable < m->high_watermark ? m->stable : m->high_watermark);
    if (bound > active)
        bound = active;
    for (size_t i = 0; i < bound; i++) {
        if (!look->sources[i].is_settled || look->sources[i].base_offset >= durable_base) {
            bound = i;
            again_at(look, add_ms(now_ms, UNSETTLED_AGAIN_MS));
        }
    }
    int64_t lag = look->config.min_compaction_lag_ms;
    for (size_t i = cleaner_source_find(look, look->first_dirty); lag > 0 && i < bound; i++) {
        int64_t timestamp = largest_timestamp(log, &look->sources[i]);
        if (timestamp > now_ms - lag) {
            again_at(look, add_ms(add_ms(timestamp, lag), 1));
            bound = i;
        }
    }
    return bound;
}

/* Whether the oldest dirty record waits longer than max.compaction.lag.ms. */
static bool is_overdue(struct log *log, struct cleaner_look *look, int64_t now_ms)
{
    int64_t lag = look->config.max_compaction_lag_ms, earliest = INT64_MAX;
    if (lag <= 0)
        lag = 0;
    if (lag > now_ms)
        return false;
    for (size_t i = cleaner_source_find(look, look->first_dirty); i + 1 < look->count; i++) {
        int64_t timestamp = first_timestamp(log, &look->sources[i]);
        if (timestamp > 0 && timestamp < earliest)
            earliest = timestamp;
    }
    if (earliest == INT64_MAX)
        return false;
    if (earliest >= now_ms - lag)
        again_at(look, add_ms(add_ms(earliest, lag), 1));
    return earliest < now_ms - lag;
}

static void measure(struct cleaner_look *look, size_t bound)
{
    int64_t end = look->sources[bound].base_offset;
    look->first_uncleanable = end;
    size_t dirty = cleaner_source_find(look, look->first_dirty < end ? look->first_dirty : end);
    for (size_t i = 0; i < look->count; i++) {
        const struct cleaner_source *source = &look->sources[i];
        if (source->base_offset < look->first_dirty)
            look->clean_size += source->size;
        if (i >= dirty && i < bound)
            look->cleanable_size += source->size;
        look->is_damaged |= i < bound && source->is_damaged;
    }
    uint64_t total = look->clean_size + look->cleanable_size;
    look->ratio = total > 0 ? (double)look->cleanable_size / (double)total : 0;
}

enum log_status cleaner_look(struct log *log, int64_t first_dirty, int64_t now_ms, struct cleaner_look *out)
{
    struct log_moment m = { .start = 0 };
    int64_t durable_base = -1;
    *out = (struct cleaner_look){ .look_again_ms = INT64_MAX };
    if (!may_have_work(log, first_dirty))
        return LOG_NOT_FOUND;
    if (has_max_lag(log))
        roll_overdue(log, now_ms, out);
    enum log_status status = list_sources(log, out, &m, &durable_base);
    if (status != LOG_OK)
        return status;
    out->start = m.start;
    choose_first_dirty(log, out, &m, first_dirty);
    measure(out, first_uncleanable(log, out, &m, durable_base, now_ms));
    out->is_overdue = out->cleanable_size > 0 && is_overdue(log, out, now_ms);
    out->is_eligible =
        out->cleanable_size > 0 && (out->is_overdue || out->ratio > out->config.min_cleanable_ratio);
    return LOG_OK;
}

void cleaner_look_end(struct cleaner_look *look)
{
    free(look->sources);
    look->sources = NULL;
    look->count = 0;
}

size_t cleaner_group_count(const struct cleaner_look *look, size_t first, int64_t end)
{
    const struct cleaner_source *sources = look->sources;
    uint64_t size = sources[first].size, offsets = sources[first].offsets_size,
             times = sources[first].times_size;
    uint64_t size_max = (uint64_t)look->config.segment_bytes;
    uint64_t index_max = (uint64_t)look->config.segment_index_bytes;
    size_t i = first + 1;
    for (; i < look->count && sources[i].base_offset < end; i++) {
        size += sources[i].size;
        offsets += sources[i].offsets_size;
        times += sources[i].times_size;
        bool fits = size <= size_max && offsets <= index_max && times <= index_max;
        /* An empty one costs no relative offsets: else each 2^31 offsets would leave an empty segment. */
        bool reaches =
            sources[i].size == 0 || sources[i].next_base - 1 - sources[first].base_offset <= INT32_MAX;
        if (!fits || !reaches)
            break;
    }
    return i - first;
}
