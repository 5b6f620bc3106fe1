/* Prints settings: as a server.properties, with all that is known of each, or as a table for docs. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/cli.h"
#include "broker/config_internal.h"
#include "protocol/base/check.h"

static const char *type_name(enum config_type type)
{
    static const char *const names[] = { "boolean", "string", "int",   "short",   "long",
                                         "double",  "list",   "class", "password" };
    return names[type];
}

static const char *unit_name(enum config_unit unit)
{
    static const char *const names[] = { "",      "bytes", "ms",      "seconds",     "minutes",
                                         "hours", "count", "records", "bytes/second" };
    return names[unit];
}

static const char *class_name(enum config_class row_class)
{
    switch (row_class) {
    case CLASS_USED:
    case CLASS_DERIVED:
        return "used";
    case CLASS_ACCEPTED:
        return "accepted, not acted on";
    case CLASS_REFUSED:
        return "refused";
    }
    check_unreachable("config_class");
}

static const char *scope_name(enum config_scope scope)
{
    switch (scope) {
    case SCOPE_READ_ONLY:
        return "read-only";
    case SCOPE_PER_BROKER:
        return "per broker";
    case SCOPE_CLUSTER_WIDE:
        return "cluster-wide";
    case SCOPE_TOPIC:
        return "topic";
    case SCOPE_GROUP:
        return "group";
    case SCOPE_INTERNAL:
        return "internal";
    }
    check_unreachable("config_scope");
}

static const char *source_name(enum config_source source)
{
    switch (source) {
    case CONFIG_FROM_DEFAULT:
        return "default";
    case CONFIG_FROM_FILE:
        return "file";
    case CONFIG_FROM_ENVIRONMENT:
        return "environment";
    case CONFIG_FROM_COMMAND_LINE:
        return "command line";
    }
    check_unreachable("config_source");
}

/* A value as server.properties takes it. */
static void print_value(FILE *out, const char *value)
{
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\\')
            fputs("\\\\", out);
        else if (*c == '\n')
            fputs("\\n", out);
        else if (*c == '\r')
            fputs("\\r", out);
        else if (*c == '\t')
            fputs("\\t", out);
        else if (*c == '\f')
            fputs("\\f", out);
        else
            fputc(*c, out);
    }
    fputc('\n', out);
}

static void print_changed(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        struct config_setting setting;
        config_setting_at(config, i, &setting);
        if (setting.is_default)
            continue;
        fprintf(out, "%s=", setting.row->name);
        print_value(out, setting.is_sensitive ? "[hidden]" : setting.value);
    }
}

static void print_all(const struct config *config, FILE *out)
{
    char wanted[256];
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        struct config_setting setting;
        config_setting_at(config, i, &setting);
        const struct config_row *row = setting.row;
        config__wanted(row, wanted, sizeof wanted);
        fprintf(out, "# %s\n# %s", row->sentence, wanted);
        if (row->unit != UNIT_NONE)
            fprintf(out, ", %s", unit_name(row->unit));
        fprintf(out, "; %s; %s; from %s", scope_name(row->scope), class_name(row->row_class),
                source_name(setting.source));
        fprintf(out, "%s%s\n", *setting.origin ? " " : "", setting.origin);
        fprintf(out, "%s%s=", setting.value == NULL && !setting.is_sensitive ? "#" : "", row->name);
        print_value(out, setting.value                                 ? setting.value
                         : setting.is_sensitive && !setting.is_default ? "[hidden]"
                                                                       : "");
        fputc('\n', out);
    }
}

/* Text in a cell of a table. */
static void print_cell(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        fputs(*text == '|' ? "\\|" : (char[]){ *text, '\0' }, out);
}

static void print_default(FILE *out, const char *text)
{
    if (text == NULL)
        fputs("none", out);
    else if (*text == '\0')
        fputs("empty", out);
    else
        fprintf(out, "`%s`", text);
}

static void print_row(FILE *out, const struct config_row *row)
{
    char wanted[256];
    bool differs = (row->value_default == NULL) != (row->kafka_default == NULL) ||
                   (row->value_default != NULL && strcmp(row->value_default, row->kafka_default) != 0);
    config__wanted(row, wanted, sizeof wanted);
    fprintf(out, "| `%s` | %s | ", row->name, type_name(row->type));
    print_default(out, row->value_default);
    if (differs) {
        fputs(" (Kafka: ", out);
        print_default(out, row->kafka_default);
        fputc(')', out);
    }
    fprintf(out, " | ");
    print_cell(out, wanted);
    fprintf(out, " | %s | %s | %s | ", unit_name(row->unit), scope_name(row->scope),
            class_name(row->row_class));
    print_cell(out, row->sentence);
    fputs(" |\n", out);
}

static void print_table(FILE *out, const char *title, const struct config_row *(*row)(size_t), size_t count)
{
    fprintf(out, "## %s\n\n", title);
    fputs("| setting | type | default | values | unit | change | here | meaning |\n", out);
    fputs("|---|---|---|---|---|---|---|---|\n", out);
    for (size_t i = 0; i < count; i++)
        print_row(out, row(i));
}

bool config_print(const struct config *config, enum config_print_format format, int fd)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = check_memory(open_memstream(&text, &size));
    switch (format) {
    case CONFIG_PRINT_CHANGED:
        print_changed(config, out);
        break;
    case CONFIG_PRINT_ALL:
        print_all(config, out);
        break;
    case CONFIG_PRINT_MARKDOWN:
        print_table(out, "Broker settings", config_row_at, SETTING_COUNT);
        fputc('\n', out);
        print_table(out, "Topic settings", topic_config_row, TOPIC_CONFIG_COUNT);
        fputc('\n', out);
        print_table(out, "Group settings", group_config_row, GROUP_CONFIG_COUNT);
        break;
    }
    bool ok = fclose(out) == 0;
    for (size_t at = 0; ok && at < size;) {
        ssize_t written = write(fd, text + at, size - at);
        ok = written > 0 || (written < 0 && errno == EINTR);
        at += written > 0 ? (size_t)written : 0;
    }
    free(text);
    return ok;
}
