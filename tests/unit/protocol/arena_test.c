/* Arenas and the chains that lie in them: alignment, budget, pins, and the malloc that a steady
 * load must not reach. */
#include "protocol/base/arena.h"

#include <check.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "protocol/base/chain.h"
#include "protocol/base/random.h"

START_TEST(pieces_are_apart_and_aligned)
{
    struct arena arena;
    struct random random;
    enum { PIECE_COUNT = 2000 };
    static uint8_t *pieces[PIECE_COUNT];
    static size_t sizes[PIECE_COUNT];
    arena_init(&arena, NULL);
    random_seed(&random, 1);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < PIECE_COUNT; i++) {
            sizes[i] = random_below(&random, i % 100 == 0 ? 600000 : 500);
            pieces[i] = arena_alloc(&arena, sizes[i]);
            ck_assert_ptr_nonnull(pieces[i]);
            ck_assert_uint_eq((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], (int)(i % 251), sizes[i]);
        }
        for (size_t i = 0; i < PIECE_COUNT; i++) {
            /* One assertion a piece: Check writes a mark to a file at each. */
            size_t at = 0;
            while (at < sizes[i] && pieces[i][at] == i % 251)
                at++;
            ck_assert_uint_eq(at, sizes[i]);
        }
        arena_reset(&arena);
        ck_assert_uint_eq(arena.used, 0);
    }
    arena_destroy(&arena);
}
END_TEST

START_TEST(sizes_at_the_edges)
{
    struct arena arena;
    arena_init(&arena, NULL);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 0));
    ck_assert_ptr_ne(arena_alloc(&arena, 0), arena_alloc(&arena, 0));
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX - 15));
    ck_assert_ptr_null(arena_alloc_array(&arena, SIZE_MAX / 8 + 1, 8));
    ck_assert_ptr_null(arena_alloc_array(&arena, (size_t)1 << 33, (size_t)1 << 33));
    uint8_t *zeros = arena_alloc_array(&arena, 1000, 10);
    for (int i = 0; i < 10000; i++)
        ck_assert_uint_eq(zeros[i], 0);
    arena_destroy(&arena);
    /* The first piece larger than the first page. */
    arena_init(&arena, NULL);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 10 << 20));
    arena_reset(&arena);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 1));
    arena_destroy(&arena);
}
END_TEST

START_TEST(copies)
{
    struct arena arena;
    bool ok = true;
    arena_init(&arena, NULL);
    ck_assert(slice_is_null(arena_copy(&arena, SLICE_NULL, &ok)));
    slice empty = arena_copy(&arena, SLICE_LITERAL(""), &ok);
    ck_assert(!slice_is_null(empty) && empty.size == 0);
    ck_assert(slice_equal_string(arena_copy(&arena, SLICE_LITERAL("bytes"), NULL), "bytes"));
    ck_assert_str_eq(arena_string(&arena, SLICE_LITERAL("text")), "text");
    ck_assert_str_eq(arena_string(&arena, SLICE_NULL), "");
    ck_assert(ok);
    arena_destroy(&arena);
}
END_TEST

START_TEST(the_budget_counts_all_but_the_first_page)
{
    struct budget budget;
    struct budget_share share;
    struct arena arena;
    bool ok = true;
    budget_init(&budget, 100000);
    budget_share_init(&share, &budget);
    arena_init(&arena, &share);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 4000));
    ck_assert_uint_eq(share.used, 0);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 4000));
    ck_assert_uint_gt(share.used, 4000);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 50000));
    size_t used = share.used;
    ck_assert_ptr_null(arena_alloc(&arena, 90000));
    ck_assert_ptr_null(arena_alloc_array(&arena, 90000, 1));
    ck_assert_ptr_null(arena_string(&arena, slice_of("", 90000)));
    ck_assert(slice_is_null(arena_copy(&arena, slice_of("", 90000), &ok)));
    ck_assert(!ok);
    ck_assert_uint_eq(share.used, used);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 100));
    arena_reset(&arena);
    ck_assert_uint_eq(share.used, 0);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 90000));
    arena_destroy(&arena);
    ck_assert_uint_eq(share.used, 0);
}
END_TEST

static unsigned released_count;

static void count_release(struct pin *pin)
{
    (void)pin;
    released_count++;
}

START_TEST(pins_are_held_until_the_reset)
{
    struct arena arena;
    struct pin a, b;
    arena_init(&arena, NULL);
    pin_init(&a, count_release);
    pin_init(&b, count_release);
    ck_assert(arena_pin(&arena, &a));
    ck_assert(arena_pin(&arena, &a));
    ck_assert(arena_pin(&arena, &b));
    pin_drop(&a);
    ck_assert_uint_eq(released_count, 0);
    arena_reset(&arena);
    ck_assert_uint_eq(released_count, 1);
    pin_drop(&b);
    ck_assert_uint_eq(released_count, 2);
    pin_init(&a, count_release);
    ck_assert(arena_pin(&arena, &a));
    pin_drop(&a);
    arena_destroy(&arena);
    ck_assert_uint_eq(released_count, 3);
}
END_TEST

START_TEST(a_steady_load_does_not_reach_malloc)
{
    struct arena arenas[8];
    for (int i = 0; i < 8; i++)
        arena_init(&arenas[i], NULL);
    size_t before = 0;
    for (int round = 0; round < 1000; round++) {
        if (round == 10)
            before = mallinfo2().uordblks;
        for (int i = 0; i < 8; i++) {
            for (int piece = 0; piece < 60; piece++)
                ck_assert_ptr_nonnull(arena_alloc(&arenas[i], 1000));
            arena_reset(&arenas[i]);
        }
    }
    ck_assert_uint_eq(mallinfo2().uordblks, before);
    for (int i = 0; i < 8; i++)
        arena_destroy(&arenas[i]);
}
END_TEST

static void *use_and_end(void *argument)
{
    struct arena arena;
    arena_init(&arena, NULL);
    for (int i = 0; i < 100; i++)
        ck_assert_ptr_nonnull(arena_alloc(&arena, 3000));
    arena_destroy(&arena);
    return argument;
}

/* With LeakSanitizer: a thread's cached pages end with it. */
START_TEST(threads_end_without_leaks)
{
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, use_and_end, NULL), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
}
END_TEST

START_TEST(chains)
{
    struct arena arena;
    struct chain chain;
    struct pin pin, other;
    arena_init(&arena, NULL);
    chain_init(&chain, &arena);
    pin_init(&pin, count_release);
    pin_init(&other, count_release);
    static const char text[] = "0123456789";
    ck_assert(chain_add(&chain, SLICE_NULL));
    ck_assert_uint_eq(chain.count, 0);
    ck_assert(chain_add(&chain, slice_of(text, 3)));
    ck_assert(chain_add(&chain, slice_of(text + 3, 2))); /* follows: one part */
    ck_assert_uint_eq(chain.count, 1);
    ck_assert(chain_add(&chain, slice_of(text, 1)));
    ck_assert(chain_add_pinned(&chain, slice_of(text + 1, 4), &pin)); /* follows, but is a mapping's */
    ck_assert(chain_add_pinned(&chain, slice_of(text + 5, 2), &pin));
    ck_assert(chain_add_pinned(&chain, slice_of(text + 7, 2), &other));
    ck_assert(chain_add_pinned(&chain, slice_of(text, 0), &other));
    ck_assert_uint_eq(chain.count, 4);
    ck_assert_uint_eq(chain.size, 14);
    ck_assert_ptr_eq(chain.parts[2].pin, &pin);
    ck_assert_uint_eq(chain.parts[2].bytes.size, 6);
    for (int i = 0; i < 1000; i++)
        ck_assert(chain_add(&chain, slice_of(text, 2)));
    ck_assert_uint_eq(chain.count, 1004);
    pin_drop(&pin);
    pin_drop(&other);
    ck_assert_uint_eq(released_count, 0);
    arena_destroy(&arena);
    ck_assert_uint_eq(released_count, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, pieces_are_apart_and_aligned);
    tcase_add_test(cases, sizes_at_the_edges);
    tcase_add_test(cases, copies);
    tcase_add_test(cases, the_budget_counts_all_but_the_first_page);
    tcase_add_test(cases, pins_are_held_until_the_reset);
    tcase_add_test(cases, a_steady_load_does_not_reach_malloc);
    tcase_add_test(cases, threads_end_without_leaks);
    tcase_add_test(cases, chains);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
