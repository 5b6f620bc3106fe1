/* The transactions of a log: the last stable offset, and what was aborted. */
#ifndef RUNNEL_STORAGE_LOG_TRANSACTIONS_H
#define RUNNEL_STORAGE_LOG_TRANSACTIONS_H

#include "storage/log_directory.h"
#include "storage/log_struct.h"
#include "storage/producer_state.h"

/* The last stable offset of a moment: no record below it belongs to a transaction that is open, or whose end
 * consumers cannot see yet. Under the mutex. */
int64_t log__stable_of(const struct log *log, const struct log_moment *moment);
/* Forgets ends of transactions below the high watermark. Under the mutex. */
void log__forget_ended(struct log *log, int64_t high_watermark);

/* Before an append: room for what its markers say. False: no memory. Under the mutex. */
bool log__reserve_transactions(struct log *log, const struct batch_view *batches, size_t count);
/* The batch is in the log, and began a transaction of a producer that had none open. Under the mutex. */
void log__note_begun(struct log *log, int64_t first_offset);
/* The marker is in the log, and the producers' state has it; first_offset is of its transaction, -1: there
 * was none. Under the mutex. */
void log__note_ended(struct log *log, const struct producer_marker *marker, int64_t first_offset,
                     int64_t marker_offset);

/* When a log is opened, before anybody reads it: entries of all segments of the list. Those from first_walked
 * on were walked, and their files are not believed when the stop was unclean. What was rebuilt waits for a
 * save. Under prepare_mutex. May block. */
enum log_status log__load_aborted(struct log *log, struct segment_list *list,
                                  const struct log_directory *directory, bool unclean, size_t first_walked);
/* The entries of a sealed segment, whose file is on the device, taken from the batches again; *is_other: they were
 * different, and are what readers see now. Under prepare_mutex. May block. */
enum log_status log__rebuild_aborted(struct log *log, struct segment *segment, bool *is_other);
/* The first offset of the oldest open transaction at the log's end, -1: none, as a clean stop left it in the
 * newest producer snapshot. LOG_NOT_FOUND: that one is not of the end; the batches have to be asked. */
enum log_status log__read_first_open(struct log *log, int64_t end_offset, int64_t *first_open);

#endif
