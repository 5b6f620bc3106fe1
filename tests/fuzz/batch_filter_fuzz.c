/* Foreign bytes as batches that are compacted: whatever stays is a batch with the same offsets, whose records
 * are those that were to stay, and which the same filter leaves as it is. */
#include <stdlib.h>
#include <string.h>

#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"
#include "protocol/batch_filter.h"

enum { OUTPUT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

/* What stays is drawn from the record itself, so that a second pass decides alike. */
struct choice {
    uint8_t mask;
    int32_t kept;
    uint64_t sum; /* of what was kept */
};

static uint64_t sum_of(const struct record *record)
{
    uint64_t sum = (uint64_t)record->offset * 31 + (uint64_t)record->timestamp;
    sum = sum * 31 + crc32c(0, record->key.data ? record->key.data : (const uint8_t *)"", record->key.size);
    sum = sum * 31 +
          crc32c(0, record->value.data ? record->value.data : (const uint8_t *)"", record->value.size);
    sum = sum * 31 + crc32c(0, record->headers.data, record->headers.size);
    return sum + (uint64_t)record->header_count + record->attributes;
}

static bool keeps(void *context, const struct record *record)
{
    struct choice *choice = context;
    bool stays = ((uint8_t)record->offset & choice->mask) != 0;
    if (stays) {
        choice->kept++;
        choice->sum = choice->sum * 31 + sum_of(record);
    }
    return stays;
}

static void check_result(const struct batch_view *batch, const struct batch_filter *filter,
                         const struct batch_filtered *filtered, struct arena *arena)
{
    const struct choice *choice = filter->context;
    struct batch_view result;
    if (filtered->bytes.size == 0) {
        check(!filter->stays_empty && choice->kept == 0);
        return;
    }
    check(batch_view(filtered->bytes, &result) == BATCH_OK && batch_crc_ok(&result));
    check(result.size == filtered->bytes.size);
    check(result.base_offset == batch->base_offset && result.last_offset_delta == batch->last_offset_delta);
    check(result.leader_epoch == batch->leader_epoch && result.producer_id == batch->producer_id);
    check(result.base_sequence == batch->base_sequence && result.producer_epoch == batch->producer_epoch);
    check(result.record_count == choice->kept && filtered->record_count == choice->kept);
    check(result.max_timestamp == filtered->max_timestamp);
    if (choice->kept == 0)
        return;
    check(batch_codec(&result) == batch_codec(batch));
    /* The same records, and nothing to do for a second pass. */
    struct choice again = { .mask = choice->mask };
    struct batch_filter second = *filter;
    struct batch_filtered twice;
    second.context = &again;
    check(batch_filter(&result, &second, arena, &twice) == BATCH_OK);
    check(twice.is_unchanged && again.kept == choice->kept);
    /* Timestamps of a batch by append time are its largest one, which may be another record's. */
    if (!(batch->attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME))
        check(again.sum == choice->sum);
}

/* The first two bytes choose what stays and whether the header is mended, as a fuzzer finds no CRC. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 + BATCH_HEADER_SIZE)
        return 0;
    uint8_t flags = data[0];
    struct choice choice = { .mask = data[1] };
    size_t batch_size = size - 2;
    uint8_t *bytes = malloc(batch_size);
    memcpy(bytes, data + 2, batch_size);
    store_be32(bytes + BATCH_LENGTH, (uint32_t)(batch_size - BATCH_OVERHEAD));
    bytes[BATCH_MAGIC] = 2;
    struct arena arena;
    struct batch_view batch;
    struct batch_filtered filtered;
    struct batch_filter filter = {
        .keeps = keeps,
        .context = &choice,
        .drops_all = (flags & 1) != 0,
        .is_empty_marker = (flags & 2) != 0,
        .stays_empty = (flags & 4) != 0,
        .delete_horizon_ms = 1700000000000 + flags,
        .output_max = OUTPUT_MAX,
    };
    arena_init(&arena, NULL);
    if (batch_view(slice_of(bytes, batch_size), &batch) == BATCH_OK &&
        batch_filter(&batch, &filter, &arena, &filtered) == BATCH_OK) {
        for (size_t i = 0; i < filtered.bytes.size; i++)
            sink = filtered.bytes.data[i];
        if (!filtered.is_unchanged) /* what is not touched keeps the CRC that it has */
            check_result(&batch, &filter, &filtered, &arena);
    }
    arena_destroy(&arena);
    free(bytes);
    return 0;
}
