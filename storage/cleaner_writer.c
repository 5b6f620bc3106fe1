/* Writing a compacted segment beside the ones that it takes the place of: <base>.log.cleaned and its indexes.
 */
#include "storage/cleaner_writer.h"

#include <stdlib.h>

#include "protocol/base/check.h"

enum { FLAGS = FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, FILES_MAX = 4, CAPACITY_MIN = 4096 };

static const char *const suffixes[] = { ".log.cleaned", ".index.cleaned", ".timeindex.cleaned",
                                        ".txnindex.cleaned" };

static void path_of(const struct cleaner_writer *writer, size_t i, char out[SEGMENT_PATH_MAX])
{
    segment_path(&writer->log->home, writer->base_offset, suffixes[i], out);
}

/* The answer to a change of the disk. */
static enum log_status changed(struct cleaner_writer *writer, enum file_status why)
{
    enum log_status status = log__status_of(why);
    writer->device_failed |= status == LOG_IO;
    return status;
}

/* Files are made and removed only while the directory is surely this log's: another one may have its name
 * later.
 */
static bool lock_directory(struct log *log)
{
    pthread_mutex_lock(&log->prepare_mutex);
    if (log__state(log) != LOG_ENDED)
        return true;
    pthread_mutex_unlock(&log->prepare_mutex);
    return false;
}

/* What an earlier try left, and what this one does. */
static void unlink_files(struct log *log, int64_t base_offset)
{
    char path[SEGMENT_PATH_MAX];
    for (size_t i = 0; i < FILES_MAX; i++) {
        segment_path(&log->home, base_offset, suffixes[i], path);
        (void)file_unlink(log->env->files, path);
    }
}

void cleaner_writer_discard(struct log *log, struct segment *segment)
{
    if (log__state(log) != LOG_ENDED)
        unlink_files(log, segment->base_offset);
    segment_destroy(segment);
}

enum log_status cleaner_writer_begin(struct cleaner_writer *writer, struct log *log,
                                     const struct log_config *config, int64_t base_offset, size_t buffer_size)
{
    struct random random = log__random(log, base_offset);
    *writer = (struct cleaner_writer){ .log = log, .config = *config, .base_offset = base_offset };
    writer->segment = segment_create(base_offset);
    writer->capacity = buffer_size > CAPACITY_MIN ? buffer_size : CAPACITY_MIN;
    writer->buffer = malloc(writer->capacity);
    if (!writer->segment || !writer->buffer)
        return LOG_LIMIT;
    writer->segment->growth =
        segment_growth_begin(base_offset, config, clock_wall_ms(log->env->clock), &random);
    return LOG_OK;
}

/* The .log and both indexes, empty. An index saved later is then our own, even if there was one before. */
static enum log_status create_files(struct cleaner_writer *writer)
{
    struct log *log = writer->log;
    struct segment_index *indexes[] = { &writer->segment->offsets, &writer->segment->times };
    char path[SEGMENT_PATH_MAX];
    if (!log->host->may_open(log->host, FILES_MAX, 0))
        return LOG_LIMIT;
    if (!lock_directory(log))
        return LOG_CLOSED;
    unlink_files(writer->log, writer->base_offset);
    writer->has_files = true;
    enum file_status status = FILE_OK;
    for (size_t i = 0; i < 2 && status == FILE_OK; i++) {
        path_of(writer, i + 1, path);
        status = open_file_open(&log->home, path, FLAGS, &indexes[i]->file);
    }
    path_of(writer, 0, path);
    if (status == FILE_OK)
        status = open_file_open(&log->home, path, FLAGS, &writer->file);
    pthread_mutex_unlock(&log->prepare_mutex);
    return changed(writer, status);
}

static enum log_status write_bytes(struct cleaner_writer *writer, const uint8_t *bytes, size_t size,
                                   uint64_t position)
{
    enum file_status status = file_pwrite(writer->file->file, bytes, size, position);
    if (status != FILE_OK)
        return changed(writer, status);
    /* So that the flush at the end has little left to wait for. */
    file_write_behind(writer->file->file, position, size);
    writer->written_size += size;
    return LOG_OK;
}

/* Bytes in the file: all but those that wait in the buffer. */
static uint64_t file_end(const struct cleaner_writer *writer)
{
    return writer->segment->growth.size - writer->buffer_size;
}

static enum log_status write_buffer(struct cleaner_writer *writer)
{
    enum log_status status = LOG_OK;
    if (writer->buffer_size > 0)
        status = write_bytes(writer, writer->buffer, writer->buffer_size, file_end(writer));
    writer->buffer_size = 0;
    return status;
}

enum log_status cleaner_writer_materialize(struct cleaner_writer *writer, struct file *source)
{
    enum log_status status = create_files(writer);
    uint64_t size = writer->segment->growth.size;
    for (uint64_t at = 0; at < size && status == LOG_OK;) {
        size_t want = size - at < writer->capacity ? (size_t)(size - at) : writer->capacity;
        size_t got;
        if (file_pread(source, writer->buffer, want, at, &got) != FILE_OK || got != want)
            return LOG_IO;
        status = write_bytes(writer, writer->buffer, want, at);
        at += want;
    }
    return status;
}

/* Behind what was added before; large ones go straight to the file. */
static enum log_status add_bytes(struct cleaner_writer *writer, slice batch)
{
    enum log_status status = LOG_OK;
    if (batch.size > writer->capacity - writer->buffer_size)
        status = write_buffer(writer);
    if (status != LOG_OK)
        return status;
    if (batch.size > writer->capacity)
        return write_bytes(writer, batch.data, batch.size, writer->segment->growth.size);
    memcpy(writer->buffer + writer->buffer_size, batch.data, batch.size);
    writer->buffer_size += batch.size;
    return LOG_OK;
}

enum log_status cleaner_writer_add(struct cleaner_writer *writer, slice batch)
{
    struct segment_growth *growth = &writer->segment->growth;
    struct segment_entries entries;
    struct batch_head head;
    bool ok = batch_head_read(batch.data, batch.size, &head);
    check(ok && head.size == batch.size);
    if ((uint64_t)growth->size + batch.size > INT32_MAX || head.last_offset - growth->base_offset > INT32_MAX)
        return LOG_TOO_LARGE;
    enum log_status status = cleaner_writer_is_copy(writer) ? LOG_OK : add_bytes(writer, batch);
    if (status != LOG_OK)
        return status;
    segment_growth_add(growth, &head, &writer->config, &entries);
    segment_add_entries(writer->segment, writer->log->env->retire, &entries);
    return LOG_OK;
}

enum log_status cleaner_writer_add_aborted(struct cleaner_writer *writer,
                                           const struct aborted_transaction *aborted)
{
    if (writer->aborted_count == writer->aborted_capacity) {
        size_t capacity = writer->aborted_capacity ? writer->aborted_capacity * 2 : 16;
        uint8_t *room = realloc(writer->aborted, capacity * ABORTED_TRANSACTION_SIZE);
        if (!room)
            return LOG_LIMIT;
        writer->aborted = room;
        writer->aborted_capacity = capacity;
    }
    if (!txn_index_reserve(&writer->segment->aborted, NULL, 1))
        return LOG_LIMIT;
    txn_index_append(&writer->segment->aborted, aborted);
    aborted_transaction_encode(aborted, writer->aborted + writer->aborted_count++ * ABORTED_TRANSACTION_SIZE);
    return LOG_OK;
}

/* The transaction index, which only a segment with aborted transactions has. */
static enum log_status write_aborted(struct cleaner_writer *writer)
{
    char path[SEGMENT_PATH_MAX];
    size_t size = writer->aborted_count * ABORTED_TRANSACTION_SIZE;
    if (size == 0)
        return LOG_OK;
    if (!lock_directory(writer->log))
        return LOG_CLOSED;
    path_of(writer, 3, path);
    enum file_status status = open_file_open(&writer->log->home, path, FLAGS, &writer->txn_file);
    pthread_mutex_unlock(&writer->log->prepare_mutex);
    if (status == FILE_OK)
        status = file_pwrite(writer->txn_file->file, writer->aborted, size, 0);
    writer->segment->aborted.saved_count = (uint32_t)writer->aborted_count;
    writer->written_size += size;
    return changed(writer, status);
}

static enum log_status write_indexes(struct cleaner_writer *writer)
{
    struct segment *segment = writer->segment;
    const struct segment_home *home = &writer->log->home;
    char path[SEGMENT_PATH_MAX];
    segment_seal(segment, writer->log->env->retire);
    path_of(writer, 1, path);
    enum file_status status = segment_index_save(&segment->offsets, home, path);
    path_of(writer, 2, path);
    if (status == FILE_OK)
        status = segment_index_save(&segment->times, home, path);
    writer->written_size += (uint64_t)segment_index_count(&segment->offsets) * OFFSET_INDEX_ENTRY_SIZE +
                            (uint64_t)segment_index_count(&segment->times) * TIME_INDEX_ENTRY_SIZE;
    return changed(writer, status);
}

/* One after another: threads that help to flush would have the low priority of whoever asked for them first.
 */
static enum log_status flush_files(struct cleaner_writer *writer)
{
    struct open_file *files[FILES_MAX] = { writer->file, writer->segment->offsets.file,
                                           writer->segment->times.file, writer->txn_file };
    enum file_status status = FILE_OK;
    for (size_t i = 0; i < FILES_MAX && status == FILE_OK; i++) {
        if (files[i])
            status = file_flush(files[i]->file);
    }
    /* Their names too: a rename of a name that is not there leaves nothing. */
    if (status == FILE_OK)
        status = file_flush_directory(writer->log->env->files, writer->log->path);
    return changed(writer, status);
}

enum log_status cleaner_writer_finish(struct cleaner_writer *writer, struct segment **out)
{
    struct segment *segment = writer->segment;
    enum log_status status = write_buffer(writer);
    if (status == LOG_OK)
        status = write_indexes(writer);
    if (status == LOG_OK)
        status = write_aborted(writer);
    if (status == LOG_OK)
        status = flush_files(writer);
    if (status != LOG_OK)
        return status;
    atomic_store(&segment->size, segment->growth.size);
    atomic_store(&segment->written_from, segment->growth.size);
    segment->flushed = true;
    segment_index_leave_to_disk(&segment->offsets, writer->log->env->retire);
    segment_index_leave_to_disk(&segment->times, writer->log->env->retire);
    segment_close_files(segment, &writer->log->home);
    writer->segment = NULL;
    writer->has_files = false;
    *out = segment;
    return LOG_OK;
}

static void drop(struct open_file *file)
{
    if (file)
        pin_drop(&file->pin);
}

void cleaner_writer_end(struct cleaner_writer *writer)
{
    drop(writer->file);
    drop(writer->txn_file);
    if (writer->has_files && lock_directory(writer->log)) {
        unlink_files(writer->log, writer->base_offset);
        pthread_mutex_unlock(&writer->log->prepare_mutex);
    }
    if (writer->segment)
        segment_destroy(writer->segment);
    free(writer->buffer);
    free(writer->aborted);
    *writer = (struct cleaner_writer){ .log = NULL };
}
