/* Starts the broker as a child process and ends it in every way that a test wants. */
#include "tests/support/broker_process.h"

#include "protocol/base/check.h"
#include "protocol/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    READY_MS = 30000,
    STOP_MS = 30000,
    ARGUMENTS_MAX = 64,
    ADDRESS_SIZE = 64,
    READY_FD = 3, /* the descriptor on which the child tells its address */
};

struct broker_process {
    pid_t pid;
    pid_t owner; /* the process that started it: a fork of that one must not end it */
    int pid_fd;
    int ready_fd;
    char address[ADDRESS_SIZE];
    char stderr_path[PATH_MAX];
    struct broker_process *next;
};

/* Children that nobody has ended yet, for the exit of a test that failed half-way. */
static struct broker_process *running;
static pthread_mutex_t running_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t exit_hook = PTHREAD_ONCE_INIT;

static void print_stderr(const struct broker_process *broker)
{
    char buffer[4096];
    ssize_t size;
    int fd = open(broker->stderr_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    fprintf(stderr, "--- end of %s\n", broker->stderr_path);
    if (lseek(fd, -(off_t)(8 * sizeof buffer), SEEK_END) < 0)
        (void)lseek(fd, 0, SEEK_SET);
    while ((size = read(fd, buffer, sizeof buffer)) > 0)
        fwrite(buffer, 1, (size_t)size, stderr);
    fputs("---\n", stderr);
    close(fd);
}

static void kill_what_is_left(void)
{
    for (struct broker_process *broker = running; broker; broker = broker->next) {
        if (broker->owner != getpid())
            continue;
        print_stderr(broker);
        kill(broker->pid, SIGKILL);
        waitpid(broker->pid, NULL, 0);
    }
}

static void register_exit_hook(void)
{
    check(atexit(kill_what_is_left) == 0);
}

static void running_add(struct broker_process *broker)
{
    pthread_once(&exit_hook, register_exit_hook);
    pthread_mutex_lock(&running_lock);
    broker->next = running;
    running = broker;
    pthread_mutex_unlock(&running_lock);
}

static void running_remove(struct broker_process *broker)
{
    pthread_mutex_lock(&running_lock);
    struct broker_process **at = &running;
    while (*at != broker)
        at = &(*at)->next;
    *at = broker->next;
    pthread_mutex_unlock(&running_lock);
}

/* In the child, between fork and exec: only calls that are safe there. */
static _Noreturn void become_broker(char *const argv[], int ready_fd, int stderr_fd, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the prctl */
        _exit(126);
    if (dup2(stderr_fd, STDOUT_FILENO) < 0 || dup2(stderr_fd, STDERR_FILENO) < 0)
        _exit(126);
    if (ready_fd == READY_FD) /* dup2 onto itself would keep the close-on-exec flag */
        fcntl(ready_fd, F_SETFD, 0);
    else if (dup2(ready_fd, READY_FD) < 0)
        _exit(126);
    /* What the caller's shell left open would make one machine's broker have other descriptors than
     * another's. */
    (void)close_range(READY_FD + 1, ~0U, 0);
    execv(argv[0], argv);
    _exit(127);
}

static void fill_arguments(char *argv[], const char *binary, const char *data_dir,
                           const char *const arguments[])
{
    /* Records of tests are as old as their fixed timestamps: the first round of retention, 30 s after the
     * start, would take them. */
    const char *fixed[] = { binary,       "--data-dir",          data_dir,   "--ready-fd", "3",
                            "--override", "log.retention.ms=-1", "--listen", "127.0.0.1:0" };
    bool listens = arguments && *arguments && strcmp(*arguments, "--listen") == 0;
    int count = 0;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed - (listens ? 2 : 0); i++)
        argv[count++] = (char *)fixed[i];
    for (; arguments && *arguments; arguments++) {
        check(count < ARGUMENTS_MAX - 1);
        argv[count++] = (char *)*arguments;
    }
    argv[count] = NULL;
}

struct broker_process *broker_process_spawn(const char *binary, const char *data_dir,
                                            const char *const arguments[])
{
    struct broker_process *broker = check_memory(calloc(1, sizeof *broker));
    const char *chosen = getenv("RUNNEL_BINARY");
    char *argv[ARGUMENTS_MAX];
    int ready[2];

    fill_arguments(argv, chosen && *chosen ? chosen : binary, data_dir, arguments);
    int size = snprintf(broker->stderr_path, sizeof broker->stderr_path, "%s.stderr", data_dir);
    check(size > 0 && (size_t)size < sizeof broker->stderr_path);
    int stderr_fd = open(broker->stderr_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    check(stderr_fd >= 0);
    check(pipe2(ready, O_CLOEXEC) == 0);

    broker->owner = getpid();
    broker->pid = fork();
    check(broker->pid >= 0);
    if (broker->pid == 0)
        become_broker(argv, ready[1], stderr_fd, broker->owner);
    broker->pid_fd = (int)syscall(SYS_pidfd_open, broker->pid, 0);
    check(broker->pid_fd >= 0);
    fcntl(broker->pid_fd, F_SETFD, FD_CLOEXEC);
    broker->ready_fd = ready[0];
    close(ready[1]);
    close(stderr_fd);
    running_add(broker);
    return broker;
}

/* Polls one descriptor until it has something or the deadline on the monotonic clock is over. */
static bool wait_readable(int fd, int64_t deadline_ms)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    for (;;) {
        int64_t left = deadline_ms - clock_mono_ms(clock_real());
        int ready = poll(&poll_fd, 1, left < 0 ? 0 : (int)left);
        if (ready > 0)
            return true;
        if (ready == 0 && left <= 0)
            return false;
        check(ready >= 0 || errno == EINTR);
    }
}

bool broker_process_wait_ready(struct broker_process *broker, int timeout_ms)
{
    int64_t deadline_ms = clock_mono_ms(clock_real()) + timeout_ms;
    size_t size = 0;
    while (size == 0 || broker->address[size - 1] != '\n') {
        if (size == sizeof broker->address - 1 || !wait_readable(broker->ready_fd, deadline_ms))
            return false;
        ssize_t got = read(broker->ready_fd, broker->address + size, sizeof broker->address - 1 - size);
        if (got <= 0) /* it ended without a word */
            return false;
        size += (size_t)got;
    }
    broker->address[size - 1] = '\0';
    /* More addresses may follow, one a line; the first is ours. */
    broker->address[strcspn(broker->address, "\n")] = '\0';
    return true;
}

struct broker_process *broker_process_start(const char *binary, const char *data_dir,
                                            const char *const arguments[])
{
    struct broker_process *broker = broker_process_spawn(binary, data_dir, arguments);
    if (!broker_process_wait_ready(broker, READY_MS)) {
        fprintf(stderr, "the broker did not become ready (data in %s)\n", data_dir);
        exit(1); /* the hook prints what it said */
    }
    return broker;
}

const char *broker_process_address(const struct broker_process *broker)
{
    return broker->address;
}

pid_t broker_process_pid(const struct broker_process *broker)
{
    return broker->pid;
}

bool broker_process_ended(const struct broker_process *broker, int timeout_ms)
{
    return wait_readable(broker->pid_fd, clock_mono_ms(clock_real()) + timeout_ms);
}

static int reap(struct broker_process *broker)
{
    int status;
    pid_t reaped;
    do
        reaped = waitpid(broker->pid, &status, 0);
    while (reaped < 0 && errno == EINTR);
    check(reaped == broker->pid);
    running_remove(broker);
    status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (status != 0 && status != 128 + SIGKILL)
        print_stderr(broker);
    close(broker->pid_fd);
    close(broker->ready_fd);
    free(broker);
    return status;
}

int broker_process_stop(struct broker_process *broker)
{
    kill(broker->pid, SIGTERM);
    if (broker_process_ended(broker, STOP_MS))
        return reap(broker);
    print_stderr(broker);
    kill(broker->pid, SIGKILL);
    reap(broker);
    return BROKER_HUNG;
}

int broker_process_kill(struct broker_process *broker)
{
    kill(broker->pid, SIGKILL);
    return reap(broker);
}
