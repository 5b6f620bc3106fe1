/* What storage borrows from its host: disk, time, chance, reclamation, workers and wake-ups. */
#ifndef RUNNEL_STORAGE_ENV_H
#define RUNNEL_STORAGE_ENV_H

#include "protocol/base/clock.h"
#include "protocol/base/random.h"
#include "protocol/base/retire.h"
#include "storage/file.h"

struct storage_job {
    void (*run)(struct storage_job *); /* on a worker; may block; frees or reuses the job itself */
};

/* Lives as long as the store. The functions may be called on any thread. */
struct storage_env {
    struct file_system *files;
    const struct clock *clock;
    struct retire *retire;
    /* Runs the job once on some worker. Never refuses; the order is free. */
    void (*submit)(struct storage_env *, struct storage_job *job);
    /* The store has something to flush: have store_flush() called soon, on the flusher's thread. */
    void (*flush_wanted)(struct storage_env *);
    /* There may be something to compact: have store_clean() called, on a thread of its own. Cheap; may be
     * called with locks held. NULL: nothing is compacted. */
    void (*clean_wanted)(struct storage_env *);
    /* Somebody changed the settings of a compacted log: do so at once, and for some seconds without the pauses that
     * otherwise are between two looks. Cheap; may be called with locks held. NULL: as clean_wanted says. */
    void (*clean_asked)(struct storage_env *);
    /* The high watermark of the log with this owner rose, or the log failed or was closed: look
     * again. Called by store_flush() and log_set_durable(), with no lock held. */
    void (*progress)(struct storage_env *, void *owner);
    /* A descriptor was closed, or may be closed now that a flush has ended: who was refused one (LOG_LIMIT)
     * may try again. Cheap; may be called with locks held. NULL: nobody waits. */
    void (*files_freed)(struct storage_env *);
    /* A group of that directory (index), of so many bytes about, is about to be flushed, or was. On the thread
     * of store_flush(). NULL: nobody asks. */
    void (*flushing)(struct storage_env *, size_t directory, bool begins, uint64_t size);
    /* The log directory took its last write (EIO): its logs answer LOG_IO until the next start. */
    void (*directory_failed)(struct storage_env *, const char *directory);
};

#endif
