/* Loading: which source wins, what is refused and with which words, what is derived and shown. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/cli.h"
#include "broker/config.h"
#include "broker/group_config.h"
#include "tests/unit/broker/config_try.h"

static const struct value_row {
    const char *what;
    struct try_sources sources;
    const char *name;
    const char *value;
} value_rows[] = {
    { "the default", { .text = "" }, "num.partitions", "1" },
    { "the file", { .text = "num.partitions=2" }, "num.partitions", "2" },
    { "the later line", { .text = "num.partitions=2\nnum.partitions=3" }, "num.partitions", "3" },
    { "the environment over the file",
      { .text = "num.partitions=2", .environment = { "KAFKA_NUM_PARTITIONS=4" } },
      "num.partitions",
      "4" },
    { "the command line over both",
      { .text = "num.partitions=2",
        .environment = { "KAFKA_NUM_PARTITIONS=4" },
        .overrides = { "num.partitions=5" } },
      "num.partitions",
      "5" },
    { "the last override",
      { .overrides = { "num.partitions=5", "num.partitions=6" } },
      "num.partitions",
      "6" },
    { "a wrong value that does not hold",
      { .text = "num.partitions=x", .overrides = { "num.partitions=5" } },
      "num.partitions",
      "5" },
    { "what is refused, taken back",
      { .text = "authorizer.class.name=x", .overrides = { "authorizer.class.name=" } },
      "authorizer.class.name",
      "" },
    { "refused settings may say their default",
      { .text = "ssl.client.auth=none\nssl.enabled.protocols=TLSv1.2, TLSv1.3\nssl.keystore.location=" },
      "ssl.client.auth",
      "none" },
    { "an empty variable sets an empty value",
      { .environment = { "KAFKA_BROKER_RACK=" } },
      "broker.rack",
      "" },
    { "loops as many as cores", { .text = "" }, "num.network.threads", "2" },
    { "a null", { .text = "" }, "log.retention.ms", "(null)" },
    { "a secret", { .text = "" }, "ssl.key.password", "(null)" },
};

START_TEST(values)
{
    const struct value_row *row = &value_rows[_i];
    struct try_result result = try_load(&row->sources);
    ck_assert_msg(result.config != NULL, "%s: %s", row->what, try_message(&result, CONFIG_MESSAGE_ERROR));
    ck_assert_msg(strcmp(try_value(result.config, row->name), row->value) == 0, "%s: %s", row->what,
                  try_value(result.config, row->name));
    try_end(&result);
}
END_TEST

static const struct message_row {
    const char *what;
    struct try_sources sources;
    enum config_message_level level;
    const char *text;
} message_rows[] = {
    { "a wrong value",
      { .text = "\n\nnum.partitions=zero" },
      CONFIG_MESSAGE_ERROR,
      "f:3: Invalid value zero for configuration num.partitions: Not a number of type INT; wanted is a whole "
      "number from 1 to 2147483647" },
    { "a value out of range",
      { .overrides = { "log.segment.bytes=14" } },
      CONFIG_MESSAGE_ERROR,
      "--override: Invalid value 14 for configuration log.segment.bytes: Value must be at least 1048576; "
      "wanted is a whole number from 1048576 to 2147483647" },
    { "a wrong variable",
      { .environment = { "KAFKA_PREFERRED=1", "KAFKA_COMPRESSION_TYPE=brotli" } },
      CONFIG_MESSAGE_ERROR,
      "KAFKA_COMPRESSION_TYPE: Invalid value brotli for configuration compression.type: String must be one "
      "of: uncompressed, zstd, lz4, snappy, gzip, producer; wanted is one of uncompressed, zstd, lz4, "
      "snappy, gzip, producer" },
    { "no setting",
      { .text = "num.partition=3" },
      CONFIG_MESSAGE_ERROR,
      "f:1: \"num.partition\" is no setting of Kafka 4.2; the nearest name is num.partitions" },
    { "no setting, and none is near",
      { .overrides = { "my.own.thing=3" } },
      CONFIG_MESSAGE_ERROR,
      "--override: \"my.own.thing\" is no setting of Kafka 4.2" },
    { "no setting in the environment",
      { .environment = { "KAFKA_NUM_PARTITION=3" } },
      CONFIG_MESSAGE_WARNING,
      "KAFKA_NUM_PARTITION: \"num.partition\" is no setting of Kafka 4.2; the nearest name is "
      "num.partitions" },
    { "a removed setting",
      { .text = "zookeeper.connect=h:2181" },
      CONFIG_MESSAGE_ERROR,
      "f:1: \"zookeeper.connect\" was a setting of older versions and is none of Kafka 4.2; take it out" },
    { "a removed one in the environment",
      { .environment = { "KAFKA_ZOOKEEPER_CONNECT=h:2181" } },
      CONFIG_MESSAGE_WARNING,
      "KAFKA_ZOOKEEPER_CONNECT: \"zookeeper.connect\" was a setting of older versions and is none of Kafka "
      "4.2; take it out" },
    { "twice in the file",
      { .text = "num.partitions=1\n\nnum.partitions=2" },
      CONFIG_MESSAGE_WARNING,
      "f:3: num.partitions was set before, at f:1; the later one holds" },
    { "refused: TLS",
      { .text = "ssl.keystore.location=/x" },
      CONFIG_MESSAGE_ERROR,
      "f:1: ssl.keystore.location is refused: nothing here acts on it, and ignoring it would be unsafe; take "
      "it out" },
    { "refused, and the secret is not told",
      { .text = "ssl.key.password=canary" },
      CONFIG_MESSAGE_ERROR,
      "f:1: ssl.key.password is refused: nothing here acts on it, and ignoring it would be unsafe; take it "
      "out" },
    { "refused: an authorizer",
      { .text = "authorizer.class.name=x" },
      CONFIG_MESSAGE_ERROR,
      "f:1: authorizer.class.name is refused: nothing here acts on it, and ignoring it would be unsafe; take "
      "it out" },
    { "refused: its settings",
      { .text = "super.users=User:a" },
      CONFIG_MESSAGE_ERROR,
      "f:1: \"super.users\" is refused: its plug-in is not loaded here, and ignoring it would be unsafe" },
    { "refused: tiering",
      { .environment = { "KAFKA_REMOTE_LOG_STORAGE_SYSTEM_ENABLE=true" } },
      CONFIG_MESSAGE_ERROR,
      "KAFKA_REMOTE_LOG_STORAGE_SYSTEM_ENABLE: remote.log.storage.system.enable is refused: nothing here "
      "acts on it, and ignoring it would be unsafe; take it out" },
    { "refused for one listener",
      { .text = "listener.name.x.ssl.keystore.location=/x" },
      CONFIG_MESSAGE_ERROR,
      "f:1: \"listener.name.x.ssl.keystore.location\" is refused: it is not acted on per listener yet, and "
      "ignoring it would be unsafe" },
    { "a cap for one listener",
      { .text = "listener.name.x.max.connections=5" },
      CONFIG_MESSAGE_ERROR,
      "f:1: \"listener.name.x.max.connections\" is refused: it is not acted on per listener yet, and "
      "ignoring it would be unsafe" },
    { "threads for one listener",
      { .text = "listener.name.x.num.network.threads=5" },
      CONFIG_MESSAGE_INFO,
      "f:1: \"listener.name.x.num.network.threads\" is accepted, but has no meaning here" },
    { "a plug-in's",
      { .text = "rsm.config.x=5" },
      CONFIG_MESSAGE_INFO,
      "f:1: \"rsm.config.x\" is a plug-in's and has no meaning here" },
    { "accepted: one line for all",
      { .text = "num.io.threads=9\nlog.preallocate=true\nqueued.max.requests=500" },
      CONFIG_MESSAGE_INFO,
      "accepted, but not acted on: log.preallocate, num.io.threads" },
    { "the controller's listener",
      { .text = "controller.listener.names=C\nlisteners=PLAINTEXT://:1,C://:2" },
      CONFIG_MESSAGE_INFO,
      "listener C is not opened: the controller is part of this process" },
    { "a broken escape",
      { .text = "a=1\\\n\\u1" },
      CONFIG_MESSAGE_ERROR,
      "f:1: \\u must be followed by the four hexadecimal digits of a character" },
    { "no name", { .text = " = 1" }, CONFIG_MESSAGE_ERROR, "f:1: a value without a name" },
    { "a NUL",
      { .text = "broker.rack=a\\u0000b" },
      CONFIG_MESSAGE_ERROR,
      "f:1: broker.rack: the value holds a NUL character" },
    { "a controller alone",
      { .text = "process.roles=controller" },
      CONFIG_MESSAGE_ERROR,
      "f:1: process.roles: a controller alone is not possible; wanted is broker,controller" },
    { "no role",
      { .text = "process.roles=" },
      CONFIG_MESSAGE_ERROR,
      "f:1: Configuration 'process.roles' must not be empty.; wanted is a list of any of broker, "
      "controller" },
    { "a broker of another controller",
      { .text = "process.roles=broker\ncontroller.quorum.bootstrap.servers=h:9093" },
      CONFIG_MESSAGE_ERROR,
      "f:1: process.roles: a broker under another node's controller is not possible; to run this node on its "
      "own write broker,controller and take out controller.quorum.*" },
    { "two voters",
      { .text = "controller.quorum.voters=1@a:9093,2@b:9093" },
      CONFIG_MESSAGE_ERROR,
      "f:1: controller.quorum.voters: \"2@b:9093\" is another node, but this one (node.id 1) is its own and "
      "only controller" },
    { "no voter",
      { .text = "controller.quorum.voters=a:9093" },
      CONFIG_MESSAGE_ERROR,
      "f:1: controller.quorum.voters: cannot read \"a:9093\"; wanted is ID@HOST:PORT" },
    { "a quorum",
      { .text = "controller.quorum.bootstrap.servers=a:9093,b:9093" },
      CONFIG_MESSAGE_ERROR,
      "f:1: controller.quorum.bootstrap.servers: names a quorum of several nodes, but this one is its own "
      "and only controller" },
    { "no server",
      { .text = "controller.quorum.bootstrap.servers=a" },
      CONFIG_MESSAGE_ERROR,
      "f:1: controller.quorum.bootstrap.servers: cannot read \"a\"; wanted is HOST:PORT" },
    { "two ids",
      { .text = "node.id=1\nbroker.id=2" },
      CONFIG_MESSAGE_ERROR,
      "f:2: broker.id (2) must be the same as node.id (1), or be left out" },
    { "no retention",
      { .text = "log.retention.minutes=0" },
      CONFIG_MESSAGE_ERROR,
      "f:1: log.retention.minutes: 0 keeps nothing; wanted is at least 1, or -1 for no limit" },
    { "a roll at once",
      { .text = "log.roll.ms=0" },
      CONFIG_MESSAGE_ERROR,
      "f:1: log.roll.ms: must be at least 1" },
    { "negative jitter",
      { .text = "log.roll.jitter.ms=-1" },
      CONFIG_MESSAGE_ERROR,
      "f:1: log.roll.jitter.ms: must be at least 0" },
    { "a small queue",
      { .text = "queued.max.request.bytes=10" },
      CONFIG_MESSAGE_ERROR,
      "f:1: queued.max.request.bytes (10) must be at least socket.request.max.bytes (104857600), or -1" },
    { "a heartbeat above its bound",
      { .text = "group.consumer.heartbeat.interval.ms=16000" },
      CONFIG_MESSAGE_ERROR,
      "f:1: group.consumer.heartbeat.interval.ms (16000) must be at most "
      "group.consumer.max.heartbeat.interval.ms (15000)" },
    { "a bound below the default",
      { .text = "group.share.max.heartbeat.interval.ms=1" },
      CONFIG_MESSAGE_ERROR,
      "f:1: group.share.min.heartbeat.interval.ms (5000) must be at most "
      "group.share.max.heartbeat.interval.ms (1)" },
    { "a heartbeat as long as the session",
      { .text = "group.streams.min.session.timeout.ms=5000\ngroup.streams.session.timeout.ms=5000" },
      CONFIG_MESSAGE_ERROR,
      "f:2: group.streams.heartbeat.interval.ms (5000) must be less than group.streams.session.timeout.ms "
      "(5000)" },
    { "a follower that waits too long",
      { .text = "replica.fetch.wait.max.ms=30001" },
      CONFIG_MESSAGE_ERROR,
      "f:1: replica.fetch.wait.max.ms (30001) must be at most replica.socket.timeout.ms (30000)" },
    { "a small cleaner",
      { .text = "log.cleaner.dedupe.buffer.size=1048576" },
      CONFIG_MESSAGE_ERROR,
      "f:1: log.cleaner.dedupe.buffer.size: must be more than 1 MiB (1048576) per cleaner thread" },
    { "no cleaner",
      { .text = "log.cleaner.threads=0" },
      CONFIG_MESSAGE_ERROR,
      "f:1: log.cleaner.threads: must be at least 1" },
    { "segments of committed offsets that no topic may have",
      { .text = "offsets.topic.segment.bytes=1048575" },
      CONFIG_MESSAGE_ERROR,
      "f:1: offsets.topic.segment.bytes: 1048575 is less than a segment may have; wanted is at least "
      "1048576" },
    { "the same of transactions",
      { .text = "\ntransaction.state.log.segment.bytes=1" },
      CONFIG_MESSAGE_ERROR,
      "f:2: transaction.state.log.segment.bytes: 1 is less than a segment may have; wanted is at least "
      "1048576" },
    { "no codec",
      { .text = "offsets.topic.compression.codec=5" },
      CONFIG_MESSAGE_ERROR,
      "f:1: offsets.topic.compression.codec: 5 is no codec; wanted is 0 none, 1 gzip, 2 snappy, 3 lz4 or 4 "
      "zstd" },
    { "no classic groups",
      { .text = "group.coordinator.rebalance.protocols=consumer" },
      CONFIG_MESSAGE_ERROR,
      "f:1: group.coordinator.rebalance.protocols: classic cannot be left out" },
    { "a Java assignor",
      { .text = "group.consumer.assignors=range,org.x.Y" },
      CONFIG_MESSAGE_ERROR,
      "f:1: group.consumer.assignors: \"org.x.Y\" is not built in, and Java classes are not loaded" },
    { "a metadata directory of its own",
      { .text = "log.dirs=/a,/b\nmetadata.log.dir=/c" },
      CONFIG_MESSAGE_ERROR,
      "f:2: metadata.log.dir: must be one of the directories of log.dirs" },
    { "no directory",
      { .text = "log.dirs=" },
      CONFIG_MESSAGE_ERROR,
      "f:1: Configuration 'log.dirs' must not be empty.; wanted is a list separated by commas, not empty" },
};

START_TEST(messages)
{
    const struct message_row *row = &message_rows[_i];
    struct try_result result = try_load(&row->sources);
    const char *text = try_message(&result, row->level);
    ck_assert_msg(strcmp(text, row->text) == 0, "%s: %s", row->what, text);
    ck_assert_msg((result.config == NULL) == (row->level == CONFIG_MESSAGE_ERROR), "%s", row->what);
    try_end(&result);
}
END_TEST

START_TEST(every_error_is_told)
{
    struct try_result result = try_load(
        &(struct try_sources){ .text = "num.partitions=x\nfoo.bar=1\nssl.protocol=y\nnum.io.threads=0" });
    ck_assert_uint_eq(result.report.error_count, 4);
    try_end(&result);
}
END_TEST

START_TEST(a_flood_of_errors_is_bounded)
{
    static char text[20000];
    for (size_t i = 0; i + 4 < sizeof text; i += 4)
        memcpy(text + i, "q=1\n", 4);
    struct try_result result = try_load(&(struct try_sources){ .text = text });
    ck_assert_uint_gt(result.report.error_count, 4000);
    ck_assert_uint_le(result.report.count, 400);
    try_end(&result);
}
END_TEST

/* A combined node's file with what Kafka 4.2 ships in its sample. */
static const char sample[] =
    "# one node with both roles\n"
    "process.roles=broker,controller\n"
    "node.id=1\n"
    "controller.quorum.bootstrap.servers=localhost:9093\n"
    "listeners=PLAINTEXT://:9092,CONTROLLER://:9093\n"
    "inter.broker.listener.name=PLAINTEXT\n"
    "advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n"
    "controller.listener.names=CONTROLLER\n"
    "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,"
    "SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n"
    "num.network.threads=3\n"
    "num.io.threads=8\n"
    "socket.send.buffer.bytes=102400\n"
    "socket.receive.buffer.bytes=102400\n"
    "socket.request.max.bytes=104857600\n"
    "log.dirs=/tmp/kraft-combined-logs\n"
    "num.partitions=1\n"
    "num.recovery.threads.per.data.dir=2\n"
    "offsets.topic.replication.factor=1\n"
    "share.coordinator.state.topic.replication.factor=1\n"
    "share.coordinator.state.topic.min.isr=1\n"
    "transaction.state.log.replication.factor=1\n"
    "transaction.state.log.min.isr=1\n"
    "#log.flush.interval.messages=10000\n"
    "log.retention.hours=168\n"
    "log.segment.bytes=1073741824\n"
    "log.retention.check.interval.ms=300000\n";

START_TEST(kafkas_sample)
{
    struct try_result result = try_load(&(struct try_sources){ .text = sample });
    ck_assert_str_eq(try_message(&result, CONFIG_MESSAGE_ERROR), "");
    ck_assert_str_eq(try_message(&result, CONFIG_MESSAGE_WARNING), "");
    ck_assert_uint_eq(result.report.count, 1); /* the controller's listener; nothing else needs a word */
    const struct config *config = result.config;
    ck_assert_int_eq(config->node_id, 1);
    ck_assert_uint_eq(config->listener_count, 1);
    ck_assert_int_eq(config->listeners[0].port, 9092);
    ck_assert_str_eq(config_advertised(config, "PLAINTEXT")->host, "localhost");
    ck_assert_int_eq(config->num_network_threads, 3);
    ck_assert_int_eq(config->socket_send_buffer_bytes, 102400);
    ck_assert_int_eq(config->socket_request_max_bytes, 104857600);
    ck_assert_uint_eq(config->log_dirs.count, 1);
    ck_assert_str_eq(config->log_dirs.items[0], "/tmp/kraft-combined-logs");
    try_end(&result);
}
END_TEST

START_TEST(typed_fields)
{
    struct try_result result =
        try_load(&(struct try_sources){ .text = "auto.create.topics.enable=false\nqueued.max.request.bytes=-"
                                                "1\nbroker.rack=r1\nfetch.max.bytes=2048\n"
                                                "connections.max.idle.ms=5\nmax.connections.per.ip=3" });
    const struct config *config = result.config;
    ck_assert(!config->auto_create_topics_enable);
    ck_assert_int_eq(config->queued_max_request_bytes, -1);
    ck_assert_str_eq(config->broker_rack, "r1");
    ck_assert_int_eq(config->fetch_max_bytes, 2048);
    ck_assert_int_eq(config->connections_max_idle_ms, 5);
    ck_assert_int_eq(config->max_connections_per_ip, 3);
    ck_assert_int_eq(config->num_network_threads, 2);
    ck_assert_int_eq(config->socket_receive_buffer_bytes, -1);
    try_end(&result);
}
END_TEST

START_TEST(loops_are_bounded_by_default)
{
    struct config_report report;
    struct config *config = config_load(&(struct config_sources){ .cpu_count = 64 }, &report);
    ck_assert_int_eq(config->num_network_threads, 16);
    ck_assert_str_eq(try_value(config, "num.network.threads"), "16");
    config_destroy(config);
    config_report_destroy(&report);
}
END_TEST

START_TEST(ids_and_directories)
{
    struct try_result result = try_load(&(struct try_sources){ .text = "broker.id=7\nlog.dir=/a" });
    ck_assert_int_eq(result.config->node_id, 7);
    ck_assert_str_eq(result.config->log_dirs.items[0], "/a");
    ck_assert_ptr_null(result.config->cluster_id);
    try_end(&result);
    result = try_load(
        &(struct try_sources){ .text = "node.id=3\nlog.dir=/a\nlog.dirs=/b, /c,/b\nmetadata.log.dir=/c",
                               .environment = { "CLUSTER_ID=abc", "OTHER=x", "BROKEN" } });
    ck_assert_int_eq(result.config->node_id, 3);
    ck_assert_uint_eq(result.config->log_dirs.count, 2);
    ck_assert_str_eq(result.config->log_dirs.items[0], "/c");
    ck_assert_str_eq(result.config->log_dirs.items[1], "/b");
    ck_assert_str_eq(result.config->cluster_id, "abc");
    try_end(&result);
}
END_TEST

START_TEST(settings_are_shown)
{
    struct try_result result = try_load(&(struct try_sources){ .text = "\nlog.retention.hours=24",
                                                               .environment = { "KAFKA_NUM_PARTITIONS=1" },
                                                               .overrides = { "broker.rack=a" } });
    struct config_setting setting;
    size_t shown = 0;
    for (size_t i = 0; i < config_setting_count(); i++) {
        config_setting_at(result.config, i, &setting);
        shown += setting.is_shown;
        ck_assert(setting.row == config_row_at(i));
        ck_assert(setting.is_sensitive == (setting.row->type == CONFIG_PASSWORD));
    }
    ck_assert_uint_lt(shown, config_setting_count());
    config_setting_at(result.config, SETTING_log_retention_hours, &setting);
    ck_assert_str_eq(setting.value, "24");
    ck_assert_int_eq(setting.source, CONFIG_FROM_FILE);
    ck_assert_str_eq(setting.origin, "f:2");
    ck_assert(setting.is_read_only && !setting.is_default);
    config_setting_at(result.config, SETTING_num_partitions, &setting);
    ck_assert_int_eq(setting.source, CONFIG_FROM_ENVIRONMENT); /* set, though to its default */
    config_setting_at(result.config, SETTING_broker_rack, &setting);
    ck_assert_int_eq(setting.source, CONFIG_FROM_COMMAND_LINE);
    config_setting_at(result.config, SETTING_log_retention_ms, &setting);
    ck_assert(setting.is_default && setting.value == NULL && !setting.is_read_only);
    try_end(&result);
}
END_TEST

START_TEST(synonyms)
{
    struct try_result result = try_load(
        &(struct try_sources){ .text = "log.retention.minutes=5\nlog.retention.hours=24\nnum.partitions=9" });
    struct config_synonym out[CONFIG_SYNONYMS_MAX];
    ck_assert_uint_eq(config_synonyms(result.config, SETTING_log_retention_ms, out), 3);
    ck_assert_str_eq(out[0].name, "log.retention.minutes");
    ck_assert_str_eq(out[0].value, "5");
    ck_assert_int_eq(out[0].source, CONFIG_FROM_FILE);
    ck_assert_str_eq(out[1].value, "24");
    ck_assert_str_eq(out[2].name, "log.retention.hours");
    ck_assert_str_eq(out[2].value, "168");
    ck_assert_int_eq(out[2].source, CONFIG_FROM_DEFAULT);
    ck_assert_uint_eq(config_synonyms(result.config, SETTING_num_partitions, out), 2);
    ck_assert_str_eq(out[0].value, "9");
    ck_assert_str_eq(out[1].value, "1");
    ck_assert_uint_eq(config_synonyms(result.config, SETTING_broker_rack, out), 0);
    ck_assert_uint_eq(config_synonyms(result.config, SETTING_num_network_threads, out), 1);
    ck_assert_str_eq(out[0].value, "2");
    try_end(&result);
}
END_TEST

/* What --print-config prints is a server.properties that gives the same settings. */
START_TEST(printed_settings_read_back)
{
    static const char text[] = "broker.rack=a\\\\b\\tc\\n\\u00e9\nlog.dirs=/x,/y\nnum.partitions=3\n";
    static char all[400000];
    struct try_result first = try_load(&(struct try_sources){ .text = text });
    for (int format = CONFIG_PRINT_CHANGED; format <= CONFIG_PRINT_ALL; format++) {
        FILE *file = tmpfile();
        ck_assert(config_print(first.config, (enum config_print_format)format, fileno(file)));
        ssize_t size = pread(fileno(file), all, sizeof all - 1, 0);
        ck_assert_int_gt(size, 0);
        all[size] = '\0';
        struct try_result second = try_load(&(struct try_sources){ .text = all });
        ck_assert_msg(second.config != NULL, "%s", try_message(&second, CONFIG_MESSAGE_ERROR));
        for (size_t i = 0; i < config_setting_count(); i++) {
            const char *name = config_row_at(i)->name;
            if (config_row_at(i)->type != CONFIG_PASSWORD)
                ck_assert_str_eq(try_value(first.config, name), try_value(second.config, name));
        }
        try_end(&second);
        fclose(file);
    }
    try_end(&first);
}
END_TEST

START_TEST(tables_for_docs)
{
    static char text[400000];
    struct try_result result = try_load(&(struct try_sources){ .text = "" });
    FILE *file = tmpfile();
    ck_assert(config_print(result.config, CONFIG_PRINT_MARKDOWN, fileno(file)));
    ssize_t size = pread(fileno(file), text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    size_t lines = 0;
    for (const char *c = text; *c != '\0'; c++)
        lines += *c == '\n';
    ck_assert_uint_eq(lines,
                      config_setting_count() + topic_config_count() + group_config_count() + 3 * 4 + 2);
    ck_assert_ptr_nonnull(
        strstr(text, "| `log.flush.interval.messages` | long | `1` (Kafka: `9223372036854775807`) |"));
    fclose(file);
    try_end(&result);
}
END_TEST

START_TEST(print_says_when_it_cannot)
{
    struct try_result result = try_load(&(struct try_sources){ .text = "" });
    int fd = open("/dev/full", O_WRONLY);
    if (fd >= 0)
        ck_assert(!config_print(result.config, CONFIG_PRINT_ALL, fd));
    close(fd);
    try_end(&result);
}
END_TEST

static const char *file_error(const char *path, struct config_report *report)
{
    ck_assert_ptr_null(config_load(&(struct config_sources){ .file = path, .cpu_count = 1 }, report));
    return report->messages[0].text;
}

START_TEST(files)
{
    struct config_report report;
    char path[] = "/tmp/runnel-config-XXXXXX", line[64];
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_str_eq(file_error("/no/such/file", &report),
                     "/no/such/file: cannot be read: No such file or directory");
    config_report_destroy(&report);
    ck_assert_str_eq(file_error("/", &report), "/: cannot be read: Is a directory");
    config_report_destroy(&report);
    ck_assert_int_eq(ftruncate(fd, (1 << 20) + 1), 0);
    ck_assert_ptr_nonnull(strstr(file_error(path, &report), "larger than 1 MiB"));
    config_report_destroy(&report);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    int size = snprintf(line, sizeof line, "num.partitions=12\n");
    ck_assert_int_eq(pwrite(fd, line, (size_t)size, 0), size);
    struct config *config = config_load(&(struct config_sources){ .file = path, .cpu_count = 1 }, &report);
    ck_assert_int_eq(config->num_partitions, 12);
    config_destroy(config);
    config_report_destroy(&report);
    close(fd);
    unlink(path);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("load");
    tcase_add_loop_test(tcase, values, 0, COUNT_OF(value_rows));
    tcase_add_loop_test(tcase, messages, 0, COUNT_OF(message_rows));
    tcase_add_test(tcase, every_error_is_told);
    tcase_add_test(tcase, a_flood_of_errors_is_bounded);
    tcase_add_test(tcase, kafkas_sample);
    tcase_add_test(tcase, typed_fields);
    tcase_add_test(tcase, loops_are_bounded_by_default);
    tcase_add_test(tcase, ids_and_directories);
    tcase_add_test(tcase, settings_are_shown);
    tcase_add_test(tcase, synonyms);
    tcase_add_test(tcase, printed_settings_read_back);
    tcase_add_test(tcase, tables_for_docs);
    tcase_add_test(tcase, print_says_when_it_cannot);
    tcase_add_test(tcase, files);
    return try_run("config_load", tcase);
}
