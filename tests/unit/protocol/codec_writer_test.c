/* The writer: how bytes get into a chain, and what it refuses to write. */
#include <check.h>

#include "codec/apis.h"
#include "codec/create_topics.h"
#include "codec/fetch.h"
#include "codec/metadata.h"
#include "codec/metadata_records.h"
#include "codec/produce.h"
#include "tests/support/random_message.h"

static struct arena arena;
static struct chain chain;
static struct writer writer;

static void start(void)
{
    chain_init(&chain, &arena);
    writer_init(&writer, &chain);
}

static void set_up(void)
{
    arena_init(&arena, NULL);
    start();
}

static void tear_down(void)
{
    arena_destroy(&arena);
}

START_TEST(numbers)
{
    ck_assert(writer_int8(&writer, -1) && writer_int16(&writer, -2) && writer_int32(&writer, 3) &&
              writer_int64(&writer, -4) && writer_uint16(&writer, 65535) && writer_uint32(&writer, 1) &&
              writer_finish(&writer));
    slice bytes = chain_bytes(&chain, &arena);
    static const uint8_t expected[] = "\xff\xff\xfe\0\0\0\3\xff\xff\xff\xff\xff\xff\xff\xfc\xff\xff\0\0\0\1";
    ck_assert(slice_equal(bytes, slice_of(expected, sizeof expected - 1)));
}
END_TEST

/* What is written comes back, and size_of_* says how long it is. */
START_TEST(varints)
{
    static const uint64_t values[] = { 0,         1,          63,         64,         127,       128,
                                       16383,     16384,      2097151,    2097152,    268435455, 268435456,
                                       INT32_MAX, 2147483648, UINT32_MAX, 4294967296, INT64_MAX, UINT64_MAX };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint64_t value;
        uint32_t value32;
        int64_t signed_value;
        int32_t signed32;
        start();
        ck_assert(writer_uvarlong(&writer, values[i]) && writer_finish(&writer));
        ck_assert_uint_eq(chain.size, size_of_uvarlong(values[i]));
        ck_assert(writer_varlong(&writer, (int64_t)values[i]) &&
                  writer_uvarint(&writer, (uint32_t)values[i]) &&
                  writer_varint(&writer, (int32_t)(uint32_t)values[i]) && writer_finish(&writer));
        struct reader reader;
        reader_init(&reader, chain_bytes(&chain, &arena), &arena);
        ck_assert(reader_uvarlong(&reader, &value) && value == values[i]);
        ck_assert(reader_varlong(&reader, &signed_value) && signed_value == (int64_t)values[i]);
        ck_assert(reader_uvarint(&reader, &value32) && value32 == (uint32_t)values[i]);
        ck_assert(reader_varint(&reader, &signed32) && signed32 == (int32_t)(uint32_t)values[i]);
        ck_assert_uint_eq(reader_left(&reader), 0);
        ck_assert(values[i] > UINT32_MAX ||
                  size_of_uvarint((uint32_t)values[i]) == size_of_uvarlong(values[i]));
    }
}
END_TEST

START_TEST(a_frame_knows_its_size)
{
    static const uint8_t before[] = "before";
    ck_assert(chain_add(&chain, slice_of(before, 6)));
    for (int i = 0; i < 2; i++) {
        ck_assert(writer_begin_frame(&writer));
        ck_assert(writer_raw(&writer, SLICE_LITERAL("abc")) && writer_end_frame(&writer));
    }
    ck_assert(slice_equal(chain_bytes(&chain, &arena), SLICE_LITERAL("before\0\0\0\3abc\0\0\0\3abc")));
}
END_TEST

/* A response of many small fields is few parts: sendmsg takes 1,024 at most. */
START_TEST(many_small_fields_are_few_parts)
{
    struct metadata_response response;
    struct metadata_response_topic *topics = arena_alloc_array(&arena, 10000, sizeof *topics);
    metadata_response_init(&response);
    response.topics = topics;
    response.topics_count = 10000;
    for (int i = 0; i < response.topics_count; i++) {
        metadata_response_topic_init(&topics[i]);
        topics[i].name = SLICE_LITERAL("a-topic-of-an-ordinary-name");
    }
    ck_assert(metadata_response_encode(&writer, 12, &response) && writer_finish(&writer));
    ck_assert_uint_gt(chain.size, 500000);
    ck_assert_uint_lt(chain.count, 20);

    size_t size;
    start();
    ck_assert(metadata_response_size(12, &response, &size) && writer_reserve(&writer, size));
    ck_assert(metadata_response_encode(&writer, 12, &response) && writer_finish(&writer));
    ck_assert_uint_eq(chain.count, 1);
    ck_assert_uint_eq(chain.size, size);
}
END_TEST

static int released;

static void count_release(struct pin *pin)
{
    (void)pin;
    released++;
}

static void fetch_of(struct fetch_response *response, struct records first, struct records second)
{
    struct fetch_response_topic *topic = arena_alloc(&arena, sizeof *topic);
    struct fetch_response_partition *partitions = arena_alloc_array(&arena, 2, sizeof *partitions);
    fetch_response_init(response);
    fetch_response_topic_init(topic);
    for (int i = 0; i < 2; i++)
        fetch_response_partition_init(&partitions[i]);
    partitions[0].records = first;
    partitions[1].records = second;
    partitions[1].partition = 1;
    topic->name = SLICE_LITERAL("t");
    topic->partitions = partitions;
    topic->partitions_count = 2;
    response->topics = topic;
    response->topics_count = 1;
}

/* Records of a mapping are neither copied nor left without a hold. */
START_TEST(pinned_records_join_the_chain)
{
    static const uint8_t segment[] = "0123456789";
    struct pin pin;
    struct fetch_response response, back;
    released = 0;
    pin_init(&pin, count_release);
    fetch_of(&response, (struct records){ slice_of(segment, 4), &pin },
             (struct records){ slice_of(segment + 4, 6), &pin });
    size_t size;
    ck_assert(fetch_response_size(12, &response, &size));
    ck_assert(writer_begin_frame(&writer) && fetch_response_encode(&writer, 12, &response) &&
              writer_end_frame(&writer));
    ck_assert_uint_eq(chain.size, size + 4);
    ck_assert_uint_eq(chain.count, 5);
    ck_assert_ptr_eq(chain.parts[1].bytes.data, segment);
    ck_assert_ptr_eq(chain.parts[1].pin, &pin);
    ck_assert_ptr_eq(chain.parts[3].bytes.data, segment + 4);
    ck_assert_ptr_null(chain.parts[4].pin);

    slice bytes = chain_bytes(&chain, &arena);
    struct reader reader;
    ck_assert_uint_eq(load_be32(bytes.data), size);
    reader_init(&reader, slice_of(bytes.data + 4, bytes.size - 4), &arena);
    ck_assert(fetch_response_decode(&reader, 12, &back) && reader_left(&reader) == 0);
    ck_assert(slice_equal_string(back.topics[0].partitions[0].records.bytes, "0123"));
    ck_assert(slice_equal_string(back.topics[0].partitions[1].records.bytes, "456789"));
    ck_assert_ptr_null(back.topics[0].partitions[1].records.pin);

    pin_drop(&pin);
    ck_assert_int_eq(released, 0);
    arena_reset(&arena);
    ck_assert_int_eq(released, 1);
}
END_TEST

/* Clients take a null for an error where they would take nothing for the end of the log. */
START_TEST(no_records_are_not_null)
{
    static const uint8_t segment[] = "x";
    struct pin pin;
    struct fetch_response response, back;
    pin_init(&pin, count_release);
    for (int16_t version = 4; version <= 18; version++) {
        start();
        fetch_of(&response, (struct records){ slice_of(segment, 0), &pin }, RECORDS_NULL);
        ck_assert(fetch_response_encode(&writer, version, &response) && writer_finish(&writer));
        struct reader reader;
        reader_init(&reader, chain_bytes(&chain, &arena), &arena);
        ck_assert(fetch_response_decode(&reader, version, &back));
        ck_assert_ptr_nonnull(back.topics[0].partitions[0].records.bytes.data);
        ck_assert_uint_eq(back.topics[0].partitions[0].records.bytes.size, 0);
        ck_assert_ptr_null(back.topics[0].partitions[1].records.bytes.data);
    }
}
END_TEST

static bool encode_metadata(int16_t version, const struct metadata_request *request)
{
    size_t size;
    start();
    bool ok = metadata_request_encode(&writer, version, request);
    ck_assert(ok == metadata_request_size(version, request, &size));
    ck_assert(ok == (writer.status == CODEC_OK));
    return ok;
}

START_TEST(what_a_version_cannot_carry)
{
    struct metadata_request request;
    struct metadata_request_topic topic;
    metadata_request_init(&request);
    ck_assert(encode_metadata(0, &request));

    /* allow_auto_topic_creation is 4+, true by default, and not ignorable. */
    request.allow_auto_topic_creation = false;
    ck_assert(!encode_metadata(3, &request));
    ck_assert_int_eq(writer.status, CODEC_UNSUPPORTED);
    ck_assert(encode_metadata(4, &request));
    request.allow_auto_topic_creation = true;

    request.topics_count = -1;
    ck_assert(encode_metadata(1, &request));
    ck_assert(!encode_metadata(0, &request)); /* null from 1 on */
    ck_assert_int_eq(writer.status, CODEC_INVALID);

    metadata_request_topic_init(&topic);
    request.topics = &topic;
    request.topics_count = 1;
    topic.topic_id = UUID_ONE; /* 10+, ignorable: dropped */
    topic.name = SLICE_LITERAL("t");
    ck_assert(encode_metadata(9, &request));
    topic.name = SLICE_NULL; /* null from 10 on */
    ck_assert(!encode_metadata(9, &request));
    ck_assert_int_eq(writer.status, CODEC_INVALID);
    ck_assert(encode_metadata(10, &request));

    request.topics_count = -2;
    ck_assert(!encode_metadata(10, &request));
    ck_assert_int_eq(writer.status, CODEC_INVALID);
}
END_TEST

/* Tagged fields outside their versions leave no trace, set or not (a known bug of others). */
START_TEST(tags_stay_in_their_versions)
{
    struct produce_response response;
    struct produce_response_node_endpoint endpoint;
    produce_response_init(&response);
    produce_response_node_endpoint_init(&endpoint);
    response.node_endpoints = &endpoint;
    response.node_endpoints_count = 1;
    for (int16_t version = 3; version < 10; version++) {
        start();
        ck_assert(!produce_response_encode(&writer, version, &response));
        ck_assert_int_eq(writer.status, CODEC_UNSUPPORTED);
    }
    start();
    ck_assert(produce_response_encode(&writer, 10, &response) && writer_finish(&writer));
    response.node_endpoints_count = 0;

    struct create_topics_response created;
    struct create_topics_response_topic topic;
    create_topics_response_init(&created);
    create_topics_response_topic_init(&topic);
    created.topics = &topic;
    created.topics_count = 1;
    size_t with, without;
    for (int16_t version = 2; version <= 7; version++) {
        topic.topic_config_error_code = 0;
        ck_assert(create_topics_response_size(version, &created, &without));
        topic.topic_config_error_code = 29; /* tag 0, 5+, ignorable */
        ck_assert(create_topics_response_size(version, &created, &with));
        ck_assert_uint_eq(with - without, version >= 5 ? 4 : 0);
    }
}
END_TEST

START_TEST(strings_have_a_largest_size)
{
    static uint8_t text[CODEC_STRING_SIZE_MAX + 1];
    for (int flexible = 0; flexible < 2; flexible++) {
        size_t size = 0;
        start();
        ck_assert(writer_string(&writer, flexible, false, slice_of(text, CODEC_STRING_SIZE_MAX)));
        ck_assert(!writer_string(&writer, flexible, false, slice_of(text, CODEC_STRING_SIZE_MAX + 1)));
        ck_assert_int_eq(writer.status, CODEC_INVALID);
        ck_assert_int_eq(size_add_string(&size, flexible, false, slice_of(text, sizeof text)), CODEC_INVALID);
    }
}
END_TEST

/* A memory budget that is used up fails the answer, and says so. */
START_TEST(refused_memory)
{
    struct budget budget;
    struct budget_share share;
    struct arena bounded;
    static uint8_t text[30000];
    budget_init(&budget, 1 << 20);
    budget_share_init(&share, &budget);
    arena_init(&bounded, &share);
    chain_init(&chain, &bounded);
    writer_init(&writer, &chain);
    bool ok = true;
    for (int i = 0; ok && i < 100; i++)
        ok = writer_bytes(&writer, true, false, slice_of(text, sizeof text));
    ck_assert(!ok);
    ck_assert_int_eq(writer.status, CODEC_NO_MEMORY);
    ck_assert(!writer_finish(&writer));
    arena_destroy(&bounded);
}
END_TEST

START_TEST(headers)
{
    struct request_header header = { API_KEY_METADATA, 12, 7, SLICE_LITERAL("c") };
    ck_assert(request_header_encode(&writer, &header) && writer_finish(&writer));
    ck_assert(slice_equal(chain_bytes(&chain, &arena), SLICE_LITERAL("\0\3\0\x0c\0\0\0\7\0\1c\0")));
    start();
    header.api_version = 1;
    header.client_id = SLICE_NULL;
    ck_assert(request_header_encode(&writer, &header) && writer_finish(&writer));
    ck_assert(slice_equal(chain_bytes(&chain, &arena), SLICE_LITERAL("\0\3\0\1\0\0\0\7\xff\xff")));
    header.api_version = 99;
    ck_assert(!request_header_encode(&writer, &header) && writer.status == CODEC_UNKNOWN_VERSION);
    start();
    ck_assert(response_header_encode(&writer, API_KEY_METADATA, 12, 7) && writer_finish(&writer));
    ck_assert(slice_equal(chain_bytes(&chain, &arena), SLICE_LITERAL("\0\0\0\7\0")));
    start();
    ck_assert(response_header_encode(&writer, API_KEY_API_VERSIONS, 4, 7) && writer_finish(&writer));
    ck_assert(slice_equal(chain_bytes(&chain, &arena), SLICE_LITERAL("\0\0\0\7")));
    ck_assert(!response_header_encode(&writer, 999, 0, 7) && writer.status == CODEC_UNKNOWN_KEY);
}
END_TEST

/* Printers: bounded, escaped, without secrets, and without names where these are hidden. */
START_TEST(printing)
{
    char text[256];
    struct printer printer;
    struct config_record config;
    struct topic_record topic;
    config_record_init(&config);
    config.resource_name = SLICE_LITERAL("a\"\\\n\xff\0z");
    config.name = SLICE_LITERAL("ssl.keystore.password");
    config.value = SLICE_LITERAL("hunter2");
    printer_init(&printer, text, sizeof text);
    config_record_print(&printer, 0, &config);
    ck_assert_str_eq(text, "config_record v0 {resource_type=0, resource_name=\"a\\\"\\\\\\x0a\\xff\\x00z\", "
                           "name=\"ssl.keystore.password\", value=***}");
    ck_assert(!printer.cut);

    topic_record_init(&topic);
    topic.name = SLICE_LITERAL("orders");
    printer_init(&printer, text, sizeof text);
    topic_record_print(&printer, 0, &topic);
    ck_assert_str_eq(text, "topic_record v0 {name=\"orders\", topic_id=AAAAAAAAAAAAAAAAAAAAAA}");
    printer_init(&printer, text, sizeof text);
    printer.hide_entities = true;
    topic_record_print(&printer, 0, &topic);
    ck_assert_ptr_null(strstr(text, "orders"));
    ck_assert_ptr_nonnull(strstr(text, "name=topic#"));

    for (size_t capacity = 1; capacity <= 60; capacity++) {
        memset(text, 'X', sizeof text);
        printer_init(&printer, text, capacity);
        topic_record_print(&printer, 0, &topic);
        ck_assert_uint_lt(strlen(text), capacity);
        ck_assert(printer.cut && text[capacity] == 'X');
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec writer");
    TCase *cases = tcase_create("all");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, numbers);
    tcase_add_test(cases, varints);
    tcase_add_test(cases, a_frame_knows_its_size);
    tcase_add_test(cases, many_small_fields_are_few_parts);
    tcase_add_test(cases, pinned_records_join_the_chain);
    tcase_add_test(cases, no_records_are_not_null);
    tcase_add_test(cases, what_a_version_cannot_carry);
    tcase_add_test(cases, tags_stay_in_their_versions);
    tcase_add_test(cases, strings_have_a_largest_size);
    tcase_add_test(cases, refused_memory);
    tcase_add_test(cases, headers);
    tcase_add_test(cases, printing);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
