/* Transactions as the cleaner meets them: whose batches were aborted, and which markers nobody needs any
 * more. */
#ifndef RUNNEL_STORAGE_CLEANER_TRANSACTIONS_H
#define RUNNEL_STORAGE_CLEANER_TRANSACTIONS_H

#include "protocol/record_batch.h"
#include "storage/txn_index.h"

/* A transaction that the walk is in. */
struct cleaner_transaction {
    int64_t producer_id;
    bool is_aborted;
    bool has_batch; /* one of its batches was met */
    struct aborted_transaction aborted;
};

/* One walk along a log, from a segment's start to a later one's end. */
struct cleaner_transactions {
    struct aborted_transaction *aborted; /* by first offset */
    size_t aborted_count, aborted_capacity;
    size_t aborted_next; /* the first one that the walk has not reached */
    struct cleaner_transaction *open;
    size_t open_count, open_capacity;
};

void cleaner_transactions_init(struct cleaner_transactions *transactions);
void cleaner_transactions_destroy(struct cleaner_transactions *transactions);

/* Adds what the index of a segment says. All segments from the walk's first to the log's last, before the
 * walk. The index does not change meanwhile. False: no memory. */
bool cleaner_transactions_add(struct cleaner_transactions *transactions, const struct txn_index *index);
/* Behind the last one, before the walk. */
void cleaner_transactions_begin(struct cleaner_transactions *transactions);

enum cleaner_batch_kind {
    CLEANER_BATCH_LIVE,      /* its records count */
    CLEANER_BATCH_ABORTED,   /* none of its records does */
    CLEANER_MARKER_NEEDED,   /* batches of its transaction were met */
    CLEANER_MARKER_UNNEEDED, /* none was */
    CLEANER_BATCH_NO_MEMORY,
    CLEANER_BATCH_ODD, /* a marker that contradicts the index: of an aborted transaction that is not in it,
                          say */
};

/* The walk comes to the next batch, whose CRC was checked. After CLEANER_MARKER_NEEDED *aborted is the
 * transaction that is to stay in the index; its producer id is -1 when it was committed. */
enum cleaner_batch_kind cleaner_transactions_meet(struct cleaner_transactions *transactions,
                                                  const struct batch_view *batch,
                                                  struct aborted_transaction *aborted);

#endif
