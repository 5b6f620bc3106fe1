/* The whole broker on a disk that loses power or fails: what was acknowledged is there afterwards, in
 * order, and what could not be made durable was not acknowledged.
 *
 * RUNNEL_SEEDS: how many runs (default 40). RUNNEL_SEED: the first; a failure prints the one that
 * repeats it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/bytes.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/sim.h"

enum {
    KEY_PRODUCE = 0,
    KEY_FETCH = 1,
    KEY_METADATA = 3,
    PRODUCE_VERSION = 9,
    FETCH_VERSION = 12,
    METADATA_VERSION = 9,
    PARTITIONS = 3,
    STEPS = 60,
};

static struct sim sim;
static struct sim_client client;
static struct random chance;

/* What a client knows of each partition: records are numbered, their value is their number. */
static struct {
    int64_t sent_count; /* numbers that were sent, acknowledged or not */
    int64_t acked_end;  /* offset behind the last acknowledged record */
} ledger[PARTITIONS];

static struct batch_view make_batch(struct arena *arena, int64_t first, int64_t count)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct batch_builder *builder = batch_builder_open(arena, &options);
    for (int64_t i = first; i < first + count; i++) {
        uint8_t value[8];
        store_be64(value, (uint64_t)i);
        ck_assert(
            batch_builder_add(builder, 1700000000000, SLICE_NULL, slice_of(value, sizeof value), NULL, 0));
    }
    struct batch_view batch;
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    return batch;
}

static bool send_records(int32_t p, int64_t count)
{
    struct arena arena;
    struct one_produce one;
    arena_init(&arena, NULL);
    struct batch_view batch = make_batch(&arena, ledger[p].sent_count, count);
    one_produce(&one, "orders", p, batch_bytes(&batch));
    bool sent = sim_send(&client, KEY_PRODUCE, PRODUCE_VERSION, &one.request);
    arena_destroy(&arena);
    ledger[p].sent_count += count;
    return sent;
}

/* The answer of the oldest request under way; its records are then the client's to rely on. */
static int16_t receive_answer(int32_t p, int64_t count)
{
    struct produce_response response;
    if (!sim_receive(&client, KEY_PRODUCE, PRODUCE_VERSION, &response))
        return -1;
    const struct produce_response_partition *partition = &response.topics[0].partitions[0];
    if (partition->error_code == ERR_NONE)
        ledger[p].acked_end = partition->base_offset + count;
    return partition->error_code;
}

static void make_topic(void)
{
    struct one_metadata one;
    struct metadata_response response;
    one_metadata(&one, SLICE_LITERAL("orders"));
    ck_assert(sim_call(&client, KEY_METADATA, METADATA_VERSION, &one.request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

static void fetch_from(int32_t p, int64_t offset, struct fetch_response *response)
{
    struct one_fetch one;
    one_fetch(&one, "orders", p, offset);
    one.partition.partition_max_bytes = 500;
    ck_assert(sim_call(&client, KEY_FETCH, FETCH_VERSION, &one.request, response));
    ck_assert_int_eq(response->topics[0].partitions[0].error_code, ERR_NONE);
}

/* Numbers rise by one within a batch and from batch to batch, but where a request was lost as a
 * whole. Returns the offset behind the last record. */
static int64_t read_numbers(int32_t p, int64_t *last_number)
{
    int64_t offset = 0;
    *last_number = -1;
    for (;;) {
        struct fetch_response response;
        fetch_from(p, offset, &response);
        const struct fetch_response_partition *partition = &response.topics[0].partitions[0];
        slice bytes = partition->records.bytes;
        if (bytes.size == 0) {
            ck_assert_int_eq(partition->high_watermark, offset);
            return offset;
        }
        while (bytes.size > 0) {
            struct arena arena;
            struct batch_view batch;
            struct record record;
            arena_init(&arena, NULL);
            ck_assert_int_eq(batch_view(bytes, &batch), BATCH_OK);
            ck_assert(batch_crc_ok(&batch));
            ck_assert_int_eq(batch.base_offset, offset);
            struct record_iterator *iterator = record_iterator_open(&batch, &arena, 1 << 20);
            for (bool is_first = true; record_iterator_next(iterator, &record) == BATCH_OK;
                 is_first = false) {
                int64_t number = (int64_t)load_be64(record.value.data);
                ck_assert_int_eq(record.offset, offset);
                ck_assert(is_first ? number > *last_number : number == *last_number + 1);
                *last_number = number;
                offset++;
            }
            record_iterator_close(iterator);
            arena_destroy(&arena);
            bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
        }
    }
}

static void check_ledger(void)
{
    for (int32_t p = 0; p < PARTITIONS; p++) {
        int64_t last_number;
        int64_t end = read_numbers(p, &last_number);
        ck_assert_int_ge(end, ledger[p].acked_end);
        ck_assert_int_lt(last_number, ledger[p].sent_count);
    }
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void open_seeded(uint64_t seed)
{
    memset(ledger, 0, sizeof ledger);
    random_seed(&chance, seed);
    sim_open(&sim, seed, "num.partitions=3\nlog.segment.bytes=1048576\n");
    sim_connect(&sim, &client);
    make_topic();
}

/* A few requests under way, a few steps of the broker, perhaps answers, perhaps the power goes. */
static void run_steps(void)
{
    for (int step = 0; step < STEPS; step++) {
        int32_t places[8];
        int64_t counts[8];
        int under_way = 1 + (int)random_below(&chance, 8);
        for (int i = 0; i < under_way; i++) {
            places[i] = (int32_t)random_below(&chance, PARTITIONS);
            counts[i] = 1 + (int64_t)random_below(&chance, 20);
            ck_assert(send_records(places[i], counts[i]));
        }
        for (uint64_t steps = random_below(&chance, 30); steps > 0; steps--)
            server_step(sim.server);
        int answered = (int)random_below(&chance, (uint64_t)under_way + 1);
        bool power_fails = random_below(&chance, 4) == 0;
        for (int i = 0; i < (power_fails ? answered : under_way); i++)
            ck_assert_int_eq(receive_answer(places[i], counts[i]), ERR_NONE);
        if (!power_fails)
            continue;
        sim_power_cycle(&sim, (enum file_double_cut)random_below(&chance, 3));
        sim_disconnect(&client);
        sim_connect(&sim, &client);
        check_ledger();
    }
}

START_TEST(acknowledged_survives_power_cuts)
{
    uint64_t first = number_from("RUNNEL_SEED", 1), count = number_from("RUNNEL_SEEDS", 40);
    for (uint64_t seed = first; seed < first + count; seed++) {
        printf("seed %llu\r", (unsigned long long)seed);
        fflush(stdout);
        open_seeded(seed);
        run_steps();
        check_ledger();
        sim_disconnect(&client);
        sim_close(&sim);
    }
}
END_TEST

/* The control: a disk that keeps nothing of what it was told to flush. If this lost nothing, the test
 * above would show nothing. */
START_TEST(a_lying_disk_loses)
{
    open_seeded(7);
    file_double_ignore_flushes(sim.disk, true);
    for (int i = 0; i < 20; i++) {
        ck_assert(send_records(0, 10));
        ck_assert_int_eq(receive_answer(0, 10), ERR_NONE);
    }
    sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
    sim_disconnect(&client);
    sim_connect(&sim, &client);
    int64_t last_number;
    ck_assert_int_lt(read_numbers(0, &last_number), ledger[0].acked_end);
    sim_disconnect(&client);
    sim_close(&sim);
}
END_TEST

/* A failed flush: the waiting client is told, nothing more is served, and the next start has all that
 * was acknowledged before. */
START_TEST(a_failed_flush_is_told_and_ends_the_broker)
{
    open_seeded(11);
    for (int i = 0; i < 5; i++) {
        ck_assert(send_records(0, 10));
        ck_assert_int_eq(receive_answer(0, 10), ERR_NONE);
    }
    file_double_fail_flush(sim.disk, 1);
    ck_assert(send_records(0, 10));
    ck_assert_int_eq(receive_answer(0, 10), ERR_KAFKA_STORAGE_ERROR);
    send_records(0, 10);
    ck_assert_int_eq(receive_answer(0, 10), -1); /* the broker has closed */
    sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
    sim_disconnect(&client);
    sim_connect(&sim, &client);
    check_ledger();
    ck_assert(send_records(0, 10));
    ck_assert_int_eq(receive_answer(0, 10), ERR_NONE);
    sim_disconnect(&client);
    sim_close(&sim);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("broker_power");
    TCase *tcase = tcase_create("power");
    tcase_set_timeout(tcase, 200);
    tcase_add_test(tcase, acknowledged_survives_power_cuts);
    tcase_add_test(tcase, a_lying_disk_loses);
    tcase_add_test(tcase, a_failed_flush_is_told_and_ends_the_broker);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
