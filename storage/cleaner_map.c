/* The newest offset of every key that the cleaner has seen: a bounded table of hashes. */
#include "storage/cleaner_map.h"

#include <stdlib.h>
#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "protocol/base/random.h"

enum {
    SECRET_SIZE = 192, /* bytes; XXH3 asks for 136 */
    SLOTS_FIRST = 1024,
};

/* Open addressing, probed linearly. Offsets are kept plus one, so zeroed memory is empty. */
struct slot {
    uint64_t high, low; /* of the key's hash */
    int64_t next_offset;
};

_Static_assert(sizeof(struct slot) == CLEANER_MAP_SLOT_SIZE, "what dedupe.buffer.size is divided by");

struct cleaner_map {
    struct slot *slots; /* NULL: none yet */
    size_t slot_count;
    size_t slot_count_max;
    size_t count;
    size_t count_max; /* by the bound */
    double load;
    uint8_t secret[SECRET_SIZE];
};

/* Straight from the kernel, zeroed, and back to it: malloc would keep what is freed for the next use, which may be
 * hours away. */
static struct slot *slots_create(size_t count)
{
    void *slots =
        mmap(NULL, count * sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return slots == MAP_FAILED ? NULL : slots;
}

static void slots_destroy(struct slot *slots, size_t count)
{
    if (slots)
        munmap(slots, count * sizeof(struct slot));
}

struct cleaner_map *cleaner_map_create(size_t size_max, double load)
{
    struct cleaner_map *map = calloc(1, sizeof *map);
    if (!map)
        return NULL;
    map->load = load;
    map->slot_count_max = size_max / sizeof(struct slot);
    map->count_max = (size_t)((double)map->slot_count_max * load);
    /* One slot stays empty: there a search ends. */
    if (map->count_max >= map->slot_count_max)
        map->count_max = map->slot_count_max > 0 ? map->slot_count_max - 1 : 0;
    random_secure(map->secret, sizeof map->secret);
    return map;
}

void cleaner_map_destroy(struct cleaner_map *map)
{
    if (map)
        slots_destroy(map->slots, map->slot_count);
    free(map);
}

void cleaner_map_clear(struct cleaner_map *map)
{
    slots_destroy(map->slots, map->slot_count);
    map->slots = NULL;
    map->slot_count = map->count = 0;
}

/* The slot where the search begins: the hash's share of the table, whatever its size. */
static size_t home_of(const struct cleaner_map *map, uint64_t high)
{
    return (size_t)((unsigned __int128)high * map->slot_count >> 64);
}

/* The slot of that hash, or the empty one that it would get. */
static struct slot *find(const struct cleaner_map *map, uint64_t high, uint64_t low)
{
    size_t i = home_of(map, high);
    for (;;) {
        struct slot *slot = &map->slots[i];
        if (slot->next_offset == 0 || (slot->high == high && slot->low == low))
            return slot;
        if (++i == map->slot_count)
            i = 0;
    }
}

static size_t count_max_of(const struct cleaner_map *map, size_t slot_count)
{
    if (slot_count == map->slot_count_max)
        return map->count_max;
    size_t count = (size_t)((double)slot_count * map->load);
    return count < slot_count ? count : slot_count - 1;
}

/* A table twice as large, or the first one. */
static bool grow(struct cleaner_map *map)
{
    struct slot *old = map->slots;
    size_t old_count = map->slot_count;
    size_t count = old_count ? old_count * 2 : SLOTS_FIRST;
    if (count > map->slot_count_max / 2) /* the last step is to the bound itself */
        count = map->slot_count_max;
    if (count <= old_count)
        return false;
    struct slot *slots = slots_create(count);
    if (!slots)
        return false;
    map->slots = slots;
    map->slot_count = count;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].next_offset != 0)
            *find(map, old[i].high, old[i].low) = old[i];
    }
    slots_destroy(old, old_count);
    return true;
}

static XXH128_hash_t hash_of(const struct cleaner_map *map, slice key)
{
    return XXH3_128bits_withSecret(key.data, key.size, map->secret, sizeof map->secret);
}

bool cleaner_map_put(struct cleaner_map *map, slice key, int64_t offset)
{
    XXH128_hash_t hash = hash_of(map, key);
    struct slot *slot = map->slots ? find(map, hash.high64, hash.low64) : NULL;
    if (slot && slot->next_offset != 0) {
        if (offset + 1 > slot->next_offset)
            slot->next_offset = offset + 1;
        return true;
    }
    if (map->count >= map->count_max)
        return false;
    if (!slot || map->count >= count_max_of(map, map->slot_count)) {
        if (!grow(map))
            return false;
        slot = find(map, hash.high64, hash.low64);
    }
    *slot = (struct slot){ hash.high64, hash.low64, offset + 1 };
    map->count++;
    return true;
}

int64_t cleaner_map_get(const struct cleaner_map *map, slice key)
{
    if (!map->slots)
        return -1;
    XXH128_hash_t hash = hash_of(map, key);
    return find(map, hash.high64, hash.low64)->next_offset - 1;
}

size_t cleaner_map_count(const struct cleaner_map *map)
{
    return map->count;
}

size_t cleaner_map_count_max(const struct cleaner_map *map)
{
    return map->count_max;
}

size_t cleaner_map_size(const struct cleaner_map *map)
{
    return map->slot_count * sizeof(struct slot);
}
