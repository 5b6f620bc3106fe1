/* What the files of the Fetch handler share: fetch.c decides and waits, fetch_read.c reads, fetch_answer.c
 * answers. */
#ifndef RUNNEL_BROKER_HANDLERS_FETCH_INTERNAL_H
#define RUNNEL_BROKER_HANDLERS_FETCH_INTERNAL_H

#include "broker/fetch_session.h"
#include "broker/files_wait.h"
#include "broker/handlers/handlers.h"

/* After so many rounds of a worker, reads wait for the device. */
enum { FETCH_COLD_ROUNDS_MAX = 3 };
/* So often, besides, the worker is asked for descriptors that others have taken again before the read. */
enum { FETCH_LIMIT_ROUNDS_MAX = 8 };
/* So long at least a Fetch waits for descriptors, where its own wait is shorter. */
enum { FETCH_FILES_WAIT_MS = 2000 };

/* A partition that a look-up refused: unknown, or not allowed. It comes last in the answer, as in Kafka. */
struct fetch_refusal {
    uint32_t at; /* in the set */
    int16_t error_code;
};

/* A partition that a worker has to make ready; the session may have changed meanwhile, so all that it takes
 * is here. */
struct fetch_cold {
    uint32_t at;
    struct partition *partition; /* held while the worker has it */
    int64_t fetch_offset;
    size_t size_max;
    enum log_status status; /* what stopped the worker; told by the read that follows */
};

/* Both grow in the request's arena, and are used again in the next pass. */
struct fetch_refusals {
    struct fetch_refusal *items;
    uint32_t count;
    uint32_t capacity;
};

struct fetch_colds {
    struct fetch_cold *items;
    uint32_t count;
    uint32_t capacity;
};

/* What the answer has to tell, in its order. */
struct fetch_tellings {
    struct fetch_response_partition *items;
    uint32_t *places; /* in the set, of each */
    uint32_t count;
    uint32_t capacity;
};

struct fetch_state {
    struct fetch_set *set; /* the request's own, or its session's */
    struct fetch_set asked;
    struct fetch_session *session; /* NULL: a full fetch; pinned by the arena */
    int32_t session_epoch;         /* of the session, as long as no later request has taken it */
    bool wants_session;
    bool is_committed; /* isolation level read_committed */
    bool from_replica;
    size_t size_max;
    size_t min_bytes;
    int64_t deadline_ms; /* monotonic */
    unsigned cold_rounds;
    unsigned limit_rounds;
    bool is_short;          /* of descriptors: the next round counts as one of those */
    int64_t files_until_ms; /* how long it waits for descriptors; monotonic */
    struct files_waiter files;
    bool is_tried; /* all partitions were looked up once */
    uint64_t seen; /* a sum over those that were found then */
    bool is_watching;
    struct fetch_tellings told;
    struct fetch_refusals refused;
    struct fetch_colds cold;   /* of the last pass */
    uint32_t cold_next;        /* which of them the worker comes to */
    struct fetch_colds warmed; /* of the pass before */
    uint32_t warmed_next;
};

struct fetch_outcome {
    size_t size;      /* bytes that were read */
    size_t available; /* bytes that are there, as min_bytes counts them */
    uint64_t seen;    /* as in fetch_state */
    bool is_final;    /* answered at once: an error, a divergence, or nothing is left to wait for */
    bool is_failed;   /* no memory */
};

/* One pass over all partitions of the set; the caller holds the session's lock. watch: they wake the request
 * from now on. */
struct fetch_outcome fetch__read(struct request *rq, struct fetch_state *state, bool watch);

/* On a worker: opens what a clean stop left closed, brings cold ranges into memory. Parks the request while there are
 * no descriptors for the first of them. */
void fetch__warm(struct request *rq);

/* The last pass becomes the answer: pins what was read, remembers in the session what the client is told. The
 * caller holds the session's lock. False: no memory. */
bool fetch__answer(struct request *rq, struct fetch_state *state, struct fetch_response *out);

#endif
