/* Resolves a topic's settings over the broker's defaults. */
#include "broker/topic_config.h"

#include <stdio.h>

#include "broker/config_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

/* More producers than write to one partition in a day, as a rule; less than 20 MB of memory. */
enum { PRODUCER_IDS_MAX = 100000 };

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

static void store_text(struct topic_config *out, enum topic_config_index index, slice text)
{
    if (index == TOPIC_cleanup_policy)
        out->cleanup_policy = cleanup_policy_of(text);
    else if (index == TOPIC_compression_type)
        out->compression_type = compression_of(text);
    else if (index == TOPIC_message_timestamp_type)
        out->message_timestamp_is_append_time = slice_equal_string(text, "LogAppendTime");
    /* The throttled replicas are shown only. */
}

#define STORE_BOOLEAN(field) out->field = value->boolean
#define STORE_INT(field)     out->field = (int32_t)value->integer /* checked to fit */
#define STORE_LONG(field)    out->field = value->integer
#define STORE_DOUBLE(field)  out->field = value->real
#define STORE_STRING(field)  store_text(out, index, value->text)
#define STORE_LIST(field)    store_text(out, index, value->text)

/* Puts a checked value into its field. */
static void store(struct topic_config *out, enum topic_config_index index, const struct config_parsed *value)
{
    switch (index) {
#define TOPIC_CONFIG(field, name, type, kafka, valid, unit, row_class, from, sentence)                       \
    case TOPIC_##field:                                                                                      \
        STORE_##type(field);                                                                                 \
        return;
#include "broker/topic_config.def"
#undef TOPIC_CONFIG
    case TOPIC_CONFIG_COUNT:
        break;
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
    out->producer_id_expiration_ms = config->producer_id_expiration_ms;
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

static bool apply(struct topic_config *topic, size_t index, slice text, char *why)
{
    struct config_parsed value;
    if (!config__check_value(&topic_config__rows[index].row, text, &value, why))
        return false;
    store(topic, (enum topic_config_index)index, &value);
    return true;
}

static void finish(struct topic_config *topic)
{
    if (topic->internal_segment_bytes > 0)
        topic->segment_bytes = topic->internal_segment_bytes;
}

bool topic_config_resolve(const struct config *config, const struct topic_config_override *overrides,
                          size_t count, struct topic_config *out, char *error)
{
    char why[CONFIG_WHY_SIZE];
    *out = config->topic_defaults;
    if (!check_names(overrides, count, error))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!apply(out, topic_config_find(overrides[i].name), overrides[i].value, why))
            return fail(error, why, "");
    finish(out);
    return check_together(out, error);
}

size_t topic_config_load(const struct config *config, const struct topic_config_override *overrides,
                         size_t count, struct topic_config *out)
{
    size_t ignored_count = 0;
    *out = config->topic_defaults;
    for (size_t i = 0; i < count; i++) {
        size_t index = topic_config_find(overrides[i].name);
        ignored_count += index == SIZE_MAX || slice_is_null(overrides[i].value) ||
                         !apply(out, index, overrides[i].value, NULL);
    }
    finish(out);
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
        .producer_id_expiration_ms = topic->producer_id_expiration_ms,
        .producer_ids_max = PRODUCER_IDS_MAX,
        .cleanup = topic->cleanup_policy,
        .retention_ms = topic->retention_ms,
        .retention_bytes = topic->retention_bytes,
        .file_delete_delay_ms = topic->file_delete_delay_ms,
        .delete_retention_ms = topic->delete_retention_ms,
        .min_compaction_lag_ms = topic->min_compaction_lag_ms,
        .max_compaction_lag_ms = topic->max_compaction_lag_ms,
        .min_cleanable_ratio = topic->min_cleanable_dirty_ratio,
    };
}
