/* The cleaner on one log: what stays of keys, tombstones, transactions and producers, pass after pass. */
#include "storage/cleaner_internal.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/log_struct.h"
#include "tests/support/compacted_log.h"

enum { NOW = 1000000, RETENTION = 500 };

static struct log_rig *rig;

static void setup(void)
{
    rig = log_rig_create(NULL);
    rig->config.segment_bytes = 1 << 20;
    rig->config.cleanup = LOG_CLEANUP_COMPACT;
    rig->config.delete_retention_ms = RETENTION;
    log_set_config(rig->log, &rig->config);
}

static void teardown(void)
{
    file_double_destroy(log_rig_destroy(rig));
}

/* Reads the log as it is, and as the next start finds it. */
static void expect_log(const char *what, const char *wanted)
{
    char *text = compacted_read(rig);
    if (strcmp(text, wanted) != 0)
        ck_abort_msg("%s:\n is %s\nnot %s", what, text, wanted);
    ck_assert_msg(rig_check_indexes(rig, false), "%s: indexes", what);
    free(text);
}

struct row {
    const char *what;
    const char *log;
    int64_t first_dirty;
    const char *after;  /* the first pass */
    const char *second; /* one that comes RETENTION later over all; NULL: as the first */
};

/* The first pass comes at 1000000, horizons are 1000500; the last segment is active. */
static const struct row rows[] = {
    { "the last value of a key stays", "a=1 a=2 a=3 | b=1", -1, "[2:a=3]|[3:b=1]", NULL },
    { "keys of one batch", "a=1,b=1,a=2,c=1 | d=1", -1, "[0-3 1:b=1 2:a=2 3:c=1]|[4:d=1]", NULL },
    { "segments become one", "a=1 b=1 | a=2 c=1 | b=2 | x=1", -1, "[2:a=2][3:c=1][4:b=2]|[5:x=1]", NULL },
    { "the active segment counts for nothing", "a=1 b=1 | a=2", -1, "[0:a=1][1:b=1]|[2:a=2]", NULL },
    { "only what is dirty is looked up", "a=1 b=1 a=2 | b=2 | x=1", 3, "[0:a=1][2:a=2][3:b=2]|[4:x=1]",
      "[2:a=2][3:b=2]|[4:x=1]" },
    { "records without a key go", "=1 a=1 =2 | x=1", -1, "[1:a=1][2-2]|[3:x=1]", NULL },
    { "a tombstone takes the value and waits", "a=1 b=1 a- | x=1", -1, "[1:b=1][h1000500 2:a-]|[3:x=1]",
      "[1:b=1][2-2]|[3:x=1]" },
    { "a tombstone among values: the bit is the batch's", "a=1 | a-,b=1 | x=1", -1,
      "[h1000500 1:a- 2:b=1]|[3:x=1]", "[1-2 h1000500 2:b=1]|[3:x=1]" },
    { "a horizon that is set stays", "h1000100:a- b=1 | x=1", -1, "[h1000100 0:a-][1:b=1]|[2:x=1]",
      "[1:b=1]|[2:x=1]" },
    { "a horizon that is over", "b=1 h1000000:a- c=1 | x=1", -1, "[0:b=1][2:c=1]|[3:x=1]", NULL },
    { "a tombstone in the active segment", "a=1 | a-", -1, "[0:a=1]|[1:a-]", NULL },
    { "a value behind its tombstone", "a=1 a- a=2 | x=1", -1, "[2:a=2]|[3:x=1]", NULL },
    { "an empty segment stays where all went", "a=1 b=1 | a=2,b=2 | x=1", 0, "[2:a=2 3:b=2]|[4:x=1]", NULL },
    { "the last batch of the round tells the end", "a=1 a- | x=1", -1, "[h1000500 1:a-]|[2:x=1]",
      "[1-1]|[2:x=1]" },
    { "offsets with gaps stay", "@5:a=1 @9:b=1 @20:a=2 | @30:x=1", -1, "[9:b=1][20:a=2]|[30:x=1]", NULL },

    { "a producer's last batch stays, empty", "p1:a=1 p2:b=1 p1:a=2 a=3 b=2 | x=1", -1,
      "[1-1 p2][2-2 p1][3:a=3][4:b=2]|[5:x=1]", NULL },
    { "a producer that wrote on later needs none", "p1:a=1 a=2 | p1:x=1", -1, "[1:a=2]|[p1 2:x=1]", NULL },

    { "a committed transaction", "t1:a=1 t1:a=2 C1 | x=1", -1, "[t1 1:a=2][t1 2:commit]|[3:x=1]", NULL },
    { "an aborted one goes at once, its marker stays", "a=1 t1:a=2 A1 b=1 | x=1", -1,
      "[0:a=1][1-1 t1][t1 2:abort][3:b=1]|[4:x=1]", NULL },
    { "another producer's batches between", "t1:a=1 t2:a=2 t2:b=2 A1 C2 c=1 | x=1", -1,
      "[0-0 t1][t2 1:a=2][t2 2:b=2][t1 3:abort][t2 4:commit][5:c=1]|[6:x=1]", NULL },
    { "a marker without data gets a horizon", "C1 a=1 | x=1", -1, "[t1 h1000500 0:commit][1:a=1]|[2:x=1]",
      "[0-0 t1][1:a=1]|[2:x=1]" },
    { "a marker whose transaction was cleaned away", "t1:a=1 C1 t1:a=2 C1 a=3 | t1:x=1", -1,
      "[t1 1:commit][t1 3:commit][4:a=3]|[t1 5:x=1]",
      "[t1 h1001000 1:commit][t1 h1001000 3:commit][4:a=3]|[t1 5:x=1]" },
    { "a transaction that spans segments", "t1:a=1 | b=1 | A1 c=1 | x=1", -1,
      "[0-0 t1][1:b=1][t1 2:abort][3:c=1]|[4:x=1]", NULL },
};

static enum codec codec_of(int i)
{
    return (enum codec)i;
}

START_TEST(passes)
{
    const struct row *row = &rows[_i / CODEC_COUNT];
    compacted_write(rig, row->log, codec_of(_i % CODEC_COUNT));
    ck_assert_int_eq(compacted_clean(rig, row->first_dirty, NULL), LOG_OK);
    expect_log(row->what, row->after);
    clock_virtual_advance(&rig->clock, RETENTION);
    ck_assert_int_eq(compacted_clean(rig, -1, NULL), LOG_OK);
    expect_log(row->what, row->second ? row->second : row->after);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cleaner");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_loop_test(all, passes, 0, (int)(sizeof rows / sizeof rows[0]) * CODEC_COUNT);
    tcase_set_timeout(all, 120);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
