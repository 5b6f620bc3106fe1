/* What `load` shall do: its command line, filled in. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_PLAN_H
#define RUNNEL_TESTS_BENCH_LOAD_PLAN_H

#include "protocol/compress.h"
#include "tests/bench/load/arguments.h"

struct plan {
    const char *kind;      /* produce, fetch, mixed, fanout, ping, idle */
    const char *bootstrap; /* HOST:PORT */
    const char *topic;
    const char *api; /* of ping: api-versions, fetch, produce, echo */
    int connections; /* that produce; of fetch, ping and idle: all; of fanout: that fetch */
    int fetchers;    /* of mixed: connections that fetch; of fanout: connections that produce are `writers` */
    int writers;
    int threads;
    int partitions;
    int depth;  /* requests in flight per connection */
    int spread; /* partitions in one Produce request */
    int acks;
    int keys;                   /* 0: records without keys */
    int producers;              /* producer ids, spread over the connections; at least one each */
    int server;                 /* pid; 0: none */
    int sample_ms;              /* 0: no samples */
    int max_wait_ms, min_bytes; /* of fetches */
    uint64_t record_size;       /* of a value */
    uint64_t batch_size;
    uint64_t fetch_size; /* of a fetch and of a partition in it */
    uint64_t total_size; /* 0: by time */
    enum codec codec;
    double rate_mib_s, requests_rate; /* 0: saturation */
    double seconds, warmup;
    bool idempotent, create, from_start;
    struct settings settings; /* of the topic that --create makes */
};

/* Ends the program when the line makes no sense. */
void plan_read(struct plan *plan, int count, char **words);
/* Requests a second of the whole run when each moves size bytes; 0: saturation. */
double plan_requests_rate(const struct plan *plan, uint64_t size);

#endif
