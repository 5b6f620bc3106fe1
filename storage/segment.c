/* A segment: one .log file of record batches back to back, with its two indexes. */
#include "storage/segment.h"

#include <stdlib.h>

#include "protocol/base/check.h"

/* Readers of an active segment get mappings of at least this size, doubled when outgrown. */
#define SEGMENT_MAP_STEP (4u << 20)

struct segment_growth segment_growth_begin(int64_t base_offset, const struct log_config *config,
                                           int64_t now_ms, struct random *random)
{
    int64_t jitter_max =
        config->segment_jitter_ms < config->segment_ms ? config->segment_jitter_ms : config->segment_ms;
    return (struct segment_growth){
        .base_offset = base_offset,
        .max_timestamp = -1,
        .first_timestamp = -1,
        .last_time_entry = -1,
        .created_ms = now_ms,
        .jitter_ms = jitter_max > 0 ? (int64_t)random_below(random, (uint64_t)jitter_max) : 0,
    };
}

/* What has to be compacted after some time cannot stay in the active segment for longer (KIP-354). */
static int64_t age_max_of(const struct log_config *config)
{
    bool is_shorter = (config->cleanup & LOG_CLEANUP_COMPACT) && config->max_compaction_lag_ms > 0 &&
                      config->max_compaction_lag_ms < config->segment_ms;
    return is_shorter ? config->max_compaction_lag_ms : config->segment_ms;
}

/* How long the first batch has waited for its segment to roll, measured in record time if it has one. */
static bool is_over_age(const struct segment_growth *growth, const struct batch_head *batch,
                        const struct log_config *config, int64_t now_ms)
{
    int64_t age_max = age_max_of(config) - growth->jitter_ms;
    int64_t from = growth->first_timestamp >= 0 ? growth->first_timestamp : growth->created_ms;
    int64_t now = growth->first_timestamp >= 0 ? batch->max_timestamp : now_ms;
    return now > from && now - from > age_max;
}

bool segment_growth_must_roll(const struct segment_growth *growth, const struct batch_head *batch,
                              const struct log_config *config, int64_t now_ms)
{
    /* One slot of the time index is kept for the final entry. Tiny limits still hold one entry each. */
    uint32_t index_bytes = config->segment_index_bytes > 0 ? (uint32_t)config->segment_index_bytes : 0;
    uint32_t offset_max = index_bytes / OFFSET_INDEX_ENTRY_SIZE;
    uint32_t time_max = index_bytes / TIME_INDEX_ENTRY_SIZE;
    if (batch->last_offset - growth->base_offset > INT32_MAX)
        return true;
    if (growth->size == 0)
        return false;
    return (int64_t)growth->size + batch->size > config->segment_bytes ||
           (uint64_t)growth->size + batch->size > INT32_MAX || is_over_age(growth, batch, config, now_ms) ||
           growth->offset_count >= (offset_max > 1 ? offset_max : 1) ||
           growth->time_count + 1 >= (time_max > 2 ? time_max : 2);
}

void segment_growth_add(struct segment_growth *growth, const struct batch_head *batch,
                        const struct log_config *config, struct segment_entries *out)
{
    uint32_t relative = (uint32_t)(batch->last_offset - growth->base_offset);
    *out = (struct segment_entries){ .offset_due = false };
    if (growth->size == 0)
        growth->first_timestamp = batch->max_timestamp;
    if (batch->max_timestamp > growth->max_timestamp) {
        growth->max_timestamp = batch->max_timestamp;
        growth->max_relative = relative;
    }
    if (growth->bytes_since_entry > (uint32_t)config->index_interval_bytes) {
        out->offset_due = true;
        out->offset = (struct offset_entry){ relative, growth->size };
        growth->offset_count++;
        growth->bytes_since_entry = 0;
        if (growth->max_timestamp > growth->last_time_entry) {
            out->time_due = true;
            out->time = (struct time_entry){ growth->max_timestamp, growth->max_relative };
            growth->time_count++;
            growth->last_time_entry = growth->max_timestamp;
        }
    }
    growth->size += batch->size;
    growth->bytes_since_entry += batch->size;
}

bool batch_head_read(const uint8_t *bytes, uint64_t size_max, struct batch_head *out)
{
    int32_t length = (int32_t)load_be32(bytes + BATCH_LENGTH);
    int32_t last_delta = (int32_t)load_be32(bytes + BATCH_LAST_OFFSET_DELTA);
    if (bytes[BATCH_MAGIC] != 2 || length < BATCH_HEADER_SIZE - BATCH_OVERHEAD || last_delta < 0)
        return false;
    *out = (struct batch_head){
        .base_offset = (int64_t)load_be64(bytes + BATCH_BASE_OFFSET),
        .max_timestamp = (int64_t)load_be64(bytes + BATCH_MAX_TIMESTAMP),
        .producer_id = (int64_t)load_be64(bytes + BATCH_PRODUCER_ID),
        .size = (uint32_t)length + BATCH_OVERHEAD,
        .leader_epoch = (int32_t)load_be32(bytes + BATCH_LEADER_EPOCH),
    };
    if (out->base_offset < 0 || out->base_offset > INT64_MAX - last_delta - 1)
        return false;
    out->last_offset = out->base_offset + last_delta;
    return out->size <= size_max;
}

struct batch_head batch_head_of(const struct batch_view *batch)
{
    return (struct batch_head){
        .base_offset = batch->base_offset,
        .last_offset = batch_last_offset(batch),
        .max_timestamp = batch->max_timestamp,
        .producer_id = batch->producer_id,
        .size = (uint32_t)batch->size,
        .leader_epoch = batch->leader_epoch,
    };
}

struct segment *segment_create(int64_t base_offset)
{
    struct segment *segment = calloc(1, sizeof *segment);
    if (!segment)
        return NULL;
    segment->base_offset = base_offset;
    segment->growth.base_offset = base_offset;
    segment->growth.max_timestamp = segment->growth.first_timestamp = segment->growth.last_time_entry = -1;
    atomic_init(&segment->largest_timestamp, SEGMENT_TIMESTAMP_UNKNOWN);
    segment_index_init(&segment->offsets, OFFSET_INDEX_ENTRY_SIZE);
    segment_index_init(&segment->times, TIME_INDEX_ENTRY_SIZE);
    return segment;
}

void segment_destroy(void *object)
{
    struct segment *segment = object;
    struct open_file *data = atomic_load(&segment->data);
    struct mapping *mapping = atomic_load(&segment->mapping);
    if (data)
        pin_drop(&data->pin);
    if (mapping)
        pin_drop(&mapping->pin);
    free(atomic_load(&segment->quarantine));
    segment_index_destroy(&segment->offsets);
    segment_index_destroy(&segment->times);
    txn_index_destroy(&segment->aborted);
    free(segment);
}

struct open_file *segment_data(struct segment *segment, const struct segment_home *home, int flags,
                               bool may_block, enum file_status *status)
{
    *status = FILE_OK;
    struct open_file *data = atomic_load_explicit(&segment->data, memory_order_acquire);
    if (data || !may_block)
        return data;
    char path[SEGMENT_PATH_MAX];
    segment_path(home, segment->base_offset, ".log", path);
    *status = open_file_open(home, path, flags, &data);
    if (*status != FILE_OK)
        return NULL;
    struct open_file *none = NULL;
    if (atomic_compare_exchange_strong(&segment->data, &none, data))
        return data;
    pin_drop(&data->pin); /* another reader was first */
    return none;
}

struct open_file *segment_look(struct segment *segment, const struct segment_home *home,
                               struct open_file **own, enum file_status *status)
{
    *own = NULL;
    struct open_file *data = segment_data(segment, home, 0, false, status);
    if (data)
        return data;
    char path[SEGMENT_PATH_MAX];
    segment_path(home, segment->base_offset, ".log", path);
    *status = open_file_open(home, path, FILE_READ, own);
    return *own;
}

/* Maps at least [0, size) of data and makes it the segment's; NULL: refused. */
static struct mapping *map_data(struct segment *segment, const struct segment_home *home,
                                struct open_file *data, uint32_t size, uint32_t size_max)
{
    struct mapping *old = atomic_load_explicit(&segment->mapping, memory_order_acquire), *mapping;
    uint64_t want = size;
    if (!atomic_load_explicit(&segment->sealed, memory_order_relaxed)) {
        want = SEGMENT_MAP_STEP;
        while (want < size)
            want *= 2;
        if (want > size_max)
            want = size_max > size ? size_max : size;
    }
    if (mapping_create(home, data->file, (size_t)want, &mapping) != FILE_OK)
        return NULL;
    while (!atomic_compare_exchange_strong(&segment->mapping, &old, mapping)) {
        if (old && old->map.size >= size) { /* another reader was first */
            pin_drop(&mapping->pin);
            return old;
        }
    }
    mapping_retire(home, old);
    return mapping;
}

enum log_status segment_access(struct segment *segment, const struct segment_home *home, uint32_t size,
                               uint32_t size_max, bool may_block, struct segment_access *out)
{
    *out = (struct segment_access){ atomic_load_explicit(&segment->mapping, memory_order_acquire), NULL };
    if (out->mapping && out->mapping->map.size >= size)
        return LOG_OK;
    struct open_file *data = atomic_load_explicit(&segment->data, memory_order_acquire), *own = NULL,
                     *none = NULL;
    if (!data && !may_block)
        return LOG_COLD;
    if (!data) {
        char path[SEGMENT_PATH_MAX];
        segment_path(home, segment->base_offset, ".log", path);
        enum file_status status = open_file_open(home, path, FILE_READ, &own);
        if (status != FILE_OK)
            return status == FILE_LIMIT ? LOG_LIMIT : LOG_IO;
        data = own;
    }
    out->mapping = map_data(segment, home, data, size, size_max);
    if (out->mapping) { /* it needs no descriptor */
        if (own)
            pin_drop(&own->pin);
        return LOG_OK;
    }
    if (own && !atomic_compare_exchange_strong(&segment->data, &none, own)) {
        pin_drop(&own->pin); /* another reader was first */
        data = none;
    }
    out->file = data;
    return LOG_OK;
}

void segment_add_entries(struct segment *segment, struct retire *retire_list,
                         const struct segment_entries *entries)
{
    if (entries->offset_due)
        (void)offset_index_append(&segment->offsets, retire_list, entries->offset);
    if (entries->time_due)
        (void)time_index_append(&segment->times, retire_list, entries->time);
}

enum file_status segment_save_indexes(struct segment *segment, const struct segment_home *home,
                                      uint32_t count_min)
{
    char path[SEGMENT_PATH_MAX];
    uint32_t waiting = segment_index_count(&segment->offsets) - segment->offsets.saved_count +
                       segment_index_count(&segment->times) - segment->times.saved_count;
    if (waiting < count_min)
        return FILE_OK;
    segment_path(home, segment->base_offset, ".index", path);
    enum file_status status = segment_index_save(&segment->offsets, home, path);
    if (status != FILE_OK)
        return status;
    segment_path(home, segment->base_offset, ".timeindex", path);
    return segment_index_save(&segment->times, home, path);
}

void segment_add_final_time_entry(struct segment *segment, struct retire *retire_list)
{
    struct segment_growth *growth = &segment->growth;
    if (growth->max_timestamp > growth->last_time_entry &&
        time_index_append(&segment->times, retire_list,
                          (struct time_entry){ growth->max_timestamp, growth->max_relative })) {
        growth->last_time_entry = growth->max_timestamp;
        growth->time_count++;
    }
}

void segment_seal(struct segment *segment, struct retire *retire_list)
{
    segment_add_final_time_entry(segment, retire_list);
    segment->flushed = false;
    if (segment->growth.max_timestamp >= 0)
        atomic_store(&segment->largest_timestamp, segment->growth.max_timestamp);
    atomic_store_explicit(&segment->sealed, true, memory_order_release);
}

void segment_close_files(struct segment *segment, const struct segment_home *home)
{
    mapping_retire(home, atomic_exchange(&segment->mapping, NULL));
    open_file_retire(home, atomic_exchange(&segment->data, NULL));
    segment_index_close_files(&segment->offsets, home);
    segment_index_close_files(&segment->times, home);
    txn_index_close_file(&segment->aborted, home);
}

void segment_release_memory(const struct segment *segment)
{
    mapping_release_memory(atomic_load_explicit(&segment->mapping, memory_order_acquire));
    mapping_release_memory(atomic_load_explicit(&segment->offsets.mapping, memory_order_acquire));
    mapping_release_memory(atomic_load_explicit(&segment->times.mapping, memory_order_acquire));
}

bool segment_is_pinned(const struct segment *segment)
{
    return mapping_is_pinned(atomic_load(&((struct segment *)segment)->mapping));
}

const struct quarantine_range *quarantine_find(const struct quarantine *quarantine, int64_t offset)
{
    for (uint32_t i = 0; quarantine && i < quarantine->count; i++) {
        if (offset >= quarantine->ranges[i].first && offset < quarantine->ranges[i].next)
            return &quarantine->ranges[i];
    }
    return NULL;
}

const struct quarantine_range *quarantine_after(const struct quarantine *quarantine, int64_t offset)
{
    for (uint32_t i = 0; quarantine && i < quarantine->count; i++) {
        if (quarantine->ranges[i].first > offset)
            return &quarantine->ranges[i];
    }
    return NULL;
}

uint32_t quarantine_skip(const struct quarantine *quarantine, int64_t offset, uint32_t position)
{
    for (uint32_t i = 0; quarantine && i < quarantine->count; i++) {
        if (quarantine->ranges[i].next <= offset && quarantine->ranges[i].end_position > position)
            position = quarantine->ranges[i].end_position;
    }
    return position;
}

bool segment_add_quarantine(struct segment *segment, struct retire *retire_list,
                            struct quarantine_range range)
{
    struct quarantine *old = atomic_load(&segment->quarantine);
    uint32_t old_count = old ? old->count : 0;
    struct quarantine *quarantine =
        malloc(sizeof *quarantine + (old_count + (size_t)1) * sizeof quarantine->ranges[0]);
    if (!quarantine)
        return false;
    quarantine->count = 0;
    bool placed = false;
    for (uint32_t i = 0; i < old_count; i++) {
        struct quarantine_range other = old->ranges[i];
        if (other.next < range.first) {
            quarantine->ranges[quarantine->count++] = other;
        } else if (other.first > range.next) {
            if (!placed)
                quarantine->ranges[quarantine->count++] = range;
            placed = true;
            quarantine->ranges[quarantine->count++] = other;
        } else { /* they touch */
            range.first = other.first < range.first ? other.first : range.first;
            range.next = other.next > range.next ? other.next : range.next;
            range.position = other.position < range.position ? other.position : range.position;
            range.end_position =
                other.end_position > range.end_position ? other.end_position : range.end_position;
        }
    }
    if (!placed)
        quarantine->ranges[quarantine->count++] = range;
    atomic_store_explicit(&segment->quarantine, quarantine, memory_order_release);
    if (old)
        retire(retire_list, old, free);
    return true;
}

struct segment_list *segment_list_create(size_t count)
{
    struct segment_list *list = malloc(sizeof *list + count * sizeof list->items[0]);
    if (list)
        list->count = count;
    return list;
}

size_t segment_list_find(const struct segment_list *list, int64_t offset)
{
    size_t low = 0, high = list->count; /* segments below low have base <= offset */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->items[middle]->base_offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : 0;
}
