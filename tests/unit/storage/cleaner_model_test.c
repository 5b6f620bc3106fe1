/* A compacted log against a plain map: random appends, tombstones, rounds of cleaning, stops and power cuts.
 */
#include "storage/cleaner_internal.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/log_struct.h"
#include "storage/producer_state.h"
#include "tests/support/log_rig.h"

enum { KEYS = 24, STEPS = 16000, STEPS_LONG = 100000, RETENTION = 1000, BATCH_MAX = 4, PRODUCERS = 3 };

/* One record that was appended. */
struct event {
    int64_t offset;
    uint32_t value; /* 0: a tombstone */
    uint8_t key;
};

struct model {
    struct log_rig *rig;
    struct random random;
    struct event *events; /* all, also what is cleaned away */
    size_t count, capacity;
    int64_t first_dirty;         /* what the checkpoint says */
    struct log_position durable; /* what recovery is told */
    int64_t cleaned_to;          /* records from here on must all be there */
    int32_t sequences[PRODUCERS];
    uint32_t value;
    uint64_t rounds, replaced, cuts, dropped;
};

static uint64_t below(struct model *model, uint64_t bound)
{
    return random_below(&model->random, bound);
}

static void configure(struct model *model)
{
    struct log_rig *rig = model->rig;
    rig->config.segment_bytes = 2048;
    rig->config.cleanup = LOG_CLEANUP_COMPACT;
    rig->config.delete_retention_ms = RETENTION;
    rig->config.file_delete_delay_ms = 10;
    log_set_config(rig->log, &rig->config);
}

/* --- appends -------------------------------------------------------------------------------------- */

static void note_event(struct model *model, int64_t offset, uint8_t key, uint32_t value)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity ? model->capacity * 2 : 1024;
        model->events = realloc(model->events, model->capacity * sizeof *model->events);
        ck_assert_ptr_nonnull(model->events);
    }
    model->events[model->count++] = (struct event){ offset, value, key };
}

static void append(struct model *model)
{
    struct log_rig *rig = model->rig;
    int producer = (int)below(model, PRODUCERS * 2);
    bool has_producer = producer < PRODUCERS;
    struct batch_builder_options options = {
        .producer_id = has_producer ? producer : -1,
        .producer_epoch = has_producer ? 0 : -1,
        .base_sequence = has_producer ? model->sequences[producer] : -1,
        .attributes = (uint16_t)below(model, CODEC_COUNT),
    };
    struct arena arena;
    struct batch_view batch;
    struct log_append_result result;
    uint8_t keys[BATCH_MAX];
    uint32_t values[BATCH_MAX];
    size_t count = 1 + (size_t)below(model, BATCH_MAX);
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    for (size_t i = 0; i < count; i++) {
        char text[40];
        keys[i] = (uint8_t)below(model, KEYS);
        values[i] = below(model, 6) == 0 ? 0 : ++model->value;
        int size = snprintf(text, sizeof text, "%08x%08x%08x", values[i], values[i], values[i]);
        ck_assert(batch_builder_add(builder, clock_wall_ms(rig->env.clock), slice_of(&keys[i], 1),
                                    values[i] ? slice_of(text, (size_t)size) : SLICE_NULL, NULL, 0));
    }
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    enum log_status status;
    while ((status = log_append(rig->log, &batch, 1, 0, clock_wall_ms(rig->env.clock), &result)) == LOG_BUSY)
        ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    ck_assert_int_eq(status, LOG_OK);
    ck_assert_int_eq(result.status, LOG_OK);
    ck_assert(!result.is_duplicate);
    for (size_t i = 0; i < count; i++)
        note_event(model, result.base_offset + (int64_t)i, keys[i], values[i]);
    if (has_producer)
        model->sequences[producer] += (int32_t)count;
    arena_destroy(&arena);
}

/* --- what a reader sees --------------------------------------------------------------------------- */

struct seen {
    int64_t offset; /* -1: nothing */
    uint32_t value;
};

static uint32_t value_of(const struct record *record)
{
    unsigned value = 0;
    char text[9] = { 0 };
    if (slice_is_null(record->value))
        return 0;
    ck_assert_uint_eq(record->value.size, 24);
    memcpy(text, record->value.data, 8);
    ck_assert_int_eq(sscanf(text, "%x", &value), 1);
    return value;
}

/* Checks a record against the one that was appended; *event is where its search goes on. */
static void check_record(const struct model *model, const struct record *record, size_t *event)
{
    while (*event < model->count && model->events[*event].offset < record->offset) {
        ck_assert_msg(model->events[*event].offset < model->cleaned_to, "offset %" PRId64 " is missing",
                      model->events[*event].offset);
        ++*event;
    }
    ck_assert(*event < model->count);
    const struct event *wanted = &model->events[(*event)++];
    ck_assert_int_eq(wanted->offset, record->offset);
    ck_assert_uint_eq(wanted->key, record->key.data[0]);
    ck_assert_uint_eq(wanted->value, value_of(record));
}

static void read_all(const struct model *model, struct seen seen[KEYS])
{
    struct log *log = model->rig->log;
    struct log_offsets offsets = log_offsets(log);
    struct arena arena;
    size_t event = 0;
    arena_init(&arena, NULL);
    for (int64_t next = offsets.start; next < offsets.end;) {
        struct log_range range;
        ck_assert_int_eq(log_read(log, next, offsets.end, 500, true, false, &arena, &range), LOG_OK);
        ck_assert_int_gt(range.next_offset, next);
        for (slice bytes = range.bytes; bytes.size > 0;) {
            struct batch_view batch;
            struct record record;
            ck_assert_int_eq(batch_view(bytes, &batch), BATCH_OK);
            ck_assert(batch_crc_ok(&batch));
            struct record_iterator *iterator = record_iterator_open(&batch, &arena, 1 << 20);
            while (record_iterator_next(iterator, &record) == BATCH_OK) {
                if (record.offset < next)
                    continue;
                check_record(model, &record, &event);
                seen[record.key.data[0]] = (struct seen){ record.offset, value_of(&record) };
            }
            record_iterator_close(iterator);
            bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
        }
        next = range.next_offset;
        log_rig_turn(model->rig);
    }
    arena_destroy(&arena);
}

/* The last value of every key, in order; a tombstone may be gone with all that it covered. */
static void check_log(const struct model *model)
{
    struct seen seen[KEYS], wanted[KEYS];
    for (size_t i = 0; i < KEYS; i++)
        seen[i] = wanted[i] = (struct seen){ -1, 0 };
    for (size_t i = 0; i < model->count; i++)
        wanted[model->events[i].key] = (struct seen){ model->events[i].offset, model->events[i].value };
    read_all(model, seen);
    for (size_t i = 0; i < KEYS; i++) {
        bool is_gone = seen[i].offset < 0 && wanted[i].value == 0;
        ck_assert_msg(is_gone || seen[i].offset == wanted[i].offset,
                      "key %zu: offset %" PRId64 " is not %" PRId64, i, seen[i].offset, wanted[i].offset);
        ck_assert(is_gone || seen[i].value == wanted[i].value);
    }
}

/* --- the other steps ------------------------------------------------------------------------------ */

static void flush(struct model *model)
{
    log_rig_run_jobs(model->rig);
    while (log_rig_flush(model->rig))
        continue;
    model->durable = log__durable_position(model->rig->log);
}

static bool step_until(void *context, uint64_t size)
{
    uint64_t *left = context;
    if (*left <= size)
        return false;
    *left -= size;
    return true;
}

static void clean(struct model *model)
{
    static const size_t map_sizes[] = { 200, 600, 1 << 20 }; /* of 7, 22 and all keys */
    uint64_t left = below(model, 4) == 0 ? below(model, 1 << 16) : UINT64_MAX;
    struct cleaner_options options = {
        .map_size_max = map_sizes[below(model, 3)],
        .map_load = 0.9,
        .buffer_size = 8192,
        .step = step_until,
        .context = &left,
    };
    struct cleaner *cleaner = cleaner_create(&options);
    struct cleaner_look look;
    struct cleaner_result result = { .next_dirty = -1 };
    int64_t now_ms = clock_wall_ms(model->rig->env.clock);
    enum log_status status = cleaner_look(model->rig->log, model->first_dirty, now_ms, &look);
    ck_assert(status == LOG_OK || status == LOG_NOT_FOUND);
    if (status == LOG_OK) {
        ck_assert(!look.is_damaged);
        if (look.first_uncleanable > model->cleaned_to)
            model->cleaned_to = look.first_uncleanable;
        status = cleaner_clean(cleaner, model->rig->log, &look, now_ms, &result);
        ck_assert(status == LOG_OK || (status == LOG_BUSY && result.was_stopped));
        if (status == LOG_OK)
            model->first_dirty = result.next_dirty;
        model->rounds++;
        model->replaced += result.replaced_count;
        model->dropped += result.record_count - result.kept_count;
    }
    cleaner_look_end(&look);
    cleaner_destroy(cleaner);
}

static bool find_producer(struct log *log, int64_t producer_id, struct producer_entry *out)
{
    while (log_prepare(log) == LOG_BUSY)
        continue;
    pthread_mutex_lock(&log->mutex);
    bool is_known = log->producers && producer_state_find(log->producers, producer_id, out);
    pthread_mutex_unlock(&log->mutex);
    return is_known;
}

/* What did not reach the device is forgotten by the model too. */
static void forget_lost(struct model *model)
{
    int64_t end = log_offsets(model->rig->log).end;
    while (model->count > 0 && model->events[model->count - 1].offset >= end)
        model->count--;
    ck_assert(model->durable.offset <= end);
    if (model->first_dirty > end)
        model->first_dirty = -1;
    /* Sequences go on where the log does; the test has no wish to find out how many are left. */
    for (size_t i = 0; i < PRODUCERS; i++) {
        struct producer_entry entry;
        bool is_known = find_producer(model->rig->log, (int64_t)i, &entry);
        model->sequences[i] = is_known ? entry.batches[entry.batch_count - 1].last_sequence + 1 : 0;
    }
}

static void power_cut(struct model *model)
{
    struct log_rig *old = model->rig;
    int64_t wall_ms = clock_wall_ms(old->env.clock);
    flush(model);
    uint64_t middle = file_double_operation_count(old->disk);
    int64_t first_dirty = model->first_dirty;
    clean(model);
    uint64_t after = file_double_operation_count(old->disk);
    model->first_dirty = first_dirty; /* the checkpoint is written behind */
    uint64_t at = middle + below(model, after - middle + 1);
    enum file_double_cut cut = below(model, 2) ? FILE_DOUBLE_LOSE_ALL : FILE_DOUBLE_REORDER;
    struct file_double *disk = file_double_after_cut(old->disk, at, cut, &model->random);
    file_double_destroy(log_rig_destroy(old));
    model->rig = log_rig_create(disk);
    clock_virtual_advance(&model->rig->clock, wall_ms - clock_wall_ms(model->rig->env.clock));
    configure(model);
    ck_assert_int_eq(log__recover(model->rig->log, model->durable, -1, NULL), LOG_OK);
    ck_assert_uint_eq(log_stats(model->rig->log).quarantined_count, 0);
    forget_lost(model);
    model->cuts++;
}

static void stop_and_start(struct model *model)
{
    struct log_row row;
    ck_assert_int_eq(log_rig_close(model->rig, true, &row), LOG_OK);
    log_rig_new_log(model->rig);
    if (row.segment_count > 0)
        log__set_closed_row(model->rig->log, &row);
    model->durable = log__durable_position(model->rig->log);
}

static void step(struct model *model)
{
    uint64_t dice = below(model, 1000);
    if (dice < 900) {
        append(model);
    } else if (dice < 940) {
        flush(model);
        if (below(model, 3) == 0)
            clean(model);
    } else if (dice < 960) {
        clock_virtual_advance(&model->rig->clock, (int64_t)below(model, RETENTION));
    } else if (dice < 975) {
        log_rig_turn(model->rig);
        (void)log_rig_unlink_removed(model->rig, false);
    } else if (dice < 980) {
        power_cut(model);
    } else if (dice < 985) {
        stop_and_start(model);
    } else {
        check_log(model);
    }
    log_rig_run_jobs(model->rig);
    log_rig_turn(model->rig);
}

START_TEST(against_a_map)
{
    struct model model = { .rig = log_rig_create(NULL), .first_dirty = -1 };
    random_seed(&model.random, (uint64_t)_i + 1);
    configure(&model);
    const char *is_long = getenv("RUNNEL_LONG");
    int steps = is_long && strcmp(is_long, "1") == 0 ? STEPS_LONG : STEPS;
    for (int i = 0; i < steps / 4; i++)
        step(&model);
    check_log(&model);
    ck_assert(rig_check_indexes(model.rig, false));
    ck_assert_uint_gt(model.replaced, (unsigned)steps / 1000);
    ck_assert_uint_gt(model.cuts, (unsigned)steps / 2000);
    printf("seed %d: %" PRIu64 " rounds, %" PRIu64 " segments replaced, %" PRIu64 " records dropped, %" PRIu64
           " power cuts, lost 0\n",
           _i + 1, model.rounds, model.replaced, model.dropped, model.cuts);
    file_double_destroy(log_rig_destroy(model.rig));
    free(model.events);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cleaner model");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 280);
    tcase_add_loop_test(all, against_a_map, 0, 4);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
