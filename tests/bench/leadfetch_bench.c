/* Temporary: fetch after restart, binaries in turn. */
#include <stdio.h>
#include <stdlib.h>
#include "protocol/base/check.h"
#include "tests/support/broker_process.h"
#include "tests/support/load.h"
#include "tests/support/temp_dir.h"
static int cmp(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return (x > y) - (x < y); }
int main(int argc, char **argv)
{
    size_t batch = (size_t)atoi(argv[1]);
    struct temp_dir dir; temp_dir_create(&dir);
    char d[600]; snprintf(d, sizeof d, "%s/data", dir.path);
    const char *const args[] = { "--override", "log.flush.interval.messages=9223372036854775807", "--override", "num.partitions=4", NULL };
    struct load_options l = { .topic = "t", .connections = 4, .depth = 4, .record_size = batch < 4096 ? 200 : 1024, .batch_size = batch, .acks = -1, .total_size = 1u << 30, .fetch_size = 1 << 20 };
    struct broker_process *b = broker_process_start(argv[2], d, args);
    l.address = broker_process_address(b); load_make_topic(l.address, "t"); l.broker = broker_process_pid(b);
    load_produce(&l); broker_process_stop(b);
    static double cpu[8][99]; int n = argc - 2, rounds = 9;
    for (int r = 0; r < rounds; r++) for (int i = 0; i < n; i++) {
        b = broker_process_start(argv[2 + i], d, args);
        l.address = broker_process_address(b); l.broker = broker_process_pid(b);
        struct load_result a = load_fetch(&l); cpu[i][r] = a.broker_cpu_seconds;
        struct load_result c = load_fetch(&l); cpu[4 + i][r] = c.broker_cpu_seconds;
        broker_process_stop(b);
    }
    for (int i = 0; i < n; i++) { qsort(cpu[i], rounds, sizeof(double), cmp); qsort(cpu[4 + i], rounds, sizeof(double), cmp);
        printf("%s: first %.3f (%.3f-%.3f)  again %.3f (%.3f-%.3f) CPU-s/GiB\n", argv[2 + i], cpu[i][rounds / 2], cpu[i][0], cpu[i][rounds - 1], cpu[4 + i][rounds / 2], cpu[4 + i][0], cpu[4 + i][rounds - 1]); }
    temp_dir_destroy(&dir); return 0;
}
