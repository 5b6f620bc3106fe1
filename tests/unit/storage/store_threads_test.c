/* The store under threads: appends, group commits, reads, deletions, the scrubber and the closing of idle
 * files at once, on real files; for ThreadSanitizer as much as for its own assertions. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "storage/file.h"
#include "storage/scrubber.h"
#include "tests/support/storage_host.h"

enum {
    LOG_COUNT = 12,
    WRITERS = 3,
    READERS = 2,
    WORKERS = 2,
    APPENDS = 300,
    TOPICS = 25,
    SEGMENT_BYTES = 8000
};

/* A host with real threads. */
struct busy_host {
    struct storage_env env; /* first */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct storage_job *jobs[4096]; /* a ring */
    unsigned job_head;
    unsigned job_tail;
    bool flush_wanted;
    bool stopping;
    _Atomic unsigned progress_count;
};

static struct busy_host host;
static struct store *store;
static char root[64];
static struct log *logs[LOG_COUNT];
static _Atomic unsigned writers_left;
static _Atomic int64_t next_producer_id;
static unsigned scrub_passes;

static struct busy_host *host_of(struct storage_env *env)
{
    return (struct busy_host *)env;
}

static void submit(struct storage_env *env, struct storage_job *job)
{
    struct busy_host *busy = host_of(env);

    pthread_mutex_lock(&busy->lock);
    check(busy->job_tail - busy->job_head < 4096);
    busy->jobs[busy->job_tail++ % 4096] = job;
    pthread_cond_broadcast(&busy->changed);
    pthread_mutex_unlock(&busy->lock);
}

static void flush_wanted(struct storage_env *env)
{
    struct busy_host *busy = host_of(env);

    pthread_mutex_lock(&busy->lock);
    busy->flush_wanted = true;
    pthread_cond_broadcast(&busy->changed);
    pthread_mutex_unlock(&busy->lock);
}

static void progress(struct storage_env *env, void *owner)
{
    (void)owner;
    atomic_fetch_add(&host_of(env)->progress_count, 1);
}

static void directory_failed(struct storage_env *env, const char *directory)
{
    (void)env;
    (void)directory;
    abort();
}

static void *worker_main(void *argument)
{
    unsigned member = retire_join(host.env.retire);

    (void)argument;
    pthread_mutex_lock(&host.lock);
    for (;;) {
        if (host.job_head != host.job_tail) {
            struct storage_job *job = host.jobs[host.job_head++ % 4096];
            pthread_mutex_unlock(&host.lock);
            job->run(job);
            retire_quiescent(host.env.retire, member);
            pthread_mutex_lock(&host.lock);
        } else if (host.stopping) {
            break;
        } else {
            pthread_mutex_unlock(&host.lock); /* what is freed may submit a job */
            retire_sleep(host.env.retire, member);
            pthread_mutex_lock(&host.lock);
            while (host.job_head == host.job_tail && !host.stopping)
                pthread_cond_wait(&host.changed, &host.lock);
            retire_wake(host.env.retire, member);
        }
    }
    pthread_mutex_unlock(&host.lock);
    retire_leave(host.env.retire, member);
    return NULL;
}

static void *flusher_main(void *argument)
{
    unsigned member = retire_join(host.env.retire);

    (void)argument;
    pthread_mutex_lock(&host.lock);
    while (!host.stopping || host.flush_wanted) {
        if (host.flush_wanted) {
            host.flush_wanted = false;
            pthread_mutex_unlock(&host.lock);
            while (store_flush(store))
                continue;
            retire_quiescent(host.env.retire, member);
            pthread_mutex_lock(&host.lock);
        } else {
            pthread_mutex_unlock(&host.lock); /* what is freed may submit a job */
            retire_sleep(host.env.retire, member);
            pthread_mutex_lock(&host.lock);
            while (!host.flush_wanted && !host.stopping)
                pthread_cond_wait(&host.changed, &host.lock);
            retire_wake(host.env.retire, member);
        }
    }
    pthread_mutex_unlock(&host.lock);
    retire_leave(host.env.retire, member);
    return NULL;
}

/* Appends until the log takes it; preparing here stands for the broker's worker. */
static struct log_append_result append(struct log *log, const struct batch_view *batch, unsigned member)
{
    struct log_append_result result;

    for (;;) {
        struct batch_view copy = *batch;
        enum log_status status = log_append(log, &copy, 1, 0, 1700000000000, &result);
        if (status == LOG_OK)
            status = result.status;
        if (status == LOG_OK)
            return result;
        if (status == LOG_BUSY)
            status = log_prepare(log);
        check(status == LOG_OK || status == LOG_BUSY || status == LOG_LIMIT);
        retire_quiescent(host.env.retire, member); /* what was closed for us is freed now */
    }
}

/* An idempotent producer; some batches it sends again, while logs are closed and opened beneath it. */
static void *writer_main(void *argument)
{
    unsigned member = retire_join(host.env.retire);
    struct random random;
    struct arena arena;
    unsigned number = *(unsigned *)argument;
    int32_t sequences[LOG_COUNT] = { 0 };
    int64_t producer_id = atomic_fetch_add(&next_producer_id, 1);

    random_seed(&random, number);
    arena_init(&arena, NULL);
    for (int i = 0; i < APPENDS; i++) {
        struct batch_view batch = storage_host_batch(&arena, random_u64(&random), 2, 200);
        unsigned log = (number + (unsigned)i * WRITERS) % LOG_COUNT;
        storage_host_give_producer(&batch, producer_id, 0, sequences[log]);
        sequences[log] += 2;
        struct log_append_result result = append(logs[log], &batch, member);
        check(!result.is_duplicate);
        if (random_below(&random, 3) == 0) {
            retire_quiescent(host.env.retire, member);
            struct log_append_result again = append(logs[log], &batch, member);
            check(again.is_duplicate && again.base_offset == result.base_offset);
        }
        arena_reset(&arena);
        retire_quiescent(host.env.retire, member);
    }
    arena_destroy(&arena);
    atomic_fetch_sub(&writers_left, 1);
    retire_leave(host.env.retire, member);
    return NULL;
}

static void read_one(struct log *log, struct random *random, struct arena *arena)
{
    struct log_offsets offsets = log_offsets(log);
    struct log_range range;
    struct batch_view batch;

    check(offsets.start <= offsets.stable && offsets.stable <= offsets.high_watermark &&
          offsets.high_watermark <= offsets.end && offsets.durable <= offsets.end);
    if (offsets.high_watermark == 0)
        return;
    int64_t offset = (int64_t)random_below(random, (uint64_t)offsets.high_watermark);
    enum log_status status = log_read(log, offset, offsets.high_watermark, 4096, true, false, arena, &range);
    if (status == LOG_COLD || status == LOG_BUSY) {
        (void)log_warm(log, offset, offsets.high_watermark, 4096);
        return;
    }
    if (status == LOG_LIMIT)
        return;
    if (status == LOG_OUT_OF_RANGE) {
        check(offset < log_offsets(log).start);
        return;
    }
    check(status == LOG_OK && range.bytes.size > 0);
    check(batch_view(range.bytes, &batch) == BATCH_OK);
    check(batch.base_offset <= offset && offset <= batch_last_offset(&batch));
    check(batch_crc_ok(&batch));
}

static void *reader_main(void *argument)
{
    unsigned member = retire_join(host.env.retire);
    struct random random;
    struct arena arena;

    random_seed(&random, 100 + *(unsigned *)argument);
    arena_init(&arena, NULL);
    while (atomic_load(&writers_left)) {
        read_one(logs[random_below(&random, LOG_COUNT)], &random, &arena);
        arena_reset(&arena);
        retire_quiescent(host.env.retire, member);
    }
    arena_destroy(&arena);
    retire_leave(host.env.retire, member);
    return NULL;
}

static struct log_config config_of_logs(void)
{
    struct log_config config = storage_host_config(SEGMENT_BYTES);
    config.cleanup = LOG_CLEANUP_DELETE;
    config.retention_ms = -1;
    config.retention_bytes = 3 * SEGMENT_BYTES;
    config.file_delete_delay_ms = 1;
    return config;
}

static void delete_some(struct log *log, struct random *random, unsigned member)
{
    struct log_offsets offsets = log_offsets(log);
    int64_t start, until = offsets.start + (offsets.high_watermark - offsets.start) / 4;
    while (log_delete_records(log, until, &start) == LOG_BUSY && random_below(random, 3) > 0) {
        (void)log_prepare(log);
        retire_quiescent(host.env.retire, member);
    }
}

static bool half_of_the_time(void *context)
{
    return random_below(context, 2) == 0;
}

/* Records are deleted, segments go, starts are saved. */
static void *retainer_main(void *argument)
{
    unsigned member = retire_join(host.env.retire);
    struct random random;

    (void)argument;
    random_seed(&random, 300);
    while (atomic_load(&writers_left)) {
        delete_some(logs[random_below(&random, LOG_COUNT)], &random, member);
        if (random_below(&random, 2))
            check(store_save_starts(store) == STORE_OK);
        if (random_below(&random, 4) == 0)
            (void)store_retain(store, 0, half_of_the_time, &random);
        retire_quiescent(host.env.retire, member);
    }
    retire_leave(host.env.retire, member);
    return NULL;
}

/* Pass after pass, as if a week went by between two; nothing is damaged. */
static void *scrubber_main(void *argument)
{
    unsigned member = retire_join(host.env.retire);
    int64_t now_ms = 1700000000000;
    struct random random;

    (void)argument;
    random_seed(&random, 400);
    while (atomic_load(&writers_left)) {
        if (store_scrub(store, now_ms, half_of_the_time, &random) >= SCRUB_IDLE_MS) {
            now_ms += SCRUB_PASS_MS;
            scrub_passes++;
        }
        retire_quiescent(host.env.retire, member);
    }
    retire_leave(host.env.retire, member);
    return NULL;
}

/* Topics that come and go; every second one is made anew before the old one is deleted. */
static void *topics_main(void *argument)
{
    unsigned member = retire_join(host.env.retire);
    struct log_config config = config_of_logs();
    struct arena arena;

    (void)argument;
    arena_init(&arena, NULL);
    for (unsigned i = 0; i < TOPICS; i++) {
        int64_t start;
        uuid id = { { 200, (uint8_t)i } };
        uuid next_id = { { 201, (uint8_t)i } };
        struct log *log = store_log(store, id, "fleeting", 0, &config, NULL);
        struct batch_view batch = storage_host_batch(&arena, i, 1, 10);
        append(log, &batch, member);
        (void)log_delete_records(log, log_offsets(log).high_watermark, &start);
        struct log *next = i % 2 ? store_log(store, next_id, "fleeting", 0, &config, NULL) : NULL;
        check(store_delete_logs(store, &log, 1) == LOG_OK);
        retire(host.env.retire, log, store_free_log);
        if (next) {
            append(next, &batch, member);
            check(store_delete_logs(store, &next, 1) == LOG_OK);
            retire(host.env.retire, next, store_free_log);
        }
        arena_reset(&arena);
        retire_quiescent(host.env.retire, member);
    }
    arena_destroy(&arena);
    retire_leave(host.env.retire, member);
    return NULL;
}

static void open_store(unsigned open_files_max)
{
    const char *directories[] = { root };
    const char *error = "";
    struct log_config config = config_of_logs();
    struct store_options options = {
        .directories = directories, .directory_count = 1, .node_id = 1, .open_files_max = open_files_max
    };

    ck_assert_msg(store_open(&host.env, &options, &store, &error) == STORE_OK, "%s", error);
    for (int i = 0; i < LOG_COUNT; i++)
        logs[i] = store_log(store, (uuid){ { 1 } }, "steady", i, &config, NULL);
    ck_assert_msg(store_recover(store, 3, &error) == STORE_OK, "%s", error);
}

static void expect_ends(void)
{
    int64_t sum = 0;

    for (int i = 0; i < LOG_COUNT; i++)
        sum += log_offsets(logs[i]).end;
    ck_assert_int_eq(sum, (int64_t)WRITERS * APPENDS * 2);
}

static void start_host(void)
{
    strcpy(root, "/tmp/store_threads_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    file_guard_install();
    host = (struct busy_host){ .env = { .files = file_posix_create(4),
                                        .clock = clock_real(),
                                        .retire = retire_create(),
                                        .submit = submit,
                                        .flush_wanted = flush_wanted,
                                        .progress = progress,
                                        .directory_failed = directory_failed } };
    pthread_mutex_init(&host.lock, NULL);
    pthread_cond_init(&host.changed, NULL);
}

static void stop_host(void)
{
    char command[128];

    retire_destroy(host.env.retire);
    file_posix_destroy(host.env.files);
    snprintf(command, sizeof command, "rm -r '%s'", root);
    ck_assert_int_eq(system(command), 0);
}

static void run_threads(void)
{
    pthread_t helpers[WORKERS + 1];
    pthread_t users[WRITERS + READERS + 3];
    unsigned numbers[WRITERS + READERS];
    unsigned count = 0;

    host.stopping = false;
    atomic_store(&writers_left, WRITERS);
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_create(&helpers[i], NULL, worker_main, NULL), 0);
    ck_assert_int_eq(pthread_create(&helpers[WORKERS], NULL, flusher_main, NULL), 0);
    for (; count < WRITERS + READERS; count++) {
        numbers[count] = count;
        ck_assert_int_eq(
            pthread_create(&users[count], NULL, count < WRITERS ? writer_main : reader_main, &numbers[count]),
            0);
    }
    ck_assert_int_eq(pthread_create(&users[count++], NULL, topics_main, NULL), 0);
    ck_assert_int_eq(pthread_create(&users[count++], NULL, retainer_main, NULL), 0);
    ck_assert_int_eq(pthread_create(&users[count++], NULL, scrubber_main, NULL), 0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(users[i], NULL);
    pthread_mutex_lock(&host.lock);
    host.stopping = true;
    pthread_cond_broadcast(&host.changed);
    pthread_mutex_unlock(&host.lock);
    for (int i = 0; i <= WORKERS; i++)
        pthread_join(helpers[i], NULL);
    /* The flusher may have ended last, and asked for a job when no worker was left. */
    while (host.job_head != host.job_tail) {
        struct storage_job *job = host.jobs[host.job_head++ % 4096];
        job->run(job);
    }
}

START_TEST(all_at_once)
{
    for (int clean = 0; clean < 2; clean++) {
        start_host();
        open_store(50);
        run_threads();
        expect_ends();
        for (int i = 0; i < LOG_COUNT; i++) {
            ck_assert_int_eq(log_offsets(logs[i]).durable, log_offsets(logs[i]).end);
            ck_assert_uint_eq(log_stats(logs[i]).quarantined_count, 0);
        }
        ck_assert_uint_gt(scrub_passes, 0);
        ck_assert_uint_gt(atomic_load(&host.progress_count), 0);
        ck_assert_int_eq(store_close(store, clean), STORE_OK);
        open_store(0);
        ck_assert_int_eq(store_was_clean(store), clean);
        expect_ends();
        ck_assert_int_eq(store_close(store, true), STORE_OK);
        stop_host();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_threads");
    TCase *tcase = tcase_create("all");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, all_at_once);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
