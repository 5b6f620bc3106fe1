/* Requests whose names and numbers mean something to the broker, and streams of them that change. */
#include "tests/support/frame_mutator.h"

#include "broker/dispatch.h"
#include "codec/apis.h"
#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "tests/support/one_partition.h"
#include "tests/support/random_message.h"
#include "tests/support/sim.h"
#include "tests/support/wire_client.h"

enum { FRAMES_MAX = 64, LENGTH_SIZE = 4, HEADER_SIZE = 8, CORRELATION_POSITION = 8 };

/* The chooser has no context of its own: one thread fuzzes. */
static const struct frame_mutator *known;

/* -- what the broker draws ------------------------------------------------------------------------------ */

void frame_mutator_learn(struct frame_mutator *mutator, uint64_t seed, const char *settings)
{
    static const char *const names[FRAME_MUTATOR_IDS] = { "a", "b", "c", "e" };
    struct sim sim;
    struct sim_client client;
    sim_open(&sim, seed, settings);
    sim_connect(&sim, &client);
    for (size_t i = 0; i < FRAME_MUTATOR_IDS; i++) {
        struct one_metadata make;
        struct metadata_response made;
        one_metadata(&make, slice_of_string(names[i]));
        check(sim_call(&client, ONE_METADATA, 12, &make.request, &made));
        mutator->topic_ids[i] = made.topics[0].topic_id;
    }
    for (size_t i = 0; i < FRAME_MUTATOR_IDS; i++) {
        struct one_fetch fetch;
        struct fetch_response fetched;
        one_fetch(&fetch, "a", 0, 0);
        fetch.request.session_epoch = 0;
        check(sim_call(&client, ONE_FETCH, 12, &fetch.request, &fetched));
        mutator->session_ids[i] = fetched.session_id;
    }
    sim_disconnect(&client);
    sim_close(&sim);
}

/* -- values that mean something ------------------------------------------------------------------------ */

static const char *pick(struct random *random, const char *const *words, size_t count)
{
    return words[random_below(random, count)];
}

#define PICK(random, words) pick(random, words, sizeof(words) / sizeof *(words))

static const char *const topic_names[] = { "a",       "a", "b", "b", "c", "d.e", "d_e", "__consumer_offsets",
                                           "no name", "" };
static const char *const setting_names[] = { "retention.ms",
                                             "cleanup.policy",
                                             "segment.bytes",
                                             "flush.messages",
                                             "max.message.bytes",
                                             "compression.type",
                                             "min.insync.replicas",
                                             "message.timestamp.type",
                                             "consumer.session.timeout.ms",
                                             "consumer.heartbeat.interval.ms",
                                             "share.auto.offset.reset",
                                             "no.such.setting" };
static const char *const setting_values[] = { "-1",
                                              "0",
                                              "1",
                                              "2",
                                              "1000",
                                              "1048576",
                                              "9223372036854775807",
                                              "compact",
                                              "delete",
                                              "compact,delete",
                                              "zstd",
                                              "producer",
                                              "LogAppendTime",
                                              "50000",
                                              "by_duration:P1DT2H3.5S",
                                              "x" };
static const char *const other_words[] = { "a", "test", "1.0", "group", "1", "" };

static slice word_for(struct random *random, const struct field_schema *field)
{
    if (field->entity && strcmp(field->entity, "transactional_id") == 0)
        return random_below(random, 4) ? SLICE_NULL : SLICE_LITERAL("t");
    if (field->entity && strcmp(field->entity, "topic") == 0)
        return slice_of_string(PICK(random, topic_names));
    if (strcmp(field->name, "resource_name") == 0)
        return slice_of_string(PICK(random, topic_names));
    if (strcmp(field->name, "name") == 0 || strcmp(field->name, "configuration_keys") == 0)
        return slice_of_string(PICK(random, setting_names));
    if (strcmp(field->name, "value") == 0)
        return slice_of_string(PICK(random, setting_values));
    return slice_of_string(PICK(random, other_words));
}

static int64_t number_for(struct random *random, const struct field_schema *field)
{
    static const int64_t deletions[] = { -1, -1, -2, INT64_MIN, INT32_MAX, INT64_MAX };
    static const int64_t usual[] = { 0, 0, 0, 1, 1, 2, 3, -1, -1, -2, 5, 100, 10000, 1 << 20, INT32_MAX };
    if (field->entity && strcmp(field->entity, "broker") == 0)
        return random_below(random, 4) ? 1 : (int64_t)random_below(random, 4) - 1;
    if (strcmp(field->name, "session_id") == 0)
        return random_below(random, 4) ? known->session_ids[random_below(random, FRAME_MUTATOR_IDS)] : 0;
    if (strcmp(field->name, "session_epoch") == 0)
        return (int64_t)random_below(random, 6) - 1;
    if (strcmp(field->name, "resource_type") == 0)
        return random_below(random, 4) ? 2 : 4 << random_below(random, 4);
    if (strcmp(field->name, "resource_types") == 0)
        return 2 << random_below(random, 5);
    if (strcmp(field->name, "config_operation") == 0)
        return (int64_t)random_below(random, 5);
    if (strstr(field->name, "timeout_ms") || strstr(field->name, "max_wait"))
        return random_below(random, 3) ? 0 : 1000;
    if (strcmp(field->name, "replication_factor") == 0)
        return random_below(random, 4) ? 1 : -1;
    if (strcmp(field->name, "num_partitions") == 0 || strcmp(field->name, "count") == 0)
        return (int64_t)random_below(random, 7) - 1;
    if (strcmp(field->name, "producer_id") == 0 || strcmp(field->name, "producer_epoch") == 0)
        return random_below(random, 4) ? -1 : (int64_t)random_below(random, 3);
    if (strcmp(field->name, "acks") == 0)
        return (int64_t)random_below(random, 4) - 1;
    if (strcmp(field->name, "key_type") == 0 || strcmp(field->name, "endpoint_type") == 0)
        return (int64_t)random_below(random, 4);
    if (strcmp(field->name, "offset") ==
        0) /* DeleteRecords: to the end, a little, beyond it, and what is none */
        return random_below(random, 3)
                   ? (int64_t)random_below(random, 6) - 1
                   : deletions[random_below(random, sizeof deletions / sizeof *deletions)];
    if (strcmp(field->name, "partition_index") == 0)
        return random_below(random, 4) ? (int64_t)random_below(random, 3)
                                       : (int64_t)random_below(random, 64) - 2;
    return usual[random_below(random, sizeof usual / sizeof *usual)];
}

/* Small valid batches of a few producers whose sequences follow each other, or do not. */
static slice records_for(struct random *random, struct arena *arena)
{
    struct batch_builder_options options = { NO_PRODUCER,
                                             .attributes = (uint16_t)random_below(random, CODEC_COUNT) };
    if (random_below(random, 3) > 0) {
        options.producer_id = (int64_t)random_below(random, 3);
        options.producer_epoch = (int16_t)random_below(random, 2);
        options.base_sequence = random_below(random, 8) ? (int32_t)random_below(random, 5) : INT32_MAX;
    }
    if (random_below(random, 16) == 0)
        options.attributes |= BATCH_ATTRIBUTE_TRANSACTIONAL;
    struct batch_view batch = small_batch(arena, &options, 1 + (int)random_below(random, 3));
    return batch_bytes(&batch);
}

static bool choose(struct random *random, struct arena *arena, const struct field_schema *field, void *at)
{
    if (random_below(random, 24) == 0)
        return false;
    int64_t number;
    switch (field->type) {
    case FIELD_STRING:
        *(slice *)at = word_for(random, field);
        return true;
    case FIELD_RECORDS:
        *(struct records *)at = (struct records){ records_for(random, arena), NULL };
        return true;
    case FIELD_UUID:
        *(uuid *)at = known->topic_ids[random_below(random, FRAME_MUTATOR_IDS)];
        return true;
    case FIELD_INT8:
        *(int8_t *)at = (int8_t)number_for(random, field);
        return true;
    case FIELD_INT16:
        *(int16_t *)at = (int16_t)number_for(random, field);
        return true;
    case FIELD_INT32:
        number = number_for(random, field);
        memcpy(at, &(int32_t){ (int32_t)number }, sizeof(int32_t));
        return true;
    case FIELD_INT64:
        number = number_for(random, field);
        memcpy(at, &number, sizeof number);
        return true;
    case FIELD_BOOL:
    case FIELD_UINT16:
    case FIELD_UINT32:
    case FIELD_FLOAT64:
    case FIELD_BYTES:
    case FIELD_STRUCT:
        return false;
    }
    check_unreachable("field_type");
}

slice frame_mutator_request(const struct frame_mutator *mutator, struct random *random, struct arena *arena,
                            int16_t api_key, int16_t version, int32_t correlation_id)
{
    const struct api_schema *schema = api_schema_find(api_key);
    void *request = check_memory(arena_alloc(arena, schema->request.struct_size));
    known = mutator;
    chosen_message(random, arena, schema->request.fields, version, choose, request);
    slice frame = wire_encode(arena, api_key, version, correlation_id, SLICE_LITERAL("fuzz"), request);
    return slice_is_null(frame) ? SLICE_LITERAL("") : frame;
}

/* -- a stream of frames ---------------------------------------------------------------------------------- */

/* Frames with their lengths; what is behind the last whole one is a piece as well. */
struct stream {
    slice frames[FRAMES_MAX + 1];
    size_t count;
};

static void split(slice bytes, struct stream *out)
{
    out->count = 0;
    while (bytes.size > 0 && out->count < FRAMES_MAX) {
        size_t size = bytes.size;
        if (size >= LENGTH_SIZE && load_be32(bytes.data) <= size - LENGTH_SIZE)
            size = LENGTH_SIZE + load_be32(bytes.data);
        out->frames[out->count++] = slice_of(bytes.data, size);
        bytes = slice_of(bytes.data + size, bytes.size - size);
    }
}

static size_t join(const struct stream *stream, struct arena *arena, uint8_t *out, size_t size_max)
{
    uint8_t *joined = check_memory(arena_alloc(arena, size_max));
    size_t size = 0;
    for (size_t i = 0; i < stream->count; i++) {
        slice frame = stream->frames[i];
        if (frame.size > size_max - size)
            break;
        memcpy(joined + size, frame.data, frame.size);
        if (frame.size >= LENGTH_SIZE + HEADER_SIZE)
            store_be32(joined + size + CORRELATION_POSITION, (uint32_t)i);
        size += frame.size;
    }
    memcpy(out, joined, size);
    return size;
}

static int16_t any_version(struct random *random, const struct api_row *row)
{
    return (int16_t)(row->served_min +
                     (int)random_below(random, (uint64_t)(row->served_max - row->served_min + 1)));
}

static slice new_request(const struct frame_mutator *mutator, struct random *random, struct arena *arena)
{
    size_t count;
    const struct api_row *rows = api_rows(&count);
    const struct api_row *row = &rows[random_below(random, count)];
    return frame_mutator_request(mutator, random, arena, row->key, any_version(random, row), 0);
}

static void insert(struct stream *stream, size_t place, slice frame)
{
    if (stream->count > FRAMES_MAX - 1 || frame.size == 0)
        return;
    memmove(&stream->frames[place + 1], &stream->frames[place],
            (stream->count - place) * sizeof *stream->frames);
    stream->frames[place] = frame;
    stream->count++;
}

static void drop(struct stream *stream, size_t place)
{
    stream->count--;
    memmove(&stream->frames[place], &stream->frames[place + 1],
            (stream->count - place) * sizeof *stream->frames);
}

/* The body as bytes; the length is right again afterwards. */
static slice changed_body(slice frame, struct arena *arena, size_t (*mutate_bytes)(uint8_t *, size_t, size_t))
{
    enum { ROOM = 64 };
    if (frame.size < LENGTH_SIZE + HEADER_SIZE)
        return frame;
    uint8_t *copy = check_memory(arena_alloc(arena, frame.size + ROOM));
    memcpy(copy, frame.data, frame.size);
    size_t fixed = LENGTH_SIZE + HEADER_SIZE, size = frame.size - fixed;
    size = mutate_bytes(copy + fixed, size, size + ROOM);
    store_be32(copy, (uint32_t)(HEADER_SIZE + size));
    return slice_of(copy, fixed + size);
}

/* The same request in another version, its body made anew: what it meant is kept by its place in the stream.
 */
static slice another_like(const struct frame_mutator *mutator, struct random *random, struct arena *arena,
                          slice frame)
{
    if (frame.size < LENGTH_SIZE + HEADER_SIZE)
        return frame;
    const struct api_row *row = api_row_find((int16_t)load_be16(frame.data + LENGTH_SIZE));
    if (!row)
        return frame;
    return frame_mutator_request(mutator, random, arena, row->key, any_version(random, row), 0);
}

static void change(const struct frame_mutator *mutator, struct random *random, struct arena *arena,
                   struct stream *stream, size_t (*mutate_bytes)(uint8_t *, size_t, size_t))
{
    size_t place = random_below(random, stream->count + 1), other;
    bool is_frame = place < stream->count;
    switch (random_below(random, 8)) {
    case 0:
    case 1:
    case 2:
        insert(stream, place, new_request(mutator, random, arena));
        return;
    case 3:
        if (is_frame && stream->count > 1)
            drop(stream, place);
        return;
    case 4: /* the same again, as a client that heard nothing */
        if (is_frame)
            insert(stream, place, stream->frames[place]);
        return;
    case 5:
        if (is_frame) {
            other = random_below(random, stream->count);
            slice frame = stream->frames[place];
            stream->frames[place] = stream->frames[other];
            stream->frames[other] = frame;
        }
        return;
    case 6:
        if (is_frame)
            stream->frames[place] = another_like(mutator, random, arena, stream->frames[place]);
        return;
    default:
        if (is_frame)
            stream->frames[place] = changed_body(stream->frames[place], arena, mutate_bytes);
    }
}

size_t frame_mutator_run(const struct frame_mutator *mutator, uint8_t *data, size_t size, size_t size_max,
                         uint64_t seed, size_t (*mutate_bytes)(uint8_t *data, size_t size, size_t size_max))
{
    struct random random;
    struct arena arena;
    struct stream stream;
    random_seed(&random, seed);
    arena_init(&arena, NULL);
    uint8_t *copy = check_memory(arena_alloc(&arena, size + 1));
    memcpy(copy, data, size);
    split(slice_of(copy, size), &stream);
    for (uint64_t i = 1 + random_below(&random, 4); i > 0; i--)
        change(mutator, &random, &arena, &stream, mutate_bytes);
    size = join(&stream, &arena, data, size_max);
    arena_destroy(&arena);
    return size;
}
