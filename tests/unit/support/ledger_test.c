/* The judge of the kill tests can say no: each way in which a log may betray its ledger is found and counted. */
#include "tests/support/ledger.h"
#include "tests/support/temp_dir.h"

#include <check.h>
#include <stdio.h>

enum { SEED = 7, RECORDS = 10, PARTITION = 2 };

/* What a consumer saw, as a list of sequences of producer 1 at rising offsets; -1 ends it. Acknowledged are the
 * sequences 0..9 at the offsets 0..9. */
static const struct {
    const char *what;
    int64_t seen[RECORDS + 3];
    int64_t skipped_offset; /* the offset that is left out before the next record, or -1 */
    bool spoilt;            /* a byte of the last value differs */
    struct ledger_verdict verdict;
} readings[] = {
    { "all of it", { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1 }, -1, false, { .records = 10, .acknowledged = 10 } },
    { "and more, whose outcome was open",
      { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -1 },
      -1,
      false,
      { .records = 11, .acknowledged = 10 } },
    { "the last one lost", { 0, 1, 2, 3, 4, 5, 6, 7, 8, -1 }, -1, false, { .records = 9, .acknowledged = 9, .lost = 1 } },
    { "all lost", { -1 }, -1, false, { .lost = 10 } },
    { "the last one written twice",
      { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, -1 },
      -1,
      false,
      { .records = 11, .acknowledged = 10, .duplicates = 1 } },
    { "two in the wrong order",
      { 0, 1, 3, 2, 4, 5, 6, 7, 8, 9, -1 },
      -1,
      false,
      { .records = 10, .acknowledged = 8, .lost = 2, .disordered = 1 } },
    { "the fifth replaced by another",
      { 0, 1, 2, 3, 20, 21, 22, 23, 24, 25, -1 },
      -1,
      false,
      { .records = 10, .acknowledged = 4, .lost = 6 } },
    { "an offset left out",
      { 0, 1, 2, 3, 4, 6, 7, 8, 9, -1 },
      5,
      false,
      { .records = 9, .acknowledged = 9, .lost = 1, .gaps = 1 } },
    { "a byte of the last value spoilt",
      { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1 },
      -1,
      true,
      { .records = 10, .acknowledged = 9, .lost = 1, .corrupt = 1 } },
};

static void judge_reading(struct ledger_judge *judge, int row)
{
    uint8_t value[LEDGER_VALUE_MAX];
    int64_t offset = 0;
    ledger_judge_begin(judge, PARTITION, 0);
    for (int i = 0; readings[row].seen[i] >= 0; i++) {
        size_t size = ledger_value(SEED, (struct ledger_id){ 1, readings[row].seen[i] }, value);
        if (readings[row].spoilt && readings[row].seen[i + 1] < 0)
            value[size - 1] ^= 1;
        if (offset == readings[row].skipped_offset)
            offset++;
        ledger_judge_record(judge, PARTITION, offset++, slice_of(value, size));
    }
}

START_TEST(a_reading_is_judged)
{
    struct temp_dir dir;
    char path[TEMP_DIR_PATH_SIZE + 16];
    temp_dir_create(&dir);
    snprintf(path, sizeof path, "%s/ledger", dir.path);
    struct ledger *ledger = ledger_create(path, SEED);
    for (int64_t i = 0; i < RECORDS; i++)
        ledger_acknowledge(ledger, PARTITION, i, (struct ledger_id){ 1, i });
    ck_assert_int_eq(ledger_acknowledged(ledger), RECORDS);

    struct ledger_judge *judge = ledger_judge_open(ledger);
    judge_reading(judge, _i);
    struct ledger_verdict found = ledger_judge_close(judge);
    const struct ledger_verdict *expected = &readings[_i].verdict;
    ck_assert_msg(found.records == expected->records, "%s: records", readings[_i].what);
    ck_assert_msg(found.acknowledged == expected->acknowledged, "%s: acknowledged", readings[_i].what);
    ck_assert_msg(found.lost == expected->lost, "%s: lost %lld", readings[_i].what, (long long)found.lost);
    ck_assert_msg(found.corrupt == expected->corrupt, "%s: corrupt", readings[_i].what);
    ck_assert_msg(found.duplicates == expected->duplicates, "%s: duplicates", readings[_i].what);
    ck_assert_msg(found.disordered == expected->disordered, "%s: disordered", readings[_i].what);
    ck_assert_msg(found.gaps == expected->gaps, "%s: gaps", readings[_i].what);
    ledger_destroy(ledger);
    temp_dir_destroy(&dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ledger");
    TCase *tests = tcase_create("the judge");
    tcase_add_loop_test(tests, a_reading_is_judged, 0, sizeof readings / sizeof *readings);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
