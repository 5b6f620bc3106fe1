/* Produce requests: frames that stand ready, of which each request has a patched copy of the heads alone. */
#include <stdlib.h>
#include <time.h>

#include "codec/produce.h"
#include "protocol/api_schema.h"
#include "protocol/base/check.h"
#include "protocol/errors.h"
#include "tests/bench/load/batches.h"
#include "tests/bench/load/kinds.h"
#include "tests/bench/load/setup.h"
#include "tests/support/wire_client.h"

enum {
    PRODUCE_KEY = 0,
    PRODUCE_VERSION = 9,      /* by name: both brokers have it, and no later version says more about one */
    CORRELATION_POSITION = 8, /* in a frame with its length */
    TAIL_SIZE = 2,            /* tags of the topic and of the request */
    TIMEOUT_MS = 60000,
    VARIANTS_MAX = 64, /* different batches in turn, where they have keys */
    VARIANTS_SIZE_MAX = 8 << 20,
};

/* A whole request for `spread` partitions, each with the same batch. */
struct frame {
    slice bytes;
    struct ready_batch batch;
    size_t *batch_positions;
    size_t *partition_positions;
};

struct produce_source {
    const struct plan *plan;
    struct arena arena;
    int connections;
    int spread;
    struct frame frames[VARIANTS_MAX];
    int frame_count;
    int64_t *producer_ids;
    int producer_count;
};

struct producer {
    const struct produce_source *source;
    struct share share;
    int next_partition; /* of the share */
    int next_frame;
    int64_t *ids;       /* of its producers; NULL: it is not idempotent */
    int32_t *sequences; /* by producer and partition of the share */
    int id_count, next_id;
    struct arena arena; /* of an answer */
};

struct share share_of(int index, int connections, int partitions)
{
    struct share share = { .count = connections >= partitions
                                        ? 1
                                        : (partitions - index + connections - 1) / connections };
    share.partitions = check_memory(calloc((size_t)share.count, sizeof *share.partitions));
    for (int i = 0; i < share.count; i++)
        share.partitions[i] = connections >= partitions ? index % partitions : index + i * connections;
    return share;
}

/* --- frames -------------------------------------------------------------------------------------- */

static void encode_frame(struct produce_source *source, struct frame *frame)
{
    const struct plan *plan = source->plan;
    struct produce_request request;
    struct produce_request_topic topic;
    size_t spread = (size_t)source->spread;
    struct produce_request_partition *partitions =
        check_memory(arena_alloc_array(&source->arena, spread, sizeof *partitions));
    produce_request_init(&request);
    produce_request_topic_init(&topic);
    for (size_t i = 0; i < spread; i++) {
        produce_request_partition_init(&partitions[i]);
        partitions[i].records.bytes = slice_of(frame->batch.data, frame->batch.size);
    }
    topic.name = slice_of_string(plan->topic);
    topic.partitions = partitions;
    topic.partitions_count = source->spread;
    request.acks = (int16_t)plan->acks;
    request.timeout_ms = TIMEOUT_MS;
    request.topics = &topic;
    request.topics_count = 1;
    frame->bytes =
        wire_encode(&source->arena, PRODUCE_KEY, PRODUCE_VERSION, 0, SLICE_LITERAL("load"), &request);
    check(!slice_is_null(frame->bytes));
}

/* From the end: tags, then for each partition its number, the size of its records, these, and tags. */
static void find_positions(struct produce_source *source, struct frame *frame)
{
    size_t spread = (size_t)source->spread, size = frame->batch.size;
    size_t end = frame->bytes.size - TAIL_SIZE;
    frame->batch_positions = check_memory(arena_alloc_array(&source->arena, spread, sizeof(size_t)));
    frame->partition_positions = check_memory(arena_alloc_array(&source->arena, spread, sizeof(size_t)));
    for (size_t i = spread; i-- > 0;) {
        frame->batch_positions[i] = end - 1 - size;
        frame->partition_positions[i] = frame->batch_positions[i] - size_of_uvarint((uint32_t)size + 1) - 4;
        check(memcmp(frame->bytes.data + frame->batch_positions[i], frame->batch.data, size) == 0);
        end = frame->partition_positions[i];
    }
}

static void make_frames(struct produce_source *source)
{
    const struct plan *plan = source->plan;
    const struct batch_shape shape = { .record_size = plan->record_size,
                                       .batch_size = plan->batch_size,
                                       .codec = plan->codec,
                                       .keys = plan->keys };
    size_t size = 0;
    do {
        struct frame *frame = &source->frames[source->frame_count];
        ready_batch_make(&frame->batch, &shape, (uint32_t)source->frame_count, &source->arena);
        encode_frame(source, frame);
        find_positions(source, frame);
        size += frame->bytes.size;
        source->frame_count++;
    } while (plan->keys > 0 && source->frame_count < VARIANTS_MAX && size < VARIANTS_SIZE_MAX);
}

struct produce_source *produce_source_create(const struct plan *plan, int connections)
{
    struct produce_source *source = check_memory(calloc(1, sizeof *source));
    int share = connections >= plan->partitions ? 1 : plan->partitions / connections;
    source->plan = plan;
    source->connections = connections;
    source->spread = plan->spread < share ? plan->spread : share;
    arena_init(&source->arena, NULL);
    make_frames(source);
    if (plan->idempotent) {
        source->producer_count = plan->producers > connections ? plan->producers : connections;
        source->producer_ids =
            check_memory(calloc((size_t)source->producer_count, sizeof *source->producer_ids));
        setup_producer_ids(plan, source->producer_ids, source->producer_count);
    }
    return source;
}

size_t produce_source_request_size(const struct produce_source *source)
{
    size_t size = 0;
    for (int i = 0; i < source->frame_count; i++)
        size += source->frames[i].batch.size * (size_t)source->spread;
    return size / (size_t)source->frame_count;
}

/* --- requests ------------------------------------------------------------------------------------ */

/* The next sequence of a producer in a partition, which moves on by count; behind the largest comes 0. */
static int32_t take_sequence(struct producer *producer, int place, int32_t count)
{
    int32_t *next = &producer->sequences[producer->next_id * producer->share.count + place];
    int32_t sequence = *next;
    *next = (int32_t)(((uint32_t)sequence + (uint32_t)count) & INT32_MAX);
    return sequence;
}

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Adds partition number i of the request: what stands before its batch, the head of that, and its rest. */
static uint8_t *add_partition(struct producer *producer, struct slot *slot, const struct frame *frame, int i,
                              struct batch_patch *patch, uint8_t *memory)
{
    const struct ready_batch *batch = &frame->batch;
    bool is_last = i == producer->source->spread - 1;
    size_t begin = i == 0 ? 0 : frame->batch_positions[i - 1] + batch->size;
    size_t rest = frame->batch_positions[i] + batch->head_size;
    size_t end = is_last ? frame->bytes.size : frame->batch_positions[i] + batch->size;
    int place = producer->next_partition;
    producer->next_partition = (place + 1) % producer->share.count;
    memcpy(memory, frame->bytes.data + begin, rest - begin);
    store_be32(memory + frame->partition_positions[i] - begin, (uint32_t)producer->share.partitions[place]);
    if (producer->ids)
        patch->base_sequence = take_sequence(producer, place, batch->records);
    ready_batch_patch(batch, patch, memory + frame->batch_positions[i] - begin);
    slot_add_piece(slot, memory, rest - begin);
    slot_add_piece(slot, frame->bytes.data + rest, end - rest);
    return memory + (rest - begin);
}

static size_t heads_size(const struct produce_source *source, const struct frame *frame)
{
    return frame->batch_positions[0] + (size_t)source->spread * (frame->batch.head_size + 16);
}

static void make(struct connection *connection, struct slot *slot, uint32_t id)
{
    struct producer *producer = connection->state;
    const struct produce_source *source = producer->source;
    const struct frame *frame = &source->frames[producer->next_frame];
    struct batch_patch patch = {
        .stamp_ns = slot->due_ns, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1
    };
    patch.timestamp_ms = wall_ms() - (int64_t)(now_ns() - slot->due_ns) / 1000000;
    if (producer->ids) {
        patch.producer_id = producer->ids[producer->next_id];
        patch.producer_epoch = 0;
    }
    uint8_t *first = slot_memory(slot, heads_size(source, frame)), *memory = first;
    for (int i = 0; i < source->spread; i++)
        memory = add_partition(producer, slot, frame, i, &patch, memory);
    store_be32(first + CORRELATION_POSITION, id);
    slot->size = frame->batch.size * (size_t)source->spread;
    slot->records = (uint32_t)(frame->batch.records * source->spread);
    producer->next_frame = (producer->next_frame + 1) % source->frame_count;
    if (producer->ids)
        producer->next_id = (producer->next_id + 1) % producer->id_count;
}

static void take(struct connection *connection, struct slot *slot, slice frame, uint64_t now)
{
    struct producer *producer = connection->state;
    struct produce_response response;
    struct reader reader;
    int32_t id;
    (void)slot, (void)now;
    arena_reset(&producer->arena);
    reader_init(&reader, frame, &producer->arena);
    if (!response_header_decode(&reader, PRODUCE_KEY, PRODUCE_VERSION, &id) ||
        !produce_response_decode(&reader, PRODUCE_VERSION, &response))
        load_fail("Produce: an answer that cannot be read");
    for (int32_t t = 0; t < response.topics_count; t++)
        for (int32_t p = 0; p < response.topics[t].partitions_count; p++)
            if (response.topics[t].partitions[p].error_code != ERR_NONE)
                load_fail("Produce: partition %d: error code %d", response.topics[t].partitions[p].partition,
                          response.topics[t].partitions[p].error_code);
}

static void take_nothing(struct connection *connection, struct slot *slot, slice frame, uint64_t now)
{
    (void)connection, (void)slot, (void)frame, (void)now;
    load_fail("Produce: an answer to acks=0");
}

static const struct connection_kind answered = {
    .answered = true, .drains = true, .make = make, .take = take
};
static const struct connection_kind unanswered = { .drains = true, .make = make, .take = take_nothing };

void produce_init(struct connection *connection, struct produce_source *source, int index)
{
    struct producer *producer = check_memory(calloc(1, sizeof *producer));
    producer->source = source;
    producer->share = share_of(index, source->connections, source->plan->partitions);
    arena_init(&producer->arena, NULL);
    for (int i = index; i < source->producer_count; i += source->connections)
        producer->id_count++;
    if (producer->id_count > 0) {
        producer->ids = check_memory(calloc((size_t)producer->id_count, sizeof *producer->ids));
        producer->sequences = check_memory(
            calloc((size_t)producer->id_count * (size_t)producer->share.count, sizeof *producer->sequences));
        for (int i = 0; i < producer->id_count; i++)
            producer->ids[i] = source->producer_ids[index + i * source->connections];
    }
    connection->state = producer;
    connection->kind = source->plan->acks == 0 ? &unanswered : &answered;
}
