/* The compactor: threads of low priority that clean compacted logs, and sleep while there is nothing to
 * clean. */
#ifndef RUNNEL_BROKER_COMPACTOR_H
#define RUNNEL_BROKER_COMPACTOR_H

#include "storage/store.h"

struct compactor;
struct server;

/* Starts log.cleaner.threads of them; server->store is recovered. *out is set before the first one runs, and
 * stays NULL when log.cleaner.enable is false. */
void compactor_start(struct server *server, struct compactor **out);
/* There may be something to clean. Any thread; cheap, also with locks of storage held. */
void compactor_wake(struct compactor *compactor);
/* Somebody changed a log's settings: for the next seconds there is hardly a pause between two looks. Likewise. */
void compactor_hurry(struct compactor *compactor);
/* Ends the threads; what is half done is given up, and nothing of it stays. compactor_wake() then does
 * nothing. */
void compactor_stop(struct compactor *compactor);
/* After compactor_stop(), when nobody can wake it any more. */
void compactor_destroy(struct compactor *compactor);

/* What log.cleaner.* says to one of `threads` cleaners; step is NULL. */
struct config;
struct cleaner_options compactor_options(const struct config *config, unsigned threads);

#endif
