/* First figures: start, memory, idle, size, throughput and CPU beside a raw loopback pump and raw writes.
 *
 *     figures_bench [BINARY] [start|memory|throughput]...      all of them when none is named */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "codec/metadata.h"
#include "protocol/base/check.h"
#include "tests/bench/load/limits.h"
#include "tests/support/broker_process.h"
#include "tests/support/load.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

enum { ROUNDS = 5, START_ROUNDS = 21, CONNECTIONS = 4, DEPTH = 4, IDLE_CONNECTIONS = 1000, PARTITIONS = 1000 };

static const char *binary;

/* -- the table ---------------------------------------------------------------------------------- */

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

static void print_title(const char *title, const char *columns)
{
    printf("\n%-58s %s\n", title, columns);
}

static void print_ms(const char *what, double *values)
{
    struct spread ms = spread_of(values, START_ROUNDS);
    printf("  %-56s %7.2f  %7.2f  %7.2f\n", what, ms.median, ms.least, ms.most);
}

static void print_megabytes(const char *what, uint64_t size)
{
    printf("  %-56s %7.2f\n", what, (double)size / 1e6);
}

static void print_machine(const char *path)
{
    char line[256], model[200] = "unknown", stamp[64];
    struct utsname system;
    double load[3] = { 0 };
    time_t now = time(NULL);
    struct tm utc;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "model name%*[^:]: %199[^\n]", model) == 1)
            break;
    if (file)
        fclose(file);
    check(uname(&system) == 0);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &utc));
    if (getloadavg(load, 3) != 3)
        load[0] = -1;
    printf("date     %s\n", stamp);
    printf("machine  %ld x %s, %.0f GiB, Linux %s\n", sysconf(_SC_NPROCESSORS_ONLN), model,
           (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (double)(1u << 30), system.release);
    printf("load     %.2f %.2f %.2f before the run\n", load[0], load[1], load[2]);
    struct stat info;
    check(stat(path, &info) == 0);
    printf("binary   %.2f MB\n", (double)info.st_size / 1e6);
}

/* -- start -------------------------------------------------------------------------------------- */

static const char *data_dir_in(const struct temp_dir *dir, char out[TEMP_DIR_PATH_SIZE + 8])
{
    snprintf(out, TEMP_DIR_PATH_SIZE + 8, "%s/data", dir->path);
    return out;
}

static void ask_metadata(const char *address)
{
    struct wire_client client;
    struct metadata_request request;
    struct metadata_response response;
    metadata_request_init(&request);
    check(wire_connect(&client, address, 10000));
    check(wire_call(&client, 3, 9, &request, &response));
    wire_close(&client);
}

/* Fork and exec to the first Metadata answer, in ms. */
static double start_once(const char *data_dir)
{
    double begin = monotonic_seconds();
    struct broker_process *broker = broker_process_start(binary, data_dir, NULL);
    ask_metadata(broker_process_address(broker));
    double ms = (monotonic_seconds() - begin) * 1e3;
    check(broker_process_stop(broker) == 0);
    return ms;
}

/* What fork, exec, dynamic linking and wait cost without a broker in it. */
static double exec_once(void)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    double begin = monotonic_seconds();
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        dup2(nowhere, STDOUT_FILENO);
        execl(binary, binary, "--version", (char *)NULL);
        _exit(127);
    }
    int status;
    check(waitpid(pid, &status, 0) == pid && status == 0);
    double ms = (monotonic_seconds() - begin) * 1e3;
    close(nowhere);
    return ms;
}

static void make_thousand_partitions(const char *data_dir)
{
    char partitions[64];
    snprintf(partitions, sizeof partitions, "num.partitions=%d", PARTITIONS);
    const char *const arguments[] = { "--override", partitions, NULL };
    struct broker_process *broker = broker_process_start(binary, data_dir, arguments);
    load_make_topic(broker_process_address(broker), "thousand");
    struct load_options fill = { .address = broker_process_address(broker), .topic = "thousand",
                                 .connections = PARTITIONS, .depth = 1, .record_size = 100, .batch_size = 200,
                                 .acks = 1, .total_size = PARTITIONS };
    load_produce(&fill);
    check(broker_process_stop(broker) == 0);
}

static void bench_start(void)
{
    double values[START_ROUNDS];
    char data_dir[TEMP_DIR_PATH_SIZE + 8];
    struct temp_dir dir;
    print_title("start, ms", " median    least     most");
    for (int i = 0; i < START_ROUNDS; i++)
        values[i] = exec_once();
    print_ms("runnel --version: exec and exit alone", values);
    for (int i = 0; i < START_ROUNDS; i++) {
        temp_dir_create(&dir);
        values[i] = start_once(data_dir_in(&dir, data_dir));
        temp_dir_destroy(&dir);
    }
    print_ms("exec to first Metadata answer, empty directory", values);
    temp_dir_create(&dir);
    make_thousand_partitions(data_dir_in(&dir, data_dir));
    for (int i = 0; i < START_ROUNDS; i++)
        values[i] = start_once(data_dir);
    print_ms("the same, 1,000 partitions with data, cleanly stopped", values);
    temp_dir_destroy(&dir);
}

/* -- memory ------------------------------------------------------------------------------------- */

static void bench_memory(void)
{
    struct temp_dir dir;
    char data_dir[TEMP_DIR_PATH_SIZE + 8];
    const struct timespec ten_seconds = { .tv_sec = 10 };
    temp_dir_create(&dir);
    struct broker_process *broker = broker_process_start(binary, data_dir_in(&dir, data_dir), NULL);
    const char *address = broker_process_address(broker);
    pid_t pid = broker_process_pid(broker);
    print_title("memory, MB (10^6)", " median");
    print_megabytes("VmRSS after start", process_rss(pid));
    load_make_topic(address, "memory");
    struct wire_client *clients = check_memory(calloc(IDLE_CONNECTIONS, sizeof *clients));
    uint64_t before = process_rss_anonymous(pid);
    for (int i = 0; i < IDLE_CONNECTIONS; i++)
        check(wire_connect(&clients[i], address, 10000));
    ask_metadata(address); /* behind the last accept */
    print_megabytes("VmRSS with 1,000 idle connections", process_rss(pid));
    printf("  %-56s %7.0f\n", "  each of them, bytes",
           (double)(process_rss_anonymous(pid) - before) / IDLE_CONNECTIONS);
    for (int i = 0; i < IDLE_CONNECTIONS; i++)
        wire_close(&clients[i]);
    free(clients);
    struct load_options load = { .address = address, .topic = "memory", .broker = pid, .connections = 1,
                                 .depth = DEPTH, .record_size = 1024, .batch_size = 64 * 1024, .acks = -1,
                                 .total_size = 100 << 20, .fetch_size = 1 << 20 };
    load_produce(&load);
    load_fetch(&load);
    print_megabytes("VmRSS right after 100 MiB produced and fetched", process_rss(pid));
    nanosleep(&ten_seconds, NULL);
    print_megabytes("VmRSS 10 s later", process_rss(pid));
    print_megabytes("  its own memory (RssAnon)", process_rss_anonymous(pid));
    print_megabytes("  mapped files: program, libraries, segments (RssFile)", process_rss_file(pid));
    double cpu = process_cpu_seconds(pid);
    uint64_t wakeups = process_wakeups(pid);
    nanosleep(&ten_seconds, NULL);
    printf("  %-56s %7.2f\n", "idle for 10 s: CPU seconds", process_cpu_seconds(pid) - cpu);
    printf("  %-56s %7llu\n", "idle for 10 s: wake-ups", (unsigned long long)(process_wakeups(pid) - wakeups));
    check(broker_process_stop(broker) == 0);
    temp_dir_destroy(&dir);
}

/* -- throughput --------------------------------------------------------------------------------- */

static double gib(uint64_t size)
{
    return (double)size / (double)(1u << 30);
}

static void print_runs(const char *what, const struct load_result *runs)
{
    double speed[ROUNDS], cpu[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        speed[i] = gib(runs[i].size) / runs[i].seconds;
        cpu[i] = runs[i].broker_cpu_seconds / gib(runs[i].size);
    }
    struct spread speeds = spread_of(speed, ROUNDS), cpus = spread_of(cpu, ROUNDS);
    printf("  %-56s %7.2f  (%.2f-%.2f)   %5.2f  (%.2f-%.2f)\n", what, speeds.median, speeds.least, speeds.most,
           cpus.median, cpus.least, cpus.most);
}

/* CPU is that of both ends. */
static struct load_result measure_limit(void (*limit)(const struct limit_options *, struct result *),
                                        const struct limit_options *options)
{
    struct result *result = check_memory(calloc(1, sizeof *result));
    limit(options, result);
    struct load_result out = { .size = result->total.size, .requests = result->total.requests,
                               .seconds = result->seconds,
                               .broker_cpu_seconds = result->server_cpu_seconds + result->client_cpu_seconds };
    free(result);
    return out;
}

/* One broker per mode. Produce, fetch, pump and raw writes take turns. Before each that writes, as many pages are
 * written and freed again: then neither pays for memory that the host has yet to find. */
static void bench_mode(const char *mode, const char *flush_messages, size_t batch_size)
{
    struct load_result produced[ROUNDS], fetched[ROUNDS], pumped[ROUNDS], written[ROUNDS];
    struct temp_dir dir;
    char data_dir[TEMP_DIR_PATH_SIZE + 8], flush[64], partitions[64], title[128];
    temp_dir_create(&dir);
    snprintf(flush, sizeof flush, "log.flush.interval.messages=%s", flush_messages);
    snprintf(partitions, sizeof partitions, "num.partitions=%d", CONNECTIONS);
    const char *const arguments[] = { "--override", flush, "--override", partitions, NULL };
    struct broker_process *broker = broker_process_start(binary, data_dir_in(&dir, data_dir), arguments);
    for (int i = 0; i < ROUNDS; i++) {
        char topic[32];
        snprintf(topic, sizeof topic, "round-%d", i);
        load_make_topic(broker_process_address(broker), topic);
        struct load_options load = { .address = broker_process_address(broker), .topic = topic,
                                     .broker = broker_process_pid(broker), .connections = CONNECTIONS,
                                     .depth = DEPTH, .record_size = 1024, .batch_size = batch_size, .acks = -1,
                                     .total_size = 512 << 20, .fetch_size = 1 << 20 };
        struct limit_options raw = { .connections = CONNECTIONS, .write_size = 256 << 10, .total_size = 1 << 30 };
        pumped[i] = measure_limit(limit_pump, &raw);
        raw = (struct limit_options){ .connections = CONNECTIONS, .write_size = batch_size,
                                      .total_size = load.total_size, .directory = dir.path };
        measure_limit(limit_pwritev, &raw);
        written[i] = measure_limit(limit_pwritev, &raw);
        produced[i] = load_produce(&load);
        fetched[i] = load_fetch(&load);
    }
    snprintf(title, sizeof title, "%s, batches of %zu KiB", mode, batch_size / 1024);
    print_title(title, "  GiB/s  (spread)      CPU-s/GiB (spread)");
    print_runs("produce, 4 connections, 4 requests deep, acks=all", produced);
    print_runs("fetch, 4 connections, 1 MiB a fetch", fetched);
    print_runs("raw loopback pump, 4 connections (CPU: both ends)", pumped);
    print_runs("raw pwrite of the same bytes, 4 files (CPU: writers)", written);
    check(broker_process_stop(broker) == 0);
    temp_dir_destroy(&dir);
}

static void bench_throughput(void)
{
    static const char never[] = "9223372036854775807";
    bench_mode("page cache (flush.messages off)", never, 64 * 1024);
    bench_mode("page cache (flush.messages off)", never, 16 * 1024);
    bench_mode("durable (flush.messages=1, the default)", "1", 64 * 1024);
    bench_mode("durable (flush.messages=1, the default)", "1", 1000 * 1024);
}

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = { { "start", bench_start }, { "memory", bench_memory }, { "throughput", bench_throughput } };

enum { PART_COUNT = sizeof parts / sizeof parts[0] };

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc == 0;
}

int main(int argc, char **argv)
{
    bool names_binary = argc > 1 && strchr(argv[1], '/');
    const char *from_environment = getenv("RUNNEL_BINARY");
    binary = names_binary ? argv[1] : from_environment ? from_environment : RUNNEL_BINARY;
    int skip = names_binary ? 2 : 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    print_machine(binary);
    for (size_t i = 0; i < PART_COUNT; i++)
        if (is_wanted(parts[i].name, argc - skip, argv + skip))
            parts[i].run();
    return 0;
}
