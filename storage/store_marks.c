/* Which rows of the table of logs are no longer true: said on the device before a log's first change since
 * the table was written, so that an unclean stop costs the recovery of those alone. */
#include <stdlib.h>

#include "protocol/base/check.h"
#include "storage/store_internal.h"

/* After so many flushes each mark takes others with it: whoever writes to a hundred thousand logs waits for
 * some thousand flushes, not for as many. */
enum { LONE_FLUSHES_MAX = 256, NEIGHBOURS_MAX = 31 };

void store__init_marks(struct store_directory *directory)
{
    check(pthread_mutex_init(&directory->marks.lock, NULL) == 0);
    check(pthread_mutex_init(&directory->marks.flush_lock, NULL) == 0);
}

void store__free_marks(struct store_directory *directory)
{
    pthread_mutex_destroy(&directory->marks.lock);
    pthread_mutex_destroy(&directory->marks.flush_lock);
}

void store__close_marks(struct store_directory *directory)
{
    file_close(directory->marks.file);
    directory->marks.file = NULL;
}

static enum file_status unlink_marks(const struct store_directory *directory)
{
    char *path = directory_child(&directory->directory, SIDE_MARKS_NAME);

    if (!path)
        return FILE_LIMIT;
    enum file_status status = file_unlink(directory->directory.files, path);
    free(path);
    return status;
}

enum file_status store__drop_marks(struct store_directory *directory)
{
    enum file_status status = unlink_marks(directory);

    return status == FILE_NOT_FOUND ? FILE_OK : status;
}

/* Without marks no row is believed: that takes no space, and holds for all logs at once. As long as the file
 * may come back at a power cut, or could not be removed, it stays open, and whoever has to mark something
 * tries again. */
static enum file_status give_up(struct store_directory *directory)
{
    directory->marks.is_given_up = true;
    enum file_status status = store__drop_marks(directory);
    if (status == FILE_OK)
        status = file_flush_directory(directory->directory.files, directory->directory.path);
    if (status == FILE_OK)
        store__close_marks(directory);
    return status;
}

/* A failure that is not the device's must not keep anybody from changing logs. */
static enum file_status judge(struct store_directory *directory, enum file_status status)
{
    return status == FILE_OK || store__log_status(status) == LOG_IO ? status : give_up(directory);
}

static enum file_status begin_marks(struct store_directory *directory)
{
    struct store_marks *marks = &directory->marks;
    uint8_t header[SIDE_MARKS_HEADER_SIZE];

    side_marks_encode_header(directory->directory.meta.directory_id, directory->table_nonce, header);
    enum file_status status = file_pwrite(marks->file, header, sizeof header, 0);
    if (status == FILE_OK)
        status = file_flush(marks->file);
    marks->size = marks->flushed_size = sizeof header;
    return status;
}

enum file_status store__open_marks(struct store_directory *directory)
{
    struct store_marks *marks = &directory->marks;
    bool goes_on = directory->had_marks;

    /* Where no row is believed none may be by the next start either, whatever lies there. */
    if (!goes_on && !directory->has_true_table)
        return store__drop_marks(directory);
    char *path = directory_child(&directory->directory, SIDE_MARKS_NAME);
    if (!path)
        return FILE_LIMIT;
    store__close_marks(directory); /* of a try that failed later */
    marks->is_given_up = false;
    enum file_status status =
        file_open(directory->directory.files, path, FILE_WRITE | FILE_CREATE | (goes_on ? 0 : FILE_TRUNCATE),
                  &marks->file);
    free(path);
    if (status == FILE_OK && !goes_on)
        status = begin_marks(directory);
    return judge(directory, status);
}

static enum file_status write_mark(struct store_marks *marks, const char *name)
{
    uint8_t bytes[SIDE_MARK_SIZE_MAX];
    size_t size = side_mark_encode(slice_of_string(name), bytes);
    enum file_status status = file_pwrite(marks->file, bytes, size, marks->size);

    if (status == FILE_OK)
        marks->size += size;
    return status;
}

/* Under the flush lock, as the file is closed. */
static enum file_status flush_up_to(struct store_directory *directory, uint64_t needed_size,
                                    enum file_status written)
{
    struct store_marks *marks = &directory->marks;

    pthread_mutex_lock(&marks->lock);
    uint64_t size = marks->size;
    if (marks->is_given_up)
        written = FILE_FULL; /* to the end of it */
    bool is_done = !marks->file || (written == FILE_OK && marks->flushed_size >= needed_size);
    pthread_mutex_unlock(&marks->lock);
    if (is_done)
        return FILE_OK;
    if (store__is_failing(directory))
        return FILE_IO;
    enum file_status status = written == FILE_OK ? file_flush(marks->file) : written;
    pthread_mutex_lock(&marks->lock);
    if (status == FILE_OK)
        marks->flushed_size = size;
    else
        status = judge(directory, status);
    marks->flush_count++;
    pthread_mutex_unlock(&marks->lock);
    return status;
}

/* Who waited for another's flush may find that it covered him. written: how the write before went. */
static enum file_status flush_marks(struct store_directory *directory, uint64_t needed_size,
                                    enum file_status written)
{
    pthread_mutex_lock(&directory->marks.flush_lock);
    enum file_status status = flush_up_to(directory, needed_size, written);
    if (store__log_status(status) == LOG_IO)
        store__want_fence(directory); /* before the next one flushes */
    pthread_mutex_unlock(&directory->marks.flush_lock);
    return status;
}

/* Logs of the same directory that are likely to be next: those made together stand together. */
static size_t add_neighbours(struct store_directory *directory, struct log *log, struct log **out)
{
    struct store *store = directory->store;
    size_t count = 0;

    pthread_mutex_lock(&store->lock);
    for (struct log *next = log__node(log)->all_next; next && count < NEIGHBOURS_MAX;
         next = log__node(next)->all_next) {
        if (log__node(next)->directory != directory->index || log__node(next)->is_deleted ||
            !atomic_load(&log__node(next)->has_row))
            break;
        log__hold(next);
        out[count++] = next;
    }
    pthread_mutex_unlock(&store->lock);
    return count;
}

enum file_status store__mark_all(struct store_directory *directory, struct log *const *logs, size_t count)
{
    struct store_marks *marks = &directory->marks;
    enum file_status status = FILE_OK;
    bool any = false;

    pthread_mutex_lock(&marks->lock);
    for (size_t i = 0; i < count && status == FILE_OK && marks->file; i++) {
        struct log_host_node *node = log__node(logs[i]);
        if (node->directory != directory->index || !atomic_load(&node->has_row))
            continue;
        any = true;
        status = write_mark(marks, log_name(logs[i]));
    }
    uint64_t needed_size = marks->size;
    pthread_mutex_unlock(&marks->lock);
    if (any)
        status = flush_marks(directory, needed_size, status);
    for (size_t i = 0; i < count && status == FILE_OK; i++) {
        if (log__node(logs[i])->directory == directory->index)
            atomic_store(&log__node(logs[i])->has_row, false);
    }
    return status;
}

enum file_status store__mark(struct store_directory *directory, struct log *log)
{
    struct log *logs[1 + NEIGHBOURS_MAX] = { log };
    size_t count = 1;

    if (!atomic_load(&log__node(log)->has_row))
        return FILE_OK;
    if (directory->marks.flush_count > LONE_FLUSHES_MAX)
        count += add_neighbours(directory, log, logs + 1);
    enum file_status status = store__mark_all(directory, logs, count);
    for (size_t i = 1; i < count; i++)
        log__drop(logs[i]);
    return status;
}

enum file_status store__mark_name(struct store_directory *directory, const char *name)
{
    struct store_marks *marks = &directory->marks;
    enum file_status status = FILE_OK;

    pthread_mutex_lock(&marks->lock);
    if (marks->file)
        status = write_mark(marks, name);
    uint64_t needed_size = marks->size;
    pthread_mutex_unlock(&marks->lock);
    return flush_marks(directory, needed_size, status);
}
