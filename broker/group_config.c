/* Checks a group's settings as Kafka's GroupConfig does, and resolves them over the broker's defaults. */
#include "broker/group_config.h"

#include <stdarg.h>
#include <stdio.h>

#include "broker/config_internal.h"
#include "broker/config_resource.h"

/* What a value must lie between; SETTING_COUNT: no bound. In the order of Kafka's checks. */
static const struct bound {
    enum group_config_index index;
    uint16_t low, high;
} bounds[] = {
#define BOUND(kind, what)                                                                                    \
    {                                                                                                        \
        GROUP_##kind##_##what, SETTING_group_##kind##_min_##what, SETTING_group_##kind##_max_##what          \
    }
    BOUND(consumer, heartbeat_interval_ms),
    BOUND(consumer, session_timeout_ms),
    BOUND(share, heartbeat_interval_ms),
    BOUND(share, session_timeout_ms),
    BOUND(share, record_lock_duration_ms),
    BOUND(streams, heartbeat_interval_ms),
    BOUND(streams, session_timeout_ms),
#undef BOUND
    { GROUP_streams_num_standby_replicas, SETTING_COUNT, SETTING_group_streams_max_standby_replicas },
};

/* A session must outlast the wait for a heartbeat. */
static const struct {
    enum group_config_index session, heartbeat;
} ties[] = {
    { GROUP_consumer_session_timeout_ms, GROUP_consumer_heartbeat_interval_ms },
    { GROUP_share_session_timeout_ms, GROUP_share_heartbeat_interval_ms },
    { GROUP_streams_session_timeout_ms, GROUP_streams_heartbeat_interval_ms },
};

enum { BOUND_COUNT = sizeof bounds / sizeof *bounds, TIE_COUNT = sizeof ties / sizeof *ties };

__attribute__((format(printf, 2, 3))) static bool refuse(char *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, TOPIC_CONFIG_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

static const char *name_of(enum group_config_index index)
{
    return group_config__rows[index].row.name;
}

/* -- values ------------------------------------------------------------------------------------- */

/* The numbers that hold without settings of the group; texts have no place in it. */
static void take_defaults(const struct config *config, int64_t out[GROUP_CONFIG_COUNT])
{
    for (size_t i = 0; i < GROUP_CONFIG_COUNT; i++) {
        uint16_t from = group_config__rows[i].from;
        out[i] = from < SETTING_COUNT ? config__integer(config, from) : 0;
    }
}

static bool check_names(const struct topic_config_override *overrides, size_t count, char *error)
{
    char text[CONFIG_RESOURCE_TEXT_SIZE];
    for (size_t i = 0; i < count; i++)
        if (group_config_find(overrides[i].name) == SIZE_MAX)
            return refuse(error, "Unknown group config name: %s",
                          config_resource_text(overrides[i].name, text));
    return true;
}

static bool check_bounds(const struct config *config, const int64_t *values, char *error)
{
    for (size_t i = 0; i < BOUND_COUNT; i++) {
        const struct bound *bound = &bounds[i];
        if (bound->low < SETTING_COUNT && values[bound->index] < config__integer(config, bound->low))
            return refuse(error, "%s must be greater than or equal to %s", name_of(bound->index),
                          config__rows[bound->low].name);
        if (values[bound->index] > config__integer(config, bound->high))
            return refuse(error, "%s must be less than or equal to %s", name_of(bound->index),
                          config__rows[bound->high].name);
    }
    for (size_t i = 0; i < TIE_COUNT; i++)
        if (values[ties[i].session] <= values[ties[i].heartbeat])
            return refuse(error, "%s must be greater than %s", name_of(ties[i].session),
                          name_of(ties[i].heartbeat));
    return true;
}

bool group_config_check(const struct config *config, const struct topic_config_override *overrides,
                        size_t count, char *error)
{
    char why[CONFIG_WHY_SIZE];
    int64_t values[GROUP_CONFIG_COUNT];
    take_defaults(config, values);
    if (!check_names(overrides, count, error))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct config_parsed parsed;
        size_t index = group_config_find(overrides[i].name);
        if (!config__check_value(group_config_row(index), overrides[i].value, &parsed, why))
            return refuse(error, "%s", why);
        values[index] = parsed.integer;
    }
    return check_bounds(config, values, error);
}

size_t group_config_load(const struct config *config, const struct topic_config_override *overrides,
                         size_t count, struct group_config *out)
{
    size_t ignored_count = 0;
    int64_t values[GROUP_CONFIG_COUNT];
    take_defaults(config, values);
    for (size_t i = 0; i < count; i++) {
        struct config_parsed parsed;
        size_t index = group_config_find(overrides[i].name);
        if (index == SIZE_MAX ||
            !config__check_value(group_config_row(index), overrides[i].value, &parsed, NULL))
            ignored_count++;
        else
            values[index] = parsed.integer;
    }
    out->consumer_heartbeat_interval_ms = (int32_t)values[GROUP_consumer_heartbeat_interval_ms];
    out->consumer_session_timeout_ms = (int32_t)values[GROUP_consumer_session_timeout_ms];
    return ignored_count;
}

const char *group_config_default(const struct config *config, size_t index)
{
    uint16_t from = group_config__rows[index].from;
    return from < SETTING_COUNT ? config__value(config, from)->text
                                : group_config__rows[index].row.value_default;
}
