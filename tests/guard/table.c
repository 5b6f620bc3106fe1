/* Reads, writes and compares the recorded counts. */
#include "tests/guard/table.h"

#include <gnu/libc-version.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/check.h"

/* Less than this of a call is not worth a row. */
#define CALLS_MIN 0.03

static const char *const kind_names[] = {
    [METER_SYSCALLS] = "syscalls", [METER_INSTRUCTIONS] = "instructions"
};

const char *table_made_with(void)
{
    static char text[sizeof((struct table *)0)->made_with];
    snprintf(text, sizeof text, "gcc %s, glibc %s", __VERSION__, gnu_get_libc_version());
    return text;
}

/* strace makes appends slow enough for the broker to ask whether it slept (slow_device.c): how often is told
 * by the functions that callgrind saw. Whether a thread sleeps when it is wanted is the machine's mood. */
static bool is_judged(enum meter_kind kind, const char *name)
{
    return kind == METER_INSTRUCTIONS || (strcmp(name, "getrusage") != 0 && strcmp(name, "futex") != 0);
}

static struct table_row *row_of(struct table *table, const char *scenario, enum meter_kind kind)
{
    for (int i = 0; i < table->row_count; i++)
        if (table->rows[i].kind == kind && strcmp(table->rows[i].scenario, scenario) == 0)
            return &table->rows[i];
    check(table->row_count < TABLE_ROWS_MAX);
    struct table_row *row = &table->rows[table->row_count++];
    snprintf(row->scenario, sizeof row->scenario, "%s", scenario);
    row->kind = kind;
    return row;
}

/* "SCENARIO KIND NAME COUNT"; "made-with ..."; "# ..." */
static void load_line(struct table *table, const char *line)
{
    char scenario[40], kind[40], name[COUNT_NAME_SIZE];
    double value;
    if (line[0] == '#' || line[0] == '\n')
        return;
    if (sscanf(line, "made-with %127[^\n]", table->made_with) == 1)
        return;
    check(sscanf(line, "%39s %39s %39s %lf", scenario, kind, name, &value) == 4);
    bool is_instructions = strcmp(kind, kind_names[METER_INSTRUCTIONS]) == 0;
    struct table_row *row = row_of(table, scenario, is_instructions ? METER_INSTRUCTIONS : METER_SYSCALLS);
    counts_row(&row->counts, name)->value = value;
}

bool table_load(struct table *table, const char *path)
{
    char line[256];
    *table = (struct table){ 0 };
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (fgets(line, sizeof line, file))
        load_line(table, line);
    fclose(file);
    return true;
}

static void save_row(FILE *file, const struct table_row *row)
{
    for (int i = 0; i < row->counts.row_count; i++) {
        const struct count *count = &row->counts.rows[i];
        bool is_instructions = strcmp(count->name, "instructions") == 0;
        if (is_judged(row->kind, count->name) && (is_instructions || count->value >= CALLS_MIN))
            fprintf(file, "%-20s %-14s %-16s %12.*f\n", row->scenario, kind_names[row->kind], count->name,
                    is_instructions ? 0 : 3, count->value);
    }
}

void table_save(const struct table *table, const char *path)
{
    FILE *file = fopen(path, "we");
    check(file != NULL);
    fprintf(file,
            "# What a request costs the broker, written by `./dev guard record`: see README.md.\n"
            "made-with %s\n",
            table->made_with);
    for (int i = 0; i < scenario_count; i++) {
        for (int k = 0; k < table->row_count; k++)
            if (strcmp(table->rows[k].scenario, scenarios[i].name) == 0)
                save_row(file, &table->rows[k]);
    }
    check(fclose(file) == 0);
}

const struct counts *table_find(const struct table *table, const char *scenario, enum meter_kind kind)
{
    for (int i = 0; i < table->row_count; i++)
        if (table->rows[i].kind == kind && strcmp(table->rows[i].scenario, scenario) == 0)
            return &table->rows[i].counts;
    return NULL;
}

void table_set(struct table *table, const char *scenario, enum meter_kind kind, const struct counts *counts)
{
    row_of(table, scenario, kind)->counts = *counts;
}

static bool is_different(const struct scenario *scenario, enum meter_kind kind, const char *name,
                         double expected, double measured)
{
    double difference = fabs(measured - expected);
    if (strcmp(name, "instructions") == 0)
        return difference > expected * scenario->instructions_tolerance / 100;
    return is_judged(kind, name) && difference > scenario->calls_tolerance;
}

int table_judge(const struct scenario *scenario, enum meter_kind kind, const struct counts *expected,
                const struct counts *measured, bool is_silent)
{
    struct counts all = *expected;
    int differences = 0;
    for (int i = 0; i < measured->row_count; i++)
        (void)counts_row(&all, measured->rows[i].name); /* what was not recorded counts as none */
    for (int i = 0; i < all.row_count; i++) {
        struct counts copy = *measured;
        const char *name = all.rows[i].name;
        double was = all.rows[i].value, is = counts_row(&copy, name)->value;
        if (!is_different(scenario, kind, name, was, is))
            continue;
        differences++;
        if (!is_silent && strcmp(name, "instructions") == 0)
            printf("%s: %.0f instructions a request, recorded are %.0f: %+.1f %%\n", scenario->name, is, was,
                   100 * (is - was) / was);
        else if (!is_silent)
            printf("%s: %.3f %s%s a request, recorded are %.3f\n", scenario->name, is,
                   kind == METER_SYSCALLS ? "" : "calls of ", name, was);
    }
    return differences;
}
