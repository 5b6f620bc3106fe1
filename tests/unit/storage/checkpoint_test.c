/* Kafka's checkpoint text: what it writes we read, what it refuses we refuse. */
#include <check.h>
#include <stdlib.h>

#include "storage/checkpoint.h"
#include "storage/file_double.h"

struct row {
    const char *what;
    const char *text;
    bool ok;
    size_t count;
};

static const struct row offsets[] = {
    { "an empty file has no entries", "", true, 0 },
    { "no entries", "0\n0\n", true, 0 },
    { "as Kafka writes it", "0\n2\norders 0 12\na.b_c-d 11 9223372036854775807\n", true, 2 },
    { "runs of white space", "0\n1\n orders \t 0   12 \n", true, 1 },
    { "no line end at the end", "0\n1\norders 0 12", true, 1 },
    { "carriage returns", "0\r\n1\r\norders 0 12\r\n", true, 1 },
    { "another version", "1\n0\n", false, 0 },
    { "no version", "x\n0\n", false, 0 },
    { "no count", "0\n", false, 0 },
    { "a negative count", "0\n-1\n", false, 0 },
    { "a count that memory cannot hold", "0\n2147483647\n", false, 0 },
    { "fewer entries than told", "0\n2\norders 0 12\n", false, 0 },
    { "more entries than told", "0\n1\norders 0 12\norders 1 12\n", false, 0 },
    { "a blank line", "0\n1\n\norders 0 12\n", false, 0 },
    { "two fields", "0\n1\norders 12\n", false, 0 },
    { "four fields", "0\n1\norders 0 12 1\n", false, 0 },
    { "many fields", "0\n1\norders 0 12 1 2 3 4\n", false, 0 },
    { "an offset that is no number", "0\n1\norders 0 1x\n", false, 0 },
    { "an offset beyond int64", "0\n1\norders 0 9223372036854775808\n", false, 0 },
    { "a partition beyond int32", "0\n1\norders 2147483648 1\n", false, 0 },
};

START_TEST(reads_offsets)
{
    const struct row *row = &offsets[_i];
    struct checkpoint_offset *entries;
    size_t count;
    bool ok = checkpoint_parse_offsets(slice_of_string(row->text), &entries, &count);

    ck_assert_msg(ok == row->ok && count == row->count, "%s", row->what);
    if (count == 2) {
        ck_assert(slice_equal_string(entries[1].topic, "a.b_c-d"));
        ck_assert_int_eq(entries[1].partition, 11);
        ck_assert_int_eq(entries[1].offset, INT64_MAX);
    }
    free(entries);
}
END_TEST

static const struct row epochs[] = {
    { "an empty file", "", true, 0 },
    { "two epochs", "0\n2\n0 0\n5 120\n", true, 2 },
    { "negative numbers", "0\n2\n-1 0\n5 -9223372036854775808\n", true, 2 },
    { "one field", "0\n1\n5\n", false, 0 },
    { "three fields", "0\n1\n5 6 7\n", false, 0 },
    { "an epoch beyond int32", "0\n1\n4294967296 0\n", false, 0 },
};

START_TEST(reads_epochs)
{
    const struct row *row = &epochs[_i];
    struct checkpoint_epoch *entries;
    size_t count;
    bool ok = checkpoint_parse_epochs(slice_of_string(row->text), &entries, &count);

    ck_assert_msg(ok == row->ok && count == row->count, "%s", row->what);
    if (count == 2)
        ck_assert_int_eq(entries[1].epoch, 5);
    free(entries);
}
END_TEST

START_TEST(writes_what_it_reads)
{
    struct file_double *disk = file_double_create();
    struct file_system *files = file_double_system(disk);
    struct checkpoint_writer writer;
    uint8_t *text;
    size_t size;

    checkpoint_writer_init(&writer);
    ck_assert(slice_equal_string(checkpoint_text(&writer), "0\n0\n"));
    for (int i = 0; i < 1000; i++)
        checkpoint_add_offset(&writer, slice_of_string("orders"), i, INT64_MAX - i);
    ck_assert_int_eq(checkpoint_write(&writer, files, "/c"), FILE_OK);
    ck_assert_int_eq(file_read_all(files, "/c", 1 << 20, &text, &size), FILE_OK);
    struct checkpoint_offset *entries;
    size_t count;
    ck_assert(checkpoint_parse_offsets(slice_of(text, size), &entries, &count));
    ck_assert_uint_eq(count, 1000);
    ck_assert_int_eq(entries[999].offset, INT64_MAX - 999);
    free(entries);
    free(text);
    checkpoint_writer_destroy(&writer);
    checkpoint_add_epoch(&writer, 0, 0);
    checkpoint_add_epoch(&writer, 7, 120);
    ck_assert(slice_equal_string(checkpoint_text(&writer), "0\n2\n0 0\n7 120\n"));
    checkpoint_writer_destroy(&writer);
    file_double_destroy(disk);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tcase = tcase_create("all");

    tcase_add_loop_test(tcase, reads_offsets, 0, sizeof offsets / sizeof *offsets);
    tcase_add_loop_test(tcase, reads_epochs, 0, sizeof epochs / sizeof *epochs);
    tcase_add_test(tcase, writes_what_it_reads);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
