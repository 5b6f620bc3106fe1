/* The last word of every active producer of a log: a batch that says it stays, empty if need be. */
#ifndef RUNNEL_STORAGE_CLEANER_PRODUCERS_H
#define RUNNEL_STORAGE_CLEANER_PRODUCERS_H

#include "storage/log_struct.h"

/* By producer id, ascending; one moment's picture. */
struct cleaner_producers {
    struct cleaner_producer *items; /* owned */
    size_t count;
};

/* Takes the picture. The log is open; may block. */
enum log_status cleaner_producers_take(struct cleaner_producers *producers, struct log *log, int64_t now_ms);
void cleaner_producers_end(struct cleaner_producers *producers);

/* Whether the batch is all that tells of its producer's last sequence, or of its epoch where it has no data.
 */
bool cleaner_producers_needs(const struct cleaner_producers *producers, const struct batch_view *batch);

#endif
