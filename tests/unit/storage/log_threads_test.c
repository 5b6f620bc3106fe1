/* One log, many threads: an appender, a flusher, a worker, readers, an LRU; for ThreadSanitizer too. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "tests/support/log_rig.h"
#include "tests/support/temp_dir.h"

enum { BATCHES = 3000, READERS = 2 };

struct stage {
    struct log_rig *rig;
    _Atomic bool done;
    _Atomic int64_t read_count;
    _Atomic unsigned closed_count;
};

static void *append(void *context)
{
    struct stage *stage = context;
    struct log_rig *rig = stage->rig;
    unsigned member = retire_join(rig->retire);
    for (int i = 0; i < BATCHES; i++) {
        struct rig_batch spec = { .count = 1 + i % 3, .value_size = (size_t)(i % 200), .timestamp = i };
        check(rig_append(rig, &spec, NULL) == LOG_OK);
        retire_quiescent(rig->retire, member);
    }
    atomic_store(&stage->done, true);
    retire_leave(rig->retire, member);
    return NULL;
}

static void *flush(void *context)
{
    struct stage *stage = context;
    unsigned member = retire_join(stage->rig->retire);
    for (bool last = false; !last;) {
        last = atomic_load(&stage->done);
        while (log_rig_flush(stage->rig))
            retire_quiescent(stage->rig->retire, member);
        retire_quiescent(stage->rig->retire, member);
    }
    retire_leave(stage->rig->retire, member);
    return NULL;
}

static void *work(void *context)
{
    struct stage *stage = context;
    unsigned member = retire_join(stage->rig->retire);
    while (!atomic_load(&stage->done)) {
        log_rig_run_jobs(stage->rig);
        if (log__close_files(stage->rig->log))
            atomic_fetch_add(&stage->closed_count, 1);
        struct log_found found;
        enum log_status status = log_find_timestamp(stage->rig->log, 100, INT64_MAX, &found);
        check(status == LOG_OK || status == LOG_NOT_FOUND || status == LOG_LIMIT);
        int32_t epoch;
        (void)log_epoch_at(stage->rig->log, 5, &epoch);
        (void)log_stats(stage->rig->log);
        retire_quiescent(stage->rig->retire, member);
    }
    retire_leave(stage->rig->retire, member);
    return NULL;
}

/* Reads whole batches up to the high watermark, again and again from the start. */
static void *read_all(void *context)
{
    struct stage *stage = context;
    struct log *log = stage->rig->log;
    unsigned member = retire_join(stage->rig->retire);
    int64_t next = 0;
    /* Up to the end, not only to the high watermark: appends may be done before the first flush is. */
    for (bool last = false; !last || next < log_offsets(log).end;) {
        struct log_offsets offsets = log_offsets(log);
        struct log_range range;
        struct arena arena;
        last = atomic_load(&stage->done);
        check(offsets.stable <= offsets.high_watermark && offsets.high_watermark <= offsets.end);
        if (next == offsets.high_watermark && !last)
            next = 0;
        arena_init(&arena, NULL);
        enum log_status status =
            log_read(log, next, offsets.high_watermark, 3000, true, next % 2 == 0, &arena, &range);
        if (status == LOG_COLD)
            status = log_warm(log, next, offsets.high_watermark, 3000);
        else if (status == LOG_OK && range.bytes.size > 0) {
            struct batch_view batch;
            if (range.pin)
                check(arena_pin(&arena, range.pin)); /* as a response holds it, over the turn's end */
            retire_quiescent(stage->rig->retire, member);
            for (slice bytes = range.bytes; bytes.size > 0;
                 bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size)) {
                check(batch_view(bytes, &batch) == BATCH_OK && batch_crc_ok(&batch));
                check(batch.base_offset <= next);
                next = batch_last_offset(&batch) + 1;
            }
            check(next == range.next_offset && next <= offsets.high_watermark);
            atomic_fetch_add(&stage->read_count, 1);
        }
        check(status == LOG_OK);
        arena_destroy(&arena);
        retire_quiescent(stage->rig->retire, member);
    }
    retire_leave(stage->rig->retire, member);
    return NULL;
}

static void run(bool durable)
{
    struct temp_dir directory;
    temp_dir_create(&directory);
    struct file_system *files = file_posix_create(4);
    struct stage stage = { .rig = log_rig_create_on(files, directory.path) };
    pthread_t threads[3 + READERS];
    stage.rig->config.segment_bytes = 20000;
    stage.rig->config.flush_messages = durable ? 1 : INT64_MAX;
    log_set_config(stage.rig->log, &stage.rig->config);
    retire_sleep(stage.rig->retire, stage.rig->member);
    check(pthread_create(&threads[0], NULL, append, &stage) == 0);
    check(pthread_create(&threads[1], NULL, flush, &stage) == 0);
    check(pthread_create(&threads[2], NULL, work, &stage) == 0);
    for (int i = 0; i < READERS; i++)
        check(pthread_create(&threads[3 + i], NULL, read_all, &stage) == 0);
    for (int i = 0; i < 3 + READERS; i++)
        pthread_join(threads[i], NULL);
    retire_wake(stage.rig->retire, stage.rig->member);
    while (log_rig_flush(stage.rig)) {
    }
    ck_assert_int_eq(log_offsets(stage.rig->log).durable, BATCHES * 2);
    ck_assert_int_eq(rig_read_all(stage.rig, 10000), BATCHES * 2);
    ck_assert_int_gt(stage.read_count, 0);
    log_rig_run_jobs(stage.rig);
    ck_assert_int_eq(log_rig_close(stage.rig, true, NULL), LOG_OK);
    ck_assert(rig_check_indexes(stage.rig, true));
    log_rig_destroy(stage.rig);
    file_posix_destroy(files);
    temp_dir_destroy(&directory);
}

START_TEST(durable_mode)
{
    run(true);
}
END_TEST

START_TEST(page_cache_mode)
{
    run(false);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_threads");
    TCase *tests = tcase_create("log_threads");
    tcase_set_timeout(tests, 200);
    tcase_add_test(tests, durable_mode);
    tcase_add_test(tests, page_cache_mode);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
