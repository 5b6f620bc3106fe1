/* librdkafka finds records by offset, by time, at the beginning and the end, and waits for those to come. */
#include "tests/support/kafka_client.h"
#include "tests/support/served.h"

#include "protocol/base/clock.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { RECORDS = 200, PARTITION = 5 };

static struct served served;
static const char *topic;
static rd_kafka_t *producer;
static rd_kafka_t *consumer;

/* Record i has the value "i" and the time 1,000,000,000,000 + 10 i. */
static int64_t time_of(int i)
{
    return 1000000000000 + 10 * i;
}

static void send_record(int i)
{
    char text[16];
    snprintf(text, sizeof text, "%d", i);
    struct message message = { .value = slice_of_string(text), .timestamp_ms = time_of(i) };
    struct delivery delivery = client_send_one(producer, topic, PARTITION, &message);
    ck_assert_int_eq(delivery.error, RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_int_eq(delivery.offset, i);
}

/* Ten records a batch, so that a time may also lie inside one. */
static void send_batches(void)
{
    static const char *const settings[] = { "linger.ms", "50", "batch.num.messages", "10", NULL };
    struct delivery *deliveries = calloc(RECORDS, sizeof *deliveries);
    rd_kafka_t *batching = client_create(RD_KAFKA_PRODUCER, served.bootstrap, settings);
    for (int i = 0; i < RECORDS; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        struct message message = { .value = slice_of_string(text), .timestamp_ms = time_of(i) };
        client_send(batching, topic, PARTITION, &message, &deliveries[i]);
    }
    client_flush(batching);
    for (int i = 0; i < RECORDS; i++) {
        ck_assert_int_eq(deliveries[i].error, RD_KAFKA_RESP_ERR_NO_ERROR);
        ck_assert_int_eq(deliveries[i].offset, i);
    }
    rd_kafka_destroy(batching);
    free(deliveries);
}

static void start_broker(void)
{
    static const char *const arguments[] = { "--override", "num.partitions=16", NULL };
    static const char *const producing[] = { "linger.ms", "0", NULL };
    static const char *const consuming[] = { "enable.partition.eof", "true", "check.crcs", "true", NULL };
    served_start(&served, RUNNEL_BINARY, arguments);
    topic = served_topic("consume");
    producer = client_create(RD_KAFKA_PRODUCER, served.bootstrap, producing);
    consumer = client_create(RD_KAFKA_CONSUMER, served.bootstrap, consuming);
}

static void stop_broker(void)
{
    rd_kafka_destroy(consumer);
    rd_kafka_destroy(producer);
    served_stop(&served);
}

/* Skips the reports "end of the partition", which are events here. */
static int64_t next_offset(struct reader *reader)
{
    char text[16];
    rd_kafka_message_t *got;
    int64_t deadline_ms = clock_mono_ms(clock_real()) + CLIENT_DEADLINE_MS;
    for (;;) {
        got = reader_poll(reader, 1000);
        if (got && got->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
            break;
        if (got)
            rd_kafka_message_destroy(got);
        ck_assert_msg(clock_mono_ms(clock_real()) < deadline_ms, "no record came");
    }
    ck_assert_msg(got->err == RD_KAFKA_RESP_ERR_NO_ERROR, "%s", rd_kafka_err2name(got->err));
    int64_t offset = got->offset;
    snprintf(text, sizeof text, "%lld", (long long)offset);
    ck_assert(slice_equal_string(slice_of(got->payload, got->len), text));
    rd_kafka_message_destroy(got);
    return offset;
}

static void expect_event(struct reader *reader, rd_kafka_resp_err_t error)
{
    rd_kafka_message_t *got = reader_poll(reader, CLIENT_DEADLINE_MS);
    ck_assert_ptr_nonnull(got);
    ck_assert_msg(got->err == error, "%s", rd_kafka_err2name(got->err));
    rd_kafka_message_destroy(got);
}

static const struct {
    const char *what;
    int64_t from;
    int64_t first;
} starts[] = {
    { "the beginning", RD_KAFKA_OFFSET_BEGINNING, 0 },
    { "the first offset", 0, 0 },
    { "an offset inside a batch", 37, 37 },
    { "the last record of a batch", 39, 39 },
    { "the last offset", RECORDS - 1, RECORDS - 1 },
    { "five before the end", RD_KAFKA_OFFSET_TAIL(5), RECORDS - 5 },
};

START_TEST(reads_from_an_offset_to_the_end)
{
    struct reader reader;
    send_batches();
    reader_open(&reader, consumer, topic, PARTITION, starts[_i].from);
    for (int64_t offset = starts[_i].first; offset < RECORDS; offset++)
        ck_assert_msg(next_offset(&reader) == offset, "%s", starts[_i].what);
    expect_event(&reader, RD_KAFKA_RESP_ERR__PARTITION_EOF);
    reader_close(&reader);
}
END_TEST

START_TEST(an_offset_beyond_the_end_is_out_of_range)
{
    struct reader reader;
    send_batches();
    reader_open(&reader, consumer, topic, PARTITION, RECORDS + 1);
    expect_event(&reader, RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET);
    reader_close(&reader);
    /* The connection and its consumer live on. */
    reader_open(&reader, consumer, topic, PARTITION, 7);
    ck_assert_int_eq(next_offset(&reader), 7);
    reader_close(&reader);
}
END_TEST

static const struct {
    const char *what;
    int64_t time_ms;
    int64_t offset;
} times[] = {
    { "before all", 0, 0 },
    { "exactly the first", 1000000000000, 0 },
    { "exactly one inside a batch", 1000000000000 + 370, 37 },
    { "just before one inside a batch", 1000000000000 + 369, 37 },
    { "just after one inside a batch", 1000000000000 + 371, 38 },
    { "just after the last of a batch", 1000000000000 + 391, 40 },
    { "exactly the last", 1000000000000 + 10 * (RECORDS - 1), RECORDS - 1 },
    { "after all", 1000000000000 + 10 * RECORDS, RD_KAFKA_OFFSET_END },
};

START_TEST(finds_offsets_by_time_and_bounds)
{
    int64_t first, end;
    send_batches();
    client_bounds(consumer, topic, PARTITION, &first, &end);
    ck_assert_int_eq(first, 0);
    ck_assert_int_eq(end, RECORDS);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t offset = client_offset_for_time(consumer, topic, PARTITION, times[i].time_ms);
        ck_assert_msg(offset == times[i].offset, "%s: %lld", times[i].what, (long long)offset);
    }
    client_bounds(consumer, topic, PARTITION + 1, &first, &end);
    ck_assert_int_eq(first, 0);
    ck_assert_int_eq(end, 0);
}
END_TEST

/* A fetch may wait for 5 s here; a record must end it at once, not at its end. */
START_TEST(a_long_poll_ends_with_the_record)
{
    static const char *const settings[] = { "fetch.wait.max.ms", "5000", "enable.partition.eof", "true", NULL };
    rd_kafka_t *patient = client_create(RD_KAFKA_CONSUMER, served.bootstrap, settings);
    struct reader reader;
    send_record(0);
    reader_open(&reader, patient, topic, PARTITION, RD_KAFKA_OFFSET_BEGINNING);
    ck_assert_int_eq(next_offset(&reader), 0);
    expect_event(&reader, RD_KAFKA_RESP_ERR__PARTITION_EOF); /* the long poll is under way, or about to be */
    int64_t before_ms = clock_mono_ms(clock_real());
    for (int i = 1; i <= 20; i++) {
        send_record(i);
        ck_assert_int_eq(next_offset(&reader), i);
    }
    ck_assert_int_lt(clock_mono_ms(clock_real()) - before_ms, 4500);
    reader_close(&reader);
    rd_kafka_destroy(patient);
}
END_TEST

START_TEST(a_reader_at_the_end_sees_only_what_comes)
{
    int64_t first, end;
    struct reader reader;
    send_batches();
    client_bounds(consumer, topic, PARTITION, &first, &end);
    reader_open(&reader, consumer, topic, PARTITION, RD_KAFKA_OFFSET_END);
    expect_event(&reader, RD_KAFKA_RESP_ERR__PARTITION_EOF);
    send_record(RECORDS);
    ck_assert_int_eq(next_offset(&reader), RECORDS);
    reader_close(&reader);
}
END_TEST

START_TEST(everything_is_there_after_a_clean_restart)
{
    static const char *const arguments[] = { "--override", "num.partitions=16", NULL };
    if (served_is_foreign(&served))
        return;
    send_batches();
    ck_assert_int_eq(broker_process_stop(served.broker), 0);
    served_restart(&served, RUNNEL_BINARY, arguments);
    rd_kafka_t *fresh = client_create(RD_KAFKA_CONSUMER, served.bootstrap, NULL);
    struct reader reader;
    int64_t first, end;
    client_bounds(fresh, topic, PARTITION, &first, &end);
    ck_assert_int_eq(end, RECORDS);
    ck_assert_int_eq(client_offset_for_time(fresh, topic, PARTITION, time_of(100)), 100);
    reader_open(&reader, fresh, topic, PARTITION, RD_KAFKA_OFFSET_BEGINNING);
    for (int64_t offset = 0; offset < RECORDS; offset++)
        ck_assert_int_eq(next_offset(&reader), offset);
    reader_close(&reader);
    rd_kafka_destroy(fresh);
}
END_TEST

static const struct {
    const char *name;
    rd_kafka_resp_err_t error;
} bad_topics[] = {
    { "a space", RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION },
    { "slash/", RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION },
    { "..", RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION },
};

START_TEST(a_name_that_is_no_topic_is_refused)
{
    for (size_t i = 0; i < sizeof bad_topics / sizeof *bad_topics; i++) {
        const struct rd_kafka_metadata *metadata;
        rd_kafka_topic_t *handle = rd_kafka_topic_new(producer, bad_topics[i].name, NULL);
        ck_assert_int_eq(rd_kafka_metadata(producer, 0, handle, &metadata, CLIENT_DEADLINE_MS), 0);
        ck_assert_int_eq(metadata->topic_cnt, 1);
        ck_assert_msg(metadata->topics[0].err == bad_topics[i].error, "%s: %s", bad_topics[i].name,
                      rd_kafka_err2name(metadata->topics[0].err));
        rd_kafka_metadata_destroy(metadata);
        rd_kafka_topic_destroy(handle);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("librdkafka consumes");
    TCase *tests = tcase_create("a broker with 16 partitions");
    tcase_add_checked_fixture(tests, start_broker, stop_broker);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, reads_from_an_offset_to_the_end, 0, sizeof starts / sizeof *starts);
    tcase_add_test(tests, an_offset_beyond_the_end_is_out_of_range);
    tcase_add_test(tests, finds_offsets_by_time_and_bounds);
    tcase_add_test(tests, a_long_poll_ends_with_the_record);
    tcase_add_test(tests, a_reader_at_the_end_sees_only_what_comes);
    tcase_add_test(tests, everything_is_there_after_a_clean_restart);
    tcase_add_test(tests, a_name_that_is_no_topic_is_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
