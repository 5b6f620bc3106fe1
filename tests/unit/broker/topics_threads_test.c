/* Threads make, fill, read and delete the same few topics through real loops and sockets: every request is
 * answered with something that Kafka has for it, and nothing is left. Also run under ThreadSanitizer.
 *
 * RUNNEL_ROUNDS: how often each admin deletes and makes its topics (default 60). */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/server.h"
#include "codec/create_partitions.h"
#include "codec/create_topics.h"
#include "codec/delete_topics.h"
#include "codec/fetch.h"
#include "codec/list_offsets.h"
#include "codec/metadata.h"
#include "codec/produce.h"
#include "protocol/errors.h"
#include "protocol/record_batch.h"
#include "storage/directory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wire_client.h"

enum {
    KEY_PRODUCE = 0,
    KEY_FETCH = 1,
    KEY_LIST_OFFSETS = 2,
    KEY_METADATA = 3,
    KEY_CREATE = 19,
    KEY_DELETE = 20,
    KEY_GROW = 37,
    NAMES = 3,
    PARTITIONS = 2,
    ADMINS = 2,
    PRODUCERS = 3,
    FETCHERS = 3,
    LISTERS = 1,
    IN_FLIGHT = 4,
    TIMEOUT_MS = 60000,
};

static const char *const names[NAMES] = { "x", "y", "z" };
static struct server *server;
static atomic_bool is_over;
static atomic_uint answered[8]; /* by enum */
static atomic_uint gone_count;  /* of answers that a topic is not there */
static int rounds;

static void expect(const char *what, int16_t error_code, const int16_t *allowed)
{
    for (size_t i = 0; allowed[i] >= 0; i++)
        if (error_code == allowed[i])
            return;
    fprintf(stderr, "%s: %s\n", what, error_name(error_code));
    abort();
}

static void connect_to_server(struct wire_client *client)
{
    ck_assert(wire_connect(client, server_address(server, 0), TIMEOUT_MS));
}

static const int16_t unknown_too[] = { ERR_NONE, ERR_UNKNOWN_TOPIC_OR_PARTITION, ERR_UNKNOWN_TOPIC_ID, -1 };

static void note_gone(int16_t error_code)
{
    if (error_code != ERR_NONE)
        atomic_fetch_add_explicit(&gone_count, 1, memory_order_relaxed);
}

/* -- admins --------------------------------------------------------------------------------------- */

static void create(struct wire_client *client, const char *name)
{
    static const int16_t allowed[] = { ERR_NONE, ERR_TOPIC_ALREADY_EXISTS, -1 };
    struct create_topics_request request;
    struct create_topics_request_topic topic;
    struct create_topics_response response;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    topic.num_partitions = PARTITIONS;
    topic.replication_factor = -1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(wire_call(client, KEY_CREATE, 7, &request, &response));
    expect("create", response.topics[0].error_code, allowed);
}

static void delete_topic(struct wire_client *client, const char *name)
{
    struct delete_topics_request request;
    struct delete_topics_response response;
    slice topic = slice_of_string(name);
    delete_topics_request_init(&request);
    request.topic_names = &topic;
    request.topic_names_count = 1;
    ck_assert(wire_call(client, KEY_DELETE, 5, &request, &response));
    expect("delete", response.topics[0].error_code, unknown_too);
}

static void grow(struct wire_client *client, const char *name)
{
    static const int16_t allowed[] = { ERR_NONE, ERR_UNKNOWN_TOPIC_OR_PARTITION, ERR_INVALID_PARTITIONS, -1 };
    struct create_partitions_request request;
    struct create_partitions_request_topic topic;
    struct create_partitions_response response;
    create_partitions_request_init(&request);
    create_partitions_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    topic.count = PARTITIONS + 1;
    topic.assignments_count = -1;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(wire_call(client, KEY_GROW, 3, &request, &response));
    expect("grow", response.results[0].error_code, allowed);
}

static void *administer(void *context)
{
    struct wire_client client;
    int number = (int)(intptr_t)context;
    connect_to_server(&client);
    for (int i = 0; i < rounds; i++) {
        const char *name = names[(i + number) % NAMES];
        create(&client, name);
        if (i % 3 == 0)
            grow(&client, name);
        delete_topic(&client, name);
        create(&client, name);
    }
    wire_close(&client);
    return NULL;
}

/* -- users ---------------------------------------------------------------------------------------- */

static slice make_batch(struct arena *arena)
{
    static const struct batch_builder_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1
    };
    struct batch_view batch;
    struct batch_builder *builder = batch_builder_open(arena, &options);
    ck_assert(batch_builder_add(builder, 1700000000000, SLICE_NULL, SLICE_LITERAL("a value"), NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    return slice_of(batch.data, batch.size);
}

static void send_produce(struct wire_client *client, slice records, const char *name)
{
    struct produce_request request;
    struct produce_request_topic topic;
    struct produce_request_partition parts[PARTITIONS];
    produce_request_init(&request);
    produce_request_topic_init(&topic);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        produce_request_partition_init(&parts[p]);
        parts[p].partition = p;
        parts[p].records.bytes = records;
    }
    topic.name = slice_of_string(name);
    topic.partitions = parts;
    topic.partitions_count = PARTITIONS;
    request.acks = -1;
    request.timeout_ms = INT32_MAX; /* a lost wake-up shows */
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(wire_send(client, KEY_PRODUCE, 9, &request));
}

static void *produce(void *context)
{
    struct wire_client client;
    struct arena arena;
    int number = (int)(intptr_t)context;
    arena_init(&arena, NULL);
    slice records = make_batch(&arena);
    connect_to_server(&client);
    for (int i = 0; !atomic_load(&is_over); i++) {
        struct produce_response response;
        int32_t first = client.correlation_id + 1;
        for (int n = 0; n < IN_FLIGHT; n++)
            send_produce(&client, records, names[(i + n + number) % NAMES]);
        if (i % 50 == 49) { /* some leave without waiting for an answer */
            wire_close(&client);
            connect_to_server(&client);
            continue;
        }
        for (int n = 0; n < IN_FLIGHT; n++) {
            ck_assert(wire_receive(&client, KEY_PRODUCE, 9, first + n, &response));
            for (int32_t p = 0; p < PARTITIONS; p++) {
                expect("produce", response.topics[0].partitions[p].error_code, unknown_too);
                note_gone(response.topics[0].partitions[p].error_code);
            }
        }
        atomic_fetch_add(&answered[KEY_PRODUCE], 1);
    }
    wire_close(&client);
    arena_destroy(&arena);
    return NULL;
}

static bool id_of(struct wire_client *client, const char *name, uuid *id)
{
    struct metadata_request request;
    struct metadata_request_topic topic;
    struct metadata_response response;
    metadata_request_init(&request);
    metadata_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    request.topics = &topic;
    request.topics_count = 1;
    request.allow_auto_topic_creation = false;
    ck_assert(wire_call(client, KEY_METADATA, 12, &request, &response));
    *id = response.topics[0].topic_id;
    return response.topics[0].error_code == ERR_NONE;
}

/* Long polls that hardly ever have what they wait for, by name and by id. */
static void *fetch(void *context)
{
    static const int16_t allowed[] = { ERR_NONE,
                                       ERR_UNKNOWN_TOPIC_OR_PARTITION,
                                       ERR_UNKNOWN_TOPIC_ID,
                                       ERR_INCONSISTENT_TOPIC_ID, /* made again meanwhile */
                                       ERR_OFFSET_OUT_OF_RANGE,
                                       -1 };
    struct wire_client client;
    int number = (int)(intptr_t)context;
    connect_to_server(&client);
    for (int i = 0; !atomic_load(&is_over); i++) {
        const char *name = names[(i + number) % NAMES];
        int16_t version = number % 2 ? 13 : 12;
        struct fetch_request request;
        struct fetch_request_topic topic;
        struct fetch_request_partition parts[PARTITIONS];
        struct fetch_response response;
        fetch_request_init(&request);
        fetch_request_topic_init(&topic);
        for (int32_t p = 0; p < PARTITIONS; p++) {
            fetch_request_partition_init(&parts[p]);
            parts[p].partition = p;
            parts[p].partition_max_bytes = 1 << 20;
        }
        if (version == 12)
            topic.name = slice_of_string(name);
        else if (!id_of(&client, name, &topic.topic_id))
            continue;
        topic.partitions = parts;
        topic.partitions_count = PARTITIONS;
        request.session_epoch = -1;
        request.max_wait_ms = INT32_MAX; /* the deletion ends it */
        request.min_bytes = i % 2 ? 1 : 1 << 20;
        request.max_bytes = 1 << 20;
        request.topics = &topic;
        request.topics_count = 1;
        ck_assert(wire_call(&client, KEY_FETCH, version, &request, &response));
        for (int32_t p = 0; p < PARTITIONS; p++) {
            const struct fetch_response_partition *part = &response.topics[0].partitions[p];
            slice bytes = part->records.bytes;
            struct batch_view batch;
            expect("fetch", part->error_code, allowed);
            note_gone(part->error_code);
            for (; bytes.size > 0; bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size)) {
                ck_assert_int_eq(batch_view(bytes, &batch), BATCH_OK);
                ck_assert(batch_crc_ok(&batch));
            }
        }
        atomic_fetch_add(&answered[KEY_FETCH], 1);
    }
    wire_close(&client);
    return NULL;
}

static void *list(void *context)
{
    struct wire_client client;
    (void)context;
    connect_to_server(&client);
    for (int i = 0; !atomic_load(&is_over); i++) {
        struct list_offsets_request request;
        struct list_offsets_request_topic topic;
        struct list_offsets_request_partition parts[PARTITIONS];
        struct list_offsets_response response;
        list_offsets_request_init(&request);
        list_offsets_request_topic_init(&topic);
        for (int32_t p = 0; p < PARTITIONS; p++) {
            list_offsets_request_partition_init(&parts[p]);
            parts[p].partition = p;
            parts[p].timestamp = p ? -3 : 1600000000000;
        }
        topic.name = slice_of_string(names[i % NAMES]);
        topic.partitions = parts;
        topic.partitions_count = PARTITIONS;
        request.replica_id = -1;
        request.topics = &topic;
        request.topics_count = 1;
        ck_assert(wire_call(&client, KEY_LIST_OFFSETS, 7, &request, &response));
        for (int32_t p = 0; p < PARTITIONS; p++)
            expect("list", response.topics[0].partitions[p].error_code, unknown_too);
        atomic_fetch_add(&answered[KEY_LIST_OFFSETS], 1);
    }
    wire_close(&client);
    return NULL;
}

/* -- the whole ------------------------------------------------------------------------------------ */

static void *serve(void *context)
{
    return (void *)(intptr_t)server_run(context);
}

static bool no_partition(void *context, const char *name)
{
    slice topic;
    int32_t partition;
    (void)context;
    enum directory_name_kind kind = directory_parse_name(name, &topic, &partition);
    ck_assert_msg(kind == DIRECTORY_OTHER || strcmp(name, METADATA_TOPIC_NAME "-0") == 0, "%s is left", name);
    return true;
}

START_TEST(topics_come_and_go_under_users)
{
    struct temp_dir dir;
    char settings[TEMP_DIR_PATH_SIZE + 200], data[TEMP_DIR_PATH_SIZE + 8];
    const char *number = getenv("RUNNEL_ROUNDS");
    rounds = number ? atoi(number) : 60;
    temp_dir_create(&dir);
    snprintf(data, sizeof data, "%s/data", dir.path);
    snprintf(settings, sizeof settings,
             "log.dirs=%s\nlisteners=PLAINTEXT://127.0.0.1:0\nnum.network.threads=3\n"
             "auto.create.topics.enable=false\n%s",
             data, _i ? "log.flush.interval.messages=1000000\n" : "");
    struct config_report report = { 0 };
    struct config_sources sources = { .file = "test.properties", .cpu_count = 1 };
    struct config *config = config_load_text(&sources, slice_of_string(settings), &report);
    ck_assert_ptr_nonnull(config);
    struct file_system *files = file_posix_create(4);
    const struct server_options options = {
        .config = config, .files = files, .clock = clock_real(), .threaded = true
    };
    const char *error = NULL;
    ck_assert_int_eq(server_open(&options, &server, &error), EXIT_OK);

    static void *(*const mains[])(void *) = { produce, fetch, list };
    static const int counts[] = { PRODUCERS, FETCHERS, LISTERS };
    pthread_t serving, admins[ADMINS], users[PRODUCERS + FETCHERS + LISTERS];
    size_t user_count = 0;
    ck_assert_int_eq(pthread_create(&serving, NULL, serve, server), 0);
    for (size_t kind = 0; kind < 3; kind++)
        for (intptr_t i = 0; i < counts[kind]; i++)
            ck_assert_int_eq(pthread_create(&users[user_count++], NULL, mains[kind], (void *)i), 0);
    for (intptr_t i = 0; i < ADMINS; i++)
        ck_assert_int_eq(pthread_create(&admins[i], NULL, administer, (void *)i), 0);
    for (int i = 0; i < ADMINS; i++)
        pthread_join(admins[i], NULL);
    atomic_store(&is_over, true);
    struct wire_client client;
    connect_to_server(&client);
    for (int i = 0; i < NAMES; i++)
        delete_topic(&client, names[i]);
    wire_close(&client);
    for (size_t i = 0; i < user_count; i++)
        pthread_join(users[i], NULL);
    ck_assert_uint_gt(atomic_load(&answered[KEY_PRODUCE]), 0);
    ck_assert_uint_gt(atomic_load(&answered[KEY_FETCH]), 0);
    ck_assert_uint_gt(atomic_load(&answered[KEY_LIST_OFFSETS]), 0);
    ck_assert_uint_gt(atomic_load(&gone_count), 0);

    void *code;
    server_stop(server);
    pthread_join(serving, &code);
    ck_assert_int_eq((intptr_t)code, EXIT_OK);
    server_close(server);
    ck_assert_int_eq(file_list(files, data, no_partition, NULL), FILE_OK);
    file_posix_destroy(files);
    config_destroy(config);
    config_report_destroy(&report);
    temp_dir_destroy(&dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topics threads");
    TCase *tests = tcase_create("under users");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, topics_come_and_go_under_users, 0, 2);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
