/* Threads with their connections; the schedule of an open loop; the counted time. */
#include "tests/bench/load/engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/check.h"
#include "tests/bench/load/arguments.h"

enum {
    EVENTS_MAX = 256,
    DRAIN_SECONDS = 30,
    STALL_SECONDS = 60,
    WATCH_MS = 50,
    START_NS = 5000000 /* all threads are there by then */
};

#define NS_PER_S 1000000000u

struct runner {
    struct engine *engine;
    struct connection **connections;
    int count;
    struct connection **scheduled; /* those of the open loop, in the order of their first times */
    int scheduled_count;
    int cursor;           /* whose request is due next */
    struct lane lanes[2]; /* produced, fetched */
    pthread_t thread;
    int poller;
    struct finish_line *line;
};

/* Where the watching thread hears that the others have come through. */
struct finish_line {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int running;
};

/* --- the schedule -------------------------------------------------------------------------------- */

static double next_due(const struct runner *runner)
{
    const struct connection *next = runner->scheduled[runner->cursor];
    return next->first_due_ns + (double)next->owed * next->interval_ns;
}

/* Every connection whose time has come owes a request more. */
static void follow_schedule(struct runner *runner)
{
    const struct engine *engine = runner->engine;
    uint64_t now = now_ns(), end = atomic_load(&engine->end_ns);
    for (double due; (due = next_due(runner)) <= (double)now && due < (double)engine->stop_ns;) {
        struct connection *connection = runner->scheduled[runner->cursor];
        connection->owed++;
        if (due >= (double)engine->begin_ns && due < (double)end)
            histogram_add(&connection->lane->lag, now - (uint64_t)due);
        connection_go_on(connection);
        runner->cursor = (runner->cursor + 1) % runner->scheduled_count;
    }
}

static uint64_t sleep_ns(const struct runner *runner)
{
    uint64_t now = now_ns(), end = runner->engine->stop_ns;
    uint64_t until = now + (uint64_t)STALL_SECONDS * NS_PER_S;
    if (end < until)
        until = end;
    if (runner->scheduled_count > 0 && next_due(runner) < (double)until)
        until = (uint64_t)next_due(runner);
    return until > now ? until - now : 0;
}

static struct timespec time_of(uint64_t ns)
{
    return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };
}

static void wait_until(uint64_t ns)
{
    struct timespec time = time_of(ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        continue;
}

/* --- a thread ------------------------------------------------------------------------------------ */

static int poll_once(struct runner *runner, uint64_t wait_ns)
{
    struct epoll_event events[EVENTS_MAX];
    struct timespec wait = { .tv_sec = (time_t)(wait_ns / NS_PER_S), .tv_nsec = (long)(wait_ns % NS_PER_S) };
    int count = epoll_pwait2(runner->poller, events, EVENTS_MAX, &wait, NULL);
    check(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            connection_receive(connection);
        else
            connection_go_on(connection);
    }
    return count;
}

static void drain(struct runner *runner)
{
    uint64_t until = now_ns() + (uint64_t)DRAIN_SECONDS * NS_PER_S;
    for (int i = 0; i < runner->count; i++) {
        while (connection_is_busy(runner->connections[i])) {
            uint64_t now = now_ns();
            if (now >= until)
                load_fail("no answer within %d s", DRAIN_SECONDS);
            poll_once(runner, until - now);
        }
    }
}

/* What was due in the counted time and never had room took at least until now. */
static void count_unsent(struct runner *runner)
{
    const struct engine *engine = runner->engine;
    uint64_t end = atomic_load(&engine->end_ns);
    for (int i = 0; i < runner->scheduled_count && end != UINT64_MAX; i++) {
        struct connection *connection = runner->scheduled[i];
        for (uint64_t number = connection->made; number < connection->owed; number++) {
            double due = connection->first_due_ns + (double)number * connection->interval_ns;
            if (due < (double)engine->begin_ns || due >= (double)end)
                continue;
            histogram_add(&connection->lane->latency, engine->stop_ns - (uint64_t)due);
            connection->lane->unsent++;
        }
    }
}

static bool is_exhausted(const struct runner *runner)
{
    return runner->lanes[0].exhausted + runner->lanes[1].exhausted == runner->count;
}

static void *run_thread(void *context)
{
    struct runner *runner = context;
    struct engine *engine = runner->engine;
    prctl(PR_SET_TIMERSLACK, 1UL);
    wait_until(engine->start_ns);
    for (int i = 0; i < runner->count; i++)
        connection_go_on(runner->connections[i]);
    while (!atomic_load_explicit(&engine->stopping, memory_order_relaxed) && !is_exhausted(runner)) {
        uint64_t wait = sleep_ns(runner);
        if (poll_once(runner, wait) == 0 && wait >= (uint64_t)STALL_SECONDS * NS_PER_S)
            load_fail("nothing moved for %d s", STALL_SECONDS);
        if (runner->scheduled_count > 0)
            follow_schedule(runner);
        if (now_ns() >= engine->stop_ns)
            atomic_store(&engine->stopping, true);
    }
    drain(runner);
    count_unsent(runner);
    pthread_mutex_lock(&runner->line->mutex);
    runner->line->running--;
    pthread_cond_signal(&runner->line->changed);
    pthread_mutex_unlock(&runner->line->mutex);
    return NULL;
}

/* --- the whole ----------------------------------------------------------------------------------- */

static struct runner *make_runners(const struct engine_options *options, struct engine *engine,
                                   struct finish_line *line)
{
    struct runner *runners = check_memory(calloc((size_t)options->threads, sizeof *runners));
    for (int t = 0; t < options->threads; t++) {
        runners[t].engine = engine;
        runners[t].line = line;
        runners[t].poller = epoll_create1(EPOLL_CLOEXEC);
        check(runners[t].poller >= 0);
        runners[t].connections = check_memory(calloc((size_t)options->count, sizeof *runners[t].connections));
        runners[t].scheduled = check_memory(calloc((size_t)options->count, sizeof *runners[t].scheduled));
    }
    for (int i = 0; i < options->count; i++) {
        struct connection *connection = &options->connections[i];
        struct runner *runner = &runners[i % options->threads];
        connection->engine = engine;
        connection->lane = &runner->lanes[connection->kind->is_fetch];
        runner->connections[runner->count++] = connection;
        connection_join(connection, runner->poller);
    }
    return runners;
}

/* Of a run that has both, those that fetch follow those that produce, and have no schedule. */
static void make_schedule(const struct engine_options *options, struct runner *runners, uint64_t start)
{
    int producing = 0;
    for (int i = 0; i < options->count; i++)
        producing += !options->connections[i].kind->is_fetch;
    int count = producing > 0 ? producing : options->count;
    double step = options->requests_rate > 0 ? 1e9 / options->requests_rate : 0;
    for (int i = 0, number = 0; i < options->count; i++) {
        struct connection *connection = &options->connections[i];
        struct runner *runner = &runners[i % options->threads];
        if (step == 0 || connection->kind->is_fetch != (producing == 0))
            continue;
        connection->interval_ns = step * count;
        connection->first_due_ns = (double)start + step * number++;
        runner->scheduled[runner->scheduled_count++] = connection;
    }
}

static uint64_t size_so_far(struct runner *runners, int threads)
{
    uint64_t produced = 0, fetched = 0;
    for (int t = 0; t < threads; t++) {
        produced += atomic_load_explicit(&runners[t].lanes[0].size, memory_order_relaxed);
        fetched += atomic_load_explicit(&runners[t].lanes[1].size, memory_order_relaxed);
    }
    return produced ? produced : fetched;
}

/* Samples until the counted time is over. */
static void follow(const struct engine_options *options, struct engine *engine, struct runner *runners,
                   struct finish_line *line, struct result *out)
{
    struct watch watch;
    uint64_t step = (uint64_t)(options->sample_ms > 0 ? options->sample_ms : WATCH_MS) * 1000000u;
    uint64_t end = atomic_load(&engine->end_ns);
    if (engine->begin_ns > engine->start_ns)
        wait_until(engine->begin_ns);
    watch_begin(&watch, options->server); /* without a warm-up: before anything moves */
    pthread_mutex_lock(&line->mutex);
    for (uint64_t next = engine->begin_ns + step; line->running > 0; next += step) {
        struct timespec until = time_of(next < end ? next : end);
        while (line->running > 0 && pthread_cond_timedwait(&line->changed, &line->mutex, &until) == 0)
            continue;
        if (now_ns() >= end)
            break;
        watch_sample(&watch, size_so_far(runners, options->threads), options->sample_ms > 0);
    }
    pthread_mutex_unlock(&line->mutex);
    watch_end(&watch, out);
}

static void add_lane(struct traffic *into, struct lane *lane)
{
    into->unsent += lane->unsent;
    into->requests += atomic_load(&lane->requests);
    into->records += atomic_load(&lane->records);
    into->size += atomic_load(&lane->size);
    histogram_merge(&into->latency, &lane->latency);
    histogram_merge(&into->lag, &lane->lag);
}

/* Joins the threads; the totals are theirs. */
static void gather_result(const struct engine_options *options, struct engine *engine, struct runner *runners,
                          struct result *out)
{
    struct traffic *both = check_memory(calloc(2, sizeof *both));
    uint64_t last = engine->begin_ns + 1;
    for (int t = 0; t < options->threads; t++) {
        pthread_join(runners[t].thread, NULL);
        for (int i = 0; i < 2; i++) {
            add_lane(&both[i], &runners[t].lanes[i]);
            if (runners[t].lanes[i].last_ns > last)
                last = runners[t].lanes[i].last_ns;
        }
        close(runners[t].poller);
        free(runners[t].connections);
        free(runners[t].scheduled);
    }
    if (options->total_size == 0)
        last = atomic_load(&engine->end_ns);
    out->seconds = (double)(last - engine->begin_ns) / 1e9;
    out->total = both[both[0].requests == 0];
    if (both[0].requests > 0 && both[1].requests > 0) {
        out->produced = &both[0];
        out->fetched = &both[1];
    }
}

void engine_run(const struct engine_options *options, struct result *out)
{
    struct finish_line line = { .mutex = PTHREAD_MUTEX_INITIALIZER, .running = options->threads };
    struct engine engine = { .total_size = options->total_size };
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&line.changed, &attributes);
    struct runner *runners = make_runners(options, &engine, &line);
    engine.start_ns = now_ns() + START_NS;
    engine.begin_ns = engine.start_ns + (options->total_size > 0 ? 0 : (uint64_t)(options->warmup * 1e9));
    atomic_init(&engine.end_ns,
                options->total_size > 0 ? UINT64_MAX : engine.begin_ns + (uint64_t)(options->seconds * 1e9));
    engine.stop_ns = atomic_load(&engine.end_ns);
    if (options->total_size == 0)
        engine.stop_ns += (uint64_t)(options->cooldown * 1e9);
    make_schedule(options, runners, engine.start_ns);
    for (int t = 0; t < options->threads; t++)
        check(pthread_create(&runners[t].thread, NULL, run_thread, &runners[t]) == 0);
    follow(options, &engine, runners, &line, out);
    gather_result(options, &engine, runners, out);
    free(runners);
}
