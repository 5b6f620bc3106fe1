/* The keeper: what the broker does to its logs by itself, in rounds on a worker. */
#ifndef RUNNEL_BROKER_KEEPER_H
#define RUNNEL_BROKER_KEEPER_H

#include <stdbool.h>

struct keeper;
struct server;

/* Arms its timers on the server's first loop, which does not run yet. Retention comes every
 * log.retention.check.interval.ms, first after log.initial.task.delay.ms or that interval if it is shorter;
 * the log start offsets are written log.flush.start.offset.checkpoint.interval.ms after a round that changed
 * them. The scrubber's first slice comes after SCRUB_DELAY_MS, the next ones as store_scrub() says: at most one
 * an hour when nothing is due. Nothing else wakes anybody. */
struct keeper *keeper_start(struct server *server);
/* No round begins any more, and one that runs ends soon. Any thread. */
void keeper_stop(struct keeper *keeper);
/* After the workers and the loop have ended. */
void keeper_destroy(struct keeper *keeper);

#endif
