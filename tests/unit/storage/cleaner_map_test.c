/* The cleaner's map against a plain array: greatest offsets, growth, the bound, memory that is given back. */
#include "storage/cleaner_map.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/random.h"

static slice key_of(uint32_t number, char room[24])
{
    return slice_of(room, (size_t)snprintf(room, 24, "key-%u", number));
}

START_TEST(against_an_array)
{
    enum { KEYS = 20000, PUTS = 200000 };
    int64_t *wanted = malloc(KEYS * sizeof *wanted);
    struct cleaner_map *map = cleaner_map_create(64 << 20, 0.9);
    struct random random;
    char room[24];
    random_seed(&random, 1);
    for (size_t i = 0; i < KEYS; i++)
        wanted[i] = -1;
    for (int i = 0; i < PUTS; i++) {
        uint32_t key = (uint32_t)random_below(&random, KEYS);
        int64_t offset = (int64_t)random_below(&random, INT64_MAX);
        ck_assert(cleaner_map_put(map, key_of(key, room), offset));
        if (offset > wanted[key])
            wanted[key] = offset;
    }
    size_t count = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        ck_assert_int_eq(cleaner_map_get(map, key_of(i, room)), wanted[i]);
        count += wanted[i] >= 0;
    }
    ck_assert_uint_eq(cleaner_map_count(map), count);
    ck_assert_int_eq(cleaner_map_get(map, SLICE_LITERAL("another")), -1);
    cleaner_map_clear(map);
    ck_assert_uint_eq(cleaner_map_size(map), 0);
    ck_assert_int_eq(cleaner_map_get(map, key_of(0, room)), -1);
    cleaner_map_destroy(map);
    free(wanted);
}
END_TEST

struct bound {
    const char *what;
    size_t size_max;
    double load;
    size_t count_max;
};

static const struct bound bounds[] = {
    { "nothing", 0, 0.9, 0 },
    { "one slot stays empty, or no search would end", 24, 1, 0 },
    { "two slots", 48, 1, 1 },
    { "smaller than the first table", 2400, 0.9, 90 },
    { "odd numbers of slots", 24 * 12345, 0.9, 11110 },
    { "a small load", 24 * 10000, 0.1, 1000 },
};

START_TEST(full)
{
    const struct bound *bound = &bounds[_i];
    struct cleaner_map *map = cleaner_map_create(bound->size_max, bound->load);
    char room[24];
    uint32_t count = 0;
    ck_assert_uint_eq(cleaner_map_size(map), 0);
    while (cleaner_map_put(map, key_of(count, room), count))
        count++;
    ck_assert_msg(count == bound->count_max, "%s: %u keys", bound->what, count);
    ck_assert_uint_eq(cleaner_map_count_max(map), bound->count_max);
    ck_assert_uint_le(cleaner_map_size(map), bound->size_max);
    for (uint32_t i = 0; i < count; i++) {
        ck_assert(cleaner_map_put(map, key_of(i, room), i + 1000000)); /* a known key needs no room */
        ck_assert_int_eq(cleaner_map_get(map, key_of(i, room)), i + 1000000);
    }
    ck_assert(!cleaner_map_put(map, key_of(count, room), 1));
    cleaner_map_destroy(map);
}
END_TEST

START_TEST(keys_of_all_sizes)
{
    enum { SIZE_MAX_TESTED = 2000 };
    struct cleaner_map *map = cleaner_map_create(1 << 20, 0.9);
    uint8_t *zeroes = calloc(1, SIZE_MAX_TESTED + 1);
    for (size_t size = 0; size <= SIZE_MAX_TESTED; size++)
        ck_assert(cleaner_map_put(map, slice_of(zeroes, size), (int64_t)size));
    for (size_t size = 0; size <= SIZE_MAX_TESTED; size++)
        ck_assert_int_eq(cleaner_map_get(map, slice_of(zeroes, size)), (int64_t)size);
    free(zeroes);
    cleaner_map_destroy(map);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cleaner map");
    TCase *all = tcase_create("all");
    tcase_add_test(all, against_an_array);
    tcase_add_loop_test(all, full, 0, (int)(sizeof bounds / sizeof bounds[0]));
    tcase_add_test(all, keys_of_all_sizes);
    tcase_set_timeout(all, 60);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
