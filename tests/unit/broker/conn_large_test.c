/* Large frames: when their bytes are read, whose memory they have, how long it is held. The real broker in a
 * simulation, with handlers of this test. */
#include <check.h>
#include <stdlib.h>

#include "broker/handlers/handlers.h"
#include "broker/loop_internal.h"
#include "protocol/base/bytes.h"
#include "tests/support/sim.h"
#include "tests/support/suite.h"

enum {
    KEY_PRODUCE = 0,
    KEY_API_VERSIONS = 18,
    LARGE = 600 * 1024,
    HUGE_SIZE = 5 * 1024 * 1024,
    MAX_REQUESTS = 64,
    HEAD_MAX = 64, /* of a frame, before its records */
};

/* -- handlers ----------------------------------------------------------------------------------- */

/* What a Produce of this test is: records that all are the byte of its correlation id. Others have no
 * records. */
static int32_t executed[MAX_REQUESTS];
static size_t executed_count;
static struct request *held[MAX_REQUESTS];
static slice kept[MAX_REQUESTS];
static bool was_copied[MAX_REQUESTS];

static bool is_all(slice bytes, uint8_t value)
{
    for (size_t i = 0; i < bytes.size; i++)
        if (bytes.data[i] != value)
            return false;
    return true;
}

static enum handled resume(struct request *rq, enum wake why)
{
    (void)rq;
    (void)why;
    return HANDLED_DONE;
}

enum handled handle_produce(struct request *rq, const struct produce_request *in,
                            struct produce_response *out)
{
    (void)out;
    ck_assert_uint_lt(executed_count, MAX_REQUESTS);
    executed[executed_count++] = rq->correlation_id;
    if (in->topics_count == 0)
        return HANDLED_DONE;
    slice records = in->topics[0].partitions[0].records.bytes;
    ck_assert(is_all(records, (uint8_t)rq->correlation_id));
    if (!slice_equal_string(rq->client_id, "keep"))
        return HANDLED_DONE;
    bool ok = true;
    kept[rq->correlation_id] = rq_keep(rq, records, &ok);
    ck_assert(ok);
    was_copied[rq->correlation_id] = kept[rq->correlation_id].data != records.data;
    held[rq->correlation_id] = rq;
    rq->resume = resume;
    rq->appends_pending = 1; /* as if a worker had it */
    rq->conn->append_count++;
    rq_hold(rq);
    return HANDLED_WAIT;
}

/* -- a client ----------------------------------------------------------------------------------- */

static struct sim sim;
static struct sim_client client;
static uint8_t frame[HUGE_SIZE + HEAD_MAX];

static struct loop *the_loop(void)
{
    return sim.server->loops[0];
}

static void setup(void)
{
    sim_open(&sim, 1, "");
    sim_connect(&sim, &client);
    executed_count = 0;
}

static void teardown(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
}

/* Into `frame`: Produce v3 with records of that size; 0: without topics. */
static size_t make_frame(int32_t id, const char *client_id, size_t records_size)
{
    static const uint8_t body[] = { 0xff, 0xff, 0,   1, 0, 0, 0, 0, 0, 0, 0, 1,
                                    0,    1,    't', 0, 0, 0, 1, 0, 0, 0, 0 };
    size_t id_size = strlen(client_id), size = 4;
    store_be16(frame + size, KEY_PRODUCE);
    store_be16(frame + size + 2, 3);
    store_be32(frame + size + 4, (uint32_t)id);
    store_be16(frame + size + 8, (uint16_t)id_size);
    memcpy(frame + size + 10, client_id, id_size);
    size += 10 + id_size;
    memcpy(frame + size, body, sizeof body);
    if (records_size == 0) {
        store_be32(frame + size + 8, 0);
        size += 12;
    } else {
        size += sizeof body;
        store_be32(frame + size, (uint32_t)records_size);
        memset(frame + size + 4, (uint8_t)id, records_size);
        size += 4 + records_size;
    }
    store_be32(frame, (uint32_t)(size - 4));
    return size;
}

static void send_whole(int32_t id, const char *client_id, size_t records_size)
{
    ck_assert(sim_send_bytes(&client, frame, make_frame(id, client_id, records_size)));
    sim_settle(&sim);
}

/* Sends what a client gets out without anybody to read it: only the pipe is filled. */
static void send_part(size_t from, size_t to)
{
    ck_assert(sim_send_bytes(&client, frame + from, to - from));
    sim_settle(&sim);
}

static void expect_executed(size_t count)
{
    ck_assert_uint_eq(executed_count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(executed[i], (int32_t)i + 1);
}

static void let_go(int32_t id)
{
    ck_assert(is_all(kept[id], (uint8_t)id));
    held[id]->appends_pending = 0;
    held[id]->conn->append_count--;
    rq_wake(held[id], WAKE_PROGRESS);
    rq_release(held[id]);
    sim_settle(&sim);
}

static void expect_nothing_left(void)
{
    sim_advance(&sim, TRIM_AFTER_MS);
    sim_advance(&sim, TRIM_AFTER_MS);
    ck_assert_uint_eq(the_loop()->input_pool.spare_size, 0);
    ck_assert_uint_eq(the_loop()->input_pool.held_size, 0);
    ck_assert_uint_eq(the_loop()->budget.used, 0);
}

/* -- reading ------------------------------------------------------------------------------------ */

START_TEST(sizes_may_change_from_frame_to_frame)
{
    static const size_t sizes[] = {
        LARGE, 0, 0, LARGE, INPUT_LARGE_SIZE, 1000, LARGE + 1, HUGE_SIZE, 0, LARGE
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        ck_assert(sim_send_bytes(&client, frame, make_frame((int32_t)i + 1, "", sizes[i])));
    sim_settle(&sim);
    expect_executed(sizeof sizes / sizeof sizes[0]);
    expect_nothing_left();
}
END_TEST

START_TEST(a_large_frame_may_come_in_pieces)
{
    size_t piece = (size_t[]){ 997, 64 * 1024, 200 * 1024 }[_i];
    for (int32_t id = 1; id <= 3; id++) {
        size_t size = make_frame(id, "", LARGE);
        for (size_t at = 0; at < size; at += piece)
            send_part(at, at + piece < size ? at + piece : size);
        expect_executed((size_t)id);
    }
    expect_nothing_left();
}
END_TEST

/* Behind a large frame the next one stays with the transport until it is whole: it costs what was read of it.
 */
START_TEST(what_is_not_whole_takes_no_memory)
{
    send_whole(1, "", LARGE);
    size_t before = the_loop()->budget.used, size = make_frame(2, "", LARGE);
    send_part(0, size - 1);
    ck_assert_uint_le(the_loop()->budget.used, before + 2 * CONN_INPUT_MIN);
    ck_assert_uint_ge(the_loop()->input_pool.spare_size, LARGE); /* nor what lies here anyway */
    send_part(size - 1, size);
    expect_executed(2);
}
END_TEST

START_TEST(frames_use_the_same_memory_again)
{
    send_whole(1, "", LARGE);
    const struct input_buffer *spare = the_loop()->input_pool.spares;
    ck_assert_ptr_nonnull(spare);
    for (int32_t id = 2; id < 20; id++) {
        send_whole(id, "", LARGE - 1000 * (size_t)id);
        ck_assert_ptr_eq(the_loop()->input_pool.spares, spare);
        ck_assert_ptr_null(spare->next);
    }
    expect_nothing_left();
}
END_TEST

START_TEST(a_peer_may_close_in_the_middle)
{
    send_whole(1, "", LARGE);
    make_frame(2, "", LARGE);
    send_part(0, LARGE / 2);
    sim_disconnect(&client);
    sim_settle(&sim);
    ck_assert_uint_eq(loop__conn_count(the_loop()), 0);
    expect_executed(1);
    expect_nothing_left();
    sim_connect(&sim, &client);
}
END_TEST

/* The deadline of a frame counts what has come, though it was not read yet. */
START_TEST(a_deadline_knows_of_what_was_not_read)
{
    enum { SENT = 512 * 1024 };
    bool is_sent = _i == 0;
    send_whole(1, "", LARGE);
    size_t size = make_frame(2, "", LARGE);
    send_part(0, 100);
    if (is_sent)
        send_part(100, SENT);
    sim_advance(&sim, CONN_FRAME_MS + 1000);
    ck_assert_uint_eq(loop__conn_count(the_loop()), is_sent ? 1 : 0);
    if (!is_sent)
        return;
    sim_advance(&sim, SENT / CONN_FRAME_BYTES_PER_MS - 3000);
    send_part(SENT, size);
    expect_executed(2);
    make_frame(3, "", LARGE);
    send_part(0, SENT);
    sim_advance(&sim, CONN_FRAME_MS + 1000);
    ck_assert_uint_eq(loop__conn_count(the_loop()), 1);
    sim_advance(&sim, SENT / CONN_FRAME_BYTES_PER_MS + 1000);
    ck_assert_uint_eq(loop__conn_count(the_loop()), 0);
}
END_TEST

/* -- keeping ------------------------------------------------------------------------------------ */

START_TEST(a_request_holds_the_memory_of_its_frame)
{
    send_whole(1, "", LARGE); /* from now on a frame is read to where it stays */
    for (int32_t id = 2; id <= 4; id++)
        send_whole(id, "keep", LARGE);
    send_whole(5, "", LARGE);
    expect_executed(5);
    for (int32_t id = 2; id <= 4; id++)
        ck_assert(!was_copied[id]);
    ck_assert_uint_ge(the_loop()->input_pool.held_size, (size_t)3 * LARGE);
    let_go(3);
    let_go(2);
    let_go(4);
    expect_nothing_left();
}
END_TEST

START_TEST(small_frames_are_copied)
{
    send_whole(1, "keep", 1000);
    send_whole(2, "", 1000);
    ck_assert(was_copied[1]);
    ck_assert_uint_eq(the_loop()->input_pool.held_size, 0);
    let_go(1);
    expect_nothing_left();
}
END_TEST

START_TEST(a_held_frame_outlives_its_connection)
{
    send_whole(1, "", LARGE);
    send_whole(2, "keep", LARGE);
    sim_disconnect(&client);
    ck_assert(is_all(kept[2], 2));
    ck_assert_ptr_null(held[2]->conn);
    rq_release(held[2]);
    expect_nothing_left();
    sim_connect(&sim, &client);
}
END_TEST

/* While requests hold INPUT_HELD_MAX a large frame behind them waits for some to go, or STARVED_RETRY_MS;
 * those of other connections do not. */
START_TEST(much_that_is_held_makes_large_frames_wait)
{
    bool is_freed = _i == 0;
    int32_t id = 1, last;
    send_whole(id++, "", LARGE);
    for (; !input_is_tight(&the_loop()->input_pool); id++)
        send_whole(id, "keep", LARGE);
    last = id;
    send_whole(last, "", LARGE);
    expect_executed((size_t)last - 1);
    struct sim_client other;
    sim_connect(&sim, &other);
    size_t size = make_frame(last, "", LARGE);
    ck_assert(sim_send_bytes(&other, frame, size));
    sim_settle(&sim);
    expect_executed((size_t)last);
    executed_count--;
    if (is_freed)
        let_go(2);
    else
        sim_advance(&sim, STARVED_RETRY_MS);
    sim_settle(&sim);
    expect_executed((size_t)last);
    for (id = is_freed ? 3 : 2; id < last; id++)
        let_go(id);
    sim_disconnect(&other);
    expect_nothing_left();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conn_large");
    TCase *tcase = tcase_create("large frames");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, sizes_may_change_from_frame_to_frame);
    tcase_add_loop_test(tcase, a_large_frame_may_come_in_pieces, 0, 3);
    tcase_add_test(tcase, what_is_not_whole_takes_no_memory);
    tcase_add_test(tcase, frames_use_the_same_memory_again);
    tcase_add_test(tcase, a_peer_may_close_in_the_middle);
    tcase_add_loop_test(tcase, a_deadline_knows_of_what_was_not_read, 0, 2);
    tcase_add_test(tcase, a_request_holds_the_memory_of_its_frame);
    tcase_add_test(tcase, small_frames_are_copied);
    tcase_add_test(tcase, a_held_frame_outlives_its_connection);
    tcase_add_loop_test(tcase, much_that_is_held_makes_large_frames_wait, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite_run(suite) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
