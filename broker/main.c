/* The program: command line and settings in, exit code out. */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/cli.h"
#include "broker/server.h"
#include "protocol/base/note.h"

extern char **environ;

static struct server *the_server; /* for the signal handler alone, as is main_thread */
static pthread_t main_thread;

/* On the thread that closes the server, so that it is there for as long as this takes. */
static void on_stop_signal(int number)
{
    if (pthread_equal(pthread_self(), main_thread))
        server_stop(the_server);
    else
        pthread_kill(main_thread, number);
}

static unsigned cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

static void tell(const struct config_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct config_message *message = &report->messages[i];
        switch (message->level) {
        case CONFIG_MESSAGE_ERROR:
            note_error("config.error", "%s", message->text);
            break;
        case CONFIG_MESSAGE_WARNING:
            note_warn("config.warning", "%s", message->text);
            break;
        case CONFIG_MESSAGE_INFO:
            note_info("config.info", "%s", message->text);
            break;
        }
    }
}

/* For people on standard output, for programs on the descriptor they gave. */
static void tell_ready(const struct server *server, int ready_fd)
{
    printf("runnel %s ready listen=", RUNNEL_VERSION);
    for (size_t i = 0; i < server_listener_count(server); i++)
        printf("%s%s", i > 0 ? "," : "", server_address(server, i));
    printf(" data=%s pid=%d\n", server->config->log_dirs.items[0], (int)getpid());
    fflush(stdout);
    if (ready_fd < 0)
        return;
    dprintf(ready_fd, "%s\n", server_address(server, 0));
    close(ready_fd);
}

static int serve(const struct config *config, int ready_fd)
{
    struct file_system *files = file_posix_create(6);
    const struct server_options options = {
        .config = config, .files = files, .clock = clock_real(), .threaded = true
    };
    const char *error = NULL;
    enum exit_code code = server_open(&options, &the_server, &error);
    if (code == EXIT_OK) {
        struct sigaction action = { .sa_handler = on_stop_signal };
        main_thread = pthread_self();
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGINT, &action, NULL);
        tell_ready(the_server, ready_fd);
        code = server_run(the_server);
        signal(SIGTERM, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        if (!server_close(the_server) && code == EXIT_OK)
            code = EXIT_STORAGE_FAILED;
    } else {
        note_error("start.failed", "exit=%d reason=\"%s\"", code, error ? error : "unknown");
    }
    file_posix_destroy(files);
    return code;
}

static int act(const struct cli *cli, const struct config *config)
{
    switch (cli->action) {
    case CLI_SERVE:
        return serve(config, cli->ready_fd);
    case CLI_PRINT_CONFIG:
        return config_print(config, cli->print_format, STDOUT_FILENO) ? EXIT_OK : EXIT_INTERNAL;
    default:
        return EXIT_OK;
    }
}

static int configure(const struct cli *cli)
{
    const struct config_sources sources = { .file = cli->file,
                                            .environment = environ,
                                            .overrides = cli->overrides,
                                            .override_count = cli->override_count,
                                            .cpu_count = cpu_count() };
    struct config_report report = { 0 };
    struct config *config = config_load(&sources, &report);
    tell(&report);
    config_report_destroy(&report);
    if (!config)
        return EXIT_CONFIG;
    int code = act(cli, config);
    config_destroy(config);
    return code;
}

int main(int argc, char **argv)
{
    struct cli cli;
    int code = EXIT_OK;
    mallopt(M_ARENA_MAX, 2); /* an arena per thread would be most of an idle broker's memory */
    cli_parse(argc, argv, &cli);
    switch (cli.action) {
    case CLI_PRINT_VERSION:
        puts("runnel " RUNNEL_VERSION);
        break;
    case CLI_PRINT_HELP:
        fputs(cli_help(), stdout);
        break;
    case CLI_WRONG:
        fprintf(stderr, "runnel: %s\n", cli.error);
        code = EXIT_USAGE;
        break;
    default:
        code = configure(&cli);
    }
    cli_destroy(&cli);
    return code;
}
