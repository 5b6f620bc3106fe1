/* What is asked of a broker before a run: a topic, offsets, producer ids. Blocking; ends the program on
 * errors. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_SETUP_H
#define RUNNEL_TESTS_BENCH_LOAD_SETUP_H

#include "tests/bench/load/plan.h"

/* Makes the topic with retention without limits unless the plan's settings say something else. */
void setup_create_topic(const struct plan *plan);
/* Waits until all partitions have a leader; their number must be the plan's. */
void setup_await_leaders(const struct plan *plan);
/* Of all partitions: timestamp -1 the ends, -2 the starts. */
void setup_offsets(const struct plan *plan, int64_t timestamp, int64_t *out);
/* New producer ids, of epoch 0. */
void setup_producer_ids(const struct plan *plan, int64_t *out, int count);

#endif
