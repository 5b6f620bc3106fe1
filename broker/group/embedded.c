/* The consumer protocol's subscriptions and assignments, as bytes. */
#include "broker/group/embedded.h"

#include "protocol/reader.h"
#include "protocol/writer.h"

enum { VERSION_MAX = 3, OWNED_SINCE = 1, GENERATION_SINCE = 2, RACK_SINCE = 3 };

/* What is newer begins as what we know. */
static bool read_version(struct reader *reader, int16_t *version)
{
    if (!reader_int16(reader, version) || *version < 0)
        return false;
    *version = *version > VERSION_MAX ? VERSION_MAX : *version;
    return true;
}

/* [topic, [partition]]; topics that are not there are passed over. */
static enum embedded_status read_set(struct reader *reader, struct arena *arena, const struct image *image,
                                     const struct partition_set **out)
{
    enum { TOPIC_SIZE_MIN = 6, PARTITION_SIZE = 4 };
    int32_t count, partition_count, kept = 0;
    if (!reader_array(reader, false, false, TOPIC_SIZE_MIN, &count))
        return EMBEDDED_MALFORMED;
    struct raw_topic *raw = arena_alloc_array(arena, (size_t)count, sizeof *raw);
    if (!raw)
        return EMBEDDED_NO_MEMORY;
    for (int32_t t = 0; t < count; t++) {
        slice name;
        if (!reader_string(reader, false, false, &name) ||
            !reader_array(reader, false, false, PARTITION_SIZE, &partition_count))
            return EMBEDDED_MALFORMED;
        int32_t *partitions = arena_alloc_array(arena, (size_t)partition_count, sizeof *partitions);
        if (!partitions)
            return EMBEDDED_NO_MEMORY;
        const struct topic *topic = image_topic_by_name(image, name);
        int32_t valid_count = 0;
        for (int32_t p = 0; p < partition_count; p++) {
            int32_t partition;
            if (!reader_int32(reader, &partition))
                return EMBEDDED_MALFORMED;
            if (topic && partition >= 0 && partition < topic->partition_count)
                partitions[valid_count++] = partition;
        }
        if (topic)
            raw[kept++] = (struct raw_topic){ topic->id, partitions, valid_count };
    }
    *out = partition_set_make(arena, raw, kept);
    return *out ? EMBEDDED_OK : EMBEDDED_NO_MEMORY;
}

enum embedded_status embedded_read_subscription(struct arena *arena, const struct image *image, slice bytes,
                                                struct embedded_subscription *out)
{
    enum { NAME_SIZE_MIN = 2 };
    struct reader reader;
    slice user_data;
    int32_t generation;
    *out = (struct embedded_subscription){ .owned = &partition_set_empty };
    reader_init(&reader, bytes, arena);
    if (!read_version(&reader, &out->version) ||
        !reader_array(&reader, false, false, NAME_SIZE_MIN, &out->topic_count))
        return EMBEDDED_MALFORMED;
    out->topics = arena_alloc_array(arena, (size_t)out->topic_count, sizeof *out->topics);
    if (!out->topics)
        return EMBEDDED_NO_MEMORY;
    for (int32_t t = 0; t < out->topic_count; t++)
        if (!reader_string(&reader, false, false, &out->topics[t]))
            return EMBEDDED_MALFORMED;
    if (!reader_bytes(&reader, false, true, &user_data))
        return EMBEDDED_MALFORMED;
    enum embedded_status status =
        out->version >= OWNED_SINCE ? read_set(&reader, arena, image, &out->owned) : EMBEDDED_OK;
    if (status != EMBEDDED_OK)
        return status;
    if (out->version >= GENERATION_SINCE && !reader_int32(&reader, &generation))
        return EMBEDDED_MALFORMED;
    if (out->version >= RACK_SINCE && !reader_string(&reader, false, true, &out->rack_id))
        return EMBEDDED_MALFORMED;
    return EMBEDDED_OK;
}

enum embedded_status embedded_read_assignment(struct arena *arena, const struct image *image, slice bytes,
                                              const struct partition_set **out, bool *has_user_data)
{
    struct reader reader;
    int16_t version;
    slice user_data;
    *out = &partition_set_empty;
    *has_user_data = false;
    if (bytes.size == 0)
        return EMBEDDED_OK;
    reader_init(&reader, bytes, arena);
    if (!read_version(&reader, &version))
        return EMBEDDED_MALFORMED;
    enum embedded_status status = read_set(&reader, arena, image, out);
    if (status != EMBEDDED_OK)
        return status;
    if (!reader_bytes(&reader, false, true, &user_data))
        return EMBEDDED_MALFORMED;
    *has_user_data = user_data.size > 0;
    return EMBEDDED_OK;
}

static bool write_set(struct writer *writer, const struct image *image, const struct partition_set *set)
{
    int32_t count = 0;
    for (int32_t t = 0; t < set->topic_count; t++)
        count += image_topic_by_id(image, set->topics[t].id) != NULL;
    if (!writer_array(writer, false, false, count))
        return false;
    for (int32_t t = 0; t < set->topic_count; t++) {
        const struct topic *topic = image_topic_by_id(image, set->topics[t].id);
        if (!topic)
            continue;
        if (!writer_string(writer, false, false, topic->name_slice) ||
            !writer_array(writer, false, false, set->topics[t].count))
            return false;
        for (int32_t p = 0; p < set->topics[t].count; p++)
            if (!writer_int32(writer, set->topics[t].partitions[p]))
                return false;
    }
    return true;
}

slice embedded_write_assignment(struct arena *arena, const struct image *image,
                                const struct partition_set *set, int16_t version)
{
    enum { FRAME_SIZE = 16, NAME_SIZE_MAX = 256 };
    struct chain chain;
    struct writer writer;
    size_t size =
        FRAME_SIZE + (size_t)set->topic_count * NAME_SIZE_MAX + partition_set_size(set) * sizeof(int32_t);
    chain_init(&chain, arena);
    writer_init(&writer, &chain);
    if (!writer_reserve(&writer, size) || !writer_int16(&writer, version) ||
        !write_set(&writer, image, set) || !writer_bytes(&writer, false, true, SLICE_NULL) ||
        !writer_finish(&writer) || chain.count != 1)
        return SLICE_NULL;
    return chain.parts[0].bytes;
}
