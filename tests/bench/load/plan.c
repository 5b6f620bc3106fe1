/* The options of `load`, and what they are when nothing is said. */
#include "tests/bench/load/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ACKS_UNSAID = -2 };

static const struct argument table[] = {
    { "--bootstrap", ARGUMENT_TEXT, offsetof(struct plan, bootstrap) },
    { "--topic", ARGUMENT_TEXT, offsetof(struct plan, topic) },
    { "--api", ARGUMENT_TEXT, offsetof(struct plan, api) },
    { "--connections", ARGUMENT_INT, offsetof(struct plan, connections) },
    { "--fetchers", ARGUMENT_INT, offsetof(struct plan, fetchers) },
    { "--writers", ARGUMENT_INT, offsetof(struct plan, writers) },
    { "--threads", ARGUMENT_INT, offsetof(struct plan, threads) },
    { "--partitions", ARGUMENT_INT, offsetof(struct plan, partitions) },
    { "--depth", ARGUMENT_INT, offsetof(struct plan, depth) },
    { "--spread", ARGUMENT_INT, offsetof(struct plan, spread) },
    { "--acks", ARGUMENT_INT, offsetof(struct plan, acks) },
    { "--keys", ARGUMENT_INT, offsetof(struct plan, keys) },
    { "--producers", ARGUMENT_INT, offsetof(struct plan, producers) },
    { "--server-pid", ARGUMENT_INT, offsetof(struct plan, server) },
    { "--sample-ms", ARGUMENT_INT, offsetof(struct plan, sample_ms) },
    { "--max-wait-ms", ARGUMENT_INT, offsetof(struct plan, max_wait_ms) },
    { "--min-bytes", ARGUMENT_INT, offsetof(struct plan, min_bytes) },
    { "--record-size", ARGUMENT_SIZE, offsetof(struct plan, record_size) },
    { "--batch-size", ARGUMENT_SIZE, offsetof(struct plan, batch_size) },
    { "--fetch-size", ARGUMENT_SIZE, offsetof(struct plan, fetch_size) },
    { "--total-size", ARGUMENT_SIZE, offsetof(struct plan, total_size) },
    { "--codec", ARGUMENT_CODEC, offsetof(struct plan, codec) },
    { "--rate", ARGUMENT_NUMBER, offsetof(struct plan, rate_mib_s) },
    { "--requests-rate", ARGUMENT_NUMBER, offsetof(struct plan, requests_rate) },
    { "--seconds", ARGUMENT_NUMBER, offsetof(struct plan, seconds) },
    { "--warmup", ARGUMENT_NUMBER, offsetof(struct plan, warmup) },
    { "--idempotent", ARGUMENT_FLAG, offsetof(struct plan, idempotent) },
    { "--create", ARGUMENT_FLAG, offsetof(struct plan, create) },
    { "--from-start", ARGUMENT_FLAG, offsetof(struct plan, from_start) },
    { "--topic-set", ARGUMENT_SETTINGS, offsetof(struct plan, settings) },
    { NULL, ARGUMENT_FLAG, 0 },
};

static const char usage[] =
    "usage: load KIND --bootstrap HOST:PORT --topic T [OPTION...]\n"
    "\n"
    "  produce   ready-made batches on --connections N\n"
    "  fetch     --from-start, or tail (the default): latency from the time stamped in a batch to its "
    "arrival\n"
    "  mixed     --connections N that produce, --fetchers M (default N) that tail\n"
    "  fanout    --connections N that tail every partition, --writers M (default 1) that produce\n"
    "  ping      small requests: --api api-versions | fetch | produce | echo (limits echo)\n"
    "  idle      --connections N that do nothing\n"
    "\n"
    "  --partitions P        connection i has partitions i mod P; with fewer connections, every N-th from i "
    "on\n"
    "  --record-size B  --batch-size B  --codec C  --acks 0|1|-1  --idempotent  --producers N  --keys N\n"
    "  --depth N             requests in flight per connection\n"
    "  --spread N            partitions in one Produce request (default 1)\n"
    "  --rate MiB/s, --requests-rate R   open loop, latency from the time a request was due; 0: saturation\n"
    "  --seconds S  --warmup S  or  --total-size B (from-start: or what there is, once)\n"
    "  --fetch-size B  --max-wait-ms M  --min-bytes B\n"
    "  --server-pid PID  --sample-ms M   CPU and memory of the server, over time\n"
    "  --create              makes the topic; --topic-set KEY=VALUE for its settings\n"
    "  --threads N           of this program (default 1)\n";

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "load: %s\n%s", what, usage);
    exit(2);
}

static bool is_one_of(const char *word, const char *const words[])
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

/* A ping is one small record and no wait. */
static void fill_in(struct plan *plan)
{
    bool is_ping = strcmp(plan->kind, "ping") == 0;
    if (plan->fetchers == 0)
        plan->fetchers = plan->connections;
    if (plan->acks == ACKS_UNSAID)
        plan->acks = is_ping ? 1 : -1;
    if (plan->record_size == 0)
        plan->record_size = is_ping ? 100 : 1024;
    if (plan->batch_size == 0)
        plan->batch_size = is_ping ? 1 : 64 << 10;
    if (is_ping)
        plan->max_wait_ms = 0;
    if (strcmp(plan->kind, "mixed") == 0 || strcmp(plan->kind, "fanout") == 0)
        require(plan->total_size == 0, "mixed and fanout end by time: --seconds");
    if (strcmp(plan->kind, "fetch") == 0)
        require(plan->depth == 1, "where a fetch begins is known behind the one before: --depth 1");
}

void plan_read(struct plan *plan, int count, char **words)
{
    static const char *const kinds[] = { "produce", "fetch", "mixed", "fanout", "ping", "idle", NULL };
    static const char *const apis[] = { "api-versions", "fetch", "produce", "echo", NULL };
    *plan = (struct plan){ .api = "api-versions",
                           .topic = "load",
                           .connections = 1,
                           .writers = 1,
                           .threads = 1,
                           .partitions = 1,
                           .depth = 1,
                           .spread = 1,
                           .acks = ACKS_UNSAID,
                           .producers = 1,
                           .max_wait_ms = 500,
                           .min_bytes = 1,
                           .fetch_size = 1 << 20,
                           .seconds = 10 };
    require(count > 1 && is_one_of(words[1], kinds), "which kind?");
    plan->kind = words[1];
    arguments_read(table, count - 2, words + 2, plan);
    require(plan->bootstrap && strchr(plan->bootstrap, ':'), "--bootstrap HOST:PORT is missing");
    require(is_one_of(plan->api, apis), "no such --api");
    fill_in(plan);
    require(plan->connections > 0 && plan->fetchers > 0 && plan->writers > 0 && plan->partitions > 0 &&
                plan->depth > 0 && plan->threads > 0 && plan->spread > 0 && plan->producers > 0,
            "counts are at least 1");
    require(plan->fetch_size > 0, "sizes are at least 1");
    require(plan->acks >= -1 && plan->acks <= 1, "--acks is 0, 1 or -1");
    require(!plan->idempotent || plan->acks == -1, "--idempotent needs --acks -1");
    require(plan->total_size > 0 || plan->seconds > 0, "--seconds or --total-size");
    require(plan->keys >= 0 && plan->sample_ms >= 0 && plan->rate_mib_s >= 0 && plan->requests_rate >= 0,
            "nothing is below 0");
}

double plan_requests_rate(const struct plan *plan, uint64_t size)
{
    if (plan->requests_rate > 0)
        return plan->requests_rate;
    return size > 0 ? plan->rate_mib_s * (1 << 20) / (double)size : 0;
}
