/* One round of cleaning: the keys of what is dirty, then everything before them anew. */
#include "storage/cleaner_internal.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "protocol/batch_filter.h"
#include "storage/cleaner_map.h"
#include "storage/cleaner_producers.h"
#include "storage/cleaner_reader.h"
#include "storage/cleaner_writer.h"
#include "storage/log_segments.h"

struct cleaner {
    struct cleaner_options options;
    struct cleaner_map *map;
};

struct cleaner *cleaner_create(const struct cleaner_options *options)
{
    struct cleaner *cleaner = calloc(1, sizeof *cleaner);
    if (!cleaner)
        return NULL;
    cleaner->options = *options;
    cleaner->map = cleaner_map_create(options->map_size_max, options->map_load);
    if (cleaner->map)
        return cleaner;
    free(cleaner);
    return NULL;
}

void cleaner_destroy(struct cleaner *cleaner)
{
    if (cleaner)
        cleaner_map_destroy(cleaner->map);
    free(cleaner);
}

/* One round. */
struct cleaning {
    struct cleaner *cleaner;
    struct log *log;
    const struct cleaner_look *look;
    struct cleaner_result *result;
    int64_t now_ms;
    int64_t latest; /* the last offset that the map knows of; -1: none */
    struct cleaner_reader reader;
    struct cleaner_transactions transactions;
    struct cleaner_producers producers;
    struct arena arena;
    uint64_t told_size; /* bytes that step() knows of */
    /* the batch that is being filtered */
    const struct batch_view *batch;
    bool keeps_deletes;
    bool ends_group;
};

/* --- what every pass does ------------------------------------------------------------------------- */

/* Accounts work, and lets others go first. */
static enum log_status step(struct cleaning *cleaning, uint64_t written_size)
{
    struct cleaner_result *result = cleaning->result;
    const struct cleaner_options *options = &cleaning->cleaner->options;
    uint64_t size = cleaning->reader.read_size + result->written_size + written_size;
    if (size - cleaning->told_size < options->buffer_size)
        return LOG_OK;
    uint64_t more = size - cleaning->told_size;
    cleaning->told_size = size;
    if (log__state(cleaning->log) == LOG_ENDED)
        return LOG_CLOSED;
    if (log_health(cleaning->log) != LOG_OK)
        return LOG_IO;
    if (options->step && !options->step(options->context, more))
        result->was_stopped = true;
    return result->was_stopped ? LOG_BUSY : LOG_OK;
}

static enum log_status damaged(const struct cleaning *cleaning, int64_t base_offset, const char *reason)
{
    note_error("cleaner.damaged",
               "log=%s segment=%lld position=%llu reason=%s effect=\"the log is not compacted any more\" "
               "next_step=\"see log.quarantined; restart after a repair\"",
               log_name(cleaning->log), (long long)base_offset, (unsigned long long)cleaning->reader.position,
               reason);
    return LOG_CORRUPT;
}

static enum log_status open_source(struct cleaning *cleaning, const struct cleaner_source *source)
{
    enum file_status status = cleaner_reader_open(&cleaning->reader, &cleaning->log->home,
                                                  source->base_offset, source->size, source->next_base);
    /* Retention was faster. */
    return status == FILE_NOT_FOUND ? LOG_BUSY : log__status_of(status);
}

/* The next batch of the open source. LOG_NOT_FOUND: the end. */
static enum log_status next_batch(struct cleaning *cleaning, const struct cleaner_source *source,
                                  struct batch_view *batch)
{
    switch (cleaner_reader_next(&cleaning->reader, batch)) {
    case CLEANER_READ_BATCH:
        return LOG_OK;
    case CLEANER_READ_END:
        return LOG_NOT_FOUND;
    case CLEANER_READ_DAMAGED:
        return damaged(cleaning, source->base_offset, "damaged_batch");
    case CLEANER_READ_IO:
        return LOG_IO;
    case CLEANER_READ_NO_MEMORY:
        return LOG_LIMIT;
    }
    check_unreachable("cleaner_read");
}

static enum log_status status_of_batch(struct cleaning *cleaning, const struct cleaner_source *source,
                                       enum batch_status status)
{
    if (status == BATCH_OK)
        return LOG_OK;
    if (status == BATCH_NO_MEMORY)
        return LOG_LIMIT;
    if (status == BATCH_TOO_LARGE) {
        (void)damaged(cleaning, source->base_offset, "too_large_batch");
        return LOG_TOO_LARGE;
    }
    return damaged(cleaning, source->base_offset, "unreadable_records");
}

/* The aborted transactions that a walk from offset on may meet: the marker of one may lie in any later
 * segment. */
static enum log_status load_transactions(struct cleaning *cleaning, int64_t offset)
{
    struct log *log = cleaning->log;
    enum log_status status = LOG_OK;
    cleaner_transactions_destroy(&cleaning->transactions);
    pthread_mutex_lock(&log->prepare_mutex);
    if (log__state(log) == LOG_SHUT)
        status = log__open_shut(log);
    pthread_mutex_lock(&log->mutex);
    const struct segment_list *list = log__segments(log);
    if (status == LOG_OK && (log__state(log) != LOG_OPEN || !list))
        status = log__state(log) == LOG_ENDED ? LOG_CLOSED : LOG_BUSY;
    for (size_t i = status == LOG_OK ? segment_list_find(list, offset) : 0;
         status == LOG_OK && i < list->count; i++) {
        if (!cleaner_transactions_add(&cleaning->transactions, &list->items[i]->aborted))
            status = LOG_LIMIT;
    }
    pthread_mutex_unlock(&log->mutex);
    pthread_mutex_unlock(&log->prepare_mutex);
    cleaner_transactions_begin(&cleaning->transactions);
    return status;
}

/* --- the map -------------------------------------------------------------------------------------- */

/* Puts the batch's keys; *is_full: up to latest alone. */
static enum log_status map_batch(struct cleaning *cleaning, const struct cleaner_source *source,
                                 const struct batch_view *batch, bool *is_full)
{
    struct record record;
    enum batch_status status = BATCH_OK;
    struct record_iterator *iterator = record_iterator_open(batch, &cleaning->arena, INT32_MAX);
    if (!iterator)
        return LOG_LIMIT;
    while ((status = record_iterator_next(iterator, &record)) == BATCH_OK) {
        if (record.offset < cleaning->look->first_dirty)
            continue;
        if (!slice_is_null(record.key) &&
            !cleaner_map_put(cleaning->cleaner->map, record.key, record.offset)) {
            *is_full = true;
            break;
        }
        cleaning->latest = record.offset;
    }
    record_iterator_close(iterator);
    arena_reset(&cleaning->arena);
    return status == BATCH_SHORT ? LOG_OK : status_of_batch(cleaning, source, status);
}

static enum log_status map_source(struct cleaning *cleaning, const struct cleaner_source *source,
                                  bool *is_full)
{
    struct batch_view batch;
    struct aborted_transaction aborted;
    enum log_status status = open_source(cleaning, source);
    while (status == LOG_OK && !*is_full && (status = next_batch(cleaning, source, &batch)) == LOG_OK) {
        enum cleaner_batch_kind kind = cleaner_transactions_meet(&cleaning->transactions, &batch, &aborted);
        if (kind == CLEANER_BATCH_NO_MEMORY)
            status = LOG_LIMIT;
        else if (kind == CLEANER_BATCH_ODD)
            status = damaged(cleaning, source->base_offset, "contradicting_marker");
        else if (kind == CLEANER_BATCH_LIVE && batch_last_offset(&batch) >= cleaning->look->first_dirty)
            status = map_batch(cleaning, source, &batch, is_full);
        if (status == LOG_OK && !*is_full && batch_last_offset(&batch) >= cleaning->look->first_dirty)
            cleaning->latest = batch_last_offset(&batch);
        if (status == LOG_OK)
            status = step(cleaning, 0);
    }
    cleaner_reader_close(&cleaning->reader);
    if (status != LOG_NOT_FOUND)
        return status;
    cleaning->latest = source->next_base - 1; /* gaps count as known */
    return LOG_OK;
}

/* One pass over what is dirty, until all of it is in the map or the map is full. */
static enum log_status build_map(struct cleaning *cleaning)
{
    const struct cleaner_look *look = cleaning->look;
    size_t first = cleaner_source_find(look, look->first_dirty);
    bool is_full = false;
    cleaning->latest = look->first_dirty - 1;
    enum log_status status = load_transactions(cleaning, look->sources[first].base_offset);
    for (size_t i = first; i < look->count && status == LOG_OK && !is_full; i++) {
        if (look->sources[i].base_offset >= look->first_uncleanable)
            break;
        status = map_source(cleaning, &look->sources[i], &is_full);
    }
    cleaning->result->key_count = cleaner_map_count(cleaning->cleaner->map);
    cleaning->result->map_read_size = cleaning->reader.read_size;
    /* Not even one key found memory. */
    if (status == LOG_OK && is_full && cleaning->latest < look->first_dirty)
        return LOG_LIMIT;
    return status;
}

/* --- what stays ----------------------------------------------------------------------------------- */

/* Kafka's rules for a record of a live batch (facts: disk-format 5.4). */
static bool keeps(void *context, const struct record *record)
{
    struct cleaning *cleaning = context;
    struct cleaner_result *result = cleaning->result;
    bool stays;
    result->record_count++;
    if (cleaning->batch->attributes & BATCH_ATTRIBUTE_CONTROL) {
        stays = true;
    } else if (record->offset > cleaning->latest) {
        stays = true;
    } else if (slice_is_null(record->key)) {
        result->keyless_count++;
        stays = false;
    } else {
        stays = record->offset >= cleaner_map_get(cleaning->cleaner->map, record->key) &&
                (!slice_is_null(record->value) || cleaning->keeps_deletes);
    }
    result->kept_count += stays;
    return stays;
}

static int64_t horizon_from(int64_t now_ms, int64_t delete_retention_ms)
{
    return now_ms > INT64_MAX - delete_retention_ms ? INT64_MAX : now_ms + delete_retention_ms;
}

/* How the batch is filtered; kind is what the transactions say of it. */
static struct batch_filter filter_for(struct cleaning *cleaning, const struct batch_view *batch,
                                      enum cleaner_batch_kind kind)
{
    const struct log_config *config = &cleaning->look->config;
    bool has_horizon = (batch->attributes & BATCH_ATTRIBUTE_DELETE_HORIZON) != 0;
    bool is_over = has_horizon && batch->base_timestamp <= cleaning->now_ms;
    cleaning->batch = batch;
    cleaning->keeps_deletes = !is_over;
    return (struct batch_filter){
        .keeps = keeps,
        .context = cleaning,
        .drops_all = kind == CLEANER_BATCH_ABORTED || (kind == CLEANER_MARKER_UNNEEDED && is_over),
        .is_empty_marker = kind == CLEANER_MARKER_UNNEEDED,
        /* The last one of the round tells where offsets go on; the last one of a group which segments are to
         * be removed when a power cut came in the middle of the swap. */
        .stays_empty = cleaner_producers_needs(&cleaning->producers, batch) || cleaning->ends_group ||
                       batch_last_offset(batch) + 1 == cleaning->look->first_uncleanable,
        .delete_horizon_ms = horizon_from(cleaning->now_ms, config->delete_retention_ms),
        .output_max = INT32_MAX,
    };
}

/* --- one group ------------------------------------------------------------------------------------ */

/* Consecutive segments that become one. */
struct group {
    struct cleaning *cleaning;
    size_t first, count;
    struct cleaner_writer writer;
};

static enum log_status write_batch(struct group *group, const struct batch_filtered *filtered)
{
    struct cleaning *cleaning = group->cleaning;
    enum log_status status = LOG_OK;
    if (cleaner_writer_is_copy(&group->writer) && !filtered->is_unchanged)
        status = cleaner_writer_materialize(&group->writer, cleaning->reader.file->file);
    if (status == LOG_OK && filtered->bytes.size > 0)
        status = cleaner_writer_add(&group->writer, filtered->bytes);
    return status;
}

static enum log_status clean_batch(struct group *group, const struct cleaner_source *source,
                                   const struct batch_view *batch)
{
    struct cleaning *cleaning = group->cleaning;
    struct aborted_transaction aborted;
    struct batch_filtered filtered;
    enum cleaner_batch_kind kind = cleaner_transactions_meet(&cleaning->transactions, batch, &aborted);
    if (kind == CLEANER_BATCH_NO_MEMORY)
        return LOG_LIMIT;
    if (kind == CLEANER_BATCH_ODD)
        return damaged(cleaning, source->base_offset, "contradicting_marker");
    struct batch_filter filter = filter_for(cleaning, batch, kind);
    enum log_status status =
        status_of_batch(cleaning, source, batch_filter(batch, &filter, &cleaning->arena, &filtered));
    if (status == LOG_OK && filter.drops_all)
        cleaning->result->record_count += (uint64_t)batch->record_count;
    if (status == LOG_OK)
        status = write_batch(group, &filtered);
    if (status == LOG_TOO_LARGE)
        status = status_of_batch(cleaning, source, BATCH_TOO_LARGE);
    if (status == LOG_OK && aborted.producer_id >= 0)
        status = cleaner_writer_add_aborted(&group->writer, &aborted);
    arena_reset(&cleaning->arena);
    return status;
}

/* Whether no batch of the group comes behind what was read. */
static bool is_group_read(const struct group *group, const struct cleaner_source *source)
{
    const struct cleaning *cleaning = group->cleaning;
    const struct cleaner_source *end = &cleaning->look->sources[group->first] + group->count;
    if (cleaning->reader.position < cleaning->reader.limit)
        return false;
    while (++source < end) {
        if (source->size > 0)
            return false;
    }
    return true;
}

static enum log_status clean_source(struct group *group, const struct cleaner_source *source)
{
    struct cleaning *cleaning = group->cleaning;
    struct batch_view batch;
    enum log_status status = open_source(cleaning, source);
    /* Several become one: that is a change by itself. */
    if (status == LOG_OK && group->count > 1 && cleaner_writer_is_copy(&group->writer))
        status = cleaner_writer_materialize(&group->writer, cleaning->reader.file->file);
    while (status == LOG_OK && (status = next_batch(cleaning, source, &batch)) == LOG_OK) {
        cleaning->ends_group = group->count > 1 && is_group_read(group, source);
        status = clean_batch(group, source, &batch);
        if (status == LOG_OK)
            status = step(cleaning, group->writer.written_size);
    }
    cleaner_reader_close(&cleaning->reader);
    return status == LOG_NOT_FOUND ? LOG_OK : status;
}

/* Whether the group's segments lie in the log as they did when they were read; *index: where. Under
 * prepare_mutex. Retention may have taken the first ones meanwhile. */
static bool is_as_read(const struct group *group, size_t *index)
{
    const struct cleaner_source *sources = &group->cleaning->look->sources[group->first];
    const struct segment_list *list = log__segments(group->cleaning->log);
    *index = segment_list_find(list, sources[0].base_offset);
    if (list->count - *index <= group->count)
        return false; /* the active one is none of them */
    for (size_t i = 0; i < group->count; i++) {
        const struct segment *segment = list->items[*index + i];
        if (segment->base_offset != sources[i].base_offset ||
            atomic_load(&segment->size) != sources[i].size || atomic_load(&segment->quarantine) != NULL)
            return false;
    }
    return true;
}

/* LOG_BUSY: the log is not as it was. */
static enum log_status swap(struct group *group)
{
    struct log *log = group->cleaning->log;
    struct segment *segment;
    size_t index;
    enum log_status status = cleaner_writer_finish(&group->writer, &segment);
    if (status != LOG_OK)
        return status;
    pthread_mutex_lock(&log->prepare_mutex);
    if (log__state(log) == LOG_SHUT)
        status = log__open_shut(log);
    if (status == LOG_OK && log__state(log) != LOG_OPEN)
        status = LOG_CLOSED;
    if (status == LOG_OK && log_health(log) != LOG_OK)
        status = LOG_IO;
    if (status == LOG_OK && !is_as_read(group, &index))
        status = LOG_BUSY;
    if (status == LOG_OK)
        status = log__replace_segments(log, index, group->count, segment);
    else
        cleaner_writer_discard(log, segment);
    pthread_mutex_unlock(&log->prepare_mutex);
    return status;
}

/* The device failed below what was written: nothing of this log is written any more (DESIGN 5). */
static void fail_device(struct log *log)
{
    log__fail(log, LOG_IO);
    log->host->failed(log->host, log);
}

static enum log_status clean_group(struct cleaning *cleaning, size_t first, size_t count)
{
    const struct cleaner_source *sources = &cleaning->look->sources[first];
    struct cleaner_result *result = cleaning->result;
    struct group group = { .cleaning = cleaning, .first = first, .count = count };
    enum log_status status =
        cleaner_writer_begin(&group.writer, cleaning->log, &cleaning->look->config, sources[0].base_offset,
                             cleaning->cleaner->options.buffer_size / 2);
    if (status == LOG_OK) /* as they are now: the batches of who came since lie behind */
        status = cleaner_producers_take(&cleaning->producers, cleaning->log, cleaning->now_ms);
    for (size_t i = 0; i < count && status == LOG_OK; i++)
        status = clean_source(&group, &sources[i]);
    if (status == LOG_OK && !cleaner_writer_is_copy(&group.writer)) {
        status = swap(&group);
        result->replaced_count += status == LOG_OK ? (uint32_t)count : 0;
        result->made_count += status == LOG_OK;
    }
    result->written_size += group.writer.written_size;
    bool device_failed = group.writer.device_failed;
    cleaner_writer_end(&group.writer);
    cleaner_producers_end(&cleaning->producers);
    if (device_failed)
        fail_device(cleaning->log);
    return status;
}

/* --- the round ------------------------------------------------------------------------------------ */

static enum log_status rewrite(struct cleaning *cleaning)
{
    const struct cleaner_look *look = cleaning->look;
    int64_t end = cleaning->latest + 1;
    uint64_t before = cleaning->reader.read_size;
    enum log_status status = load_transactions(cleaning, look->sources[0].base_offset);
    for (size_t i = 0, count; i < look->count && status == LOG_OK; i += count) {
        if (look->sources[i].base_offset >= end)
            break;
        count = cleaner_group_count(look, i, end);
        status = clean_group(cleaning, i, count);
    }
    cleaning->result->read_size = cleaning->reader.read_size - before;
    return status;
}

enum log_status cleaner_clean(struct cleaner *cleaner, struct log *log, const struct cleaner_look *look,
                              int64_t now_ms, struct cleaner_result *out)
{
    struct cleaning cleaning = {
        .cleaner = cleaner, .log = log, .look = look, .result = out, .now_ms = now_ms
    };
    enum log_status status = LOG_LIMIT;
    *out = (struct cleaner_result){ .next_dirty = look->first_dirty };
    arena_init(&cleaning.arena, NULL);
    cleaner_transactions_init(&cleaning.transactions);
    if (cleaner_reader_init(&cleaning.reader, cleaner->options.buffer_size / 2))
        status = build_map(&cleaning);
    if (status == LOG_OK && cleaning.latest >= look->first_dirty)
        status = rewrite(&cleaning);
    if (status == LOG_OK)
        out->next_dirty = cleaning.latest + 1;
    cleaner_map_clear(cleaner->map);
    cleaner_reader_destroy(&cleaning.reader);
    cleaner_transactions_destroy(&cleaning.transactions);
    arena_destroy(&cleaning.arena);
    return log__outcome(log, status);
}
