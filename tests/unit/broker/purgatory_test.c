/* No wake-up is lost: threads raise values while requests on other threads begin to watch them. Real
 * loops, real sockets, with handlers of this test; also run under ThreadSanitizer. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/handlers/handlers.h"
#include "broker/server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

enum { PARTITIONS = 6, ROUNDS = 3000, KEY_FETCH = 1 };

/* A watched thing: value is its high watermark. */
struct probe {
    struct partition *partition;
    _Atomic int64_t value;
    _Atomic int64_t asked; /* the value that its client waits for */
};

static struct probe probes[PARTITIONS];
static struct server *server;

/* -- handlers: Fetch waits until a value is there ------------------------------------------------ */

struct wanted {
    struct probe *probe;
    int64_t value;
};

static enum handled look(struct request *rq, enum wake why)
{
    (void)why;
    const struct wanted *wanted = rq->state;
    return atomic_load_explicit(&wanted->probe->value, memory_order_acquire) >= wanted->value ? HANDLED_DONE
                                                                                              : HANDLED_WAIT;
}

enum handled handle_fetch(struct request *rq, const struct fetch_request *in, struct fetch_response *out)
{
    (void)out;
    struct wanted *wanted = arena_alloc(&rq->arena, sizeof *wanted);
    ck_assert_ptr_nonnull(wanted);
    *wanted = (struct wanted){ &probes[in->min_bytes], in->max_wait_ms };
    rq->state = wanted;
    rq->resume = look;
    ck_assert(rq_watch(rq, wanted->probe->partition));
    ck_assert(rq_watch(rq, probes[(in->min_bytes + 1) % PARTITIONS].partition)); /* one that others raise */
    return look(rq, WAKE_PROGRESS);
}

/* -- threads ------------------------------------------------------------------------------------- */

/* Raises the value as soon as its client has begun to ask for it: the loop is then anywhere between
 * reading the request and watching. */
static void *raise_values(void *context)
{
    struct probe *probe = context;
    struct partition *moved = probe->partition;
    for (int64_t value = 1; value <= ROUNDS; value++) {
        while (atomic_load(&probe->asked) < value)
            sched_yield();
        for (unsigned i = 0; i < (unsigned)value % 64 * 8; i++)
            atomic_signal_fence(memory_order_seq_cst); /* a little later each time */
        atomic_store_explicit(&probe->value, value, memory_order_release);
        server_partition_progress(server, &moved, 1);
    }
    return NULL;
}

static void *ask_for_values(void *context)
{
    struct probe *probe = context;
    struct wire_client wire;
    ck_assert(wire_connect(&wire, server_address(server, 0), 60000));
    for (int64_t value = 1; value <= ROUNDS; value++) {
        struct fetch_request request;
        struct fetch_response response;
        fetch_request_init(&request);
        request.min_bytes = (int32_t)(probe - probes);
        request.max_wait_ms = (int32_t)value;
        atomic_store(&probe->asked, value);
        ck_assert(wire_call(&wire, KEY_FETCH, 4, &request, &response));
        ck_assert_int_ge(atomic_load(&probe->value), value);
    }
    wire_close(&wire);
    return NULL;
}

static void *serve(void *context)
{
    return (void *)(intptr_t)server_run(context);
}

START_TEST(no_wake_up_is_lost)
{
    struct temp_dir dir;
    char settings[TEMP_DIR_PATH_SIZE + 200];
    temp_dir_create(&dir);
    snprintf(settings, sizeof settings,
             "log.dirs=%s/data\nlisteners=PLAINTEXT://127.0.0.1:0\nnum.network.threads=3\n", dir.path);
    struct config_report report = { 0 };
    struct config_sources sources = { .file = "test.properties", .cpu_count = 1 };
    struct config *config = config_load_text(&sources, slice_of_string(settings), &report);
    ck_assert_ptr_nonnull(config);
    struct file_system *files = file_posix_create(4);
    const struct server_options options = {
        .config = config, .files = files, .clock = clock_real(), .threaded = true
    };
    const char *error = NULL;
    ck_assert_int_eq(server_open(&options, &server, &error), EXIT_OK);

    pthread_t serving, raisers[PARTITIONS], askers[PARTITIONS];
    ck_assert_int_eq(pthread_create(&serving, NULL, serve, server), 0);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        probes[i].partition = partition_create(server->retire, UUID_ZERO, i);
        ck_assert_ptr_nonnull(probes[i].partition);
    }
    for (int32_t i = 0; i < PARTITIONS; i++) {
        ck_assert_int_eq(pthread_create(&raisers[i], NULL, raise_values, &probes[i]), 0);
        ck_assert_int_eq(pthread_create(&askers[i], NULL, ask_for_values, &probes[i]), 0);
    }
    for (int i = 0; i < PARTITIONS; i++) {
        pthread_join(raisers[i], NULL);
        pthread_join(askers[i], NULL);
    }
    void *code;
    server_stop(server);
    pthread_join(serving, &code);
    ck_assert_int_eq((intptr_t)code, EXIT_OK);
    server_close(server);
    for (int i = 0; i < PARTITIONS; i++)
        partition_destroy(probes[i].partition);
    file_posix_destroy(files);
    config_destroy(config);
    config_report_destroy(&report);
    temp_dir_destroy(&dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("purgatory");
    TCase *tcase = tcase_create("wake-ups");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, no_wake_up_is_lost);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
