/* How fast the scrubber verifies when nothing holds it back, and what of the processor that takes.
 *
 *     scrub_bench [DIRECTORY]
 *
 * DIRECTORY holds topic-3, which Apache Kafka or we stopped cleanly. Without one, logs of several batch sizes
 * are written below $TMPDIR; $RUNNEL_BENCH_MIB each (512). Exits with 1 when anything of it seems damaged. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "storage/log_struct.h"
#include "storage/scrubber.h"
#include "tests/support/log_rig.h"
#include "tests/support/temp_dir.h"

enum { FLUSH_THREADS = 4, BATCHES_PER_FLUSH = 4096 };

#define MIB (double)(1 << 20)

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static bool drop_cache(void *context, const char *name)
{
    struct log_rig *rig = context;
    struct file *file;
    if (file_open(rig->env.files, rig_path(rig, name), FILE_READ, &file) == FILE_OK) {
        file_drop_cache(file);
        file_close(file);
    }
    return true;
}

/* One pass in slices, as the broker's. */
static bool scrub(struct log_rig *rig, const char *what)
{
    struct scrub_cursor cursor = { .base_offset = 0 };
    struct scrub_counts counts = { 0 };
    double begin = seconds(), cpu = cpu_seconds(), longest = 0;
    enum log_status status;
    do {
        double before = seconds();
        status = scrubber_run(rig->log, &cursor, SCRUB_SLICE_SIZE, NULL, NULL, &counts);
        log_rig_turn(rig);
        longest = seconds() - before > longest ? seconds() - before : longest;
    } while (status == LOG_BUSY);
    double wall = seconds() - begin;
    cpu = cpu_seconds() - cpu;
    scrub_cursor_reset(&cursor);
    printf("%-28s %8.0f MiB  %6.0f MiB/s  %.3f CPU-s/GiB  longest slice %.1f ms  quarantined %" PRIu32
           "  indexes %" PRIu32 "  status %d\n",
           what, (double)counts.size / MIB, (double)counts.size / MIB / wall,
           cpu / ((double)counts.size / MIB / 1024), longest * 1e3, counts.quarantined_count,
           counts.index_count, status);
    return status == LOG_OK && counts.quarantined_count == 0 && counts.index_count == 0;
}

static bool measure(struct log_rig *rig, const char *what)
{
    char text[128];
    (void)file_list(rig->env.files, rig_path(rig, "."), drop_cache, rig);
    snprintf(text, sizeof text, "%s, cold", what);
    bool ok = scrub(rig, text);
    snprintf(text, sizeof text, "%s, cold again", what); /* it left nothing in the cache */
    ok = scrub(rig, text) && ok;
    (void)rig_read_all(rig, 1 << 20);
    snprintf(text, sizeof text, "%s, cached", what);
    return scrub(rig, text) && ok;
}

static void write_log(struct log_rig *rig, size_t value_size, uint64_t size)
{
    for (uint64_t i = 0; i * value_size < size; i++) {
        struct rig_batch spec = { .value_size = value_size, .timestamp = (int64_t)i };
        if (rig_append(rig, &spec, NULL) != LOG_OK)
            exit(2);
        log_rig_run_jobs(rig);
        if (i % BATCHES_PER_FLUSH == 0)
            (void)log_rig_flush(rig);
        if (i % BATCHES_PER_FLUSH == 0)
            log_rig_turn(rig);
    }
    while (log_rig_flush(rig))
        continue;
}

static bool measure_own(struct file_system *files, size_t value_size)
{
    const char *mib = getenv("RUNNEL_BENCH_MIB");
    struct temp_dir root;
    char what[64];
    temp_dir_create(&root);
    struct log_rig *rig = log_rig_create_on(files, root.path);
    rig->config.segment_bytes = 256 << 20;
    rig->config.index_interval_bytes = 4096;
    log_set_config(rig->log, &rig->config);
    write_log(rig, value_size, (mib ? strtoull(mib, NULL, 10) : 512) << 20);
    snprintf(what, sizeof what, "batches of %zu B", value_size);
    bool ok = measure(rig, what);
    log_rig_destroy(rig);
    temp_dir_destroy(&root);
    return ok;
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = { 100, 1024, 16384, 1 << 20 };
    struct file_system *files = file_posix_create(FLUSH_THREADS);
    bool ok = true;
    if (argc > 1) {
        struct log_rig *rig = log_rig_create_on(files, argv[1]);
        enum log_status status = log__open_clean(rig->log, -1);
        if (status != LOG_OK)
            fprintf(stderr, "%s/topic-3: status %d\n", argv[1], status);
        ok = status == LOG_OK && scrub(rig, argv[1]);
        log_rig_destroy(rig);
    } else {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            ok = measure_own(files, sizes[i]) && ok;
    }
    file_posix_destroy(files);
    return ok ? 0 : 1;
}
