/* librdkafka's admin client makes, enlarges and deletes topics, and records; its producer and consumer live
 * through it. */
#include "tests/support/kafka_client.h"
#include "tests/support/served.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 30000 };

static struct served served;
static rd_kafka_t *admin;
static rd_kafka_queue_t *queue;

static void set_up(void)
{
    served_start(&served, RUNNEL_BINARY, NULL);
    admin = client_create(RD_KAFKA_PRODUCER, served.bootstrap, NULL);
    queue = rd_kafka_queue_new(admin);
}

static void tear_down(void)
{
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(admin);
    served_stop(&served);
}

static rd_kafka_event_t *next_event(void)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    ck_assert_ptr_nonnull(event);
    ck_assert_msg(rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR, "%s",
                  rd_kafka_event_error_string(event));
    return event;
}

static rd_kafka_resp_err_t error_of(const rd_kafka_topic_result_t *const *results, size_t count)
{
    ck_assert_uint_eq(count, 1);
    return rd_kafka_topic_result_error(results[0]);
}

static rd_kafka_resp_err_t create(const char *name, int partitions, const char *retention_ms)
{
    char error[256];
    size_t count;
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, 1, error, sizeof error);
    ck_assert_ptr_nonnull(topic);
    if (retention_ms)
        rd_kafka_NewTopic_set_config(topic, "retention.ms", retention_ms);
    rd_kafka_CreateTopics(admin, &topic, 1, NULL, queue);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_event_t *event = next_event();
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    rd_kafka_resp_err_t code = error_of(results, count);
    rd_kafka_event_destroy(event);
    return code;
}

static rd_kafka_resp_err_t delete (const char *name)
{
    size_t count;
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    rd_kafka_DeleteTopics(admin, &topic, 1, NULL, queue);
    rd_kafka_DeleteTopic_destroy(topic);
    rd_kafka_event_t *event = next_event();
    const rd_kafka_topic_result_t **results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    rd_kafka_resp_err_t code = error_of(results, count);
    rd_kafka_event_destroy(event);
    return code;
}

static rd_kafka_resp_err_t grow(const char *name, size_t partitions)
{
    char error[256];
    size_t count;
    rd_kafka_NewPartitions_t *wish = rd_kafka_NewPartitions_new(name, partitions, error, sizeof error);
    rd_kafka_CreatePartitions(admin, &wish, 1, NULL, queue);
    rd_kafka_NewPartitions_destroy(wish);
    rd_kafka_event_t *event = next_event();
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &count);
    rd_kafka_resp_err_t code = error_of(results, count);
    rd_kafka_event_destroy(event);
    return code;
}

static int partition_count(const char *name)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(admin, name, NULL);
    ck_assert_int_eq(rd_kafka_metadata(admin, 0, topic, &metadata, TIMEOUT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_int_eq(metadata->topic_cnt, 1);
    int count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return count;
}

/* The new start of a partition, or the error in *code. */
static int64_t delete_records(const char *name, int64_t before, rd_kafka_resp_err_t *code)
{
    rd_kafka_topic_partition_list_t *wish = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(wish, name, 0)->offset = before;
    rd_kafka_DeleteRecords_t *deletion = rd_kafka_DeleteRecords_new(wish);
    rd_kafka_DeleteRecords(admin, &deletion, 1, NULL, queue);
    rd_kafka_DeleteRecords_destroy(deletion);
    rd_kafka_topic_partition_list_destroy(wish);
    rd_kafka_event_t *event = next_event();
    const rd_kafka_topic_partition_list_t *told =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
    ck_assert_int_eq(told->cnt, 1);
    int64_t start = told->elems[0].offset;
    *code = told->elems[0].err;
    rd_kafka_event_destroy(event);
    return start;
}

START_TEST(records_are_deleted)
{
    char name[128];
    rd_kafka_resp_err_t code;
    struct message message = { .value = slice_of_string("gone") };
    int64_t first, end;
    snprintf(name, sizeof name, "%s", served_topic("shortened"));
    ck_assert_int_eq(create(name, 1, NULL), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_t *producer = client_create(RD_KAFKA_PRODUCER, served.bootstrap, NULL);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(client_send_one(producer, name, 0, &message).error, RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_int_eq(delete_records(name, 4, &code), 4);
    ck_assert_int_eq(code, RD_KAFKA_RESP_ERR_NO_ERROR);
    client_bounds(producer, name, 0, &first, &end);
    ck_assert_int_eq(first, 4);
    ck_assert_int_eq(end, 10);
    (void)delete_records(name, 11, &code);
    ck_assert_int_eq(code, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(delete_records(name, RD_KAFKA_OFFSET_END, &code), 10);
    client_bounds(producer, name, 0, &first, &end);
    ck_assert_int_eq(first, 10);
    ck_assert_int_eq(client_send_one(producer, name, 0, &message).offset, 10);
    rd_kafka_destroy(producer);
    ck_assert_int_eq(delete (name), RD_KAFKA_RESP_ERR_NO_ERROR);
}
END_TEST

START_TEST(topics_are_made_enlarged_and_deleted)
{
    char name[128];
    snprintf(name, sizeof name, "%s", served_topic("admin"));
    ck_assert_int_eq(create(name, 2, "60000"), RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_int_eq(create(name, 2, NULL), RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS);
    ck_assert_int_eq(create("no good", 2, NULL), RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION);
    ck_assert_int_eq(create("other", 1, "minutes"), RD_KAFKA_RESP_ERR_INVALID_CONFIG);
    ck_assert_int_eq(partition_count(name), 2);
    ck_assert_int_eq(grow(name, 5), RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_int_eq(grow(name, 5), RD_KAFKA_RESP_ERR_INVALID_PARTITIONS);
    ck_assert_int_eq(partition_count(name), 5);

    const char *settings[] = { "acks", "all", NULL };
    rd_kafka_t *producer = client_create(RD_KAFKA_PRODUCER, served.bootstrap, settings);
    struct message message = { .value = slice_of_string("into a new partition") };
    struct delivery delivery;
    client_send(producer, name, 4, &message, &delivery);
    client_flush(producer);
    ck_assert_int_eq(delivery.error, RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_int_eq(delivery.offset, 0);

    ck_assert_int_eq(delete (name), RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_int_eq(delete (name), RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    ck_assert_int_eq(create(name, 5, NULL), RD_KAFKA_RESP_ERR_NO_ERROR); /* at once */
    client_send(producer, name, 4, &message, &delivery);
    client_flush(producer);
    ck_assert_int_eq(delivery.error, RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_int_eq(delivery.offset, 0);
    rd_kafka_destroy(producer);
    ck_assert_int_eq(delete (name), RD_KAFKA_RESP_ERR_NO_ERROR);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("librdkafka topics");
    TCase *tests = tcase_create("admin");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, topics_are_made_enlarged_and_deleted);
    tcase_add_test(tests, records_are_deleted);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
