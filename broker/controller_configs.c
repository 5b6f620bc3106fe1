/* Decides on changes of topics' and groups' settings: checks in Kafka's order, and the records of those that
 * pass. */
#include <stdio.h>
#include <stdlib.h>

#include "broker/config_resource.h"
#include "broker/controller_internal.h"
#include "protocol/base/check.h"
#include "protocol/errors.h"

enum { VALUE_SIZE_MAX = INT16_MAX };

struct alter_command {
    struct command command; /* first */
    struct alter_config *resources;
    size_t count;
    bool validate_only;
};

/* The settings of one resource as they would be, and how they differ. */
struct draft {
    struct topic_config_override *settings;
    size_t count;
    struct topic_config resolved; /* of a topic */
    slice *changed;               /* names */
    size_t changed_count;
    slice unknown; /* a name that is no setting, or null */
};

/* -- lists -------------------------------------------------------------------------------------- */

struct item {
    slice text;
    size_t place;
    bool is_kept;
};

/* Its parts as Java's split(",") has them: without the empty ones at the end, but of nothing there is one. */
static size_t split(slice list, struct item *items, size_t count)
{
    size_t size = list.size;
    while (size > 0 && list.data[size - 1] == ',')
        size--;
    if (size == 0 && list.size > 0)
        return count;
    slice rest = slice_of(list.data, size);
    while (!slice_is_null(rest)) {
        const uint8_t *comma = rest.size > 0 ? memchr(rest.data, ',', rest.size) : NULL;
        size_t part_size = comma ? (size_t)(comma - rest.data) : rest.size;
        items[count] = (struct item){ slice_of(rest.data, part_size), count, false };
        count++;
        rest = comma ? slice_of(comma + 1, rest.size - part_size - 1) : SLICE_NULL;
    }
    return count;
}

static int compare_items(const void *a, const void *b)
{
    const struct item *left = a, *right = b;
    int order = slice_compare(left->text, right->text);
    return order ? order : (left->place > right->place) - (left->place < right->place);
}

static int compare_places(const void *a, const void *b)
{
    const struct item *left = a, *right = b;
    return (left->place > right->place) - (left->place < right->place);
}

/* Of equal items, those that the list has already come first. Appended is what it does not have; each one
 * subtracted takes one away, the first. */
static void keep_of_run(struct item *run, size_t count, size_t old_count, enum config_operation operation)
{
    size_t olds = 0;
    while (olds < count && run[olds].place < old_count)
        olds++;
    size_t news = count - olds;
    for (size_t i = 0; i < olds; i++)
        run[i].is_kept = operation == CONFIG_APPEND || i >= news;
    if (olds == 0)
        run[0].is_kept = operation == CONFIG_APPEND;
}

static slice join(struct arena *arena, const struct item *items, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += items[i].is_kept ? items[i].text.size + 1 : 0;
    uint8_t *text = arena_alloc(arena, size);
    uint8_t *at = text;
    bool is_first = true;
    for (size_t i = 0; text && i < count; i++) {
        if (!items[i].is_kept)
            continue;
        if (!is_first)
            *at++ = ',';
        is_first = false;
        if (items[i].text.size > 0)
            memcpy(at, items[i].text.data, items[i].text.size);
        at += items[i].text.size;
    }
    return text ? slice_of(text, (size_t)(at - text)) : SLICE_NULL;
}

static size_t comma_count(slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == ',';
    return count;
}

/* As Kafka: empty parts of the old list go, those of the change count. Null: no memory. */
static slice merge(struct arena *arena, slice before, slice change, enum config_operation operation)
{
    struct item *items =
        arena_alloc_array(arena, comma_count(before) + comma_count(change) + 2, sizeof *items);
    if (!items)
        return SLICE_NULL;
    size_t old_count = 0;
    for (size_t i = 0, all = split(before, items, 0); i < all; i++) {
        if (items[i].text.size == 0)
            continue;
        items[old_count] = (struct item){ items[i].text, old_count, false };
        old_count++;
    }
    size_t count = split(change, items, old_count);
    qsort(items, count, sizeof *items, compare_items);
    for (size_t first = 0, last; first < count; first = last) {
        for (last = first + 1; last < count && slice_equal(items[first].text, items[last].text);)
            last++;
        keep_of_run(&items[first], last - first, old_count, operation);
    }
    qsort(items, count, sizeof *items, compare_places);
    return join(arena, items, count);
}

/* -- one resource ------------------------------------------------------------------------------- */

static bool is_topic(const struct alter_config *in)
{
    return in->type == CONFIG_RESOURCE_TOPIC;
}

static bool is_known(const struct alter_config *in, slice name)
{
    return (is_topic(in) ? topic_config_find(name) : group_config_find(name)) != SIZE_MAX;
}

static size_t find_setting(const struct draft *draft, slice name)
{
    size_t at = 0;
    while (at < draft->count && !slice_equal(draft->settings[at].name, name))
        at++;
    return at;
}

static bool same_value(slice a, slice b)
{
    return slice_is_null(a) == slice_is_null(b) && (slice_is_null(a) || slice_equal(a, b));
}

/* The row of a setting that is a list; groups have none. */
static const struct config_row *find_list(const struct alter_config *in, slice name)
{
    size_t index = is_topic(in) ? topic_config_find(name) : SIZE_MAX;
    const struct config_row *row = index == SIZE_MAX ? NULL : topic_config_row(index);
    return row && row->type == CONFIG_LIST ? row : NULL;
}

/* The value that the change asks for, null for none. False: refused, or no memory. */
static bool value_of_change(struct commit *commit, struct alter_config *in,
                            const struct config_change *change, slice before, slice *value)
{
    char text[CONFIG_RESOURCE_TEXT_SIZE];
    const struct config_row *list = find_list(in, change->name);
    switch (change->operation) {
    case CONFIG_SET:
        *value = change->value;
        return true;
    case CONFIG_DELETE:
        *value = SLICE_NULL;
        return true;
    case CONFIG_APPEND:
    case CONFIG_SUBTRACT:
        if (!list)
            return controller__refuse(&in->error_code, in->message, ERR_INVALID_CONFIG,
                                      "Can't %s to key %s because its type is not LIST.",
                                      change->operation == CONFIG_APPEND ? "APPEND" : "SUBTRACT",
                                      config_resource_text(change->name, text));
        /* Kafka's own default counts here, not the broker's. */
        if (slice_is_null(before))
            before = slice_of_string(list->kafka_default);
        *value = merge(&commit->arena, before, change->value, change->operation);
        commit->is_broken = commit->is_broken || slice_is_null(*value);
        return !slice_is_null(*value);
    }
    check_unreachable("config_operation");
}

static void remove_setting(struct draft *draft, size_t at)
{
    draft->changed[draft->changed_count++] = draft->settings[at].name;
    draft->settings[at] = draft->settings[--draft->count];
}

static bool apply_change(struct commit *commit, struct alter_config *in, const struct config_change *change,
                         struct draft *draft)
{
    size_t at = find_setting(draft, change->name);
    bool is_new = at == draft->count;
    slice before = is_new ? SLICE_NULL : draft->settings[at].value;
    slice value;
    if (!value_of_change(commit, in, change, before, &value))
        return false;
    if (same_value(before, value))
        return true;
    if (value.size > VALUE_SIZE_MAX)
        return controller__refuse(
            &in->error_code, in->message, ERR_INVALID_CONFIG,
            "The configuration value cannot be added because it exceeds the maximum value "
            "size of %d bytes.",
            VALUE_SIZE_MAX);
    if (is_new && !is_known(in, change->name)) {
        draft->unknown = change->name;
        return true;
    }
    if (slice_is_null(value)) {
        remove_setting(draft, at);
        return true;
    }
    draft->changed[draft->changed_count++] = change->name;
    draft->settings[at] = (struct topic_config_override){ change->name, value };
    draft->count += is_new;
    return true;
}

/* What is not among the changes goes. */
static void remove_others(const struct alter_config *in, struct draft *draft)
{
    for (size_t at = draft->count; at-- > 0;) {
        bool is_kept = false;
        for (size_t i = 0; i < in->change_count && !is_kept; i++)
            is_kept = slice_equal(in->changes[i].name, draft->settings[at].name);
        if (!is_kept)
            remove_setting(draft, at);
    }
}

static bool check_name(struct alter_config *in)
{
    const char *why;
    if (in->name.size == 0)
        return controller__refuse(&in->error_code, in->message, ERR_INVALID_REQUEST,
                                  "Default %s resources are not allowed.", is_topic(in) ? "topic" : "group");
    return !is_topic(in) || topic_name_valid(in->name, &why) ||
           controller__refuse(&in->error_code, in->message, ERR_INVALID_TOPIC_EXCEPTION, "%s", why);
}

static bool check_settings(struct commit *commit, struct alter_config *in, struct draft *draft)
{
    char error[TOPIC_CONFIG_ERROR_SIZE], text[CONFIG_RESOURCE_TEXT_SIZE];
    const struct config *config = commit->controller->host.config;
    if (!slice_is_null(draft->unknown))
        return controller__refuse(&in->error_code, in->message, ERR_INVALID_CONFIG,
                                  "Unknown %s config name: %s", is_topic(in) ? "topic" : "group",
                                  config_resource_text(draft->unknown, text));
    bool ok = is_topic(in)
                  ? topic_config_resolve(config, draft->settings, draft->count, &draft->resolved, error)
                  : group_config_check(config, draft->settings, draft->count, error);
    return ok || controller__refuse(&in->error_code, in->message, ERR_INVALID_CONFIG, "%s", error);
}

static bool check_bounds(struct commit *commit, struct alter_config *in, const struct draft *draft,
                         bool has_settings)
{
    size_t size = image_change_resource_size(commit->change) + in->name.size;
    bool is_new = !has_settings && draft->count > 0;
    for (size_t i = 0; i < draft->changed_count; i++) {
        size_t at = find_setting(draft, draft->changed[i]);
        size += at < draft->count ? draft->settings[at].name.size + draft->settings[at].value.size : 0;
    }
    if (is_new && image_change_resource_count(commit->change) >= GROUP_CONFIGS_MAX)
        return controller__refuse(&in->error_code, in->message, ERR_POLICY_VIOLATION,
                                  "This broker keeps settings of at most %d groups.", GROUP_CONFIGS_MAX);
    return draft->changed_count == 0 || draft->count == 0 || size <= GROUP_CONFIGS_SIZE_MAX ||
           controller__refuse(&in->error_code, in->message, ERR_POLICY_VIOLATION,
                              "This broker keeps at most %d MiB of settings of groups.",
                              GROUP_CONFIGS_SIZE_MAX >> 20);
}

static bool check_existence(struct alter_config *in, bool exists)
{
    return exists || controller__refuse(&in->error_code, in->message, ERR_UNKNOWN_TOPIC_OR_PARTITION,
                                        "The topic '%.*s' does not exist.", (int)in->name.size,
                                        (const char *)in->name.data);
}

/* Kafka checks the settings before it asks whether there is such a topic. */
static bool draft_settings(struct commit *commit, struct alter_config *in, struct draft *draft)
{
    size_t count;
    const struct topic_config_override *now =
        is_topic(in) ? image_change_configs(commit->change, in->name, &count)
                     : image_change_resource_configs(commit->change, in->type, in->name, &count);
    draft->settings = arena_alloc_array(&commit->arena, count + in->change_count, sizeof *draft->settings);
    draft->changed = arena_alloc_array(&commit->arena, count + in->change_count, sizeof *draft->changed);
    if (!draft->settings || !draft->changed) {
        commit->is_broken = true;
        return false;
    }
    if (count > 0)
        memcpy(draft->settings, now, count * sizeof *draft->settings);
    draft->count = count;
    for (size_t i = 0; i < in->change_count; i++)
        if (!apply_change(commit, in, &in->changes[i], draft))
            return false;
    if (in->is_replacement)
        remove_others(in, draft);
    return check_name(in) && check_settings(commit, in, draft) &&
           (is_topic(in) ? check_existence(in, now != NULL) : check_bounds(commit, in, draft, count > 0));
}

/* -- records ------------------------------------------------------------------------------------ */

slice controller__encode_config(struct commit *commit, enum config_resource_type type, slice resource,
                                slice name, slice value)
{
    struct config_record record;
    config_record_init(&record);
    record.resource_type = (int8_t)type;
    record.resource_name = resource;
    record.name = name;
    record.value = value;
    return metadata_record_encode(&commit->arena, METADATA_RECORD_CONFIG, 0, &record);
}

/* Where eligible leaders are kept (a directory of Kafka's), a new minimum makes them void (KIP-966). */
static slice encode_clear_elr(struct commit *commit, slice topic)
{
    struct clear_elr_record record;
    clear_elr_record_init(&record);
    record.topic_name = topic;
    return metadata_record_encode(&commit->arena, METADATA_RECORD_CLEAR_ELR, 0, &record);
}

/* What is seen in page-cache mode must not be lost in durable mode, where no recovery tells of it. */
static bool prepare_logs(struct commit *commit, struct alter_config *in, const struct draft *draft)
{
    const struct topic *now =
        is_topic(in) ? image_topic_by_name(controller_image(commit->controller), in->name) : NULL;
    if (!now || now->config.flush_messages == 1 || draft->resolved.flush_messages != 1)
        return true;
    return controller__make_durable(now, &draft->resolved) ||
           controller__refuse(&in->error_code, in->message, ERR_KAFKA_STORAGE_ERROR, "%s",
                              error_message(ERR_KAFKA_STORAGE_ERROR));
}

static void commit_draft(struct commit *commit, const struct alter_config *in, const struct draft *draft)
{
    slice *records = arena_alloc_array(&commit->arena, draft->changed_count + 1, sizeof *records);
    bool has_elr = image_change_feature(commit->change, "eligible.leader.replicas.version") > 0;
    bool clears = false;
    if (!records) {
        commit->is_broken = true;
        return;
    }
    for (size_t i = 0; i < draft->changed_count; i++) {
        size_t at = find_setting(draft, draft->changed[i]);
        slice value = at < draft->count ? draft->settings[at].value : SLICE_NULL;
        records[i] = controller__encode_config(commit, in->type, in->name, draft->changed[i], value);
        clears = clears || slice_equal_string(draft->changed[i], "min.insync.replicas");
    }
    size_t count = draft->changed_count;
    if (has_elr && clears)
        records[count++] = encode_clear_elr(commit, in->name);
    controller__commit_records(commit, records, count);
}

/* -- the command -------------------------------------------------------------------------------- */

static void decide_configs(struct commit *commit, struct command *command)
{
    struct alter_command *alter = (struct alter_command *)command;
    for (size_t i = 0; i < alter->count && !commit->is_broken; i++) {
        struct alter_config *in = &alter->resources[i];
        struct draft draft = { .unknown = SLICE_NULL };
        in->error_code = ERR_NONE;
        in->message[0] = '\0';
        bool is_wanted = draft_settings(commit, in, &draft) && !alter->validate_only;
        if (is_wanted && draft.changed_count > 0 && prepare_logs(commit, in, &draft))
            commit_draft(commit, in, &draft);
    }
}

static void fail_configs(struct command *command, int16_t error_code)
{
    struct alter_command *alter = (struct alter_command *)command;
    for (size_t i = 0; i < alter->count; i++)
        if (alter->resources[i].error_code == ERR_NONE)
            controller__refuse(&alter->resources[i].error_code, alter->resources[i].message, error_code, "%s",
                               error_message(error_code));
}

void controller_alter_configs(struct controller *controller, struct alter_config *resources, size_t count,
                              bool validate_only)
{
    struct alter_command alter = { .command = { .decide = decide_configs, .fail = fail_configs },
                                   .resources = resources,
                                   .count = count,
                                   .validate_only = validate_only };
    controller__run(controller, &alter.command);
}
