/* What a log knows of its past besides the batches: leader epochs and producers, read and repaired. */
#ifndef RUNNEL_STORAGE_LOG_HISTORY_H
#define RUNNEL_STORAGE_LOG_HISTORY_H

#include "storage/log_struct.h"

/* Reads leader-epoch-checkpoint, cuts it to the log, and adds epochs that only the batches know (the file is
 * written behind the appends). Under prepare_mutex, segments set. */
enum log_status log__load_epochs(struct log *log, int64_t start_offset, int64_t end_offset);
/* Rebuilds the producer state up to the log end from the newest good snapshot and the batches behind it. */
enum log_status log__load_producers(struct log *log, const int64_t *snapshots, size_t snapshot_count,
                                    int64_t end_offset);
/* Takes a picture of the producer state for a snapshot at offset; NULL: no memory, or the state is not
 * complete. Under the mutex. */
struct pending_snapshot *log__take_snapshot(struct log *log, int64_t offset);
void log__free_snapshot(struct pending_snapshot *snapshot);
/* Writes <offset>.snapshot, flushed, and frees it; NULL does nothing. */
enum log_status log__write_snapshot(struct log *log, struct pending_snapshot *snapshot);

#endif
