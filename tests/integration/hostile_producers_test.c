/* Hostile idempotent producers on a live broker: ids, epochs and sequences that do not fit, and more
 * producers than anybody has. Rows are those of tests/integration/hostile.md. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/init_producer_id.h"
#include "protocol/errors.h"
#include "tests/support/load.h"
#include "tests/support/one_partition.h"
#include "tests/support/served.h"
#include "tests/support/wire_client.h"

enum {
    TIMEOUT_MS = 20000,
    KEY_INIT_PRODUCER_ID = 22,
    INIT_VERSION = 5,
    PRODUCE_VERSION = 9,
    CLOSED = -2 /* instead of an error code: the connection was closed */
};

static struct served served;
static struct wire_client client, honest;
static struct arena arena;

/* -- building blocks --------------------------------------------------------------------------- */

struct sent {
    const char *topic;
    int32_t partition;
    int64_t producer_id;
    int16_t epoch;
    int32_t sequence;
    int count;
    uint16_t attributes;
    slice transactional_id;
    int16_t version; /* 0: PRODUCE_VERSION */
};

struct answer {
    int16_t error_code;
    int64_t base_offset;
};

static struct batch_view batch_of(const struct sent *sent)
{
    const struct batch_builder_options options = { .leader_epoch = -1,
                                                   .producer_id = sent->producer_id,
                                                   .producer_epoch = sent->epoch,
                                                   .base_sequence = sent->sequence,
                                                   .attributes = sent->attributes };
    return small_batch(&arena, &options, sent->count ? sent->count : 1);
}

static struct answer produce(const struct sent *sent)
{
    int16_t version = sent->version ? sent->version : PRODUCE_VERSION;
    struct batch_view batch = batch_of(sent);
    struct one_produce one;
    struct produce_response told;
    one_produce(&one, sent->topic ? sent->topic : "hostile", sent->partition, batch_bytes(&batch));
    one.request.transactional_id = sent->transactional_id;
    if (!wire_call(&client, ONE_PRODUCE, version, &one.request, &told))
        return (struct answer){ CLOSED, -1 };
    ck_assert_int_eq(told.topics[0].partitions_count, 1);
    const struct produce_response_partition *partition = &told.topics[0].partitions[0];
    ck_assert_int_eq(partition->error_code == ERR_NONE, partition->base_offset >= 0);
    return (struct answer){ partition->error_code, partition->base_offset };
}

static int64_t end_offset(const char *topic, int32_t partition)
{
    struct one_list_offsets one;
    struct list_offsets_response told;
    one_list_offsets(&one, topic, partition, -1);
    ck_assert(wire_call(&client, ONE_LIST_OFFSETS, 7, &one.request, &told));
    ck_assert_int_eq(told.topics[0].partitions[0].error_code, ERR_NONE);
    return told.topics[0].partitions[0].offset;
}

static void ask_for_producer_id(struct init_producer_id_request *request)
{
    init_producer_id_request_init(request);
    request->transaction_timeout_ms = 60000;
    request->transactional_id = SLICE_NULL;
}

static int64_t new_producer_id(void)
{
    struct init_producer_id_request request;
    struct init_producer_id_response told;
    ask_for_producer_id(&request);
    ck_assert(wire_call(&client, KEY_INIT_PRODUCER_ID, INIT_VERSION, &request, &told));
    ck_assert_int_eq(told.error_code, ERR_NONE);
    return told.producer_id;
}

/* The client that was there before the attack gets its answer after it. */
static void expect_honest_client_served(void)
{
    struct one_list_offsets one;
    struct list_offsets_response told;
    one_list_offsets(&one, "hostile", 0, -1);
    ck_assert_msg(wire_call(&honest, ONE_LIST_OFFSETS, 7, &one.request, &told),
                  "the honest client got no answer");
    ck_assert_int_eq(told.topics[0].partitions[0].error_code, ERR_NONE);
}

static void connect_clients(void)
{
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    ck_assert(wire_connect(&honest, served.bootstrap, TIMEOUT_MS));
}

static void close_clients(void)
{
    wire_close(&client);
    wire_close(&honest);
}

/* -- rows 64 to 66: what does not fit ---------------------------------------------------------- */

/* The producer has written sequences 0 to 4 with epoch 3, at its start. ID: its own. */
enum { ID = -100, STRANGER = -200 };

static const struct {
    int row;
    const char *what;
    struct sent sent;
    int16_t expected;
} misfits[] = {
    { 64,
      "transactional bit without a transaction, v9",
      { .producer_id = ID,
        .epoch = 3,
        .sequence = 5,
        .attributes = BATCH_ATTRIBUTE_TRANSACTIONAL,
        .transactional_id = { (const uint8_t *)"t", 1 } },
      ERR_INVALID_TXN_STATE },
    { 64,
      "the same, v11",
      { .producer_id = ID,
        .epoch = 3,
        .sequence = 5,
        .attributes = BATCH_ATTRIBUTE_TRANSACTIONAL,
        .transactional_id = { (const uint8_t *)"t", 1 },
        .version = 11 },
      ERR_TRANSACTION_ABORTABLE },
    { 64,
      "the same from a stranger",
      { .producer_id = STRANGER,
        .epoch = 0,
        .attributes = BATCH_ATTRIBUTE_TRANSACTIONAL,
        .transactional_id = { (const uint8_t *)"t", 1 } },
      ERR_INVALID_TXN_STATE },
    { 64,
      "transactional bit without a transactional id",
      { .producer_id = ID, .epoch = 3, .sequence = 5, .attributes = BATCH_ATTRIBUTE_TRANSACTIONAL },
      ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED },
    { 65, "an older epoch", { .producer_id = ID, .epoch = 2, .sequence = 5 }, ERR_INVALID_PRODUCER_EPOCH },
    { 65, "an older epoch that begins anew", { .producer_id = ID, .epoch = 2 }, ERR_INVALID_PRODUCER_EPOCH },
    { 65, "epoch -1", { .producer_id = ID, .epoch = -1, .sequence = 5 }, ERR_INVALID_PRODUCER_EPOCH },
    { 65,
      "a newer epoch that does not begin with 0",
      { .producer_id = ID, .epoch = 4, .sequence = 5 },
      ERR_OUT_OF_ORDER_SEQUENCE_NUMBER },
    { 65, "a newer epoch that begins with 0", { .producer_id = ID, .epoch = 4 }, ERR_NONE },
    { 65, "the newest epoch there can be", { .producer_id = ID, .epoch = INT16_MAX }, ERR_NONE },
    { 65,
      "an unknown producer, from anywhere",
      { .producer_id = STRANGER, .epoch = 7, .sequence = 77 },
      ERR_NONE },
    { 65, "the largest producer id", { .producer_id = INT64_MAX, .epoch = 0 }, ERR_NONE },
    { 66, "a gap", { .producer_id = ID, .epoch = 3, .sequence = 6 }, ERR_OUT_OF_ORDER_SEQUENCE_NUMBER },
    { 66,
      "a gap to the end",
      { .producer_id = ID, .epoch = 3, .sequence = INT32_MAX },
      ERR_OUT_OF_ORDER_SEQUENCE_NUMBER },
    { 66,
      "an overlap at the end",
      { .producer_id = ID, .epoch = 3, .sequence = 4, .count = 2 },
      ERR_OUT_OF_ORDER_SEQUENCE_NUMBER },
    { 66,
      "a part of a batch",
      { .producer_id = ID, .epoch = 3, .sequence = 1 },
      ERR_OUT_OF_ORDER_SEQUENCE_NUMBER },
    { 66,
      "back at 0, and larger",
      { .producer_id = ID, .epoch = 3, .sequence = 0, .count = 6 },
      ERR_OUT_OF_ORDER_SEQUENCE_NUMBER },
    { 66, "sequence -1", { .producer_id = ID, .epoch = 3, .sequence = -1 }, ERR_INVALID_RECORD },
    { 66,
      "the smallest sequence",
      { .producer_id = ID, .epoch = 3, .sequence = INT32_MIN },
      ERR_INVALID_RECORD },
    { 66, "the control: what comes next", { .producer_id = ID, .epoch = 3, .sequence = 5 }, ERR_NONE },
};

START_TEST(batches_that_do_not_fit)
{
    int64_t id = new_producer_id();
    const struct sent begin = { .producer_id = id, .epoch = 3, .count = 5 };
    ck_assert_int_eq(produce(&begin).error_code, ERR_NONE);
    int64_t before = end_offset("hostile", 0);
    struct sent sent = misfits[_i].sent;
    if (sent.producer_id == ID)
        sent.producer_id = id;
    else if (sent.producer_id == STRANGER)
        sent.producer_id = id + 1000000000;
    struct answer got = produce(&sent);
    ck_assert_msg(got.error_code == misfits[_i].expected, "row %d, %s: %s, expected %s", misfits[_i].row,
                  misfits[_i].what, error_name(got.error_code), error_name(misfits[_i].expected));
    ck_assert_int_eq(end_offset("hostile", 0), got.error_code == ERR_NONE ? before + 1 : before);
    /* What was refused has changed nothing: the producer goes on. */
    const struct sent next = { .producer_id = id, .epoch = 3, .sequence = 5 };
    if (got.error_code != ERR_NONE)
        ck_assert_int_eq(produce(&next).error_code, ERR_NONE);
    expect_honest_client_served();
}
END_TEST

/* Row 66: after 2^31-1 comes 0, inside of a batch and between two. */
START_TEST(sequences_wrap)
{
    static const struct {
        int32_t first[4];
        int counts[4];
    } rows[] = {
        { { INT32_MAX - 1, 0, 1, 4 }, { 2, 1, 3, 1 } }, /* between */
        { { INT32_MAX - 1, 1, 2, 3 }, { 3, 1, 1, 1 } }, /* inside */
        { { INT32_MAX, 0, 1, 2 }, { 1, 1, 1, 1 } },
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        int64_t id = new_producer_id(), first_offset = -1;
        for (int round = 0; round < 2; round++) { /* the second is all duplicates */
            int64_t next = first_offset;
            for (int i = 0; i < 4; i++) {
                const struct sent sent = { .producer_id = id,
                                           .sequence = rows[r].first[i],
                                           .count = rows[r].counts[i] };
                struct answer got = produce(&sent);
                ck_assert_msg(got.error_code == ERR_NONE, "row %zu, batch %d, round %d: %s", r, i, round,
                              error_name(got.error_code));
                if (round == 0 && i == 0)
                    next = first_offset = got.base_offset;
                ck_assert_int_eq(got.base_offset, next);
                next += rows[r].counts[i];
            }
            ck_assert_int_eq(end_offset("hostile", 0), next);
        }
    }
}
END_TEST

/* -- row 67: duplicates ------------------------------------------------------------------------ */

enum { HISTORY = 12, REMEMBERED = 5 };

static int64_t write_history(int64_t id, int32_t partition, int64_t offsets[HISTORY])
{
    for (int i = 0; i < HISTORY; i++) {
        const struct sent sent = { .partition = partition, .producer_id = id, .sequence = 3 * i, .count = 3 };
        struct answer got = produce(&sent);
        ck_assert_int_eq(got.error_code, ERR_NONE);
        offsets[i] = got.base_offset;
    }
    return end_offset("hostile", partition);
}

/* The last five have their offsets, older ones are out of order; nothing is appended. */
static void expect_history(int64_t id, int32_t partition, const int64_t offsets[HISTORY], int64_t end)
{
    for (int i = 0; i < HISTORY; i++) {
        const struct sent sent = { .partition = partition, .producer_id = id, .sequence = 3 * i, .count = 3 };
        struct answer got = produce(&sent);
        bool is_known = i >= HISTORY - REMEMBERED;
        ck_assert_msg(got.error_code == (is_known ? ERR_NONE : ERR_OUT_OF_ORDER_SEQUENCE_NUMBER),
                      "batch %d: %s", i, error_name(got.error_code));
        ck_assert_int_eq(got.base_offset, is_known ? offsets[i] : -1);
    }
    ck_assert_int_eq(end_offset("hostile", partition), end);
}

START_TEST(duplicates_are_known_after_a_stop_and_a_kill)
{
    int64_t id = new_producer_id(), offsets[HISTORY];
    int64_t end = write_history(id, 0, offsets);
    expect_history(id, 0, offsets, end);
    for (int round = 0; round < 3; round++) {
        close_clients();
        if (round == 0)
            ck_assert_int_eq(broker_process_stop(served.broker), 0);
        else
            broker_process_kill(served.broker);
        served_restart(&served, RUNNEL_BINARY, NULL);
        connect_clients();
        expect_history(id, 0, offsets, end);
        ck_assert_int_gt(new_producer_id(), id);
    }
    const struct sent next = { .producer_id = id, .sequence = 3 * HISTORY };
    ck_assert_int_eq(produce(&next).base_offset, end);
}
END_TEST

/* -- row 94: more producers than anybody has --------------------------------------------------- */

enum { PRODUCERS = 200000, CHUNK = 20000, CHUNKS = PRODUCERS / CHUNK, DEPTH = 400, MEMORY_MAX = 64 << 20 };

static int64_t flood_ids[PRODUCERS];

static void send_id_request(int32_t number)
{
    struct init_producer_id_request request;
    (void)number;
    ask_for_producer_id(&request);
    ck_assert(wire_send(&client, KEY_INIT_PRODUCER_ID, INIT_VERSION, &request));
}

static void receive_id(int32_t number, int32_t correlation_id)
{
    struct init_producer_id_response told;
    ck_assert(wire_receive(&client, KEY_INIT_PRODUCER_ID, INIT_VERSION, correlation_id, &told));
    ck_assert_int_eq(told.error_code, ERR_NONE);
    flood_ids[number] = told.producer_id;
    ck_assert_int_gt(told.producer_id, number > 0 ? flood_ids[number - 1] : -1);
}

static void send_first_batch(int32_t number)
{
    const struct sent sent = { .topic = "flood", .producer_id = flood_ids[number] };
    struct batch_view batch = batch_of(&sent);
    struct one_produce one;
    one_produce(&one, sent.topic, 0, batch_bytes(&batch));
    ck_assert(wire_send(&client, ONE_PRODUCE, PRODUCE_VERSION, &one.request));
    arena_reset(&arena);
}

static void receive_answer(int32_t number, int32_t correlation_id)
{
    struct produce_response told;
    ck_assert(wire_receive(&client, ONE_PRODUCE, PRODUCE_VERSION, correlation_id, &told));
    ck_assert_int_eq(told.topics[0].partitions[0].error_code, ERR_NONE);
    ck_assert_int_eq(told.topics[0].partitions[0].base_offset, number);
}

static int compare_seconds(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sends all of one kind, many under way, and wants the last chunks as fast as the first. */
static void flood(const char *what, void (*send)(int32_t number), void (*receive)(int32_t number, int32_t id))
{
    double seconds[CHUNKS], begin = monotonic_seconds();
    int32_t base = client.correlation_id, sent = 0;
    for (int32_t received = 0; received < PRODUCERS; received++) {
        for (; sent < PRODUCERS && sent - received < DEPTH; sent++)
            send(sent);
        receive(received, base + received + 1);
        if ((received + 1) % CHUNK == 0) {
            double now = monotonic_seconds();
            seconds[received / CHUNK] = now - begin;
            begin = now;
        }
    }
    enum { SOME = 4 };
    double first[SOME], last[SOME];
    memcpy(first, seconds, sizeof first);
    memcpy(last, seconds + CHUNKS - SOME, sizeof last);
    qsort(first, SOME, sizeof *first, compare_seconds);
    qsort(last, SOME, sizeof *last, compare_seconds);
    printf("%s: %d, the first 20,000 in %.2f s, the last in %.2f s\n", what, PRODUCERS, first[0], last[0]);
    /* The fastest of some: others use the machine as well. */
    ck_assert_msg(last[0] < 3 * first[0] + 0.5, "%s: %.2f s became %.2f s", what, first[0], last[0]);
}

START_TEST(a_flood_of_producer_ids)
{
    pid_t broker = broker_process_pid(served.broker);
    if (process_is_sanitized(broker))
        return; /* it shows numbers: speed and memory */
    load_make_topic(served.bootstrap, "flood");
    uint64_t before = process_rss_anonymous(broker);
    flood("producer ids", send_id_request, receive_id);
    flood("first batches", send_first_batch, receive_answer);
    uint64_t after = process_rss_anonymous(broker);
    printf("memory: %llu KiB more\n", (unsigned long long)(after > before ? after - before : 0) >> 10);
    ck_assert_msg(after < before + MEMORY_MAX, "grew from %llu to %llu bytes", (unsigned long long)before,
                  (unsigned long long)after);
    expect_honest_client_served();
    /* Who wrote last is known, and so is a producer that goes on. */
    struct sent again = { .topic = "flood", .producer_id = flood_ids[PRODUCERS - 1] };
    ck_assert_int_eq(produce(&again).base_offset, PRODUCERS - 1);
    again.sequence = 2;
    ck_assert_int_eq(produce(&again).error_code, ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    again.sequence = 1;
    ck_assert_int_eq(produce(&again).base_offset, PRODUCERS);
    /* It starts with them again, no larger. */
    close_clients();
    broker_process_kill(served.broker);
    double begin = monotonic_seconds();
    served_restart(&served, RUNNEL_BINARY, NULL);
    printf("start after a kill: %.2f s\n", monotonic_seconds() - begin);
    connect_clients();
    ck_assert_int_eq(produce(&again).base_offset, PRODUCERS);
    ck_assert_uint_lt(process_rss_anonymous(broker_process_pid(served.broker)), before + MEMORY_MAX);
}
END_TEST

static void start_broker(void)
{
    served_start(&served, RUNNEL_BINARY, NULL);
    connect_clients();
    load_make_topic(served.bootstrap, "hostile");
    arena_init(&arena, NULL);
}

static void stop_broker(void)
{
    arena_destroy(&arena);
    close_clients();
    served_stop(&served);
}

int main(void)
{
    Suite *suite = suite_create("hostile producers");
    TCase *tests = tcase_create("producers");
    tcase_set_timeout(tests, 250);
    tcase_add_unchecked_fixture(tests, start_broker, stop_broker);
    tcase_add_loop_test(tests, batches_that_do_not_fit, 0, sizeof misfits / sizeof *misfits);
    tcase_add_test(tests, sequences_wrap);
    tcase_add_test(tests, duplicates_are_known_after_a_stop_and_a_kill);
    tcase_add_test(tests, a_flood_of_producer_ids);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
