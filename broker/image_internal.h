/* What the files of the image share: its indexes, and the making and freeing of its parts. */
#ifndef RUNNEL_BROKER_IMAGE_INTERNAL_H
#define RUNNEL_BROKER_IMAGE_INTERNAL_H

#include "broker/image.h"

/* An open-addressing table of borrowed topics, at most half full. Names are hashed with '.' read as
 * '_', so that one table answers both who has this name and who collides with it; the hash is keyed,
 * as clients choose names. */
struct image_index {
    uint64_t key[2];
    size_t mask; /* slot count - 1 */
    size_t count;
    const struct topic *slots[];
};

enum image_index_kind { IMAGE_INDEX_NAME, IMAGE_INDEX_ID };

uint64_t image__hash_name(const uint64_t key[2], slice name);
uint64_t image__hash_id(uuid id);
/* Equal, or different only in '.' and '_'. */
bool image__names_collide(slice a, slice b);

/* An empty index with room for count topics; NULL: no memory. */
struct image_index *image__index_create(size_t count, const uint64_t key[2]);
/* A copy of an index that can take `more` topics, or NULL. */
struct image_index *image__index_copy(const struct image_index *from, size_t more);
void image__index_put(struct image_index *index, enum image_index_kind kind, const struct topic *topic);
/* Puts topic in the place of before, which has the same name and id. */
void image__index_replace(struct image_index *index, enum image_index_kind kind, const struct topic *before,
                          const struct topic *topic);

void image__index_remove(struct image_index *index, enum image_index_kind kind, const struct topic *topic);

/* Frees the image, not its topics and resources. */
void image__free(void *image);
/* Frees the topic, not what its partitions point to. */
void image__topic_free(void *topic);
void image__resource_free(void *resource);

#endif
