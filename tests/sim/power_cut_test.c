/* The power fails after every single operation of a scripted run: what was durable is there, byte for byte.
 *
 * RUNNEL_SEEDS: how many reordered cuts are tried at each operation (default 2). RUNNEL_SEED: the first of
 * them; a failure prints the operation and the seed that repeat it. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/file_double.h"
#include "tests/support/storage_host.h"

enum { LOG_COUNT = 5, GONE = 3, METADATA = 4, BATCHES_MAX = 400, PROMISES_MAX = 4000, SEGMENT_BYTES = 1500 };

/* Durable, page-cache, one that is deleted on the way, and the metadata log. */
static const struct {
    const char *topic;
    int32_t partition;
    uuid id;
    int64_t flush_messages;
} logs_of_script[LOG_COUNT] = {
    { "orders", 0, { { 1 } }, 1 },
    { "orders", 1, { { 1 } }, 1 },
    { "clicks", 0, { { 2 } }, INT64_MAX },
    { "gone", 0, { { 3 } }, 1 },
    { "__cluster_metadata", 0, { { [15] = 1 } }, 1 },
};

struct kept_batch {
    int64_t base_offset;
    int64_t end_offset;
    slice bytes;
};

/* At a cut after this operation or a later one, the log holds all below this offset. */
struct promise {
    uint64_t operation;
    unsigned log;
    int64_t durable;
};

struct script {
    struct file_double *disk;
    struct storage_host host;
    struct store *store;
    struct arena arena;
    struct log *logs[LOG_COUNT];
    struct kept_batch batches[LOG_COUNT][BATCHES_MAX];
    size_t batch_counts[LOG_COUNT];
    struct promise promises[PROMISES_MAX];
    size_t promise_count;
    uint64_t gone_operation; /* the first at which the deletion may show */
    uint64_t seed;
};

static const char *const directories[] = { "/data" };

static struct store_options options_of_script(void)
{
    return (struct store_options){ .directories = directories,
                                   .directory_count = 1,
                                   .node_id = 1,
                                   .cluster_id = "power-cut-cluster-idA",
                                   .dirty_bytes_max = 64 << 20 };
}

static struct log *log_of(struct store *store, unsigned index)
{
    struct log_config config = storage_host_config(SEGMENT_BYTES);

    config.flush_messages = logs_of_script[index].flush_messages;
    struct log *log = NULL;
    if (index == METADATA) {
        check(store_metadata_log(store, &config, &log) == LOG_OK);
        return log;
    }
    log = store_log(store, logs_of_script[index].id, logs_of_script[index].topic,
                    logs_of_script[index].partition, &config, NULL);
    check_memory(log);
    return log;
}

/* --- the script -------------------------------------------------------------------------------- */

static void promise_durable(struct script *script)
{
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        if (!script->logs[i])
            continue;
        check(script->promise_count < PROMISES_MAX);
        script->promises[script->promise_count++] =
            (struct promise){ .operation = file_double_operation_count(script->disk),
                              .log = i,
                              .durable = log_offsets(script->logs[i]).durable };
    }
}

static void flush(struct script *script)
{
    storage_host_flush(&script->host, script->store);
    promise_durable(script);
    storage_host_run(&script->host);
}

static void append(struct script *script, unsigned index, int count)
{
    uint64_t seed = ++script->seed;
    struct batch_view batch = storage_host_batch(&script->arena, seed, count, 40 + seed % 300);
    struct log_append_result result;

    check(storage_host_append(&script->host, script->logs[index], &batch, &result) == LOG_OK);
    struct kept_batch *kept = &script->batches[index][script->batch_counts[index]++];
    check(script->batch_counts[index] <= BATCHES_MAX);
    *kept = (struct kept_batch){ .base_offset = result.base_offset,
                                 .end_offset = result.last_offset + 1,
                                 .bytes = slice_of(batch.data, batch.size) };
    /* What log_append() wrote into the copy of the view is in the bytes. */
}

static void open_session(struct script *script, bool with_gone)
{
    struct store_options options = options_of_script();
    const char *error = "";

    if (store_open(&script->host.env, &options, &script->store, &error) != STORE_OK) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
    for (unsigned i = 0; i < LOG_COUNT; i++)
        script->logs[i] = i == GONE && !with_gone ? NULL : log_of(script->store, i);
    check(store_recover(script->store, 1, &error) == STORE_OK);
    storage_host_run(&script->host);
    promise_durable(script);
}

static void close_session(struct script *script, bool clean)
{
    storage_host_run(&script->host);
    check(store_close(script->store, clean) == STORE_OK);
    script->host.flush_wanted = false;
    storage_host_run(&script->host);
    memset(script->logs, 0, sizeof script->logs);
}

static void mixed_appends(struct script *script, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned log = 0; log < LOG_COUNT; log++) {
            if (script->logs[log])
                append(script, log, 1 + (int)((i + log) % 4));
            if (log == METADATA && i % 2) { /* its writer flushes for itself */
                check(log_flush(script->logs[log]) == LOG_OK);
                promise_durable(script);
            }
            if ((i + log) % 3 == 0)
                flush(script);
        }
        storage_host_run(&script->host);
    }
}

/* Opens, writes with rolls, flushes in groups, stops cleanly, goes on, deletes a log, is killed, recovers,
 * and stops cleanly again. */
static struct script *run_script(bool flushes_lie)
{
    struct script *script = check_memory(calloc(1, sizeof *script));

    script->disk = file_double_create();
    file_double_ignore_flushes(script->disk, flushes_lie);
    storage_host_init(&script->host, file_double_system(script->disk));
    arena_init(&script->arena, NULL);
    script->gone_operation = UINT64_MAX;
    open_session(script, true);
    mixed_appends(script, 12);
    close_session(script, true);
    open_session(script, true);
    mixed_appends(script, 6);
    flush(script);
    script->gone_operation = file_double_operation_count(script->disk) + 1;
    check(store_delete_logs(script->store, &script->logs[GONE], 1) == LOG_OK);
    store_free_log(script->logs[GONE]);
    script->logs[GONE] = NULL;
    mixed_appends(script, 3);
    close_session(script, false);
    open_session(script, false);
    mixed_appends(script, 4);
    flush(script);
    close_session(script, true);
    open_session(script, false);
    append(script, 0, 1);
    append(script, 2, 1);
    flush(script);
    close_session(script, false);
    return script;
}

static void free_script(struct script *script)
{
    storage_host_destroy(&script->host);
    arena_destroy(&script->arena);
    file_double_destroy(script->disk);
    free(script);
}

/* --- after a cut ------------------------------------------------------------------------------- */

struct verdict {
    unsigned lost_batches;
    unsigned wrong_batches; /* present, but not what was appended */
    unsigned broken_laws;
    unsigned failed_opens;
};

static int64_t promised(const struct script *script, unsigned log, uint64_t operation)
{
    int64_t durable = 0;

    for (size_t i = 0; i < script->promise_count; i++) {
        if (script->promises[i].log == log && script->promises[i].operation <= operation)
            durable = script->promises[i].durable;
    }
    return durable;
}

static void judge_log(const struct script *script, struct storage_host *host, struct log *log, unsigned index,
                      int64_t durable, struct verdict *verdict)
{
    struct log_offsets offsets = log_offsets(log);

    if (!(offsets.start <= offsets.stable && offsets.stable <= offsets.high_watermark &&
          offsets.high_watermark <= offsets.end && offsets.durable == offsets.end))
        verdict->broken_laws++;
    for (size_t i = 0; i < script->batch_counts[index]; i++) {
        const struct kept_batch *kept = &script->batches[index][i];
        enum log_status status = LOG_OUT_OF_RANGE;
        slice bytes = SLICE_NULL;
        if (kept->base_offset < offsets.end)
            bytes = storage_host_read(host, log, kept->base_offset, &status);
        bool is_there = bytes.size >= kept->bytes.size;
        if (is_there && memcmp(bytes.data, kept->bytes.data, kept->bytes.size) != 0)
            verdict->wrong_batches++;
        if (!is_there && kept->end_offset <= durable)
            verdict->lost_batches++;
        free((void *)(uintptr_t)bytes.data);
    }
}

/* Starts a store on what the cut left, judges it, and writes on. */
static void judge_disk(const struct script *script, struct file_double *disk, uint64_t operation,
                       struct verdict *verdict)
{
    struct storage_host host;
    struct store *store;
    struct store_options options = options_of_script();
    const char *error = "";
    struct log *logs[LOG_COUNT] = { NULL };
    struct arena arena;

    storage_host_init(&host, file_double_system(disk));
    arena_init(&arena, NULL);
    if (store_open(&host.env, &options, &store, &error) != STORE_OK) {
        fprintf(stderr, "store_open: %s\n", error);
        verdict->failed_opens++;
        goto release;
    }
    for (unsigned i = 0; i < LOG_COUNT; i++)
        logs[i] = i == GONE && operation >= script->gone_operation ? NULL : log_of(store, i);
    if (store_recover(store, 1, &error) != STORE_OK) {
        fprintf(stderr, "store_recover: %s\n", error);
        verdict->failed_opens++;
        goto close;
    }
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        if (logs[i])
            judge_log(script, &host, logs[i], i, promised(script, i, operation), verdict);
    }
    for (unsigned i = 0; i < LOG_COUNT; i++) {
        if (!logs[i])
            continue;
        struct batch_view batch = storage_host_batch(&arena, 1, 1, 10);
        struct log_append_result result;
        int64_t end = log_offsets(logs[i]).end;
        if (storage_host_append(&host, logs[i], &batch, &result) != LOG_OK || result.base_offset != end)
            verdict->failed_opens++;
    }
    storage_host_flush(&host, store);
close:
    storage_host_run(&host);
    store_close(store, operation % 2 == 0);
release:
    storage_host_destroy(&host);
    arena_destroy(&arena);
}

static unsigned setting(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static struct verdict judge_cut(const struct script *script, uint64_t operation, enum file_double_cut cut,
                                uint64_t seed)
{
    struct random random;
    struct verdict verdict = { 0 };

    random_seed(&random, seed);
    struct file_double *disk = file_double_after_cut(script->disk, operation, cut, &random);
    judge_disk(script, disk, operation, &verdict);
    /* And once more: the power fails while that start recovers. */
    uint64_t count = file_double_operation_count(disk);
    if (cut == FILE_DOUBLE_REORDER && count) {
        struct verdict second = { 0 };
        struct file_double *again =
            file_double_after_cut(disk, random_below(&random, count + 1), FILE_DOUBLE_REORDER, &random);
        /* Its last appends stand where the script never wrote: only what was promised counts. */
        judge_disk(script, again, operation, &second);
        verdict.lost_batches += second.lost_batches;
        verdict.failed_opens += second.failed_opens;
        verdict.broken_laws += second.broken_laws;
        file_double_destroy(again);
    }
    file_double_destroy(disk);
    return verdict;
}

static void expect_kept(const struct script *script, uint64_t operation, enum file_double_cut cut,
                        uint64_t seed)
{
    struct verdict verdict = judge_cut(script, operation, cut, seed);

    ck_assert_msg(verdict.lost_batches + verdict.wrong_batches + verdict.broken_laws + verdict.failed_opens ==
                      0,
                  "operation %llu cut %d seed %llu: lost %u wrong %u laws %u opens %u",
                  (unsigned long long)operation, (int)cut, (unsigned long long)seed, verdict.lost_batches,
                  verdict.wrong_batches, verdict.broken_laws, verdict.failed_opens);
}

static void silence(void)
{
    note_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
}

START_TEST(nothing_durable_is_lost_in_order)
{
    silence();
    struct script *script = run_script(false);
    uint64_t count = file_double_operation_count(script->disk);

    ck_assert_uint_gt(count, 500);
    for (uint64_t operation = 0; operation <= count; operation++) {
        expect_kept(script, operation, FILE_DOUBLE_LOSE_ALL, 0);
        expect_kept(script, operation, FILE_DOUBLE_KEEP_ALL, 0);
    }
    free_script(script);
}
END_TEST

START_TEST(nothing_durable_is_lost_reordered)
{
    silence();
    struct script *script = run_script(false);
    uint64_t count = file_double_operation_count(script->disk);
    unsigned seeds = setting("RUNNEL_SEEDS", 2);
    unsigned first = setting("RUNNEL_SEED", 1);

    for (uint64_t operation = 0; operation <= count; operation++) {
        for (unsigned i = 0; i < seeds; i++)
            expect_kept(script, operation, FILE_DOUBLE_REORDER, first + i);
    }
    free_script(script);
}
END_TEST

START_TEST(the_control_loses)
{
    silence();
    struct script *script = run_script(true);
    uint64_t count = file_double_operation_count(script->disk);
    unsigned lost = 0;

    for (uint64_t operation = 0; operation <= count; operation += 7) {
        struct verdict verdict = judge_cut(script, operation, FILE_DOUBLE_LOSE_ALL, 0);
        lost += verdict.lost_batches;
    }
    ck_assert_uint_gt(lost, 100);
    free_script(script);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("power_cut");
    TCase *tcase = tcase_create("all");

    tcase_set_timeout(tcase, 280);
    tcase_add_test(tcase, nothing_durable_is_lost_in_order);
    tcase_add_test(tcase, nothing_durable_is_lost_reordered);
    tcase_add_test(tcase, the_control_loses);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
