/* Patterns of topics: RE2's syntax, the whole name, and a bound on what they cost. */
#include "broker/group/topic_regex.h"

#include <check.h>
#include <stdlib.h>
#include <time.h>

static const struct row {
    const char *pattern;
    const char *name;
    bool matches;
    const char *what;
} rows[] = {
    { "orders", "orders", true, "a name itself" },
    { "orders", "orders-2", false, "the whole name, not its beginning" },
    { "ders", "orders", false, "not its end" },
    { "orders.*", "orders-2", true, "anything after" },
    { "^orders$", "orders", true, "anchors change nothing" },
    { "a|b", "ab", false, "an alternative is for the whole name" },
    { "a|ab", "ab", true, "the longer alternative is tried" },
    { "(a|ab)(c|bcd)", "abcd", true, "whichever way" },
    { "foo|bar.*", "barn", true, "alternatives" },
    { ".", ".", true, "any character" },
    { "a.b", "a-b", true, "a dot is any" },
    { "a\\.b", "a-b", false, "but not an escaped one" },
    { "[a-c]+", "abcabc", true, "a class" },
    { "[^a-c]+", "xyz", true, "a negated class" },
    { "[^a-c]+", "xaz", false, "" },
    { "\\d{3}", "123", true, "counted digits" },
    { "\\d{3}", "1234", false, "" },
    { "\\w+", "a_1", true, "words" },
    { "\\w+", "a-1", false, "" },
    { "[[:alpha:]]+", "abc", true, "POSIX classes" },
    { "\\pL+", "abc", true, "Unicode classes" },
    { "(?i)ORDERS", "orders", true, "flags" },
    { "(?:ab)*", "ababab", true, "groups that do not capture" },
    { "(?P<x>ab)+", "abab", true, "named groups" },
    { "a*?", "aaa", true, "not greedy: the whole name still" },
    { "a{2,3}", "aaaa", false, "a bound" },
    { "", "", true, "nothing" },
    { "\\Qa.b\\E", "a.b", true, "quoted" },
    { "\\Qa.b\\E", "axb", false, "" },
    { "x\\b-y", "x-y", true, "word boundaries" },
};

START_TEST(table)
{
    const struct row *row = &rows[_i];
    char why[TOPIC_REGEX_ERROR_SIZE] = "";
    struct topic_regex *regex = topic_regex_open(slice_of_string(row->pattern), why);
    ck_assert_msg(regex != NULL, "%s: %s", row->pattern, why);
    ck_assert_msg(topic_regex_matches(regex, slice_of_string(row->name)) == row->matches,
                  "%s against %s (%s)", row->pattern, row->name, row->what);
    topic_regex_close(regex);
}
END_TEST

static const char *const wrong[] = { "(",     ")",    "[",      "a{2,1}",
                                     "*",     "a**",  "\\",     "(?=a)",
                                     "(?!a)", "\\1",  "(?<=a)", "a{1001}",
                                     "[z-a]", "(?z)", "\\pX",   "(((a{100}){100}){100})" };

START_TEST(what_is_no_pattern)
{
    char why[TOPIC_REGEX_ERROR_SIZE] = "";
    ck_assert_msg(!topic_regex_check(slice_of_string(wrong[_i]), why), "%s", wrong[_i]);
    ck_assert_int_gt((int)strlen(why), 0);
}
END_TEST

START_TEST(bytes_that_are_no_text)
{
    ck_assert(!topic_regex_check(slice_of("\xff\xfe", 2), NULL));
    ck_assert(topic_regex_check(slice_of("a\0b", 3), NULL));
    char *large = malloc(1 << 20);
    memset(large, 'a', 1 << 20);
    ck_assert(!topic_regex_check(slice_of(large, 1 << 20), NULL));
    free(large);
}
END_TEST

/* Where a backtracking engine takes years. */
START_TEST(time_is_linear)
{
    static const char *const evil[] = { "(a*)*b", "(a+)+b", "(a|a)*b", "(a|aa)+b",
                                        "(.*)(.*)(.*)(.*)(.*)(.*)b" };
    char name[249];
    memset(name, 'a', sizeof name);
    for (size_t i = 0; i < sizeof evil / sizeof *evil; i++) {
        struct topic_regex *regex = topic_regex_open(slice_of_string(evil[i]), NULL);
        ck_assert(regex);
        clock_t begin = clock();
        for (int round = 0; round < 100; round++)
            ck_assert(!topic_regex_matches(regex, slice_of(name, sizeof name)));
        ck_assert_msg((double)(clock() - begin) / CLOCKS_PER_SEC < 2, "%s", evil[i]);
        topic_regex_close(regex);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topic_regex");
    TCase *cases = tcase_create("topic_regex");
    tcase_add_loop_test(cases, table, 0, sizeof rows / sizeof *rows);
    tcase_add_loop_test(cases, what_is_no_pattern, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(cases, bytes_that_are_no_text);
    tcase_add_test(cases, time_is_linear);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
