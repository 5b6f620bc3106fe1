/* Retention: which of a log's oldest segments are left behind by its start, its size or its age, and go. */
#include <inttypes.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/log_history.h"
#include "storage/log_segments.h"
#include "storage/reserve.h"

/* -- the age of a segment -------------------------------------------------------------------------- */

struct age_walk {
    struct log_walk walk; /* first */
    int64_t largest;
};

static enum log_status note_timestamp(struct log_walk *walk, const struct segment_scan *scan)
{
    struct age_walk *age = (struct age_walk *)walk;
    if (scan->head.max_timestamp > age->largest)
        age->largest = scan->head.max_timestamp;
    return LOG_OK;
}

/* Its batches' headers, for when the time index says nothing that can be true. -1: no timestamps. */
static enum log_status walk_timestamps(struct log *log, struct segment *segment, int64_t *largest)
{
    struct age_walk age = {
        .walk = { .log = log, .from = 0, .until = INT64_MAX, .visit = note_timestamp, .io_fails = true },
        .largest = -1,
    };
    enum log_status status = log__walk_segment(&age.walk, segment);
    *largest = age.largest;
    return status;
}

/* Records without timestamps are as old as the file (as in Kafka). */
static enum log_status file_time(struct log *log, const struct segment *segment, int64_t *time_ms)
{
    char path[SEGMENT_PATH_MAX];
    struct file_info info;
    segment_path(&log->home, segment->base_offset, ".log", path);
    enum file_status status = file_info(log->env->files, path, &info);
    *time_ms = status == FILE_OK ? info.mtime_ms : 0;
    return log__status_of(status);
}

/* The largest timestamp of a sealed segment; kept once it is known. */
static enum log_status sealed_timestamp(struct log *log, struct segment *segment, int64_t next_base,
                                        int64_t *largest)
{
    *largest = atomic_load(&segment->largest_timestamp);
    if (*largest != SEGMENT_TIMESTAMP_UNKNOWN)
        return LOG_OK;
    struct time_entry last = log__last_time_entry(log, segment);
    enum log_status status = LOG_OK;
    if (last.timestamp >= 0 && (int64_t)last.relative < next_base - segment->base_offset)
        *largest = last.timestamp;
    else
        status = walk_timestamps(log, segment, largest);
    if (status == LOG_OK && *largest < 0)
        status = file_time(log, segment, largest);
    if (status == LOG_OK)
        atomic_store(&segment->largest_timestamp, *largest);
    return status;
}

void log__note_oldest(struct log *log)
{
    struct segment_list *list = log__segments(log);
    struct segment *oldest = list->items[0];
    int64_t largest;
    if (list->count > 1)
        (void)sealed_timestamp(log, oldest, list->items[1]->base_offset, &largest);
    else if (oldest->growth.max_timestamp < 0 && oldest->growth.size > 0 &&
             file_time(log, oldest, &largest) == LOG_OK)
        atomic_store(&oldest->largest_timestamp, largest);
}

/* -- what may go ----------------------------------------------------------------------------------- */

/* One round over one log. The list does not shrink meanwhile, and what was sealed stays as it is. */
struct round {
    struct log *log;
    const struct segment_list *list;
    struct log_moment moment;
    struct log_config config;
    int64_t now_ms;
    uint32_t active_size;
    int64_t active_timestamp;
    enum log_status status;
};

static uint64_t size_of(const struct round *round, size_t i)
{
    return i + 1 == round->list->count ? round->active_size : atomic_load(&round->list->items[i]->size);
}

static int64_t bound_of(const struct round *round, size_t i)
{
    return i + 1 == round->list->count ? round->moment.end : round->list->items[i + 1]->base_offset;
}

/* Whatever the reason: nothing beyond the high watermark, and no active segment that is empty. */
static bool may_go(const struct round *round, size_t i)
{
    return i < round->list->count && bound_of(round, i) <= round->moment.high_watermark &&
           (i + 1 < round->list->count || round->active_size > 0);
}

static size_t below_start(const struct round *round, size_t count)
{
    while (count + 1 < round->list->count && may_go(round, count) &&
           bound_of(round, count) <= round->moment.start)
        count++;
    return count;
}

static size_t over_size(const struct round *round, size_t count)
{
    int64_t limit = round->config.retention_bytes;
    uint64_t total = 0;
    if (limit < 0)
        return count;
    for (size_t i = count; i < round->list->count; i++)
        total += size_of(round, i);
    if (total < (uint64_t)limit)
        return count;
    for (uint64_t excess = total - (uint64_t)limit; may_go(round, count) && size_of(round, count) <= excess;
         count++)
        excess -= size_of(round, count);
    return count;
}

static bool is_over_age(int64_t timestamp, int64_t retention_ms, int64_t now_ms)
{
    return timestamp <= now_ms && now_ms - timestamp > retention_ms;
}

static size_t over_age(struct round *round, size_t count)
{
    if (round->config.retention_ms < 0)
        return count;
    for (; may_go(round, count); count++) {
        struct segment *segment = round->list->items[count];
        int64_t largest = round->active_timestamp;
        if (count + 1 < round->list->count)
            round->status = sealed_timestamp(round->log, segment, bound_of(round, count), &largest);
        else if (largest < 0)
            round->status = file_time(round->log, segment, &largest);
        if (round->status != LOG_OK || !is_over_age(largest, round->config.retention_ms, round->now_ms))
            break;
    }
    return count;
}

/* How many of the oldest go, all of them perhaps. Under prepare_mutex. */
static size_t count_deletable(struct round *round)
{
    struct log *log = round->log;
    pthread_mutex_lock(&log->mutex);
    round->list = log__segments(log);
    round->moment = log__moment(log);
    round->config = *log__config(log);
    round->active_size = log__active(log)->growth.size;
    round->active_timestamp = log__active(log)->growth.max_timestamp;
    pthread_mutex_unlock(&log->mutex);
    size_t count = below_start(round, 0);
    if (round->config.cleanup & LOG_CLEANUP_DELETE)
        count = over_age(round, over_size(round, count));
    return count;
}

/* Whether a shut log is worth opening. */
static bool row_has_work(const struct log_row *row, const struct log_config *config, int64_t now_ms)
{
    if (row->segment_count > 1 && row->second_base <= row->start_offset)
        return true;
    if (!(config->cleanup & LOG_CLEANUP_DELETE) || row->size == 0)
        return false;
    if (config->retention_bytes >= 0 && row->size >= (uint64_t)config->retention_bytes &&
        row->size - (uint64_t)config->retention_bytes >= row->oldest_size)
        return true;
    return config->retention_ms >= 0 && (row->oldest_timestamp == SEGMENT_TIMESTAMP_UNKNOWN ||
                                         is_over_age(row->oldest_timestamp, config->retention_ms, now_ms));
}

/* -- doing it -------------------------------------------------------------------------------------- */

/* A new active segment, so that the one of which every record is over age can go. False: not now. */
static bool roll(struct round *round)
{
    struct log *log = round->log;
    round->status = log__prepare_roll(log);
    if (round->status != LOG_OK)
        return false;
    pthread_mutex_lock(&log->mutex);
    int64_t end = log__moment(log).end;
    /* An append that came first is younger than the age, as a rule: the next round sees. */
    round->status = end == round->moment.end ? log__roll(log, end, round->now_ms) : LOG_BUSY;
    pthread_mutex_unlock(&log->mutex);
    if (round->status == LOG_BUSY)
        round->status = LOG_OK;
    else if (round->status == LOG_OK)
        return true;
    return false;
}

static void remove_oldest(struct round *round, size_t count, struct log_retained *out)
{
    struct log_retained gone = { .segment_count = (uint32_t)count };
    for (size_t i = 0; i < count; i++)
        gone.size += size_of(round, i);
    round->status = log__remove_oldest(round->log, count);
    if (round->status != LOG_OK)
        return;
    *out = gone;
    note_info("log.segments_removed", "log=%s count=%" PRIu32 " size=%" PRIu64 " start=%" PRId64,
              round->log->name, gone.segment_count, gone.size, log__moment(round->log).start);
}

/* Under prepare_mutex. */
static enum log_status retain(struct log *log, int64_t now_ms, struct log_retained *out)
{
    struct round round = { .log = log, .now_ms = now_ms, .status = log_health(log) };
    if (round.status == LOG_OK && log__state(log) == LOG_SHUT) {
        if (!row_has_work(&log->row, log__config(log), now_ms))
            return LOG_OK;
        round.status = log__open_shut(log);
        if (round.status == LOG_NOT_FOUND)
            round.status = LOG_IO;
    }
    if (round.status != LOG_OK || log__state(log) != LOG_OPEN)
        return round.status;
    size_t count = count_deletable(&round);
    enum log_status judged = round.status;
    if (count > 0 && count == round.list->count && !roll(&round))
        count--;
    if (count > 0 && round.status == LOG_OK)
        remove_oldest(&round, count, out);
    return round.status != LOG_OK ? round.status : judged;
}

enum log_status log_retain(struct log *log, int64_t now_ms, struct log_retained *out)
{
    *out = (struct log_retained){ 0 };
    enum log_status status;
    unsigned seen;
    do {
        seen = atomic_load(&log->host->shortage);
        pthread_mutex_lock(&log->prepare_mutex);
        status = retain(log, now_ms, out);
        pthread_mutex_unlock(&log->prepare_mutex);
    } while (status == LOG_DISK_FULL && log__make_room(log, RANK_REMOVAL, seen));
    if (out->segment_count > 0)
        log->env->progress(log->env, log->owner);
    return log__outcome(log, status);
}

enum log_status log_delete_records(struct log *log, int64_t offset, int64_t *start)
{
    bool rose = false;
    pthread_mutex_lock(&log->mutex);
    struct log_moment m = log__moment(log);
    enum log_status status = log_health(log);
    if (status != LOG_OK) {
        /* said already */
    } else if (offset < 0 || offset > m.high_watermark) {
        status = LOG_OUT_OF_RANGE;
    } else if (offset > m.start && (log__state(log) != LOG_OPEN || !atomic_load(&log->may_change))) {
        status = LOG_BUSY;
    } else if (offset > m.start) {
        log__raise_start(log, offset);
        rose = true;
    }
    *start = log__moment(log).start;
    pthread_mutex_unlock(&log->mutex);
    if (rose)
        log->env->progress(log->env, log->owner);
    return log__outcome(log, status);
}

bool log_is_short_of_room(const struct log *log)
{
    return atomic_load(&log->host->shortage) != SHORTAGE_NONE;
}

bool log__start_to_save(struct log *log, int64_t *start)
{
    bool is_above = false;
    pthread_mutex_lock(&log->mutex);
    if (log__state(log) == LOG_OPEN) {
        *start = log__moment(log).start;
        is_above = *start > log__segments(log)->items[0]->base_offset;
    } else if (log__state(log) == LOG_SHUT) {
        *start = log->row.start_offset;
        is_above = *start > log->row.first_base;
    }
    pthread_mutex_unlock(&log->mutex);
    return is_above;
}
