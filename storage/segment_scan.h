/* Walking the batches of a .log file by pread, for recovery, repair and look-ups by time. */
#ifndef RUNNEL_STORAGE_SEGMENT_SCAN_H
#define RUNNEL_STORAGE_SEGMENT_SCAN_H

#include "storage/segment.h"

enum scan_result {
    SCAN_BATCH,   /* scan->head and scan->view are the next one's */
    SCAN_END,     /* the limit is reached exactly */
    SCAN_DAMAGED, /* no batch that keeps the rules begins at scan->position */
    SCAN_IO,      /* the file cannot be read, or no memory */
};

struct segment_scan {
    struct file *file;
    uint64_t position; /* where the next batch begins */
    uint64_t limit;    /* exclusive end of what may be read */
    int64_t expected;  /* the next base offset is this or higher */
    int64_t bound;     /* ... and the last offset lies below this */
    bool check_crc;
    struct batch_head head;
    struct batch_view view; /* header fields of the batch; data is NULL */
    uint64_t batch_position;
    /* Set behind segment_scan_begin() by who reads in a way of his own; NULL: file_pread(). */
    enum file_status (*read)(struct segment_scan *, void *out, size_t size, uint64_t position, size_t *got);
    void *context;
    /* the rest is the scan's own */
    uint8_t *buffer;
    size_t buffer_capacity;
    size_t buffer_size;
    uint64_t buffer_position;
    uint64_t ahead; /* up to here the device was asked ahead */
};

/* False: no memory. expected: base offsets below it are damage. */
bool segment_scan_begin(struct segment_scan *scan, struct file *file, uint64_t position, uint64_t limit,
                        int64_t expected, bool check_crc);
void segment_scan_end(struct segment_scan *scan);
/* After SCAN_BATCH, position is behind the batch. */
enum scan_result segment_scan_next(struct segment_scan *scan);
/* Looks for the next place behind position where a batch with a right CRC begins; position is there then.
 * False: there is none before the limit. */
bool segment_scan_resync(struct segment_scan *scan);
/* Copies the whole batch at scan->batch_position into out (head.size bytes). */
bool segment_scan_copy(struct segment_scan *scan, uint8_t *out);

#endif
