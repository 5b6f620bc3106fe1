/* Requests about one partition or one topic, as most tests send them: filled with what a client usually says,
 * to be changed before they are sent. Each is its own memory and must not be copied or moved. */
#ifndef RUNNEL_TESTS_SUPPORT_ONE_PARTITION_H
#define RUNNEL_TESTS_SUPPORT_ONE_PARTITION_H

#include "codec/fetch.h"
#include "codec/list_offsets.h"
#include "codec/metadata.h"
#include "codec/produce.h"
#include "protocol/base/arena.h"
#include "protocol/record_batch.h"

/* What a batch of no idempotent producer has; further fields may follow. */
#define NO_PRODUCER .leader_epoch = -1, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1

/* Keys are api keys, as everywhere. */
enum one_partition_key { ONE_PRODUCE = 0, ONE_FETCH = 1, ONE_LIST_OFFSETS = 2, ONE_METADATA = 3 };

struct one_produce {
    struct produce_request request;
    struct produce_request_topic topic;
    struct produce_request_partition partition;
};

struct one_fetch {
    struct fetch_request request;
    struct fetch_request_topic topic;
    struct fetch_request_partition partition;
};

struct one_list_offsets {
    struct list_offsets_request request;
    struct list_offsets_request_topic topic;
    struct list_offsets_request_partition partition;
};

struct one_metadata {
    struct metadata_request request;
    struct metadata_request_topic topic;
};

/* acks=all, 10 s. Names are borrowed until the request was sent, as are records. */
void one_produce(struct one_produce *one, const char *topic, int32_t partition, slice records);
/* Without a session and without waiting: max_wait_ms 0, min_bytes 1, a megabyte. */
void one_fetch(struct one_fetch *one, const char *topic, int32_t partition, int64_t offset);
/* timestamp: of a record, or -1 for the end, -2 for the start, ... */
void one_list_offsets(struct one_list_offsets *one, const char *topic, int32_t partition, int64_t timestamp);
/* The topic may be created. */
void one_metadata(struct one_metadata *one, slice topic);

/* A batch of `count` records with key "key", value "value" and timestamps from 1700000000000 on, in memory of
 * the arena. Aborts when it cannot be built. */
struct batch_view small_batch(struct arena *arena, const struct batch_builder_options *options, int count);
/* Its bytes. */
slice batch_bytes(const struct batch_view *batch);

#endif
