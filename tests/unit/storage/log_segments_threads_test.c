/* Readers while segments go and are replaced: an appender, a flusher, retention, a cleaner that copies, an
 * LRU; for ThreadSanitizer too. */
#include <check.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "storage/log_segments.h"
#include "tests/support/log_rig.h"
#include "tests/support/temp_dir.h"

enum { BATCHES = 4000, READERS = 3, SEGMENT_SIZE = 8000 };

struct stage {
    struct log_rig *rig;
    _Atomic bool done;
    _Atomic int64_t read_count;
    _Atomic int64_t out_of_range_count;
    _Atomic unsigned removed_count, replaced_count, closed_count;
};

struct actor {
    struct stage *stage;
    struct random random;
    unsigned member;
};

static struct actor enter(void *context, uint64_t seed)
{
    struct actor actor = { .stage = context };
    random_seed(&actor.random, seed);
    actor.member = retire_join(actor.stage->rig->retire);
    return actor;
}

static void *leave(struct actor *actor)
{
    retire_leave(actor->stage->rig->retire, actor->member);
    return NULL;
}

static void *append(void *context)
{
    struct actor actor = enter(context, 1);
    struct log_rig *rig = actor.stage->rig;
    for (int i = 0; i < BATCHES; i++) {
        struct rig_batch spec = { .count = 1 + i % 3, .value_size = (size_t)(i % 200), .timestamp = i };
        check(rig_append(rig, &spec, NULL) == LOG_OK);
        retire_quiescent(rig->retire, actor.member);
    }
    atomic_store(&actor.stage->done, true);
    return leave(&actor);
}

static void *flush(void *context)
{
    struct actor actor = enter(context, 2);
    while (!atomic_load(&actor.stage->done)) {
        while (log_rig_flush(actor.stage->rig))
            retire_quiescent(actor.stage->rig->retire, actor.member);
        log_rig_run_jobs(actor.stage->rig);
        retire_quiescent(actor.stage->rig->retire, actor.member);
    }
    return leave(&actor);
}

/* Keeps some segments, and moves the start into the first of them. */
static void *retain(void *context)
{
    struct actor actor = enter(context, 3);
    struct stage *stage = actor.stage;
    struct log *log = stage->rig->log;
    while (!atomic_load(&stage->done)) {
        struct log_retained gone;
        struct log_offsets offsets = log_offsets(log);
        int64_t start, ahead = offsets.high_watermark - offsets.start;
        if (ahead > 400 && random_below(&actor.random, 4) == 0) {
            enum log_status status =
                log_delete_records(log, offsets.start + (int64_t)random_below(&actor.random, 50), &start);
            check(status == LOG_OK || status == LOG_BUSY);
        }
        enum log_status status = log_retain(log, 0, &gone);
        check(status == LOG_OK || status == LOG_LIMIT);
        atomic_fetch_add(&stage->removed_count, gone.segment_count);
        (void)log_rig_unlink_removed(stage->rig, false);
        retire_quiescent(stage->rig->retire, actor.member);
    }
    return leave(&actor);
}

/* The files of a replacement that holds all that count segments hold. NULL: one of them is not to be had. */
static struct segment *copy_segments(struct log *log, const struct segment_list *list, size_t count)
{
    static const char *const suffixes[] = { ".log.cleaned", ".index.cleaned", ".timeindex.cleaned" };
    struct segment *segment = segment_create(list->items[0]->base_offset);
    char path[SEGMENT_PATH_MAX];
    struct file *files[3];
    uint64_t size = 0;
    check(segment != NULL);
    for (size_t i = 0; i < 3; i++) {
        segment_path(&log->home, segment->base_offset, suffixes[i], path);
        check(file_open(log->env->files, path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE,
                        &files[i]) == FILE_OK);
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t *bytes;
        size_t got;
        segment_path(&log->home, list->items[i]->base_offset, ".log", path);
        check(file_read_all(log->env->files, path, 1 << 20, &bytes, &got) == FILE_OK);
        check(got == atomic_load(&list->items[i]->size));
        check(file_pwrite(files[0], bytes, got, size) == FILE_OK);
        size += got;
        free(bytes);
    }
    for (size_t i = 0; i < 3; i++) {
        check(file_flush(files[i]) == FILE_OK);
        file_close(files[i]);
    }
    atomic_store(&segment->size, (uint32_t)size);
    atomic_store(&segment->offsets.on_disk, true);
    atomic_store(&segment->times.on_disk, true);
    return segment;
}

static void *replace(void *context)
{
    struct actor actor = enter(context, 4);
    struct stage *stage = actor.stage;
    struct log *log = stage->rig->log;
    while (!atomic_load(&stage->done)) {
        size_t count = 1 + (size_t)random_below(&actor.random, 2);
        pthread_mutex_lock(&log->prepare_mutex);
        struct segment_list *list = log__segments(log);
        if (list && list->count > count + 1) {
            enum log_status status = log__replace_segments(log, 0, count, copy_segments(log, list, count));
            check(status == LOG_OK);
            atomic_fetch_add(&stage->replaced_count, 1);
        }
        pthread_mutex_unlock(&log->prepare_mutex);
        retire_quiescent(stage->rig->retire, actor.member);
    }
    return leave(&actor);
}

static void *close_and_find(void *context)
{
    struct actor actor = enter(context, 5);
    struct stage *stage = actor.stage;
    struct log *log = stage->rig->log;
    while (!atomic_load(&stage->done)) {
        struct log_found found;
        if (log__close_files(log))
            atomic_fetch_add(&stage->closed_count, 1);
        enum log_status status =
            log_find_timestamp(log, (int64_t)random_below(&actor.random, BATCHES), INT64_MAX, &found);
        check(status == LOG_OK || status == LOG_NOT_FOUND || status == LOG_LIMIT);
        status = log_find_max_timestamp(log, INT64_MAX, &found);
        check(status == LOG_OK || status == LOG_NOT_FOUND || status == LOG_LIMIT);
        (void)log_stats(log);
        (void)log_size_between(log, log_offsets(log).start, INT64_MAX);
        retire_quiescent(stage->rig->retire, actor.member);
    }
    return leave(&actor);
}

/* The batches of a range follow each other and are whole, also when their segment went meanwhile. */
static int64_t look_at(slice bytes, int64_t next)
{
    struct batch_view batch;
    for (; bytes.size > 0; bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size)) {
        check(batch_view(bytes, &batch) == BATCH_OK && batch_crc_ok(&batch));
        check(batch.base_offset <= next && batch_last_offset(&batch) >= next);
        next = batch_last_offset(&batch) + 1;
    }
    return next;
}

static void *read_on(void *context)
{
    struct actor actor = enter(context, 6);
    struct stage *stage = actor.stage;
    struct log *log = stage->rig->log;
    int64_t next = 0;
    while (!atomic_load(&stage->done)) {
        struct log_offsets offsets = log_offsets(log);
        struct log_range range;
        struct arena arena;
        arena_init(&arena, NULL);
        enum log_status status =
            log_read(log, next, offsets.high_watermark, 3000, true, next % 2 == 0, &arena, &range);
        if (status == LOG_COLD)
            status = log_warm(log, next, offsets.high_watermark, 3000);
        else if (status == LOG_OK && range.bytes.size > 0) {
            if (range.pin)
                check(arena_pin(&arena, range.pin));
            retire_quiescent(stage->rig->retire, actor.member);
            next = look_at(range.bytes, next);
            check(next == range.next_offset);
            atomic_fetch_add(&stage->read_count, 1);
        } else if (status == LOG_OK && next >= offsets.high_watermark) {
            next = offsets.start;
        }
        if (status == LOG_OUT_OF_RANGE) {
            check(next < log_offsets(log).start);
            next = log_offsets(log).start;
            atomic_fetch_add(&stage->out_of_range_count, 1);
        } else {
            check(status == LOG_OK || status == LOG_LIMIT);
        }
        arena_destroy(&arena);
        retire_quiescent(stage->rig->retire, actor.member);
    }
    return leave(&actor);
}

START_TEST(readers_go_on_while_segments_come_and_go)
{
    static void *(*const parts[])(void *) = { append, flush, retain, replace, close_and_find };
    enum { PARTS = sizeof parts / sizeof parts[0] };
    struct temp_dir directory;
    pthread_t threads[PARTS + READERS];
    temp_dir_create(&directory);
    struct file_system *files = file_posix_create(4);
    struct stage stage = { .rig = log_rig_create_on(files, directory.path) };
    stage.rig->config.segment_bytes = SEGMENT_SIZE;
    stage.rig->config.flush_messages = _i ? 1 : INT64_MAX;
    stage.rig->config.cleanup = LOG_CLEANUP_DELETE;
    stage.rig->config.retention_ms = -1;
    stage.rig->config.retention_bytes = 6 * SEGMENT_SIZE;
    log_set_config(stage.rig->log, &stage.rig->config);
    retire_sleep(stage.rig->retire, stage.rig->member);
    for (size_t i = 0; i < PARTS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, parts[i], &stage), 0);
    for (size_t i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[PARTS + i], NULL, read_on, &stage), 0);
    for (size_t i = 0; i < PARTS + READERS; i++)
        pthread_join(threads[i], NULL);
    retire_wake(stage.rig->retire, stage.rig->member);
    printf("read %" PRId64 ", out of range %" PRId64 ", removed %u, replaced %u, closed %u\n",
           atomic_load(&stage.read_count), atomic_load(&stage.out_of_range_count),
           atomic_load(&stage.removed_count), atomic_load(&stage.replaced_count),
           atomic_load(&stage.closed_count));
    ck_assert_int_gt(atomic_load(&stage.read_count), 0);
    ck_assert_uint_gt(atomic_load(&stage.removed_count), 0);
    ck_assert_uint_gt(atomic_load(&stage.replaced_count), 0);
    ck_assert_int_eq(log_health(stage.rig->log), LOG_OK);
    ck_assert_uint_eq(log_stats(stage.rig->log).quarantined_count, 0);
    while (log_rig_flush(stage.rig))
        continue;
    ck_assert_int_gt(rig_read_all(stage.rig, 3000), 0);
    log_rig_destroy(stage.rig);
    file_posix_destroy(files);
    temp_dir_destroy(&directory);
}
END_TEST

int main(void)
{
    note_set_level(NOTE_ERROR);
    Suite *suite = suite_create("log_segments_threads");
    TCase *tests = tcase_create("threads");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, readers_go_on_while_segments_come_and_go, 0, 2);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
