/* What a recovery noted on its one walk is what reading everything again tells: producers, open transactions
 * and leader epochs, after kills, power cuts and damage. */
#include <check.h>
#include <stdlib.h>

#include "storage/log_history.h"
#include "storage/log_producers.h"
#include "tests/support/log_rig.h"

enum { RUNS = 60, STEPS = 150, PRODUCERS = 5 };

struct run {
    struct log_rig *rig;
    struct random random;
    int32_t sequences[PRODUCERS];
    int16_t producer_epoch; /* a new one after each restart, as what was cut is not known here */
    int32_t leader_epoch;
};

static void append(struct run *run, struct batch_view *batch)
{
    struct log_append_result result;
    enum log_status status;
    while ((status = log_append(run->rig->log, batch, 1, run->leader_epoch, 1000, &result)) == LOG_BUSY)
        ck_assert_int_eq(log_prepare(run->rig->log), LOG_OK);
    ck_assert_int_eq(status, LOG_OK);
    free(batch->data);
}

static void write_data(struct run *run)
{
    size_t who = random_below(&run->random, PRODUCERS);
    bool has_id = random_below(&run->random, 4) > 0;
    struct rig_batch spec = {
        .count = 1,
        .value_size = random_below(&run->random, 3) == 0 ? 9000 : 20, /* some are passed over by their size */
        .timestamp = 1000,
        .attributes = has_id && random_below(&run->random, 3) == 0 ? BATCH_ATTRIBUTE_TRANSACTIONAL : 0,
        .producer_id = has_id ? (int64_t)who + 1 : 0,
        .sequence = run->sequences[who],
        .epoch = run->producer_epoch,
    };
    struct batch_view batch;
    run->sequences[who] += has_id;
    rig_make_batch(&spec, &batch);
    append(run, &batch);
}

static void write_marker(struct run *run)
{
    struct batch_view batch;
    int64_t who = 1 + (int64_t)random_below(&run->random, PRODUCERS);
    rig_make_marker(&batch, who, run->producer_epoch, (int16_t)random_below(&run->random, 2), 0);
    append(run, &batch);
}

static void flush(struct run *run)
{
    while (log_rig_flush(run->rig)) {
    }
    log_rig_run_jobs(run->rig);
    log_rig_turn(run->rig);
}

/* One bit of a .log file. */
static bool damage(void *context, const char *name)
{
    struct run *run = context;
    size_t length = strlen(name), got;
    struct file *file;
    uint64_t size;
    uint8_t byte;
    if (length < 4 || strcmp(name + length - 4, ".log") != 0)
        return true;
    ck_assert_int_eq(file_open(run->rig->env.files, rig_path(run->rig, name), FILE_READ | FILE_WRITE, &file),
                     FILE_OK);
    ck_assert_int_eq(file_size(file, &size), FILE_OK);
    if (size > 0) {
        uint64_t position = random_below(&run->random, size);
        ck_assert_int_eq(file_pread(file, &byte, 1, position, &got), FILE_OK);
        byte ^= (uint8_t)(1u << random_below(&run->random, 8));
        ck_assert_int_eq(file_pwrite(file, &byte, 1, position), FILE_OK);
    }
    file_close(file);
    return false;
}

static void check_producers(struct log *log)
{
    struct producer_entry noted, read;
    uint64_t noted_cursor = 0, read_cursor = 0;
    struct producer_state *before = log->producers;
    ck_assert(log->producers_loaded);
    log->producers = NULL;
    log->producers_loaded = false;
    int64_t first_open = log->first_open;
    ck_assert_int_eq(log__load_producers(log), LOG_OK);
    ck_assert_int_eq(log->first_open, first_open);
    ck_assert_uint_eq(producer_state_count(log->producers), producer_state_count(before));
    while (before && producer_state_next(before, &noted_cursor, &noted)) {
        ck_assert(producer_state_next(log->producers, &read_cursor, &read));
        ck_assert_int_eq(noted.producer_id, read.producer_id);
        ck_assert_int_eq(noted.epoch, read.epoch);
        ck_assert_int_eq(noted.timestamp, read.timestamp);
        ck_assert_int_eq(noted.written_ms, read.written_ms);
        ck_assert_int_eq(noted.current_txn_first_offset, read.current_txn_first_offset);
        ck_assert_int_eq(noted.coordinator_epoch, read.coordinator_epoch);
        ck_assert_uint_eq(noted.batch_count, read.batch_count);
        for (size_t i = 0; i < noted.batch_count; i++) {
            ck_assert_int_eq(noted.batches[i].last_offset, read.batches[i].last_offset);
            ck_assert_int_eq(noted.batches[i].last_sequence, read.batches[i].last_sequence);
        }
    }
    producer_state_destroy(before);
}

/* text: what leader-epoch-checkpoint had before the recovery; null: it was not there. */
static void check_epochs(struct log_rig *rig, slice text)
{
    const struct load_notes nothing = { .log = rig->log };
    struct log *log = rig->log;
    const char *path = rig_path(rig, "leader-epoch-checkpoint");
    uint32_t count = log->epochs.count;
    struct leader_epoch noted[64];
    ck_assert_uint_le(count, 64);
    for (uint32_t i = 0; i < count; i++)
        noted[i] = log->epochs.entries[i];
    if (slice_is_null(text))
        ck_assert_int_ne(file_unlink(rig->env.files, path), FILE_IO);
    else
        ck_assert_int_eq(file_replace(rig->env.files, path, text), FILE_OK);
    ck_assert_int_eq(log__load_epochs(log, log_offsets(log).start, log_offsets(log).end, INT32_MAX, &nothing),
                     LOG_OK);
    ck_assert_uint_eq(log->epochs.count, count);
    for (uint32_t i = 0; i < count; i++) {
        ck_assert_int_eq(log->epochs.entries[i].epoch, noted[i].epoch);
        ck_assert_int_eq(log->epochs.entries[i].start_offset, noted[i].start_offset);
    }
    log->epochs_dirty = true;
}

static void cut_power(struct run *run)
{
    struct log_config config = run->rig->config;
    struct file_double *before = log_rig_destroy(run->rig);
    enum file_double_cut cut = (enum file_double_cut)random_below(&run->random, 3);
    struct file_double *disk =
        file_double_after_cut(before, file_double_operation_count(before), cut, &run->random);
    file_double_destroy(before);
    run->rig = log_rig_create(disk);
    run->rig->config = config;
    log_set_config(run->rig->log, &config);
}

static void recover(struct run *run)
{
    struct log_position durable = log__durable_position(run->rig->log);
    struct log_row row;
    uint8_t *bytes;
    size_t size;
    if (!log_stats(run->rig->log).has_directory)
        return;
    if (random_below(&run->random, 3) == 0) {
        cut_power(run);
    } else {
        ck_assert_int_eq(log_rig_close(run->rig, random_below(&run->random, 3) == 0, &row), LOG_OK);
        log_rig_new_log(run->rig);
        if (random_below(&run->random, 3) == 0)
            (void)file_list(run->rig->env.files, log__path(run->rig->log), damage, run);
    }
    struct log_rig *rig = run->rig;
    const char *epochs = rig_path(rig, "leader-epoch-checkpoint");
    if (random_below(&run->random, 3) == 0)
        (void)file_unlink(rig->env.files, epochs);
    (void)file_read_all(rig->env.files, epochs, 1 << 20, &bytes, &size);
    enum log_status status = log__recover(rig->log, durable, -1, NULL);
    ck_assert(status == LOG_OK || (status == LOG_NOT_FOUND && durable.offset == 0));
    if (status == LOG_OK) {
        check_producers(rig->log);
        check_epochs(rig, bytes ? slice_of(bytes, size) : SLICE_NULL);
    }
    free(bytes);
    run->producer_epoch++;
    memset(run->sequences, 0, sizeof run->sequences);
}

START_TEST(noted_is_what_is_read)
{
    struct run run = { .rig = log_rig_create(NULL) };
    random_seed(&run.random, (uint64_t)_i);
    struct log_config config = run.rig->config;
    config.segment_bytes = _i % 2 ? 30000 : 1 << 20;
    config.flush_messages = _i % 3 ? 1 : INT64_MAX;
    run.rig->config = config;
    log_set_config(run.rig->log, &config);
    for (int i = 0; i < STEPS; i++) {
        uint64_t what = random_below(&run.random, 24);
        if (what == 0)
            recover(&run);
        else if (what <= 3)
            flush(&run);
        else if (what <= 6)
            write_marker(&run);
        else
            write_data(&run);
        run.leader_epoch += random_below(&run.random, 12) == 0;
    }
    recover(&run);
    file_double_destroy(log_rig_destroy(run.rig));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load_notes");
    TCase *tests = tcase_create("load_notes");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, noted_is_what_is_read, 0, RUNS);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
