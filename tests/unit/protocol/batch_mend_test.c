/* One flipped bit of a batch is turned back wherever it is; what is damaged more is never taken for that. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/random.h"
#include "protocol/batch_mend.h"
#include "protocol/record_batch.h"
#include "tests/support/suite.h"

enum { BASE = 1000, RECORDS = 3, VALUE_SIZE = 40 };

static struct arena arena;
static struct batch_view batch;

static void build(void)
{
    struct batch_builder_options options = {
        .base_offset = BASE, .leader_epoch = 4, .producer_id = 7, .base_sequence = 12
    };
    uint8_t value[VALUE_SIZE];
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    for (int i = 0; i < RECORDS; i++) {
        memset(value, 'a' + i, sizeof value);
        ck_assert(batch_builder_add(builder, 1700000000000 + i, SLICE_LITERAL("key"),
                                    slice_of(value, sizeof value), NULL, 0));
    }
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
}

static void drop(void)
{
    arena_destroy(&arena);
}

static bool is_epoch(size_t byte)
{
    return byte >= BATCH_LEADER_EPOCH && byte < BATCH_LEADER_EPOCH + 4;
}

START_TEST(any_bit)
{
    for (size_t i = 0; i < batch.size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t copy[BATCH_MEND_SIZE_MAX];
            memcpy(copy, batch.data, batch.size);
            copy[i] ^= (uint8_t)(1u << bit);
            ck_assert_msg(batch_mend(copy, batch.size, BASE, BASE + RECORDS), "byte %zu bit %u", i, bit);
            if (is_epoch(i))
                copy[i] ^= (uint8_t)(1u << bit);
            ck_assert_msg(memcmp(copy, batch.data, batch.size) == 0, "byte %zu bit %u", i, bit);
        }
    }
}
END_TEST

/* Of those that the checksum covers, or that are the checksum. */
START_TEST(two_bits_are_not_one)
{
    size_t bits = (batch.size - BATCH_CRC) * 8;
    uint64_t tried = 0;
    for (size_t a = 0; a < bits; a += 3) {
        for (size_t b = a + 1; b < bits; b++) {
            uint8_t copy[BATCH_MEND_SIZE_MAX];
            memcpy(copy, batch.data, batch.size);
            copy[BATCH_CRC + a / 8] ^= (uint8_t)(1u << a % 8);
            copy[BATCH_CRC + b / 8] ^= (uint8_t)(1u << b % 8);
            ck_assert_msg(!batch_mend(copy, batch.size, BASE, BASE + RECORDS), "bits %zu %zu", a, b);
            tried++;
        }
    }
    printf("pairs of bits: %" PRIu64 "\n", tried);
}
END_TEST

START_TEST(what_is_damaged_more)
{
    struct random random;
    random_seed(&random, 1);
    for (int round = 0; round < 20000; round++) {
        uint8_t copy[BATCH_MEND_SIZE_MAX];
        memcpy(copy, batch.data, batch.size);
        size_t from = random_below(&random, batch.size - 8), count = 2 + random_below(&random, 6);
        bool zeroes = round % 2;
        for (size_t i = from; i < from + count; i++)
            copy[i] = zeroes ? 0 : (uint8_t)random_below(&random, 256);
        if (batch_mend(copy, batch.size, BASE, BASE + RECORDS)) {
            memcpy(copy + BATCH_LEADER_EPOCH, batch.data + BATCH_LEADER_EPOCH, 4);
            ck_assert_int_eq(memcmp(copy, batch.data, batch.size), 0);
        }
    }
}
END_TEST

START_TEST(another_place)
{
    uint8_t copy[BATCH_MEND_SIZE_MAX + 1] = { 0 };
    memcpy(copy, batch.data, batch.size);
    ck_assert_msg(!batch_mend(copy, batch.size, BASE, BASE + RECORDS + 1), "more offsets than it has");
    ck_assert_msg(!batch_mend(copy, batch.size - 1, BASE, BASE + RECORDS), "not all of it");
    memcpy(copy, batch.data, batch.size);
    ck_assert_msg(!batch_mend(copy, batch.size + 1, BASE, BASE + RECORDS), "more than it is");
    ck_assert(!batch_mend(copy, BATCH_HEADER_SIZE - 1, BASE, BASE + RECORDS));
    ck_assert(!batch_mend(copy, BATCH_MEND_SIZE_MAX + 1, BASE, BASE + RECORDS));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch_mend");
    TCase *tests = tcase_create("tests");
    tcase_add_checked_fixture(tests, build, drop);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, any_bit);
    tcase_add_test(tests, two_bits_are_not_one);
    tcase_add_test(tests, what_is_damaged_more);
    tcase_add_test(tests, another_place);
    suite_add_tcase(suite, tests);
    return suite_run(suite) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
