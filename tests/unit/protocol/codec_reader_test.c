/* The reader on hostile bytes: what facts/reliability.md, rows 26 to 41, says about parsers. */
#include <check.h>
#include <stdlib.h>

#include "codec/api_versions.h"
#include "codec/apis.h"
#include "codec/fetch.h"
#include "codec/metadata.h"
#include "codec/metadata_records.h"

#define BYTES(text) text, sizeof(text) - 1

static struct arena arena;

static void set_up(void)
{
    arena_init(&arena, NULL);
}

static void tear_down(void)
{
    arena_destroy(&arena);
}

/* A copy of exactly this size: AddressSanitizer sees every byte read too much. Freed with the test. */
static struct reader reader_on(const char *bytes, size_t size)
{
    static uint8_t *copy;
    struct reader reader;
    free(copy);
    copy = malloc(size);
    if (size)
        memcpy(copy, bytes, size);
    reader_init(&reader, slice_of(copy, size), &arena);
    return reader;
}

struct varint_row {
    const char *what;
    const char *bytes;
    size_t size;
    enum codec_status status;
    uint64_t value;
    size_t left;
};

START_TEST(uvarints)
{
    static const struct varint_row rows[] = {
        { "zero", BYTES("\x00"), CODEC_OK, 0, 0 },
        { "largest in one byte", BYTES("\x7f"), CODEC_OK, 127, 0 },
        { "smallest in two bytes", BYTES("\x80\x01"), CODEC_OK, 128, 0 },
        { "largest in two bytes", BYTES("\xff\x7f"), CODEC_OK, 16383, 0 },
        { "largest of all", BYTES("\xff\xff\xff\xff\x0f"), CODEC_OK, UINT32_MAX, 0 },
        { "bits beyond the type are dropped", BYTES("\xff\xff\xff\xff\x7f"), CODEC_OK, UINT32_MAX, 0 },
        { "longer than needed", BYTES("\x80\x80\x00"), CODEC_OK, 0, 0 },
        { "one of them is read", BYTES("\x01\x02"), CODEC_OK, 1, 1 },
        { "nothing there", BYTES(""), CODEC_SHORT, 0, 0 },
        { "cut after one byte", BYTES("\xff"), CODEC_SHORT, 0, 0 },
        { "cut after four bytes", BYTES("\xff\xff\xff\xff"), CODEC_SHORT, 0, 0 },
        { "a sixth byte", BYTES("\xff\xff\xff\xff\xff\x01"), CODEC_INVALID, 0, 1 },
        { "only continuations", BYTES("\xff\xff\xff\xff\xff\xff\xff\xff"), CODEC_INVALID, 0, 3 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct varint_row *row = &rows[i];
        uint32_t value = 0;
        struct reader reader = reader_on(row->bytes, row->size);
        ck_assert_msg(reader_uvarint(&reader, &value) == (row->status == CODEC_OK), "%s", row->what);
        ck_assert_msg(reader.status == row->status && value == row->value &&
                          reader_left(&reader) == row->left,
                      "%s", row->what);
    }
}
END_TEST

START_TEST(uvarlongs)
{
    static const struct varint_row rows[] = {
        { "zero", BYTES("\x00"), CODEC_OK, 0, 0 },
        { "largest", BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), CODEC_OK, UINT64_MAX, 0 },
        { "cut", BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff"), CODEC_SHORT, 0, 0 },
        { "an eleventh byte", BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), CODEC_INVALID, 0, 1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct varint_row *row = &rows[i];
        uint64_t value = 0;
        struct reader reader = reader_on(row->bytes, row->size);
        ck_assert_msg(reader_uvarlong(&reader, &value) == (row->status == CODEC_OK), "%s", row->what);
        ck_assert_msg(reader.status == row->status && value == row->value &&
                          reader_left(&reader) == row->left,
                      "%s", row->what);
    }
}
END_TEST

START_TEST(varints)
{
    static const struct {
        const char *bytes;
        size_t size;
        int32_t value;
    } rows[] = {
        { BYTES("\x00"), 0 },
        { BYTES("\x01"), -1 },
        { BYTES("\x02"), 1 },
        { BYTES("\x03"), -2 },
        { BYTES("\x7e"), 63 },
        { BYTES("\x80\x01"), 64 },
        { BYTES("\x81\x01"), -65 },
        { BYTES("\xfe\x7f"), 8191 },
        { BYTES("\xfe\xff\xff\xff\x0f"), INT32_MAX },
        { BYTES("\xff\xff\xff\xff\x0f"), INT32_MIN },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t value;
        int64_t value64;
        struct reader reader = reader_on(rows[i].bytes, rows[i].size);
        ck_assert(reader_varint(&reader, &value) && reader_left(&reader) == 0);
        ck_assert_int_eq(value, rows[i].value);
        reader = reader_on(rows[i].bytes, rows[i].size);
        ck_assert(reader_varlong(&reader, &value64) && value64 == rows[i].value);
    }
    int64_t value;
    struct reader reader = reader_on(BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    ck_assert(reader_varlong(&reader, &value) && value == INT64_MIN);
}
END_TEST

enum kind { STRING, BYTES_FIELD };

START_TEST(strings_and_bytes)
{
    static const struct {
        const char *what;
        enum kind kind;
        bool flexible, nullable;
        const char *bytes;
        size_t size;
        enum codec_status status;
        int64_t value_size; /* -1: null */
    } rows[] = {
        { "a string", STRING, false, false, BYTES("\0\2ab"), CODEC_OK, 2 },
        { "an empty string is not null", STRING, false, false, BYTES("\0\0"), CODEC_OK, 0 },
        { "a null string", STRING, false, true, BYTES("\xff\xff"), CODEC_OK, -1 },
        { "row 31: null where it may not be", STRING, false, false, BYTES("\xff\xff"), CODEC_INVALID, -1 },
        { "row 30: length 32768 is negative", STRING, false, true, BYTES("\x80\x00ab"), CODEC_INVALID, -1 },
        { "row 29: longer than the frame", STRING, false, false, BYTES("\0\3ab"), CODEC_SHORT, 0 },
        { "largest length, two bytes there", STRING, false, false, BYTES("\x7f\xff\0\0"), CODEC_SHORT, 0 },
        { "half a length", STRING, false, false, BYTES("\0"), CODEC_SHORT, 0 },
        { "a compact string", STRING, true, false, BYTES("\3ab"), CODEC_OK, 2 },
        { "an empty compact string", STRING, true, false, BYTES("\1"), CODEC_OK, 0 },
        { "a null compact string", STRING, true, true, BYTES("\0"), CODEC_OK, -1 },
        { "row 31: compact null where it may not be", STRING, true, false, BYTES("\0"), CODEC_INVALID, -1 },
        { "row 29: compact, longer than the frame", STRING, true, false, BYTES("\4ab"), CODEC_SHORT, 0 },
        { "row 32: compact length 0xffffffff", STRING, true, true,
          BYTES("\xff\xff\xff\xff\x0f"
                "ab"),
          CODEC_INVALID, 0 },
        { "a compact string of 32768", STRING, true, true,
          BYTES("\x81\x80\x02"
                "ab"),
          CODEC_INVALID, 0 },
        { "bytes", BYTES_FIELD, false, false, BYTES("\0\0\0\2ab"), CODEC_OK, 2 },
        { "null bytes", BYTES_FIELD, false, true, BYTES("\xff\xff\xff\xff"), CODEC_OK, -1 },
        { "null bytes where they may not be", BYTES_FIELD, false, false, BYTES("\xff\xff\xff\xff"),
          CODEC_INVALID, -1 },
        { "bytes of size -2", BYTES_FIELD, false, true, BYTES("\xff\xff\xff\xfe"), CODEC_INVALID, -1 },
        { "bytes of size 2^31-1", BYTES_FIELD, false, false,
          BYTES("\x7f\xff\xff\xff"
                "ab"),
          CODEC_SHORT, 0 },
        { "row 32: compact bytes of 2^32-2", BYTES_FIELD, true, true,
          BYTES("\xff\xff\xff\xff\x0f"
                "ab"),
          CODEC_SHORT, 0 },
        { "row 39: no character set is asked of a string here", STRING, false, false, BYTES("\0\3\xed\xa0\0"),
          CODEC_OK, 3 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        slice value = SLICE_NULL;
        struct reader reader = reader_on(rows[i].bytes, rows[i].size);
        bool ok = rows[i].kind == STRING ? reader_string(&reader, rows[i].flexible, rows[i].nullable, &value)
                                         : reader_bytes(&reader, rows[i].flexible, rows[i].nullable, &value);
        ck_assert_msg(ok == (rows[i].status == CODEC_OK) && reader.status == rows[i].status, "%s: %s",
                      rows[i].what, codec_status_text(reader.status));
        if (ok)
            ck_assert_msg(rows[i].value_size < 0 ? value.data == NULL
                                                 : value.data && value.size == (size_t)rows[i].value_size,
                          "%s", rows[i].what);
    }
}
END_TEST

START_TEST(arrays)
{
    static const struct {
        const char *what;
        bool flexible, nullable;
        size_t element_size_min;
        const char *bytes;
        size_t size;
        enum codec_status status;
        int32_t count;
    } rows[] = {
        { "two of two bytes", false, false, 2, BYTES("\0\0\0\2abcd"), CODEC_OK, 2 },
        { "none", false, false, 2, BYTES("\0\0\0\0"), CODEC_OK, 0 },
        { "null", false, true, 2, BYTES("\xff\xff\xff\xff"), CODEC_OK, -1 },
        { "null where it may not be", false, false, 2, BYTES("\xff\xff\xff\xff"), CODEC_INVALID, -1 },
        { "row 35: -2", false, true, 2, BYTES("\xff\xff\xff\xfe"), CODEC_INVALID, -1 },
        { "row 35: the smallest", false, true, 2, BYTES("\x80\0\0\0"), CODEC_INVALID, -1 },
        { "row 33: more than bytes", false, false, 1, BYTES("\0\0\0\5abcd"), CODEC_SHORT, 0 },
        { "row 33: 2^31-1", false, false, 1,
          BYTES("\x7f\xff\xff\xff"
                "abcd"),
          CODEC_SHORT, 0 },
        { "row 34: as many as bytes, two bytes each", false, false, 2, BYTES("\0\0\0\4abcd"), CODEC_SHORT,
          0 },
        { "compact", true, false, 2, BYTES("\3abcd"), CODEC_OK, 2 },
        { "compact null", true, true, 2, BYTES("\0"), CODEC_OK, -1 },
        { "row 32: compact 2^32-2", true, true, 70000, BYTES("\xff\xff\xff\xff\x0f"), CODEC_SHORT, 0 },
        { "row 38: more than a message may have", false, false, 0, BYTES("\0\x10\0\0"), CODEC_TOO_MANY, 0 },
        { "of nothing, and more than an int32", true, false, 0, BYTES("\xff\xff\xff\xff\x0f"), CODEC_TOO_MANY,
          0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t count = 0;
        struct reader reader = reader_on(rows[i].bytes, rows[i].size);
        bool ok = reader_array(&reader, rows[i].flexible, rows[i].nullable, rows[i].element_size_min, &count);
        ck_assert_msg(ok == (rows[i].status == CODEC_OK) && reader.status == rows[i].status, "%s: %s",
                      rows[i].what, codec_status_text(reader.status));
        ck_assert_msg(!ok || count == rows[i].count, "%s", rows[i].what);
    }
}
END_TEST

/* Row 38: arrays inside arrays share one budget, so that they cannot multiply. */
START_TEST(element_budget)
{
    enum { TOPICS = 10, PARTITIONS = 100 };
    uint8_t frame[8192] = { 0 }, *at = frame + 16;
    struct fetch_request request;
    struct reader reader;
    /* Fetch v4: replica, max wait, min bytes, max bytes, isolation level, topics. */
    *at++ = 0;
    store_be32(at, TOPICS);
    at += 4;
    for (int topic = 0; topic < TOPICS; topic++) {
        store_be16(at, 0);
        store_be32(at + 2, 0);
        at += 6;
    }
    store_be32(at - 4, PARTITIONS);
    at += PARTITIONS * 16;
    slice bytes = slice_of(frame, (size_t)(at - frame));
    reader_init(&reader, bytes, &arena);
    ck_assert(fetch_request_decode(&reader, 4, &request));
    ck_assert_uint_eq(reader.elements_left, READER_ELEMENTS_MAX - TOPICS - PARTITIONS);
    reader_init(&reader, bytes, &arena);
    reader.elements_left = TOPICS + PARTITIONS;
    ck_assert(fetch_request_decode(&reader, 4, &request));
    reader_init(&reader, bytes, &arena);
    reader.elements_left = TOPICS + PARTITIONS - 1;
    ck_assert(!fetch_request_decode(&reader, 4, &request));
    ck_assert_int_eq(reader.status, CODEC_TOO_MANY);
}
END_TEST

/* Row 34: the count is weighed with what an element takes on the wire before memory is asked for. */
START_TEST(no_memory_for_elements_that_are_not_there)
{
    uint8_t frame[4096] = { 0 };
    struct metadata_request request;
    struct reader reader;
    store_be32(frame, 4092 / 2 + 1);
    reader_init(&reader, slice_of(frame, sizeof frame), &arena);
    ck_assert(!metadata_request_decode(&reader, 1, &request));
    ck_assert_int_eq(reader.status, CODEC_SHORT);
    ck_assert_uint_eq(arena.used, 0);
}
END_TEST

/* A memory budget that is used up refuses the message, not the broker. */
START_TEST(refused_memory)
{
    struct budget budget;
    struct budget_share share;
    struct arena bounded;
    struct metadata_request request;
    struct reader reader;
    uint8_t *frame = calloc(1, 2000004);
    store_be32(frame, 1000000);
    budget_init(&budget, 1 << 20);
    budget_share_init(&share, &budget);
    arena_init(&bounded, &share);
    reader_init(&reader, slice_of(frame, 2000004), &bounded);
    ck_assert(!metadata_request_decode(&reader, 1, &request));
    ck_assert_int_eq(reader.status, CODEC_NO_MEMORY);
    arena_destroy(&bounded);
    free(frame);
}
END_TEST

START_TEST(tags)
{
    static const struct {
        const char *what;
        const char *bytes; /* an UnregisterBroker record without its 12 bytes, or Begin Transaction's tags */
        size_t size;
        enum codec_status status;
        const char *name; /* of the transaction */
    } rows[] = {
        { "no tags", BYTES("\0"), CODEC_OK, NULL },
        { "a known one", BYTES("\1\0\3\3ab"), CODEC_OK, "ab" },
        { "an unknown one is passed over", BYTES("\1\5\2xy"), CODEC_OK, NULL },
        { "unknown ones around a known one", BYTES("\3\0\3\3ab\5\2xy\6\0"), CODEC_OK, "ab" },
        { "row 37: not ascending is tolerated", BYTES("\2\5\2xy\0\3\3ab"), CODEC_OK, "ab" },
        { "row 37: of two the last wins", BYTES("\2\0\3\3ab\0\2\2c"), CODEC_OK, "c" },
        { "the largest tag", BYTES("\1\xff\xff\xff\xff\x0f\1x"), CODEC_OK, NULL },
        { "row 36: more tags than the bytes can hold", BYTES("\xff\xff\xff\xff\x0f\0\0"), CODEC_SHORT, NULL },
        { "row 36: one tag more than half the bytes", BYTES("\2\5\0\6"), CODEC_SHORT, NULL },
        { "row 37: size beyond the message", BYTES("\1\5\3xy"), CODEC_SHORT, NULL },
        { "row 37: size 2^32-1", BYTES("\1\5\xff\xff\xff\xff\x0f"), CODEC_SHORT, NULL },
        { "a known one of a size too large", BYTES("\1\0\4\3abc"), CODEC_INVALID, NULL },
        { "a known one of a size too small", BYTES("\1\0\2\3ab"), CODEC_SHORT, NULL },
        { "a known one of size 0", BYTES("\1\0\0"), CODEC_SHORT, NULL },
        { "null in a tag that may be null", BYTES("\1\0\1\0"), CODEC_OK, NULL },
        { "row 27: a cut count", BYTES("\x80"), CODEC_SHORT, NULL },
        { "row 27: a cut tag", BYTES("\1\x80\x80"), CODEC_SHORT, NULL },
        { "row 26: a size of six bytes", BYTES("\1\5\xff\xff\xff\xff\xff\1"), CODEC_INVALID, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct begin_transaction_record record;
        struct end_transaction_record without;
        struct reader reader = reader_on(rows[i].bytes, rows[i].size);
        bool ok = begin_transaction_record_decode(&reader, 0, &record);
        ck_assert_msg(ok == (rows[i].status == CODEC_OK) && reader.status == rows[i].status, "%s: %s",
                      rows[i].what, codec_status_text(reader.status));
        if (ok)
            ck_assert_msg(rows[i].name ? slice_equal_string(record.name, rows[i].name)
                                       : record.name.data == NULL,
                          "%s", rows[i].what);
        /* A message that knows no tags skips them all, whatever is in those of the right size. */
        if (ok) {
            reader = reader_on(rows[i].bytes, rows[i].size);
            ck_assert_msg(end_transaction_record_decode(&reader, 0, &without) && reader_left(&reader) == 0,
                          "%s", rows[i].what);
        }
    }
}
END_TEST

START_TEST(any_byte_but_zero_is_true)
{
    for (int byte = 0; byte < 256; byte++) {
        uint8_t frame[] = { 0, 0, 0, 0, (uint8_t)byte };
        struct metadata_request request;
        struct reader reader;
        reader_init(&reader, slice_of(frame, sizeof frame), &arena);
        ck_assert(metadata_request_decode(&reader, 4, &request));
        ck_assert(request.allow_auto_topic_creation == (byte != 0));
    }
}
END_TEST

START_TEST(request_headers)
{
    static const struct {
        const char *what;
        const char *bytes;
        size_t size;
        enum codec_status status;
        int16_t version;
        const char *client; /* NULL: null */
    } rows[] = {
        { "v1", BYTES("\0\3\0\1\0\0\0\7\0\1c"), CODEC_OK, 1, "c" },
        { "a null client id", BYTES("\0\3\0\1\0\0\0\7\xff\xff"), CODEC_OK, 1, NULL },
        { "v2 has tags, its client id is not compact", BYTES("\0\3\0\x0c\0\0\0\7\0\1c\0"), CODEC_OK, 12,
          "c" },
        { "v2 with an unknown tag", BYTES("\0\3\0\x0c\0\0\0\7\0\1c\1\5\1x"), CODEC_OK, 12, "c" },
        { "v2 without its tags", BYTES("\0\3\0\x0c\0\0\0\7\0\1c"), CODEC_SHORT, 12, "c" },
        { "seven bytes", BYTES("\0\3\0\1\0\0\0"), CODEC_SHORT, 0, NULL },
        { "client id cut", BYTES("\0\3\0\1\0\0\0\7\0\2c"), CODEC_SHORT, 1, NULL },
        { "client id of size -2", BYTES("\0\3\0\1\0\0\0\7\xff\xfe"), CODEC_INVALID, 1, NULL },
        { "no such API, and no byte more", BYTES("\x7f\xff\0\1\0\0\0\7"), CODEC_UNKNOWN_KEY, 1, NULL },
        { "a negative key", BYTES("\xff\xff\0\1\0\0\0\7\0\0"), CODEC_UNKNOWN_KEY, 1, NULL },
        { "Metadata 99", BYTES("\0\3\0\x63\0\0\0\7\0\1c\0"), CODEC_UNKNOWN_VERSION, 99, NULL },
        { "Produce 2 is only advertised", BYTES("\0\0\0\2\0\0\0\7\0\1c"), CODEC_UNKNOWN_VERSION, 2, NULL },
        { "ApiVersions 99 has header v2", BYTES("\0\x12\0\x63\0\0\0\7\0\1c\0junk"), CODEC_UNKNOWN_VERSION, 99,
          "c" },
        { "ApiVersions -1 has header v1", BYTES("\0\x12\xff\xff\0\0\0\7\0\1c"), CODEC_UNKNOWN_VERSION, -1,
          "c" },
        { "ApiVersions 99 without a header", BYTES("\0\x12\0\x63\0\0\0\7"), CODEC_SHORT, 99, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct request_header header = { 0 };
        struct reader reader = reader_on(rows[i].bytes, rows[i].size);
        bool ok = request_header_decode(&reader, &header);
        ck_assert_msg(ok == (rows[i].status == CODEC_OK) && reader.status == rows[i].status, "%s: %s",
                      rows[i].what, codec_status_text(reader.status));
        ck_assert_msg(rows[i].size < 8 ||
                          (header.api_version == rows[i].version && header.correlation_id == 7),
                      "%s", rows[i].what);
        if (reader.status == CODEC_OK || reader.status == CODEC_UNKNOWN_VERSION)
            ck_assert_msg(rows[i].client ? slice_equal_string(header.client_id, rows[i].client)
                                         : header.client_id.data == NULL,
                          "%s", rows[i].what);
    }
}
END_TEST

START_TEST(response_headers)
{
    int32_t id;
    struct reader reader = reader_on(BYTES("\0\0\0\7\0"));
    ck_assert(response_header_decode(&reader, API_KEY_METADATA, 12, &id) && id == 7 &&
              reader_left(&reader) == 0);
    reader = reader_on(BYTES("\0\0\0\7"));
    ck_assert(response_header_decode(&reader, API_KEY_METADATA, 1, &id) && id == 7);
    reader = reader_on(BYTES("\0\0\0\7"));
    ck_assert(response_header_decode(&reader, API_KEY_API_VERSIONS, 4, &id) && id == 7);
    reader = reader_on(BYTES("\0\0\0\7"));
    ck_assert(!response_header_decode(&reader, API_KEY_METADATA, 12, &id) && reader.status == CODEC_SHORT);
    reader = reader_on(BYTES("\0\0\0\7"));
    ck_assert(!response_header_decode(&reader, 999, 0, &id) && reader.status == CODEC_UNKNOWN_KEY);
}
END_TEST

/* The first failure stays: what follows from it must not hide the cause. */
START_TEST(first_failure_stays)
{
    uint32_t value;
    slice text;
    struct reader reader = reader_on(BYTES("\xff\xff"));
    ck_assert(!reader_string(&reader, false, false, &text));
    ck_assert(!reader_uvarint(&reader, &value));
    ck_assert_int_eq(reader.status, CODEC_INVALID);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec reader");
    TCase *cases = tcase_create("all");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, uvarints);
    tcase_add_test(cases, uvarlongs);
    tcase_add_test(cases, varints);
    tcase_add_test(cases, strings_and_bytes);
    tcase_add_test(cases, arrays);
    tcase_add_test(cases, element_budget);
    tcase_add_test(cases, no_memory_for_elements_that_are_not_there);
    tcase_add_test(cases, refused_memory);
    tcase_add_test(cases, tags);
    tcase_add_test(cases, any_byte_but_zero_is_true);
    tcase_add_test(cases, request_headers);
    tcase_add_test(cases, response_headers);
    tcase_add_test(cases, first_failure_stays);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
