/* Eight threads write into sixteen partitions and eight read them: nothing lost, doubled or out of order. */
#include "tests/support/kafka_client.h"
#include "tests/support/served.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    THREADS = 8,
    PARTITIONS = 16,
    RECORDS_PER_PAIR = 250, /* of one writer into one partition */
    RECORDS_PER_WRITER = PARTITIONS * RECORDS_PER_PAIR,
};

static const char *const codecs[] = { "none", "gzip", "snappy", "lz4", "zstd" };

struct worker {
    pthread_t thread;
    int number;
    const char *bootstrap;
    const char *topic;
    const char *failure; /* NULL, or what went wrong; read after the join */
};

/* The value of record i of one writer in one partition: "WRITER PARTITION i". */
static void value_of(char text[64], int writer, int partition, int i)
{
    snprintf(text, 64, "%d %d %d", writer, partition, i);
}

static void *write_all(void *argument)
{
    struct worker *worker = argument;
    const char *settings[] = { "compression.type", codecs[worker->number % 5],
                               "acks",             worker->number % 2 ? "1" : "all",
                               "linger.ms",        "2",
                               "retries",          "0",
                               NULL };
    rd_kafka_t *producer = client_create(RD_KAFKA_PRODUCER, worker->bootstrap, settings);
    struct delivery *deliveries = calloc(RECORDS_PER_WRITER, sizeof *deliveries);
    for (int i = 0; i < RECORDS_PER_WRITER; i++) {
        char text[64];
        value_of(text, worker->number, i % PARTITIONS, i / PARTITIONS);
        struct message message = { .value = slice_of_string(text) };
        client_send(producer, worker->topic, i % PARTITIONS, &message, &deliveries[i]);
    }
    client_flush(producer);
    for (int i = 0; i < RECORDS_PER_WRITER; i++) {
        if (deliveries[i].error != RD_KAFKA_RESP_ERR_NO_ERROR)
            worker->failure = rd_kafka_err2name(deliveries[i].error);
        else if (i >= PARTITIONS && deliveries[i].offset <= deliveries[i - PARTITIONS].offset)
            worker->failure = "offsets of one writer do not rise";
    }
    free(deliveries);
    rd_kafka_destroy(producer);
    return NULL;
}

/* Reads one partition; returns what is wrong with it. */
static const char *read_partition(rd_kafka_t *consumer, const char *topic, int partition)
{
    int next[THREADS] = { 0 };
    const char *failure = NULL;
    struct reader reader;
    reader_open(&reader, consumer, topic, partition, RD_KAFKA_OFFSET_BEGINNING);
    for (int64_t offset = 0; offset < THREADS * RECORDS_PER_PAIR; offset++) {
        char text[64], expected[64];
        rd_kafka_message_t *got = reader_next(&reader);
        snprintf(text, sizeof text, "%.*s", (int)got->len, (const char *)got->payload);
        int writer = text[0] - '0';
        if (got->offset != offset)
            failure = "an offset is missing or double";
        if (writer < 0 || writer >= THREADS) {
            failure = "a value that nobody wrote";
        } else {
            value_of(expected, writer, partition, next[writer]++);
            if (strcmp(text, expected) != 0)
                failure = "a record is missing, double or out of order";
        }
        rd_kafka_message_destroy(got);
    }
    reader_close(&reader);
    return failure;
}

static void *read_two(void *argument)
{
    struct worker *worker = argument;
    rd_kafka_t *consumer = client_create(RD_KAFKA_CONSUMER, worker->bootstrap, NULL);
    for (int partition = worker->number; partition < PARTITIONS && !worker->failure; partition += THREADS)
        worker->failure = read_partition(consumer, worker->topic, partition);
    rd_kafka_destroy(consumer);
    return NULL;
}

static void run_all(const struct served *served, const char *topic, void *(*work)(void *))
{
    struct worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ .number = i, .bootstrap = served->bootstrap, .topic = topic };
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < THREADS; i++)
        ck_assert_msg(!workers[i].failure, "worker %d: %s", i, workers[i].failure);
}

static const char *const loops[] = { "1", "2", "5" };

START_TEST(threads_share_partitions)
{
    const char *arguments[] = { "--override", "num.partitions=16", "--loops", loops[_i], NULL };
    struct served served;
    served_start(&served, RUNNEL_BINARY, arguments);
    const char *topic = served_topic("threads");
    run_all(&served, topic, write_all);
    run_all(&served, topic, read_two);
    served_stop(&served);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("librdkafka with threads");
    TCase *tests = tcase_create("16 partitions, 8 threads");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, threads_share_partitions, 0, sizeof loops / sizeof *loops);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
