/* The store: directories, group commit, the fence, clean and unclean stops, descriptors. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/checkpoint.h"
#include "storage/clean_marker.h"
#include "storage/file_double.h"
#include "storage/side_file.h"
#include "tests/support/storage_host.h"

static struct file_double *disk;
static struct file_system *files;
static struct storage_host host;
static struct store *store;
static struct arena arena;
static const char *directories[] = { "/data" };
static struct store_options options;
static const uuid TOPIC = { { 1, 2, 3 } };
static const uuid OTHER = { { 9, 9, 9 } };

static void set_up(void)
{
    disk = file_double_create();
    files = file_double_system(disk);
    storage_host_init(&host, files);
    arena_init(&arena, NULL);
    options = (struct store_options){ .directories = directories, .directory_count = 1, .node_id = 1 };
    store = NULL;
}

static void tear_down(void)
{
    if (store)
        store_close(store, false);
    storage_host_destroy(&host);
    arena_destroy(&arena);
    file_double_destroy(disk);
}

static void open_store(void)
{
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

static void close_store(bool clean)
{
    storage_host_run(&host);
    ck_assert_int_eq(store_close(store, clean), STORE_OK);
    store = NULL;
    host.flush_wanted = false;
    storage_host_run(&host);
}

static void restart(bool clean)
{
    close_store(clean);
    open_store();
}

static struct log *log_of(uuid id, const char *topic, int32_t partition)
{
    struct log_config config = storage_host_config(4096);
    struct log *log = store_log(store, id, topic, partition, &config, NULL);

    ck_assert_ptr_nonnull(log);
    return log;
}

static enum log_status append(struct log *log, uint64_t seed)
{
    struct batch_view batch = storage_host_batch(&arena, seed, 3, 100);
    struct log_append_result result;

    return storage_host_append(&host, log, &batch, &result);
}

static void append_ok(struct log *log, int count)
{
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(append(log, (uint64_t)i), LOG_OK);
    storage_host_flush(&host, store);
}

static bool exists(const char *path)
{
    struct file_info info;

    return file_info(files, path, &info) == FILE_OK;
}

static char *text_of(const char *path)
{
    uint8_t *text;
    size_t size;

    ck_assert_int_eq(file_read_all(files, path, 1 << 20, &text, &size), FILE_OK);
    return (char *)text;
}

static void put(const char *path, const char *text)
{
    ck_assert_int_eq(file_replace(files, path, slice_of_string(text)), FILE_OK);
}

START_TEST(a_new_directory_is_made_without_a_flush)
{
    open_store();
    ck_assert_uint_eq(file_double_flush_count(disk), 0);
    ck_assert(store_was_clean(store));
    recover();
    ck_assert_uint_eq(file_double_flush_count(disk), 0);
    char *text = text_of("/data/meta.properties");
    ck_assert_ptr_nonnull(strstr(text, store_cluster_id(store)));
    ck_assert_ptr_nonnull(strstr(text, "node.id=1\n"));
    free(text);
    ck_assert(exists("/data/.lock"));
    close_store(true);
    ck_assert(!exists("/data/.lock"));
    ck_assert(exists("/data/.kafka_cleanshutdown"));
}
END_TEST

START_TEST(identity_is_durable_with_the_first_append)
{
    open_store();
    struct log *log = log_of(TOPIC, "t", 0);
    append_ok(log, 1);
    ck_assert_int_eq(log_offsets(log).durable, 3);
    ck_assert_int_eq(log_offsets(log).high_watermark, 3);
    struct file_double *after =
        file_double_after_cut(disk, file_double_operation_count(disk), FILE_DOUBLE_LOSE_ALL, NULL);
    struct file_info info;
    ck_assert_int_eq(file_info(file_double_system(after), "/data/meta.properties", &info), FILE_OK);
    ck_assert_uint_gt(info.size, 50);
    ck_assert_int_eq(file_info(file_double_system(after), "/data/t-0/00000000000000000000.log", &info),
                     FILE_OK);
    ck_assert_uint_gt(info.size, 300);
    ck_assert_int_eq(file_info(file_double_system(after), "/data/t-0/partition.metadata", &info), FILE_OK);
    ck_assert_uint_eq(info.size, 43);
    file_double_destroy(after);
}
END_TEST

START_TEST(a_clean_stop_leaves_what_kafka_expects)
{
    open_store();
    append_ok(log_of(TOPIC, "t", 0), 40);
    append_ok(log_of(TOPIC, "t", 1), 1);
    (void)log_of(TOPIC, "t", 2); /* never written */
    close_store(true);
    char *text = text_of("/data/recovery-point-offset-checkpoint");
    ck_assert_ptr_nonnull(strstr(text, "0\n2\n"));
    ck_assert_ptr_nonnull(strstr(text, "t 0 120\n"));
    ck_assert_ptr_nonnull(strstr(text, "t 1 3\n"));
    free(text);
    text = text_of("/data/replication-offset-checkpoint");
    ck_assert_ptr_nonnull(strstr(text, "t 0 120\n"));
    free(text);
    text = text_of("/data/log-start-offset-checkpoint");
    ck_assert_str_eq(text, "0\n0\n");
    free(text);
    text = text_of("/data/.kafka_cleanshutdown");
    ck_assert_ptr_nonnull(strstr(text, "{\"version\":0,\"brokerEpoch\":-1,\"runnel\":\""));
    free(text);
    ck_assert(exists("/data/t-0/00000000000000000120.snapshot"));
    ck_assert(exists("/data/t-0/leader-epoch-checkpoint"));
    ck_assert(!exists("/data/t-2"));
    ck_assert(!exists("/data/durable.runnel"));
}
END_TEST

START_TEST(a_clean_start_opens_lazily_and_changes_nothing)
{
    open_store();
    append_ok(log_of(TOPIC, "t", 0), 40);
    restart(true);
    uint64_t before = file_double_operation_count(disk);
    ck_assert(store_was_clean(store));
    struct log *log = log_of(TOPIC, "t", 0);
    recover();
    ck_assert_int_eq(log_offsets(log).end, 120);
    ck_assert_int_eq(log_offsets(log).durable, 120);
    ck_assert(!log_stats(log).is_open);
    enum log_status status;
    slice bytes = storage_host_read(&host, log, 60, &status);
    ck_assert_int_eq(status, LOG_OK);
    ck_assert_uint_gt(bytes.size, 300);
    free((void *)(uintptr_t)bytes.data);
    /* Reading changes nothing on disk but the lock file, so the marker still holds. */
    ck_assert_uint_eq(file_double_operation_count(disk), before);
    ck_assert(exists("/data/.kafka_cleanshutdown"));
    append_ok(log, 1);
    ck_assert(!exists("/data/.kafka_cleanshutdown"));
    ck_assert(!exists("/data/replication-offset-checkpoint"));
    ck_assert_int_eq(log_offsets(log).end, 123);
    restart(true);
    log = log_of(TOPIC, "t", 0);
    ck_assert_int_eq(log_offsets(log).end, 123);
}
END_TEST

START_TEST(the_marker_is_gone_from_the_device_before_the_first_change)
{
    open_store();
    append_ok(log_of(TOPIC, "t", 0), 1);
    restart(true);
    struct log *log = log_of(TOPIC, "t", 0);
    recover();
    uint64_t before = file_double_operation_count(disk);
    ck_assert_int_eq(append(log, 7), LOG_OK);
    bool seen_without = false;
    for (uint64_t at = before; at <= file_double_operation_count(disk); at++) {
        struct file_double *lost = file_double_after_cut(disk, at, FILE_DOUBLE_LOSE_ALL, NULL);
        struct file_double *kept = file_double_after_cut(disk, at, FILE_DOUBLE_KEEP_ALL, NULL);
        struct file_info marker;
        struct file_info segment;
        bool has_marker =
            file_info(file_double_system(lost), "/data/.kafka_cleanshutdown", &marker) == FILE_OK;
        ck_assert_int_eq(file_info(file_double_system(kept), "/data/t-0/00000000000000000000.log", &segment),
                         FILE_OK);
        static uint64_t size;
        if (at == before)
            size = segment.size;
        ck_assert(!has_marker || segment.size == size);
        seen_without = seen_without || (!has_marker && segment.size > size);
        file_double_destroy(lost);
        file_double_destroy(kept);
    }
    ck_assert(seen_without);
}
END_TEST

START_TEST(an_unclean_stop_recovers)
{
    open_store();
    append_ok(log_of(TOPIC, "t", 0), 40);
    ck_assert_int_eq(append(log_of(TOPIC, "t", 0), 5), LOG_OK); /* not flushed, but no power cut either */
    restart(false);
    ck_assert(!store_was_clean(store));
    struct log *log = log_of(TOPIC, "t", 0);
    recover();
    ck_assert_int_eq(log_offsets(log).end, 123);
    ck_assert_int_eq(log_offsets(log).durable, 123);
    append_ok(log, 1);
    restart(true);
    ck_assert_int_eq(log_offsets(log_of(TOPIC, "t", 0)).end, 126);
}
END_TEST

START_TEST(a_foreign_clean_marker_makes_side_files_worthless)
{
    open_store();
    append_ok(log_of(TOPIC, "t", 0), 2);
    close_store(true);
    put("/data/.kafka_cleanshutdown", "{\"version\":0,\"brokerEpoch\":42}");
    open_store();
    ck_assert(!store_was_clean(store));
    struct log *log = log_of(TOPIC, "t", 0);
    recover();
    ck_assert_int_eq(log_offsets(log).end, 6);
    ck_assert(!exists("/data/logs.runnel"));
    ck_assert(!exists("/data/.kafka_cleanshutdown"));
    append_ok(log, 1);
    restart(true);
    ck_assert(store_was_clean(store));
    ck_assert_int_eq(log_offsets(log_of(TOPIC, "t", 0)).end, 9);
}
END_TEST

START_TEST(a_second_process_is_kept_out)
{
    const char *error;
    struct store *second;

    open_store();
    ck_assert_int_eq(store_open(&host.env, &options, &second, &error), STORE_LOCKED);
    ck_assert_ptr_nonnull(strstr(error, "/data is in use"));
}
END_TEST

struct refusal {
    const char *what;
    const char *path; /* a file; its directory is made */
    const char *text;
    enum store_status status;
    const char *said;
};

static const struct refusal refusals[] = {
    { "a directory with somebody's files", "/data/thesis.txt", "x", STORE_FOREIGN,
      "is not empty (thesis.txt)" },
    { "another node", "/data/meta.properties", "version=1\ncluster.id=c\nnode.id=7\n", STORE_FOREIGN,
      "belongs to node 7" },
    { "ZooKeeper mode", "/data/meta.properties", "version=0\nbroker.id=1\ncluster.id=c\n", STORE_FOREIGN,
      "ZooKeeper" },
    { "an incomplete identity", "/data/meta.properties", "version=1\nnode.id=1\n", STORE_DAMAGED,
      "no cluster.id" },
};

START_TEST(foreign_directories_are_refused)
{
    const struct refusal *row = &refusals[_i];
    const char *error = "";

    ck_assert_int_eq(file_make_directory(files, "/data"), FILE_OK);
    put(row->path, row->text);
    ck_assert_msg(store_open(&host.env, &options, &store, &error) == row->status, "%s: %s", row->what, error);
    ck_assert_msg(strstr(error, row->said) != NULL, "%s: %s", row->what, error);
    char *text = text_of(row->path);
    ck_assert_str_eq(text, row->text);
    free(text);
}
END_TEST

START_TEST(a_directory_that_is_no_partition_is_refused)
{
    const char *error = "";

    open_store();
    close_store(true);
    ck_assert_int_eq(file_make_directory(files, "/data/photos"), FILE_OK);
    ck_assert_int_eq(store_open(&host.env, &options, &store, &error), STORE_FOREIGN);
    ck_assert_ptr_nonnull(strstr(error, "photos"));
    ck_assert_int_eq(file_remove_directory(files, "/data/photos"), FILE_OK);
    ck_assert_int_eq(file_make_directory(files, "/data/lost+found"), FILE_OK);
    open_store();
}
END_TEST

START_TEST(another_cluster_is_refused)
{
    const char *error = "";

    options.cluster_id = "cluster-a";
    open_store();
    close_store(true);
    options.cluster_id = "cluster-b";
    ck_assert_int_eq(store_open(&host.env, &options, &store, &error), STORE_FOREIGN);
    ck_assert_ptr_nonnull(strstr(error, "cluster-a"));
    options.cluster_id = NULL;
    open_store();
    ck_assert_str_eq(store_cluster_id(store), "cluster-a");
}
END_TEST

START_TEST(a_deleted_topic_goes_and_its_name_is_free)
{
    open_store();
    struct log *old = log_of(TOPIC, "t", 0);
    append_ok(old, 5);
    struct log *new = log_of(OTHER, "t", 0); /* made anew before the old one was deleted here */
    ck_assert_ptr_ne(old, new);
    ck_assert_int_eq(append(old, 1), LOG_CLOSED);
    append_ok(new, 1);
    ck_assert_int_eq(store_delete_logs(store, &old, 1), LOG_OK);
    store_free_log(old);
    storage_host_run(&host);
    ck_assert_int_eq(log_offsets(new).end, 3);
    ck_assert_int_eq(store_delete_logs(store, &new, 1), LOG_OK);
    ck_assert_int_eq(append(new, 1), LOG_CLOSED);
    store_free_log(new);
    storage_host_run(&host);
    storage_host_flush(&host, store);
    ck_assert(!exists("/data/t-0"));
    ck_assert_ptr_eq(log_of(OTHER, "t", 0), log_of(OTHER, "t", 0));
    restart(true);
    ck_assert_int_eq(log_offsets(log_of(OTHER, "t", 0)).end, 0);
}
END_TEST

static bool is_stray(void *context, const char *name)
{
    bool *found = context;

    *found = *found || strstr(name, "-stray") != NULL;
    return true;
}

START_TEST(a_directory_of_another_topic_is_set_aside)
{
    for (int clean = 0; clean < 2; clean++) {
        bool found = false;
        char topic[] = { 't', (char)('0' + clean), '\0' };
        open_store();
        recover();
        append_ok(log_of(TOPIC, topic, 0), 5);
        restart(clean);
        struct log *log = log_of(OTHER, topic, 0);
        recover();
        ck_assert_int_eq(log_offsets(log).end, 0);
        append_ok(log, 1);
        ck_assert_int_eq(log_offsets(log).end, 3);
        ck_assert_int_eq(file_list(files, "/data", is_stray, &found), FILE_OK);
        ck_assert(found);
        close_store(true);
    }
}
END_TEST

START_TEST(a_leftover_deletion_is_finished)
{
    open_store();
    close_store(true);
    ck_assert_int_eq(file_make_directory(files, "/data/t-0.0123456789abcdef0123456789abcdef-delete"),
                     FILE_OK);
    put("/data/t-0.0123456789abcdef0123456789abcdef-delete/x", "y");
    open_store();
    recover();
    ck_assert(!exists("/data/t-0.0123456789abcdef0123456789abcdef-delete"));
}
END_TEST

START_TEST(a_failed_flush_fences_for_good)
{
    open_store();
    struct log *first = log_of(TOPIC, "t", 0);
    struct log *second = log_of(TOPIC, "t", 1);
    append_ok(first, 1);
    append_ok(second, 1);
    ck_assert_int_eq(append(first, 2), LOG_OK);
    ck_assert_int_eq(append(second, 2), LOG_OK);
    file_double_fail_flush(disk, 1);
    uint64_t flushes = file_double_flush_count(disk);
    storage_host_flush(&host, store);
    uint64_t after = file_double_flush_count(disk);
    ck_assert_uint_gt(after, flushes);
    ck_assert_uint_eq(host.failed_count, 1);
    ck_assert_int_eq(log_offsets(first).durable, 3);
    ck_assert_int_eq(log_health(first), LOG_IO);
    ck_assert_int_eq(append(first, 3), LOG_IO);
    ck_assert_int_eq(append(second, 3), LOG_IO);
    ck_assert_int_eq(append(log_of(TOPIC, "new", 0), 3), LOG_IO);
    host.flush_wanted = true;
    storage_host_flush(&host, store);
    ck_assert_int_ne(store_close(store, true), STORE_OK);
    store = NULL;
    ck_assert_uint_eq(file_double_flush_count(disk), after);
    ck_assert(!exists("/data/.kafka_cleanshutdown"));
}
END_TEST

START_TEST(a_failed_write_fences_too)
{
    open_store();
    struct log *first = log_of(TOPIC, "t", 0);
    struct log *second = log_of(TOPIC, "t", 1);
    append_ok(first, 1);
    append_ok(second, 1);
    uint64_t flushes = file_double_flush_count(disk);
    file_double_fail_write(disk, 1, FILE_IO);
    ck_assert_int_eq(append(first, 2), LOG_IO);
    storage_host_flush(&host, store);
    ck_assert_int_eq(log_health(second), LOG_IO);
    ck_assert_uint_eq(host.failed_count, 1);
    ck_assert_uint_eq(file_double_flush_count(disk), flushes);
}
END_TEST

START_TEST(a_full_disk_fences_nothing)
{
    open_store();
    struct log *log = log_of(TOPIC, "t", 0);
    append_ok(log, 2);
    file_double_set_free_space(disk, 100);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(append(log, 2), LOG_DISK_FULL);
    ck_assert_int_eq(append(log_of(TOPIC, "u", 0), 2), LOG_DISK_FULL);
    storage_host_flush(&host, store);
    ck_assert_int_eq(log_offsets(log).end, 6);
    file_double_set_free_space(disk, UINT64_MAX);
    append_ok(log, 20);
    append_ok(log_of(TOPIC, "u", 0), 1);
    ck_assert_uint_eq(host.failed_count, 0);
    restart(false);
    log = log_of(TOPIC, "t", 0);
    recover();
    ck_assert_int_eq(log_offsets(log).end, 66);
}
END_TEST

START_TEST(descriptors_run_out_and_come_back)
{
    open_store();
    struct log *log = log_of(TOPIC, "t", 0);
    append_ok(log, 2);
    file_double_set_open_limit(disk, 1);
    ck_assert_int_eq(append(log_of(TOPIC, "u", 0), 2), LOG_LIMIT);
    storage_host_flush(&host, store);
    file_double_set_open_limit(disk, 0);
    append_ok(log_of(TOPIC, "u", 0), 1);
    ck_assert_uint_eq(host.failed_count, 0);
}
END_TEST

/* The metadata log is the only one whose first flush may come before the directory's identity is durable. */
START_TEST(a_flush_waits_for_descriptors)
{
    struct log_config config = storage_host_config(1 << 20);
    struct log *log;

    open_store();
    ck_assert_int_eq(store_metadata_log(store, &config, &log), LOG_OK);
    recover();
    ck_assert_int_eq(append(log, 1), LOG_OK);
    file_double_set_open_limit(disk, 1);
    storage_host_flush(&host, store);
    ck_assert_int_eq(log_offsets(log).durable, 0);
    ck_assert_int_eq(log_health(log), LOG_OK);
    ck_assert_int_gt(store_flush_due_ms(store), clock_mono_ms(host.env.clock));
    file_double_set_open_limit(disk, 0);
    clock_virtual_advance(&host.clock, 60 * 1000);
    ck_assert(!store_flush(store));
    ck_assert_int_eq(log_offsets(log).durable, 3);
    ck_assert_uint_eq(host.failed_count, 0);
}
END_TEST

START_TEST(idle_logs_give_their_descriptors_back)
{
    enum { COUNT = 60 };
    options.open_files_max = 40;
    open_store();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            append_ok(log_of(TOPIC, "t", i), 1);
            storage_host_run(&host);
        }
    }
    unsigned open = 0;
    for (int i = 0; i < COUNT; i++) {
        struct log *log = log_of(TOPIC, "t", i);
        ck_assert_int_eq(log_offsets(log).end, 9);
        open += log_stats(log).is_open;
    }
    ck_assert_uint_lt(open, COUNT);
    for (int i = 0; i < COUNT; i++) {
        enum log_status status;
        slice bytes = storage_host_read(&host, log_of(TOPIC, "t", i), 3, &status);
        ck_assert_int_eq(status, LOG_OK);
        ck_assert_uint_gt(bytes.size, 300);
        free((void *)(uintptr_t)bytes.data);
        storage_host_flush(&host, store); /* the flusher has idle files closed */
        storage_host_run(&host);
    }
}
END_TEST

/* Nobody asked for a flush of them; but what is not durable cannot be closed. */
START_TEST(page_cache_logs_give_their_descriptors_back)
{
    enum { COUNT = 60 };
    struct log_config config = storage_host_config(1 << 20);
    unsigned open = 0;

    config.flush_messages = INT64_MAX;
    options.open_files_max = 40;
    open_store();
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(append(store_log(store, TOPIC, "t", i, &config, NULL), 1), LOG_OK);
        if (host.flush_wanted)
            storage_host_flush(&host, store);
        storage_host_run(&host);
    }
    for (int i = 0; i < COUNT; i++)
        open += log_stats(store_log(store, TOPIC, "t", i, &config, NULL)).is_open;
    ck_assert_uint_lt(open, COUNT);
}
END_TEST

/* Two rounds follow a use, as pages may be touched after the first; then there is nothing to do. */
START_TEST(memory_of_used_logs_is_let_go_of)
{
    enum { COUNT = 100 };
    open_store();
    for (int i = 0; i < COUNT; i++)
        append_ok(log_of(TOPIC, "t", i), 1);
    storage_host_run(&host);
    for (int use = 0; use < 2; use++) {
        for (int round = 0; round < 2; round++) {
            store_release_memory(store);
            store_release_memory(store); /* while one waits */
            ck_assert_uint_eq(host.job_count, 1);
            storage_host_run(&host);
        }
        store_release_memory(store);
        ck_assert_uint_eq(host.job_count, 0);
        enum log_status status;
        slice bytes = storage_host_read(&host, log_of(TOPIC, "t", COUNT / 2), 0, &status);
        ck_assert_int_eq(status, LOG_OK);
        free((void *)(uintptr_t)bytes.data);
        storage_host_run(&host);
    }
    store_release_memory(store); /* runs after the store is closed */
    ck_assert_uint_eq(host.job_count, 1);
}
END_TEST

START_TEST(more_logs_than_descriptors_are_recovered)
{
    enum { COUNT = 100 };
    const char *error = "";

    open_store();
    for (int i = 0; i < COUNT; i++)
        append_ok(log_of(TOPIC, "t", i), 1);
    options.open_files_max = 32;
    restart(false);
    for (int i = 0; i < COUNT; i++)
        (void)log_of(TOPIC, "t", i);
    retire_sleep(host.env.retire, host.member);
    ck_assert_msg(store_recover(store, 2, &error) == STORE_OK, "%s", error);
    retire_wake(host.env.retire, host.member);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(log_offsets(log_of(TOPIC, "t", i)).end, 3);
}
END_TEST

START_TEST(page_cache_logs_are_written_back_under_pressure)
{
    struct log_config config = storage_host_config(1 << 20);

    config.flush_messages = INT64_MAX;
    options.dirty_bytes_max = 20000;
    open_store();
    struct log *log = store_log(store, TOPIC, "t", 0, &config, NULL);
    ck_assert_int_eq(append(log, 1), LOG_OK);
    storage_host_run(&host);
    host.flush_wanted = false;
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(append(log, 1), LOG_OK);
    ck_assert(!host.flush_wanted);
    ck_assert_int_eq(log_offsets(log).high_watermark, 63);
    ck_assert(!store_is_saturated(store));
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(append(log, 1), LOG_OK);
    ck_assert(host.flush_wanted);
    ck_assert(store_is_saturated(store));
    storage_host_flush(&host, store);
    ck_assert(!store_is_saturated(store));
    ck_assert_int_eq(log_offsets(log).durable, 183);
}
END_TEST

START_TEST(flush_ms_is_due_in_time)
{
    struct log_config config = storage_host_config(1 << 20);

    config.flush_messages = INT64_MAX;
    config.flush_ms = 1000;
    open_store();
    struct log *log = store_log(store, TOPIC, "t", 0, &config, NULL);
    ck_assert_int_eq(append(log, 1), LOG_OK);
    storage_host_flush(&host, store);
    int64_t now = clock_mono_ms(host.env.clock);
    int64_t due = store_flush_due_ms(store);
    ck_assert(due > now && due <= now + 1000);
    ck_assert_int_eq(log_offsets(log).durable, 0);
    clock_virtual_advance(&host.clock, 1000);
    store_flush(store);
    ck_assert_int_eq(log_offsets(log).durable, 3);
    ck_assert_int_eq(store_flush_due_ms(store), INT64_MAX);
}
END_TEST

START_TEST(several_directories_share_the_partitions)
{
    static const char *three[] = { "/a", "/b/", "/c/deep" };
    options.directories = three;
    options.directory_count = 3;
    open_store();
    for (int i = 0; i < 9; i++)
        append_ok(log_of(TOPIC, "t", i), 1);
    for (int i = 0; i < 3; i++) {
        char path[32];
        snprintf(path, sizeof path, "%s/t-%d", store_directory(store, (size_t)i), i);
        ck_assert_msg(exists(path), "%s", path);
        ck_assert(!uuid_is_zero(store_directory_id(store, (size_t)i)));
    }
    restart(false);
    for (int i = 0; i < 9; i++)
        (void)log_of(TOPIC, "t", i);
    const char *error;
    ck_assert_int_eq(store_recover(store, 4, &error), STORE_OK);
    for (int i = 0; i < 9; i++)
        ck_assert_int_eq(log_offsets(log_of(TOPIC, "t", i)).end, 3);
    close_store(true);
    ck_assert_int_eq(file_make_directory(files, "/a/t-1"), FILE_OK);
    ck_assert_int_eq(store_open(&host.env, &options, &store, &error), STORE_FOREIGN);
    ck_assert_ptr_nonnull(strstr(error, "t-1 is in"));
}
END_TEST

/* The controller places all partitions of a call before the store makes the first. */
START_TEST(partitions_are_made_where_they_were_placed)
{
    static const char *three[] = { "/a", "/b", "/c" };
    struct log_config config = storage_host_config(4096);
    uuid places[6];
    options.directories = three;
    options.directory_count = 3;
    open_store();
    for (int i = 0; i < 6; i++)
        places[i] = store_place(store);
    for (int i = 5; i >= 0; i--) {
        char path[32];
        append_ok(store_log_in(store, places[i], TOPIC, "t", i, &config, NULL), 1);
        snprintf(path, sizeof path, "%s/t-%d", three[i % 3], i);
        ck_assert_msg(exists(path), "%s", path);
    }
    append_ok(log_of(TOPIC, "t", 6), 1);
    ck_assert(exists("/a/t-6"));
    close_store(true);
}
END_TEST

/* What was there and is not, as our own files tell after a clean stop and after a kill. */
START_TEST(what_is_gone_is_told)
{
    int64_t end;
    for (int clean = 0; clean < 2; clean++) {
        char topic[] = { 't', (char)('0' + clean), '\0' }, path[] = "/data/t0-0", aside[] = "/data/a0-0";
        path[7] = aside[7] = topic[1];
        open_store();
        recover();
        append_ok(log_of(TOPIC, topic, 0), 5);
        append_ok(log_of(TOPIC, topic, 1), 1);
        close_store(clean);
        ck_assert_int_eq(file_rename(files, path, aside), FILE_OK);
        open_store();
        ck_assert_ptr_nonnull(store_lost(store, TOPIC, topic, 0, &end));
        ck_assert_int_eq(end, 15);
        ck_assert_ptr_null(store_lost(store, OTHER, topic, 0, &end)); /* another topic of that name */
        ck_assert_ptr_null(store_lost(store, TOPIC, topic, 1, &end));
        ck_assert_ptr_null(store_lost(store, TOPIC, topic, 2, &end)); /* never written */
        close_store(false);
        ck_assert_int_eq(file_rename(files, aside, path), FILE_OK);
        open_store();
        ck_assert_ptr_null(store_lost(store, TOPIC, topic, 0, &end));
        (void)log_of(TOPIC, topic, 0);
        (void)log_of(TOPIC, topic, 1);
        recover();
        close_store(true);
    }
}
END_TEST

/* Its changes leave the marker of the last clean stop where it is, so that marker alone proves nothing. */
START_TEST(a_metadata_log_that_grew_behind_a_clean_stop_is_recovered)
{
    static const int32_t segment_sizes[] = { 1 << 20, 700 }; /* grown; rolled */
    struct log_config config = storage_host_config(segment_sizes[_i]);
    struct log *log;

    for (int i = 0; i < 3; i++) {
        open_store();
        ck_assert_int_eq(store_metadata_log(store, &config, &log), LOG_OK);
        for (int k = 0; k < 2; k++)
            ck_assert_int_eq(append(log, (uint64_t)i), LOG_OK);
        ck_assert_int_eq(log_flush(log), LOG_OK);
        recover();
        close_store(i == 0);
    }
    ck_assert(exists("/data/.kafka_cleanshutdown"));
    open_store();
    uint64_t flushes = file_double_flush_count(disk);
    ck_assert_int_eq(store_metadata_log(store, &config, &log), LOG_OK);
    ck_assert_int_eq(log_offsets(log).end, 3 * 6);
    ck_assert_uint_gt(file_double_flush_count(disk), flushes);
}
END_TEST

START_TEST(the_metadata_log_is_always_opened)
{
    struct log_config config = storage_host_config(4096);
    struct log *log;

    for (int i = 0; i < 4; i++) {
        open_store();
        uint64_t flushes = file_double_flush_count(disk), changes = file_double_operation_count(disk);
        ck_assert_int_eq(store_metadata_log(store, &config, &log), LOG_OK);
        if (i == 0 || i == 2) { /* new; cleanly stopped */
            ck_assert_uint_eq(file_double_flush_count(disk), flushes);
            ck_assert_uint_eq(file_double_operation_count(disk), changes);
        }
        ck_assert_int_eq(log_offsets(log).end, i * 3);
        ck_assert_int_eq(append(log, (uint64_t)i), LOG_OK);
        ck_assert_int_eq(log_flush(log), LOG_OK);
        ck_assert_int_eq(log_offsets(log).durable, i * 3 + 3);
        recover();
        close_store(i % 2);
    }
    char *text = text_of("/data/recovery-point-offset-checkpoint");
    ck_assert_str_eq(text, "0\n0\n");
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tcase = tcase_create("all");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_new_directory_is_made_without_a_flush);
    tcase_add_test(tcase, identity_is_durable_with_the_first_append);
    tcase_add_test(tcase, a_clean_stop_leaves_what_kafka_expects);
    tcase_add_test(tcase, a_clean_start_opens_lazily_and_changes_nothing);
    tcase_add_test(tcase, the_marker_is_gone_from_the_device_before_the_first_change);
    tcase_add_test(tcase, an_unclean_stop_recovers);
    tcase_add_test(tcase, a_foreign_clean_marker_makes_side_files_worthless);
    tcase_add_test(tcase, a_second_process_is_kept_out);
    tcase_add_loop_test(tcase, foreign_directories_are_refused, 0, sizeof refusals / sizeof *refusals);
    tcase_add_test(tcase, a_directory_that_is_no_partition_is_refused);
    tcase_add_test(tcase, another_cluster_is_refused);
    tcase_add_test(tcase, a_deleted_topic_goes_and_its_name_is_free);
    tcase_add_test(tcase, a_directory_of_another_topic_is_set_aside);
    tcase_add_test(tcase, a_leftover_deletion_is_finished);
    tcase_add_test(tcase, a_failed_flush_fences_for_good);
    tcase_add_test(tcase, a_failed_write_fences_too);
    tcase_add_test(tcase, a_full_disk_fences_nothing);
    tcase_add_test(tcase, descriptors_run_out_and_come_back);
    tcase_add_test(tcase, idle_logs_give_their_descriptors_back);
    tcase_add_test(tcase, page_cache_logs_give_their_descriptors_back);
    tcase_add_test(tcase, memory_of_used_logs_is_let_go_of);
    tcase_add_test(tcase, more_logs_than_descriptors_are_recovered);
    tcase_add_test(tcase, page_cache_logs_are_written_back_under_pressure);
    tcase_add_test(tcase, flush_ms_is_due_in_time);
    tcase_add_test(tcase, several_directories_share_the_partitions);
    tcase_add_test(tcase, partitions_are_made_where_they_were_placed);
    tcase_add_test(tcase, what_is_gone_is_told);
    tcase_add_test(tcase, the_metadata_log_is_always_opened);
    tcase_add_test(tcase, a_flush_waits_for_descriptors);
    tcase_add_loop_test(tcase, a_metadata_log_that_grew_behind_a_clean_stop_is_recovered, 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
