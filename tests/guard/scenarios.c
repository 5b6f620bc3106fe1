/* The scenarios of the guard. A round sends so many requests in one call as the scenario says and waits for
 * all answers, so that the broker always finds the same in a turn of its loop. */
#include "tests/guard/scenarios.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "codec/api_versions.h"
#include "codec/find_coordinator.h"
#include "codec/heartbeat.h"
#include "codec/join_group.h"
#include "codec/sync_group.h"
#include "protocol/base/check.h"
#include "protocol/base/clock.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/one_request.h"

enum {
    KEY_PRODUCE = 0,
    KEY_FETCH = 1,
    KEY_COMMIT = 8,
    KEY_FIND_COORDINATOR = 10,
    KEY_JOIN = 11,
    KEY_HEARTBEAT = 12,
    KEY_SYNC = 14,
    KEY_API_VERSIONS = 18,
    PRODUCE_VERSION = 9,
    FETCH_VERSION = 12,
    FIND_COORDINATOR_VERSION = 3,
    JOIN_VERSION = 3, /* the last that needs no second join with the id */
    HEARTBEAT_VERSION = 4,
    SYNC_VERSION = 5,
    API_VERSIONS_VERSION = 3,
    KIB = 1024,
    SESSION_PARTITIONS = 100,
    SPREAD_PARTITIONS = 16,
    DEADLINE_MS = 60000,
};

static const char group[] = "guard-group";

/* flush.messages: each append is flushed before its answer, or none is. */
static const char durable[] = "1", in_cache[] = "9223372036854775807";

/* -- what is sent ------------------------------------------------------------------------------- */

static slice frame_of(struct arena *arena, int16_t key, int16_t version, const void *request)
{
    slice frame = wire_encode(arena, key, version, 0, SLICE_LITERAL("guard"), request);
    check(!slice_is_null(frame));
    return frame;
}

/* The same frame so many times, one behind the other. */
static void set_volley(struct stage *stage, slice frame, int count)
{
    uint8_t *bytes = check_memory(arena_alloc(&stage->arena, frame.size * (size_t)count));
    for (int i = 0; i < count; i++)
        memcpy(bytes + frame.size * (size_t)i, frame.data, frame.size);
    stage->volley = slice_of(bytes, frame.size * (size_t)count);
    stage->volley_count = count;
}

static void send_frame(struct wire_client *client, slice frame)
{
    check(wire_send_bytes(client, frame.data, frame.size));
}

static void create_topic(struct stage *stage, int32_t partitions, const char *flush_messages)
{
    struct one_setting settings[] = { { "flush.messages", flush_messages }, { NULL, NULL } };
    struct one_create one;
    struct create_topics_response response;
    one_create(&one, stage->topic, partitions, settings);
    check(wire_call(&stage->first, ONE_CREATE, ONE_CREATE_VERSION, &one.request, &response));
    check(response.topics_count == 1 && response.topics[0].error_code == ERR_NONE);
}

/* Text that a codec finds something in, and not all. */
static slice make_value(struct arena *arena, size_t size)
{
    uint8_t *value = check_memory(arena_alloc(arena, size));
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1103515245 + 12345;
        value[i] =
            i % 32 < 20 ? (uint8_t)("the same text again "[i % 32]) : (uint8_t)('a' + (state >> 16) % 16);
    }
    return slice_of(value, size);
}

static slice make_batch(struct arena *arena, const struct batch_builder_options *options, size_t record_size,
                        int record_count)
{
    struct batch_view batch;
    struct batch_builder *builder = check_memory(batch_builder_open(arena, options));
    slice value = make_value(arena, record_size);
    for (int i = 0; i < record_count; i++)
        check(batch_builder_add(builder, 1700000000000 + i, SLICE_NULL, value, NULL, 0));
    check(batch_builder_finish(builder, &batch) == BATCH_OK);
    return batch_bytes(&batch);
}

static slice produce_frame(struct stage *stage, struct arena *arena, int32_t partition, slice batch)
{
    struct one_produce one;
    one_produce(&one, stage->topic, partition, batch);
    return frame_of(arena, KEY_PRODUCE, PRODUCE_VERSION, &one.request);
}

static void receive_produced(struct wire_client *client)
{
    struct produce_response response;
    check(wire_receive(client, KEY_PRODUCE, PRODUCE_VERSION, 0, &response));
    check(response.topics[0].partitions[0].error_code == ERR_NONE);
}

static size_t receive_fetched(struct wire_client *client)
{
    struct fetch_response response;
    check(wire_receive(client, KEY_FETCH, FETCH_VERSION, 0, &response) && response.error_code == ERR_NONE);
    check(response.topics_count == 1 && response.topics[0].partitions_count == 1);
    check(response.topics[0].partitions[0].error_code == ERR_NONE);
    return response.topics[0].partitions[0].records.bytes.size;
}

/* -- producing ---------------------------------------------------------------------------------- */

static const struct batch_builder_options plain = { NO_PRODUCER };

static void set_up_produce(struct stage *stage, const char *flush_messages, uint16_t codec,
                           size_t record_size, int record_count, int depth)
{
    struct batch_builder_options options = plain;
    options.attributes = codec;
    create_topic(stage, 1, flush_messages);
    slice batch = make_batch(&stage->arena, &options, record_size, record_count);
    set_volley(stage, produce_frame(stage, &stage->arena, 0, batch), depth);
}

static void set_up_small(struct stage *stage)
{
    set_up_produce(stage, in_cache, CODEC_NONE, KIB, 1, 1);
}

static void set_up_small_volley(struct stage *stage)
{
    set_up_produce(stage, in_cache, CODEC_NONE, KIB, 1, 16);
}

static void set_up_durable(struct stage *stage)
{
    set_up_produce(stage, durable, CODEC_NONE, KIB, 1, 1);
}

static void set_up_large(struct stage *stage)
{
    set_up_produce(stage, in_cache, CODEC_NONE, KIB, 63, 4);
}

static void set_up_tiny(struct stage *stage)
{
    set_up_produce(stage, in_cache, CODEC_NONE, 100, 145, 1);
}

static void set_up_lz4(struct stage *stage)
{
    set_up_produce(stage, in_cache, CODEC_LZ4, KIB, 16, 1);
}

static void round_produce(struct stage *stage)
{
    send_frame(&stage->first, stage->volley);
    for (int i = 0; i < stage->volley_count; i++)
        receive_produced(&stage->first);
}

/* One request with a batch for each partition. */
static void set_up_spread(struct stage *stage)
{
    struct produce_request_partition partitions[SPREAD_PARTITIONS];
    struct one_produce one;
    create_topic(stage, SPREAD_PARTITIONS, in_cache);
    slice batch = make_batch(&stage->arena, &plain, KIB, 1);
    one_produce(&one, stage->topic, 0, batch);
    for (int32_t i = 0; i < SPREAD_PARTITIONS; i++) {
        produce_request_partition_init(&partitions[i]);
        partitions[i].partition = i;
        partitions[i].records.bytes = batch;
    }
    one.topic.partitions = partitions;
    one.topic.partitions_count = SPREAD_PARTITIONS;
    set_volley(stage, frame_of(&stage->arena, KEY_PRODUCE, PRODUCE_VERSION, &one.request), 1);
}

static void set_up_idempotent(struct stage *stage)
{
    struct init_producer_id_request request;
    struct init_producer_id_response response;
    create_topic(stage, 1, in_cache);
    one_init_producer(&request);
    check(wire_call(&stage->first, ONE_INIT_PRODUCER, ONE_INIT_PRODUCER_VERSION, &request, &response));
    check(response.error_code == ERR_NONE);
    stage->producer_id = response.producer_id;
}

static void round_idempotent(struct stage *stage)
{
    struct batch_builder_options options = { .leader_epoch = -1,
                                             .producer_id = stage->producer_id,
                                             .base_sequence = stage->sequence++ };
    slice batch = make_batch(&stage->round, &options, KIB, 1);
    send_frame(&stage->first, produce_frame(stage, &stage->round, 0, batch));
    receive_produced(&stage->first);
}

/* -- fetching ----------------------------------------------------------------------------------- */

static void fill_topic(struct stage *stage, size_t record_size, int record_count, int batch_count)
{
    create_topic(stage, 1, in_cache);
    slice batch = make_batch(&stage->arena, &plain, record_size, record_count);
    slice frame = produce_frame(stage, &stage->arena, 0, batch);
    for (int i = 0; i < batch_count; i++) {
        send_frame(&stage->first, frame);
        receive_produced(&stage->first);
    }
}

static void set_up_fetch(struct stage *stage, int32_t max_bytes)
{
    struct one_fetch one;
    one_fetch(&one, stage->topic, 0, 0);
    one.request.max_bytes = max_bytes;
    one.partition.partition_max_bytes = max_bytes;
    set_volley(stage, frame_of(&stage->arena, KEY_FETCH, FETCH_VERSION, &one.request), 1);
}

static void set_up_fetch_large(struct stage *stage)
{
    fill_topic(stage, KIB, 63, 24);
    set_up_fetch(stage, KIB * KIB);
}

static void set_up_fetch_small(struct stage *stage)
{
    fill_topic(stage, KIB, 1, 16);
    set_up_fetch(stage, KIB);
}

static void round_fetch(struct stage *stage)
{
    send_frame(&stage->first, stage->volley);
    check(receive_fetched(&stage->first) >= KIB);
}

/* -- a long poll -------------------------------------------------------------------------------- */

static unsigned local_port(int descriptor)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    check(getsockname(descriptor, (struct sockaddr *)&address, &size) == 0);
    return ntohs(address.sin_port);
}

/* Waits until the broker has read all that the client sent, as the kernel's table of connections tells. */
static void wait_until_read(const struct stage *stage, const struct wire_client *client)
{
    unsigned own = local_port(client->descriptor),
             port = (unsigned)atoi(strrchr(meter_address(stage->meter), ':') + 1);
    int64_t until_ms = clock_mono_ms(clock_real()) + DEADLINE_MS;
    for (bool is_read = false; !is_read;) {
        char line[512];
        FILE *file = fopen("/proc/net/tcp", "re");
        check(file != NULL && clock_mono_ms(clock_real()) < until_ms);
        while (!is_read && fgets(line, sizeof line, file)) {
            unsigned local, remote, waiting;
            is_read = sscanf(line, "%*s %*x:%x %*x:%x %*x %*x:%x", &local, &remote, &waiting) == 3 &&
                      local == port && remote == own && waiting == 0;
        }
        fclose(file);
    }
}

static void set_up_long_poll(struct stage *stage)
{
    create_topic(stage, 1, in_cache);
    set_volley(stage, produce_frame(stage, &stage->arena, 0, make_batch(&stage->arena, &plain, KIB, 1)), 1);
}

static void round_long_poll(struct stage *stage)
{
    struct one_fetch one;
    one_fetch(&one, stage->topic, 0, stage->turn++);
    one.request.max_wait_ms = DEADLINE_MS;
    send_frame(&stage->second, frame_of(&stage->round, KEY_FETCH, FETCH_VERSION, &one.request));
    wait_until_read(stage, &stage->second);
    round_produce(stage);
    check(receive_fetched(&stage->second) >= KIB);
}

/* -- a fetch session ---------------------------------------------------------------------------- */

static void fetch_in_session(struct stage *stage, struct fetch_request_partition *partitions, int32_t count,
                             struct fetch_response *response)
{
    struct one_fetch one;
    one_fetch(&one, stage->topic, 0, 0);
    one.request.session_id = stage->session_id;
    one.request.session_epoch = stage->session_epoch++;
    one.request.topics_count = count > 0;
    one.topic.partitions = partitions;
    one.topic.partitions_count = count;
    send_frame(&stage->first, frame_of(&stage->round, KEY_FETCH, FETCH_VERSION, &one.request));
    check(wire_receive(&stage->first, KEY_FETCH, FETCH_VERSION, 0, response));
    check(response->error_code == ERR_NONE);
}

static void set_up_session(struct stage *stage)
{
    struct fetch_request_partition partitions[SESSION_PARTITIONS];
    struct fetch_response response;
    create_topic(stage, SESSION_PARTITIONS, in_cache);
    slice batch = make_batch(&stage->arena, &plain, KIB, 1);
    for (int32_t i = 0; i < SESSION_PARTITIONS; i++) {
        fetch_request_partition_init(&partitions[i]);
        partitions[i].partition = i;
        partitions[i].partition_max_bytes = KIB;
        send_frame(&stage->first, produce_frame(stage, &stage->round, i, batch));
        receive_produced(&stage->first);
        partitions[i].fetch_offset = 1;
    }
    stage->session_epoch = 0;
    fetch_in_session(stage, partitions, SESSION_PARTITIONS, &response);
    check(response.session_id != 0);
    stage->session_id = response.session_id;
    set_volley(stage, batch, 1);
}

/* One of them has something new, and the client goes on behind it with its next fetch. */
static void round_session(struct stage *stage)
{
    struct fetch_request_partition moved;
    struct fetch_response response;
    int32_t partition = stage->turn % SESSION_PARTITIONS,
            before = (stage->turn + SESSION_PARTITIONS - 1) % SESSION_PARTITIONS;
    send_frame(&stage->first, produce_frame(stage, &stage->round, partition, stage->volley));
    receive_produced(&stage->first);
    fetch_request_partition_init(&moved);
    moved.partition = before;
    moved.partition_max_bytes = KIB;
    moved.fetch_offset = stage->turn == 0 ? 1 : (stage->turn - 1) / SESSION_PARTITIONS + 2;
    fetch_in_session(stage, &moved, 1, &response);
    check(response.topics_count == 1 && response.topics[0].partitions_count == 1);
    check(response.topics[0].partitions[0].records.bytes.size >= KIB);
    stage->turn++;
}

/* -- small requests ----------------------------------------------------------------------------- */

static void set_up_ping(struct stage *stage, int depth)
{
    struct api_versions_request request;
    api_versions_request_init(&request);
    request.client_software_name = SLICE_LITERAL("guard");
    request.client_software_version = SLICE_LITERAL("1");
    set_volley(stage, frame_of(&stage->arena, KEY_API_VERSIONS, API_VERSIONS_VERSION, &request), depth);
}

static void set_up_ping_1(struct stage *stage)
{
    set_up_ping(stage, 1);
}

static void set_up_ping_16(struct stage *stage)
{
    set_up_ping(stage, 16);
}

static void round_ping(struct stage *stage)
{
    send_frame(&stage->first, stage->volley);
    for (int i = 0; i < stage->volley_count; i++) {
        slice frame;
        check(wire_receive_frame(&stage->first, &frame));
        check(frame.size > 100 && load_be32(frame.data) == 0 && load_be16(frame.data + 4) == ERR_NONE);
    }
}

/* -- groups ------------------------------------------------------------------------------------- */

/* The first asks make the internal topic and load its partition. */
static void find_coordinator(struct stage *stage)
{
    struct find_coordinator_request request;
    struct find_coordinator_response response;
    int64_t until_ms = clock_mono_ms(clock_real()) + DEADLINE_MS;
    find_coordinator_request_init(&request);
    request.key = slice_of_string(group);
    do {
        check(wire_call(&stage->first, KEY_FIND_COORDINATOR, FIND_COORDINATOR_VERSION, &request, &response));
        check(clock_mono_ms(clock_real()) < until_ms);
    } while (response.error_code != ERR_NONE);
}

static int16_t commit(struct stage *stage)
{
    struct one_commit one;
    struct offset_commit_response response;
    one_commit(&one, group, stage->topic, 0, stage->turn++);
    send_frame(&stage->first, frame_of(&stage->round, KEY_COMMIT, ONE_COMMIT_VERSION, &one.request));
    check(wire_receive(&stage->first, KEY_COMMIT, ONE_COMMIT_VERSION, 0, &response));
    return response.topics[0].partitions[0].error_code;
}

static void set_up_commit(struct stage *stage)
{
    int64_t until_ms = clock_mono_ms(clock_real()) + DEADLINE_MS;
    create_topic(stage, 1, in_cache);
    find_coordinator(stage);
    while (commit(stage) != ERR_NONE)
        check(clock_mono_ms(clock_real()) < until_ms);
}

static void round_commit(struct stage *stage)
{
    check(commit(stage) == ERR_NONE);
}

static void join(struct stage *stage, struct join_group_response *response)
{
    struct join_group_request request;
    struct join_group_request_protocol protocol;
    int64_t until_ms = clock_mono_ms(clock_real()) + DEADLINE_MS;
    join_group_request_init(&request);
    join_group_request_protocol_init(&protocol);
    protocol.name = SLICE_LITERAL("range");
    protocol.metadata = SLICE_LITERAL("");
    request.group_id = SLICE_LITERAL("guard-members");
    request.session_timeout_ms = 60000;
    request.rebalance_timeout_ms = 60000;
    request.member_id = SLICE_LITERAL("");
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocols = &protocol;
    request.protocols_count = 1;
    do {
        check(wire_call(&stage->first, KEY_JOIN, JOIN_VERSION, &request, response));
        check(clock_mono_ms(clock_real()) < until_ms);
    } while (response->error_code != ERR_NONE);
}

static void set_up_heartbeat(struct stage *stage)
{
    struct join_group_response joined;
    struct sync_group_request request;
    struct sync_group_request_assignment assignment;
    struct sync_group_response response;
    struct heartbeat_request beat;
    find_coordinator(stage);
    join(stage, &joined);
    slice member = arena_copy(&stage->arena, joined.member_id, &(bool){ true });
    sync_group_request_init(&request);
    sync_group_request_assignment_init(&assignment);
    assignment.member_id = member;
    assignment.assignment = SLICE_LITERAL("all");
    request.group_id = SLICE_LITERAL("guard-members");
    request.generation_id = joined.generation_id;
    request.member_id = member;
    request.assignments = &assignment;
    request.assignments_count = 1;
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocol_name = SLICE_LITERAL("range");
    heartbeat_request_init(&beat);
    beat.group_id = SLICE_LITERAL("guard-members");
    beat.generation_id = joined.generation_id;
    beat.member_id = member;
    check(wire_call(&stage->first, KEY_SYNC, SYNC_VERSION, &request, &response));
    check(response.error_code == ERR_NONE);
    set_volley(stage, frame_of(&stage->arena, KEY_HEARTBEAT, HEARTBEAT_VERSION, &beat), 1);
}

static void round_heartbeat(struct stage *stage)
{
    struct heartbeat_response response;
    send_frame(&stage->first, stage->volley);
    check(wire_receive(&stage->first, KEY_HEARTBEAT, HEARTBEAT_VERSION, 0, &response));
    check(response.error_code == ERR_NONE);
}

/* -- all of them -------------------------------------------------------------------------------- */

const struct scenario scenarios[] = {
    { "ping-1", "ApiVersions, one at a time", 100, 1, 3, 0.15, set_up_ping_1, round_ping },
    { "ping-16", "ApiVersions, 16 at a time", 20, 16, 3, 0.02, set_up_ping_16, round_ping },
    { "produce-1k", "a batch of one record of 1 KiB", 100, 1, 3, 0.15, set_up_small, round_produce },
    { "produce-1k-16", "16 batches of one record of 1 KiB at a time", 20, 16, 3, 0.02, set_up_small_volley,
      round_produce },
    { "produce-1k-durable", "the same with flush.messages=1", 50, 1, 4, 0.5, set_up_durable, round_produce },
    { "produce-idempotent", "the same with producer id and sequence", 100, 1, 3, 0.15, set_up_idempotent,
      round_idempotent },
    { "produce-64k-4", "batches of 63 records of 1 KiB, 4 at a time", 20, 4, 10, 1.5, set_up_large,
      round_produce },
    { "produce-100b", "a batch of 145 records of 100 bytes", 50, 1, 3, 0.15, set_up_tiny, round_produce },
    { "produce-16", "a batch for each of 16 partitions", 30, 1, 3, 0.3, set_up_spread, round_produce },
    { "produce-lz4", "a batch of 16 records of 1 KiB, LZ4", 30, 1, 3, 0.15, set_up_lz4, round_produce },
    { "fetch-1m", "ranges of 1 MiB from the page cache", 20, 1, 3, 0.5, set_up_fetch_large, round_fetch },
    { "fetch-1k", "ranges of one batch of 1 KiB", 100, 1, 3, 0.15, set_up_fetch_small, round_fetch },
    { "long-poll", "a fetch that waits, and the produce that ends it", 60, 1, 3, 0.15, set_up_long_poll,
      round_long_poll },
    { "session-100", "a produce, and an incremental fetch of 100 partitions that has it", 50, 1, 3, 0.15,
      set_up_session, round_session },
    { "commit", "OffsetCommit of one partition, durable", 60, 1, 4, 0.5, set_up_commit, round_commit },
    { "heartbeat", "of a member of a classic group", 100, 1, 3, 0.15, set_up_heartbeat, round_heartbeat },
};

const int scenario_count = sizeof scenarios / sizeof *scenarios;

void stage_open(struct stage *stage, struct meter *meter, const struct scenario *scenario)
{
    *stage = (struct stage){ .meter = meter };
    arena_init(&stage->arena, NULL);
    arena_init(&stage->round, NULL);
    snprintf(stage->topic, sizeof stage->topic, "guard-%s", scenario->name);
    meter_connect(meter, &stage->first);
    meter_connect(meter, &stage->second);
    scenario->set_up(stage);
}

void stage_close(struct stage *stage)
{
    wire_close(&stage->first);
    wire_close(&stage->second);
    arena_destroy(&stage->arena);
    arena_destroy(&stage->round);
}
