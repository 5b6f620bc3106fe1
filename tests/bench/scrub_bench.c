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

#include "protocol/base/note.h"
#include "storage/log_struct.h"
#include "storage/scrubber.h"
#include "tests/support/log_rig.h"
#include "tests/support/temp_dir.h"

enum { FLUSH_THREADS = 4, BATCHES_PER_FLUSH = 4096, DAMAGED_SIZE = 1024 };

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
        file_drop_cache(file, 0);
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

/* Flips bits of batches that are all of one size; the records in them, each once. */
static int64_t plant(struct log_rig *rig, uint64_t flips)
{
    struct segment_list *list = log__segments(rig->log);
    struct random chance;
    uint8_t *is_hit = calloc((size_t)log_offsets(rig->log).end, 1), byte;
    int64_t count = 0;
    size_t got;
    random_seed(&chance, 9);
    for (uint64_t i = 0; i < flips && is_hit && list->count > 1; i++) {
        size_t n = (size_t)random_below(&chance, list->count - 1);
        int64_t base = list->items[n]->base_offset, records = list->items[n + 1]->base_offset - base;
        uint64_t size = atomic_load(&list->items[n]->size), position = random_below(&chance, size);
        int64_t offset = base + (int64_t)(position / (size / (uint64_t)records));
        char name[64];
        struct file *file;
        snprintf(name, sizeof name, "%020" PRId64 ".log", base);
        if (is_hit[offset] ||
            file_open(rig->env.files, rig_path(rig, name), FILE_READ | FILE_WRITE, &file) != FILE_OK)
            continue;
        if (file_pread(file, &byte, 1, position, &got) == FILE_OK && got == 1) {
            byte ^= (uint8_t)(1u << random_below(&chance, 8));
            if (file_pwrite(file, &byte, 1, position) == FILE_OK)
                count += is_hit[offset] = 1;
        }
        file_close(file);
    }
    free(is_hit);
    return count;
}

static bool find_planted(struct log_rig *rig)
{
    const char *flips = getenv("RUNNEL_BENCH_FLIPS");
    int64_t planted = plant(rig, flips ? strtoull(flips, NULL, 10) : 1000);
    note_set_level((enum note_level) - 1);
    (void)scrub(rig, "with flipped bits");
    int64_t lost = log_offsets(rig->log).end - rig_read_all(rig, 1 << 20);
    printf("batches with a flipped bit: %" PRId64 ", refused: %" PRId64 " of %" PRId64 "\n", planted, lost,
           log_offsets(rig->log).end);
    return lost == planted;
}

static bool measure_own(struct file_system *files, size_t value_size, bool is_damaged)
{
    const char *mib = getenv("RUNNEL_BENCH_MIB");
    struct temp_dir root;
    char what[64];
    temp_dir_create(&root);
    struct log_rig *rig = log_rig_create_on(files, root.path);
    rig->config.segment_bytes = 32 << 20;
    rig->config.index_interval_bytes = 4096;
    log_set_config(rig->log, &rig->config);
    write_log(rig, value_size, (mib ? strtoull(mib, NULL, 10) : 512) << 20);
    snprintf(what, sizeof what, "batches of %zu B", value_size);
    bool ok = measure(rig, what);
    if (is_damaged)
        ok = find_planted(rig) && ok;
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
            ok = measure_own(files, sizes[i], sizes[i] == DAMAGED_SIZE) && ok;
    }
    file_posix_destroy(files);
    return ok ? 0 : 1;
}
