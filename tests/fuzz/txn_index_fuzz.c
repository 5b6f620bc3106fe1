/* Any bytes as a .txnindex file: taken whole and in order, or not at all. */
#include <stdlib.h>
#include <string.h>

#include "protocol/base/check.h"
#include "storage/txn_index.h"

enum { HEADER_SIZE = 12 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct txn_index index = { .file = NULL };
    if (size < HEADER_SIZE)
        return 0;
    int64_t base = load_be32(data), next = base + load_be32(data + 4);
    slice bytes = slice_of(data + HEADER_SIZE, size - HEADER_SIZE);
    bool is_good = txn_index_parse(&index, bytes, base, next, load_be32(data + 8));
    uint32_t count = txn_index_count(&index);
    check(is_good ? count * (size_t)ABORTED_TRANSACTION_SIZE == bytes.size : count == 0);
    check(txn_index_is_saved(&index) == is_good);
    const struct txn_block *block = atomic_load(&index.block);
    for (uint32_t i = 0; i < count; i++) {
        const struct aborted_transaction *entry = &block->entries[i];
        uint8_t again[ABORTED_TRANSACTION_SIZE];
        check(entry->last_offset >= base && entry->last_offset < next);
        check(txn_index_find(&index, entry->last_offset) == i);
        check(txn_index_find(&index, entry->last_offset + 1) == i + 1);
        aborted_transaction_encode(entry, again);
        check(memcmp(again, bytes.data + (size_t)i * ABORTED_TRANSACTION_SIZE, sizeof again) == 0);
    }
    txn_index_destroy(&index);
    return 0;
}
