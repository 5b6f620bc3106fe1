/* One round of cleaning on one log, for the store. */
#ifndef RUNNEL_STORAGE_CLEANER_INTERNAL_H
#define RUNNEL_STORAGE_CLEANER_INTERNAL_H

#include "storage/cleaner.h"
#include "storage/cleaner_choice.h"

/* What one round did. */
struct cleaner_result {
    int64_t
        next_dirty; /* the log is clean up to here, on the device; the look's first_dirty when it is not */
    uint64_t map_read_size, read_size, written_size; /* bytes */
    uint64_t record_count, kept_count;               /* of the cleaned part */
    uint64_t keyless_count;  /* records without a key: nobody can tell what they replace */
    uint32_t replaced_count; /* segments that went */
    uint32_t made_count;     /* segments that took their place */
    size_t key_count;        /* in the map */
    bool was_stopped;
};

/* Cleans the log once, as the look says; one thread at a time for each log, appends and reads go on. The
 * caller has had log_host.before_change() called. What was done stays also after a failure, and was_stopped:
 * LOG_OK         and next_dirty is what a checkpoint may say.
 * LOG_CORRUPT    a batch is damaged or contradicts the indexes: noted; nothing is lost, but trying again is
 * no use. LOG_TOO_LARGE  a batch could not be rewritten: likewise. LOG_DISK_FULL, LOG_LIMIT, LOG_BUSY:
 * undone, later again. LOG_IO         the source cannot be read, or the device failed and the log with it
 * (log_health()). LOG_CLOSED     deleted meanwhile. */
enum log_status cleaner_clean(struct cleaner *cleaner, struct log *log, const struct cleaner_look *look,
                              int64_t now_ms, struct cleaner_result *out);

#endif
