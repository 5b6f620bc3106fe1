/* What compaction leaves of a record batch: the records that stay, under the offsets that they have. */
#include "protocol/batch_filter.h"

#include "protocol/base/check.h"
#include "protocol/record_batch_internal.h"

enum {
    /* A changed timestamp delta is longer by this at most, with the record's size in front. */
    DELTA_GROWTH_MAX = VARLONG_SIZE_MAX + VARINT_SIZE_MAX,
    KEPT_FIRST_CAPACITY = 64 * 1024,
};

/* Records that stay, in the form that they have in a payload without compression. */
struct kept {
    struct arena *arena;
    uint8_t *bytes;
    size_t size;
    size_t capacity;
    int32_t count;
    int64_t max_timestamp; /* -1: none */
    bool has_tombstone;
};

/* Room for so many more bytes. */
static bool reserve(struct kept *kept, size_t more)
{
    if (more <= kept->capacity - kept->size)
        return true;
    size_t capacity = kept->capacity ? kept->capacity * 2 : KEPT_FIRST_CAPACITY;
    while (capacity - kept->size < more)
        capacity *= 2;
    uint8_t *bytes = arena_alloc(kept->arena, capacity);
    if (!bytes)
        return false;
    if (kept->size > 0)
        memcpy(bytes, kept->bytes, kept->size);
    kept->bytes = bytes;
    kept->capacity = capacity;
    return true;
}

static bool keep(struct kept *kept, slice body)
{
    if (!reserve(kept, VARINT_SIZE_MAX + body.size))
        return false;
    kept->size += varint_write(kept->bytes + kept->size, (int32_t)body.size);
    memcpy(kept->bytes + kept->size, body.data, body.size);
    kept->size += body.size;
    return true;
}

static struct record record_of(const struct batch_view *batch, const struct raw_record *raw)
{
    bool append_time = (batch->attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME) != 0;
    return (struct record){
        .offset = add_wrapping(batch->base_offset, raw->offset_delta),
        .timestamp =
            append_time ? batch->max_timestamp : add_wrapping(batch->base_timestamp, raw->timestamp_delta),
        .key = raw->key,
        .value = raw->value,
        .headers = raw->headers,
        .header_count = raw->header_count,
        .attributes = raw->attributes,
    };
}

/* The walk over a batch's records. Bytes of a payload that is not compressed stay where they are until the
 * first record goes: mostly none does. */
struct walk {
    const struct batch_view *batch;
    const struct batch_filter *filter;
    struct payload payload;
    struct kept *kept;
    bool is_copying;
};

static enum batch_status walk_record(struct walk *walk)
{
    slice body, before = batch_payload(walk->batch);
    const uint8_t *from = walk->payload.next;
    enum batch_status status = payload_next(&walk->payload, &body);
    if (status != BATCH_OK)
        return status;
    struct raw_record raw;
    if (!parse_record(body, &raw))
        return BATCH_INVALID;
    struct record record = record_of(walk->batch, &raw);
    struct kept *kept = walk->kept;
    if (!walk->filter->keeps(walk->filter->context, &record)) {
        if (!walk->is_copying) {
            size_t size = (size_t)(from - before.data);
            if (!reserve(kept, before.size))
                return BATCH_NO_MEMORY;
            memcpy(kept->bytes, before.data, size);
            kept->size = size;
            walk->is_copying = true;
        }
        return BATCH_OK;
    }
    if (walk->is_copying && !keep(kept, body))
        return BATCH_NO_MEMORY;
    kept->count++;
    kept->has_tombstone |= slice_is_null(record.value);
    if (record.timestamp > kept->max_timestamp)
        kept->max_timestamp = record.timestamp;
    return BATCH_OK;
}

/* Decides on every record. *payload is what stays of it, uncompressed. */
static enum batch_status walk_batch(const struct batch_view *batch, const struct batch_filter *filter,
                                    struct kept *kept, slice *payload)
{
    struct walk walk = { .batch = batch, .filter = filter, .kept = kept };
    enum batch_status status =
        record_batch__payload_open(&walk.payload, batch, kept->arena, filter->output_max);
    if (status == BATCH_OK && batch->record_count < 0)
        status = BATCH_INVALID;
    walk.is_copying = walk.payload.decompressor != NULL;
    for (int32_t i = 0; i < batch->record_count && status == BATCH_OK; i++)
        status = walk_record(&walk);
    if (status == BATCH_OK)
        status = record_batch__payload_end(&walk.payload);
    record_batch__payload_close(&walk.payload);
    *payload = walk.is_copying ? slice_of(kept->bytes, kept->size) : batch_payload(batch);
    return status;
}

/* The same records with timestamps told from another base. */
static enum batch_status rebase(const struct batch_view *batch, int64_t base_timestamp, slice *payload,
                                int32_t count, struct arena *arena)
{
    bool append_time = (batch->attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME) != 0;
    uint8_t *bytes = arena_alloc(arena, payload->size + (size_t)count * DELTA_GROWTH_MAX);
    if (!bytes)
        return BATCH_NO_MEMORY;
    const uint8_t *p = payload->data, *end = p + payload->size;
    uint8_t *to = bytes;
    for (int32_t i = 0; i < count; i++) {
        int32_t size;
        int64_t delta;
        p = read_varint(p, end, &size);
        check(p && size > 0 && size <= end - p); /* it was parsed before */
        const uint8_t *record_end = p + size;
        uint8_t attributes = *p++;
        const uint8_t *rest = read_varlong(p, record_end, &delta);
        check(rest != NULL);
        int64_t timestamp = append_time ? batch->max_timestamp : add_wrapping(batch->base_timestamp, delta);
        uint8_t deltas[VARLONG_SIZE_MAX];
        size_t delta_size = varlong_write(deltas, (int64_t)((uint64_t)timestamp - (uint64_t)base_timestamp));
        size_t rest_size = (size_t)(record_end - rest);
        to += varint_write(to, (int32_t)(1 + delta_size + rest_size));
        *to++ = attributes;
        memcpy(to, deltas, delta_size);
        memcpy(to + delta_size, rest, rest_size);
        to += delta_size + rest_size;
        p = record_end;
    }
    *payload = slice_of(bytes, (size_t)(to - bytes));
    return BATCH_OK;
}

/* The batch's header in front of another payload. */
static enum batch_status rebuild(const struct batch_view *batch, const struct kept *kept, bool sets_horizon,
                                 int64_t horizon_ms, slice payload, struct batch_filtered *out)
{
    enum codec codec = batch_codec(batch);
    bool append_time = (batch->attributes & BATCH_ATTRIBUTE_LOG_APPEND_TIME) != 0;
    if (codec != CODEC_NONE) {
        enum compress_status status = compress_bytes(codec, 0, payload, kept->arena, &payload);
        if (status != COMPRESS_OK)
            return record_batch__status_of(status);
    }
    if (payload.size > INT32_MAX - BATCH_HEADER_SIZE)
        return BATCH_TOO_LARGE;
    size_t size = BATCH_HEADER_SIZE + payload.size;
    uint8_t *bytes = arena_alloc(kept->arena, size);
    if (!bytes)
        return BATCH_NO_MEMORY;
    memcpy(bytes, batch->data, BATCH_HEADER_SIZE);
    memcpy(bytes + BATCH_HEADER_SIZE, payload.data, payload.size);
    out->max_timestamp = append_time ? batch->max_timestamp : kept->max_timestamp;
    store_be64(bytes + BATCH_MAX_TIMESTAMP, (uint64_t)out->max_timestamp);
    if (sets_horizon)
        store_be64(bytes + BATCH_BASE_TIMESTAMP, (uint64_t)horizon_ms);
    store_be32(bytes + BATCH_RECORD_COUNT, (uint32_t)kept->count);
    uint16_t attributes = batch->attributes & (uint16_t)~BATCH_ATTRIBUTE_UNUSED;
    if (sets_horizon)
        attributes |= BATCH_ATTRIBUTE_DELETE_HORIZON;
    record_batch__seal(bytes, size, attributes);
    out->bytes = slice_of(bytes, size);
    return BATCH_OK;
}

/* A header alone, as Kafka writes it: sequence, offsets and the largest timestamp are what it is kept for. */
static enum batch_status empty_batch(const struct batch_view *batch, struct arena *arena,
                                     struct batch_filtered *out)
{
    enum {
        KEPT_ATTRIBUTES =
            BATCH_ATTRIBUTE_LOG_APPEND_TIME | BATCH_ATTRIBUTE_TRANSACTIONAL | BATCH_ATTRIBUTE_CONTROL
    };
    out->max_timestamp = batch->max_timestamp;
    if (batch->size == BATCH_HEADER_SIZE && batch->record_count == 0 && batch->base_timestamp == -1 &&
        (batch->attributes & ~KEPT_ATTRIBUTES) == 0) {
        out->bytes = slice_of(batch->data, batch->size);
        out->is_unchanged = true;
        return BATCH_OK;
    }
    uint8_t *bytes = arena_alloc(arena, BATCH_HEADER_SIZE);
    if (!bytes)
        return BATCH_NO_MEMORY;
    memcpy(bytes, batch->data, BATCH_HEADER_SIZE);
    store_be64(bytes + BATCH_BASE_TIMESTAMP, (uint64_t)-1);
    store_be32(bytes + BATCH_RECORD_COUNT, 0);
    record_batch__seal(bytes, BATCH_HEADER_SIZE, batch->attributes & KEPT_ATTRIBUTES);
    out->bytes = slice_of(bytes, BATCH_HEADER_SIZE);
    return BATCH_OK;
}

enum batch_status batch_filter(const struct batch_view *batch, const struct batch_filter *filter,
                               struct arena *arena, struct batch_filtered *out)
{
    struct kept kept = { .arena = arena, .max_timestamp = -1 };
    slice payload = { NULL, 0 };
    *out = (struct batch_filtered){ .bytes = slice_of("", 0), .max_timestamp = -1 };
    if (!filter->drops_all) {
        enum batch_status status = walk_batch(batch, filter, &kept, &payload);
        if (status != BATCH_OK)
            return status;
    }
    out->record_count = kept.count;
    if (kept.count == 0)
        return filter->stays_empty ? empty_batch(batch, arena, out) : BATCH_OK;
    bool sets_horizon = (kept.has_tombstone || filter->is_empty_marker) &&
                        (batch->attributes & BATCH_ATTRIBUTE_DELETE_HORIZON) == 0;
    if (kept.count == batch->record_count && !sets_horizon) {
        out->bytes = slice_of(batch->data, batch->size);
        out->is_unchanged = true;
        out->max_timestamp = batch->max_timestamp;
        return BATCH_OK;
    }
    if (sets_horizon) {
        enum batch_status status = rebase(batch, filter->delete_horizon_ms, &payload, kept.count, arena);
        if (status != BATCH_OK)
            return status;
    }
    return rebuild(batch, &kept, sets_horizon, filter->delete_horizon_ms, payload, out);
}
