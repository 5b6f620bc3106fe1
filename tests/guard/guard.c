/* The regression guard: what a request costs the broker in instructions and system calls, against recorded
 * counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "tests/guard/table.h"

/* EXPECTED and PROFILES come from CMake: the table in the sources, the place of profiles in the build. */
enum { EXIT_SKIPPED = 77, WARM_ROUNDS = 10, SHORT = 0, LONG = 1, INTERVALS };

/* A machine under load has the broker take the device for a slow one, or cuts what is sent to more pieces:
 * what differs is measured again so often, and what is recorded is the cheapest of so many. */
enum { TRIES = 4, RECORDED_TRIES = 3 };

static char binary[4096];
static bool is_chosen[SCENARIOS_MAX];
static bool all_are_chosen;

/* $RUNNEL_BINARY is for who starts brokers by that name alone: here a wrapper is to be started. */
static void take_chosen_binary(void)
{
    const char *name = getenv("RUNNEL_BINARY");
    snprintf(binary, sizeof binary, "%s", name && *name ? name : RUNNEL_BINARY);
    unsetenv("RUNNEL_BINARY");
}

/* -- counting ----------------------------------------------------------------------------------- */

static void play(struct stage *stage, const struct scenario *scenario, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        arena_reset(&stage->round);
        scenario->round(stage);
    }
}

/* Plays some rounds and then three times as many, each between two marks: what the marks cost and what runs
 * beside the requests is gone from the difference. */
static void run_scenario(struct meter *meter, const struct scenario *scenario, int intervals[INTERVALS])
{
    struct stage stage;
    stage_open(&stage, meter, scenario);
    play(&stage, scenario, WARM_ROUNDS);
    intervals[SHORT] = meter_mark(meter);
    play(&stage, scenario, scenario->rounds);
    intervals[LONG] = meter_mark(meter);
    play(&stage, scenario, 3 * scenario->rounds);
    (void)meter_mark(meter);
    stage_close(&stage);
}

static void count_scenario(const struct meter *meter, const struct scenario *scenario,
                           const int intervals[INTERVALS], struct counts *counts)
{
    struct counts shorter = { 0 };
    *counts = (struct counts){ 0 };
    meter_read(meter, intervals[SHORT], &shorter);
    meter_read(meter, intervals[LONG], counts);
    for (int i = 0; i < shorter.row_count; i++)
        counts_row(counts, shorter.rows[i].name)->value -= shorter.rows[i].value;
    for (int i = 0; i < counts->row_count; i++)
        counts->rows[i].value /= 2.0 * scenario->rounds * scenario->requests;
}

/* For ./dev guard look. callgrind tells of functions that were entered before the interval as calls of no
 * number; callgrind_annotate would take what they cost for their own. */
static void keep_profile(const struct meter *meter, const struct scenario *scenario, int interval)
{
    static char line[1 << 16];
    char from[TEMP_DIR_PATH_SIZE + 32], to[4096];
    meter_profile(meter, interval, from);
    snprintf(to, sizeof to, PROFILES "/%s.callgrind", scenario->name);
    (void)mkdir(PROFILES, 0755);
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    check(in != NULL && out != NULL);
    for (bool is_left_out = false; fgets(line, sizeof line, in);) {
        bool is_of_before = strncmp(line, "calls=0 ", 8) == 0;
        check(is_left_out || is_of_before || fputs(line, out) >= 0);
        is_left_out = is_of_before; /* then the next line as well */
    }
    fclose(in);
    check(fclose(out) == 0);
}

/* Of the scenarios that are still wanted. */
static void measure(enum meter_kind kind, const bool wanted[SCENARIOS_MAX], struct table *measured)
{
    static struct meter meter;
    int intervals[SCENARIOS_MAX][INTERVALS];
    meter_start(&meter, kind, binary);
    for (int i = 0; i < scenario_count; i++)
        if (wanted[i])
            run_scenario(&meter, &scenarios[i], intervals[i]);
    meter_stop(&meter);
    for (int i = 0; i < scenario_count; i++) {
        struct counts counts;
        if (!wanted[i])
            continue;
        count_scenario(&meter, &scenarios[i], intervals[i], &counts);
        table_set(measured, scenarios[i].name, kind, &counts);
        if (kind == METER_INSTRUCTIONS)
            keep_profile(&meter, &scenarios[i], intervals[i][LONG]);
    }
    meter_destroy(&meter);
}

static void print_counts(const struct scenario *scenario, const struct counts *counts)
{
    printf("%-20s", scenario->name);
    for (int i = 0; i < counts->row_count; i++) {
        const struct count *count = &counts->rows[i];
        if (strcmp(count->name, "instructions") == 0)
            printf(" instructions %.0f", count->value);
        else if (count->value >= 0.01)
            printf(" %s %.2f", count->name, count->value);
    }
    printf("\n");
    fflush(stdout);
}

/* -- judging ------------------------------------------------------------------------------------ */

/* That the guard would notice: one scenario costs what another one is recorded with, and a little more than
 * is recorded. */
static int control(enum meter_kind kind, const struct table *measured, const struct table *expected)
{
    static const char *const pairs[][2] = { { "ping-1", "ping-16" }, { "produce-1k", "produce-1k-durable" } };
    int missed = 0;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const struct counts *is = table_find(measured, pairs[i][0], kind);
        const struct counts *was = table_find(expected, pairs[i][1], kind);
        missed += !was || table_judge(&scenarios[0], kind, was, is, true) == 0;
    }
    const struct counts *was = table_find(expected, scenarios[0].name, kind);
    struct counts worse = was ? *was : (struct counts){ 0 };
    if (kind == METER_INSTRUCTIONS)
        counts_row(&worse, "instructions")->value *= 1.04;
    else
        counts_row(&worse, "recvfrom")->value += 1;
    missed += !was || table_judge(&scenarios[0], kind, was, &worse, true) == 0;
    if (missed > 0)
        printf("the control failed: the guard did not notice what differs\n");
    return missed;
}

/* Which of the wanted differ: those are wanted again. */
static int find_different(enum meter_kind kind, const struct table *measured, const struct table *expected,
                          bool wanted[SCENARIOS_MAX])
{
    int count = 0;
    for (int i = 0; i < scenario_count; i++) {
        const struct counts *was = table_find(expected, scenarios[i].name, kind);
        wanted[i] =
            wanted[i] && (!was || table_judge(&scenarios[i], kind, was,
                                              table_find(measured, scenarios[i].name, kind), true) > 0);
        count += wanted[i];
    }
    return count;
}

static int judge(enum meter_kind kind, const struct table *expected)
{
    static struct table measured;
    bool wanted[SCENARIOS_MAX];
    int failed = 1;
    memcpy(wanted, is_chosen, sizeof wanted);
    for (int i = 0; i < TRIES && failed > 0; i++) {
        measure(kind, wanted, &measured);
        failed = find_different(kind, &measured, expected, wanted);
    }
    for (int i = 0; i < scenario_count; i++)
        if (is_chosen[i])
            print_counts(&scenarios[i], table_find(&measured, scenarios[i].name, kind));
    printf("\n");
    for (int i = 0; i < scenario_count; i++) {
        const struct counts *was = table_find(expected, scenarios[i].name, kind);
        if (wanted[i] && !was)
            printf("%s: nothing is recorded\n", scenarios[i].name);
        else if (wanted[i])
            table_judge(&scenarios[i], kind, was, table_find(&measured, scenarios[i].name, kind), false);
    }
    if (failed > 0)
        printf("\n%d scenarios differ from tests/guard/expected. Where it goes: ./dev guard look SCENARIO.\n"
               "If that is meant (a gain is, and wants to be kept): ./dev guard record, and commit the file "
               "with "
               "the change.\n",
               failed);
    return failed + (all_are_chosen ? control(kind, &measured, expected) : 0);
}

/* The cheapest of some runs is what the machine disturbed least. */
static double cost(const struct counts *counts)
{
    double cost = 0;
    for (int i = 0; i < counts->row_count; i++)
        cost += counts->rows[i].value;
    return cost;
}

static void record(enum meter_kind kind, struct table *expected)
{
    static struct table measured, cheapest;
    for (int try = 0; try < RECORDED_TRIES; try++) {
        measure(kind, is_chosen, &measured);
        for (int i = 0; i < measured.row_count; i++) {
            const struct table_row *row = &measured.rows[i];
            const struct counts *before = table_find(&cheapest, row->scenario, kind);
            if (!before || cost(&row->counts) < cost(before))
                table_set(&cheapest, row->scenario, kind, &row->counts);
        }
    }
    for (int i = 0; i < scenario_count; i++) {
        if (!is_chosen[i])
            continue;
        print_counts(&scenarios[i], table_find(&cheapest, scenarios[i].name, kind));
        table_set(expected, scenarios[i].name, kind, table_find(&cheapest, scenarios[i].name, kind));
    }
    snprintf(expected->made_with, sizeof expected->made_with, "%s", table_made_with());
    table_save(expected, EXPECTED);
}

/* -- the program -------------------------------------------------------------------------------- */

static int usage(void)
{
    fputs("usage: guard [record] syscalls|instructions [SCENARIO...]\n", stderr);
    for (int i = 0; i < scenario_count; i++)
        fprintf(stderr, "  %-20s %s\n", scenarios[i].name, scenarios[i].what);
    return 2;
}

static bool choose(char **names)
{
    all_are_chosen = *names == NULL;
    for (int i = 0; i < scenario_count; i++)
        is_chosen[i] = all_are_chosen;
    for (; *names; names++) {
        bool is_known = false;
        for (int i = 0; i < scenario_count; i++) {
            if (strcmp(*names, scenarios[i].name) == 0)
                is_known = is_chosen[i] = true;
        }
        if (!is_known)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct table expected;
    char **next = argv + 1;
    (void)argc;
    check(scenario_count <= SCENARIOS_MAX);
    take_chosen_binary();
    bool is_recording = *next && strcmp(*next, "record") == 0;
    next += is_recording;
    if (!*next || (strcmp(*next, "syscalls") != 0 && strcmp(*next, "instructions") != 0) || !choose(next + 1))
        return usage();
    enum meter_kind kind = strcmp(*next, "syscalls") == 0 ? METER_SYSCALLS : METER_INSTRUCTIONS;
    const char *why = meter_obstacle(kind);
    if (!table_load(&expected, EXPECTED) && !is_recording) {
        printf("there is no " EXPECTED "\n");
        return 1;
    }
    if (!is_recording && kind == METER_INSTRUCTIONS && strcmp(expected.made_with, table_made_with()) != 0)
        why = "another compiler or C library than that of the recorded counts";
    if (why) {
        printf("skipped: %s\n", why);
        return EXIT_SKIPPED;
    }
    if (is_recording)
        record(kind, &expected);
    return is_recording ? 0 : judge(kind, &expected) > 0;
}
