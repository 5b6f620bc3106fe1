/* The inside of a partition log, for log*.c and recovery.c alone. */
#ifndef RUNNEL_STORAGE_LOG_STRUCT_H
#define RUNNEL_STORAGE_LOG_STRUCT_H

#include "storage/leader_epochs.h"
#include "storage/log_internal.h"
#include "storage/segment.h"

enum log_state {
    LOG_ABSENT, /* no directory on disk */
    LOG_SHUT,   /* as its row says; opened when used */
    LOG_OPEN,
    LOG_ENDED, /* closed or deleted */
};

/* What readers see without a lock, under a sequence lock: odd while it changes. Written under the log's
 * mutex. All stores are releases and all loads acquires, so no fence is needed. */
struct log_published {
    _Atomic uint32_t sequence;
    _Atomic uint32_t end_position;            /* bytes of the active segment's .log */
    _Atomic uint32_t high_watermark_position; /* counts when the base is not -1 */
    _Atomic int32_t leader_epoch;
    _Atomic int64_t start;
    _Atomic int64_t stable;
    _Atomic int64_t high_watermark;
    _Atomic int64_t high_watermark_base; /* base offset of its segment; -1: place not known */
    _Atomic int64_t durable;
    _Atomic int64_t end;
    _Atomic int64_t end_base; /* base offset of the active segment */
};

/* The same as a plain value. */
struct log_moment {
    int64_t start, stable, high_watermark, high_watermark_base, durable, end, end_base;
    uint32_t end_position, high_watermark_position;
    int32_t leader_epoch;
};

/* The next active segment's files, made beforehand under a name that Kafka ignores. */
struct segment_spare {
    struct segment_spare *next;
    struct segment *segment; /* gets its base offset at the roll */
    uint64_t number;
};

/* Whoever reads a long log from its start leaves that many mapped segments behind, not all of them. */
enum { LOG_MAPPED_SEALED_MAX = 8 };

/* The producer state at a roll, until a worker writes it. */
struct pending_snapshot {
    int64_t offset;
    struct producer_state *producers; /* owned; a copy */
};

/* A transaction whose end consumers cannot see yet. */
struct ended_transaction {
    int64_t first_offset;
    int64_t last_offset; /* of its marker */
};

struct log {
    union {
        struct segment_home home;
        struct { /* the same three */
            struct storage_env *env;
            struct log_host *host;
            const char *path;
        };
    };
    void *owner;
    const char *name;   /* the path's last part */
    const char *parent; /* path of the log directory; borrowed from the host */
    uuid topic_id;
    struct log_host_node node;
    struct pin pin; /* the owner's hold, and one per submitted job */

    struct log_published published;
    _Atomic(struct segment_list *) segments; /* NULL unless open */
    _Atomic int state;                       /* enum log_state; changes under the mutex */
    _Atomic int health;                      /* enum log_status; LOG_OK, LOG_IO, LOG_CLOSED */
    _Atomic bool durable_mode;
    _Atomic uint32_t map_size_max;   /* segment.bytes, for readers */
    _Atomic uint32_t index_interval; /* index.interval.bytes, for readers */
    _Atomic bool may_have_gaps;      /* the cleaner may have been here, today or long ago */
    _Atomic bool may_change;         /* before_change() was answered with LOG_OK */
    _Atomic bool has_aborted;        /* some segment's index of aborted transactions is not empty */

    pthread_mutex_t mutex;                     /* appends, and everything below */
    pthread_mutex_t prepare_mutex;             /* whoever opens, shuts, makes files; before mutex */
    pthread_mutex_t flush_mutex;               /* one flush at a time; before mutex */
    _Atomic(const struct log_config *) config; /* shared with other logs (shared_config.h); log__config() */
    /* Changes together with the state, under mutex and log__lock_readers(). */
    union {
        struct log_row row;                                /* while shut */
        struct {                                           /* while open; log__lock_readers() */
            struct segment *mapped[LOG_MAPPED_SEALED_MAX]; /* sealed segments that readers had mapped last */
            uint32_t mapped_next;
        };
    };
    struct leader_epochs epochs;
    struct producer_state
        *producers;     /* NULL: none seen; changes under prepare_mutex too, or when appends may */
    int64_t first_open; /* first offset of the oldest open transaction; -1: none */
    struct ended_transaction *ended; /* by their ends */
    uint32_t ended_count, ended_capacity;
    struct pending_snapshot *snapshot; /* as of the last roll, to be written by the job; NULL: none */
    int64_t snapshot_offset;           /* newest one written and flushed since the log was opened; -1: none */
    int64_t stray_snapshot;            /* offset of a snapshot at no segment's base; -1: none */
    struct segment_spare *spares;
    uint64_t spare_number;
    uint32_t spare_count;
    uint32_t spares_wanted; /* rolls that the last refused append needs */
    int32_t epoch_wanted;   /* leader epoch of the append that found no directory */
    uint8_t room_wanted;    /* 1 + the shortage that an append saw before it met a full disk; 0: it did not */
    bool job_pending;
    bool producers_loaded;       /* under prepare_mutex */
    bool changed;                /* written to since it was opened: indexes and snapshot are due at close */
    bool has_unflushed_files;    /* of those that a clean stop flushes; under prepare_mutex */
    bool epochs_dirty;           /* the file is older than the cache */
    bool is_data_dirty;          /* the host knows that the end is beyond the durable end */
    bool is_names_dirty;         /* ... that sealed segments or names wait for a flush */
    bool directory_dirty;        /* names in the partition directory */
    bool parent_dirty;           /* the name of the partition directory itself */
    uint32_t rewrite_count;      /* how often segments took the place of others */
    int64_t flush_due_ms;        /* as last told to the host */
    struct log_position durable; /* its place too */
    struct open_file *new_files[2]; /* partition.metadata and leader-epoch-checkpoint of a new directory */
    uint64_t unflushed_size;        /* bytes */
    uint64_t behind_size;           /* of them: whose write-back was begun, and told to the host */
    bool is_going_ahead;            /* log__go_ahead() waits for the file system */
    bool is_ahead_unwanted;         /* ... and is to give back what it gets */
    bool is_growth_told;            /* host->grew() was called, log__behind_begin() not yet */
    char path_room[];               /* what path points to */
};

_Static_assert(sizeof(struct log) < 700, "an idle log is cheap (DESIGN 4)");

/* The settings as they are now; good until the thread's next quiescent state. */
static inline const struct log_config *log__config(const struct log *log)
{
    return atomic_load_explicit(&((struct log *)(uintptr_t)log)->config, memory_order_acquire);
}

/* For what loops ask for while an append holds the mutex over a slow write: the epochs, the list of mapped
 * segments, the end of being open. Changed under both; innermost, never held over a system call on a file. A
 * few mutexes serve all logs, so nobody takes it for two. */
void log__lock_readers(const struct log *log);
void log__unlock_readers(const struct log *log);
/* From shut or new to open. Without mutex. */
void log__set_open(struct log *log);

enum log_state log__state(const struct log *log);
/* Whether the log may take more room of its disk. */
static inline bool log__may_grow(const struct log *log)
{
    return log__config(log)->rank >= atomic_load_explicit(&log->host->shortage, memory_order_relaxed);
}
/* log_host.make_room(). Without mutex; may block. */
bool log__make_room(struct log *log, unsigned rank, unsigned seen);
/* What a call answers whose log may have been deleted under it: that explains whatever failed. */
enum log_status log__outcome(const struct log *log, enum log_status status);
struct log_moment log__moment(const struct log *log);
/* Its end alone: under the mutex, where nothing moves it meanwhile. */
static inline int64_t log__end(const struct log *log)
{
    return atomic_load_explicit(&log->published.end, memory_order_relaxed);
}
/* Publishes what may have changed, with the last stable offset that follows; runs the law. Under the mutex.
 */
void log__publish(struct log *log, const struct log_moment *moment);
/* start <= stable <= high watermark <= end, durable <= end. */
void log_check(const struct log_moment *moment);

/* log_set_durable() with the place known: what a flush made durable. */
void log__raise_durable(struct log *log, struct log_position durable);

/* The active segment. Under the mutex, when open. */
struct segment *log__active(struct log *log);
struct segment_list *log__segments(const struct log *log);
/* Gives back the blocks ahead of the tail. Under the mutex, without which nobody moves an end; a slow call. */
void log__give_ahead(struct log *log);
/* The segment has none any more. Under the mutex. */
void log__forget_ahead(struct log *log, struct segment *segment);
/* Swaps the list in; the old one is retired, its segments are not. Under the mutex. */
void log__set_segments(struct log *log, struct segment_list *list);

/* Raises the log start offset to at most the high watermark; epochs below it go. Under the mutex, when open.
 */
void log__raise_start(struct log *log, int64_t start);
/* A segment that is_gone was met in list. LOG_BUSY: look again; LOG_COLD: its names change right now, and
 * who takes prepare_mutex waits for it; LOG_IO: that failed. */
enum log_status log__gone_status(const struct log *log, const struct segment_list *list);

/* Finds out how old the oldest segment is, for the row of a log that is shut. Under prepare_mutex, without
 * mutex, when open; may block. */
void log__note_oldest(struct log *log);
/* The last entry of a segment's time index, -1: none; leaves nothing mapped. May block. */
struct time_entry log__last_time_entry(struct log *log, struct segment *segment);
/* Makes sure that log__roll() has a spare; appends may begin. Under prepare_mutex, without mutex; may block.
 */
enum log_status log__prepare_roll(struct log *log);

/* Takes the settings over; false: no memory, and the old ones stay. Under the mutex, or before the log is in
 * use. */
bool log__use_config(struct log *log, const struct log_config *config);
enum log_status log__status_of(enum file_status status);
/* Tells the host that there is something to flush, once. Under the mutex. */
void log__note_dirty(struct log *log);
void log__note_names_dirty(struct log *log);
/* Tells the host that a compacted log may have something to compact. Under the mutex. */
void log__note_cleanable(struct log *log);

/* Opens a shut log. Under prepare_mutex, without mutex. */
enum log_status log__open_shut(struct log *log);
/* Submits a job that makes spares and writes what a worker has to write. Under the mutex. */
void log__submit_job(struct log *log);
/* Index files that could not be completed go, and are made anew with a later flush. Under the mutex, or while
 * nobody uses the log. */
void log__drop_index_files(struct log *log, struct segment *segment);
/* Drops spares, deletes their files. Under prepare_mutex. */
void log__drop_spares(struct log *log);
/* Writes leader-epoch-checkpoint when it is older than the cache. Under prepare_mutex, without mutex. */
enum log_status log__save_epochs(struct log *log);
/* New active segment from a spare. Under the mutex; LOG_BUSY: no spare. */
enum log_status log__roll(struct log *log, int64_t base_offset, int64_t now_ms);
struct random log__random(const struct log *log, int64_t base_offset);

#endif
