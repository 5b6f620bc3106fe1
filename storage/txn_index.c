/* <base>.txnindex: the aborted transactions whose markers lie in a segment, for readers of committed records.
 */
#include "storage/txn_index.h"

#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/record_batch.h"

enum { VERSION = 0 };
enum { AT_VERSION = 0, AT_PRODUCER_ID = 2, AT_FIRST = 10, AT_LAST = 18, AT_STABLE = 26 };
enum { BLOCK_CAPACITY_MIN = 8, ENCODED_COUNT = 64, FILE_SIZE_MAX = 1 << 30 };

void aborted_transaction_encode(const struct aborted_transaction *transaction,
                                uint8_t out[ABORTED_TRANSACTION_SIZE])
{
    store_be16(out + AT_VERSION, VERSION);
    store_be64(out + AT_PRODUCER_ID, (uint64_t)transaction->producer_id);
    store_be64(out + AT_FIRST, (uint64_t)transaction->first_offset);
    store_be64(out + AT_LAST, (uint64_t)transaction->last_offset);
    store_be64(out + AT_STABLE, (uint64_t)transaction->last_stable_offset);
}

bool aborted_transaction_decode(const uint8_t bytes[ABORTED_TRANSACTION_SIZE],
                                struct aborted_transaction *out)
{
    *out = (struct aborted_transaction){
        .producer_id = (int64_t)load_be64(bytes + AT_PRODUCER_ID),
        .first_offset = (int64_t)load_be64(bytes + AT_FIRST),
        .last_offset = (int64_t)load_be64(bytes + AT_LAST),
        .last_stable_offset = (int64_t)load_be64(bytes + AT_STABLE),
    };
    return load_be16(bytes + AT_VERSION) == VERSION && out->producer_id >= 0 && out->first_offset >= 0 &&
           out->first_offset < out->last_offset && out->last_stable_offset >= 0 &&
           out->last_stable_offset <= out->last_offset + 1;
}

void txn_index_destroy(struct txn_index *index)
{
    free(atomic_load(&index->block));
    if (index->file)
        pin_drop(&index->file->pin);
    *index = (struct txn_index){ .file = NULL };
}

uint32_t txn_index_count(const struct txn_index *index)
{
    struct txn_block *block = atomic_load_explicit(&((struct txn_index *)index)->block, memory_order_acquire);
    return block ? atomic_load_explicit(&block->count, memory_order_acquire) : 0;
}

bool txn_index_is_saved(const struct txn_index *index)
{
    return index->saved_count == txn_index_count(index) && !index->is_rewritten;
}

bool txn_index_reserve(struct txn_index *index, struct retire *retire_list, uint32_t count)
{
    struct txn_block *old = atomic_load(&index->block);
    uint32_t used = txn_index_count(index);
    uint32_t capacity = old ? old->capacity : BLOCK_CAPACITY_MIN;
    if (count == 0 || (old && old->capacity - used >= count))
        return true;
    if (count > UINT32_MAX / 2 - used)
        return false;
    while (capacity - used < count)
        capacity *= 2;
    struct txn_block *block = malloc(sizeof *block + capacity * sizeof block->entries[0]);
    if (!block)
        return false;
    block->capacity = capacity;
    atomic_init(&block->count, used);
    if (used > 0)
        memcpy(block->entries, old->entries, used * sizeof block->entries[0]);
    atomic_store_explicit(&index->block, block, memory_order_release);
    if (old && retire_list)
        retire(retire_list, old, free);
    else
        free(old);
    return true;
}

void txn_index_append(struct txn_index *index, const struct aborted_transaction *transaction)
{
    struct txn_block *block = atomic_load(&index->block);
    uint32_t count = txn_index_count(index);
    check(block && count < block->capacity);
    check(count == 0 || block->entries[count - 1].last_offset < transaction->last_offset);
    block->entries[count] = *transaction;
    atomic_store_explicit(&block->count, count + 1, memory_order_release);
}

void txn_index_reset(struct txn_index *index)
{
    free(atomic_exchange(&index->block, NULL));
    index->saved_count = 0;
    index->is_rewritten = true;
}

bool txn_index_parse(struct txn_index *index, slice bytes, int64_t base_offset, int64_t next_base,
                     uint64_t segment_size)
{
    struct aborted_transaction entry;
    int64_t last = -1;
    /* Each entry has its marker in the segment, so a longer file says more than can be. Kafka does not mind a
     * torn last entry; an appender would write behind it. */
    bool is_good = bytes.size % ABORTED_TRANSACTION_SIZE == 0 &&
                   bytes.size / ABORTED_TRANSACTION_SIZE <= segment_size / BATCH_HEADER_SIZE;
    uint32_t count = is_good ? (uint32_t)(bytes.size / ABORTED_TRANSACTION_SIZE) : 0;
    if (is_good && !txn_index_reserve(index, NULL, count))
        is_good = false;
    for (uint32_t i = 0; i < count && is_good; i++) {
        is_good = aborted_transaction_decode(bytes.data + (size_t)i * ABORTED_TRANSACTION_SIZE, &entry) &&
                  entry.last_offset >= base_offset && entry.last_offset < next_base &&
                  entry.last_offset > last;
        last = entry.last_offset;
        if (is_good)
            txn_index_append(index, &entry);
    }
    if (!is_good)
        txn_index_reset(index);
    else
        index->saved_count = count;
    return is_good;
}

enum file_status txn_index_load(struct txn_index *index, const struct segment_home *home, int64_t base_offset,
                                int64_t next_base, uint64_t segment_size, bool *is_good)
{
    char path[SEGMENT_PATH_MAX];
    struct file_info info;
    uint8_t *bytes;
    size_t size;
    *is_good = true;
    segment_path(home, base_offset, ".txnindex", path);
    enum file_status status = file_info(home->env->files, path, &info);
    if (status == FILE_NOT_FOUND || (status == FILE_OK && info.is_regular && info.size == 0))
        return FILE_OK;
    if (status != FILE_OK)
        return status;
    *is_good = info.is_regular && info.size <= FILE_SIZE_MAX;
    if (!*is_good) {
        txn_index_reset(index);
        return FILE_OK;
    }
    status = file_read_all(home->env->files, path, FILE_SIZE_MAX, &bytes, &size);
    if (status != FILE_OK)
        return status;
    *is_good = txn_index_parse(index, slice_of(bytes, size), base_offset, next_base, segment_size);
    free(bytes);
    return FILE_OK;
}

/* Writes the entries from saved_count on. */
static enum file_status write_entries(struct txn_index *index, uint32_t count)
{
    const struct txn_block *block = atomic_load(&index->block);
    uint8_t bytes[ENCODED_COUNT * ABORTED_TRANSACTION_SIZE];
    enum file_status status = FILE_OK;
    while (index->saved_count < count && status == FILE_OK) {
        uint32_t n = count - index->saved_count < ENCODED_COUNT ? count - index->saved_count : ENCODED_COUNT;
        for (uint32_t i = 0; i < n; i++)
            aborted_transaction_encode(&block->entries[index->saved_count + i],
                                       bytes + (size_t)i * ABORTED_TRANSACTION_SIZE);
        status = file_pwrite(index->file->file, bytes, (size_t)n * ABORTED_TRANSACTION_SIZE,
                             (uint64_t)index->saved_count * ABORTED_TRANSACTION_SIZE);
        if (status == FILE_OK)
            index->saved_count += n;
    }
    return status;
}

enum file_status txn_index_save(struct txn_index *index, const struct segment_home *home, int64_t base_offset,
                                bool *is_made)
{
    char path[SEGMENT_PATH_MAX];
    uint32_t count = txn_index_count(index);
    int truncate = index->is_rewritten ? FILE_TRUNCATE : 0;
    enum file_status status = FILE_OK;
    *is_made = false;
    if (txn_index_is_saved(index))
        return FILE_OK;
    segment_path(home, base_offset, ".txnindex", path);
    if (index->is_rewritten && count == 0) { /* there is nothing to tell */
        txn_index_close_file(index, home);
        status = file_unlink(home->env->files, path);
        *is_made = status == FILE_OK;
        index->is_rewritten = status != FILE_OK && status != FILE_NOT_FOUND;
        return status == FILE_NOT_FOUND ? FILE_OK : status;
    }
    *is_made = index->saved_count == 0;
    if (truncate)
        txn_index_close_file(index, home);
    if (!index->file)
        status = open_file_open(home, path, FILE_READ | FILE_WRITE | FILE_CREATE | truncate, &index->file);
    if (status == FILE_OK)
        status = write_entries(index, count);
    /* A write that failed half way is written again at the same place. */
    index->is_rewritten = index->is_rewritten && status != FILE_OK;
    if (index->is_rewritten)
        index->saved_count = 0;
    return status;
}

enum file_status txn_index_flush(struct txn_index *index, const struct segment_home *home)
{
    enum file_status status = index->file ? file_flush(index->file->file) : FILE_OK;
    if (status == FILE_OK)
        txn_index_close_file(index, home);
    return status;
}

void txn_index_close_file(struct txn_index *index, const struct segment_home *home)
{
    open_file_retire(home, index->file);
    index->file = NULL;
}

uint32_t txn_index_find(const struct txn_index *index, int64_t offset)
{
    const struct txn_block *block =
        atomic_load_explicit(&((struct txn_index *)index)->block, memory_order_acquire);
    uint32_t low = 0, high = block ? atomic_load_explicit(&block->count, memory_order_acquire) : 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (block->entries[middle].last_offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
