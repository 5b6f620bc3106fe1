/* The versions matrix: every API that the broker advertises has Kafka 4.2's range, every version of it is
 * asked with a filled request, and the answer is looked at field by field and byte by byte. Each API has its
 * row in versions/.
 *
 * The ranges are written down from the project's facts about Kafka (protocol, 1.1, column "newest"), not from
 * the broker's tables or schemas: those are what is judged. */
#include <stdio.h>
#include <stdlib.h>

#include "codec/api_versions.h"
#include "codec/apis.h"
#include "protocol/base/note.h"
#include "tests/sim/versions/rig.h"

enum {
    NEVER = INT16_MAX,
    KEY_PRODUCE = 0,
    KEY_API_VERSIONS = 18,
    PRODUCE_ANSWERED_FROM = 3,
    ADVERTISED_MAX = 128
};

struct range {
    int16_t key;
    const char *name;
    int16_t min, max;
    int16_t flexible_from;
};

static const struct range kafka[] = {
    { 0, "Produce", 0, 13, 9 }, /* 0 to 2 are refused when they are used */
    { 1, "Fetch", 4, 18, 12 },
    { 2, "ListOffsets", 1, 11, 6 },
    { 3, "Metadata", 0, 13, 9 },
    { 8, "OffsetCommit", 2, 10, 8 },
    { 9, "OffsetFetch", 1, 10, 6 },
    { 10, "FindCoordinator", 0, 6, 3 },
    { 11, "JoinGroup", 0, 9, 6 },
    { 12, "Heartbeat", 0, 4, 4 },
    { 13, "LeaveGroup", 0, 5, 4 },
    { 14, "SyncGroup", 0, 5, 4 },
    { 15, "DescribeGroups", 0, 6, 5 },
    { 16, "ListGroups", 0, 5, 3 },
    { 17, "SaslHandshake", 0, 1, NEVER },
    { 18, "ApiVersions", 0, 4, 3 },
    { 19, "CreateTopics", 2, 7, 5 },
    { 20, "DeleteTopics", 1, 6, 4 },
    { 21, "DeleteRecords", 0, 2, 2 },
    { 22, "InitProducerId", 0, 5, 2 }, /* 6 is unstable */
    { 23, "OffsetForLeaderEpoch", 2, 4, 4 },
    { 24, "AddPartitionsToTxn", 0, 5, 3 },
    { 25, "AddOffsetsToTxn", 0, 4, 3 },
    { 26, "EndTxn", 0, 5, 3 },
    { 27, "WriteTxnMarkers", 1, 2, 1 },
    { 28, "TxnOffsetCommit", 0, 5, 3 },
    { 29, "DescribeAcls", 1, 3, 2 },
    { 30, "CreateAcls", 1, 3, 2 },
    { 31, "DeleteAcls", 1, 3, 2 },
    { 32, "DescribeConfigs", 1, 4, 4 },
    { 33, "AlterConfigs", 0, 2, 2 },
    { 34, "AlterReplicaLogDirs", 1, 2, 2 },
    { 35, "DescribeLogDirs", 1, 4, 2 },
    { 36, "SaslAuthenticate", 0, 2, 2 },
    { 37, "CreatePartitions", 0, 3, 2 },
    { 38, "CreateDelegationToken", 1, 3, 2 },
    { 39, "RenewDelegationToken", 1, 2, 2 },
    { 40, "ExpireDelegationToken", 1, 2, 2 },
    { 41, "DescribeDelegationToken", 1, 3, 2 },
    { 42, "DeleteGroups", 0, 2, 2 },
    { 43, "ElectLeaders", 0, 2, 2 },
    { 44, "IncrementalAlterConfigs", 0, 1, 1 },
    { 45, "AlterPartitionReassignments", 0, 1, 0 },
    { 46, "ListPartitionReassignments", 0, 0, 0 },
    { 47, "OffsetDelete", 0, 0, NEVER },
    { 48, "DescribeClientQuotas", 0, 1, 1 },
    { 49, "AlterClientQuotas", 0, 1, 1 },
    { 50, "DescribeUserScramCredentials", 0, 0, 0 },
    { 51, "AlterUserScramCredentials", 0, 0, 0 },
    { 55, "DescribeQuorum", 0, 2, 0 },
    { 57, "UpdateFeatures", 0, 2, 0 },
    { 60, "DescribeCluster", 0, 2, 0 },
    { 61, "DescribeProducers", 0, 0, 0 },
    { 64, "UnregisterBroker", 0, 0, 0 },
    { 65, "DescribeTransactions", 0, 0, 0 },
    { 66, "ListTransactions", 0, 2, 0 },
    { 68, "ConsumerGroupHeartbeat", 0, 1, 0 },
    { 69, "ConsumerGroupDescribe", 0, 1, 0 },
    { 71, "GetTelemetrySubscriptions", 0, 0, 0 },
    { 72, "PushTelemetry", 0, 0, 0 },
    { 74, "ListConfigResources", 0, 1, 0 },
    { 75, "DescribeTopicPartitions", 0, 0, 0 },
    { 76, "ShareGroupHeartbeat", 1, 1, 0 },
    { 77, "ShareGroupDescribe", 1, 1, 0 },
    { 78, "ShareFetch", 1, 2, 0 },
    { 79, "ShareAcknowledge", 1, 2, 0 },
    { 80, "AddRaftVoter", 0, 1, 0 },
    { 81, "RemoveRaftVoter", 0, 0, 0 },
    { 83, "InitializeShareGroupState", 0, 0, 0 },
    { 84, "ReadShareGroupState", 0, 0, 0 },
    { 85, "WriteShareGroupState", 0, 1, 0 },
    { 86, "DeleteShareGroupState", 0, 0, 0 },
    { 87, "ReadShareGroupStateSummary", 0, 1, 0 },
    { 88, "StreamsGroupHeartbeat", 0, 0, 0 },
    { 89, "StreamsGroupDescribe", 0, 0, 0 },
    { 90, "DescribeShareGroupOffsets", 0, 1, 0 },
    { 91, "AlterShareGroupOffsets", 0, 0, 0 },
    { 92, "DeleteShareGroupOffsets", 0, 0, 0 },
};

enum { KAFKA_COUNT = sizeof kafka / sizeof *kafka };

static const struct check_row *row_of(int16_t key)
{
    const struct check_row *const lists[] = { record_rows, topic_rows, group_rows, other_rows };
    const size_t counts[] = { record_row_count, topic_row_count, group_row_count, other_row_count };
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (size_t i = 0; i < counts[l]; i++)
            if (lists[l][i].key == key)
                return &lists[l][i];
    return NULL;
}

/* -- what the broker says that it serves ---------------------------------------------------------------- */

struct advertised {
    struct range ranges[ADVERTISED_MAX]; /* without names and flexibility */
    size_t count;
};

static void ask_ranges(int16_t version, struct advertised *out)
{
    struct api_versions_request request;
    struct api_versions_response told;
    api_versions_request_init(&request);
    request.client_software_name = SLICE_LITERAL("matrix");
    request.client_software_version = SLICE_LITERAL("1.0");
    ask_other(KEY_API_VERSIONS, version, &request, &told);
    expect(told.error_code, ERR_NONE);
    expect_that(told.api_keys_count <= ADVERTISED_MAX);
    out->count = (size_t)told.api_keys_count;
    for (size_t i = 0; i < out->count; i++)
        out->ranges[i] = (struct range){ .key = told.api_keys[i].api_key,
                                         .min = told.api_keys[i].min_version,
                                         .max = told.api_keys[i].max_version };
}

static const struct range *range_of(const struct range *ranges, size_t count, int16_t key)
{
    for (size_t i = 0; i < count; i++)
        if (ranges[i].key == key)
            return &ranges[i];
    return NULL;
}

static char difference[160];

/* NULL, or the first thing that is wrong with what is advertised; borrowed until the next call. */
static const char *find_difference(const struct advertised *got, const struct range *wanted,
                                   size_t wanted_count, const struct check_row *(*find_row)(int16_t key))
{
    for (size_t i = 0; i < got->count; i++) {
        const struct range *mine = &got->ranges[i];
        const struct range *theirs = range_of(wanted, wanted_count, mine->key);
        const char *what = !theirs                              ? "is not in the table"
                           : mine->min != theirs->min           ? "begins elsewhere"
                           : mine->max != theirs->max           ? "ends elsewhere"
                           : i > 0 && mine->key <= mine[-1].key ? "is not in order"
                           : !find_row(mine->key)               ? "has no check"
                                                                : NULL;
        if (what) {
            snprintf(difference, sizeof difference, "key %d, %s, v%d to v%d: %s", mine->key,
                     theirs ? theirs->name : "?", mine->min, mine->max, what);
            return difference;
        }
    }
    return got->count == 0 ? "nothing is advertised" : NULL;
}

static void begin(int16_t key, const char *name)
{
    subject = (struct subject){ key, 0, name };
    rig_open("");
}

START_TEST(what_is_advertised_is_kafkas)
{
    begin(KEY_API_VERSIONS, "ranges");
    for (int16_t version = 0; version <= 4; version++) {
        struct advertised got;
        subject.version = version;
        ask_ranges(version, &got);
        const char *wrong = find_difference(&got, kafka, KAFKA_COUNT, row_of);
        ck_assert_msg(!wrong, "ApiVersions v%d: %s", version, wrong);
    }
    rig_close();
}
END_TEST

static int16_t key_without_row;

static const struct check_row *all_but_one(int16_t key)
{
    return key == key_without_row ? NULL : row_of(key);
}

/* The control: for every API that is advertised, each kind of difference is found. */
START_TEST(a_difference_is_found)
{
    struct advertised got;
    struct range changed[KAFKA_COUNT];
    begin(KEY_API_VERSIONS, "control");
    ask_ranges(4, &got);
    for (size_t i = 0; i < got.count; i++) {
        for (int kind = 0; kind < 5; kind++) {
            memcpy(changed, kafka, sizeof changed);
            struct range *row = (struct range *)range_of(changed, KAFKA_COUNT, got.ranges[i].key);
            row->min = (int16_t)(row->min + (kind == 0) - (kind == 1));
            row->max = (int16_t)(row->max + (kind == 2) - (kind == 3));
            row->key = (int16_t)(row->key + (kind == 4 ? 1000 : 0));
            ck_assert_msg(find_difference(&got, changed, KAFKA_COUNT, row_of), "key %d, change %d",
                          got.ranges[i].key, kind);
        }
        key_without_row = got.ranges[i].key;
        ck_assert(find_difference(&got, kafka, KAFKA_COUNT, all_but_one));
    }
    struct advertised nothing = { .count = 0 };
    ck_assert(find_difference(&nothing, kafka, KAFKA_COUNT, row_of));
    rig_close();
}
END_TEST

/* -- every version of an API ---------------------------------------------------------------------------- */

static bool is_advertised(int16_t key, struct range *out)
{
    struct advertised got;
    rig_open("");
    ask_ranges(4, &got);
    rig_close();
    const struct range *found = range_of(got.ranges, got.count, key);
    if (found)
        *out = *found;
    return found != NULL;
}

/* From the flexible version on a header ends with an empty section of tags; ApiVersions' never has one. */
static void expect_header(const struct range *range, int16_t version)
{
    const struct api_schema *schema = api_schema_find(range->key);
    expect(schema->flexible_from, range->flexible_from);
    if (version >= range->flexible_from && range->key != KEY_API_VERSIONS)
        expect(schema->response_header_from, range->flexible_from);
}

START_TEST(every_version)
{
    const struct range *wanted = &kafka[_i];
    const struct check_row *row = row_of(wanted->key);
    struct range served;
    subject = (struct subject){ wanted->key, 0, wanted->name };
    if (!is_advertised(wanted->key, &served))
        return; /* of a later issue */
    ck_assert_msg(row != NULL, "%s has no check", wanted->name);
    int16_t first = wanted->key == KEY_PRODUCE ? PRODUCE_ANSWERED_FROM : wanted->min;
    for (int16_t version = first; version <= wanted->max; version++) {
        subject.version = version;
        seen_reset();
        expect_header(wanted, version);
        row->check(version);
        arena_init(&arena, NULL);
        const char *wrong = seen_complaint(row);
        ck_assert_msg(!wrong, "%s v%d: %s", wanted->name, version, wrong);
        arena_destroy(&arena);
    }
}
END_TEST

/* The control of the field count: a request of which nothing is filled, and one of which all is. */
START_TEST(a_field_left_out_is_found)
{
    struct one_metadata one;
    struct metadata_response told;
    const struct check_row row = { .key = ONE_METADATA };
    begin(ONE_METADATA, "control");
    subject.version = 12;
    seen_reset();
    ck_assert(seen_complaint(&row));
    one_metadata(&one, SLICE_LITERAL("orders"));
    ask(&one.request, &told);
    ck_assert_msg(strstr(seen_complaint(&row), "request's topics.topic_id"), "%s", seen_complaint(&row));
    static const struct exemption wrong[] = { { "topics.name", 0, NEVER_LAST, "it was" }, { 0 } };
    const struct check_row exempt = { .key = ONE_METADATA, .unasked = wrong };
    seen_reset();
    ask(&one.request, &told);
    one.topic.topic_id = UUID_ONE;
    ask(&one.request, &told);
    ck_assert_msg(strstr(seen_complaint(&exempt), "topics.name"), "%s", seen_complaint(&exempt));
    rig_close();
}
END_TEST

/* The control of the frame: no byte of an answer can be another, be left out or come behind it unnoticed. */
START_TEST(a_changed_frame_is_found)
{
    const int16_t versions[] = { 3, 8, 9, 12 }; /* both headers */
    begin(ONE_METADATA, "control");
    for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
        const struct api_schema *schema = api_schema_find(ONE_METADATA);
        struct one_metadata one;
        struct metadata_response told;
        one_metadata(&one, SLICE_LITERAL("orders"));
        ask_other(ONE_METADATA, versions[v], &one.request, &told);
        slice frame = last_frame();
        uint8_t *changed = arena_alloc(&arena, frame.size + 1);
        memcpy(changed, frame.data, frame.size);
        changed[frame.size] = 0;
        ck_assert(!frame_complaint(schema, versions[v], &told, slice_of(changed, frame.size)));
        ck_assert(frame_complaint(schema, versions[v], &told, slice_of(changed, frame.size + 1)));
        ck_assert(frame_complaint(schema, versions[v], &told, slice_of(changed, frame.size - 1)));
        for (size_t i = 0; i < frame.size; i++) {
            changed[i] ^= 1;
            ck_assert(frame_complaint(schema, versions[v], &told, slice_of(changed, frame.size)));
            changed[i] ^= 1;
        }
    }
    rig_close();
}
END_TEST

/* -- beyond the ranges ---------------------------------------------------------------------------------- */

/* A header of version 1 with zeros behind it, which every later header and many a body can be. */
static void send_bare(int16_t key, int16_t version)
{
    enum { HEADER_SIZE = 10, SIZE = 40 };
    uint8_t frame[4 + SIZE] = { 0 };
    store_be32(frame, SIZE);
    store_be16(frame + 4, (uint16_t)key);
    store_be16(frame + 6, (uint16_t)version);
    store_be32(frame + 8, 7);
    store_be16(frame + 12, UINT16_MAX); /* no client id */
    expect_that(sim_send_bytes(&client, frame, sizeof frame));
}

static void expect_closed(int16_t key, int16_t version)
{
    uint8_t byte;
    size_t got = 0;
    subject.version = version;
    send_bare(key, version);
    sim_settle(&sim);
    expect(client.end->ops->read(client.end, &byte, 1, &got), TRANSPORT_CLOSED);
    sim_disconnect(&client);
    sim_connect(&sim, &client);
}

/* In version 0: UNSUPPORTED_VERSION, and nothing but its own range. */
static void expect_own_range(int16_t version)
{
    static const uint8_t expected[] = { 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4 };
    struct api_versions_response ignored;
    subject.version = version;
    send_bare(KEY_API_VERSIONS, version);
    (void)sim_receive(&client, KEY_API_VERSIONS, 0, &ignored);
    expect(last_frame().size, sizeof expected);
    expect_that(memcmp(last_frame().data, expected, sizeof expected) == 0);
}

START_TEST(versions_beyond_the_range_are_refused)
{
    const struct range *wanted = &kafka[_i];
    struct range served;
    subject = (struct subject){ wanted->key, 0, wanted->name };
    bool is_served = is_advertised(wanted->key, &served);
    int16_t first = wanted->key == KEY_PRODUCE ? PRODUCE_ANSWERED_FROM : wanted->min;
    const int16_t others[] = {
        (int16_t)(wanted->max + 1), (int16_t)(first - 1), 99, -1, INT16_MIN, INT16_MAX
    };
    rig_open("");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (wanted->key == KEY_API_VERSIONS)
            expect_own_range(others[i]);
        else
            expect_closed(wanted->key, others[i]);
    }
    if (wanted->key == KEY_PRODUCE)
        for (int16_t version = 0; version < PRODUCE_ANSWERED_FROM; version++)
            expect_closed(KEY_PRODUCE, version);
    for (int16_t version = wanted->min; version <= wanted->max && !is_served; version++)
        expect_closed(wanted->key, version);
    rig_close();
}
END_TEST

int main(void)
{
    note_set_level(NOTE_ERROR); /* refusals are told as warnings */
    Suite *suite = suite_create("versions");
    TCase *tests = tcase_create("matrix");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, what_is_advertised_is_kafkas);
    tcase_add_test(tests, a_difference_is_found);
    tcase_add_test(tests, a_field_left_out_is_found);
    tcase_add_test(tests, a_changed_frame_is_found);
    tcase_add_loop_test(tests, every_version, 0, KAFKA_COUNT);
    tcase_add_loop_test(tests, versions_beyond_the_range_are_refused, 0, KAFKA_COUNT);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
