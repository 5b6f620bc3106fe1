/* Kafka's UUIDs, and the randomness that they come from. */
#include "protocol/base/uuid.h"

#include <check.h>
#include <stdlib.h>

START_TEST(texts)
{
    static const struct {
        const char *what;
        const char *text;
        bool ok;
        uuid id;
    } rows[] = {
        { "zero", "AAAAAAAAAAAAAAAAAAAAAA", true, { { 0 } } },
        { "one", "AAAAAAAAAAAAAAAAAAAAAQ", true, { { [15] = 1 } } },
        { "counting up",
          "AAECAwQFBgcICQoLDA0ODw",
          true,
          { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } } },
        { "all ones",
          "_____________________w",
          true,
          { { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 } } },
        { "dash and underscore", "--__AAAAAAAAAAAAAAAAAA", true, { { 0xfb, 0xef, 0xff } } },
        { "empty", "", false, { { 0 } } },
        { "one too short", "AAECAwQFBgcICQoLDA0OD", false, { { 0 } } },
        { "padded", "AAECAwQFBgcICQoLDA0ODw==", false, { { 0 } } },
        { "plain base64", "++//AAAAAAAAAAAAAAAAAA", false, { { 0 } } },
        { "a space", "AAECAwQFBgcICQoLDA0OD ", false, { { 0 } } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uuid id;
        ck_assert_msg(uuid_from_text(slice_of_string(rows[i].text), &id) == rows[i].ok, "%s", rows[i].what);
        ck_assert_msg(uuid_equal(id, rows[i].id), "%s", rows[i].what);
        if (!rows[i].ok)
            continue;
        char text[UUID_TEXT_SIZE + 1];
        uuid_to_text(id, text);
        ck_assert_str_eq(text, rows[i].text);
    }
    ck_assert(!uuid_from_text(slice_of("AAECAwQFBgcICQoLDA0O\0w", 22), &(uuid){ { 0 } }));
    ck_assert(uuid_is_zero(UUID_ZERO) && !uuid_is_zero(UUID_ONE));
}
END_TEST

START_TEST(random_ids)
{
    struct random random;
    random_seed(&random, 1);
    for (int i = 0; i < 20000; i++) {
        uuid id = uuid_random(&random), back;
        char text[UUID_TEXT_SIZE + 1];
        uuid_to_text(id, text);
        ck_assert_int_ne(text[0], '-');
        ck_assert_uint_eq(id.bytes[6] >> 4, 4);
        ck_assert_uint_eq(id.bytes[8] >> 6, 2);
        ck_assert(uuid_from_text(slice_of_string(text), &back));
        ck_assert(uuid_equal(id, back));
    }
}
END_TEST

START_TEST(random_numbers)
{
    struct random a, b;
    random_seed(&a, 42);
    random_seed(&b, 42);
    unsigned counts[6] = { 0 };
    for (int i = 0; i < 60000; i++) {
        uint64_t drawn = random_below(&a, 6);
        ck_assert_uint_lt(drawn, 6);
        ck_assert_uint_eq(drawn, random_below(&b, 6));
        counts[drawn]++;
    }
    for (int i = 0; i < 6; i++)
        ck_assert_uint_gt(counts[i], 9500);
    for (int i = 0; i < 1000; i++)
        ck_assert_uint_eq(random_below(&a, 1), 0);
    ck_assert_uint_le(random_below(&a, UINT64_MAX), UINT64_MAX - 1);
    uint8_t bytes[13] = { 0 }, other[13] = { 0 };
    random_bytes(&a, bytes, sizeof bytes);
    random_seed_secure(&a);
    random_secure(other, sizeof other);
    ck_assert_mem_ne(bytes, other, sizeof bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uuid");
    TCase *cases = tcase_create("all");
    tcase_add_test(cases, texts);
    tcase_add_test(cases, random_ids);
    tcase_add_test(cases, random_numbers);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
