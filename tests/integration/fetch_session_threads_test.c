/* Fetch sessions that many connections use at once, on several loops: every answer is one that the rules
 * allow, and an honest consumer beside them reads every record once and in order through a session of its
 * own. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/create_topics.h"
#include "codec/delete_topics.h"
#include "codec/fetch.h"
#include "codec/produce.h"
#include "protocol/errors.h"
#include "protocol/record_batch.h"
#include "tests/support/served.h"
#include "tests/support/wire_client.h"

enum {
    TIMEOUT_MS = 30000,
    KEY_PRODUCE = 0,
    KEY_FETCH = 1,
    KEY_CREATE_TOPICS = 19,
    KEY_DELETE_TOPICS = 20,
    VERSION = 12,
    PARTITIONS = 8,
    BATCHES = 1500,
    FETCHERS = 6,
    SHARED = 2,
};

static struct served served;
static atomic_bool is_over; /* the honest consumer has everything */

/* What all fetchers know of a shared session; they race for its next epoch. */
static struct {
    pthread_mutex_t lock;
    int32_t id;
    int32_t epoch;
} shared[SHARED] = { { .lock = PTHREAD_MUTEX_INITIALIZER }, { .lock = PTHREAD_MUTEX_INITIALIZER } };

struct fetcher {
    pthread_t thread;
    struct random chance;
    const char *failure; /* NULL, or what went wrong; read after the join */
    unsigned accepted;
    unsigned refused;
};

struct listed {
    struct fetch_request request;
    struct fetch_request_topic topics[2];
    struct fetch_request_partition partitions[2 * PARTITIONS];
    struct fetch_request_forgotten_topic forgotten;
    int32_t forgotten_partitions[PARTITIONS];
};

static void ask(struct listed *listed, int32_t id, int32_t epoch, int32_t wait_ms)
{
    fetch_request_init(&listed->request);
    listed->request.session_id = id;
    listed->request.session_epoch = epoch;
    listed->request.max_wait_ms = wait_ms;
    listed->request.min_bytes = 1;
    listed->request.topics = listed->topics;
    listed->request.forgotten_topics = &listed->forgotten;
}

static void ask_for(struct listed *listed, const char *name, int32_t first, int32_t count,
                    const int64_t *offsets)
{
    int at = listed->request.topics_count++;
    struct fetch_request_topic *topic = &listed->topics[at];
    fetch_request_topic_init(topic);
    topic->name = slice_of_string(name);
    topic->partitions = &listed->partitions[at * PARTITIONS];
    topic->partitions_count = count;
    for (int32_t i = 0; i < count; i++) {
        fetch_request_partition_init(&topic->partitions[i]);
        topic->partitions[i].partition = first + i;
        topic->partitions[i].fetch_offset = offsets ? offsets[first + i] : 0;
        topic->partitions[i].partition_max_bytes = 2000;
    }
}

static void ask_to_forget(struct listed *listed, const char *name, int32_t first, int32_t count)
{
    fetch_request_forgotten_topic_init(&listed->forgotten);
    listed->request.forgotten_topics_count = 1;
    listed->forgotten.name = slice_of_string(name);
    listed->forgotten.partitions = listed->forgotten_partitions;
    listed->forgotten.partitions_count = count;
    for (int32_t i = 0; i < count; i++)
        listed->forgotten_partitions[i] = first + i;
}

/* -- those who race ------------------------------------------------------------------------------- */

static const char *check_answer(const struct fetch_response *response, int32_t id)
{
    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++) {
            int16_t error_code = response->topics[t].partitions[p].error_code;
            if (error_code != ERR_NONE && error_code != ERR_UNKNOWN_TOPIC_OR_PARTITION)
                return "an error of a partition that there is no reason for";
        }
    switch (response->error_code) {
    case ERR_NONE:
        return response->session_id == id || response->session_id == 0 ? NULL : "another session";
    case ERR_FETCH_SESSION_ID_NOT_FOUND:
    case ERR_INVALID_FETCH_SESSION_EPOCH:
        return response->topics_count == 0 ? NULL : "partitions with a refusal";
    default:
        return "an error that there is no reason for";
    }
}

/* By one of those who found it gone; the others see that there is another. */
static const char *reopen(struct wire_client *client, int which, int32_t closed)
{
    const char *failure = NULL;
    pthread_mutex_lock(&shared[which].lock);
    if (shared[which].id == closed) {
        struct listed listed;
        struct fetch_response response;
        ask(&listed, closed, 0, 0);
        ask_for(&listed, "a", 0, PARTITIONS, NULL);
        ask_for(&listed, "b", 0, 2, NULL);
        if (wire_call(client, KEY_FETCH, VERSION, &listed.request, &response) && response.session_id > 0)
            shared[which].id = response.session_id;
        else
            failure = "no new session";
        shared[which].epoch = 1;
    }
    pthread_mutex_unlock(&shared[which].lock);
    return failure;
}

static void fill_at_random(struct listed *listed, struct random *chance)
{
    int32_t first = (int32_t)random_below(chance, PARTITIONS / 2);
    switch (random_below(chance, 5)) {
    case 0:
        ask_for(listed, "a", first, PARTITIONS / 2, NULL);
        break;
    case 1:
        ask_for(listed, "b", 0, 2, NULL);
        break;
    case 2:
        ask_to_forget(listed, "a", first, PARTITIONS / 2);
        break;
    case 3:
        ask_to_forget(listed, "b", 0, 2);
        break;
    default:
        break;
    }
}

static void *race(void *argument)
{
    struct fetcher *fetcher = argument;
    struct wire_client client;
    if (!wire_connect(&client, served.bootstrap, TIMEOUT_MS))
        fetcher->failure = "no connection";
    while (!fetcher->failure && !atomic_load(&is_over)) {
        int which = (int)random_below(&fetcher->chance, SHARED);
        struct listed listed;
        struct fetch_response response;
        pthread_mutex_lock(&shared[which].lock);
        int32_t id = shared[which].id, epoch = shared[which].epoch;
        if (random_below(&fetcher->chance, 8) != 0) /* else somebody sends the same */
            shared[which].epoch++;
        pthread_mutex_unlock(&shared[which].lock);
        if (id == 0 || random_below(&fetcher->chance, 50) == 0) {
            fetcher->failure = reopen(&client, which, id);
            continue;
        }
        ask(&listed, id, epoch, (int32_t)random_below(&fetcher->chance, 4));
        fill_at_random(&listed, &fetcher->chance);
        if (!wire_call(&client, KEY_FETCH, VERSION, &listed.request, &response))
            fetcher->failure = "no answer";
        else
            fetcher->failure = check_answer(&response, id);
        if (fetcher->failure)
            break;
        if (response.error_code == ERR_NONE)
            fetcher->accepted++;
        else
            fetcher->refused++;
        if (response.error_code != ERR_NONE || response.session_id == 0)
            fetcher->failure = reopen(&client, which, id);
    }
    wire_close(&client);
    return NULL;
}

/* -- the honest ones ------------------------------------------------------------------------------ */

static const char *take(const struct fetch_response *response, int64_t *offsets, int64_t *count)
{
    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++) {
            const struct fetch_response_partition *partition = &response->topics[t].partitions[p];
            slice left = partition->records.bytes;
            if (partition->error_code != ERR_NONE)
                return "the honest consumer got an error";
            while (left.size > 0) {
                struct batch_view batch;
                if (batch_view(left, &batch) != BATCH_OK ||
                    batch.base_offset != offsets[partition->partition])
                    return "a record is missing, or there twice";
                offsets[partition->partition] += batch.record_count;
                *count += batch.record_count;
                left = slice_of(left.data + batch.size, left.size - batch.size);
            }
        }
    return NULL;
}

/* As Java's consumer: what it has read it asks for anew, the rest stays as it is in the session. */
static void *consume(void *argument)
{
    struct fetcher *fetcher = argument;
    struct wire_client client;
    int64_t offsets[PARTITIONS] = { 0 }, before[PARTITIONS] = { 0 }, count = 0;
    struct listed listed;
    struct fetch_response response;
    bool ok = wire_connect(&client, served.bootstrap, TIMEOUT_MS);
    ask(&listed, 0, 0, 0);
    ask_for(&listed, "a", 0, PARTITIONS, offsets);
    ok = ok && wire_call(&client, KEY_FETCH, VERSION, &listed.request, &response);
    for (int32_t epoch = 1; ok && !fetcher->failure; epoch++) {
        int32_t id = response.session_id;
        fetcher->failure =
            response.error_code == ERR_NONE ? take(&response, offsets, &count) : "the session is gone";
        if (count == BATCHES || fetcher->failure)
            break;
        ask(&listed, id, epoch, 100);
        ask_for(&listed, "a", 0, 0, NULL);
        for (int32_t p = 0; p < PARTITIONS; p++) {
            if (offsets[p] == before[p])
                continue;
            struct fetch_request_partition *in = &listed.partitions[listed.topics[0].partitions_count++];
            fetch_request_partition_init(in);
            in->partition = p;
            in->fetch_offset = offsets[p];
            in->partition_max_bytes = 2000;
            before[p] = offsets[p];
        }
        ok = wire_call(&client, KEY_FETCH, VERSION, &listed.request, &response);
        fetcher->accepted++;
    }
    if (!ok)
        fetcher->failure = "the honest consumer got no answer";
    atomic_store(&is_over, true);
    wire_close(&client);
    return NULL;
}

static void *produce_all(void *argument)
{
    static const struct batch_builder_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1
    };
    struct fetcher *producer = argument;
    struct wire_client client;
    struct arena arena;
    arena_init(&arena, NULL);
    if (!wire_connect(&client, served.bootstrap, TIMEOUT_MS))
        producer->failure = "no connection";
    for (int i = 0; i < BATCHES && !producer->failure; i++) {
        struct produce_request request;
        struct produce_request_topic topic;
        struct produce_request_partition partition;
        struct produce_response response;
        struct batch_view batch;
        struct batch_builder *builder = batch_builder_open(&arena, &options);
        produce_request_init(&request);
        produce_request_topic_init(&topic);
        produce_request_partition_init(&partition);
        if (!batch_builder_add(builder, 1700000000000, SLICE_NULL, SLICE_LITERAL("value"), NULL, 0) ||
            batch_builder_finish(builder, &batch) != BATCH_OK)
            producer->failure = "no batch";
        partition.partition = (int32_t)random_below(&producer->chance, PARTITIONS);
        partition.records.bytes = slice_of(batch.data, batch.size);
        topic.name = SLICE_LITERAL("a");
        topic.partitions = &partition;
        topic.partitions_count = 1;
        request.acks = -1;
        request.timeout_ms = TIMEOUT_MS;
        request.topics = &topic;
        request.topics_count = 1;
        if (!wire_call(&client, KEY_PRODUCE, 9, &request, &response) ||
            response.topics[0].partitions[0].error_code != ERR_NONE)
            producer->failure = "not produced";
        arena_reset(&arena);
    }
    if (producer->failure)
        atomic_store(&is_over, true);
    arena_destroy(&arena);
    wire_close(&client);
    return NULL;
}

static bool create(struct wire_client *client, const char *name, int32_t partition_count)
{
    struct create_topics_request request;
    struct create_topics_request_topic topic;
    struct create_topics_response response;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    topic.num_partitions = partition_count;
    topic.replication_factor = 1;
    request.topics = &topic;
    request.topics_count = 1;
    return wire_call(client, KEY_CREATE_TOPICS, 7, &request, &response) &&
           response.topics[0].error_code == ERR_NONE;
}

/* One of the topics goes and comes all the time. */
static void *delete_and_create(void *argument)
{
    struct fetcher *admin = argument;
    struct wire_client client;
    if (!wire_connect(&client, served.bootstrap, TIMEOUT_MS))
        admin->failure = "no connection";
    while (!admin->failure && !atomic_load(&is_over)) {
        struct delete_topics_request request;
        struct delete_topics_request_topic topic;
        struct delete_topics_response response;
        delete_topics_request_init(&request);
        delete_topics_request_topic_init(&topic);
        topic.name = SLICE_LITERAL("b");
        request.topics = &topic;
        request.topics_count = 1;
        if (!create(&client, "b", 2))
            admin->failure = "not created";
        else if (!wire_call(&client, KEY_DELETE_TOPICS, 6, &request, &response) ||
                 response.topics[0].error_code != ERR_NONE)
            admin->failure = "not deleted";
    }
    wire_close(&client);
    return NULL;
}

START_TEST(many_connections_one_session)
{
    static const char *const arguments[] = { "--loops", "4", NULL };
    static void *(*const roles[])(void *) = { consume, produce_all, delete_and_create };
    enum { ROLES = sizeof roles / sizeof *roles, THREADS = FETCHERS + ROLES };
    static struct fetcher fetchers[THREADS];
    struct wire_client client;
    unsigned accepted = 0, refused = 0;
    served_start(&served, RUNNEL_BINARY, arguments);
    ck_assert(wire_connect(&client, served.bootstrap, TIMEOUT_MS));
    ck_assert(create(&client, "a", PARTITIONS));
    for (size_t i = 0; i < THREADS; i++) {
        random_seed(&fetchers[i].chance, i + 1);
        ck_assert_int_eq(pthread_create(&fetchers[i].thread, NULL, i < ROLES ? roles[i] : race, &fetchers[i]),
                         0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(fetchers[i].thread, NULL);
        accepted += i >= ROLES ? fetchers[i].accepted : 0;
        refused += i >= ROLES ? fetchers[i].refused : 0;
    }
    for (int i = 0; i < THREADS; i++)
        ck_assert_msg(!fetchers[i].failure, "thread %d: %s", i, fetchers[i].failure);
    printf("shared sessions: %u requests accepted, %u refused; honest consumer: %u\n", accepted, refused,
           fetchers[0].accepted);
    ck_assert_uint_gt(accepted, 50);
    ck_assert_uint_gt(refused, 50);
    wire_close(&client);
    served_stop(&served);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch sessions of many connections");
    TCase *tests = tcase_create("threads");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, many_connections_one_session);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
