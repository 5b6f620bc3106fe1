/* Fetch v4-18: long-polls records out of the mapped segments.
 * v7 sessions are declined (session id 0, as Kafka with a full cache); v12 diverging epochs (KIP-595);
 * v13 topic ids (KIP-516). */
#include "broker/handlers/handlers.h"
#include "broker/epoch_end.h"
#include "broker/log_errors.h"
#include "broker/server.h"
#include "protocol/base/check.h"

enum { READ_COMMITTED = 1, SESSION_EPOCH_FINAL = -1, SESSION_EPOCH_INITIAL = 0, COLD_ROUNDS_MAX = 3 };

/* One partition of the request, in its order. */
struct part {
    const struct fetch_request_topic *topic;
    const struct fetch_request_partition *in;
    struct fetch_response_partition *out;
    struct partition *partition; /* of this try; NULL after an error */
    struct log_range range;
    size_t available; /* bytes as min_bytes counts them */
    bool is_cold;     /* a worker has to open the log or read from the device */
    enum log_status warmed; /* what stopped the worker; told by the read that follows */
    bool is_refused;  /* by the first look-up, before the log was asked */
};

struct fetch_state {
    struct part *parts;
    size_t part_count;
    size_t size_max;
    size_t min_bytes;
    int64_t deadline_ms; /* monotonic */
    unsigned cold_rounds;
    bool is_tried; /* all partitions were looked up once */
    bool is_watching;
    bool is_committed; /* isolation level read_committed */
    bool from_replica;
};

static const uint8_t no_bytes[1];

static enum handled resume_fetch(struct request *rq, enum wake why);

static int64_t bound_of(const struct fetch_state *state, const struct log_offsets *offsets)
{
    return state->is_committed ? offsets->stable : offsets->high_watermark;
}

static void refuse(struct part *part, int16_t error_code)
{
    part->partition = NULL;
    part->out->error_code = error_code;
    part->out->high_watermark = -1;
    part->out->last_stable_offset = -1;
    part->out->log_start_offset = -1;
}

/* KIP-595: the client's last epoch ended before its position, so its log and ours went apart. */
static bool check_divergence(struct part *part, struct log *log, int32_t leader_epoch)
{
    if (part->in->last_fetched_epoch < 0)
        return true;
    int32_t epoch;
    int64_t end_offset;
    if (epoch_end_find(log, leader_epoch, part->in->last_fetched_epoch, &epoch, &end_offset) != LOG_OK) {
        part->is_cold = true;
        return false;
    }
    if (epoch < 0 || end_offset < 0) {
        refuse(part, ERR_OFFSET_OUT_OF_RANGE);
        return false;
    }
    if (epoch >= part->in->last_fetched_epoch && end_offset >= part->in->fetch_offset)
        return true;
    part->out->diverging_epoch.epoch = epoch;
    part->out->diverging_epoch.end_offset = end_offset;
    return false;
}

static int16_t resolve(struct request *rq, const struct fetch_state *state, struct part *part,
                       const struct partition_metadata **metadata)
{
    const struct topic *topic;
    int16_t error_code = rq->api_version >= 13 ? rq_topic_by_id(rq, part->topic->topic_id, OP_READ, &topic)
                                               : rq_topic(rq, part->topic->name, OP_READ, &topic);
    if (error_code == ERR_NONE && state->from_replica)
        return ERR_TOPIC_AUTHORIZATION_FAILED; /* no replicas here: reliability row 79 */
    if (error_code == ERR_NONE)
        error_code = rq_partition(rq, topic, part->in->partition, metadata);
    return error_code;
}

/* One pass over one partition; size_left is what the response may still take. */
static void read_part(struct request *rq, struct fetch_state *state, struct part *part, size_t size_left,
                      bool at_least_one)
{
    const struct partition_metadata *metadata;
    fetch_response_partition_init(part->out);
    part->out->partition = part->in->partition;
    part->out->aborted_transactions_count = state->is_committed ? 0 : -1;
    part->out->records.bytes = slice_of(no_bytes, 0);
    part->range = (struct log_range){ .bytes = SLICE_NULL };
    part->available = 0;
    part->is_cold = false;

    int16_t error_code = resolve(rq, state, part, &metadata);
    if (error_code != ERR_NONE) {
        refuse(part, error_code);
        part->out->aborted_transactions_count = 0; /* as Kafka has it here, and here alone */
        part->is_refused = part->is_refused || !state->is_tried;
        return;
    }
    part->is_refused = false;
    error_code = rq_leader_epoch(metadata, part->in->current_leader_epoch);
    if (error_code != ERR_NONE) {
        refuse(part, error_code);
        return;
    }
    part->partition = metadata->partition;
    struct log *log = metadata->partition->log;
    struct log_offsets offsets = log_offsets(log);
    int64_t bound = bound_of(state, &offsets);
    part->out->high_watermark = offsets.high_watermark;
    part->out->last_stable_offset = offsets.stable;
    part->out->log_start_offset = offsets.start;
    enum log_status status = part->warmed;
    part->warmed = LOG_OK;
    if (status == LOG_OK && !check_divergence(part, log, metadata->leader_epoch))
        return;

    size_t size_max = part->in->partition_max_bytes > 0 ? (size_t)part->in->partition_max_bytes : 0;
    if (size_max > size_left)
        size_max = size_left;
    bool resident_only = state->cold_rounds < COLD_ROUNDS_MAX;
    if (status == LOG_OK)
        status = log_read(log, part->in->fetch_offset, bound, size_max, at_least_one, resident_only,
                          &rq->arena, &part->range);
    switch (status) {
    case LOG_OK:
        part->available = part->range.bytes.size;
        return;
    case LOG_COLD:
    case LOG_BUSY:
        part->is_cold = true;
        return;
    default:
        error_code = error_of_log(status);
        if (error_code == ERR_KAFKA_STORAGE_ERROR && rq->api_version <= 5)
            error_code = ERR_NOT_LEADER_OR_FOLLOWER; /* older clients do not know the other */
        refuse(part, error_code);
    }
}

struct outcome {
    size_t size;
    bool is_final; /* an error or a divergence: answered at once, as when nothing is left to wait for */
    bool is_cold;
};

static struct outcome read_all(struct request *rq, struct fetch_state *state)
{
    struct outcome outcome = { 0 };
    size_t refused_count = 0;
    for (size_t i = 0; i < state->part_count; i++) {
        struct part *part = &state->parts[i];
        size_t left = state->size_max > outcome.size ? state->size_max - outcome.size : 0;
        read_part(rq, state, part, left, outcome.size == 0);
        outcome.size += part->range.bytes.size;
        outcome.is_cold = outcome.is_cold || part->is_cold;
        /* A partition that was unknown from the start keeps nobody from waiting for the others: a client
         * that goes on asking for a deleted topic would otherwise never sleep. */
        if (part->is_refused)
            refused_count++;
        else if (part->out->error_code != ERR_NONE || part->out->diverging_epoch.epoch >= 0)
            outcome.is_final = true;
    }
    state->is_tried = true;
    outcome.is_final = outcome.is_final || refused_count == state->part_count;
    return outcome;
}

/* Batch ends cut what was read; min_bytes counts what is there (facts: protocol 4.3). */
static bool has_min_bytes(const struct fetch_state *state, size_t read_size)
{
    if (read_size >= state->min_bytes)
        return true;
    size_t sum = 0;
    for (size_t i = 0; i < state->part_count; i++) {
        const struct part *part = &state->parts[i];
        if (!part->partition)
            continue;
        struct log_offsets offsets = log_offsets(part->partition->log);
        int64_t bound = bound_of(state, &offsets);
        if (part->in->fetch_offset >= bound)
            continue;
        size_t size = log_size_between(part->partition->log, part->in->fetch_offset, bound);
        if (size == SIZE_MAX)
            return true; /* an older segment: Kafka does not count */
        size_t size_max = part->in->partition_max_bytes > 0 ? (size_t)part->in->partition_max_bytes : 0;
        sum += size < size_max ? size : size_max;
        if (sum >= state->min_bytes)
            return true;
    }
    return false;
}

static bool attach_records(struct request *rq, struct fetch_state *state)
{
    for (size_t i = 0; i < state->part_count; i++) {
        struct part *part = &state->parts[i];
        if (part->range.bytes.size == 0)
            continue;
        if (part->range.pin && !arena_pin(&rq->arena, part->range.pin))
            return false;
        part->out->records.bytes = part->range.bytes;
        part->out->records.pin = part->range.pin;
    }
    return true;
}

/* On a worker: opens what a clean stop left closed, brings cold ranges into memory. */
static void warm_all(struct request *rq)
{
    struct fetch_state *state = rq->state;
    for (size_t i = 0; i < state->part_count; i++) {
        struct part *part = &state->parts[i];
        if (!part->is_cold)
            continue;
        struct log *log = part->partition->log;
        part->warmed = log_open(log);
        if (part->warmed != LOG_OK)
            continue;
        struct log_offsets offsets = log_offsets(log);
        size_t size_max = part->in->partition_max_bytes > 0 ? (size_t)part->in->partition_max_bytes : 1;
        part->warmed = log_warm(log, part->in->fetch_offset, bound_of(state, &offsets),
                                size_max < state->size_max ? size_max : state->size_max);
    }
}

static bool watch_all(struct request *rq, struct fetch_state *state)
{
    if (state->is_watching)
        return true;
    for (size_t i = 0; i < state->part_count; i++)
        if (state->parts[i].partition && !rq_watch(rq, state->parts[i].partition))
            return false;
    state->is_watching = true;
    return true;
}

static enum handled try_fetch(struct request *rq, bool is_late)
{
    struct fetch_state *state = rq->state;
    struct outcome outcome = read_all(rq, state);
    if (outcome.is_cold) {
        state->cold_rounds++;
        rq->resume = resume_fetch;
        rq_work(rq, warm_all);
        return HANDLED_BUSY;
    }
    if (is_late || outcome.is_final || has_min_bytes(state, outcome.size))
        return attach_records(rq, state) ? HANDLED_DONE : HANDLED_CLOSE;
    return HANDLED_WAIT;
}

static enum handled resume_fetch(struct request *rq, enum wake why)
{
    struct fetch_state *state = rq->state;
    bool is_late = why == WAKE_DEADLINE || rq_mono_ms(rq) >= state->deadline_ms;
    if (!is_late && !watch_all(rq, state))
        return HANDLED_CLOSE;
    enum handled handled = try_fetch(rq, is_late);
    if (handled == HANDLED_WAIT)
        rq_deadline(rq, state->deadline_ms);
    return handled;
}

static bool prepare_response(struct request *rq, const struct fetch_request *in, struct fetch_response *out,
                             struct fetch_state *state)
{
    out->topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *out->topics);
    if (!out->topics)
        return false;
    out->topics_count = in->topics_count;
    for (int32_t t = 0; t < in->topics_count; t++) {
        struct fetch_response_topic *to = &out->topics[t];
        fetch_response_topic_init(to);
        to->name = in->topics[t].name;
        to->topic_id = in->topics[t].topic_id;
        to->partitions_count = in->topics[t].partitions_count;
        to->partitions =
            arena_alloc_array(&rq->arena, (size_t)to->partitions_count, sizeof *to->partitions);
        if (!to->partitions)
            return false;
        state->part_count += (size_t)to->partitions_count;
    }
    state->parts = arena_alloc_array(&rq->arena, state->part_count, sizeof *state->parts);
    if (!state->parts)
        return false;
    struct part *part = state->parts;
    for (int32_t t = 0; t < in->topics_count; t++)
        for (int32_t p = 0; p < in->topics[t].partitions_count; p++, part++) {
            part->topic = &in->topics[t];
            part->in = &in->topics[t].partitions[p];
            part->out = &out->topics[t].partitions[p];
        }
    return true;
}

static void set_limits(struct request *rq, const struct fetch_request *in, struct fetch_state *state)
{
    int32_t cap = rq->server->config->fetch_max_bytes;
    int32_t size_max = in->max_bytes < cap ? in->max_bytes : cap;
    state->size_max = size_max > 0 ? (size_t)size_max : 0;
    state->min_bytes = in->min_bytes > 0 ? (size_t)in->min_bytes : 0;
    if (state->min_bytes > state->size_max)
        state->min_bytes = state->size_max;
    state->deadline_ms = rq_mono_ms(rq) + (in->max_wait_ms > 0 ? in->max_wait_ms : 0);
    state->is_committed = in->isolation_level == READ_COMMITTED;
    /* -1: a consumer; -2: a debugging one, which may read followers; brokers are >= 0. */
    state->from_replica = in->replica_id >= 0 || in->replica_state.replica_id >= 0;
}

enum handled handle_fetch(struct request *rq, const struct fetch_request *in, struct fetch_response *out)
{
    out->session_id = 0;
    if (in->session_epoch != SESSION_EPOCH_FINAL && in->session_epoch != SESSION_EPOCH_INITIAL) {
        out->error_code = ERR_FETCH_SESSION_ID_NOT_FOUND; /* none was ever given out (KIP-227) */
        return HANDLED_DONE;
    }
    struct fetch_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    rq->state = state;
    if (!state || !prepare_response(rq, in, out, state))
        return HANDLED_CLOSE;
    set_limits(rq, in, state);
    rq->resume = resume_fetch;

    bool is_late = in->max_wait_ms <= 0 || state->min_bytes == 0 || state->part_count == 0;
    enum handled handled = try_fetch(rq, is_late);
    if (handled != HANDLED_WAIT)
        return handled;
    /* Watch first, then look again: what arrived in between is not missed. */
    return resume_fetch(rq, WAKE_PROGRESS);
}
