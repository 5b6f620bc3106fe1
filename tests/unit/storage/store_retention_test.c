/* Retention, DeleteRecords and its checkpoint in a store: what a power cut after any operation leaves, what
 * Kafka would read, and what readers see in between.
 *
 * RUNNEL_SEED: another course of events. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "storage/checkpoint.h"
#include "storage/file_double.h"
#include "tests/support/storage_host.h"

enum { SLOTS = 2, STEPS_MAX = 400, BATCH_RECORDS = 3, VALUE_SIZE = 60, SEGMENT_SIZE = 1200 };

/* One name in the store, and what its log must at least be after a power cut. */
struct slot {
    uuid id; /* of the topic that has the name now */
    bool is_alive;
    int64_t start_sure;  /* was acknowledged */
    int64_t start_asked; /* the most that anybody asked for, or retention did */
    int64_t end_sure;    /* was durable */
};

/* What held when the disk had seen so many operations. */
struct moment {
    uint64_t operation;
    struct slot slots[SLOTS];
    size_t removed_count;
};

static struct file_double *disk;
static struct storage_host host;
static struct store *store;
static struct arena arena;
static const char *directories[] = { "/data" };
static const struct store_options options = { .directories = directories,
                                              .directory_count = 1,
                                              .node_id = 1 };
static const char *const names[SLOTS] = { "a", "b" };
static struct random chance;
static struct slot slots[SLOTS];
static struct log *logs[SLOTS];
static uuid removed[STEPS_MAX];
static int removed_slot[STEPS_MAX];
static size_t removed_count;
static uint8_t id_count;
static struct moment history[2 * STEPS_MAX];
static size_t history_count;
static bool never_saves; /* the control */

static void note_moment(void)
{
    struct moment *moment = &history[history_count++];
    ck_assert_uint_le(history_count, sizeof history / sizeof history[0]);
    moment->operation = file_double_operation_count(disk);
    memcpy(moment->slots, slots, sizeof slots);
    moment->removed_count = removed_count;
}

static struct log_config config_of(void)
{
    struct log_config config = storage_host_config(SEGMENT_SIZE);
    config.cleanup = LOG_CLEANUP_DELETE;
    config.retention_ms = -1;
    config.retention_bytes = 3 * SEGMENT_SIZE;
    config.file_delete_delay_ms = 60000;
    return config;
}

static void open_on(struct file_double *other)
{
    disk = other;
    storage_host_init(&host, file_double_system(disk));
    const char *error = "";
    ck_assert_msg(store_open(&host.env, &options, &store, &error) == STORE_OK, "%s", error);
}

/* As the controller does: what was removed, then what there is, then recovery. */
static void start(const struct slot *known, size_t removed_known)
{
    struct log_config config = config_of();
    const char *error = "";
    for (size_t i = 0; i < removed_known; i++)
        store_topic_removed(store, removed[i], slice_of_string(names[removed_slot[i]]), 1);
    for (int i = 0; i < SLOTS; i++)
        logs[i] = known[i].is_alive ? store_log(store, known[i].id, names[i], 0, &config, NULL) : NULL;
    retire_sleep(host.env.retire, host.member);
    ck_assert_msg(store_recover(store, 1, &error) == STORE_OK, "%s", error);
    retire_wake(host.env.retire, host.member);
    storage_host_run(&host);
}

static struct file_double *stop(bool clean)
{
    struct file_double *left = disk;
    storage_host_run(&host);
    ck_assert_int_eq(store_close(store, clean), STORE_OK);
    store = NULL;
    storage_host_destroy(&host);
    return left;
}

static uint64_t seed_of(uuid id, int64_t offset)
{
    return (uint64_t)id.bytes[0] * 100000 + (uint64_t)offset;
}

static void append_some(int i, int count)
{
    for (int k = 0; k < count; k++) {
        struct log_append_result result;
        struct batch_view batch = storage_host_batch(&arena, seed_of(slots[i].id, log_offsets(logs[i]).end),
                                                     BATCH_RECORDS, VALUE_SIZE);
        ck_assert_int_eq(storage_host_append(&host, logs[i], &batch, &result), LOG_OK);
    }
    storage_host_flush(&host, store);
    storage_host_run(&host);
    slots[i].end_sure = log_offsets(logs[i]).durable;
    ck_assert_int_eq(slots[i].end_sure, log_offsets(logs[i]).end);
}

static void delete_some(int i)
{
    struct log_offsets offsets = log_offsets(logs[i]);
    int64_t start_offset;
    int64_t until =
        offsets.start + (int64_t)random_below(&chance, (uint64_t)(offsets.end - offsets.start) + 1);
    slots[i].start_asked = until > slots[i].start_asked ? until : slots[i].start_asked;
    note_moment();
    enum log_status status = log_delete_records(logs[i], until, &start_offset);
    while (status == LOG_BUSY) {
        ck_assert_int_eq(log_prepare(logs[i]), LOG_OK);
        status = log_delete_records(logs[i], until, &start_offset);
    }
    ck_assert_int_eq(status, LOG_OK);
    ck_assert_int_eq(start_offset, until);
    if (!never_saves)
        ck_assert_int_eq(store_save_starts(store), STORE_OK);
    slots[i].start_sure = until;
}

static void retain_all(void)
{
    for (int i = 0; i < SLOTS; i++)
        slots[i].start_asked = logs[i] ? log_offsets(logs[i]).end : 0; /* whatever it removes */
    note_moment();
    ck_assert(store_retain(store, clock_wall_ms(host.env.clock), NULL, NULL));
    for (int i = 0; i < SLOTS; i++)
        slots[i].start_asked = logs[i] ? log_offsets(logs[i]).start : 0;
    storage_host_flush(&host, store);
    storage_host_run(&host);
}

static void delete_topic(int i)
{
    slots[i].is_alive = false;
    removed[removed_count] = slots[i].id;
    removed_slot[removed_count++] = i;
    note_moment(); /* the metadata log says so before the store hears of it */
    ck_assert_int_eq(store_delete_logs(store, &logs[i], 1), LOG_OK);
    retire(host.env.retire, logs[i], store_free_log);
    logs[i] = NULL;
    storage_host_run(&host);
}

static void make_topic(int i)
{
    struct log_config config = config_of();
    slots[i] = (struct slot){ .id = { { ++id_count } }, .is_alive = true };
    note_moment();
    logs[i] = store_log(store, slots[i].id, names[i], 0, &config, NULL);
    ck_assert_ptr_nonnull(logs[i]);
}

static void take_step(void)
{
    int i = (int)random_below(&chance, SLOTS);
    uint64_t what = random_below(&chance, 20);
    if (!slots[i].is_alive)
        make_topic(i);
    else if (what < 9)
        append_some(i, 1 + (int)random_below(&chance, 4));
    else if (what < 13)
        delete_some(i);
    else if (what < 16)
        retain_all();
    else if (what < 17)
        delete_topic(i);
    else
        clock_virtual_advance(&host.clock, 40000);
    storage_host_flush(&host, store);
    storage_host_run(&host);
    host.flush_wanted = true; /* files that are due */
    storage_host_flush(&host, store);
    storage_host_run(&host);
    note_moment();
}

/* -- after the cut ---------------------------------------------------------------------------------- */

static bool check_records(int i, const struct slot *slot, const struct log_offsets *offsets)
{
    struct log_offsets now = *offsets;
    for (int64_t at = now.start; at < now.end;) {
        enum log_status status;
        slice bytes = storage_host_read(&host, logs[i], at, &status);
        struct batch_view batch;
        if (status != LOG_OK || bytes.size == 0 || batch_view(bytes, &batch) != BATCH_OK ||
            !batch_crc_ok(&batch) || batch.base_offset > at) {
            fprintf(stderr, "%s at %" PRId64 ": status %d\n", names[i], at, status);
            return false;
        }
        struct batch_view expected =
            storage_host_batch(&arena, seed_of(slot->id, batch.base_offset), BATCH_RECORDS, VALUE_SIZE);
        bool same = load_be32(batch.data + BATCH_CRC) == load_be32(expected.data + BATCH_CRC);
        at = batch_last_offset(&batch) + 1;
        free((void *)(uintptr_t)bytes.data);
        if (!same) {
            fprintf(stderr, "%s before %" PRId64 ": other records\n", names[i], at);
            return false;
        }
    }
    return true;
}

static bool check_slot(int i, const struct slot *sure, const struct slot *next)
{
    struct log_offsets offsets = log_offsets(logs[i]);
    int64_t most = sure->start_asked;
    if (next && next->is_alive && uuid_equal(next->id, sure->id) && next->start_asked > most)
        most = next->start_asked;
    if (offsets.start < sure->start_sure || offsets.start > most || offsets.end < sure->end_sure) {
        fprintf(stderr, "%s: start %" PRId64 " of %" PRId64 "..%" PRId64 ", end %" PRId64 " of %" PRId64 "\n",
                names[i], offsets.start, sure->start_sure, most, offsets.end, sure->end_sure);
        return false;
    }
    return check_records(i, sure, &offsets);
}

static unsigned check_cut(struct file_double *whole, uint64_t operation, enum file_double_cut cut)
{
    size_t at = 0;
    unsigned wrong = 0;
    while (at + 1 < history_count && history[at + 1].operation <= operation)
        at++;
    const struct moment *sure = &history[at];
    const struct moment *next = at + 1 < history_count ? &history[at + 1] : NULL;
    open_on(file_double_after_cut(whole, operation, cut, &chance));
    start(sure->slots, sure->removed_count);
    for (int i = 0; i < SLOTS; i++) {
        if (sure->slots[i].is_alive && !check_slot(i, &sure->slots[i], next ? &next->slots[i] : NULL))
            wrong++;
    }
    file_double_destroy(stop(operation % 2 == 0));
    arena_reset(&arena);
    return wrong;
}

static unsigned run(uint64_t seed, int steps)
{
    unsigned wrong = 0;
    random_seed(&chance, seed);
    arena_init(&arena, NULL);
    history_count = removed_count = id_count = 0;
    memset(slots, 0, sizeof slots);
    open_on(file_double_create());
    for (int i = 0; i < SLOTS; i++)
        make_topic(i);
    start(slots, 0);
    note_moment();
    for (int i = 0; i < steps; i++)
        take_step();
    uint64_t count = file_double_operation_count(disk);
    struct file_double *whole = stop(false);
    for (uint64_t operation = 1; operation <= count && wrong == 0; operation++) {
        wrong += check_cut(whole, operation, FILE_DOUBLE_LOSE_ALL);
        wrong += check_cut(whole, operation, FILE_DOUBLE_KEEP_ALL);
        wrong += check_cut(whole, operation, FILE_DOUBLE_REORDER);
    }
    file_double_destroy(whole);
    arena_destroy(&arena);
    return wrong;
}

static uint64_t first_seed(void)
{
    const char *text = getenv("RUNNEL_SEED");
    return text ? strtoull(text, NULL, 10) : 1;
}

START_TEST(a_power_cut_keeps_what_was_acknowledged)
{
    uint64_t seed = first_seed() + (uint64_t)_i;
    never_saves = false;
    ck_assert_msg(run(seed, 40) == 0, "RUNNEL_SEED=%" PRIu64, seed);
}
END_TEST

START_TEST(without_the_checkpoint_starts_are_lost)
{
    unsigned wrong = 0;
    never_saves = true;
    for (uint64_t seed = 1; seed < 20 && wrong == 0; seed++)
        wrong = run(seed, 40);
    ck_assert_uint_gt(wrong, 0);
}
END_TEST

/* -- what the checkpoint says ------------------------------------------------------------------------ */

static char *checkpoint_text_of(void)
{
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(
        file_read_all(file_double_system(disk), "/data/" CHECKPOINT_LOG_START_OFFSET, 1 << 16, &bytes, &size),
        FILE_OK);
    return (char *)bytes;
}

static void expect_checkpoint(const char *expected)
{
    char *text = checkpoint_text_of();
    ck_assert_str_eq(text, expected);
    free(text);
}

START_TEST(the_checkpoint_is_kafkas)
{
    never_saves = false;
    arena_init(&arena, NULL);
    history_count = removed_count = id_count = 0;
    memset(slots, 0, sizeof slots);
    open_on(file_double_create());
    for (int i = 0; i < SLOTS; i++)
        make_topic(i);
    start(slots, 0);
    int64_t start_offset;
    append_some(0, 40);
    append_some(1, 40);
    ck_assert_int_eq(log_delete_records(logs[0], 50, &start_offset), LOG_OK);
    ck_assert(store_starts_changed(store));
    ck_assert_int_eq(store_save_starts(store), STORE_OK);
    ck_assert(!store_starts_changed(store));
    expect_checkpoint("0\n1\na 0 50\n");
    uint64_t before = file_double_operation_count(disk);
    ck_assert_int_eq(store_save_starts(store), STORE_OK); /* nothing is new */
    ck_assert_uint_eq(file_double_operation_count(disk), before);
    store_retain(store, 0, NULL, NULL); /* 50 lies inside a segment, or behind what size takes */
    ck_assert_int_eq(store_save_starts(store), STORE_OK);
    expect_checkpoint("0\n0\n");
    /* A clean stop writes the same, and a start after it believes it. */
    ck_assert_int_eq(log_delete_records(logs[1], 119, &start_offset), LOG_OK);
    struct file_double *left = stop(true);
    open_on(left);
    start(slots, 0);
    expect_checkpoint("0\n1\nb 0 119\n");
    ck_assert_int_eq(log_offsets(logs[1]).start, 119);
    ck_assert(!log_stats(logs[1]).is_open);
    store_retain(store, 0, NULL, NULL);
    ck_assert(log_stats(logs[1]).is_open); /* segments lie below its start */
    ck_assert_uint_eq(log_stats(logs[1]).segment_count, 1);
    ck_assert(!log_stats(logs[0]).is_open); /* there is nothing to do */
    file_double_destroy(stop(true));
    arena_destroy(&arena);
}
END_TEST

START_TEST(unlinking_waits_for_the_delay_and_a_stop_does_not)
{
    struct file_info info;
    never_saves = false;
    arena_init(&arena, NULL);
    history_count = removed_count = id_count = 0;
    memset(slots, 0, sizeof slots);
    open_on(file_double_create());
    for (int i = 0; i < SLOTS; i++)
        make_topic(i);
    start(slots, 0);
    append_some(0, 40);
    append_some(1, 40);
    struct file_system *files = file_double_system(disk);
    const char *first = "/data/a-0/00000000000000000000.log.deleted";
    store_retain(store, 0, NULL, NULL);
    ck_assert_int_eq(file_info(files, first, &info), FILE_OK);
    int64_t due_ms = clock_mono_ms(host.env.clock) + 60000;
    storage_host_flush(&host, store);
    storage_host_run(&host);
    ck_assert_int_eq(store_flush_due_ms(store), due_ms);
    clock_virtual_advance(&host.clock, 59999);
    store_flush(store);
    storage_host_run(&host);
    ck_assert_int_eq(file_info(files, first, &info), FILE_OK);
    clock_virtual_advance(&host.clock, 1);
    store_flush(store);
    storage_host_run(&host);
    ck_assert_int_eq(file_info(files, first, &info), FILE_NOT_FOUND);
    ck_assert_int_eq(store_flush_due_ms(store), INT64_MAX);
    append_some(0, 40);
    store_retain(store, 0, NULL, NULL);
    struct file_double *left = stop(true);
    struct log_stats stats = { 0 };
    (void)stats;
    open_on(left);
    ck_assert_int_eq(file_info(file_double_system(left), first, &info), FILE_NOT_FOUND);
    file_double_destroy(stop(false));
    arena_destroy(&arena);
}
END_TEST

int main(void)
{
    note_set_level(NOTE_ERROR);
    Suite *suite = suite_create("store_retention");
    TCase *tests = tcase_create("store_retention");
    tcase_set_timeout(tests, 600);
    tcase_add_loop_test(tests, a_power_cut_keeps_what_was_acknowledged, 0, 4);
    tcase_add_test(tests, without_the_checkpoint_starts_are_lost);
    tcase_add_test(tests, the_checkpoint_is_kafkas);
    tcase_add_test(tests, unlinking_waits_for_the_delay_and_a_stop_does_not);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
