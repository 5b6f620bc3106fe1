/* Every message in every version: sizer, writer and reader agree, and cut or damaged bytes do no harm. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/apis.h"
#include "tests/support/random_message.h"

enum { ROUNDS = 40, MUTATIONS = 60 };

static struct random dice;

struct subject {
    const struct message_schema *schema;
    int16_t version;
};

static bool encode(const struct subject *subject, const void *in, struct arena *arena, slice *out)
{
    struct chain chain;
    struct writer writer;
    chain_init(&chain, arena);
    writer_init(&writer, &chain);
    bool ok = subject->schema->encode(&writer, subject->version, in) && writer_finish(&writer);
    if (ok)
        *out = chain_bytes(&chain, arena);
    return ok;
}

/* Decodes from memory of exactly this size, so that AddressSanitizer sees a read beyond. */
static bool decode_exact(const struct subject *subject, slice bytes, struct arena *arena, void *out, slice *rest)
{
    uint8_t *copy = malloc(bytes.size);
    struct reader reader;
    memcpy(copy, bytes.data, bytes.size);
    reader_init(&reader, slice_of(copy, bytes.size), arena);
    bool ok = subject->schema->decode(&reader, subject->version, out);
    ck_assert(ok == (reader.status == CODEC_OK));
    if (rest)
        *rest = slice_of(NULL, reader_left(&reader));
    if (ok) {
        char text[2000];
        struct printer printer;
        printer_init(&printer, text, sizeof text);
        subject->schema->print(&printer, subject->version, out);
        ck_assert(printer.size > 0 && strlen(text) == printer.size);
        slice again;
        size_t size;
        ck_assert(encode(subject, out, arena, &again));
        ck_assert(subject->schema->size(subject->version, out, &size));
        ck_assert_uint_eq(size, again.size);
    }
    free(copy);
    return ok;
}

static void round_trip(const struct subject *subject, struct arena *arena, slice *bytes)
{
    const char *name = subject->schema->name;
    void *in = arena_alloc(arena, subject->schema->struct_size), *out = arena_alloc(arena, subject->schema->struct_size);
    random_message(&dice, arena, subject->schema->fields, subject->version, in);
    size_t size;
    ck_assert_msg(subject->schema->size(subject->version, in, &size), "%s v%d", name, subject->version);
    ck_assert_msg(encode(subject, in, arena, bytes), "%s v%d", name, subject->version);
    ck_assert_msg(size == bytes->size, "%s v%d: sizer %zu, writer %zu", name, subject->version, size, bytes->size);

    struct reader reader;
    slice again;
    reader_init(&reader, *bytes, arena);
    ck_assert_msg(subject->schema->decode(&reader, subject->version, out), "%s v%d", name, subject->version);
    ck_assert_msg(reader_left(&reader) == 0, "%s v%d leaves bytes", name, subject->version);
    ck_assert(encode(subject, out, arena, &again));
    ck_assert_msg(slice_equal(*bytes, again), "%s v%d is not itself after a round trip", name, subject->version);
}

static void damage(const struct subject *subject, struct arena *arena, slice bytes)
{
    uint8_t *copy = arena_alloc(arena, bytes.size);
    void *out = arena_alloc(arena, subject->schema->struct_size);
    for (int i = 0; i < MUTATIONS && bytes.size > 0; i++) {
        memcpy(copy, bytes.data, bytes.size);
        for (uint64_t hits = 1 + random_below(&dice, 3); hits > 0; hits--)
            copy[random_below(&dice, bytes.size)] = random_below(&dice, 2) ? 0xff : (uint8_t)random_u64(&dice);
        decode_exact(subject, slice_of(copy, bytes.size), arena, out, NULL);
    }
}

static void cut(const struct subject *subject, struct arena *arena, slice bytes)
{
    void *out = arena_alloc(arena, subject->schema->struct_size);
    for (size_t size = 0; size < bytes.size; size++)
        ck_assert_msg(!decode_exact(subject, slice_of(bytes.data, size), arena, out, NULL), "%s v%d cut at %zu of %zu",
                      subject->schema->name, subject->version, size, bytes.size);
    /* Bytes behind a message are no error: Kafka ignores them. */
    slice rest, longer = slice_of(arena_alloc(arena, bytes.size + 3), bytes.size + 3);
    memcpy((uint8_t *)longer.data, bytes.data, bytes.size);
    memset((uint8_t *)longer.data + bytes.size, 0xff, 3);
    ck_assert(decode_exact(subject, longer, arena, out, &rest));
    ck_assert_uint_eq(rest.size, 3);
}

static void walk(const struct message_schema *schema, int16_t min_version, int16_t max_version)
{
    struct arena arena;
    arena_init(&arena, NULL);
    for (int16_t version = min_version; version <= max_version; version++) {
        struct subject subject = { schema, version };
        for (int i = 0; i < ROUNDS; i++) {
            slice bytes;
            round_trip(&subject, &arena, &bytes);
            if (i % 4 == 0 && bytes.size < 3000) {
                cut(&subject, &arena, bytes);
                damage(&subject, &arena, bytes);
            }
            arena_reset(&arena);
        }
    }
    arena_destroy(&arena);
}

/* Outside its versions a message is neither read nor written. */
static void refuse_others(const struct message_schema *schema, int16_t min_version, int16_t max_version)
{
    struct arena arena;
    struct chain chain;
    int16_t others[] = { (int16_t)(min_version - 1), (int16_t)(max_version + 1), INT16_MIN, INT16_MAX };
    arena_init(&arena, NULL);
    void *message = arena_alloc(&arena, schema->struct_size);
    schema->init(message);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct reader reader;
        struct writer writer;
        size_t size;
        uint8_t zeros[64] = { 0 };
        chain_init(&chain, &arena);
        writer_init(&writer, &chain);
        reader_init(&reader, slice_of(zeros, sizeof zeros), &arena);
        ck_assert(!schema->decode(&reader, others[i], message) && reader.status == CODEC_UNSUPPORTED);
        ck_assert(!schema->encode(&writer, others[i], message) && writer.status == CODEC_UNSUPPORTED);
        ck_assert(!schema->size(others[i], message, &size));
    }
    arena_destroy(&arena);
}

START_TEST(every_api)
{
    const struct api_schema *api = &api_schemas[_i];
    walk(&api->request, api->min_version, api->max_version);
    walk(&api->response, api->min_version, api->max_version);
    refuse_others(&api->request, api->min_version, api->max_version);
    refuse_others(&api->response, api->min_version, api->max_version);
}
END_TEST

START_TEST(every_record)
{
    const struct record_schema *record = &record_schemas[_i];
    walk(&record->message, record->min_version, record->max_version);
    refuse_others(&record->message, record->min_version, record->max_version);
}
END_TEST

START_TEST(the_table_is_ordered_and_found)
{
    for (size_t i = 0; i < api_schema_count; i++) {
        const struct api_schema *api = &api_schemas[i];
        ck_assert(i == 0 || api[-1].key < api->key);
        ck_assert_ptr_eq(api_schema_find(api->key), api);
        ck_assert(api->advertised_min <= api->served_min && api->served_min <= api->served_max);
        ck_assert(api->served_max <= api->max_version && api->min_version <= api->served_min);
    }
    ck_assert_ptr_null(api_schema_find(-1));
    ck_assert_ptr_null(api_schema_find(INT16_MIN));
    ck_assert_ptr_null(api_schema_find(INT16_MAX));
    ck_assert_ptr_null(api_schema_find(4));
}
END_TEST

int main(void)
{
    uint64_t seed;
    const char *given = getenv("SEED");
    random_secure(&seed, sizeof seed);
    if (given)
        seed = strtoull(given, NULL, 10);
    printf("SEED=%llu\n", (unsigned long long)seed);
    random_seed(&dice, seed);
    Suite *suite = suite_create("codec round trip");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 280);
    tcase_add_loop_test(cases, every_api, 0, (int)api_schema_count);
    tcase_add_loop_test(cases, every_record, 0, (int)record_schema_count);
    tcase_add_test(cases, the_table_is_ordered_and_found);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
