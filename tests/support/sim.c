/* Runs the broker step by step and talks to it over memory. */
#include "tests/support/sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/loop_internal.h"
#include "codec/apis.h"
#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "tests/support/wire_client.h"

enum { START_MS_AFTER_EPOCH_S = 1700000000, PAIR_CAPACITY = 1 << 20, FRAME_MAX = 64 << 20 };

static struct config *load_config(const char *settings)
{
    struct config_report report = { 0 };
    struct config_sources sources = { .file = "sim.properties", .cpu_count = 1 };
    struct config *config = config_load_text(&sources, slice_of_string(settings), &report);
    for (size_t i = 0; !config && i < report.count; i++)
        fprintf(stderr, "sim: %s\n", report.messages[i].text);
    config_report_destroy(&report);
    return check_memory(config);
}

static void start(struct sim *sim)
{
    const char *error = NULL;
    struct server_options options = { .config = sim->config,
                                      .files = file_double_system(sim->disk),
                                      .clock = &sim->clock.clock,
                                      .seed = sim->seed,
                                      .threaded = false };
    enum exit_code code = server_open(&options, &sim->server, &error);
    if (code != EXIT_OK)
        fprintf(stderr, "sim: the broker did not start: %s (seed %llu)\n", error ? error : "?",
                (unsigned long long)sim->seed);
    check(code == EXIT_OK);
}

void sim_open(struct sim *sim, uint64_t seed, const char *settings)
{
    sim_open_on(sim, file_double_create(), seed, settings);
}

void sim_open_on(struct sim *sim, struct file_double *disk, uint64_t seed, const char *settings)
{
    *sim = (struct sim){ .disk = disk, .config = load_config(settings), .seed = seed };
    clock_virtual_init(&sim->clock, INT64_C(1000) * START_MS_AFTER_EPOCH_S);
    start(sim);
}

void sim_close(struct sim *sim)
{
    server_close(sim->server);
    config_destroy(sim->config);
    file_double_destroy(sim->disk);
}

void sim_restart(struct sim *sim)
{
    server_close(sim->server);
    start(sim);
}

void sim_power_cycle(struct sim *sim, enum file_double_cut cut)
{
    struct random random;
    random_seed(&random, sim->seed++);
    struct file_double *after =
        file_double_after_cut(sim->disk, file_double_operation_count(sim->disk), cut, &random);
    server_close(sim->server); /* what it still writes goes to the old disk */
    file_double_destroy(sim->disk);
    sim->disk = after;
    start(sim);
}

struct file_double *sim_stop(struct sim *sim)
{
    struct file_double *disk = sim->disk;
    server_close(sim->server);
    sim->server = NULL;
    sim->disk = NULL;
    return disk;
}

void sim_start_on(struct sim *sim, struct file_double *disk)
{
    check(sim->disk == NULL);
    sim->disk = disk;
    start(sim);
}

/* The steps of server_step() but for the flush. */
static bool step_without_flush(struct server *server)
{
    struct loop *loop = server->loops[0];
    if (loop__has_work(loop) || timer_next_ms(&loop->timers) <= clock_mono_ms(server->clock)) {
        loop_turn(loop);
        return true;
    }
    return workers_step(server->workers) || workers_step(server->append_workers) ||
           workers_step(server->read_workers);
}

bool sim_step(struct sim *sim)
{
    return sim->flushes_are_held ? step_without_flush(sim->server) : server_step(sim->server);
}

void sim_settle(struct sim *sim)
{
    while (sim_step(sim))
        ;
}

void sim_advance(struct sim *sim, int64_t ms)
{
    clock_virtual_advance(&sim->clock, ms);
    sim_settle(sim);
}

void sim_connect(struct sim *sim, struct sim_client *client)
{
    struct transport *ends[2];
    *client = (struct sim_client){ .sim = sim };
    arena_init(&client->arena, NULL);
    check(transport_pair(PAIR_CAPACITY, ends));
    check(server_connect(sim->server, ends[0]));
    client->end = ends[1];
}

void sim_disconnect(struct sim_client *client)
{
    client->end->ops->close(client->end);
    arena_destroy(&client->arena);
    free(client->frame);
    sim_settle(client->sim);
}

bool sim_send_bytes(struct sim_client *client, const void *bytes, size_t size)
{
    struct chain_part part = { .bytes = slice_of(bytes, size) };
    for (size_t sent = 0, now; sent < size; sent += now) {
        now = 0;
        enum transport_status status = client->end->ops->write(client->end, &part, 1, sent, &now);
        if (status == TRANSPORT_OK)
            continue;
        if (status != TRANSPORT_AGAIN || (now == 0 && !sim_step(client->sim)))
            return false;
    }
    return true;
}

bool sim_send(struct sim_client *client, int16_t api_key, int16_t version, const void *request)
{
    struct arena arena;
    arena_init(&arena, NULL);
    slice frame =
        wire_encode(&arena, api_key, version, ++client->correlation_id, SLICE_LITERAL("sim"), request);
    bool sent = !slice_is_null(frame) && sim_send_bytes(client, frame.data, frame.size);
    arena_destroy(&arena);
    return sent;
}

static bool read_bytes(struct sim_client *client, uint8_t *out, size_t size)
{
    for (size_t have = 0, got; have < size; have += got) {
        got = 0;
        enum transport_status status = client->end->ops->read(client->end, out + have, size - have, &got);
        if (status == TRANSPORT_OK)
            continue;
        if (status != TRANSPORT_AGAIN || !sim_step(client->sim))
            return false;
    }
    return true;
}

bool sim_receive_frame(struct sim_client *client)
{
    uint8_t length[4];
    if (!read_bytes(client, length, sizeof length))
        return false;
    client->frame_size = load_be32(length);
    check(client->frame_size <= FRAME_MAX);
    client->frame = check_memory(realloc(client->frame, client->frame_size));
    return read_bytes(client, client->frame, client->frame_size);
}

bool sim_receive(struct sim_client *client, int16_t api_key, int16_t version, void *response)
{
    const struct api_schema *schema = api_schema_find(api_key);
    int32_t correlation_id;
    if (!sim_receive_frame(client))
        return false;
    arena_reset(&client->arena);
    struct reader reader;
    reader_init(&reader, slice_of(client->frame, client->frame_size), &client->arena);
    schema->response.init(response);
    return response_header_decode(&reader, api_key, version, &correlation_id) &&
           schema->response.decode(&reader, version, response);
}

bool sim_call(struct sim_client *client, int16_t api_key, int16_t version, const void *request,
              void *response)
{
    return sim_send(client, api_key, version, request) && sim_receive(client, api_key, version, response);
}
