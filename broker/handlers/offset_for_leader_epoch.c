/* OffsetForLeaderEpoch v2-4: where a leader epoch ends, for clients that look whether their log and ours went
 * apart. v2 the client's epoch is fenced (KIP-320); v3 replica id, of no meaning here; v4 flexible. */
#include "broker/handlers/handlers.h"

#include "broker/epoch_end.h"
#include "broker/log_errors.h"
#include "broker/server.h"
#include "protocol/base/check.h"

enum { UNKNOWN_EPOCH = -1 };

/* A partition whose log a worker has to open first; held meanwhile. */
struct epoch_lookup {
    struct partition *partition;
    int32_t leader_epoch;
    int32_t requested;
    struct offset_for_leader_epoch_response_partition *out;
};

struct epoch_state {
    struct epoch_lookup *lookups;
    size_t count;
};

static enum log_status look_up(const struct epoch_lookup *lookup)
{
    int32_t epoch;
    int64_t end_offset;
    enum log_status status =
        epoch_end_find(lookup->partition->log, lookup->leader_epoch, lookup->requested, &epoch, &end_offset);
    if (status == LOG_OK) {
        lookup->out->leader_epoch = epoch;
        lookup->out->end_offset = end_offset;
    }
    return status;
}

/* On a worker. Whoever needs descriptors may close a log again in between, but hardly so often. */
static void look_up_all(struct request *rq)
{
    enum { OPEN_ROUNDS_MAX = 4 };
    struct epoch_state *state = rq->state;
    for (size_t i = 0; i < state->count; i++) {
        struct epoch_lookup *lookup = &state->lookups[i];
        enum log_status status = LOG_BUSY;
        for (int round = 0; round < OPEN_ROUNDS_MAX && status == LOG_BUSY; round++) {
            status = log_open(lookup->partition->log);
            if (status == LOG_OK)
                status = look_up(lookup);
        }
        bool is_deleted = atomic_load_explicit(&lookup->partition->is_deleted, memory_order_acquire);
        if (status != LOG_OK)
            lookup->out->error_code =
                is_deleted ? (int16_t)ERR_UNKNOWN_TOPIC_OR_PARTITION : error_of_log(status);
        partition_release(lookup->partition);
    }
}

static void find_end(struct request *rq, struct epoch_state *state, const struct topic *topic,
                     const struct offset_for_leader_epoch_request_partition *asked,
                     struct offset_for_leader_epoch_response_partition *out)
{
    const struct partition_metadata *metadata;
    out->error_code = rq_partition(rq, topic, asked->partition, &metadata);
    if (out->error_code == ERR_NONE)
        out->error_code = asked->current_leader_epoch < UNKNOWN_EPOCH
                              ? (int16_t)ERR_FENCED_LEADER_EPOCH
                              : rq_leader_epoch(metadata, asked->current_leader_epoch);
    if (out->error_code != ERR_NONE)
        return;
    struct epoch_lookup lookup = { metadata->partition, metadata->leader_epoch, asked->leader_epoch, out };
    enum log_status status = look_up(&lookup);
    if (status == LOG_BUSY) {
        partition_hold(lookup.partition);
        state->lookups[state->count++] = lookup;
    } else if (status != LOG_OK) {
        out->error_code = error_of_log(status);
    }
}

/* Kafka lets brokers ask for all topics at once; consumers need to be allowed each. */
static int16_t authorize(struct request *rq, slice name, const struct topic **topic)
{
    int16_t error_code = rq_topic(rq, name, OP_DESCRIBE, topic);
    if (error_code != ERR_TOPIC_AUTHORIZATION_FAILED || rq_cluster(rq, OP_CLUSTER_ACTION) != ERR_NONE)
        return error_code;
    *topic = image_topic_by_name(rq->image, name);
    return *topic ? ERR_NONE : ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static bool answer_topic(struct request *rq, struct epoch_state *state,
                         const struct offset_for_leader_epoch_request_topic *asked,
                         struct offset_for_leader_epoch_response_topic *out)
{
    offset_for_leader_epoch_response_topic_init(out);
    out->name = asked->name;
    out->partitions = arena_alloc_array(&rq->arena, (size_t)asked->partitions_count, sizeof *out->partitions);
    if (!out->partitions)
        return false;
    out->partitions_count = asked->partitions_count;
    const struct topic *topic;
    int16_t error_code = authorize(rq, asked->name, &topic);
    for (int32_t i = 0; i < asked->partitions_count; i++) {
        struct offset_for_leader_epoch_response_partition *partition = &out->partitions[i];
        offset_for_leader_epoch_response_partition_init(partition);
        partition->partition = asked->partitions[i].partition;
        partition->error_code = error_code;
        if (error_code == ERR_NONE)
            find_end(rq, state, topic, &asked->partitions[i], partition);
    }
    return true;
}

static enum handled resume_looked_up(struct request *rq, enum wake why)
{
    (void)rq;
    check(why == WAKE_WORKED);
    return HANDLED_DONE;
}

static bool make_room(struct request *rq, const struct offset_for_leader_epoch_request *in,
                      struct epoch_state *state)
{
    size_t total = 0;
    for (int32_t i = 0; i < in->topics_count; i++)
        total += (size_t)in->topics[i].partitions_count;
    state->lookups = arena_alloc_array(&rq->arena, total, sizeof *state->lookups);
    return state->lookups != NULL;
}

static void release_all(struct epoch_state *state)
{
    for (size_t i = 0; i < state->count; i++)
        partition_release(state->lookups[i].partition);
}

enum handled handle_offset_for_leader_epoch(struct request *rq,
                                            const struct offset_for_leader_epoch_request *in,
                                            struct offset_for_leader_epoch_response *out)
{
    struct epoch_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    out->topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *out->topics);
    if (!state || !out->topics || !make_room(rq, in, state))
        return HANDLED_CLOSE;
    for (int32_t i = 0; i < in->topics_count; i++) {
        if (!answer_topic(rq, state, &in->topics[i], &out->topics[i])) {
            release_all(state);
            return HANDLED_CLOSE;
        }
    }
    out->topics_count = in->topics_count;
    if (state->count == 0)
        return HANDLED_DONE;
    rq->state = state;
    rq->resume = resume_looked_up;
    rq_read(rq, look_up_all);
    return HANDLED_BUSY;
}
