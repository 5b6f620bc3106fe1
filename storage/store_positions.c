/* The durable positions of a log directory: appended after each group, a lower bound of what is on the
 * device. */
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "storage/store_internal.h"

enum { REWRITE_SIZE_MIN = 256 << 10, REWRITE_FACTOR = 8, RECORDS_PER_WRITE = 64 };

static int32_t partition_of(const struct log *log)
{
    return (int32_t)strtol(strrchr(log_name(log), '-') + 1, NULL, 10);
}

static struct side_position position_of(const struct log *log, struct log_position durable)
{
    return (struct side_position){
        .topic_id = log__topic_id(log),
        .partition = partition_of(log),
        .durable = durable,
        .start_offset = log_offsets(log).start,
    };
}

/* Gathers records and writes them in one go. */
struct position_writer {
    struct file *file;
    uint64_t size; /* of the file */
    uint8_t bytes[RECORDS_PER_WRITE * SIDE_POSITION_SIZE];
    size_t used;
    enum file_status status;
};

static void write_out(struct position_writer *writer)
{
    if (writer->used && writer->status == FILE_OK) {
        writer->status = file_pwrite(writer->file, writer->bytes, writer->used, writer->size);
        /* After a short write the next one begins at the same place. */
        if (writer->status == FILE_OK)
            writer->size += writer->used;
    }
    writer->used = 0;
}

static void write_position(struct position_writer *writer, const struct side_position *position)
{
    if (writer->used == sizeof writer->bytes)
        write_out(writer);
    side_position_encode(position, writer->bytes + writer->used);
    writer->used += SIDE_POSITION_SIZE;
}

static enum file_status begin_file(struct store_directory *directory, const char *path,
                                   struct position_writer *writer)
{
    *writer = (struct position_writer){ .file = NULL };
    enum file_status status =
        file_open(directory->directory.files, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &writer->file);
    if (status != FILE_OK)
        return status;
    side_positions_encode_header(directory->directory.meta.directory_id, writer->bytes);
    writer->used = SIDE_POSITIONS_HEADER_SIZE;
    write_out(writer);
    return writer->status;
}

static void write_all(struct store_directory *directory, struct position_writer *writer)
{
    struct store *store = directory->store;

    pthread_mutex_lock(&store->lock);
    for (struct log *log = store->logs; log; log = log__node(log)->all_next) {
        if (log__node(log)->directory != directory->index || log__node(log)->is_deleted ||
            !log__has_directory(log))
            continue;
        struct side_position position = position_of(log, log__durable_position(log));
        write_position(writer, &position);
    }
    pthread_mutex_unlock(&store->lock);
    write_out(writer);
}

enum file_status store__rewrite_positions(struct store_directory *directory)
{
    struct position_writer writer;
    enum file_status status = FILE_LIMIT;
    char *path = directory_child(&directory->directory, SIDE_POSITIONS_NAME);
    char *temporary = directory_child(&directory->directory, SIDE_POSITIONS_NAME ".tmp");

    writer.file = NULL;
    if (!path || !temporary)
        goto release;
    status = begin_file(directory, temporary, &writer);
    if (status == FILE_OK) {
        write_all(directory, &writer);
        status = writer.status;
    }
    /* Flushed before the rename: the file that it replaces is as good, a torn one is not. */
    if (status == FILE_OK)
        status = file_flush(writer.file);
    if (status == FILE_OK)
        status = file_rename(directory->directory.files, temporary, path);
    if (status != FILE_OK)
        goto release;
    file_close(directory->positions);
    directory->positions = writer.file;
    directory->positions_size = writer.size;
    directory->positions_dirty = false;
    directory->positions_are_named = false;
    writer.file = NULL;
release:
    file_close(writer.file);
    free(temporary);
    free(path);
    return status;
}

static bool is_long(const struct store_directory *directory)
{
    uint64_t needed = (uint64_t)directory->log_count * SIDE_POSITION_SIZE;

    return directory->positions_size > REWRITE_SIZE_MIN + REWRITE_FACTOR * needed;
}

enum file_status store__open_positions(struct store_directory *directory)
{
    struct position_writer writer;
    char *path = directory_child(&directory->directory, SIDE_POSITIONS_NAME);

    if (!path)
        return FILE_LIMIT;
    enum file_status status = begin_file(directory, path, &writer);
    free(path);
    /* Flushed for what the mere header says: from here on nobody but us appended. */
    if (status == FILE_OK)
        status = file_flush(writer.file);
    if (status != FILE_OK) {
        file_close(writer.file);
        return status;
    }
    file_close(directory->positions);
    directory->positions = writer.file;
    directory->positions_size = writer.size;
    directory->positions_are_named = false;
    return FILE_OK;
}

/* The metadata log is flushed by its writer; its position rides along. */
static void add_metadata(struct store_directory *directory, struct position_writer *writer)
{
    struct store *store = directory->store;

    if (!store->metadata || directory->index != 0)
        return;
    struct log_position durable = log__durable_position(store->metadata);
    if (durable.offset == store->metadata_written || durable.segment_base < 0)
        return;
    store->metadata_written = durable.offset;
    struct side_position position = position_of(store->metadata, durable);
    write_position(writer, &position);
}

void store__note_positions(struct store_directory *directory, const struct log_flush *flushes, size_t count)
{
    enum file_status status = FILE_OK;

    /* Before the first change the directory is clean, and its table says more than we could. */
    if (count == 0 || !atomic_load(&directory->has_changes) || !directory->positions)
        return;
    if (is_long(directory))
        status = store__rewrite_positions(directory);
    if (status == FILE_OK) {
        struct position_writer writer = { .file = directory->positions, .size = directory->positions_size };
        for (size_t i = 0; i < count; i++) {
            if (flushes[i].end.segment_base < 0)
                continue;
            struct side_position position = position_of(flushes[i].log, flushes[i].end);
            write_position(&writer, &position);
        }
        add_metadata(directory, &writer);
        write_out(&writer);
        status = writer.status;
        directory->positions_dirty = directory->positions_dirty || writer.size > directory->positions_size;
        directory->positions_size = writer.size;
    }
    /* A full disk costs us a hint, a failing one the directory. */
    if (store__log_status(status) == LOG_IO)
        store__want_fence(directory);
}

/* Like a group of this log alone, whose position is flushed before it returns. */
enum log_status store__before_rewrite(struct log_host *host, struct log *log)
{
    struct store_directory *directory = store__directory_of(host);
    struct store *store = directory->store;
    enum file_status status = FILE_OK;

    pthread_mutex_lock(&store->group_lock);
    if (store__is_failing(directory)) {
        status = FILE_IO;
    } else if (directory->positions) {
        struct position_writer writer = { .file = directory->positions, .size = directory->positions_size };
        struct side_position position = position_of(log, log__durable_position(log));
        write_position(&writer, &position);
        write_out(&writer);
        status = writer.status;
        directory->positions_size = writer.size;
        if (status == FILE_OK)
            status = file_flush(directory->positions);
        if (status == FILE_OK)
            directory->positions_dirty = false;
    } else {
        /* They could not be written at the start: those of the run before would be believed. */
        status = store__rewrite_positions(directory);
    }
    /* Nor is a file of use whose name a power cut takes back: it would bring the one before it, whose positions lie
     * below the gaps. */
    if (status == FILE_OK && !directory->positions_are_named) {
        status = file_flush_directory(store->env->files, directory->directory.path);
        directory->positions_are_named = status == FILE_OK;
    }
    pthread_mutex_unlock(&store->group_lock);
    if (store__log_status(status) == LOG_IO)
        store__want_fence(directory);
    return store__log_status(status);
}

static void add_starts(struct store_directory *directory, struct position_writer *writer)
{
    struct store *store = directory->store;

    pthread_mutex_lock(&store->lock);
    for (struct log *log = store->logs; log; log = log__node(log)->all_next) {
        int64_t start;
        if (log__node(log)->directory != directory->index || log__node(log)->is_deleted ||
            log == store->metadata || !log__start_to_save(log, &start))
            continue;
        struct log_position durable = log__durable_position(log);
        if (durable.segment_base < 0)
            continue;
        struct side_position position = position_of(log, durable);
        write_position(writer, &position);
    }
    pthread_mutex_unlock(&store->lock);
}

enum file_status store__note_starts(struct store_directory *directory)
{
    struct store *store = directory->store;
    enum file_status status;

    pthread_mutex_lock(&store->group_lock);
    if (!directory->positions) {
        status = store__rewrite_positions(directory);
    } else {
        struct position_writer writer = { .file = directory->positions, .size = directory->positions_size };
        add_starts(directory, &writer);
        write_out(&writer);
        status = writer.status;
        directory->positions_size = writer.size;
        if (status == FILE_OK)
            status = file_flush(directory->positions);
        if (status == FILE_OK)
            directory->positions_dirty = false;
    }
    pthread_mutex_unlock(&store->group_lock);
    return status;
}
