/* DescribeConfigs, DescribeCluster, DescribeTopicPartitions and OffsetForLeaderEpoch against the whole
 * broker. What is expected is what Apache Kafka 4.2 answered to the same requests. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config.h"
#include "codec/describe_cluster.h"
#include "codec/describe_configs.h"
#include "codec/describe_topic_partitions.h"
#include "codec/incremental_alter_configs.h"
#include "codec/offset_for_leader_epoch.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/sim.h"

enum {
    KEY_OFFSET_FOR_LEADER_EPOCH = 23,
    KEY_DESCRIBE_CONFIGS = 32,
    KEY_ALTER_CONFIGS = 44,
    KEY_DESCRIBE_CLUSTER = 60,
    KEY_DESCRIBE_TOPIC_PARTITIONS = 75,
};
enum { TOPIC = 2, BROKER = 4, BROKER_LOGGER = 8, CLIENT_METRICS = 16, GROUP = 32 };
enum { FROM_TOPIC = 1, FROM_STATIC = 4, FROM_DEFAULT = 5, TOPIC_SETTINGS = 33 };

static struct sim sim;
static struct sim_client client;
static struct arena arena;

static void begin(const char *settings)
{
    arena_init(&arena, NULL);
    sim_open(&sim, 9, settings);
    sim_connect(&sim, &client);
}

static void set_up(void)
{
    begin("num.partitions=3\nlog.retention.hours=24\nlog.roll.ms=5000\nssl.key.password=\n");
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

/* value NULL: back to the default. */
static void set_config(const char *topic, const char *name, const char *value)
{
    struct incremental_alter_configs_request request;
    struct incremental_alter_configs_request_resource resource;
    struct incremental_alter_configs_request_config config;
    struct incremental_alter_configs_response told;
    incremental_alter_configs_request_init(&request);
    incremental_alter_configs_request_resource_init(&resource);
    incremental_alter_configs_request_config_init(&config);
    config.name = slice_of_string(name);
    config.value = slice_of_string(value);
    config.config_operation = value ? 0 : 1;
    resource.resource_type = TOPIC;
    resource.resource_name = slice_of_string(topic);
    resource.configs = &config;
    resource.configs_count = 1;
    request.resources = &resource;
    request.resources_count = 1;
    ck_assert(sim_call(&client, KEY_ALTER_CONFIGS, 1, &request, &told));
    ck_assert_int_eq(told.responses[0].error_code, ERR_NONE);
}

/* -- what the authoriser of a test denies --------------------------------------------------------- */

static const char *denied_names[4];

static bool deny_names(void *context, const struct conn *conn, enum acl_operation op, int resource_type,
                       slice name)
{
    (void)context;
    (void)conn;
    (void)op;
    (void)resource_type;
    for (size_t i = 0; i < sizeof denied_names / sizeof *denied_names; i++)
        if (denied_names[i] && slice_equal_string(name, denied_names[i]))
            return false;
    return true;
}

static void deny(const char *name, const char *other)
{
    denied_names[0] = name;
    denied_names[1] = other;
    sim.server->authorize = deny_names;
}

/* -- DescribeConfigs ------------------------------------------------------------------------------ */

static struct describe_configs_request asked;
static struct describe_configs_request_resource resources[8];
static struct describe_configs_response told;

static void ask_nothing(bool everything)
{
    describe_configs_request_init(&asked);
    asked.resources = resources;
    asked.include_synonyms = asked.include_documentation = everything;
}

/* keys NULL: all. */
static void add_resource(int8_t type, const char *name, slice *keys, int32_t key_count)
{
    struct describe_configs_request_resource *resource = &resources[asked.resources_count++];
    describe_configs_request_resource_init(resource);
    resource->resource_type = type;
    resource->resource_name = slice_of_string(name);
    resource->configuration_keys = keys;
    resource->configuration_keys_count = keys ? key_count : -1;
}

static void call(int16_t version)
{
    if (version < 3)
        asked.include_documentation = false;
    ck_assert(sim_call(&client, KEY_DESCRIBE_CONFIGS, version, &asked, &told));
    ck_assert_int_eq(told.results_count, asked.resources_count);
}

static const struct describe_configs_response_config *setting(int32_t result, const char *name)
{
    for (int32_t i = 0; i < told.results[result].configs_count; i++)
        if (slice_equal_string(told.results[result].configs[i].name, name))
            return &told.results[result].configs[i];
    return NULL;
}

static void describe(int8_t type, const char *name)
{
    ask_nothing(true);
    add_resource(type, name, NULL, 0);
    call(4);
    ck_assert_int_eq(told.results[0].error_code, ERR_NONE);
}

/* Synonyms as "name=value(source) ...". */
static const char *chain_text(const struct describe_configs_response_config *config)
{
    static char text[512];
    size_t at = 0;
    text[0] = '\0';
    for (int32_t i = 0; i < config->synonyms_count; i++) {
        const struct describe_configs_response_synonym *synonym = &config->synonyms[i];
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s=%.*s(%d) ", (int)synonym->name.size,
                               (const char *)synonym->name.data, (int)synonym->value.size,
                               (const char *)synonym->value.data, synonym->source);
    }
    return text;
}

struct told_row {
    const char *name;
    const char *value;
    int source;
    int type;
    const char *chain;
};

static void check_told(const struct told_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct describe_configs_response_config *config = setting(0, rows[i].name);
        ck_assert_msg(config != NULL, "%s", rows[i].name);
        ck_assert_msg(slice_equal_string(config->value, rows[i].value), "%s: %.*s", rows[i].name,
                      (int)config->value.size, (const char *)config->value.data);
        ck_assert_msg(config->config_source == rows[i].source, "%s: source %d", rows[i].name,
                      config->config_source);
        ck_assert_msg(config->config_type == rows[i].type, "%s: type %d", rows[i].name, config->config_type);
        ck_assert_str_eq(chain_text(config), rows[i].chain);
    }
}

/* The broker's retention is in hours, its roll in ms: of the twins in other units Kafka tells what stands
 * behind the first mention of the setting's own name. */
START_TEST(settings_of_a_topic)
{
    static const struct told_row rows[] = {
        { "cleanup.policy", "delete,compact", FROM_TOPIC, 7,
          "cleanup.policy=delete,compact(1) log.cleanup.policy=delete(5) " },
        { "retention.ms", "86400000", FROM_DEFAULT, 5, "" },
        { "segment.ms", "5000", FROM_STATIC, 5, "log.roll.ms=5000(4) log.roll.hours=168(5) " },
        { "segment.jitter.ms", "0", FROM_DEFAULT, 5, "" },
        { "flush.messages", "1", FROM_DEFAULT, 5, "log.flush.interval.messages=1(5) " },
        { "min.cleanable.dirty.ratio", "0.5", FROM_DEFAULT, 6, "log.cleaner.min.cleanable.ratio=0.5(5) " },
        { "max.message.bytes", "1048588", FROM_DEFAULT, 3, "message.max.bytes=1048588(5) " },
        { "preallocate", "false", FROM_DEFAULT, 1, "log.preallocate=false(5) " },
        { "compression.type", "producer", FROM_DEFAULT, 2, "compression.type=producer(5) " },
        { "leader.replication.throttled.replicas", "", FROM_DEFAULT, 7, "" },
        { "remote.storage.enable", "false", FROM_DEFAULT, 1, "" },
    };
    make_topic("orders");
    set_config("orders", "cleanup.policy", "delete , compact");
    describe(TOPIC, "orders");
    ck_assert_int_eq(told.results[0].error_message.size, 0);
    ck_assert_int_eq(told.results[0].configs_count, TOPIC_SETTINGS);
    check_told(rows, sizeof rows / sizeof *rows);
    for (int32_t i = 0; i < told.results[0].configs_count; i++) {
        const struct describe_configs_response_config *config = &told.results[0].configs[i];
        ck_assert(!config->read_only && !config->is_sensitive);
        ck_assert_uint_gt(config->documentation.size, 10);
    }
    ck_assert_ptr_null(setting(0, "internal.segment.bytes")); /* internal: only when it is set */
    set_config("orders", "internal.segment.bytes", "4096");
    set_config("orders", "retention.ms", "7");
    describe(TOPIC, "orders");
    ck_assert_int_eq(told.results[0].configs_count, TOPIC_SETTINGS + 1);
    static const struct told_row set[] = {
        { "internal.segment.bytes", "4096", FROM_TOPIC, 3, "internal.segment.bytes=4096(1) " },
        { "retention.ms", "7", FROM_TOPIC, 5, "retention.ms=7(1) " },
    };
    check_told(set, 2);
}
END_TEST

START_TEST(every_version_tells_what_it_has)
{
    make_topic("orders");
    for (int16_t version = 1; version <= 4; version++) {
        for (int everything = 0; everything < 2; everything++) {
            ask_nothing(everything);
            add_resource(TOPIC, "orders", NULL, 0);
            call(version);
            const struct describe_configs_response_config *config = setting(0, "flush.messages");
            ck_assert_ptr_nonnull(config);
            ck_assert_int_eq(config->synonyms_count, everything ? 1 : 0);
            ck_assert_int_eq(config->config_type, version >= 3 ? 5 : 0);
            ck_assert_int_eq(config->documentation.size > 0, version >= 3 && everything);
            ck_assert_int_eq(config->config_source, FROM_DEFAULT);
        }
    }
}
END_TEST

START_TEST(keys_choose)
{
    static slice keys[] = { SLICE_LITERAL("retention.ms"), SLICE_LITERAL("nope"),
                            SLICE_LITERAL("cleanup.policy"), SLICE_LITERAL("retention.ms"),
                            SLICE_LITERAL("") };
    make_topic("orders");
    ask_nothing(false);
    add_resource(TOPIC, "orders", keys, 5);
    add_resource(TOPIC, "orders", keys, 0); /* none asks for all, as null does */
    add_resource(TOPIC, "orders", keys + 1, 1);
    add_resource(BROKER, "1", keys, 5);
    call(4);
    ck_assert_int_eq(told.results[0].configs_count, 2);
    ck_assert(slice_equal_string(told.results[0].configs[0].name, "cleanup.policy"));
    ck_assert(slice_equal_string(told.results[0].configs[1].name, "retention.ms"));
    ck_assert_int_eq(told.results[1].configs_count, TOPIC_SETTINGS);
    ck_assert_int_eq(told.results[2].configs_count, 0);
    ck_assert_int_eq(told.results[2].error_code, ERR_NONE);
    ck_assert_int_eq(told.results[3].configs_count, 0); /* topics' names are none of a broker's */
}
END_TEST

START_TEST(settings_of_the_broker)
{
    static const struct told_row rows[] = {
        { "num.partitions", "3", FROM_STATIC, 3, "num.partitions=3(4) num.partitions=1(5) " },
        { "log.retention.hours", "24", FROM_STATIC, 3,
          "log.retention.hours=24(4) log.retention.hours=168(5) " },
        { "message.max.bytes", "1048588", FROM_DEFAULT, 3, "message.max.bytes=1048588(5) " },
        { "broker.id", "-1", FROM_DEFAULT, 3, "broker.id=-1(5) " },
    };
    describe(BROKER, "1");
    ck_assert_int_gt(told.results[0].configs_count, 250);
    check_told(rows, sizeof rows / sizeof *rows);
    ck_assert(setting(0, "num.partitions")->read_only);
    ck_assert(!setting(0, "message.max.bytes")->read_only);     /* cluster-wide */
    ck_assert(!setting(0, "ssl.keystore.location")->read_only); /* per broker */
    ck_assert(slice_is_null(setting(0, "broker.rack")->value));
    const struct describe_configs_response_config *password = setting(0, "ssl.keystore.password");
    ck_assert(password->is_sensitive && slice_is_null(password->value));
    ck_assert_int_eq(password->config_type, 9);
    ck_assert_ptr_null(setting(0, "unstable.api.versions.enable")); /* internal */
    for (int32_t i = 1; i < told.results[0].configs_count; i++) {
        slice a = told.results[0].configs[i - 1].name, b = told.results[0].configs[i].name;
        ck_assert_int_lt(memcmp(a.data, b.data, a.size < b.size ? a.size : b.size), 1);
    }
}
END_TEST

/* Kafka has one id under two names. */
START_TEST(broker_id_is_node_id)
{
    static const struct told_row by_node[] = { { "broker.id", "5", FROM_STATIC, 3,
                                                 "broker.id=5(4) broker.id=-1(5) " } };
    static const struct told_row by_broker[] = { { "node.id", "6", FROM_STATIC, 3,
                                                   "node.id=6(4) node.id=1(5) " } };
    begin("node.id=5\n");
    describe(BROKER, "5");
    check_told(by_node, 1);
    tear_down();
    begin("broker.id=6\n");
    describe(BROKER, "+6");
    check_told(by_broker, 1);
    tear_down();
}
END_TEST

static const struct {
    int8_t type;
    const char *name;
    int16_t error_code;
    const char *message; /* its beginning */
    int config_count;    /* without an error */
} others[] = {
    { TOPIC, "missing", ERR_UNKNOWN_TOPIC_OR_PARTITION, "This ", 0 },
    { TOPIC, "bad name", ERR_INVALID_TOPIC_EXCEPTION, "Topic name is invalid: ", 0 },
    { TOPIC, "", ERR_INVALID_TOPIC_EXCEPTION, "Topic name is invalid: ", 0 },
    { TOPIC, "..", ERR_INVALID_TOPIC_EXCEPTION, "Topic name is invalid: ", 0 },
    { BROKER, "", ERR_NONE, "", 0 }, /* what brokers have by default was never set while they ran */
    { BROKER, "2", ERR_INVALID_REQUEST, "Unexpected broker id, expected 1 or empty string, but received 2",
      0 },
    { BROKER, "x", ERR_INVALID_REQUEST, "Broker id must be an integer, but it is: x", 0 },
    { BROKER, " 1", ERR_INVALID_REQUEST, "Broker id must be an integer, but it is:  1", 0 },
    { BROKER_LOGGER, "", ERR_INVALID_REQUEST, "Broker id must not be empty", 0 },
    { BROKER_LOGGER, "2", ERR_INVALID_REQUEST, "Unexpected broker id, expected 1 but received 2", 0 },
    { BROKER_LOGGER, "x", ERR_INVALID_REQUEST, "Broker id must be an integer, but it is: x", 0 },
    { BROKER_LOGGER, "1", ERR_NONE, "", 0 },
    { CLIENT_METRICS, "", ERR_INVALID_REQUEST, "Client metrics subscription name must not be empty", 0 },
    { CLIENT_METRICS, "any", ERR_NONE, "", 3 },
    { GROUP, "", ERR_INVALID_REQUEST, "Group name must not be empty", 0 },
    { GROUP, "any", ERR_NONE, "", 11 },
};

START_TEST(other_resources_and_what_is_wrong_with_them)
{
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ask_nothing(true);
        add_resource(others[i].type, others[i].name, NULL, 0);
        call(4);
        const struct describe_configs_response_result *result = &told.results[0];
        ck_assert_msg(result->error_code == others[i].error_code, "%s: %s", others[i].message,
                      error_name(result->error_code));
        ck_assert_msg(result->error_message.size >= strlen(others[i].message) &&
                          memcmp(result->error_message.data, others[i].message, strlen(others[i].message)) ==
                              0,
                      "%s: %.*s", others[i].message, (int)result->error_message.size,
                      (const char *)result->error_message.data);
        ck_assert_int_eq(result->configs_count, others[i].config_count);
    }
    describe(GROUP, "any");
    static const struct told_row group[] = {
        { "consumer.session.timeout.ms", "45000", FROM_DEFAULT, 3, "consumer.session.timeout.ms=45000(5) " },
        { "share.auto.offset.reset", "latest", FROM_DEFAULT, 2, "share.auto.offset.reset=latest(5) " },
    };
    check_told(group, 2);
    describe(CLIENT_METRICS, "any");
    static const struct told_row metrics[] = { { "interval.ms", "300000", FROM_DEFAULT, 3, "" },
                                               { "match", "", FROM_DEFAULT, 7, "" } };
    check_told(metrics, 2);
}
END_TEST

START_TEST(an_unknown_type_spoils_the_request)
{
    make_topic("orders");
    ask_nothing(false);
    add_resource(TOPIC, "orders", NULL, 0);
    add_resource(3, "x", NULL, 0);
    call(4);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(told.results[i].error_code, ERR_INVALID_REQUEST);
        ck_assert_int_eq(told.results[i].configs_count, 0);
    }
}
END_TEST

START_TEST(denied_ones_come_last)
{
    make_topic("open");
    make_topic("secret");
    deny("secret", "kafka-cluster");
    ask_nothing(false);
    add_resource(TOPIC, "secret", NULL, 0);
    add_resource(BROKER, "1", NULL, 0);
    add_resource(TOPIC, "open", NULL, 0);
    add_resource(TOPIC, "open", NULL, 0); /* twice asked is twice told */
    call(4);
    ck_assert(slice_equal_string(told.results[0].resource_name, "open"));
    ck_assert(slice_equal_string(told.results[1].resource_name, "open"));
    ck_assert_int_eq(told.results[1].configs_count, TOPIC_SETTINGS);
    ck_assert_int_eq(told.results[2].error_code, ERR_TOPIC_AUTHORIZATION_FAILED);
    ck_assert_int_eq(told.results[3].error_code, ERR_CLUSTER_AUTHORIZATION_FAILED);
}
END_TEST

/* One request cannot make the broker answer with gigabytes: what is beyond the bound is refused, in its
 * place. */
START_TEST(an_answer_has_a_bound)
{
    enum { COUNT = 20000 };
    make_topic("orders");
    ask_nothing(true);
    asked.resources = calloc(COUNT, sizeof *asked.resources);
    ck_assert_ptr_nonnull(asked.resources);
    for (int i = 0; i < COUNT; i++) {
        describe_configs_request_resource_init(&asked.resources[i]);
        asked.resources[i].resource_type = TOPIC;
        asked.resources[i].resource_name = SLICE_LITERAL("orders");
        asked.resources[i].configuration_keys_count = -1;
    }
    asked.resources_count = COUNT;
    call(4);
    size_t told_count = 0;
    for (int i = 0; i < COUNT; i++) {
        bool is_told = told.results[i].error_code == ERR_NONE;
        ck_assert_int_eq(told.results[i].configs_count, is_told ? TOPIC_SETTINGS : 0);
        ck_assert(is_told || told.results[i].error_code == ERR_POLICY_VIOLATION);
        told_count += is_told;
    }
    ck_assert_uint_gt(told_count, 5000);
    ck_assert_uint_lt(told_count, COUNT);
    free(asked.resources);
    describe(TOPIC, "orders"); /* and the connection lives on */
}
END_TEST

/* -- DescribeCluster ------------------------------------------------------------------------------ */

static const struct {
    int16_t version;
    int8_t endpoint_type;
    int16_t error_code;
    const char *message;
} endpoints[] = {
    { 0, 1, ERR_NONE, NULL },
    { 1, 1, ERR_NONE, NULL },
    { 2, 1, ERR_NONE, NULL },
    { 1, 2, ERR_MISMATCHED_ENDPOINT_TYPE,
      "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER" },
    { 2, 2, ERR_MISMATCHED_ENDPOINT_TYPE,
      "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER" },
    { 1, 0, ERR_UNSUPPORTED_ENDPOINT_TYPE, "Unsupported endpoint type 0" },
    { 2, 3, ERR_UNSUPPORTED_ENDPOINT_TYPE, "Unsupported endpoint type 3" },
    { 2, -1, ERR_UNSUPPORTED_ENDPOINT_TYPE, "Unsupported endpoint type -1" },
};

START_TEST(the_cluster)
{
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
        for (int operations = 0; operations < 2; operations++) {
            struct describe_cluster_request request;
            struct describe_cluster_response cluster;
            describe_cluster_request_init(&request);
            request.endpoint_type = endpoints[i].endpoint_type;
            request.include_cluster_authorized_operations = operations;
            request.include_fenced_brokers = endpoints[i].version >= 2;
            ck_assert(sim_call(&client, KEY_DESCRIBE_CLUSTER, endpoints[i].version, &request, &cluster));
            ck_assert_int_eq(cluster.error_code, endpoints[i].error_code);
            ck_assert(slice_is_null(cluster.error_message) == !endpoints[i].message);
            bool is_told = cluster.error_code == ERR_NONE;
            ck_assert_int_eq(cluster.brokers_count, is_told ? 1 : 0);
            ck_assert_int_eq(cluster.controller_id, is_told ? 1 : -1);
            ck_assert_int_eq(cluster.cluster_authorized_operations, is_told && operations ? 8096 : INT32_MIN);
            if (!is_told) {
                ck_assert(slice_equal_string(cluster.error_message, endpoints[i].message));
                continue;
            }
            ck_assert_int_eq(cluster.brokers[0].broker_id, 1);
            ck_assert(!cluster.brokers[0].is_fenced);
            ck_assert_uint_eq(cluster.cluster_id.size, 22);
            ck_assert_uint_gt(cluster.brokers[0].host.size, 0);
        }
    }
}
END_TEST

/* -- DescribeTopicPartitions ---------------------------------------------------------------------- */

/* "t1:0,1,2 t2!3 >t3:1" says: three partitions of t1, error 3 for t2, and the next page begins with t3, 1. */
static const char *page_text(const char *const *names, int32_t limit, const char *cursor, int32_t partition)
{
    static char text[1024];
    struct describe_topic_partitions_request request;
    struct describe_topic_partitions_request_topic topics[8];
    struct describe_topic_partitions_request_cursor from;
    struct describe_topic_partitions_response page;
    describe_topic_partitions_request_init(&request);
    describe_topic_partitions_request_cursor_init(&from);
    request.topics = topics;
    request.response_partition_limit = limit;
    for (; names && names[request.topics_count]; request.topics_count++) {
        describe_topic_partitions_request_topic_init(&topics[request.topics_count]);
        topics[request.topics_count].name = slice_of_string(names[request.topics_count]);
    }
    from.topic_name = slice_of_string(cursor);
    from.partition_index = partition;
    request.cursor = cursor ? &from : NULL;
    ck_assert(sim_call(&client, KEY_DESCRIBE_TOPIC_PARTITIONS, 0, &request, &page));
    size_t at = 0;
    text[0] = '\0';
    for (int32_t i = 0; i < page.topics_count; i++) {
        const struct describe_topic_partitions_response_topic *topic = &page.topics[i];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s", i ? " " : "", (int)topic->name.size,
                               (const char *)topic->name.data);
        if (topic->error_code != ERR_NONE)
            at += (size_t)snprintf(text + at, sizeof text - at, "!%d", topic->error_code);
        ck_assert(uuid_is_zero(topic->topic_id) == (topic->error_code != ERR_NONE));
        for (int32_t p = 0; p < topic->partitions_count; p++) {
            const struct describe_topic_partitions_response_partition *one = &topic->partitions[p];
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%d", p ? "," : ":", one->partition);
            ck_assert(one->error_code == ERR_NONE && one->leader_id == 1 && one->leader_epoch == 0);
            ck_assert(one->replica_nodes_count == 1 && one->isr_nodes_count == 1 &&
                      one->offline_replicas_count == 0);
            ck_assert(one->eligible_leader_replicas_count == 0 &&
                      one->last_known_elr_count == 0); /* not null */
        }
    }
    if (page.next_cursor)
        snprintf(text + at, sizeof text - at, " >%.*s:%d", (int)page.next_cursor->topic_name.size,
                 (const char *)page.next_cursor->topic_name.data, page.next_cursor->partition_index);
    return text;
}

#define NAMES(...)                                                                                           \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }

START_TEST(pages_of_partitions)
{
    const struct {
        const char *shows;
        const char *const *names;
        int32_t limit;
        const char *cursor;
        int32_t partition;
        const char *page;
    } rows[] = {
        { "all topics", NULL, 2000, NULL, 0, "t1:0,1,2 t2:0,1,2 t3:0,1,2" },
        { "a page ends inside a topic", NULL, 5, NULL, 0, "t1:0,1,2 t2:0,1 >t2:2" },
        { "goes on there", NULL, 5, "t2", 2, "t2:2 t3:0,1,2" },
        { "a page ends with a topic", NULL, 3, NULL, 0, "t1:0,1,2 >t2:0" },
        { "no limit is one", NULL, 0, NULL, 0, "t1:0 >t1:1" },
        { "nor is less", NULL, -1, NULL, 0, "t1:0 >t1:1" },
        { "a cursor behind the last partition", NULL, 5, "t1", 99, "t1 t2:0,1,2 t3:0,1 >t3:2" },
        { "and at the end of the range", NULL, 5, "t1", INT32_MAX, "t1 t2:0,1,2 t3:0,1 >t3:2" },
        { "a topic that is gone: the next name follows", NULL, 5, "t1x", 1, "t2:0,1,2 t3:0,1 >t3:2" },
        { "nothing behind the last", NULL, 5, "z", 0, "" },
        { "a cursor without a name is the beginning", NULL, 3, "", 0, "t1:0,1,2 >t2:0" },
        { "a negative partition: nothing to hang the error on", NULL, 5, "t1", -1, "" },
        { "names in order, each once", NAMES("t3", "t1", "missing", "bad name", "t1"), 2000, NULL, 0,
          "bad name!17 missing!3 t1:0,1,2 t3:0,1,2" },
        { "unknown ones take no room", NAMES("t2", "t1", "missing", "zz"), 3, NULL, 0,
          "missing!3 t1:0,1,2 >t2:0" },
        { "but wait for it", NAMES("t1", "zz"), 3, NULL, 0, "t1:0,1,2 >zz:0" },
        { "names from the cursor on", NAMES("t1", "t2", "missing", "tt"), 5, "t2", 1, "t2:1,2 tt!3" },
        { "of a topic that was deleted meanwhile", NAMES("t1", "t2", "missing", "a"), 5, "missing", 3,
          "missing!3 t1:0,1,2 t2:0,1 >t2:2" },
        { "a cursor that is not among them", NAMES("t1", "t2"), 5, "t9", 0, "t1!42 t2!42" },
        { "before all of them", NAMES("t1", "t2"), 5, "a", 0, "t1!42 t2!42" },
        { "a negative partition", NAMES("t2", "t1"), 5, "t1", -1, "t2!42 t1!42" },
        { "internal ones may be unknown", NAMES("__consumer_offsets"), 5, NULL, 0, "__consumer_offsets!3" },
    };
    make_topic("t2");
    make_topic("t3");
    make_topic("t1");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *page = page_text(rows[i].names, rows[i].limit, rows[i].cursor, rows[i].partition);
        ck_assert_msg(strcmp(page, rows[i].page) == 0, "%s: %s", rows[i].shows, page);
    }
}
END_TEST

START_TEST(denied_topics_on_pages)
{
    make_topic("t1");
    make_topic("t2");
    make_topic("t3");
    deny("t2", "zz");
    ck_assert_str_eq(page_text(NULL, 4, NULL, 0), "t1:0,1,2 t3:0 >t3:1"); /* hidden */
    ck_assert_str_eq(page_text(NULL, 3, NULL, 0), "t1:0,1,2 >t3:0");
    ck_assert_str_eq(page_text(NAMES("zz", "t2", "t3", "t1"), 4, NULL, 0), "t1:0,1,2 t3:0 t2!29 zz!29 >t3:1");
    ck_assert_str_eq(page_text(NAMES("zz", "t2", "t3", "t1"), 4, "t2", 0), "t3:0,1,2 t2!29 zz!29");
}
END_TEST

START_TEST(the_brokers_own_limit)
{
    begin("num.partitions=3\nmax.request.partition.size.limit=2\n");
    make_topic("t1");
    ck_assert_str_eq(page_text(NULL, 2000, NULL, 0), "t1:0,1 >t1:2");
    ck_assert_str_eq(page_text(NULL, INT32_MAX, "t1", 2), "t1:2");
    tear_down();
}
END_TEST

/* -- OffsetForLeaderEpoch ------------------------------------------------------------------------- */

static struct offset_for_leader_epoch_response_partition
epoch_end(int16_t version, const char *name, int32_t index, int32_t current, int32_t epoch)
{
    struct offset_for_leader_epoch_request request;
    struct offset_for_leader_epoch_request_topic topic;
    struct offset_for_leader_epoch_request_partition partition;
    struct offset_for_leader_epoch_response ends;
    offset_for_leader_epoch_request_init(&request);
    offset_for_leader_epoch_request_topic_init(&topic);
    offset_for_leader_epoch_request_partition_init(&partition);
    partition.partition = index;
    partition.current_leader_epoch = current;
    partition.leader_epoch = epoch;
    topic.name = slice_of_string(name);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.replica_id = version >= 3 ? -1 : -2;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_OFFSET_FOR_LEADER_EPOCH, version, &request, &ends));
    ck_assert_int_eq(ends.topics[0].partitions[0].partition, index);
    return ends.topics[0].partitions[0];
}

static const struct {
    const char *shows;
    const char *topic;
    int32_t partition, current, requested;
    int16_t error_code;
    int32_t epoch;
    int64_t end;
} epochs[] = {
    { "the newest ends at the log's end", "orders", 0, -1, 0, ERR_NONE, 0, 2 },
    { "of an empty log as well", "orders", 1, -1, 0, ERR_NONE, 0, 0 },
    { "one that is still to come", "orders", 0, -1, 1, ERR_NONE, -1, -1 },
    { "none", "orders", 0, -1, -1, ERR_NONE, -1, -1 },
    { "the client knows the newest", "orders", 0, 0, 0, ERR_NONE, 0, 2 },
    { "it knows better", "orders", 0, 1, 0, ERR_UNKNOWN_LEADER_EPOCH, -1, -1 },
    { "it knows worse", "orders", 0, -5, 0, ERR_FENCED_LEADER_EPOCH, -1, -1 },
    { "a partition beyond", "orders", 3, -1, 0, ERR_UNKNOWN_TOPIC_OR_PARTITION, -1, -1 },
    { "a negative one", "orders", -1, -1, 0, ERR_UNKNOWN_TOPIC_OR_PARTITION, -1, -1 },
    { "no such topic", "missing", 0, -1, 0, ERR_UNKNOWN_TOPIC_OR_PARTITION, -1, -1 },
};

static void check_epochs(int16_t version)
{
    for (size_t i = 0; i < sizeof epochs / sizeof *epochs; i++) {
        struct offset_for_leader_epoch_response_partition got =
            epoch_end(version, epochs[i].topic, epochs[i].partition, epochs[i].current, epochs[i].requested);
        ck_assert_msg(got.error_code == epochs[i].error_code, "%s: %s", epochs[i].shows,
                      error_name(got.error_code));
        ck_assert_msg(got.leader_epoch == epochs[i].epoch && got.end_offset == epochs[i].end, "%s: %d, %lld",
                      epochs[i].shows, got.leader_epoch, (long long)got.end_offset);
    }
}

static void produce_two(const char *topic)
{
    static const struct batch_builder_options no_producer = { NO_PRODUCER };
    struct one_produce one;
    struct produce_response produced;
    struct batch_view batch = small_batch(&arena, &no_producer, 2);
    one_produce(&one, topic, 0, batch_bytes(&batch));
    ck_assert(sim_call(&client, ONE_PRODUCE, 9, &one.request, &produced));
    ck_assert_int_eq(produced.topics[0].partitions[0].error_code, ERR_NONE);
}

/* After the clean stop the logs are shut, and a worker has to open them. */
START_TEST(where_epochs_end)
{
    make_topic("orders");
    produce_two("orders");
    for (int16_t version = 2; version <= 4; version++)
        check_epochs(version);
    sim_disconnect(&client);
    sim_restart(&sim);
    sim_connect(&sim, &client);
    for (int16_t version = 2; version <= 4; version++)
        check_epochs(version);
}
END_TEST

/* A power cut in page-cache mode begins a new epoch; the old one ends where it began, also when the log is
 * shut. */
START_TEST(an_older_epoch)
{
    make_topic("orders");
    set_config("orders", "flush.messages", "1000000");
    produce_two("orders");
    sim_disconnect(&client);
    sim_power_cycle(&sim, FILE_DOUBLE_KEEP_ALL);
    sim_connect(&sim, &client);
    produce_two("orders");
    for (int round = 0; round < 2; round++) {
        struct offset_for_leader_epoch_response_partition old = epoch_end(4, "orders", 0, -1, 0);
        struct offset_for_leader_epoch_response_partition now = epoch_end(4, "orders", 0, 1, 1);
        ck_assert_int_eq(old.error_code, ERR_NONE);
        ck_assert(old.leader_epoch == 0 && old.end_offset == 2);
        ck_assert(now.leader_epoch == 1 && now.end_offset == 4);
        ck_assert_int_eq(epoch_end(4, "orders", 0, 0, 0).error_code, ERR_FENCED_LEADER_EPOCH);
        sim_disconnect(&client);
        sim_restart(&sim);
        sim_connect(&sim, &client);
    }
}
END_TEST

START_TEST(whoever_may_see_epochs)
{
    make_topic("orders");
    make_topic("secret");
    deny("secret", NULL);
    ck_assert_int_eq(epoch_end(4, "secret", 0, -1, 0).error_code, ERR_NONE); /* by CLUSTER_ACTION */
    deny("secret", "kafka-cluster");
    ck_assert_int_eq(epoch_end(4, "secret", 0, -1, 0).error_code, ERR_TOPIC_AUTHORIZATION_FAILED);
    ck_assert_int_eq(epoch_end(2, "orders", 0, -1, 0).error_code, ERR_NONE);
    deny("missing", "kafka-cluster");
    ck_assert_int_eq(epoch_end(4, "missing", 0, -1, 0).error_code, ERR_TOPIC_AUTHORIZATION_FAILED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("describe");
    TCase *tests = tcase_create("with topics");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, settings_of_a_topic);
    tcase_add_test(tests, every_version_tells_what_it_has);
    tcase_add_test(tests, keys_choose);
    tcase_add_test(tests, settings_of_the_broker);
    tcase_add_test(tests, other_resources_and_what_is_wrong_with_them);
    tcase_add_test(tests, an_unknown_type_spoils_the_request);
    tcase_add_test(tests, denied_ones_come_last);
    tcase_add_test(tests, an_answer_has_a_bound);
    tcase_add_test(tests, the_cluster);
    tcase_add_test(tests, pages_of_partitions);
    tcase_add_test(tests, denied_topics_on_pages);
    tcase_add_test(tests, where_epochs_end);
    tcase_add_test(tests, an_older_epoch);
    tcase_add_test(tests, whoever_may_see_epochs);
    suite_add_tcase(suite, tests);
    tests = tcase_create("with settings");
    tcase_add_test(tests, broker_id_is_node_id);
    tcase_add_test(tests, the_brokers_own_limit);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
