/* The syntax of server.properties: every rule of java.util.Properties, with Java's own answers. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config_internal.h"
#include "tests/unit/broker/config_try.h"

static const struct row {
    const char *what;
    const char *text;
    const char *pairs; /* "line name=value|" each, or "!" for a broken escape */
} rows[] = {
    { "name and value", "a=1\nb=2\n", "1 a=1|2 b=2|" },
    { "the last line needs no end", "a=1", "1 a=1|" },
    { "a colon separates", "a:1", "1 a=1|" },
    { "a blank separates", "a 1\nb\t2\nc\f3", "1 a=1|2 b=2|3 c=3|" },
    { "blanks around the separator go", "  a \t=  1  \n", "1 a=1  |" },
    { "only the first separator counts", "a==1\nb=:2\nc = = 3", "1 a==1|2 b=:2|3 c== 3|" },
    { "a blank, then a separator", "a : 1", "1 a=1|" },
    { "an empty value", "a=\nb\nc:", "1 a=|2 b=|3 c=|" },
    { "an empty name", "=1", "1 =1|" },
    { "comments of both kinds", "# a=1\n! b=2\n  # c=3\nd=4", "4 d=4|" },
    { "no comment behind a value", "a=1 # x\nb=!", "1 a=1 # x|2 b=!|" },
    { "a comment cannot be continued", "# x \\\na=1", "2 a=1|" },
    { "blank lines", "\n \n\t\n\r\na=1\n\n", "5 a=1|" },
    { "all line ends", "a=1\rb=2\r\nc=3\nd=4", "1 a=1|2 b=2|3 c=3|4 d=4|" },
    { "a continued line", "a=1,\\\n   2,\\\r\n\t3\nb=4", "1 a=1,2,3|4 b=4|" },
    { "a continued name", "ab\\\n  c=1", "1 abc=1|" },
    { "two backslashes do not continue", "a=1\\\\\nb=2", "1 a=1\\|2 b=2|" },
    { "three do", "a=1\\\\\\\nb=2", "1 a=1\\b=2|" },
    { "a continuation may be blank", "a=1\\\n\nb=2", "1 a=1|3 b=2|" },
    { "no comment on a continuation", "a=1\\\n# x", "1 a=1# x|" },
    { "a backslash ends the text", "a=1\\", "1 a=1|" },
    { "escapes", "a=\\t|\\n|\\r|\\f|\\\\|\\q|\\=", "1 a=\t|\n|\r|\f|\\|q|=|" },
    { "an escaped separator belongs to the name", "a\\=b\\:c\\ d=1", "1 a=b:c d=1|" },
    { "a letter by its number", "a=\\u0041\\u00e9\\u20AC", "1 a=A\xc3\xa9\xe2\x82\xac|" },
    { "a letter of two units", "a=\\uD83D\\uDE00", "1 a=\xf0\x9f\x98\x80|" },
    { "half a letter", "a=\\uD83D\nb=2", "!" },
    { "the other half", "a=\\uDE00", "!" },
    { "too few digits", "a=\\u12\nb=2", "!" },
    { "no digits", "a=\\uxyzw", "!" },
    { "UTF-8 stays", "a=\xc3\xa9", "1 a=\xc3\xa9|" },
    { "what is not UTF-8 is ISO-8859-1", "a=\xe9\nb=\xc3\xa9", "1 a=\xc3\xa9|2 b=\xc3\x83\xc2\xa9|" },
    { "nothing", "", "" },
    { "a backslash alone", "\\", "" },
};

START_TEST(parses)
{
    const struct row *row = &rows[_i];
    struct arena arena;
    struct properties properties;
    struct property property;
    enum properties_status status;
    char pairs[512] = "";
    size_t at = 0;
    arena_init(&arena, NULL);
    ck_assert(properties_init(&properties, slice_of_string(row->text), &arena));
    while ((status = properties_next(&properties, &property)) == PROPERTIES_OK)
        at += (size_t)snprintf(pairs + at, sizeof pairs - at, "%u %s=%s|", property.line,
                               (const char *)property.name.data, (const char *)property.value.data);
    if (status == PROPERTIES_BAD_ESCAPE)
        snprintf(pairs, sizeof pairs, "!");
    ck_assert_msg(strcmp(pairs, row->pairs) == 0, "%s: %s", row->what, pairs);
    arena_destroy(&arena);
}
END_TEST

/* After a broken escape the next line is read as if nothing had been. */
START_TEST(goes_on)
{
    struct arena arena;
    struct properties properties;
    struct property property;
    arena_init(&arena, NULL);
    ck_assert(properties_init(&properties, slice_of_string("\n\na=\\u1\nb=2"), &arena));
    ck_assert_int_eq(properties_next(&properties, &property), PROPERTIES_BAD_ESCAPE);
    ck_assert_uint_eq(property.line, 3);
    ck_assert_int_eq(properties_next(&properties, &property), PROPERTIES_OK);
    ck_assert_uint_eq(property.line, 4);
    ck_assert(slice_equal_string(property.name, "b"));
    ck_assert_int_eq(properties_next(&properties, &property), PROPERTIES_END);
    arena_destroy(&arena);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("properties");
    tcase_add_loop_test(tcase, parses, 0, COUNT_OF(rows));
    tcase_add_test(tcase, goes_on);
    return try_run("config_properties", tcase);
}
