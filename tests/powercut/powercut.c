/* Cuts the power of a machine again and again and asks each time whether what was acknowledged is there. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "protocol/base/clock.h"
#include "protocol/base/random.h"
#include "tests/powercut/machine.h"
#include "tests/support/temp_dir.h"

enum {
    ROUNDS = 20,
    CACHE_EVERY = 5,    /* rounds for one out of the page cache */
    CONTROL_EVERY = 10, /* rounds for one of the control */
    CONTROLS_MAX = 20,
    DISK_CUTS_MAX = 16,    /* then a new one */
    DISK_SIZE = 320 << 20, /* the least that XFS takes is 300 MB */
    ROOM_MIN = 768 << 20,  /* for a disk and a machine's memory in a tmpfs */
    BOOT_MS = 60000,       /* until the guest says hello */
    SILENCE_MS = 90000,    /* between two lines from then on */
    WRITING_MS = 700,      /* most, from the first acknowledgement to the cut */
    STOP_MS = 150,         /* most, from a clean stop's begin to the cut */
    STOP_ONE_IN = 6,       /* cuts while the broker stops, or when it just has */
    EARLY_ONE_IN = 5,      /* cuts before anything is acknowledged: in the start or the recovery */
    CONSOLE_SHOWN = 4096,  /* bytes, after a failure */
    SKIPPED = 77,
};

/* What disks are, in turn: those whose program is not there are left out. */
struct disk_kind {
    const char *file_system, *mount_options;
    const char *mkfs[12]; /* the disk's file is appended */
};

#define MKFS_EXT4                                                                                            \
    {                                                                                                        \
        "mkfs.ext4", "-q", "-F", "-b", "4096", "-N", "4096", "-J", "size=8", "-E", "lazy_itable_init=0"      \
    }

static const struct disk_kind disk_kinds[] = {
    { "ext4", "data=ordered", MKFS_EXT4 },
    { "xfs", "noquota", { "mkfs.xfs", "-q", "-f" } },
    { "ext4", "data=writeback", MKFS_EXT4 },
    { "btrfs", "datacow", { "mkfs.btrfs", "-q", "-f", "-m", "single" } },
    { "ext4", "nodelalloc", MKFS_EXT4 },
};
enum { DISK_KINDS = sizeof disk_kinds / sizeof *disk_kinds };

enum result { RESULT_OK, RESULT_FAILED, RESULT_NO_MACHINE };

struct totals {
    int64_t cuts, early_cuts, stop_cuts, disks, verdicts;
    int64_t acknowledged; /* records */
    int64_t commits, topics;
    int64_t read; /* records, in all verdicts */
    int64_t lost, other;
};

struct rig {
    uint64_t seed;
    struct random random;
    struct temp_dir dir;
    char big_dir[PATH_MAX / 2]; /* of the disk and the machine's memory */
    char init[PATH_MAX], disk[PATH_MAX], console[PATH_MAX], ledger_path[PATH_MAX];
    const char *kernel;
    const char
        *flush; /* "durable", "cache": acknowledged before it is flushed, or "none": flushes do nothing */
    FILE *ledger;
    const struct disk_kind *kind;
    int disks_count;
    int boot;         /* of this disk */
    int64_t start_ms; /* a usual time from hello to the first acknowledgement; 0: not known */
    bool has_booted;
    char failure[CUT_LINE_SIZE];
    struct totals totals;
};

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_real());
}

static bool is_durable(const struct rig *rig)
{
    return strcmp(rig->flush, "durable") == 0;
}

static enum result failed(struct rig *rig, const char *what)
{
    if (!*rig->failure)
        snprintf(rig->failure, sizeof rig->failure, "%s", what);
    return RESULT_FAILED;
}

/* -- the disk ------------------------------------------------------------------------------------------- */

enum { NOT_FOUND = 127 };

/* The exit status of mkfs. */
static int make_file_system(const struct disk_kind *kind, const char *path)
{
    const char *argv[sizeof kind->mkfs / sizeof *kind->mkfs + 1] = { NULL };
    int status, count = 0;
    while (kind->mkfs[count]) {
        argv[count] = kind->mkfs[count];
        count++;
    }
    argv[count] = path;
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        int null_fd = open("/dev/null", O_RDWR);
        dup2(null_fd, STDOUT_FILENO);
        execvp(argv[0], (char **)argv);
        _exit(NOT_FOUND);
    }
    while (waitpid(child, &status, 0) < 0)
        check(errno == EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool make_empty_file(const char *path, off_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool made = fd >= 0 && ftruncate(fd, size) == 0;
    if (fd >= 0)
        close(fd);
    return made;
}

static enum result new_disk(struct rig *rig)
{
    const char *only = getenv("RUNNEL_POWERCUT_FS");
    int status = NOT_FOUND;
    for (int i = 0; i < DISK_KINDS && status == NOT_FOUND; i++) {
        rig->kind = &disk_kinds[rig->disks_count++ % DISK_KINDS];
        if (only && *only && strcmp(only, rig->kind->file_system) != 0)
            continue;
        status = make_empty_file(rig->disk, DISK_SIZE) ? make_file_system(rig->kind, rig->disk) : -1;
    }
    if (status != 0) {
        failed(rig, "no file system can be made");
        return rig->has_booted ? RESULT_FAILED : RESULT_NO_MACHINE;
    }
    if (rig->ledger)
        fclose(rig->ledger);
    rig->ledger = fopen(rig->ledger_path, "we");
    check(rig->ledger != NULL);
    rig->boot = 0;
    rig->totals.disks++;
    return RESULT_OK;
}

/* -- one boot ------------------------------------------------------------------------------------------- */

static void power_on(struct rig *rig, struct machine *machine, const char *mode, int stop_ms)
{
    char seed[64], boot[32], file_system[32], mounting[64], directory[PATH_MAX], flush[32],
        mode_parameter[32], stop[32];
    const char *parameters[] = { seed,  boot,           file_system, mounting, directory,
                                 flush, mode_parameter, stop,        NULL };
    snprintf(seed, sizeof seed, "CUT_SEED=%" PRIu64, rig->seed);
    snprintf(boot, sizeof boot, "CUT_BOOT=%d", rig->boot++);
    snprintf(file_system, sizeof file_system, "CUT_FS=%s", rig->kind->file_system);
    snprintf(mounting, sizeof mounting, "CUT_MOUNT=%s", rig->kind->mount_options);
    snprintf(directory, sizeof directory, "CUT_DIR=%s", rig->dir.path);
    snprintf(flush, sizeof flush, "CUT_FLUSH=%s", rig->flush);
    snprintf(mode_parameter, sizeof mode_parameter, "CUT_MODE=%s", mode);
    snprintf(stop, sizeof stop, "CUT_STOP_MS=%d", stop_ms);
    /* The last boot alone: this many lines would help nobody. */
    check(truncate(rig->console, 0) == 0 || errno == ENOENT);
    const struct machine_options options = {
        .kernel = rig->kernel,
        .init = rig->init,
        .disk = rig->disk,
        .console = rig->console,
        .directory = rig->dir.path,
        .memory = rig->big_dir,
        .parameters = parameters,
    };
    machine_start(machine, &options);
}

static enum result judge(struct rig *rig, const char *line)
{
    int64_t records, acknowledged, lost, corrupt, duplicates, disordered, gaps, other;
    if (sscanf(line,
               "verdict %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
               " %" SCNd64,
               &records, &acknowledged, &lost, &corrupt, &duplicates, &disordered, &gaps, &other) != 8)
        return failed(rig, "a verdict that cannot be read");
    rig->totals.verdicts++;
    rig->totals.read += records;
    rig->totals.lost += lost;
    rig->totals.other += other;
    if (strcmp(rig->flush, "none") == 0)
        return RESULT_OK;
    if (strcmp(rig->flush, "cache") == 0) /* may lose the ends of logs, and nothing else */
        return corrupt + duplicates + disordered + gaps == 0 ? RESULT_OK : failed(rig, line);
    return lost + corrupt + duplicates + disordered + gaps + other == 0 ? RESULT_OK : failed(rig, line);
}

/* What the next boot must know goes into the ledger. */
static void keep(struct rig *rig, const char *line)
{
    static const char *const kept[] = { "ack ",  "commit ", "producer ", "topics",
                                        "made ", "filled ", "removing ", "removed " };
    int count;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (strncmp(line, kept[i], strlen(kept[i])) == 0)
            check(fprintf(rig->ledger, "%s .\n", line) > 0);
    if (sscanf(line, "ack %*d %*d %*d %*d %d", &count) == 1)
        rig->totals.acknowledged += count;
    rig->totals.commits += strncmp(line, "commit ", 7) == 0;
    rig->totals.topics += strncmp(line, "made ", 5) == 0 || strncmp(line, "removed ", 8) == 0;
}

/* When the power goes: at random, but before there is anything to acknowledge; while there is; or while the
 * broker stops. */
enum moment { MOMENT_EARLY, MOMENT_WRITING, MOMENT_STOP };

struct watch {
    int64_t hello_ms;
    int64_t cut_ms; /* INT64_MAX: not known yet */
    enum moment moment;
    bool said_hello, is_writing, is_done;
    bool may_fail; /* what a cut left without flushes may be more than a broker can make sense of */
};

static void hear_hello(struct rig *rig, struct watch *watch)
{
    rig->has_booted = watch->said_hello = true;
    watch->hello_ms = now_ms();
    if (watch->moment == MOMENT_EARLY)
        watch->cut_ms = watch->hello_ms + (int64_t)random_below(&rig->random, (uint64_t)rig->start_ms);
}

static enum result hear(struct rig *rig, struct watch *watch, const char *line)
{
    if (!watch->said_hello)
        hear_hello(rig, watch);
    keep(rig, line);
    if (strncmp(line, "verdict ", 8) == 0)
        return judge(rig, line);
    if (strcmp(line, "writing") == 0)
        watch->is_writing = true;
    else if (strcmp(line, "done") == 0)
        watch->is_done = true;
    else if (strncmp(line, "note ", 5) == 0 && is_durable(rig))
        printf("%s\n", line);
    else if (strncmp(line, "error ", 6) == 0 && watch->may_fail)
        watch->is_done = true;
    else if (strncmp(line, "error ", 6) == 0)
        return failed(rig, line);
    else if (strcmp(line, "stopping") == 0 && watch->cut_ms == INT64_MAX)
        watch->cut_ms = now_ms() + (int64_t)random_below(&rig->random, STOP_MS);
    else if (strncmp(line, "ack ", 4) == 0 && watch->is_writing && watch->cut_ms == INT64_MAX &&
             watch->moment != MOMENT_STOP) {
        int64_t now = now_ms();
        rig->start_ms = now - watch->hello_ms + 1;
        watch->cut_ms =
            now + (int64_t)random_below(&rig->random, WRITING_MS) + (is_durable(rig) ? 0 : WRITING_MS);
    }
    return RESULT_OK;
}

/* Listens until it is time to cut, or all is said. */
static enum result watch_machine(struct rig *rig, struct machine *machine, struct watch *watch)
{
    char line[CUT_LINE_SIZE];
    enum result result = RESULT_OK;
    while (result == RESULT_OK && !watch->is_done) {
        int64_t patience = now_ms() + (watch->said_hello ? SILENCE_MS : BOOT_MS);
        switch (machine_listen(machine, watch->cut_ms < patience ? watch->cut_ms : patience, line)) {
        case MACHINE_LINE:
            result = hear(rig, watch, line);
            if (now_ms() >= watch->cut_ms) /* it has always something to say */
                return result;
            break;
        case MACHINE_LATE:
            return now_ms() >= watch->cut_ms ? RESULT_OK : failed(rig, "the guest hangs");
        case MACHINE_ENDED:
            return failed(rig, "the guest ended by itself");
        }
    }
    return result;
}

/* What was said before the cut counts, too: an acknowledgement is one, heard late or not. */
static enum result hear_the_rest(struct rig *rig, struct machine *machine, struct watch *watch)
{
    char line[CUT_LINE_SIZE];
    enum result result = RESULT_OK;
    watch->cut_ms = 0;
    while (result == RESULT_OK && machine_listen(machine, now_ms() + BOOT_MS, line) == MACHINE_LINE)
        result = hear(rig, watch, line);
    return result;
}

static enum result run_machine(struct rig *rig, const char *mode, enum moment moment)
{
    struct machine machine;
    struct watch watch = { .moment = moment, .cut_ms = INT64_MAX };
    watch.may_fail = strcmp(rig->flush, "none") == 0 && strcmp(mode, "verify") == 0;
    power_on(rig, &machine, mode, moment == MOMENT_STOP ? (int)random_below(&rig->random, WRITING_MS) : -1);
    enum result result = watch_machine(rig, &machine, &watch);
    machine_cut(&machine);
    if (result == RESULT_OK)
        result = hear_the_rest(rig, &machine, &watch);
    machine_close(&machine);
    check(fflush(rig->ledger) == 0);
    return result == RESULT_FAILED && !rig->has_booted ? RESULT_NO_MACHINE : result;
}

/* -- rounds --------------------------------------------------------------------------------------------- */

static enum moment draw_moment(struct rig *rig)
{
    if (!is_durable(rig) || rig->start_ms == 0)
        return MOMENT_WRITING;
    if (random_below(&rig->random, EARLY_ONE_IN) == 0)
        return MOMENT_EARLY;
    return random_below(&rig->random, STOP_ONE_IN) == 0 ? MOMENT_STOP : MOMENT_WRITING;
}

/* A disk lives through so many cuts; then it is read once more. */
static enum result run_disk(struct rig *rig, int cuts)
{
    int64_t acknowledged = rig->totals.acknowledged;
    enum result result = new_disk(rig);
    for (int i = 0; i < cuts && result == RESULT_OK; i++) {
        enum moment moment = draw_moment(rig);
        result = run_machine(rig, "write", moment);
        rig->totals.cuts += result == RESULT_OK;
        rig->totals.early_cuts += result == RESULT_OK && moment == MOMENT_EARLY;
        rig->totals.stop_cuts += result == RESULT_OK && moment == MOMENT_STOP;
    }
    if (result == RESULT_OK)
        result = run_machine(rig, "verify", MOMENT_WRITING);
    if (result == RESULT_OK)
        printf("disk %" PRId64 " (%s, %s, %s): %d cuts, %" PRId64 " records acknowledged\n",
               rig->totals.disks, rig->flush, rig->kind->file_system, rig->kind->mount_options, cuts,
               rig->totals.acknowledged - acknowledged);
    fflush(stdout);
    return result;
}

/* The end of what the last boot said; its last line that is not empty goes to *last. */
static void print_console(const struct rig *rig, char last[CUT_LINE_SIZE])
{
    char line[CUT_LINE_SIZE];
    FILE *console = fopen(rig->console, "re");
    snprintf(last, CUT_LINE_SIZE, "it says nothing");
    if (!console)
        return;
    puts("--- end of the console of the last boot");
    if (fseek(console, -CONSOLE_SHOWN, SEEK_END) != 0)
        rewind(console);
    while (fgets(line, sizeof line, console)) {
        fputs(line, stdout);
        line[strcspn(line, "\r\n")] = '\0';
        if (*line)
            snprintf(last, CUT_LINE_SIZE, "%s", line);
    }
    puts("---");
    fclose(console);
}

static enum result run_durable(struct rig *rig, int rounds)
{
    enum result result = RESULT_OK;
    rig->flush = "durable";
    while (rig->totals.cuts < rounds && result == RESULT_OK) {
        int64_t left = rounds - rig->totals.cuts;
        int64_t cuts = 1 + (int64_t)random_below(&rig->random, DISK_CUTS_MAX);
        result = run_disk(rig, (int)(cuts < left ? cuts : left));
    }
    const struct totals *t = &rig->totals;
    if (result == RESULT_OK)
        printf("pass powercut/durable %" PRId64 " cuts (%" PRId64 " in the start, %" PRId64
               " in a stop) of %" PRId64 " disks, acknowledged %" PRId64 " records, %" PRId64
               " commits, %" PRId64 " topics made or removed, lost %" PRId64 ", read back %" PRId64 "\n",
               t->cuts, t->early_cuts, t->stop_cuts, t->disks, t->acknowledged, t->commits, t->topics,
               t->lost + t->other, t->read);
    return result;
}

/* Acknowledged out of the page cache: what is left must be the beginning of each log, and the broker must
 * start. */
static enum result run_cache(struct rig *rig, int rounds)
{
    enum result result = RESULT_OK;
    rig->flush = "cache";
    rig->totals = (struct totals){ 0 };
    while (rig->totals.cuts < rounds && result == RESULT_OK)
        result = run_disk(rig, 1);
    if (result == RESULT_OK)
        printf("pass powercut/page-cache %" PRId64
               " cuts with log.flush.interval.messages=9223372036854775807: "
               "acknowledged %" PRId64 " records, lost %" PRId64 " (may be), wrong 0\n",
               rig->totals.cuts, rig->totals.acknowledged, rig->totals.lost);
    return result;
}

/* The same without flushes must lose records, or the rig proves nothing. */
static enum result run_control(struct rig *rig, int rounds)
{
    enum result result = RESULT_OK;
    rig->flush = "none";
    rig->totals = (struct totals){ 0 };
    while (rig->totals.cuts < rounds && result == RESULT_OK)
        result = run_disk(rig, 1);
    if (result == RESULT_OK && rig->totals.lost == 0)
        result = failed(rig, "nothing was lost without flushes: these cuts prove nothing");
    if (result == RESULT_OK)
        printf("pass powercut/control %" PRId64 " cuts with flushes that do nothing: acknowledged %" PRId64
               " records, lost %" PRId64 "\n",
               rig->totals.cuts, rig->totals.acknowledged, rig->totals.lost);
    return result;
}

/* -- the rig -------------------------------------------------------------------------------------------- */

/* A tmpfs with room is the best place for what is written over and over. */
static void choose_big_dir(struct rig *rig)
{
    struct statfs status;
    if (statfs("/dev/shm", &status) == 0 && status.f_type == TMPFS_MAGIC && access("/dev/shm", W_OK) == 0 &&
        (uint64_t)status.f_bavail * (uint64_t)status.f_bsize > ROOM_MIN &&
        !(status.f_flags & 8 /* noexec */)) {
        snprintf(rig->big_dir, sizeof rig->big_dir, "/dev/shm/runnel-powercut-XXXXXX");
        if (mkdtemp(rig->big_dir))
            return;
    }
    snprintf(rig->big_dir, sizeof rig->big_dir, "%s", rig->dir.path);
}

/* Programs lie where they were built; the guest finds them beside the ledger, whatever their path. */
static void link_program(const struct rig *rig, const char *name, const char *program)
{
    char path[PATH_MAX], target[PATH_MAX];
    check(snprintf(path, sizeof path, "%s/%s", rig->dir.path, name) < (int)sizeof path);
    if (!realpath(program, target)) {
        fprintf(stderr, "powercut: %s: %s\n", program, strerror(errno));
        exit(64);
    }
    check(symlink(target, path) == 0);
}

static void rig_open(struct rig *rig, const char *guest, const char *no_flush, const char *broker)
{
    const char *given = getenv("RUNNEL_SEED");
    const char *kernel = getenv("RUNNEL_UML");
    if (given && *given)
        rig->seed = strtoull(given, NULL, 0);
    else
        random_secure(&rig->seed, sizeof rig->seed);
    printf("seed: RUNNEL_SEED=%" PRIu64 "\n", rig->seed);
    random_seed(&rig->random, rig->seed);
    rig->kernel = kernel && *kernel ? kernel : "linux.uml";
    temp_dir_create(&rig->dir);
    choose_big_dir(rig);
    link_program(rig, "init", guest);
    link_program(rig, "no-flush.so", no_flush);
    link_program(rig, "runnel", broker);
    check(snprintf(rig->init, sizeof rig->init, "%s/init", rig->dir.path) < (int)sizeof rig->init);
    check(snprintf(rig->disk, sizeof rig->disk, "%s/disk", rig->big_dir) < (int)sizeof rig->disk);
    check(snprintf(rig->console, sizeof rig->console, "%s/console", rig->dir.path) <
          (int)sizeof rig->console);
    check(snprintf(rig->ledger_path, sizeof rig->ledger_path, "%s/ledger", rig->dir.path) <
          (int)sizeof rig->ledger_path);
    machine_prepare();
}

static void rig_close(struct rig *rig)
{
    if (rig->ledger)
        fclose(rig->ledger);
    unlink(rig->disk);
    if (strcmp(rig->big_dir, rig->dir.path) != 0)
        rmdir(rig->big_dir);
    temp_dir_destroy(&rig->dir);
}

static int close_by_result(struct rig *rig, enum result result)
{
    if (result == RESULT_OK) {
        rig_close(rig);
        return 0;
    }
    if (machine_was_stopped()) {
        rig_close(rig);
        puts("fail powercut: stopped by a signal");
        return 1;
    }
    char last[CUT_LINE_SIZE];
    print_console(rig, last);
    if (result == RESULT_NO_MACHINE) {
        printf("skip powercut no machine can be had here: %s: %s\n", rig->failure, last);
        rig_close(rig);
        return SKIPPED;
    }
    printf("fail powercut after %" PRId64 " cuts, boot %d of disk %" PRId64 " (%s, %s): %s; kept: %s, %s\n",
           rig->totals.cuts, rig->boot - 1, rig->totals.disks, rig->flush, rig->kind->file_system,
           rig->failure, rig->disk, rig->dir.path);
    return 1;
}

int main(int argc, char *argv[])
{
    static struct rig rig;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: %s GUEST NO-FLUSH BROKER [ROUNDS]\n", argv[0]);
        return 64;
    }
    int rounds = argc == 5 ? atoi(argv[4]) : ROUNDS;
    if (rounds < 1) {
        fprintf(stderr, "powercut: rounds must be a number above 0: %s\n", argv[4]);
        return 64;
    }
    int controls = (rounds + CONTROL_EVERY - 1) / CONTROL_EVERY;
    rig_open(&rig, argv[1], argv[2], argv[3]);
    enum result result = run_durable(&rig, rounds);
    if (result == RESULT_OK)
        result = run_cache(&rig, (rounds + CACHE_EVERY - 1) / CACHE_EVERY);
    if (result == RESULT_OK)
        result = run_control(&rig, controls < CONTROLS_MAX ? controls : CONTROLS_MAX);
    return close_by_result(&rig, result);
}
