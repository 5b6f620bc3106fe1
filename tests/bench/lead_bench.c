/* Temporary. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "protocol/base/check.h"
#include "tests/support/broker_process.h"
#include "tests/support/load.h"
#include "tests/support/temp_dir.h"
int main(int argc, char **argv)
{
    (void)argc; /* BIN flush batch conns depth MB rounds perfarg */
    struct temp_dir dir; temp_dir_create(&dir);
    char d[600], f[100], c[600]; snprintf(d, sizeof d, "%s/data", dir.path);
    snprintf(f, sizeof f, "log.flush.interval.messages=%s", argv[2] ? argv[2] : "1");
    char p[64]; snprintf(p, sizeof p, "num.partitions=%s", argv[4]);
    const char *const args[] = { "--override", f, "--override", p, NULL };
    struct broker_process *b = broker_process_start(argv[1], d, args);
    int rounds = atoi(argv[7]);
    for (int i = 0; i < rounds; i++) {
        char t[32]; snprintf(t, sizeof t, "r-%d", i);
        load_make_topic(broker_process_address(b), t);
        struct load_options l = { .address = broker_process_address(b), .topic = t, .broker = broker_process_pid(b), .connections = atoi(argv[4]), .depth = atoi(argv[5]), .record_size = 1024, .batch_size = (size_t)atoi(argv[3]), .acks = -1, .total_size = (uint64_t)atoi(argv[6]) << 20, .fetch_size = 1 << 20 };
        if (i == 1 && argv[8]) { snprintf(c, sizeof c, argv[8], broker_process_pid(b)); if (system(c)) {} }
        struct load_result r = load_produce(&l);
        printf("produce %.2f GiB/s %.2f CPU-s/GiB\n", (double)r.size / (1u<<30) / r.seconds, r.broker_cpu_seconds / ((double)r.size / (1u<<30)));
        if (argv[8] && strstr(argv[8], "fetch")) { struct load_result g = load_fetch(&l); printf("fetch %.2f %.2f\n", (double)g.size / (1u<<30) / g.seconds, g.broker_cpu_seconds / ((double)g.size / (1u<<30))); }
        fflush(stdout);
    }
    broker_process_stop(b); temp_dir_destroy(&dir); return 0;
}
