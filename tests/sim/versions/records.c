/* The rows of the versions matrix that write and read records: Produce, Fetch, ListOffsets,
 * OffsetForLeaderEpoch, InitProducerId. */
#include "tests/sim/versions/rig.h"

#include "codec/init_producer_id.h"
#include "codec/offset_for_leader_epoch.h"

enum {
    KEY_PRODUCE = 0,
    KEY_FETCH = 1,
    KEY_LIST_OFFSETS = 2,
    KEY_INIT_PRODUCER_ID = 22,
    KEY_OFFSET_FOR_LEADER_EPOCH = 23
};
enum { PLACE = 2, NOWHERE = 7 }; /* partitions; topics have three */

static const uuid unknown_id = { { 1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16 } };

/* Epoch 0 has the offsets 0 to 2 of orders-2, epoch 1 those from 3 to 4: the broker was killed in between. */
static uuid make_history(void)
{
    rig_open("log.flush.interval.messages=9223372036854775807\n");
    uuid id = make_topic("orders");
    append_records("orders", PLACE, 3);
    sim_disconnect(&client);
    sim_power_cycle(&sim, FILE_DOUBLE_KEEP_ALL);
    sim_connect(&sim, &client);
    expect(append_records("orders", PLACE, 2), 3);
    return id;
}

/* -- Produce ------------------------------------------------------------------------------------------ */

static struct produce_response_partition produce(const char *topic, uuid id, int32_t partition, int16_t acks,
                                                 const struct batch_view *batch)
{
    struct one_produce one;
    struct produce_response response;
    one_produce(&one, topic, partition, batch_bytes(batch));
    one.topic.topic_id = id;
    one.request.transactional_id = SLICE_LITERAL("transaction");
    one.request.acks = acks;
    ask(&one.request, &response);
    expect(response.throttle_time_ms, 0);
    expect(response.topics_count, 1);
    expect(response.topics[0].partitions_count, 1);
    if (subject.version >= 13)
        expect_that(uuid_equal(response.topics[0].topic_id, id));
    else
        expect_text(response.topics[0].name, topic);
    expect(response.topics[0].partitions[0].partition, partition);
    return response.topics[0].partitions[0];
}

static struct batch_view batch_with(enum codec codec, int64_t producer_id)
{
    struct batch_builder_options options = { .leader_epoch = -1,
                                             .producer_id = producer_id,
                                             .producer_epoch = producer_id < 0 ? -1 : 0,
                                             .base_sequence = producer_id < 0 ? -1 : 0,
                                             .attributes = (uint16_t)codec };
    return small_batch(&arena, &options, 3);
}

static struct batch_view batch_of_the_year_3000(void)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    struct batch_view batch;
    for (int i = 0; i < 3; i++)
        expect_that(batch_builder_add(builder, 32503680000000, SLICE_NULL, SLICE_LITERAL("value"), NULL, 0));
    expect(batch_builder_finish(builder, &batch), BATCH_OK);
    return batch;
}

/* Refused by the validator: the answer knows the log's start. */
static void check_record_errors(uuid id, int16_t version)
{
    struct batch_view batch = batch_of_the_year_3000();
    struct produce_response_partition told = produce("orders", id, PLACE, -1, &batch);
    expect(told.error_code, ERR_INVALID_TIMESTAMP);
    expect(told.base_offset, -1);
    expect(told.log_start_offset, version >= 5 ? 0 : -1);
    expect(told.record_errors_count, version >= 8 ? 3 : 0);
    expect_that(slice_is_null(told.error_message) == (version < 8));
    for (int32_t i = 0; i < told.record_errors_count; i++) {
        expect(told.record_errors[i].batch_index, i);
        expect_that(told.record_errors[i].batch_index_error_message.size > 0);
    }
}

/* Refused before the validator. */
static void check_refused(const char *topic, uuid id, int32_t partition, int16_t acks, enum codec codec,
                          int16_t error_code)
{
    struct batch_view batch = batch_with(codec, -1);
    struct produce_response_partition told = produce(topic, id, partition, acks, &batch);
    expect(told.error_code, error_code);
    expect(told.base_offset, -1);
    expect(told.log_append_time_ms, -1);
    expect(told.log_start_offset, -1);
    expect(told.record_errors_count, 0);
}

static void check_acks_0(uuid id)
{
    struct batch_view batch = batch_with(CODEC_NONE, -1);
    struct one_produce one;
    one_produce(&one, "orders", 0, batch_bytes(&batch));
    one.topic.topic_id = id;
    one.request.acks = 0;
    expect_that(sim_send(&client, KEY_PRODUCE, subject.version, &one.request));
    expect(append_records("orders", 0, 1), 3); /* its answer is the next that comes */
}

static void check_produce(int16_t version)
{
    rig_open("");
    uuid id = make_topic("orders");
    for (int round = 0; round < 2; round++) {
        struct batch_view batch = batch_with(CODEC_LZ4, -1);
        struct produce_response_partition told = produce("orders", id, PLACE, round ? 1 : -1, &batch);
        expect(told.error_code, ERR_NONE);
        expect(told.base_offset, 3 * round);
        expect(told.log_append_time_ms, -1);
        expect(told.log_start_offset, version >= 5 ? 0 : -1);
        expect(told.record_errors_count, 0);
        expect_text(told.error_message, NULL);
    }
    int16_t unknown = version >= 13 ? ERR_UNKNOWN_TOPIC_ID : ERR_UNKNOWN_TOPIC_OR_PARTITION;
    check_refused("nowhere", unknown_id, PLACE, -1, CODEC_NONE, unknown);
    check_refused("orders", id, NOWHERE, -1, CODEC_NONE, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    check_refused("orders", id, PLACE, 2, CODEC_NONE, ERR_INVALID_REQUIRED_ACKS);
    if (version < 7)
        check_refused("orders", id, PLACE, -1, CODEC_ZSTD, ERR_UNSUPPORTED_COMPRESSION_TYPE);
    struct batch_view zstd = batch_with(CODEC_ZSTD, -1);
    if (version >= 7)
        expect(produce("orders", id, PLACE, -1, &zstd).base_offset, 6);
    check_record_errors(id, version);
    check_acks_0(id);
    /* An idempotent producer's second batch with the sequence of its first is its first. */
    struct batch_view idempotent = batch_with(CODEC_NONE, 4000);
    expect(produce("orders", id, 1, -1, &idempotent).base_offset, 0);
    rig_restart();
    file_double_set_open_limit(sim.disk, 1); /* its log stays closed; only Fetch has another word for it */
    check_refused("orders", id, PLACE, -1, CODEC_NONE, ERR_KAFKA_STORAGE_ERROR);
    file_double_set_open_limit(sim.disk, 0);
    rig_close();

    rig_open("log.message.timestamp.type=LogAppendTime\n");
    id = make_topic("orders");
    struct batch_view batch = batch_with(CODEC_NONE, -1);
    expect(produce("orders", id, PLACE, -1, &batch).log_append_time_ms, clock_wall_ms(&sim.clock.clock));
    rig_close();
}

static const struct exemption produce_untold[] = {
    { "topics.partitions.current_leader", 10, NEVER_LAST, "the only node leads all" },
    { "node_endpoints", 10, NEVER_LAST, "as above" },
    { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
    { 0 },
};

/* -- Fetch -------------------------------------------------------------------------------------------- */

struct fetched {
    struct fetch_response whole;
    struct fetch_response_partition partition; /* the first */
};

static void fill_fetch(struct one_fetch *one, uuid id, int64_t offset)
{
    one_fetch(one, "orders", PLACE, offset);
    one->topic.topic_id = id;
    one->request.cluster_id = SLICE_LITERAL("any");
    one->request.max_wait_ms = 500;
    one->request.isolation_level = 1;
    one->request.rack_id = SLICE_LITERAL("r1");
    one->partition.current_leader_epoch = 1;
    one->partition.last_fetched_epoch = subject.version >= 12 ? 1 : -1;
    one->partition.log_start_offset = 0;
    one->partition.replica_directory_id = unknown_id;
    one->partition.high_watermark = 3;
}

static struct fetched fetch(const struct one_fetch *one)
{
    struct fetched got;
    ask(&one->request, &got.whole);
    expect(got.whole.throttle_time_ms, 0);
    expect(got.whole.error_code, ERR_NONE);
    expect(got.whole.topics_count, 1);
    expect(got.whole.topics[0].partitions_count, 1);
    if (subject.version >= 13)
        expect_that(uuid_equal(got.whole.topics[0].topic_id, one->topic.topic_id));
    else
        expect_that(slice_equal(got.whole.topics[0].name, one->topic.name));
    got.partition = got.whole.topics[0].partitions[0];
    expect(got.partition.partition, one->partition.partition);
    expect(got.partition.preferred_read_replica, -1);
    return got;
}

static void check_fetch_of_records(uuid id, int16_t version)
{
    struct one_fetch one;
    fill_fetch(&one, id, 3);
    struct fetch_response_partition told = fetch(&one).partition;
    struct batch_view batch;
    expect(told.error_code, ERR_NONE);
    expect(told.high_watermark, 5);
    expect(told.last_stable_offset, 5);
    expect(told.log_start_offset, version >= 5 ? 0 : -1);
    expect(told.diverging_epoch.epoch, -1);
    expect(told.aborted_transactions_count, 0);
    expect(batch_view(told.records.bytes, &batch), BATCH_OK);
    expect(batch.size, told.records.bytes.size);
    expect(batch.base_offset, 3);
    expect(load_be32(batch.data + BATCH_LEADER_EPOCH), 1);
    expect(batch.record_count, 2);
    expect_that(batch_crc_ok(&batch));
    one.request.isolation_level = 0;
    expect(fetch(&one).partition.aborted_transactions_count,
           -1); /* null: read_uncommitted never has a list */
}

static void expect_fetch_error(const struct one_fetch *one, int16_t error_code)
{
    struct fetch_response_partition told = fetch(one).partition;
    expect(told.error_code, error_code);
    expect(told.records.bytes.size, 0);
    if (error_code != ERR_NONE)
        expect(told.high_watermark, -1);
}

static void check_fetch_errors(uuid id, int16_t version)
{
    struct one_fetch one;
    fill_fetch(&one, id, 6);
    one.partition.last_fetched_epoch = -1; /* else it has gone apart from ours at 5 */
    expect_fetch_error(&one, ERR_OFFSET_OUT_OF_RANGE);
    fill_fetch(&one, id, 5);
    one.request.max_wait_ms = 0;
    expect_fetch_error(&one, ERR_NONE);
    one.partition.partition = NOWHERE;
    expect_fetch_error(&one, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    fill_fetch(&one, unknown_id, 5);
    one.topic.name = SLICE_LITERAL("nowhere");
    expect_fetch_error(&one, version >= 13 ? ERR_UNKNOWN_TOPIC_ID : ERR_UNKNOWN_TOPIC_OR_PARTITION);
    /* Where the version has no epoch nobody is fenced. */
    fill_fetch(&one, id, 5);
    one.request.max_wait_ms = 0;
    one.partition.last_fetched_epoch = -1;
    one.partition.current_leader_epoch = 0;
    expect_fetch_error(&one, version >= 9 ? ERR_FENCED_LEADER_EPOCH : ERR_NONE);
    one.partition.current_leader_epoch = 2;
    expect_fetch_error(&one, version >= 9 ? ERR_UNKNOWN_LEADER_EPOCH : ERR_NONE);
}

/* KIP-595: the client has records of epoch 0 beyond its end at 3. */
static void check_divergence(uuid id, int16_t version)
{
    struct one_fetch one;
    fill_fetch(&one, id, 4);
    one.partition.last_fetched_epoch = version >= 12 ? 0 : -1;
    struct fetch_response_partition told = fetch(&one).partition;
    expect(told.error_code, ERR_NONE);
    expect(told.diverging_epoch.epoch, version >= 12 ? 0 : -1);
    expect(told.diverging_epoch.end_offset, version >= 12 ? 3 : -1);
    expect_that((told.records.bytes.size > 0) == (version < 12));
}

/* KIP-227. All of it by one partition: told at first, not while nothing changes, told again with a record,
 * and the session ends with its last partition. */
static void check_session(uuid id, int16_t version)
{
    struct one_fetch one;
    struct fetch_response told;
    struct fetch_request_forgotten_topic forgotten;
    int32_t place = PLACE;
    fill_fetch(&one, id, 5);
    one.request.session_epoch = 0;
    one.request.max_wait_ms = 0;
    struct fetched first = fetch(&one);
    int32_t session_id = first.whole.session_id;
    expect_that(session_id > 0);

    one.request.session_id = session_id;
    one.request.session_epoch = 1;
    one.request.topics_count = 0;
    ask(&one.request, &told);
    expect(told.error_code, ERR_NONE);
    expect(told.session_id, session_id);
    expect(told.topics_count, 0);

    append_records("orders", PLACE, 1);
    one.request.session_epoch = 2;
    ask(&one.request, &told);
    expect(told.topics_count, 1);
    expect_that(told.topics[0].partitions[0].records.bytes.size > 0);
    expect(told.topics[0].partitions[0].high_watermark, 6);

    ask(&one.request, &told); /* the same epoch again */
    expect(told.error_code, ERR_INVALID_FETCH_SESSION_EPOCH);
    expect(told.topics_count, 0);
    one.request.session_id = session_id ^ 1;
    ask(&one.request, &told);
    expect(told.error_code, ERR_FETCH_SESSION_ID_NOT_FOUND);

    one.request.session_id = session_id;
    one.request.session_epoch = 3;
    ask_other(KEY_FETCH, version >= 13 ? 12 : 13, &one.request, &told);
    expect(told.error_code, ERR_FETCH_SESSION_TOPIC_ID_ERROR);

    fetch_request_forgotten_topic_init(&forgotten);
    forgotten.name = one.topic.name;
    forgotten.topic_id = id;
    forgotten.partitions = &place;
    forgotten.partitions_count = 1;
    one.request.forgotten_topics = &forgotten;
    one.request.forgotten_topics_count = 1;
    ask(&one.request, &told);
    expect(told.error_code, ERR_NONE);
    expect(told.session_id, 0);
}

static void check_fetch(int16_t version)
{
    uuid id = make_history();
    check_fetch_of_records(id, version);
    check_fetch_errors(id, version);
    check_divergence(id, version);
    if (version >= 7)
        check_session(id, version);
    rig_restart();
    file_double_set_open_limit(sim.disk, 1);
    struct one_fetch one;
    fill_fetch(&one, id, 3);
    expect_fetch_error(&one, version >= 6 ? ERR_KAFKA_STORAGE_ERROR : ERR_NOT_LEADER_OR_FOLLOWER);
    file_double_set_open_limit(sim.disk, 0);
    rig_close();
}

static const struct exemption fetch_unasked[] = {
    { "replica_id", 4, 14, "-1 is a consumer" },
    { "replica_state", 15, NEVER_LAST, "as above" },
    { "session_epoch", 4, 6, "not there" },
    { 0 },
};

static const struct exemption fetch_untold[] = {
    { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
    { "topics.partitions.current_leader", 12, NEVER_LAST, "the only node leads all" },
    { "node_endpoints", 16, NEVER_LAST, "as above" },
    { "topics.partitions.snapshot_id", 12, NEVER_LAST, "of the metadata quorum" },
    { "topics.partitions.aborted_transactions", 4, NEVER_LAST, "no transactions yet" },
    { "topics.partitions.preferred_read_replica", 11, NEVER_LAST, "no followers" },
    { 0 },
};

/* -- ListOffsets -------------------------------------------------------------------------------------- */

static struct list_offsets_response_partition list_offsets(const char *topic, int32_t partition,
                                                           int32_t leader_epoch, int64_t timestamp)
{
    struct one_list_offsets one;
    struct list_offsets_response told;
    one_list_offsets(&one, topic, partition, timestamp);
    one.request.isolation_level = subject.version >= 2 ? 1 : 0;
    one.request.timeout_ms = 1000;
    one.partition.current_leader_epoch = leader_epoch;
    ask(&one.request, &told);
    expect(told.throttle_time_ms, 0);
    expect(told.topics_count, 1);
    expect_text(told.topics[0].name, topic);
    expect(told.topics[0].partitions_count, 1);
    expect(told.topics[0].partitions[0].partition, partition);
    return told.topics[0].partitions[0];
}

static const struct {
    int64_t timestamp;
    int16_t since;
    int64_t offset;
    int64_t found_timestamp;
    int32_t leader_epoch;
} positions[] = {
    { -1, 1, 5, -1, 1 },
    { -2, 1, 0, -1, 0 },
    { -3, 7, 2, 1700000000002, 0 },
    { -4, 8, 0, -1, 0 },
    { -5, 9, -1, -1, -1 },
    { -6, 11, -1, -1, -1 },
    { 1700000000001, 1, 1, 1700000000001, 0 },
    { 1800000000000, 1, -1, -1, -1 },
};

static void check_list_offsets(int16_t version)
{
    make_history();
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        bool is_known = version >= positions[i].since;
        struct list_offsets_response_partition told =
            list_offsets("orders", PLACE, 1, positions[i].timestamp);
        expect(told.error_code, is_known ? ERR_NONE : ERR_UNSUPPORTED_VERSION);
        expect(told.offset, is_known ? positions[i].offset : -1);
        expect(told.timestamp, is_known ? positions[i].found_timestamp : -1);
        expect(told.leader_epoch, is_known && version >= 4 ? positions[i].leader_epoch : -1);
    }
    expect(list_offsets("orders", PLACE, 1, -7).error_code, ERR_UNSUPPORTED_VERSION);
    expect(list_offsets("orders", NOWHERE, 1, -1).error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    expect(list_offsets("nowhere", PLACE, 1, -1).error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    expect(list_offsets("orders", PLACE, 0, -1).error_code,
           version >= 4 ? ERR_FENCED_LEADER_EPOCH : ERR_NONE);
    expect(list_offsets("orders", PLACE, 2, -1).error_code,
           version >= 4 ? ERR_UNKNOWN_LEADER_EPOCH : ERR_NONE);
    rig_close();
}

static const struct exemption throttle_untold[] = { { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
                                                    { 0 } };

/* -- OffsetForLeaderEpoch ----------------------------------------------------------------------------- */

static struct offset_for_leader_epoch_response_partition epoch_end(const char *topic, int32_t partition,
                                                                   int32_t current, int32_t leader_epoch)
{
    struct offset_for_leader_epoch_request request;
    struct offset_for_leader_epoch_request_topic one_topic;
    struct offset_for_leader_epoch_request_partition one;
    struct offset_for_leader_epoch_response told;
    offset_for_leader_epoch_request_init(&request);
    offset_for_leader_epoch_request_topic_init(&one_topic);
    offset_for_leader_epoch_request_partition_init(&one);
    one.partition = partition;
    one.current_leader_epoch = current;
    one.leader_epoch = leader_epoch;
    one_topic.name = slice_of_string(topic);
    one_topic.partitions = &one;
    one_topic.partitions_count = 1;
    request.replica_id = -1;
    request.topics = &one_topic;
    request.topics_count = 1;
    ask(&request, &told);
    expect(told.topics_count, 1);
    expect_text(told.topics[0].name, topic);
    expect(told.topics[0].partitions_count, 1);
    expect(told.topics[0].partitions[0].partition, partition);
    return told.topics[0].partitions[0];
}

static void expect_epoch_end(int32_t current, int32_t asked, int16_t error_code, int32_t epoch, int64_t end)
{
    struct offset_for_leader_epoch_response_partition told = epoch_end("orders", PLACE, current, asked);
    expect(told.error_code, error_code);
    expect(told.leader_epoch, epoch);
    expect(told.end_offset, end);
}

static void check_offset_for_leader_epoch(int16_t version)
{
    (void)version; /* all say the same */
    make_history();
    expect_epoch_end(1, 0, ERR_NONE, 0, 3);
    expect_epoch_end(1, 1, ERR_NONE, 1, 5);
    expect_epoch_end(-1, 2, ERR_NONE, -1, -1);
    expect_epoch_end(-1, -1, ERR_NONE, -1, -1);
    expect_epoch_end(0, 0, ERR_FENCED_LEADER_EPOCH, -1, -1);
    expect_epoch_end(2, 0, ERR_UNKNOWN_LEADER_EPOCH, -1, -1);
    expect(epoch_end("orders", NOWHERE, 1, 1).error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    expect(epoch_end("nowhere", PLACE, 1, 1).error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    rig_close();
}

/* -- InitProducerId ----------------------------------------------------------------------------------- */

static struct init_producer_id_response init_producer_id(slice transactional_id, int64_t id, int16_t epoch)
{
    struct init_producer_id_request request;
    struct init_producer_id_response told;
    init_producer_id_request_init(&request);
    request.transactional_id = transactional_id;
    request.transaction_timeout_ms = 60000;
    request.producer_id = id;
    request.producer_epoch = epoch;
    ask(&request, &told);
    expect(told.throttle_time_ms, 0);
    return told;
}

static void expect_no_producer(struct init_producer_id_response told, int16_t error_code)
{
    expect(told.error_code, error_code);
    expect(told.producer_id, -1);
    expect(told.producer_epoch, -1);
}

static void check_init_producer_id(int16_t version)
{
    int64_t last = -1;
    rig_open("");
    for (int round = 0; round < 4; round++) {
        /* Kafka gives a fresh id without a transactional id, whatever id was given. */
        bool is_given = round == 1 && version >= 3;
        struct init_producer_id_response told =
            init_producer_id(SLICE_NULL, is_given ? last : -1, is_given ? 3 : -1);
        expect(told.error_code, ERR_NONE);
        expect(told.producer_epoch, 0);
        expect_that(told.producer_id > last);
        last = told.producer_id;
        if (round == 2)
            rig_restart();
    }
    expect_no_producer(init_producer_id(SLICE_LITERAL(""), -1, -1), ERR_INVALID_REQUEST);
    if (version >= 3) {
        expect_no_producer(init_producer_id(SLICE_NULL, last, -1), ERR_INVALID_REQUEST);
        expect_no_producer(init_producer_id(SLICE_NULL, -1, 1), ERR_INVALID_REQUEST);
    }
    deny(OP_WRITE, "transaction");
    expect_no_producer(init_producer_id(SLICE_LITERAL("transaction"), -1, -1),
                       ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    rig_close();
}

/* ----------------------------------------------------------------------------------------------------- */

const struct check_row record_rows[] = {
    { KEY_PRODUCE, check_produce, NULL, produce_untold },
    { KEY_FETCH, check_fetch, fetch_unasked, fetch_untold },
    { KEY_LIST_OFFSETS, check_list_offsets, NULL, throttle_untold },
    { KEY_INIT_PRODUCER_ID, check_init_producer_id, NULL, throttle_untold },
    { KEY_OFFSET_FOR_LEADER_EPOCH, check_offset_for_leader_epoch, NULL, throttle_untold },
};
const size_t record_row_count = sizeof record_rows / sizeof *record_rows;
