/* A partition log against a plain model under random operations, stops, kills and power cuts. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "tests/support/log_rig.h"

/* What was appended: one entry per batch. */
struct model_batch {
    int64_t base, next;
    uint32_t crc;
    size_t size;
};

struct model {
    struct log_rig *rig;
    struct random random;
    struct model_batch batches[5000];
    size_t count;
    struct log_position durable; /* acknowledged */
    int64_t start;               /* the log start offset */
    int64_t start_saved;         /* what the store's checkpoint has of it */
    int64_t end_least;           /* a recovery that lost what lay below the start ends there */
};

static int64_t model_end(const struct model *model)
{
    int64_t end = model->count ? model->batches[model->count - 1].next : 0;
    return end > model->end_least ? end : model->end_least;
}

static void append(struct model *model)
{
    struct batch_view batches[8];
    struct log_append_result results[8];
    size_t count = 1 + random_below(&model->random, 8);
    for (size_t i = 0; i < count; i++) {
        struct rig_batch spec = {
            .count = 1 + (int)random_below(&model->random, 4),
            .value_size = random_below(&model->random, random_below(&model->random, 20) == 0 ? 1500 : 100),
            .timestamp = 1 + (int64_t)random_below(&model->random, 100000),
            .attributes = random_below(&model->random, 4) == 0 ? CODEC_LZ4 : CODEC_NONE,
        };
        rig_make_batch(&spec, &batches[i]);
    }
    enum log_status status;
    while ((status = log_append(model->rig->log, batches, count, 0, 0, results)) == LOG_BUSY) {
        status = log_prepare(model->rig->log);
        ck_assert(status == LOG_OK || status == LOG_DISK_FULL); /* once: the fault is over then */
    }
    ck_assert(status == LOG_OK || status == LOG_DISK_FULL || status == LOG_TOO_LARGE);
    for (size_t i = 0; i < count; i++) {
        if (results[i].status == LOG_OK) {
            ck_assert_int_eq(results[i].base_offset, model_end(model));
            model->batches[model->count++] = (struct model_batch){
                .base = results[i].base_offset,
                .next = results[i].end_offset,
                .crc = load_be32(batches[i].data + BATCH_CRC),
                .size = batches[i].size,
            };
        } else {
            ck_assert_int_eq(results[i].base_offset, -1);
        }
        free(batches[i].data);
    }
    ck_assert_int_eq(log_offsets(model->rig->log).end, model_end(model));
}

/* The index of the batch that holds offset. */
static size_t find(const struct model *model, int64_t offset)
{
    size_t i = 0;
    while (i < model->count && model->batches[i].next <= offset)
        i++;
    return i;
}

/* How many records a reader gets from the start on: the batch that holds the start comes whole. */
static int64_t readable_count(const struct model *model)
{
    int64_t count = 0;
    for (size_t i = find(model, model->start); i < model->count; i++)
        count += model->batches[i].next - model->batches[i].base;
    return count;
}

static void expect_readable(struct model *model)
{
    ck_assert_int_eq(log_offsets(model->rig->log).start, model->start);
    ck_assert_int_eq(rig_read_all(model->rig, 2000), readable_count(model));
}

static void delete_some(struct model *model)
{
    struct log_offsets offsets = log_offsets(model->rig->log);
    int64_t start, until = (int64_t)random_below(&model->random, (uint64_t)offsets.high_watermark + 1);
    enum log_status status;
    while ((status = log_delete_records(model->rig->log, until, &start)) == LOG_BUSY)
        ck_assert_int_eq(log_prepare(model->rig->log), LOG_OK);
    ck_assert_int_eq(status, LOG_OK);
    ck_assert_int_eq(start, until > model->start ? until : model->start);
    model->start = start;
    if (random_below(&model->random, 2))
        model->start_saved = start;
    ck_assert_int_eq(log_delete_records(model->rig->log, offsets.high_watermark + 1, &start),
                     LOG_OUT_OF_RANGE);
    expect_readable(model);
}

static void retain(struct model *model)
{
    struct log_config *config = &model->rig->config;
    struct log_retained gone;
    uint64_t size = log_stats(model->rig->log).size;
    config->cleanup = random_below(&model->random, 3) ? LOG_CLEANUP_DELETE : 0;
    config->retention_bytes = (int64_t)random_below(&model->random, 60000);
    config->retention_ms = random_below(&model->random, 4) ? -1 : 50000;
    log_set_config(model->rig->log, config);
    int64_t high_watermark = log_offsets(model->rig->log).high_watermark;
    ck_assert_int_eq(log_retain(model->rig->log, 120000, &gone), LOG_OK);
    struct log_offsets offsets = log_offsets(model->rig->log);
    ck_assert_int_ge(offsets.start, model->start);
    ck_assert_int_le(offsets.start, high_watermark);
    ck_assert(gone.segment_count > 0 || offsets.start == model->start);
    ck_assert_uint_eq(log_stats(model->rig->log).size, size - gone.size);
    model->start = offsets.start;
    expect_readable(model);
    if (random_below(&model->random, 2)) {
        clock_virtual_advance(&model->rig->clock, 60000);
        log_rig_turn(model->rig);
        (void)log_rig_unlink_removed(model->rig, false);
    }
}

static void read_somewhere(struct model *model)
{
    int64_t end = model_end(model);
    int64_t offset = (int64_t)random_below(&model->random, (uint64_t)end + 1);
    int64_t bound = offset + (int64_t)random_below(&model->random, 100);
    size_t size_max = random_below(&model->random, 3000);
    bool at_least_one = random_below(&model->random, 2);
    struct arena arena;
    struct log_range range;
    arena_init(&arena, NULL);
    enum log_status status =
        log_read(model->rig->log, offset, bound, size_max, at_least_one, false, &arena, &range);
    if (offset < model->start) {
        ck_assert_int_eq(status, LOG_OUT_OF_RANGE);
        arena_destroy(&arena);
        return;
    }
    ck_assert_int_eq(status, LOG_OK);
    size_t i = find(model, offset), total = 0;
    slice bytes = range.bytes;
    int64_t next = offset;
    for (; bytes.size > 0; i++) {
        struct batch_view batch;
        ck_assert_int_eq(batch_view(bytes, &batch), BATCH_OK);
        ck_assert_int_eq(batch.base_offset, model->batches[i].base);
        ck_assert_uint_eq(load_be32(batch.data + BATCH_CRC), model->batches[i].crc);
        next = model->batches[i].next;
        ck_assert_int_le(next, bound);
        total += batch.size;
        bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
    }
    ck_assert_int_eq(range.next_offset, next);
    ck_assert(total <= size_max || (at_least_one && total == model->batches[i - 1].size));
    /* Nothing that fits was left out, but for the end of a segment. */
    bool more = i < model->count && offset < end && model->batches[i].next <= bound &&
                total + model->batches[i].size <= size_max;
    if (more && total > 0) {
        struct log_range rest;
        ck_assert_int_eq(log_read(model->rig->log, next, bound, 0, true, false, &arena, &rest), LOG_OK);
        char path[64];
        snprintf(path, sizeof path, "%020" PRId64 ".log", rest.base_offset);
        ck_assert_msg(rig_file_size(model->rig, path) >= 0, "stopped early at %" PRId64, next);
    } else {
        ck_assert(!more);
    }
    arena_destroy(&arena);
}

static void flush(struct model *model)
{
    while (log_rig_flush(model->rig)) {
    }
    model->durable = log__durable_position(model->rig->log);
}

/* Behind what is durable, a write that failed half way and was undone may come back in the place of the one
 * that followed it: the undoing was not flushed either. */
static void relearn(struct model *model)
{
    struct log_offsets offsets = log_offsets(model->rig->log);
    int64_t next = model->durable.offset > offsets.start ? model->durable.offset : offsets.start;
    while (model->count > 0 && model->batches[model->count - 1].next > next)
        model->count--;
    while (next < offsets.end) {
        struct arena arena;
        struct log_range range;
        struct batch_view batch;
        arena_init(&arena, NULL);
        ck_assert_int_eq(log_read(model->rig->log, next, offsets.end, 1, true, false, &arena, &range),
                         LOG_OK);
        ck_assert_int_eq(batch_view(range.bytes, &batch), BATCH_OK);
        ck_assert(batch_crc_ok(&batch));
        next = batch_last_offset(&batch) + 1;
        model->batches[model->count++] =
            (struct model_batch){ batch.base_offset, next, load_be32(batch.data + BATCH_CRC), batch.size };
        arena_destroy(&arena);
    }
}

/* Checks what came back and takes it over: all that was durable, and a prefix of the rest. */
static void accept_recovered(struct model *model)
{
    struct log_offsets offsets = log_offsets(model->rig->log);
    ck_assert_int_ge(offsets.end, model->durable.offset);
    ck_assert_int_le(offsets.end, model_end(model));
    ck_assert_int_ge(offsets.start, model->start_saved);
    ck_assert_int_le(offsets.start, model->start);
    relearn(model);
    model->start = offsets.start;
    model->end_least = offsets.end == offsets.start ? offsets.end : 0;
    ck_assert_int_eq(model_end(model), offsets.end);
    expect_readable(model);
    ck_assert(offsets.end == 0 || rig_check_indexes(model->rig, false));
    model->durable = log__durable_position(model->rig->log);
}

static void stop_and_start(struct model *model)
{
    struct log_row row;
    file_double_short_write(model->rig->disk, 0, 0);
    ck_assert_int_eq(log_rig_close(model->rig, true, &row), LOG_OK);
    log_rig_new_log(model->rig);
    if (row.segment_count == 0)
        return;
    ck_assert(rig_check_indexes(model->rig, true));
    model->durable = (struct log_position){ row.end_offset, row.active_base, row.active_size };
    if (random_below(&model->random, 2))
        log__set_closed_row(model->rig->log, &row);
    else
        ck_assert_int_eq(log__open_clean(model->rig->log, model->start), LOG_OK);
    ck_assert_int_eq(log_offsets(model->rig->log).end, model_end(model));
    ck_assert_int_eq(log_offsets(model->rig->log).start, model->start);
}

static void crash(struct model *model)
{
    static const enum file_double_cut cuts[] = { FILE_DOUBLE_LOSE_ALL, FILE_DOUBLE_KEEP_ALL,
                                                 FILE_DOUBLE_REORDER };
    struct log_config config = model->rig->config;
    enum file_double_cut cut = cuts[random_below(&model->random, 3)];
    struct file_double *disk = log_rig_destroy(model->rig);
    struct file_double *after =
        file_double_after_cut(disk, file_double_operation_count(disk), cut, &model->random);
    file_double_destroy(disk);
    model->rig = log_rig_create(after);
    model->rig->config = config;
    log_set_config(model->rig->log, &config);
    enum log_status status = log__recover(model->rig->log, model->durable, model->start_saved, NULL);
    ck_assert(status == LOG_OK || (status == LOG_NOT_FOUND && model->durable.offset == 0));
    if (status == LOG_NOT_FOUND) /* nothing was ever flushed, not even the directory's name */
        model->start_saved = 0;
    accept_recovered(model);
}

static void disturb(struct model *model)
{
    switch (random_below(&model->random, 4)) {
    case 0:
        file_double_short_write(model->rig->disk, 1 + random_below(&model->random, 4),
                                random_below(&model->random, 300));
        break;
    case 1:
        model->rig->maps_max = (int)random_below(&model->random, 4);
        break;
    case 2:
        model->rig->maps_max = 1000;
        break;
    default:
        log_rig_run_jobs(model->rig);
        (void)log__close_files(model->rig->log);
        break;
    }
}

static void run(uint64_t seed)
{
    struct model *model = calloc(1, sizeof *model);
    random_seed(&model->random, seed);
    model->durable = (struct log_position){ 0, 0, 0 }; /* all files are ours */
    model->rig = log_rig_create(NULL);
    model->rig->config.segment_bytes = 2000 + (int32_t)random_below(&model->random, 20000);
    model->rig->config.index_interval_bytes = (int32_t)random_below(&model->random, 1000);
    model->rig->config.flush_messages = random_below(&model->random, 2) ? 1 : INT64_MAX;
    log_set_config(model->rig->log, &model->rig->config);
    for (int i = 0; i < 400; i++) {
        uint64_t dice = random_below(&model->random, 100);
        if (dice < 45)
            append(model);
        else if (dice < 75)
            read_somewhere(model);
        else if (dice < 85)
            flush(model);
        else if (dice < 90)
            log_rig_run_jobs(model->rig);
        else if (dice < 92)
            disturb(model);
        else if (dice < 94)
            delete_some(model);
        else if (dice < 95)
            retain(model);
        else if (dice < 97)
            stop_and_start(model);
        else
            crash(model);
        log_rig_turn(model->rig);
        struct log_offsets offsets = log_offsets(model->rig->log);
        ck_assert_int_eq(offsets.end, model_end(model));
        ck_assert_int_le(offsets.high_watermark, offsets.end);
    }
    stop_and_start(model);
    expect_readable(model);
    file_double_destroy(log_rig_destroy(model->rig));
    free(model);
}

START_TEST(a_log_behaves_like_its_model)
{
    const char *only = getenv("SEED");
    uint64_t seed = only ? strtoull(only, NULL, 10) : (uint64_t)_i * 20 + 1;
    for (int i = 0; i < (only ? 1 : 20); i++) {
        printf("seed %" PRIu64 "\n", seed + (uint64_t)i);
        fflush(stdout);
        run(seed + (uint64_t)i);
    }
}
END_TEST

int main(void)
{
    note_set_level((enum note_level) - 1); /* damage is what this test is about */
    Suite *suite = suite_create("log_model");
    TCase *tests = tcase_create("log_model");
    tcase_set_timeout(tests, 200);
    tcase_add_loop_test(tests, a_log_behaves_like_its_model, 0, 5);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
