/* A disk that is full, has room again, and is full again, several times, under producers, commits and new
 * topics; killed once while it is full, and started on it: nothing acknowledged is lost, nothing is damaged,
 * reads and commits go on, and service returns by itself. And one whose only help is what is deleted through
 * the broker.
 *
 * Needs to be allowed to mount, else it is skipped; RUNNEL_CYCLES: how often the disk fills (default 4). */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/offset_fetch.h"
#include "protocol/errors.h"
#include "tests/support/broker_process.h"
#include "tests/support/ledger.h"
#include "tests/support/ledger_reading.h"
#include "tests/support/load.h"
#include "tests/support/one_partition.h"
#include "tests/support/small_calls.h"
#include "tests/support/suite.h"
#include "tests/support/temp_dir.h"
#include "tests/support/topic_client.h"
#include "tests/support/wire_client.h"

enum {
    PARTITIONS = 4,
    PRODUCERS = 4, /* the odd ones are idempotent; each has the partition of its number */
    CYCLES = 4,
    REFUSALS = 6, /* so many that the disk counts as full for the broker */
    SEED = 2026,
    PACE_MS = 4,
    WAIT_MS = 20000,
    TIMEOUT_MS = 10000,
};

static const char topic[] = "ledger";
static const char *const arguments[] = { "--override", "log.segment.bytes=1048576", "--override",
                                         "num.partitions=1", NULL };

static struct temp_dir dir;
static char mount_point[TEMP_DIR_PATH_SIZE + 8], data_dir[TEMP_DIR_PATH_SIZE + 16];
static struct broker_process *broker;
static char address[64]; /* the port stays the same over the restart */
static struct ledger *ledger;
static atomic_bool is_over;
static atomic_long acknowledged, refused, commits, commits_refused, topics_made, topics_refused;
static atomic_long committed, committing; /* the last that was acknowledged, and the last that was sent */

/* --- the file system -------------------------------------------------------------------------------- */

static bool mount_tmpfs(const char *type)
{
    return mount(type, mount_point, type, 0, "size=40m") == 0;
}

/* One that every process but ours left alone; a loop device goes with its mount. */
static bool mount_image(const char *type)
{
    char line[6 * TEMP_DIR_PATH_SIZE];
    snprintf(line, sizeof line,
             "{ truncate -s 48M %s/image && mkfs.%s -q -F -m 0 %s/image && mount -o loop %s/image %s; } 2>&1",
             dir.path, type, dir.path, dir.path, mount_point);
    return system(line) == 0;
}

static int filler_fd = -1;

/* Takes all the room there is, down to the last byte. */
static void fill_up(void)
{
    static const char block[65536];
    char path[TEMP_DIR_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/filler", mount_point);
    if (filler_fd < 0)
        filler_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(filler_fd, 0);
    (void)lseek(filler_fd, 0, SEEK_END);
    for (size_t size = sizeof block; size > 0; size /= 2)
        while (write(filler_fd, block, size) > 0)
            ;
    ck_assert_int_eq(errno, ENOSPC);
}

static void make_room(void)
{
    ck_assert_int_eq(ftruncate(filler_fd, 0), 0);
}

/* --- the clients ------------------------------------------------------------------------------------ */

static void pace(void)
{
    poll(NULL, 0, PACE_MS);
}

/* Again and again until the broker is there; false at the end of the test. */
static bool connect_again(struct wire_client *client)
{
    wire_close(client);
    while (!wire_connect(client, address, TIMEOUT_MS)) {
        if (atomic_load(&is_over))
            return false;
        pace();
    }
    return true;
}

/* One record; ERR_NONE, an error, or -1: nobody knows. */
static int16_t produce(struct wire_client *client, int number, int64_t sequence, int64_t producer_id,
                       int64_t *offset)
{
    uint8_t value[LEDGER_VALUE_MAX];
    struct one_produce one;
    struct produce_response response;
    struct batch_view batch;
    struct arena arena;
    size_t size = ledger_value(SEED, (struct ledger_id){ number, sequence }, value);
    const struct batch_builder_options options = { .leader_epoch = -1,
                                                   .producer_id = producer_id,
                                                   .producer_epoch = producer_id >= 0 ? 0 : -1,
                                                   .base_sequence =
                                                       producer_id >= 0 ? (int32_t)sequence : -1 };
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    ck_assert(batch_builder_add(builder, 1700000000000, SLICE_NULL, slice_of(value, size), NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    one_produce(&one, topic, number, batch_bytes(&batch));
    bool ok = wire_call(client, 0, 9, &one.request, &response);
    arena_destroy(&arena);
    *offset = ok ? response.topics[0].partitions[0].base_offset : -1;
    return ok ? response.topics[0].partitions[0].error_code : -1;
}

static void *keep_producing(void *context)
{
    int number = (int)(intptr_t)context;
    struct wire_client client = { .descriptor = -1 };
    int64_t sequence = 0, producer_id = -1, offset;
    bool connected = connect_again(&client);
    while (connected && number % 2 == 1 && call_producer_id(&client, &producer_id) != ERR_NONE)
        pace();
    while (connected && !atomic_load(&is_over)) {
        int16_t error_code = produce(&client, number, sequence, producer_id, &offset);
        if (error_code == ERR_NONE) {
            ledger_acknowledge(ledger, number, offset, (struct ledger_id){ number, sequence });
            atomic_fetch_add(&acknowledged, 1);
        } else if (error_code > 0) {
            ck_assert_msg(error_code == ERR_KAFKA_STORAGE_ERROR, "produce was answered with %d", error_code);
            atomic_fetch_add(&refused, 1);
        } else {
            connected = connect_again(&client);
        }
        /* Who is not idempotent does not ask twice. */
        sequence += error_code == ERR_NONE || producer_id < 0;
        pace();
    }
    wire_close(&client);
    return NULL;
}

static int64_t fetch_committed(struct wire_client *client)
{
    struct offset_fetch_request request;
    struct offset_fetch_response response;
    offset_fetch_request_init(&request);
    request.group_id = SLICE_LITERAL("reader");
    request.topics = NULL;
    request.topics_count = -1;
    if (!wire_call(client, 9, 5, &request, &response) || response.error_code != ERR_NONE ||
        response.topics_count == 0)
        return -1;
    return response.topics[0].partitions[0].committed_offset;
}

/* Until the coordinator has loaded. */
static void expect_committed(struct wire_client *client, int64_t offset)
{
    int64_t found;
    double deadline = monotonic_seconds() + WAIT_MS / 1000.0;
    while ((found = fetch_committed(client)) < 0 && monotonic_seconds() < deadline)
        pace();
    ck_assert_int_eq(found, offset);
}

static void *keep_committing(void *context)
{
    struct wire_client client = { .descriptor = -1 };
    bool connected = connect_again(&client);
    (void)context;
    while (connected && !atomic_load(&is_over)) {
        int64_t offset = atomic_fetch_add(&committing, 1) + 1;
        int16_t error_code = call_commit(&client, COMMITTER_OF("reader"), topic, offset);
        if (error_code == ERR_NONE) {
            atomic_store(&committed, offset);
            atomic_fetch_add(&commits, 1);
        } else if (error_code > 0) {
            atomic_fetch_add(&commits_refused, 1);
        } else {
            connected = connect_again(&client);
        }
        pace();
    }
    wire_close(&client);
    return NULL;
}

static void *keep_creating(void *context)
{
    struct wire_client client = { .descriptor = -1 };
    bool connected = connect_again(&client);
    int number = 0;
    (void)context;
    while (connected && !atomic_load(&is_over)) {
        char name[32];
        const char *names = name;
        snprintf(name, sizeof name, "new-%d", number);
        int16_t error_code = topic_client_create(&client, &names, 1, 1);
        /* What was asked for when the broker was killed may be there. */
        if (error_code == ERR_NONE || error_code == ERR_TOPIC_ALREADY_EXISTS) {
            number++;
            atomic_fetch_add(&topics_made, 1);
        } else if (error_code > 0) {
            atomic_fetch_add(&topics_refused, 1);
        } else {
            connected = connect_again(&client);
        }
        poll(NULL, 0, 10 * PACE_MS);
    }
    wire_close(&client);
    return NULL;
}

/* --- what is seen from outside ---------------------------------------------------------------------- */

static bool wait_beyond(const atomic_long *counter, long value)
{
    double deadline = monotonic_seconds() + WAIT_MS / 1000.0;
    while (atomic_load(counter) <= value && monotonic_seconds() < deadline)
        poll(NULL, 0, 2);
    return atomic_load(counter) > value;
}

static void expect_reads(const char *when)
{
    struct wire_client client;
    ck_assert(wire_connect(&client, address, TIMEOUT_MS));
    for (int32_t p = 0; p < PARTITIONS; p++) {
        struct one_fetch one;
        struct fetch_response response;
        one_fetch(&one, topic, p, 0);
        ck_assert_msg(wire_call(&client, 1, 11, &one.request, &response), "%s: no answer to a fetch", when);
        ck_assert_msg(response.topics[0].partitions[0].error_code == ERR_NONE &&
                          response.topics[0].partitions[0].records.bytes.size > 0,
                      "%s: partition %d: error %d", when, p, response.topics[0].partitions[0].error_code);
    }
    ck_assert_int_ge(topic_client_count(&client), 1);
    wire_close(&client);
}

static void start_broker(const char *listen)
{
    const char *again[] = {
        "--listen", listen, arguments[0], arguments[1], arguments[2], arguments[3], NULL
    };
    broker = broker_process_start(RUNNEL_BINARY, data_dir, again);
    snprintf(address, sizeof address, "%s", broker_process_address(broker));
}

static void kill_and_start(void)
{
    char listen[64];
    snprintf(listen, sizeof listen, "%s", address);
    ck_assert_int_eq(broker_process_kill(broker), 128 + 9);
    double before = monotonic_seconds();
    start_broker(listen);
    printf("started on the full disk in %.0f ms\n", (monotonic_seconds() - before) * 1000);
}

static int cycles(void)
{
    const char *given = getenv("RUNNEL_CYCLES");
    return given && atoi(given) > 0 ? atoi(given) : CYCLES;
}

/* Fills, waits until everybody feels it, perhaps kills, makes room, waits until everybody is served. */
static void cycle(int number, double *slowest_s)
{
    long before = atomic_load(&acknowledged);
    ck_assert(wait_beyond(&acknowledged, before + 100));
    long refusals = atomic_load(&refused);
    fill_up();
    ck_assert_msg(wait_beyond(&refused, refusals + REFUSALS), "the full disk was not noticed");
    expect_reads("full");
    ck_assert_msg(wait_beyond(&commits, atomic_load(&commits) + 4), "commits do not go on");
    if (number == 1) {
        kill_and_start();
        expect_reads("started on a full disk");
        refusals = atomic_load(&refused);
        ck_assert(wait_beyond(&refused, refusals + REFUSALS));
    }
    fill_up(); /* what the broker gave up meanwhile */
    make_room();
    double since = monotonic_seconds();
    before = atomic_load(&acknowledged);
    long commits_before = atomic_load(&commits), topics_before = atomic_load(&topics_made);
    ck_assert_msg(wait_beyond(&acknowledged, before + 20), "records are not taken again");
    ck_assert_msg(wait_beyond(&commits, commits_before + 2), "commits are not taken again");
    ck_assert_msg(wait_beyond(&topics_made, topics_before), "topics are not made again");
    double took = monotonic_seconds() - since;
    *slowest_s = took > *slowest_s ? took : *slowest_s;
}

static void judge(void)
{
    int64_t verified_to[PARTITIONS] = { 0 };
    struct ledger_verdict verdict = ledger_read_back(ledger, address, topic, PARTITIONS, verified_to);
    printf("records %" PRId64 ", acknowledged %" PRId64 ", lost %" PRId64 ", corrupt %" PRId64
           ", duplicates %" PRId64 ", gaps %" PRId64 "\n",
           verdict.records, verdict.acknowledged, verdict.lost, verdict.corrupt, verdict.duplicates,
           verdict.gaps);
    ck_assert_int_eq(verdict.lost, 0);
    ck_assert_int_eq(verdict.corrupt, 0);
    ck_assert_int_eq(verdict.duplicates, 0);
    ck_assert_int_eq(verdict.disordered, 0);
    ck_assert_int_eq(verdict.gaps, 0);
    ck_assert_int_eq(verdict.acknowledged, ledger_acknowledged(ledger));
    struct wire_client client;
    ck_assert(wire_connect(&client, address, TIMEOUT_MS));
    ck_assert_int_ge(topic_client_count(&client), atomic_load(&topics_made) + 1);
    int64_t found = fetch_committed(&client);
    ck_assert_int_ge(found, atomic_load(&committed));
    ck_assert_int_le(found, atomic_load(&committing));
    wire_close(&client);
}

static void begin(void)
{
    char path[TEMP_DIR_PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/ledger", dir.path);
    ledger = ledger_create(path, SEED);
    is_over = false;
    acknowledged = refused = commits = commits_refused = topics_made = topics_refused = 0;
    committed = committing = 0;
}

START_TEST(fills_and_empties)
{
    pthread_t threads[PRODUCERS + 2];
    double slowest_s = 0;
    const char *name = topic;
    struct wire_client client;
    begin();
    start_broker("127.0.0.1:0");
    ck_assert(wire_connect(&client, address, TIMEOUT_MS));
    ck_assert_int_eq(topic_client_create(&client, &name, 1, PARTITIONS), ERR_NONE);
    ck_assert(call_until_committed(&client, "reader", topic));
    wire_close(&client);
    for (int i = 0; i < PRODUCERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, keep_producing, (void *)(intptr_t)i), 0);
    ck_assert_int_eq(pthread_create(&threads[PRODUCERS], NULL, keep_committing, NULL), 0);
    ck_assert_int_eq(pthread_create(&threads[PRODUCERS + 1], NULL, keep_creating, NULL), 0);
    for (int i = 0; i < cycles(); i++)
        cycle(i, &slowest_s);
    atomic_store(&is_over, true);
    for (int i = 0; i < PRODUCERS + 2; i++)
        pthread_join(threads[i], NULL);
    printf("full %d times; acknowledged %ld, refused %ld; commits %ld, refused %ld; topics %ld, refused "
           "%ld; "
           "all served again within %.0f ms\n",
           cycles(), acknowledged, refused, commits, commits_refused, topics_made, topics_refused,
           slowest_s * 1000);
    /* But for those that the kill left without an answer, and while the coordinator loaded. */
    ck_assert_msg(commits_refused < commits / 10, "commits were refused");
    judge();
    ck_assert_int_eq(broker_process_stop(broker), 0);
    start_broker("127.0.0.1:0");
    judge();
    ck_assert_int_eq(broker_process_stop(broker), 0);
    ledger_destroy(ledger);
}
END_TEST

/* --- room is made through the broker ------------------------------------------------------------------ */

enum { BATCH_SIZE = 900000, BATCHES = 14 }; /* a segment each; more than it takes to return */

static struct wire_client client_of_all;

static void expect(const char *what, int16_t error_code, int16_t expected)
{
    ck_assert_msg(error_code == expected, "%s: answered with %d", what, error_code);
}

/* What is refused, and what goes on. */
static void expect_full(int64_t offset)
{
    struct wire_client *client = &client_of_all;
    const char *name = "late";
    int64_t id;
    for (int i = 0; i < REFUSALS; i++)
        expect("a record", call_produce(client, topic, 0, BATCH_SIZE / 10), ERR_KAFKA_STORAGE_ERROR);
    for (int64_t i = 0; i < 50; i++)
        expect("a commit", call_commit(client, COMMITTER_OF("reader"), topic, offset + i), ERR_NONE);
    expect("a small record", call_produce(client, topic, 0, 10), ERR_KAFKA_STORAGE_ERROR);
    expect("a new topic", topic_client_create(client, &name, 1, 1), ERR_KAFKA_STORAGE_ERROR);
    expect("a producer id", call_producer_id(client, &id), ERR_NONE);
    expect_committed(client, offset + 49);
    expect_reads("full");
}

/* Without anybody's help; returns after how many ms. */
static double wait_for_service(void)
{
    double since = monotonic_seconds();
    int16_t error_code;
    while ((error_code = call_produce(&client_of_all, topic, 0, 1000)) == ERR_KAFKA_STORAGE_ERROR &&
           monotonic_seconds() - since < WAIT_MS / 1000.0)
        pace();
    expect("after room was made", error_code, ERR_NONE);
    return (monotonic_seconds() - since) * 1000;
}

static void fill_topic(const char *name)
{
    for (int i = 0; i < BATCHES; i++)
        expect(name, call_produce(&client_of_all, name, 0, BATCH_SIZE), ERR_NONE);
}

static void connect_to(const char *listen)
{
    start_broker(listen);
    ck_assert(wire_connect(&client_of_all, address, TIMEOUT_MS));
}

START_TEST(room_is_made_through_the_broker)
{
    static const char *const names[] = { "trimmed", "deleted", topic };
    struct wire_client *client = &client_of_all;
    begin();
    connect_to("127.0.0.1:0");
    ck_assert_int_eq(topic_client_create(client, names, 2, 1), ERR_NONE);
    ck_assert_int_eq(topic_client_create(client, &names[2], 1, PARTITIONS), ERR_NONE);
    ck_assert(call_until_committed(client, "reader", topic));
    for (int32_t p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(call_produce(client, topic, p, 100), ERR_NONE);
    fill_topic("trimmed");
    fill_topic("deleted");
    fill_up();
    expect_full(100);
    expect("DeleteRecords", call_delete_records(client, "trimmed", -1), ERR_NONE);
    double trimmed_ms = wait_for_service();
    fill_up();
    expect_full(200);
    /* Killed, and started where nothing is free but what is left of the reserve. */
    wire_close(client);
    (void)broker_process_kill(broker);
    connect_to("127.0.0.1:0");
    ck_assert(call_until_committed(client, "reader", topic));
    expect_full(300);
    expect("DeleteTopics", topic_client_delete(client, &names[1], 1), ERR_NONE);
    double deleted_ms = wait_for_service();
    fill_up();
    expect_full(400);
    wire_close(client);
    ck_assert_int_eq(broker_process_stop(broker), 0); /* clean, and on a full disk */
    connect_to("127.0.0.1:0");
    expect_committed(client, 449);
    expect("a record", call_produce(client, topic, 0, 10), ERR_KAFKA_STORAGE_ERROR);
    expect_reads("started after a clean stop on a full disk");
    make_room();
    double filler_ms = wait_for_service();
    printf("served again after DeleteRecords %.0f ms, DeleteTopics %.0f ms, room made otherwise %.0f ms\n",
           trimmed_ms, deleted_ms, filler_ms);
    wire_close(client);
    ck_assert_int_eq(broker_process_stop(broker), 0);
    ledger_destroy(ledger);
}
END_TEST

/* --- the file systems --------------------------------------------------------------------------------- */

static const struct {
    const char *type;
    bool (*mount)(const char *type);
    const TTest **test;
} rows[] = {
    { "tmpfs", mount_tmpfs, &fills_and_empties },
    { "ext4", mount_image, &fills_and_empties },
    { "tmpfs", mount_tmpfs, &room_is_made_through_the_broker },
    { "ext4", mount_image, &room_is_made_through_the_broker },
    { "ext2", mount_image, &room_is_made_through_the_broker }, /* without fallocate(2) and without a journal */
};

/* Mounts are this process's, so that they go whatever becomes of the test. */
static bool run_row(size_t row, int *failed)
{
    temp_dir_create(&dir);
    snprintf(mount_point, sizeof mount_point, "%s/disk", dir.path);
    snprintf(data_dir, sizeof data_dir, "%s/data", mount_point);
    bool is_mounted = mkdir(mount_point, 0700) == 0 && rows[row].mount(rows[row].type);
    if (is_mounted) {
        Suite *suite = suite_create(rows[row].type);
        TCase *tests = tcase_create("full");
        tcase_set_timeout(tests, 90);
        tcase_add_test(tests, *rows[row].test);
        suite_add_tcase(suite, tests);
        *failed += suite_run(suite);
        /* What a failed test left running dies with it, but perhaps a moment later. */
        if (umount(mount_point) != 0 && umount2(mount_point, MNT_DETACH) != 0)
            perror(mount_point);
    } else {
        printf("skipped: %s cannot be mounted here (%s)\n", rows[row].type, strerror(errno));
    }
    temp_dir_destroy(&dir);
    return is_mounted;
}

int main(void)
{
    int failed = 0, mounted = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        mounted += run_row(i, &failed);
    return failed > 0 ? 1 : mounted > 0 ? 0 : EXIT_SKIPPED;
}
