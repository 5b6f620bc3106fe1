/* Fetch sessions (KIP-227): what clients fetch again and again, remembered, so that a request names changes
 * alone. */
#ifndef RUNNEL_BROKER_FETCH_SESSION_H
#define RUNNEL_BROKER_FETCH_SESSION_H

#include <pthread.h>

#include "broker/fetch_set.h"
#include "codec/fetch.h"
#include "protocol/base/budget.h"

enum {
    FETCH_SESSION_NONE = 0,          /* the id that says: no session */
    FETCH_SESSION_EPOCH_FINAL = -1,  /* a full fetch that wants no session */
    FETCH_SESSION_EPOCH_INITIAL = 0, /* a full fetch that wants a new one */
    FETCH_SESSION_EVICTION_MS =
        120000, /* Kafka's min.incremental.fetch.session.eviction.ms, no setting there either */
    /* A session beyond it is closed, and its client goes on without. */
    FETCH_SESSION_SIZE_MAX = 16 * 1024 * 1024,
    /* All sessions together take this part of the broker's budget at most, and count in it. */
    FETCH_SESSIONS_BUDGET_PART = 4,
};

/* Belongs to no connection and to no principal: whoever knows id and epoch goes on with it. Held by its cache
 * while it may be found, and by each request that it serves; its memory goes with the last of them. */
struct fetch_session {
    struct pin pin;
    struct fetch_sessions *cache;
    int32_t id; /* > 0, drawn at random */
    bool by_id; /* made by Fetch v13+ */
    int64_t created_ms;
    pthread_mutex_t lock; /* of what follows, up to the next remark */
    struct fetch_set set;
    int32_t epoch;  /* that the next request has to carry */
    bool is_closed; /* nothing was left to fetch */
    /* The cache's, under its lock. */
    bool is_cached;
    int64_t used_ms;
    uint32_t known_count;           /* partitions, at the last use */
    size_t charged;                 /* bytes */
    uint32_t heap_place;            /* among those that may be evicted; FETCH_NONE: it is too young */
    struct fetch_session *previous; /* by last use */
    struct fetch_session *next;
    struct fetch_session *chain; /* of its bucket */
};

struct fetch_sessions;

/* slots: how many at most. seed: of simulations; 0: ids from the kernel. */
struct fetch_sessions *fetch_sessions_create(size_t slots, struct budget *budget, uint64_t seed);
/* No request may be left that holds a session. */
void fetch_sessions_destroy(struct fetch_sessions *sessions);
/* Of the hashes of all sets: what a session copies from a request is not hashed again. */
const uint64_t *fetch_sessions_key(const struct fetch_sessions *sessions);

/* All below: any thread; now_ms monotonic. */

/* Remembers a copy of what a full fetch asked for and was told. Returns the new id, or FETCH_SESSION_NONE
 * when there is no room: Kafka's rules of eviction hold. The epoch of the next request is 1. */
int32_t fetch_sessions_add(struct fetch_sessions *sessions, struct fetch_set *set, int64_t now_ms);
/* Forgets the session, if there is one. */
void fetch_sessions_close(struct fetch_sessions *sessions, int32_t id);
/* Takes an incremental request: checks id and epoch, applies what it adds, updates and forgets, raises the
 * epoch. ERR_NONE and a session, held for the caller: serve what it has now. ERR_NONE and NULL: nothing is
 * left to fetch, the session is closed; serve the request alone. FETCH_SESSION_ID_NOT_FOUND (also when it
 * outgrew its bounds), INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR: the answer, without
 * partitions. */
int16_t fetch_sessions_accept(struct fetch_sessions *sessions, const struct fetch_request *in, bool by_id,
                              int64_t now_ms, struct fetch_session **out);
/* 1 to 2^31 - 1, then 1 again. */
int32_t fetch_session_epoch_after(int32_t epoch);

/* Takes over what a request says of a partition. */
void fetch_partition_update(struct fetch_partition *partition, const struct fetch_request_partition *in);

struct fetch_sessions_stats {
    size_t count;
    size_t partition_count;
    size_t size; /* bytes, also of sessions that only requests still hold */
    uint64_t added;
    uint64_t evicted;
    uint64_t accepted; /* incremental requests */
};
struct fetch_sessions_stats fetch_sessions_stats(struct fetch_sessions *sessions);

#endif
