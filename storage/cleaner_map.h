/* The newest offset of every key that the cleaner has seen: a bounded table of hashes. */
#ifndef RUNNEL_STORAGE_CLEANER_MAP_H
#define RUNNEL_STORAGE_CLEANER_MAP_H

#include "protocol/base/slice.h"

/* Keys are told apart by 128 bits of a hash under a secret of this process alone, so nobody can choose keys
 * that meet. Used by one thread. Takes memory as it fills, by doubling. */
struct cleaner_map;

enum { CLEANER_MAP_SLOT_SIZE = 24 };

/* size_max: bytes that the full table may take (while it grows, half as much again). load: of its slots, so
 * many may be used, 0 < load <= 1. Empty it takes nothing. NULL: no memory. */
struct cleaner_map *cleaner_map_create(size_t size_max, double load);
void cleaner_map_destroy(struct cleaner_map *map);
/* Forgets everything and gives the memory back. */
void cleaner_map_clear(struct cleaner_map *map);

/* Notes that the key was seen at offset, >= 0; a greater offset wins. False: it is a new key and there is no
 * room for it, by the bound or for want of memory. */
bool cleaner_map_put(struct cleaner_map *map, slice key, int64_t offset);
/* The greatest offset that was put for the key, or -1. */
int64_t cleaner_map_get(const struct cleaner_map *map, slice key);

size_t cleaner_map_count(const struct cleaner_map *map);
size_t cleaner_map_count_max(const struct cleaner_map *map);
/* Bytes that the table takes now. */
size_t cleaner_map_size(const struct cleaner_map *map);

#endif
