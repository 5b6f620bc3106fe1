/* ApiVersions v0-4: what this broker serves, and which features hold.
 * v3 flexible, with the client's software and features; v4 features whose minimum is 0 (KIP-1043).
 * Its response header is version 0 in every version. */
#include "broker/handlers/handlers.h"

#include "broker/dispatch.h"
#include "broker/metadata_replay.h"

enum { SOFTWARE_SINCE = 3 };

static bool is_alphanumeric(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])? (KIP-511) */
static bool is_software_word(slice word)
{
    if (word.size == 0 || !is_alphanumeric(word.data[0]) || !is_alphanumeric(word.data[word.size - 1]))
        return false;
    for (size_t i = 0; i < word.size; i++)
        if (!is_alphanumeric(word.data[i]) && word.data[i] != '-' && word.data[i] != '.')
            return false;
    return true;
}

static bool fill_keys(struct request *rq, struct api_versions_response *out)
{
    size_t count;
    const struct api_row *rows = api_rows(&count);
    out->api_keys = arena_alloc_array(&rq->arena, count, sizeof *out->api_keys);
    if (!out->api_keys)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct api_versions_response_api_key *key = &out->api_keys[i];
        api_versions_response_api_key_init(key);
        key->api_key = rows[i].key;
        /* Below what is served where clients draw conclusions from the range (facts: protocol 1.3). */
        key->min_version = rows[i].schema->advertised_min < rows[i].served_min
                               ? rows[i].schema->advertised_min
                               : rows[i].served_min;
        key->max_version = rows[i].served_max;
    }
    out->api_keys_count = (int32_t)count;
    return true;
}

/* A feature is told when an API behind it is served. Old Java clients stumble over a supported
 * minimum of 0 below v4 (KAFKA-17492): metadata.version has none. */
static bool fill_features(struct request *rq, struct api_versions_response *out)
{
    out->supported_features = arena_alloc_array(&rq->arena, 1, sizeof *out->supported_features);
    out->finalized_features = arena_alloc_array(&rq->arena, 1, sizeof *out->finalized_features);
    if (!out->supported_features || !out->finalized_features)
        return false;
    api_versions_response_supported_feature_init(out->supported_features);
    out->supported_features->name = SLICE_LITERAL("metadata.version");
    out->supported_features->min_version = METADATA_VERSION_MIN;
    out->supported_features->max_version = METADATA_VERSION_MAX;
    out->supported_features_count = 1;

    out->finalized_features_epoch = rq->image->end_offset;
    struct api_versions_response_finalized_feature *feature = out->finalized_features;
    api_versions_response_finalized_feature_init(feature);
    feature->name = SLICE_LITERAL("metadata.version");
    feature->max_version_level = feature->min_version_level = image_feature(rq->image, "metadata.version");
    out->finalized_features_count = feature->max_version_level > 0;
    return true;
}

enum handled handle_api_versions(struct request *rq, const struct api_versions_request *in,
                                 struct api_versions_response *out)
{
    if (rq->api_version >= SOFTWARE_SINCE &&
        (!is_software_word(in->client_software_name) || !is_software_word(in->client_software_version))) {
        out->error_code = ERR_INVALID_REQUEST;
        return HANDLED_DONE;
    }
    return fill_keys(rq, out) && fill_features(rq, out) ? HANDLED_DONE : HANDLED_CLOSE;
}
