/* Our .runnel files and Kafka's producer snapshots: round trips, and every kind of damage. */
#include <check.h>
#include <stdlib.h>

#include "storage/file_double.h"
#include "storage/side_file.h"

static struct side_row row_of(uint32_t i)
{
    return (struct side_row){ .topic_id = { { (uint8_t)(i + 1) } },
                              .partition = (int32_t)i,
                              .topic = slice_of_string(i % 2 ? "orders" : "x"),
                              .row = { .start_offset = i,
                                       .end_offset = INT64_MAX - i,
                                       .stable_offset = INT64_MAX - 1000 - i,
                                       .active_base = 10 + i,
                                       .active_size = 100 + i,
                                       .leader_epoch = (int32_t)i - 1,
                                       .size = UINT64_C(1) << 40,
                                       .segment_count = 3 } };
}

START_TEST(a_table_round_trip)
{
    struct side_table_writer writer;
    struct side_table_reader reader;
    struct side_row row;
    uuid nonce = { { 42 } };

    side_table_begin(&writer, nonce);
    for (uint32_t i = 0; i < 100; i++) {
        struct side_row written = row_of(i);
        side_table_add(&writer, &written);
    }
    slice bytes = side_table_end(&writer);
    ck_assert(side_table_open(bytes, &reader));
    ck_assert(uuid_equal(reader.nonce, nonce));
    for (uint32_t i = 0; i < 100; i++) {
        struct side_row expected = row_of(i);
        ck_assert(side_table_next(&reader, &row));
        ck_assert(uuid_equal(row.topic_id, expected.topic_id));
        ck_assert(slice_equal(row.topic, expected.topic));
        ck_assert_int_eq(row.partition, expected.partition);
        ck_assert_int_eq(row.row.start_offset, expected.row.start_offset);
        ck_assert_int_eq(row.row.end_offset, expected.row.end_offset);
        ck_assert_int_eq(row.row.active_base, expected.row.active_base);
        ck_assert_uint_eq(row.row.active_size, expected.row.active_size);
        ck_assert_int_eq(row.row.leader_epoch, expected.row.leader_epoch);
        ck_assert_uint_eq(row.row.size, expected.row.size);
        ck_assert_uint_eq(row.row.segment_count, 3);
    }
    ck_assert(!side_table_next(&reader, &row));
    side_table_free(&writer);
}
END_TEST

START_TEST(a_damaged_table_is_not_believed)
{
    struct side_table_writer writer;
    struct side_table_reader reader;
    struct side_row row = row_of(1);

    side_table_begin(&writer, (uuid){ { 1 } });
    side_table_add(&writer, &row);
    slice good = side_table_end(&writer);
    uint8_t *bytes = malloc(good.size);
    for (size_t size = 0; size < good.size; size++) {
        memcpy(bytes, good.data, good.size);
        ck_assert(!side_table_open(slice_of(bytes, size), &reader));
        bytes[size] ^= 1;
        ck_assert(!side_table_open(slice_of(bytes, good.size), &reader));
    }
    free(bytes);
    side_table_free(&writer);
}
END_TEST

struct seen {
    size_t count;
    int64_t sum;
};

static void see(void *context, const struct side_position *position)
{
    struct seen *seen = context;

    seen->count++;
    seen->sum += position->durable.offset;
    ck_assert_int_eq(position->start_offset, 3);
    ck_assert_uint_eq(position->durable.position, 77);
}

START_TEST(positions_survive_holes)
{
    enum { COUNT = 10, SIZE = SIDE_POSITIONS_HEADER_SIZE + COUNT * SIDE_POSITION_SIZE };
    uint8_t bytes[SIZE];
    uuid directory_id = { { 5 } };
    struct seen seen = { 0 };

    side_positions_encode_header(directory_id, bytes);
    for (int i = 0; i < COUNT; i++) {
        struct side_position position = { .topic_id = { { 1 } },
                                          .partition = i,
                                          .durable = { .offset = 1 << i, .segment_base = 0, .position = 77 },
                                          .start_offset = 3 };
        side_position_encode(&position, bytes + SIDE_POSITIONS_HEADER_SIZE + i * SIDE_POSITION_SIZE);
    }
    ck_assert(side_positions_parse(slice_of(bytes, SIZE), directory_id, see, &seen));
    ck_assert_uint_eq(seen.count, COUNT);
    ck_assert_int_eq(seen.sum, 1023);
    memset(bytes + SIDE_POSITIONS_HEADER_SIZE + 2 * SIDE_POSITION_SIZE, 0, SIDE_POSITION_SIZE);
    bytes[SIDE_POSITIONS_HEADER_SIZE + 5 * SIDE_POSITION_SIZE + 30] ^= 4;
    seen = (struct seen){ 0 };
    ck_assert(side_positions_parse(slice_of(bytes, SIZE - 1), directory_id, see, &seen));
    ck_assert_int_eq(seen.sum, 1023 - 4 - 32 - 512);
    ck_assert(!side_positions_parse(slice_of(bytes, SIZE), (uuid){ { 6 } }, see, &seen));
    ck_assert(!side_positions_parse(slice_of(bytes, 10), directory_id, see, &seen));
    bytes[0] ^= 1;
    ck_assert(!side_positions_parse(slice_of(bytes, SIZE), directory_id, see, &seen));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("side_file");
    TCase *tcase = tcase_create("all");

    tcase_add_test(tcase, a_table_round_trip);
    tcase_add_test(tcase, a_damaged_table_is_not_believed);
    tcase_add_test(tcase, positions_survive_holes);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
