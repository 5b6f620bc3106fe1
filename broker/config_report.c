/* Collects what the operator should read about the settings. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config_internal.h"
#include "protocol/base/check.h"

/* A file can be wrong in every line; a person reads the first few. */
enum { MESSAGES_MAX = 200, MESSAGE_SIZE_MAX = 1024 };

static void add(struct config_report *report, enum config_message_level level, const char *text)
{
    report->error_count += level == CONFIG_MESSAGE_ERROR;
    if (report->count == MESSAGES_MAX && level != CONFIG_MESSAGE_ERROR)
        return;
    if (report->count == 2 * MESSAGES_MAX)
        return;
    if (report->count % 16 == 0)
        report->messages =
            check_memory(realloc(report->messages, (report->count + 16) * sizeof *report->messages));
    report->messages[report->count++] = (struct config_message){ level, check_memory(strdup(text)) };
}

void config__report(struct config_report *report, enum config_message_level level, const char *format, ...)
{
    char text[MESSAGE_SIZE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add(report, level, text);
}

void config__report_value(struct config_report *report, const struct config *config, size_t index,
                          const char *format, ...)
{
    char text[MESSAGE_SIZE_MAX];
    const char *origin = config->values->items[index].origin;
    int at = snprintf(text, sizeof text, "%.256s%s", origin, *origin != '\0' ? ": " : "");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + at, sizeof text - (size_t)at, format, arguments);
    va_end(arguments);
    add(report, CONFIG_MESSAGE_ERROR, text);
}

void config_report_destroy(struct config_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        free((char *)report->messages[i].text);
    free(report->messages);
    *report = (struct config_report){ 0 };
}
