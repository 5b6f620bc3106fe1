/* Members that crash, stand still for longer than their session, leave and join: nothing is missed, nobody
 * who was expelled writes offsets, and the group comes to rest. */
#include "protocol/base/check.h"
#include "protocol/base/clock.h"
#include "protocol/base/random.h"
#include "tests/support/churn_judge.h"
#include "tests/support/churn_member.h"
#include "tests/support/group_view.h"
#include "tests/support/kafka_client.h"
#include "tests/support/served.h"

#include <check.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MEMBERS = 50, /* unless RUNNEL_MEMBERS says otherwise */
    PARTITIONS =
        58, /* with the logs of offsets fewer than 64, the locks that TSan bears to be held at once */
    PARTITIONS_EACH = 2, /* of more members */
    MEMBERS_EVER = 4000,
    PARTITIONS_MAX = 512,
    SESSION_MS = 2400,
    PAUSE_MS = SESSION_MS * 3 / 2,
    CHURN_MS = 4000, /* unless RUNNEL_CHURN_SECONDS says otherwise */
    SETTLE_MS = 60000,
    ACTION_EVERY_MS = 100,
    TICK_MS = 10,
    RECORDS_A_TICK = 20,
    STATIC_EVERY = 5,
    PIPE_SIZE = 1 << 20,
    OFFSETS_PARTITIONS = 4,
    HISTORY = 8, /* events, and partitions, that a failure tells of */
};

enum state { RUNNING, PAUSED, LEAVING, GONE };

struct member {
    pid_t pid;
    enum state state;
    int64_t stopped_at_ms;
    char instance[24]; /* "": dynamic */
    /* Of one that stops itself between its work and its commit. */
    bool is_zombie, is_stopping, is_overtaken, was_resumed, was_judged;
    int32_t partition;
    int64_t next;
    bool owns[PARTITIONS_MAX];
};

static const char topic[] = "churn"; /* also the value of each record */
static const char group[] = "churners";

static struct run {
    const char *protocol;
    int members_wanted, partitions, churn_ms;
    struct random random;
    struct served served;
    int events_in, events_out;
    struct churn_log log;
    struct member *members;
    int members_ever;
    rd_kafka_t *producer;
    bool is_producing;
    int64_t ends[PARTITIONS_MAX];      /* after the last record that was acknowledged */
    int64_t read_to[PARTITIONS_MAX];   /* records below have been read, by whomever */
    int64_t committed[PARTITIONS_MAX]; /* when it was asked for last */
    int64_t produced, failed;
    int kills, aborts, pauses, zombies, leaves, joins, takeovers;
    int fenced, not_fenced;
    char not_fenced_last[128];
} run;

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_real());
}

static bool is_consumer_protocol(void)
{
    return strcmp(run.protocol, "consumer") == 0;
}

/* --- records ------------------------------------------------------------------------------------- */

static void reported(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client;
    (void)opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        run.failed++;
        return;
    }
    run.produced++;
    if (message->offset >= run.ends[message->partition])
        run.ends[message->partition] = message->offset + 1;
}

static void produce(int count)
{
    for (int i = 0; i < count; i++)
        rd_kafka_producev(run.producer, RD_KAFKA_V_TOPIC(topic),
                          RD_KAFKA_V_PARTITION((int32_t)random_below(&run.random, (uint64_t)run.partitions)),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_VALUE((void *)(uintptr_t)topic, sizeof topic), RD_KAFKA_V_END);
}

/* --- what the members tell ------------------------------------------------------------------------ */

static void note_not_fenced(const struct churn_event *event)
{
    run.not_fenced++;
    snprintf(run.not_fenced_last, sizeof run.not_fenced_last, "member %d: %s", event->member,
             rd_kafka_err2name(event->error));
}

static void note_commit(struct member *member, const struct churn_event *event)
{
    if (member->was_resumed && !member->was_judged) {
        member->was_judged = true;
        if (churn_is_fenced(event->error))
            run.fenced++;
        else
            note_not_fenced(event);
    }
    if (event->error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    for (int i = 0; i < run.members_ever; i++) {
        struct member *zombie = &run.members[i];
        if (zombie != member && zombie->state == PAUSED && zombie->is_zombie &&
            zombie->partition == event->partition && event->next > zombie->next)
            zombie->is_overtaken = true;
    }
}

static void note_event(const struct churn_event *event)
{
    struct member *member = &run.members[event->member];
    switch ((enum churn_event_type)event->type) {
    case CHURN_ASSIGNED:
        member->owns[event->partition] = true;
        break;
    case CHURN_REVOKED:
        member->owns[event->partition] = false;
        break;
    case CHURN_READ:
        if (event->first <= run.read_to[event->partition] && event->next > run.read_to[event->partition])
            run.read_to[event->partition] = event->next;
        break;
    case CHURN_COMMITTED:
        note_commit(member, event);
        break;
    case CHURN_STOPPING:
        member->is_stopping = true;
        member->partition = event->partition;
        member->next = event->next;
        break;
    case CHURN_CLOSED:
        memset(member->owns, 0, sizeof member->owns);
        if (event->error && !member->was_resumed)
            printf("member %d could not go on: %s\n", event->member, rd_kafka_err2name(event->error));
        break;
    case CHURN_PAUSED:
    case CHURN_KILLED:
        break;
    }
}

/* A word of our own about a member, in the log at its time. */
static void add_word(int number, enum churn_event_type type)
{
    struct churn_event event = { .at_ns = clock_mono_ns(clock_real()),
                                 .type = (int32_t)type,
                                 .member = number,
                                 .partition = -1,
                                 .generation = -1 };
    churn_log_add(&run.log, &event);
}

/* Takes in what was told; waits for it for a tick at most. Writes records meanwhile. */
static void tick(void)
{
    static struct churn_event events[512];
    struct pollfd wait = { .fd = run.events_in, .events = POLLIN };
    if (run.is_producing)
        produce(RECORDS_A_TICK);
    int64_t until_ms = now_ms() + TICK_MS;
    do {
        rd_kafka_poll(run.producer, 0);
        if (poll(&wait, 1, TICK_MS / 2) <= 0)
            continue;
        ssize_t size = read(run.events_in, events, sizeof events);
        ck_assert_msg(size > 0 && size % (ssize_t)sizeof *events == 0, "half an event");
        for (size_t i = 0; i < (size_t)size / sizeof *events; i++) {
            churn_log_add(&run.log, &events[i]);
            note_event(&events[i]);
        }
    } while (now_ms() < until_ms);
    rd_kafka_poll(run.producer, 0);
}

/* --- members ---------------------------------------------------------------------------------------- */

static void start_member(const char *instance)
{
    ck_assert_int_lt(run.members_ever, MEMBERS_EVER);
    int number = run.members_ever++;
    struct member *member = &run.members[number];
    struct churn_member_settings settings = { .number = number,
                                              .bootstrap = run.served.bootstrap,
                                              .group = group,
                                              .topic = topic,
                                              .protocol = run.protocol,
                                              .session_timeout_ms = SESSION_MS };
    snprintf(member->instance, sizeof member->instance, "%s", instance);
    settings.instance = *member->instance ? member->instance : NULL;
    member->state = RUNNING;
    member->pid = churn_member_start(&settings, run.events_out);
}

static void start_any_member(void)
{
    char instance[24] = "";
    if (!is_consumer_protocol() && run.members_ever % STATIC_EVERY == 0)
        snprintf(instance, sizeof instance, "static-%d", run.members_ever);
    start_member(instance);
}

static int count_members(enum state state)
{
    int count = 0;
    for (int i = 0; i < run.members_ever; i++)
        count += run.members[i].state == state;
    return count;
}

/* One that runs and is not about to stop itself; -1: none. */
static int draw_member(void)
{
    for (int tries = 0; tries < 100; tries++) {
        int number = (int)random_below(&run.random, (uint64_t)run.members_ever);
        if (run.members[number].state == RUNNING && !run.members[number].is_zombie)
            return number;
    }
    return -1;
}

static void note_gone(int number)
{
    struct member *member = &run.members[number];
    member->state = GONE;
    memset(member->owns, 0, sizeof member->owns);
    add_word(number, CHURN_KILLED);
}

static void kill_member(int number)
{
    run.kills++;
    kill(run.members[number].pid, SIGKILL);
    ck_assert_int_eq(waitpid(run.members[number].pid, NULL, 0), run.members[number].pid);
    note_gone(number);
    /* A static member comes back at once, with its name and with what it had. */
    if (*run.members[number].instance)
        start_member(run.members[number].instance);
    else
        start_any_member();
}

static void note_pause(int number)
{
    struct member *member = &run.members[number];
    member->state = PAUSED;
    member->stopped_at_ms = now_ms();
    add_word(number, CHURN_PAUSED);
}

static void pause_member(int number)
{
    run.pauses++;
    note_pause(number);
    kill(run.members[number].pid, SIGSTOP);
}

static void make_zombie(int number)
{
    run.zombies++;
    run.members[number].is_zombie = true;
    kill(run.members[number].pid, SIGUSR1);
}

static void leave_member(int number)
{
    run.leaves++;
    run.members[number].state = LEAVING;
    kill(run.members[number].pid, SIGTERM);
}

static void take_action(void)
{
    int draw = (int)random_below(&run.random, 10), number = draw_member();
    if (number < 0)
        return;
    if (draw < 3)
        kill_member(number);
    else if (draw < 5)
        pause_member(number);
    else if (draw < 7)
        make_zombie(number);
    else if (draw < 9)
        leave_member(number);
    if (count_members(RUNNING) < run.members_wanted && (draw == 9 || draw == 7)) {
        run.joins++;
        start_any_member();
    }
}

/* librdkafka before 2.3 may end in its sticky assignor, by an assertion or without, when a leader closes
 * before its first assignment (its issue 4312, mended by its change 4381), whichever broker it talks to: one
 * more crash. */
static void note_end(int number, int status)
{
    bool has_aborted = WIFSIGNALED(status) && (WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGSEGV) &&
                       strcmp(run.protocol, "cooperative") == 0 && rd_kafka_version() < 0x02030000;
    ck_assert_msg(has_aborted || (WIFEXITED(status) && WEXITSTATUS(status) == 0), "member %d ended with %x",
                  number, status);
    run.aborts += has_aborted;
    note_gone(number);
}

static void resume_member(struct member *member)
{
    member->was_resumed = member->is_zombie;
    member->is_zombie = false;
    member->state = RUNNING;
    kill(member->pid, SIGCONT);
}

/* Who stopped, ended, or has been still for long enough. */
static void look_after_members(void)
{
    for (int i = 0; i < run.members_ever; i++) {
        struct member *member = &run.members[i];
        int status;
        if (member->state == GONE)
            continue;
        if (waitpid(member->pid, &status, WNOHANG | WUNTRACED) == member->pid) {
            if (!WIFSTOPPED(status)) {
                note_end(i, status);
                continue;
            }
            if (member->is_zombie && member->state == RUNNING) {
                note_pause(i);
                if (*member->instance) { /* another takes its name: it is fenced before its session ends */
                    run.takeovers++;
                    start_member(member->instance);
                }
            }
        }
        if (member->state == PAUSED && now_ms() - member->stopped_at_ms >= PAUSE_MS &&
            (!member->is_zombie || member->is_overtaken))
            resume_member(member);
    }
}

/* --- the group at rest ------------------------------------------------------------------------------ */

/* Every partition has one owner among those that run, all was read, and all that was read is committed. */
static bool looks_settled(void)
{
    if (count_members(PAUSED) + count_members(LEAVING) > 0)
        return false;
    for (int p = 0; p < run.partitions; p++) {
        int owners = 0;
        for (int i = 0; i < run.members_ever; i++)
            owners += run.members[i].owns[p];
        if (owners != 1 || run.read_to[p] < run.ends[p])
            return false;
    }
    return rd_kafka_outq_len(run.producer) == 0;
}

static struct group_view ask(int owners[])
{
    return group_view_ask(run.served.bootstrap, group, !is_consumer_protocol(), owners, run.partitions);
}

/* Not what the members were told of their commits: the answer to one that was taken may be lost. */
static bool is_all_committed(void)
{
    group_view_committed(run.served.bootstrap, group, topic, run.committed, run.partitions);
    for (int p = 0; p < run.partitions; p++)
        if (run.committed[p] < run.ends[p] && run.ends[p] > 0)
            return false;
    return true;
}

/* Does the coordinator say so too? */
static bool is_settled(void)
{
    int owners[PARTITIONS_MAX];
    if (!looks_settled() || !is_all_committed())
        return false;
    struct group_view view = ask(owners);
    if (strcmp(view.state, "Stable") != 0 || view.members != count_members(RUNNING))
        return false;
    for (int p = 0; p < run.partitions; p++)
        if (owners[p] != 1)
            return false;
    return true;
}

/* What was told last of a partition. */
static void tell_history(int partition)
{
    int count = 0;
    printf("partition %d, end %" PRId64 ", read to %" PRId64 ", committed %" PRId64 ":\n", partition,
           run.ends[partition], run.read_to[partition], run.committed[partition]);
    for (int64_t i = run.log.count - 1; i >= 0 && count < HISTORY; i--) {
        const struct churn_event *event = &run.log.events[i];
        if (event->partition != partition)
            continue;
        printf("  %" PRId64 " ms ago: member %d, event %d, generation %d, next %" PRId64 ", %s\n",
               now_ms() - event->at_ns / 1000000, event->member, event->type, event->generation, event->next,
               rd_kafka_err2name(event->error));
        count++;
    }
}

static _Noreturn void tell_unrest(const char *when)
{
    int owners[PARTITIONS_MAX], told = 0;
    struct group_view view = ask(owners);
    printf("the coordinator says %s, %d members; %d run, %d stand still, %d leave\n", view.state,
           view.members, count_members(RUNNING), count_members(PAUSED), count_members(LEAVING));
    for (int i = 0; i < run.members_ever; i++) {
        const struct member *member = &run.members[i];
        if (member->state == PAUSED || (member->state == RUNNING && member->is_zombie))
            printf("member %d %s, %s; partition %d, next %" PRId64 "\n", i,
                   member->state == PAUSED ? "stands still" : "is to stop itself",
                   *member->instance ? member->instance : "dynamic", member->partition, member->next);
    }
    for (int p = 0; p < run.partitions && told < HISTORY; p++) {
        int held = 0;
        for (int i = 0; i < run.members_ever; i++)
            held += run.members[i].owns[p];
        if (held == 1 && owners[p] == 1 && run.read_to[p] >= run.ends[p] &&
            run.committed[p] >= (run.ends[p] > 0 ? run.ends[p] : -1))
            continue;
        printf("%d members say that they have it, and the coordinator of %d: ", held, owners[p]);
        tell_history(p);
        told++;
    }
    ck_abort_msg("%s: not at rest after %d ms", when, SETTLE_MS);
}

/* Waits until both the members and the coordinator say that the group is at rest; how long that took. */
static int64_t settle(const char *when)
{
    int64_t start_ms = now_ms();
    while (!is_settled()) {
        tick();
        look_after_members();
        if (now_ms() - start_ms > SETTLE_MS)
            tell_unrest(when);
    }
    return now_ms() - start_ms;
}

/* --- committed offsets, as they were written ---------------------------------------------------------- */

/* How often an offset was committed that is below an earlier one. */
static int64_t count_falls(int64_t *commits)
{
    int64_t falls = 0, last[PARTITIONS_MAX] = { 0 };
    rd_kafka_t *consumer = client_create(RD_KAFKA_CONSUMER, run.served.bootstrap, NULL);
    *commits = 0;
    for (int32_t p = 0; p < OFFSETS_PARTITIONS; p++) {
        struct reader reader;
        int64_t first, end;
        client_bounds(consumer, "__consumer_offsets", p, &first, &end);
        reader_open(&reader, consumer, "__consumer_offsets", p, first);
        for (int64_t next = first; next < end;) {
            slice name;
            int32_t partition;
            int64_t offset;
            rd_kafka_message_t *message = reader_next(&reader);
            next = message->offset + 1;
            if (group_view_commit(slice_of(message->key, message->key_len),
                                  slice_of(message->payload, message->len), &name, &partition, &offset) &&
                slice_equal_string(name, group)) {
                ck_assert(partition >= 0 && partition < PARTITIONS_MAX);
                *commits += 1;
                falls += offset < last[partition];
                last[partition] = offset;
            }
            rd_kafka_message_destroy(message);
        }
        reader_close(&reader);
    }
    rd_kafka_destroy(consumer);
    return falls;
}

/* Who commits without being a member may do so while the group is empty, and may go back. */
static void commit_as_nobody(int32_t partition, int64_t offset)
{
    const char *settings[] = { "group.id", group, NULL };
    rd_kafka_t *client = client_create(RD_KAFKA_CONSUMER, run.served.bootstrap, settings);
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(offsets, topic, partition)->offset = offset;
    /* Static members are in the group until their session ends, also when they went politely. */
    rd_kafka_resp_err_t error;
    int64_t until_ms = now_ms() + SETTLE_MS;
    do
        error = rd_kafka_commit(client, offsets, 0);
    while (error == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID && now_ms() < until_ms);
    ck_assert_int_eq(error, RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(offsets);
    rd_kafka_destroy(client);
}

/* --- the run -------------------------------------------------------------------------------------------- */

static int number_of(const char *variable, int otherwise)
{
    const char *text = getenv(variable);
    return text && *text ? atoi(text) : otherwise;
}

static void start_run(const char *protocol)
{
    char partitions[64], session[64], heartbeat[64];
    const char *seed = getenv("RUNNEL_SEED");
    int pipe_fds[2];
    uint64_t drawn;
    memset(&run, 0, sizeof run);
    run.protocol = protocol;
    run.members_wanted = number_of("RUNNEL_MEMBERS", MEMBERS);
    run.churn_ms = 1000 * number_of("RUNNEL_CHURN_SECONDS", CHURN_MS / 1000);
    run.partitions = run.members_wanted <= MEMBERS ? PARTITIONS : PARTITIONS_EACH * run.members_wanted;
    ck_assert_int_le(run.partitions, PARTITIONS_MAX);
    run.members = check_memory(calloc(MEMBERS_EVER, sizeof *run.members));
    random_secure(&drawn, sizeof drawn);
    drawn = seed && *seed ? strtoull(seed, NULL, 10) : drawn;
    random_seed(&run.random, drawn);
    printf("%s, %d members, %d partitions: RUNNEL_SEED=%" PRIu64 "\n", protocol, run.members_wanted,
           run.partitions, drawn);
    snprintf(partitions, sizeof partitions, "num.partitions=%d", run.partitions);
    snprintf(session, sizeof session, "group.consumer.session.timeout.ms=%d", SESSION_MS);
    snprintf(heartbeat, sizeof heartbeat, "group.consumer.heartbeat.interval.ms=%d", SESSION_MS / 6);
    const char *const arguments[] = { "--override", partitions,
                                      "--override", "offsets.topic.num.partitions=4",
                                      "--override", "group.min.session.timeout.ms=1000",
                                      "--override", "group.consumer.min.session.timeout.ms=1000",
                                      "--override", "group.consumer.min.heartbeat.interval.ms=100",
                                      "--override", session,
                                      "--override", heartbeat,
                                      NULL };
    served_start(&run.served, RUNNEL_BINARY, arguments);
    check(pipe2(pipe_fds, O_CLOEXEC) == 0);
    run.events_in = pipe_fds[0];
    run.events_out = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, 10); /* not the one that it has in a member */
    close(pipe_fds[1]);
    fcntl(run.events_out, F_SETPIPE_SZ, PIPE_SIZE);
    run.producer = client_create_reporting(run.served.bootstrap, NULL, reported, NULL);
    produce(1);
    client_flush(run.producer);
    ck_assert_int_eq(run.produced, 1);
}

static void end_members(void)
{
    for (int i = 0; i < run.members_ever; i++)
        if (run.members[i].state == RUNNING)
            leave_member(i);
    int64_t until_ms = now_ms() + SETTLE_MS;
    while (count_members(GONE) < run.members_ever && now_ms() < until_ms) {
        tick();
        look_after_members();
    }
    ck_assert_int_eq(count_members(GONE), run.members_ever);
}

/* The control of the fence: one that stands still for a moment only is no zombie, and its commit is taken. */
static void check_short_pause(void)
{
    struct member *member = &run.members[0];
    int status;
    kill(member->pid, SIGUSR1);
    while (waitpid(member->pid, &status, WNOHANG | WUNTRACED) != member->pid) {
        produce(RECORDS_A_TICK);
        tick();
    }
    ck_assert(WIFSTOPPED(status));
    member->was_resumed = true;
    kill(member->pid, SIGCONT);
    while (!member->was_judged)
        tick();
    ck_assert_int_eq(run.not_fenced, 1);
    ck_assert_int_eq(run.fenced, 0);
    run.not_fenced = 0; /* the control */
    member->was_resumed = member->was_judged = false;
}

static int count_still(void)
{
    int count = 0;
    for (int i = 0; i < run.members_ever; i++)
        count +=
            run.members[i].state == PAUSED || (run.members[i].state == RUNNING && run.members[i].is_zombie);
    return count;
}

static void churn(void)
{
    int64_t start_ms = now_ms(), next_ms = start_ms;
    run.is_producing = true;
    while (now_ms() - start_ms < run.churn_ms) {
        tick();
        look_after_members();
        if (now_ms() >= next_ms) {
            take_action();
            next_ms += ACTION_EVERY_MS;
        }
    }
    /* Those that stand still, or are about to, shall be overtaken: so records keep coming. */
    while (count_still() > 0 && now_ms() - start_ms < run.churn_ms + SETTLE_MS) {
        tick();
        look_after_members();
    }
    if (count_still() > 0)
        tell_unrest("nobody read on where members stand still");
    run.is_producing = false;
}

static void judge(void)
{
    int64_t commits;
    ck_assert_int_eq(run.failed, 0);
    ck_assert_int_eq(churn_unread(&run.log, run.partitions, run.ends, -1), 0);
    int64_t without_first = 0;
    for (int i = 0; i < run.members_ever && without_first == 0; i++)
        without_first = churn_unread(&run.log, run.partitions, run.ends, i);
    ck_assert_msg(without_first > 0, "control: nobody misses the records that one member read");

    struct churn_ownership owners =
        churn_judge_owners(&run.log, run.partitions, !is_consumer_protocol(), false);
    printf("  %" PRId64 " takings, %" PRId64 " of them lost by expulsion\n", owners.takings, owners.expelled);
    ck_assert_int_eq(owners.intruded, 0);
    /* librdkafka 2.16 may say that it has nothing while it is about to take what it was told before; the
     * coordinator, Apache Kafka's too, gives that to others then. Its commits are refused all the same. */
    if (is_consumer_protocol())
        printf("  %" PRId64 " taken before their holder heard of it\n", owners.doubled);
    else
        ck_assert_int_eq(owners.doubled, 0);
    ck_assert_int_eq(owners.in_one_generation, 0);
    ck_assert_msg(churn_judge_owners(&run.log, run.partitions, false, true).doubled > 0,
                  "control: partitions that nobody gave back have one owner");

    ck_assert_int_eq(count_falls(&commits), 0);
    printf("  %" PRId64 " records, %" PRId64 " commits\n", run.produced, commits);
    printf("  %d zombies fenced, %d not\n", run.fenced, run.not_fenced);
    ck_assert_int_gt(run.fenced, 0);
    ck_assert_msg(run.not_fenced == 0, "the commit of an expelled %s", run.not_fenced_last);
}

static void judge_control_of_falls(void)
{
    int64_t commits, before;
    ck_assert_int_eq(count_falls(&before), 0);
    commit_as_nobody(0, 0);
    ck_assert_msg(count_falls(&commits) == 1, "control: an offset that fell was not noticed");
    ck_assert_int_eq(commits, before + 1);
}

static void run_churn(const char *protocol)
{
    start_run(protocol);
    for (int i = 0; i < run.members_wanted; i++)
        start_any_member();
    printf("  at rest %" PRId64 " ms after the first start\n", settle("start"));
    check_short_pause();
    settle("short pause");
    churn();
    printf("  %d kills, %d pauses, %d zombies (%d names taken over), %d leaves, %d joins\n", run.kills,
           run.pauses, run.zombies, run.takeovers, run.leaves, run.joins);
    printf("  at rest %" PRId64 " ms after the churn, with %d members\n", settle("churn"),
           count_members(RUNNING));
    judge();
    end_members();
    judge_control_of_falls();
    rd_kafka_destroy(run.producer);
    close(run.events_in);
    close(run.events_out);
    churn_log_free(&run.log);
    free(run.members);
    served_stop(&run.served);
}

static const char *const protocols[] = { "eager", "cooperative" };

START_TEST(a_group_that_churns)
{
    const char *protocol = getenv("RUNNEL_GROUP_PROTOCOL");
    if (!protocol || !*protocol)
        run_churn(protocols[_i]);
    else if (_i == 0)
        run_churn(protocol);
}
END_TEST

int main(int argument_count, char **arguments)
{
    churn_member_main(argument_count, arguments);
    setvbuf(stdout, NULL, _IOLBF, 0);
    Suite *suite = suite_create("group churn");
    TCase *tests = tcase_create("real members");
    tcase_set_timeout(tests, 240 + number_of("RUNNEL_CHURN_SECONDS", 0) * 2);
    tcase_add_loop_test(tests, a_group_that_churns, 0, sizeof protocols / sizeof *protocols);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
