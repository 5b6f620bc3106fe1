/* Compacted logs written and read in a small notation, for tests of the cleaner. */
#include "tests/support/compacted_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/check.h"
#include "protocol/batch_filter.h"
#include "storage/cleaner_transactions.h"
#include "storage/log_struct.h"

enum { PRODUCERS = 10, TEXT_MAX = 1 << 16 };

/* What the notation leaves to be counted. */
struct writer_state {
    int64_t next_offset;
    int32_t sequences[PRODUCERS];
    int64_t txn_first[PRODUCERS]; /* -1: none is open */
    struct aborted_transaction aborted[64];
    size_t aborted_count;
};

struct batch_spec {
    int64_t offset;  /* of the first record */
    int64_t horizon; /* -1: none */
    int producer;    /* -1: none */
    bool is_transactional;
    int marker; /* -1: none, else the control type */
    const char *records;
    size_t records_size;
};

static void parse_spec(const char *text, size_t size, struct writer_state *state, struct batch_spec *out)
{
    *out = (struct batch_spec){ .offset = state->next_offset, .horizon = -1, .producer = -1, .marker = -1 };
    if (text[0] == 'C' || text[0] == 'A') {
        out->marker = text[0] == 'C';
        out->producer = text[1] - '0';
        return;
    }
    for (;;) {
        const char *colon = memchr(text, ':', size);
        if (!colon)
            break;
        int64_t number = strtoll(text + 1, NULL, 10);
        if (text[0] == 'p' || text[0] == 't')
            out->producer = (int)number;
        out->is_transactional |= text[0] == 't';
        if (text[0] == 'h')
            out->horizon = number;
        if (text[0] == '@')
            out->offset = number;
        size -= (size_t)(colon + 1 - text);
        text = colon + 1;
    }
    out->records = text;
    out->records_size = size;
}

static void add_records(struct batch_builder *builder, const struct batch_spec *spec)
{
    int64_t offset = spec->offset;
    for (const char *at = spec->records, *end = at + spec->records_size; at < end; offset++) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t size = (size_t)((comma ? comma : end) - at);
        bool has_key = at[0] != '=';
        slice key = has_key ? slice_of(at, 1) : SLICE_NULL;
        const char *value = at + has_key;
        bool is_tombstone = value[0] == '-';
        check(batch_builder_add(builder, offset * 10, key,
                                is_tombstone ? SLICE_NULL : slice_of(value + 1, size - has_key - 1), NULL,
                                0));
        at += size + 1;
    }
}

static void add_marker(struct batch_builder *builder, const struct batch_spec *spec)
{
    const uint8_t key[4] = { 0, 0, 0, (uint8_t)spec->marker };
    const uint8_t value[6] = { 0 };
    check(batch_builder_add(builder, spec->offset * 10, slice_of(key, 4), slice_of(value, 6), NULL, 0));
}

static bool keep_all(void *context, const struct record *record)
{
    (void)context;
    (void)record;
    return true;
}

/* Gives a batch a delete horizon, as a pass of the cleaner would. */
static void set_horizon(struct batch_view *batch, int64_t horizon, struct arena *arena)
{
    struct batch_filter filter = {
        .keeps = keep_all, .is_empty_marker = true, .delete_horizon_ms = horizon, .output_max = INT32_MAX
    };
    struct batch_filtered filtered;
    check(batch_filter(batch, &filter, arena, &filtered) == BATCH_OK);
    check(batch_view(filtered.bytes, batch) == BATCH_OK);
}

static void build(const struct batch_spec *spec, struct writer_state *state, enum codec codec,
                  struct arena *arena, struct batch_view *out)
{
    uint16_t attributes = spec->marker >= 0 ? BATCH_ATTRIBUTE_CONTROL | BATCH_ATTRIBUTE_TRANSACTIONAL : codec;
    bool has_producer = spec->producer >= 0;
    if (spec->is_transactional)
        attributes |= BATCH_ATTRIBUTE_TRANSACTIONAL;
    struct batch_builder_options options = {
        .base_offset = spec->offset,
        .producer_id = has_producer ? spec->producer : -1,
        .producer_epoch = has_producer ? 0 : -1,
        .base_sequence = has_producer && spec->marker < 0 ? state->sequences[spec->producer] : -1,
        .attributes = attributes,
    };
    struct batch_builder *builder = batch_builder_open(arena, &options);
    check(builder != NULL);
    if (spec->marker >= 0)
        add_marker(builder, spec);
    else
        add_records(builder, spec);
    check(batch_builder_finish(builder, out) == BATCH_OK);
    if (spec->horizon >= 0)
        set_horizon(out, spec->horizon, arena);
}

static void note_batch(const struct batch_spec *spec, const struct batch_view *batch,
                       struct writer_state *state)
{
    int64_t last = batch_last_offset(batch);
    state->next_offset = last + 1;
    if (spec->producer < 0)
        return;
    int64_t *first = &state->txn_first[spec->producer];
    if (spec->marker < 0)
        state->sequences[spec->producer] += batch->last_offset_delta + 1;
    if (spec->is_transactional && *first < 0)
        *first = batch->base_offset;
    if (spec->marker == 0 && *first >= 0)
        state->aborted[state->aborted_count++] =
            (struct aborted_transaction){ spec->producer, *first, last, last + 1 };
    if (spec->marker >= 0)
        *first = -1;
}

static void write_file(struct log_rig *rig, int64_t base, const char *suffix, const void *bytes, size_t size)
{
    char name[64];
    struct file *file;
    snprintf(name, sizeof name, "%020" PRId64 "%s", base, suffix);
    check(file_open(rig->env.files, rig_path(rig, name), FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file) ==
          FILE_OK);
    check(size == 0 || file_pwrite(file, bytes, size, 0) == FILE_OK);
    check(file_flush(file) == FILE_OK);
    file_close(file);
}

static void write_aborted(struct log_rig *rig, int64_t base, struct writer_state *state)
{
    uint8_t bytes[64 * ABORTED_TRANSACTION_SIZE];
    for (size_t i = 0; i < state->aborted_count; i++)
        aborted_transaction_encode(&state->aborted[i], bytes + i * ABORTED_TRANSACTION_SIZE);
    if (state->aborted_count > 0)
        write_file(rig, base, ".txnindex", bytes, state->aborted_count * ABORTED_TRANSACTION_SIZE);
    state->aborted_count = 0;
}

/* The batches up to the segment's end; returns where the text goes on. */
static const char *write_segment(struct log_rig *rig, const char *text, enum codec codec,
                                 struct writer_state *state)
{
    struct arena arena;
    uint8_t *bytes = malloc(TEXT_MAX);
    size_t size = 0;
    int64_t base = text[0] == '@' ? strtoll(text + 1, NULL, 10) : state->next_offset;
    check(bytes != NULL);
    arena_init(&arena, NULL);
    while (*text != 0 && *text != '|') {
        struct batch_spec spec;
        struct batch_view batch;
        size_t word = strcspn(text, " |");
        if (word > 0) {
            parse_spec(text, word, state, &spec);
            build(&spec, state, codec, &arena, &batch);
            check(size + batch.size <= TEXT_MAX);
            memcpy(bytes + size, batch.data, batch.size);
            size += batch.size;
            note_batch(&spec, &batch, state);
        }
        text += word;
        while (*text == ' ')
            text++;
    }
    write_file(rig, base, ".log", bytes, size);
    write_aborted(rig, base, state);
    arena_destroy(&arena);
    free(bytes);
    return text;
}

void compacted_write(struct log_rig *rig, const char *text, enum codec codec)
{
    struct writer_state state = { .next_offset = 0 };
    for (size_t i = 0; i < PRODUCERS; i++)
        state.txn_first[i] = -1;
    enum file_status status = file_make_directory(rig->env.files, rig_path(rig, "."));
    check(status == FILE_OK || status == FILE_EXISTS);
    for (;;) {
        text = write_segment(rig, text, codec, &state);
        if (*text == 0)
            break;
        text++;
        while (*text == ' ')
            text++;
    }
    check(log__open_clean(rig->log, -1) == LOG_OK);
    while (log_rig_flush(rig)) /* indexes that were made at the opening */
        continue;
}

void compacted_batch(const char *text, enum codec codec, struct batch_view *out)
{
    struct writer_state state = { .next_offset = 0 };
    struct batch_spec spec;
    struct arena arena;
    arena_init(&arena, NULL);
    parse_spec(text, strlen(text), &state, &spec);
    build(&spec, &state, codec, &arena, out);
    uint8_t *copy = malloc(out->size);
    check(copy != NULL);
    memcpy(copy, out->data, out->size);
    out->data = copy;
    arena_destroy(&arena);
}

/* --- reading -------------------------------------------------------------------------------------- */

static void print_batch(FILE *out, const struct batch_view *batch, struct arena *arena)
{
    struct record record;
    bool is_control = (batch->attributes & BATCH_ATTRIBUTE_CONTROL) != 0;
    const char *space = "";
    fprintf(out, "[");
    if (batch->record_count != batch->last_offset_delta + 1) {
        fprintf(out, "%" PRId64 "-%" PRId64, batch->base_offset, batch_last_offset(batch));
        space = " ";
    }
    if (batch->producer_id >= 0) {
        bool is_transactional = (batch->attributes & BATCH_ATTRIBUTE_TRANSACTIONAL) != 0;
        fprintf(out, "%s%c%" PRId64, space, is_transactional ? 't' : 'p', batch->producer_id);
        space = " ";
    }
    if (batch->attributes & BATCH_ATTRIBUTE_DELETE_HORIZON) {
        fprintf(out, "%sh%" PRId64, space, batch->base_timestamp);
        space = " ";
    }
    struct record_iterator *iterator = record_iterator_open(batch, arena, INT32_MAX);
    check(iterator != NULL);
    enum batch_status status;
    while ((status = record_iterator_next(iterator, &record)) == BATCH_OK) {
        fprintf(out, "%s%" PRId64 ":", space, record.offset);
        space = " ";
        check(record.timestamp == record.offset * 10);
        if (is_control)
            fprintf(out, "%s", record.key.data[3] ? "commit" : "abort");
        else if (slice_is_null(record.value))
            fprintf(out, "%.*s-", (int)record.key.size, (const char *)record.key.data);
        else
            fprintf(out, "%.*s=%.*s", (int)record.key.size, (const char *)record.key.data,
                    (int)record.value.size, (const char *)record.value.data);
    }
    check(status == BATCH_SHORT);
    record_iterator_close(iterator);
    fprintf(out, "]");
}

char *compacted_read(struct log_rig *rig)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct arena arena;
    struct log_offsets offsets = log_offsets(rig->log);
    size_t segment = 0;
    check(out != NULL);
    arena_init(&arena, NULL);
    for (int64_t next = offsets.start; next < offsets.end;) {
        struct log_range range;
        check(log_read(rig->log, next, offsets.end, SIZE_MAX, true, false, &arena, &range) == LOG_OK);
        check(range.next_offset > next);
        next = range.next_offset;
        for (slice bytes = range.bytes; bytes.size > 0;) {
            struct batch_view batch;
            check(batch_view(bytes, &batch) == BATCH_OK && batch_crc_ok(&batch));
            size_t at = segment_list_find(log__segments(rig->log), batch.base_offset);
            for (; segment < at; segment++)
                fprintf(out, "|");
            print_batch(out, &batch, &arena);
            bytes = slice_of(bytes.data + batch.size, bytes.size - batch.size);
        }
    }
    for (; segment + 1 < log__segments(rig->log)->count; segment++)
        fprintf(out, "|");
    arena_destroy(&arena);
    fclose(out);
    return text;
}

enum log_status compacted_clean(struct log_rig *rig, int64_t first_dirty, struct cleaner_result *result)
{
    struct cleaner_options options = { .map_size_max = 1 << 20, .map_load = 0.9, .buffer_size = 16 << 10 };
    struct cleaner *cleaner = cleaner_create(&options);
    struct cleaner_look look;
    struct cleaner_result unused;
    int64_t now_ms = clock_wall_ms(rig->env.clock);
    check(cleaner != NULL);
    enum log_status status = cleaner_look(rig->log, first_dirty, now_ms, &look);
    if (status == LOG_OK && look.cleanable_size > 0)
        status = look.is_damaged ? LOG_CORRUPT
                                 : cleaner_clean(cleaner, rig->log, &look, now_ms, result ? result : &unused);
    else if (status == LOG_OK)
        status = LOG_NOT_FOUND;
    cleaner_look_end(&look);
    cleaner_destroy(cleaner);
    return status;
}
