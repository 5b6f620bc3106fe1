/* Verifying what a log has on the device: every batch of it, and the indexes that lead to them. */
#ifndef RUNNEL_STORAGE_SCRUBBER_H
#define RUNNEL_STORAGE_SCRUBBER_H

#include "storage/segment.h"

/* Kafka has no such settings. */
enum {
    SCRUB_SLICE_SIZE = 1 << 20, /* bytes that one slice verifies, as a rule */
    SCRUB_LOG_COST = 64 << 10,  /* bytes that a log counts besides its own, for what opening it costs */
    SCRUB_DELAY_MS = 600000,    /* from the start of the broker to the first slice */
    SCRUB_IDLE_MS = 3600000,    /* nothing is due for longer than that: look at the clock again */
    SCRUB_RETRY_MS = 10000,     /* when descriptors or memory are short */
    SCRUB_SAVE_MS = 60000,      /* between two writes of scrub.runnel while a pass is under way */
};
#define SCRUB_PASS_MS       INT64_C(604800000) /* everything is verified once in that time */
#define SCRUB_RATE_MIN      INT64_C(1048576)   /* bytes per second, while a pass is under way */
#define SCRUB_RATE_CATCH_UP 2                  /* times the even rate, at most, after time was lost */

/* A batch whose successor was not looked at yet: only that one shows that its base offset, which is under no
 * checksum, was raised. */
struct scrub_batch {
    struct batch_head head;
    uint64_t position;
    int64_t expected; /* what its base offset should at least be */
    bool is_set;
    bool is_epoch_odd; /* its leader epoch is not the one that the log knows there */
};

/* How far the entries of an index were compared with the batches. */
struct scrub_index {
    uint32_t next; /* entry */
    int64_t last;  /* key of the entry before: relative offset, timestamp; -1: none */
    int64_t last_relative;
    const char *fault; /* what is wrong; NULL: nothing so far */
};

/* Where a pass stands in one log, between two slices. Zeroes: before its begin. Private but for base_offset.
 */
struct scrub_cursor {
    int64_t base_offset; /* of the segment that is under way, or at most that of the next one */
    bool is_inside;      /* ... it is under way */
    bool was_shut;       /* it was opened for this */
    uint32_t rewrites;   /* log's rewrite_count when the segment was begun */
    uint64_t position;
    int64_t expected;
    struct scrub_batch pending;
    bool is_before_known, is_before_odd; /* of the batch in front of pending */
    bool has_damage;                     /* quarantined ranges: not all can be told of the indexes */
    bool has_indexes; /* they lay in their files, for good, from the begin on: they are compared */
    bool has_odd_epochs;
    int64_t max_timestamp;  /* of the batches so far */
    uint32_t aborted_count; /* entries of the transaction index whose markers were met */
    const char *aborted_fault;
    struct scrub_index offsets, times;
    struct segment *walked; /* owned: the index entries as they should be, once one was found wrong */
};

struct scrub_counts {
    uint64_t size; /* bytes verified */
    uint32_t quarantined_count;
    uint32_t index_count; /* that were written anew */
};

/* Goes on verifying the log, for about size_max bytes or until stop says so (NULL: nobody does); adds to
 * counts. LOG_OK: the log is through, up to what is on the device. LOG_BUSY: there is more; again, after a
 * quiescent state. LOG_LIMIT: descriptors or memory are short. LOG_CLOSED, LOG_IO: it cannot be verified. May
 * block; a worker, one at a time for a cursor. */
enum log_status scrubber_run(struct log *log, struct scrub_cursor *cursor, uint64_t size_max,
                             bool (*stop)(void *context), void *context, struct scrub_counts *counts);
/* The cursor is at its begin again. */
void scrub_cursor_reset(struct scrub_cursor *cursor);

#endif
