/* The recorded counts: tests/guard/expected, and what is compared with them. */
#ifndef RUNNEL_TESTS_GUARD_TABLE_H
#define RUNNEL_TESTS_GUARD_TABLE_H

#include "tests/guard/meter.h"
#include "tests/guard/scenarios.h"

enum { TABLE_ROWS_MAX = 64 };

/* Of one scenario and one kind: what a request costs. */
struct table_row {
    char scenario[40];
    enum meter_kind kind;
    struct counts counts;
};

struct table {
    char made_with[128]; /* compiler and libraries of the recorded build */
    struct table_row rows[TABLE_ROWS_MAX];
    int row_count;
};

/* Compiler and C library of this build. */
const char *table_made_with(void);

/* False where there is no such file; aborts on one that cannot be read. */
bool table_load(struct table *table, const char *path);
void table_save(const struct table *table, const char *path);
/* NULL where the scenario was not recorded. */
const struct counts *table_find(const struct table *table, const char *scenario, enum meter_kind kind);
void table_set(struct table *table, const char *scenario, enum meter_kind kind, const struct counts *counts);

/* Compares, prints each difference beyond the tolerance unless it is to be silent, and returns their number.
 */
int table_judge(const struct scenario *scenario, enum meter_kind kind, const struct counts *expected,
                const struct counts *measured, bool is_silent);

#endif
