/* Names: the table itself, names that are none of it, and names of the environment. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config_internal.h"
#include "tests/unit/broker/config_try.h"

/* The field of a row is its name with '_' for '.'. */
static const char *const fields[] = {
#define CONFIG(field, name, type, value, valid, unit, scope, row_class, sentence) #field,
#include "broker/config.def"
#undef CONFIG
};

START_TEST(table_is_sound)
{
    const struct config_row *row = config_row_at((size_t)_i);
    struct config_parsed parsed;
    char field[128];
    snprintf(field, sizeof field, "%s", row->name);
    for (char *c = field; *c != '\0'; c++)
        *c = *c == '.' ? '_' : *c;
    ck_assert_str_eq(field, fields[_i]);
    ck_assert_uint_eq(config_row_find(slice_of_string(row->name)), (size_t)_i);
    if (_i > 0)
        ck_assert_msg(strcmp(config_row_at((size_t)_i - 1)->name, row->name) < 0, "%s", row->name);
    ck_assert_msg(row->sentence[strlen(row->sentence) - 1] == '.', "%s", row->name);
    bool computed = _i == SETTING_num_network_threads;
    if (row->value_default != NULL && !computed)
        ck_assert_msg(config__check_value(row, slice_of_string(row->value_default), &parsed, NULL), "%s",
                      row->name);
    if (row->kafka_default != NULL)
        ck_assert_msg(config__check_value(row, slice_of_string(row->kafka_default), &parsed, NULL), "%s",
                      row->name);
}
END_TEST

START_TEST(topic_table_is_sound)
{
    const struct config_row *row = topic_config_row((size_t)_i);
    struct config_parsed parsed;
    size_t synonyms[TOPIC_CONFIG_SYNONYMS_MAX];
    if (_i > 0)
        ck_assert_msg(strcmp(topic_config_row((size_t)_i - 1)->name, row->name) < 0, "%s", row->name);
    ck_assert_uint_eq(topic_config_find(slice_of_string(row->name)), (size_t)_i);
    if (row->value_default != NULL)
        ck_assert_msg(config__check_value(row, slice_of_string(row->value_default), &parsed, NULL), "%s",
                      row->name);
    size_t count = topic_config_synonyms((size_t)_i, synonyms);
    for (size_t i = 0; i < count; i++) {
        enum config_type type = config_row_at(synonyms[i])->type;
        ck_assert(type == row->type || (type == CONFIG_INT && row->type == CONFIG_LONG));
    }
}
END_TEST

/* What differs from Kafka on purpose; the manual lists these. */
START_TEST(differences)
{
    static const char *const names[] = {
        "group.initial.rebalance.delay.ms",
        "listeners",
        "log.dir",
        "log.flush.interval.messages",
        "node.id",
        "num.network.threads",
        "offsets.topic.replication.factor",
        "process.roles",
        "share.coordinator.state.topic.min.isr",
        "share.coordinator.state.topic.replication.factor",
        "socket.receive.buffer.bytes",
        "socket.send.buffer.bytes",
        "transaction.state.log.min.isr",
        "transaction.state.log.replication.factor",
    };
    size_t found = 0;
    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct config_row *row = config_row_at(i);
        if (row->value_default == row->kafka_default ||
            (row->value_default && row->kafka_default && strcmp(row->value_default, row->kafka_default) == 0))
            continue;
        ck_assert_uint_lt(found, sizeof names / sizeof *names);
        ck_assert_str_eq(names[found++], row->name);
    }
    ck_assert_uint_eq(found, sizeof names / sizeof *names);
}
END_TEST

static const struct name_row {
    const char *what;
    const char *name;
    const char *nearest; /* "" : none is near */
} nearest_rows[] = {
    { "a letter is missing", "num.partition", "num.partitions" },
    { "a letter too many", "log.dirss", "log.dirs" },
    { "two are swapped", "lsiteners", "listeners" },
    { "bars for dots", "log_segment_bytes", "log.segment.bytes" },
    { "capital letters", "Log.Dirs", "log.dirs" },
    { "a topic's name for it", "segment.bytes", "log.segment.bytes" },
    { "far from all", "completely.different", "" },
    { "nothing", "", "" },
    { "too long",
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aa",
      "" },
};

START_TEST(nearest)
{
    const struct name_row *row = &nearest_rows[_i];
    const char *found = config__nearest_name(slice_of_string(row->name));
    ck_assert_msg(strcmp(found ? found : "", row->nearest) == 0, "%s: %s", row->what, found);
}
END_TEST

static const struct kind_row {
    const char *name;
    enum config_name_kind kind;
} kind_rows[] = {
    { "listener.name.internal.ssl.keystore.location", NAME_LISTENER },
    { "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config", NAME_LISTENER },
    { "listener.name.internal.num.network.threads", NAME_LISTENER },
    { "listener.name.internal.no.such.setting", NAME_UNKNOWN },
    { "listener.name.internal", NAME_UNKNOWN },
    { "listener.name..ssl.keystore.location", NAME_UNKNOWN },
    { "super.users", NAME_REFUSED },
    { "config.providers.file.class", NAME_REFUSED },
    { "rsm.config.bucket", NAME_PLUGIN },
    { "rsm.config.", NAME_UNKNOWN },
    { "confluent.support.metrics.enable", NAME_PLUGIN },
    { "metrics.jmx.include", NAME_PLUGIN },
    { "zookeeper.connect", NAME_REMOVED },
    { "inter.broker.protocol.version", NAME_REMOVED },
    { "log.message.format.version", NAME_REMOVED },
    { "num.partition", NAME_UNKNOWN },
    { "", NAME_UNKNOWN },
};

START_TEST(kinds)
{
    slice rest;
    ck_assert_msg(config__name_kind(slice_of_string(kind_rows[_i].name), &rest) == kind_rows[_i].kind, "%s",
                  kind_rows[_i].name);
}
END_TEST

static const struct env_row {
    const char *what;
    const char *variable;
    const char *value;
    const char *name; /* NULL: none of ours */
} env_rows[] = {
    { "one bar is a dot", "KAFKA_LOG_DIRS", "x", "log.dirs" },
    { "two are a bar", "KAFKA_LISTENER_NAME_SASL__SSL_SASL_ENABLED_MECHANISMS", "x",
      "listener.name.sasl_ssl.sasl.enabled.mechanisms" },
    { "three are a dash", "KAFKA_LISTENER_NAME_X_SCRAM___SHA___256_SASL_JAAS_CONFIG", "x",
      "listener.name.x.scram-sha-256.sasl.jaas.config" },
    { "four are a dash and a dot", "KAFKA_A____B", "x", "a-.b" },
    { "five are a dash and a bar", "KAFKA_A_____B", "x", "a-_b" },
    { "small letters stay", "KAFKA_num_Partitions", "x", "num.partitions" },
    { "another prefix", "KAFK_LOG_DIRS", "x", NULL },
    { "the prefix in small letters", "kafka_log_dirs", "x", NULL },
    { "the prefix alone", "KAFKA_", "x", NULL },
    { "for the JVM", "KAFKA_HEAP_OPTS", "-Xmx1g", NULL },
    { "for the JVM too", "KAFKA_JVM_PERFORMANCE_OPTS", "", NULL },
    { "of the image", "KAFKA_VERSION", "4.2.0", NULL },
    { "a service link", "KAFKA_SERVICE_HOST", "10.0.0.1", NULL },
    { "its port", "KAFKA_SERVICE_PORT", "9092", NULL },
    { "its named port", "KAFKA_SERVICE_PORT_CLIENT", "9092", NULL },
    { "its address", "KAFKA_PORT", "tcp://10.0.0.1:9092", NULL },
    { "its parts", "KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1", NULL },
    { "of another service", "KAFKA_BROKER_0_PORT_9092_TCP", "tcp://10.0.0.1:9092", NULL },
    { "a port that is no link", "KAFKA_PORT", "9092", "port" },
};

START_TEST(environment)
{
    const struct env_row *row = &env_rows[_i];
    char name[256];
    bool ours = config__env_name(row->variable, row->value, name, sizeof name);
    ck_assert_msg(ours == (row->name != NULL), "%s", row->what);
    if (ours)
        ck_assert_msg(strcmp(name, row->name) == 0, "%s: %s", row->what, name);
}
END_TEST

START_TEST(environment_name_too_long)
{
    char name[8];
    ck_assert(config__env_name("KAFKA_1234567", "", name, sizeof name));
    ck_assert(!config__env_name("KAFKA_12345678", "", name, sizeof name));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("names");
    tcase_add_loop_test(tcase, table_is_sound, 0, SETTING_COUNT);
    tcase_add_loop_test(tcase, topic_table_is_sound, 0, TOPIC_CONFIG_COUNT);
    tcase_add_test(tcase, differences);
    tcase_add_loop_test(tcase, nearest, 0, COUNT_OF(nearest_rows));
    tcase_add_loop_test(tcase, kinds, 0, COUNT_OF(kind_rows));
    tcase_add_loop_test(tcase, environment, 0, COUNT_OF(env_rows));
    tcase_add_test(tcase, environment_name_too_long);
    return try_run("config_names", tcase);
}
