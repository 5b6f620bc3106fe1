/* The rules of idempotent producers, batch by batch, against a log: what is appended, repeated and refused
 * (KIP-98). */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/producer_state.h"
#include "tests/support/log_rig.h"

enum { STEPS_MAX = 16, SEQUENCE_MAX = INT32_MAX };

/* What becomes of a batch: a new one gets the next offsets, a repeated one those of step `of`. */
enum outcome { END, NEW, AGAIN, SEQUENCE, EPOCH };

struct step {
    enum outcome outcome;
    int64_t producer_id; /* 0: none */
    int16_t epoch;
    int32_t sequence;
    int count; /* records */
    int of;    /* AGAIN: index of the step that it repeats */
};

static const struct rule {
    const char *what;
    struct step steps[STEPS_MAX];
} rules[] = {
    { "batches in order", { { NEW, 7, 0, 0, 3, 0 }, { NEW, 7, 0, 3, 1, 0 }, { NEW, 7, 0, 4, 2, 0 } } },
    { "the first batch of an unknown producer may have any sequence",
      { { NEW, 7, 3, 500, 2, 0 }, { NEW, 7, 3, 502, 1, 0 } } },
    { "a gap", { { NEW, 7, 0, 0, 2, 0 }, { SEQUENCE, 7, 0, 3, 1, 0 }, { NEW, 7, 0, 2, 1, 0 } } },
    { "a gap backwards",
      { { NEW, 7, 0, 10, 2, 0 }, { SEQUENCE, 7, 0, 9, 1, 0 }, { SEQUENCE, 7, 0, 0, 1, 0 } } },
    { "the same batch twice", { { NEW, 7, 0, 0, 3, 0 }, { AGAIN, 7, 0, 0, 3, 0 }, { NEW, 7, 0, 3, 1, 0 } } },
    { "each of the last five batches again, not the sixth",
      { { NEW, 7, 0, 0, 1, 0 },
        { NEW, 7, 0, 1, 2, 0 },
        { NEW, 7, 0, 3, 3, 0 },
        { NEW, 7, 0, 6, 1, 0 },
        { NEW, 7, 0, 7, 1, 0 },
        { NEW, 7, 0, 8, 9, 0 },
        { AGAIN, 7, 0, 8, 9, 5 },
        { AGAIN, 7, 0, 7, 1, 4 },
        { AGAIN, 7, 0, 6, 1, 3 },
        { AGAIN, 7, 0, 3, 3, 2 },
        { AGAIN, 7, 0, 1, 2, 1 },
        { SEQUENCE, 7, 0, 0, 1, 0 },
        { NEW, 7, 0, 17, 1, 0 },
        { SEQUENCE, 7, 0, 1, 2, 0 } } },
    { "a part of a batch, more than it, or two as one are no repetition",
      { { NEW, 7, 0, 0, 3, 0 },
        { NEW, 7, 0, 3, 3, 0 },
        { SEQUENCE, 7, 0, 3, 2, 0 },
        { SEQUENCE, 7, 0, 4, 2, 0 },
        { SEQUENCE, 7, 0, 0, 6, 0 },
        { SEQUENCE, 7, 0, 3, 4, 0 },
        { AGAIN, 7, 0, 0, 3, 0 } } },
    { "sequences wrap from 2^31-1 to 0",
      { { NEW, 7, 0, SEQUENCE_MAX - 1, 2, 0 },
        { SEQUENCE, 7, 0, 1, 1, 0 },
        { NEW, 7, 0, 0, 2, 0 },
        { AGAIN, 7, 0, SEQUENCE_MAX - 1, 2, 0 },
        { AGAIN, 7, 0, 0, 2, 2 },
        { NEW, 7, 0, 2, 1, 0 } } },
    { "a batch whose own sequences wrap",
      { { NEW, 7, 0, SEQUENCE_MAX - 2, 2, 0 },
        { NEW, 7, 0, SEQUENCE_MAX, 4, 0 },
        { AGAIN, 7, 0, SEQUENCE_MAX, 4, 1 },
        { SEQUENCE, 7, 0, SEQUENCE_MAX, 3, 0 },
        { SEQUENCE, 7, 0, 0, 1, 0 },
        { NEW, 7, 0, 3, 1, 0 } } },
    { "an older epoch",
      { { NEW, 7, 5, 0, 1, 0 },
        { EPOCH, 7, 4, 1, 1, 0 },
        { EPOCH, 7, 4, 0, 1, 0 },
        { EPOCH, 7, -1, 0, 1, 0 } } },
    { "a newer epoch begins with 0",
      { { NEW, 7, 5, 0, 1, 0 },
        { SEQUENCE, 7, 6, 1, 1, 0 },
        { NEW, 7, 6, 0, 1, 0 },
        { NEW, 7, 6, 1, 1, 0 } } },
    { "epochs may be left out",
      { { NEW, 7, 0, 0, 1, 0 }, { NEW, 7, 300, 0, 1, 0 }, { NEW, 7, INT16_MAX, 0, 1, 0 } } },
    { "a newer epoch knows no batch of the old one",
      { { NEW, 7, 0, 0, 1, 0 },
        { NEW, 7, 0, 1, 1, 0 },
        { NEW, 7, 1, 0, 1, 0 },
        { AGAIN, 7, 1, 0, 1, 2 },
        { EPOCH, 7, 0, 0, 1, 0 },
        { EPOCH, 7, 0, 2, 1, 0 },
        { SEQUENCE, 7, 1, 2, 1, 0 },
        { NEW, 7, 1, 1, 1, 0 } } },
    { "a refused epoch changes nothing",
      { { NEW, 7, 0, 0, 1, 0 }, { SEQUENCE, 7, 1, 1, 1, 0 }, { NEW, 7, 0, 1, 1, 0 } } },
    { "a refused sequence changes nothing",
      { { NEW, 7, 0, 0, 1, 0 },
        { SEQUENCE, 7, 0, 5, 1, 0 },
        { SEQUENCE, 7, 0, 6, 1, 0 },
        { NEW, 7, 0, 1, 1, 0 } } },
    { "a repetition changes nothing",
      { { NEW, 7, 0, 0, 1, 0 },
        { NEW, 7, 0, 1, 1, 0 },
        { AGAIN, 7, 0, 0, 1, 0 },
        { AGAIN, 7, 0, 0, 1, 0 },
        { NEW, 7, 0, 2, 1, 0 } } },
    { "producers do not touch each other",
      { { NEW, 7, 0, 0, 1, 0 },
        { NEW, 8, 9, 40, 1, 0 },
        { NEW, 0, 0, 0, 2, 0 },
        { NEW, 7, 0, 1, 1, 0 },
        { SEQUENCE, 8, 9, 40, 2, 0 },
        { NEW, 0, 0, 0, 1, 0 },
        { NEW, 8, 9, 41, 1, 0 },
        { AGAIN, 8, 9, 40, 1, 1 } } },
    { "epoch -1 is nobody's: any sequence follows it, and any other epoch",
      { { NEW, 7, -1, 3, 1, 0 },
        { NEW, 7, -1, 90, 1, 0 },
        { AGAIN, 7, -1, 3, 1, 0 },
        { NEW, 7, 2, 55, 1, 0 },
        { SEQUENCE, 7, 2, 57, 1, 0 } } },
};

/* How the batches reach the log. */
enum way { ONE_BY_ONE, ONE_CALL, TWO_CALLS, RESTART_EACH, KILL_EACH, WAY_COUNT };

static void make(const struct step *step, int index, struct batch_view *out)
{
    struct rig_batch spec = { .count = step->count,
                              .value_size = 30,
                              .timestamp = 1000 + index,
                              .producer_id = step->producer_id,
                              .epoch = step->epoch,
                              .sequence = step->sequence };
    rig_make_batch(&spec, out);
}

static void append_all(struct log_rig *rig, struct batch_view *batches, size_t count,
                       struct log_append_result *results)
{
    enum log_status status;
    while ((status = log_append(rig->log, batches, count, 0, clock_wall_ms(rig->env.clock), results)) ==
           LOG_BUSY)
        ck_assert_int_eq(log_prepare(rig->log), LOG_OK);
    ck_assert_int_eq(status, LOG_OK);
}

static void start_again(struct log_rig *rig, bool clean)
{
    struct log_row row;
    if (clean) {
        ck_assert_int_eq(log_rig_close(rig, true, &row), LOG_OK);
        log_rig_new_log(rig);
        log__set_closed_row(rig->log, &row);
    } else {
        log_rig_close(rig, false, &row);
        log_rig_new_log(rig);
        ck_assert_int_eq(log__recover(rig->log, LOG_POSITION_OF_OFFSET(0), -1, NULL), LOG_OK);
    }
}

static void expect(const struct rule *rule, const struct step *step, int i,
                   const struct log_append_result *results, int64_t *end)
{
    const struct log_append_result *result = &results[i];
    const char *what = rule->what;
    switch (step->outcome) {
    case NEW:
        ck_assert_msg(result->status == LOG_OK && !result->is_duplicate, "%s: step %d", what, i);
        ck_assert_msg(result->base_offset == *end && result->last_offset == *end + step->count - 1 &&
                          result->end_offset == *end + step->count,
                      "%s: step %d", what, i);
        *end += step->count;
        break;
    case AGAIN:
        ck_assert_msg(result->status == LOG_OK && result->is_duplicate, "%s: step %d", what, i);
        ck_assert_msg(result->base_offset == results[step->of].base_offset &&
                          result->last_offset == results[step->of].last_offset &&
                          result->end_offset == results[step->of].end_offset && result->append_time_ms == -1,
                      "%s: step %d", what, i);
        break;
    case SEQUENCE:
    case EPOCH:
        ck_assert_msg(result->status == (step->outcome == EPOCH ? LOG_BAD_EPOCH : LOG_BAD_SEQUENCE) &&
                          result->base_offset == -1 && result->end_offset == -1 && !result->is_duplicate,
                      "%s: step %d", what, i);
        break;
    case END:
        break;
    }
}

START_TEST(a_rule)
{
    const struct rule *rule = &rules[_i % (int)(sizeof rules / sizeof rules[0])];
    enum way way = (enum way)(_i / (int)(sizeof rules / sizeof rules[0]));
    struct log_rig *rig = log_rig_create(NULL);
    struct batch_view batches[STEPS_MAX];
    struct log_append_result results[STEPS_MAX];
    size_t count = 0;
    int64_t end = 0;
    for (; count < STEPS_MAX && rule->steps[count].outcome != END; count++)
        make(&rule->steps[count], (int)count, &batches[count]);
    size_t at_once = way == ONE_CALL ? count : way == TWO_CALLS ? (count + 1) / 2 : 1;
    for (size_t i = 0; i < count; i += at_once) {
        append_all(rig, &batches[i], i + at_once < count ? at_once : count - i, &results[i]);
        if (way == RESTART_EACH || way == KILL_EACH)
            start_again(rig, way == RESTART_EACH);
    }
    for (size_t i = 0; i < count; i++)
        expect(rule, &rule->steps[i], (int)i, results, &end);
    ck_assert_int_eq(log_offsets(rig->log).end, end);
    ck_assert_int_eq(rig_read_all(rig, 10000), end);
    for (size_t i = 0; i < count; i++)
        free(batches[i].data);
    file_double_destroy(log_rig_destroy(rig));
}
END_TEST

static Suite *suite_of_all(void)
{
    Suite *suite = suite_create("producer_state");
    TCase *tests = tcase_create("rules");
    tcase_add_loop_test(tests, a_rule, 0, WAY_COUNT * (int)(sizeof rules / sizeof rules[0]));
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(suite_of_all());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
