/* Requests behind a Produce on one connection: they find what it appended, also where a worker appends, and
 * they do not wait for the device. The order of all steps is drawn from seeds. */
#include <check.h>
#include <stdlib.h>

#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/one_request.h"
#include "tests/support/sim.h"

enum { PRODUCE_VERSION = 9, METADATA_VERSION = 9, SEEDS = 100 };

static struct sim sim;
static struct sim_client client;

static void begin(uint64_t seed)
{
    struct one_create one;
    struct create_topics_response response;
    sim_open(&sim, seed, "");
    sim_connect(&sim, &client);
    one_create(&one, "t", 1, NULL);
    ck_assert(sim_call(&client, ONE_CREATE, ONE_CREATE_VERSION, &one.request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

static void end(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
}

static void send_record(int16_t acks)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct one_produce one;
    struct arena arena;
    arena_init(&arena, NULL);
    struct batch_view batch = small_batch(&arena, &options, 1);
    one_produce(&one, "t", 0, batch_bytes(&batch));
    one.request.acks = acks;
    ck_assert(sim_send(&client, ONE_PRODUCE, PRODUCE_VERSION, &one.request));
    arena_destroy(&arena);
}

static void send_deletion(void)
{
    struct one_delete one;
    one_delete(&one, "t");
    ck_assert(sim_send(&client, ONE_DELETE, ONE_DELETE_VERSION, &one.request));
}

static void expect_deleted(uint64_t seed)
{
    struct delete_topics_response response;
    ck_assert_msg(sim_receive(&client, ONE_DELETE, ONE_DELETE_VERSION, &response), "seed %llu: no answer",
                  (unsigned long long)seed);
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

/* The first append makes the directory, on a worker; the deletion would be faster. */
START_TEST(a_deletion_behind_a_produce_that_nobody_answers)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed);
        for (uint64_t i = 0; i <= seed % 3; i++)
            send_record(0);
        send_deletion();
        expect_deleted(seed);
        end();
    }
}
END_TEST

/* Whether the records were durable before they went is nobody's business. */
START_TEST(a_deletion_behind_a_produce_that_is_answered)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct produce_response response;
        begin(seed);
        send_record(-1);
        send_deletion();
        ck_assert(sim_receive(&client, ONE_PRODUCE, PRODUCE_VERSION, &response));
        expect_deleted(seed);
        end();
    }
}
END_TEST

/* Appended is enough: while the device is slow, a Metadata behind records that nobody answers for has its
 * answer, and a second Produce its place. */
START_TEST(nobody_waits_for_the_device)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct one_metadata one;
        struct metadata_response response;
        struct produce_response produced;
        begin(seed);
        sim.flushes_are_held = true;
        send_record(0);
        one_metadata(&one, SLICE_LITERAL("t"));
        ck_assert(sim_send(&client, ONE_METADATA, METADATA_VERSION, &one.request));
        ck_assert_msg(sim_receive(&client, ONE_METADATA, METADATA_VERSION, &response), "seed %llu: no answer",
                      (unsigned long long)seed);
        send_record(-1);
        send_record(-1);
        sim_settle(&sim);
        sim.flushes_are_held = false;
        for (int64_t offset = 1; offset <= 2; offset++) {
            ck_assert(sim_receive(&client, ONE_PRODUCE, PRODUCE_VERSION, &produced));
            ck_assert_int_eq(produced.topics[0].partitions[0].base_offset, offset);
        }
        end();
    }
}
END_TEST

/* Operations of the disk for `count` records that stand in line behind a worker, and their answers. */
static uint64_t operations_of(uint64_t seed, int count)
{
    struct produce_response response;
    begin(seed);
    uint64_t before = file_double_operation_count(sim.disk);
    for (int i = 0; i < count; i++)
        send_record(1);
    for (int i = 0; i < count; i++) {
        ck_assert(sim_receive(&client, ONE_PRODUCE, PRODUCE_VERSION, &response));
        ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
        ck_assert_int_eq(response.topics[0].partitions[0].base_offset, i);
    }
    uint64_t operations = file_double_operation_count(sim.disk) - before;
    end();
    return operations;
}

/* The first of a log makes its directory, so all go to a worker; more than it takes at once, too. */
START_TEST(what_stands_in_line_is_written_at_once)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t one = operations_of(seed, 1);
        ck_assert_uint_lt(operations_of(seed, 40), one + 10);
        ck_assert_uint_lt(operations_of(seed, 200), one + 20);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pipelining");
    TCase *tests = tcase_create("behind a Produce");
    tcase_set_timeout(tests, 100);
    tcase_add_test(tests, a_deletion_behind_a_produce_that_nobody_answers);
    tcase_add_test(tests, a_deletion_behind_a_produce_that_is_answered);
    tcase_add_test(tests, nobody_waits_for_the_device);
    tcase_add_test(tests, what_stands_in_line_is_written_at_once);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
