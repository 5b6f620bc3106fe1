/* Blocks ahead of the tail of a log that grows fast: ext4 finds blocks when it writes back, under a lock of
 * the file that appends take too, and what it waits for there, they wait for. */
#include "protocol/base/check.h"
#include "storage/log_struct.h"

enum {
    UNIT = 1 << 20,      /* bytes; who appends less in a second needs none */
    STEP_MAX = 16 << 20, /* bytes */
    PACE_MS = 250,       /* over which a rate is taken, at least */
    QUIET_MS = 2000,     /* without so much as a unit: what is ahead is given back */
    RETRY_MS = 60000,    /* after there was no room */
    ROOM_SHARE = 32, /* of what is free, what is ahead in all logs of a directory may be so small a part */
};

static bool has_room(const struct log_host *host, uint64_t free_size)
{
    uint64_t ahead = atomic_load_explicit(&host->ahead_size, memory_order_relaxed);

    return free_size >= LOG_AHEAD_ROOM_MIN && free_size / ROOM_SHARE >= ahead;
}

/* What was not given back is nobody's any more: the file is gone, or was cut. Under the mutex. */
void log__forget_ahead(struct log *log, struct segment *segment)
{
    atomic_fetch_sub_explicit(&log->host->ahead_size, segment->ahead_size, memory_order_relaxed);
    segment->ahead_size = 0;
    segment->ahead = 0;
}

/* As much as is appended in a second, by whole units. Under the mutex. */
static uint32_t step_of(struct segment *active, int64_t now_ms)
{
    int64_t took_ms = now_ms - active->paced_ms;
    uint32_t size = active->growth.size;

    if (took_ms < PACE_MS)
        return active->ahead_step;
    uint64_t rate = (uint64_t)(size - active->paced_size) * 1000 / (uint64_t)took_ms;
    active->ahead_step = rate < STEP_MAX ? (uint32_t)rate / UNIT * UNIT : STEP_MAX;
    active->paced_ms = now_ms;
    active->paced_size = size;
    return active->ahead_step;
}

/* What is to be allocated now, with the file held; NULL: nothing. Under the mutex. */
static struct open_file *begin(struct log *log, uint32_t *position, uint32_t *size)
{
    int64_t now_ms = clock_mono_ms(log->env->clock);

    if (!log->host->went_ahead || log->is_going_ahead || log_is_durable_mode(log) ||
        log__state(log) != LOG_OPEN || log_health(log) != LOG_OK)
        return NULL;
    struct segment *active = log__active(log);
    struct open_file *data = atomic_load(&active->data);
    uint32_t tail = active->growth.size, size_max = (uint32_t)log__config(log)->segment_bytes;
    uint32_t step = step_of(active, now_ms);
    uint32_t begin = active->ahead > tail ? active->ahead : tail;
    if (!data || step == 0 || tail >= size_max || now_ms < atomic_load(&log->host->ahead_due_ms))
        return NULL;
    uint32_t end = step < size_max - tail ? tail + step : size_max;
    if (begin - tail > step / 2 || begin >= end)
        return NULL;
    *position = begin;
    *size = end - begin;
    atomic_fetch_add_explicit(&log->host->ahead_size, (uint64_t)(end - tail) - active->ahead_size,
                              memory_order_relaxed);
    active->ahead_size = end - tail;
    active->ahead = end;
    log->is_going_ahead = true;
    pin_take(&data->pin);
    return data;
}

static enum file_status allocate(const struct log *log, struct open_file *data, uint32_t position,
                                 uint32_t size)
{
    if (!has_room(log->host, file_free_space(log->env->files, log->parent)))
        return FILE_FULL;
    return file_allocate_ahead(data->file, position, size);
}

void log__give_ahead(struct log *log)
{
    if (log__state(log) != LOG_OPEN || log_health(log) != LOG_OK)
        return; /* a recovery does */
    if (log->is_going_ahead) {
        log->is_ahead_unwanted = true;
        return;
    }
    struct segment_list *list = log__segments(log);
    for (size_t i = list->count; i > 0 && !list->items[i - 1]->flushed; i--) {
        struct segment *segment = list->items[i - 1];
        struct open_file *data = atomic_load(&segment->data);
        if (segment->ahead_size > 0 && data)
            (void)file_give_ahead(data->file); /* else a recovery does */
        log__forget_ahead(log, segment);
    }
}

/* A segment that was sealed meanwhile is nobody's to write to: what came late goes at once. */
static void end(struct log *log, struct open_file *data, enum file_status status)
{
    pthread_mutex_lock(&log->mutex);
    bool is_active = log__state(log) == LOG_OPEN && atomic_load(&log__active(log)->data) == data;
    bool is_unwanted = log->is_ahead_unwanted || status != FILE_OK;
    log->is_going_ahead = log->is_ahead_unwanted = false;
    if (is_active && is_unwanted)
        log__give_ahead(log);
    else if (is_active)
        log->host->went_ahead(log->host, log);
    bool is_well = log_health(log) != LOG_IO;
    pthread_mutex_unlock(&log->mutex);
    if (!is_active && is_well)
        (void)file_give_ahead(data->file);
    pin_drop(&data->pin);
}

void log__go_ahead(struct log *log)
{
    uint32_t position, size;

    pthread_mutex_lock(&log->mutex);
    struct open_file *data = begin(log, &position, &size);
    pthread_mutex_unlock(&log->mutex);
    if (!data)
        return;
    enum file_status status = allocate(log, data, position, size);
    if (status != FILE_OK)
        atomic_store(&log->host->ahead_due_ms,
                     status == FILE_DENIED ? INT64_MAX : clock_mono_ms(log->env->clock) + RETRY_MS);
    end(log, data, status);
}

bool log__rest_ahead(struct log *log, bool all)
{
    bool has_some = false;

    pthread_mutex_lock(&log->mutex);
    if (log__state(log) == LOG_OPEN && log_health(log) == LOG_OK) {
        struct segment *active = log__active(log);
        if (all || clock_mono_ms(log->env->clock) - active->paced_ms >= QUIET_MS)
            log__give_ahead(log);
        has_some = active->ahead_size > 0;
    }
    pthread_mutex_unlock(&log->mutex);
    return has_some;
}
