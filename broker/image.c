/* Looking things up in a metadata image. */
#include "broker/image.h"

#include <stdlib.h>

#include "broker/image_internal.h"
#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "protocol/base/siphash.h"

enum { TOPIC_NAME_SIZE_MAX = 249, INDEX_SLOTS_MIN = 16 };

static inline uint8_t without_dot(uint8_t c)
{
    return c == '.' ? '_' : c;
}

/* The same for the eight characters of a word at once. */
static inline uint64_t without_dots(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), low = 0x7f * ones;
    uint64_t x = word ^ '.' * ones;                      /* 0 where there is a dot */
    uint64_t is_dot = ~(((x & low) + low) | x | low);    /* 0x80 there, 0 elsewhere */
    return word ^ (is_dot >> 7) * (uint64_t)('.' ^ '_'); /* no carry: one bit of each byte */
}

uint64_t image__hash_name(const uint64_t key[2], slice name)
{
    struct siphash s = siphash_begin(key);
    uint64_t last = 0;
    size_t at = 0;
    for (; at + 8 <= name.size; at += 8)
        siphash_word(&s, without_dots(__builtin_bswap64(load_be64(name.data + at))));
    for (size_t i = at; i < name.size; i++)
        last |= (uint64_t)name.data[i] << (8 * (i % 8));
    return siphash_end(&s, without_dots(last) | (uint64_t)name.size << 56);
}

/* Ids are random, and no client chooses them. */
uint64_t image__hash_id(uuid id)
{
    uint64_t hash = (load_be64(id.bytes) ^ load_be64(id.bytes + 8)) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

bool image__names_collide(slice a, slice b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (without_dot(a.data[i]) != without_dot(b.data[i]))
            return false;
    return true;
}

struct image_index *image__index_create(size_t count, const uint64_t key[2])
{
    size_t slot_count = INDEX_SLOTS_MIN;
    while (slot_count < 2 * count)
        slot_count *= 2;
    struct image_index *index = calloc(1, sizeof *index + slot_count * sizeof index->slots[0]);
    if (!index)
        return NULL;
    index->key[0] = key[0];
    index->key[1] = key[1];
    index->mask = slot_count - 1;
    return index;
}

struct image_index *image__index_copy(const struct image_index *from, size_t more)
{
    size_t slot_count = from->mask + 1;
    if (2 * (from->count + more) > slot_count)
        return NULL;
    size_t size = sizeof *from + slot_count * sizeof from->slots[0];
    struct image_index *index = malloc(size);
    if (index)
        memcpy(index, from, size);
    return index;
}

static uint64_t hash_of(const struct image_index *index, enum image_index_kind kind,
                        const struct topic *topic)
{
    return kind == IMAGE_INDEX_NAME ? image__hash_name(index->key, topic->name_slice)
                                    : image__hash_id(topic->id);
}

void image__index_put(struct image_index *index, enum image_index_kind kind, const struct topic *topic)
{
    check(2 * (index->count + 1) <= index->mask + 1);
    size_t slot = hash_of(index, kind, topic) & index->mask;
    while (index->slots[slot])
        slot = (slot + 1) & index->mask;
    index->slots[slot] = topic;
    index->count++;
}

void image__index_replace(struct image_index *index, enum image_index_kind kind, const struct topic *before,
                          const struct topic *topic)
{
    size_t slot = hash_of(index, kind, before) & index->mask;
    while (index->slots[slot] != before) {
        check(index->slots[slot] != NULL);
        slot = (slot + 1) & index->mask;
    }
    index->slots[slot] = topic;
}

/* Whoever stands behind the gap and was pushed there, moves up: a search ends at the first free slot. */
void image__index_remove(struct image_index *index, enum image_index_kind kind, const struct topic *topic)
{
    size_t gap = hash_of(index, kind, topic) & index->mask;
    while (index->slots[gap] != topic) {
        check(index->slots[gap] != NULL);
        gap = (gap + 1) & index->mask;
    }
    for (size_t at = (gap + 1) & index->mask; index->slots[at]; at = (at + 1) & index->mask) {
        size_t home = hash_of(index, kind, index->slots[at]) & index->mask;
        if (((at - home) & index->mask) < ((at - gap) & index->mask))
            continue; /* its home lies behind the gap */
        index->slots[gap] = index->slots[at];
        gap = at;
    }
    index->slots[gap] = NULL;
    index->count--;
}

const struct topic *image_topic_by_name(const struct image *image, slice name)
{
    const struct image_index *index = image->by_name;
    size_t slot = image__hash_name(index->key, name) & index->mask;
    for (; index->slots[slot]; slot = (slot + 1) & index->mask)
        if (slice_equal(index->slots[slot]->name_slice, name))
            return index->slots[slot];
    return NULL;
}

const struct topic *image_topic_by_id(const struct image *image, uuid id)
{
    const struct image_index *index = image->by_id;
    size_t slot = image__hash_id(id) & index->mask;
    for (; index->slots[slot]; slot = (slot + 1) & index->mask)
        if (uuid_equal(index->slots[slot]->id, id))
            return index->slots[slot];
    return NULL;
}

const struct topic *image_topic_colliding(const struct image *image, slice name)
{
    const struct image_index *index = image->by_name;
    size_t slot = image__hash_name(index->key, name) & index->mask;
    for (; index->slots[slot]; slot = (slot + 1) & index->mask)
        if (image__names_collide(index->slots[slot]->name_slice, name))
            return index->slots[slot];
    return NULL;
}

uint64_t image_hash(const struct image *image, slice bytes)
{
    return image__hash_name(image->by_name->key, bytes);
}

int16_t image_feature(const struct image *image, const char *name)
{
    for (size_t i = 0; i < image->feature_count; i++)
        if (strcmp(image->features[i].name, name) == 0)
            return image->features[i].level;
    return 0;
}

static bool is_topic_character(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool topic_name_valid(slice name, const char **why)
{
    *why = NULL;
    if (name.size == 0)
        *why = "Topic name is invalid: the empty string is not allowed";
    else if (slice_equal_string(name, "."))
        *why = "Topic name is invalid: '.' is not allowed";
    else if (slice_equal_string(name, ".."))
        *why = "Topic name is invalid: '..' is not allowed";
    else if (name.size > TOPIC_NAME_SIZE_MAX)
        *why = "Topic name is invalid: the length is longer than the max allowed length 249";
    if (*why)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        if (!is_topic_character(name.data[i])) {
            *why = "Topic name is invalid: it contains one or more characters other than "
                   "ASCII alphanumerics, '.', '_' and '-'";
            return false;
        }
    }
    return true;
}

void image__free(void *image)
{
    struct image *dead = image;
    free(dead->by_name);
    free(dead->by_id);
    free((void *)dead->topics);
    free((void *)dead->resources);
    free(dead);
}

void image__topic_free(void *topic)
{
    free(topic);
}

void image__resource_free(void *resource)
{
    free(resource);
}
