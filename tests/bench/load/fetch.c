/* Fetch requests without a session, of all partitions that a connection has; batches are walked, not opened.
 */
#include <stdlib.h>
#include <time.h>

#include "codec/fetch.h"
#include "protocol/api_schema.h"
#include "protocol/base/chain.h"
#include "protocol/base/check.h"
#include "protocol/errors.h"
#include "tests/bench/load/batches.h"
#include "tests/bench/load/kinds.h"
#include "tests/support/wire_client.h"

enum { FETCH_KEY = 1, FETCH_VERSION = 12 /* the last by name; later ones only add what replicas say */ };

struct fetcher {
    const struct plan *plan;
    enum fetch_manner manner;
    struct share share;
    int64_t *offsets;      /* of the share */
    const int64_t *starts; /* of all partitions */
    struct fetch_request_partition *partitions;
    int32_t *place_of; /* partition number to place in the share */
    int first;         /* who is asked for first, in turn: what fills an answer is nobody's privilege */
    int64_t wall_to_monotonic_ns;
    struct arena arena;
};

static int64_t wall_to_monotonic_ns(void)
{
    struct timespec wall, monotonic;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    return ((int64_t)monotonic.tv_sec - (int64_t)wall.tv_sec) * 1000000000 + monotonic.tv_nsec - wall.tv_nsec;
}

static void make(struct connection *connection, struct slot *slot, uint32_t id)
{
    struct fetcher *fetcher = connection->state;
    struct fetch_request request;
    struct fetch_request_topic topic;
    fetch_request_init(&request);
    fetch_request_topic_init(&topic);
    for (int i = 0; i < fetcher->share.count; i++) {
        int place = (fetcher->first + i) % fetcher->share.count;
        struct fetch_request_partition *partition = &fetcher->partitions[i];
        fetch_request_partition_init(partition);
        partition->partition = fetcher->share.partitions[place];
        partition->fetch_offset = fetcher->offsets[place];
        partition->partition_max_bytes = (int32_t)fetcher->plan->fetch_size;
    }
    fetcher->first = (fetcher->first + 1) % fetcher->share.count;
    topic.name = slice_of_string(fetcher->plan->topic);
    topic.partitions = fetcher->partitions;
    topic.partitions_count = fetcher->share.count;
    request.topics = &topic;
    request.topics_count = 1;
    request.max_wait_ms = fetcher->plan->max_wait_ms;
    request.min_bytes = fetcher->plan->min_bytes;
    request.max_bytes = (int32_t)fetcher->plan->fetch_size;
    arena_reset(&fetcher->arena);
    slice frame =
        wire_encode(&fetcher->arena, FETCH_KEY, FETCH_VERSION, (int32_t)id, SLICE_LITERAL("load"), &request);
    check(!slice_is_null(frame));
    memcpy(slot_memory(slot, frame.size), frame.data, frame.size);
    slot_add_piece(slot, slot->memory, frame.size);
}

static void time_batch(struct connection *connection, const struct batch_view *batch, uint64_t now)
{
    const struct fetcher *fetcher = connection->state;
    const struct engine *engine = connection->engine;
    uint64_t stamp = batch_stamp_ns(batch, fetcher->wall_to_monotonic_ns);
    if (stamp >= engine->begin_ns && stamp < atomic_load_explicit(&engine->end_ns, memory_order_relaxed))
        histogram_add(&connection->lane->latency, now > stamp ? now - stamp : 0);
}

/* Whole batches count; one that the answer's end cuts comes again. Whether the partition's end is reached. */
static bool take_partition(struct connection *connection, struct slot *slot,
                           const struct fetch_response_partition *partition, uint64_t now)
{
    struct fetcher *fetcher = connection->state;
    int64_t *offset = &fetcher->offsets[fetcher->place_of[partition->partition]];
    slice rest = partition->records.bytes;
    struct batch_view batch;
    if (partition->error_code != ERR_NONE)
        load_fail("Fetch: partition %d: error code %d", partition->partition, partition->error_code);
    while (batch_view(rest, &batch) == BATCH_OK) {
        if (fetcher->manner == FETCH_TAIL)
            time_batch(connection, &batch, now);
        *offset = batch_last_offset(&batch) + 1;
        slot->records += (uint32_t)batch.record_count;
        slot->size += batch.size;
        rest = slice_of(rest.data + batch.size, rest.size - batch.size);
    }
    return *offset >= partition->high_watermark;
}

/* By size, everything is read once; by time, again and again. */
static void go_back(struct connection *connection)
{
    struct fetcher *fetcher = connection->state;
    if (fetcher->manner != FETCH_FROM_START)
        return;
    if (fetcher->plan->total_size > 0)
        connection_exhaust(connection);
    for (int i = 0; i < fetcher->share.count; i++)
        fetcher->offsets[i] = fetcher->starts[fetcher->share.partitions[i]];
}

static void take(struct connection *connection, struct slot *slot, slice frame, uint64_t now)
{
    struct fetcher *fetcher = connection->state;
    struct fetch_response response;
    struct reader reader;
    bool all_at_end = true;
    int32_t id;
    arena_reset(&fetcher->arena);
    reader_init(&reader, frame, &fetcher->arena);
    if (!response_header_decode(&reader, FETCH_KEY, FETCH_VERSION, &id) ||
        !fetch_response_decode(&reader, FETCH_VERSION, &response))
        load_fail("Fetch: an answer that cannot be read");
    if (response.error_code != ERR_NONE)
        load_fail("Fetch: error code %d", response.error_code);
    for (int32_t t = 0; t < response.topics_count; t++)
        for (int32_t p = 0; p < response.topics[t].partitions_count; p++) {
            if (response.topics[t].partitions[p].partition >= fetcher->plan->partitions)
                load_fail("Fetch: a partition that was not asked for");
            if (!take_partition(connection, slot, &response.topics[t].partitions[p], now))
                all_at_end = false;
        }
    if (all_at_end)
        go_back(connection);
}

static const struct connection_kind timed = {
    .is_fetch = true, .answered = true, .make = make, .take = take
};
static const struct connection_kind tail = {
    .is_fetch = true, .answered = true, .times_itself = true, .make = make, .take = take
};

void fetch_init(struct connection *connection, const struct plan *plan, struct share share,
                const int64_t *offsets, enum fetch_manner manner)
{
    struct fetcher *fetcher = check_memory(calloc(1, sizeof *fetcher));
    fetcher->plan = plan;
    fetcher->manner = manner;
    fetcher->share = share;
    fetcher->starts = offsets;
    fetcher->wall_to_monotonic_ns = wall_to_monotonic_ns();
    fetcher->offsets = check_memory(calloc((size_t)share.count, sizeof *fetcher->offsets));
    fetcher->partitions = check_memory(calloc((size_t)share.count, sizeof *fetcher->partitions));
    fetcher->place_of = check_memory(calloc((size_t)plan->partitions, sizeof *fetcher->place_of));
    for (int i = 0; i < share.count; i++) {
        fetcher->offsets[i] = offsets[share.partitions[i]];
        fetcher->place_of[share.partitions[i]] = i;
    }
    arena_init(&fetcher->arena, NULL);
    connection->state = fetcher;
    connection->kind = manner == FETCH_TAIL ? &tail : &timed;
}
