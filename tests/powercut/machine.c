/* Runs User-mode Linux and cuts its power. */
#include "tests/powercut/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "protocol/base/clock.h"

enum { LINE_FD = 3, ARGUMENTS_MAX = 40, ARGUMENT_SIZE = 512 };

static volatile sig_atomic_t running_group;
static volatile sig_atomic_t was_stopped;

static void on_stop(int number)
{
    (void)number;
    was_stopped = 1;
    if (running_group > 0)
        kill(-(pid_t)running_group, SIGKILL);
}

void machine_prepare(void)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    struct sigaction action = { .sa_handler = on_stop };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        check(sigaction(signals[i], &action, NULL) == 0);
    check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
}

bool machine_was_stopped(void)
{
    return was_stopped;
}

static void fill_arguments(const struct machine_options *options, char texts[][ARGUMENT_SIZE], char *argv[])
{
    /* The measurements of its boot, of the processor and of algorithms for disk arrays, are most of its time.
     */
    static const char *const fixed[] = {
        "lpj=5000000",
        "initcall_blacklist=raid6_select_algo,calibrate_xor_blocks,register_xor_blocks",
        "mem=192M",
        "root=/dev/root",
        "rootfstype=hostfs",
        "rootflags=/",
        "ro",
        "quiet",
        "panic=-1",
        "con=null",
        "con0=null,fd:1",
        "ssl=null",
        "ssl0=null,fd:3", /* LINE_FD */
    };
    int count = 0, made = 0;
    argv[count++] = (char *)options->kernel;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        argv[count++] = (char *)fixed[i];
    check(snprintf(texts[made++], ARGUMENT_SIZE, "ubd0=%s", options->disk) < ARGUMENT_SIZE);
    check(snprintf(texts[made++], ARGUMENT_SIZE, "uml_dir=%s/", options->directory) < ARGUMENT_SIZE);
    check(snprintf(texts[made++], ARGUMENT_SIZE, "init=%s", options->init) < ARGUMENT_SIZE);
    for (int i = 0; i < made; i++)
        argv[count++] = texts[i];
    for (const char *const *parameter = options->parameters; *parameter; parameter++) {
        check(count < ARGUMENTS_MAX - 1);
        argv[count++] = (char *)*parameter;
    }
    argv[count] = NULL;
}

/* In the child: a group of its own, without our terminal; dies with us. */
static _Noreturn void become_kernel(char *argv[], int line_fd, int console_fd, pid_t parent)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || setsid() < 0)
        _exit(126);
    if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(console_fd, STDOUT_FILENO) < 0 ||
        dup2(console_fd, STDERR_FILENO) < 0)
        _exit(126);
    if (line_fd == LINE_FD)
        fcntl(line_fd, F_SETFD, 0);
    else if (dup2(line_fd, LINE_FD) < 0)
        _exit(126);
    execvp(argv[0], argv);
    dprintf(STDOUT_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

void machine_start(struct machine *machine, const struct machine_options *options)
{
    char texts[4][ARGUMENT_SIZE];
    char *argv[ARGUMENTS_MAX];
    int line[2];
    pid_t parent = getpid();
    fill_arguments(options, texts, argv);
    check(setenv("TMPDIR", options->memory, 1) == 0);
    check(pipe2(line, O_CLOEXEC) == 0);
    int console_fd = open(options->console, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    check(console_fd >= 0);
    *machine = (struct machine){ .line_fd = line[0] };
    machine->pid = fork();
    check(machine->pid >= 0);
    if (machine->pid == 0)
        become_kernel(argv, line[1], console_fd, parent);
    running_group = machine->pid;
    if (was_stopped)
        kill(machine->pid, SIGKILL);
    close(line[1]);
    close(console_fd);
}

/* Takes the first line out of the buffer; false when there is none. */
static bool take_line(struct machine *machine, char line[CUT_LINE_SIZE])
{
    static const char end[] = " .";
    char *newline;
    while ((newline = memchr(machine->buffer, '\n', machine->size))) {
        size_t size = (size_t)(newline - machine->buffer);
        size_t text_size = size;
        while (text_size > 0 && machine->buffer[text_size - 1] == '\r')
            text_size--;
        bool whole = text_size > sizeof end - 1 && text_size < CUT_LINE_SIZE &&
                     memcmp(machine->buffer + text_size - (sizeof end - 1), end, sizeof end - 1) == 0;
        if (whole) {
            memcpy(line, machine->buffer, text_size - (sizeof end - 1));
            line[text_size - (sizeof end - 1)] = '\0';
        }
        machine->size -= size + 1;
        memmove(machine->buffer, newline + 1, machine->size);
        if (whole)
            return true;
    }
    if (machine->size == sizeof machine->buffer) /* no line of ours */
        machine->size = 0;
    return false;
}

enum machine_news machine_listen(struct machine *machine, int64_t until_ms, char line[CUT_LINE_SIZE])
{
    while (!take_line(machine, line)) {
        struct pollfd poll_fd = { .fd = machine->line_fd, .events = POLLIN };
        int64_t left = until_ms - clock_mono_ms(clock_real());
        int ready = poll(&poll_fd, 1, left < 0 ? 0 : left > 60000 ? 60000 : (int)left);
        if (ready == 0 && left <= 0)
            return MACHINE_LATE;
        if (ready <= 0) {
            check(ready == 0 || errno == EINTR);
            continue;
        }
        ssize_t got =
            read(machine->line_fd, machine->buffer + machine->size, sizeof machine->buffer - machine->size);
        if (got == 0)
            return MACHINE_ENDED;
        check(got > 0 || errno == EINTR);
        machine->size += got > 0 ? (size_t)got : 0;
    }
    return MACHINE_LINE;
}

void machine_cut(struct machine *machine)
{
    if (machine->pid == 0)
        return;
    kill(-machine->pid, SIGKILL);
    kill(machine->pid, SIGKILL); /* it may not have made its group yet */
    while (waitpid(machine->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    /* Its processes, ours now: the disk is nobody's only when the last of them is gone. */
    while (waitpid(-machine->pid, NULL, 0) > 0 || errno == EINTR)
        ;
    running_group = 0;
    machine->pid = 0;
}

void machine_close(struct machine *machine)
{
    machine_cut(machine);
    close(machine->line_fd);
}
