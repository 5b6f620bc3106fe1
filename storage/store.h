/* The store: the log directories of this broker and every log in them. */
#ifndef RUNNEL_STORAGE_STORE_H
#define RUNNEL_STORAGE_STORE_H

#include "storage/cleaner.h"
#include "storage/env.h"
#include "storage/log.h"

struct store;

enum store_status {
    STORE_OK,
    STORE_LOCKED,  /* another process (runnel or Kafka) uses the directory */
    STORE_FOREIGN, /* not ours to open: other cluster or node id, several brokers, unknown files */
    STORE_DENIED,  /* permissions, read-only file system */
    STORE_FULL,    /* no space */
    STORE_LIMIT,   /* descriptors or memory */
    STORE_IO,      /* the device failed */
    STORE_DAMAGED, /* a file that cannot be repaired safely; the message names it */
};

struct store_options {
    const char *const *directories; /* log.dirs; made when absent; the first holds the metadata log */
    size_t directory_count;         /* >= 1 */
    int32_t node_id;
    const char *cluster_id;   /* for a new directory; NULL: a random one */
    unsigned open_files_max;  /* descriptors that logs may keep open; 0: from RLIMIT_NOFILE */
    unsigned maps_max;        /* mappings; 0: half of vm.max_map_count */
    uint64_t dirty_bytes_max;     /* of a directory, on their way to the device: then produce is BUSY */
    uint64_t unflushed_bytes_max; /* of a page-cache log: then it is flushed; 0 of both: store_pressure.c */
    /* Asked once everything is read and nothing was changed, when the directory of the metadata log may hold
     * what others wrote; it may use store_inspect_metadata() alone. Anything but STORE_OK: store_open()
     * leaves every byte as it was, and answers that. NULL: nobody asks. */
    enum store_status (*inspect)(void *context, struct store *store, const char **error);
    void *context;
};

/* Locks the directories, reads meta.properties, makes what a new directory needs (nothing is
 * flushed before the first append), notes whether the last stop was clean, removes the clean-stop
 * marker lazily: before the first change, not before ready. On failure *error is a sentence for the
 * operator, good until another start in this process fails (last_sentence.h). */
enum store_status store_open(struct storage_env *env, const struct store_options *options, struct store **out,
                             const char **error);

/* After a clean stop: flushes and closes every log, writes producer snapshots, checkpoints, the
 * table of logs and last the marker, as Kafka's shutdown does (facts: disk-format 4.4). Without
 * `clean` it only closes: what a kill would leave. No other call may run. */
enum store_status store_close(struct store *store, bool clean);

/* Identity, from meta.properties. */
const char *store_cluster_id(const struct store *store);
uuid store_directory_id(const struct store *store, size_t directory);
size_t store_directory_count(const struct store *store);
const char *store_directory(const struct store *store, size_t directory);
/* Index of the directory that the log is in; for ever. Any thread. */
size_t store_directory_of(const struct log *log);
/* Whether all directories were stopped cleanly by us; else logs recover before they serve. */
bool store_was_clean(const struct store *store);

/* The log of a partition, made or found. Without a directory on disk the log is empty and gets one
 * at its first append. After a clean stop it is opened lazily; after an unclean one it must be
 * recovered: store_recover(). owner goes to storage_env.progress. The log is the store's and lives
 * until store_close(), or until the caller frees it after store_delete_logs(). NULL: no memory. */
struct log *store_log(struct store *store, uuid topic_id, const char *topic, int32_t partition,
                      const struct log_config *config, void *owner);

/* The same. One that is not there yet is made in the directory of that id; another id: wherever it suits. */
struct log *store_log_in(struct store *store, uuid directory_id, uuid topic_id, const char *topic,
                         int32_t partition, const struct log_config *config, void *owner);
/* Id of the directory in which a partition that is about to be made should be. It counts as being there from
 * now on, so that many can be placed before the first is made. */
uuid store_place(struct store *store);

/* Until store_recover(), and inside inspect(): why what was acknowledged of this partition is not here, as
 * far as our files and Kafka's checkpoints tell, or NULL. store_log() would begin it anew, and its offsets
 * would be given out again. *end_offset: what they say its end was. */
const char *store_lost(const struct store *store, uuid topic_id, const char *topic, int32_t partition,
                       int64_t *end_offset);

/* Recovers every log that may hold unflushed data, with up to `threads` threads; call it after
 * store_log() was called for all partitions of the metadata image and before serving. Truncates
 * torn tails, quarantines damage before the durable position, flushes what it kept. Directories of
 * topics that were removed are unlinked; those of which nothing is known are left alone and reported. The
 * calling thread counts as quiescent meanwhile: if it is a member of env->retire, it must be asleep. */
enum store_status store_recover(struct store *store, unsigned threads, const char **error);

/* The logs are gone for new callers and answer LOG_CLOSED; their directories get Kafka's -delete name and are
 * unlinked by a worker, while readers that hold a pin go on. storage_env.progress is not called for them any
 * more. They are the caller's now: store_free_log(). LOG_OK, or what befell the last one that could not be
 * renamed: the next start does it (store_topic_removed()). May block. */
enum log_status store_delete_logs(struct store *store, struct log *const *logs, size_t count);
/* Frees a deleted log that no thread can reach any more: for retire(). Also after store_close(). */
void store_free_log(void *log);

/* Before store_log() and store_recover(): this topic was removed, so what still lies here of it may go. */
void store_topic_removed(struct store *store, uuid topic_id, slice name, int32_t partition_count);

/* __cluster_metadata-0 in the first directory: a log like the others, never lazily opened, recovered
 * unless it is as the last clean stop left it (then nothing is flushed). Not listed in checkpoints. May
 * block. */
enum log_status store_metadata_log(struct store *store, const struct log_config *config, struct log **out);

/* Opens the metadata log for inspect() to read, as far as it can be read without repair; no byte is changed.
 * LOG_NOT_FOUND: there is none. May block. */
enum log_status store_inspect_metadata(struct store *store, const struct log_config *config,
                                       struct log **out);
void store_end_inspection(struct store *store, struct log *log);

/* Makes the log start offsets that log_delete_records() and retention raised durable
 * (log-start-offset-checkpoint of each directory). May block. */
enum store_status store_save_starts(struct store *store);
/* Whether there is anything that store_save_starts() would write. */
bool store_starts_changed(struct store *store);
/* One round of retention: log_retain() on every log of which the table or the open log says that there may be
 * something to do. May block for long; a worker. Between two logs it asks stop, if there is one; false: that said
 * so, and the next call goes on with the round. What is closed meanwhile, so that others can be opened, is free
 * only once the caller has passed a quiescent state: so it should stop now and then. One caller at a time. */
bool store_retain(struct store *store, int64_t now_ms, bool (*stop)(void *context), void *context);

/* One slice of verifying everything that lies on the device (scrubber.h): checksums, headers, indexes. Damage is
 * quarantined and reported, wrong indexes are written anew. Returns for how many ms to wait before the next slice: the
 * rate is kept so, and once nothing is due it is up to an hour. stop: as above, for an early end. May block; a worker,
 * one caller at a time, with a quiescent state between two calls. now_ms: since the Unix epoch. */
int64_t store_scrub(struct store *store, int64_t now_ms, bool (*stop)(void *context), void *context);
/* Says in a note how far the last pass came and what it found, for the start. Nobody scrubs yet. */
void store_scrub_tell(struct store *store, int64_t now_ms);

/* Compacts the log that is worth it most, if one is: once, or until the cleaner's step() says no. Returns whether one
 * was compacted; then there may be more. May block for long: for threads of their own, each with its cleaner, at most
 * one at a time on a log. now_ms: since the Unix epoch. */
bool store_clean(struct store *store, struct cleaner *cleaner, int64_t now_ms);
/* When to call store_clean() though storage_env.clean_wanted is not called: ms since the Unix epoch, in the past: now,
 * INT64_MAX: never. */
int64_t store_clean_due_ms(struct store *store);
/* Compacts this log now, however little there is to gain. LOG_NOT_FOUND: nothing of it may be compacted. LOG_BUSY:
 * another thread is at it, or it was stopped. LOG_CORRUPT: damaged, it is left as it is. May block for long. */
enum log_status store_clean_log(struct store *store, struct cleaner *cleaner, struct log *log, int64_t now_ms);

/* Flushes one group: takes the whole dirty set, flushes files and directory entries, raises the
 * durable ends and tells progress. Returns whether there is more to do now. May block; one thread
 * at a time (the flusher's, or a simulation's). After a failure the directory is fenced and its
 * logs get LOG_IO; a failed flush is never repeated (fsyncgate). */
bool store_flush(struct store *store);
/* When store_flush() is due next for flush.ms: ms of the monotonic clock, INT64_MAX: never. */
int64_t store_flush_due_ms(struct store *store);
/* Has a worker let go of the memory that reads of mapped segments took since the last call: for when the
 * broker falls idle, and now and then while it is busy. Nothing is closed, the cache stays. Any thread; does
 * nothing when no log was used. */
void store_release_memory(struct store *store);
/* Whether logs have about as many files open as they may. LOG_LIMIT may pass then: what is closed for others is free
 * once every thread has passed a quiescent state, and what waits for a flush can be closed after it. */
bool store_is_short_of_files(const struct store *store);
/* Whether the disk of the metadata is full and what is kept for that day (reserve.h) is in use: appends of records
 * answer LOG_DISK_FULL at once, and nothing new should be made. It ends by itself. */
bool store_is_short_of_room(const struct store *store);
/* Whether a log directory has more unwritten bytes than allowed: produce is held back (BUSY). */
bool store_is_saturated(struct store *store);

#endif
