/* The rows of the versions matrix about the broker and its settings: FindCoordinator, ApiVersions,
 * DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, DescribeCluster, ListConfigResources. */
#include "tests/sim/versions/rig.h"

#include "broker/metadata_log.h"
#include "codec/alter_configs.h"
#include "codec/api_versions.h"
#include "codec/describe_cluster.h"
#include "codec/describe_configs.h"
#include "codec/find_coordinator.h"
#include "codec/incremental_alter_configs.h"
#include "codec/list_config_resources.h"
#include "codec/metadata_records.h"

enum {
    KEY_FIND_COORDINATOR = 10,
    KEY_API_VERSIONS = 18,
    KEY_DESCRIBE_CONFIGS = 32,
    KEY_ALTER_CONFIGS = 33,
    KEY_INCREMENTAL_ALTER_CONFIGS = 44,
    KEY_DESCRIBE_CLUSTER = 60,
    KEY_LIST_CONFIG_RESOURCES = 74
};
enum {
    RESOURCE_TOPIC = 2,
    RESOURCE_CLIENT_METRICS = 16,
    RESOURCE_GROUP = 32,
    CLUSTER_BITS = 0x1fa0
}; /* operations 5, 7-12 */

/* -- FindCoordinator ---------------------------------------------------------------------------------- */

/* The answer for one key in the shape of v4; before it there was but one. */
static struct find_coordinator_response_coordinator find(int8_t type, const char *key)
{
    struct find_coordinator_request request;
    struct find_coordinator_response told;
    struct find_coordinator_response_coordinator one;
    slice keys[] = { SLICE_LITERAL("first"), slice_of_string(key) };
    find_coordinator_request_init(&request);
    request.key = keys[1];
    request.key_type = subject.version >= 1 ? type : 0;
    request.coordinator_keys = keys;
    request.coordinator_keys_count = subject.version >= 4 ? 2 : 0;
    request.key = subject.version >= 4 ? SLICE_LITERAL("") : keys[1];
    ask(&request, &told);
    expect(told.throttle_time_ms, 0);
    if (subject.version >= 4) {
        expect(told.coordinators_count, 2);
        expect_text(told.coordinators[0].key, "first");
        expect_text(told.coordinators[1].key, key);
        return told.coordinators[1];
    }
    find_coordinator_response_coordinator_init(&one);
    one.error_code = told.error_code;
    one.error_message = told.error_message;
    one.node_id = told.node_id;
    one.host = told.host;
    one.port = told.port;
    return one;
}

static void check_find_coordinator(int16_t version)
{
    rig_open("");
    struct find_coordinator_response_coordinator one = find(0, "orders");
    expect(one.error_code, ERR_NONE);
    expect(one.node_id, 1);
    expect_that(one.host.size > 0);
    expect_that(one.port > 0);
    if (version >= 1 && version <= 3)
        expect_text(one.error_message, "NONE");
    /* Clients with transactions are told at once that there are none yet. */
    if (version >= 1)
        expect(find(1, "orders").error_code,
               version >= 4 ? ERR_UNSUPPORTED_VERSION : ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    deny(OP_DESCRIBE, "secret");
    one = find(0, "secret");
    expect(one.error_code, ERR_GROUP_AUTHORIZATION_FAILED);
    expect(one.node_id, -1);
    expect_text(one.host, "");
    expect(one.port, -1);
    expect_that((one.error_message.size > 0) == (version >= 1));
    if (version >= 1)
        expect(find(1, "secret").error_code, ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    /* Share partitions came with v6. */
    if (version >= 1)
        expect(find(2, "group:AAECAwQFBgcICQoLDA0ODw:1").error_code,
               version >= 6 ? ERR_NONE : ERR_INVALID_REQUEST);
    rig_close();
}

static const struct exemption throttle_untold[] = { { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
                                                    { 0 } };

/* -- ApiVersions -------------------------------------------------------------------------------------- */

static struct api_versions_response api_versions(const char *name)
{
    struct api_versions_request request;
    struct api_versions_response told;
    api_versions_request_init(&request);
    request.client_software_name = slice_of_string(name);
    request.client_software_version = SLICE_LITERAL("1.0");
    ask(&request, &told);
    expect(told.throttle_time_ms, 0);
    return told;
}

/* Which ranges it tells is the business of versions_test.c. */
static void check_api_versions(int16_t version)
{
    rig_open("");
    struct api_versions_response told = api_versions("matrix");
    expect(told.error_code, ERR_NONE);
    expect_that(told.api_keys_count > 0);
    expect(told.supported_features_count, version >= 4 ? 2 : version >= 3 ? 1 : 0);
    expect(told.finalized_features_count, version >= 3 ? 2 : 0);
    expect_that((told.finalized_features_epoch >= 0) == (version >= 3));
    if (version >= 3) {
        expect_text(told.supported_features[0].name, "metadata.version");
        expect(told.supported_features[0].min_version, 7);
        expect(told.supported_features[0].max_version, 33);
        expect_text(told.finalized_features[0].name, "metadata.version");
        expect(told.finalized_features[0].max_version_level, 25);
        expect(told.finalized_features[0].min_version_level, 25);
        expect_text(told.finalized_features[1].name, "group.version");
        expect(told.finalized_features[1].max_version_level, 1);
        expect(told.finalized_features[1].min_version_level, 1);
    }
    if (version >= 4) { /* a minimum of 0 makes older Java clients stumble */
        expect_text(told.supported_features[1].name, "group.version");
        expect(told.supported_features[1].min_version, 0);
        expect(told.supported_features[1].max_version, 1);
    }
    told = api_versions("no name");
    expect(told.error_code, version >= 3 ? ERR_INVALID_REQUEST : ERR_NONE);
    expect_that((told.api_keys_count > 0) == (version < 3));
    rig_close();
}

static const struct exemption api_versions_untold[] = {
    { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
    { "error_code", 0, 2, "nothing can be wrong with an empty request" },
    { "zk_migration_ready", 3, NEVER_LAST, "no ZooKeeper" },
    { 0 },
};

/* -- DescribeConfigs ---------------------------------------------------------------------------------- */

static slice wanted_keys[] = { SLICE_LITERAL("retention.ms"), SLICE_LITERAL("cleanup.policy") };

static struct describe_configs_request_resource resource(int8_t type, const char *name, int32_t key_count)
{
    struct describe_configs_request_resource one;
    describe_configs_request_resource_init(&one);
    one.resource_type = type;
    one.resource_name = slice_of_string(name);
    one.configuration_keys = wanted_keys;
    one.configuration_keys_count = key_count;
    return one;
}

static struct describe_configs_response describe(struct describe_configs_request_resource *resources,
                                                 int32_t count, bool everything)
{
    struct describe_configs_request request;
    struct describe_configs_response told;
    describe_configs_request_init(&request);
    request.resources = resources;
    request.resources_count = count;
    request.include_synonyms = everything;
    request.include_documentation = everything && subject.version >= 3;
    ask(&request, &told);
    expect(told.throttle_time_ms, 0);
    expect(told.results_count, count);
    return told;
}

static const struct describe_configs_response_result *described(const struct describe_configs_response *told,
                                                                const char *name)
{
    for (int32_t i = 0; i < told->results_count; i++)
        if (slice_equal_string(told->results[i].resource_name, name))
            return &told->results[i];
    expect_that(false);
    return NULL;
}

static const struct describe_configs_response_config *
setting(const struct describe_configs_response_result *result, const char *name)
{
    for (int32_t i = 0; i < result->configs_count; i++)
        if (slice_equal_string(result->configs[i].name, name))
            return &result->configs[i];
    expect_text(SLICE_LITERAL("no such setting is told"), name);
    return NULL;
}

static void check_described(const struct describe_configs_response *told, int16_t version, bool everything)
{
    enum { SOURCE_STATIC_BROKER = 4, SOURCE_DEFAULT = 5, TYPE_LONG = 5, TYPE_LIST = 7 };
    const struct describe_configs_response_result *orders = described(told, "orders");
    expect(orders->error_code, ERR_NONE);
    expect_that(orders->error_message.size == 0);
    expect(orders->resource_type, RESOURCE_TOPIC);
    expect(orders->configs_count, 2);
    const struct describe_configs_response_config *retention = setting(orders, "retention.ms");
    expect_text(retention->value, "86400001");
    expect(retention->read_only, false);
    expect(retention->is_sensitive, false);
    expect(retention->config_source, SOURCE_STATIC_BROKER);
    expect(retention->config_type, version >= 3 ? TYPE_LONG : 0);
    expect_that((retention->documentation.size > 0) == (version >= 3 && everything));
    expect(setting(orders, "cleanup.policy")->config_type, version >= 3 ? TYPE_LIST : 0);
    expect(setting(orders, "cleanup.policy")->config_source, SOURCE_DEFAULT);
    if (!everything) {
        expect(retention->synonyms_count, 0);
        return;
    }
    expect_that(retention->synonyms_count >= 1);
    expect_text(retention->synonyms[0].name, "log.retention.ms");
    expect_text(retention->synonyms[0].value, "86400001");
    expect(retention->synonyms[0].source, SOURCE_STATIC_BROKER);
}

static void check_describe_configs(int16_t version)
{
    struct describe_configs_request_resource resources[4], strange[2];
    rig_open("log.retention.ms=86400001\n");
    make_topic("orders");
    make_topic("returns");
    resources[0] = resource(RESOURCE_TOPIC, "orders", 2);
    resources[1] = resource(RESOURCE_TOPIC, "nowhere", 2);
    resources[2] = resource(RESOURCE_TOPIC, "returns", -1);
    resources[3] = resource(4, "no broker", -1);
    strange[0] = resource(RESOURCE_TOPIC, "orders", 2);
    strange[1] = resource(77, "what is this", -1);
    for (int round = 0; round < 2; round++) {
        struct describe_configs_response told = describe(resources, 4, round == 0);
        check_described(&told, version, round == 0);
        const struct describe_configs_response_result *nowhere = described(&told, "nowhere");
        expect(nowhere->error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
        expect(nowhere->resource_type, RESOURCE_TOPIC);
        expect(nowhere->configs_count, 0);
        expect(described(&told, "no broker")->error_code, ERR_INVALID_REQUEST);
        expect_that(described(&told, "no broker")->error_message.size > 0);
        expect_that(described(&told, "returns")->configs_count > 25);
        expect_text(setting(described(&told, "returns"), "cleanup.policy")->value, "delete");
    }
    /* An unknown type of resource fails the request, which can only be told of each. */
    struct describe_configs_response told = describe(strange, 2, false);
    expect(described(&told, "orders")->error_code, ERR_INVALID_REQUEST);
    expect(described(&told, "what is this")->error_code, ERR_INVALID_REQUEST);
    rig_close();
}

static const struct exemption describe_configs_untold[] = {
    { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
    { "results.configs.read_only", 0, NEVER_LAST, "no setting of a topic is" },
    { "results.configs.is_sensitive", 0, NEVER_LAST, "no setting of a topic is" },
    { 0 },
};

/* -- IncrementalAlterConfigs -------------------------------------------------------------------------- */

enum { SET = 0, APPEND = 2, RESOURCES = 3 };

static void alter(struct incremental_alter_configs_request_resource *out,
                  struct incremental_alter_configs_request_config *config, const char *topic,
                  const char *name, int8_t operation, const char *value)
{
    incremental_alter_configs_request_config_init(config);
    config->name = slice_of_string(name);
    config->config_operation = operation;
    config->value = slice_of_string(value);
    incremental_alter_configs_request_resource_init(out);
    out->resource_type = RESOURCE_TOPIC;
    out->resource_name = slice_of_string(topic);
    out->configs = config;
    out->configs_count = 1;
}

/* The value of one setting now, as the newest DescribeConfigs tells it. */
static void expect_value(const char *topic, const char *name, const char *value)
{
    struct describe_configs_request_resource one = resource(RESOURCE_TOPIC, topic, -1);
    struct describe_configs_request request;
    struct describe_configs_response told;
    describe_configs_request_init(&request);
    request.resources = &one;
    request.resources_count = 1;
    ask_other(KEY_DESCRIBE_CONFIGS, 4, &request, &told);
    expect_text(setting(&told.results[0], name)->value, value);
}

static void expect_altered(const struct incremental_alter_configs_response *told, const char *topic,
                           int16_t error_code)
{
    for (int32_t i = 0; i < told->responses_count; i++) {
        if (!slice_equal_string(told->responses[i].resource_name, topic))
            continue;
        expect(told->responses[i].resource_type, RESOURCE_TOPIC);
        expect(told->responses[i].error_code, error_code);
        expect_that((told->responses[i].error_message.size > 0) == (error_code != ERR_NONE));
        return;
    }
    expect_that(false);
}

static void check_incremental_alter_configs(int16_t version)
{
    struct incremental_alter_configs_request request;
    struct incremental_alter_configs_request_resource resources[RESOURCES];
    struct incremental_alter_configs_request_config configs[RESOURCES];
    struct incremental_alter_configs_response told;
    (void)version; /* both say the same */
    rig_open("");
    make_topic("orders");
    make_topic("returns");
    incremental_alter_configs_request_init(&request);
    request.resources = resources;
    request.resources_count = RESOURCES;
    for (int round = 0; round < 2; round++) {
        request.validate_only = round == 0;
        alter(&resources[0], &configs[0], "orders", "retention.ms", SET, "86400001");
        alter(&resources[1], &configs[1], "returns", "cleanup.policy", APPEND, "compact");
        alter(&resources[2], &configs[2], "nowhere", "retention.ms", SET, "1");
        ask(&request, &told);
        expect(told.throttle_time_ms, 0);
        expect(told.responses_count, RESOURCES);
        expect_altered(&told, "orders", ERR_NONE);
        expect_altered(&told, "returns", ERR_NONE);
        expect_altered(&told, "nowhere", ERR_UNKNOWN_TOPIC_OR_PARTITION);
        expect_value("orders", "retention.ms", round == 0 ? "604800000" : "86400001");
        expect_value("returns", "cleanup.policy", round == 0 ? "delete" : "delete,compact");
    }
    alter(&resources[0], &configs[0], "orders", "no.such.setting", SET, "1");
    alter(&resources[1], &configs[1], "returns", "retention.ms", APPEND, "1");
    request.resources_count = 2;
    ask(&request, &told);
    expect_altered(&told, "orders", ERR_INVALID_CONFIG);
    expect_altered(&told, "returns", ERR_INVALID_CONFIG);
    rig_close();
}

/* -- AlterConfigs ------------------------------------------------------------------------------------- */

static void replace(struct alter_configs_request_resource *out, struct alter_configs_request_config *config,
                    int8_t type, const char *resource_name, const char *name, const char *value)
{
    alter_configs_request_config_init(config);
    config->name = slice_of_string(name);
    config->value = slice_of_string(value);
    alter_configs_request_resource_init(out);
    out->resource_type = type;
    out->resource_name = slice_of_string(resource_name);
    out->configs = config;
    out->configs_count = 1;
}

static void check_alter_configs(int16_t version)
{
    struct alter_configs_request request;
    struct alter_configs_request_resource resources[RESOURCES];
    struct alter_configs_request_config configs[RESOURCES];
    struct alter_configs_response told;
    (void)version; /* all say the same */
    rig_open("");
    make_topic("orders");
    alter_configs_request_init(&request);
    request.resources = resources;
    request.resources_count = RESOURCES;
    for (int round = 0; round < 3; round++) {
        const char *name = round == 1 ? "retention.ms" : "segment.ms";
        request.validate_only = round == 0;
        replace(&resources[0], &configs[0], RESOURCE_TOPIC, "orders", name, "86400001");
        replace(&resources[1], &configs[1], RESOURCE_GROUP, "group", "consumer.session.timeout.ms", "1");
        replace(&resources[2], &configs[2], RESOURCE_TOPIC, "nowhere", name, "1");
        ask(&request, &told);
        expect(told.throttle_time_ms, 0);
        expect(told.responses_count, RESOURCES);
        expect(told.responses[0].error_code, ERR_NONE);
        expect_that(slice_is_null(told.responses[0].error_message));
        expect(told.responses[1].error_code, ERR_INVALID_CONFIG);
        expect(told.responses[1].resource_type, RESOURCE_GROUP);
        expect_text(told.responses[1].resource_name, "group");
        expect_that(told.responses[1].error_message.size > 0);
        expect(told.responses[2].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
        expect_value("orders", "retention.ms", round == 1 ? "86400001" : "604800000");
        expect_value("orders", "segment.ms", round == 2 ? "86400001" : "604800000");
    }
    rig_close();
}

/* -- ListConfigResources ------------------------------------------------------------------------------ */

/* Kafka lets clients make these, we keep them. */
static void subscribe_to_metrics(const char *name)
{
    struct config_record record = { RESOURCE_CLIENT_METRICS, slice_of_string(name),
                                    SLICE_LITERAL("interval.ms"), SLICE_LITERAL("1000") };
    slice encoded = metadata_record_encode(&arena, METADATA_RECORD_CONFIG, 0, &record);
    int64_t end;
    expect(controller_propose(sim.server->controller, &encoded, 1, -1, &end), PROPOSE_COMMITTED);
}

static void check_list_config_resources(int16_t version)
{
    struct list_config_resources_request request;
    struct list_config_resources_response told;
    int8_t type = RESOURCE_TOPIC;
    rig_open("");
    make_topic("orders");
    subscribe_to_metrics("watch");
    list_config_resources_request_init(&request);
    ask(&request, &told);
    expect(told.throttle_time_ms, 0);
    expect(told.error_code, ERR_NONE);
    expect(told.config_resources_count, version == 0 ? 1 : 4);
    expect_text(told.config_resources[0].resource_name, "watch");
    expect(told.config_resources[0].resource_type, RESOURCE_CLIENT_METRICS);
    if (version >= 1) {
        request.resource_types = &type;
        request.resource_types_count = 1;
        ask(&request, &told);
        expect(told.config_resources_count, 1);
        expect_text(told.config_resources[0].resource_name, "orders");
        expect(told.config_resources[0].resource_type, RESOURCE_TOPIC);
        type = 3;
        ask(&request, &told);
        expect(told.error_code, ERR_UNSUPPORTED_VERSION);
        request.resource_types_count = 0;
    }
    deny(OP_DESCRIBE_CONFIGS, "kafka-cluster");
    ask(&request, &told);
    expect(told.error_code, ERR_CLUSTER_AUTHORIZATION_FAILED);
    expect(told.config_resources_count, 0);
    deny(OP_DESCRIBE_CONFIGS, NULL);
    rig_close();
}

/* -- DescribeCluster ---------------------------------------------------------------------------------- */

static struct describe_cluster_response describe_cluster(int8_t endpoint_type)
{
    struct describe_cluster_request request;
    struct describe_cluster_response told;
    describe_cluster_request_init(&request);
    request.include_cluster_authorized_operations = true;
    request.endpoint_type = endpoint_type;
    request.include_fenced_brokers = subject.version >= 2;
    ask(&request, &told);
    expect(told.throttle_time_ms, 0);
    return told;
}

static void check_describe_cluster(int16_t version)
{
    enum { BROKERS = 1, CONTROLLERS = 2, NEITHER = 3 };
    rig_open("");
    struct describe_cluster_response told = describe_cluster(BROKERS);
    expect(told.error_code, ERR_NONE);
    expect_text(told.error_message, NULL);
    expect(told.endpoint_type, BROKERS);
    expect(told.cluster_id.size, UUID_TEXT_SIZE);
    expect(told.controller_id, 1);
    expect(told.brokers_count, 1);
    expect(told.brokers[0].broker_id, 1);
    expect_that(told.brokers[0].host.size > 0);
    expect_that(told.brokers[0].port > 0);
    expect_text(told.brokers[0].rack, "r1");
    expect(told.brokers[0].is_fenced, false);
    expect(told.cluster_authorized_operations, CLUSTER_BITS);
    if (version >= 1) {
        told = describe_cluster(CONTROLLERS);
        expect(told.error_code, ERR_MISMATCHED_ENDPOINT_TYPE);
        expect_that(told.error_message.size > 0);
        expect(told.brokers_count, 0);
        expect(describe_cluster(NEITHER).error_code, ERR_UNSUPPORTED_ENDPOINT_TYPE);
    }
    rig_close();
}

static const struct exemption describe_cluster_untold[] = {
    { "throttle_time_ms", 0, NEVER_LAST, "no quotas" },
    { "error_code", 0, 0, "nothing can be wrong with its request" },
    { "error_message", 0, 0, "as above" },
    { "endpoint_type", 1, NEVER_LAST, "brokers, or an error" },
    { "brokers.is_fenced", 2, NEVER_LAST, "the only node is there when it answers" },
    { 0 },
};

/* ----------------------------------------------------------------------------------------------------- */

const struct check_row other_rows[] = {
    { KEY_FIND_COORDINATOR, check_find_coordinator, NULL, throttle_untold },
    { KEY_API_VERSIONS, check_api_versions, NULL, api_versions_untold },
    { KEY_DESCRIBE_CONFIGS, check_describe_configs, NULL, describe_configs_untold },
    { KEY_ALTER_CONFIGS, check_alter_configs, NULL, throttle_untold },
    { KEY_INCREMENTAL_ALTER_CONFIGS, check_incremental_alter_configs, NULL, throttle_untold },
    { KEY_DESCRIBE_CLUSTER, check_describe_cluster, NULL, describe_cluster_untold },
    { KEY_LIST_CONFIG_RESOURCES, check_list_config_resources, NULL, throttle_untold },
};
const size_t other_row_count = sizeof other_rows / sizeof *other_rows;
