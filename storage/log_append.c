/* Appending: all batches of a call behind the log end, in as few writes as segments allow. */
#include <limits.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/log_producers.h"
#include "storage/log_transactions.h"
#include "storage/segment_tail.h"

/* Index entries that wait in memory before they are worth a write to the file. */
enum { INDEX_SAVE_COUNT_MIN = 16 };

struct random log__random(const struct log *log, int64_t base_offset)
{
    struct random random;
    uint64_t seed;
    memcpy(&seed, log->topic_id.bytes, sizeof seed);
    random_seed(&random, seed ^ (uint64_t)base_offset);
    return random;
}

/* The header that the batch will have. */
static struct batch_head head_at(const struct batch_view *batch, int64_t base_offset)
{
    struct batch_head head = batch_head_of(batch);
    head.base_offset = base_offset;
    head.last_offset = base_offset + batch->last_offset_delta;
    return head;
}

/* Marks what can never fit; returns how many batches are left. */
static size_t refuse_too_large(struct log *log, const struct batch_view *batches, size_t count,
                               struct log_append_result *results)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        bool fits = batches[i].size <= (size_t)log__config(log)->segment_bytes;
        results[i] = (struct log_append_result){ .status = fits ? LOG_BUSY : LOG_TOO_LARGE,
                                                 .base_offset = -1,
                                                 .last_offset = -1,
                                                 .end_offset = -1,
                                                 .append_time_ms = -1 };
        left += fits;
    }
    return left;
}

/* Whether the batch is to be appended, and not yet: what is settled has another status. */
static bool is_due(const struct log_append_result *result)
{
    return result->status == LOG_BUSY;
}

/* How many new segments the call needs: plays it through without doing anything. */
static uint32_t rolls_needed(struct log *log, const struct batch_view *batches, size_t count, int64_t now_ms,
                             const struct log_append_result *results)
{
    struct segment_growth growth = log__active(log)->growth;
    int64_t next = log__end(log);
    uint32_t rolls = 0;
    for (size_t i = 0; i < count; i++) {
        struct segment_entries entries;
        struct batch_head head = head_at(&batches[i], next);
        if (!is_due(&results[i]))
            continue;
        if (segment_growth_must_roll(&growth, &head, log__config(log), now_ms)) {
            struct random random = log__random(log, next);
            growth = segment_growth_begin(next, log__config(log), now_ms, &random);
            rolls++;
        }
        segment_growth_add(&growth, &head, log__config(log), &entries);
        next = head.last_offset + 1;
    }
    return rolls;
}

/* The batches that one write takes to the active segment. */
struct run {
    struct iovec pieces[IOV_MAX];
    size_t piece_count;
    size_t end; /* index of the first batch that is not in it */
    uint32_t size;
    int64_t next_offset;
};

/* Gives batches from `begin` on their offsets until the segment is full or the pieces are used up. */
static void collect(struct log *log, struct batch_view *batches, size_t begin, size_t count,
                    int32_t leader_epoch, int64_t now_ms, const struct log_append_result *results,
                    struct run *run)
{
    struct segment_growth growth = log__active(log)->growth;
    run->piece_count = 0;
    run->size = 0;
    run->next_offset = log__end(log);
    for (run->end = begin; run->end < count; run->end++) {
        struct batch_view *batch = &batches[run->end];
        struct segment_entries entries;
        if (!is_due(&results[run->end]))
            continue;
        struct batch_head head = head_at(batch, run->next_offset);
        if (segment_growth_must_roll(&growth, &head, log__config(log), now_ms))
            return;
        struct iovec *last = run->piece_count > 0 ? &run->pieces[run->piece_count - 1] : NULL;
        if (last && (uint8_t *)last->iov_base + last->iov_len == batch->data) {
            last->iov_len += batch->size; /* neighbours in the receive buffer are one piece */
        } else if (run->piece_count < sizeof run->pieces / sizeof run->pieces[0]) {
            run->pieces[run->piece_count++] = (struct iovec){ batch->data, batch->size };
        } else {
            return;
        }
        batch_assign(batch, run->next_offset, leader_epoch);
        segment_growth_add(&growth, &head, log__config(log), &entries);
        run->size += (uint32_t)batch->size;
        run->next_offset = head.last_offset + 1;
    }
}

/* Bytes of a write that failed half way may lie beyond the end: they must go before anything of this
 * log becomes durable. */
static enum log_status undo_write(struct log *log, struct open_file *data, uint32_t position,
                                  enum file_status why, unsigned shortage)
{
    enum log_status status = log__status_of(why);
    if (status != LOG_DISK_FULL && status != LOG_LIMIT)
        status = LOG_IO;
    if (status != LOG_IO && segment_tail_cut(data->file, position) != FILE_OK)
        status = LOG_IO;
    if (status == LOG_IO) {
        log__fail(log, LOG_IO);
        log->host->failed(log->host, log);
    }
    if (status != LOG_DISK_FULL)
        return status;
    atomic_store_explicit(&log->host->met_full_disk, true, memory_order_relaxed);
    if (!log->host->can_make_room || !log->host->can_make_room(log->host, log__config(log)->rank))
        return LOG_DISK_FULL;
    log->room_wanted = (uint8_t)(shortage + 1); /* log_prepare() makes it */
    return LOG_BUSY;
}

/* What is appended to page cache alone is written back behind the tail: a flush of all of it at once would
 * have appends wait in the file system, as it finds blocks for them under locks that an append takes too. */
static void note_growth(struct log *log, const struct segment *active)
{
    if (log->is_growth_told || log_is_durable_mode(log) || !log->host->grew ||
        active->growth.size - active->behind < LOG_BEHIND_SIZE)
        return;
    log->is_growth_told = true;
    log->host->grew(log->host, log);
}

/* Accounts a written run batch by batch and publishes its end. */
static void accept_run(struct log *log, struct batch_view *batches, size_t begin, const struct run *run,
                       int32_t leader_epoch, int64_t now_ms, struct log_append_result *results)
{
    struct segment *active = log__active(log);
    for (size_t i = begin; i < run->end; i++) {
        struct segment_entries entries;
        if (!is_due(&results[i]))
            continue;
        struct batch_head head = batch_head_of(&batches[i]);
        segment_growth_add(&active->growth, &head, log__config(log), &entries);
        segment_add_entries(active, log->env->retire, &entries);
        if (batches[i].producer_id >= 0)
            log__note_producer(log, &batches[i], now_ms);
        bool append_time = (batches[i].attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME) != 0;
        results[i] = (struct log_append_result){
            .status = LOG_OK,
            .base_offset = head.base_offset,
            .last_offset = head.last_offset,
            .end_offset = head.last_offset + 1,
            .append_time_ms = append_time ? head.max_timestamp : -1,
        };
    }
    struct log_moment m = log__moment(log);
    atomic_store_explicit(&active->size, active->growth.size, memory_order_release);
    m.end = run->next_offset;
    m.end_base = active->base_offset;
    m.end_position = active->growth.size;
    m.leader_epoch = leader_epoch;
    if (!log_is_durable_mode(log)) {
        m.high_watermark = m.end;
        m.high_watermark_base = m.end_base;
        m.high_watermark_position = m.end_position;
    }
    log->unflushed_size += run->size;
    log__publish(log, &m);
    log->host->wrote(log->host, run->size, log_is_durable_mode(log));
    note_growth(log, active);
    (void)segment_save_indexes(active, &log->home, INDEX_SAVE_COUNT_MIN); /* else at the seal */
}

/* Writes and publishes batches from begin on, up to the next roll; *end is where to go on. */
static enum log_status append_run(struct log *log, struct batch_view *batches, size_t begin, size_t count,
                                  int32_t leader_epoch, int64_t now_ms, struct log_append_result *results,
                                  size_t *end)
{
    struct run run;
    struct segment *active = log__active(log);
    enum file_status file_status;
    collect(log, batches, begin, count, leader_epoch, now_ms, results, &run);
    *end = run.end;
    if (run.piece_count == 0)
        return LOG_OK;
    struct open_file *data = segment_data(active, &log->home, FILE_READ | FILE_WRITE, false, &file_status);
    check(data != NULL); /* log_prepare() opened it */
    uint32_t position = active->growth.size;
    unsigned shortage = atomic_load_explicit(&log->host->shortage, memory_order_relaxed);
    file_status = segment_tail_write(data->file, run.pieces, run.piece_count, position);
    if (file_status != FILE_OK)
        return undo_write(log, data, position, file_status, shortage);
    log->changed = true;
    accept_run(log, batches, begin, &run, leader_epoch, now_ms, results);
    return LOG_OK;
}

/* From its second half on, a segment has its successor ready; the job is asked for once. */
static void order_spare(struct log *log)
{
    if (log->spare_count == 0 && !log->job_pending &&
        log__active(log)->growth.size >= (uint32_t)log__config(log)->segment_bytes / 2)
        log__submit_job(log);
}

/* Whether appends may go on, or what to do first. */
static enum log_status may_append(struct log *log, int32_t leader_epoch)
{
    enum log_status health = log_health(log);
    if (health != LOG_OK)
        return health;
    if (!log__may_grow(log))
        return LOG_DISK_FULL;
    if (log__state(log) != LOG_OPEN || !atomic_load(&log->may_change)) {
        log->epoch_wanted = leader_epoch;
        return LOG_BUSY;
    }
    enum file_status status;
    if (!segment_data(log__active(log), &log->home, 0, false, &status))
        return LOG_BUSY;
    if (log->epochs.count < log->epochs.capacity)
        return LOG_OK;
    log__lock_readers(log);
    bool has_room = leader_epochs_reserve(&log->epochs);
    log__unlock_readers(log);
    return has_room ? LOG_OK : LOG_LIMIT;
}

static void note_epoch(struct log *log, int32_t leader_epoch)
{
    if (leader_epoch <= leader_epochs_latest(&log->epochs))
        return;
    log__lock_readers(log);
    bool has_changed = leader_epochs_assign(&log->epochs, leader_epoch, log__end(log));
    log__unlock_readers(log);
    if (has_changed) {
        log->epochs_dirty = true;
        log__submit_job(log);
    }
}

/* Nothing of the batches from begin on was done. What was judged already is judged anew when it comes again:
 * it may have relied on one that did not get into the log. */
static void fail_from(size_t begin, size_t count, enum log_status status, struct log_append_result *results)
{
    for (size_t i = begin; i < count; i++) {
        if (results[i].status != LOG_TOO_LARGE)
            results[i] = (struct log_append_result){ status, -1, -1, -1, -1, false };
    }
}

/* Appends what is due, from one roll to the next. */
static void append_due(struct log *log, struct batch_view *batches, size_t count, int32_t leader_epoch,
                       int64_t now_ms, struct log_append_result *results)
{
    enum log_status status = LOG_OK;
    bool any = false;
    for (size_t begin = 0, end; begin < count && status == LOG_OK; begin = end) {
        struct batch_head head = head_at(&batches[begin], log__end(log));
        end = begin + 1;
        if (!is_due(&results[begin]))
            continue;
        if (segment_growth_must_roll(&log__active(log)->growth, &head, log__config(log), now_ms))
            status = log__roll(log, head.base_offset, now_ms);
        if (status == LOG_OK)
            status = append_run(log, batches, begin, count, leader_epoch, now_ms, results, &end);
        if (status != LOG_OK)
            fail_from(begin, count, status, results);
        any |= status == LOG_OK;
    }
    if (any)
        log__note_dirty(log);
    log__trim_producers(log, now_ms);
    order_spare(log);
}

/* Makes sure that what is due can be appended, as far as that can be known beforehand. */
static enum log_status begin_append(struct log *log, const struct batch_view *batches, size_t count,
                                    int32_t leader_epoch, int64_t now_ms, struct log_append_result *results)
{
    enum log_status status = may_append(log, leader_epoch);
    if (status == LOG_OK)
        status = log__judge_producers(log, batches, count, now_ms, results);
    if (status != LOG_OK)
        return status;
    uint32_t rolls = rolls_needed(log, batches, count, now_ms, results);
    if (rolls > log->spare_count) {
        log->spares_wanted = rolls;
        return LOG_BUSY;
    }
    return log__reserve_transactions(log, batches, count) ? LOG_OK : LOG_LIMIT;
}

static enum log_status append(struct log *log, struct batch_view *batches, size_t count, int32_t leader_epoch,
                              int64_t now_ms, struct log_append_result *results)
{
    if (refuse_too_large(log, batches, count, results) == 0)
        return count > 0 ? LOG_TOO_LARGE : LOG_OK;
    enum log_status status = begin_append(log, batches, count, leader_epoch, now_ms, results);
    if (status != LOG_OK) {
        fail_from(0, count, status, results);
        return status;
    }
    bool any_due = false;
    for (size_t i = 0; i < count && !any_due; i++)
        any_due = is_due(&results[i]);
    if (!any_due)
        return LOG_OK;
    note_epoch(log, leader_epoch);
    append_due(log, batches, count, leader_epoch, now_ms, results);
    /* The first batch that could be appended says how it went, unless others have an answer of their own. */
    for (size_t i = 0; i < count; i++) {
        if (results[i].status == LOG_OK || results[i].status == LOG_BAD_SEQUENCE ||
            results[i].status == LOG_BAD_EPOCH)
            return LOG_OK;
        if (results[i].status != LOG_TOO_LARGE)
            status = results[i].status;
    }
    return status;
}

enum log_status log_append(struct log *log, struct batch_view *batches, size_t count, int32_t leader_epoch,
                           int64_t now_ms, struct log_append_result *results)
{
    check(leader_epoch >= 0);
    pthread_mutex_lock(&log->mutex);
    enum log_status status = append(log, batches, count, leader_epoch, now_ms, results);
    pthread_mutex_unlock(&log->mutex);
    log->host->used(log->host, log);
    return status;
}

void log__note_dirty(struct log *log)
{
    const struct log_config *config = log__config(log);
    int64_t durable = atomic_load_explicit(&log->published.durable, memory_order_relaxed);
    int64_t due_ms = INT64_MAX;
    if (log__end(log) - durable >= config->flush_messages)
        due_ms = 0;
    else if (log->is_data_dirty && log->flush_due_ms != INT64_MAX)
        return; /* the clock of the oldest unflushed record runs already */
    else if (config->flush_ms != INT64_MAX) {
        int64_t now_ms = clock_mono_ms(log->env->clock);
        due_ms = config->flush_ms < INT64_MAX - now_ms ? now_ms + config->flush_ms : INT64_MAX;
    }
    if (log->is_data_dirty && due_ms >= log->flush_due_ms)
        return;
    log->is_data_dirty = true;
    log->flush_due_ms = due_ms;
    log->host->became_dirty(log->host, log, due_ms);
}

void log__note_names_dirty(struct log *log)
{
    if (!log->is_names_dirty)
        log->host->became_dirty(log->host, log, 0);
    log->is_names_dirty = true;
}
