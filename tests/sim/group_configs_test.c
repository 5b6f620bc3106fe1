/* Settings of groups (KIP-848) against the whole broker: what is taken and refused, with which words, what a
 * living group makes of them, that they outlive restarts and power cuts; and ListConfigResources, which names
 * them. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/metadata_log.h"
#include "codec/describe_configs.h"
#include "codec/incremental_alter_configs.h"
#include "codec/list_config_resources.h"
#include "codec/metadata_records.h"
#include "protocol/errors.h"
#include "tests/support/consumer_player.h"
#include "tests/support/one_partition.h"

enum { KEY_DESCRIBE_CONFIGS = 32, KEY_ALTER_CONFIGS = 44, KEY_LIST_CONFIG_RESOURCES = 74 };
enum { TOPIC = 2, BROKER = 4, BROKER_LOGGER = 8, CLIENT_METRICS = 16, GROUP = 32 };
enum { SET, DELETE, APPEND, SUBTRACT };
enum { FROM_DEFAULT = 5, FROM_CLIENT_METRICS = 7, FROM_GROUP = 8 };

#define SESSION   "consumer.session.timeout.ms"
#define HEARTBEAT "consumer.heartbeat.interval.ms"

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
    begin("connections.max.idle.ms=100000000\n");
}

static void tear_down(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
    arena_destroy(&arena);
}

static void reopen(const char *settings)
{
    tear_down();
    begin(settings);
}

/* -- changing and describing ---------------------------------------------------------------------- */

static struct incremental_alter_configs_response told;

static int16_t alter_one(const char *group, const char *name, int8_t operation, const char *value,
                         bool validate_only)
{
    struct incremental_alter_configs_request request;
    struct incremental_alter_configs_request_resource resource;
    struct incremental_alter_configs_request_config config;
    incremental_alter_configs_request_init(&request);
    incremental_alter_configs_request_resource_init(&resource);
    incremental_alter_configs_request_config_init(&config);
    config.name = slice_of_string(name);
    config.config_operation = operation;
    config.value = slice_of_string(value);
    resource.resource_type = GROUP;
    resource.resource_name = slice_of_string(group);
    resource.configs = &config;
    resource.configs_count = 1;
    request.resources = &resource;
    request.resources_count = 1;
    request.validate_only = validate_only;
    ck_assert(sim_call(&client, KEY_ALTER_CONFIGS, 1, &request, &told));
    ck_assert_int_eq(told.responses_count, 1);
    ck_assert_int_eq(told.responses[0].resource_type, GROUP);
    return told.responses[0].error_code;
}

static int16_t alter(const char *group, const char *name, int8_t operation, const char *value)
{
    return alter_one(group, name, operation, value, false);
}

/* "value(source) synonym=value(source) ...", borrowed until the next call. */
static const char *described(int8_t type, const char *resource_name, const char *name)
{
    static char text[400];
    struct describe_configs_request request;
    struct describe_configs_request_resource resource;
    struct describe_configs_response response;
    slice key = slice_of_string(name);
    describe_configs_request_init(&request);
    describe_configs_request_resource_init(&resource);
    resource.resource_type = type;
    resource.resource_name = slice_of_string(resource_name);
    resource.configuration_keys = &key;
    resource.configuration_keys_count = 1;
    request.resources = &resource;
    request.resources_count = 1;
    request.include_synonyms = true;
    ck_assert(sim_call(&client, KEY_DESCRIBE_CONFIGS, 4, &request, &response));
    if (response.results[0].configs_count == 0)
        return "";
    const struct describe_configs_response_config *found = &response.results[0].configs[0];
    ck_assert(!found->read_only);
    int at = snprintf(text, sizeof text, "%.*s(%d)", (int)found->value.size, (const char *)found->value.data,
                      found->config_source);
    for (int32_t i = 0; i < found->synonyms_count; i++)
        at +=
            snprintf(text + at, sizeof text - (size_t)at, " %.*s=%.*s(%d)", (int)found->synonyms[i].name.size,
                     (const char *)found->synonyms[i].name.data, (int)found->synonyms[i].value.size,
                     (const char *)found->synonyms[i].value.data, found->synonyms[i].source);
    return text;
}

static void expect_value(const char *group, const char *name, const char *value, int source)
{
    char wanted[400];
    snprintf(wanted, sizeof wanted, "%s(%d) %s=%s(%d)", value, source, name, value, source);
    ck_assert_str_eq(described(GROUP, group, name), wanted);
}

/* -- one operation after the other ---------------------------------------------------------------- */

static const struct step {
    const char *shows;
    const char *name;
    int8_t operation;
    const char *value;
    int16_t error_code;
    const char *message; /* its beginning; NULL: none */
    const char *after;   /* the value now */
    int source;
} steps[] = {
    { "a value is trimmed", SESSION, SET, " 50000", ERR_NONE, NULL, "50000", FROM_GROUP },
    { "the same again", SESSION, SET, " 50000", ERR_NONE, NULL, "50000", FROM_GROUP },
    { "another", SESSION, SET, "60000", ERR_NONE, NULL, "60000", FROM_GROUP },
    { "above what the broker allows", SESSION, SET, "60001", ERR_INVALID_CONFIG,
      SESSION " must be less than or equal to group.consumer.max.session.timeout.ms", "60000", FROM_GROUP },
    { "below", SESSION, SET, "44999", ERR_INVALID_CONFIG,
      SESSION " must be greater than or equal to group.consumer.min.session.timeout.ms", "60000",
      FROM_GROUP },
    { "no time at all", SESSION, SET, "0", ERR_INVALID_CONFIG,
      "Invalid value 0 for configuration " SESSION ": Value must be at least 1", "60000", FROM_GROUP },
    { "no number", SESSION, SET, "long", ERR_INVALID_CONFIG,
      "Invalid value long for configuration " SESSION ": Not a number of type INT", "60000", FROM_GROUP },
    { "null", SESSION, SET, NULL, ERR_INVALID_REQUEST, "Null value not supported for : " SESSION, "60000",
      FROM_GROUP },
    { "no list", SESSION, APPEND, "5", ERR_INVALID_CONFIG,
      "Can't APPEND to key " SESSION " because its type is not LIST.", "60000", FROM_GROUP },
    { "no list either", SESSION, SUBTRACT, "5", ERR_INVALID_CONFIG, "Can't SUBTRACT to key", "60000",
      FROM_GROUP },
    { "no such operation", SESSION, 7, "5", ERR_INVALID_REQUEST, "Unknown operations type 7", "60000",
      FROM_GROUP },
    { "deleted, the broker's is back", SESSION, DELETE, NULL, ERR_NONE, NULL, "45000", FROM_DEFAULT },
    { "deleted twice", SESSION, DELETE, NULL, ERR_NONE, NULL, "45000", FROM_DEFAULT },
    { "another setting", HEARTBEAT, SET, "15000", ERR_NONE, NULL, "15000", FROM_GROUP },
    { "above its bound", HEARTBEAT, SET, "15001", ERR_INVALID_CONFIG,
      HEARTBEAT " must be less than or equal to group.consumer.max.heartbeat.interval.ms", "15000",
      FROM_GROUP },
    { "below its bound", HEARTBEAT, SET, "4999", ERR_INVALID_CONFIG,
      HEARTBEAT " must be greater than or equal to group.consumer.min.heartbeat.interval.ms", "15000",
      FROM_GROUP },
    { "of share groups", "share.session.timeout.ms", SET, "50000", ERR_NONE, NULL, "50000", FROM_GROUP },
    { "of share groups, below", "share.record.lock.duration.ms", SET, "14999", ERR_INVALID_CONFIG,
      "share.record.lock.duration.ms must be greater than or equal to "
      "group.share.min.record.lock.duration.ms",
      "30000", FROM_DEFAULT },
    { "of share groups, below any", "share.record.lock.duration.ms", SET, "999", ERR_INVALID_CONFIG,
      "Invalid value 999 for configuration share.record.lock.duration.ms: Value must be at least 1000",
      "30000", FROM_DEFAULT },
    { "a word", "share.isolation.level", SET, "read_committed", ERR_NONE, NULL, "read_committed",
      FROM_GROUP },
    { "another word", "share.isolation.level", SET, "READ_COMMITTED", ERR_INVALID_CONFIG,
      "Invalid value READ_COMMITTED for configuration share.isolation.level: String must be one of: "
      "read_committed, read_uncommitted",
      "read_committed", FROM_GROUP },
    { "a position", "share.auto.offset.reset", SET, "by_duration:PT1H", ERR_NONE, NULL, "by_duration:PT1H",
      FROM_GROUP },
    { "no position", "share.auto.offset.reset", SET, "none", ERR_INVALID_CONFIG,
      "Invalid value none for configuration share.auto.offset.reset: Invalid value `none` for configuration "
      "share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format "
      "'by_duration:<PnDTnHnMn.nS>'.",
      "by_duration:PT1H", FROM_GROUP },
    { "of streams groups", "streams.num.standby.replicas", SET, "2", ERR_NONE, NULL, "2", FROM_GROUP },
    { "of streams groups, above", "streams.num.standby.replicas", SET, "3", ERR_INVALID_CONFIG,
      "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas", "2",
      FROM_GROUP },
    { "unbounded", "streams.initial.rebalance.delay.ms", SET, "0", ERR_NONE, NULL, "0", FROM_GROUP },
};

START_TEST(operations)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const struct step *step = &steps[i];
        int16_t error_code = alter("g", step->name, step->operation, step->value);
        ck_assert_msg(error_code == step->error_code, "%s: %s", step->shows, error_name(error_code));
        slice message = told.responses[0].error_message;
        ck_assert_msg(slice_is_null(message) == !step->message, "%s", step->shows);
        size_t size = step->message ? strlen(step->message) : 0;
        ck_assert_msg(message.size >= size && (size == 0 || memcmp(message.data, step->message, size) == 0),
                      "%s: %.*s", step->shows, (int)message.size, (const char *)message.data);
        expect_value("g", step->name, step->after, step->source);
    }
    expect_value("another", SESSION, "45000", FROM_DEFAULT);
}
END_TEST

START_TEST(what_is_no_setting_or_no_group)
{
    ck_assert_int_eq(alter("g", "retention.ms", SET, "5"), ERR_INVALID_CONFIG);
    ck_assert(slice_equal_string(told.responses[0].error_message, "Unknown group config name: retention.ms"));
    ck_assert_int_eq(alter("g", "group.consumer.session.timeout.ms", SET, "50000"), ERR_INVALID_CONFIG);
    ck_assert_int_eq(alter("g", "retention.ms", DELETE, NULL), ERR_NONE); /* was not there, and is not */
    ck_assert_int_eq(alter("", SESSION, SET, "50000"), ERR_INVALID_REQUEST);
    ck_assert(
        slice_equal_string(told.responses[0].error_message, "Default group resources are not allowed."));
    ck_assert_int_eq(alter("no topic's name: \xc3\xa4", SESSION, SET, "50000"), ERR_NONE);
    expect_value("no topic's name: \xc3\xa4", SESSION, "50000", FROM_GROUP);
    ck_assert_str_eq(described(GROUP, "g", "retention.ms"), "");
}
END_TEST

/* Together with what the broker has for the others. */
START_TEST(a_session_outlasts_a_heartbeat)
{
    reopen("group.consumer.min.session.timeout.ms=1000\ngroup.consumer.min.heartbeat.interval.ms=1000\n"
           "group.consumer.heartbeat.interval.ms=2000\n");
    expect_value("g", HEARTBEAT, "2000", FROM_DEFAULT);
    ck_assert_int_eq(alter("g", SESSION, SET, "2000"), ERR_INVALID_CONFIG);
    ck_assert(
        slice_equal_string(told.responses[0].error_message, SESSION " must be greater than " HEARTBEAT));
    ck_assert_int_eq(alter("g", SESSION, SET, "2001"), ERR_NONE);
    ck_assert_int_eq(alter("g", HEARTBEAT, SET, "2001"), ERR_INVALID_CONFIG);
    ck_assert_int_eq(alter("g", HEARTBEAT, SET, "1000"), ERR_NONE);
    ck_assert_int_eq(alter("g", SESSION, SET, "1001"), ERR_NONE);
    ck_assert_int_eq(alter("g", HEARTBEAT, DELETE, NULL), ERR_INVALID_CONFIG); /* 2000 would be back */
    expect_value("g", HEARTBEAT, "1000", FROM_GROUP);
}
END_TEST

START_TEST(validate_only_changes_nothing)
{
    int64_t end = controller_image(sim.server->controller)->end_offset;
    ck_assert_int_eq(alter_one("g", SESSION, SET, "50000", true), ERR_NONE);
    ck_assert_int_eq(alter_one("g", SESSION, SET, "1", true), ERR_INVALID_CONFIG);
    expect_value("g", SESSION, "45000", FROM_DEFAULT);
    ck_assert_int_eq(controller_image(sim.server->controller)->end_offset, end);
}
END_TEST

static void come_back(bool power_fails)
{
    sim_disconnect(&client);
    if (power_fails)
        sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
    else
        sim_restart(&sim);
    sim_connect(&sim, &client);
}

START_TEST(settings_outlive_restarts_and_power_cuts)
{
    ck_assert_int_eq(alter("g", SESSION, SET, "50000"), ERR_NONE);
    ck_assert_int_eq(alter("g", HEARTBEAT, SET, "6000"), ERR_NONE);
    ck_assert_int_eq(alter("gone", HEARTBEAT, SET, "6000"), ERR_NONE);
    ck_assert_int_eq(alter("g", HEARTBEAT, DELETE, NULL), ERR_NONE);
    ck_assert_int_eq(alter("gone", HEARTBEAT, DELETE, NULL), ERR_NONE);
    for (int round = 0; round < 3; round++) {
        expect_value("g", SESSION, "50000", FROM_GROUP);
        expect_value("g", HEARTBEAT, "5000", FROM_DEFAULT);
        ck_assert_uint_eq(controller_image(sim.server->controller)->resource_count, 1);
        come_back(round % 2 != 0);
    }
    ck_assert_int_eq(alter("g", SESSION, SET, "55000"), ERR_NONE);
    come_back(true); /* at once: what was answered is durable */
    expect_value("g", SESSION, "55000", FROM_GROUP);
}
END_TEST

/* The bounds of the broker may be others when it starts again: what is kept holds, as in Kafka. */
START_TEST(what_is_kept_holds_beyond_new_bounds)
{
    ck_assert_int_eq(alter("g", SESSION, SET, "60000"), ERR_NONE);
    sim_disconnect(&client);
    struct file_double *disk = sim_stop(&sim);
    config_destroy(sim.config);
    sim_open_on(&sim, disk, 7, "group.consumer.max.session.timeout.ms=50000\n");
    sim_connect(&sim, &client);
    expect_value("g", SESSION, "60000", FROM_GROUP);
    ck_assert_int_eq(alter("g", HEARTBEAT, SET, "6000"), ERR_INVALID_CONFIG);
    ck_assert_int_eq(alter("g", SESSION, SET, "50000"), ERR_NONE);
}
END_TEST

static bool deny_secret_group(void *context, const struct conn *conn, enum acl_operation op,
                              int resource_type, slice name)
{
    (void)context;
    (void)conn;
    (void)op;
    return resource_type != 3 || !slice_equal_string(name, "secret");
}

START_TEST(of_a_group_that_is_not_allowed)
{
    sim.server->authorize = deny_secret_group;
    ck_assert_int_eq(alter("secret", SESSION, SET, "50000"), ERR_GROUP_AUTHORIZATION_FAILED);
    ck_assert_int_eq(alter("open", SESSION, SET, "50000"), ERR_NONE);
    ck_assert_str_eq(described(GROUP, "secret", SESSION), "");
}
END_TEST

/* -- living groups -------------------------------------------------------------------------------- */

enum { SETTLED_MS = 4000 }; /* from then on the interval is the normal one */

static struct consumer_player one, two;

static void join(struct consumer_player *player, int number)
{
    player_init(player, number);
    player_connect(&sim, player);
    player->names[0] = "orders";
    player->name_count = 1;
    player_find_coordinator(player);
    ck_assert_int_eq(player_beat(player), ERR_NONE);
}

static void begin_group(void)
{
    struct one_metadata make;
    struct metadata_response made;
    one_metadata(&make, SLICE_LITERAL("orders"));
    ck_assert(sim_call(&client, ONE_METADATA, 9, &make.request, &made));
    join(&one, 1);
    join(&two, 2);
    ck_assert_int_lt(players_settle((struct consumer_player *const[]){ &one, &two }, 2, 20), 20);
    for (int i = 0; i < 2; i++) {
        sim_advance(&sim, SETTLED_MS);
        ck_assert_int_eq(player_beat(&one), ERR_NONE);
        ck_assert_int_eq(player_beat(&two), ERR_NONE);
    }
}

static void end_group(void)
{
    player_disconnect(&one);
    player_disconnect(&two);
}

START_TEST(the_next_heartbeat_tells_the_new_interval)
{
    begin_group();
    ck_assert_int_eq(one.interval_ms, 5000);
    ck_assert_int_eq(alter("group", HEARTBEAT, SET, "12000"), ERR_NONE);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_eq(one.interval_ms, 12000);
    ck_assert_int_eq(alter("other", HEARTBEAT, SET, "13000"), ERR_NONE);
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_int_eq(two.interval_ms, 12000);
    ck_assert_int_eq(alter("group", HEARTBEAT, DELETE, NULL), ERR_NONE);
    ck_assert_int_eq(player_beat(&two), ERR_NONE);
    ck_assert_int_eq(two.interval_ms, 5000);
    end_group();
}
END_TEST

static int member_count(void)
{
    return player_describe(&client, "group").members_count;
}

/* Longer and shorter than before: from a member's next heartbeat on. */
START_TEST(the_next_heartbeat_begins_the_new_session)
{
    begin_group(); /* both have 45 s from here */
    ck_assert_int_eq(alter("group", SESSION, SET, "60000"), ERR_NONE);
    sim_advance(&sim, 1000);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    sim_advance(&sim, 43000);
    ck_assert_int_eq(member_count(), 2);
    sim_advance(&sim, 2000); /* two said nothing since */
    ck_assert_int_eq(member_count(), 1);
    sim_advance(&sim, 14000);
    ck_assert_int_eq(member_count(), 1);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    ck_assert_int_eq(alter("group", SESSION, SET, "45000"), ERR_NONE);
    ck_assert_int_eq(player_beat(&one), ERR_NONE);
    sim_advance(&sim, 44000);
    ck_assert_int_eq(member_count(), 1);
    sim_advance(&sim, 2000);
    ck_assert_int_eq(member_count(), 0);
    end_group();
}
END_TEST

/* A group that is loaded has its own times from the start. */
START_TEST(sessions_after_a_restart_are_the_groups)
{
    ck_assert_int_eq(alter("group", SESSION, SET, "60000"), ERR_NONE);
    begin_group();
    end_group();
    come_back(true);
    sim_settle(&sim);
    sim_advance(&sim, 50000);
    ck_assert_int_eq(member_count(), 2);
    sim_advance(&sim, 11000);
    ck_assert_int_eq(member_count(), 0);
}
END_TEST

/* -- what has settings ---------------------------------------------------------------------------- */

/* "type:name ...", borrowed until the next call; or the error. */
static const char *listed(int16_t version, const int8_t *types, int32_t count)
{
    static char text[1000];
    struct list_config_resources_request request;
    struct list_config_resources_response response;
    list_config_resources_request_init(&request);
    request.resource_types = (int8_t *)types;
    request.resource_types_count = count;
    ck_assert(sim_call(&client, KEY_LIST_CONFIG_RESOURCES, version, &request, &response));
    if (response.error_code != ERR_NONE) {
        ck_assert_int_eq(response.config_resources_count, 0);
        return error_name(response.error_code);
    }
    text[0] = '\0';
    for (int32_t i = 0, at = 0; i < response.config_resources_count; i++) {
        const struct list_config_resources_response_resource *found = &response.config_resources[i];
        at +=
            snprintf(text + at, sizeof text - (size_t)at, "%s%d:%.*s", i > 0 ? " " : "", found->resource_type,
                     (int)found->resource_name.size, (const char *)found->resource_name.data);
    }
    return text;
}

/* As Kafka writes them; we write none of client metrics ourselves. */
static void propose(int8_t type, const char *resource, const char *name, const char *value)
{
    struct config_record record = { type, slice_of_string(resource), slice_of_string(name),
                                    slice_of_string(value) };
    slice encoded = metadata_record_encode(&arena, METADATA_RECORD_CONFIG, 0, &record);
    int64_t end;
    ck_assert_int_eq(controller_propose(sim.server->controller, &encoded, 1, -1, &end), PROPOSE_COMMITTED);
}

START_TEST(what_has_settings_is_listed)
{
    static const int8_t group = GROUP, topic = TOPIC, metrics = CLIENT_METRICS;
    static const int8_t brokers[] = { BROKER, BROKER_LOGGER, BROKER }, unknown[] = { GROUP, 3 };
    struct one_metadata make;
    struct metadata_response made;
    ck_assert_str_eq(listed(0, NULL, 0), "");
    ck_assert_str_eq(listed(1, NULL, 0), "8:1 4:1");
    one_metadata(&make, SLICE_LITERAL("orders"));
    ck_assert(sim_call(&client, ONE_METADATA, 9, &make.request, &made));
    ck_assert_int_eq(alter("second", SESSION, SET, "50000"), ERR_NONE);
    ck_assert_int_eq(alter("first", SESSION, SET, "50000"), ERR_NONE);
    ck_assert_int_eq(alter("none", SESSION, DELETE, NULL), ERR_NONE);
    propose(CLIENT_METRICS, "watch", "interval.ms", "1000");
    ck_assert_str_eq(listed(1, NULL, 0), "32:first 32:second 16:watch 8:1 4:1 2:orders");
    ck_assert_str_eq(listed(1, &group, 1), "32:first 32:second");
    ck_assert_str_eq(listed(1, &topic, 1), "2:orders");
    ck_assert_str_eq(listed(1, &metrics, 1), "16:watch");
    ck_assert_str_eq(listed(1, brokers, 3), "8:1 4:1");
    ck_assert_str_eq(listed(1, unknown, 2), "UNSUPPORTED_VERSION");
    ck_assert_str_eq(listed(0, NULL, 0), "16:watch");
    ck_assert_int_eq(alter("first", SESSION, DELETE, NULL), ERR_NONE);
    ck_assert_str_eq(listed(1, &group, 1), "32:second");
}
END_TEST

/* -- records of Kafka's --------------------------------------------------------------------------- */

START_TEST(records_of_kafka_are_kept)
{
    static const int8_t group = GROUP;
    propose(CLIENT_METRICS, "watch", "interval.ms", "1000");
    propose(GROUP, "g", SESSION, "50000");
    propose(GROUP, "g", "of.the.future", "secret");
    propose(GROUP, "g", HEARTBEAT, "never"); /* wrong: the broker's holds */
    for (int round = 0; round < 2; round++) {
        ck_assert_str_eq(described(CLIENT_METRICS, "watch", "interval.ms"), "1000(7) interval.ms=1000(7)");
        ck_assert_str_eq(described(CLIENT_METRICS, "other", "interval.ms"), "300000(5)");
        ck_assert_str_eq(described(GROUP, "g", "of.the.future"), "(8) of.the.future=(8)");
        expect_value("g", SESSION, "50000", FROM_GROUP);
        expect_value("g", HEARTBEAT, "5000", FROM_DEFAULT);
        ck_assert_str_eq(listed(1, &group, 1), "32:g");
        come_back(true);
    }
    ck_assert_int_eq(alter("g", SESSION, SET, "55000"), ERR_INVALID_CONFIG);
    ck_assert(
        slice_equal_string(told.responses[0].error_message, "Unknown group config name: of.the.future"));
    ck_assert_int_eq(alter("g", "of.the.future", DELETE, NULL), ERR_INVALID_CONFIG); /* the other is wrong */
    ck_assert_int_eq(alter("g", HEARTBEAT, SET, "6000"), ERR_INVALID_CONFIG);
    propose(GROUP, "g", HEARTBEAT, NULL);
    ck_assert_int_eq(alter("g", "of.the.future", DELETE, NULL), ERR_NONE);
    ck_assert_int_eq(alter("g", SESSION, SET, "55000"), ERR_NONE);
}
END_TEST

/* -- bounds --------------------------------------------------------------------------------------- */

/* Settings for `count` groups from `first` on; how many were refused. */
static int alter_many(int first, int count)
{
    struct incremental_alter_configs_request request;
    struct incremental_alter_configs_request_config config;
    int refused = 0;
    char *names = calloc((size_t)count, 16);
    incremental_alter_configs_request_init(&request);
    incremental_alter_configs_request_config_init(&config);
    config.name = SLICE_LITERAL(SESSION);
    config.value = SLICE_LITERAL("50000");
    request.resources = calloc((size_t)count, sizeof *request.resources);
    ck_assert(names && request.resources);
    request.resources_count = count;
    for (int i = 0; i < count; i++) {
        incremental_alter_configs_request_resource_init(&request.resources[i]);
        snprintf(names + 16 * i, 16, "g%d", first + i);
        request.resources[i].resource_type = GROUP;
        request.resources[i].resource_name = slice_of_string(names + 16 * i);
        request.resources[i].configs = &config;
        request.resources[i].configs_count = 1;
    }
    ck_assert(sim_call(&client, KEY_ALTER_CONFIGS, 1, &request, &told));
    for (int i = 0; i < count; i++) {
        int16_t error_code = told.responses[i].error_code;
        ck_assert(error_code == ERR_NONE || error_code == ERR_POLICY_VIOLATION);
        refused += error_code != ERR_NONE;
    }
    free(request.resources);
    free(names);
    return refused;
}

START_TEST(groups_with_settings_are_bounded)
{
    enum { STEP = 10000 };
    for (int first = 0; first < GROUP_CONFIGS_MAX; first += STEP)
        ck_assert_int_eq(alter_many(first, STEP), 0);
    ck_assert_int_eq(alter_many(GROUP_CONFIGS_MAX, 3), 3);
    ck_assert_int_eq(alter("g5", SESSION, SET, "51000"), ERR_NONE);
    ck_assert_int_eq(alter("g6", SESSION, DELETE, NULL), ERR_NONE);
    ck_assert_int_eq(alter_many(GROUP_CONFIGS_MAX, 3), 2);
    come_back(false);
    ck_assert_uint_eq(controller_image(sim.server->controller)->resource_count, GROUP_CONFIGS_MAX);
    expect_value("g5", SESSION, "51000", FROM_GROUP);
    expect_value("g6", SESSION, "45000", FROM_DEFAULT);
}
END_TEST

START_TEST(the_bytes_of_settings_are_bounded)
{
    static char name[32000];
    int taken = 0;
    memset(name, 'x', sizeof name - 1);
    for (int16_t error_code = ERR_NONE; error_code == ERR_NONE; taken++) {
        memcpy(name,
               &(char[4]){ (char)('a' + taken % 26), (char)('a' + taken / 26 % 26), (char)('a' + taken / 676),
                           '-' },
               4);
        error_code = alter(name, SESSION, SET, "50000");
        ck_assert(error_code == ERR_NONE || error_code == ERR_POLICY_VIOLATION);
    }
    ck_assert_int_gt(taken, GROUP_CONFIGS_SIZE_MAX / 32100);
    ck_assert_int_lt(taken, GROUP_CONFIGS_SIZE_MAX / 31900);
    name[0] = name[1] = name[2] = 'a';
    ck_assert_int_eq(alter(name, SESSION, DELETE, NULL), ERR_NONE);
    ck_assert_int_eq(alter(name, SESSION, SET, "50000"), ERR_NONE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group configs");
    TCase *tests = tcase_create("groups");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, operations);
    tcase_add_test(tests, what_is_no_setting_or_no_group);
    tcase_add_test(tests, a_session_outlasts_a_heartbeat);
    tcase_add_test(tests, validate_only_changes_nothing);
    tcase_add_test(tests, settings_outlive_restarts_and_power_cuts);
    tcase_add_test(tests, what_is_kept_holds_beyond_new_bounds);
    tcase_add_test(tests, of_a_group_that_is_not_allowed);
    tcase_add_test(tests, the_next_heartbeat_tells_the_new_interval);
    tcase_add_test(tests, the_next_heartbeat_begins_the_new_session);
    tcase_add_test(tests, sessions_after_a_restart_are_the_groups);
    tcase_add_test(tests, what_has_settings_is_listed);
    tcase_add_test(tests, records_of_kafka_are_kept);
    tcase_add_test(tests, groups_with_settings_are_bounded);
    tcase_add_test(tests, the_bytes_of_settings_are_bounded);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
