/* What the load generator is made of: histograms, patched batches, the shares of connections. */
#include <check.h>
#include <stdlib.h>

#include "protocol/base/crc32c.h"
#include "tests/bench/load/batches.h"
#include "tests/bench/load/histogram.h"
#include "tests/bench/load/kinds.h"

START_TEST(a_bucket_is_narrow)
{
    static struct histogram histogram;
    for (uint64_t ns = 1; ns < (uint64_t)1 << 39; ns += ns / 3 + 1) {
        histogram = (struct histogram){ 0 };
        histogram_add(&histogram, ns);
        histogram_add(&histogram, ns * 2); /* so that the maximum hides nothing */
        uint64_t found = histogram_quantile_ns(&histogram, 0.49);
        ck_assert_uint_ge(found, ns);
        ck_assert_uint_le(found - ns, ns / 60 + 1);
    }
}
END_TEST

START_TEST(quantiles_are_ranks)
{
    static struct histogram histogram, other;
    histogram = other = (struct histogram){ 0 };
    for (uint64_t i = 1; i <= 1000; i++)
        histogram_add(i % 2 ? &histogram : &other, i * 1000);
    histogram_merge(&histogram, &other);
    ck_assert_uint_eq(histogram.count, 1000);
    ck_assert_uint_eq(histogram.max_ns, 1000000);
    ck_assert_uint_eq(histogram_quantile_ns(&histogram, 1), 1000000);
    ck_assert(llabs((long long)histogram_quantile_ns(&histogram, 0.5) - 501000) < 10000);
    ck_assert(llabs((long long)histogram_quantile_ns(&histogram, 0.99) - 991000) < 20000);
}
END_TEST

static const struct {
    const char *what;
    struct batch_shape shape;
    bool has_stamp;
} shapes[] = {
    { "many records", { 1024, 64 << 10, CODEC_NONE, 0 }, true },
    { "one record", { 1024, 1, CODEC_NONE, 0 }, true },
    { "just room for a stamp", { 12, 1, CODEC_NONE, 0 }, true },
    { "no room for a stamp", { 11, 1, CODEC_NONE, 0 }, false },
    { "one byte", { 1, 1, CODEC_NONE, 0 }, false },
    { "keys", { 100, 16 << 10, CODEC_NONE, 50 }, true },
    { "a record of a MiB", { 1 << 20, 1, CODEC_NONE, 0 }, true },
    { "zstd", { 1024, 64 << 10, CODEC_ZSTD, 0 }, false },
};

/* A patched head in front of the rest is a batch with a right CRC, whatever was patched. */
START_TEST(a_patched_batch_is_whole)
{
    struct arena arena;
    struct ready_batch ready;
    arena_init(&arena, NULL);
    ready_batch_make(&ready, &shapes[_i].shape, 3, &arena);
    ck_assert_msg((ready.stamp_position > 0) == shapes[_i].has_stamp, "%s", shapes[_i].what);
    uint8_t *bytes = arena_alloc(&arena, ready.size);
    memcpy(bytes, ready.data, ready.size);
    for (uint64_t i = 0; i < 5; i++) {
        const struct batch_patch patch = { .stamp_ns = 123456789012345 + i * 7919,
                                           .timestamp_ms = 1700000000000,
                                           .producer_id = 4000 + (int64_t)i,
                                           .producer_epoch = 0,
                                           .base_sequence = (int32_t)(i * 64) };
        struct batch_view view;
        ready_batch_patch(&ready, &patch, bytes);
        ck_assert_int_eq(batch_view(slice_of(bytes, ready.size), &view), BATCH_OK);
        ck_assert_msg(batch_crc_ok(&view), "%s", shapes[_i].what);
        ck_assert_int_eq(view.producer_id, patch.producer_id);
        ck_assert_int_eq(view.base_sequence, patch.base_sequence);
        ck_assert_int_eq(view.record_count, ready.records);
        if (shapes[_i].has_stamp)
            ck_assert_uint_eq(batch_stamp_ns(&view, 0), patch.stamp_ns);
        bytes[ready.size - 1] ^= 1; /* the control: the CRC still covers the rest */
        ck_assert(!batch_crc_ok(&view));
        bytes[ready.size - 1] ^= 1;
    }
    arena_destroy(&arena);
}
END_TEST

START_TEST(a_foreign_batch_has_no_stamp)
{
    static const struct batch_builder_options options = {
        .leader_epoch = -1, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1
    };
    struct arena arena;
    struct batch_view batch;
    arena_init(&arena, NULL);
    struct batch_builder *builder = batch_builder_open(&arena, &options);
    ck_assert(
        batch_builder_add(builder, 5, SLICE_NULL, SLICE_LITERAL("some value of another client"), NULL, 0));
    ck_assert_int_eq(batch_builder_finish(builder, &batch), BATCH_OK);
    ck_assert_uint_eq(batch_stamp_ns(&batch, 0), 0);
    arena_destroy(&arena);
}
END_TEST

START_TEST(every_partition_is_somebodys)
{
    for (int connections = 1; connections < 20; connections++) {
        for (int partitions = 1; partitions < 20; partitions++) {
            int owners[20] = { 0 };
            for (int i = 0; i < connections; i++) {
                struct share share = share_of(i, connections, partitions);
                ck_assert_int_ge(share.count, 1);
                for (int p = 0; p < share.count; p++)
                    owners[share.partitions[p]]++;
                free(share.partitions);
            }
            for (int p = 0; p < partitions; p++)
                ck_assert_int_ge(owners[p], 1);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load parts");
    TCase *tests = tcase_create("parts");
    tcase_add_test(tests, a_bucket_is_narrow);
    tcase_add_test(tests, quantiles_are_ranks);
    tcase_add_loop_test(tests, a_patched_batch_is_whole, 0, sizeof shapes / sizeof *shapes);
    tcase_add_test(tests, a_foreign_batch_has_no_stamp);
    tcase_add_test(tests, every_partition_is_somebodys);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
