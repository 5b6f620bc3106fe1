/* A topic is deleted, and made again, under requests that are anywhere: each is answered, with an error that
 * Kafka has for it, and nothing of the topic stays behind. The order of all steps is drawn from seeds.
 *
 * RUNNEL_SEEDS: how many runs (default 300). RUNNEL_SEED: the first; a failure prints the one that repeats
 * it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/partition.h"
#include "codec/create_topics.h"
#include "codec/delete_topics.h"
#include "codec/fetch.h"
#include "codec/list_offsets.h"
#include "codec/produce.h"
#include "protocol/errors.h"
#include "protocol/record_batch.h"
#include "storage/directory.h"
#include "tests/support/sim.h"

enum {
    KEY_PRODUCE = 0,
    KEY_FETCH = 1,
    KEY_LIST_OFFSETS = 2,
    KEY_CREATE = 19,
    KEY_DELETE = 20,
    PRODUCED = 6,
    PARTITIONS = 2,
};

static struct sim sim;
static struct random chance;
static uint64_t seed;
static uuid topic_id;

static uint64_t below(uint64_t bound)
{
    return random_below(&chance, bound);
}

static void take_steps(uint64_t most)
{
    for (uint64_t steps = below(most); steps > 0; steps--)
        server_step(sim.server);
}

/* -- requests ------------------------------------------------------------------------------------- */

static void send_create(struct sim_client *client)
{
    struct create_topics_request request;
    struct create_topics_request_topic topic;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&topic);
    topic.name = SLICE_LITERAL("t");
    topic.num_partitions = PARTITIONS;
    topic.replication_factor = 1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_send(client, KEY_CREATE, 7, &request));
}

static void receive_create(struct sim_client *client)
{
    struct create_topics_response response;
    ck_assert_msg(sim_receive(client, KEY_CREATE, 7, &response), "seed %llu", (unsigned long long)seed);
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
    topic_id = response.topics[0].topic_id;
}

static void send_delete(struct sim_client *client)
{
    struct delete_topics_request request;
    struct delete_topics_request_topic topic;
    delete_topics_request_init(&request);
    delete_topics_request_topic_init(&topic);
    if (below(2))
        topic.name = SLICE_LITERAL("t");
    else
        topic.topic_id = topic_id;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_send(client, KEY_DELETE, 6, &request));
}

static void receive_delete(struct sim_client *client)
{
    struct delete_topics_response response;
    ck_assert_msg(sim_receive(client, KEY_DELETE, 6, &response), "seed %llu", (unsigned long long)seed);
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

/* Compressed, it is more than a loop decodes: a worker validates it. */
static void make_batch(struct arena *arena, bool is_large, struct batch_view *batch)
{
    static const uint8_t zeros[400 * 1024];
    struct batch_builder_options options = { .producer_id = -1,
                                             .producer_epoch = -1,
                                             .base_sequence = -1,
                                             .leader_epoch = -1,
                                             .attributes = is_large ? CODEC_LZ4 : CODEC_NONE };
    struct batch_builder *builder = batch_builder_open(arena, &options);
    slice value = slice_of(zeros, is_large ? sizeof zeros : 10);
    ck_assert(batch_builder_add(builder, 1700000000000, SLICE_NULL, value, NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, batch), BATCH_OK);
}

/* Both partitions, so that one may be done while the other waits. */
static void send_produce(struct sim_client *client, int16_t version, bool is_large)
{
    struct arena arena;
    struct produce_request request;
    struct produce_request_topic topic;
    struct produce_request_partition parts[PARTITIONS];
    struct batch_view batch;
    arena_init(&arena, NULL);
    produce_request_init(&request);
    produce_request_topic_init(&topic);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        make_batch(&arena, is_large && p == 0, &batch);
        produce_request_partition_init(&parts[p]);
        parts[p].partition = p;
        parts[p].records.bytes = slice_of(batch.data, batch.size);
    }
    if (version >= 13)
        topic.topic_id = topic_id;
    else
        topic.name = SLICE_LITERAL("t");
    topic.partitions = parts;
    topic.partitions_count = PARTITIONS;
    request.acks = -1;
    request.timeout_ms = 30000;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_send(client, KEY_PRODUCE, version, &request));
    arena_destroy(&arena);
}

static void receive_produce(struct sim_client *client, int16_t version)
{
    struct produce_response response;
    ck_assert_msg(sim_receive(client, KEY_PRODUCE, version, &response), "seed %llu",
                  (unsigned long long)seed);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        const struct produce_response_partition *part = &response.topics[0].partitions[p];
        bool is_by_id = version >= 13 && part->error_code == ERR_UNKNOWN_TOPIC_ID;
        ck_assert_msg(part->error_code == ERR_NONE || part->error_code == ERR_UNKNOWN_TOPIC_OR_PARTITION ||
                          is_by_id,
                      "produce: %s, seed %llu", error_name(part->error_code), (unsigned long long)seed);
        ck_assert((part->error_code == ERR_NONE) == (part->base_offset >= 0));
    }
}

/* Nothing but the deletion ends the wait: so much is never there, and time stands still. */
static void send_fetch(struct sim_client *client, int16_t version)
{
    struct fetch_request request;
    struct fetch_request_topic topic;
    struct fetch_request_partition parts[PARTITIONS];
    fetch_request_init(&request);
    fetch_request_topic_init(&topic);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        fetch_request_partition_init(&parts[p]);
        parts[p].partition = p;
        parts[p].partition_max_bytes = 1 << 20;
    }
    if (version >= 13)
        topic.topic_id = topic_id;
    else
        topic.name = SLICE_LITERAL("t");
    topic.partitions = parts;
    topic.partitions_count = PARTITIONS;
    request.session_epoch = -1;
    request.max_wait_ms = 1000;
    request.min_bytes = 50 << 20;
    request.max_bytes = 55 << 20;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_send(client, KEY_FETCH, version, &request));
}

static void receive_fetch(struct sim_client *client, int16_t version)
{
    struct fetch_response response;
    ck_assert_msg(sim_receive(client, KEY_FETCH, version, &response), "fetch v%d hangs, seed %llu", version,
                  (unsigned long long)seed);
    ck_assert_int_eq(response.error_code, ERR_NONE);
    /* An id that was resolved when the request came is a name whose topic is gone; later it is no topic's. */
    for (int32_t p = 0; p < response.topics[0].partitions_count; p++) {
        int16_t told = response.topics[0].partitions[p].error_code;
        ck_assert_msg(told == ERR_UNKNOWN_TOPIC_OR_PARTITION || (version >= 13 && told == ERR_UNKNOWN_TOPIC_ID),
                      "fetch v%d: %s, seed %llu", version, error_name(told), (unsigned long long)seed);
    }
}

static void send_list(struct sim_client *client)
{
    struct list_offsets_request request;
    struct list_offsets_request_topic topic;
    struct list_offsets_request_partition parts[PARTITIONS];
    list_offsets_request_init(&request);
    list_offsets_request_topic_init(&topic);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        list_offsets_request_partition_init(&parts[p]);
        parts[p].partition = p;
        parts[p].timestamp = p == 0 ? 1600000000000 : -2;
    }
    topic.name = SLICE_LITERAL("t");
    topic.partitions = parts;
    topic.partitions_count = PARTITIONS;
    request.replica_id = -1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_send(client, KEY_LIST_OFFSETS, 7, &request));
}

static void receive_list(struct sim_client *client)
{
    struct list_offsets_response response;
    ck_assert_msg(sim_receive(client, KEY_LIST_OFFSETS, 7, &response), "seed %llu", (unsigned long long)seed);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        int16_t error_code = response.topics[0].partitions[p].error_code;
        ck_assert_msg(error_code == ERR_NONE || error_code == ERR_UNKNOWN_TOPIC_OR_PARTITION,
                      "list: %s, seed %llu", error_name(error_code), (unsigned long long)seed);
    }
}

/* -- a run ---------------------------------------------------------------------------------------- */

static bool no_leftover(void *context, const char *name)
{
    slice topic;
    int32_t partition;
    (void)context;
    enum directory_name_kind kind = directory_parse_name(name, &topic, &partition);
    ck_assert_msg(kind == DIRECTORY_OTHER || strcmp(name, METADATA_TOPIC_NAME "-0") == 0,
                  "%s is left, seed %llu", name, (unsigned long long)seed);
    return true;
}

static void check_nothing_is_left(void)
{
    sim_settle(&sim);
    ck_assert_uint_eq(controller_image(sim.server->controller)->topic_count, 0);
    ck_assert_int_eq(
        file_list(file_double_system(sim.disk), store_directory(sim.server->store, 0), no_leftover, NULL),
        FILE_OK);
}

static void run(void)
{
    struct sim_client admin, producer, leaver, by_name, by_id, lister;
    struct sim_client *all[] = { &admin, &producer, &leaver, &by_name, &by_id, &lister };
    int16_t versions[PRODUCED];
    sim_open(&sim, seed, below(4) ? "" : "log.flush.interval.messages=1000000\n");
    random_seed(&chance, seed);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sim_connect(&sim, all[i]);
    send_create(&admin);
    receive_create(&admin);
    if (below(2)) {
        send_produce(&producer, 9, false);
        receive_produce(&producer, 9);
    }
    send_fetch(&by_name, 12);
    send_fetch(&by_id, 13);
    take_steps(20);
    for (int i = 0; i < PRODUCED; i++) {
        versions[i] = below(2) ? 13 : 9;
        send_produce(&producer, versions[i], below(4) == 0);
        if (below(3) == 0)
            send_produce(&leaver, 9, below(4) == 0);
        take_steps(6);
    }
    send_list(&lister);
    take_steps(40);
    bool is_made_again = below(2);
    send_delete(&admin);
    if (below(2))
        take_steps(20);
    sim_disconnect(&leaver); /* settles */
    receive_delete(&admin);
    receive_fetch(&by_name, 12);
    receive_fetch(&by_id, 13);
    for (int i = 0; i < PRODUCED; i++)
        receive_produce(&producer, versions[i]);
    receive_list(&lister);
    check_nothing_is_left();
    sim_connect(&sim, &leaver);
    if (is_made_again) {
        uuid before = topic_id;
        send_create(&admin);
        receive_create(&admin);
        ck_assert(!uuid_equal(before, topic_id));
        send_produce(&producer, 13, false);
        receive_produce(&producer, 13);
        send_delete(&admin);
        receive_delete(&admin);
        check_nothing_is_left();
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        sim_disconnect(all[i]);
    sim_close(&sim);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *number = getenv(name);
    return number ? strtoull(number, NULL, 0) : otherwise;
}

START_TEST(everybody_is_answered)
{
    uint64_t first = number_from("RUNNEL_SEED", 1), count = number_from("RUNNEL_SEEDS", 300);
    for (seed = first; seed < first + count; seed++)
        run();
}
END_TEST

/* Names are free at once: the old topic goes while the new one is made, in one go of the admin. */
START_TEST(a_name_is_free_at_once)
{
    uint64_t first = number_from("RUNNEL_SEED", 1), count = number_from("RUNNEL_SEEDS", 300);
    for (seed = first; seed < first + count; seed++) {
        struct sim_client admin, other, producer;
        sim_open(&sim, seed, "");
        random_seed(&chance, seed);
        sim_connect(&sim, &admin);
        sim_connect(&sim, &other);
        sim_connect(&sim, &producer);
        send_create(&admin);
        receive_create(&admin);
        for (int round = 0; round < 5; round++) {
            uuid before = topic_id;
            int sent = (int)below(4);
            for (int i = 0; i < sent; i++)
                send_produce(&producer, 9, below(4) == 0);
            take_steps(30);
            send_delete(&admin);
            send_create(&admin);
            take_steps(30);
            send_produce(&other, 9, false);
            receive_delete(&admin);
            receive_create(&admin);
            receive_produce(&other, 9);
            for (int i = 0; i < sent; i++)
                receive_produce(&producer, 9);
            ck_assert(!uuid_equal(before, topic_id));
            ck_assert_ptr_null(image_topic_by_id(controller_image(sim.server->controller), before));
        }
        send_delete(&admin);
        receive_delete(&admin);
        check_nothing_is_left();
        sim_disconnect(&admin);
        sim_disconnect(&other);
        sim_disconnect(&producer);
        sim_close(&sim);
    }
}
END_TEST

/* -- an answer that is being sent ----------------------------------------------------------------- */

START_TEST(an_answer_on_its_way_keeps_its_bytes)
{
    enum { BATCHES = 30, VALUE_SIZE = 200 * 1024 };
    static uint8_t value[VALUE_SIZE];
    struct sim_client admin, reader;
    struct arena arena;
    seed = 5;
    random_seed(&chance, seed);
    sim_open(&sim, seed, "");
    sim_connect(&sim, &admin);
    sim_connect(&sim, &reader);
    arena_init(&arena, NULL);
    send_create(&admin);
    receive_create(&admin);
    for (int i = 0; i < BATCHES; i++) {
        struct batch_builder_options options = {
            .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1
        };
        struct produce_request request;
        struct produce_request_topic topic;
        struct produce_request_partition part;
        struct produce_response response;
        struct batch_view batch;
        memset(value, i, sizeof value);
        struct batch_builder *builder = batch_builder_open(&arena, &options);
        ck_assert(
            batch_builder_add(builder, 1700000000000, SLICE_NULL, slice_of(value, sizeof value), NULL, 0));
        ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
        produce_request_init(&request);
        produce_request_topic_init(&topic);
        produce_request_partition_init(&part);
        part.records.bytes = slice_of(batch.data, batch.size);
        topic.name = SLICE_LITERAL("t");
        topic.partitions = &part;
        topic.partitions_count = 1;
        request.acks = -1;
        request.topics = &topic;
        request.topics_count = 1;
        ck_assert(sim_call(&admin, KEY_PRODUCE, 9, &request, &response));
        ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
        arena_reset(&arena);
    }
    struct fetch_request request;
    struct fetch_request_topic topic;
    struct fetch_request_partition part;
    struct fetch_response response;
    fetch_request_init(&request);
    fetch_request_topic_init(&topic);
    fetch_request_partition_init(&part);
    part.partition_max_bytes = 50 << 20;
    topic.name = SLICE_LITERAL("t");
    topic.partitions = &part;
    topic.partitions_count = 1;
    request.session_epoch = -1;
    request.min_bytes = 1;
    request.max_bytes = 50 << 20;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_send(&reader, KEY_FETCH, 12, &request));
    sim_settle(&sim); /* the transport is full, most of the answer is still to be sent */
    send_delete(&admin);
    receive_delete(&admin);
    check_nothing_is_left();
    send_create(&admin); /* other bytes under the same name */
    receive_create(&admin);
    send_produce(&admin, 9, false);
    receive_produce(&admin, 9);
    ck_assert(sim_receive(&reader, KEY_FETCH, 12, &response));
    slice bytes = response.topics[0].partitions[0].records.bytes;
    ck_assert_uint_gt(bytes.size, (size_t)BATCHES * VALUE_SIZE);
    for (int i = 0; i < BATCHES; i++) {
        struct batch_view batch;
        ck_assert_int_eq(batch_view(bytes, &batch), BATCH_OK);
        ck_assert(batch_crc_ok(&batch));
        ck_assert_int_eq(batch.base_offset, i);
        bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
    }
    arena_destroy(&arena);
    sim_disconnect(&reader);
    sim_disconnect(&admin);
    sim_close(&sim);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topic deletion");
    TCase *tests = tcase_create("under requests");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, everybody_is_answered);
    tcase_add_test(tests, a_name_is_free_at_once);
    tcase_add_test(tests, an_answer_on_its_way_keeps_its_bytes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
