/* What scrubber.c, scrubber_damage.c and scrubber_index.c share; nobody else includes it. */
#ifndef RUNNEL_STORAGE_SCRUBBER_INTERNAL_H
#define RUNNEL_STORAGE_SCRUBBER_INTERNAL_H

#include "storage/log_struct.h"
#include "storage/scrubber.h"
#include "storage/segment_scan.h"

/* What a scan reads through: what the device refuses becomes zeroes, which no batch survives. */
struct scrub_reader {
    bool from_device;      /* not the cache */
    uint64_t refused_from; /* the first and the last byte that could not be read lie in between */
    uint64_t refused_to;
};

/* Entries of an index file, one after the other. */
struct scrub_entries {
    struct open_file *file; /* NULL: there is nothing to compare */
    uint32_t entry_size;
    uint32_t count;
    uint32_t buffer_first, buffer_count;
    uint8_t buffer[4096];
};

/* One segment in one slice. Pointers are borrowed for this turn. */
struct scrub_walk {
    struct log *log;
    struct scrub_cursor *cursor;
    struct scrub_counts *counts;
    struct segment *segment;
    struct open_file *file; /* owned */
    const struct quarantine *quarantine;
    uint64_t limit; /* bytes that are on the device */
    int64_t bound;  /* and the offset behind them */
    bool is_whole;  /* that is all of a sealed segment, whose indexes are on the device too */
    struct segment_scan scan;
    struct scrub_reader reader;
    struct scrub_entries offsets, times;
    int32_t epoch; /* that the log knows for offsets in [epoch_from, epoch_to); -1: none */
    int32_t epoch_latest;
    int64_t epoch_from, epoch_to;
};

/* Begins a scan of the segment at that place, through reader. False: no memory. */
bool scrub__scan_begin(struct scrub_walk *walk, struct segment_scan *scan, struct scrub_reader *reader,
                       uint64_t position, int64_t expected);
/* segment_scan_next(), and what a right checksum does not say. */
enum scan_result scrub__next(struct segment_scan *scan);
/* Whether its leader epoch is another one than the log knows there. */
bool scrub__is_epoch_odd(struct scrub_walk *walk, const struct batch_head *head);
/* Where the piece without damage that begins at this place ends: at a quarantined range, which is returned,
 * or at the limit (NULL). */
const struct quarantine_range *scrub__piece(const struct scrub_walk *walk, uint64_t position,
                                            int64_t expected, uint64_t *limit, int64_t *bound);
/* Under prepare_mutex: whether the segment is still the one that was read, in its place. */
bool scrub__is_same(const struct scrub_walk *walk);

/* scrubber_damage.c: looks a second time, and quarantines what is still wrong; the cursor is behind it then.
 * LOG_BUSY: the log is not as it was. */
enum log_status scrub__judge(struct scrub_walk *walk);
/* The same for the pending batch with its odd leader epoch, whose neighbours are right. next: where offsets
 * go on. */
enum log_status scrub__judge_epoch(struct scrub_walk *walk, int64_t next);

/* scrubber_index.c: opens and closes what is to be compared in this slice. */
enum log_status scrub__open_indexes(struct scrub_walk *walk);
void scrub__close_indexes(struct scrub_walk *walk);
/* The next batch, in order. LOG_LIMIT: no memory. */
enum log_status scrub__meet(struct scrub_walk *walk, const struct scrub_batch *batch);
/* A control batch that the scan stands behind. */
enum log_status scrub__meet_control(struct scrub_walk *walk);
/* Bytes up to here are a quarantined range. */
void scrub__pass_range(struct scrub_walk *walk, const struct quarantine_range *range);
/* The whole segment was walked: what is wrong is written anew. LOG_BUSY: it is to be walked once more for
 * that. */
enum log_status scrub__finish_indexes(struct scrub_walk *walk);

#endif
