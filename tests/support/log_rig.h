/* A partition log with a pretend disk, clock and host, for tests of storage/. */
#ifndef RUNNEL_TESTS_SUPPORT_LOG_RIG_H
#define RUNNEL_TESTS_SUPPORT_LOG_RIG_H

#include <pthread.h>

#include "storage/file_double.h"
#include "storage/log_internal.h"

/* Jobs wait until log_rig_run_jobs(); flushes until log_rig_flush(). */
struct log_rig {
    struct storage_env env; /* first */
    struct log_host host;
    struct file_double *disk; /* NULL: files are the machine's */
    struct retire *retire;
    unsigned member;
    struct clock_virtual clock;
    struct log_config config;
    struct log *log;
    pthread_mutex_t mutex;
    struct storage_job *jobs[64];
    size_t job_count;
    unsigned dirty_count; /* became_dirty calls */
    int64_t dirty_due_ms; /* of the last one */
    unsigned progress_count;
    unsigned failed_count;
    _Atomic unsigned change_count;  /* before_change calls */
    _Atomic unsigned start_count;   /* start_rose calls */
    _Atomic unsigned rewrite_count; /* before_rewrite calls */
    struct removed_segment *removed;
    unsigned removed_count; /* all that ever were */
    int64_t durable_bytes, unflushed_bytes, behind_bytes;
    _Atomic int open_files, maps;
    int maps_max; /* mappings that the host allows */
};

#define RIG_DIRECTORY "/data"
#define RIG_TOPIC_ID  ((uuid){ { 1, 2, 3, 4, 5, 6, 7, 8 } })

/* Small segments (4 KiB), an index entry every 200 bytes, page-cache mode. disk: taken, or NULL for a new
 * one. */
struct log_rig *log_rig_create(struct file_double *disk);
/* On the machine's files below directory, which exists. */
struct log_rig *log_rig_create_on(struct file_system *files, const char *directory);
/* Closes nothing cleanly: what a kill leaves. Returns the disk, or NULL. */
struct file_double *log_rig_destroy(struct log_rig *rig);

/* A new struct log for the same directory; the old one must be closed. */
struct log *log_rig_new_log(struct log_rig *rig);
/* log__close(), and the struct goes. */
enum log_status log_rig_close(struct log_rig *rig, bool clean, struct log_row *row);

void log_rig_run_jobs(struct log_rig *rig);
/* One flush group of this log, like the store's; false when there was nothing to flush. */
bool log_rig_flush(struct log_rig *rig);
/* Unlinks the segments that left the log, are due and unread; returns how many are left. all: whatever they
 * are, only their memory goes, as at a kill. */
size_t log_rig_unlink_removed(struct log_rig *rig, bool all);
/* Ends the turn of this thread: what was retired is freed. */
void log_rig_turn(struct log_rig *rig);

/* What rig_append appends: values are value_size bytes that depend on the offset. */
struct rig_batch {
    int count; /* records; 0: 1 */
    size_t value_size;
    int64_t timestamp; /* of the first record; the others follow by 1 ms, unless step is set */
    int64_t step;
    uint16_t attributes;
    int64_t producer_id; /* 0: none */
    int32_t sequence;
    int16_t epoch;
};

/* Builds one batch; its bytes are malloc'ed and returned owned in out->data. */
void rig_make_batch(const struct rig_batch *spec, struct batch_view *out);
/* The same with the one record of a marker, as Kafka's EndTransactionMarker writes it; type 0: abort, 1:
 * commit. */
void rig_make_marker(struct batch_view *out, int64_t producer_id, int16_t epoch, int16_t type,
                     int32_t coordinator_epoch);
/* Appends one batch, with log_prepare() as often as the log says BUSY. */
enum log_status rig_append(struct log_rig *rig, const struct rig_batch *spec,
                           struct log_append_result *result);
/* Appends count batches of one record, timestamps equal to offsets. */
void rig_fill(struct log_rig *rig, int count, size_t value_size);

/* Reads everything from start to end through log_read with this size_max; checks offsets, CRCs, bounds.
 * Returns the number of records that were read, -1 on a wrong answer. */
int64_t rig_read_all(struct log_rig *rig, size_t size_max);

/* The leader epoch at offset; opens a log that is closed. */
int32_t rig_epoch_at(struct log_rig *rig, int64_t offset);

/* Path of a file of the partition, in one of 8 static buffers. */
const char *rig_path(struct log_rig *rig, const char *name);
/* Size of such a file, or -1. */
int64_t rig_file_size(struct log_rig *rig, const char *name);

/* Compares both indexes of every segment with the batches as kafka-dump-log does; false, with a line on
 * stderr, when one is wrong. complete: they must also be what Kafka's appends would have made. */
bool rig_check_indexes(struct log_rig *rig, bool complete);

#endif
