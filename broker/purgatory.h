/* Requests that wait until something happens to a partition: one purgatory per loop. */
#ifndef RUNNEL_BROKER_PURGATORY_H
#define RUNNEL_BROKER_PURGATORY_H

#include <pthread.h>

#include "broker/mail.h"
#include "broker/request.h"

struct watch_entry;

/* Why no wake-up is lost. A watcher sets its loop's bit in partition->watching_loops and then reads
 * the offsets; who raises offsets publishes them and then takes the bits by an exchange. Both are
 * read-modify-write operations on one atomic, hence ordered:
 * - the exchange is later: it finds the bit and posts to the loop, which wakes the watcher;
 * - the exchange is earlier: the watcher's fetch_or (acquire) reads a value of the release sequence
 *   that the exchange (release) heads, so the offsets published before it are seen.
 * A loop that wakes its watchers sets the bit again *before* they look. An entry that is armed needs
 * no fetch_or for a further watcher: its bit is set, or was taken and the mail is on its way, and the
 * mail wakes all watchers that are there when it arrives.
 *
 * A partition is watched by address, and a watch holds nothing. So a deletion first closes the log, then sets
 * is_deleted, then tells every loop by a mail (farewell.c), at whose delivery the loop wakes the watchers and
 * ends their watches; the deletion's own hold is dropped when all loops have delivered. Nobody watches
 * afterwards: rq_watch() looks at is_deleted. Who reads false there has the mail still before it; who reads
 * true finds the log closed, and need not wait. */
struct purgatory {
    struct loop *loop;
    struct watch_entry **buckets; /* hash of partition -> entries; NULL at first */
    size_t bucket_count;
    size_t entry_count;
    struct watch_entry *spare_entries;

    pthread_mutex_t lock; /* of what other threads report */
    struct partition **moved;
    size_t moved_count;
    size_t moved_capacity;
    bool all_moved; /* there was no memory to say which */
    bool is_posted;
    struct loop_mail mail;
};

void purgatory_init(struct purgatory *purgatory, struct loop *loop);
/* Nobody may watch. */
void purgatory_destroy(struct purgatory *purgatory);

/* Any thread. */
void purgatory_report(struct purgatory *purgatory, struct partition *const *partitions, size_t count);

/* The partition is deleted: wakes those who watch it and ends their watches. On the loop. */
void purgatory_end_watches(struct purgatory *purgatory, const struct partition *partition);
/* Ends all watches of the request. */
void purgatory_unwatch(struct request *rq);
/* Gives back what no watch uses. */
void purgatory_trim(struct purgatory *purgatory);

#endif
