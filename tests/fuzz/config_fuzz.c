/* Fuzzes the settings: any bytes as a file, overrides, environment and a topic's own settings. */
#include <stdlib.h>

#include "broker/cli.h"
#include "broker/config_internal.h"
#include "protocol/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PAIRS_MAX = 8 };

/* Cuts the next line that begins with mark off the input, as a string of its own; NULL: none. */
static char *take_line(slice *input, char mark)
{
    if (input->size == 0 || input->data[0] != (uint8_t)mark)
        return NULL;
    const uint8_t *end = memchr(input->data, '\n', input->size);
    size_t size = end ? (size_t)(end - input->data) : input->size;
    char *line = check_memory(strndup((const char *)input->data + 1, size - 1));
    size += end != NULL;
    *input = slice_of(input->data + size, input->size - size);
    return line;
}

/* Whatever was accepted can be shown, is what its text form says, and keeps the rules. */
static void check_config(const struct config *config)
{
    check(config->listener_count > 0 && config->log_dirs.count > 0 && config->node_id >= 0);
    check(config->topic_defaults.segment_bytes >= 1 << 20 && config->topic_defaults.segment_ms >= 1);
    check(config->topic_defaults.flush_messages >= 1 && config->num_network_threads >= 1);
    for (size_t i = 0; i < config_setting_count(); i++) {
        struct config_setting setting;
        struct config_synonym synonyms[CONFIG_SYNONYMS_MAX];
        struct config_parsed parsed;
        config_setting_at(config, i, &setting);
        check(config_synonyms(config, i, synonyms) <= CONFIG_SYNONYMS_MAX);
        check(!setting.is_sensitive || setting.value == NULL);
        check(setting.value == NULL ||
              config__check_value(setting.row, slice_of_string(setting.value), &parsed, NULL));
    }
}

/* Lines as name=value pairs of one topic. */
static void try_topic(const struct config *config, slice text)
{
    struct topic_config_override overrides[PAIRS_MAX];
    struct topic_config topic;
    char error[TOPIC_CONFIG_ERROR_SIZE], value[64];
    size_t count = 0;
    for (; count < PAIRS_MAX && text.size > 0; count++) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        const uint8_t *equals = size > 0 ? memchr(text.data, '=', size) : NULL;
        size_t name_size = equals ? (size_t)(equals - text.data) : size;
        overrides[count].name = slice_of(text.data, name_size);
        overrides[count].value = equals ? slice_of(equals + 1, size - name_size - 1) : SLICE_NULL;
        size += end != NULL;
        text = slice_of(text.data + size, text.size - size);
    }
    size_t ignored = topic_config_load(config, overrides, count, &topic);
    check(topic.segment_bytes >= 1 && topic.flush_messages >= 1);
    if (topic_config_resolve(config, overrides, count, &topic, error))
        check(ignored == 0 && topic.min_compaction_lag_ms <= topic.max_compaction_lag_ms);
    else
        check(strlen(error) > 0 && strlen(error) < sizeof error);
    for (size_t i = 0; i < topic_config_count(); i++)
        check(topic_config_default(config, i, value, sizeof value) < sizeof value);
}

/* Lines that begin with '$' are variables, with '-' arguments; the rest is the file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *environment[PAIRS_MAX + 1] = { 0 };
    char *arguments[PAIRS_MAX + 2] = { (char *)"runnel" };
    int argument_count = 1;
    slice input = slice_of(data, size);
    if (size > 1 << 14)
        return 0;
    for (size_t i = 0; i < PAIRS_MAX && (environment[i] = take_line(&input, '$')) != NULL; i++)
        ;
    while (argument_count <= PAIRS_MAX && (arguments[argument_count] = take_line(&input, '-')) != NULL)
        argument_count++;

    struct cli cli;
    struct config_report report = { 0 };
    cli_parse(argument_count, arguments, &cli);
    struct config_sources sources = { "f", environment, cli.overrides, cli.override_count, 2 };
    struct config *config = config_load_text(&sources, input, &report);
    check((config == NULL) == (report.error_count > 0));
    if (config != NULL)
        check_config(config);
    config_destroy(config);
    config_report_destroy(&report);

    static struct config *plain;
    if (plain == NULL)
        plain = config_load(&(struct config_sources){ .cpu_count = 1 }, &report);
    try_topic(plain, input);
    cli_destroy(&cli);
    for (size_t i = 0; environment[i] != NULL; i++)
        free(environment[i]);
    for (int i = 1; i < argument_count; i++)
        free(arguments[i]);
    return 0;
}
