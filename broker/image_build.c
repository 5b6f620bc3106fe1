/* Builds the next image from a base and the drafts of a change. */
#include <stdio.h>
#include <stdlib.h>

#include "broker/image_change_internal.h"
#include "broker/internal_topics.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

/* A topic is one block of memory, largest alignment first. */
struct topic_block {
    size_t overrides, partitions, nodes, text, size; /* places in the block */
};

static bool same_nodes(const struct partition_metadata *partition)
{
    return partition->isr_count == partition->replica_count &&
           memcmp(partition->isr, partition->replicas, (size_t)partition->isr_count * sizeof(int32_t)) == 0;
}

static struct topic_block topic_measure(const struct topic_draft *draft)
{
    size_t node_count = 0;
    for (int32_t i = 0; i < draft->partition_count; i++) {
        const struct partition_metadata *partition = &draft->partitions[i];
        node_count += (size_t)partition->replica_count;
        if (!same_nodes(partition))
            node_count += (size_t)partition->isr_count;
    }
    size_t text_size = draft->name.size + 1;
    for (size_t i = 0; i < draft->override_count; i++)
        text_size += draft->overrides[i].name.size + draft->overrides[i].value.size;

    struct topic_block block;
    block.overrides = sizeof(struct topic);
    block.partitions = block.overrides + draft->override_count * sizeof(struct topic_config_override);
    block.nodes = block.partitions + (size_t)draft->partition_count * sizeof(struct partition_metadata);
    block.text = block.nodes + node_count * sizeof(int32_t);
    block.size = block.text + text_size;
    return block;
}
_Static_assert(sizeof(struct topic) % _Alignof(struct topic_config_override) == 0, "overrides follow");
_Static_assert(sizeof(struct topic_config_override) % _Alignof(struct partition_metadata) == 0,
               "partitions follow");

static const int32_t *put_nodes(int32_t **next, const int32_t *nodes, int32_t count)
{
    int32_t *start = *next;
    if (count)
        memcpy(start, nodes, (size_t)count * sizeof *nodes);
    *next += count;
    return start;
}

static slice put_text(uint8_t **next, slice text)
{
    uint8_t *start = *next;
    if (text.size)
        memcpy(start, text.data, text.size);
    *next += text.size;
    return slice_of(start, text.size);
}

static void fill_partitions(const struct topic_draft *draft, struct partition_metadata *out, int32_t *nodes)
{
    for (int32_t i = 0; i < draft->partition_count; i++) {
        const struct partition_metadata *from = &draft->partitions[i];
        out[i] = *from;
        out[i].replicas = put_nodes(&nodes, from->replicas, from->replica_count);
        out[i].isr = same_nodes(from) ? out[i].replicas : put_nodes(&nodes, from->isr, from->isr_count);
    }
}

static struct topic *topic_build(const struct topic_draft *draft, const struct config *config)
{
    struct topic_block block = topic_measure(draft);
    uint8_t *memory = calloc(1, block.size);
    if (!memory)
        return NULL;
    struct topic *topic = (void *)memory;
    struct topic_config_override *overrides = (void *)(memory + block.overrides);
    uint8_t *text = memory + block.text;

    topic->name_slice = put_text(&text, draft->name);
    topic->name = (const char *)topic->name_slice.data;
    *text++ = '\0';
    topic->id = draft->id;
    topic->is_internal = internal_topic_find(draft->name) != INTERNAL_TOPIC_NONE;
    topic->partition_count = draft->partition_count;
    topic->partitions = (void *)(memory + block.partitions);
    fill_partitions(draft, topic->partitions, (void *)(memory + block.nodes));
    for (size_t i = 0; i < draft->override_count; i++) {
        overrides[i].name = put_text(&text, draft->overrides[i].name);
        overrides[i].value = put_text(&text, draft->overrides[i].value);
    }
    topic->overrides = overrides;
    topic->override_count = draft->override_count;
    size_t ignored_count = topic_config_load(config, overrides, draft->override_count, &topic->config);
    if (ignored_count)
        note_warn("metadata.config_ignored", "topic=%s count=%zu", topic->name, ignored_count);
    return topic;
}

static enum change_status draft_check(struct image_change *change, const struct topic_draft *draft)
{
    bool whole = draft->partition_count > 0;
    for (int32_t i = 0; i < draft->partition_count; i++)
        whole = whole && draft->partitions[i].replica_count > 0;
    if (whole)
        return CHANGE_OK;
    snprintf(change->error, sizeof change->error, "topic %s lacks partition records",
             note_escape(draft->name));
    return CHANGE_REFUSED;
}

static int compare_topics(const void *a, const void *b)
{
    const struct topic *const *left = a, *const *right = b;
    return slice_compare((*left)->name_slice, (*right)->name_slice);
}

/* The drafts' outcome: both lists ascending by name. */
struct outcome {
    struct topic **built; /* new, or instead of one before */
    size_t built_count;
    const struct topic **gone; /* of the base: replaced or removed */
    size_t gone_count;
};

static enum change_status build_topics(struct image_change *change, struct outcome *out)
{
    *out = (struct outcome){ 0 };
    out->built = arena_alloc_array(&change->arena, change->draft_count, sizeof(struct topic *));
    out->gone = arena_alloc_array(&change->arena, change->draft_count, sizeof(struct topic *));
    if (!out->built || !out->gone)
        return CHANGE_NO_MEMORY;
    for (struct topic_draft *draft = change->first; draft; draft = draft->next) {
        if (draft->before)
            out->gone[out->gone_count++] = draft->before;
        if (draft->is_removed)
            continue;
        enum change_status status = draft_check(change, draft);
        if (status != CHANGE_OK)
            return status;
        if (!(draft->built = topic_build(draft, change->config)))
            return CHANGE_NO_MEMORY;
        out->built[out->built_count++] = draft->built;
    }
    qsort(out->built, out->built_count, sizeof(struct topic *), compare_topics);
    qsort(out->gone, out->gone_count, sizeof(struct topic *), compare_topics);
    return CHANGE_OK;
}

/* Merges what stays of the base with what was built. */
static struct topic **merge_topics(const struct image *base, const struct outcome *outcome, size_t count)
{
    struct topic **topics = malloc((count ? count : 1) * sizeof(struct topic *));
    if (!topics)
        return NULL;
    size_t gone = 0, built = 0, n = 0;
    for (size_t i = 0; i < base->topic_count; i++) {
        struct topic *topic = base->topics[i];
        if (gone < outcome->gone_count && outcome->gone[gone] == topic) {
            gone++;
            continue;
        }
        while (built < outcome->built_count &&
               slice_compare(outcome->built[built]->name_slice, topic->name_slice) < 0)
            topics[n++] = outcome->built[built++];
        topics[n++] = topic;
    }
    while (built < outcome->built_count)
        topics[n++] = outcome->built[built++];
    check(n == count && gone == outcome->gone_count);
    return topics;
}

/* The base's index with the changes made in a copy, or a new one with room to grow. */
static struct image_index *next_index(const struct image_change *change, const struct image *image,
                                      const struct outcome *outcome, enum image_index_kind kind)
{
    const struct image_index *from = kind == IMAGE_INDEX_NAME ? change->base->by_name : change->base->by_id;
    bool is_sparse = from->mask / 16 > image->topic_count;
    struct image_index *index = is_sparse ? NULL : image__index_copy(from, outcome->built_count);
    if (index) {
        for (const struct topic_draft *draft = change->first; draft; draft = draft->next) {
            if (draft->before && draft->built)
                image__index_replace(index, kind, draft->before, draft->built);
            else if (draft->before)
                image__index_remove(index, kind, draft->before);
            else if (draft->built)
                image__index_put(index, kind, draft->built);
        }
        return index;
    }
    index = image__index_create(image->topic_count + image->topic_count / 2, from->key);
    for (size_t i = 0; index && i < image->topic_count; i++)
        image__index_put(index, kind, image->topics[i]);
    return index;
}

/* The image, its nodes and features in one block. */
static struct image *image_allocate(const struct image *base, const struct feature_level *features,
                                    size_t feature_count)
{
    size_t text_size = 0;
    for (size_t i = 0; i < feature_count; i++)
        text_size += strlen(features[i].name) + 1;
    size_t nodes_at = sizeof(struct image);
    size_t features_at = nodes_at + base->node_count * sizeof(struct node);
    size_t text_at = features_at + feature_count * sizeof(struct feature_level);
    uint8_t *memory = calloc(1, text_at + text_size);
    if (!memory)
        return NULL;

    struct image *image = (void *)memory;
    struct node *nodes = (void *)(memory + nodes_at);
    struct feature_level *levels = (void *)(memory + features_at);
    char *text = (char *)memory + text_at;
    memcpy(nodes, base->nodes, base->node_count * sizeof *nodes);
    for (size_t i = 0; i < feature_count; i++) {
        levels[i] = (struct feature_level){ .name = text, .level = features[i].level };
        text = stpcpy(text, features[i].name) + 1;
    }
    image->nodes = nodes;
    image->node_count = base->node_count;
    image->controller_id = base->controller_id;
    image->features = levels;
    image->feature_count = feature_count;
    return image;
}

enum change_status image_change_build(struct image_change *change, int64_t end_offset, int32_t epoch,
                                      struct image **out)
{
    check(change->image == NULL && end_offset >= change->base->end_offset);
    struct outcome outcome;
    enum change_status status = build_topics(change, &outcome);
    if (status != CHANGE_OK)
        return status;
    struct image *image = image_allocate(change->base, change->features, change->feature_count);
    if (!image)
        return CHANGE_NO_MEMORY;
    change->image = image;
    image->end_offset = end_offset;
    image->epoch = epoch;
    image->next_producer_id = change->next_producer_id;
    image->partition_count = change->partition_count;
    image->topic_count = change->base->topic_count - outcome.gone_count + outcome.built_count;
    image->topics = merge_topics(change->base, &outcome, image->topic_count);
    if (!image->topics)
        return CHANGE_NO_MEMORY;
    image->by_name = next_index(change, image, &outcome, IMAGE_INDEX_NAME);
    image->by_id = next_index(change, image, &outcome, IMAGE_INDEX_ID);
    if (!image->by_name || !image->by_id || !image__resources_build(change, image))
        return CHANGE_NO_MEMORY;
    *out = image;
    return CHANGE_OK;
}

struct image *image_create_empty(int32_t node_id, const char *rack, const uint64_t key[2])
{
    struct node node = { .id = node_id, .rack = rack };
    struct image outline = { .nodes = &node, .node_count = 1, .controller_id = node_id };
    struct image *image = image_allocate(&outline, NULL, 0);
    if (!image)
        return NULL;
    image->next_producer_id = -1;
    image->by_name = image__index_create(0, key);
    image->by_id = image__index_create(0, key);
    if (!image->by_name || !image->by_id) {
        image__free(image);
        return NULL;
    }
    return image;
}

void image_destroy(struct image *image)
{
    for (size_t i = 0; i < image->topic_count; i++)
        image__topic_free(image->topics[i]);
    for (size_t i = 0; i < image->resource_count; i++)
        image__resource_free(image->resources[i]);
    image__free(image);
}
