/* A broker whose instructions (callgrind) or system calls (strace) are counted between two connections. */
#ifndef RUNNEL_TESTS_GUARD_METER_H
#define RUNNEL_TESTS_GUARD_METER_H

#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

#include <stdint.h>

enum meter_kind { METER_SYSCALLS, METER_INSTRUCTIONS };

enum { COUNTS_MAX = 64, COUNT_NAME_SIZE = 40, METER_MARKS_MAX = 128 };

/* What was counted under its name, in order of appearance. */
struct counts {
    struct count {
        char name[COUNT_NAME_SIZE];
        double value;
    } rows[COUNTS_MAX];
    int row_count;
};

/* The row of that name, which is added with 0 where there is none. */
struct count *counts_row(struct counts *counts, const char *name);

struct meter {
    enum meter_kind kind;
    struct temp_dir dir;
    struct broker_process *broker;
    int connection_count; /* that the broker has accepted so far */
    struct wire_client marks[METER_MARKS_MAX];
    int mark_count;
};

/* Why this machine cannot count that; NULL when it can. */
const char *meter_obstacle(enum meter_kind kind);

/* Starts the broker of one loop under its tool. */
void meter_start(struct meter *meter, enum meter_kind kind, const char *binary);
const char *meter_address(const struct meter *meter);
/* Every connection to the broker is made with this: each begins a new interval. */
void meter_connect(struct meter *meter, struct wire_client *client);
/* Begins an interval whose number is returned. It ends with the next one. */
int meter_mark(struct meter *meter);
/* Ends the broker, which must end well; what was counted can be read now. */
void meter_stop(struct meter *meter);
/* Adds what was counted in an interval. */
void meter_read(const struct meter *meter, int interval, struct counts *counts);
/* The profile of an interval, for callgrind_annotate. */
void meter_profile(const struct meter *meter, int interval, char path[TEMP_DIR_PATH_SIZE + 32]);
/* Removes what the tool has written. */
void meter_destroy(struct meter *meter);

#endif
