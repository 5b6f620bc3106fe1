/* The heap of deadlines: order, moving, cancelling, and timers that arm timers. */
#include "broker/timer.h"

#include <check.h>
#include <stdlib.h>

#include "protocol/base/random.h"

enum { TIMER_COUNT = 2000 };

struct probe {
    struct timer timer;
    int64_t expected_ms; /* INT64_MAX: not armed */
    bool has_fired;
};

static int64_t last_fired_ms;
static size_t fired_count;
static int64_t now_ms;

static void fire(struct timer *timer)
{
    struct probe *probe = (struct probe *)timer;
    ck_assert(!probe->has_fired);
    ck_assert_int_eq(timer->due_ms, probe->expected_ms);
    ck_assert_int_le(last_fired_ms, timer->due_ms);
    ck_assert_int_le(timer->due_ms, now_ms);
    last_fired_ms = timer->due_ms;
    probe->has_fired = true;
    fired_count++;
}

/* Arms, moves and cancels at random, then lets time pass in steps: all fire once, in order. */
START_TEST(fires_in_order)
{
    static struct probe probes[TIMER_COUNT];
    struct timer_heap heap = { 0 };
    struct random random;
    random_seed(&random, (uint64_t)_i);
    memset(probes, 0, sizeof probes);
    last_fired_ms = 0;
    fired_count = 0;
    for (size_t i = 0; i < TIMER_COUNT; i++) {
        probes[i].timer.fire = fire;
        probes[i].expected_ms = INT64_MAX;
    }
    for (int step = 0; step < 5 * TIMER_COUNT; step++) {
        struct probe *probe = &probes[random_below(&random, TIMER_COUNT)];
        if (random_below(&random, 4) == 0) {
            timer_cancel(&heap, &probe->timer);
            probe->expected_ms = INT64_MAX;
        } else {
            probe->expected_ms = (int64_t)random_below(&random, 1000);
            ck_assert(timer_arm(&heap, &probe->timer, probe->expected_ms));
        }
    }
    size_t armed_count = 0;
    for (size_t i = 0; i < TIMER_COUNT; i++)
        armed_count += probes[i].expected_ms != INT64_MAX;
    ck_assert_uint_eq(heap.count, armed_count);
    for (now_ms = 0; now_ms <= 1001; now_ms += 7) {
        timer_run(&heap, now_ms);
        ck_assert_int_gt(timer_next_ms(&heap), now_ms);
    }
    ck_assert_uint_eq(fired_count, armed_count);
    ck_assert_int_eq(timer_next_ms(&heap), INT64_MAX);
    ck_assert_uint_lt(heap.capacity, TIMER_COUNT); /* it has shrunk */
    timer_heap_destroy(&heap);
}
END_TEST

static struct timer_heap shared_heap;
static struct timer follower;
static int order[4], order_count;

static void fire_follower(struct timer *timer)
{
    (void)timer;
    order[order_count++] = 2;
}

static void fire_leader(struct timer *timer)
{
    (void)timer;
    order[order_count++] = 1;
    timer_arm(&shared_heap, &follower, 5);
}

/* What is armed for now while timers run is due in the same run. */
START_TEST(armed_while_running)
{
    struct timer leader = { .fire = fire_leader };
    follower.fire = fire_follower;
    ck_assert(timer_arm(&shared_heap, &leader, 5));
    timer_run(&shared_heap, 4);
    ck_assert_int_eq(order_count, 0);
    timer_run(&shared_heap, 5);
    ck_assert_int_eq(order_count, 2);
    ck_assert_int_eq(order[0], 1);
    ck_assert_int_eq(order[1], 2);
    timer_cancel(&shared_heap, &leader); /* not armed: nothing happens */
    timer_heap_destroy(&shared_heap);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timer");
    TCase *tcase = tcase_create("heap");
    tcase_add_loop_test(tcase, fires_in_order, 0, 20);
    tcase_add_test(tcase, armed_while_running);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
