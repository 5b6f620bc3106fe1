/* Record batches: golden bytes, headers, iteration, validation, building and recompression. */
#include "protocol/record_batch.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/crc32c.h"
#include "protocol/base/random.h"

enum { OUTPUT_MAX = 16 << 20 };

#define NOW_MS  ((int64_t)1700000000000)
#define HOUR_MS ((int64_t)3600 * 1000)

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, NULL);
}

static void teardown(void)
{
    arena_destroy(&arena);
}

/* Hex digits, other characters between them are for reading. */
static slice unhex(const char *text)
{
    uint8_t *bytes = arena_alloc(&arena, strlen(text) / 2 + 1);
    size_t digit_count = 0;
    for (; *text != '\0'; text++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, *text);
        if (at == NULL)
            continue;
        uint8_t value = (uint8_t)(at - digits);
        uint8_t *byte = &bytes[digit_count / 2];
        *byte = digit_count % 2 == 0 ? (uint8_t)(value << 4) : (uint8_t)(*byte | value);
        digit_count++;
    }
    return slice_of(bytes, digit_count / 2);
}

/* facts: protocol, appendix D. */
static const char batch_a[] = "0000000000000000 00000049 ffffffff 02 6a8990a3 0000 00000001 0000018bcfe56800 "
                              "0000018bcfe56805 ffffffffffffffff ffff ffffffff 00000002 "
                              "14 00 00 00 04 6b31 04 7631 00  18 00 0a 02 01 04 7632 02 02 68 02 78";
static const char batch_b[] = "0000000000000002 00000042 00000000 02 26eafeb9 0030 00000000 0000018bcfe56864 "
                              "0000018bcfe56864 0000000000000fa1 0007 ffffffff 00000001 "
                              "20 00 00 00 08 0000 0001 0c 0000 00000003 00";
/* facts: disk format, appendix A. */
static const char commit_marker[] =
    "000000000000000a 00000042 00000003 02 a1ac499f 0030 00000000 0000018bcfe56800 "
    "0000018bcfe56800 00000000000003e8 0000 ffffffff 00000001 "
    "20 00 00 00 08 00000001 0c 000000000000 00";
static const char feature_level[] =
    "0000000000000001 0000004f 00000000 02 7b4e0140 0000 00000000 0000018bcfe56800 "
    "0000018bcfe56800 ffffffffffffffff ffff ffffffff 00000001 3a 00 00 00 01 2e "
    "01 0c 00 11 6d657461646174612e76657273696f6e 0019 00 00";

static struct batch_view view_of(slice bytes)
{
    struct batch_view batch;
    ck_assert_int_eq(batch_view(bytes, &batch), BATCH_OK);
    return batch;
}

static struct batch_builder_options plain_options(void)
{
    return (struct batch_builder_options){
        .leader_epoch = -1, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1
    };
}

static struct batch_rules open_rules(void)
{
    return (struct batch_rules){ .now_ms = NOW_MS,
                                 .timestamp_before_max_ms = INT64_MAX,
                                 .timestamp_after_max_ms = HOUR_MS,
                                 .output_max = OUTPUT_MAX };
}

/* After a change of the header or the records. */
static void fix_crc(slice bytes)
{
    uint8_t *data = (uint8_t *)(uintptr_t)bytes.data;
    store_be32(data + BATCH_CRC, crc32c(0, data + BATCH_ATTRIBUTES, bytes.size - BATCH_ATTRIBUTES));
}

START_TEST(golden_batches_are_built)
{
    struct batch_view batch;
    struct batch_builder_options options = plain_options();
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    struct record_header header = { SLICE_LITERAL("h"), SLICE_LITERAL("x") };
    ck_assert(batch_builder_add(builder, NOW_MS, SLICE_LITERAL("k1"), SLICE_LITERAL("v1"), NULL, 0));
    ck_assert(batch_builder_add(builder, NOW_MS + 5, SLICE_NULL, SLICE_LITERAL("v2"), &header, 1));
    ck_assert_uint_eq(batch_builder_size(builder), 85);
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    ck_assert(slice_equal(slice_of(batch.data, batch.size), unhex(batch_a)));

    options = (struct batch_builder_options){ .base_offset = 2,
                                              .producer_id = 4001,
                                              .producer_epoch = 7,
                                              .base_sequence = -1,
                                              .attributes =
                                                  BATCH_ATTRIBUTE_CONTROL | BATCH_ATTRIBUTE_TRANSACTIONAL };
    builder = batch_builder_open(&arena, &options);
    ck_assert(batch_builder_add(builder, NOW_MS + 100, unhex("0000 0001"), unhex("0000 00000003"), NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    ck_assert(slice_equal(slice_of(batch.data, batch.size), unhex(batch_b)));
}
END_TEST

START_TEST(golden_batches_are_read)
{
    static const char *const goldens[] = { batch_a, batch_b, commit_marker, feature_level };
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++) {
        struct batch_view batch = view_of(unhex(goldens[i]));
        ck_assert(batch_crc_ok(&batch));
        batch.data[batch.size - 1] ^= 1;
        ck_assert(!batch_crc_ok(&batch));
    }
    struct batch_view batch = view_of(unhex(commit_marker));
    ck_assert_int_eq(batch.base_offset, 10);
    ck_assert_int_eq(batch.leader_epoch, 3);
    ck_assert_int_eq(batch.producer_id, 1000);
    ck_assert_int_eq(batch.producer_epoch, 0);
    ck_assert_int_eq(batch.base_sequence, -1);
    ck_assert_int_eq(batch.record_count, 1);
    ck_assert_int_eq(batch.max_timestamp, NOW_MS);
    ck_assert_uint_eq(batch.attributes, BATCH_ATTRIBUTE_CONTROL | BATCH_ATTRIBUTE_TRANSACTIONAL);
}
END_TEST

START_TEST(golden_records_are_read)
{
    struct batch_view batch = view_of(unhex(batch_a));
    batch_assign(&batch, 1000, 7);
    ck_assert(batch_crc_ok(&batch));
    ck_assert_uint_eq(load_be64(batch.data), 1000);
    ck_assert_uint_eq(load_be32(batch.data + BATCH_LEADER_EPOCH), 7);
    ck_assert_int_eq(batch_last_offset(&batch), 1001);
    struct record_iterator *iterator = record_iterator_open(&batch, &arena, OUTPUT_MAX);
    struct record record;
    ck_assert_int_eq(record_iterator_next(iterator, &record), BATCH_OK);
    ck_assert_int_eq(record.offset, 1000);
    ck_assert_int_eq(record.timestamp, NOW_MS);
    ck_assert(slice_equal_string(record.key, "k1"));
    ck_assert(slice_equal_string(record.value, "v1"));
    ck_assert_int_eq(record.header_count, 0);
    ck_assert_int_eq(record_iterator_next(iterator, &record), BATCH_OK);
    ck_assert_int_eq(record.offset, 1001);
    ck_assert_int_eq(record.timestamp, NOW_MS + 5);
    ck_assert(slice_is_null(record.key));
    ck_assert_int_eq(record.header_count, 1);
    struct record_header header;
    ck_assert(record_header_next(&record.headers, &header));
    ck_assert(slice_equal_string(header.key, "h"));
    ck_assert(slice_equal_string(header.value, "x"));
    ck_assert(!record_header_next(&record.headers, &header));
    ck_assert_int_eq(record_iterator_next(iterator, &record), BATCH_SHORT);
    ck_assert_int_eq(record_iterator_next(iterator, &record), BATCH_SHORT);
    record_iterator_close(iterator);
}
END_TEST

/* Three records, k0 to k2 of the same value, as Kafka 4.2's MemoryRecordsBuilder writes them. */
static const struct {
    const char *what;
    const char *bytes;
} java_batches[] = {
    { "gzip", "000000000000000000000066ffffffff02a23513b10001000000020000018bcfe568000000018bcfe568"
              "02ffffffffffffffffffffffffffff000000031f8b08000000000000ffb363606060c936d02b4bcc294d"
              "55c02019ec18989858b20df1c8b3b0b0641be1940700555dd61060000000" },
    { "snappy", "00000000000000000000006dffffffff0263842fdd0002000000020000018bcfe568000000018bcfe568"
                "02ffffffffffffffffffffffffffff0000000382534e415050590000000001000000010000002860343e"
                "000000046b302e76616c7565204206001c003e000202046b316a2000100404046b32622000" },
    { "lz4", "00000000000000000000006cffffffff024fb546d50003000000020000018bcfe568000000018bcfe568"
             "02ffffffffffffffffffffffffffff0000000304224d186040822c000000ed3e000000046b302e76616c"
             "75652006008f003e000202046b312000085f0404046b3220000150616c75650000000000" },
    { "zstd", "000000000000000000000063ffffffff0266e81ee00004000000020000018bcfe568000000018bcfe568"
              "02ffffffffffffffffffffffffffff0000000328b52ffd0058340100d83e000000046b302e76616c7565"
              "20003e000202046b310404046b32030060d143855ce6a204010000" },
    { "zstd, level 22", "000000000000000000000064ffffffff029555a2280004000000020000018bcfe568000000018bcfe568"
                        "02ffffffffffffffffffffffffffff0000000328b52ffd00883c0100e03e000000046b302e76616c7565"
                        "20003e000202046b310404046b322e0300002c43855ce6a204010000" },
};

START_TEST(batches_of_java)
{
    for (size_t i = 0; i < sizeof java_batches / sizeof java_batches[0]; i++) {
        struct batch_view batch = view_of(unhex(java_batches[i].bytes));
        struct batch_rules rules = open_rules();
        struct batch_verdict verdict;
        ck_assert_msg(batch_validate(&batch, &rules, &arena, &verdict) == BATCH_OK, "%s: %s",
                      java_batches[i].what, verdict.message);
        ck_assert_int_eq(verdict.max_timestamp, NOW_MS + 2);
        ck_assert(!batch_set_timestamps(&batch, &rules, &verdict));
        struct record_iterator *iterator = record_iterator_open(&batch, &arena, OUTPUT_MAX);
        struct record record;
        for (int index = 0; index < 3; index++) {
            const char key[] = { 'k', (char)('0' + index), '\0' };
            ck_assert_int_eq(record_iterator_next(iterator, &record), BATCH_OK);
            ck_assert(slice_equal_string(record.key, key));
            ck_assert(slice_equal_string(record.value, "value value value value"));
            ck_assert_int_eq(record.timestamp, NOW_MS + index);
        }
        ck_assert_int_eq(record_iterator_next(iterator, &record), BATCH_SHORT);
        record_iterator_close(iterator);
    }
}
END_TEST

START_TEST(headers_that_are_no_batch)
{
    static const struct {
        const char *what;
        size_t size;    /* bytes given of batch A */
        int32_t length; /* 0: as it is */
        uint8_t magic;
        enum batch_status status;
        size_t needed;
    } rows[] = {
        { "nothing", 0, 0, 2, BATCH_SHORT, 0 },
        { "cut before the length ends", 11, 0, 2, BATCH_SHORT, 0 },
        { "cut before the magic", 16, 0, 2, BATCH_SHORT, 85 },
        { "cut in the header", 60, 0, 2, BATCH_SHORT, 85 },
        { "cut in the last record", 84, 0, 2, BATCH_SHORT, 85 },
        { "whole", 85, 0, 2, BATCH_OK, 85 },
        { "negative length", 85, -1, 2, BATCH_CORRUPT, 0 },
        { "smallest length", 85, INT32_MIN, 2, BATCH_CORRUPT, 0 },
        { "length below any message format's", 85, 13, 2, BATCH_CORRUPT, 0 },
        { "length below the header's", 85, 48, 2, BATCH_CORRUPT, 0 },
        { "length of the header alone", 85, 49, 2, BATCH_OK, 61 },
        { "length beyond the bytes", 85, 74, 2, BATCH_SHORT, 86 },
        { "largest length", 85, INT32_MAX, 2, BATCH_SHORT, (size_t)INT32_MAX + 12 },
        { "magic 0", 85, 0, 0, BATCH_BAD_MAGIC, 0 },
        { "magic 1, of a size that only it can have", 85, 30, 1, BATCH_BAD_MAGIC, 0 },
        { "magic 3", 85, 0, 3, BATCH_BAD_MAGIC, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        slice whole = unhex(batch_a);
        uint8_t *data = (uint8_t *)(uintptr_t)whole.data;
        if (rows[i].length != 0)
            store_be32(data + BATCH_LENGTH, (uint32_t)rows[i].length);
        data[BATCH_MAGIC] = rows[i].magic;
        /* Of exactly the size, for AddressSanitizer. */
        uint8_t *exact = malloc(rows[i].size + 1);
        memcpy(exact, data, rows[i].size);
        struct batch_view batch;
        ck_assert_msg(batch_view(slice_of(exact, rows[i].size), &batch) == rows[i].status, "%s",
                      rows[i].what);
        ck_assert_msg(batch.size == rows[i].needed, "%s: %zu", rows[i].what, batch.size);
        free(exact);
    }
}
END_TEST

START_TEST(varints)
{
    static const struct {
        const char *what;
        const char *bytes;
        int32_t value;
        bool ok;
    } rows[] = {
        { "zero", "00", 0, true },
        { "minus one", "01", -1, true },
        { "one", "02", 1, true },
        { "minus two", "03", -2, true },
        { "largest in one byte", "7e", 63, true },
        { "smallest in two bytes", "8001", 64, true },
        { "-65", "8101", -65, true },
        { "8191", "fe7f", 8191, true },
        { "largest", "feffffff0f", INT32_MAX, true },
        { "smallest", "ffffffff0f", INT32_MIN, true },
        { "nothing", "", 0, false },
        { "cut", "ff", 0, false },
        { "cut after four", "ffffffff", 0, false },
        { "a sixth byte", "ffffffffff01", 0, false },
        { "overlong zero", "808000", 0, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        slice bytes = unhex(rows[i].bytes);
        int32_t value;
        size_t size = varint_read(bytes, &value);
        ck_assert_msg(size == (rows[i].ok ? bytes.size : 0), "%s: %zu", rows[i].what, size);
        if (rows[i].ok)
            ck_assert_msg(value == rows[i].value, "%s: %d", rows[i].what, value);
    }
    struct random random;
    random_seed(&random, 3);
    uint8_t out[10];
    for (int i = 0; i < 100000; i++) {
        int64_t wide = (int64_t)(random_u64(&random) >> random_below(&random, 64)), wide_back;
        wide = random_below(&random, 2) ? -wide : wide;
        int32_t narrow = (int32_t)wide, narrow_back;
        ck_assert_uint_eq(varlong_write(out, wide), varlong_read(slice_of(out, sizeof out), &wide_back));
        ck_assert_int_eq(wide, wide_back);
        ck_assert_uint_eq(varint_write(out, narrow), varint_read(slice_of(out, sizeof out), &narrow_back));
        ck_assert_int_eq(narrow, narrow_back);
    }
    int64_t wide;
    ck_assert_uint_eq(varlong_write(out, INT64_MIN), 10);
    ck_assert_uint_eq(varlong_read(slice_of(out, 9), &wide), 0);
    ck_assert_uint_eq(varlong_read(slice_of(out, 10), &wide), 10);
    ck_assert_int_eq(wide, INT64_MIN);
}
END_TEST

/* Records of many sizes: empty, null, larger than any buffer, with headers. */
static struct batch_view random_batch(uint64_t seed, int record_count, size_t value_size_max,
                                      struct batch_builder_options options)
{
    struct random random;
    random_seed(&random, seed);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    uint8_t *value = malloc(value_size_max + 1);
    for (int i = 0; i < record_count; i++) {
        size_t size = random_below(&random, value_size_max + 1) >> random_below(&random, 12);
        random_bytes(&random, value, size);
        for (size_t at = 0; at < size / 2; at++)
            value[at] = (uint8_t)('a' + i % 26); /* so that it compresses */
        char key[16];
        snprintf(key, sizeof key, "key-%d", i);
        struct record_header headers[2] = { { SLICE_LITERAL("a"), SLICE_NULL },
                                            { SLICE_LITERAL(""), SLICE_LITERAL("b") } };
        ck_assert(batch_builder_add(builder, NOW_MS + i * 7 - 100,
                                    random_below(&random, 4) ? slice_of_string(key) : SLICE_NULL,
                                    random_below(&random, 9) ? slice_of(value, size) : SLICE_NULL, headers,
                                    random_below(&random, 3)));
    }
    free(value);
    struct batch_view batch;
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    ck_assert(batch_crc_ok(&batch));
    return batch;
}

static void assert_same_records(const struct batch_view *a, const struct batch_view *b)
{
    struct record_iterator *i = record_iterator_open(a, &arena, OUTPUT_MAX);
    struct record_iterator *j = record_iterator_open(b, &arena, OUTPUT_MAX);
    struct record x, y;
    enum batch_status status;
    int32_t count = 0;
    while ((status = record_iterator_next(i, &x)) == BATCH_OK) {
        ck_assert_int_eq(record_iterator_next(j, &y), BATCH_OK);
        ck_assert_int_eq(x.offset, y.offset);
        ck_assert_int_eq(x.timestamp, y.timestamp);
        ck_assert(slice_is_null(x.key) == slice_is_null(y.key) && slice_equal(x.key, y.key));
        ck_assert(slice_is_null(x.value) == slice_is_null(y.value) && slice_equal(x.value, y.value));
        ck_assert_int_eq(x.header_count, y.header_count);
        ck_assert(slice_equal(x.headers, y.headers));
        count++;
    }
    ck_assert_int_eq(status, BATCH_SHORT);
    ck_assert_int_eq(record_iterator_next(j, &y), BATCH_SHORT);
    ck_assert_int_eq(count, a->record_count);
    record_iterator_close(i);
    record_iterator_close(j);
}

START_TEST(every_codec_keeps_the_records)
{
    enum codec codec = (enum codec)_i;
    static const struct {
        int record_count;
        size_t value_size_max;
    } shapes[] = { { 1, 0 }, { 1, 100 }, { 500, 100 }, { 50, 20000 }, { 5, 400000 }, { 1, 2000000 } };
    for (size_t shape = 0; shape < sizeof shapes / sizeof shapes[0]; shape++) {
        struct batch_builder_options options = plain_options();
        struct batch_view plain =
            random_batch(shape, shapes[shape].record_count, shapes[shape].value_size_max, options);
        options.attributes = (uint16_t)codec;
        struct batch_view built =
            random_batch(shape, shapes[shape].record_count, shapes[shape].value_size_max, options);
        ck_assert_int_eq(batch_codec(&built), codec);
        assert_same_records(&plain, &built);
        struct batch_view made, back;
        ck_assert_int_eq(batch_recompress(&plain, codec, 0, &arena, OUTPUT_MAX, &made), BATCH_OK);
        assert_same_records(&plain, &made);
        ck_assert_int_eq(batch_recompress(&made, CODEC_NONE, 0, &arena, OUTPUT_MAX, &back), BATCH_OK);
        ck_assert(slice_equal(slice_of(plain.data, plain.size), slice_of(back.data, back.size)));
        ck_assert_uint_ge(batch_decoded_size_guess(&made), plain.size - BATCH_HEADER_SIZE);
        struct batch_view itself = plain;
        ck_assert_int_eq(batch_recompress(&itself, codec, 0, &arena, OUTPUT_MAX, &itself), BATCH_OK);
        ck_assert(slice_equal(slice_of(made.data, made.size), slice_of(itself.data, itself.size)));
        struct batch_rules rules = open_rules();
        struct batch_verdict verdict;
        ck_assert_int_eq(batch_validate(&made, &rules, &arena, &verdict), BATCH_OK);
        ck_assert_int_eq(verdict.max_timestamp, plain.max_timestamp);
        arena_reset(&arena);
    }
}
END_TEST

START_TEST(output_is_capped)
{
    enum codec codec = (enum codec)_i;
    struct batch_builder_options options = plain_options();
    options.attributes = (uint16_t)codec;
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    uint8_t *zeros = calloc(1, 8 << 20);
    ck_assert(batch_builder_add(builder, NOW_MS, SLICE_LITERAL("k"), slice_of(zeros, 8 << 20), NULL, 0));
    free(zeros);
    size_t payload_size = batch_builder_size(builder) - BATCH_HEADER_SIZE;
    struct batch_view batch;
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    struct batch_rules rules = open_rules();
    struct batch_verdict verdict;
    rules.output_max = payload_size;
    ck_assert_int_eq(batch_validate(&batch, &rules, &arena, &verdict), BATCH_OK);
    rules.output_max = payload_size - 1;
    ck_assert_int_eq(batch_validate(&batch, &rules, &arena, &verdict), BATCH_TOO_LARGE);
    ck_assert_ptr_nonnull(verdict.message);
    rules.output_max = 1000;
    arena_reset(&arena);
    size_t used = arena.used;
    ck_assert_int_eq(used, 0);
}
END_TEST

/* One change to a batch of three good records, and the verdict on it. */
struct change {
    const char *what;
    enum { HEADER8, HEADER16, HEADER32, HEADER64, RECORDS } kind;
    size_t position;     /* in the header */
    int64_t value;       /* for the header */
    const char *records; /* or the whole payload in hex */
    enum batch_status status;
    int error_count;
    int error_index;
};

/* Three records: k=v, k=v, null=v; 10 bytes or fewer each. */
#define R0 "10 00 00 00 02 6b 02 76 00 "
#define R1 "10 00 02 02 02 6b 02 76 00 "
#define R2 "0e 00 04 04 01 02 76 00 "

static const struct change changes[] = {
    { "as it is", HEADER8, BATCH_MAGIC, 2, NULL, BATCH_OK, 0, 0 },
    { "base offset 1", HEADER64, BATCH_BASE_OFFSET, 1, NULL, BATCH_INVALID, 0, 0 },
    { "leader epoch of sarama", HEADER32, BATCH_LEADER_EPOCH, 0, NULL, BATCH_OK, 0, 0 },
    { "codec 5", HEADER16, BATCH_ATTRIBUTES, 5, NULL, BATCH_UNSUPPORTED_COMPRESSION, 0, 0 },
    { "codec 7", HEADER16, BATCH_ATTRIBUTES, 7, NULL, BATCH_UNSUPPORTED_COMPRESSION, 0, 0 },
    { "attribute bit 7", HEADER16, BATCH_ATTRIBUTES, 0x80, NULL, BATCH_INVALID, 0, 0 },
    { "attribute bit 15", HEADER16, BATCH_ATTRIBUTES, 0x8000, NULL, BATCH_INVALID, 0, 0 },
    { "control bit", HEADER16, BATCH_ATTRIBUTES, 0x20, NULL, BATCH_INVALID, 0, 0 },
    { "delete horizon", HEADER16, BATCH_ATTRIBUTES, 0x40, NULL, BATCH_INVALID, 0, 0 },
    { "transactional bit", HEADER16, BATCH_ATTRIBUTES, 0x10, NULL, BATCH_OK, 0, 0 },
    { "gzip that is none", HEADER16, BATCH_ATTRIBUTES, 1, NULL, BATCH_CORRUPT, 0, 0 },
    { "snappy that is none", HEADER16, BATCH_ATTRIBUTES, 2, NULL, BATCH_CORRUPT, 0, 0 },
    { "lz4 that is none", HEADER16, BATCH_ATTRIBUTES, 3, NULL, BATCH_CORRUPT, 0, 0 },
    { "zstd that is none", HEADER16, BATCH_ATTRIBUTES, 4, NULL, BATCH_CORRUPT, 0, 0 },
    { "last offset delta too small", HEADER32, BATCH_LAST_OFFSET_DELTA, 1, NULL, BATCH_INVALID, 0, 0 },
    { "last offset delta too large", HEADER32, BATCH_LAST_OFFSET_DELTA, 3, NULL, BATCH_INVALID, 0, 0 },
    { "last offset delta -1", HEADER32, BATCH_LAST_OFFSET_DELTA, -1, NULL, BATCH_INVALID, 0, 0 },
    { "last offset delta largest", HEADER32, BATCH_LAST_OFFSET_DELTA, INT32_MAX, NULL, BATCH_INVALID, 0, 0 },
    { "no records claimed", HEADER32, BATCH_RECORD_COUNT, 0, NULL, BATCH_INVALID, 0, 0 },
    { "record count -1", HEADER32, BATCH_RECORD_COUNT, -1, NULL, BATCH_INVALID, 0, 0 },
    { "record count largest", HEADER32, BATCH_RECORD_COUNT, INT32_MAX, NULL, BATCH_INVALID, 0, 0 },
    { "producer id without sequence", HEADER64, BATCH_PRODUCER_ID, 7, NULL, BATCH_INVALID, 0, 0 },
    { "sequence without producer id", HEADER32, BATCH_BASE_SEQUENCE, 7, NULL, BATCH_OK, 0, 0 },
    { "two records where three are claimed", RECORDS, 0, 0, R0 R1, BATCH_INVALID, 0, 0 },
    { "four records", RECORDS, 0, 0, R0 R1 R2 R2, BATCH_INVALID, 0, 0 },
    { "a byte left over", RECORDS, 0, 0, R0 R1 R2 "00", BATCH_INVALID, 0, 0 },
    { "offset delta twice", RECORDS, 0, 0, R0 R0 R2, BATCH_INVALID, 1, 1 },
    { "offset deltas out of order", RECORDS, 0, 0, R1 R0 R2, BATCH_INVALID, 2, 0 },
    { "negative offset delta", RECORDS, 0, 0, R0 R1 "0e 00 04 01 01 02 76 00", BATCH_INVALID, 1, 2 },
    { "record size 0", RECORDS, 0, 0, R0 R1 "00", BATCH_INVALID, 0, 0 },
    { "negative record size", RECORDS, 0, 0, R0 R1 "01", BATCH_INVALID, 0, 0 },
    { "record size beyond the batch", RECORDS, 0, 0, R0 R1 "10 00 04 04 01 02 76 00", BATCH_INVALID, 0, 0 },
    { "largest record size", RECORDS, 0, 0, R0 R1 "feffffff0f 00", BATCH_INVALID, 0, 0 },
    { "record size one too small", RECORDS, 0, 0, R0 R1 "0c 00 04 04 01 02 76 00", BATCH_INVALID, 0, 0 },
    { "byte behind the headers", RECORDS, 0, 0, R0 R1 "10 00 04 04 01 02 76 00 00", BATCH_INVALID, 0, 0 },
    { "key size beyond the record", RECORDS, 0, 0, R0 R1 "0e 00 04 04 0a 02 76 00", BATCH_INVALID, 0, 0 },
    { "key size -2", RECORDS, 0, 0, R0 R1 "0e 00 04 04 03 02 76 00", BATCH_INVALID, 0, 0 },
    { "value size beyond the record", RECORDS, 0, 0, R0 R1 "0e 00 04 04 01 06 76 00", BATCH_INVALID, 0, 0 },
    { "null value", RECORDS, 0, 0, R0 R1 "0c 00 04 04 01 01 00", BATCH_OK, 0, 0 },
    { "negative header count", RECORDS, 0, 0, R0 R1 "0e 00 04 04 01 02 76 01", BATCH_INVALID, 0, 0 },
    { "largest header count", RECORDS, 0, 0, R0 R1 "16 00 04 04 01 02 76 feffffff0f", BATCH_INVALID, 0, 0 },
    { "null header key", RECORDS, 0, 0, R0 R1 "12 00 04 04 01 02 76 02 01 01", BATCH_INVALID, 0, 0 },
    { "empty header key, null value", RECORDS, 0, 0, R0 R1 "12 00 04 04 01 02 76 02 00 01", BATCH_OK, 0, 0 },
    { "header value size -2", RECORDS, 0, 0, R0 R1 "12 00 04 04 01 02 76 02 00 03", BATCH_INVALID, 0, 0 },
    { "header value beyond the record", RECORDS, 0, 0, R0 R1 "12 00 04 04 01 02 76 02 00 02", BATCH_INVALID,
      0, 0 },
    { "timestamp varlong of eleven bytes", RECORDS, 0, 0, R0 R1 "22 00 ffffffffffffffffffff01 04 01 02 76 00",
      BATCH_INVALID, 0, 0 },
    { "a record beyond the future limit", RECORDS, 0, 0, R0 "16 00 808abb0d 02 02 6b 02 76 00" R2,
      BATCH_INVALID_TIMESTAMP, 1, 1 },
    { "timestamp that wraps around", RECORDS, 0, 0, R0 R1 "20 00 feffffffffffffffff01 04 01 02 76 00",
      BATCH_OK, 0, 0 },
};

static slice changed_batch(const struct change *change)
{
    const char *records = change->records ? change->records : R0 R1 R2;
    slice payload = unhex(records);
    uint8_t *bytes = arena_alloc(&arena, BATCH_HEADER_SIZE + payload.size);
    memcpy(bytes, unhex(batch_a).data, BATCH_HEADER_SIZE);
    memcpy(bytes + BATCH_HEADER_SIZE, payload.data, payload.size);
    store_be32(bytes + BATCH_LENGTH, (uint32_t)(BATCH_HEADER_SIZE + payload.size - BATCH_OVERHEAD));
    store_be32(bytes + BATCH_LAST_OFFSET_DELTA, 2);
    store_be32(bytes + BATCH_RECORD_COUNT, 3);
    switch (change->kind) {
    case HEADER8:
        bytes[change->position] = (uint8_t)change->value;
        break;
    case HEADER16:
        store_be16(bytes + change->position, (uint16_t)change->value);
        break;
    case HEADER32:
        store_be32(bytes + change->position, (uint32_t)change->value);
        break;
    case HEADER64:
        store_be64(bytes + change->position, (uint64_t)change->value);
        break;
    case RECORDS:
        break;
    }
    slice whole = slice_of(bytes, BATCH_HEADER_SIZE + payload.size);
    fix_crc(whole);
    return whole;
}

static void assert_verdict(const struct change *change, const struct batch_view *batch, const char *how)
{
    struct batch_rules rules = open_rules();
    struct batch_verdict verdict;
    enum batch_status status = batch_validate(batch, &rules, &arena, &verdict);
    ck_assert_msg(status == change->status, "%s %s: %d", change->what, how, status);
    ck_assert_msg((verdict.message == NULL) == (status == BATCH_OK), "%s %s", change->what, how);
    ck_assert_msg(verdict.record_error_count == change->error_count, "%s %s: %d errors", change->what, how,
                  verdict.record_error_count);
    if (change->error_count > 0)
        ck_assert_msg(verdict.record_errors[0].index == change->error_index, "%s %s", change->what, how);
}

START_TEST(what_validation_refuses)
{
    const struct change *change = &changes[_i];
    struct batch_view batch = view_of(changed_batch(change));
    assert_verdict(change, &batch, "plain");
    if (change->kind != RECORDS)
        return;
    for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        struct batch_view compressed;
        ck_assert_int_eq(batch_recompress(&batch, (enum codec)codec, 0, &arena, OUTPUT_MAX, &compressed),
                         BATCH_OK);
        assert_verdict(change, &compressed, codec_name((enum codec)codec));
    }
}
END_TEST

START_TEST(crc_and_attributes_of_records)
{
    static const struct change none = { "as it is", HEADER8, BATCH_MAGIC, 2, NULL, BATCH_OK, 0, 0 };
    struct batch_rules rules = open_rules();
    struct batch_verdict verdict;
    struct batch_view batch = view_of(changed_batch(&none));
    batch.data[batch.size - 2] ^= 0x40;
    ck_assert_int_eq(batch_validate(&batch, &rules, &arena, &verdict), BATCH_CORRUPT);

    /* A codec in a record's attributes: nobody looks at them in a plain batch. */
    static const struct change coded = { "codec",  RECORDS, 0, 0, R0 "10 01 02 02 02 6b 02 76 00" R2,
                                         BATCH_OK, 0,       0 };
    batch = view_of(changed_batch(&coded));
    ck_assert_int_eq(batch_validate(&batch, &rules, &arena, &verdict), BATCH_OK);
    struct batch_view compressed;
    ck_assert_int_eq(batch_recompress(&batch, CODEC_LZ4, 0, &arena, OUTPUT_MAX, &compressed), BATCH_OK);
    ck_assert_int_eq(batch_validate(&compressed, &rules, &arena, &verdict), BATCH_INVALID);
    ck_assert_int_eq(verdict.record_error_count, 1);
    ck_assert_int_eq(verdict.record_errors[0].index, 1);
}
END_TEST

START_TEST(compacted_topics_need_keys)
{
    struct batch_rules rules = open_rules();
    struct batch_verdict verdict;
    rules.key_required = true;
    struct batch_view batch = view_of(unhex(batch_a));
    ck_assert_int_eq(batch_validate(&batch, &rules, &arena, &verdict), BATCH_INVALID);
    ck_assert_int_eq(verdict.record_error_count, 1);
    ck_assert_int_eq(verdict.record_errors[0].index, 1);
    ck_assert_str_eq(verdict.record_errors[0].message, "Compacted topic cannot accept message without key.");

    struct batch_builder_options options = plain_options();
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    for (int i = 0; i < 1000; i++)
        ck_assert(batch_builder_add(builder, NOW_MS, SLICE_NULL, SLICE_LITERAL("v"), NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    ck_assert_int_eq(batch_validate(&batch, &rules, &arena, &verdict), BATCH_INVALID);
    ck_assert_int_eq(verdict.record_error_count, BATCH_RECORD_ERRORS_MAX);
    ck_assert_int_eq(verdict.record_errors[99].index, 99);
}
END_TEST

START_TEST(timestamps)
{
    static const struct {
        const char *what;
        int64_t timestamp;
        bool claims_append_time; /* the producer's bit */
        bool log_append_time;    /* the topic's */
        int64_t before_max, after_max;
        enum batch_status status;
        int64_t max_timestamp; /* stored */
    } rows[] = {
        { "now", NOW_MS, false, false, INT64_MAX, HOUR_MS, BATCH_OK, NOW_MS },
        { "at the future limit", NOW_MS + HOUR_MS, false, false, INT64_MAX, HOUR_MS, BATCH_OK,
          NOW_MS + HOUR_MS },
        { "past the future limit", NOW_MS + HOUR_MS + 1, false, false, INT64_MAX, HOUR_MS,
          BATCH_INVALID_TIMESTAMP, 0 },
        { "at the past limit", NOW_MS - 10, false, false, 10, HOUR_MS, BATCH_OK, NOW_MS - 10 },
        { "before the past limit", NOW_MS - 11, false, false, 10, HOUR_MS, BATCH_INVALID_TIMESTAMP, 0 },
        { "no timestamp", -1, false, false, 10, 10, BATCH_OK, -1 },
        { "-2, the past open", -2, false, false, INT64_MAX, HOUR_MS, BATCH_OK, -1 },
        { "-2", -2, false, false, 10, 10, BATCH_INVALID_TIMESTAMP, 0 },
        { "smallest, the past open", INT64_MIN, false, false, INT64_MAX, HOUR_MS, BATCH_OK, -1 },
        { "smallest", INT64_MIN, false, false, 0, 0, BATCH_INVALID_TIMESTAMP, 0 },
        { "largest", INT64_MAX, false, false, 0, HOUR_MS, BATCH_INVALID_TIMESTAMP, 0 },
        { "largest, the future open", INT64_MAX, false, false, INT64_MAX, INT64_MAX, BATCH_OK, INT64_MAX },
        { "append time of the topic", 5, false, true, 10, 10, BATCH_OK, NOW_MS },
        { "append time of both", NOW_MS, true, true, INT64_MAX, HOUR_MS, BATCH_INVALID_TIMESTAMP, 0 },
        { "append time of the producer alone", NOW_MS - 3, true, false, INT64_MAX, HOUR_MS, BATCH_OK,
          NOW_MS - 3 },
        { "the same without a timestamp", -1, true, false, INT64_MAX, HOUR_MS, BATCH_INVALID_TIMESTAMP, 0 },
        { "the same in the future", NOW_MS + 2 * HOUR_MS, true, false, INT64_MAX, HOUR_MS,
          BATCH_INVALID_TIMESTAMP, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct batch_builder_options options = plain_options();
        options.attributes = rows[i].claims_append_time ? BATCH_ATTRIBUTE_LOG_APPEND_TIME : 0;
        struct batch_builder *builder = batch_builder_open(&arena, &options);
        ck_assert(batch_builder_add(builder, rows[i].timestamp, SLICE_LITERAL("k"), SLICE_NULL, NULL, 0));
        struct batch_view batch;
        ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
        struct batch_rules rules = open_rules();
        rules.log_append_time = rows[i].log_append_time;
        rules.timestamp_before_max_ms = rows[i].before_max;
        rules.timestamp_after_max_ms = rows[i].after_max;
        struct batch_verdict verdict;
        enum batch_status status = batch_validate(&batch, &rules, &arena, &verdict);
        ck_assert_msg(status == rows[i].status, "%s: %d", rows[i].what, status);
        ck_assert_msg(verdict.record_error_count == (status == BATCH_OK ? 0 : 1), "%s", rows[i].what);
        if (status != BATCH_OK)
            continue;
        batch_set_timestamps(&batch, &rules, &verdict);
        batch = view_of(slice_of(batch.data, batch.size));
        ck_assert_msg(batch_crc_ok(&batch), "%s", rows[i].what);
        ck_assert_msg(batch.max_timestamp == rows[i].max_timestamp, "%s: %lld", rows[i].what,
                      (long long)batch.max_timestamp);
        bool bit = batch.attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME;
        ck_assert_msg(bit == rows[i].log_append_time, "%s", rows[i].what);
        ck_assert_msg(!batch_set_timestamps(&batch, &rules, &verdict), "%s: twice", rows[i].what);
    }
}
END_TEST

START_TEST(a_wrong_max_timestamp_is_corrected)
{
    slice bytes = unhex(batch_a);
    store_be64((uint8_t *)(uintptr_t)bytes.data + BATCH_MAX_TIMESTAMP, 5);
    fix_crc(bytes);
    struct batch_view batch = view_of(bytes);
    struct batch_rules rules = open_rules();
    struct batch_verdict verdict;
    ck_assert_int_eq(batch_validate(&batch, &rules, &arena, &verdict), BATCH_OK);
    ck_assert(batch_set_timestamps(&batch, &rules, &verdict));
    ck_assert(slice_equal(bytes, unhex(batch_a)));
}
END_TEST

START_TEST(records_under_append_time)
{
    struct batch_view batch = view_of(unhex(batch_a));
    struct batch_rules rules = open_rules();
    rules.log_append_time = true;
    rules.now_ms = NOW_MS + 77;
    struct batch_verdict verdict;
    ck_assert_int_eq(batch_validate(&batch, &rules, &arena, &verdict), BATCH_OK);
    ck_assert(batch_set_timestamps(&batch, &rules, &verdict));
    ck_assert_int_eq(batch.base_timestamp, NOW_MS);
    struct record_iterator *iterator = record_iterator_open(&batch, &arena, OUTPUT_MAX);
    struct record record;
    ck_assert_int_eq(record_iterator_next(iterator, &record), BATCH_OK);
    ck_assert_int_eq(record.timestamp, NOW_MS + 77);
    record_iterator_close(iterator);
}
END_TEST

START_TEST(batches_emptied_by_compaction)
{
    slice bytes = unhex(batch_a);
    uint8_t *data = (uint8_t *)(uintptr_t)bytes.data;
    store_be32(data + BATCH_LENGTH, BATCH_HEADER_SIZE - BATCH_OVERHEAD);
    store_be32(data + BATCH_RECORD_COUNT, 0);
    for (uint16_t codec = 0; codec < CODEC_COUNT; codec++) {
        store_be16(data + BATCH_ATTRIBUTES, codec);
        struct batch_view batch = view_of(bytes);
        struct record_iterator *iterator = record_iterator_open(&batch, &arena, OUTPUT_MAX);
        struct record record;
        ck_assert_int_eq(record_iterator_next(iterator, &record), BATCH_SHORT);
        record_iterator_close(iterator);
    }
}
END_TEST

START_TEST(memory_that_is_refused)
{
    struct batch_builder_options options = plain_options();
    options.attributes = CODEC_ZSTD;
    struct batch_view batch = random_batch(1, 20, 100000, options);
    struct budget budget;
    struct budget_share share;
    for (size_t limit = 0; limit < 1 << 20; limit += 50000) {
        budget_init(&budget, limit);
        budget_share_init(&share, &budget);
        struct arena small;
        arena_init(&small, &share);
        struct batch_rules rules = open_rules();
        struct batch_verdict verdict;
        enum batch_status status = batch_validate(&batch, &rules, &small, &verdict);
        ck_assert(status == BATCH_OK || status == BATCH_NO_MEMORY);
        if (limit == 0)
            ck_assert_int_eq(status, BATCH_NO_MEMORY);
        arena_destroy(&small);
        ck_assert_uint_eq(share.used, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("record_batch");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 120);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, golden_batches_are_built);
    tcase_add_test(cases, golden_batches_are_read);
    tcase_add_test(cases, golden_records_are_read);
    tcase_add_test(cases, batches_of_java);
    tcase_add_test(cases, headers_that_are_no_batch);
    tcase_add_test(cases, varints);
    tcase_add_loop_test(cases, every_codec_keeps_the_records, CODEC_NONE, CODEC_COUNT);
    tcase_add_loop_test(cases, output_is_capped, CODEC_GZIP, CODEC_COUNT);
    tcase_add_loop_test(cases, what_validation_refuses, 0, (int)(sizeof changes / sizeof changes[0]));
    tcase_add_test(cases, crc_and_attributes_of_records);
    tcase_add_test(cases, compacted_topics_need_keys);
    tcase_add_test(cases, timestamps);
    tcase_add_test(cases, a_wrong_max_timestamp_is_corrected);
    tcase_add_test(cases, records_under_append_time);
    tcase_add_test(cases, batches_emptied_by_compaction);
    tcase_add_test(cases, memory_that_is_refused);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
