/* The settings of what is no topic, groups above all: collected by a change, built into an image, looked up.
 */
#include <stdlib.h>

#include "broker/image_change_internal.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum { RESOURCE_SLOTS_MIN = 16 };

static int compare_keys(enum config_resource_type a_type, slice a, enum config_resource_type b_type, slice b)
{
    int order = (a_type > b_type) - (a_type < b_type);
    return order ? order : slice_compare(a, b);
}

const struct resource_config *image_resource(const struct image *image, enum config_resource_type type,
                                             slice name)
{
    size_t low = 0, high = image->resource_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct resource_config *found = image->resources[middle];
        int order = compare_keys(type, name, found->type, found->name);
        if (order == 0)
            return found;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* -- drafts ------------------------------------------------------------------------------------- */

void image__resources_begin(struct image_change *change)
{
    struct resource_drafts *drafts = &change->resources;
    drafts->last = &drafts->first;
    drafts->live_count = change->base->resource_count;
    drafts->live_size = change->base->resource_size;
}

void image__resources_end(struct image_change *change)
{
    free(change->resources.slots);
}

static struct resource_draft **slot_of(const struct image_change *change, slice name)
{
    uint64_t hash = image__hash_name(change->base->by_name->key, name);
    return &change->resources.slots[hash & change->resources.slot_mask];
}

static void hang_in(struct image_change *change, struct resource_draft *draft)
{
    struct resource_draft **slot = slot_of(change, draft->name);
    draft->next_in_slot = *slot;
    *slot = draft;
}

static bool grow_slots(struct image_change *change)
{
    struct resource_drafts *drafts = &change->resources;
    size_t count = drafts->slots ? 4 * (drafts->slot_mask + 1) : RESOURCE_SLOTS_MIN;
    struct resource_draft **slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    free(drafts->slots);
    drafts->slots = slots;
    drafts->slot_mask = count - 1;
    for (struct resource_draft *draft = drafts->first; draft; draft = draft->next)
        hang_in(change, draft);
    return true;
}

static struct resource_draft *find_draft(const struct image_change *change, enum config_resource_type type,
                                         slice name)
{
    struct resource_draft *draft = change->resources.slots ? *slot_of(change, name) : NULL;
    while (draft && (draft->type != type || !slice_equal(draft->name, name)))
        draft = draft->next_in_slot;
    return draft;
}

/* One that begins as the base has it. NULL: no memory. */
static struct resource_draft *add_draft(struct image_change *change, enum config_resource_type type,
                                        slice name)
{
    struct resource_drafts *drafts = &change->resources;
    bool ok = true;
    struct resource_draft *draft = arena_alloc_array(&change->arena, 1, sizeof *draft);
    if (!draft || ((!drafts->slots || drafts->count > drafts->slot_mask) && !grow_slots(change)))
        return NULL;
    const struct resource_config *before = image_resource(change->base, type, name);
    size_t count = before ? before->override_count : 0;
    draft->type = type;
    draft->name = arena_copy(&change->arena, name, &ok);
    draft->before = (struct resource_config *)before;
    draft->overrides = arena_alloc_array(&change->arena, count, sizeof *draft->overrides);
    if (!ok || !draft->overrides)
        return NULL;
    if (count > 0)
        memcpy(draft->overrides, before->overrides, count * sizeof *draft->overrides);
    draft->override_count = draft->override_capacity = count;
    *drafts->last = draft;
    drafts->last = &draft->next;
    drafts->count++;
    hang_in(change, draft);
    return draft;
}

static bool reserve_override(struct image_change *change, struct resource_draft *draft)
{
    if (draft->override_count < draft->override_capacity)
        return true;
    size_t capacity = 2 * draft->override_capacity + 4;
    struct topic_config_override *overrides = arena_alloc_array(&change->arena, capacity, sizeof *overrides);
    if (!overrides)
        return false;
    if (draft->override_count > 0)
        memcpy(overrides, draft->overrides, draft->override_count * sizeof *overrides);
    draft->overrides = overrides;
    draft->override_capacity = capacity;
    return true;
}

static size_t size_of(const struct topic_config_override *override)
{
    return override->name.size + override->value.size;
}

static void remove_override(struct image_change *change, struct resource_draft *draft, size_t at)
{
    change->resources.live_size -= size_of(&draft->overrides[at]);
    memmove(&draft->overrides[at], &draft->overrides[at + 1],
            (--draft->override_count - at) * sizeof *draft->overrides);
    if (draft->override_count > 0)
        return;
    change->resources.live_count--;
    change->resources.live_size -= draft->name.size;
}

enum change_status image_change_set_resource_config(struct image_change *change,
                                                    enum config_resource_type type, slice resource,
                                                    slice name, slice value)
{
    struct resource_drafts *drafts = &change->resources;
    struct resource_draft *draft = find_draft(change, type, resource);
    if (!draft && slice_is_null(value) && !image_resource(change->base, type, resource))
        return CHANGE_OK;
    if (!draft && !(draft = add_draft(change, type, resource)))
        return CHANGE_NO_MEMORY;
    size_t at = 0;
    while (at < draft->override_count && !slice_equal(draft->overrides[at].name, name))
        at++;
    if (slice_is_null(value)) {
        if (at < draft->override_count)
            remove_override(change, draft, at);
        return CHANGE_OK;
    }
    bool ok = true, is_new = at == draft->override_count;
    struct topic_config_override copy = { arena_copy(&change->arena, name, &ok),
                                          arena_copy(&change->arena, value, &ok) };
    if (!ok || (is_new && !reserve_override(change, draft)))
        return CHANGE_NO_MEMORY;
    if (draft->override_count == 0) {
        drafts->live_count++;
        drafts->live_size += draft->name.size;
    }
    drafts->live_size += size_of(&copy) - (is_new ? 0 : size_of(&draft->overrides[at]));
    draft->overrides[at] = copy;
    draft->override_count += is_new;
    return CHANGE_OK;
}

const struct topic_config_override *image_change_resource_configs(struct image_change *change,
                                                                  enum config_resource_type type,
                                                                  slice resource, size_t *count)
{
    static const struct topic_config_override none;
    const struct resource_draft *draft = find_draft(change, type, resource);
    const struct resource_config *before = draft ? NULL : image_resource(change->base, type, resource);
    *count = draft ? draft->override_count : before ? before->override_count : 0;
    return *count == 0 ? &none : draft ? draft->overrides : before->overrides;
}

size_t image_change_resource_count(const struct image_change *change)
{
    return change->resources.live_count;
}

size_t image_change_resource_size(const struct image_change *change)
{
    return change->resources.live_size;
}

/* -- building ----------------------------------------------------------------------------------- */

static slice put_text(uint8_t **next, slice text)
{
    uint8_t *start = *next;
    if (text.size > 0)
        memcpy(start, text.data, text.size);
    *next += text.size;
    return slice_of(start, text.size);
}

/* One block: the struct, the overrides, their texts. */
static struct resource_config *build(const struct resource_draft *draft, const struct config *config)
{
    size_t text_size = draft->name.size;
    for (size_t i = 0; i < draft->override_count; i++)
        text_size += size_of(&draft->overrides[i]);
    size_t text_at =
        sizeof(struct resource_config) + draft->override_count * sizeof(struct topic_config_override);
    uint8_t *memory = calloc(1, text_at + text_size);
    if (!memory)
        return NULL;
    struct resource_config *built = (void *)memory;
    struct topic_config_override *overrides = (void *)(memory + sizeof *built);
    uint8_t *text = memory + text_at;
    built->type = draft->type;
    built->name = put_text(&text, draft->name);
    for (size_t i = 0; i < draft->override_count; i++) {
        overrides[i].name = put_text(&text, draft->overrides[i].name);
        overrides[i].value = put_text(&text, draft->overrides[i].value);
    }
    built->overrides = overrides;
    built->override_count = draft->override_count;
    if (built->type != CONFIG_RESOURCE_GROUP)
        return built;
    size_t ignored_count = group_config_load(config, overrides, built->override_count, &built->group);
    if (ignored_count > 0)
        note_warn("metadata.config_ignored", "group=%s count=%zu", note_escape(built->name), ignored_count);
    return built;
}
_Static_assert(sizeof(struct resource_config) % _Alignof(struct topic_config_override) == 0,
               "overrides follow");

static int compare_resources(const void *a, const void *b)
{
    const struct resource_config *const *left = a, *const *right = b;
    return compare_keys((*left)->type, (*left)->name, (*right)->type, (*right)->name);
}

/* The drafts' outcome: both lists ascending. */
struct outcome {
    struct resource_config **built; /* new, or instead of one before */
    size_t built_count;
    struct resource_config **gone; /* of the base: replaced or removed */
    size_t gone_count;
};

static bool build_drafts(struct image_change *change, struct outcome *out)
{
    struct resource_drafts *drafts = &change->resources;
    *out = (struct outcome){ 0 };
    out->built = arena_alloc_array(&change->arena, drafts->count, sizeof(*out->built));
    out->gone = arena_alloc_array(&change->arena, drafts->count, sizeof(*out->gone));
    if (!out->built || !out->gone)
        return false;
    for (struct resource_draft *draft = drafts->first; draft; draft = draft->next) {
        if (draft->before)
            out->gone[out->gone_count++] = draft->before;
        if (draft->override_count == 0)
            continue;
        if (!(draft->built = build(draft, change->config)))
            return false;
        out->built[out->built_count++] = draft->built;
    }
    qsort(out->built, out->built_count, sizeof(*out->built), compare_resources);
    qsort(out->gone, out->gone_count, sizeof(*out->gone), compare_resources);
    return true;
}

bool image__resources_build(struct image_change *change, struct image *image)
{
    const struct image *base = change->base;
    struct resource_drafts *drafts = &change->resources;
    struct outcome outcome;
    size_t built = 0, gone = 0, n = 0;
    if (drafts->live_count == 0 && drafts->count == 0)
        return true;
    struct resource_config **all = malloc((drafts->live_count + 1) * sizeof(*all));
    image->resources = all; /* the image's to free */
    if (!all || !build_drafts(change, &outcome))
        return false;
    for (size_t i = 0; i < base->resource_count; i++) {
        struct resource_config *before = base->resources[i];
        if (gone < outcome.gone_count && outcome.gone[gone] == before) {
            gone++;
            continue;
        }
        while (built < outcome.built_count && compare_resources(&outcome.built[built], &before) < 0)
            all[n++] = outcome.built[built++];
        all[n++] = before;
    }
    while (built < outcome.built_count)
        all[n++] = outcome.built[built++];
    check(n == drafts->live_count && gone == outcome.gone_count);
    image->resource_count = n;
    image->resource_size = drafts->live_size;
    return true;
}

void image_change_visit_resources(struct image_change *change,
                                  void (*visit)(void *context, struct resource_config *before), void *context)
{
    check(change->image != NULL);
    for (struct resource_draft *draft = change->resources.first; draft; draft = draft->next)
        if (draft->before)
            visit(context, draft->before);
}

void image__resources_abandon(struct image_change *change)
{
    for (struct resource_draft *draft = change->resources.first; draft; draft = draft->next)
        image__resource_free(draft->built);
}
