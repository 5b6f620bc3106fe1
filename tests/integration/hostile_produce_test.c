/* Hostile record batches and names on a live broker: each gets Kafka's error, nothing of it is stored.
 * Rows are those of tests/integration/hostile.md. */
#include <check.h>
#include <stdlib.h>
#include <time.h>
#include <zlib.h>
#include <zstd.h>

#include "protocol/base/crc32c.h"
#include "protocol/errors.h"
#include "tests/support/load.h"
#include "tests/support/one_partition.h"
#include "tests/support/served.h"
#include "tests/support/wire_client.h"

enum { TIMEOUT_MS = 10000, KEY_PRODUCE = 0, KEY_FETCH = 1, KEY_LIST_OFFSETS = 2, KEY_METADATA = 3 };

static struct served served;
static struct wire_client client;
static struct arena arena;

/* -- building blocks ------------------------------------------------------------------------------ */

/* A valid batch of `count` records in memory of the arena, with room behind it. */
static struct batch_view good_batch(enum codec codec, int count)
{
    struct batch_builder_options options = { NO_PRODUCER, .attributes = (uint16_t)codec };
    struct batch_view batch = small_batch(&arena, &options, count);
    uint8_t *copy = arena_alloc(&arena, batch.size + 4096);
    memcpy(copy, batch.data, batch.size);
    batch.data = copy;
    return batch;
}

static void set_crc(struct batch_view *batch)
{
    store_be32(batch->data + BATCH_LENGTH, (uint32_t)(batch->size - BATCH_OVERHEAD));
    store_be32(batch->data + BATCH_CRC,
               crc32c(0, batch->data + BATCH_ATTRIBUTES, batch->size - BATCH_ATTRIBUTES));
}

/* A header of `count` records with this payload, claiming this codec; the CRC is right. */
static struct batch_view batch_of_payload(enum codec codec, int32_t count, slice payload)
{
    struct batch_view batch = { .size = BATCH_HEADER_SIZE + payload.size };
    batch.data = arena_alloc_array(&arena, 1, batch.size);
    uint8_t *p = batch.data;
    p[BATCH_MAGIC] = 2;
    store_be32(p + BATCH_LEADER_EPOCH, UINT32_MAX);
    store_be16(p + BATCH_ATTRIBUTES, (uint16_t)codec);
    store_be32(p + BATCH_LAST_OFFSET_DELTA, (uint32_t)(count - 1));
    store_be64(p + BATCH_BASE_TIMESTAMP, 1700000000000);
    store_be64(p + BATCH_MAX_TIMESTAMP, 1700000000000);
    store_be64(p + BATCH_PRODUCER_ID, UINT64_MAX);
    store_be16(p + BATCH_PRODUCER_EPOCH, UINT16_MAX);
    store_be32(p + BATCH_BASE_SEQUENCE, UINT32_MAX);
    store_be32(p + BATCH_RECORD_COUNT, (uint32_t)count);
    memcpy(p + BATCH_HEADER_SIZE, payload.data, payload.size);
    set_crc(&batch);
    return batch;
}

static int32_t produce_timeout_ms = TIMEOUT_MS;

/* The error of one partition; -2 when the connection was closed instead. */
static int16_t produce(const char *name, int16_t version, int16_t acks, slice transactional_id, slice records)
{
    struct one_produce one;
    struct produce_response response;
    one_produce(&one, name, 0, records);
    one.request.transactional_id = transactional_id;
    one.request.acks = acks;
    one.request.timeout_ms = produce_timeout_ms;
    if (!wire_call(&client, KEY_PRODUCE, version, &one.request, &response))
        return -2;
    ck_assert_int_eq(response.topics[0].partitions[0].error_code == ERR_NONE,
                     response.topics[0].partitions[0].base_offset >= 0);
    return response.topics[0].partitions[0].error_code;
}

static int64_t end_offset(const char *name)
{
    struct one_list_offsets one;
    struct list_offsets_response response;
    one_list_offsets(&one, name, 0, -1);
    ck_assert(wire_call(&client, KEY_LIST_OFFSETS, 7, &one.request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
    return response.topics[0].partitions[0].offset;
}

/* -- one way to spoil a good batch each ------------------------------------------------------------- */

static void wrong_crc(struct batch_view *b)
{
    b->data[BATCH_CRC] ^= 1;
}

static void flipped_payload(struct batch_view *b)
{
    b->data[b->size - 1] ^= 1;
}

static void length_below_header(struct batch_view *b)
{
    store_be32(b->data + BATCH_LENGTH, 20);
}

static void length_negative(struct batch_view *b)
{
    store_be32(b->data + BATCH_LENGTH, (uint32_t)-1);
}

static void length_beyond(struct batch_view *b)
{
    store_be32(b->data + BATCH_LENGTH, (uint32_t)(b->size - BATCH_OVERHEAD + 1));
}

static void magic_0(struct batch_view *b)
{
    b->data[BATCH_MAGIC] = 0;
}

static void magic_1(struct batch_view *b)
{
    b->data[BATCH_MAGIC] = 1;
}

static void magic_3(struct batch_view *b)
{
    b->data[BATCH_MAGIC] = 3;
}

static void magic_minus_1(struct batch_view *b)
{
    b->data[BATCH_MAGIC] = 0xff;
}

static void two_batches(struct batch_view *b)
{
    memcpy(b->data + b->size, b->data, b->size);
    b->size *= 2;
}

static void count_0(struct batch_view *b)
{
    store_be32(b->data + BATCH_RECORD_COUNT, 0);
    set_crc(b);
}

static void count_negative(struct batch_view *b)
{
    store_be32(b->data + BATCH_RECORD_COUNT, (uint32_t)-7);
    set_crc(b);
}

static void count_huge(struct batch_view *b)
{
    store_be32(b->data + BATCH_RECORD_COUNT, INT32_MAX);
    store_be32(b->data + BATCH_LAST_OFFSET_DELTA, INT32_MAX - 1);
    set_crc(b);
}

static void last_delta_too_large(struct batch_view *b)
{
    store_be32(b->data + BATCH_LAST_OFFSET_DELTA, 17);
    set_crc(b);
}

static void last_delta_negative(struct batch_view *b)
{
    store_be32(b->data + BATCH_LAST_OFFSET_DELTA, (uint32_t)-1);
    set_crc(b);
}

static void last_delta_overflows(struct batch_view *b)
{
    store_be32(b->data + BATCH_LAST_OFFSET_DELTA, INT32_MAX);
    set_crc(b);
}

static void base_offset_5(struct batch_view *b)
{
    store_be64(b->data + BATCH_BASE_OFFSET, 5);
}

/* The first record: length, attributes, timestamp delta, offset delta, key length, ... */
enum { RECORD_LENGTH = BATCH_HEADER_SIZE, RECORD_ATTRIBUTES, RECORD_TIMESTAMP, RECORD_OFFSET, RECORD_KEY };

static void offset_delta_1_first(struct batch_view *b)
{
    b->data[RECORD_OFFSET] = 2; /* zig-zag 1 */
    set_crc(b);
}

static void record_length_too_large(struct batch_view *b)
{
    b->data[RECORD_LENGTH] = 0x7e; /* zig-zag 63 */
    set_crc(b);
}

static void record_length_negative(struct batch_view *b)
{
    b->data[RECORD_LENGTH] = 0x01;
    set_crc(b);
}

static void key_length_too_large(struct batch_view *b)
{
    b->data[RECORD_KEY] = 0x7e;
    set_crc(b);
}

static void header_count_negative(struct batch_view *b)
{
    b->data[b->size - 1] = 0x01; /* the last record's last byte is its header count */
    set_crc(b);
}

static void header_count_too_large(struct batch_view *b)
{
    b->data[b->size - 1] = 0x7e;
    set_crc(b);
}

static void control_bit(struct batch_view *b)
{
    store_be16(b->data + BATCH_ATTRIBUTES, BATCH_ATTRIBUTE_CONTROL);
    set_crc(b);
}

static void transactional_without_id(struct batch_view *b)
{
    store_be16(b->data + BATCH_ATTRIBUTES, BATCH_ATTRIBUTE_TRANSACTIONAL);
    set_crc(b);
}

static void codec_5(struct batch_view *b)
{
    store_be16(b->data + BATCH_ATTRIBUTES, 5);
    set_crc(b);
}

static void codec_7(struct batch_view *b)
{
    store_be16(b->data + BATCH_ATTRIBUTES, 7);
    set_crc(b);
}

static void reserved_bits(struct batch_view *b)
{
    store_be16(b->data + BATCH_ATTRIBUTES, 0x8000);
    set_crc(b);
}

static void producer_without_sequence(struct batch_view *b)
{
    store_be64(b->data + BATCH_PRODUCER_ID, 7);
    store_be16(b->data + BATCH_PRODUCER_EPOCH, 0);
    set_crc(b);
}

static void timestamp_far_future(struct batch_view *b)
{
    store_be64(b->data + BATCH_BASE_TIMESTAMP, UINT64_C(32503680000000)); /* the year 3000 */
    store_be64(b->data + BATCH_MAX_TIMESTAMP, UINT64_C(32503680000000));
    set_crc(b);
}

static void timestamp_overflows(struct batch_view *b)
{
    store_be64(b->data + BATCH_BASE_TIMESTAMP, INT64_MAX);
    store_be64(b->data + BATCH_MAX_TIMESTAMP, INT64_MAX);
    set_crc(b);
}

static void claims_gzip(struct batch_view *b)
{
    store_be16(b->data + BATCH_ATTRIBUTES, CODEC_GZIP);
    set_crc(b);
}

static void claims_lz4(struct batch_view *b)
{
    store_be16(b->data + BATCH_ATTRIBUTES, CODEC_LZ4);
    set_crc(b);
}

static void claims_zstd(struct batch_view *b)
{
    store_be16(b->data + BATCH_ATTRIBUTES, CODEC_ZSTD);
    set_crc(b);
}

static void claims_snappy(struct batch_view *b)
{
    store_be16(b->data + BATCH_ATTRIBUTES, CODEC_SNAPPY);
    set_crc(b);
}

struct spoil_row {
    int row;
    const char *what;
    void (*spoil)(struct batch_view *batch);
    int16_t expected;
};

static const struct spoil_row spoil_rows[] = {
    { 53, "wrong CRC", wrong_crc, ERR_CORRUPT_MESSAGE },
    { 53, "one bit of the payload flipped", flipped_payload, ERR_CORRUPT_MESSAGE },
    { 54, "length below the header", length_below_header, ERR_CORRUPT_MESSAGE },
    { 54, "negative length", length_negative, ERR_CORRUPT_MESSAGE },
    { 54, "length beyond what was sent: no whole batch is there", length_beyond, ERR_INVALID_RECORD },
    { 55, "magic 0", magic_0, ERR_INVALID_RECORD },
    { 55, "magic 1", magic_1, ERR_INVALID_RECORD },
    { 55, "magic 3", magic_3, ERR_INVALID_RECORD },
    { 55, "magic -1", magic_minus_1, ERR_INVALID_RECORD },
    { 56, "two batches", two_batches, ERR_INVALID_RECORD },
    { 57, "record count 0", count_0, ERR_INVALID_RECORD },
    { 57, "record count -7", count_negative, ERR_INVALID_RECORD },
    { 57, "record count 2^31-1", count_huge, ERR_INVALID_RECORD },
    { 58, "last offset delta above count - 1", last_delta_too_large, ERR_INVALID_RECORD },
    { 58, "last offset delta -1", last_delta_negative, ERR_INVALID_RECORD },
    { 58, "last offset delta 2^31-1", last_delta_overflows, ERR_INVALID_RECORD },
    { 58, "base offset 5", base_offset_5, ERR_INVALID_RECORD },
    { 59, "offset deltas begin with 1", offset_delta_1_first, ERR_INVALID_RECORD },
    { 60, "a record runs past the batch", record_length_too_large, ERR_INVALID_RECORD },
    { 60, "a record of negative length", record_length_negative, ERR_INVALID_RECORD },
    { 60, "a key longer than its record", key_length_too_large, ERR_INVALID_RECORD },
    { 61, "header count -1", header_count_negative, ERR_INVALID_RECORD },
    { 61, "header count beyond the record", header_count_too_large, ERR_INVALID_RECORD },
    { 62, "timestamps in the year 3000", timestamp_far_future, ERR_INVALID_TIMESTAMP },
    { 62, "base timestamp + delta overflows", timestamp_overflows, ERR_INVALID_TIMESTAMP },
    { 63, "control bit", control_bit, ERR_INVALID_RECORD },
    { 64, "transactional bit without a transactional id", transactional_without_id,
      ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED },
    { 66, "producer id without a sequence", producer_without_sequence, ERR_INVALID_RECORD },
    { 68, "codec 5", codec_5, ERR_UNSUPPORTED_COMPRESSION_TYPE },
    { 68, "codec 7", codec_7, ERR_UNSUPPORTED_COMPRESSION_TYPE },
    { 68, "reserved attribute bits", reserved_bits, ERR_INVALID_RECORD },
    { 72, "plain records that claim to be lz4", claims_lz4, ERR_CORRUPT_MESSAGE },
    { 73, "plain records that claim to be zstd", claims_zstd, ERR_CORRUPT_MESSAGE },
    { 74, "plain records that claim to be gzip", claims_gzip, ERR_CORRUPT_MESSAGE },
    { 71, "plain records that claim to be snappy", claims_snappy, ERR_CORRUPT_MESSAGE },
};

START_TEST(spoilt_batches)
{
    const struct spoil_row *row = &spoil_rows[_i];
    struct batch_view batch = good_batch(CODEC_NONE, 3);
    int64_t before = end_offset("hostile");
    row->spoil(&batch);
    int16_t got = produce("hostile", 9, -1, SLICE_NULL, slice_of(batch.data, batch.size));
    ck_assert_msg(got == row->expected, "row %d, %s: %s, expected %s", row->row, row->what, error_name(got),
                  error_name(row->expected));
    ck_assert_int_eq(end_offset("hostile"), before);
}
END_TEST

/* The control of the table above: unspoilt, the same batch is stored. */
START_TEST(the_same_batch_unspoilt)
{
    struct batch_view batch = good_batch((enum codec)_i, 3);
    int64_t before = end_offset("hostile");
    ck_assert_int_eq(produce("hostile", 9, -1, SLICE_NULL, slice_of(batch.data, batch.size)), ERR_NONE);
    ck_assert_int_eq(end_offset("hostile"), before + 3);
}
END_TEST

/* Rows 50, 52, 69, 63-64. */
START_TEST(requests_with_wrong_fields)
{
    struct batch_view plain = good_batch(CODEC_NONE, 1), zstd = good_batch(CODEC_ZSTD, 1);
    slice records = slice_of(plain.data, plain.size);
    ck_assert_int_eq(produce("hostile", 9, 2, SLICE_NULL, records), ERR_INVALID_REQUIRED_ACKS);
    ck_assert_int_eq(produce("hostile", 9, -2, SLICE_NULL, records), ERR_INVALID_REQUIRED_ACKS);
    ck_assert_int_eq(produce("hostile", 9, 32767, SLICE_NULL, records), ERR_INVALID_REQUIRED_ACKS);
    ck_assert_int_eq(produce("hostile", 9, 1, SLICE_NULL, SLICE_NULL), ERR_INVALID_RECORD);
    ck_assert_int_eq(produce("hostile", 9, 1, SLICE_NULL, SLICE_LITERAL("")), ERR_INVALID_RECORD);
    ck_assert_int_eq(produce("hostile", 6, 1, SLICE_NULL, slice_of(zstd.data, zstd.size)),
                     ERR_UNSUPPORTED_COMPRESSION_TYPE);
    ck_assert_int_eq(produce("hostile", 7, 1, SLICE_NULL, slice_of(zstd.data, zstd.size)), ERR_NONE);
    ck_assert_int_eq(produce("no-such-topic", 9, 1, SLICE_NULL, records), ERR_UNKNOWN_TOPIC_OR_PARTITION);
}
END_TEST

/* Row 51: nothing can be answered, so the connection closes. */
START_TEST(acks_0_with_an_error)
{
    struct wire_client other;
    struct one_produce one;
    one_produce(&one, "hostile", 0, SLICE_LITERAL("no batch"));
    one.request.acks = 0;
    ck_assert(wire_connect(&other, served.bootstrap, TIMEOUT_MS));
    ck_assert(wire_send(&other, KEY_PRODUCE, 9, &one.request));
    ck_assert(wire_is_closed_by_peer(&other));
    wire_close(&other);
}
END_TEST

/* Row 54: larger than max.message.bytes. */
START_TEST(batch_above_max_message_bytes)
{
    enum { SIZE = 1048589 - BATCH_HEADER_SIZE };
    uint8_t *payload = arena_alloc_array(&arena, 1, SIZE);
    struct batch_view batch = batch_of_payload(CODEC_NONE, 1, slice_of(payload, SIZE));
    ck_assert_int_eq(produce("hostile", 9, 1, SLICE_NULL, slice_of(batch.data, batch.size)),
                     ERR_MESSAGE_TOO_LARGE);
}
END_TEST

/* Row 70: a megabyte that decodes to far more than is allowed, in every codec that can. */
START_TEST(decompression_bombs)
{
    enum { ZEROS = 400 << 20 };
    uint64_t before = process_rss(broker_process_pid(served.broker));
    uint8_t *zeros = calloc(1, ZEROS);
    size_t capacity = ZSTD_compressBound(ZEROS);
    uint8_t *packed = malloc(capacity);
    size_t size = ZSTD_compress(packed, capacity, zeros, ZEROS, 1);
    ck_assert_uint_lt(size, 1000000);
    struct batch_view batch = batch_of_payload(CODEC_ZSTD, 1, slice_of(packed, size));
    int16_t zstd = produce("hostile", 9, 1, SLICE_NULL, slice_of(batch.data, batch.size));

    z_stream stream = { 0 };
    ck_assert_int_eq(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = zeros;
    stream.avail_in = ZEROS;
    stream.next_out = packed;
    stream.avail_out = (uInt)capacity;
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    batch = batch_of_payload(CODEC_GZIP, 1, slice_of(packed, stream.total_out));
    deflateEnd(&stream);
    int16_t gzip = produce("hostile", 9, 1, SLICE_NULL, slice_of(batch.data, batch.size));

    free(packed);
    free(zeros);
    ck_assert_msg(zstd == ERR_MESSAGE_TOO_LARGE || zstd == ERR_INVALID_RECORD, "zstd: %s", error_name(zstd));
    ck_assert_msg(gzip == ERR_MESSAGE_TOO_LARGE || gzip == ERR_INVALID_RECORD, "gzip: %s", error_name(gzip));
    ck_assert_uint_lt(process_rss(broker_process_pid(served.broker)), before + (96 << 20));
}
END_TEST

/* Row 71 (CVE-2023-34455, CVE-2023-43642): chunk lengths that would be allocated. Row 73: windows. */
START_TEST(lying_compressed_headers)
{
    static const struct {
        const char *what;
        enum codec codec;
        const char *bytes;
        size_t size;
    } rows[] = {
        { "xerial chunk of length -1", CODEC_SNAPPY, "\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff", 20 },
        { "xerial chunk of 2^31-1", CODEC_SNAPPY, "\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\x7f\xff\xff\xff", 20 },
        { "raw snappy of 4 GiB - 1", CODEC_SNAPPY, "\xff\xff\xff\xff\x0f\0\0\0", 8 },
        { "zstd with a window of 2 GiB", CODEC_ZSTD, "\x28\xb5\x2f\xfd\x00\xa8\x01\0\0", 9 },
        { "lz4 with a wrong header hash", CODEC_LZ4, "\x04\x22\x4d\x18\x60\x40\x00\0\0\0\0", 11 },
        { "lz4 without an end mark", CODEC_LZ4, "\x04\x22\x4d\x18\x60\x40\x82", 7 },
        { "gzip header alone", CODEC_GZIP, "\x1f\x8b\x08\0\0\0\0\0\0\x03", 10 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct batch_view batch = batch_of_payload(rows[i].codec, 1, slice_of(rows[i].bytes, rows[i].size));
        int16_t got = produce("hostile", 9, 1, SLICE_NULL, slice_of(batch.data, batch.size));
        ck_assert_msg(got == ERR_CORRUPT_MESSAGE || got == ERR_INVALID_RECORD || got == ERR_MESSAGE_TOO_LARGE,
                      "%s: %s", rows[i].what, error_name(got));
    }
}
END_TEST

/* Row 75. */
START_TEST(compressed_batch_with_a_wrong_inner_count)
{
    struct batch_view batch = good_batch(CODEC_ZSTD, 3);
    store_be32(batch.data + BATCH_RECORD_COUNT, 4);
    store_be32(batch.data + BATCH_LAST_OFFSET_DELTA, 3);
    set_crc(&batch);
    ck_assert_int_eq(produce("hostile", 9, 1, SLICE_NULL, slice_of(batch.data, batch.size)), ERR_INVALID_RECORD);
}
END_TEST

/* Rows 43, 44, 40: names never become paths. */
START_TEST(topic_names)
{
    char long_name[251];
    memset(long_name, 'x', 250);
    long_name[250] = '\0';
    const struct {
        slice name;
        int16_t expected;
    } rows[] = {
        { SLICE_LITERAL("../../x"), ERR_INVALID_TOPIC_EXCEPTION },
        { SLICE_LITERAL("a/b"), ERR_INVALID_TOPIC_EXCEPTION },
        { SLICE_LITERAL("."), ERR_INVALID_TOPIC_EXCEPTION },
        { SLICE_LITERAL(".."), ERR_INVALID_TOPIC_EXCEPTION },
        { SLICE_LITERAL(""), ERR_INVALID_TOPIC_EXCEPTION },
        { SLICE_LITERAL("with space"), ERR_INVALID_TOPIC_EXCEPTION },
        { SLICE_LITERAL("nul\0byte"), ERR_INVALID_TOPIC_EXCEPTION },
        { SLICE_LITERAL("\xc3\xa9t\xc3\xa9"), ERR_INVALID_TOPIC_EXCEPTION },
        { slice_of_string(long_name), ERR_INVALID_TOPIC_EXCEPTION },
        { slice_of(long_name, 249), ERR_NONE },
        { SLICE_LITERAL("dotted.name"), ERR_NONE },
        { SLICE_LITERAL("dotted_name"), ERR_INVALID_TOPIC_EXCEPTION },
        { SLICE_LITERAL("__cluster_metadata"), ERR_UNKNOWN_TOPIC_OR_PARTITION },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct one_metadata one;
        struct metadata_response response;
        one_metadata(&one, rows[i].name);
        ck_assert(wire_call(&client, KEY_METADATA, 9, &one.request, &response));
        ck_assert_int_eq(response.topics_count, 1);
        int16_t got = response.topics[0].error_code;
        ck_assert_msg(got == rows[i].expected, "name %zu: %s, expected %s", i, error_name(got),
                      error_name(rows[i].expected));
    }
}
END_TEST

static void create_named(const char *name)
{
    struct one_metadata one;
    struct metadata_response response;
    one_metadata(&one, slice_of_string(name));
    ck_assert(wire_call(&client, KEY_METADATA, 9, &one.request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

static const struct fetch_response_partition *fetch_of(const char *name, struct fetch_request_partition *partitions,
                                                       int32_t count, int32_t max_wait_ms)
{
    struct one_fetch one;
    struct fetch_response response;
    one_fetch(&one, name, 0, 0);
    one.topic.partitions = partitions;
    one.topic.partitions_count = count;
    one.request.max_bytes = 1000;
    one.request.max_wait_ms = max_wait_ms;
    ck_assert(wire_call(&client, KEY_FETCH, 12, &one.request, &response));
    ck_assert_int_eq(response.topics[0].partitions_count, count);
    return response.topics[0].partitions;
}

static struct fetch_response_partition fetch(int64_t offset, int32_t epoch, int32_t max_bytes, int32_t min_bytes,
                                             int32_t max_wait_ms)
{
    struct one_fetch one;
    struct fetch_response response;
    one_fetch(&one, "hostile", 0, offset);
    one.partition.current_leader_epoch = epoch;
    one.partition.partition_max_bytes = max_bytes;
    one.request.max_bytes = max_bytes;
    one.request.min_bytes = min_bytes;
    one.request.max_wait_ms = max_wait_ms;
    ck_assert(wire_call(&client, KEY_FETCH, 12, &one.request, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
    return response.topics[0].partitions[0];
}

/* Rows 80 and 81. */
START_TEST(fetch_limits_and_offsets)
{
    struct batch_view batch = good_batch(CODEC_NONE, 3);
    ck_assert_int_eq(produce("hostile", 9, -1, SLICE_NULL, slice_of(batch.data, batch.size)), ERR_NONE);
    int64_t end = end_offset("hostile");
    ck_assert_int_eq(fetch(-1, -1, 1000, 1, 0).error_code, ERR_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(fetch(INT64_MIN, -1, 1000, 1, 0).error_code, ERR_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(fetch(end + 1, -1, 1000, 1, 0).error_code, ERR_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(fetch(end, -1, 1000, 1, 0).error_code, ERR_NONE);
    ck_assert_int_eq(fetch(0, 1000, 1000, 1, 0).error_code, ERR_UNKNOWN_LEADER_EPOCH);
    ck_assert_int_eq(fetch(0, -1, INT32_MAX, 1, INT32_MAX).error_code, ERR_NONE);
    ck_assert_uint_gt(fetch(0, -1, 1, 1, 0).records.bytes.size, 1); /* the first batch, whole */
    ck_assert_uint_gt(fetch(0, -1, -5, 1, 0).records.bytes.size, 0);
    ck_assert_int_eq(fetch(end, -1, 1000, INT32_MAX, -1).error_code, ERR_NONE);
    ck_assert_int_eq(fetch(end, -1, 1000, INT32_MIN, INT32_MIN).error_code, ERR_NONE);
}
END_TEST

/* As Kafka: an epoch that is not over ends at the log's end, also without a record of it. */
START_TEST(last_fetched_epoch_in_an_empty_log)
{
    static const struct {
        int32_t epoch;
        int64_t offset, diverging_end; /* -1: none */
        int16_t error_code;
    } rows[] = { { 0, 0, -1, ERR_NONE }, { 0, 3, 0, ERR_NONE }, { 1, 0, -1, ERR_OFFSET_OUT_OF_RANGE } };
    create_named("empty");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fetch_request_partition partition;
        fetch_request_partition_init(&partition);
        partition.last_fetched_epoch = rows[i].epoch;
        partition.fetch_offset = rows[i].offset;
        partition.partition_max_bytes = 1000;
        struct fetch_response_partition got = *fetch_of("empty", &partition, 1, 0);
        ck_assert_int_eq(got.error_code, rows[i].error_code);
        ck_assert_int_eq(got.diverging_epoch.end_offset, rows[i].diverging_end);
    }
}
END_TEST

/* A partition that is unknown from the start does not end the wait for the others, alone it does. */
START_TEST(an_unknown_partition_is_told_when_the_wait_is_over)
{
    enum { WAIT_MS = 300, LONG_MS = 5 * TIMEOUT_MS };
    struct fetch_request_partition partitions[2];
    create_named("empty");
    for (int i = 0; i < 2; i++) {
        fetch_request_partition_init(&partitions[i]);
        partitions[i].partition = i * 77;
        partitions[i].partition_max_bytes = 1000;
    }
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    const struct fetch_response_partition *got = fetch_of("empty", partitions, 2, WAIT_MS);
    clock_gettime(CLOCK_MONOTONIC, &to);
    ck_assert_int_eq(got[0].error_code, ERR_NONE);
    ck_assert_int_eq(got[1].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_ge((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000, WAIT_MS - 1);
    got = fetch_of("empty", &partitions[1], 1, LONG_MS); /* would be late for the client's time limit */
    ck_assert_int_eq(got[0].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
}
END_TEST

/* timeout_ms is for replicas: on one node Kafka answers with the offset whatever it is. */
START_TEST(a_timeout_of_nothing_is_no_reason_to_fail)
{
    for (int i = 0; i < 20; i++) {
        struct batch_view batch = good_batch(CODEC_NONE, 1);
        produce_timeout_ms = i % 2 - 1;
        ck_assert_int_eq(produce("hostile", 9, i % 4 < 2 ? -1 : 1, SLICE_NULL, slice_of(batch.data, batch.size)),
                         ERR_NONE);
    }
    produce_timeout_ms = TIMEOUT_MS;
}
END_TEST

static void start_broker(void)
{
    served_start(&served, RUNNEL_BINARY, NULL);
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    load_make_topic(served.bootstrap, "hostile");
    arena_init(&arena, NULL);
}

static void stop_broker(void)
{
    arena_destroy(&arena);
    wire_close(&client);
    served_stop(&served);
}

int main(void)
{
    Suite *suite = suite_create("hostile produce");
    TCase *tests = tcase_create("batches");
    tcase_set_timeout(tests, 120);
    tcase_add_unchecked_fixture(tests, start_broker, stop_broker);
    tcase_add_loop_test(tests, spoilt_batches, 0, sizeof spoil_rows / sizeof *spoil_rows);
    tcase_add_loop_test(tests, the_same_batch_unspoilt, 0, CODEC_COUNT);
    tcase_add_test(tests, requests_with_wrong_fields);
    tcase_add_test(tests, acks_0_with_an_error);
    tcase_add_test(tests, batch_above_max_message_bytes);
    tcase_add_test(tests, decompression_bombs);
    tcase_add_test(tests, lying_compressed_headers);
    tcase_add_test(tests, compressed_batch_with_a_wrong_inner_count);
    tcase_add_test(tests, topic_names);
    tcase_add_test(tests, fetch_limits_and_offsets);
    tcase_add_test(tests, last_fetched_epoch_in_an_empty_log);
    tcase_add_test(tests, an_unknown_partition_is_told_when_the_wait_is_over);
    tcase_add_test(tests, a_timeout_of_nothing_is_no_reason_to_fail);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
