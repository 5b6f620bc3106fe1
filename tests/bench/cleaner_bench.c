/* How fast a partition directory is compacted: one that Apache Kafka or we stopped cleanly.
 *
 *     cleaner_bench DIRECTORY [SEGMENT_BYTES [DELETE_RETENTION_MS]]
 *
 * DIRECTORY holds topic-3, which is opened, compacted once as a whole, and closed again: 1 GiB and a day when
 * not given. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "storage/cleaner_internal.h"
#include "storage/log_struct.h"
#include "tests/support/log_rig.h"

enum { MAP_SIZE = 128 << 20, BUFFER_SIZE = 512 << 10, THREADS = 4 };

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

static bool step(void *context, uint64_t size)
{
    (void)size;
    log_rig_turn(context);
    return true;
}

static enum log_status clean(struct log_rig *rig, struct cleaner_result *result)
{
    struct cleaner_options options = {
        .map_size_max = MAP_SIZE, .map_load = 0.9, .buffer_size = BUFFER_SIZE, .step = step, .context = rig
    };
    struct cleaner *cleaner = cleaner_create(&options);
    struct cleaner_look look;
    int64_t now_ms = clock_wall_ms(clock_real());
    enum log_status status = cleaner_look(rig->log, -1, now_ms, &look);
    if (status == LOG_OK)
        status = cleaner_clean(cleaner, rig->log, &look, now_ms, result);
    cleaner_look_end(&look);
    cleaner_destroy(cleaner);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    struct file_system *files = file_posix_create(THREADS);
    struct log_rig *rig = log_rig_create_on(files, argv[1]);
    struct cleaner_result result = { .next_dirty = -1 };
    rig->config.segment_bytes = argc > 2 ? atoi(argv[2]) : 1 << 30;
    rig->config.delete_retention_ms = argc > 3 ? atoll(argv[3]) : 86400000;
    rig->config.index_interval_bytes = 4096;
    rig->config.cleanup = LOG_CLEANUP_COMPACT;
    log_set_config(rig->log, &rig->config);
    enum log_status status = log__open_clean(rig->log, -1);
    uint64_t before = log_stats(rig->log).size;
    double since = seconds(), cpu = cpu_seconds();
    if (status == LOG_OK)
        status = clean(rig, &result);
    double took = seconds() - since, took_cpu = cpu_seconds() - cpu;
    uint64_t after = log_stats(rig->log).size;
    printf("status %d  %.1f MiB -> %.1f MiB  %.2f s  %.2f CPU-s  %.1f MiB/s of the log  %llu of %llu records "
           "kept, %zu keys, "
           "clean to %lld\n",
           status, (double)before / MIB, (double)after / MIB, took, took_cpu,
           (double)result.read_size / MIB / took, (unsigned long long)result.kept_count,
           (unsigned long long)result.record_count, result.key_count, (long long)result.next_dirty);
    (void)log_rig_close(rig, true, NULL);
    log_rig_turn(rig);
    while (log_rig_unlink_removed(rig, false) > 0)
        log_rig_turn(rig);
    log_rig_destroy(rig);
    file_posix_destroy(files);
    return status == LOG_OK ? 0 : 1;
}
