/* What a log remembers of its idempotent producers: the last five batches of each, and the rules that judge
 * the next one (KIP-98). */
#ifndef RUNNEL_STORAGE_PRODUCER_STATE_H
#define RUNNEL_STORAGE_PRODUCER_STATE_H

#include "protocol/record_batch.h"

/* As many batches of a producer may be under way at once, so a retry is of one of these. */
enum { PRODUCER_BATCHES_MAX = 5 };

struct producer_batch {
    int64_t last_offset;
    int64_t timestamp;     /* ms; the batch's largest */
    int32_t last_sequence; /* -1: without sequences, as a coordinator writes */
    int32_t offset_delta;  /* last offset - base offset, and last sequence - first sequence with wrap */
};

/* All that is known of one producer, as a plain value. */
struct producer_entry {
    int64_t producer_id;
    int64_t timestamp;                /* ms; of the newest batch or transaction marker */
    int64_t written_ms;               /* the broker's clock when it wrote last */
    int64_t current_txn_first_offset; /* -1: no open transaction */
    int32_t coordinator_epoch;        /* of the newest marker; -1: none */
    int16_t epoch;                    /* the batches are all of this one; -1: any may follow */
    uint8_t batch_count;              /* 0: known through a marker alone */
    struct producer_batch batches[PRODUCER_BATCHES_MAX]; /* oldest first */
};

/* The end of a transaction, as a control batch says it. */
struct producer_marker {
    int64_t producer_id;
    int64_t timestamp; /* ms */
    int32_t coordinator_epoch;
    int16_t producer_epoch;
    bool is_abort;
};

/* A hash table by producer id, and a list by who wrote longest ago; guarded by its owner. NULL: empty. */
struct producer_state;

void producer_state_destroy(struct producer_state *state);
size_t producer_state_count(const struct producer_state *state);
/* Bytes of memory that it takes. */
size_t producer_state_size(const struct producer_state *state);

/* Makes sure that so many new producers, and older batches of so many, find room; *state is made when needed.
 * False: no memory, nothing was changed. */
bool producer_state_reserve(struct producer_state **state, size_t producer_count, size_t older_count);
/* Takes a batch that is in the log into account, whatever its sequence; its producer id is >= 0, and
 * reserve(1, 1) came before. now_ms: by the broker's clock. expiration_ms as below. */
void producer_state_note(struct producer_state *state, const struct batch_view *batch, int64_t now_ms,
                         int64_t expiration_ms);
/* The same for a transaction marker. */
void producer_state_mark(struct producer_state *state, const struct producer_marker *marker, int64_t now_ms);
/* Puts an entry in, as the one that wrote last; reserve(1, 1) came before. */
void producer_state_put(struct producer_state *state, const struct producer_entry *entry);
/* False: not known. */
bool producer_state_find(const struct producer_state *state, int64_t producer_id, struct producer_entry *out);
/* First offset of the producer's open transaction; -1: it has none. */
int64_t producer_state_open_transaction(const struct producer_state *state, int64_t producer_id);
/* The smallest of those of all producers; -1: no transaction is open. */
int64_t producer_state_first_open(const struct producer_state *state);

/* Forgets who wrote longest ago: what is beyond count_max (0: no bound), and up to expired_max of those that
 * wrote nothing for expiration_ms (0: never). Nobody with an open transaction is forgotten. */
void producer_state_trim(struct producer_state *state, size_t count_max, int64_t now_ms,
                         int64_t expiration_ms, size_t expired_max);

/* A copy that is only good for producer_state_next(); NULL: no memory. */
struct producer_state *producer_state_copy(const struct producer_state *state);
/* Walks over all producers, who wrote longest ago first, those with an open transaction last. cursor begins
 * as 0; false at the end. */
bool producer_state_next(const struct producer_state *state, uint64_t *cursor, struct producer_entry *out);

/* The end of a transaction that a control batch says; bytes are the whole batch. False: it says none. */
bool producer_marker_read(slice bytes, struct producer_marker *out);

enum producer_verdict {
    PRODUCER_ACCEPTED,
    PRODUCER_DUPLICATE,    /* one of the last five batches */
    PRODUCER_BAD_SEQUENCE, /* not the next one */
    PRODUCER_BAD_EPOCH,    /* an older producer epoch than one seen before */
};

/* A batch that was accepted, and is not in the log yet. */
struct producer_staged {
    int64_t producer_id;
    struct producer_batch batch;
    uint32_t next; /* of the same bucket, accepted before; 0: none, else index + 1 */
    int16_t epoch;
    bool has_older; /* there is room for the producer's older batches, or it is asked for */
};

enum { PRODUCER_STAGED_INLINE = 32, PRODUCER_BUCKETS_INLINE = 64 };

/* Judges the batches of one call in their order, each after those before it; the state is only read. */
struct producer_judge {
    const struct producer_state *state;
    int64_t now_ms;
    int64_t expiration_ms;
    size_t producer_count; /* what producer_state_reserve() is to be asked for */
    size_t older_count;
    struct producer_staged *staged;
    size_t staged_count, staged_max;
    uint32_t *buckets;
    size_t bucket_mask;
    struct producer_staged staged_inline[PRODUCER_STAGED_INLINE];
    uint32_t buckets_inline[PRODUCER_BUCKETS_INLINE];
};

/* count: batches with a producer id at most. False: no memory. */
bool producer_judge_begin(struct producer_judge *judge, const struct producer_state *state, size_t count,
                          int64_t now_ms, int64_t expiration_ms);
/* The batch has a producer id >= 0, and would begin at base_offset. *original: of what it repeats. */
enum producer_verdict producer_judge_batch(struct producer_judge *judge, const struct batch_view *batch,
                                           int64_t base_offset, struct producer_batch *original);
void producer_judge_end(struct producer_judge *judge);

#endif
