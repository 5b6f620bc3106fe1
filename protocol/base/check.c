/* Ends the process when one of our own expectations is broken. */
#include "protocol/base/check.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *what)
{
    /* dprintf, not the logger: that one may be what is broken. */
    dprintf(2, "check failed: %s:%d: %s\n", file, line, what);
    abort();
}

void *check_memory(void *p)
{
    if (p == NULL)
        check_failed(__FILE__, __LINE__, "out of memory at start-up");
    return p;
}
