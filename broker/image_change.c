/* Collects what records change, as drafts of the topics that they touch. */
#include "broker/image_change_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum { DRAFT_SLOTS_MIN = 16, PARTITION_INDEX_MAX = 200000 };

struct image_change *image_change_begin(const struct image *base, const struct config *config)
{
    struct image_change *change = calloc(1, sizeof *change);
    if (!change)
        return NULL;
    change->base = base;
    change->config = config;
    change->partition_count = base->partition_count;
    change->next_producer_id = base->next_producer_id;
    arena_init(&change->arena, NULL);
    image__resources_begin(change);
    change->last = &change->first;
    change->slots = calloc(DRAFT_SLOTS_MIN, sizeof *change->slots);
    change->slot_mask = DRAFT_SLOTS_MIN - 1;
    change->features = arena_alloc_array(&change->arena, base->feature_count, sizeof *change->features);
    if (!change->slots || !change->features) {
        image_change_end(change);
        return NULL;
    }
    memcpy(change->features, base->features, base->feature_count * sizeof *change->features);
    change->feature_count = change->feature_capacity = base->feature_count;
    return change;
}

void image_change_end(struct image_change *change)
{
    image__resources_end(change);
    arena_destroy(&change->arena);
    free(change->slots);
    free(change);
}

void image_change_abandon(struct image_change *change)
{
    for (struct topic_draft *draft = change->first; draft; draft = draft->next)
        image__topic_free(draft->built);
    image__resources_abandon(change);
    if (change->image)
        image__free(change->image);
    image_change_end(change);
}

static enum change_status refuse(struct image_change *change, const char *what, slice name, uuid id)
{
    char text[UUID_TEXT_SIZE + 1];
    uuid_to_text(id, text);
    snprintf(change->error, sizeof change->error, "%s (topic %s, id %s)", what,
             name.data ? note_escape(name) : "unknown", text);
    return CHANGE_REFUSED;
}

const char *image_change_error(const struct image_change *change)
{
    return change->error;
}

/* Two chains through one set of slots: by name and by id. */
static struct draft_slot *slot_by_name(const struct image_change *change, slice name)
{
    return &change->slots[image__hash_name(change->base->by_name->key, name) & change->slot_mask];
}

static struct draft_slot *slot_by_id(const struct image_change *change, uuid id)
{
    return &change->slots[image__hash_id(id) & change->slot_mask];
}

static void hang_in(struct image_change *change, struct topic_draft *draft)
{
    struct draft_slot *slot = slot_by_id(change, draft->id);
    draft->next_by_id = slot->by_id;
    slot->by_id = draft;
    if (draft->is_removed)
        return;
    slot = slot_by_name(change, draft->name);
    draft->next_by_name = slot->by_name;
    slot->by_name = draft;
}

/* A removed topic is found by its id alone: a log may have the same name made and removed ten thousand times.
 */
static void take_name(struct image_change *change, struct topic_draft *draft)
{
    struct topic_draft **link = &slot_by_name(change, draft->name)->by_name;
    while (*link != draft)
        link = &(*link)->next_by_name;
    *link = draft->next_by_name;
    draft->is_removed = true;
}

static bool grow_slots(struct image_change *change)
{
    size_t count = 4 * (change->slot_mask + 1);
    struct draft_slot *slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    free(change->slots);
    change->slots = slots;
    change->slot_mask = count - 1;
    for (struct topic_draft *draft = change->first; draft; draft = draft->next)
        hang_in(change, draft);
    return true;
}

static struct topic_draft *add_draft(struct image_change *change, slice name, uuid id)
{
    bool ok = true;
    struct topic_draft *draft = arena_alloc_array(&change->arena, 1, sizeof *draft);
    if (!draft)
        return NULL;
    draft->name = arena_copy(&change->arena, name, &ok);
    draft->id = id;
    if (!ok || (change->draft_count > change->slot_mask && !grow_slots(change)))
        return NULL;
    *change->last = draft;
    change->last = &draft->next;
    change->draft_count++;
    hang_in(change, draft);
    return draft;
}

static struct topic_draft *draft_by_id(const struct image_change *change, uuid id)
{
    struct topic_draft *draft = slot_by_id(change, id)->by_id;
    while (draft && !uuid_equal(draft->id, id))
        draft = draft->next_by_id;
    return draft;
}

/* One that is not removed. */
static struct topic_draft *live_draft_by_name(const struct image_change *change, slice name)
{
    struct topic_draft *draft = slot_by_name(change, name)->by_name;
    while (draft && !slice_equal(draft->name, name))
        draft = draft->next_by_name;
    return draft;
}

/* A draft that begins as the base's topic. */
static struct topic_draft *draft_of_topic(struct image_change *change, const struct topic *topic)
{
    struct topic_draft *draft = add_draft(change, topic->name_slice, topic->id);
    if (!draft)
        return NULL;
    draft->before = topic;
    draft->partitions =
        arena_alloc_array(&change->arena, (size_t)topic->partition_count, sizeof *draft->partitions);
    draft->overrides = arena_alloc_array(&change->arena, topic->override_count, sizeof *draft->overrides);
    if (!draft->partitions || !draft->overrides)
        return NULL;
    memcpy(draft->partitions, topic->partitions, (size_t)topic->partition_count * sizeof *draft->partitions);
    draft->partition_count = draft->partition_capacity = topic->partition_count;
    if (topic->override_count)
        memcpy(draft->overrides, topic->overrides, topic->override_count * sizeof *draft->overrides);
    draft->override_count = draft->override_capacity = topic->override_count;
    return draft;
}

/* *out NULL: no such topic. */
static enum change_status draft_for_id(struct image_change *change, uuid id, struct topic_draft **out)
{
    *out = draft_by_id(change, id);
    if (*out) {
        if ((*out)->is_removed)
            *out = NULL;
        return CHANGE_OK;
    }
    const struct topic *topic = image_topic_by_id(change->base, id);
    if (topic && !(*out = draft_of_topic(change, topic)))
        return CHANGE_NO_MEMORY;
    return CHANGE_OK;
}

static enum change_status draft_for_name(struct image_change *change, slice name, struct topic_draft **out)
{
    *out = live_draft_by_name(change, name);
    if (*out)
        return CHANGE_OK;
    const struct topic *topic = image_topic_by_name(change->base, name);
    if (topic && !draft_by_id(change, topic->id) && !(*out = draft_of_topic(change, topic)))
        return CHANGE_NO_MEMORY;
    return CHANGE_OK;
}

enum change_status image_change_add_topic(struct image_change *change, slice name, uuid id)
{
    const char *why;
    if (!topic_name_valid(name, &why))
        return refuse(change, why, name, id);
    if (uuid_is_zero(id) || image_change_has_topic_id(change, id) || draft_by_id(change, id))
        return refuse(change, "a topic record has an id that is taken", name, id);
    if (image_change_has_topic(change, name))
        return refuse(change, "a topic record has a name that is taken", name, id);
    return add_draft(change, name, id) ? CHANGE_OK : CHANGE_NO_MEMORY;
}

enum change_status image_change_remove_topic(struct image_change *change, uuid id)
{
    struct topic_draft *draft;
    if (draft_for_id(change, id, &draft) != CHANGE_OK)
        return CHANGE_NO_MEMORY;
    if (!draft)
        return refuse(change, "a remove record names no topic", SLICE_NULL, id);
    take_name(change, draft);
    change->partition_count -= (size_t)draft->partition_count;
    return CHANGE_OK;
}

static bool reserve_partition(struct image_change *change, struct topic_draft *draft, int32_t index)
{
    if (index < draft->partition_capacity)
        return true;
    int32_t capacity = draft->partition_capacity * 2 > index ? draft->partition_capacity * 2 : index + 1;
    struct partition_metadata *partitions =
        arena_alloc_array(&change->arena, (size_t)capacity, sizeof *partitions);
    if (!partitions)
        return false;
    if (draft->partition_count)
        memcpy(partitions, draft->partitions, (size_t)draft->partition_count * sizeof *partitions);
    draft->partitions = partitions;
    draft->partition_capacity = capacity;
    return true;
}

static const int32_t *copy_nodes(struct image_change *change, const int32_t *nodes, int32_t count)
{
    int32_t *copy = arena_alloc_array(&change->arena, (size_t)count, sizeof *copy);
    if (copy && count)
        memcpy(copy, nodes, (size_t)count * sizeof *copy);
    return copy;
}

enum change_status image_change_set_partition(struct image_change *change, uuid topic_id, int32_t index,
                                              const struct partition_metadata *metadata)
{
    struct topic_draft *draft;
    if (draft_for_id(change, topic_id, &draft) != CHANGE_OK)
        return CHANGE_NO_MEMORY;
    if (!draft)
        return refuse(change, "a partition record names no topic", SLICE_NULL, topic_id);
    if (index < 0 || index > PARTITION_INDEX_MAX || metadata->replica_count < 1)
        return refuse(change, "a partition record has an impossible index or no replicas", draft->name,
                      topic_id);

    struct partition_metadata copy = *metadata;
    copy.replicas = copy_nodes(change, metadata->replicas, metadata->replica_count);
    copy.isr = copy_nodes(change, metadata->isr, metadata->isr_count);
    if (!copy.replicas || !copy.isr || !reserve_partition(change, draft, index))
        return CHANGE_NO_MEMORY;
    copy.partition = index < draft->partition_count ? draft->partitions[index].partition : NULL;
    draft->partitions[index] = copy;
    if (index >= draft->partition_count) {
        change->partition_count += (size_t)(index + 1 - draft->partition_count);
        draft->partition_count = index + 1;
    }
    return CHANGE_OK;
}

const struct partition_metadata *image_change_partition(struct image_change *change, uuid topic_id,
                                                        int32_t index)
{
    const struct topic_draft *draft = draft_by_id(change, topic_id);
    const struct partition_metadata *partitions = draft ? draft->partitions : NULL;
    int32_t count = draft && !draft->is_removed ? draft->partition_count : 0;
    if (!draft) {
        const struct topic *topic = image_topic_by_id(change->base, topic_id);
        partitions = topic ? topic->partitions : NULL;
        count = topic ? topic->partition_count : 0;
    }
    /* Without replicas it is a gap that a later record may fill. */
    return index >= 0 && index < count && partitions[index].replica_count ? &partitions[index] : NULL;
}

static bool reserve_override(struct image_change *change, struct topic_draft *draft)
{
    if (draft->override_count < draft->override_capacity)
        return true;
    size_t capacity = draft->override_capacity ? 2 * draft->override_capacity : 4;
    struct topic_config_override *overrides = arena_alloc_array(&change->arena, capacity, sizeof *overrides);
    if (!overrides)
        return false;
    if (draft->override_count)
        memcpy(overrides, draft->overrides, draft->override_count * sizeof *overrides);
    draft->overrides = overrides;
    draft->override_capacity = capacity;
    return true;
}

enum change_status image_change_set_config(struct image_change *change, slice topic, slice name, slice value)
{
    struct topic_draft *draft;
    if (draft_for_name(change, topic, &draft) != CHANGE_OK)
        return CHANGE_NO_MEMORY;
    if (!draft)
        return CHANGE_OK;
    size_t at = 0;
    while (at < draft->override_count && !slice_equal(draft->overrides[at].name, name))
        at++;
    if (slice_is_null(value)) {
        if (at < draft->override_count)
            memmove(&draft->overrides[at], &draft->overrides[at + 1],
                    (--draft->override_count - at) * sizeof *draft->overrides);
        return CHANGE_OK;
    }
    bool ok = true;
    struct topic_config_override copy = { arena_copy(&change->arena, name, &ok),
                                          arena_copy(&change->arena, value, &ok) };
    if (!ok || (at == draft->override_count && !reserve_override(change, draft)))
        return CHANGE_NO_MEMORY;
    draft->overrides[at] = copy;
    if (at == draft->override_count)
        draft->override_count++;
    return CHANGE_OK;
}

enum change_status image_change_set_feature(struct image_change *change, slice name, int16_t level)
{
    size_t at = 0;
    while (at < change->feature_count && !slice_equal_string(name, change->features[at].name))
        at++;
    if (level == 0) {
        if (at < change->feature_count)
            memmove(&change->features[at], &change->features[at + 1],
                    (--change->feature_count - at) * sizeof *change->features);
        return CHANGE_OK;
    }
    if (at == change->feature_capacity) {
        size_t capacity = 2 * change->feature_capacity + 4;
        struct feature_level *features = arena_alloc_array(&change->arena, capacity, sizeof *features);
        if (!features)
            return CHANGE_NO_MEMORY;
        memcpy(features, change->features, change->feature_count * sizeof *features);
        change->features = features;
        change->feature_capacity = capacity;
    }
    if (at == change->feature_count) {
        if (!(change->features[at].name = arena_string(&change->arena, name)))
            return CHANGE_NO_MEMORY;
        change->feature_count++;
    }
    change->features[at].level = level;
    return CHANGE_OK;
}

int16_t image_change_feature(const struct image_change *change, const char *name)
{
    for (size_t i = 0; i < change->feature_count; i++)
        if (strcmp(change->features[i].name, name) == 0)
            return change->features[i].level;
    return 0;
}

/* Two blocks with the same ids would let two producers take each other for a duplicate. */
enum change_status image_change_set_next_producer_id(struct image_change *change, int64_t next_producer_id)
{
    if (next_producer_id <= change->next_producer_id) {
        snprintf(change->error, sizeof change->error,
                 "a producer ids record goes back from next id %lld to %lld",
                 (long long)change->next_producer_id, (long long)next_producer_id);
        return CHANGE_REFUSED;
    }
    change->next_producer_id = next_producer_id;
    return CHANGE_OK;
}

int64_t image_change_next_producer_id(const struct image_change *change)
{
    return change->next_producer_id;
}

bool image_change_has_topic(struct image_change *change, slice name)
{
    if (live_draft_by_name(change, name))
        return true;
    const struct topic *topic = image_topic_by_name(change->base, name);
    return topic && !draft_by_id(change, topic->id);
}

bool image_change_has_topic_id(struct image_change *change, uuid id)
{
    const struct topic_draft *draft = draft_by_id(change, id);
    return draft ? !draft->is_removed : image_topic_by_id(change->base, id) != NULL;
}

bool image_change_find_topic(struct image_change *change, slice name, uuid *id, int32_t *partition_count)
{
    const struct topic_draft *draft = live_draft_by_name(change, name);
    const struct topic *topic = draft ? NULL : image_topic_by_name(change->base, name);
    if (!draft && (!topic || draft_by_id(change, topic->id)))
        return false;
    *id = draft ? draft->id : topic->id;
    *partition_count = draft ? draft->partition_count : topic->partition_count;
    return true;
}

slice image_change_colliding(struct image_change *change, slice name)
{
    for (const struct topic_draft *draft = slot_by_name(change, name)->by_name; draft;
         draft = draft->next_by_name)
        if (image__names_collide(draft->name, name))
            return draft->name;
    const struct topic *topic = image_topic_colliding(change->base, name);
    return topic && !draft_by_id(change, topic->id) ? topic->name_slice : SLICE_NULL;
}

const struct topic_config_override *image_change_configs(struct image_change *change, slice topic,
                                                         size_t *count)
{
    static const struct topic_config_override none;
    const struct topic_draft *draft = live_draft_by_name(change, topic);
    const struct topic *before = draft ? NULL : image_topic_by_name(change->base, topic);
    bool is_there = draft || (before && !draft_by_id(change, before->id));
    const struct topic_config_override *overrides = draft      ? draft->overrides
                                                    : is_there ? before->overrides
                                                               : NULL;
    *count = draft ? draft->override_count : is_there ? before->override_count : 0;
    return is_there && *count == 0 ? &none : overrides;
}

size_t image_change_partition_count(const struct image_change *change)
{
    return change->partition_count;
}

void image_change_visit(struct image_change *change,
                        void (*visit)(void *context, const struct topic *before, struct topic *after),
                        void *context)
{
    check(change->image != NULL);
    for (struct topic_draft *draft = change->first; draft; draft = draft->next)
        if (draft->before || draft->built)
            visit(context, draft->before, draft->built);
}

void image_change_visit_removed(const struct image_change *change,
                                void (*visit)(void *context, uuid id, slice name, int32_t partition_count),
                                void *context)
{
    for (const struct topic_draft *draft = change->first; draft; draft = draft->next)
        if (draft->is_removed)
            visit(context, draft->id, draft->name, draft->partition_count);
}
