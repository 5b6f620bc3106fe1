/* The keeper: what the broker does to its logs by itself, in rounds on a worker. */
#include "broker/keeper.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/loop_internal.h"
#include "broker/server.h"
#include "protocol/base/check.h"
#include "storage/scrubber.h"

enum { SLICE_MS = 100 };
enum {
    IO_PRIORITY_LOWEST = 2 << 13 | 7,
    IO_PRIORITY_OF_THREAD = 1
}; /* best effort, level 7: ioprio_set(2) */

/* One kind of work: its timer fires on the loop, a worker does it, its mail arms the timer again. */
struct round {
    struct timer timer;
    struct work work;
    struct loop_mail mail;
    struct keeper *keeper;
    bool (*run)(struct keeper *keeper); /* false: goes on in another job */
    bool is_under_way;
    int64_t interval_ms; /* between the end of one and the begin of the next; INT64_MAX: not by itself */
};

struct keeper {
    struct server *server;
    struct loop *loop;
    atomic_bool is_stopping;
    struct round retention;
    struct round starts;
    struct round scrubbing;
};

static bool is_stopping(struct keeper *keeper)
{
    return atomic_load_explicit(&keeper->is_stopping, memory_order_relaxed);
}

/* A part of a round that one job does. */
struct turn {
    struct keeper *keeper;
    int64_t end_ms;
};

static struct turn turn_begin(struct keeper *keeper)
{
    return (struct turn){ keeper, clock_mono_ms(keeper->server->clock) + SLICE_MS };
}

static bool is_slice_over(void *context)
{
    struct turn *turn = context;
    return is_stopping(turn->keeper) || clock_mono_ms(turn->keeper->server->clock) >= turn->end_ms;
}

/* In slices, as other jobs wait for a worker, and all of the server for its quiescent states. */
static bool retain(struct keeper *keeper)
{
    struct turn turn = turn_begin(keeper);
    return store_retain(keeper->server->store, clock_wall_ms(keeper->server->clock), is_slice_over, &turn);
}

/* What fails is told by the store, and tried again after the next round. */
static bool save_starts(struct keeper *keeper)
{
    (void)store_save_starts(keeper->server->store);
    return true;
}

/* What it reads waits behind what others read; a kernel that refuses costs nothing but that. Of the processor
 * it needs next to nothing at its rate. */
static bool scrub(struct keeper *keeper)
{
    struct turn turn = turn_begin(keeper);
    long before = syscall(SYS_ioprio_get, IO_PRIORITY_OF_THREAD, 0);
    (void)syscall(SYS_ioprio_set, IO_PRIORITY_OF_THREAD, 0, IO_PRIORITY_LOWEST);
    keeper->scrubbing.interval_ms =
        store_scrub(keeper->server->store, clock_wall_ms(keeper->server->clock), is_slice_over, &turn);
    if (before >= 0)
        (void)syscall(SYS_ioprio_set, IO_PRIORITY_OF_THREAD, 0, before);
    return true;
}

/* -- from the loop to a worker and back --------------------------------------------------------- */

static void arm(struct round *round, int64_t after_ms)
{
    int64_t now_ms = clock_mono_ms(round->keeper->server->clock);
    if (round->timer.slot != 0)
        return; /* it is due earlier */
    /* Without memory for the heap there is no later either. */
    check_memory(timer_arm(&round->keeper->loop->timers, &round->timer,
                           after_ms < INT64_MAX - now_ms ? now_ms + after_ms : INT64_MAX)
                     ? round
                     : NULL);
}

static void deliver(struct loop_mail *mail, struct loop *loop)
{
    struct round *round = (struct round *)((char *)mail - offsetof(struct round, mail));
    struct keeper *keeper = round->keeper;
    (void)loop;
    round->is_under_way = false;
    if (is_stopping(keeper))
        return;
    if (round->interval_ms != INT64_MAX)
        arm(round, round->interval_ms);
    if (!keeper->starts.is_under_way && store_starts_changed(keeper->server->store))
        arm(&keeper->starts, keeper->server->config->log_flush_start_offset_checkpoint_interval_ms);
}

static void run_round(struct work *work)
{
    struct round *round = (struct round *)((char *)work - offsetof(struct round, work));
    bool goes_on = !is_stopping(round->keeper) && !round->run(round->keeper) && !is_stopping(round->keeper);
    if (goes_on)
        workers_submit(round->keeper->server->workers, &round->work);
    else
        loop_post(round->keeper->loop, &round->mail);
}

static void fire(struct timer *timer)
{
    struct round *round = (struct round *)((char *)timer - offsetof(struct round, timer));
    round->is_under_way = !is_stopping(round->keeper);
    if (round->is_under_way)
        workers_submit(round->keeper->server->workers, &round->work);
}

static void round_init(struct round *round, struct keeper *keeper, bool (*run)(struct keeper *),
                       int64_t interval_ms)
{
    *round = (struct round){
        .timer.fire = fire,
        .work.run = run_round,
        .mail.deliver = deliver,
        .keeper = keeper,
        .run = run,
        .interval_ms = interval_ms,
    };
}

struct keeper *keeper_start(struct server *server)
{
    struct keeper *keeper = check_memory(calloc(1, sizeof *keeper));
    const struct config *config = server->config;
    int64_t interval_ms = config->log_retention_check_interval_ms;
    int64_t first_ms = config->log_initial_task_delay_ms;
    keeper->server = server;
    keeper->loop = server->loops[0];
    round_init(&keeper->retention, keeper, retain, interval_ms);
    round_init(&keeper->starts, keeper, save_starts, INT64_MAX);
    round_init(&keeper->scrubbing, keeper, scrub, SCRUB_DELAY_MS);
    arm(&keeper->scrubbing, SCRUB_DELAY_MS);
    store_scrub_tell(server->store, clock_wall_ms(server->clock));
    arm(&keeper->retention, first_ms < interval_ms ? first_ms : interval_ms);
    return keeper;
}

void keeper_stop(struct keeper *keeper)
{
    atomic_store(&keeper->is_stopping, true);
}

void keeper_destroy(struct keeper *keeper)
{
    free(keeper);
}
