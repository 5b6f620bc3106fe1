/* Topic settings: Kafka's topic-level configs, resolved over the broker's own defaults. */
#ifndef RUNNEL_BROKER_TOPIC_CONFIG_H
#define RUNNEL_BROKER_TOPIC_CONFIG_H

#include "broker/config_row.h"
#include "protocol/base/slice.h"
#include "storage/log.h"

struct config;

/* compression.type: the codec of what is stored. */
enum topic_compression {
    TOPIC_COMPRESSION_NONE = CODEC_NONE, /* "uncompressed" */
    TOPIC_COMPRESSION_GZIP = CODEC_GZIP,
    TOPIC_COMPRESSION_SNAPPY = CODEC_SNAPPY,
    TOPIC_COMPRESSION_LZ4 = CODEC_LZ4,
    TOPIC_COMPRESSION_ZSTD = CODEC_ZSTD,
    TOPIC_COMPRESSION_PRODUCER, /* as the producer sent it */
};

/* Bits of cleanup.policy; 0 keeps everything for ever (allowed from 4.2 on). */
enum { CLEANUP_DELETE = LOG_CLEANUP_DELETE, CLEANUP_COMPACT = LOG_CLEANUP_COMPACT };

/* All values of one topic, typed; plain data, copied by value. Sizes in bytes, times in ms. */
struct topic_config {
    int32_t segment_bytes;          /* internal.segment.bytes where that is set */
    int32_t internal_segment_bytes; /* 0: none */
    int64_t segment_ms;
    int64_t segment_jitter_ms;
    int32_t segment_index_bytes;
    int32_t index_interval_bytes;
    int64_t flush_messages; /* 1: an answer means that it is on disk (DESIGN 5) */
    int64_t flush_ms;
    int64_t producer_id_expiration_ms; /* the broker's: there is no topic setting of it */
    int32_t max_message_bytes;
    bool message_timestamp_is_append_time; /* message.timestamp.type=LogAppendTime */
    int64_t message_timestamp_before_max_ms;
    int64_t message_timestamp_after_max_ms;
    enum topic_compression compression_type;
    int32_t compression_gzip_level;
    int32_t compression_lz4_level;
    int32_t compression_zstd_level;
    unsigned cleanup_policy; /* bits */
    int64_t retention_ms;    /* -1: no limit */
    int64_t retention_bytes; /* -1: no limit */
    int64_t local_retention_ms;
    int64_t local_retention_bytes;
    int64_t delete_retention_ms;
    int64_t file_delete_delay_ms;
    int64_t min_compaction_lag_ms;
    int64_t max_compaction_lag_ms;
    double min_cleanable_dirty_ratio;
    int32_t min_insync_replicas;
    bool preallocate;
    bool unclean_leader_election_enable;
    bool remote_storage_enable;
    bool remote_log_copy_disable;
    bool remote_log_delete_on_disable;
};

/* One of a topic's own settings, as ConfigRecords and requests carry them. Borrowed. */
struct topic_config_override {
    slice name;
    slice value;
};

enum { TOPIC_CONFIG_ERROR_SIZE = 256 };

/* Fills *out from the broker's defaults and the topic's own settings on top (of two with one name
 * the last counts). False when one is wrong: error then says what, in Kafka's words, for
 * INVALID_CONFIG (NULL or TOPIC_CONFIG_ERROR_SIZE bytes; what a client sent is escaped); *out is
 * then undefined. */
bool topic_config_resolve(const struct config *config, const struct topic_config_override *overrides,
                          size_t count, struct topic_config *out, char *error);
/* The same for what the metadata log holds: names that Kafka removed or a newer one added, and
 * values that are out of range are ignored, as Kafka does on load. Returns how many were ignored. */
size_t topic_config_load(const struct config *config, const struct topic_config_override *overrides,
                         size_t count, struct topic_config *out);
/* What a log acts on. */
void topic_config_log(const struct topic_config *topic, struct log_config *out);

/* For DescribeConfigs and docs: all settings in the order of their names. */
size_t topic_config_count(void);
const struct config_row *topic_config_row(size_t index);
/* SIZE_MAX: no such setting. */
size_t topic_config_find(slice name);
/* The broker settings behind it, first wins, as indexes of config_row_at(); returns how many (0:
 * none, the default is Kafka's own). */
enum { TOPIC_CONFIG_SYNONYMS_MAX = 3 };
size_t topic_config_synonyms(size_t index, size_t out[TOPIC_CONFIG_SYNONYMS_MAX]);
/* The value that holds for topics without one of their own, as text (at most `capacity` bytes with
 * the NUL; 64 are enough for all but lists). Returns the length. */
size_t topic_config_default(const struct config *config, size_t index, char *out, size_t capacity);

#endif
