/* After a busy time the broker gives its memory back and then sleeps: no timer, no wake-up. */
#include "tests/support/load.h"
#include "tests/support/served.h"
#include "tests/support/wire_client.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>

#define MIB ((uint64_t)1 << 20)

enum {
    CONNECTIONS = 100,
    DEADLINE_S = 40,
    WINDOW_MS = 1500, /* longer than any period that the broker might have */
};

/* A sanitizer's own memory is no measure for ours; mapped files are, in every build. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool own_memory_counts = false;
#else
static const bool own_memory_counts = true;
#endif

/* ThreadSanitizer has a thread of its own that wakes ten times a second. */
#if defined(__SANITIZE_THREAD__)
static const bool wakeups_count = false;
#else
static const bool wakeups_count = true;
#endif

static struct served served;

static void set_up(void)
{
    static const char *const arguments[] = { "--override", "num.partitions=4", NULL };
    served_start(&served, RUNNEL_BINARY, arguments);
}

static void tear_down(void)
{
    served_stop(&served);
}

static void wait_ms(int ms)
{
    poll(NULL, 0, ms);
}

static void keep_it_busy(uint64_t size, size_t batch_size)
{
    const char *topic = served_topic("idle");
    struct wire_client clients[CONNECTIONS];
    struct load_options load = { .address = served.bootstrap, .topic = topic, .connections = 4, .depth = 4,
                                 .record_size = 1000, .batch_size = batch_size, .acks = 1, .total_size = size,
                                 .fetch_size = MIB };
    load_make_topic(served.bootstrap, topic);
    for (int i = 0; i < CONNECTIONS; i++)
        ck_assert(wire_connect(&clients[i], served.bootstrap, 10000));
    ck_assert_uint_ge(load_produce(&load).size, size);
    ck_assert_uint_ge(load_fetch(&load).size, size);
    for (int i = 0; i < CONNECTIONS; i++)
        wire_close(&clients[i]);
}

static const size_t batch_sizes[] = { 16 * 1024, 1000 * 1000 };

START_TEST(memory_comes_back)
{
    if (served_is_foreign(&served))
        return;
    pid_t pid = broker_process_pid(served.broker);
    uint64_t files_before = process_rss_file(pid), own_before = process_rss_anonymous(pid);
    keep_it_busy(96 * MIB, batch_sizes[_i]);
    double until = monotonic_seconds() + DEADLINE_S;
    for (;;) {
        uint64_t files = process_rss_file(pid), own = process_rss_anonymous(pid);
        if (files < files_before + 4 * MIB && (!own_memory_counts || own < own_before + 2 * MIB))
            break;
        ck_assert_msg(monotonic_seconds() < until, "still %.1f MB mapped (%.1f before), %.1f MB own (%.1f before)",
                      (double)files / 1e6, (double)files_before / 1e6, (double)own / 1e6, (double)own_before / 1e6);
        wait_ms(50);
    }
    keep_it_busy(8 * MIB, 16 * 1024); /* what was given back is found again */
}
END_TEST

START_TEST(an_idle_broker_sleeps)
{
    if (served_is_foreign(&served))
        return;
    pid_t pid = broker_process_pid(served.broker);
    keep_it_busy(8 * MIB, 64 * 1024);
    double until = monotonic_seconds() + DEADLINE_S;
    for (;;) {
        uint64_t before = process_wakeups(pid);
        wait_ms(WINDOW_MS); /* this is what is measured: nothing happens in it */
        uint64_t count = process_wakeups(pid) - before;
        if (count == 0)
            break;
        ck_assert_msg(monotonic_seconds() < until, "%llu wake-ups in %d ms", (unsigned long long)count, WINDOW_MS);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("idle");
    TCase *tests = tcase_create("after a busy time");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, memory_comes_back, 0, sizeof batch_sizes / sizeof *batch_sizes);
    if (wakeups_count)
        tcase_add_test(tests, an_idle_broker_sleeps);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
