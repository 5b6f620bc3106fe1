/* librdkafka with deadlines: what goes wrong here ends the test with a sentence. */
#include "tests/support/kafka_client.h"

#include "protocol/base/check.h"
#include "protocol/base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A test has no way on from here. exit, not abort: the brokers' output is printed on the way out. */
static _Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("client: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static int64_t deadline_in(int timeout_ms)
{
    return clock_mono_ms(clock_real()) + timeout_ms;
}

static bool is_over(int64_t deadline_ms)
{
    return clock_mono_ms(clock_real()) >= deadline_ms;
}

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct delivery *delivery = message->_private;
    (void)client;
    (void)opaque;
    if (!delivery)
        return;
    rd_kafka_timestamp_type_t type;
    delivery->error = message->err;
    delivery->partition = message->partition;
    delivery->offset = message->offset;
    delivery->timestamp_ms = rd_kafka_message_timestamp(message, &type);
    delivery->done = true;
}

/* A broker that is killed on purpose is no news; the tests judge by results. */
static void log_nothing(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    if (getenv("RUNNEL_TEST_CLIENT_LOG"))
        fprintf(stderr, "%s %d %s %s\n", rd_kafka_name(client), level, facility, text);
}

static rd_kafka_t *create(rd_kafka_type_t kind, const char *bootstrap, const char *const settings[],
                          client_report *report, void *opaque)
{
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *debug = getenv("RUNNEL_TEST_CLIENT_LOG");

    check(rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, error, sizeof error) == RD_KAFKA_CONF_OK);
    if (debug && *debug)
        check(rd_kafka_conf_set(conf, "debug", debug, error, sizeof error) == RD_KAFKA_CONF_OK);
    /* An idle fetch is waited for when a consumer ends: not for the half second that it usually takes. */
    if (kind == RD_KAFKA_CONSUMER) {
        check(rd_kafka_conf_set(conf, "fetch.wait.max.ms", "50", error, sizeof error) == RD_KAFKA_CONF_OK);
        /* An offset that is not there is an error to look at, never a silent jump. */
        check(rd_kafka_conf_set(conf, "auto.offset.reset", "error", error, sizeof error) == RD_KAFKA_CONF_OK);
    }
    for (; settings && settings[0]; settings += 2)
        if (rd_kafka_conf_set(conf, settings[0], settings[1], error, sizeof error) != RD_KAFKA_CONF_OK)
            give_up("%s", error);
    rd_kafka_conf_set_log_cb(conf, log_nothing);
    if (kind == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(conf, report);
    rd_kafka_conf_set_opaque(conf, opaque);
    rd_kafka_t *client = rd_kafka_new(kind, conf, error, sizeof error);
    if (!client)
        give_up("%s", error);
    return client;
}

rd_kafka_t *client_create(rd_kafka_type_t kind, const char *bootstrap, const char *const settings[])
{
    return create(kind, bootstrap, settings, delivered, NULL);
}

rd_kafka_t *client_create_reporting(const char *bootstrap, const char *const settings[], client_report *report,
                                    void *opaque)
{
    return create(RD_KAFKA_PRODUCER, bootstrap, settings, report, opaque);
}

/* Lets the client learn a topic now. Left to itself, librdkafka looks for unknown leaders once a second, and for
 * the offsets of a partition whose leader it does not know twice. */
static void learn_topic(rd_kafka_t *client, const char *topic)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    if (handle && rd_kafka_metadata(client, 0, handle, &metadata, CLIENT_DEADLINE_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
    if (handle)
        rd_kafka_topic_destroy(handle);
}

void client_send(rd_kafka_t *producer, const char *topic, int32_t partition, const struct message *message,
                 struct delivery *delivery)
{
    int64_t deadline_ms = deadline_in(CLIENT_DEADLINE_MS);
    delivery->done = false;
    if (rd_kafka_outq_len(producer) == 0)
        learn_topic(producer, topic);
    for (;;) {
        rd_kafka_resp_err_t error = rd_kafka_producev(
            producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_KEY((void *)message->key.data, message->key.size),
            RD_KAFKA_V_VALUE((void *)message->value.data, message->value.size),
            RD_KAFKA_V_TIMESTAMP(message->timestamp_ms), RD_KAFKA_V_HEADERS(message->headers),
            RD_KAFKA_V_OPAQUE(delivery), RD_KAFKA_V_END);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
            return;
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) { /* refused by the client itself: that is its report */
            delivery->error = error;
            delivery->done = true;
            return;
        }
        if (is_over(deadline_ms))
            give_up("the producer's queue stays full");
        rd_kafka_poll(producer, 100);
    }
}

void client_flush(rd_kafka_t *producer)
{
    if (rd_kafka_flush(producer, CLIENT_DEADLINE_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        give_up("%d messages have no delivery report", rd_kafka_outq_len(producer));
}

struct delivery client_send_one(rd_kafka_t *producer, const char *topic, int32_t partition,
                                const struct message *message)
{
    struct delivery delivery = { 0 };
    client_send(producer, topic, partition, message, &delivery);
    client_flush(producer);
    if (!delivery.done)
        give_up("a message has no delivery report");
    return delivery;
}

/* Errors that pass while a topic comes into being or a broker starts. */
static bool is_passing(rd_kafka_resp_err_t error)
{
    return error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE || error == RD_KAFKA_RESP_ERR__TRANSPORT ||
           error == RD_KAFKA_RESP_ERR__TIMED_OUT || error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
           error == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
}

void client_bounds(rd_kafka_t *client, const char *topic, int32_t partition, int64_t *first, int64_t *end)
{
    int64_t deadline_ms = deadline_in(CLIENT_DEADLINE_MS);
    for (;;) {
        rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(client, topic, partition, first, end, 10000);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
            return;
        if (!is_passing(error) || is_over(deadline_ms))
            give_up("offsets of %s-%d: %s", topic, partition, rd_kafka_err2str(error));
    }
}

int64_t client_offset_for_time(rd_kafka_t *client, const char *topic, int32_t partition, int64_t timestamp_ms)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = timestamp_ms;
    rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(client, list, CLIENT_DEADLINE_MS);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        error = list->elems[0].err;
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        give_up("offset of %s-%d for a time: %s", topic, partition, rd_kafka_err2str(error));
    int64_t offset = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return offset;
}

void reader_open(struct reader *reader, rd_kafka_t *consumer, const char *topic, int32_t partition,
                 int64_t offset)
{
    learn_topic(consumer, topic);
    reader->topic = rd_kafka_topic_new(consumer, topic, NULL);
    reader->partition = partition;
    if (!reader->topic || rd_kafka_consume_start(reader->topic, partition, offset) != 0)
        give_up("reading %s-%d: %s", topic, partition, rd_kafka_err2str(rd_kafka_last_error()));
}

rd_kafka_message_t *reader_poll(struct reader *reader, int timeout_ms)
{
    return rd_kafka_consume(reader->topic, reader->partition, timeout_ms);
}

rd_kafka_message_t *reader_next(struct reader *reader)
{
    int64_t deadline_ms = deadline_in(CLIENT_DEADLINE_MS);
    while (!is_over(deadline_ms)) {
        rd_kafka_message_t *message = reader_poll(reader, 1000);
        if (!message)
            continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            return message;
        if (!is_passing(message->err))
            give_up("reading %s-%d: %s", rd_kafka_topic_name(reader->topic), reader->partition,
                    rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
    }
    give_up("reading %s-%d: no record within %d s", rd_kafka_topic_name(reader->topic), reader->partition,
            CLIENT_DEADLINE_MS / 1000);
}

void reader_close(struct reader *reader)
{
    rd_kafka_consume_stop(reader->topic, reader->partition);
    rd_kafka_topic_destroy(reader->topic);
}
