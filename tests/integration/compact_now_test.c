/* A topic is compacted when its user asks for it: max.compaction.lag.ms=1 seals what is there and wakes the
 * cleaner, whose pause (log.cleaner.backoff.ms) is left as it is. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/clock.h"
#include "protocol/errors.h"
#include "tests/support/load.h"
#include "tests/support/one_partition.h"
#include "tests/support/one_request.h"
#include "tests/support/served.h"
#include "tests/support/suite.h"
#include "tests/support/wire_client.h"

enum {
    RECORDS = 200,
    KEYS = 5,
    TIMEOUT_MS = 60000,
    SECONDS_MAX = 5 /* a machine that is busy with other tests */
};

static struct served served;
static struct wire_client client;

static void produce(int count)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    for (int i = 0; i < count; i++) {
        struct one_produce one;
        struct produce_response response;
        struct batch_view batch;
        struct arena arena;
        char key = (char)('a' + i % KEYS);
        arena_init(&arena, NULL);
        struct batch_builder *builder = batch_builder_open(&arena, &options);
        ck_assert(batch_builder_add(builder, clock_wall_ms(clock_real()), slice_of(&key, 1),
                                    SLICE_LITERAL("value"), NULL, 0));
        ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
        one_produce(&one, "state", 0, batch_bytes(&batch));
        ck_assert(wire_call(&client, ONE_PRODUCE, 9, &one.request, &response));
        ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
        arena_destroy(&arena);
    }
}

/* Of the records that a consumer sees from the start on. */
static int64_t count_batches(void)
{
    int64_t count = 0;
    for (int64_t offset = 0;;) {
        struct one_fetch one;
        struct fetch_response response;
        one_fetch(&one, "state", 0, offset);
        ck_assert(wire_call(&client, ONE_FETCH, 11, &one.request, &response));
        slice bytes = response.topics[0].partitions[0].records.bytes;
        ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
        if (bytes.size == 0)
            return count;
        for (struct batch_view batch; batch_view(bytes, &batch) == BATCH_OK; count++) {
            offset = batch_last_offset(&batch) + 1;
            bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
        }
    }
}

static void set(const char *name, const char *value)
{
    struct one_alter one;
    struct incremental_alter_configs_response response;
    one_alter(&one, "state", (struct one_setting){ name, value });
    ck_assert(wire_call(&client, ONE_ALTER, ONE_ALTER_VERSION, &one.request, &response));
    ck_assert_int_eq(response.responses[0].error_code, ERR_NONE);
}

/* Returns the seconds that it took. */
static double compact_now(void)
{
    double before = monotonic_seconds();
    set("max.compaction.lag.ms", "1");
    while (count_batches() > KEYS) {
        ck_assert_msg(monotonic_seconds() - before < SECONDS_MAX, "%lld records are there still",
                      (long long)count_batches());
        poll(NULL, 0, 5);
    }
    double seconds = monotonic_seconds() - before;
    set("max.compaction.lag.ms", "9223372036854775807");
    return seconds;
}

START_TEST(a_user_asks_for_it)
{
    const struct one_setting settings[] = { { "cleanup.policy", "compact" }, { NULL, NULL } };
    struct one_create create;
    struct create_topics_response created;
    served_start(&served, RUNNEL_BINARY, NULL);
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    one_create(&create, "state", 1, settings);
    ck_assert(wire_call(&client, ONE_CREATE, ONE_CREATE_VERSION, &create.request, &created));
    ck_assert_int_eq(created.topics[0].error_code, ERR_NONE);
    produce(RECORDS);
    ck_assert_int_eq(count_batches(), RECORDS); /* the control: nothing else compacts it */
    double first = compact_now();
    produce(RECORDS); /* again at once: the cleaner would pause */
    double second = compact_now();
    printf("compacted %.0f ms after the request, and %.0f ms the second time\n", first * 1000, second * 1000);
    wire_close(&client);
    served_stop(&served);
}
END_TEST

int main(void)
{
    if (getenv("RUNNEL_TEST_BOOTSTRAP")) {
        puts("skipped: Apache Kafka seals a segment with the next append only");
        return EXIT_SKIPPED;
    }
    Suite *suite = suite_create("compact_now");
    TCase *tests = tcase_create("asked");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_user_asks_for_it);
    suite_add_tcase(suite, tests);
    return suite_run(suite) == 0 ? 0 : 1;
}
