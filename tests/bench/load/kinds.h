/* What connections can do: produce, fetch, ping. Each kind makes its state from the plan. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_KINDS_H
#define RUNNEL_TESTS_BENCH_LOAD_KINDS_H

#include "tests/bench/load/engine.h"
#include "tests/bench/load/plan.h"

/* The partitions of connection `index` among `connections`. */
struct share {
    int32_t *partitions; /* returned owned */
    int count;
};

struct share share_of(int index, int connections, int partitions);

/* What all that produce have in common: frames and producer ids. */
struct produce_source;

struct produce_source *produce_source_create(const struct plan *plan, int connections);
/* Bytes of batches that a request carries, on average. */
size_t produce_source_request_size(const struct produce_source *source);
void produce_init(struct connection *connection, struct produce_source *source, int index);

enum fetch_manner {
    FETCH_FROM_START, /* by time: and again from there, when all ends are reached */
    FETCH_TAIL,       /* what is appended from now on, timed by the stamps in the batches */
    FETCH_AT_END,     /* nothing, timed by its answers */
};

/* offsets: where to begin, per partition; borrowed for the run. */
void fetch_init(struct connection *connection, const struct plan *plan, struct share share,
                const int64_t *offsets, enum fetch_manner manner);

/* ApiVersions, or frames that come back as they are. */
void ping_init(struct connection *connection, const struct plan *plan);

/* The whole run of the kind `idle`, with its result. */
void idle_run(const struct plan *plan);

#endif
