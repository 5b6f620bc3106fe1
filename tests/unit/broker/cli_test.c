/* The command line: both ways to give a value, what each option sets, and mistakes. */
#include "broker/cli.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/broker/config_try.h"

enum { ARGUMENTS_MAX = 10 };

static const struct row {
    const char *what;
    const char *arguments[ARGUMENTS_MAX];
    enum cli_action action;
    const char *settings; /* "name=value (origin);" each, or the error */
} rows[] = {
    { "nothing", { NULL }, CLI_SERVE, "" },
    { "a directory", { "--data-dir", "/x" }, CLI_SERVE, "log.dirs=/x (--data-dir);" },
    { "with an equals sign", { "--data-dir=/x" }, CLI_SERVE, "log.dirs=/x (--data-dir);" },
    { "an empty value", { "--data-dir=" }, CLI_SERVE, "log.dirs= (--data-dir);" },
    { "loops", { "--loops", "3" }, CLI_SERVE, "num.network.threads=3 (--loops);" },
    { "a listener",
      { "--listen", "127.0.0.1:0" },
      CLI_SERVE,
      "listeners=PLAINTEXT://127.0.0.1:0 (--listen);" },
    { "two, joined",
      { "--listen", "a:1", "--listen=[::1]:2" },
      CLI_SERVE,
      "listeners=PLAINTEXT://a:1,PLAINTEXT://[::1]:2 (--listen);" },
    { "all addresses", { "--listen", ":9092" }, CLI_SERVE, "listeners=PLAINTEXT://:9092 (--listen);" },
    { "a setting", { "--override", "a.b=c=d" }, CLI_SERVE, "a.b=c=d (--override);" },
    { "a setting with an equals sign", { "--override=a.b=c" }, CLI_SERVE, "a.b=c (--override);" },
    { "settings in their order",
      { "--override", "a=1", "--data-dir=x", "--override", "a=2" },
      CLI_SERVE,
      "a=1 (--override);log.dirs=x (--data-dir);a=2 (--override);" },
    { "a value that looks like an option",
      { "--data-dir", "--help" },
      CLI_SERVE,
      "log.dirs=--help (--data-dir);" },
    { "check", { "--check-config" }, CLI_CHECK_CONFIG, "" },
    { "print", { "--print-config" }, CLI_PRINT_CONFIG, "" },
    { "print takes no separate value", { "--print-config", "all" }, CLI_PRINT_CONFIG, "" },
    { "print all", { "--print-config=all" }, CLI_PRINT_CONFIG, "" },
    { "print something",
      { "--print-config=x" },
      CLI_WRONG,
      "--print-config \"x\": wanted is all or markdown" },
    { "version", { "--version" }, CLI_PRINT_VERSION, "" },
    { "help", { "--help" }, CLI_PRINT_HELP, "" },
    { "the short help", { "-h" }, CLI_PRINT_HELP, "" },
    { "the first action counts", { "--version", "--help" }, CLI_PRINT_VERSION, "" },
    { "no such option", { "--datadir=x" }, CLI_WRONG, "\"--datadir=x\": no such option; --help lists them" },
    { "part of an option", { "--data" }, CLI_WRONG, "\"--data\": no such option; --help lists them" },
    { "a control character", { "--\n" }, CLI_WRONG, "\"--\\n\": no such option; --help lists them" },
    { "no value", { "--data-dir" }, CLI_WRONG, "--data-dir: needs a value" },
    { "a value too many", { "--help=x" }, CLI_WRONG, "--help: takes no value" },
    { "no name", { "--override", "=x" }, CLI_WRONG, "--override \"=x\": wanted is NAME=VALUE" },
    { "no pair", { "--override", "x" }, CLI_WRONG, "--override \"x\": wanted is NAME=VALUE" },
    { "no port",
      { "--listen", "x" },
      CLI_WRONG,
      "--listen \"x\": wanted is HOST:PORT, with an IPv6 host in brackets" },
    { "a whole listener",
      { "--listen", "SSL://x:1" },
      CLI_WRONG,
      "--listen \"SSL://x:1\": wanted is HOST:PORT, with an IPv6 host in brackets" },
    { "two in one",
      { "--listen", "a:1,b:2" },
      CLI_WRONG,
      "--listen \"a:1,b:2\": wanted is HOST:PORT, with an IPv6 host in brackets" },
    { "no descriptor",
      { "--ready-fd", "-1" },
      CLI_WRONG,
      "--ready-fd \"-1\": wanted is the number of an open descriptor" },
    { "two files", { "a", "b" }, CLI_WRONG, "\"b\": only one file of settings can be read" },
    { "an error wins over help",
      { "--help", "--x" },
      CLI_WRONG,
      "\"--x\": no such option; --help lists them" },
    { "the first error is told", { "--x", "--y" }, CLI_WRONG, "\"--x\": no such option; --help lists them" },
};

static void parse(const char *const *arguments, struct cli *cli)
{
    char *argv[ARGUMENTS_MAX + 1] = { (char *)"runnel" };
    int argc = 1;
    for (; argc <= ARGUMENTS_MAX - 1 && arguments[argc - 1] != NULL; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    cli_parse(argc, argv, cli);
}

START_TEST(options)
{
    const struct row *row = &rows[_i];
    struct cli cli;
    char settings[512] = "";
    size_t at = 0;
    parse(row->arguments, &cli);
    for (size_t i = 0; i < cli.override_count; i++)
        at += (size_t)snprintf(settings + at, sizeof settings - at, "%s=%s (%s);", cli.overrides[i].name,
                               cli.overrides[i].value, cli.overrides[i].origin);
    const char *text = cli.action == CLI_WRONG ? cli.error : settings;
    ck_assert_msg(cli.action == row->action, "%s: %d %s", row->what, cli.action, cli.error);
    ck_assert_msg(strcmp(text, row->settings) == 0, "%s: %s", row->what, text);
    cli_destroy(&cli);
}
END_TEST

START_TEST(file_and_descriptor)
{
    struct cli cli;
    parse((const char *const[]){ "server.properties", "--ready-fd", "5", NULL }, &cli);
    ck_assert_str_eq(cli.file, "server.properties");
    ck_assert_int_eq(cli.ready_fd, 5);
    cli_destroy(&cli);
    parse((const char *const[]){ "--", "--help", NULL }, &cli);
    ck_assert_str_eq(cli.file, "--help");
    ck_assert_int_eq(cli.ready_fd, -1);
    cli_destroy(&cli);
    parse((const char *const[]){ "--print-config=markdown", NULL }, &cli);
    ck_assert_int_eq(cli.print_format, CONFIG_PRINT_MARKDOWN);
    cli_destroy(&cli);
    parse((const char *const[]){ NULL }, &cli);
    ck_assert_ptr_null(cli.file);
    cli_destroy(&cli);
}
END_TEST

/* Every option that is parsed stands in --help. */
START_TEST(help_is_whole)
{
    static const char *const names[] = { "--data-dir",     "--listen",   "--loops",
                                         "--override",     "--ready-fd", "--check-config",
                                         "--print-config", "--version",  "--help" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_msg(strstr(cli_help(), names[i]) != NULL, "%s", names[i]);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("cli");
    tcase_add_loop_test(tcase, options, 0, COUNT_OF(rows));
    tcase_add_test(tcase, file_and_descriptor);
    tcase_add_test(tcase, help_is_whole);
    return try_run("cli", tcase);
}
