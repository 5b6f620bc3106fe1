/* The tables of settings, as constant data from config.def, topic_config.def and group_config.def. */
#include "broker/config_internal.h"

/* The words of the `valid` column. */
#define ANY                                                                                                  \
    {                                                                                                        \
        .rule = RULE_ANY                                                                                     \
    }
#define AT_LEAST(low)                                                                                        \
    {                                                                                                        \
        .rule = RULE_RANGE, .min = (low), .max = INT64_MAX, .also = (low)                                    \
    }
#define BETWEEN(low, high)                                                                                   \
    {                                                                                                        \
        .rule = RULE_RANGE, .min = (low), .max = (high), .also = (low)                                       \
    }
#define BETWEEN_OR(low, high, other)                                                                         \
    {                                                                                                        \
        .rule = RULE_RANGE, .min = (low), .max = (high), .also = (other)                                     \
    }
#define RATIO(low, high)                                                                                     \
    {                                                                                                        \
        .rule = RULE_RATIO, .ratio_min = (low), .ratio_max = (high)                                          \
    }
#define ONE_OF(list)                                                                                         \
    {                                                                                                        \
        .rule = RULE_WORDS, .words = (list)                                                                  \
    }
#define ANY_CASE_OF(list)                                                                                    \
    {                                                                                                        \
        .rule = RULE_WORDS_ANY_CASE, .words = (list)                                                         \
    }
#define SUBSET_OF(list)                                                                                      \
    {                                                                                                        \
        .rule = RULE_WORDS, .words = (list)                                                                  \
    }
#define SOME_OF(list)                                                                                        \
    {                                                                                                        \
        .rule = RULE_WORDS, .words = (list), .empty_refused = true                                           \
    }
#define NOT_EMPTY                                                                                            \
    {                                                                                                        \
        .rule = RULE_NOT_EMPTY                                                                               \
    }
#define DISTINCT                                                                                             \
    {                                                                                                        \
        .rule = RULE_DISTINCT                                                                                \
    }
#define DISTINCT_SOME                                                                                        \
    {                                                                                                        \
        .rule = RULE_DISTINCT, .empty_refused = true                                                         \
    }
#define THROTTLED                                                                                            \
    {                                                                                                        \
        .rule = RULE_THROTTLED                                                                               \
    }
#define OFFSET_RESET                                                                                         \
    {                                                                                                        \
        .rule = RULE_OFFSET_RESET                                                                            \
    }

const struct config_row config__rows[SETTING_COUNT] = {
#define CONFIG(field, name, type, value, valid, unit, scope, row_class, sentence)                            \
    [SETTING_##field] = { name,          CONFIG_##type,     value,   value, valid, UNIT_##unit,              \
                          SCOPE_##scope, CLASS_##row_class, sentence },
#define DIFFERS(field, name, type, ours, kafka, valid, unit, scope, row_class, sentence)                     \
    [SETTING_##field] = { name,          CONFIG_##type,     ours,    kafka, valid, UNIT_##unit,              \
                          SCOPE_##scope, CLASS_##row_class, sentence },
#include "broker/config.def"
#undef CONFIG
};

#define FROM0                                                                                                \
    {                                                                                                        \
        SETTING_COUNT, SETTING_COUNT, SETTING_COUNT                                                          \
    }
#define FROM1(a)                                                                                             \
    {                                                                                                        \
        SETTING_##a, SETTING_COUNT, SETTING_COUNT                                                            \
    }
#define FROM2(a, b)                                                                                          \
    {                                                                                                        \
        SETTING_##a, SETTING_##b, SETTING_COUNT                                                              \
    }
#define FROM3(a, b, c)                                                                                       \
    {                                                                                                        \
        SETTING_##a, SETTING_##b, SETTING_##c                                                                \
    }

const struct topic_config_row topic_config__rows[TOPIC_CONFIG_COUNT] = {
#define TOPIC_CONFIG(field, name, type, value, valid, unit, row_class, from, sentence)                       \
    [TOPIC_##field] = { { name, CONFIG_##type, value, value, valid, UNIT_##unit, SCOPE_TOPIC,                \
                          CLASS_##row_class, sentence },                                                     \
                        from },
#include "broker/topic_config.def"
#undef TOPIC_CONFIG
};

#define OF(setting) SETTING_##setting
#define BUILT_IN    SETTING_COUNT

const struct group_config_row group_config__rows[GROUP_CONFIG_COUNT] = {
#define GROUP_CONFIG(field, name, type, value, valid, unit, row_class, from, sentence)                       \
    [GROUP_##field] = { { name, CONFIG_##type, value, value, valid, UNIT_##unit, SCOPE_GROUP,                \
                          CLASS_##row_class, sentence },                                                     \
                        from },
#include "broker/group_config.def"
#undef GROUP_CONFIG
};

const struct config_row *config_row_at(size_t index)
{
    return &config__rows[index];
}

const struct config_row *topic_config_row(size_t index)
{
    return &topic_config__rows[index].row;
}

size_t topic_config_count(void)
{
    return TOPIC_CONFIG_COUNT;
}

/* As strcmp(name, text), for bytes that have no NUL behind them. */
static int name_compare(slice name, const char *text)
{
    size_t size = strlen(text);
    int order = memcmp(name.data, text, name.size < size ? name.size : size);
    return order != 0 ? order : (name.size > size) - (name.size < size);
}

size_t config_row_find(slice name)
{
    size_t low = 0;
    size_t high = name.size > 0 ? SETTING_COUNT : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = name_compare(name, config__rows[middle].name);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return SIZE_MAX;
}

size_t topic_config_find(slice name)
{
    for (size_t i = 0; i < TOPIC_CONFIG_COUNT; i++)
        if (slice_equal_string(name, topic_config__rows[i].row.name))
            return i;
    return SIZE_MAX;
}

size_t group_config_count(void)
{
    return GROUP_CONFIG_COUNT;
}

const struct config_row *group_config_row(size_t index)
{
    return &group_config__rows[index].row;
}

size_t group_config_find(slice name)
{
    for (size_t i = 0; i < GROUP_CONFIG_COUNT; i++)
        if (slice_equal_string(name, group_config__rows[i].row.name))
            return i;
    return SIZE_MAX;
}

size_t topic_config_synonyms(size_t index, size_t out[TOPIC_CONFIG_SYNONYMS_MAX])
{
    size_t count = 0;
    while (count < TOPIC_CONFIG_SYNONYMS_MAX && topic_config__rows[index].synonyms[count] < SETTING_COUNT) {
        out[count] = topic_config__rows[index].synonyms[count];
        count++;
    }
    return count;
}
