/* Ends the process when one of our own expectations is broken. */
#include "protocol/base/check.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void check_failed(const char *file, int line, const char *what)
{
    /* dprintf, not the logger: that one may be what is broken. */
    dprintf(2, "check failed: %s:%d: %s\n", file, line, what);
    abort();
}

void *check_memory(void *p)
{
    enum { EXIT_INTERNAL = 70 }; /* broker/exit_codes.h */
    if (p == NULL) {
        dprintf(2, "start.failed exit=%d reason=\"out of memory\"\n", EXIT_INTERNAL);
        _exit(EXIT_INTERNAL);
    }
    return p;
}
