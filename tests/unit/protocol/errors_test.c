/* The table of Kafka's error codes has no hole and no double. */
#include "protocol/errors.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(every_code_has_a_row)
{
    for (int16_t code = -1; code <= 133; code++) {
        ck_assert_msg(strcmp(error_name(code), "UNKNOWN") != 0, "%d", code);
        ck_assert_uint_gt(strlen(error_message(code)), 5);
        for (int16_t other = -1; other < code; other++)
            ck_assert_str_ne(error_name(code), error_name(other));
    }
}
END_TEST

START_TEST(some_rows)
{
    static const struct {
        int16_t code;
        const char *name;
        bool retriable;
    } rows[] = {
        { ERR_UNKNOWN_SERVER_ERROR, "UNKNOWN_SERVER_ERROR", false },
        { ERR_NONE, "NONE", false },
        { 1, "OFFSET_OUT_OF_RANGE", false },
        { 2, "CORRUPT_MESSAGE", true },
        { 10, "MESSAGE_TOO_LARGE", false },
        { 27, "REBALANCE_IN_PROGRESS", false },
        { 74, "FENCED_LEADER_EPOCH", true },
        { 87, "INVALID_RECORD", false },
        { ERR_SHARE_SESSION_LIMIT_REACHED, "SHARE_SESSION_LIMIT_REACHED", true },
        { -2, "UNKNOWN", false },
        { 134, "UNKNOWN", false },
        { INT16_MAX, "UNKNOWN", false },
        { INT16_MIN, "UNKNOWN", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_str_eq(error_name(rows[i].code), rows[i].name);
        ck_assert_int_eq(error_is_retriable(rows[i].code), rows[i].retriable);
        ck_assert_ptr_nonnull(error_message(rows[i].code));
    }
    ck_assert_int_eq(ERR_UNKNOWN_SERVER_ERROR, -1);
    ck_assert_int_eq(ERR_SHARE_SESSION_LIMIT_REACHED, 133);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("errors");
    TCase *cases = tcase_create("all");
    tcase_add_test(cases, every_code_has_a_row);
    tcase_add_test(cases, some_rows);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
