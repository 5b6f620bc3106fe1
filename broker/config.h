/* The broker's settings: read from file, environment and command line, checked, typed. */
#ifndef RUNNEL_BROKER_CONFIG_H
#define RUNNEL_BROKER_CONFIG_H

#include <sys/socket.h>

#include "broker/config_row.h"
#include "broker/topic_config.h"

/* A listener to open, or an address to tell clients. Text borrowed from its config. */
struct config_listener {
    const char *name; /* the listener's, upper case: "PLAINTEXT" */
    const char *host; /* without brackets; "": all addresses; in advertised: the connection's local one */
    uint16_t port;    /* host order; 0: the kernel picks one; in advertised: the bound one */
    bool is_optional; /* of our default pair: may fail to bind while another one is bound */
};

/* One entry of max.connections.per.ip.overrides. */
struct config_ip_limit {
    uint8_t address[16]; /* IPv6, or IPv4 mapped into it */
    int32_t count;
};

/* A LIST value. */
struct config_list {
    const char *const *items;
    size_t count;
};

/* One field per setting of class USED, named as in config.def; NULL in a text is Kafka's null.
 * Immutable once loaded, any thread may read. */
#define CONFIG_C_TYPE_BOOLEAN          bool
#define CONFIG_C_TYPE_STRING           const char *
#define CONFIG_C_TYPE_INT              int32_t
#define CONFIG_C_TYPE_SHORT            int16_t
#define CONFIG_C_TYPE_LONG             int64_t
#define CONFIG_C_TYPE_DOUBLE           double
#define CONFIG_C_TYPE_LIST             struct config_list
#define CONFIG_C_TYPE_CLASS            const char *
#define CONFIG_FIELD_USED(field, type) CONFIG_C_TYPE_##type field;
#define CONFIG_FIELD_DERIVED(field, type)
#define CONFIG_FIELD_ACCEPTED(field, type)
#define CONFIG_FIELD_REFUSED(field, type)

struct config {
#define CONFIG(field, name, type, value, valid, unit, scope, row_class, sentence)                            \
    CONFIG_FIELD_##row_class(field, type)
#include "broker/config.def"
#undef CONFIG

    /* Derived. */
    int32_t node_id;                         /* node.id, else broker.id */
    struct config_list log_dirs;             /* log.dirs, else log.dir; the metadata's first; >= 1 */
    const struct config_listener *listeners; /* listeners without those of a controller; >= 1 */
    size_t listener_count;
    const struct config_listener *advertised; /* only what advertised.listeners names */
    size_t advertised_count;
    const struct config_ip_limit *ip_limits;
    size_t ip_limit_count;
    const char *cluster_id;             /* CLUSTER_ID: names a new cluster; NULL: a random one */
    struct topic_config topic_defaults; /* for topics without settings of their own */

    struct config_values *values; /* config.c: each setting as text, with its source */
};

/* A place in the table, for code that names one setting: SETTING_log_roll_ms. */
enum config_setting_index {
#define CONFIG(field, name, type, value, valid, unit, scope, row_class, sentence) SETTING_##field,
#include "broker/config.def"
#undef CONFIG
    SETTING_COUNT,
};

/* NAME=VALUE from the command line; the last of a name wins. */
struct config_override {
    const char *name;
    const char *value;
    const char *origin; /* for messages: "--override", "--listen" */
};

struct config_sources {
    const char *file;         /* server.properties, or NULL */
    char *const *environment; /* ends with NULL, or NULL */
    const struct config_override *overrides;
    size_t override_count;
    unsigned cpu_count; /* >= 1; sets the default of num.network.threads */
};

/* What the operator should read, in the order found. */
enum config_message_level { CONFIG_MESSAGE_ERROR, CONFIG_MESSAGE_WARNING, CONFIG_MESSAGE_INFO };
struct config_message {
    enum config_message_level level;
    const char *text; /* one line: "server.properties:7: num.partitions=zero: ..." */
};
struct config_report {
    struct config_message *messages;
    size_t count;
    size_t error_count;
};

/* Reads all sources, later ones win: file, environment, overrides. Returned owned, or NULL when
 * report->error_count > 0; every error found is reported, not only the first. */
struct config *config_load(const struct config_sources *sources, struct config_report *report);
/* The same from text in memory, for tests and fuzzing: text stands for the file named
 * sources->file, which is not opened. */
struct config *config_load_text(const struct config_sources *sources, slice text,
                                struct config_report *report);
void config_destroy(struct config *config);
void config_report_destroy(struct config_report *report);

/* The advertised address of a listener, or NULL: tell the connection's own local address
 * (DESIGN 9). */
const struct config_listener *config_advertised(const struct config *config, const char *listener);
/* max.connections.per.ip for this peer, with its overrides. */
int32_t config_connections_per_ip(const struct config *config, const struct sockaddr *peer);

/* For DescribeConfigs, --print-config and docs: all settings in the order of their names. */
enum config_source {
    CONFIG_FROM_DEFAULT,
    CONFIG_FROM_FILE,
    CONFIG_FROM_ENVIRONMENT,
    CONFIG_FROM_COMMAND_LINE
};

struct config_setting {
    const struct config_row *row;
    const char *value; /* Kafka's text form; NULL: null, or secret */
    enum config_source source;
    const char *origin; /* "server.properties:12", "KAFKA_LISTENERS", "--override"; "" for defaults */
    bool is_default;
    bool is_sensitive; /* value is withheld */
    bool is_read_only;
    bool is_shown; /* false: internal and not set */
};

static inline size_t config_setting_count(void)
{
    return SETTING_COUNT;
}
const struct config_row *config_row_at(size_t index);
/* SIZE_MAX: no such setting. */
size_t config_row_find(slice name);
void config_setting_at(const struct config *config, size_t index, struct config_setting *out);

/* Where a value comes from, best first, as DescribeConfigs lists synonyms. */
struct config_synonym {
    const char *name;
    const char *value; /* NULL: secret */
    enum config_source source;
};
enum { CONFIG_SYNONYMS_MAX = 6 };
size_t config_synonyms(const struct config *config, size_t index,
                       struct config_synonym out[CONFIG_SYNONYMS_MAX]);

#endif
