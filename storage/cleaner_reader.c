/* Reading a sealed segment once, batch after batch, with all checks. */
#include "storage/cleaner_reader.h"

#include <stdlib.h>

#include "storage/segment.h"

enum { BUFFER_SIZE_MIN = 4096 };

bool cleaner_reader_init(struct cleaner_reader *reader, size_t buffer_size)
{
    *reader =
        (struct cleaner_reader){ .capacity = buffer_size > BUFFER_SIZE_MIN ? buffer_size : BUFFER_SIZE_MIN };
    reader->buffer = malloc(reader->capacity);
    return reader->buffer != NULL;
}

void cleaner_reader_destroy(struct cleaner_reader *reader)
{
    cleaner_reader_close(reader);
    free(reader->buffer);
    reader->buffer = NULL;
}

enum file_status cleaner_reader_open(struct cleaner_reader *reader, const struct segment_home *home,
                                     int64_t base_offset, uint32_t size, int64_t next_base)
{
    char path[SEGMENT_PATH_MAX];
    cleaner_reader_close(reader);
    if (!home->host->may_open(home->host, 1, 0))
        return FILE_LIMIT;
    segment_path(home, base_offset, ".log", path);
    enum file_status status = open_file_open(home, path, FILE_READ, &reader->file);
    reader->position = reader->begin = reader->end = 0;
    reader->limit = size;
    reader->expected = base_offset;
    reader->bound = next_base;
    return status;
}

void cleaner_reader_close(struct cleaner_reader *reader)
{
    if (reader->file)
        pin_drop(&reader->file->pin);
    reader->file = NULL;
}

/* Has at least size bytes from the reader's position on in the buffer; they lie before its limit. */
static enum cleaner_read fill(struct cleaner_reader *reader, size_t size)
{
    if (reader->end - reader->begin >= size)
        return CLEANER_READ_BATCH;
    if (size > reader->capacity) {
        uint8_t *room = malloc(size);
        if (!room)
            return CLEANER_READ_NO_MEMORY;
        memcpy(room, reader->buffer + reader->begin, reader->end - reader->begin);
        free(reader->buffer);
        reader->buffer = room;
        reader->capacity = size;
    } else {
        memmove(reader->buffer, reader->buffer + reader->begin, reader->end - reader->begin);
    }
    reader->end -= reader->begin;
    reader->begin = 0;
    uint64_t from = reader->position + reader->end;
    uint64_t want = reader->limit - from;
    size_t got;
    if (want > reader->capacity - reader->end)
        want = reader->capacity - reader->end;
    enum file_status status =
        file_pread(reader->file->file, reader->buffer + reader->end, (size_t)want, from, &got);
    if (status != FILE_OK || got != want)
        return CLEANER_READ_IO;
    reader->end += got;
    reader->read_size += got;
    return CLEANER_READ_BATCH;
}

enum cleaner_read cleaner_reader_next(struct cleaner_reader *reader, struct batch_view *out)
{
    struct batch_head head;
    if (reader->position == reader->limit)
        return CLEANER_READ_END;
    if (reader->limit - reader->position < BATCH_HEADER_SIZE)
        return CLEANER_READ_DAMAGED;
    enum cleaner_read result = fill(reader, BATCH_HEADER_SIZE);
    if (result != CLEANER_READ_BATCH)
        return result;
    if (!batch_head_read(reader->buffer + reader->begin, reader->limit - reader->position, &head) ||
        head.base_offset < reader->expected || head.last_offset >= reader->bound)
        return CLEANER_READ_DAMAGED;
    result = fill(reader, head.size);
    if (result != CLEANER_READ_BATCH)
        return result;
    if (batch_view(slice_of(reader->buffer + reader->begin, head.size), out) != BATCH_OK ||
        !batch_crc_ok(out))
        return CLEANER_READ_DAMAGED;
    reader->begin += head.size;
    reader->position += head.size;
    reader->expected = head.last_offset + 1;
    return CLEANER_READ_BATCH;
}
