/* Reclamation: what was retired is freed when nobody can hold it any more, and not before. */
#include "protocol/base/retire.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

static atomic_uint freed_count;

static void count_free(void *object)
{
    free(object);
    atomic_fetch_add(&freed_count, 1);
}

enum step_kind { RETIRE, QUIESCENT, SLEEP, WAKE, LEAVE, JOIN };

struct step {
    enum step_kind kind;
    unsigned member;      /* 0 or 1 */
    unsigned freed_count; /* in all, afterwards */
};

static const struct scenario {
    const char *what;
    struct step steps[12];
    size_t count;
} scenarios[] = {
    { "both must pass",
      { { RETIRE, 0, 0 }, { QUIESCENT, 0, 0 }, { QUIESCENT, 0, 0 }, { QUIESCENT, 1, 1 } },
      4 },
    { "a state before the retirement does not count",
      { { QUIESCENT, 1, 0 }, { RETIRE, 0, 0 }, { QUIESCENT, 0, 0 }, { QUIESCENT, 1, 1 } },
      4 },
    { "who sleeps counts", { { SLEEP, 1, 0 }, { RETIRE, 0, 0 }, { QUIESCENT, 0, 1 } }, 3 },
    { "who falls asleep later too, and frees",
      { { RETIRE, 0, 0 }, { QUIESCENT, 0, 0 }, { SLEEP, 1, 1 } },
      3 },
    { "all asleep: the last one frees", { { SLEEP, 1, 0 }, { RETIRE, 0, 0 }, { SLEEP, 0, 1 } }, 3 },
    { "who woke up before must pass again",
      { { SLEEP, 1, 0 }, { WAKE, 1, 0 }, { RETIRE, 0, 0 }, { QUIESCENT, 0, 0 }, { QUIESCENT, 1, 1 } },
      5 },
    { "who woke up after it cannot hold it",
      { { SLEEP, 1, 0 }, { RETIRE, 0, 0 }, { WAKE, 1, 0 }, { QUIESCENT, 0, 1 } },
      4 },
    { "who left counts", { { RETIRE, 0, 0 }, { QUIESCENT, 0, 0 }, { LEAVE, 1, 1 } }, 3 },
    { "who joined after it cannot hold it",
      { { LEAVE, 1, 0 }, { RETIRE, 0, 0 }, { JOIN, 1, 0 }, { QUIESCENT, 0, 1 } },
      4 },
    { "the older one goes first",
      { { RETIRE, 0, 0 }, { QUIESCENT, 1, 0 }, { RETIRE, 0, 0 }, { QUIESCENT, 0, 1 }, { QUIESCENT, 1, 2 } },
      5 },
};

START_TEST(scenarios_of_two_members)
{
    const struct scenario *scenario = &scenarios[_i];
    struct retire *domain = retire_create();
    unsigned ids[2] = { retire_join(domain), retire_join(domain) };
    bool joined[2] = { true, true };
    for (size_t i = 0; i < scenario->count; i++) {
        const struct step *step = &scenario->steps[i];
        unsigned id = ids[step->member];
        switch (step->kind) {
        case RETIRE:
            retire(domain, malloc(1), count_free);
            break;
        case QUIESCENT:
            retire_quiescent(domain, id);
            break;
        case SLEEP:
            retire_sleep(domain, id);
            break;
        case WAKE:
            retire_wake(domain, id);
            break;
        case LEAVE:
            retire_leave(domain, id);
            joined[step->member] = false;
            break;
        case JOIN:
            ids[step->member] = retire_join(domain);
            joined[step->member] = true;
            break;
        }
        ck_assert_msg(freed_count == step->freed_count, "%s: step %zu freed %u", scenario->what, i,
                      freed_count);
    }
    for (int i = 0; i < 2; i++) {
        if (joined[i])
            retire_leave(domain, ids[i]);
    }
    retire_destroy(domain);
}
END_TEST

static struct retire *shared;

static void retire_another(void *object)
{
    if (object != NULL)
        retire(shared, malloc(1), count_free);
    free(object);
}

START_TEST(free_functions_may_retire)
{
    shared = retire_create();
    unsigned id = retire_join(shared);
    retire(shared, malloc(1), retire_another);
    retire_quiescent(shared, id);
    ck_assert_uint_eq(freed_count, 0);
    retire_quiescent(shared, id);
    ck_assert_uint_eq(freed_count, 1);
    retire_leave(shared, id);
    /* Without any member, the destruction frees, also what is retired by it. */
    retire(shared, malloc(1), retire_another);
    retire_destroy(shared);
    ck_assert_uint_eq(freed_count, 2);
}
END_TEST

START_TEST(many_members)
{
    struct retire *domain = retire_create();
    unsigned ids[256];
    for (int i = 0; i < 256; i++)
        ids[i] = retire_join(domain);
    retire(domain, malloc(1), count_free);
    for (int i = 0; i < 255; i++)
        retire_quiescent(domain, ids[i]);
    ck_assert_uint_eq(freed_count, 0);
    retire_quiescent(domain, ids[255]);
    ck_assert_uint_eq(freed_count, 1);
    for (int i = 0; i < 256; i++)
        retire_leave(domain, ids[i]);
    retire_destroy(domain);
}
END_TEST

/* Readers look at an object that writers swap and retire. An object that is freed too early is seen
 * by the sanitizers, or by its broken law: both fields are equal while it lives. */
struct object {
    uint64_t a, b;
};

enum { READER_COUNT = 3, TURN_COUNT = 30000, SWAP_COUNT = 10000 };

static struct object *_Atomic current;

static void break_and_free(void *p)
{
    struct object *object = p;
    object->a = 1;
    object->b = 2;
    count_free(object);
}

static void *read_turns(void *argument)
{
    unsigned id = retire_join(shared);
    uint64_t sum = 0;
    for (int turn = 0; turn < TURN_COUNT; turn++) {
        const struct object *object = atomic_load_explicit(&current, memory_order_acquire);
        sum += object->a;
        ck_assert_uint_eq(object->a, object->b);
        if (turn % 3 == 0) {
            retire_sleep(shared, id);
            retire_wake(shared, id);
        } else {
            retire_quiescent(shared, id);
        }
    }
    retire_leave(shared, id);
    return sum > 0 ? argument : NULL;
}

static struct object *make_object(uint64_t value)
{
    struct object *object = malloc(sizeof *object);
    object->a = object->b = value;
    return object;
}

/* Not a member: retire() is for any thread. */
static void *swap_objects(void *argument)
{
    for (uint64_t i = 0; i < SWAP_COUNT; i++) {
        struct object *old = atomic_exchange_explicit(&current, make_object(i), memory_order_acq_rel);
        retire(shared, old, break_and_free);
    }
    return argument;
}

START_TEST(readers_and_writers)
{
    shared = retire_create();
    atomic_store(&current, make_object(1));
    pthread_t threads[READER_COUNT + 2];
    for (int i = 0; i < READER_COUNT + 2; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, i < READER_COUNT ? read_turns : swap_objects, NULL), 0);
    for (int i = 0; i < READER_COUNT + 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    retire_destroy(shared);
    ck_assert_uint_eq(freed_count, 2 * SWAP_COUNT);
    free(atomic_load(&current));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("retire");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, scenarios_of_two_members, 0, (int)(sizeof scenarios / sizeof scenarios[0]));
    tcase_add_test(cases, free_functions_may_retire);
    tcase_add_test(cases, many_members);
    tcase_add_test(cases, readers_and_writers);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
