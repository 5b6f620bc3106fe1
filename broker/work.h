/* Workers: threads for whatever may block, so that loops never do. */
#ifndef RUNNEL_BROKER_WORK_H
#define RUNNEL_BROKER_WORK_H

#include "protocol/base/random.h"
#include "protocol/base/retire.h"

struct workers;

struct work {
    void (*run)(struct work *work); /* on a worker; owns the memory of work from here on */
    struct work *next;              /* the queue's */
};

/* count threads, each a member of retire (quiescent after each job). count 0: no threads; jobs run
 * by workers_step(), in an order drawn from random (simulation). */
struct workers *workers_create(unsigned count, struct retire *retire, struct random *random);
/* Runs what is queued, then ends the threads. */
void workers_destroy(struct workers *workers);
/* Waits until nothing is queued and nothing runs. Not on a worker. */
void workers_drain(struct workers *workers);
/* Any thread; never refuses. */
void workers_submit(struct workers *workers, struct work *work);
/* Runs one queued job; false when there is none. Only with count 0. */
bool workers_step(struct workers *workers);

#endif
