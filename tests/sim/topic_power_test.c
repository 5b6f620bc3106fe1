/* The power fails after every single operation while topics are made, filled, deleted and made again: each is
 * wholly there or wholly gone, what was acknowledged holds, and nothing of a deleted one lies around.
 *
 * RUNNEL_SEED: the first of the schedules (default 1), RUNNEL_SEEDS: how many of each kind of cut. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/partition.h"
#include "codec/create_topics.h"
#include "codec/delete_topics.h"
#include "codec/produce.h"
#include "protocol/errors.h"
#include "protocol/record_batch.h"
#include "storage/directory.h"
#include "tests/support/sim.h"

enum { KEY_PRODUCE = 0, KEY_CREATE_TOPICS = 19, KEY_DELETE_TOPICS = 20, PRODUCED_MAX = 8, LIVES_MAX = 8 };

static struct sim sim;
static struct sim_client client;

/* Records that were sent to a partition. */
struct produced {
    int32_t partition;
    int64_t count;
    uint64_t sent_at; /* operations of the disk before */
    uint64_t acked_at;
};

/* One topic from its making to its deletion; a name may have several, one after another. */
struct life {
    const char *name;
    int32_t partition_count;
    const char *retention_ms; /* or NULL */
    uuid id;
    uint64_t created_at; /* operations of the disk when it was answered */
    uint64_t asked_at;   /* when its deletion was asked for; UINT64_MAX: never */
    uint64_t deleted_at; /* when that was answered */
    struct produced produced[PRODUCED_MAX];
    size_t produced_count;
};

static struct life lives[LIVES_MAX];
static size_t life_count;

static uint64_t now(void)
{
    return file_double_operation_count(sim.disk);
}

/* -- the script --------------------------------------------------------------------------------- */

static struct life *create(const char *name, int32_t partition_count, const char *retention_ms)
{
    struct create_topics_request request;
    struct create_topics_request_topic topic;
    struct create_topics_request_config config = { SLICE_LITERAL("retention.ms"),
                                                   slice_of_string(retention_ms) };
    struct create_topics_response response;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&topic);
    topic.name = slice_of_string(name);
    topic.num_partitions = partition_count;
    topic.replication_factor = -1;
    topic.configs = &config;
    topic.configs_count = retention_ms ? 1 : 0;
    request.topics = &topic;
    request.topics_count = 1;
    ck_assert(sim_call(&client, KEY_CREATE_TOPICS, 7, &request, &response));
    ck_assert_int_eq(response.topics[0].error_code, ERR_NONE);
    ck_assert_uint_lt(life_count, LIVES_MAX);
    struct life *life = &lives[life_count++];
    *life = (struct life){ .name = name,
                           .partition_count = partition_count,
                           .retention_ms = retention_ms,
                           .id = response.topics[0].topic_id,
                           .created_at = now(),
                           .asked_at = UINT64_MAX,
                           .deleted_at = UINT64_MAX };
    return life;
}

static void produce(struct life *life, int32_t partition, int64_t count, int16_t acks)
{
    struct arena arena;
    struct produce_request request;
    struct produce_request_topic topic;
    struct produce_request_partition part;
    struct produce_response response;
    struct batch_view batch;
    static const struct batch_builder_options options = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = -1
    };
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    for (int64_t i = 0; i < count; i++)
        ck_assert(batch_builder_add(builder, 1700000000000, SLICE_NULL, SLICE_LITERAL("a value"), NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    produce_request_init(&request);
    produce_request_topic_init(&topic);
    produce_request_partition_init(&part);
    part.partition = partition;
    part.records.bytes = slice_of(batch.data, batch.size);
    topic.topic_id = life->id;
    topic.partitions = &part;
    topic.partitions_count = 1;
    request.acks = acks;
    request.timeout_ms = 30000;
    request.topics = &topic;
    request.topics_count = 1;
    struct produced *produced = &life->produced[life->produced_count++];
    *produced = (struct produced){ partition, count, now(), UINT64_MAX };
    ck_assert(sim_send(&client, KEY_PRODUCE, 13, &request));
    if (acks != 0) {
        ck_assert(sim_receive(&client, KEY_PRODUCE, 13, &response));
        ck_assert_int_eq(response.topics[0].partitions[0].error_code, ERR_NONE);
        produced->acked_at = now();
    }
    arena_destroy(&arena);
}

static void delete (struct life *first, struct life *second)
{
    struct life *both[] = { first, second };
    struct delete_topics_request request;
    struct delete_topics_request_topic topics[2];
    struct delete_topics_response response;
    int32_t count = second ? 2 : 1;
    delete_topics_request_init(&request);
    for (int32_t i = 0; i < count; i++) {
        delete_topics_request_topic_init(&topics[i]);
        if (i == 0)
            topics[i].topic_id = both[i]->id;
        else
            topics[i].name = slice_of_string(both[i]->name);
        both[i]->asked_at = now();
    }
    request.topics = topics;
    request.topics_count = count;
    ck_assert(sim_call(&client, KEY_DELETE_TOPICS, 6, &request, &response));
    for (int32_t i = 0; i < count; i++) {
        ck_assert_int_eq(response.topics[i].error_code, ERR_NONE);
        both[i]->deleted_at = now();
    }
}

/* A clean stop in the middle, so that tables of logs and markers tell of topics that go later. */
static void restart(void)
{
    struct server_options options = { .config = sim.config,
                                      .files = file_double_system(sim.disk),
                                      .clock = &sim.clock.clock,
                                      .seed = ++sim.seed, /* or ids would come again */
                                      .threaded = false };
    const char *error;
    sim_disconnect(&client);
    server_close(sim.server);
    ck_assert_int_eq(server_open(&options, &sim.server, &error), EXIT_OK);
    sim_connect(&sim, &client);
}

static void run_script(void)
{
    struct life *a = create("a", 2, "1000");
    struct life *b = create("b", 1, NULL);
    produce(a, 0, 3, -1);
    produce(b, 0, 2, -1);
    produce(b, 0, 7, 0); /* nobody waits for it: deleted before it is flushed */
    delete (b, NULL);
    struct life *b2 = create("b", 1, "2000"); /* while the old directory goes */
    produce(b2, 0, 1, -1);
    restart();
    produce(a, 1, 2, -1);
    delete (a, b2);
    struct life *a2 = create("a", 3, NULL);
    struct life *c = create("c", 1, NULL);
    produce(a2, 2, 1, -1);
    sim_settle(&sim);
    delete (c, NULL); /* never had a directory */
    sim_settle(&sim);
}

/* -- what a start finds ------------------------------------------------------------------------- */

static void check_records(const struct life *life, const struct topic *topic, uint64_t at)
{
    for (int32_t p = 0; p < topic->partition_count; p++) {
        int64_t sent = 0, acked = 0;
        for (size_t i = 0; i < life->produced_count; i++) {
            const struct produced *produced = &life->produced[i];
            if (produced->partition != p)
                continue;
            sent += produced->sent_at <= at ? produced->count : 0;
            acked += produced->acked_at <= at ? produced->count : 0;
        }
        struct log_offsets offsets = log_offsets(topic->partitions[p].partition->log);
        ck_assert_msg(offsets.high_watermark >= acked, "%s-%d lost records at operation %llu", life->name, p,
                      (unsigned long long)at);
        ck_assert_msg(offsets.end <= sent, "%s-%d has %lld foreign records at operation %llu", life->name, p,
                      (long long)(offsets.end - sent), (unsigned long long)at);
    }
}

static void check_life(const struct life *life, const struct image *image, uint64_t at)
{
    const struct topic *topic = image_topic_by_id(image, life->id);
    bool must_be = life->created_at <= at && life->asked_at >= at;
    bool must_not_be = life->deleted_at <= at;
    ck_assert_msg(topic || !must_be, "%s is lost at operation %llu", life->name, (unsigned long long)at);
    ck_assert_msg(!topic || !must_not_be, "%s is back at operation %llu", life->name, (unsigned long long)at);
    if (!topic)
        return;
    ck_assert(slice_equal_string(topic->name_slice, life->name));
    ck_assert_int_eq(topic->partition_count, life->partition_count);
    ck_assert_uint_eq(topic->override_count, life->retention_ms ? 1 : 0);
    if (life->retention_ms)
        ck_assert(slice_equal_string(topic->overrides[0].value, life->retention_ms));
    check_records(life, topic, at);
}

static enum file_double_cut cut_of_run;

static bool check_directory(void *context, const char *name)
{
    const struct image *image = controller_image(sim.server->controller);
    slice topic_name;
    int32_t partition;
    uint64_t at = *(uint64_t *)context;
    enum directory_name_kind kind = directory_parse_name(name, &topic_name, &partition);
    if (kind == DIRECTORY_OTHER || strcmp(name, METADATA_TOPIC_NAME "-0") == 0)
        return true;
    /* Records reached the device before the id of their topic, which may be either of two: kept for the
     * operator. */
    if (kind == DIRECTORY_STRAY && cut_of_run == FILE_DOUBLE_REORDER &&
        (slice_equal_string(topic_name, "a") || slice_equal_string(topic_name, "b")))
        return true;
    ck_assert_msg(kind == DIRECTORY_PARTITION, "%s lies there at operation %llu", name,
                  (unsigned long long)at);
    const struct topic *topic = image_topic_by_name(image, topic_name);
    ck_assert_msg(topic && partition < topic->partition_count, "%s is nobody's at operation %llu", name,
                  (unsigned long long)at);
    return true;
}

static void check_disk(uint64_t at)
{
    const char *directory = store_directory(sim.server->store, 0);
    sim_settle(&sim);
    ck_assert_int_eq(file_list(file_double_system(sim.disk), directory, check_directory, &at), FILE_OK);
}

/* The broker goes on: names are free, and what is made and deleted now leaves nothing either. */
static void check_goes_on(uint64_t at)
{
    size_t before = life_count;
    struct life *after = create("after", 1, NULL);
    produce(after, 0, 1, -1);
    delete (after, NULL);
    life_count = before;
    check_disk(at);
}

static void cut_everywhere(enum file_double_cut cut, uint64_t seed)
{
    struct random chance;
    cut_of_run = cut;
    life_count = 0;
    sim_open(&sim, seed, "");
    sim_connect(&sim, &client);
    run_script();
    uint64_t last = now();
    sim_disconnect(&client);
    struct file_double *whole = sim.disk;
    server_close(sim.server);
    config_destroy(sim.config);
    for (uint64_t at = 0; at <= last; at++) {
        random_seed(&chance, seed + at);
        sim_open_on(&sim, file_double_after_cut(whole, at, cut, &chance), seed + 1000, "");
        sim_connect(&sim, &client);
        for (size_t i = 0; i < life_count; i++)
            check_life(&lives[i], controller_image(sim.server->controller), at);
        check_disk(at);
        check_goes_on(at);
        sim_disconnect(&client);
        sim_close(&sim);
    }
    file_double_destroy(whole);
}

static void cut_with_seeds(enum file_double_cut cut, uint64_t count)
{
    const char *given = getenv("RUNNEL_SEED"), *more = getenv("RUNNEL_SEEDS");
    uint64_t first = given && *given ? strtoull(given, NULL, 0) : 1;
    if (more && *more)
        count = strtoull(more, NULL, 0);
    for (uint64_t seed = first; seed < first + count; seed++) {
        printf("seed %llu\r", (unsigned long long)seed);
        fflush(stdout);
        cut_everywhere(cut, seed);
    }
}

START_TEST(after_power_cuts)
{
    cut_with_seeds(FILE_DOUBLE_LOSE_ALL, 3);
}
END_TEST

START_TEST(after_kills)
{
    cut_with_seeds(FILE_DOUBLE_KEEP_ALL, 3);
}
END_TEST

START_TEST(after_reordering_power_cuts)
{
    cut_with_seeds(FILE_DOUBLE_REORDER, 6);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topic power");
    TCase *tests = tcase_create("each topic is whole or gone");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, after_power_cuts);
    tcase_add_test(tests, after_kills);
    tcase_add_test(tests, after_reordering_power_cuts);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
