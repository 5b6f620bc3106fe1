/* Connections that were used once and then do nothing: what they cost the server. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/api_versions.h"
#include "protocol/base/check.h"
#include "tests/bench/load/kinds.h"
#include "tests/support/load.h"
#include "tests/support/wire_client.h"

enum { TIMEOUT_MS = 30000, API_VERSIONS_KEY = 18, API_VERSIONS_VERSION = 3 };

struct memory {
    uint64_t all, own;
};

static struct memory memory_of(pid_t server)
{
    return server ? (struct memory){ process_rss(server), process_rss_anonymous(server) }
                  : (struct memory){ 0, 0 };
}

static void wait_seconds(double seconds)
{
    struct timespec wait = { .tv_sec = (time_t)seconds,
                             .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };
    clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
}

/* Each asks for ApiVersions, as any client does at first. */
static void open_all(const struct plan *plan, struct wire_client *clients)
{
    for (int i = 0; i < plan->connections; i++) {
        struct api_versions_request request;
        struct api_versions_response response;
        api_versions_request_init(&request);
        request.client_software_name = SLICE_LITERAL("load");
        request.client_software_version = SLICE_LITERAL("1");
        if (!wire_connect(&clients[i], plan->bootstrap, TIMEOUT_MS))
            load_fail("connection %d: refused", i);
        if (!wire_call(&clients[i], API_VERSIONS_KEY, API_VERSIONS_VERSION, &request, &response))
            load_fail("connection %d: no answer", i);
        free(clients[i].frame); /* ours counts nowhere, but 10,000 of them add up */
        clients[i].frame = NULL;
        clients[i].frame_capacity = 0;
        arena_destroy(&clients[i].arena);
        arena_init(&clients[i].arena, NULL);
    }
}

void idle_run(const struct plan *plan)
{
    struct wire_client *clients = check_memory(calloc((size_t)plan->connections, sizeof *clients));
    struct result *result = check_memory(calloc(1, sizeof *result));
    struct watch watch;
    char extra[512];
    struct memory before = memory_of(plan->server);
    double begin = monotonic_seconds();
    open_all(plan, clients);
    double opened = monotonic_seconds() - begin;
    wait_seconds(plan->warmup);
    struct memory after = memory_of(plan->server);
    uint64_t wakeups = plan->server ? process_wakeups(plan->server) : 0;
    watch_begin(&watch, plan->server);
    double step = plan->sample_ms > 0 ? plan->sample_ms / 1e3 : plan->seconds;
    for (double passed = 0; passed < plan->seconds; passed += step) {
        wait_seconds(step);
        watch_sample(&watch, 0, plan->sample_ms > 0);
    }
    watch_end(&watch, result);
    result->kind = plan->kind;
    double count = plan->connections;
    snprintf(extra, sizeof extra,
             "\"connections\":%d,\"open_seconds\":%.3f,\"rss_before_mib\":%.3f,\"rss_open_mib\":%.3f,"
             "\"rss_per_connection_bytes\":%.0f,\"own_per_connection_bytes\":%.0f,\"wakeups\":%llu",
             plan->connections, opened, (double)before.all / (1 << 20), (double)after.all / (1 << 20),
             ((double)after.all - (double)before.all) / count,
             ((double)after.own - (double)before.own) / count,
             plan->server ? (unsigned long long)(process_wakeups(plan->server) - wakeups) : 0ull);
    result_print(result, extra);
    for (int i = 0; i < plan->connections; i++)
        wire_close(&clients[i]);
    free(clients);
    free(result);
}
