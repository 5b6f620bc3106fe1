/* What a load program measured, and the one JSON object that it prints. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_RESULT_H
#define RUNNEL_TESTS_BENCH_LOAD_RESULT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/load/histogram.h"

struct sample {
    double seconds; /* since the counted time began */
    double mib_s;   /* of the time since the sample before */
    double rss_mib;
    double cpu; /* cores that the server kept busy since the sample before */
};

/* What one direction moved. */
struct traffic {
    uint64_t requests;
    uint64_t records;
    uint64_t size;   /* bytes of batches, as on the wire */
    uint64_t unsent; /* open loop: requests that were due, but never had room; in latency as if answered at
                        the end */
    struct histogram latency;
    struct histogram lag; /* open loop: how late we were ourselves, from a request's time to its send */
};

struct result {
    const char *kind;
    double seconds;
    double client_cpu_seconds;
    pid_t server; /* 0: none, or this process itself */
    double server_cpu_seconds;
    double rss_mib, rss_max_mib, rss_own_mib; /* own: without mapped files */
    struct sample *samples;
    int sample_count;
    struct traffic total;
    const struct traffic *produced, *fetched; /* where a run has both; else NULL */
};

/* Prints the object and a newline. extra: further members, `"name":value,...`, or NULL. */
void result_print(const struct result *result, const char *extra);

/* Follows a server process through the counted time. */
struct watch {
    pid_t server;
    double server_cpu, client_cpu, begin; /* at the beginning */
    double last_cpu, last_seconds;
    uint64_t last_size;
    double rss_max_mib;
    struct sample *samples;
    int count, capacity;
};

void watch_begin(struct watch *watch, pid_t server);
/* size: bytes moved since the beginning. keep: as a sample of the result, too. */
void watch_sample(struct watch *watch, uint64_t size, bool keep);
/* Fills in times, CPU and memory; the samples belong to the result. */
void watch_end(struct watch *watch, struct result *out);

/* User and system seconds of this process. */
double own_cpu_seconds(void);

#endif
