/* librdkafka's idempotent producers over kills and restarts of the broker: every record is there, each once.
 */
#include "tests/support/kafka_client.h"
#include "tests/support/ledger.h"
#include "tests/support/ledger_reading.h"
#include "tests/support/served.h"

#include "protocol/base/clock.h"
#include "protocol/base/random.h"

#include <arpa/inet.h>
#include <check.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PRODUCERS = 4,
    PARTITIONS = 4,
    ROUNDS = 12,
    CLEAN_STOP_EVERY = 4,
    UNANSWERED_MAX = 400,
    ROUND_ACKNOWLEDGED_MAX = 3000, /* before the broker goes down */
    ACKNOWLEDGED_MS = 60000,
};

static const char topic[] = "idempotent-ledger";
/* The first has the defaults. */
static const char *const codecs[PRODUCERS] = { "none", "lz4", "zstd", "snappy" };
static const char *const linger[PRODUCERS] = { "5", "0", "1", "20" };

struct run {
    uint64_t seed;
    struct random random;
    struct served served;
    char listen[32];
    const char *arguments[5];
    struct ledger *ledger;
    pthread_mutex_t lock;
    pthread_cond_t acknowledgement;
    int64_t acknowledged; /* under lock */
    int64_t sent;         /* by producers that have ended; under lock */
    int64_t failed;       /* under lock */
    char failure[256];    /* the first */
    atomic_bool stop;
};

struct producer {
    struct run *run;
    int number;
    pthread_t thread;
    int unanswered; /* of its own thread: reports come from within its polls */
    int64_t next;
};

static void reported(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct producer *producer = opaque;
    struct run *run = producer->run;
    int64_t sequence = (int64_t)(uintptr_t)message->_private;
    char fatal[128] = "";
    producer->unanswered--;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        ledger_acknowledge(run->ledger, message->partition, message->offset,
                           (struct ledger_id){ producer->number, sequence });
    pthread_mutex_lock(&run->lock);
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        run->acknowledged++;
    else if (run->failed++ == 0) {
        rd_kafka_fatal_error(client, fatal, sizeof fatal);
        snprintf(run->failure, sizeof run->failure, "record %" PRId64 " of producer %d: %s %s", sequence,
                 producer->number, rd_kafka_err2str(message->err), fatal);
    }
    pthread_cond_signal(&run->acknowledgement);
    pthread_mutex_unlock(&run->lock);
}

static void send_next(struct producer *producer, rd_kafka_t *client, struct random *random)
{
    uint8_t value[LEDGER_VALUE_MAX];
    size_t size =
        ledger_value(producer->run->seed, (struct ledger_id){ producer->number, producer->next }, value);
    rd_kafka_resp_err_t error = rd_kafka_producev(
        client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION((int32_t)random_below(random, PARTITIONS)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(value, size),
        RD_KAFKA_V_OPAQUE((void *)(uintptr_t)producer->next), RD_KAFKA_V_END);
    ck_assert_int_eq(error, RD_KAFKA_RESP_ERR_NO_ERROR);
    producer->unanswered++;
    producer->next++;
}

static void *produce(void *argument)
{
    struct producer *producer = argument;
    struct run *run = producer->run;
    const char *settings[] = { "enable.idempotence",
                               "true",
                               "compression.type",
                               codecs[producer->number],
                               "linger.ms",
                               linger[producer->number],
                               "reconnect.backoff.max.ms",
                               "500", /* the default of 10 s would be most of the test */
                               NULL };
    rd_kafka_t *client = client_create_reporting(run->served.bootstrap, settings, reported, producer);
    struct random random;
    random_seed(&random, run->seed + (uint64_t)producer->number + 1);
    while (!atomic_load(&run->stop)) {
        if (producer->unanswered < UNANSWERED_MAX)
            send_next(producer, client, &random);
        rd_kafka_poll(client, producer->unanswered < UNANSWERED_MAX ? 0 : 10);
    }
    client_flush(client);
    rd_kafka_destroy(client);
    pthread_mutex_lock(&run->lock);
    run->sent += producer->next;
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

/* Waits for so many more acknowledgements. */
static bool wait_acknowledged(struct run *run, int64_t more)
{
    struct timespec deadline;
    int64_t at_ms = clock_wall_ms(clock_real()) + ACKNOWLEDGED_MS;
    deadline.tv_sec = at_ms / 1000;
    deadline.tv_nsec = at_ms % 1000 * 1000000;
    pthread_mutex_lock(&run->lock);
    int64_t target = run->acknowledged + more;
    while (run->acknowledged < target && run->failed == 0 &&
           pthread_cond_timedwait(&run->acknowledgement, &run->lock, &deadline) == 0)
        ;
    bool reached = run->acknowledged >= target;
    pthread_mutex_unlock(&run->lock);
    return reached;
}

/* Lets the producers run for a while, then takes the broker from them and gives it back. */
static void interrupt(struct run *run, int round)
{
    int64_t more = 1 + (int64_t)random_below(&run->random, ROUND_ACKNOWLEDGED_MAX);
    ck_assert_msg(wait_acknowledged(run, more), "round %d: too few acknowledgements; %s", round,
                  run->failure);
    ck_assert_msg(!broker_process_ended(run->served.broker, (int)random_below(&run->random, 30)),
                  "round %d: the broker ended by itself", round);
    if (round % CLEAN_STOP_EVERY == 0)
        ck_assert_int_eq(broker_process_stop(run->served.broker), 0);
    else
        ck_assert_int_eq(broker_process_kill(run->served.broker), 128 + 9);
    served_restart(&run->served, RUNNEL_BINARY, run->arguments);
}

/* A port below those that the system hands to clients: nobody can take it while the broker is down. */
static int fixed_port(struct random *random)
{
    for (int i = 0; i < 1000; i++) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int port = 20000 + (int)random_below(random, 12000);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(fd, 0);
        address.sin_port = htons((uint16_t)port);
        int bound = bind(fd, (const struct sockaddr *)&address, sizeof address);
        close(fd);
        if (bound == 0)
            return port;
    }
    ck_abort_msg("no free port");
}

static void run_begin(struct run *run)
{
    char path[TEMP_DIR_PATH_SIZE + 16];
    const char *given = getenv("RUNNEL_SEED");
    struct random ports;
    if (given && *given)
        run->seed = strtoull(given, NULL, 0);
    else
        random_secure(&run->seed, sizeof run->seed);
    printf("seed: RUNNEL_SEED=%" PRIu64 "\n", run->seed);
    fflush(stdout);
    random_seed(&run->random, run->seed);
    random_seed(&ports, run->seed ^ (uint64_t)getpid());
    pthread_mutex_init(&run->lock, NULL);
    pthread_cond_init(&run->acknowledgement, NULL);
    snprintf(run->listen, sizeof run->listen, "127.0.0.1:%d", fixed_port(&ports));
    run->arguments[0] = "--listen";
    run->arguments[1] = run->listen;
    run->arguments[2] = "--override";
    run->arguments[3] = "num.partitions=4";
    served_start(&run->served, RUNNEL_BINARY, run->arguments);
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
    return given && atoi(given) > 0 ? atoi(given) : ROUNDS;
}

START_TEST(every_record_is_there_once)
{
    static struct run run;
    static struct producer producers[PRODUCERS];
    int64_t from[PARTITIONS] = { 0 };
    int rounds = rounds_of_run();

    run_begin(&run);
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){ .run = &run, .number = i };
        ck_assert_int_eq(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    for (int round = 1; round <= rounds; round++)
        interrupt(&run, round);
    ck_assert_msg(wait_acknowledged(&run, 1), "nothing was acknowledged after the last round; %s",
                  run.failure);
    atomic_store(&run.stop, true);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i].thread, NULL);
    ck_assert_msg(run.failed == 0, "%" PRId64 " failed, the first: %s", run.failed, run.failure);
    ck_assert_int_eq(run.acknowledged, run.sent);
    struct ledger_verdict verdict =
        ledger_read_back(run.ledger, run.served.bootstrap, topic, PARTITIONS, from);
    printf("rounds %d, sent %" PRId64 ", in the log %" PRId64 ", lost %" PRId64 ", duplicates %" PRId64
           ", disordered %" PRId64 ", gaps %" PRId64 ", corrupt %" PRId64 "\n",
           rounds, run.sent, verdict.records, verdict.lost, verdict.duplicates, verdict.disordered,
           verdict.gaps, verdict.corrupt);
    ck_assert(verdict.lost == 0 && verdict.duplicates == 0 && verdict.disordered == 0 && verdict.gaps == 0 &&
              verdict.corrupt == 0);
    ck_assert_int_eq(verdict.records, run.sent);
    ck_assert_int_eq(verdict.acknowledged, run.sent);
    run_end(&run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("idempotent producers and the ledger");
    TCase *tests = tcase_create("ledger");
    tcase_set_timeout(tests, 280);
    tcase_add_test(tests, every_record_is_there_once);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
