/* Connections and requests: order, waiting, limits, deadlines, ends. The real broker in a simulation,
 * with handlers of this test: a request's client id says how it is to be answered. */
#include <check.h>
#include <stdlib.h>

#include "broker/handlers/handlers.h"
#include "broker/loop_internal.h"
#include "protocol/base/bytes.h"
#include "tests/support/sim.h"

enum { KEY_PRODUCE = 0, KEY_API_VERSIONS = 18, KEY_UNKNOWN = 77, NEVER = -1 };

/* -- handlers ----------------------------------------------------------------------------------- */

static int32_t executed[8192]; /* correlation ids, in order of execution */
static size_t executed_count;
static struct request *held[16]; /* by correlation id; held, so that a test may wake them */
static enum wake woken_by[8192];
static size_t woken_count;
static enum handled answer_when_woken;
static atomic_uint worked_count;

static enum handled resume(struct request *rq, enum wake why)
{
    (void)rq;
    woken_by[woken_count++] = why;
    return answer_when_woken;
}

static void work(struct request *rq)
{
    /* Memory of the request on another thread: counted, and given back later. */
    ck_assert_ptr_nonnull(arena_alloc(&rq->arena, 100000));
    atomic_fetch_add(&worked_count, 1);
}

static bool says(const struct request *rq, const char *text)
{
    return slice_equal_string(rq->client_id, text);
}

static enum handled answer(struct request *rq)
{
    executed[executed_count++] = rq->correlation_id;
    rq->resume = resume;
    if (says(rq, "none"))
        return HANDLED_NONE;
    if (says(rq, "close"))
        return HANDLED_CLOSE;
    if (says(rq, "done"))
        return HANDLED_DONE;
    if (says(rq, "deadline")) {
        rq_deadline(rq, rq_mono_ms(rq) + 500);
        return HANDLED_WAIT;
    }
    if (says(rq, "work")) {
        rq_work(rq, work);
        /* A deadline that passes while the worker has the request is told afterwards. */
        rq_deadline(rq, rq_mono_ms(rq));
        return HANDLED_BUSY;
    }
    rq_hold(rq);
    held[rq->correlation_id] = rq;
    return says(rq, "busy") ? HANDLED_BUSY : HANDLED_WAIT;
}

enum handled handle_produce(struct request *rq, const struct produce_request *in,
                            struct produce_response *out)
{
    (void)in;
    (void)out;
    return answer(rq);
}

enum handled handle_api_versions(struct request *rq, const struct api_versions_request *in,
                                 struct api_versions_response *out)
{
    (void)in;
    static struct api_versions_response_api_key keys[10000];
    if (says(rq, "large")) {
        executed[executed_count++] = rq->correlation_id;
        out->api_keys = keys;
        out->api_keys_count = 10000;
        return HANDLED_DONE;
    }
    return answer(rq);
}

#define OTHER(name)                                                                                          \
    enum handled handle_##name(struct request *rq, const struct name##_request *in,                          \
                               struct name##_response *out)                                                  \
    {                                                                                                        \
        (void)in;                                                                                            \
        (void)out;                                                                                           \
        return answer(rq);                                                                                   \
    }
OTHER(fetch)
OTHER(list_offsets)
OTHER(metadata)
OTHER(find_coordinator)

/* -- a client ----------------------------------------------------------------------------------- */

static struct sim sim;
static struct sim_client client;

static void open_with(const char *settings)
{
    sim_open(&sim, 1, settings);
    sim_connect(&sim, &client);
    executed_count = 0;
    woken_count = 0;
    answer_when_woken = HANDLED_DONE;
}

static void setup(void)
{
    open_with("");
}

static void teardown(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
}

/* A frame: Produce v3 with no topics, ApiVersions v0, or the header alone. */
static size_t make_frame(uint8_t *out, int16_t key, int32_t correlation_id, const char *client_id)
{
    size_t id_size = strlen(client_id), size = 4;
    store_be16(out + size, (uint16_t)key);
    store_be16(out + size + 2, key == KEY_PRODUCE ? 3 : 0);
    store_be32(out + size + 4, (uint32_t)correlation_id);
    store_be16(out + size + 8, (uint16_t)id_size);
    memcpy(out + size + 10, client_id, id_size);
    size += 10 + id_size;
    if (key == KEY_PRODUCE) {
        static const uint8_t body[] = { 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0 };
        memcpy(out + size, body, sizeof body);
        size += sizeof body;
    }
    store_be32(out, (uint32_t)(size - 4));
    return size;
}

static void send_request(int16_t key, int32_t correlation_id, const char *client_id)
{
    uint8_t frame[256];
    size_t size = make_frame(frame, key, correlation_id, client_id);
    ck_assert(sim_send_bytes(&client, frame, size));
}

/* Reads what is there: the correlation ids of the replies, in order. */
static size_t read_replies(int32_t *ids, size_t max, bool *is_closed)
{
    static uint8_t bytes[16 << 20];
    static size_t size;
    size_t got, count = 0;
    enum transport_status status;
    *is_closed = false;
    size = 0;
    do {
        sim_settle(&sim);
        status = client.end->ops->read(client.end, bytes + size, sizeof bytes - size, &got);
        size += got;
    } while (status == TRANSPORT_OK);
    *is_closed = status == TRANSPORT_CLOSED;
    for (size_t at = 0; at < size;) {
        ck_assert_uint_ge(size - at, 8);
        ck_assert_uint_lt(count, max);
        ids[count++] = (int32_t)load_be32(bytes + at + 4);
        at += 4 + load_be32(bytes + at);
    }
    return count;
}

/* expected: correlation ids, ended by NEVER. */
static void expect_replies(const int32_t *expected)
{
    int32_t ids[4096];
    bool is_closed;
    size_t count = read_replies(ids, 4096, &is_closed);
    ck_assert(!is_closed);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(ids[i], expected[i]);
    ck_assert_int_eq(expected[count], NEVER);
}

#define EXPECT(...)      expect_replies((const int32_t[]){ __VA_ARGS__, NEVER })
#define EXPECT_NOTHING() expect_replies((const int32_t[]){ NEVER })

static void expect_closed(size_t reply_count)
{
    int32_t ids[64];
    bool is_closed;
    ck_assert_uint_eq(read_replies(ids, 64, &is_closed), reply_count);
    ck_assert(is_closed);
}

static void wake(int32_t correlation_id, enum wake why)
{
    rq_wake(held[correlation_id], why);
    rq_release(held[correlation_id]);
    held[correlation_id] = NULL;
    sim_settle(&sim);
}

static struct loop *the_loop(void)
{
    return sim.server->loops[0];
}

/* -- order -------------------------------------------------------------------------------------- */

START_TEST(replies_leave_in_order)
{
    for (int32_t i = 1; i <= 5; i++)
        send_request(i % 2 ? KEY_PRODUCE : KEY_API_VERSIONS, i, "done");
    EXPECT(1, 2, 3, 4, 5);
}
END_TEST

START_TEST(an_overlapping_wait_holds_replies_back_and_executes_on)
{
    send_request(KEY_PRODUCE, 1, "wait");
    send_request(KEY_PRODUCE, 2, "done");
    send_request(KEY_PRODUCE, 3, "none");
    send_request(KEY_API_VERSIONS, 4, "done");
    EXPECT_NOTHING();
    ck_assert_uint_eq(executed_count, 4);
    wake(1, WAKE_PROGRESS);
    EXPECT(1, 2, 4); /* 3 has no answer, and no place */
}
END_TEST

START_TEST(a_plain_wait_lets_nothing_run)
{
    send_request(KEY_API_VERSIONS, 1, "wait");
    send_request(KEY_PRODUCE, 2, "done");
    EXPECT_NOTHING();
    ck_assert_uint_eq(executed_count, 1);
    wake(1, WAKE_PROGRESS);
    EXPECT(1, 2);
}
END_TEST

START_TEST(busy_lets_nothing_run_even_where_waits_overlap)
{
    send_request(KEY_PRODUCE, 1, "wait");
    send_request(KEY_PRODUCE, 2, "busy");
    send_request(KEY_PRODUCE, 3, "done");
    EXPECT_NOTHING();
    ck_assert_uint_eq(executed_count, 2);
    answer_when_woken = HANDLED_WAIT; /* the effect is made, the answer still waits */
    rq_hold(held[2]);
    struct request *second = held[2];
    wake(2, WAKE_WORKED);
    ck_assert_uint_eq(executed_count, 3);
    EXPECT_NOTHING();
    answer_when_woken = HANDLED_DONE;
    held[2] = second;
    wake(2, WAKE_PROGRESS);
    EXPECT_NOTHING();
    wake(1, WAKE_PROGRESS);
    EXPECT(1, 2, 3);
}
END_TEST

START_TEST(closing_waits_for_earlier_answers)
{
    static const struct {
        int16_t key;
        const char *client_id;
    } rows[] = { { KEY_PRODUCE, "close" }, { KEY_UNKNOWN, "whatever" } };
    send_request(KEY_PRODUCE, 1, "wait");
    send_request(rows[_i].key, 2, rows[_i].client_id);
    send_request(KEY_PRODUCE, 3, "done");
    EXPECT_NOTHING();
    wake(1, WAKE_PROGRESS);
    expect_closed(1);
    for (size_t i = 0; i < executed_count; i++)
        ck_assert_int_ne(executed[i], 3);
}
END_TEST

START_TEST(a_deadline_wakes)
{
    send_request(KEY_API_VERSIONS, 1, "deadline");
    EXPECT_NOTHING();
    sim_advance(&sim, 499);
    EXPECT_NOTHING();
    sim_advance(&sim, 1);
    EXPECT(1);
    ck_assert_uint_eq(woken_count, 1);
    ck_assert_int_eq(woken_by[0], WAKE_DEADLINE);
}
END_TEST

START_TEST(nothing_else_resumes_what_a_worker_has)
{
    send_request(KEY_API_VERSIONS, 1, "work");
    EXPECT(1);
    ck_assert_uint_ge(woken_count, 1);
    ck_assert_int_eq(woken_by[0], WAKE_WORKED);
    ck_assert_uint_ge(atomic_load(&worked_count), 1);
}
END_TEST

/* -- frames ------------------------------------------------------------------------------------- */

START_TEST(a_frame_may_come_byte_by_byte)
{
    uint8_t frames[256];
    size_t size = make_frame(frames, KEY_PRODUCE, 1, "done");
    size += make_frame(frames + size, KEY_API_VERSIONS, 2, "done");
    for (size_t i = 0; i < size; i++) {
        ck_assert(sim_send_bytes(&client, frames + i, 1));
        sim_settle(&sim);
    }
    EXPECT(1, 2);
}
END_TEST

START_TEST(impossible_frames_close)
{
    static const struct {
        const char *what;
        const char *bytes;
        size_t size;
    } rows[] = {
        { "length -1", "\xff\xff\xff\xff", 4 },
        { "the smallest length", "\x80\0\0\0", 4 },
        { "length 0", "\0\0\0\0", 4 },
        { "no room for a header",
          "\0\0\0\x07"
          "abcdefg",
          11 },
        { "longer than allowed", "\x06\x40\0\x01", 4 },
        { "TLS", "\x16\x03\x01\x02\x00\x01\x00", 7 },
        { "HTTP", "GET / HTTP/1.1\r\n\r\n", 18 },
        { "an unknown key", "\0\0\0\x0a\x7f\xff\0\0\0\0\0\x01\xff\xff", 14 },
        { "a version that is not served", "\0\0\0\x0a\0\0\0\x02\0\0\0\x01\xff\xff", 14 },
        { "a client id of length -2", "\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xfe", 14 },
        { "a client id beyond the frame", "\0\0\0\x0a\0\x12\0\0\0\0\0\x01\x00\x09", 14 },
        { "a body that is cut", "\0\0\0\x0c\0\0\0\x03\0\0\0\x01\xff\xff\xff\xff", 16 },
    };
    ck_assert_msg(sim_send_bytes(&client, rows[_i].bytes, rows[_i].size), "%s", rows[_i].what);
    expect_closed(0);
    ck_assert_uint_eq(executed_count, 0);
}
END_TEST

/* Facts, protocol 2.4: an unknown version of ApiVersions is answered in words of version 0. */
START_TEST(api_versions_of_the_future_is_answered)
{
    static const char request[] = "\0\0\0\x0b\0\x12\x7f\xff\0\0\0\x09\xff\xff\0";
    static const uint8_t reply[] = { 0, 0, 0, 16, 0, 0, 0, 9, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4 };
    uint8_t bytes[64];
    size_t got;
    ck_assert(sim_send_bytes(&client, request, sizeof request - 1));
    sim_settle(&sim);
    ck_assert_int_eq(client.end->ops->read(client.end, bytes, sizeof bytes, &got), TRANSPORT_OK);
    ck_assert_uint_eq(got, sizeof reply);
    ck_assert_mem_eq(bytes, reply, sizeof reply);
    send_request(KEY_PRODUCE, 2, "done");
    EXPECT(2);
}
END_TEST

/* -- limits ------------------------------------------------------------------------------------- */

/* A peer that sends and never reads: bounded replies, and it goes on when the peer reads. */
START_TEST(unread_replies_stop_execution)
{
    for (int32_t i = 0; i < 200; i++)
        send_request(KEY_API_VERSIONS, i, "large");
    sim_settle(&sim);
    /* 60 KB a reply: what the pipe takes (1 MiB), what may wait (1 MiB), one more. */
    ck_assert_uint_lt(executed_count, 40);
    int32_t ids[256];
    bool is_closed;
    size_t count = read_replies(ids, 256, &is_closed);
    while (count < 200 && !is_closed)
        count += read_replies(ids, 256, &is_closed);
    ck_assert_uint_eq(count, 200);
    ck_assert_uint_eq(executed_count, 200);
}
END_TEST

START_TEST(waiting_requests_are_bounded)
{
    for (int32_t i = 0; i < 1000; i++)
        send_request(KEY_PRODUCE, i, "deadline");
    sim_settle(&sim);
    ck_assert_uint_eq(executed_count, CONN_REQUESTS_MAX);
    while (executed_count < 1000)
        sim_advance(&sim, 500);
    sim_advance(&sim, 500);
    int32_t ids[1024];
    bool is_closed;
    ck_assert_uint_eq(read_replies(ids, 1024, &is_closed), 1000);
    for (int32_t i = 0; i < 1000; i++)
        ck_assert_int_eq(ids[i], i);
}
END_TEST

/* Reliability row 5: memory follows the bytes that arrive, not the length that is announced. */
START_TEST(announced_lengths_cost_nothing)
{
    static struct sim_client stalled[1000];
    static const uint8_t begin[] = { 0x06, 0x40, 0, 0, 0, 0, 0, 3, 0, 0 };
    for (size_t i = 0; i < 1000; i++) {
        sim_connect(&sim, &stalled[i]);
        ck_assert(sim_send_bytes(&stalled[i], begin, sizeof begin));
    }
    sim_settle(&sim);
    ck_assert_uint_lt(the_loop()->budget.used, 8 << 20);
    send_request(KEY_PRODUCE, 1, "done");
    EXPECT(1);
    sim_advance(&sim, CONN_FRAME_MS + 1000);
    ck_assert_uint_eq(loop__conn_count(the_loop()), 1);
    ck_assert_uint_eq(the_loop()->budget.used, 0);
    for (size_t i = 0; i < 1000; i++)
        sim_disconnect(&stalled[i]);
}
END_TEST

/* The budget is full of unfinished frames: they wait, and go on when there is memory again. */
START_TEST(a_full_budget_makes_readers_wait)
{
    enum { GREEDY = 12, SENT = 900 * 1000 };
    static struct sim_client greedy[GREEDY];
    static uint8_t bytes[SENT] = { 0x00, 0x40, 0, 0, 0, 0, 0, 3 };
    teardown();
    open_with("socket.request.max.bytes=8388608\nqueued.max.request.bytes=8388608\n");
    for (size_t i = 0; i < GREEDY; i++) {
        sim_connect(&sim, &greedy[i]);
        for (size_t at = 0; at < SENT; at += SENT / 10) {
            sim_send_bytes(&greedy[i], bytes + at, SENT / 10);
            sim_settle(&sim);
        }
        ck_assert_uint_le(atomic_load(&sim.server->budget.handed_out), 8388608);
    }
    send_request(KEY_PRODUCE, 1, "done");
    EXPECT(1); /* a whole frame in the receive buffer needs none of it */
    for (size_t i = 0; i < GREEDY; i++)
        sim_disconnect(&greedy[i]);
    sim_advance(&sim, 1000);
    ck_assert_uint_eq(the_loop()->budget.used, 0);
    ck_assert_ptr_null(the_loop()->starved);
}
END_TEST

/* Many small requests on many connections: those beyond a few a connection are paid for. */
START_TEST(a_full_budget_stops_pipelines)
{
    enum { CLIENTS = 40 };
    static struct sim_client clients[CLIENTS];
    teardown();
    open_with("socket.request.max.bytes=1048576\nqueued.max.request.bytes=2097152\n");
    for (size_t i = 0; i < CLIENTS; i++) {
        sim_connect(&sim, &clients[i]);
        struct sim_client first = client;
        client = clients[i];
        for (int32_t k = 0; k < CONN_REQUESTS_MAX; k++)
            send_request(KEY_PRODUCE, k, "deadline");
        sim_settle(&sim);
        client = first;
    }
    ck_assert_uint_lt(executed_count, CLIENTS * CONN_REQUESTS_MAX);
    ck_assert_uint_ge(executed_count, CLIENTS * CONN_REQUESTS_FREE);
    ck_assert_uint_le(atomic_load(&sim.server->budget.handed_out), 2097152);
    send_request(KEY_PRODUCE, 1, "done");
    EXPECT(1); /* an honest client beside them */
    /* Those whose frames could not even be kept were closed; the others come to their end. */
    size_t left_count = 0;
    for (int i = 0; i < CONN_REQUESTS_MAX; i++)
        sim_advance(&sim, 500);
    for (size_t i = 0; i < CLIENTS; i++) {
        struct sim_client first = client;
        int32_t ids[CONN_REQUESTS_MAX];
        bool is_closed;
        client = clients[i];
        size_t count = read_replies(ids, CONN_REQUESTS_MAX, &is_closed);
        ck_assert(is_closed || count == CONN_REQUESTS_MAX);
        left_count += !is_closed;
        sim_disconnect(&client);
        client = first;
    }
    ck_assert_uint_gt(left_count, 0);
    ck_assert_uint_eq(the_loop()->budget.used, 0);
}
END_TEST

/* -- deadlines and ends ------------------------------------------------------------------------- */

START_TEST(an_idle_connection_is_closed)
{
    sim_advance(&sim, 599999);
    EXPECT_NOTHING();
    send_request(KEY_PRODUCE, 1, "done");
    EXPECT(1);
    sim_advance(&sim, 599999);
    EXPECT_NOTHING();
    sim_advance(&sim, 1);
    expect_closed(0);
}
END_TEST

START_TEST(a_waiting_request_is_no_idleness)
{
    send_request(KEY_API_VERSIONS, 1, "wait");
    sim_settle(&sim);
    sim_advance(&sim, 700000);
    wake(1, WAKE_PROGRESS);
    EXPECT(1);
}
END_TEST

/* Reliability row 18: one byte now and then does not keep a frame alive. */
START_TEST(a_slow_frame_is_closed)
{
    uint8_t frame[256];
    size_t size = make_frame(frame, KEY_PRODUCE, 1, "done");
    for (size_t i = 0; i < size - 1 && i * 5000 < CONN_FRAME_MS; i++) {
        ck_assert(sim_send_bytes(&client, frame + i, 1));
        sim_advance(&sim, 5000);
    }
    sim_advance(&sim, 5000);
    expect_closed(0);
}
END_TEST

/* acks=0 senders close when they are done; what arrived whole is executed. */
START_TEST(what_came_before_the_end_is_executed)
{
    send_request(KEY_PRODUCE, 1, "work");
    send_request(KEY_PRODUCE, 2, "none");
    uint8_t frame[64];
    ck_assert(sim_send_bytes(&client, frame, make_frame(frame, KEY_PRODUCE, 3, "none") - 1));
    sim_disconnect(&client);
    ck_assert_uint_eq(executed_count, 2); /* the third was never whole */
    ck_assert_uint_eq(loop__conn_count(the_loop()), 0);
    sim_connect(&sim, &client);
}
END_TEST

/* Found by the fuzzer: a long poll of weeks, with more behind it, and then the end. */
START_TEST(nothing_waits_behind_a_poll_of_a_closed_peer)
{
    send_request(KEY_API_VERSIONS, 1, "wait");
    send_request(KEY_API_VERSIONS, 2, "wait");
    send_request(KEY_PRODUCE, 3, "none");
    sim_settle(&sim);
    ck_assert_uint_eq(executed_count, 1);
    sim_disconnect(&client);
    ck_assert_uint_eq(executed_count, 3);
    ck_assert_uint_eq(loop__conn_count(the_loop()), 0);
    rq_release(held[1]);
    rq_release(held[2]);
    sim_connect(&sim, &client);
}
END_TEST

START_TEST(a_wait_ends_with_its_connection)
{
    send_request(KEY_API_VERSIONS, 1, "wait");
    sim_settle(&sim);
    sim_disconnect(&client);
    ck_assert_uint_eq(loop__conn_count(the_loop()), 0);
    ck_assert_ptr_null(held[1]->conn);
    wake(1, WAKE_PROGRESS); /* whoever held it may still do so */
    ck_assert_uint_eq(woken_count, 0);
    sim_connect(&sim, &client);
}
END_TEST

START_TEST(a_stop_answers_long_polls)
{
    send_request(KEY_API_VERSIONS, 1, "wait");
    send_request(KEY_API_VERSIONS, 2, "done");
    sim_settle(&sim);
    rq_release(held[1]);
    server_stop(sim.server);
    expect_closed(1);
    ck_assert_uint_eq(woken_count, 1);
    ck_assert_int_eq(woken_by[0], WAKE_DEADLINE);
}
END_TEST

START_TEST(a_stop_waits_for_the_disk_but_not_for_ever)
{
    send_request(KEY_PRODUCE, 1, "wait"); /* as for a flush */
    sim_settle(&sim);
    rq_release(held[1]);
    server_stop(sim.server);
    EXPECT_NOTHING();
    sim_advance(&sim, 1000);
    expect_closed(0);
    ck_assert_uint_eq(woken_count, 0);
}
END_TEST

START_TEST(memory_goes_back_when_it_is_quiet)
{
    for (int32_t i = 0; i < 100; i++)
        send_request(KEY_API_VERSIONS, i, "done");
    int32_t ids[100];
    bool is_closed;
    ck_assert_uint_eq(read_replies(ids, 100, &is_closed), 100);
    sim_advance(&sim, TRIM_AFTER_MS);
    sim_advance(&sim, TRIM_AFTER_MS);
    ck_assert_ptr_null(the_loop()->spare_requests);
    ck_assert_uint_eq(the_loop()->budget.lent, 0);
    /* Nothing is left but the idle deadline of the one connection, the next round of retention, and the next look of
     * the scrubber. */
    ck_assert_uint_eq(the_loop()->timers.count, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conn");
    TCase *tcase = tcase_create("order");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, replies_leave_in_order);
    tcase_add_test(tcase, an_overlapping_wait_holds_replies_back_and_executes_on);
    tcase_add_test(tcase, a_plain_wait_lets_nothing_run);
    tcase_add_test(tcase, busy_lets_nothing_run_even_where_waits_overlap);
    tcase_add_loop_test(tcase, closing_waits_for_earlier_answers, 0, 2);
    tcase_add_test(tcase, a_deadline_wakes);
    tcase_add_test(tcase, nothing_else_resumes_what_a_worker_has);
    tcase_add_test(tcase, a_frame_may_come_byte_by_byte);
    tcase_add_loop_test(tcase, impossible_frames_close, 0, 12);
    tcase_add_test(tcase, api_versions_of_the_future_is_answered);
    tcase_add_test(tcase, unread_replies_stop_execution);
    tcase_add_test(tcase, waiting_requests_are_bounded);
    tcase_add_test(tcase, announced_lengths_cost_nothing);
    tcase_add_test(tcase, a_full_budget_makes_readers_wait);
    tcase_add_test(tcase, a_full_budget_stops_pipelines);
    tcase_add_test(tcase, an_idle_connection_is_closed);
    tcase_add_test(tcase, a_waiting_request_is_no_idleness);
    tcase_add_test(tcase, a_slow_frame_is_closed);
    tcase_add_test(tcase, what_came_before_the_end_is_executed);
    tcase_add_test(tcase, nothing_waits_behind_a_poll_of_a_closed_peer);
    tcase_add_test(tcase, a_wait_ends_with_its_connection);
    tcase_add_test(tcase, a_stop_answers_long_polls);
    tcase_add_test(tcase, a_stop_waits_for_the_disk_but_not_for_ever);
    tcase_add_test(tcase, memory_goes_back_when_it_is_quiet);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
