/* Reads a Produce request: which partitions, with which batches, under which rules. */
#include "broker/handlers/produce_internal.h"
#include "protocol/base/check.h"

enum {
    /* A payload may decode to this many times max.message.bytes, and at most DECODED_MAX. */
    DECODE_FACTOR = 16,
    DECODED_MAX = 64 * 1024 * 1024,
};

/* Exactly one batch of magic 2 (Kafka's ProduceRequest.validateRecords). A torn piece behind it is
 * dropped, as Kafka's log does. */
static void view_records(struct part *part)
{
    enum batch_status status = batch_view(part->records, &part->append.batch);
    if (status == BATCH_SHORT) {
        produce__refuse(part, ERR_INVALID_RECORD,
                        "Produce requests must have at least one record batch per partition");
        return;
    }
    if (status != BATCH_OK) {
        produce__refuse(part, produce__error_of_batch(status),
                        status == BATCH_BAD_MAGIC
                            ? "Produce requests are only allowed to contain record batches with "
                              "magic version 2"
                            : NULL);
        return;
    }
    slice rest =
        slice_of(part->records.data + part->append.batch.size, part->records.size - part->append.batch.size);
    struct batch_view second;
    status = batch_view(rest, &second);
    if (status == BATCH_OK || status == BATCH_BAD_MAGIC)
        produce__refuse(part, ERR_INVALID_RECORD,
                        "Produce requests must have exactly one record batch per partition");
    else if (status != BATCH_SHORT)
        produce__refuse(part, produce__error_of_batch(status), NULL);
}

/* The checks on the header, in Kafka's order (facts: protocol 3.5). */
static void check_header(struct request *rq, struct part *part, int16_t acks)
{
    const struct batch_view *batch = &part->append.batch;
    const struct topic_config *config = &part->topic->config;
    part->size_max = (size_t)config->max_message_bytes;
    part->segment_max = (size_t)config->segment_bytes;
    if (batch_codec(batch) == CODEC_ZSTD && rq->api_version < 7)
        produce__refuse(part, ERR_UNSUPPORTED_COMPRESSION_TYPE,
                        "Produce requests with version below 7 do not support zstd");
    else if (acks == ACKS_ALL && config->min_insync_replicas > part->metadata->isr_count)
        produce__refuse(part, ERR_NOT_ENOUGH_REPLICAS, NULL);
    else if (batch->base_offset != 0)
        produce__refuse(part, ERR_INVALID_RECORD, "The baseOffset of the record batch should be 0");
    else if (!produce__check_size(part))
        return;
    else if (batch->attributes & BATCH_ATTRIBUTE_TRANSACTIONAL)
        produce__refuse(part, rq->api_version >= 11 ? ERR_TRANSACTION_ABORTABLE : ERR_INVALID_TXN_STATE,
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
        produce__refuse(&state->parts[i], ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, NULL);
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
        to->partitions =
            arena_alloc_array(&rq->arena, (size_t)from->partitions_count, sizeof *to->partitions);
        to->partitions_count = from->partitions_count;
        if (!ok || !to->partitions)
            return false;
        state->part_count += (size_t)from->partitions_count;
    }
    state->parts = arena_alloc_array(&rq->arena, state->part_count, sizeof *state->parts);
    return state->parts != NULL;
}

bool produce__take_parts(struct request *rq, const struct produce_request *in, struct produce_response *out,
                         struct produce_state *state)
{
    if (!prepare_response(rq, in, out, state))
        return false;
    int16_t request_error = check_request(rq, in);
    struct part *part = state->parts;
    for (int32_t t = 0; t < in->topics_count; t++)
        for (int32_t p = 0; p < in->topics[t].partitions_count; p++, part++)
            take_part(rq, part, &in->topics[t], &in->topics[t].partitions[p], in->acks, request_error);
    refuse_nameless_transactions(in, state);
    return true;
}
