/* Reading a sealed segment once, batch after batch, with all checks. */
#ifndef RUNNEL_STORAGE_CLEANER_READER_H
#define RUNNEL_STORAGE_CLEANER_READER_H

#include "protocol/record_batch.h"
#include "storage/segment_file.h"

enum cleaner_read {
    CLEANER_READ_BATCH,
    CLEANER_READ_END,
    CLEANER_READ_DAMAGED, /* what follows is no batch that keeps the rules */
    CLEANER_READ_IO,
    CLEANER_READ_NO_MEMORY,
};

struct cleaner_reader {
    struct open_file *file;
    uint64_t position;  /* of the next batch */
    uint64_t limit;     /* bytes of the segment */
    int64_t expected;   /* base offsets are this or higher */
    int64_t bound;      /* and last offsets lower */
    uint64_t read_size; /* bytes read from the file so far */
    uint8_t *buffer;    /* kept from one segment to the next */
    size_t capacity;
    size_t begin, end; /* what of it was read and not yet returned */
};

/* buffer_size: bytes read at a time; a larger batch gets a larger buffer until cleaner_reader_close(). */
bool cleaner_reader_init(struct cleaner_reader *reader, size_t buffer_size);
void cleaner_reader_destroy(struct cleaner_reader *reader);
/* Opens <base_offset>.log, of which the first size bytes are read: offsets from base_offset on, below
 * next_base. */
enum file_status cleaner_reader_open(struct cleaner_reader *reader, const struct segment_home *home,
                                     int64_t base_offset, uint32_t size, int64_t next_base);
void cleaner_reader_close(struct cleaner_reader *reader);

/* CLEANER_READ_BATCH: *out is the next batch, whole, with a right CRC; borrowed until the next call. */
enum cleaner_read cleaner_reader_next(struct cleaner_reader *reader, struct batch_view *out);

#endif
