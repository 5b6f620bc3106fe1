/* <offset>.snapshot and <offset>.producers.runnel: encoders, decoders and files. */
#include "storage/producer_snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/bytes.h"
#include "protocol/base/check.h"
#include "protocol/base/crc32c.h"

enum { SNAPSHOT_VERSION = 1, AT_CRC = 2, AT_COUNT = 6, FILE_SIZE_MAX = 1 << 28 };

/* Positions in an entry of the snapshot. */
enum {
    AT_PRODUCER_ID = 0,
    AT_PRODUCER_EPOCH = 8,
    AT_LAST_SEQUENCE = 10,
    AT_LAST_OFFSET = 14,
    AT_OFFSET_DELTA = 22,
    AT_TIMESTAMP = 26,
    AT_COORDINATOR_EPOCH = 34,
    AT_TXN_FIRST_OFFSET = 38,
};

/* The other file: magic, checksum of the snapshot, count; entries with their batches, oldest first; its own
 * checksum. */
static const char HISTORY_MAGIC[] = "RunnelP1";
enum { HISTORY_MAGIC_SIZE = 8, HISTORY_SNAPSHOT_CRC = 8, HISTORY_COUNT = 12 };
enum { ENTRY_PRODUCER_ID = 0, ENTRY_WRITTEN = 8, ENTRY_EPOCH = 16, ENTRY_BATCH_COUNT = 18 };
enum { BATCH_AT_LAST_OFFSET = 0, BATCH_AT_TIMESTAMP = 8, BATCH_AT_LAST_SEQUENCE = 16, BATCH_AT_DELTA = 20 };

/* -- encoding -------------------------------------------------------------------------------------- */

static void encode_snapshot_entry(const struct producer_entry *entry, uint8_t *at)
{
    static const struct producer_batch none = { .last_offset = -1, .last_sequence = -1 };
    const struct producer_batch *last = entry->batch_count ? &entry->batches[entry->batch_count - 1] : &none;
    store_be64(at + AT_PRODUCER_ID, (uint64_t)entry->producer_id);
    store_be16(at + AT_PRODUCER_EPOCH, (uint16_t)entry->epoch);
    store_be32(at + AT_LAST_SEQUENCE, (uint32_t)last->last_sequence);
    store_be64(at + AT_LAST_OFFSET, (uint64_t)last->last_offset);
    store_be32(at + AT_OFFSET_DELTA, (uint32_t)last->offset_delta);
    store_be64(at + AT_TIMESTAMP, (uint64_t)entry->timestamp);
    store_be32(at + AT_COORDINATOR_EPOCH, (uint32_t)entry->coordinator_epoch);
    store_be64(at + AT_TXN_FIRST_OFFSET, (uint64_t)entry->current_txn_first_offset);
}

static uint8_t *encode_history_entry(const struct producer_entry *entry, uint8_t *at)
{
    store_be64(at + ENTRY_PRODUCER_ID, (uint64_t)entry->producer_id);
    store_be64(at + ENTRY_WRITTEN, (uint64_t)entry->written_ms);
    store_be16(at + ENTRY_EPOCH, (uint16_t)entry->epoch);
    store_be16(at + ENTRY_BATCH_COUNT, entry->batch_count);
    at += PRODUCER_HISTORY_ENTRY_SIZE;
    for (size_t i = 0; i < entry->batch_count; i++, at += PRODUCER_HISTORY_BATCH_SIZE) {
        store_be64(at + BATCH_AT_LAST_OFFSET, (uint64_t)entry->batches[i].last_offset);
        store_be64(at + BATCH_AT_TIMESTAMP, (uint64_t)entry->batches[i].timestamp);
        store_be32(at + BATCH_AT_LAST_SEQUENCE, (uint32_t)entry->batches[i].last_sequence);
        store_be32(at + BATCH_AT_DELTA, (uint32_t)entry->batches[i].offset_delta);
    }
    return at;
}

bool producer_files_encode(const struct producer_state *state, struct producer_files *out)
{
    struct producer_entry entry;
    size_t count = producer_state_count(state);
    uint64_t cursor = 0;
    *out = (struct producer_files){ .snapshot_size = PRODUCER_SNAPSHOT_HEADER_SIZE +
                                                     count * PRODUCER_SNAPSHOT_ENTRY_SIZE };
    size_t history_max =
        PRODUCER_HISTORY_HEADER_SIZE + PRODUCER_HISTORY_CRC_SIZE +
        count * (PRODUCER_HISTORY_ENTRY_SIZE + PRODUCER_BATCHES_MAX * PRODUCER_HISTORY_BATCH_SIZE);
    out->snapshot = malloc(out->snapshot_size + history_max);
    if (!out->snapshot)
        return false;
    uint8_t *history = out->snapshot + out->snapshot_size;
    uint8_t *to_snapshot = out->snapshot + PRODUCER_SNAPSHOT_HEADER_SIZE;
    uint8_t *to_history = history + PRODUCER_HISTORY_HEADER_SIZE;
    while (producer_state_next(state, &cursor, &entry)) {
        encode_snapshot_entry(&entry, to_snapshot);
        to_snapshot += PRODUCER_SNAPSHOT_ENTRY_SIZE;
        to_history = encode_history_entry(&entry, to_history);
    }
    check(to_snapshot == history);
    store_be16(out->snapshot, SNAPSHOT_VERSION);
    store_be32(out->snapshot + AT_COUNT, (uint32_t)count);
    uint32_t crc = crc32c(0, out->snapshot + AT_COUNT, out->snapshot_size - AT_COUNT);
    store_be32(out->snapshot + AT_CRC, crc);
    if (count == 0)
        return true;
    memcpy(history, HISTORY_MAGIC, HISTORY_MAGIC_SIZE);
    store_be32(history + HISTORY_SNAPSHOT_CRC, crc);
    store_be32(history + HISTORY_COUNT, (uint32_t)count);
    store_be32(to_history, crc32c(0, history, (size_t)(to_history - history)));
    out->history = history;
    out->history_size = (size_t)(to_history - history) + PRODUCER_HISTORY_CRC_SIZE;
    return true;
}

void producer_files_free(struct producer_files *files)
{
    free(files->snapshot);
    *files = (struct producer_files){ .snapshot = NULL };
}

/* -- decoding -------------------------------------------------------------------------------------- */

/* A batch that may lie below an offset. An answer with an offset that is not in the log would never leave. */
static bool batch_is_sane(const struct producer_batch *batch, int64_t offset)
{
    return batch->last_offset >= 0 && batch->last_offset < offset && batch->offset_delta >= 0 &&
           batch->offset_delta <= batch->last_offset && batch->last_sequence >= -1;
}

static bool decode_snapshot_entry(const uint8_t *at, int64_t offset, struct producer_entry *out)
{
    *out = (struct producer_entry){
        .producer_id = (int64_t)load_be64(at + AT_PRODUCER_ID),
        .timestamp = (int64_t)load_be64(at + AT_TIMESTAMP),
        .current_txn_first_offset = (int64_t)load_be64(at + AT_TXN_FIRST_OFFSET),
        .coordinator_epoch = (int32_t)load_be32(at + AT_COORDINATOR_EPOCH),
        .epoch = (int16_t)load_be16(at + AT_PRODUCER_EPOCH),
    };
    struct producer_batch last = {
        .last_offset = (int64_t)load_be64(at + AT_LAST_OFFSET),
        .timestamp = out->timestamp,
        .last_sequence = (int32_t)load_be32(at + AT_LAST_SEQUENCE),
        .offset_delta = (int32_t)load_be32(at + AT_OFFSET_DELTA),
    };
    if (out->current_txn_first_offset < 0)
        out->current_txn_first_offset = -1;
    if (last.last_offset >= 0)
        out->batches[out->batch_count++] = last;
    return out->producer_id >= 0 && (last.last_offset < 0 || batch_is_sane(&last, offset));
}

enum producer_decoded producer_snapshot_decode(slice bytes, int64_t offset, struct producer_entry **entries,
                                               size_t *count)
{
    *entries = NULL;
    *count = 0;
    if (bytes.size < PRODUCER_SNAPSHOT_HEADER_SIZE || load_be16(bytes.data) != SNAPSHOT_VERSION ||
        load_be32(bytes.data + AT_CRC) != crc32c(0, bytes.data + AT_COUNT, bytes.size - AT_COUNT))
        return PRODUCER_DAMAGED;
    size_t entry_count = load_be32(bytes.data + AT_COUNT);
    if (bytes.size - PRODUCER_SNAPSHOT_HEADER_SIZE != entry_count * PRODUCER_SNAPSHOT_ENTRY_SIZE)
        return PRODUCER_DAMAGED;
    struct producer_entry *decoded = calloc(entry_count + 1, sizeof *decoded);
    if (!decoded)
        return PRODUCER_NO_MEMORY;
    for (size_t i = 0; i < entry_count; i++) {
        const uint8_t *at = bytes.data + PRODUCER_SNAPSHOT_HEADER_SIZE + i * PRODUCER_SNAPSHOT_ENTRY_SIZE;
        if (!decode_snapshot_entry(at, offset, &decoded[i])) {
            free(decoded);
            return PRODUCER_DAMAGED;
        }
    }
    *entries = decoded;
    *count = entry_count;
    return PRODUCER_DECODED;
}

/* Decodes one entry of the other file; false when it is not of the snapshot's entry, which has the newest
 * batch. */
static bool decode_history_entry(slice *rest, struct producer_entry *entry)
{
    const uint8_t *at = rest->data;
    struct producer_batch batches[PRODUCER_BATCHES_MAX];
    if (rest->size < PRODUCER_HISTORY_ENTRY_SIZE)
        return false;
    size_t count = load_be16(at + ENTRY_BATCH_COUNT);
    size_t size = PRODUCER_HISTORY_ENTRY_SIZE + count * PRODUCER_HISTORY_BATCH_SIZE;
    int64_t written_ms = (int64_t)load_be64(at + ENTRY_WRITTEN);
    if (count > PRODUCER_BATCHES_MAX || rest->size < size || (count > 0) != (entry->batch_count > 0) ||
        (int64_t)load_be64(at + ENTRY_PRODUCER_ID) != entry->producer_id ||
        (int16_t)load_be16(at + ENTRY_EPOCH) != entry->epoch || written_ms < 0)
        return false;
    at += PRODUCER_HISTORY_ENTRY_SIZE;
    for (size_t i = 0; i < count; i++, at += PRODUCER_HISTORY_BATCH_SIZE) {
        batches[i] = (struct producer_batch){
            .last_offset = (int64_t)load_be64(at + BATCH_AT_LAST_OFFSET),
            .timestamp = (int64_t)load_be64(at + BATCH_AT_TIMESTAMP),
            .last_sequence = (int32_t)load_be32(at + BATCH_AT_LAST_SEQUENCE),
            .offset_delta = (int32_t)load_be32(at + BATCH_AT_DELTA),
        };
        if (!batch_is_sane(&batches[i], INT64_MAX) ||
            (i > 0 && batches[i - 1].last_offset >= batches[i].last_offset - batches[i].offset_delta))
            return false;
    }
    const struct producer_batch *newest = &batches[count ? count - 1 : 0], *known = &entry->batches[0];
    if (count > 0 &&
        (newest->last_offset != known->last_offset || newest->last_sequence != known->last_sequence ||
         newest->offset_delta != known->offset_delta))
        return false;
    memcpy(entry->batches, batches, count * sizeof batches[0]);
    entry->batch_count = (uint8_t)count;
    entry->written_ms = written_ms;
    *rest = slice_of(rest->data + size, rest->size - size);
    return true;
}

enum producer_decoded producer_history_decode(slice bytes, slice snapshot, struct producer_entry *entries,
                                              size_t count)
{
    if (bytes.size < PRODUCER_HISTORY_HEADER_SIZE + PRODUCER_HISTORY_CRC_SIZE ||
        snapshot.size < PRODUCER_SNAPSHOT_HEADER_SIZE ||
        memcmp(bytes.data, HISTORY_MAGIC, HISTORY_MAGIC_SIZE) != 0)
        return PRODUCER_DAMAGED;
    size_t end = bytes.size - PRODUCER_HISTORY_CRC_SIZE;
    if (load_be32(bytes.data + end) != crc32c(0, bytes.data, end) ||
        load_be32(bytes.data + HISTORY_SNAPSHOT_CRC) != load_be32(snapshot.data + AT_CRC) ||
        load_be32(bytes.data + HISTORY_COUNT) != count)
        return PRODUCER_DAMAGED;
    struct producer_entry *changed = malloc(count * sizeof *changed + 1);
    if (!changed)
        return PRODUCER_NO_MEMORY;
    slice rest = slice_of(bytes.data + PRODUCER_HISTORY_HEADER_SIZE, end - PRODUCER_HISTORY_HEADER_SIZE);
    bool belongs = true;
    for (size_t i = 0; i < count && belongs; i++) {
        changed[i] = entries[i];
        belongs = decode_history_entry(&rest, &changed[i]);
    }
    belongs = belongs && rest.size == 0;
    if (belongs && count > 0)
        memcpy(entries, changed, count * sizeof *changed);
    free(changed);
    return belongs ? PRODUCER_DECODED : PRODUCER_DAMAGED;
}

/* -- files ----------------------------------------------------------------------------------------- */

void producer_snapshot_name(int64_t offset, char out[PRODUCER_SNAPSHOT_NAME_SIZE])
{
    check(offset >= 0);
    snprintf(out, PRODUCER_SNAPSHOT_NAME_SIZE, "%020" PRId64 ".snapshot", offset);
}

void producer_history_name(int64_t offset, char out[PRODUCER_SNAPSHOT_NAME_SIZE])
{
    check(offset >= 0);
    snprintf(out, PRODUCER_SNAPSHOT_NAME_SIZE, "%020" PRId64 ".producers.runnel", offset);
}

typedef void (*name_function)(int64_t offset, char out[PRODUCER_SNAPSHOT_NAME_SIZE]);

static char *path_of(const char *directory, int64_t offset, name_function name_it)
{
    char name[PRODUCER_SNAPSHOT_NAME_SIZE];
    char *path;
    name_it(offset, name);
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

/* One that is there already is replaced as a whole: a full disk, or a power cut, must not spoil it. */
static enum file_status write_file(struct file_system *files, const char *directory, int64_t offset,
                                   name_function name_it, slice bytes, bool flush)
{
    struct file *file;
    char *path = path_of(directory, offset, name_it);
    if (!path)
        return FILE_LIMIT;
    enum file_status status = file_open(files, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file);
    if (status == FILE_EXISTS) {
        status = file_replace(files, path, bytes);
    } else if (status == FILE_OK) {
        status = file_pwrite(file, bytes.data, bytes.size, 0);
        if (status == FILE_OK && flush)
            status = file_flush(file);
        file_close(file);
        if (status == FILE_FULL)
            (void)file_unlink(files, path);
    }
    free(path);
    return status;
}

enum file_status producer_files_write(struct file_system *files, const char *directory, int64_t offset,
                                      const struct producer_state *state, bool flush)
{
    struct producer_files bytes;
    enum file_status status = FILE_OK;
    if (!producer_files_encode(state, &bytes))
        return FILE_LIMIT;
    if (bytes.history)
        status = write_file(files, directory, offset, producer_history_name,
                            slice_of(bytes.history, bytes.history_size), flush);
    if (status == FILE_OK)
        status = write_file(files, directory, offset, producer_snapshot_name,
                            slice_of(bytes.snapshot, bytes.snapshot_size), flush);
    producer_files_free(&bytes);
    return status;
}

static enum file_status read_file(struct file_system *files, const char *directory, int64_t offset,
                                  name_function name_it, slice *out)
{
    uint8_t *bytes;
    size_t size;
    char *path = path_of(directory, offset, name_it);
    *out = SLICE_NULL;
    if (!path)
        return FILE_LIMIT;
    enum file_status status = file_read_all(files, path, FILE_SIZE_MAX, &bytes, &size);
    free(path);
    if (status == FILE_OK)
        *out = slice_of(bytes, size);
    return status;
}

static enum file_status status_of(enum producer_decoded decoded)
{
    switch (decoded) {
    case PRODUCER_DECODED:
        return FILE_OK;
    case PRODUCER_DAMAGED:
        return FILE_IO;
    case PRODUCER_NO_MEMORY:
        return FILE_LIMIT;
    }
    check_unreachable("producer_decoded");
}

enum file_status producer_files_read(struct file_system *files, const char *directory, int64_t offset,
                                     struct producer_entry **entries, size_t *count, bool *is_complete)
{
    slice snapshot, history;
    *entries = NULL;
    *count = 0;
    enum file_status status = read_file(files, directory, offset, producer_snapshot_name, &snapshot);
    if (status != FILE_OK)
        return status;
    status = status_of(producer_snapshot_decode(snapshot, offset, entries, count));
    *is_complete = *count == 0;
    if (status == FILE_OK && *count > 0) {
        enum file_status beside = read_file(files, directory, offset, producer_history_name, &history);
        if (beside == FILE_OK)
            beside = status_of(producer_history_decode(history, snapshot, *entries, *count));
        *is_complete = beside == FILE_OK;
        if (beside == FILE_LIMIT)
            status = FILE_LIMIT;
        free((void *)history.data);
    }
    free((void *)snapshot.data);
    if (status != FILE_OK) {
        free(*entries);
        *entries = NULL;
        *count = 0;
    }
    return status;
}

enum file_status producer_files_unlink(struct file_system *files, const char *directory, int64_t offset)
{
    static const name_function names[] = { producer_history_name, producer_snapshot_name };
    enum file_status status = FILE_OK;
    for (size_t i = 0; i < 2 && status == FILE_OK; i++) {
        char *path = path_of(directory, offset, names[i]);
        status = path ? file_unlink(files, path) : FILE_LIMIT;
        status = status == FILE_NOT_FOUND ? FILE_OK : status;
        free(path);
    }
    return status;
}
