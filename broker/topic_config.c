/* Resolves a topic's settings over the broker's defaults. */
#include "broker/topic_config.h"

#include <stdio.h>

#include "broker/config_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

static enum topic_compression compression_of(slice text)
{
    static const struct {
        const char *name;
        enum topic_compression type;
    } types[] = {
        { "uncompressed", TOPIC_COMPRESSION_NONE }, { "gzip", TOPIC_COMPRESSION_GZIP },
        { "snappy", TOPIC_COMPRESSION_SNAPPY },     { "lz4", TOPIC_COMPRESSION_LZ4 },
        { "zstd", TOPIC_COMPRESSION_ZSTD },
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (slice_equal_string(text, types[i].name))
            return types[i].type;
    return TOPIC_COMPRESSION_PRODUCER;
}

static unsigned cleanup_policy_of(slice text)
{
    unsigned policy = 0;
    slice rest = text, item;
    while (config__list_next(&rest, &item)) {
        if (slice_equal_string(item, "delete"))
            policy |= CLEANUP_DELETE;
        else if (slice_equal_string(item, "compact"))
            policy |= CLEANUP_COMPACT;
    }
    return policy;
}

/* Puts a checked value into its field. */
static void store(struct topic_config *out, enum topic_config_index index, const struct config_parsed *value)
{
    int32_t number = (int32_t)value->integer; /* of INT rows: checked to fit */
    switch (index) {
    case TOPIC_cleanup_policy:
        out->cleanup_policy = cleanup_policy_of(value->text);
        return;
    case TOPIC_compression_gzip_level:
        out->compression_gzip_level = number;
        return;
    case TOPIC_compression_lz4_level:
        out->compression_lz4_level = number;
        return;
    case TOPIC_compression_type:
        out->compression_type = compression_of(value->text);
        return;
    case TOPIC_compression_zstd_level:
        out->compression_zstd_level = number;
        return;
    case TOPIC_delete_retention_ms:
        out->delete_retention_ms = value->integer;
        return;
    case TOPIC_file_delete_delay_ms:
        out->file_delete_delay_ms = value->integer;
        return;
    case TOPIC_flush_messages:
        out->flush_messages = value->integer;
        return;
    case TOPIC_flush_ms:
        out->flush_ms = value->integer;
        return;
    case TOPIC_index_interval_bytes:
        out->index_interval_bytes = number;
        return;
    case TOPIC_local_retention_bytes:
        out->local_retention_bytes = value->integer;
        return;
    case TOPIC_local_retention_ms:
        out->local_retention_ms = value->integer;
        return;
    case TOPIC_max_compaction_lag_ms:
        out->max_compaction_lag_ms = value->integer;
        return;
    case TOPIC_max_message_bytes:
        out->max_message_bytes = number;
        return;
    case TOPIC_message_timestamp_after_max_ms:
        out->message_timestamp_after_max_ms = value->integer;
        return;
    case TOPIC_message_timestamp_before_max_ms:
        out->message_timestamp_before_max_ms = value->integer;
        return;
    case TOPIC_message_timestamp_type:
        out->message_timestamp_is_append_time = slice_equal_string(value->text, "LogAppendTime");
        return;
    case TOPIC_min_cleanable_dirty_ratio:
        out->min_cleanable_dirty_ratio = value->real;
        return;
    case TOPIC_min_compaction_lag_ms:
        out->min_compaction_lag_ms = value->integer;
        return;
    case TOPIC_min_insync_replicas:
        out->min_insync_replicas = number;
        return;
    case TOPIC_preallocate:
        out->preallocate = value->boolean;
        return;
    case TOPIC_remote_log_copy_disable:
        out->remote_log_copy_disable = value->boolean;
        return;
    case TOPIC_remote_log_delete_on_disable:
        out->remote_log_delete_on_disable = value->boolean;
        return;
    case TOPIC_remote_storage_enable:
        out->remote_storage_enable = value->boolean;
        return;
    case TOPIC_retention_bytes:
        out->retention_bytes = value->integer;
        return;
    case TOPIC_retention_ms:
        out->retention_ms = value->integer;
        return;
    case TOPIC_internal_segment_bytes: /* as segment.bytes; a topic that has both keeps this one */
    case TOPIC_segment_bytes:
        out->segment_bytes = number;
        return;
    case TOPIC_segment_index_bytes:
        out->segment_index_bytes = number;
        return;
    case TOPIC_segment_jitter_ms:
        out->segment_jitter_ms = value->integer;
        return;
    case TOPIC_segment_ms:
        out->segment_ms = value->integer;
        return;
    case TOPIC_unclean_leader_election_enable:
        out->unclean_leader_election_enable = value->boolean;
        return;
    case TOPIC_follower_replication_throttled_replicas: /* shown, not acted on */
    case TOPIC_leader_replication_throttled_replicas:
    case TOPIC_CONFIG_COUNT:
        return;
    }
    check_unreachable("topic_config_index");
}

static int64_t ms_per(enum config_unit unit)
{
    return unit == UNIT_HOURS ? 3600000 : unit == UNIT_MINUTES ? 60000 : 1;
}

/* The broker setting that a topic setting takes its default from, or SETTING_COUNT. */
static size_t default_source(const struct config *config, size_t index)
{
    const struct topic_config_row *row = &topic_config__rows[index];
    for (size_t i = 0; i < TOPIC_CONFIG_SYNONYMS_MAX && row->synonyms[i] < SETTING_COUNT; i++)
        if (config__value(config, row->synonyms[i])->text != NULL)
            return row->synonyms[i];
    return SETTING_COUNT;
}

/* False: null, the topic setting has no value at all. */
static bool default_value(const struct config *config, size_t index, struct config_parsed *out)
{
    const struct config_row *row = &topic_config__rows[index].row;
    size_t source = default_source(config, index);
    if (source == SETTING_COUNT) {
        if (row->value_default != NULL)
            check(config__check_value(row, slice_of_string(row->value_default), out, NULL));
        return row->value_default != NULL;
    }
    *out = config__value(config, source)->parsed;
    out->integer *= ms_per(config__rows[source].unit); /* hours and minutes are INT: no overflow */
    if (index == TOPIC_retention_ms && out->integer < 0)
        out->integer = -1;
    return true;
}

void topic_config__defaults(const struct config *config, struct topic_config *out)
{
    *out = (struct topic_config){ 0 };
    for (size_t i = 0; i < TOPIC_CONFIG_COUNT; i++) {
        struct config_parsed value;
        if (default_value(config, i, &value))
            store(out, (enum topic_config_index)i, &value);
    }
}

size_t topic_config_default(const struct config *config, size_t index, char *out, size_t capacity)
{
    const struct config_row *row = &topic_config__rows[index].row;
    size_t source = default_source(config, index);
    struct config_parsed value;
    const char *text = source < SETTING_COUNT ? config__value(config, source)->text : row->value_default;
    bool is_number = row->type == CONFIG_LONG || row->type == CONFIG_INT;
    int size = is_number && default_value(config, index, &value)
                   ? snprintf(out, capacity, "%lld", (long long)value.integer)
                   : snprintf(out, capacity, "%s", text ? text : "");
    return (size_t)size < capacity ? (size_t)size : capacity - 1;
}

static bool fail(char *error, const char *what, const char *detail)
{
    if (error == NULL)
        return false;
    size_t at = strnlen(what, TOPIC_CONFIG_ERROR_SIZE - 1); /* what is too long is cut */
    size_t size = strnlen(detail, TOPIC_CONFIG_ERROR_SIZE - 1 - at);
    memcpy(error, what, at);
    memcpy(error + at, detail, size);
    error[at + size] = '\0';
    return false;
}

/* What a client sent, escaped but without quotes, as Kafka prints names. */
static bool fail_name(char *error, const char *what, slice name)
{
    char plain[CONFIG_WHY_SIZE / 2];
    snprintf(plain, sizeof plain, "%.200s", note_escape(name) + (slice_is_null(name) ? 0 : 1));
    char *quote = strrchr(plain, '"');
    if (quote != NULL)
        *quote = '\0';
    return fail(error, what, plain);
}

/* Null values and unknown names come before wrong values, whatever the order, as in Kafka. */
static bool check_names(const struct topic_config_override *overrides, size_t count, char *error)
{
    for (size_t i = 0; i < count; i++)
        if (slice_is_null(overrides[i].value))
            return fail_name(error, "Null value not supported for topic configs: ", overrides[i].name);
    for (size_t i = 0; i < count; i++)
        if (topic_config_find(overrides[i].name) == SIZE_MAX)
            return fail_name(error, "Unknown topic config name: ", overrides[i].name);
    return true;
}

static bool check_together(const struct topic_config *topic, char *error)
{
    char text[128];
    if (topic->remote_storage_enable)
        return fail(
            error,
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote "
            "log storage.",
            "");
    if (topic->min_compaction_lag_ms <= topic->max_compaction_lag_ms)
        return true;
    snprintf(text, sizeof text,
             "conflict topic config setting min.compaction.lag.ms (%lld) > max.compaction.lag.ms (%lld)",
             (long long)topic->min_compaction_lag_ms, (long long)topic->max_compaction_lag_ms);
    return fail(error, text, "");
}

/* internal.segment.bytes wins over segment.bytes, whichever comes last. */
static bool apply(struct topic_config *topic, size_t index, slice text, int32_t *internal_segment_bytes,
                  char *why)
{
    struct config_parsed value;
    if (!config__check_value(&topic_config__rows[index].row, text, &value, why))
        return false;
    if (index == TOPIC_internal_segment_bytes)
        *internal_segment_bytes = (int32_t)value.integer;
    if (index != TOPIC_segment_bytes || *internal_segment_bytes == 0)
        store(topic, (enum topic_config_index)index, &value);
    return true;
}

bool topic_config_resolve(const struct config *config, const struct topic_config_override *overrides,
                          size_t count, struct topic_config *out, char *error)
{
    char why[CONFIG_WHY_SIZE];
    int32_t internal_segment_bytes = 0;
    *out = config->topic_defaults;
    if (!check_names(overrides, count, error))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!apply(out, topic_config_find(overrides[i].name), overrides[i].value, &internal_segment_bytes,
                   why))
            return fail(error, why, "");
    return check_together(out, error);
}

size_t topic_config_load(const struct config *config, const struct topic_config_override *overrides,
                         size_t count, struct topic_config *out)
{
    size_t ignored_count = 0;
    int32_t internal_segment_bytes = 0;
    *out = config->topic_defaults;
    for (size_t i = 0; i < count; i++) {
        size_t index = topic_config_find(overrides[i].name);
        ignored_count += index == SIZE_MAX || slice_is_null(overrides[i].value) ||
                         !apply(out, index, overrides[i].value, &internal_segment_bytes, NULL);
    }
    return ignored_count;
}

void topic_config_log(const struct topic_config *topic, struct log_config *out)
{
    *out = (struct log_config){
        .segment_bytes = topic->segment_bytes,
        .segment_ms = topic->segment_ms,
        .segment_jitter_ms = topic->segment_jitter_ms,
        .index_interval_bytes = topic->index_interval_bytes,
        .segment_index_bytes = topic->segment_index_bytes,
        .flush_messages = topic->flush_messages,
        .flush_ms = topic->flush_ms,
        .max_message_bytes = topic->max_message_bytes,
    };
}
