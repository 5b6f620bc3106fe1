/* Buffers for what arrives: which spare is given to whom, what goes back, and that the budget knows of all of
 * it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "broker/input_pool.h"
#include "tests/support/suite.h"

enum { KIB = 1024, MIB = 1024 * 1024, LIMIT = 256 * MIB };

static struct budget budget;
static struct budget_share share;
static struct input_pool pool;
static unsigned relaxed_count;

static void relaxed(struct input_pool *of)
{
    ck_assert_ptr_eq(of, &pool);
    relaxed_count++;
}

static void open_with(size_t limit, unsigned loop_count)
{
    budget_init(&budget, limit);
    budget_share_init(&share, &budget);
    input_pool_init(&pool, &share, limit, loop_count, relaxed);
    relaxed_count = 0;
}

static void setup(void)
{
    open_with(LIMIT, 1);
}

static void teardown(void)
{
    input_pool_trim(&pool);
    ck_assert_uint_eq(pool.held_size, 0);
    ck_assert_uint_eq(share.used, 0);
}

/* A buffer that is as large as what has arrived; all of it is written to. */
static struct input_buffer *take(size_t size)
{
    struct input_buffer *buffer =
        size < INPUT_LARGE_SIZE ? input_take_small(&pool, size) : input_take(&pool, size, size);
    ck_assert_ptr_nonnull(buffer);
    ck_assert_uint_ge(buffer->capacity, size);
    memset(buffer->bytes, 0xee, buffer->capacity);
    return buffer;
}

START_TEST(the_budget_pays_for_all)
{
    static const size_t sizes[] = { 1, 4 * KIB, 191 * KIB, 192 * KIB, 1000 * KIB, 20 * MIB };
    struct input_buffer *buffer = take(sizes[_i]);
    ck_assert_uint_ge(share.used, sizes[_i]);
    ck_assert_uint_le(share.used, sizes[_i] + INPUT_STEP + sizeof *buffer);
    ck_assert(buffer->is_mapped == (sizes[_i] >= INPUT_LARGE_SIZE));
    input_give(buffer);
    bool is_spare = sizes[_i] >= INPUT_LARGE_SIZE && sizes[_i] < INPUT_POOL_MAX;
    ck_assert_uint_eq(share.used, pool.spare_size);
    ck_assert(is_spare == (pool.spare_size > 0));
    ck_assert(input_pool_trim(&pool) == is_spare);
}
END_TEST

START_TEST(the_last_one_is_given_first)
{
    struct input_buffer *one = take(MIB), *two = take(MIB);
    input_give(one);
    input_give(two);
    ck_assert_ptr_eq(take(MIB), two);
    ck_assert_ptr_eq(take(900 * KIB), one);
    input_give(one);
    input_give(two);
}
END_TEST

/* Who has sent little gets no memory that is there already and much more: not even when it would be free. */
START_TEST(a_spare_is_for_those_who_have_sent_half_of_it)
{
    struct input_buffer *large = take(MIB);
    input_give(large);
    struct input_buffer *small = input_take(&pool, 192 * KIB, 96 * KIB);
    ck_assert_ptr_ne(small, large);
    ck_assert_uint_le(small->cost, 192 * KIB + INPUT_STEP);
    ck_assert_ptr_eq(input_take(&pool, 600 * KIB, 600 * KIB), large);
    input_give(large);
    input_give(small);
}
END_TEST

START_TEST(growing_keeps_the_bytes)
{
    struct input_buffer *buffer = take(192 * KIB), *neighbour = take(192 * KIB);
    for (size_t i = 0; i < 192 * KIB; i++)
        buffer->bytes[i] = (uint8_t)(i * 7);
    for (size_t size = 256 * KIB; size <= 16 * MIB; size *= 2) {
        buffer = input_grow(&pool, buffer, size);
        ck_assert_ptr_nonnull(buffer);
        ck_assert_uint_ge(buffer->capacity, size);
        buffer->bytes[size - 1] = 1;
        ck_assert_uint_eq(share.used, buffer->cost + neighbour->cost);
    }
    for (size_t i = 0; i < 192 * KIB; i++)
        ck_assert_uint_eq(buffer->bytes[i], (uint8_t)(i * 7));
    input_give(buffer);
    input_give(neighbour);
}
END_TEST

START_TEST(spares_are_bounded)
{
    static const struct {
        const char *title;
        size_t limit;
        unsigned loop_count;
    } rows[] = {
        { "a large budget", LIMIT, 2 },
        { "a small budget has a small pool", 64 * MIB, 2 },
        { "many loops have small pools", LIMIT, 64 },
    };
    struct input_buffer *buffers[20];
    open_with(rows[_i].limit, rows[_i].loop_count);
    for (size_t i = 0; i < 20; i++)
        buffers[i] = take(MIB);
    for (size_t i = 0; i < 20; i++)
        input_give(buffers[i]);
    ck_assert_uint_gt(pool.spare_size, 0);
    ck_assert_uint_le(pool.spare_size, INPUT_POOL_MAX);
    ck_assert_uint_le(pool.spare_size, rows[_i].limit / INPUT_POOL_SHARE);
    ck_assert_uint_le(pool.spare_size * rows[_i].loop_count, rows[_i].limit / 2);
    ck_assert_uint_eq(share.used, pool.spare_size);
}
END_TEST

/* What nobody needed since the last look goes; what was in use comes and goes meanwhile, and stays. */
START_TEST(idle_spares_go)
{
    struct input_buffer *buffers[4];
    for (size_t i = 0; i < 4; i++)
        buffers[i] = take(MIB);
    for (size_t i = 0; i < 4; i++)
        input_give(buffers[i]);
    size_t each = buffers[0]->cost;
    input_pool_shrink(&pool);
    ck_assert_uint_eq(pool.spare_size, 4 * each); /* all of them were in use */
    struct input_buffer *busy = take(MIB);
    input_give(busy);
    input_pool_shrink(&pool);
    ck_assert_uint_eq(pool.spare_size, each);
    ck_assert_ptr_eq(pool.spares, busy);
    input_pool_shrink(&pool);
    ck_assert_uint_eq(pool.spare_size, 0);
}
END_TEST

START_TEST(a_full_budget_refuses_and_takes_the_spares_first)
{
    open_with(32 * MIB, 1);
    struct input_buffer *small = take(500 * KIB);
    input_give(small);
    ck_assert_ptr_eq(pool.spares, small);
    struct input_buffer *large = input_take(&pool, 32 * MIB - 2 * INPUT_STEP, MIB);
    ck_assert_ptr_nonnull(large); /* only without the spare */
    ck_assert_ptr_null(pool.spares);
    ck_assert_ptr_null(input_take(&pool, 200 * KIB, 200 * KIB));
    ck_assert_ptr_null(input_grow(&pool, large, 33 * MIB));
    input_give(large);
    struct input_buffer *again = take(200 * KIB);
    input_give(again);
}
END_TEST

START_TEST(who_waits_is_told_once)
{
    struct input_buffer *buffers[10] = { 0 };
    size_t count = 0;
    for (; !input_is_tight(&pool); count++) {
        buffers[count] = take(MIB);
        input_held(buffers[count]);
        input_held(buffers[count]); /* two batches of one frame: it counts once */
        ck_assert_uint_eq(pool.held_size, (count + 1) * buffers[0]->cost);
    }
    pin_take(&buffers[0]->pin);
    input_give(buffers[0]); /* the request's hold stays */
    ck_assert(input_is_tight(&pool));
    for (size_t i = 0; i < count; i++)
        input_give(buffers[i]);
    ck_assert_uint_eq(relaxed_count, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("input_pool");
    TCase *tcase = tcase_create("input_pool");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, the_budget_pays_for_all, 0, 6);
    tcase_add_test(tcase, the_last_one_is_given_first);
    tcase_add_test(tcase, a_spare_is_for_those_who_have_sent_half_of_it);
    tcase_add_test(tcase, growing_keeps_the_bytes);
    tcase_add_loop_test(tcase, spares_are_bounded, 0, 3);
    tcase_add_test(tcase, idle_spares_go);
    tcase_add_test(tcase, a_full_budget_refuses_and_takes_the_spares_first);
    tcase_add_test(tcase, who_waits_is_told_once);
    suite_add_tcase(suite, tcase);
    return suite_run(suite) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
