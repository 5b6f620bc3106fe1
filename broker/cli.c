/* Reads the command line. */
#include "broker/cli.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/config_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum option_id {
    OPTION_DATA_DIR,
    OPTION_LISTEN,
    OPTION_LOOPS,
    OPTION_OVERRIDE,
    OPTION_READY_FD,
    OPTION_CHECK_CONFIG,
    OPTION_PRINT_CONFIG,
    OPTION_VERSION,
    OPTION_HELP,
};

enum option_value { VALUE_NONE, VALUE_NEEDED, VALUE_MAYBE };

struct option {
    const char *name;
    enum option_id id;
    enum option_value value;
};

static const struct option options[] = {
    { "--data-dir", OPTION_DATA_DIR, VALUE_NEEDED },
    { "--listen", OPTION_LISTEN, VALUE_NEEDED },
    { "--loops", OPTION_LOOPS, VALUE_NEEDED },
    { "--override", OPTION_OVERRIDE, VALUE_NEEDED },
    { "--ready-fd", OPTION_READY_FD, VALUE_NEEDED },
    { "--check-config", OPTION_CHECK_CONFIG, VALUE_NONE },
    { "--print-config", OPTION_PRINT_CONFIG, VALUE_MAYBE },
    { "--version", OPTION_VERSION, VALUE_NONE },
    { "--help", OPTION_HELP, VALUE_NONE },
    { "-h", OPTION_HELP, VALUE_NONE },
};

const char *cli_help(void)
{
    return "runnel: a Kafka-compatible event broker\n"
           "\n"
           "    runnel [SERVER.PROPERTIES] [OPTIONS]\n"
           "\n"
           "    --data-dir DIR         where the logs are kept (log.dirs; default ./runnel-data)\n"
           "    --listen HOST:PORT     where to listen, repeatable; port 0 picks a free one\n"
           "                           (listeners; default 127.0.0.1:9092 and [::1]:9092)\n"
           "    --loops N              threads that serve connections\n"
           "                           (num.network.threads; default: cores, at most 16)\n"
           "    --override NAME=VALUE  any broker setting of Kafka 4.2, repeatable\n"
           "    --ready-fd N           write HOST:PORT and a line end to this descriptor when serving\n"
           "    --check-config         check the settings and stop\n"
           "    --print-config[=WHAT]  print settings and stop: those that were given, or with WHAT\n"
           "                           all        every setting with its source and meaning\n"
           "                           markdown   the tables of broker and topic settings\n"
           "    --version, --help\n"
           "\n"
           "Settings come from the file, then KAFKA_* of the environment (KAFKA_LOG_DIRS is log.dirs),\n"
           "then the command line; the later one holds. CLUSTER_ID names a new cluster.\n"
           "\n"
           "Exit codes: 0 stopped cleanly, 64 wrong command line, 65 a log directory is damaged,\n"
           "69 an address cannot be used, 70 internal error, 72 a log directory belongs to another\n"
           "cluster or node, 73 a log directory cannot be written, 74 the storage failed while serving,\n"
           "75 a log directory is used by another process, 78 a setting is wrong or refused.\n";
}

/* Keeps the first mistake. value (may be NULL) is printed escaped. */
static void wrong(struct cli *cli, const char *option, const char *value, const char *why)
{
    if (cli->action != CLI_WRONG)
        snprintf(cli->error, sizeof cli->error, "%s%s%s: %s", option, *option && value ? " " : "",
                 value ? note_escape(slice_of_string(value)) : "", why);
    cli->action = CLI_WRONG;
}

/* Of the actions given, the first counts; an error wins over all. */
static void act(struct cli *cli, enum cli_action action)
{
    if (cli->action == CLI_SERVE)
        cli->action = action;
}

static void add_override(struct cli *cli, char *name, const char *value, const char *origin)
{
    cli->overrides =
        check_memory(realloc(cli->overrides, (cli->override_count + 1) * sizeof *cli->overrides));
    cli->overrides[cli->override_count++] = (struct config_override){ check_memory(name), value, origin };
}

static void add_setting(struct cli *cli, enum config_setting_index setting, const char *value,
                        const char *origin)
{
    add_override(cli, strdup(config_row_at(setting)->name), value, origin);
}

/* All --listen options make one value: "PLAINTEXT://a:1,PLAINTEXT://b:2". */
static void add_listen(struct cli *cli, const char *address)
{
    static const char scheme[] = "PLAINTEXT://";
    if (strchr(address, ':') == NULL || strchr(address, ',') != NULL || strstr(address, "://") != NULL) {
        wrong(cli, "--listen", address, "wanted is HOST:PORT, with an IPv6 host in brackets");
        return;
    }
    size_t old_size = cli->listen ? strlen(cli->listen) : 0;
    size_t size = old_size + sizeof scheme + strlen(address) + 2;
    cli->listen = check_memory(realloc(cli->listen, size));
    snprintf(cli->listen + old_size, size - old_size, "%s%s%s", old_size ? "," : "", scheme, address);
}

static void add_named(struct cli *cli, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        wrong(cli, "--override", text, "wanted is NAME=VALUE");
    else
        add_override(cli, strndup(text, (size_t)(equals - text)), equals + 1, "--override");
}

static void set_ready_fd(struct cli *cli, const char *text)
{
    int64_t fd;
    if (config__parse_integer(slice_of_string(text), 0, INT32_MAX, &fd))
        cli->ready_fd = (int)fd;
    else
        wrong(cli, "--ready-fd", text, "wanted is the number of an open descriptor");
}

static void set_print(struct cli *cli, const char *what)
{
    act(cli, CLI_PRINT_CONFIG);
    if (what == NULL)
        cli->print_format = CONFIG_PRINT_CHANGED;
    else if (strcmp(what, "all") == 0)
        cli->print_format = CONFIG_PRINT_ALL;
    else if (strcmp(what, "markdown") == 0)
        cli->print_format = CONFIG_PRINT_MARKDOWN;
    else
        wrong(cli, "--print-config", what, "wanted is all or markdown");
}

static void apply(struct cli *cli, enum option_id id, const char *value)
{
    switch (id) {
    case OPTION_DATA_DIR:
        add_setting(cli, SETTING_log_dirs, value, "--data-dir");
        return;
    case OPTION_LISTEN:
        add_listen(cli, value);
        return;
    case OPTION_LOOPS:
        add_setting(cli, SETTING_num_network_threads, value, "--loops");
        return;
    case OPTION_OVERRIDE:
        add_named(cli, value);
        return;
    case OPTION_READY_FD:
        set_ready_fd(cli, value);
        return;
    case OPTION_CHECK_CONFIG:
        act(cli, CLI_CHECK_CONFIG);
        return;
    case OPTION_PRINT_CONFIG:
        set_print(cli, value);
        return;
    case OPTION_VERSION:
        act(cli, CLI_PRINT_VERSION);
        return;
    case OPTION_HELP:
        act(cli, CLI_PRINT_HELP);
        return;
    }
    check_unreachable("option_id");
}

static const struct option *find_option(const char *text, size_t size)
{
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strlen(options[i].name) == size && memcmp(options[i].name, text, size) == 0)
            return &options[i];
    return NULL;
}

/* One option at argv[at]; returns how many arguments it took. */
static int take_option(struct cli *cli, int argc, char *const *argv, int at)
{
    const char *text = argv[at];
    const char *equals = strchr(text, '=');
    const struct option *option = find_option(text, equals ? (size_t)(equals - text) : strlen(text));
    const char *value = equals ? equals + 1 : NULL;
    if (option == NULL) {
        wrong(cli, "", text, "no such option; --help lists them");
        return 1;
    }
    if (option->value == VALUE_NONE && value != NULL)
        wrong(cli, option->name, NULL, "takes no value");
    else if (option->value != VALUE_NEEDED || value != NULL)
        apply(cli, option->id, value);
    else if (at + 1 < argc) {
        apply(cli, option->id, argv[at + 1]);
        return 2;
    } else
        wrong(cli, option->name, NULL, "needs a value");
    return 1;
}

static void take_file(struct cli *cli, const char *path)
{
    if (cli->file != NULL)
        wrong(cli, "", path, "only one file of settings can be read");
    else
        cli->file = path;
}

void cli_parse(int argc, char *const *argv, struct cli *out)
{
    *out = (struct cli){ .action = CLI_SERVE, .ready_fd = -1 };
    bool options_over = false;
    for (int at = 1; at < argc;) {
        if (!options_over && strcmp(argv[at], "--") == 0) {
            options_over = true;
            at++;
        } else if (!options_over && argv[at][0] == '-' && argv[at][1] != '\0')
            at += take_option(out, argc, argv, at);
        else
            take_file(out, argv[at++]);
    }
    if (out->listen != NULL)
        add_setting(out, SETTING_listeners, out->listen, "--listen");
}

void cli_destroy(struct cli *cli)
{
    for (size_t i = 0; i < cli->override_count; i++)
        free((char *)cli->overrides[i].name);
    free(cli->overrides);
    free(cli->listen);
    *cli = (struct cli){ .ready_fd = -1 };
}
