/* The broker and the strict client of the versions matrix. */
#include "tests/sim/versions/rig.h"

#include <stdio.h>

#include "broker/files_wait.h"
#include "codec/apis.h"

#include "protocol/base/check.h"
#include "tests/support/random_message.h"

enum { SEEN_MAX = 256, PATH_SIZE = 128, SEED = 17 };

struct subject subject;
struct sim sim;
struct sim_client client;
struct arena arena;

/* -- the broker ------------------------------------------------------------------------------------- */

void rig_open(const char *settings)
{
    char text[1000];
    arena_init(&arena, NULL);
    snprintf(text, sizeof text, "broker.rack=r1\nnum.partitions=3\n%s", settings);
    sim_open(&sim, SEED, text);
    sim_connect(&sim, &client);
}

void rig_close(void)
{
    sim_disconnect(&client);
    sim_close(&sim);
    arena_destroy(&arena);
}

void rig_restart(void)
{
    sim_disconnect(&client);
    sim_restart(&sim);
    sim_connect(&sim, &client);
}

static struct {
    enum acl_operation op;
    const char *name;
} denied;

static bool authorize(void *context, const struct conn *conn, enum acl_operation op, int resource_type,
                      slice name)
{
    (void)context;
    (void)conn;
    (void)resource_type;
    return op != denied.op || !slice_equal_string(name, denied.name);
}

void deny(enum acl_operation op, const char *name)
{
    denied.op = op;
    denied.name = name;
    sim.server->authorize = authorize;
}

uuid make_topic(const char *name)
{
    struct one_metadata one;
    struct metadata_response response;
    one_metadata(&one, slice_of_string(name));
    ask_other(ONE_METADATA, 12, &one.request, &response);
    expect(response.topics[0].error_code, ERR_NONE);
    return response.topics[0].topic_id;
}

int32_t partition_count_of(const char *name)
{
    struct one_metadata one;
    struct metadata_response response;
    one_metadata(&one, slice_of_string(name));
    one.request.allow_auto_topic_creation = false;
    ask_other(ONE_METADATA, 12, &one.request, &response);
    return response.topics[0].error_code == ERR_NONE ? response.topics[0].partitions_count : -1;
}

int64_t append_records(const char *topic, int32_t partition, int count)
{
    static const struct batch_builder_options options = { NO_PRODUCER };
    struct batch_view batch = small_batch(&arena, &options, count);
    struct one_produce one;
    struct produce_response response;
    one_produce(&one, topic, partition, batch_bytes(&batch));
    ask_other(ONE_PRODUCE, 9, &one.request, &response);
    expect(response.topics[0].partitions[0].error_code, ERR_NONE);
    return response.topics[0].partitions[0].base_offset;
}

/* -- which fields were seen ------------------------------------------------------------------------- */

struct seen {
    char paths[SEEN_MAX][PATH_SIZE];
    size_t count;
};

static struct seen asked, told;

static bool has_path(const struct seen *seen, const char *path)
{
    for (size_t i = 0; i < seen->count; i++)
        if (strcmp(seen->paths[i], path) == 0)
            return true;
    return false;
}

static void add_path(struct seen *seen, const char *path)
{
    if (has_path(seen, path))
        return;
    check(seen->count < SEEN_MAX);
    snprintf(seen->paths[seen->count++], PATH_SIZE, "%s", path);
}

static void make_path(char out[PATH_SIZE], const char *parent, const char *name)
{
    int size = snprintf(out, PATH_SIZE, "%s%s%s", parent, parent[0] ? "." : "", name);
    check(size < PATH_SIZE);
}

static bool is_in_version(const struct field_schema *field, int16_t version)
{
    return version >= field->first && version <= field->last;
}

/* Structs that are nullable are held by pointer. */
static bool is_by_pointer(const struct field_schema *field)
{
    return field->type == FIELD_STRUCT && field->null_first <= field->null_last;
}

static bool add_struct(struct seen *seen, const char *parent, const struct struct_schema *schema,
                       int16_t version, const uint8_t *at);

static bool add_array(struct seen *seen, const char *path, const struct field_schema *field, int16_t version,
                      const uint8_t *struct_at)
{
    const uint8_t *elements;
    int32_t count;
    memcpy(&elements, struct_at + field->offset, sizeof elements);
    memcpy(&count, struct_at + field->count_offset, sizeof count);
    for (int32_t i = 0; i < count && field->type == FIELD_STRUCT; i++)
        add_struct(seen, path, field->of, version, elements + (size_t)i * field_element_size(field));
    return count > 0;
}

static bool differs(const struct field_schema *field, const uint8_t *at, const uint8_t *other)
{
    slice a, b;
    switch (field->type) {
    case FIELD_STRING:
    case FIELD_BYTES:
    case FIELD_RECORDS: /* whose bytes come first */
        memcpy(&a, at, sizeof a);
        memcpy(&b, other, sizeof b);
        return !slice_equal(a, b);
    case FIELD_STRUCT:
        check_unreachable("a struct has members");
    case FIELD_BOOL:
    case FIELD_INT8:
    case FIELD_INT16:
    case FIELD_INT32:
    case FIELD_INT64:
    case FIELD_UINT16:
    case FIELD_UINT32:
    case FIELD_FLOAT64:
    case FIELD_UUID:
        return memcmp(at, other, field_element_size(field)) != 0;
    }
    check_unreachable("field_type");
}

static bool add_value(struct seen *seen, const char *path, const struct field_schema *field, int16_t version,
                      const uint8_t *at, const uint8_t *other)
{
    if (field->type != FIELD_STRUCT)
        return differs(field, at, other);
    if (!is_by_pointer(field))
        return add_struct(seen, path, field->of, version, at);
    const uint8_t *pointed;
    memcpy(&pointed, at, sizeof pointed);
    if (pointed)
        add_struct(seen, path, field->of, version, pointed);
    return pointed != NULL;
}

/* Adds the paths of all fields that differ from what init() gives. */
static bool add_struct(struct seen *seen, const char *parent, const struct struct_schema *schema,
                       int16_t version, const uint8_t *at)
{
    bool any = false;
    uint8_t *fresh = check_memory(arena_alloc(&arena, schema->size));
    schema->init(fresh);
    for (size_t i = 0; i < schema->count; i++) {
        const struct field_schema *field = &schema->fields[i];
        char path[PATH_SIZE];
        if (!is_in_version(field, version))
            continue;
        make_path(path, parent, field->name);
        bool is_filled =
            field->array ? add_array(seen, path, field, version, at)
                         : add_value(seen, path, field, version, at + field->offset, fresh + field->offset);
        if (is_filled)
            add_path(seen, path);
        any = any || is_filled;
    }
    return any;
}

void seen_reset(void)
{
    asked.count = told.count = 0;
}

static const struct exemption *exemption_of(const struct exemption *list, const char *path)
{
    for (; list && list->path; list++) {
        size_t size = strlen(list->path);
        if (subject.version >= list->first && subject.version <= list->last &&
            strncmp(list->path, path, size) == 0 && (path[size] == '\0' || path[size] == '.'))
            return list;
    }
    return NULL;
}

static char complaint[2 * PATH_SIZE];

static bool complain(const char *side, const char *path, const char *what)
{
    snprintf(complaint, sizeof complaint, "the %s's %s %s", side, path, what);
    return false;
}

static bool is_covered(const char *side, const struct seen *seen, const struct exemption *list,
                       const char *parent, const struct struct_schema *schema)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct field_schema *field = &schema->fields[i];
        char path[PATH_SIZE];
        if (!is_in_version(field, subject.version))
            continue;
        make_path(path, parent, field->name);
        bool is_exempt = exemption_of(list, path) != NULL, is_seen = has_path(seen, path);
        if (is_exempt && is_seen)
            return complain(side, path, "was filled, though it is said that it never is");
        if (!is_exempt && !is_seen)
            return complain(side, path, "was never filled");
        if (field->type == FIELD_STRUCT && !is_exempt && !is_covered(side, seen, list, path, field->of))
            return false;
    }
    return true;
}

const char *seen_complaint(const struct check_row *row)
{
    const struct api_schema *schema = api_schema_find(row->key);
    if (is_covered("request", &asked, row->unasked, "", schema->request.fields) &&
        is_covered("response", &told, row->untold, "", schema->response.fields))
        return NULL;
    return complaint;
}

/* -- the client ------------------------------------------------------------------------------------- */

slice last_frame(void)
{
    return slice_of(client.frame, client.frame_size);
}

/* The answer once more from its decoded form: one byte more or less, a tag that its version does not have,
 * another header would be a difference. */
const char *frame_complaint(const struct api_schema *schema, int16_t version, const void *response,
                            slice frame)
{
    struct chain chain;
    struct writer writer;
    chain_init(&chain, &arena);
    writer_init(&writer, &chain);
    expect_that(response_header_encode(&writer, schema->key, version, client.correlation_id));
    expect_that(schema->response.encode(&writer, version, response));
    expect_that(writer_finish(&writer));
    slice again = chain_bytes(&chain, &arena);
    size_t same = 0;
    while (same < frame.size && same < again.size && frame.data[same] == again.data[same])
        same++;
    if (same == frame.size && same == again.size)
        return NULL;
    snprintf(complaint, sizeof complaint,
             "the answer has %zu bytes, its codec makes %zu; the first %zu are the same", frame.size,
             again.size, same);
    return complaint;
}

void ask_other(int16_t key, int16_t version, const void *request, void *response)
{
    const struct api_schema *schema = api_schema_find(key);
    expect_that(sim_send(&client, key, version, request));
    if (!sim_receive(&client, key, version, response)) {
        sim_advance(&sim, FILES_WAIT_MAX_MS); /* it waits for descriptors, of which there are none */
        expect_that(sim_receive(&client, key, version, response));
    }
    const char *wrong = frame_complaint(schema, version, response, last_frame());
    ck_assert_msg(!wrong, "%s, %s v%d: %s", subject.name, schema->name, version, wrong);
}

void ask(const void *request, void *response)
{
    const struct api_schema *schema = api_schema_find(subject.key);
    ask_other(subject.key, subject.version, request, response);
    add_struct(&asked, "", schema->request.fields, subject.version, request);
    add_struct(&told, "", schema->response.fields, subject.version, response);
}

/* -- expectations ----------------------------------------------------------------------------------- */

void expect_numbers(int line, const char *what, long long got, long long wanted)
{
    if (got != wanted)
        ck_abort_msg("%s v%d, line %d: %s is %lld, not %lld", subject.name, subject.version, line, what, got,
                     wanted);
}

void expect_texts(int line, const char *what, slice got, const char *wanted)
{
    if (slice_is_null(got) != !wanted || !slice_equal_string(got, wanted))
        ck_abort_msg("%s v%d, line %d: %s is \"%.*s\", not \"%s\"", subject.name, subject.version, line, what,
                     (int)got.size, got.data ? (const char *)got.data : "", wanted ? wanted : "null");
}
