/* Producer ids: none is ever given out twice, whatever stops, fails or asks at once. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "broker/metadata_files.h"
#include "broker/metadata_log.h"
#include "broker/metadata_replay.h"
#include "broker/producer_ids.h"
#include "codec/control_records.h"
#include "codec/init_producer_id.h"
#include "codec/metadata_records.h"
#include "protocol/errors.h"
#include "tests/support/sim.h"

enum { KEY_INIT_PRODUCER_ID = 22, VERSION = 5, BLOCK = 1000 };

static struct sim sim;
static struct sim_client client;
static struct arena arena;

static void set_up(void)
{
    sim_open(&sim, 1, "");
    sim_connect(&sim, &client);
}

static void tear_down(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
}

static struct init_producer_id_response ask(void)
{
    struct init_producer_id_request request;
    struct init_producer_id_response response;
    init_producer_id_request_init(&request);
    request.transactional_id = SLICE_NULL;
    ck_assert(sim_call(&client, KEY_INIT_PRODUCER_ID, VERSION, &request, &response));
    return response;
}

static int64_t take(void)
{
    struct init_producer_id_response response = ask();
    ck_assert_int_eq(response.error_code, ERR_NONE);
    ck_assert_int_eq(response.producer_epoch, 0);
    return response.producer_id;
}

static int64_t next_producer_id(void)
{
    return controller_image(sim.server->controller)->next_producer_id;
}

/* The connection does not outlive its broker. */
static void restart_on(struct file_double *disk)
{
    sim_disconnect(&client);
    struct file_double *before = sim_stop(&sim);
    if (disk != before)
        file_double_destroy(before);
    sim_start_on(&sim, disk);
    sim_connect(&sim, &client);
}

START_TEST(ids_come_in_order_from_blocks_of_a_thousand)
{
    ck_assert_int_eq(next_producer_id(), -1);
    for (int64_t i = 0; i < 2 * BLOCK + 1; i++) {
        ck_assert_int_eq(take(), i);
        ck_assert_int_eq(next_producer_id(), (i / BLOCK + 1) * BLOCK);
    }
    /* LeaderChange, metadata.version, group.version, ProducerIds each */
    ck_assert_int_eq(controller_image(sim.server->controller)->end_offset, 6);
}
END_TEST

START_TEST(only_an_empty_block_costs_a_flush)
{
    ck_assert_int_eq(take(), 0);
    uint64_t flushes = file_double_flush_count(sim.disk);
    ck_assert_uint_gt(flushes, 0);
    for (int64_t i = 1; i < BLOCK; i++)
        ck_assert_int_eq(take(), i);
    ck_assert_uint_eq(file_double_flush_count(sim.disk), flushes);
    take();
    ck_assert_uint_gt(file_double_flush_count(sim.disk), flushes);
}
END_TEST

START_TEST(a_restart_loses_the_rest_of_the_block)
{
    take();
    restart_on(sim.disk);
    ck_assert_int_eq(next_producer_id(), BLOCK);
    ck_assert_int_eq(take(), BLOCK);
}
END_TEST

/* Power fails after every single operation: no id comes twice. */
START_TEST(no_cut_gives_an_id_twice)
{
    enum { TAKEN = 3 };
    uint64_t taken_at[TAKEN]; /* the operations there were when the first id of each block was answered */
    for (int i = 0; i < TAKEN; i++) {
        for (int n = 0; n < (i == 0 ? 1 : BLOCK); n++)
            take();
        taken_at[i] = file_double_operation_count(sim.disk);
    }
    sim_disconnect(&client);
    struct file_double *whole = sim_stop(&sim);
    uint64_t last = file_double_operation_count(whole);
    for (uint64_t operation = 0; operation <= last; operation++) {
        struct random chance;
        random_seed(&chance, operation);
        sim_start_on(&sim, file_double_after_cut(whole, operation, (enum file_double_cut)_i, &chance));
        sim_connect(&sim, &client);
        int64_t unseen = 0; /* ids below were given out */
        for (int i = 0; i < TAKEN; i++)
            if (taken_at[i] <= operation)
                unseen = i * BLOCK + 1;
        int64_t id = take();
        ck_assert_msg(id >= unseen, "%lld again after operation %llu", (long long)id,
                      (unsigned long long)operation);
        ck_assert_int_eq(id % BLOCK, 0);
        sim_disconnect(&client);
        file_double_destroy(sim_stop(&sim));
    }
    sim_start_on(&sim, whole);
    sim_connect(&sim, &client);
}
END_TEST

/* The control: without the flush before the first id, a cut gives it out again. */
START_TEST(a_lying_disk_gives_ids_twice)
{
    file_double_ignore_flushes(sim.disk, true);
    int64_t first = take();
    sim_disconnect(&client);
    sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
    sim_connect(&sim, &client);
    ck_assert_int_eq(take(), first);
}
END_TEST

START_TEST(a_full_disk_is_a_matter_of_time)
{
    file_double_set_free_space(sim.disk, 0);
    for (int i = 0; i < 2; i++) {
        struct init_producer_id_response response = ask();
        ck_assert_int_eq(response.error_code, ERR_COORDINATOR_LOAD_IN_PROGRESS);
        ck_assert_int_eq(response.producer_id, -1);
        ck_assert_int_eq(response.producer_epoch, -1);
    }
    file_double_set_free_space(sim.disk, UINT64_MAX);
    ck_assert_int_eq(take(), 0);
}
END_TEST

START_TEST(a_full_disk_hinders_nobody_while_the_block_lasts)
{
    take();
    file_double_set_free_space(sim.disk, 0);
    for (int64_t i = 1; i < BLOCK; i++)
        ck_assert_int_eq(take(), i);
    ck_assert_int_eq(ask().error_code, ERR_COORDINATOR_LOAD_IN_PROGRESS);
    file_double_set_free_space(sim.disk, UINT64_MAX);
    ck_assert_int_eq(take(), BLOCK);
}
END_TEST

/* Nobody knows whether the record is on the disk: the ids of that block are given to nobody. */
START_TEST(a_failed_flush_gives_no_id)
{
    take();
    for (int64_t i = 1; i < BLOCK; i++)
        take();
    file_double_fail_flush(sim.disk, 1);
    ck_assert_int_eq(ask().error_code, ERR_COORDINATOR_LOAD_IN_PROGRESS);
    int64_t id;
    ck_assert_int_eq(producer_ids_claim(sim.server->producer_ids, &id), ERR_KAFKA_STORAGE_ERROR);
    sim_disconnect(&client);
    sim_power_cycle(&sim, FILE_DOUBLE_LOSE_ALL);
    sim_connect(&sim, &client);
    ck_assert_int_ge(take(), BLOCK);
}
END_TEST

static void commit_block(int64_t next)
{
    struct producer_ids_record record;
    int64_t end;
    arena_init(&arena, NULL);
    producer_ids_record_init(&record);
    record.next_producer_id = next;
    slice bytes = metadata_record_encode(&arena, METADATA_RECORD_PRODUCER_IDS, 0, &record);
    ck_assert_int_eq(controller_propose(sim.server->controller, &bytes, 1, -1, &end), PROPOSE_COMMITTED);
    arena_destroy(&arena);
}

START_TEST(ids_end_with_the_numbers)
{
    commit_block(INT64_MAX - BLOCK);
    for (int i = 0; i < BLOCK; i++)
        ck_assert_int_eq(take(), INT64_MAX - BLOCK + i);
    ck_assert_msg(ask().error_code == ERR_UNKNOWN_SERVER_ERROR, "no error that is tried again");
    restart_on(sim.disk);
    ck_assert_int_eq(ask().error_code, ERR_UNKNOWN_SERVER_ERROR);
}
END_TEST

/* Another's block, between ours: the allocator goes on with its own and then behind both. */
START_TEST(blocks_of_others_are_passed_over)
{
    ck_assert_int_eq(take(), 0);
    commit_block(5 * BLOCK);
    for (int64_t i = 1; i < BLOCK; i++)
        ck_assert_int_eq(take(), i);
    ck_assert_int_eq(take(), 5 * BLOCK);
}
END_TEST

/* -- from a snapshot, as Kafka writes it ------------------------------------------------------------ */

static slice encode_feature(void)
{
    struct feature_level_record feature;
    feature_level_record_init(&feature);
    feature.name = SLICE_LITERAL("metadata.version");
    feature.feature_level = METADATA_VERSION_NEW;
    return metadata_record_encode(&arena, METADATA_RECORD_FEATURE_LEVEL, 0, &feature);
}

/* Whose block it was, a snapshot does not say. */
static slice encode_next(int64_t next)
{
    struct producer_ids_record record = { .broker_id = -1, .broker_epoch = -1, .next_producer_id = next };
    return metadata_record_encode(&arena, METADATA_RECORD_PRODUCER_IDS, 0, &record);
}

static void drop_snapshot(struct file_double *disk)
{
    char path[METADATA_SNAPSHOT_NAME_SIZE + 64] = "./runnel-data/__cluster_metadata-0/";
    metadata_snapshot_name(5, 1, path + strlen(path));
    ck_assert_int_eq(file_unlink(file_double_system(disk), path), FILE_OK);
}

static void write_snapshot(struct file_double *disk, int64_t end_offset, int32_t epoch, int64_t next)
{
    struct snapshot_header_record header;
    struct snapshot_footer_record footer;
    struct metadata_batches batches;
    char path[METADATA_SNAPSHOT_NAME_SIZE + 64] = "./runnel-data/__cluster_metadata-0/";
    metadata_snapshot_name(end_offset, epoch, path + strlen(path));
    snapshot_header_record_init(&header);
    snapshot_footer_record_init(&footer);
    metadata_batches_init(&batches, &arena, 0, epoch, 0);
    metadata_batches_add_control(&batches, CONTROL_RECORD_SNAPSHOT_HEADER, &header);
    metadata_batches_cut(&batches);
    metadata_batches_add(&batches, encode_feature());
    if (next >= 0)
        metadata_batches_add(&batches, encode_next(next));
    metadata_batches_cut(&batches);
    metadata_batches_add_control(&batches, CONTROL_RECORD_SNAPSHOT_FOOTER, &footer);
    slice bytes = metadata_batches_bytes(&batches);
    struct file *file;
    ck_assert_int_eq(file_open(file_double_system(disk), path, FILE_WRITE | FILE_CREATE, &file), FILE_OK);
    ck_assert_int_eq(file_pwrite(file, bytes.data, bytes.size, 0), FILE_OK);
    file_close(file);
}

static const struct {
    const char *what;
    /* The log has: 0 LeaderChange, 1 metadata.version, 2 group.version, 3 block 0-999, 4 block 1000-1999. */
    int64_t end_offset;
    int64_t next;
    int64_t first_id; /* after it */
} snapshots[] = {
    { "behind the log's records: they are not read", 5, 7000, 7000 },
    { "between them", 4, 1000, 2000 },
    { "no ids yet", 3, -1, 2000 },
    { "without ids, behind the records", 5, -1, 0 },
};

START_TEST(ids_go_on_from_a_snapshot)
{
    arena_init(&arena, NULL);
    for (int i = 0; i < BLOCK + 1; i++)
        take();
    ck_assert_int_eq(controller_image(sim.server->controller)->end_offset, 5);
    sim_disconnect(&client);
    struct file_double *disk = sim_stop(&sim);
    drop_snapshot(disk); /* that of the clean stop */
    write_snapshot(disk, snapshots[_i].end_offset, 1, snapshots[_i].next);
    sim_start_on(&sim, disk);
    sim_connect(&sim, &client);
    int64_t id = take();
    ck_assert_msg(id == snapshots[_i].first_id, "%s: %lld", snapshots[_i].what, (long long)id);
    arena_destroy(&arena);
}
END_TEST

/* -- many at once ------------------------------------------------------------------------------- */

enum { THREADS = 8, IDS_EACH = 2500 };

static struct {
    int64_t ids[IDS_EACH];
} takers[THREADS];

static void *take_many(void *context)
{
    int64_t *ids = context;
    for (int i = 0; i < IDS_EACH; i++)
        if (!producer_ids_take(sim.server->producer_ids, &ids[i]))
            ck_assert_int_eq(producer_ids_claim(sim.server->producer_ids, &ids[i]), ERR_NONE);
    return NULL;
}

START_TEST(threads_share_blocks)
{
    static bool seen[THREADS * IDS_EACH];
    pthread_t threads[THREADS];
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_many, takers[i].ids), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        for (int n = 0; n < IDS_EACH; n++) {
            int64_t id = takers[i].ids[n];
            ck_assert_msg(id >= 0 && id < THREADS * IDS_EACH, "one claim per block, so no gaps: %lld",
                          (long long)id);
            ck_assert_msg(!seen[id], "%lld twice", (long long)id);
            seen[id] = true;
            ck_assert(n == 0 || id > takers[i].ids[n - 1]);
        }
    }
    ck_assert_int_eq(next_producer_id(), THREADS * IDS_EACH);
}
END_TEST

/* Requests of many connections that find the block empty in one turn claim one. */
START_TEST(requests_share_a_block)
{
    enum { CLIENTS = 50 };
    static struct sim_client clients[CLIENTS];
    static bool seen[CLIENTS];
    struct init_producer_id_request request;
    struct init_producer_id_response response;
    init_producer_id_request_init(&request);
    request.transactional_id = SLICE_NULL;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < CLIENTS; i++) {
        sim_connect(&sim, &clients[i]);
        ck_assert(sim_send(&clients[i], KEY_INIT_PRODUCER_ID, VERSION, &request));
    }
    for (int i = 0; i < CLIENTS; i++) {
        ck_assert(sim_receive(&clients[i], KEY_INIT_PRODUCER_ID, VERSION, &response));
        ck_assert_int_eq(response.error_code, ERR_NONE);
        ck_assert(response.producer_id < CLIENTS && !seen[response.producer_id]);
        seen[response.producer_id] = true;
        sim_disconnect(&clients[i]);
    }
    ck_assert_int_eq(next_producer_id(), BLOCK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("producer ids");
    TCase *tests = tcase_create("ids");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, ids_come_in_order_from_blocks_of_a_thousand);
    tcase_add_test(tests, only_an_empty_block_costs_a_flush);
    tcase_add_test(tests, a_restart_loses_the_rest_of_the_block);
    tcase_add_loop_test(tests, no_cut_gives_an_id_twice, FILE_DOUBLE_LOSE_ALL, FILE_DOUBLE_REORDER + 1);
    tcase_add_test(tests, a_lying_disk_gives_ids_twice);
    tcase_add_test(tests, a_full_disk_is_a_matter_of_time);
    tcase_add_test(tests, a_full_disk_hinders_nobody_while_the_block_lasts);
    tcase_add_test(tests, a_failed_flush_gives_no_id);
    tcase_add_test(tests, ids_end_with_the_numbers);
    tcase_add_test(tests, blocks_of_others_are_passed_over);
    tcase_add_loop_test(tests, ids_go_on_from_a_snapshot, 0, sizeof snapshots / sizeof *snapshots);
    tcase_add_test(tests, threads_share_blocks);
    tcase_add_test(tests, requests_share_a_block);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
