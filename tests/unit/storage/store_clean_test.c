/* Compaction of a store's logs: which is next, what the checkpoint says, what deletions and power cuts leave.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/checkpoint.h"
#include "storage/file_double.h"
#include "storage/store_internal.h"
#include "tests/support/storage_host.h"

enum { KEYS = 5 };

static struct file_double *disk;
static struct file_system *files;
static struct storage_host host;
static struct store *store;
static struct cleaner *cleaner;
static struct arena arena;
static unsigned clean_wanted_count, clean_asked_count;
static const char *directories[] = { "/data" };
static const uuid TOPIC = { { 1, 2, 3 } };
static const uuid OTHER = { { 9, 9, 9 } };

static void clean_wanted(struct storage_env *env)
{
    (void)env;
    clean_wanted_count++;
}

static void clean_asked(struct storage_env *env)
{
    (void)env;
    clean_asked_count++;
}

static void begin_on(struct file_double *on)
{
    const struct cleaner_options options = { .map_size_max = 1 << 20, .map_load = 0.9, .buffer_size = 8192 };
    disk = on;
    files = file_double_system(disk);
    storage_host_init(&host, files);
    host.env.clean_wanted = clean_wanted;
    host.env.clean_asked = clean_asked;
    arena_init(&arena, NULL);
    cleaner = cleaner_create(&options);
    store = NULL;
    clean_wanted_count = 0;
}

static void set_up(void)
{
    begin_on(file_double_create());
}

static void tear_down(void)
{
    if (store)
        store_close(store, false);
    storage_host_destroy(&host);
    cleaner_destroy(cleaner);
    arena_destroy(&arena);
    file_double_destroy(disk);
}

static void open_store(void)
{
    const struct store_options options = { .directories = directories, .directory_count = 1, .node_id = 1 };
    const char *error = "";
    ck_assert_msg(store_open(&host.env, &options, &store, &error) == STORE_OK, "%s", error);
}

static void recover(void)
{
    const char *error = "";
    retire_sleep(host.env.retire, host.member);
    ck_assert_msg(store_recover(store, 1, &error) == STORE_OK, "%s", error);
    retire_wake(host.env.retire, host.member);
    storage_host_run(&host);
}

static void restart(bool clean)
{
    storage_host_run(&host);
    ck_assert_int_eq(store_close(store, clean), STORE_OK);
    host.flush_wanted = false;
    storage_host_run(&host);
    open_store();
}

static struct log_config config_of(double ratio)
{
    struct log_config config = storage_host_config(1024);
    config.cleanup = LOG_CLEANUP_COMPACT;
    config.min_cleanable_ratio = ratio;
    config.max_compaction_lag_ms = INT64_MAX;
    config.delete_retention_ms = 1000;
    return config;
}

static struct log *log_of(uuid id, const char *topic)
{
    struct log_config config = config_of(0.5);
    struct log *log = store_log(store, id, topic, 0, &config, NULL);
    ck_assert_ptr_nonnull(log);
    return log;
}

/* Batches of one record each, with keys that come again and again. */
static void append(struct log *log, int count)
{
    for (int i = 0; i < count; i++) {
        struct batch_builder_options options = { .producer_id = -1,
                                                 .producer_epoch = -1,
                                                 .base_sequence = -1 };
        struct log_append_result result;
        struct batch_view batch;
        uint8_t value[64];
        int64_t offset = log_offsets(log).end;
        uint8_t key = (uint8_t)('a' + offset % KEYS);
        memset(value, key, sizeof value);
        store_be64(value, (uint64_t)offset);
        struct batch_builder *builder = batch_builder_open(&arena, &options);
        ck_assert(batch_builder_add(builder, clock_wall_ms(host.env.clock), slice_of(&key, 1),
                                    slice_of(value, sizeof value), NULL, 0));
        ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
        ck_assert_int_eq(storage_host_append(&host, log, &batch, &result), LOG_OK);
        storage_host_flush(&host, store);
        storage_host_run(&host);
        arena_reset(&arena);
    }
}

static bool clean(void)
{
    bool did = store_clean(store, cleaner, clock_wall_ms(host.env.clock));
    storage_host_run(&host);
    return did;
}

/* Records of the log; the last values of all keys that were appended are among them. */
static int64_t count_records(struct log *log)
{
    struct log_offsets offsets = log_offsets(log);
    int64_t count = 0, last[KEYS] = { -1, -1, -1, -1, -1 };
    for (int64_t next = offsets.start; next < offsets.end;) {
        enum log_status status;
        struct batch_view batch;
        struct record record;
        slice bytes = storage_host_read(&host, log, next, &status);
        ck_assert_int_eq(status, LOG_OK);
        ck_assert_int_eq(batch_view(bytes, &batch), BATCH_OK);
        ck_assert(batch_crc_ok(&batch));
        struct record_iterator *iterator = record_iterator_open(&batch, &arena, 1 << 20);
        while (record_iterator_next(iterator, &record) == BATCH_OK) {
            ck_assert_int_eq((int64_t)load_be64(record.value.data), record.offset);
            last[record.key.data[0] - 'a'] = record.offset;
            count++;
        }
        record_iterator_close(iterator);
        next = batch_last_offset(&batch) + 1;
        free((void *)bytes.data);
        arena_reset(&arena);
    }
    for (int64_t offset = offsets.end - 1; offset >= 0 && offset >= offsets.end - KEYS; offset--)
        ck_assert_msg(last[offset % KEYS] == offset, "offset %" PRId64 " is lost", offset);
    return count;
}

/* What the checkpoint says of the topic's partition 0; -1: nothing. */
static int64_t checkpoint_of(const char *topic)
{
    uint8_t *bytes;
    size_t size, count = 0;
    struct checkpoint_offset *entries;
    int64_t offset = -1;
    if (file_read_all(files, "/data/" CHECKPOINT_CLEANER, 4096, &bytes, &size) != FILE_OK)
        return -1;
    ck_assert(checkpoint_parse_offsets(slice_of(bytes, size), &entries, &count));
    for (size_t i = 0; i < count; i++) {
        if (slice_equal_string(entries[i].topic, topic) && entries[i].partition == 0)
            offset = entries[i].offset;
    }
    free(entries);
    free(bytes);
    return offset;
}

START_TEST(a_sealed_segment_is_wanted_and_compacted_once)
{
    open_store();
    struct log *log = log_of(TOPIC, "orders");
    ck_assert_int_eq(store_clean_due_ms(store), INT64_MAX);
    append(log, 2);
    ck_assert_uint_eq(clean_wanted_count, 0);
    ck_assert_int_eq(store_clean_due_ms(store), INT64_MAX);
    ck_assert(!clean());
    append(log, 40);
    ck_assert_uint_gt(clean_wanted_count, 0);
    ck_assert_int_le(store_clean_due_ms(store), clock_wall_ms(host.env.clock));
    ck_assert(clean());
    ck_assert_int_gt(checkpoint_of("orders"), 20);
    ck_assert_int_lt(count_records(log), 20);
    ck_assert(!clean());
    ck_assert_int_eq(store_clean_due_ms(store), INT64_MAX);
    append(log, 40);
    ck_assert(clean());
    ck_assert_int_gt(checkpoint_of("orders"), 60);
    ck_assert_int_lt(count_records(log), 20);
}
END_TEST

START_TEST(other_policies_are_left_alone)
{
    open_store();
    struct log_config config = config_of(0);
    config.cleanup = LOG_CLEANUP_DELETE;
    config.retention_ms = config.retention_bytes = -1;
    struct log *log = store_log(store, TOPIC, "orders", 0, &config, NULL);
    append(log, 40);
    ck_assert_uint_eq(clean_wanted_count, 0);
    ck_assert(!clean());
    ck_assert_int_eq(store_clean_log(store, cleaner, log, clock_wall_ms(host.env.clock)), LOG_NOT_FOUND);
    ck_assert_int_eq(count_records(log), 40);
    config.cleanup = LOG_CLEANUP_COMPACT | LOG_CLEANUP_DELETE;
    log_set_config(log, &config);
    ck_assert_uint_gt(clean_wanted_count, 0);
    ck_assert(clean());
    ck_assert_int_lt(count_records(log), 20);
}
END_TEST

/* What never fills its first segment: Kafka waits for an append that may not come. */
START_TEST(an_overdue_active_segment_rolls)
{
    bool is_shut = _i == 1;
    open_store();
    struct log *log = log_of(TOPIC, "orders");
    append(log, KEYS + 1);
    ck_assert(!clean());
    ck_assert_int_eq(count_records(log), KEYS + 1);
    struct log_config config = config_of(0.5);
    config.max_compaction_lag_ms = 1000;
    clean_wanted_count = clean_asked_count = 0;
    log_set_config(log, &config);
    ck_assert_uint_gt(clean_wanted_count, 0);
    ck_assert_uint_gt(clean_asked_count, 0);
    ck_assert(!clean());
    ck_assert_int_eq(store_clean_due_ms(store), clock_wall_ms(host.env.clock) + 1001);
    if (is_shut) {
        restart(true);
        log = store_log(store, TOPIC, "orders", 0, &config, NULL);
        recover();
    }
    clock_virtual_advance(&host.clock, 1001);
    ck_assert(!clean()); /* rolled, and not on the device yet */
    storage_host_flush(&host, store);
    storage_host_run(&host);
    ck_assert_int_le(store_clean_due_ms(store), clock_wall_ms(host.env.clock));
    ck_assert(clean());
    ck_assert_int_eq(count_records(log), KEYS);
    ck_assert(!clean()); /* the new one is empty */
    ck_assert_int_eq(store_clean_due_ms(store), INT64_MAX);
}
END_TEST

START_TEST(the_filthiest_is_first)
{
    open_store();
    struct log *first = log_of(TOPIC, "orders"), *second = log_of(OTHER, "others");
    append(first, 60);
    ck_assert(clean());
    append(first, 80); /* much of it is clean */
    int64_t before = checkpoint_of("orders");
    append(second, 60); /* nothing is */
    ck_assert(clean());
    ck_assert_int_gt(checkpoint_of("others"), 0);
    ck_assert_int_eq(checkpoint_of("orders"), before);
    ck_assert(clean());
    ck_assert_int_gt(checkpoint_of("orders"), before);
    ck_assert(!clean());
}
END_TEST

START_TEST(stops_of_both_kinds)
{
    bool is_clean = _i == 0;
    open_store();
    struct log *log = log_of(TOPIC, "orders");
    append(log, 60);
    ck_assert(clean());
    int64_t checkpoint = checkpoint_of("orders");
    int64_t count = count_records(log);
    restart(is_clean);
    clean_wanted_count = 0;
    log = log_of(TOPIC, "orders");
    if (!is_clean)
        recover();
    ck_assert_int_eq(count_records(log), count);
    ck_assert_uint_gt(clean_wanted_count, 0); /* nobody knows whether there is something to do */
    ck_assert(!clean());
    ck_assert_int_eq(checkpoint_of("orders"), checkpoint);
    append(log, 60);
    ck_assert(clean());
    ck_assert_int_gt(checkpoint_of("orders"), checkpoint);
    ck_assert_int_lt(count_records(log), 20);
}
END_TEST

START_TEST(a_shut_log_without_work_is_not_opened)
{
    open_store();
    append(log_of(TOPIC, "orders"), 4);
    restart(true);
    struct log *log = log_of(TOPIC, "orders");
    ck_assert(!clean());
    ck_assert(!log_stats(log).is_open);
    ck_assert_int_eq(store_clean_due_ms(store), INT64_MAX);
}
END_TEST

/* As in Kafka: the policy may change back, and what was cleaned has gaps for ever. */
START_TEST(a_log_of_another_policy_stays_in_the_checkpoint)
{
    open_store();
    append(log_of(TOPIC, "orders"), 60);
    ck_assert(clean());
    int64_t checkpoint = checkpoint_of("orders");
    ck_assert_int_gt(checkpoint, 0);
    restart(_i == 0);
    struct log_config config = config_of(0);
    config.cleanup = LOG_CLEANUP_DELETE;
    config.retention_ms = config.retention_bytes = -1;
    ck_assert_ptr_nonnull(store_log(store, TOPIC, "orders", 0, &config, NULL));
    struct log *others = log_of(OTHER, "others");
    if (_i > 0)
        recover();
    append(others, 60);
    ck_assert(clean());
    ck_assert(!clean());
    ck_assert_int_gt(checkpoint_of("others"), 0);
    ck_assert_int_eq(checkpoint_of("orders"), checkpoint);
}
END_TEST

START_TEST(a_deleted_log_leaves_the_checkpoint)
{
    open_store();
    struct log *log = log_of(TOPIC, "orders");
    append(log, 60);
    append(log_of(OTHER, "others"), 60);
    ck_assert(clean());
    ck_assert(clean());
    ck_assert_int_gt(checkpoint_of("orders"), 0);
    append(log, 60); /* it is queued */
    ck_assert_int_eq(store_delete_logs(store, &log, 1), LOG_OK);
    ck_assert_int_eq(checkpoint_of("orders"), -1);
    ck_assert_int_gt(checkpoint_of("others"), 0);
    retire(host.env.retire, log, store_free_log);
    storage_host_run(&host);
    ck_assert(!clean());
    static const uuid AGAIN = { { 7 } };
    log = log_of(AGAIN, "orders");
    append(log, 60);
    ck_assert(clean());
    ck_assert_int_lt(count_records(log), 20);
}
END_TEST

START_TEST(a_damaged_log_does_not_stop_the_others)
{
    char path[64];
    open_store();
    struct log *log = log_of(TOPIC, "orders"), *other = log_of(OTHER, "others");
    append(log, 60);
    append(other, 60);
    snprintf(path, sizeof path, "/data/orders-0/%020d.log", 0);
    ck_assert(file_double_flip_bit(disk, path, 70, 1));
    (void)clean();
    (void)clean();
    ck_assert(!clean());
    ck_assert_int_eq(checkpoint_of("orders"), -1);
    ck_assert_int_gt(checkpoint_of("others"), 0);
    ck_assert_int_eq(store_clean_log(store, cleaner, log, clock_wall_ms(host.env.clock)), LOG_BUSY);
    ck_assert_int_lt(count_records(other), 20);
    append(log, 60); /* it is served as ever */
    ck_assert(!clean());
    ck_assert_int_eq(store_clean_due_ms(store), INT64_MAX);
    /* The bit is healthy again after a restart: so is the log. */
    ck_assert(file_double_flip_bit(disk, path, 70, 1));
    restart(true);
    log = log_of(TOPIC, "orders");
    (void)log_of(OTHER, "others");
    ck_assert(clean());
    ck_assert_int_lt(count_records(log), 20);
}
END_TEST

START_TEST(on_demand)
{
    open_store();
    struct log *log = log_of(TOPIC, "orders");
    int64_t now_ms = clock_wall_ms(host.env.clock);
    ck_assert_int_eq(store_clean_log(store, cleaner, log, now_ms), LOG_NOT_FOUND);
    append(log, 200);
    ck_assert_int_eq(store_clean_log(store, cleaner, log, now_ms), LOG_OK);
    struct log_config config = config_of(0.99);
    log_set_config(log, &config);
    append(log, 12); /* not nearly all of it is dirty */
    ck_assert(!clean());
    int64_t before = checkpoint_of("orders");
    ck_assert_int_eq(store_clean_log(store, cleaner, log, now_ms), LOG_OK);
    ck_assert_int_gt(checkpoint_of("orders"), before);
    ck_assert_int_eq(store_clean_log(store, cleaner, log, now_ms), LOG_NOT_FOUND);
}
END_TEST

START_TEST(a_lag_that_ends)
{
    struct log_config config = config_of(0.5);
    config.min_compaction_lag_ms = 5000;
    open_store();
    struct log *log = store_log(store, TOPIC, "orders", 0, &config, NULL);
    append(log, 60);
    ck_assert(!clean());
    int64_t due_ms = store_clean_due_ms(store);
    ck_assert_int_eq(due_ms, clock_wall_ms(host.env.clock) + 5001);
    clock_virtual_advance(&host.clock, 5001);
    ck_assert(clean());
    ck_assert_int_lt(count_records(log), 20);
}
END_TEST

/* What is kept for those who remove something is not for a new segment. */
START_TEST(an_overdue_segment_waits_for_room)
{
    open_store();
    struct log *log = log_of(TOPIC, "orders");
    append(log, KEYS + 1);
    struct log_config config = config_of(0.5);
    config.max_compaction_lag_ms = 1000;
    log_set_config(log, &config);
    clock_virtual_advance(&host.clock, 1001);
    atomic_store(&store->directories[0].host.shortage, SHORTAGE_OF_RECORDS);
    ck_assert(!clean());
    ck_assert_uint_eq(log_stats(log).segment_count, 1);
    ck_assert_int_eq(store_clean_due_ms(store), clock_wall_ms(host.env.clock) + 1000);
    atomic_store(&store->directories[0].host.shortage, SHORTAGE_NONE);
    clock_virtual_advance(&host.clock, 1000);
    ck_assert(!clean());
    ck_assert_uint_eq(log_stats(log).segment_count, 2);
}
END_TEST

START_TEST(a_full_disk_is_waited_for)
{
    open_store();
    struct log *log = log_of(TOPIC, "orders");
    append(log, 60);
    file_double_set_free_space(disk, 10);
    ck_assert(!clean());
    ck_assert_int_gt(store_clean_due_ms(store), clock_wall_ms(host.env.clock));
    ck_assert(!clean());
    file_double_set_free_space(disk, UINT64_MAX);
    ck_assert_int_eq(count_records(log), 60);
    clock_virtual_advance(&host.clock, 60000);
    ck_assert(clean());
    ck_assert_int_lt(count_records(log), 20);
    ck_assert_uint_eq(host.failed_count, 0);
}
END_TEST

/* --- power cuts ----------------------------------------------------------------------------------- */

/* Compaction, appends, deletion of another compacted log, compaction; *acknowledged[i] is what was durable
 * when the operation count was at[i]. */
struct script {
    uint64_t at[64];
    int64_t acknowledged[64];
    size_t count;
};

static void note_point(struct script *script, struct log *log)
{
    ck_assert_uint_lt(script->count, 64);
    script->at[script->count] = file_double_operation_count(disk);
    script->acknowledged[script->count++] = log_offsets(log).durable;
}

/* All of it, the active segment included, is sealed by time and compacted; nothing is appended meanwhile. */
static void roll_overdue(struct log *log)
{
    struct log_config config = config_of(0.5);
    config.max_compaction_lag_ms = 1000;
    log_set_config(log, &config);
    clock_virtual_advance(&host.clock, 1001);
    (void)clean();
    storage_host_flush(&host, store);
    storage_host_run(&host);
    ck_assert(clean());
    ck_assert_int_eq(count_records(log), KEYS);
    config = config_of(0.5);
    log_set_config(log, &config);
}

static void run_script(struct script *script)
{
    script->count = 0;
    open_store();
    struct log *log = log_of(TOPIC, "orders"), *other = log_of(OTHER, "others");
    for (int round = 0; round < 3; round++) {
        append(log, 25);
        append(other, 15);
        note_point(script, log);
        (void)clean();
        (void)clean();
        note_point(script, log);
        roll_overdue(log);
        note_point(script, log);
        if (round == 1) {
            ck_assert_int_eq(store_delete_logs(store, &other, 1), LOG_OK);
            retire(host.env.retire, other, store_free_log);
            storage_host_run(&host);
            static const uuid AGAIN = { { 7 } };
            other = log_of(AGAIN, "others");
        }
    }
    ck_assert(store_close(store, true) == STORE_OK);
    store = NULL;
    storage_host_run(&host);
}

static int64_t acknowledged_at(const struct script *script, uint64_t at)
{
    int64_t offset = 0;
    for (size_t i = 0; i < script->count; i++) {
        if (script->at[i] <= at)
            offset = script->acknowledged[i];
    }
    return offset;
}

/* Everything that was acknowledged is there, as far as it is the last of its key, and so after the next
 * round. */
static void check_after(const struct script *script, uint64_t at)
{
    open_store();
    struct log *log = log_of(TOPIC, "orders");
    recover();
    ck_assert_msg(log_offsets(log).end >= acknowledged_at(script, at), "operation %" PRIu64 ": end %" PRId64,
                  at, log_offsets(log).end);
    ck_assert_uint_eq(log_stats(log).quarantined_count, 0);
    (void)count_records(log);
    enum log_status status = store_clean_log(store, cleaner, log, clock_wall_ms(host.env.clock));
    ck_assert_msg(status == LOG_OK || status == LOG_NOT_FOUND, "operation %" PRIu64 ": status %d", at,
                  status);
    (void)count_records(log);
    append(log, 3);
    (void)count_records(log);
}

static void cut_everywhere(enum file_double_cut cut, int rounds)
{
    struct script script;
    struct random random;
    uint64_t states = 0;
    random_seed(&random, 11);
    run_script(&script);
    struct file_double *whole = disk;
    uint64_t last = file_double_operation_count(whole);
    storage_host_destroy(&host);
    cleaner_destroy(cleaner);
    arena_destroy(&arena);
    for (uint64_t at = 1; at <= last; at++) {
        for (int i = 0; i < rounds; i++) {
            begin_on(file_double_after_cut(whole, at, cut, &random));
            check_after(&script, at);
            tear_down();
            states++;
        }
    }
    printf("cut %d: states=%" PRIu64 " lost=0\n", cut, states);
    begin_on(whole); /* for the end of the test */
}

START_TEST(power_cuts)
{
    cut_everywhere(_i == 0   ? FILE_DOUBLE_LOSE_ALL
                   : _i == 1 ? FILE_DOUBLE_KEEP_ALL
                             : FILE_DOUBLE_REORDER,
                   _i == 2 ? 3 : 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store clean");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, a_sealed_segment_is_wanted_and_compacted_once);
    tcase_add_test(all, other_policies_are_left_alone);
    tcase_add_loop_test(all, an_overdue_active_segment_rolls, 0, 2);
    tcase_add_test(all, the_filthiest_is_first);
    tcase_add_loop_test(all, stops_of_both_kinds, 0, 2);
    tcase_add_test(all, a_shut_log_without_work_is_not_opened);
    tcase_add_loop_test(all, a_log_of_another_policy_stays_in_the_checkpoint, 0, 2);
    tcase_add_test(all, a_deleted_log_leaves_the_checkpoint);
    tcase_add_test(all, a_damaged_log_does_not_stop_the_others);
    tcase_add_test(all, on_demand);
    tcase_add_test(all, a_lag_that_ends);
    tcase_add_test(all, an_overdue_segment_waits_for_room);
    tcase_add_test(all, a_full_disk_is_waited_for);
    tcase_add_loop_test(all, power_cuts, 0, 3);
    tcase_set_timeout(all, 280);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
