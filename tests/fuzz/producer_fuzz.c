/* Any bytes as producer snapshot, as the file beside it, and as a transaction marker: decoded, used, written
 * again. */
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"
#include "storage/producer_snapshot.h"

enum { OFFSET = 1000000, JUDGED = 4 };

static bool is_same_batch(const struct producer_batch *a, const struct producer_batch *b)
{
    return a->last_offset == b->last_offset && a->last_sequence == b->last_sequence &&
           a->offset_delta == b->offset_delta;
}

/* What was believed keeps the rules that answers rely on. */
static void check_entry(const struct producer_entry *entry)
{
    check(entry->producer_id >= 0 && entry->batch_count <= PRODUCER_BATCHES_MAX);
    check(entry->current_txn_first_offset >= -1 && entry->written_ms >= 0);
    for (size_t i = 0; i < entry->batch_count; i++) {
        const struct producer_batch *batch = &entry->batches[i];
        check(batch->last_offset < OFFSET && batch->offset_delta >= 0 &&
              batch->offset_delta <= batch->last_offset);
        check(i == 0 || entry->batches[i - 1].last_offset < batch->last_offset - batch->offset_delta);
    }
}

/* A batch of every kind for every producer; and the state stays one that can be written. */
static void use_state(struct producer_state **state, const uint8_t *data, size_t size)
{
    struct producer_entry entry;
    uint64_t cursor = 0;
    struct batch_view batches[JUDGED];
    size_t count = 0;
    for (; count < JUDGED && producer_state_next(*state, &cursor, &entry); count++) {
        int32_t last = entry.batch_count ? entry.batches[entry.batch_count - 1].last_sequence : -1;
        uint8_t dice = size > count ? data[count] : 0;
        batches[count] = (struct batch_view){
            .producer_id = entry.producer_id,
            .producer_epoch = (int16_t)(entry.epoch + (dice & 1)),
            .base_sequence = dice & 2 ? (int32_t)dice : (int32_t)(((uint32_t)last + 1) & INT32_MAX),
            .last_offset_delta = dice >> 2,
            .attributes = dice & 64 ? BATCH_ATTRIBUTE_TRANSACTIONAL : 0,
        };
    }
    struct producer_judge judge;
    struct producer_batch original;
    enum producer_verdict verdicts[JUDGED];
    int64_t next = OFFSET;
    check(producer_judge_begin(&judge, *state, count, 5, 1000));
    for (size_t i = 0; i < count; i++) {
        verdicts[i] = producer_judge_batch(&judge, &batches[i], next, &original);
        check(verdicts[i] != PRODUCER_DUPLICATE || original.last_offset < next);
        batches[i].base_offset = next;
        next += verdicts[i] == PRODUCER_ACCEPTED ? batches[i].last_offset_delta + 1 : 0;
    }
    check(producer_state_reserve(state, judge.producer_count, judge.older_count));
    producer_judge_end(&judge);
    for (size_t i = 0; i < count; i++) {
        if (verdicts[i] == PRODUCER_ACCEPTED)
            producer_state_note(*state, &batches[i], 5, 1000);
    }
    producer_state_trim(*state, 3, 2000, 1000, 2);
}

/* What is written is read as it was. */
static void write_and_read(const struct producer_state *state)
{
    struct producer_files files;
    struct producer_entry *entries, entry;
    size_t count;
    uint64_t cursor = 0;
    check(producer_files_encode(state, &files));
    check(producer_snapshot_decode(slice_of(files.snapshot, files.snapshot_size), 2 * OFFSET, &entries,
                                   &count) == PRODUCER_DECODED);
    if (files.history)
        check(producer_history_decode(slice_of(files.history, files.history_size),
                                      slice_of(files.snapshot, files.snapshot_size), entries,
                                      count) == PRODUCER_DECODED);
    for (size_t i = 0; i < count; i++) {
        check(producer_state_next(state, &cursor, &entry));
        check(entries[i].producer_id == entry.producer_id && entries[i].batch_count == entry.batch_count);
        for (size_t k = 0; k < entry.batch_count; k++)
            check(is_same_batch(&entries[i].batches[k], &entry.batches[k]));
    }
    free(entries);
    producer_files_free(&files);
}

static void use_entries(const struct producer_entry *entries, size_t count, const uint8_t *data, size_t size)
{
    struct producer_state *state = NULL;
    for (size_t i = 0; i < count; i++) {
        check_entry(&entries[i]);
        check(producer_state_reserve(&state, 1, 1));
        producer_state_put(state, &entries[i]);
    }
    if (state) {
        write_and_read(state);
        use_state(&state, data, size);
        write_and_read(state);
    }
    producer_state_destroy(state);
}

/* The input with right checksums, so that what is behind them is reached. */
static void mend(uint8_t *snapshot, size_t snapshot_size, uint8_t *history, size_t history_size)
{
    if (snapshot_size >= PRODUCER_SNAPSHOT_HEADER_SIZE)
        store_be32(snapshot + 2, crc32c(0, snapshot + 6, snapshot_size - 6));
    if (snapshot_size >= PRODUCER_SNAPSHOT_HEADER_SIZE && history_size >= PRODUCER_HISTORY_HEADER_SIZE + 4) {
        memcpy(history, "RunnelP1", 8);
        memcpy(history + 8, snapshot + 2, 4);
        store_be32(history + history_size - 4, crc32c(0, history, history_size - 4));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct producer_marker marker;
    struct producer_entry *entries;
    size_t count;
    if (size < 2)
        return 0;
    (void)producer_marker_read(slice_of(data, size), &marker);
    /* Two bytes say how many the snapshot has; the highest bit, whether checksums are to be mended. */
    size_t snapshot_size = load_be16(data) & 0x7fff;
    bool mended = (data[0] & 0x80) != 0;
    uint8_t *bytes = malloc(size);
    check(bytes != NULL);
    memcpy(bytes, data + 2, size - 2);
    snapshot_size = snapshot_size > size - 2 ? size - 2 : snapshot_size;
    uint8_t *beside = bytes + snapshot_size;
    size_t beside_size = size - 2 - snapshot_size;
    if (mended)
        mend(bytes, snapshot_size, beside, beside_size);
    slice snapshot = slice_of(bytes, snapshot_size);
    if (producer_snapshot_decode(snapshot, OFFSET, &entries, &count) == PRODUCER_DECODED) {
        use_entries(entries, count, data, size);
        if (producer_history_decode(slice_of(beside, beside_size), snapshot, entries, count) ==
            PRODUCER_DECODED)
            use_entries(entries, count, data, size);
        free(entries);
    }
    free(bytes);
    return 0;
}
