/* <base>.txnindex: the aborted transactions whose markers lie in a segment, for readers of committed records.
 */
#ifndef RUNNEL_STORAGE_TXN_INDEX_H
#define RUNNEL_STORAGE_TXN_INDEX_H

#include <stdatomic.h>

#include "protocol/base/retire.h"
#include "storage/segment_file.h"

/* An entry of the file (facts: disk-format 2.5). */
struct aborted_transaction {
    int64_t producer_id;
    int64_t first_offset;
    int64_t last_offset;        /* of the marker */
    int64_t last_stable_offset; /* behind the marker: no transaction that ends later begins below it */
};

enum { ABORTED_TRANSACTION_SIZE = 34 };

void aborted_transaction_encode(const struct aborted_transaction *transaction,
                                uint8_t out[ABORTED_TRANSACTION_SIZE]);
/* False: another version, or it cannot be true. */
bool aborted_transaction_decode(const uint8_t bytes[ABORTED_TRANSACTION_SIZE],
                                struct aborted_transaction *out);

/* Entries by last offset; readers see the first count of them. */
struct txn_block {
    uint32_t capacity;
    _Atomic uint32_t count;
    struct aborted_transaction entries[];
};

/* Of one segment; zeroes are an empty one. It changes under the log's mutex, or before the log is in use. */
struct txn_index {
    _Atomic(struct txn_block *) block; /* NULL: empty */
    struct open_file *file;            /* open from a save to the flush */
    uint32_t saved_count;              /* entries that the file holds */
    bool is_rewritten;                 /* the file holds something else: it is written anew */
};

void txn_index_destroy(struct txn_index *index);
uint32_t txn_index_count(const struct txn_index *index);
bool txn_index_is_saved(const struct txn_index *index);

/* Makes room for so many more. retire NULL: nobody reads yet. False: no memory, nothing was changed. */
bool txn_index_reserve(struct txn_index *index, struct retire *retire, uint32_t count);
/* reserve() came before; last offsets ascend. */
void txn_index_append(struct txn_index *index, const struct aborted_transaction *transaction);
/* Forgets all entries; the file, if there is one, is written anew. Nobody reads yet. */
void txn_index_reset(struct txn_index *index);

/* Takes over what a file says of the segment [base, next_base) with size bytes of batches. False: it
 * contradicts itself or the segment, or there is no memory; the index is empty then. */
bool txn_index_parse(struct txn_index *index, slice bytes, int64_t base_offset, int64_t next_base,
                     uint64_t segment_size);
/* Reads the file; none there is an empty index. *is_good as above. Any other status than FILE_OK: it could
 * not be read. */
enum file_status txn_index_load(struct txn_index *index, const struct segment_home *home, int64_t base_offset,
                                int64_t next_base, uint64_t segment_size, bool *is_good);

/* Writes what is not in the file yet, and leaves it open for the flush; *is_made: its name is new. An index
 * that never had an entry has no file. May block. */
enum file_status txn_index_save(struct txn_index *index, const struct segment_home *home, int64_t base_offset,
                                bool *is_made);
/* Flushes and closes a file that was saved. */
enum file_status txn_index_flush(struct txn_index *index, const struct segment_home *home);
void txn_index_close_file(struct txn_index *index, const struct segment_home *home);

/* The first entry with last offset >= offset: its place, or the count. */
uint32_t txn_index_find(const struct txn_index *index, int64_t offset);

#endif
