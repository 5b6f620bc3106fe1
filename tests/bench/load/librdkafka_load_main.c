/* librdkafka_load: what a plain client on librdkafka moves, as the JSON object that `load` prints. Bytes are
 * those of values; latency runs from the call (open loop: from the time a record was due) to the delivery
 * report. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/check.h"
#include "tests/bench/load/batches.h"
#include "tests/bench/load/engine.h"
#include "tests/bench/load/setup.h"

enum { VALUE_COUNT = 64, POLL_EVERY = 256, CONSUME_BATCH = 1000, FLUSH_MS = 60000, WAIT_MS = 100 };

#define NS_PER_S 1000000000u

struct job {
    struct plan plan;
    const char *linger_ms, *acks, *batch_size;
    const char *codec;
    struct settings set;
};

static const struct argument table[] = {
    { "--bootstrap", ARGUMENT_TEXT, offsetof(struct job, plan.bootstrap) },
    { "--topic", ARGUMENT_TEXT, offsetof(struct job, plan.topic) },
    { "--partitions", ARGUMENT_INT, offsetof(struct job, plan.partitions) },
    { "--record-size", ARGUMENT_SIZE, offsetof(struct job, plan.record_size) },
    { "--total-size", ARGUMENT_SIZE, offsetof(struct job, plan.total_size) },
    { "--rate", ARGUMENT_NUMBER, offsetof(struct job, plan.rate_mib_s) },
    { "--seconds", ARGUMENT_NUMBER, offsetof(struct job, plan.seconds) },
    { "--warmup", ARGUMENT_NUMBER, offsetof(struct job, plan.warmup) },
    { "--server-pid", ARGUMENT_INT, offsetof(struct job, plan.server) },
    { "--sample-ms", ARGUMENT_INT, offsetof(struct job, plan.sample_ms) },
    { "--idempotent", ARGUMENT_FLAG, offsetof(struct job, plan.idempotent) },
    { "--create", ARGUMENT_FLAG, offsetof(struct job, plan.create) },
    { "--topic-set", ARGUMENT_SETTINGS, offsetof(struct job, plan.settings) },
    { "--acks", ARGUMENT_TEXT, offsetof(struct job, acks) },
    { "--codec", ARGUMENT_TEXT, offsetof(struct job, codec) },
    { "--linger-ms", ARGUMENT_TEXT, offsetof(struct job, linger_ms) },
    { "--batch-size", ARGUMENT_TEXT, offsetof(struct job, batch_size) },
    { "--set", ARGUMENT_SETTINGS, offsetof(struct job, set) },
    { NULL, ARGUMENT_FLAG, 0 },
};

static const char usage[] =
    "usage: librdkafka_load produce|consume --bootstrap HOST:PORT --topic T [OPTION...]\n"
    "\n"
    "  --partitions P --record-size B --acks A --idempotent --codec C --linger-ms M --batch-size B --set "
    "KEY=VALUE\n"
    "  --rate MiB/s --seconds S --warmup S | --total-size B    consume also ends where the partitions do\n"
    "  --server-pid PID --sample-ms M --create --topic-set KEY=VALUE\n";

/* What is counted, and when. */
struct run {
    const struct job *job;
    struct result *result;
    struct watch watch;
    uint64_t start_ns, begin_ns, end_ns, next_sample_ns, last_ns;
    uint64_t size; /* of all, counted or not */
    bool watching;
};

/* --- the counted time ---------------------------------------------------------------------------- */

static void start_run(struct run *run)
{
    const struct plan *plan = &run->job->plan;
    run->start_ns = run->last_ns = now_ns();
    run->begin_ns = run->start_ns + (plan->total_size > 0 ? 0 : (uint64_t)(plan->warmup * 1e9));
    run->end_ns = plan->total_size > 0 ? UINT64_MAX : run->begin_ns + (uint64_t)(plan->seconds * 1e9);
}

/* The counted time comes that much later. */
static void shift_run(struct run *run, uint64_t ns)
{
    run->begin_ns += ns;
    if (run->end_ns != UINT64_MAX)
        run->end_ns += ns;
}

static void look_at_clock(struct run *run, uint64_t now)
{
    uint64_t step = (uint64_t)(run->job->plan.sample_ms > 0 ? run->job->plan.sample_ms : 50) * 1000000u;
    if (now < run->begin_ns || now >= run->end_ns)
        return;
    if (!run->watching) {
        watch_begin(&run->watch, run->job->plan.server);
        run->watching = true;
        run->next_sample_ns = now + step;
    } else if (now >= run->next_sample_ns) {
        watch_sample(&run->watch, run->result->total.size, run->job->plan.sample_ms > 0);
        run->next_sample_ns += step;
    }
}

static void count_record(struct run *run, size_t size, uint64_t now)
{
    run->size += size;
    if (now < run->begin_ns || now >= run->end_ns)
        return;
    run->result->total.records++;
    run->result->total.size += size;
    run->last_ns = now;
}

static void end_run(struct run *run)
{
    if (!run->watching)
        watch_begin(&run->watch, run->job->plan.server);
    watch_end(&run->watch, run->result);
    uint64_t end = run->job->plan.total_size > 0 || run->last_ns < run->begin_ns ? run->last_ns : run->end_ns;
    run->result->seconds = end > run->begin_ns ? (double)(end - run->begin_ns) / 1e9 : 0;
}

/* --- clients ------------------------------------------------------------------------------------- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[512];
    if (value && rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        load_fail("%s", error);
}

static rd_kafka_conf_t *configure(const struct job *job)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", job->plan.bootstrap);
    set(conf, "log_level", "3");
    for (int i = 0; i < job->set.count; i++) {
        char name[256];
        const char *equals = strchr(job->set.items[i], '=');
        snprintf(name, sizeof name, "%.*s", (int)(equals - job->set.items[i]), job->set.items[i]);
        set(conf, name, equals + 1);
    }
    return conf;
}

static rd_kafka_t *open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char error[512];
    rd_kafka_t *client = rd_kafka_new(type, conf, error, sizeof error);
    if (!client)
        load_fail("%s", error);
    return client;
}

/* --- produce ------------------------------------------------------------------------------------- */

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct run *run = opaque;
    uint64_t now = now_ns(), due = (uint64_t)(uintptr_t)message->_private;
    (void)client;
    if (message->err)
        load_fail("delivery: %s", rd_kafka_err2str(message->err));
    count_record(run, message->len, now);
    if (due >= run->begin_ns && due < run->end_ns)
        histogram_add(&run->result->total.latency, now - due);
}

static rd_kafka_t *open_producer(struct run *run)
{
    const struct job *job = run->job;
    rd_kafka_conf_t *conf = configure(job);
    set(conf, "acks", job->acks);
    set(conf, "compression.codec", job->codec);
    set(conf, "linger.ms", job->linger_ms);
    set(conf, "batch.size", job->batch_size);
    set(conf, "enable.idempotence", job->plan.idempotent ? "true" : NULL);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, run);
    return open_client(RD_KAFKA_PRODUCER, conf);
}

static void produce_one(rd_kafka_t *client, rd_kafka_topic_t *topic, const uint8_t *value, size_t size,
                        uint64_t due)
{
    while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, 0, (void *)value, size, NULL, 0,
                            (void *)(uintptr_t)due) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            load_fail("produce: %s", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(client, 1);
    }
}

/* The time of record `number`: by the schedule, or now. Waits until it has come. */
static uint64_t await_turn(rd_kafka_t *client, struct run *run, uint64_t number, double step_ns)
{
    uint64_t now = now_ns();
    if (step_ns == 0)
        return now;
    uint64_t due = run->start_ns + (uint64_t)((double)number * step_ns);
    for (; now < due; now = now_ns())
        rd_kafka_poll(client, due - now > 1000000u ? (int)((due - now) / 1000000u) : 0);
    if (due >= run->begin_ns && due < run->end_ns)
        histogram_add(&run->result->total.lag, now - due);
    return due;
}

static void run_produce(struct run *run)
{
    const struct plan *plan = &run->job->plan;
    size_t size = plan->record_size;
    double step_ns = plan->rate_mib_s > 0 ? 1e9 * (double)size / (plan->rate_mib_s * (1 << 20)) : 0;
    uint8_t *values = check_memory(malloc(VALUE_COUNT * size));
    fill_with_text(values, VALUE_COUNT * size, 1);
    rd_kafka_t *client = open_producer(run);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, plan->topic, NULL);
    start_run(run);
    for (uint64_t number = 0, now = run->start_ns;; number++) {
        uint64_t due = await_turn(client, run, number, step_ns);
        now = due > now ? due : now;
        if (plan->total_size > 0 ? number * size >= plan->total_size : now >= run->end_ns)
            break;
        produce_one(client, topic, values + number % VALUE_COUNT * size, size, due);
        if (number % POLL_EVERY == 0 || step_ns > 0) {
            rd_kafka_poll(client, 0);
            look_at_clock(run, now_ns());
        }
    }
    if (plan->total_size == 0)
        end_run(run); /* what is still on its way counts in the latencies */
    if (rd_kafka_flush(client, FLUSH_MS) != 0)
        load_fail("not all was delivered within %d s", FLUSH_MS / 1000);
    if (plan->total_size > 0)
        end_run(run);
    run->result->total.requests = run->result->total.records;
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
    free(values);
}

/* --- consume ------------------------------------------------------------------------------------- */

/* Counts partitions whose end was reached in *ended. */
static void take_messages(struct run *run, rd_kafka_message_t **messages, ssize_t count, int *ended)
{
    uint64_t now = now_ns();
    for (ssize_t i = 0; i < count; i++) {
        if (messages[i]->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            ++*ended;
        else if (messages[i]->err)
            load_fail("consume: %s", rd_kafka_message_errstr(messages[i]));
        else
            count_record(run, messages[i]->len, now);
        rd_kafka_message_destroy(messages[i]);
    }
}

static void run_consume(struct run *run)
{
    const struct plan *plan = &run->job->plan;
    rd_kafka_conf_t *conf = configure(run->job);
    rd_kafka_message_t *messages[CONSUME_BATCH];
    int ended = 0;
    set(conf, "group.id", "load");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.partition.eof", "true");
    rd_kafka_t *client = open_client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(plan->partitions);
    for (int i = 0; i < plan->partitions; i++)
        rd_kafka_topic_partition_list_add(list, plan->topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    start_run(run);
    look_at_clock(run, now_ns());
    rd_kafka_resp_err_t error = rd_kafka_assign(client, list);
    if (error)
        load_fail("assign: %s", rd_kafka_err2str(error));
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    while (ended < plan->partitions && now_ns() < run->end_ns &&
           (plan->total_size == 0 || run->size < plan->total_size)) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, WAIT_MS, messages, CONSUME_BATCH);
        if (count < 0)
            load_fail("consume: %s", rd_kafka_err2str(rd_kafka_last_error()));
        if (count > 0 && run->size == 0)
            shift_run(run, now_ns() - run->start_ns); /* finding leaders and offsets is no throughput */
        run->result->total.requests += count > 0;
        take_messages(run, messages, count, &ended);
        look_at_clock(run, now_ns());
    }
    if (ended == plan->partitions) /* the partitions' end is the run's */
        run->end_ns = run->last_ns;
    end_run(run);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
}

int main(int argc, char **argv)
{
    struct job job = { .plan = { .topic = "load", .partitions = 1, .record_size = 1024, .seconds = 10 } };
    bool produces = argc > 1 && strcmp(argv[1], "produce") == 0;
    if (!produces && (argc < 2 || strcmp(argv[1], "consume") != 0)) {
        fputs(usage, stderr);
        return 2;
    }
    arguments_read(table, argc - 2, argv + 2, &job);
    if (!job.plan.bootstrap || job.plan.partitions < 1 || job.plan.record_size < 1) {
        fputs(usage, stderr);
        return 2;
    }
    if (job.plan.create)
        setup_create_topic(&job.plan);
    setup_await_leaders(&job.plan);
    struct result *result = check_memory(calloc(1, sizeof *result));
    struct run run = { .job = &job, .result = result };
    result->kind = produces ? "librdkafka-produce" : "librdkafka-consume";
    if (produces)
        run_produce(&run);
    else
        run_consume(&run);
    result_print(result, NULL);
    free(result);
    return 0;
}
