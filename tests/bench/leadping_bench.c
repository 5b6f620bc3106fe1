/* Temporary. */
#include <stdio.h>
#include <stdlib.h>
#include "codec/api_versions.h"
#include "protocol/base/check.h"
#include "tests/support/broker_process.h"
#include "tests/support/load.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"
static int cmp(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return (x > y) - (x < y); }
int main(int argc, char **argv)
{
    (void)argc;
    struct temp_dir dir; temp_dir_create(&dir);
    char d[600]; snprintf(d, sizeof d, "%s/data", dir.path);
    struct broker_process *b = broker_process_start(argv[1], d, NULL);
    struct wire_client c; check(wire_connect(&c, broker_process_address(b), 10000));
    static double us[50000];
    for (int r = 0; r < 3; r++) {
        double cpu = process_cpu_seconds(broker_process_pid(b)), all = monotonic_seconds();
        for (int i = 0; i < 50000; i++) {
            struct api_versions_request q = { 0 }; struct api_versions_response a;
            double t = monotonic_seconds();
            check(wire_call(&c, 18, 0, &q, &a));
            us[i] = (monotonic_seconds() - t) * 1e6;
        }
        all = monotonic_seconds() - all;
        qsort(us, 50000, sizeof *us, cmp);
        printf("p50 %.1f p99 %.1f us, %.0f/s, broker %.1f us/request\n", us[25000], us[49500], 50000 / all, (process_cpu_seconds(broker_process_pid(b)) - cpu) / 50000 * 1e6);
    }
    broker_process_stop(b); temp_dir_destroy(&dir); return 0;
}
