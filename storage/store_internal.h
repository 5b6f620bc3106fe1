/* What the files of the store share; storage/README.md tells what is whose. */
#ifndef RUNNEL_STORAGE_STORE_INTERNAL_H
#define RUNNEL_STORAGE_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/directory.h"
#include "storage/log_internal.h"
#include "storage/reserve.h"
#include "storage/side_file.h"

/* A partition directory that lay there at the start, until a log claims it. */
struct store_found {
    struct store_found *next; /* in its bucket */
    const char *name;         /* borrowed from the directory's names: <topic>-<partition> */
    uint32_t directory;
    int32_t partition;
    bool is_claimed;
    bool has_row;  /* of a table, and it may be believed */
    uuid topic_id; /* with has_row */
    struct log_row row;
    int64_t recovery_point; /* of Kafka's checkpoint; -1: none */
    int64_t start_offset;   /* of Kafka's checkpoint; -1: none */
    int64_t clean_offset;   /* of the cleaner's checkpoint; -1: none */
};

/* A durable position read back after an unclean stop. */
struct store_position {
    struct store_position *next;
    struct side_position position;
};

/* The file of marks of a log directory (store_marks.c). */
struct store_marks {
    pthread_mutex_t lock;       /* guards the rest; innermost */
    pthread_mutex_t flush_lock; /* before it: one flush for all that wait; who closes the file has both */
    struct file *file;          /* NULL: none, and no row of the table is believed by the next start */
    uint64_t size;
    uint64_t flushed_size;
    bool is_given_up; /* what lies there does not count any more, and is about to go */
    _Atomic uint32_t flush_count;
};

struct store_directory {
    struct log_host host; /* first: what the logs of this directory are told to */
    struct store *store;
    uint32_t index;
    struct directory directory;
    bool was_clean;       /* stopped by us, with a table to prove it; or new */
    bool has_positions;   /* a positions file of ours was found: a log that it does not name is ours from its
                             start */
    bool has_all_positions; /* ... with every record of it readable */
    bool has_facts;       /* our table or positions were found, and nobody else was here since */
    bool was_clean_kafka; /* stopped by Kafka, or by us without a table */

    pthread_mutex_t change_lock; /* held while the first change is prepared, or the identity flushed */
    _Atomic bool has_changes;    /* the clean-stop marker is gone, durably */
    _Atomic bool is_durable;     /* the identity is */
    _Atomic bool fence_wanted;   /* an I/O error was met */
    _Atomic bool is_fenced;      /* and everybody knows */
    _Atomic bool starts_changed; /* log start offsets are not what the checkpoint says */
    _Atomic bool
        starts_stale; /* the checkpoint may tell of a log that is no more, whose name another may get */
    pthread_mutex_t starts_lock; /* held while the checkpoint is written */
    bool names_changed;          /* renames in it that no flush covers yet; under the dirty lock */
    _Atomic uint64_t durable_bytes; /* appended to durable logs, not flushed; store_pressure.c */
    _Atomic uint64_t waiting_bytes; /* ... to page-cache logs, and write-back was not begun */
    size_t behind_count;            /* of its logs in store->behind_first; under the dirty lock */
    _Atomic uint32_t log_count; /* changed under the store's lock */
    struct reserve reserve;
    _Atomic int64_t reserve_due_ms; /* when to take it, or to try again; INT64_MAX: never */
    bool has_told_reserve;          /* that there is no room for it */
    bool gave_for_stop;             /* it was whole when the stop began */
    uint32_t placed_count;      /* partitions that are to come here; under the store's lock */

    /* The durable positions; the flusher's alone once has_changes is set. */
    struct file *positions;
    uint64_t positions_size;
    bool positions_dirty;
    bool positions_are_named; /* their name is on the device too; where it matters: store__before_rewrite() */
    int64_t positions_flushed_ms;

    uuid table_nonce;     /* of the table that lies there; zero: none that could be read */
    bool has_true_table;  /* of the clean stop before this start */
    bool had_marks;       /* after an unclean one: whole marks that belong to the table were found */
    bool has_orphan_rows; /* the table has rows of names that nobody has: they may be given to new logs; under
                             the store's lock */
    struct store_marks marks;
};

struct store {
    struct storage_env *env;
    struct store_directory *directories;
    size_t directory_count;
    uint64_t durable_max, waiting_max; /* bounds of the directories' counts */
    uint64_t unflushed_max;            /* of one page-cache log */
    bool was_clean;
    _Atomic bool is_recovered;
    /* One for the owner, one per open file and mapping of its logs: whoever drops the last frees. */
    _Atomic int64_t holds;

    pthread_mutex_t lock; /* the logs: table, list, what was found; order: this before a log's mutex */
    struct log **buckets; /* by name */
    size_t bucket_count;
    size_t log_count;
    struct log *logs; /* all of them, doubly linked */
    uint32_t retention_round;
    bool is_retaining; /* the round is not over yet */
    struct store_scrub *scrub; /* who scrubs has it; NULL: nobody did yet */
    struct log *metadata;
    struct log_row metadata_row; /* as the last clean stop left it; segment_count 0: not known */
    int64_t metadata_written;    /* its offset in the durable positions; the flusher's */
    struct store_found **found_buckets;
    struct store_found *found;
    size_t found_bucket_count;
    size_t found_count;
    struct store_position **position_buckets;
    struct store_position *positions;
    size_t position_bucket_count;
    size_t position_count;                  /* of partitions, not of the metadata log */
    struct store_absent **absent;           /* store_lost.c */
    struct store_removed **removed_buckets; /* from the start up to the end of store_recover() */
    size_t removed_bucket_count;
    size_t removed_count;

    pthread_mutex_t dirty_lock; /* innermost: log's mutex before it */
    struct log *dirty_now;
    size_t dirty_now_count;
    struct log *dirty_later;
    int64_t later_due_ms; /* the earliest of dirty_later; INT64_MAX: none is due by time */
    struct log *behind_first; /* logs whose write-back is to be started, in the order in which they grew */
    struct log **behind_last;
    struct log *ahead_first; /* logs that have blocks ahead of their tail */
    int64_t ahead_due_ms;    /* when to look at them; INT64_MAX: there are none */

    struct log *clean_queue; /* logs that may be compacted; under the dirty lock */
    pthread_mutex_t clean_lock;      /* guards the next one; before the dirty lock */
    struct clean_entry *cleanings;   /* compacted logs */
    pthread_mutex_t checkpoint_lock; /* before the clean lock: who writes the cleaner's checkpoints */

    pthread_mutex_t group_lock; /* held while a group is flushed: nothing of it goes away */
    struct log_flush *flushes;
    struct log **group;
    struct file **flush_files;
    const char **flush_directories;
    enum file_status *flush_statuses;
    size_t group_capacity;

    pthread_mutex_t delete_lock; /* outermost: one log at a time gives up its name */

    pthread_mutex_t unlink_lock; /* innermost; guards the three */
    struct unlink_path *unlink_first;
    struct unlink_path **unlink_last;
    bool is_unlinking; /* unlink_job is under way */
    struct storage_job unlink_job;

    pthread_mutex_t segments_lock;    /* innermost; guards the next two */
    struct removed_segment *segments; /* whose files are to be unlinked */
    int64_t segments_due_ms;          /* when the first of them is due; INT64_MAX: none */
    struct storage_job segments_job;
    _Atomic bool segments_queued; /* segments_job is under way */

    struct storage_job reserve_job;
    _Atomic bool reserve_queued; /* reserve_job is under way */

    pthread_mutex_t sweep_lock; /* held while files are closed for others: no log goes away */
    struct storage_job sweep_job;
    struct storage_job release_job;
    _Atomic bool sweep_wanted; /* too much is open */
    _Atomic bool sweep_queued; /* sweep_job is under way */
    _Atomic bool is_closing;   /* no sweep begins any more: nobody may run it, and all files close */
    _Atomic bool release_queued;
    _Atomic bool is_warm; /* some log is */
    struct log *sweep_next;
    struct log *sweep_hand;      /* where the next sweep goes on; NULL: at the begin */
    _Atomic int64_t sweep_round; /* what used() stamps */
    _Atomic int64_t open_files;
    _Atomic int64_t maps;
    _Atomic int64_t closing_files; /* of them, those that a sweep closed and readers may still use; about */
    _Atomic int64_t closing_maps;
    int64_t open_files_max;
    int64_t maps_max;
};

static inline struct store_directory *store__directory_of(struct log_host *host)
{
    return (struct store_directory *)host;
}

uint64_t store__hash(const void *bytes, size_t size, uint64_t seed);
/* *error, when there is one, becomes the sentence; text is returned owned or NULL. */
enum store_status store__fail(enum store_status status, char *text, const char **error);
enum store_status store__status(enum file_status status);
enum log_status store__log_status(enum file_status status);

/* store.c: the table of logs; under the store's lock. */
void store__add_log(struct store *store, struct log *log, uint32_t directory);
void store__remove_log(struct store *store, struct log *log);
/* The log of that name that is not deleted, or NULL. */
struct log *store__log_named(const struct store *store, const char *name);

/* store_found.c: what lay in the directories at the start; under the store's lock. */
enum store_status store__read_found(struct store *store, const char **error);
struct store_found *store__find_found(const struct store *store, const char *name);
/* NULL when nothing is known. */
const struct side_position *store__find_position(const struct store *store, uuid topic_id, int32_t partition);
void store__forget_found(struct store *store);

/* store_look.c: before anything is changed. */
/* Refuses directories of which a file that counts is none. Those of a clean stop are looked at when they are
 * opened. */
enum store_status store__look(struct store *store, const char **error);

/* store_lost.c */
/* A clean stop left end_offset > 0 of this partition, of which no directory is there. */
void store__note_absent(struct store *store, slice topic, int32_t partition, int64_t end_offset);
void store__forget_absent(struct store *store);

/* store_flush.c */
void store__became_dirty(struct log_host *host, struct log *log, int64_t due_ms);
void store__grew(struct log_host *host, struct log *log);
void store__failed(struct log_host *host, struct log *log);
/* Takes deleted logs out of the dirty lists. Under the store's lock. */
void store__drop_deleted(struct store *store);
/* The names in the directory changed: its next group flushes them. */
void store__names_changed(struct store_directory *directory);
/* All dirty logs are due: for the clean stop. */
void store__hasten_all(struct store *store);
void store__free_group(struct store *store);

/* store_pressure.c: bytes on their way to the devices */
void store__pressure_init(struct store *store, const struct store_options *options);
void store__wrote(struct log_host *host, uint64_t size, bool is_durable);
/* With no log open no byte of one waits. */
void store__check_pressure(const struct store *store);
void store__wrote_behind(struct log_host *host, uint64_t size);
void store__flushed(struct log_host *host, uint64_t size, uint64_t behind, bool is_durable);
/* Page-cache logs are flushed before their bytes reach a bound: the kernel would write them back in its own time,
 * and block everybody meanwhile. While there are steps to do they are what helps against those that wait: a flush
 * of all would wait for the device that does not keep up, and so would every append at the bound. Under dirty_lock. */
bool store__is_pressed(const struct store_directory *directory);
bool store__is_any_pressed(const struct store *store);

/* store_positions.c: under the group lock, or before anybody else runs. */
void store__note_positions(struct store_directory *directory, const struct log_flush *flushes, size_t count);
/* Begins the file, flushed but for its name; for the first change after a clean stop. */
enum file_status store__open_positions(struct store_directory *directory);
/* The log's own, flushed at once. Not under the group lock. */
enum log_status store__before_rewrite(struct log_host *host, struct log *log);
/* Start offsets that files do not tell, into the durable positions, flushed: before the checkpoint, which has no
 * checksum. */
enum file_status store__note_starts(struct store_directory *directory);
/* Rewrites them all; for after a recovery, and when the file grew long. */
enum file_status store__rewrite_positions(struct store_directory *directory);

/* store_marks.c: which rows of the table are no longer true, for after an unclean stop. */
void store__init_marks(struct store_directory *directory);
void store__free_marks(struct store_directory *directory);
/* Begins the file beside the table, or goes on with the one that was found. Inside the first change. */
enum file_status store__open_marks(struct store_directory *directory);
void store__close_marks(struct store_directory *directory);
enum file_status store__drop_marks(struct store_directory *directory);
/* Before a log's files, or its directory's name, change for the first time: on the device when it returns.
 * Its directory has begun its changes. */
enum file_status store__mark(struct store_directory *directory, struct log *log);
/* The same of many at once, and of one that is no log. */
enum file_status store__mark_all(struct store_directory *directory, struct log *const *logs, size_t count);
enum file_status store__mark_name(struct store_directory *directory, const char *name);

/* store_clean.c */
void store__cleanable(struct log_host *host, struct log *log);
/* After the logs are deleted, before they are freed; no lock held. */
void store__forget_cleaning(struct store *store, struct log *const *logs, size_t count);
/* For the stop: no thread cleans any more. */
void store__close_cleaning(struct store *store);

/* store_scrub.c: for the stop, when nobody scrubs any more. */
void store__close_scrubbing(struct store *store, bool clean);

/* store_lru.c */
void store__files_changed(struct log_host *host, int open_files, int maps);
bool store__may_open(struct log_host *host, int open_files, int maps);
void store__used(struct log_host *host, struct log *log);
/* Has a worker close idle files when too many are open; no lock held. */
void store__submit_sweep(struct store *store);
/* Whether half of what may be open is. */
bool store__is_crowded(const struct store *store);
void store__limits_init(struct store *store, const struct store_options *options);
void store__drop_hold(struct store *store, int64_t count);

/* store_ahead.c: blocks ahead of the tails */
void store__went_ahead(struct log_host *host, struct log *log);
/* Under dirty_lock, group_lock and sweep_lock. */
void store__drop_deleted_ahead(struct store *store);
/* Has those give back that are quiet, when it is time to look. Under group_lock. */
void store__look_ahead(struct store *store);
int64_t store__ahead_due_ms(struct store *store);
/* For a full disk: whether some were given back. A worker, no lock of a log but prepare_mutex. */
bool store__give_ahead(struct store_directory *directory);

/* store_reserve.c: what is kept for a full disk */
bool store__make_room(struct log_host *host, unsigned rank, unsigned seen);
bool store__can_make_room(struct log_host *host, unsigned rank);
unsigned store__shortage(const struct store_directory *directory);
/* Whether what the store does to metadata, or so that room is given back, and that said status after the shortage was
 * seen, should be tried again. May block. */
bool store__tries_again(struct store_directory *directory, enum file_status status, unsigned seen);
/* Has it taken, on a worker, now. */
void store__want_reserve(struct store_directory *directory);
/* When the next one is to be taken: ms of the monotonic clock, INT64_MAX: none. */
int64_t store__reserve_due_ms(const struct store *store);
/* Has a worker do it when it is due; no lock held. */
void store__submit_reserve(struct store *store);
/* Before the clean stop writes its files: on a disk that is full, or was, it is given up. */
/* store_close.c: it still has the files of its last clean stop. */
bool store__is_unchanged(const struct store_directory *directory);
void store__give_for_stop(struct store_directory *directory);
/* After that: taken again when there is room. */
void store__close_reserve(struct store_directory *directory);

/* store_starts.c */
void store__start_rose(struct log_host *host, struct log *log);
/* Whether a log's name may be used again: not before the checkpoint is silent on its predecessor. */
enum log_status store__forget_stale_starts(struct store_directory *directory);

/* store_segments.c */
void store__removed(struct log_host *host, struct removed_segment *removed);
/* When the next of their files are to be unlinked: ms of the monotonic clock, INT64_MAX: none. */
int64_t store__segments_due_ms(struct store *store);
/* Has a worker unlink what is due; no lock held. */
void store__submit_segments(struct store *store);
/* They are due now: the disk is full. */
void store__hasten_segments(struct store *store);
/* For the stop, when nobody else uses the store. clean: they are unlinked at once. */
void store__close_segments(struct store *store, bool clean);

/* store_removed.c */
bool store__is_removed(const struct store *store, uuid topic_id);
bool store__is_removed_name(const struct store *store, slice topic, int32_t partition);
/* Sets aside a directory that is another topic's than its name says: to be unlinked when that one was
 * removed, else kept for the operator under Kafka's name for such. */
enum file_status store__set_aside_other(struct store_directory *directory, const char *name, bool is_removed);
/* The same for one that no topic claims. False: nothing is known of it. */
bool store__drop_removed(struct store *store, struct store_found *found);
void store__forget_removed(struct store *store);

/* store_delete.c */
/* Renames the partition directory out of the way; suffix is "delete" or "stray". *path_out is the new path,
 * returned owned, NULL on failure. */
enum file_status store__set_aside(struct store_directory *directory, const char *name, const char *suffix,
                                  char **path_out);
/* Has a worker unlink the directory and all in it, behind those that were asked for before; takes path. */
void store__unlink_later(struct store *store, char *path);
/* Takes the name from a log whose is_deleted was just set: log__delete() and the rename. It stays in the
 * table of logs. Under the delete lock, without the store's. */
enum file_status store__detach_log(struct store *store, struct log *log);

/* store_change.c */
enum log_status store__before_change(struct log_host *host, struct log *log);
enum log_status store__before_shut(struct log_host *host, struct log *log);
enum log_status store__before_flush(struct log_host *host, struct log *log);
/* The same for the store itself: the clean-stop marker goes; the identity becomes durable. */
enum file_status store__begin_changes(struct store_directory *directory);
enum file_status store__make_durable(struct store_directory *directory);
/* Has the directory fenced by the next store_flush(). */
void store__want_fence(struct store_directory *directory);
/* Nothing of the directory is flushed any more: it is fenced, or about to be. */
static inline bool store__is_failing(const struct store_directory *directory)
{
    return atomic_load(&directory->is_fenced) || atomic_load(&directory->fence_wanted);
}

#endif
