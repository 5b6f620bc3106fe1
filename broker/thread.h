/* Threads that the broker cannot do without. */
#ifndef RUNNEL_BROKER_THREAD_H
#define RUNNEL_BROKER_THREAD_H

#include <pthread.h>

/* Starts one. Where the system has none to give (memory, a limit on processes) the process says so and ends
 * with EXIT_INTERNAL: nothing was served yet. */
void thread_start(pthread_t *thread, void *(*run)(void *context), void *context);

#endif
