/* What librdkafka produces comes back as it was: acks, sizes, codecs, headers, nulls, timestamps. */
#include "protocol/base/clock.h"
#include "tests/support/kafka_client.h"
#include "tests/support/served.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MESSAGES = 100,
    /* Kafka's default message.max.bytes bounds the batch: 61 bytes of header, then the one record with 11
     * bytes of lengths and flags around a value of this size and without key and headers. */
    MESSAGE_MAX_BYTES = 1048588,
    LARGEST_VALUE = MESSAGE_MAX_BYTES - 61 - 11,
};

static struct served served;

static rd_kafka_t *producer_with(const char *name, const char *value)
{
    const char *settings[] = { name, value, "linger.ms", "0", NULL };
    return client_create(RD_KAFKA_PRODUCER, served.bootstrap, settings);
}

static rd_kafka_t *consumer(void)
{
    static const char *const settings[] = { "check.crcs", "true", NULL };
    return client_create(RD_KAFKA_CONSUMER, served.bootstrap, settings);
}

static struct message text_message(const char *key, const char *value)
{
    return (struct message){ .key = slice_of_string(key), .value = slice_of_string(value) };
}

static bool is_same(const void *data, size_t size, slice expected)
{
    if (slice_is_null(expected))
        return data == NULL;
    return data != NULL && slice_equal(slice_of(data, size), expected);
}

/* Reads the next record and compares it. */
static void expect_next(struct reader *reader, int64_t offset, slice key, slice value)
{
    rd_kafka_message_t *got = reader_next(reader);
    ck_assert_int_eq(got->offset, offset);
    ck_assert_msg(is_same(got->key, got->key_len, key), "key of offset %lld", (long long)offset);
    ck_assert_msg(is_same(got->payload, got->len, value), "value of offset %lld", (long long)offset);
    rd_kafka_message_destroy(got);
}

static void number(char text[32], int i)
{
    snprintf(text, 32, "value-%d", i);
}

static const char *const acks_values[] = { "0", "1", "all" };

START_TEST(every_acks_delivers_all_in_order)
{
    const char *acks = acks_values[_i];
    const char *topic = served_topic("acks");
    struct delivery *deliveries = calloc(MESSAGES, sizeof *deliveries);
    rd_kafka_t *producer = producer_with("acks", acks);
    rd_kafka_t *reading = consumer();
    struct reader reader;
    char text[32];

    /* The topic comes first: a record sent with acks=0 to a topic in the making is lost rightly. */
    struct message first = text_message(NULL, "first");
    rd_kafka_t *maker = producer_with("acks", "all");
    ck_assert_int_eq(client_send_one(maker, topic, 3, &first).error, RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(maker);
    for (int i = 0; i < MESSAGES; i++) {
        number(text, i);
        struct message message = text_message("key", text);
        client_send(producer, topic, 3, &message, &deliveries[i]);
    }
    client_flush(producer);
    for (int i = 0; i < MESSAGES; i++) {
        ck_assert(deliveries[i].done);
        ck_assert_int_eq(deliveries[i].error, RD_KAFKA_RESP_ERR_NO_ERROR);
        if (strcmp(acks, "0") != 0)
            ck_assert_int_eq(deliveries[i].offset, i + 1);
    }
    reader_open(&reader, reading, topic, 3, RD_KAFKA_OFFSET_BEGINNING);
    expect_next(&reader, 0, SLICE_NULL, SLICE_LITERAL("first"));
    for (int i = 0; i < MESSAGES; i++) {
        number(text, i);
        expect_next(&reader, i + 1, SLICE_LITERAL("key"), slice_of_string(text));
    }
    reader_close(&reader);
    rd_kafka_destroy(reading);
    rd_kafka_destroy(producer);
    free(deliveries);
}
END_TEST

static const char *const codecs[] = { "none", "gzip", "snappy", "lz4", "zstd" };

START_TEST(every_codec_comes_back)
{
    const char *topic = served_topic("codec");
    const char *settings[] = { "compression.type", codecs[_i], "linger.ms", "20", "batch.num.messages", "50", NULL };
    struct delivery *deliveries = calloc(10 * MESSAGES, sizeof *deliveries);
    rd_kafka_t *producer = client_create(RD_KAFKA_PRODUCER, served.bootstrap, settings);
    rd_kafka_t *reading = consumer();
    struct reader reader;
    char text[32];

    for (int i = 0; i < 10 * MESSAGES; i++) {
        number(text, i);
        struct message message = text_message(codecs[_i], text);
        client_send(producer, topic, 0, &message, &deliveries[i]);
    }
    client_flush(producer);
    reader_open(&reader, reading, topic, 0, RD_KAFKA_OFFSET_BEGINNING);
    for (int i = 0; i < 10 * MESSAGES; i++) {
        ck_assert_int_eq(deliveries[i].offset, i);
        number(text, i);
        expect_next(&reader, i, slice_of_string(codecs[_i]), slice_of_string(text));
    }
    reader_close(&reader);
    rd_kafka_destroy(reading);
    rd_kafka_destroy(producer);
    free(deliveries);
}
END_TEST

static const struct {
    const char *what;
    size_t size;
    rd_kafka_resp_err_t error;
} sizes[] = {
    { "well below the limit", 1000000, RD_KAFKA_RESP_ERR_NO_ERROR },
    { "a batch of exactly message.max.bytes", LARGEST_VALUE, RD_KAFKA_RESP_ERR_NO_ERROR },
    { "a batch of one byte more", LARGEST_VALUE + 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE },
    { "a value of 1 MiB, whose batch is larger", 1048576, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE },
    { "a value of 3 MiB", 3 << 20, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE },
};

static uint8_t *large_value(size_t size)
{
    uint8_t *value = malloc(size);
    ck_assert_ptr_nonnull(value);
    for (size_t i = 0; i < size; i++)
        value[i] = (uint8_t)(i * 2654435761u >> 13);
    return value;
}

START_TEST(a_batch_may_have_message_max_bytes)
{
    const char *topic = served_topic("size");
    rd_kafka_t *producer = producer_with("message.max.bytes", "8000000");
    rd_kafka_t *reading = consumer();
    uint8_t *value = large_value(sizes[_i].size);
    struct message small = text_message("key", "small");
    struct message large = { .value = slice_of(value, sizes[_i].size) };
    struct reader reader;

    struct delivery delivery = client_send_one(producer, topic, 0, &large);
    ck_assert_msg(delivery.error == sizes[_i].error, "%s: %s", sizes[_i].what, rd_kafka_err2name(delivery.error));
    /* The connection goes on after either answer. */
    ck_assert_int_eq(client_send_one(producer, topic, 0, &small).error, RD_KAFKA_RESP_ERR_NO_ERROR);
    reader_open(&reader, reading, topic, 0, RD_KAFKA_OFFSET_BEGINNING);
    if (sizes[_i].error == RD_KAFKA_RESP_ERR_NO_ERROR)
        expect_next(&reader, 0, SLICE_NULL, large.value);
    expect_next(&reader, delivery.error ? 0 : 1, SLICE_LITERAL("key"), SLICE_LITERAL("small"));
    reader_close(&reader);
    rd_kafka_destroy(reading);
    rd_kafka_destroy(producer);
    free(value);
}
END_TEST

START_TEST(headers_come_back_in_order)
{
    const char *topic = served_topic("headers");
    rd_kafka_t *producer = producer_with("acks", "all");
    rd_kafka_t *reading = consumer();
    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    struct reader reader;

    rd_kafka_header_add(headers, "name", -1, "value", -1);
    rd_kafka_header_add(headers, "name", -1, "again", -1);
    rd_kafka_header_add(headers, "bytes", -1, "a\0b\xff", 4);
    rd_kafka_header_add(headers, "empty", -1, "", 0);
    rd_kafka_header_add(headers, "null", -1, NULL, 0);
    rd_kafka_header_add(headers, "", 0, "no name", -1);
    struct message message = { .value = SLICE_LITERAL("with headers"), .headers = headers };
    ck_assert_int_eq(client_send_one(producer, topic, 0, &message).error, RD_KAFKA_RESP_ERR_NO_ERROR);

    reader_open(&reader, reading, topic, 0, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_message_t *got = reader_next(&reader);
    rd_kafka_headers_t *found;
    ck_assert_int_eq(rd_kafka_message_headers(got, &found), RD_KAFKA_RESP_ERR_NO_ERROR);
    static const struct {
        const char *name;
        slice value;
    } expected[] = {
        { "name", { (const uint8_t *)"value", 5 } },    { "name", { (const uint8_t *)"again", 5 } },
        { "bytes", { (const uint8_t *)"a\0b\xff", 4 } }, { "empty", { (const uint8_t *)"", 0 } },
        { "null", { NULL, 0 } },                        { "", { (const uint8_t *)"no name", 7 } },
    };
    enum { EXPECTED_COUNT = sizeof expected / sizeof *expected };
    ck_assert_uint_eq(rd_kafka_header_cnt(found), EXPECTED_COUNT);
    for (size_t i = 0; i < EXPECTED_COUNT; i++) {
        const char *name;
        const void *value;
        size_t size;
        ck_assert_int_eq(rd_kafka_header_get_all(found, i, &name, &value, &size), RD_KAFKA_RESP_ERR_NO_ERROR);
        ck_assert_str_eq(name, expected[i].name);
        ck_assert_msg(is_same(value, size, expected[i].value), "value of header %zu", i);
    }
    rd_kafka_message_destroy(got);
    reader_close(&reader);
    rd_kafka_destroy(reading);
    rd_kafka_destroy(producer);
}
END_TEST

START_TEST(null_and_empty_are_two_things)
{
    static const struct message messages[] = {
        { .key = { NULL, 0 }, .value = { NULL, 0 } },
        { .key = { NULL, 0 }, .value = { (const uint8_t *)"", 0 } },
        { .key = { (const uint8_t *)"", 0 }, .value = { NULL, 0 } },
        { .key = { (const uint8_t *)"", 0 }, .value = { (const uint8_t *)"", 0 } },
        { .key = { (const uint8_t *)"k", 1 }, .value = { NULL, 0 } },
        { .key = { NULL, 0 }, .value = { (const uint8_t *)"v", 1 } },
    };
    enum { COUNT = sizeof messages / sizeof *messages };
    const char *topic = served_topic("null");
    rd_kafka_t *producer = producer_with("acks", "all");
    rd_kafka_t *reading = consumer();
    struct reader reader;

    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(client_send_one(producer, topic, 0, &messages[i]).error, RD_KAFKA_RESP_ERR_NO_ERROR);
    reader_open(&reader, reading, topic, 0, RD_KAFKA_OFFSET_BEGINNING);
    for (int i = 0; i < COUNT; i++)
        expect_next(&reader, i, messages[i].key, messages[i].value);
    reader_close(&reader);
    rd_kafka_destroy(reading);
    rd_kafka_destroy(producer);
}
END_TEST

static void expect_timestamp(struct reader *reader, rd_kafka_timestamp_type_t type, int64_t least, int64_t most)
{
    rd_kafka_timestamp_type_t found;
    rd_kafka_message_t *got = reader_next(reader);
    int64_t timestamp_ms = rd_kafka_message_timestamp(got, &found);
    ck_assert_int_eq(found, type);
    ck_assert_int_ge(timestamp_ms, least);
    ck_assert_int_le(timestamp_ms, most);
    rd_kafka_message_destroy(got);
}

START_TEST(create_time_is_the_producers)
{
    static const int64_t times[] = { 1, 1500000000000, 1500000000001, 1400000000000 };
    enum { COUNT = sizeof times / sizeof *times };
    const char *topic = served_topic("createtime");
    rd_kafka_t *producer = producer_with("linger.ms", "5");
    rd_kafka_t *reading = consumer();
    struct delivery deliveries[COUNT];
    struct reader reader;

    for (int i = 0; i < COUNT; i++) {
        struct message message = { .value = SLICE_LITERAL("v"), .timestamp_ms = times[i] };
        client_send(producer, topic, 0, &message, &deliveries[i]);
    }
    client_flush(producer);
    reader_open(&reader, reading, topic, 0, RD_KAFKA_OFFSET_BEGINNING);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(deliveries[i].error, RD_KAFKA_RESP_ERR_NO_ERROR);
        expect_timestamp(&reader, RD_KAFKA_TIMESTAMP_CREATE_TIME, times[i], times[i]);
    }
    reader_close(&reader);
    rd_kafka_destroy(reading);
    rd_kafka_destroy(producer);
}
END_TEST

/* Brokers of their own settings: not for the broker of somebody else. */
START_TEST(log_append_time_is_the_brokers)
{
    static const char *const arguments[] = { "--override", "log.message.timestamp.type=LogAppendTime", NULL };
    served_start(&served, RUNNEL_BINARY, arguments);
    if (served_is_foreign(&served)) {
        served_stop(&served);
        return;
    }
    const char *settings[] = { "compression.type", codecs[_i], "linger.ms", "5", NULL };
    rd_kafka_t *producer = client_create(RD_KAFKA_PRODUCER, served.bootstrap, settings);
    rd_kafka_t *reading = consumer();
    struct delivery deliveries[MESSAGES];
    struct reader reader;
    int64_t before = clock_wall_ms(clock_real());

    for (int i = 0; i < MESSAGES; i++) {
        struct message message = { .value = SLICE_LITERAL("v"), .timestamp_ms = 1 + i };
        client_send(producer, "t", 0, &message, &deliveries[i]);
    }
    client_flush(producer);
    int64_t after = clock_wall_ms(clock_real());
    reader_open(&reader, reading, "t", 0, RD_KAFKA_OFFSET_BEGINNING);
    for (int i = 0; i < MESSAGES; i++) {
        ck_assert_int_eq(deliveries[i].error, RD_KAFKA_RESP_ERR_NO_ERROR);
        ck_assert_int_ge(deliveries[i].timestamp_ms, before);
        expect_timestamp(&reader, RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME, before, after);
    }
    reader_close(&reader);
    rd_kafka_destroy(reading);
    rd_kafka_destroy(producer);
    served_stop(&served);
}
END_TEST

START_TEST(a_raised_limit_lets_larger_batches_in)
{
    static const char *const arguments[] = { "--override", "message.max.bytes=4194304", NULL };
    served_start(&served, RUNNEL_BINARY, arguments);
    if (served_is_foreign(&served)) {
        served_stop(&served);
        return;
    }
    rd_kafka_t *producer = producer_with("message.max.bytes", "8000000");
    rd_kafka_t *reading = consumer();
    uint8_t *value = large_value(4000000);
    struct reader reader;

    for (int i = 0; i < 3; i++) {
        struct message large = { .value = slice_of(value, 4000000) };
        ck_assert_int_eq(client_send_one(producer, "t", 0, &large).error, RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    /* The reader's own limit per partition is 1 MiB: a batch beyond it still comes, alone. */
    reader_open(&reader, reading, "t", 0, RD_KAFKA_OFFSET_BEGINNING);
    for (int i = 0; i < 3; i++)
        expect_next(&reader, i, SLICE_NULL, slice_of(value, 4000000));
    reader_close(&reader);
    rd_kafka_destroy(reading);
    rd_kafka_destroy(producer);
    free(value);
    served_stop(&served);
}
END_TEST

static void start_broker(void)
{
    static const char *const arguments[] = { "--override", "num.partitions=16", NULL };
    served_start(&served, RUNNEL_BINARY, arguments);
}

static void stop_broker(void)
{
    served_stop(&served);
}

int main(void)
{
    Suite *suite = suite_create("librdkafka produces");
    TCase *defaults = tcase_create("a broker with defaults");
    TCase *own = tcase_create("brokers with settings");
    tcase_add_checked_fixture(defaults, start_broker, stop_broker);
    tcase_set_timeout(defaults, 90);
    tcase_add_loop_test(defaults, every_acks_delivers_all_in_order, 0, 3);
    tcase_add_loop_test(defaults, every_codec_comes_back, 0, 5);
    tcase_add_loop_test(defaults, a_batch_may_have_message_max_bytes, 0, sizeof sizes / sizeof *sizes);
    tcase_add_test(defaults, headers_come_back_in_order);
    tcase_add_test(defaults, null_and_empty_are_two_things);
    tcase_add_test(defaults, create_time_is_the_producers);
    suite_add_tcase(suite, defaults);
    tcase_set_timeout(own, 90);
    tcase_add_loop_test(own, log_append_time_is_the_brokers, 0, 5);
    tcase_add_test(own, a_raised_limit_lets_larger_batches_in);
    suite_add_tcase(suite, own);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
