/* A load program run by a test, and what its JSON says. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_PROGRAM_RUN_H
#define RUNNEL_TESTS_BENCH_LOAD_PROGRAM_RUN_H

#include <stdbool.h>
#include <sys/types.h>

struct program_run {
    pid_t pid;
    int output;
    char *text; /* all that it printed on standard output; ends with a NUL */
    int status; /* of its exit; 128 + N when signal N ended it */
};

/* Starts a command line of the shell. */
void program_start(struct program_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Reads until it ends. */
void program_finish(struct program_run *run);
/* Reads one line, without its end; the program goes on. Borrowed until it is destroyed. */
const char *program_line(struct program_run *run);
void program_destroy(struct program_run *run);

/* Is the text one JSON object and a newline? */
bool json_is_object(const char *text);
/* The number behind a path of members, as in "fetch.latency_us.p50"; NAN when there is none. */
double json_number(const char *text, const char *path);

#endif
