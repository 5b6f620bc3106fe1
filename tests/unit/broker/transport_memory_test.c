/* The memory pair: bytes arrive in order, bounds hold, ends are noticed. */
#include "broker/transport.h"

#include <check.h>
#include <stdlib.h>

#include "protocol/base/random.h"

static unsigned ready_count;

static void count_ready(void *context)
{
    (void)context;
    ready_count++;
}

static enum transport_status write_bytes(struct transport *end, const void *bytes, size_t size, size_t *sent)
{
    struct chain_part part = { .bytes = slice_of(bytes, size) };
    return end->ops->write(end, &part, 1, 0, sent);
}

START_TEST(a_small_buffer_gives_and_takes)
{
    struct transport *ends[2];
    uint8_t out[8];
    size_t size;
    ck_assert(transport_pair(4, ends));
    ends[1]->ready = count_ready;
    ck_assert_int_eq(ends[1]->ops->read(ends[1], out, 8, &size), TRANSPORT_AGAIN);
    ck_assert_int_eq(write_bytes(ends[0], "abcdef", 6, &size), TRANSPORT_OK);
    ck_assert_uint_eq(size, 4);
    ck_assert_uint_eq(ready_count, 1);
    ck_assert_int_eq(write_bytes(ends[0], "ef", 2, &size), TRANSPORT_AGAIN);
    ck_assert_int_eq(ends[1]->ops->read(ends[1], out, 3, &size), TRANSPORT_OK);
    ck_assert_uint_eq(size, 3);
    ck_assert_mem_eq(out, "abc", 3);
    ck_assert_int_eq(write_bytes(ends[0], "ef", 2, &size), TRANSPORT_OK);
    ck_assert_int_eq(ends[1]->ops->read(ends[1], out, 8, &size), TRANSPORT_OK);
    ck_assert_uint_eq(size, 3);
    ck_assert_mem_eq(out, "def", 3);
    ends[0]->ops->close(ends[0]);
    ck_assert_int_eq(ends[1]->ops->read(ends[1], out, 8, &size), TRANSPORT_CLOSED);
    ck_assert_int_eq(write_bytes(ends[1], "x", 1, &size), TRANSPORT_CLOSED);
    ends[1]->ops->close(ends[1]);
}
END_TEST

/* What was written before the end is read before the end is told. */
START_TEST(the_end_comes_after_the_bytes)
{
    struct transport *ends[2];
    uint8_t out[8];
    size_t size;
    ck_assert(transport_pair(16, ends));
    ck_assert_int_eq(write_bytes(ends[0], "last", 4, &size), TRANSPORT_OK);
    ends[0]->ops->close(ends[0]);
    ck_assert_int_eq(ends[1]->ops->read(ends[1], out, 8, &size), TRANSPORT_OK);
    ck_assert_uint_eq(size, 4);
    ck_assert_int_eq(ends[1]->ops->read(ends[1], out, 8, &size), TRANSPORT_CLOSED);
    ends[1]->ops->close(ends[1]);
}
END_TEST

START_TEST(any_cut_keeps_the_order)
{
    struct transport *ends[2];
    struct random random;
    random_seed(&random, (uint64_t)_i);
    ck_assert(transport_pair(1 + random_below(&random, 50), ends));
    uint8_t written = 0, read = 0;
    size_t total = 0;
    for (int step = 0; step < 5000; step++) {
        uint8_t bytes[64];
        size_t size, room = 1 + random_below(&random, 30);
        if (random_below(&random, 2) == 0) {
            for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (uint8_t)(written + i);
            size_t half = random_below(&random, room + 1), skip = random_below(&random, room);
            /* In two parts, with bytes in front that have left before. */
            for (size_t i = room; i-- > 0;)
                bytes[i] = (uint8_t)(written + i - skip);
            struct chain_part parts[2] = { { .bytes = slice_of(bytes, half) },
                                           { .bytes = slice_of(bytes + half, room - half) } };
            ends[0]->ops->write(ends[0], parts, 2, skip, &size);
            ck_assert_uint_le(size, room - skip);
            written = (uint8_t)(written + size);
            total += size;
        } else if (ends[1]->ops->read(ends[1], bytes, room, &size) == TRANSPORT_OK) {
            for (size_t i = 0; i < size; i++)
                ck_assert_uint_eq(bytes[i], read++);
        }
    }
    ck_assert_uint_gt(total, 100);
    ends[0]->ops->close(ends[0]);
    ends[1]->ops->close(ends[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transport_memory");
    TCase *tcase = tcase_create("pair");
    tcase_add_test(tcase, a_small_buffer_gives_and_takes);
    tcase_add_test(tcase, the_end_comes_after_the_bytes);
    tcase_add_loop_test(tcase, any_cut_keeps_the_order, 0, 50);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
