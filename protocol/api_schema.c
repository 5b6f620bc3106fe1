/* The headers of requests and responses, whose form hangs on the API and its version; and KRaft's frames. */
#include "protocol/api_schema.h"

#include "codec/apis.h"

/* Header v2 is v1 with tagged fields at its end; client_id keeps its int16 length. */
static bool decode_rest(struct reader *reader, bool tagged, struct request_header *out)
{
    return reader_string(reader, false, true, &out->client_id) && (!tagged || reader_skip_tags(reader));
}

bool request_header_decode(struct reader *reader, struct request_header *out)
{
    out->client_id = SLICE_NULL;
    const uint8_t *p = reader_take(reader, 8);
    if (p == NULL)
        return false;
    out->api_key = (int16_t)load_be16(p);
    out->api_version = (int16_t)load_be16(p + 2);
    out->correlation_id = (int32_t)load_be32(p + 4);

    const struct api_schema *api = api_schema_find(out->api_key);
    if (api == NULL)
        return reader_fail(reader, CODEC_UNKNOWN_KEY);
    bool known = out->api_version >= api->min_version && out->api_version <= api->max_version;
    if (!known && api->key != API_KEY_API_VERSIONS)
        return reader_fail(reader, CODEC_UNKNOWN_VERSION);
    if (!decode_rest(reader, out->api_version >= api->flexible_from, out))
        return false;
    return known ? true : reader_fail(reader, CODEC_UNKNOWN_VERSION);
}

static const struct api_schema *find_known(int16_t key, int16_t version, enum codec_status *status)
{
    const struct api_schema *api = api_schema_find(key);
    if (api == NULL)
        *status = CODEC_UNKNOWN_KEY;
    else if (version < api->min_version || version > api->max_version)
        *status = CODEC_UNKNOWN_VERSION;
    else
        *status = CODEC_OK;
    return *status == CODEC_OK ? api : NULL;
}

bool request_header_encode(struct writer *writer, const struct request_header *in)
{
    enum codec_status status;
    const struct api_schema *api = find_known(in->api_key, in->api_version, &status);
    if (api == NULL)
        return writer_fail(writer, status);
    uint8_t *p = writer_take(writer, 8);
    if (p == NULL)
        return false;
    store_be16(p, (uint16_t)in->api_key);
    store_be16(p + 2, (uint16_t)in->api_version);
    store_be32(p + 4, (uint32_t)in->correlation_id);
    return writer_string(writer, false, true, in->client_id) &&
           (in->api_version < api->flexible_from || writer_uvarint(writer, 0));
}

bool response_header_encode(struct writer *writer, int16_t api_key, int16_t api_version,
                            int32_t correlation_id)
{
    enum codec_status status;
    const struct api_schema *api = find_known(api_key, api_version, &status);
    if (api == NULL)
        return writer_fail(writer, status);
    return writer_int32(writer, correlation_id) &&
           (api_version < api->response_header_from || writer_uvarint(writer, 0));
}

bool response_header_decode(struct reader *reader, int16_t api_key, int16_t api_version,
                            int32_t *correlation_id)
{
    enum codec_status status;
    const struct api_schema *api = find_known(api_key, api_version, &status);
    if (api == NULL)
        return reader_fail(reader, status);
    return reader_int32(reader, correlation_id) &&
           (api_version < api->response_header_from || reader_skip_tags(reader));
}

enum { KRAFT_FRAME_VERSION = 1 };

bool kraft_frame_decode(struct reader *reader, uint32_t *type, uint32_t *version)
{
    uint32_t frame_version;
    if (!reader_uvarint(reader, &frame_version))
        return false;
    if (frame_version != KRAFT_FRAME_VERSION)
        return reader_fail(reader, CODEC_UNSUPPORTED);
    return reader_uvarint(reader, type) && reader_uvarint(reader, version);
}

bool kraft_frame_encode(struct writer *writer, uint32_t type, uint32_t version)
{
    return writer_uvarint(writer, KRAFT_FRAME_VERSION) && writer_uvarint(writer, type) &&
           writer_uvarint(writer, version);
}
