/* What the real broker does when a call on a file fails: what it answers, whether it lives, with which code
 * it ends, what it says, and that the next start finds all that was acknowledged. tests/sim has the same
 * rules over the pretend disk at every moment; here they are held against a process. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/exit_codes.h"
#include "protocol/errors.h"
#include "tests/support/broker_process.h"
#include "tests/support/fault_disk.h"
#include "tests/support/load.h"
#include "tests/support/one_partition.h"
#include "tests/support/small_calls.h"
#include "tests/support/suite.h"
#include "tests/support/temp_dir.h"
#include "tests/support/topic_client.h"
#include "tests/support/wire_client.h"

enum { TIMEOUT_MS = 15000, PARTITIONS = 4, MANY = 64, RECORDS = 8 };

static struct temp_dir dir;
static struct fault_disk disk;
static struct broker_process *broker;
static struct wire_client client;
static char data[TEMP_DIR_PATH_SIZE + 16];
static int64_t acknowledged[PARTITIONS];

static void path_of(const char *name, char *out, size_t size)
{
    ck_assert_int_lt(snprintf(out, size, "%s/%s", dir.path, name), (int)size);
}

/* A line may follow the answer: the flusher writes some. */
static bool says(const char *words)
{
    char line[2 * TEMP_DIR_PATH_SIZE];
    snprintf(line, sizeof line, "grep -qF -- '%s' %s.stderr", words, data);
    bool is_there = false;
    for (double until = monotonic_seconds() + TIMEOUT_MS / 1000.0;
         !is_there && monotonic_seconds() < until;) {
        is_there = system(line) == 0;
        if (!is_there)
            poll(NULL, 0, 20);
    }
    return is_there;
}

static struct broker_process *spawn(bool two_dirs)
{
    char dirs[2 * TEMP_DIR_PATH_SIZE + 64];
    snprintf(dirs, sizeof dirs, "log.dirs=%s/data,%s/second", dir.path, dir.path);
    const char *const arguments[] = { "--override",
                                      "offsets.topic.num.partitions=1",
                                      "--override",
                                      "log.segment.bytes=1048576",
                                      two_dirs ? "--override" : NULL,
                                      dirs,
                                      NULL };
    fault_disk_preload(&disk);
    struct broker_process *started = broker_process_spawn(RUNNEL_BINARY, data, arguments);
    fault_disk_release();
    return started;
}

static void start(bool two_dirs)
{
    broker = spawn(two_dirs);
    ck_assert(broker_process_wait_ready(broker, TIMEOUT_MS));
    ck_assert(wire_connect(&client, broker_process_address(broker), TIMEOUT_MS));
}

/* --- actions: what is asked, and the error that comes back ------------------------------------------- */

/* So short is the wait for descriptors. */
static int16_t produce_to(const char *topic, int32_t partition, size_t value_size)
{
    return call_produce_within(&client, topic, partition, value_size, 500);
}

static int16_t produce(int32_t partition)
{
    int16_t error_code = produce_to("one", partition, 100);
    acknowledged[partition] += error_code == ERR_NONE;
    return error_code;
}

static int16_t produce_first(void)
{
    return produce(0);
}

static int16_t produce_new(void)
{
    return produce_to("empty", 0, 100);
}

static int16_t roll(void)
{
    int16_t error_code = ERR_NONE;
    for (int i = 0; i < 6 && error_code == ERR_NONE; i++)
        error_code = produce_to("large", 0, 500000);
    return error_code;
}

static int16_t fetch_from(const char *topic, int32_t partition, int64_t offset)
{
    struct one_fetch one;
    struct fetch_response response;
    one_fetch(&one, topic, partition, offset);
    if (!wire_call(&client, 1, 11, &one.request, &response))
        return NO_ANSWER;
    int16_t error_code = response.topics[0].partitions[0].error_code;
    if (error_code == ERR_NONE && response.topics[0].partitions[0].records.bytes.size == 0)
        return ERR_OFFSET_OUT_OF_RANGE;
    return error_code;
}

/* A segment that nobody has read yet. */
static int16_t fetch_sealed(void)
{
    return fetch_from("large", 0, 0);
}

static int16_t create(void)
{
    static int number;
    char name[32];
    const char *names = name;
    snprintf(name, sizeof name, "new-%d", number++);
    return topic_client_create(&client, &names, 1, 1);
}

static int16_t commit(void)
{
    return call_commit(&client, COMMITTER_OF("reader"), "one", 0);
}

static int16_t delete_records(void)
{
    return call_delete_records(&client, "large", 1);
}

/* --- the directory ---------------------------------------------------------------------------------- */

static void begin(bool two_dirs)
{
    static const char *const topics[] = { "one", "empty", "large" };
    temp_dir_create(&dir);
    path_of("data", data, sizeof data);
    fault_disk_create(&disk, FAULT_DISK, dir.path);
    memset(acknowledged, 0, sizeof acknowledged);
    start(two_dirs);
    ck_assert_int_eq(topic_client_create(&client, topics, 3, PARTITIONS), ERR_NONE);
    for (int i = 0; i < RECORDS; i++)
        ck_assert_int_eq(produce(i % PARTITIONS), ERR_NONE);
    ck_assert_int_eq(roll(), ERR_NONE);
    ck_assert(call_until_committed(&client, "reader", "one"));
}

/* All that was acknowledged is there. */
static void expect_records(void)
{
    for (int32_t p = 0; p < PARTITIONS; p++) {
        struct one_fetch one;
        struct fetch_response response;
        one_fetch(&one, "one", p, 0);
        ck_assert(wire_call(&client, 1, 11, &one.request, &response));
        ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
        ck_assert_int_ge(response.topics[0].partitions[0].high_watermark, acknowledged[p]);
        ck_assert_uint_gt(response.topics[0].partitions[0].records.bytes.size, 0);
    }
}

static void end(bool is_served)
{
    wire_close(&client);
    if (is_served)
        ck_assert_int_eq(broker_process_stop(broker), EXIT_OK);
    fault_disk_destroy(&disk);
    temp_dir_destroy(&dir);
}

static bool is_left_out(void)
{
    bool sanitized = fault_disk_is_sanitized(RUNNEL_BINARY);
    if (sanitized)
        puts("skipped: the broker is built with a sanitizer");
    return sanitized;
}

/* --- while it serves -------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    uint32_t kinds;
    const char *part;
    int error;
    int16_t (*act)(void);
    int16_t answer;
    int ends;          /* its exit code; EXIT_OK: it lives, and the same succeeds once the fault is over */
    const char *words; /* that it says */
} rows[] = {
    { "EIO on a write of records", FAULT_WRITE, "/one-0/", EIO, produce_first, ERR_KAFKA_STORAGE_ERROR,
      EXIT_STORAGE_FAILED, "directory.failed" },
    { "EIO on a flush of records", FAULT_FLUSH, "/one-0/", EIO, produce_first, ERR_KAFKA_STORAGE_ERROR,
      EXIT_STORAGE_FAILED, "directory.failed" },
    { "a file system that became read-only", FAULT_CHANGES, "", EROFS, produce_first, ERR_KAFKA_STORAGE_ERROR,
      EXIT_STORAGE_FAILED, "storage.failed" },
    { "EIO on the flush of a directory's names", FAULT_FLUSH, "/empty-0", EIO, produce_new,
      ERR_KAFKA_STORAGE_ERROR, EXIT_STORAGE_FAILED, "directory.failed" },
    { "EIO on a rename at a roll", FAULT_NAMES, "/large-0/", EIO, roll, ERR_KAFKA_STORAGE_ERROR,
      EXIT_STORAGE_FAILED, "directory.failed" },
    { "EIO on a write of metadata", FAULT_WRITE, "/__cluster_metadata-0/", EIO, create,
      ERR_KAFKA_STORAGE_ERROR, EXIT_STORAGE_FAILED, "storage.failed" },
    { "EIO on a flush of metadata", FAULT_FLUSH, "/__cluster_metadata-0/", EIO, create,
      ERR_KAFKA_STORAGE_ERROR, EXIT_STORAGE_FAILED, "storage.failed" },
    { "EIO on a write of offsets", FAULT_WRITE, "/__consumer_offsets-0/", EIO, commit, ERR_NOT_COORDINATOR,
      EXIT_STORAGE_FAILED, "directory.failed" },
    { "ENOSPC on a write of records", FAULT_WRITE, "/one-0/", ENOSPC, produce_first, ERR_KAFKA_STORAGE_ERROR,
      EXIT_OK, NULL },
    { "EDQUOT on a write of records", FAULT_WRITE, "/one-0/", EDQUOT, produce_first, ERR_KAFKA_STORAGE_ERROR,
      EXIT_OK, NULL },
    { "ENOSPC on all that grows", FAULT_WRITE | FAULT_OPEN_WRITE, "/data/", ENOSPC, produce_new,
      ERR_KAFKA_STORAGE_ERROR, EXIT_OK, NULL },
    { "ENOSPC on a write of metadata", FAULT_WRITE, "/__cluster_metadata-0/", ENOSPC, create,
      ERR_KAFKA_STORAGE_ERROR, EXIT_OK, "metadata.append_failed" },
    { "ENOSPC on a write of offsets", FAULT_WRITE, "/__consumer_offsets-0/", ENOSPC, commit,
      ERR_COORDINATOR_NOT_AVAILABLE, EXIT_OK, NULL },
    { "ENOSPC on the checkpoint of starts", FAULT_WRITE, "start-offset", ENOSPC, delete_records,
      ERR_KAFKA_STORAGE_ERROR, EXIT_OK, NULL },
    { "no descriptor for a new log", FAULT_OPEN_WRITE, "/empty-0/", EMFILE, produce_new,
      ERR_KAFKA_STORAGE_ERROR, EXIT_OK, NULL },
    { "no memory for a mapping: it is read instead", FAULT_MAP, "/large-0/", ENOMEM, fetch_sealed, ERR_NONE,
      EXIT_OK, NULL },
    { "EIO on a read: these records are refused, nothing else is", FAULT_READ | FAULT_MAP, "/large-0/", EIO,
      fetch_sealed, ERR_KAFKA_STORAGE_ERROR, EXIT_OK, NULL },
};

START_TEST(faults_while_it_serves)
{
    if (is_left_out())
        return;
    begin(false);
    fault_disk_fail(&disk, rows[_i].kinds, rows[_i].part, rows[_i].error, UINT32_MAX);
    int16_t answer = rows[_i].act();
    ck_assert_msg(answer == rows[_i].answer, "%s: answered with %d", rows[_i].what, answer);
    ck_assert_msg(fault_disk_failed(&disk) > 0, "%s: nothing failed", rows[_i].what);
    /* The answer may leave before it is said why. */
    bool has_ended = rows[_i].ends == EXIT_OK || broker_process_ended(broker, TIMEOUT_MS);
    ck_assert_msg(has_ended, "%s: it lives", rows[_i].what);
    ck_assert_msg(!rows[_i].words || says(rows[_i].words), "%s: does not say %s", rows[_i].what,
                  rows[_i].words);
    if (rows[_i].ends == EXIT_OK) {
        expect_records();
        fault_disk_fail(&disk, 0, "", 0, 0);
        while ((answer = rows[_i].act()) != ERR_NONE && answer == rows[_i].answer)
            poll(NULL, 0, 10); /* it has a timeout of its own */
        ck_assert_msg(answer == ERR_NONE, "%s: afterwards %d", rows[_i].what, answer);
    } else {
        uint64_t failed = fault_disk_failed(&disk);
        if (rows[_i].kinds == FAULT_FLUSH && strcmp(rows[_i].part, "/one-0/") == 0) /* a lone file */
            ck_assert_msg(failed == 1, "%s: flushed %d times", rows[_i].what, (int)failed);
        int code = broker_process_kill(broker);
        ck_assert_msg(code == rows[_i].ends, "%s: ended with %d", rows[_i].what, code);
        wire_close(&client);
        fault_disk_fail(&disk, 0, "", 0, 0);
        start(false);
    }
    expect_records();
    /* After a full disk records wait until what is kept for that day is there again. */
    while ((answer = produce(0)) == ERR_KAFKA_STORAGE_ERROR && rows[_i].ends == EXIT_OK)
        poll(NULL, 0, 10);
    ck_assert_int_eq(answer, ERR_NONE);
    end(true);
}
END_TEST

/* --- one of two directories ------------------------------------------------------------------------- */

START_TEST(one_directory_of_two_fails)
{
    int served = 0, refused = 0;
    if (is_left_out())
        return;
    begin(true);
    fault_disk_fail(&disk, FAULT_FLUSH | FAULT_WRITE, "/second/", EIO, UINT32_MAX);
    for (int round = 0; round < 2; round++) {
        for (int32_t p = 0; p < PARTITIONS; p++) {
            int16_t error_code = produce(p);
            ck_assert(error_code == ERR_NONE || error_code == ERR_KAFKA_STORAGE_ERROR);
            served += error_code == ERR_NONE;
            refused += error_code != ERR_NONE;
        }
    }
    ck_assert_int_gt(served, 0);
    ck_assert_int_gt(refused, 0);
    ck_assert_int_eq(create(), ERR_NONE);
    expect_records(); /* what is there is read, also where nothing can be written */
    ck_assert(says("directory.failed"));
    ck_assert(!broker_process_ended(broker, 0));
    int code = broker_process_stop(broker);
    ck_assert_msg(code == EXIT_STORAGE_FAILED, "stopped with %d", code);
    wire_close(&client);
    fault_disk_fail(&disk, 0, "", 0, 0);
    start(true);
    expect_records();
    for (int32_t p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(produce(p), ERR_NONE);
    end(true);
}
END_TEST

/* --- at the start ----------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    uint32_t kinds;
    const char *part;
    int error;
    bool was_killed;
    int code;
} starts[] = {
    { "EIO on reading the identity", FAULT_OPEN_READ | FAULT_READ, "/meta.properties", EIO, false,
      EXIT_STORAGE_FAILED },
    { "a read-only file system", FAULT_CHANGES, "", EROFS, false, EXIT_DATA_DIR_UNWRITABLE },
    { "EIO on reading records in a recovery", FAULT_READ, "/one-0/", EIO, true, EXIT_STORAGE_FAILED },
    { "EIO on reading metadata", FAULT_READ | FAULT_MAP, "/__cluster_metadata-0/", EIO, true,
      EXIT_STORAGE_FAILED },
    { "EIO on a flush in a recovery", FAULT_FLUSH, "", EIO, true, EXIT_STORAGE_FAILED },
};

START_TEST(faults_at_the_start)
{
    if (is_left_out())
        return;
    begin(false);
    wire_close(&client);
    if (starts[_i].was_killed) {
        ck_assert_int_eq(broker_process_kill(broker), 128 + 9);
        /* Somebody was here in between, so everything is read anew. */
        char line[2 * TEMP_DIR_PATH_SIZE];
        snprintf(line, sizeof line, "rm -f %s/*.runnel", data);
        ck_assert_int_eq(system(line), 0);
    } else {
        ck_assert_int_eq(broker_process_stop(broker), EXIT_OK);
    }
    fault_disk_fail(&disk, starts[_i].kinds, starts[_i].part, starts[_i].error, UINT32_MAX);
    broker = spawn(false);
    ck_assert_msg(!broker_process_wait_ready(broker, TIMEOUT_MS), "%s: it serves", starts[_i].what);
    ck_assert(broker_process_ended(broker, TIMEOUT_MS));
    int code = broker_process_kill(broker);
    ck_assert_msg(code == starts[_i].code, "%s: ended with %d", starts[_i].what, code);
    ck_assert(says("start.failed"));
    fault_disk_fail(&disk, 0, "", 0, 0);
    start(false);
    expect_records();
    ck_assert_int_eq(produce(0), ERR_NONE);
    end(true);
}
END_TEST

/* --- what needs no library: files cut by somebody, descriptors used up ------------------------------- */

/* Bytes that were mapped are gone: an error for these offsets, not the end of the process. */
START_TEST(a_segment_is_cut_under_the_broker)
{
    static const char *const names[] = { "00000000000000000000.log", "00000000000000000002.log" };
    char path[2 * TEMP_DIR_PATH_SIZE];
    temp_dir_create(&dir);
    path_of("data", data, sizeof data);
    fault_disk_create(&disk, FAULT_DISK, dir.path);
    memset(acknowledged, 0, sizeof acknowledged);
    const char *const arguments[] = { "--override", "log.segment.bytes=1048576", NULL };
    broker = broker_process_start(RUNNEL_BINARY, data, arguments);
    ck_assert(wire_connect(&client, broker_process_address(broker), TIMEOUT_MS));
    const char *const topics[] = { "one", "large" };
    ck_assert_int_eq(topic_client_create(&client, topics, 2, PARTITIONS), ERR_NONE);
    for (int i = 0; i < RECORDS; i++)
        ck_assert_int_eq(produce(i % PARTITIONS), ERR_NONE);
    ck_assert_int_eq(roll(), ERR_NONE);
    for (int64_t offset = 0; offset < 6; offset++)
        ck_assert_int_eq(fetch_from("large", 0, offset), ERR_NONE); /* all is mapped */
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/large-0/%s", data, names[i]);
        ck_assert_int_eq(truncate(path, i == 0 ? 0 : 600000), 0);
    }
    for (int round = 0; round < 3; round++) {
        for (int64_t offset = 0; offset < 4; offset++) {
            int16_t error_code = fetch_from("large", 0, offset);
            bool is_there = offset == 2;
            ck_assert_msg(is_there
                              ? error_code == ERR_NONE
                              : error_code == ERR_KAFKA_STORAGE_ERROR || error_code == ERR_CORRUPT_MESSAGE,
                          "offset %d is answered with %d", (int)offset, error_code);
        }
        ck_assert_int_eq(fetch_from("large", 0, 4), ERR_NONE);
        expect_records();
        ck_assert_int_eq(produce(1), ERR_NONE);
    }
    ck_assert(!broker_process_ended(broker, 0));
    wire_close(&client);
    (void)broker_process_kill(broker);
    fault_disk_destroy(&disk);
    temp_dir_destroy(&dir);
}
END_TEST

static unsigned descriptor_count(pid_t pid)
{
    unsigned highest = 0;
    for (unsigned i = 0; i < 4096; i++) {
        char path[64];
        struct stat info;
        snprintf(path, sizeof path, "/proc/%d/fd/%u", (int)pid, i);
        if (lstat(path, &info) == 0)
            highest = i + 1;
    }
    return highest;
}

/* From one moment on no descriptor is to be had; then there are again. */
START_TEST(descriptors_run_out)
{
    char binary_data[TEMP_DIR_PATH_SIZE + 16];
    struct wire_client late;
    struct rlimit before, none;
    int16_t error_code = ERR_NONE;
    temp_dir_create(&dir);
    path_of("data", data, sizeof data);
    snprintf(binary_data, sizeof binary_data, "%s", data);
    memset(acknowledged, 0, sizeof acknowledged);
    broker = broker_process_start(RUNNEL_BINARY, binary_data, NULL);
    ck_assert(wire_connect(&client, broker_process_address(broker), TIMEOUT_MS));
    const char *const topics[] = { "one", "empty" };
    ck_assert_int_eq(topic_client_create(&client, &topics[0], 1, PARTITIONS), ERR_NONE);
    ck_assert_int_eq(topic_client_create(&client, &topics[1], 1, MANY), ERR_NONE);
    for (int i = 0; i < RECORDS; i++)
        ck_assert_int_eq(produce(i % PARTITIONS), ERR_NONE);
    pid_t pid = broker_process_pid(broker);
    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, NULL, &before), 0);
    none = (struct rlimit){ .rlim_cur = descriptor_count(pid), .rlim_max = before.rlim_max };
    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, &none, NULL), 0);
    double cpu_before = process_cpu_seconds(pid);
    ck_assert(
        wire_connect(&late, broker_process_address(broker), TIMEOUT_MS)); /* waits in the kernel's queue */
    for (int i = 0; i < RECORDS; i++)
        ck_assert_int_eq(produce(i % PARTITIONS), ERR_NONE);
    int32_t last = 0;
    while (last < MANY && (error_code = produce_to("empty", last, 100)) == ERR_NONE)
        last++; /* until the few that were free between others are used up */
    printf("%d more partitions with %u descriptors\n", (int)last, (unsigned)none.rlim_cur);
    ck_assert(error_code == ERR_KAFKA_STORAGE_ERROR || last == MANY);
    expect_records();
    poll(NULL, 0, 300);
    ck_assert_msg(process_cpu_seconds(pid) - cpu_before < 0.25, "it spins without descriptors");
    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, &before, NULL), 0);
    while ((error_code = produce_to("empty", last % MANY, 100)) == ERR_KAFKA_STORAGE_ERROR)
        poll(NULL, 0, 10);
    ck_assert_int_eq(error_code, ERR_NONE);
    ck_assert_int_ge(topic_client_count(&late), 2); /* was accepted after all */
    wire_close(&late);
    wire_close(&client);
    ck_assert_int_eq(broker_process_stop(broker), EXIT_OK);
    temp_dir_destroy(&dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device_fault");
    TCase *tests = tcase_create("tests");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, faults_while_it_serves, 0, sizeof rows / sizeof *rows);
    tcase_add_test(tests, one_directory_of_two_fails);
    tcase_add_loop_test(tests, faults_at_the_start, 0, sizeof starts / sizeof *starts);
    tcase_add_test(tests, a_segment_is_cut_under_the_broker);
    tcase_add_test(tests, descriptors_run_out);
    suite_add_tcase(suite, tests);
    return suite_run(suite) == 0 ? 0 : 1;
}
