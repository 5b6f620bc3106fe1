/* Starts the threads that live as long as the broker. */
#include "broker/thread.h"

#include <string.h>
#include <unistd.h>

#include "broker/exit_codes.h"
#include "protocol/base/note.h"

void thread_start(pthread_t *thread, void *(*run)(void *context), void *context)
{
    int error = pthread_create(thread, NULL, run, context);
    if (error == 0)
        return;
    note_error(
        "start.failed",
        "exit=%d reason=\"cannot start a thread: %s\" next=\"raise the limits on memory and processes\"",
        EXIT_INTERNAL, strerror(error));
    _exit(EXIT_INTERNAL);
}
