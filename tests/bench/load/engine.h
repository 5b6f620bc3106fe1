/* Many connections on few threads: requests go out when they are due, or as many as fit; answers come in
 * order.
 *
 * Each connection has a kind, which makes requests and takes answers; what both cost must be small against
 * the server's share, as they have the same cores. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_ENGINE_H
#define RUNNEL_TESTS_BENCH_LOAD_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "protocol/base/slice.h"
#include "tests/bench/load/result.h"

struct connection;

/* A request on its way. Its memory lives until its answer was taken. */
struct slot {
    uint64_t due_ns; /* open loop: its time by the schedule; else when it was made */
    uint32_t records;
    uint64_t size;        /* bytes of batches in it, or in its answer once that was taken */
    struct iovec *pieces; /* what is to be sent; the engine moves them forward */
    int piece_count, piece_capacity, piece_next;
    uint8_t *memory; /* of the kind, grown by slot_memory() */
    size_t memory_capacity;
};

struct connection_kind {
    bool is_fetch;     /* what it moves counts as fetched */
    bool answered;     /* each request has an answer */
    bool drains;       /* at the end of a run, its answers are waited for */
    bool times_itself; /* take() adds latencies of its own */
    /* Fills in pieces, records, size. id is the request's correlation id, from 1. */
    void (*make)(struct connection *connection, struct slot *slot, uint32_t id);
    /* frame: an answer without its length, borrowed. May set records and size. */
    void (*take)(struct connection *connection, struct slot *slot, slice frame, uint64_t now_ns);
};

struct connection {
    const struct connection_kind *kind;
    void *state; /* of the kind */
    struct lane *lane;
    struct engine *engine;
    int descriptor;
    int poller; /* the epoll descriptor of its thread */
    bool wants_out;
    bool exhausted;     /* makes no more requests */
    struct slot *slots; /* a ring of depth */
    uint32_t depth;
    uint64_t made, sent, done; /* requests so far: done <= sent <= made <= done + depth */
    uint64_t owed;             /* open loop: requests that were due so far */
    double interval_ns;        /* open loop; 0: saturation */
    double first_due_ns;
    uint8_t *buffer;
    size_t buffer_capacity, buffer_begin, buffer_end;
};

/* What one thread counts in one direction. Counters are read by others while it runs. */
struct lane {
    _Atomic uint64_t requests, records, size;
    struct histogram latency, lag;
    int exhausted;    /* connections */
    uint64_t last_ns; /* when something was counted */
    uint64_t unsent;  /* open loop: requests that were due, but had no room until the end */
};

struct engine {
    uint64_t start_ns;              /* of everything */
    uint64_t begin_ns;              /* of the counted time */
    _Atomic uint64_t end_ns;        /* UINT64_MAX while it is not known */
    uint64_t stop_ns;               /* of everything: end_ns and the cool-down */
    uint64_t total_size;            /* 0: ends by time */
    _Atomic uint64_t reserved_size; /* of total_size, given out to requests */
    _Atomic bool stopping;
};

/* Connected, with depth slots; never fails: ends the program. */
void connection_open(struct connection *connection, const char *address, int depth);
void connection_close(struct connection *connection);
/* Joins a thread's epoll set. */
void connection_join(struct connection *connection, int poller);
/* Makes what may go out now, and sends it. */
void connection_go_on(struct connection *connection);
/* Takes what came, then goes on. */
void connection_receive(struct connection *connection);
/* The kind has nothing more to ask for. */
void connection_exhaust(struct connection *connection);
/* Waits for answers that a run's end needs? */
bool connection_is_busy(const struct connection *connection);

/* At least size bytes of the slot's own memory; what was there stays. */
uint8_t *slot_memory(struct slot *slot, size_t size);
void slot_add_piece(struct slot *slot, const void *data, size_t size);

struct engine_options {
    struct connection *connections;
    int count;
    int threads;
    double requests_rate; /* of the connections that do not fetch, or of all when all do; 0: saturation */
    double seconds, warmup;
    double cooldown; /* seconds that the load goes on behind the counted time, so that what was due in it
                        arrives */
    uint64_t total_size;
    pid_t server;
    int sample_ms;
};

/* Runs until the end and fills in everything but kind. */
void engine_run(const struct engine_options *options, struct result *out);

uint64_t now_ns(void);

#endif
