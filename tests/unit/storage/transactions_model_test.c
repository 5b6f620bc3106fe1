/* Transactions that lie across each other and over segments, against plain rules: the last stable offset, and
 * what a reader of committed records is told, over rolls, restarts, kills, power cuts and damaged index
 * files.
 *
 * RUNNEL_SEEDS: how many runs (default 60). RUNNEL_SEED: the first of them; a failure prints the one that
 * repeats it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "tests/support/log_rig.h"

enum { PRODUCERS = 6, STEPS = 150, TRANSACTIONS_MAX = 4 * STEPS, RANGES = 12 };

struct transaction {
    int64_t producer_id, first, last; /* last -1: open */
    bool is_aborted;
};

struct model {
    struct log_rig *rig;
    struct random random;
    struct transaction transactions[TRANSACTIONS_MAX];
    size_t count;
};

static struct transaction *open_of(struct model *model, int64_t producer_id)
{
    for (size_t i = 0; i < model->count; i++)
        if (model->transactions[i].producer_id == producer_id && model->transactions[i].last < 0)
            return &model->transactions[i];
    return NULL;
}

static void write_data(struct model *model, bool is_transactional)
{
    unsigned p = (unsigned)random_below(&model->random, PRODUCERS);
    struct rig_batch spec = {
        .count = 1 + (int)random_below(&model->random, 3),
        .value_size = (size_t)random_below(&model->random, 300),
        .timestamp = 1000,
        .attributes = is_transactional ? BATCH_ATTRIBUTE_TRANSACTIONAL : 0,
        .producer_id = is_transactional ? 1 + (int64_t)p : 0,
        .sequence = -1, /* what a cut took is no gap then */
    };
    struct log_append_result result;
    ck_assert_int_eq(rig_append(model->rig, &spec, &result), LOG_OK);
    ck_assert_int_eq(result.status, LOG_OK);
    if (!is_transactional)
        return;
    if (!open_of(model, spec.producer_id)) {
        ck_assert(model->count < TRANSACTIONS_MAX);
        model->transactions[model->count++] =
            (struct transaction){ spec.producer_id, result.base_offset, -1, false };
    }
}

/* The one record of a marker, as Kafka's EndTransactionMarker writes it. */
static void write_marker(struct model *model)
{
    struct batch_view batch;
    struct log_append_result result;
    enum log_status status;
    int64_t producer_id = 1 + (int64_t)random_below(&model->random, PRODUCERS);
    bool is_abort = random_below(&model->random, 3) > 0;
    rig_make_marker(&batch, producer_id, 0, !is_abort, 0);
    while ((status = log_append(model->rig->log, &batch, 1, 0, 1000, &result)) == LOG_BUSY)
        ck_assert_int_eq(log_prepare(model->rig->log), LOG_OK);
    ck_assert_int_eq(status, LOG_OK);
    free(batch.data);
    struct transaction *open = open_of(model, producer_id);
    if (open) {
        open->last = result.base_offset;
        open->is_aborted = is_abort;
    }
}

/* What was cut off never happened. */
static void cut_model(struct model *model, int64_t end)
{
    size_t kept = 0;
    for (size_t i = 0; i < model->count; i++) {
        struct transaction transaction = model->transactions[i];
        if (transaction.first >= end)
            continue;
        if (transaction.last >= end)
            transaction.last = -1;
        model->transactions[kept++] = transaction;
    }
    model->count = kept;
}

static int64_t stable_of(const struct model *model)
{
    struct log_offsets offsets = log_offsets(model->rig->log);
    int64_t stable = offsets.high_watermark;
    for (size_t i = 0; i < model->count; i++) {
        const struct transaction *transaction = &model->transactions[i];
        if ((transaction->last < 0 || transaction->last >= offsets.high_watermark) &&
            transaction->first < stable)
            stable = transaction->first;
    }
    return stable;
}

static void check_range(struct model *model, int64_t from, int64_t upper)
{
    struct arena arena;
    struct log_aborted *items;
    size_t count, expected = 0;
    arena_init(&arena, NULL);
    enum log_status status = log_aborted(model->rig->log, from, upper, &arena, &items, &count);
    if (status == LOG_COLD) {
        ck_assert_int_eq(log_open(model->rig->log), LOG_OK);
        status = log_aborted(model->rig->log, from, upper, &arena, &items, &count);
    }
    ck_assert_int_eq(status, LOG_OK);
    for (size_t i = 0; i < model->count; i++) {
        const struct transaction *transaction = &model->transactions[i];
        if (!transaction->is_aborted || transaction->last < from || transaction->first >= upper)
            continue;
        expected++;
        bool is_told = false;
        for (size_t k = 0; k < count; k++)
            is_told |= items[k].producer_id == transaction->producer_id &&
                       items[k].first_offset == transaction->first;
        ck_assert_msg(is_told, "[%lld, %lld): %lld of %lld is not told", (long long)from, (long long)upper,
                      (long long)transaction->first, (long long)transaction->producer_id);
    }
    ck_assert_uint_eq(count, expected);
    arena_destroy(&arena);
}

static void check_all(struct model *model)
{
    int64_t stable = log_offsets(model->rig->log).stable;
    ck_assert_int_eq(stable, stable_of(model));
    check_range(model, 0, stable);
    for (int i = 0; i < RANGES && stable > 0; i++) {
        int64_t from = (int64_t)random_below(&model->random, (uint64_t)stable);
        check_range(model, from, from + 1 + (int64_t)random_below(&model->random, (uint64_t)(stable - from)));
    }
}

static void settle(struct log_rig *rig)
{
    while (log_rig_flush(rig)) {
    }
    log_rig_run_jobs(rig);
    log_rig_turn(rig);
}

enum restart { CLEAN, CLEAN_UNKNOWN, SHUT, KILL, KILL_DAMAGED, CUT, CLEAN_DAMAGED, RESTARTS };

struct visit {
    struct model *model;
    unsigned count;
};

/* A .txnindex file loses bytes, gets some, is swapped for garbage or goes. */
static bool damage(void *context, const char *name)
{
    struct visit *visit = context;
    struct file_system *files = visit->model->rig->env.files;
    struct file *file;
    uint64_t size;
    size_t length = strlen(name);
    if (length < 9 || strcmp(name + length - 9, ".txnindex") != 0)
        return true;
    visit->count++;
    const char *path = rig_path(visit->model->rig, name);
    check(file_open(files, path, FILE_READ | FILE_WRITE, &file) == FILE_OK &&
          file_size(file, &size) == FILE_OK);
    uint8_t garbage[100];
    memset(garbage, (int)random_below(&visit->model->random, 256), sizeof garbage);
    switch (random_below(&visit->model->random, 3)) {
    case 0:
        check(file_truncate(file, size - 1) == FILE_OK);
        break;
    case 1:
        check(file_pwrite(file, garbage, sizeof garbage, size) == FILE_OK);
        break;
    default:
        check(file_pwrite(file, garbage, 34, 0) == FILE_OK);
        break;
    }
    file_close(file);
    return true;
}

static void damage_files(struct model *model)
{
    struct visit visit = { .model = model };
    (void)file_list(model->rig->env.files, log__path(model->rig->log), damage, &visit);
}

static void cut_power(struct model *model, const struct log_config *config)
{
    struct file_double *before = log_rig_destroy(model->rig);
    enum file_double_cut cut = (enum file_double_cut)random_below(&model->random, 3);
    struct file_double *disk =
        file_double_after_cut(before, file_double_operation_count(before), cut, &model->random);
    file_double_destroy(before);
    model->rig = log_rig_create(disk);
    model->rig->config = *config;
    log_set_config(model->rig->log, config);
}

static void start_again(struct model *model)
{
    struct log_rig *rig = model->rig;
    struct log_row row;
    struct log_config config = rig->config;
    enum restart how = (enum restart)random_below(&model->random, RESTARTS);
    int64_t durable = log_offsets(rig->log).durable;
    if (!log_stats(rig->log).has_directory)
        return;
    if (how == SHUT) {
        settle(rig);
        (void)log__close_files(rig->log);
        log_rig_turn(rig);
        return;
    }
    if (how == CUT) {
        cut_power(model, &config);
        rig = model->rig;
        enum log_status status = log__recover(rig->log, (struct log_position){ 0, 0, 0 }, -1, NULL);
        ck_assert(status == LOG_OK || (status == LOG_NOT_FOUND && durable == 0));
    } else {
        bool clean = how == CLEAN || how == CLEAN_UNKNOWN || how == CLEAN_DAMAGED;
        ck_assert_int_eq(log_rig_close(rig, clean, &row), LOG_OK);
        log_rig_new_log(rig);
        if (how == KILL_DAMAGED || how == CLEAN_DAMAGED)
            damage_files(model);
        if (how == CLEAN)
            log__set_closed_row(rig->log, &row);
        else if (clean)
            ck_assert_int_eq(log__open_clean(rig->log, -1), LOG_OK);
        else
            ck_assert_int_eq(
                log__recover(rig->log, LOG_POSITION_OF_OFFSET(how == KILL ? durable : 0), -1, NULL), LOG_OK);
    }
    ck_assert_int_ge(log_offsets(rig->log).end, durable);
    cut_model(model, log_offsets(rig->log).end);
}

static void step(struct model *model)
{
    switch (random_below(&model->random, 16)) {
    case 0:
        start_again(model);
        break;
    case 1:
        settle(model->rig);
        break;
    case 2:
    case 3:
        write_data(model, false);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        write_marker(model);
        break;
    default:
        write_data(model, true);
    }
}

static void run(uint64_t seed)
{
    struct model model = { .rig = log_rig_create(NULL) };
    struct log_config config = model.rig->config;
    random_seed(&model.random, seed);
    config.segment_bytes = 1500;
    if (random_below(&model.random, 2))
        config.flush_messages = 1;
    model.rig->config = config;
    log_set_config(model.rig->log, &config);
    /* A cut may take the oldest segment of what was never flushed: then the model knows more than the log. */
    for (int i = 0; i < STEPS; i++) {
        step(&model);
        if (log_offsets(model.rig->log).start > 0)
            break;
        check_all(&model);
    }
    file_double_destroy(log_rig_destroy(model.rig));
}

static uint64_t number_of(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : fallback;
}

START_TEST(any_order)
{
    uint64_t first = number_of("RUNNEL_SEED", 1), count = number_of("RUNNEL_SEEDS", 60);
    for (uint64_t seed = first; seed < first + count; seed++) {
        printf("RUNNEL_SEED=%llu\n", (unsigned long long)seed);
        fflush(stdout);
        run(seed);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transactions_model");
    TCase *tests = tcase_create("tests");
    note_set_fd(-1);
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, any_order);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
