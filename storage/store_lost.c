/* Partitions that were here and are not: to begin them anew would give their offsets out again. */
#include <stdio.h>
#include <stdlib.h>

#include "storage/partition_metadata.h"
#include "storage/store_internal.h"

enum { ABSENT_BUCKETS = 1024 };

/* What Kafka's recovery points name and nobody has: they have names alone. */
struct store_absent {
    struct store_absent *next; /* in its bucket */
    int64_t end_offset;
    int32_t partition;
    size_t topic_size;
    char topic[];
};

static struct store_absent **absent_bucket(const struct store *store, slice topic, int32_t partition)
{
    return &store
                ->absent[store__hash(topic.data, topic.size, (uint64_t)(uint32_t)partition) % ABSENT_BUCKETS];
}

/* Without memory it is not known; such a start ends elsewhere. */
void store__note_absent(struct store *store, slice topic, int32_t partition, int64_t end_offset)
{
    if (!store->absent)
        store->absent = calloc(ABSENT_BUCKETS, sizeof(struct store_absent *));
    struct store_absent *absent = store->absent ? malloc(sizeof *absent + topic.size) : NULL;
    if (!absent)
        return;
    struct store_absent **bucket = absent_bucket(store, topic, partition);
    *absent = (struct store_absent){
        .next = *bucket, .end_offset = end_offset, .partition = partition, .topic_size = topic.size
    };
    memcpy(absent->topic, topic.data, topic.size);
    *bucket = absent;
}

void store__forget_absent(struct store *store)
{
    for (size_t i = 0; store->absent && i < ABSENT_BUCKETS; i++) {
        for (struct store_absent *it = store->absent[i], *next; it; it = next) {
            next = it->next;
            free(it);
        }
    }
    free(store->absent);
    store->absent = NULL;
}

static int64_t absent_end(const struct store *store, slice topic, int32_t partition)
{
    const struct store_absent *it = store->absent ? *absent_bucket(store, topic, partition) : NULL;

    while (it && (it->partition != partition || !slice_equal(slice_of(it->topic, it->topic_size), topic)))
        it = it->next;
    return it ? it->end_offset : 0;
}

/* Whether the directory says that it is another topic's. */
static bool is_others(const struct store *store, const struct store_found *found, uuid topic_id)
{
    const struct directory *directory = &store->directories[found->directory].directory;
    char *path = directory_child(directory, found->name);
    uuid id = UUID_ZERO;
    bool is_read = path && partition_metadata_read(directory->files, path, &id) == FILE_OK;

    free(path);
    return is_read && !uuid_equal(id, topic_id) && !partition_metadata_is_damage(id, topic_id);
}

const char *store_lost(const struct store *store, uuid topic_id, const char *topic, int32_t partition,
                       int64_t *end_offset)
{
    char name[DIRECTORY_NAME_SIZE + 16];

    snprintf(name, sizeof name, "%s-%d", topic, (int)partition);
    const struct store_found *found = store__find_found(store, name);
    const struct side_position *position = store__find_position(store, topic_id, partition);
    *end_offset = position ? position->durable.offset : 0;
    if (!found && *end_offset == 0)
        *end_offset = absent_end(store, slice_of_string(topic), partition);
    if (*end_offset == 0)
        return NULL;
    if (!found)
        return "no directory of that name is there";
    return !found->has_row && is_others(store, found, topic_id)
               ? "the partition.metadata of its directory names another topic"
               : NULL;
}
