/* ListOffsets v1-11: an offset by timestamp or by a special position.
 * v2 isolation level; v4 leader epochs; v6 flexible; v7 max timestamp (-3, KIP-734); v8 earliest local (-4);
 * v9 latest tiered (-5); v10 timeout, for remote look-ups only; v11 earliest pending upload (-6). */
#include "broker/handlers/handlers.h"

#include <stdlib.h>

#include "broker/log_errors.h"
#include "broker/server.h"
#include "protocol/base/check.h"

enum special_timestamp {
    LATEST = -1,
    EARLIEST = -2,
    MAX_TIMESTAMP = -3,
    EARLIEST_LOCAL = -4,
    LATEST_TIERED = -5,
    EARLIEST_PENDING_UPLOAD = -6,
};

enum { UNKNOWN = -1, REPLICA_CONSUMER = -1, ISOLATION_READ_COMMITTED = 1 };

/* A search in the log, or in its history of epochs, which may wait for the disk: done by a worker. The
 * topic is looked up there again, as nothing of this turn may be kept. */
struct lookup {
    uuid topic_id;
    int64_t timestamp;
    int64_t bound; /* only records below count */
    struct list_offsets_response_partition *out;
};

struct list_offsets_state {
    struct lookup *lookups;
    size_t count;
    const bool *is_duplicate; /* by place in the request; NULL: none is */
    size_t place;
};

/* -- checks that come before the topic is looked up --------------------------------------------- */

static bool is_supported(int64_t timestamp, int16_t version)
{
    static const int16_t since[] = { [-LATEST] = 1,        [-EARLIEST] = 1,
                                     [-MAX_TIMESTAMP] = 7, [-EARLIEST_LOCAL] = 8,
                                     [-LATEST_TIERED] = 9, [-EARLIEST_PENDING_UPLOAD] = 11 };
    return timestamp >= 0 || (timestamp >= EARLIEST_PENDING_UPLOAD && version >= since[-timestamp]);
}

/* One partition of the request as a number that orders like (topic, partition), and its place. */
struct mention {
    uint64_t key;
    uint32_t place;
};

struct topic_mention {
    slice name;
    int32_t index;
};

static int compare_mentions(const void *a, const void *b)
{
    const struct mention *left = a, *right = b;
    return (left->key > right->key) - (left->key < right->key);
}

static int compare_topics(const void *a, const void *b)
{
    return slice_compare(((const struct topic_mention *)a)->name, ((const struct topic_mention *)b)->name);
}

/* Numbers the topics so that equal names get equal numbers. NULL: no memory. */
static uint32_t *number_topics(struct request *rq, const struct list_offsets_request *in)
{
    size_t count = (size_t)in->topics_count;
    struct topic_mention *sorted = arena_alloc_array(&rq->arena, count, sizeof *sorted);
    uint32_t *numbers = arena_alloc_array(&rq->arena, count, sizeof *numbers);
    if (!sorted || !numbers)
        return NULL;
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct topic_mention){ in->topics[i].name, (int32_t)i };
    qsort(sorted, count, sizeof *sorted, compare_topics);
    uint32_t number = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_topics(&sorted[i - 1], &sorted[i]) != 0)
            number++;
        numbers[sorted[i].index] = number;
    }
    return numbers;
}

static size_t partition_total(const struct list_offsets_request *in)
{
    size_t total = 0;
    for (int32_t i = 0; i < in->topics_count; i++)
        total += (size_t)in->topics[i].partitions_count;
    return total;
}

/* Marks all mentions of a partition that the request has twice. False: no memory. */
static bool find_duplicates(struct request *rq, const struct list_offsets_request *in, size_t total,
                            struct list_offsets_state *state)
{
    struct mention *mentions = arena_alloc_array(&rq->arena, total, sizeof *mentions);
    uint32_t *numbers = number_topics(rq, in);
    if (!mentions || !numbers)
        return false;
    size_t place = 0;
    bool is_ascending = true; /* as clients send it: then there is none */
    for (int32_t t = 0; t < in->topics_count; t++) {
        for (int32_t p = 0; p < in->topics[t].partitions_count; p++, place++) {
            uint64_t key = (uint64_t)numbers[t] << 32 | (uint32_t)in->topics[t].partitions[p].partition;
            mentions[place] = (struct mention){ key, (uint32_t)place };
            is_ascending = is_ascending && (place == 0 || key > mentions[place - 1].key);
        }
    }
    if (is_ascending)
        return true;
    qsort(mentions, total, sizeof *mentions, compare_mentions);
    bool *is_duplicate = arena_alloc_array(&rq->arena, total, sizeof *is_duplicate);
    if (!is_duplicate)
        return false;
    for (size_t i = 1; i < total; i++)
        if (mentions[i].key == mentions[i - 1].key)
            is_duplicate[mentions[i].place] = is_duplicate[mentions[i - 1].place] = true;
    state->is_duplicate = is_duplicate;
    return true;
}

/* -- one partition ------------------------------------------------------------------------------ */

static void fail(struct list_offsets_response_partition *out, int16_t error_code)
{
    out->error_code = error_code;
    out->timestamp = out->offset = UNKNOWN;
    out->leader_epoch = UNKNOWN;
}

/* Replicas and tools see beyond what is committed, consumers do not. */
static int64_t fetchable_end(const struct list_offsets_request *in, const struct log_offsets *offsets)
{
    if (in->replica_id != REPLICA_CONSUMER)
        return offsets->end;
    return in->isolation_level == ISOLATION_READ_COMMITTED ? offsets->stable : offsets->high_watermark;
}

/* In Kafka a leader notes its epoch at the log's end when it becomes one, so that an empty log has an
 * epoch as well. LOG_BUSY: a worker has to open the log first. */
static enum log_status list_earliest(const struct partition_metadata *metadata,
                                     struct list_offsets_response_partition *out)
{
    struct log_offsets offsets = log_offsets(metadata->partition->log);
    int32_t epoch;
    enum log_status status = log_epoch_at(metadata->partition->log, offsets.start, &epoch);
    if (status != LOG_OK)
        return status;
    out->offset = offsets.start;
    out->leader_epoch = epoch < 0 && offsets.start == offsets.end ? metadata->leader_epoch : epoch;
    return LOG_OK;
}

static void add_lookup(struct list_offsets_state *state, const struct topic *topic, int64_t timestamp,
                       int64_t bound, struct list_offsets_response_partition *out)
{
    state->lookups[state->count++] = (struct lookup){ topic->id, timestamp, bound, out };
}

static void list_found(struct list_offsets_state *state, const struct list_offsets_request *in,
                       const struct list_offsets_request_partition *asked, const struct topic *topic,
                       const struct partition_metadata *metadata, struct list_offsets_response_partition *out)
{
    struct log_offsets offsets = log_offsets(metadata->partition->log);
    int64_t bound = fetchable_end(in, &offsets);
    switch (asked->timestamp) {
    case LATEST:
        out->offset = bound;
        out->leader_epoch = metadata->leader_epoch;
        return;
    case EARLIEST:
    case EARLIEST_LOCAL: /* nothing is tiered */
        if (list_earliest(metadata, out) != LOG_OK)
            add_lookup(state, topic, EARLIEST, bound, out);
        return;
    case LATEST_TIERED:
    case EARLIEST_PENDING_UPLOAD:
        return;
    default:
        if (offsets.start < bound)
            add_lookup(state, topic, asked->timestamp, bound, out);
    }
}

static void list_partition(struct request *rq, struct list_offsets_state *state,
                           const struct list_offsets_request *in,
                           const struct list_offsets_request_topic *asked_topic, int16_t topic_error,
                           const struct topic *topic, int32_t p, struct list_offsets_response_partition *out)
{
    const struct list_offsets_request_partition *asked = &asked_topic->partitions[p];
    const struct partition_metadata *metadata;
    list_offsets_response_partition_init(out);
    out->partition = asked->partition;
    size_t place = state->place++;

    int16_t error_code = topic_error;
    if (error_code == ERR_TOPIC_AUTHORIZATION_FAILED)
        ; /* comes before everything else */
    else if (state->is_duplicate && state->is_duplicate[place])
        error_code = ERR_INVALID_REQUEST;
    else if (!is_supported(asked->timestamp, rq->api_version))
        error_code = ERR_UNSUPPORTED_VERSION;
    else if (error_code == ERR_NONE)
        error_code = rq_partition(rq, topic, asked->partition, &metadata);
    if (error_code == ERR_NONE)
        error_code = rq_leader_epoch(metadata, asked->current_leader_epoch);
    if (error_code == ERR_NONE)
        list_found(state, in, asked, topic, metadata, out);
    else
        fail(out, error_code);
}

static bool list_topic(struct request *rq, struct list_offsets_state *state,
                       const struct list_offsets_request *in, const struct list_offsets_request_topic *asked,
                       struct list_offsets_response_topic *out)
{
    list_offsets_response_topic_init(out);
    out->name = asked->name;
    out->partitions = arena_alloc_array(&rq->arena, (size_t)asked->partitions_count, sizeof *out->partitions);
    if (!out->partitions)
        return false;
    out->partitions_count = asked->partitions_count;
    const struct topic *topic;
    int16_t error_code = rq_topic(rq, asked->name, OP_DESCRIBE, &topic);
    for (int32_t p = 0; p < asked->partitions_count; p++)
        list_partition(rq, state, in, asked, error_code, topic, p, &out->partitions[p]);
    return true;
}

/* -- searches, on a worker ---------------------------------------------------------------------- */

/* Whoever needs descriptors may close the log again in between, but hardly so often. */
static enum log_status look_up_earliest(const struct partition_metadata *metadata,
                                        struct list_offsets_response_partition *out)
{
    enum { OPEN_ROUNDS_MAX = 4 };
    enum log_status status = LOG_BUSY;
    for (int i = 0; i < OPEN_ROUNDS_MAX && status == LOG_BUSY; i++) {
        status = log_open(metadata->partition->log);
        if (status == LOG_OK)
            status = list_earliest(metadata, out);
    }
    return status;
}

static enum log_status look_up_time(const struct partition *partition, const struct lookup *lookup)
{
    struct list_offsets_response_partition *out = lookup->out;
    struct log_found found;
    enum log_status status =
        lookup->timestamp == MAX_TIMESTAMP
            ? log_find_max_timestamp(partition->log, lookup->bound, &found)
            : log_find_timestamp(partition->log, lookup->timestamp, lookup->bound, &found);
    if (status == LOG_OK) {
        out->offset = found.offset;
        out->timestamp = found.timestamp;
        out->leader_epoch = found.leader_epoch; /* the record's, not the current one (KIP-320) */
    }
    return status;
}

static void look_up(const struct image *image, const struct lookup *lookup)
{
    struct list_offsets_response_partition *out = lookup->out;
    const struct topic *topic = image_topic_by_id(image, lookup->topic_id);
    const struct partition_metadata *metadata =
        topic && out->partition < topic->partition_count ? &topic->partitions[out->partition] : NULL;
    const struct partition *partition = metadata ? metadata->partition : NULL;
    if (!partition || atomic_load_explicit(&partition->is_deleted, memory_order_acquire)) {
        fail(out, ERR_UNKNOWN_TOPIC_OR_PARTITION);
        return;
    }
    enum log_status status =
        lookup->timestamp == EARLIEST ? look_up_earliest(metadata, out) : look_up_time(partition, lookup);
    if (status != LOG_OK)
        fail(out, error_of_log(status));
}

/* A worker is a member of retire: this image is valid until the job ends. */
static void look_up_all(struct request *rq)
{
    struct list_offsets_state *state = rq->state;
    const struct image *image = controller_image(rq->server->controller);
    for (size_t i = 0; i < state->count; i++)
        look_up(image, &state->lookups[i]);
}

/* Before version 4 there is no place to tell an epoch. */
static enum handled answer(struct request *rq)
{
    struct list_offsets_response *out = rq->out;
    for (int32_t t = 0; rq->api_version < 4 && t < out->topics_count; t++)
        for (int32_t p = 0; p < out->topics[t].partitions_count; p++)
            out->topics[t].partitions[p].leader_epoch = UNKNOWN;
    return HANDLED_DONE;
}

static enum handled resume_looked_up(struct request *rq, enum wake why)
{
    check(why == WAKE_WORKED);
    return answer(rq);
}

enum handled handle_list_offsets(struct request *rq, const struct list_offsets_request *in,
                                 struct list_offsets_response *out)
{
    size_t total = partition_total(in);
    struct list_offsets_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    out->topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *out->topics);
    if (!state || !out->topics || !find_duplicates(rq, in, total, state))
        return HANDLED_CLOSE;
    state->lookups = arena_alloc_array(&rq->arena, total, sizeof *state->lookups);
    if (!state->lookups)
        return HANDLED_CLOSE;
    for (int32_t t = 0; t < in->topics_count; t++)
        if (!list_topic(rq, state, in, &in->topics[t], &out->topics[t]))
            return HANDLED_CLOSE;
    out->topics_count = in->topics_count;
    if (state->count == 0)
        return answer(rq);
    rq->state = state;
    rq->resume = resume_looked_up;
    rq_read(rq, look_up_all);
    return HANDLED_BUSY;
}
