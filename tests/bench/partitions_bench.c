/* What a hundred thousand partitions cost: to be made, filled, kept idle, started with, recovered, deleted.
 *
 *     partitions_bench [COUNT]      100,000 when not given, in topics of 5,000 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/check.h"
#include "protocol/base/random.h"
#include "tests/support/load.h"
#include "tests/support/many_partitions.h"
#include "tests/support/served.h"

enum {
    TOPIC_PARTITIONS = 5000, /* Kafka takes at most 10,000 records for one request, and the topic is one */
    COUNT_DEFAULT = 100000,
    REQUEST_PARTITIONS = 1000,
    COLD_COUNT = 200,
    TIMEOUT_MS = 600000,
    IDLE_MS = 10000,
    SETTLE_MS = 500,
    SETTLE_ROUNDS_MAX = 240,
};

static struct served served;
static struct wire_client client;
static struct many_partitions many = { .name = "many" };
static size_t count;
static uint32_t *all_numbers; /* 0, 1, 2 ... */
static uint64_t memory_before;
static double since;

static pid_t broker_pid(void)
{
    return broker_process_pid(served.broker);
}

static void begin(void)
{
    since = monotonic_seconds();
}

static void end(const char *what, size_t operations, bool ok)
{
    double took = monotonic_seconds() - since;
    printf("%-44s %10.1f ms %10.2f us each%s\n", what, took * 1e3, took * 1e6 / (double)operations,
           ok ? "" : "  FAILED");
}

static void pause_ms(int ms)
{
    poll(NULL, 0, ms);
}

/* Until nobody wakes up any more: what was put off is done. */
static void settle(void)
{
    for (int i = 0; i < SETTLE_ROUNDS_MAX; i++) {
        uint64_t wakeups = process_wakeups(broker_pid());
        double cpu = process_cpu_seconds(broker_pid());
        pause_ms(SETTLE_MS);
        if (process_wakeups(broker_pid()) == wakeups && process_cpu_seconds(broker_pid()) == cpu)
            return;
    }
    printf("  (still busy)\n");
}

static void print_memory(const char *what)
{
    settle();
    uint64_t own = process_rss_anonymous(broker_pid()), files = process_rss_file(broker_pid());
    printf("%-44s %10.1f MiB %9.0f B each, files %.1f MiB\n", what, (double)own / (1 << 20),
           ((double)own - (double)memory_before) / (double)count, (double)files / (1 << 20));
}

static void print_idle(void)
{
    uint64_t wakeups = process_wakeups(broker_pid());
    double cpu = process_cpu_seconds(broker_pid());
    pause_ms(IDLE_MS);
    printf("%-44s %10.2f CPU-s, %llu wake-ups\n", "  idle for 10 s", process_cpu_seconds(broker_pid()) - cpu,
           (unsigned long long)(process_wakeups(broker_pid()) - wakeups));
}

static void restart(const char *const arguments[])
{
    begin();
    served.broker = broker_process_spawn(RUNNEL_BINARY, served.data_dir, arguments);
    check(broker_process_wait_ready(served.broker, TIMEOUT_MS));
    snprintf(served.bootstrap, sizeof served.bootstrap, "%s", broker_process_address(served.broker));
    check(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
}

static void stop(void)
{
    begin();
    wire_close(&client);
    check(broker_process_stop(served.broker) == 0);
    served.broker = NULL;
}

static void produce_all(const char *what, uint32_t sequence)
{
    size_t done = 0;
    begin();
    for (size_t i = 0; i < count; i += REQUEST_PARTITIONS) {
        size_t size = count - i < REQUEST_PARTITIONS ? count - i : REQUEST_PARTITIONS;
        done += many_partitions_produce(&client, &many, all_numbers + i, size, sequence);
    }
    end(what, count, done == count);
}

static void verify_all(const char *what, uint32_t sequences)
{
    size_t right = 0;
    begin();
    for (size_t i = 0; i < count; i += REQUEST_PARTITIONS) {
        size_t size = count - i < REQUEST_PARTITIONS ? count - i : REQUEST_PARTITIONS;
        right += many_partitions_verify(&client, &many, all_numbers + i, size, sequences);
    }
    end(what, count, right == count);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One request about one partition that nobody used since the start. */
static void use_cold(bool produces, struct random *random)
{
    double ms[COLD_COUNT];
    bool ok = true;
    for (int i = 0; i < COLD_COUNT; i++) {
        uint32_t number = (uint32_t)(random_u64(random) % count);
        begin();
        ok = ok && (produces ? many_partitions_produce(&client, &many, &number, 1, 1)
                             : many_partitions_verify(&client, &many, &number, 1, 1)) == 1;
        ms[i] = (monotonic_seconds() - since) * 1e3;
    }
    qsort(ms, COLD_COUNT, sizeof *ms, compare_doubles);
    printf("%-44s %10.2f ms median, %.2f ms p99%s\n",
           produces ? "  produce to a cold partition" : "  fetch a cold partition", ms[COLD_COUNT / 2],
           ms[COLD_COUNT * 99 / 100], ok ? "" : "  FAILED");
}

/* Rounds that come so often that each begins 250 ms after the last one's end. */
static void print_retention(void)
{
    static const char *const arguments[] = { "--override", "log.retention.check.interval.ms=250", NULL };
    enum { ROUNDS = 20 };
    restart(arguments);
    pause_ms(ROUNDS * 250 / 2);
    double cpu = process_cpu_seconds(broker_pid());
    pause_ms(ROUNDS * 250);
    printf("%-44s %10.2f ms of CPU (at most, of %d)\n", "one round of retention, nothing to do",
           (process_cpu_seconds(broker_pid()) - cpu) * 1e3 / ROUNDS, ROUNDS);
    stop();
}

static void use(void)
{
    struct random random;
    random_seed(&random, 1);
    memory_before = process_rss_anonymous(broker_pid());
    printf("%-44s %10.1f MiB\n", "own memory, no partition", (double)memory_before / (1 << 20));
    begin();
    check(many_partitions_create(&client, &many));
    end("create", count, true);
    print_memory("  memory, never written");
    print_idle();
    stop();
    end("clean stop, never written", count, true);
    restart(NULL);
    end("start, never written", count, true);
    print_memory("  memory, never written, after a start");
    produce_all("first record of all", 0);
    print_memory("  memory, written once");
    print_idle();
    verify_all("read all", 1);
    print_memory("  memory, read once");
    stop();
    end("clean stop", count, true);
    restart(NULL);
    end("start after a clean stop", count, true);
    print_memory("  memory, after a clean start");
    print_idle();
    use_cold(false, &random);
    use_cold(true, &random);
    wire_close(&client);
    check(broker_process_kill(served.broker) == 137);
    restart(NULL);
    end("start after kill -9, few written", count, true);
    print_memory("  memory, after a recovery");
    produce_all("a record more of all", 1);
    wire_close(&client);
    check(broker_process_kill(served.broker) == 137);
    restart(NULL);
    end("start after kill -9, all written", count, true);
    stop();
    end("clean stop", count, true);
    print_retention();
}

static void leave(void)
{
    restart(NULL);
    begin();
    end("delete", count, many_partitions_delete(&client, &many));
    settle();
    end("  until at rest, unlinked", count, true);
    print_memory("  memory, all deleted");
    stop();
    end("clean stop, empty", count, true);
}

int main(int argc, char **argv)
{
    count = argc > 1 ? strtoul(argv[1], NULL, 10) : COUNT_DEFAULT;
    many.partition_count = count < TOPIC_PARTITIONS ? (int32_t)count : TOPIC_PARTITIONS;
    check(many.partition_count > 0);
    many.topic_count = count / (size_t)many.partition_count;
    count = many_partitions_count(&many);
    all_numbers = check_memory(calloc(count, sizeof *all_numbers));
    for (size_t i = 0; i < count; i++)
        all_numbers[i] = (uint32_t)i;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%zu partitions in %zu topics\n", count, many.topic_count);
    served_start(&served, RUNNEL_BINARY, NULL);
    check(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    use();
    leave();
    temp_dir_destroy(&served.dir);
    return 0;
}
