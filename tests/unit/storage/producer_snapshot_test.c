/* Kafka's producer snapshots and our file beside them: round trips, and every kind of damage. */
#include <check.h>
#include <stdlib.h>

#include "protocol/base/crc32c.h"
#include "storage/file_double.h"
#include "storage/producer_snapshot.h"

/* Computed from the layout in Kafka's ProducerStateManager. */
static const uint8_t empty_snapshot[] = { 0, 1, 0x48, 0x67, 0x4b, 0xc7, 0, 0, 0, 0 };
static const uint8_t one_entry[] = {
    0,    1, 0x86, 0x69, 0xb7, 0xe6, 0,    0,    0,    1,    0,    0,    0,    0,
    0,    0, 3,    0xe8, 0,    0,    0,    0,    0,    4,    0,    0,    0,    0,
    0,    0, 0,    9,    0,    0,    0,    4,    0,    0,    1,    0x8b, 0xcf, 0xe5,
    0x68, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
};
static const struct producer_entry its_entry = {
    .producer_id = 1000,
    .timestamp = 1700000000000,
    .current_txn_first_offset = -1,
    .coordinator_epoch = -1,
    .batch_count = 1,
    .batches = { { .last_offset = 9, .timestamp = 1700000000000, .last_sequence = 4, .offset_delta = 4 } },
};

static struct producer_state *state_of(const struct producer_entry *entries, size_t count)
{
    struct producer_state *state = NULL;
    ck_assert(producer_state_reserve(&state, count, count));
    for (size_t i = 0; i < count; i++)
        producer_state_put(state, &entries[i]);
    return state;
}

/* Producers with zero to five batches, one in a transaction. */
static struct producer_state *some_producers(void)
{
    struct producer_entry entries[8];
    int64_t offset = 0;
    for (int i = 0; i < 8; i++) {
        entries[i] = (struct producer_entry){
            .producer_id = (int64_t)1 << (i * 7),
            .timestamp = 100 + i,
            .written_ms = 7000 + i,
            .current_txn_first_offset = i == 6 ? 3 : -1,
            .coordinator_epoch = i - 1,
            .epoch = (int16_t)(i * 3000),
            .batch_count = (uint8_t)(i > 5 ? 5 : i),
        };
        for (int k = 0; k < entries[i].batch_count; k++) {
            offset += 2 * k + 1;
            entries[i].batches[k] = (struct producer_batch){
                .last_offset = offset,
                .timestamp = 50 + k,
                .last_sequence = k < 3 ? INT32_MAX - 2 + k : k,
                .offset_delta = k,
            };
        }
        if (entries[i].batch_count > 0) /* as a newest batch has it that no marker followed */
            entries[i].timestamp = entries[i].batches[entries[i].batch_count - 1].timestamp;
    }
    return state_of(entries, 8);
}

enum { OFFSET = 1000 };

static bool is_same_entry(const struct producer_entry *a, const struct producer_entry *b)
{
    return a->producer_id == b->producer_id && a->timestamp == b->timestamp &&
           a->written_ms == b->written_ms && a->current_txn_first_offset == b->current_txn_first_offset &&
           a->coordinator_epoch == b->coordinator_epoch && a->epoch == b->epoch &&
           a->batch_count == b->batch_count &&
           memcmp(a->batches, b->batches, a->batch_count * sizeof a->batches[0]) == 0;
}

START_TEST(snapshots_are_kafkas)
{
    struct producer_entry *read;
    struct producer_files files;
    size_t count;
    uint8_t bytes[sizeof one_entry];
    struct producer_state *state = state_of(&its_entry, 1);

    ck_assert(producer_files_encode(NULL, &files));
    ck_assert_uint_eq(files.snapshot_size, sizeof empty_snapshot);
    ck_assert_mem_eq(files.snapshot, empty_snapshot, sizeof empty_snapshot);
    ck_assert_ptr_null(files.history);
    producer_files_free(&files);
    ck_assert(producer_files_encode(state, &files));
    ck_assert_uint_eq(files.snapshot_size, sizeof one_entry);
    ck_assert_mem_eq(files.snapshot, one_entry, sizeof one_entry);
    producer_files_free(&files);
    producer_state_destroy(state);
    ck_assert_int_eq(producer_snapshot_decode(slice_of(one_entry, sizeof one_entry), 10, &read, &count),
                     PRODUCER_DECODED);
    ck_assert_uint_eq(count, 1);
    ck_assert(is_same_entry(read, &its_entry));
    free(read);
    for (size_t size = 0; size < sizeof one_entry; size++) {
        memcpy(bytes, one_entry, sizeof bytes);
        ck_assert_int_eq(producer_snapshot_decode(slice_of(bytes, size), 10, &read, &count),
                         PRODUCER_DAMAGED);
        bytes[size] ^= 0x10;
        ck_assert_int_eq(producer_snapshot_decode(slice_of(bytes, sizeof bytes), 10, &read, &count),
                         PRODUCER_DAMAGED);
        ck_assert_ptr_null(read);
    }
}
END_TEST

/* With a right checksum, and yet not true: an answer of such offsets would never leave, or name others'
 * records. */
static const struct {
    const char *what;
    size_t at;
    int size;
    int64_t value;
    bool is_damaged;
} entries_of_snapshots[] = {
    { "a batch at the snapshot's offset", 24, 8, 10, true },
    { "a batch far beyond it", 24, 8, INT64_MAX, true },
    { "the last batch before it", 24, 8, 9, false },
    { "first offset 0", 32, 4, 9, false },
    { "a batch that begins below 0", 32, 4, 10, true },
    { "a batch that ends before it begins", 32, 4, -1, true },
    { "a negative sequence", 20, 4, -2, true },
    { "no sequence, as a group coordinator writes", 20, 4, -1, false },
    { "a negative producer id", 10, 8, -1, true },
    { "no batch, but a marker", 24, 8, -1, false },
};

START_TEST(entries_that_cannot_be_true)
{
    uint8_t bytes[sizeof one_entry];
    struct producer_entry *read;
    size_t count;
    memcpy(bytes, one_entry, sizeof bytes);
    if (entries_of_snapshots[_i].size == 8)
        store_be64(bytes + entries_of_snapshots[_i].at, (uint64_t)entries_of_snapshots[_i].value);
    else
        store_be32(bytes + entries_of_snapshots[_i].at, (uint32_t)entries_of_snapshots[_i].value);
    store_be32(bytes + 2, crc32c(0, bytes + 6, sizeof bytes - 6));
    enum producer_decoded decoded =
        producer_snapshot_decode(slice_of(bytes, sizeof bytes), 10, &read, &count);
    ck_assert_msg((decoded == PRODUCER_DAMAGED) == entries_of_snapshots[_i].is_damaged, "%s",
                  entries_of_snapshots[_i].what);
    free(read);
}
END_TEST

START_TEST(both_files_hold_everything)
{
    struct file_double *disk = file_double_create();
    struct file_system *files = file_double_system(disk);
    struct producer_state *state = some_producers();
    struct producer_entry *read, entry;
    size_t count;
    bool is_complete;
    uint64_t cursor = 0;

    ck_assert_int_eq(producer_files_write(files, "/", OFFSET, state, true), FILE_OK);
    ck_assert_int_eq(producer_files_read(files, "/", OFFSET, &read, &count, &is_complete), FILE_OK);
    ck_assert(is_complete);
    ck_assert_uint_eq(count, 8);
    for (size_t i = 0; i < count; i++) {
        ck_assert(producer_state_next(state, &cursor, &entry));
        ck_assert(is_same_entry(&read[i], &entry));
    }
    ck_assert(!producer_state_next(state, &cursor, &entry));
    free(read);
    ck_assert_int_eq(producer_files_read(files, "/", OFFSET + 1, &read, &count, &is_complete),
                     FILE_NOT_FOUND);
    ck_assert_int_eq(producer_files_unlink(files, "/", OFFSET), FILE_OK);
    ck_assert_int_eq(producer_files_unlink(files, "/", OFFSET), FILE_OK);
    ck_assert_int_eq(producer_files_read(files, "/", OFFSET, &read, &count, &is_complete), FILE_NOT_FOUND);
    producer_state_destroy(state);
    file_double_destroy(disk);
}
END_TEST

/* Whatever happens to the file beside it, the snapshot alone still says the last batch. */
START_TEST(a_damaged_file_beside_it_is_not_believed)
{
    struct file_double *disk = file_double_create();
    struct file_system *files = file_double_system(disk);
    struct producer_state *state = some_producers();
    struct producer_files bytes;
    struct producer_entry *read;
    size_t count;
    bool is_complete;
    const char *path = "/00000000000000001000.producers.runnel";
    ck_assert(producer_files_encode(state, &bytes));
    ck_assert_int_eq(producer_files_write(files, "/", OFFSET, state, true), FILE_OK);
    for (size_t i = 0; i < bytes.history_size; i++) {
        ck_assert(file_double_flip_bit(disk, path, i, (unsigned)i % 8));
        ck_assert_int_eq(producer_files_read(files, "/", OFFSET, &read, &count, &is_complete), FILE_OK);
        ck_assert(!is_complete);
        ck_assert_uint_eq(count, 8);
        for (size_t k = 0; k < count; k++)
            ck_assert_uint_eq(read[k].batch_count, k > 0 ? 1 : 0);
        free(read);
        ck_assert(file_double_flip_bit(disk, path, i, (unsigned)i % 8));
    }
    ck_assert(file_double_flip_bit(disk, "/00000000000000001000.snapshot", 20, 0));
    ck_assert_int_eq(producer_files_read(files, "/", OFFSET, &read, &count, &is_complete), FILE_IO);
    producer_files_free(&bytes);
    producer_state_destroy(state);
    file_double_destroy(disk);
}
END_TEST

/* One that was written beside another snapshot, though its own checksum is right. */
static const struct {
    const char *what;
    struct producer_entry now; /* of the snapshot */
    bool same_crc;             /* by a collision */
} strangers[] = {
    { "another producer",
      { .producer_id = 1001, .batch_count = 1, .batches = { { 9, 1700000000000, 4, 4 } } },
      true },
    { "another epoch",
      { .producer_id = 1000, .epoch = 1, .batch_count = 1, .batches = { { 9, 1700000000000, 4, 4 } } },
      true },
    { "another newest batch",
      { .producer_id = 1000, .batch_count = 1, .batches = { { 19, 1700000000000, 14, 4 } } },
      true },
    { "no batch any more", { .producer_id = 1000 }, true },
    { "another checksum of the snapshot",
      { .producer_id = 1000, .batch_count = 1, .batches = { { 9, 1700000000000, 4, 4 } } },
      false },
};

START_TEST(a_stranger_is_not_believed)
{
    struct producer_state *state = state_of(&its_entry, 1);
    struct producer_files bytes;
    struct producer_entry now = strangers[_i].now;
    uint8_t snapshot[sizeof one_entry];
    memcpy(snapshot, one_entry, sizeof snapshot);
    snapshot[5] ^= !strangers[_i].same_crc;
    ck_assert(producer_files_encode(state, &bytes));
    ck_assert_int_eq(producer_history_decode(slice_of(bytes.history, bytes.history_size),
                                             slice_of(snapshot, sizeof snapshot), &now, 1),
                     PRODUCER_DAMAGED);
    ck_assert(is_same_entry(&now, &strangers[_i].now));
    now = its_entry;
    ck_assert_int_eq(producer_history_decode(slice_of(bytes.history, bytes.history_size),
                                             slice_of(one_entry, sizeof one_entry), &now, 1),
                     PRODUCER_DECODED);
    producer_files_free(&bytes);
    producer_state_destroy(state);
}
END_TEST

/* Everything about the file is right but one number, and its checksum is made right again. */
static const struct {
    const char *what;
    size_t at;
    uint32_t value; /* four bytes */
} lies[] = {
    { "six batches", 16 + 16, 6 },
    { "no batches", 16 + 16, 0 },
    { "written before time began", 16 + 8, 0x80000000u },
    { "an older batch behind the newest", 16 + 20, 1 },
    { "an older batch that reaches over the newest", 16 + 20 + 4, 5 },
    { "an older batch with a negative delta", 16 + 20 + 20, 0xffffffffu },
    { "an older batch with an impossible sequence", 16 + 20 + 16, 0x80000000u },
    { "more entries", 12, 2 },
};

START_TEST(a_lie_is_not_believed)
{
    struct producer_entry two = its_entry;
    struct producer_files bytes;
    two.batches[1] = two.batches[0];
    two.batches[0] = (struct producer_batch){ .last_offset = 4, .timestamp = 1, .last_sequence = INT32_MAX };
    two.batch_count = 2;
    struct producer_state *state = state_of(&two, 1);
    struct producer_entry now = its_entry;
    ck_assert(producer_files_encode(state, &bytes));
    slice history = slice_of(bytes.history, bytes.history_size);
    slice snapshot = slice_of(bytes.snapshot, bytes.snapshot_size);
    ck_assert_int_eq(producer_history_decode(history, snapshot, &now, 1), PRODUCER_DECODED);
    ck_assert_uint_eq(now.batch_count, 2);
    now = its_entry;
    store_be32(bytes.history + lies[_i].at, lies[_i].value);
    store_be32(bytes.history + history.size - 4, crc32c(0, bytes.history, history.size - 4));
    ck_assert_msg(producer_history_decode(history, snapshot, &now, 1) == PRODUCER_DAMAGED, "%s",
                  lies[_i].what);
    ck_assert(is_same_entry(&now, &its_entry));
    producer_files_free(&bytes);
    producer_state_destroy(state);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("producer_snapshot");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, snapshots_are_kafkas);
    tcase_add_loop_test(tests, entries_that_cannot_be_true, 0,
                        sizeof entries_of_snapshots / sizeof entries_of_snapshots[0]);
    tcase_add_test(tests, both_files_hold_everything);
    tcase_add_test(tests, a_damaged_file_beside_it_is_not_believed);
    tcase_add_loop_test(tests, a_stranger_is_not_believed, 0, sizeof strangers / sizeof strangers[0]);
    tcase_add_loop_test(tests, a_lie_is_not_believed, 0, sizeof lies / sizeof lies[0]);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
