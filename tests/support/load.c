/* Produces and fetches over many connections with ready-made batches. */
#include "tests/support/load.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/check.h"
#include "protocol/errors.h"
#include "tests/support/one_partition.h"
#include "tests/support/wire_client.h"

enum {
    API_KEY_PRODUCE = 0,
    API_KEY_FETCH = 1,
    API_KEY_METADATA = 3,
    PRODUCE_VERSION = 9,
    FETCH_VERSION = 12,
    METADATA_VERSION = 9,
    TIMEOUT_MS = 60000,
    CORRELATION_POSITION = 8, /* in a request frame with its length */
};

struct worker {
    const struct load_options *options;
    int index;
    uint64_t size_wanted;
    uint64_t size;
    uint64_t requests;
    pthread_t thread;
};

void load_make_topic(const char *address, const char *topic)
{
    double until = monotonic_seconds() + 30;
    struct wire_client client;
    check(wire_connect(&client, address, TIMEOUT_MS));
    for (bool ready = false; !ready;) {
        check(monotonic_seconds() < until);
        struct one_metadata one;
        struct metadata_response response;
        one_metadata(&one, slice_of_string(topic));
        check(wire_call(&client, API_KEY_METADATA, METADATA_VERSION, &one.request, &response));
        ready = response.topics_count == 1 && response.topics[0].error_code == ERR_NONE &&
                response.topics[0].partitions_count > 0;
        for (int32_t i = 0; ready && i < response.topics[0].partitions_count; i++)
            ready = response.topics[0].partitions[i].leader_id >= 0;
    }
    wire_close(&client);
}

/* Records of record_size until the batch has about batch_size bytes. */
static struct batch_view make_batch(struct arena *arena, const struct load_options *options)
{
    static const struct batch_builder_options header = { NO_PRODUCER };
    struct batch_builder *builder = batch_builder_open(arena, &header);
    uint8_t *value = check_memory(arena_alloc(arena, options->record_size));
    for (size_t i = 0; i < options->record_size; i++)
        value[i] = (uint8_t)('a' + i % 26);
    do
        check(batch_builder_add(builder, 1700000000000, SLICE_NULL, slice_of(value, options->record_size), NULL, 0));
    while (batch_builder_size(builder) + options->record_size + 16 <= options->batch_size);
    struct batch_view batch;
    check(batch_builder_finish(builder, &batch) == BATCH_OK);
    return batch;
}

static slice make_produce_frame(struct arena *arena, const struct worker *worker, size_t *batch_size)
{
    struct batch_view batch = make_batch(arena, worker->options);
    struct one_produce one;
    one_produce(&one, worker->options->topic, worker->index, batch_bytes(&batch));
    one.request.acks = worker->options->acks;
    one.request.timeout_ms = TIMEOUT_MS;
    *batch_size = batch.size;
    return wire_encode(arena, API_KEY_PRODUCE, PRODUCE_VERSION, 0, SLICE_LITERAL("load"), &one.request);
}

static void *run_producer(void *context)
{
    struct worker *worker = context;
    struct arena arena;
    struct wire_client client;
    size_t batch_size;
    arena_init(&arena, NULL);
    slice frame = make_produce_frame(&arena, worker, &batch_size);
    check(!slice_is_null(frame) && wire_connect(&client, worker->options->address, TIMEOUT_MS));
    uint64_t count = (worker->size_wanted + batch_size - 1) / batch_size;
    uint64_t sent = 0, answered = 0;
    while (answered < count) {
        while (sent < count && sent - answered < (uint64_t)worker->options->depth) {
            store_be32((uint8_t *)frame.data + CORRELATION_POSITION, (uint32_t)++sent);
            check(wire_send_bytes(&client, frame.data, frame.size));
        }
        struct produce_response response;
        check(wire_receive(&client, API_KEY_PRODUCE, PRODUCE_VERSION, (int32_t)++answered, &response));
        check(response.topics[0].partitions[0].error_code == ERR_NONE);
    }
    worker->size = count * batch_size;
    worker->requests = count;
    wire_close(&client);
    arena_destroy(&arena);
    return NULL;
}

/* Offset behind the last whole batch; *size is what whole batches take. */
static int64_t behind_last_batch(slice records, int64_t offset, size_t *size)
{
    struct batch_view batch;
    *size = 0;
    while (batch_view(slice_of(records.data + *size, records.size - *size), &batch) == BATCH_OK) {
        offset = batch_last_offset(&batch) + 1;
        *size += batch.size;
    }
    return offset;
}

static void *run_fetcher(void *context)
{
    struct worker *worker = context;
    struct wire_client client;
    check(wire_connect(&client, worker->options->address, TIMEOUT_MS));
    int64_t offset = 0;
    while (worker->size < worker->size_wanted) {
        struct one_fetch one;
        struct fetch_response response;
        one_fetch(&one, worker->options->topic, worker->index, offset);
        one.partition.partition_max_bytes = (int32_t)worker->options->fetch_size;
        one.request.max_bytes = INT32_MAX;
        one.request.max_wait_ms = 1000;
        check(wire_call(&client, API_KEY_FETCH, FETCH_VERSION, &one.request, &response));
        check(response.topics[0].partitions[0].error_code == ERR_NONE);
        size_t size;
        offset = behind_last_batch(response.topics[0].partitions[0].records.bytes, offset, &size);
        check(size > 0);
        worker->size += size;
        worker->requests++;
    }
    wire_close(&client);
    return NULL;
}

static struct load_result run(const struct load_options *options, void *(*body)(void *))
{
    struct worker *workers = check_memory(calloc((size_t)options->connections, sizeof *workers));
    struct load_result result = { 0 };
    double cpu = options->broker ? process_cpu_seconds(options->broker) : 0;
    double begin = monotonic_seconds();
    for (int i = 0; i < options->connections; i++) {
        workers[i] = (struct worker){ .options = options, .index = i,
                                      .size_wanted = options->total_size / (uint64_t)options->connections };
        check(pthread_create(&workers[i].thread, NULL, body, &workers[i]) == 0);
    }
    for (int i = 0; i < options->connections; i++) {
        pthread_join(workers[i].thread, NULL);
        result.size += workers[i].size;
        result.requests += workers[i].requests;
    }
    result.seconds = monotonic_seconds() - begin;
    result.broker_cpu_seconds = options->broker ? process_cpu_seconds(options->broker) - cpu : 0;
    free(workers);
    return result;
}

struct load_result load_produce(const struct load_options *options)
{
    return run(options, run_producer);
}

struct load_result load_fetch(const struct load_options *options)
{
    return run(options, run_fetcher);
}
