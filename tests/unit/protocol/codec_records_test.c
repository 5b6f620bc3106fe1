/* Our metadata, control and group records against bytes that Kafka's own classes read and write. */
#include <check.h>
#include <stdio.h>

#include "codec/apis.h"
#include "tests/support/random_message.h"

static struct arena arena;

static slice from_hex(const char *text)
{
    uint8_t *bytes = arena_alloc(&arena, strlen(text) / 2 + 1);
    size_t size = 0;
    for (; *text; text += 2) {
        unsigned byte;
        ck_assert_int_eq(sscanf(text, "%2x", &byte), 1);
        bytes[size++] = (uint8_t)byte;
    }
    return slice_of(bytes, size);
}

/* Where a type has a key and a value, the set is "group_key" and "group_value". */
static const struct message_schema *find_record(const char *set, int type)
{
    size_t set_size = strcspn(set, "_");
    const char *suffix = set + set_size;
    for (size_t i = 0; i < record_schema_count; i++) {
        const struct record_schema *record = &record_schemas[i];
        size_t size = strlen(record->message.name);
        if (strlen(record->set) == set_size && strncmp(record->set, set, set_size) == 0 &&
            record->type == type && size >= strlen(suffix) &&
            strcmp(record->message.name + size - strlen(suffix), suffix) == 0)
            return &record->message;
    }
    ck_abort_msg("no record %s %d", set, type);
}

static void check_record(const struct message_schema *schema, int16_t version, slice bytes,
                         const char *printed)
{
    void *record = arena_alloc(&arena, schema->struct_size);
    struct reader reader;
    reader_init(&reader, bytes, &arena);
    ck_assert_msg(schema->decode(&reader, version, record), "%s v%d", schema->name, version);
    ck_assert_uint_eq(reader_left(&reader), 0);

    char text[4096];
    struct printer printer;
    printer_init(&printer, text, sizeof text);
    schema->print(&printer, version, record);
    ck_assert_str_eq(text, printed);

    struct chain chain;
    struct writer writer;
    chain_init(&chain, &arena);
    writer_init(&writer, &chain);
    ck_assert(schema->encode(&writer, version, record) && writer_finish(&writer));
    ck_assert_msg(slice_equal(chain_bytes(&chain, &arena), bytes), "%s v%d", schema->name, version);
}

START_TEST(records_as_kafka_writes_them)
{
    FILE *in = fopen(SOURCE_DIR "/tests/unit/protocol/kafka_records.txt", "r");
    char line[8192], set[64], hex[4096], printed[4096];
    int type, version, count = 0;
    ck_assert_ptr_nonnull(in);
    arena_init(&arena, NULL);
    while (fgets(line, sizeof line, in)) {
        if (line[0] == '#')
            continue;
        ck_assert_int_eq(sscanf(line, "%63s %d %d %4095s %4095[^\n]", set, &type, &version, hex, printed), 5);
        check_record(find_record(set, type), (int16_t)version, from_hex(hex), printed);
        arena_reset(&arena);
        count++;
    }
    arena_destroy(&arena);
    fclose(in);
    ck_assert_int_ge(count, 69);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec records");
    TCase *cases = tcase_create("all");
    tcase_add_test(cases, records_as_kafka_writes_them);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
