/* Hostile input on a live broker: a clear error or a close, and an honest client beside it unharmed.
 * Rows are those of tests/integration/hostile.md. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "codec/api_versions.h"
#include "codec/fetch.h"
#include "codec/metadata.h"
#include "protocol/base/bytes.h"
#include "protocol/errors.h"
#include "tests/support/load.h"
#include "tests/support/served.h"
#include "tests/support/wire_client.h"

enum { TIMEOUT_MS = 10000, KEY_FETCH = 1, KEY_METADATA = 3, KEY_API_VERSIONS = 18 };

static struct served served;
static struct wire_client honest; /* connected all the time */

static void connect_client(struct wire_client *client)
{
    ck_assert(wire_connect(client, served.bootstrap, TIMEOUT_MS));
}

/* The client that was there before the attack gets its answer after it. */
static void expect_honest_client_served(void)
{
    struct metadata_request request;
    struct metadata_response response;
    metadata_request_init(&request);
    ck_assert_msg(wire_call(&honest, KEY_METADATA, 12, &request, &response),
                  "the honest client got no answer");
    ck_assert_int_eq(response.brokers_count, 1);
}

static unsigned count_descriptors(void)
{
    char command[128];
    unsigned count = 0;
    snprintf(command, sizeof command, "ls /proc/%d/fd | wc -l", (int)broker_process_pid(served.broker));
    FILE *pipe = popen(command, "r");
    ck_assert(pipe && fscanf(pipe, "%u", &count) == 1);
    pclose(pipe);
    return count;
}

/* -- bytes that are no request: closed without an answer ------------------------------------------ */

struct bytes_row {
    int row;
    const char *what;
    const char *bytes;
    size_t size;
};

#define BYTES(text) text, sizeof(text) - 1

static const struct bytes_row closed_rows[] = {
    { 1, "frame length -1", BYTES("\xff\xff\xff\xff\0\0\0\0") },
    { 1, "frame length of the smallest int32", BYTES("\x80\0\0\0\0\0\0\0") },
    { 2, "frame length 100 MiB + 1", BYTES("\x06\x40\0\x01\0\0\0\0") },
    { 2, "frame length of the largest int32", BYTES("\x7f\xff\xff\xff") },
    { 3, "frame length 0", BYTES("\0\0\0\0") },
    { 4, "frame length 1", BYTES("\0\0\0\x01\0") },
    { 4, "frame length 7: no room for key, version, correlation id", BYTES("\0\0\0\x07\0\x12\0\0\0\0\0") },
    { 7, "a TLS ClientHello", BYTES("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03") },
    { 8, "an HTTP request", BYTES("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") },
    { 10, "an unknown api key", BYTES("\0\0\0\x0a\x03\xe7\0\0\0\0\0\x01\xff\xff") },
    { 10, "a negative api key", BYTES("\0\0\0\x0a\xff\xff\0\0\0\0\0\x01\xff\xff") },
    { 11, "Metadata v99", BYTES("\0\0\0\x0b\0\x03\0\x63\0\0\0\x01\xff\xff\0") },
    { 11, "Metadata v-1", BYTES("\0\0\0\x0a\0\x03\xff\xff\0\0\0\x01\xff\xff") },
    { 11, "Produce v2, advertised for old librdkafka and refused",
      BYTES("\0\0\0\x14\0\0\0\x02\0\0\0\x01\xff\xff\0\x01\0\0\0\x01\0\0\0\0") },
    { 12, "LeaderAndIsr, for brokers only", BYTES("\0\0\0\x0a\0\x04\0\0\0\0\0\x01\xff\xff") },
    { 12, "Envelope, for controllers only", BYTES("\0\0\0\x0b\0\x3a\0\0\0\0\0\x01\xff\xff\0") },
    { 13, "client id of length -2", BYTES("\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xfe\0\0\0\0") },
    { 13, "client id longer than the frame", BYTES("\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\x7f\xff\0\0\0\0") },
    { 26, "header tag count of six continuation bytes",
      BYTES("\0\0\0\x10\0\x03\0\x0c\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff") },
    { 27, "a varint cut by the frame's end", BYTES("\0\0\0\x0b\0\x03\0\x0c\0\0\0\x01\xff\xff\x80") },
    { 29, "a topic name longer than the frame",
      BYTES("\0\0\0\x12\0\x03\0\x01\0\0\0\x01\xff\xff\0\0\0\x01\x7f\xff\x61\x61") },
    { 30, "a topic name of length -32768",
      BYTES("\0\0\0\x12\0\x03\0\x01\0\0\0\x01\xff\xff\0\0\0\x01\x80\0\x61\x61") },
    { 31, "a null topic name where none may be",
      BYTES("\0\0\0\x10\0\x03\0\x01\0\0\0\x01\xff\xff\0\0\0\x01\xff\xff") },
    { 32, "a compact length of 0xffffffff",
      BYTES("\0\0\0\x14\0\x03\0\x09\0\0\0\x01\xff\xff\0\x02\xff\xff\xff\xff\x0f\x61\0\0") },
    { 33, "an array longer than the frame",
      BYTES("\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\x7f\xff\xff\xff") },
    { 34, "as many elements as bytes, each of several bytes",
      BYTES("\0\0\0\x12\0\x03\0\x01\0\0\0\x01\xff\xff\0\0\0\x04\0\0\0\0") },
    { 35, "an array of length -2", BYTES("\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\xff\xff\xff\xfe") },
    { 36, "a tag count beyond the frame",
      BYTES("\0\0\0\x10\0\x03\0\x0c\0\0\0\x01\xff\xff\xff\xff\x03\0\0\0") },
    { 37, "a tag larger than the frame",
      BYTES("\0\0\0\x10\0\x03\0\x0c\0\0\0\x01\xff\xff\x01\x63\x7f\0\0\0") },
};

START_TEST(bytes_that_are_no_request_close)
{
    const struct bytes_row *row = &closed_rows[_i];
    struct wire_client client;
    connect_client(&client);
    ck_assert(wire_send_bytes(&client, row->bytes, row->size));
    ck_assert_msg(wire_is_closed_by_peer(&client), "row %d, %s: not closed", row->row, row->what);
    wire_close(&client);
    expect_honest_client_served();
}
END_TEST

/* -- odd, but answered ---------------------------------------------------------------------------- */

static const struct bytes_row answered_rows[] = {
    { 15, "a negative correlation id", BYTES("\0\0\0\x0e\0\x03\0\x01\x80\0\0\x07\xff\xff\0\0\0\0") },
    { 16, "trailing bytes after the body",
      BYTES("\0\0\0\x11\0\x03\0\x01\x80\0\0\x07\xff\xff\0\0\0\0\x01\x02\x03") },
    { 28, "a varint that is not minimal",
      BYTES("\0\0\0\x13\0\x03\0\x0c\x80\0\0\x07\xff\xff\x80\x80\0\x01\0\0\0\0\0") },
    { 37, "unknown tags out of order, one twice",
      BYTES("\0\0\0\x1b\0\x03\0\x0c\x80\0\0\x07\xff\xff\x03\x64\x01\xaa\x63\x01\xbb\x63\x01\xcc\x01\0\0\0\0\0"
            "\0") },
    { 41, "a boolean of 200", BYTES("\0\0\0\x11\0\x03\0\x09\x80\0\0\x07\xff\xff\0\x01\xc8\xc8\xc8\0\0") },
};

START_TEST(odd_requests_are_answered)
{
    const struct bytes_row *row = &answered_rows[_i];
    struct wire_client client;
    slice frame;
    connect_client(&client);
    ck_assert(wire_send_bytes(&client, row->bytes, row->size));
    ck_assert_msg(wire_receive_frame(&client, &frame), "row %d, %s: no answer", row->row, row->what);
    ck_assert_uint_ge(frame.size, 4);
    ck_assert_msg(load_be32(frame.data) == 0x80000007u, "row %d, %s: correlation id", row->row, row->what);
    wire_close(&client);
}
END_TEST

/* Row 11: the one API whose unknown version has an answer: v0, error 35, its own range. */
START_TEST(api_versions_of_an_unknown_version)
{
    static const char request[] = "\0\0\0\x0b\0\x12\0\x63\0\0\0\x01\xff\xff\0";
    static const uint8_t expected[] = { 0, 0, 0, 1, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4 };
    struct wire_client client;
    slice frame;
    connect_client(&client);
    ck_assert(wire_send_bytes(&client, request, sizeof request - 1));
    ck_assert(wire_receive_frame(&client, &frame));
    ck_assert_uint_eq(frame.size, sizeof expected);
    ck_assert_mem_eq(frame.data, expected, sizeof expected);
    /* and the connection goes on */
    struct api_versions_request retry;
    struct api_versions_response response;
    api_versions_request_init(&retry);
    retry.client_software_name = SLICE_LITERAL("test");
    retry.client_software_version = SLICE_LITERAL("1.0");
    ck_assert(wire_call(&client, KEY_API_VERSIONS, 3, &retry, &response));
    ck_assert_int_eq(response.error_code, ERR_NONE);
    wire_close(&client);
}
END_TEST

/* Row 14: what a client calls itself reaches the notes escaped, and takes no memory with it. */
START_TEST(client_id_of_32_kib_with_control_characters)
{
    enum { SIZE = 32000 };
    struct wire_client client;
    struct arena arena;
    struct metadata_request request;
    char *id = malloc(SIZE);
    slice frame;
    memset(id, '\n', SIZE);
    memcpy(id, "%s%n\x1b[31m", 9);
    arena_init(&arena, NULL);
    metadata_request_init(&request);
    slice bytes = wire_encode(&arena, KEY_METADATA, 12, 5, slice_of(id, SIZE), &request);
    connect_client(&client);
    ck_assert(wire_send_bytes(&client, bytes.data, bytes.size));
    ck_assert(wire_receive_frame(&client, &frame));
    wire_close(&client);
    arena_destroy(&arena);
    free(id);
}
END_TEST

/* Row 17. */
START_TEST(one_byte_per_segment)
{
    static const char request[] = "\0\0\0\x0e\0\x03\0\x01\0\0\0\x09\xff\xff\0\0\0\0";
    struct wire_client client;
    slice frame;
    connect_client(&client);
    for (size_t i = 0; i < sizeof request - 1; i++)
        ck_assert(wire_send_bytes(&client, request + i, 1));
    ck_assert(wire_receive_frame(&client, &frame));
    ck_assert_uint_eq(load_be32(frame.data), 9);
    wire_close(&client);
}
END_TEST

/* Row 5: a hundred announced frames of 100 MiB take no memory that was not sent. */
START_TEST(announced_frames_are_not_allocated)
{
    enum { COUNT = 100 };
    static const uint8_t announced[] = { 0x06, 0x3f, 0xff, 0xff, 0, 3, 0, 1 };
    static struct wire_client clients[COUNT];
    uint64_t before = process_rss(broker_process_pid(served.broker));
    for (int i = 0; i < COUNT; i++) {
        connect_client(&clients[i]);
        ck_assert(wire_send_bytes(&clients[i], announced, sizeof announced));
    }
    expect_honest_client_served();
    uint64_t after = process_rss(broker_process_pid(served.broker));
    bool is_judged = !process_is_sanitized(broker_process_pid(served.broker)); /* whose memory has a shadow */
    for (int i = 0; i < COUNT; i++)
        wire_close(&clients[i]);
    ck_assert_msg(!is_judged || after < before + (16 << 20), "grew from %llu to %llu bytes", (unsigned long long)before,
                  (unsigned long long)after);
}
END_TEST

/* Produce v3 of one batch, of zeroes, to a topic that is not there: nothing of it is copied anywhere. */
static size_t make_large_frame(uint8_t *out, size_t size)
{
    static const uint8_t head[] = { 0,    0, 0, 3, 0, 0, 0, 9,   0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0, 0,
                                    0x64, 0, 0, 0, 1, 0, 1, 'u', 0,    0,    0,    1,    0, 0, 0, 0 };
    memset(out, 0, size);
    store_be32(out, (uint32_t)(size - 4));
    memcpy(out + 4, head, sizeof head);
    store_be32(out + 4 + sizeof head, (uint32_t)(size - 8 - sizeof head));
    return size;
}

/* Row 17 for frames that the kernel collects: in pieces of every size, larger than a socket buffer, and cut.
 */
START_TEST(large_frames_in_pieces)
{
    static uint8_t bytes[20 << 20];
    static const struct {
        size_t size, piece;
    } rows[] = { { 300 << 10, 1 << 10 }, { 1 << 20, 100 << 10 }, { 1 << 20, 1 << 20 },
                 { 20 << 20, 1 << 20 },  { 100, 100 },           { 20 << 20, 20 << 20 } };
    struct wire_client client;
    slice frame;
    connect_client(&client);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t size = make_large_frame(bytes, rows[i].size);
        for (size_t at = 0; at < size; at += rows[i].piece)
            ck_assert(
                wire_send_bytes(&client, bytes + at, size - at < rows[i].piece ? size - at : rows[i].piece));
        ck_assert_msg(wire_receive_frame(&client, &frame), "row %zu", i);
        ck_assert_uint_eq(load_be32(frame.data), 9);
    }
    make_large_frame(bytes, 1 << 20);
    ck_assert(wire_send_bytes(&client, bytes, 1 << 19));
    ck_assert_int_eq(shutdown(client.descriptor, SHUT_WR), 0);
    ck_assert(!wire_receive_frame(&client, &frame)); /* closed, and not when the deadline is over */
    wire_close(&client);
}
END_TEST

/* Row 5 of those who send a part: after a whole frame, which has memory that would be used again, 60 KiB of
 * each next one of 1 MiB stay with the kernel. */
START_TEST(frames_that_stall_take_no_memory)
{
    enum { COUNT = 60, SIZE = 1 << 20, SENT = 60 << 10 };
    static uint8_t bytes[SIZE];
    static struct wire_client clients[COUNT];
    slice frame;
    size_t size = make_large_frame(bytes, SIZE);
    uint64_t before = process_rss(broker_process_pid(served.broker));
    for (int i = 0; i < COUNT; i++) {
        connect_client(&clients[i]);
        ck_assert(wire_send_bytes(&clients[i], bytes, size));
        ck_assert(wire_receive_frame(&clients[i], &frame));
        ck_assert(wire_send_bytes(&clients[i], bytes, SENT));
        expect_honest_client_served();
    }
    uint64_t after = process_rss(broker_process_pid(served.broker));
    bool is_judged = !process_is_sanitized(broker_process_pid(served.broker)); /* whose memory has a shadow */
    for (int i = 0; i < COUNT; i++)
        wire_close(&clients[i]);
    ck_assert_msg(!is_judged || after < before + (16 << 20), "grew from %llu to %llu bytes", (unsigned long long)before,
                  (unsigned long long)after);
}
END_TEST

/* Row 22: pipelines and never reads. The broker stops reading; its memory stays bounded. */
START_TEST(pipeliner_that_never_reads)
{
    struct wire_client client;
    struct arena arena;
    struct api_versions_request request;
    arena_init(&arena, NULL);
    api_versions_request_init(&request);
    request.client_software_name = SLICE_LITERAL("test");
    request.client_software_version = SLICE_LITERAL("1.0");
    slice frame = wire_encode(&arena, KEY_API_VERSIONS, 3, 1, SLICE_LITERAL("pipeliner"), &request);
    ck_assert(wire_connect(&client, served.bootstrap, 500));
    bool blocked = false;
    for (int i = 0; i < 2000000 && !blocked; i++)
        blocked = !wire_send_bytes(&client, frame.data, frame.size);
    ck_assert_msg(blocked, "the broker read two million requests of a client that never reads");
    ck_assert_uint_lt(process_rss(broker_process_pid(served.broker)), 128 << 20);
    expect_honest_client_served();
    wire_close(&client);
    arena_destroy(&arena);
}
END_TEST

/* Row 24: a partial frame is never executed, and nothing of the connection stays. */
START_TEST(resets_leave_nothing)
{
    static const char partial[] = "\0\0\x10\0\0\0\0\x09\0\0\0\x01";
    unsigned before = count_descriptors();
    for (int i = 0; i < 200; i++) {
        struct wire_client client;
        struct linger reset = { .l_onoff = 1, .l_linger = 0 };
        connect_client(&client);
        ck_assert(wire_send_bytes(&client, partial, sizeof partial - 1));
        setsockopt(client.descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        wire_close(&client);
    }
    /* Every answer of the honest client is a turn of its loop; the resets are seen meanwhile. */
    double until = monotonic_seconds() + TIMEOUT_MS / 1e3;
    unsigned after;
    do {
        expect_honest_client_served();
        after = count_descriptors();
    } while (after > before && monotonic_seconds() < until);
    ck_assert_uint_le(after, before);
}
END_TEST

/* Row 36: tag counts that Kafka up to 4.3.1 kept an object for each (CVE-2026-111115). */
START_TEST(a_frame_full_of_tags)
{
    enum { TAGS = 500000, SIZE = 17 + 3 * TAGS };
    uint8_t *frame = calloc(1, 4 + SIZE);
    struct wire_client client;
    slice answer;
    static const uint8_t head[] = { 0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff };
    store_be32(frame, SIZE);
    memcpy(frame + 4, head, sizeof head);
    uint8_t *p = frame + 4 + sizeof head;
    *p++ = 0x80 | (TAGS & 0x7f);
    *p++ = 0x80 | (TAGS >> 7 & 0x7f);
    *p++ = TAGS >> 14;
    for (int i = 0; i < TAGS; i++) {
        *p++ = 0x80 | (i & 0x7f);
        *p++ = (uint8_t)(i >> 7 & 0x7f);
        *p++ = 0;
    }
    *p++ = 1; /* no topics */
    connect_client(&client);
    ck_assert(wire_send_bytes(&client, frame, 4 + SIZE));
    ck_assert(wire_receive_frame(&client, &answer));
    ck_assert_uint_lt(process_rss(broker_process_pid(served.broker)), 128 << 20);
    wire_close(&client);
    free(frame);
}
END_TEST

/* Row 38: topics x partitions at the allowed maximum. Refused by the element budget, or answered. */
START_TEST(nested_arrays_at_the_maximum)
{
    enum { PARTITIONS = 3000000 };
    struct wire_client client;
    struct arena arena;
    struct fetch_request request;
    struct fetch_request_topic topic;
    fetch_request_init(&request);
    fetch_request_topic_init(&topic);
    arena_init(&arena, NULL);
    topic.name = SLICE_LITERAL("none");
    topic.partitions = arena_alloc_array(&arena, PARTITIONS, sizeof *topic.partitions);
    topic.partitions_count = PARTITIONS;
    for (int i = 0; i < PARTITIONS; i++)
        fetch_request_partition_init(&topic.partitions[i]);
    request.topics = &topic;
    request.topics_count = 1;
    slice frame = wire_encode(&arena, KEY_FETCH, 4, 1, SLICE_LITERAL("nested"), &request);
    connect_client(&client);
    (void)wire_send_bytes(&client, frame.data, frame.size);
    ck_assert(wire_is_closed_by_peer(&client));
    ck_assert_uint_lt(process_rss(broker_process_pid(served.broker)), 300u << 20);
    wire_close(&client);
    arena_destroy(&arena);
    expect_honest_client_served();
}
END_TEST

static void start_broker(void)
{
    served_start(&served, RUNNEL_BINARY, NULL);
    ck_assert(wire_connect(&honest, served.bootstrap, TIMEOUT_MS));
}

static void stop_broker(void)
{
    wire_close(&honest);
    served_stop(&served);
}

/* Its SYN would find a queue of 50 full and be sent again after a second. */
START_TEST(a_burst_of_connections_waits_in_the_queue)
{
    enum { COUNT = 300, AT_ONCE_MS = 700 };
    static struct wire_client clients[COUNT];
    struct timespec from, to;
    ck_assert_int_eq(kill(broker_process_pid(served.broker), SIGSTOP), 0); /* accepts nobody */
    clock_gettime(CLOCK_MONOTONIC, &from);
    int connected = 0;
    while (connected < COUNT && wire_connect(&clients[connected], served.bootstrap, AT_ONCE_MS))
        connected++;
    clock_gettime(CLOCK_MONOTONIC, &to);
    ck_assert_int_eq(kill(broker_process_pid(served.broker), SIGCONT), 0);
    ck_assert_int_eq(connected, COUNT);
    ck_assert_int_lt((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000,
                     10 * AT_ONCE_MS);
    for (int i = 0; i < COUNT; i++)
        wire_close(&clients[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostile");
    TCase *tests = tcase_create("frames");
    tcase_set_timeout(tests, 120);
    tcase_add_unchecked_fixture(tests, start_broker, stop_broker);
    tcase_add_loop_test(tests, bytes_that_are_no_request_close, 0, sizeof closed_rows / sizeof *closed_rows);
    tcase_add_loop_test(tests, odd_requests_are_answered, 0, sizeof answered_rows / sizeof *answered_rows);
    tcase_add_test(tests, api_versions_of_an_unknown_version);
    tcase_add_test(tests, client_id_of_32_kib_with_control_characters);
    tcase_add_test(tests, one_byte_per_segment);
    tcase_add_test(tests, announced_frames_are_not_allocated);
    tcase_add_test(tests, large_frames_in_pieces);
    tcase_add_test(tests, frames_that_stall_take_no_memory);
    tcase_add_test(tests, pipeliner_that_never_reads);
    tcase_add_test(tests, resets_leave_nothing);
    tcase_add_test(tests, a_burst_of_connections_waits_in_the_queue);
    tcase_add_test(tests, a_frame_full_of_tags);
    tcase_add_test(tests, nested_arrays_at_the_maximum);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* one connection of the honest client for all */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
