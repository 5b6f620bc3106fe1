/* AlterConfigs against the whole broker: what is sent is all that a topic or group has then; what is refused.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/alter_configs.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/sim.h"

enum { KEY_ALTER_CONFIGS = 33, RESOURCES_MAX = 4, CONFIGS_MAX = 4 };
enum { TOPIC = 2, BROKER = 4, BROKER_LOGGER = 8, CLIENT_METRICS = 16, GROUP = 32 };

static struct sim sim;
static struct sim_client client;
static struct alter_configs_request asked;
static struct alter_configs_request_resource resources[RESOURCES_MAX];
static struct alter_configs_request_config configs[RESOURCES_MAX][CONFIGS_MAX];
static struct alter_configs_response told;

static void make_topic(const char *name)
{
    struct one_metadata one;
    struct metadata_response made;
    one_metadata(&one, slice_of_string(name));
    ck_assert(sim_call(&client, ONE_METADATA, 9, &one.request, &made));
    ck_assert_int_eq(made.topics[0].error_code, ERR_NONE);
}

static void set_up(void)
{
    sim_open(&sim, 7, "");
    sim_connect(&sim, &client);
    make_topic("orders");
}

static void tear_down(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
}

static void ask_nothing(void)
{
    alter_configs_request_init(&asked);
    asked.resources = resources;
}

static void add_resource(int8_t type, const char *name)
{
    struct alter_configs_request_resource *resource = &resources[asked.resources_count];
    alter_configs_request_resource_init(resource);
    resource->resource_type = type;
    resource->resource_name = slice_of_string(name);
    resource->configs = configs[asked.resources_count++];
}

/* Of the resource added last; value NULL: null. */
static void add_config(const char *name, const char *value)
{
    struct alter_configs_request_resource *resource = &resources[asked.resources_count - 1];
    struct alter_configs_request_config *config = &resource->configs[resource->configs_count++];
    alter_configs_request_config_init(config);
    config->name = slice_of_string(name);
    config->value = slice_of_string(value);
}

static int16_t call(void)
{
    ck_assert(sim_call(&client, KEY_ALTER_CONFIGS, 2, &asked, &told));
    ck_assert_int_eq(told.responses_count, asked.resources_count);
    return told.responses_count > 0 ? told.responses[0].error_code : (int16_t)ERR_NONE;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The settings that it has, as the image says: "name=value ..." in the order of names. */
static const char *settings_of(int8_t type, const char *name)
{
    enum { MAX = 16, SIZE = 100 };
    static char text[MAX * SIZE], parts[MAX][SIZE];
    const char *sorted[MAX];
    const struct image *image = controller_image(sim.server->controller);
    const struct topic *topic = image_topic_by_name(image, slice_of_string(name));
    const struct resource_config *group =
        image_resource(image, (enum config_resource_type)type, slice_of_string(name));
    const struct topic_config_override *overrides = type == TOPIC ? topic->overrides
                                                    : group       ? group->overrides
                                                                  : NULL;
    size_t count = type == TOPIC ? topic->override_count : group ? group->override_count : 0;
    ck_assert_uint_le(count, MAX);
    for (size_t i = 0; i < count; i++) {
        snprintf(parts[i], SIZE, "%.*s=%.*s", (int)overrides[i].name.size,
                 (const char *)overrides[i].name.data, (int)overrides[i].value.size,
                 (const char *)overrides[i].value.data);
        sorted[i] = parts[i];
    }
    qsort(sorted, count, sizeof *sorted, compare_texts);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(text, i > 0 ? " " : "");
        strcat(text, sorted[i]);
    }
    return text;
}

START_TEST(what_is_sent_is_all_there_is)
{
    ask_nothing();
    add_resource(TOPIC, "orders");
    add_config("retention.ms", "1000");
    add_config("segment.ms", "2000");
    add_resource(GROUP, "g");
    add_config("consumer.session.timeout.ms", "50000");
    ck_assert_int_eq(call(), ERR_NONE);
    ck_assert_int_eq(told.responses[1].error_code, ERR_NONE);
    ck_assert(slice_is_null(told.responses[1].error_message));
    ck_assert_str_eq(settings_of(TOPIC, "orders"), "retention.ms=1000 segment.ms=2000");
    ck_assert_str_eq(settings_of(GROUP, "g"), "consumer.session.timeout.ms=50000");

    ask_nothing();
    add_resource(TOPIC, "orders");
    add_config("retention.bytes", "5");
    add_config("segment.ms", "2000");
    add_resource(GROUP, "g");
    add_config("consumer.heartbeat.interval.ms", "6000");
    ck_assert_int_eq(call(), ERR_NONE);
    ck_assert_str_eq(settings_of(TOPIC, "orders"), "retention.bytes=5 segment.ms=2000");
    ck_assert_str_eq(settings_of(GROUP, "g"), "consumer.heartbeat.interval.ms=6000");
    int64_t end = controller_image(sim.server->controller)->end_offset;
    ck_assert_int_eq(call(), ERR_NONE); /* the same again is no change */
    ck_assert_int_eq(controller_image(sim.server->controller)->end_offset, end);

    ask_nothing();
    add_resource(TOPIC, "orders");
    add_resource(GROUP, "g");
    ck_assert_int_eq(call(), ERR_NONE);
    for (int round = 0; round < 2; round++) {
        ck_assert_str_eq(settings_of(TOPIC, "orders"), "");
        ck_assert_str_eq(settings_of(GROUP, "g"), "");
        sim_disconnect(&client);
        sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
        sim_connect(&sim, &client);
    }
}
END_TEST

/* What goes counts in the checks, too. */
START_TEST(the_whole_is_checked)
{
    ask_nothing();
    add_resource(TOPIC, "orders");
    add_config("max.compaction.lag.ms", "5");
    ck_assert_int_eq(call(), ERR_NONE);
    add_config("min.compaction.lag.ms", "10");
    ck_assert_int_eq(call(), ERR_INVALID_CONFIG);
    ck_assert_str_eq(settings_of(TOPIC, "orders"), "max.compaction.lag.ms=5");
    ask_nothing();
    add_resource(TOPIC, "orders");
    add_config("min.compaction.lag.ms", "10");
    ck_assert_int_eq(call(), ERR_NONE);
    ck_assert_str_eq(settings_of(TOPIC, "orders"), "min.compaction.lag.ms=10");
}
END_TEST

START_TEST(validate_only_changes_nothing)
{
    ask_nothing();
    add_resource(TOPIC, "orders");
    add_config("retention.ms", "1000");
    ck_assert_int_eq(call(), ERR_NONE);
    ask_nothing();
    asked.validate_only = true;
    add_resource(TOPIC, "orders");
    add_resource(TOPIC, "missing");
    add_resource(GROUP, "g");
    add_config("consumer.session.timeout.ms", "50000");
    ck_assert_int_eq(call(), ERR_NONE);
    ck_assert_int_eq(told.responses[1].error_code, ERR_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(told.responses[2].error_code, ERR_NONE);
    ck_assert_str_eq(settings_of(TOPIC, "orders"), "retention.ms=1000");
    ck_assert_str_eq(settings_of(GROUP, "g"), "");
}
END_TEST

static const struct refusal {
    int8_t type;
    const char *resource;
    const char *name;
    const char *value;
    int16_t error_code;
    const char *message; /* its beginning */
} refusals[] = {
    { TOPIC, "orders", "nope", "5", ERR_INVALID_CONFIG, "Unknown topic config name: nope" },
    { TOPIC, "orders", "retention.ms", NULL, ERR_INVALID_REQUEST,
      "Null value not supported for : retention.ms" },
    { TOPIC, "orders", "retention.ms", "abc", ERR_INVALID_CONFIG,
      "Invalid value abc for configuration retention.ms: Not a number of type LONG" },
    { TOPIC, "missing", "retention.ms", "5", ERR_UNKNOWN_TOPIC_OR_PARTITION,
      "The topic 'missing' does not exist." },
    { TOPIC, "", "retention.ms", "5", ERR_INVALID_REQUEST, "Default topic resources are not allowed." },
    { BROKER, "x", "log.retention.ms", "5", ERR_INVALID_REQUEST, "Node id must be an integer, but it is: x" },
    { BROKER, "1", "log.retention.ms", "5", ERR_INVALID_REQUEST,
      "Cannot update these configs dynamically: log.retention.ms." },
    { BROKER_LOGGER, "1", "root", "INFO", ERR_INVALID_REQUEST, "Unknown resource type 8" },
    { CLIENT_METRICS, "all", "match", "a=b", ERR_INVALID_REQUEST, "Client metrics" },
    { GROUP, "", "consumer.session.timeout.ms", "50000", ERR_INVALID_REQUEST,
      "Default group resources are not allowed." },
    { GROUP, "g", "retention.ms", "50000", ERR_INVALID_CONFIG, "Unknown group config name: retention.ms" },
    { GROUP, "g", "consumer.session.timeout.ms", "1", ERR_INVALID_CONFIG,
      "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms" },
    { 0, "x", "a", "b", ERR_INVALID_REQUEST, "Unknown resource type 0" },
    { -1, "x", "a", "b", ERR_INVALID_REQUEST, "Unknown resource type -1" },
};

START_TEST(refused_in_kafkas_words)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *row = &refusals[i];
        ask_nothing();
        add_resource(row->type, row->resource);
        add_config(row->name, row->value);
        int16_t error_code = call();
        slice message = told.responses[0].error_message;
        ck_assert_msg(error_code == row->error_code, "%s: %s", row->message, error_name(error_code));
        ck_assert_msg(message.size >= strlen(row->message) &&
                          memcmp(message.data, row->message, strlen(row->message)) == 0,
                      "%s: %.*s", row->message, (int)message.size, (const char *)message.data);
    }
    ck_assert_str_eq(settings_of(TOPIC, "orders"), "");
}
END_TEST

START_TEST(mentioned_twice)
{
    ask_nothing();
    add_resource(TOPIC, "orders");
    add_config("retention.ms", "5");
    add_resource(GROUP, "orders");
    add_config("consumer.session.timeout.ms", "50000");
    add_config("consumer.session.timeout.ms", "51000");
    add_resource(TOPIC, "orders");
    ck_assert_int_eq(call(), ERR_INVALID_REQUEST);
    ck_assert(slice_equal_string(told.responses[0].error_message, "Each resource must appear at most once."));
    ck_assert(slice_equal_string(told.responses[1].error_message, "Error due to duplicate config keys"));
    ck_assert_int_eq(told.responses[2].error_code, ERR_INVALID_REQUEST);
    ck_assert_str_eq(settings_of(TOPIC, "orders"), "");
    ck_assert_str_eq(settings_of(GROUP, "orders"), "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replace configs");
    TCase *tests = tcase_create("resources");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_is_sent_is_all_there_is);
    tcase_add_test(tests, the_whole_is_checked);
    tcase_add_test(tests, validate_only_changes_nothing);
    tcase_add_test(tests, refused_in_kafkas_words);
    tcase_add_test(tests, mentioned_twice);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
