/* The member: reads, tells what it read, commits, and tells what became of that. */
#include "tests/support/churn_member.h"

#include "protocol/base/check.h"
#include "protocol/base/clock.h"
#include "protocol/errors.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { EVENT_FD = 3, BATCH_MS = 50, BATCH_RECORDS = 500, ARGUMENTS = 9 };

static const char member_word[] = "--churn-member";

static struct member {
    int number, identity;
    rd_kafka_t *client;
    rd_kafka_topic_partition_list_t *pending; /* read and not committed: the offsets to commit */
} self;

static volatile sig_atomic_t is_leaving, shall_stop;

static void on_signal(int number)
{
    if (number == SIGTERM)
        is_leaving = 1;
    else
        shall_stop = 1;
}

static void tell(enum churn_event_type type, int32_t partition, int64_t first, int64_t next, int32_t error,
                 int32_t generation)
{
    struct churn_event event = { .at_ns = clock_mono_ns(clock_real()),
                                 .type = (int32_t)type,
                                 .member = self.number,
                                 .identity = self.identity,
                                 .partition = partition,
                                 .first = first,
                                 .next = next,
                                 .error = error,
                                 .generation = generation };
    ssize_t written = write(EVENT_FD, &event, sizeof event);
    if (written != (ssize_t)sizeof event)
        _exit(3); /* whoever listens is gone */
}

/* librdkafka shows the generation in the group metadata for transactions alone: magic, then an int32 of the
 * host. */
static int32_t generation(void)
{
    enum { MAGIC_SIZE = 7 };
    int32_t found = -1;
    void *bytes;
    size_t size;
    rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata(self.client);
    if (!metadata)
        return -1;
    rd_kafka_error_t *error = rd_kafka_consumer_group_metadata_write(metadata, &bytes, &size);
    if (!error) {
        check(size > MAGIC_SIZE + sizeof found && memcmp(bytes, "CGMDv2:", MAGIC_SIZE) == 0);
        memcpy(&found, (const char *)bytes + MAGIC_SIZE, sizeof found);
        rd_kafka_mem_free(NULL, bytes);
    }
    rd_kafka_error_destroy(error);
    rd_kafka_consumer_group_metadata_destroy(metadata);
    return found;
}

bool churn_is_fenced(int error)
{
    return error == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID || error == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
           error == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID || error == ERR_FENCED_MEMBER_EPOCH ||
           error == ERR_STALE_MEMBER_EPOCH;
}

/* A generation or epoch may be old because the next one is on its way; what the member loses with it, it is
 * told. */
static bool is_final(int error)
{
    return churn_is_fenced(error) && error != RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION &&
           error != (int)ERR_STALE_MEMBER_EPOCH;
}

/* What was refused because the member is none any more is given up: others read it anew. Other errors pass.
 */
static void commit_pending(void)
{
    rd_kafka_topic_partition_list_t *tried = self.pending;
    if (tried->cnt == 0)
        return;
    char text[8];
    int64_t start_ns = clock_mono_ns(clock_real());
    rd_kafka_resp_err_t error = rd_kafka_commit(self.client, tried, 0);
    if (error == RD_KAFKA_RESP_ERR__FATAL) /* what the broker said to another request of the client */
        error = rd_kafka_fatal_error(self.client, text, sizeof text);
    self.pending = rd_kafka_topic_partition_list_new(8);
    for (int i = 0; i < tried->cnt; i++) {
        const rd_kafka_topic_partition_t *item = &tried->elems[i];
        rd_kafka_resp_err_t of = item->err && item->err != RD_KAFKA_RESP_ERR__FATAL ? item->err : error;
        tell(CHURN_COMMITTED, item->partition, start_ns, item->offset, of, -1);
        if (of != RD_KAFKA_RESP_ERR_NO_ERROR && !is_final(of))
            rd_kafka_topic_partition_list_add(self.pending, item->topic, item->partition)->offset =
                item->offset;
    }
    rd_kafka_topic_partition_list_destroy(tried);
}

static bool is_incremental(void)
{
    return strcmp(rd_kafka_rebalance_protocol(self.client), "COOPERATIVE") == 0;
}

static void take(rd_kafka_topic_partition_list_t *partitions)
{
    int32_t of = generation();
    for (int i = 0; i < partitions->cnt; i++)
        tell(CHURN_ASSIGNED, partitions->elems[i].partition, 0, 0, 0, of);
    if (is_incremental())
        rd_kafka_error_destroy(rd_kafka_incremental_assign(self.client, partitions));
    else
        rd_kafka_assign(self.client, partitions);
}

/* What was read is committed as long as the partitions are still ours; then they are let go. */
static void give_back(rd_kafka_topic_partition_list_t *partitions)
{
    bool lost = rd_kafka_assignment_lost(self.client);
    if (!lost)
        commit_pending();
    for (int i = 0; i < partitions->cnt; i++) {
        const rd_kafka_topic_partition_t *item = &partitions->elems[i];
        rd_kafka_topic_partition_list_del(self.pending, item->topic, item->partition);
        tell(CHURN_REVOKED, item->partition, 0, 0, lost, -1);
    }
    if (is_incremental())
        rd_kafka_error_destroy(rd_kafka_incremental_unassign(self.client, partitions));
    else
        rd_kafka_assign(self.client, NULL);
}

static void rebalanced(rd_kafka_t *client, rd_kafka_resp_err_t event,
                       rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    (void)client;
    (void)opaque;
    if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        take(partitions);
    else
        give_back(partitions);
}

static void note_record(const char *topic, const rd_kafka_message_t *message)
{
    rd_kafka_topic_partition_t *item =
        rd_kafka_topic_partition_list_find(self.pending, topic, message->partition);
    if (!item)
        item = rd_kafka_topic_partition_list_add(self.pending, topic, message->partition);
    item->offset = message->offset + 1;
    tell(CHURN_READ, message->partition, message->offset, message->offset + 1, 0, -1);
}

/* Reads for a moment and tells of each record at once. */
static void read_batch(const char *topic)
{
    int64_t until_ms = clock_mono_ms(clock_real()) + BATCH_MS, left_ms = BATCH_MS;
    for (int i = 0; i < BATCH_RECORDS && left_ms > 0; i++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(self.client, (int)left_ms);
        if (message && message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            note_record(topic, message);
        if (message)
            rd_kafka_message_destroy(message);
        left_ms = until_ms - clock_mono_ms(clock_real());
    }
}

/* As if the process had been put to sleep right between its work and the commit of it. */
static void stop_here(void)
{
    const rd_kafka_topic_partition_t *item = &self.pending->elems[0];
    shall_stop = 0;
    tell(CHURN_STOPPING, item->partition, 0, item->offset, 0, -1);
    raise(SIGSTOP);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[256];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) == RD_KAFKA_CONF_OK)
        return;
    fprintf(stderr, "churn member: %s\n", error);
    _exit(4);
}

static void log_nothing(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    if (getenv("RUNNEL_TEST_CLIENT_LOG"))
        fprintf(stderr, "%" PRId64 " us: member %d: %d %s %s\n", clock_mono_ns(clock_real()) / 1000,
                self.number, level, facility, text);
}

static rd_kafka_t *create(char **arguments)
{
    char error[256], heartbeat[16];
    const char *bootstrap = arguments[1], *group = arguments[2], *protocol = arguments[4],
               *instance = arguments[5];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "group.id", group);
    set(conf, "enable.auto.commit", "false");
    set(conf, "auto.offset.reset", "earliest");
    if (strcmp(protocol, "consumer") == 0) {
        set(conf, "group.protocol", "consumer"); /* sessions and heartbeats are as the broker says */
    } else {
        set(conf, "partition.assignment.strategy",
            strcmp(protocol, "eager") == 0 ? "range" : "cooperative-sticky");
        set(conf, "session.timeout.ms", arguments[6]);
        snprintf(heartbeat, sizeof heartbeat, "%d", atoi(arguments[6]) / 6);
        set(conf, "heartbeat.interval.ms", heartbeat);
    }
    if (*instance)
        set(conf, "group.instance.id", instance);
    if (getenv("RUNNEL_TEST_CLIENT_LOG"))
        set(conf, "debug", getenv("RUNNEL_TEST_CLIENT_LOG"));
    rd_kafka_conf_set_log_cb(conf, log_nothing);
    rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (!client)
        _exit(4);
    rd_kafka_poll_set_consumer(client);
    return client;
}

static _Noreturn void be_member(char **arguments)
{
    const char *topic = arguments[3];
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    self = (struct member){ .number = atoi(arguments[0]), .pending = rd_kafka_topic_partition_list_new(8) };
    self.identity = *arguments[5] ? -atoi(strrchr(arguments[5], '-') + 1) - 1 : self.number;
    self.client = create(arguments);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    check(rd_kafka_subscribe(self.client, topics) == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(topics);
    while (!is_leaving) {
        read_batch(topic);
        if (shall_stop && self.pending->cnt > 0)
            stop_here();
        commit_pending();
        char text[8];
        rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(self.client, text, sizeof text);
        if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR) {
            tell(CHURN_CLOSED, -1, 0, 0, fatal, -1);
            _exit(0);
        }
    }
    rd_kafka_consumer_close(self.client);
    tell(CHURN_CLOSED, -1, 0, 0, 0, -1);
    rd_kafka_destroy(self.client);
    rd_kafka_topic_partition_list_destroy(self.pending);
    exit(0);
}

void churn_member_main(int argument_count, char **arguments)
{
    if (argument_count == ARGUMENTS && strcmp(arguments[1], member_word) == 0)
        be_member(arguments + 2);
}

/* In the child, between fork and exec: only calls that are safe there. */
static _Noreturn void become_member(char *const arguments[], int event_fd, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(event_fd, EVENT_FD) < 0)
        _exit(126);
    execv("/proc/self/exe", arguments);
    _exit(127);
}

pid_t churn_member_start(const struct churn_member_settings *settings, int event_fd)
{
    char number[16], timeout[16];
    snprintf(number, sizeof number, "%d", settings->number);
    snprintf(timeout, sizeof timeout, "%d", settings->session_timeout_ms);
    const char *arguments[ARGUMENTS + 1] = { "churn",
                                             member_word,
                                             number,
                                             settings->bootstrap,
                                             settings->group,
                                             settings->topic,
                                             settings->protocol,
                                             settings->instance ? settings->instance : "",
                                             timeout,
                                             NULL };
    check(event_fd != EVENT_FD);
    pid_t parent = getpid(), pid = fork();
    check(pid >= 0);
    if (pid == 0)
        become_member((char *const *)arguments, event_fd, parent);
    return pid;
}
