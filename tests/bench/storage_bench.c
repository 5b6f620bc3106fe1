/* What storage costs beside the system calls below it, on the same file system, in turns: appends beside
 * pwritev, reads beside sendmsg from a mapping, group commit beside a lone fdatasync; and how long recovery
 * takes.
 *
 *     storage_bench [append|read|commit|recovery|many]...      all of them when none is named
 *
 * In this process, on one thread where nothing else is said. CPU is that of the thread. Files are in $TMPDIR.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "tests/bench/load/limits.h"
#include "tests/support/load.h"
#include "tests/support/storage_host.h"
#include "tests/support/temp_dir.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((double)(1u << 30))

enum { ROUNDS = 7, TOPIC_SIZE = 32, GROUP_MAX = 256, GROUPS = 60 };

static const uuid topic_id = { { 7, 7, 7, 7 } };
static struct file_system *files;

/* --- the table --------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct spread {
    double least, median, most;
};

static struct spread spread_of(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return (struct spread){ values[0], values[count / 2], values[count - 1] };
}

/* Ours and the raw call, of the same rounds; each value is CPU seconds for `size` bytes in `count` calls. */
static void print_beside(const char *what, double *ours, double *raw, size_t size, size_t count)
{
    double ratios[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        ratios[i] = ours[i] / raw[i];
    struct spread a = spread_of(ours, ROUNDS), b = spread_of(raw, ROUNDS), r = spread_of(ratios, ROUNDS);
    double per_gib = GIB / (double)size, per_call = 1e6 / (double)count;
    printf("%-26s %6.3f  %6.3f   %8.2f %8.2f   %5.2f  (%.2f-%.2f)\n", what, a.median * per_gib,
           b.median * per_gib, a.median * per_call, b.median * per_call, r.median, r.least, r.most);
}

/* --- a store of its own ------------------------------------------------------------------------ */

struct rig {
    struct storage_host host;
    struct temp_dir dir;
    struct store *store;
    struct log *logs[GROUP_MAX];
    struct arena arena;
};

static struct log_config config_of(bool durable)
{
    struct log_config config = storage_host_config(1 << 30);
    config.index_interval_bytes = 4096;
    config.max_message_bytes = 8 << 20;
    config.flush_messages = durable ? 1 : INT64_MAX;
    return config;
}

static void open_store(struct rig *rig, size_t log_count, bool durable)
{
    const char *directories[] = { rig->dir.path };
    struct store_options options = {
        .directories = directories, .directory_count = 1, .node_id = 1, .dirty_bytes_max = UINT64_MAX
    };
    struct log_config config = config_of(durable);
    const char *error;
    check(store_open(&rig->host.env, &options, &rig->store, &error) == STORE_OK);
    for (size_t i = 0; i < log_count; i++)
        rig->logs[i] =
            check_memory(store_log(rig->store, topic_id, "bench", (int32_t)i, &config, &rig->logs[i]));
}

static void close_store(struct rig *rig, bool clean)
{
    storage_host_run(&rig->host);
    check(store_close(rig->store, clean) == STORE_OK || !clean);
    storage_host_run(&rig->host);
}

static void begin_rig(struct rig *rig, size_t log_count, bool durable)
{
    const char *error;
    temp_dir_create(&rig->dir);
    storage_host_init(&rig->host, files);
    arena_init(&rig->arena, NULL);
    open_store(rig, log_count, durable);
    check(store_recover(rig->store, 1, &error) == STORE_OK);
}

static void end_rig(struct rig *rig)
{
    close_store(rig, false);
    storage_host_destroy(&rig->host);
    arena_destroy(&rig->arena);
    temp_dir_destroy(&rig->dir);
}

/* A batch of about that many bytes, one record. */
static struct batch_view batch_of(struct rig *rig, size_t size)
{
    return storage_host_batch(&rig->arena, size, 1, size > 80 ? size - 80 : 1);
}

static void append(struct rig *rig, struct log *log, const struct batch_view *batch)
{
    struct log_append_result result;
    check(storage_host_append(&rig->host, log, batch, &result) == LOG_OK);
}

/* --- append ------------------------------------------------------------------------------------ */

static int open_raw(const struct rig *rig)
{
    char path[TEMP_DIR_PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/raw", rig->dir.path);
    int descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    check(descriptor >= 0 && unlink(path) == 0);
    return descriptor;
}

static double write_raw(const struct rig *rig, const struct batch_view *batch, size_t count)
{
    int descriptor = open_raw(rig);
    double begin = thread_cpu_seconds();
    for (size_t i = 0; i < count; i++) {
        struct iovec piece = { batch->data, batch->size };
        check(pwritev(descriptor, &piece, 1, (off_t)(i * batch->size)) == (ssize_t)batch->size);
    }
    double took = thread_cpu_seconds() - begin;
    close(descriptor);
    return took;
}

/* The first append makes the directory, so it is not counted. */
static double write_log(size_t batch_size, size_t count)
{
    struct rig rig;
    begin_rig(&rig, 1, false);
    struct batch_view batch = batch_of(&rig, batch_size);
    append(&rig, rig.logs[0], &batch);
    double begin = thread_cpu_seconds();
    for (size_t i = 0; i < count; i++)
        append(&rig, rig.logs[0], &batch);
    double took = thread_cpu_seconds() - begin;
    end_rig(&rig);
    return took;
}

static void bench_append(void)
{
    static const size_t sizes[] = { KIB, 16 * KIB, MIB };
    printf("\n%-26s %6s  %6s   %8s %8s   %5s\n", "append, page cache", "CPU-s/GiB", "raw", "us/batch", "raw",
           "ratio");
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t total = sizes[s] == KIB ? 64 * MIB : 256 * MIB, count = total / sizes[s];
        double ours[ROUNDS], raw[ROUNDS];
        char what[64];
        struct rig rig;
        begin_rig(&rig, 0, false);
        struct batch_view batch = batch_of(&rig, sizes[s]);
        write_raw(&rig, &batch, count); /* memory that the machine has yet to find is nobody's */
        for (int i = 0; i < ROUNDS; i++) {
            raw[i] = write_raw(&rig, &batch, count);
            ours[i] = write_log(sizes[s], count);
        }
        snprintf(what, sizeof what, "  batches of %zu KiB", sizes[s] / KIB);
        print_beside(what, ours, raw, count * batch.size, count);
        end_rig(&rig);
    }
}

/* --- read -------------------------------------------------------------------------------------- */

/* Takes what comes over loopback without copying it. */
static void *drain(void *descriptor)
{
    while (recv(*(int *)descriptor, NULL, 4 * MIB, MSG_TRUNC) > 0)
        continue;
    return NULL;
}

static double send_log(struct rig *rig, int descriptor, size_t size_max, int64_t end)
{
    double begin = thread_cpu_seconds();
    for (int64_t offset = 0; offset < end;) {
        struct log_range range;
        enum log_status status =
            log_read(rig->logs[0], offset, INT64_MAX, size_max, true, true, &rig->arena, &range);
        check(status == LOG_OK && range.bytes.size > 0);
        loopback_send(descriptor, range.bytes.data, range.bytes.size);
        offset = range.next_offset;
    }
    return thread_cpu_seconds() - begin;
}

static double send_raw(int descriptor, const uint8_t *mapped, size_t size, size_t piece)
{
    double begin = thread_cpu_seconds();
    for (size_t i = 0; i < size; i += piece)
        loopback_send(descriptor, mapped + i, size - i < piece ? size - i : piece);
    return thread_cpu_seconds() - begin;
}

/* The raw mapping is that of the log's own file. */
static void bench_read_size(size_t batch_size)
{
    size_t total = batch_size == KIB ? 64 * MIB : 256 * MIB, count = total / batch_size;
    double ours[ROUNDS], raw[ROUNDS];
    char path[TEMP_DIR_PATH_SIZE + 64], what[64];
    struct rig rig;
    int ends[2];
    pthread_t thread;
    begin_rig(&rig, 1, false);
    struct batch_view batch = batch_of(&rig, batch_size);
    for (size_t i = 0; i < count; i++)
        append(&rig, rig.logs[0], &batch);
    snprintf(path, sizeof path, "%s/bench-0/00000000000000000000.log", rig.dir.path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    check(descriptor >= 0);
    size_t size = count * batch.size;
    void *mapped = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, descriptor, 0);
    check(mapped != MAP_FAILED);
    loopback_pair(ends);
    check(pthread_create(&thread, NULL, drain, &ends[1]) == 0);
    send_log(&rig, ends[0], batch.size, (int64_t)count); /* maps it */
    for (int i = 0; i < ROUNDS; i++) {
        raw[i] = send_raw(ends[0], mapped, size, batch.size);
        ours[i] = send_log(&rig, ends[0], batch.size, (int64_t)count);
    }
    snprintf(what, sizeof what, "  a batch of %zu KiB a time", batch_size / KIB);
    print_beside(what, ours, raw, size, count);
    close(ends[0]);
    pthread_join(thread, NULL);
    close(ends[1]);
    munmap(mapped, size);
    close(descriptor);
    end_rig(&rig);
}

static void bench_read(void)
{
    printf("\n%-26s %6s  %6s   %8s %8s   %5s\n", "read and sendmsg", "CPU-s/GiB", "raw", "us/batch", "raw",
           "ratio");
    bench_read_size(KIB);
    bench_read_size(16 * KIB);
    bench_read_size(MIB);
}

/* --- group commit ------------------------------------------------------------------------------ */

struct commits {
    double ms[ROUNDS * GROUPS];
    size_t count;
    double seconds;
};

/* One write and its fdatasync after the other, on one file. */
static void commit_alone(const struct rig *rig, const struct batch_view *batch, struct commits *out)
{
    int descriptor = open_raw(rig);
    uint64_t end = 0;
    check(pwrite(descriptor, batch->data, batch->size, 0) == (ssize_t)batch->size &&
          fdatasync(descriptor) == 0);
    for (int i = 0; i < GROUPS; i++) {
        double begin = monotonic_seconds();
        end += batch->size;
        check(pwrite(descriptor, batch->data, batch->size, (off_t)end) == (ssize_t)batch->size);
        check(fdatasync(descriptor) == 0);
        out->ms[out->count++] = (monotonic_seconds() - begin) * 1e3;
        out->seconds += monotonic_seconds() - begin;
    }
    close(descriptor);
}

/* A batch into each of log_count partitions, then one group: from the first append until all are durable. */
static void commit_group(struct rig *rig, size_t log_count, const struct batch_view *batch,
                         struct commits *out)
{
    for (int i = 0; i < GROUPS; i++) {
        double begin = monotonic_seconds();
        for (size_t p = 0; p < log_count; p++)
            append(rig, rig->logs[p], batch);
        storage_host_flush(&rig->host, rig->store);
        out->ms[out->count++] = (monotonic_seconds() - begin) * 1e3;
        out->seconds += monotonic_seconds() - begin;
        for (size_t p = 0; p < log_count; p++)
            check(log_offsets(rig->logs[p]).durable == log_offsets(rig->logs[p]).end);
    }
}

static void print_commits(const char *what, struct commits *commits, size_t batches, double alone)
{
    double rate = (double)(commits->count * batches) / commits->seconds;
    qsort(commits->ms, commits->count, sizeof commits->ms[0], compare_doubles);
    printf("%-26s %12.0f %9.2f %9.2f   %9.2f\n", what, rate, commits->ms[commits->count / 2],
           commits->ms[commits->count * 99 / 100], rate / alone);
}

/* How often a lone fdatasync's rate, in the same turns. */
static void bench_commit(void)
{
    static const size_t counts[] = { 1, 16, 256 };
    enum { KINDS = sizeof counts / sizeof *counts };
    static struct commits alone, groups[KINDS];
    struct rig rigs[KINDS];
    struct batch_view batch = { 0 };
    for (size_t k = 0; k < KINDS; k++) {
        begin_rig(&rigs[k], counts[k], true);
        batch = batch_of(&rigs[k], KIB);
        for (size_t p = 0; p < counts[k]; p++)
            append(&rigs[k], rigs[k].logs[p], &batch);
        storage_host_flush(&rigs[k].host, rigs[k].store);
    }
    for (int i = 0; i < ROUNDS; i++) {
        commit_alone(&rigs[0], &batch, &alone);
        for (size_t k = 0; k < KINDS; k++)
            commit_group(&rigs[k], counts[k], &batch, &groups[k]);
    }
    double rate = (double)alone.count / alone.seconds;
    printf("\n%-26s %12s %9s %9s   %9s\n", "group commit, 1 KiB each", "batches/s", "p50 ms", "p99 ms",
           "x alone");
    print_commits("  pwrite and fdatasync", &alone, 1, rate);
    for (size_t k = 0; k < KINDS; k++) {
        char what[64];
        snprintf(what, sizeof what, "  %zu dirty partitions", counts[k]);
        print_commits(what, &groups[k], counts[k], rate);
        end_rig(&rigs[k]);
    }
}

/* --- recovery ---------------------------------------------------------------------------------- */

struct recovery_case {
    size_t flushed, tail; /* bytes below the durable position, and behind it */
    size_t batch_size;
    bool is_idempotent; /* from a producer with an id, as clients are by default */
};

static void append_bytes(struct rig *rig, const struct recovery_case *what, size_t size, int32_t *sequence)
{
    struct batch_view batch = batch_of(rig, what->batch_size);
    for (size_t done = 0; done < size; done += what->batch_size) {
        if (what->is_idempotent)
            storage_host_give_producer(&batch, 1, 0, (*sequence)++);
        append(rig, rig->logs[0], &batch);
    }
}

/* From store_open() to the end of store_recover(), ms. Files are in the page cache. */
static double recover(const struct recovery_case *what)
{
    int32_t sequence = 0;
    const char *error;
    struct rig rig;
    begin_rig(&rig, 1, true);
    append_bytes(&rig, what, what->flushed, &sequence);
    storage_host_flush(&rig.host, rig.store);
    append_bytes(&rig, what, what->tail, &sequence);
    int64_t end = log_offsets(rig.logs[0]).end;
    close_store(&rig, false); /* as a kill leaves it */
    double begin = monotonic_seconds();
    open_store(&rig, 1, true);
    check(store_recover(rig.store, 1, &error) == STORE_OK);
    double took = (monotonic_seconds() - begin) * 1e3;
    check(log_offsets(rig.logs[0]).end == end);
    end_rig(&rig);
    return took;
}

enum { MANY_LOGS = 10000 };

static double process_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* From store_open() to the end of store_recover(), ms, and what all threads used of the cores: a clean stop
 * of that many logs, then `written` of them get a batch, then a kill. */
static double recover_many(size_t written, double *cpu_ms)
{
    struct storage_host host;
    struct temp_dir dir;
    struct store *store;
    struct arena arena;
    const char *error;
    struct log **logs = check_memory(calloc(MANY_LOGS, sizeof(struct log *)));
    struct log_config config = config_of(true);
    double begin = 0;
    temp_dir_create(&dir);
    storage_host_init(&host, files);
    arena_init(&arena, NULL);
    for (int start = 0; start < 3; start++) {
        const char *directories[] = { dir.path };
        struct store_options options = { .directories = directories, .directory_count = 1, .node_id = 1 };
        begin = monotonic_seconds();
        double cpu_begin = process_seconds();
        check(store_open(&host.env, &options, &store, &error) == STORE_OK);
        for (int i = 0; i < MANY_LOGS; i++)
            logs[i] = check_memory(store_log(store, topic_id, "bench", i, &config, NULL));
        retire_sleep(host.env.retire, host.member);
        check(store_recover(store, 4, &error) == STORE_OK);
        retire_wake(host.env.retire, host.member);
        begin = monotonic_seconds() - begin;
        *cpu_ms = (process_seconds() - cpu_begin) * 1e3;
        storage_host_run(&host);
        for (size_t i = 0; start < 2 && i < (start == 0 ? MANY_LOGS : written); i++) {
            struct batch_view batch = storage_host_batch(&arena, i, 1, KIB);
            struct log_append_result result;
            check(storage_host_append(&host, logs[i], &batch, &result) == LOG_OK);
            if (i % 64 == 0)
                storage_host_flush(&host, store);
        }
        storage_host_flush(&host, store);
        storage_host_run(&host);
        check(store_close(store, start == 0) == STORE_OK || start > 0);
        storage_host_run(&host);
    }
    storage_host_destroy(&host);
    arena_destroy(&arena);
    temp_dir_destroy(&dir);
    free(logs);
    return begin * 1e3;
}

static void bench_recovery_of_many(void)
{
    static const size_t written[] = { 0, 10, 1000, MANY_LOGS };
    printf("\n%-44s %9s %9s\n", "recovery, 10,000 partitions of 1 KiB", "ms", "CPU-ms");
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        double cpu_ms, ms = recover_many(written[i], &cpu_ms);
        printf("  %5zu written since the clean stop %18.1f %9.1f\n", written[i], ms, cpu_ms);
    }
}

static void bench_recovery(void)
{
    static const struct recovery_case rows[] = {
        { 16 * MIB, 0, 16 * KIB, false },
        { 128 * MIB, 0, 16 * KIB, false },
        { 900 * MIB, 0, 16 * KIB, false },
        { 900 * MIB, MIB, 16 * KIB, false },
        { 900 * MIB, MIB, 16 * KIB, true },
        { 900 * MIB, MIB, KIB, true },
        { 128 * MIB, MIB, 100, true },
        { 128 * MIB, 16 * MIB, 16 * KIB, false },
        { 128 * MIB, 128 * MIB, 16 * KIB, false },
        { 128 * MIB, 512 * MIB, 16 * KIB, false },
    };
    enum { RECOVERY_ROUNDS = 3 };
    printf("\n%-44s %9s %9s %9s\n", "recovery, one partition, one segment", "median ms", "least", "most");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double ms[RECOVERY_ROUNDS];
        char what[64];
        for (int round = 0; round < RECOVERY_ROUNDS; round++)
            ms[round] = recover(&rows[i]);
        struct spread spread = spread_of(ms, RECOVERY_ROUNDS);
        snprintf(what, sizeof what, "  %zu MiB flushed, %zu behind, %zu B%s", rows[i].flushed / MIB,
                 rows[i].tail / MIB, rows[i].batch_size, rows[i].is_idempotent ? ", ids" : "");
        printf("%-44s %9.1f %9.1f %9.1f\n", what, spread.median, spread.least, spread.most);
    }
}

/* --- main -------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = { { "append", bench_append },
              { "read", bench_read },
              { "commit", bench_commit },
              { "recovery", bench_recovery },
              { "many", bench_recovery_of_many } };

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    double load[3];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (getloadavg(load, 3) == 3)
        printf("load %.2f %.2f %.2f before the run\n", load[0], load[1], load[2]);
    file_guard_install();
    files = file_posix_create(4);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (is_wanted(parts[i].name, argc, argv))
            parts[i].run();
    file_posix_destroy(files);
    return 0;
}
