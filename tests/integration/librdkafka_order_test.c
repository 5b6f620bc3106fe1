/* Five batches of an idempotent librdkafka producer in flight, large ones that the broker hands to a worker
 * among small ones that it does not: none overtakes another. And what a producer with transactions is told.
 */
#include "protocol/base/clock.h"
#include "tests/support/kafka_client.h"
#include "tests/support/served.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MESSAGES = 600,
    LARGE_EVERY = 3,
    /* Of one letter, so that few bytes travel: the broker decodes more than it does on a loop (256 KiB). */
    LARGE_SIZE = 900 * 1024,
};

static struct served served;

/* What librdkafka's statistics say of retries; none is needed where order holds. */
struct retries {
    bool known;
    long count;
};

static int read_statistics(rd_kafka_t *client, char *json, size_t size, void *opaque)
{
    static const char name[] = "\"txretries\":";
    struct retries *retries = opaque;
    (void)client;
    (void)size;
    retries->known = true;
    retries->count = 0;
    for (const char *at = strstr(json, name); at; at = strstr(at + 1, name))
        retries->count += strtol(at + sizeof name - 1, NULL, 10);
    return 0;
}

static void take_report(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct delivery *delivery = message->_private;
    (void)client;
    (void)opaque;
    *delivery = (struct delivery){ .done = true, .error = message->err, .offset = message->offset };
}

static rd_kafka_t *idempotent_producer(const char *codec, struct retries *retries)
{
    const char *const settings[][2] = {
        { "bootstrap.servers", served.bootstrap },
        { "enable.idempotence", "true" },
        { "max.in.flight.requests.per.connection", "5" },
        { "compression.type", codec },
        { "batch.num.messages", "1" }, /* each message is a batch */
        { "linger.ms", "0" },
        { "statistics.interval.ms", "20" },
    };
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        ck_assert_int_eq(rd_kafka_conf_set(conf, settings[i][0], settings[i][1], error, sizeof error),
                         RD_KAFKA_CONF_OK);
    rd_kafka_conf_set_stats_cb(conf, read_statistics);
    rd_kafka_conf_set_dr_msg_cb(conf, take_report);
    rd_kafka_conf_set_opaque(conf, retries);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    ck_assert_msg(producer, "%s", error);
    return producer;
}

static size_t value_of(int number, char *value)
{
    size_t size = number % LARGE_EVERY == 0 ? LARGE_SIZE : 20;
    memset(value, 'x', size);
    return (size_t)snprintf(value, 16, "%d", number) < size ? size : 0;
}

static void send_all(rd_kafka_t *producer, const char *topic, struct delivery *deliveries)
{
    char *value = malloc(LARGE_SIZE);
    for (int i = 0; i < MESSAGES; i++) {
        struct message message = { .value = slice_of(value, value_of(i, value)) };
        client_send(producer, topic, 0, &message, &deliveries[i]);
    }
    client_flush(producer);
    free(value);
}

static void expect_records(const char *topic)
{
    rd_kafka_t *reading = client_create(RD_KAFKA_CONSUMER, served.bootstrap, NULL);
    struct reader reader;
    int64_t first, end;
    client_bounds(reading, topic, 0, &first, &end);
    ck_assert_int_eq(end, MESSAGES);
    reader_open(&reader, reading, topic, 0, RD_KAFKA_OFFSET_BEGINNING);
    for (int i = 0; i < MESSAGES; i++) {
        rd_kafka_message_t *got = reader_next(&reader);
        ck_assert_int_eq(got->offset, i);
        ck_assert_int_eq(atoi(got->payload), i);
        rd_kafka_message_destroy(got);
    }
    reader_close(&reader);
    rd_kafka_destroy(reading);
}

static const char *const codecs[] = { "zstd", "lz4", "gzip", "snappy" };

START_TEST(large_batches_are_not_overtaken)
{
    char topic[64];
    struct retries retries = { 0 };
    struct delivery *deliveries = calloc(MESSAGES, sizeof *deliveries);
    snprintf(topic, sizeof topic, "%s", served_topic("order"));
    rd_kafka_t *producer = idempotent_producer(codecs[_i], &retries);
    send_all(producer, topic, deliveries);
    for (int i = 0; i < MESSAGES; i++) {
        ck_assert(deliveries[i].done);
        ck_assert_msg(deliveries[i].error == RD_KAFKA_RESP_ERR_NO_ERROR, "%d: %s", i,
                      rd_kafka_err2str(deliveries[i].error));
        ck_assert_int_eq(deliveries[i].offset, i);
    }
    for (retries.known = false; !retries.known;)
        rd_kafka_poll(producer, 1000);
    ck_assert_msg(retries.count == 0, "%ld retries", retries.count);
    rd_kafka_destroy(producer);
    free(deliveries);
    expect_records(topic);
}
END_TEST

/* Transactions are not served. The application learns it at once, in words, and not when its time is over. */
START_TEST(transactions_are_refused_at_once)
{
    static const char *const settings[] = { "transactional.id", "mine", NULL };
    enum { TIMEOUT_MS = 30000, AT_ONCE_MS = 5000 };
    if (served_is_foreign(&served))
        return;
    int64_t start_ms = clock_mono_ms(clock_real());
    rd_kafka_t *producer = client_create(RD_KAFKA_PRODUCER, served.bootstrap, settings);
    rd_kafka_error_t *error = rd_kafka_init_transactions(producer, TIMEOUT_MS);
    ck_assert_int_lt(clock_mono_ms(clock_real()) - start_ms, AT_ONCE_MS);
    ck_assert_ptr_nonnull(error);
    ck_assert(rd_kafka_error_is_fatal(error));
    ck_assert_int_eq(rd_kafka_error_code(error), RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    ck_assert_msg(strstr(rd_kafka_error_string(error), "does not serve transactions"), "%s",
                  rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    rd_kafka_destroy(producer);
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
    Suite *suite = suite_create("librdkafka in order");
    TCase *tests = tcase_create("idempotent");
    tcase_add_checked_fixture(tests, start_broker, stop_broker);
    tcase_set_timeout(tests, 90);
    tcase_add_loop_test(tests, large_batches_are_not_overtaken, 0, sizeof codecs / sizeof *codecs);
    tcase_add_test(tests, transactions_are_refused_at_once);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
