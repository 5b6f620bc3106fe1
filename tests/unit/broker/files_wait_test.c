/* The line of those who wait for descriptors: its order, its limit, its end; and with threads, that no
 * wake-up is lost. Also run under ThreadSanitizer. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "broker/files_wait.h"
#include "protocol/base/check.h"
#include "tests/support/sim.h"
#include "tests/support/suite.h"

enum { WAITERS = 8, LIMIT_MS = 10000, SHORT_MS = 300 };

static struct sim sim;
static struct files_wait *line;
static struct files_waiter waiters[WAITERS];
static int woken[256], woken_count; /* in order */

static void tell(struct files_waiter *waiter)
{
    ck_assert_int_lt(woken_count, 256);
    woken[woken_count++] = (int)(waiter - waiters);
}

static void begin(void)
{
    sim_open(&sim, 1, "");
    sim_settle(&sim);
    line = sim.server->files_wait;
    memset(waiters, 0, sizeof waiters);
    woken_count = 0;
    for (int i = 0; i < WAITERS; i++)
        waiters[i].wake = tell;
}

static void end(void)
{
    for (int i = 0; i < WAITERS; i++)
        files_wait_leave(line, &waiters[i]);
    sim_close(&sim);
}

static void enter_and_park(int i, int64_t limit_ms)
{
    files_wait_enter(line, &waiters[i], clock_mono_ms(sim.server->clock) + limit_ms);
    files_wait_park(line, &waiters[i]);
}

static void expect_woken(const char *what, const char *numbers)
{
    char told[256] = "";
    for (int i = 0; i < woken_count; i++)
        told[i] = (char)('0' + woken[i]);
    ck_assert_msg(strcmp(told, numbers) == 0, "%s: woken were \"%s\", not \"%s\"", what, told, numbers);
    woken_count = 0;
}

START_TEST(who_came_first_is_first)
{
    begin();
    files_wait_freed(line);
    expect_woken("nobody waits", "");
    ck_assert(!files_wait_has_line(line));
    enter_and_park(0, LIMIT_MS);
    /* The store has descriptors, so what refused the first need not refuse the others: each tries once. */
    expect_woken("nothing was freed since it tried", "");
    files_wait_enter(line, &waiters[1], INT64_MAX);
    files_wait_enter(line, &waiters[2], INT64_MAX);
    files_wait_park(line, &waiters[2]);
    files_wait_park(line, &waiters[1]); /* later, but it came before */
    expect_woken("the next one has another try", "2");
    ck_assert(files_wait_has_line(line));
    files_wait_park(line, &waiters[2]);
    expect_woken("it was the last", "");
    files_wait_freed(line);
    files_wait_freed(line);
    expect_woken("one at a time", "0");
    files_wait_leave(line, &waiters[0]);
    expect_woken("the next one when he has left", "1");
    files_wait_park(line, &waiters[1]); /* nothing was freed since */
    expect_woken("then who is behind", "2");
    files_wait_freed(line);
    expect_woken("somebody is trying", "");
    files_wait_park(line, &waiters[2]);
    expect_woken("freed while he tried: the first", "1");
    files_wait_leave(line, &waiters[1]);
    files_wait_leave(line, &waiters[2]);
    ck_assert(!files_wait_has_line(line));
    end();
}
END_TEST

START_TEST(freed_between_the_try_and_the_park)
{
    begin();
    files_wait_enter(line, &waiters[0], INT64_MAX);
    files_wait_freed(line);
    expect_woken("it tries still", "");
    files_wait_park(line, &waiters[0]);
    expect_woken("freed since it entered", "0");
    files_wait_park(line, &waiters[0]);
    expect_woken("nothing since", "");
    end();
}
END_TEST

START_TEST(limits_pass)
{
    begin();
    enter_and_park(0, LIMIT_MS);
    enter_and_park(1, SHORT_MS);
    sim_advance(&sim, 150);
    expect_woken("too early", "");
    sim_advance(&sim, 100);
    expect_woken("the first tries now and then: what is freed elsewhere tells nobody", "0");
    ck_assert(!files_wait_is_over(line, &waiters[0]));
    files_wait_park(line, &waiters[0]);
    expect_woken("and so does the other", "1");
    files_wait_park(line, &waiters[1]);
    woken_count = 0;
    sim_advance(&sim, SHORT_MS);
    expect_woken("both", "01");
    ck_assert(files_wait_is_over(line, &waiters[1]));
    ck_assert(!files_wait_is_over(line, &waiters[0]));
    end();
}
END_TEST

START_TEST(a_stop_wakes_all)
{
    begin();
    for (int i = 0; i < 4; i++)
        enter_and_park(i, LIMIT_MS);
    woken_count = 0;
    for (int i = 0; i < 4; i++)
        if (waiters[i].is_trying)
            files_wait_park(line, &waiters[i]);
    woken_count = 0;
    files_wait_close(line);
    expect_woken("all, in their order", "0123");
    ck_assert(files_wait_is_over(line, &waiters[3]));
    files_wait_park(line, &waiters[3]);
    expect_woken("nobody parks any more", "3");
    end();
}
END_TEST

/* -- threads -------------------------------------------------------------------------------------- */

enum { THREADS = 4, USERS = 24, ROUNDS = 400, POOL = 7, NEED = 3 };

/* Takes NEED of the pool, gives them back in another job, again and again. No timer runs here: a lost wake-up
 * is never made up for. */
struct user {
    struct work work;
    struct files_waiter waiter;
    int rounds;
    bool has;
};

static struct workers *pool_workers;
static struct user users[USERS];
static atomic_int pool = POOL, users_done;
static pthread_mutex_t done_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_changed = PTHREAD_COND_INITIALIZER;

static bool take(void)
{
    int left = atomic_load(&pool);
    while (left >= NEED)
        if (atomic_compare_exchange_weak(&pool, &left, left - NEED))
            return true;
    return false;
}

static void wake_user(struct files_waiter *waiter)
{
    struct user *user = waiter->context;
    workers_submit(pool_workers, &user->work);
}

static void run_user(struct work *work)
{
    struct user *user = (struct user *)((char *)work - offsetof(struct user, work));
    if (user->has) {
        user->has = false;
        for (int i = 0; i < NEED; i++) {
            atomic_fetch_add(&pool, 1);
            files_wait_freed(line);
        }
        if (++user->rounds == ROUNDS) {
            pthread_mutex_lock(&done_mutex);
            atomic_fetch_add(&users_done, 1);
            pthread_cond_signal(&done_changed);
            pthread_mutex_unlock(&done_mutex);
            return;
        }
    } else if (take()) {
        user->has = true;
    } else if (!files_waiter_is_in(&user->waiter)) {
        files_wait_enter(line, &user->waiter, INT64_MAX);
        user->has = take();
    }
    if (!user->has && files_waiter_is_in(&user->waiter)) {
        files_wait_park(line, &user->waiter);
        return;
    }
    files_wait_leave(line, &user->waiter);
    workers_submit(pool_workers, &user->work);
}

START_TEST(no_wake_up_is_lost)
{
    struct timespec until;
    begin();
    pool_workers = workers_create(THREADS, sim.server->retire, NULL);
    for (int i = 0; i < USERS; i++) {
        users[i] =
            (struct user){ .work.run = run_user, .waiter = { .wake = wake_user, .context = &users[i] } };
        workers_submit(pool_workers, &users[i].work);
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 120;
    pthread_mutex_lock(&done_mutex);
    int error = 0;
    while (atomic_load(&users_done) < USERS && error == 0)
        error = pthread_cond_timedwait(&done_changed, &done_mutex, &until);
    pthread_mutex_unlock(&done_mutex);
    ck_assert_msg(error == 0, "%d of %d came to their end: the others wait for ever",
                  atomic_load(&users_done), USERS);
    workers_destroy(pool_workers);
    ck_assert_int_eq(atomic_load(&pool), POOL);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("files_wait");
    TCase *tests = tcase_create("line");
    tcase_set_timeout(tests, 150);
    tcase_add_test(tests, who_came_first_is_first);
    tcase_add_test(tests, freed_between_the_try_and_the_park);
    tcase_add_test(tests, limits_pass);
    tcase_add_test(tests, a_stop_wakes_all);
    tcase_add_test(tests, no_wake_up_is_lost);
    suite_add_tcase(suite, tests);
    return suite_run(suite) == 0 ? 0 : 1;
}
