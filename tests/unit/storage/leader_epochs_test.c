/* storage/leader_epochs.h: assignment, cuts, look-ups (facts: disk-format 1.4, protocol 4.5). */
#include <check.h>
#include <stdlib.h>

#include "storage/file_double.h"
#include "storage/leader_epochs.h"

static struct leader_epochs make(const int64_t (*entries)[2], size_t count)
{
    struct leader_epochs epochs = { .entries = NULL };
    for (size_t i = 0; i < count; i++) {
        ck_assert(leader_epochs_reserve(&epochs));
        leader_epochs_assign(&epochs, (int32_t)entries[i][0], entries[i][1]);
    }
    return epochs;
}

static const int64_t three[][2] = { { 2, 10 }, { 5, 20 }, { 7, 30 } };

START_TEST(assignments)
{
    static const struct {
        const char *what;
        int32_t epoch;
        int64_t start;
        uint32_t count;
        bool changed;
    } rows[] = {
        { "a newer epoch", 8, 40, 4, true },
        { "the same again", 7, 30, 3, false },
        { "an older epoch drops what contradicts it", 5, 35, 2, true },
        { "a start in front drops what begins later", 9, 20, 2, true },
        { "everything goes", 1, 0, 1, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct leader_epochs epochs = make(three, 3);
        ck_assert(leader_epochs_reserve(&epochs));
        ck_assert_msg(leader_epochs_assign(&epochs, rows[i].epoch, rows[i].start) == rows[i].changed, "%s",
                      rows[i].what);
        ck_assert_msg(epochs.count == rows[i].count, "%s", rows[i].what);
        ck_assert_int_eq(leader_epochs_latest(&epochs), rows[i].epoch);
        leader_epochs_destroy(&epochs);
    }
}
END_TEST

START_TEST(cuts)
{
    static const struct {
        int64_t offset;
        uint32_t count_end, count_start;
        int64_t first_start;
    } rows[] = {
        { 0, 0, 3, 10 },  { 10, 0, 3, 10 }, { 11, 1, 3, 11 }, { 20, 1, 2, 20 },
        { 25, 2, 2, 25 }, { 30, 2, 1, 30 }, { 31, 3, 1, 31 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct leader_epochs epochs = make(three, 3);
        leader_epochs_cut_end(&epochs, rows[i].offset);
        ck_assert_uint_eq(epochs.count, rows[i].count_end);
        leader_epochs_destroy(&epochs);
        epochs = make(three, 3);
        leader_epochs_cut_start(&epochs, rows[i].offset);
        ck_assert_uint_eq(epochs.count, rows[i].count_start);
        ck_assert_int_eq(epochs.entries[0].start_offset, rows[i].first_start);
        leader_epochs_destroy(&epochs);
    }
}
END_TEST

START_TEST(questions)
{
    static const struct {
        const char *what;
        int32_t requested, epoch;
        int64_t end;
    } rows[] = {
        { "undefined", -1, -1, -1 },
        { "below the first: the requested one, up to where the first begins", 1, 1, 10 },
        { "known", 2, 2, 20 },
        { "between two: the lower one", 4, 2, 20 },
        { "the one before the newest", 5, 5, 30 },
        { "the newest ends with the log", 7, 7, 99 },
        { "unknown yet", 8, -1, -1 },
    };
    struct leader_epochs epochs = make(three, 3);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int32_t epoch;
        int64_t end;
        leader_epochs_end(&epochs, rows[i].requested, 99, &epoch, &end);
        ck_assert_msg(epoch == rows[i].epoch && end == rows[i].end, "%s", rows[i].what);
    }
    ck_assert_int_eq(leader_epochs_at(&epochs, 9), -1);
    ck_assert_int_eq(leader_epochs_at(&epochs, 10), 2);
    ck_assert_int_eq(leader_epochs_at(&epochs, 29), 5);
    ck_assert_int_eq(leader_epochs_at(&epochs, 1000), 7);
    leader_epochs_destroy(&epochs);
    int32_t epoch;
    int64_t end;
    leader_epochs_end(&epochs, 0, 99, &epoch, &end); /* none known */
    ck_assert_int_eq(epoch, -1);
}
END_TEST

START_TEST(files)
{
    static const struct {
        const char *what, *text;
        bool ok;
        uint32_t count;
    } rows[] = {
        { "as Kafka writes it", "0\n2\n2 10\n5 20\n", true, 2 },
        { "empty, as made with the partition", "", true, 0 },
        { "no entries", "0\n0\n", true, 0 },
        { "another version", "1\n0\n", false, 0 },
        { "fewer entries than counted", "0\n3\n2 10\n5 20\n", false, 0 },
        { "more entries than counted", "0\n1\n2 10\n5 20\n", false, 0 },
        { "a negative epoch", "0\n1\n-2 10\n", false, 0 },
        { "rubbish", "0\n1\nx y\n", false, 0 },
    };
    struct file_double *disk = file_double_create();
    struct file_system *system = file_double_system(disk);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct leader_epochs epochs = { .entries = NULL };
        ck_assert_int_eq(file_replace(system, "/e", slice_of_string(rows[i].text)), FILE_OK);
        ck_assert_msg((leader_epochs_read(&epochs, system, "/e") == FILE_OK) == rows[i].ok, "%s",
                      rows[i].what);
        ck_assert_uint_eq(epochs.count, rows[i].count);
        leader_epochs_destroy(&epochs);
    }
    struct leader_epochs epochs = make(three, 3);
    slice text = leader_epochs_text(&epochs);
    ck_assert(slice_equal_string(text, "0\n3\n2 10\n5 20\n7 30\n"));
    free((void *)(uintptr_t)text.data);
    leader_epochs_destroy(&epochs);
    file_double_destroy(disk);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("leader_epochs");
    TCase *tests = tcase_create("leader_epochs");
    tcase_add_test(tests, assignments);
    tcase_add_test(tests, cuts);
    tcase_add_test(tests, questions);
    tcase_add_test(tests, files);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
