/* The producers of a log: judged at an append, kept in snapshots, found again when the log is opened. */
#ifndef RUNNEL_STORAGE_LOG_PRODUCERS_H
#define RUNNEL_STORAGE_LOG_PRODUCERS_H

#include "storage/load_notes.h"
#include "storage/log_struct.h"
#include "storage/producer_state.h"
#include "storage/segment_scan.h"

/* Judges what is to be appended and comes from producers, before anything has an offset: who is refused, or
 * was there before, has its result; the others' status stays LOG_BUSY. Room for them is made. LOG_LIMIT: no
 * memory. Under the mutex. */
enum log_status log__judge_producers(struct log *log, const struct batch_view *batches, size_t count,
                                     int64_t now_ms, struct log_append_result *results);
/* Remembers an appended batch that has a producer id. Under the mutex. */
void log__note_producer(struct log *log, const struct batch_view *batch, int64_t now_ms);
/* After an append: keeps the bounds. Under the mutex. */
void log__trim_producers(struct log *log, int64_t now_ms);

/* Rebuilds the state up to the log end from the newest good snapshot and the batches behind it, when that was
 * not done yet; removes snapshots that no one needs. Under prepare_mutex, while nothing appends. May block.
 */
enum log_status log__load_producers(struct log *log);
/* The same for a log that was just opened: directory is what lies there, and may be changed; notes are of the
 * walk that opened it. */
enum log_status log__load_noted_producers(struct log *log, struct log_directory *directory,
                                          struct load_notes *notes); /* or NULL */
/* The producers of the snapshot at offset, into *producers. False: it cannot be read, or does not tell all
 * that we know of them. */
bool log__read_whole_snapshot(struct log *log, int64_t offset, struct producer_state **producers);
/* Takes a batch into account that a scan met; LOG_LIMIT: no memory. */
enum log_status log__note_scanned(struct log *log, struct producer_state **producers,
                                  const struct segment_scan *scan, int64_t now_ms);

/* The end of a transaction that the scan's control batch says; *is_marker false: it says none. One flipped
 * bit is turned back; when more is damaged, log__lost_marker() has the word. False: no memory. */
bool log__read_marker(const struct segment_scan *scan, const struct producer_state *producers,
                      struct producer_marker *marker, bool *is_marker);
/* Whether what is damaged at [first, next) was the end of a transaction: as large as one, and one transaction
 * is open there. How it ended nobody knows: it counts as aborted, so that no record is given to readers of
 * committed records that must not be, and those behind it are. */
bool log__lost_marker(const struct producer_state *producers, int64_t first, int64_t next, uint64_t size,
                      struct producer_marker *marker);

/* Takes a picture of the state for a snapshot at offset; NULL: no memory. Under the mutex. */
struct pending_snapshot *log__take_snapshot(struct log *log, int64_t offset, int64_t now_ms);
void log__free_snapshot(struct pending_snapshot *snapshot);
/* Writes the snapshot, flushed if that is asked for, and frees it; NULL does nothing. */
enum log_status log__write_snapshot(struct log *log, struct pending_snapshot *snapshot, bool flush);
/* Has what is known of producers on the device without the segments below start, whose snapshots go with
 * them. Under prepare_mutex. */
enum log_status log__keep_producers(struct log *log, int64_t start);
/* Replaces the snapshot of the stop before by one of this moment. Under prepare_mutex. */
enum log_status log__finish_snapshot(struct log *log, bool flush);

#endif
