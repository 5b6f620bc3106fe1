/* Topics that were removed: what their directories are, when they still lie there at the next start. */
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/note.h"
#include "storage/partition_metadata.h"
#include "storage/store_internal.h"

enum { BUCKETS_MIN = 64 };

struct store_removed {
    struct store_removed *next;
    uuid topic_id;
    int32_t partition_count;
    size_t name_size;
    char name[];
};

static struct store_removed **bucket_of(const struct store *store, uuid topic_id)
{
    uint64_t hash = store__hash(topic_id.bytes, sizeof topic_id.bytes, 0);

    return &store->removed_buckets[hash & (store->removed_bucket_count - 1)];
}

static bool grow(struct store *store)
{
    struct store_removed **old = store->removed_buckets;
    size_t old_count = store->removed_bucket_count;
    size_t count = old_count ? 2 * old_count : BUCKETS_MIN;
    struct store_removed **buckets = calloc(count, sizeof(struct store_removed *));

    if (!buckets)
        return old_count > 0; /* they only get longer */
    store->removed_buckets = buckets;
    store->removed_bucket_count = count;
    for (size_t i = 0; i < old_count; i++) {
        for (struct store_removed *it = old[i], *next; it; it = next) {
            next = it->next;
            struct store_removed **bucket = bucket_of(store, it->topic_id);
            it->next = *bucket;
            *bucket = it;
        }
    }
    free(old);
    return true;
}

/* Without memory it is not known, and what lies there stays for another start. */
void store_topic_removed(struct store *store, uuid topic_id, slice name, int32_t partition_count)
{
    if (store->found_count == 0 || (store->removed_count >= store->removed_bucket_count && !grow(store)))
        return;
    struct store_removed *removed = malloc(sizeof *removed + name.size);
    if (!removed)
        return;
    struct store_removed **bucket = bucket_of(store, topic_id);
    removed->next = *bucket;
    removed->topic_id = topic_id;
    removed->partition_count = partition_count;
    removed->name_size = name.size;
    memcpy(removed->name, name.data, name.size);
    *bucket = removed;
    store->removed_count++;
}

bool store__is_removed(const struct store *store, uuid topic_id)
{
    if (store->removed_bucket_count == 0)
        return false;
    const struct store_removed *it = *bucket_of(store, topic_id);
    while (it && !uuid_equal(it->topic_id, topic_id))
        it = it->next;
    return it != NULL;
}

/* Asked only for the odd directory without an id. */
bool store__is_removed_name(const struct store *store, slice topic, int32_t partition)
{
    for (size_t i = 0; i < store->removed_bucket_count; i++)
        for (const struct store_removed *it = store->removed_buckets[i]; it; it = it->next)
            if (partition < it->partition_count && slice_equal(slice_of(it->name, it->name_size), topic))
                return true;
    return false;
}

void store__forget_removed(struct store *store)
{
    for (size_t i = 0; i < store->removed_bucket_count; i++) {
        for (struct store_removed *it = store->removed_buckets[i], *next; it; it = next) {
            next = it->next;
            free(it);
        }
    }
    free(store->removed_buckets);
    store->removed_buckets = NULL;
    store->removed_bucket_count = store->removed_count = 0;
}

enum file_status store__set_aside_other(struct store_directory *directory, const char *name, bool is_removed)
{
    char *path = NULL;
    enum file_status status = store__set_aside(directory, name, is_removed ? "delete" : "stray", &path);

    if (is_removed) {
        note_info("partition.left_over", "directory=%s now=%s status=\"%s\" reason=topic_removed", name,
                  path ? path : "-", file_status_name(status));
        if (path)
            store__unlink_later(directory->store, path);
        return status;
    }
    note_warn("partition.stray", "directory=%s now=%s status=\"%s\" reason=other_topic_id", name,
              path ? path : "-", file_status_name(status));
    free(path);
    return status;
}

/* Whether a directory that no topic claims was a removed topic's. One without an id got nothing that was
 * acknowledged: its id is flushed with the first append. So its name is enough, as no topic has that now. */
static bool was_removed(const struct store *store, const struct store_found *found)
{
    const struct directory *directory = &store->directories[found->directory].directory;
    uuid topic_id = found->topic_id;

    if (store->removed_count == 0)
        return false;
    if (!found->has_row) {
        char *path = directory_child(directory, found->name);
        enum file_status status =
            path ? partition_metadata_read(directory->files, path, &topic_id) : FILE_LIMIT;
        free(path);
        if (status == FILE_NOT_FOUND) {
            const char *dash = strrchr(found->name, '-');
            return store__is_removed_name(store, slice_of(found->name, (size_t)(dash - found->name)),
                                          found->partition);
        }
        if (status != FILE_OK)
            return false;
    }
    return store__is_removed(store, topic_id);
}

bool store__drop_removed(struct store *store, struct store_found *found)
{
    if (!was_removed(store, found))
        return false;
    found->is_claimed = true;
    /* Else the next topic of that name would be taken for it. */
    struct store_directory *directory = &store->directories[found->directory];
    if (found->has_row &&
        (store__begin_changes(directory) != FILE_OK || store__mark_name(directory, found->name) != FILE_OK))
        return true;
    (void)store__set_aside_other(directory, found->name, true);
    return true;
}
