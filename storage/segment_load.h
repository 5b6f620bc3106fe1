/* Bringing one segment of a directory into memory: its indexes, its end, and damage inside. */
#ifndef RUNNEL_STORAGE_SEGMENT_LOAD_H
#define RUNNEL_STORAGE_SEGMENT_LOAD_H

#include "storage/log_struct.h"
#include "storage/segment_scan.h"

struct load_notes;

struct segment_load {
    /* in */
    struct log *log;
    struct segment *segment;
    uint32_t trusted_size; /* bytes whose index entries are believed, when they look right */
    uint32_t checked_from; /* bytes from here on are scanned with their CRC; UINT32_MAX: none */
    int64_t next_base;     /* base offset of the next segment; INT64_MAX: this is the last one */
    int64_t proven;        /* damage below this offset is quarantined, beyond it is torn */
    bool contiguous;   /* beyond proven, batches follow one another without gaps (the cleaner was not here) */
    int32_t epoch_max; /* the newest leader epoch that the last batch may have; INT32_MAX: not known */
    struct load_notes *notes; /* takes notes of what is kept; NULL: nobody wants them */
    /* out */
    int64_t next_offset; /* behind the last batch that is kept */
    uint32_t kept_size;  /* bytes; less than the file when the tail is torn */
    uint64_t scanned_size;
    uint32_t quarantined_count;
    bool has_gaps; /* between what was kept: the cleaner was here, unless something is damaged */
    bool is_torn;  /* what follows kept_size, and later segments, were never durable */
};

/* Fills segment->growth and both indexes (in memory); segment->size must be the size of the file. */
enum log_status segment_load(struct segment_load *load);

#endif
