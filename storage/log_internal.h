/* What the files of a partition log share with each other and with the store that owns the log. */
#ifndef RUNNEL_STORAGE_LOG_INTERNAL_H
#define RUNNEL_STORAGE_LOG_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/env.h"
#include "storage/log.h"

struct segment;
struct segment_list;
struct segment_spare;
struct leader_epochs;
struct producer_state;
struct open_file;
struct removed_segment;

/* A place in a log: the record number and where its batch begins. */
struct log_position {
    int64_t offset;
    int64_t segment_base; /* base offset of the segment; -1: the place in the files is not known */
    uint32_t position;    /* bytes into that segment's .log */
};

/* Offset known, place not (Kafka's recovery point), or nothing known (offset 0). */
#define LOG_POSITION_OF_OFFSET(number) ((struct log_position){ .offset = (number), .segment_base = -1 })

/* What the store is told. One per log directory or one per store, as the store likes; it finds its own
 * struct around it. No callback may call back into the log. All but the first three are cheap and take only
 * the host's own lock, as the log's mutex may be held (lock order: log, then host). */
struct log_host {
    /* Before the first change of a log's files by this process: log_prepare() calls it on its worker before
     * it makes a directory or lets appends begin in one that is there. May block; no lock of the log is held
     * but prepare_mutex. Anything but LOG_OK is log_prepare()'s answer, and nothing was changed. */
    enum log_status (*before_change)(struct log_host *host, struct log *log);
    /* The same before a shut writes what is missing (indexes, a snapshot). The LRU shuts under the store's
     * sweep lock, so nobody is waited for who flushes a group. */
    enum log_status (*before_shut)(struct log_host *host, struct log *log);
    /* Before log_flush() flushes (the store's own flushes do not ask); no lock held; may block. */
    enum log_status (*before_flush)(struct log_host *host, struct log *log);
    /* The log met an I/O error while it wrote, or log_flush() failed: it takes no more appends, and the store
     * fences the directory (later, on the flusher). */
    void (*failed)(struct log_host *host, struct log *log);
    /* There are unflushed bytes or names: log__flush_begin() by due_ms (ms of the monotonic clock; 0: now,
     * INT64_MAX: whenever it suits). Called again when the due time becomes earlier, and after a flush that
     * left something. The log counts as dirty until the next log__flush_begin(). Any thread. */
    void (*became_dirty)(struct log_host *host, struct log *log, int64_t due_ms);
    /* size bytes went to the page cache, of a log that is durable or not. When that changes, what is unflushed is taken
     * back by flushed() and told anew. */
    void (*wrote)(struct log_host *host, uint64_t size, bool is_durable);
    /* Write-back was begun for as many of them; not of durable logs. */
    void (*wrote_behind)(struct log_host *host, uint64_t size);
    /* As many are flushed, or nobody's any more; of `behind` of them wrote_behind() told. */
    void (*flushed)(struct log_host *host, uint64_t size, uint64_t behind, bool is_durable);
    /* There are bytes which nothing is appended to any more and which nobody waits for: log__behind_begin()
     * before they are many. Any thread; not again before that was called. NULL: nobody writes behind. */
    void (*grew)(struct log_host *host, struct log *log);
    /* The log has blocks ahead of its tail: log__rest_ahead() now and then, until it says that it has none.
     * Under the log's mutex. NULL: nobody goes ahead. */
    void (*went_ahead)(struct log_host *host, struct log *log);
    /* Descriptors and mappings that the log took (positive) or gave back (negative), for the LRU.
     * May come from the thread that reclaims (retire), for a log that is closed. */
    void (*files_changed)(struct log_host *host, int open_files, int maps);
    /* Whether so many more may be taken now. A refusal is LOG_LIMIT for descriptors, and pread for
     * mappings. Called without a lock of the log on workers only, or on a loop for mappings. */
    bool (*may_open)(struct log_host *host, int open_files, int maps);
    /* The log was used (append, read, open): the LRU's hint. Any thread, often: must be a store to
     * the log's own node or less. */
    void (*used)(struct log_host *host, struct log *log);
    /* The log start offset rose, or its first segment is another: log__start_to_save() has another answer. */
    void (*start_rose)(struct log_host *host, struct log *log);
    /* Takes a segment that left the log: its files have their `.deleted` names and are to be unlinked on a
     * worker once it is due and no reader holds it (removed_segment.h). The segment itself may still be read
     * in this turn. On a worker, no lock but prepare_mutex held. */
    void (*removed)(struct log_host *host, struct removed_segment *removed);
    /* Before a segment takes the place of others: on return the log's durable position is on the device, so
     * that no recovery begins in front of the gaps that the new one has. On a worker, under prepare_mutex. */
    enum log_status (*before_rewrite)(struct log_host *host, struct log *log);
    /* There may be something to compact: a segment of a log with LOG_CLEANUP_COMPACT was sealed and is on the device,
     * or its settings changed. NULL: nobody compacts. */
    void (*cleanable)(struct log_host *host, struct log *log);
    /* After a write met a full disk: whether it makes sense to try again, as room is kept for who has this rank
     * (reserve.h) and was given up now, or by another since shortage had the value seen. May block; a worker, no lock
     * of the log but prepare_mutex. NULL: nobody keeps room. */
    bool (*make_room)(struct log_host *host, unsigned rank, unsigned seen);
    /* Whether that would be worth a try, for a loop. NULL with the other. */
    bool (*can_make_room)(struct log_host *host, unsigned rank);
    /* Logs of a lower rank take no appends and get no files: LOG_DISK_FULL (enum reserve_shortage). */
    _Atomic uint8_t shortage;
    _Atomic bool met_full_disk; /* some append did */
    _Atomic uint64_t ahead_size;  /* bytes of blocks ahead of the tails of all logs, at most */
    _Atomic int64_t ahead_due_ms; /* before this nobody goes ahead */
};

/* Links of the store inside a log: the log itself never touches them. */
struct log_host_node {
    struct log *hash_next;
    struct log *all_previous, *all_next;
    struct log *dirty_next;
    struct log *behind_next;         /* of those whose write-back is to be started */
    struct log *ahead_next;          /* of those that have blocks ahead of their tail */
    struct log *clean_next;          /* of those that may be compacted */
    struct clean_entry *clean_entry; /* of a compacted log (store_clean.c) */
    int64_t clean_offset;            /* as the cleaner's checkpoint said at the start; -1: not at all */
    int64_t due_ms;
    _Atomic int64_t used_ms;
    _Atomic uint8_t warmth; /* releases of its memory that are due: two after a use (store_lru.c), 0: none */
    uint32_t retained;      /* the last round of retention that had it */
    uint32_t directory;     /* index into the store's log directories */
    bool is_dirty;          /* in one of the dirty lists */
    bool is_behind;         /* in the list of behind_next */
    bool is_ahead;          /* in the list of ahead_next */
    bool is_clean_queued;   /* in the list of clean_next */
    bool needs_recovery;    /* has a directory that store_recover() must open */
    _Atomic bool has_row;   /* the table on the device has an unmarked row of its name (store_marks.c) */
    bool is_deleted;        /* log__delete() was called */
};

/* What a clean stop keeps of a log, for its lazy opening: a row of the store's table. */
struct log_row {
    int64_t start_offset;
    int64_t end_offset;
    int64_t stable_offset; /* last stable offset */
    int64_t active_base;   /* base offset of the last segment */
    uint32_t active_size;  /* bytes of its .log */
    int32_t leader_epoch;  /* of the newest batch; -1 in an empty log */
    uint64_t size;         /* bytes of all segments */
    uint32_t segment_count;
    /* What retention asks first. */
    uint32_t oldest_size;     /* bytes of the first segment */
    int64_t oldest_timestamp; /* the largest of it (segment.h); SEGMENT_TIMESTAMP_UNKNOWN */
    int64_t first_base;       /* base offset of the first segment */
    int64_t second_base;      /* of the second; -1: there is none */
};

/* A log without any file access: as if it had no directory yet. The topic is copied.
 *
 * directory     path of the log directory (log.dirs entry), borrowed; the partition directory is
 *               <directory>/<topic>-<partition>.
 * host          borrowed for the life of the log.
 * NULL: no memory. */
struct log *log__create(struct storage_env *env, struct log_host *host, const char *directory, uuid topic_id,
                        const char *topic, int32_t partition, const struct log_config *config, void *owner);

/* Frees a log that log__close() or log__delete() was called for, or that was never opened. Only when
 * no thread can reach it any more: hand it to retire(env->retire, log, log__free). */
void log__free(void *log);

/* The log was compacted once, whatever its policy is today: gaps between its batches are no damage. */
void log__note_gaps(struct log *log);

/* After a clean stop: the directory is there and as the row says. No file is touched; the log is opened
 * by log_prepare() or log_warm(). When the files then differ from the row, it recovers instead. */
void log__set_closed_row(struct log *log, const struct log_row *row);

/* Opens a directory that Kafka (or we, without a table) stopped cleanly. start_offset is the
 * checkpointed log start offset, or -1. May block; before the log is in use. LOG_NOT_FOUND: there is no
 * directory; the log stays as created. */
enum log_status log__open_clean(struct log *log, int64_t start_offset);

/* The same, but leaves everything as it lies, for a look inside. LOG_NOT_FOUND also when no segment is there. */
enum log_status log__open_untouched(struct log *log);

/* The same at once, for a log that may have been appended to since its clean stop: opens it only when its
 * newest segment is the row's, and as long. Else LOG_NOT_FOUND: the log is as created, to be recovered. May
 * block; before the log is in use. */
enum log_status log__open_unchanged(struct log *log, const struct log_row *row);

struct log_recovery {
    uint64_t scanned_size;      /* bytes whose CRC was checked */
    uint64_t cut_size;          /* bytes that were cut from the tail */
    uint32_t quarantined_count; /* damaged ranges before the durable position */
};

/* Opens a directory after an unclean stop: scans from durable (a lower bound of what is on the device), cuts
 * a torn tail behind it, quarantines damage before it, rebuilds what is derived, flushes what it
 * kept. durable is LOG_POSITION_OF_OFFSET(0) when nothing is known. May block; before the log is in use; each
 * log on any one thread. Idempotent: a second power cut in the middle changes nothing.
 * LOG_NOT_FOUND as above. out may be NULL. */
enum log_status log__recover(struct log *log, struct log_position durable, int64_t start_offset,
                             struct log_recovery *out);

enum { LOG_FLUSH_FILES_MAX = 24, LOG_FLUSH_DIRECTORIES_MAX = 2 };

/* One log's part of a flush group, on the flusher's stack or in its array; not to be moved between begin
 * and end. */
struct log_flush {
    struct log *log;
    struct file *files[LOG_FLUSH_FILES_MAX]; /* open until log__flush_end() */
    size_t file_count;
    const char *directories[LOG_FLUSH_DIRECTORIES_MAX]; /* borrowed from the log */
    size_t directory_count;
    struct log_position end; /* what is durable once all of it is flushed; for the side file */
    uint64_t size;           /* bytes of .log files among it, since the last flush */
    /* the rest is the log's own */
    struct open_file *held[LOG_FLUSH_FILES_MAX];
    uint32_t ahead_mask; /* which of the files are sealed ones that have blocks behind their end */
    int64_t sealed_below;
    bool with_active;
    bool with_directory, with_parent;
};

/* Begins a flush of what is appended so far; the log is no longer dirty, appends go on meanwhile. Takes the
 * log's flush lock: the same thread must call log__flush_end() next for this log, whatever happens. May block
 * for another flush of the same log. False: nothing to flush (no end call then). */
bool log__flush_begin(struct log *log, struct log_flush *out);

/* ok: every file and directory was flushed. Then the durable end rises (and in durable mode the high
 * watermark: env->progress is called, with no lock held). Not ok: the log fails with LOG_IO. */
void log__flush_end(struct log *log, struct log_flush *flush, bool ok);

/* A step: as much as a device takes in about a ms, so that what is asked of it meanwhile need not wait long. */
enum { LOG_BEHIND_SIZE = 1 << 20 };
struct log_behind {
    struct open_file *data; /* held; NULL: nothing is due */
    uint32_t position;
    uint32_t size;
    bool has_more;           /* the next step is due as well */
    bool is_due_in_time;     /* flush.ms has the log flushed */
    uint64_t unflushed_size; /* of the log */
};
/* Takes the next step of what was appended, so that a flush has little left. */
void log__behind_begin(struct log *log, struct log_behind *out);
/* Starts its write-back, and ends the hold. It says nothing about what is on the device: a flush does, and meets
 * the error. The log may be gone. May block. */
void log__behind_write(struct log_behind *behind);

/* With less free than this nobody goes ahead; with half of it everybody gives back. */
#define LOG_AHEAD_ROOM_MIN (UINT64_C(1) << 30)
/* Has the file system find blocks for what a log that grows fast appends next. Its files get no longer by it, and
 * no segment gets more than its segment.bytes. What is not used is given back at the seal, by log__rest_ahead(), at
 * a clean stop, or by a recovery. Any thread but loops, one at a time. */
void log__go_ahead(struct log *log);
/* Gives it back when the log is quiet, or all of it. True: some is left. Any thread but loops. */
bool log__rest_ahead(struct log *log, bool all);

/* Ends the log's use: appends and reads answer LOG_CLOSED from now on. clean: final time index entry,
 * producer snapshot, indexes written and flushed, .log flushed; leaves what Kafka expects of a clean stop,
 * with *row for the table. Else: what a kill would leave. *row is filled in both cases; row->segment_count is
 * 0 when there is no directory (then no row is needed). No other call on the log may run. May block. */
enum log_status log__close(struct log *log, bool clean, struct log_row *row);

/* The same, clean, but what it wrote is not flushed: the stop is clean once the caller has flushed all of the log
 * directory's file system (file_flush_all()). */
enum log_status log__close_unflushed(struct log *log, struct log_row *row);

/* The LRU's turn: closes descriptors and mappings of an open log; it opens again by itself. Refuses (false)
 * when the log is dirty, being flushed, pinned or not open. May block; a worker. */
bool log__close_files(struct log *log);
struct log_open_count {
    int files, maps;
};
/* The same; *count, when it was closed: what is given back once nobody reads any more. */
bool log__close_counted(struct log *log, struct log_open_count *count);

/* Lets go of the memory that reading took: page table entries of mapped segments. What is mapped, open and
 * cached stays so; reads may go on meanwhile. */
void log__release_memory(struct log *log);

/* The log takes no more appends: they answer status (LOG_IO). Reads go on. env->progress is not called. */
void log__fail(struct log *log, enum log_status status);

/* The log is gone for new callers (LOG_CLOSED), spare files and pending jobs are dropped; files are not
 * touched. The store renames and unlinks the directory, then retires the log with log__free. Waits for a
 * running job or flush of this log. May block. */
void log__delete(struct log *log);

/* Whether the log start offset lies above what the files say, so that the checkpoint must have it. */
bool log__start_to_save(struct log *log, int64_t *start);
/* Keeps the struct, though not its use, beyond store_free_log(): for who goes through all logs. */
void log__hold(struct log *log);
void log__drop(struct log *log);

/* <directory>/<topic>-<partition>; borrowed. */
const char *log__path(const struct log *log);
uuid log__topic_id(const struct log *log);
struct log_host_node *log__node(struct log *log);
/* What is durable, with its place in the files: for the side file and Kafka's recovery point. */
struct log_position log__durable_position(const struct log *log);
/* Whether there is a directory on disk (then checkpoints list the log). */
bool log__has_directory(const struct log *log);

#endif
