/* storage/time_index.h on values, and look-ups by time in a log (facts: protocol 4.4, trap 11). */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#include "protocol/base/bytes.h"
#include "storage/time_index.h"
#include "tests/support/log_rig.h"

START_TEST(entries)
{
    struct retire *list = retire_create();
    struct segment_index index;
    segment_index_init(&index, TIME_INDEX_ENTRY_SIZE);
    ck_assert_int_eq(time_index_last(&index).timestamp, -1);
    static const struct {
        const char *what;
        int64_t timestamp;
        uint32_t relative, count;
    } rows[] = {
        { "the first", 100, 3, 1 }, { "not later", 100, 5, 1 },
        { "earlier", 50, 6, 1 },    { "no timestamp", -1, 7, 1 },
        { "later", 101, 8, 2 },     { "beyond 32 bits", INT64_MAX, INT32_MAX, 3 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert(
            time_index_append(&index, list, (struct time_entry){ rows[i].timestamp, rows[i].relative }));
        ck_assert_msg(segment_index_count(&index) == rows[i].count, "%s", rows[i].what);
    }
    struct index_view view = { .bytes = atomic_load(&index.block)->bytes, .count = 3, .entry_size = 12 };
    struct time_entry entry;
    ck_assert(time_index_find(&view, 99, &entry));
    ck_assert_int_eq(entry.timestamp, -1);
    ck_assert(time_index_find(&view, 100, &entry));
    ck_assert_uint_eq(entry.relative, 3);
    ck_assert(time_index_find(&view, 5000, &entry));
    ck_assert_uint_eq(entry.relative, 8);
    ck_assert(time_index_find_below(&view, 8, &entry));
    ck_assert_int_eq(entry.timestamp, 100);
    ck_assert(time_index_find_below(&view, 9, &entry));
    ck_assert_int_eq(entry.timestamp, 101);
    ck_assert_uint_eq(time_index_valid_count(atomic_load(&index.block)->bytes, 3, INT32_MAX), 3);
    ck_assert_uint_eq(time_index_valid_count(atomic_load(&index.block)->bytes, 3, 8), 2);
    segment_index_destroy(&index);
    retire_destroy(list);
}
END_TEST

/* What the plain definition gives: all records in offset order. */
struct model {
    int64_t timestamps[4000];
    int64_t count;
};

static int64_t model_find(const struct model *model, int64_t start, int64_t bound, int64_t target)
{
    for (int64_t i = start; i < bound && i < model->count; i++) {
        if (model->timestamps[i] >= target)
            return i;
    }
    return -1;
}

static int64_t model_latest(const struct model *model, int64_t start, int64_t bound)
{
    int64_t latest = -1;
    for (int64_t i = start; i < bound && i < model->count; i++) {
        if (model->timestamps[i] >= 0 && (latest < 0 || model->timestamps[i] > model->timestamps[latest]))
            latest = i;
    }
    return latest;
}

static void compare(struct log_rig *rig, const struct model *model, int64_t target, int64_t bound)
{
    struct log_found found = { .offset = -1 };
    int64_t start = log_offsets(rig->log).start;
    int64_t expected = model_find(model, start, bound, target);
    enum log_status status = log_find_timestamp(rig->log, target, bound, &found);
    ck_assert_msg(status == (expected < 0 ? LOG_NOT_FOUND : LOG_OK), "target %" PRId64 " bound %" PRId64,
                  target, bound);
    if (expected >= 0) {
        ck_assert_int_eq(found.offset, expected);
        ck_assert_int_eq(found.timestamp, model->timestamps[expected]);
        ck_assert_int_eq(found.leader_epoch, 0);
    }
    log_rig_turn(rig);
}

/* Batches whose timestamps jump back and forth, compressed and plain. */
static void build(struct log_rig *rig, struct model *model, uint64_t seed)
{
    struct random random;
    random_seed(&random, seed);
    model->count = 0;
    while (model->count < 600) {
        struct rig_batch spec = {
            .count = 1 + (int)random_below(&random, 5),
            .value_size = random_below(&random, 60),
            .timestamp = 1000 + model->count + (int64_t)random_below(&random, 200),
            .step = (int64_t)random_below(&random, 41) - 20,
            .attributes = (uint16_t)random_below(&random, 5),
        };
        ck_assert_int_eq(rig_append(rig, &spec, NULL), LOG_OK);
        for (int i = 0; i < spec.count; i++)
            model->timestamps[model->count++] = spec.timestamp + i * (spec.step ? spec.step : 1);
    }
}

START_TEST(look_ups_by_time_are_right_in_any_disorder)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct log_rig *rig = log_rig_create(NULL);
        struct model model;
        struct log_row row;
        build(rig, &model, seed);
        for (int round = 0; round < 3; round++) { /* in memory, flushed, opened again */
            int64_t end = log_offsets(rig->log).end;
            ck_assert_int_eq(end, model.count);
            ck_assert_uint_gt(log_stats(rig->log).segment_count, 3);
            for (int64_t target = 900; target < 1900; target += 7) {
                compare(rig, &model, target, end);
                compare(rig, &model, target, end / 2);
            }
            for (int64_t bound = 1; bound <= end; bound += 13) {
                struct log_found found;
                int64_t expected = model_latest(&model, 0, bound);
                enum log_status status = log_find_max_timestamp(rig->log, bound, &found);
                /* A batch that reaches over the bound is not looked into. */
                if (status == LOG_OK) {
                    ck_assert_int_lt(found.offset, bound);
                    ck_assert_int_le(found.timestamp, model.timestamps[expected]);
                }
            }
            struct log_found found;
            ck_assert_int_eq(log_find_max_timestamp(rig->log, end, &found), LOG_OK);
            ck_assert_int_eq(found.timestamp, model.timestamps[model_latest(&model, 0, end)]);
            if (round == 0) {
                while (log_rig_flush(rig)) {
                }
            } else if (round == 1) {
                ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
                log_rig_new_log(rig);
                log__set_closed_row(rig->log, &row);
            }
        }
        file_double_destroy(log_rig_destroy(rig));
    }
}
END_TEST

START_TEST(an_empty_log_has_no_time)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct log_found found;
    ck_assert_int_eq(log_find_timestamp(rig->log, 0, 100, &found), LOG_NOT_FOUND);
    ck_assert_int_eq(log_find_max_timestamp(rig->log, 100, &found), LOG_NOT_FOUND);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("time_index");
    TCase *tests = tcase_create("time_index");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, entries);
    tcase_add_test(tests, look_ups_by_time_are_right_in_any_disorder);
    tcase_add_test(tests, an_empty_log_has_no_time);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
