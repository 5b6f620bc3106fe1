/* The logger: one line per event, nothing of a client's raw, and clocks of tests. */
#include "protocol/base/note.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/base/clock.h"

static int fds[2];

static void setup(void)
{
    ck_assert_int_eq(pipe(fds), 0);
    note_set_fd(fds[1]);
    note_set_level(NOTE_INFO);
}

static void teardown(void)
{
    note_set_fd(2);
    close(fds[0]);
    close(fds[1]);
}

/* What the last write held, or "" after a byte of our own. */
static const char *read_line(void)
{
    static char text[8192];
    ck_assert_int_eq(write(fds[1], "", 1), 1);
    ssize_t size = read(fds[0], text, sizeof text);
    ck_assert_int_gt(size, 0);
    ck_assert_int_eq(text[size - 1], '\0');
    return text;
}

START_TEST(lines)
{
    int year, month, day, hour, minute, second, ms, at = 0;
    errno = EIO;
    note_warn("log.truncated", "topic=%s position=%u", "orders", 7u);
    ck_assert_int_eq(errno, EIO);
    const char *line = read_line();
    ck_assert_int_eq(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ WARN log.truncated%n", &year, &month, &day,
                            &hour, &minute, &second, &ms, &at),
                     7);
    ck_assert_str_eq(line + at, " topic=orders position=7\n");
    note_info("a.b", " c=%d", 1);
    ck_assert_ptr_nonnull(strstr(read_line(), "Z INFO a.b c=1\n"));
    note_info("a.b", "%s", "");
    ck_assert_ptr_nonnull(strstr(read_line(), "Z INFO a.b \n"));
    errno = ENOSPC;
    note_error("disk.full", "reason=%m");
    ck_assert_ptr_nonnull(strstr(read_line(), "ERROR disk.full reason=No space left on device\n"));
    note_info("a.b", "text=%s", "two\nlines\tand \x1b[31mcolour\x7f");
    ck_assert_ptr_nonnull(strstr(read_line(), "text=two lines and  [31mcolour \n"));
}
END_TEST

START_TEST(levels)
{
    note_debug("quiet", "n=%d", 1);
    ck_assert_str_eq(read_line(), "");
    note_set_level(NOTE_DEBUG);
    note_debug("loud", "n=%d", 1);
    ck_assert_ptr_nonnull(strstr(read_line(), " DEBUG loud n=1\n"));
    note_set_level(NOTE_ERROR);
    note_warn("quiet", "n=%d", 1);
    ck_assert_str_eq(read_line(), "");
}
END_TEST

START_TEST(long_lines_are_cut)
{
    static char text[10000];
    memset(text, 'x', sizeof text - 1);
    note_info("long", "text=%s end", text);
    const char *line = read_line();
    size_t size = strlen(line);
    ck_assert_uint_le(size, 4096);
    ck_assert_uint_gt(size, 4080);
    ck_assert_str_eq(line + size - 5, "x...\n");
    note_info(text, "a=%d", 1);
    line = read_line();
    ck_assert_uint_le(strlen(line), 4096);
    ck_assert_int_eq(line[strlen(line) - 1], '\n');
}
END_TEST

START_TEST(escapes)
{
    static const struct {
        const char *what;
        slice bytes;
        const char *text;
    } rows[] = {
        { "null", { NULL, 0 }, "null" },
        { "empty", { (const uint8_t *)"", 0 }, "\"\"" },
        { "plain", { (const uint8_t *)"orders", 6 }, "\"orders\"" },
        { "quote and backslash", { (const uint8_t *)"a\"b\\c", 5 }, "\"a\\\"b\\\\c\"" },
        { "control characters", { (const uint8_t *)"\n\r\t\0\x1b\x7f", 6 }, "\"\\n\\r\\t\\x00\\x1b\\x7f\"" },
        { "UTF-8",
          { (const uint8_t *)"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9 },
          "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
        { "C1 control", { (const uint8_t *)"\xc2\x9b", 2 }, "\"\\xc2\\x9b\"" },
        { "no UTF-8", { (const uint8_t *)"\xff\x80", 2 }, "\"\\xff\\x80\"" },
        { "cut UTF-8", { (const uint8_t *)"\xe2\x82", 2 }, "\"\\xe2\\x82\"" },
        { "overlong", { (const uint8_t *)"\xc0\xaf\xe0\x80\x80", 5 }, "\"\\xc0\\xaf\\xe0\\x80\\x80\"" },
        { "surrogate", { (const uint8_t *)"\xed\xa0\x80", 3 }, "\"\\xed\\xa0\\x80\"" },
        { "beyond Unicode", { (const uint8_t *)"\xf4\x90\x80\x80", 4 }, "\"\\xf4\\x90\\x80\\x80\"" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t *exact = malloc(rows[i].bytes.size + 1);
        if (rows[i].bytes.size > 0)
            memcpy(exact, rows[i].bytes.data, rows[i].bytes.size);
        slice bytes = { rows[i].bytes.data ? exact : NULL, rows[i].bytes.size };
        ck_assert_msg(strcmp(note_escape(bytes), rows[i].text) == 0, "%s: %s", rows[i].what,
                      note_escape(bytes));
        free(exact);
    }
    /* The worst that fits, and the cut. */
    uint8_t bytes[200];
    memset(bytes, 0xff, sizeof bytes);
    ck_assert_uint_eq(strlen(note_escape(slice_of(bytes, 128))), 2 + 4 * 128);
    ck_assert_uint_eq(strlen(note_escape(slice_of(bytes, 129))), 2 + 4 * 128 + 3);
    /* A character is not cut in two. */
    memset(bytes, 'a', sizeof bytes);
    memcpy(bytes + 127, "\xc3\xa9", 2);
    const char *text = note_escape(slice_of(bytes, sizeof bytes));
    ck_assert_uint_eq(strlen(text), 1 + 127 + 1 + 3);
    /* Eight live at a time. */
    const char *first = note_escape(SLICE_LITERAL("first"));
    for (int i = 0; i < 7; i++)
        note_escape(SLICE_LITERAL("other"));
    ck_assert_str_eq(first, "\"first\"");
}
END_TEST

START_TEST(limits)
{
    struct note_limit limit = { 0 };
    uint32_t suppressed = 77;
    unsigned allowed = 0;
    /* A second may end while this runs, so between 3 and 6 pass. */
    for (int i = 0; i < 100; i++)
        allowed += note_allow(&limit, 3, &suppressed);
    ck_assert_uint_ge(allowed, 3);
    ck_assert_uint_le(allowed, 6);
    uint32_t missed = 100 - allowed;
    if (allowed == 3) {
        ck_assert_uint_eq(suppressed, 0);
        limit.second--; /* as if it had begun a second ago */
        ck_assert(note_allow(&limit, 3, &suppressed));
        ck_assert_uint_eq(suppressed, missed);
    }
}
END_TEST

static void *write_lines(void *argument)
{
    for (int i = 0; i < 100; i++)
        note_info("thread", "n=%d who=%s", i, note_escape(slice_of_string(argument)));
    return NULL;
}

START_TEST(threads_do_not_mix_lines)
{
    pthread_t threads[4];
    static char names[4][2] = { "a", "b", "c", "d" };
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    close(fds[1]);
    FILE *stream = fdopen(dup(fds[0]), "r");
    char line[200];
    int count = 0, n, at;
    for (; fgets(line, sizeof line, stream); count++) {
        at = 0;
        ck_assert_int_eq(sscanf(line + 24, " INFO thread n=%d who=\"%*1[abcd]\"\n%n", &n, &at), 1);
        ck_assert_uint_eq(24 + (size_t)at, strlen(line));
    }
    fclose(stream);
    ck_assert_int_eq(count, 400);
    fds[1] = dup(fds[0]);
}
END_TEST

START_TEST(clocks)
{
    struct clock_virtual clock;
    clock_virtual_init(&clock, 1700000000000);
    int64_t mono_ms = clock_mono_ms(&clock.clock);
    ck_assert_int_gt(mono_ms, 0);
    ck_assert_int_eq(clock_wall_ms(&clock.clock), 1700000000000);
    clock_virtual_advance(&clock, 1234);
    ck_assert_int_eq(clock_wall_ms(&clock.clock), 1700000001234);
    ck_assert_int_eq(clock_mono_ms(&clock.clock), mono_ms + 1234);
    int64_t before = clock_mono_ns(clock_real());
    ck_assert_int_ge(clock_mono_ns(clock_real()), before);
    ck_assert_int_gt(clock_wall_ms(clock_real()), 1700000000000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("note");
    TCase *cases = tcase_create("all");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, lines);
    tcase_add_test(cases, levels);
    tcase_add_test(cases, long_lines_are_cut);
    tcase_add_test(cases, escapes);
    tcase_add_test(cases, limits);
    tcase_add_test(cases, threads_do_not_mix_lines);
    tcase_add_test(cases, clocks);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
