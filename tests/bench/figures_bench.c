/* First figures: start, memory, idle, size, throughput and CPU beside a raw loopback pump in one run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "codec/metadata.h"
#include "protocol/base/check.h"
#include "tests/support/broker_process.h"
#include "tests/support/load.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

enum { ROUNDS = 5, START_ROUNDS = 11, CONNECTIONS = 4, DEPTH = 4 };

static const char *binary;

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

static double median(double *values, size_t count)
{
    return spread_of(values, count).median;
}

static void print_start(const char *what, double *values)
{
    struct spread ms = spread_of(values, START_ROUNDS);
    printf("%-56s median %.2f ms  (%.2f-%.2f)\n", what, ms.median, ms.least, ms.most);
}

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

/* Exec to the first Metadata answer, in ms. */
static double start_once(const char *data_dir, bool stop_cleanly)
{
    double begin = monotonic_seconds();
    struct broker_process *broker = broker_process_start(binary, data_dir, NULL);
    ask_metadata(broker_process_address(broker));
    double ms = (monotonic_seconds() - begin) * 1e3;
    if (stop_cleanly)
        broker_process_stop(broker);
    else
        broker_process_kill(broker);
    return ms;
}

static void bench_start(void)
{
    double values[START_ROUNDS];
    char data_dir[TEMP_DIR_PATH_SIZE + 8];
    for (int i = 0; i < START_ROUNDS; i++) {
        struct temp_dir dir;
        temp_dir_create(&dir);
        values[i] = start_once(data_dir_in(&dir, data_dir), true);
        temp_dir_destroy(&dir);
    }
    print_start("exec to first Metadata answer, empty directory", values);

    struct temp_dir dir;
    temp_dir_create(&dir);
    const char *const arguments[] = { "--override", "num.partitions=1000", NULL };
    struct broker_process *broker = broker_process_start(binary, data_dir_in(&dir, data_dir), arguments);
    load_make_topic(broker_process_address(broker), "thousand");
    struct load_options fill = { .address = broker_process_address(broker), .topic = "thousand",
                                 .connections = 1000, .depth = 1, .record_size = 100, .batch_size = 200,
                                 .acks = 1, .total_size = 1000 };
    load_produce(&fill);
    broker_process_stop(broker);
    for (int i = 0; i < START_ROUNDS; i++)
        values[i] = start_once(data_dir, true);
    print_start("the same, 1000 partitions cleanly stopped", values);
    temp_dir_destroy(&dir);
}

static void bench_memory(void)
{
    struct temp_dir dir;
    char data_dir[TEMP_DIR_PATH_SIZE + 8];
    temp_dir_create(&dir);
    struct broker_process *broker = broker_process_start(binary, data_dir_in(&dir, data_dir), NULL);
    pid_t pid = broker_process_pid(broker);
    uint64_t rss_at_first = process_rss(pid);
    load_make_topic(broker_process_address(broker), "memory");
    struct wire_client *clients = check_memory(calloc(1000, sizeof *clients));
    for (int i = 0; i < 1000; i++)
        check(wire_connect(&clients[i], broker_process_address(broker), 10000));
    uint64_t rss_connected = process_rss(pid);
    for (int i = 0; i < 1000; i++)
        wire_close(&clients[i]);
    free(clients);
    struct load_options load = { .address = broker_process_address(broker), .topic = "memory", .broker = pid,
                                 .connections = 1, .depth = DEPTH, .record_size = 1024,
                                 .batch_size = 64 * 1024, .acks = -1, .total_size = 100 << 20,
                                 .fetch_size = 1 << 20 };
    load_produce(&load);
    load_fetch(&load);
    struct timespec ten_seconds = { .tv_sec = 10 };
    nanosleep(&ten_seconds, NULL);
    printf("VmRSS after start                                        %.2f MB\n", (double)rss_at_first / 1e6);
    printf("VmRSS with 1000 idle connections                         %.2f MB\n", (double)rss_connected / 1e6);
    printf("VmRSS 10 s after 1000 connections and 2 x 100 MiB        %.2f MB\n", (double)process_rss(pid) / 1e6);

    double cpu = process_cpu_seconds(pid);
    uint64_t wakeups = process_wakeups(pid);
    nanosleep(&ten_seconds, NULL);
    printf("idle for 10 s: CPU %.2f s, wake-ups %llu\n", process_cpu_seconds(pid) - cpu,
           (unsigned long long)(process_wakeups(pid) - wakeups));
    broker_process_stop(broker);
    temp_dir_destroy(&dir);
}

static double gib(uint64_t size)
{
    return (double)size / (double)(1u << 30);
}

static void print_row(const char *what, const struct load_result *runs, const struct load_result *pumps)
{
    double speed[ROUNDS], cpu[ROUNDS], ratio[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        speed[i] = gib(runs[i].size) / runs[i].seconds;
        cpu[i] = runs[i].broker_cpu_seconds / gib(runs[i].size);
        ratio[i] = speed[i] / (gib(pumps[i].size) / pumps[i].seconds);
    }
    struct spread speeds = spread_of(speed, ROUNDS);
    printf("%-56s %6.2f GiB/s  broker %5.2f CPU-s/GiB  %4.0f %% of the pump  (%.2f-%.2f GiB/s)\n", what,
           speeds.median, median(cpu, ROUNDS), 100 * median(ratio, ROUNDS), speeds.least, speeds.most);
}

/* One broker per mode; produce, fetch and pump take turns. */
static void bench_throughput(const char *mode, const char *flush_messages, size_t batch_size)
{
    struct load_result produced[ROUNDS], fetched[ROUNDS], pumped[ROUNDS];
    struct temp_dir dir;
    char data_dir[TEMP_DIR_PATH_SIZE + 8], flush[64], what[128];
    temp_dir_create(&dir);
    snprintf(flush, sizeof flush, "log.flush.interval.messages=%s", flush_messages);
    const char *const arguments[] = { "--override", flush, "--override", "num.partitions=4", NULL };
    struct broker_process *broker = broker_process_start(binary, data_dir_in(&dir, data_dir), arguments);
    for (int i = 0; i < ROUNDS; i++) {
        char topic[32];
        snprintf(topic, sizeof topic, "round-%d", i);
        load_make_topic(broker_process_address(broker), topic);
        struct load_options load = { .address = broker_process_address(broker), .topic = topic,
                                     .broker = broker_process_pid(broker), .connections = CONNECTIONS,
                                     .depth = DEPTH, .record_size = 1024, .batch_size = batch_size, .acks = -1,
                                     .total_size = 512 << 20, .fetch_size = 1 << 20 };
        pumped[i] = load_pump(1 << 30, CONNECTIONS);
        produced[i] = load_produce(&load);
        fetched[i] = load_fetch(&load);
    }
    snprintf(what, sizeof what, "produce %s, batches of %zu KiB", mode, batch_size / 1024);
    print_row(what, produced, pumped);
    snprintf(what, sizeof what, "fetch   %s, batches of %zu KiB, 1 MiB a fetch", mode, batch_size / 1024);
    print_row(what, fetched, pumped);
    double pump_cpu[ROUNDS], pump_speed[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        pump_cpu[i] = pumped[i].broker_cpu_seconds / gib(pumped[i].size);
        pump_speed[i] = gib(pumped[i].size) / pumped[i].seconds;
    }
    printf("%-56s %6.2f GiB/s  both ends %4.2f CPU-s/GiB\n", "raw loopback pump in the same run",
           median(pump_speed, ROUNDS), median(pump_cpu, ROUNDS));
    broker_process_stop(broker);
    temp_dir_destroy(&dir);
}

int main(int argc, char **argv)
{
    struct stat info;
    binary = argc > 1 ? argv[1] : RUNNEL_BINARY;
    check(stat(binary, &info) == 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("binary                                                   %.2f MB\n", (double)info.st_size / 1e6);
    bench_start();
    bench_memory();
    bench_throughput("page cache", "9223372036854775807", 64 * 1024);
    bench_throughput("page cache", "9223372036854775807", 16 * 1024);
    bench_throughput("durable", "1", 64 * 1024);
    bench_throughput("durable", "1", 1000 * 1024);
    return 0;
}
