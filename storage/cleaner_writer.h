/* Writing a compacted segment beside the ones that it takes the place of: <base>.log.cleaned and its indexes.
 */
#ifndef RUNNEL_STORAGE_CLEANER_WRITER_H
#define RUNNEL_STORAGE_CLEANER_WRITER_H

#include "storage/cleaner_transactions.h"
#include "storage/log_struct.h"

/* A segment in the making. It takes no file as long as it is the beginning of its first source, byte for
 * byte. */
struct cleaner_writer {
    struct log *log;
    struct log_config config;
    int64_t base_offset;
    struct segment *segment; /* its growth, and the index entries so far */
    struct open_file *file;  /* NULL: nothing was written yet */
    struct open_file *txn_file;
    uint64_t written_size; /* bytes of all files so far */
    uint8_t *buffer;       /* what waits to be written */
    size_t buffer_size;
    size_t capacity;
    uint8_t *aborted; /* entries of its .txnindex */
    size_t aborted_count, aborted_capacity;
    bool has_files;     /* some file may lie there */
    bool device_failed; /* LOG_IO came of a write or a flush, not of reading the source */
};

/* base_offset: of the first source. config as of now. LOG_LIMIT: no memory. */
enum log_status cleaner_writer_begin(struct cleaner_writer *writer, struct log *log,
                                     const struct log_config *config, int64_t base_offset,
                                     size_t buffer_size);
/* The segment no longer is a copy: makes the files, and copies what it has of its first source, open for
 * reading. LOG_CLOSED: the log was deleted. */
enum log_status cleaner_writer_materialize(struct cleaner_writer *writer, struct file *source);
static inline bool cleaner_writer_is_copy(const struct cleaner_writer *writer)
{
    return writer->file == NULL;
}
/* Adds a batch; while the segment is a copy the batch is the source's next one. LOG_TOO_LARGE: a segment
 * cannot hold it. */
enum log_status cleaner_writer_add(struct cleaner_writer *writer, slice batch);
enum log_status cleaner_writer_add_aborted(struct cleaner_writer *writer,
                                           const struct aborted_transaction *aborted);
/* Writes what is left, flushes all files. *out, owned, is for log__replace_segments(). */
enum log_status cleaner_writer_finish(struct cleaner_writer *writer, struct segment **out);
/* What was finished is not wanted any more. Under prepare_mutex; the log may have ended. */
void cleaner_writer_discard(struct log *log, struct segment *segment);
/* Frees; unless it was finished, its files go. */
void cleaner_writer_end(struct cleaner_writer *writer);

#endif
