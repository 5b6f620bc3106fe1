/* Fuzzes the decoders: any bytes as any message of any version, printed and encoded again. */
#include "codec/apis.h"
#include "protocol/base/check.h"

/* Two bytes choose the message and its version: an API's key and, in the highest bit, its side. Keys that no
 * API has choose a record. So seeds keep their meaning when APIs are added. */
static const struct message_schema *choose(uint8_t which, uint8_t age, int16_t *version)
{
    const struct api_schema *api = api_schema_find(which & 0x7f);
    if (api) {
        *version = (int16_t)(api->min_version + age % (api->max_version - api->min_version + 1));
        return which & 0x80 ? &api->response : &api->request;
    }
    const struct record_schema *record = &record_schemas[(which + 256u * (age / 16)) % record_schema_count];
    *version = (int16_t)(record->min_version + age % (record->max_version - record->min_version + 1));
    return &record->message;
}

static void encode_again(const struct message_schema *schema, int16_t version, const void *message,
                         struct arena *arena)
{
    struct chain chain;
    struct writer writer;
    size_t size;
    chain_init(&chain, arena);
    writer_init(&writer, &chain);
    check(schema->encode(&writer, version, message) && writer_finish(&writer));
    check(schema->size(version, message, &size) && size == chain.size);
}

static void decode_message(slice bytes, const struct message_schema *schema, int16_t version,
                           struct arena *arena)
{
    struct reader reader;
    void *message = arena_alloc(arena, schema->struct_size);
    reader_init(&reader, bytes, arena);
    reader.elements_left = 100000;
    if (!schema->decode(&reader, version, message)) {
        check(reader.status != CODEC_OK);
        return;
    }
    char text[512];
    struct printer printer;
    printer_init(&printer, text, sizeof text);
    schema->print(&printer, version, message);
    encode_again(schema, version, message, arena);
}

static void decode_header(slice bytes, struct arena *arena)
{
    struct request_header header;
    struct reader reader;
    reader_init(&reader, bytes, arena);
    if (!request_header_decode(&reader, &header)) {
        check(reader.status != CODEC_OK);
        return;
    }
    const struct api_schema *api = api_schema_find(header.api_key);
    check(api && header.api_version >= api->min_version && header.api_version <= api->max_version);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    int16_t version;
    if (size < 2)
        return 0;
    arena_init(&arena, NULL);
    const struct message_schema *schema = choose(data[0], data[1], &version);
    decode_message(slice_of(data + 2, size - 2), schema, version, &arena);
    decode_header(slice_of(data, size), &arena);
    arena_destroy(&arena);
    return 0;
}
