/* The command line of the load programs: tables of options, and how they end when something is wrong. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_ARGUMENTS_H
#define RUNNEL_TESTS_BENCH_LOAD_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SETTINGS_MAX = 5 };

/* What was given as KEY=VALUE, again and again. */
struct settings {
    const char *items[SETTINGS_MAX];
    int count;
};

enum argument_type {
    ARGUMENT_TEXT,     /* const char * */
    ARGUMENT_INT,      /* int */
    ARGUMENT_SIZE,     /* uint64_t; 64KiB, 64k, 1MiB, 1m, 10GiB, 10g or plain bytes */
    ARGUMENT_NUMBER,   /* double */
    ARGUMENT_FLAG,     /* bool, true when it is named */
    ARGUMENT_CODEC,    /* enum codec, by its name */
    ARGUMENT_SETTINGS, /* struct settings */
};

struct argument {
    const char *name; /* with its dashes; NULL ends a table */
    enum argument_type type;
    size_t position; /* of the field in the struct that is filled in */
};

/* Fills in what is named; fields of what is not named stay. What is wrong ends the program with status 2. */
void arguments_read(const struct argument *table, int count, char **words, void *out);

/* Says on standard error what is wrong and ends the program with status 1; any thread. */
_Noreturn void load_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
