/* Our bytes against those of others: an independent code base's messages, and the golden bytes of the facts.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/api_versions.h"
#include "codec/apis.h"
#include "codec/control_records.h"
#include "codec/metadata_records.h"
#include "tests/support/random_message.h"

static struct arena arena;

static void set_up(void)
{
    arena_init(&arena, NULL);
}

static void tear_down(void)
{
    arena_destroy(&arena);
}

/* Bytes from hex, blanks ignored; "-" is none. */
static slice from_hex(const char *text)
{
    uint8_t *bytes = arena_alloc(&arena, strlen(text) / 2 + 1);
    size_t size = 0;
    for (; *text && *text != '-'; text++) {
        unsigned byte;
        if (*text == ' ')
            continue;
        ck_assert_int_eq(sscanf(text, "%2x", &byte), 1);
        bytes[size++] = (uint8_t)byte;
        text++;
    }
    return slice_of(bytes, size);
}

static const char *to_hex(slice bytes)
{
    char *text = arena_alloc(&arena, bytes.size * 2 + 1), *at = text;
    for (size_t i = 0; i < bytes.size; i++)
        at += sprintf(at, "%02x", bytes.data[i]);
    *at = '\0';
    return text;
}

struct out {
    struct chain chain;
    struct writer writer;
};

static struct writer *begin(struct out *out)
{
    chain_init(&out->chain, &arena);
    writer_init(&out->writer, &out->chain);
    return &out->writer;
}

static slice end(struct out *out)
{
    ck_assert(writer_finish(&out->writer));
    return chain_bytes(&out->chain, &arena);
}

static void expect(slice bytes, const char *hex)
{
    ck_assert_str_eq(to_hex(bytes), to_hex(from_hex(hex)));
}

/* Values in the order of the fields, separated by commas: what the file of messages holds. */
static int listed;

static void next_value(struct printer *printer)
{
    if (listed++ > 0)
        printer_text(printer, ",");
}

static void list_struct(struct printer *printer, const struct struct_schema *schema, int16_t version,
                        const uint8_t *at);

static void list_slice(struct printer *printer, slice value, bool hex)
{
    if (value.data == NULL)
        printer_text(printer, "null");
    else if (hex)
        printer_text(printer, to_hex(value));
    else
        printer_text(printer, arena_string(&arena, value));
}

static void list_value(struct printer *printer, const struct field_schema *field, int16_t version,
                       const uint8_t *at)
{
    int64_t number = 0;
    slice text;
    if (field->type == FIELD_STRUCT && !field->array && field->null_first <= field->null_last) {
        memcpy(&at, at, sizeof at);
        if (!at) {
            next_value(printer);
            printer_text(printer, "null");
            return;
        }
    }
    if (field->type == FIELD_STRUCT) {
        list_struct(printer, field->of, version, at);
        return;
    }
    next_value(printer);
    switch (field->type) {
    case FIELD_BOOL:
        printer_bool(printer, *at != 0);
        return;
    case FIELD_INT8:
        number = (int8_t)*at;
        break;
    case FIELD_INT16:
        number = *(const int16_t *)(const void *)at;
        break;
    case FIELD_INT32:
        number = *(const int32_t *)(const void *)at;
        break;
    case FIELD_INT64:
        memcpy(&number, at, sizeof number);
        break;
    case FIELD_UUID:
        list_slice(printer, slice_of(at, sizeof(uuid)), true);
        return;
    case FIELD_STRING:
    case FIELD_BYTES:
    case FIELD_RECORDS:
        memcpy(&text, at, sizeof text);
        list_slice(printer, text, field->type != FIELD_STRING);
        return;
    default:
        ck_abort_msg("no such type in the messages");
    }
    printer_int(printer, number);
}

static void list_struct(struct printer *printer, const struct struct_schema *schema, int16_t version,
                        const uint8_t *at)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct field_schema *field = &schema->fields[i];
        if (version < field->first || version > field->last)
            continue;
        if (!field->array) {
            list_value(printer, field, version, at + field->offset);
            continue;
        }
        const uint8_t *elements;
        int32_t count;
        memcpy(&elements, at + field->offset, sizeof elements);
        memcpy(&count, at + field->count_offset, sizeof count);
        if (count < 0) {
            next_value(printer);
            printer_text(printer, "null");
        }
        for (int32_t k = 0; k < count; k++)
            list_value(printer, field, version, elements + (size_t)k * field_element_size(field));
    }
}

static void check_message(const struct api_schema *api, const char *side, int16_t version, const char *hex,
                          const char *values)
{
    const struct message_schema *schema = strcmp(side, "request") == 0 ? &api->request : &api->response;
    slice bytes = from_hex(hex);
    struct reader reader;
    void *message = arena_alloc(&arena, schema->struct_size);
    reader_init(&reader, bytes, &arena);
    ck_assert_msg(schema->decode(&reader, version, message), "%s v%d", schema->name, version);
    ck_assert_uint_eq(reader_left(&reader), 0);

    char text[4000];
    struct printer printer;
    printer_init(&printer, text, sizeof text);
    listed = 0;
    list_struct(&printer, schema->fields, version, message);
    ck_assert_msg(strcmp(printer.size ? text : "-", values) == 0, "%s v%d:\n%s\n%s", schema->name, version,
                  text, values);

    struct out out;
    ck_assert(schema->encode(begin(&out), version, message));
    expect(end(&out), hex);
}

static const struct api_schema *find_api(const char *name)
{
    for (size_t i = 0; i < api_schema_count; i++)
        if (strcmp(api_schemas[i].name, name) == 0)
            return &api_schemas[i];
    ck_abort_msg("no API %s", name);
}

/* Files of messages: one from an independent code base, one from Apache Kafka's own classes (compat/java-codec). */
static const struct {
    const char *path;
    int count;
} message_files[] = {
    { SOURCE_DIR "/tests/unit/protocol/kafka_messages.txt", 178 },
    { SOURCE_DIR "/tests/unit/protocol/java_messages.txt", 696 },
};

START_TEST(messages_of_others)
{
    FILE *in = fopen(message_files[_i].path, "r");
    char line[8192], name[64], side[16], hex[4096], values[4096];
    int version, count = 0;
    ck_assert_ptr_nonnull(in);
    while (fgets(line, sizeof line, in)) {
        if (line[0] == '#')
            continue;
        ck_assert_int_eq(sscanf(line, "%63s %15s %d %4095s %4095s", name, side, &version, hex, values), 5);
        check_message(find_api(name), side, (int16_t)version, hex, values);
        arena_reset(&arena);
        count++;
    }
    fclose(in);
    ck_assert_int_ge(count, message_files[_i].count);
}
END_TEST

#define API_VERSIONS_REQUEST "00000015 0012 0003 00000001 0001 63 00 04 617070 04 312e30 00"

START_TEST(api_versions_request)
{
    struct reader reader;
    struct request_header header;
    struct api_versions_request request;
    slice frame = from_hex(API_VERSIONS_REQUEST);
    reader_init(&reader, slice_of(frame.data + 4, frame.size - 4), &arena);
    ck_assert(request_header_decode(&reader, &header));
    ck_assert_int_eq(header.api_key, API_KEY_API_VERSIONS);
    ck_assert_int_eq(header.api_version, 3);
    ck_assert_int_eq(header.correlation_id, 1);
    ck_assert(slice_equal_string(header.client_id, "c"));
    ck_assert(api_versions_request_decode(&reader, 3, &request));
    ck_assert(slice_equal_string(request.client_software_name, "app"));
    ck_assert(slice_equal_string(request.client_software_version, "1.0"));

    struct out out;
    struct writer *writer = begin(&out);
    ck_assert(writer_begin_frame(writer) && request_header_encode(writer, &header) &&
              api_versions_request_encode(writer, 3, &request) && writer_end_frame(writer));
    expect(end(&out), API_VERSIONS_REQUEST);
}
END_TEST

static slice api_versions_answer(int16_t version, const struct api_versions_response *response)
{
    struct out out;
    struct writer *writer = begin(&out);
    ck_assert(writer_begin_frame(writer) &&
              response_header_encode(writer, API_KEY_API_VERSIONS, version, 1) &&
              api_versions_response_encode(writer, version, response) && writer_end_frame(writer));
    return end(&out);
}

/* An unknown version is answered in version 0. */
START_TEST(api_versions_unsupported)
{
    struct api_versions_response response;
    struct api_versions_response_api_key key = { 18, 0, 4 };
    api_versions_response_init(&response);
    response.error_code = 35;
    response.api_keys = &key;
    response.api_keys_count = 1;
    expect(api_versions_answer(0, &response), "00000010 00000001 0023 00000001 0012 0000 0004");
}
END_TEST

START_TEST(api_versions_response)
{
    struct api_versions_response response;
    struct api_versions_response_api_key keys[] = { { 3, 0, 13 }, { 18, 0, 4 } };
    struct api_versions_response_supported_feature supported = { SLICE_LITERAL("transaction.version"), 1, 2 };
    struct api_versions_response_finalized_feature finalized = { SLICE_LITERAL("transaction.version"), 2, 2 };
    api_versions_response_init(&response);
    response.api_keys = keys;
    response.api_keys_count = 2;
    response.supported_features = &supported;
    response.supported_features_count = 1;
    response.finalized_features_epoch = 5;
    response.finalized_features = &finalized;
    response.finalized_features_count = 1;
    expect(api_versions_answer(3, &response),
           "0000005c 00000001 0000 03 0003 0000 000d 00 0012 0000 0004 00 00000000 03 00 1a 02 14 "
           "7472616e73616374696f6e2e76657273696f6e 0001 0002 00 01 08 0000000000000005 02 1a 02 14 "
           "7472616e73616374696f6e2e76657273696f6e 0002 0002 00");
}
END_TEST

START_TEST(metadata_record_values)
{
    struct feature_level_record feature;
    struct topic_record topic;
    struct out out;
    feature_level_record_init(&feature);
    feature.name = SLICE_LITERAL("metadata.version");
    feature.feature_level = 25;
    struct writer *writer = begin(&out);
    ck_assert(metadata_record_frame_encode(writer, METADATA_RECORD_FEATURE_LEVEL, 0) &&
              feature_level_record_encode(writer, 0, &feature));
    expect(end(&out), "01 0c 00 11 6d657461646174612e76657273696f6e 0019 00");

    topic_record_init(&topic);
    topic.name = SLICE_LITERAL("t");
    for (int i = 0; i < 16; i++)
        topic.topic_id.bytes[i] = (uint8_t)i;
    writer = begin(&out);
    ck_assert(metadata_record_frame_encode(writer, METADATA_RECORD_TOPIC, 0) &&
              topic_record_encode(writer, 0, &topic));
    slice value = end(&out);
    expect(value, "01 02 00 02 74 000102030405060708090a0b0c0d0e0f 00");

    struct reader reader;
    uint32_t type, version;
    reader_init(&reader, value, &arena);
    ck_assert(metadata_record_frame_decode(&reader, &type, &version));
    ck_assert_uint_eq(type, METADATA_RECORD_TOPIC);
    ck_assert_uint_eq(version, 0);
    reader_init(&reader, from_hex("00 02 00"), &arena);
    ck_assert(!metadata_record_frame_decode(&reader, &type, &version) && reader.status == CODEC_UNSUPPORTED);
}
END_TEST

/* The values inside the snapshot batches of the facts: header, then footer. */
START_TEST(snapshot_record_values)
{
    struct snapshot_header_record header;
    struct snapshot_footer_record footer;
    struct out out;
    snapshot_header_record_init(&header);
    ck_assert(snapshot_header_record_encode(begin(&out), 0, &header));
    expect(end(&out), "0000 0000000000000000 00");
    snapshot_footer_record_init(&footer);
    ck_assert(snapshot_footer_record_encode(begin(&out), 0, &footer));
    expect(end(&out), "0000 00");
}
END_TEST

/* Fields that change nothing are not written: a leader change of one partition is this short. */
START_TEST(partition_change_leaves_defaults_out)
{
    struct partition_change_record change;
    struct out out;
    partition_change_record_init(&change);
    change.partition_id = 7;
    change.leader = 1;
    ck_assert(partition_change_record_encode(begin(&out), 2, &change));
    expect(end(&out), "00000007 00000000000000000000000000000000 01 01 04 00000001");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec golden bytes");
    TCase *cases = tcase_create("all");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, messages_of_others, 0, sizeof message_files / sizeof *message_files);
    tcase_add_test(cases, api_versions_request);
    tcase_add_test(cases, api_versions_unsupported);
    tcase_add_test(cases, api_versions_response);
    tcase_add_test(cases, metadata_record_values);
    tcase_add_test(cases, snapshot_record_values);
    tcase_add_test(cases, partition_change_leaves_defaults_out);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
