/* A partition log with a pretend disk, clock and host, for tests of storage/. */
#include "tests/support/log_rig.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/record_batch.h"
#include "storage/removed_segment.h"

static struct log_rig *rig_of_env(struct storage_env *env)
{
    return (struct log_rig *)env;
}

static struct log_rig *rig_of_host(struct log_host *host)
{
    return (struct log_rig *)((char *)host - offsetof(struct log_rig, host));
}

static void submit(struct storage_env *env, struct storage_job *job)
{
    struct log_rig *rig = rig_of_env(env);
    pthread_mutex_lock(&rig->mutex);
    check(rig->job_count < sizeof rig->jobs / sizeof rig->jobs[0]);
    rig->jobs[rig->job_count++] = job;
    pthread_mutex_unlock(&rig->mutex);
}

static void flush_wanted(struct storage_env *env)
{
    (void)env;
}

static void progress(struct storage_env *env, void *owner)
{
    struct log_rig *rig = rig_of_env(env);
    check(owner == rig);
    pthread_mutex_lock(&rig->mutex);
    rig->progress_count++;
    pthread_mutex_unlock(&rig->mutex);
}

static void directory_failed(struct storage_env *env, const char *directory)
{
    (void)env;
    (void)directory;
}

static enum log_status before_change(struct log_host *host, struct log *log)
{
    (void)log;
    rig_of_host(host)->change_count++;
    return LOG_OK;
}

static enum log_status before_flush(struct log_host *host, struct log *log)
{
    (void)host;
    (void)log;
    return LOG_OK;
}

static void failed(struct log_host *host, struct log *log)
{
    (void)log;
    rig_of_host(host)->failed_count++;
}

static void became_dirty(struct log_host *host, struct log *log, int64_t due_ms)
{
    struct log_rig *rig = rig_of_host(host);
    (void)log;
    pthread_mutex_lock(&rig->mutex);
    rig->dirty_count++;
    rig->dirty_due_ms = due_ms;
    pthread_mutex_unlock(&rig->mutex);
}

static void wrote(struct log_host *host, uint64_t size, bool is_durable)
{
    struct log_rig *rig = rig_of_host(host);
    pthread_mutex_lock(&rig->mutex);
    *(is_durable ? &rig->durable_bytes : &rig->unflushed_bytes) += (int64_t)size;
    pthread_mutex_unlock(&rig->mutex);
}

static void wrote_behind(struct log_host *host, uint64_t size)
{
    struct log_rig *rig = rig_of_host(host);
    pthread_mutex_lock(&rig->mutex);
    rig->behind_bytes += (int64_t)size;
    check(rig->behind_bytes <= rig->unflushed_bytes);
    pthread_mutex_unlock(&rig->mutex);
}

static void flushed(struct log_host *host, uint64_t size, uint64_t behind, bool is_durable)
{
    struct log_rig *rig = rig_of_host(host);
    int64_t *count = is_durable ? &rig->durable_bytes : &rig->unflushed_bytes;
    pthread_mutex_lock(&rig->mutex);
    *count -= (int64_t)size;
    rig->behind_bytes -= (int64_t)behind;
    check(*count >= 0 && rig->behind_bytes >= 0 && (!is_durable || behind == 0));
    pthread_mutex_unlock(&rig->mutex);
}

static void files_changed(struct log_host *host, int open_files, int maps)
{
    atomic_fetch_add(&rig_of_host(host)->open_files, open_files);
    atomic_fetch_add(&rig_of_host(host)->maps, maps);
}

static bool may_open(struct log_host *host, int open_files, int maps)
{
    (void)open_files;
    return maps == 0 || atomic_load(&rig_of_host(host)->maps) + maps <= rig_of_host(host)->maps_max;
}

static void used(struct log_host *host, struct log *log)
{
    (void)host;
    (void)log;
}

static void start_rose(struct log_host *host, struct log *log)
{
    (void)log;
    rig_of_host(host)->start_count++;
}

/* What retire() calls: no thread can reach the segment. */
static void released(void *object)
{
    struct removed_segment *removed = object;
    atomic_store(&removed->is_released, true);
}

static void removed(struct log_host *host, struct removed_segment *segment)
{
    struct log_rig *rig = rig_of_host(host);
    pthread_mutex_lock(&rig->mutex);
    segment->next = rig->removed;
    rig->removed = segment;
    rig->removed_count++;
    pthread_mutex_unlock(&rig->mutex);
    retire(rig->retire, segment, released);
}

static enum log_status before_rewrite(struct log_host *host, struct log *log)
{
    (void)log;
    rig_of_host(host)->rewrite_count++;
    return LOG_OK;
}

size_t log_rig_unlink_removed(struct log_rig *rig, bool all)
{
    size_t left = 0;
    pthread_mutex_lock(&rig->mutex);
    struct removed_segment **link = &rig->removed;
    while (*link) {
        struct removed_segment *segment = *link;
        if (all || (segment->due_ms <= clock_mono_ms(rig->env.clock) && atomic_load(&segment->is_released) &&
                    !removed_segment_is_held(segment))) {
            check(atomic_load(&segment->is_released));
            if (!all)
                removed_segment_unlink(segment);
            *link = segment->next;
            removed_segment_destroy(segment);
        } else {
            link = &segment->next;
            left++;
        }
    }
    pthread_mutex_unlock(&rig->mutex);
    return left;
}

struct log *log_rig_new_log(struct log_rig *rig)
{
    rig->log =
        log__create(&rig->env, &rig->host, rig->env.files && rig->disk ? RIG_DIRECTORY : (char *)(rig + 1),
                    RIG_TOPIC_ID, "topic", 3, &rig->config, rig);
    check(rig->log != NULL);
    return rig->log;
}

static struct log_rig *create(struct file_double *disk, struct file_system *files, const char *directory)
{
    struct log_rig *rig = calloc(1, sizeof *rig + strlen(directory) + 1);
    check(rig != NULL);
    strcpy((char *)(rig + 1), directory);
    rig->disk = disk;
    rig->retire = retire_create();
    rig->member = retire_join(rig->retire);
    clock_virtual_init(&rig->clock, 1000000);
    rig->env = (struct storage_env){
        .files = files,
        .clock = &rig->clock.clock,
        .retire = rig->retire,
        .submit = submit,
        .flush_wanted = flush_wanted,
        .progress = progress,
        .directory_failed = directory_failed,
    };
    rig->host = (struct log_host){
        .before_change = before_change,
        .before_shut = before_change,
        .before_flush = before_flush,
        .failed = failed,
        .became_dirty = became_dirty,
        .wrote = wrote,
        .wrote_behind = wrote_behind,
        .flushed = flushed,
        .files_changed = files_changed,
        .may_open = may_open,
        .used = used,
        .start_rose = start_rose,
        .removed = removed,
        .before_rewrite = before_rewrite,
    };
    rig->config = (struct log_config){
        .segment_bytes = 4096,
        .segment_ms = INT64_MAX,
        .index_interval_bytes = 200,
        .segment_index_bytes = 10 << 20,
        .flush_messages = INT64_MAX,
        .flush_ms = INT64_MAX,
        .max_message_bytes = 1 << 20,
    };
    rig->maps_max = 1000;
    pthread_mutex_init(&rig->mutex, NULL);
    log_rig_new_log(rig);
    return rig;
}

struct log_rig *log_rig_create(struct file_double *disk)
{
    file_guard_install();
    if (!disk)
        disk = file_double_create();
    struct file_system *files = file_double_system(disk);
    enum file_status status = file_make_directory(files, RIG_DIRECTORY);
    check(status == FILE_OK || status == FILE_EXISTS);
    check(file_flush_directory(files, "/") == FILE_OK);
    return create(disk, files, RIG_DIRECTORY);
}

struct log_rig *log_rig_create_on(struct file_system *files, const char *directory)
{
    file_guard_install();
    return create(NULL, files, directory);
}

enum log_status log_rig_close(struct log_rig *rig, bool clean, struct log_row *row)
{
    struct log_row unused;
    enum log_status status = log__close(rig->log, clean, row ? row : &unused);
    log__free(rig->log);
    rig->log = NULL;
    log_rig_run_jobs(rig);
    log_rig_turn(rig);
    return status;
}

struct file_double *log_rig_destroy(struct log_rig *rig)
{
    struct file_double *disk = rig->disk;
    if (rig->log)
        log_rig_close(rig, false, NULL);
    log_rig_run_jobs(rig);
    log_rig_turn(rig);
    (void)log_rig_unlink_removed(rig, true);
    log_rig_turn(rig);
    retire_leave(rig->retire, rig->member);
    retire_destroy(rig->retire);
    check(rig->open_files == 0);
    check(rig->maps == 0);
    check(rig->durable_bytes == 0 && rig->unflushed_bytes == 0 && rig->behind_bytes == 0);
    pthread_mutex_destroy(&rig->mutex);
    free(rig);
    return disk;
}

void log_rig_run_jobs(struct log_rig *rig)
{
    for (;;) {
        pthread_mutex_lock(&rig->mutex);
        struct storage_job *job = rig->job_count > 0 ? rig->jobs[--rig->job_count] : NULL;
        pthread_mutex_unlock(&rig->mutex);
        if (!job)
            return;
        job->run(job);
    }
}

bool log_rig_flush(struct log_rig *rig)
{
    struct log_flush flush;
    enum file_status statuses[LOG_FLUSH_FILES_MAX + LOG_FLUSH_DIRECTORIES_MAX];
    bool ok = true;
    if (!log__flush_begin(rig->log, &flush))
        return false;
    file_flush_group(rig->env.files, flush.files, flush.file_count, flush.directories, flush.directory_count,
                     statuses);
    for (size_t i = 0; i < flush.file_count + flush.directory_count; i++)
        ok &= statuses[i] == FILE_OK;
    log__flush_end(rig->log, &flush, ok);
    return true;
}

void log_rig_turn(struct log_rig *rig)
{
    retire_quiescent(rig->retire, rig->member);
}

void rig_make_batch(const struct rig_batch *spec, struct batch_view *out)
{
    struct arena arena;
    int count = spec->count > 0 ? spec->count : 1;
    uint8_t *value = malloc(spec->value_size + 1);
    check(value != NULL);
    arena_init(&arena, NULL);
    struct batch_builder_options options = {
        .producer_id = spec->producer_id ? spec->producer_id : -1,
        .producer_epoch = spec->producer_id ? spec->epoch : -1,
        .base_sequence = spec->producer_id ? spec->sequence : -1,
        .attributes = spec->attributes,
    };
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    check(builder != NULL);
    for (int i = 0; i < count; i++) {
        memset(value, (int)((spec->timestamp + i) & 0xff), spec->value_size);
        check(batch_builder_add(builder, spec->timestamp + i * (spec->step ? spec->step : 1), SLICE_NULL,
                                slice_of(value, spec->value_size), NULL, 0));
    }
    check(batch_builder_finish(builder, out) == BATCH_OK);
    uint8_t *copy = malloc(out->size);
    check(copy != NULL);
    memcpy(copy, out->data, out->size);
    check(batch_view(slice_of(copy, out->size), out) == BATCH_OK);
    out->data = copy;
    arena_destroy(&arena);
    free(value);
}

void rig_make_marker(struct batch_view *out, int64_t producer_id, int16_t epoch, int16_t type,
                     int32_t coordinator_epoch)
{
    struct arena arena;
    uint8_t key[4] = { 0 }, value[6] = { 0 };
    arena_init(&arena, NULL);
    store_be16(key + 2, (uint16_t)type);
    store_be32(value + 2, (uint32_t)coordinator_epoch);
    struct batch_builder_options options = {
        .producer_id = producer_id,
        .producer_epoch = epoch,
        .base_sequence = -1,
        .attributes = BATCH_ATTRIBUTE_TRANSACTIONAL | BATCH_ATTRIBUTE_CONTROL,
    };
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    check(builder != NULL);
    check(batch_builder_add(builder, 777, slice_of(key, sizeof key), slice_of(value, sizeof value), NULL, 0));
    check(batch_builder_finish(builder, out) == BATCH_OK);
    uint8_t *copy = malloc(out->size);
    check(copy != NULL);
    memcpy(copy, out->data, out->size);
    out->data = copy;
    arena_destroy(&arena);
}

enum log_status rig_append(struct log_rig *rig, const struct rig_batch *spec,
                           struct log_append_result *result)
{
    struct batch_view batch;
    struct log_append_result unused;
    enum log_status status;
    rig_make_batch(spec, &batch);
    while ((status = log_append(rig->log, &batch, 1, 0, clock_wall_ms(rig->env.clock),
                                result ? result : &unused)) == LOG_BUSY) {
        enum log_status prepared = log_prepare(rig->log);
        if (prepared != LOG_OK) {
            status = prepared;
            break;
        }
    }
    free(batch.data);
    return status;
}

void rig_fill(struct log_rig *rig, int count, size_t value_size)
{
    for (int i = 0; i < count; i++) {
        struct rig_batch spec = { .value_size = value_size, .timestamp = log_offsets(rig->log).end };
        check(rig_append(rig, &spec, NULL) == LOG_OK);
    }
}

int64_t rig_read_all(struct log_rig *rig, size_t size_max)
{
    struct log_offsets offsets = log_offsets(rig->log);
    int64_t records = 0, next = offsets.start;
    struct arena arena;
    arena_init(&arena, NULL);
    while (next < offsets.end) {
        struct log_range range;
        enum log_status status = log_read(rig->log, next, offsets.end, size_max, true, false, &arena, &range);
        if (status == LOG_CORRUPT && range.next_offset > next) {
            next = range.next_offset;
            continue;
        }
        if (status != LOG_OK || range.bytes.size == 0 || range.base_offset > next) {
            fprintf(stderr, "read at %" PRId64 ": status %d, %zu bytes\n", next, status, range.bytes.size);
            records = -1;
            break;
        }
        for (slice bytes = range.bytes; bytes.size > 0;) {
            struct batch_view batch;
            if (batch_view(bytes, &batch) != BATCH_OK || !batch_crc_ok(&batch) ||
                batch_last_offset(&batch) < next || batch.base_offset > next) {
                fprintf(stderr, "wrong batch at %" PRId64 "\n", next);
                return -1;
            }
            records += batch.record_count;
            next = batch_last_offset(&batch) + 1;
            bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
        }
        if (next != range.next_offset) {
            fprintf(stderr, "next offset %" PRId64 " is not %" PRId64 "\n", range.next_offset, next);
            records = -1;
            break;
        }
        log_rig_turn(rig);
    }
    arena_destroy(&arena);
    return records;
}

const char *rig_path(struct log_rig *rig, const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", rig->disk ? RIG_DIRECTORY "/topic-3" : "", name);
    if (!rig->disk)
        snprintf(path, sizeof paths[0], "%s/topic-3/%s", (char *)(rig + 1), name);
    return path;
}

int64_t rig_file_size(struct log_rig *rig, const char *name)
{
    struct file_info info;
    return file_info(rig->env.files, rig_path(rig, name), &info) == FILE_OK ? (int64_t)info.size : -1;
}

/* One segment's files in memory. */
struct files {
    uint8_t *log, *index, *times;
    size_t log_size, index_size, times_size;
};

static bool wrong(int64_t base, const char *what, uint64_t number)
{
    fprintf(stderr, "segment %" PRId64 ": %s %" PRIu64 "\n", base, what, number);
    return false;
}

static const uint8_t *read_file(struct log_rig *rig, int64_t base, const char *suffix, uint8_t **bytes,
                                size_t *size)
{
    char name[64];
    snprintf(name, sizeof name, "%020" PRId64 "%s", base, suffix);
    *bytes = NULL;
    *size = 0;
    (void)file_read_all(rig->env.files, rig_path(rig, name), 1 << 30, bytes, size);
    return *bytes;
}

/* Walks the batches and plays Kafka's appends through, entry by entry. */
static bool check_segment(struct log_rig *rig, int64_t base, const struct files *files, bool complete)
{
    size_t since = 0, entry = 0, time = 0;
    int64_t max_timestamp = -1, max_offset = 0, last_time = -1;
    for (size_t at = 0; at < files->log_size;) {
        struct batch_view batch;
        if (batch_view(slice_of(files->log + at, files->log_size - at), &batch) != BATCH_OK ||
            !batch_crc_ok(&batch))
            return wrong(base, "no batch at", at);
        int64_t last = batch_last_offset(&batch) - base;
        if (batch.max_timestamp > max_timestamp) {
            max_timestamp = batch.max_timestamp;
            max_offset = last;
        }
        /* An entry may come at any batch: a stop adds one for the largest timestamp so far. */
        if (time * 12 + 12 <= files->times_size &&
            (int64_t)load_be64(files->times + time * 12) == max_timestamp &&
            load_be32(files->times + time * 12 + 8) == max_offset) {
            last_time = max_timestamp;
            time++;
        }
        if (since > (size_t)rig->config.index_interval_bytes) {
            since = 0;
            const uint8_t *bytes = files->index + entry * 8;
            if (entry * 8 + 8 > files->index_size) {
                if (complete)
                    return wrong(base, "no index entry for position", at);
            } else if (load_be32(bytes) != last || load_be32(bytes + 4) != at) {
                return wrong(base, "wrong index entry", entry);
            }
            entry++;
            if (complete && max_timestamp > last_time)
                return wrong(base, "no time index entry for position", at);
        }
        since += batch.size;
        at += batch.size;
    }
    if (complete && max_timestamp > last_time)
        return wrong(base, "no final time index entry, but entries", time);
    if (files->index_size > entry * 8 || files->times_size > time * 12)
        return wrong(base, "surplus or wrong index entries", entry);
    return true;
}

struct bases {
    int64_t values[4096];
    size_t count;
};

static bool collect_base(void *context, const char *name)
{
    struct bases *bases = context;
    if (strlen(name) == 24 && strcmp(name + 20, ".log") == 0 && bases->count < 4096)
        bases->values[bases->count++] = strtoll(name, NULL, 10);
    return true;
}

bool rig_check_indexes(struct log_rig *rig, bool complete)
{
    struct bases bases = { .count = 0 };
    bool ok = file_list(rig->env.files, rig_path(rig, "."), collect_base, &bases) == FILE_OK ||
              file_list(rig->env.files, rig->disk ? RIG_DIRECTORY "/topic-3" : rig_path(rig, ""),
                        collect_base, &bases) == FILE_OK;
    for (size_t i = 0; i < bases.count && ok; i++) {
        struct files files;
        read_file(rig, bases.values[i], ".log", &files.log, &files.log_size);
        read_file(rig, bases.values[i], ".index", &files.index, &files.index_size);
        read_file(rig, bases.values[i], ".timeindex", &files.times, &files.times_size);
        ok = files.log && check_segment(rig, bases.values[i], &files, complete);
        if (complete && (!files.index || !files.times))
            ok = wrong(bases.values[i], "index files missing", 0);
        free(files.log);
        free(files.index);
        free(files.times);
    }
    return ok && bases.count > 0;
}

int32_t rig_epoch_at(struct log_rig *rig, int64_t offset)
{
    int32_t epoch = -1;
    while (log_epoch_at(rig->log, offset, &epoch) == LOG_BUSY)
        check(log_open(rig->log) == LOG_OK);
    return epoch;
}
