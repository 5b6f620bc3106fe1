/* Those who wait for descriptors: in a line, woken when one comes free; no thread waits with them. */
#ifndef RUNNEL_BROKER_FILES_WAIT_H
#define RUNNEL_BROKER_FILES_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct server;
struct files_wait;

/* No request waits longer, whatever its timeout is. */
enum { FILES_WAIT_MAX_MS = 10000 };

/* Whoever was refused for want of descriptors (LOG_LIMIT) enters the line, and then tries again: what comes
 * free after the entry is told to him, what came free before is there. Refused again he parks, and is woken
 * to try once more; and so on until he leaves, with what he wanted or without. Who entered first is woken
 * first, one at a time; the next one when he leaves. Descriptors that are freed outside of what the broker
 * counts tell nobody, so the first of the line tries five times a second in any case.
 *
 * The memory is the caller's, zeroed at first; limit_ms and all below belong to the line. */
struct files_waiter {
    void (*wake)(
        struct files_waiter *waiter); /* hands the work to a worker; any thread, any lock may be held */
    void *context;                    /* the caller's */
    int64_t limit_ms;                 /* monotonic; from then on files_wait_is_over() */
    uint64_t ticket;                  /* 0: not in the line */
    uint64_t seen;                    /* what had come free when he was woken */
    bool is_trying;                   /* woken, and not parked again */
    struct files_waiter *previous;
    struct files_waiter *next;
};

struct files_wait *files_wait_create(struct server *server);
/* Nobody may be in the line. */
void files_wait_destroy(struct files_wait *wait);

static inline bool files_waiter_is_in(const struct files_waiter *waiter)
{
    return waiter->ticket != 0;
}

/* Whether somebody waits already: an append that comes now and needs descriptors enters behind him, and parks
 * without a try. A Fetch enters only when it was refused: what it reads may be open. */
bool files_wait_has_line(const struct files_wait *wait);
void files_wait_enter(struct files_wait *wait, struct files_waiter *waiter, int64_t limit_ms);
/* Whether trying again is of no use: the limit has passed, or the broker stops. */
bool files_wait_is_over(const struct files_wait *wait, const struct files_waiter *waiter);
/* waiter->wake is called once from now on, perhaps before this returns: nothing of the caller's is touched
 * after it. */
void files_wait_park(struct files_wait *wait, struct files_waiter *waiter);
/* Does nothing for one who is not in the line. */
void files_wait_leave(struct files_wait *wait, struct files_waiter *waiter);

/* Around a try: what it takes and gives back as it fails comes free for nobody, and must wake nobody; he who
 * tries would otherwise wake himself for ever. A try of another that failed meanwhile for these is made again
 * by the line's clock. Of this thread alone; not nested. */
void files_wait_try_begins(void);
void files_wait_try_ends(void);

/* A descriptor came free, or may be had by closing what could not be closed before (a flush has ended). Any
 * thread, any lock may be held; an atomic load when nobody waits. */
void files_wait_freed(struct files_wait *wait);
/* The broker stops: wakes all, and nobody waits any more. */
void files_wait_close(struct files_wait *wait);

#endif
