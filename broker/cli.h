/* The command line: what to do, and the settings given there. */
#ifndef RUNNEL_BROKER_CLI_H
#define RUNNEL_BROKER_CLI_H

#include "broker/config.h"

enum cli_action {
    CLI_SERVE,
    CLI_CHECK_CONFIG,
    CLI_PRINT_CONFIG, /* in .print_format */
    CLI_PRINT_VERSION,
    CLI_PRINT_HELP,
    CLI_WRONG, /* .error says why: exit with EXIT_USAGE */
};

enum config_print_format {
    CONFIG_PRINT_CHANGED,  /* --print-config: settings that are not defaults, as a server.properties */
    CONFIG_PRINT_ALL,      /* --print-config=all: every setting, with source and sentence */
    CONFIG_PRINT_MARKDOWN, /* --print-config=markdown: the reference table, whatever is set */
};

struct cli {
    enum cli_action action;
    enum config_print_format print_format;
    const char *file; /* server.properties, or NULL; borrowed from argv */
    struct config_override *overrides;
    size_t override_count;
    int ready_fd; /* -1: none */
    char error[256];
    char *listen; /* cli.c: the text of --listen options, joined */
};

/* Reads argv (argv[0] is skipped). Options: --opt VALUE or --opt=VALUE; -- ends them. */
void cli_parse(int argc, char *const *argv, struct cli *out);
void cli_destroy(struct cli *cli);

/* The text of --help; static. */
const char *cli_help(void);
/* Writes to a descriptor; false when it takes no more. */
bool config_print(const struct config *config, enum config_print_format format, int fd);

#endif
