/* The scrubber of the real broker, whose clocks the test moves (support/preload): damage that no client met
 * is found ten minutes after the start, told, answered to clients, and still known after the next start. */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/errors.h"
#include "storage/scrubber.h"
#include "tests/support/broker_process.h"
#include "tests/support/fault_disk.h"
#include "tests/support/one_partition.h"
#include "tests/support/suite.h"
#include "tests/support/temp_dir.h"
#include "tests/support/topic_client.h"
#include "tests/support/wire_client.h"

enum { TIMEOUT_MS = 15000, RECORDS = 5, DAMAGED = 2, NO_ANSWER = -1, LOOKS_MAX = 2000 };

static struct temp_dir dir;
static struct fault_disk disk;
static struct broker_process *broker;
static struct wire_client client;
static char data[TEMP_DIR_PATH_SIZE + 16];

static bool says(const char *words)
{
    char line[2 * TEMP_DIR_PATH_SIZE];
    snprintf(line, sizeof line, "grep -qE -- '%s' %s.stderr", words, data);
    return system(line) == 0;
}

/* The clocks jump by as much as a connection may be idle otherwise. */
static void start(void)
{
    static const char *const arguments[] = { "--override", "connections.max.idle.ms=-1", NULL };
    fault_disk_preload(&disk);
    broker = broker_process_spawn(RUNNEL_BINARY, data, arguments);
    fault_disk_release();
    ck_assert(broker_process_wait_ready(broker, TIMEOUT_MS));
    ck_assert(wire_connect(&client, broker_process_address(broker), TIMEOUT_MS));
}

static void stop(void)
{
    wire_close(&client);
    ck_assert_int_eq(broker_process_stop(broker), 0);
}

static void produce(void)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct one_produce one;
    struct produce_response response;
    struct batch_view batch;
    struct arena arena;
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    ck_assert(batch_builder_add(builder, 1700000000000, SLICE_NULL, SLICE_LITERAL("a value of some bytes"),
                                NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    one_produce(&one, "one", 0, batch_bytes(&batch));
    ck_assert(wire_call(&client, 0, 9, &one.request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
    arena_destroy(&arena);
}

static int16_t fetch(int64_t offset)
{
    struct one_fetch one;
    struct fetch_response response;
    one_fetch(&one, "one", 0, offset);
    one.partition.partition_max_bytes = 1;
    return wire_call(&client, 1, 11, &one.request, &response) ? response.topics[0].partitions[0].error_code
                                                              : NO_ANSWER;
}

/* One bit of a record's value, in the last bytes of its batch. */
static void damage(void)
{
    char path[TEMP_DIR_PATH_SIZE + 64];
    uint8_t byte;
    snprintf(path, sizeof path, "%s/one-0/00000000000000000000.log", data);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    off_t batch = lseek(fd, 0, SEEK_END) / RECORDS, position = (DAMAGED + 1) * batch - 6;
    ck_assert_int_eq(pread(fd, &byte, 1, position), 1);
    byte ^= 4;
    ck_assert_int_eq(pwrite(fd, &byte, 1, position), 1);
    close(fd);
}

START_TEST(damage_is_found_told_and_kept)
{
    const char *topic = "one";
    temp_dir_create(&dir);
    snprintf(data, sizeof data, "%s/data", dir.path);
    fault_disk_create(&disk, FAULT_DISK, dir.path);
    start();
    ck_assert_int_eq(topic_client_create(&client, &topic, 1, 1), ERR_NONE);
    for (int i = 0; i < RECORDS; i++)
        produce();
    stop();
    damage();
    start();
    ck_assert(!says("scrub[.]"));
    for (int i = 0; i < RECORDS; i++)
        ck_assert_int_eq(fetch(i), ERR_NONE);
    /* Each request wakes the loop, whose timers are due by now. */
    int looks = 0;
    for (int64_t ahead_ms = SCRUB_DELAY_MS; fetch(DAMAGED) == ERR_NONE || !says("scrub.finished");
         ahead_ms += 1000) {
        atomic_store(&disk.shared->ahead_ms, ahead_ms);
        ck_assert_msg(looks++ < LOOKS_MAX, "the damage is not found");
        poll(NULL, 0, 1); /* for the worker */
    }
    for (int i = 0; i < RECORDS; i++)
        ck_assert_int_eq(fetch(i), i == DAMAGED ? ERR_CORRUPT_MESSAGE : ERR_NONE);
    ck_assert(says(
        "ERROR log.quarantined log=one-0 .*first_offset=2 next_offset=3 .*reason=checksum found_by=scrub"));
    ck_assert(says("WARN scrub.finished .*quarantined=1 indexes_rebuilt=0 .*next_step="));
    stop();
    start();
    ck_assert(says("INFO scrub.last state=finished .*quarantined=1 "));
    for (int i = 0; i < RECORDS; i++)
        ck_assert_int_eq(fetch(i), i == DAMAGED ? ERR_CORRUPT_MESSAGE : ERR_NONE);
    stop();
    printf("found after %d looks\n", looks);
    fault_disk_destroy(&disk);
    temp_dir_destroy(&dir);
}
END_TEST

int main(void)
{
    if (fault_disk_is_sanitized(RUNNEL_BINARY)) {
        puts("skipped: the broker is built with a sanitizer");
        return EXIT_SKIPPED;
    }
    Suite *suite = suite_create("scrub_process");
    TCase *tests = tcase_create("tests");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, damage_is_found_told_and_kept);
    suite_add_tcase(suite, tests);
    return suite_run(suite) == 0 ? 0 : 1;
}
