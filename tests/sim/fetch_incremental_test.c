/* Incremental fetches against the whole broker, each rule of KIP-227 as a story of a few requests. The model
 * test goes through all of them at random; here they stand to be read. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/fetch_session.h"
#include "codec/create_topics.h"
#include "codec/delete_topics.h"
#include "codec/fetch.h"
#include "codec/produce.h"
#include "protocol/errors.h"
#include "protocol/record_batch.h"
#include "tests/support/sim.h"

enum {
    KEY_PRODUCE = 0,
    KEY_FETCH = 1,
    KEY_CREATE_TOPICS = 19,
    KEY_DELETE_TOPICS = 20,
    BY_NAME = 12,
    BY_ID = 17,
    WAIT_MS = 500,
    PARTITIONS_MAX = 8,
    NAMES = 26
};

static struct sim sim;
static struct sim_client client;
static struct sim_client other;
static uuid ids[NAMES]; /* of the topics "a" to "z" */

static void begin(const char *settings)
{
    sim_open(&sim, 3, settings);
    sim_connect(&sim, &client);
    sim_connect(&sim, &other);
    memset(ids, 0, sizeof ids);
}

static void set_up(void)
{
    begin("auto.create.topics.enable=false");
}

static void tear_down(void)
{
    sim_disconnect(&client);
    sim_disconnect(&other);
    sim_close(&sim);
}

/* -- topics and records --------------------------------------------------------------------------- */

static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

static slice name_of(char topic)
{
    return slice_of(&letters[topic - 'a'], 1);
}

static void create(char name)
{
    struct create_topics_request request;
    struct create_topics_request_topic topic;
    struct create_topics_response response;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&topic);
    topic.name = name_of(name);
    topic.num_partitions = 3;
    topic.replication_factor = 1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&other, KEY_CREATE_TOPICS, 7, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
    ids[name - 'a'] = response.topics[0].topic_id;
}

static void drop(char name)
{
    struct delete_topics_request request;
    struct delete_topics_request_topic topic;
    struct delete_topics_response response;
    delete_topics_request_init(&request);
    delete_topics_request_topic_init(&topic);
    topic.name = name_of(name);
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&other, KEY_DELETE_TOPICS, 6, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
    sim_settle(&sim);
}

static void produce(char name, int32_t p)
{
    static const struct batch_builder_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1
    };
    struct arena arena;
    struct batch_view batch;
    struct produce_request request;
    struct produce_request_topic topic;
    struct produce_request_partition partition;
    struct produce_response response;
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    ck_assert(batch_builder_add(builder, 1700000000000, SLICE_NULL, SLICE_LITERAL("value"), NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    produce_request_init(&request);
    produce_request_topic_init(&topic);
    produce_request_partition_init(&partition);
    partition.partition = p;
    partition.records.bytes = slice_of(batch.data, batch.size);
    topic.name = name_of(name);
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.acks = -1;
    request.timeout_ms = 30000;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&other, KEY_PRODUCE, 9, &request, &response));
    ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
    arena_destroy(&arena);
}

/* -- fetches -------------------------------------------------------------------------------------- */

static struct fetch_request request;
static struct fetch_request_topic topics[PARTITIONS_MAX];
static struct fetch_request_partition partitions[PARTITIONS_MAX];
static struct fetch_request_forgotten_topic forgotten[PARTITIONS_MAX];
static int32_t forgotten_partitions[PARTITIONS_MAX];
static int16_t version;
static struct fetch_response response;
static int32_t session_id;

/* what: "a0@5" asks for partition 0 of topic a from offset 5, "-a1" forgets one. */
static void ask(int32_t id, int32_t epoch, const char *what)
{
    fetch_request_init(&request);
    request.session_id = id;
    request.session_epoch = epoch;
    request.min_bytes = 1;
    request.topics = topics;
    request.forgotten_topics = forgotten;
    for (const char *at = what; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
        bool is_forgotten = *at == '-';
        const char *key = at + is_forgotten;
        if (is_forgotten) {
            int i = request.forgotten_topics_count++;
            fetch_request_forgotten_topic_init(&forgotten[i]);
            forgotten[i].name = name_of(key[0]);
            forgotten[i].topic_id = ids[key[0] - 'a'];
            forgotten[i].partitions = &forgotten_partitions[i];
            forgotten[i].partitions_count = 1;
            forgotten_partitions[i] = key[1] - '0';
            continue;
        }
        int i = request.topics_count++;
        fetch_request_topic_init(&topics[i]);
        fetch_request_partition_init(&partitions[i]);
        topics[i].name = name_of(key[0]);
        topics[i].topic_id = ids[key[0] - 'a'];
        topics[i].partitions = &partitions[i];
        topics[i].partitions_count = 1;
        partitions[i].partition = key[1] - '0';
        partitions[i].partition_max_bytes = 100000;
        partitions[i].fetch_offset = key[2] == '@' ? atoi(key + 3) : 0;
    }
}

static void send_as(struct sim_client *sender)
{
    ck_assert(sim_send(sender, KEY_FETCH, version, &request));
    sim_settle(&sim);
}

static char letter_of(const struct fetch_response_topic *topic)
{
    for (int i = 0; i < NAMES; i++)
        if (version >= 13 ? uuid_equal(ids[i], topic->topic_id)
                          : slice_equal(topic->name, name_of(letters[i])))
            return letters[i];
    return '?';
}

/* The answer as text: "a0:5" is partition 0 of topic a with high watermark 5, "+" with records, "!3" with an
 * error. */
static void receive_as(struct sim_client *receiver, int16_t error_code, const char *expected)
{
    char got[256] = "";
    size_t size = 0;
    ck_assert(sim_receive(receiver, KEY_FETCH, version, &response));
    ck_assert_msg(response.error_code == error_code, "%s", error_name(response.error_code));
    for (int32_t t = 0; t < response.topics_count; t++) {
        const struct fetch_response_topic *topic = &response.topics[t];
        for (int32_t p = 0; p < topic->partitions_count; p++) {
            const struct fetch_response_partition *partition = &topic->partitions[p];
            size += (size_t)snprintf(got + size, sizeof got - size, "%s%c%d", size ? " " : "",
                                     letter_of(topic), partition->partition);
            size += (size_t)(partition->error_code != ERR_NONE
                                 ? snprintf(got + size, sizeof got - size, "!%d", partition->error_code)
                                 : snprintf(got + size, sizeof got - size, ":%lld%s",
                                            (long long)partition->high_watermark,
                                            partition->records.bytes.size > 0 ? "+" : ""));
        }
    }
    ck_assert_str_eq(got, expected);
}

static void expect(int32_t epoch, const char *what, const char *expected)
{
    ask(session_id, epoch, what);
    send_as(&client);
    receive_as(&client, ERR_NONE, expected);
}

static void open_session(const char *what, const char *expected)
{
    session_id = 0;
    expect(0, what, expected);
    session_id = response.session_id;
    ck_assert_int_gt(session_id, 0);
}

/* Still waiting after all but the last millisecond, answered with it. */
static void expect_late(struct sim_client *waiting, int16_t error_code, const char *expected)
{
    uint8_t byte;
    size_t size = 0;
    sim_advance(&sim, WAIT_MS - 1);
    enum transport_status status = waiting->end->ops->read(waiting->end, &byte, 1, &size);
    ck_assert_msg(status == TRANSPORT_AGAIN && size == 0, "it was answered too early");
    sim_advance(&sim, 1);
    receive_as(waiting, error_code, expected);
}

static void wait_for(int32_t epoch, const char *what)
{
    ask(session_id, epoch, what);
    request.max_wait_ms = WAIT_MS;
    send_as(&client);
}

/* -- stories -------------------------------------------------------------------------------------- */

static void with_version(int i)
{
    version = i == 0 ? BY_NAME : BY_ID;
}

START_TEST(only_what_changed_is_told)
{
    with_version(_i);
    create('a');
    produce('a', 0);
    open_session("a0@1 a1@0 a2@0", "a0:1 a1:0 a2:0");
    expect(1, "", "");
    ck_assert_int_eq(response.session_id, session_id);
    produce('a', 1);
    expect(2, "", "a1:1+"); /* records */
    expect(3, "a1@1", "");
    produce('a', 2);
    ask(session_id, 4, "");
    request.max_bytes = 0; /* at least one batch comes all the same */
    send_as(&client);
    receive_as(&client, ERR_NONE, "a2:1+");
    expect(5, "a2@0", "a2:1+");
    expect(6, "a2@1 a0@1", "");
    expect(7, "-a2", "");
    produce('a', 2);
    expect(8, "", "");
    expect(9, "a2@2", "a2:2"); /* added again, so told again */
}
END_TEST

START_TEST(who_had_records_goes_last)
{
    with_version(_i);
    create('a');
    create('b');
    open_session("a0 a1 b0", "a0:0 a1:0 b0:0");
    for (int i = 0; i < 2; i++)
        produce('a', i);
    produce('b', 0);
    expect(1, "", "a0:1+ a1:1+ b0:1+");
    expect(2, "a1@1", "a0:1+ b0:1+"); /* a0 and b0 move behind a1 */
    expect(3, "a1@0 a0@1", "a1:1+ b0:1+");
    expect(4, "a0@0", "a0:1+ a1:1+ b0:1+");
}
END_TEST

START_TEST(errors_are_told_until_they_are_over)
{
    with_version(_i);
    create('a');
    open_session("a0@9 a1 a7", "a0!1 a1:0 a7!3"); /* what was not found comes last */
    expect(1, "", "a0!1 a7!3");
    expect(2, "", "a0!1 a7!3");
    expect(3, "a0@0", "a0:0 a7!3");
    expect(4, "", "a7!3");
    expect(5, "-a7", "");
}
END_TEST

START_TEST(the_last_one_closes)
{
    with_version(_i);
    create('a');
    open_session("a0 a1", "a0:0 a1:0");
    expect(1, "-a0 -a1", "");
    ck_assert_int_eq(response.session_id, 0);
    ask(session_id, 2, "");
    send_as(&client);
    receive_as(&client, ERR_FETCH_SESSION_ID_NOT_FOUND, "");
    ck_assert_int_eq(response.session_id, 0);
    open_session("a0", "a0:0");
    expect(1, "a1 -a0 -a1", "a1:0"); /* the request alone, as it stands */
    ck_assert_int_eq(response.session_id, 0);
}
END_TEST

START_TEST(a_full_fetch_closes_the_one_it_names)
{
    with_version(_i);
    create('a');
    open_session("a0", "a0:0");
    int32_t before = session_id;
    expect(0, "a1", "a1:0");
    session_id = response.session_id;
    ck_assert(session_id > 0 && session_id != before);
    expect(-1, "a2", "a2:0");
    ck_assert_int_eq(response.session_id, 0);
    for (int i = 0; i < 2; i++) {
        ask(i == 0 ? before : session_id, 1, "");
        send_as(&client);
        receive_as(&client, ERR_FETCH_SESSION_ID_NOT_FOUND, "");
    }
    session_id = 0;
    expect(-1, "", "");
    open_session("", "");
    expect(1, "a0", "a0:0");
}
END_TEST

START_TEST(refusals)
{
    static const struct {
        int16_t version;
        int32_t epoch;
        int16_t error_code;
    } rows[] = {
        { BY_NAME, 0x7fffffff, ERR_INVALID_FETCH_SESSION_EPOCH },
        { BY_NAME, 2, ERR_INVALID_FETCH_SESSION_EPOCH },
        { BY_NAME, -7, ERR_INVALID_FETCH_SESSION_EPOCH },
        { BY_ID, 1, ERR_FETCH_SESSION_TOPIC_ID_ERROR },
        { BY_NAME, 1, ERR_NONE },
        { BY_NAME, 1, ERR_INVALID_FETCH_SESSION_EPOCH },
    };
    version = BY_NAME;
    create('a');
    open_session("a0", "a0:0");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        version = rows[i].version;
        ask(session_id, rows[i].epoch, "a1@9");
        request.max_wait_ms = WAIT_MS; /* a refusal does not wait */
        send_as(&client);
        receive_as(&client, rows[i].error_code, rows[i].error_code == ERR_NONE ? "a1!1" : "");
        ck_assert_int_eq(response.session_id, rows[i].error_code == ERR_NONE ? session_id : 0);
    }
}
END_TEST

/* facts: reliability, row 77 */
START_TEST(a_partition_named_twice_is_one)
{
    with_version(_i);
    create('a');
    produce('a', 0);
    produce('a', 0);
    session_id = 0;
    expect(-1, "a0@2 a1@0 a0@1", "a0:2+ a1:0"); /* where it stood first, as it was asked for last */
    expect(-1, "a0@1 a1@0 a0@2", "a0:2 a1:0");
    open_session("a0@1 a0@2 a0@9", "a0!1");
    expect(1, "a0@9 a0@2", "a0:2");
}
END_TEST

START_TEST(versions_without_sessions)
{
    create('a');
    for (version = 4; version <= 6; version++) {
        session_id = 0;
        ask(0, 0, "a0 a7");
        send_as(&client);
        receive_as(&client, ERR_NONE, "a0:0 a7!3");
        ck_assert_uint_eq(fetch_sessions_stats(sim.server->fetch_sessions).count, 0);
    }
}
END_TEST

/* -- names and ids -------------------------------------------------------------------------------- */

START_TEST(topics_that_go_and_come_by_name)
{
    version = BY_NAME;
    create('a');
    create('b');
    produce('a', 0);
    open_session("a0@1 b0 c0", "a0:1 b0:0 c0!3");
    create('c');
    expect(1, "", "c0:0");
    drop('a');
    expect(2, "", "a0!3");
    expect(3, "", "a0!3");
    create('a'); /* by name it is the same one: its offsets begin anew */
    expect(4, "", "a0!1");
    expect(5, "a0@0", "a0:0");
    expect(6, "", "");
}
END_TEST

START_TEST(topics_that_go_and_come_by_id)
{
    version = BY_ID;
    create('a');
    create('b');
    ids['x' - 'a'] = (uuid){ { 7, 7, 7 } };
    open_session("a0 b0 x0", "a0:0 b0:0 x0!100");
    uuid before = ids[0];
    expect(1, "", "x0!100");
    drop('a');
    expect(2, "", "a0!3 x0!100");          /* its name is known, and leads nowhere */
    expect(3, "a1", "a0!3 x0!100 a1!100"); /* this one was never resolved */
    create('a');
    uuid after = ids[0];
    ids[0] = before;
    expect(4, "", "a0!103 x0!100 a1!100"); /* the name leads to another topic */
    expect(5, "-a0 -a1 -x0", "");
    ids[0] = after;
    expect(6, "a0", "a0:0");
}
END_TEST

/* -- waiting -------------------------------------------------------------------------------------- */

START_TEST(an_empty_poll_waits)
{
    with_version(_i);
    create('a');
    open_session("a0 a1 a7", "a0:0 a1:0 a7!3");
    wait_for(1, "");
    uint64_t turns = 0;
    while (server_step(sim.server))
        turns++;
    ck_assert_msg(turns == 0, "nothing runs while it waits");
    expect_late(&client, ERR_NONE, "a7!3"); /* what was not found keeps nobody awake */
    wait_for(2, "-a7");
    expect_late(&client, ERR_NONE, "");
    wait_for(3, "");
    sim_advance(&sim, 10);
    produce('a', 1);
    sim_settle(&sim);
    receive_as(&client, ERR_NONE, "a1:1+");
    wait_for(4, ""); /* it is there already */
    receive_as(&client, ERR_NONE, "a1:1+");
    wait_for(5, "a1@1 a0@5"); /* an error in what is read is told at once */
    receive_as(&client, ERR_NONE, "a0!1");
    wait_for(6, "-a0 -a1 a7"); /* and so is an answer of nothing but what was not found */
    receive_as(&client, ERR_NONE, "a7!3");
}
END_TEST

START_TEST(all_bytes_of_the_session_count)
{
    with_version(_i);
    create('a');
    open_session("a0 a1", "a0:0 a1:0");
    produce('a', 0);
    expect(1, "", "a0:1+");
    ask(session_id, 2, "");
    request.max_wait_ms = WAIT_MS;
    request.min_bytes = (int32_t)response.topics[0].partitions[0].records.bytes.size + 1;
    send_as(&client);
    sim_advance(&sim, 10);
    produce('a', 1); /* named by neither request */
    sim_settle(&sim);
    receive_as(&client, ERR_NONE, "a1:1+ a0:1+");
}
END_TEST

/* What was read and not told changes nothing: the second answer is as if the first look had never been. */
START_TEST(tries_of_a_poll_leave_no_trace)
{
    with_version(_i);
    create('a');
    open_session("a0 a1", "a0:0 a1:0");
    ask(session_id, 1, "");
    request.max_wait_ms = WAIT_MS;
    request.min_bytes = 100000;
    send_as(&client);
    produce('a', 0); /* looked at, too little */
    sim_settle(&sim);
    ask(session_id, 2, "a0@1");
    send_as(&other);
    receive_as(&other, ERR_NONE, "a0:1"); /* the client does not know this high watermark yet */
    expect_late(&client, ERR_INVALID_FETCH_SESSION_EPOCH, "");
}
END_TEST

START_TEST(somebody_else_goes_on)
{
    with_version(_i);
    create('a');
    open_session("a0 a1", "a0:0 a1:0");
    wait_for(1, "");
    ask(session_id, 1, "");
    send_as(&other); /* the same once more */
    receive_as(&other, ERR_INVALID_FETCH_SESSION_EPOCH, "");
    ask(session_id, 2, "-a0");
    send_as(&other);
    receive_as(&other, ERR_NONE, "");
    expect_late(&client, ERR_INVALID_FETCH_SESSION_EPOCH, "");
    ck_assert_int_eq(response.session_id, session_id);

    wait_for(3, "");
    ask(session_id, 4, "-a1"); /* nothing is left */
    send_as(&other);
    receive_as(&other, ERR_NONE, "");
    expect_late(&client, ERR_NONE, "");
    ck_assert_int_eq(response.session_id, session_id);

    open_session("a0 a1", "a0:0 a1:0");
    wait_for(1, "");
    ask(session_id, -1, ""); /* closed: who waits is served to the end */
    send_as(&other);
    receive_as(&other, ERR_NONE, "");
    produce('a', 0);
    sim_settle(&sim);
    receive_as(&client, ERR_NONE, "a0:1+");
}
END_TEST

START_TEST(a_topic_goes_while_it_is_waited_for)
{
    with_version(_i);
    create('a');
    create('b');
    open_session("a0 b0", "a0:0 b0:0");
    wait_for(1, "");
    drop('a');
    receive_as(&client, ERR_NONE, "a0!3");
    wait_for(2, "");
    create('a'); /* wakes nobody */
    if (version == BY_NAME)
        expect_late(&client, ERR_NONE, "a0:0");
    else
        expect_late(&client, ERR_NONE, "?0!103"); /* the id that was asked for */
    drop('b');
    create('b');
    expect(3, "", version == BY_NAME ? "" /* its offsets are as they were */ : "?0!103 ?0!103");
}
END_TEST

START_TEST(a_client_that_leaves_takes_nothing_with_it)
{
    with_version(_i);
    create('a');
    open_session("a0", "a0:0");
    wait_for(1, "");
    sim_disconnect(&client);
    sim_connect(&sim, &client);
    expect(2, "", "");
    wait_for(3, "");
}
END_TEST

/* -- bounds --------------------------------------------------------------------------------------- */

START_TEST(without_room_it_goes_on_without)
{
    tear_down();
    begin("max.incremental.fetch.session.cache.slots=2");
    with_version(_i);
    create('a');
    open_session("a0", "a0:0");
    int32_t first = session_id;
    open_session("a0", "a0:0");
    session_id = 0;
    expect(0, "a0 a1", "a0:0 a1:0");
    ck_assert_int_eq(response.session_id, 0);
    sim_advance(&sim, FETCH_SESSION_EVICTION_MS + 1);
    open_session("a1", "a1:0"); /* the stalest one went */
    session_id = first;
    ask(first, 1, "");
    send_as(&client);
    receive_as(&client, ERR_FETCH_SESSION_ID_NOT_FOUND, "");
}
END_TEST

START_TEST(no_slots)
{
    tear_down();
    begin("max.incremental.fetch.session.cache.slots=0");
    with_version(_i);
    create('a');
    session_id = 0;
    expect(0, "a0", "a0:0");
    ck_assert_int_eq(response.session_id, 0);
}
END_TEST

/* A new session with every request: the cache fills once, then nothing grows. */
START_TEST(a_session_with_every_request)
{
    tear_down();
    begin("max.incremental.fetch.session.cache.slots=100");
    with_version(_i);
    create('a');
    session_id = 0;
    struct fetch_sessions_stats full = { 0 };
    for (int i = 0; i < 5000; i++) {
        expect(0, "a0 a1", "a0:0 a1:0");
        if (i == 100)
            full = fetch_sessions_stats(sim.server->fetch_sessions);
        ck_assert((response.session_id != 0) == (i < 100));
    }
    struct fetch_sessions_stats after = fetch_sessions_stats(sim.server->fetch_sessions);
    ck_assert_uint_eq(after.count, 100);
    ck_assert_uint_eq(after.size, full.size);
    ck_assert_uint_lt(after.size / after.count, 1024);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("incremental fetches");
    TCase *tests = tcase_create("stories");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, only_what_changed_is_told, 0, 2);
    tcase_add_loop_test(tests, who_had_records_goes_last, 0, 2);
    tcase_add_loop_test(tests, errors_are_told_until_they_are_over, 0, 2);
    tcase_add_loop_test(tests, the_last_one_closes, 0, 2);
    tcase_add_loop_test(tests, a_full_fetch_closes_the_one_it_names, 0, 2);
    tcase_add_test(tests, refusals);
    tcase_add_loop_test(tests, a_partition_named_twice_is_one, 0, 2);
    tcase_add_test(tests, versions_without_sessions);
    tcase_add_test(tests, topics_that_go_and_come_by_name);
    tcase_add_test(tests, topics_that_go_and_come_by_id);
    tcase_add_loop_test(tests, an_empty_poll_waits, 0, 2);
    tcase_add_loop_test(tests, all_bytes_of_the_session_count, 0, 2);
    tcase_add_loop_test(tests, tries_of_a_poll_leave_no_trace, 0, 2);
    tcase_add_loop_test(tests, somebody_else_goes_on, 0, 2);
    tcase_add_loop_test(tests, a_topic_goes_while_it_is_waited_for, 0, 2);
    tcase_add_loop_test(tests, a_client_that_leaves_takes_nothing_with_it, 0, 2);
    tcase_add_loop_test(tests, without_room_it_goes_on_without, 0, 2);
    tcase_add_loop_test(tests, no_slots, 0, 2);
    tcase_add_loop_test(tests, a_session_with_every_request, 0, 2);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
