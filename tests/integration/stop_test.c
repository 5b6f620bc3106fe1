/* Stopping in the middle of everything: SIGTERM while clients wait, with bytes that no flush has covered
 * yet. Under the sanitizers this is where whoever outlives what it uses is found. */
#include <check.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "broker/exit_codes.h"
#include "protocol/errors.h"
#include "tests/support/load.h"
#include "tests/support/one_partition.h"
#include "tests/support/served.h"
#include "tests/support/wire_client.h"

enum { TIMEOUT_MS = 10000, KEY_PRODUCE = 0, KEY_FETCH = 1, RECORDS = 50 };

static void send_record(struct wire_client *client, struct arena *arena, int16_t acks)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct batch_view batch = small_batch(arena, &options, 1);
    struct one_produce one;
    one_produce(&one, "stopping", 0, batch_bytes(&batch));
    one.request.acks = acks;
    ck_assert(wire_send(client, KEY_PRODUCE, 9, &one.request));
}

static void send_fetch(struct wire_client *client, int64_t offset, int32_t max_wait_ms)
{
    struct one_fetch one;
    one_fetch(&one, "stopping", 0, offset);
    one.request.max_wait_ms = max_wait_ms;
    ck_assert(wire_send(client, KEY_FETCH, 11, &one.request));
}

static const struct {
    const char *what;
    const char *flush_messages;
    int16_t acks;
} rows[] = {
    { "page cache, unanswered", "log.flush.interval.messages=9223372036854775807", 0 },
    { "page cache, answered", "log.flush.interval.messages=9223372036854775807", 1 },
    { "durable, unanswered", "log.flush.interval.messages=1", 0 },
    { "durable, on the way", "log.flush.interval.messages=1", -1 },
};

/* A consumer waits at the end, records are on their way, the broker is told to stop: it stops cleanly,
 * and what was answered is there afterwards. */
START_TEST(stop_while_clients_wait)
{
    const char *const arguments[] = { "--override", rows[_i].flush_messages, NULL };
    struct served served;
    struct wire_client producer, consumer, reader;
    struct fetch_response fetched;
    struct arena arena;
    arena_init(&arena, NULL);
    served_start(&served, RUNNEL_BINARY, arguments);
    load_make_topic(served.bootstrap, "stopping");
    ck_assert(wire_connect(&producer, served.bootstrap, TIMEOUT_MS));
    ck_assert(wire_connect(&consumer, served.bootstrap, TIMEOUT_MS));
    ck_assert(wire_connect(&reader, served.bootstrap, TIMEOUT_MS));
    send_fetch(&consumer, 0, 0); /* the topic is there and empty */
    ck_assert(wire_receive(&consumer, KEY_FETCH, 11, consumer.correlation_id, &fetched));

    send_record(&producer, &arena, 1);
    struct produce_response answered;
    ck_assert(wire_receive(&producer, KEY_PRODUCE, 9, producer.correlation_id, &answered));
    ck_assert_int_eq(answered.topics[0].partitions[0].error_code, ERR_NONE);

    send_fetch(&consumer, 1000, INT32_MAX - 1); /* out of range: answered at once */
    ck_assert(wire_receive(&consumer, KEY_FETCH, 11, consumer.correlation_id, &fetched));
    send_fetch(&consumer, 1, 1000000); /* waits at the end */
    for (int i = 0; i < RECORDS; i++)
        send_record(&producer, &arena, rows[_i].acks);
    ck_assert_msg(broker_process_stop(served.broker) == 0, "%s: not a clean stop", rows[_i].what);
    wire_close(&producer);
    wire_close(&consumer);
    wire_close(&reader);

    served_restart(&served, RUNNEL_BINARY, arguments);
    ck_assert(wire_connect(&reader, served.bootstrap, TIMEOUT_MS));
    send_fetch(&reader, 0, TIMEOUT_MS);
    ck_assert(wire_receive(&reader, KEY_FETCH, 11, reader.correlation_id, &fetched));
    ck_assert_int_eq(fetched.topics[0].partitions[0].error_code, ERR_NONE);
    ck_assert_uint_gt(fetched.topics[0].partitions[0].records.bytes.size, 0);
    wire_close(&reader);
    served_stop(&served);
    arena_destroy(&arena);
}
END_TEST

/* The disk is full when the broker stops (here: no file may grow): it says so by its exit code, and the next
 * start finds all that was acknowledged. The other stops of this program are the control: they exit with 0.
 */
START_TEST(stop_on_a_full_disk)
{
    static const char *const arguments[] = { NULL };
    struct served served;
    struct wire_client client;
    struct fetch_response fetched;
    struct produce_response answered;
    struct arena arena;
    arena_init(&arena, NULL);
    served_start(&served, RUNNEL_BINARY, arguments);
    load_make_topic(served.bootstrap, "stopping");
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    send_record(&client, &arena, -1);
    ck_assert(wire_receive(&client, KEY_PRODUCE, 9, client.correlation_id, &answered));
    ck_assert_int_eq(answered.topics[0].partitions[0].error_code, ERR_NONE);
    wire_close(&client);
    const struct rlimit none = { .rlim_cur = 1, .rlim_max = RLIM_INFINITY };
    ck_assert_int_eq(prlimit(broker_process_pid(served.broker), RLIMIT_FSIZE, &none, NULL), 0);
    ck_assert_int_eq(broker_process_stop(served.broker), EXIT_STORAGE_FAILED);

    served_restart(&served, RUNNEL_BINARY, arguments);
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    send_fetch(&client, 0, TIMEOUT_MS);
    ck_assert(wire_receive(&client, KEY_FETCH, 11, client.correlation_id, &fetched));
    ck_assert_int_eq(fetched.topics[0].partitions[0].error_code, ERR_NONE);
    ck_assert_int_eq(fetched.topics[0].partitions[0].high_watermark, 1);
    wire_close(&client);
    served_stop(&served);
    arena_destroy(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stop");
    TCase *tests = tcase_create("while clients wait");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, stop_while_clients_wait, 0, sizeof rows / sizeof *rows);
    tcase_add_test(tests, stop_on_a_full_disk);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
