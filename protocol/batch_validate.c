/* Judges the batches that clients produce, as Kafka's LogValidator does. */
#include "protocol/record_batch_internal.h"

#define NO_TIMESTAMP ((int64_t)-1)

static const char malformed[] = "The batch holds a malformed record.";

/* A validation on its way through the records. */
struct walk {
    const struct batch_view *batch;
    const struct batch_rules *rules;
    struct arena *arena;
    struct batch_verdict *verdict;
    int64_t timestamp_min; /* what the topic accepts now */
    int64_t timestamp_max;
    bool bad_timestamp; /* one record error at least is about a timestamp */
};

static enum batch_status refuse(struct batch_verdict *verdict, enum batch_status status, const char *message)
{
    verdict->message = message;
    return status;
}

/* What the header alone can break, in Kafka's order. */
static enum batch_status judge_header(const struct batch_view *batch, struct batch_verdict *verdict)
{
    if (batch->base_offset != 0)
        return refuse(verdict, BATCH_INVALID, "The base offset of a produced batch must be 0.");
    if (!batch_crc_ok(batch))
        return refuse(verdict, BATCH_CORRUPT, "The batch does not match its CRC.");
    if (batch_codec(batch) >= CODEC_COUNT)
        return refuse(verdict, BATCH_UNSUPPORTED_COMPRESSION, "The batch has an unknown compression codec.");
    if (batch->attributes & BATCH_ATTRIBUTE_UNUSED)
        return refuse(verdict, BATCH_INVALID, "The batch has unknown attributes.");
    if (batch->last_offset_delta < 0)
        return refuse(verdict, BATCH_INVALID, "The batch has an invalid offset range.");
    if (batch->record_count <= 0)
        return refuse(verdict, BATCH_INVALID, "The batch has an invalid record count.");
    if (batch->record_count - 1 != batch->last_offset_delta)
        return refuse(verdict, BATCH_INVALID, "The batch's offset range and record count do not agree.");
    if (batch->attributes & BATCH_ATTRIBUTE_CONTROL)
        return refuse(verdict, BATCH_INVALID, "Clients are not allowed to write control records.");
    if (batch->attributes & BATCH_ATTRIBUTE_DELETE_HORIZON)
        return refuse(verdict, BATCH_INVALID, "Clients are not allowed to write a delete horizon.");
    if (batch->producer_id >= 0 && batch->base_sequence < 0)
        return refuse(verdict, BATCH_INVALID, "The batch has a producer id and no valid sequence number.");
    return BATCH_OK;
}

static int64_t subtract_saturating(int64_t a, int64_t b)
{
    int64_t result;
    return __builtin_sub_overflow(a, b, &result) ? (b > 0 ? INT64_MIN : INT64_MAX) : result;
}

static int64_t add_saturating(int64_t a, int64_t b)
{
    int64_t result;
    return __builtin_add_overflow(a, b, &result) ? (b > 0 ? INT64_MAX : INT64_MIN) : result;
}

static bool out_of_range(const struct walk *walk, int64_t timestamp)
{
    return timestamp != NO_TIMESTAMP && (timestamp < walk->timestamp_min || timestamp > walk->timestamp_max);
}

/* NULL, or what is wrong with the record's timestamp. */
static const char *judge_timestamp(const struct walk *walk, int64_t timestamp)
{
    static const char range[] = "The timestamp of the record is out of the range that the topic accepts.";
    bool claims_append_time = walk->batch->attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME;
    if (__builtin_expect(!claims_append_time, true))
        return !walk->rules->log_append_time && out_of_range(walk, timestamp) ? range : NULL;
    /* Kafka reads such a batch's max timestamp as the timestamp of every record. It is let through
     * on a CreateTime topic, where the bit is cleared: then the records' own timestamps count. */
    if (walk->rules->log_append_time || walk->batch->max_timestamp == NO_TIMESTAMP)
        return "A producer must not set the timestamp type to LogAppendTime.";
    return out_of_range(walk, walk->batch->max_timestamp) || out_of_range(walk, timestamp) ? range : NULL;
}

static bool add_record_error(struct walk *walk, int32_t index, const char *message)
{
    struct batch_verdict *verdict = walk->verdict;
    if (verdict->record_errors == NULL) {
        verdict->record_errors =
            arena_alloc(walk->arena, BATCH_RECORD_ERRORS_MAX * sizeof *verdict->record_errors);
        if (verdict->record_errors == NULL)
            return false;
    }
    if (verdict->record_error_count < BATCH_RECORD_ERRORS_MAX)
        verdict->record_errors[verdict->record_error_count++] = (struct batch_record_error){ index, message };
    return true;
}

/* NULL, or what is wrong with a record that is well formed. */
static inline const char *judge_record(struct walk *walk, const struct raw_record *record, int32_t index,
                                       int64_t timestamp)
{
    if (batch_codec(walk->batch) != CODEC_NONE && (record->attributes & BATCH_ATTRIBUTE_CODEC))
        return "A compressed batch must not hold a record with a compression attribute.";
    if (record->offset_delta != index)
        return "The record's offset delta is not its index in the batch.";
    if (walk->rules->key_required && slice_is_null(record->key))
        return "Compacted topic cannot accept message without key.";
    const char *message = judge_timestamp(walk, timestamp);
    if (message != NULL)
        walk->bad_timestamp = true;
    return message;
}

static enum batch_status walk_records(struct walk *walk, struct payload *payload)
{
    const int64_t base_timestamp = walk->batch->base_timestamp;
    int64_t max_timestamp = NO_TIMESTAMP;
    for (int32_t index = 0; index < walk->batch->record_count; index++) {
        slice body;
        enum batch_status status = payload_next(payload, &body);
        if (status != BATCH_OK)
            return status;
        struct raw_record record;
        if (!parse_record(body, &record))
            return BATCH_INVALID;
        int64_t timestamp = add_wrapping(base_timestamp, record.timestamp_delta);
        if (timestamp > max_timestamp)
            max_timestamp = timestamp;
        const char *message = judge_record(walk, &record, index, timestamp);
        if (__builtin_expect(message != NULL, false) && !add_record_error(walk, index, message))
            return BATCH_NO_MEMORY;
    }
    walk->verdict->max_timestamp = walk->rules->log_append_time ? walk->rules->now_ms : max_timestamp;
    return record_batch__payload_end(payload);
}

static const char *message_of(enum batch_status status)
{
    switch (status) {
    case BATCH_INVALID:
        return malformed;
    case BATCH_CORRUPT:
        return "The batch does not decompress.";
    case BATCH_TOO_LARGE:
        return "The batch decompresses to more than the broker accepts.";
    case BATCH_OK:
    case BATCH_SHORT:
    case BATCH_BAD_MAGIC:
    case BATCH_UNSUPPORTED_COMPRESSION:
    case BATCH_INVALID_TIMESTAMP:
    case BATCH_NO_MEMORY:
        break;
    }
    return NULL;
}

static enum batch_status judge_records(struct walk *walk)
{
    struct batch_verdict *verdict = walk->verdict;
    struct payload payload;
    enum batch_status status =
        record_batch__payload_open(&payload, walk->batch, walk->arena, walk->rules->output_max);
    if (status == BATCH_OK)
        status = walk_records(walk, &payload);
    record_batch__payload_close(&payload);
    if (status != BATCH_OK) {
        /* A malformed batch is wrong as a whole: Kafka names no records then. */
        verdict->record_error_count = 0;
        return refuse(verdict, status, message_of(status));
    }
    if (verdict->record_error_count == 0)
        return BATCH_OK;
    if (walk->bad_timestamp)
        return refuse(verdict, BATCH_INVALID_TIMESTAMP,
                      "One or more records have been rejected due to invalid timestamp");
    return refuse(verdict, BATCH_INVALID, "One or more records have been rejected");
}

enum batch_status batch_validate(const struct batch_view *batch, const struct batch_rules *rules,
                                 struct arena *arena, struct batch_verdict *out)
{
    *out = (struct batch_verdict){ .max_timestamp = NO_TIMESTAMP };
    enum batch_status status = judge_header(batch, out);
    if (status != BATCH_OK)
        return status;
    struct walk walk = {
        .batch = batch,
        .rules = rules,
        .arena = arena,
        .verdict = out,
        .timestamp_min = INT64_MIN,
        .timestamp_max = INT64_MAX,
    };
    if (rules->timestamp_before_max_ms != INT64_MAX)
        walk.timestamp_min = subtract_saturating(rules->now_ms, rules->timestamp_before_max_ms);
    if (rules->timestamp_after_max_ms != INT64_MAX)
        walk.timestamp_max = add_saturating(rules->now_ms, rules->timestamp_after_max_ms);
    return judge_records(&walk);
}
