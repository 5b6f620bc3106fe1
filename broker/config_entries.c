/* Makes DescribeConfigs' entries from the tables of settings, by the rules of Kafka's ConfigHelper. */
#include "broker/config_entries.h"

#include <stdlib.h>

#include "broker/config_internal.h"

/* Numbers as on the wire. */
enum entry_source {
    SOURCE_TOPIC = 1,
    SOURCE_STATIC_BROKER = 4,
    SOURCE_DEFAULT = 5,
    SOURCE_CLIENT_METRICS = 7,
    SOURCE_GROUP = 8,
};
enum entry_type {
    TYPE_UNKNOWN,
    TYPE_BOOLEAN,
    TYPE_STRING,
    TYPE_INT,
    TYPE_SHORT,
    TYPE_LONG,
    TYPE_DOUBLE,
    TYPE_LIST,
    TYPE_CLASS,
    TYPE_PASSWORD,
};

/* Two shorts for lengths, flags, counts: what an entry takes beside its texts. */
enum { ENTRY_OVERHEAD = 16, SYNONYM_OVERHEAD = 6, DEFAULT_TEXT_SIZE = 4096 };

typedef struct describe_configs_response_config entry;
typedef struct describe_configs_response_synonym synonym;

static int8_t type_of(enum config_type type)
{
    static const int8_t numbers[] = {
        [CONFIG_BOOLEAN] = TYPE_BOOLEAN, [CONFIG_STRING] = TYPE_STRING, [CONFIG_INT] = TYPE_INT,
        [CONFIG_SHORT] = TYPE_SHORT,     [CONFIG_LONG] = TYPE_LONG,     [CONFIG_DOUBLE] = TYPE_DOUBLE,
        [CONFIG_LIST] = TYPE_LIST,       [CONFIG_CLASS] = TYPE_CLASS,   [CONFIG_PASSWORD] = TYPE_PASSWORD,
    };
    return numbers[type];
}

static int8_t source_of(enum config_source source)
{
    return source == CONFIG_FROM_DEFAULT ? SOURCE_DEFAULT : SOURCE_STATIC_BROKER;
}

static size_t size_of(const entry *item)
{
    size_t size = ENTRY_OVERHEAD + item->name.size + item->value.size + item->documentation.size;
    for (int32_t i = 0; i < item->synonyms_count; i++)
        size += SYNONYM_OVERHEAD + item->synonyms[i].name.size + item->synonyms[i].value.size;
    return size;
}

static bool make_room(struct arena *arena, size_t capacity, struct config_entries *out)
{
    *out = (struct config_entries){ .items = arena_alloc_array(arena, capacity, sizeof *out->items) };
    return out->items != NULL;
}

static entry *add(struct config_entries *out, const struct config_wish *wish, const struct config_row *row)
{
    entry *item = &out->items[out->count++];
    describe_configs_response_config_init(item);
    item->name = slice_of_string(row->name);
    item->config_source = SOURCE_DEFAULT;
    item->config_type = type_of(row->type);
    item->is_sensitive = row->type == CONFIG_PASSWORD;
    item->documentation = wish->documentation ? slice_of_string(row->sentence) : SLICE_NULL;
    return item;
}

static void sum_up(struct config_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        entries->size += size_of(&entries->items[i]);
}

/* What stands behind a value, best first. Kafka tells nothing of a setting's twins in other units
 * (log.roll.hours) before the first mention of the setting itself. */
static size_t chain_of(const struct config *config, size_t setting, synonym out[CONFIG_SYNONYMS_MAX])
{
    struct config_synonym chain[CONFIG_SYNONYMS_MAX];
    size_t all = config_synonyms(config, setting, chain), count = 0;
    for (size_t i = 0; i < all; i++) {
        if (count == 0 && chain[i].name != config_row_at(setting)->name)
            continue;
        describe_configs_response_synonym_init(&out[count]);
        out[count].name = slice_of_string(chain[i].name);
        out[count].value = slice_of_string(chain[i].value);
        out[count++].source = source_of(chain[i].source);
    }
    return count;
}

/* Sets the source by the chain, and hands the chain over where it is wanted. */
static bool set_chain(const struct config_wish *wish, entry *item, const synonym *chain, size_t count)
{
    item->config_source = count > 0 ? chain[0].source : SOURCE_DEFAULT;
    if (!wish->synonyms || count == 0)
        return true;
    item->synonyms = arena_alloc_array(wish->arena, count, sizeof *item->synonyms);
    if (!item->synonyms)
        return false;
    memcpy(item->synonyms, chain, count * sizeof *chain);
    item->synonyms_count = (int32_t)count;
    return true;
}

/* -- the broker --------------------------------------------------------------------------------- */

/* Kafka has one number under two names: whichever was given is the other's value, too. */
static size_t place_of_value(const struct config *config, size_t index)
{
    bool is_id = index == SETTING_node_id || index == SETTING_broker_id;
    size_t other = index == SETTING_node_id ? SETTING_broker_id : SETTING_node_id;
    return is_id && !config__is_set(config, index) && config__is_set(config, other) ? other : index;
}

/* As chain_of(), with what a twin was given in front. */
static size_t broker_chain(const struct config *config, size_t index, synonym out[1 + CONFIG_SYNONYMS_MAX])
{
    struct config_setting setting;
    size_t place = place_of_value(config, index);
    size_t twin_count = place != index;
    if (twin_count > 0) {
        config_setting_at(config, place, &setting);
        describe_configs_response_synonym_init(&out[0]);
        out[0].name = slice_of_string(config_row_at(index)->name);
        out[0].value = slice_of_string(setting.value);
        out[0].source = source_of(setting.source);
    }
    return twin_count + chain_of(config, index, out + twin_count);
}

bool config_entries_of_broker(const struct config_wish *wish, struct config_entries *out)
{
    if (!make_room(wish->arena, config_setting_count(), out))
        return false;
    for (size_t i = 0; i < config_setting_count(); i++) {
        struct config_setting setting;
        synonym chain[1 + CONFIG_SYNONYMS_MAX];
        config_setting_at(wish->config, i, &setting);
        if (!setting.is_shown)
            continue;
        entry *item = add(out, wish, setting.row);
        item->read_only = setting.is_read_only;
        config_setting_at(wish->config, place_of_value(wish->config, i), &setting);
        item->value = slice_of_string(setting.value);
        if (!set_chain(wish, item, chain, broker_chain(wish->config, i, chain)))
            return false;
    }
    sum_up(out);
    return true;
}

/* -- topics ------------------------------------------------------------------------------------- */

/* The value of a topic without its own, in the arena; null when there is none. False: no memory. */
static bool default_value(const struct config_wish *wish, size_t index, slice *out)
{
    char text[DEFAULT_TEXT_SIZE];
    bool ok = true;
    size_t size = topic_config_default(wish->config, index, text, sizeof text);
    *out = arena_copy(wish->arena, slice_of(text, size), &ok);
    return ok;
}

static size_t topic_chain(const struct config *config, size_t index, synonym out[CONFIG_SYNONYMS_MAX])
{
    size_t settings[TOPIC_CONFIG_SYNONYMS_MAX];
    return topic_config_synonyms(index, settings) > 0 ? chain_of(config, settings[0], out) : 0;
}

bool config_entries_of_topics(const struct config_wish *wish, struct config_entries *out)
{
    if (!make_room(wish->arena, topic_config_count(), out))
        return false;
    for (size_t i = 0; i < topic_config_count(); i++) {
        synonym chain[CONFIG_SYNONYMS_MAX];
        if (i == TOPIC_internal_segment_bytes) /* internal: shown only when set */
            continue;
        entry *item = add(out, wish, topic_config_row(i));
        if (!default_value(wish, i, &item->value) ||
            !set_chain(wish, item, chain, topic_chain(wish->config, i, chain)))
            return false;
    }
    sum_up(out);
    return true;
}

static int compare_name(const void *key, const void *item)
{
    return slice_compare(*(const slice *)key, ((const entry *)item)->name);
}

static int compare_entries(const void *a, const void *b)
{
    return compare_name(&((const entry *)a)->name, b);
}

static entry *find(entry *items, size_t count, slice name)
{
    return bsearch(&name, items, count, sizeof *items, compare_name);
}

/* -- values of its own ----------------------------------------------------------------------------- */

/* A kind of resource that may have them. */
struct own_kind {
    enum entry_source source;
    const struct config_row *(*find)(slice name); /* NULL: no such setting */
    bool has_chain;                               /* what stands behind a value is told, too */
};

/* The resource's own value in front of what stands behind it. */
static bool put_override(const struct config_wish *wish, const struct own_kind *kind, entry *item,
                         slice value)
{
    const synonym *behind = item->synonyms;
    size_t behind_count = kind->has_chain ? (size_t)item->synonyms_count : 0;
    item->value = value;
    item->config_source = (int8_t)kind->source;
    if (!wish->synonyms)
        return true;
    synonym *chain = arena_alloc_array(wish->arena, behind_count + 1, sizeof *chain);
    if (!chain)
        return false;
    describe_configs_response_synonym_init(&chain[0]);
    chain[0].name = item->name;
    chain[0].value = value;
    chain[0].source = (int8_t)kind->source;
    if (behind_count > 0)
        memcpy(chain + 1, behind, behind_count * sizeof *chain);
    item->synonyms = chain;
    item->synonyms_count = (int32_t)behind_count + 1;
    return true;
}

/* A name that no table has, kept from another version of Kafka: it may be a secret. */
static bool add_unknown(const struct config_wish *wish, const struct own_kind *kind,
                        const struct topic_config_override *override, struct config_entries *out)
{
    entry *item = &out->items[out->count++];
    describe_configs_response_config_init(item);
    item->name = override->name;
    item->is_sensitive = true;
    item->documentation = SLICE_NULL;
    return put_override(wish, kind, item, SLICE_NULL);
}

/* Puts one of its own values into the entries, of which the first `sorted` are in order. */
static bool put(const struct config_wish *wish, const struct own_kind *kind,
                const struct topic_config_override *override, size_t sorted, struct config_entries *out)
{
    const struct config_row *row = kind->find(override->name);
    if (!row)
        return add_unknown(wish, kind, override, out);
    struct config_parsed parsed;
    if (!config__check_value(row, override->value, &parsed, NULL))
        return true; /* passed over, as topic_config_load() does */
    const char *text = config__canonical(wish->arena, row, &parsed);
    entry *item = find(out->items, sorted, override->name);
    return text && put_override(wish, kind, item ? item : add(out, wish, row), slice_of_string(text));
}

static bool put_all(const struct config_wish *wish, const struct own_kind *kind,
                    const struct config_entries *general, const struct topic_config_override *overrides,
                    size_t count, struct config_entries *out)
{
    *out = *general;
    if (count == 0)
        return true;
    if (!make_room(wish->arena, general->count + count, out))
        return false;
    memcpy(out->items, general->items, general->count * sizeof *out->items);
    out->count = general->count;
    for (size_t i = 0; i < count; i++)
        if (!put(wish, kind, &overrides[i], general->count, out))
            return false;
    qsort(out->items, out->count, sizeof *out->items, compare_entries);
    sum_up(out);
    return true;
}

static const struct config_row *find_topic_row(slice name)
{
    size_t index = topic_config_find(name);
    return index == SIZE_MAX ? NULL : topic_config_row(index);
}

bool config_entries_of_topic(const struct config_wish *wish, const struct config_entries *general,
                             const struct topic *topic, struct config_entries *out)
{
    static const struct own_kind kind = { SOURCE_TOPIC, find_topic_row, true };
    return put_all(wish, &kind, general, topic->overrides, topic->override_count, out);
}

/* -- groups and client metrics ------------------------------------------------------------------ */

/* Of a group without settings of its own. The default is its own synonym, as in Kafka. */
bool config_entries_of_groups(const struct config_wish *wish, struct config_entries *out)
{
    if (!make_room(wish->arena, group_config_count(), out))
        return false;
    for (size_t i = 0; i < group_config_count(); i++) {
        entry *item = add(out, wish, group_config_row(i));
        item->value = slice_of_string(group_config_default(wish->config, i));
        synonym own = { .name = item->name, .value = item->value, .source = SOURCE_DEFAULT };
        if (!set_chain(wish, item, &own, 1))
            return false;
    }
    sum_up(out);
    return true;
}

static const struct config_row metrics_rows[] = {
    { .name = "interval.ms",
      .type = CONFIG_INT,
      .value_default = "300000",
      .sentence = "How often a client pushes its metrics." },
    { .name = "match", .type = CONFIG_LIST, .value_default = "", .sentence = "Which clients are meant." },
    { .name = "metrics",
      .type = CONFIG_LIST,
      .value_default = "",
      .sentence = "Prefixes of the names of the metrics that clients push." },
};
enum { METRICS_ROW_COUNT = sizeof metrics_rows / sizeof *metrics_rows };

bool config_entries_of_client_metrics(const struct config_wish *wish, struct config_entries *out)
{
    if (!make_room(wish->arena, METRICS_ROW_COUNT, out))
        return false;
    for (size_t i = 0; i < METRICS_ROW_COUNT; i++)
        add(out, wish, &metrics_rows[i])->value = slice_of_string(metrics_rows[i].value_default);
    sum_up(out);
    return true;
}

static const struct config_row *find_group_row(slice name)
{
    size_t index = group_config_find(name);
    return index == SIZE_MAX ? NULL : group_config_row(index);
}

static const struct config_row *find_metrics_row(slice name)
{
    for (size_t i = 0; i < METRICS_ROW_COUNT; i++)
        if (slice_equal_string(name, metrics_rows[i].name))
            return &metrics_rows[i];
    return NULL;
}

bool config_entries_of_resource(const struct config_wish *wish, const struct config_entries *general,
                                const struct resource_config *resource, struct config_entries *out)
{
    static const struct own_kind group = { SOURCE_GROUP, find_group_row, false };
    static const struct own_kind client_metrics = { SOURCE_CLIENT_METRICS, find_metrics_row, false };
    const struct own_kind *kind =
        resource && resource->type == CONFIG_RESOURCE_CLIENT_METRICS ? &client_metrics : &group;
    return put_all(wish, kind, general, resource ? resource->overrides : NULL,
                   resource ? resource->override_count : 0, out);
}

/* -- by name ------------------------------------------------------------------------------------ */

bool config_entries_pick(struct arena *arena, const struct config_entries *all, const slice *keys,
                         int32_t key_count, struct config_entries *out)
{
    *out = *all;
    if (key_count <= 0)
        return true;
    bool *is_picked = arena_alloc_array(arena, all->count, sizeof *is_picked);
    if (!is_picked)
        return false;
    size_t count = 0;
    for (int32_t i = 0; i < key_count && count < all->count; i++) {
        const entry *item = find(all->items, all->count, keys[i]);
        count += item && !is_picked[item - all->items];
        if (item)
            is_picked[item - all->items] = true;
    }
    if (!make_room(arena, count, out))
        return false;
    for (size_t i = 0; i < all->count; i++)
        if (is_picked[i])
            out->items[out->count++] = all->items[i];
    sum_up(out);
    return true;
}
