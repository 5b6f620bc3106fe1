/* librdkafka in the few words that the integration tests need: send and wait, read a range, ask for offsets. */
#ifndef RUNNEL_TESTS_SUPPORT_KAFKA_CLIENT_H
#define RUNNEL_TESTS_SUPPORT_KAFKA_CLIENT_H

#include "protocol/base/slice.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

/* Every wait of these functions ends after this time, and the test with it. */
enum { CLIENT_DEADLINE_MS = 60000 };

/* A client of the given kind. settings: name, value, name, value, ..., NULL; NULL for none.
 * Returned owned: rd_kafka_destroy. Aborts the test on a setting that librdkafka refuses. */
rd_kafka_t *client_create(rd_kafka_type_t kind, const char *bootstrap, const char *const settings[]);

typedef void client_report(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque);
/* A producer that hands its delivery reports, from within rd_kafka_poll, to a function of the caller. */
rd_kafka_t *client_create_reporting(const char *bootstrap, const char *const settings[], client_report *report,
                                    void *opaque);

/* What became of one message; the producer's delivery report writes it. */
struct delivery {
    bool done;
    rd_kafka_resp_err_t error;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
};

/* One message to send. timestamp_ms 0 lets the client take the current time; headers may be NULL and are
 * taken when the message is accepted. */
struct message {
    slice key;
    slice value;
    int64_t timestamp_ms;
    rd_kafka_headers_t *headers;
};

/* Hands a message to a producer made by client_create; *delivery must live until it is done. Serves delivery
 * reports while the producer's queue is full. */
void client_send(rd_kafka_t *producer, const char *topic, int32_t partition, const struct message *message,
                 struct delivery *delivery);
/* Waits until every message has its delivery report. */
void client_flush(rd_kafka_t *producer);
/* Sends one message, waits for its report. */
struct delivery client_send_one(rd_kafka_t *producer, const char *topic, int32_t partition,
                                const struct message *message);

/* First offset and the offset after the last record that a reader may see. Waits for a leader. */
void client_bounds(rd_kafka_t *client, const char *topic, int32_t partition, int64_t *first, int64_t *end);
/* ListOffsets for a time in ms; RD_KAFKA_OFFSET_END where no record is that late. */
int64_t client_offset_for_time(rd_kafka_t *client, const char *topic, int32_t partition, int64_t timestamp_ms);

/* A reader of one partition from an offset (or RD_KAFKA_OFFSET_BEGINNING, _END, _TAIL(n)). */
struct reader {
    rd_kafka_topic_t *topic;
    int32_t partition;
};

void reader_open(struct reader *reader, rd_kafka_t *consumer, const char *topic, int32_t partition,
                 int64_t offset);
/* The next record or error event; NULL when timeout_ms is over. Returned owned: rd_kafka_message_destroy. */
rd_kafka_message_t *reader_poll(struct reader *reader, int timeout_ms);
/* The next record; any error, or CLIENT_DEADLINE_MS without one, ends the test. Returned owned. */
rd_kafka_message_t *reader_next(struct reader *reader);
void reader_close(struct reader *reader);

#endif
