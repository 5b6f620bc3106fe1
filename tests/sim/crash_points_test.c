/* Every crash point: a story in which the whole broker does everything, with a power cut after every
 * operation of the disk; unflushed writes are lost, kept, or kept in parts, in any order. What the broker
 * promised holds after the next start, and after a start that was itself cut short.
 *
 * In CI some of the points, at a phase drawn at random. RUNNEL_LONG=1: all of them, of several stories.
 * RUNNEL_SEED, RUNNEL_SEEDS: the first of the reordered cuts at each point, and how many; a failure tells the
 * story, the point and the seed that repeat it. */
#include <check.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/base/note.h"
#include "tests/sim/crash_points/judge.h"

#ifdef __SANITIZE_ADDRESS__
enum { POINTS_IN_CI = 40, SECOND_CUTS_IN_CI = 10 };
#else
enum { POINTS_IN_CI = 200, SECOND_CUTS_IN_CI = 40 };
#endif
enum { SECOND_CUTS = 12, NOTE_NOTHING = -1 };

static struct story story;
static struct sim sim;

/* What is being tried, for whoever reads of an abort. */
static char place[160];

static void tell_place(int number)
{
    (void)!write(STDERR_FILENO, place, strlen(place));
    signal(number, SIG_DFL);
    raise(number);
}

static bool is_long(void)
{
    const char *text = getenv("RUNNEL_LONG");
    return text && strcmp(text, "1") == 0;
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static const char *name_of_cut(enum file_double_cut cut)
{
    switch (cut) {
    case FILE_DOUBLE_LOSE_ALL:
        return "lost";
    case FILE_DOUBLE_KEEP_ALL:
        return "kept";
    case FILE_DOUBLE_REORDER:
        return "reordered";
    }
    return "?";
}

/* -- one cut --------------------------------------------------------------------------------------------- */

/* The clock goes on where it was when the power failed. */
static void start_on(struct file_double *disk, uint64_t at)
{
    clock_virtual_init(&sim.clock, story_wall_ms(&story, at));
    sim.seed = 1000000 + at; /* ids of this life are not those of the story */
    sim_start_on(&sim, disk);
}

static void judge_cut(uint64_t story_seed, uint64_t at, enum file_double_cut cut, uint64_t seed,
                      struct verdict *verdict)
{
    struct random random;
    random_seed(&random, seed * 1000003 + at);
    snprintf(place, sizeof place,
             "story %" PRIu64 " operation %" PRIu64 " of %" PRIu64 ", %s, seed %" PRIu64 "\n", story_seed, at,
             story.end, name_of_cut(cut), seed);
    start_on(file_double_after_cut(story.disk, at, cut, &random), at);
    judge_reads(&story, &sim, at, NULL, verdict);
    judge_goes_on(&story, &sim, at, verdict);
    file_double_destroy(sim_stop(&sim));
}

static void expect_kept(uint64_t story_seed, uint64_t at, enum file_double_cut cut, uint64_t seed)
{
    struct verdict verdict = { 0 };
    judge_cut(story_seed, at, cut, seed, &verdict);
    ck_assert_msg(verdict_faults(&verdict) == 0, "%slost %u changed %u back %u other %u: %s", place,
                  verdict.lost, verdict.changed, verdict.back, verdict.broken, verdict.first);
}

/* -- the points ------------------------------------------------------------------------------------------ */

/* Points are first, first + stride, ... */
static uint64_t stride_of(uint64_t count, uint64_t in_ci, uint64_t *first)
{
    uint64_t stride = is_long() || count <= in_ci ? 1 : count / in_ci, phase;
    random_secure(&phase, sizeof phase);
    *first = number_from("RUNNEL_POINT", phase % stride);
    return stride;
}

static void play(uint64_t seed)
{
    note_set_level((enum note_level)NOTE_NOTHING); /* torn tails are what this is about */
    signal(SIGABRT, tell_place);
    story_play(&story, &sim, seed, "", false);
}

START_TEST(every_point)
{
    uint64_t story_seed = (uint64_t)_i, first, points = 0, states = 0;
    uint64_t seed = number_from("RUNNEL_SEED", 1), seeds = number_from("RUNNEL_SEEDS", is_long() ? 4 : 1);
    play(story_seed);
    uint64_t stride = stride_of(story.end + 1, POINTS_IN_CI, &first);
    uint64_t most = number_from("RUNNEL_POINTS", UINT64_MAX);
    for (uint64_t at = first; at <= story.end && points < most; at += stride) {
        expect_kept(story_seed, at, FILE_DOUBLE_LOSE_ALL, 0);
        expect_kept(story_seed, at, FILE_DOUBLE_KEEP_ALL, 0);
        for (uint64_t i = 0; i < seeds; i++)
            expect_kept(story_seed, at, FILE_DOUBLE_REORDER, seed + i);
        points++;
        states += 2 + seeds;
    }
    printf("story %" PRIu64 ": %" PRIu64 " operations, from %" PRIu64 " on every %" PRIu64 ": points %" PRIu64
           ", states %" PRIu64 ", failures 0\n",
           story_seed, story.end, first, stride, points, states);
    story_destroy(&story, &sim);
}
END_TEST

/* -- a start that is cut short --------------------------------------------------------------------------- */

/* Cuts one start at some of its operations: what it showed when it was ready holds as well. */
static uint64_t cut_start(uint64_t story_seed, uint64_t at, enum file_double_cut cut, uint64_t cut_count)
{
    struct random random;
    struct shown shown;
    random_seed(&random, at);
    start_on(file_double_after_cut(story.disk, at, cut, &random), at);
    uint64_t ready = file_double_operation_count(sim.disk);
    judge_look(&story, &sim, &shown);
    sim_settle(&sim);
    uint64_t settled = file_double_operation_count(sim.disk);
    struct file_double *first = sim_stop(&sim);
    uint64_t step = settled / cut_count + 1, states = 0;
    for (uint64_t again = random_below(&random, step); again <= settled; again += step, states++) {
        struct verdict verdict = { 0 };
        enum file_double_cut second = (enum file_double_cut)random_below(&random, 3);
        snprintf(place, sizeof place,
                 "story %" PRIu64 " operation %" PRIu64 ", %s; its start, operation %" PRIu64 " of %" PRIu64
                 ", %s\n",
                 story_seed, at, name_of_cut(cut), again, settled, name_of_cut(second));
        start_on(file_double_after_cut(first, again, second, &random), at);
        judge_reads(&story, &sim, at, again >= ready ? &shown : NULL, &verdict);
        judge_goes_on(&story, &sim, at, &verdict);
        file_double_destroy(sim_stop(&sim));
        ck_assert_msg(verdict_faults(&verdict) == 0, "%slost %u changed %u back %u other %u: %s", place,
                      verdict.lost, verdict.changed, verdict.back, verdict.broken, verdict.first);
    }
    file_double_destroy(first);
    return states;
}

START_TEST(a_cut_in_recovery)
{
    uint64_t story_seed = (uint64_t)_i, first, points = 0, states = 0;
    play(story_seed);
    uint64_t stride = stride_of(story.end + 1, SECOND_CUTS_IN_CI, &first);
    /* Where a compaction follows the recovery, and a power cut took the name of its durable positions back.
     */
    if (story_seed == 1)
        states += cut_start(story_seed, 205, FILE_DOUBLE_REORDER, SECOND_CUTS);
    uint64_t most = number_from("RUNNEL_POINTS", UINT64_MAX);
    for (uint64_t at = first; at <= story.end && points < most; at += is_long() ? 5 : stride, points++)
        for (int cut = FILE_DOUBLE_LOSE_ALL; cut <= FILE_DOUBLE_REORDER; cut++)
            states += cut_start(story_seed, at, (enum file_double_cut)cut, is_long() ? SECOND_CUTS : 2);
    printf("story %" PRIu64 ": starts cut short after %" PRIu64 " points: states %" PRIu64 ", failures 0\n",
           story_seed, points, states);
    story_destroy(&story, &sim);
}
END_TEST

/* -- a flush that fails ---------------------------------------------------------------------------------- */

/* At every flush of the story: nothing is flushed again, not even at the stop; and the next start has what
 * was promised, whatever became of the pages. */
START_TEST(nothing_is_flushed_after_a_failed_flush)
{
    uint64_t phase, stride = is_long() ? 1 : 9, failed = 0, at;
    random_secure(&phase, sizeof phase);
    note_set_level((enum note_level)NOTE_NOTHING);
    signal(SIGABRT, tell_place);
    for (at = 1;; at = at == 1 ? 2 + number_from("RUNNEL_POINT", phase % stride) : at + stride) {
        snprintf(place, sizeof place, "flush %" PRIu64 " fails\n", at);
        story_play_until(&story, &sim, 1, at);
        if (file_double_flush_count(story.disk) < at)
            break;
        ck_assert_msg(file_double_late_flush_count(story.disk) == 0, "%s%" PRIu64 " flushes behind it", place,
                      file_double_late_flush_count(story.disk));
        for (int cut = FILE_DOUBLE_LOSE_ALL; cut <= FILE_DOUBLE_REORDER; cut++) {
            struct verdict verdict = { 0 };
            judge_cut(1, story.end, (enum file_double_cut)cut, at, &verdict);
            ck_assert_msg(verdict_faults(&verdict) == 0,
                          "flush %" PRIu64 " fails, %slost %u changed %u back %u other %u: %s", at, place,
                          verdict.lost, verdict.changed, verdict.back, verdict.broken, verdict.first);
        }
        failed++;
        story_destroy(&story, &sim);
    }
    story_destroy(&story, &sim);
    printf("flushes that failed: %" PRIu64 " of %" PRIu64 ", flushed afterwards 0, failures 0\n", failed,
           at - 1);
    ck_assert_uint_gt(failed, 5);
}
END_TEST

/* -- controls -------------------------------------------------------------------------------------------- */

static struct verdict judge_some(uint64_t story_seed)
{
    struct verdict all = { 0 };
    for (uint64_t at = story.end / 8; at <= story.end; at += story.end / 8) {
        struct verdict verdict = { 0 };
        struct random random;
        random_seed(&random, at);
        snprintf(place, sizeof place, "control %" PRIu64 " operation %" PRIu64 "\n", story_seed, at);
        start_on(file_double_after_cut(story.disk, at, FILE_DOUBLE_LOSE_ALL, &random), at);
        judge_reads(&story, &sim, at, NULL, &verdict);
        file_double_destroy(sim_stop(&sim));
        all.lost += verdict.lost;
        all.changed += verdict.changed;
        all.back += verdict.back;
        all.broken += verdict.broken;
    }
    return all;
}

/* The same judge where the broker answers before the records are on the device, and where the disk lies. */
START_TEST(the_judge_sees_losses)
{
    note_set_level((enum note_level)NOTE_NOTHING);
    signal(SIGABRT, tell_place);
    story_play(&story, &sim, 1, _i == 0 ? "log.flush.interval.messages=9223372036854775807\n" : "", _i == 1);
    struct verdict verdict = judge_some(1);
    printf("control %s: lost %u, back %u\n", _i == 0 ? "without flushes of records" : "on a disk that lies",
           verdict.lost, verdict.back);
    ck_assert_uint_gt(verdict.lost, 20);
    story_destroy(&story, &sim);
}
END_TEST

/* CK_RUN_CASE=NAME runs one of them. */
static TCase *add_case(Suite *suite, const char *name)
{
    TCase *tests = tcase_create(name);
    tcase_set_timeout(tests, is_long() ? 100000 : 200);
    suite_add_tcase(suite, tests);
    return tests;
}

int main(void)
{
    int stories = is_long() ? 3 : 1;
    Suite *suite = suite_create("crash points");
    tcase_add_loop_test(add_case(suite, "points"), every_point, 1, 1 + stories);
    tcase_add_loop_test(add_case(suite, "starts"), a_cut_in_recovery, 1, 1 + stories);
    tcase_add_test(add_case(suite, "flushes"), nothing_is_flushed_after_a_failed_flush);
    tcase_add_loop_test(add_case(suite, "controls"), the_judge_sees_losses, 0, 2);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
