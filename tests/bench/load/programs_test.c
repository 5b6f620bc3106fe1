/* The load programs against the broker: they print what they say they do, their latencies are plausible, and
 * an error of the broker makes them fail. */
#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/bench/load/program_run.h"
#include "tests/support/served.h"

static struct served served;
static struct program_run run;

static void set_up(void)
{
    static const char *const arguments[] = { "--override", "log.flush.interval.messages=9223372036854775807",
                                             NULL };
    served_start(&served, RUNNEL_BINARY, arguments);
}

static void tear_down(void)
{
    served_stop(&served);
}

/* --- what is expected ---------------------------------------------------------------------------- */

static double number(const char *path)
{
    return json_number(run.text, path);
}

static void expect_result(void)
{
    ck_assert_msg(run.status == 0, "status %d", run.status);
    ck_assert_msg(json_is_object(run.text), "not an object: %s", run.text);
    ck_assert(number("seconds") > 0);
    ck_assert(number("errors") == 0);
}

/* From `least` to 30 s, and in order. */
static void expect_latencies(const char *where, double least_us)
{
    static const char *const names[] = { "p50", "p90", "p99", "p999", "max" };
    double before = least_us;
    char path[64];
    snprintf(path, sizeof path, "%s.count", where);
    ck_assert(number(path) > 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s.%s", where, names[i]);
        ck_assert_msg(number(path) >= before, "%s is %f", path, number(path));
        before = number(path);
    }
    ck_assert(before < 30e6);
}

static void expect_failure(int status)
{
    ck_assert_msg(run.status == status, "status %d", run.status);
    ck_assert_str_eq(run.text, "");
    program_destroy(&run);
}

/* PROGRAM KIND on the test's broker; the rest as printf() has it. */
#define RUN(program, kind, format, ...)                                                                      \
    do {                                                                                                     \
        program_start(&run, "%s/" program " " kind " --bootstrap %s --server-pid %d " format, PROGRAMS,      \
                      served.bootstrap, (int)broker_process_pid(served.broker), __VA_ARGS__);                \
        program_finish(&run);                                                                                \
    } while (0)

/* --- load ---------------------------------------------------------------------------------------- */

START_TEST(what_is_produced_is_fetched)
{
    static const char *const codecs[] = { "none", "gzip", "snappy", "lz4", "zstd" };
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        RUN("load", "produce",
            "--topic t-%s --create --partitions 3 --connections 2 --depth 4 --spread 2 --keys 9 "
            "--idempotent --producers 5 --codec %s --record-size 200 --batch-size 8k --total-size 2MiB "
            "--sample-ms 5",
            codecs[i], codecs[i]);
        expect_result();
        expect_latencies("latency_us", 5);
        double bytes = number("bytes"), records = number("records");
        ck_assert(bytes >= 2 << 20 && bytes < 3 << 20);
        ck_assert(number("server_cpu_s") > 0 && number("rss_mib") > 1);
        program_destroy(&run);
        RUN("load", "fetch", "--topic t-%s --from-start --partitions 3 --connections 2 --total-size %.0f",
            codecs[i], bytes);
        expect_result();
        expect_latencies("latency_us", 5);
        ck_assert_msg(number("bytes") == bytes, "%s: %f fetched", codecs[i], number("bytes"));
        ck_assert(number("records") == records);
        program_destroy(&run);
    }
}
END_TEST

/* One connection, one request at a time, 200 a second; the server stands still for 300 of 600 ms. What was
 * due meanwhile waited, and counts; who counts from the send would see one slow request among many quick
 * ones. */
START_TEST(latency_counts_from_the_time_a_request_was_due)
{
    pid_t server = broker_process_pid(served.broker);
    RUN("load", "produce", "--topic %s --create --seconds 0.1", "due");
    program_destroy(&run);
    program_start(
        &run, "%s/load produce --bootstrap %s --topic due --requests-rate 200 --batch-size 1 --seconds 0.6",
        PROGRAMS, served.bootstrap);
    poll(NULL, 0, 150);
    ck_assert_int_eq(kill(server, SIGSTOP), 0);
    poll(NULL, 0, 300); /* this is what is measured */
    ck_assert_int_eq(kill(server, SIGCONT), 0);
    program_finish(&run);
    expect_result();
    expect_latencies("latency_us", 5);
    ck_assert(number("latency_us.count") == 120);
    ck_assert(number("latency_us.max") >= 200e3);
    ck_assert_msg(number("latency_us.p90") >= 150e3, "p90 %f", number("latency_us.p90"));
    program_destroy(&run);
}
END_TEST

START_TEST(what_had_no_room_is_told)
{
    pid_t server = broker_process_pid(served.broker);
    RUN("load", "produce", "--topic %s --create --seconds 0.1", "late");
    program_destroy(&run);
    program_start(
        &run, "%s/load produce --bootstrap %s --topic late --requests-rate 200 --batch-size 1 --seconds 0.4",
        PROGRAMS, served.bootstrap);
    poll(NULL, 0, 100);
    ck_assert_int_eq(kill(server, SIGSTOP), 0);
    poll(NULL, 0, 600); /* beyond the counted time */
    ck_assert_int_eq(kill(server, SIGCONT), 0);
    program_finish(&run);
    expect_result();
    ck_assert(number("unsent") > 0);
    ck_assert(number("latency_us.count") == 80);
    program_destroy(&run);
}
END_TEST

/* What was due in the counted time arrived at each of so many readers; on a busy machine some of it too late.
 */
static void expect_arrivals(int readers)
{
    double ratio = number("fetch.latency_us.count") / number("produce.latency_us.count") / readers;
    ck_assert_msg(ratio > 0.5 && ratio <= 1, "%f", ratio);
}

START_TEST(tails_follow_producers)
{
    RUN("load", "mixed",
        "--topic %s --create --partitions 4 --connections 2 --fetchers 3 --requests-rate 300 "
        "--batch-size 4k --seconds 0.3",
        "mixed");
    expect_result();
    expect_latencies("produce.latency_us", 5);
    expect_latencies("fetch.latency_us", 5);
    ck_assert(number("requests") == number("produce.requests"));
    expect_arrivals(1);
    program_destroy(&run);
    RUN("load", "fanout",
        "--topic %s --create --connections 5 --requests-rate 200 --batch-size 1 --seconds 0.3", "fan");
    expect_result();
    expect_latencies("fetch.latency_us", 5);
    ck_assert(number("requests") == number("fetch.requests"));
    expect_arrivals(5);
    program_destroy(&run);
    RUN("load", "mixed", "--topic %s --create --codec lz4 --requests-rate 200 --seconds 0.3", "mixed-lz4");
    expect_result();
    expect_latencies("fetch.latency_us", 0); /* compressed batches are stamped to the ms */
    program_destroy(&run);
}
END_TEST

START_TEST(without_answers)
{
    RUN("load", "produce",
        "--topic %s --create --acks 0 --connections 2 --threads 2 --batch-size 1 --seconds 0.2", "a0");
    expect_result();
    ck_assert(number("requests") > 0);
    program_destroy(&run);
}
END_TEST

START_TEST(pings)
{
    static const char *const apis[] = { "api-versions", "produce", "fetch" };
    for (size_t i = 0; i < sizeof apis / sizeof *apis; i++) {
        RUN("load", "ping", "--api %s --topic ping%s --connections 4 --depth 2 --seconds 0.15", apis[i],
            i == 1 ? " --create" : "");
        expect_result();
        expect_latencies("latency_us", 5);
        program_destroy(&run);
    }
}
END_TEST

START_TEST(idle_connections)
{
    RUN("load", "idle", "--connections %d --seconds 0.1", 100);
    expect_result();
    ck_assert(number("connections") == 100);
    ck_assert(number("rss_open_mib") >= 1);
    program_destroy(&run);
}
END_TEST

START_TEST(errors_fail)
{
    RUN("load", "produce",
        "--topic %s --create --batch-size 64k --topic-set max.message.bytes=1000 --seconds 0.2 "
        "2>/dev/null",
        "small"); /* MESSAGE_TOO_LARGE */
    expect_failure(1);
    RUN("load", "produce", "--topic %s --create 2>/dev/null", "small"); /* exists */
    expect_failure(1);
    RUN("load", "produce", "--topic %s --partitions 2 2>/dev/null", "small"); /* has one */
    expect_failure(1);
    RUN("load", "produce", "--%s 2>/dev/null", "nonsense");
    expect_failure(2);
    program_start(&run, "%s/load produce --bootstrap %s --topic gone --create --seconds 20 2>/dev/null",
                  PROGRAMS, served.bootstrap);
    poll(NULL, 0, 200);
    ck_assert_int_eq(broker_process_kill(served.broker), 137);
    program_finish(&run);
    expect_failure(1);
    served_restart(&served, RUNNEL_BINARY, NULL);
}
END_TEST

/* --- librdkafka_load ----------------------------------------------------------------------------- */

START_TEST(librdkafka_produces_and_consumes)
{
    RUN("librdkafka_load", "produce",
        "--topic %s --create --partitions 2 --total-size 3MiB --codec lz4 --acks all "
        "--idempotent --linger-ms 1 --set queue.buffering.max.messages=1000",
        "rd");
    expect_result();
    expect_latencies("latency_us", 5);
    ck_assert(number("bytes") == 3 << 20);
    program_destroy(&run);
    RUN("librdkafka_load", "consume", "--topic %s --partitions 2", "rd");
    expect_result();
    ck_assert(number("bytes") == 3 << 20);
    program_destroy(&run);
    RUN("librdkafka_load", "produce", "--topic %s --partitions 2 --rate 1 --seconds 0.3", "rd");
    expect_result();
    expect_latencies("latency_us", 5);
    program_destroy(&run);
    RUN("librdkafka_load", "produce",
        "--topic %s --create --record-size 10k --topic-set max.message.bytes=1000 "
        "2>/dev/null",
        "rd-small");
    expect_failure(1);
}
END_TEST

/* --- limits -------------------------------------------------------------------------------------- */

static const char *const limits[] = {
    "pump --total-size 16MiB --connections 2",
    "pump --total-size 16MiB --connections 2 --directory %s",
    "sendmsg --total-size 16MiB --size 1MiB --connections 2 --directory %s",
    "pwritev --total-size 16MiB --size 16k --connections 2 --directory %s",
    "fdatasync --rate 100 --size 4k --seconds 0.1 --directory %s",
    "crc --size 16k --seconds 0.05",
    "compress --codec zstd --seconds 0.05",
    "decompress --codec snappy --seconds 0.05",
    "warm --total-size 16MiB",
    "warm --total-size 16MiB --directory %s",
};

START_TEST(limits_are_measured)
{
    char words[TEMP_DIR_PATH_SIZE + 128];
    snprintf(words, sizeof words, "%.*s%s", (int)strcspn(limits[_i], "%"), limits[_i],
             strchr(limits[_i], '%') ? served.dir.path : "");
    program_start(&run, "%s/limits %s", PROGRAMS, words);
    program_finish(&run);
    expect_result();
    ck_assert_msg(number("bytes") > 0 && number("mib_s") > 0 && number("server_cpu_s") > 0, "%s", words);
    if (strncmp(words, "fdatasync", 9) == 0)
        expect_latencies("latency_us", 1);
    program_destroy(&run);
}
END_TEST

START_TEST(a_limit_that_cannot_be_measured_fails)
{
    program_start(&run, "%s/limits pwritev --directory /nowhere 2>/dev/null", PROGRAMS);
    program_finish(&run);
    expect_failure(1);
    program_start(&run, "%s/limits pwritev 2>/dev/null", PROGRAMS);
    program_finish(&run);
    expect_failure(2);
}
END_TEST

static void end_server(struct program_run *server)
{
    ck_assert_int_eq(kill(server->pid, SIGTERM), 0);
    program_finish(server);
    ck_assert_int_eq(server->status, 0);
    program_destroy(server);
}

START_TEST(the_sink_takes_what_is_produced)
{
    static const char *const clients[] = {
        "load produce --idempotent --connections 2 --partitions 3 --spread 2 --depth 4 --codec lz4 --seconds "
        "0.2",
        "load produce --acks 0 --partitions 3 --batch-size 300k --seconds 0.1",
        "load ping --seconds 0.1",
        "librdkafka_load produce --partitions 3 --idempotent --total-size 3MiB",
    };
    struct program_run sink;
    program_start(&sink, "%s/limits sink --partitions 3", PROGRAMS);
    const char *address = program_line(&sink);
    for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
        program_start(&run, "%s/%s --bootstrap %s --server-pid %d", PROGRAMS, clients[i], address,
                      (int)sink.pid);
        program_finish(&run);
        expect_result();
        ck_assert_msg(number("requests") > 0 && number("server_cpu_s") > 0, "%s", clients[i]);
        program_destroy(&run);
    }
    end_server(&sink);
}
END_TEST

/* Bytes in files that a process has open and that have no name any more; what it prints is among them. */
static long long nameless_bytes(pid_t pid)
{
    long long total = 0;
    for (int i = 0; i < 64; i++) {
        char path[64];
        struct stat about;
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, i);
        if (stat(path, &about) == 0 && S_ISREG(about.st_mode) && about.st_nlink == 0)
            total += about.st_size;
    }
    return total;
}

START_TEST(a_sink_with_a_directory_writes)
{
    const struct {
        const char *options;
        long long least, most;
    } sinks[] = { { "--directory /tmp", 3 << 20, 4 << 20 }, { "", 0, 4096 } };
    struct program_run sink;
    program_start(&sink, "%s/limits sink --partitions 3 %s", PROGRAMS, sinks[_i].options);
    program_start(&run, "%s/load produce --partitions 3 --total-size 3MiB --warmup 0 --bootstrap %s", PROGRAMS,
                  program_line(&sink));
    program_finish(&run);
    expect_result();
    long long written = nameless_bytes(sink.pid);
    ck_assert_msg(written >= sinks[_i].least && written <= sinks[_i].most, "%lld bytes were written", written);
    program_destroy(&run);
    end_server(&sink);
}
END_TEST

START_TEST(the_echo_answers)
{
    struct program_run echo;
    program_start(&echo, "%s/limits echo --listen 127.0.0.1:0", PROGRAMS);
    const char *address = program_line(&echo);
    program_start(
        &run,
        "%s/load ping --api echo --record-size 200 --connections 4 --depth 4 --bootstrap %s --seconds 0.1",
        PROGRAMS, address);
    program_finish(&run);
    expect_result();
    expect_latencies("latency_us", 1);
    program_destroy(&run);
    end_server(&echo);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load programs");
    TCase *tests = tcase_create("programs");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_is_produced_is_fetched);
    tcase_add_test(tests, latency_counts_from_the_time_a_request_was_due);
    tcase_add_test(tests, what_had_no_room_is_told);
    tcase_add_test(tests, tails_follow_producers);
    tcase_add_test(tests, without_answers);
    tcase_add_test(tests, pings);
    tcase_add_test(tests, idle_connections);
    tcase_add_test(tests, errors_fail);
    tcase_add_test(tests, librdkafka_produces_and_consumes);
    tcase_add_loop_test(tests, limits_are_measured, 0, sizeof limits / sizeof *limits);
    tcase_add_test(tests, a_limit_that_cannot_be_measured_fails);
    tcase_add_test(tests, the_sink_takes_what_is_produced);
    tcase_add_loop_test(tests, a_sink_with_a_directory_writes, 0, 2);
    tcase_add_test(tests, the_echo_answers);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
