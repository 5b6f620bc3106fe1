/* A pass over all logs that verifies what lies on the device, a slice at a time, at a limited rate. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/scrub_file.h"
#include "storage/scrubber.h"
#include "storage/store_internal.h"

enum { BATCH = 256, MS_PER_SECOND = 1000 };

/* Logs are verified in this order, which a restart does not change. */
struct key {
    uuid topic_id;
    int32_t partition;
};

/* One thread's at a time. */
struct store_scrub {
    bool is_under_way;
    int64_t started_ms;       /* wall clock: of the pass that is under way, or was the last */
    bool is_known;            /* there was one */
    struct key from;          /* logs below it are through */
    struct log *batch[BATCH]; /* held: the next ones, in their order */
    size_t batch_count, batch_next;
    struct scrub_cursor cursor; /* in the first of them */
    struct scrub_counts counts;
    uint32_t log_count;
    uint64_t total_size; /* bytes that there were when total_ms was taken */
    int64_t total_ms;    /* monotonic clock */
    int64_t saved_ms;
    bool is_changed; /* since it was saved */
};

/* --- order ---------------------------------------------------------------------------------------- */

static int32_t partition_of(struct log *log)
{
    return (int32_t)strtol(strrchr(log_name(log), '-') + 1, NULL, 10);
}

static int compare(struct log *log, const struct key *key)
{
    uuid topic_id = log__topic_id(log);
    int order = memcmp(topic_id.bytes, key->topic_id.bytes, sizeof topic_id.bytes);
    if (order != 0)
        return order;
    int32_t partition = partition_of(log);
    return partition < key->partition ? -1 : partition > key->partition;
}

static int compare_logs(struct log *a, struct log *b)
{
    uuid ids[] = { log__topic_id(a), log__topic_id(b) };
    int order = memcmp(ids[0].bytes, ids[1].bytes, sizeof ids[0].bytes);
    return order != 0 ? order : partition_of(a) - partition_of(b);
}

static struct key key_of(struct log *log)
{
    return (struct key){ log__topic_id(log), partition_of(log) };
}

/* Puts the log into the batch, where the smallest are kept in order. */
static void offer(struct store_scrub *scrub, struct log *log)
{
    if (scrub->batch_count == BATCH && compare_logs(scrub->batch[BATCH - 1], log) < 0)
        return;
    size_t low = 0, high = scrub->batch_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_logs(scrub->batch[middle], log) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t last = scrub->batch_count < BATCH ? scrub->batch_count++ : BATCH - 1;
    memmove(scrub->batch + low + 1, scrub->batch + low, (last - low) * sizeof scrub->batch[0]);
    scrub->batch[low] = log;
}

/* The next logs of the pass; none: it is over. */
static void refill(struct store *store, struct store_scrub *scrub)
{
    scrub->batch_count = scrub->batch_next = 0;
    pthread_mutex_lock(&store->lock);
    for (struct log *log = store->logs; log; log = log__node(log)->all_next) {
        if (!log__node(log)->is_deleted && log__has_directory(log) && compare(log, &scrub->from) >= 0)
            offer(scrub, log);
    }
    for (size_t i = 0; i < scrub->batch_count; i++)
        log__hold(scrub->batch[i]);
    pthread_mutex_unlock(&store->lock);
}

static struct log *current(struct store *store, struct store_scrub *scrub)
{
    if (scrub->batch_next == scrub->batch_count)
        refill(store, scrub);
    return scrub->batch_count > 0 ? scrub->batch[scrub->batch_next] : NULL;
}

/* The current log is through. */
static void advance(struct store_scrub *scrub)
{
    struct log *log = scrub->batch[scrub->batch_next++];
    scrub->from = key_of(log);
    if (scrub->from.partition < INT32_MAX)
        scrub->from.partition++;
    /* It was opened for this alone: it is given back, unless somebody else uses it now. */
    if (scrub->cursor.was_shut)
        (void)log__close_files(log);
    scrub_cursor_reset(&scrub->cursor);
    scrub->log_count++;
    log__drop(log);
}

/* --- scrub.runnel --------------------------------------------------------------------------------- */

static char *path_of(const struct store *store)
{
    return directory_child(&store->directories[0].directory, SCRUB_FILE_NAME);
}

static void load(struct store *store, struct store_scrub *scrub)
{
    char *path = path_of(store);
    struct scrub_file file;
    uint8_t *bytes;
    size_t size;
    if (path && file_read_all(store->env->files, path, SCRUB_FILE_SIZE, &bytes, &size) == FILE_OK) {
        if (scrub_file_decode(slice_of(bytes, size), &file)) {
            scrub->is_known = true;
            scrub->is_under_way = !file.is_finished;
            scrub->started_ms = file.started_ms;
            scrub->from = (struct key){ file.topic_id, file.partition };
            scrub->cursor.base_offset = file.base_offset;
            scrub->counts = (struct scrub_counts){ file.size, file.quarantined_count, file.index_count };
        }
        free(bytes);
    }
    free(path);
}

/* Not flushed: when a power cut takes it, a pass begins anew. What cannot be written is not needed. */
static void save(struct store *store, struct store_scrub *scrub)
{
    struct scrub_file file = {
        .started_ms = scrub->started_ms,
        .is_finished = !scrub->is_under_way,
        .topic_id = scrub->from.topic_id,
        .partition = scrub->from.partition,
        .size = scrub->counts.size,
        .quarantined_count = scrub->counts.quarantined_count,
        .index_count = scrub->counts.index_count,
    };
    uint8_t bytes[SCRUB_FILE_SIZE];
    char *path = path_of(store), *temporary = NULL;
    struct file *out;
    if (scrub->batch_next < scrub->batch_count) {
        struct key key = key_of(scrub->batch[scrub->batch_next]);
        file.topic_id = key.topic_id;
        file.partition = key.partition;
        file.base_offset = scrub->cursor.base_offset;
    }
    scrub_file_encode(&file, bytes);
    if (path && asprintf(&temporary, "%s.tmp", path) < 0)
        temporary = NULL;
    if (temporary && !atomic_load(&store->directories[0].is_fenced) &&
        file_open(store->env->files, temporary, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &out) == FILE_OK) {
        enum file_status status = file_pwrite(out, bytes, sizeof bytes, 0);
        file_close(out);
        if (status == FILE_OK)
            (void)file_rename(store->env->files, temporary, path);
        else
            (void)file_unlink(store->env->files, temporary);
    }
    free(temporary);
    free(path);
    scrub->is_changed = false;
    scrub->saved_ms = clock_mono_ms(store->env->clock);
}

/* --- rate ----------------------------------------------------------------------------------------- */

static void take_total(struct store *store, struct store_scrub *scrub)
{
    scrub->total_size = 0;
    scrub->total_ms = clock_mono_ms(store->env->clock);
    pthread_mutex_lock(&store->lock);
    for (struct log *log = store->logs; log; log = log__node(log)->all_next) {
        if (!log__node(log)->is_deleted && log__has_directory(log))
            scrub->total_size += log_stats(log).size + SCRUB_LOG_COST;
    }
    pthread_mutex_unlock(&store->lock);
}

/* Bytes per second: all in one period, a little faster when time was lost. */
static double rate_of(const struct store_scrub *scrub, int64_t now_ms)
{
    double period_s = (double)SCRUB_PASS_MS / MS_PER_SECOND;
    double even = (double)scrub->total_size / period_s;
    double left_s = period_s - (double)(now_ms - scrub->started_ms) / MS_PER_SECOND;
    double done = (double)scrub->counts.size + (double)scrub->log_count * SCRUB_LOG_COST;
    double rest = (double)scrub->total_size > done ? (double)scrub->total_size - done : 0;
    double rate = left_s > 0 ? rest / left_s : even * SCRUB_RATE_CATCH_UP;
    if (rate > even * SCRUB_RATE_CATCH_UP)
        rate = even * SCRUB_RATE_CATCH_UP;
    if (rate < even)
        rate = even;
    return rate < (double)SCRUB_RATE_MIN ? (double)SCRUB_RATE_MIN : rate;
}

/* --- the pass ------------------------------------------------------------------------------------- */

static void begin_pass(struct store_scrub *scrub, int64_t now_ms)
{
    scrub->is_under_way = scrub->is_known = true;
    scrub->started_ms = now_ms;
    scrub->from = (struct key){ .partition = 0 };
    scrub->counts = (struct scrub_counts){ 0 };
    scrub->log_count = 0;
    scrub->saved_ms = scrub->total_ms = 0;
    scrub_cursor_reset(&scrub->cursor);
}

static void end_pass(struct store *store, struct store_scrub *scrub, int64_t now_ms)
{
    scrub->is_under_way = false;
    if (scrub->counts.quarantined_count > 0 || scrub->counts.index_count > 0)
        note_warn("scrub.finished",
                  "size=%" PRIu64 " seconds=%" PRId64 " quarantined=%" PRIu32 " indexes_rebuilt=%" PRIu32
                  " effect=\"what is quarantined answers CORRUPT_MESSAGE, all else is served\" "
                  "next_step=\"check the device; log.quarantined says what and where\"",
                  scrub->counts.size, (now_ms - scrub->started_ms) / MS_PER_SECOND,
                  scrub->counts.quarantined_count, scrub->counts.index_count);
    else
        note_info("scrub.finished", "size=%" PRIu64 " seconds=%" PRId64 " quarantined=0 indexes_rebuilt=0",
                  scrub->counts.size, (now_ms - scrub->started_ms) / MS_PER_SECOND);
    save(store, scrub);
}

void store_scrub_tell(struct store *store, int64_t now_ms)
{
    struct store_scrub at = { .is_known = false };
    load(store, &at);
    if (!at.is_known)
        return;
    int64_t age_s = now_ms > at.started_ms ? (now_ms - at.started_ms) / MS_PER_SECOND : 0;
    note_info("scrub.last",
              "state=%s begun_seconds_ago=%" PRId64 " size=%" PRIu64 " quarantined=%" PRIu32
              " indexes_rebuilt=%" PRIu32 " next_in_seconds=%" PRId64,
              at.is_under_way ? "under_way" : "finished", age_s, at.counts.size, at.counts.quarantined_count,
              at.counts.index_count,
              at.is_under_way || age_s >= SCRUB_PASS_MS / MS_PER_SECOND
                  ? 0
                  : SCRUB_PASS_MS / MS_PER_SECOND - age_s);
}

/* How long nothing is due; 0: a pass is. */
static int64_t idle_ms(struct store_scrub *scrub, int64_t now_ms)
{
    if (scrub->is_known && scrub->started_ms > now_ms)
        scrub->started_ms = now_ms; /* the clock was set back */
    if (scrub->is_under_way || !scrub->is_known || now_ms - scrub->started_ms >= SCRUB_PASS_MS)
        return 0;
    int64_t left_ms = SCRUB_PASS_MS - (now_ms - scrub->started_ms);
    return left_ms < SCRUB_IDLE_MS ? left_ms : SCRUB_IDLE_MS;
}

/* The log that was under way at the stop; a segment of another one says nothing. */
static void check_cursor(struct store_scrub *scrub, struct log *log)
{
    if (scrub->cursor.base_offset > 0 && !scrub->cursor.is_inside && compare(log, &scrub->from) != 0)
        scrub_cursor_reset(&scrub->cursor);
}

/* One log, or as much of it as the slice has left. False: the slice is over. */
static bool scrub_one(struct store *store, struct store_scrub *scrub, uint64_t *used, bool (*stop)(void *),
                      void *context, int64_t *wait_ms)
{
    struct log *log = current(store, scrub);
    uint64_t before = scrub->counts.size;
    if (!log)
        return false;
    check_cursor(scrub, log);
    enum log_status status = LOG_CLOSED;
    /* A directory whose device failed is left alone. */
    if (!atomic_load(&store->directories[log__node(log)->directory].is_fenced))
        status = scrubber_run(log, &scrub->cursor, SCRUB_SLICE_SIZE - *used, stop, context, &scrub->counts);
    *used += scrub->counts.size - before;
    scrub->is_changed = true;
    if (status == LOG_BUSY)
        return false;
    if (status == LOG_LIMIT) {
        *wait_ms = SCRUB_RETRY_MS;
        return false;
    }
    if (status != LOG_OK && status != LOG_CLOSED)
        note_warn("scrub.skipped",
                  "log=%s status=%d effect=\"what is left of it is verified in the next pass\"",
                  log_name(log), status);
    *used += SCRUB_LOG_COST;
    advance(scrub);
    return true;
}

int64_t store_scrub(struct store *store, int64_t now_ms, bool (*stop)(void *context), void *context)
{
    struct store_scrub *scrub = store->scrub;
    int64_t begin_ms = clock_mono_ms(store->env->clock), wait_ms = 0;
    uint64_t used = 0;
    if (!scrub) {
        scrub = store->scrub = check_memory(calloc(1, sizeof *scrub));
        load(store, scrub);
    }
    int64_t idle = idle_ms(scrub, now_ms);
    if (idle > 0)
        return idle;
    if (!scrub->is_under_way)
        begin_pass(scrub, now_ms);
    if (scrub->total_ms == 0 || begin_ms - scrub->total_ms >= SCRUB_IDLE_MS)
        take_total(store, scrub);
    bool stopped = false;
    while (!stopped && used < SCRUB_SLICE_SIZE && scrub_one(store, scrub, &used, stop, context, &wait_ms))
        stopped = stop && stop(context);
    if (!current(store, scrub)) {
        end_pass(store, scrub, now_ms);
        return idle_ms(scrub, now_ms) > 0 ? idle_ms(scrub, now_ms) : SCRUB_RETRY_MS;
    }
    int64_t end_ms = clock_mono_ms(store->env->clock);
    if (scrub->saved_ms == 0 || end_ms - scrub->saved_ms >= SCRUB_SAVE_MS)
        save(store, scrub);
    int64_t due_ms = (int64_t)((double)used * MS_PER_SECOND / rate_of(scrub, now_ms)) - (end_ms - begin_ms);
    if (wait_ms < due_ms)
        wait_ms = due_ms;
    return wait_ms > 0 ? wait_ms : 1;
}

void store__close_scrubbing(struct store *store, bool clean)
{
    struct store_scrub *scrub = store->scrub;
    if (!scrub)
        return;
    if (clean && scrub->is_under_way && scrub->is_changed)
        save(store, scrub);
    for (size_t i = scrub->batch_next; i < scrub->batch_count; i++)
        log__drop(scrub->batch[i]);
    scrub_cursor_reset(&scrub->cursor);
    free(scrub);
    store->scrub = NULL;
}
