/* Loads the broker's settings from their sources and hands them out, typed or as text. */
#include "broker/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/config_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum { FILE_SIZE_MAX = 1 << 20, LOOPS_DEFAULT_MAX = 16, NEAREST_COUNT_MAX = 10 };

/* A config on its way. */
struct load {
    struct config *config;
    struct arena *arena; /* the config's */
    struct config_report *report;
    unsigned nearest_count; /* names that were compared with all others, which takes a while */
};

static const char *copy_text(struct load *load, slice text)
{
    return check_memory(arena_string(load->arena, text));
}

static void parse_default(struct load *load, size_t index, const char *text)
{
    struct config_value *value = &load->config->values->items[index];
    *value = (struct config_value){ .origin = "" };
    if (text == NULL)
        return;
    check(config__check_value(&config__rows[index], slice_of_string(text), &value->parsed, NULL));
    value->text = check_memory((void *)config__canonical(load->arena, &config__rows[index], &value->parsed));
    value->parsed.text = slice_of_string(value->text);
    value->text_default = value->text;
}

static void load_defaults(struct load *load, unsigned cpu_count)
{
    char loops[16];
    snprintf(loops, sizeof loops, "%u", cpu_count < LOOPS_DEFAULT_MAX ? cpu_count : LOOPS_DEFAULT_MAX);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        parse_default(load, i, i == SETTING_num_network_threads ? loops : config__rows[i].value_default);
}

/* A name that is none of config.def. */
static void unknown_name(struct load *load, slice name, const char *origin, enum config_source source)
{
    slice setting;
    switch (config__name_kind(name, &setting)) {
    case NAME_LISTENER:
        if (config__rows[config_row_find(setting)].row_class == CLASS_REFUSED ||
            slice_equal_string(setting, "max.connections"))
            config__report(
                load->report, CONFIG_MESSAGE_ERROR,
                "%s: %s is refused: it is not acted on per listener yet, and ignoring it would be unsafe",
                origin, note_escape(name));
        else
            config__report(load->report, CONFIG_MESSAGE_INFO, "%s: %s is accepted, but has no meaning here",
                           origin, note_escape(name));
        return;
    case NAME_PLUGIN:
        config__report(load->report, CONFIG_MESSAGE_INFO, "%s: %s is a plug-in's and has no meaning here",
                       origin, note_escape(name));
        return;
    case NAME_REFUSED:
        config__report(load->report, CONFIG_MESSAGE_ERROR,
                       "%s: %s is refused: its plug-in is not loaded here, and ignoring it would be unsafe",
                       origin, note_escape(name));
        return;
    case NAME_REMOVED:
        config__report(load->report,
                       source == CONFIG_FROM_ENVIRONMENT ? CONFIG_MESSAGE_WARNING : CONFIG_MESSAGE_ERROR,
                       "%s: %s was a setting of older versions and is none of Kafka 4.2; take it out", origin,
                       note_escape(name));
        return;
    case NAME_UNKNOWN:
        break;
    }
    const char *nearest = load->nearest_count++ < NEAREST_COUNT_MAX ? config__nearest_name(name) : NULL;
    config__report(load->report,
                   source == CONFIG_FROM_ENVIRONMENT ? CONFIG_MESSAGE_WARNING : CONFIG_MESSAGE_ERROR,
                   "%s: %s is no setting of Kafka 4.2%s%s", origin, note_escape(name),
                   nearest ? "; the nearest name is " : "", nearest ? nearest : "");
}

/* The last value of a name wins; it is checked when all sources were read. */
static void assign(struct load *load, slice name, slice text, enum config_source source, const char *origin)
{
    size_t index = config_row_find(name);
    if (index == SIZE_MAX) {
        unknown_name(load, name, origin, source);
        return;
    }
    struct config_value *value = &load->config->values->items[index];
    if (value->source == CONFIG_FROM_FILE && source == CONFIG_FROM_FILE)
        config__report(load->report, CONFIG_MESSAGE_WARNING,
                       "%s: %s was set before, at %s; the later one holds", origin, config__rows[index].name,
                       value->origin);
    if (memchr(text.data ? text.data : (const uint8_t *)"", 0, text.size) != NULL) {
        config__report(load->report, CONFIG_MESSAGE_ERROR, "%s: %s: the value holds a NUL character", origin,
                       config__rows[index].name);
        return;
    }
    value->raw = copy_text(load, text);
    value->source = source;
    value->origin = origin;
}

static void load_properties(struct load *load, const char *file, slice text)
{
    struct properties properties;
    struct property property;
    enum properties_status status;
    char origin[512];
    check_memory(properties_init(&properties, text, load->arena) ? load : NULL);
    while ((status = properties_next(&properties, &property)) != PROPERTIES_END) {
        check_memory(status == PROPERTIES_NO_MEMORY ? NULL : load);
        snprintf(origin, sizeof origin, "%.480s:%u", file, property.line);
        if (status == PROPERTIES_BAD_ESCAPE)
            config__report(load->report, CONFIG_MESSAGE_ERROR,
                           "%s: \\u must be followed by the four hexadecimal digits of a character", origin);
        else if (property.name.size == 0)
            config__report(load->report, CONFIG_MESSAGE_ERROR, "%s: a value without a name", origin);
        else
            assign(load, property.name, property.value, CONFIG_FROM_FILE,
                   copy_text(load, slice_of_string(origin)));
    }
}

/* The file's bytes, malloc'ed; false when it cannot be read (reported). */
static bool read_file(struct load *load, const char *path, slice *out)
{
    uint8_t *bytes = check_memory(malloc(FILE_SIZE_MAX + 1));
    size_t size = 0;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && size <= FILE_SIZE_MAX) {
        got = read(fd, bytes + size, FILE_SIZE_MAX + 1 - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        size += (size_t)got;
    }
    if (fd < 0 || got < 0)
        config__report(load->report, CONFIG_MESSAGE_ERROR, "%s: cannot be read: %s", path, strerror(errno));
    else if (size > FILE_SIZE_MAX)
        config__report(load->report, CONFIG_MESSAGE_ERROR, "%s: is larger than 1 MiB: no server.properties",
                       path);
    if (fd >= 0)
        close(fd);
    bool ok = fd >= 0 && got >= 0 && size <= FILE_SIZE_MAX;
    if (ok)
        *out = slice_of(bytes, size);
    else
        free(bytes);
    return ok;
}

static void load_environment(struct load *load, char *const *environment)
{
    char name[256];
    for (; *environment != NULL; environment++) {
        const char *equals = strchr(*environment, '=');
        if (equals == NULL)
            continue;
        const char *variable = copy_text(load, slice_of(*environment, (size_t)(equals - *environment)));
        if (strcmp(variable, "CLUSTER_ID") == 0 && equals[1] != '\0')
            load->config->cluster_id = copy_text(load, slice_of_string(equals + 1));
        else if (config__env_name(variable, equals + 1, name, sizeof name))
            assign(load, slice_of_string(name), slice_of_string(equals + 1), CONFIG_FROM_ENVIRONMENT,
                   variable);
    }
}

static void load_overrides(struct load *load, const struct config_override *overrides, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assign(load, slice_of_string(overrides[i].name), slice_of_string(overrides[i].value),
               CONFIG_FROM_COMMAND_LINE, copy_text(load, slice_of_string(overrides[i].origin)));
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Java allows a setting without a value to be written as nothing where its type has an empty one. */
static void check_value(struct load *load, size_t index)
{
    const struct config_row *row = &config__rows[index];
    struct config_value *value = &load->config->values->items[index];
    char why[CONFIG_WHY_SIZE], wanted[256];
    if (value->raw == NULL)
        return;
    if (!config__check_value(row, slice_of_string(value->raw), &value->parsed, why)) {
        config__wanted(row, wanted, sizeof wanted);
        config__report_value(load->report, load->config, index, "%s; wanted is %s", why, wanted);
        return;
    }
    value->text = check_memory((void *)config__canonical(load->arena, row, &value->parsed));
    value->parsed.text = slice_of_string(value->text);
    bool is_empty_null = value->text_default == NULL && value->text[0] == '\0';
    if (row->row_class == CLASS_REFUSED && !same_text(value->text, value->text_default) && !is_empty_null)
        config__report_value(
            load->report, load->config, index,
            "%s is refused: nothing here acts on it, and ignoring it would be unsafe; take it out",
            row->name);
}

/* One line names the settings that were given and do nothing. */
static void report_accepted(struct load *load)
{
    char names[768];
    size_t at = 0;
    for (size_t i = 0; i < SETTING_COUNT && at < sizeof names; i++) {
        const struct config_value *value = config__value(load->config, i);
        if (value->source == CONFIG_FROM_DEFAULT || config__rows[i].row_class != CLASS_ACCEPTED ||
            same_text(value->text, value->text_default) ||
            same_text(value->text, config__rows[i].kafka_default))
            continue;
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "", config__rows[i].name);
    }
    if (at > 0)
        config__report(load->report, CONFIG_MESSAGE_INFO, "accepted, but not acted on: %s%s", names,
                       at >= sizeof names ? "..." : "");
}

bool config__split(struct arena *arena, slice text, struct config_list *out)
{
    size_t capacity = 1;
    for (size_t i = 0; i < text.size; i++)
        capacity += text.data[i] == ',';
    const char **items = arena_alloc_array(arena, capacity, sizeof *items);
    *out = (struct config_list){ items, 0 };
    slice item;
    while (items != NULL && text.size > 0 && config__list_next(&text, &item)) {
        items[out->count] = arena_string(arena, item);
        if (items[out->count++] == NULL)
            return false;
    }
    return items != NULL;
}

static void derive_list(struct load *load, size_t index, struct config_list *out)
{
    check_memory(config__split(load->arena, slice_of_string(config__value(load->config, index)->text), out)
                     ? load
                     : NULL);
}

/* log.dirs or log.dir, with the one that holds the metadata log in front. */
static void derive_log_dirs(struct load *load)
{
    struct config *config = load->config;
    const char *metadata_dir = config__value(config, SETTING_metadata_log_dir)->text;
    bool plural = config__value(config, SETTING_log_dirs)->text != NULL;
    derive_list(load, plural ? SETTING_log_dirs : SETTING_log_dir, &config->log_dirs);
    if (metadata_dir == NULL || config->log_dirs.count == 0)
        return;
    const char **items = check_memory(arena_alloc_array(load->arena, config->log_dirs.count, sizeof *items));
    size_t count = 1;
    for (size_t i = 0; i < config->log_dirs.count; i++) {
        const char *directory = config->log_dirs.items[i];
        if (strcmp(directory, metadata_dir) == 0)
            items[0] = directory;
        else if (count < config->log_dirs.count)
            items[count++] = directory;
    }
    if (items[0] == NULL) {
        config__report_value(load->report, config, SETTING_metadata_log_dir,
                             "metadata.log.dir: must be one of the directories of log.dirs");
        return;
    }
    config->log_dirs = (struct config_list){ items, count };
}

/* The typed fields of the settings that are used. */
#define FILL_BOOLEAN(field)    config->field = FILL_VALUE(field)->parsed.boolean
#define FILL_INT(field)        config->field = (int32_t)FILL_VALUE(field)->parsed.integer
#define FILL_SHORT(field)      config->field = (int16_t)FILL_VALUE(field)->parsed.integer
#define FILL_LONG(field)       config->field = FILL_VALUE(field)->parsed.integer
#define FILL_DOUBLE(field)     config->field = FILL_VALUE(field)->parsed.real
#define FILL_STRING(field)     config->field = FILL_VALUE(field)->text
#define FILL_CLASS(field)      config->field = FILL_VALUE(field)->text
#define FILL_LIST(field)       derive_list(load, SETTING_##field, &config->field)
#define FILL_VALUE(field)      (&config->values->items[SETTING_##field])
#define FILL_USED(field, type) FILL_##type(field);
#define FILL_DERIVED(field, type)
#define FILL_ACCEPTED(field, type)
#define FILL_REFUSED(field, type)

static void fill_fields(struct load *load)
{
    struct config *config = load->config;
#define CONFIG(field, name, type, value, valid, unit, scope, row_class, sentence)                            \
    FILL_##row_class(field, type)
#include "broker/config.def"
#undef CONFIG
}

static void derive(struct load *load)
{
    struct config *config = load->config;
    int64_t broker_id = config__integer(config, SETTING_broker_id);
    bool by_broker_id = !config__is_set(config, SETTING_node_id) && broker_id >= 0;
    config->node_id = (int32_t)(by_broker_id ? broker_id : config__integer(config, SETTING_node_id));
    fill_fields(load);
    derive_log_dirs(load);
    topic_config__defaults(config, &config->topic_defaults);
    config__check_roles(config, load->report);
    config__derive_listeners(config, load->report);
    config__derive_ip_limits(config, load->report);
    config__check_together(config, load->report);
    report_accepted(load);
}

static struct config *config_create(void)
{
    struct config *config = check_memory(calloc(1, sizeof *config));
    config->values = check_memory(calloc(1, sizeof *config->values));
    arena_init(&config->values->arena, NULL);
    return config;
}

void config_destroy(struct config *config)
{
    if (config == NULL)
        return;
    arena_destroy(&config->values->arena);
    free(config->values);
    free(config);
}

struct config *config_load_text(const struct config_sources *sources, slice text,
                                struct config_report *report)
{
    struct config *config = config_create();
    struct load load = { config, &config->values->arena, report, 0 };
    load_defaults(&load, sources->cpu_count);
    if (sources->file != NULL)
        load_properties(&load, sources->file, text);
    if (sources->environment != NULL)
        load_environment(&load, sources->environment);
    load_overrides(&load, sources->overrides, sources->override_count);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        check_value(&load, i);
    if (report->error_count == 0)
        derive(&load);
    if (report->error_count == 0)
        return config;
    config_destroy(config);
    return NULL;
}

struct config *config_load(const struct config_sources *sources, struct config_report *report)
{
    struct load load = { .report = report };
    slice text = SLICE_NULL;
    *report = (struct config_report){ 0 };
    if (sources->file != NULL && !read_file(&load, sources->file, &text))
        return NULL;
    struct config *config = config_load_text(sources, text, report);
    free((uint8_t *)text.data);
    return config;
}

void config_setting_at(const struct config *config, size_t index, struct config_setting *out)
{
    const struct config_row *row = &config__rows[index];
    const struct config_value *value = config__value(config, index);
    bool is_sensitive = row->type == CONFIG_PASSWORD;
    *out = (struct config_setting){
        .row = row,
        .value = is_sensitive ? NULL : value->text,
        .source = value->source,
        .origin = value->origin,
        .is_default = value->source == CONFIG_FROM_DEFAULT,
        .is_sensitive = is_sensitive,
        .is_read_only = row->scope == SCOPE_READ_ONLY || row->scope == SCOPE_INTERNAL,
        .is_shown = row->scope != SCOPE_INTERNAL || value->source != CONFIG_FROM_DEFAULT,
    };
}

/* Settings that say the same in different units, best first, as Kafka's DynamicBrokerConfig. */
static const uint16_t unit_synonyms[][3] = {
    { SETTING_log_roll_ms, SETTING_log_roll_hours, SETTING_COUNT },
    { SETTING_log_roll_jitter_ms, SETTING_log_roll_jitter_hours, SETTING_COUNT },
    { SETTING_log_flush_interval_ms, SETTING_log_flush_scheduler_interval_ms, SETTING_COUNT },
    { SETTING_log_retention_ms, SETTING_log_retention_minutes, SETTING_log_retention_hours },
};

static size_t names_of(size_t index, size_t out[3])
{
    for (size_t i = 0; i < sizeof unit_synonyms / sizeof *unit_synonyms; i++) {
        size_t count = 0;
        bool found = false;
        for (; count < 3 && unit_synonyms[i][count] < SETTING_COUNT; count++) {
            out[count] = unit_synonyms[i][count];
            /* The scheduler's interval has no synonyms of its own. */
            found |= out[count] == index && index != SETTING_log_flush_scheduler_interval_ms;
        }
        if (found)
            return count;
    }
    out[0] = index;
    return 1;
}

size_t config_synonyms(const struct config *config, size_t index,
                       struct config_synonym out[CONFIG_SYNONYMS_MAX])
{
    size_t names[3], count = 0;
    size_t name_count = names_of(index, names);
    for (size_t i = 0; i < name_count; i++) {
        struct config_setting setting;
        config_setting_at(config, names[i], &setting);
        if (!setting.is_default)
            out[count++] = (struct config_synonym){ setting.row->name, setting.value, setting.source };
    }
    for (size_t i = 0; i < name_count; i++) {
        const struct config_row *row = &config__rows[names[i]];
        const char *text = config__value(config, names[i])->text_default;
        if (text != NULL)
            out[count++] = (struct config_synonym){ row->name, row->type == CONFIG_PASSWORD ? NULL : text,
                                                    CONFIG_FROM_DEFAULT };
    }
    return count;
}
