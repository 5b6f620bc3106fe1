/* What a setting is: one row of config.def or topic_config.def, as constant data. */
#ifndef RUNNEL_BROKER_CONFIG_ROW_H
#define RUNNEL_BROKER_CONFIG_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kafka's ConfigDef types; DescribeConfigs numbers them otherwise (handlers translate). */
enum config_type {
    CONFIG_BOOLEAN,
    CONFIG_STRING,
    CONFIG_INT,   /* 32 bits */
    CONFIG_SHORT, /* 16 bits */
    CONFIG_LONG,  /* 64 bits */
    CONFIG_DOUBLE,
    CONFIG_LIST,  /* comma separated, trimmed */
    CONFIG_CLASS, /* a Java class name: text for us */
    CONFIG_PASSWORD,
};

/* Which values are right, beyond the type. */
enum config_rule {
    RULE_ANY,
    RULE_RANGE, /* min <= value <= max, or value == also */
    RULE_RATIO, /* DOUBLE: ratio_min <= value <= ratio_max */
    RULE_WORDS, /* STRING: one of words; LIST: each of them, none twice */
    RULE_WORDS_ANY_CASE,
    RULE_NOT_EMPTY, /* STRING: at least one character; LIST: at least one item */
    RULE_DISTINCT,  /* LIST: no item twice, none empty */
    RULE_THROTTLED, /* LIST of partition:broker, or * alone */
    RULE_OFFSET_RESET, /* STRING: earliest, latest or by_duration:<ISO 8601> */
};

struct config_valid {
    enum config_rule rule;
    bool empty_refused; /* LIST */
    int64_t min, max, also;
    double ratio_min, ratio_max;
    const char *words; /* separated by blanks */
};

enum config_unit {
    UNIT_NONE,
    UNIT_BYTES,
    UNIT_MS,
    UNIT_SECONDS,
    UNIT_MINUTES,
    UNIT_HOURS,
    UNIT_COUNT,
    UNIT_RECORDS,
    UNIT_BYTES_PER_SECOND,
};

/* How Kafka lets a running broker change it. INTERNAL: read-only, shown only when set. */
enum config_scope {
    SCOPE_READ_ONLY,
    SCOPE_PER_BROKER,
    SCOPE_CLUSTER_WIDE,
    SCOPE_TOPIC,
    SCOPE_GROUP,
    SCOPE_INTERNAL
};

/* What this broker makes of it. */
enum config_class {
    CLASS_USED,     /* through the field of its own in struct config or struct topic_config */
    CLASS_DERIVED,  /* through what config_load() derives from it: listeners, topic defaults, ... */
    CLASS_ACCEPTED, /* known, checked, shown, but not acted on */
    CLASS_REFUSED,  /* a value other than the default is refused: ignoring it would be unsafe or a lie */
};

struct config_row {
    const char *name;
    enum config_type type;
    const char *value_default; /* ours, as text; NULL: Kafka's null */
    const char *kafka_default; /* the same, except where we differ on purpose */
    struct config_valid valid;
    enum config_unit unit;
    enum config_scope scope;
    enum config_class row_class;
    const char *sentence;
};

#endif
