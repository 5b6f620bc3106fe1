/* What is damaged, for who may know what it was. */
#include <stdlib.h>

#include "protocol/batch_mend.h"
#include "storage/log_struct.h"
#include "storage/recovery.h"

/* The quarantined range at offset. Under prepare_mutex, when open. */
static const struct quarantine_range *find_range(struct log *log, struct segment *segment, int64_t next_base,
                                                 int64_t offset)
{
    const struct quarantine_range *range = quarantine_find(atomic_load(&segment->quarantine), offset);
    if (!range && !atomic_exchange(&segment->examined, true) &&
        log__examine(log, segment, next_base) == LOG_OK)
        range = quarantine_find(atomic_load(&segment->quarantine), offset);
    return range;
}

static enum log_status read_range(struct log *log, struct segment *segment,
                                  const struct quarantine_range *range, struct arena *arena,
                                  struct log_damage *out)
{
    enum file_status status;
    size_t got, size = range->end_position - range->position;
    out->first = range->first;
    out->next = range->next;
    out->position = range->position;
    if (size == 0 || size > BATCH_MEND_SIZE_MAX)
        return LOG_NOT_FOUND;
    out->bytes = arena_alloc(arena, size);
    if (!out->bytes)
        return LOG_LIMIT;
    struct open_file *data = segment_data(segment, &log->home, FILE_READ | FILE_WRITE, true, &status);
    if (!data)
        return log__status_of(status);
    status = file_pread(data->file, out->bytes, size, range->position, &got);
    out->size = size;
    return status == FILE_OK && got != size ? LOG_NOT_FOUND : log__status_of(status);
}

enum log_status log_read_damaged(struct log *log, int64_t offset, struct arena *arena, struct log_damage *out)
{
    enum log_status status = LOG_COLD;
    *out = (struct log_damage){ .first = offset, .next = offset, .segment_base = -1 };
    pthread_mutex_lock(&log->prepare_mutex);
    if (log__state(log) == LOG_OPEN) {
        struct segment_list *list = log__segments(log);
        size_t i = segment_list_find(list, offset);
        int64_t next_base = i + 1 < list->count ? list->items[i + 1]->base_offset : log__moment(log).end;
        const struct quarantine_range *range = find_range(log, list->items[i], next_base, offset);
        out->segment_base = list->items[i]->base_offset;
        status = range ? read_range(log, list->items[i], range, arena, out) : LOG_NOT_FOUND;
    }
    pthread_mutex_unlock(&log->prepare_mutex);
    return status;
}
