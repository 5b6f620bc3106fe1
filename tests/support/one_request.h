/* Requests of administration and of groups about one topic, one partition or one setting, for clients of any
 * kind: like one_partition.h, filled in, to be changed before they are sent; each is its own memory and must
 * not be copied or moved. Names are borrowed until the request was sent. */
#ifndef RUNNEL_TESTS_SUPPORT_ONE_REQUEST_H
#define RUNNEL_TESTS_SUPPORT_ONE_REQUEST_H

#include "codec/create_topics.h"
#include "codec/delete_records.h"
#include "codec/delete_topics.h"
#include "codec/incremental_alter_configs.h"
#include "codec/init_producer_id.h"
#include "codec/offset_commit.h"
#include "codec/offset_fetch.h"

/* Api keys, and the versions that the structs are filled in for. */
enum one_request_key {
    ONE_COMMIT = 8,
    ONE_OFFSETS = 9,
    ONE_CREATE = 19,
    ONE_DELETE = 20,
    ONE_DELETE_RECORDS = 21,
    ONE_INIT_PRODUCER = 22,
    ONE_ALTER = 44,
};
enum one_request_version {
    ONE_COMMIT_VERSION = 9,
    ONE_OFFSETS_VERSION = 9,
    ONE_CREATE_VERSION = 7,
    ONE_DELETE_VERSION = 6,
    ONE_DELETE_RECORDS_VERSION = 2,
    ONE_INIT_PRODUCER_VERSION = 4,
    ONE_ALTER_VERSION = 1,
};

struct one_setting {
    const char *name, *value;
};

enum { ONE_SETTINGS_MAX = 8 };

struct one_create {
    struct create_topics_request request;
    struct create_topics_request_topic topic;
    struct create_topics_request_config configs[ONE_SETTINGS_MAX];
};

struct one_delete {
    struct delete_topics_request request;
    struct delete_topics_request_topic topic;
};

struct one_delete_records {
    struct delete_records_request request;
    struct delete_records_request_topic topic;
    struct delete_records_request_partition partition;
};

struct one_alter {
    struct incremental_alter_configs_request request;
    struct incremental_alter_configs_request_resource resource;
    struct incremental_alter_configs_request_config config;
};

struct one_commit {
    struct offset_commit_request request;
    struct offset_commit_request_topic topic;
    struct offset_commit_request_partition partition;
};

struct one_offsets {
    struct offset_fetch_request request;
    struct offset_fetch_request_group group;
    struct offset_fetch_request_topics topic;
    int32_t index;
};

/* settings: ended by a row without a name; NULL for none. */
void one_create(struct one_create *one, const char *topic, int32_t partitions,
                const struct one_setting *settings);
void one_delete(struct one_delete *one, const char *topic);
/* Up to offset; -1: the high watermark. */
void one_delete_records(struct one_delete_records *one, const char *topic, int32_t partition, int64_t offset);
/* Sets one setting of a topic. */
void one_alter(struct one_alter *one, const char *topic, struct one_setting setting);
/* Of a group without members. */
void one_commit(struct one_commit *one, const char *group, const char *topic, int32_t partition,
                int64_t offset);
void one_offsets(struct one_offsets *one, const char *group, const char *topic, int32_t partition);
/* Of an idempotent producer. */
void one_init_producer(struct init_producer_id_request *request);

#endif
