/* storage/offset_index.h and segment_index.h: look-ups, growth under readers, files that hold less or more.
 */
#include <check.h>
#include <stdlib.h>

#include "storage/offset_index.h"
#include "tests/support/log_rig.h"

static struct index_view view_of(const uint8_t *bytes, uint32_t count)
{
    return (struct index_view){ .bytes = bytes, .count = count, .entry_size = OFFSET_INDEX_ENTRY_SIZE };
}

START_TEST(lookups)
{
    static const uint8_t bytes[] = {
        0,    0,    0,    10,   0,    0,    1,    0, /* 10 at 256 */
        0,    0,    0,    20,   0,    0,    2,    0, /* 20 at 512 */
        0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xf0,
    };
    static const struct {
        const char *what;
        int64_t target;
        uint32_t count, relative, position;
    } rows[] = {
        { "an empty index", 5, 0, 0, 0 },
        { "before the first entry", 9, 3, 0, 0 },
        { "the first entry", 10, 3, 10, 256 },
        { "between two", 19, 3, 10, 256 },
        { "the second", 20, 3, 20, 512 },
        { "far behind", 1000000, 2, 20, 512 },
        { "just below the largest", (int64_t)INT32_MAX - 1, 3, 20, 512 },
        { "the largest relative offset", INT32_MAX, 3, INT32_MAX, 0x7ffffff0 },
        { "beyond 32 bits", INT64_MAX, 3, INT32_MAX, 0x7ffffff0 },
        { "below the base", -1, 3, 0, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct index_view view = view_of(bytes, rows[i].count);
        struct offset_entry entry;
        ck_assert(offset_index_find(&view, rows[i].target, &entry));
        ck_assert_msg(entry.relative == rows[i].relative && entry.position == rows[i].position, "%s",
                      rows[i].what);
    }
    struct index_view view = view_of(bytes, 3);
    struct offset_entry entry;
    ck_assert(offset_index_find_position(&view, 511, &entry));
    ck_assert_uint_eq(entry.relative, 10);
    ck_assert(offset_index_find_position(&view, 512, &entry));
    ck_assert_uint_eq(entry.relative, 20);
    ck_assert(offset_index_find_position(&view, UINT32_MAX, &entry));
    ck_assert_uint_eq(entry.relative, INT32_MAX);
}
END_TEST

START_TEST(what_can_be_true)
{
    static const struct {
        const char *what;
        uint32_t entries[4][2];
        uint32_t count, valid;
    } rows[] = {
        { "ascending", { { 1, 100 }, { 2, 200 }, { 5, 300 } }, 3, 3 },
        { "zeros of a pre-sized file", { { 1, 100 }, { 0, 0 }, { 0, 0 } }, 3, 1 },
        { "nothing but zeros", { { 0, 0 }, { 0, 0 } }, 2, 0 },
        { "an offset twice", { { 1, 100 }, { 1, 200 } }, 2, 1 },
        { "a position twice", { { 1, 100 }, { 2, 100 } }, 2, 1 },
        { "falling", { { 5, 100 }, { 4, 200 }, { 6, 300 } }, 3, 1 },
        { "beyond the segment", { { 1, 100 }, { 2, 1000 } }, 2, 1 },
        { "a negative offset", { { 0x80000000u, 100 } }, 1, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bytes[4 * 8];
        for (size_t k = 0; k < 4; k++) {
            store_be32(bytes + k * 8, rows[i].entries[k][0]);
            store_be32(bytes + k * 8 + 4, rows[i].entries[k][1]);
        }
        ck_assert_msg(offset_index_valid_count(bytes, rows[i].count, 1000) == rows[i].valid, "%s",
                      rows[i].what);
    }
}
END_TEST

START_TEST(growing_and_saving)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct segment_home home = { &rig->env, &rig->host, RIG_DIRECTORY };
    struct segment_index index;
    segment_index_init(&index, OFFSET_INDEX_ENTRY_SIZE);
    for (uint32_t i = 0; i < 1000; i++) {
        ck_assert(offset_index_append(&index, rig->retire, (struct offset_entry){ i + 1, 10 * (i + 1) }));
        if (i % 100 == 50)
            ck_assert_int_eq(segment_index_save(&index, &home, RIG_DIRECTORY "/i"), FILE_OK);
    }
    struct index_view view;
    struct offset_entry entry;
    ck_assert_int_eq(segment_index_view(&index, &home, RIG_DIRECTORY "/i", false, &view), INDEX_OK);
    ck_assert_uint_eq(view.count, 1000);
    ck_assert(offset_index_find(&view, 500, &entry));
    ck_assert_uint_eq(entry.position, 5000);
    ck_assert_int_eq(segment_index_save(&index, &home, RIG_DIRECTORY "/i"), FILE_OK);
    struct file_info info;
    ck_assert_int_eq(file_info(rig->env.files, RIG_DIRECTORY "/i", &info), FILE_OK);
    ck_assert_uint_eq(info.size, 8000);
    segment_index_leave_to_disk(&index, rig->retire);
    ck_assert_int_eq(segment_index_view(&index, &home, RIG_DIRECTORY "/i", false, &view), INDEX_COLD);
    ck_assert_int_eq(segment_index_view(&index, &home, RIG_DIRECTORY "/i", true, &view), INDEX_OK);
    ck_assert_ptr_nonnull(view.mapping);
    ck_assert(offset_index_find(&view, 999, &entry));
    ck_assert_uint_eq(entry.position, 9990);
    index_view_close(&view);
    segment_index_close_files(&index, &home);
    rig->maps_max = 0; /* no mapping to be had: the same answers by pread */
    ck_assert_int_eq(segment_index_view(&index, &home, RIG_DIRECTORY "/i", true, &view), INDEX_OK);
    ck_assert_ptr_nonnull(view.file);
    ck_assert(offset_index_find(&view, 333, &entry));
    ck_assert_uint_eq(entry.position, 3330);
    index_view_close(&view);
    segment_index_destroy(&index);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

START_TEST(a_file_that_holds_more_is_cut_when_saved)
{
    struct log_rig *rig = log_rig_create(NULL);
    struct segment_home home = { &rig->env, &rig->host, RIG_DIRECTORY };
    struct segment_index index;
    struct file *file;
    static const uint8_t zeros[800];
    struct file_info info;
    uint8_t entry[8] = { 0, 0, 0, 1, 0, 0, 0, 10 };
    ck_assert_int_eq(file_open(rig->env.files, RIG_DIRECTORY "/i", FILE_WRITE | FILE_CREATE, &file), FILE_OK);
    ck_assert_int_eq(file_pwrite(file, entry, 8, 0), FILE_OK);
    ck_assert_int_eq(file_pwrite(file, zeros, sizeof zeros, 8), FILE_OK);
    file_close(file);
    segment_index_init(&index, OFFSET_INDEX_ENTRY_SIZE);
    ck_assert(segment_index_assign(&index, rig->retire, entry, 1));
    index.saved_count = 1;
    ck_assert_int_eq(segment_index_save(&index, &home, RIG_DIRECTORY "/i"), FILE_OK);
    ck_assert_int_eq(file_info(rig->env.files, RIG_DIRECTORY "/i", &info), FILE_OK);
    ck_assert_uint_eq(info.size, 8);
    segment_index_destroy(&index);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("offset_index");
    TCase *tests = tcase_create("offset_index");
    tcase_add_test(tests, lookups);
    tcase_add_test(tests, what_can_be_true);
    tcase_add_test(tests, growing_and_saving);
    tcase_add_test(tests, a_file_that_holds_more_is_cut_when_saved);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? 1 : 0;
}
