/* Descriptors run short: appends and fetches wait for them in a line, in which no worker waits with them;
 * what is closed wakes them, and a stop does not wait for them. */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "protocol/base/check.h"
#include "protocol/errors.h"
#include "tests/support/load.h"
#include "tests/support/one_partition.h"
#include "tests/support/served.h"
#include "tests/support/suite.h"
#include "tests/support/topic_client.h"
#include "tests/support/wire_client.h"

enum {
    DESCRIPTORS = 160, /* of which half are for logs: 16 logs' files and their next segments' */
    PARTITIONS = 60,
    ROUNDS = 4,
    WRITERS = 6,
    VALUE_SIZE = 300000, /* four to a segment of a mebibyte */
    TIMEOUT_MS = 60000,
    WAIT_MS = 8000,
    CONNECTIONS = 24,
    DESCRIPTORS_MAX = 4096,
};

static struct served served;

static int16_t produce(struct wire_client *client, int32_t partition, size_t value_size, int32_t timeout_ms)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    static const uint8_t value[VALUE_SIZE];
    struct one_produce one;
    struct produce_response response;
    struct batch_view batch;
    struct arena arena;
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    ck_assert(batch_builder_add(builder, 1700000000000, SLICE_NULL, slice_of(value, value_size), NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    one_produce(&one, "many", partition, batch_bytes(&batch));
    one.request.timeout_ms = timeout_ms;
    bool ok = wire_call(client, 0, 9, &one.request, &response);
    arena_destroy(&arena);
    return ok ? response.topics[0].partitions[0].error_code : -1;
}

static int16_t fetch(struct wire_client *client, int32_t partition, int64_t offset, size_t *size)
{
    struct one_fetch one;
    struct fetch_response response;
    one_fetch(&one, "many", partition, offset);
    if (!wire_call(client, 1, 11, &one.request, &response))
        return -1;
    *size = response.topics[0].partitions[0].records.bytes.size;
    return response.topics[0].partitions[0].error_code;
}

static void begin(struct wire_client *client, int descriptors)
{
    static const char *const arguments[] = { "--override", "log.segment.bytes=1048576", "--override",
                                             "num.network.threads=2", NULL };
    const char *const topic = "many";
    struct rlimit before, few;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){ .rlim_cur = (rlim_t)descriptors, .rlim_max = (rlim_t)descriptors };
    if (descriptors > 0)
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0); /* the broker inherits it */
    served_start(&served, RUNNEL_BINARY, arguments);
    ck_assert(wire_connect(client, served.bootstrap, TIMEOUT_MS));
    ck_assert_int_eq(topic_client_create(client, &topic, 1, PARTITIONS), ERR_NONE);
}

/* --- more logs are written and read at once than may be open ------------------------------------------ */

struct turn_taker {
    pthread_t thread;
    struct wire_client client;
    int number;
    double worst_ms;
    int failed;
};

/* Its own partitions, one after the other, so that nobody's files stay open: each round is a roll every
 * fourth. */
static void *write_all(void *context)
{
    struct turn_taker *writer = context;
    for (int round = 0; round < ROUNDS; round++) {
        for (int32_t partition = writer->number; partition < PARTITIONS; partition += WRITERS) {
            double before = monotonic_seconds();
            int16_t error_code = produce(&writer->client, partition, VALUE_SIZE, TIMEOUT_MS);
            double ms = (monotonic_seconds() - before) * 1000;
            writer->worst_ms = ms > writer->worst_ms ? ms : writer->worst_ms;
            writer->failed += error_code != ERR_NONE;
            size_t size = 0;
            error_code = fetch(&writer->client, partition, round, &size);
            writer->failed += error_code != ERR_NONE || size < VALUE_SIZE;
        }
    }
    return NULL;
}

START_TEST(all_have_their_turn)
{
    struct turn_taker writers[WRITERS] = { 0 };
    struct wire_client client;
    begin(&client, DESCRIPTORS);
    for (int i = 0; i < WRITERS; i++) {
        writers[i].number = i;
        ck_assert(wire_connect(&writers[i].client, served.bootstrap, TIMEOUT_MS));
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]), 0);
    }
    double worst_ms = 0;
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        wire_close(&writers[i].client);
        ck_assert_msg(writers[i].failed == 0, "writer %d: %d failed", i, writers[i].failed);
        worst_ms = writers[i].worst_ms > worst_ms ? writers[i].worst_ms : worst_ms;
    }
    printf("%d appends and reads with %d descriptors, the slowest append took %.0f ms\n", PARTITIONS * ROUNDS,
           DESCRIPTORS, worst_ms);
    wire_close(&client);
    served_stop(&served);
}
END_TEST

/* --- none at all ------------------------------------------------------------------------------------- */

static rlim_t lowest_unused(pid_t pid)
{
    char path[64];
    struct stat info;
    rlim_t lowest = 0;
    do
        snprintf(path, sizeof path, "/proc/%d/fd/%u", (int)pid, (unsigned)lowest);
    while (lstat(path, &info) == 0 && ++lowest < DESCRIPTORS_MAX);
    return lowest;
}

struct waiting {
    pthread_t thread;
    struct wire_client client;
    int32_t partition;
    int16_t error_code;
    atomic_bool is_over;
};

static void *append_and_wait(void *context)
{
    struct waiting *waiting = context;
    waiting->error_code = produce(&waiting->client, waiting->partition, 100, WAIT_MS);
    atomic_store(&waiting->is_over, true);
    return NULL;
}

/* Brings it about that five appends wait (more than there are workers), and nothing else does. */
static void exhaust(struct wire_client *client, struct wire_client others[CONNECTIONS],
                    struct waiting waiting[5])
{
    struct rlimit limit;
    begin(client, 0);
    pid_t pid = broker_process_pid(served.broker);
    ck_assert_int_eq(produce(client, 0, 100, TIMEOUT_MS), ERR_NONE);
    for (int i = 0; i < CONNECTIONS; i++) {
        ck_assert(wire_connect(&others[i], served.bootstrap, TIMEOUT_MS));
        ck_assert_int_ge(topic_client_count(&others[i]), 1);
    }
    for (int i = 0; i < 5; i++)
        ck_assert(wire_connect(&waiting[i].client, served.bootstrap, TIMEOUT_MS));
    for (int i = 0; i < 5; i++)
        ck_assert_int_ge(topic_client_count(&waiting[i].client), 1);
    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = lowest_unused(pid);
    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
    for (int i = 0; i < 5; i++) {
        waiting[i].partition = 1 + i;
        atomic_store(&waiting[i].is_over, false);
        ck_assert_int_eq(pthread_create(&waiting[i].thread, NULL, append_and_wait, &waiting[i]), 0);
    }
    /* Who needs none does not notice. */
    double worst_ms = 0, until = monotonic_seconds() + 0.5;
    while (monotonic_seconds() < until) {
        size_t size = 0;
        double before = monotonic_seconds();
        ck_assert_int_eq(produce(client, 0, 100, TIMEOUT_MS), ERR_NONE);
        ck_assert_int_eq(fetch(client, 0, 0, &size), ERR_NONE);
        double ms = (monotonic_seconds() - before) * 1000;
        worst_ms = ms > worst_ms ? ms : worst_ms;
        poll(NULL, 0, 5);
    }
    printf("beside five appends that wait, an append and a read took %.0f ms at worst\n", worst_ms);
    ck_assert_msg(worst_ms < 1000, "it took %.0f ms", worst_ms);
    for (int i = 0; i < 5; i++)
        ck_assert_msg(!atomic_load(&waiting[i].is_over), "one that waits was answered with %d",
                      waiting[i].error_code);
}

START_TEST(closed_connections_let_them_go_on)
{
    struct wire_client client, others[CONNECTIONS];
    struct waiting waiting[5] = { 0 };
    exhaust(&client, others, waiting);
    double before = monotonic_seconds();
    for (int i = 0; i < CONNECTIONS; i++)
        wire_close(&others[i]);
    int served_count = 0;
    while (served_count < 4 &&
           monotonic_seconds() < before + WAIT_MS / 2000.0) { /* a fifth's may be too many */
        poll(NULL, 0, 1);
        served_count = 0;
        for (int i = 0; i < 5; i++)
            served_count += atomic_load(&waiting[i].is_over) && waiting[i].error_code == ERR_NONE;
    }
    printf("on after %.0f ms\n", (monotonic_seconds() - before) * 1000);
    ck_assert_int_ge(served_count, 4);
    wire_close(&client);
    for (int i = 0; i < 5; i++) {
        pthread_join(waiting[i].thread, NULL);
        wire_close(&waiting[i].client);
    }
    served_stop(&served);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_descriptors)
{
    struct wire_client client, others[CONNECTIONS];
    struct waiting waiting[5] = { 0 };
    exhaust(&client, others, waiting);
    double before = monotonic_seconds();
    (void)broker_process_stop(
        served.broker); /* whether it is a clean one without descriptors is not asked here */
    double ms = (monotonic_seconds() - before) * 1000;
    printf("stopped after %.0f ms\n", ms);
    ck_assert_msg(ms < WAIT_MS / 2, "stopped after %.0f ms", ms);
    for (int i = 0; i < 5; i++) {
        pthread_join(waiting[i].thread, NULL);
        wire_close(&waiting[i].client);
    }
    for (int i = 0; i < CONNECTIONS; i++)
        wire_close(&others[i]);
    wire_close(&client);
    served_restart(&served, RUNNEL_BINARY, NULL);
    served_stop(&served);
}
END_TEST

int main(void)
{
    if (getenv("RUNNEL_TEST_BOOTSTRAP")) {
        puts("skipped: it limits a broker of its own");
        return EXIT_SKIPPED;
    }
    Suite *suite = suite_create("descriptors");
    TCase *tests = tcase_create("short");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, all_have_their_turn);
    tcase_add_test(tests, closed_connections_let_them_go_on);
    tcase_add_test(tests, a_stop_does_not_wait_for_descriptors);
    suite_add_tcase(suite, tests);
    return suite_run(suite) == 0 ? 0 : 1;
}
