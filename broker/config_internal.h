/* What the files of the configuration share among themselves. */
#ifndef RUNNEL_BROKER_CONFIG_INTERNAL_H
#define RUNNEL_BROKER_CONFIG_INTERNAL_H

#include "broker/config.h"
#include "broker/group_config.h"
#include "protocol/base/arena.h"

/* config_row.c */
extern const struct config_row config__rows[SETTING_COUNT];
enum topic_config_index {
#define TOPIC_CONFIG(field, name, type, value, valid, unit, row_class, synonyms, sentence) TOPIC_##field,
#include "broker/topic_config.def"
#undef TOPIC_CONFIG
    TOPIC_CONFIG_COUNT,
};
struct topic_config_row {
    struct config_row row;
    uint16_t synonyms[TOPIC_CONFIG_SYNONYMS_MAX]; /* SETTING_COUNT: none */
};
extern const struct topic_config_row topic_config__rows[TOPIC_CONFIG_COUNT];
enum group_config_index {
#define GROUP_CONFIG(field, name, type, value, valid, unit, row_class, from, sentence) GROUP_##field,
#include "broker/group_config.def"
#undef GROUP_CONFIG
    GROUP_CONFIG_COUNT,
};
struct group_config_row {
    struct config_row row;
    uint16_t from; /* the broker setting that the default comes from; SETTING_COUNT: none */
};
extern const struct group_config_row group_config__rows[GROUP_CONFIG_COUNT];

/* config_value.c: one value of one setting. */
struct config_parsed {
    bool boolean;
    int64_t integer;
    double real;
    slice text; /* trimmed, borrowed from the input */
};

enum { CONFIG_WHY_SIZE = 512, CONFIG_LIST_MAX = 1024 };

/* Checks type and range. False: why (CONFIG_WHY_SIZE bytes, or NULL) is Kafka's sentence, with the
 * value escaped. */
bool config__check_value(const struct config_row *row, slice text, struct config_parsed *out, char *why);
/* The next item of a comma separated list, trimmed; false at the end. An empty list has none. */
bool config__list_next(slice *rest, slice *item);
/* Kafka's text form of a value that was checked; lists lose repeated items. NULL: no memory. */
const char *config__canonical(struct arena *arena, const struct config_row *row,
                              const struct config_parsed *parsed);
/* What would be right, for messages and docs: "a whole number of at least 1". */
void config__wanted(const struct config_row *row, char *out, size_t size);
/* As Java's Double.toString. At most 32 bytes with the NUL. */
void config__double_text(double value, char out[32]);
slice config__trim(slice text);
/* Decimal digits with an optional sign, as Java's parseLong. */
bool config__parse_integer(slice text, int64_t min, int64_t max, int64_t *out);

/* config_duration.c: whether Java's Duration.parse takes it, and it is not negative. */
bool config__is_duration(slice text);

/* config_report.c */
void config__report(struct config_report *report, enum config_message_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* config_properties.c: the syntax of java.util.Properties. */
struct properties {
    slice rest;
    unsigned line; /* of the byte that rest begins with */
    bool is_latin1;
    struct arena *arena;
    uint8_t *buffer; /* one logical line */
};
struct property {
    slice name;
    slice value;
    unsigned line; /* where it begins */
};
enum properties_status { PROPERTIES_OK, PROPERTIES_END, PROPERTIES_BAD_ESCAPE, PROPERTIES_NO_MEMORY };
/* False: no memory. text is borrowed. */
bool properties_init(struct properties *properties, slice text, struct arena *arena);
/* The next pair, in memory of the arena. After PROPERTIES_BAD_ESCAPE (out->line is set) reading may
 * go on with the next line. */
enum properties_status properties_next(struct properties *properties, struct property *out);

/* config_names.c: what a name means that is none of config.def. */
enum config_name_kind {
    NAME_UNKNOWN,
    NAME_REMOVED,  /* was Kafka's, until 4.0 at the latest */
    NAME_LISTENER, /* listener.name.<listener>.<setting> */
    NAME_PLUGIN,   /* of a plug-in that is not there: accepted */
    NAME_REFUSED,  /* of a plug-in whose absence would be unsafe */
};
enum config_name_kind config__name_kind(slice name, slice *rest);
/* The name of config.def that is closest, or NULL when none is close. */
const char *config__nearest_name(slice name);

/* config_env.c: KAFKA_LOG_DIRS -> log.dirs. False: the variable is none of ours. */
bool config__env_name(const char *variable, const char *value, char *out, size_t size);

/* A value on its way: the last one of a setting wins. */
struct config_value {
    const char *raw;  /* as given; NULL: the default holds */
    const char *text; /* Kafka's text form; NULL: null */
    const char *text_default;
    struct config_parsed parsed;
    enum config_source source;
    const char *origin;
};
struct config_values {
    struct arena arena;
    struct config_value items[SETTING_COUNT];
};

static inline const struct config_value *config__value(const struct config *config, size_t index)
{
    return &config->values->items[index];
}
static inline int64_t config__integer(const struct config *config, size_t index)
{
    return config->values->items[index].parsed.integer;
}
static inline bool config__is_set(const struct config *config, size_t index)
{
    return config->values->items[index].source != CONFIG_FROM_DEFAULT;
}
/* An error about the setting's value, with its origin in front. */
void config__report_value(struct config_report *report, const struct config *config, size_t index,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Splits a checked list; NULL: no memory. */
bool config__split(struct arena *arena, slice text, struct config_list *out);
/* config_addresses.c: fills listeners and advertised; then ip_limits. */
void config__derive_listeners(struct config *config, struct config_report *report);
void config__derive_ip_limits(struct config *config, struct config_report *report);
/* config_check.c: rules that tie several settings together. */
void config__check_together(const struct config *config, struct config_report *report);
/* config_check.c: roles and quorum of this node. */
void config__check_roles(const struct config *config, struct config_report *report);
/* topic_config.c */
void topic_config__defaults(const struct config *config, struct topic_config *out);

#endif
