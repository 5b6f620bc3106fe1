/* Produce v3-13: validates record batches, appends them, and answers when they are durable.
 * v3 record batches only; v7 zstd; v8 record errors; v9 flexible (KIP-482); v13 topic ids. */
#include "broker/handlers/handlers.h"
#include "broker/log_errors.h"
#include "broker/loop.h"
#include "broker/server.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"

enum {
    ACKS_NONE = 0,
    ACKS_LEADER = 1,
    ACKS_ALL = -1,
    /* Batches that decode to more are validated on a worker (DESIGN 8). */
    LOOP_DECODE_MAX = 256 * 1024,
    /* A payload may decode to this many times max.message.bytes, and at most DECODED_MAX. */
    DECODE_FACTOR = 16,
    DECODED_MAX = 64 * 1024 * 1024,
    SATURATED_RETRY_MS = 5,
    /* timeout_ms is for replicas, and Kafka flushes before it counts: with one node it never answers
     * REQUEST_TIMED_OUT. Here a flush that is slower than both this and the timeout is told. */
    FLUSH_TIME_MIN_MS = 2000,
};

/* One partition of the request on its way. */
struct part {
    struct append append; /* first used when the batch is valid */
    const struct partition_metadata *metadata; /* this turn's */
    const struct topic *topic;                 /* this turn's */
    uuid topic_id;                             /* to find both again after a worker */
    slice records;
    struct batch_rules rules;
    struct batch_verdict verdict;
    enum codec recompress; /* CODEC_COUNT: keep as sent */
    int recompress_level;
    size_t size_max;    /* of the batch as it is stored: max.message.bytes */
    size_t segment_max; /* segment.bytes */
    int64_t log_start_offset; /* -1: the partition was not found */
    int32_t index;
    int16_t error_code;
    bool needs_validation;
    bool is_appended;
    const char *message;
};

struct produce_state {
    struct part *parts;
    size_t part_count;
    int16_t acks;
    int64_t deadline_ms; /* monotonic */
};

static enum handled resume_validated(struct request *rq, enum wake why);
static enum handled resume_saturated(struct request *rq, enum wake why);
static enum handled resume_appended(struct request *rq, enum wake why);
static enum handled resume_durable(struct request *rq, enum wake why);

static void refuse(struct part *part, int16_t error_code, const char *message)
{
    part->error_code = error_code;
    part->message = message;
    part->needs_validation = false;
}

static int16_t error_of_batch(enum batch_status status)
{
    switch (status) {
    case BATCH_OK:
        return ERR_NONE;
    case BATCH_SHORT:
    case BATCH_INVALID:
    case BATCH_BAD_MAGIC:
        return ERR_INVALID_RECORD;
    case BATCH_CORRUPT:
        return ERR_CORRUPT_MESSAGE;
    case BATCH_UNSUPPORTED_COMPRESSION:
        return ERR_UNSUPPORTED_COMPRESSION_TYPE;
    case BATCH_INVALID_TIMESTAMP:
        return ERR_INVALID_TIMESTAMP;
    case BATCH_TOO_LARGE:
        return ERR_MESSAGE_TOO_LARGE;
    case BATCH_NO_MEMORY:
        return ERR_KAFKA_STORAGE_ERROR;
    }
    check_unreachable("batch_status");
}

/* Exactly one batch of magic 2 (Kafka's ProduceRequest.validateRecords). A torn piece behind it is
 * dropped, as Kafka's log does. */
static void view_records(struct part *part)
{
    enum batch_status status = batch_view(part->records, &part->append.batch);
    if (status == BATCH_SHORT) {
        refuse(part, ERR_INVALID_RECORD, "Produce requests must have at least one record batch per partition");
        return;
    }
    if (status != BATCH_OK) {
        refuse(part, error_of_batch(status),
               status == BATCH_BAD_MAGIC ? "Produce requests are only allowed to contain record batches with "
                                           "magic version 2" : NULL);
        return;
    }
    slice rest = slice_of(part->records.data + part->append.batch.size,
                          part->records.size - part->append.batch.size);
    struct batch_view second;
    status = batch_view(rest, &second);
    if (status == BATCH_OK || status == BATCH_BAD_MAGIC)
        refuse(part, ERR_INVALID_RECORD, "Produce requests must have exactly one record batch per partition");
    else if (status != BATCH_SHORT)
        refuse(part, error_of_batch(status), NULL);
}

static bool check_size(struct part *part)
{
    if (part->append.batch.size > part->size_max)
        refuse(part, ERR_MESSAGE_TOO_LARGE, "The record batch is larger than max.message.bytes of its topic");
    else if (part->append.batch.size > part->segment_max)
        refuse(part, ERR_RECORD_LIST_TOO_LARGE, "The record batch is larger than segment.bytes of its topic");
    return part->error_code == ERR_NONE;
}

/* The checks on the header, in Kafka's order (facts: protocol 3.5). */
static void check_header(struct request *rq, struct part *part, int16_t acks)
{
    const struct batch_view *batch = &part->append.batch;
    const struct topic_config *config = &part->topic->config;
    part->size_max = (size_t)config->max_message_bytes;
    part->segment_max = (size_t)config->segment_bytes;
    if (batch_codec(batch) == CODEC_ZSTD && rq->api_version < 7)
        refuse(part, ERR_UNSUPPORTED_COMPRESSION_TYPE, "Produce requests with version below 7 do not support zstd");
    else if (acks == ACKS_ALL && config->min_insync_replicas > part->metadata->isr_count)
        refuse(part, ERR_NOT_ENOUGH_REPLICAS, NULL);
    else if (batch->base_offset != 0)
        refuse(part, ERR_INVALID_RECORD, "The baseOffset of the record batch should be 0");
    else if (!check_size(part))
        return;
    else if (batch->attributes & BATCH_ATTRIBUTE_TRANSACTIONAL)
        refuse(part, rq->api_version >= 11 ? ERR_TRANSACTION_ABORTABLE : ERR_INVALID_TXN_STATE,
               "The producer attempted a transactional operation without a transaction");
}

static size_t decoded_max(const struct topic_config *config)
{
    size_t max = (size_t)config->max_message_bytes * DECODE_FACTOR;
    return max < DECODED_MAX ? max : DECODED_MAX;
}

/* compression.type=producer keeps what was sent; so does a codec that is already the topic's. */
static void set_codec(struct part *part, const struct topic_config *config)
{
    part->recompress = CODEC_COUNT;
    if (config->compression_type == TOPIC_COMPRESSION_PRODUCER ||
        (enum codec)config->compression_type == batch_codec(&part->append.batch))
        return;
    part->recompress = (enum codec)config->compression_type;
    if (part->recompress == CODEC_GZIP)
        part->recompress_level = config->compression_gzip_level;
    else if (part->recompress == CODEC_LZ4)
        part->recompress_level = config->compression_lz4_level;
    else if (part->recompress == CODEC_ZSTD)
        part->recompress_level = config->compression_zstd_level;
}

static void set_rules(struct request *rq, struct part *part)
{
    const struct topic_config *config = &part->topic->config;
    part->rules = (struct batch_rules){
        .now_ms = rq->now_ms,
        .timestamp_before_max_ms = config->message_timestamp_before_max_ms,
        .timestamp_after_max_ms = config->message_timestamp_after_max_ms,
        .log_append_time = config->message_timestamp_is_append_time,
        .key_required = (config->cleanup_policy & CLEANUP_COMPACT) != 0,
        .output_max = decoded_max(config),
    };
    set_codec(part, config);
    part->needs_validation = true;
}

/* Which partition, which topic; Kafka refuses writes to its own topics from all but its tools. */
static void resolve_part(struct request *rq, struct part *part, const struct produce_request_topic *in)
{
    if (rq->api_version >= 13)
        part->error_code = rq_topic_by_id(rq, in->topic_id, OP_WRITE, &part->topic);
    else
        part->error_code = rq_topic(rq, in->name, OP_WRITE, &part->topic);
    if (part->error_code != ERR_NONE)
        return;
    part->topic_id = part->topic->id;
    if (part->topic->is_internal && !slice_equal_string(rq->client_id, "__admin_client"))
        part->error_code = ERR_INVALID_TOPIC_EXCEPTION;
    else
        part->error_code = rq_partition(rq, part->topic, part->index, &part->metadata);
}

static void take_part(struct request *rq, struct part *part, const struct produce_request_topic *topic,
                      const struct produce_request_partition *in, int16_t acks, int16_t request_error)
{
    part->index = in->partition;
    part->records = in->records.bytes;
    part->recompress = CODEC_COUNT;
    part->log_start_offset = -1;
    if (request_error != ERR_NONE) {
        part->error_code = request_error;
        return;
    }
    resolve_part(rq, part, topic);
    if (part->error_code == ERR_NONE) {
        part->log_start_offset = log_offsets(part->metadata->partition->log).start;
        view_records(part);
    }
    if (part->error_code == ERR_NONE)
        check_header(rq, part, acks);
    if (part->error_code == ERR_NONE)
        set_rules(rq, part);
}

/* Errors of the request as a whole have no field: they are repeated in every partition. */
static int16_t check_request(struct request *rq, const struct produce_request *in)
{
    if (in->acks != ACKS_NONE && in->acks != ACKS_LEADER && in->acks != ACKS_ALL)
        return ERR_INVALID_REQUIRED_ACKS;
    if (!slice_is_null(in->transactional_id))
        return rq_txn(rq, in->transactional_id, OP_WRITE);
    return ERR_NONE;
}

/* A transactional batch in a request without a transactional id may not be authorised at all. */
static void refuse_nameless_transactions(const struct produce_request *in, struct produce_state *state)
{
    bool any = false;
    for (size_t i = 0; i < state->part_count && slice_is_null(in->transactional_id); i++)
        any = any || (state->parts[i].append.batch.attributes & BATCH_ATTRIBUTE_TRANSACTIONAL);
    for (size_t i = 0; i < state->part_count && any; i++)
        refuse(&state->parts[i], ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, NULL);
}

/* The response mirrors the request: topics and partitions in its order. */
static bool prepare_response(struct request *rq, const struct produce_request *in,
                             struct produce_response *out, struct produce_state *state)
{
    out->topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *out->topics);
    if (!out->topics)
        return false;
    out->topics_count = in->topics_count;
    for (int32_t t = 0; t < in->topics_count; t++) {
        const struct produce_request_topic *from = &in->topics[t];
        struct produce_response_topic *to = &out->topics[t];
        bool ok = true;
        produce_response_topic_init(to);
        to->name = arena_copy(&rq->arena, from->name, &ok);
        to->topic_id = from->topic_id;
        to->partitions = arena_alloc_array(&rq->arena, (size_t)from->partitions_count, sizeof *to->partitions);
        to->partitions_count = from->partitions_count;
        if (!ok || !to->partitions)
            return false;
        state->part_count += (size_t)from->partitions_count;
    }
    state->parts = arena_alloc_array(&rq->arena, state->part_count, sizeof *state->parts);
    return state->parts != NULL;
}

/* -- validation --------------------------------------------------------------------------------- */

/* CRC, every record, timestamps, codec; decodes at most output_max bytes. BATCH_TOO_LARGE: it would
 * be more, and nothing was changed. */
static enum batch_status validate_part(struct part *part, struct arena *arena, size_t output_max)
{
    struct batch_view *batch = &part->append.batch;
    struct batch_rules rules = part->rules;
    rules.output_max = output_max < rules.output_max ? output_max : rules.output_max;
    enum batch_status status = batch_validate(batch, &rules, arena, &part->verdict);
    if (status == BATCH_OK) {
        batch_set_timestamps(batch, &rules, &part->verdict);
        if (part->recompress != CODEC_COUNT)
            status = batch_recompress(batch, part->recompress, part->recompress_level, arena, output_max, batch);
    }
    return status;
}

static void finish_part(struct part *part, enum batch_status status)
{
    part->needs_validation = false;
    if (status != BATCH_OK)
        refuse(part, error_of_batch(status), part->verdict.message);
    else
        check_size(part); /* another codec makes another size */
}

/* Neither decompressed nor compressed: walking it costs less than handing it over. */
static bool is_plain(const struct part *part)
{
    return batch_codec(&part->append.batch) == CODEC_NONE && part->recompress == CODEC_COUNT;
}

/* On the loop. A payload that turns out larger than it claimed is left to a worker, as are those that
 * admit it: false then. */
static bool validate_cheap(struct request *rq)
{
    struct produce_state *state = rq->state;
    bool all = true;
    for (size_t i = 0; i < state->part_count; i++) {
        struct part *part = &state->parts[i];
        if (!part->needs_validation)
            continue;
        enum batch_status status = BATCH_TOO_LARGE;
        if (is_plain(part))
            status = validate_part(part, &rq->arena, part->rules.output_max);
        else if (batch_decoded_size_guess(&part->append.batch) <= LOOP_DECODE_MAX)
            status = validate_part(part, &rq->arena, LOOP_DECODE_MAX);
        if (status == BATCH_TOO_LARGE && !is_plain(part))
            all = false;
        else
            finish_part(part, status);
    }
    return all;
}

/* On a worker: what the loop left. */
static void validate_rest(struct request *rq)
{
    struct produce_state *state = rq->state;
    for (size_t i = 0; i < state->part_count; i++)
        if (state->parts[i].needs_validation)
            finish_part(&state->parts[i],
                        validate_part(&state->parts[i], &rq->arena, state->parts[i].rules.output_max));
}

/* What outlives this turn leaves the receive buffer. */
static bool keep_records(struct request *rq)
{
    struct produce_state *state = rq->state;
    for (size_t i = 0; i < state->part_count; i++) {
        struct part *part = &state->parts[i];
        if (part->error_code != ERR_NONE)
            continue;
        bool ok = true;
        slice copy = arena_copy(&rq->arena, slice_of(part->append.batch.data, part->append.batch.size), &ok);
        if (!ok)
            return false;
        part->append.batch.data = (uint8_t *)copy.data;
    }
    return true;
}

/* -- append and answer -------------------------------------------------------------------------- */

static bool has_error(const struct produce_state *state)
{
    for (size_t i = 0; i < state->part_count; i++)
        if (state->parts[i].error_code != ERR_NONE)
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

static void fill_partition(struct request *rq, const struct part *part, struct produce_response_partition *out)
{
    produce_response_partition_init(out);
    out->partition = part->index;
    out->error_code = part->error_code;
    out->error_message = slice_of_string(part->message);
    if (part->is_appended) {
        out->base_offset = part->append.result.base_offset;
        out->log_append_time_ms = part->rules.log_append_time ? part->rules.now_ms : -1;
        out->log_start_offset = log_offsets(part->append.partition->log).start;
    } else {
        out->base_offset = -1;
        if (part->verdict.record_error_count > 0)
            fill_record_errors(rq, part, out);
        /* Kafka's validator knows the log, its size and CRC checks do not. */
        if (part->error_code == ERR_INVALID_RECORD || part->error_code == ERR_INVALID_TIMESTAMP)
            out->log_start_offset = part->log_start_offset;
    }
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
        part->append.partition = part->metadata->partition;
        part->append.leader_epoch = part->metadata->leader_epoch;
        /* A deletion must not take it, and its log, from under us: they are looked at again later. */
        if (!arena_pin(&rq->arena, &part->append.partition->pin)) {
            refuse(part, ERR_KAFKA_STORAGE_ERROR, NULL);
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
        refuse(part, error_of_log(status), NULL);
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
              status == LOG_DISK_FULL ? "disk_full" : status == LOG_LIMIT ? "resource_limit" : "io_error",
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
        refuse(part, error_of_log(part->append.result.status), NULL);
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
        refuse(part, ERR_REQUEST_TIMED_OUT, NULL);
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

static enum handled resume_validated(struct request *rq, enum wake why)
{
    (void)why;
    return refresh_and_append(rq);
}

/* Too much is on its way to the device: produce waits, everything else goes on (DESIGN 5). */
static enum handled resume_saturated(struct request *rq, enum wake why)
{
    (void)why;
    if (store_is_saturated(rq->server->store)) {
        rq_deadline(rq, rq_mono_ms(rq) + SATURATED_RETRY_MS);
        return HANDLED_BUSY;
    }
    return refresh_and_append(rq);
}

enum handled handle_produce(struct request *rq, const struct produce_request *in, struct produce_response *out)
{
    struct produce_state *state = arena_alloc_array(&rq->arena, 1, sizeof *state);
    rq->state = state;
    if (!state || !prepare_response(rq, in, out, state))
        return HANDLED_CLOSE;
    state->acks = in->acks;
    state->deadline_ms =
        rq_mono_ms(rq) + (in->timeout_ms > FLUSH_TIME_MIN_MS ? in->timeout_ms : FLUSH_TIME_MIN_MS);

    int16_t request_error = check_request(rq, in);
    struct part *part = state->parts;
    for (int32_t t = 0; t < in->topics_count; t++)
        for (int32_t p = 0; p < in->topics[t].partitions_count; p++, part++)
            take_part(rq, part, &in->topics[t], &in->topics[t].partitions[p], in->acks, request_error);

    refuse_nameless_transactions(in, state);
    if (!validate_cheap(rq)) {
        if (!keep_records(rq))
            return HANDLED_CLOSE;
        rq->resume = resume_validated;
        rq_work(rq, validate_rest);
        return HANDLED_BUSY;
    }
    if (store_is_saturated(rq->server->store)) {
        if (!keep_records(rq))
            return HANDLED_CLOSE;
        rq->resume = resume_saturated;
        rq_deadline(rq, rq_mono_ms(rq) + SATURATED_RETRY_MS);
        return HANDLED_BUSY;
    }
    return append_all(rq);
}
