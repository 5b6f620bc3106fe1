/* Servers that bound any other: one answers Produce as Kafka does and forgets it, or writes it to files and does
 * nothing else; one sends back what it gets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "codec/api_versions.h"
#include "codec/apis.h"
#include "codec/init_producer_id.h"
#include "codec/list_offsets.h"
#include "codec/metadata.h"
#include "codec/produce.h"
#include "protocol/base/check.h"
#include "tests/bench/load/arguments.h"
#include "tests/bench/load/limit_server.h"
#include "tests/bench/load/limits.h"

enum {
    KEY_PRODUCE = 0,
    KEY_LIST_OFFSETS = 2,
    KEY_METADATA = 3,
    KEY_API_VERSIONS = 18,
    KEY_INIT_PRODUCER_ID = 22,
    LENGTH_SIZE = 4,
    NODE = 1,
    PARTS_MAX = 256,
    SINKS_MAX = 64,
    WRITE_SIZE_MAX = 256 << 10, /* longer ones cost more: storage/file_posix.c */
};

/* What it says it can; by names, never by topic ids. */
static const struct api_versions_response_api_key served[] = {
    { KEY_PRODUCE, 0, 9 },      { KEY_LIST_OFFSETS, 1, 6 },     { KEY_METADATA, 0, 9 },
    { KEY_API_VERSIONS, 0, 3 }, { KEY_INIT_PRODUCER_ID, 0, 4 },
};

/* What one partition was sent. */
struct sink_file {
    int descriptor;
    off_t end;
};

struct sink {
    const struct limit_options *options;
    struct sink_file *files; /* one to a partition; NULL: it forgets */
    int port;
    int64_t next_offset, next_producer_id;
    struct arena arena;
    struct chain chain; /* the answers to what one recv() brought */
};

/* --- answers ------------------------------------------------------------------------------------- */

static void answer_api_versions(struct sink *sink, const void *request, void *out)
{
    struct api_versions_response *response = out;
    (void)request;
    size_t size = sizeof served;
    response->api_keys = check_memory(arena_alloc(&sink->arena, size));
    memcpy(response->api_keys, served, size);
    response->api_keys_count = sizeof served / sizeof *served;
}

static void describe_topic(struct sink *sink, slice name, struct metadata_response_topic *out)
{
    size_t count = (size_t)sink->options->partitions;
    metadata_response_topic_init(out);
    out->name = name;
    out->partitions = check_memory(arena_alloc_array(&sink->arena, count, sizeof *out->partitions));
    out->partitions_count = (int32_t)count;
    int32_t *node = check_memory(arena_alloc(&sink->arena, sizeof *node));
    *node = NODE;
    for (size_t i = 0; i < count; i++) {
        struct metadata_response_partition *partition = &out->partitions[i];
        metadata_response_partition_init(partition);
        partition->partition = (int32_t)i;
        partition->leader_id = NODE;
        partition->leader_epoch = 0;
        partition->replica_nodes = partition->isr_nodes = node;
        partition->replica_nodes_count = partition->isr_nodes_count = 1;
    }
}

static void answer_metadata(struct sink *sink, const void *in, void *out)
{
    const struct metadata_request *request = in;
    struct metadata_response *response = out;
    response->brokers = check_memory(arena_alloc(&sink->arena, sizeof *response->brokers));
    metadata_response_broker_init(response->brokers);
    response->brokers->node_id = NODE;
    response->brokers->host = SLICE_LITERAL("127.0.0.1");
    response->brokers->port = sink->port;
    response->brokers_count = 1;
    response->controller_id = NODE;
    response->cluster_id = SLICE_LITERAL("sink");
    response->topics = check_memory(
        arena_alloc_array(&sink->arena, (size_t)request->topics_count + 1, sizeof *response->topics));
    response->topics_count = request->topics_count;
    for (int32_t i = 0; i < request->topics_count; i++)
        describe_topic(sink, request->topics[i].name, &response->topics[i]);
}

static void write_records(struct sink *sink, int32_t partition, slice records)
{
    if (!sink->files)
        return;
    if (partition < 0 || partition >= sink->options->partitions)
        load_fail("the sink has no partition %d", partition);
    struct sink_file *file = &sink->files[partition];
    for (size_t done = 0, size; done < records.size; done += size) {
        size = records.size - done < WRITE_SIZE_MAX ? records.size - done : WRITE_SIZE_MAX;
        struct iovec piece = { (void *)(records.data + done), size };
        if (pwritev(file->descriptor, &piece, 1, file->end) != (ssize_t)size)
            load_fail("the sink cannot write: %s", strerror(errno));
        file->end += (off_t)size;
    }
}

static void answer_produce(struct sink *sink, const void *in, void *out)
{
    const struct produce_request *request = in;
    struct produce_response *response = out;
    response->topics = check_memory(
        arena_alloc_array(&sink->arena, (size_t)request->topics_count + 1, sizeof *response->topics));
    response->topics_count = request->topics_count;
    for (int32_t t = 0; t < request->topics_count; t++) {
        const struct produce_request_topic *asked = &request->topics[t];
        struct produce_response_topic *topic = &response->topics[t];
        produce_response_topic_init(topic);
        topic->name = asked->name;
        topic->partitions = check_memory(
            arena_alloc_array(&sink->arena, (size_t)asked->partitions_count + 1, sizeof *topic->partitions));
        topic->partitions_count = asked->partitions_count;
        for (int32_t p = 0; p < asked->partitions_count; p++) {
            produce_response_partition_init(&topic->partitions[p]);
            write_records(sink, asked->partitions[p].partition, asked->partitions[p].records.bytes);
            topic->partitions[p].partition = asked->partitions[p].partition;
            topic->partitions[p].base_offset = sink->next_offset++;
            topic->partitions[p].log_start_offset = 0;
        }
    }
}

static void answer_list_offsets(struct sink *sink, const void *in, void *out)
{
    const struct list_offsets_request *request = in;
    struct list_offsets_response *response = out;
    response->topics = check_memory(
        arena_alloc_array(&sink->arena, (size_t)request->topics_count + 1, sizeof *response->topics));
    response->topics_count = request->topics_count;
    for (int32_t t = 0; t < request->topics_count; t++) {
        const struct list_offsets_request_topic *asked = &request->topics[t];
        struct list_offsets_response_topic *topic = &response->topics[t];
        list_offsets_response_topic_init(topic);
        topic->name = asked->name;
        topic->partitions = check_memory(
            arena_alloc_array(&sink->arena, (size_t)asked->partitions_count + 1, sizeof *topic->partitions));
        topic->partitions_count = asked->partitions_count;
        for (int32_t p = 0; p < asked->partitions_count; p++) {
            list_offsets_response_partition_init(&topic->partitions[p]);
            topic->partitions[p].partition = asked->partitions[p].partition;
            topic->partitions[p].offset = sink->next_offset;
        }
    }
}

static void answer_init_producer_id(struct sink *sink, const void *in, void *out)
{
    struct init_producer_id_response *response = out;
    (void)in;
    response->producer_id = sink->next_producer_id++;
    response->producer_epoch = 0;
}

/* --- frames -------------------------------------------------------------------------------------- */

typedef void answer_fn(struct sink *sink, const void *request, void *out);

static answer_fn *answer_of(int16_t key)
{
    switch (key) {
    case KEY_PRODUCE:
        return answer_produce;
    case KEY_LIST_OFFSETS:
        return answer_list_offsets;
    case KEY_METADATA:
        return answer_metadata;
    case KEY_API_VERSIONS:
        return answer_api_versions;
    case KEY_INIT_PRODUCER_ID:
        return answer_init_producer_id;
    default:
        load_fail("the sink has no api key %d", key);
    }
}

static void take_frame(struct sink *sink, slice frame)
{
    struct request_header header;
    struct reader reader;
    struct writer writer;
    reader_init(&reader, frame, &sink->arena);
    if (!request_header_decode(&reader, &header))
        load_fail("the sink met a header that it cannot read");
    const struct api_schema *schema = check_memory((void *)api_schema_find(header.api_key));
    answer_fn *answer = answer_of(header.api_key);
    void *request = check_memory(arena_alloc(&sink->arena, schema->request.struct_size));
    void *response = check_memory(arena_alloc(&sink->arena, schema->response.struct_size));
    schema->response.init(response);
    if (!schema->request.decode(&reader, header.api_version, request))
        load_fail("the sink met a request of api key %d that it cannot read", header.api_key);
    answer(sink, request, response);
    if (header.api_key == KEY_PRODUCE && ((const struct produce_request *)request)->acks == 0)
        return;
    writer_init(&writer, &sink->chain);
    check(writer_begin_frame(&writer) &&
          response_header_encode(&writer, header.api_key, header.api_version, header.correlation_id) &&
          schema->response.encode(&writer, header.api_version, response) && writer_end_frame(&writer));
}

static void send_answers(struct sink *sink, int descriptor)
{
    struct iovec pieces[PARTS_MAX];
    for (size_t i = 0; i < sink->chain.count;) {
        size_t count = 0;
        for (; count < PARTS_MAX && i < sink->chain.count; i++, count++)
            pieces[count] =
                (struct iovec){ (void *)sink->chain.parts[i].bytes.data, sink->chain.parts[i].bytes.size };
        limit_send(descriptor, pieces, count);
    }
}

static size_t sink_take(void *context, int descriptor, const uint8_t *bytes, size_t size, size_t *wanted)
{
    struct sink *sink = context;
    size_t taken = 0;
    arena_reset(&sink->arena);
    chain_init(&sink->chain, &sink->arena);
    while (size - taken >= LENGTH_SIZE) {
        size_t frame_size = load_be32(bytes + taken);
        if (size - taken < LENGTH_SIZE + frame_size) {
            *wanted = LENGTH_SIZE + frame_size;
            break;
        }
        take_frame(sink, slice_of(bytes + taken + LENGTH_SIZE, frame_size));
        taken += LENGTH_SIZE + frame_size;
    }
    send_answers(sink, descriptor);
    return taken;
}

static void keep_port(void *context, int port)
{
    struct sink *sink = context;
    sink->port = port;
}

static struct sink_file *open_files(const struct limit_options *options)
{
    size_t count = (size_t)options->partitions;
    struct sink_file *files = check_memory(calloc(count, sizeof *files));
    for (size_t i = 0; i < count; i++)
        files[i].descriptor = limit_open_file(options->directory);
    return files;
}

void limit_sink(const struct limit_options *options)
{
    static struct sink sinks[SINKS_MAX];
    void *contexts[SINKS_MAX];
    long cores = options->directory ? sysconf(_SC_NPROCESSORS_ONLN) : 1;
    size_t count = cores < 1 ? 1 : cores > SINKS_MAX ? SINKS_MAX : (size_t)cores;

    for (size_t i = 0; i < count; i++) {
        sinks[i] = (struct sink){ .options = options, .next_producer_id = 1000 * (int64_t)(i + 1) };
        arena_init(&sinks[i].arena, NULL);
        if (options->directory)
            sinks[i].files = open_files(options);
        contexts[i] = &sinks[i];
    }
    limit_serve(options->listen, sink_take, keep_port, contexts, count); /* all goes with the process */
}

/* --- echo ---------------------------------------------------------------------------------------- */

static size_t echo_take(void *context, int descriptor, const uint8_t *bytes, size_t size, size_t *wanted)
{
    struct iovec piece = { (void *)bytes, size };
    (void)context, (void)wanted;
    limit_send(descriptor, &piece, 1);
    return size;
}

static void forget_port(void *context, int port)
{
    (void)context, (void)port;
}

void limit_echo(const struct limit_options *options)
{
    void *nothing = NULL;
    limit_serve(options->listen, echo_take, forget_port, &nothing, 1);
}
