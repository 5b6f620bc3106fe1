/* The walk over a message's versions that tests of the codec share: round trips, cuts, damage, refusals. */
#ifndef RUNNEL_TESTS_UNIT_PROTOCOL_MESSAGE_WALK_H
#define RUNNEL_TESTS_UNIT_PROTOCOL_MESSAGE_WALK_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/random_message.h"

enum { ROUNDS = 40, MUTATIONS = 60 };

static struct random dice;

/* Prints the seed that repeats a run: SEED=... in the environment. */
static void walk_seed(void)
{
    uint64_t seed;
    const char *given = getenv("SEED");
    random_secure(&seed, sizeof seed);
    if (given)
        seed = strtoull(given, NULL, 10);
    printf("SEED=%llu\n", (unsigned long long)seed);
    random_seed(&dice, seed);
}

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
static bool decode_exact(const struct subject *subject, slice bytes, struct arena *arena, void *out,
                         slice *rest)
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
    void *in = arena_alloc(arena, subject->schema->struct_size);
    void *out = arena_alloc(arena, subject->schema->struct_size);
    random_message(&dice, arena, subject->schema->fields, subject->version, in);
    size_t size;
    ck_assert_msg(subject->schema->size(subject->version, in, &size), "%s v%d", name, subject->version);
    ck_assert_msg(encode(subject, in, arena, bytes), "%s v%d", name, subject->version);
    ck_assert_msg(size == bytes->size, "%s v%d: sizer %zu, writer %zu", name, subject->version, size,
                  bytes->size);

    struct reader reader;
    slice again;
    reader_init(&reader, *bytes, arena);
    ck_assert_msg(subject->schema->decode(&reader, subject->version, out), "%s v%d", name, subject->version);
    ck_assert_msg(reader_left(&reader) == 0, "%s v%d leaves bytes", name, subject->version);
    ck_assert(encode(subject, out, arena, &again));
    ck_assert_msg(slice_equal(*bytes, again), "%s v%d is not itself after a round trip", name,
                  subject->version);
}

static void damage(const struct subject *subject, struct arena *arena, slice bytes)
{
    uint8_t *copy = arena_alloc(arena, bytes.size);
    void *out = arena_alloc(arena, subject->schema->struct_size);
    for (int i = 0; i < MUTATIONS && bytes.size > 0; i++) {
        memcpy(copy, bytes.data, bytes.size);
        for (uint64_t hits = 1 + random_below(&dice, 3); hits > 0; hits--)
            copy[random_below(&dice, bytes.size)] =
                random_below(&dice, 2) ? 0xff : (uint8_t)random_u64(&dice);
        decode_exact(subject, slice_of(copy, bytes.size), arena, out, NULL);
    }
}

static void cut(const struct subject *subject, struct arena *arena, slice bytes)
{
    void *out = arena_alloc(arena, subject->schema->struct_size);
    for (size_t size = 0; size < bytes.size; size++)
        ck_assert_msg(!decode_exact(subject, slice_of(bytes.data, size), arena, out, NULL),
                      "%s v%d cut at %zu of %zu", subject->schema->name, subject->version, size, bytes.size);
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

static void walk_message(const struct message_schema *schema, int16_t min_version, int16_t max_version)
{
    walk(schema, min_version, max_version);
    refuse_others(schema, min_version, max_version);
}

#endif
