/* The reserve of a log directory by itself: what a start makes of the file, who may give it up, and when it
 * comes back. */
#include <check.h>
#include <stdlib.h>

#include "storage/file_double.h"
#include "storage/reserve.h"

static struct file_double *disk;
static struct file_system *files;
static struct reserve reserve;
static _Atomic uint8_t shortage;

enum { NOTHING = -1, PLENTY = 1 << 30 };

static void set_up(void)
{
    disk = file_double_create();
    files = file_double_system(disk);
    shortage = SHORTAGE_NONE;
    ck_assert_int_eq(file_make_directory(files, "/d"), FILE_OK);
    file_double_set_free_space(disk, PLENTY);
}

static void tear_down(void)
{
    reserve_destroy(&reserve);
    file_double_destroy(disk);
}

static int64_t size_of_file(void)
{
    struct file_info info;

    return file_info(files, "/d/" RESERVE_NAME, &info) == FILE_OK ? (int64_t)info.size : NOTHING;
}

static void make_file(int64_t size)
{
    struct file *file;

    if (size == NOTHING)
        return;
    ck_assert_int_eq(file_open(files, "/d/" RESERVE_NAME, FILE_WRITE | FILE_CREATE, &file), FILE_OK);
    ck_assert_int_eq(file_allocate(file, (uint64_t)size), FILE_OK);
    file_close(file);
}

static void open_reserve(void)
{
    ck_assert_int_eq(reserve_open(&reserve, files, "/d", &shortage), FILE_OK);
}

static void take_ok(void)
{
    open_reserve();
    ck_assert_int_eq(reserve_take(&reserve, RESERVE_ROOM_MIN), FILE_OK);
}

/* --- at the start -------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    int64_t size;
    enum reserve_shortage shortage;
    bool is_held;
} starts[] = {
    { "there never was one", NOTHING, SHORTAGE_NONE, false },
    { "a kill came when it had its name and no bytes", 0, SHORTAGE_NONE, false },
    { "a kill came while it was written with zeros", 65536, SHORTAGE_NONE, false },
    { "all of it was given up", RESERVE_GIVEN_SIZE, SHORTAGE_OF_COMMITS, false },
    { "half of it was given up", RESERVE_HALF_SIZE, SHORTAGE_OF_RECORDS, true },
    { "it is whole", RESERVE_SIZE, SHORTAGE_NONE, true },
    { "of a version that kept more", 2 * RESERVE_SIZE, SHORTAGE_NONE, true },
};

START_TEST(a_start_sees_what_the_last_process_left)
{
    make_file(starts[_i].size);
    uint64_t operations = file_double_operation_count(disk);
    open_reserve();
    ck_assert_msg(shortage == starts[_i].shortage, "%s", starts[_i].what);
    ck_assert_msg(reserve.is_held == starts[_i].is_held, "%s", starts[_i].what);
    ck_assert_uint_eq(file_double_operation_count(disk), operations);
    ck_assert_int_eq(reserve_take(&reserve, RESERVE_ROOM_MIN), FILE_OK);
    ck_assert_int_eq(shortage, SHORTAGE_NONE);
    ck_assert(reserve.is_held);
    ck_assert_int_ge(size_of_file(), RESERVE_SIZE);
}
END_TEST

START_TEST(a_directory_of_that_name_is_left_alone)
{
    ck_assert_int_eq(file_make_directory(files, "/d/" RESERVE_NAME), FILE_OK);
    open_reserve();
    ck_assert_int_eq(shortage, SHORTAGE_NONE);
    ck_assert_int_ne(reserve_take(&reserve, RESERVE_ROOM_MIN), FILE_OK);
    ck_assert(!reserve.is_held);
    ck_assert(!reserve_can_give(&reserve, RANK_REMOVAL));
}
END_TEST

/* --- giving up ----------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    enum reserve_shortage before;
    enum log_rank rank;
    enum file_status status;
    enum reserve_shortage after;
} gifts[] = {
    { "records get nothing", SHORTAGE_NONE, RANK_RECORDS, FILE_FULL, SHORTAGE_NONE },
    { "commits get the first half", SHORTAGE_NONE, RANK_COMMITS, FILE_OK, SHORTAGE_OF_RECORDS },
    { "but not the other", SHORTAGE_OF_RECORDS, RANK_COMMITS, FILE_FULL, SHORTAGE_OF_RECORDS },
    { "a removal gets no more than it needs", SHORTAGE_NONE, RANK_REMOVAL, FILE_OK, SHORTAGE_OF_RECORDS },
    { "then the rest", SHORTAGE_OF_RECORDS, RANK_REMOVAL, FILE_OK, SHORTAGE_OF_COMMITS },
    { "then nothing", SHORTAGE_OF_COMMITS, RANK_REMOVAL, FILE_FULL, SHORTAGE_OF_COMMITS },
};

START_TEST(each_rank_gets_its_share)
{
    static const int64_t sizes[] = { RESERVE_SIZE, RESERVE_HALF_SIZE, RESERVE_GIVEN_SIZE };
    uint64_t room;

    make_file(sizes[gifts[_i].before]);
    open_reserve();
    file_double_set_free_space(disk, 0);
    bool can = reserve_can_give(&reserve, gifts[_i].rank);
    ck_assert_msg(can == (gifts[_i].status == FILE_OK), "%s", gifts[_i].what);
    uint64_t flushes = file_double_flush_count(disk);
    enum file_status status = reserve_give(&reserve, gifts[_i].rank, gifts[_i].before);
    ck_assert_msg(status == gifts[_i].status, "%s: %s", gifts[_i].what, file_status_name(status));
    ck_assert_msg(shortage == gifts[_i].after, "%s: %d", gifts[_i].what, shortage);
    ck_assert_int_eq(size_of_file(), sizes[gifts[_i].after]);
    room = file_free_space(files, "/d");
    ck_assert_uint_eq(room, (uint64_t)(sizes[gifts[_i].before] - sizes[gifts[_i].after]));
    ck_assert_uint_eq(file_double_flush_count(disk), flushes + (status == FILE_OK));
}
END_TEST

START_TEST(who_comes_second_uses_what_the_first_got)
{
    take_ok();
    unsigned seen = shortage;
    ck_assert_int_eq(reserve_give(&reserve, RANK_COMMITS, seen), FILE_OK);
    ck_assert_int_eq(reserve_give(&reserve, RANK_REMOVAL, seen), FILE_OK);
    ck_assert_int_eq(size_of_file(), RESERVE_HALF_SIZE);
    ck_assert_int_eq(shortage, SHORTAGE_OF_RECORDS);
}
END_TEST

START_TEST(without_a_reserve_nobody_is_kept_from_writing)
{
    file_double_set_free_space(disk, RESERVE_ROOM_MIN - 1);
    open_reserve();
    ck_assert_int_eq(reserve_take(&reserve, RESERVE_ROOM_MIN), FILE_FULL);
    ck_assert_int_eq(size_of_file(), NOTHING);
    ck_assert_int_eq(reserve_give(&reserve, RANK_REMOVAL, SHORTAGE_NONE), FILE_FULL);
    ck_assert_int_eq(shortage, SHORTAGE_NONE);
}
END_TEST

START_TEST(what_stands_in_the_way)
{
    take_ok();
    file_double_set_open_limit(disk, 1);
    struct file *other;
    ck_assert_int_eq(file_open(files, "/d/o", FILE_WRITE | FILE_CREATE, &other), FILE_OK);
    ck_assert_int_eq(reserve_give(&reserve, RANK_COMMITS, SHORTAGE_NONE), FILE_LIMIT);
    ck_assert_int_eq(shortage, SHORTAGE_NONE); /* another time */
    file_close(other);
    file_double_fail_flush(disk, 1);
    ck_assert_int_eq(reserve_give(&reserve, RANK_COMMITS, SHORTAGE_NONE), FILE_IO);
}
END_TEST

START_TEST(somebody_removed_the_file)
{
    take_ok();
    ck_assert_int_eq(file_unlink(files, "/d/" RESERVE_NAME), FILE_OK);
    ck_assert_int_eq(reserve_give(&reserve, RANK_COMMITS, SHORTAGE_NONE), FILE_FULL);
    ck_assert_int_eq(shortage, SHORTAGE_OF_COMMITS); /* as long as the disk is full, nothing but removals */
    ck_assert_int_eq(reserve_take(&reserve, RESERVE_ROOM_MIN), FILE_OK);
    ck_assert_int_eq(shortage, SHORTAGE_NONE);
    ck_assert_int_eq(size_of_file(), RESERVE_SIZE);
}
END_TEST

/* --- coming back --------------------------------------------------------------------------------- */

START_TEST(it_comes_back_when_there_is_room_for_two)
{
    take_ok();
    file_double_set_free_space(disk, 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(reserve_give(&reserve, RANK_REMOVAL, i), FILE_OK);
    file_double_set_free_space(disk, RESERVE_ROOM_MIN - 1);
    ck_assert_int_eq(reserve_take(&reserve, RESERVE_ROOM_MIN), FILE_FULL);
    ck_assert_int_eq(shortage, SHORTAGE_OF_COMMITS);
    ck_assert_int_eq(size_of_file(), RESERVE_GIVEN_SIZE);
    file_double_set_free_space(disk, RESERVE_ROOM_MIN);
    ck_assert_int_eq(reserve_take(&reserve, RESERVE_ROOM_MIN), FILE_OK);
    ck_assert_int_eq(shortage, SHORTAGE_NONE);
    ck_assert_int_eq(size_of_file(), RESERVE_SIZE);
    ck_assert_uint_eq(file_free_space(files, "/d"), RESERVE_ROOM_MIN - RESERVE_SIZE + RESERVE_GIVEN_SIZE);
}
END_TEST

/* Between any two operations of taking and giving, in any order on the device: the next start keeps nobody
 * from writing unless something had been given up, and takes it again. */
START_TEST(a_power_cut_at_any_moment)
{
    uint64_t given_at = 0, end;

    take_ok();
    given_at = file_double_operation_count(disk);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(reserve_give(&reserve, RANK_REMOVAL, i), FILE_OK);
    ck_assert_int_eq(reserve_take(&reserve, RESERVE_ROOM_MIN), FILE_OK);
    end = file_double_operation_count(disk);
    for (uint64_t at = 0; at <= end; at++) {
        for (uint64_t seed = 0; seed < 12; seed++) {
            struct random random;
            struct reserve next;
            _Atomic uint8_t next_shortage = SHORTAGE_NONE;
            random_seed(&random, seed);
            struct file_double *after =
                file_double_after_cut(disk, at, (enum file_double_cut)(seed % 3), &random);
            if (file_make_directory(file_double_system(after), "/d") == FILE_OK)
                ck_assert_uint_le(at, end); /* its name was never flushed */
            ck_assert_int_eq(reserve_open(&next, file_double_system(after), "/d", &next_shortage), FILE_OK);
            if (at <= given_at)
                ck_assert_int_eq(next_shortage, SHORTAGE_NONE);
            ck_assert_int_eq(reserve_take(&next, RESERVE_ROOM_MIN), FILE_OK);
            ck_assert_int_eq(next_shortage, SHORTAGE_NONE);
            reserve_destroy(&next);
            file_double_destroy(after);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reserve");
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, a_start_sees_what_the_last_process_left, 0, sizeof starts / sizeof *starts);
    tcase_add_test(tests, a_directory_of_that_name_is_left_alone);
    tcase_add_loop_test(tests, each_rank_gets_its_share, 0, sizeof gifts / sizeof *gifts);
    tcase_add_test(tests, who_comes_second_uses_what_the_first_got);
    tcase_add_test(tests, without_a_reserve_nobody_is_kept_from_writing);
    tcase_add_test(tests, what_stands_in_the_way);
    tcase_add_test(tests, somebody_removed_the_file);
    tcase_add_test(tests, it_comes_back_when_there_is_room_for_two);
    tcase_add_test(tests, a_power_cut_at_any_moment);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
