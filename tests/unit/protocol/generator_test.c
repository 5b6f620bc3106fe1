/* The schema compiler: its output against the golden sample, the sample at work, and what it refuses. */
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

/* The golden output is part of this program. Its table of APIs takes the place of the broker's own. */
#include "tests/unit/protocol/gen/golden/apis.c.golden"
#include "tests/unit/protocol/gen/golden/feature.c.golden"
#include "tests/unit/protocol/gen/golden/feature_coordinator.c.golden"
#include "tests/unit/protocol/gen/golden/feature_kraft.c.golden"
#include "tests/unit/protocol/gen/golden/feature_raw.c.golden"
#include "tests/unit/protocol/gen/golden/feature_shared.c.golden"
#include "tests/unit/protocol/message_walk.h"

#define SAMPLE SOURCE_DIR "/tests/unit/protocol/gen"

static struct arena arena;
static char directory[] = "/tmp/runnel-gen-test-XXXXXX";

static void set_up(void)
{
    arena_init(&arena, NULL);
}

static void tear_down(void)
{
    arena_destroy(&arena);
}

/* Runs a shell command; returns its exit status and what it printed. */
static int run(const char *command, char *output, size_t capacity)
{
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    size_t size = fread(output, 1, capacity - 1, pipe);
    output[size] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *format(const char *text, ...) __attribute__((format(printf, 1, 2)));

static const char *format(const char *text, ...)
{
    char *out = arena_alloc(&arena, 4096);
    va_list args;
    va_start(args, text);
    vsnprintf(out, 4096, text, args);
    va_end(args);
    return out;
}

START_TEST(output_equals_the_golden_sample)
{
    static const char *const stems[] = { "apis",          "feature",     "feature_coordinator",
                                         "feature_kraft", "feature_raw", "feature_shared" };
    char output[8192];
    const char *command = format("%s --out %s %s/*.api 2>&1", GENERATOR, directory, SAMPLE);
    ck_assert_msg(run(command, output, sizeof output) == 0, "%s", output);
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++)
        for (int header = 0; header < 2; header++) {
            const char *name = format("%s.%s", stems[i], header ? "h" : "c");
            const char *compare =
                format("diff %s/golden/%s.golden %s/%s 2>&1 | head -n 40", SAMPLE, name, directory, name);
            ck_assert_msg(run(compare, output, sizeof output) == 0 && output[0] == '\0',
                          "%s is another; when that is right, copy it to the sample (schema/README.md)\n%s",
                          name, output);
        }
}
END_TEST

START_TEST(sample_makes_the_round_trip)
{
    const struct api_schema *api = &api_schemas[_i];
    walk_message(&api->request, api->min_version, api->max_version);
    walk_message(&api->response, api->min_version, api->max_version);
    for (size_t i = 0; i < record_schema_count; i++)
        walk_message(&record_schemas[i].message, record_schemas[i].min_version,
                     record_schemas[i].max_version);
}
END_TEST

START_TEST(table_of_apis)
{
    const struct api_schema *api = api_schema_find(API_KEY_FEATURE);
    ck_assert_uint_eq(api_schema_count, 2);
    ck_assert_str_eq(api->name, "Feature");
    ck_assert_int_eq(api->min_version, 1);
    ck_assert_int_eq(api->max_version, 6);
    ck_assert_int_eq(api->advertised_min, 0);
    ck_assert_int_eq(api->served_min, 1);
    ck_assert_int_eq(api->served_max, 5);
    ck_assert_int_eq(api->flexible_from, 4);
    ck_assert_int_eq(api->response_header_from, 4);
    api = api_schema_find(API_KEY_FEATURE_PLAIN);
    ck_assert_str_eq(api->name, "FeaturePlain");
    ck_assert_int_eq(api->flexible_from, INT16_MAX);
    ck_assert_int_eq(api->response_header_from, INT16_MAX);
    ck_assert_ptr_null(api_schema_find(0));
    ck_assert_ptr_null(api_schema_find(102));
}
END_TEST

START_TEST(defaults)
{
    struct feature_request request;
    memset(&request, 0xaa, sizeof request);
    feature_request_init(&request);
    ck_assert(request.flag && request.tiny == INT8_MIN && request.small == INT16_MAX && request.medium == -7);
    ck_assert(request.large == INT64_MAX && request.port == 65535 && request.count == UINT32_MAX);
    ck_assert(request.ratio == 0.5 && uuid_is_zero(request.id));
    ck_assert(slice_equal_string(request.name, "a \"name\""));
    ck_assert(request.blob.data != NULL && request.blob.size == 0);
    ck_assert(request.batch.bytes.data == NULL && request.batch.pin == NULL);
    ck_assert(request.maybe.data == NULL && request.maybe_later.data != NULL);
    ck_assert(request.numbers_count == 0 && request.ids_count == -1 && request.maybe_items_count == -1);
    ck_assert(request.maybe_inner == NULL && request.tagged_maybe == NULL && request.point.y == -1);
    ck_assert(slice_equal_string(request.place.zone, "here"));
}
END_TEST

/* What a version lacks comes out of its decoder as the default. */
START_TEST(absent_fields_are_defaults)
{
    struct feature_request request, back;
    struct chain chain;
    struct writer writer;
    struct reader reader;
    feature_request_init(&request);
    request.late = 77; /* 5+, ignorable */
    chain_init(&chain, &arena);
    writer_init(&writer, &chain);
    ck_assert(feature_request_encode(&writer, 1, &request) && writer_finish(&writer));
    reader_init(&reader, chain_bytes(&chain, &arena), &arena);
    memset(&back, 0xaa, sizeof back);
    ck_assert(feature_request_decode(&reader, 1, &back));
    ck_assert_int_eq(back.late, 9);
    ck_assert_int_eq(back.moved, 5);
    ck_assert_int_eq(back.tagged_point.y, -1);
    ck_assert_int_eq(back.tagged_list_count, -1);
    ck_assert_ptr_null(back.maybe_inner);
}
END_TEST

static slice encode_tail(int16_t version, const struct feature_request *request, size_t tail)
{
    struct chain chain;
    struct writer writer;
    chain_init(&chain, &arena);
    writer_init(&writer, &chain);
    ck_assert(feature_request_encode(&writer, version, request) && writer_finish(&writer));
    slice bytes = chain_bytes(&chain, &arena);
    return slice_of(bytes.data + bytes.size - tail, tail);
}

/* A field that moved: in its place up to 3, then under its tag, absent when it is the default; the tags
 * ascend whatever the order in the schema. */
START_TEST(plain_then_tagged)
{
    struct feature_request request;
    feature_request_init(&request);
    ck_assert(slice_equal(encode_tail(3, &request, 4), SLICE_LITERAL("\0\0\0\5")));
    ck_assert(slice_equal(encode_tail(4, &request, 1), SLICE_LITERAL("\0")));
    request.moved = 6;
    request.tagged_text = SLICE_LITERAL("ab");
    request.tagged_point.x = 1;
    request.tagged_flag = true;
    slice tail = encode_tail(4, &request, 26);
    ck_assert(
        slice_equal(tail, SLICE_LITERAL("\4\0\3\3ab\1\x9\0\0\0\1\xff\xff\xff\xff\0\3\4\0\0\0\6\4\1\1")));
    struct feature_request_tagged_maybe maybe = { SLICE_LITERAL("x") };
    feature_request_init(&request);
    request.tagged_maybe = &maybe;
    ck_assert(slice_equal(encode_tail(5, &request, 7), SLICE_LITERAL("\1\5\4\1\2x\0")));
}
END_TEST

START_TEST(frames_of_records)
{
    struct chain chain;
    struct writer writer;
    struct reader reader;
    uint32_t type, version;
    int16_t key_type, value_version;
    chain_init(&chain, &arena);
    writer_init(&writer, &chain);
    ck_assert(feature_kraft_record_frame_encode(&writer, FEATURE_KRAFT_RECORD_FEATURE_SECOND, 0));
    ck_assert(
        feature_coordinator_record_key_frame_encode(&writer, FEATURE_COORDINATOR_RECORD_FEATURE_COMMIT));
    ck_assert(feature_coordinator_record_value_frame_encode(&writer, 3) && writer_finish(&writer));
    slice bytes = chain_bytes(&chain, &arena);
    ck_assert(slice_equal(bytes, SLICE_LITERAL("\1\7\0\0\1\0\3")));
    reader_init(&reader, bytes, &arena);
    ck_assert(feature_kraft_record_frame_decode(&reader, &type, &version) && type == 7 && version == 0);
    ck_assert(feature_coordinator_record_key_frame_decode(&reader, &key_type) && key_type == 1);
    ck_assert(feature_coordinator_record_value_frame_decode(&reader, &value_version) && value_version == 3);
    ck_assert_str_eq(record_schemas[0].set, "feature_coordinator");
}
END_TEST

#define HEAD "api 1 bad versions 0-3 flexible 2+\nrequest\n"
#define TAIL "response\n"
#define REST "response\n  ok int8\n"

/* Schemas that contradict themselves, and the words that say so. */
START_TEST(refused_schemas)
{
    static const struct {
        const char *text;
        const char *expected; /* the end of "bad.api:" */
    } rows[] = {
        { HEAD "  a int8 2+ tag 0\n  b int8 2+ tag 0\n" REST, "4: b: tag 0 is that of a" },
        { HEAD "  a int8 2 tag 0\n  b int8 3 tag 0\n" REST, "" },
        { HEAD "  a int8 tag 0\n" REST, "3: a: tagged in version 0 of bad_request, which is not flexible" },
        { HEAD "  a int8 tag 0 1+\n" REST,
          "3: a: tagged in version 1 of bad_request, which is not flexible" },
        { HEAD "  a int8 2+ tag 0 2\n" REST,
          "3: a: a field that is tagged once stays so until its last version" },
        { HEAD "  a int8 0-1 tag 0 2+\n" REST, "3: a: tagged in versions that do not have it" },
        { HEAD "  a int8 = 128\n" REST, "3: a: its default is out of the range of int8" },
        { HEAD "  a int8 = -129\n" REST, "3: a: its default is out of the range of int8" },
        { HEAD "  a uint16 = -1\n" REST, "3: a: its default is out of the range of uint16" },
        { HEAD "  a uint32 = 0x100000000\n" REST, "3: a: its default is out of the range of uint32" },
        { HEAD "  a int32 = max int64\n" REST, "3: a: its default is out of the range of int32" },
        { HEAD "  a int64 = 9223372036854775808\n" REST, "3: a: its default is out of the range of int64" },
        { HEAD "  a int64 = max uint32\n" REST, "" },
        { HEAD "  a int8 = x\n" REST, "3: 'x' is no default value" },
        { HEAD "  a int8 = max\n" REST, "3: an integer type expected at the end of the line" },
        { HEAD "  a bool = 1\n" REST, "3: a: its default is no bool" },
        { HEAD "  a int8 = true\n" REST, "3: a: its default is no int8" },
        { HEAD "  a int8 = \"x\"\n" REST, "3: a: its default is no int8" },
        { HEAD "  a bytes = \"x\"\n" REST, "3: a: its default is no bytes" },
        { HEAD "  a [int8] = 1\n" REST, "3: a: its default is no array of int8" },
        { HEAD "  a string = null\n" REST, "3: a: its default is null, but it may not be null" },
        { HEAD "  a string null 1+ = null\n" REST,
          "3: a: its default is null, but it may not be null in every version of bad_request" },
        { HEAD "  a string 1+ null 1+ = null\n" REST, "" },
        { HEAD "  a int8 null\n" REST, "3: a: a int8 is never null" },
        { HEAD "  a uuid null\n" REST, "3: a: a uuid is never null" },
        { HEAD "  a string 2+ null 0-1\n" REST, "3: a: null in versions that do not have it" },
        { HEAD "  a inner null\n    x int8\n" REST,
          "3: a: the default of a nullable struct is null: write '= null'" },
        { HEAD "  a int8 4+\n" REST, "3: a: in no version of bad_request" },
        { HEAD "  a inner 2+\n    x int8 0-1\n" REST, "4: x: in no version of bad_request" },
        { HEAD "  a int9\n" REST, "3: no struct or type 'int9'" },
        { HEAD "  a Inner\n" REST, "3: 'Inner' is neither a type nor a struct's name" },
        { HEAD "  a [int8\n" REST, "3: '[int8' is no array type: [int32] or [name] is" },
        { HEAD "  a [records]\n" REST, "3: a: records come one by one, never in an array" },
        { HEAD "  a int8\n  a int8\n" REST, "4: a field 'a' stands in line 3 already" },
        { HEAD "  a x\n    i int8\n  b x\n    i int8\n" REST, "6: a struct 'x' stands in line 3 already" },
        { HEAD "  a int8\n    x int8\n" REST, "4: a is no struct, yet fields stand under it" },
        { HEAD "  a x\n      i int8\n    j int8\n" REST, "5: this indentation matches no open struct" },
        { HEAD "\ta int8\n" REST, "3: a tab: indent by spaces" },
        { HEAD "  A int8\n" REST, "3: 'A' is no name: lower-case letters, digits and _ make one" },
        { HEAD "  a int8 3-2\n" REST, "3: '3-2' are no versions: 3 or 2-4 or 3+ are" },
        { HEAD "  a int8 often\n" REST, "3: 'often' is not understood here" },
        { HEAD "  a int8 tag\n" REST, "3: tag expected at the end of the line" },
        { HEAD "  a int8 tag -1\n" REST, "3: '-1' is no tag: a number from 0 to 1000 is" },
        { HEAD "  a string = \"x\n" REST, "3: a text that does not end" },
        { HEAD "  a string entity planet\n" REST, "3: a: no entity of kind 'planet' is known" },
        { HEAD "  a int8 entity topic\n" REST, "3: a: a topic is a string" },
        { HEAD "  a int8\n", "1: bad needs a request and a response" },
        { HEAD HEAD REST, "3: bad 1: key or name are those of bad 1" },
        { HEAD "request\n" REST, "3: bad has this side already" },
        { "request\n", "1: an 'api' line must come before its sides" },
        { "  a int8\n", "1: a field stands under a request, a response, a record or a struct" },
        { "api 1 bad versions 0+ flexible 2+\n", "1: the versions of a message have an end: write 0-0" },
        { "api 1 bad versions 0-3 flexible 2-3\n", "1: flexible versions have no end: write 2+" },
        { "api 1 bad versions 2-3 flexible 2+ refused 0\nrequest\n" TAIL,
          "1: bad: refused versions stand right below the known ones" },
        { "api 1 bad versions 2-3 flexible 2+ unserved 2\nrequest\n" TAIL,
          "1: bad: unserved versions are the last of the known ones" },
        { "struct a\n  x a\n", "2: struct 'a' would hold itself" },
        { "struct a\n  x [b]\nstruct b\n  x [a]\n", "4: struct 'a' would hold itself" },
        { "struct a\n  x b\n    y int8\n",
          "3: a shared struct holds no struct of its own: give 'b' a place at the top" },
        { "struct a\n  x int8\nstruct a\n  x int8\n", "3: struct a would be made twice, also by" },
        { "use nothing\n", "1: no schema file 'nothing.api' among those given" },
        { "use bad\n", "1: 'bad' uses this file in turn" },
        { "records x frame wooden\n", "1: a frame is kraft, coordinator or raw" },
        { "record 1 x versions 0 flexible 0+\n", "1: a 'records' line must come before the first record" },
        { "records x frame kraft\nrecord 1 a versions 0 flexible 0+\nrecord 1 b versions 0 flexible 0+\n",
          "3: b 1: type or name are those of line 2" },
        { "records x frame coordinator\nrecord 1 a\nkey versions 0 flexible never\n",
          "2: a needs a key and a value" },
        { "records x frame kraft\nkey versions 0 flexible never\n",
          "2: only records in a coordinator's frame have a key and a value" },
        { "nonsense\n", "1: 'nonsense' is not understood here" },
        { "# a file that says nothing is none\n\n", "" },
    };
    const char *path = format("%s/bad.api", directory);
    const char *command = format("%s --out %s %s 2>&1", GENERATOR, directory, path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char output[8192];
        FILE *out = fopen(path, "w");
        ck_assert_ptr_nonnull(out);
        ck_assert(fputs(rows[i].text, out) >= 0 && fclose(out) == 0);
        int status = run(command, output, sizeof output);
        bool refused = rows[i].expected[0] != '\0';
        ck_assert_msg(status == (refused ? 1 : 0), "status %d: %s\n%s", status, rows[i].text, output);
        const char *expected = format("%s:%s", path, rows[i].expected);
        ck_assert_msg(!refused || strncmp(output, expected, strlen(expected)) == 0, "%s\nsays %s\nnot  %s",
                      rows[i].text, output, expected);
    }
}
END_TEST

START_TEST(usage)
{
    char output[1024];
    ck_assert_int_eq(run(GENERATOR " 2>&1", output, sizeof output), 2);
    ck_assert_ptr_nonnull(strstr(output, "usage: runnel-gen --out DIR"));
    ck_assert_int_eq(
        run(format("%s --out %s /nowhere/x.api 2>&1", GENERATOR, directory), output, sizeof output), 1);
    ck_assert_ptr_nonnull(strstr(output, "No such file"));
    ck_assert_int_eq(
        run(format("%s --out /nowhere %s/feature_raw.api 2>&1", GENERATOR, SAMPLE), output, sizeof output),
        1);
}
END_TEST

int main(void)
{
    walk_seed();
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        return 1;
    }
    Suite *suite = suite_create("generator");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 120);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, output_equals_the_golden_sample);
    tcase_add_loop_test(cases, sample_makes_the_round_trip, 0, 2);
    tcase_add_test(cases, table_of_apis);
    tcase_add_test(cases, defaults);
    tcase_add_test(cases, absent_fields_are_defaults);
    tcase_add_test(cases, plain_then_tagged);
    tcase_add_test(cases, frames_of_records);
    tcase_add_test(cases, refused_schemas);
    tcase_add_test(cases, usage);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    char command[256];
    snprintf(command, sizeof command, "rm -r %s", directory);
    return failed > 0 || system(command) != 0;
}
