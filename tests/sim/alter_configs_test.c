/* IncrementalAlterConfigs against the whole broker: what each operation makes of a value, what is refused and
 * with which words, that logs act on it at once, and that it is there after a restart and after any power
 * cut. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/describe_configs.h"
#include "codec/incremental_alter_configs.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/sim.h"

enum {
    KEY_DESCRIBE_CONFIGS = 32,
    KEY_ALTER_CONFIGS = 44,
    ALTER_VERSION = 1,
    PRODUCE_VERSION = 9,
    FETCH_VERSION = 12
};
enum { TOPIC = 2, BROKER = 4, BROKER_LOGGER = 8, CLIENT_METRICS = 16, GROUP = 32 };
enum { SET, DELETE, APPEND, SUBTRACT };

static struct sim sim;
static struct sim_client client;
static struct arena arena;

static void begin(const char *settings)
{
    arena_init(&arena, NULL);
    sim_open(&sim, 7, settings);
    sim_connect(&sim, &client);
}

static void set_up(void)
{
    begin("");
}

static void tear_down(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
    arena_destroy(&arena);
}

static void make_topic(const char *name)
{
    struct one_metadata one;
    struct metadata_response told;
    one_metadata(&one, slice_of_string(name));
    ck_assert(sim_call(&client, ONE_METADATA, 9, &one.request, &told));
    ck_assert_int_eq(told.topics[0].error_code, ERR_NONE);
}

/* -- a request in the making ---------------------------------------------------------------------- */

enum { RESOURCES_MAX = 8, CONFIGS_MAX = 16 };

static struct incremental_alter_configs_request asked;
static struct incremental_alter_configs_request_resource resources[RESOURCES_MAX];
static struct incremental_alter_configs_request_config configs[RESOURCES_MAX][CONFIGS_MAX];
static struct incremental_alter_configs_response told;

static void ask_nothing(void)
{
    incremental_alter_configs_request_init(&asked);
    asked.resources = resources;
}

static void add_resource(int8_t type, const char *name)
{
    struct incremental_alter_configs_request_resource *resource = &resources[asked.resources_count];
    incremental_alter_configs_request_resource_init(resource);
    resource->resource_type = type;
    resource->resource_name = slice_of_string(name);
    resource->configs = configs[asked.resources_count++];
}

/* Of the resource added last; value NULL: null. */
static void add_config(const char *name, int8_t operation, const char *value)
{
    struct incremental_alter_configs_request_resource *resource = &resources[asked.resources_count - 1];
    struct incremental_alter_configs_request_config *config = &resource->configs[resource->configs_count++];
    incremental_alter_configs_request_config_init(config);
    config->name = slice_of_string(name);
    config->config_operation = operation;
    config->value = slice_of_string(value);
}

static void call(void)
{
    ck_assert(sim_call(&client, KEY_ALTER_CONFIGS, ALTER_VERSION, &asked, &told));
    ck_assert_int_eq(told.responses_count, asked.resources_count);
}

/* One change of one resource. */
static int16_t alter(int8_t type, const char *resource, const char *name, int8_t operation, const char *value)
{
    ask_nothing();
    add_resource(type, resource);
    add_config(name, operation, value);
    call();
    return told.responses[0].error_code;
}

/* What DescribeConfigs tells of a topic's setting, borrowed until the next call; source: as on the wire. */
static const char *value_of(const char *topic, const char *name, int *source)
{
    static char text[40000];
    struct describe_configs_request request;
    struct describe_configs_request_resource resource;
    struct describe_configs_response response;
    slice key = slice_of_string(name);
    describe_configs_request_init(&request);
    describe_configs_request_resource_init(&resource);
    resource.resource_type = TOPIC;
    resource.resource_name = slice_of_string(topic);
    resource.configuration_keys = &key;
    resource.configuration_keys_count = 1;
    request.resources = &resource;
    request.resources_count = 1;
    ck_assert(sim_call(&client, KEY_DESCRIBE_CONFIGS, 4, &request, &response));
    ck_assert_int_eq(response.results[0].configs_count, 1);
    slice value = response.results[0].configs[0].value;
    snprintf(text, sizeof text, "%.*s", (int)value.size, (const char *)value.data);
    if (source)
        *source = response.results[0].configs[0].config_source;
    return text;
}

/* -- one operation after the other ---------------------------------------------------------------- */

static const struct step {
    const char *shows;
    const char *name;
    int8_t operation;
    const char *value;
    int16_t error_code;
    const char *after; /* the value now */
    int source;        /* and where it comes from: 1 the topic, 5 the default */
} steps[] = {
    { "a value is trimmed", "retention.ms", SET, " 60000", ERR_NONE, "60000", 1 },
    { "the same again", "retention.ms", SET, " 60000", ERR_NONE, "60000", 1 },
    { "another", "retention.ms", SET, "-1", ERR_NONE, "-1", 1 },
    { "deleted, the default is back", "retention.ms", DELETE, "ignored", ERR_NONE, "604800000", 5 },
    { "deleted twice", "retention.ms", DELETE, NULL, ERR_NONE, "604800000", 5 },
    { "a number that is none changes nothing", "retention.ms", SET, "abc", ERR_INVALID_CONFIG, "604800000",
      5 },
    { "an empty one as well", "retention.ms", SET, "", ERR_INVALID_CONFIG, "604800000", 5 },
    { "below its least value", "retention.ms", SET, "-2", ERR_INVALID_CONFIG, "604800000", 5 },
    { "beyond 32 bits", "max.message.bytes", SET, "99999999999", ERR_INVALID_CONFIG, "1048588", 5 },
    { "appended to the default, behind it", "cleanup.policy", APPEND, "compact", ERR_NONE, "delete,compact",
      1 },
    { "what is there already is not appended", "cleanup.policy", APPEND, "compact,compact", ERR_NONE,
      "delete,compact", 1 },
    { "subtracted, what is not there as well", "cleanup.policy", SUBTRACT, "delete,nope", ERR_NONE, "compact",
      1 },
    { "down to an empty list", "cleanup.policy", SUBTRACT, "compact", ERR_NONE, "", 1 },
    { "to an empty list one is appended", "cleanup.policy", APPEND, "delete", ERR_NONE, "delete", 1 },
    { "only commas are nothing", "cleanup.policy", APPEND, ",,", ERR_NONE, "delete", 1 },
    { "nothing is an empty item", "cleanup.policy", APPEND, "", ERR_INVALID_CONFIG, "delete", 1 },
    { "a blank counts", "cleanup.policy", APPEND, " compact", ERR_NONE, "delete,compact", 1 },
    { "and is not found without", "cleanup.policy", SUBTRACT, "compact", ERR_NONE, "delete,compact", 1 },
    { "an unknown word", "cleanup.policy", APPEND, "shred", ERR_INVALID_CONFIG, "delete,compact", 1 },
    { "a list as a whole", "cleanup.policy", SET, "compact , delete,compact", ERR_NONE, "compact,delete", 1 },
    { "deleted", "cleanup.policy", DELETE, NULL, ERR_NONE, "delete", 5 },
    { "subtracted from the default", "cleanup.policy", SUBTRACT, "delete", ERR_NONE, "", 1 },
    { "of three equal ones two", "leader.replication.throttled.replicas", SET, "0:1,1:1,0:1,0:1", ERR_NONE,
      "0:1,1:1", 1 },
    { "go, the first ones", "leader.replication.throttled.replicas", SUBTRACT, "0:1,0:1", ERR_NONE, "1:1,0:1",
      1 },
    { "appended in their order", "leader.replication.throttled.replicas", APPEND, "9:9,1:1,2:2,9:9", ERR_NONE,
      "1:1,0:1,9:9,2:2", 1 },
    { "a star stands alone", "leader.replication.throttled.replicas", APPEND, "*", ERR_INVALID_CONFIG,
      "1:1,0:1,9:9,2:2", 1 },
    { "no list", "retention.ms", APPEND, "5", ERR_INVALID_CONFIG, "604800000", 5 },
    { "no list either", "retention.ms", SUBTRACT, "5", ERR_INVALID_CONFIG, "604800000", 5 },
    { "a number with a fraction", "min.cleanable.dirty.ratio", SET, ".50", ERR_NONE, "0.5", 1 },
    { "above its largest value", "min.cleanable.dirty.ratio", SET, "1.5", ERR_INVALID_CONFIG, "0.5", 1 },
    { "yes or no", "preallocate", SET, "TRUE", ERR_NONE, "true", 1 },
    { "neither", "preallocate", SET, "yes", ERR_INVALID_CONFIG, "true", 1 },
    { "refused: nothing is tiered here", "remote.storage.enable", SET, "true", ERR_INVALID_CONFIG, "false",
      5 },
    { "what it is anyway", "remote.storage.enable", SET, "false", ERR_NONE, "false", 1 },
    { "no such operation", "retention.ms", 4, "5", ERR_INVALID_REQUEST, "604800000", 5 },
    { "nor this", "retention.ms", -1, "5", ERR_INVALID_REQUEST, "604800000", 5 },
};

START_TEST(operations)
{
    make_topic("orders");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const struct step *step = &steps[i];
        int source;
        int16_t error_code = alter(TOPIC, "orders", step->name, step->operation, step->value);
        ck_assert_msg(error_code == step->error_code, "%s: %s", step->shows, error_name(error_code));
        ck_assert_msg(slice_is_null(told.responses[0].error_message) == (error_code == ERR_NONE), "%s",
                      step->shows);
        const char *after = value_of("orders", step->name, &source);
        ck_assert_msg(strcmp(after, step->after) == 0, "%s: %s", step->shows, after);
        ck_assert_msg(source == step->source, "%s: source %d", step->shows, source);
    }
}
END_TEST

/* -- what is refused, in Kafka's words ------------------------------------------------------------ */

static const struct refusal {
    int8_t type;
    const char *resource;
    const char *name;
    int8_t operation;
    const char *value;
    int16_t error_code;
    const char *message; /* its beginning */
} refusals[] = {
    { TOPIC, "orders", "retention.ms", APPEND, "5", ERR_INVALID_CONFIG,
      "Can't APPEND to key retention.ms because its type is not LIST." },
    { TOPIC, "orders", "nope", SUBTRACT, "5", ERR_INVALID_CONFIG,
      "Can't SUBTRACT to key nope because its type is not LIST." },
    { TOPIC, "orders", "nope", SET, "5", ERR_INVALID_CONFIG, "Unknown topic config name: nope" },
    { TOPIC, "orders", "", SET, "5", ERR_INVALID_CONFIG, "Unknown topic config name: " },
    { TOPIC, "orders", "retention.ms", SET, NULL, ERR_INVALID_REQUEST,
      "Null value not supported for : retention.ms" },
    { TOPIC, "orders", "cleanup.policy", APPEND, NULL, ERR_INVALID_REQUEST,
      "Null value not supported for : cleanup.policy" },
    { TOPIC, "orders", "retention.ms", SET, "abc", ERR_INVALID_CONFIG,
      "Invalid value abc for configuration retention.ms: Not a number of type LONG" },
    { TOPIC, "orders", "segment.bytes", SET, "1000", ERR_INVALID_CONFIG,
      "Invalid value 1000 for configuration segment.bytes: Value must be at least 1048576" },
    { TOPIC, "orders", "compression.type", SET, "brotli", ERR_INVALID_CONFIG,
      "Invalid value brotli for configuration compression.type: String must be one of: uncompressed, zstd, "
      "lz4, snappy, "
      "gzip, producer" },
    { TOPIC, "missing", "retention.ms", SET, "5", ERR_UNKNOWN_TOPIC_OR_PARTITION,
      "The topic 'missing' does not exist." },
    { TOPIC, "missing", "retention.ms", SET, "x", ERR_INVALID_CONFIG, "Invalid value x" },
    { TOPIC, "missing", "nope", SET, "x", ERR_INVALID_CONFIG, "Unknown topic config name: nope" },
    { TOPIC, "missing", "retention.ms", DELETE, NULL, ERR_UNKNOWN_TOPIC_OR_PARTITION, "The topic" },
    { TOPIC, "bad name", "retention.ms", SET, "5", ERR_INVALID_TOPIC_EXCEPTION, "Topic name is invalid" },
    { TOPIC, "", "retention.ms", SET, "5", ERR_INVALID_REQUEST, "Default topic resources are not allowed." },
    { TOPIC, "__cluster_metadata", "retention.ms", SET, "5", ERR_UNKNOWN_TOPIC_OR_PARTITION, "The topic" },
    { BROKER, "x", "log.retention.ms", SET, "5", ERR_INVALID_REQUEST,
      "Node id must be an integer, but it is: x" },
    { BROKER, "5", "log.retention.ms", SET, "5", ERR_INVALID_REQUEST,
      "Unexpected broker id, expected 1, but received 5" },
    { BROKER, "1", "log.retention.ms", SET, "5", ERR_INVALID_REQUEST,
      "Cannot update these configs dynamically: log.retention.ms." },
    { BROKER, "", "log.retention.ms", DELETE, NULL, ERR_INVALID_REQUEST,
      "Cannot update these configs dynamically" },
    { BROKER_LOGGER, "x", "root", SET, "INFO", ERR_INVALID_REQUEST,
      "Node id must be an integer, but it is: x" },
    { BROKER_LOGGER, "5", "root", SET, "INFO", ERR_INVALID_REQUEST,
      "Unexpected node id. Expected 1, but received 5" },
    { BROKER_LOGGER, "1", "root", SET, "INFO", ERR_INVALID_CONFIG, "Logger root does not exist!" },
    { BROKER_LOGGER, "1", "root", APPEND, "INFO", ERR_INVALID_REQUEST,
      "APPEND operation is not allowed for the BROKER_LOGGER resource" },
    { CLIENT_METRICS, "", "match", SET, "a=b", ERR_INVALID_REQUEST, "Subscription name can't be empty" },
    { CLIENT_METRICS, "all", "match", SET, "a=b", ERR_INVALID_REQUEST, "Client metrics" },
    { GROUP, "", "consumer.session.timeout.ms", SET, "50000", ERR_INVALID_REQUEST,
      "Default group resources are not allowed." },
    { 0, "x", "a", SET, "b", ERR_INVALID_REQUEST, "Unknown resource type 0" },
    { 3, "x", "a", SET, "b", ERR_INVALID_REQUEST, "Unknown resource type 3" },
    { -1, "x", "a", SET, "b", ERR_INVALID_REQUEST, "Unknown resource type -1" },
};

START_TEST(refused_in_kafkas_words)
{
    make_topic("orders");
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *row = &refusals[i];
        int16_t error_code = alter(row->type, row->resource, row->name, row->operation, row->value);
        slice message = told.responses[0].error_message;
        ck_assert_msg(error_code == row->error_code, "%s: %s", row->message, error_name(error_code));
        ck_assert_msg(message.size >= strlen(row->message) &&
                          memcmp(message.data, row->message, strlen(row->message)) == 0,
                      "%s: %.*s", row->message, (int)message.size, (const char *)message.data);
    }
}
END_TEST

/* Nothing to change is no error, whatever has the settings. */
START_TEST(nothing_to_change)
{
    static const struct {
        int8_t type;
        const char *name;
    } rows[] = { { BROKER, "1" },         { BROKER, "" }, { BROKER_LOGGER, "1" },
                 { CLIENT_METRICS, "m" }, { GROUP, "g" }, { TOPIC, "orders" } };
    make_topic("orders");
    ask_nothing();
    call();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        add_resource(rows[i].type, rows[i].name);
    call();
    for (int32_t i = 0; i < told.responses_count; i++) {
        ck_assert_int_eq(told.responses[i].error_code, ERR_NONE);
        ck_assert_int_eq(told.responses[i].resource_type, rows[i].type);
        ck_assert(slice_equal_string(told.responses[i].resource_name, rows[i].name));
    }
}
END_TEST

/* -- several at once ------------------------------------------------------------------------------ */

START_TEST(each_resource_is_all_or_nothing)
{
    make_topic("a");
    make_topic("b");
    ask_nothing();
    add_resource(TOPIC, "a");
    add_config("retention.ms", SET, "78");
    add_config("cleanup.policy", APPEND, "compact");
    add_resource(TOPIC, "b");
    add_config("retention.ms", SET, "79");
    add_config("segment.ms", SET, "never");
    call();
    ck_assert_int_eq(told.responses[0].error_code, ERR_NONE);
    ck_assert_int_eq(told.responses[1].error_code, ERR_INVALID_CONFIG);
    ck_assert_str_eq(value_of("a", "retention.ms", NULL), "78");
    ck_assert_str_eq(value_of("a", "cleanup.policy", NULL), "delete,compact");
    ck_assert_str_eq(value_of("b", "retention.ms", NULL), "604800000");
}
END_TEST

START_TEST(settings_that_contradict_each_other)
{
    make_topic("orders");
    ask_nothing();
    add_resource(TOPIC, "orders");
    add_config("min.compaction.lag.ms", SET, "10");
    add_config("max.compaction.lag.ms", SET, "5");
    call();
    ck_assert_int_eq(told.responses[0].error_code, ERR_INVALID_CONFIG);
    ck_assert_int_eq(alter(TOPIC, "orders", "max.compaction.lag.ms", SET, "5"), ERR_NONE);
    ck_assert_int_eq(alter(TOPIC, "orders", "min.compaction.lag.ms", SET, "10"),
                     ERR_INVALID_CONFIG); /* stored ones count */
}
END_TEST

START_TEST(mentioned_twice)
{
    make_topic("a");
    make_topic("b");
    ask_nothing();
    add_resource(TOPIC, "a");
    add_config("retention.ms", SET, "5");
    add_resource(TOPIC, "b");
    add_config("retention.ms", SET, "6");
    add_config("segment.ms", SET, "6000");
    add_config("retention.ms", DELETE, NULL);
    add_resource(TOPIC, "a");
    add_config("segment.ms", SET, "7");
    add_resource(GROUP, "a");
    call();
    ck_assert_int_eq(told.responses[0].error_code, ERR_INVALID_REQUEST);
    ck_assert(slice_equal_string(told.responses[0].error_message, "Each resource must appear at most once."));
    ck_assert(slice_equal_string(told.responses[1].error_message, "Error due to duplicate config keys"));
    ck_assert_int_eq(told.responses[2].error_code, ERR_INVALID_REQUEST);
    ck_assert_int_eq(told.responses[3].error_code, ERR_NONE); /* another kind of the same name */
    ck_assert_str_eq(value_of("a", "retention.ms", NULL), "604800000");
    ck_assert_str_eq(value_of("b", "segment.ms", NULL), "604800000");
}
END_TEST

START_TEST(validate_only_changes_nothing)
{
    make_topic("orders");
    ask_nothing();
    asked.validate_only = true;
    add_resource(TOPIC, "orders");
    add_config("retention.ms", SET, "77");
    add_config("flush.messages", SET, "1000");
    add_resource(TOPIC, "missing");
    call();
    ck_assert_int_eq(told.responses[0].error_code, ERR_NONE);
    ck_assert_int_eq(told.responses[1].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_str_eq(value_of("orders", "retention.ms", NULL), "604800000");
    ck_assert_str_eq(value_of("orders", "flush.messages", NULL), "1");
}
END_TEST

/* Both are under way before the first is decided. */
START_TEST(two_appends_both_count)
{
    struct sim_client other;
    make_topic("orders");
    ck_assert_int_eq(alter(TOPIC, "orders", "leader.replication.throttled.replicas", SET, "0:1"), ERR_NONE);
    sim_connect(&sim, &other);
    ask_nothing();
    add_resource(TOPIC, "orders");
    add_config("leader.replication.throttled.replicas", APPEND, "1:1");
    ck_assert(sim_send(&client, KEY_ALTER_CONFIGS, ALTER_VERSION, &asked));
    configs[0][0].value = SLICE_LITERAL("2:1");
    ck_assert(sim_send(&other, KEY_ALTER_CONFIGS, ALTER_VERSION, &asked));
    ck_assert(sim_receive(&client, KEY_ALTER_CONFIGS, ALTER_VERSION, &told));
    ck_assert_int_eq(told.responses[0].error_code, ERR_NONE);
    ck_assert(sim_receive(&other, KEY_ALTER_CONFIGS, ALTER_VERSION, &told));
    ck_assert_int_eq(told.responses[0].error_code, ERR_NONE);
    const char *value = value_of("orders", "leader.replication.throttled.replicas", NULL);
    ck_assert_msg(strstr(value, "1:1") && strstr(value, "2:1"), "%s", value);
    sim_disconnect(&other);
}
END_TEST

/* A string on the wire has at most 32,767 bytes; only by appending could a value become longer. */
START_TEST(values_too_long)
{
    static char replicas[2][32000];
    static const char name[] = "leader.replication.throttled.replicas";
    make_topic("orders");
    for (int part = 0; part < 2; part++)
        for (size_t at = 0; at + 8 < sizeof replicas[0];)
            at += (size_t)sprintf(replicas[part] + at, "%s%d%zu:1", at ? "," : "", part + 1, at);
    ck_assert_int_eq(alter(TOPIC, "orders", name, APPEND, replicas[0]), ERR_NONE);
    ck_assert_int_eq(alter(TOPIC, "orders", name, APPEND, replicas[1]), ERR_INVALID_CONFIG);
    ck_assert(slice_equal_string(
        told.responses[0].error_message,
        "The configuration value cannot be added because it exceeds the maximum value size "
        "of 32767 bytes."));
    ck_assert_str_eq(value_of("orders", name, NULL), replicas[0]);
    ck_assert_int_eq(alter(TOPIC, "orders", name, SUBTRACT, replicas[0]), ERR_NONE);
    ck_assert_str_eq(value_of("orders", name, NULL), "");
}
END_TEST

START_TEST(settings_outlive_a_restart)
{
    make_topic("orders");
    ck_assert_int_eq(alter(TOPIC, "orders", "retention.ms", SET, "1234"), ERR_NONE);
    ck_assert_int_eq(alter(TOPIC, "orders", "segment.ms", SET, "5678"), ERR_NONE);
    ck_assert_int_eq(alter(TOPIC, "orders", "segment.ms", DELETE, NULL), ERR_NONE);
    for (int round = 0; round < 2; round++) {
        sim_disconnect(&client);
        if (round == 0)
            sim_restart(&sim);
        else
            sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
        sim_connect(&sim, &client);
        ck_assert_str_eq(value_of("orders", "retention.ms", NULL), "1234");
        ck_assert_str_eq(value_of("orders", "segment.ms", NULL), "604800000");
    }
}
END_TEST

START_TEST(internal_topics_may_be_changed)
{
    make_topic("__consumer_offsets");
    ck_assert_str_eq(value_of("__consumer_offsets", "cleanup.policy", NULL), "compact");
    ck_assert_int_eq(alter(TOPIC, "__consumer_offsets", "segment.bytes", SET, "2000000"), ERR_NONE);
    ck_assert_str_eq(value_of("__consumer_offsets", "segment.bytes", NULL), "2000000");
}
END_TEST

/* -- logs act on it at once ----------------------------------------------------------------------- */

static const struct partition_metadata *partition_of(const char *topic)
{
    const struct topic *found =
        image_topic_by_name(controller_image(sim.server->controller), slice_of_string(topic));
    ck_assert_ptr_nonnull(found);
    return &found->partitions[0];
}

static void send_records(struct sim_client *from, const char *topic, int count)
{
    static const struct batch_builder_options no_producer = { NO_PRODUCER };
    struct one_produce one;
    struct batch_view batch = small_batch(&arena, &no_producer, count);
    one_produce(&one, topic, 0, batch_bytes(&batch));
    ck_assert(sim_send(from, ONE_PRODUCE, PRODUCE_VERSION, &one.request));
}

static struct produce_response_partition receive_produced(struct sim_client *from)
{
    struct produce_response response;
    ck_assert_msg(sim_receive(from, ONE_PRODUCE, PRODUCE_VERSION, &response), "a producer hangs");
    return response.topics[0].partitions[0];
}

static struct produce_response_partition produce(const char *topic, int count)
{
    send_records(&client, topic, count);
    return receive_produced(&client);
}

static int codec_of_newest(const char *topic)
{
    struct one_fetch one;
    struct fetch_response response;
    one_fetch(&one, topic, 0, log_offsets(partition_of(topic)->partition->log).end - 1);
    ck_assert(sim_call(&client, ONE_FETCH, FETCH_VERSION, &one.request, &response));
    struct batch_view batch;
    ck_assert_int_eq(batch_view(response.topics[0].partitions[0].records.bytes, &batch), BATCH_OK);
    return batch.attributes & 7;
}

START_TEST(producers_meet_the_new_settings)
{
    make_topic("orders");
    ck_assert_int_eq(produce("orders", 10).error_code, ERR_NONE);
    ck_assert_int_eq(alter(TOPIC, "orders", "max.message.bytes", SET, "100"), ERR_NONE);
    ck_assert_int_eq(produce("orders", 10).error_code, ERR_MESSAGE_TOO_LARGE);
    ck_assert_int_eq(alter(TOPIC, "orders", "max.message.bytes", DELETE, NULL), ERR_NONE);
    ck_assert_int_eq(produce("orders", 10).log_append_time_ms, -1);

    ck_assert_int_eq(alter(TOPIC, "orders", "message.timestamp.type", SET, "LogAppendTime"), ERR_NONE);
    ck_assert_int_gt(produce("orders", 10).log_append_time_ms, 0);
    ck_assert_int_eq(codec_of_newest("orders"), CODEC_NONE);
    ck_assert_int_eq(alter(TOPIC, "orders", "compression.type", SET, "gzip"), ERR_NONE);
    ck_assert_int_eq(produce("orders", 10).error_code, ERR_NONE);
    ck_assert_int_eq(codec_of_newest("orders"), CODEC_GZIP);
}
END_TEST

START_TEST(segments_take_their_new_size)
{
    make_topic("orders");
    for (int i = 0; i < 4; i++)
        produce("orders", 10);
    ck_assert_uint_eq(log_stats(partition_of("orders")->partition->log).segment_count, 1);
    ck_assert_int_eq(alter(TOPIC, "orders", "internal.segment.bytes", SET, "300"), ERR_NONE);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(produce("orders", 10).error_code, ERR_NONE);
    ck_assert_uint_ge(log_stats(partition_of("orders")->partition->log).segment_count, 4);
}
END_TEST

/* The high watermark of a durable log is its durable end, of another one its end. */
static void check_offsets(const char *topic, bool is_durable)
{
    const struct log *log = partition_of(topic)->partition->log;
    struct log_offsets offsets = log_offsets(log);
    ck_assert_int_eq(log_is_durable_mode(log), is_durable);
    ck_assert_int_eq(offsets.high_watermark, offsets.end);
    if (is_durable)
        ck_assert_int_eq(offsets.durable, offsets.end);
}

/* Producers wait for a flush while it is no longer asked for, and are told while it begins to be: each order
 * in which workers and connections may run has its seed. */
START_TEST(producers_wait_over_a_change)
{
    enum { PRODUCERS = 3 };
    struct sim_client producers[PRODUCERS];
    arena_init(&arena, NULL);
    sim_open(&sim, 100 + (uint64_t)_i, _i % 2 ? "log.flush.interval.messages=1000000\n" : "");
    sim_connect(&sim, &client);
    make_topic("orders");
    for (int round = 0; round < 6; round++) {
        bool to_durable = (round + _i) % 2 != 0;
        for (int i = 0; i < PRODUCERS; i++) {
            sim_connect(&sim, &producers[i]);
            send_records(&producers[i], "orders", 2);
            for (int step = 0; step < _i % 7; step++)
                server_step(sim.server);
        }
        ck_assert_int_eq(alter(TOPIC, "orders", "flush.messages", SET, to_durable ? "1" : "1000000"),
                         ERR_NONE);
        for (int i = 0; i < PRODUCERS; i++) {
            ck_assert_int_eq(receive_produced(&producers[i]).error_code, ERR_NONE);
            sim_disconnect(&producers[i]);
        }
        sim_settle(&sim);
        check_offsets("orders", to_durable);
    }
    tear_down();
}
END_TEST

/* -- the power fails ------------------------------------------------------------------------------ */

/* Consumers saw three records of a topic that answers from the page cache; then it becomes durable. Wherever
 * the power fails: a topic that comes back as a durable one, whose recovery tells of no loss, has them. */
START_TEST(power_cuts_while_a_topic_becomes_durable)
{
    struct random random;
    make_topic("orders");
    ck_assert_int_eq(alter(TOPIC, "orders", "flush.messages", SET, "1000000"), ERR_NONE);
    produce("orders", 3);
    ck_assert_int_eq(log_offsets(partition_of("orders")->partition->log).high_watermark, 3);
    uint64_t first = file_double_operation_count(sim.disk);
    ck_assert_int_eq(alter(TOPIC, "orders", "flush.messages", SET, "1"), ERR_NONE);
    uint64_t committed = file_double_operation_count(sim.disk);
    produce("orders", 2);
    uint64_t last = file_double_operation_count(sim.disk);
    sim_disconnect(&client);
    struct file_double *disk = sim_stop(&sim);
    bool was_lost = false, was_durable = false;
    random_seed(&random, 1);
    for (uint64_t operation = first; operation <= last; operation++) {
        sim_start_on(&sim, file_double_after_cut(disk, operation, FILE_DOUBLE_LOSE_ALL, &random));
        const struct partition_metadata *partition = partition_of("orders");
        int64_t end = log_offsets(partition->partition->log).end;
        bool is_durable = log_is_durable_mode(partition->partition->log);
        was_lost = was_lost || end < 3;
        was_durable = was_durable || is_durable;
        ck_assert_msg(!is_durable || end >= 3, "operation %llu", (unsigned long long)operation);
        ck_assert(operation < committed || end >= 3);
        ck_assert(operation < last || end == 5);
        file_double_destroy(sim_stop(&sim));
    }
    ck_assert(was_lost && was_durable); /* else nothing was shown */
    sim_start_on(&sim, disk);
    sim_connect(&sim, &client);
}
END_TEST

int main(void)
{
    enum { ORDERS = 60 };
    Suite *suite = suite_create("alter configs");
    TCase *tests = tcase_create("topics");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, operations);
    tcase_add_test(tests, refused_in_kafkas_words);
    tcase_add_test(tests, nothing_to_change);
    tcase_add_test(tests, each_resource_is_all_or_nothing);
    tcase_add_test(tests, settings_that_contradict_each_other);
    tcase_add_test(tests, mentioned_twice);
    tcase_add_test(tests, validate_only_changes_nothing);
    tcase_add_test(tests, two_appends_both_count);
    tcase_add_test(tests, values_too_long);
    tcase_add_test(tests, settings_outlive_a_restart);
    tcase_add_test(tests, internal_topics_may_be_changed);
    tcase_add_test(tests, producers_meet_the_new_settings);
    tcase_add_test(tests, segments_take_their_new_size);
    tcase_add_test(tests, power_cuts_while_a_topic_becomes_durable);
    suite_add_tcase(suite, tests);
    tests = tcase_create("orders");
    tcase_add_loop_test(tests, producers_wait_over_a_change, 0, ORDERS);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
