/* Keeps the offsets of a group: sorted by topic and partition, as they are asked for. */
#include "broker/group/offsets.h"

#include <stdlib.h>

#include "protocol/base/check.h"

struct entry {
    int32_t partition;
    struct stored_offset stored;
};

struct topic_offsets {
    slice name; /* behind the struct */
    struct entry *entries; /* ascending by partition */
    size_t count;
    size_t capacity;
};

/* Committed inside a transaction that has not ended. */
struct pending_commit {
    struct pending_commit *next;
    int64_t producer_id;
    slice topic; /* owned */
    int32_t partition;
    bool is_tombstone;
    struct stored_offset stored;
};

struct group_offsets {
    struct topic_offsets **topics; /* ascending by name */
    size_t topic_count;
    size_t topic_capacity;
    size_t count;
    struct pending_commit *pending; /* newest first */
    size_t pending_count;
};

/* -- memory ------------------------------------------------------------------------------------------------ */

static bool copy_slice(slice from, slice *out)
{
    *out = SLICE_LITERAL("");
    if (from.size == 0)
        return true;
    uint8_t *data = malloc(from.size);
    if (!data)
        return false;
    memcpy(data, from.data, from.size);
    *out = slice_of(data, from.size);
    return true;
}

static void free_slice(slice owned)
{
    if (owned.size > 0)
        free((void *)(uintptr_t)owned.data);
}

static void free_pending(struct pending_commit *pending)
{
    free_slice(pending->topic);
    free_slice(pending->stored.metadata);
    free(pending);
}

static void free_topic(struct topic_offsets *topic)
{
    for (size_t i = 0; i < topic->count; i++)
        free_slice(topic->entries[i].stored.metadata);
    free(topic->entries);
    free(topic);
}

void group_offsets_destroy(struct group_offsets *offsets)
{
    struct pending_commit *next;
    for (struct pending_commit *pending = offsets->pending; pending; pending = next) {
        next = pending->next;
        free_pending(pending);
    }
    for (size_t i = 0; i < offsets->topic_count; i++)
        free_topic(offsets->topics[i]);
    free(offsets->topics);
    free(offsets);
}

/* -- finding ----------------------------------------------------------------------------------------------- */

static int compare_names(slice a, slice b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* Where the topic is, or belongs. */
static size_t topic_place(const struct group_offsets *offsets, slice name, bool *is_there)
{
    size_t low = 0, high = offsets->topic_count;
    *is_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_names(offsets->topics[middle]->name, name);
        if (order == 0) {
            *is_there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t entry_place(const struct topic_offsets *topic, int32_t partition, bool *is_there)
{
    size_t low = 0, high = topic->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (topic->entries[middle].partition < partition)
            low = middle + 1;
        else
            high = middle;
    }
    *is_there = low < topic->count && topic->entries[low].partition == partition;
    return low;
}

const struct stored_offset *group_offsets_find(const struct group *group, slice topic, int32_t partition)
{
    bool is_there;
    if (!group->offsets)
        return NULL;
    size_t at = topic_place(group->offsets, topic, &is_there);
    if (!is_there)
        return NULL;
    const struct topic_offsets *found = group->offsets->topics[at];
    at = entry_place(found, partition, &is_there);
    return is_there ? &found->entries[at].stored : NULL;
}

bool group_offsets_is_pending(const struct group *group, slice topic, int32_t partition)
{
    const struct pending_commit *pending = group->offsets ? group->offsets->pending : NULL;
    while (pending && !(pending->partition == partition && slice_equal(pending->topic, topic)))
        pending = pending->next;
    return pending != NULL;
}

bool group_offsets_has_pending(const struct group *group)
{
    return group->offsets && group->offsets->pending;
}

size_t group_offsets_count(const struct group *group)
{
    return group->offsets ? group->offsets->count + group->offsets->pending_count : 0;
}

void group_offsets_visit(const struct group *group, offset_visit visit, void *context)
{
    for (size_t t = 0; group->offsets && t < group->offsets->topic_count; t++) {
        const struct topic_offsets *topic = group->offsets->topics[t];
        for (size_t i = 0; i < topic->count; i++)
            visit(context, topic->name, topic->entries[i].partition, &topic->entries[i].stored);
    }
}

/* -- changing ---------------------------------------------------------------------------------------------- */

static bool reserve(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t larger = *capacity ? 2 * *capacity : 4;
    void *grown = realloc(*items, larger * size);
    if (!grown)
        return false;
    *items = grown;
    *capacity = larger;
    return true;
}

static struct topic_offsets *make_topic(struct group_offsets *offsets, slice name)
{
    bool is_there;
    size_t at = topic_place(offsets, name, &is_there);
    if (is_there)
        return offsets->topics[at];
    if (!reserve((void **)&offsets->topics, offsets->topic_count, &offsets->topic_capacity,
                 sizeof(struct topic_offsets *)))
        return NULL;
    struct topic_offsets *topic = calloc(1, sizeof *topic + name.size);
    if (!topic)
        return NULL;
    memcpy(topic + 1, name.data, name.size);
    topic->name = slice_of((const uint8_t *)(topic + 1), name.size);
    memmove(&offsets->topics[at + 1], &offsets->topics[at],
            (offsets->topic_count - at) * sizeof(struct topic_offsets *));
    offsets->topics[at] = topic;
    offsets->topic_count++;
    return topic;
}

static void drop_topic_if_void(struct group_offsets *offsets, struct topic_offsets *topic)
{
    bool is_there;
    if (topic->count > 0)
        return;
    size_t at = topic_place(offsets, topic->name, &is_there);
    check(is_there);
    memmove(&offsets->topics[at], &offsets->topics[at + 1],
            (offsets->topic_count - at - 1) * sizeof(struct topic_offsets *));
    offsets->topic_count--;
    free_topic(topic);
}

/* Takes the metadata of stored. */
static bool put(struct group_offsets *offsets, slice name, int32_t partition, const struct stored_offset *stored)
{
    bool is_there;
    struct topic_offsets *topic = make_topic(offsets, name);
    if (!topic)
        return false;
    size_t at = entry_place(topic, partition, &is_there);
    if (is_there) {
        free_slice(topic->entries[at].stored.metadata);
    } else {
        if (!reserve((void **)&topic->entries, topic->count, &topic->capacity, sizeof *topic->entries)) {
            drop_topic_if_void(offsets, topic);
            return false;
        }
        memmove(&topic->entries[at + 1], &topic->entries[at], (topic->count - at) * sizeof *topic->entries);
        topic->count++;
        offsets->count++;
    }
    topic->entries[at] = (struct entry){ partition, *stored };
    return true;
}

static void take_out(struct group_offsets *offsets, slice name, int32_t partition)
{
    bool is_there;
    size_t at = topic_place(offsets, name, &is_there);
    if (!is_there)
        return;
    struct topic_offsets *topic = offsets->topics[at];
    at = entry_place(topic, partition, &is_there);
    if (!is_there)
        return;
    free_slice(topic->entries[at].stored.metadata);
    memmove(&topic->entries[at], &topic->entries[at + 1], (topic->count - at - 1) * sizeof *topic->entries);
    topic->count--;
    offsets->count--;
    drop_topic_if_void(offsets, topic);
}

static bool add_pending(struct group_offsets *offsets, int64_t producer_id, const struct offset_commit_key *key,
                        const struct stored_offset *stored, bool is_tombstone)
{
    struct pending_commit *pending = calloc(1, sizeof *pending);
    if (!pending || !copy_slice(key->topic, &pending->topic)) {
        free(pending);
        return false;
    }
    pending->producer_id = producer_id;
    pending->partition = key->partition;
    pending->is_tombstone = is_tombstone;
    pending->stored = *stored;
    pending->next = offsets->pending;
    offsets->pending = pending;
    offsets->pending_count++;
    return true;
}

bool group_offsets_replay(struct group *group, const struct offset_commit_key *key,
                          const struct offset_commit_value *value, const struct shard_record *record)
{
    struct stored_offset stored = { .metadata = SLICE_LITERAL("") };
    if (!group->offsets && !value)
        return true;
    if (!group->offsets && !(group->offsets = calloc(1, sizeof *group->offsets)))
        return false;
    if (value) {
        stored = (struct stored_offset){ .offset = value->offset,
                                         .leader_epoch = value->leader_epoch,
                                         .commit_ms = value->commit_timestamp,
                                         .expire_ms = value->expire_timestamp,
                                         .topic_id = value->topic_id };
        if (!copy_slice(value->metadata, &stored.metadata))
            return false;
    }
    bool ok = true;
    if (record->is_transactional)
        ok = add_pending(group->offsets, record->producer_id, key, &stored, !value);
    else if (value)
        ok = put(group->offsets, key->topic, key->partition, &stored);
    else
        take_out(group->offsets, key->topic, key->partition);
    if (!ok)
        free_slice(stored.metadata);
    return ok;
}

/* The list is newest first; what was committed last has to count. */
static void reverse(struct pending_commit **list)
{
    struct pending_commit *reversed = NULL, *next;
    for (struct pending_commit *pending = *list; pending; pending = next) {
        next = pending->next;
        pending->next = reversed;
        reversed = pending;
    }
    *list = reversed;
}

static bool apply_pending(struct group_offsets *offsets, struct pending_commit *pending)
{
    if (pending->is_tombstone) {
        take_out(offsets, pending->topic, pending->partition);
        return true;
    }
    if (!put(offsets, pending->topic, pending->partition, &pending->stored))
        return false;
    pending->stored.metadata = SLICE_LITERAL("");
    return true;
}

bool group_offsets_marker(struct group *group, int64_t producer_id, bool is_commit)
{
    struct group_offsets *offsets = group->offsets;
    bool ok = true;
    if (!offsets || !offsets->pending)
        return true;
    reverse(&offsets->pending);
    for (struct pending_commit **link = &offsets->pending; *link && ok;) {
        struct pending_commit *pending = *link;
        if (pending->producer_id != producer_id) {
            link = &pending->next;
            continue;
        }
        ok = !is_commit || apply_pending(offsets, pending);
        *link = pending->next;
        offsets->pending_count--;
        free_pending(pending);
    }
    reverse(&offsets->pending);
    return ok;
}

/* -- tombstones --------------------------------------------------------------------------------------------- */

void group_offsets_add_tombstone(struct shard_op *op, const struct group *group, slice topic, int32_t partition)
{
    const struct offset_commit_key key = { group->id, topic, partition };
    shard_op_add(op, "group", GROUP_RECORD_OFFSET_COMMIT, &key, 0, NULL);
}

struct tombstones {
    struct shard_op *op;
    const struct group *group;
};

static void add_tombstone(void *context, slice topic, int32_t partition, const struct stored_offset *stored)
{
    struct tombstones *tombstones = context;
    (void)stored;
    group_offsets_add_tombstone(tombstones->op, tombstones->group, topic, partition);
}

void group_offsets_add_tombstones(struct shard_op *op, const struct group *group)
{
    struct tombstones tombstones = { op, group };
    group_offsets_visit(group, add_tombstone, &tombstones);
}
