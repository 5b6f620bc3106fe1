/* What of a compacted log may be cleaned, whether that is worth it, and in which portions. */
#ifndef RUNNEL_STORAGE_CLEANER_CHOICE_H
#define RUNNEL_STORAGE_CLEANER_CHOICE_H

#include "storage/log_struct.h"

/* A segment as it was when the log was looked at. */
struct cleaner_source {
    int64_t base_offset;
    int64_t next_base;                 /* of the next segment; of the last one, the log end offset */
    uint32_t size;                     /* bytes */
    uint32_t offsets_size, times_size; /* bytes of the indexes */
    int64_t last_timestamp;            /* the largest; -1: the file of its time index knows */
    bool is_settled;                   /* sealed, and its batches are on the device */
    bool is_damaged;                   /* some of it is quarantined */
};

/* One moment's picture of a log, for the cleaner. */
struct cleaner_look {
    struct log_config config;
    struct cleaner_source *sources; /* all segments; owned */
    size_t count;
    int64_t start; /* log start offset */
    int64_t first_dirty;
    int64_t first_uncleanable;           /* a segment's base offset */
    uint64_t clean_size, cleanable_size; /* bytes */
    double ratio;                        /* cleanable bytes to both */
    bool is_reset;                       /* first_dirty is not what was given */
    bool is_damaged;                     /* something below first_uncleanable is quarantined */
    bool is_overdue;                     /* max.compaction.lag.ms is over for something cleanable */
    bool is_eligible;
    /* When it is worth to look again though nothing was appended, in wall-clock ms; INT64_MAX: never. */
    int64_t look_again_ms;
};

/* Looks at a log with LOG_CLEANUP_COMPACT; opens it when it is shut and has sealed segments (then only).
 * first_dirty: the offset up to which it was cleaned, or -1. The sources are to be freed by
 * cleaner_look_end() in any case. May block. LOG_NOT_FOUND: nothing there could be cleaned. */
enum log_status cleaner_look(struct log *log, int64_t first_dirty, int64_t now_ms, struct cleaner_look *out);
void cleaner_look_end(struct cleaner_look *look);

/* How many sources from `first` on become one segment; only those whose base offset lies below end are
 * counted. At least one. */
size_t cleaner_group_count(const struct cleaner_look *look, size_t first, int64_t end);

/* The index of the source that holds offset, or the first one. */
size_t cleaner_source_find(const struct cleaner_look *look, int64_t offset);

#endif
