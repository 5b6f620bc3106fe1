/* Hostile administrators and readers on a live broker: internal topics, settings, counts beyond all bounds,
 * the same partition again and again, sessions without end. Rows are those of tests/integration/hostile.md.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/create_partitions.h"
#include "codec/create_topics.h"
#include "codec/delete_topics.h"
#include "codec/describe_configs.h"
#include "codec/incremental_alter_configs.h"
#include "protocol/errors.h"
#include "tests/support/load.h"
#include "tests/support/one_partition.h"
#include "tests/support/served.h"
#include "tests/support/wire_client.h"

enum {
    TIMEOUT_MS = 60000,
    KEY_CREATE_TOPICS = 19,
    KEY_DELETE_TOPICS = 20,
    KEY_DESCRIBE_CONFIGS = 32,
    KEY_CREATE_PARTITIONS = 37,
    KEY_INCREMENTAL_ALTER_CONFIGS = 44,
    CREATE_VERSION = 7,
    FETCH_VERSION = 12,
    FETCH_BY_ID_VERSION = 13,
    RESOURCE_TOPIC = 2,
    SANITIZED = 8 /* times the memory: red zones, quarantine, shadows */
};

static struct served served;
static struct wire_client client, honest;
static struct arena arena;

/* -- building blocks --------------------------------------------------------------------------- */

/* The client that was there before the attack gets its answer after it. */
static void expect_honest_client_served(void)
{
    struct one_fetch one;
    struct fetch_response told;
    one_fetch(&one, "hostile", 0, 0);
    ck_assert_msg(wire_call(&honest, ONE_FETCH, FETCH_VERSION, &one.request, &told),
                  "the honest client got no answer");
    ck_assert_int_eq(told.topics[0].partitions[0].error_code, ERR_NONE);
    ck_assert_uint_gt(told.topics[0].partitions[0].records.bytes.size, 0);
}

static uint64_t memory_now(void)
{
    return process_rss_anonymous(broker_process_pid(served.broker));
}

static void expect_memory_grown_less(uint64_t before, uint64_t growth)
{
    uint64_t now = memory_now();
    ck_assert_msg(
        now < before + growth * (process_is_sanitized(broker_process_pid(served.broker)) ? SANITIZED : 1),
        "%llu KiB became %llu KiB", (unsigned long long)before >> 10, (unsigned long long)now >> 10);
}

static slice batch_of_one(void)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct batch_view batch = small_batch(&arena, &options, 1);
    return batch_bytes(&batch);
}

static void name_topic(struct create_topics_request_topic *topic, slice name, int32_t partitions,
                       int16_t factor)
{
    create_topics_request_topic_init(topic);
    topic->name = name;
    topic->num_partitions = partitions;
    topic->replication_factor = factor;
}

static struct create_topics_response create(struct create_topics_request_topic *topics, int32_t count)
{
    struct create_topics_request request;
    struct create_topics_response told;
    create_topics_request_init(&request);
    request.topics = topics;
    request.topics_count = count;
    request.timeout_ms = TIMEOUT_MS;
    ck_assert(wire_call(&client, KEY_CREATE_TOPICS, CREATE_VERSION, &request, &told));
    ck_assert_int_eq(told.topics_count, count);
    return told;
}

static int16_t create_one(const char *name, int32_t partitions, int16_t factor)
{
    struct create_topics_request_topic topic;
    name_topic(&topic, slice_of_string(name), partitions, factor);
    return create(&topic, 1).topics[0].error_code;
}

static int16_t delete_one(const char *name)
{
    struct delete_topics_request request;
    struct delete_topics_response told;
    slice names[] = { slice_of_string(name) };
    delete_topics_request_init(&request);
    request.topic_names = names;
    request.topic_names_count = 1;
    request.timeout_ms = TIMEOUT_MS;
    ck_assert(wire_call(&client, KEY_DELETE_TOPICS, 5, &request, &told));
    ck_assert_int_eq(told.topics_count, 1);
    return told.topics[0].error_code;
}

static int16_t grow_one(const char *name, int32_t count)
{
    struct create_partitions_request request;
    struct create_partitions_request_topic topic;
    struct create_partitions_response told;
    create_partitions_request_init(&request);
    create_partitions_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    topic.count = count;
    topic.assignments_count = -1;
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = TIMEOUT_MS;
    ck_assert(wire_call(&client, KEY_CREATE_PARTITIONS, 3, &request, &told));
    ck_assert_int_eq(told.results_count, 1);
    return told.results[0].error_code;
}

static int32_t partition_count(const char *name)
{
    struct one_metadata one;
    struct metadata_response told;
    one_metadata(&one, slice_of_string(name));
    one.request.allow_auto_topic_creation = false;
    ck_assert(wire_call(&client, ONE_METADATA, 12, &one.request, &told));
    return told.topics[0].error_code == ERR_NONE ? told.topics[0].partitions_count : -1;
}

/* -- row 45: internal topics ------------------------------------------------------------------- */

static int16_t produce_to(const char *topic, slice client_id)
{
    struct one_produce one;
    struct produce_response told;
    one_produce(&one, topic, 0, batch_of_one());
    slice frame = wire_encode(&arena, ONE_PRODUCE, 9, ++client.correlation_id, client_id, &one.request);
    ck_assert(wire_send_bytes(&client, frame.data, frame.size));
    ck_assert(wire_receive(&client, ONE_PRODUCE, 9, client.correlation_id, &told));
    return told.topics[0].partitions[0].error_code;
}

/* Kafka keeps clients from writing to them; administrators may create and delete them, but for the one of the
 * controller, which is no topic for clients at all. */
START_TEST(internal_topics)
{
    static const char *const names[] = { "__consumer_offsets", "__transaction_state", "__share_group_state" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_int_eq(create_one(names[i], 3, 1), ERR_NONE);
        ck_assert_int_eq(produce_to(names[i], SLICE_LITERAL("hostile")), ERR_INVALID_TOPIC_EXCEPTION);
        ck_assert_int_eq(produce_to(names[i], SLICE_LITERAL("__admin_client")), ERR_NONE);
        ck_assert_int_eq(create_one(names[i], 3, 1), ERR_TOPIC_ALREADY_EXISTS);
        ck_assert_int_eq(delete_one(names[i]), ERR_NONE);
        ck_assert_int_eq(partition_count(names[i]), -1);
        load_make_topic(served.bootstrap, names[i]); /* by Metadata, with the broker's own settings */
        ck_assert_int_eq(partition_count(names[i]), 50);
    }
    ck_assert_int_eq(create_one("__cluster_metadata", 1, 1), ERR_INVALID_REQUEST);
    ck_assert_int_eq(produce_to("__cluster_metadata", SLICE_LITERAL("__admin_client")),
                     ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(delete_one("__cluster_metadata"), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(grow_one("__cluster_metadata", 5), ERR_UNKNOWN_TOPIC_OR_PARTITION);
    expect_honest_client_served();
}
END_TEST

/* -- row 48: settings -------------------------------------------------------------------------- */

enum { HUGE_SIZE = 30000 };

static char huge[HUGE_SIZE + 1];

#define TEXT(text)                                                                                           \
    {                                                                                                        \
        (const uint8_t *)(text), sizeof(text) - 1                                                            \
    }

static const struct {
    const char *what;
    slice name;
    slice value; /* of HUGE_SIZE bytes when null */
    int16_t expected;
} settings[] = {
    { "the control", TEXT("retention.ms"), TEXT("1000"), ERR_NONE },
    { "an unknown name", TEXT("no.such.thing"), TEXT("1"), ERR_INVALID_CONFIG },
    { "an empty name", TEXT(""), TEXT("1"), ERR_INVALID_CONFIG },
    { "a name with a line of its own", TEXT("a\nINJECTED-BY-NAME\x1b[31m"), TEXT("1"), ERR_INVALID_CONFIG },
    { "a name with NUL", TEXT("retention.ms\0x"), TEXT("1"), ERR_INVALID_CONFIG },
    { "a value with a line of its own", TEXT("retention.ms"), TEXT("1\nINJECTED-BY-VALUE"),
      ERR_INVALID_CONFIG },
    { "a value with NUL", TEXT("retention.ms"), TEXT("1\0001"), ERR_INVALID_CONFIG },
    { "a NUL at its end, which Java trims", TEXT("retention.ms"), TEXT("1\0"), ERR_NONE },
    { "an empty value", TEXT("retention.ms"), TEXT(""), ERR_INVALID_CONFIG },
    { "a word as a number", TEXT("retention.ms"), TEXT("soon"), ERR_INVALID_CONFIG },
    { "a number beyond int64", TEXT("retention.ms"), TEXT("9223372036854775808"), ERR_INVALID_CONFIG },
    { "a number beyond int32", TEXT("segment.bytes"), TEXT("2147483648"), ERR_INVALID_CONFIG },
    { "a number below its range", TEXT("retention.ms"), TEXT("-2"), ERR_INVALID_CONFIG },
    { "no such choice", TEXT("cleanup.policy"), TEXT("burn"), ERR_INVALID_CONFIG },
    { "a huge value", TEXT("retention.ms"), { NULL, 0 }, ERR_INVALID_CONFIG },
    { "a huge list", TEXT("cleanup.policy"), { NULL, 0 }, ERR_INVALID_CONFIG },
};

static slice value_of(size_t row)
{
    return slice_is_null(settings[row].value) ? slice_of(huge, HUGE_SIZE) : settings[row].value;
}

static int16_t create_with(const char *topic_name, slice name, slice value)
{
    struct create_topics_request_topic topic;
    struct create_topics_request_config config;
    create_topics_request_config_init(&config);
    config.name = name;
    config.value = value;
    name_topic(&topic, slice_of_string(topic_name), 1, 1);
    topic.configs = &config;
    topic.configs_count = 1;
    return create(&topic, 1).topics[0].error_code;
}

static int16_t alter(const char *topic_name, slice name, int8_t operation, slice value)
{
    struct incremental_alter_configs_request request;
    struct incremental_alter_configs_request_resource resource;
    struct incremental_alter_configs_request_config config;
    struct incremental_alter_configs_response told;
    incremental_alter_configs_request_config_init(&config);
    config.name = name;
    config.value = value;
    config.config_operation = operation;
    incremental_alter_configs_request_resource_init(&resource);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = slice_of_string(topic_name);
    resource.configs = &config;
    resource.configs_count = 1;
    incremental_alter_configs_request_init(&request);
    request.resources = &resource;
    request.resources_count = 1;
    ck_assert(wire_call(&client, KEY_INCREMENTAL_ALTER_CONFIGS, 1, &request, &told));
    ck_assert_int_eq(told.responses_count, 1);
    return told.responses[0].error_code;
}

/* Asking for a name that is no setting finds none. */
static void describe(slice name, int32_t expected_count)
{
    struct describe_configs_request request;
    struct describe_configs_request_resource resource;
    struct describe_configs_response told;
    describe_configs_request_init(&request);
    describe_configs_request_resource_init(&resource);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = SLICE_LITERAL("hostile");
    resource.configuration_keys = &name;
    resource.configuration_keys_count = 1;
    request.resources = &resource;
    request.resources_count = 1;
    request.include_documentation = true;
    ck_assert(wire_call(&client, KEY_DESCRIBE_CONFIGS, 4, &request, &told));
    ck_assert_int_eq(told.results[0].error_code, ERR_NONE);
    ck_assert_int_eq(told.results[0].configs_count, expected_count);
}

START_TEST(settings_that_are_none)
{
    char name[32];
    slice key = settings[_i].name, value = value_of((size_t)_i);
    snprintf(name, sizeof name, "configured-%d", _i);
    int16_t got = create_with(name, key, value);
    ck_assert_msg(got == settings[_i].expected, "%s, created: %s", settings[_i].what, error_name(got));
    ck_assert_int_eq(partition_count(name), got == ERR_NONE ? 1 : -1);
    got = alter("hostile", key, 0, value);
    ck_assert_msg(got == settings[_i].expected, "%s, altered: %s", settings[_i].what, error_name(got));
    if (settings[_i].expected == ERR_NONE)
        ck_assert_int_eq(alter("hostile", key, 1, SLICE_NULL), ERR_NONE);
    expect_honest_client_served();
}
END_TEST

START_TEST(settings_that_are_none_are_not_described)
{
    describe(SLICE_LITERAL("retention.ms"), 1);
    describe(slice_of(huge, HUGE_SIZE), 0);
    describe(SLICE_LITERAL("a\nINJECTED-BY-DESCRIBE"), 0);
    describe(SLICE_LITERAL("retention.ms\0"), 0);
    ck_assert_int_eq(create_with("huge-name", slice_of(huge, HUGE_SIZE), SLICE_LITERAL("1")),
                     ERR_INVALID_CONFIG);
    ck_assert_int_eq(create_with("null-value", SLICE_LITERAL("retention.ms"), SLICE_NULL),
                     ERR_INVALID_CONFIG);
    ck_assert_int_eq(alter("hostile", SLICE_LITERAL("retention.ms"), 0, SLICE_NULL), ERR_INVALID_REQUEST);
    ck_assert_int_eq(alter("hostile", SLICE_LITERAL("retention.ms"), 2, SLICE_LITERAL("1")),
                     ERR_INVALID_CONFIG);
    ck_assert_int_eq(alter("hostile", SLICE_LITERAL("retention.ms"), 9, SLICE_LITERAL("1")),
                     ERR_INVALID_REQUEST);
    ck_assert_int_eq(alter("hostile", SLICE_LITERAL("retention.ms"), -1, SLICE_LITERAL("1")),
                     ERR_INVALID_REQUEST);
}
END_TEST

/* What a client sent never begins a line of the operator's log, nor colours it. */
START_TEST(nothing_is_logged_unescaped)
{
    char path[sizeof served.data_dir + 16], line[8192];
    snprintf(path, sizeof path, "%s.stderr", served.data_dir);
    FILE *log = fopen(path, "r");
    ck_assert(log != NULL);
    while (fgets(line, sizeof line, log)) {
        ck_assert_msg(strncmp(line, "INJECTED", 8) != 0, "a client wrote a line: %s", line);
        ck_assert_msg(!strchr(line, '\x1b'), "a client wrote an escape: %s", line);
    }
    fclose(log);
}
END_TEST

/* -- row 85: counts beyond all bounds ---------------------------------------------------------- */

static const struct {
    const char *what;
    int32_t partitions;
    int16_t factor;
    int16_t expected;
} counts[] = {
    { "2^31-1 partitions", INT32_MAX, 1, ERR_POLICY_VIOLATION },
    { "10,001 partitions", 10001, 1, ERR_POLICY_VIOLATION },
    { "no partitions", 0, 1, ERR_INVALID_PARTITIONS },
    { "-2 partitions", -2, 1, ERR_INVALID_PARTITIONS },
    { "the fewest partitions", INT32_MIN, 1, ERR_INVALID_PARTITIONS },
    { "no replicas", 1, 0, ERR_INVALID_REPLICATION_FACTOR },
    { "-2 replicas", 1, -2, ERR_INVALID_REPLICATION_FACTOR },
    { "more replicas than brokers", 1, 2, ERR_INVALID_REPLICATION_FACTOR },
    { "the most replicas", 1, INT16_MAX, ERR_INVALID_REPLICATION_FACTOR },
};

START_TEST(counts_beyond_all_bounds)
{
    uint64_t before = memory_now();
    int16_t got = create_one("counted", counts[_i].partitions, counts[_i].factor);
    ck_assert_msg(got == counts[_i].expected, "%s: %s, expected %s", counts[_i].what, error_name(got),
                  error_name(counts[_i].expected));
    ck_assert_int_eq(partition_count("counted"), -1);
    expect_memory_grown_less(before, 8 << 20);
    expect_honest_client_served();
}
END_TEST

START_TEST(growth_beyond_all_bounds)
{
    uint64_t before = memory_now();
    ck_assert_int_eq(grow_one("hostile", INT32_MAX), ERR_POLICY_VIOLATION);
    ck_assert_int_eq(grow_one("hostile", 20000), ERR_POLICY_VIOLATION);
    ck_assert_int_eq(grow_one("hostile", 1), ERR_INVALID_PARTITIONS);
    ck_assert_int_eq(grow_one("hostile", 0), ERR_INVALID_PARTITIONS);
    ck_assert_int_eq(grow_one("hostile", INT32_MIN), ERR_INVALID_PARTITIONS);
    ck_assert_int_eq(partition_count("hostile"), 1);
    expect_memory_grown_less(before, 8 << 20);
}
END_TEST

static slice numbered_name(const char *base, int32_t number)
{
    char *text = arena_alloc(&arena, 32);
    snprintf(text, 32, "%s-%d", base, (int)number);
    return slice_of_string(text);
}

/* As an administrator may (10,000), and one more than that. Kafka's bound is on the records of one request,
 * which are twice as many there; nothing is made of a request that is beyond it. */
START_TEST(ten_thousand_topics_in_one_call)
{
    enum { COUNT = 10000, MEMORY_MAX = 256 << 20 };
    struct create_topics_request_topic *topics = arena_alloc_array(&arena, COUNT + 1, sizeof *topics);
    uint64_t before = memory_now();
    for (int32_t i = 0; i <= COUNT; i++)
        name_topic(&topics[i], numbered_name("many", i), 1, 1);
    struct create_topics_response told = create(topics, COUNT + 1);
    for (int32_t i = 0; i <= COUNT; i++)
        ck_assert_int_eq(told.topics[i].error_code, ERR_POLICY_VIOLATION);
    ck_assert_int_eq(partition_count("many-0"), -1);
    expect_honest_client_served();

    double begin = monotonic_seconds();
    told = create(topics, COUNT);
    for (int32_t i = 0; i < COUNT; i++)
        ck_assert_int_eq(told.topics[i].error_code, ERR_NONE);
    printf("10,000 topics in %.2f s, %llu KiB\n", monotonic_seconds() - begin,
           (unsigned long long)(memory_now() - before) >> 10);
    ck_assert_int_eq(partition_count("many-9999"), 1);
    expect_memory_grown_less(before, MEMORY_MAX);
    expect_honest_client_served();

    told = create(topics, COUNT); /* and all of them again */
    for (int32_t i = 0; i < COUNT; i++)
        ck_assert_int_eq(told.topics[i].error_code, ERR_TOPIC_ALREADY_EXISTS);
}
END_TEST

/* -- row 77: the same partition again and again ------------------------------------------------ */

/* Kafka puts them into a map: one answer, the last counts. */
START_TEST(a_partition_twice)
{
    enum { TIMES = 5 };
    struct one_produce out;
    struct produce_request_partition parts[TIMES];
    struct produce_response wrote;
    one_produce(&out, "twice", 0, SLICE_NULL);
    for (int i = 0; i < TIMES; i++) {
        const struct batch_builder_options options = { NO_PRODUCER };
        struct batch_view batch = small_batch(&arena, &options, i + 1);
        produce_request_partition_init(&parts[i]);
        parts[i].records.bytes = batch_bytes(&batch);
    }
    out.topic.partitions = parts;
    out.topic.partitions_count = TIMES;
    load_make_topic(served.bootstrap, "twice");
    ck_assert(wire_call(&client, ONE_PRODUCE, 9, &out.request, &wrote));
    ck_assert_int_eq(wrote.topics_count, 1);
    ck_assert_int_eq(wrote.topics[0].partitions_count, 1);
    ck_assert_int_eq(wrote.topics[0].partitions[0].error_code, ERR_NONE);

    struct one_fetch in;
    struct fetch_request_partition places[TIMES];
    struct fetch_response read;
    one_fetch(&in, "twice", 0, 0);
    for (int i = 0; i < TIMES; i++) {
        fetch_request_partition_init(&places[i]);
        places[i].fetch_offset = i + 1; /* the last: the end */
        places[i].partition_max_bytes = 1000;
    }
    in.topic.partitions = places;
    in.topic.partitions_count = TIMES;
    ck_assert(wire_call(&client, ONE_FETCH, FETCH_VERSION, &in.request, &read));
    ck_assert_int_eq(read.topics_count, 1);
    ck_assert_int_eq(read.topics[0].partitions_count, 1);
    ck_assert_int_eq(read.topics[0].partitions[0].error_code, ERR_NONE);
    ck_assert_int_eq(read.topics[0].partitions[0].high_watermark, TIMES);
    ck_assert_uint_eq(read.topics[0].partitions[0].records.bytes.size, 0);
    expect_honest_client_served();
}
END_TEST

enum { MENTIONS = 100000 };

/* All of one topic that has one partition. In Kafka, too, each is answered. */
START_TEST(a_hundred_thousand_partitions_in_one_request)
{
    enum { MEMORY_MAX = 96 << 20 };
    struct one_produce out;
    struct one_fetch in;
    struct one_list_offsets where;
    struct produce_response wrote;
    struct fetch_response read;
    struct list_offsets_response found;
    uint64_t before = memory_now();
    one_produce(&out, "hostile", 0, SLICE_NULL);
    out.topic.partitions = arena_alloc_array(&arena, MENTIONS, sizeof *out.topic.partitions);
    one_fetch(&in, "hostile", 0, 0);
    in.topic.partitions = arena_alloc_array(&arena, MENTIONS, sizeof *in.topic.partitions);
    one_list_offsets(&where, "hostile", 0, -1);
    where.topic.partitions = arena_alloc_array(&arena, MENTIONS, sizeof *where.topic.partitions);
    for (int32_t i = 0; i < MENTIONS; i++) {
        produce_request_partition_init(&out.topic.partitions[i]);
        out.topic.partitions[i].partition = i + 1;
        fetch_request_partition_init(&in.topic.partitions[i]);
        in.topic.partitions[i].partition = i + 1;
        in.topic.partitions[i].partition_max_bytes = 1000;
        list_offsets_request_partition_init(&where.topic.partitions[i]);
        where.topic.partitions[i].partition = MENTIONS - i;
        where.topic.partitions[i].timestamp = -1;
    }
    out.topic.partitions_count = in.topic.partitions_count = where.topic.partitions_count = MENTIONS;
    ck_assert(wire_call(&client, ONE_PRODUCE, 9, &out.request, &wrote));
    ck_assert_int_eq(wrote.topics[0].partitions_count, MENTIONS);
    ck_assert(wire_call(&client, ONE_FETCH, FETCH_VERSION, &in.request, &read));
    ck_assert_int_eq(read.topics[0].partitions_count, MENTIONS);
    for (int32_t i = 0; i < MENTIONS; i++)
        ck_assert_int_eq(read.topics[0].partitions[i].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert(wire_call(&client, ONE_LIST_OFFSETS, 7, &where.request, &found));
    ck_assert_int_eq(found.topics[0].partitions_count, MENTIONS);
    for (int32_t i = 0; i < MENTIONS; i++)
        ck_assert_int_eq(found.topics[0].partitions[i].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    expect_memory_grown_less(before, MEMORY_MAX);
    expect_honest_client_served();
}
END_TEST

/* -- rows 82 and 83: sessions ------------------------------------------------------------------ */

static struct fetch_response open_session(struct one_fetch *one, int16_t version)
{
    struct fetch_response told;
    one->request.session_id = 0;
    one->request.session_epoch = 0;
    ck_assert(wire_call(&client, ONE_FETCH, version, &one->request, &told));
    ck_assert_int_eq(told.error_code, ERR_NONE);
    return told;
}

static int16_t go_on(struct wire_client *with, const struct one_fetch *one, int16_t version, int32_t id,
                     int32_t epoch)
{
    struct fetch_request request = one->request;
    struct fetch_response told;
    request.session_id = id;
    request.session_epoch = epoch;
    request.topics_count = 0;
    ck_assert(wire_call(with, ONE_FETCH, version, &request, &told));
    ck_assert(told.error_code == ERR_NONE || told.topics_count == 0);
    return told.error_code;
}

/* A session belongs to no connection, in Kafka as here: its id is a secret of 31 bits. */
START_TEST(sessions_of_others)
{
    struct one_fetch one;
    one_fetch(&one, "hostile", 0, 0);
    int32_t id = open_session(&one, FETCH_VERSION).session_id,
            other = open_session(&one, FETCH_VERSION).session_id;
    ck_assert_int_gt(id, 0);
    ck_assert_int_gt(other, 0);
    ck_assert_msg(llabs((long long)id - other) > 1000, "%d, then %d: that can be guessed", id, other);
    ck_assert_int_eq(go_on(&honest, &one, FETCH_VERSION, id, 1), ERR_NONE);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, id, 1), ERR_INVALID_FETCH_SESSION_EPOCH);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, id, 3), ERR_INVALID_FETCH_SESSION_EPOCH);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, id, INT32_MAX), ERR_INVALID_FETCH_SESSION_EPOCH);
    ck_assert_int_eq(go_on(&client, &one, FETCH_BY_ID_VERSION, id, 2), ERR_FETCH_SESSION_TOPIC_ID_ERROR);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, id, 2), ERR_NONE);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, 0, 1), ERR_FETCH_SESSION_ID_NOT_FOUND);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, -1, 1), ERR_FETCH_SESSION_ID_NOT_FOUND);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, INT32_MIN, 1), ERR_FETCH_SESSION_ID_NOT_FOUND);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, id ^ 1, 1), ERR_FETCH_SESSION_ID_NOT_FOUND);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, id, -2), ERR_INVALID_FETCH_SESSION_EPOCH);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, id, INT32_MIN), ERR_INVALID_FETCH_SESSION_EPOCH);
    /* Closed by whoever knows it, by a last full fetch. */
    ck_assert_int_eq(go_on(&honest, &one, FETCH_VERSION, id, -1), ERR_NONE);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, id, 3), ERR_FETCH_SESSION_ID_NOT_FOUND);
    ck_assert_int_eq(go_on(&client, &one, FETCH_VERSION, other, -1), ERR_NONE);
    expect_honest_client_served();
}
END_TEST

enum { SLOTS = 1000 };

/* Asks for `count` new sessions, up to `depth` under way; how many were given. */
static int flood_with_sessions(const struct fetch_request *request, int count, int depth)
{
    slice frame = wire_encode(&arena, ONE_FETCH, FETCH_VERSION, 7, SLICE_LITERAL("flood"), request);
    struct fetch_response told;
    int given = 0, sent = 0;
    for (int received = 0; received < count; received++) {
        for (; sent < count && sent - received < depth; sent++)
            ck_assert(wire_send_bytes(&client, frame.data, frame.size));
        ck_assert(wire_receive(&client, ONE_FETCH, FETCH_VERSION, 7, &told));
        ck_assert_int_eq(told.error_code, ERR_NONE);
        ck_assert_int_eq(told.topics_count, 1);
        given += told.session_id != 0;
    }
    return given;
}

/* What is shown by numbers is shown without sanitizers; with them the paths are walked. */
static int flood_count(int count)
{
    enum { SLOWER = 20 };
    return process_is_sanitized(broker_process_pid(served.broker)) ? count / SLOWER : count;
}

/* The cache has its slots, and who finds none goes on without a session. A young session of the same size is
 * never evicted (Kafka, FetchSessionCache.tryEvict), a larger one takes the place of a smaller one. */
START_TEST(a_session_with_every_request)
{
    enum { MEMORY_MAX = 48 << 20 };
    const int requests = flood_count(100000);
    struct one_fetch one, mine;
    uint64_t before = memory_now();
    one_fetch(&one, "hostile", 0, 1);
    one.request.session_epoch = 0;
    one_fetch(&mine, "hostile", 0, 1);
    int32_t id = open_session(&mine, FETCH_VERSION).session_id;
    ck_assert_int_gt(id, 0);
    double begin = monotonic_seconds();
    int given = flood_with_sessions(&one.request, requests, 100);
    printf("%d of %d requests got a session, %.2f s, %lld KiB\n", given, requests,
           monotonic_seconds() - begin, (long long)(memory_now() - before) / 1024);
    ck_assert_int_eq(given, SLOTS - 1);
    expect_memory_grown_less(before, MEMORY_MAX);
    ck_assert_int_eq(go_on(&client, &mine, FETCH_VERSION, id, 1), ERR_NONE);
    expect_honest_client_served();
}
END_TEST

/* 600 times 10,000 partitions would be 400 MB: sessions together have a bound in bytes. */
START_TEST(large_sessions_with_every_request)
{
    enum { PLACES = 10000, MEMORY_MAX = 128 << 20 };
    const int requests = flood_count(600);
    struct one_fetch one;
    uint64_t before = memory_now();
    one_fetch(&one, "hostile", 0, 1);
    one.request.session_epoch = 0;
    one.topic.partitions = arena_alloc_array(&arena, PLACES, sizeof *one.topic.partitions);
    one.topic.partitions_count = PLACES;
    for (int32_t i = 0; i < PLACES; i++) {
        fetch_request_partition_init(&one.topic.partitions[i]);
        one.topic.partitions[i].partition = i;
    }
    double begin = monotonic_seconds();
    int given = flood_with_sessions(&one.request, requests, 1);
    printf("%d of %d requests got a session of %d partitions, %.2f s, %lld KiB\n", given, requests, PLACES,
           monotonic_seconds() - begin, (long long)(memory_now() - before) / 1024);
    ck_assert_int_gt(given, 0);
    ck_assert_int_le(given, SLOTS);
    expect_memory_grown_less(before, MEMORY_MAX);
    expect_honest_client_served();
}
END_TEST

/* ----------------------------------------------------------------------------------------------------------
 */

static void start_broker(void)
{
    arena_init(&arena, NULL);
    memset(huge, '9', HUGE_SIZE);
    served_start(&served, RUNNEL_BINARY, NULL);
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    ck_assert(wire_connect(&honest, served.bootstrap, TIMEOUT_MS));
    load_make_topic(served.bootstrap, "hostile");
    ck_assert_int_eq(produce_to("hostile", SLICE_LITERAL("honest")), ERR_NONE);
}

static void stop_broker(void)
{
    arena_destroy(&arena);
    wire_close(&client);
    wire_close(&honest);
    served_stop(&served);
}

int main(void)
{
    Suite *suite = suite_create("hostile topics");
    TCase *topics = tcase_create("topics"), *sessions = tcase_create("sessions"),
          *large = tcase_create("large");
    tcase_set_timeout(topics, 250);
    tcase_add_unchecked_fixture(topics, start_broker, stop_broker);
    tcase_add_test(topics, internal_topics);
    tcase_add_loop_test(topics, settings_that_are_none, 0, sizeof settings / sizeof *settings);
    tcase_add_test(topics, settings_that_are_none_are_not_described);
    tcase_add_test(topics, nothing_is_logged_unescaped);
    tcase_add_loop_test(topics, counts_beyond_all_bounds, 0, sizeof counts / sizeof *counts);
    tcase_add_test(topics, growth_beyond_all_bounds);
    tcase_add_test(topics, a_partition_twice);
    tcase_add_test(topics, a_hundred_thousand_partitions_in_one_request);
    tcase_add_test(topics, ten_thousand_topics_in_one_call);
    suite_add_tcase(suite, topics);
    tcase_set_timeout(sessions, 250);
    tcase_add_unchecked_fixture(sessions, start_broker, stop_broker);
    tcase_add_test(sessions, sessions_of_others);
    tcase_add_test(sessions, a_session_with_every_request);
    suite_add_tcase(suite, sessions);
    tcase_set_timeout(large, 250);
    tcase_add_unchecked_fixture(large, start_broker, stop_broker); /* anew: all slots are free */
    tcase_add_test(large, large_sessions_with_every_request);
    suite_add_tcase(suite, large);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
