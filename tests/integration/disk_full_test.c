/* A disk that is full, has room again, and is full again, several times, under producers, commits and new
 * topics; killed once while it is full, and started on it: nothing acknowledged is lost, nothing is damaged,
 * reads go on, and service returns by itself.
 *
 * Needs to be allowed to mount; RUNNEL_CYCLES: how often the disk fills (default 4). */
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

#include "codec/delete_records.h"
#include "codec/find_coordinator.h"
#include "codec/init_producer_id.h"
#include "codec/offset_commit.h"
#include "codec/offset_fetch.h"
#include "protocol/errors.h"
#include "tests/support/broker_process.h"
#include "tests/support/ledger.h"
#include "tests/support/ledger_reading.h"
#include "tests/support/load.h"
#include "tests/support/one_partition.h"
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

static bool mount_tmpfs(void)
{
    return mount("tmpfs", mount_point, "tmpfs", 0, "size=40m") == 0;
}

static bool mount_ext4(void)
{
    char line[6 * TEMP_DIR_PATH_SIZE];
    snprintf(line, sizeof line,
             "truncate -s 48M %s/image && mkfs.ext4 -q -F -m 0 %s/image && mount -o loop %s/image %s",
             dir.path, dir.path, dir.path, mount_point);
    return system(line) == 0;
}

static void unmount(void)
{
    ck_assert_int_eq(umount(mount_point), 0);
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

static bool take_producer_id(struct wire_client *client, int64_t *id)
{
    struct init_producer_id_request request;
    struct init_producer_id_response response;
    init_producer_id_request_init(&request);
    request.transactional_id = SLICE_NULL;
    bool ok = wire_call(client, 22, 1, &request, &response) && response.error_code == ERR_NONE;
    if (ok)
        *id = response.producer_id;
    return ok;
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
    while (connected && number % 2 == 1 && !take_producer_id(&client, &producer_id))
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

static int16_t commit(struct wire_client *client, int64_t offset)
{
    struct offset_commit_request request;
    struct offset_commit_request_topic in_topic;
    struct offset_commit_request_partition partition;
    struct offset_commit_response response;
    offset_commit_request_init(&request);
    offset_commit_request_topic_init(&in_topic);
    offset_commit_request_partition_init(&partition);
    partition.committed_offset = offset;
    partition.committed_metadata = SLICE_LITERAL("");
    in_topic.name = SLICE_LITERAL("ledger");
    in_topic.partitions = &partition;
    request.group_id = SLICE_LITERAL("reader");
    request.member_id = SLICE_LITERAL("");
    request.topics = &in_topic;
    in_topic.partitions_count = request.topics_count = 1;
    return wire_call(client, 8, 5, &request, &response) ? response.topics[0].partitions[0].error_code : -1;
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

static void *keep_committing(void *context)
{
    struct wire_client client = { .descriptor = -1 };
    bool connected = connect_again(&client);
    (void)context;
    while (connected && !atomic_load(&is_over)) {
        int64_t offset = atomic_fetch_add(&committing, 1) + 1;
        int16_t error_code = commit(&client, offset);
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

static const struct {
    const char *what;
    bool (*mount)(void);
} rows[] = {
    { "tmpfs", mount_tmpfs },
    { "ext4", mount_ext4 },
};

static bool begin(int row)
{
    char path[TEMP_DIR_PATH_SIZE + 16];
    temp_dir_create(&dir);
    snprintf(mount_point, sizeof mount_point, "%s/disk", dir.path);
    snprintf(data_dir, sizeof data_dir, "%s/data", mount_point);
    snprintf(path, sizeof path, "%s/ledger", dir.path);
    ck_assert_int_eq(mkdir(mount_point, 0700), 0);
    if (!rows[row].mount()) {
        printf("skipped: %s cannot be mounted here (%s)\n", rows[row].what, strerror(errno));
        temp_dir_destroy(&dir);
        return false;
    }
    ledger = ledger_create(path, SEED);
    is_over = false;
    acknowledged = refused = commits = commits_refused = topics_made = topics_refused = 0;
    committed = committing = 0;
    return true;
}

START_TEST(fills_and_empties)
{
    pthread_t threads[PRODUCERS + 2];
    double slowest_s = 0;
    const char *name = topic;
    struct wire_client client;
    if (!begin(_i))
        return;
    start_broker("127.0.0.1:0");
    ck_assert(wire_connect(&client, address, TIMEOUT_MS));
    ck_assert_int_eq(topic_client_create(&client, &name, 1, PARTITIONS), ERR_NONE);
    while (commit(&client, 0) != ERR_NONE) { /* the first asks for the topic, the others until it is loaded */
        struct find_coordinator_request find;
        struct find_coordinator_response found;
        slice group = SLICE_LITERAL("reader");
        find_coordinator_request_init(&find);
        find.coordinator_keys = &group;
        find.coordinator_keys_count = 1;
        ck_assert(wire_call(&client, 10, 4, &find, &found));
        pace();
    }
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
    printf("%s: full %d times; acknowledged %ld, refused %ld; commits %ld, refused %ld; topics %ld, refused "
           "%ld; "
           "all served again within %.0f ms\n",
           rows[_i].what, cycles(), acknowledged, refused, commits, commits_refused, topics_made,
           topics_refused, slowest_s * 1000);
    judge();
    ck_assert_int_eq(broker_process_stop(broker), 0);
    start_broker("127.0.0.1:0");
    judge();
    ck_assert_int_eq(broker_process_stop(broker), 0);
    close(filler_fd);
    filler_fd = -1;
    ledger_destroy(ledger);
    unmount();
    temp_dir_destroy(&dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("disk_full");
    TCase *tests = tcase_create("fills and empties");
    tcase_set_timeout(tests, 200);
    tcase_add_loop_test(tests, fills_and_empties, 0, sizeof rows / sizeof *rows);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
