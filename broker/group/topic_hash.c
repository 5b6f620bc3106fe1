/* Kafka's hash of topics: XXH3 over what a stream of Java values puts in, little-endian (KIP-1101). */
#include "broker/group/topic_hash.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "protocol/base/bytes.h"

enum { MAGIC = 0, RACKS_MAX = 16 };

static void put_bytes(XXH3_state_t *state, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
    XXH3_64bits_update(state, bytes, size);
}

static void put_int32(XXH3_state_t *state, int32_t value)
{
    put_bytes(state, (uint32_t)value, 4);
}

static void put_int64(XXH3_state_t *state, uint64_t value)
{
    put_bytes(state, value, 8);
}

static void put_unit(XXH3_state_t *state, uint32_t unit)
{
    put_bytes(state, unit, 2);
}

/* The next character of UTF-8; what is none counts as one of its byte's value. */
static uint32_t next_character(const char **at)
{
    const uint8_t *bytes = (const uint8_t *)*at;
    int more = bytes[0] >= 0xf0 ? 3 : bytes[0] >= 0xe0 ? 2 : bytes[0] >= 0xc0 ? 1 : 0;
    uint32_t character = more ? bytes[0] & (0x3fu >> more) : bytes[0];
    for (int i = 1; i <= more; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            ++*at;
            return bytes[0];
        }
        character = character << 6 | (bytes[i] & 0x3fu);
    }
    *at += more + 1;
    return character;
}

/* A Java string: its UTF-16 units. Returns their count. */
static int32_t put_units(XXH3_state_t *state, const char *text)
{
    int32_t count = 0;
    while (*text) {
        uint32_t character = next_character(&text);
        bool is_pair = character >= 0x10000;
        if (state && is_pair) {
            put_unit(state, 0xd800 + ((character - 0x10000) >> 10));
            put_unit(state, 0xdc00 + ((character - 0x10000) & 0x3ff));
        } else if (state) {
            put_unit(state, character);
        }
        count += is_pair ? 2 : 1;
    }
    return count;
}

static void put_string(XXH3_state_t *state, const char *text)
{
    put_int32(state, put_units(state, text));
}

static int compare_racks(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *rack_of(const struct image *image, int32_t node_id)
{
    for (size_t i = 0; i < image->node_count; i++)
        if (image->nodes[i].id == node_id)
            return image->nodes[i].rack;
    return NULL;
}

static void put_racks(XXH3_state_t *state, const struct image *image,
                      const struct partition_metadata *partition)
{
    const char *racks[RACKS_MAX];
    size_t count = 0;
    for (int32_t i = 0; i < partition->replica_count && count < RACKS_MAX; i++)
        if ((racks[count] = rack_of(image, partition->replicas[i])) != NULL)
            count++;
    if (count > 1)
        qsort(racks, count, sizeof *racks, compare_racks);
    for (size_t i = 0; i < count; i++) {
        put_int32(state, put_units(NULL, racks[i]));
        put_string(state, racks[i]);
    }
}

int64_t topic_hash(const struct image *image, const struct topic *topic)
{
    const uint8_t magic = MAGIC;
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, &magic, 1);
    put_int64(&state, load_be64(topic->id.bytes));
    put_int64(&state, load_be64(topic->id.bytes + 8));
    put_string(&state, topic->name);
    put_int32(&state, topic->partition_count);
    for (int32_t p = 0; p < topic->partition_count; p++) {
        put_int32(&state, p);
        put_racks(&state, image, &topic->partitions[p]);
    }
    return (int64_t)XXH3_64bits_digest(&state);
}

int64_t topic_hash_all(const struct image *image, const struct topic *const *topics, size_t count)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (size_t i = 0; i < count; i++)
        put_int64(&state, (uint64_t)topic_hash(image, topics[i]));
    return count ? (int64_t)XXH3_64bits_digest(&state) : 0;
}
