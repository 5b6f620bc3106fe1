/* Produce v3-13: validates record batches, appends them, and answers when they are durable.
 * v3 record batches only; v7 zstd; v8 record errors; v9 flexible (KIP-482); v13 topic ids. */
#include "broker/handlers/produce_internal.h"
#include "broker/log_errors.h"
#include "broker/loop.h"
#include "broker/server.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum {
    SATURATED_RETRY_MS = 5,
    /* timeout_ms is for replicas, and Kafka flushes before it counts: with one node it never answers
     * REQUEST_TIMED_OUT. Here a flush that is slower than both this and the timeout is told. */
    FLUSH_TIME_MIN_MS = 2000,
};

static enum handled resume_validated(struct request *rq, enum wake why);
static enum handled resume_appended(struct request *rq, enum wake why);
static enum handled resume_durable(struct request *rq, enum wake why);

/* What outlives this turn leaves the receive buffer. */
static bool keep_records(struct request *rq)
{
    struct produce_state *state = rq->state;
    for (size_t i = 0; i < state->part_count; i++) {
        struct part *part = &state->parts[i];
        if (part->error_code != ERR_NONE)
            continue;
        bool ok = true;
        slice kept = rq_keep(rq, slice_of(part->append.batch.data, part->append.batch.size), &ok);
        if (!ok)
            return false;
        part->append.batch.data = (uint8_t *)kept.data;
        part->append.is_kept = true;
    }
    return true;
}

/* -- append and answer -------------------------------------------------------------------------- */

static bool has_error(const struct produce_state *state)
{
    for (size_t i = 0; i < state->part_count; i++)
        if (state->parts[i].error_code != ERR_NONE || state->parts[i].mention_error != ERR_NONE)
            return true;
    return false;
}

static void fill_record_errors(struct request *rq, const struct part *part,
                               struct produce_response_partition *out)
{
    int32_t count = part->verdict.record_error_count;
    out->record_errors = arena_alloc_array(&rq->arena, (size_t)count, sizeof *out->record_errors);
    out->record_errors_count = out->record_errors ? count : 0;
    for (int32_t i = 0; i < out->record_errors_count; i++) {
        const struct batch_record_error *error = &part->verdict.record_errors[i];
        produce_response_record_error_init(&out->record_errors[i]);
        out->record_errors[i].batch_index = error->index;
        out->record_errors[i].batch_index_error_message = slice_of_string(error->message);
    }
}

/* Kafka's log knows its start when it refuses a batch, but not in all of its checks. */
static bool tells_log_start(int16_t error_code)
{
    return error_code == ERR_INVALID_RECORD || error_code == ERR_INVALID_TIMESTAMP ||
           error_code == ERR_OUT_OF_ORDER_SEQUENCE_NUMBER || error_code == ERR_INVALID_PRODUCER_EPOCH;
}

static void fill_appended(const struct part *part, struct produce_response_partition *out)
{
    const struct log_append_result *result = &part->append.result;
    out->base_offset = result->base_offset;
    if (result->is_duplicate)
        out->log_append_time_ms = result->append_time_ms;
    else
        out->log_append_time_ms = part->rules.log_append_time ? part->rules.now_ms : -1;
    out->log_start_offset = log_offsets(part->append.partition->log).start;
}

static void fill_partition(struct request *rq, const struct part *part,
                           struct produce_response_partition *out)
{
    produce_response_partition_init(out);
    out->partition = part->index;
    out->base_offset = -1;
    if (part->mention_error != ERR_NONE) {
        out->error_code = part->mention_error;
        out->error_message = slice_of_string(part->mention_message);
        return;
    }
    out->error_code = part->error_code;
    out->error_message = slice_of_string(part->message);
    if (part->is_appended) {
        fill_appended(part, out);
        return;
    }
    if (part->verdict.record_error_count > 0)
        fill_record_errors(rq, part, out);
    if (tells_log_start(part->error_code))
        out->log_start_offset = part->log_start_offset;
}

static enum handled answer(struct request *rq)
{
    struct produce_state *state = rq->state;
    struct produce_response *out = rq->out;
    if (state->acks == ACKS_NONE)
        /* No answer can tell of an error: closing makes the client look up the leaders anew. */
        return has_error(state) ? HANDLED_CLOSE : HANDLED_NONE;
    const struct part *part = state->parts;
    for (int32_t t = 0; t < out->topics_count; t++)
        for (int32_t p = 0; p < out->topics[t].partitions_count; p++)
            fill_partition(rq, part++, &out->topics[t].partitions[p]);
    return HANDLED_DONE;
}

/* The partition may have been deleted while a worker validated. */
static void refresh_part(struct request *rq, struct part *part)
{
    part->metadata = NULL;
    int16_t error_code = rq_topic_by_id(rq, part->topic_id, OP_WRITE, &part->topic);
    if (error_code == ERR_UNKNOWN_TOPIC_ID && rq->api_version < 13)
        error_code = ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (error_code == ERR_NONE)
        error_code = rq_partition(rq, part->topic, part->index, &part->metadata);
    part->error_code = error_code;
}

static enum handled append_all(struct request *rq)
{
    struct produce_state *state = rq->state;
    bool any = false;
    rq->resume = resume_appended;
    for (size_t i = 0; i < state->part_count; i++) {
        struct part *part = &state->parts[i];
        if (part->error_code != ERR_NONE)
            continue;
        part->append.rq = rq;
        part->append.timeout_ms = ((const struct produce_request *)rq->in)->timeout_ms;
        part->append.partition = part->metadata->partition;
        part->append.leader_epoch = part->metadata->leader_epoch;
        /* A deletion must not take it, and its log, from under us: they are looked at again later. */
        if (!arena_pin(&rq->arena, &part->append.partition->pin)) {
            produce__refuse(part, ERR_KAFKA_STORAGE_ERROR, NULL);
            continue;
        }
        part->is_appended = true;
        appender_add(loop_appender(rq->loop), &part->append);
        any = true;
    }
    return any ? HANDLED_WAIT : answer(rq);
}

static bool is_durable(const struct part *part)
{
    if (!part->is_appended || !log_is_durable_mode(part->append.partition->log))
        return true;
    return log_offsets(part->append.partition->log).durable >= part->append.result.end_offset;
}

/* Whether every batch has its answer; a log that failed meanwhile never becomes durable. */
static bool all_durable(struct produce_state *state)
{
    bool all = true;
    for (size_t i = 0; i < state->part_count; i++) {
        struct part *part = &state->parts[i];
        if (is_durable(part))
            continue;
        enum log_status status = log_health(part->append.partition->log);
        if (status == LOG_OK) {
            all = false;
            continue;
        }
        produce__refuse(part, error_of_log(status), NULL);
        part->is_appended = false;
    }
    return all;
}

static enum handled wait_durable(struct request *rq)
{
    struct produce_state *state = rq->state;
    rq->resume = resume_durable;
    for (size_t i = 0; i < state->part_count; i++)
        if (state->parts[i].is_appended && !rq_watch(rq, state->parts[i].append.partition))
            return HANDLED_CLOSE;
    if (all_durable(state))
        return answer(rq);
    rq_deadline(rq, state->deadline_ms);
    return HANDLED_WAIT;
}

/* The client asks again without a word to anyone: the operator hears of it here. */
static void note_failed_append(const struct part *part)
{
    static struct note_limit limit;
    uint32_t suppressed;
    if (!note_allow(&limit, 1, &suppressed))
        return;
    enum log_status status = part->append.result.status;
    note_warn("append.failed",
              "reason=%s partition=%d suppressed=%u next=\"producers get KAFKA_STORAGE_ERROR and try again\"",
              status == LOG_DISK_FULL ? "disk_full"
              : status == LOG_LIMIT   ? "resource_limit"
                                      : "io_error",
              part->index, suppressed);
}

static enum handled resume_appended(struct request *rq, enum wake why)
{
    (void)why;
    struct produce_state *state = rq->state;
    for (size_t i = 0; i < state->part_count; i++) {
        struct part *part = &state->parts[i];
        if (!part->is_appended || part->append.result.status == LOG_OK)
            continue;
        part->is_appended = false;
        part->metadata = NULL;
        produce__refuse(part, error_of_log(part->append.result.status), NULL);
        if (part->error_code == ERR_KAFKA_STORAGE_ERROR)
            note_failed_append(part);
    }
    if (state->acks == ACKS_NONE || all_durable(state))
        return answer(rq);
    return wait_durable(rq);
}

/* Time is over: the data stays in the log, the client is told (REQUEST_TIMED_OUT). */
static enum handled resume_durable(struct request *rq, enum wake why)
{
    struct produce_state *state = rq->state;
    for (size_t i = 0; i < state->part_count; i++)
        state->parts[i].metadata = NULL; /* of an earlier turn */
    if (all_durable(state))
        return answer(rq);
    if (why != WAKE_DEADLINE)
        return HANDLED_WAIT;
    for (size_t i = 0; i < state->part_count; i++) {
        struct part *part = &state->parts[i];
        if (is_durable(part))
            continue;
        part->is_appended = false;
        produce__refuse(part, ERR_REQUEST_TIMED_OUT, NULL);
    }
    return answer(rq);
}

static enum handled refresh_and_append(struct request *rq)
{
    struct produce_state *state = rq->state;
    for (size_t i = 0; i < state->part_count; i++)
        if (state->parts[i].error_code == ERR_NONE)
            refresh_part(rq, &state->parts[i]);
        else
            state->parts[i].metadata = NULL;
    return append_all(rq);
}

/* Records are validated and kept, by whomever. While too much is on its way to the device produce waits, and everything
 * else goes on (DESIGN 5). */
static enum handled resume_validated(struct request *rq, enum wake why)
{
    (void)why;
    if (store_is_saturated(rq->server->store)) {
        rq_deadline(rq, rq_mono_ms(rq) + SATURATED_RETRY_MS);
        return HANDLED_BUSY;
    }
    return refresh_and_append(rq);
}

enum handled handle_produce(struct request *rq, const struct produce_request *in,
                            struct produce_response *out)
{
    struct produce_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    rq->state = state;
    if (!state || !produce__take_parts(rq, in, out, state))
        return HANDLED_CLOSE;
    state->acks = in->acks;
    state->deadline_ms =
        rq_mono_ms(rq) + (in->timeout_ms > FLUSH_TIME_MIN_MS ? in->timeout_ms : FLUSH_TIME_MIN_MS);

    if (!produce__validate_cheap(rq)) {
        if (!keep_records(rq))
            return HANDLED_CLOSE;
        rq->resume = resume_validated;
        rq_read(rq, produce__validate_rest);
        return HANDLED_BUSY;
    }
    if (store_is_saturated(rq->server->store)) {
        if (!keep_records(rq))
            return HANDLED_CLOSE;
        rq->resume = resume_validated;
        rq_deadline(rq, rq_mono_ms(rq) + SATURATED_RETRY_MS);
        return HANDLED_BUSY;
    }
    return append_all(rq);
}
