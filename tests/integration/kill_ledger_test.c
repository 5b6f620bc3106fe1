/* Kills the broker at random moments with requests in flight: what was acknowledged is found again, all of it. */
#include "tests/support/kafka_client.h"
#include "tests/support/ledger.h"
#include "tests/support/ledger_reading.h"
#include "tests/support/served.h"

#include "protocol/base/clock.h"
#include "protocol/base/random.h"

#include <check.h>
#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PRODUCERS = 6, /* four with acks=all, two with acks=1 */
    PARTITIONS = 8,
    ROUNDS = 50,
    FULL_READING_EVERY = 10,
    ACKNOWLEDGED_MAX = 2000, /* a round, before the kill */
    FIRST_ACK_MS = 30000,
};

static const char topic[] = "ledger";
static const char *const codecs[] = { "none", "gzip", "snappy", "lz4", "zstd" };
static const char *const arguments[] = { "--override", "num.partitions=8", "--override",
                                         "log.segment.bytes=1048576", NULL };

struct run {
    uint64_t seed;
    struct random random;
    struct served served;
    struct ledger *ledger;
    int64_t sequences[PRODUCERS];         /* of the next record, over all rounds */
    int64_t verified_to[PARTITIONS];      /* offsets below have been judged */
    int64_t restart_ms[ROUNDS + 2];
    int restarts;
    pthread_mutex_t lock;
    pthread_cond_t acknowledgement;
    int64_t round_acknowledged; /* under lock */
    atomic_bool stop;
};

struct producer {
    struct run *run;
    int number;
    pthread_t thread;
    atomic_int unacknowledged;
};

static void reported(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct producer *producer = opaque;
    struct run *run = producer->run;
    (void)client;
    atomic_fetch_sub(&producer->unacknowledged, 1);
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return; /* its outcome is open: it may be in the log, or not */
    ledger_acknowledge(run->ledger, message->partition, message->offset,
                       (struct ledger_id){ producer->number, (int64_t)(uintptr_t)message->_private });
    pthread_mutex_lock(&run->lock);
    run->round_acknowledged++;
    pthread_cond_signal(&run->acknowledgement);
    pthread_mutex_unlock(&run->lock);
}

static bool send_next(struct producer *producer, rd_kafka_t *client, struct random *random)
{
    uint8_t value[LEDGER_VALUE_MAX];
    struct run *run = producer->run;
    int64_t sequence = run->sequences[producer->number];
    size_t size = ledger_value(run->seed, (struct ledger_id){ producer->number, sequence }, value);
    rd_kafka_resp_err_t error = rd_kafka_producev(
        client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION((int32_t)random_below(random, PARTITIONS)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(value, size),
        RD_KAFKA_V_OPAQUE((void *)(uintptr_t)sequence), RD_KAFKA_V_END);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    atomic_fetch_add(&producer->unacknowledged, 1);
    run->sequences[producer->number]++;
    return true;
}

static void *produce(void *argument)
{
    struct producer *producer = argument;
    struct run *run = producer->run;
    const char *settings[] = { "acks",        producer->number < 4 ? "all" : "1",
                               "retries",     "0",
                               "linger.ms",   "1",
                               "compression.type", codecs[producer->number % 5],
                               "queue.buffering.max.messages", "500",
                               "batch.num.messages", "50",
                               NULL };
    rd_kafka_t *client = client_create_reporting(run->served.bootstrap, settings, reported, producer);
    struct random random;
    random_seed(&random, run->seed + (uint64_t)run->sequences[producer->number] * PRODUCERS +
                             (uint64_t)producer->number);
    while (!atomic_load(&run->stop))
        rd_kafka_poll(client, send_next(producer, client, &random) ? 0 : 5);
    rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    client_flush(client);
    rd_kafka_destroy(client);
    return NULL;
}

/* Waits until so many were acknowledged; the wait for the first one bounds it. */
static bool wait_acknowledged(struct run *run, int64_t count)
{
    struct timespec deadline;
    int64_t at_ms = clock_wall_ms(clock_real()) + FIRST_ACK_MS;
    deadline.tv_sec = at_ms / 1000;
    deadline.tv_nsec = at_ms % 1000 * 1000000;
    pthread_mutex_lock(&run->lock);
    while (run->round_acknowledged < count &&
           pthread_cond_timedwait(&run->acknowledgement, &run->lock, &deadline) == 0)
        ;
    bool reached = run->round_acknowledged >= count;
    pthread_mutex_unlock(&run->lock);
    return reached;
}

static void start_broker(struct run *run)
{
    int64_t before = clock_mono_ms(clock_real());
    served_restart(&run->served, RUNNEL_BINARY, arguments);
    run->restart_ms[run->restarts++] = clock_mono_ms(clock_real()) - before;
}

/* A start that is itself cut short, somewhere between exec and ready. */
static void kill_in_recovery(struct run *run)
{
    struct broker_process *broker = broker_process_spawn(RUNNEL_BINARY, run->served.data_dir, arguments);
    broker_process_ended(broker, (int)random_below(&run->random, 12));
    ck_assert_int_eq(broker_process_kill(broker), 128 + 9);
}

/* Lets the producers run until a random number of acknowledgements and a little more; then the kill. */
static void produce_and_kill(struct run *run, int round)
{
    struct producer producers[PRODUCERS] = { 0 };
    int64_t target = 1 + (int64_t)random_below(&run->random, ACKNOWLEDGED_MAX);
    int unacknowledged = 0;

    atomic_store(&run->stop, false);
    run->round_acknowledged = 0;
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i].run = run;
        producers[i].number = i;
        ck_assert_int_eq(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    ck_assert_msg(wait_acknowledged(run, target), "round %d: too few acknowledgements", round);
    ck_assert_msg(!broker_process_ended(run->served.broker, (int)random_below(&run->random, 20)),
                  "round %d: the broker ended by itself", round);
    for (int i = 0; i < PRODUCERS; i++)
        unacknowledged += atomic_load(&producers[i].unacknowledged);
    ck_assert_int_eq(broker_process_kill(run->served.broker), 128 + 9);
    atomic_store(&run->stop, true);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i].thread, NULL);
    ck_assert_int_gt(run->round_acknowledged, 0);
    ck_assert_int_gt(unacknowledged, 0);
}

/* Judges every partition from the beginning, or from where it was judged before. */
static struct ledger_verdict read_back(struct run *run, bool from_beginning)
{
    if (from_beginning)
        memset(run->verified_to, 0, sizeof run->verified_to);
    return ledger_read_back(run->ledger, run->served.bootstrap, topic, PARTITIONS, run->verified_to);
}

static void expect_all(const struct ledger_verdict *verdict, int round)
{
    ck_assert_msg(verdict->lost == 0 && verdict->corrupt == 0 && verdict->duplicates == 0 &&
                      verdict->disordered == 0 && verdict->gaps == 0,
                  "round %d: lost %" PRId64 " corrupt %" PRId64 " duplicates %" PRId64 " disordered %" PRId64
                  " gaps %" PRId64 " of %" PRId64 " records",
                  round, verdict->lost, verdict->corrupt, verdict->duplicates, verdict->disordered,
                  verdict->gaps, verdict->records);
}

/* Segments of all partitions of the topic. */
static int count_segments(const struct run *run)
{
    int count = 0;
    for (int p = 0; p < PARTITIONS; p++) {
        char path[TEMP_DIR_PATH_SIZE + 64];
        snprintf(path, sizeof path, "%s/%s-%d", run->served.data_dir, topic, p);
        DIR *dir = opendir(path);
        if (!dir)
            continue;
        for (struct dirent *entry; (entry = readdir(dir));) {
            size_t size = strlen(entry->d_name);
            count += size == 24 && strcmp(entry->d_name + 20, ".log") == 0;
        }
        closedir(dir);
    }
    return count;
}

static int compare_ms(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static uint64_t seed_of_run(void)
{
    uint64_t seed;
    const char *given = getenv("RUNNEL_SEED");
    if (given && *given)
        return strtoull(given, NULL, 0);
    random_secure(&seed, sizeof seed);
    return seed;
}

static void run_begin(struct run *run)
{
    char path[TEMP_DIR_PATH_SIZE + 16];
    run->seed = seed_of_run();
    printf("seed: RUNNEL_SEED=%" PRIu64 "\n", run->seed);
    fflush(stdout);
    random_seed(&run->random, run->seed);
    pthread_mutex_init(&run->lock, NULL);
    pthread_cond_init(&run->acknowledgement, NULL);
    int64_t before = clock_mono_ms(clock_real());
    served_start(&run->served, RUNNEL_BINARY, arguments);
    run->restart_ms[run->restarts++] = clock_mono_ms(clock_real()) - before;
    snprintf(path, sizeof path, "%s/ledger", run->served.dir.path);
    run->ledger = ledger_create(path, run->seed);
}

static void run_end(struct run *run)
{
    ledger_destroy(run->ledger);
    served_stop(&run->served);
    pthread_cond_destroy(&run->acknowledgement);
    pthread_mutex_destroy(&run->lock);
}

static int rounds_of_run(void)
{
    const char *given = getenv("RUNNEL_ROUNDS");
    int rounds = given && *given ? atoi(given) : ROUNDS;
    return rounds > 0 && rounds <= ROUNDS ? rounds : ROUNDS;
}

START_TEST(no_acknowledged_record_is_lost)
{
    static struct run run;
    struct ledger_verdict verdict = { 0 };
    int rounds = rounds_of_run(), segments = PARTITIONS;

    run_begin(&run);
    for (int round = 1; round <= rounds; round++) {
        produce_and_kill(&run, round);
        if (round % 4 == 0)
            kill_in_recovery(&run);
        start_broker(&run);
        bool full = round == rounds || round % FULL_READING_EVERY == 0;
        verdict = read_back(&run, full);
        expect_all(&verdict, round);
        if (round % 10 == 0) {
            int now = count_segments(&run);
            ck_assert_msg(now > segments, "no segment was rolled in ten rounds up to round %d", round);
            segments = now;
        }
    }
    ck_assert_int_eq(verdict.acknowledged, ledger_acknowledged(run.ledger));
    qsort(run.restart_ms, (size_t)run.restarts, sizeof *run.restart_ms, compare_ms);
    printf("rounds %d, acknowledged %" PRId64 ", in the log %" PRId64 ", lost %" PRId64 ", duplicates %" PRId64
           ", segments %d, start after the kill p50 %" PRId64 " ms, worst %" PRId64 " ms\n",
           rounds, verdict.acknowledged, verdict.records, verdict.lost, verdict.duplicates, segments,
           run.restart_ms[run.restarts / 2], run.restart_ms[run.restarts - 1]);
    run_end(&run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kill -9 and the ledger");
    TCase *tests = tcase_create("ledger");
    tcase_set_timeout(tests, 280);
    tcase_add_test(tests, no_acknowledged_record_is_lost);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
