/* Runs the broker under strace or callgrind and reads what they wrote.
 *
 * A connection is the mark between two intervals: strace's log shows its accept4, and callgrind dumps its
 * counters whenever transport_socket() is entered, which makes a connection of a socket. */
#include "tests/guard/meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codec/api_versions.h"
#include "protocol/base/check.h"
#include "protocol/errors.h"
#include "tests/support/broker_process.h"

enum { TIMEOUT_MS = 60000, API_KEY_API_VERSIONS = 18, API_VERSIONS_VERSION = 0, LINE_SIZE = 1 << 16 };

/* Calls that are counted besides instructions: where one of them gets more, somebody should know. */
static const char *const counted_functions[] = { "clock_gettime", "getrusage", "malloc", "calloc",
                                                 "realloc" };
enum { COUNTED_FUNCTIONS = sizeof counted_functions / sizeof *counted_functions };

struct count *counts_row(struct counts *counts, const char *name)
{
    for (int i = 0; i < counts->row_count; i++)
        if (strcmp(counts->rows[i].name, name) == 0)
            return &counts->rows[i];
    check(counts->row_count < COUNTS_MAX);
    struct count *row = &counts->rows[counts->row_count++];
    snprintf(row->name, sizeof row->name, "%s", name);
    row->value = 0;
    return row;
}

/* -- the broker under its tool ------------------------------------------------------------------ */

const char *meter_obstacle(enum meter_kind kind)
{
    if (kind == METER_SYSCALLS) {
        if (system("strace -V >/dev/null 2>&1") != 0)
            return "there is no strace";
        return system("strace -D -f -o /dev/null true >/dev/null 2>&1") != 0 ? "ptrace is not permitted"
                                                                             : NULL;
    }
#ifdef __x86_64__
    /* valgrind shows programs one of a few processors, the newest of which has AVX2: whatever is chosen by
     * the processor is then the same everywhere. */
    if (!__builtin_cpu_supports("avx2"))
        return "this processor has no AVX2, so other functions of the libraries would be counted";
#else
    return "the counts are of x86-64";
#endif
    return system("valgrind --tool=none true >/dev/null 2>&1") != 0 ? "there is no valgrind that works"
                                                                    : NULL;
}

static void write_wrapper(const struct meter *meter, const char *binary, char path[TEMP_DIR_PATH_SIZE + 16])
{
    const char *dir = meter->dir.path;
    snprintf(path, TEMP_DIR_PATH_SIZE + 16, "%s/wrapper", dir);
    FILE *file = fopen(path, "we");
    check(file != NULL);
    int written;
    if (meter->kind == METER_SYSCALLS)
        written = fprintf(file, "#!/bin/sh\nexec strace -D -f -s 0 -o '%s/trace' '%s' \"$@\"\n", dir, binary);
    else
        written = fprintf(file,
                          "#!/bin/sh\nexec valgrind -q --tool=callgrind --dump-before=transport_socket "
                          "--callgrind-out-file='%s/profile' '%s' \"$@\"\n",
                          dir, binary);
    check(written > 0 && fclose(file) == 0 && chmod(path, 0755) == 0);
}

void meter_start(struct meter *meter, enum meter_kind kind, const char *binary)
{
    static const char *const arguments[] = { "--loops",    "1",
                                             "--override", "offsets.topic.num.partitions=1",
                                             "--override", "group.initial.rebalance.delay.ms=0",
                                             "--override", "auto.create.topics.enable=false",
                                             NULL };
    char wrapper[TEMP_DIR_PATH_SIZE + 16], data_dir[TEMP_DIR_PATH_SIZE + 16];
    *meter = (struct meter){ .kind = kind };
    temp_dir_create(&meter->dir);
    write_wrapper(meter, binary, wrapper);
    snprintf(data_dir, sizeof data_dir, "%s/data", meter->dir.path);
    meter->broker = broker_process_start(wrapper, data_dir, arguments);
}

const char *meter_address(const struct meter *meter)
{
    return broker_process_address(meter->broker);
}

/* Once the broker has answered on it, the connection was accepted, and all that came before was done. */
void meter_connect(struct meter *meter, struct wire_client *client)
{
    struct api_versions_request request;
    struct api_versions_response response;
    api_versions_request_init(&request);
    check(wire_connect(client, meter_address(meter), TIMEOUT_MS));
    check(wire_call(client, API_KEY_API_VERSIONS, API_VERSIONS_VERSION, &request, &response) &&
          response.error_code == ERR_NONE);
    meter->connection_count++;
}

int meter_mark(struct meter *meter)
{
    check(meter->mark_count < METER_MARKS_MAX);
    meter_connect(meter, &meter->marks[meter->mark_count++]);
    return meter->connection_count;
}

void meter_stop(struct meter *meter)
{
    for (int i = 0; i < meter->mark_count; i++)
        wire_close(&meter->marks[i]);
    check(broker_process_stop(meter->broker) == 0);
    meter->broker = NULL;
}

void meter_destroy(struct meter *meter)
{
    temp_dir_destroy(&meter->dir);
}

/* -- what strace wrote -------------------------------------------------------------------------- */

/* "12 accept4(...) = 34" or "12 <... accept4 resumed>...) = 34". */
static bool is_accepted(const char *line)
{
    const char *result = strrchr(line, '=');
    return strstr(line, "accept4") && result && result[1] == ' ' && result[2] >= '0' && result[2] <= '9';
}

static void count_call(const char *line, struct counts *counts)
{
    char name[COUNT_NAME_SIZE];
    line += strspn(line, "0123456789");
    line += strspn(line, " ");
    size_t size = strcspn(line, "(");
    if (line[size] != '(' || size == 0 || size >= sizeof name || strspn(line, "<+- ") > 0)
        return; /* the end of a call that began before, a signal, an exit */
    memcpy(name, line, size);
    name[size] = '\0';
    counts_row(counts, name)->value++;
}

static void read_trace(const struct meter *meter, int interval, struct counts *counts)
{
    static char line[LINE_SIZE];
    char path[TEMP_DIR_PATH_SIZE + 16];
    int at = 0;
    snprintf(path, sizeof path, "%s/trace", meter->dir.path);
    FILE *file = fopen(path, "re");
    check(file != NULL);
    while (at <= interval && fgets(line, sizeof line, file)) {
        if (at == interval)
            count_call(line, counts);
        at += is_accepted(line);
    }
    fclose(file);
    check(at > interval);
}

/* -- what callgrind wrote ----------------------------------------------------------------------- */

void meter_profile(const struct meter *meter, int interval, char path[TEMP_DIR_PATH_SIZE + 32])
{
    /* The dump at the next connection. */
    snprintf(path, TEMP_DIR_PATH_SIZE + 32, "%s/profile.%d", meter->dir.path, interval + 1);
}

/* Names are written once and called by a number then: "cfn=(12) malloc", "cfn=(12)". Names of other kinds
 * have numbers of their own. */
struct function_ids {
    int ids[COUNTED_FUNCTIONS][8]; /* a name may be in several libraries */
};

static int function_of(struct function_ids *functions, const char *text)
{
    int id = atoi(text + 1);
    const char *name = strstr(text, ") ");
    for (int i = 0; i < COUNTED_FUNCTIONS; i++) {
        size_t size = strlen(counted_functions[i]);
        bool is_it =
            name && strncmp(name + 2, counted_functions[i], size) == 0 && strchr("\n@'", name[2 + size]);
        for (int k = 0; k < 8; k++) {
            if (is_it && functions->ids[i][k] == 0)
                functions->ids[i][k] = id;
            if (functions->ids[i][k] == id)
                return i;
        }
    }
    return -1;
}

static void read_profile(const struct meter *meter, int interval, struct counts *counts)
{
    static char line[LINE_SIZE];
    char path[TEMP_DIR_PATH_SIZE + 32];
    struct function_ids functions = { 0 };
    int called = -1;
    bool has_total = false;
    meter_profile(meter, interval, path);
    FILE *file = fopen(path, "re");
    check(file != NULL);
    struct count *total = counts_row(counts, "instructions");
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "fn=(", 4) == 0) {
            (void)function_of(&functions, line + 3);
        } else if (strncmp(line, "cfn=(", 5) == 0) {
            called = function_of(&functions, line + 4);
        } else if (strncmp(line, "calls=", 6) == 0 && called >= 0) {
            counts_row(counts, counted_functions[called])->value += strtod(line + 6, NULL);
        } else if (strncmp(line, "totals: ", 8) == 0) {
            total->value += strtod(line + 8, NULL);
            has_total = true;
        }
    }
    fclose(file);
    check(has_total);
}

void meter_read(const struct meter *meter, int interval, struct counts *counts)
{
    if (meter->kind == METER_SYSCALLS)
        read_trace(meter, interval, counts);
    else
        read_profile(meter, interval, counts);
}
