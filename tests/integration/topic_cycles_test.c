/* A deletion gives everything back: descriptors, files, memory, over a thousand topics that come and go; and
 * ten thousand in one request. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/errors.h"
#include "tests/support/load.h"
#include "tests/support/served.h"
#include "tests/support/topic_client.h"

enum { TIMEOUT_MS = 60000, CYCLES = 1000, WARM_UP = 200, MANY = 10000 };

static struct served served;
static struct wire_client client;

static void set_up(void)
{
    static const char *const arguments[] = { "--loops", "2", NULL };
    served_start(&served, RUNNEL_BINARY, arguments);
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
}

static size_t descriptor_count(void)
{
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)broker_process_pid(served.broker));
    DIR *directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static size_t partition_count(void)
{
    size_t count = 0;
    DIR *directory = opendir(served.data_dir);
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
                 strncmp(entry->d_name, "__cluster_metadata-0", 20) != 0;
    closedir(directory);
    return count;
}

static void cycle(int i)
{
    char text[32];
    const char *name = text;
    snprintf(text, sizeof text, "cycle-%d", i % 3); /* names come again, too */
    ck_assert_int_eq(topic_client_create(&client, &name, 1, 2), ERR_NONE);
    ck_assert_int_eq(topic_client_produce(&client, name), ERR_NONE);
    ck_assert_int_eq(topic_client_delete(&client, &name, 1), ERR_NONE);
}

/* Workers are still at it when the answer is there: asks on until all is as before, for a while. */
static void expect_as_before(size_t descriptors)
{
    double until = monotonic_seconds() + 20;
    while ((descriptor_count() > descriptors || partition_count() > 0) && monotonic_seconds() < until)
        ck_assert_int_eq(topic_client_count(&client), 0);
    ck_assert_uint_le(descriptor_count(), descriptors);
    ck_assert_uint_eq(partition_count(), 0);
}

START_TEST(a_thousand_cycles_leave_nothing)
{
    if (served_is_foreign(&served))
        return;
    cycle(0);
    expect_as_before(SIZE_MAX);
    size_t descriptors = descriptor_count();
    for (int i = 0; i < WARM_UP; i++)
        cycle(i);
    expect_as_before(descriptors);
    uint64_t before = process_rss(broker_process_pid(served.broker));
    for (int i = 0; i < CYCLES; i++)
        cycle(i);
    expect_as_before(descriptors);
    uint64_t after = process_rss(broker_process_pid(served.broker));
    printf("rss after %d cycles: %llu KiB, after %d more: %llu KiB\n", WARM_UP,
           (unsigned long long)before >> 10, CYCLES, (unsigned long long)after >> 10);
    /* The metadata log, which is mapped, grows by a few hundred bytes a cycle. A sanitizer keeps what is freed; it
     * finds leaks by itself. */
    if (!process_is_sanitized(broker_process_pid(served.broker)))
        ck_assert_uint_lt(after, before + (2 << 20));
    wire_close(&client);
    served_stop(&served);
}
END_TEST

START_TEST(ten_thousand_topics_come_and_go_in_one_request)
{
    static char texts[MANY][24];
    static const char *names[MANY];
    if (served_is_foreign(&served))
        return;
    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "many-%d", i);
        names[i] = texts[i];
    }
    size_t descriptors = descriptor_count();
    ck_assert_int_eq(topic_client_create(&client, names, MANY, -1), ERR_NONE);
    ck_assert_int_eq(topic_client_count(&client), MANY);
    ck_assert_uint_le(descriptor_count(), descriptors + 8);
    ck_assert_uint_eq(partition_count(), 0); /* until the first append */
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(topic_client_produce(&client, names[i * 97]), ERR_NONE);
    ck_assert_uint_eq(partition_count(), 100);
    ck_assert_int_eq(topic_client_delete(&client, names, MANY), ERR_NONE);
    expect_as_before(descriptors + 8);
    wire_close(&client);
    ck_assert_int_eq(broker_process_stop(served.broker), 0);
    served_restart(&served, RUNNEL_BINARY, NULL);
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    ck_assert_int_eq(topic_client_count(&client), 0);
    wire_close(&client);
    served_stop(&served);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topic cycles");
    TCase *tests = tcase_create("give everything back");
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, a_thousand_cycles_leave_nothing);
    tcase_add_test(tests, ten_thousand_topics_come_and_go_in_one_request);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
