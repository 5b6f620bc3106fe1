/* The mutator of the fuzzers reaches every API that is served: behind its decoder, and often with success.
 *
 * RUNNEL_WRITE_SEEDS=DIRECTORY: writes the first stream with which an API succeeds, as a seed of connection_fuzz. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/dispatch.h"
#include "codec/apis.h"
#include "protocol/base/bytes.h"
#include "protocol/base/note.h"
#include "tests/support/frame_mutator.h"
#include "tests/support/sim.h"

enum { SEED = 1, STREAMS = 800, CHANGES = 12, STREAM_MAX = 16384, KEY_MAX = 128 };

static const char settings[] = "log.segment.bytes=1048576\n";

static struct {
    unsigned sent, answered, succeeded;
} reach[KEY_MAX];

static uint64_t mutation = 1;
static bool is_written[KEY_MAX];

/* As libFuzzer's, in little: one byte becomes another. */
static size_t mutate_bytes(uint8_t *data, size_t size, size_t size_max)
{
    (void)size_max;
    mutation = mutation * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    if (size > 0)
        data[(mutation >> 33) % size] ^= (uint8_t)(mutation >> 56);
    return size;
}

/* Is any error code of the answer zero, or has it none? */
static bool has_success(const struct struct_schema *schema, int16_t version, const uint8_t *at,
                        bool *has_code)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct field_schema *field = &schema->fields[i];
        if (version < field->first || version > field->last)
            continue;
        int16_t code;
        if (strcmp(field->name, "error_code") == 0) {
            memcpy(&code, at + field->offset, sizeof code);
            *has_code = true;
            if (code == 0)
                return true;
        }
        if (!field->array || field->type != FIELD_STRUCT)
            continue;
        const uint8_t *elements;
        int32_t count;
        memcpy(&elements, at + field->offset, sizeof elements);
        memcpy(&count, at + field->count_offset, sizeof count);
        for (int32_t e = 0; e < count; e++)
            if (has_success(field->of, version, elements + (size_t)e * field_element_size(field), has_code))
                return true;
    }
    return false;
}

struct header {
    int16_t key, version;
};

/* Answers come in the order of requests; the correlation id is the place of the request. */
static void count_answer(struct sim_client *client, const struct header *headers, size_t count)
{
    int32_t place;
    struct reader reader;
    slice frame = slice_of(client->frame, client->frame_size);
    ck_assert_uint_ge(frame.size, 4);
    place = (int32_t)load_be32(frame.data);
    ck_assert(place >= 0 && (size_t)place < count);
    const struct api_row *row = api_row_find(headers[place].key);
    ck_assert(row != NULL);
    reach[row->key].answered++;
    int16_t version = headers[place].version;
    if (version < row->served_min || version > row->served_max)
        return;
    struct arena arena;
    arena_init(&arena, NULL);
    reader_init(&reader, frame, &arena);
    void *told = arena_alloc(&arena, row->schema->response.struct_size);
    bool has_code = false;
    row->schema->response.init(told);
    ck_assert(response_header_decode(&reader, row->key, version, &place));
    ck_assert_msg(row->schema->response.decode(&reader, version, told), "%s v%d", row->schema->name, version);
    ck_assert_uint_eq(reader_left(&reader), 0);
    if (has_success(row->schema->response.fields, version, told, &has_code) || !has_code)
        reach[row->key].succeeded++;
    arena_destroy(&arena);
}

static size_t read_headers(const uint8_t *stream, size_t size, struct header headers[])
{
    size_t count = 0;
    for (size_t at = 0; size - at >= 12 && load_be32(stream + at) <= size - at - 4;
         at += 4 + load_be32(stream + at)) {
        headers[count] =
            (struct header){ (int16_t)load_be16(stream + at + 4), (int16_t)load_be16(stream + at + 6) };
        if (headers[count].key >= 0 && headers[count].key < KEY_MAX)
            reach[headers[count].key].sent++;
        count++;
    }
    return count;
}

/* For each API that succeeded for the first time. */
static void write_seeds(const char *directory, const uint8_t *stream, size_t size)
{
    static const uint8_t reads_and_waits = 8 | 16 | 32;
    size_t row_count;
    const struct api_row *rows = api_rows(&row_count);
    for (size_t i = 0; i < row_count; i++) {
        if (is_written[rows[i].key] || reach[rows[i].key].succeeded == 0)
            continue;
        char path[512];
        is_written[rows[i].key] = true;
        snprintf(path, sizeof path, "%s/%s", directory, rows[i].schema->name);
        FILE *file = fopen(path, "w");
        ck_assert_msg(file != NULL, "%s", path);
        ck_assert(fwrite(&reads_and_waits, 1, 1, file) == 1 && fwrite(stream, 1, size, file) == size);
        fclose(file);
    }
}

static void play(uint64_t seed, const uint8_t *stream, size_t size)
{
    static struct header headers[STREAM_MAX];
    struct sim sim;
    struct sim_client client;
    size_t count = read_headers(stream, size, headers);
    sim_open(&sim, seed, settings);
    sim_connect(&sim, &client);
    (void)sim_send_bytes(&client, stream, size);
    for (int waits = 0; waits < 3; waits++) {
        while (sim_receive_frame(&client))
            count_answer(&client, headers, count);
        sim_advance(&sim, 2000); /* long polls end */
    }
    sim_disconnect(&client);
    sim_close(&sim);
}

/* What succeeds only after other answers were understood: a member's id and generation, a group's offsets.
 * Simulations of groups have that. */
static bool needs_members(int16_t key)
{
    return key == API_KEY_JOIN_GROUP || key == API_KEY_HEARTBEAT || key == API_KEY_LEAVE_GROUP ||
           key == API_KEY_SYNC_GROUP || key == API_KEY_OFFSET_DELETE || key == API_KEY_CONSUMER_GROUP_HEARTBEAT;
}

START_TEST(every_api_is_reached)
{
    struct frame_mutator mutator;
    uint8_t stream[STREAM_MAX];
    size_t row_count;
    const struct api_row *rows = api_rows(&row_count);
    note_set_level(NOTE_ERROR);
    frame_mutator_learn(&mutator, SEED, settings);
    for (uint64_t s = 0; s < STREAMS; s++) {
        size_t size = 0;
        for (uint64_t c = 0; c < CHANGES; c++)
            size = frame_mutator_run(&mutator, stream, size, sizeof stream, s * CHANGES + c, mutate_bytes);
        play(SEED, stream, size);
        if (getenv("RUNNEL_WRITE_SEEDS"))
            write_seeds(getenv("RUNNEL_WRITE_SEEDS"), stream, size);
    }
    printf("%-26s %9s %9s %9s\n", "", "sent", "answered", "succeeded");
    for (size_t i = 0; i < row_count; i++)
        printf("%-26s %9u %9u %9u\n", rows[i].schema->name, reach[rows[i].key].sent,
               reach[rows[i].key].answered, reach[rows[i].key].succeeded);
    fflush(stdout);
    for (size_t i = 0; i < row_count; i++) {
        ck_assert_msg(reach[rows[i].key].answered >= 100, "%s is hardly answered", rows[i].schema->name);
        ck_assert_msg(needs_members(rows[i].key) || reach[rows[i].key].succeeded >= 20, "%s hardly succeeds",
                      rows[i].schema->name);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frame_mutator");
    TCase *tests = tcase_create("reach");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, every_api_is_reached);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
