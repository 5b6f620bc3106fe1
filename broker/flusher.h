/* The flusher: the one thread that makes what was appended durable, group by group. */
#ifndef RUNNEL_BROKER_FLUSHER_H
#define RUNNEL_BROKER_FLUSHER_H

struct flusher;
struct server;

/* Starts the thread; server->store is open. */
struct flusher *flusher_start(struct server *server);
/* There is something to flush. Any thread; cheap while the flusher is awake. */
void flusher_wake(struct flusher *flusher);
/* Flushes what is left, ends the thread. flusher_wake() then does nothing. */
void flusher_stop(struct flusher *flusher);
/* After flusher_stop(), when nobody can wake it any more. */
void flusher_destroy(struct flusher *flusher);

#endif
