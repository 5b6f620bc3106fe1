/* The end of a transaction, as the one record of a control batch says it. */
#include "storage/producer_state.h"

/* A marker is below 100 bytes, and never compressed by Kafka; what is larger says something else. */
enum { MARKER_OUTPUT_MAX = 4096, MARKER_KEY_SIZE = 4, MARKER_VALUE_SIZE = 6 };
enum { MARKER_ABORT = 0, MARKER_COMMIT = 1 };

static bool marker_of(const struct batch_view *batch, const struct record *record,
                      struct producer_marker *out)
{
    if (record->key.size < MARKER_KEY_SIZE || record->value.size < MARKER_VALUE_SIZE)
        return false;
    uint16_t type = load_be16(record->key.data + 2);
    if (type != MARKER_ABORT && type != MARKER_COMMIT)
        return false;
    *out = (struct producer_marker){
        .producer_id = batch->producer_id,
        .timestamp = record->timestamp,
        .coordinator_epoch = (int32_t)load_be32(record->value.data + 2),
        .producer_epoch = batch->producer_epoch,
        .is_abort = type == MARKER_ABORT,
    };
    return true;
}

bool producer_marker_read(slice bytes, struct producer_marker *out)
{
    struct batch_view batch;
    struct record record;
    struct arena arena;
    bool is_marker = false;
    if (batch_view(bytes, &batch) != BATCH_OK || (batch.attributes & BATCH_ATTRIBUTE_CONTROL) == 0 ||
        batch.producer_id < 0 || batch.record_count <= 0)
        return false;
    arena_init(&arena, NULL);
    struct record_iterator *iterator = record_iterator_open(&batch, &arena, MARKER_OUTPUT_MAX);
    if (iterator) {
        is_marker = record_iterator_next(iterator, &record) == BATCH_OK && marker_of(&batch, &record, out);
        record_iterator_close(iterator);
    }
    arena_destroy(&arena);
    return is_marker;
}
