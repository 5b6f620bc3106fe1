/* Ten thousand partitions with data on a broker that may open few files: nothing is lost over a clean stop
 * and a kill, an idle partition is cheap, and what is deleted gives everything back. */
#include <check.h>
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "protocol/base/random.h"
#include "tests/support/load.h"
#include "tests/support/many_partitions.h"
#include "tests/support/served.h"

enum {
    TOPICS = 2,
    TOPIC_PARTITIONS = 5000,
    COUNT = TOPICS * TOPIC_PARTITIONS,
    AT_ONCE = 500, /* partitions of a Produce; each takes five descriptors until its first flush */
    READ_AT_ONCE = 100,
    SAMPLE = 1000,
    DESCRIPTORS = 1024,
    DESCRIPTORS_IDLE_MAX = 64, /* without any partition */
    TIMEOUT_MS = 60000,
    /* Each may take so long, on a machine that is busy with other tests. */
    START_SECONDS_MAX = 20,
    GONE_SECONDS_MAX = 120,
    /* Twice what was measured. */
    IDLE_BYTES_MAX = 2600,
};

static const struct many_partitions many = { .name = "many",
                                             .topic_count = TOPICS,
                                             .partition_count = TOPIC_PARTITIONS };
static struct served served;
static struct wire_client client;
static uint32_t numbers[COUNT];

static pid_t broker_pid(void)
{
    return broker_process_pid(served.broker);
}

/* Names in a directory, but for those that begin with a dot. */
static size_t count_names(const char *path, const char *prefix)
{
    size_t count = 0;
    DIR *directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(directory);
    return count;
}

static size_t open_descriptors(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)broker_pid());
    return count_names(path, "");
}

/* Lines of the memory map that are of a partition's files. */
static size_t mapped_segments(void)
{
    char path[64], line[1024];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)broker_pid());
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file))
        count += strstr(line, "/many-") != NULL;
    fclose(file);
    return count;
}

static void start(void)
{
    double since = monotonic_seconds();
    served_restart(&served, RUNNEL_BINARY, NULL);
    ck_assert_msg(monotonic_seconds() - since < START_SECONDS_MAX, "started after %.1f s",
                  monotonic_seconds() - since);
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
}

static void produce_all(uint32_t sequence)
{
    for (size_t i = 0; i < COUNT; i += AT_ONCE)
        ck_assert_uint_eq(many_partitions_produce(&client, &many, numbers + i, AT_ONCE, sequence), AT_ONCE);
}

static void verify_all(uint32_t sequences)
{
    for (size_t i = 0; i < COUNT; i += READ_AT_ONCE)
        ck_assert_uint_eq(many_partitions_verify(&client, &many, numbers + i, READ_AT_ONCE, sequences),
                          READ_AT_ONCE);
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Partitions here and there; each once. */
static void verify_sample(uint32_t sequences)
{
    const char *text = getenv("RUNNEL_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)(monotonic_seconds() * 1e6);
    uint32_t sample[COUNT];
    struct random random;
    printf("seed %llu\n", (unsigned long long)seed);
    random_seed(&random, seed);
    memcpy(sample, numbers, sizeof sample);
    for (size_t i = 0; i < SAMPLE; i++) {
        size_t other = i + random_u64(&random) % (COUNT - i);
        uint32_t number = sample[i];
        sample[i] = sample[other];
        sample[other] = number;
    }
    qsort(sample, SAMPLE, sizeof *sample, compare_numbers);
    for (size_t i = 0; i < SAMPLE; i += READ_AT_ONCE)
        ck_assert_uint_eq(many_partitions_verify(&client, &many, sample + i, READ_AT_ONCE, sequences),
                          READ_AT_ONCE);
}

static void check_memory_of_idle(uint64_t before)
{
    uint64_t now = process_rss_anonymous(broker_pid());
    if (!process_is_sanitized(broker_pid()))
        ck_assert_msg(now < before + (uint64_t)COUNT * IDLE_BYTES_MAX, "%.0f bytes a partition",
                      (double)(now - before) / COUNT);
    ck_assert_uint_le(open_descriptors(), DESCRIPTORS);
}

/* Until the files are closed and the directories gone. */
static void wait_until_gone(void)
{
    double until = monotonic_seconds() + GONE_SECONDS_MAX;
    for (;;) {
        size_t directories = count_names(served.data_dir, "many-"), descriptors = open_descriptors(),
               maps = mapped_segments();
        if (directories == 0 && descriptors < DESCRIPTORS_IDLE_MAX && maps == 0)
            return;
        ck_assert_msg(monotonic_seconds() < until, "%zu directories, %zu descriptors, %zu mappings are left",
                      directories, descriptors, maps);
        poll(NULL, 0, 20);
    }
}

/* Fifty thousand files: what they cost a busy disk is not the question here. */
static void prefer_memory(void)
{
    struct statvfs info;
    if (access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &info) == 0 &&
        (uint64_t)info.f_bavail * info.f_frsize > UINT64_C(1) << 30)
        setenv("TMPDIR", "/dev/shm", 0);
}

START_TEST(ten_thousand_partitions)
{
    struct rlimit limit = { DESCRIPTORS, DESCRIPTORS };
    if (getenv("RUNNEL_TEST_BOOTSTRAP"))
        return;
    for (uint32_t i = 0; i < COUNT; i++)
        numbers[i] = i;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0); /* the broker inherits it */
    prefer_memory();
    served_start(&served, RUNNEL_BINARY, NULL);
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    uint64_t memory = process_rss_anonymous(broker_pid());
    ck_assert(many_partitions_create(&client, &many));
    ck_assert_uint_eq(count_names(served.data_dir, "many-"), 0); /* none has a directory yet */
    check_memory_of_idle(memory);
    produce_all(0);
    verify_all(1);
    check_memory_of_idle(memory);

    wire_close(&client);
    ck_assert_int_eq(broker_process_stop(served.broker), 0);
    start();
    ck_assert_uint_lt(open_descriptors(), DESCRIPTORS_IDLE_MAX); /* none was opened */
    verify_sample(1);
    produce_all(1);

    wire_close(&client);
    ck_assert_int_eq(broker_process_kill(served.broker), 128 + 9);
    start();
    verify_all(2);
    check_memory_of_idle(memory);

    ck_assert(many_partitions_delete(&client, &many));
    wait_until_gone();
    wire_close(&client);
    served_stop(&served);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("partitions");
    TCase *tests = tcase_create("many");
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, ten_thousand_partitions);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
