/* load: requests of one kind against a Kafka broker, and what came of them as one JSON object. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "protocol/base/check.h"
#include "tests/bench/load/kinds.h"
#include "tests/bench/load/setup.h"

#define COOLDOWN_SECONDS 0.5

static struct connection *connections;
static int connection_count;

static struct connection *add_connections(const struct plan *plan, int count, int depth)
{
    connections =
        check_memory(realloc(connections, (size_t)(connection_count + count) * sizeof *connections));
    struct connection *first = &connections[connection_count];
    memset(first, 0, (size_t)count * sizeof *first);
    for (int i = 0; i < count; i++)
        connection_open(&first[i], plan->bootstrap, depth);
    connection_count += count;
    return first;
}

static int64_t *offsets_of(const struct plan *plan, int64_t timestamp)
{
    int64_t *offsets = check_memory(calloc((size_t)plan->partitions, sizeof *offsets));
    setup_offsets(plan, timestamp, offsets);
    return offsets;
}

/* Requests a second, 0 for as many as fit. */
static double add_producers(const struct plan *plan, int count)
{
    struct produce_source *source = produce_source_create(plan, count);
    struct connection *first = add_connections(plan, count, plan->depth);
    for (int i = 0; i < count; i++)
        produce_init(&first[i], source, i);
    return plan_requests_rate(plan, produce_source_request_size(source));
}

static void add_fetchers(const struct plan *plan, int count, int depth, bool each_has_all,
                         enum fetch_manner manner)
{
    const int64_t *offsets = offsets_of(plan, manner == FETCH_FROM_START ? -2 : -1);
    struct connection *first = add_connections(plan, count, depth);
    for (int i = 0; i < count; i++) {
        struct share share =
            each_has_all ? share_of(0, 1, plan->partitions) : share_of(i, count, plan->partitions);
        fetch_init(&first[i], plan, share, offsets, manner);
    }
}

static double add_pings(const struct plan *plan)
{
    if (strcmp(plan->api, "produce") == 0)
        return add_producers(plan, plan->connections);
    if (strcmp(plan->api, "fetch") == 0) {
        add_fetchers(plan, plan->connections, plan->depth, false, FETCH_AT_END);
        return plan->requests_rate;
    }
    struct connection *first = add_connections(plan, plan->connections, plan->depth);
    for (int i = 0; i < plan->connections; i++)
        ping_init(&first[i], plan);
    return plan->requests_rate;
}

/* Requests a second of those that have a schedule. */
static double add_all(const struct plan *plan)
{
    if (strcmp(plan->kind, "ping") == 0)
        return add_pings(plan);
    if (strcmp(plan->kind, "produce") == 0)
        return add_producers(plan, plan->connections);
    if (strcmp(plan->kind, "fetch") == 0) {
        add_fetchers(plan, plan->connections, 1, false, plan->from_start ? FETCH_FROM_START : FETCH_TAIL);
        return plan_requests_rate(plan, plan->fetch_size);
    }
    bool is_fanout = strcmp(plan->kind, "fanout") == 0;
    double rate = add_producers(plan, is_fanout ? plan->writers : plan->connections);
    add_fetchers(plan, is_fanout ? plan->connections : plan->fetchers, 1, is_fanout, FETCH_TAIL);
    return rate;
}

static bool needs_topic(const struct plan *plan)
{
    return strcmp(plan->kind, "idle") != 0 &&
           (strcmp(plan->kind, "ping") != 0 || strcmp(plan->api, "fetch") == 0 ||
            strcmp(plan->api, "produce") == 0);
}

static void allow_descriptors(void)
{
    struct rlimit limit;
    check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    struct plan plan;
    plan_read(&plan, argc, argv);
    allow_descriptors();
    if (needs_topic(&plan)) {
        if (plan.create)
            setup_create_topic(&plan);
        setup_await_leaders(&plan);
    }
    if (strcmp(plan.kind, "idle") == 0) {
        idle_run(&plan);
        return 0;
    }
    double rate = add_all(&plan);
    struct engine_options options = { .connections = connections,
                                      .count = connection_count,
                                      .threads = plan.threads,
                                      .requests_rate = rate,
                                      .seconds = plan.seconds,
                                      .warmup = plan.warmup,
                                      .total_size = plan.total_size,
                                      .server = plan.server,
                                      .sample_ms = plan.sample_ms };
    if (strcmp(plan.kind, "mixed") == 0 || strcmp(plan.kind, "fanout") == 0)
        options.cooldown = COOLDOWN_SECONDS;
    struct result *result = check_memory(calloc(1, sizeof *result));
    engine_run(&options, result);
    result->kind = plan.kind;
    if (strcmp(plan.kind, "fanout") == 0 && result->fetched)
        result->total = *result->fetched;
    result_print(result, NULL);
    for (int i = 0; i < connection_count; i++)
        connection_close(&connections[i]);
    return 0;
}
