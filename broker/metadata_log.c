/* Frames metadata records, gathers them into batches, and reads them back. */
#include "broker/metadata_log.h"

#include "codec/apis.h"
#include "protocol/base/check.h"
#include "protocol/base/note.h"
#include "protocol/batch_mend.h"

enum { FRAME_SIZE_MAX = 16, CONTROL_KEY_SIZE = 4, READ_SIZE = 1 << 20 };

/* As many times as an append may be busy: opening, the directory and rolls each need their turn. */
enum { PREPARE_ROUNDS_MAX = 16 };

static const struct message_schema *record_message(const char *set, int type)
{
    for (size_t i = 0; i < record_schema_count; i++)
        if (record_schemas[i].type == type && strcmp(record_schemas[i].set, set) == 0)
            return &record_schemas[i].message;
    check_unreachable("record type without a schema");
}

/* The frame is there for data records only; frame_type -1: none. */
static slice encode(struct arena *arena, const struct message_schema *message, int frame_type,
                    int16_t version, const void *record)
{
    struct chain chain;
    struct writer writer;
    size_t size;
    chain_init(&chain, arena);
    writer_init(&writer, &chain);
    if (!message->size(version, record, &size) || !writer_reserve(&writer, FRAME_SIZE_MAX + size))
        return SLICE_NULL;
    if (frame_type >= 0 && !kraft_frame_encode(&writer, (uint32_t)frame_type, (uint32_t)version))
        return SLICE_NULL;
    if (!message->encode(&writer, version, record) || !writer_finish(&writer))
        return SLICE_NULL;
    check(chain.count == 1);
    return chain.parts[0].bytes;
}

slice metadata_record_encode(struct arena *arena, enum metadata_record_type type, int16_t version,
                             const void *record)
{
    return encode(arena, record_message("metadata", (int)type), (int)type, version, record);
}

void metadata_batches_init(struct metadata_batches *batches, struct arena *arena, int64_t base_offset,
                           int32_t epoch, int64_t now_ms)
{
    *batches = (struct metadata_batches){
        .arena = arena, .base_offset = base_offset, .epoch = epoch, .now_ms = now_ms
    };
}

static struct batch_view *next_batch(struct metadata_batches *batches)
{
    if (batches->count == batches->capacity) {
        size_t capacity = batches->capacity ? 2 * batches->capacity : 8;
        struct batch_view *grown = arena_alloc_array(batches->arena, capacity, sizeof *grown);
        if (!grown)
            return NULL;
        if (batches->count)
            memcpy(grown, batches->batches, batches->count * sizeof *grown);
        batches->batches = grown;
        batches->capacity = capacity;
    }
    return &batches->batches[batches->count];
}

void metadata_batches_cut(struct metadata_batches *batches)
{
    if (!batches->open)
        return;
    struct batch_view *batch = next_batch(batches);
    if (!batch || batch_builder_finish(batches->open, batch) != BATCH_OK)
        batches->is_failed = true;
    else
        batches->count++;
    batches->open = NULL;
    batches->open_count = 0;
}

static void add(struct metadata_batches *batches, uint16_t attributes, slice key, slice value)
{
    if (batches->is_failed)
        return;
    if (!batches->open) {
        struct batch_builder_options options = {
            .base_offset = batches->base_offset + (int64_t)batches->record_count,
            .leader_epoch = batches->epoch,
            .producer_id = -1,
            .producer_epoch = -1,
            .base_sequence = -1,
            .attributes = attributes,
        };
        batches->open = batch_builder_open(batches->arena, &options);
    }
    if (slice_is_null(value) || !batches->open ||
        !batch_builder_add(batches->open, batches->now_ms, key, value, NULL, 0)) {
        batches->is_failed = true;
        return;
    }
    batches->open_count++;
    batches->record_count++;
}

void metadata_batches_add(struct metadata_batches *batches, slice value)
{
    add(batches, 0, SLICE_NULL, value);
}

void metadata_batches_add_control_value(struct metadata_batches *batches, enum control_record_type type,
                                        slice value)
{
    uint8_t *key = arena_alloc(batches->arena, CONTROL_KEY_SIZE);
    if (!key) {
        batches->is_failed = true;
        return;
    }
    store_be16(key, 0); /* the key's own version */
    store_be16(key + 2, (uint16_t)type);
    add(batches, BATCH_ATTRIBUTE_CONTROL, slice_of(key, CONTROL_KEY_SIZE), value);
}

void metadata_batches_add_control(struct metadata_batches *batches, enum control_record_type type,
                                  const void *record)
{
    slice value = encode(batches->arena, record_message("control", (int)type), -1, 0, record);
    metadata_batches_add_control_value(batches, type, value);
}

slice metadata_batches_bytes(struct metadata_batches *batches)
{
    metadata_batches_cut(batches);
    size_t size = 0;
    for (size_t i = 0; i < batches->count; i++)
        size += batches->batches[i].size;
    uint8_t *bytes = batches->is_failed ? NULL : arena_alloc(batches->arena, size);
    if (!bytes)
        return SLICE_NULL;
    uint8_t *next = bytes;
    for (size_t i = 0; i < batches->count; i++) {
        memcpy(next, batches->batches[i].data, batches->batches[i].size);
        next += batches->batches[i].size;
    }
    return slice_of(bytes, size);
}

/* Appends every batch or, unless it says LOG_IO, none. A call that rolls may stop half way, and goes on here.
 */
static enum log_status append_all(struct log *log, struct metadata_batches *batches,
                                  struct log_append_result *results)
{
    size_t done = 0;
    for (unsigned rounds = 0; done < batches->count; rounds++) {
        enum log_status status = log_append(log, batches->batches + done, batches->count - done,
                                            batches->epoch, batches->now_ms, results);
        if (status == LOG_OK) {
            size_t end = batches->count - done, i = 0;
            while (i < end && results[i].status == LOG_OK)
                i++;
            done += i;
            status = i < end ? results[i].status : LOG_OK;
        }
        if (status == LOG_BUSY)
            status = rounds < PREPARE_ROUNDS_MAX ? log_prepare(log) : LOG_LIMIT;
        if (status != LOG_OK)
            return done > 0 ? LOG_IO : status;
    }
    return LOG_OK;
}

enum log_status metadata_log_append(struct log *log, struct metadata_batches *batches)
{
    metadata_batches_cut(batches);
    if (batches->is_failed)
        return LOG_LIMIT;
    struct log_append_result *results = arena_alloc_array(batches->arena, batches->count, sizeof *results);
    if (!results)
        return LOG_LIMIT;
    /* What has to be durable before any record is: a shortage there leaves the log as it was. */
    enum log_status status = log_flush(log);
    if (status == LOG_OK)
        status = append_all(log, batches, results);
    if (status != LOG_OK)
        return status;
    /* The records are in the log, durable or not: appending them again would bring them twice. */
    return log_flush(log) == LOG_OK ? LOG_OK : LOG_IO;
}

static enum metadata_read_status visit_batch(const struct batch_view *batch, int64_t from_offset,
                                             struct arena *arena, metadata_visit visit, void *context)
{
    struct record_iterator *iterator = record_iterator_open(batch, arena, METADATA_BATCH_SIZE_MAX);
    if (!iterator)
        return METADATA_READ_FAILED;
    bool is_control = batch->attributes & BATCH_ATTRIBUTE_CONTROL;
    enum metadata_read_status result = METADATA_READ_OK;
    struct record record;
    enum batch_status status;
    while (result == METADATA_READ_OK && (status = record_iterator_next(iterator, &record)) == BATCH_OK) {
        struct metadata_record out = { record.offset, batch->leader_epoch, -1, record.value };
        if (is_control && record.key.size < CONTROL_KEY_SIZE)
            result = METADATA_READ_DAMAGED;
        else if (is_control)
            out.control_type = (int16_t)load_be16(record.key.data + 2);
        if (result == METADATA_READ_OK && record.offset >= from_offset && !visit(context, &out))
            result = METADATA_READ_STOPPED;
    }
    record_iterator_close(iterator);
    if (result == METADATA_READ_OK && status == BATCH_NO_MEMORY)
        return METADATA_READ_FAILED;
    return result == METADATA_READ_OK && status != BATCH_SHORT ? METADATA_READ_DAMAGED : result;
}

/* arena is reset between batches. *done: how many bytes were visited. */
static enum metadata_read_status visit_batches(slice bytes, int64_t from_offset, struct arena *arena,
                                               metadata_visit visit, void *context, size_t *done)
{
    *done = 0;
    while (*done < bytes.size) {
        struct batch_view batch;
        if (batch_view(slice_of(bytes.data + *done, bytes.size - *done), &batch) != BATCH_OK ||
            !batch_crc_ok(&batch))
            return METADATA_READ_DAMAGED;
        enum metadata_read_status status = METADATA_READ_OK;
        if (batch_last_offset(&batch) >= from_offset)
            status = visit_batch(&batch, from_offset, arena, visit, context);
        arena_reset(arena);
        if (status != METADATA_READ_OK)
            return status;
        *done += batch.size;
    }
    return METADATA_READ_OK;
}

enum metadata_read_status metadata_batches_read(slice bytes, int64_t from_offset, metadata_visit visit,
                                                void *context)
{
    struct arena arena;
    size_t done;
    arena_init(&arena, NULL);
    enum metadata_read_status status = visit_batches(bytes, from_offset, &arena, visit, context, &done);
    arena_destroy(&arena);
    return status;
}

/* Reading the log: state of one metadata_log_read(). */
struct log_reading {
    struct log *log;
    int64_t from, offset, end;
    struct arena range_arena, record_arena;
    metadata_visit visit;
    void *context;
    struct metadata_damage *damage;
};

/* The epoch is under no checksum: one that cannot be is that of the batch before. */
static void mend_epoch(const struct log_reading *reading, uint8_t *bytes)
{
    int32_t epoch = (int32_t)load_be32(bytes + BATCH_LEADER_EPOCH);
    int32_t newest = log_offsets(reading->log).leader_epoch;
    if (epoch < 0 || epoch > newest)
        store_be32(bytes + BATCH_LEADER_EPOCH, (uint32_t)newest);
}

/* At reading->offset stands a batch that is damaged. When one bit of it is, it is read as it was. */
static enum metadata_read_status visit_damaged(struct log_reading *reading)
{
    struct metadata_damage *damage = reading->damage;
    struct log_damage at;
    size_t done;
    damage->offset = reading->offset;
    enum log_status status = log_read_damaged(reading->log, reading->offset, &reading->range_arena, &at);
    damage->segment_base = at.segment_base;
    damage->position = at.position;
    if (status != LOG_OK)
        return status == LOG_NOT_FOUND ? METADATA_READ_DAMAGED : METADATA_READ_FAILED;
    if (!batch_mend(at.bytes, at.size, at.first, at.next))
        return METADATA_READ_DAMAGED;
    mend_epoch(reading, at.bytes);
    enum metadata_read_status read =
        visit_batches(slice_of(at.bytes, at.size), reading->from, &reading->record_arena, reading->visit,
                      reading->context, &done);
    if (read != METADATA_READ_OK)
        return read;
    note_warn(
        "metadata.mended",
        "log=%s segment=%lld position=%u offset=%lld effect=\"one flipped bit, read as it was; the next "
        "snapshot covers it\" next_step=\"check the device\"",
        log_name(reading->log), (long long)at.segment_base, at.position, (long long)at.first);
    damage->mended_count++;
    reading->offset = at.next;
    return METADATA_READ_OK;
}

static enum metadata_read_status visit_next(struct log_reading *reading)
{
    struct log_range range;
    size_t done = 0;
    enum log_status read = log_read(reading->log, reading->offset, reading->end, READ_SIZE, true, false,
                                    &reading->range_arena, &range);
    enum metadata_read_status status = METADATA_READ_DAMAGED;
    if (read != LOG_OK && read != LOG_CORRUPT)
        return METADATA_READ_FAILED;
    if (read == LOG_OK && range.bytes.size > 0)
        status = visit_batches(range.bytes, reading->from, &reading->record_arena, reading->visit,
                               reading->context, &done);
    if (status == METADATA_READ_OK)
        reading->offset = range.next_offset;
    if (status != METADATA_READ_DAMAGED || !reading->damage)
        return status;
    /* Up to the damaged batch all was visited. */
    for (size_t at = 0; at < done;) {
        struct batch_view batch;
        check(batch_view(slice_of(range.bytes.data + at, done - at), &batch) == BATCH_OK);
        reading->offset = batch_last_offset(&batch) + 1;
        at += batch.size;
    }
    return visit_damaged(reading);
}

enum metadata_read_status metadata_log_read(struct log *log, int64_t from_offset, metadata_visit visit,
                                            void *context, struct metadata_damage *damage)
{
    struct log_reading reading = { .log = log,
                                   .from = from_offset,
                                   .offset = from_offset,
                                   .end = log_offsets(log).end,
                                   .visit = visit,
                                   .context = context,
                                   .damage = damage };
    if (damage)
        *damage = (struct metadata_damage){ 0 };
    arena_init(&reading.range_arena, NULL);
    arena_init(&reading.record_arena, NULL);
    enum metadata_read_status status = METADATA_READ_OK;
    while (status == METADATA_READ_OK && reading.offset < reading.end) {
        status = visit_next(&reading);
        arena_reset(&reading.range_arena);
    }
    arena_destroy(&reading.range_arena);
    arena_destroy(&reading.record_arena);
    return status;
}
