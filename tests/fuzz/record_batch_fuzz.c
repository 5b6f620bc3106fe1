/* Foreign bytes as record batches: validation and iteration agree, and both survive everything. */
#include <stdlib.h>
#include <string.h>

#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"
#include "protocol/record_batch.h"

enum { OUTPUT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

/* Reads every record to its last byte, so that AddressSanitizer sees what does not belong to it. */
static enum batch_status read_records(const struct batch_view *batch, struct arena *arena, int32_t *count)
{
    struct record_iterator *iterator = record_iterator_open(batch, arena, OUTPUT_MAX);
    struct record record;
    enum batch_status status;
    *count = 0;
    check(iterator != NULL);
    while ((status = record_iterator_next(iterator, &record)) == BATCH_OK) {
        struct record_header header;
        int32_t header_count = 0;
        if (record.key.size > 0)
            sink = record.key.data[0] ^ record.key.data[record.key.size - 1];
        if (record.value.size > 0)
            sink = record.value.data[0] ^ record.value.data[record.value.size - 1];
        while (record_header_next(&record.headers, &header))
            header_count++;
        check(header_count == record.header_count && record.headers.size == 0);
        ++*count;
    }
    record_iterator_close(iterator);
    return status;
}

static void judge(struct batch_view *batch, const struct batch_rules *rules, struct arena *arena)
{
    struct batch_verdict verdict;
    int32_t count;
    enum batch_status status = batch_validate(batch, rules, arena, &verdict);
    enum batch_status read = read_records(batch, arena, &count);
    check(status != BATCH_SHORT && (status == BATCH_OK) == (verdict.message == NULL));
    check(verdict.record_error_count >= 0 && verdict.record_error_count <= BATCH_RECORD_ERRORS_MAX);
    if (status != BATCH_OK)
        return;
    check(read == BATCH_SHORT && count == batch->record_count);
    batch_set_timestamps(batch, rules, &verdict);
    batch_assign(batch, 12345, 6);
    check(batch_crc_ok(batch));
    check(batch_decoded_size_guess(batch) >= batch->size - BATCH_HEADER_SIZE);
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        struct batch_view other;
        status = batch_recompress(batch, (enum codec)codec, 0, arena, OUTPUT_MAX, &other);
        check(status == BATCH_OK && batch_crc_ok(&other));
        check(read_records(&other, arena, &count) == BATCH_SHORT && count == batch->record_count);
    }
}

/* The first byte chooses the rules and whether the header is mended, as a fuzzer finds no CRC. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint8_t choice = data[0];
    uint8_t *bytes = malloc(size);
    memcpy(bytes, data + 1, size - 1);
    slice input = slice_of(bytes, size - 1);
    if (!(choice & 0x80) && input.size >= BATCH_HEADER_SIZE) {
        store_be64(bytes, 0);
        store_be32(bytes + BATCH_LENGTH, (uint32_t)(input.size - BATCH_OVERHEAD));
        bytes[BATCH_MAGIC] = 2;
        store_be32(bytes + BATCH_CRC, crc32c(0, bytes + BATCH_ATTRIBUTES, input.size - BATCH_ATTRIBUTES));
    }
    struct arena arena;
    struct batch_view batch;
    arena_init(&arena, NULL);
    const struct batch_rules rules = {
        .now_ms = 1700000000000,
        .timestamp_before_max_ms = choice & 1 ? INT64_MAX : 1000,
        .timestamp_after_max_ms = choice & 2 ? INT64_MAX : 3600000,
        .log_append_time = choice & 4,
        .key_required = choice & 8,
        .output_max = OUTPUT_MAX,
    };
    if (batch_view(input, &batch) == BATCH_OK)
        judge(&batch, &rules, &arena);
    arena_destroy(&arena);
    free(bytes);
    return 0;
}
