/* Idempotent producers against the whole broker: who gets an id, what a repeated batch is told and when, and
 * what is in the log after stops, kills and power cuts. */
#include <check.h>
#include <stdlib.h>

#include "codec/init_producer_id.h"
#include "codec/list_offsets.h"
#include "codec/metadata.h"
#include "codec/produce.h"
#include "protocol/errors.h"
#include "protocol/record_batch.h"
#include "tests/support/sim.h"

enum {
    KEY_PRODUCE = 0,
    KEY_LIST_OFFSETS = 2,
    KEY_METADATA = 3,
    KEY_INIT_PRODUCER_ID = 22,
    PRODUCE_VERSION = 9,
    PARTITIONS = 3,
};

#define CREATE_MS INT64_C(1700000000000)

static struct sim sim;
static struct sim_client client;
static struct arena arena;

/* -- what is sent --------------------------------------------------------------------------------- */

static struct batch_view batch_with(const struct batch_builder_options *options, int count, slice value)
{
    struct batch_builder *builder = batch_builder_open(&arena, options);
    struct batch_view batch;
    for (int i = 0; i < count; i++)
        ck_assert(batch_builder_add(builder, CREATE_MS + i, SLICE_NULL, value, NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    return batch;
}

static slice batch_of(int64_t producer_id, int16_t epoch, int32_t sequence, int count)
{
    const struct batch_builder_options options = {
        .producer_id = producer_id, .producer_epoch = epoch, .base_sequence = sequence, .leader_epoch = -1
    };
    struct batch_view batch = batch_with(&options, count, SLICE_LITERAL("value"));
    return slice_of(batch.data, batch.size);
}

/* One batch for one partition. */
struct mention {
    const char *topic;
    int32_t partition;
    slice records;
};

enum { MENTIONS_MAX = 3000 };

static bool send_mentions(struct sim_client *on, int16_t version, int16_t acks, slice transactional_id,
                          const struct mention *mentions, size_t count)
{
    static struct produce_request_topic topics[MENTIONS_MAX];
    static struct produce_request_partition partitions[MENTIONS_MAX];
    struct produce_request request;
    ck_assert_uint_le(count, MENTIONS_MAX);
    produce_request_init(&request);
    for (size_t i = 0; i < count; i++) {
        produce_request_partition_init(&partitions[i]);
        partitions[i].partition = mentions[i].partition;
        partitions[i].records.bytes = mentions[i].records;
        if (i > 0 && strcmp(mentions[i].topic, mentions[i - 1].topic) == 0) {
            topics[request.topics_count - 1].partitions_count++;
            continue;
        }
        struct produce_request_topic *topic = &topics[request.topics_count++];
        produce_request_topic_init(topic);
        topic->name = slice_of_string(mentions[i].topic);
        topic->partitions = &partitions[i];
        topic->partitions_count = 1;
    }
    request.transactional_id = transactional_id;
    request.acks = acks;
    request.timeout_ms = 30000;
    request.topics = topics;
    return sim_send(on, KEY_PRODUCE, version, &request);
}

static bool send_one(struct sim_client *on, int32_t partition, slice records)
{
    struct mention mention = { "orders", partition, records };
    return send_mentions(on, PRODUCE_VERSION, -1, SLICE_NULL, &mention, 1);
}

static struct produce_response_partition receive_one(struct sim_client *on)
{
    struct produce_response response;
    ck_assert(sim_receive(on, KEY_PRODUCE, PRODUCE_VERSION, &response));
    return response.topics[0].partitions[0];
}

static struct produce_response_partition produce(int32_t partition, slice records)
{
    ck_assert(send_one(&client, partition, records));
    return receive_one(&client);
}

static void expect_answer(struct produce_response_partition got, int16_t error_code, int64_t base_offset)
{
    ck_assert_msg(got.error_code == error_code, "%s instead of %s", error_name(got.error_code),
                  error_name(error_code));
    ck_assert_int_eq(got.base_offset, base_offset);
}

static int64_t end_offset(int32_t p)
{
    struct list_offsets_request request;
    struct list_offsets_request_topic topic;
    struct list_offsets_request_partition partition;
    struct list_offsets_response response;
    list_offsets_request_init(&request);
    list_offsets_request_topic_init(&topic);
    list_offsets_request_partition_init(&partition);
    request.replica_id = -1;
    partition.partition = p;
    partition.timestamp = -1;
    topic.name = SLICE_LITERAL("orders");
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_LIST_OFFSETS, 7, &request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
    return response.topics[0].partitions[0].offset;
}

static void make_topic(const char *name)
{
    struct metadata_request request;
    struct metadata_request_topic topic;
    struct metadata_response response;
    metadata_request_init(&request);
    metadata_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    request.topics = &topic;
    request.topics_count = 1;
    request.allow_auto_topic_creation = true;
    ck_assert(sim_call(&client, KEY_METADATA, 9, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

static struct init_producer_id_response init_producer_id(int16_t version, slice transactional_id,
                                                         int64_t producer_id, int16_t epoch)
{
    struct init_producer_id_request request;
    struct init_producer_id_response response;
    init_producer_id_request_init(&request);
    request.transactional_id = transactional_id;
    request.transaction_timeout_ms = 60000;
    if (version >= 3) {
        request.producer_id = producer_id;
        request.producer_epoch = epoch;
    }
    ck_assert(sim_call(&client, KEY_INIT_PRODUCER_ID, version, &request, &response));
    return response;
}

static int64_t new_producer(void)
{
    struct init_producer_id_response response = init_producer_id(5, SLICE_NULL, -1, -1);
    ck_assert_int_eq(response.error_code, ERR_NONE);
    return response.producer_id;
}

static void begin(uint64_t seed, const char *settings)
{
    arena_init(&arena, NULL);
    sim_open(&sim, seed, settings);
    sim_connect(&sim, &client);
    make_topic("orders");
}

static void end(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
    arena_destroy(&arena);
}

static void set_up(void)
{
    begin(1, "num.partitions=3\n");
}

/* -- how the broker goes away --------------------------------------------------------------------- */

enum departure { CLEAN_STOP, KILL, POWER_CUT, REORDERING_POWER_CUT, DEPARTURES };

static void depart_and_return(enum departure how)
{
    sim_disconnect(&client);
    switch (how) {
    case CLEAN_STOP:
        sim_start_on(&sim, sim_stop(&sim));
        break;
    case KILL:
        sim_power_cycle(&sim, FILE_DOUBLE_KEEP_ALL);
        break;
    case POWER_CUT:
        sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
        break;
    case REORDERING_POWER_CUT:
    case DEPARTURES:
        sim_power_cycle(&sim, FILE_DOUBLE_REORDER);
        break;
    }
    sim_connect(&sim, &client);
}

/* -- who gets an id ------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    int16_t version_min;
    const char *transactional_id;
    int64_t producer_id;
    int16_t epoch;
    int16_t error_code;
} asked[] = {
    { "nothing", 0, NULL, -1, -1, ERR_NONE },
    { "another id, which changes nothing", 3, NULL, 77, 3, ERR_NONE },
    { "negative numbers, which Kafka takes for an id", 3, NULL, -5, -5, ERR_NONE },
    { "an id without epoch", 3, NULL, 77, -1, ERR_INVALID_REQUEST },
    { "an epoch without id", 3, NULL, -1, 3, ERR_INVALID_REQUEST },
    { "an empty transactional id", 0, "", -1, -1, ERR_INVALID_REQUEST },
    { "an empty transactional id and an epoch without id", 3, "", -1, 0, ERR_INVALID_REQUEST },
    { "a transactional id", 0, "txn", -1, -1, ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED },
    { "a transactional id and an id without epoch", 3, "txn", 7, -1, ERR_INVALID_REQUEST },
};

START_TEST(ids_are_given_as_kafka_does)
{
    for (int16_t version = asked[_i].version_min; version <= 5; version++) {
        struct init_producer_id_response response = init_producer_id(
            version, slice_of_string(asked[_i].transactional_id), asked[_i].producer_id, asked[_i].epoch);
        bool ok = asked[_i].error_code == ERR_NONE;
        ck_assert_msg(response.error_code == asked[_i].error_code, "%s: %s", asked[_i].what,
                      error_name(response.error_code));
        ck_assert_int_eq(response.producer_id, ok ? version - asked[_i].version_min : -1);
        ck_assert_int_eq(response.producer_epoch, ok ? 0 : -1);
        ck_assert_int_eq(response.throttle_time_ms, 0);
    }
}
END_TEST

/* What the authoriser allows: a bit for each operation that is asked for. */
enum { MAY_WRITE_IDEMPOTENTLY = 1, MAY_WRITE_SOMEWHERE = 2, MAY_USE_TRANSACTION = 4 };

static bool allow_some(void *context, const struct conn *conn, enum acl_operation op, int resource_type,
                       slice name)
{
    enum { TOPIC = 2, CLUSTER = 4, TRANSACTIONAL_ID = 5 };
    unsigned allowed = *(unsigned *)context;
    (void)conn;
    if (op == OP_IDEMPOTENT_WRITE && resource_type == CLUSTER)
        return allowed & MAY_WRITE_IDEMPOTENTLY;
    if (op == OP_WRITE && resource_type == TOPIC && slice_is_null(name))
        return allowed & MAY_WRITE_SOMEWHERE;
    if (op == OP_WRITE && resource_type == TRANSACTIONAL_ID && slice_equal_string(name, "txn"))
        return allowed & MAY_USE_TRANSACTION;
    return false;
}

static const struct {
    unsigned allowed;
    const char *transactional_id;
    int64_t producer_id;
    int16_t error_code;
} permissions[] = {
    { 0, NULL, -1, ERR_CLUSTER_AUTHORIZATION_FAILED },
    { MAY_USE_TRANSACTION, NULL, -1, ERR_CLUSTER_AUTHORIZATION_FAILED },
    { MAY_WRITE_IDEMPOTENTLY, NULL, -1, ERR_NONE },
    { MAY_WRITE_SOMEWHERE, NULL, -1, ERR_NONE },
    { 0, NULL, 7, ERR_CLUSTER_AUTHORIZATION_FAILED },
    { MAY_WRITE_SOMEWHERE, NULL, 7, ERR_INVALID_REQUEST },
    { MAY_WRITE_IDEMPOTENTLY | MAY_WRITE_SOMEWHERE, "txn", -1, ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED },
    { MAY_WRITE_IDEMPOTENTLY | MAY_WRITE_SOMEWHERE, "", -1, ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED },
    { MAY_USE_TRANSACTION, "txn", 7, ERR_INVALID_REQUEST },
};

START_TEST(permission_comes_first)
{
    unsigned allowed = permissions[_i].allowed;
    sim.server->authorize = allow_some;
    sim.server->authorize_context = &allowed;
    struct init_producer_id_response response = init_producer_id(
        4, slice_of_string(permissions[_i].transactional_id), permissions[_i].producer_id, -1);
    ck_assert_msg(response.error_code == permissions[_i].error_code, "%s", error_name(response.error_code));
}
END_TEST

/* -- what a batch is told ------------------------------------------------------------------------- */

static const struct {
    const char *what;
    int64_t producer_id; /* -100: the id that has sent sequences 0-1 and 2 in epoch 1 */
    int16_t epoch;
    int32_t sequence;
    int count;
    int16_t error_code;
    int64_t base_offset;
} sent[] = {
    { "the last batch again", -100, 1, 2, 1, ERR_NONE, 2 },
    { "the one before again", -100, 1, 0, 2, ERR_NONE, 0 },
    { "the next", -100, 1, 3, 4, ERR_NONE, 3 },
    { "a part of an old one", -100, 1, 0, 1, ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1 },
    { "more than an old one", -100, 1, 0, 3, ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1 },
    { "a gap", -100, 1, 4, 1, ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1 },
    { "no sequence", -100, 1, -1, 1, ERR_INVALID_RECORD, -1 },
    { "a negative sequence", -100, 1, INT32_MIN, 1, ERR_INVALID_RECORD, -1 },
    { "an older epoch", -100, 0, 3, 1, ERR_INVALID_PRODUCER_EPOCH, -1 },
    { "an old batch in an older epoch", -100, 0, 2, 1, ERR_INVALID_PRODUCER_EPOCH, -1 },
    { "no epoch", -100, -1, 3, 1, ERR_INVALID_PRODUCER_EPOCH, -1 },
    { "a new epoch from 0", -100, 2, 0, 1, ERR_NONE, 3 },
    { "a much newer epoch", -100, INT16_MAX, 0, 1, ERR_NONE, 3 },
    { "a new epoch from elsewhere", -100, 2, 3, 1, ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1 },
    { "a producer that nobody knows, from anywhere", 123456, 5, 17, 1, ERR_NONE, 3 },
    { "one without epoch", 123456, -1, 17, 1, ERR_NONE, 3 },
    { "one of a negative epoch", 123456, -2, 0, 1, ERR_INVALID_PRODUCER_EPOCH, -1 },
    { "a negative producer id: none", -2, 0, -9, 1, ERR_NONE, 3 },
    { "none at all", -1, 7, 7, 1, ERR_NONE, 3 },
    { "the last sequence and beyond", 123456, 0, INT32_MAX, 2, ERR_NONE, 3 },
};

START_TEST(batches_are_judged_as_kafka_does)
{
    int64_t id = new_producer();
    expect_answer(produce(0, batch_of(id, 1, 0, 2)), ERR_NONE, 0);
    expect_answer(produce(0, batch_of(id, 1, 2, 1)), ERR_NONE, 2);
    int64_t producer_id = sent[_i].producer_id == -100 ? id : sent[_i].producer_id;
    struct produce_response_partition got =
        produce(0, batch_of(producer_id, sent[_i].epoch, sent[_i].sequence, sent[_i].count));
    ck_assert_msg(got.error_code == sent[_i].error_code && got.base_offset == sent[_i].base_offset,
                  "%s: %s %lld", sent[_i].what, error_name(got.error_code), (long long)got.base_offset);
    ck_assert_msg(got.log_start_offset == 0, "also an error says where the log starts");
    ck_assert_int_eq(got.log_append_time_ms, -1);
    ck_assert_int_eq(end_offset(0), got.base_offset == 3 ? 3 + sent[_i].count : 3);
}
END_TEST

START_TEST(sequences_wrap)
{
    int64_t id = new_producer();
    expect_answer(produce(0, batch_of(id, 0, INT32_MAX - 1, 2)), ERR_NONE, 0);
    expect_answer(produce(0, batch_of(id, 0, 1, 1)), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
    expect_answer(produce(0, batch_of(id, 0, 0, 2)), ERR_NONE, 2);
    expect_answer(produce(0, batch_of(id, 0, INT32_MAX - 1, 2)), ERR_NONE, 0);
    expect_answer(produce(1, batch_of(id, 0, INT32_MAX, 3)), ERR_NONE, 0); /* over it in one batch: up to 1 */
    expect_answer(produce(1, batch_of(id, 0, INT32_MAX, 3)), ERR_NONE, 0);
    expect_answer(produce(1, batch_of(id, 0, 2, 1)), ERR_NONE, 3);
}
END_TEST

/* A retry says when the original was appended. */
START_TEST(a_duplicate_has_the_originals_time)
{
    end();
    begin(1, "log.message.timestamp.type=LogAppendTime\n");
    int64_t id = new_producer();
    int64_t first_ms = clock_wall_ms(sim.server->clock);
    for (int i = 0; i < 3; i++) {
        struct produce_response_partition got = produce(0, batch_of(id, 0, 0, 3));
        expect_answer(got, ERR_NONE, 0);
        ck_assert_int_eq(got.log_append_time_ms, first_ms);
        sim_advance(&sim, 1234);
        if (i == 1)
            depart_and_return(CLEAN_STOP);
    }
}
END_TEST

START_TEST(a_sequence_error_does_not_fail_its_neighbours)
{
    int64_t id = new_producer();
    expect_answer(produce(1, batch_of(id, 0, 0, 1)), ERR_NONE, 0);
    struct mention mentions[] = {
        { "orders", 0, batch_of(id, 0, 0, 1) },
        { "orders", 1, batch_of(id, 0, 9, 1) },
        { "orders", 2, batch_of(-1, -1, -1, 1) },
    };
    struct produce_response response;
    ck_assert(send_mentions(&client, PRODUCE_VERSION, -1, SLICE_NULL, mentions, 3));
    ck_assert(sim_receive(&client, KEY_PRODUCE, PRODUCE_VERSION, &response));
    expect_answer(response.topics[0].partitions[0], ERR_NONE, 0);
    expect_answer(response.topics[0].partitions[1], ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
    expect_answer(response.topics[0].partitions[2], ERR_NONE, 0);
}
END_TEST

/* Several requests of one turn are one log_append(): a bad batch among them fails alone, and those of its
 * producer that come behind it. */
START_TEST(a_sequence_error_does_not_fail_other_requests)
{
    int64_t id = new_producer(), other = new_producer();
    expect_answer(produce(0, batch_of(id, 0, 0, 1)), ERR_NONE, 0);
    ck_assert(send_one(&client, 0, batch_of(id, 0, 1, 1)));
    ck_assert(send_one(&client, 0, batch_of(id, 0, 3, 1)));
    ck_assert(send_one(&client, 0, batch_of(other, 0, 0, 1)));
    ck_assert(send_one(&client, 0, batch_of(id, 0, 4, 1)));
    ck_assert(send_one(&client, 0, batch_of(id, 0, 2, 1)));
    expect_answer(receive_one(&client), ERR_NONE, 1);
    expect_answer(receive_one(&client), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
    expect_answer(receive_one(&client), ERR_NONE, 2);
    expect_answer(receive_one(&client), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
    expect_answer(receive_one(&client), ERR_NONE, 3);
}
END_TEST

START_TEST(without_acks_an_error_closes)
{
    int64_t id = new_producer();
    struct mention mention = { "orders", 0, batch_of(id, 0, 0, 1) };
    ck_assert(send_mentions(&client, PRODUCE_VERSION, 0, SLICE_NULL, &mention, 1));
    ck_assert(send_mentions(&client, PRODUCE_VERSION, 0, SLICE_NULL, &mention, 1)); /* a duplicate is none */
    sim_settle(&sim);
    ck_assert_int_eq(end_offset(0), 1);
    mention.records = batch_of(id, 0, 7, 1);
    ck_assert(send_mentions(&client, PRODUCE_VERSION, 0, SLICE_NULL, &mention, 1));
    struct produce_response response;
    ck_assert(!sim_receive(&client, KEY_PRODUCE, PRODUCE_VERSION, &response));
    sim_disconnect(&client);
    sim_connect(&sim, &client);
    ck_assert_int_eq(end_offset(0), 1);
}
END_TEST

/* -- durability ----------------------------------------------------------------------------------- */

/* Steps as long as anything moves; an answer that was there would be read. */
static bool is_unanswered(struct sim_client *on)
{
    struct produce_response response;
    return !sim_receive(on, KEY_PRODUCE, PRODUCE_VERSION, &response);
}

START_TEST(a_retry_waits_until_the_original_is_durable)
{
    int64_t id = new_producer();
    expect_answer(produce(0, batch_of(id, 0, 0, 1)), ERR_NONE, 0);
    struct sim_client second;
    sim_connect(&sim, &second);
    sim.flushes_are_held = true;
    ck_assert(send_one(&client, 0, batch_of(id, 0, 1, 2)));
    ck_assert(is_unanswered(&client));
    ck_assert(send_one(&second, 0, batch_of(id, 0, 1, 2)));
    ck_assert_msg(is_unanswered(&second), "the original may be lost still");
    sim_advance(&sim, 100);
    ck_assert(is_unanswered(&second));
    /* The control: what is durable is told while the flush is held. */
    struct sim_client third;
    sim_connect(&sim, &third);
    ck_assert(send_one(&third, 0, batch_of(id, 0, 0, 1)));
    expect_answer(receive_one(&third), ERR_NONE, 0);
    ck_assert(is_unanswered(&second));
    sim.flushes_are_held = false;
    expect_answer(receive_one(&second), ERR_NONE, 1);
    expect_answer(receive_one(&client), ERR_NONE, 1);
    sim_disconnect(&second);
    sim_disconnect(&third);
    ck_assert_int_eq(end_offset(0), 3);
}
END_TEST

/* The client's connection is gone with the answer: the flush comes, the retry finds the batch. */
START_TEST(a_retry_on_a_new_connection_finds_the_batch)
{
    int64_t id = new_producer();
    sim.flushes_are_held = true;
    ck_assert(send_one(&client, 0, batch_of(id, 0, 0, 2)));
    ck_assert(is_unanswered(&client));
    sim_disconnect(&client);
    sim.flushes_are_held = false;
    sim_connect(&sim, &client);
    expect_answer(produce(0, batch_of(id, 0, 0, 2)), ERR_NONE, 0);
    ck_assert_int_eq(end_offset(0), 2);
}
END_TEST

/* The power fails between the append and its flush: the retry is appended, once. */
START_TEST(a_retry_after_a_power_cut_is_there_once)
{
    int64_t id = new_producer();
    expect_answer(produce(0, batch_of(id, 0, 0, 1)), ERR_NONE, 0);
    sim.flushes_are_held = true;
    ck_assert(send_one(&client, 0, batch_of(id, 0, 1, 2)));
    ck_assert(is_unanswered(&client));
    sim.flushes_are_held = false;
    depart_and_return((enum departure)_i);
    for (int i = 0; i < 2; i++)
        expect_answer(produce(0, batch_of(id, 0, 1, 2)), ERR_NONE, 1);
    expect_answer(produce(0, batch_of(id, 0, 3, 1)), ERR_NONE, 3);
    ck_assert_int_eq(end_offset(0), 4);
}
END_TEST

/* All of the last five are known after each kind of return, and the sixth is not. */
START_TEST(the_last_five_are_known_after_a_return)
{
    enum { BATCHES = 9, KNOWN = 5 };
    int64_t id = new_producer();
    for (int i = 0; i < BATCHES; i++)
        expect_answer(produce(0, batch_of(id, 0, 2 * i, 2)), ERR_NONE, 2 * i);
    for (int round = 0; round < 2; round++) {
        depart_and_return((enum departure)_i);
        for (int i = BATCHES - KNOWN; i < BATCHES; i++)
            expect_answer(produce(0, batch_of(id, 0, 2 * i, 2)), ERR_NONE, 2 * i);
        for (int i = 0; i < BATCHES - KNOWN; i++)
            expect_answer(produce(0, batch_of(id, 0, 2 * i, 2)), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
        expect_answer(produce(0, batch_of(id, 0, 2 * BATCHES + 1, 1)), ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
        ck_assert_int_eq(end_offset(0), 2 * BATCHES);
    }
    expect_answer(produce(0, batch_of(id, 0, 2 * BATCHES, 1)), ERR_NONE, 2 * BATCHES);
    expect_answer(produce(0, batch_of(id, 1, 0, 1)), ERR_NONE, 2 * BATCHES + 1);
    depart_and_return((enum departure)_i);
    expect_answer(produce(0, batch_of(id, 0, 2 * BATCHES + 1, 1)), ERR_INVALID_PRODUCER_EPOCH, -1);
    expect_answer(produce(0, batch_of(id, 1, 0, 1)), ERR_NONE, 2 * BATCHES + 1);
}
END_TEST

/* -- order ---------------------------------------------------------------------------------------- */

/* About 1 MiB when it is decoded: a worker validates it. */
static slice large_batch_of(int64_t producer_id, int32_t sequence)
{
    static uint8_t value[1000];
    const struct batch_builder_options options = {
        .producer_id = producer_id, .base_sequence = sequence, .leader_epoch = -1, .attributes = CODEC_ZSTD
    };
    memset(value, 'x', sizeof value);
    struct batch_view batch = batch_with(&options, 1000, slice_of(value, sizeof value));
    ck_assert_uint_gt(batch_decoded_size_guess(&batch), 256 * 1024);
    return slice_of(batch.data, batch.size);
}

/* Five in flight, as clients have them, large ones that a worker validates among small ones: whoever is
 * overtaken would be told of a gap. */
START_TEST(order_survives_workers)
{
    enum { IN_FLIGHT = 5, ROUNDS = 30 };
    end();
    begin((uint64_t)_i, "num.partitions=3\n");
    struct random chance;
    random_seed(&chance, (uint64_t)_i);
    int64_t id = new_producer(), next_offset = 0;
    int32_t sequence = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int counts[IN_FLIGHT];
        for (int i = 0; i < IN_FLIGHT; i++) {
            bool is_large = random_below(&chance, 3) == 0;
            counts[i] = is_large ? 1000 : 1 + (int)random_below(&chance, 5);
            ck_assert(send_one(
                &client, 0, is_large ? large_batch_of(id, sequence) : batch_of(id, 0, sequence, counts[i])));
            sequence += counts[i];
            for (uint64_t steps = random_below(&chance, 4); steps > 0; steps--)
                sim_step(&sim);
        }
        for (int i = 0; i < IN_FLIGHT; i++) {
            expect_answer(receive_one(&client), ERR_NONE, next_offset);
            next_offset += counts[i];
        }
        arena_reset(&arena);
    }
}
END_TEST

/* The same over reconnects: what was under way may be there or not, and a retry of all of it is there once.
 */
START_TEST(retries_over_reconnects_are_there_once)
{
    enum { IN_FLIGHT = 5, ROUNDS = 30 };
    end();
    begin((uint64_t)_i, "num.partitions=3\n");
    struct random chance;
    random_seed(&chance, (uint64_t)_i);
    int64_t id = new_producer(), next_offset = 0;
    int32_t sequence = 0;
    for (int round = 0; round < ROUNDS; round++) {
        slice batches[IN_FLIGHT];
        int counts[IN_FLIGHT];
        for (int i = 0; i < IN_FLIGHT; i++) {
            bool is_large = random_below(&chance, 3) == 0;
            counts[i] = is_large ? 1000 : 1 + (int)random_below(&chance, 5);
            batches[i] = is_large ? large_batch_of(id, sequence) : batch_of(id, 0, sequence, counts[i]);
            sequence += counts[i];
        }
        for (uint64_t attempts = random_below(&chance, 4); attempts > 0; attempts--) {
            for (int i = 0; i < IN_FLIGHT; i++)
                ck_assert(send_one(&client, 0, batches[i]));
            for (uint64_t steps = random_below(&chance, 12); steps > 0; steps--)
                sim_step(&sim);
            if (random_below(&chance, 4) == 0) {
                depart_and_return((enum departure)random_below(&chance, DEPARTURES));
            } else {
                sim_disconnect(&client);
                sim_connect(&sim, &client);
            }
        }
        for (int i = 0; i < IN_FLIGHT; i++)
            ck_assert(send_one(&client, 0, batches[i]));
        for (int i = 0; i < IN_FLIGHT; i++) {
            expect_answer(receive_one(&client), ERR_NONE, next_offset);
            next_offset += counts[i];
        }
        ck_assert_int_eq(end_offset(0), next_offset);
        arena_reset(&arena);
    }
}
END_TEST

/* -- a partition that one request names twice ------------------------------------------------------- */

enum { ONE = 1, TWO = 2, EMPTY = -1, BAD_CRC = -2, BAD_MAGIC = -3 };

/* What Apache Kafka 4.2 answered to the same. */
static const struct {
    const char *what;
    int records[3]; /* of partition 0: how many, or what is wrong; 0: no more */
    int16_t error_code;
    int64_t base_offset;
    int64_t end_offset;
} repeats[] = {
    { "one", { TWO }, ERR_NONE, 0, 2 },
    { "two: the last is appended", { TWO, ONE }, ERR_NONE, 0, 1 },
    { "three", { ONE, ONE, TWO }, ERR_NONE, 0, 2 },
    { "an empty one at the end: appended, and an error", { TWO, EMPTY }, ERR_INVALID_RECORD, -1, 2 },
    { "an empty one before", { EMPTY, TWO }, ERR_INVALID_RECORD, -1, 2 },
    { "an empty one between", { ONE, EMPTY, TWO }, ERR_INVALID_RECORD, -1, 2 },
    { "only empty ones", { EMPTY, EMPTY }, ERR_INVALID_RECORD, -1, 0 },
    { "a wrong magic before", { BAD_MAGIC, ONE }, ERR_INVALID_RECORD, -1, 1 },
    { "a wrong CRC, which only the log sees, at the end", { ONE, BAD_CRC }, ERR_CORRUPT_MESSAGE, -1, 0 },
    { "a wrong CRC before, which nobody sees", { BAD_CRC, ONE }, ERR_NONE, 0, 1 },
};

static slice records_for(int what)
{
    if (what == EMPTY)
        return SLICE_LITERAL("");
    slice records = batch_of(-1, -1, -1, what > 0 ? what : 1);
    uint8_t *bytes = (uint8_t *)(uintptr_t)records.data;
    if (what == BAD_CRC)
        bytes[BATCH_CRC] ^= 1;
    if (what == BAD_MAGIC)
        bytes[BATCH_MAGIC] = 1;
    return records;
}

START_TEST(a_partition_named_twice_has_one_answer)
{
    struct mention mentions[4];
    size_t count = 0;
    for (size_t i = 0; i < 3 && repeats[_i].records[i]; i++) {
        mentions[count++] = (struct mention){ "orders", 0, records_for(repeats[_i].records[i]) };
        if (i == 0)
            mentions[count++] = (struct mention){ "orders", 2, batch_of(-1, -1, -1, 1) };
    }
    struct produce_response response;
    ck_assert(send_mentions(&client, PRODUCE_VERSION, -1, SLICE_NULL, mentions, count));
    ck_assert(sim_receive(&client, KEY_PRODUCE, PRODUCE_VERSION, &response));
    ck_assert_int_eq(response.topics_count, 1);
    ck_assert_int_eq(response.topics[0].partitions_count, 2);
    ck_assert_int_eq(response.topics[0].partitions[0].partition, 0);
    expect_answer(response.topics[0].partitions[0], repeats[_i].error_code, repeats[_i].base_offset);
    ck_assert_int_eq(response.topics[0].partitions[1].partition, 2);
    expect_answer(response.topics[0].partitions[1], ERR_NONE, 0);
    ck_assert_msg(end_offset(0) == repeats[_i].end_offset, "%s", repeats[_i].what);
    ck_assert_int_eq(end_offset(2), 1);
}
END_TEST

/* Many, so that a table finds them, in several topics and mixed. */
START_TEST(many_partitions_named_twice)
{
    static struct mention mentions[MENTIONS_MAX];
    static const char *const topics[] = { "orders", "payments", "unknown" };
    make_topic("payments");
    slice one = batch_of(-1, -1, -1, 1), two = batch_of(-1, -1, -1, 2);
    for (size_t i = 0; i < MENTIONS_MAX; i++)
        mentions[i] =
            (struct mention){ topics[i / 10 % 3], (int32_t)(i * 7 % 500), i < MENTIONS_MAX / 2 ? one : two };
    struct produce_response response;
    ck_assert(send_mentions(&client, PRODUCE_VERSION, -1, SLICE_NULL, mentions, MENTIONS_MAX));
    ck_assert(sim_receive(&client, KEY_PRODUCE, PRODUCE_VERSION, &response));
    static bool seen[3][500];
    memset(seen, 0, sizeof seen);
    int answers = 0;
    for (int32_t t = 0; t < response.topics_count; t++) {
        const struct produce_response_topic *topic = &response.topics[t];
        ck_assert_int_gt(topic->partitions_count, 0);
        int name = 0;
        while (!slice_equal_string(topic->name, topics[name]))
            name++;
        for (int32_t p = 0; p < topic->partitions_count; p++, answers++) {
            const struct produce_response_partition *partition = &topic->partitions[p];
            ck_assert(!seen[name][partition->partition]);
            seen[name][partition->partition] = true;
            bool is_there = name < 2 && partition->partition < PARTITIONS;
            ck_assert_int_eq(partition->error_code, is_there ? ERR_NONE : ERR_UNKNOWN_TOPIC_OR_PARTITION);
        }
    }
    int expected = 0;
    for (size_t i = 0; i < MENTIONS_MAX; i++) {
        bool is_first = true;
        for (size_t j = 0; j < i && is_first; j++)
            is_first =
                mentions[j].topic != mentions[i].topic || mentions[j].partition != mentions[i].partition;
        expected += is_first;
    }
    ck_assert_int_eq(answers, expected);
}
END_TEST

/* Every sequence of up to five mentions of three partitions, in one topic and spread over two mentions of it:
 * one answer for each partition, in the order of their first mentions. */
START_TEST(partitions_in_any_order)
{
    enum { LENGTH_MAX = 5 };
    slice one = batch_of(-1, -1, -1, 1);
    make_topic("payments");
    for (int length = 1, sequences = PARTITIONS; length <= LENGTH_MAX; length++, sequences *= PARTITIONS) {
        for (int sequence = 0; sequence < sequences; sequence++) {
            struct mention mentions[LENGTH_MAX + 1];
            int32_t expected[PARTITIONS], expected_count = 0;
            size_t count = 0;
            for (int i = 0, rest = sequence; i < length; i++, rest /= PARTITIONS) {
                int32_t partition = rest % PARTITIONS;
                bool is_known = false;
                for (int32_t e = 0; e < expected_count; e++)
                    is_known |= expected[e] == partition;
                if (!is_known)
                    expected[expected_count++] = partition;
                mentions[count++] = (struct mention){ "orders", partition, one };
                if (_i == i)
                    mentions[count++] = (struct mention){ "payments", 0, one };
            }
            struct produce_response response;
            ck_assert(send_mentions(&client, PRODUCE_VERSION, 1, SLICE_NULL, mentions, count));
            ck_assert(sim_receive(&client, KEY_PRODUCE, PRODUCE_VERSION, &response));
            int32_t told = 0;
            for (int32_t t = 0; t < response.topics_count; t++) {
                const struct produce_response_topic *topic = &response.topics[t];
                for (int32_t p = 0; p < topic->partitions_count; p++) {
                    ck_assert_int_eq(topic->partitions[p].error_code, ERR_NONE);
                    if (slice_equal_string(topic->name, "orders"))
                        ck_assert_int_eq(topic->partitions[p].partition, expected[told++]);
                }
            }
            ck_assert_int_eq(told, expected_count);
        }
    }
}
END_TEST

/* -- transactions, which are not served --------------------------------------------------------------- */

static slice transactional_batch(int64_t producer_id)
{
    const struct batch_builder_options options = { .producer_id = producer_id,
                                                   .leader_epoch = -1,
                                                   .attributes = BATCH_ATTRIBUTE_TRANSACTIONAL };
    struct batch_view batch = batch_with(&options, 1, SLICE_LITERAL("value"));
    return slice_of(batch.data, batch.size);
}

static const struct {
    const char *what;
    int16_t version;
    const char *transactional_id;
    int16_t error_code;    /* of the transactional batch, */
    int16_t other_error;   /* of the plain one beside it */
    int16_t unknown_error; /* of a topic that is not there */
} transactional[] = {
    { "a name", 9, "txn", ERR_INVALID_TXN_STATE, ERR_NONE, ERR_UNKNOWN_TOPIC_OR_PARTITION },
    { "a name, newer", 12, "txn", ERR_TRANSACTION_ABORTABLE, ERR_NONE, ERR_UNKNOWN_TOPIC_OR_PARTITION },
    { "no name", 9, NULL, ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
      ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED },
    { "a name that is denied", 9, "theirs", ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
      ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED },
};

static bool deny_theirs(void *context, const struct conn *conn, enum acl_operation op, int resource_type,
                        slice name)
{
    (void)context;
    (void)conn;
    (void)op;
    (void)resource_type;
    return !slice_equal_string(name, "theirs");
}

START_TEST(transactional_batches_are_refused)
{
    sim.server->authorize = deny_theirs;
    int64_t id = new_producer();
    struct mention mentions[] = { { "unknown", 0, batch_of(id, 0, 0, 1) },
                                  { "orders", 0, transactional_batch(id) },
                                  { "orders", 1, batch_of(id, 0, 0, 1) } };
    struct produce_response response;
    ck_assert(send_mentions(&client, transactional[_i].version, -1,
                            slice_of_string(transactional[_i].transactional_id), mentions, 3));
    ck_assert(sim_receive(&client, KEY_PRODUCE, transactional[_i].version, &response));
    ck_assert_msg(response.topics[0].partitions[0].error_code == transactional[_i].unknown_error, "%s",
                  transactional[_i].what);
    expect_answer(response.topics[1].partitions[0], transactional[_i].error_code, -1);
    expect_answer(response.topics[1].partitions[1], transactional[_i].other_error,
                  transactional[_i].other_error == ERR_NONE ? 0 : -1);
    ck_assert_int_eq(end_offset(0), 0);
}
END_TEST

/* Without such a batch nobody asks for the name, as in Kafka. */
START_TEST(a_name_alone_needs_no_permission)
{
    sim.server->authorize = deny_theirs;
    struct mention mention = { "orders", 0, batch_of(-1, -1, -1, 1) };
    struct produce_response response;
    ck_assert(send_mentions(&client, PRODUCE_VERSION, -1, SLICE_LITERAL("theirs"), &mention, 1));
    ck_assert(sim_receive(&client, KEY_PRODUCE, PRODUCE_VERSION, &response));
    expect_answer(response.topics[0].partitions[0], ERR_NONE, 0);
}
END_TEST

#define COUNT(rows) ((int)(sizeof(rows) / sizeof *(rows)))

int main(void)
{
    Suite *suite = suite_create("idempotence");
    TCase *tests = tcase_create("idempotence");
    tcase_add_checked_fixture(tests, set_up, end);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, ids_are_given_as_kafka_does, 0, COUNT(asked));
    tcase_add_loop_test(tests, permission_comes_first, 0, COUNT(permissions));
    tcase_add_loop_test(tests, batches_are_judged_as_kafka_does, 0, COUNT(sent));
    tcase_add_test(tests, sequences_wrap);
    tcase_add_test(tests, a_duplicate_has_the_originals_time);
    tcase_add_test(tests, a_sequence_error_does_not_fail_its_neighbours);
    tcase_add_test(tests, a_sequence_error_does_not_fail_other_requests);
    tcase_add_test(tests, without_acks_an_error_closes);
    tcase_add_test(tests, a_retry_waits_until_the_original_is_durable);
    tcase_add_test(tests, a_retry_on_a_new_connection_finds_the_batch);
    tcase_add_loop_test(tests, a_retry_after_a_power_cut_is_there_once, 0, DEPARTURES);
    tcase_add_loop_test(tests, the_last_five_are_known_after_a_return, 0, DEPARTURES);
    tcase_add_loop_test(tests, order_survives_workers, 1, 11);
    tcase_add_loop_test(tests, retries_over_reconnects_are_there_once, 1, 21);
    tcase_add_loop_test(tests, a_partition_named_twice_has_one_answer, 0, COUNT(repeats));
    tcase_add_test(tests, many_partitions_named_twice);
    tcase_add_loop_test(tests, partitions_in_any_order, -1, 4);
    tcase_add_loop_test(tests, transactional_batches_are_refused, 0, COUNT(transactional));
    tcase_add_test(tests, a_name_alone_needs_no_permission);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
