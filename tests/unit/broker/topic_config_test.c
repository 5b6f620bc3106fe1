/* Topic settings: defaults from the broker's, own values on top, and Kafka's words for mistakes. */
#include "broker/topic_config.h"

#include <check.h>
#include <stdlib.h>

#include "tests/unit/broker/config_try.h"

enum { OVERRIDES_MAX = 4 };

static size_t overrides_of(const char *const *pairs, struct topic_config_override *out)
{
    size_t count = 0;
    for (; count < OVERRIDES_MAX && pairs[2 * count] != NULL; count++)
        out[count] = (struct topic_config_override){ slice_of_string(pairs[2 * count]),
                                                     slice_of_string(pairs[2 * count + 1]) };
    return count;
}

static const struct error_row {
    const char *what;
    const char *pairs[2 * OVERRIDES_MAX + 2];
    const char *error; /* "" : taken */
} error_rows[] = {
    { "no setting of its own", { NULL }, "" },
    { "a size", { "segment.bytes", "1048576" }, "" },
    { "a size too small",
      { "segment.bytes", "1048575" },
      "Invalid value 1048575 for configuration segment.bytes: Value must be at least 1048576" },
    { "a size too large",
      { "segment.bytes", "99999999999" },
      "Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT" },
    { "any size in tests", { "internal.segment.bytes", "1" }, "" },
    { "no value",
      { "segment.ms", "" },
      "Invalid value  for configuration segment.ms: Not a number of type LONG" },
    { "null", { "segment.ms", NULL }, "Null value not supported for topic configs: segment.ms" },
    { "an unknown name", { "foo.bar", "1" }, "Unknown topic config name: foo.bar" },
    { "an unknown name with control characters",
      { "foo\n\"bar", "1" },
      "Unknown topic config name: foo\\n\\\"bar" },
    { "null comes before unknown",
      { "foo.bar", "1", "segment.ms", NULL },
      "Null value not supported for topic configs: segment.ms" },
    { "unknown comes before wrong",
      { "segment.ms", "x", "foo.bar", "1" },
      "Unknown topic config name: foo.bar" },
    { "a removed name",
      { "message.format.version", "3.0" },
      "Unknown topic config name: message.format.version" },
    { "a broker's name", { "log.segment.bytes", "1048576" }, "Unknown topic config name: log.segment.bytes" },
    { "retention without limit", { "retention.ms", "-1" }, "" },
    { "retention below",
      { "retention.ms", "-2" },
      "Invalid value -2 for configuration retention.ms: Value must be at least -1" },
    { "a flush at nothing",
      { "flush.messages", "0" },
      "Invalid value 0 for configuration flush.messages: Value must be at least 1" },
    { "an empty policy", { "cleanup.policy", "" }, "" },
    { "a policy twice", { "cleanup.policy", "compact,compact" }, "" },
    { "an empty item",
      { "cleanup.policy", "compact,,delete" },
      "Configuration 'cleanup.policy' values must not be empty." },
    { "no policy",
      { "cleanup.policy", "foo" },
      "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete" },
    { "capital letters",
      { "compression.type", "GZIP" },
      "Invalid value GZIP for configuration compression.type: String must be one of: uncompressed, zstd, "
      "lz4, snappy, gzip, producer" },
    { "small letters",
      { "message.timestamp.type", "createtime" },
      "Invalid value createtime for configuration message.timestamp.type: String must be one of: CreateTime, "
      "LogAppendTime" },
    { "no truth",
      { "preallocate", "yes" },
      "Invalid value yes for configuration preallocate: Expected value to be either true or false" },
    { "all replicas throttled", { "leader.replication.throttled.replicas", "*" }, "" },
    { "some throttled", { "leader.replication.throttled.replicas", "0:1, 2:3" }, "" },
    { "none throttled", { "leader.replication.throttled.replicas", "" }, "" },
    { "throttled in part",
      { "leader.replication.throttled.replicas", "0:1:2" },
      "Invalid value 0:1:2 for configuration leader.replication.throttled.replicas: "
      "leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following "
      "format: [partitionId]:[brokerId],[partitionId]:[brokerId],..." },
    { "lags that cross",
      { "min.compaction.lag.ms", "10", "max.compaction.lag.ms", "5" },
      "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)" },
    { "tiering",
      { "remote.storage.enable", "true" },
      "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log "
      "storage." },
    { "no tiering", { "remote.storage.enable", "false" }, "" },
};

START_TEST(errors)
{
    const struct error_row *row = &error_rows[_i];
    struct try_result result = try_load(&(struct try_sources){ .text = "" });
    struct topic_config_override overrides[OVERRIDES_MAX];
    struct topic_config topic;
    char error[TOPIC_CONFIG_ERROR_SIZE] = "";
    size_t count = overrides_of(row->pairs, overrides);
    bool ok = topic_config_resolve(result.config, overrides, count, &topic, error);
    ck_assert_msg(ok == (*row->error == '\0'), "%s: %s", row->what, error);
    ck_assert_msg(strncmp(error, row->error, sizeof error - 1) == 0, "%s: %s", row->what, error);
    ck_assert(topic_config_resolve(result.config, overrides, count, &topic, NULL) == ok);
    try_end(&result);
}
END_TEST

START_TEST(defaults)
{
    struct try_result result = try_load(&(struct try_sources){ .text = "" });
    const struct topic_config *topic = &result.config->topic_defaults;
    ck_assert_int_eq(topic->segment_bytes, 1 << 30);
    ck_assert_int_eq(topic->segment_ms, 604800000);
    ck_assert_int_eq(topic->segment_jitter_ms, 0);
    ck_assert_int_eq(topic->segment_index_bytes, 10 << 20);
    ck_assert_int_eq(topic->index_interval_bytes, 4096);
    ck_assert_int_eq(topic->flush_messages, 1); /* ours: an answer means that it is on disk */
    ck_assert_int_eq(topic->flush_ms, INT64_MAX);
    ck_assert_int_eq(topic->max_message_bytes, 1048588);
    ck_assert(!topic->message_timestamp_is_append_time);
    ck_assert_int_eq(topic->message_timestamp_before_max_ms, INT64_MAX);
    ck_assert_int_eq(topic->message_timestamp_after_max_ms, 3600000);
    ck_assert_int_eq(topic->compression_type, TOPIC_COMPRESSION_PRODUCER);
    ck_assert_int_eq(topic->compression_gzip_level, -1);
    ck_assert_int_eq(topic->compression_lz4_level, 9);
    ck_assert_int_eq(topic->compression_zstd_level, 3);
    ck_assert_uint_eq(topic->cleanup_policy, CLEANUP_DELETE);
    ck_assert_int_eq(topic->retention_ms, 604800000);
    ck_assert_int_eq(topic->retention_bytes, -1);
    ck_assert_int_eq(topic->local_retention_ms, -2);
    ck_assert_int_eq(topic->delete_retention_ms, 86400000);
    ck_assert_int_eq(topic->file_delete_delay_ms, 60000);
    ck_assert_int_eq(topic->min_compaction_lag_ms, 0);
    ck_assert_int_eq(topic->max_compaction_lag_ms, INT64_MAX);
    ck_assert(topic->min_cleanable_dirty_ratio == 0.5);
    ck_assert_int_eq(topic->min_insync_replicas, 1);
    ck_assert(!topic->preallocate && !topic->unclean_leader_election_enable && !topic->remote_storage_enable);
    try_end(&result);
}
END_TEST

static const struct from_row {
    const char *what;
    const char *text; /* server.properties */
    const char *name; /* of the topic's setting */
    const char *value;
} from_rows[] = {
    { "by hours", "log.retention.hours=2", "retention.ms", "7200000" },
    { "minutes over hours", "log.retention.hours=2\nlog.retention.minutes=3", "retention.ms", "180000" },
    { "ms over both", "log.retention.ms=4\nlog.retention.hours=2\nlog.retention.minutes=3", "retention.ms",
      "4" },
    { "any negative is no limit", "log.retention.ms=-5", "retention.ms", "-1" },
    { "no limit by hours", "log.retention.hours=-1", "retention.ms", "-1" },
    { "the most hours", "log.retention.hours=2147483647", "retention.ms", "7730941129200000" },
    { "a roll by hours", "log.roll.hours=1", "segment.ms", "3600000" },
    { "a roll by ms", "log.roll.hours=1\nlog.roll.ms=5", "segment.ms", "5" },
    { "jitter by hours", "log.roll.jitter.hours=1", "segment.jitter.ms", "3600000" },
    { "flush.ms by its own name", "log.flush.interval.ms=7\nlog.flush.scheduler.interval.ms=9", "flush.ms",
      "7" },
    { "else by the scheduler's", "log.flush.scheduler.interval.ms=9", "flush.ms", "9" },
    { "durability switched off", "log.flush.interval.messages=9223372036854775807", "flush.messages",
      "9223372036854775807" },
    { "a size", "message.max.bytes=77", "max.message.bytes", "77" },
    { "a list", "log.cleanup.policy=compact, delete", "cleanup.policy", "compact,delete" },
    { "an empty list", "log.cleanup.policy=", "cleanup.policy", "" },
    { "a word", "compression.type=zstd", "compression.type", "zstd" },
    { "a ratio", "log.cleaner.min.cleanable.ratio=0.25", "min.cleanable.dirty.ratio", "0.25" },
    { "none of the broker's", "", "remote.log.copy.disable", "false" },
    { "null", "", "internal.segment.bytes", "" },
};

START_TEST(from_the_broker)
{
    const struct from_row *row = &from_rows[_i];
    struct try_result result = try_load(&(struct try_sources){ .text = row->text });
    char text[64];
    ck_assert_msg(result.config != NULL, "%s: %s", row->what, try_message(&result, CONFIG_MESSAGE_ERROR));
    size_t size =
        topic_config_default(result.config, topic_config_find(slice_of_string(row->name)), text, sizeof text);
    ck_assert_uint_eq(size, strlen(row->value));
    ck_assert_msg(strcmp(text, row->value) == 0, "%s: %s", row->what, text);
    ck_assert_uint_eq(topic_config_default(result.config, TOPIC_CONFIG_SYNONYMS_MAX, text, 1), 0);
    try_end(&result);
}
END_TEST

START_TEST(own_values_on_top)
{
    static const char *const pairs[] = { "flush.messages",
                                         "10",
                                         "cleanup.policy",
                                         "compact,delete",
                                         "compression.type",
                                         "lz4",
                                         "message.timestamp.type",
                                         "LogAppendTime",
                                         NULL };
    struct try_result result = try_load(
        &(struct try_sources){ .text = "log.segment.bytes=2097152\nproducer.id.expiration.ms=3600000" });
    struct topic_config_override overrides[OVERRIDES_MAX];
    struct topic_config topic;
    struct log_config log;
    ck_assert(topic_config_resolve(result.config, overrides, overrides_of(pairs, overrides), &topic, NULL));
    ck_assert_int_eq(topic.flush_messages, 10);
    ck_assert_uint_eq(topic.cleanup_policy, CLEANUP_COMPACT | CLEANUP_DELETE);
    ck_assert_int_eq(topic.compression_type, TOPIC_COMPRESSION_LZ4);
    ck_assert(topic.message_timestamp_is_append_time);
    ck_assert_int_eq(topic.segment_bytes, 2097152);
    topic_config_log(&topic, &log);
    ck_assert_int_eq(log.segment_bytes, 2097152);
    ck_assert_int_eq(log.flush_messages, 10);
    ck_assert_int_eq(log.max_message_bytes, 1048588);
    ck_assert_int_eq(log.producer_id_expiration_ms, 3600000);
    ck_assert_uint_eq(log.producer_ids_max, 100000);
    try_end(&result);
}
END_TEST

/* internal.segment.bytes wins, whichever is given last. */
START_TEST(internal_segment_bytes)
{
    static const char *const orders[][5] = {
        { "internal.segment.bytes", "100", "segment.bytes", "1048576", NULL },
        { "segment.bytes", "1048576", "internal.segment.bytes", "100", NULL },
    };
    struct try_result result = try_load(&(struct try_sources){ .text = "" });
    for (size_t i = 0; i < 2; i++) {
        struct topic_config_override overrides[OVERRIDES_MAX];
        struct topic_config topic;
        ck_assert(
            topic_config_resolve(result.config, overrides, overrides_of(orders[i], overrides), &topic, NULL));
        ck_assert_int_eq(topic.segment_bytes, 100);
    }
    try_end(&result);
}
END_TEST

/* What the metadata log holds is taken as far as it is understood. */
START_TEST(load_ignores)
{
    static const char *const pairs[] = {
        "message.format.version", "3.0", "segment.bytes", "14", "retention.ms", NULL, "segment.ms", "5", NULL
    };
    struct try_result result = try_load(&(struct try_sources){ .text = "" });
    struct topic_config_override overrides[OVERRIDES_MAX];
    struct topic_config topic;
    ck_assert_uint_eq(topic_config_load(result.config, overrides, overrides_of(pairs, overrides), &topic), 3);
    ck_assert_int_eq(topic.segment_bytes, 1 << 30);
    ck_assert_int_eq(topic.retention_ms, 604800000);
    ck_assert_int_eq(topic.segment_ms, 5);
    try_end(&result);
}
END_TEST

/* Text from a client has no NUL behind it and may be of any length. */
START_TEST(slices_are_not_strings)
{
    struct try_result result = try_load(&(struct try_sources){ .text = "" });
    size_t size = 1 << 20;
    uint8_t *bytes = malloc(size);
    memset(bytes, '9', size);
    struct topic_config_override overrides[] = { { slice_of("segment.msX", 10), slice_of("123", 1) } };
    struct topic_config topic;
    char error[TOPIC_CONFIG_ERROR_SIZE];
    ck_assert(topic_config_resolve(result.config, overrides, 1, &topic, error));
    ck_assert_int_eq(topic.segment_ms, 1);
    overrides[0].value = slice_of(bytes, size);
    ck_assert(!topic_config_resolve(result.config, overrides, 1, &topic, error));
    ck_assert_uint_lt(strlen(error), sizeof error);
    overrides[0].name = slice_of(bytes, size);
    ck_assert(!topic_config_resolve(result.config, overrides, 1, &topic, error));
    ck_assert_uint_lt(strlen(error), sizeof error);
    overrides[0].name = SLICE_NULL;
    ck_assert(!topic_config_resolve(result.config, overrides, 1, &topic, error));
    ck_assert_str_eq(error, "Unknown topic config name: null");
    memset(bytes, ',', size);
    overrides[0] = (struct topic_config_override){ SLICE_LITERAL("cleanup.policy"), slice_of(bytes, size) };
    ck_assert(!topic_config_resolve(result.config, overrides, 1, &topic, error));
    free(bytes);
    try_end(&result);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("topic");
    tcase_add_loop_test(tcase, errors, 0, COUNT_OF(error_rows));
    tcase_add_test(tcase, defaults);
    tcase_add_loop_test(tcase, from_the_broker, 0, COUNT_OF(from_rows));
    tcase_add_test(tcase, own_values_on_top);
    tcase_add_test(tcase, internal_segment_bytes);
    tcase_add_test(tcase, load_ignores);
    tcase_add_test(tcase, slices_are_not_strings);
    return try_run("topic_config", tcase);
}
