/* ApiVersions v0-4: what this broker serves, and which features hold.
 * v3 flexible, with the client's software and features; v4 features whose minimum is 0 (KIP-1043).
 * Its response header is version 0 in every version. */
#include "broker/handlers/handlers.h"

#include <pthread.h>

#include "broker/dispatch.h"
#include "broker/metadata_replay.h"
#include "protocol/base/check.h"

enum { SOFTWARE_SINCE = 3, API_KEYS_MAX = 128 };

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

/* The same for ever, and of every answer: clients ask at each connection, some as a ping. */
static struct api_versions_response_api_key served[API_KEYS_MAX];
static int32_t served_count;
static pthread_once_t served_once = PTHREAD_ONCE_INIT;

static void make_served(void)
{
    size_t count;
    const struct api_row *rows = api_rows(&count);
    check(count <= API_KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct api_versions_response_api_key *key = &served[i];
        api_versions_response_api_key_init(key);
        key->api_key = rows[i].key;
        /* Below what is served where clients draw conclusions from the range (facts: protocol 1.3). */
        key->min_version = rows[i].schema->advertised_min < rows[i].served_min
                               ? rows[i].schema->advertised_min
                               : rows[i].served_min;
        key->max_version = rows[i].served_max;
    }
    served_count = (int32_t)count;
}

/* What is supported, when an API behind it is served, and what of it holds. */
static const struct feature {
    const char *name;
    int16_t min;
    int16_t max;
} features[] = { { "metadata.version", METADATA_VERSION_MIN, METADATA_VERSION_MAX },
                 { "group.version", 0, GROUP_VERSION_MAX } };
enum { FEATURE_COUNT = sizeof features / sizeof *features, ZERO_MINIMUM_SINCE = 4 };

/* Old Java clients stumble over a supported minimum of 0 (KAFKA-17492): below v4 such a feature is left out,
 * as Kafka does. What is finalized, they are told. */
static bool fill_features(struct request *rq, struct api_versions_response *out)
{
    out->supported_features = arena_alloc_array(&rq->arena, FEATURE_COUNT, sizeof *out->supported_features);
    out->finalized_features = arena_alloc_array(&rq->arena, FEATURE_COUNT, sizeof *out->finalized_features);
    if (!out->supported_features || !out->finalized_features)
        return false;
    out->finalized_features_epoch = rq->image->end_offset;
    for (int i = 0; i < FEATURE_COUNT; i++) {
        int16_t level = image_feature(rq->image, features[i].name);
        if (features[i].min > 0 || rq->api_version >= ZERO_MINIMUM_SINCE) {
            struct api_versions_response_supported_feature *feature =
                &out->supported_features[out->supported_features_count++];
            api_versions_response_supported_feature_init(feature);
            feature->name = slice_of_string(features[i].name);
            feature->min_version = features[i].min;
            feature->max_version = features[i].max;
        }
        if (level > 0) {
            struct api_versions_response_finalized_feature *feature =
                &out->finalized_features[out->finalized_features_count++];
            api_versions_response_finalized_feature_init(feature);
            feature->name = slice_of_string(features[i].name);
            feature->max_version_level = feature->min_version_level = level;
        }
    }
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
    pthread_once(&served_once, make_served);
    out->api_keys = served; /* read only */
    out->api_keys_count = served_count;
    return fill_features(rq, out) ? HANDLED_DONE : HANDLED_CLOSE;
}
