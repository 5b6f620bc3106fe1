/* Rules that tie several settings together, as Kafka checks them at its start. */
#include <inttypes.h>
#include <stdio.h>

#include "broker/config_internal.h"
#include "protocol/base/note.h"

/* first <= second, or first < second. */
struct tie {
    uint16_t first;
    uint16_t second;
    bool is_strict;
};

#define GROUP_TIES(kind)                                                                                     \
    { SETTING_group_##kind##_min_heartbeat_interval_ms, SETTING_group_##kind##_max_heartbeat_interval_ms,    \
      false },                                                                                               \
        { SETTING_group_##kind##_min_heartbeat_interval_ms, SETTING_group_##kind##_heartbeat_interval_ms,    \
          false },                                                                                           \
        { SETTING_group_##kind##_heartbeat_interval_ms, SETTING_group_##kind##_max_heartbeat_interval_ms,    \
          false },                                                                                           \
        { SETTING_group_##kind##_min_session_timeout_ms, SETTING_group_##kind##_max_session_timeout_ms,      \
          false },                                                                                           \
        { SETTING_group_##kind##_min_session_timeout_ms, SETTING_group_##kind##_session_timeout_ms, false }, \
        { SETTING_group_##kind##_session_timeout_ms, SETTING_group_##kind##_max_session_timeout_ms, false }, \
    {                                                                                                        \
        SETTING_group_##kind##_heartbeat_interval_ms, SETTING_group_##kind##_session_timeout_ms, true        \
    }

static const struct tie ties[] = {
    GROUP_TIES(consumer),
    GROUP_TIES(share),
    GROUP_TIES(streams),
    { SETTING_group_share_min_record_lock_duration_ms, SETTING_group_share_record_lock_duration_ms, false },
    { SETTING_group_share_record_lock_duration_ms, SETTING_group_share_max_record_lock_duration_ms, false },
    { SETTING_group_share_max_size, SETTING_group_share_max_share_sessions, false },
    { SETTING_group_streams_num_standby_replicas, SETTING_group_streams_max_standby_replicas, false },
    { SETTING_replica_fetch_wait_max_ms, SETTING_replica_socket_timeout_ms, false },
    { SETTING_replica_fetch_wait_max_ms, SETTING_replica_lag_time_max_ms, false },
};

static void check_tie(const struct config *config, const struct tie *tie, struct config_report *report)
{
    int64_t first = config__integer(config, tie->first), second = config__integer(config, tie->second);
    if (first < second || (first == second && !tie->is_strict))
        return;
    size_t culprit = config__is_set(config, tie->first) ? tie->first : tie->second;
    config__report_value(report, config, culprit, "%s (%" PRId64 ") must be %s %s (%" PRId64 ")",
                         config__rows[tie->first].name, first, tie->is_strict ? "less than" : "at most",
                         config__rows[tie->second].name, second);
}

/* Of settings in ms, minutes and hours, the first that is not null. */
static void check_retention(const struct config *config, struct config_report *report)
{
    const struct topic_config *topic = &config->topic_defaults;
    size_t setting = config__value(config, SETTING_log_retention_ms)->text ? SETTING_log_retention_ms
                     : config__value(config, SETTING_log_retention_minutes)->text
                         ? SETTING_log_retention_minutes
                         : SETTING_log_retention_hours;
    if (topic->retention_ms == 0)
        config__report_value(report, config, setting,
                             "%s: 0 keeps nothing; wanted is at least 1, or -1 for no limit",
                             config__rows[setting].name);
    if (topic->segment_ms < 1)
        config__report_value(report, config, SETTING_log_roll_ms, "log.roll.ms: must be at least 1");
    if (topic->segment_jitter_ms < 0)
        config__report_value(report, config, SETTING_log_roll_jitter_ms,
                             "log.roll.jitter.ms: must be at least 0");
    if (topic->flush_ms < 0)
        config__report_value(report, config, SETTING_log_flush_interval_ms,
                             "log.flush.interval.ms: must be at least 0");
}

static void check_cleaner(const struct config *config, struct config_report *report)
{
    int64_t threads = config__integer(config, SETTING_log_cleaner_threads);
    int64_t bytes = config__integer(config, SETTING_log_cleaner_dedupe_buffer_size);
    if (threads == 0)
        config__report_value(report, config, SETTING_log_cleaner_threads,
                             "log.cleaner.threads: must be at least 1");
    else if (bytes / threads <= 1 << 20)
        config__report_value(
            report, config, SETTING_log_cleaner_dedupe_buffer_size,
            "log.cleaner.dedupe.buffer.size: must be more than 1 MiB (1048576) per cleaner thread");
}

/* The topics of the coordinators are made with them when the first client asks, and their segment.bytes has
 * this bound: found out only then, no group would ever find its coordinator. */
static void check_internal_segments(const struct config *config, struct config_report *report)
{
    static const uint16_t settings[] = { SETTING_offsets_topic_segment_bytes,
                                         SETTING_transaction_state_log_segment_bytes,
                                         SETTING_share_coordinator_state_topic_segment_bytes };
    enum { SEGMENT_BYTES_MIN = 1048576 };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        int64_t bytes = config__integer(config, settings[i]);
        if (bytes < SEGMENT_BYTES_MIN)
            config__report_value(report, config, settings[i],
                                 "%s: %" PRId64 " is less than a segment may have; wanted is at least %d",
                                 config__rows[settings[i]].name, bytes, SEGMENT_BYTES_MIN);
    }
}

static void check_codec(const struct config *config, size_t setting, struct config_report *report)
{
    int64_t codec = config__integer(config, setting);
    if (codec < CODEC_NONE || codec >= CODEC_COUNT)
        config__report_value(report, config, setting,
                             "%s: %" PRId64
                             " is no codec; wanted is 0 none, 1 gzip, 2 snappy, 3 lz4 or 4 zstd",
                             config__rows[setting].name, codec);
}

/* Java classes are not loaded here: only names that Kafka has built in. */
static void check_items(const struct config *config, size_t setting, const char *const *words, size_t count,
                        struct config_report *report)
{
    slice rest = slice_of_string(config__value(config, setting)->text), item;
    while (rest.size > 0 && config__list_next(&rest, &item)) {
        bool known = false;
        for (size_t i = 0; i < count; i++)
            known |= slice_equal_string(item, words[i]);
        if (!known)
            config__report_value(report, config, setting,
                                 "%s: %s is not built in, and Java classes are not loaded",
                                 config__rows[setting].name, note_escape(item));
    }
}

static void check_protocols(const struct config *config, struct config_report *report)
{
    size_t setting = SETTING_group_coordinator_rebalance_protocols;
    slice rest = slice_of_string(config__value(config, setting)->text), item;
    bool has_classic = false;
    while (config__list_next(&rest, &item))
        has_classic |= slice_equal_string(item, "classic");
    if (!has_classic)
        config__report_value(report, config, setting,
                             "group.coordinator.rebalance.protocols: classic cannot be left out");
}

static void check_queue(const struct config *config, struct config_report *report)
{
    int64_t queued = config__integer(config, SETTING_queued_max_request_bytes);
    int64_t request = config__integer(config, SETTING_socket_request_max_bytes);
    if (queued > 0 && queued < request)
        config__report_value(report, config, SETTING_queued_max_request_bytes,
                             "queued.max.request.bytes (%" PRId64
                             ") must be at least socket.request.max.bytes (%" PRId64 "), or -1",
                             queued, request);
}

void config__check_together(const struct config *config, struct config_report *report)
{
    static const char *const consumer_assignors[] = { "uniform", "range" };
    static const char *const share_assignors[] = { "simple" };
    for (size_t i = 0; i < sizeof ties / sizeof *ties; i++)
        check_tie(config, &ties[i], report);
    check_retention(config, report);
    check_cleaner(config, report);
    check_internal_segments(config, report);
    check_queue(config, report);
    check_protocols(config, report);
    check_codec(config, SETTING_offsets_topic_compression_codec, report);
    check_codec(config, SETTING_share_coordinator_state_topic_compression_codec, report);
    check_items(config, SETTING_group_consumer_assignors, consumer_assignors, 2, report);
    check_items(config, SETTING_group_share_assignors, share_assignors, 1, report);
}

static bool has_role(const struct config *config, const char *role)
{
    slice rest = slice_of_string(config__value(config, SETTING_process_roles)->text), item;
    while (config__list_next(&rest, &item))
        if (slice_equal_string(item, role))
            return true;
    return false;
}

/* HOST:PORT with a host. */
static bool is_host_port(slice text)
{
    int64_t port;
    const uint8_t *colon = text.size > 0 ? memrchr(text.data, ':', text.size) : NULL;
    return colon != NULL && colon > text.data &&
           config__parse_integer(slice_of(colon + 1, text.size - (size_t)(colon + 1 - text.data)), 0, 65535,
                                 &port);
}

/* Every voter but this node would wait for a controller that never answers. */
static void check_voters(const struct config *config, struct config_report *report)
{
    size_t setting = SETTING_controller_quorum_voters;
    slice rest = slice_of_string(config__value(config, setting)->text), item;
    while (rest.size > 0 && config__list_next(&rest, &item)) {
        const uint8_t *at = item.size > 0 ? memchr(item.data, '@', item.size) : NULL;
        int64_t id;
        if (at == NULL ||
            !config__parse_integer(slice_of(item.data, (size_t)(at - item.data)), 0, INT32_MAX, &id) ||
            !is_host_port(slice_of(at + 1, item.size - (size_t)(at + 1 - item.data)))) {
            config__report_value(report, config, setting,
                                 "controller.quorum.voters: cannot read %s; wanted is ID@HOST:PORT",
                                 note_escape(item));
            return;
        }
        if (id != config->node_id)
            config__report_value(
                report, config, setting,
                "controller.quorum.voters: %s is another node, but this one (node.id %d) is its own "
                "and only controller",
                note_escape(item), (int)config->node_id);
    }
}

static void check_bootstrap(const struct config *config, struct config_report *report)
{
    size_t setting = SETTING_controller_quorum_bootstrap_servers, count = 0;
    slice rest = slice_of_string(config__value(config, setting)->text), item;
    while (rest.size > 0 && config__list_next(&rest, &item)) {
        count++;
        if (!is_host_port(item)) {
            config__report_value(report, config, setting,
                                 "controller.quorum.bootstrap.servers: cannot read %s; wanted is HOST:PORT",
                                 note_escape(item));
            return;
        }
    }
    if (count > 1)
        config__report_value(
            report, config, setting,
            "controller.quorum.bootstrap.servers: names a quorum of several nodes, but this one is "
            "its own and only controller");
}

void config__check_roles(const struct config *config, struct config_report *report)
{
    const struct config_value *voters = config__value(config, SETTING_controller_quorum_voters);
    const struct config_value *servers = config__value(config, SETTING_controller_quorum_bootstrap_servers);
    int64_t broker_id = config__integer(config, SETTING_broker_id);
    if (!has_role(config, "broker"))
        config__report_value(
            report, config, SETTING_process_roles,
            "process.roles: a controller alone is not possible; wanted is broker,controller");
    else if (!has_role(config, "controller") && (voters->text[0] != '\0' || servers->text[0] != '\0'))
        config__report_value(
            report, config, SETTING_process_roles,
            "process.roles: a broker under another node's controller is not possible; to run this "
            "node on its own write broker,controller and take out controller.quorum.*");
    if (config__is_set(config, SETTING_node_id) && broker_id >= 0 && broker_id != config->node_id)
        config__report_value(report, config, SETTING_broker_id,
                             "broker.id (%" PRId64 ") must be the same as node.id (%d), or be left out",
                             broker_id, (int)config->node_id);
    check_voters(config, report);
    check_bootstrap(config, report);
}
