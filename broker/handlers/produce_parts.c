/* Reads a Produce request: which partitions, with which batches, under which rules. */
#include "broker/handlers/produce_internal.h"
#include "protocol/base/bytes.h"
#include "protocol/base/check.h"

enum {
    ZSTD_SINCE = 7,
    TRANSACTION_ABORTABLE_SINCE = 11,
    TOPIC_ID_SINCE = 13,
    /* A payload may decode to this many times max.message.bytes, and at most DECODED_MAX. */
    DECODE_FACTOR = 16,
    DECODED_MAX = 64 * 1024 * 1024,
    /* Up to so many topics are compared one by one. */
    COMPARED_TOPICS_MAX = 16,
};

/* -- which partitions: each once, however often it is named -------------------------------------- */

/* Finds the part of a partition that was named before. */
struct finder {
    struct request *rq;
    struct produce_state *state;
    uint32_t
        *slots; /* number of the part + 1; 0: free, as half of them are. NULL: no partition is named twice */
    size_t mask;
};

static bool is_same_topic(const struct request *rq, const struct produce_request_topic *a,
                          const struct produce_request_topic *b)
{
    return a == b || (rq->api_version >= TOPIC_ID_SINCE ? uuid_equal(a->topic_id, b->topic_id)
                                                        : slice_equal(a->name, b->name));
}

/* Ascending, perhaps beginning somewhere in the middle, as clients do that take turns in who is first: going
 * round, the next is not larger in one place only. */
static bool ascends(const struct produce_request_topic *topic)
{
    const struct produce_request_partition *partitions = topic->partitions;
    int32_t count = topic->partitions_count, falls = 0;
    for (int32_t p = 0; p < count; p++)
        falls += partitions[p + 1 < count ? p + 1 : 0].partition <= partitions[p].partition;
    return falls <= 1;
}

/* What is seen at a glance of all requests but odd ones. */
static bool names_each_once(const struct request *rq, const struct produce_request *in)
{
    if (in->topics_count > COMPARED_TOPICS_MAX)
        return false;
    for (int32_t t = 0; t < in->topics_count; t++) {
        if (!ascends(&in->topics[t]))
            return false;
        for (int32_t other = 0; other < t; other++)
            if (is_same_topic(rq, &in->topics[t], &in->topics[other]))
                return false;
    }
    return true;
}

static bool finder_init(struct finder *finder, struct request *rq, struct produce_state *state,
                        const struct produce_request *in, size_t count)
{
    *finder = (struct finder){ .rq = rq, .state = state };
    if (names_each_once(rq, in))
        return true;
    size_t slot_count = 16;
    while (slot_count < 2 * count)
        slot_count *= 2;
    finder->mask = slot_count - 1;
    finder->slots = arena_alloc_array(&rq->arena, slot_count, sizeof *finder->slots);
    return finder->slots != NULL;
}

static uint64_t hash_topic(const struct finder *finder, const struct produce_request_topic *topic)
{
    if (!finder->slots)
        return 0;
    return image_hash(finder->rq->image, finder->rq->api_version >= TOPIC_ID_SINCE
                                             ? slice_of(topic->topic_id.bytes, sizeof topic->topic_id.bytes)
                                             : topic->name);
}

/* The number of the partition's part, or of the one to be. */
static size_t find_number(struct finder *finder, const struct produce_request_topic *topic,
                          uint64_t topic_hash, int32_t index)
{
    const struct part *parts = finder->state->parts;
    uint32_t *slots = finder->slots;
    uint8_t key[12];
    if (!slots)
        return finder->state->part_count;
    store_be64(key, topic_hash);
    store_be32(key + 8, (uint32_t)index);
    size_t slot = image_hash(finder->rq->image, slice_of(key, sizeof key)) & finder->mask;
    for (; slots[slot]; slot = (slot + 1) & finder->mask) {
        const struct part *part = &parts[slots[slot] - 1];
        if (part->index == index && is_same_topic(finder->rq, part->named, topic))
            return slots[slot] - 1;
    }
    slots[slot] = (uint32_t)finder->state->part_count + 1;
    return finder->state->part_count;
}

/* The part of the partition, which is new when it was not named before. */
static struct part *find_part(struct finder *finder, const struct produce_request_topic *topic,
                              uint64_t topic_hash, int32_t index)
{
    size_t number = find_number(finder, topic, topic_hash, index);
    struct part *part = &finder->state->parts[number];
    if (number == finder->state->part_count) {
        finder->state->part_count++;
        part->named = topic;
        part->index = index;
        part->recompress = CODEC_COUNT;
        part->log_start_offset = -1;
    }
    return part;
}

/* -- what a mention says -------------------------------------------------------------------------- */

/* Says why a mention of the partition has no batch. Kafka judges each, keeps the last batch, and has one
 * answer in which an error comes before what happened to the batch. */
static void refuse_mention(struct part *part, int16_t error_code, const char *message)
{
    part->mention_error = error_code;
    part->mention_message = message;
}

/* Exactly one batch of magic 2 (Kafka's ProduceRequest.validateRecords). A torn piece behind it is
 * dropped, as Kafka's log does. */
static void take_records(const struct request *rq, struct part *part, slice records)
{
    struct batch_view batch, second;
    enum batch_status status = batch_view(records, &batch);
    if (status == BATCH_SHORT) {
        refuse_mention(part, ERR_INVALID_RECORD,
                       "Produce requests must have at least one record batch per partition");
        return;
    }
    if (status != BATCH_OK) {
        refuse_mention(part, produce__error_of_batch(status),
                       status == BATCH_BAD_MAGIC
                           ? "Produce requests are only allowed to contain record batches with "
                             "magic version 2"
                           : NULL);
        return;
    }
    if (batch_codec(&batch) == CODEC_ZSTD && rq->api_version < ZSTD_SINCE) {
        refuse_mention(part, ERR_UNSUPPORTED_COMPRESSION_TYPE,
                       "Produce requests with version below 7 do not support zstd");
        return;
    }
    status = batch_view(slice_of(records.data + batch.size, records.size - batch.size), &second);
    if (status == BATCH_OK || status == BATCH_BAD_MAGIC) {
        refuse_mention(part, ERR_INVALID_RECORD,
                       "Produce requests must have exactly one record batch per partition");
    } else if (status != BATCH_SHORT) {
        refuse_mention(part, produce__error_of_batch(status), NULL);
    } else {
        part->append.batch = batch;
        part->has_batch = true;
    }
}

static int16_t resolve_topic(struct request *rq, const struct produce_request_topic *in,
                             const struct topic **topic)
{
    return rq->api_version >= TOPIC_ID_SINCE ? rq_topic_by_id(rq, in->topic_id, OP_WRITE, topic)
                                             : rq_topic(rq, in->name, OP_WRITE, topic);
}

static void resolve_part(struct request *rq, struct part *part, const struct topic *topic,
                         int16_t topic_error)
{
    part->error_code = topic_error;
    if (part->error_code == ERR_NONE)
        part->error_code = rq_partition(rq, topic, part->index, &part->metadata);
    if (part->error_code != ERR_NONE)
        return;
    part->topic = topic;
    part->topic_id = topic->id;
    part->log_start_offset = log_offsets(part->metadata->partition->log).start;
}

static bool is_transactional(slice records)
{
    struct batch_view batch;
    return records.size >= BATCH_HEADER_SIZE &&
           load_be16(records.data + BATCH_ATTRIBUTES) & BATCH_ATTRIBUTE_TRANSACTIONAL &&
           batch_view(records, &batch) == BATCH_OK;
}

/* Errors of the request as a whole have no field: they are repeated in every partition. A batch that belongs
 * to a transaction needs the name of one that its sender may use. */
static int16_t check_transaction(struct request *rq, const struct produce_request *in)
{
    for (int32_t t = 0; t < in->topics_count; t++)
        for (int32_t p = 0; p < in->topics[t].partitions_count; p++)
            if (is_transactional(in->topics[t].partitions[p].records.bytes))
                return slice_is_null(in->transactional_id) ? ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                                                           : rq_txn(rq, in->transactional_id, OP_WRITE);
    return ERR_NONE;
}

/* -- what is left: one batch for each partition ---------------------------------------------------- */

/* Kafka refuses writes to its own topics from all but its tools. */
static bool is_closed_topic(const struct request *rq, const struct topic *topic)
{
    return topic->is_internal && !slice_equal_string(rq->client_id, "__admin_client");
}

/* The checks on the header, in Kafka's order (facts: protocol 3.5). */
static void check_header(struct request *rq, struct part *part, int16_t acks)
{
    const struct batch_view *batch = &part->append.batch;
    const struct topic_config *config = &part->topic->config;
    part->size_max = (size_t)config->max_message_bytes;
    part->segment_max = (size_t)config->segment_bytes;
    if (batch->attributes & BATCH_ATTRIBUTE_TRANSACTIONAL)
        produce__refuse(part,
                        rq->api_version >= TRANSACTION_ABORTABLE_SINCE ? ERR_TRANSACTION_ABORTABLE
                                                                       : ERR_INVALID_TXN_STATE,
                        "The producer attempted a transactional operation without a transaction");
    else if (acks != ACKS_NONE && acks != ACKS_LEADER && acks != ACKS_ALL)
        produce__refuse(part, ERR_INVALID_REQUIRED_ACKS, NULL);
    else if (is_closed_topic(rq, part->topic))
        produce__refuse(part, ERR_INVALID_TOPIC_EXCEPTION, NULL);
    else if (acks == ACKS_ALL && config->min_insync_replicas > part->metadata->isr_count)
        produce__refuse(part, ERR_NOT_ENOUGH_REPLICAS, NULL);
    else if (batch->base_offset != 0)
        produce__refuse(part, ERR_INVALID_RECORD, "The baseOffset of the record batch should be 0");
    else
        produce__check_size(part);
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

static void finish_part(struct request *rq, struct part *part, int16_t acks)
{
    if (part->error_code == ERR_NONE && !part->has_batch)
        produce__refuse(part, part->mention_error, part->mention_message);
    if (part->error_code == ERR_NONE)
        check_header(rq, part, acks);
    if (part->error_code == ERR_NONE)
        set_rules(rq, part);
}

/* The response has the partitions in the order in which they are named first. A topic without any is left
 * out. */
static bool prepare_response(struct request *rq, const struct produce_request *in,
                             struct produce_response *out, struct produce_state *state, size_t *mention_count)
{
    out->topics = arena_alloc_array(&rq->arena, (size_t)in->topics_count, sizeof *out->topics);
    if (!out->topics)
        return false;
    *mention_count = 0;
    for (int32_t t = 0; t < in->topics_count; t++)
        *mention_count += (size_t)in->topics[t].partitions_count;
    state->parts = arena_alloc_array(&rq->arena, *mention_count, sizeof *state->parts);
    return state->parts != NULL;
}

static bool prepare_topic(struct request *rq, struct produce_response_topic *out,
                          const struct produce_request_topic *topic, size_t partition_count)
{
    bool ok = true;
    produce_response_topic_init(out);
    out->name = arena_copy(&rq->arena, topic->name, &ok);
    out->topic_id = topic->topic_id;
    out->partitions_count = (int32_t)partition_count;
    out->partitions = arena_alloc_array(&rq->arena, partition_count, sizeof *out->partitions);
    return ok && out->partitions;
}

/* One mention of partitions after another; the topic's name is resolved once in each, a partition when it is
 * new. */
static void take_topic(struct request *rq, struct finder *finder, const struct produce_request_topic *in,
                       int16_t request_error)
{
    const struct topic *topic = NULL;
    uint64_t topic_hash = hash_topic(finder, in);
    int16_t topic_error = request_error == ERR_NONE ? resolve_topic(rq, in, &topic) : request_error;
    for (int32_t p = 0; p < in->partitions_count; p++) {
        size_t count_before = finder->state->part_count;
        struct part *part = find_part(finder, in, topic_hash, in->partitions[p].partition);
        if (finder->state->part_count > count_before)
            resolve_part(rq, part, topic, topic_error);
        if (part->error_code == ERR_NONE)
            take_records(rq, part, in->partitions[p].records.bytes);
    }
}

bool produce__take_parts(struct request *rq, const struct produce_request *in, struct produce_response *out,
                         struct produce_state *state)
{
    struct finder finder;
    size_t mention_count;
    if (!prepare_response(rq, in, out, state, &mention_count) ||
        !finder_init(&finder, rq, state, in, mention_count))
        return false;
    int16_t request_error = check_transaction(rq, in);
    for (int32_t t = 0; t < in->topics_count; t++) {
        size_t count_before = state->part_count;
        take_topic(rq, &finder, &in->topics[t], request_error);
        size_t new_count = state->part_count - count_before;
        if (new_count > 0 && !prepare_topic(rq, &out->topics[out->topics_count++], &in->topics[t], new_count))
            return false;
    }
    for (size_t i = 0; i < state->part_count; i++)
        finish_part(rq, &state->parts[i], in->acks);
    return true;
}
