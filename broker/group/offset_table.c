/* Keeps offsets in sorted arrays: found by halving, listed in order. */
#include "broker/group/offset_table.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/check.h"

struct offset_topic {
    slice name;                  /* behind the struct */
    struct stored_offset *items; /* ascending by partition */
    size_t count;
    size_t capacity;
};

static atomic_size_t total_size;

/* -- bytes ------------------------------------------------------------------------------------- */

static size_t topic_size(slice name)
{
    return sizeof(struct offset_topic) + sizeof(struct offset_topic *) + name.size;
}

size_t offset_size(slice topic, size_t metadata_size)
{
    return topic_size(topic) + sizeof(struct stored_offset) + metadata_size;
}

size_t offset_tables_size(void)
{
    return atomic_load_explicit(&total_size, memory_order_relaxed);
}

static void add_size(struct offset_table *table, size_t size)
{
    table->size += size;
    atomic_fetch_add_explicit(&total_size, size, memory_order_relaxed);
}

static void subtract_size(struct offset_table *table, size_t size)
{
    check(table->size >= size);
    table->size -= size;
    atomic_fetch_sub_explicit(&total_size, size, memory_order_relaxed);
}

static bool copy_text(slice from, slice *out)
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

static void free_text(slice owned)
{
    if (owned.size > 0)
        free((void *)(uintptr_t)owned.data);
}

/* One at first: most groups have one partition of a topic, or few. */
static bool reserve(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t larger = *capacity ? 2 * *capacity : 1;
    void *grown = realloc(*items, larger * size);
    if (!grown)
        return false;
    *items = grown;
    *capacity = larger;
    return true;
}

/* -- finding ----------------------------------------------------------------------------------- */

/* Where the topic is, or belongs. */
static size_t topic_place(const struct offset_table *table, slice name, bool *is_there)
{
    size_t low = 0, high = table->topic_count;
    *is_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(table->topics[middle]->name, name);
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

static size_t item_place(const struct offset_topic *topic, int32_t partition, bool *is_there)
{
    size_t low = 0, high = topic->count;
    if (high > 0 && topic->items[high - 1].partition < partition)
        low = high; /* in order, as it is in most logs */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (topic->items[middle].partition < partition)
            low = middle + 1;
        else
            high = middle;
    }
    *is_there = low < topic->count && topic->items[low].partition == partition;
    return low;
}

const struct stored_offset *offset_table_find(const struct offset_table *table, slice topic,
                                              int32_t partition)
{
    bool is_there;
    size_t at = topic_place(table, topic, &is_there);
    if (!is_there)
        return NULL;
    const struct offset_topic *found = table->topics[at];
    at = item_place(found, partition, &is_there);
    return is_there ? &found->items[at] : NULL;
}

void offset_table_visit(const struct offset_table *table, offset_visit visit, void *context)
{
    for (size_t t = 0; t < table->topic_count; t++) {
        const struct offset_topic *topic = table->topics[t];
        for (size_t i = 0; i < topic->count; i++)
            visit(context, topic->name, &topic->items[i]);
    }
}

/* -- changing ---------------------------------------------------------------------------------- */

static struct offset_topic *make_topic(struct offset_table *table, slice name)
{
    bool is_there;
    size_t at = topic_place(table, name, &is_there);
    if (is_there)
        return table->topics[at];
    if (!reserve((void **)&table->topics, table->topic_count, &table->topic_capacity,
                 sizeof(struct offset_topic *)))
        return NULL;
    struct offset_topic *topic = calloc(1, sizeof *topic + name.size);
    if (!topic)
        return NULL;
    if (name.size > 0)
        memcpy(topic + 1, name.data, name.size);
    topic->name = slice_of((const uint8_t *)(topic + 1), name.size);
    memmove(&table->topics[at + 1], &table->topics[at],
            (table->topic_count - at) * sizeof(struct offset_topic *));
    table->topics[at] = topic;
    table->topic_count++;
    add_size(table, topic_size(name));
    return topic;
}

static void drop_topic_if_void(struct offset_table *table, struct offset_topic *topic)
{
    bool is_there;
    if (topic->count > 0)
        return;
    size_t at = topic_place(table, topic->name, &is_there);
    check(is_there);
    memmove(&table->topics[at], &table->topics[at + 1],
            (table->topic_count - at - 1) * sizeof(struct offset_topic *));
    table->topic_count--;
    subtract_size(table, topic_size(topic->name));
    free(topic->items);
    free(topic);
}

static bool insert(struct offset_table *table, struct offset_topic *topic, size_t at)
{
    if (!reserve((void **)&topic->items, topic->count, &topic->capacity, sizeof *topic->items))
        return false;
    memmove(&topic->items[at + 1], &topic->items[at], (topic->count - at) * sizeof *topic->items);
    topic->items[at] = (struct stored_offset){ .metadata = SLICE_LITERAL("") };
    topic->count++;
    table->count++;
    add_size(table, sizeof *topic->items);
    return true;
}

bool offset_table_put(struct offset_table *table, slice topic_name, const struct stored_offset *stored)
{
    bool is_there;
    slice metadata;
    struct offset_topic *topic = make_topic(table, topic_name);
    if (!topic)
        return false;
    size_t at = item_place(topic, stored->partition, &is_there);
    if (!copy_text(stored->metadata, &metadata) || (!is_there && !insert(table, topic, at))) {
        free_text(metadata);
        drop_topic_if_void(table, topic);
        return false;
    }
    struct stored_offset *item = &topic->items[at];
    add_size(table, metadata.size);
    subtract_size(table, item->metadata.size);
    free_text(item->metadata);
    *item = *stored;
    item->metadata = metadata;
    return true;
}

void offset_table_remove(struct offset_table *table, slice topic_name, int32_t partition)
{
    bool is_there;
    size_t at = topic_place(table, topic_name, &is_there);
    if (!is_there)
        return;
    struct offset_topic *topic = table->topics[at];
    at = item_place(topic, partition, &is_there);
    if (!is_there)
        return;
    subtract_size(table, sizeof *topic->items + topic->items[at].metadata.size);
    free_text(topic->items[at].metadata);
    memmove(&topic->items[at], &topic->items[at + 1], (topic->count - at - 1) * sizeof *topic->items);
    topic->count--;
    table->count--;
    drop_topic_if_void(table, topic);
}

void offset_table_clear(struct offset_table *table)
{
    for (size_t t = 0; t < table->topic_count; t++) {
        struct offset_topic *topic = table->topics[t];
        for (size_t i = 0; i < topic->count; i++)
            free_text(topic->items[i].metadata);
        free(topic->items);
        free(topic);
    }
    free(table->topics);
    atomic_fetch_sub_explicit(&total_size, table->size, memory_order_relaxed);
    *table = (struct offset_table){ 0 };
}
