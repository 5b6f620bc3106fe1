/* Offsets by topic and partition, sorted, in memory that is counted over the whole broker. */
#ifndef RUNNEL_BROKER_GROUP_OFFSET_TABLE_H
#define RUNNEL_BROKER_GROUP_OFFSET_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/slice.h"
#include "protocol/base/uuid.h"

struct stored_offset {
    int64_t offset;
    int64_t record_offset; /* of the record that says so, in the topic of the groups */
    int64_t commit_ms;     /* ms since the epoch */
    int64_t expire_ms;     /* -1: by the group's retention */
    slice metadata;        /* never null; owned by the table */
    uuid topic_id;         /* zero: not known, as written by Kafka before 4.1 */
    int32_t partition;
    int32_t leader_epoch; /* -1: none */
};

struct offset_topic;

/* All zero: empty. */
struct offset_table {
    struct offset_topic **topics; /* ascending by name */
    size_t topic_count;
    size_t topic_capacity;
    size_t count;
    size_t size; /* bytes, as offset_size() counts */
};

/* Frees what it holds; it is empty then. */
void offset_table_clear(struct offset_table *table);
/* NULL: none. Until the table is changed. */
const struct stored_offset *offset_table_find(const struct offset_table *table, slice topic,
                                              int32_t partition);
/* Sets it, with a copy of the metadata. False: no memory, the table is as it was. */
bool offset_table_put(struct offset_table *table, slice topic, const struct stored_offset *stored);
/* Nothing happens when it is not there. */
void offset_table_remove(struct offset_table *table, slice topic, int32_t partition);
/* Topic by topic in the order of their names, partitions ascending. The table stays as it is meanwhile. */
typedef void (*offset_visit)(void *context, slice topic, const struct stored_offset *stored);
void offset_table_visit(const struct offset_table *table, offset_visit visit, void *context);

/* What one offset takes at most, with the topic if it is the first of it. */
size_t offset_size(slice topic, size_t metadata_size);
/* Of all tables of the process. */
size_t offset_tables_size(void);

#endif
