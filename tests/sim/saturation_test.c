/* While too much is on its way to the device Produce waits, whichever way its records are validated, and everything
 * else goes on. */
#include <check.h>
#include <stdlib.h>

#include "protocol/errors.h"
#include "storage/store_internal.h"
#include "tests/support/one_partition.h"
#include "tests/support/one_request.h"
#include "tests/support/sim.h"
#include "tests/support/suite.h"

enum { PRODUCE_VERSION = 9, LIST_OFFSETS_VERSION = 7, GZIP = 1 };

static struct sim sim;
static struct sim_client client;

static void set_up(void)
{
    struct one_create one;
    struct create_topics_response response;

    sim_open(&sim, 1, "");
    sim_connect(&sim, &client);
    one_create(&one, "t", 1, NULL);
    ck_assert(sim_call(&client, ONE_CREATE, ONE_CREATE_VERSION, &one.request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
}

static void tear_down(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
}

static void send_records(int count, uint16_t attributes)
{
    struct batch_builder_options options = { NO_PRODUCER, .attributes = attributes };
    struct one_produce one;
    struct arena arena;

    arena_init(&arena, NULL);
    struct batch_view batch = small_batch(&arena, &options, count);
    one_produce(&one, "t", 0, batch_bytes(&batch));
    ck_assert(sim_send(&client, ONE_PRODUCE, PRODUCE_VERSION, &one.request));
    arena_destroy(&arena);
}

static void expect_appended(int64_t offset)
{
    struct produce_response response;

    ck_assert(sim_receive(&client, ONE_PRODUCE, PRODUCE_VERSION, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
    ck_assert_int_eq(response.topics[0].partitions[0].base_offset, offset);
}

/* Where they are validated: on the loop; on a worker, as they decode to more than it takes upon itself. */
static const struct {
    int count;
    uint16_t attributes;
} ways[] = { { 1, 0 }, { 30000, GZIP } };

START_TEST(produce_waits_and_others_do_not)
{
    struct log_host *host = &sim.server->store->directories[0].host;
    uint64_t much = sim.server->store->durable_max + 1;
    struct one_list_offsets one;
    struct list_offsets_response response;
    struct sim_client other;

    send_records(ways[_i].count, ways[_i].attributes);
    expect_appended(0);
    host->wrote(host, much, true);
    ck_assert(store_is_saturated(sim.server->store));
    send_records(ways[_i].count, ways[_i].attributes);
    sim_advance(&sim, 1000);
    sim_connect(&sim, &other);
    one_list_offsets(&one, "t", 0, -1);
    ck_assert(sim_call(&other, ONE_LIST_OFFSETS, LIST_OFFSETS_VERSION, &one.request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].offset, ways[_i].count);
    sim_disconnect(&other);
    host->flushed(host, much, 0, true);
    sim_advance(&sim, 1000);
    expect_appended(ways[_i].count);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("saturation");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, produce_waits_and_others_do_not, 0, sizeof ways / sizeof ways[0]);
    suite_add_tcase(suite, tests);
    return suite_run(suite) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
