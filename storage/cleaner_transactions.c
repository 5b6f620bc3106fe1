/* Transactions as the cleaner meets them: whose batches were aborted, and which markers nobody needs any
 * more. */
#include "storage/cleaner_transactions.h"

#include <stdlib.h>

enum {
    MARKER_KEY_SIZE = 4,
    MARKER_ABORT = 0,
    MARKER_COMMIT = 1,
    MARKER_OUTPUT_MAX = 64 << 10,
};

void cleaner_transactions_init(struct cleaner_transactions *transactions)
{
    *transactions = (struct cleaner_transactions){ .aborted = NULL };
}

void cleaner_transactions_destroy(struct cleaner_transactions *transactions)
{
    free(transactions->aborted);
    free(transactions->open);
    cleaner_transactions_init(transactions);
}

static bool reserve(struct cleaner_transactions *transactions, size_t count)
{
    size_t capacity = transactions->aborted_capacity ? transactions->aborted_capacity : 16;
    while (capacity < count)
        capacity *= 2;
    if (capacity == transactions->aborted_capacity)
        return true;
    struct aborted_transaction *room = realloc(transactions->aborted, capacity * sizeof *room);
    if (!room)
        return false;
    transactions->aborted = room;
    transactions->aborted_capacity = capacity;
    return true;
}

static int by_first_offset(const void *a, const void *b)
{
    const struct aborted_transaction *x = a, *y = b;
    return (x->first_offset > y->first_offset) - (x->first_offset < y->first_offset);
}

bool cleaner_transactions_add(struct cleaner_transactions *transactions, const struct txn_index *index)
{
    uint32_t count = txn_index_count(index);
    if (count == 0)
        return true;
    if (!reserve(transactions, transactions->aborted_count + count))
        return false;
    const struct txn_block *block =
        atomic_load_explicit(&((struct txn_index *)index)->block, memory_order_acquire);
    memcpy(transactions->aborted + transactions->aborted_count, block->entries,
           count * sizeof *transactions->aborted);
    transactions->aborted_count += count;
    return true;
}

void cleaner_transactions_begin(struct cleaner_transactions *transactions)
{
    /* They came in the order of their ends. */
    if (transactions->aborted_count > 0)
        qsort(transactions->aborted, transactions->aborted_count, sizeof *transactions->aborted,
              by_first_offset);
}

/* Few transactions are open at a time. */
static struct cleaner_transaction *find_open(struct cleaner_transactions *transactions, int64_t producer_id)
{
    for (size_t i = 0; i < transactions->open_count; i++) {
        if (transactions->open[i].producer_id == producer_id)
            return &transactions->open[i];
    }
    return NULL;
}

/* The transaction that the producer is in at offset. One whose end lies before is over, whether its marker
 * was met or not: what comes behind it is another's. */
static struct cleaner_transaction *find_at(struct cleaner_transactions *transactions, int64_t producer_id,
                                           int64_t offset)
{
    struct cleaner_transaction *open = find_open(transactions, producer_id);
    if (!open || !open->is_aborted || open->aborted.last_offset >= offset)
        return open;
    *open = transactions->open[--transactions->open_count];
    return NULL;
}

static struct cleaner_transaction *open_transaction(struct cleaner_transactions *transactions,
                                                    int64_t producer_id, int64_t offset)
{
    struct cleaner_transaction *open = find_at(transactions, producer_id, offset);
    if (open)
        return open;
    if (transactions->open_count == transactions->open_capacity) {
        size_t capacity = transactions->open_capacity ? transactions->open_capacity * 2 : 16;
        struct cleaner_transaction *room = realloc(transactions->open, capacity * sizeof *room);
        if (!room)
            return NULL;
        transactions->open = room;
        transactions->open_capacity = capacity;
    }
    open = &transactions->open[transactions->open_count++];
    *open = (struct cleaner_transaction){ .producer_id = producer_id };
    return open;
}

/* Opens the aborted ones that begin at or before offset. */
static bool reach(struct cleaner_transactions *transactions, int64_t offset)
{
    while (transactions->aborted_next < transactions->aborted_count &&
           transactions->aborted[transactions->aborted_next].first_offset <= offset) {
        const struct aborted_transaction *aborted = &transactions->aborted[transactions->aborted_next];
        struct cleaner_transaction *open =
            open_transaction(transactions, aborted->producer_id, aborted->first_offset);
        if (!open)
            return false;
        if (!open->is_aborted)
            *open = (struct cleaner_transaction){ aborted->producer_id, true, false, *aborted };
        transactions->aborted_next++;
    }
    return true;
}

/* What a control batch says of transactions; -1: nothing. An emptied one has no word left. */
static int marker_type(const struct batch_view *batch, bool *is_empty)
{
    struct arena arena;
    struct record record;
    int type = -1;
    *is_empty = batch->record_count == 0;
    if (*is_empty)
        return -1;
    arena_init(&arena, NULL);
    struct record_iterator *iterator = record_iterator_open(batch, &arena, MARKER_OUTPUT_MAX);
    if (iterator && record_iterator_next(iterator, &record) == BATCH_OK && record.key.size >= MARKER_KEY_SIZE)
        type = load_be16(record.key.data + 2);
    record_iterator_close(iterator);
    arena_destroy(&arena);
    return type;
}

static enum cleaner_batch_kind meet_marker(struct cleaner_transactions *transactions,
                                           const struct batch_view *batch,
                                           struct aborted_transaction *aborted)
{
    bool is_empty;
    int type = marker_type(batch, &is_empty);
    if (is_empty)
        return CLEANER_MARKER_UNNEEDED;
    if (type != MARKER_ABORT && type != MARKER_COMMIT)
        return CLEANER_MARKER_NEEDED; /* what we do not know stays */
    struct cleaner_transaction *open = find_at(transactions, batch->producer_id, batch->base_offset);
    if (!open)
        return CLEANER_MARKER_UNNEEDED;
    struct cleaner_transaction ended = *open;
    if (ended.is_aborted != (type == MARKER_ABORT))
        return CLEANER_BATCH_ODD;
    *open = transactions->open[--transactions->open_count];
    if (!ended.has_batch)
        return CLEANER_MARKER_UNNEEDED;
    if (ended.is_aborted)
        *aborted = ended.aborted;
    return CLEANER_MARKER_NEEDED;
}

enum cleaner_batch_kind cleaner_transactions_meet(struct cleaner_transactions *transactions,
                                                  const struct batch_view *batch,
                                                  struct aborted_transaction *aborted)
{
    *aborted = (struct aborted_transaction){ .producer_id = -1 };
    if (!reach(transactions, batch_last_offset(batch)))
        return CLEANER_BATCH_NO_MEMORY;
    if (batch->attributes & BATCH_ATTRIBUTE_CONTROL)
        return meet_marker(transactions, batch, aborted);
    if (!(batch->attributes & BATCH_ATTRIBUTE_TRANSACTIONAL))
        return CLEANER_BATCH_LIVE;
    struct cleaner_transaction *open = open_transaction(transactions, batch->producer_id, batch->base_offset);
    if (!open)
        return CLEANER_BATCH_NO_MEMORY;
    open->has_batch = true;
    return open->is_aborted ? CLEANER_BATCH_ABORTED : CLEANER_BATCH_LIVE;
}
