/* Assertions about our own mistakes; they stay on in production and never judge foreign input. */
#ifndef RUNNEL_PROTOCOL_BASE_CHECK_H
#define RUNNEL_PROTOCOL_BASE_CHECK_H

#include <stdbool.h>

/* Prints the place and the broken expectation on stderr and aborts. */
_Noreturn void check_failed(const char *file, int line, const char *what);

/* Aborts unless cond holds; evaluated in every build. */
#define check(cond) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))

/* The end of a switch that names every value of its enum. */
#define check_unreachable(what) check_failed(__FILE__, __LINE__, "unreachable: " what)

/* Returns p. When an allocation at start-up (never on input's behalf) failed, says so and ends the process with the
 * exit code for that, 70: no core tells more. */
void *check_memory(void *p);

#endif
