/* Fuzzes a connection with the whole broker behind it: memory transport, disk double, virtual clock.
 * The first byte says how the stream is cut into writes and whether the client reads; the rest is what
 * the client sends. Whatever it is, the broker ends with no connection and no memory held.
 *
 * Most changes are made frame by frame, by the schemas (tests/support/frame_mutator.h), so that every API is
 * reached behind its decoder. RUNNEL_FUZZ_BYTES=1: bytes alone. */
#include <stdlib.h>

#include "broker/loop_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "tests/support/frame_mutator.h"
#include "tests/support/sim.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max); /* libFuzzer's own */

enum { STEPS_MAX = 100000, IDLE_MS = 700000, SEED = 1 };

#define YEAR_MS (INT64_C(365) * 24 * 3600 * 1000)

/* What the broker does by itself from time to time it does once in 31 years, but for its scrubber: in the end nothing
 * else is due. */
static const char settings[] = "log.segment.bytes=1048576\n"
                               "log.initial.task.delay.ms=1000000000000\n"
                               "log.retention.check.interval.ms=1000000000000\n"
                               "offsets.retention.check.interval.ms=1000000000000\n";
static struct frame_mutator mutator;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    note_set_level(NOTE_ERROR);
    frame_mutator_learn(&mutator, SEED, settings);
    return 0;
}

/* One change in eight is of bytes alone, so that the decoders' refusals are met as well. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    if (size == 0 || seed % 8 == 0 || getenv("RUNNEL_FUZZ_BYTES"))
        return LLVMFuzzerMutate(data, size, size_max);
    if (seed % 8 == 1)
        data[0] = (uint8_t)(seed >> 8);
    return 1 + frame_mutator_run(&mutator, data + 1, size - 1, size_max - 1, seed, LLVMFuzzerMutate);
}

static void settle(struct sim *sim)
{
    unsigned steps = 0;
    while (server_step(sim->server))
        check(++steps < STEPS_MAX); /* something goes round and round */
}

static void read_replies(struct sim_client *client)
{
    uint8_t bytes[4096];
    size_t got;
    do {
        settle(client->sim);
    } while (client->end->ops->read(client->end, bytes, sizeof bytes, &got) == TRANSPORT_OK);
}

/* False when the broker has closed or takes no more. */
static bool write_bytes(struct sim_client *client, const uint8_t *bytes, size_t size)
{
    struct chain_part part = { .bytes = slice_of(bytes, size) };
    size_t sent = 0, now;
    while (sent < size) {
        enum transport_status status = client->end->ops->write(client->end, &part, 1, sent, &now);
        sent += now;
        if (status == TRANSPORT_CLOSED || (status == TRANSPORT_AGAIN && !server_step(client->sim->server)))
            return false;
    }
    return true;
}

static void run_client(struct sim *sim, uint8_t how, const uint8_t *data, size_t size)
{
    static const size_t cuts[] = { SIZE_MAX, 1, 3, 7, 64, 1000, 4096, 5000 };
    size_t cut = cuts[how % 8];
    bool reads = how & 8, waits = how & 16;
    struct sim_client client;
    sim_connect(sim, &client);
    for (size_t at = 0; at < size;) {
        size_t piece = size - at < cut ? size - at : cut;
        if (!write_bytes(&client, data + at, piece))
            break;
        at += piece;
        if (waits)
            settle(sim);
        if (reads)
            read_replies(&client);
    }
    if (how & 32)
        sim_advance(sim, 1000); /* long polls end */
    read_replies(&client);
    sim_disconnect(&client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim sim;
    if (size == 0)
        return 0;
    sim_open(&sim, SEED, settings);
    run_client(&sim, data[0], data + 1, size - 1);
    for (int i = 0; i < 3; i++)
        sim_advance(&sim, IDLE_MS); /* deadlines, then the memory of the busy time */
    struct loop *loop = sim.server->loops[0];
    check(loop__conn_count(loop) == 0);
    check(loop->budget.used == 0 && !loop->starved && !loop->spent);
    check(loop->purgatory.entry_count == 0);
    size_t near = 0; /* the scrubber's, of the broker itself */
    for (size_t i = 0; i < loop->timers.count; i++)
        near += loop->timers.timers[i]->due_ms < YEAR_MS;
    check(near <= 1);
    sim_close(&sim);
    return 0;
}
