/* Compares every implementation of CRC-32C with one byte at a time, for all sizes and alignments. */
#include "protocol/base/crc32c.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/random.h"

enum { SIZE_MAX_TESTED = 5000, ALIGNMENT_COUNT = 64 };

static uint32_t byte_table[256];

static void make_byte_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t state = byte;
        for (int bit = 0; bit < 8; bit++)
            state = state & 1 ? state >> 1 ^ 0x82f63b78u : state >> 1;
        byte_table[byte] = state;
    }
}

static uint32_t next_state(uint32_t state, uint8_t byte)
{
    return state >> 8 ^ byte_table[(state ^ byte) & 255];
}

static const char *const kind_names[] = { "table", "sse4.2", "vpclmul" };

START_TEST(known_values)
{
    static const struct {
        const char *text;
        uint32_t crc;
    } rows[] = {
        { "", 0 },
        { "123456789", 0xe3069283 },
        { "a", 0xc1d04330 },
        { "The quick brown fox jumps over the lazy dog", 0x22620404 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_uint_eq(crc32c(0, rows[i].text, strlen(rows[i].text)), rows[i].crc);
    /* RFC 3720, B.4: 32 bytes of zeros, of ones. */
    uint8_t bytes[32];
    memset(bytes, 0, sizeof bytes);
    ck_assert_uint_eq(crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    ck_assert_uint_eq(crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
}
END_TEST

START_TEST(every_size_and_alignment)
{
    enum crc32c_kind kind = (enum crc32c_kind)_i;
    uint32_t crc;
    if (!crc32c_by(kind, 0, "", 0, &crc)) {
        printf("this CPU has no %s\n", kind_names[kind]);
        return;
    }
    struct random random;
    random_seed(&random, 7);
    uint8_t *bytes = malloc(SIZE_MAX_TESTED + ALIGNMENT_COUNT);
    random_bytes(&random, bytes, SIZE_MAX_TESTED + ALIGNMENT_COUNT);
    for (size_t at = 0; at < ALIGNMENT_COUNT; at += at < 16 ? 1 : 16) {
        uint32_t state = ~(uint32_t)at; /* continues from crc == at */
        for (size_t size = 0; size <= SIZE_MAX_TESTED; size++) {
            ck_assert(crc32c_by(kind, (uint32_t)at, bytes + at, size, &crc));
            ck_assert_msg(crc == ~state, "%s: %zu bytes at %zu", kind_names[kind], size, at);
            state = next_state(state, bytes[at + size < SIZE_MAX_TESTED + ALIGNMENT_COUNT ? at + size : 0]);
        }
    }
    free(bytes);
}
END_TEST

START_TEST(pieces_equal_the_whole)
{
    uint8_t bytes[3000];
    struct random random;
    random_seed(&random, 8);
    random_bytes(&random, bytes, sizeof bytes);
    uint32_t whole = crc32c(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++)
        ck_assert_uint_eq(crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut), whole);
}
END_TEST

int main(void)
{
    make_byte_table();
    Suite *suite = suite_create("crc32c");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, known_values);
    tcase_add_loop_test(cases, every_size_and_alignment, CRC32C_TABLE, CRC32C_VPCLMUL + 1);
    tcase_add_test(cases, pieces_equal_the_whole);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
