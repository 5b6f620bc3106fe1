/* What a log knows of its past besides the batches: leader epochs, read and repaired. */
#ifndef RUNNEL_STORAGE_LOG_HISTORY_H
#define RUNNEL_STORAGE_LOG_HISTORY_H

#include "storage/load_notes.h"
#include "storage/log_struct.h"
#include "storage/segment_scan.h"

/* A walk over the headers of batches. */
struct log_walk {
    struct log *log;
    int64_t from, until; /* batches that reach the first offset and begin below the second are visited */
    enum log_status (*visit)(struct log_walk *, const struct segment_scan *);
    /* NULL: what is quarantined is passed over. Else a batch in which one bit is wrong is visited as it was
     * (protocol/batch_mend.h), and this is called for what is damaged more. */
    enum log_status (*damaged)(struct log_walk *, const struct quarantine_range *);
    bool io_fails;     /* what cannot be read is LOG_IO, else the end */
    int32_t epoch_max; /* of log__load_epochs() */
};

/* Visits every readable batch of the segment. Under prepare_mutex. May block. */
enum log_status log__walk_segment(struct log_walk *walk, struct segment *segment);

/* Reads leader-epoch-checkpoint, cuts it to the log, and adds epochs that only the batches know (the file is
 * written behind the appends); none of these is newer than epoch_max, as they are under no checksum. Under
 * prepare_mutex, segments set. notes: of the walk that opened the log. */
enum log_status log__load_epochs(struct log *log, int64_t start_offset, int64_t end_offset, int32_t epoch_max,
                                 const struct load_notes *notes);

#endif
