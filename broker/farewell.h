/* Deleted partitions: every loop ends its watches of them, the last loop lets go of them. */
#ifndef RUNNEL_BROKER_FAREWELL_H
#define RUNNEL_BROKER_FAREWELL_H

#include "broker/loop.h"
#include "broker/partition.h"

/* Takes the caller's hold on each of the partitions, which are linked by next_deleted and marked deleted. Any
 * thread. */
void farewell_send(struct loop *const *loops, unsigned loop_count, struct partition *partitions);

#endif
