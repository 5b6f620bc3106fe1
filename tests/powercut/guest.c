/* The first process of the guest: brings the machine up, starts the broker on the disk, judges what the last
 * cut left and writes until the next one. */
#include "tests/powercut/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "protocol/base/clock.h"
#include "tests/support/broker_process.h"

enum { LINE_MAJOR = 4, LINE_MINOR = 64, DISK_MAJOR = 98, AGAIN_MS = 20, SILENCE_MS = 20000 };

static atomic_bool is_stopping;
static pthread_t main_thread;
static _Atomic int64_t last_report_ms;
static int line_fd = -1;
static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER;

static void write_line(const char *format, va_list arguments)
{
    char line[CUT_LINE_SIZE];
    int size = vsnprintf(line, sizeof line - 4, format, arguments);
    check(size > 0);
    if (size > (int)sizeof line - 5)
        size = (int)sizeof line - 5;
    size += snprintf(line + size, 4, " .\n");
    atomic_store(&last_report_ms, clock_mono_ms(clock_real()));
    pthread_mutex_lock(&line_lock);
    for (int done = 0; done < size;) {
        ssize_t written = write(line_fd, line + done, (size_t)(size - done));
        check(written > 0 || errno == EINTR);
        done += written > 0 ? (int)written : 0;
    }
    pthread_mutex_unlock(&line_lock);
}

void guest_report(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(format, arguments);
    va_end(arguments);
}

void guest_fail(const char *format, ...)
{
    char text[CUT_LINE_SIZE / 2];
    va_list arguments;
    if (atomic_load(&is_stopping) && !pthread_equal(pthread_self(), main_thread))
        pthread_exit(NULL);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    guest_report("error %s", text);
    exit(1);
}

void guest_connect(const struct guest *guest, struct wire_client *client)
{
    if (!wire_connect(client, guest->address, GUEST_TIMEOUT_MS))
        guest_fail("the broker takes no connection: %s", strerror(errno));
}

void guest_again(int *attempts, const char *what, int error_code)
{
    if (++*attempts > GUEST_TIMEOUT_MS / 2 / AGAIN_MS)
        guest_fail("%s: still error %d", what, error_code);
    poll(NULL, 0, AGAIN_MS);
}

static const char *parameter(const char *name)
{
    const char *value = getenv(name);
    if (!value)
        guest_fail("%s is not among the kernel's parameters", name);
    return value;
}

/* -- the broker ----------------------------------------------------------------------------------------- */

/* NULL: it does not start. */
static struct broker_process *start_broker(void)
{
    bool is_cached = strcmp(parameter("CUT_FLUSH"), "cache") == 0;
    const char *const arguments[] = { "--override",
                                      "log.initial.task.delay.ms=100",
                                      "--override",
                                      "log.retention.check.interval.ms=100",
                                      "--override",
                                      "log.segment.delete.delay.ms=200",
                                      "--override",
                                      "log.flush.start.offset.checkpoint.interval.ms=200",
                                      "--override",
                                      "log.cleaner.backoff.ms=100",
                                      "--override",
                                      "log.cleaner.min.cleanable.ratio=0.2",
                                      "--override",
                                      "offsets.topic.num.partitions=1",
                                      "--override",
                                      "metadata.log.max.record.bytes.between.snapshots=500",
                                      "--override",
                                      "metadata.log.segment.ms=100",
                                      "--override",
                                      "metadata.max.retention.bytes=2000",
                                      is_cached ? "--override" : NULL,
                                      "log.flush.interval.messages=9223372036854775807",
                                      NULL };
    int64_t begin = clock_mono_ms(clock_real());
    if (strcmp(parameter("CUT_FLUSH"), "none") == 0)
        check(setenv("LD_PRELOAD", "./no-flush.so", 1) == 0);
    struct broker_process *broker = broker_process_spawn("./runnel", "/mnt/disk/data", arguments);
    if (!broker_process_wait_ready(broker, GUEST_TIMEOUT_MS))
        return NULL;
    guest_report("ready %" PRId64, clock_mono_ms(clock_real()) - begin);
    return broker;
}

/* Writes until the power goes, or for so many ms until the broker is stopped, and the power goes meanwhile or
 * then. */
static _Noreturn void write_until_the_cut(struct guest *guest, struct broker_process *broker)
{
    int stop_ms = atoi(parameter("CUT_STOP_MS"));
    guest_write(guest);
    if (stop_ms >= 0) {
        poll(NULL, 0, stop_ms);
        atomic_store(&is_stopping, true);
        guest_report("stopping");
        int status = broker_process_stop(broker);
        if (status != 0)
            guest_fail("the broker stopped with status %d", status);
        guest_report("stopped");
    }
    for (;;)
        pause();
}

/* Nobody can look into a guest that hangs: it shows its threads by itself, on the console. */
static void *watch_silence(void *context)
{
    const struct broker_process *broker = context;
    char command[512];
    snprintf(command, sizeof command,
             "cd /proc/%d/task && for t in *; do echo \"thread $t $(cat $t/comm) $(cat $t/wchan) $(cat "
             "$t/syscall)\"; "
             "done; command -v gdb >/dev/null && gdb -p %d -batch -ex 'thread apply all bt' 2>&1",
             (int)broker_process_pid(broker), (int)broker_process_pid(broker));
    while (clock_mono_ms(clock_real()) - atomic_load(&last_report_ms) < SILENCE_MS)
        poll(NULL, 0, 1000);
    printf("guest: silent for %d ms\n", SILENCE_MS);
    fflush(stdout);
    int status = system(command);
    printf("guest: shown, status %d\n", status);
    fflush(stdout);
    return NULL;
}

static void work(void)
{
    pthread_t watch;
    static struct guest guest;
    main_thread = pthread_self();
    bool writes = strcmp(parameter("CUT_MODE"), "write") == 0;
    guest.seed = strtoull(parameter("CUT_SEED"), NULL, 10);
    guest.boot = atoi(parameter("CUT_BOOT"));
    check(guest.boot >= 0 && guest.boot < CUT_BOOTS_MAX);
    cut_ledger_read(&guest.ledger, "ledger", "/mnt/ledger", guest.seed);
    struct broker_process *broker = start_broker();
    if (!broker) {
        /* Without flushes its own files may be in any state: everything is lost then. */
        guest_report("verdict 0 0 %" PRId64 " 0 0 0 0 1", ledger_acknowledged(guest.ledger.records));
        guest_fail("the broker does not start");
    }
    /* A copy: threads may still connect when the broker has stopped and its handle is gone. */
    snprintf(guest.address, sizeof guest.address, "%s", broker_process_address(broker));
    check(pthread_create(&watch, NULL, watch_silence, broker) == 0);
    if (writes && !guest.ledger.has_topics)
        guest_make_topics(&guest);
    struct guest_verdict verdict = guest_judge(&guest);
    guest_report("verdict %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
                 " %" PRId64,
                 verdict.records.records, verdict.records.acknowledged, verdict.records.lost,
                 verdict.records.corrupt, verdict.records.duplicates, verdict.records.disordered,
                 verdict.records.gaps, verdict.other);
    if (writes)
        write_until_the_cut(&guest, broker);
    int status = broker_process_stop(broker);
    if (status != 0)
        guest_fail("the broker stopped with status %d", status);
    guest_report("done");
}

/* -- the machine ---------------------------------------------------------------------------------------- */

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    printf("guest: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    if (line_fd >= 0)
        guest_report("error %s: %s", what, strerror(errno));
    reboot(RB_POWER_OFF);
}

/* The root is the host's tree and cannot be written to. All that is needed lies below /mnt: the host may have
 * its files below any other directory. */
static void bring_up(void)
{
    struct termios raw;
    must(mount("scratch", "/mnt", "tmpfs", 0, "mode=0755") == 0, "mount tmpfs on /mnt");
    must(mount("proc", "/proc", "proc", 0, NULL) == 0, "mount /proc");
    must(mknod("/mnt/line", S_IFCHR | 0600, makedev(LINE_MAJOR, LINE_MINOR)) == 0, "mknod of the line");
    must(mknod("/mnt/ubda", S_IFBLK | 0600, makedev(DISK_MAJOR, 0)) == 0, "mknod of the disk");
    line_fd = open("/mnt/line", O_RDWR | O_NOCTTY | O_CLOEXEC);
    must(line_fd >= 0, "open the line");
    must(tcgetattr(line_fd, &raw) == 0, "tcgetattr");
    cfmakeraw(&raw);
    must(tcsetattr(line_fd, TCSANOW, &raw) == 0, "tcsetattr");
    guest_report("hello");
    must(mkdir("/mnt/disk", 0755) == 0, "mkdir");
    must(mount("/mnt/ubda", "/mnt/disk", parameter("CUT_FS"), 0, parameter("CUT_MOUNT")) == 0,
         "mount the disk");
    must(symlink("/dev/console", "/mnt/disk/data.stderr") == 0 || errno == EEXIST, "symlink");
    if (access("/dev/console", W_OK) != 0)
        must(mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) == 0, "mount /dev");

    struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0, "bring up loopback");
    close(fd);
}

int main(void)
{
    int status;
    if (getpid() != 1) {
        fputs("this is the first process of a guest: see tests/powercut/README.md\n", stderr);
        return 64;
    }
    must(chdir(parameter("CUT_DIR")) == 0, "chdir"); /* the host's files, whatever gets mounted over them */
    bring_up();
    pid_t worker = fork();
    must(worker >= 0, "fork");
    if (worker == 0) {
        work();
        exit(0);
    }
    for (pid_t ended = 0; ended != worker;)
        ended = wait(&status);
    if (status != 0)
        guest_report("error the guest's program ended with wait status %d", status);
    reboot(RB_POWER_OFF);
    return 0;
}
